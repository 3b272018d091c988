/* test_heavy.c: the table of heavy hitters beside an exact count. */
#include <criterion/criterion.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "net/heavy.h"
#include "net/hot.h"
#include "tests/support/random.h"

#define KEYS 20000u
#define CAPACITY 128u
#define TEXT_BYTES 20u

static struct heavy heavy;
static void *memory;
static uint64_t exact[KEYS];
static uint64_t exact_tally[KEYS];
static uint64_t exact_total;

static void setup_of(struct heavy *h, void **block, uint32_t capacity)
{
	*block = malloc(heavy_bytes(capacity, TEXT_BYTES));
	memset(*block, 0x5a, heavy_bytes(capacity, TEXT_BYTES));
	heavy_init(h, *block, capacity, TEXT_BYTES);
}

static void setup(void)
{
	setup_of(&heavy, &memory, CAPACITY);
}

static void teardown(void)
{
	heavy_check(&heavy);
	free(memory);
}

/* Any bijection without a pattern will do: it cannot collide. */
static uint64_t hash_of(uint32_t number)
{
	uint64_t x = (uint64_t)number + 0x9e3779b97f4a7c15ULL;

	x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9ULL;
	x = (x ^ x >> 27) * 0x94d049bb133111ebULL;
	return x ^ x >> 31;
}

static bool add(struct heavy *h, uint32_t number, uint64_t weight, uint64_t tally)
{
	char text[TEXT_BYTES];
	int length = snprintf(text, sizeof(text), "key%u", number);

	exact[number] += weight;
	exact_tally[number] += tally;
	exact_total += weight;
	return heavy_add(h, hash_of(number), text, (size_t)length, weight, tally);
}

/* Ranks 0 .. KEYS-1 by 1 / (rank + 1), through the inverse of the sum's integral. */
static uint32_t draw_zipf(struct test_random *r)
{
	double u = (double)(test_random_next(r) >> 11) * 0x1p-53;

	return MIN((uint32_t)exp(u * log(KEYS)) - 1, KEYS - 1);
}

static uint32_t number_of(const struct heavy *h, const struct heavy_entry *entry)
{
	char text[TEXT_BYTES + 1] = {0};

	memcpy(text, heavy_text(h, entry), entry->text_length);
	cr_assert_eq(strncmp(text, "key", 3), 0);
	return (uint32_t)strtoul(text + 3, NULL, 10);
}

/* Every entry is as the head of heavy.h promises, and so is every text that has none. */
static void check_bounds(struct heavy *h, uint64_t error_max)
{
	for (uint32_t number = 0; number < KEYS; number++) {
		struct heavy_entry *entry = heavy_find(h, hash_of(number));
		if (entry == NULL) {
			cr_assert_leq(exact[number], error_max, "key %u with %lu is not there", number,
				      (unsigned long)exact[number]);
			continue;
		}
		cr_assert_eq(number_of(h, entry), number);
		cr_assert_geq(entry->count, exact[number]);
		cr_assert_leq(heavy_certain(entry), exact[number]);
		cr_assert_leq(entry->error, error_max);
		cr_assert_leq(entry->tally, exact_tally[number]);
	}
}

Test(heavy, what_fits_is_counted_exactly, .init = setup, .fini = teardown)
{
	struct test_random r = {test_seed(1)};

	for (unsigned i = 0; i < 100000; i++)
		cr_assert_not(add(&heavy, test_random_below(&r, CAPACITY), 1 + i % 7, i % 2));
	check_bounds(&heavy, 0);
	for (uint32_t number = 0; number < CAPACITY; number++)
		cr_assert_eq(heavy_find(&heavy, hash_of(number))->tally, exact_tally[number]);
	cr_assert_eq(heavy.total, exact_total);
	cr_assert_null(heavy_find(&heavy, hash_of(CAPACITY)));
}

Test(heavy, errors_of_a_zipf_stream_stay_below_its_length_by_the_capacity, .init = setup, .fini = teardown)
{
	struct test_random r = {test_seed(2)};

	for (unsigned i = 1; i <= 1000000; i++) {
		add(&heavy, draw_zipf(&r), 1, i % 3 == 0);
		if (i % 100000 == 0) {
			heavy_check(&heavy);
			check_bounds(&heavy, i / CAPACITY);
		}
	}
	cr_assert_eq(heavy.total, exact_total);
	/* And what it is for: the hottest are in their order, within a hundredth of what they are. */
	for (uint32_t number = 0; number < 5; number++) {
		const struct heavy_entry *entry = heavy_take(&heavy);
		cr_assert_eq(number_of(&heavy, entry), number);
		cr_assert_geq(heavy_certain(entry) * 100, exact[number] * 99);
	}
}

Test(heavy, errors_stay_bounded_with_weights, .init = setup, .fini = teardown)
{
	struct test_random r = {test_seed(3)};

	for (unsigned i = 0; i < 300000; i++)
		add(&heavy, draw_zipf(&r), 1 + test_random_below(&r, 5000), 1);
	heavy_check(&heavy);
	check_bounds(&heavy, exact_total / CAPACITY);
}

Test(heavy, a_stream_without_heavy_keys_certifies_none, .init = setup, .fini = teardown)
{
	for (unsigned i = 0; i < 10 * KEYS; i++)
		add(&heavy, i % KEYS, 1, 0);
	check_bounds(&heavy, 10 * KEYS / CAPACITY);
	for (uint32_t i = 0; i < CAPACITY; i++)
		cr_assert_leq(heavy_certain(&heavy.entries[i]), 1);
}

/* The hand's laps are paid for by the counts that raised the floor. */
Test(heavy, the_worst_stream_takes_two_steps_for_each_count, .init = setup, .fini = teardown)
{
	uint64_t steps = 0;

	for (unsigned i = 0; i < 100000; i++) {
		uint32_t hand = heavy.hand;
		add(&heavy, i % (CAPACITY + 1), 1, 0);
		steps += (heavy.hand + CAPACITY - hand) % CAPACITY;
	}
	cr_assert_leq(steps, 200000);
}

Test(heavy, merging_adds_up_errors_and_no_more, .init = setup, .fini = teardown)
{
	struct test_random r = {test_seed(4)};
	struct heavy parts[4];
	void *blocks[4];

	for (unsigned i = 0; i < 4; i++)
		setup_of(&parts[i], &blocks[i], CAPACITY);
	for (unsigned i = 0; i < 400000; i++)
		add(&parts[test_random_below(&r, 4)], draw_zipf(&r), 1, i % 2);
	for (unsigned i = 0; i < 4; i++) {
		heavy_merge(&heavy, &parts[i]);
		heavy_check(&heavy);
		free(blocks[i]);
	}
	cr_assert_eq(heavy.total, exact_total);
	check_bounds(&heavy, 2 * exact_total / CAPACITY);
}

Test(heavy, half_of_what_is_certain_is_certain, .init = setup, .fini = teardown)
{
	struct test_random r = {test_seed(5)};

	for (unsigned i = 0; i < 500000; i++)
		add(&heavy, draw_zipf(&r), 1, 1);
	for (unsigned power = 1; power <= 20; power++) {
		heavy_halve(&heavy);
		heavy_check(&heavy);
		for (uint32_t i = 0; i < heavy.used; i++) {
			const struct heavy_entry *entry = &heavy.entries[i];
			uint64_t truth = exact[number_of(&heavy, entry)];
			cr_assert_leq(heavy_certain(entry) << power, truth);
			cr_assert_geq(entry->count << power, truth);
			cr_assert_leq(entry->tally, heavy_certain(entry));
		}
	}
}

Test(heavy, keys_that_are_read_no_more_give_way, .init = setup, .fini = teardown)
{
	for (unsigned i = 0; i < 100000; i++)
		add(&heavy, i % CAPACITY, 1, 0);
	for (unsigned i = 0; i < 20; i++)
		heavy_halve(&heavy);
	for (unsigned i = 0; i < 100 * CAPACITY; i++)
		add(&heavy, CAPACITY + i % CAPACITY, 1, 0);
	for (uint32_t number = 0; number < CAPACITY; number++)
		cr_assert_not_null(heavy_find(&heavy, hash_of(CAPACITY + number)));
}

Test(heavy, taken_by_weight_and_equals_by_text, .init = setup, .fini = teardown)
{
	static const uint32_t order[] = {3, 1, 10, 2};

	add(&heavy, 2, 5, 0);
	add(&heavy, 10, 5, 0);
	add(&heavy, 1, 5, 0);
	add(&heavy, 3, 9, 0);
	add(&heavy, 4, 0, 0);
	for (unsigned i = 0; i < ARRAY_LENGTH(order); i++)
		cr_assert_eq(number_of(&heavy, heavy_take(&heavy)), order[i]);
	cr_assert_null(heavy_take(&heavy));
}

Test(heavy, zeroed_texts_are_still_known, .init = setup, .fini = teardown)
{
	add(&heavy, 7, 5, 1);
	heavy_zero(&heavy);
	struct heavy_entry *entry = heavy_find(&heavy, hash_of(7));
	cr_assert_not_null(entry);
	cr_assert_eq(entry->count, 0);
	cr_assert_eq(entry->tally, 0);
	cr_assert_null(heavy_take(&heavy));
}

/* --- sampling --------------------------------------------------------------------------------- */

static struct hot_keys hot;

static void setup_hot(void)
{
	memory = calloc(1, hot_bytes());
	hot_init(&hot, memory, test_seed(6), 100);
	setup_of(&heavy, &(void *){NULL}, CAPACITY);
}

static void teardown_hot(void)
{
	free(heavy.heads);
	hot_fini(&hot);
	free(memory);
}

Test(hot, samples_are_one_in_the_interval_and_never_at_a_rhythm, .init = setup_hot, .fini = teardown_hot)
{
	uint64_t gets = 0, evens = 0;
	const unsigned samples = 100000;

	for (unsigned i = 0; i < samples; i++) {
		uint32_t interval = hot_sample(&hot, hash_of(i % 10), "key", 3, true);
		cr_assert(interval >= 1 && interval < 2 * HOT_INTERVAL);
		gets += interval;
		evens += gets % 2;
	}
	cr_assert_float_eq((double)gets / samples, HOT_INTERVAL, 2.0);
	cr_assert_float_eq((double)evens / samples, 0.5, 0.02);
}

/* One sample a second, whatever was before, is one a second. */
Test(hot, weight_by_time_remains_a_rate, .init = setup_hot, .fini = teardown_hot)
{
	uint32_t seconds = 0;

	for (uint32_t now = 100; now < 2000; now++) {
		hot_sample(&hot, hash_of(1), "key1", 4, false);
		hot_tick(&hot, now + 1);
		if (now < 200 || now % 77 != 0)
			continue;
		heavy_clear(&heavy);
		seconds = hot_merge(&hot, now + 1, &heavy);
		cr_assert_float_eq((double)heavy.total / seconds, 1.0, 0.05);
		cr_assert_leq(seconds, 2 * HOT_HALF_SECONDS);
	}
	cr_assert_eq(heavy_certain(heavy_find(&heavy, hash_of(1))), heavy.total);
	cr_assert_eq(heavy.total_tally, heavy.total);
}

Test(hot, a_long_silence_forgets_all, .init = setup_hot, .fini = teardown_hot)
{
	for (unsigned i = 0; i < 1000; i++)
		hot_sample(&hot, hash_of(1), "key1", 4, true);
	hot_tick(&hot, 100000);
	hot_merge(&hot, 100000, &heavy);
	cr_assert_eq(heavy.total, 0);
	cr_assert_null(heavy_take(&heavy));
	hot_tick(&hot, 50); /* and time may go back */
	cr_assert_leq(hot_merge(&hot, 50, &heavy), HOT_HALF_SECONDS);
}
