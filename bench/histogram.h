/*
 * histogram.h: counts of values from 0 to 2^64-1 in buckets of constant relative width.
 *
 * The model is HdrHistogram (G. Tene): below 256 every value has a bucket of its own; above,
 * each power of two is cut into 128 equal buckets, so that a value is known to within 1/128 of
 * itself (0.8 %) at any magnitude. One fixed array of 59 KB, nothing allocated, recording is a shift
 * and an add; two histograms merge by adding. Not shared between threads: one each, merged after.
 *
 *	value:   0 1 2 .. 255 | 256 258 .. 510 | 512 516 .. 1020 | ...
 *	bucket:  0 1 2 .. 255 | 256 257 .. 383 | 384 385 ..  511 | ...
 */
#ifndef LARDER_BENCH_HISTOGRAM_H
#define LARDER_BENCH_HISTOGRAM_H

#include <stddef.h>
#include <stdint.h>

#define HISTOGRAM_SUB_BITS 7
#define HISTOGRAM_SUB_COUNT (1u << HISTOGRAM_SUB_BITS)
#define HISTOGRAM_BUCKET_COUNT ((64 - HISTOGRAM_SUB_BITS + 1) * HISTOGRAM_SUB_COUNT)

struct histogram {
	uint64_t total_count;
	uint64_t min, max; /* exact; meaningless while total_count is 0 */
	double sum;
	uint64_t counts[HISTOGRAM_BUCKET_COUNT];
};

void histogram_init(struct histogram *h);
void histogram_merge(struct histogram *h, const struct histogram *other);

/* The bucket a value falls into, and the least and greatest values of a bucket. */
static inline size_t histogram_bucket_of(uint64_t value)
{
	unsigned shift;

	if (value < 2 * HISTOGRAM_SUB_COUNT)
		return (size_t)value;
	shift = 63u - (unsigned)__builtin_clzll(value) - HISTOGRAM_SUB_BITS;
	return (size_t)shift * HISTOGRAM_SUB_COUNT + (size_t)(value >> shift);
}
uint64_t histogram_bucket_low(size_t bucket_index);
uint64_t histogram_bucket_high(size_t bucket_index);

static inline void histogram_record_many(struct histogram *h, uint64_t value, uint64_t count)
{
	h->counts[histogram_bucket_of(value)] += count;
	h->total_count += count;
	h->sum += (double)value * (double)count;
	if (value < h->min)
		h->min = value;
	if (value > h->max)
		h->max = value;
}

static inline void histogram_record(struct histogram *h, uint64_t value)
{
	histogram_record_many(h, value, 1);
}

/* The least value that at least this share of the counted values does not exceed, rounded up to
 * its bucket's end (never above the maximum). percent from 0 to 100; 0 for an empty histogram. */
uint64_t histogram_percentile(const struct histogram *h, double percent);
double histogram_mean(const struct histogram *h);

/* Asserts that the counts add up and that min and max lie in occupied buckets. */
void histogram_check(const struct histogram *h);

#endif
