/*
 * reference_sound.c: sound or over? The rules are in references.md.
 *
 * Is an item over? It is if a block that it lives by is dead (or of a flushed epoch, or past its
 * expiry, or of another version), or if the item of such a block is over in turn. The blocks of
 * items that live by nobody are looked at alone, without a lock: one line each. The others (CHAINED)
 * remember when a search last found all behind them sound: `checked` is the count of events then and
 * the second. While both stand nothing can have ended; else the search is made again, under the lock.
 *
 * What a search finds over is remembered too (OVER), else an end with a long way to its dependants would be searched
 * for by each of them. It is said only of what no thread can find sound again, so that it needs no stamp: an item
 * that follows a dead block, a version that is past (one yet to come is the item's own, which is just being made), or
 * a block that is OVER itself. What is only past its expiry is not: another thread may be in the second before, and
 * touch it; and it is dead in a moment anyway, as what was flushed is. The mark is the item's, so it goes when the life
 * goes on with another one, which a thread may do that found it alive just before. Blocks behind it may keep theirs
 * then: all that follows is that they end, a moment early; who finds the entry itself alive, to refer to it anew,
 * takes the mark off.
 */
#include "store/reference_internal.h"

/* Blocks that one search looks at; past it the item counts as over. It bounds the time under the lock
 * to a millisecond, and nobody's dependencies are so deep. */
#define SEARCH_BLOCKS_MAX 8192u

static uint64_t stamp_now(const struct store *s, uint32_t now)
{
	/* acquire: pairs with the release in note_event; what ended before it is seen as ended */
	uint64_t events = atomic_load_explicit(&((struct store *)s)->references.events,
	                                       memory_order_acquire);

	return events << 32 | now;
}

void note_event(struct store *s, uint32_t count)
{
	atomic_fetch_add_explicit(&s->references.dying, count, memory_order_relaxed);
	atomic_fetch_add_explicit(&s->references.events, 1, memory_order_release);
}

/* Blocks whose items live by others and were not checked since `stamp`, in a list. */
struct search {
	uint32_t head;
	uint32_t tail;
	uint32_t count;
	uint32_t last; /* whose item was looked at last */
};

static void search_push(struct block_table *bt, struct search *sr, struct block *b)
{
	uint32_t number = block_number(bt, b);

	if (block_state(b) & BLOCK_VISITED)
		return;
	block_change(b, 0, BLOCK_VISITED);
	b->search = 0;
	if (sr->tail)
		block_at(bt, sr->tail)->search = number;
	else
		sr->head = number;
	sr->tail = number;
	sr->count++;
}

/* Looks at the blocks that an item lives by. False: one is over. Those that lead on go into the
 * list. */
static bool search_item(struct store *s, const struct reference_view *rv, uint32_t now,
                        uint64_t stamp, struct search *sr)
{
	struct block_table *bt = &s->references.blocks;
	unsigned versions = 0;

	for (unsigned i = 0; i < rv->shape.followed; i++) {
		uint32_t entry = load_u32(rv->followed + 4 * i);
		struct block *b = block_at(bt, entry >> REFERENCE_KIND_BITS);

		if (!block_is_sound(s, b, now))
			return false;
		if ((entry & REFERENCE_KIND_MASK) == REFERENCE_VERSION &&
		    atomic_load_explicit(&b->version, memory_order_relaxed) !=
		            load_u64(rv->versions + 8 * versions++))
			return false;
		if ((block_state(b) & BLOCK_CHAINED) &&
		    atomic_load_explicit(&b->checked, memory_order_relaxed) != stamp)
			search_push(bt, sr, b);
	}
	return sr->count <= SEARCH_BLOCKS_MAX;
}

static void count_searched(struct store *s, uint32_t items)
{
	atomic_fetch_add_explicit(&s->references.searched, items, memory_order_relaxed);
}

bool follows_ended(const struct store *s, uint32_t reference)
{
	struct reference_view rv = references_of(s, reference);
	unsigned versions = 0;

	for (unsigned i = 0; i < rv.shape.followed; i++) {
		uint32_t entry = load_u32(rv.followed + 4 * i);
		const struct block *b = block_at(&s->references.blocks, entry >> REFERENCE_KIND_BITS);

		if (block_state(b) & (BLOCK_DEAD | BLOCK_OVER))
			return true;
		if ((entry & REFERENCE_KIND_MASK) == REFERENCE_VERSION &&
		    atomic_load_explicit(&((struct block *)b)->version, memory_order_relaxed) >
		            load_u64(rv.versions + 8 * versions++))
			return true;
	}
	return false;
}

/* Marks what is on the way from the item to what is over. From the deepest on, so that one pass is enough: of two of the
 * way the deeper comes later in the list. Those behind the last were not looked at. */
static void mark_over(struct store *s, const struct search *sr) REQUIRES(s->references.blocks.lock)
{
	struct block_table *bt = &s->references.blocks;
	uint32_t reversed = 0, looks = 0;

	if (!sr->last || !follows_ended(s, block_at(bt, sr->last)->item))
		return;
	for (uint32_t number = sr->head; reversed != sr->last;) {
		uint32_t next = block_at(bt, number)->search;

		block_at(bt, number)->search = reversed;
		reversed = number;
		number = next;
	}
	for (uint32_t number = reversed; number; number = block_at(bt, number)->search, looks++)
		if (follows_ended(s, block_at(bt, number)->item))
			block_change(block_at(bt, number), 0, BLOCK_OVER);
	count_searched(s, looks);
}

static void search_end(struct store *s, struct search *sr, bool sound, uint64_t stamp)
	REQUIRES(s->references.blocks.lock)
{
	struct block_table *bt = &s->references.blocks;

	for (uint32_t number = sr->head; number; number = block_at(bt, number)->search) {
		struct block *b = block_at(bt, number);

		block_change(b, BLOCK_VISITED, 0);
		if (sound)
			atomic_store_explicit(&b->checked, stamp, memory_order_relaxed);
	}
	if (!sound)
		mark_over(s, sr);
}

/* Follows all that the item lives by, to the end. A circle ends where it began; if nothing in it is
 * over, it is sound. */
static bool search_all(struct store *s, const struct reference_view *rv, uint32_t now)
{
	struct block_table *bt = &s->references.blocks;
	struct search sr = { 0 };
	uint32_t looks = 1;

	lock_acquire(&s->references.blocks.lock);
	uint64_t stamp = stamp_now(s, now);
	bool sound = search_item(s, rv, now, stamp, &sr);

	for (uint32_t number = sr.head; sound && number; looks++) {
		struct block *b = block_at(bt, number);
		/* Its life goes on, which only changes under the lock, so that the item is readable. */
		struct reference_view next =
			references_of(s, atomic_load_explicit(&b->item, memory_order_relaxed));

		sr.last = number;
		sound = search_item(s, &next, now, stamp, &sr);
		number = b->search;
	}
	count_searched(s, looks);
	search_end(s, &sr, sound, stamp);
	lock_release(&s->references.blocks.lock);
	return sound;
}

bool reference_is_over(struct store *s, uint32_t now, char *at)
{
	struct reference_view rv = view_references(at);
	const struct block_table *bt = &s->references.blocks;
	unsigned versions = 0;

	for (unsigned i = 0; i < rv.shape.followed; i++) {
		uint32_t entry = load_u32(rv.followed + 4 * i);
		struct block *b = block_at(bt, entry >> REFERENCE_KIND_BITS);

		if (!block_is_sound(s, b, now))
			return true;
		if ((entry & REFERENCE_KIND_MASK) == REFERENCE_VERSION &&
		    atomic_load_explicit(&b->version, memory_order_acquire) !=
		            load_u64(rv.versions + 8 * versions++))
			return true;
		/* The stamp first: what was checked at it was sound then. */
		if (block_state(b) & BLOCK_CHAINED) {
			uint64_t stamp = stamp_now(s, now);

			if (atomic_load_explicit(&b->checked, memory_order_relaxed) != stamp)
				return !search_all(s, &rv, now);
		}
	}
	return false;
}

bool reference_lead(struct store *s, uint32_t now, char *at, uint32_t *target)
{
	*target = 0;
	if (likely(references_weak_alone(at))) {
		struct block *b = block_at(&s->references.blocks,
		                           load_u32(at + REFERENCES_HEADER) >> REFERENCE_KIND_BITS);

		if (unlikely(!block_is_sound(s, b, now)))
			return false;
		if (likely(!(block_state(b) & BLOCK_CHAINED))) {
			/* acquire: pairs with the release in reference_replace; the item is complete */
			uint32_t item = atomic_load_explicit(&b->item, memory_order_acquire);

			/* It may be another since the state was looked at. */
			if (likely(!is_referring(s, item)))
				*target = item;
			return true;
		}
	}
	return !reference_is_over(s, now, at);
}

uint32_t reference_target(const struct store *s, uint32_t reference)
{
	for (unsigned steps = 0; steps < WEAK_STEPS_MAX; steps++) {
		struct reference_view rv = references_of(s, reference);
		struct block *b = block_at(&s->references.blocks, load_u32(rv.followed) >> REFERENCE_KIND_BITS);

		/* acquire: pairs with the release in reference_replace; the item is complete */
		reference = atomic_load_explicit(&b->item, memory_order_acquire);
		if (!is_referring(s, reference))
			return reference;
		rv = references_of(s, reference);
		if (!first_is_weak(&rv))
			return reference;
	}
	return 0;
}
