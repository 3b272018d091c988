/*
 * test_references.c: what the rules of references leave to single cases: limits, what is reclaimed, what
 * moves. The rules themselves are held in test_references_model.c.
 */
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "eviction/policy.h"
#include "store/internal.h"
#include "tests/support/entries.h"

Test(references, what_is_over_is_reclaimed_before_what_lives_is_evicted)
{
	struct store *s = new_store(8u << 20, policy_at(0), 25, 5);
	struct store_thread *st = store_thread_get(s, 0);
	struct store_counters n;
	char key[32];
	unsigned stored = 0;

	store_enter(st, 10);
	simple_set(st, "tag", 1, NULL, 0);
	for (unsigned i = 0; i < 4000; i++) {
		sprintf(key, "dependant%u", i);
		cr_assert_eq(simple_set(st, key, 900, "tag", REFERENCE_VERSION), STORE_OK);
	}
	/* Until memory is full, with one that ended in this second already. */
	simple_set(st, "other", 1, NULL, 0);
	simple_set(st, "dependant0", 900, "other", REFERENCE_LIFE);
	simple_delete(st, "other");
	do {
		sprintf(key, "plain%u", stored++);
		simple_set(st, key, 900, NULL, 0);
		store_counters_sum(s, &n);
	} while (n.evictions == 0);
	uint64_t before = n.evictions;

	simple_set(st, "tag", 2, NULL, 0);
	for (unsigned i = 0; i < 2000; i++) {
		sprintf(key, "more%u", i);
		cr_assert_eq(simple_set(st, key, 900, NULL, 0), STORE_OK);
	}
	store_counters_sum(s, &n);
	cr_assert_eq(n.evictions, before);
	store_check(s);
	store_leave(st);
	store_fini(s);
}

Test(references, many_held_entries_do_not_refuse_others_of_their_size)
{
	struct store *s = new_store(16u << 20, policy_at(1), 40, 5);
	struct store_thread *st = store_thread_get(s, 0);
	struct reference_counters n;
	char key[32], holder[32];

	store_enter(st, 10);
	for (unsigned i = 0; i < 60000; i++) {
		sprintf(key, "held%u", i);
		sprintf(holder, "by%u", i);
		if (simple_set(st, key, 50, NULL, 0) != STORE_OK ||
		    simple_set(st, holder, 50, key, REFERENCE_HOLD) != STORE_OK)
			break;
	}
	store_reference_counters(s, &n);
	cr_assert_gt(n.held_bytes, 3000000);
	for (unsigned i = 0; i < 200000; i++) {
		sprintf(key, "filler%u", i);
		cr_assert_eq(simple_set(st, key, 50, NULL, 0), STORE_OK);
	}
	for (unsigned i = 0; i < 60000; i++) {
		sprintf(key, "held%u", i);
		sprintf(holder, "by%u", i);
		if (simple_get(st, holder))
			cr_assert(simple_get(st, key));
	}
	store_check(s);
	store_leave(st);
	store_fini(s);
}

Test(references, what_is_held_moves_out_of_the_way)
{
	for (unsigned policy = 0; policy_at(policy); policy++) {
		struct store *s = new_store(16u << 20, policy_at(policy), 25, 5);
		struct store_thread *st = store_thread_get(s, 0);
		char key[32], holder[32];

		/* Something held on every page that there is. */
		store_enter(st, 10);
		for (unsigned i = 0; i < 60000; i++) {
			sprintf(key, "small%u", i);
			cr_assert_eq(simple_set(st, key, 60 + i % 50, NULL, 0), STORE_OK);
			sprintf(holder, "by%u", i);
			if (i % 40 == 0)
				cr_assert_eq(simple_set(st, holder, 20, key, REFERENCE_HOLD), STORE_OK);
		}
		for (unsigned i = 0; i < 60000; i += 40) {
			sprintf(holder, "by%u", i);
			sprintf(key, "small%u", i);
			if (simple_get(st, holder))
				cr_assert(simple_get(st, key));
		}
		/* Sizes that have no page yet, and all of memory for them. */
		for (unsigned i = 0; i < 3000; i++) {
			sprintf(key, "large%u", i);
			cr_assert_eq(simple_set(st, key, i % 2 ? 3000 : 30000, NULL, 0), STORE_OK, "%s", key);
		}
		store_leave(st);
		store_check(s);
		cr_assert_eq(store_set_limit(st, 8u << 20), STATUS_OK);
		for (unsigned i = 0; i < 3000 && store_maintain(store_thread_get(s, 1), 11); i++) {
			store_enter(st, 11);
			store_leave(st);
		}
		cr_assert_eq(budget_excess(store_budget(s)), 0);
		store_enter(st, 11);
		for (unsigned i = 0; i < 60000; i += 40) {
			sprintf(holder, "by%u", i);
			sprintf(key, "small%u", i);
			struct item_view view;

			if (!simple_get(st, holder))
				continue;
			cr_assert(store_get(st, key, strlen(key), store_hash(st, key, strlen(key)), &view),
			          "%s is held", key);
			cr_assert_eq(view.value_length, 60 + i % 50);
		}
		store_leave(st);
		store_check(s);
		store_fini(s);
	}
}

static struct block *block_of(struct store *s, struct store_thread *st, const char *key)
{
	struct item_view view;
	uint64_t hash = store_hash(st, key, strlen(key));

	cr_assert(store_peek(st, key, strlen(key), hash, &view));
	return block_find(&s->references.blocks, hash, view.reference);
}

Test(references, counts_that_are_full_refuse)
{
	struct store *s = new_store(16u << 20, policy_at(0), 25, 5);
	struct store_thread *st = store_thread_get(s, 0);

	store_enter(st, 10);
	simple_set(st, "target", 10, NULL, 0);
	cr_assert_eq(simple_set(st, "a", 10, "target", REFERENCE_HOLD), STORE_OK);
	struct block *b = block_of(s, st, "target");

	b->references = UINT32_MAX;
	for (enum reference_kind kind = REFERENCE_LIFE; kind <= REFERENCE_HOLD; kind++)
		cr_assert_eq(simple_set(st, "b", 10, "target", kind), STORE_NO_MEMORY);
	cr_assert_eq(b->references, UINT32_MAX);
	cr_assert_eq(b->holds, 1);
	/* What inherits its references has one more for a moment. */
	struct commit_args append = { .mode = STORE_APPEND };
	struct item_spec spec = { .key = "a", .key_length = 1, .hash = store_hash(st, "a", 1), .value_length = 1 };

	cr_assert_eq(store_set(st, &spec, "x", &append), STORE_NO_MEMORY);
	b->references = 1;
	cr_assert_eq(store_set(st, &spec, "x", &append), STORE_OK);
	store_leave(st);
	store_check(s);
	store_fini(s);
}

Test(references, without_eviction_a_store_that_finds_no_memory_leaves_nothing_behind)
{
	struct store_options o = {
		.limit_bytes = 4u << 20,
		.item_limit_bytes = 1u << 20,
		.thread_count = 2,
		.held_limit_percent = 25,
		.policy = policy_at(0),
		.hash_seed = 3,
	};
	struct store *s;
	struct reference_counters n;
	enum store_result result = STORE_OK;
	char key[32], target[32];
	unsigned i = 0;

	cr_assert_eq(store_init(&s, &o), STATUS_OK);
	struct store_thread *st = store_thread_get(s, 0);

	store_enter(st, 10);
	for (; result == STORE_OK; i++) {
		sprintf(target, "t%u", i);
		sprintf(key, "d%u", i);
		result = simple_set(st, target, 10, NULL, 0);
		if (result == STORE_OK)
			result = simple_set(st, key, 10, target, REFERENCE_LIFE);
	}
	cr_assert_eq(result, STORE_NO_MEMORY);
	cr_assert_gt(i, 1000);
	store_reference_counters(s, &n);
	cr_assert_leq(n.control_blocks, i);
	/* Deleting makes room for others. */
	for (unsigned k = 0; k < i / 2; k++) {
		sprintf(target, "t%u", k);
		cr_assert(simple_delete(st, target));
	}
	store_leave(st);
	store_enter(st, 11);
	for (unsigned k = 0; k < i / 4; k++) {
		sprintf(target, "n%u", k);
		cr_assert_eq(simple_set(st, target, 10, NULL, 0), STORE_OK);
	}
	store_leave(st);
	store_check(s);
	store_fini(s);
}

Test(references, a_long_chain_of_dependencies_ends_with_its_first)
{
	struct store *s = new_store(64u << 20, policy_at(0), 25, 5);
	struct store_thread *st = store_thread_get(s, 0);
	char key[32], target[32];

	store_enter(st, 10);
	simple_set(st, "k0", 1, NULL, 0);
	for (unsigned i = 1; i < 5000; i++) {
		sprintf(key, "k%u", i);
		sprintf(target, "k%u", i - 1);
		cr_assert_eq(simple_set(st, key, 1, target, REFERENCE_LIFE), STORE_OK);
	}
	cr_assert(simple_get(st, "k4999"));
	store_leave(st);
	store_enter(st, 11);
	cr_assert(simple_get(st, "k4999"));
	cr_assert(simple_delete(st, "k0"));
	cr_assert(!simple_get(st, "k4999"));
	cr_assert(!simple_get(st, "k1"));
	store_leave(st);
	while (store_maintain(store_thread_get(s, 1), 12))
		;
	struct store_counters n;

	store_counters_sum(s, &n);
	cr_assert_eq(n.curr_items, 0);
	store_check(s);
	store_fini(s);
}

Test(references, control_blocks_give_their_memory_back)
{
	struct store *s = new_store(64u << 20, policy_at(0), 25, 5);
	struct store_thread *st = store_thread_get(s, 0);
	struct budget *budget = store_budget(s);
	uint64_t most;
	char key[32], target[32];

	store_enter(st, 10);
	for (unsigned i = 0; i < 20000; i++) {
		sprintf(target, "t%u", i);
		sprintf(key, "d%u", i);
		simple_set(st, target, 1, NULL, 0);
		cr_assert_eq(simple_set(st, key, 1, target, REFERENCE_LIFE), STORE_OK);
	}
	most = budget_account(budget, ACCOUNT_REFERENCES);
	cr_assert_geq(most, 20000 * 64);
	for (unsigned i = 0; i < 20000; i++) {
		sprintf(key, "d%u", i);
		cr_assert(simple_delete(st, key));
	}
	store_leave(st);
	store_enter(st, 11);
	store_leave(st);
	cr_assert_leq(budget_account(budget, ACCOUNT_REFERENCES), 40000);
	store_check(s);
	store_fini(s);
}
