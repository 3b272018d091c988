/* slab_layout.c: what the size classes are, and where everything lies in a page; see slab.h. */
#include "store/slab_internal.h"

#define CHUNKS_PER_PAGE_MIN 4u /* of the largest class */

/* ---- laying out ---- */

/* Of each chunk, within its page. */
static uint32_t policy_bytes(const struct slab_options *o)
{
	return o->policy_may_change ? 0 : o->policy->side_bytes;
}

/* The end of the page, where the states and ages of so many chunks are. */
static uint32_t state_area(uint32_t count)
{
	return ALIGN_UP(state_area_bytes(count), (uint32_t)CACHE_LINE_BYTES);
}

/* The largest chunk that lets `count` of them and their side bytes share a page. */
static uint32_t chunk_bytes_for_count(const struct slab_options *o, uint32_t count)
{
	uint32_t room = (o->page_bytes - state_area(count) - count * policy_bytes(o)) / count;

	return ALIGN_DOWN(room, CHUNK_STEP_BYTES);
}

static uint32_t count_for_chunk_bytes(const struct slab_options *o, uint32_t chunk_bytes)
{
	uint32_t count = o->page_bytes / (chunk_bytes + policy_bytes(o) + 2);

	while (count * (chunk_bytes + policy_bytes(o)) + state_area(count) > o->page_bytes)
		count--;
	return count;
}

void slab_init_queue(struct slab *sl, struct slab_class *sc, struct policy_queue *q,
                     const struct policy_ops *policy)
{
	struct chunk_space space = sc->space;

	space.side_bytes = policy->side_bytes;
	policy_queue_init(q, policy, sl->shared, &space);
}

static void class_init(struct slab *sl, const struct slab_options *o, uint32_t chunk_bytes)
{
	uint8_t index = (uint8_t)(sl->class_count + 1);
	struct slab_class *sc = &sl->classes[index];

	assert(index < SLAB_CLASS_MAX);
	sl->class_count = index;
	sc->index = index;
	sc->chunk_bytes = chunk_bytes;
	sc->chunks_per_page = count_for_chunk_bytes(o, chunk_bytes);
	sc->big = chunk_bytes > CHUNK_SMALL_MAX;
	assert(sc->chunks_per_page <= CHUNKS_PER_PAGE_MAX);
	assert(sc->big || chunk_bytes - sl->classes[index - 1].chunk_bytes <= UINT8_MAX + 1u);
	uint32_t chunks_end = chunk_bytes * sc->chunks_per_page;
	uint32_t state_offset = o->page_bytes - state_area(sc->chunks_per_page);

	sc->expiry_bytes = ALIGN_UP(sc->chunks_per_page * 4u, (uint32_t)OS_PAGE_BYTES);
	assert(chunks_end + sc->chunks_per_page * policy_bytes(o) <= state_offset);
	sc->space = (struct chunk_space){
		.arena = sl->arena.base,
		.chunk_bytes = chunk_bytes,
		.sides = sl->sides_stride ? sl->sides.base : sl->arena.base + chunks_end,
		.side_stride = sl->sides_stride ? sl->sides_stride : o->page_bytes,
		.side_bytes = policy_bytes(o),
		.state_offset = state_offset,
		.chunks_per_page = sc->chunks_per_page,
		.owner = index,
		.reciprocal = chunk_reciprocal(chunk_bytes),
		.reference_shift = sl->reference_shift,
		.page_shift = sl->page_shift,
	};
	/* The reciprocal is exact at both edges of every chunk. */
	for (uint32_t i = 0; i < sc->chunks_per_page; i++) {
		assert(((uint64_t)i * chunk_bytes * sc->space.reciprocal) >> RECIPROCAL_SHIFT == i);
		assert((((uint64_t)(i + 1) * chunk_bytes - 1) * sc->space.reciprocal) >> RECIPROCAL_SHIFT == i);
	}
	lock_init(&sc->lock);
	slab_init_queue(sl, sc, &sc->queues[0], o->policy);
}

/*
 * Steps of 8 bytes up to 512; then a constant factor, each size enlarged to the most that as many
 * chunks of a page can have, so that no page ends in waste; the last class has four chunks a page.
 */
static void classes_init(struct slab *sl, const struct slab_options *o)
{
	uint32_t step = MAX(CHUNK_STEP_BYTES, 1u << sl->reference_shift);
	uint32_t bytes = ALIGN_UP(MAX(CHUNK_MIN_BYTES, o->chunk_min_bytes), step);
	uint32_t max_bytes = ALIGN_DOWN(chunk_bytes_for_count(o, CHUNKS_PER_PAGE_MIN), step);

	/* A small item's slack is one byte, and the smallest has less than a step. */
	bytes = MIN(bytes, UINT8_MAX + 1u);
	for (; bytes <= CHUNK_SMALL_MAX; bytes += step)
		class_init(sl, o, bytes);
	for (double size = CHUNK_SMALL_MAX * o->growth_factor; size < max_bytes;
	     size *= o->growth_factor) {
		uint32_t count = count_for_chunk_bytes(o, (uint32_t)size);

		bytes = ALIGN_DOWN(chunk_bytes_for_count(o, count), step);
		if (bytes >= max_bytes)
			break;
		if (bytes > sl->classes[sl->class_count].chunk_bytes)
			class_init(sl, o, bytes);
		size = MAX(size, (double)bytes);
	}
	class_init(sl, o, max_bytes);
	sl->chunk_max_bytes = max_bytes;

	uint8_t index = 1;

	for (uint32_t i = 0; i < ARRAY_LENGTH(sl->class_of_step); i++) {
		while (sl->classes[index].chunk_bytes < i * CHUNK_STEP_BYTES)
			index++;
		sl->class_of_step[i] = index;
	}
}

static uint32_t most_side_bytes(void)
{
	const struct policy_ops *policy;
	uint32_t bytes = 0;

	for (unsigned i = 0; (policy = policy_at(i)) != NULL; i++)
		bytes = MAX(bytes, policy->side_bytes);
	return bytes;
}

static uint8_t shift_of(uint64_t power)
{
	return (uint8_t)__builtin_ctzll(power);
}

enum status slab_init(struct slab *sl, const struct slab_options *o, struct budget *budget)
{
	*sl = (struct slab){ .budget = budget, .page_bytes = o->page_bytes, .shared = o->shared };
	uint64_t arena_bytes = ALIGN_UP(o->limit_max_bytes + o->page_bytes, (uint64_t)o->page_bytes);

	sl->page_shift = shift_of(o->page_bytes);
	sl->reference_shift = shift_of(CHUNK_STEP_BYTES);
	/* 31 bits of reference: the highest one is free for the policy rings' use. */
	while (arena_bytes >> sl->reference_shift > 0x7fffffffULL)
		sl->reference_shift++;
	sl->page_limit = (uint32_t)(arena_bytes >> sl->page_shift);
	while ((arena_bytes >> sl->reference_shift) >> sl->cas_shift)
		sl->cas_shift++;
	sl->expiry_stride = ALIGN_UP(o->page_bytes / CHUNK_MIN_BYTES * 4, (uint32_t)OS_PAGE_BYTES);
	if (o->policy_may_change)
		sl->sides_stride = ALIGN_UP(o->page_bytes / CHUNK_MIN_BYTES * most_side_bytes(),
		                            (uint32_t)OS_PAGE_BYTES);
	lock_init(&sl->arena_lock);
	atomic_init(&sl->fresh_page, 1); /* page 0 would hold reference 0 */

	if (region_reserve(&sl->arena, arena_bytes, true) != STATUS_OK)
		return STATUS_SYSTEM;
	if (region_reserve(&sl->expiry, (size_t)sl->page_limit * sl->expiry_stride, false) != STATUS_OK)
		goto release_arena;
	if (region_reserve(&sl->page_table, sl->page_limit * sizeof(struct page), false) != STATUS_OK)
		goto release_expiry;
	if (sl->sides_stride &&
	    region_reserve(&sl->sides, (size_t)sl->page_limit * sl->sides_stride, false) != STATUS_OK)
		goto release_table;
	budget_charge(budget, ACCOUNT_PAGES, region_own_bytes(&sl->arena));
	sl->pages = (struct page *)sl->page_table.base;
	classes_init(sl, o);
	return STATUS_OK;

release_table:
	region_release(&sl->page_table);
release_expiry:
	region_release(&sl->expiry);
release_arena:
	region_release(&sl->arena);
	return STATUS_SYSTEM;
}

void slab_fini(struct slab *sl)
{
	if (sl->sides_stride)
		region_release(&sl->sides);
	region_release(&sl->page_table);
	region_release(&sl->expiry);
	region_release(&sl->arena);
}

struct slab_class *slab_class_for(struct slab *sl, uint64_t bytes)
{
	if (bytes <= CHUNK_SMALL_MAX)
		return &sl->classes[sl->class_of_step[(bytes + CHUNK_STEP_BYTES - 1) / CHUNK_STEP_BYTES]];
	if (bytes > sl->chunk_max_bytes)
		return NULL;
	unsigned low = 1, high = sl->class_count;

	while (low < high) {
		unsigned middle = (low + high) / 2;

		if (sl->classes[middle].chunk_bytes < bytes)
			low = middle + 1;
		else
			high = middle;
	}
	return &sl->classes[low];
}
