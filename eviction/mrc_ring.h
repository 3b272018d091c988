/*
 * mrc_ring.h: sampled requests on their way from the thread that served them to the one that simulates
 * (mrc.h). One producer, one consumer, no lock; what finds the ring full is dropped and counted.
 */
#ifndef LARDER_MRC_RING_H
#define LARDER_MRC_RING_H

#include <stdatomic.h>

#include "eviction/mrc.h"

#define MRC_RING_ENTRIES 1024u /* a power of two; a tenth of a second at 256 * 10,240 gets a second */
#define MRC_WEIGHT_MAX ((1u << 29) - 1)

struct mrc_ring {
	/* producer writes */
	_Atomic uint32_t tail;
	_Atomic uint64_t dropped;
	uint64_t hashes[MRC_RING_ENTRIES];
	uint32_t words[MRC_RING_ENTRIES]; /* | kind 3 | weight 29 | */
	/* consumer writes */
	_Alignas(CACHE_LINE_BYTES) _Atomic uint32_t head;
};

/* mrc_ring_push: the producer. Weights over MRC_WEIGHT_MAX are taken for it. */
static inline void mrc_ring_push(struct mrc_ring *r, enum mrc_kind kind, uint64_t hash, uint64_t weight)
{
	uint32_t tail = atomic_load_explicit(&r->tail, memory_order_relaxed);

	/* acquire: pairs with the release in mrc_ring_pop, which has read what lay there */
	if (tail - atomic_load_explicit(&r->head, memory_order_acquire) == MRC_RING_ENTRIES) {
		atomic_store_explicit(&r->dropped,
		                      atomic_load_explicit(&r->dropped, memory_order_relaxed) + 1,
		                      memory_order_relaxed);
		return;
	}
	r->hashes[tail % MRC_RING_ENTRIES] = hash;
	r->words[tail % MRC_RING_ENTRIES] = (uint32_t)kind << 29 | (uint32_t)MIN(weight, MRC_WEIGHT_MAX);
	/* release: pairs with the acquire in mrc_ring_pop */
	atomic_store_explicit(&r->tail, tail + 1, memory_order_release);
}

/* mrc_ring_pop: the consumer; false when nothing is there. */
static inline bool mrc_ring_pop(struct mrc_ring *r, enum mrc_kind *kind, uint64_t *hash, uint32_t *weight)
{
	uint32_t head = atomic_load_explicit(&r->head, memory_order_relaxed);

	if (head == atomic_load_explicit(&r->tail, memory_order_acquire))
		return false;
	*hash = r->hashes[head % MRC_RING_ENTRIES];
	*kind = (enum mrc_kind)(r->words[head % MRC_RING_ENTRIES] >> 29);
	*weight = r->words[head % MRC_RING_ENTRIES] & MRC_WEIGHT_MAX;
	atomic_store_explicit(&r->head, head + 1, memory_order_release);
	return true;
}

#endif
