/* keyspace.c: see keyspace.h. */
#include "bench/keyspace.h"

#include <assert.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "bench/tool.h"
#include "store/base/base.h"

#define KEYSPACE_ZIPF_THETA_DEFAULT 0.99

static uint64_t greatest_common_divisor(uint64_t a, uint64_t b)
{
	while (b != 0) {
		uint64_t rest = a % b;

		a = b;
		b = rest;
	}
	return a;
}

/* Near the golden section of count, where multiples lie far apart. */
static uint64_t keyspace_find_stride(uint64_t count)
{
	uint64_t stride = (uint64_t)((double)count * 0.6180339887498949) | 1;

	while (greatest_common_divisor(stride, count) != 1)
		stride++;
	return stride;
}

static inline uint64_t keyspace_spread(const struct keyspace *ks, uint64_t rank)
{
	return rank * ks->stride % ks->count; /* both below 2^32 */
}

/* "20%:80%": keys and requests. */
static bool keyspace_parse_hot(struct keyspace *ks, const char *text)
{
	double keys_percent, requests_percent;
	char percent, extra;

	if (sscanf(text, "%lf%%:%lf%c%c", &keys_percent, &requests_percent, &percent, &extra) != 3 ||
	    percent != '%')
		return false;
	if (!(keys_percent > 0) || keys_percent > 100 || !(requests_percent >= 0) ||
	    requests_percent > 100)
		return false;
	ks->order = KEYSPACE_HOT;
	ks->hot_share = requests_percent / 100;
	ks->hot_count = MAX((uint64_t)ceil((double)ks->count * keys_percent / 100), 1);
	return true;
}

static bool keyspace_parse_order(struct keyspace *ks, const char *text)
{
	double theta = KEYSPACE_ZIPF_THETA_DEFAULT;

	if (strcmp(text, "uniform") == 0)
		ks->order = KEYSPACE_UNIFORM;
	else if (strcmp(text, "sequential") == 0)
		ks->order = KEYSPACE_SEQUENTIAL;
	else if (strncmp(text, "hot:", 4) == 0)
		return keyspace_parse_hot(ks, text + 4);
	else if (strcmp(text, "zipf") == 0 ||
		 (strncmp(text, "zipf:", 5) == 0 && tool_parse_double(text + 5, &theta)))
		ks->order = KEYSPACE_ZIPF;
	else
		return false;
	zipf_init(&ks->zipf, ks->count, theta);
	return true;
}

/* How many digits the greatest number has, up to eight where every key has room for them. */
static bool keyspace_fit_digits(struct keyspace *ks, char *error)
{
	unsigned needed = 1;

	while (needed < KEYSPACE_DIGITS && (ks->count - 1) >> (4 * needed) != 0)
		needed++;
	if (ks->key_sizes.kind == SIZES_ETC_KEY)
		ks->key_sizes.min_bytes = KEYSPACE_DIGITS;
	if (ks->key_sizes.min_bytes < needed) {
		snprintf(error, SIZES_ERROR_BYTES, "%llu keys need keys of %u bytes at least",
			 (unsigned long long)ks->count, needed);
		return false;
	}
	ks->digit_count = MIN(ks->key_sizes.min_bytes, (uint32_t)KEYSPACE_DIGITS);
	return true;
}

static void keyspace_draw_key_sizes(struct keyspace *ks)
{
	if (ks->key_sizes.kind == SIZES_FIXED)
		return;
	ks->key_bytes = tool_alloc(ks->count, 1);
	for (uint64_t i = 0; i < ks->count; i++)
		ks->key_bytes[i] = (uint8_t)sizes_draw(&ks->key_sizes, random_mix(i ^ 0x6b6579));
}

bool keyspace_init(struct keyspace *ks, uint64_t count, const char *order, const char *key_sizes,
		   char *error)
{
	memset(ks, 0, sizeof(*ks));
	assert(count > 0);
	assert(count <= KEYSPACE_COUNT_MAX);
	ks->count = count;
	ks->stride = keyspace_find_stride(count);
	if (!keyspace_parse_order(ks, order)) {
		snprintf(error, SIZES_ERROR_BYTES, "\"%s\" is not uniform, zipf[:THETA], "
			 "hot:KEYS%%:REQUESTS%% or sequential", order);
		return false;
	}
	if (!sizes_init(&ks->key_sizes, key_sizes, SIZES_OF_KEYS, KEYSPACE_KEY_BYTES_MAX, error))
		return false;
	if (!keyspace_fit_digits(ks, error))
		return false;
	keyspace_draw_key_sizes(ks);
	return true;
}

void keyspace_fini(struct keyspace *ks)
{
	sizes_fini(&ks->key_sizes);
	free(ks->key_bytes);
}

void keyspace_cursor_init(struct keyspace_cursor *cursor, const struct keyspace *ks, uint64_t seed,
			  unsigned thread_index, unsigned thread_count)
{
	random_init(&cursor->random, random_mix(seed) + thread_index);
	cursor->next = thread_index % ks->count;
	cursor->step = thread_count;
}

static uint64_t keyspace_next_sequential(const struct keyspace *ks, struct keyspace_cursor *cursor)
{
	uint64_t number = cursor->next;

	cursor->next = (cursor->next + cursor->step) % ks->count;
	return number;
}

static uint64_t keyspace_next_hot(const struct keyspace *ks, struct keyspace_cursor *cursor)
{
	uint64_t rank;

	if (random_double(&cursor->random) < ks->hot_share || ks->hot_count == ks->count)
		rank = random_below(&cursor->random, ks->hot_count);
	else
		rank = ks->hot_count + random_below(&cursor->random, ks->count - ks->hot_count);
	return keyspace_spread(ks, rank);
}

uint64_t keyspace_next(const struct keyspace *ks, struct keyspace_cursor *cursor)
{
	switch (ks->order) {
	case KEYSPACE_UNIFORM:
		return random_below(&cursor->random, ks->count);
	case KEYSPACE_ZIPF:
		return keyspace_spread(ks, zipf_draw(&ks->zipf, &cursor->random));
	case KEYSPACE_HOT:
		return keyspace_next_hot(ks, cursor);
	default:
		return keyspace_next_sequential(ks, cursor);
	}
}

bool keyspace_parse(const struct keyspace *ks, const char *key, size_t key_bytes, uint64_t *number)
{
	uint64_t sum = 0;

	if (key_bytes < ks->digit_count)
		return false;
	for (const char *p = key + key_bytes - ks->digit_count; p < key + key_bytes; p++) {
		if (*p >= '0' && *p <= '9')
			sum = sum << 4 | (uint64_t)(*p - '0');
		else if (*p >= 'a' && *p <= 'f')
			sum = sum << 4 | (uint64_t)(*p - 'a' + 10);
		else
			return false;
	}
	*number = sum;
	return sum < ks->count && keyspace_key_bytes(ks, sum) == key_bytes;
}
