/*
 * internal.h: the inside of struct store, shared by the files of this directory.
 *
 * Life of a chunk:
 *
 *   page free list --slab_take--> stock (a thread's) --alloc--> DETACHED: being filled
 *        ^                          ^                              | commit, bucket locked
 *        |                          |                              v
 *        +------- slab_put ---------+-- limbo (a thread's) <-- ITEM: published, in policy queue
 *                                       DETACHED: removed,         delete, overwrite, evict,
 *                                       readers may remain         expire, flush
 *
 * A chunk leaves the index under its bucket's lock, at which moment it becomes DETACHED; it leaves
 * the policy's queue and is reused only after the grace period (epoch.h), under its class's lock.
 */
#ifndef LARDER_STORE_INTERNAL_H
#define LARDER_STORE_INTERNAL_H

#include "eviction/mrc_ring.h"
#include "eviction/policy.h"
#include "store/base/epoch.h"
#include "store/base/hash.h"
#include "store/base/lock.h"
#include "store/budget.h"
#include "store/curve.h"
#include "store/index.h"
#include "store/item.h"
#include "store/reference.h"
#include "store/slab.h"
#include "store/store.h"

#define LIMIT_MIN_BYTES (1u << 20)
#define STOCK_CHUNKS 64u
#define STOCK_BYTES 8192u     /* a stock holds less of large chunks: one at least */
#define LIMBO_CHUNKS 4096u
/* Room that every operation finds: what it removes, what was flushed in its bucket and in those that
 * it splits. */
#define LIMBO_MARGIN 2048u
/* What a thread keeps there for its own next allocations, though it could be freed. */
#define LIMBO_KEPT_CHUNKS 512u
#define LIMBO_KEPT_BYTES (64u << 10)
#define LIMBO_MOVED 0x80000000u /* its item lives on elsewhere, references and all */
#define RING_ENTRIES 512u
#define RING_HIT 0x80000000u
#define COUNT_SLACK 32        /* entries a thread adds before the index hears of it */

_Static_assert((INDEX_GROW_STEPS_MAX + 2) * INDEX_BUCKET_ENTRIES_MAX < LIMBO_MARGIN,
               "limbo takes what one operation removes");

struct stock {
	uint8_t count;
	uint8_t evictions; /* batches since ages were compared with other classes */
	uint32_t references[STOCK_CHUNKS];
};

/* Chunks removed from the index, oldest first, each with the epoch of its removal. */
struct limbo {
	uint32_t first;
	uint32_t count;
	uint32_t bytes;
	uint32_t safe; /* what epoch_min was when it was last asked, low half */
	uint32_t references[LIMBO_CHUNKS];
	uint32_t stamps[LIMBO_CHUNKS]; /* low half of the epoch */
};

/* What happened to chunks, on its way to the policy. One producer; consumers hold the lock. */
struct ring {
	_Atomic uint32_t tail; /* producer */
	uint32_t entries[RING_ENTRIES];
	_Alignas(CACHE_LINE_BYTES) struct lock lock;
	_Atomic uint32_t head; /* under lock */
};

/* Counters have one writer each, so a relaxed load and store make an increment. */
typedef _Atomic uint64_t counter;

/* X(name): kept per class and thread; items and bytes go below zero in one thread's share */
#define CLASS_COUNTERS(X)                                                                          \
	X(items) X(segments) X(bytes) X(evicted) X(evicted_unfetched) X(evicted_active) X(expired)             \
	X(expired_unfetched) X(flushed) X(out_of_memory) X(get_hits) X(cmd_set) X(delete_hits)     \
	X(incr_hits) X(decr_hits) X(cas_hits) X(cas_badval) X(touch_hits) X(ghost_hits)

struct class_counters {
#define X(name) counter name;
	CLASS_COUNTERS(X)
#undef X
};

static inline void counter_add_one(counter *c)
{
	atomic_store_explicit(c, atomic_load_explicit(c, memory_order_relaxed) + 1, memory_order_relaxed);
}

#define COUNT(st, class_index, name, n)                                                            \
	do {                                                                                       \
		counter *counted = &(st)->classes[class_index].name;                               \
		atomic_store_explicit(counted,                                                     \
		                      atomic_load_explicit(counted, memory_order_relaxed) +        \
		                              (uint64_t)(n),                                       \
		                      memory_order_relaxed);                                       \
	} while (0)

/* A thread's allowance, see last_resort.c. */
struct last_resort {
	uint64_t left_us; /* when it was last used */
	uint64_t ended_us;
	uint64_t begun_us;
};

struct store_thread {
	/* const after init */
	_Alignas(CACHE_LINE_BYTES) struct store *store;
	unsigned slot;
	/* its thread only */
	uint32_t now;
	int32_t count_delta;     /* entries added and not yet told to the index */
	uint32_t sight;          /* counts safe points, see sight_begin */
	uint32_t follows;        /* of weak references, see store_take_follows */
	uint32_t refused_second; /* the last in which there was no memory after all patience; 0: none */
	struct last_resort last_resort;
	uint32_t drain_seen;     /* store->drain_generation when the stocks were last looked through */
	struct limbo limbo;
	struct stock stocks[SLAB_CLASS_MAX];
	/* read by stats */
	counter total_items;
	counter new_keys; /* stored while absent */
	counter misses;   /* of gets and touches */
	counter cool_hits; /* of items that had been read less than STATE_READS_MAX times */
	struct class_counters classes[SLAB_CLASS_MAX];
	/* shared with whoever drains */
	_Atomic int32_t links[SLAB_CLASS_MAX]; /* linked without the lock, less unlinked, ever */
	int32_t links_counted[SLAB_CLASS_MAX]; /* of them; under the class's lock */
	struct ring ring;
	/* shared with the maintaining thread */
	struct mrc_ring samples;
};

/* See curve.h. */
struct curve {
	/* maintaining thread only */
	struct mrc mrc;
	uint64_t most_bytes;
	uint64_t purse_bytes;  /* charged, not yet taken */
	uint64_t event_count;  /* in this second */
	uint64_t lost_count;   /* in this second */
	uint64_t events_to_expect; /* since the requests were counted */
	uint64_t made[MRC_OUTCOMES]; /* requests in all, when they were counted */
	uint64_t dropped;
	uint64_t dropped_before; /* the last reset */
	uint32_t second;
	uint32_t half_second;
	uint32_t advice_second;
	uint32_t busy_until;    /* a second, 0: not busy; see store_curve_is_busy */
	bool was_busy;         /* a second ago */
	uint32_t failed_second; /* it could not start then */
	uint32_t slow_second;   /* the last with a reason for a lower rate */
	uint32_t candidate_looks;
	const struct policy_ops *candidate; /* for the advice */
	double candidate_gain;
	unsigned next_thread;  /* whose ring is drained next */
	/* atomic */
	_Atomic bool reset_wanted;
	_Atomic bool clear_wanted;
	/* under lock, which is held together with no other */
	struct lock lock;
	struct store_curve published;
};

/* Where the pass over referring items stands, see dead.c; under the lock, which is only ever tried. */
struct dead_sweep {
	struct lock lock;
	uint32_t page; /* 0: no pass */
	uint32_t chunk;
	uint32_t begun_second;
	uint64_t events_seen; /* when the pass began */
};

/* Where the change to another policy stands, see switch.c; the maintaining thread only. */
struct policy_switch {
	enum { SWITCH_NONE, SWITCH_GRACE, SWITCH_PAGES } phase;
	uint64_t stamp; /* epoch in which threads were told */
	uint32_t page;  /* next one to change */
};

struct store {
	/* const after init */
	struct store_options options;
	/* atomic, written by the maintaining thread (switch.c) */
	_Atomic(const struct policy_ops *) policy;  /* of keys, and of pages that are taken from here on */
	_Atomic(const struct policy_ops *) settled; /* the same; NULL while pages change from one to another */
	_Atomic bool wants_hits;                    /* a policy of some page does */
	_Atomic uint32_t sample_threshold; /* relaxed; changes a few times in a server's life */
	struct hash_secret secret;
	unsigned thread_count;
	struct store_thread *threads;
	struct region thread_region;
	struct epoch epoch;
	struct budget budget;
	struct index index;
	struct policy_shared policy_shared;
	struct references references;
	struct dead_sweep dead_sweep;
	/* atomic */
	_Alignas(CACHE_LINE_BYTES) _Atomic uint64_t pinned_bytes;
	_Atomic uint64_t pending_bytes; /* chunks of large values that are being filled */
	_Atomic uint64_t page_moves;
	_Atomic uint64_t policy_changes; /* begun */
	_Atomic bool curves_asked; /* a sampled key was read */
	_Atomic uint64_t lost_to_moves; /* items that were read, evicted to vacate pages */
	void (*_Atomic end_seen)(void *context, const struct item_view *view, enum ending ending);
	void *_Atomic end_context;
	_Atomic uint32_t drain_generation; /* counts pages that began to drain */
	_Atomic uint32_t drain_page; /* where a page without held items is looked for next */
	/* maintaining thread only */
	uint32_t maintained_second;
	uint32_t age_page;    /* next page of the pass over the ages, 0: no pass */
	uint32_t expiry_page; /* next page of the pass over the expiries, 0: no pass */
	/* next of the stretches that may become huge pages, of the index, then of the arena */
	size_t collapse_stretch;
	uint32_t collapse_second; /* no pass before it */
	uint32_t collapse_refusals; /* in this pass */
	uint32_t tick;
	struct policy_switch policy_switch;
	struct slab slab;
	struct curve curve;
};

/* ---- switch.c ---- */

void switch_init(struct store *s, const struct policy_ops *policy);
/* switch_step: a slice of a change that is under way; true while more is waiting. In a turn of the
 * maintaining thread; a safe point. */
bool switch_step(struct store_thread *st);

static inline const struct policy_ops *running_policy(const struct store *s)
{
	return atomic_load_explicit(&((struct store *)s)->policy, memory_order_relaxed);
}

/* settled_policy: the one of every page, NULL while there are two: then nobody works on queues without
 * their class's lock. */
static inline const struct policy_ops *settled_policy(const struct store *s)
{
	/* acquire: pairs with the release in switch.c, before which every page became this policy's */
	return atomic_load_explicit(&((struct store *)s)->settled, memory_order_acquire);
}

static inline bool wants_hits(const struct store *s)
{
	return atomic_load_explicit(&((struct store *)s)->wants_hits, memory_order_relaxed);
}

/* ---- store.c ---- */

static inline struct item *chunk_item(const struct store *s, uint32_t reference)
{
	return slab_chunk(&s->slab, reference);
}

static inline bool is_expired(uint32_t expiry, uint32_t now)
{
	return expiry != EXPIRY_NEVER && expiry <= now;
}

static inline uint32_t item_value_length(const struct slab_class *sc, struct item *it, uint32_t word)
{
	if (sc->big)
		return it->value_length;
	return sc->chunk_bytes - ITEM_SMALL_HEADER - item_fields_bytes(it, false, word) -
	       it->key_length - it->slack;
}

static inline uint64_t item_cas(const struct store *s, const struct slab_class *sc,
                                uint32_t reference, struct item *it)
{
	uint32_t word = item_word(it);

	if (unlikely(word & WORD_CAS_GIVEN))
		return item_explicit_cas(it, sc->big, word);
	return slab_cas(&s->slab, reference, word_generation(word));
}

/* entry_is_over: past its expiry, or by what it refers to: nobody sees it any more. In a turn. */
static inline bool entry_is_over(struct store *s, uint32_t reference, uint32_t now)
{
	const struct slab_class *sc = slab_class_of(&s->slab, reference);
	struct item *it = chunk_item(s, reference);
	uint32_t word = item_word(it);

	return is_expired(slab_get_expiry(&s->slab, sc, reference), now) ||
	       (unlikely(word & WORD_REFERRING) &&
	        reference_is_over(s, now, item_references(it, sc->big, word)));
}

/* Header, key and value: what the bytes statistic counts. */
uint32_t item_stored_bytes(const struct slab_class *sc, struct item *it);
uint64_t item_hash(const struct store *s, uint32_t reference);
bool item_has_key(const struct store *s, uint32_t reference, const char *key, size_t key_length);
void view_fill(const struct store *s, uint32_t reference, struct item_view *view);
/* captive_limit: bytes that clients may keep from being evicted, in pinned and unfinished values. */
uint64_t captive_limit(const struct store *s);

/* find_locked: the entry of this key in a locked bucket, expired or not. */
bool find_locked(struct store *s, struct bucket *locked, uint64_t hash, const char *key,
                 size_t key_length, struct index_slot *at, uint32_t *reference);

/* What policies keep of a chunk. */
static inline void prefetch_notes(const struct chunk_space *sp, uint32_t reference)
{
	prefetch_to_write((const void *)space_state(sp, reference));
	if (sp->side_bytes)
		prefetch_to_write(space_side(sp, reference));
}

/* ---- limbo.c ---- */

/* sight_begin: what the thread reads from here on stays readable until the next time. */
static inline void sight_begin(struct store_thread *st)
{
	st->sight++;
	epoch_enter(&st->store->epoch, st->slot);
}
/* quiesce: nothing that this thread read so far is used any more. */
void quiesce(struct store_thread *st);
/* retire: the chunk was just taken out of the index, its bucket is still locked. */
void retire(struct store_thread *st, uint32_t reference, enum ending ending);
/* discard: a chunk that was never published; segments included. */
void discard(struct store_thread *st, uint32_t reference);
/* reclaim: reuses what is past its grace period; a safe point, see quiesce. Returns how many. */
unsigned reclaim(struct store_thread *st);
/* reclaim_for: what this class's stock has room for, and what is more than a thread may keep; a safe
 * point. */
void reclaim_for(struct store_thread *st, struct slab_class *sc);
/* reclaim_room: makes sure that limbo has LIMBO_MARGIN free; a safe point. */
void reclaim_room(struct store_thread *st);

/* ---- rings.c ---- */

void ring_push(struct store_thread *st, uint32_t entry);
/* ring_room: so many can be pushed from here on without waiting for a class's lock. False: they could already. */
bool ring_room(struct store_thread *st, uint32_t entries);
/* drain_ring, drain_rings: what one thread did, or all, reaches the policy. */
void drain_ring(struct store *s, struct ring *ring);
void drain_rings(struct store *s);
/* settle_links: what threads linked and unlinked without the lock is counted; count_links: also that of
 * a policy that is settled no more. */
void count_links(struct store *s, struct slab_class *sc) REQUIRES(sc->lock);
void settle_links(struct store *s, struct slab_class *sc) REQUIRES(sc->lock);
/* note_link: the thread linked (1) or unlinked (-1) a chunk of the class without its lock. */
static inline void note_link(struct store_thread *st, unsigned class_index, int32_t change)
{
	_Atomic int32_t *links = &st->links[class_index];

	/* Its own: nobody else writes it. */
	atomic_store_explicit(links,
	                      (int32_t)((uint32_t)atomic_load_explicit(links, memory_order_relaxed) +
	                                (uint32_t)change),
	                      memory_order_relaxed);
}

/* ---- reclaim.c ---- */

enum removal { REMOVAL_ABSENT, REMOVAL_DONE, REMOVAL_HELD };

/* sleep_outside: lets others run for a moment; a safe point. */
void sleep_outside(struct store_thread *st);
/* alloc_chunk: a DETACHED chunk of the class, 0 when there is none to be had; a safe point. */
uint32_t alloc_chunk(struct store_thread *st, struct slab_class *sc);
/* alloc_spare: the same from what the class has, without taking pages from others; quick to fail. */
uint32_t alloc_spare(struct store_thread *st, struct slab_class *sc);
/* remove_reference: takes this very chunk out of the index, if it is still there. What is evicted
 * leaves a ghost, proven or not. */
bool remove_reference(struct store_thread *st, uint32_t reference, enum ending ending);
enum removal evict_reference(struct store_thread *st, uint32_t reference, uint64_t hash, bool proven);
/* dead_ending: why an item is over by what it refers to, `otherwise` if it is not. over_ending: that, or by
 * its expiry. */
enum ending dead_ending(const struct store_thread *st, uint32_t reference, enum ending otherwise);
enum ending over_ending(const struct store_thread *st, uint32_t reference, enum ending otherwise);
/* sweep_dead (dead.c): removes entries that are over by what they refer to; about max_looks are looked
 * at, they and what is behind them. wanted: a pass begins, however soon after the last. A safe point. Returns how many
 * were removed; *more: the pass is not through. */
unsigned sweep_dead(struct store_thread *st, unsigned max_looks, bool wanted, bool *more);
/* evict_released (collect.c): evicts entries that the collector released. A safe point. Returns how
 * many. */
unsigned evict_released(struct store_thread *st);
/* evict_if_released: this item, which was one since the last safe point, and what it holds, if it is one of them.
 * Returns how many, at most RELEASED_REMOVALS. */
#define RELEASED_REMOVALS 256u
unsigned evict_if_released(struct store_thread *st, uint32_t reference);
/* collect_pace: what stores owe to a run that must be through before more may not be held. A safe point. */
void collect_pace(struct store_thread *st);
/* last_resort_for_memory (last_resort.c): nothing else can be given back: the collector is driven, as long as the thread's
 * allowance lasts. True: it released some. last_resort_for_hold: no more may be held: what is over is swept, then the
 * collector driven, until so many bytes more may be. False: they may not. Safe points, no lock is held; limbo has
 * LIMBO_MARGIN free afterwards. */
bool last_resort_for_memory(struct store_thread *st);
bool last_resort_for_hold(struct store_thread *st, uint64_t bytes);
/* sweep_flushed: gives back what was flushed, of so many buckets, without waiting for the background. False: there is
 * none. A safe point. */
bool sweep_flushed(struct store_thread *st, unsigned max_buckets);
/* evict_batch: up to a stockful of the class's items into limbo. False: the policy names nobody. A safe
 * point. */
bool evict_batch(struct store_thread *st, struct slab_class *sc);
/* feed_index: a page makes room for the index, if it could not grow for want of it: else entries of its buckets
 * would make way for new ones, whatever they are worth. A safe point. */
bool feed_index(struct store_thread *st);
/* feed_policy: a page makes room for the policy's queues, which are to move on and grow in a full cache, too.
 * A safe point. */
bool feed_policy(struct store_thread *st);
/* return_stocks: gives chunks of draining pages back, or all of them. */
void return_stocks(struct store_thread *st, bool all);
/* yield_drained: if pages began to drain since the last call, gives this thread's share of them. */
static inline void yield_drained(struct store_thread *st)
{
	uint32_t generation = atomic_load_explicit(&st->store->drain_generation, memory_order_acquire);

	if (unlikely(generation != st->drain_seen)) {
		st->drain_seen = generation;
		return_stocks(st, false);
	}
}

/* adjust_count: entries came or went; tells the index now and then. No bucket is locked. */
void adjust_count(struct store_thread *st, int32_t delta);
void flush_count(struct store_thread *st);

/* ---- curve.c ---- */

void curve_init(struct store *s);
void curve_fini(struct store *s);
/* curve_feed: makes room for the simulation; a safe point. curve_step: a slice of it; in no turn, since it
 * takes long. Both: the maintaining thread; true while more is waiting. */
bool curve_feed(struct store_thread *st);
bool curve_step(struct store *s, uint32_t now);
/* curve_change_policy: begins anew, with another that runs. curve_better_policy: the advice, NULL for none. */
void curve_change_policy(struct store *s, const struct policy_ops *policy);
const struct policy_ops *curve_better_policy(const struct store *s);
/* Is the key one of those whose requests are simulated? */
static inline bool is_sampled(const struct store_thread *st, uint64_t hash)
{
	uint32_t threshold = atomic_load_explicit(&st->store->sample_threshold, memory_order_relaxed);

	return unlikely(mrc_is_sampled(hash, threshold));
}

/* Of a sampled key. curve_sample: a reference of 0 says that its weight is not known. curve_sample_hit:
 * a get found this item. */
#define COLD __attribute__((cold, noinline))
COLD void curve_sample(struct store_thread *st, enum mrc_kind kind, uint64_t hash, uint32_t reference);
COLD void curve_sample_hit(struct store_thread *st, uint64_t hash, const struct item_view *view);

static inline void sample_request(struct store_thread *st, enum mrc_kind kind, uint64_t hash,
                                  uint32_t reference)
{
	if (is_sampled(st, hash))
		curve_sample(st, kind, hash, reference);
}

/* count_cool: of each hit whose item's state changes with it; the others are hot. */
static inline void count_cool(struct store_thread *st, uint8_t state)
{
	if (likely(state_reads(state) < STATE_READS_MAX))
		counter_add_one(&st->cool_hits);
}

static inline void count_miss(struct store_thread *st, uint64_t hash, bool expired)
{
	counter_add_one(&st->misses);
	if (unlikely(expired))
		sample_request(st, MRC_DELETE, hash, 0);
	sample_request(st, MRC_MISS, hash, 0);
}

/* ---- pages.c ---- */

/* take_page_for: a page of another class is freed if this one would gain more by it; a safe point. */
bool take_page_for(struct store_thread *st, struct slab_class *sc);
/* release_page: empties one page of the class that is idle longest and gives it back; a safe point. */
bool release_page(struct store_thread *st, const struct slab_class *except);
/* release_empty_page: closes a page that holds nothing, of whatever class. */
bool release_empty_page(struct store_thread *st);
/* note_evictions: so many of the class's items were evicted; any thread. */
void note_evictions(struct slab_class *sc, unsigned evicted);

#endif
