/*
 * index.h: key hash to chunk reference, readable without a lock.
 *
 *   bucket, 64 bytes, one cache line:
 *     | word 4 | tag 1 x 12 | reference 4 x 12 |
 *     word: | version 28 | flush epoch 2 | overflow 1 | lock 1 |
 *
 * A tag is 8 bits of the hash (0: empty slot); the twelve are compared at once. A bucket that is full
 * gives its last slot to the number of an overflow bucket of the same shape.
 *
 * Readers are optimistic (a sequence lock, Lameter 2005): read the word, the tags and references, the
 * word again; the same word means that the references belonged together, and inside a turn they stay
 * readable. Writers set the lock bit of their bucket; buckets of different keys never meet.
 *
 * The table grows and shrinks by linear hashing (W. Litwin, "Linear hashing", VLDB 1980): one bucket
 * is split or merged at a time, so that no doubling ever needs memory or time at once. With n buckets
 * and 2^k <= n < 2^(k+1), a hash belongs to bucket h mod 2^(k+1), or h mod 2^k if that is not there yet.
 *
 * Flushing everything is one increment: the flush epoch. A bucket whose own epoch is another one is
 * empty to readers; the next writer, or the sweep, takes out what it held.
 *
 * The index knows references and hashes only. What it needs to know of items it asks through
 * struct index_callbacks.
 */
#ifndef LARDER_INDEX_H
#define LARDER_INDEX_H

#include <stdatomic.h>

#include "store/base/base.h"
#include "store/base/lock.h"
#include "store/base/region.h"
#include "store/budget.h"

#if defined(__SSE2__)
#include <emmintrin.h>
#endif

#define BUCKET_SLOTS 12u
#define OVERFLOW_SLOT (BUCKET_SLOTS - 1)
#define BUCKET_LOCK 1u
#define BUCKET_OVERFLOW 2u
#define BUCKET_EPOCH_SHIFT 2
#define BUCKET_EPOCH (3u << BUCKET_EPOCH_SHIFT)
#define BUCKET_VERSION 16u
#define INDEX_CHAIN_MAX 16u /* overflow buckets of one bucket; past it inserting fails */
#define INDEX_BUCKET_ENTRIES_MAX (BUCKET_SLOTS + INDEX_CHAIN_MAX * OVERFLOW_SLOT)
#define INDEX_GROW_STEPS_MAX 8u /* splits in one index_adjust */

struct bucket {
	_Atomic uint32_t word;
	_Atomic uint8_t tags[BUCKET_SLOTS];
	_Atomic uint32_t references[BUCKET_SLOTS];
};
_Static_assert(sizeof(struct bucket) == CACHE_LINE_BYTES, "a bucket is one cache line");

struct index_callbacks {
	/* the hash of the key in this chunk; called with the chunk's bucket locked */
	uint64_t (*hash_of)(void *context, uint32_t reference);
	/* the hash will be asked for soon */
	void (*prefetch)(void *context, uint32_t reference);
	/* an entry was flushed: it is out of the index, the chunk is the callee's to retire */
	void (*flushed)(void *thread_context, uint32_t reference);
	void *context;
};

struct index {
	/* const after init */
	_Alignas(CACHE_LINE_BYTES) struct bucket *buckets;
	struct bucket *overflow;
	/* atomic: read by every look-up, written when the table grows or is flushed */
	_Atomic uint32_t bucket_count;
	_Atomic uint32_t flush_epoch; /* 0..3 */
	/* const after init */
	struct budget *budget;
	struct index_callbacks callbacks;
	struct region bucket_region;
	struct region overflow_region;
	uint32_t bucket_limit;
	uint32_t overflow_limit;
	/* under resize_lock */
	_Alignas(CACHE_LINE_BYTES) struct lock resize_lock;
	uint32_t charged_buckets;
	uint32_t spare_count; /* overflow buckets held for a split or merge */
	uint32_t spares[INDEX_CHAIN_MAX];
	_Atomic bool wants_memory; /* a split or an entry failed for want of budget; whoever looks clears it */
	/* flush sweep; the maintaining thread or a second flush, under resize_lock */
	uint32_t sweep_next;
	_Atomic bool sweep_active; /* read without the lock by who looks for memory */
	/* under overflow_lock */
	_Alignas(CACHE_LINE_BYTES) struct lock overflow_lock;
	uint32_t overflow_free;
	uint32_t overflow_fresh; /* 0 names none */
	uint32_t overflow_used;
	uint32_t charged_overflow;
	/* atomic: entries, give or take what threads have not yet added */
	_Alignas(CACHE_LINE_BYTES) _Atomic int64_t item_count;
};

enum status index_init(struct index *ix, struct budget *budget, uint64_t limit_max_bytes,
                       const struct index_callbacks *callbacks);
void index_fini(struct index *ix);

/* The tag of a hash, never 0. */
static inline uint8_t index_tag(uint64_t hash)
{
	uint8_t tag = (uint8_t)(hash >> 56);

	return tag ? tag : 1;
}

static inline uint32_t index_position(uint32_t bucket_count, uint64_t hash)
{
	uint32_t mask = 0xffffffffu >> __builtin_clz(bucket_count);
	uint32_t at = (uint32_t)hash & mask;

	return at < bucket_count ? at : at & (mask >> 1);
}

static inline struct bucket *index_bucket(const struct index *ix, uint64_t hash)
{
	/* acquire: pairs with the release that publishes a bucket after it was filled */
	uint32_t count = atomic_load_explicit(&((struct index *)ix)->bucket_count,
	                                      memory_order_acquire);

	return &ix->buckets[index_position(count, hash)];
}

/* Slots with this tag, a bit each. */
static inline uint32_t bucket_match(const struct bucket *b, uint8_t tag)
{
#if defined(__SSE2__) && !defined(THREAD_SANITIZED)
	__m128i line = _mm_load_si128((const __m128i *)(const void *)b);

	return (uint32_t)_mm_movemask_epi8(_mm_cmpeq_epi8(line, _mm_set1_epi8((char)tag))) >> 4;
#else
	uint32_t mask = 0;

	for (unsigned i = 0; i < BUCKET_SLOTS; i++)
		mask |= (uint32_t)(atomic_load_explicit(&((struct bucket *)b)->tags[i],
		                                        memory_order_relaxed) == tag)
		        << i;
	return mask;
#endif
}

/* Candidates for a hash that one look-up may compare; more with one tag are not plausible. */
#define INDEX_CANDIDATES_MAX 32u

/*
 * index_candidates: references under this hash's bucket with its tag, read consistently. Any thread
 * in a turn; the references stay readable until its end. Returns how many. A caller that finds none
 * of them to be its key has a miss.
 */
unsigned index_candidates(const struct index *ix, uint64_t hash, uint32_t *references);

/* index_single: the short way of the same, for what most look-ups find: true if exactly one entry of
 * an undisturbed bucket without overflow entries of its tag matches. False says nothing. */
static inline bool index_single(const struct index *ix, uint64_t hash, uint32_t *reference)
{
	struct bucket *b = index_bucket(ix, hash);
	/* acquire: pairs with the release in index_unlock */
	uint32_t word = atomic_load_explicit(&b->word, memory_order_acquire);
	uint32_t mask = bucket_match(b, index_tag(hash));

	if (word & BUCKET_OVERFLOW)
		mask &= (1u << OVERFLOW_SLOT) - 1;
	if (unlikely(mask == 0 || (mask & (mask - 1)) != 0 || (word & BUCKET_LOCK)))
		return false;
	*reference = atomic_load_explicit(&b->references[__builtin_ctz(mask)], memory_order_relaxed);
	/* acquire fence: the reads above come before the second look at the word */
	atomic_thread_fence(memory_order_acquire);
	/* A bucket that was split or flushed meanwhile has another word, or is of another epoch. */
	return likely(atomic_load_explicit(&b->word, memory_order_relaxed) == word &&
	              (word & BUCKET_EPOCH) ==
	                      atomic_load_explicit(&((struct index *)ix)->flush_epoch,
	                                           memory_order_relaxed)
	                              << BUCKET_EPOCH_SHIFT);
}

/* ---- writing: a locked bucket ---- */

struct index_slot {
	struct bucket *bucket; /* main or overflow */
	uint32_t slot;
};

/* index_lock: the bucket of this hash, locked, with nothing flushed in it. thread_context is handed
 * to callbacks->flushed. */
struct bucket *index_lock(struct index *ix, uint64_t hash, void *thread_context);
void index_unlock(struct bucket *b);

/* index_scan: the next entry with the hash's tag after *at ({0} to start); false at the end. */
bool index_scan(const struct index *ix, struct bucket *locked, uint64_t hash, struct index_slot *at,
                uint32_t *reference);
void index_replace(const struct index_slot *at, uint32_t reference);
void index_remove(struct index *ix, struct bucket *locked, const struct index_slot *at);
/* index_insert: false when an overflow bucket was needed and the budget has none. */
bool index_insert(struct index *ix, struct bucket *locked, uint64_t hash, uint32_t reference);
/* index_any: the next entry of the locked bucket after *at ({0} to start), whatever its tag; for one to
 * be sacrificed when index_insert fails. */
bool index_any(const struct index *ix, struct bucket *locked, struct index_slot *at,
               uint32_t *reference);

/* ---- size ---- */

/* index_adjust: adds to the count and grows the table by a few buckets if it is too full. Any
 * thread, no bucket locked. */
void index_adjust(struct index *ix, int64_t delta, void *thread_context);
/* index_feed: takes memory ahead for buckets and overflow buckets, after wants_memory said that there was none. */
void index_feed(struct index *ix);
/* index_shrink: up to `max_steps` merges while the table is too empty. Returns merges made. */
unsigned index_shrink(struct index *ix, unsigned max_steps, void *thread_context);
/* index_collapse: makes a huge page of the stretch of the buckets, see region_collapse; any thread. */
bool index_collapse(struct index *ix, size_t stretch, bool *refused);

/* ---- flush ---- */

/* index_flush: everything is gone at once. False while an earlier flush is not swept to its end, or
 * the table is being resized: sweep, then call again. */
bool index_flush(struct index *ix);
/* index_flush_sweep: takes out what was flushed, in `max_buckets` buckets or until about
 * `max_entries` came out (one bucket's more at most); false when there is no more. */
bool index_flush_sweep(struct index *ix, unsigned max_buckets, unsigned max_entries,
                       void *thread_context);

/* ---- counts ---- */

uint64_t index_bytes(const struct index *ix);
static inline uint32_t index_bucket_count(const struct index *ix)
{
	return atomic_load_explicit(&((struct index *)ix)->bucket_count, memory_order_relaxed);
}

/* index_check: asserts the invariants and calls `visit` for each entry; no other thread active. */
uint64_t index_check(struct index *ix, void (*visit)(void *context, uint32_t reference, uint64_t hash),
                     void *context);

#endif
