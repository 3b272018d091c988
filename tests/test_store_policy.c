/* test_store_policy.c: policies in a full store, and how one takes over from another under living items. */
#include <criterion/criterion.h>
#include <math.h>
#include <stdio.h>

#include "eviction/policy.h"
#include "store/store.h"
#include "tests/support/entries.h"
#include "tests/support/store_bench.h"

#define VALUE_BYTES 90u

static struct store_bench begin(uint64_t limit_bytes, bool evict, bool may_change)
{
	struct store_options o = bench_options(limit_bytes);

	o.evict = evict;
	o.policy_may_change = may_change;
	return bench_open(&o);
}

static void change(struct store_bench *b, const char *name)
{
	cr_assert(store_change_policy(b->main, policy_find(name)), "%s", name);
	bench_maintain(b);
	store_check(b->store);
	cr_assert_eq(store_running_policy(b->store), policy_find(name));
}

static void fill(struct store_bench *b, unsigned first, unsigned end_number)
{
	char key[16];

	for (unsigned i = first; i < end_number; i++) {
		sprintf(key, "k%u", i);
		store_enter(b->st, b->now);
		cr_assert_eq(simple_set(b->st, key, VALUE_BYTES, NULL, REFERENCE_WEAK), STORE_OK);
		store_leave(b->st);
	}
}

/* How many of these are there. Reads them. */
static unsigned present(struct store_bench *b, unsigned first, unsigned end_number)
{
	unsigned count = 0;
	char key[16];

	for (unsigned i = first; i < end_number; i++) {
		sprintf(key, "k%u", i);
		store_enter(b->st, b->now);
		count += simple_get(b->st, key);
		store_leave(b->st);
	}
	return count;
}

static uint64_t evicted(const struct store_bench *b)
{
	struct store_counters sum;

	store_counters_sum(b->store, &sum);
	return sum.evictions;
}

/* Memory is all items then, and none is left for a queue to grow. */
Test(store_policy, a_flood_of_keys_that_nobody_reads_passes_by_what_is_read)
{
	struct store_bench b = begin(32u << 20, true, false);

	fill(&b, 0, 280000);
	cr_assert_eq(present(&b, 0, 280000), 280000);
	for (unsigned first = 1000000; first < 1800000; first += 10000)
		fill(&b, first, first + 10000);
	cr_assert_gt(present(&b, 0, 280000), 270000);
	bench_close(&b);
}

/* As a client does: get, and on a miss set. */
static void demand(struct store_bench *b, const char *kind, unsigned number, uint32_t value_bytes)
{
	char key[16];

	sprintf(key, "%s%u", kind, number);
	store_enter(b->st, b->now);
	if (!simple_get(b->st, key))
		cr_assert_eq(simple_set(b->st, key, value_bytes, NULL, REFERENCE_WEAK), STORE_OK);
	store_leave(b->st);
}

/* Many small entries after few large ones: the index has to grow where all memory is items. If it cannot,
 * entries of its buckets make way, and those are the new ones. */
Test(store_policy, small_values_find_room_in_the_index_too)
{
	struct store_bench b = begin(32u << 20, true, false);

	for (unsigned i = 0; i < 20000; i++)
		demand(&b, "large", i, 2048);
	cr_assert_gt(evicted(&b), 0);
	fill(&b, 0, 60000);
	cr_assert_geq(present(&b, 0, 60000), 59000);
	bench_close(&b);
}

/* A large value is two chunks of the largest class and a rest in another, where the policy has nobody to name. When
 * that one is full and there is room in the other, pages of others are not what is wanted. */
static uint64_t moves_for_large_values(uint64_t limit_bytes)
{
	struct store_bench b = begin(limit_bytes, true, false);
	struct test_random r = { test_seed(11) };
	struct store_counters sum;

	for (unsigned i = 0; i < 100000; i++) {
		double share = (double)test_random_below(&r, 1u << 30) / (1u << 30);

		if (test_random_below(&r, 20) == 0)
			demand(&b, "large", (unsigned)(2000 * share * share), 40000);
		else
			demand(&b, "k", (unsigned)pow(60000, share), 100);
		if (i % 1000 == 0)
			bench_maintain(&b);
	}
	store_counters_sum(b.store, &sum);
	bench_close(&b);
	return sum.page_moves;
}

Test(store_policy, large_values_make_room_for_each_other)
{
	/* Budgets a few pages apart: in every other one or so it comes to that. */
	for (unsigned i = 0; i < 12; i++)
		cr_assert_leq(moves_for_large_values((17u << 20) + i * (48u << 10)), 100);
}

Test(store_policy, nothing_goes_where_there_is_room)
{
	struct store_bench b = begin(32u << 20, true, true);

	fill(&b, 0, 50000);
	for (unsigned i = 0; policy_at(i); i++)
		for (unsigned k = 0; policy_at(k); k++) {
			change(&b, policy_at(i)->name);
			change(&b, policy_at(k)->name);
		}
	cr_assert_eq(present(&b, 0, 50000), 50000);
	cr_assert_eq(evicted(&b), 0);
	bench_close(&b);
}

Test(store_policy, memory_is_as_before_after_there_and_back)
{
	struct store_bench b = begin(32u << 20, true, true);

	fill(&b, 0, 100000);
	bench_maintain(&b);
	uint64_t items = budget_account(store_budget(b.store), ACCOUNT_ITEMS);
	uint64_t eviction = budget_account(store_budget(b.store), ACCOUNT_EVICTION);

	change(&b, "lru");
	/* Eight bytes each, and what they are rounded up to. */
	cr_assert_geq(budget_account(store_budget(b.store), ACCOUNT_ITEMS), items + 8 * 100000);
	/* No ghosts, no queue of new items. */
	cr_assert_lt(budget_account(store_budget(b.store), ACCOUNT_EVICTION), eviction);
	change(&b, "tinylfu");
	change(&b, "clock");
	cr_assert_eq(budget_account(store_budget(b.store), ACCOUNT_ITEMS), items);
	/* What names the blocks of queues. */
	cr_assert_leq(budget_account(store_budget(b.store), ACCOUNT_EVICTION), OS_PAGE_BYTES);
	change(&b, "s3fifo");
	cr_assert_eq(budget_account(store_budget(b.store), ACCOUNT_ITEMS), items);
	cr_assert_leq(budget_account(store_budget(b.store), ACCOUNT_EVICTION), eviction + (64u << 10));
	bench_close(&b);
}

Test(store_policy, a_full_cache_loses_what_makes_room_and_no_more)
{
	struct store_bench b = begin(32u << 20, true, true);

	fill(&b, 0, 400000);
	uint64_t before = evicted(&b);
	unsigned items = 400000 - (unsigned)before;

	cr_assert_gt(before, 0);
	change(&b, "lru");
	/* 8 of some 128 bytes of each, a few pages that were begun, and the estimate's error. */
	cr_assert_lt(evicted(&b) - before, items / 11);
	before = evicted(&b);
	change(&b, "slru");
	cr_assert_lt(evicted(&b) - before, items / 50);
	before = evicted(&b);
	change(&b, "s3fifo");
	cr_assert_lt(evicted(&b) - before, items / 50);
	bench_close(&b);
}

Test(store_policy, the_order_is_the_new_policys)
{
	struct store_bench b = begin(32u << 20, true, true);

	change(&b, "lru");
	fill(&b, 0, 400000);
	/* Strict: the last ones are there without a gap, nothing before them. */
	unsigned oldest = 400000 - present(&b, 0, 400000);

	/* But for pages that went whole, for the index. */
	cr_assert_geq(present(&b, oldest, 400000), (400000 - oldest) / 100 * 99);
	change(&b, "s3fifo");
	/* What was read under the one is proven under the other: a flood of keys that nobody reads goes by it. */
	fill(&b, 500000, 900000);
	cr_assert_gt(present(&b, oldest, 400000), (400000 - oldest) / 10 * 8);
	bench_close(&b);
}

Test(store_policy, items_that_were_read_come_first_in_the_new_order)
{
	struct store_bench b = begin(32u << 20, true, true);

	fill(&b, 0, 100000);
	present(&b, 0, 5000);
	present(&b, 0, 5000);
	change(&b, "slru");
	fill(&b, 100000, 600000);
	cr_assert_geq(present(&b, 0, 5000), 3800);
	cr_assert_lt(present(&b, 5000, 100000), 1000);
	bench_close(&b);
}

Test(store_policy, one_change_at_a_time_and_only_where_it_may_be)
{
	struct store_bench b = begin(8u << 20, true, false);

	cr_assert_not(store_change_policy(b.main, policy_find("lru")));
	bench_close(&b);
	b = begin(8u << 20, false, true);
	cr_assert_not(store_change_policy(b.main, policy_find("lru")));
	bench_close(&b);
	b = begin(32u << 20, true, true);
	fill(&b, 0, 20000);
	cr_assert(store_change_policy(b.main, policy_find("lru")));
	cr_assert_not(store_change_policy(b.main, policy_find("clock")));
	store_check(b.store);
	bench_maintain(&b);
	cr_assert(store_change_policy(b.main, policy_find("clock")));
	bench_close(&b);
}

Test(store_policy, sets_go_on_while_pages_change)
{
	struct store_bench b = begin(32u << 20, true, true);

	fill(&b, 0, 300000);
	for (unsigned i = 0, next = 300000; i < 60; i++) {
		store_change_policy(b.main, policy_at(i % 6));
		for (unsigned k = 0; k < 4; k++, next += 300) {
			store_maintain(b.main, b.now);
			fill(&b, next, next + 300);
			/* Some of them lay on pages that had to go. */
			cr_assert_geq(present(&b, next, next + 300), 200);
		}
		store_check(b.store);
		if (i % 10 == 9)
			b.now++;
	}
	bench_close(&b);
}
