/*
 * lru.c: strict least-recently-used order, a doubly linked list through the side bytes.
 *
 *   head <-> ... <-> tail      links are references, 8 bytes a chunk
 *
 * An end links to itself, so that two zeros, which is what a fresh page holds, mean "not linked".
 */
#include "eviction/policy.h"

struct lru_link {
	uint32_t newer;
	uint32_t older;
};

static struct lru_link *link_of(const struct policy_queue *q, uint32_t reference)
{
	return space_side(&q->space, reference);
}

static void lru_init(struct policy_queue *q)
{
	q->u.lru.head = 0;
	q->u.lru.tail = 0;
}

static bool lru_linked(const struct policy_queue *q, uint32_t reference)
{
	return link_of(q, reference)->newer != 0;
}

static void unlink_chunk(struct policy_queue *q, uint32_t reference, struct lru_link *link)
{
	bool is_head = link->newer == reference;
	bool is_tail = link->older == reference;

	if (is_head && is_tail) {
		q->u.lru.head = q->u.lru.tail = 0;
	} else if (is_head) {
		q->u.lru.head = link->older;
		link_of(q, link->older)->newer = link->older;
	} else if (is_tail) {
		q->u.lru.tail = link->newer;
		link_of(q, link->newer)->older = link->newer;
	} else {
		link_of(q, link->newer)->older = link->older;
		link_of(q, link->older)->newer = link->newer;
	}
	link->newer = link->older = 0;
}

static void link_head(struct policy_queue *q, uint32_t reference, struct lru_link *link)
{
	uint32_t head = q->u.lru.head;

	link->newer = reference;
	link->older = head ? head : reference;
	if (head)
		link_of(q, head)->newer = reference;
	else
		q->u.lru.tail = reference;
	q->u.lru.head = reference;
}

/* Insert and hit are one: move to the front, linking first if need be. */
static void lru_insert(struct policy_queue *q, uint32_t reference)
{
	struct lru_link *link = link_of(q, reference);

	if (q->u.lru.head == reference)
		return;
	if (link->newer)
		unlink_chunk(q, reference, link);
	else
		q->count++;
	link_head(q, reference, link);
}

/* A hit on a chunk that is not linked came after its removal and means nothing. */
static void lru_hit(struct policy_queue *q, uint32_t reference)
{
	if (lru_linked(q, reference))
		lru_insert(q, reference);
}

/* Reads links that another thread may be writing; a wrong one costs a wasted fetch. */
static void lru_prefetch(const struct policy_queue *q, uint32_t reference)
{
#ifndef THREAD_SANITIZED
	const struct lru_link *link = link_of(q, reference);

	prefetch_to_write(link_of(q, link->newer));
	prefetch_to_write(link_of(q, link->older));
#endif
}

static void lru_remove(struct policy_queue *q, uint32_t reference)
{
	struct lru_link *link = link_of(q, reference);

	if (!link->newer)
		return;
	unlink_chunk(q, reference, link);
	q->count--;
}

static unsigned lru_victims(struct policy_queue *q, uint32_t *references, unsigned max)
{
	unsigned n = 0;

	while (n < max && q->u.lru.tail) {
		references[n] = q->u.lru.tail;
		lru_remove(q, references[n++]);
	}
	return n;
}

static uint32_t lru_oldest(struct policy_queue *q)
{
	return q->u.lru.tail;
}

static void lru_check(const struct policy_queue *q)
{
	size_t count = 0;
	uint32_t newer = q->u.lru.head;

	for (uint32_t at = q->u.lru.head; at; count++) {
		const struct lru_link *link = link_of(q, at);

		assert(link->newer == newer);
		assert(count < q->count);
		newer = at;
		if (link->older == at) {
			assert(q->u.lru.tail == at);
			at = 0;
		} else {
			at = link->older;
		}
	}
	assert(count == q->count);
	assert((q->u.lru.head == 0) == (q->u.lru.tail == 0));
}

const struct policy_ops policy_lru = {
	.name = "lru",
	.summary = "strict least recently used, exact order",
	.side_bytes = sizeof(struct lru_link),
	.init = lru_init,
	.insert = lru_insert,
	.hit = lru_hit,
	.prefetch = lru_prefetch,
	.remove = lru_remove,
	.victims = lru_victims,
	.oldest = lru_oldest,
	.linked = lru_linked,
	.check = lru_check,
};
