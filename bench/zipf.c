/* zipf.c: see zipf.h. */
#include "bench/zipf.h"

#include <assert.h>
#include <math.h>

/* (e^x - 1) / x and log(1 + x) / x, both 1 at 0. */
static double zipf_expm1_over(double x)
{
	return fabs(x) > 1e-8 ? expm1(x) / x : 1 + x / 2;
}

static double zipf_log1p_over(double x)
{
	return fabs(x) > 1e-8 ? log1p(x) / x : 1 - x / 2;
}

static double zipf_hat(const struct zipf *z, double x)
{
	return exp(-z->theta * log(x));
}

/* The integral of the hat from 1 to x: (x^(1-theta) - 1) / (1 - theta), or log x. */
static double zipf_integral(const struct zipf *z, double x)
{
	double log_x = log(x);

	return zipf_expm1_over((1 - z->theta) * log_x) * log_x;
}

static double zipf_integral_inverse(const struct zipf *z, double y)
{
	double t = y * (1 - z->theta);

	if (t < -1) /* rounding at the far end */
		t = -1;
	return exp(zipf_log1p_over(t) * y);
}

void zipf_init(struct zipf *z, uint64_t count, double theta)
{
	assert(count > 0);
	assert(theta >= 0);
	z->count = count;
	z->theta = theta;
	z->integral_low = zipf_integral(z, 1.5) - 1;
	z->integral_high = zipf_integral(z, (double)count + 0.5);
	z->squeeze = 2 - zipf_integral_inverse(z, zipf_integral(z, 2.5) - zipf_hat(z, 2));
}

uint64_t zipf_draw(const struct zipf *z, struct random_state *rs)
{
	for (;;) {
		double u = z->integral_high +
			   random_double(rs) * (z->integral_low - z->integral_high);
		double x = zipf_integral_inverse(z, u);
		double k = floor(x + 0.5);

		if (k < 1)
			k = 1;
		if (k > (double)z->count)
			k = (double)z->count;
		if (k - x <= z->squeeze || u >= zipf_integral(z, k + 0.5) - zipf_hat(z, k))
			return (uint64_t)k - 1;
	}
}
