/*
 * write.c: what changes items. Publishing a complete item is one swap of a reference under its bucket's
 * lock; deleting, touching and flushing are here too. Memory comes from reserve.c; what is computed from
 * the old value is in derive.c.
 */
#include "store/write.h"

#include <limits.h>

#define RELEASE_FAILURES 40u

/* ---- publishing ---- */

/* A page fewer; false when none could be had so many times that none will. Who holds what is in the way
 * may be waiting for a core. */
static bool release_some(struct store_thread *st, unsigned *failures)
{
	unsigned spins = LOCK_SPINS;

	if (!st->store->options.evict)
		return false;
	if (release_page(st, NULL))
		return true;
	if (++*failures > RELEASE_FAILURES / 2)
		sleep_outside(st);
	else
		lock_backoff(&spins);
	return *failures < RELEASE_FAILURES;
}

/* The expiry's place may need memory; having it beforehand keeps publishing free of failures. */
bool prepare_expiry(struct store_thread *st, uint32_t reference, uint32_t expiry)
{
	struct slab *sl = &st->store->slab;
	struct slab_class *sc = slab_class_of(sl, reference);
	unsigned failures = 0;

	if (likely(expiry == EXPIRY_NEVER && !page_has_expiry(slab_page(sl, reference))))
		return true;
	/* Many pages may have to go when the limit was just lowered. */
	for (unsigned i = 0; i < RETRIES; i++) {
		if (likely(slab_set_expiry(sl, sc, reference, expiry)))
			return true;
		if (!release_some(st, &failures))
			break;
	}
	return false;
}

static void count_stored(struct store_thread *st, uint32_t reference)
{
	const struct slab_class *sc = slab_class_of(&st->store->slab, reference);
	COUNT(st, sc->index, items, 1);
	COUNT(st, sc->index, bytes, item_stored_bytes(sc, chunk_item(st->store, reference)));
	counter_add_one(&st->total_items);
}

/* Held by others: of any entry but one whose bucket is not locked. */
static bool must_stay(struct store *s, uint32_t reference)
{
	return (item_word(chunk_item(s, reference)) & WORD_REFERRED) &&
	       reference_protection(s, item_hash(s, reference), reference) == PROTECTION_HELD;
}

/* What is least missed of a locked bucket: what was never read, the longest idle of it. False: all is held. */
static bool find_sacrifice(struct store *s, struct bucket *b, struct index_slot *least, uint32_t *sacrificed)
{
	struct index_slot at = { 0 };
	uint32_t reference;
	unsigned least_worth = UINT_MAX;

	while (index_any(&s->index, b, &at, &reference)) {
		const struct slab_class *sc = slab_class_of(&s->slab, reference);
		bool read = state_get(&sc->space, reference) & STATE_FETCHED;
		unsigned age = atomic_load_explicit(slab_age(sc, reference), memory_order_relaxed);
		unsigned worth = (read ? UINT8_MAX + 1u : 0) + UINT8_MAX - age;

		if (worth >= least_worth || must_stay(s, reference))
			continue;
		least_worth = worth;
		*least = at;
		*sacrificed = reference;
	}
	return least_worth != UINT_MAX;
}

/* Enters a new key into its locked bucket. When the index has no memory left, another entry of the
 * bucket makes room. */
static bool enter_key(struct store_thread *st, struct bucket *b, uint64_t hash, uint32_t reference,
                      int32_t *delta)
{
	struct index *ix = &st->store->index;
	struct index_slot at;
	uint32_t sacrificed;

	*delta = 1;
	if (likely(index_insert(ix, b, hash, reference)))
		return true;
	if (!st->store->options.evict)
		return false;
	if (!find_sacrifice(st->store, b, &at, &sacrificed))
		return false;
	index_remove(ix, b, &at);
	retire(st, sacrificed, ENDED_EVICTED);
	*delta = 0;
	return index_insert(ix, b, hash, reference);
}

/* Asks the policy of a key that was absent. True: it is proven. */
static bool recall_key(struct store_thread *st, struct slab_class *sc, uint64_t hash,
                       const struct policy_ops *policy)
{
	enum ghost_origin origin = policy->recall(&st->store->policy_shared, hash);

	if (likely(origin == GHOST_NONE))
		return false;
	COUNT(st, sc->index, ghost_hits, 1);
	atomic_fetch_add_explicit(&sc->refaults, 1, memory_order_relaxed);
	/* What left proven had its time: it begins again as new. */
	return origin == GHOST_UNPROVEN;
}

/* What the policy is told of the key's past: what its former item had earned stays with the key, and to
 * be written again counts as a read; a key that was evicted too early is not new. Returns the state. */
static uint8_t write_state(struct store_thread *st, struct slab_class *sc, uint64_t hash,
                           uint32_t reference, uint32_t old)
{
	struct store *s = st->store;
	const struct policy_ops *policy = running_policy(s);
	uint8_t state = 0;

	if (old) {
		uint8_t before = state_get(&slab_class_of(&s->slab, old)->space, old);

		state = state_after_read(before) & STATE_READS;
		if (policy->direct_link || (before & policy->proven_states))
			state |= STATE_PROVEN;
	} else {
		counter_add_one(&st->new_keys);
		if (policy->recall && recall_key(st, sc, hash, policy))
			state = STATE_PROVEN;
	}
	if (state)
		state_change(&sc->space, reference, 0, state);
	return state;
}

/* What others know of the key's life goes on with another item, or ends if that was over. */
static enum store_result hand_over(struct store_thread *st, uint64_t hash, uint32_t reference,
                                   const struct place *place)
{
	if (!place->alive)
		reference_end(st, hash, place->old);
	else if (!reference_replace(st, hash, place->old, reference, place->changes))
		return STORE_HELD_LIMIT;
	return STORE_OK;
}

/* Publishes under the bucket's lock, replacing what is there if place->old is not 0.
 * Unlinked: the policy is still to be told. Errors: STORE_NO_MEMORY, STORE_HELD_LIMIT. */
enum store_result publish(struct store_thread *st, struct bucket *b, uint64_t hash,
                                 uint32_t reference, const struct place *place, int32_t *delta,
                                 bool *unlinked)
{
	struct store *s = st->store;
	struct slab_class *sc = slab_class_of(&s->slab, reference);
	struct item *it = chunk_item(s, reference);
	uint32_t old = place->old;
	bool referred = old && unlikely(item_word(chunk_item(s, old)) & WORD_REFERRED);
	const struct policy_ops *settled = settled_policy(s);
	uint8_t direct = settled ? settled->direct_link : 0;

	*delta = 0;
	*unlinked = false;
	if (unlikely(referred) && hand_over(st, hash, reference, place) != STORE_OK)
		return STORE_HELD_LIMIT;
	uint8_t state = write_state(st, sc, hash, reference, old);

	item_set_kind_owned(it, CHUNK_ITEM);
	if (old) {
		index_replace(&place->at, reference);
		/* After the value can be read: who makes something of it anew makes it of this one. */
		if (unlikely(referred) && place->changes)
			reference_changed(s, hash, reference);
		/* Was it over, its life did not go on, and nobody has told yet why it ended. */
		retire(st, old, likely(place->alive) ? ENDED_REPLACED
						     : over_ending(st, old, ENDED_REPLACED));
	} else if (unlikely(!enter_key(st, b, hash, reference, delta))) {
		item_set_kind(it, CHUNK_DETACHED);
		return STORE_NO_MEMORY;
	}
	if (unlikely(item_word(it) & WORD_REFERRING))
		reference_published(s, reference);
	count_stored(st, reference);
	if (direct && (state & STATE_PROVEN)) {
		/* Counted first, so that the queue never seems emptier than it is. Not linked before it is an
		 * item: from here on the policy may name it as a victim. */
		note_link(st, sc->index, 1);
		if (unlikely(!state_give(&sc->space, reference, direct)))
			note_link(st, sc->index, -1);
	} else {
		*unlinked = true;
	}
	return STORE_OK;
}

/* After the bucket is unlocked: tell the policy and the index's size. */
void published(struct store_thread *st, uint32_t reference, uint64_t hash, int32_t delta,
                      bool unlinked)
{
	/* In this turn the chunk stays what it is, whoever removes the item. */
	sample_request(st, MRC_SET, hash, reference);
	if (unlinked)
		ring_push(st, reference);
	adjust_count(st, delta);
}

/* A CAS unique older than the item's (meta I). Uniques of the store's own making have no order; one
 * that is not the item's was an earlier version's. Those that clients chose are numbers. */
static bool is_older(const struct store *s, uint32_t reference, uint64_t compare_cas)
{
	struct item *it = chunk_item(s, reference);
	const struct slab_class *sc = slab_class_of(&s->slab, reference);

	if (!(item_word(it) & WORD_CAS_GIVEN))
		return true;
	return compare_cas < item_cas(s, sc, reference, it);
}

static bool is_weak(const struct store *s, uint32_t reference)
{
	struct item *it = chunk_item(s, reference);
	uint32_t word = item_word(it);

	return unlikely(word & WORD_REFERRING) &&
	       reference_is_weak(item_references(it, slab_class_of(&s->slab, reference)->big, word));
}

/* What a set, add, replace or cas finds under the lock decides what becomes of it. */
static enum store_result judge(struct store_thread *st, const struct commit_args *args, uint32_t old,
                               bool alive, struct item *new_item)
{
	struct store *s = st->store;

	if (args->mode == STORE_ADD && alive)
		return STORE_NOT_STORED;
	if (!alive) {
		if (args->mode == STORE_REPLACE && !args->has_compare)
			return STORE_NOT_STORED;
		if (args->mode == STORE_ADD)
			return STORE_OK;
		return args->has_compare ? STORE_NOT_FOUND : STORE_OK;
	}
	if (!args->has_compare)
		return STORE_OK;
	const struct slab_class *sc = slab_class_of(&s->slab, old);

	/* What a client was shown is the target's unique, so that none is the reference's. */
	if (!is_weak(s, old) && item_cas(s, sc, old, chunk_item(s, old)) == args->compare_cas)
		return STORE_OK;
	if (args->stale_on_older && !is_weak(s, old) && is_older(s, old, args->compare_cas)) {
		/* Who was told to recache the item still is. */
		uint32_t marks = ITEM_STALE | (word_marks(item_word(chunk_item(s, old))) & ITEM_WON);

		atomic_fetch_or_explicit(&new_item->word, marks << WORD_MARKS_SHIFT,
		                         memory_order_relaxed);
		return STORE_OK;
	}
	COUNT(st, sc->index, cas_badval, 1);
	return STORE_EXISTS;
}

uint64_t held_growth(const struct store *s, uint32_t old, uint32_t reference)
{
	uint64_t before = item_stored_bytes(slab_class_of(&s->slab, old), chunk_item(s, old));
	uint64_t after = item_stored_bytes(slab_class_of(&s->slab, reference), chunk_item(s, reference));

	return after > before ? after - before : 0;
}

/* What was compared is counted when it is decided; of what is tried again nothing is left. */
static void end_compare(struct store_thread *st, struct item *it, uint32_t old, enum store_result result)
{
	bool stale = word_marks(item_word(it)) & ITEM_STALE;

	if (result == STORE_OK && !stale)
		COUNT(st, slab_class_of(&st->store->slab, old)->index, cas_hits, 1);
	if (result == STORE_HELD_LIMIT && stale)
		atomic_fetch_and_explicit(&it->word,
		                          ~((uint32_t)(ITEM_STALE | ITEM_WON) << WORD_MARKS_SHIFT),
		                          memory_order_relaxed);
}

/* Publishes a complete item as args say. *lacking: the bytes that may not be held, of STORE_HELD_LIMIT. */
static inline enum store_result try_commit(struct store_thread *st, struct slab_class *sc,
                                           uint32_t reference, const char *key, uint64_t hash,
                                           struct commit_args *args, uint64_t *lacking)
{
	struct store *s = st->store;
	struct item *it = chunk_item(s, reference);
	struct bucket *b = index_lock(&s->index, hash, st);
	struct place place = { .changes = true };
	int32_t delta = 0;
	bool unlinked = false;
	enum store_result result = STORE_OK;

	if (find_locked(s, b, hash, key, it->key_length, &place.at, &place.old))
		place.alive = !entry_is_over(s, place.old, st->now);
	else
		place.old = 0;
	if (unlikely(args->mode != STORE_SET || args->has_compare))
		result = judge(st, args, place.old, place.alive, it);
	if (unlikely(item_word(it) & WORD_REFERRING) && result == STORE_OK &&
	    !reference_confirm(s, st->now, reference))
		result = STORE_NOT_FOUND;
	if (likely(result == STORE_OK)) {
		result = publish(st, b, hash, reference, &place, &delta, &unlinked);
		if (likely(result == STORE_OK))
			args->cas = item_cas(s, sc, reference, it);
	}
	if (unlikely(args->has_compare) && place.alive)
		end_compare(st, it, place.old, result);
	if (unlikely(result == STORE_HELD_LIMIT))
		*lacking = held_growth(s, place.old, reference);
	index_unlock(b);
	if (likely(result == STORE_OK))
		published(st, reference, hash, delta, unlinked);
	return result;
}

/* Publishes a complete item as args say, or frees it. */
static inline enum store_result commit_item(struct store_thread *st, struct slab_class *sc,
                                            uint32_t reference, const char *key, uint64_t hash,
                                            struct commit_args *args)
{
	enum store_result result;
	uint64_t lacking;

	/* Its key is held, and what else is may be in the way for no good reason. */
	do
		result = try_commit(st, sc, reference, key, hash, args, &lacking);
	while (unlikely(result == STORE_HELD_LIMIT) && last_resort_for_hold(st, lacking));
	if (unlikely(result != STORE_OK))
		discard(st, reference);
	return result;
}

/* Finds what the complete, unpublished item shall refer to; a safe point. */
enum store_result refer(struct store_thread *st, uint32_t reference,
                               const struct reference_list *list)
{
	assert(shape_count(reference_list_shape(list)) > 0);
	enum store_result result = reference_acquire(st, reference, list);

	reclaim_room(st);
	return result;
}

enum store_result commit_plain(struct store_thread *st, struct reservation *rv,
                                      struct commit_args *args)
{
	struct slab_class *sc = slab_class_of(&st->store->slab, rv->head);
	struct item *it = chunk_item(st->store, rv->head);
	uint32_t reference = rv->head;

	rv->head = 0;
	return commit_item(st, sc, reference, item_key(it, sc->big, item_word(it)), rv->hash, args);
}

enum store_result store_commit(struct store_thread *st, struct reservation *rv,
                               struct commit_args *args)
{
	assert(rv->head != 0);
	assert(rv->remaining == 0);
	settle_pending(st, rv);
	COUNT(st, slab_class_of(&st->store->slab, rv->head)->index, cmd_set, 1);
	args->cas = 0;
	reclaim_room(st);
	if (args->mode == STORE_APPEND || args->mode == STORE_PREPEND)
		return commit_joined(st, rv, args);
	if (unlikely(!prepare_expiry(st, rv->head, rv->expiry))) {
		store_abort(st, rv);
		return STORE_NO_MEMORY;
	}
	if (unlikely(args->references)) {
		enum store_result result = refer(st, rv->head, args->references);

		if (result != STORE_OK) {
			store_abort(st, rv);
			return result;
		}
	}
	return commit_plain(st, rv, args);
}

/* A value in one chunk needs no reservation: nothing can come between. */
static enum store_result set_draft(struct store_thread *st, const struct item_spec *spec,
                                   const struct draft *d, const char *value, struct commit_args *args)
{
	memcpy(d->value, value, spec->value_length);
	COUNT(st, d->sc->index, cmd_set, 1);
	args->cas = 0;
	reclaim_room(st);
	if (unlikely(!prepare_expiry(st, d->reference, spec->expiry))) {
		discard(st, d->reference);
		return STORE_NO_MEMORY;
	}
	if (unlikely(args->references)) {
		enum store_result result = refer(st, d->reference, args->references);

		if (result != STORE_OK) {
			discard(st, d->reference);
			return result;
		}
	}
	return commit_item(st, d->sc, d->reference, spec->key, spec->hash, args);
}

static enum store_result set_large(struct store_thread *st, const struct item_spec *spec,
                                   const char *value, struct commit_args *args)
{
	struct item_spec whole = *spec;
	struct reservation rv;

	whole.at_hand = true;
	enum status status = store_reserve(st, &whole, &rv);

	if (unlikely(status != STATUS_OK))
		return status == STATUS_TOO_LARGE ? STORE_TOO_LARGE : STORE_NO_MEMORY;
	if (unlikely(!reservation_write(st, &rv, value, spec->value_length))) {
		store_abort(st, &rv);
		return STORE_NO_MEMORY;
	}
	return store_commit(st, &rv, args);
}

enum store_result store_set(struct store_thread *st, const struct item_spec *spec, const char *value,
                            struct commit_args *args)
{
	struct slab_class *sc = class_for_item(&st->store->slab, spec);
	struct draft d;

	if (unlikely(sc->big || args->mode > STORE_REPLACE))
		return set_large(st, spec, value, args);
	enum status status = draft_item(st, sc, spec, &d);

	if (unlikely(status != STATUS_OK))
		return status == STATUS_TOO_LARGE ? STORE_TOO_LARGE : STORE_NO_MEMORY;
	/* Settled at once: alloc_larger may have found a large chunk, never more than one. */
	return set_draft(st, spec, &d, value, args);
}

/* ---- deleting ---- */

/* Marks stale and gives the item a new CAS unique in place: the next generation of its chunk. */
static void invalidate(struct item *it, uint8_t set_marks, uint8_t clear_marks)
{
	uint32_t word = item_word(it), next;

	do {
		next = word | ((uint32_t)set_marks << WORD_MARKS_SHIFT);
		next &= ~((uint32_t)clear_marks << WORD_MARKS_SHIFT);
		next = (next & WORD_META) |
		       (((word_generation(word) + 1) & GENERATION_MASK) << WORD_GENERATION_SHIFT);
	} while (!atomic_compare_exchange_weak_explicit(&it->word, &word, next, memory_order_relaxed,
	                                                memory_order_relaxed));
}

/* Of an item that is published; its bucket is locked. */
static bool set_expiry(struct store *s, uint64_t hash, uint32_t reference, uint32_t expiry)
{
	if (!slab_set_expiry(&s->slab, slab_class_of(&s->slab, reference), reference, expiry))
		return false;
	if (unlikely(item_word(chunk_item(s, reference)) & WORD_REFERRED))
		reference_touched(s, hash, reference, expiry);
	return true;
}

enum store_result store_delete(struct store_thread *st, const char *key, size_t key_length,
                               uint64_t hash, const struct delete_args *args)
{
	struct store *s = st->store;
	enum store_result result = STORE_OK;
	struct index_slot at;
	uint32_t found;

	reclaim_room(st);
	if (args->clear_value || args->explicit_cas)
		return rebuild(st, key, key_length, hash, args);
	struct bucket *b = index_lock(&s->index, hash, st);

	if (!find_locked(s, b, hash, key, key_length, &at, &found)) {
		index_unlock(b);
		/* A larger cache might still have it. */
		sample_request(st, MRC_DELETE, hash, 0);
		return STORE_NOT_FOUND;
	}
	struct slab_class *sc = slab_class_of(&s->slab, found);
	struct item *it = chunk_item(s, found);
	bool removed = false;

	if (entry_is_over(s, found, st->now)) {
		result = STORE_NOT_FOUND;
	} else if (args->has_compare && item_cas(s, sc, found, it) != args->compare_cas) {
		result = STORE_EXISTS;
	} else if (args->invalidate && !(item_word(it) & WORD_CAS_GIVEN)) {
		invalidate(it, ITEM_STALE, ITEM_WON);
		/* No memory for a page's first expiry is no reason to keep the item valid. */
		if (args->set_expiry && !set_expiry(s, hash, found, args->expiry))
			result = STORE_NO_MEMORY;
	} else if (args->invalidate) {
		index_unlock(b);
		struct delete_args again = *args;

		/* The client's own number cannot be counted up in place without surprising it. */
		again.explicit_cas = item_explicit_cas(it, sc->big, item_word(it)) + 1;
		return rebuild(st, key, key_length, hash, &again);
	} else {
		index_remove(&s->index, b, &at);
		retire(st, found, ENDED_DELETED);
		COUNT(st, sc->index, delete_hits, 1);
		removed = true;
	}
	index_unlock(b);
	if (removed) {
		sample_request(st, MRC_DELETE, hash, 0);
		adjust_count(st, -1);
	}
	return result;
}

/* ---- touching ---- */

/* A touch is an access, too. */
static void touched(struct store_thread *st, uint32_t reference, uint64_t hash, struct item_view *view)
{
	struct slab_class *sc = slab_class_of(&st->store->slab, reference);
	_Atomic uint8_t *state = slab_state(sc, reference);
	uint8_t before = atomic_load_explicit(state, memory_order_relaxed);

	COUNT(st, sc->index, touch_hits, 1);
	count_cool(st, before);
	sample_request(st, state_reads(before) == STATE_READS_MAX ? MRC_HOT : MRC_HIT, hash, reference);
	if (view) {
		view_fill(st->store, reference, view);
		view->age = atomic_load_explicit(slab_age(sc, reference), memory_order_relaxed);
		view->fetched = (before & STATE_FETCHED) != 0;
	}
	atomic_compare_exchange_strong_explicit(state, &before, state_after_read(before),
	                                        memory_order_relaxed, memory_order_relaxed);
	atomic_store_explicit(slab_age(sc, reference), 0, memory_order_relaxed);
	if (wants_hits(st->store))
		ring_push(st, reference | RING_HIT);
}

enum store_result store_touch(struct store_thread *st, const char *key, size_t key_length,
                              uint64_t hash, uint32_t expiry, struct item_view *view)
{
	struct store *s = st->store;

	unsigned failures = 0;

	for (unsigned i = 0; i < RETRIES; i++) {
		struct bucket *b = index_lock(&s->index, hash, st);
		struct index_slot at;
		uint32_t found;
		bool present = find_locked(s, b, hash, key, key_length, &at, &found) &&
		               !entry_is_over(s, found, st->now);
		bool done = present && set_expiry(s, hash, found, expiry);

		index_unlock(b);
		if (!present) {
			count_miss(st, hash, false);
			return STORE_NOT_FOUND;
		}
		if (done) {
			touched(st, found, hash, view);
			return STORE_OK;
		}
		if (!release_some(st, &failures))
			break;
	}
	return STORE_NO_MEMORY;
}

void store_flush(struct store_thread *st)
{
	struct index *ix = &st->store->index;

	while (!index_flush(ix)) {
		reclaim_room(st);
		index_flush_sweep(ix, UINT32_MAX, LIMBO_MARGIN / 2, st);
		/* Whoever resizes may be waiting for nothing but this turn's end. */
		quiesce(st);
	}
	reference_flushed(st->store);
	atomic_store_explicit(&st->store->curve.clear_wanted, true, memory_order_relaxed);
}
