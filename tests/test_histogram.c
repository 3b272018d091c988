/* test_histogram.c: bench/histogram against sorted arrays of the same values. */
#include "bench/histogram.h"

#include <criterion/criterion.h>
#include <stdlib.h>

#include "bench/random.h"
#include "store/base/base.h"

static struct histogram *make_histogram(void)
{
	struct histogram *h = malloc(sizeof(*h));

	histogram_init(h);
	return h;
}

static int compare_u64(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

Test(histogram, buckets_follow_one_another_without_gap_or_overlap)
{
	cr_assert_eq(histogram_bucket_low(0), 0);
	for (size_t i = 1; i < HISTOGRAM_BUCKET_COUNT; i++)
		cr_assert_eq(histogram_bucket_low(i), histogram_bucket_high(i - 1) + 1, "%zu", i);
	cr_assert_eq(histogram_bucket_high(HISTOGRAM_BUCKET_COUNT - 1), UINT64_MAX);
}

Test(histogram, a_value_falls_into_the_bucket_whose_ends_hold_it)
{
	for (size_t i = 0; i < HISTOGRAM_BUCKET_COUNT; i++) {
		cr_assert_eq(histogram_bucket_of(histogram_bucket_low(i)), i);
		cr_assert_eq(histogram_bucket_of(histogram_bucket_high(i)), i);
	}
}

Test(histogram, a_bucket_is_at_most_a_128th_of_its_values_wide)
{
	for (size_t i = 256; i < HISTOGRAM_BUCKET_COUNT; i++) {
		uint64_t width = histogram_bucket_high(i) - histogram_bucket_low(i) + 1;

		cr_assert_leq(width, histogram_bucket_low(i) / 128);
	}
}

Test(histogram, an_empty_one_answers_0)
{
	struct histogram *h = make_histogram();

	histogram_check(h);
	cr_assert_eq(histogram_percentile(h, 99), 0);
	cr_assert_eq(histogram_mean(h), 0);
	free(h);
}

/* Values of all magnitudes; the reference is the sorted array's value at the same rank. */
Test(histogram, percentiles_are_the_sorted_values_within_a_128th)
{
	enum { COUNT = 20001 };
	static const double percents[] = {0, 1, 25, 50, 90, 99, 99.9, 99.99, 100};
	uint64_t *values = calloc(COUNT, sizeof(*values));
	struct histogram *h = make_histogram();
	struct random_state rs;

	random_init(&rs, 7);
	for (size_t i = 0; i < COUNT; i++) {
		values[i] = random_u64(&rs) >> (20 + random_below(&rs, 44));
		histogram_record(h, values[i]);
	}
	histogram_check(h);
	qsort(values, COUNT, sizeof(*values), compare_u64);
	for (size_t i = 0; i < ARRAY_LENGTH(percents); i++) {
		double rank = percents[i] / 100 * COUNT;
		size_t at = rank < 1 ? 0 : (size_t)rank == rank ? (size_t)rank - 1 : (size_t)rank;
		uint64_t got = histogram_percentile(h, percents[i]);

		cr_assert_geq(got, values[at], "p%g", percents[i]);
		cr_assert_leq((double)got, (double)values[at] * (1 + 1.0 / 128), "p%g", percents[i]);
	}
	cr_assert_eq(histogram_percentile(h, 100), values[COUNT - 1]);
	cr_assert_eq(h->min, values[0]);
	free(values);
	free(h);
}

Test(histogram, merging_equals_recording_everything_in_one)
{
	struct histogram *a = make_histogram(), *b = make_histogram(), *both = make_histogram();

	for (uint64_t i = 0; i < 1000; i++) {
		histogram_record(i % 3 ? a : b, i * i);
		histogram_record(both, i * i);
	}
	histogram_record_many(b, 12345, 6);
	histogram_record_many(both, 12345, 6);
	histogram_merge(a, b);
	histogram_check(a);
	cr_assert_arr_eq(a->counts, both->counts, sizeof(a->counts));
	cr_assert_eq(a->total_count, both->total_count);
	cr_assert_eq(a->min, both->min);
	cr_assert_eq(a->max, both->max);
	cr_assert_float_eq(histogram_mean(a), histogram_mean(both), 1e-6);
	free(a);
	free(b);
	free(both);
}
