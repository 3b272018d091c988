/* store_bench.h: a store with one thread that reads and writes and one that maintains it, by a clock of the test's. */
#ifndef LARDER_TEST_STORE_BENCH_H
#define LARDER_TEST_STORE_BENCH_H

#include <criterion/criterion.h>

#include "eviction/policy.h"
#include "store/store.h"
#include "tests/support/random.h"

struct store_bench {
	struct store *store;
	struct store_thread *st; /* who reads and writes */
	struct store_thread *main;
	uint32_t now;
};

/* What most tests want; to be changed before bench_open. */
static inline struct store_options bench_options(uint64_t limit_bytes)
{
	return (struct store_options){
		.limit_bytes = limit_bytes,
		.item_limit_bytes = 1u << 20,
		.thread_count = 2,
		.evict = true,
		.policy = policy_at(0),
		.hash_seed = test_seed(42),
		.curve_one_in = CURVE_NONE,
	};
}

static inline struct store_bench bench_open(const struct store_options *o)
{
	struct store_bench b = { .now = 10 };

	cr_assert_eq(store_init(&b.store, o), STATUS_OK);
	b.st = store_thread_get(b.store, 0);
	b.main = store_thread_get(b.store, 1);
	return b;
}

static inline void bench_maintain(struct store_bench *b)
{
	while (store_maintain(b->main, b->now))
		;
}

static inline void bench_close(struct store_bench *b)
{
	bench_maintain(b);
	store_check(b->store);
	store_fini(b->store);
}

#endif
