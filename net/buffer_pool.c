#include "net/buffer_pool.h"

/* Of the budget: more than one part in so many parked is pressure, or all that there may be. The store
 * lets clients hold captive half of it, in pinned values and unfinished ones; with a quarter here, some
 * is always left for items and new connections. */
#define PRESSED_SHARE 16
#define FULL_SHARE 4

static const uint32_t block_bytes[BUFFER_SIZE_COUNT] = {
#define X(bytes, reserve) bytes,
	BUFFER_SIZE_TABLE(X)
#undef X
};

static const uint32_t reserve_groups[BUFFER_SIZE_COUNT] = {
#define X(bytes, reserve) reserve,
	BUFFER_SIZE_TABLE(X)
#undef X
};

enum status buffer_pool_init(struct buffer_pool *bp, struct budget *budget, uint64_t region_bytes)
{
	bp->budget = budget;
	for (unsigned i = 0; i < BUFFER_SIZE_COUNT; i++) {
		struct block_pool_options options = {
			.budget = budget,
			.account = ACCOUNT_BUFFERS,
			.block_bytes = block_bytes[i],
			.reserve_groups = reserve_groups[i],
			.region_bytes = region_bytes,
		};
		enum status status = block_pool_init(&bp->sizes[i], &options);
		if (status != STATUS_OK) {
			while (i-- > 0)
				block_pool_fini(&bp->sizes[i]);
			return status;
		}
	}
	return STATUS_OK;
}

void buffer_pool_fini(struct buffer_pool *bp)
{
	for (unsigned i = 0; i < BUFFER_SIZE_COUNT; i++)
		block_pool_fini(&bp->sizes[i]);
}

void *buffer_pool_take(struct buffer_pool *bp, size_t bytes, uint8_t *size_index)
{
	uint8_t i = 0;

	assert(bytes <= BUFFER_BYTES_MAX);
	while (block_bytes[i] < bytes)
		i++;
	*size_index = i;
	if (buffer_pool_full(bp))
		return NULL;
	return block_pool_take(&bp->sizes[i]);
}

void buffer_pool_give(struct buffer_pool *bp, void *block, uint8_t size_index)
{
	block_pool_give(&bp->sizes[size_index], block);
}

uint32_t buffer_pool_block_bytes(uint8_t size_index)
{
	return block_bytes[size_index];
}

bool buffer_pool_pressed(const struct buffer_pool *bp)
{
	return budget_account(bp->budget, ACCOUNT_BUFFERS) > budget_limit(bp->budget) / PRESSED_SHARE;
}

bool buffer_pool_full(const struct buffer_pool *bp)
{
	return budget_account(bp->budget, ACCOUNT_BUFFERS) > budget_limit(bp->budget) / FULL_SHARE;
}

uint64_t buffer_pool_used_blocks(const struct buffer_pool *bp)
{
	uint64_t blocks = 0;

	for (unsigned i = 0; i < BUFFER_SIZE_COUNT; i++)
		blocks += block_pool_used_blocks(&bp->sizes[i]);
	return blocks;
}

void buffer_pool_check(struct buffer_pool *bp)
{
	for (unsigned i = 0; i < BUFFER_SIZE_COUNT; i++)
		block_pool_check(&bp->sizes[i]);
}
