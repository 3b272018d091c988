/*
 * mini.h: a cache of keys without values, run by a policy of this directory: what a policy would have
 * kept, for simulations off line (larder-sim) and of samples of the traffic (mrc.h).
 *
 *   key hash --table--> chunk reference --> | hash 8 | weight 4 | - 4 |  state, side bytes
 *
 * One queue, whatever the weights; a key that is not there is stored at once, and victims make room
 * one at a time, so that policies with an exact order are exact here. Two keys with one hash are one
 * key. Not thread-safe; nothing is shared between two of them. It must stay where it is.
 */
#ifndef LARDER_MINI_H
#define LARDER_MINI_H

#include "eviction/policy.h"

struct mini_options {
	const struct policy_ops *policy;
	uint64_t capacity;          /* sum of the weights that fit */
	uint32_t entries_max;       /* never more keys than this, whatever they weigh */
	struct policy_memory memory;
	uint8_t page_shift;         /* keys lie in pages of so many bytes; 0: 14, for many of them */
	/* May be NULL. Asked, with memory's context, before memory for more keys is taken: what the policy
	 * needs for those that are in comes and goes, and should be there when it is wanted. */
	bool (*may_grow)(void *context, uint64_t bytes);
};

struct mini_cache {
	struct policy_shared shared;
	struct policy_queue queue;
	struct region arena;
	struct policy_memory memory;
	bool (*may_grow)(void *context, uint64_t bytes);
	bool full;                  /* something was evicted since it began */
	bool starved;               /* memory for more keys was refused; whoever looks clears it */
	uint64_t capacity;
	uint64_t weight;            /* of the keys that are in */
	uint64_t fixed_bytes;       /* charged for as long as it lives */
	uint32_t entries_max;
	uint32_t entry_count;
	uint32_t page_count;
	uint32_t fresh_index;       /* chunks of the last page from here on were never used */
	uint32_t free_head;         /* the chunk that was freed last is used next */
	uint32_t *table;            /* references, 0: empty; linear probing */
	uint32_t table_slots;       /* a power of two */
	uint8_t table_shift;
	uint8_t page_shift;
};

/* STATUS_NO_MEMORY when the first page or table is refused, STATUS_SYSTEM without address space. */
enum status mini_init(struct mini_cache *m, const struct mini_options *options);
void mini_fini(struct mini_cache *m);

/* mini_access: true for a hit; on a miss the key is in from here on, unless it weighs more than the
 * capacity or memory for it was refused and nothing was there to evict. */
bool mini_access(struct mini_cache *m, uint64_t hash, uint32_t weight);
/* mini_hit: the same for a key whose weight is not known: what is missing stays so. */
bool mini_hit(struct mini_cache *m, uint64_t hash);
/* mini_set: a key is written, which is no access: it is in from here on, with this weight (as far as
 * mini_access can promise that), where the policy puts what is written. */
void mini_set(struct mini_cache *m, uint64_t hash, uint32_t weight);
bool mini_has(const struct mini_cache *m, uint64_t hash);
/* mini_reads: how often it was hit since it is in, up to STATE_READS_MAX, as far as the policy lets
 * that stand. */
unsigned mini_reads(const struct mini_cache *m, uint64_t hash);
void mini_remove(struct mini_cache *m, uint64_t hash);

/* A smaller capacity takes effect with the next misses. */
void mini_set_capacity(struct mini_cache *m, uint64_t capacity);
/* mini_filter: forgets the keys that `keep` does not want. */
void mini_filter(struct mini_cache *m, bool (*keep)(const void *context, uint64_t hash),
                 const void *context);

/* mini_shrink: gives back the pages that its keys do not fill, and what its table has too much. */
void mini_shrink(struct mini_cache *m);

void mini_check(const struct mini_cache *m);

#endif
