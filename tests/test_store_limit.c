/* test_store_limit.c: a budget that is lowered under a living store, as far as that goes and below. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <time.h>

#include "eviction/policy.h"
#include "store/store.h"
#include "tests/support/entries.h"
#include "tests/support/store_bench.h"

#define MB (1ULL << 20)
#define VALUE_BYTES 1000u

static struct store_bench begin(uint64_t limit_bytes, bool evict)
{
	struct store_options o = bench_options(limit_bytes);

	o.evict = evict;
	return bench_open(&o);
}

static uint64_t account(struct store_bench *b, enum account which)
{
	return budget_account(store_budget(b->store), which);
}

/* Until what is over the limit is gone: the worker has chunks of its own that it must give back. */
static void settle(struct store_bench *b)
{
	for (unsigned i = 0; budget_excess(store_budget(b->store)); i++) {
		cr_assert_lt(i, 1000);
		store_enter(b->st, 10);
		store_leave(b->st);
		bench_maintain(b);
	}
}

static void end(struct store_bench *b)
{
	bench_maintain(b);
	store_check(b->store);
	store_fini(b->store);
}

/* How many of these were stored. */
static unsigned set(struct store_bench *b, unsigned first, unsigned end_number, unsigned value_bytes)
{
	unsigned stored = 0;
	char key[16];

	for (unsigned i = first; i < end_number; i++) {
		sprintf(key, "k%u", i);
		store_enter(b->st, 10);
		stored += simple_set(b->st, key, value_bytes, NULL, REFERENCE_WEAK) == STORE_OK;
		store_leave(b->st);
	}
	return stored;
}

static void delete(struct store_bench *b, unsigned first, unsigned end_number)
{
	char key[16];

	for (unsigned i = first; i < end_number; i++) {
		sprintf(key, "k%u", i);
		store_enter(b->st, 10);
		simple_delete(b->st, key);
		store_leave(b->st);
	}
}

/* From a worker, as a client's command does. */
static enum status lower(struct store_bench *b, uint64_t limit_bytes)
{
	store_enter(b->st, 10);
	enum status status = store_set_limit(b->st, limit_bytes);

	store_leave(b->st);
	return status;
}

static double seconds_now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

/* ---- where nothing may be evicted ---- */

Test(store_limit, without_eviction_stays_above_what_is_in_use)
{
	struct store_bench b = begin(32 * MB, false);

	cr_assert_eq(set(&b, 0, 15000, VALUE_BYTES), 15000);
	cr_assert_eq(lower(&b, 8 * MB), STATUS_NO_MEMORY);
	cr_assert_eq(budget_limit(store_budget(b.store)), 32 * MB + BUDGET_ALLOWANCE_BYTES);
	cr_assert_eq(set(&b, 15000, 20000, VALUE_BYTES), 5000);

	delete(&b, 2000, 20000);
	bench_maintain(&b);
	cr_assert_eq(lower(&b, 8 * MB), STATUS_OK);
	bench_maintain(&b);
	cr_assert_eq(budget_excess(store_budget(b.store)), 0);
	cr_assert_lt(account(&b, ACCOUNT_ITEMS), 8 * MB);
	cr_assert_eq(set(&b, 0, 2000, VALUE_BYTES), 2000);
	cr_assert_lt(set(&b, 2000, 20000, VALUE_BYTES), 18000);
	end(&b);
}

Test(store_limit, without_eviction_can_be_lowered_to_the_least_and_not_below)
{
	struct store_bench b = begin(32 * MB, false);

	set(&b, 0, 10000, VALUE_BYTES);
	uint64_t least = store_limit_least(b.st);

	cr_assert_eq(lower(&b, least - MB), STATUS_NO_MEMORY);
	cr_assert_eq(lower(&b, store_limit_least(b.st)), STATUS_OK);
	cr_assert_leq(budget_limit(store_budget(b.store)), least + BUDGET_ALLOWANCE_BYTES);
	/* A connection still gets some. */
	cr_assert(budget_take(store_budget(b.store), ACCOUNT_CONNECTIONS, 64 << 10));
	budget_give(store_budget(b.store), ACCOUNT_CONNECTIONS, 64 << 10);
	end(&b);
}

/* ---- budgets with hardly room for a page ---- */

/* 256 KB a page. */
static struct store_bench begin_full(void)
{
	struct store_bench b = begin(300 * MB, true);

	set(&b, 0, 250000, VALUE_BYTES);
	return b;
}

Test(store_limit, has_room_for_every_size_when_the_cache_was_large)
{
	struct store_bench b = begin_full();

	budget_charge(store_budget(b.store), ACCOUNT_PROGRAM, 3 * MB);
	cr_assert_eq(lower(&b, MB / 2), STATUS_NO_MEMORY);
	cr_assert_eq(lower(&b, store_limit_least(b.st)), STATUS_OK);
	settle(&b);
	for (unsigned bytes = 10; bytes < 40000; bytes *= 2)
		cr_assert_eq(set(&b, 0, 1000, bytes), 1000, "%u bytes", bytes);
	budget_give(store_budget(b.store), ACCOUNT_PROGRAM, 3 * MB);
	end(&b);
}

/* What is fixed grows until no page fits beside it. Returns by how much. */
static uint64_t leave_no_page(struct store_bench *b)
{
	struct budget *budget = store_budget(b->store);
	uint64_t sum = 0;

	for (unsigned i = 0; i < 20; i++) {
		uint64_t others = budget_used(budget) - account(b, ACCOUNT_ITEMS) + (100 << 10);
		uint64_t more = budget_limit(budget) > others ? budget_limit(budget) - others : 0;

		budget_charge(budget, ACCOUNT_PROGRAM, more);
		sum += more;
		set(b, 0, 1, VALUE_BYTES);
		bench_maintain(b);
	}
	cr_assert_eq(account(b, ACCOUNT_ITEMS), 0);
	return sum;
}

Test(store_limit, refuses_at_once_what_has_no_room)
{
	struct store_bench b = begin_full();

	cr_assert_eq(lower(&b, 8 * MB), STATUS_OK);
	settle(&b);
	uint64_t fixed = leave_no_page(&b);
	double start = seconds_now();

	cr_assert_eq(set(&b, 0, 20000, VALUE_BYTES), 0);
	cr_assert_lt(seconds_now() - start, 5.0);
	budget_give(store_budget(b.store), ACCOUNT_PROGRAM, fixed);
	cr_assert_eq(set(&b, 0, 1000, VALUE_BYTES), 1000);
	end(&b);
}

Test(store_limit, gives_back_what_the_index_took)
{
	struct store_bench b = begin(64 * MB, true);
	uint64_t before = account(&b, ACCOUNT_INDEX);

	set(&b, 0, 200000, 10);
	cr_assert_gt(account(&b, ACCOUNT_INDEX), MB);
	delete(&b, 0, 200000);
	bench_maintain(&b);
	cr_assert_leq(account(&b, ACCOUNT_INDEX), before + (32 << 10));
	store_check(b.store);
	cr_assert_eq(set(&b, 0, 200000, 10), 200000);
	end(&b);
}

/* ---- what clients may keep ---- */

/* Values that are begun and not finished, until one is refused. */
static uint64_t begin_values(struct store_bench *b, struct reservation *begun, unsigned *count)
{
	static char part[10000];
	uint64_t bytes = 0;
	char key[16];

	store_enter(b->st, 10);
	for (*count = 0; *count < 1000; ++*count) {
		struct reservation *rv = &begun[*count];
		struct item_spec spec = { .key = key, .value_length = 900000 };

		spec.key_length = (uint8_t)sprintf(key, "u%u", *count);
		spec.hash = store_hash(b->st, key, spec.key_length);
		if (store_reserve(b->st, &spec, rv) != STATUS_OK)
			break;
		bool whole = true;

		for (unsigned at = 0; whole && at < 600000; at += sizeof(part))
			whole = reservation_write(b->st, rv, part, sizeof(part));
		if (!whole) {
			store_abort(b->st, rv);
			break;
		}
		bytes += 600000;
	}
	store_leave(b->st);
	return bytes;
}

static void end_values(struct store_bench *b, struct reservation *begun, unsigned count)
{
	store_enter(b->st, 10);
	while (count > 0)
		store_abort(b->st, &begun[--count]);
	store_leave(b->st);
}

Test(store_limit, what_clients_keep_is_half_of_the_budget_there_is_now)
{
	static struct reservation begun[1000];
	struct store_bench b = begin(256 * MB, true);
	unsigned count;

	cr_assert_eq(lower(&b, 32 * MB), STATUS_OK);
	settle(&b);
	cr_assert_leq(begin_values(&b, begun, &count), 17 * MB);
	cr_assert_eq(set(&b, 0, 20000, VALUE_BYTES), 20000);
	end_values(&b, begun, count);
	cr_assert_eq(lower(&b, 400 * MB), STATUS_OK);
	cr_assert_geq(begin_values(&b, begun, &count), 150 * MB);
	end_values(&b, begun, count);
	end(&b);
}

/* ---- what is in the way ---- */

Test(store_limit, lowered_gets_its_memory_back_while_workers_rest_and_entries_hold_each_other)
{
	struct store_options o = bench_options(16 * MB);
	char key[16], part[16], before[16] = "part0";

	o.held_limit_percent = 25;
	struct store_bench b = bench_open(&o);

	for (unsigned i = 0; i < 40000; i++) {
		struct reference_list list = { .count = 2 };
		const char *targets[] = { part, before };

		sprintf(part, "part%u", i);
		sprintf(key, "h%u", i);
		for (unsigned k = 0; k < 2; k++) {
			list.targets[k].key = targets[k];
			list.targets[k].key_length = (uint8_t)strlen(targets[k]);
			list.targets[k].kind = REFERENCE_HOLD;
		}
		struct item_spec spec = { .key = key, .key_length = (uint8_t)strlen(key),
			                  .hash = store_hash(b.st, key, strlen(key)),
			                  .references = reference_list_shape(&list) };

		store_enter(b.st, b.now);
		cr_assert_eq(simple_set(b.st, part, VALUE_BYTES, NULL, REFERENCE_WEAK), STORE_OK);
		store_set(b.st, &spec, "", &(struct commit_args){ .mode = STORE_SET, .references = &list });
		store_leave(b.st);
		strcpy(before, key);
	}
	/* The worker keeps what is in its stock from here on, and what holds is oldest. */
	for (; b.now < 20; b.now++)
		bench_maintain(&b);
	cr_assert_eq(store_set_limit(b.main, 8 * MB), STATUS_OK);
	for (unsigned i = 0; i < 20 && budget_excess(store_budget(b.store)); i++)
		bench_maintain(&b);
	cr_assert_eq(budget_excess(store_budget(b.store)), 0);
	bench_close(&b);
}

Test(store_limit, releases_what_was_asked_for_beside_what_is_over)
{
	struct store_bench b = begin(16 * MB, true);
	struct budget *budget = store_budget(b.store);

	set(&b, 0, 20000, VALUE_BYTES);
	budget_charge(budget, ACCOUNT_PROGRAM, 300000);
	for (unsigned i = 0; i < 100; i++) {
		store_enter(b.st, 10);
		cr_assert(store_release_bytes(b.st, OS_PAGE_BYTES));
		cr_assert(budget_take(budget, ACCOUNT_BUFFERS, OS_PAGE_BYTES));
		store_leave(b.st);
	}
	budget_give(budget, ACCOUNT_BUFFERS, 100 * OS_PAGE_BYTES);
	budget_give(budget, ACCOUNT_PROGRAM, 300000);
	end(&b);
}

/* Every page of the largest class has something of a value that comes no further. */
Test(store_limit, values_that_are_not_finished_do_not_keep_other_sizes_out)
{
	static const unsigned sizes[] = { 10, 100, 300, 500, 700, 1000, 1500, 2000, 3000, 3900 };
	static struct reservation begun[300];
	static char part[60000];
	struct test_random random = { test_seed(7) };
	struct store_bench b = begin(8 * MB, true);
	unsigned count = 0;
	char key[16];

	set(&b, 0, 72000, 100);
	store_enter(b.st, 10);
	for (unsigned i = 0; i < ARRAY_LENGTH(begun); i++) {
		struct item_spec spec = { .key = key, .value_length = 900000 };

		spec.key_length = (uint8_t)sprintf(key, "u%u", count);
		spec.hash = store_hash(b.st, key, spec.key_length);
		if (store_reserve(b.st, &spec, &begun[count]) != STATUS_OK)
			continue;
		if (reservation_write(b.st, &begun[count], part, 1 + test_random_below(&random, sizeof(part))))
			count++;
		else
			store_abort(b.st, &begun[count]);
	}
	store_leave(b.st);
	cr_assert_gt(count, 50);
	for (unsigned i = 0; i < ARRAY_LENGTH(sizes); i++)
		cr_assert_eq(set(&b, 100000, 100050, sizes[i]), 50, "%u bytes", sizes[i]);
	end_values(&b, begun, count);
	end(&b);
}

/* ---- large budgets: coarse references, large steps ---- */

static void check_every_length(struct store_bench *b)
{
	static char value[700];
	struct item_view view;
	char key[16];

	for (unsigned i = 0; i < sizeof(value); i++)
		value[i] = (char)('a' + i % 26);
	store_enter(b->st, 10);
	for (unsigned length = 0; length < sizeof(value); length++) {
		sprintf(key, "k%u", length);
		cr_assert_eq(set_entry(b->st, key, value, length, EXPIRY_NEVER, NULL, REFERENCE_WEAK), STORE_OK);
	}
	for (unsigned length = 0; length < sizeof(value); length++) {
		sprintf(key, "k%u", length);
		cr_assert(store_get(b->st, key, strlen(key), store_hash(b->st, key, strlen(key)), &view));
		cr_assert_eq(view.value_length, length);
		cr_assert_eq(memcmp(view.value, value, length), 0);
	}
	store_leave(b->st);
}

Test(store_limit, values_are_what_was_stored_however_large_the_steps_are)
{
	static const uint32_t chunk_min[] = { 8, 256, 257, 400, 4096 };

	for (uint64_t reach = STORE_FINE_LIMIT_BYTES; reach <= STORE_LIMIT_MOST_BYTES; reach = 2 * reach + MB)
		for (unsigned i = 0; i < ARRAY_LENGTH(chunk_min); i++) {
			struct store_options o = bench_options(64 * MB);

			o.limit_max_bytes = reach;
			o.chunk_min_bytes = chunk_min[i];
			struct store_bench b = bench_open(&o);

			check_every_length(&b);
			bench_close(&b);
		}
}

Test(store_limit, reaches_as_far_as_costs_nothing_up_to_the_most)
{
	struct store_options o = bench_options(64 * MB);
	struct store *s;

	cr_assert_eq(store_limit_reach(64 * MB), STORE_FINE_LIMIT_BYTES);
	cr_assert_eq(store_limit_reach(STORE_FINE_LIMIT_BYTES), STORE_FINE_LIMIT_BYTES);
	cr_assert_eq(store_limit_reach(STORE_FINE_LIMIT_BYTES + 1), (32ULL << 30) - MB);
	cr_assert_eq(store_limit_reach(STORE_LIMIT_MOST_BYTES), STORE_LIMIT_MOST_BYTES);
	o.limit_max_bytes = STORE_LIMIT_MOST_BYTES + 1;
	cr_assert_eq(store_init(&s, &o), STATUS_TOO_LARGE);
	/* Four times what there is, but no coarser references for it. */
	o.limit_max_bytes = 0;
	o.limit_bytes = 300 * MB;
	struct store_bench b = bench_open(&o);

	cr_assert_geq(store_limit_max(b.st), 1200 * MB);
	bench_close(&b);
	o.limit_bytes = 5ULL << 30;
	b = bench_open(&o);
	cr_assert_geq(store_limit_max(b.st), STORE_FINE_LIMIT_BYTES);
	cr_assert_lt(store_limit_max(b.st), 20ULL << 30);
	bench_close(&b);
}
