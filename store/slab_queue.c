/* slab_queue.c: a class's pages go from one policy's queue to another's; see slab.h, and switch.c for when. */
#include "store/slab_internal.h"

void slab_begin_queue(struct slab *sl, struct slab_class *sc, const struct policy_ops *policy)
{
	assert(sl->sides_stride != 0);
	assert(sc->former_pages == 0);
	sc->present = !sc->present;
	sc->former_pages = sc->page_count;
	slab_init_queue(sl, sc, &sc->queues[sc->present], policy);
}

void slab_end_queue(struct slab_class *sc)
{
	struct policy_queue *former = &sc->queues[!sc->present];

	assert(sc->former_pages == 0);
	assert(former->count == 0);
	former->ops->check(former);
}

/* Out of the page's queue, with all that it wrote into the state but what the item was read. */
static void unlink_chunk(struct policy_queue *q, uint32_t reference)
{
	uint8_t state = state_get(&q->space, reference), kept = state & STATE_OF_USE;

	if (state & (q->ops->proven_states | STATE_FETCHED))
		kept |= STATE_PROVEN;
	q->ops->remove(q, reference);
	state_change(&q->space, reference, STATE_OF_POLICY, kept);
}

/* As if it came now, and had then been read as often as it was. */
static void link_chunk(struct policy_queue *q, uint32_t reference)
{
	unsigned reads = q->ops->hit ? state_reads(state_get(&q->space, reference)) : 0;

	q->ops->insert(q, reference);
	for (unsigned i = 0; i < reads; i++)
		q->ops->hit(q, reference);
}

bool slab_change_queue(struct slab *sl, struct slab_class *sc, uint32_t page_number)
{
	struct page *pg = &sl->pages[page_number];
	struct policy_queue *from = &sc->queues[pg->queue], *to = &sc->queues[sc->present];
	uint64_t linked[(CHUNKS_PER_PAGE_MAX + 63) / 64] = { 0 };
	uint32_t bytes = slab_sides_bytes(sl, sc, to);

	if (bytes && !budget_take(sl->budget, ACCOUNT_ITEMS, bytes))
		return false;
	for (uint32_t i = 0; i < pg->fresh_index; i++) {
		uint32_t reference = slab_reference(sc, page_number, i);

		if (from->ops->linked(from, reference) && item_kind(slab_chunk(sl, reference)) == CHUNK_ITEM)
			linked[i / 64] |= 1ULL << i % 64;
		unlink_chunk(from, reference);
	}
	if (from->ops->page_remove)
		from->ops->page_remove(from, page_number);
	slab_drop_sides(sl, sc, from, page_number);
	pg->queue = sc->present;
	sc->former_pages--;
	if (to->ops->page_add)
		to->ops->page_add(to, page_number);
	for (uint32_t i = 0; i < pg->fresh_index; i++)
		if (linked[i / 64] >> i % 64 & 1)
			link_chunk(to, slab_reference(sc, page_number, i));
	return true;
}
