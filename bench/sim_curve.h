/*
 * sim_curve.h: the server's miss-ratio curves (eviction/mrc.h) over one trace, beside full simulations
 * of the same sizes.
 */
#ifndef LARDER_BENCH_SIM_CURVE_H
#define LARDER_BENCH_SIM_CURVE_H

#include "bench/sim_trace.h"
#include "eviction/mrc.h"

/* So many keys of a trace are sampled unless a rate is asked for; fewer where it has no more. */
#define SIM_CURVE_KEYS 12500u

struct sim_curve {
	uint64_t capacity;     /* factor 1 */
	double rate;           /* at the end */
	uint32_t sampled_keys; /* of the trace, at the rate to begin with */
	struct mrc_report report;
	uint32_t misses[MRC_LANES_MAX]; /* exact, of each point of the report */
	double mean_error;     /* absolute, over all points */
};

/* sim_curve_run: for this policy and strict LRU the whole curve, for the server's other policies
 * one point. rate 0: chosen by SIM_CURVE_KEYS. Exact runs are spread over so many threads. */
void sim_curve_run(const struct sim_trace *t, const struct policy_ops *policy, uint64_t capacity,
                   double rate, unsigned threads, struct sim_curve *curve);
void sim_curve_print(const struct sim_trace *t, const struct sim_curve *curve);

#endif
