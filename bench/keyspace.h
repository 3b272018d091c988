/*
 * keyspace.h: the keys of a load: what their texts are, and which is asked for next.
 *
 * A key is a number below count. Its text is filler in front and the number in hexadecimal at the
 * end, so that a reply can be traced back to its number; its length is drawn once from the key's
 * number. Popular keys of the skewed distributions are spread over the numbers: those that are
 * stored one after the other by --populate are not the ones asked for together.
 *
 *	k k k k k k k 0 0 0 1 8 6 9 f
 *	filler        8 digits of the number, fewer in a key that has no room for them
 */
#ifndef LARDER_BENCH_KEYSPACE_H
#define LARDER_BENCH_KEYSPACE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "bench/random.h"
#include "bench/sizes.h"
#include "bench/zipf.h"

#define KEYSPACE_COUNT_MAX (UINT64_C(1) << 32)
#define KEYSPACE_KEY_BYTES_MAX 250
#define KEYSPACE_DIGITS 8

enum keyspace_order {
	KEYSPACE_UNIFORM,
	KEYSPACE_ZIPF,
	KEYSPACE_HOT, /* a share of the requests goes to a part of the keys */
	KEYSPACE_SEQUENTIAL,
};

struct keyspace {
	/* const after init */
	uint64_t count;
	enum keyspace_order order;
	double hot_share;   /* of the requests */
	uint64_t hot_count; /* keys */
	struct zipf zipf;
	uint64_t stride; /* coprime to count: rank * stride mod count spreads ranks over numbers */
	struct sizes key_sizes;
	unsigned digit_count; /* at the end of every key */
	uint8_t *key_bytes;   /* each key's length; NULL when all have key_sizes.min_bytes */
};

/* One thread's place in a keyspace. */
struct keyspace_cursor {
	struct random_state random;
	uint64_t next, step; /* sequential */
};

/* order: "uniform", "zipf", "zipf:THETA", "hot:KEYS%:REQUESTS%" or "sequential"; sizes as sizes.h
 * describes. False with a message in error (SIZES_ERROR_BYTES). */
bool keyspace_init(struct keyspace *ks, uint64_t count, const char *order, const char *key_sizes,
		   char *error);
void keyspace_fini(struct keyspace *ks);

/* The cursor of the thread_index-th of thread_count threads. */
void keyspace_cursor_init(struct keyspace_cursor *cursor, const struct keyspace *ks, uint64_t seed,
			  unsigned thread_index, unsigned thread_count);
uint64_t keyspace_next(const struct keyspace *ks, struct keyspace_cursor *cursor);

/* The number at the end of a key's text; false if it is no key of this keyspace. */
bool keyspace_parse(const struct keyspace *ks, const char *key, size_t key_bytes, uint64_t *number);

/* Eight hexadecimal digits of a number, the first in the lowest byte. */
static inline uint64_t keyspace_hex(uint32_t number)
{
	uint64_t v = number;
	uint64_t above_nine;

	/* Spread the eight nibbles over eight bytes, the highest first. */
	v = (v << 32 | v >> 16) & UINT64_C(0x0000ffff0000ffff);
	v = (v << 16 | v >> 8) & UINT64_C(0x00ff00ff00ff00ff);
	v = (v << 8 | v >> 4) & UINT64_C(0x0f0f0f0f0f0f0f0f);
	above_nine = (v + UINT64_C(0x0606060606060606)) >> 4 & UINT64_C(0x0101010101010101);
	return v + UINT64_C(0x3030303030303030) + above_nine * 0x27;
}

static inline unsigned keyspace_key_bytes(const struct keyspace *ks, uint64_t number)
{
	return ks->key_bytes ? ks->key_bytes[number] : ks->key_sizes.min_bytes;
}

/* Writes a key of so many bytes; returns its end. */
static inline char *keyspace_write(const struct keyspace *ks, char *to, uint64_t number,
				   unsigned key_bytes)
{
	uint64_t digits = keyspace_hex((uint32_t)number);

	if (__builtin_expect(ks->digit_count == KEYSPACE_DIGITS, 1)) {
		memset(to, 'k', key_bytes - KEYSPACE_DIGITS);
		memcpy(to + key_bytes - KEYSPACE_DIGITS, &digits, KEYSPACE_DIGITS);
	} else {
		memset(to, 'k', key_bytes - ks->digit_count);
		memcpy(to + key_bytes - ks->digit_count,
		       (char *)&digits + KEYSPACE_DIGITS - ks->digit_count, ks->digit_count);
	}
	return to + key_bytes;
}

#endif
