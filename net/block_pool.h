/*
 * block_pool.h: equal blocks out of one reserved stretch of address space, charged to an account of
 * the budget while they are in use and given back to the system when they are not.
 *
 *     region  | group 0            | group 1            | ...
 *     group   | block | block | .. |     one or more OS pages, the unit that is charged and given back
 *
 * The lowest free block is taken first, so that the groups at the end empty themselves and can be
 * given back. A few empty groups are kept (reserve_groups), so that a connection that blocks now and
 * then costs no madvise. Any thread, under the pool's own lock; nobody calls it on the hot path.
 */
#ifndef LARDER_BLOCK_POOL_H
#define LARDER_BLOCK_POOL_H

#include <pthread.h>
#include <stdatomic.h>

#include "store/base/base.h"
#include "store/budget.h"

struct block_pool_options {
	struct budget *budget;
	enum account account;
	uint32_t block_bytes;
	uint32_t reserve_groups;
	uint64_t region_bytes; /* the most it can ever hold; only address space until used */
	uint64_t floor_bytes;  /* so much is had even when the budget is full */
};

/* A bit per group; no word before the hint has one. */
struct block_map {
	uint64_t *words;
	uint32_t hint;
};

struct block_pool {
	/* const after init */
	struct budget *budget;
	enum account account;
	uint32_t block_bytes;
	uint32_t group_bytes;
	uint32_t blocks_per_group;
	uint32_t group_count;
	uint64_t floor_bytes;
	uint32_t reserve_groups;
	char *region;
	uint64_t *masks;  /* per group: its free blocks */
	size_t map_bytes; /* region and masks */
	pthread_mutex_t lock;

	/* under lock */
	struct block_map open;    /* charged groups with a free block */
	struct block_map idle;    /* groups that were given back */
	uint32_t committed_end;   /* groups from here on were never used */
	uint32_t kept_groups;     /* empty, but charged */
	uint64_t committed_bytes; /* charged */

	/* atomic: written under lock, read without */
	_Atomic uint64_t used_blocks;
};

/* block_pool_init: STATUS_SYSTEM when the address space cannot be had. */
enum status block_pool_init(struct block_pool *bp, const struct block_pool_options *options);
void block_pool_fini(struct block_pool *bp);

/* block_pool_take: NULL when the region or the budget is full. The block is not cleared. */
void *block_pool_take(struct block_pool *bp);
void block_pool_give(struct block_pool *bp, void *block);
/* block_pool_next: walks the blocks in use; *cursor starts at 0. NULL at the end. Who walks must
 * expect that a block is given back while he looks at it: it stays readable. */
void *block_pool_next(struct block_pool *bp, uint64_t *cursor);

uint64_t block_pool_used_blocks(const struct block_pool *bp);
uint64_t block_pool_committed_bytes(struct block_pool *bp);

/* block_pool_check: asserts that masks, counts and charge agree. */
void block_pool_check(struct block_pool *bp);

#endif
