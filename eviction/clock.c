/*
 * clock.c: CLOCK, least recently used in one bit. A hand goes round the chunks; what was read since
 * it last came by stays and loses its mark, what was not is evicted.
 *
 * The circle is that of the pages' chunks in the order of their addresses: no links. What is stored in
 * the chunk that was just evicted is then behind the hand, as CLOCK wants it.
 *
 * Source: F. J. Corbato, "A paging experiment with the Multics system", MIT Project MAC Report
 * MAC-M-384, 1968.
 */
#include "eviction/policy.h"

#define LINKED 0x10u
/* Chunks that the hand passes for one victim, which bounds the time under the class's lock. */
#define HAND_PATIENCE 65536u

static void clock_init(struct policy_queue *q)
{
	q->u.clock.hand = (struct chunk_hand){ 0 };
}

static bool clock_linked(const struct policy_queue *q, uint32_t reference)
{
	return state_get(&q->space, reference) & LINKED;
}

static void clock_insert(struct policy_queue *q, uint32_t reference)
{
	q->count += state_give(&q->space, reference, LINKED);
}

static void clock_remove(struct policy_queue *q, uint32_t reference)
{
	q->count -= (state_take(&q->space, reference, LINKED | STATE_OF_USE) & LINKED) != 0;
}

/* Steps after which the hand has been everywhere: the count may be ahead of what is linked. */
static uint64_t steps_round(const struct policy_queue *q)
{
	return (uint64_t)q->u.clock.page_count * q->space.chunks_per_page + HAND_PATIENCE;
}

static unsigned clock_victims(struct policy_queue *q, uint32_t *references, unsigned max)
{
	uint64_t round = steps_round(q);
	unsigned n = 0, looked = 0;

	for (uint64_t step = 0; n < max && q->count > 0 && q->u.clock.hand.page && step < round; step++) {
		uint32_t reference = hand_take(q, &q->u.clock.hand);
		uint8_t state = state_get(&q->space, reference);

		if (!(state & LINKED))
			continue;
		if (state_reads(state) && ++looked < HAND_PATIENCE) {
			state_change(&q->space, reference, STATE_READS, 0);
			continue;
		}
		if (!state_take(&q->space, reference, LINKED))
			continue;
		q->count--;
		references[n++] = reference;
	}
	return n;
}

/* What the hand meets next, read or not. */
static uint32_t clock_oldest(struct policy_queue *q)
{
	if (q->count <= 0 || !q->u.clock.hand.page)
		return 0;
	for (uint64_t round = steps_round(q); round > 0; round--, hand_take(q, &q->u.clock.hand))
		if (clock_linked(q, hand_at(q, &q->u.clock.hand)))
			return hand_at(q, &q->u.clock.hand);
	return 0;
}

static void clock_page_add(struct policy_queue *q, uint32_t page_number)
{
	page_circle_add(q, &q->u.clock.hand.page, page_number);
	q->u.clock.page_count++;
}

static void clock_page_remove(struct policy_queue *q, uint32_t page_number)
{
	hand_leave(q, &q->u.clock.hand, page_number);
	q->u.clock.page_count--;
}

static void clock_check(const struct policy_queue *q)
{
	uint32_t first = q->u.clock.hand.page, page = first;
	size_t linked = 0;

	while (page) {
		const struct page_link *link = page_link_at(q->shared, page);

		assert(link->owner == q->space.owner);
		for (uint32_t i = 0; i < q->space.chunks_per_page; i++)
			linked += clock_linked(q, space_reference(&q->space, page, i));
		page = link->next == first ? 0 : link->next;
	}
	assert((int64_t)linked == q->count);
}

const struct policy_ops policy_clock = {
	.name = "clock",
	.summary = "CLOCK: a hand that spares what was read since it last came by",
	.counts_reads = true,
	.direct_link = LINKED,
	.init = clock_init,
	.insert = clock_insert,
	.remove = clock_remove,
	.victims = clock_victims,
	.oldest = clock_oldest,
	.linked = clock_linked,
	.check = clock_check,
	.page_add = clock_page_add,
	.page_remove = clock_page_remove,
};
