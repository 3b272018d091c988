/*
 * block.h: control blocks, one for each life of a key that others refer to (references.md).
 *
 * The block says whether that life goes on, at which version it is and which item it has now;
 * references name the block, never the item. It is kept by its references alone, and found from
 * the item through a table on the key's hash while the life lasts.
 *
 *   blocks:  | page 0: 64 blocks | page 1 | ...     an OS page each, charged when it is taken and
 *                                                   dropped when its last block is free
 *   heads:   | first block 4 | ...                  the table; linear hashing (see index.h), so that it
 *                                                   grows and shrinks by one head at a time
 *
 * Locks: all of it is under the lock, which ranks between bucket and ring; the fields under "read
 * without a lock" are what readers look at, who are kept safe by their turn: a block goes only when no
 * item that a reader can see names it any more.
 */
#ifndef LARDER_BLOCK_H
#define LARDER_BLOCK_H

#include <stdatomic.h>

#include "store/base/base.h"
#include "store/base/lock.h"
#include "store/base/region.h"
#include "store/budget.h"

#define BLOCK_DEAD 0x01u      /* the life is over; never taken back */
#define BLOCK_CHAINED 0x02u   /* its item lives by others in turn */
#define BLOCK_EPOCH_SHIFT 2   /* the flush epoch in which the life goes on, 2 bits */
#define BLOCK_EPOCH (3u << BLOCK_EPOCH_SHIFT)
#define BLOCK_PROTECTED 0x10u /* held: its item is counted in held_bytes and not evicted */
#define BLOCK_VISITED 0x20u   /* by the search that is under way */
#define BLOCK_RELEASED 0x40u  /* held, but the collector took its protection away */
#define BLOCK_MARKED 0x80u    /* the collector reached it */
#define BLOCK_LISTED 0x100u   /* in the collector's list; whoever takes it out frees it if it must go */
#define BLOCK_USED 0x200u     /* not free */
#define BLOCK_PARKED 0x400u   /* protected, and out of the policy's queue */
#define BLOCK_OVER 0x800u     /* its item was found over by what it lives by, see reference_sound.c */

struct block {
	/* read without a lock, written under it */
	_Atomic uint32_t item;    /* the life's item, also its last */
	_Atomic uint32_t expiry;  /* of that item */
	_Atomic uint32_t state;
	uint32_t next;            /* under lock: in the table's chain, or in its page's free list */
	_Atomic uint64_t version; /* counts the changes of the value; 64 bits do not come round */
	_Atomic uint64_t checked; /* see reference_sound.c, written by searches */
	/* under lock */
	uint32_t hash;       /* low half of the key's */
	uint32_t references; /* of all kinds: they keep the block */
	uint32_t holds;      /* of those, the ones that keep the item from eviction */
	uint32_t versions;   /* of those, the ones that end with a change */
	uint32_t inner;      /* collector: of the holds, those of entries that are held themselves */
	uint32_t link;       /* collector's list */
	uint32_t search;     /* list of the search that is under way */
	uint32_t told;       /* the weak reference that keeps the way to the item in itself, 0: none */
};
_Static_assert(sizeof(struct block) == CACHE_LINE_BYTES, "a reader touches one line");

#define BLOCKS_PER_PAGE (OS_PAGE_BYTES / sizeof(struct block))

struct block_page {
	uint32_t newer; /* pages with room, or the dropped ones */
	uint32_t older;
	uint16_t used_count;
	uint16_t fresh_index;   /* blocks from here on were never used */
	uint16_t free_plus_one; /* first of the free list */
	uint16_t listed;
};

struct block_table {
	/* const after init */
	struct budget *budget;
	struct region block_region;
	struct region page_region;
	struct region head_region;
	struct block *blocks;
	struct block_page *pages;
	uint32_t *heads;
	uint32_t page_limit;
	uint32_t head_limit;
	/* under lock */
	_Alignas(CACHE_LINE_BYTES) struct lock lock;
	uint32_t room_head;    /* page with a free block */
	uint32_t dropped_head; /* pages to be used again */
	uint32_t fresh_page;   /* pages from here on were never used */
	uint32_t pages_charged_bytes;
	uint32_t head_count;   /* 0 until the first block */
	uint32_t heads_charged_bytes;
	uint32_t listed_count; /* blocks in the table */
	_Atomic uint32_t block_count; /* read without it by stats */
};

enum status block_table_init(struct block_table *bt, struct budget *budget, uint64_t limit_max_bytes);
void block_table_fini(struct block_table *bt);

static inline struct block *block_at(const struct block_table *bt, uint32_t number)
{
	return &bt->blocks[number];
}

static inline uint32_t block_number(const struct block_table *bt, const struct block *b)
{
	return (uint32_t)(b - bt->blocks);
}

static inline uint32_t block_state(const struct block *b)
{
	/* acquire: pairs with the release in block_change; what ended a life came before its mark */
	return atomic_load_explicit(&((struct block *)b)->state, memory_order_acquire);
}

/* block_change: under the lock, which makes load and store one step for all other writers. */
static inline void block_change(struct block *b, uint32_t clear, uint32_t set)
{
	uint32_t state = atomic_load_explicit(&b->state, memory_order_relaxed);

	atomic_store_explicit(&b->state, (state & ~clear) | set, memory_order_release);
}

/* block_new: a block in the table for this item, with no references; NULL when the budget has no room
 * for it. The caller fills in the rest. */
struct block *block_new(struct block_table *bt, uint64_t hash, uint32_t item) REQUIRES(bt->lock);
/* block_find: the block of the life whose item this is, NULL for none. */
struct block *block_find(const struct block_table *bt, uint64_t hash, uint32_t item)
	REQUIRES(bt->lock);
/* block_end: the life is over: out of the table, and marked. */
void block_end(struct block_table *bt, struct block *b) REQUIRES(bt->lock);
/* block_free: nothing refers to it; takes it out of the table if it is still there. */
void block_free(struct block_table *bt, struct block *b) REQUIRES(bt->lock);

/* block_end_number: one past the highest number ever used, for walks. block_is_used: a block, not a
 * hole; of any number below that. */
uint32_t block_end_number(const struct block_table *bt) REQUIRES(bt->lock);
bool block_is_used(const struct block_table *bt, uint32_t number) REQUIRES(bt->lock);

/* block_table_check: asserts the invariants, no other thread active. */
void block_table_check(struct block_table *bt);

#endif
