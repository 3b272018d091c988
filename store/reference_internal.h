/*
 * reference_internal.h: what the files reference*.c share: how the references of an item lie in it, and
 * what is done to a block by more than one of them.
 */
#ifndef LARDER_REFERENCE_INTERNAL_H
#define LARDER_REFERENCE_INTERNAL_H

#include "store/internal.h"

/* ---- what an item says ---- */

static inline uint32_t load_u32(const char *at)
{
	uint32_t value;

	memcpy(&value, at, sizeof(value));
	return value;
}

static inline void store_u32(char *at, uint32_t value)
{
	memcpy(at, &value, sizeof(value));
}

static inline uint64_t load_u64(const char *at)
{
	uint64_t value;

	memcpy(&value, at, sizeof(value));
	return value;
}

/* The references of an item, as they lie in it. */
struct reference_view {
	struct reference_shape shape;
	char *followed; /* block << REFERENCE_KIND_BITS | kind */
	char *versions; /* of those of a version, in their order */
	char *holds;    /* block; 0 once it was given back */
};

static inline struct reference_view view_references(char *at)
{
	struct reference_view rv = { .shape = references_shape(at) };

	rv.followed = at + REFERENCES_HEADER;
	rv.versions = rv.followed + 4u * rv.shape.followed;
	rv.holds = rv.versions + 8u * rv.shape.versions;
	return rv;
}

static inline struct reference_view references_of(const struct store *s, uint32_t reference)
{
	struct item *it = chunk_item(s, reference);

	return view_references(item_references(it, slab_class_of(&s->slab, reference)->big,
	                                       item_word(it)));
}

static inline bool is_referring(const struct store *s, uint32_t reference)
{
	return item_word(chunk_item(s, reference)) & WORD_REFERRING;
}

static inline bool first_is_weak(const struct reference_view *rv)
{
	return rv->shape.followed > 0 && (load_u32(rv->followed) & REFERENCE_KIND_MASK) == REFERENCE_WEAK;
}

/* It lives by others: so do those that live by it. */
static inline bool is_chained_item(const struct store *s, uint32_t reference)
{
	return is_referring(s, reference) && references_of(s, reference).shape.followed > 0;
}

/* ---- blocks ---- */

/* block_is_sound: the life goes on, as far as its own block knows. Any thread in a turn. */
static inline bool block_is_sound(const struct store *s, const struct block *b, uint32_t now)
{
	uint32_t state = block_state(b);
	uint32_t epoch = atomic_load_explicit(&((struct store *)s)->index.flush_epoch,
	                                      memory_order_relaxed);

	if ((state & (BLOCK_DEAD | BLOCK_OVER)) || (state & BLOCK_EPOCH) != epoch << BLOCK_EPOCH_SHIFT)
		return false;
	return !is_expired(atomic_load_explicit(&((struct block *)b)->expiry, memory_order_relaxed),
	                   now);
}

/* first_block: of the first reference that the item lives by. */
static inline struct block *first_block(const struct store *s, uint32_t reference)
{
	return block_at(&s->references.blocks,
	                load_u32(references_of(s, reference).followed) >> REFERENCE_KIND_BITS);
}

/* ---- the lead of a weak reference; with the blocks' lock held ---- */

/* lead_of: NULL if the item has none. */
static inline _Atomic uint32_t *lead_of(const struct store *s, uint32_t reference)
{
	const struct slab_class *sc = slab_class_of(&s->slab, reference);
	struct item *it = chunk_item(s, reference);
	uint32_t word = item_word(it);

	if (!(word & WORD_REFERRING) || !item_has_lead(it, sc->big, item_references(it, sc->big, word)))
		return NULL;
	return item_lead(it, sc->chunk_bytes);
}

/* What the lead of the reference that the block tells must be. */
static inline uint32_t block_lead(const struct block *b)
{
	if (block_state(b) & (BLOCK_DEAD | BLOCK_CHAINED))
		return 0;
	return atomic_load_explicit(&((struct block *)b)->item, memory_order_relaxed);
}

/* tell_lead: the block's item or state is another; the reference that is told hears of it. */
static inline void tell_lead(const struct store *s, const struct block *b)
{
	/* release: pairs with the acquire of who reads the lead; the item is complete */
	if (b->told)
		atomic_store_explicit(lead_of(s, b->told), block_lead(b), memory_order_release);
}

/* tell_from_now (reference_life.c): this weak reference to the block is told from now on, and the one that
 * was before no more. */
void tell_from_now(const struct store *s, struct block *b, uint32_t reference)
	REQUIRES(s->references.blocks.lock);

/* follows_ended (reference_sound.c): the referring item lives by something that is over for good, as far as that is
 * known at once. */
bool follows_ended(const struct store *s, uint32_t reference) REQUIRES(s->references.blocks.lock);

/* note_event (reference_sound.c): so many references are over by what just happened. */
void note_event(struct store *s, uint32_t count);

/* ---- reference_hold.c; all with the blocks' lock held ---- */

/* may_hold: may so many bytes be held in the place of so many? */
bool may_hold(const struct store *s, uint64_t less, uint64_t more);
/* protect_block: its item is not evicted from now on; unprotect_block: it may be again, and if it stays it
 * goes back to the policy's queue. Nothing happens if it was not protected. */
void protect_block(struct store *s, struct block *b) REQUIRES(s->references.blocks.lock);
void unprotect_block(struct store_thread *st, struct block *b, bool stays);
/* forget_release: it is no longer one that the collector released. */
void forget_release(struct store *s, struct block *b) REQUIRES(s->references.blocks.lock);
/* stir_block: its holds or its item are others now: see collect.c. */
void stir_block(struct store *s, struct block *b) REQUIRES(s->references.blocks.lock);
/* take_reference: one reference more to the block; counts that are full refuse. Errors: STORE_NO_MEMORY,
 * STORE_HELD_LIMIT. give_reference: one less, of those that are no holds; give_hold: one hold less. */
enum store_result take_reference(struct store *s, struct block *b, enum reference_kind kind)
	REQUIRES(s->references.blocks.lock);
void give_reference(struct store *s, struct block *b, enum reference_kind kind)
	REQUIRES(s->references.blocks.lock);
void give_hold(struct store_thread *st, struct block *b, bool collected);
/* free_unreferred: frees the block if nothing refers to it. */
void free_unreferred(struct store *s, struct block *b) REQUIRES(s->references.blocks.lock);

static inline uint64_t bytes_of(const struct store *s, uint32_t reference)
{
	return item_stored_bytes(slab_class_of(&s->slab, reference), chunk_item(s, reference));
}

/* What holding this item keeps from eviction: its control block is as large as a small item, and stays as long. */
static inline uint64_t held_cost(const struct store *s, uint32_t reference)
{
	return bytes_of(s, reference) + sizeof(struct block);
}

#endif
