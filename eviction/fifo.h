/*
 * fifo.h: queues of chunk references in blocks of one pool, for policies that keep an order but no
 * links beside each chunk: 4 bytes for what is in a queue, nothing for what is not.
 *
 *   fifo:   first block -> block -> ... -> last block       a block is one OS page: 1,024 references
 *   pool:   one reservation; a block is charged when a queue takes it and given back to the system
 *           when it is empty; but where it keeps a reserve, some stay charged, so that queues move on
 *           and grow in a full cache
 *
 * A queue belongs to whoever holds the lock of what it is part of; the pool has its own.
 */
#ifndef LARDER_FIFO_H
#define LARDER_FIFO_H

#include <stdatomic.h>

#include "eviction/ghost.h"
#include "store/base/base.h"
#include "store/base/lock.h"
#include "store/base/region.h"

#define FIFO_BLOCK_ENTRIES (OS_PAGE_BYTES / 4u)

struct fifo_pool {
	/* const after init */
	struct region blocks;
	struct region links;   /* of each block: the next of its queue, or of the free list */
	struct policy_memory memory;
	uint32_t block_limit;
	uint32_t reserve_max; /* of the owner's choice; 0 to begin with */
	/* under lock */
	struct lock lock;
	uint32_t fresh;        /* blocks from here on were never used; block 0 never is */
	uint32_t free_head;
	uint32_t in_use;
	uint32_t reserve;      /* further blocks that are charged */
	_Atomic bool hungry;   /* memory was refused; whoever looks clears it. Without the lock */
	uint64_t links_charged_bytes;
};

struct fifo {
	uint32_t first_block;  /* 0: none */
	uint32_t last_block;
	uint32_t first_index;  /* next to pop, within the first block */
	uint32_t last_index;   /* next to push, within the last block */
	/* While a filter is under way: where what it keeps goes next, and what it looks at next. Between them is
	 * nothing, and there is something behind. */
	uint32_t kept_block;   /* 0: none is */
	uint32_t kept_index;
	uint32_t seen_block;
	uint32_t seen_index;
	size_t count;
};

enum status fifo_pool_init(struct fifo_pool *p, const struct policy_memory *memory,
                           uint64_t references_max);
void fifo_pool_fini(struct fifo_pool *p);

/* fifo_pool_feed: fills the reserve up to what queues of this size may soon want, or gives some of it back. False
 * when memory is refused. */
bool fifo_pool_feed(struct fifo_pool *p);

/* fifo_push: false when the pool has no memory for it. */
bool fifo_push(struct fifo_pool *p, struct fifo *f, uint32_t reference);
/* fifo_pop, fifo_first: the oldest, 0 when there is none. */
uint32_t fifo_pop(struct fifo_pool *p, struct fifo *f);
uint32_t fifo_first(const struct fifo_pool *p, const struct fifo *f);
/* fifo_filter: begins or goes on to filter: of the next `max` it keeps, in order, what `keep` says. */
void fifo_filter(struct fifo_pool *p, struct fifo *f, size_t max,
                 bool (*keep)(void *context, uint32_t reference), void *context);

/* fifo_clear: empty, and no block is kept. */
void fifo_clear(struct fifo_pool *p, struct fifo *f);
static inline bool fifo_is_filtering(const struct fifo *f)
{
	return f->kept_block != 0;
}

void fifo_check(const struct fifo_pool *p, const struct fifo *f);

#endif
