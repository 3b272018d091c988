/*
 * reserve.c: memory for items that are coming in, their header and key, and their values part by part.
 */
#include "store/write.h"

/* What memcached's item header takes when it compares an item with -I, so that the same values are
 * refused: 48 bytes, the CAS unique, the key's and the value's ends. */
#define LIMIT_HEADER_BYTES (48u + 8u + 1u + 2u)

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
	shape.weak = list->count > 0 && list->targets[0].kind == REFERENCE_WEAK;
	return shape;
}

/* The references, and of a weak one its lead, which is not counted as the item's. */
static uint32_t shape_room(struct reference_shape shape)
{
	if (likely(shape_is_empty(shape)))
		return 0;
	return shape_bytes(shape) + (shape.weak ? ITEM_LEAD_BYTES : 0);
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
struct slab_class *class_for_item(struct slab *sl, const struct item_spec *spec)
{
	uint64_t bytes = item_total_bytes(false, spec->client_flags, spec->explicit_cas != 0,
	                                  shape_room(spec->references), spec->key_length,
	                                  spec->value_length);
	struct slab_class *sc = slab_class_for(sl, bytes);

	if (sc && !sc->big)
		return sc;
	sc = slab_class_for(sl, bytes + ITEM_BIG_HEADER - ITEM_SMALL_HEADER);
	return sc ? sc : &sl->classes[sl->class_count];
}

/* A chunk for a value; large ones that wait for a client are counted against the share of those. */
static uint32_t alloc_pending(struct store_thread *st, struct slab_class *sc, bool at_hand, uint32_t *counted_bytes)
{
	struct store *s = st->store;
	uint32_t reference;

	if (!sc->big || at_hand)
		return alloc_chunk(st, sc);
	uint64_t captive = atomic_fetch_add_explicit(&s->pending_bytes, sc->chunk_bytes,
	                                             memory_order_relaxed) +
	                   atomic_load_explicit(&s->pinned_bytes, memory_order_relaxed);

	if (captive + sc->chunk_bytes <= captive_limit(s) &&
	    (reference = alloc_chunk(st, sc)) != 0) {
		*counted_bytes += sc->chunk_bytes;
		return reference;
	}
	atomic_fetch_sub_explicit(&s->pending_bytes, sc->chunk_bytes, memory_order_relaxed);
	return 0;
}

void settle_pending(struct store_thread *st, struct reservation *rv)
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
		                                  shape_room(spec->references), spec->key_length,
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

/* `sc`: of class_for_item. */
enum status draft_item(struct store_thread *st, struct slab_class *sc,
                                     const struct item_spec *spec, struct draft *d)
{
	struct store *s = st->store;

	d->pending_bytes = 0;
	if (unlikely(over_limit(s, spec)))
		return STATUS_TOO_LARGE;
	d->sc = sc;
	d->reference = alloc_pending(st, d->sc, spec->at_hand, &d->pending_bytes);
	if (unlikely(!d->reference))
		d->reference = alloc_larger(st, spec, &d->sc);
	if (unlikely(!d->reference))
		return STATUS_NO_MEMORY;
	struct item *it = d->it = chunk_item(s, d->reference);

	if (running_policy(s)->recall)
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
		.at_hand = spec->at_hand,
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
	uint32_t reference = alloc_pending(st, sc, rv->at_hand, &rv->pending_bytes);

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

const char *reservation_value(const struct reservation *rv)
{
	assert(rv->remaining == 0);
	/* The largest chunks of the smallest pages hold ten of them. */
	assert(rv->current == rv->head);
	return rv->next - rv->value_length;
}

void store_abort(struct store_thread *st, struct reservation *rv)
{
	settle_pending(st, rv);
	if (rv->head)
		discard(st, rv->head);
	rv->head = 0;
}
