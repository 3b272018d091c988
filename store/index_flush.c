/*
 * index_flush.c: everything is gone at once, and what it held is taken out afterwards; see index.h.
 * By whoever locks a bucket of an older epoch, or by the sweep over all of them.
 */
#include "store/index_bucket.h"

/* Empties a locked bucket and its chain; callbacks.flushed is told of each entry. */
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
		bucket_set_overflow(at, false);
		if (at != b)
			index_overflow_give(ix, (uint32_t)(at - ix->overflow));
		at = next;
	}
	return entries;
}

unsigned index_renew_bucket(struct index *ix, struct bucket *b, void *thread_context)
{
	unsigned entries = bucket_purge(ix, b, thread_context);
	uint32_t word = (bucket_word(b) & ~BUCKET_EPOCH) | index_epoch_bits(ix);

	atomic_store_explicit(&b->word, word, memory_order_relaxed);
	return entries;
}

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
