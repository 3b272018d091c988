/*
 * reference.h: references between entries (references.md): what an item says of others, and what
 * becomes of it when they end.
 *
 * An item names control blocks (block.h), one for each reference. It is over when one of those that it
 * lives by is; what it holds is not evicted. Everything here but the reading is rare, and under one
 * lock, that of the blocks: entries without references never come here.
 *
 *     store: reference_acquire (any bucket but its own, one at a time) .. reference_confirm (own bucket
 *            locked) .. published
 *     end:   retired (bucket locked): the block is marked, holds fall .. released (grace period over)
 */
#ifndef LARDER_REFERENCE_H
#define LARDER_REFERENCE_H

#include "store/block.h"
#include "store/item.h"
#include "store/store.h"

/* A weak reference that leads to one that leads to one ... so many times at most. */
#define WEAK_STEPS_MAX 8u
#define REFERENCE_EVENTS_FIRST 1u
#define REFERENCE_KIND_MASK 3u
#define REFERENCE_KIND_BITS 2

enum collect_phase {
	COLLECT_IDLE,
	COLLECT_RESET,
	COLLECT_COUNT,
	COLLECT_ROOTS,
	COLLECT_MARK,
	COLLECT_SWEEP,
};

/* Where the collector stands (collect.c); under the blocks' lock. */
struct collector {
	enum collect_phase phase;
	uint32_t cursor; /* next block of the phase */
	uint32_t grey;   /* reached blocks, in a list */
	bool enabled;    /* runs begin by themselves */
	bool full;       /* this run spares nothing for its youth */
	bool full_wanted;
	uint64_t threshold; /* new holds after which a run begins, at least */
	uint64_t new_holds; /* since the last one began */
	uint64_t last_holds; /* that there were when the last one ended */
	uint64_t last_held_bytes; /* the same */
	uint64_t changes;    /* of holds, since a full one began */
	uint32_t asked_second; /* when one was wanted that nothing else asked for */
	uint32_t roots_second;  /* when this run began to look who was used */
	uint32_t looked_second; /* when the last one did */
	uint32_t evict_cursor;
	uint64_t runs;
	uint64_t full_runs;
	uint64_t entries; /* that lost their protection, in all runs, the last, this one */
	uint64_t bytes;
	uint64_t last_entries;
	uint64_t last_bytes;
	uint64_t run_entries;
	uint64_t run_bytes;
};

#define COLLECT_THRESHOLD 700u

struct references {
	/* const after init */
	uint32_t held_limit_percent;
	/* under its own lock, or as it says */
	struct block_table blocks;
	struct collector collector;
	/* atomic */
	_Atomic uint32_t released_count; /* blocks that are RELEASED; written under the lock */
	_Atomic uint64_t parked_count;   /* PARKED, the same */
	_Atomic uint32_t pace;   /* steps that stores owe to the collector */
	_Atomic uint64_t events; /* ends, changes and earlier expiries, by which something else may have ended */
	_Atomic uint64_t dying;  /* references by which that was, since the last pass of dead.c began */
	_Atomic uint64_t last_resort_longest_us;
	_Atomic uint64_t searched; /* items that searches looked at, ever; written under the lock */
	_Atomic uint64_t held_bytes; /* written under the lock */
	_Atomic uint64_t weak_count;
	_Atomic uint64_t dependency_count;
	_Atomic uint64_t hold_count;
	_Atomic uint64_t dead_reclaimed;
};

enum status references_init(struct references *rf, struct budget *budget, uint64_t limit_max_bytes,
                            uint32_t held_limit_percent);
void references_fini(struct references *rf);

/* ---- reading: any thread in a turn, no lock needed, a bucket's lock allowed ---- */

/* reference_is_over: one of those that a referring item lives by is over; `at`: item_references of it. */
bool reference_is_over(struct store *s, uint32_t now, char *at);
/* reference_is_weak: it is a weak reference. */
static inline bool reference_is_weak(const char *at)
{
	/* The first of those that it lives by, whose lowest bits are its kind. */
	return at[0] != 0 && (at[REFERENCES_HEADER] & REFERENCE_KIND_MASK) == REFERENCE_WEAK;
}
/* reference_lead: the same question of a weak reference, answered at once in the common case: it refers to
 * one entry that lives by nobody. Then *target is that entry's item, else 0. */
bool reference_lead(struct store *s, uint32_t now, char *at, uint32_t *target);
/* reference_target: the item that a weak reference leads to, 0 past WEAK_STEPS_MAX. It is not over if
 * the reference is not. */
uint32_t reference_target(const struct store *s, uint32_t reference);

/* ---- storing ---- */

/* reference_acquire: finds the targets and notes them in the item, which is complete and unpublished;
 * no bucket is locked; an allocating call. What was acquired when it fails goes when the item is discarded.
 * Errors: STORE_NOT_FOUND, STORE_HELD_LIMIT, STORE_NO_MEMORY. */
enum store_result reference_acquire(struct store_thread *st, uint32_t reference,
                                    const struct reference_list *list);
/* reference_confirm: with the item's own bucket locked, just before it is published: all that it lives
 * by is there still, and is noted as it is now. */
bool reference_confirm(struct store *s, uint32_t now, uint32_t reference);
/* reference_inherit: the unpublished item gets the references of these two as well (0: none), as far
 * as it has room; old's bucket is locked. False: a count is at its end. */
bool reference_inherit(struct store *s, uint32_t reference, uint32_t old, uint32_t added);
/* reference_replace: the life goes on with another item; bucket locked, before the index says so. False
 * if it is held and would take more than may be held. reference_changed: after it, if that changes the
 * value. */
bool reference_replace(struct store_thread *st, uint64_t hash, uint32_t old, uint32_t reference, bool changes);
void reference_changed(struct store *s, uint64_t hash, uint32_t reference);
/* reference_touched: the expiry of a referred item is another; bucket locked. */
void reference_touched(struct store *s, uint64_t hash, uint32_t reference, uint32_t expiry);

/* ---- beginning and end of items; bucket locked ---- */

void reference_published(struct store *s, uint32_t reference);
/* reference_moved: a referring item was copied to another chunk, whose references they are from now on. */
void reference_moved(struct store *s, uint32_t to, uint32_t from);
/* reference_flushed: everything ended at once, of whatever bucket. */
void reference_flushed(struct store *s);
/* reference_end: the life of this referred item is over. */
void reference_end(struct store_thread *st, uint64_t hash, uint32_t reference);
/* reference_retired: a referring item is out of the index. collected: for being released, so that what
 * it held is not reached by anybody for that. */
void reference_retired(struct store_thread *st, uint32_t reference, bool collected);
/* reference_release: nobody reads this referring item any more; no lock but a bucket's is held. */
void reference_release(struct store_thread *st, uint32_t reference);
/* reference_protection: may this referred item be evicted? */
enum protection {
	PROTECTION_NONE,
	PROTECTION_HELD,     /* it must not */
	PROTECTION_RELEASED, /* it is held, but the collector released it: before others */
};
enum protection reference_protection(struct store *s, uint64_t hash, uint32_t reference);
/* reference_park: the policy named this item, which left its queue thereby, and it was found to be held. It
 * stays out of the queue, so that it is not named again, until nobody holds it any more. */
void reference_park(struct store_thread *st, uint64_t hash, uint32_t reference);
/* reference_try_park: the same for one that is about to leave its queue, with its class's lock held. False: it is
 * not held, or nobody can tell now. */
bool reference_try_park(struct store *s, uint32_t reference);

/* ---- the collector's; all with the blocks' lock held ---- */

/* reference_held_blocks: of what the item holds; at most REFERENCES_MAX. */
unsigned reference_held_blocks(const struct store *s, uint32_t reference, uint32_t *numbers);
/* reference_unprotect: takes the protection away; returns the bytes of the entry. */
uint64_t reference_unprotect(struct store_thread *st, struct block *b);
/* reference_protect_again: gives it back, if the held bytes allow. */
void reference_protect_again(struct store *s, struct block *b);
/* collector_reach: the block is reached by a run. collector_note_hold: there is one hold more. */
void collector_reach(struct store *s, struct block *b);
void collector_note_hold(struct store *s);

uint64_t reference_held_limit(const struct store *s);
/* reference_check: asserts the invariants; no other thread active. */
void reference_check(struct store *s);
/* reference_check_item: the same of a published item that refers to others. */
void reference_check_item(const struct store *s, uint32_t reference);

#endif
