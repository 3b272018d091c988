/*
 * policy.h: the seam between the store and what decides who leaves.
 *
 * A policy orders the chunks of one size class. It knows chunks by their reference and keeps what
 * it needs in side bytes that lie beside the chunks, one record a chunk, zeroed when a page is laid
 * out; it never sees an item. One queue a size class:
 *
 *   insert   a chunk was filled and published          (may be called again for a linked chunk)
 *   hit      it was read                               (absent: the policy does not want to know)
 *   remove   its item is gone, or it is being reused   (harmless for a chunk not linked)
 *   victims  name up to `max` chunks to evict; they leave the queue
 *   oldest   the next victim, without taking it
 *
 * All are called under the class's lock. Inserts and hits reach the queue through per-thread rings
 * in the order they happened, drained before any victim is chosen.
 */
#ifndef LARDER_POLICY_H
#define LARDER_POLICY_H

#include "store/base/base.h"

/*
 * Where chunks and their side bytes are.
 *
 *   page:  | chunk 0 | chunk 1 | ... | side 0 | side 1 | ... |
 *
 * reference = (address - arena) >> reference_shift. Page 0 is never used, so that 0 names nothing.
 */
struct chunk_space {
	char *arena;
	uint32_t chunk_bytes;
	uint32_t side_offset;     /* of the policy's array in each page */
	uint32_t side_bytes;
	uint32_t chunks_per_page;
	uint64_t reciprocal;      /* of chunk_bytes, see chunk_index */
	uint8_t reference_shift;
	uint8_t page_shift;
};

/* 2^45 / d rounded up: exact at the edges of every chunk, which slab_init asserts. */
#define RECIPROCAL_SHIFT 45
static inline uint64_t chunk_reciprocal(uint32_t chunk_bytes)
{
	return ((1ULL << RECIPROCAL_SHIFT) + chunk_bytes - 1) / chunk_bytes;
}

static inline size_t space_offset(const struct chunk_space *sp, uint32_t reference)
{
	return (size_t)reference << sp->reference_shift;
}

/* Number of the chunk within its page. */
static inline uint32_t space_chunk_index(const struct chunk_space *sp, uint32_t reference)
{
	uint64_t in_page = space_offset(sp, reference) & ((1ULL << sp->page_shift) - 1);

	return (uint32_t)((in_page * sp->reciprocal) >> RECIPROCAL_SHIFT);
}

static inline char *space_page(const struct chunk_space *sp, uint32_t reference)
{
	return sp->arena + ALIGN_DOWN(space_offset(sp, reference), (size_t)1 << sp->page_shift);
}

static inline void *space_side(const struct chunk_space *sp, uint32_t reference)
{
	return space_page(sp, reference) + sp->side_offset +
	       (size_t)space_chunk_index(sp, reference) * sp->side_bytes;
}

struct policy_queue {
	const struct policy_ops *ops;
	struct chunk_space space;
	size_t count; /* linked chunks */
	union {
		struct {
			uint32_t head; /* most recent */
			uint32_t tail; /* next victim */
		} lru;
	} u;
};

struct policy_ops {
	const char *name;
	const char *summary;
	uint32_t side_bytes;
	void (*init)(struct policy_queue *q);
	void (*insert)(struct policy_queue *q, uint32_t reference);
	void (*hit)(struct policy_queue *q, uint32_t reference);
	/* May be absent. Fetches what insert or hit of this chunk will touch beyond its own side bytes;
	 * called without the lock, on chunks of any state. */
	void (*prefetch)(const struct policy_queue *q, uint32_t reference);
	void (*remove)(struct policy_queue *q, uint32_t reference);
	unsigned (*victims)(struct policy_queue *q, uint32_t *references, unsigned max);
	uint32_t (*oldest)(const struct policy_queue *q);
	bool (*linked)(const struct policy_queue *q, uint32_t reference);
	void (*check)(const struct policy_queue *q);
};

static inline void policy_queue_init(struct policy_queue *q, const struct policy_ops *ops,
                                     const struct chunk_space *space)
{
	*q = (struct policy_queue){ .ops = ops, .space = *space };
	ops->init(q);
}

extern const struct policy_ops policy_lru;

/* NULL when there is none of that name. */
const struct policy_ops *policy_find(const char *name);
/* The i-th policy, NULL past the last. */
const struct policy_ops *policy_at(unsigned i);

#endif
