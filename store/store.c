/*
 * store.c: the life of a store, turns, and look-ups. What changes items is in write.c, what frees
 * them in reclaim.c, what runs in the background in maintain.c.
 */
#include <sys/mman.h>

#include "store/internal.h"


/* ---- items ---- */

uint32_t item_stored_bytes(const struct slab_class *sc, struct item *it)
{
	if (!sc->big)
		return sc->chunk_bytes - it->slack;
	uint32_t word = item_word(it);

	return ITEM_BIG_HEADER + item_fields_bytes(it, true, word) + it->key_length + item_value_length(sc, it, word);
}

uint64_t item_hash(const struct store *s, uint32_t reference)
{
	struct item *it = chunk_item(s, reference);
	bool big = slab_class_of(&s->slab, reference)->big;

	return hash_key(&s->secret, item_key(it, big, item_word(it)), it->key_length);
}

static uint64_t hash_of_entry(void *context, uint32_t reference)
{
	return item_hash(context, reference);
}

static void prefetch_entry(void *context, uint32_t reference)
{
	__builtin_prefetch(chunk_item(context, reference));
}

static void entry_flushed(void *thread_context, uint32_t reference)
{
	struct store_thread *st = thread_context;

	retire(st, reference, ENDED_FLUSHED);
	st->count_delta--;
}

static inline bool has_key(const struct store *s, uint32_t reference, const char *key, size_t key_length)
{
	struct item *it = chunk_item(s, reference);

	if (it->key_length != key_length)
		return false;
	bool big = slab_class_of(&s->slab, reference)->big;

	return bytes_equal(item_key(it, big, item_word(it)), key, key_length);
}

bool item_has_key(const struct store *s, uint32_t reference, const char *key, size_t key_length)
{
	return has_key(s, reference, key, key_length);
}

/* What most items are: small, without client flags, a CAS unique of a client's or references. */
static inline bool is_plain(const struct slab_class *sc, uint32_t word)
{
	return likely(!sc->big && !(word & WORD_FIELDS));
}

/* A small item with a weak reference, and neither other references nor client flags nor a given CAS unique. */
static inline bool is_weak_alone(const struct slab_class *sc, struct item *it, uint32_t word)
{
	return !sc->big && (word & WORD_FIELDS) == WORD_REFERRING && references_weak_alone(item_fields(it, false));
}

static inline void fill_weak_alone(const struct slab_class *sc, struct item *it, uint32_t key_length,
                                   struct item_view *view)
{
	uint32_t before = ITEM_SMALL_HEADER + REFERENCES_ONE_BYTES + key_length, slack = it->slack;

	view->key = (const char *)it + ITEM_SMALL_HEADER + REFERENCES_ONE_BYTES;
	view->value_length = sc->chunk_bytes - before - slack;
	view->part_length = view->value_length;
	view->client_flags = 0;
	view->weak = true;
	view->target = (const char *)it + before;
	view->target_length = (uint8_t)view->value_length;
	view->claimed = it;
	view->lead = 0;
	/* acquire: pairs with the release in tell_lead; the target is complete */
	if (likely(slack >= ITEM_LEAD_BYTES))
		view->lead = atomic_load_explicit(item_lead(it, sc->chunk_bytes), memory_order_acquire);
}

static inline void fill_any(const struct slab_class *sc, struct item *it, uint32_t word, uint32_t key_length,
                            struct item_view *view)
{
	uint32_t fields = item_fields_bytes(it, sc->big, word);

	view->key = item_fields(it, sc->big) + fields;
	view->value_length = sc->big ? it->value_length
	                             : sc->chunk_bytes - ITEM_SMALL_HEADER - fields - key_length - it->slack;
	view->part_length = view->value_length;
	if (sc->big && it->next)
		view->part_length = (uint32_t)((const char *)it + sc->chunk_bytes - view->key) - key_length;
	view->client_flags = word & WORD_FLAGS_WIDTH ? item_client_flags(it, sc->big, word) : 0;
	if (likely(word & WORD_REFERRING) && reference_is_weak(item_references(it, sc->big, word))) {
		view->weak = true;
		view->lead = 0;
		view->target = view->key + key_length;
		view->target_length = (uint8_t)view->value_length;
		view->claimed = it;
	}
}

/* Returns the word that it looked at. */
static inline uint32_t fill_view(const struct store *s, uint32_t reference, struct item *it,
                                 const struct slab_class *sc, struct item_view *view)
{
	uint32_t word = item_word(it), key_length = it->key_length;

	view->reference = reference;
	view->class_index = sc->index;
	view->item = it;
	view->key_length = (uint8_t)key_length;
	view->expired = view->weak = false;
	if (is_plain(sc, word)) {
		view->key = (const char *)it + ITEM_SMALL_HEADER;
		view->value_length = sc->chunk_bytes - ITEM_SMALL_HEADER - key_length - it->slack;
		view->part_length = view->value_length;
		view->client_flags = 0;
	} else if (is_weak_alone(sc, it, word)) {
		fill_weak_alone(sc, it, key_length, view);
	} else {
		fill_any(sc, it, word, key_length, view);
	}
	view->value = view->key + key_length;
	view->marks = word_marks(word);
	view->expiry = slab_get_expiry(&s->slab, sc, reference);
	return word;
}

void view_fill(const struct store *s, uint32_t reference, struct item_view *view)
{
	fill_view(s, reference, chunk_item(s, reference), slab_class_of(&s->slab, reference), view);
}

/* ---- life ---- */

static uint32_t choose_page_bytes(uint64_t limit_bytes)
{
	/* Every size class may hold a page that it does not fill, so pages are small where the
	 * budget is; large ones waste less at their ends and on expiry stretches. */
	if (limit_bytes < (16u << 20))
		return 16u << 10;
	return limit_bytes < (256u << 20) ? 64u << 10 : 256u << 10;
}

/* Of the policy's queues, kept charged (fifo.h): 64 KB at most, an eighth of what they have. */
#define FIFO_RESERVE_BLOCKS 16
/* Where nothing is evicted, the cache leaves one part in so many of the budget to connections and what
 * they have half-read; otherwise who is to delete something could not say so. */
#define NO_EVICTION_SPARE_SHARE 32

static bool eviction_take(void *context, uint64_t bytes)
{
	return budget_take(&((struct store *)context)->budget, ACCOUNT_EVICTION, bytes);
}

static void eviction_give(void *context, uint64_t bytes)
{
	budget_give(&((struct store *)context)->budget, ACCOUNT_EVICTION, bytes);
}

uint64_t store_limit_reach(uint64_t limit_bytes)
{
	uint64_t reach = STORE_FINE_LIMIT_BYTES;

	/* Each time references are twice as coarse. */
	while (reach < limit_bytes)
		reach = 2 * reach + (1u << 20);
	return reach;
}

static uint64_t choose_limit_max(const struct store_options *o)
{
	if (o->limit_max_bytes)
		return o->limit_max_bytes;
	return MIN(MAX(o->limit_bytes * 4, 1ULL << 30), store_limit_reach(o->limit_bytes));
}

static enum status threads_init(struct store *s)
{
	size_t bytes = s->thread_count * (sizeof(struct store_thread) + sizeof(struct epoch_slot));

	if (region_reserve(&s->thread_region, bytes, false) != STATUS_OK)
		return STATUS_SYSTEM;
	s->threads = (struct store_thread *)s->thread_region.base;
	struct epoch_slot *slots = (struct epoch_slot *)(s->threads + s->thread_count);

	epoch_init(&s->epoch, slots, s->thread_count);
	for (unsigned i = 0; i < s->thread_count; i++) {
		s->threads[i].store = s;
		s->threads[i].slot = i;
		lock_init(&s->threads[i].ring.lock);
	}
	/* The stocks and counters of classes that a thread never uses stay untouched. */
	budget_charge(&s->budget, ACCOUNT_THREADS, ALIGN_UP(bytes, (size_t)OS_PAGE_BYTES));
	return STATUS_OK;
}

enum status store_init(struct store **out, const struct store_options *options)
{
	_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "client flags are stored as bytes");
	uint64_t limit_max = choose_limit_max(options);

	*out = NULL;
	if (options->limit_bytes < LIMIT_MIN_BYTES || limit_max < options->limit_bytes)
		return STATUS_NO_MEMORY;
	if (limit_max > STORE_LIMIT_MOST_BYTES)
		return STATUS_TOO_LARGE;
	struct store *s = mmap(NULL, sizeof(*s), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
	                       -1, 0);

	if (s == MAP_FAILED)
		return STATUS_SYSTEM;
	s->options = *options;
	switch_init(s, options->policy);
	lock_init(&s->dead_sweep.lock);
	s->dead_sweep.events_seen = REFERENCE_EVENTS_FIRST;
	s->thread_count = options->thread_count;
	hash_secret_init(&s->secret, options->hash_seed);
	budget_init(&s->budget, options->limit_bytes, options->evict ? 0 : NO_EVICTION_SPARE_SHARE);
	budget_charge(&s->budget, ACCOUNT_PAGES, ALIGN_UP(sizeof(*s), (size_t)OS_PAGE_BYTES));

	uint32_t page_bytes = choose_page_bytes(options->limit_bytes);
	struct policy_memory memory = { eviction_take, eviction_give, s };
	struct slab_options so = {
		.limit_max_bytes = limit_max,
		.page_bytes = page_bytes,
		.chunk_min_bytes = options->chunk_min_bytes,
		.growth_factor = options->growth_factor > 1.0 ? options->growth_factor : 1.07,
		.policy = options->policy,
		.policy_may_change = options->policy_may_change,
		.shared = &s->policy_shared,
	};
	struct index_callbacks callbacks = {
		.hash_of = hash_of_entry,
		.prefetch = prefetch_entry,
		.flushed = entry_flushed,
		.context = s,
	};

	if (policy_shared_init(&s->policy_shared, options->policy_may_change ? NULL : options->policy,
	                       &memory, hash_of_entry,
	                       limit_max / CHUNK_MIN_BYTES,
	                       (uint32_t)(limit_max / page_bytes + 2)) != STATUS_OK)
		goto unmap_store;
	s->policy_shared.fifos.reserve_max = FIFO_RESERVE_BLOCKS;
	if (slab_init(&s->slab, &so, &s->budget) != STATUS_OK)
		goto fini_policy;
	if (index_init(&s->index, &s->budget, limit_max, &callbacks) != STATUS_OK)
		goto fini_slab;
	if (references_init(&s->references, &s->budget, limit_max, options->held_limit_percent) !=
	    STATUS_OK)
		goto fini_index;
	if (threads_init(s) != STATUS_OK)
		goto fini_references;
	curve_init(s);
	*out = s;
	return STATUS_OK;

fini_references:
	references_fini(&s->references);
fini_index:
	index_fini(&s->index);
fini_slab:
	slab_fini(&s->slab);
fini_policy:
	policy_shared_fini(&s->policy_shared);
unmap_store:
	munmap(s, sizeof(*s));
	return STATUS_SYSTEM;
}

void store_fini(struct store *s)
{
	curve_fini(s);
	region_release(&s->thread_region);
	references_fini(&s->references);
	index_fini(&s->index);
	slab_fini(&s->slab);
	policy_shared_fini(&s->policy_shared);
	munmap(s, sizeof(*s));
}

struct store_thread *store_thread_get(struct store *s, unsigned index)
{
	assert(index < s->thread_count);
	return &s->threads[index];
}

struct budget *store_budget(struct store *s)
{
	return &s->budget;
}

/* ---- turns ---- */

/* Once a second per thread: what piled up is settled, so that an idle thread holds nothing back. */
static void thread_second(struct store_thread *st)
{
	flush_count(st);
	reclaim(st);
}

void store_enter(struct store_thread *st, uint32_t now)
{
	sight_begin(st);
	if (unlikely(now != st->now)) {
		st->now = now;
		thread_second(st);
	}
	yield_drained(st);
}

void store_leave(struct store_thread *st)
{
	epoch_leave(&st->store->epoch, st->slot);
}

uint32_t store_now(const struct store_thread *st)
{
	return st->now;
}

/* ---- look-ups ---- */

uint64_t store_hash(const struct store_thread *st, const char *key, size_t key_length)
{
	return hash_key(&st->store->secret, key, key_length);
}

static bool find(const struct store_thread *st, const char *key, size_t key_length, uint64_t hash,
                 uint32_t *reference)
{
	uint32_t candidates[INDEX_CANDIDATES_MAX];
	unsigned n = index_candidates(&st->store->index, hash, candidates);

	for (unsigned i = 0; i < n; i++) {
		if (likely(item_has_key(st->store, candidates[i], key, key_length))) {
			*reference = candidates[i];
			return true;
		}
	}
	return false;
}

static uint32_t expiry_of(const struct store *s, uint32_t reference)
{
	return slab_get_expiry(&s->slab, slab_class_of(&s->slab, reference), reference);
}

/* An item that refers to others was found: is it sound? */
static __attribute__((noinline)) bool look_behind(struct store_thread *st, const struct slab_class *sc,
                                                  uint32_t word, struct item_view *view)
{
	struct store *s = st->store;

	/* A lead says that the target's life goes on, but for its expiry. */
	if (view->weak && likely(view->lead))
		return !is_expired(expiry_of(s, view->lead), st->now);
	return view->weak ? reference_lead(s, st->now, item_references(view->item, sc->big, word), &view->lead)
	                  : !reference_is_over(s, st->now, item_references(view->item, sc->big, word));
}

/* Returns the state and age bytes of what was found, NULL for a miss. */
static inline _Atomic uint8_t *look_up(struct store_thread *st, const char *key, size_t key_length,
                                       uint64_t hash, struct item_view *view)
{
	const struct store *s = st->store;
	uint32_t reference;

	view->expired = false;
	/* The one candidate that most look-ups have; anything else goes the long way. */
	if (unlikely(!(index_single(&s->index, hash, &reference) &&
	               has_key(s, reference, key, key_length)) &&
	             !find(st, key, key_length, hash, &reference)))
		return NULL;
	const struct slab_class *sc = slab_class_of(&s->slab, reference);

	uint32_t word = fill_view(s, reference, chunk_item(s, reference), sc, view);

	if (unlikely(is_expired(view->expiry, st->now))) {
		view->expired = true;
		return NULL;
	}
	if (unlikely(word & WORD_REFERRING) && !look_behind(st, sc, word, view))
		return NULL;
	_Atomic uint8_t *state = slab_state(sc, reference);

	view->state = atomic_load_explicit(state, memory_order_relaxed);
	view->age = atomic_load_explicit(state + STATE_GROUP, memory_order_relaxed);
	view->fetched = (view->state & STATE_FETCHED) != 0;
	return state;
}

bool store_peek(struct store_thread *st, const char *key, size_t key_length, uint64_t hash,
                struct item_view *view)
{
	return look_up(st, key, key_length, hash, view) != NULL;
}

/* A hit writes only what it changes: at most once a second per item the age, and the state until its
 * count of reads is full. `state` and the age beside it were `before` and `age`. */
static inline void note_hit(struct store_thread *st, uint32_t reference, _Atomic uint8_t *state,
                            uint8_t before, uint8_t age)
{
	uint8_t after = state_after_read(before);

	/* Another's change at the same moment wins: a count that is lost costs a little precision. */
	if (after != before) {
		count_cool(st, before);
		atomic_compare_exchange_strong_explicit(state, &before, after, memory_order_relaxed,
		                                        memory_order_relaxed);
	}
	if (age)
		atomic_store_explicit(state + STATE_GROUP, 0, memory_order_relaxed);
	if (wants_hits(st->store))
		ring_push(st, reference | RING_HIT);
}

static inline bool get_entry(struct store_thread *st, const char *key, size_t key_length, uint64_t hash,
                             struct item_view *view)
{
	_Atomic uint8_t *state = look_up(st, key, key_length, hash, view);

	if (unlikely(!state)) {
		count_miss(st, hash, view->expired);
		return false;
	}
	COUNT(st, view->class_index, get_hits, 1);
	note_hit(st, view->reference, state, view->state, view->age);
	if (is_sampled(st, hash))
		curve_sample_hit(st, hash, view);
	return true;
}

bool store_get_entry(struct store_thread *st, const char *key, size_t key_length, uint64_t hash,
                     struct item_view *view)
{
	return get_entry(st, key, key_length, hash, view);
}

bool store_get(struct store_thread *st, const char *key, size_t key_length, uint64_t hash,
               struct item_view *view)
{
	return get_entry(st, key, key_length, hash, view) &&
	       (likely(!view->weak) || store_follow(st, view, true));
}

/* The view of a weak reference shows the value of a plain target; the rest stays the reference's. */
static inline void show_plain_target(const struct slab_class *sc, struct item *it, uint32_t word,
                                     struct item_view *view)
{
	uint32_t key_length = it->key_length;

	view->value = (const char *)it + ITEM_SMALL_HEADER + key_length;
	view->value_length = sc->chunk_bytes - ITEM_SMALL_HEADER - key_length - it->slack;
	view->part_length = view->value_length;
	view->client_flags = 0;
	view->marks = word_marks(word);
}

static void show_target(const struct store *s, const struct slab_class *sc, uint32_t target,
                        struct item_view *view)
{
	struct item_view own = *view;

	fill_view(s, target, chunk_item(s, target), sc, view);
	view->key = own.key;
	view->key_length = own.key_length;
	view->expiry = own.expiry;
	view->weak = true;
	view->target = own.target;
	view->target_length = own.target_length;
}

bool store_follow(struct store_thread *st, struct item_view *view, bool counts)
{
	const struct store *s = st->store;
	uint32_t target = likely(view->lead) ? view->lead : reference_target(s, view->reference);

	if (unlikely(!target))
		return false;
	st->follows++;
	const struct slab_class *sc = slab_class_of(&s->slab, target);
	struct item *own = view->item, *it = chunk_item(s, target);
	uint32_t word = item_word(it);
	uint8_t own_marks = view->marks;

	if (is_plain(sc, word))
		show_plain_target(sc, it, word, view);
	else
		show_target(s, sc, target, view);
	view->reference = target;
	view->class_index = sc->index;
	view->item = it;
	view->marks = (view->marks & ~ITEM_KEY_BINARY) | own_marks;
	view->claimed = own_marks & ITEM_STALE ? own : it;
	if (counts) {
		_Atomic uint8_t *state = slab_state(sc, target);

		note_hit(st, target, state, atomic_load_explicit(state, memory_order_relaxed),
		         atomic_load_explicit(state + STATE_GROUP, memory_order_relaxed));
	}
	return true;
}

bool find_locked(struct store *s, struct bucket *locked, uint64_t hash, const char *key,
                 size_t key_length, struct index_slot *at, uint32_t *reference)
{
	*at = (struct index_slot){ 0 };
	while (index_scan(&s->index, locked, hash, at, reference))
		if (has_key(s, *reference, key, key_length))
			return true;
	return false;
}

/* ---- views ---- */

uint64_t store_view_cas(const struct store_thread *st, const struct item_view *view)
{
	const struct store *s = st->store;

	return item_cas(s, &s->slab.classes[view->class_index], view->reference, view->item);
}

uint32_t store_view_bytes(const struct item_view *view)
{
	return (uint32_t)(view->value - (const char *)view->item) + view->value_length;
}

uint32_t store_view_idle_seconds(const struct store_thread *st, const struct item_view *view)
{
	return age_seconds(view->age);
}

bool store_claim(struct store_thread *st, const struct item_view *view)
{
	uint32_t won = (uint32_t)ITEM_WON << WORD_MARKS_SHIFT;
	struct item *it = likely(!view->weak) ? view->item : view->claimed;

	return (atomic_fetch_or_explicit(&it->word, won, memory_order_relaxed) & won) == 0;
}

void store_value_first(const struct item_view *view, const struct store_thread *st,
                       struct value_cursor *c)
{
	const struct slab_class *sc = &st->store->slab.classes[view->class_index];

	c->part = view->value;
	c->part_length = view->part_length;
	c->remaining = view->value_length - view->part_length;
	c->next_reference = sc->big ? view->item->next : 0;
}

bool store_value_next(const struct store_thread *st, struct value_cursor *c)
{
	if (!c->next_reference)
		return false;
	const struct slab *sl = &st->store->slab;
	const struct segment *sg = slab_chunk(sl, c->next_reference);
	uint32_t room = slab_class_of(sl, c->next_reference)->chunk_bytes - SEGMENT_HEADER;

	c->part = sg->data;
	c->part_length = MIN(room, c->remaining);
	c->remaining -= c->part_length;
	c->next_reference = sg->next;
	return true;
}

/* ---- pins ---- */

bool store_can_pin(const struct store_thread *st, const struct item_view *view)
{
	return st->store->slab.classes[view->class_index].big;
}

/* An item's bytes count once, however many pin it: the first comes to count them, the last to leave
 * takes them off. */
uint64_t captive_limit(const struct store *s)
{
	uint64_t budget_bytes = budget_limit(&s->budget) - BUDGET_ALLOWANCE_BYTES;

	/* One value of the largest size always fits. */
	return MAX(budget_bytes / 2, s->options.item_limit_bytes + (64ULL << 10));
}

bool store_pin(struct store_thread *st, const struct item_view *view)
{
	struct store *s = st->store;
	uint64_t captive = atomic_load_explicit(&s->pinned_bytes, memory_order_relaxed) +
	                   atomic_load_explicit(&s->pending_bytes, memory_order_relaxed);
	/* relaxed: the turn keeps the item until its end, which is later than this */
	uint32_t pins = atomic_load_explicit(&view->item->pins, memory_order_relaxed);

	if (pins == 0 && captive + view->value_length > captive_limit(s))
		return false;
	if (atomic_fetch_add_explicit(&view->item->pins, 1, memory_order_relaxed) == 0)
		atomic_fetch_add_explicit(&s->pinned_bytes, view->value_length, memory_order_relaxed);
	return true;
}

void store_unpin(struct store_thread *st, uint32_t reference)
{
	struct store *s = st->store;
	struct item *it = chunk_item(s, reference);
	uint32_t value_length = it->value_length;
	/* acq_rel: the last one to leave sees what the others did, and its own reads come first */
	uint32_t pins = atomic_fetch_sub_explicit(&it->pins, 1, memory_order_acq_rel);

	if ((pins & ~PIN_ORPHAN) == 1)
		atomic_fetch_sub_explicit(&s->pinned_bytes, value_length, memory_order_relaxed);
	if (pins == (PIN_ORPHAN | 1))
		discard(st, reference);
}

/* ---- walking ---- */

/* What was flushed and not yet swept is still in its chunk, but in no reader's index. */
static bool was_flushed(const struct store *s, const struct item_view *view)
{
	uint32_t candidates[INDEX_CANDIDATES_MAX];

	if (!atomic_load_explicit(&((struct store *)s)->index.sweep_active, memory_order_relaxed))
		return false;
	unsigned n = index_candidates(&s->index, hash_key(&s->secret, view->key, view->key_length),
	                              candidates);

	while (n > 0)
		if (candidates[--n] == view->reference)
			return false;
	return true;
}

static bool walk_page(struct store_thread *st, struct store_walk *walk, size_t *left,
                      void (*visit)(void *, const struct item_view *), void *context)
{
	struct store *s = st->store;
	struct page *pg = &s->slab.pages[walk->page];

	if (atomic_load_explicit(&pg->state, memory_order_acquire) == PAGE_FREE)
		return true;
	struct slab_class *sc = &s->slab.classes[page_class_index(pg)];

	for (; walk->chunk < sc->chunks_per_page; walk->chunk++) {
		uint32_t reference = slab_reference(sc, walk->page, walk->chunk);
		struct item_view view;

		/* A chunk without an item counts too: a walk over a million that expired must also pause. */
		if (*left == 0)
			return false;
		(*left)--;
		if (item_kind(chunk_item(s, reference)) != CHUNK_ITEM)
			continue;
		/* The page may have changed hands since; the index is what knows. */
		if (page_class_index(pg) != sc->index)
			return true;
		view_fill(s, reference, &view);
		if (page_class_index(pg) != sc->index || was_flushed(s, &view) ||
		    entry_is_over(s, reference, st->now))
			continue;
		view.age = atomic_load_explicit(slab_age(sc, reference), memory_order_relaxed);
		view.fetched = atomic_load_explicit(slab_state(sc, reference), memory_order_relaxed) &
		               STATE_FETCHED;
		visit(context, &view);
	}
	return true;
}

bool store_walk(struct store_thread *st, struct store_walk *walk, size_t max_chunks,
                void (*visit)(void *context, const struct item_view *view), void *context)
{
	size_t left = max_chunks;

	if (walk->page == 0)
		walk->page = 1;
	while (walk->page < slab_page_end(&st->store->slab)) {
		if (!walk_page(st, walk, &left, visit, context))
			return true;
		walk->page++;
		walk->chunk = 0;
	}
	return false;
}
