/*
 * dead.c: gives back the memory of entries that are over by what they refer to, in bounded slices: a
 * tag's end took no time whatever depended on it, so somebody must look for those afterwards.
 *
 * A pass goes over the pages that have referring items (a count a page) and removes what is over. One
 * begins when something ended that others lived by, and at most once a second unless much is known to be
 * over; nothing of that can be read meanwhile. Whoever maintains does it, and who needs memory goes on with
 * it before living items are evicted. A look at an entry may be a search behind it (reference_sound.c), so a slice is
 * bounded by what those look at, too.
 */
#include "store/internal.h"

#define LOOK_BATCH 32u /* references looked at between two safe points */
#define MANY_DIED 256u

static struct dead_sweep *sweep_of(struct store_thread *st)
{
	return &st->store->dead_sweep;
}

/* So much may be over that a pass is worth it at once. */
static bool many_died(struct store *s)
{
	struct references *rf = &s->references;
	uint64_t dying = atomic_load_explicit(&rf->dying, memory_order_relaxed);

	return dying >= MANY_DIED &&
	       dying >= (atomic_load_explicit(&rf->weak_count, memory_order_relaxed) +
	                 atomic_load_explicit(&rf->dependency_count, memory_order_relaxed)) /
	                        16;
}

/* Under sw->lock. False: there is nothing to look for, or it is too soon and nobody waits for it. */
static bool begin_pass(struct store_thread *st, struct dead_sweep *sw, bool wanted)
{
	/* acquire: pairs with the release in note_event; what ended before it is seen as ended */
	uint64_t events = atomic_load_explicit(&st->store->references.events, memory_order_acquire);

	if (events == sw->events_seen || (!wanted && st->now == sw->begun_second && !many_died(st->store)))
		return false;
	sw->events_seen = events;
	atomic_store_explicit(&st->store->references.dying, 0, memory_order_relaxed);
	sw->begun_second = st->now;
	sw->page = 1;
	sw->chunk = 0;
	return true;
}

/* Referring items of one page, and where they lie. */
struct batch {
	unsigned count;
	uint32_t references[LOOK_BATCH];
	uint32_t chunks[LOOK_BATCH];
};

/* From sw->chunk on. Under the class's lock the page keeps its layout. */
static void collect(struct store_thread *st, struct dead_sweep *sw, struct batch *batch)
{
	struct slab *sl = &st->store->slab;
	struct page *pg = &sl->pages[sw->page];
	struct slab_class *sc = &sl->classes[page_class_index(pg)];

	batch->count = 0;
	lock_acquire(&sc->lock);
	if (pg->state != PAGE_FREE && page_class_index(pg) == sc->index)
		for (; sw->chunk < pg->fresh_index && batch->count < LOOK_BATCH; sw->chunk++) {
			uint32_t reference = slab_reference(sc, sw->page, sw->chunk);
			struct item *it = slab_chunk(sl, reference);

			/* The kind first: with it, what the item says of others is there. */
			if (item_kind(it) != CHUNK_ITEM || !(item_word(it) & WORD_REFERRING))
				continue;
			batch->chunks[batch->count] = sw->chunk;
			batch->references[batch->count++] = reference;
		}
	lock_release(&sc->lock);
}

static uint64_t searched(const struct store_thread *st)
{
	return atomic_load_explicit(&st->store->references.searched, memory_order_relaxed);
}

/* Looks at the first of them, and at more until searches have come so far. *looked: at how many. */
static unsigned remove_dead(struct store_thread *st, const struct batch *batch, uint64_t searched_end,
                            unsigned *looked)
{
	unsigned removed = 0, i = 0;

	/* No safe point since: what was an item then is readable now. */
	for (; i < batch->count && (i == 0 || searched(st) < searched_end); i++) {
		enum ending ending = dead_ending(st, batch->references[i], ENDED_REPLACED);

		if (ending != ENDED_REPLACED)
			removed += remove_reference(st, batch->references[i], ending);
	}
	*looked = i;
	return removed;
}

/* The next batch of the page where the pass stands, which moves on by what was looked at. */
static unsigned sweep_batch(struct store_thread *st, struct dead_sweep *sw, uint64_t searched_end,
                            unsigned *looks)
{
	struct batch batch = { .count = 0 };
	unsigned removed = 0, looked = 0;

	if (atomic_load_explicit(&st->store->slab.pages[sw->page].referring_count, memory_order_relaxed)) {
		reclaim_room(st);
		collect(st, sw, &batch);
		removed = remove_dead(st, &batch, searched_end, &looked);
	}
	*looks += looked + 1;
	if (looked < batch.count) {
		sw->chunk = batch.chunks[looked];
	} else if (batch.count < LOOK_BATCH) {
		sw->page++;
		sw->chunk = 0;
	}
	return removed;
}

unsigned sweep_dead(struct store_thread *st, unsigned max_looks, bool wanted, bool *more)
{
	struct dead_sweep *sw = sweep_of(st);
	uint64_t searched_end = searched(st) + max_looks;
	unsigned removed = 0, looks = 0;

	*more = false;
	/* A safe point comes with this lock held: nobody ever waits for it. */
	if (!lock_try(&sw->lock))
		return 0;
	if (sw->page == 0 && !begin_pass(st, sw, wanted)) {
		lock_release(&sw->lock);
		return 0;
	}
	while (looks < max_looks && searched(st) < searched_end && removed < LIMBO_MARGIN / 2) {
		if (sw->page >= slab_page_end(&st->store->slab)) {
			sw->page = 0;
			break;
		}
		removed += sweep_batch(st, sw, searched_end, &looks);
	}
	*more = sw->page != 0;
	lock_release(&sw->lock);
	return removed;
}
