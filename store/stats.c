/*
 * stats.c: sums of what the threads count, and the walk that checks it all.
 */
#include "store/internal.h"

static uint64_t read_counter(const counter *c)
{
	return atomic_load_explicit((counter *)c, memory_order_relaxed);
}

static void sum_class(const struct store *s, unsigned class_index, struct class_counters *sum)
{
	*sum = (struct class_counters){ 0 };
	for (unsigned t = 0; t < s->thread_count; t++) {
		const struct class_counters *cc = &s->threads[t].classes[class_index];
#define X(name) sum->name += read_counter(&cc->name);
		CLASS_COUNTERS(X)
#undef X
	}
}

void store_counters_sum(const struct store *s, struct store_counters *sum)
{
	*sum = (struct store_counters){ 0 };
	for (unsigned i = 1; i <= s->slab.class_count; i++) {
		struct class_counters cc;

		sum_class(s, i, &cc);
		sum->curr_items += cc.items;
		sum->bytes += cc.bytes;
		sum->evictions += cc.evicted;
		sum->evicted_unfetched += cc.evicted_unfetched;
		sum->evicted_active += cc.evicted_active;
		sum->expired += cc.expired;
		sum->expired_unfetched += cc.expired_unfetched;
		sum->flushed += cc.flushed;
		sum->no_memory += cc.out_of_memory;
	}
	for (unsigned t = 0; t < s->thread_count; t++)
		sum->total_items += read_counter(&s->threads[t].total_items);
	sum->page_moves = read_counter(&s->page_moves);
	sum->policy_changes = read_counter(&s->policy_changes);
	sum->hash_bytes = index_bytes(&s->index);
	sum->hash_buckets = index_bucket_count(&s->index);
	sum->arena_bytes = budget_account(&s->budget, ACCOUNT_ITEMS);
	sum->pinned_bytes = atomic_load_explicit(&((struct store *)s)->pinned_bytes,
	                                         memory_order_relaxed);
}

unsigned store_class_count(const struct store *s)
{
	return s->slab.class_count;
}

bool store_class_info(struct store *s, unsigned class_number, struct store_class_info *info)
{
	if (class_number < 1 || class_number > s->slab.class_count)
		return false;
	struct slab_class *sc = &s->slab.classes[class_number];
	struct class_counters cc;

	sum_class(s, class_number, &cc);
	*info = (struct store_class_info){
		.chunk_size = sc->chunk_bytes,
		.chunks_per_page = sc->chunks_per_page,
		.items = cc.items,
		.mem_requested = cc.bytes,
		.evicted = cc.evicted,
		.evicted_unfetched = cc.evicted_unfetched,
		.expired = cc.expired,
		.expired_unfetched = cc.expired_unfetched,
		.out_of_memory = cc.out_of_memory,
		.get_hits = cc.get_hits,
		.cmd_set = cc.cmd_set,
		.delete_hits = cc.delete_hits,
		.incr_hits = cc.incr_hits,
		.decr_hits = cc.decr_hits,
		.cas_hits = cc.cas_hits,
		.cas_badval = cc.cas_badval,
		.touch_hits = cc.touch_hits,
	};
	lock_acquire(&sc->lock);
	struct policy_queue *q = class_queue(sc);
	uint32_t oldest = q->ops->oldest(q);

	info->total_pages = sc->page_count;
	info->total_chunks = (uint64_t)sc->page_count * sc->chunks_per_page;
	/* Not the pages' count: what lies in threads' stocks is free to be used. */
	info->used_chunks = MIN(cc.items + cc.segments, info->total_chunks);
	info->free_chunks = info->total_chunks - info->used_chunks;
	if (oldest)
		info->age_seconds = age_seconds(
			atomic_load_explicit(slab_age(sc, oldest), memory_order_relaxed));
	lock_release(&sc->lock);
	return true;
}

/* ---- checking ---- */

struct check_walk {
	struct store *s;
	uint64_t items[SLAB_CLASS_MAX];
	uint64_t bytes[SLAB_CLASS_MAX];
};

static void check_segments(struct store *s, struct item *it, uint32_t head)
{
	uint64_t room = 0;

	for (uint32_t at = it->next; at;) {
		struct segment *sg = slab_chunk(&s->slab, at);

		assert(item_kind((struct item *)sg) == CHUNK_SEGMENT);
		assert(sg->head == head);
		room += slab_class_of(&s->slab, at)->chunk_bytes - SEGMENT_HEADER;
		at = sg->next;
	}
	assert(room <= (uint64_t)it->value_length + s->slab.chunk_max_bytes);
}

static void check_entry(void *context, uint32_t reference, uint64_t hash)
{
	struct check_walk *walk = context;
	struct store *s = walk->s;
	struct slab_class *sc = slab_class_of(&s->slab, reference);
	struct item *it = chunk_item(s, reference);

	assert(item_kind(it) == CHUNK_ITEM);
	assert(it->key_length >= 1);
	if (sc->big)
		check_segments(s, it, reference);
	else
		assert(item_stored_bytes(sc, it) + it->slack == sc->chunk_bytes);
	if (item_word(it) & WORD_REFERRING)
		reference_check_item(s, reference);
	uint32_t expiry = slab_get_expiry(&s->slab, sc, reference);
	const struct page *pg = slab_page(&s->slab, reference);

	assert(expiry == EXPIRY_NEVER || (pg->min_expiry != 0 && pg->min_expiry <= expiry));
	walk->items[sc->index]++;
	walk->bytes[sc->index] += item_stored_bytes(sc, it);
}

void store_check(struct store *s)
{
	struct check_walk walk = { .s = s };
	uint64_t linked = 0, items = 0;

	drain_rings(s);
	budget_check(&s->budget);
	reference_check(s);
	slab_check(&s->slab);
	index_check(&s->index, check_entry, &walk);
	for (unsigned i = 1; i <= s->slab.class_count; i++) {
		struct class_counters cc;

		sum_class(s, i, &cc);
		/* While a flush is being swept, items are counted that no reader sees. */
		assert(s->index.sweep_active || cc.items == walk.items[i]);
		assert(s->index.sweep_active || cc.bytes == walk.bytes[i]);
		linked += s->slab.classes[i].queues[0].count + s->slab.classes[i].queues[1].count;
		items += cc.items;
	}
	/* Every item is in its queue but for held ones that were named once; what was removed may still be,
	 * until its grace period is over. */
	assert(linked + s->references.parked_count >= items);
	uint64_t waiting = 0;

	for (unsigned t = 0; t < s->thread_count; t++)
		waiting += s->threads[t].limbo.count;
	assert(linked <= items + waiting);
}
