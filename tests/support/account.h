/* account.h: memory for policies under test: counted, bounded, and refused now and then. */
#ifndef LARDER_TEST_ACCOUNT_H
#define LARDER_TEST_ACCOUNT_H

#include <criterion/criterion.h>

#include "eviction/policy.h"
#include "tests/support/random.h"

struct account {
	uint64_t bytes;
	uint64_t limit;         /* 0: none */
	uint32_t refuse_one_in; /* 0: never */
	struct test_random random;
};

static inline bool account_take(void *context, uint64_t bytes)
{
	struct account *a = context;

	if (a->limit && a->bytes + bytes > a->limit)
		return false;
	if (a->refuse_one_in && test_random_below(&a->random, a->refuse_one_in) == 0)
		return false;
	a->bytes += bytes;
	return true;
}

static inline void account_give(void *context, uint64_t bytes)
{
	struct account *a = context;

	cr_assert_geq(a->bytes, bytes);
	a->bytes -= bytes;
}

#endif
