/* test_buffer_pool.c: blocks are charged, given back and found again, whatever the order. */
#include <criterion/criterion.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "net/buffer_pool.h"
#include "tests/support/random.h"

#define REGION_BYTES (8u << 20)
#define LIVE_MAX 600

static struct budget budget;
static struct block_pool pool;

static void start_pool(uint64_t limit_bytes, uint32_t block_bytes, uint32_t reserve_groups)
{
	struct block_pool_options options = {
		.budget = &budget,
		.account = ACCOUNT_BUFFERS,
		.block_bytes = block_bytes,
		.reserve_groups = reserve_groups,
		.region_bytes = REGION_BYTES,
	};

	budget_init(&budget, limit_bytes, 0);
	cr_assert_eq(block_pool_init(&pool, &options), STATUS_OK);
}

static uint64_t charged(void)
{
	return budget_account(&budget, ACCOUNT_BUFFERS);
}

Test(block_pool, an_unused_pool_costs_nothing)
{
	start_pool(1 << 20, 512, 2);
	cr_assert_eq(charged(), 0);
	block_pool_check(&pool);
	block_pool_fini(&pool);
}

Test(block_pool, blocks_of_a_group_share_its_charge)
{
	start_pool(1 << 20, 512, 0);
	for (unsigned i = 0; i < 8; i++)
		cr_assert_not_null(block_pool_take(&pool));
	cr_assert_eq(charged(), OS_PAGE_BYTES);
	cr_assert_not_null(block_pool_take(&pool));
	cr_assert_eq(charged(), 2 * OS_PAGE_BYTES);
	block_pool_check(&pool);
}

Test(block_pool, the_lowest_free_block_comes_first)
{
	char *blocks[32];

	start_pool(1 << 20, 512, 0);
	for (unsigned i = 0; i < 32; i++)
		blocks[i] = block_pool_take(&pool);
	block_pool_give(&pool, blocks[20]);
	block_pool_give(&pool, blocks[3]);
	block_pool_give(&pool, blocks[9]);
	cr_assert_eq(block_pool_take(&pool), blocks[3]);
	cr_assert_eq(block_pool_take(&pool), blocks[9]);
	cr_assert_eq(block_pool_take(&pool), blocks[20]);
	block_pool_check(&pool);
}

static bool is_resident(void *address)
{
	unsigned char residence = 0;
	void *page = (void *)ALIGN_DOWN((uintptr_t)address, (uintptr_t)OS_PAGE_BYTES);

	cr_assert_eq(mincore(page, OS_PAGE_BYTES, &residence), 0);
	return residence & 1;
}

Test(block_pool, empty_groups_beyond_the_reserve_go_back_to_the_system)
{
	char *blocks[10];

	start_pool(1 << 20, 4096, 3);
	for (unsigned i = 0; i < 10; i++) {
		blocks[i] = block_pool_take(&pool);
		memset(blocks[i], 1, 4096);
	}
	for (unsigned i = 0; i < 10; i++)
		block_pool_give(&pool, blocks[i]);
	cr_assert_eq(charged(), 3 * OS_PAGE_BYTES);
	unsigned resident = 0;
	for (unsigned i = 0; i < 10; i++)
		resident += is_resident(blocks[i]);
	cr_assert_eq(resident, 3);
	block_pool_check(&pool);
	block_pool_fini(&pool);
	cr_assert_eq(charged(), 0);
}

Test(block_pool, a_full_budget_refuses_and_recovers)
{
	static void *blocks[2000];
	unsigned count = 0;

	start_pool(64 << 10, 4096, 0);
	while ((blocks[count] = block_pool_take(&pool)) != NULL)
		count++;
	cr_assert_eq(count, budget_limit(&budget) / 4096);
	block_pool_check(&pool);
	block_pool_give(&pool, blocks[0]);
	cr_assert_not_null(block_pool_take(&pool));
	cr_assert_null(block_pool_take(&pool));
	block_pool_check(&pool);
}

Test(block_pool, the_region_is_the_most_it_holds)
{
	unsigned count = 0;

	start_pool(1u << 30, 65536, 0);
	while (block_pool_take(&pool) != NULL)
		count++;
	cr_assert_eq(count, REGION_BYTES / 65536 + 1);
	block_pool_check(&pool);
}

Test(block_pool, the_walk_meets_every_block_in_use_once)
{
	void *blocks[100];
	uint64_t cursor = 0;
	unsigned met = 0;

	start_pool(1 << 20, 384, 1);
	for (unsigned i = 0; i < 100; i++)
		blocks[i] = block_pool_take(&pool);
	for (unsigned i = 0; i < 100; i += 3)
		block_pool_give(&pool, blocks[i]);
	for (void *block; (block = block_pool_next(&pool, &cursor)) != NULL; met++) {
		unsigned i = 0;
		while (blocks[i] != block)
			cr_assert_lt(++i, 100);
		cr_assert_neq(i % 3, 0);
	}
	cr_assert_eq(met, 66);
}

/* Random takes and gives of one size; contents tell if two blocks were ever the same. */
static void model(uint32_t block_bytes, uint32_t reserve_groups, uint64_t seed)
{
	struct test_random rnd = {.state = test_seed(seed)};
	uint32_t *blocks[LIVE_MAX];
	unsigned count = 0;

	start_pool(1 << 20, block_bytes, reserve_groups);
	for (uint32_t step = 0; step < 20000; step++) {
		if (count > 0 && (count == LIVE_MAX || test_random_below(&rnd, 100) < 49)) {
			unsigned i = test_random_below(&rnd, count);
			cr_assert_eq(blocks[i][0], blocks[i][block_bytes / 4 - 1]);
			block_pool_give(&pool, blocks[i]);
			blocks[i] = blocks[--count];
		} else {
			uint32_t *block = block_pool_take(&pool);
			if (block == NULL)
				continue;
			block[0] = block[block_bytes / 4 - 1] = step;
			blocks[count++] = block;
		}
		if (step % 64 == 0)
			block_pool_check(&pool);
	}
	cr_assert_eq(block_pool_used_blocks(&pool), count);
	while (count > 0)
		block_pool_give(&pool, blocks[--count]);
	block_pool_check(&pool);
	cr_assert_eq(charged(), MIN(reserve_groups, charged() / pool.group_bytes) * pool.group_bytes);
	block_pool_fini(&pool);
}

Test(block_pool, random_takes_and_gives_keep_every_invariant)
{
	static const uint32_t sizes[] = {64, 384, 512, 2048, 4096, 16384};

	for (unsigned i = 0; i < ARRAY_LENGTH(sizes); i++)
		model(sizes[i], i % 4, 1000 + i);
}

Test(buffer_pool, the_smallest_block_that_fits_is_taken)
{
	struct buffer_pool buffers;
	uint8_t size_index;

	budget_init(&budget, 16 << 20, 0);
	cr_assert_eq(buffer_pool_init(&buffers, &budget, 1 << 20), STATUS_OK);
	for (size_t bytes = 1; bytes <= BUFFER_BYTES_MAX; bytes += 61) {
		void *block = buffer_pool_take(&buffers, bytes, &size_index);
		cr_assert_not_null(block);
		cr_assert_geq(buffer_pool_block_bytes(size_index), bytes);
		cr_assert(size_index == 0 || buffer_pool_block_bytes((uint8_t)(size_index - 1)) < bytes);
		buffer_pool_give(&buffers, block, size_index);
	}
	buffer_pool_check(&buffers);
	buffer_pool_fini(&buffers);
	cr_assert_eq(charged(), 0);
}

Test(buffer_pool, is_pressed_before_it_is_full_and_full_before_the_budget_is)
{
	struct buffer_pool buffers;
	uint8_t size_index;
	uint64_t pressed_at = 0;

	budget_init(&budget, 8 << 20, 0);
	cr_assert_eq(buffer_pool_init(&buffers, &budget, 8 << 20), STATUS_OK);
	while (buffer_pool_take(&buffers, 4096, &size_index) != NULL)
		if (pressed_at == 0 && buffer_pool_pressed(&buffers))
			pressed_at = charged();
	cr_assert(buffer_pool_full(&buffers));
	cr_assert_gt(pressed_at, 0);
	cr_assert_lt(pressed_at, charged() / 2);
	cr_assert_lt(charged(), budget_limit(&budget) / 3);
	buffer_pool_check(&buffers);
}
