/* random.h: seeded randomness for tests (xorshift64*, Vigna 2016), so that a failure can be repeated. */
#ifndef LARDER_TEST_RANDOM_H
#define LARDER_TEST_RANDOM_H

#include <stdint.h>
#include <stdlib.h>

struct test_random {
	uint64_t state;
};

/* The seed of this run: LARDER_TEST_SEED, or the default given. */
static inline uint64_t test_seed(uint64_t fallback)
{
	const char *text = getenv("LARDER_TEST_SEED");

	return text ? strtoull(text, NULL, 10) : fallback;
}

/* Steps of a model test: LARDER_TEST_STEPS for a long run, or the default given. */
static inline unsigned test_steps(unsigned fallback)
{
	const char *text = getenv("LARDER_TEST_STEPS");

	return text ? (unsigned)strtoul(text, NULL, 10) : fallback;
}

static inline uint64_t test_random_next(struct test_random *r)
{
	r->state ^= r->state >> 12;
	r->state ^= r->state << 25;
	r->state ^= r->state >> 27;
	return r->state * 0x2545f4914f6cdd1dULL;
}

static inline uint32_t test_random_below(struct test_random *r, uint32_t limit)
{
	return (uint32_t)((test_random_next(r) >> 32) * limit >> 32);
}

#endif
