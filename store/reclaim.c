/*
 * reclaim.c: where memory comes from when there is none: what was removed and is past its grace
 * period (limbo.c), fresh pages, the policy's victims, pages of other classes (pages.c).
 */
#include <time.h>

#include "store/internal.h"

/* Tries before an allocation gives up waiting for other threads' turns to end, some seconds. A turn is tens of
 * microseconds, but who is in one may have lost its core: then everybody sleeps instead of evicting more. */
#define WAIT_TRIES 40000u
#define PATIENCE 128u /* tries before more is evicted though much waits already: as many spins as sleeps */
#define ROOM_FAILURES 32u     /* nothing to evict: what others are filling may yet be published */
#define PREFETCH_CHUNK_BYTES 256u
#define EVICT_BATCH STOCK_CHUNKS
#define EVICT_PART 8         /* of a queue is evicted at once, at most */
#define HEADS_PER_SEGMENT 4 /* a page of the largest class has as many */
#define KEPT_TRIES 32u       /* some hundred microseconds */
#define DEAD_LOOKS 2048u     /* references looked at before something living is evicted */
#define GONE_BATCHES 64u     /* of victims that are no items any more, before it is given up */
#define ENOUGH_WAITING 16u   /* chunks in limbo: then it is better to wait than to evict more */

/* ---- counts ---- */

void flush_count(struct store_thread *st)
{
	if (st->count_delta == 0)
		return;
	int32_t delta = st->count_delta;

	st->count_delta = 0;
	index_adjust(&st->store->index, delta, st);
}

void adjust_count(struct store_thread *st, int32_t delta)
{
	st->count_delta += delta;
	if (st->count_delta > COUNT_SLACK || st->count_delta < -COUNT_SLACK)
		flush_count(st);
}

/* ---- eviction ---- */

/* May this item be evicted? Its bucket is locked. What others held and the collector released is
 * collected, however it is chosen. */
static bool may_evict(struct store *s, uint32_t reference, uint64_t hash, enum ending *ending)
{
	enum protection protection = PROTECTION_NONE;

	if (*ending != ENDED_EVICTED && *ending != ENDED_COLLECTED)
		return true;
	if (unlikely(item_word(chunk_item(s, reference)) & WORD_REFERRED))
		protection = reference_protection(s, hash, reference);
	if (unlikely(protection == PROTECTION_RELEASED))
		*ending = ENDED_COLLECTED;
	return likely(protection != PROTECTION_HELD);
}

/* The one gate of all that removes items of the store's own accord. */
static enum removal remove_hashed(struct store_thread *st, uint32_t reference, uint64_t hash,
                                  enum ending ending)
{
	struct store *s = st->store;
	struct bucket *b = index_lock(&s->index, hash, st);
	struct index_slot at = { 0 };
	uint32_t found;
	enum removal removal = REMOVAL_ABSENT;

	while (index_scan(&s->index, b, hash, &at, &found)) {
		if (found != reference)
			continue;
		removal = REMOVAL_HELD;
		if (!may_evict(s, reference, hash, &ending))
			break;
		index_remove(&s->index, b, &at);
		retire(st, reference, ending);
		removal = REMOVAL_DONE;
		break;
	}
	index_unlock(b);
	if (removal == REMOVAL_DONE && ending == ENDED_EXPIRED)
		sample_request(st, MRC_DELETE, hash, 0);
	if (removal == REMOVAL_DONE)
		adjust_count(st, -1);
	return removal;
}

bool remove_reference(struct store_thread *st, uint32_t reference, enum ending ending)
{
	return remove_hashed(st, reference, item_hash(st->store, reference), ending) == REMOVAL_DONE;
}

enum ending dead_ending(const struct store_thread *st, uint32_t reference, enum ending otherwise)
{
	struct store *s = st->store;
	bool big = slab_class_of(&s->slab, reference)->big;
	struct item *it = chunk_item(s, reference);
	uint32_t word = item_word(it);

	if (likely(!(word & WORD_REFERRING)))
		return otherwise;
	char *references = item_references(it, big, word);

	if (!reference_is_over(s, st->now, references))
		return otherwise;
	return reference_is_weak(references) ? ENDED_DEAD : ENDED_INVALIDATED;
}

enum ending over_ending(const struct store_thread *st, uint32_t reference, enum ending otherwise)
{
	const struct slab *sl = &st->store->slab;

	if (is_expired(slab_get_expiry(sl, slab_class_of(sl, reference), reference), st->now))
		return ENDED_EXPIRED;
	return dead_ending(st, reference, otherwise);
}

enum removal evict_reference(struct store_thread *st, uint32_t reference, uint64_t hash, bool proven)
{
	struct store *s = st->store;
	enum ending ending = over_ending(st, reference, ENDED_EVICTED);
	enum removal removal = remove_hashed(st, reference, hash, ending);
	const struct policy_ops *policy = running_policy(s);

	if (removal == REMOVAL_DONE && ending == ENDED_EVICTED && policy->bury)
		policy->bury(&s->policy_shared, hash, proven);
	return removal;
}

static unsigned class_victims(struct slab_class *sc, uint32_t *victims, unsigned wanted) REQUIRES(sc->lock)
{
	struct policy_queue *q = class_queue(sc), *present = &sc->queues[sc->present];
	/* Not all that a class of few large items has: what is read of them would go with the rest. */
	unsigned part = (unsigned)MAX(1, MIN(EVICT_BATCH, q->count / EVICT_PART));
	unsigned n = q->ops->victims(q, victims, MIN(wanted, part));

	return n > 0 || q == present ? n : present->ops->victims(present, victims, wanted);
}

/* Has the policy name victims until one of them is still an item: where a page is being vacated, the
 * oldest of the queue may be long gone and only wait for their grace period. */
static unsigned choose_victims(struct store *s, struct slab_class *sc, uint32_t *victims,
                               unsigned wanted)
{
	unsigned n = 0, named = 1;

	for (unsigned i = 0; n == 0 && named > 0 && i < GONE_BATCHES; i++) {
		lock_acquire(&sc->lock);
		settle_links(s, sc);
		named = class_victims(sc, victims, wanted);
		/* What is an item now, under the lock, stays readable until this turn's next safe point. */
		for (unsigned k = 0; k < named; k++)
			if (item_kind(chunk_item(s, victims[k] & ~VICTIM_PROVEN)) == CHUNK_ITEM)
				victims[n++] = victims[k];
		lock_release(&sc->lock);
	}
	return n;
}

/* Evicts up to EVICT_BATCH items of the class into limbo. Returns how many; *kept says how many more
 * were named, and are held: those are not named again. */
static unsigned evict_some(struct store_thread *st, struct slab_class *sc, unsigned *kept)
{
	struct store *s = st->store;
	uint32_t victims[EVICT_BATCH];
	uint64_t hashes[EVICT_BATCH];
	unsigned wanted = MIN(EVICT_BATCH, MAX(1, STOCK_BYTES / sc->chunk_bytes));
	unsigned removed = 0;

	reclaim_room(st);
	/* An exact order needs all that happened; otherwise what others did can wait in their rings. */
	if (wants_hits(s))
		drain_rings(s);
	else
		drain_ring(s, &st->ring);
	unsigned n = choose_victims(s, sc, victims, wanted);

	if (n == 0 && !wants_hits(s)) {
		drain_rings(s);
		n = choose_victims(s, sc, victims, wanted);
	}
	/* The victims are the coldest memory there is: fetch all, then their buckets, then remove. */
	for (unsigned i = 0; i < n; i++)
		__builtin_prefetch(chunk_item(s, victims[i] & ~VICTIM_PROVEN));
	for (unsigned i = 0; i < n; i++) {
		hashes[i] = item_hash(s, victims[i] & ~VICTIM_PROVEN);
		prefetch_to_write(index_bucket(&s->index, hashes[i]));
	}
	for (unsigned i = 0; i < n; i++) {
		uint32_t victim = victims[i] & ~VICTIM_PROVEN;

		unsigned group = removed < EVICT_BATCH ? evict_if_released(st, victim) : 0;

		removed += group;
		if (unlikely(group))
			continue;
		enum removal removal = evict_reference(st, victim, hashes[i],
		                                       victims[i] & VICTIM_PROVEN);

		removed += removal == REMOVAL_DONE;
		if (unlikely(removal == REMOVAL_HELD)) {
			reference_park(st, hashes[i], victim);
			++*kept;
		}
	}
	note_evictions(sc, removed);
	return removed;
}

/* Where many are held, the policy names others after them. False: it names nobody. */
bool evict_batch(struct store_thread *st, struct slab_class *sc)
{
	unsigned kept = 0, before = 0;

	for (unsigned i = 0; i < KEPT_TRIES; i++) {
		if (likely(evict_some(st, sc, &kept)))
			return true;
		if (kept == before)
			return false;
		before = kept;
	}
	return true;
}

void return_stocks(struct store_thread *st, bool all)
{
	struct slab *sl = &st->store->slab;

	for (unsigned i = 1; i <= sl->class_count; i++) {
		struct slab_class *sc = &sl->classes[i];
		struct stock *sk = &st->stocks[i];
		unsigned kept = 0;

		if (sk->count == 0)
			continue;
		lock_acquire(&sc->lock);
		for (unsigned k = 0; k < sk->count; k++) {
			uint32_t reference = sk->references[k];

			if (all || slab_page(sl, reference)->state != PAGE_ACTIVE)
				slab_put(sl, sc, reference);
			else
				sk->references[kept++] = reference;
		}
		lock_release(&sc->lock);
		sk->count = (uint8_t)kept;
	}
}

/* ---- allocation ---- */

static bool stock_from_pages(struct store_thread *st, struct slab_class *sc)
{
	struct stock *sk = &st->stocks[sc->index];
	unsigned wanted = MIN(STOCK_CHUNKS, MAX(1, STOCK_BYTES / sc->chunk_bytes));

	lock_acquire(&sc->lock);
	sk->count = (uint8_t)(sk->count + slab_take(&st->store->slab, sc, sk->references + sk->count,
	                                            wanted - sk->count, true));
	lock_release(&sc->lock);
	return sk->count > 0;
}

/* What was flushed need not wait for the background sweep when memory is wanted now. */
bool sweep_flushed(struct store_thread *st, unsigned max_buckets)
{
	struct index *ix = &st->store->index;

	if (likely(!atomic_load_explicit(&ix->sweep_active, memory_order_relaxed)))
		return false;
	reclaim_room(st);
	index_flush_sweep(ix, max_buckets, LIMBO_MARGIN / 2, st);
	return true;
}

bool feed_policy(struct store_thread *st)
{
	struct store *s = st->store;

	if (!s->options.evict || budget_excess(&s->budget) || !release_page(st, NULL))
		return false;
	policy_shared_feed(&s->policy_shared);
	return true;
}

bool feed_index(struct store_thread *st)
{
	struct store *s = st->store;
	_Atomic bool *wants = &s->index.wants_memory;

	if (likely(!atomic_load_explicit(wants, memory_order_relaxed)) || !s->options.evict ||
	    budget_excess(&s->budget) || !atomic_exchange_explicit(wants, false, memory_order_relaxed) ||
	    !release_page(st, NULL))
		return false;
	index_feed(&s->index);
	return true;
}

/* Once for each refusal, which was one for a thousand new items of a class. */
static bool feed_hungry(struct store_thread *st)
{
	_Atomic bool *hungry = &st->store->policy_shared.fifos.hungry;

	return unlikely(atomic_load_explicit(hungry, memory_order_relaxed)) &&
	       atomic_exchange_explicit(hungry, false, memory_order_relaxed) && feed_policy(st);
}

/* Segments have no victims of their own: those of their heads free them, which are all of the largest class. Not
 * where few heads have one here: then a page is the cheaper way. */
static bool evict_heads_of(struct store_thread *st, const struct slab_class *sc)
{
	struct store *s = st->store;
	struct slab_class *largest = &s->slab.classes[s->slab.class_count];
	int64_t segments = 0, heads = 0;

	if (sc == largest || !sc->big)
		return false;
	for (unsigned i = 0; i < s->thread_count; i++) {
		const struct class_counters *of = s->threads[i].classes;

		segments += (int64_t)atomic_load_explicit(&of[sc->index].segments, memory_order_relaxed);
		heads += (int64_t)atomic_load_explicit(&of[largest->index].items, memory_order_relaxed);
	}
	return segments * HEADS_PER_SEGMENT >= heads && segments > 0 && evict_batch(st, largest);
}

/* One attempt to free memory that this class can use. */
static bool make_room(struct store_thread *st, struct slab_class *sc)
{
	struct store *s = st->store;
	bool more;

	if (sweep_flushed(st, UINT32_MAX))
		return true;
	if (atomic_load_explicit(&s->references.weak_count, memory_order_relaxed) +
	            atomic_load_explicit(&s->references.dependency_count, memory_order_relaxed) &&
	    sweep_dead(st, DEAD_LOOKS, false, &more))
		return true;
	if (!s->options.evict) {
		return_stocks(st, true);
		return release_empty_page(st) || st->limbo.count != 0;
	}
	if (evict_released(st))
		return true;
	if (feed_index(st) || feed_hungry(st))
		return true;
	if (take_page_for(st, sc))
		return true;
	if (evict_batch(st, sc))
		return true;
	if (st->limbo.count)
		return true;
	return evict_heads_of(st, sc) || release_page(st, sc) || last_resort_for_memory(st);
}

void sleep_outside(struct store_thread *st)
{
	static const struct timespec pause = { .tv_nsec = 100000 };

	epoch_leave(&st->store->epoch, st->slot);
	nanosleep(&pause, NULL);
	sight_begin(st);
}

/* How many failures to make room are borne, the second half of them asleep. Whoever waited as long as that for
 * nothing in this very second is not the next one's reason to wait: else a pipeline of sets that cannot be had
 * would take a millisecond and more for each. Nor does anybody wait where there is nothing to come back. */
static unsigned patience_of(const struct store_thread *st)
{
	if (st->refused_second == st->now || slab_pages_in_use(&st->store->slab) == 0)
		return 1;
	return ROOM_FAILURES;
}

static bool refill(struct store_thread *st, struct slab_class *sc)
{
	struct stock *sk = &st->stocks[sc->index];
	unsigned spins = 0, failures = 0, waits = 0;

	for (unsigned i = 0; i < WAIT_TRIES; i++) {
		reclaim_for(st, sc);
		yield_drained(st);
		if (sk->count || stock_from_pages(st, sc))
			return true;
		/* Evicting again would not help what only waits for other threads' turns. */
		if (st->limbo.count >= ENOUGH_WAITING && ++waits % PATIENCE != 0) {
			if (waits % PATIENCE < PATIENCE / 2)
				lock_backoff(&spins);
			else
				sleep_outside(st);
			continue;
		}
		uint32_t waiting = st->limbo.count;
		bool made = make_room(st, sc);

		if (!made && ++failures >= patience_of(st))
			break;
		/* Nothing new: what there is waits for others' turns, or theirs for this one's end; and who is
		 * to end one may be waiting for a core. */
		if (!made && st->store->options.evict && failures > ROOM_FAILURES / 2) {
			sleep_outside(st);
			continue;
		}
		if (!made) {
			quiesce(st);
			spins = MAX(spins, LOCK_SPINS);
		}
		if (!made || st->limbo.count == waiting)
			lock_backoff(&spins);
	}
	st->refused_second = st->now;
	COUNT(st, sc->index, out_of_memory, 1);
	return false;
}

/* The chunk that comes next out of the stock was not touched for long; what a set writes of it is
 * fetched while the one before it is filled. */
static void prefetch_chunk(const struct store *s, const struct slab_class *sc, uint32_t reference)
{
	const char *chunk = slab_chunk(&s->slab, reference);

	for (uint32_t at = 0; at < MIN(sc->chunk_bytes, PREFETCH_CHUNK_BYTES); at += CACHE_LINE_BYTES)
		prefetch_to_write(chunk + at);
	prefetch_to_write((const void *)slab_state(sc, reference));
}

uint32_t alloc_chunk(struct store_thread *st, struct slab_class *sc)
{
	struct stock *sk = &st->stocks[sc->index];

	if (unlikely(sk->count == 0) && !refill(st, sc))
		return 0;
	uint32_t reference = sk->references[--sk->count];

	if (likely(sk->count))
		prefetch_chunk(st->store, sc, sk->references[sk->count - 1]);
	slab_begin_use(&st->store->slab, sc, reference);
	return reference;
}

uint32_t alloc_spare(struct store_thread *st, struct slab_class *sc)
{
	struct stock *sk = &st->stocks[sc->index];

	if (sc->page_count == 0)
		return 0;
	for (unsigned i = 0; i < 2; i++) {
		if (sk->count || stock_from_pages(st, sc)) {
			uint32_t reference = sk->references[--sk->count];

			slab_begin_use(&st->store->slab, sc, reference);
			return reference;
		}
		if (i == 0 && st->store->options.evict && evict_batch(st, sc))
			reclaim(st);
	}
	return 0;
}
