/* test_curve.c: the curves that a store learns from its own traffic, and their memory. */
#include <criterion/criterion.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "eviction/policy.h"
#include "store/curve.h"
#include "store/store.h"
#include "tests/support/store_bench.h"

#define BUDGET (4u << 20)
#define VALUE_BYTES 100u
#define VALUE_BYTES_MAX 8000u
/* Gets between two slices of the simulation, unless a test says otherwise. */
#define SLICE_GETS 256u

struct bench {
	struct store_bench in;
	uint32_t value_bytes;
	uint32_t slice_gets;
	uint32_t gets;
	uint32_t misses;
	uint32_t sampled; /* of the gets, one key in CURVE_ONE_IN */
};

static struct bench open_bench(const struct policy_ops *policy, uint64_t limit, uint32_t one_in, uint64_t bytes,
                               bool follows)
{
	struct bench b = { .value_bytes = VALUE_BYTES, .slice_gets = SLICE_GETS };
	struct store_options o = bench_options(limit);

	o.policy = policy;
	o.policy_may_change = o.policy_follows_curves = follows;
	o.limit_max_bytes = 256u << 20;
	o.curve_one_in = one_in;
	o.curve_bytes = bytes;
	b.in = bench_open(&o);
	return b;
}

static struct bench begin(const struct policy_ops *policy, uint64_t limit, uint32_t one_in, uint64_t bytes)
{
	return open_bench(policy, limit, one_in, bytes, false);
}

/* As a client does: get, and on a miss set. */
static void demand(struct bench *b, uint32_t number)
{
	char key[16], value[VALUE_BYTES_MAX] = { 0 };
	size_t length = (size_t)sprintf(key, "k%u", number);
	struct item_view view;

	store_enter(b->in.st, b->in.now);
	uint64_t hash = store_hash(b->in.st, key, length);

	b->gets++;
	b->sampled += mrc_is_sampled(hash, MRC_ALL / CURVE_ONE_IN);
	if (!store_get(b->in.st, key, length, hash, &view)) {
		struct item_spec spec = { .key = key, .key_length = (uint8_t)length, .hash = hash,
			                  .value_length = b->value_bytes };
		struct commit_args args = { .mode = STORE_SET };

		b->misses++;
		cr_assert_eq(store_set(b->in.st, &spec, value, &args), STORE_OK);
	}
	store_leave(b->in.st);
	if (b->gets % b->slice_gets == 0)
		bench_maintain(&b->in);
}

/* Zipf with an exponent near 1 over so many keys. */
static void demand_zipf(struct bench *b, struct test_random *r, uint32_t keys, uint32_t requests)
{
	for (uint32_t i = 0; i < requests; i++)
		demand(b, (uint32_t)pow(keys, (double)test_random_below(r, 1u << 30) / (1u << 30)));
}

static struct store_curve read_curve(struct bench *b)
{
	struct store_curve curve;

	bench_maintain(&b->in);
	store_curve_read(b->in.store, &curve);
	return curve;
}

static double ratio_at(const struct store_curve *curve, const struct policy_ops *policy, unsigned factor)
{
	for (unsigned i = 0; i < curve->report.lane_count; i++)
		if (curve->report.points[i].policy == policy && curve->report.points[i].factor == factor)
			return curve->report.points[i].miss_ratio;
	cr_assert(false, "no such point");
	return 0;
}

/* What a store with this budget really missed. */
static double run_whole(const struct policy_ops *policy, uint64_t limit)
{
	struct bench b = begin(policy, limit, CURVE_NONE, 0);
	struct test_random r = { test_seed(7) };

	demand_zipf(&b, &r, 200000, 600000);
	double ratio = (double)b.misses / b.gets;

	bench_close(&b.in);
	return ratio;
}

Test(curve, tells_what_smaller_and_larger_budgets_really_miss)
{
	const struct policy_ops *policy = &policy_s3fifo;
	struct bench b = begin(policy, BUDGET, 4, 4u << 20 >> 2);
	struct test_random r = { test_seed(7) };

	demand_zipf(&b, &r, 200000, 600000);
	b.in.now++;
	struct store_curve curve = read_curve(&b);
	double real = (double)b.misses / b.gets;

	cr_assert(curve.report.running);
	cr_assert_eq(curve.dropped, 0);
	cr_assert_eq(curve.report.points[MRC_FACTOR_ONE].budget_bytes, BUDGET);
	cr_assert_float_eq(ratio_at(&curve, policy, MRC_FACTOR_ONE), real, 0.02, "%f, really %f",
	                   ratio_at(&curve, policy, MRC_FACTOR_ONE), real);
	/* A budget is told without the megabyte that the curves take, and pages that are not full. */
	for (unsigned factor = 2; factor <= 4; factor += 2) {
		real = run_whole(policy, (uint64_t)BUDGET * factor / (factor == 2 ? 4 : 2));
		double told = ratio_at(&curve, policy, factor == 2 ? 2 : 4);

		cr_assert_float_eq(told, real, 0.04, "%u: %f, really %f", factor, told, real);
	}
	bench_close(&b.in);
}

/* A store's victims are asked for in batches, the simulated ones one by one. */
Test(curve, an_admission_by_frequency_misses_what_is_simulated)
{
	struct bench b = begin(&policy_tinylfu, BUDGET, 2, 1u << 20);
	uint32_t next = 0;

	for (unsigned i = 0; i < 600000; i++)
		demand(&b, next++ % 60000);
	struct store_curve curve = read_curve(&b);
	double real = (double)b.misses / b.gets, told = ratio_at(&curve, &policy_tinylfu, MRC_FACTOR_ONE);

	cr_assert_lt(real, 0.8);
	cr_assert_float_eq(told, real, 0.2, "%f, really %f", told, real);
	bench_close(&b.in);
}

Test(curve, memory_is_charged_bounded_and_given_back_with_the_budget)
{
	struct bench b = begin(&policy_s3fifo, 64u << 20, 1, 0);
	struct test_random r = { test_seed(8) };

	demand_zipf(&b, &r, 100000, 100000);
	struct store_curve curve = read_curve(&b);

	cr_assert(curve.report.running);
	cr_assert_gt(curve.report.memory_bytes, 0);
	cr_assert_leq(curve.report.memory_bytes, (67u << 20) / CURVE_SHARE);
	cr_assert_lt(curve.report.rate, 1);
	cr_assert_geq(budget_account(store_budget(b.in.store), ACCOUNT_EVICTION), curve.report.memory_bytes);

	cr_assert_eq(store_set_limit(b.in.main, 40u << 20), STATUS_OK);
	b.in.now++;
	curve = read_curve(&b);
	cr_assert_leq(curve.report.memory_bytes, (43u << 20) / CURVE_SHARE);
	cr_assert_eq(curve.report.points[MRC_FACTOR_ONE].budget_bytes, 40u << 20);

	cr_assert_eq(store_set_limit(b.in.main, 16u << 20), STATUS_OK);
	b.in.now++;
	curve = read_curve(&b);
	cr_assert_not(curve.enabled);
	cr_assert_not(curve.report.running);
	cr_assert_eq(curve.report.memory_bytes, 0);

	cr_assert_eq(store_set_limit(b.in.main, 64u << 20), STATUS_OK);
	b.in.now++;
	demand_zipf(&b, &r, 100000, 10000);
	curve = read_curve(&b);
	cr_assert(curve.report.running);
	bench_close(&b.in);
}

Test(curve, a_full_cache_makes_room_for_it)
{
	struct bench b = begin(&policy_lru, 40u << 20, CURVE_ONE_IN, 0);
	struct test_random r = { test_seed(9) };

	demand_zipf(&b, &r, 1000000, 1500000);
	struct store_curve curve = read_curve(&b);

	cr_assert(curve.report.running);
	cr_assert_gt(curve.report.keys, 100);
	bench_close(&b.in);
}

static double ratio_at_budget(const struct store_curve *curve)
{
	return curve->report.points[MRC_FACTOR_ONE].miss_ratio;
}

/* Large values fill the cache before the simulation has had its first slice. */
static void fill_from_empty(uint64_t limit, uint64_t seed)
{
	struct bench b = begin(&policy_s3fifo, limit, CURVE_ONE_IN, 0);
	struct test_random r = { seed };

	b.value_bytes = VALUE_BYTES_MAX;
	b.slice_gets = 15000;
	demand_zipf(&b, &r, 1000000, 150000);
	struct store_curve curve = read_curve(&b);
	double real = (double)b.misses / b.gets;

	cr_assert_eq(curve.dropped, 0);
	cr_assert_float_eq(curve.report.requests, b.sampled, 0, "%f of %u", curve.report.requests, b.sampled);
	cr_assert_float_eq(curve.report.rate, 1.0 / CURVE_ONE_IN, 1e-9);
	cr_assert_float_eq(ratio_at_budget(&curve), real, 0.15, "%f, really %f", ratio_at_budget(&curve), real);
	bench_close(&b.in);
}

Test(curve, no_sampled_request_is_lost_while_the_cache_fills)
{
	for (uint64_t seed = 0; seed < 4; seed++) {
		fill_from_empty(64u << 20, test_seed(20 + seed));
		fill_from_empty(32u << 20, test_seed(30 + seed));
	}
}

/* What the cache held before is no miss of the simulated ones. */
Test(curve, a_simulation_beside_a_warm_cache_says_nothing_of_what_it_never_saw)
{
	struct bench b = open_bench(&policy_s3fifo, BUDGET, 1, 1u << 20, true);
	struct store_curve curve;

	cr_assert(isnan(ratio_at_budget(&(struct store_curve){ .report = read_curve(&b).report })));
	for (uint32_t i = 0; i < 2000; i++)
		demand(&b, i % 1000);
	curve = read_curve(&b);
	cr_assert_float_eq(ratio_at_budget(&curve), 0.5, 1e-9);
	store_enter(b.in.main, b.in.now);
	store_change_policy(b.in.main, &policy_lru);
	store_leave(b.in.main);
	bench_maintain(&b.in);
	for (uint32_t i = 0; i < 1000; i++)
		demand(&b, i);
	curve = read_curve(&b);
	cr_assert_eq(curve.report.points[0].policy, &policy_lru);
	cr_assert(isnan(ratio_at_budget(&curve)));
	cr_assert_float_eq(curve.report.older, 1000, 0);
	for (uint32_t i = 0; i < 1000; i++)
		demand(&b, i);
	curve = read_curve(&b);
	cr_assert_float_eq(curve.report.requests, 1000, 0);
	cr_assert_float_eq(ratio_at_budget(&curve), 0, 1e-9);
	bench_close(&b.in);
}

Test(curve, the_rate_rises_again_long_after_the_reason_is_gone)
{
	struct bench b = begin(&policy_s3fifo, 64u << 20, 1, 0);
	struct test_random r = { test_seed(10) };

	demand_zipf(&b, &r, 100000, 100000);
	cr_assert_lt(read_curve(&b).report.rate, 1);
	store_enter(b.in.st, b.in.now);
	store_flush(b.in.st);
	store_leave(b.in.st);
	for (uint32_t i = 0; i < 3 * CURVE_HALF_SECONDS; i++, b.in.now++) {
		demand(&b, i % 64);
		bench_maintain(&b.in);
	}
	cr_assert_float_eq(read_curve(&b).report.rate, 1, 1e-9);
	bench_close(&b.in);
}

Test(curve, what_is_flushed_deleted_or_expired_is_gone_from_it)
{
	struct bench b = begin(&policy_s3fifo, BUDGET, 1, 1u << 20);

	for (uint32_t i = 0; i < 200; i++)
		demand(&b, i);
	cr_assert_eq(read_curve(&b).report.keys, 200);
	for (uint32_t i = 0; i < 50; i++) {
		char key[16];
		size_t length = (size_t)sprintf(key, "k%u", i);
		struct delete_args args = { 0 };
		struct item_view view;
		uint64_t hash;

		store_enter(b.in.st, b.in.now);
		hash = store_hash(b.in.st, key, length);
		if (i < 25)
			store_delete(b.in.st, key, length, hash, &args);
		else
			store_touch(b.in.st, key, length, hash, b.in.now + 2, &view);
		store_leave(b.in.st);
	}
	cr_assert_eq(read_curve(&b).report.keys, 175);
	b.in.now += 3;
	cr_assert_eq(read_curve(&b).report.keys, 150);
	store_enter(b.in.st, b.in.now);
	store_flush(b.in.st);
	store_leave(b.in.st);
	cr_assert_eq(read_curve(&b).report.keys, 0);
	bench_close(&b.in);
}

Test(curve, a_reset_counts_anew_at_once)
{
	struct bench b = begin(&policy_s3fifo, BUDGET, 1, 1u << 20);
	struct store_curve curve;

	for (uint32_t i = 0; i < 200; i++)
		demand(&b, i);
	cr_assert_float_eq(read_curve(&b).report.requests, 200, 0);
	store_curve_reset(b.in.store);
	store_curve_read(b.in.store, &curve);
	cr_assert_float_eq(curve.report.requests, 0, 0);
	for (uint32_t i = 0; i < 100; i++)
		demand(&b, i);
	b.in.now++;
	curve = read_curve(&b);
	cr_assert_float_eq(curve.report.requests, 100, 0);
	cr_assert_float_eq(ratio_at(&curve, &policy_s3fifo, MRC_FACTOR_ONE), 0, 1e-9);
	bench_close(&b.in);
}

/* A loop larger than the cache, which strict LRU misses whole. */
Test(curve, advises_another_policy_after_some_looks)
{
	struct bench b = begin(&policy_lru, BUDGET, 2, 1u << 20);
	uint32_t next = 0;

	for (unsigned look = 0; look < CURVE_ADVICE_LOOKS + 12; look++) {
		for (unsigned second = 0; second < CURVE_LOOK_SECONDS; second++, b.in.now++)
			for (unsigned i = 0; i < 8000; i++)
				demand(&b, next++ % 60000);
		if (look < CURVE_ADVICE_LOOKS - 1)
			cr_assert_null(read_curve(&b).advice);
	}
	struct store_curve curve = read_curve(&b);

	cr_assert_not_null(curve.advice);
	cr_assert_neq(curve.advice, &policy_lru);
	cr_assert_gt(curve.report.gain, 0.1);
	cr_assert_gt(ratio_at(&curve, &policy_lru, MRC_FACTOR_ONE), 0.9);
	bench_close(&b.in);
}

/* The same loop: once another policy was simulated to be better long enough, it runs, and misses less. */
Test(curve, the_store_changes_to_what_is_better)
{
	struct bench b = open_bench(&policy_lru, BUDGET, 2, 1u << 20, true);
	uint32_t next = 0, seconds = 0;

	for (; store_running_policy(b.in.store) == &policy_lru; seconds++, b.in.now++) {
		cr_assert_lt(seconds, 3 * CURVE_ADVICE_LOOKS * CURVE_LOOK_SECONDS);
		for (unsigned i = 0; i < 8000; i++)
			demand(&b, next++ % 60000);
		bench_maintain(&b.in);
	}
	cr_assert_geq(seconds, CURVE_ADVICE_LOOKS * CURVE_LOOK_SECONDS);
	struct store_curve curve = read_curve(&b);

	/* The curves are now those of the policy that runs, and begin anew. */
	cr_assert_eq(curve.report.points[0].policy, store_running_policy(b.in.store));
	cr_assert_lt(curve.report.requests, 60000);
	for (unsigned i = 0; i < 300000; i++)
		demand(&b, next++ % 60000);
	b.gets = b.misses = 0;
	for (unsigned i = 0; i < 300000; i++)
		demand(&b, next++ % 60000);
	cr_assert_lt(b.misses, b.gets / 10 * 9, "%s: %u of %u", store_running_policy(b.in.store)->name, b.misses, b.gets);
	bench_close(&b.in);
}
