/*
 * test_store_shift.c: what is read all the time stays, whatever sizes come and go around it; and what is left of
 * what went.
 *
 * In the first tests one entry is read again and again while floods of entries that nobody reads pass by, of one size after
 * the other. Every policy, budgets of two sizes of page.
 */
#include <criterion/criterion.h>
#include <stdio.h>

#include "eviction/policy.h"
#include "store/internal.h"
#include "tests/support/entries.h"
#include "tests/support/store_bench.h"

#define SETS_A_SECOND 150000u
#define BYTES_A_SECOND (48u << 20)
#define SETS_A_MAINTENANCE 2000u
#define FLOOD_ROUND 20u /* sets between two reads */
#define PHASES_MAX 4u

struct shape {
	const char *name;
	uint32_t hot_bytes;          /* of the entry that is read */
	uint32_t phases[PHASES_MAX]; /* bytes of the values that come, 0: no more */
};

static const struct shape shapes[] = {
	{ "alone in its class, shift down", 2, { 1000, 100 } },
	{ "alone in its class, shift up", 2, { 100, 1000, 9000 } },
	{ "300 bytes, down and up", 300, { 3000, 60, 900, 30 } },
};

struct bench {
	struct store_bench in;
	uint64_t sets;
	uint64_t second_sets, second_bytes;
};

static void set_one(struct bench *b, const char *key, uint32_t bytes)
{
	store_enter(b->in.st, b->in.now);
	cr_assert_eq(simple_set(b->in.st, key, bytes, NULL, REFERENCE_WEAK), STORE_OK, "%s of %u bytes", key, bytes);
	store_leave(b->in.st);
	b->second_bytes += bytes;
	if (++b->second_sets >= SETS_A_SECOND || b->second_bytes >= BYTES_A_SECOND) {
		b->in.now++;
		b->second_sets = b->second_bytes = 0;
		bench_maintain(&b->in);
	}
	if (++b->sets % SETS_A_MAINTENANCE == 0)
		bench_maintain(&b->in);
}

static bool is_there(struct bench *b)
{
	store_enter(b->in.st, b->in.now);
	bool found = simple_get(b->in.st, "hot");

	store_leave(b->in.st);
	return found;
}

/* How many reads missed of all that were made. */
static unsigned flood(struct bench *b, const struct shape *sh, unsigned phase, uint64_t bytes)
{
	char key[24];
	uint64_t number = 0;
	unsigned missed = 0;

	for (uint64_t written = 0; written < bytes;) {
		for (unsigned i = 0; i < FLOOD_ROUND; i++, written += sh->phases[phase] + 50) {
			sprintf(key, "%u.%lu", phase, (unsigned long)number++);
			set_one(b, key, sh->phases[phase]);
		}
		missed += !is_there(b);
	}
	return missed;
}

static unsigned missed_reads(const struct shape *sh, unsigned megabytes, const struct policy_ops *policy,
                             enum store_goal goal)
{
	struct store_options o = bench_options((uint64_t)megabytes << 20);
	unsigned missed = 0;

	o.policy = policy;
	o.goal = goal;
	struct bench b = { .in = bench_open(&o) };

	set_one(&b, "hot", sh->hot_bytes);
	for (unsigned phase = 0; phase < PHASES_MAX && sh->phases[phase]; phase++)
		missed += flood(&b, sh, phase, ((uint64_t)megabytes << 20) * 3 / 2);
	bench_close(&b.in);
	return missed;
}

static void expect_all_read(unsigned megabytes)
{
	for (unsigned p = 0; policy_at(p); p++) {
		for (unsigned i = 0; i < ARRAY_LENGTH(shapes); i++) {
			unsigned missed = missed_reads(&shapes[i], megabytes, policy_at(p), GOAL_OBJECTS);

			cr_expect_eq(missed, 0, "%s with %u MB under %s: %u reads missed", shapes[i].name, megabytes,
			             policy_at(p)->name, missed);
		}
	}
}

Test(store_shift, what_is_read_stays_in_a_cache_of_8_megabytes)
{
	expect_all_read(8);
}

Test(store_shift, what_is_read_stays_in_a_cache_of_16_megabytes)
{
	expect_all_read(16);
}

Test(store_shift, what_is_read_stays_in_a_cache_of_32_megabytes)
{
	expect_all_read(32);
}

Test(store_shift, what_is_read_stays_where_bytes_are_the_goal)
{
	for (unsigned i = 0; i < ARRAY_LENGTH(shapes); i++)
		cr_expect_eq(missed_reads(&shapes[i], 16, policy_at(0), GOAL_BYTES), 0, "%s", shapes[i].name);
}

/* ---- after many of one size ---- */

#define SMALL_BYTES 20u

/* Until the budget is all but used, or some were evicted. Returns how many. */
static unsigned fill_with_small(struct store_bench *b, uint32_t expiry, bool read)
{
	struct budget *budget = store_budget(b->store);
	struct store_counters n = { 0 };
	unsigned count = 0;
	char key[16];

	while (n.evictions == 0 && budget_used(budget) + BUDGET_ALLOWANCE_BYTES + (512u << 10) < budget_limit(budget)) {
		store_enter(b->st, b->now);
		for (unsigned i = 0; i < 64; i++) {
			sprintf(key, "s%u", count++);
			cr_assert_eq(set_entry(b->st, key, "12345678901234567890", SMALL_BYTES, expiry, NULL, REFERENCE_WEAK),
			             STORE_OK);
			cr_assert(!read || simple_get(b->st, key));
		}
		store_leave(b->st);
		if (count % 4096 == 0)
			bench_maintain(b);
		store_counters_sum(b->store, &n);
	}
	return count;
}

/* All small entries are of one class here. */
static struct policy_queue *small_queue(struct store_bench *b)
{
	struct slab_class *sc = slab_class_for(&b->store->slab, ITEM_SMALL_HEADER + 7 + SMALL_BYTES);

	return &sc->queues[sc->present];
}

Test(store_shift, a_cache_that_was_read_while_it_filled_finds_a_victim_at_once)
{
	struct store_options o = bench_options(32u << 20);
	struct store_bench b = bench_open(&o);
	struct store_counters n = { 0 };
	char key[16];

	cr_assert_gt(fill_with_small(&b, EXPIRY_NEVER, true), 200000);
	for (unsigned i = 0; n.evictions < 1000; i++) {
		int64_t before = (int64_t)small_queue(&b)->u.s3fifo.small_count;

		store_enter(b.st, b.now);
		sprintf(key, "t%u", i);
		cr_assert_eq(simple_set(b.st, key, SMALL_BYTES, NULL, REFERENCE_WEAK), STORE_OK);
		store_leave(b.st);
		/* What one set looks at, and one that moves a page: a batch of victims at a time. */
		cr_assert_leq(before - (int64_t)small_queue(&b)->u.s3fifo.small_count, 100000);
		store_counters_sum(b.store, &n);
	}
	bench_close(&b);
}

static unsigned count_hot(struct store_bench *b, unsigned count)
{
	unsigned found = 0;
	char key[16];

	store_enter(b->st, b->now);
	for (unsigned i = 0; i < count; i++) {
		sprintf(key, "hot%u", i);
		found += simple_get(b->st, key);
	}
	store_leave(b->st);
	return found;
}

/* The class is left with hardly an entry, and with the policy's notes of all that were there. */
Test(store_shift, few_that_are_read_stay_when_the_others_of_their_size_expired)
{
	struct store_options o = bench_options(32u << 20);
	struct store_bench b = bench_open(&o);
	const struct budget *budget = store_budget(b.store);
	char key[24];

	store_enter(b.st, b.now);
	for (unsigned i = 0; i < 10; i++) {
		sprintf(key, "hot%u", i);
		cr_assert_eq(simple_set(b.st, key, SMALL_BYTES, NULL, REFERENCE_WEAK), STORE_OK);
	}
	store_leave(b.st);
	fill_with_small(&b, b.now + 5, false);
	cr_assert_eq(count_hot(&b, 10), 10);
	b.now += 6;
	bench_maintain(&b);
	cr_assert_leq(budget_account(budget, ACCOUNT_ITEMS), 1u << 20);
	cr_assert_leq(budget_account(budget, ACCOUNT_EVICTION), 512u << 10);
	for (unsigned i = 0; i < 60000; i++) {
		store_enter(b.st, b.now);
		sprintf(key, "large%u", i);
		cr_assert_eq(simple_set(b.st, key, 1000, NULL, REFERENCE_WEAK), STORE_OK);
		store_leave(b.st);
		if (i % 50 == 0)
			cr_assert_eq(count_hot(&b, 10), 10, "after %u", i);
		if (i % 500 == 0)
			bench_maintain(&b);
	}
	bench_close(&b);
}
