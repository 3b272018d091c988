/* slab.c: pages and chunks: handed out, put back, emptied; see slab.h. */
#include "store/slab_internal.h"

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
uint32_t slab_sides_bytes(const struct slab *sl, const struct slab_class *sc, const struct policy_queue *q)
{
	return sl->sides_stride ? ALIGN_UP(sc->chunks_per_page * q->space.side_bytes, (uint32_t)OS_PAGE_BYTES) : 0;
}

void slab_drop_sides(struct slab *sl, const struct slab_class *sc, const struct policy_queue *q,
                     uint32_t number)
{
	uint32_t bytes = slab_sides_bytes(sl, sc, q);

	if (bytes == 0)
		return;
	region_drop(&sl->sides, (size_t)number * sl->sides_stride, bytes);
	budget_give(sl->budget, ACCOUNT_ITEMS, bytes);
}

/* A page number with room for its side bytes. */
static uint32_t take_page(struct slab *sl, const struct slab_class *sc, const struct policy_queue *q)
{
	uint32_t bytes = slab_sides_bytes(sl, sc, q);

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
	slab_drop_sides(sl, sc, q, number);
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
		           slab_sides_bytes(sl, sc, &sc->queues[pg->queue]);
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
