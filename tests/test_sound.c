/*
 * test_sound.c: searches through entries that depend on each other: how many entries they look at, and what they
 * remember of what they found.
 */
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "store/reference_internal.h"
#include "tests/support/entries.h"

#define CHAIN 1000u
#define DEPENDANTS 2000u

static struct store_thread *open_store(uint32_t now)
{
	struct store *s = new_store(64u << 20, policy_at(0), 25, 5);

	store_enter(store_thread_get(s, 0), now);
	return store_thread_get(s, 0);
}

static void close_store(struct store_thread *st)
{
	store_check(st->store);
	store_leave(st);
	store_fini(st->store);
}

static uint64_t searched(struct store_thread *st)
{
	return st->store->references.searched;
}

static void depend(struct store_thread *st, const char *key, const char *target)
{
	cr_assert_eq(simple_set(st, key, 1, target, REFERENCE_LIFE), STORE_OK);
}

/* name0000 <- name0001 <- ... */
static void set_chain(struct store_thread *st, const char *name, uint32_t expiry_of_first)
{
	char key[32], target[32];

	sprintf(key, "%s0000", name);
	cr_assert_eq(set_entry(st, key, "x", 1, expiry_of_first, NULL, 0), STORE_OK);
	for (unsigned i = 1; i < CHAIN; i++) {
		sprintf(key, "%s%04u", name, i);
		sprintf(target, "%s%04u", name, i - 1);
		depend(st, key, target);
	}
}

static void set_dependants(struct store_thread *st, const char *name, unsigned count, uint32_t value_length)
{
	char key[32], target[32];

	sprintf(target, "%s%04u", name, CHAIN - 1);
	for (unsigned i = 0; i < count; i++) {
		sprintf(key, "of-%s%04u", name, i);
		cr_assert_eq(simple_set(st, key, value_length, target, REFERENCE_LIFE), STORE_OK);
	}
}

static void sweep_all(struct store_thread *st)
{
	for (bool more = true; more;)
		sweep_dead(st, 128, true, &more);
}

Test(sound, the_end_of_a_long_chain_is_searched_for_once)
{
	struct store_thread *st = open_store(10);

	set_chain(st, "k", EXPIRY_NEVER);
	set_dependants(st, "k", DEPENDANTS, 1);
	cr_assert(simple_delete(st, "k0000"));
	uint64_t before = searched(st);

	cr_assert(!simple_get(st, "of-k0000"));
	cr_assert_leq(searched(st) - before, 2 * CHAIN + 2);
	before = searched(st);
	for (unsigned i = 1; i < DEPENDANTS; i++) {
		char key[32];

		sprintf(key, "of-k%04u", i);
		cr_assert(!simple_get(st, key));
	}
	sweep_all(st);
	cr_assert_leq(searched(st) - before, 10);
	cr_assert_eq(st->store->references.dependency_count, 0);
	close_store(st);
}

Test(sound, what_ends_with_a_chain_does_not_have_others_searched_again)
{
	struct store_thread *st = open_store(10);

	set_chain(st, "a", EXPIRY_NEVER);
	set_chain(st, "b", EXPIRY_NEVER);
	/* In the same pages, one after the other. */
	for (unsigned i = 0; i < DEPENDANTS; i++) {
		char key[32], target[32];

		sprintf(key, "x%u", i);
		sprintf(target, "%c%04u", i % 2 ? 'a' : 'b', CHAIN - 1);
		depend(st, key, target);
	}
	cr_assert(simple_delete(st, "a0000"));
	uint64_t before = searched(st);

	sweep_all(st);
	cr_assert_leq(searched(st) - before, 5 * CHAIN);
	cr_assert_eq(st->store->references.dependency_count, CHAIN - 1 + DEPENDANTS / 2);
	cr_assert(simple_get(st, "x0"));
	close_store(st);
}

Test(sound, a_slice_of_the_sweep_ends_with_the_search_that_was_too_much)
{
	enum { LOOKS = 128, FEW = 50, WIDE = 300 };
	struct store_thread *st = open_store(10);
	unsigned slices = 0;

	/* Past its expiry, and not removed: that is not remembered. The sweep comes by the dependants first:
	 * theirs is the first page. */
	cr_assert_eq(simple_set(st, "first", 1, NULL, 0), STORE_OK);
	cr_assert_eq(simple_set(st, "of-long-name0000", WIDE, "first", REFERENCE_LIFE), STORE_OK);
	set_chain(st, "long-name", 20);
	set_dependants(st, "long-name", FEW, WIDE);
	cr_assert_eq(simple_set(st, "other", 1, NULL, 0), STORE_OK);
	depend(st, "dependant", "other");
	cr_assert(simple_delete(st, "other"));
	store_leave(st);
	store_enter(st, 20);
	for (bool more = true; more; slices++) {
		uint64_t before = searched(st);

		sweep_dead(st, LOOKS, false, &more);
		/* There, and where it is remembered, back. */
		cr_assert_leq(searched(st) - before, LOOKS + 2 * CHAIN);
	}
	cr_assert_geq(slices, FEW);
	cr_assert_eq(st->store->references.dependency_count, 0);
	close_store(st);
}

Test(sound, what_is_over_by_a_version_is_remembered_until_the_key_is_stored_anew)
{
	struct store_thread *st = open_store(10);

	cr_assert_eq(simple_set(st, "a", 1, NULL, 0), STORE_OK);
	cr_assert_eq(simple_set(st, "b", 1, "a", REFERENCE_VERSION), STORE_OK);
	depend(st, "c", "b");
	depend(st, "d", "c");
	depend(st, "e", "d");
	cr_assert_eq(simple_set(st, "a", 2, NULL, 0), STORE_OK);
	cr_assert(!simple_get(st, "e"));
	uint64_t before = searched(st);

	cr_assert(!simple_get(st, "e"));
	cr_assert(!simple_get(st, "d"));
	cr_assert_eq(searched(st), before);
	depend(st, "b", "a");
	depend(st, "c", "b");
	cr_assert(!simple_get(st, "d"));
	depend(st, "d", "c");
	depend(st, "e", "d");
	cr_assert(simple_get(st, "e"));
	close_store(st);
}

Test(sound, what_depends_on_its_own_version_is_never_taken_for_over)
{
	struct store_thread *st = open_store(10);

	cr_assert_eq(simple_set(st, "a", 1, NULL, 0), STORE_OK);
	cr_assert_eq(simple_set(st, "a", 2, "a", REFERENCE_VERSION), STORE_OK);
	depend(st, "b", "a");
	depend(st, "c", "b");
	for (unsigned i = 0; i < 3; i++) {
		cr_assert_eq(simple_set(st, "a", 3 + i, "a", REFERENCE_VERSION), STORE_OK);
		cr_assert(simple_get(st, "c"));
	}
	close_store(st);
}

Test(sound, a_thread_of_the_second_before_may_still_touch_what_has_expired)
{
	struct store_thread *st = open_store(20), *behind = store_thread_get(st->store, 1);

	cr_assert_eq(set_entry(st, "a", "x", 1, 21, NULL, 0), STORE_OK);
	depend(st, "b", "a");
	depend(st, "c", "b");
	depend(st, "d", "c");
	store_leave(st);
	store_enter(st, 21);
	cr_assert(!simple_get(st, "d"));
	store_enter(behind, 20);
	cr_assert_eq(store_touch(behind, "a", 1, store_hash(behind, "a", 1), 100, NULL), STORE_OK);
	store_leave(behind);
	cr_assert(simple_get(st, "d"));
	close_store(st);
}

static struct block *block_of(struct store_thread *st, const char *key)
{
	uint64_t hash = store_hash(st, key, strlen(key));
	struct item_view view;

	cr_assert(store_peek(st, key, strlen(key), hash, &view));
	return block_find(&st->store->references.blocks, hash, view.reference);
}

/* As when somebody found it over and somebody else, a moment before, alive. */
Test(sound, whoever_finds_an_entry_alive_takes_the_mark_off)
{
	struct store_thread *st = open_store(10);

	cr_assert_eq(simple_set(st, "a", 1, NULL, 0), STORE_OK);
	depend(st, "b", "a");
	depend(st, "c", "b");
	for (unsigned overwrites = 0; overwrites < 2; overwrites++) {
		lock_acquire(&st->store->references.blocks.lock);
		block_change(block_of(st, "b"), 0, BLOCK_OVER);
		lock_release(&st->store->references.blocks.lock);
		cr_assert(!simple_get(st, "c"));
		if (overwrites)
			depend(st, "b", "a");
		else
			depend(st, "d", "b");
		cr_assert(simple_get(st, "c"));
	}
	cr_assert(simple_get(st, "d"));
	close_store(st);
}
