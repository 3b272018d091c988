#include "net/buffer_pool.h"

/* More than this share of the budget parked is pressure. */
#define PRESSED_SHARE 8
#define CEILING_SHARE 2

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
	/* Clients that do not read, or send halves, get half of the budget and no more. */
	if (budget_account(bp->budget, ACCOUNT_BUFFERS) + block_bytes[i] >
	    budget_limit(bp->budget) / CEILING_SHARE)
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
