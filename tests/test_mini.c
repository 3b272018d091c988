/* test_mini.c: a cache of keys under every policy, beside a plain set of what it should hold. */
#include <criterion/criterion.h>
#include <string.h>

#include "eviction/mini.h"
#include "tests/support/account.h"
#include "tests/support/random.h"

#define KEYS 500u

static uint64_t hash_of(unsigned key)
{
	return (key + 1) * 0x9e3779b97f4a7c15ULL;
}

static bool is_even(const void *context, uint64_t hash)
{
	return hash % 2 == 0;
}

/* The same keys, in less memory. */
static void shrink(struct mini_cache *m, struct account *account)
{
	bool had[KEYS];
	uint64_t bytes = account->bytes, weight = m->weight;

	for (unsigned k = 0; k < KEYS; k++)
		had[k] = mini_has(m, hash_of(k));
	mini_shrink(m);
	mini_check(m);
	for (unsigned k = 0; k < KEYS; k++)
		cr_assert_eq(mini_has(m, hash_of(k)), had[k]);
	cr_assert_eq(m->weight, weight);
	cr_assert_leq(account->bytes, bytes);
	cr_assert_leq(m->page_count, m->entry_count / m->queue.space.chunks_per_page + 1);
}

/* What it says it has, it hits; what it hits it had; the weights add up (mini_check). */
static void run(const struct policy_ops *policy, uint64_t seed, uint32_t refuse_one_in)
{
	struct account account = { .refuse_one_in = 0 };
	struct mini_cache m;
	struct mini_options o = { policy, 2000, 200, { account_take, account_give, &account }, seed % 2 ? 12 : 0, NULL };
	struct test_random r;
	unsigned refused_room = 0;

	r.state = seed;
	account.random.state = seed + 1;
	cr_assert_eq(mini_init(&m, &o), STATUS_OK);
	account.refuse_one_in = refuse_one_in;
	for (unsigned i = 0; i < 20000; i++) {
		/* Skewed: the product of two draws. */
		unsigned key = test_random_below(&r, KEYS) * test_random_below(&r, KEYS) / KEYS;
		uint32_t weight = 1 + key % 37;
		bool had = mini_has(&m, hash_of(key));

		switch (test_random_below(&r, 100)) {
		case 0:
			mini_remove(&m, hash_of(key));
			cr_assert_not(mini_has(&m, hash_of(key)));
			break;
		case 1:
			mini_set_capacity(&m, 500 + test_random_below(&r, 2000));
			break;
		case 2:
			cr_assert_eq(mini_hit(&m, hash_of(key)), had);
			cr_assert_eq(mini_has(&m, hash_of(key)), had);
			break;
		case 3:
			mini_set(&m, hash_of(key), 1 + test_random_below(&r, 600));
			cr_assert(m.weight <= m.capacity || !mini_has(&m, hash_of(key)));
			break;
		default:
			cr_assert_eq(mini_access(&m, hash_of(key), weight), had);
			refused_room += !mini_has(&m, hash_of(key));
			break;
		}
		cr_assert_leq(m.entry_count, 200);
		if (i % 500 == 0)
			mini_check(&m);
		if (i % 5000 == 4999) {
			mini_filter(&m, is_even, NULL);
			for (unsigned k = 0; k < KEYS; k++)
				cr_assert(!mini_has(&m, hash_of(k)) || hash_of(k) % 2 == 0);
			mini_check(&m);
			shrink(&m, &account);
		}
	}
	if (!refuse_one_in)
		cr_assert_eq(refused_room, 0);
	mini_fini(&m);
	cr_assert_eq(account.bytes, 0, "%s: %llu bytes were not given back", policy->name,
	             (unsigned long long)account.bytes);
}

Test(mini, every_policy_keeps_what_it_says)
{
	for (unsigned i = 0; policy_at(i); i++)
		for (uint64_t seed = 1; seed <= 3; seed++)
			run(policy_at(i), test_seed(seed * 7907), 0);
}

Test(mini, every_policy_lives_with_memory_that_is_refused)
{
	for (unsigned i = 0; policy_at(i); i++)
		for (uint64_t seed = 1; seed <= 3; seed++)
			run(policy_at(i), test_seed(seed * 7919), 2);
}

static bool is_one_in_eight(const void *context, uint64_t hash)
{
	return (hash >> 40) % 8 == 0;
}

/* Twenty pages and a large table become three and a small one, and grow again. */
Test(mini, every_policy_gives_memory_back)
{
	for (unsigned i = 0; policy_at(i); i++) {
		struct account account = { .refuse_one_in = 0 };
		struct mini_cache m;
		struct mini_options o = { .policy = policy_at(i), .capacity = 3000, .entries_max = 5000,
			                  .memory = { account_take, account_give, &account }, .page_shift = 12 };
		struct test_random r = { test_seed(71 + i) };

		cr_assert_eq(mini_init(&m, &o), STATUS_OK);
		for (unsigned round = 0; round < 3; round++) {
			for (unsigned k = 0; k < 20000; k++)
				mini_access(&m, hash_of(test_random_below(&r, 6000)), 1);
			cr_assert_eq(m.entry_count, 3000);
			mini_check(&m);
			uint64_t full = account.bytes;

			mini_filter(&m, is_one_in_eight, NULL);
			shrink(&m, &account);
			cr_assert_gt(m.entry_count, 200);
			cr_assert_leq(account.bytes, full / 2, "%s: %llu of %llu", policy_at(i)->name,
			              (unsigned long long)account.bytes, (unsigned long long)full);
		}
		mini_fini(&m);
		cr_assert_eq(account.bytes, 0);
	}
}

Test(mini, what_weighs_more_than_all_is_not_kept)
{
	struct account account = { .refuse_one_in = 0 };
	struct mini_cache m;
	struct mini_options o = { .policy = policy_at(0), .capacity = 100, .entries_max = 50,
	                          .memory = { account_take, account_give, &account } };

	cr_assert_eq(mini_init(&m, &o), STATUS_OK);
	cr_assert_not(mini_access(&m, 1, 60));
	cr_assert_not(mini_access(&m, 2, 101));
	cr_assert_not(mini_has(&m, 2));
	cr_assert(mini_access(&m, 1, 60));
	cr_assert_not(mini_access(&m, 3, 100));
	cr_assert_not(mini_has(&m, 1));
	mini_check(&m);
	mini_fini(&m);
	cr_assert_eq(account.bytes, 0);
}
