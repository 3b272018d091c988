#include "store/slab.h"


#if defined(__SSE2__)
#include <emmintrin.h>
#endif

#define CHUNKS_PER_PAGE_MIN 4u /* of the largest class */
#define CHUNKS_PER_PAGE_MAX ((256u << 10) / CHUNK_MIN_BYTES)

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

static void init_queue(struct slab *sl, struct slab_class *sc, struct policy_queue *q,
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
	init_queue(sl, sc, &sc->queues[0], o->policy);
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

	bytes = MIN(bytes, CHUNK_SMALL_MAX);
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

/* ---- lists of pages ---- */

static void partial_push(struct slab *sl, struct slab_class *sc, uint32_t number)
{
	struct page *pg = &sl->pages[number];

	assert(!pg->listed);
	pg->listed = true;
	pg->newer = PAGE_NONE;
	pg->older = sc->partial_head;
	if (sc->partial_head)
		sl->pages[sc->partial_head].newer = number;
	else
		sc->partial_tail = number;
	sc->partial_head = number;
	sc->partial_count++;
}

static void partial_remove(struct slab *sl, struct slab_class *sc, uint32_t number)
{
	struct page *pg = &sl->pages[number];

	assert(pg->listed);
	pg->listed = false;
	if (pg->newer)
		sl->pages[pg->newer].older = pg->older;
	else
		sc->partial_head = pg->older;
	if (pg->older)
		sl->pages[pg->older].newer = pg->newer;
	else
		sc->partial_tail = pg->newer;
	sc->partial_count--;
}

/* ---- pages ---- */

/* Charges the page table's OS page that holds this descriptor, the first time. */
static bool charge_table(struct slab *sl, uint32_t number)
{
	uint32_t needed = ALIGN_UP((uint32_t)((number + 1) * (sizeof(struct page) + sizeof(struct page_link))),
	                           (uint32_t)OS_PAGE_BYTES);

	if (needed <= sl->table_charged_bytes)
		return true;
	if (!budget_take(sl->budget, ACCOUNT_PAGES, needed - sl->table_charged_bytes))
		return false;
	sl->table_charged_bytes = needed;
	return true;
}

/* A page number out of the arena, PAGE_NONE when the arena or the budget is full. */
static uint32_t arena_take(struct slab *sl)
{
	uint32_t number = PAGE_NONE;

	if (!budget_take(sl->budget, ACCOUNT_ITEMS, sl->page_bytes))
		return PAGE_NONE;
	lock_acquire(&sl->arena_lock);
	uint32_t fresh = atomic_load_explicit(&sl->fresh_page, memory_order_relaxed);

	if (sl->free_head) {
		number = sl->free_head;
		sl->free_head = sl->pages[number].older;
		sl->free_count--;
	} else if (fresh < sl->page_limit && charge_table(sl, fresh)) {
		number = fresh;
		/* release: pairs with slab_page_end, whose callers read the page's descriptor */
		atomic_store_explicit(&sl->fresh_page, fresh + 1, memory_order_release);
	}
	lock_release(&sl->arena_lock);
	if (number == PAGE_NONE)
		budget_give(sl->budget, ACCOUNT_ITEMS, sl->page_bytes);
	else
		atomic_fetch_add_explicit(&sl->pages_in_use, 1, memory_order_relaxed);
	return number;
}

static void arena_give(struct slab *sl, uint32_t number)
{
	region_drop(&sl->arena, (size_t)number << sl->page_shift, sl->page_bytes);
	budget_give(sl->budget, ACCOUNT_ITEMS, sl->page_bytes);
	atomic_fetch_sub_explicit(&sl->pages_in_use, 1, memory_order_relaxed);
	lock_acquire(&sl->arena_lock);
	sl->pages[number].older = sl->free_head;
	sl->free_head = number;
	sl->free_count++;
	lock_release(&sl->arena_lock);
}

/* Page 0 is none, so that the first stretch is never all in use. */
static bool stretch_in_use(const void *context, size_t stretch)
{
	const struct slab *sl = context;
	uint32_t pages = (uint32_t)(HUGE_PAGE_BYTES >> sl->page_shift);
	uint32_t first = (uint32_t)stretch * pages;

	if (first == 0 || first + pages > atomic_load_explicit(&sl->fresh_page, memory_order_acquire))
		return false;
	for (uint32_t i = 0; i < pages; i++)
		if (atomic_load_explicit(&sl->pages[first + i].state, memory_order_relaxed) == PAGE_FREE)
			return false;
	return true;
}

bool slab_collapse(struct slab *sl, size_t stretch, bool *refused)
{
	return region_collapse(&sl->arena, stretch, stretch_in_use, sl, refused);
}

/* Side bytes of a page that lie apart from it. */
static uint32_t sides_bytes(const struct slab *sl, const struct slab_class *sc, const struct policy_queue *q)
{
	return sl->sides_stride ? ALIGN_UP(sc->chunks_per_page * q->space.side_bytes, (uint32_t)OS_PAGE_BYTES) : 0;
}

static void drop_sides(struct slab *sl, const struct slab_class *sc, const struct policy_queue *q,
                       uint32_t number)
{
	uint32_t bytes = sides_bytes(sl, sc, q);

	if (bytes == 0)
		return;
	region_drop(&sl->sides, (size_t)number * sl->sides_stride, bytes);
	budget_give(sl->budget, ACCOUNT_ITEMS, bytes);
}

/* A page number with room for its side bytes. */
static uint32_t take_page(struct slab *sl, const struct slab_class *sc, const struct policy_queue *q)
{
	uint32_t bytes = sides_bytes(sl, sc, q);

	if (bytes && !budget_take(sl->budget, ACCOUNT_ITEMS, bytes))
		return PAGE_NONE;
	uint32_t number = arena_take(sl);

	if (number == PAGE_NONE && bytes)
		budget_give(sl->budget, ACCOUNT_ITEMS, bytes);
	return number;
}

static bool page_open(struct slab *sl, struct slab_class *sc)
{
	struct policy_queue *q = &sc->queues[sc->present];
	uint32_t number = take_page(sl, sc, q);

	if (number == PAGE_NONE)
		return false;
	struct page *pg = &sl->pages[number];

	atomic_store_explicit(&pg->class_index, sc->index, memory_order_relaxed);
	atomic_store_explicit(&pg->state, PAGE_ACTIVE, memory_order_release);
	pg->queue = sc->present;
	pg->used_count = pg->fresh_index = pg->free_plus_one = 0;
	atomic_store_explicit(&pg->min_expiry, 0, memory_order_relaxed);
	sc->page_count++;
	partial_push(sl, sc, number);
	if (q->ops->page_add)
		q->ops->page_add(q, number);
	return true;
}

/* The highest generation any chunk of the page had, so that the next life of the page goes on from
 * there and no CAS unique returns. */
static uint32_t page_highest_generation(struct slab *sl, struct slab_class *sc, uint32_t number)
{
	uint32_t highest = sl->pages[number].generation_seed;

	for (uint32_t i = 0; i < sl->pages[number].fresh_index; i++) {
		struct item *it = slab_chunk(sl, slab_reference(sc, number, i));

		highest = MAX(highest, word_generation(item_word(it)));
	}
	return highest;
}

static void page_close(struct slab *sl, struct slab_class *sc, uint32_t number)
{
	struct page *pg = &sl->pages[number];
	struct policy_queue *q = &sc->queues[pg->queue];

	assert(pg->used_count == 0);
	assert(pg->referring_count == 0);
	assert(pg->held_count == 0);
	if (pg->listed)
		partial_remove(sl, sc, number);
	if (q->ops->page_remove)
		q->ops->page_remove(q, number);
	drop_sides(sl, sc, q, number);
	sc->former_pages -= pg->queue != sc->present;
	pg->generation_seed = page_highest_generation(sl, sc, number);
	atomic_store_explicit(&pg->state, PAGE_FREE, memory_order_release);
	sc->page_count--;
	if (atomic_load_explicit(&pg->has_expiry, memory_order_relaxed)) {
		atomic_store_explicit(&pg->has_expiry, 0, memory_order_relaxed);
		region_drop(&sl->expiry, (size_t)number * sl->expiry_stride, sc->expiry_bytes);
		budget_give(sl->budget, ACCOUNT_ITEMS, sc->expiry_bytes);
	}
	arena_give(sl, number);
}

/* ---- chunks ---- */

static uint32_t page_pop(struct slab *sl, struct slab_class *sc, uint32_t number)
{
	struct page *pg = &sl->pages[number];
	uint32_t index;

	if (pg->free_plus_one) {
		index = pg->free_plus_one - 1u;
		struct free_chunk *fc = slab_chunk(sl, slab_reference(sc, number, index));

		pg->free_plus_one = fc->next_index_plus_one;
	} else {
		index = pg->fresh_index++;
	}
	pg->used_count++;
	if (!pg->free_plus_one && pg->fresh_index == sc->chunks_per_page)
		partial_remove(sl, sc, number);
	return slab_reference(sc, number, index);
}

unsigned slab_take(struct slab *sl, struct slab_class *sc, uint32_t *references, unsigned want,
                   bool may_grow)
{
	unsigned n = 0;

	while (n < want) {
		if (!sc->partial_head && !(may_grow && n == 0 && page_open(sl, sc)))
			break;
		references[n++] = page_pop(sl, sc, sc->partial_head);
	}
	sc->used_chunks += n;
	return n;
}

void slab_put(struct slab *sl, struct slab_class *sc, uint32_t reference)
{
	uint32_t number = slab_page_number(sl, reference);
	struct page *pg = &sl->pages[number];
	struct free_chunk *fc = slab_chunk(sl, reference);

	struct policy_queue *q = slab_queue(sl, sc, reference);

	q->ops->remove(q, reference);
	item_set_kind_owned((struct item *)fc, CHUNK_FREE);
	fc->next_index_plus_one = pg->free_plus_one;
	pg->free_plus_one = (uint16_t)(space_chunk_index(&sc->space, reference) + 1);
	assert(pg->used_count > 0);
	pg->used_count--;
	sc->used_chunks--;
	if (pg->state == PAGE_DRAINING) {
		if (pg->used_count == 0)
			page_close(sl, sc, number);
		return;
	}
	if (!pg->listed)
		partial_push(sl, sc, number);
	/* One page with room stays, so that a class at a page's edge does not open and close it. */
	if (pg->used_count == 0 && sc->partial_count > 1)
		page_close(sl, sc, number);
}

bool slab_drain(struct slab *sl, struct slab_class *sc, uint32_t page_number)
{
	struct page *pg = &sl->pages[page_number];

	if (pg->state != PAGE_ACTIVE || page_class_index(pg) != sc->index)
		return false;
	if (pg->listed)
		partial_remove(sl, sc, page_number);
	atomic_store_explicit(&pg->state, PAGE_DRAINING, memory_order_release);
	if (pg->used_count == 0)
		page_close(sl, sc, page_number);
	return true;
}

void slab_undrain(struct slab *sl, struct slab_class *sc, uint32_t page_number)
{
	struct page *pg = &sl->pages[page_number];

	if (pg->state != PAGE_DRAINING || page_class_index(pg) != sc->index)
		return;
	atomic_store_explicit(&pg->state, PAGE_ACTIVE, memory_order_release);
	if (pg->free_plus_one || pg->fresh_index < sc->chunks_per_page)
		partial_push(sl, sc, page_number);
}

void slab_begin_use(struct slab *sl, struct slab_class *sc, uint32_t reference)
{
	struct item *it = slab_chunk(sl, reference);
	uint32_t word = item_word(it);
	/* A chunk that was never used since its page was dropped is all zeros. */
	uint32_t last = word ? word_generation(word) : slab_page(sl, reference)->generation_seed;
	uint32_t next = (last + 1) & GENERATION_MASK;

	atomic_store_explicit(&it->word,
	                      (next << WORD_GENERATION_SHIFT) |
	                              ((uint32_t)CHUNK_DETACHED << WORD_KIND_SHIFT),
	                      memory_order_relaxed);
	state_change(&sc->space, reference, STATE_OF_USE, 0);
	atomic_store_explicit(slab_age(sc, reference), 0, memory_order_relaxed);
}

/* ---- another policy ---- */

void slab_begin_queue(struct slab *sl, struct slab_class *sc, const struct policy_ops *policy)
{
	assert(sl->sides_stride != 0);
	assert(sc->former_pages == 0);
	sc->present = !sc->present;
	sc->former_pages = sc->page_count;
	init_queue(sl, sc, &sc->queues[sc->present], policy);
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
	uint32_t bytes = sides_bytes(sl, sc, to);

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
	drop_sides(sl, sc, from, page_number);
	pg->queue = sc->present;
	sc->former_pages--;
	if (to->ops->page_add)
		to->ops->page_add(to, page_number);
	for (uint32_t i = 0; i < pg->fresh_index; i++)
		if (linked[i / 64] >> i % 64 & 1)
			link_chunk(to, slab_reference(sc, page_number, i));
	return true;
}

/* ---- expiry ---- */

static bool expiry_open(struct slab *sl, struct slab_class *sc, struct page *pg)
{
	bool opened = true;

	lock_acquire(&sc->lock);
	if (!atomic_load_explicit(&pg->has_expiry, memory_order_relaxed)) {
		opened = budget_take(sl->budget, ACCOUNT_ITEMS, sc->expiry_bytes);
		/* release: the stretch is all zeros from here on, "never" for every chunk */
		if (opened)
			atomic_store_explicit(&pg->has_expiry, 1, memory_order_release);
	}
	lock_release(&sc->lock);
	return opened;
}

void page_lower_min_expiry(struct page *pg, uint32_t expiry)
{
	uint32_t min = atomic_load_explicit(&pg->min_expiry, memory_order_relaxed);

	while ((min == 0 || expiry < min) &&
	       !atomic_compare_exchange_weak_explicit(&pg->min_expiry, &min, expiry,
	                                              memory_order_seq_cst, memory_order_relaxed))
		;
}

bool slab_set_expiry(struct slab *sl, struct slab_class *sc, uint32_t reference, uint32_t expiry)
{
	struct page *pg = slab_page(sl, reference);

	if (!atomic_load_explicit(&pg->has_expiry, memory_order_acquire)) {
		if (expiry == 0)
			return true;
		if (!expiry_open(sl, sc, pg))
			return false;
	}
	/* The entry before the minimum: the sweep resets the minimum before it reads the entries. */
	atomic_store_explicit(slab_expiry(sl, sc, reference), expiry, memory_order_seq_cst);
	if (expiry)
		page_lower_min_expiry(pg, expiry);
	return true;
}

/* ---- ages ---- */

uint32_t age_seconds(uint8_t age)
{
	if (age < 64)
		return age;
	if (age < 128)
		return 64 + (age - 64u) * 8;
	if (age < 192)
		return 576 + (age - 128u) * 64;
	return 4672 + (age - 192u) * 1024;
}

/* Ages below this one move on at this tick. */
static uint8_t age_ceiling(uint32_t tick)
{
	return tick % 1024 == 0 ? 255 : tick % 64 == 0 ? 192 : tick % 8 == 0 ? 128 : 64;
}

static void age_one(_Atomic uint8_t *at, uint8_t ceiling)
{
	uint8_t age = atomic_load_explicit(at, memory_order_relaxed);

	if (age < ceiling)
		atomic_store_explicit(at, (uint8_t)(age + 1), memory_order_relaxed);
}

static void age_group(_Atomic uint8_t *ages, uint32_t count, uint8_t ceiling)
{
	uint32_t i = 0;

#if defined(__SSE2__) && !defined(THREAD_SANITIZED)
	/* Plain vectors on purpose: a hit that sets an age to 0 between load and store is lost, which
	 * nothing depends on. */
	__m128i top = _mm_set1_epi8((char)(ceiling - 1));

	for (; i + 16 <= count; i += 16) {
		__m128i *at = (__m128i *)(void *)(ages + i);
		__m128i v = _mm_load_si128(at);
		__m128i below = _mm_cmpeq_epi8(_mm_min_epu8(v, top), v);

		_mm_store_si128(at, _mm_sub_epi8(v, below));
	}
#endif
	for (; i < count; i++)
		age_one(ages + i, ceiling);
}

void age_advance(_Atomic uint8_t *area, uint32_t count, uint32_t tick)
{
	uint8_t ceiling = age_ceiling(tick);

	for (uint32_t i = 0; i < count; i += STATE_GROUP)
		age_group(area + 2 * i + STATE_GROUP, MIN(STATE_GROUP, count - i), ceiling);
}

uint32_t slab_pages_in_use(const struct slab *sl)
{
	return (uint32_t)atomic_load_explicit(&sl->pages_in_use, memory_order_relaxed);
}

uint32_t slab_page_end(const struct slab *sl)
{
	return atomic_load_explicit(&sl->fresh_page, memory_order_acquire);
}

/* ---- checking ---- */

static void page_check(struct slab *sl, struct slab_class *sc, uint32_t number)
{
	const struct page *pg = &sl->pages[number];
	uint32_t free_count = 0;

	assert(pg->fresh_index <= sc->chunks_per_page);
	for (uint32_t next = pg->free_plus_one; next; free_count++) {
		struct free_chunk *fc = slab_chunk(sl, slab_reference(sc, number, next - 1));

		assert(next <= pg->fresh_index);
		assert(item_kind((struct item *)fc) == CHUNK_FREE);
		next = fc->next_index_plus_one;
	}
	assert(free_count + pg->used_count == pg->fresh_index);
	bool has_room = pg->used_count < sc->chunks_per_page;

	assert(pg->listed == (has_room && pg->state == PAGE_ACTIVE));
}

void slab_check(struct slab *sl)
{
	uint32_t pages[SLAB_CLASS_MAX] = { 0 }, former[SLAB_CLASS_MAX] = { 0 };
	uint64_t used[SLAB_CLASS_MAX] = { 0 };
	uint64_t charged = 0;
	uint32_t in_use = 0;

	for (uint32_t number = 1; number < slab_page_end(sl); number++) {
		struct page *pg = &sl->pages[number];

		if (pg->state == PAGE_FREE)
			continue;
		struct slab_class *sc = &sl->classes[page_class_index(pg)];

		page_check(sl, sc, number);
		pages[sc->index]++;
		used[sc->index] += pg->used_count;
		charged += sl->page_bytes + (pg->has_expiry ? sc->expiry_bytes : 0) +
		           sides_bytes(sl, sc, &sc->queues[pg->queue]);
		former[sc->index] += pg->queue != sc->present;
		in_use++;
	}
	assert(in_use == slab_pages_in_use(sl));
	assert(charged == budget_account(sl->budget, ACCOUNT_ITEMS));
	assert(in_use + sl->free_count + 1 == slab_page_end(sl));
	for (unsigned i = 1; i <= sl->class_count; i++) {
		struct slab_class *sc = &sl->classes[i];

		assert(sc->page_count == pages[i]);
		assert(sc->used_chunks == used[i]);
		assert(sc->former_pages == former[i]);
		sc->queues[sc->present].ops->check(&sc->queues[sc->present]);
		if (sc->former_pages)
			sc->queues[!sc->present].ops->check(&sc->queues[!sc->present]);
	}
}
