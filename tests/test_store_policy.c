/* test_store_policy.c: policies in a full store. */
#include <criterion/criterion.h>
#include <stdio.h>

#include "eviction/policy.h"
#include "store/store.h"
#include "tests/support/entries.h"
#include "tests/support/random.h"

#define VALUE_BYTES 90u

struct bench {
	struct store *store;
	struct store_thread *st; /* who reads and writes */
	struct store_thread *main;
	uint32_t now;
};

static struct bench begin(uint64_t limit_bytes, bool evict)
{
	struct bench b = { .now = 10 };
	struct store_options o = {
		.limit_bytes = limit_bytes,
		.item_limit_bytes = 1u << 20,
		.thread_count = 2,
		.evict = evict,
		.policy = policy_at(0),
		.hash_seed = test_seed(42),
		.curve_one_in = CURVE_NONE,
	};

	cr_assert_eq(store_init(&b.store, &o), STATUS_OK);
	b.st = store_thread_get(b.store, 0);
	b.main = store_thread_get(b.store, 1);
	return b;
}

static void maintain(struct bench *b)
{
	while (store_maintain(b->main, b->now))
		;
}

static void end(struct bench *b)
{
	maintain(b);
	store_check(b->store);
	store_fini(b->store);
}

static void fill(struct bench *b, unsigned first, unsigned end_number)
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
static unsigned present(struct bench *b, unsigned first, unsigned end_number)
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

/* Memory is all items then, and none is left for a queue to grow. */
Test(store_policy, a_flood_of_keys_that_nobody_reads_passes_by_what_is_read)
{
	struct bench b = begin(32u << 20, true);

	fill(&b, 0, 280000);
	cr_assert_eq(present(&b, 0, 280000), 280000);
	for (unsigned first = 1000000; first < 1800000; first += 10000)
		fill(&b, first, first + 10000);
	cr_assert_gt(present(&b, 0, 280000), 270000);
	end(&b);
}
