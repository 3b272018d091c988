/* index_overflow.c: overflow buckets, free and in chains; see index.h. */
#include "store/index_bucket.h"

#define CHARGE_OVERFLOW 64u
/* Charged before they are needed, as buckets are; a stock of new entries takes two. */
#define AHEAD_OVERFLOW 32u

static bool charge_buckets(struct index *ix) REQUIRES(ix->overflow_lock)
{
	if (ix->charged_overflow + CHARGE_OVERFLOW > ix->overflow_limit)
		return false;
	if (!budget_take(ix->budget, ACCOUNT_INDEX, CHARGE_OVERFLOW * sizeof(struct bucket))) {
		atomic_store_explicit(&ix->wants_memory, true, memory_order_relaxed);
		return false;
	}
	ix->charged_overflow += CHARGE_OVERFLOW;
	return true;
}

/* So many that are not in use, in a list or fresh. */
static void charge_ahead(struct index *ix, uint32_t count) REQUIRES(ix->overflow_lock)
{
	if (unlikely(ix->overflow_used + count >= ix->charged_overflow))
		charge_buckets(ix);
}

void index_overflow_feed(struct index *ix)
{
	lock_acquire(&ix->overflow_lock);
	charge_ahead(ix, CHARGE_OVERFLOW);
	lock_release(&ix->overflow_lock);
}

uint32_t index_overflow_take(struct index *ix)
{
	uint32_t number = 0;

	lock_acquire(&ix->overflow_lock);
	charge_ahead(ix, AHEAD_OVERFLOW);
	if (ix->overflow_free) {
		number = ix->overflow_free;
		ix->overflow_free = slot_reference(&ix->overflow[number], 0);
		atomic_store_explicit(&ix->overflow[number].references[0], 0, memory_order_relaxed);
	} else if (ix->overflow_fresh < ix->charged_overflow) {
		number = ix->overflow_fresh++;
	}
	if (number)
		ix->overflow_used++;
	lock_release(&ix->overflow_lock);
	return number;
}

void index_overflow_give(struct index *ix, uint32_t number)
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

void index_overflow_trim(struct index *ix)
{
	lock_acquire(&ix->overflow_lock);
	if (ix->overflow_used == 0 && ix->charged_overflow > CHARGE_OVERFLOW) {
		/* Some stay: the table shrinks by them when nothing else is to be had. */
		region_drop(&ix->overflow_region, 0, ix->charged_overflow * sizeof(struct bucket));
		budget_give(ix->budget, ACCOUNT_INDEX,
		            (ix->charged_overflow - CHARGE_OVERFLOW) * sizeof(struct bucket));
		ix->charged_overflow = CHARGE_OVERFLOW;
		ix->overflow_free = 0;
		ix->overflow_fresh = 1;
	}
	lock_release(&ix->overflow_lock);
}

struct index_slot index_chain_extend(struct index *ix, struct bucket *locked, uint32_t number)
{
	struct bucket *last = chain_last(ix, locked);

	slot_set(&ix->overflow[number], 0, slot_tag(last, OVERFLOW_SLOT),
	         slot_reference(last, OVERFLOW_SLOT));
	slot_set(last, OVERFLOW_SLOT, 0, number);
	bucket_set_overflow(last, true);
	return (struct index_slot){ .bucket = &ix->overflow[number], .slot = 1 };
}

void index_chain_trim(struct index *ix, struct bucket *locked)
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

	bucket_set_overflow(before, false);
	slot_set(before, OVERFLOW_SLOT, 0, 0);
	index_overflow_give(ix, number);
}
