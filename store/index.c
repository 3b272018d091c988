/* index.c: look-ups, and entries that come and go; see index.h. */
#include "store/index.h"

#include "store/index_bucket.h"

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
	              INDEX_CHARGE_BUCKETS * sizeof(struct bucket) + region_own_bytes(&ix->bucket_region));
	ix->charged_buckets = INDEX_CHARGE_BUCKETS;
	atomic_init(&ix->bucket_count, INDEX_BUCKETS_INITIAL);
	return STATUS_OK;
}

void index_fini(struct index *ix)
{
	region_release(&ix->overflow_region);
	region_release(&ix->bucket_region);
}

uint64_t index_bytes(const struct index *ix)
{
	return budget_account(ix->budget, ACCOUNT_INDEX);
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
		if (unlikely((word & BUCKET_EPOCH) != index_epoch_bits(ix)))
			return 0;
		return n;
	}
}

/* ---- locking ---- */

void index_unlock(struct bucket *b)
{
	atomic_store_explicit(&b->word, (bucket_word(b) & ~BUCKET_LOCK) + BUCKET_VERSION,
	                      memory_order_release);
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

bool index_scan(const struct index *ix, struct bucket *locked, uint64_t hash, struct index_slot *at,
                uint32_t *reference)
{
	if (!at->bucket)
		*at = (struct index_slot){ .bucket = locked };
	else
		at->slot++;
	return chain_scan(ix, at, index_tag(hash), reference);
}

bool index_any(const struct index *ix, struct bucket *locked, struct index_slot *at,
               uint32_t *reference)
{
	if (!at->bucket)
		*at = (struct index_slot){ .bucket = locked };
	else
		at->slot++;
	return chain_scan(ix, at, 0, reference);
}

void index_replace(const struct index_slot *at, uint32_t reference)
{
	atomic_store_explicit(&at->bucket->references[at->slot], reference, memory_order_relaxed);
}

bool index_insert(struct index *ix, struct bucket *locked, uint64_t hash, uint32_t reference)
{
	struct index_slot at;

	if (unlikely(!chain_find_empty(ix, locked, &at))) {
		uint32_t number = 0;

		if (chain_length(ix, locked) < INDEX_CHAIN_MAX)
			number = index_overflow_take(ix);
		if (!number)
			return false;
		at = index_chain_extend(ix, locked, number);
	}
	slot_set(at.bucket, at.slot, index_tag(hash), reference);
	return true;
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
	index_chain_trim(ix, locked);
}

/* ---- checking ---- */

uint64_t index_check(struct index *ix, void (*visit)(void *context, uint32_t reference, uint64_t hash),
                     void *context)
{
	uint64_t entries = 0;
	uint32_t overflow_used = 0;

	for (uint32_t i = 0; i < index_bucket_count(ix); i++) {
		struct bucket *b = &ix->buckets[i];
		bool current = (bucket_word(b) & BUCKET_EPOCH) == index_epoch_bits(ix);
		struct index_slot at = { .bucket = b };
		uint32_t reference;

		assert(!(bucket_word(b) & BUCKET_LOCK));
		assert(current || ix->sweep_active);
		overflow_used += chain_length(ix, b);
		for (; chain_scan(ix, &at, 0, &reference); at.slot++) {
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
