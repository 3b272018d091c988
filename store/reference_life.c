/*
 * reference_life.c: what a life that others know of goes through: it goes on with another item, its version and
 * expiry change, it ends; and items that refer, from their publication until nobody reads them any more.
 */
#include "store/reference_internal.h"

/* ---- one life, other items ---- */

/* What depends on its own version means the one that it makes. */
static void note_own_version(struct store *s, uint32_t reference, const struct block *own,
                             bool changes)
{
	if (!is_referring(s, reference))
		return;
	struct reference_view rv = references_of(s, reference);
	uint64_t next = atomic_load_explicit(&((struct block *)own)->version, memory_order_relaxed) +
	                changes;
	unsigned versions = 0;

	for (unsigned i = 0; i < rv.shape.followed; i++) {
		uint32_t entry = load_u32(rv.followed + 4 * i);

		if ((entry & REFERENCE_KIND_MASK) != REFERENCE_VERSION)
			continue;
		if (block_at(&s->references.blocks, entry >> REFERENCE_KIND_BITS) == own)
			memcpy(rv.versions + 8 * versions, &next, sizeof(next));
		versions++;
	}
}

void tell_from_now(const struct store *s, struct block *b, uint32_t reference)
{
	_Atomic uint32_t *lead = lead_of(s, reference);

	if (!lead)
		return;
	if (b->told)
		atomic_store_explicit(lead_of(s, b->told), 0, memory_order_relaxed);
	b->told = reference;
	tell_lead(s, b);
}

/* One that comes earlier is an event, however far off it is: another thread may be in that second
 * already, with a search behind it. How many references are over by it is known when it comes. */
static void set_block_expiry(struct store *s, struct block *b, uint32_t expiry)
	REQUIRES(s->references.blocks.lock)
{
	uint32_t before = atomic_load_explicit(&b->expiry, memory_order_relaxed);

	atomic_store_explicit(&b->expiry, expiry, memory_order_relaxed);
	if (expiry != EXPIRY_NEVER && (before == EXPIRY_NEVER || expiry < before))
		note_event(s, 0);
}

bool reference_replace(struct store_thread *st, uint64_t hash, uint32_t old, uint32_t reference,
                       bool changes)
{
	struct store *s = st->store;
	struct block_table *bt = &s->references.blocks;
	bool replaced = true;

	lock_acquire(&bt->lock);
	struct block *b = block_find(bt, hash, old);

	if (b) {
		bool held = block_state(b) & BLOCK_PROTECTED;

		replaced = !held || may_hold(s, held_cost(s, old), held_cost(s, reference));
		if (replaced) {
			if (held)
				unprotect_block(st, b, false);
			note_own_version(s, reference, b, changes);
			set_block_expiry(s, b,
			                 slab_get_expiry(&s->slab, slab_class_of(&s->slab, reference),
			                                 reference));
			/* Chained before the item can be found: who finds it then looks behind it. */
			block_change(b, BLOCK_CHAINED | BLOCK_OVER,
			             is_chained_item(s, reference) ? BLOCK_CHAINED : 0);
			atomic_store_explicit(&b->checked, 0, memory_order_relaxed);
			atomic_store_explicit(&b->item, reference, memory_order_release);
			tell_lead(s, b);
			if (held)
				protect_block(s, b);
			stir_block(s, b);
		}
	}
	lock_release(&bt->lock);
	if (replaced)
		atomic_fetch_or_explicit(&chunk_item(s, reference)->word, b ? WORD_REFERRED : 0,
		                         memory_order_relaxed);
	return replaced;
}

void reference_changed(struct store *s, uint64_t hash, uint32_t reference)
{
	struct block_table *bt = &s->references.blocks;

	lock_acquire(&bt->lock);
	struct block *b = block_find(bt, hash, reference);

	if (b) {
		atomic_fetch_add_explicit(&b->version, 1, memory_order_release);
		if (b->versions)
			note_event(s, b->versions);
	}
	lock_release(&bt->lock);
}

void reference_touched(struct store *s, uint64_t hash, uint32_t reference, uint32_t expiry)
{
	struct block_table *bt = &s->references.blocks;

	lock_acquire(&bt->lock);
	struct block *b = block_find(bt, hash, reference);

	if (b)
		set_block_expiry(s, b, expiry);
	lock_release(&bt->lock);
}

/* ---- beginning and end ---- */

static void count_references(struct store *s, uint32_t reference, int by)
{
	struct references *rf = &s->references;
	struct reference_view rv = references_of(s, reference);
	unsigned weak = first_is_weak(&rv);

	atomic_fetch_add_explicit(&slab_page(&s->slab, reference)->referring_count, (uint16_t)by,
	                          memory_order_relaxed);
	atomic_fetch_add_explicit(&rf->weak_count, (uint64_t)((int64_t)weak * by), memory_order_relaxed);
	atomic_fetch_add_explicit(&rf->dependency_count,
	                          (uint64_t)((int64_t)(rv.shape.followed - weak) * by),
	                          memory_order_relaxed);
	atomic_fetch_add_explicit(&rf->hold_count, (uint64_t)((int64_t)rv.shape.holds * by),
	                          memory_order_relaxed);
}

void reference_published(struct store *s, uint32_t reference)
{
	count_references(s, reference, 1);
}

void reference_moved(struct store *s, uint32_t to, uint32_t from)
{
	struct block_table *bt = &s->references.blocks;
	_Atomic uint32_t *lead = lead_of(s, to);

	count_references(s, to, 1);
	count_references(s, from, -1);
	if (!lead)
		return;
	/* It is no part of what was copied. */
	atomic_store_explicit(lead, 0, memory_order_relaxed);
	lock_acquire(&bt->lock);
	struct block *b = first_block(s, to);

	if (b->told == from)
		tell_from_now(s, b, to);
	lock_release(&bt->lock);
}

void reference_flushed(struct store *s)
{
	note_event(s, 0);
}

void reference_end(struct store_thread *st, uint64_t hash, uint32_t reference)
{
	struct store *s = st->store;
	struct block_table *bt = &s->references.blocks;

	lock_acquire(&bt->lock);
	struct block *b = block_find(bt, hash, reference);

	if (b) {
		unprotect_block(st, b, false);
		forget_release(s, b);
		block_end(bt, b);
		tell_lead(s, b);
		/* What lived by one that was over already was over with it, and nothing was found sound by it since: else
		 * each of a chain would have all that is sound searched again. */
		if (b->references > b->holds && !((block_state(b) & BLOCK_CHAINED) && follows_ended(s, reference)))
			note_event(s, b->references - b->holds);
	}
	lock_release(&bt->lock);
}

static void give_holds(struct store_thread *st, const struct reference_view *rv, bool collected)
{
	struct block_table *bt = &st->store->references.blocks;

	for (unsigned i = 0; i < rv->shape.holds; i++) {
		uint32_t number = load_u32(rv->holds + 4 * i);

		store_u32(rv->holds + 4 * i, 0);
		if (number)
			give_hold(st, block_at(bt, number), collected);
	}
}

void reference_retired(struct store_thread *st, uint32_t reference, bool collected)
{
	struct store *s = st->store;
	struct block_table *bt = &s->references.blocks;
	struct reference_view rv = references_of(s, reference);

	count_references(s, reference, -1);
	if (rv.shape.holds == 0)
		return;
	/* The rest is given back with the item's memory: readers of this turn follow it. */
	ring_room(st, REFERENCES_MAX);
	lock_acquire(&bt->lock);
	give_holds(st, &rv, collected);
	lock_release(&bt->lock);
}

void reference_release(struct store_thread *st, uint32_t reference)
{
	struct store *s = st->store;
	struct block_table *bt = &s->references.blocks;
	struct reference_view rv = references_of(s, reference);

	ring_room(st, REFERENCES_MAX);
	lock_acquire(&bt->lock);
	give_holds(st, &rv, false);
	for (unsigned i = 0; i < rv.shape.followed; i++) {
		uint32_t entry = load_u32(rv.followed + 4 * i);

		store_u32(rv.followed + 4 * i, 0);
		if (!(entry >> REFERENCE_KIND_BITS))
			continue;
		struct block *b = block_at(bt, entry >> REFERENCE_KIND_BITS);

		if (b->told == reference)
			b->told = 0;
		give_reference(s, b, (enum reference_kind)(entry & REFERENCE_KIND_MASK));
	}
	lock_release(&bt->lock);
}
