/*
 * list.h: a doubly linked list of chunks through their side bytes, for policies that keep an order.
 *
 *   head <-> ... <-> tail      links are references, 8 bytes a chunk, the first of its side bytes
 *
 * An end links to itself, so that two zeros, which is what a fresh page holds, mean "in no list". A
 * chunk is in one list at most; which one its policy must know.
 */
#ifndef LARDER_LIST_H
#define LARDER_LIST_H

#include "eviction/policy.h"

struct chunk_link {
	uint32_t newer;
	uint32_t older;
};

static inline struct chunk_link *link_of(const struct policy_queue *q, uint32_t reference)
{
	return space_side(&q->space, reference);
}

static inline bool list_has(const struct policy_queue *q, uint32_t reference)
{
	return link_of(q, reference)->newer != 0;
}

/* The neighbour towards the head, 0 at the head. */
static inline uint32_t list_newer(const struct policy_queue *q, uint32_t reference)
{
	uint32_t newer = link_of(q, reference)->newer;

	return newer == reference ? 0 : newer;
}

/* list_push: at the head; the chunk is in no list. list_remove: the chunk is in this one. */
void list_push(const struct policy_queue *q, struct chunk_list *l, uint32_t reference);
void list_remove(const struct policy_queue *q, struct chunk_list *l, uint32_t reference);
/* list_replace: `to`, in no list, takes the place of `from`. */
void list_replace(const struct policy_queue *q, struct chunk_list *l, uint32_t to, uint32_t from);
void list_check(const struct policy_queue *q, const struct chunk_list *l);

/* list_prefetch: fetches what removing the chunk will write; no lock. */
void list_prefetch(const struct policy_queue *q, uint32_t reference);

#endif
