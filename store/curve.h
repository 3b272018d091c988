/*
 * curve.h: the store's miss-ratio curves (eviction/mrc.h), learned from its own traffic.
 *
 *   store_get, store_touch, a write, a delete --sampled key--> ring of the thread --store_maintain--> mrc
 *
 * A request of a key that is not sampled costs one compare. The simulation runs on the maintaining
 * thread, in slices. Its memory is charged to ACCOUNT_EVICTION with the first sampled request, all that it
 * may ever take: a part in CURVE_SHARE of the budget, CURVE_BYTES_MAX at most; below CURVE_BYTES_LEAST there
 * are no curves. Until it is charged nothing is simulated, and what the rings cannot hold is dropped.
 *
 * Requests are gets and touches. A key that expires is gone from the simulation once the store itself has
 * removed it, so an item that only a larger cache would still hold is thought to live on.
 */
#ifndef LARDER_CURVE_H
#define LARDER_CURVE_H

#include "eviction/mrc.h"

struct store;

#define CURVE_ONE_IN 256u       /* keys are sampled to begin with */
#define CURVE_KEYS_MAX 16384u   /* in one simulated cache */
#define CURVE_SHARE 128u
#define CURVE_BYTES_MAX (4u << 20)
#define CURVE_BYTES_LEAST (256u << 10)
#define CURVE_HALF_SECONDS 300u /* after which what was counted weighs half */

struct store_curve {
	bool enabled; /* the budget has room for it; it begins with the first sampled request */
	struct mrc_report report;
	uint64_t dropped; /* sampled requests that found their ring full, since the last reset */
	/* A policy that would have missed at least CURVE_ADVICE_GAIN less than the running one, and by more
	 * misses than chance, at CURVE_ADVICE_LOOKS looks in a row, and that was the best at the first;
	 * NULL if there is none. What policy_follows_curves follows. */
	const struct policy_ops *advice;
	double advice_gain; /* share of the running policy's misses, at the last look */
};

#define CURVE_ADVICE_GAIN 0.02
#define CURVE_LOOK_SECONDS 5u
#define CURVE_ADVICE_LOOKS 6u
#define CURVE_ADVICE_REQUESTS 1000.0 /* sampled, at least */
#define CURVE_ADVICE_DEVIATIONS 3.0  /* misses saved, in square roots of the sampled misses */
/* Requests of one key are no independent sample: a curve of n keys is off by 0.2 to 0.4 / sqrt(n) (README of
 * eviction, Curves). So much the miss ratio must fall, times 1 / sqrt(n). */
#define CURVE_ADVICE_KEY_ERROR 0.5

/* The maintaining thread: store_maintain should be called again in some 20 ms, or sampled requests will
 * be dropped. */
bool store_curve_is_busy(const struct store *s);

/* Both: any thread. What is told is as of the last slice, a tenth of a second ago at most. */
void store_curve_read(struct store *s, struct store_curve *curve);
void store_curve_reset(struct store *s);

#endif
