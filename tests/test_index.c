/* test_index.c: the index beside a naive table, with hashes chosen so that buckets overflow. */
#include <criterion/criterion.h>
#include <string.h>

#include "store/index.h"
#include "tests/support/random.h"

#define ENTRIES 200000u

struct bench {
	struct budget budget;
	struct index index;
	uint64_t *hashes; /* by reference; references are 1 .. ENTRIES */
	bool *present;
	unsigned flushed;
};

static uint64_t hash_of(void *context, uint32_t reference)
{
	return ((struct bench *)context)->hashes[reference];
}

static void prefetch(void *context, uint32_t reference)
{
}

static void flushed(void *thread_context, uint32_t reference)
{
	struct bench *b = thread_context;

	cr_assert(b->present[reference]);
	b->present[reference] = false;
	b->flushed++;
}

static void bench_init(struct bench *b, uint64_t limit_bytes)
{
	struct index_callbacks callbacks = { hash_of, prefetch, flushed, b };

	memset(b, 0, sizeof(*b));
	budget_init(&b->budget, limit_bytes, 0);
	b->hashes = calloc(ENTRIES + 1, sizeof(*b->hashes));
	b->present = calloc(ENTRIES + 1, sizeof(*b->present));
	cr_assert_eq(index_init(&b->index, &b->budget, 64u << 20, &callbacks), STATUS_OK);
}

static void bench_fini(struct bench *b)
{
	index_fini(&b->index);
	free(b->hashes);
	free(b->present);
}

static bool insert(struct bench *b, uint32_t reference)
{
	uint64_t hash = b->hashes[reference];
	struct bucket *locked = index_lock(&b->index, hash, b);
	bool inserted = index_insert(&b->index, locked, hash, reference);

	index_unlock(locked);
	if (inserted) {
		b->present[reference] = true;
		index_adjust(&b->index, 1, b);
	}
	return inserted;
}

static void remove_entry(struct bench *b, uint32_t reference)
{
	uint64_t hash = b->hashes[reference];
	struct bucket *locked = index_lock(&b->index, hash, b);
	struct index_slot at = { 0 };
	uint32_t found;
	bool removed = false;

	while (index_scan(&b->index, locked, hash, &at, &found)) {
		if (found != reference)
			continue;
		index_remove(&b->index, locked, &at);
		removed = true;
		break;
	}
	index_unlock(locked);
	cr_assert(removed);
	b->present[reference] = false;
	index_adjust(&b->index, -1, b);
}

static bool finds(struct bench *b, uint32_t reference)
{
	uint32_t candidates[INDEX_CANDIDATES_MAX];
	unsigned n = index_candidates(&b->index, b->hashes[reference], candidates);

	while (n > 0)
		if (candidates[--n] == reference)
			return true;
	return false;
}

static void check_all(struct bench *b, uint32_t entries)
{
	uint64_t count = 0;

	for (uint32_t i = 1; i <= entries; i++) {
		cr_assert_eq(finds(b, i), b->present[i], "entry %u", i);
		count += b->present[i];
	}
	cr_assert_eq(index_check(&b->index, NULL, NULL), count);
	budget_check(&b->budget);
}

Test(index, grows_and_shrinks_without_losing_an_entry)
{
	struct test_random r = { test_seed(77) };
	struct bench b;

	bench_init(&b, 64u << 20);
	for (uint32_t i = 1; i <= ENTRIES; i++) {
		b.hashes[i] = test_random_next(&r);
		cr_assert(insert(&b, i));
	}
	check_all(&b, ENTRIES);
	cr_assert_gt(index_bucket_count(&b.index), ENTRIES / 12);
	/* The index is as compact as it says. */
	cr_assert_lt(index_bytes(&b.index) / ENTRIES, 9);
	for (uint32_t i = 1; i <= ENTRIES; i++)
		if (i % 100)
			remove_entry(&b, i);
	while (index_shrink(&b.index, 64, &b) == 64)
		;
	check_all(&b, ENTRIES);
	cr_assert_lt(index_bucket_count(&b.index), ENTRIES / 100);
	bench_fini(&b);
}

Test(index, keeps_entries_of_one_bucket_in_a_chain_and_refuses_past_its_end)
{
	struct bench b;
	uint32_t inserted = 0;

	bench_init(&b, 64u << 20);
	for (uint32_t i = 1; i <= 300; i++) {
		b.hashes[i] = (uint64_t)i << 56; /* one bucket, tags of their own, some alike */
		struct bucket *locked = index_lock(&b.index, b.hashes[i], &b);

		if (index_insert(&b.index, locked, b.hashes[i], i)) {
			b.present[i] = true;
			inserted++;
		}
		index_unlock(locked);
	}
	cr_assert_eq(inserted, INDEX_BUCKET_ENTRIES_MAX - INDEX_CHAIN_MAX + INDEX_CHAIN_MAX);
	check_all(&b, 300);
	for (uint32_t i = 1; i <= 300; i++)
		if (b.present[i] && i % 3)
			remove_entry(&b, i);
	check_all(&b, 300);
	bench_fini(&b);
}

Test(index, flushes_at_once_and_sweeps_later)
{
	struct test_random r = { test_seed(78) };
	struct bench b;

	bench_init(&b, 64u << 20);
	for (unsigned round = 0; round < 6; round++) {
		for (uint32_t i = 1; i <= 5000; i++) {
			b.hashes[i] = test_random_next(&r);
			cr_assert(insert(&b, i));
		}
		b.flushed = 0;
		cr_assert(index_flush(&b.index));
		for (uint32_t i = 1; i <= 5000; i++)
			cr_assert(!finds(&b, i), "entry %u was flushed", i);
		/* A second flush waits for the first one's sweep. */
		cr_assert(!index_flush(&b.index));
		while (index_flush_sweep(&b.index, 16, 100, &b))
			;
		cr_assert_eq(b.flushed, 5000);
		index_adjust(&b.index, -5000, &b);
	}
	bench_fini(&b);
}

/* The n-th time that memory is asked for fails, for every n: nothing is lost, an insert may be refused. */
Test(index, loses_nothing_when_the_budget_refuses)
{
	struct test_random r = { test_seed(79) };

	for (uint64_t room = 0; room < 40; room++) {
		struct bench b;

		bench_init(&b, 1u << 20);
		uint64_t used = budget_used(&b.budget);

		budget_charge(&b.budget, ACCOUNT_PROGRAM,
		              budget_limit(&b.budget) - used - room * OS_PAGE_BYTES);
		for (uint32_t i = 1; i <= 20000; i++) {
			b.hashes[i] = test_random_next(&r);
			insert(&b, i);
		}
		check_all(&b, 20000);
		cr_assert_leq(budget_used(&b.budget), budget_limit(&b.budget));
		bench_fini(&b);
	}
}
