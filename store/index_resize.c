/*
 * index_resize.c: the table grows and shrinks by a bucket at a time (linear hashing; see index.h).
 * A split or merge has the overflow buckets that it may need at hand before it moves anything.
 */
#include "store/index_bucket.h"

/* Mean entries a bucket. A bucket of 12 at a mean of 10 needs an overflow bucket in about one case
 * of five: 7.7 bytes an entry, and 1.05 cache lines a hit. Lower means more memory, higher more
 * second lines; memory is flat between 9 and 12. */
#define LOAD_GROW 10
#define LOAD_SHRINK 5
/* Charged before they are needed: a stock of new entries takes some ten. */
#define AHEAD_BUCKETS 128u

/* ---- growing ---- */

/* Takes spare overflow buckets until there are `wanted`, so that what follows cannot fail half-way. */
static bool stock_spares(struct index *ix, uint32_t wanted) REQUIRES(ix->resize_lock)
{
	if (wanted > ARRAY_LENGTH(ix->spares))
		return false;
	while (ix->spare_count < wanted) {
		uint32_t number = index_overflow_take(ix);

		if (!number)
			return false;
		ix->spares[ix->spare_count++] = number;
	}
	return true;
}

static void return_spares(struct index *ix) REQUIRES(ix->resize_lock)
{
	while (ix->spare_count > 0)
		index_overflow_give(ix, ix->spares[--ix->spare_count]);
}

/* Inserts with an overflow bucket from the spares, which the caller stocked. */
static void insert_stocked(struct index *ix, struct bucket *locked, uint8_t tag, uint32_t reference)
	REQUIRES(ix->resize_lock)
{
	struct index_slot at;

	if (!chain_find_empty(ix, locked, &at)) {
		assert(ix->spare_count > 0);
		at = index_chain_extend(ix, locked, ix->spares[--ix->spare_count]);
	}
	slot_set(at.bucket, at.slot, tag, reference);
}

/* Moves the entry at *at over; the hole is filled from the chain's end, so the same slot is next,
 * or, where the chain may have lost this bucket, all of it once more. */
static void move_entry(struct index *ix, struct bucket *from, struct index_slot *at,
                       struct bucket *to, uint32_t reference) REQUIRES(ix->resize_lock)
{
	insert_stocked(ix, to, slot_tag(at->bucket, at->slot), reference);
	index_remove(ix, from, at);
	if (at->bucket != from)
		*at = (struct index_slot){ .bucket = from };
}

/* Moves the entries of `from` that now belong to bucket `to_number`. Both are locked; `to` takes at
 * most as many overflow buckets as `from` has. */
static void split_entries(struct index *ix, struct bucket *from, struct bucket *to,
                          uint32_t to_number, uint32_t new_count) REQUIRES(ix->resize_lock)
{
	struct index_slot at = { .bucket = from };
	uint32_t reference;

	for (; chain_scan(ix, &at, 0, &reference); at.slot++)
		ix->callbacks.prefetch(ix->callbacks.context, reference);
	at = (struct index_slot){ .bucket = from };
	while (chain_scan(ix, &at, 0, &reference)) {
		uint64_t hash = ix->callbacks.hash_of(ix->callbacks.context, reference);

		if (index_position(new_count, hash) == to_number)
			move_entry(ix, from, &at, to, reference);
		else
			at.slot++;
	}
}

static void merge_entries(struct index *ix, struct bucket *from, struct bucket *into) REQUIRES(ix->resize_lock)
{
	struct index_slot at = { .bucket = from };
	uint32_t reference;

	while (chain_scan(ix, &at, 0, &reference))
		move_entry(ix, from, &at, into, reference);
}

static bool charge_buckets(struct index *ix) REQUIRES(ix->resize_lock)
{
	if (!budget_take(ix->budget, ACCOUNT_INDEX, INDEX_CHARGE_BUCKETS * sizeof(struct bucket))) {
		atomic_store_explicit(&ix->wants_memory, true, memory_order_relaxed);
		return false;
	}
	ix->charged_buckets += INDEX_CHARGE_BUCKETS;
	return true;
}

/* Some ahead, so that who is to make room for the next has the time. */
static bool charge_bucket(struct index *ix, uint32_t number) REQUIRES(ix->resize_lock)
{
	if (unlikely(number + AHEAD_BUCKETS >= ix->charged_buckets))
		charge_buckets(ix);
	return number < ix->charged_buckets;
}

void index_feed(struct index *ix)
{
	lock_acquire(&ix->resize_lock);
	if (ix->charged_buckets < index_bucket_count(ix) + INDEX_CHARGE_BUCKETS)
		charge_buckets(ix);
	lock_release(&ix->resize_lock);
	index_overflow_feed(ix);
}

/* Splits the next bucket in line. Under resize_lock. */
static bool grow_one(struct index *ix, void *thread_context) REQUIRES(ix->resize_lock)
{
	uint32_t count = atomic_load_explicit(&ix->bucket_count, memory_order_relaxed);

	if (count >= ix->bucket_limit || !charge_bucket(ix, count))
		return false;
	uint32_t top = 1u << (31 - __builtin_clz(count));
	struct bucket *from = &ix->buckets[count - top];
	struct bucket *to = &ix->buckets[count];
	bool done = false;

	bucket_lock(from);
	bucket_refresh(ix, from, thread_context);
	bucket_lock(to);
	atomic_store_explicit(&to->word, (bucket_word(to) & ~BUCKET_EPOCH) | index_epoch_bits(ix),
	                      memory_order_relaxed);
	if (stock_spares(ix, chain_length(ix, from))) {
		split_entries(ix, from, to, count, count + 1);
		/* release: pairs with index_bucket */
		atomic_store_explicit(&ix->bucket_count, count + 1, memory_order_release);
		done = true;
	}
	index_unlock(to);
	index_unlock(from);
	return done;
}

void index_adjust(struct index *ix, int64_t delta, void *thread_context)
{
	/* relaxed: a count that is a little late grows the table a little late */
	int64_t items = atomic_fetch_add_explicit(&ix->item_count, delta, memory_order_relaxed) + delta;

	if (items <= (int64_t)index_bucket_count(ix) * LOAD_GROW || !lock_try(&ix->resize_lock))
		return;
	/* Twice as many steps as entries came, so that growth catches up and never lags. */
	for (unsigned i = 0; i < INDEX_GROW_STEPS_MAX; i++) {
		if (items <= (int64_t)index_bucket_count(ix) * LOAD_GROW)
			break;
		if (!grow_one(ix, thread_context))
			break;
	}
	return_spares(ix);
	lock_release(&ix->resize_lock);
}

/* ---- shrinking ---- */

static bool shrink_one(struct index *ix, void *thread_context) REQUIRES(ix->resize_lock)
{
	uint32_t count = index_bucket_count(ix);

	if (count <= INDEX_BUCKETS_INITIAL)
		return false;
	uint32_t last = count - 1;
	uint32_t top = 1u << (31 - __builtin_clz(last));
	struct bucket *from = &ix->buckets[last];
	struct bucket *into = &ix->buckets[last - top];
	bool done = false;

	bucket_lock(into);
	bucket_refresh(ix, into, thread_context);
	bucket_lock(from);
	bucket_refresh(ix, from, thread_context);
	if (stock_spares(ix, chain_length(ix, from) + 1)) {
		merge_entries(ix, from, into);
		atomic_store_explicit(&ix->bucket_count, last, memory_order_release);
		done = true;
	}
	index_unlock(from);
	index_unlock(into);
	return done;
}

/* Buckets past the end are given back a charge at a time; a margin of one stays. */
static void drop_unused_buckets(struct index *ix) REQUIRES(ix->resize_lock)
{
	while (ix->charged_buckets >= index_bucket_count(ix) + 2 * INDEX_CHARGE_BUCKETS) {
		ix->charged_buckets -= INDEX_CHARGE_BUCKETS;
		region_drop(&ix->bucket_region, (size_t)ix->charged_buckets * sizeof(struct bucket),
		            INDEX_CHARGE_BUCKETS * sizeof(struct bucket));
		budget_give(ix->budget, ACCOUNT_INDEX, INDEX_CHARGE_BUCKETS * sizeof(struct bucket));
	}
}

static bool stretch_in_use(const void *context, size_t stretch)
{
	const struct index *ix = context;

	return (stretch + 1) * HUGE_PAGE_BYTES <= (size_t)index_bucket_count(ix) * sizeof(struct bucket);
}

bool index_collapse(struct index *ix, size_t stretch, bool *refused)
{
	return region_collapse(&ix->bucket_region, stretch, stretch_in_use, ix, refused);
}

unsigned index_shrink(struct index *ix, unsigned max_steps, void *thread_context)
{
	unsigned steps = 0;

	if (!lock_try(&ix->resize_lock))
		return 0;
	while (steps < max_steps) {
		int64_t items = atomic_load_explicit(&ix->item_count, memory_order_relaxed);

		if (items >= (int64_t)index_bucket_count(ix) * LOAD_SHRINK ||
		    !shrink_one(ix, thread_context))
			break;
		steps++;
	}
	return_spares(ix);
	drop_unused_buckets(ix);
	index_overflow_trim(ix);
	lock_release(&ix->resize_lock);
	return steps;
}
