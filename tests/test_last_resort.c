/*
 * test_last_resort.c: what is tried before a store is refused for what is held, and that it is bounded: by a clock
 * that moves with each look at it, so that steps are what is counted.
 */
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "store/internal.h"
#include "tests/support/entries.h"

#define TICK_US 20u
#define ALLOWANCE_US 1000u

static uint64_t time_us = 1000000, looks;

static uint64_t ticking_clock(void)
{
	looks++;
	return time_us += TICK_US;
}

static struct store_thread *open_store(uint64_t limit_bytes, bool ticks)
{
	struct store *s = new_store(limit_bytes, policy_at(0), 25, 5);

	if (ticks)
		s->options.clock_us = ticking_clock;
	store_enter(store_thread_get(s, 0), 10);
	return store_thread_get(s, 0);
}

static void close_store(struct store_thread *st)
{
	store_check(st->store);
	store_leave(st);
	store_fini(st->store);
}

static uint64_t held_room(struct store_thread *st)
{
	struct reference_counters n;

	store_reference_counters(st->store, &n);
	return n.held_limit_bytes - n.held_bytes;
}

/* Garbage of one. */
static void hold_itself(struct store_thread *st, unsigned number, uint32_t value_length)
{
	char key[16];

	sprintf(key, "g%06u", number);
	cr_assert_eq(simple_set(st, key, 1, NULL, 0), STORE_OK);
	cr_assert_eq(simple_set(st, key, value_length, key, REFERENCE_HOLD), STORE_OK);
}

/* Until not one byte more may be held. */
static void fill_with_garbage(struct store_thread *st)
{
	unsigned number = 0;
	uint64_t before = held_room(st);

	hold_itself(st, number++, 100);
	uint64_t beside = before - held_room(st) - 100;

	while (held_room(st) > 90000)
		hold_itself(st, number++, 80000);
	while (held_room(st) > 500)
		hold_itself(st, number++, 100);
	hold_itself(st, number, (uint32_t)(held_room(st) - beside));
	cr_assert_eq(held_room(st), 0);
}

static uint32_t length_of(struct store_thread *st, const char *key)
{
	struct item_view view;

	cr_assert(store_get(st, key, strlen(key), store_hash(st, key, strlen(key)), &view));
	return view.value_length;
}

static struct store_thread *open_with_held(const char *value)
{
	struct store_thread *st = open_store(16u << 20, false);

	cr_assert_eq(set_entry(st, "held", value, (uint32_t)strlen(value), EXPIRY_NEVER, NULL, 0), STORE_OK);
	cr_assert_eq(simple_set(st, "x", 1, NULL, 0), STORE_OK);
	cr_assert_eq(simple_set(st, "holder", 1, "held", REFERENCE_HOLD), STORE_OK);
	fill_with_garbage(st);
	return st;
}

Test(last_resort, a_held_entry_is_overwritten_where_only_garbage_is_in_the_way)
{
	for (unsigned refers = 0; refers < 2; refers++) {
		struct store_thread *st = open_with_held("abc");

		cr_assert_eq(simple_set(st, "held", 5000, refers ? "x" : NULL, REFERENCE_LIFE), STORE_OK);
		cr_assert_eq(length_of(st, "held"), 5000);
		close_store(st);
	}
}

Test(last_resort, a_large_held_entry_as_well)
{
	struct store_thread *st = open_with_held("abc");

	cr_assert_eq(simple_set(st, "held", 90000, NULL, 0), STORE_OK);
	cr_assert_eq(length_of(st, "held"), 90000);
	close_store(st);
}

/* compare_cas: 0 for none. */
static enum store_result store_as(struct store_thread *st, const char *key, enum store_mode mode,
                                  uint64_t compare_cas)
{
	static const char bytes[5000];
	struct item_spec spec = { .key = key, .key_length = (uint8_t)strlen(key),
		                  .hash = store_hash(st, key, strlen(key)), .value_length = sizeof(bytes) };
	struct commit_args args = { .mode = mode, .has_compare = compare_cas != 0, .compare_cas = compare_cas,
		                    .stale_on_older = compare_cas != 0 };

	return store_set(st, &spec, bytes, &args);
}

Test(last_resort, appending_to_it_counting_it_up_and_rebuilding_it_as_well)
{
	struct store_thread *st = open_with_held("abc");
	uint64_t hash = store_hash(st, "held", 4);

	cr_assert_eq(store_as(st, "held", STORE_APPEND, 0), STORE_OK);
	cr_assert_eq(length_of(st, "held"), 5003);
	close_store(st);

	st = open_with_held("9");
	struct arithmetic_args count = { .delta = 1 };

	cr_assert_eq(store_arithmetic(st, "held", 4, hash, &count), STORE_OK);
	cr_assert_eq(count.result, 10);
	close_store(st);

	st = open_with_held("abc");
	struct delete_args stale = { .invalidate = true, .explicit_cas = 77 };

	cr_assert_eq(store_delete(st, "held", 4, hash, &stale), STORE_OK);
	close_store(st);
}

Test(last_resort, a_compare_is_counted_once_however_often_it_is_tried)
{
	struct store_thread *st = open_with_held("abc");
	struct item_view view;
	uint64_t hits = 0;

	cr_assert(store_get(st, "held", 4, store_hash(st, "held", 4), &view));
	cr_assert_eq(store_as(st, "held", STORE_SET, store_view_cas(st, &view)), STORE_OK);
	cr_assert(store_get(st, "held", 4, store_hash(st, "held", 4), &view));
	cr_assert_eq(view.marks & ITEM_STALE, 0);
	for (unsigned i = 0; i < SLAB_CLASS_MAX; i++)
		hits += st->classes[i].cas_hits;
	cr_assert_eq(hits, 1);
	close_store(st);
}

Test(last_resort, what_is_refused_leaves_the_old_value)
{
	struct store_thread *st = open_store(16u << 20, false);
	char target[16] = "held", key[16];

	cr_assert_eq(simple_set(st, "held", 3, NULL, 0), STORE_OK);
	for (unsigned i = 0; held_room(st) > 90000; i++) {
		sprintf(key, "h%u", i);
		cr_assert_eq(simple_set(st, key, 80000, target, REFERENCE_HOLD), STORE_OK);
		strcpy(target, key);
	}
	cr_assert_eq(simple_set(st, "held", 95000, NULL, 0), STORE_HELD_LIMIT);
	cr_assert_eq(simple_set(st, "held", 95000, "h0", REFERENCE_LIFE), STORE_HELD_LIMIT);
	cr_assert_eq(length_of(st, "held"), 3);
	close_store(st);
}

/* ---- more than a few tries can release ---- */

static void set_big(struct store_thread *st)
{
	static const char bytes[900000];

	cr_assert_eq(set_entry(st, "big", bytes, sizeof(bytes), EXPIRY_NEVER, NULL, 0), STORE_OK);
}

static struct store_thread *open_with_small_garbage(bool ticks)
{
	struct store_thread *st = open_store(32u << 20, ticks);

	store_collect_enable(st, false);
	for (unsigned i = 0; held_room(st) > 100000; i++)
		hold_itself(st, i, 50);
	store_collect_enable(st, true);
	set_big(st);
	return st;
}

Test(last_resort, thousands_of_small_entries_are_released_for_one_large_one)
{
	struct store_thread *st = open_with_small_garbage(false);

	cr_assert_eq(simple_set(st, "holder", 1, "big", REFERENCE_HOLD), STORE_OK);
	close_store(st);
}

Test(last_resort, a_store_is_refused_for_the_limit_while_the_run_goes_on_beside_it)
{
	struct store_thread *st = open_with_small_garbage(true);
	unsigned steps = 0;

	cr_assert_eq(simple_set(st, "holder", 1, "big", REFERENCE_HOLD), STORE_HELD_LIMIT);
	while (store_collect_step(st) == COLLECT_STEP_MORE)
		steps++;
	cr_assert_gt(steps, 100);
	cr_assert_eq(simple_set(st, "holder", 1, "big", REFERENCE_HOLD), STORE_OK);
	close_store(st);
}

/* ---- how long it may take ---- */

static struct store_thread *open_with_living_holds(void)
{
	struct store_thread *st = open_store(64u << 20, true);
	char key[16], holder[16];

	for (unsigned i = 0; held_room(st) > 100000; i++) {
		sprintf(key, "k%u", i);
		sprintf(holder, "h%u", i);
		cr_assert_eq(simple_set(st, key, 1, NULL, 0), STORE_OK);
		cr_assert_eq(simple_set(st, holder, 1, key, REFERENCE_HOLD), STORE_OK);
	}
	set_big(st);
	/* What stores did as they came is done. */
	while (store_collect_step(st) == COLLECT_STEP_MORE)
		;
	st->store->references.collector.changes = 100000;
	return st;
}

/* How often a refused store looked at the clock, which it does for each step. */
static uint64_t looks_of_refusal(struct store_thread *st)
{
	looks = 0;
	cr_assert_eq(simple_set(st, "holder", 1, "big", REFERENCE_HOLD), STORE_HELD_LIMIT);
	return looks;
}

Test(last_resort, it_takes_as_many_steps_as_its_allowance_and_that_comes_back_with_time)
{
	struct store_thread *st = open_with_living_holds();
	struct reference_counters n;

	store_reference_counters(st->store, &n);
	cr_assert_geq(n.holds, 150000);
	time_us += 10 * ALLOWANCE_US;
	uint64_t first = looks_of_refusal(st);

	cr_assert_geq(first, ALLOWANCE_US / TICK_US);
	cr_assert_leq(first, ALLOWANCE_US / TICK_US + 4);
	cr_assert_neq(st->store->references.collector.phase, COLLECT_IDLE);
	cr_assert_leq(looks_of_refusal(st), 8, "it is spent");
	time_us += ALLOWANCE_US / 2;
	cr_assert_leq(looks_of_refusal(st), ALLOWANCE_US / TICK_US / 2 + 8);
	time_us += 100 * ALLOWANCE_US;
	cr_assert_leq(looks_of_refusal(st), ALLOWANCE_US / TICK_US + 4);
	store_reference_counters(st->store, &n);
	cr_assert_geq(n.last_resort_longest_us, ALLOWANCE_US);
	cr_assert_leq(n.last_resort_longest_us, ALLOWANCE_US + 4 * TICK_US);
	/* Where nothing can help nothing is tried. */
	time_us += 100 * ALLOWANCE_US;
	st->store->references.held_limit_percent = 1;
	cr_assert_leq(looks_of_refusal(st), 8);
	close_store(st);
}

/* ---- what is over already ---- */

/* Holds one and depends on another. */
static void set_tagged_holder(struct store_thread *st, const char *key, const char *held, const char *tag)
{
	struct reference_list list = {
		.count = 2,
		.targets = { { .key = tag, .key_length = (uint8_t)strlen(tag), .kind = REFERENCE_LIFE },
		             { .key = held, .key_length = (uint8_t)strlen(held), .kind = REFERENCE_HOLD } },
	};
	struct item_spec spec = { .key = key, .key_length = (uint8_t)strlen(key),
		                  .hash = store_hash(st, key, strlen(key)), .value_length = 1,
		                  .references = reference_list_shape(&list) };
	struct commit_args args = { .mode = STORE_SET, .references = &list };

	cr_assert_eq(store_set(st, &spec, "x", &args), STORE_OK);
}

/* Held entries up to the limit, each by a holder that depends on the tag, and a large one that nobody holds. */
static struct store_thread *open_with_tagged_holders(uint32_t value_length)
{
	struct store_thread *st = open_store(16u << 20, true);
	char key[16], holder[16];

	cr_assert_eq(simple_set(st, "tag", 1, NULL, 0), STORE_OK);
	for (unsigned i = 0; held_room(st) > 90000; i++) {
		sprintf(key, "k%u", i);
		sprintf(holder, "h%u", i);
		cr_assert_eq(simple_set(st, key, value_length, NULL, 0), STORE_OK);
		set_tagged_holder(st, holder, key, "tag");
	}
	/* A pass over what is over already began in this second. */
	cr_assert_eq(simple_set(st, "other", 1, NULL, 0), STORE_OK);
	cr_assert_eq(simple_set(st, "dependant", 1, "other", REFERENCE_LIFE), STORE_OK);
	cr_assert(simple_delete(st, "other"));
	for (bool more = true; more;)
		sweep_dead(st, 1000, false, &more);
	cr_assert_eq(simple_set(st, "big", 95000, NULL, 0), STORE_OK);
	return st;
}

Test(last_resort, what_is_over_by_what_it_depends_on_is_in_nobodys_way)
{
	for (unsigned k = 0; k < 2; k++) {
		struct store_thread *st = open_with_tagged_holders(k ? 80000 : 40);

		time_us += ALLOWANCE_US;
		cr_assert(simple_delete(st, "tag"));
		cr_assert_eq(simple_set(st, "holder", 1, "big", REFERENCE_HOLD), STORE_OK);
		close_store(st);
	}
}

Test(last_resort, what_was_flushed_is_in_nobodys_way)
{
	struct store_thread *st = open_with_tagged_holders(40);

	store_flush(st);
	cr_assert_eq(simple_set(st, "big", 95000, NULL, 0), STORE_OK);
	time_us += ALLOWANCE_US;
	cr_assert_eq(simple_set(st, "holder", 1, "big", REFERENCE_HOLD), STORE_OK);
	close_store(st);
}
