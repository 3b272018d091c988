/*
 * ghost.h: a memory of keys that were evicted a short while ago, two bytes each.
 *
 *   bucket (one cache line):  | cursor 2 | 31 x ( origin 1 bit | fingerprint 15 bits ) |
 *
 * The hash chooses a bucket; within it the oldest entry makes way for the newest, so the table as a
 * whole forgets roughly in the order of evictions. A key that was never there is taken for a ghost
 * once in about 2,000 look-ups of a full table (31 entries, 15 bits, half of them of one origin).
 *
 * The table follows the number of chunks that there are, by linear hashing: a new bucket starts as a
 * copy of the one that it shares keys with, so that growing forgets nothing; what a copy holds of the
 * other's keys ages out.
 *
 * ghost_add and ghost_take: any thread, no lock. Two that meet in one bucket may lose an entry.
 */
#ifndef LARDER_GHOST_H
#define LARDER_GHOST_H

#include <stdatomic.h>

#include "store/base/base.h"
#include "store/base/lock.h"
#include "store/base/region.h"

#define GHOST_BUCKET_ENTRIES 31u

/* Where memory beyond the arena comes from. take: false when there is none. */
struct policy_memory {
	bool (*take)(void *context, uint64_t bytes);
	void (*give)(void *context, uint64_t bytes);
	void *context;
};

/* What a key was when it was evicted. */
enum ghost_origin { GHOST_NONE, GHOST_UNPROVEN, GHOST_PROVEN };

struct ghost_bucket {
	_Alignas(CACHE_LINE_BYTES) _Atomic uint16_t cursor;
	_Atomic uint16_t entries[GHOST_BUCKET_ENTRIES]; /* 0: none */
};

struct ghost_table {
	/* const after init */
	struct region region;
	struct policy_memory memory;
	/* atomic */
	_Atomic uint32_t bucket_count;
	_Atomic bool used; /* something was added: until then growing copies nothing */
	/* under lock */
	struct lock lock;
	uint64_t wanted_entries;
	uint64_t charged_bytes;
};

/* entries_max bounds the address space. STATUS_SYSTEM when there is none. */
enum status ghost_init(struct ghost_table *g, const struct policy_memory *memory,
                       uint64_t entries_max);
void ghost_fini(struct ghost_table *g);

/* ghost_resize: so many entries more (or fewer) are wanted. Where memory is refused the table stays
 * smaller, and tries again the next time. */
void ghost_resize(struct ghost_table *g, int64_t entries);

void ghost_add(struct ghost_table *g, uint64_t hash, enum ghost_origin origin);
/* ghost_take: finds the key and forgets it. */
enum ghost_origin ghost_take(struct ghost_table *g, uint64_t hash);
void ghost_prefetch(const struct ghost_table *g, uint64_t hash);

static inline uint64_t ghost_capacity(const struct ghost_table *g)
{
	/* relaxed: a hint */
	return (uint64_t)atomic_load_explicit(&((struct ghost_table *)g)->bucket_count,
	                                      memory_order_relaxed) * GHOST_BUCKET_ENTRIES;
}

void ghost_check(const struct ghost_table *g);

#endif
