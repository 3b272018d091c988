/*
 * test_weak.c: what a weak reference keeps of the way to its target (its lead, see references.md) is right
 * after everything that can become of the two: each of these asks for the value, and for the invariants.
 */
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "eviction/policy.h"
#include "store/reference_internal.h"
#include "tests/support/entries.h"

static struct store *s;
static struct store_thread *st;

static void begin(uint64_t limit_bytes)
{
	s = new_store(limit_bytes, policy_at(0), 25, 5);
	st = store_thread_get(s, 0);
	store_enter(st, 10);
}

static void end(void)
{
	store_check(s);
	store_leave(st);
	store_fini(s);
}

static void pass_to(uint32_t now)
{
	store_leave(st);
	while (store_maintain(store_thread_get(s, 1), now))
		;
	store_enter(st, now);
}

static enum store_result put(const char *key, const char *value, uint32_t expiry, const char *target,
                             enum reference_kind kind)
{
	return set_entry(st, key, value, (uint32_t)strlen(value), expiry, target, kind);
}

static void set(const char *key, const char *value)
{
	cr_assert_eq(put(key, value, 0, NULL, REFERENCE_LIFE), STORE_OK);
}

static enum store_result weak(const char *key, const char *target)
{
	return put(key, target, 0, target, REFERENCE_WEAK);
}

/* The value that a get of the key returns, NULL for a miss. */
static const char *get(const char *key)
{
	static char value[1000];
	struct item_view view;

	store_check(s);
	if (!store_get(st, key, strlen(key), store_hash(st, key, strlen(key)), &view))
		return NULL;
	memcpy(value, view.value, view.value_length);
	value[view.value_length] = '\0';
	return value;
}

static uint32_t item_of(const char *key)
{
	struct item_view view;

	cr_assert(store_peek(st, key, strlen(key), store_hash(st, key, strlen(key)), &view), "%s", key);
	return view.reference;
}

/* Where the reference's lead says that its target is; 0: the block is to be asked. */
static uint32_t lead(const char *key)
{
	_Atomic uint32_t *at = lead_of(s, item_of(key));

	return at ? *at : 0;
}

#define expect_value(key, value) cr_assert_str_eq(get(key), value)
#define expect_miss(key) cr_assert_null(get(key))

Test(weak, it_knows_its_target_and_follows_it_when_that_is_overwritten)
{
	begin(16u << 20);
	set("t", "one");
	cr_assert_eq(weak("w", "t"), STORE_OK);
	cr_assert_eq(lead("w"), item_of("t"));
	expect_value("w", "one");
	set("t", "another, of another size class altogether, so that it lies on another page");
	cr_assert_eq(lead("w"), item_of("t"));
	expect_value("w", "another, of another size class altogether, so that it lies on another page");
	store_flush(st);
	end();
}

Test(weak, a_target_that_was_deleted_is_a_miss_and_its_memory_may_be_anything)
{
	char key[32];

	begin(16u << 20);
	set("t", "one");
	cr_assert_eq(weak("w", "t"), STORE_OK);
	cr_assert(simple_delete(st, "t"));
	expect_miss("w");
	set("t", "two");
	expect_miss("w");
	/* The chunk of the target is another's by now, and the reference is still there. */
	for (unsigned i = 0; i < 3000; i++) {
		sprintf(key, "k%u", i);
		set(key, "xyz");
		simple_delete(st, key);
	}
	expect_miss("w");
	cr_assert_eq(weak("w", "t"), STORE_OK);
	expect_value("w", "two");
	end();
}

Test(weak, what_was_flushed_is_a_miss)
{
	begin(16u << 20);
	for (unsigned i = 0; i < 6; i++) {
		set("t", "one");
		cr_assert_eq(weak("w", "t"), STORE_OK);
		expect_value("w", "one");
		store_flush(st);
		expect_miss("w");
		set("t", "two");
		expect_miss("w");
		cr_assert_eq(weak("w", "t"), STORE_OK);
		expect_value("w", "two");
		pass_to(11 + i);
	}
	end();
}

Test(weak, its_target_expires_when_it_says_also_after_a_touch)
{
	begin(16u << 20);
	cr_assert_eq(put("t", "one", 20, NULL, REFERENCE_LIFE), STORE_OK);
	cr_assert_eq(weak("w", "t"), STORE_OK);
	cr_assert_eq(lead("w"), item_of("t"));
	pass_to(19);
	expect_value("w", "one");
	cr_assert_eq(store_touch(st, "t", 1, store_hash(st, "t", 1), 30, NULL), STORE_OK);
	pass_to(29);
	expect_value("w", "one");
	store_leave(st);
	store_enter(st, 30);
	expect_miss("w");
	pass_to(31);
	expect_miss("w");
	end();
}

Test(weak, a_target_that_lives_by_others_is_searched)
{
	begin(16u << 20);
	set("tag", "1");
	set("t", "one");
	cr_assert_eq(weak("w", "t"), STORE_OK);
	cr_assert_neq(lead("w"), 0);
	cr_assert_eq(put("t", "two", 0, "tag", REFERENCE_VERSION), STORE_OK);
	cr_assert_eq(lead("w"), 0);
	expect_value("w", "two");
	set("t", "three");
	cr_assert_eq(lead("w"), item_of("t"));
	expect_value("w", "three");
	cr_assert_eq(put("t", "four", 0, "tag", REFERENCE_VERSION), STORE_OK);
	set("tag", "2");
	expect_miss("w");
	end();
}

Test(weak, a_target_that_becomes_a_weak_reference_is_followed_through)
{
	begin(16u << 20);
	set("a", "one");
	set("b", "two");
	cr_assert_eq(weak("w", "b"), STORE_OK);
	expect_value("w", "two");
	cr_assert_eq(weak("b", "a"), STORE_OK);
	cr_assert_eq(lead("w"), 0);
	expect_value("w", "one");
	set("a", "three");
	expect_value("w", "three");
	simple_delete(st, "a");
	expect_miss("w");
	end();
}

Test(weak, of_several_references_to_one_target_the_last_is_told_and_all_read)
{
	begin(16u << 20);
	set("t", "one");
	cr_assert_eq(weak("v", "t"), STORE_OK);
	cr_assert_eq(weak("w", "t"), STORE_OK);
	cr_assert_eq(lead("v"), 0);
	cr_assert_eq(lead("w"), item_of("t"));
	expect_value("v", "one");
	expect_value("w", "one");
	simple_delete(st, "w");
	set("t", "two");
	expect_value("v", "two");
	pass_to(11);
	pass_to(12);
	expect_value("v", "two");
	/* Stored again, it is the last. */
	cr_assert_eq(weak("v", "t"), STORE_OK);
	cr_assert_eq(lead("v"), item_of("t"));
	simple_delete(st, "t");
	expect_miss("v");
	end();
}

Test(weak, a_store_that_is_refused_leaves_the_reference_before_it_readable)
{
	struct reference_list list = { .count = 2, .targets = { { NULL, 1, REFERENCE_WEAK }, { "no", 2, REFERENCE_LIFE } } };
	struct commit_args args = { .mode = STORE_SET, .references = &list };
	struct item_spec spec = { .key = "w", .key_length = 1, .hash = 0, .value_length = 1 };

	begin(16u << 20);
	set("t", "one");
	cr_assert_eq(weak("w", "t"), STORE_OK);
	cr_assert_eq(weak("w", "absent"), STORE_NOT_FOUND);
	expect_value("w", "one");
	cr_assert_eq(lead("w"), item_of("t"));
	spec.hash = store_hash(st, "w", 1);
	spec.references = reference_list_shape(&list);
	cr_assert_eq(store_set(st, &spec, "t", &args), STORE_NOT_FOUND);
	expect_value("w", "one");
	/* add of a present key: the refused one was told for a moment. */
	list.count = 1;
	spec.references = reference_list_shape(&list);
	args.mode = STORE_ADD;
	cr_assert_eq(store_set(st, &spec, "t", &args), STORE_NOT_STORED);
	expect_value("w", "one");
	set("t", "two");
	expect_value("w", "two");
	simple_delete(st, "t");
	expect_miss("w");
	end();
}

Test(weak, a_reference_that_is_rebuilt_keeps_its_target)
{
	struct delete_args args = { .invalidate = true, .explicit_cas = 7 };

	begin(16u << 20);
	set("t", "one");
	cr_assert_eq(weak("w", "t"), STORE_OK);
	cr_assert_eq(store_delete(st, "w", 1, store_hash(st, "w", 1), &args), STORE_OK);
	cr_assert_eq(lead("w"), item_of("t"));
	expect_value("w", "one");
	/* The target as well, and in place. */
	cr_assert_eq(store_delete(st, "t", 1, store_hash(st, "t", 1), &args), STORE_OK);
	cr_assert_eq(lead("w"), item_of("t"));
	expect_value("w", "one");
	args.explicit_cas = 0;
	set("t", "two");
	cr_assert_eq(store_delete(st, "t", 1, store_hash(st, "t", 1), &args), STORE_OK);
	expect_value("w", "two");
	simple_delete(st, "t");
	expect_miss("w");
	end();
}

Test(weak, keys_of_any_length_and_targets_of_any_size_are_read)
{
	static char key[251], target[251], value[900];

	begin(16u << 20);
	for (unsigned length = 1; length <= 250; length += 3) {
		memset(key, 'k', length);
		memset(target, 't', length);
		memset(value, 'v', length * 3);
		set(target, value);
		cr_assert_eq(weak(key, target), STORE_OK);
		/* Two keys of more than a small item holds: it is a big one, and has no lead. */
		cr_assert_eq(lead(key), length < 240 ? item_of(target) : lead(key));
		expect_value(key, value);
		set(target, "x");
		expect_value(key, "x");
	}
	end();
}

#define PAIRS 30000u

Test(weak, references_and_targets_that_move_to_other_pages_find_each_other)
{
	static uint32_t references[PAIRS], targets[PAIRS];

	for (unsigned policy = 0; policy_at(policy); policy++) {
		unsigned moved_references = 0, moved_targets = 0;
		char key[32], target[32], value[101] = { 0 };

		s = new_store(16u << 20, policy_at(policy), 25, 5);
		st = store_thread_get(s, 0);
		store_enter(st, 10);
		for (unsigned i = 0; i < PAIRS; i++) {
			sprintf(key, "w%u", i);
			sprintf(target, "t%u", i);
			memset(value, 'a' + (int)(i % 26), 100);
			set(target, value);
			cr_assert_eq(weak(key, target), STORE_OK);
			references[i] = item_of(key);
			targets[i] = item_of(target);
		}
		/* What was read moves, the rest goes. */
		for (unsigned i = 0; i < 3 * PAIRS; i++) {
			sprintf(key, "w%u", i % (PAIRS / 10) * 10);
			simple_get(st, key);
		}
		for (unsigned i = 0; i < 40; i++)
			release_page(st, NULL);
		store_check(s);
		for (unsigned i = 0; i < PAIRS; i++) {
			struct item_view view;

			sprintf(key, "w%u", i);
			sprintf(target, "t%u", i);
			if (!store_get(st, key, strlen(key), store_hash(st, key, strlen(key)), &view))
				continue;
			cr_assert_eq(view.value_length, 100);
			cr_assert_eq(view.value[0], 'a' + (int)(i % 26));
			cr_assert_eq(lead(key), item_of(target));
			moved_references += item_of(key) != references[i];
			moved_targets += item_of(target) != targets[i];
		}
		cr_assert_gt(moved_references, 100, "%s", policy_at(policy)->name);
		cr_assert_gt(moved_targets, 100, "%s", policy_at(policy)->name);
		end();
	}
}

Test(weak, what_is_fetched_ahead_is_not_looked_at_after_a_safe_point)
{
	struct look_ahead ahead[3];
	uint64_t hash;

	begin(16u << 20);
	set("t", "one");
	set("plain", "p");
	cr_assert_eq(weak("w", "t"), STORE_OK);
	hash = store_hash(st, "w", 1);
	store_prefetch_entry(st, hash, &ahead[0]);
	cr_assert_eq(ahead[0].reference, item_of("w"));
	store_prefetch_entry(st, store_hash(st, "plain", 5), &ahead[1]);
	store_prefetch_entry(st, store_hash(st, "absent", 6), &ahead[2]);
	cr_assert_eq(ahead[2].reference, 0);
	for (unsigned i = 0; i < 3; i++)
		store_prefetch_target(st, &ahead[i]);
	cr_assert_eq(ahead[0].sight, st->sight);
	/* Each of these ends what the thread may look at. */
	quiesce(st);
	cr_assert_neq(ahead[0].sight, st->sight);
	store_prefetch_entry(st, hash, &ahead[0]);
	sleep_outside(st);
	cr_assert_neq(ahead[0].sight, st->sight);
	store_prefetch_entry(st, hash, &ahead[0]);
	store_leave(st);
	store_enter(st, 10);
	cr_assert_neq(ahead[0].sight, st->sight);
	store_prefetch_target(st, &ahead[0]);
	cr_assert_eq(store_take_follows(st), 0);
	expect_value("w", "one");
	cr_assert_eq(store_take_follows(st), 1);
	cr_assert_eq(store_take_follows(st), 0);
	end();
}
