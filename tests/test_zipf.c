/* test_zipf.c: bench/zipf, bench/sizes and bench/keyspace: are the frequencies those they promise? */
#include "bench/zipf.h"

#include <criterion/criterion.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bench/keyspace.h"
#include "bench/sizes.h"
#include "store/base/base.h"

/* The chi-square of draws against Zipf's probabilities, ranks expected less than ten times taken
 * together; returned as a number of standard deviations from its mean. */
static double zipf_deviation(uint64_t count, double theta, uint64_t draws)
{
	uint64_t *seen = calloc(count, sizeof(*seen));
	struct random_state rs;
	struct zipf z;
	double norm = 0, chi = 0, rest_wanted = 0, rest_seen = 0;
	unsigned cells = 0;

	random_init(&rs, 42);
	zipf_init(&z, count, theta);
	for (uint64_t i = 0; i < draws; i++) {
		uint64_t rank = zipf_draw(&z, &rs);

		cr_assert_lt(rank, count);
		seen[rank]++;
	}
	for (uint64_t i = 0; i < count; i++)
		norm += pow((double)(i + 1), -theta);
	for (uint64_t i = 0; i < count; i++) {
		rest_wanted += pow((double)(i + 1), -theta) / norm * (double)draws;
		rest_seen += (double)seen[i];
		if (rest_wanted < 10 && i + 1 < count)
			continue;
		chi += (rest_seen - rest_wanted) * (rest_seen - rest_wanted) / rest_wanted;
		cells++;
		rest_wanted = rest_seen = 0;
	}
	free(seen);
	return cells > 1 ? (chi - (cells - 1)) / sqrt(2.0 * (cells - 1)) : 0;
}

Test(zipf, frequencies_are_exact_for_any_exponent)
{
	static const double thetas[] = {0, 0.5, 0.9, 0.99, 1, 1.01, 1.3, 2};
	static const uint64_t counts[] = {1, 2, 3, 10, 1000, 100000};

	for (size_t t = 0; t < ARRAY_LENGTH(thetas); t++) {
		for (size_t n = 0; n < ARRAY_LENGTH(counts); n++) {
			double deviation = zipf_deviation(counts[n], thetas[t], 300000);

			cr_assert_lt(fabs(deviation), 5, "theta %g, %llu keys: %g", thetas[t],
				     (unsigned long long)counts[n], deviation);
		}
	}
}

Test(zipf, the_most_popular_of_ten_million_has_its_share)
{
	struct random_state rs;
	struct zipf z;
	double norm = 0;
	unsigned first = 0;

	random_init(&rs, 1);
	zipf_init(&z, 10000000, 0.99);
	for (unsigned i = 1; i <= 10000000; i++)
		norm += pow(i, -0.99);
	for (unsigned i = 0; i < 1000000; i++)
		first += zipf_draw(&z, &rs) == 0;
	cr_assert_float_eq(first / 1e6, 1 / norm, 5 * sqrt(1 / norm / 1e6));
}

/* ---- sizes ---- */

static double mean_size(const struct sizes *sz)
{
	struct random_state rs;
	double sum = 0;

	random_init(&rs, 3);
	for (unsigned i = 0; i < 1000000; i++) {
		uint32_t size = sizes_draw(sz, random_u64(&rs));

		cr_assert_geq(size, sz->min_bytes);
		cr_assert_leq(size, sz->max_bytes);
		sum += size;
	}
	return sum / 1e6;
}

static struct sizes make_sizes(const char *text, enum sizes_use use)
{
	struct sizes sz;
	char error[SIZES_ERROR_BYTES] = "";

	cr_assert(sizes_init(&sz, text, use, use == SIZES_OF_KEYS ? 250 : 1 << 30, error), "%s", error);
	return sz;
}

/* The means follow from the parameters: 15 + scale / (1 - shape) for the Pareto part, whose share is
 * 1 - 0.44155; location + scale * (gamma(1 - shape) - 1) / shape for the keys. */
Test(sizes, the_models_have_the_means_of_their_parameters)
{
	struct sizes values = make_sizes("etc", SIZES_OF_VALUES);
	struct sizes keys = make_sizes("etc", SIZES_OF_KEYS);
	double small = 1 * 0.00047 + 2 * 0.17820 + 3 * 0.09239 + 4 * 0.00018 + 5 * 0.02740 +
		       6 * 0.00065 + 7 * 0.00606 + 8 * 0.00023 + 9 * 0.00837 + 10 * 0.00837 +
		       11 * 0.08989 + 12 * 0.00092 + 13 * 0.00326 + 14 * 0.01980;
	double large = (1 - 0.44155) * (14.5 + 214.476 / (1 - 0.348238));
	double key = 30.7984 + 8.20449 * (tgamma(1 - 0.078688) - 1) / 0.078688 - 0.5;

	cr_assert_float_eq(mean_size(&values), small + large, 0.02 * (small + large));
	cr_assert_float_eq(mean_size(&keys), key, 0.02 * key);
}

Test(sizes, a_range_is_uniform_with_both_ends)
{
	struct sizes sz = make_sizes("10-13", SIZES_OF_VALUES);
	unsigned seen[14] = {0};
	struct random_state rs;

	random_init(&rs, 9);
	for (unsigned i = 0; i < 40000; i++)
		seen[sizes_draw(&sz, random_u64(&rs))]++;
	for (unsigned i = 10; i <= 13; i++)
		cr_assert_float_eq((double)seen[i], 10000, 500);
}

Test(sizes, a_file_gives_its_weights)
{
	char path[] = "/tmp/test-sizes-XXXXXX", text[64];
	int fd = mkstemp(path);
	struct sizes sz;

	cr_assert_eq(write(fd, "# size weight\n100 3\n7\n\n2000 0\n", 30), 30);
	close(fd);
	snprintf(text, sizeof(text), "file:%s", path);
	sz = make_sizes(text, SIZES_OF_VALUES);
	cr_assert_float_eq(mean_size(&sz), (300 + 7) / 4.0, 0.5);
	sizes_fini(&sz);
	unlink(path);
}

Test(sizes, what_is_no_size_is_refused)
{
	static const char *const texts[] = {"", "x", "-5", "5-", "9-3", "1-2-3", "file:/nonexistent",
					    "2000", "10x"};

	for (size_t i = 0; i < ARRAY_LENGTH(texts); i++) {
		char error[SIZES_ERROR_BYTES] = "";
		struct sizes sz;

		cr_assert_not(sizes_init(&sz, texts[i], SIZES_OF_VALUES, 1999, error), "%s", texts[i]);
		cr_assert_neq(error[0], '\0');
		sizes_fini(&sz);
	}
}

/* ---- keyspace ---- */

static struct keyspace make_keyspace(uint64_t count, const char *order, const char *key_sizes)
{
	struct keyspace ks;
	char error[SIZES_ERROR_BYTES] = "";

	cr_assert(keyspace_init(&ks, count, order, key_sizes, error), "%s", error);
	return ks;
}

Test(keyspace, every_key_is_written_and_read_back)
{
	static const char *const key_sizes[] = {"4", "7", "8", "15", "16-40", "etc", "usr", "250"};

	for (size_t i = 0; i < ARRAY_LENGTH(key_sizes); i++) {
		struct keyspace ks = make_keyspace(60000, "uniform", key_sizes[i]);

		for (uint64_t number = 0; number < 60000; number++) {
			char key[KEYSPACE_KEY_BYTES_MAX];
			unsigned bytes = keyspace_key_bytes(&ks, number);
			uint64_t back;

			cr_assert_eq(keyspace_write(&ks, key, number, bytes), key + bytes);
			cr_assert(keyspace_parse(&ks, key, bytes, &back));
			cr_assert_eq(back, number);
			cr_assert_not(keyspace_parse(&ks, key, bytes - 1, &back) && back == number);
		}
		keyspace_fini(&ks);
	}
}

Test(keyspace, digits_are_hexadecimal)
{
	static const uint32_t numbers[] = {0, 9, 10, 0x12345678, 0x9abcdef0, 0xffffffff};

	for (size_t i = 0; i < ARRAY_LENGTH(numbers); i++) {
		uint64_t digits = keyspace_hex(numbers[i]);
		char wanted[9];

		snprintf(wanted, sizeof(wanted), "%08x", numbers[i]);
		cr_assert_arr_eq((char *)&digits, wanted, 8);
	}
}

Test(keyspace, sequential_threads_together_take_each_key_in_turn)
{
	struct keyspace ks = make_keyspace(1000, "sequential", "15");
	unsigned seen[1000] = {0};

	for (unsigned t = 0; t < 3; t++) {
		struct keyspace_cursor cursor;

		keyspace_cursor_init(&cursor, &ks, 1, t, 3);
		for (unsigned i = t; i < 1000; i += 3)
			seen[keyspace_next(&ks, &cursor)]++;
	}
	for (unsigned i = 0; i < 1000; i++)
		cr_assert_eq(seen[i], 1);
	keyspace_fini(&ks);
}

Test(keyspace, the_hot_set_gets_its_share_and_zipf_touches_every_key)
{
	struct keyspace hot = make_keyspace(1000, "hot:10%:75%", "15");
	struct keyspace zipf = make_keyspace(1000, "zipf:0.5", "15");
	unsigned hot_seen[1000] = {0}, zipf_seen[1000] = {0}, in_hot = 0;
	struct keyspace_cursor cursor;

	keyspace_cursor_init(&cursor, &hot, 5, 0, 1);
	for (unsigned i = 0; i < 200000; i++) {
		hot_seen[keyspace_next(&hot, &cursor)]++;
		zipf_seen[keyspace_next(&zipf, &cursor)]++;
	}
	for (unsigned i = 0; i < 1000; i++) { /* a hot key: 1500 expected, another: 56 */
		in_hot += hot_seen[i] > 500;
		cr_assert_gt(zipf_seen[i], 0);
	}
	cr_assert_eq(in_hot, 100);
	keyspace_fini(&hot);
	keyspace_fini(&zipf);
}

Test(keyspace, what_is_no_order_is_refused)
{
	static const char *const orders[] = {"", "zip", "zipf:", "zipf:-1", "hot", "hot:0%:5%",
					     "hot:10:5%", "hot:10%:101%", "hot:1%:5%x"};

	for (size_t i = 0; i < ARRAY_LENGTH(orders); i++) {
		struct keyspace ks;
		char error[SIZES_ERROR_BYTES] = "";

		cr_assert_not(keyspace_init(&ks, 10, orders[i], "15", error), "%s", orders[i]);
		keyspace_fini(&ks);
	}
}
