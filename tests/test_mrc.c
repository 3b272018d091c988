/* test_mrc.c: miss-ratio curves from a sample, beside full simulations of the same requests. */
#include <criterion/criterion.h>
#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include "eviction/mrc.h"
#include "eviction/mrc_ring.h"
#include "tests/support/account.h"
#include "tests/support/random.h"

#define KEYS 100000u
#define REQUESTS 600000u
#define CAPACITY 10000u

/* ---- builders ---- */

/* The finaliser of SplitMix64 (S. Vigna). */
static uint64_t hash_of(uint64_t key)
{
	uint64_t x = key + 0x9e3779b97f4a7c15ULL;

	x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ULL;
	x = (x ^ (x >> 27)) * 0x94d049bb133111ebULL;
	return x ^ (x >> 31);
}

struct stream {
	uint32_t *keys;
	uint32_t count;
};

/* Zipf with an exponent near 1: the density 1/x over 1 .. KEYS, by its inverse. */
static struct stream make_zipf(uint64_t seed)
{
	struct stream s = { malloc(REQUESTS * sizeof(uint32_t)), REQUESTS };
	struct test_random r = { seed };

	for (uint32_t i = 0; i < REQUESTS; i++) {
		double u = (double)test_random_below(&r, 1u << 30) / (1u << 30);

		s.keys[i] = (uint32_t)pow(KEYS, u) - 1;
	}
	return s;
}

/* Round and round over twice as many keys as fit. */
static struct stream make_loop(void)
{
	struct stream s = { malloc(REQUESTS * sizeof(uint32_t)), REQUESTS };

	for (uint32_t i = 0; i < REQUESTS; i++)
		s.keys[i] = i % (CAPACITY + CAPACITY / 2);
	return s;
}

static struct mrc *make_mrc(const struct policy_ops *policy, double rate, uint32_t keys_max,
                            struct account *account)
{
	struct mrc *m = malloc(sizeof(*m));
	struct mrc_options o = {
		.policy = policy,
		.others = true,
		.keys_max = keys_max,
		.threshold = (uint32_t)(rate * MRC_ALL),
		.memory = { account_take, account_give, account },
	};

	mrc_init(m, &o);
	mrc_set_budget(m, CAPACITY, 0);
	cr_assert_eq(mrc_start(m), STATUS_OK);
	return m;
}

static void drop_mrc(struct mrc *m, struct account *account)
{
	mrc_check(m);
	mrc_stop(m);
	mrc_check(m);
	cr_assert_eq(account->bytes, 0);
	free(m);
}

static struct mini_cache *make_whole(const struct policy_ops *policy, uint64_t capacity,
                                     struct account *account)
{
	struct mini_cache *whole = malloc(sizeof(*whole));
	struct mini_options o = { .policy = policy, .capacity = capacity, .entries_max = KEYS,
		                  .memory = { account_take, account_give, account } };

	cr_assert_eq(mini_init(whole, &o), STATUS_OK);
	return whole;
}

static double exact(const struct stream *s, const struct policy_ops *policy, uint64_t capacity)
{
	struct account account = { 0 };
	struct mini_cache *whole = make_whole(policy, capacity, &account);
	uint32_t misses = 0;

	for (uint32_t i = 0; i < s->count; i++)
		misses += !mini_access(whole, hash_of(s->keys[i]), 1);
	mini_fini(whole);
	free(whole);
	return (double)misses / s->count;
}

/* As a server does: a whole cache beside the sample says what became of each request. */
static void run(struct mrc *m, const struct stream *s)
{
	struct account account = { 0 };
	struct mini_cache *whole = make_whole(m->options.policy, CAPACITY, &account);

	for (uint32_t i = 0; i < s->count; i++) {
		uint64_t hash = hash_of(s->keys[i]);
		bool hot = mini_reads(whole, hash) == STATE_READS_MAX;
		enum mrc_kind kind = !mini_access(whole, hash, 1) ? MRC_MISS : hot ? MRC_HOT : MRC_HIT;
		double made[MRC_OUTCOMES] = { 0 };

		made[kind] = 1;
		mrc_expect(m, made);
		mrc_event(m, kind, hash, 1);
		if (kind == MRC_MISS)
			mrc_event(m, MRC_SET, hash, 1);
	}
	mini_fini(whole);
	free(whole);
}

/* Mean absolute error over all points. */
static double error_of(const struct mrc *m, const struct stream *s)
{
	struct mrc_report report;
	double sum = 0;

	mrc_report(m, &report);
	for (unsigned i = 0; i < report.lane_count; i++) {
		const struct mrc_point *point = &report.points[i];

		sum += fabs(point->miss_ratio - exact(s, point->policy, point->budget_bytes));
	}
	return sum / report.lane_count;
}

/* ---- accuracy ---- */

static void assert_close(const struct policy_ops *policy, const struct stream *s, double rate,
                         uint32_t keys_max, double bound)
{
	struct account account = { 0 };
	struct mrc *m = make_mrc(policy, rate, keys_max, &account);

	run(m, s);
	double error = error_of(m, s);

	cr_assert_leq(error, bound, "%s: %f", policy->name, error);
	drop_mrc(m, &account);
}

Test(mrc, all_keys_sampled_is_the_whole_simulation)
{
	struct stream s = make_zipf(test_seed(11));
	struct account account = { 0 };
	struct mrc *m = make_mrc(&policy_lru, 1, KEYS, &account);
	struct mrc_report report;

	run(m, &s);
	mrc_report(m, &report);
	for (unsigned i = 0; i < report.lane_count; i++)
		if (report.points[i].policy == &policy_lru)
			cr_assert_float_eq(report.points[i].miss_ratio,
			                   exact(&s, &policy_lru, report.points[i].budget_bytes), 1e-9);
	drop_mrc(m, &account);
	free(s.keys);
}

Test(mrc, an_eighth_of_the_keys_tells_what_zipf_misses)
{
	struct stream s = make_zipf(test_seed(12));

	assert_close(&policy_s3fifo, &s, 0.125, 16384, 0.015);
	assert_close(&policy_lru, &s, 0.125, 16384, 0.015);
	assert_close(&policy_tinylfu, &s, 0.125, 16384, 0.015);
	free(s.keys);
}

Test(mrc, an_eighth_of_the_keys_tells_where_a_loop_fits)
{
	struct stream s = make_loop();

	assert_close(&policy_s3fifo, &s, 0.125, 16384, 0.02);
	assert_close(&policy_lru, &s, 0.125, 16384, 0.02);
	free(s.keys);
}

Test(mrc, a_lower_rate_keeps_the_estimate)
{
	struct stream s = make_zipf(test_seed(13));
	struct account account = { 0 };
	/* Begins with half of the keys, and must come down to an eighth. */
	struct mrc *m = make_mrc(&policy_s3fifo, 0.5, 5000, &account);

	run(m, &s);
	cr_assert_lt(m->threshold, MRC_ALL / 4);
	cr_assert_geq(m->threshold, MRC_ALL / 32);
	double error = error_of(m, &s);

	cr_assert_leq(error, 0.015, "%f", error);
	drop_mrc(m, &account);
	free(s.keys);
}

/* ---- what a server does ---- */

Test(mrc, a_get_counts_once_and_a_set_not_at_all)
{
	struct account account = { 0 };
	struct mrc *m = make_mrc(&policy_lru, 1, 1000, &account);
	struct mrc_report report;
	double made[MRC_OUTCOMES] = { [MRC_MISS] = 1, [MRC_HIT] = 1 };

	mrc_event(m, MRC_MISS, hash_of(1), 0);
	mrc_event(m, MRC_SET, hash_of(1), 1);
	mrc_event(m, MRC_HIT, hash_of(1), 1);
	mrc_event(m, MRC_SET, hash_of(1), 1);
	mrc_expect(m, made);
	mrc_report(m, &report);
	cr_assert_float_eq(report.requests, 2, 0);
	for (unsigned i = 0; i < report.lane_count; i++)
		cr_assert_float_eq(report.points[i].miss_ratio, 0.5, 1e-9);

	mrc_event(m, MRC_DELETE, hash_of(1), 0);
	mrc_event(m, MRC_MISS, hash_of(1), 0);
	mrc_expect(m, (double[MRC_OUTCOMES]){ [MRC_MISS] = 1 });
	mrc_report(m, &report);
	cr_assert_float_eq(report.points[0].miss_ratio, 2.0 / 3, 1e-9);
	drop_mrc(m, &account);
}

Test(mrc, a_key_that_nobody_sets_after_a_miss_takes_no_room)
{
	struct account account = { 0 };
	struct mrc *m = make_mrc(&policy_s3fifo, 1, 1000, &account);
	struct mrc_report report;

	for (unsigned i = 0; i < 5000; i++)
		mrc_event(m, MRC_MISS, hash_of(i), 0);
	mrc_report(m, &report);
	cr_assert_eq(report.keys, 0);
	drop_mrc(m, &account);
}

Test(mrc, what_is_kept_beside_an_item_is_part_of_its_weight)
{
	struct account account = { 0 };
	struct mrc *m = malloc(sizeof(*m));
	struct mrc_options o = { .policy = &policy_s3fifo, .policy_bytes = true, .keys_max = 1000,
		                 .threshold = MRC_ALL, .memory = { account_take, account_give, &account } };

	mrc_init(m, &o);
	mrc_set_budget(m, 1000, 100);
	cr_assert_eq(mrc_start(m), STATUS_OK);
	mrc_event(m, MRC_SET, hash_of(1), 100);
	for (unsigned i = 0; i < m->lane_count; i++) {
		const struct mrc_lane *lane = &m->lanes[i];
		uint64_t capacity = lane->factor == 0 ? 25 : lane->factor == 5 ? 3900 : lane->mini.capacity;

		cr_assert_eq(lane->mini.capacity, capacity);
		if (lane->factor > 0)
			cr_assert_eq(lane->mini.weight, lane->policy == &policy_lru ? 108 : 102);
	}
	drop_mrc(m, &account);
}

Test(mrc, keys_that_are_not_sampled_are_left_out)
{
	struct account account = { 0 };
	struct mrc *m = make_mrc(&policy_lru, 0.25, 16384, &account);
	uint32_t sampled = 0;

	for (unsigned i = 0; i < 10000; i++) {
		sampled += mrc_is_sampled(hash_of(i), m->threshold);
		mrc_event(m, MRC_MISS, hash_of(i), 0);
	}
	cr_assert_float_eq(m->requests[MRC_MISS], sampled, 0);
	cr_assert_gt(sampled, 2200);
	cr_assert_lt(sampled, 2800);
	drop_mrc(m, &account);
}

/* ---- memory, budgets ---- */

Test(mrc, little_memory_lowers_the_rate_and_keeps_the_estimate)
{
	struct stream s = make_zipf(test_seed(14));
	struct account account = { .limit = 0 };
	struct mrc *m = make_mrc(&policy_s3fifo, 1, 16384, &account);

	mrc_set_memory(m, 512u << 10);
	run(m, &s);
	cr_assert_lt(m->threshold, MRC_ALL);
	cr_assert_geq(m->threshold, MRC_ALL / 64);
	cr_assert_leq(m->used_bytes, 512u << 10);
	double error = error_of(m, &s);

	cr_assert_leq(error, 0.03, "%f at 1/%u", error, MRC_ALL / m->threshold);
	drop_mrc(m, &account);
	free(s.keys);
}

Test(mrc, starts_whole_or_not_at_all)
{
	struct account account = { .limit = 1 };
	struct mrc *m = malloc(sizeof(*m));
	struct mrc_options o = { .policy = &policy_s3fifo, .others = true, .keys_max = 1000,
		                 .threshold = MRC_ALL, .memory = { account_take, account_give, &account } };
	enum status status;

	mrc_init(m, &o);
	mrc_set_budget(m, CAPACITY, 0);
	while ((status = mrc_start(m)) != STATUS_OK) {
		cr_assert_eq(status, STATUS_NO_MEMORY);
		cr_assert_eq(account.bytes, 0);
		mrc_event(m, MRC_HIT, 1, 1);
		mrc_lower_rate(m);
		mrc_clear(m);
		mrc_check(m);
		account.limit += 512;
	}
	mrc_check(m);
	drop_mrc(m, &account);
}

Test(mrc, another_budget_is_followed)
{
	struct stream s = make_zipf(test_seed(15));
	struct account account = { 0 };
	struct mrc *m = make_mrc(&policy_lru, 0.25, 16384, &account);
	struct mrc_report report;

	run(m, &s);
	mrc_set_budget(m, CAPACITY / 4, 0);
	run(m, &s);
	mrc_check(m);
	mrc_reset(m);
	run(m, &s);
	mrc_report(m, &report);
	cr_assert_eq(report.points[MRC_FACTOR_ONE].budget_bytes, CAPACITY / 4);
	/* It was warm, and the stream's first requests of each key are no misses now. */
	for (unsigned factor = 0; factor < MRC_FACTORS; factor++) {
		struct mrc_point *point = &report.points[factor];
		double ratio = exact(&s, &policy_lru, point->budget_bytes);

		cr_assert_leq(point->miss_ratio, ratio + 0.02);
		cr_assert_geq(point->miss_ratio, ratio - (double)KEYS / REQUESTS);
	}
	drop_mrc(m, &account);
	free(s.keys);
}

Test(mrc, a_reset_forgets_counts_and_a_clear_forgets_keys)
{
	struct account account = { 0 };
	struct mrc *m = make_mrc(&policy_s3fifo, 1, 1000, &account);
	struct mrc_report report;

	for (unsigned i = 0; i < 100; i++)
		mrc_event(m, MRC_HIT, hash_of(i), 1);
	mrc_reset(m);
	mrc_report(m, &report);
	cr_assert_float_eq(report.requests, 0, 0);
	cr_assert_eq(report.keys, 100);
	mrc_clear(m);
	mrc_report(m, &report);
	cr_assert_eq(report.keys, 0);
	mrc_check(m);
	drop_mrc(m, &account);
}

Test(mrc, the_policy_that_misses_least_is_the_best)
{
	struct stream s = make_loop();
	struct account account = { 0 };
	struct mrc *m = make_mrc(&policy_lru, 0.25, 16384, &account);
	struct mrc_report report;

	run(m, &s);
	mrc_report(m, &report);
	/* Strict LRU misses all of a loop that does not fit. */
	cr_assert_neq(report.best, &policy_lru);
	cr_assert_gt(report.gain, 0.2);
	drop_mrc(m, &account);
	free(s.keys);
}

/* ---- the ring ---- */

Test(mrc_ring, gives_in_order_what_was_pushed_and_counts_what_it_drops)
{
	struct mrc_ring *ring = calloc(1, sizeof(*ring));
	enum mrc_kind kind;
	uint64_t hash;
	uint32_t weight;

	for (unsigned round = 0; round < 3; round++) {
		for (unsigned i = 0; i < MRC_RING_ENTRIES + 5; i++)
			mrc_ring_push(ring, i % 5, i, i == 7 ? UINT64_MAX : i);
		for (unsigned i = 0; i < MRC_RING_ENTRIES; i++) {
			cr_assert(mrc_ring_pop(ring, &kind, &hash, &weight));
			cr_assert_eq(kind, i % 5);
			cr_assert_eq(hash, i);
			cr_assert_eq(weight, i == 7 ? MRC_WEIGHT_MAX : i);
		}
		cr_assert_not(mrc_ring_pop(ring, &kind, &hash, &weight));
		cr_assert_eq(ring->dropped, 5 * (round + 1));
	}
	free(ring);
}

#define PUSHES 300000u

static void *producer(void *context)
{
	for (uint32_t i = 1; i <= PUSHES; i++)
		mrc_ring_push(context, MRC_SET, (uint64_t)i << 32 | i, i);
	return NULL;
}

Test(mrc_ring, between_two_threads_nothing_is_torn_or_out_of_order)
{
	struct mrc_ring *ring = calloc(1, sizeof(*ring));
	pthread_t thread;
	uint64_t got = 0, last = 0, hash;
	enum mrc_kind kind;
	uint32_t weight;

	pthread_create(&thread, NULL, producer, ring);
	while (last != PUSHES && got + ring->dropped < PUSHES) {
		if (!mrc_ring_pop(ring, &kind, &hash, &weight))
			continue;
		cr_assert_eq(hash >> 32, hash & UINT32_MAX);
		cr_assert_eq(weight, hash >> 32);
		cr_assert_gt(weight, last);
		last = weight;
		got++;
	}
	pthread_join(thread, NULL);
	while (mrc_ring_pop(ring, &kind, &hash, &weight))
		got++;
	cr_assert_eq(got + ring->dropped, PUSHES);
	free(ring);
}
