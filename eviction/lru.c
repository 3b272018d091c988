/*
 * lru.c: strict least-recently-used order, one list with the most recently used at its head.
 *
 * Source: R. L. Mattson, J. Gecsei, D. R. Slutz, I. L. Traiger, "Evaluation techniques for storage
 * hierarchies", IBM Systems Journal 9(2), 1970.
 */
#include "eviction/list.h"

static void lru_init(struct policy_queue *q)
{
	q->u.lru.list = (struct chunk_list){ 0 };
}

static bool lru_linked(const struct policy_queue *q, uint32_t reference)
{
	return list_has(q, reference);
}

/* Insert and hit are one: move to the front, linking first if need be. */
static void lru_insert(struct policy_queue *q, uint32_t reference)
{
	struct chunk_list *list = &q->u.lru.list;

	if (list->head == reference)
		return;
	if (list_has(q, reference))
		list_remove(q, list, reference);
	list_push(q, list, reference);
	q->count = list->count;
}

/* A hit on a chunk that is not linked came after its removal and means nothing. */
static void lru_hit(struct policy_queue *q, uint32_t reference)
{
	if (lru_linked(q, reference))
		lru_insert(q, reference);
}

static void lru_remove(struct policy_queue *q, uint32_t reference)
{
	if (!list_has(q, reference))
		return;
	list_remove(q, &q->u.lru.list, reference);
	q->count--;
}

static void lru_move(struct policy_queue *q, uint32_t to, uint32_t from)
{
	list_replace(q, &q->u.lru.list, to, from);
}

static unsigned lru_victims(struct policy_queue *q, uint32_t *references, unsigned max)
{
	unsigned n = 0;

	while (n < max && q->u.lru.list.tail) {
		references[n] = q->u.lru.list.tail;
		lru_remove(q, references[n++]);
	}
	return n;
}

static uint32_t lru_oldest(struct policy_queue *q)
{
	return q->u.lru.list.tail;
}

static void lru_check(const struct policy_queue *q)
{
	list_check(q, &q->u.lru.list);
	assert(q->u.lru.list.count == q->count);
}

const struct policy_ops policy_lru = {
	.name = "lru",
	.summary = "strict least recently used, exact order",
	.side_bytes = sizeof(struct chunk_link),
	.init = lru_init,
	.insert = lru_insert,
	.hit = lru_hit,
	.prefetch = list_prefetch,
	.remove = lru_remove,
	.move = lru_move,
	.victims = lru_victims,
	.oldest = lru_oldest,
	.linked = lru_linked,
	.check = lru_check,
};
