/*
 * store.h: the cache itself. Keys to items, inside one budget; no sockets, no requests, no clock.
 *
 * A thread works through its own handle (struct store_thread) and in turns:
 *
 *     store_enter(st, now)          begin a turn: items it sees stay readable until store_leave
 *       store_prefetch_bucket(...)    for a batch of keys, then
 *       store_prefetch_item(...)      for the same keys, then
 *       store_get / store_reserve .. store_commit / store_delete / ...   one by one
 *     store_leave(st)               end of the turn; no pointer into the store may survive it,
 *                                   except reservations and pinned items
 *
 * A value comes in by reserve, fill, commit. Between reserve and commit the item is in no index and
 * no queue, so a client that dies half-way costs a store_abort and nothing else.
 *
 * Any call that allocates (reserve, commit, arithmetic, touch) may end the validity of every
 * struct item_view taken before it in the same turn: use a view before the next such call, or pin.
 *
 * Times are seconds since the server's start ("now"), 32 bits; 0 as an expiry means never.
 */
#ifndef LARDER_STORE_H
#define LARDER_STORE_H

#include "store/base/base.h"
#include "store/budget.h"

struct store;
struct store_thread;
struct policy_ops;

#define EXPIRY_NEVER 0u

/* Up to where limit_max_bytes is for free: above it references are coarser, and so are the steps of
 * chunk sizes, which small items pay for. */
#define STORE_FINE_LIMIT_BYTES ((16ULL << 30) - (1u << 20))
/* The most that there may be: with chunks in steps of 256 bytes, whose slack one byte still tells. */
#define STORE_LIMIT_MOST_BYTES ((512ULL << 30) - (1u << 20))

/* What is to be served from memory as often as can be: requests, or bytes. */
enum store_goal { GOAL_OBJECTS, GOAL_BYTES };

struct store_options {
	uint64_t limit_bytes;          /* -m: everything the process may use */
	uint64_t limit_max_bytes;      /* how far store_set_limit may raise it, if more than now; 0: chosen */
	uint32_t item_limit_bytes;     /* -I: header, key and value of one item */
	uint32_t chunk_min_bytes;      /* -n: smallest space for key, value and flags */
	double growth_factor;          /* -f: between size classes above the 8-byte steps */
	unsigned thread_count;         /* handles that store_thread_get may return */
	bool evict;                    /* false: -M, refuse instead */
	uint32_t held_limit_percent;   /* of the limit, that held entries may take */
	const struct policy_ops *policy; /* the one to begin with */
	bool policy_may_change;        /* see store_change_policy */
	bool policy_follows_curves;    /* the store changes it by itself (curve.h) */
	enum store_goal goal;          /* weighs pages when they move between classes */
	uint64_t hash_seed;            /* makes the hash secret; a random number in production */
	uint32_t curve_one_in;         /* keys sampled for miss-ratio curves (curve.h); 0: chosen, CURVE_NONE */
	uint64_t curve_bytes;          /* what the curves may take; 0: chosen */
	/* Microseconds that only go forward: by them is bounded what is tried before a store is refused
	 * (last_resort.c); NULL: it is not. */
	uint64_t (*clock_us)(void);
};

#define CURVE_NONE UINT32_MAX

/* What a reader sees of an item. Valid until the turn ends or the next allocating call. */
struct item_view {
	uint32_t reference;    /* chunk of the item */
	uint32_t class_index;
	struct item *item;
	const char *key;
	const char *value;     /* first contiguous part */
	uint32_t part_length;  /* bytes at `value`; less than value_length: chained, see value_cursor */
	uint32_t value_length;
	uint32_t client_flags;
	uint32_t expiry;       /* absolute, EXPIRY_NEVER for none */
	uint8_t key_length;
	uint8_t marks;         /* ITEM_KEY_BINARY | ITEM_STALE | ITEM_WON at the time of the look-up */
	uint8_t age;           /* age byte before this look-up, see store_view_idle_seconds */
	bool fetched;          /* was hit before this look-up */
	uint8_t state;         /* the whole state byte then (policy.h); of store_peek and store_get */
	bool expired;          /* of a look-up that missed: the key was there, but past its time */
	bool weak;             /* a weak reference; the rest is of no meaning if it is not */
	uint8_t target_length;
	const char *target;    /* its target's key */
	uint32_t lead;         /* the store's: the item it leads to, 0 if that is still to be found out */
	struct item *claimed;  /* the item that store_claim means: the reference if it is stale, or its target */
};

/* Marks that the meta protocol keeps with an item. */
#define ITEM_KEY_BINARY 0x01 /* the key came as base64 */
#define ITEM_STALE 0x02      /* invalidated, still readable */
#define ITEM_WON 0x04        /* some client was told to recache it */

/* References between entries (references.md). */
#define REFERENCES_MAX 16u

enum reference_kind {
	REFERENCE_WEAK,    /* the entry stands for the target, whose key is its value */
	REFERENCE_LIFE,    /* lives as long as the target */
	REFERENCE_VERSION, /* ... as long as the target's value does not change */
	REFERENCE_HOLD,    /* keeps the target from being evicted */
};

/* What an entry that is stored shall refer to, at most REFERENCES_MAX targets. */
struct reference_list {
	uint8_t count;
	struct {
		const char *key; /* of REFERENCE_WEAK: NULL, the value is the key */
		uint8_t key_length;
		uint8_t kind; /* REFERENCE_WEAK at most once, and first */
	} targets[REFERENCES_MAX];
};

/* How many references an entry has: those that it lives by (weak, dependencies), of them those of a
 * version, and those by which it keeps others. Four bytes, so that all of it is looked at at once. */
struct reference_shape {
	uint8_t followed;
	uint8_t versions;
	uint8_t holds;
	bool weak; /* the first of them is; not kept with the entry */
};
struct reference_shape reference_list_shape(const struct reference_list *list);

struct item_spec {
	const char *key;
	uint64_t hash;
	uint8_t key_length;
	uint8_t marks;
	uint32_t client_flags;
	uint32_t expiry;       /* absolute, EXPIRY_NEVER for none; in the past: stored as expired */
	uint32_t value_length;
	uint64_t explicit_cas; /* 0: the store chooses */
	bool at_hand;          /* all of the value, which no client keeps the store waiting for */
	struct reference_shape references; /* room for them; the commit names them */
};

/* An item being filled. May live over many turns; ends with store_commit or store_abort. */
struct reservation {
	uint64_t hash;
	uint32_t head;      /* chunk of the item, 0: none */
	uint32_t current;   /* chunk that is being filled */
	char *next;         /* where the next byte goes */
	uint32_t part_room; /* bytes that still fit at `next` */
	uint32_t remaining; /* bytes of the value still to come */
	uint32_t expiry;
	uint32_t value_length;
	uint32_t pending_bytes; /* counted against the share of unfinished values */
	bool at_hand;           /* of the item_spec */
};

enum store_mode { STORE_SET, STORE_ADD, STORE_REPLACE, STORE_APPEND, STORE_PREPEND };

enum store_result {
	STORE_OK,         /* stored, touched, deleted */
	STORE_NOT_STORED, /* add of a present key; replace, append, prepend of an absent one */
	STORE_EXISTS,     /* the CAS unique given is not the item's */
	STORE_NOT_FOUND,  /* cas, touch, delete, arithmetic of an absent key */
	STORE_TOO_LARGE,
	STORE_NO_MEMORY,
	STORE_NON_NUMERIC,
	STORE_HELD_LIMIT,          /* more bytes would be held than may be */
	STORE_TOO_MANY_REFERENCES, /* append or prepend: more than REFERENCES_MAX in all */
};

/* How a commit meets what is there. */
struct commit_args {
	enum store_mode mode;
	bool has_compare;          /* compare_cas counts */
	uint64_t compare_cas;
	bool stale_on_older;       /* meta I: a compare_cas older than the item's stores as stale */
	bool vivify;               /* append or prepend of an absent key stores it (ms with N) */
	uint32_t vivify_expiry;
	/* What it shall refer to, NULL for nothing: as many as the spec made room for. With append and
	 * prepend, in addition to what the old item refers to. */
	const struct reference_list *references;
	/* out: */
	uint64_t cas;              /* of what was stored */
};

struct arithmetic_args {
	uint64_t delta;
	bool decrement;
	bool has_compare;
	uint64_t compare_cas;
	uint64_t explicit_cas;
	bool set_expiry;
	uint32_t expiry;
	/* out: */
	uint64_t result;
	uint64_t cas;
	uint32_t new_expiry;
	char text[24]; /* the stored value; at least as long as the old one, padded with spaces */
	uint32_t text_length;
};

struct delete_args {
	bool has_compare;
	uint64_t compare_cas;
	bool invalidate;       /* meta I: mark stale and give it a new CAS instead of deleting */
	bool clear_value;      /* meta x: keep the item, empty its value and client flags */
	uint64_t explicit_cas; /* with invalidate or clear_value */
	bool set_expiry;       /* with invalidate: T */
	uint32_t expiry;
};

/* ---- life; the thread that owns the store ---- */

/* store_init: errors: STATUS_NO_MEMORY when the limit is too small to hold anything,
 * STATUS_SYSTEM when address space cannot be reserved. The options are copied. */
enum status store_init(struct store **out, const struct store_options *options);
void store_fini(struct store *s); /* no thread may be in a turn */
struct store_thread *store_thread_get(struct store *s, unsigned index);
struct budget *store_budget(struct store *s);

/* Why an item ended. */
enum ending {
	ENDED_DELETED,
	ENDED_REPLACED,
	ENDED_EVICTED,
	ENDED_EXPIRED,
	ENDED_FLUSHED,
	ENDED_DEAD,        /* a weak reference, whose target ended */
	ENDED_INVALIDATED, /* by what it depended on */
	ENDED_COLLECTED,   /* evicted, though it was held: the collector released it */
	ENDED_MOVED,       /* it did not: the item lives on in another chunk */
};

/* store_on_end: `seen` is called for each item that the store itself ends, or finds over when it is
 * overwritten, by the thread that does, with its bucket locked: it must be quick and not call the store.
 * NULL: nobody looks, which costs one load for each. `context` is set once and for all. Any thread. */
void store_on_end(struct store *s,
                  void (*seen)(void *context, const struct item_view *view, enum ending ending),
                  void *context);

/* ---- any thread, through its own handle ---- */
void store_enter(struct store_thread *st, uint32_t now);
void store_leave(struct store_thread *st);
uint32_t store_now(const struct store_thread *st);

uint64_t store_hash(const struct store_thread *st, const char *key, size_t key_length);
void store_prefetch_bucket(const struct store_thread *st, uint64_t hash);
void store_prefetch_item(const struct store_thread *st, uint64_t hash);
/* Where weak references are expected: store_prefetch_entry in the place of store_prefetch_item, and some
 * requests later store_prefetch_target, both in one turn. store_take_follows: how many weak references this
 * thread followed since it was asked before. */
struct look_ahead {
	uint32_t reference; /* of the entry, 0: no more to fetch */
	uint32_t sight;     /* when that was found */
};
void store_prefetch_entry(const struct store_thread *st, uint64_t hash, struct look_ahead *ahead);
void store_prefetch_target(const struct store_thread *st, const struct look_ahead *ahead);
unsigned store_take_follows(struct store_thread *st);

/* store_get: looks up and counts as an access (policy, last access, hit counters of the class).
 * store_peek: looks up without leaving a trace (meta debug, mg without bump). */
bool store_get(struct store_thread *st, const char *key, size_t key_length, uint64_t hash,
               struct item_view *view);
bool store_peek(struct store_thread *st, const char *key, size_t key_length, uint64_t hash,
                struct item_view *view);
/* store_get goes on from a weak reference to its target (a miss if there is none); then value, client
 * flags, CAS unique and marks are the target's, the rest is the reference's own. The others show the
 * reference itself: store_get_entry counts like store_get, and store_follow goes on from either. With
 * `counts` that is an access of the target. */
bool store_get_entry(struct store_thread *st, const char *key, size_t key_length, uint64_t hash,
                     struct item_view *view);
bool store_follow(struct store_thread *st, struct item_view *view, bool counts);

uint64_t store_view_cas(const struct store_thread *st, const struct item_view *view);
/* store_view_references: of an entry itself (see store_follow). False: it neither refers to others nor
 * do others to it. */
struct reference_info {
	bool weak;
	uint8_t dependencies;
	uint8_t holds;
	uint32_t held_by;
	bool released; /* held, but not protected any more: only by others that are only held so */
};
bool store_view_references(const struct store_thread *st, const struct item_view *view,
                           struct reference_info *info);
/* Header, key and value: what the item counts for in the bytes statistic. */
uint32_t store_view_bytes(const struct item_view *view);
/* Seconds since the last access before this one; exact below a minute, then in growing steps. */
uint32_t store_view_idle_seconds(const struct store_thread *st, const struct item_view *view);
/* store_claim: sets ITEM_WON; true for the one caller that did it. */
bool store_claim(struct store_thread *st, const struct item_view *view);

/* Parts of a chained value, in order. */
struct value_cursor {
	const char *part;
	uint32_t part_length;
	uint32_t next_reference; /* 0: the last part */
	uint32_t remaining;      /* bytes after this part */
};
void store_value_first(const struct item_view *view, const struct store_thread *st,
                       struct value_cursor *c);
bool store_value_next(const struct store_thread *st, struct value_cursor *c);

/* store_pin: keeps an item's memory after the turn (to send a large value from it). Only for items
 * that store_can_pin; every pin must be given back, by any thread's handle. Pinned memory is counted. */
bool store_can_pin(const struct store_thread *st, const struct item_view *view);
bool store_pin(struct store_thread *st, const struct item_view *view); /* false: limit of pinned memory */
void store_unpin(struct store_thread *st, uint32_t reference);

/* store_reserve: takes memory for an item, evicting if it must.
 * Errors: STATUS_TOO_LARGE, STATUS_NO_MEMORY. Large values that are not complete may take half of the
 * budget in all: clients that send halves of values and no more cannot drive everything else out. */
enum status store_reserve(struct store_thread *st, const struct item_spec *spec,
                          struct reservation *rv);
/* reservation_room: where the next bytes of the value go. NULL when the value is complete, or when no
 * memory is left for its next part (rv->remaining tells: the caller aborts and swallows the rest).
 * Parts of a large value are taken as its bytes arrive; this is an allocating call. */
char *reservation_room(struct store_thread *st, struct reservation *rv, uint32_t *room);
void reservation_advance(struct store_thread *st, struct reservation *rv, uint32_t bytes);
/* reservation_write: copies the whole of `bytes` in; false when memory ran out. */
bool reservation_write(struct store_thread *st, struct reservation *rv, const char *data,
                       uint32_t bytes);
/* reservation_value: the value of a complete reservation that is no longer than a key. */
const char *reservation_value(const struct reservation *rv);
/* store_commit ends the reservation whatever the result. With has_compare: NOT_FOUND or EXISTS. */
enum store_result store_commit(struct store_thread *st, struct reservation *rv,
                               struct commit_args *args);
void store_abort(struct store_thread *st, struct reservation *rv);

/* store_set: reserve, write, commit in one, for a value that is at hand as a whole. */
enum store_result store_set(struct store_thread *st, const struct item_spec *spec, const char *value,
                            struct commit_args *args);

enum store_result store_delete(struct store_thread *st, const char *key, size_t key_length,
                               uint64_t hash, const struct delete_args *args);
/* store_touch: sets the expiry; the CAS unique stays. `view` (may be NULL) is the item after it. */
enum store_result store_touch(struct store_thread *st, const char *key, size_t key_length,
                              uint64_t hash, uint32_t expiry, struct item_view *view);
enum store_result store_arithmetic(struct store_thread *st, const char *key, size_t key_length,
                                   uint64_t hash, struct arithmetic_args *args);
/* store_flush: every item stored so far is gone at once; the memory follows in the background. */
void store_flush(struct store_thread *st);

/* ---- housekeeping: the main thread, through a handle of its own ---- */

/* store_maintain: one bounded slice of background work (expiry, flushed items, index shrinking,
 * giving memory back). Returns true while more is waiting; call it again soon, else in 100 ms. */
bool store_maintain(struct store_thread *st, uint32_t now);
/* store_set_limit: a new budget. Memory over it is evicted and given back by store_maintain; where nothing
 * may be evicted, pages that are empty. Errors, and then it stays as it was: STATUS_TOO_LARGE over
 * store_limit_max, STATUS_NO_MEMORY under store_limit_least. */
enum status store_set_limit(struct store_thread *st, uint64_t limit_bytes);
uint64_t store_limit_max(const struct store_thread *st); /* how far it may be raised */
/* store_limit_reach: what limit_max_bytes costs nothing beside this limit: references are no coarser for it. */
uint64_t store_limit_reach(uint64_t limit_bytes);
/* store_limit_least: how far it may be lowered now: to what cannot be given back (the program, threads,
 * connections, tables) and a few pages, or, where nothing may be evicted, to what is in use and a little
 * for connections. Never above what it is. */
uint64_t store_limit_least(const struct store_thread *st);
/* store_change_policy: another decides from here on who is evicted. Pages change to it one by one, in
 * store_maintain; nothing is evicted for it but what makes room for its bytes beside each chunk, and its order begins with
 * how often each item was read, not when. False where the store was not told that this may happen, and
 * while an earlier change is not through. store_running_policy: any thread. */
bool store_change_policy(struct store_thread *st, const struct policy_ops *policy);
const struct policy_ops *store_running_policy(const struct store *s);
/* store_release_bytes: another account needs room; evicts at least that much if it can. */
bool store_release_bytes(struct store_thread *st, uint64_t bytes);

/* The collector of entries that hold each other: any thread, also outside a turn, and several at once.
 * store_collect_step does a bounded step of a run (it begins one when enough holds were made or one was
 * asked for) and never waits for a thread that has what it needs. store_collect_begin asks for a run that spares nothing but
 * what was used since the last; store_collect_done says whether it is through, and what it released. */
enum collect_step {
	COLLECT_STEP_NONE, /* nothing is left to do */
	COLLECT_STEP_MORE,
	COLLECT_STEP_BUSY, /* nothing was done but to make room for it, or somebody else has what it needs, who may
	                    * have lost its core: a good moment to do something else first */
};
enum collect_step store_collect_step(struct store_thread *st);
uint64_t store_collect_begin(struct store_thread *st);
bool store_collect_done(struct store_thread *st, uint64_t run, uint64_t *entries, uint64_t *bytes);
void store_collect_enable(struct store_thread *st, bool enabled);
void store_collect_threshold(struct store_thread *st, uint64_t holds);

/* ---- looking: any thread, in a turn ---- */

/* Walks every live item, page by page; start with {0}. Looks at `max_chunks` at most, most of which are
 * items, calls `visit` for those that live, and returns false when the walk is over. Items stored
 * meanwhile may or may not be seen; one that is replaced meanwhile may be seen twice. */
struct store_walk {
	uint32_t page;
	uint32_t chunk;
};
bool store_walk(struct store_thread *st, struct store_walk *walk, size_t max_chunks,
                void (*visit)(void *context, const struct item_view *view), void *context);

/* Counters that the store keeps; the sums over all threads. */
struct store_counters {
	uint64_t curr_items;
	uint64_t total_items;
	uint64_t bytes;             /* headers, keys and values of live items, as memcached counts */
	uint64_t evictions;
	uint64_t evicted_unfetched;
	uint64_t evicted_active;
	uint64_t expired;           /* reclaimed after their time */
	uint64_t expired_unfetched;
	uint64_t flushed;
	uint64_t page_moves;        /* pages taken from one class for another */
	uint64_t policy_changes;
	uint64_t no_memory;         /* reservations refused */
	uint64_t hash_bytes;
	uint64_t hash_buckets;
	uint64_t arena_bytes;       /* pages in use */
	uint64_t pinned_bytes;
};
void store_counters_sum(const struct store *s, struct store_counters *sum);

struct reference_counters {
	uint64_t weak_references;
	uint64_t dependencies;
	uint64_t holds;
	uint64_t control_blocks;
	uint64_t held_bytes;
	uint64_t held_limit_bytes;
	uint64_t dead_reclaimed;
	uint64_t collector_runs;
	uint64_t collector_entries; /* that lost their protection */
	uint64_t collector_bytes;
	uint64_t last_resort_longest_us; /* that a store swept and collected before it was refused, or not */
};
void store_reference_counters(const struct store *s, struct reference_counters *n);

struct store_class_info {
	uint32_t chunk_size;
	uint32_t chunks_per_page;
	uint64_t total_pages;
	uint64_t total_chunks;
	uint64_t used_chunks;
	uint64_t free_chunks;
	uint64_t items;
	uint64_t mem_requested;
	uint64_t evicted;
	uint64_t evicted_unfetched;
	uint64_t expired;
	uint64_t expired_unfetched;
	uint64_t out_of_memory;
	uint64_t get_hits;
	uint64_t cmd_set;
	uint64_t delete_hits;
	uint64_t incr_hits;
	uint64_t decr_hits;
	uint64_t cas_hits;
	uint64_t cas_badval;
	uint64_t touch_hits;
	uint32_t age_seconds;       /* idle time of the next victim */
};
unsigned store_class_count(const struct store *s); /* classes are 1 .. count, as clients see them */
bool store_class_info(struct store *s, unsigned class_number, struct store_class_info *info);

/* store_check: asserts every invariant of every structure; no other thread may be active. */
void store_check(struct store *s);

#endif
