/*
 * move.c: moves a held item to another page, so that its own can be emptied: it must not be evicted, and a
 * page that cannot be emptied serves no other class for as long as anything on it is held.
 *
 * The copy is published like an overwrite by the same value: the index names it, what refers to the key's
 * life goes on with it, and the old chunk waits for its readers. The CAS unique goes along as one that is
 * given, if the chunk has the eight bytes to spare; else the item gets another one, as a client sees it
 * from meta I. Items of several chunks and pinned ones stay where they are.
 */
#include "store/internal.h"

/* What is copied: the shape of the item, and what its readers did to it. */
struct movable {
	uint32_t reference;
	uint32_t word;
	uint32_t expiry;
	uint64_t hash;
	bool cas_given; /* the copy has it among its fields */
};

static bool movable_init(struct store *s, const struct slab_class *sc, uint32_t reference,
                         struct movable *mv)
{
	struct item *it = chunk_item(s, reference);

	if (sc->big && (it->next || atomic_load_explicit(&it->pins, memory_order_acquire)))
		return false;
	*mv = (struct movable){
		.reference = reference,
		.word = item_word(it),
		.expiry = slab_get_expiry(&s->slab, sc, reference),
		.hash = item_hash(s, reference),
	};
	uint32_t room = sc->chunk_bytes - item_stored_bytes(sc, it);

	mv->cas_given = (mv->word & WORD_CAS_GIVEN) || room >= sizeof(uint64_t);
	return true;
}

/* The rest of the fields, key and value, behind the CAS unique. */
static void copy_rest(struct item *to, struct item *from, bool big, const struct movable *mv,
                      uint64_t cas, uint32_t value_length)
{
	uint32_t flags_bytes = flags_width_bytes(mv->word & WORD_FLAGS_WIDTH);
	struct reference_shape shape = item_shape(from, big, mv->word);
	char *at = item_fields(to, big);

	memcpy(at, item_fields(from, big), flags_bytes);
	at += flags_bytes;
	if (mv->cas_given) {
		memcpy(at, &cas, sizeof(cas));
		at += sizeof(cas);
	}
	/* References come by reference_inherit. */
	memset(at, 0, shape_bytes(shape));
	if (!shape_is_empty(shape))
		memcpy(at, &shape, REFERENCES_HEADER);
	at += shape_bytes(shape);
	memcpy(at, item_key(from, big, mv->word), from->key_length + value_length);
}

static void copy_item(struct store *s, const struct slab_class *sc, uint32_t copy, const struct movable *mv)
{
	struct item *from = chunk_item(s, mv->reference), *to = chunk_item(s, copy);
	uint32_t value_length = item_value_length(sc, from, mv->word);
	uint32_t kept = item_word(from) & (WORD_FLAGS_WIDTH | WORD_MARKS | WORD_REFERRING);
	bool grows = mv->cas_given && !(mv->word & WORD_CAS_GIVEN);

	to->key_length = from->key_length;
	to->slack = 0;
	if (sc->big) {
		to->unused = 0;
		to->value_length = value_length;
		to->next = 0;
		atomic_store_explicit(&to->pins, 0, memory_order_relaxed);
	} else {
		to->slack = (uint8_t)(from->slack - (grows ? sizeof(uint64_t) : 0));
	}
	atomic_store_explicit(&to->word,
	                      item_word(to) | kept | (mv->cas_given ? WORD_CAS_GIVEN : 0),
	                      memory_order_relaxed);
	copy_rest(to, from, sc->big, mv, item_cas(s, sc, mv->reference, from), value_length);
}

/* What the policy, and whoever asks, knows of the item's use. */
static void copy_use(const struct slab_class *sc, uint32_t copy, uint32_t reference)
{
	state_change(&sc->space, copy, 0, state_get(&sc->space, reference) & STATE_OF_USE);
	atomic_store_explicit(slab_age(sc, copy),
	                      atomic_load_explicit(slab_age(sc, reference), memory_order_relaxed),
	                      memory_order_relaxed);
}

/* Bucket locked. */
static bool publish_copy(struct store_thread *st, struct bucket *b, struct slab_class *sc, uint32_t copy,
                         const struct movable *mv)
{
	struct store *s = st->store;
	struct place place = { .alive = true };
	uint32_t word = item_word(chunk_item(s, mv->reference));
	int32_t delta;

	while (index_scan(&s->index, b, mv->hash, &place.at, &place.old))
		if (place.old == mv->reference)
			break;
	/* Another use of the chunk, or pinned meanwhile: then it is none of this call's. */
	if (place.old != mv->reference || word_generation(word) != word_generation(mv->word) ||
	    (sc->big && atomic_load_explicit(&chunk_item(s, mv->reference)->pins, memory_order_acquire)))
		return false;
	copy_item(s, sc, copy, mv);
	if ((word & WORD_REFERRING) && !reference_inherit(s, copy, mv->reference, 0))
		return false;
	copy_use(sc, copy, mv->reference);
	return publish(st, b, mv->hash, copy, &place, &delta) == STORE_OK;
}

bool move_held(struct store_thread *st, struct slab_class *sc, uint32_t reference)
{
	struct store *s = st->store;
	struct movable mv;

	if (!movable_init(s, sc, reference, &mv))
		return false;
	/* A safe point: what is at `reference` afterwards is asked of the index. */
	uint32_t copy = alloc_spare(st, sc);

	if (!copy)
		return false;
	/* Empty, so that it can be discarded as it is. */
	chunk_item(s, copy)->key_length = 0;
	chunk_item(s, copy)->next = 0;
	reclaim_room(st);
	bool moved = slab_set_expiry(&s->slab, sc, copy, mv.expiry);

	if (moved) {
		struct bucket *b = index_lock(&s->index, mv.hash, st);

		moved = publish_copy(st, b, sc, copy, &mv);
		index_unlock(b);
	}
	if (!moved) {
		discard(st, copy);
		return false;
	}
	published(st, copy, 0);
	/* Nobody stored anything. */
	atomic_store_explicit(&st->total_items,
	                      atomic_load_explicit(&st->total_items, memory_order_relaxed) - 1,
	                      memory_order_relaxed);
	return true;
}
