/*
 * maintain.c: what runs in the background, in bounded slices: ages move on, expired items give their
 * memory back, flushed ones too, the index shrinks, memory over a lowered limit is released, sampled
 * requests are simulated (curve.c), and what is all in use becomes huge pages.
 */
#include "store/internal.h"

/* One slice is some tens of microseconds to a millisecond; the caller comes back at once while more
 * is waiting, and other work of its thread gets its turn in between. */
#define AGE_PAGES 256u
#define EXPIRY_PAGES 512u
#define EXPIRY_REMOVALS 2048u
#define EXPIRED_BATCH 8u /* removed between two safe points */
#define FLUSH_BUCKETS 1024u
#define FLUSH_ENTRIES 1024u
#define DEAD_LOOKS 512u
#define SHRINK_STEPS 4u
#define SHRINK_ROUNDS 16u
#define RELEASE_PAGES 8u
/* What a lowered limit leaves to items at least, so that every size can be stored, if one after the other. */
#define LEAST_PAGES 4u
/* Huge pages: below this budget the processor's tables of translations reach over most of it anyway.
 * A stretch can be refused for a moment, when somebody else holds one of its pages; where the system
 * has no huge pages to give, it is not asked again for some seconds. */
#define COLLAPSE_LIMIT_BYTES (128ULL << 20)
#define COLLAPSE_LOOKS 512u
#define COLLAPSE_REFUSALS 8u
#define COLLAPSE_REFUSED_SECONDS 30u

/* ---- ages ---- */

/* Under the class's lock the page keeps its class and its layout. */
static void age_page(struct store *s, uint32_t number)
{
	struct slab *sl = &s->slab;
	struct page *pg = &sl->pages[number];
	struct slab_class *sc = &sl->classes[page_class_index(pg)];
	char *page = sl->arena.base + ((size_t)number << sl->page_shift);

	if (atomic_load_explicit(&pg->state, memory_order_acquire) == PAGE_FREE)
		return;
	lock_acquire(&sc->lock);
	if (pg->state != PAGE_FREE && page_class_index(pg) == sc->index)
		age_advance((_Atomic uint8_t *)(page + sc->space.state_offset), pg->fresh_index, s->tick);
	lock_release(&sc->lock);
}

static bool step_ages(struct store *s)
{
	struct slab *sl = &s->slab;
	uint32_t end = slab_page_end(sl);

	for (unsigned i = 0; s->age_page && i < AGE_PAGES; i++, s->age_page++) {
		if (s->age_page >= end) {
			s->age_page = 0;
			break;
		}
		age_page(s, s->age_page);
	}
	return s->age_page != 0;
}

/* ---- expiry ---- */

struct expired {
	unsigned count;
	uint32_t references[EXPIRED_BATCH];
};

/* Looks at the page's entries from *index on until the batch is full. Under the class's lock, so that
 * the page keeps its class: else references would point into the middle of other chunks. */
static void collect_expired(struct store_thread *st, uint32_t number, struct slab_class *sc,
                            uint32_t *index, uint32_t *next, struct expired *batch)
	REQUIRES(sc->lock)
{
	struct slab *sl = &st->store->slab;

	batch->count = 0;
	for (; *index < sl->pages[number].fresh_index && batch->count < EXPIRED_BATCH; ++*index) {
		uint32_t reference = slab_reference(sc, number, *index);
		uint32_t expiry = atomic_load_explicit(slab_expiry(sl, sc, reference),
		                                       memory_order_seq_cst);
		enum chunk_kind kind = item_kind(slab_chunk(sl, reference));

		if (expiry == EXPIRY_NEVER)
			continue;
		/* A detached chunk is about to be published, or gone: look again. */
		if (expiry > st->now || kind == CHUNK_DETACHED)
			*next = MIN(*next, expiry);
		else if (kind == CHUNK_ITEM)
			batch->references[batch->count++] = reference;
	}
}

/*
 * Removes what has expired in one page and learns the page's next expiry.
 * 1. The minimum is reset first: an expiry set from here on lowers it again.
 * 2. Then the entries are read; whoever set one before step 1 is seen here.
 */
static unsigned expire_page(struct store_thread *st, uint32_t number, struct slab_class *sc)
{
	struct store *s = st->store;
	struct page *pg = &s->slab.pages[number];
	uint32_t next = UINT32_MAX, index = 0;
	struct expired batch;
	unsigned removed = 0;

	atomic_store_explicit(&pg->min_expiry, 0, memory_order_seq_cst);
	do {
		reclaim_room(st);
		lock_acquire(&sc->lock);
		batch.count = 0;
		if (pg->state != PAGE_FREE && page_class_index(pg) == sc->index && pg->has_expiry)
			collect_expired(st, number, sc, &index, &next, &batch);
		lock_release(&sc->lock);
		/* No safe point since: what was an item then is readable now. */
		for (unsigned i = 0; i < batch.count; i++)
			removed += remove_reference(st, batch.references[i], ENDED_EXPIRED);
	} while (batch.count == EXPIRED_BATCH);
	if (next != UINT32_MAX)
		page_lower_min_expiry(pg, next);
	return removed;
}

static bool step_expiry(struct store_thread *st)
{
	struct store *s = st->store;
	struct slab *sl = &s->slab;
	unsigned removed = 0;

	for (unsigned i = 0; s->expiry_page && i < EXPIRY_PAGES && removed < EXPIRY_REMOVALS;
	     i++, s->expiry_page++) {
		if (s->expiry_page >= slab_page_end(sl)) {
			s->expiry_page = 0;
			break;
		}
		struct page *pg = &sl->pages[s->expiry_page];
		uint32_t min = atomic_load_explicit(&pg->min_expiry, memory_order_relaxed);

		if (min == 0 || min > st->now || pg->state == PAGE_FREE ||
		    !atomic_load_explicit(&pg->has_expiry, memory_order_acquire))
			continue;
		removed += expire_page(st, s->expiry_page, &sl->classes[page_class_index(pg)]);
	}
	return s->expiry_page != 0;
}

/* ---- memory ---- */

static bool step_limit(struct store_thread *st)
{
	struct store *s = st->store;

	for (unsigned i = 0; i < RELEASE_PAGES && budget_excess(&s->budget); i++)
		if (!(s->options.evict ? release_page(st, NULL) : release_empty_page(st)))
			return false;
	return budget_excess(&s->budget) != 0;
}

static bool step_shrink(struct store_thread *st)
{
	for (unsigned i = 0; i < SHRINK_ROUNDS; i++) {
		reclaim_room(st);
		if (index_shrink(&st->store->index, SHRINK_STEPS, st) < SHRINK_STEPS)
			return false;
	}
	return true;
}

/* ---- huge pages ---- */

/* Of the stretches that are all in use, one is made a huge page in a slice. */
static bool step_collapse(struct store *s, uint32_t now)
{
	size_t of_index = (size_t)index_bucket_count(&s->index) * sizeof(struct bucket) / HUGE_PAGE_BYTES;
	size_t of_arena = ((size_t)slab_page_end(&s->slab) << s->slab.page_shift) / HUGE_PAGE_BYTES;

	if (now < s->collapse_second || budget_limit(&s->budget) < COLLAPSE_LIMIT_BYTES)
		return false;
	for (unsigned i = 0; i < COLLAPSE_LOOKS; i++) {
		size_t stretch = s->collapse_stretch++;
		bool refused;
		bool done = stretch < of_index ?
				    index_collapse(&s->index, stretch, &refused) :
				    slab_collapse(&s->slab, stretch - of_index, &refused);

		if (refused && ++s->collapse_refusals == COLLAPSE_REFUSALS) {
			s->collapse_refusals = 0;
			s->collapse_second = now + COLLAPSE_REFUSED_SECONDS;
			return false;
		}
		if (s->collapse_stretch >= of_index + of_arena) {
			s->collapse_stretch = 0;
			s->collapse_refusals = 0;
			s->collapse_second = now + 1;
			return false;
		}
		if (done || refused)
			return true;
	}
	return true;
}

/* ---- the policy ---- */

static void follow_curves(struct store_thread *st)
{
	struct store *s = st->store;
	const struct policy_ops *better = s->options.policy_follows_curves ? curve_better_policy(s) : NULL;

	if (unlikely(better))
		store_change_policy(st, better);
}

bool store_maintain(struct store_thread *st, uint32_t now)
{
	struct store *s = st->store;
	bool more = false, more_dead;

	store_enter(st, now);
	if (now != s->maintained_second) {
		s->maintained_second = now;
		s->tick++;
		s->age_page = 1;
		if (!s->expiry_page)
			s->expiry_page = 1;
	}
	reclaim_room(st);
	more |= step_ages(s);
	more |= step_expiry(st);
	sweep_dead(st, DEAD_LOOKS, false, &more_dead);
	more |= more_dead;
	reclaim_room(st);
	more |= index_flush_sweep(&s->index, FLUSH_BUCKETS, FLUSH_ENTRIES, st);
	reclaim(st);
	feed_index(st);
	if (!policy_shared_feed(&s->policy_shared))
		feed_policy(st);
	more |= step_limit(st);
	flush_count(st);
	more |= step_shrink(st);
	more |= curve_feed(st);
	more |= switch_step(st);
	reclaim(st);
	return_stocks(st, true);
	/* What was swept and waits for others' turns is memory that somebody may want: soon again. */
	more |= st->limbo.count != 0;
	store_leave(st);
	more |= curve_step(s, now);
	follow_curves(st);
	more |= step_collapse(s, now);
	return more;
}

uint64_t store_limit_max(const struct store_thread *st)
{
	const struct slab *sl = &st->store->slab;

	return (uint64_t)sl->page_limit << sl->page_shift;
}

/* What goes by itself when memory is short, sooner or later. */
static bool account_shrinks(enum account account)
{
	return account == ACCOUNT_ITEMS || account == ACCOUNT_INDEX || account == ACCOUNT_EVICTION ||
	       account == ACCOUNT_REFERENCES || account == ACCOUNT_BUFFERS;
}

uint64_t store_limit_least(const struct store_thread *st)
{
	const struct store *s = st->store;
	const struct budget *b = &s->budget;
	uint64_t fixed = (uint64_t)LEAST_PAGES << s->slab.page_shift;

	for (unsigned i = 0; i < ACCOUNT_COUNT; i++)
		if (!account_shrinks((enum account)i))
			fixed += budget_account(b, (enum account)i);
	uint64_t used = s->options.evict ? fixed : MAX(fixed, budget_used(b));

	return MIN(MAX(budget_least_for(b, used), LIMIT_MIN_BYTES), budget_limit(b) - BUDGET_ALLOWANCE_BYTES);
}

enum status store_set_limit(struct store_thread *st, uint64_t limit_bytes)
{
	struct store *s = st->store;
	uint64_t old_bytes = budget_limit(&s->budget) - BUDGET_ALLOWANCE_BYTES;

	if (limit_bytes > store_limit_max(st))
		return STATUS_TOO_LARGE;
	if (!s->options.evict) {
		return_stocks(st, true);
		while (limit_bytes < store_limit_least(st) && release_empty_page(st)) {
			/* on to the next */
		}
	}
	if (limit_bytes < store_limit_least(st))
		return STATUS_NO_MEMORY;
	budget_set_limit(&s->budget, limit_bytes);
	/* Somebody may have taken more since. */
	if (!s->options.evict && budget_excess(&s->budget) && limit_bytes < old_bytes) {
		budget_set_limit(&s->budget, old_bytes);
		return STATUS_NO_MEMORY;
	}
	return STATUS_OK;
}

bool store_release_bytes(struct store_thread *st, uint64_t bytes)
{
	struct store *s = st->store;
	/* What is over the limit goes first, with what is somebody's already, and then what was asked for. */
	uint64_t most = MIN(budget_used(&s->budget), budget_limit(&s->budget) - budget_claimed(&s->budget));
	uint64_t wanted = most > bytes ? most - bytes : 0;

	while (budget_used(&s->budget) > wanted)
		if (!s->options.evict || !release_page(st, NULL))
			return false;
	return true;
}
