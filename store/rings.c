/*
 * rings.c: what happened to chunks, on its way to the policy: pushed by the thread that did it, applied
 * in groups by whoever drains, under the class's lock.
 */
#include "store/internal.h"

#define RING_GROUP 32u       /* entries that are fetched together, then applied under one lock */

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
	const struct policy_ops *policy = settled_policy(s);

	for (unsigned i = 0; policy && policy->prefetch && i < n; i++) {
		uint32_t reference = entries[i] & ~RING_HIT;
		const struct slab_class *sc = slab_class_of(&s->slab, reference);

		policy->prefetch(&sc->queues[sc->present], reference);
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
		struct policy_queue *q = slab_queue(&s->slab, sc, reference);

		if (!(entries[i] & RING_HIT))
			q->ops->insert(q, reference);
		else if (q->ops->hit)
			q->ops->hit(q, reference);
	}
	if (held)
		lock_release(&held->lock);
}

void drain_ring(struct store *s, struct ring *ring)
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

static bool links_directly(const struct store *s)
{
	const struct policy_ops *policy = settled_policy(s);

	return policy && policy->direct_link;
}

void count_links(struct store *s, struct slab_class *sc)
{
	for (unsigned i = 0; i < s->thread_count; i++) {
		struct store_thread *st = &s->threads[i];
		int32_t links = atomic_load_explicit(&st->links[sc->index], memory_order_relaxed);

		/* Modulo 2^32: what counts is the difference. */
		sc->queues[sc->present].count += (int32_t)((uint32_t)links - (uint32_t)st->links_counted[sc->index]);
		st->links_counted[sc->index] = links;
	}
}

void settle_links(struct store *s, struct slab_class *sc)
{
	if (links_directly(s))
		count_links(s, sc);
}

void drain_rings(struct store *s)
{
	for (unsigned i = 0; i < s->thread_count; i++)
		drain_ring(s, &s->threads[i].ring);
	for (unsigned i = 1; links_directly(s) && i <= s->slab.class_count; i++) {
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

bool ring_room(struct store_thread *st, uint32_t entries)
{
	struct ring *ring = &st->ring;
	uint32_t tail = atomic_load_explicit(&ring->tail, memory_order_relaxed);

	/* Others only take out. */
	if (unlikely(RING_ENTRIES - (tail - atomic_load_explicit(&ring->head, memory_order_acquire)) <
	             entries)) {
		drain_ring(st->store, ring);
		return true;
	}
	return false;
}
