/*
 * prefetch.c: a batch of look-ups fetches what it will touch some requests before it does, so that a core
 * waits for many lines at once. In passes, each of which reads what the one before it fetched:
 *
 *   1. the bucket
 *   2. the item that the bucket names, with its state and age
 *   3. of a weak reference: the item that it leads to, with its state and age
 *
 * The third is for batches in which weak references are expected (store_take_follows). What was
 * found before a safe point (limbo.c) is not looked at after it: the chunk may be another's by then.
 */
#include "store/reference_internal.h"

void store_prefetch_bucket(const struct store_thread *st, uint64_t hash)
{
	__builtin_prefetch(index_bucket(&st->store->index, hash));
}

static inline void prefetch_chunk(const struct slab *sl, uint32_t reference)
{
	const char *chunk = slab_chunk(sl, reference);

	__builtin_prefetch(chunk);
	__builtin_prefetch(chunk + CACHE_LINE_BYTES);
}

static inline void prefetch_state(const struct slab *sl, uint32_t reference)
{
	__builtin_prefetch((const void *)slab_state(slab_class_of(sl, reference), reference));
}

/* The item of a chunk that is in use: no line that is not its own, and its state. */
static inline void prefetch_whole(const struct slab *sl, uint32_t reference)
{
	const struct slab_class *sc = slab_class_of(sl, reference);
	const char *chunk = slab_chunk(sl, reference);

	__builtin_prefetch(chunk);
	__builtin_prefetch(chunk + MIN(CACHE_LINE_BYTES, sc->chunk_bytes - 1));
	__builtin_prefetch((const void *)slab_state(sc, reference));
}

/* Reads without checking: a wrong guess costs a wasted prefetch and nothing else. */
void store_prefetch_item(const struct store_thread *st, uint64_t hash)
{
	const struct store *s = st->store;
	const struct bucket *b = index_bucket(&s->index, hash);
	uint32_t mask = bucket_match(b, index_tag(hash));

	if (!mask)
		return;
	uint32_t reference = atomic_load_explicit(
		&((struct bucket *)b)->references[__builtin_ctz(mask)], memory_order_relaxed);

	prefetch_chunk(&s->slab, reference);
	if (slab_page_number(&s->slab, reference) >= s->slab.page_limit)
		return;
	prefetch_state(&s->slab, reference);
}

void store_prefetch_entry(const struct store_thread *st, uint64_t hash, struct look_ahead *ahead)
{
	const struct store *s = st->store;

	/* With care, since the item will be read; what is not found so is guessed, and not read. */
	if (unlikely(!index_single(&s->index, hash, &ahead->reference))) {
		ahead->reference = 0;
		store_prefetch_item(st, hash);
		return;
	}
	ahead->sight = st->sight;
	prefetch_whole(&s->slab, ahead->reference);
}

void store_prefetch_target(const struct store_thread *st, const struct look_ahead *ahead)
{
	const struct store *s = st->store;

	if (unlikely(!ahead->reference || ahead->sight != st->sight))
		return;
	struct item *it = chunk_item(s, ahead->reference);
	uint32_t word = item_word(it);

	if (likely(!(word & WORD_REFERRING)))
		return;
	const struct slab_class *sc = slab_class_of(&s->slab, ahead->reference);
	const char *at = item_references(it, sc->big, word);

	if (!item_has_lead(it, sc->big, at))
		return;
	/* relaxed: nothing is read through it */
	uint32_t target = atomic_load_explicit(item_lead(it, sc->chunk_bytes), memory_order_relaxed);

	if (!target)
		return;
	prefetch_whole(&s->slab, target);
}

unsigned store_take_follows(struct store_thread *st)
{
	unsigned follows = st->follows;

	st->follows = 0;
	return follows;
}
