/*
 * write.c: what changes items. A value comes in through a reservation; publishing it is one swap of
 * a reference under its bucket's lock. Commands that compute a value from the old one (append,
 * arithmetic) read without a lock, build the new item, and publish only if the old one is still there.
 */
#include <stdio.h>

#include "store/internal.h"

/* What memcached's item header takes when it compares an item with -I, so that the same values are
 * refused: 48 bytes, the CAS unique, the key's and the value's ends. */
#define LIMIT_HEADER_BYTES (48u + 8u + 1u + 2u)
/* Times an append or an increment starts over because another writer came first. Somebody made
 * progress each time. */
#define RETRIES 1000u
#define RELEASE_FAILURES 40u

/* ---- reserving ---- */

static bool over_limit(const struct store *s, const struct item_spec *spec)
{
	return (uint64_t)spec->value_length + spec->key_length + LIMIT_HEADER_BYTES +
	               (spec->client_flags ? 4 : 0) >
	       s->options.item_limit_bytes;
}

struct reference_shape reference_list_shape(const struct reference_list *list)
{
	struct reference_shape shape = { 0 };

	for (unsigned i = 0; i < list->count; i++) {
		shape.followed += list->targets[i].kind != REFERENCE_HOLD;
		shape.versions += list->targets[i].kind == REFERENCE_VERSION;
		shape.holds += list->targets[i].kind == REFERENCE_HOLD;
	}
	return shape;
}

/* Room for references, of which none names a block yet. */
static char *write_shape(char *at, struct reference_shape shape)
{
	memset(at, 0, shape_bytes(shape));
	memcpy(at, &shape, REFERENCES_HEADER);
	return at + shape_bytes(shape);
}

static void write_fields(struct item *it, bool big, const struct item_spec *spec)
{
	uint32_t word = item_word(it);
	uint32_t code = flags_width_code(spec->client_flags);
	char *at = item_fields(it, big);

	if (likely(!(spec->client_flags | spec->explicit_cas | spec->marks) &&
	           shape_is_empty(spec->references))) {
		memcpy(at, spec->key, spec->key_length);
		return;
	}
	word |= code | (spec->explicit_cas ? WORD_CAS_GIVEN : 0) |
	        (shape_is_empty(spec->references) ? 0 : WORD_REFERRING) | ((uint32_t)spec->marks << WORD_MARKS_SHIFT);
	atomic_store_explicit(&it->word, word, memory_order_relaxed);
	memcpy(at, &spec->client_flags, flags_width_bytes(code));
	at += flags_width_bytes(code);
	if (spec->explicit_cas) {
		memcpy(at, &spec->explicit_cas, sizeof(spec->explicit_cas));
		at += sizeof(spec->explicit_cas);
	}
	if (!shape_is_empty(spec->references))
		at = write_shape(at, spec->references);
	memcpy(at, spec->key, spec->key_length);
}

/* The class that holds the item whole; the largest one for the head of a chain. */
static struct slab_class *class_for_item(struct slab *sl, const struct item_spec *spec)
{
	uint64_t bytes = item_total_bytes(false, spec->client_flags, spec->explicit_cas != 0,
	                                  shape_bytes(spec->references), spec->key_length,
	                                  spec->value_length);
	struct slab_class *sc = slab_class_for(sl, bytes);

	if (sc && !sc->big)
		return sc;
	sc = slab_class_for(sl, bytes + ITEM_BIG_HEADER - ITEM_SMALL_HEADER);
	return sc ? sc : &sl->classes[sl->class_count];
}

/* A chunk for a value that is not complete; large ones are counted against their share. */
static uint32_t alloc_pending(struct store_thread *st, struct slab_class *sc, uint32_t *counted_bytes)
{
	struct store *s = st->store;
	uint32_t reference;

	if (!sc->big)
		return alloc_chunk(st, sc);
	uint64_t captive = atomic_fetch_add_explicit(&s->pending_bytes, sc->chunk_bytes,
	                                             memory_order_relaxed) +
	                   atomic_load_explicit(&s->pinned_bytes, memory_order_relaxed);

	if (captive + sc->chunk_bytes <= s->captive_limit_bytes &&
	    (reference = alloc_chunk(st, sc)) != 0) {
		*counted_bytes += sc->chunk_bytes;
		return reference;
	}
	atomic_fetch_sub_explicit(&s->pending_bytes, sc->chunk_bytes, memory_order_relaxed);
	return 0;
}

static void settle_pending(struct store_thread *st, struct reservation *rv)
{
	if (rv->pending_bytes)
		atomic_fetch_sub_explicit(&st->store->pending_bytes, rv->pending_bytes,
		                          memory_order_relaxed);
	rv->pending_bytes = 0;
}

/* Clients that neither finish nor read can hold a chunk in every page, so that a class without pages
 * gets none. A small item then lives in a chunk that is too large for it. */
static uint32_t alloc_larger(struct store_thread *st, const struct item_spec *spec,
                             struct slab_class **chosen)
{
	struct slab *sl = &st->store->slab;

	if ((*chosen)->big)
		return 0;
	for (unsigned i = (*chosen)->index + 1u; i <= sl->class_count; i++) {
		struct slab_class *sc = &sl->classes[i];
		uint64_t bytes = item_total_bytes(sc->big, spec->client_flags, spec->explicit_cas != 0,
		                                  shape_bytes(spec->references), spec->key_length,
		                                  spec->value_length);

		/* A small item's slack is one byte. */
		if (bytes > sc->chunk_bytes || (!sc->big && sc->chunk_bytes - bytes > UINT8_MAX))
			continue;
		uint32_t reference = alloc_spare(st, sc);

		if (reference) {
			*chosen = sc;
			return reference;
		}
	}
	return 0;
}

/* An item with its header and key written, and nothing of its value. */
struct draft {
	struct slab_class *sc;
	uint32_t reference;
	uint32_t pending_bytes; /* counted against the share of unfinished values */
	struct item *it;
	char *value;
};

/* `sc`: of class_for_item. */
static inline enum status draft_item(struct store_thread *st, struct slab_class *sc,
                                     const struct item_spec *spec, struct draft *d)
{
	struct store *s = st->store;

	d->pending_bytes = 0;
	if (unlikely(over_limit(s, spec)))
		return STATUS_TOO_LARGE;
	d->sc = sc;
	d->reference = alloc_pending(st, d->sc, &d->pending_bytes);
	if (unlikely(!d->reference))
		d->reference = alloc_larger(st, spec, &d->sc);
	if (unlikely(!d->reference))
		return STATUS_NO_MEMORY;
	struct item *it = d->it = chunk_item(s, d->reference);

	if (s->policy->recall)
		ghost_prefetch(&s->policy_shared.ghosts, spec->hash);
	uint32_t before_value = (uint32_t)item_total_bytes(d->sc->big, spec->client_flags,
	                                                   spec->explicit_cas != 0,
	                                                   shape_bytes(spec->references),
	                                                   spec->key_length, 0);

	it->key_length = spec->key_length;
	if (d->sc->big) {
		it->slack = 0;
		it->unused = 0;
		it->value_length = spec->value_length;
		it->next = 0;
		atomic_store_explicit(&it->pins, 0, memory_order_relaxed);
	} else {
		it->slack = (uint8_t)(d->sc->chunk_bytes - before_value - spec->value_length);
	}
	write_fields(it, d->sc->big, spec);
	d->value = (char *)it + before_value;
	return STATUS_OK;
}

enum status store_reserve(struct store_thread *st, const struct item_spec *spec,
                          struct reservation *rv)
{
	struct draft d;

	rv->head = 0;
	enum status status = draft_item(st, class_for_item(&st->store->slab, spec), spec, &d);

	if (unlikely(status != STATUS_OK))
		return status;
	uint32_t room = (uint32_t)((char *)d.it + d.sc->chunk_bytes - d.value);

	*rv = (struct reservation){
		.hash = spec->hash,
		.head = d.reference,
		.current = d.reference,
		.next = d.value,
		.part_room = MIN(room, spec->value_length),
		.remaining = spec->value_length,
		.expiry = spec->expiry,
		.value_length = spec->value_length,
		.pending_bytes = d.pending_bytes,
	};
	return STATUS_OK;
}

/* Links the next part of a large value. */
static bool extend(struct store_thread *st, struct reservation *rv)
{
	struct slab *sl = &st->store->slab;
	struct slab_class *sc = slab_class_for(sl, (uint64_t)rv->remaining + SEGMENT_HEADER);

	if (!sc)
		sc = &sl->classes[sl->class_count];
	uint32_t reference = alloc_pending(st, sc, &rv->pending_bytes);

	if (!reference)
		return false;
	struct segment *sg = slab_chunk(sl, reference);

	sg->next = 0;
	sg->head = rv->head;
	item_set_kind((struct item *)sg, CHUNK_SEGMENT);
	COUNT(st, sc->index, segments, 1);
	if (rv->current == rv->head)
		chunk_item(st->store, rv->head)->next = reference;
	else
		((struct segment *)slab_chunk(sl, rv->current))->next = reference;
	rv->current = reference;
	rv->next = sg->data;
	rv->part_room = MIN(sc->chunk_bytes - SEGMENT_HEADER, rv->remaining);
	return true;
}

char *reservation_room(struct store_thread *st, struct reservation *rv, uint32_t *room)
{
	*room = 0;
	if (rv->remaining == 0)
		return NULL;
	if (rv->part_room == 0 && !extend(st, rv))
		return NULL;
	*room = rv->part_room;
	return rv->next;
}

void reservation_advance(struct store_thread *st, struct reservation *rv, uint32_t bytes)
{
	assert(bytes <= rv->part_room);
	rv->next += bytes;
	rv->part_room -= bytes;
	rv->remaining -= bytes;
}

bool reservation_write(struct store_thread *st, struct reservation *rv, const char *data,
                       uint32_t bytes)
{
	while (bytes > 0) {
		uint32_t room;
		char *next = reservation_room(st, rv, &room);

		if (!next)
			return false;
		uint32_t n = MIN(room, bytes);

		memcpy(next, data, n);
		reservation_advance(st, rv, n);
		data += n;
		bytes -= n;
	}
	return true;
}

void store_abort(struct store_thread *st, struct reservation *rv)
{
	settle_pending(st, rv);
	if (rv->head)
		discard(st, rv->head);
	rv->head = 0;
}

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
static inline bool prepare_expiry(struct store_thread *st, uint32_t reference, uint32_t expiry)
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

/* Where an item is published, and over what. */
struct place {
	struct index_slot at;
	uint32_t old;  /* 0: the key is absent */
	bool alive;    /* old is not over */
	bool changes;  /* the new value is another */
};

/* Held by others: of any entry but one whose bucket is not locked. */
static bool must_stay(struct store *s, uint32_t reference)
{
	return (item_word(chunk_item(s, reference)) & WORD_REFERRED) &&
	       reference_protection(s, item_hash(s, reference), reference) == PROTECTION_HELD;
}

/* Enters a new key into its locked bucket. When the index has no memory left, another entry of the
 * bucket makes room. */
static bool enter_key(struct store_thread *st, struct bucket *b, uint64_t hash, uint32_t reference,
                      int32_t *delta)
{
	struct index *ix = &st->store->index;
	struct index_slot at = { 0 };
	uint32_t sacrificed;

	*delta = 1;
	if (likely(index_insert(ix, b, hash, reference)))
		return true;
	if (!st->store->options.evict)
		return false;
	do {
		if (!index_any(ix, b, &at, &sacrificed))
			return false;
	} while (must_stay(st->store, sacrificed));
	index_remove(ix, b, &at);
	retire(st, sacrificed, ENDED_EVICTED);
	*delta = 0;
	return index_insert(ix, b, hash, reference);
}

/* Asks the policy of a key that was absent. True: it is proven. */
static bool recall_key(struct store_thread *st, struct slab_class *sc, uint64_t hash)
{
	enum ghost_origin origin = st->store->policy->recall(&st->store->policy_shared, hash);

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
	const struct policy_ops *policy = s->policy;
	uint8_t state = 0;

	if (old) {
		uint8_t before = state_get(&slab_class_of(&s->slab, old)->space, old);

		state = state_after_read(before) & STATE_READS;
		if (policy->direct_link || (before & policy->proven_states))
			state |= STATE_PROVEN;
	} else {
		counter_add_one(&st->new_keys);
		if (policy->recall && recall_key(st, sc, hash))
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
static enum store_result publish(struct store_thread *st, struct bucket *b, uint64_t hash,
                                 uint32_t reference, const struct place *place, int32_t *delta,
                                 bool *unlinked)
{
	struct store *s = st->store;
	struct slab_class *sc = slab_class_of(&s->slab, reference);
	struct item *it = chunk_item(s, reference);
	uint32_t old = place->old;
	bool referred = old && unlikely(item_word(chunk_item(s, old)) & WORD_REFERRED);
	uint8_t direct = s->policy->direct_link;

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
		retire(st, old, ENDED_REPLACED);
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
static void published(struct store_thread *st, uint32_t reference, uint64_t hash, int32_t delta,
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
	if (!is_weak(s, old) && item_cas(s, sc, old, chunk_item(s, old)) == args->compare_cas) {
		COUNT(st, sc->index, cas_hits, 1);
		return STORE_OK;
	}
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

/* Publishes a complete item as args say, or frees it. */
static inline enum store_result commit_item(struct store_thread *st, struct slab_class *sc,
                                            uint32_t reference, const char *key, uint64_t hash,
                                            struct commit_args *args)
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
	index_unlock(b);
	if (likely(result == STORE_OK))
		published(st, reference, hash, delta, unlinked);
	else
		discard(st, reference);
	return result;
}

/* Finds what the complete, unpublished item shall refer to; a safe point. */
static enum store_result refer(struct store_thread *st, uint32_t reference,
                               const struct reference_list *list)
{
	assert(shape_count(reference_list_shape(list)) > 0);
	enum store_result result = reference_acquire(st, reference, list);

	reclaim_room(st);
	return result;
}

static enum store_result commit_plain(struct store_thread *st, struct reservation *rv,
                                      struct commit_args *args)
{
	struct slab_class *sc = slab_class_of(&st->store->slab, rv->head);
	struct item *it = chunk_item(st->store, rv->head);
	uint32_t reference = rv->head;

	rv->head = 0;
	return commit_item(st, sc, reference, item_key(it, sc->big, item_word(it)), rv->hash, args);
}

/* ---- building on the old value ---- */

/* What a new item is published over, if it is still there as it was. */
struct predecessor {
	uint32_t reference;
	uint32_t generation;
	uint32_t added;   /* an unpublished item whose references the new one gets as well, 0: none */
	bool same_value;  /* ... has the new item */
};

/* The new item gets the references of those that it was made of. */
static enum store_result inherit(struct store_thread *st, uint32_t reference,
                                 const struct predecessor *pr)
{
	struct store *s = st->store;

	if (likely(!(item_word(chunk_item(s, reference)) & WORD_REFERRING)))
		return STORE_OK;
	if (pr->added && (item_word(chunk_item(s, pr->added)) & WORD_REFERRING) &&
	    !reference_confirm(s, st->now, pr->added))
		return STORE_NOT_FOUND;
	/* Over since it was looked at: then the caller's next look finds nothing. */
	if (entry_is_over(s, pr->reference, st->now))
		return STORE_EXISTS;
	return reference_inherit(s, reference, pr->reference, pr->added) ? STORE_OK : STORE_NO_MEMORY;
}

/* Publishes `rv` only if its predecessor is still the key's item, unchanged. */
static enum store_result publish_over(struct store_thread *st, struct reservation *rv,
                                      const struct predecessor *pr, uint64_t *cas)
{
	struct store *s = st->store;
	struct bucket *b = index_lock(&s->index, rv->hash, st);
	struct place place = { .alive = true, .changes = !pr->same_value };
	int32_t delta;
	bool unlinked = false;
	enum store_result result = STORE_EXISTS;

	settle_pending(st, rv);

	while (index_scan(&s->index, b, rv->hash, &place.at, &place.old)) {
		if (place.old != pr->reference ||
		    word_generation(item_word(chunk_item(s, place.old))) != pr->generation)
			continue;
		result = inherit(st, rv->head, pr);
		if (likely(result == STORE_OK))
			result = publish(st, b, rv->hash, rv->head, &place, &delta, &unlinked);
		*cas = item_cas(s, slab_class_of(&s->slab, rv->head), rv->head,
		                chunk_item(s, rv->head));
		break;
	}
	index_unlock(b);
	if (result == STORE_OK)
		published(st, rv->head, rv->hash, 0, unlinked);
	else
		discard(st, rv->head);
	rv->head = 0;
	return result;
}

/* An old value that a new one is built on. */
struct basis {
	char key[256];
	struct item_view view;
	struct item_spec spec;
	struct predecessor pr;
};

static void basis_init(struct basis *bs, const char *key, size_t key_length, uint64_t hash)
{
	memcpy(bs->key, key, key_length);
	bs->spec = (struct item_spec){
		.key = bs->key,
		.key_length = (uint8_t)key_length,
		.hash = hash,
	};
}

/* Looks the key up and prepares a spec for its successor. */
static bool basis_find(struct store_thread *st, struct basis *bs)
{
	if (!store_peek(st, bs->spec.key, bs->spec.key_length, bs->spec.hash, &bs->view))
		return false;
	const struct slab_class *sc = &st->store->slab.classes[bs->view.class_index];
	uint32_t word = item_word(bs->view.item);

	bs->pr = (struct predecessor){
		.reference = bs->view.reference,
		.generation = word_generation(word),
	};
	bs->spec.references = item_shape(bs->view.item, sc->big, word);
	bs->spec.client_flags = bs->view.client_flags;
	bs->spec.expiry = bs->view.expiry;
	bs->spec.marks = bs->view.marks & ITEM_KEY_BINARY;
	return true;
}

/* After an allocation: is the same item still there and readable? */
static bool basis_again(struct store_thread *st, struct basis *bs)
{
	return store_peek(st, bs->spec.key, bs->spec.key_length, bs->spec.hash, &bs->view) &&
	       bs->view.reference == bs->pr.reference &&
	       word_generation(item_word(bs->view.item)) == bs->pr.generation;
}

/* Copies a whole value. Taking rv's further chunks are safe points, so a source that may need them
 * must be the caller's own or pinned. */
static bool copy_value(struct store_thread *st, struct reservation *rv, const struct item_view *from)
{
	struct value_cursor c;

	store_value_first(from, st, &c);
	do {
		if (!reservation_write(st, rv, c.part, c.part_length))
			return false;
	} while (store_value_next(st, &c));
	return true;
}

static bool copy_pinned(struct store_thread *st, struct reservation *rv, const struct item_view *from)
{
	if (!store_pin(st, from))
		return false;
	bool copied = copy_value(st, rv, from);

	store_unpin(st, from->reference);
	return copied;
}

/* Writes the old value and the new data, which lies complete and unpublished in `added`, in the
 * order asked for. A small old value is copied aside first, a large one is pinned meanwhile. */
static bool join(struct store_thread *st, struct reservation *rv, const struct item_view *found,
                 uint32_t added, bool prepend)
{
	char kept[CHUNK_SMALL_MAX];
	struct item_view old = *found, fresh;
	bool pinned = store_can_pin(st, &old);

	if (pinned && !store_pin(st, &old))
		return false;
	if (!pinned) {
		memcpy(kept, old.value, old.value_length);
		old.value = kept;
		old.part_length = old.value_length;
	}
	view_fill(st->store, added, &fresh);
	bool joined = copy_value(st, rv, prepend ? &fresh : &old) &&
	              copy_value(st, rv, prepend ? &old : &fresh);

	if (pinned)
		store_unpin(st, old.reference);
	return joined;
}

/* The successor has the references of both. False: they are too many. */
static bool join_shapes(struct store_thread *st, struct basis *bs, uint32_t added)
{
	struct item *it = chunk_item(st->store, added);
	struct reference_shape more = item_shape(it, slab_class_of(&st->store->slab, added)->big,
	                                         item_word(it));
	struct reference_shape *all = &bs->spec.references;

	bs->pr.added = added;
	if (shape_count(*all) + shape_count(more) > REFERENCES_MAX)
		return false;
	all->followed += more.followed;
	all->versions += more.versions;
	all->holds += more.holds;
	return true;
}

static enum store_result join_once(struct store_thread *st, struct basis *bs, uint32_t added,
                                   uint32_t added_length, struct commit_args *args)
{
	struct reservation rv;

	if (!basis_find(st, bs))
		return STORE_NOT_STORED;
	/* Its value is another key, which nothing is to be added to. */
	if (bs->view.weak)
		return STORE_NOT_STORED;
	if (args->has_compare && store_view_cas(st, &bs->view) != args->compare_cas)
		return STORE_EXISTS;
	if (!join_shapes(st, bs, added))
		return STORE_TOO_MANY_REFERENCES;
	uint64_t length = (uint64_t)bs->view.value_length + added_length;

	if (length > UINT32_MAX)
		return STORE_TOO_LARGE;
	bs->spec.value_length = (uint32_t)length;
	enum status status = store_reserve(st, &bs->spec, &rv);

	if (status != STATUS_OK)
		return status == STATUS_TOO_LARGE ? STORE_TOO_LARGE : STORE_NO_MEMORY;
	if (!prepare_expiry(st, rv.head, bs->spec.expiry))
		goto no_memory;
	if (!basis_again(st, bs)) {
		store_abort(st, &rv);
		return STORE_EXISTS;
	}
	if (!join(st, &rv, &bs->view, added, args->mode == STORE_PREPEND))
		goto no_memory;
	return publish_over(st, &rv, &bs->pr, &args->cas);

no_memory:
	store_abort(st, &rv);
	return STORE_NO_MEMORY;
}

static enum store_result commit_joined(struct store_thread *st, struct reservation *rv,
                                       struct commit_args *args)
{
	struct store *s = st->store;
	struct slab_class *sc = slab_class_of(&s->slab, rv->head);
	struct item *it = chunk_item(s, rv->head);
	enum store_result result = STORE_EXISTS;
	struct basis bs;

	if (unlikely(args->references)) {
		result = refer(st, rv->head, args->references);
		if (result != STORE_OK) {
			store_abort(st, rv);
			return result;
		}
		result = STORE_EXISTS;
	}
	basis_init(&bs, item_key(it, sc->big, item_word(it)), it->key_length, rv->hash);
	bs.spec.explicit_cas = (item_word(it) & WORD_CAS_GIVEN)
	                               ? item_explicit_cas(it, sc->big, item_word(it))
	                               : 0;
	for (unsigned i = 0; i < RETRIES && result == STORE_EXISTS; i++) {
		result = join_once(st, &bs, rv->head, rv->value_length, args);
		if (args->has_compare)
			break;
	}
	if (result == STORE_NOT_STORED && args->vivify) {
		struct commit_args add = { .mode = STORE_ADD };

		if (!prepare_expiry(st, rv->head, args->vivify_expiry)) {
			store_abort(st, rv);
			return STORE_NO_MEMORY;
		}
		result = commit_plain(st, rv, &add);
		args->cas = add.cas;
		return result;
	}
	discard(st, rv->head);
	rv->head = 0;
	return result;
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
	struct reservation rv;
	enum status status = store_reserve(st, spec, &rv);

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

/* A small value fits its successor's one chunk, so that no safe point comes between. */
static bool copy_whole(struct store_thread *st, struct reservation *rv, const struct item_view *from)
{
	return store_can_pin(st, from) ? copy_pinned(st, rv, from) : copy_value(st, rv, from);
}

/* Replaces the item by one with other fields: a CAS unique that the client chose, no value. */
static enum store_result rebuild(struct store_thread *st, const char *key, size_t key_length,
                                 uint64_t hash, const struct delete_args *args)
{
	enum store_result result = STORE_EXISTS;
	struct basis bs;

	basis_init(&bs, key, key_length, hash);
	for (unsigned i = 0; i < RETRIES && result == STORE_EXISTS; i++) {
		struct reservation rv;
		uint64_t cas;

		if (!basis_find(st, &bs))
			return STORE_NOT_FOUND;
		if (args->has_compare && store_view_cas(st, &bs.view) != args->compare_cas)
			return STORE_EXISTS;
		bs.spec.value_length = args->clear_value ? 0 : bs.view.value_length;
		bs.spec.client_flags = args->clear_value ? 0 : bs.view.client_flags;
		bs.spec.explicit_cas = args->explicit_cas;
		bs.spec.marks = bs.view.marks & (args->invalidate ? ITEM_KEY_BINARY : 0xff);
		bs.spec.marks |= args->invalidate ? ITEM_STALE : 0;
		bs.spec.expiry = args->set_expiry ? args->expiry : bs.view.expiry;
		bs.pr.same_value = !args->clear_value;
		/* An empty value names no target. */
		if (args->clear_value && bs.view.weak)
			bs.spec.references = (struct reference_shape){ 0 };
		if (store_reserve(st, &bs.spec, &rv) != STATUS_OK)
			return STORE_NO_MEMORY;
		if (!prepare_expiry(st, rv.head, bs.spec.expiry)) {
			store_abort(st, &rv);
			return STORE_NO_MEMORY;
		}
		if (!basis_again(st, &bs)) {
			store_abort(st, &rv);
			continue;
		}
		if (!args->clear_value && !copy_whole(st, &rv, &bs.view)) {
			store_abort(st, &rv);
			return STORE_NO_MEMORY;
		}
		result = publish_over(st, &rv, &bs.pr, &cas);
	}
	return result;
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
	if (st->store->policy->hit)
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

/* ---- arithmetic ---- */

#define NUMBER_DIGITS_MAX 20u

/* A decimal number of up to 20 digits, trailing spaces allowed (decr leaves them). */
static bool parse_number(const char *text, uint32_t length, uint64_t *out)
{
	uint64_t value = 0;
	uint32_t i = 0;

	if (length == 0 || length > NUMBER_DIGITS_MAX)
		return false;
	for (; i < length && text[i] >= '0' && text[i] <= '9'; i++) {
		uint64_t digit = (uint64_t)(text[i] - '0');

		if (value > (UINT64_MAX - digit) / 10)
			return false;
		value = value * 10 + digit;
	}
	if (i == 0)
		return false;
	for (; i < length; i++)
		if (text[i] != ' ')
			return false;
	*out = value;
	return true;
}

static void write_number(struct arithmetic_args *args, uint64_t old, uint32_t old_length)
{
	args->result = args->decrement ? (args->delta > old ? 0 : old - args->delta)
	                               : old + args->delta;
	args->text_length = (uint32_t)snprintf(args->text, sizeof(args->text), "%llu",
	                                       (unsigned long long)args->result);
	/* A shorter number keeps the old one's length, as memcached writes it in place. */
	while (args->text_length < old_length)
		args->text[args->text_length++] = ' ';
}

static enum store_result arithmetic_once(struct store_thread *st, struct basis *bs,
                                         struct arithmetic_args *args)
{
	struct reservation rv;
	uint64_t old;

	if (!basis_find(st, bs))
		return STORE_NOT_FOUND;
	if (args->has_compare && store_view_cas(st, &bs->view) != args->compare_cas)
		return STORE_EXISTS;
	if (bs->view.weak || bs->view.part_length != bs->view.value_length ||
	    !parse_number(bs->view.value, bs->view.value_length, &old))
		return STORE_NON_NUMERIC;
	write_number(args, old, bs->view.value_length);
	uint8_t class_index = (uint8_t)bs->view.class_index;

	bs->spec.value_length = args->text_length;
	bs->spec.explicit_cas = args->explicit_cas;
	if (args->set_expiry)
		bs->spec.expiry = args->expiry;
	args->new_expiry = bs->spec.expiry;
	if (store_reserve(st, &bs->spec, &rv) != STATUS_OK)
		return STORE_NO_MEMORY;
	if (!prepare_expiry(st, rv.head, bs->spec.expiry) ||
	    !reservation_write(st, &rv, args->text, args->text_length)) {
		store_abort(st, &rv);
		return STORE_NO_MEMORY;
	}
	enum store_result result = publish_over(st, &rv, &bs->pr, &args->cas);

	if (result == STORE_OK) {
		if (args->decrement)
			COUNT(st, class_index, decr_hits, 1);
		else
			COUNT(st, class_index, incr_hits, 1);
	}
	/* Another writer came first: with a compare the caller looks again and finds EXISTS. */
	return result;
}

enum store_result store_arithmetic(struct store_thread *st, const char *key, size_t key_length,
                                   uint64_t hash, struct arithmetic_args *args)
{
	enum store_result result = STORE_EXISTS;
	struct basis bs;

	reclaim_room(st);
	basis_init(&bs, key, key_length, hash);
	for (unsigned i = 0; i < RETRIES && result == STORE_EXISTS; i++) {
		result = arithmetic_once(st, &bs, args);
		if (args->has_compare)
			break;
	}
	return result;
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
