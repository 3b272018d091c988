/*
 * limbo.c: what was removed waits here, in the thread that removed it, until nobody can see it any more;
 * then it goes back to that thread's stock, or to its page.
 *
 * A safe point is a call at which the thread holds no pointer into the store. Only there may a
 * thread wait for others' turns to end, since only there it can end its own; and it must hold no
 * lock, since others may want that lock before their turn can end.
 */
#include "store/internal.h"

void quiesce(struct store_thread *st)
{
	sight_begin(st);
}

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
		struct policy_queue *q = slab_queue(&st->store->slab, sc, reference);

		q->ops->remove(q, reference);
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
	const struct policy_ops *ops = settled_policy(st->store);
	struct stock *sk = &st->stocks[sc->index];
	uint32_t room = MIN(STOCK_CHUNKS, MAX(1, STOCK_BYTES / sc->chunk_bytes));

	if (!ops || !ops->direct_link || sk->count >= room || (state_get(&sc->space, reference) & ops->locked_links) ||
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
void reclaim_for(struct store_thread *st, struct slab_class *sc)
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
