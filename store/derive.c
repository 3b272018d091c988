/*
 * derive.c: commands that compute a value from the old one (append, arithmetic, meta invalidation with a
 * CAS unique of the client's). They read without a lock, build the new item, and publish it only if the
 * old one is still there. Where that is refused since the key is held and no more may be, and room could be made, they
 * start over as if another writer had come first: the new item has inherited its references by then.
 */
#include <stdio.h>

#include "store/write.h"

/* What a new item is published over, if it is still there as it was. */
struct predecessor {
	uint32_t reference;
	uint32_t generation;
	uint32_t added;   /* an unpublished item whose references the new one gets as well, 0: none */
	bool same_value;  /* ... has the new item */
	bool again;       /* it was refused for what is held, and there is room now: worth another try */
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
                                      struct predecessor *pr, uint64_t *cas)
{
	struct store *s = st->store;
	struct bucket *b = index_lock(&s->index, rv->hash, st);
	struct place place = { .alive = true, .changes = !pr->same_value };
	int32_t delta;
	bool unlinked = false;
	uint64_t lacking = 0;
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
		if (unlikely(result == STORE_HELD_LIMIT))
			lacking = held_growth(s, place.old, rv->head);
		break;
	}
	index_unlock(b);
	if (result == STORE_OK)
		published(st, rv->head, rv->hash, 0, unlinked);
	else
		discard(st, rv->head);
	rv->head = 0;
	pr->again = unlikely(result == STORE_HELD_LIMIT) && last_resort_for_hold(st, lacking);
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
		.at_hand = true,
	};
	bs->pr.again = true; /* once at all */
}

/* Another writer came first, or there is room now that was not. With a compare the first of these is the answer. */
static bool must_retry(const struct basis *bs, enum store_result result, bool compares)
{
	return bs->pr.again || (result == STORE_EXISTS && !compares);
}

/* Looks the key up and prepares a spec for its successor. */
static bool basis_find(struct store_thread *st, struct basis *bs)
{
	bs->pr.again = false;
	if (!store_peek(st, bs->spec.key, bs->spec.key_length, bs->spec.hash, &bs->view))
		return false;
	const struct slab_class *sc = &st->store->slab.classes[bs->view.class_index];
	uint32_t word = item_word(bs->view.item);

	bs->pr = (struct predecessor){
		.reference = bs->view.reference,
		.generation = word_generation(word),
	};
	bs->spec.references = item_shape(bs->view.item, sc->big, word);
	bs->spec.references.weak = bs->view.weak;
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

enum store_result commit_joined(struct store_thread *st, struct reservation *rv,
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
	for (unsigned i = 0; i < RETRIES && must_retry(&bs, result, args->has_compare); i++)
		result = join_once(st, &bs, rv->head, rv->value_length, args);
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

/* A small value fits its successor's one chunk, so that no safe point comes between. */
static bool copy_whole(struct store_thread *st, struct reservation *rv, const struct item_view *from)
{
	return store_can_pin(st, from) ? copy_pinned(st, rv, from) : copy_value(st, rv, from);
}

/* Replaces the item by one with other fields: a CAS unique that the client chose, no value. */
enum store_result rebuild(struct store_thread *st, const char *key, size_t key_length,
                                 uint64_t hash, const struct delete_args *args)
{
	enum store_result result = STORE_EXISTS;
	struct basis bs;

	basis_init(&bs, key, key_length, hash);
	for (unsigned i = 0; i < RETRIES && must_retry(&bs, result, false); i++) {
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

/* ---- arithmetic ---- */

#define NUMBER_BYTES_MAX 20u

static bool is_space(char c)
{
	return c == ' ' || (c >= '\t' && c <= '\r');
}

/* What memcached takes for a number, which is what strtoull takes: white space and a sign may come first (a
 * minus where the result, counted round from 2^64, has no top bit), and anything behind white space or a zero
 * byte. decr leaves spaces behind. */
static bool parse_number(const char *text, uint32_t length, uint64_t *out)
{
	uint64_t value = 0;
	uint32_t i = 0;

	if (length == 0 || length > NUMBER_BYTES_MAX)
		return false;
	while (i < length && is_space(text[i]))
		i++;
	bool negative = i < length && text[i] == '-';

	i += i < length && (text[i] == '-' || text[i] == '+');
	uint32_t first = i;

	for (; i < length && text[i] >= '0' && text[i] <= '9'; i++) {
		uint64_t digit = (uint64_t)(text[i] - '0');

		if (value > (UINT64_MAX - digit) / 10)
			return false;
		value = value * 10 + digit;
	}
	if (i == first || (i < length && text[i] != '\0' && !is_space(text[i])))
		return false;
	*out = negative ? 0 - value : value;
	return !negative || *out >> 63 == 0;
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
	/* Before the unique, as in memcached; what is in a value comes after it. */
	if (bs->view.value_length == 0)
		return STORE_NON_NUMERIC;
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
	for (unsigned i = 0; i < RETRIES && must_retry(&bs, result, args->has_compare); i++)
		result = arithmetic_once(st, &bs, args);
	return result;
}
