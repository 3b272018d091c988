/*
 * zipf.h: draws ranks 0 .. n-1 with probability proportional to 1 / (rank + 1)^theta, exactly, in
 * constant time and without a table.
 *
 * The method is rejection-inversion: W. Hörmann and G. Derflinger, "Rejection-inversion to generate
 * variates from monotone discrete distributions", ACM TOMACS 6(3), 1996. A continuous hat
 * h(x) = x^-theta is inverted; a draw that lands outside its bar is thrown away, which happens to
 * one in a hundred or so. Any theta >= 0 will do, 1 included: near it the two functions are computed
 * through expm1 and log1p, whose series do not cancel.
 */
#ifndef LARDER_BENCH_ZIPF_H
#define LARDER_BENCH_ZIPF_H

#include <stdint.h>

#include "bench/random.h"

struct zipf {
	uint64_t count;
	double theta;
	double integral_low, integral_high; /* of h at 1.5, less the first bar; at count + 0.5 */
	double squeeze;                     /* a draw this close to its rank's middle is in its bar */
};

/* count from 1, theta from 0. */
void zipf_init(struct zipf *z, uint64_t count, double theta);
uint64_t zipf_draw(const struct zipf *z, struct random_state *rs);

#endif
