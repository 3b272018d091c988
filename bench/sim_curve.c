#include "bench/sim_curve.h"

#include <math.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#include "bench/sim_run.h"
#include "bench/tool.h"

#define THREADS_MAX 64u
/* As the server's, see store/curve.c. */
#define KEYS_MAX 16384u

static bool take_any(void *context, uint64_t bytes)
{
	return true;
}

static void give_any(void *context, uint64_t bytes)
{
}

static uint32_t count_sampled(const struct sim_trace *t, uint32_t threshold)
{
	uint32_t count = 0;

	for (uint32_t key = 0; key < t->key_count; key++)
		count += mrc_is_sampled(sim_hash(key), threshold);
	return count;
}

/* The whole cache, demand filled, with the sample beside it as beside the server's. */
static void run_sample(struct mrc *m, const struct sim_trace *t)
{
	struct mini_cache *whole = tool_alloc(1, sizeof(*whole));
	struct mini_options o = {
		.policy = m->options.policy,
		.capacity = m->budget_bytes,
		.entries_max = (uint32_t)MIN(m->budget_bytes, (uint64_t)t->key_count + 1),
		.memory = m->options.memory,
	};

	if (mini_init(whole, &o) != STATUS_OK)
		tool_fail("no memory for a cache of %llu", (unsigned long long)o.capacity);
	for (uint32_t i = 0; i < t->request_count; i++) {
		uint64_t hash = sim_hash(t->keys[i]);
		uint32_t weight = t->weights[t->keys[i]];
		double made[MRC_OUTCOMES] = { 0 };
		enum mrc_kind kind = MRC_MISS;
		bool hot = mini_reads(whole, hash) == STATE_READS_MAX;

		if (mini_access(whole, hash, weight))
			kind = hot ? MRC_HOT : MRC_HIT;
		made[kind] = 1;
		mrc_expect(m, made);
		if (!mrc_is_sampled(hash, m->threshold))
			continue;
		mrc_event(m, kind, hash, weight);
		if (kind == MRC_MISS)
			mrc_event(m, MRC_SET, hash, weight);
	}
	mini_fini(whole);
	free(whole);
}

/* ---- exact ---- */

struct exact_work {
	const struct sim_trace *trace;
	struct sim_curve *curve;
	atomic_uint next;
};

static void *exact_thread(void *context)
{
	struct exact_work *w = context;
	struct sim_curve *c = w->curve;
	unsigned taken;

	while ((taken = atomic_fetch_add(&w->next, 1)) < c->report.lane_count) {
		const struct mrc_point *point = &c->report.points[taken];

		c->misses[taken] = sim_run(w->trace, point->policy->name, point->budget_bytes);
	}
	return NULL;
}

static void run_exact(const struct sim_trace *t, struct sim_curve *curve, unsigned threads)
{
	struct exact_work w = { .trace = t, .curve = curve };
	pthread_t handles[THREADS_MAX];

	for (unsigned i = 0; i < threads; i++)
		if (pthread_create(&handles[i], NULL, exact_thread, &w) != 0)
			tool_fail("cannot start a thread");
	for (unsigned i = 0; i < threads; i++)
		pthread_join(handles[i], NULL);
}

/* ---- both ---- */

static double exact_ratio(const struct sim_trace *t, const struct sim_curve *c, unsigned point)
{
	return (double)c->misses[point] / MAX(1, t->request_count);
}

void sim_curve_run(const struct sim_trace *t, const struct policy_ops *policy, uint64_t capacity,
                   double rate, unsigned threads, struct sim_curve *curve)
{
	struct mrc *m = tool_alloc(1, sizeof(*m));

	if (rate == 0)
		rate = (double)SIM_CURVE_KEYS / MAX(1, t->key_count);
	struct mrc_options o = {
		.policy = policy,
		.others = true,
		.keys_max = KEYS_MAX,
		.threshold = (uint32_t)MAX(1, MIN(1.0, rate) * MRC_ALL),
		.memory = { take_any, give_any, NULL },
	};

	mrc_init(m, &o);
	mrc_set_budget(m, capacity, 0);
	if (mrc_start(m) != STATUS_OK)
		tool_fail("no memory for a sample");
	run_sample(m, t);
	*curve = (struct sim_curve){ .capacity = capacity, .sampled_keys = count_sampled(t, o.threshold) };
	mrc_report(m, &curve->report);
	curve->rate = curve->report.rate;
	run_exact(t, curve, MIN(threads, THREADS_MAX));
	for (unsigned i = 0; i < m->lane_count; i++) {
		double exact = exact_ratio(t, curve, i);

		curve->mean_error += fabs(curve->report.points[i].miss_ratio - exact) / m->lane_count;
	}
	mrc_check(m);
	mrc_stop(m);
	free(m);
}

void sim_curve_print(const struct sim_trace *t, const struct sim_curve *c)
{
	printf("%s: %u requests, %u keys, budget %llu; rate %.4f, %u keys sampled\n",
	       t->name, t->request_count, t->key_count, (unsigned long long)c->capacity, c->rate,
	       c->sampled_keys);
	printf("%12s %6s %12s %9s %9s %9s\n", "policy", "factor", "size", "exact", "sample", "error");
	for (unsigned i = 0; i < c->report.lane_count; i++) {
		const struct mrc_point *point = &c->report.points[i];
		double exact = exact_ratio(t, c, i);

		printf("%12s %6s %12llu %9.4f %9.4f %+9.4f\n", point->policy->name,
		       mrc_factor_text(point->factor), (unsigned long long)point->budget_bytes, exact,
		       point->miss_ratio, point->miss_ratio - exact);
	}
	printf("mean absolute error %.4f\n\n", c->mean_error);
	fflush(stdout);
}
