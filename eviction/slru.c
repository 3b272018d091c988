/*
 * slru.c: segmented LRU. New chunks are on probation; a hit there protects them. The protected
 * segment takes up to four fifths; what falls out of it goes back to the head of probation.
 *
 *   insert --> probation --hit--> protected
 *                 ^  | tail          | tail, when over its share
 *                 |  v evicted       |
 *                 +------------------+
 *
 * Source: R. Karedla, J. S. Love, B. G. Wherry, "Caching strategies to improve disk system
 * performance", IEEE Computer 27(3), 1994.
 */
#include "eviction/list.h"

#define PROTECTED 0x10u /* in the state byte: which of the two lists */
#define PROTECTED_SHARE_NUMERATOR 4u
#define PROTECTED_SHARE_DENOMINATOR 5u

static bool is_protected(const struct policy_queue *q, uint32_t reference)
{
	return state_get(&q->space, reference) & PROTECTED;
}

static struct chunk_list *list_with(struct policy_queue *q, uint32_t reference)
{
	return is_protected(q, reference) ? &q->u.slru.protect : &q->u.slru.probation;
}

static void slru_init(struct policy_queue *q)
{
	q->u.slru.probation = q->u.slru.protect = (struct chunk_list){ 0 };
}

static bool slru_linked(const struct policy_queue *q, uint32_t reference)
{
	return list_has(q, reference);
}

static void take_out(struct policy_queue *q, uint32_t reference)
{
	list_remove(q, list_with(q, reference), reference);
	state_change(&q->space, reference, PROTECTED, 0);
}

static void slru_remove(struct policy_queue *q, uint32_t reference)
{
	if (!list_has(q, reference))
		return;
	take_out(q, reference);
	q->count--;
}

static void slru_move(struct policy_queue *q, uint32_t to, uint32_t from)
{
	unsigned segment = state_get(&q->space, from) & PROTECTED;

	list_replace(q, list_with(q, from), to, from);
	state_change(&q->space, from, PROTECTED, 0);
	state_change(&q->space, to, PROTECTED, segment);
}

static void slru_insert(struct policy_queue *q, uint32_t reference)
{
	if (list_has(q, reference))
		take_out(q, reference);
	else
		q->count++;
	list_push(q, &q->u.slru.probation, reference);
}

static void slru_hit(struct policy_queue *q, uint32_t reference)
{
	struct chunk_list *protect = &q->u.slru.protect;

	if (!list_has(q, reference))
		return;
	list_remove(q, list_with(q, reference), reference);
	state_change(&q->space, reference, 0, PROTECTED);
	list_push(q, protect, reference);
	while (protect->count > 1 &&
	       protect->count * PROTECTED_SHARE_DENOMINATOR > q->count * PROTECTED_SHARE_NUMERATOR) {
		uint32_t fallen = protect->tail;

		take_out(q, fallen);
		list_push(q, &q->u.slru.probation, fallen);
	}
}

static uint32_t slru_oldest(struct policy_queue *q)
{
	uint32_t tail = q->u.slru.probation.tail;

	return tail ? tail : q->u.slru.protect.tail;
}

static unsigned slru_victims(struct policy_queue *q, uint32_t *references, unsigned max)
{
	unsigned n = 0;

	while (n < max && q->count) {
		references[n] = slru_oldest(q);
		slru_remove(q, references[n++]);
	}
	return n;
}

static void slru_check(const struct policy_queue *q)
{
	list_check(q, &q->u.slru.probation);
	list_check(q, &q->u.slru.protect);
	assert(q->u.slru.probation.count + q->u.slru.protect.count == q->count);
	for (uint32_t at = q->u.slru.protect.tail; at; at = list_newer(q, at))
		assert(is_protected(q, at));
	for (uint32_t at = q->u.slru.probation.tail; at; at = list_newer(q, at))
		assert(!is_protected(q, at));
}

const struct policy_ops policy_slru = {
	.name = "slru",
	.summary = "segmented LRU: probation, and four fifths protected by a hit",
	.side_bytes = sizeof(struct chunk_link),
	.init = slru_init,
	.insert = slru_insert,
	.hit = slru_hit,
	.prefetch = list_prefetch,
	.remove = slru_remove,
	.move = slru_move,
	.victims = slru_victims,
	.oldest = slru_oldest,
	.linked = slru_linked,
	.check = slru_check,
};
