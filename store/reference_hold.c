/*
 * reference_hold.c: how often a block is referred to, and what follows from being held: its item is
 * counted in held_bytes, is not evicted, and keeps its page from being emptied; the collector takes that
 * away from groups that only hold themselves (collect.c), and gives it back.
 */
#include "store/reference_internal.h"

uint64_t reference_held_limit(const struct store *s)
{
	uint64_t limit = budget_limit(&s->budget);

	limit = limit > BUDGET_ALLOWANCE_BYTES ? limit - BUDGET_ALLOWANCE_BYTES : 0;
	return limit / 100 * s->references.held_limit_percent;
}

/* ---- protection ---- */

/* The pages that the item lies on cannot be emptied, or can again. */
static void count_held_pages(struct store *s, uint32_t reference, int by)
{
	struct slab *sl = &s->slab;
	struct item *it = chunk_item(s, reference);
	bool big = slab_class_of(sl, reference)->big;

	atomic_fetch_add_explicit(&slab_page(sl, reference)->held_count, (uint16_t)by,
	                          memory_order_relaxed);
	for (uint32_t at = big ? it->next : 0; at; at = ((struct segment *)slab_chunk(sl, at))->next)
		atomic_fetch_add_explicit(&slab_page(sl, at)->held_count, (uint16_t)by,
		                          memory_order_relaxed);
}

bool may_hold(const struct store *s, uint64_t less, uint64_t more)
{
	uint64_t held = atomic_load_explicit(&((struct store *)s)->references.held_bytes,
	                                     memory_order_relaxed);

	return more <= less || held - less + more <= reference_held_limit(s);
}

void forget_release(struct store *s, struct block *b)
{
	if (!(block_state(b) & BLOCK_RELEASED))
		return;
	block_change(b, BLOCK_RELEASED, 0);
	atomic_fetch_sub_explicit(&s->references.released_count, 1, memory_order_relaxed);
}

void protect_block(struct store *s, struct block *b)
{
	uint32_t item = atomic_load_explicit(&b->item, memory_order_relaxed);

	forget_release(s, b);

	atomic_fetch_add_explicit(&s->references.held_bytes, held_cost(s, item), memory_order_relaxed);
	count_held_pages(s, item, 1);
	block_change(b, 0, BLOCK_PROTECTED);
}

/* unpark: `stays`: the item does, and can be evicted like others. */
static void unpark(struct store_thread *st, struct block *b, bool stays)
{
	if (!(block_state(b) & BLOCK_PARKED))
		return;
	block_change(b, BLOCK_PARKED, 0);
	atomic_fetch_sub_explicit(&st->store->references.parked_count, 1, memory_order_relaxed);
	if (stays)
		ring_push(st, b->item);
}

void unprotect_block(struct store_thread *st, struct block *b, bool stays)
{
	struct store *s = st->store;
	uint32_t item = atomic_load_explicit(&b->item, memory_order_relaxed);

	if (!(block_state(b) & BLOCK_PROTECTED))
		return;
	unpark(st, b, stays);
	atomic_fetch_sub_explicit(&s->references.held_bytes, held_cost(s, item), memory_order_relaxed);
	count_held_pages(s, item, -1);
	block_change(b, BLOCK_PROTECTED, 0);
}

enum protection reference_protection(struct store *s, uint64_t hash, uint32_t reference)
{
	struct block_table *bt = &s->references.blocks;

	lock_acquire(&bt->lock);
	const struct block *b = block_find(bt, hash, reference);
	uint32_t state = b ? block_state(b) : 0;

	lock_release(&bt->lock);
	return state & BLOCK_PROTECTED  ? PROTECTION_HELD
	       : state & BLOCK_RELEASED ? PROTECTION_RELEASED
	                                : PROTECTION_NONE;
}

static bool park(struct store *s, uint64_t hash, uint32_t reference)
{
	struct block *b = block_find(&s->references.blocks, hash, reference);

	if (!b || !(block_state(b) & BLOCK_PROTECTED))
		return false;
	if (!(block_state(b) & BLOCK_PARKED)) {
		block_change(b, 0, BLOCK_PARKED);
		atomic_fetch_add_explicit(&s->references.parked_count, 1, memory_order_relaxed);
	}
	return true;
}

void reference_park(struct store_thread *st, uint64_t hash, uint32_t reference)
{
	struct store *s = st->store;

	lock_acquire(&s->references.blocks.lock);
	bool parked = park(s, hash, reference);

	lock_release(&s->references.blocks.lock);
	/* Held no more, or gone: the policy finds out. */
	if (!parked)
		ring_push(st, reference);
}

bool reference_try_park(struct store *s, uint32_t reference)
{
	/* The class's lock comes after this one, which is therefore not waited for. */
	if (!lock_try(&s->references.blocks.lock))
		return false;
	bool parked = park(s, item_hash(s, reference), reference);

	lock_release(&s->references.blocks.lock);
	return parked;
}

unsigned reference_held_blocks(const struct store *s, uint32_t reference, uint32_t *numbers)
{
	unsigned n = 0;

	if (!is_referring(s, reference))
		return 0;
	struct reference_view rv = references_of(s, reference);

	for (unsigned i = 0; i < rv.shape.holds; i++) {
		uint32_t number = load_u32(rv.holds + 4 * i);

		if (number)
			numbers[n++] = number;
	}
	return n;
}

uint64_t reference_unprotect(struct store_thread *st, struct block *b)
{
	struct store *s = st->store;

	unprotect_block(st, b, true);
	block_change(b, 0, BLOCK_RELEASED);
	atomic_fetch_add_explicit(&s->references.released_count, 1, memory_order_relaxed);
	return bytes_of(s, b->item);
}

void reference_protect_again(struct store *s, struct block *b)
{
	if (may_hold(s, 0, held_cost(s, b->item)))
		protect_block(s, b);
}

/* The holds or the item of the block are others now: see collect.c. One that is held no more is
 * an entry that can be evicted, from which others are reached. */
void stir_block(struct store *s, struct block *b)
{
	if (likely(s->references.collector.phase == COLLECT_IDLE) || (block_state(b) & BLOCK_DEAD))
		return;
	collector_reach(s, b);
}

/* ---- counting ---- */

/* take: one reference more to this block. Counts of 32 bits that are full refuse. */
enum store_result take_reference(struct store *s, struct block *b, enum reference_kind kind)
{
	if (b->references == UINT32_MAX)
		return STORE_NO_MEMORY;
	if (kind == REFERENCE_HOLD) {
		uint32_t state = block_state(b);

		if (!(state & BLOCK_PROTECTED)) {
			if (!may_hold(s, 0, held_cost(s, b->item)))
				return STORE_HELD_LIMIT;
			protect_block(s, b);
		}
		/* What it holds was released with it, and is reached again. */
		if (state & BLOCK_RELEASED)
			collector_reach(s, b);
		b->holds++;
		collector_note_hold(s);
		stir_block(s, b);
	}
	b->references++;
	b->versions += kind == REFERENCE_VERSION;
	return STORE_OK;
}

void free_unreferred(struct store *s, struct block *b)
{
	if (b->references == 0 && !(block_state(b) & BLOCK_LISTED))
		block_free(&s->references.blocks, b);
}

void give_reference(struct store *s, struct block *b, enum reference_kind kind)
{
	assert(b->references > 0);
	assert(kind != REFERENCE_HOLD);
	b->references--;
	b->versions -= kind == REFERENCE_VERSION;
	free_unreferred(s, b);
}

void give_hold(struct store_thread *st, struct block *b, bool collected)
{
	struct store *s = st->store;
	/* Of a group that is evicted this is the next: to a run under way nothing is reached by that. */
	bool is_garbage = collected && (block_state(b) & BLOCK_RELEASED);

	assert(b->holds > 0);
	s->references.collector.changes++;
	if (--b->holds == 0) {
		unprotect_block(st, b, true);
		/* An entry that can be evicted now: what it holds is held by one. */
		if ((block_state(b) & BLOCK_RELEASED) && !collected)
			collector_reach(s, b);
		forget_release(s, b);
	}
	if (!is_garbage)
		stir_block(s, b);
	b->references--;
	free_unreferred(s, b);
}
