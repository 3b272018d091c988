/*
 * reference_acquire.c: how an item that is being stored comes by its references: acquired one by one
 * before its bucket is locked and confirmed with it locked, or inherited from the item it is made of.
 */
#include "store/reference_internal.h"

/* Times that there was no memory for one control block, and something was released between. */
#define BLOCK_TRIES 64u

static struct block *make_block(struct store *s, const struct bucket *bucket, uint64_t hash,
                                uint32_t item) REQUIRES(s->references.blocks.lock)
{
	struct block *b = block_new(&s->references.blocks, hash, item);

	if (!b)
		return NULL;
	/* The bucket's own epoch: what a flush took meanwhile is of an older one. */
	uint32_t epoch = atomic_load_explicit(&((struct bucket *)bucket)->word, memory_order_relaxed) &
	                 BUCKET_EPOCH;

	_Static_assert(BUCKET_EPOCH == BLOCK_EPOCH, "the epoch lies at the same place in both");
	atomic_store_explicit(&b->expiry,
	                      slab_get_expiry(&s->slab, slab_class_of(&s->slab, item), item),
	                      memory_order_relaxed);
	block_change(b, 0, epoch | (is_chained_item(s, item) ? BLOCK_CHAINED : 0));
	atomic_fetch_or_explicit(&chunk_item(s, item)->word, WORD_REFERRED, memory_order_relaxed);
	return b;
}

/* What a reference could not be taken for. */
struct lack {
	bool block;          /* memory for one */
	uint64_t held_bytes; /* that may not be held */
};

/* One reference to this key; *lack is of a failure for STORE_NO_MEMORY or STORE_HELD_LIMIT. */
static enum store_result acquire_one(struct store_thread *st, const char *key, size_t key_length,
                                     enum reference_kind kind, uint32_t *number,
                                     struct lack *lack)
{
	struct store *s = st->store;
	struct block_table *bt = &s->references.blocks;
	uint64_t hash = hash_key(&s->secret, key, key_length);
	enum store_result result = STORE_NOT_FOUND;
	struct index_slot at;
	uint32_t found;

	*lack = (struct lack){ 0 };
	reclaim_room(st);
	struct bucket *bucket = index_lock(&s->index, hash, st);

	if (find_locked(s, bucket, hash, key, key_length, &at, &found) &&
	    !entry_is_over(s, found, st->now)) {
		lock_acquire(&bt->lock);
		struct block *b = block_find(bt, hash, found);

		if (!b)
			b = make_block(s, bucket, hash, found);
		/* Found alive, whatever a search said of another moment. */
		else if (unlikely(block_state(b) & BLOCK_OVER))
			block_change(b, BLOCK_OVER, 0);
		lack->block = !b;
		lack->held_bytes = held_cost(s, found);
		result = b ? take_reference(s, b, kind) : STORE_NO_MEMORY;
		if (b && result == STORE_OK)
			*number = block_number(bt, b);
		else if (b)
			free_unreferred(s, b);
		lock_release(&bt->lock);
	}
	index_unlock(bucket);
	return result;
}

static enum store_result acquire(struct store_thread *st, const char *key, size_t key_length,
                                 enum reference_kind kind, uint32_t *number)
{
	struct store *s = st->store;

	for (unsigned failures = 0;;) {
		struct lack lack;
		enum store_result result = acquire_one(st, key, key_length, kind, number, &lack);

		if (result == STORE_HELD_LIMIT && last_resort_for_hold(st, lack.held_bytes))
			continue;
		if (!lack.block || ++failures == BLOCK_TRIES)
			return result;
		if (s->options.evict && (evict_released(st) || release_page(st, NULL)))
			continue;
		if (!last_resort_for_memory(st))
			return result;
	}
}

/* The item is about to refer to the block, and to be told of it. */
static void begin_lead(struct store *s, uint32_t reference, struct block *b)
	REQUIRES(s->references.blocks.lock)
{
	_Atomic uint32_t *lead = lead_of(s, reference);

	if (!lead)
		return;
	atomic_store_explicit(lead, 0, memory_order_relaxed);
	tell_from_now(s, b, reference);
}

enum store_result reference_acquire(struct store_thread *st, uint32_t reference,
                                    const struct reference_list *list)
{
	struct store *s = st->store;
	struct reference_view rv = references_of(s, reference);
	unsigned followed = 0, holds = 0;
	struct item_view own;

	view_fill(s, reference, &own);
	for (unsigned i = 0; i < list->count; i++) {
		enum reference_kind kind = (enum reference_kind)list->targets[i].kind;
		bool weak = kind == REFERENCE_WEAK;
		const char *key = weak ? own.value : list->targets[i].key;
		size_t key_length = weak ? own.value_length : list->targets[i].key_length;
		uint32_t number;
		enum store_result result = acquire(st, key, key_length, kind, &number);

		if (result != STORE_OK)
			return result;
		if (kind == REFERENCE_HOLD)
			store_u32(rv.holds + 4 * holds++, number);
		else
			store_u32(rv.followed + 4 * followed++, number << REFERENCE_KIND_BITS | kind);
		if (weak) {
			lock_acquire(&s->references.blocks.lock);
			begin_lead(s, reference, block_at(&s->references.blocks, number));
			lock_release(&s->references.blocks.lock);
		}
	}
	collect_pace(st);
	return STORE_OK;
}

bool reference_confirm(struct store *s, uint32_t now, uint32_t reference)
{
	struct block_table *bt = &s->references.blocks;
	struct reference_view rv = references_of(s, reference);
	unsigned versions = 0;

	lock_acquire(&bt->lock);
	for (unsigned i = 0; i < rv.shape.followed; i++) {
		uint32_t entry = load_u32(rv.followed + 4 * i);
		struct block *b = block_at(bt, entry >> REFERENCE_KIND_BITS);
		uint64_t version = atomic_load_explicit(&b->version, memory_order_relaxed);

		if ((entry & REFERENCE_KIND_MASK) == REFERENCE_VERSION)
			memcpy(rv.versions + 8 * versions++, &version, sizeof(version));
	}
	bool sound = true;

	for (unsigned i = 0; i < rv.shape.holds; i++)
		sound &= block_is_sound(s, block_at(bt, load_u32(rv.holds + 4 * i)), now);
	lock_release(&bt->lock);
	return sound && !reference_is_over(s, now, rv.followed - REFERENCES_HEADER);
}

/* ---- inheriting ---- */

struct heir {
	uint32_t reference;
	struct reference_view to;
	unsigned followed;
	unsigned versions;
	unsigned holds;
};

static bool inherit_from(struct store *s, struct heir *heir, uint32_t from)
	REQUIRES(s->references.blocks.lock)
{
	struct block_table *bt = &s->references.blocks;
	struct reference_view rv = references_of(s, from);
	unsigned versions = 0;

	for (unsigned i = 0; i < rv.shape.followed; i++) {
		uint32_t entry = load_u32(rv.followed + 4 * i);
		enum reference_kind kind = (enum reference_kind)(entry & REFERENCE_KIND_MASK);

		if (take_reference(s, block_at(bt, entry >> REFERENCE_KIND_BITS), kind) != STORE_OK)
			return false;
		store_u32(heir->to.followed + 4 * heir->followed++, entry);
		if (kind == REFERENCE_WEAK)
			begin_lead(s, heir->reference, block_at(bt, entry >> REFERENCE_KIND_BITS));
		if (kind == REFERENCE_VERSION)
			memcpy(heir->to.versions + 8 * heir->versions++, rv.versions + 8 * versions++, 8);
	}
	for (unsigned i = 0; i < rv.shape.holds; i++) {
		uint32_t number = load_u32(rv.holds + 4 * i);
		struct block *b = block_at(bt, number);

		/* One whose protection was taken away stays without. */
		if (b->references == UINT32_MAX)
			return false;
		b->references++;
		b->holds++;
		stir_block(s, b);
		store_u32(heir->to.holds + 4 * heir->holds++, number);
	}
	return true;
}

bool reference_inherit(struct store *s, uint32_t reference, uint32_t old, uint32_t added)
{
	struct block_table *bt = &s->references.blocks;
	struct heir heir = { .reference = reference, .to = references_of(s, reference) };

	lock_acquire(&bt->lock);
	bool inherited = (!is_referring(s, old) || inherit_from(s, &heir, old)) &&
	                 (!added || !is_referring(s, added) || inherit_from(s, &heir, added));

	lock_release(&bt->lock);
	return inherited;
}
