/*
 * sieve.c: SIEVE. One queue in the order of insertion and a hand that goes from its tail to its head:
 * what was read keeps its place and loses its mark, what was not is evicted. New chunks enter at the
 * head, so that the hand sorts old from new instead of going round both.
 *
 * Source: Y. Zhang, J. Yang, Y. Yue, Y. Vigfusson, R. Vinayak, "SIEVE is simpler than LRU: an
 * efficient turn-key eviction algorithm for web caches", NSDI 2024.
 */
#include "eviction/list.h"

/* Chunks that the hand passes for one batch, which bounds the time under the class's lock. */
#define HAND_PATIENCE 65536u

static void sieve_init(struct policy_queue *q)
{
	q->u.sieve.list = (struct chunk_list){ 0 };
	q->u.sieve.hand = 0;
}

static bool sieve_linked(const struct policy_queue *q, uint32_t reference)
{
	return list_has(q, reference);
}

static void sieve_insert(struct policy_queue *q, uint32_t reference)
{
	if (list_has(q, reference))
		return;
	list_push(q, &q->u.sieve.list, reference);
	q->count++;
}

static void sieve_remove(struct policy_queue *q, uint32_t reference)
{
	if (!list_has(q, reference))
		return;
	if (q->u.sieve.hand == reference)
		q->u.sieve.hand = list_newer(q, reference);
	list_remove(q, &q->u.sieve.list, reference);
	q->count--;
}

static void sieve_move(struct policy_queue *q, uint32_t to, uint32_t from)
{
	list_replace(q, &q->u.sieve.list, to, from);
	if (q->u.sieve.hand == from)
		q->u.sieve.hand = to;
}

static uint32_t sieve_oldest(struct policy_queue *q)
{
	return q->u.sieve.hand ? q->u.sieve.hand : q->u.sieve.list.tail;
}

static unsigned sieve_victims(struct policy_queue *q, uint32_t *references, unsigned max)
{
	unsigned n = 0, looked = 0;

	while (n < max && q->count) {
		uint32_t reference = sieve_oldest(q);

		if (state_reads(state_get(&q->space, reference)) && ++looked < HAND_PATIENCE) {
			state_change(&q->space, reference, STATE_READS, 0);
			q->u.sieve.hand = list_newer(q, reference);
			continue;
		}
		q->u.sieve.hand = reference;
		sieve_remove(q, reference);
		references[n++] = reference;
	}
	return n;
}

static void sieve_check(const struct policy_queue *q)
{
	list_check(q, &q->u.sieve.list);
	assert(q->u.sieve.list.count == q->count);
	assert(!q->u.sieve.hand || list_has(q, q->u.sieve.hand));
}

const struct policy_ops policy_sieve = {
	.name = "sieve",
	.summary = "SIEVE: a hand that sorts old from new, no order of use",
	.side_bytes = sizeof(struct chunk_link),
	.counts_reads = true,
	.init = sieve_init,
	.insert = sieve_insert,
	.prefetch = list_prefetch,
	.remove = sieve_remove,
	.move = sieve_move,
	.victims = sieve_victims,
	.oldest = sieve_oldest,
	.linked = sieve_linked,
	.check = sieve_check,
};
