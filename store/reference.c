/*
 * reference.c: the beginning and end of struct references, what it tells of itself, and what must be true
 * of it. See reference.h; the work is done in reference_acquire.c, _sound.c, _life.c and _hold.c.
 */
#include "store/reference_internal.h"

enum status references_init(struct references *rf, struct budget *budget, uint64_t limit_max_bytes,
                            uint32_t held_limit_percent)
{
	rf->held_limit_percent = held_limit_percent;
	rf->collector.enabled = true;
	rf->collector.threshold = COLLECT_THRESHOLD;
	atomic_init(&rf->events, REFERENCE_EVENTS_FIRST);
	return block_table_init(&rf->blocks, budget, limit_max_bytes);
}

void references_fini(struct references *rf)
{
	block_table_fini(&rf->blocks);
}

/* ---- telling ---- */

bool store_view_references(const struct store_thread *st, const struct item_view *view,
                           struct reference_info *info)
{
	struct store *s = st->store;
	struct block_table *bt = &s->references.blocks;
	uint32_t word = item_word(view->item);

	*info = (struct reference_info){ 0 };
	if (word & WORD_REFERRING) {
		struct reference_view rv = references_of(s, view->reference);

		info->weak = first_is_weak(&rv);
		info->dependencies = (uint8_t)(rv.shape.followed - info->weak);
		info->holds = rv.shape.holds;
	}
	if (word & WORD_REFERRED) {
		lock_acquire(&bt->lock);
		const struct block *b = block_find(bt, item_hash(s, view->reference), view->reference);

		info->held_by = b ? b->holds : 0;
		info->released = b && (block_state(b) & BLOCK_RELEASED);
		lock_release(&bt->lock);
	}
	return word & (WORD_REFERRING | WORD_REFERRED);
}

static void count_collector(struct references *rf, struct reference_counters *n)
{
	lock_acquire(&rf->blocks.lock);
	n->collector_runs = rf->collector.runs;
	n->collector_entries = rf->collector.entries;
	n->collector_bytes = rf->collector.bytes;
	lock_release(&rf->blocks.lock);
}

void store_reference_counters(const struct store *s, struct reference_counters *n)
{
	struct references *rf = (struct references *)&s->references;

	*n = (struct reference_counters){
		.weak_references = atomic_load_explicit(&rf->weak_count, memory_order_relaxed),
		.dependencies = atomic_load_explicit(&rf->dependency_count, memory_order_relaxed),
		.holds = atomic_load_explicit(&rf->hold_count, memory_order_relaxed),
		.control_blocks = atomic_load_explicit(&rf->blocks.block_count, memory_order_relaxed),
		.held_bytes = atomic_load_explicit(&rf->held_bytes, memory_order_relaxed),
		.held_limit_bytes = reference_held_limit(s),
		.dead_reclaimed = atomic_load_explicit(&rf->dead_reclaimed, memory_order_relaxed),
		.last_resort_longest_us =
			atomic_load_explicit(&rf->last_resort_longest_us, memory_order_relaxed),
	};
	count_collector(rf, n);
}

/* ---- checking ---- */

void reference_check_item(const struct store *s, uint32_t reference)
{
	const _Atomic uint32_t *lead = lead_of(s, reference);

	/* Whoever is told is checked where the block is; nobody else has a lead. */
	if (lead && *lead)
		assert(first_block(s, reference)->told == reference);
}

void reference_check(struct store *s)
{
	struct block_table *bt = &s->references.blocks;
	uint64_t held = 0;
	uint32_t released = 0;
	uint64_t parked = 0;

	block_table_check(bt);
	for (uint32_t number = 0; number < block_end_number(bt); number++) {
		if (!block_is_used(bt, number))
			continue;
		const struct block *b = block_at(bt, number);
		uint32_t state = block_state(b);

		if (b->told) {
			assert(lead_of(s, b->told));
			assert(first_block(s, b->told) == b);
			assert(*lead_of(s, b->told) == block_lead(b));
		}
		if (state & BLOCK_DEAD) {
			assert(!(state & (BLOCK_PROTECTED | BLOCK_RELEASED | BLOCK_PARKED)));
			continue;
		}
		assert(item_kind(chunk_item(s, b->item)) == CHUNK_ITEM);
		assert(item_word(chunk_item(s, b->item)) & WORD_REFERRED);
		assert(!(state & BLOCK_OVER) || (state & BLOCK_CHAINED));
		assert(!(state & BLOCK_CHAINED) == !is_chained_item(s, b->item));
		assert(b->expiry == slab_get_expiry(&s->slab, slab_class_of(&s->slab, b->item), b->item));
		assert((b->holds > 0) == ((state & (BLOCK_PROTECTED | BLOCK_RELEASED)) != 0));
		released += (state & BLOCK_RELEASED) != 0;
		parked += (state & BLOCK_PARKED) != 0;
		assert(!(state & BLOCK_PARKED) || (state & BLOCK_PROTECTED));
		if (state & BLOCK_PROTECTED)
			held += held_cost(s, b->item);
	}
	assert(held == s->references.held_bytes);
	assert(released == s->references.released_count);
	assert(parked == s->references.parked_count);
}
