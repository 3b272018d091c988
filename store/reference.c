/*
 * reference.c: see reference.h; the rules are in references.md.
 *
 * Is an item over? It is if a block that it lives by is dead (or of a flushed epoch, or past its
 * expiry, or of another version), or if the item of such a block is over in turn. The blocks of
 * items that live by nobody are looked at alone, without a lock: one line each. The others (CHAINED)
 * remember when a search last found all behind them sound: `checked` is the count of events then and
 * the second. While both stand nothing can have ended; else the search is made again, under the lock.
 */
#include "store/internal.h"

/* Blocks that one search looks at; past it the item counts as over. It bounds the time under the lock
 * to a millisecond, and nobody's dependencies are so deep. */
#define SEARCH_BLOCKS_MAX 8192u
#define KIND_MASK REFERENCE_KIND_MASK
#define KIND_BITS REFERENCE_KIND_BITS
/* Times that memory for one control block is asked for, with a page released between. */
#define BLOCK_TRIES 64u

enum status references_init(struct references *rf, struct budget *budget, uint64_t limit_max_bytes,
                            uint32_t held_limit_percent)
{
	rf->held_limit_percent = held_limit_percent;
	rf->collector.enabled = true;
	rf->collector.threshold = COLLECT_THRESHOLD;
	atomic_init(&rf->events, REFERENCE_EVENTS_FIRST);
	return block_table_init(&rf->blocks, budget, limit_max_bytes);
}

void references_fini(struct references *rf)
{
	block_table_fini(&rf->blocks);
}

uint64_t reference_held_limit(const struct store *s)
{
	uint64_t limit = budget_limit(&s->budget);

	limit = limit > BUDGET_ALLOWANCE_BYTES ? limit - BUDGET_ALLOWANCE_BYTES : 0;
	return limit / 100 * s->references.held_limit_percent;
}

/* ---- what an item says ---- */

static uint32_t load_u32(const char *at)
{
	uint32_t value;

	memcpy(&value, at, sizeof(value));
	return value;
}

static void store_u32(char *at, uint32_t value)
{
	memcpy(at, &value, sizeof(value));
}

static uint64_t load_u64(const char *at)
{
	uint64_t value;

	memcpy(&value, at, sizeof(value));
	return value;
}

/* The references of an item, as they lie in it. */
struct reference_view {
	struct reference_shape shape;
	char *followed; /* block << KIND_BITS | kind */
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

static struct reference_view references_of(const struct store *s, uint32_t reference)
{
	struct item *it = chunk_item(s, reference);

	return view_references(item_references(it, slab_class_of(&s->slab, reference)->big,
	                                       item_word(it)));
}

static bool is_referring(const struct store *s, uint32_t reference)
{
	return item_word(chunk_item(s, reference)) & WORD_REFERRING;
}

static bool first_is_weak(const struct reference_view *rv)
{
	return rv->shape.followed > 0 && (load_u32(rv->followed) & KIND_MASK) == REFERENCE_WEAK;
}

/* It lives by others: so do those that live by it. */
static bool is_chained(const struct store *s, uint32_t reference)
{
	return is_referring(s, reference) && references_of(s, reference).shape.followed > 0;
}

/* ---- over or not ---- */

static bool is_sound(const struct store *s, const struct block *b, uint32_t now)
{
	uint32_t state = block_state(b);
	uint32_t epoch = atomic_load_explicit(&((struct store *)s)->index.flush_epoch,
	                                      memory_order_relaxed);

	if ((state & BLOCK_DEAD) || (state & BLOCK_EPOCH) != epoch << BLOCK_EPOCH_SHIFT)
		return false;
	return !is_expired(atomic_load_explicit(&((struct block *)b)->expiry, memory_order_relaxed),
	                   now);
}

static uint64_t stamp_now(const struct store *s, uint32_t now)
{
	/* acquire: pairs with the release in note_event; what ended before it is seen as ended */
	uint64_t events = atomic_load_explicit(&((struct store *)s)->references.events,
	                                       memory_order_acquire);

	return events << 32 | now;
}

/* So many references are over by it. */
static void note_event(struct store *s, uint32_t count)
{
	atomic_fetch_add_explicit(&s->references.dying, count, memory_order_relaxed);
	atomic_fetch_add_explicit(&s->references.events, 1, memory_order_release);
}

/* Blocks whose items live by others and were not checked since `stamp`, in a list. */
struct search {
	uint32_t head;
	uint32_t tail;
	uint32_t count;
};

static void search_push(struct block_table *bt, struct search *sr, struct block *b)
{
	uint32_t number = block_number(bt, b);

	if (block_state(b) & BLOCK_VISITED)
		return;
	block_change(b, 0, BLOCK_VISITED);
	b->search = 0;
	if (sr->tail)
		block_at(bt, sr->tail)->search = number;
	else
		sr->head = number;
	sr->tail = number;
	sr->count++;
}

/* Looks at the blocks that an item lives by. False: one is over. Those that lead on go into the
 * list. */
static bool search_item(struct store *s, const struct reference_view *rv, uint32_t now,
                        uint64_t stamp, struct search *sr)
{
	struct block_table *bt = &s->references.blocks;
	unsigned versions = 0;

	for (unsigned i = 0; i < rv->shape.followed; i++) {
		uint32_t entry = load_u32(rv->followed + 4 * i);
		struct block *b = block_at(bt, entry >> KIND_BITS);

		if (!is_sound(s, b, now))
			return false;
		if ((entry & KIND_MASK) == REFERENCE_VERSION &&
		    atomic_load_explicit(&b->version, memory_order_relaxed) !=
		            load_u64(rv->versions + 8 * versions++))
			return false;
		if ((block_state(b) & BLOCK_CHAINED) &&
		    atomic_load_explicit(&b->checked, memory_order_relaxed) != stamp)
			search_push(bt, sr, b);
	}
	return sr->count <= SEARCH_BLOCKS_MAX;
}

static void search_end(struct block_table *bt, struct search *sr, bool sound, uint64_t stamp)
{
	for (uint32_t number = sr->head; number;) {
		struct block *b = block_at(bt, number);

		block_change(b, BLOCK_VISITED, 0);
		if (sound)
			atomic_store_explicit(&b->checked, stamp, memory_order_relaxed);
		number = b->search;
	}
}

/* Follows all that the item lives by, to the end. A circle ends where it began; if nothing in it is
 * over, it is sound. */
static bool search_all(struct store *s, const struct reference_view *rv, uint32_t now)
{
	struct block_table *bt = &s->references.blocks;
	struct search sr = { 0 };

	lock_acquire(&bt->lock);
	uint64_t stamp = stamp_now(s, now);
	bool sound = search_item(s, rv, now, stamp, &sr);

	for (uint32_t number = sr.head; sound && number;) {
		struct block *b = block_at(bt, number);
		/* Its life goes on, which only changes under the lock, so that the item is readable. */
		struct reference_view next =
			references_of(s, atomic_load_explicit(&b->item, memory_order_relaxed));

		sound = search_item(s, &next, now, stamp, &sr);
		number = b->search;
	}
	search_end(bt, &sr, sound, stamp);
	lock_release(&bt->lock);
	return sound;
}

bool reference_is_over(struct store *s, uint32_t now, char *at)
{
	struct reference_view rv = view_references(at);
	const struct block_table *bt = &s->references.blocks;
	unsigned versions = 0;

	for (unsigned i = 0; i < rv.shape.followed; i++) {
		uint32_t entry = load_u32(rv.followed + 4 * i);
		struct block *b = block_at(bt, entry >> KIND_BITS);

		if (!is_sound(s, b, now))
			return true;
		if ((entry & KIND_MASK) == REFERENCE_VERSION &&
		    atomic_load_explicit(&b->version, memory_order_acquire) !=
		            load_u64(rv.versions + 8 * versions++))
			return true;
		/* The stamp first: what was checked at it was sound then. */
		if (block_state(b) & BLOCK_CHAINED) {
			uint64_t stamp = stamp_now(s, now);

			if (atomic_load_explicit(&b->checked, memory_order_relaxed) != stamp)
				return !search_all(s, &rv, now);
		}
	}
	return false;
}

uint32_t reference_target(const struct store *s, uint32_t reference)
{
	for (unsigned steps = 0; steps < WEAK_STEPS_MAX; steps++) {
		struct reference_view rv = references_of(s, reference);
		struct block *b = block_at(&s->references.blocks, load_u32(rv.followed) >> KIND_BITS);

		/* acquire: pairs with the release in reference_replace; the item is complete */
		reference = atomic_load_explicit(&b->item, memory_order_acquire);
		if (!is_referring(s, reference))
			return reference;
		rv = references_of(s, reference);
		if (!first_is_weak(&rv))
			return reference;
	}
	return 0;
}

/* ---- holding ---- */

/* The pages that the item lies on cannot be emptied, or can again. */
static void count_held_pages(struct store *s, uint32_t reference, int by)
{
	struct slab *sl = &s->slab;
	struct item *it = chunk_item(s, reference);
	bool big = slab_class_of(sl, reference)->big;

	atomic_fetch_add_explicit(&slab_page(sl, reference)->held_count, (uint16_t)by,
	                          memory_order_relaxed);
	for (uint32_t at = big ? it->next : 0; at; at = ((struct segment *)slab_chunk(sl, at))->next)
		atomic_fetch_add_explicit(&slab_page(sl, at)->held_count, (uint16_t)by,
		                          memory_order_relaxed);
}

static uint64_t bytes_of(const struct store *s, uint32_t reference)
{
	return item_stored_bytes(slab_class_of(&s->slab, reference), chunk_item(s, reference));
}

/* What holding this item keeps from eviction: its control block is as large as a small item, and stays as long. */
static uint64_t held_cost(const struct store *s, uint32_t reference)
{
	return bytes_of(s, reference) + sizeof(struct block);
}

static bool may_hold(const struct store *s, uint64_t less, uint64_t more)
{
	uint64_t held = atomic_load_explicit(&((struct store *)s)->references.held_bytes,
	                                     memory_order_relaxed);

	return more <= less || held - less + more <= reference_held_limit(s);
}

static void forget_release(struct store *s, struct block *b) REQUIRES(s->references.blocks.lock)
{
	if (!(block_state(b) & BLOCK_RELEASED))
		return;
	block_change(b, BLOCK_RELEASED, 0);
	atomic_fetch_sub_explicit(&s->references.released_count, 1, memory_order_relaxed);
}

static void protect(struct store *s, struct block *b) REQUIRES(s->references.blocks.lock)
{
	uint32_t item = atomic_load_explicit(&b->item, memory_order_relaxed);

	forget_release(s, b);

	atomic_fetch_add_explicit(&s->references.held_bytes, held_cost(s, item), memory_order_relaxed);
	count_held_pages(s, item, 1);
	block_change(b, 0, BLOCK_PROTECTED);
}

/* unpark: `stays`: the item does, and can be evicted like others. */
static void unpark(struct store_thread *st, struct block *b, bool stays)
{
	if (!(block_state(b) & BLOCK_PARKED))
		return;
	block_change(b, BLOCK_PARKED, 0);
	atomic_fetch_sub_explicit(&st->store->references.parked_count, 1, memory_order_relaxed);
	if (stays)
		ring_push(st, b->item);
}

static void unprotect(struct store_thread *st, struct block *b, bool stays)
{
	struct store *s = st->store;
	uint32_t item = atomic_load_explicit(&b->item, memory_order_relaxed);

	if (!(block_state(b) & BLOCK_PROTECTED))
		return;
	unpark(st, b, stays);
	atomic_fetch_sub_explicit(&s->references.held_bytes, held_cost(s, item), memory_order_relaxed);
	count_held_pages(s, item, -1);
	block_change(b, BLOCK_PROTECTED, 0);
}

enum protection reference_protection(struct store *s, uint64_t hash, uint32_t reference)
{
	struct block_table *bt = &s->references.blocks;

	lock_acquire(&bt->lock);
	const struct block *b = block_find(bt, hash, reference);
	uint32_t state = b ? block_state(b) : 0;

	lock_release(&bt->lock);
	return state & BLOCK_PROTECTED  ? PROTECTION_HELD
	       : state & BLOCK_RELEASED ? PROTECTION_RELEASED
	                                : PROTECTION_NONE;
}

static bool park(struct store *s, uint64_t hash, uint32_t reference)
{
	struct block *b = block_find(&s->references.blocks, hash, reference);

	if (!b || !(block_state(b) & BLOCK_PROTECTED))
		return false;
	if (!(block_state(b) & BLOCK_PARKED)) {
		block_change(b, 0, BLOCK_PARKED);
		atomic_fetch_add_explicit(&s->references.parked_count, 1, memory_order_relaxed);
	}
	return true;
}

void reference_park(struct store_thread *st, uint64_t hash, uint32_t reference)
{
	struct store *s = st->store;

	lock_acquire(&s->references.blocks.lock);
	bool parked = park(s, hash, reference);

	lock_release(&s->references.blocks.lock);
	/* Held no more, or gone: the policy finds out. */
	if (!parked)
		ring_push(st, reference);
}

bool reference_try_park(struct store *s, uint32_t reference)
{
	/* The class's lock comes after this one, which is therefore not waited for. */
	if (!lock_try(&s->references.blocks.lock))
		return false;
	bool parked = park(s, item_hash(s, reference), reference);

	lock_release(&s->references.blocks.lock);
	return parked;
}

unsigned reference_held_blocks(const struct store *s, uint32_t reference, uint32_t *numbers)
{
	unsigned n = 0;

	if (!is_referring(s, reference))
		return 0;
	struct reference_view rv = references_of(s, reference);

	for (unsigned i = 0; i < rv.shape.holds; i++) {
		uint32_t number = load_u32(rv.holds + 4 * i);

		if (number)
			numbers[n++] = number;
	}
	return n;
}

uint64_t reference_unprotect(struct store_thread *st, struct block *b)
{
	struct store *s = st->store;

	unprotect(st, b, true);
	block_change(b, 0, BLOCK_RELEASED);
	atomic_fetch_add_explicit(&s->references.released_count, 1, memory_order_relaxed);
	return held_cost(s, b->item);
}

void reference_protect_again(struct store *s, struct block *b)
{
	if (may_hold(s, 0, held_cost(s, b->item)))
		protect(s, b);
}

/* The holds or the item of the block are others now: see collect.c. One that is held no more is
 * an entry that can be evicted, from which others are reached. */
static void stir(struct store *s, struct block *b) REQUIRES(s->references.blocks.lock)
{
	if (likely(s->references.collector.phase == COLLECT_IDLE) || (block_state(b) & BLOCK_DEAD))
		return;
	collector_reach(s, b);
}

/* ---- counting ---- */

/* take: one reference more to this block. Counts of 32 bits that are full refuse. */
static enum store_result take(struct store *s, struct block *b, enum reference_kind kind)
	REQUIRES(s->references.blocks.lock)
{
	if (b->references == UINT32_MAX)
		return STORE_NO_MEMORY;
	if (kind == REFERENCE_HOLD) {
		uint32_t state = block_state(b);

		if (!(state & BLOCK_PROTECTED)) {
			if (!may_hold(s, 0, held_cost(s, b->item)))
				return STORE_HELD_LIMIT;
			protect(s, b);
		}
		/* What it holds was released with it, and is reached again. */
		if (state & BLOCK_RELEASED)
			collector_reach(s, b);
		b->holds++;
		collector_note_hold(s);
		stir(s, b);
	}
	b->references++;
	b->versions += kind == REFERENCE_VERSION;
	return STORE_OK;
}

static void free_unreferred(struct store *s, struct block *b) REQUIRES(s->references.blocks.lock)
{
	if (b->references == 0 && !(block_state(b) & BLOCK_LISTED))
		block_free(&s->references.blocks, b);
}

static void give(struct store *s, struct block *b, enum reference_kind kind)
	REQUIRES(s->references.blocks.lock)
{
	assert(b->references > 0);
	assert(kind != REFERENCE_HOLD);
	b->references--;
	b->versions -= kind == REFERENCE_VERSION;
	free_unreferred(s, b);
}

static void give_hold(struct store_thread *st, struct block *b, bool collected)
{
	struct store *s = st->store;
	/* Of a group that is evicted this is the next: to a run under way nothing is reached by that. */
	bool is_garbage = collected && (block_state(b) & BLOCK_RELEASED);

	assert(b->holds > 0);
	s->references.collector.changes++;
	if (--b->holds == 0) {
		unprotect(st, b, true);
		/* An entry that can be evicted now: what it holds is held by one. */
		if ((block_state(b) & BLOCK_RELEASED) && !collected)
			collector_reach(s, b);
		forget_release(s, b);
	}
	if (!is_garbage)
		stir(s, b);
	b->references--;
	free_unreferred(s, b);
}

/* ---- acquiring ---- */

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
	block_change(b, 0, epoch | (is_chained(s, item) ? BLOCK_CHAINED : 0));
	atomic_fetch_or_explicit(&chunk_item(s, item)->word, WORD_REFERRED, memory_order_relaxed);
	return b;
}

/* One reference to this key. *made is left false when there was no memory for the block. */
static enum store_result acquire_one(struct store_thread *st, const char *key, size_t key_length,
                                     enum reference_kind kind, uint32_t *number, bool *made)
{
	struct store *s = st->store;
	struct block_table *bt = &s->references.blocks;
	uint64_t hash = hash_key(&s->secret, key, key_length);
	enum store_result result = STORE_NOT_FOUND;
	struct index_slot at;
	uint32_t found;

	*made = true;
	reclaim_room(st);
	struct bucket *bucket = index_lock(&s->index, hash, st);

	if (find_locked(s, bucket, hash, key, key_length, &at, &found) &&
	    !entry_is_over(s, found, st->now)) {
		lock_acquire(&bt->lock);
		struct block *b = block_find(bt, hash, found);

		if (!b)
			b = make_block(s, bucket, hash, found);
		*made = b != NULL;
		result = b ? take(s, b, kind) : STORE_NO_MEMORY;
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
	for (unsigned i = 0; i < BLOCK_TRIES; i++) {
		bool made;
		enum store_result result = acquire_one(st, key, key_length, kind, number, &made);

		if (made && result != STORE_HELD_LIMIT)
			return result;
		if (!made && st->store->options.evict && (evict_released(st) || release_page(st, NULL)))
			continue;
		if (!collect_for_room(st))
			return result;
	}
	return STORE_NO_MEMORY;
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
			store_u32(rv.followed + 4 * followed++, number << KIND_BITS | kind);
	}
	collect_pace(st);
	/* Its key may be held, and what it has to be replaced with is no smaller for that; there is no safe point then. */
	if (!may_hold(s, 0, held_cost(s, reference)))
		collect_for_room(st);
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
		struct block *b = block_at(bt, entry >> KIND_BITS);
		uint64_t version = atomic_load_explicit(&b->version, memory_order_relaxed);

		if ((entry & KIND_MASK) == REFERENCE_VERSION)
			memcpy(rv.versions + 8 * versions++, &version, sizeof(version));
	}
	bool sound = true;

	for (unsigned i = 0; i < rv.shape.holds; i++)
		sound &= is_sound(s, block_at(bt, load_u32(rv.holds + 4 * i)), now);
	lock_release(&bt->lock);
	return sound && !reference_is_over(s, now, rv.followed - REFERENCES_HEADER);
}

/* ---- inheriting ---- */

struct heir {
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
		enum reference_kind kind = (enum reference_kind)(entry & KIND_MASK);

		if (take(s, block_at(bt, entry >> KIND_BITS), kind) != STORE_OK)
			return false;
		store_u32(heir->to.followed + 4 * heir->followed++, entry);
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
		stir(s, b);
		store_u32(heir->to.holds + 4 * heir->holds++, number);
	}
	return true;
}

bool reference_inherit(struct store *s, uint32_t reference, uint32_t old, uint32_t added)
{
	struct block_table *bt = &s->references.blocks;
	struct heir heir = { .to = references_of(s, reference) };

	lock_acquire(&bt->lock);
	bool inherited = (!is_referring(s, old) || inherit_from(s, &heir, old)) &&
	                 (!added || !is_referring(s, added) || inherit_from(s, &heir, added));

	lock_release(&bt->lock);
	return inherited;
}

/* ---- one life, other items ---- */

/* What depends on its own version means the one that it makes. */
static void note_own_version(struct store *s, uint32_t reference, const struct block *own,
                             bool changes)
{
	if (!is_referring(s, reference))
		return;
	struct reference_view rv = references_of(s, reference);
	uint64_t next = atomic_load_explicit(&((struct block *)own)->version, memory_order_relaxed) +
	                changes;
	unsigned versions = 0;

	for (unsigned i = 0; i < rv.shape.followed; i++) {
		uint32_t entry = load_u32(rv.followed + 4 * i);

		if ((entry & KIND_MASK) != REFERENCE_VERSION)
			continue;
		if (block_at(&s->references.blocks, entry >> KIND_BITS) == own)
			memcpy(rv.versions + 8 * versions, &next, sizeof(next));
		versions++;
	}
}

bool reference_replace(struct store_thread *st, uint64_t hash, uint32_t old, uint32_t reference,
                       bool changes)
{
	struct store *s = st->store;
	struct block_table *bt = &s->references.blocks;
	bool replaced = true;

	lock_acquire(&bt->lock);
	struct block *b = block_find(bt, hash, old);

	if (b) {
		bool held = block_state(b) & BLOCK_PROTECTED;

		replaced = !held || may_hold(s, held_cost(s, old), held_cost(s, reference));
		if (replaced) {
			if (held)
				unprotect(st, b, false);
			note_own_version(s, reference, b, changes);
			atomic_store_explicit(&b->expiry,
			                      slab_get_expiry(&s->slab,
			                                      slab_class_of(&s->slab, reference),
			                                      reference),
			                      memory_order_relaxed);
			/* Chained before the item can be found: who finds it then looks behind it. */
			block_change(b, BLOCK_CHAINED, is_chained(s, reference) ? BLOCK_CHAINED : 0);
			atomic_store_explicit(&b->checked, 0, memory_order_relaxed);
			atomic_store_explicit(&b->item, reference, memory_order_release);
			if (held)
				protect(s, b);
			stir(s, b);
		}
	}
	lock_release(&bt->lock);
	if (replaced)
		atomic_fetch_or_explicit(&chunk_item(s, reference)->word, b ? WORD_REFERRED : 0,
		                         memory_order_relaxed);
	return replaced;
}

void reference_changed(struct store *s, uint64_t hash, uint32_t reference)
{
	struct block_table *bt = &s->references.blocks;

	lock_acquire(&bt->lock);
	struct block *b = block_find(bt, hash, reference);

	if (b) {
		atomic_fetch_add_explicit(&b->version, 1, memory_order_release);
		if (b->versions)
			note_event(s, b->versions);
	}
	lock_release(&bt->lock);
}

void reference_touched(struct store *s, uint64_t hash, uint32_t reference, uint32_t expiry)
{
	struct block_table *bt = &s->references.blocks;

	lock_acquire(&bt->lock);
	struct block *b = block_find(bt, hash, reference);

	if (b)
		atomic_store_explicit(&b->expiry, expiry, memory_order_relaxed);
	lock_release(&bt->lock);
}

/* ---- beginning and end ---- */

static void count_references(struct store *s, uint32_t reference, int by)
{
	struct references *rf = &s->references;
	struct reference_view rv = references_of(s, reference);
	unsigned weak = first_is_weak(&rv);

	atomic_fetch_add_explicit(&slab_page(&s->slab, reference)->referring_count, (uint16_t)by,
	                          memory_order_relaxed);
	atomic_fetch_add_explicit(&rf->weak_count, (uint64_t)((int64_t)weak * by), memory_order_relaxed);
	atomic_fetch_add_explicit(&rf->dependency_count,
	                          (uint64_t)((int64_t)(rv.shape.followed - weak) * by),
	                          memory_order_relaxed);
	atomic_fetch_add_explicit(&rf->hold_count, (uint64_t)((int64_t)rv.shape.holds * by),
	                          memory_order_relaxed);
}

void reference_published(struct store *s, uint32_t reference)
{
	count_references(s, reference, 1);
}

void reference_moved(struct store *s, uint32_t to, uint32_t from)
{
	count_references(s, to, 1);
	count_references(s, from, -1);
}

void reference_flushed(struct store *s)
{
	note_event(s, 0);
}

void reference_end(struct store_thread *st, uint64_t hash, uint32_t reference)
{
	struct store *s = st->store;
	struct block_table *bt = &s->references.blocks;

	lock_acquire(&bt->lock);
	struct block *b = block_find(bt, hash, reference);

	if (b) {
		unprotect(st, b, false);
		forget_release(s, b);
		block_end(bt, b);
		if (b->references > b->holds)
			note_event(s, b->references - b->holds);
	}
	lock_release(&bt->lock);
}

static void give_holds(struct store_thread *st, const struct reference_view *rv, bool collected)
{
	struct block_table *bt = &st->store->references.blocks;

	for (unsigned i = 0; i < rv->shape.holds; i++) {
		uint32_t number = load_u32(rv->holds + 4 * i);

		store_u32(rv->holds + 4 * i, 0);
		if (number)
			give_hold(st, block_at(bt, number), collected);
	}
}

void reference_retired(struct store_thread *st, uint32_t reference, bool collected)
{
	struct store *s = st->store;
	struct block_table *bt = &s->references.blocks;
	struct reference_view rv = references_of(s, reference);

	count_references(s, reference, -1);
	if (rv.shape.holds == 0)
		return;
	/* The rest is given back with the item's memory: readers of this turn follow it. */
	ring_room(st, REFERENCES_MAX);
	lock_acquire(&bt->lock);
	give_holds(st, &rv, collected);
	lock_release(&bt->lock);
}

void reference_release(struct store_thread *st, uint32_t reference)
{
	struct store *s = st->store;
	struct block_table *bt = &s->references.blocks;
	struct reference_view rv = references_of(s, reference);

	ring_room(st, REFERENCES_MAX);
	lock_acquire(&bt->lock);
	give_holds(st, &rv, false);
	for (unsigned i = 0; i < rv.shape.followed; i++) {
		uint32_t entry = load_u32(rv.followed + 4 * i);

		store_u32(rv.followed + 4 * i, 0);
		if (entry >> KIND_BITS)
			give(s, block_at(bt, entry >> KIND_BITS),
			     (enum reference_kind)(entry & KIND_MASK));
	}
	lock_release(&bt->lock);
}

/* ---- looking ---- */

bool store_view_references(const struct store_thread *st, const struct item_view *view,
                           struct reference_info *info)
{
	struct store *s = st->store;
	struct block_table *bt = &s->references.blocks;
	uint32_t word = item_word(view->item);

	*info = (struct reference_info){ 0 };
	if (word & WORD_REFERRING) {
		struct reference_view rv = references_of(s, view->reference);

		info->weak = first_is_weak(&rv);
		info->dependencies = (uint8_t)(rv.shape.followed - info->weak);
		info->holds = rv.shape.holds;
	}
	if (word & WORD_REFERRED) {
		lock_acquire(&bt->lock);
		const struct block *b = block_find(bt, item_hash(s, view->reference), view->reference);

		info->held_by = b ? b->holds : 0;
		info->released = b && (block_state(b) & BLOCK_RELEASED);
		lock_release(&bt->lock);
	}
	return word & (WORD_REFERRING | WORD_REFERRED);
}

static void count_collector(struct references *rf, struct reference_counters *n)
{
	lock_acquire(&rf->blocks.lock);
	n->collector_runs = rf->collector.runs;
	n->collector_entries = rf->collector.entries;
	n->collector_bytes = rf->collector.bytes;
	lock_release(&rf->blocks.lock);
}

void store_reference_counters(const struct store *s, struct reference_counters *n)
{
	struct references *rf = (struct references *)&s->references;

	*n = (struct reference_counters){
		.weak_references = atomic_load_explicit(&rf->weak_count, memory_order_relaxed),
		.dependencies = atomic_load_explicit(&rf->dependency_count, memory_order_relaxed),
		.holds = atomic_load_explicit(&rf->hold_count, memory_order_relaxed),
		.control_blocks = atomic_load_explicit(&rf->blocks.block_count, memory_order_relaxed),
		.held_bytes = atomic_load_explicit(&rf->held_bytes, memory_order_relaxed),
		.held_limit_bytes = reference_held_limit(s),
		.dead_reclaimed = atomic_load_explicit(&rf->dead_reclaimed, memory_order_relaxed),
	};
	count_collector(rf, n);
}

/* ---- checking ---- */

void reference_check(struct store *s)
{
	struct block_table *bt = &s->references.blocks;
	uint64_t held = 0;
	uint32_t released = 0;
	uint64_t parked = 0;

	block_table_check(bt);
	for (uint32_t number = 0; number < block_end_number(bt); number++) {
		if (!block_is_used(bt, number))
			continue;
		const struct block *b = block_at(bt, number);
		uint32_t state = block_state(b);

		if (state & BLOCK_DEAD) {
			assert(!(state & (BLOCK_PROTECTED | BLOCK_RELEASED | BLOCK_PARKED)));
			continue;
		}
		assert(item_kind(chunk_item(s, b->item)) == CHUNK_ITEM);
		assert(item_word(chunk_item(s, b->item)) & WORD_REFERRED);
		assert(!(state & BLOCK_CHAINED) == !is_chained(s, b->item));
		assert(b->expiry == slab_get_expiry(&s->slab, slab_class_of(&s->slab, b->item), b->item));
		assert((b->holds > 0) == ((state & (BLOCK_PROTECTED | BLOCK_RELEASED)) != 0));
		released += (state & BLOCK_RELEASED) != 0;
		parked += (state & BLOCK_PARKED) != 0;
		assert(!(state & BLOCK_PARKED) || (state & BLOCK_PROTECTED));
		if (state & BLOCK_PROTECTED)
			held += held_cost(s, b->item);
	}
	assert(held == s->references.held_bytes);
	assert(released == s->references.released_count);
	assert(parked == s->references.parked_count);
}
