/*
 * buffer_pool.h: where connections leave half-read input and unsent output between turns.
 *
 * Blocks of a few sizes, each size a block_pool, all charged to ACCOUNT_BUFFERS. A connection at
 * rest has none. When more than a sixteenth of the budget is parked here the pool is under pressure:
 * connections then read and compose in small pieces, so that however many clients stop reading, what
 * each of them parks is little and not a full buffer. At a quarter of the budget there is no more.
 */
#ifndef LARDER_BUFFER_POOL_H
#define LARDER_BUFFER_POOL_H

#include "net/block_pool.h"

/* X(bytes, empty groups kept). The largest takes a worker's whole scratch or output buffer. */
#define BUFFER_SIZE_TABLE(X)                                                                       \
	X(512, 2) X(1024, 2) X(2048, 2) X(4096, 4) X(8192, 2) X(16384, 2) X(65536, 1)

enum {
#define X(bytes, reserve) BUFFER_SIZE_##bytes,
	BUFFER_SIZE_TABLE(X)
#undef X
	BUFFER_SIZE_COUNT
};

#define BUFFER_BYTES_MAX 65536u

struct buffer_pool {
	struct budget *budget;
	struct block_pool sizes[BUFFER_SIZE_COUNT];
};

enum status buffer_pool_init(struct buffer_pool *bp, struct budget *budget, uint64_t region_bytes);
void buffer_pool_fini(struct buffer_pool *bp);

/* buffer_pool_take: the smallest block of at least `bytes` (at most BUFFER_BYTES_MAX); its size
 * class is left in *size_index and must come back with it. NULL when the pool or the budget is full. */
void *buffer_pool_take(struct buffer_pool *bp, size_t bytes, uint8_t *size_index);
void buffer_pool_give(struct buffer_pool *bp, void *block, uint8_t size_index);
uint32_t buffer_pool_block_bytes(uint8_t size_index);

/* buffer_pool_full: nothing more is to be had, whatever is evicted. */
bool buffer_pool_full(const struct buffer_pool *bp);
/* True when so much is parked that each connection must make do with little. Two relaxed loads. */
bool buffer_pool_pressed(const struct buffer_pool *bp);

uint64_t buffer_pool_used_blocks(const struct buffer_pool *bp);
void buffer_pool_check(struct buffer_pool *bp);

#endif
