#include "store/index.h"

/* Mean entries a bucket. A bucket of 12 at a mean of 10 needs an overflow bucket in about one case
 * of five: 7.7 bytes an entry, and 1.05 cache lines a hit. Lower means more memory, higher more
 * second lines; memory is flat between 9 and 12. */
#define LOAD_GROW 10
#define LOAD_SHRINK 5
#define BUCKETS_INITIAL 64u /* one OS page */
#define CHARGE_BUCKETS 256u /* buckets are charged 16 KB at a time */
#define CHARGE_OVERFLOW 64u

enum status index_init(struct index *ix, struct budget *budget, uint64_t limit_max_bytes,
                       const struct index_callbacks *callbacks)
{
	*ix = (struct index){ .budget = budget, .callbacks = *callbacks, .overflow_fresh = 1 };
	/* The smallest item takes 24 bytes of arena, so a quarter of the limit is more than enough. */
	uint64_t bucket_bytes = MAX(limit_max_bytes / 4, (uint64_t)1 << 20);

	if (region_reserve(&ix->bucket_region, bucket_bytes, true) != STATUS_OK)
		return STATUS_SYSTEM;
	if (region_reserve(&ix->overflow_region, bucket_bytes, false) != STATUS_OK) {
		region_release(&ix->bucket_region);
		return STATUS_SYSTEM;
	}
	ix->buckets = (struct bucket *)ix->bucket_region.base;
	ix->overflow = (struct bucket *)ix->overflow_region.base;
	ix->bucket_limit = (uint32_t)MIN(bucket_bytes / sizeof(struct bucket), 0x40000000u);
	ix->overflow_limit = ix->bucket_limit;
	lock_init(&ix->resize_lock);
	lock_init(&ix->overflow_lock);
	budget_charge(budget, ACCOUNT_INDEX,
	              CHARGE_BUCKETS * sizeof(struct bucket) + region_own_bytes(&ix->bucket_region));
	ix->charged_buckets = CHARGE_BUCKETS;
	atomic_init(&ix->bucket_count, BUCKETS_INITIAL);
	return STATUS_OK;
}

void index_fini(struct index *ix)
{
	region_release(&ix->overflow_region);
	region_release(&ix->bucket_region);
}

/* ---- slots; relaxed throughout: the bucket's word orders them ---- */

static uint32_t slot_reference(const struct bucket *b, uint32_t slot)
{
	return atomic_load_explicit(&((struct bucket *)b)->references[slot], memory_order_relaxed);
}

static uint8_t slot_tag(const struct bucket *b, uint32_t slot)
{
	return atomic_load_explicit(&((struct bucket *)b)->tags[slot], memory_order_relaxed);
}

static void slot_set(struct bucket *b, uint32_t slot, uint8_t tag, uint32_t reference)
{
	atomic_store_explicit(&b->references[slot], reference, memory_order_relaxed);
	atomic_store_explicit(&b->tags[slot], tag, memory_order_relaxed);
}

static uint32_t bucket_word(const struct bucket *b)
{
	return atomic_load_explicit(&((struct bucket *)b)->word, memory_order_relaxed);
}

static bool bucket_overflows(const struct bucket *b)
{
	return (bucket_word(b) & BUCKET_OVERFLOW) != 0;
}

/* Slots that hold entries; the last one of an overflowing bucket holds a link. */
static uint32_t bucket_slots(const struct bucket *b)
{
	return bucket_overflows(b) ? OVERFLOW_SLOT : BUCKET_SLOTS;
}

static struct bucket *bucket_next(const struct index *ix, const struct bucket *b)
{
	return bucket_overflows(b) ? &ix->overflow[slot_reference(b, OVERFLOW_SLOT)] : NULL;
}

/* The lock bit of a main bucket is held; overflow buckets are guarded by their main bucket's. */
static void set_overflow_bit(struct bucket *b, bool on)
{
	uint32_t word = bucket_word(b);

	atomic_store_explicit(&b->word, on ? word | BUCKET_OVERFLOW : word & ~BUCKET_OVERFLOW,
	                      memory_order_relaxed);
}

static uint32_t epoch_bits(const struct index *ix)
{
	return atomic_load_explicit(&((struct index *)ix)->flush_epoch, memory_order_relaxed)
	       << BUCKET_EPOCH_SHIFT;
}

/* ---- reading ---- */

static unsigned gather(const struct bucket *b, uint8_t tag, uint32_t *references, unsigned n)
{
	uint32_t mask = bucket_match(b, tag);

	if (bucket_overflows(b))
		mask &= (1u << OVERFLOW_SLOT) - 1;
	for (; mask && n < INDEX_CANDIDATES_MAX; mask &= mask - 1)
		references[n++] = slot_reference(b, (uint32_t)__builtin_ctz(mask));
	return n;
}

/* Follows links that may be rewritten meanwhile: numbers are bounded, so every step stays inside
 * the region, and the word of the main bucket decides afterwards whether it was all true. */
static unsigned gather_chain(const struct index *ix, const struct bucket *b, uint8_t tag,
                             uint32_t *references, unsigned n)
{
	for (unsigned steps = 0; bucket_overflows(b) && steps < INDEX_CHAIN_MAX; steps++) {
		uint32_t next = slot_reference(b, OVERFLOW_SLOT);

		if (next >= ix->overflow_limit)
			break;
		b = &ix->overflow[next];
		n = gather(b, tag, references, n);
	}
	return n;
}

unsigned index_candidates(const struct index *ix, uint64_t hash, uint32_t *references)
{
	uint8_t tag = index_tag(hash);
	unsigned spins = 0;

	for (;;) {
		struct bucket *b = index_bucket(ix, hash);
		/* acquire: pairs with the release in index_unlock */
		uint32_t word = atomic_load_explicit(&b->word, memory_order_acquire);

		if (unlikely(word & BUCKET_LOCK)) {
			lock_backoff(&spins);
			continue;
		}
		unsigned n = gather(b, tag, references, 0);

		if (unlikely(word & BUCKET_OVERFLOW))
			n = gather_chain(ix, b, tag, references, n);
		/* acquire fence: the reads above come before the second look at the word */
		atomic_thread_fence(memory_order_acquire);
		if (unlikely(bucket_word(b) != word))
			continue;
		/* The table may have been resized between choosing the bucket and reading it. */
		if (unlikely(index_bucket(ix, hash) != b))
			continue;
		if (unlikely((word & BUCKET_EPOCH) != epoch_bits(ix)))
			return 0;
		return n;
	}
}

/* ---- overflow buckets ---- */

static bool charge_overflow(struct index *ix)
{
	if (ix->overflow_fresh < ix->charged_overflow)
		return true;
	if (ix->charged_overflow + CHARGE_OVERFLOW > ix->overflow_limit ||
	    !budget_take(ix->budget, ACCOUNT_INDEX, CHARGE_OVERFLOW * sizeof(struct bucket)))
		return false;
	ix->charged_overflow += CHARGE_OVERFLOW;
	return true;
}

/* An empty overflow bucket, 0 when there is no memory for one. */
static uint32_t overflow_take(struct index *ix)
{
	uint32_t number = 0;

	lock_acquire(&ix->overflow_lock);
	if (ix->overflow_free) {
		number = ix->overflow_free;
		ix->overflow_free = slot_reference(&ix->overflow[number], 0);
		atomic_store_explicit(&ix->overflow[number].references[0], 0, memory_order_relaxed);
	} else if (charge_overflow(ix)) {
		number = ix->overflow_fresh++;
	}
	if (number)
		ix->overflow_used++;
	lock_release(&ix->overflow_lock);
	return number;
}

/* The bucket is out of its chain and has no entries. */
static void overflow_give(struct index *ix, uint32_t number)
{
	struct bucket *b = &ix->overflow[number];

	lock_acquire(&ix->overflow_lock);
	for (uint32_t i = 0; i < BUCKET_SLOTS; i++)
		slot_set(b, i, 0, 0);
	atomic_store_explicit(&b->word, 0, memory_order_relaxed);
	atomic_store_explicit(&b->references[0], ix->overflow_free, memory_order_relaxed);
	ix->overflow_free = number;
	ix->overflow_used--;
	lock_release(&ix->overflow_lock);
}

/* ---- locking ---- */

static void bucket_lock(struct bucket *b)
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

void index_unlock(struct bucket *b)
{
	atomic_store_explicit(&b->word, (bucket_word(b) & ~BUCKET_LOCK) + BUCKET_VERSION,
	                      memory_order_release);
}

/* Empties a locked bucket and its chain into `visit`. */
static unsigned bucket_purge(struct index *ix, struct bucket *b, void *thread_context)
{
	unsigned entries = 0;

	for (struct bucket *at = b; at;) {
		struct bucket *next = bucket_next(ix, at);
		uint32_t link = next ? slot_reference(at, OVERFLOW_SLOT) : 0;

		for (uint32_t i = 0; i < bucket_slots(at); i++) {
			if (slot_tag(at, i)) {
				ix->callbacks.flushed(thread_context, slot_reference(at, i));
				entries++;
			}
			slot_set(at, i, 0, 0);
		}
		if (link)
			slot_set(at, OVERFLOW_SLOT, 0, 0);
		set_overflow_bit(at, false);
		if (at != b)
			overflow_give(ix, (uint32_t)(at - ix->overflow));
		at = next;
	}
	return entries;
}

static unsigned bucket_renew(struct index *ix, struct bucket *b, void *thread_context)
{
	unsigned entries = bucket_purge(ix, b, thread_context);
	uint32_t word = (bucket_word(b) & ~BUCKET_EPOCH) | epoch_bits(ix);

	atomic_store_explicit(&b->word, word, memory_order_relaxed);
	return entries;
}

/* Takes out of a locked bucket what was flushed. Returns how many entries that were. */
static inline unsigned bucket_refresh(struct index *ix, struct bucket *b, void *thread_context)
{
	if (likely((bucket_word(b) & BUCKET_EPOCH) == epoch_bits(ix)))
		return 0;
	return bucket_renew(ix, b, thread_context);
}

struct bucket *index_lock(struct index *ix, uint64_t hash, void *thread_context)
{
	for (;;) {
		struct bucket *b = index_bucket(ix, hash);

		bucket_lock(b);
		if (likely(index_bucket(ix, hash) == b)) {
			bucket_refresh(ix, b, thread_context);
			return b;
		}
		index_unlock(b);
	}
}

/* ---- writing ---- */

/* Entries of a bucket with this tag, or all for tag 0, a bit each. */
static uint32_t entries_of(const struct bucket *b, uint8_t tag)
{
	uint32_t slots = (1u << bucket_slots(b)) - 1;

	return tag ? bucket_match(b, tag) & slots : ~bucket_match(b, 0) & slots;
}

static bool scan_from(const struct index *ix, struct index_slot *at, uint8_t tag, uint32_t *reference)
{
	for (; at->bucket; at->bucket = bucket_next(ix, at->bucket), at->slot = 0) {
		uint32_t mask = entries_of(at->bucket, tag) >> at->slot;

		if (mask) {
			at->slot += (uint32_t)__builtin_ctz(mask);
			*reference = slot_reference(at->bucket, at->slot);
			return true;
		}
	}
	return false;
}

bool index_scan(const struct index *ix, struct bucket *locked, uint64_t hash, struct index_slot *at,
                uint32_t *reference)
{
	if (!at->bucket)
		*at = (struct index_slot){ .bucket = locked };
	else
		at->slot++;
	return scan_from(ix, at, index_tag(hash), reference);
}

bool index_any(const struct index *ix, struct bucket *locked, struct index_slot *at,
               uint32_t *reference)
{
	if (!at->bucket)
		*at = (struct index_slot){ .bucket = locked };
	else
		at->slot++;
	return scan_from(ix, at, 0, reference);
}

void index_replace(const struct index_slot *at, uint32_t reference)
{
	atomic_store_explicit(&at->bucket->references[at->slot], reference, memory_order_relaxed);
}

static bool find_empty(const struct index *ix, struct bucket *locked, struct index_slot *at)
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

static struct bucket *chain_last(const struct index *ix, struct bucket *b)
{
	for (struct bucket *next = bucket_next(ix, b); next; next = bucket_next(ix, b))
		b = next;
	return b;
}

static uint32_t chain_length(const struct index *ix, struct bucket *b)
{
	uint32_t length = 0;

	for (b = bucket_next(ix, b); b; b = bucket_next(ix, b))
		length++;
	return length;
}

/* Appends an empty bucket to the chain; the entry of the slot that the link takes moves into it. */
static void chain_extend(struct index *ix, struct bucket *locked, uint32_t number)
{
	struct bucket *last = chain_last(ix, locked);

	slot_set(&ix->overflow[number], 0, slot_tag(last, OVERFLOW_SLOT),
	         slot_reference(last, OVERFLOW_SLOT));
	slot_set(last, OVERFLOW_SLOT, 0, number);
	set_overflow_bit(last, true);
}

bool index_insert(struct index *ix, struct bucket *locked, uint64_t hash, uint32_t reference)
{
	struct index_slot at;

	if (unlikely(!find_empty(ix, locked, &at))) {
		uint32_t number = 0;

		if (chain_length(ix, locked) < INDEX_CHAIN_MAX)
			number = overflow_take(ix);
		if (!number)
			return false;
		chain_extend(ix, locked, number);
		find_empty(ix, locked, &at);
	}
	slot_set(at.bucket, at.slot, index_tag(hash), reference);
	return true;
}

/* Unlinks the chain's last bucket if it has no entries; then its link's slot is empty. */
static void chain_trim(struct index *ix, struct bucket *locked)
{
	struct bucket *before = NULL, *last = locked;

	for (struct bucket *next = bucket_next(ix, last); next; next = bucket_next(ix, last)) {
		before = last;
		last = next;
	}
	if (!before)
		return;
	for (uint32_t i = 0; i < BUCKET_SLOTS; i++)
		if (slot_tag(last, i))
			return;
	uint32_t number = slot_reference(before, OVERFLOW_SLOT);

	set_overflow_bit(before, false);
	slot_set(before, OVERFLOW_SLOT, 0, 0);
	overflow_give(ix, number);
}

/* The hole is filled from the end of the chain, so that chains shorten. */
void index_remove(struct index *ix, struct bucket *locked, const struct index_slot *at)
{
	struct bucket *last = chain_last(ix, locked);

	if (likely(last == locked)) {
		slot_set(at->bucket, at->slot, 0, 0);
		return;
	}
	slot_set(at->bucket, at->slot, 0, 0);
	for (uint32_t i = BUCKET_SLOTS; i-- > 0;) {
		if (!slot_tag(last, i))
			continue;
		if (last != at->bucket) {
			slot_set(at->bucket, at->slot, slot_tag(last, i), slot_reference(last, i));
			slot_set(last, i, 0, 0);
		}
		break;
	}
	chain_trim(ix, locked);
}

/* ---- growing ---- */

/* Takes spare overflow buckets until there are `wanted`, so that what follows cannot fail half-way. */
static bool stock_spares(struct index *ix, uint32_t wanted) REQUIRES(ix->resize_lock)
{
	if (wanted > ARRAY_LENGTH(ix->spares))
		return false;
	while (ix->spare_count < wanted) {
		uint32_t number = overflow_take(ix);

		if (!number)
			return false;
		ix->spares[ix->spare_count++] = number;
	}
	return true;
}

static void return_spares(struct index *ix) REQUIRES(ix->resize_lock)
{
	while (ix->spare_count > 0)
		overflow_give(ix, ix->spares[--ix->spare_count]);
}

/* Inserts with an overflow bucket from the spares, which the caller stocked. */
static void insert_stocked(struct index *ix, struct bucket *locked, uint8_t tag, uint32_t reference)
	REQUIRES(ix->resize_lock)
{
	struct index_slot at;

	if (!find_empty(ix, locked, &at)) {
		assert(ix->spare_count > 0);
		chain_extend(ix, locked, ix->spares[--ix->spare_count]);
		find_empty(ix, locked, &at);
	}
	slot_set(at.bucket, at.slot, tag, reference);
}

/* Moves the entry at *at over; the hole is filled from the chain's end, so the same slot is next,
 * or, where the chain may have lost this bucket, all of it once more. */
static void move_entry(struct index *ix, struct bucket *from, struct index_slot *at,
                       struct bucket *to, uint32_t reference)
{
	insert_stocked(ix, to, slot_tag(at->bucket, at->slot), reference);
	index_remove(ix, from, at);
	if (at->bucket != from)
		*at = (struct index_slot){ .bucket = from };
}

/* Moves the entries of `from` that now belong to bucket `to_number`. Both are locked; `to` takes at
 * most as many overflow buckets as `from` has. */
static void split_entries(struct index *ix, struct bucket *from, struct bucket *to,
                          uint32_t to_number, uint32_t new_count)
{
	struct index_slot at = { .bucket = from };
	uint32_t reference;

	for (; scan_from(ix, &at, 0, &reference); at.slot++)
		ix->callbacks.prefetch(ix->callbacks.context, reference);
	at = (struct index_slot){ .bucket = from };
	while (scan_from(ix, &at, 0, &reference)) {
		uint64_t hash = ix->callbacks.hash_of(ix->callbacks.context, reference);

		if (index_position(new_count, hash) == to_number)
			move_entry(ix, from, &at, to, reference);
		else
			at.slot++;
	}
}

static void merge_entries(struct index *ix, struct bucket *from, struct bucket *into)
{
	struct index_slot at = { .bucket = from };
	uint32_t reference;

	while (scan_from(ix, &at, 0, &reference))
		move_entry(ix, from, &at, into, reference);
}

static bool charge_bucket(struct index *ix, uint32_t number)
{
	if (number < ix->charged_buckets)
		return true;
	if (!budget_take(ix->budget, ACCOUNT_INDEX, CHARGE_BUCKETS * sizeof(struct bucket))) {
		atomic_store_explicit(&ix->wants_memory, true, memory_order_relaxed);
		return false;
	}
	ix->charged_buckets += CHARGE_BUCKETS;
	return true;
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
	atomic_store_explicit(&to->word, (bucket_word(to) & ~BUCKET_EPOCH) | epoch_bits(ix),
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

	if (count <= BUCKETS_INITIAL)
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
	while (ix->charged_buckets >= index_bucket_count(ix) + 2 * CHARGE_BUCKETS) {
		ix->charged_buckets -= CHARGE_BUCKETS;
		region_drop(&ix->bucket_region, (size_t)ix->charged_buckets * sizeof(struct bucket),
		            CHARGE_BUCKETS * sizeof(struct bucket));
		budget_give(ix->budget, ACCOUNT_INDEX, CHARGE_BUCKETS * sizeof(struct bucket));
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
	lock_release(&ix->resize_lock);
	return steps;
}

/* ---- flushing ---- */

static bool sweep_some(struct index *ix, unsigned max_buckets, unsigned max_entries,
                       void *thread_context) REQUIRES(ix->resize_lock)
{
	unsigned entries = 0;

	for (unsigned i = 0; ix->sweep_active && i < max_buckets && entries < max_entries; i++) {
		if (ix->sweep_next >= index_bucket_count(ix)) {
			ix->sweep_active = false;
			break;
		}
		struct bucket *b = &ix->buckets[ix->sweep_next++];

		bucket_lock(b);
		entries += bucket_refresh(ix, b, thread_context);
		index_unlock(b);
	}
	return ix->sweep_active;
}

bool index_flush(struct index *ix)
{
	if (!lock_try(&ix->resize_lock))
		return false;
	bool ready = !ix->sweep_active;

	/* With two bits the epoch would come round after four flushes, so there is one at a time. */
	if (ready) {
		uint32_t epoch = atomic_load_explicit(&ix->flush_epoch, memory_order_relaxed);

		atomic_store_explicit(&ix->flush_epoch, (epoch + 1) & 3, memory_order_seq_cst);
		ix->sweep_next = 0;
		ix->sweep_active = true;
	}
	lock_release(&ix->resize_lock);
	return ready;
}

bool index_flush_sweep(struct index *ix, unsigned max_buckets, unsigned max_entries,
                       void *thread_context)
{
	if (!lock_try(&ix->resize_lock))
		return true;
	bool more = sweep_some(ix, max_buckets, max_entries, thread_context);

	lock_release(&ix->resize_lock);
	return more;
}

uint64_t index_bytes(const struct index *ix)
{
	return budget_account(ix->budget, ACCOUNT_INDEX);
}

uint32_t index_bucket_count(const struct index *ix)
{
	return atomic_load_explicit(&((struct index *)ix)->bucket_count, memory_order_relaxed);
}

/* ---- checking ---- */

uint64_t index_check(struct index *ix, void (*visit)(void *context, uint32_t reference, uint64_t hash),
                     void *context)
{
	uint64_t entries = 0;
	uint32_t overflow_used = 0;

	for (uint32_t i = 0; i < index_bucket_count(ix); i++) {
		struct bucket *b = &ix->buckets[i];
		bool current = (bucket_word(b) & BUCKET_EPOCH) == epoch_bits(ix);
		struct index_slot at = { .bucket = b };
		uint32_t reference;

		assert(!(bucket_word(b) & BUCKET_LOCK));
		assert(current || ix->sweep_active);
		overflow_used += chain_length(ix, b);
		for (; scan_from(ix, &at, 0, &reference); at.slot++) {
			uint64_t hash = ix->callbacks.hash_of(ix->callbacks.context, reference);

			assert(reference != 0);
			assert(slot_tag(at.bucket, at.slot) == index_tag(hash));
			assert(index_position(index_bucket_count(ix), hash) == i);
			if (!current)
				continue;
			entries++;
			if (visit)
				visit(context, reference, hash);
		}
	}
	assert(overflow_used == ix->overflow_used);
	assert((ix->charged_buckets + ix->charged_overflow) * sizeof(struct bucket) +
	               region_own_bytes(&ix->bucket_region) ==
	       budget_account(ix->budget, ACCOUNT_INDEX));
	assert(index_bucket_count(ix) <= ix->charged_buckets);
	return entries;
}
