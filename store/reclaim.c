/*
 * reclaim.c: where memory comes from when there is none: what was removed and is past its grace
 * period, fresh pages, the policy's victims, pages of other classes (pages.c).
 *
 * A safe point is a call at which the thread holds no pointer into the store. Only there may a
 * thread wait for others' turns to end, since only there it can end its own; and it must hold no
 * lock, since others may want that lock before their turn can end.
 */
#include <time.h>

#include "store/internal.h"

/* Tries before an allocation gives up waiting for other threads' turns to end. A turn is tens of
 * microseconds; past the spins of lock_backoff each try yields the core. */
#define WAIT_TRIES 20000u
#define ROOM_FAILURES 32u     /* nothing to evict: what others are filling may yet be published */
#define RING_GROUP 32u       /* entries that are fetched together, then applied under one lock */
#define PREFETCH_CHUNK_BYTES 256u
#define EVICT_BATCH STOCK_CHUNKS
#define KEPT_TRIES 32u       /* some hundred microseconds */
#define DEAD_LOOKS 2048u     /* references looked at before something living is evicted */
#define GONE_BATCHES 64u     /* of victims that are no items any more, before it is given up */
#define ENOUGH_WAITING 16u   /* chunks in limbo: then it is better to wait than to evict more */

void quiesce(struct store_thread *st)
{
	epoch_enter(&st->store->epoch, st->slot);
}

/* ---- limbo ---- */

static void limbo_push(struct store_thread *st, const struct slab_class *sc, uint32_t reference,
                       bool moved)
{
	struct limbo *lb = &st->limbo;
	uint32_t at = (lb->first + lb->count) % LIMBO_CHUNKS;

	assert(lb->count < LIMBO_CHUNKS);
	lb->references[at] = reference | (moved ? LIMBO_MOVED : 0);
	lb->stamps[at] = (uint32_t)epoch_stamp(&st->store->epoch);
	lb->count++;
	lb->bytes += sc->chunk_bytes;
}

static void count_ending(struct store_thread *st, const struct slab_class *sc, struct item *it,
                         uint32_t reference, enum ending ending)
{
	COUNT(st, sc->index, items, -1);
	COUNT(st, sc->index, bytes, -(int64_t)item_stored_bytes(sc, it));
	if (ending == ENDED_DEAD || ending == ENDED_INVALIDATED)
		atomic_fetch_add_explicit(&st->store->references.dead_reclaimed, 1,
		                          memory_order_relaxed);
	if (ending == ENDED_DELETED || ending == ENDED_REPLACED || ending == ENDED_DEAD ||
	    ending == ENDED_INVALIDATED)
		return;
	bool fetched = atomic_load_explicit(slab_state(sc, reference), memory_order_relaxed) &
	               STATE_FETCHED;

	if (ending == ENDED_FLUSHED) {
		COUNT(st, sc->index, flushed, 1);
	} else if (ending == ENDED_EXPIRED) {
		COUNT(st, sc->index, expired, 1);
		if (!fetched)
			COUNT(st, sc->index, expired_unfetched, 1);
	} else {
		COUNT(st, sc->index, evicted, 1);
		if (fetched)
			COUNT(st, sc->index, evicted_active, 1);
		else
			COUNT(st, sc->index, evicted_unfetched, 1);
	}
}

void store_on_end(struct store *s,
                  void (*seen)(void *context, const struct item_view *view, enum ending ending),
                  void *context)
{
	atomic_store_explicit(&s->end_context, context, memory_order_relaxed);
	/* release: pairs with the acquire in tell_end, which then finds the context */
	atomic_store_explicit(&s->end_seen, seen, memory_order_release);
}

static void tell_end(struct store_thread *st, const struct slab_class *sc, uint32_t reference,
                     enum ending ending)
{
	struct store *s = st->store;
	void (*seen)(void *, const struct item_view *, enum ending) =
		atomic_load_explicit(&s->end_seen, memory_order_acquire);
	struct item_view view;

	if (likely(!seen))
		return;
	view_fill(s, reference, &view);
	view.age = atomic_load_explicit(slab_age(sc, reference), memory_order_relaxed);
	view.fetched = (atomic_load_explicit(slab_state(sc, reference), memory_order_relaxed) &
	                STATE_FETCHED) != 0;
	seen(atomic_load_explicit(&s->end_context, memory_order_relaxed), &view, ending);
}

/* What others know of this life, and what it knew of others. */
static void retire_references(struct store_thread *st, uint32_t reference, uint32_t word,
                              enum ending ending)
{
	struct store *s = st->store;

	if ((word & WORD_REFERRED) && ending != ENDED_REPLACED)
		reference_end(st, item_hash(s, reference), reference);
	if (word & WORD_REFERRING)
		reference_retired(st, reference, ending == ENDED_COLLECTED);
}

void retire(struct store_thread *st, uint32_t reference, enum ending ending)
{
	struct item *it = chunk_item(st->store, reference);
	uint32_t word = item_word(it);

	const struct slab_class *sc = slab_class_of(&st->store->slab, reference);

	if (ending != ENDED_MOVED)
		count_ending(st, sc, it, reference, ending);
	if (ending != ENDED_REPLACED && ending != ENDED_DELETED && ending != ENDED_MOVED)
		tell_end(st, sc, reference, ending);
	if (unlikely(word & (WORD_REFERRED | WORD_REFERRING)) && ending != ENDED_MOVED)
		retire_references(st, reference, word, ending);
	item_set_kind(it, CHUNK_DETACHED);
	limbo_push(st, sc, reference, ending == ENDED_MOVED);
}

/* Back to this thread's stock, or to the chunk's page. */
static void put_chunk(struct store_thread *st, struct slab_class *sc, uint32_t reference)
	REQUIRES(sc->lock)
{
	struct stock *sk = &st->stocks[sc->index];
	uint32_t room = MIN(STOCK_CHUNKS, MAX(1, STOCK_BYTES / sc->chunk_bytes));

	if (sk->count < room && slab_page(&st->store->slab, reference)->state == PAGE_ACTIVE) {
		sc->queue.ops->remove(&sc->queue, reference);
		item_set_kind_owned(chunk_item(st->store, reference), CHUNK_FREE);
		sk->references[sk->count++] = reference;
	} else {
		slab_put(&st->store->slab, sc, reference);
	}
}

/* The same without the lock, where the policy allows it and the stock has room. What was handed out of
 * a page that begins to drain now is found in the stock when this thread sees drain_generation. */
static bool put_in_stock(struct store_thread *st, struct slab_class *sc, uint32_t reference)
{
	const struct policy_ops *ops = st->store->policy;
	struct stock *sk = &st->stocks[sc->index];
	uint32_t room = MIN(STOCK_CHUNKS, MAX(1, STOCK_BYTES / sc->chunk_bytes));

	if (!ops->direct_link || sk->count >= room || (state_get(&sc->space, reference) & ops->locked_links) ||
	    slab_page(&st->store->slab, reference)->state != PAGE_ACTIVE)
		return false;
	if (state_take(&sc->space, reference, ops->direct_link | STATE_OF_USE) & ops->direct_link)
		note_link(st, sc->index, -1);
	item_set_kind_owned(chunk_item(st->store, reference), CHUNK_FREE);
	sk->references[sk->count++] = reference;
	return true;
}

static void put_one(struct store_thread *st, uint32_t reference)
{
	struct slab_class *sc = slab_class_of(&st->store->slab, reference);

	lock_acquire(&sc->lock);
	put_chunk(st, sc, reference);
	lock_release(&sc->lock);
}

static void put_segments(struct store_thread *st, uint32_t reference)
{
	while (reference) {
		uint32_t next = ((struct segment *)slab_chunk(&st->store->slab, reference))->next;

		COUNT(st, slab_class_of(&st->store->slab, reference)->index, segments, -1);
		put_one(st, reference);
		reference = next;
	}
}

/* A pinned item is left to its last unpin. */
static bool orphan_if_pinned(struct item *it)
{
	uint32_t pins = atomic_load_explicit(&it->pins, memory_order_acquire);

	do {
		if (pins == 0)
			return false;
	} while (!atomic_compare_exchange_weak_explicit(&it->pins, &pins, pins | PIN_ORPHAN,
	                                                memory_order_acq_rel, memory_order_acquire));
	return true;
}

void discard(struct store_thread *st, uint32_t reference)
{
	struct item *it = chunk_item(st->store, reference);

	if (unlikely(item_word(it) & WORD_REFERRING))
		reference_release(st, reference);
	if (slab_class_of(&st->store->slab, reference)->big)
		put_segments(st, it->next);
	put_one(st, reference);
}

/* What policies keep of a chunk. */
static void prefetch_notes(const struct chunk_space *sp, uint32_t reference)
{
	prefetch_to_write((const void *)space_state(sp, reference));
	if (sp->side_bytes)
		prefetch_to_write(space_side(sp, reference));
}

/* What freeing will touch, fetched before the class's lock is held for it. */
static void limbo_prefetch(const struct store_thread *st, uint32_t place)
{
	const struct slab *sl = &st->store->slab;
	uint32_t reference = st->limbo.references[place % LIMBO_CHUNKS] & ~LIMBO_MOVED;

	prefetch_to_write(slab_chunk(sl, reference));
	prefetch_notes(&slab_class_of(sl, reference)->space, reference);
}

/* Frees the oldest `n` of limbo; consecutive chunks of one class share a lock. */
static void limbo_free(struct store_thread *st, uint32_t n)
{
	struct limbo *lb = &st->limbo;
	struct slab_class *held = NULL;

	for (uint32_t i = 0; i < MIN(n, STOCK_CHUNKS); i++)
		limbo_prefetch(st, lb->first + i);
	for (; n > 0; n--) {
		bool moved = lb->references[lb->first] & LIMBO_MOVED;
		uint32_t reference = lb->references[lb->first] & ~LIMBO_MOVED;
		struct slab_class *sc = slab_class_of(&st->store->slab, reference);

		if (n > STOCK_CHUNKS)
			limbo_prefetch(st, lb->first + STOCK_CHUNKS);
		lb->first = (lb->first + 1) % LIMBO_CHUNKS;
		lb->count--;
		lb->bytes -= sc->chunk_bytes;
		if (held != sc || sc->big) {
			if (held)
				lock_release(&held->lock);
			held = NULL;
		}
		if (sc->big) {
			if (!orphan_if_pinned(chunk_item(st->store, reference)))
				discard(st, reference);
			continue;
		}
		if (unlikely(item_word(chunk_item(st->store, reference)) & WORD_REFERRING) && !moved) {
			/* Its lock comes before a class's. */
			if (held)
				lock_release(&held->lock);
			held = NULL;
			reference_release(st, reference);
		}
		if (put_in_stock(st, sc, reference))
			continue;
		if (!held) {
			held = sc;
			lock_acquire(&held->lock);
		}
		put_chunk(st, sc, reference);
	}
	if (held)
		lock_release(&held->lock);
}

/* How many of limbo, from its oldest and up to `max`, nobody could see when that was last asked. */
static uint32_t limbo_safe(const struct store_thread *st, uint32_t max)
{
	const struct limbo *lb = &st->limbo;
	uint32_t n = 0;

	while (n < max && n < lb->count &&
	       (int32_t)(lb->stamps[(lb->first + n) % LIMBO_CHUNKS] - lb->safe) < 0)
		n++;
	return n;
}

/* The same, asked now. All threads' slots are read, and the global epoch moves only if the oldest
 * chunk waits for nothing else: these are lines that all threads share. */
static uint32_t limbo_ripe(struct store_thread *st, uint32_t max)
{
	struct limbo *lb = &st->limbo;
	struct epoch *e = &st->store->epoch;

	if (lb->count && lb->stamps[lb->first] == (uint32_t)epoch_stamp(e))
		epoch_advance(e);
	quiesce(st);
	lb->safe = (uint32_t)epoch_min(e);
	return limbo_safe(st, max);
}

unsigned reclaim(struct store_thread *st)
{
	if (st->limbo.count == 0)
		return 0;
	uint32_t n = limbo_ripe(st, LIMBO_CHUNKS);

	limbo_free(st, n);
	return n;
}

/* What of limbo the class's stock has room for, and what is more than a thread may keep. A thread
 * that overwrites items thus goes on with its own chunks, and the pages' lists see none of it. */
static void reclaim_for(struct store_thread *st, struct slab_class *sc)
{
	struct limbo *lb = &st->limbo;
	bool asked = false;

	while (lb->count && (st->stocks[sc->index].count == 0 || lb->count > LIMBO_KEPT_CHUNKS ||
	                     lb->bytes > LIMBO_KEPT_BYTES)) {
		uint32_t n = limbo_safe(st, STOCK_CHUNKS);

		if (n == 0 && asked)
			return;
		if (n == 0) {
			n = limbo_ripe(st, STOCK_CHUNKS);
			asked = true;
		}
		limbo_free(st, n);
	}
}

void reclaim_room(struct store_thread *st)
{
	unsigned spins = 0;

	if (likely(st->limbo.count <= LIMBO_CHUNKS - LIMBO_MARGIN))
		return;
	for (;;) {
		reclaim(st);
		if (st->limbo.count <= LIMBO_CHUNKS - LIMBO_MARGIN)
			return;
		lock_backoff(&spins);
	}
}

/* ---- rings: what happened, on its way to the policy ---- */

/* Is it still the item that the entry was about, or one that took its place? Stale entries name
 * chunks that are free, in another class's page or in the middle of another chunk. */
static bool entry_is_live(struct store *s, const struct slab_class *sc, uint32_t reference)
{
	const struct page *pg = slab_page(&s->slab, reference);
	uint32_t index = space_chunk_index(&sc->space, reference);
	uint32_t number = slab_page_number(&s->slab, reference);

	return pg->state != PAGE_FREE && page_class_index(pg) == sc->index &&
	       index < pg->fresh_index &&
	       slab_reference(sc, number, index) == reference &&
	       item_kind(chunk_item(s, reference)) == CHUNK_ITEM;
}

/* What the policy will touch for the entries of a group, before the lock of their class is held. */
static void prefetch_group(const struct store *s, const uint32_t *entries, unsigned n)
{
	for (unsigned i = 0; i < n; i++) {
		uint32_t reference = entries[i] & ~RING_HIT;

		__builtin_prefetch(slab_chunk(&s->slab, reference));
		prefetch_notes(&slab_class_of(&s->slab, reference)->space, reference);
	}
	for (unsigned i = 0; s->policy->prefetch && i < n; i++) {
		uint32_t reference = entries[i] & ~RING_HIT;

		s->policy->prefetch(&slab_class_of(&s->slab, reference)->queue, reference);
	}
}

static void apply_group(struct store *s, const uint32_t *entries, unsigned n)
{
	struct slab_class *held = NULL;

	for (unsigned i = 0; i < n; i++) {
		uint32_t reference = entries[i] & ~RING_HIT;
		struct slab_class *sc = slab_class_of(&s->slab, reference);

		if (sc != held) {
			if (held)
				lock_release(&held->lock);
			held = sc;
			lock_acquire(&held->lock);
		}
		if (!entry_is_live(s, sc, reference))
			continue;
		if (entries[i] & RING_HIT)
			s->policy->hit(&sc->queue, reference);
		else
			s->policy->insert(&sc->queue, reference);
	}
	if (held)
		lock_release(&held->lock);
}

static void drain_ring(struct store *s, struct ring *ring)
{
	lock_acquire(&ring->lock);
	uint32_t head = atomic_load_explicit(&ring->head, memory_order_relaxed);
	/* acquire: pairs with the release in ring_push */
	uint32_t tail = atomic_load_explicit(&ring->tail, memory_order_acquire);

	while (head != tail) {
		uint32_t at = head % RING_ENTRIES;
		unsigned n = MIN(MIN(tail - head, RING_GROUP), RING_ENTRIES - at);

		prefetch_group(s, ring->entries + at, n);
		apply_group(s, ring->entries + at, n);
		head += n;
	}
	/* release: pairs with the acquire in ring_push, the slots may be written again */
	atomic_store_explicit(&ring->head, head, memory_order_release);
	lock_release(&ring->lock);
}

/* What threads linked and unlinked without the lock is counted. */
static void settle_links(struct store *s, struct slab_class *sc) REQUIRES(sc->lock)
{
	for (unsigned i = 0; s->policy->direct_link && i < s->thread_count; i++) {
		struct store_thread *st = &s->threads[i];
		int32_t links = atomic_load_explicit(&st->links[sc->index], memory_order_relaxed);

		/* Modulo 2^32: what counts is the difference. */
		sc->queue.count += (int32_t)((uint32_t)links - (uint32_t)st->links_counted[sc->index]);
		st->links_counted[sc->index] = links;
	}
}

void drain_rings(struct store *s)
{
	for (unsigned i = 0; i < s->thread_count; i++)
		drain_ring(s, &s->threads[i].ring);
	for (unsigned i = 1; s->policy->direct_link && i <= s->slab.class_count; i++) {
		struct slab_class *sc = &s->slab.classes[i];

		lock_acquire(&sc->lock);
		settle_links(s, sc);
		lock_release(&sc->lock);
	}
}

void ring_push(struct store_thread *st, uint32_t entry)
{
	struct ring *ring = &st->ring;
	uint32_t tail = atomic_load_explicit(&ring->tail, memory_order_relaxed);

	if (unlikely(tail - atomic_load_explicit(&ring->head, memory_order_acquire) == RING_ENTRIES))
		drain_ring(st->store, ring);
	ring->entries[tail % RING_ENTRIES] = entry;
	atomic_store_explicit(&ring->tail, tail + 1, memory_order_release);
}

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

static enum ending eviction_ending(const struct store_thread *st, const struct slab_class *sc,
                                   uint32_t reference)
{
	uint32_t expiry = slab_get_expiry(&st->store->slab, sc, reference);

	if (is_expired(expiry, st->now))
		return ENDED_EXPIRED;
	if (likely(!(item_word(chunk_item(st->store, reference)) & WORD_REFERRING)))
		return ENDED_EVICTED;
	return dead_ending(st, reference, ENDED_EVICTED);
}

enum removal evict_reference(struct store_thread *st, uint32_t reference, uint64_t hash, bool proven)
{
	struct store *s = st->store;
	enum ending ending = eviction_ending(st, slab_class_of(&s->slab, reference), reference);
	enum removal removal = remove_hashed(st, reference, hash, ending);

	if (removal == REMOVAL_DONE && ending == ENDED_EVICTED && s->policy->bury)
		s->policy->bury(&s->policy_shared, hash, proven);
	return removal;
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
		named = sc->queue.ops->victims(&sc->queue, victims, wanted);
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
	if (s->policy->hit)
		drain_rings(s);
	else
		drain_ring(s, &st->ring);
	unsigned n = choose_victims(s, sc, victims, wanted);

	if (n == 0 && !s->policy->hit) {
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
static bool sweep_flushed(struct store_thread *st)
{
	struct index *ix = &st->store->index;

	if (likely(!atomic_load_explicit(&ix->sweep_active, memory_order_relaxed)))
		return false;
	reclaim_room(st);
	index_flush_sweep(ix, UINT32_MAX, LIMBO_MARGIN / 2, st);
	return true;
}

/* One attempt to free memory that this class can use. */
static bool make_room(struct store_thread *st, struct slab_class *sc)
{
	struct store *s = st->store;
	bool more;

	if (sweep_flushed(st))
		return true;
	if (atomic_load_explicit(&s->references.weak_count, memory_order_relaxed) +
	            atomic_load_explicit(&s->references.dependency_count, memory_order_relaxed) &&
	    sweep_dead(st, DEAD_LOOKS, &more))
		return true;
	if (!s->options.evict) {
		return_stocks(st, true);
		return release_empty_page(st) || st->limbo.count != 0;
	}
	if (evict_released(st))
		return true;
	if (take_page_for(st, sc))
		return true;
	if (evict_batch(st, sc))
		return true;
	if (st->limbo.count)
		return true;
	return release_page(st, sc);
}

void sleep_outside(struct store_thread *st)
{
	static const struct timespec pause = { .tv_nsec = 100000 };

	epoch_leave(&st->store->epoch, st->slot);
	nanosleep(&pause, NULL);
	epoch_enter(&st->store->epoch, st->slot);
}

static bool refill(struct store_thread *st, struct slab_class *sc)
{
	struct stock *sk = &st->stocks[sc->index];
	unsigned spins = 0, failures = 0;

	for (unsigned i = 0; i < WAIT_TRIES; i++) {
		reclaim_for(st, sc);
		yield_drained(st);
		if (sk->count || stock_from_pages(st, sc))
			return true;
		/* Evicting again would not help what only waits for other threads' turns. */
		if (st->limbo.count >= ENOUGH_WAITING) {
			lock_backoff(&spins);
			if (i % 64 != 63)
				continue;
		}
		uint32_t waiting = st->limbo.count;
		bool made = make_room(st, sc);

		if (!made && ++failures > ROOM_FAILURES)
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
