/* histogram.c: see histogram.h. */
#include "bench/histogram.h"

#include <assert.h>
#include <math.h>
#include <string.h>

#include "store/base/base.h"

void histogram_init(struct histogram *h)
{
	memset(h, 0, sizeof(*h));
	h->min = UINT64_MAX;
}

void histogram_merge(struct histogram *h, const struct histogram *other)
{
	h->total_count += other->total_count;
	h->sum += other->sum;
	h->min = MIN(h->min, other->min);
	h->max = MAX(h->max, other->max);
	for (size_t i = 0; i < HISTOGRAM_BUCKET_COUNT; i++)
		h->counts[i] += other->counts[i];
}

/* Buckets from 256 on: index = shift * 128 + (value >> shift), the latter in 128..255. */
static unsigned histogram_bucket_shift(size_t bucket_index)
{
	if (bucket_index < 2 * HISTOGRAM_SUB_COUNT)
		return 0;
	return (unsigned)(bucket_index / HISTOGRAM_SUB_COUNT) - 1;
}

uint64_t histogram_bucket_low(size_t bucket_index)
{
	unsigned shift = histogram_bucket_shift(bucket_index);

	return (uint64_t)(bucket_index - (size_t)shift * HISTOGRAM_SUB_COUNT) << shift;
}

uint64_t histogram_bucket_high(size_t bucket_index)
{
	unsigned shift = histogram_bucket_shift(bucket_index);

	return histogram_bucket_low(bucket_index) + ((UINT64_C(1) << shift) - 1);
}

uint64_t histogram_percentile(const struct histogram *h, double percent)
{
	uint64_t wanted, seen = 0;

	if (h->total_count == 0)
		return 0;
	wanted = (uint64_t)ceil(MIN(percent, 100.0) / 100.0 * (double)h->total_count);
	wanted = MAX(MIN(wanted, h->total_count), 1);
	for (size_t i = 0; i < HISTOGRAM_BUCKET_COUNT; i++) {
		seen += h->counts[i];
		if (seen >= wanted)
			return MAX(MIN(histogram_bucket_high(i), h->max), h->min);
	}
	return h->max;
}

double histogram_mean(const struct histogram *h)
{
	return h->total_count > 0 ? h->sum / (double)h->total_count : 0;
}

void histogram_check(const struct histogram *h)
{
	uint64_t sum = 0;

	for (size_t i = 0; i < HISTOGRAM_BUCKET_COUNT; i++)
		sum += h->counts[i];
	assert(sum == h->total_count);
	if (sum == 0)
		return;
	assert(h->min <= h->max);
	assert(h->counts[histogram_bucket_of(h->min)] > 0);
	assert(h->counts[histogram_bucket_of(h->max)] > 0);
}
