#include "net/block_pool.h"

#include <string.h>
#include <sys/mman.h>

/*
 * Each group has a mask of its free blocks. The bit above the blocks' says that the group is
 * charged (has memory). Two maps of bits over the groups find one in a few words: `open` has the
 * charged groups with a free block, `idle` those that were given back. Groups from committed_end on
 * are like idle ones, but were never touched and have neither mask nor bit.
 */
#define MASK_CHARGED (1ULL << 63)
#define BLOCKS_PER_GROUP_MAX 63u

static uint64_t mask_all_free(const struct block_pool *bp)
{
	return (1ULL << bp->blocks_per_group) - 1;
}

static void map_set(struct block_map *map, uint32_t group)
{
	map->words[group / 64] |= 1ULL << group % 64;
	map->hint = MIN(map->hint, group / 64);
}

static void map_clear(struct block_map *map, uint32_t group)
{
	map->words[group / 64] &= ~(1ULL << group % 64);
}

/* The lowest group of the map below `end`, or `end`. */
static uint32_t map_first(struct block_map *map, uint32_t end)
{
	for (; map->hint * 64 < end; map->hint++) {
		uint64_t word = map->words[map->hint];
		if (word != 0)
			return map->hint * 64 + (uint32_t)__builtin_ctzll(word);
	}
	return end;
}

static char *group_address(const struct block_pool *bp, uint32_t group)
{
	return bp->region + (uint64_t)group * bp->group_bytes;
}

enum status block_pool_init(struct block_pool *bp, const struct block_pool_options *options)
{
	memset(bp, 0, sizeof(*bp));
	bp->budget = options->budget;
	bp->account = options->account;
	bp->block_bytes = options->block_bytes;
	bp->group_bytes = ALIGN_UP(options->block_bytes, OS_PAGE_BYTES);
	bp->blocks_per_group = MIN(bp->group_bytes / bp->block_bytes, BLOCKS_PER_GROUP_MAX);
	bp->group_count = (uint32_t)MIN(options->region_bytes / bp->group_bytes + 1, UINT32_MAX / 2);
	bp->reserve_groups = options->reserve_groups;
	bp->floor_bytes = options->floor_bytes;

	uint64_t blocks_bytes = (uint64_t)bp->group_count * bp->group_bytes;
	uint64_t masks_bytes = (uint64_t)bp->group_count * sizeof(uint64_t);
	uint64_t map_bytes = (bp->group_count / 64 + 1) * sizeof(uint64_t);
	bp->map_bytes = ALIGN_UP(blocks_bytes + masks_bytes + 2 * map_bytes, OS_PAGE_BYTES);
	bp->region = mmap(NULL, bp->map_bytes, PROT_READ | PROT_WRITE,
			  MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (bp->region == MAP_FAILED)
		return STATUS_SYSTEM;
	/* A huge page would commit 2 MB for a block of 512 bytes. */
	(void)madvise(bp->region, bp->map_bytes, MADV_NOHUGEPAGE);
	bp->masks = (uint64_t *)(bp->region + blocks_bytes);
	bp->open.words = (uint64_t *)(bp->region + blocks_bytes + masks_bytes);
	bp->idle.words = (uint64_t *)(bp->region + blocks_bytes + masks_bytes + map_bytes);
	pthread_mutex_init(&bp->lock, NULL);
	return STATUS_OK;
}

void block_pool_fini(struct block_pool *bp)
{
	budget_give(bp->budget, bp->account, bp->committed_bytes);
	munmap(bp->region, bp->map_bytes);
	pthread_mutex_destroy(&bp->lock);
}

static bool pool_charge(struct block_pool *bp)
{
	if (budget_take(bp->budget, bp->account, bp->group_bytes))
		return true;
	if (bp->committed_bytes + bp->group_bytes > bp->floor_bytes)
		return false;
	budget_charge(bp->budget, bp->account, bp->group_bytes);
	return true;
}

/* A group without memory gets some: the lowest that was given back, else the next untouched one. */
static uint32_t pool_charge_group(struct block_pool *bp)
{
	uint32_t group = map_first(&bp->idle, bp->committed_end);

	if (group == bp->group_count || !pool_charge(bp))
		return UINT32_MAX;
	if (group == bp->committed_end)
		bp->committed_end++;
	else
		map_clear(&bp->idle, group);
	bp->masks[group] = mask_all_free(bp) | MASK_CHARGED;
	bp->committed_bytes += bp->group_bytes;
	bp->kept_groups++;
	map_set(&bp->open, group);
	return group;
}

static void *pool_take_from(struct block_pool *bp, uint32_t group)
{
	uint64_t mask = bp->masks[group] & ~MASK_CHARGED;
	uint32_t block = (uint32_t)__builtin_ctzll(mask);

	if (mask == mask_all_free(bp))
		bp->kept_groups--;
	mask &= mask - 1;
	bp->masks[group] = mask | MASK_CHARGED;
	if (mask == 0)
		map_clear(&bp->open, group);
	atomic_store_explicit(&bp->used_blocks, bp->used_blocks + 1, memory_order_relaxed);
	return group_address(bp, group) + (uint64_t)block * bp->block_bytes;
}

void *block_pool_take(struct block_pool *bp)
{
	void *block = NULL;

	pthread_mutex_lock(&bp->lock);
	uint32_t group = map_first(&bp->open, bp->committed_end);
	if (group == bp->committed_end)
		group = pool_charge_group(bp);
	if (group != UINT32_MAX)
		block = pool_take_from(bp, group);
	pthread_mutex_unlock(&bp->lock);
	return block;
}

/* The group is empty: keep it if few are, else give its memory back. */
static void pool_empty_group(struct block_pool *bp, uint32_t group)
{
	if (bp->kept_groups < bp->reserve_groups) {
		bp->kept_groups++;
		return;
	}
	madvise(group_address(bp, group), bp->group_bytes, MADV_DONTNEED);
	budget_give(bp->budget, bp->account, bp->group_bytes);
	bp->committed_bytes -= bp->group_bytes;
	bp->masks[group] &= ~MASK_CHARGED;
	map_clear(&bp->open, group);
	map_set(&bp->idle, group);
}

void block_pool_give(struct block_pool *bp, void *block)
{
	uint64_t offset = (uint64_t)((char *)block - bp->region);
	uint32_t group = (uint32_t)(offset / bp->group_bytes);
	uint64_t bit = 1ULL << offset % bp->group_bytes / bp->block_bytes;

	pthread_mutex_lock(&bp->lock);
	assert(group < bp->committed_end);
	assert((bp->masks[group] & bit) == 0);
	bp->masks[group] |= bit;
	map_set(&bp->open, group);
	atomic_store_explicit(&bp->used_blocks, bp->used_blocks - 1, memory_order_relaxed);
	if ((bp->masks[group] & ~MASK_CHARGED) == mask_all_free(bp))
		pool_empty_group(bp, group);
	pthread_mutex_unlock(&bp->lock);
}

void *block_pool_next(struct block_pool *bp, uint64_t *cursor)
{
	void *block = NULL;

	pthread_mutex_lock(&bp->lock);
	for (; block == NULL && *cursor < (uint64_t)bp->committed_end * bp->blocks_per_group;
	     (*cursor)++) {
		uint64_t mask = bp->masks[*cursor / bp->blocks_per_group];
		uint32_t index = (uint32_t)(*cursor % bp->blocks_per_group);
		if ((mask & MASK_CHARGED) != 0 && (mask >> index & 1) == 0)
			block = group_address(bp, (uint32_t)(*cursor / bp->blocks_per_group)) +
				(uint64_t)index * bp->block_bytes;
	}
	pthread_mutex_unlock(&bp->lock);
	return block;
}

uint64_t block_pool_used_blocks(const struct block_pool *bp)
{
	return atomic_load_explicit(&bp->used_blocks, memory_order_relaxed);
}

uint64_t block_pool_committed_bytes(struct block_pool *bp)
{
	pthread_mutex_lock(&bp->lock);
	uint64_t bytes = bp->committed_bytes;
	pthread_mutex_unlock(&bp->lock);
	return bytes;
}

void block_pool_check(struct block_pool *bp)
{
	uint64_t used = 0, charged = 0, kept = 0;

	pthread_mutex_lock(&bp->lock);
	for (uint32_t group = 0; group < bp->committed_end; group++) {
		uint64_t mask = bp->masks[group] & ~MASK_CHARGED;
		bool is_charged = (bp->masks[group] & MASK_CHARGED) != 0;
		bool is_open = bp->open.words[group / 64] >> group % 64 & 1;
		bool is_idle = bp->idle.words[group / 64] >> group % 64 & 1;
		assert((mask & ~mask_all_free(bp)) == 0);
		assert(is_open == (is_charged && mask != 0));
		assert(is_idle == !is_charged);
		assert(is_charged || mask == mask_all_free(bp));
		assert(!is_open || group / 64 >= bp->open.hint);
		assert(!is_idle || group / 64 >= bp->idle.hint);
		used += bp->blocks_per_group - (unsigned)__builtin_popcountll(mask);
		charged += is_charged;
		kept += is_charged && mask == mask_all_free(bp);
	}
	assert(used == bp->used_blocks);
	assert(charged * bp->group_bytes == bp->committed_bytes);
	assert(kept == bp->kept_groups);
	assert(kept <= bp->reserve_groups);
	pthread_mutex_unlock(&bp->lock);
}
