/*
 * index_bucket.h: the inside of a bucket and of its chain, for the files of the index only.
 *
 *     index.c            look-ups, and entries that come and go
 *     index_overflow.c   overflow buckets
 *     index_resize.c     growing and shrinking
 *     index_flush.c      flushing
 *
 * Inline, since a look-up or a change is made of them. Where nothing else is said the main bucket is locked;
 * overflow buckets are guarded by their main bucket's lock.
 */
#ifndef LARDER_INDEX_BUCKET_H
#define LARDER_INDEX_BUCKET_H

#include "store/index.h"

#define INDEX_BUCKETS_INITIAL 64u /* one OS page */
#define INDEX_CHARGE_BUCKETS 256u /* buckets are charged 16 KB at a time */

/* ---- slots; relaxed throughout: the bucket's word orders them ---- */

static inline uint32_t slot_reference(const struct bucket *b, uint32_t slot)
{
	return atomic_load_explicit(&((struct bucket *)b)->references[slot], memory_order_relaxed);
}

static inline uint8_t slot_tag(const struct bucket *b, uint32_t slot)
{
	return atomic_load_explicit(&((struct bucket *)b)->tags[slot], memory_order_relaxed);
}

static inline void slot_set(struct bucket *b, uint32_t slot, uint8_t tag, uint32_t reference)
{
	atomic_store_explicit(&b->references[slot], reference, memory_order_relaxed);
	atomic_store_explicit(&b->tags[slot], tag, memory_order_relaxed);
}

static inline uint32_t bucket_word(const struct bucket *b)
{
	return atomic_load_explicit(&((struct bucket *)b)->word, memory_order_relaxed);
}

static inline bool bucket_overflows(const struct bucket *b)
{
	return (bucket_word(b) & BUCKET_OVERFLOW) != 0;
}

/* Slots that hold entries; the last one of an overflowing bucket holds a link. */
static inline uint32_t bucket_slots(const struct bucket *b)
{
	return bucket_overflows(b) ? OVERFLOW_SLOT : BUCKET_SLOTS;
}

static inline struct bucket *bucket_next(const struct index *ix, const struct bucket *b)
{
	return bucket_overflows(b) ? &ix->overflow[slot_reference(b, OVERFLOW_SLOT)] : NULL;
}

static inline void bucket_set_overflow(struct bucket *b, bool on)
{
	uint32_t word = bucket_word(b);

	atomic_store_explicit(&b->word, on ? word | BUCKET_OVERFLOW : word & ~BUCKET_OVERFLOW,
	                      memory_order_relaxed);
}

static inline uint32_t index_epoch_bits(const struct index *ix)
{
	return atomic_load_explicit(&((struct index *)ix)->flush_epoch, memory_order_relaxed)
	       << BUCKET_EPOCH_SHIFT;
}

/* ---- locking ---- */

static inline void bucket_lock(struct bucket *b)
{
	unsigned spins = 0;

	for (;;) {
		uint32_t word = bucket_word(b);

		/* acquire: pairs with the release of the previous holder */
		if (!(word & BUCKET_LOCK) &&
		    atomic_compare_exchange_weak_explicit(&b->word, &word, word | BUCKET_LOCK,
		                                          memory_order_acquire, memory_order_relaxed))
			break;
		lock_backoff(&spins);
	}
	/* release fence: readers that see a slot we change also see the lock bit (sequence lock) */
	atomic_thread_fence(memory_order_release);
}

/* Takes out of a locked bucket of an older epoch what was flushed; it is of the present one then. Returns
 * how many entries that were. */
unsigned index_renew_bucket(struct index *ix, struct bucket *b, void *thread_context);

/* The same for a bucket that need not be of an older epoch. */
static inline unsigned bucket_refresh(struct index *ix, struct bucket *b, void *thread_context)
{
	if (likely((bucket_word(b) & BUCKET_EPOCH) == index_epoch_bits(ix)))
		return 0;
	return index_renew_bucket(ix, b, thread_context);
}

/* ---- chains ---- */

/* Entries of a bucket with this tag, or all for tag 0, a bit each. */
static inline uint32_t bucket_entries(const struct bucket *b, uint8_t tag)
{
	uint32_t slots = (1u << bucket_slots(b)) - 1;

	return tag ? bucket_match(b, tag) & slots : ~bucket_match(b, 0) & slots;
}

/* The first entry at *at or after it with this tag, or any for tag 0; false at the end. */
static inline bool chain_scan(const struct index *ix, struct index_slot *at, uint8_t tag,
                              uint32_t *reference)
{
	for (; at->bucket; at->bucket = bucket_next(ix, at->bucket), at->slot = 0) {
		uint32_t mask = bucket_entries(at->bucket, tag) >> at->slot;

		if (mask) {
			at->slot += (uint32_t)__builtin_ctz(mask);
			*reference = slot_reference(at->bucket, at->slot);
			return true;
		}
	}
	return false;
}

static inline bool chain_find_empty(const struct index *ix, struct bucket *locked,
                                    struct index_slot *at)
{
	for (struct bucket *b = locked; b; b = bucket_next(ix, b)) {
		uint32_t empty = bucket_match(b, 0) & ((1u << bucket_slots(b)) - 1);

		if (empty) {
			*at = (struct index_slot){ .bucket = b, .slot = (uint32_t)__builtin_ctz(empty) };
			return true;
		}
	}
	return false;
}

static inline struct bucket *chain_last(const struct index *ix, struct bucket *b)
{
	for (struct bucket *next = bucket_next(ix, b); next; next = bucket_next(ix, b))
		b = next;
	return b;
}

static inline uint32_t chain_length(const struct index *ix, struct bucket *b)
{
	uint32_t length = 0;

	for (b = bucket_next(ix, b); b; b = bucket_next(ix, b))
		length++;
	return length;
}

/* An empty overflow bucket, 0 when there is no memory for one. */
uint32_t index_overflow_take(struct index *ix);
/* The bucket is out of its chain and has no entries. */
void index_overflow_give(struct index *ix, uint32_t number);
/* The part of index_feed that is about these. */
void index_overflow_feed(struct index *ix);
/* index_overflow_trim: when none is used, what they took is given back, but for a handful. */
void index_overflow_trim(struct index *ix);
/* Appends an empty bucket to a full chain; the entry of the slot that the link takes moves into it. Returns
 * the first empty slot. */
struct index_slot index_chain_extend(struct index *ix, struct bucket *locked, uint32_t number);
/* Unlinks the chain's last bucket if it has no entries; then its link's slot is empty. */
void index_chain_trim(struct index *ix, struct bucket *locked);

#endif
