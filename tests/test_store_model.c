/*
 * test_store_model.c: random operations on the store beside a naive model, a table of a few hundred
 * keys with their values written out. After every operation the answers agree; after every hundred
 * store_check() finds all structures whole.
 */
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "eviction/policy.h"
#include "tests/support/entries.h"
#include "tests/support/random.h"

#define KEYS 300
#define VALUE_MAX 60000

struct model_entry {
	bool present;
	uint32_t length;
	uint32_t client_flags;
	uint32_t expiry;
	uint32_t seed; /* the value's bytes follow from it, from `number` when it is one */
	uint64_t cas;
	bool is_number;
	uint64_t number;
};

struct model {
	struct store *s;
	struct store_thread *st;
	struct test_random random;
	struct model_entry entries[KEYS];
	uint32_t now;
	bool may_miss; /* memory is short: the store may have evicted */
	char buffer[2 * VALUE_MAX];
	char *values[KEYS];
};

static size_t key_of(unsigned i, char *key)
{
	size_t length = (size_t)sprintf(key, "key-%u-", i);

	/* Some keys are long, and many share their first bytes. */
	while (i % 7 == 0 && length < 200)
		key[length++] = 'x';
	return length;
}

/* policy: NULL for all of them, which take over from each other. */
static void model_init(struct model *m, const struct policy_ops *policy, uint64_t limit_bytes,
                       uint64_t seed)
{
	memset(m, 0, sizeof(*m));
	m->s = new_store(limit_bytes, policy, 0, seed);
	m->st = store_thread_get(m->s, 0);
	m->random.state = seed;
	m->now = 10;
	for (unsigned i = 0; i < KEYS; i++)
		m->values[i] = malloc(2 * VALUE_MAX);
}

static void model_fini(struct model *m)
{
	for (unsigned i = 0; i < KEYS; i++)
		free(m->values[i]);
	store_fini(m->s);
}

static bool alive(const struct model *m, const struct model_entry *e)
{
	return e->present && (e->expiry == 0 || e->expiry > m->now);
}

static uint32_t random_length(struct model *m)
{
	switch (test_random_below(&m->random, 8)) {
	case 0:
		return 0;
	case 1:
		return test_random_below(&m->random, VALUE_MAX);
	case 2:
		return test_random_below(&m->random, 5000);
	default:
		return test_random_below(&m->random, 200);
	}
}

static uint32_t random_expiry(struct model *m)
{
	switch (test_random_below(&m->random, 4)) {
	case 0:
		return m->now + 1 + test_random_below(&m->random, 20);
	case 1:
		return test_random_below(&m->random, 10) ? 0 : 1;
	default:
		return 0;
	}
}

static void check_value(struct model *m, unsigned i, const struct item_view *view)
{
	struct model_entry *e = &m->entries[i];
	struct value_cursor c;
	uint32_t at = 0;

	cr_assert_eq(view->value_length, e->length);
	cr_assert_eq(view->client_flags, e->client_flags);
	cr_assert_eq(view->expiry, e->expiry);
	store_value_first(view, m->st, &c);
	do {
		cr_assert(memcmp(c.part, m->values[i] + at, c.part_length) == 0, "key %u at %u", i, at);
		at += c.part_length;
	} while (store_value_next(m->st, &c));
	cr_assert_eq(at, e->length);
}

static void do_get(struct model *m, unsigned i)
{
	char key[256];
	size_t length = key_of(i, key);
	struct item_view view;
	bool hit = store_get(m->st, key, length, store_hash(m->st, key, length), &view);

	if (!alive(m, &m->entries[i])) {
		cr_assert(!hit, "key %u was read after its end", i);
		return;
	}
	if (!hit) {
		cr_assert(m->may_miss, "key %u is gone", i);
		m->entries[i].present = false;
		return;
	}
	check_value(m, i, &view);
	cr_assert_eq(store_view_cas(m->st, &view), m->entries[i].cas);
}

static void do_store(struct model *m, unsigned i, enum store_mode mode)
{
	struct model_entry *e = &m->entries[i];
	char key[256];
	size_t key_length = key_of(i, key);
	uint32_t length = random_length(m);
	struct item_spec spec = {
		.key = key,
		.key_length = (uint8_t)key_length,
		.hash = store_hash(m->st, key, key_length),
		.client_flags = test_random_below(&m->random, 2)
	                                ? 0
	                                : (uint32_t)test_random_next(&m->random) >>
	                                          test_random_below(&m->random, 32),
		.expiry = random_expiry(m),
		.value_length = length,
	};
	struct commit_args args = { .mode = mode };

	if (m->may_miss)
		do_get(m, i); /* what was evicted is gone from the model, too */
	bool was_alive = alive(m, e);

	if (mode == STORE_SET && test_random_below(&m->random, 5) == 0) {
		args.has_compare = true;
		args.compare_cas = test_random_below(&m->random, 2) ? e->cas : e->cas + 1;
	}
	for (uint32_t k = 0; k < length; k++)
		m->buffer[k] = (char)test_random_next(&m->random);
	enum store_result result = store_set(m->st, &spec, m->buffer, &args);
	enum store_result expected = STORE_OK;

	if (mode == STORE_ADD)
		expected = was_alive ? STORE_NOT_STORED : STORE_OK;
	else if (mode != STORE_SET)
		expected = was_alive ? STORE_OK : STORE_NOT_STORED;
	else if (args.has_compare)
		expected = !was_alive ? STORE_NOT_FOUND
		           : args.compare_cas == e->cas ? STORE_OK : STORE_EXISTS;
	if ((mode == STORE_APPEND || mode == STORE_PREPEND) && was_alive &&
	    e->length + length > VALUE_MAX + VALUE_MAX / 2)
		expected = result; /* past what the model keeps */
	/* Making room for the new value may have evicted the old one. */
	if (m->may_miss && was_alive && result != expected) {
		cr_assert(result == STORE_OK || result == STORE_NOT_FOUND || result == STORE_NOT_STORED);
		if (result != STORE_OK)
			e->present = false;
	} else {
		cr_assert_eq(result, expected, "mode %d: %d, not %d", mode, result, expected);
	}
	if (result != STORE_OK)
		return;
	cr_assert(!e->present || args.cas != e->cas, "a CAS unique came again");
	e->cas = args.cas;
	if (mode == STORE_APPEND) {
		memcpy(m->values[i] + e->length, m->buffer, length);
		e->length += length;
	} else if (mode == STORE_PREPEND) {
		memmove(m->values[i] + length, m->values[i], e->length);
		memcpy(m->values[i], m->buffer, length);
		e->length += length;
	} else {
		memcpy(m->values[i], m->buffer, length);
		*e = (struct model_entry){ .present = true, .length = length, .cas = args.cas,
			                   .client_flags = spec.client_flags, .expiry = spec.expiry };
	}
	if (e->length > VALUE_MAX) { /* keep the model's buffers large enough */
		struct delete_args none = { 0 };

		store_delete(m->st, key, key_length, spec.hash, &none);
		e->present = false;
	}
}

static void do_delete(struct model *m, unsigned i)
{
	char key[256];
	size_t length = key_of(i, key);
	struct delete_args args = { 0 };
	bool was_alive = alive(m, &m->entries[i]);
	enum store_result result = store_delete(m->st, key, length, store_hash(m->st, key, length), &args);

	if (was_alive && m->may_miss && result == STORE_NOT_FOUND)
		was_alive = false;
	cr_assert_eq(result, was_alive ? STORE_OK : STORE_NOT_FOUND);
	m->entries[i].present = false;
}

static void do_touch(struct model *m, unsigned i)
{
	char key[256];
	size_t length = key_of(i, key);
	uint32_t expiry = random_expiry(m);
	bool was_alive = alive(m, &m->entries[i]);
	enum store_result result = store_touch(m->st, key, length, store_hash(m->st, key, length),
	                                       expiry, NULL);

	if (was_alive && m->may_miss && result == STORE_NOT_FOUND) {
		m->entries[i].present = false;
		return;
	}
	cr_assert_eq(result, was_alive ? STORE_OK : STORE_NOT_FOUND);
	if (was_alive)
		m->entries[i].expiry = expiry;
}

static void do_arithmetic(struct model *m, unsigned i)
{
	struct model_entry *e = &m->entries[i];
	char key[256];
	size_t length = key_of(i, key);
	uint64_t hash = store_hash(m->st, key, length);

	do_get(m, i);
	if (!alive(m, e))
		return;
	struct item_spec spec = { .key = key, .key_length = (uint8_t)length, .hash = hash,
		                  .value_length = 3 };
	struct commit_args set = { .mode = STORE_SET };

	cr_assert_eq(store_set(m->st, &spec, "100", &set), STORE_OK);
	struct arithmetic_args args = { .delta = test_random_below(&m->random, 200),
		                        .decrement = test_random_below(&m->random, 2) };

	cr_assert_eq(store_arithmetic(m->st, key, length, hash, &args), STORE_OK);
	uint64_t expected = !args.decrement ? 100 + args.delta : args.delta > 100 ? 0 : 100 - args.delta;

	cr_assert_eq(args.result, expected);
	*e = (struct model_entry){ .present = true, .length = args.text_length, .cas = args.cas };
	memcpy(m->values[i], args.text, args.text_length);
	do_get(m, i);
}

static void do_flush(struct model *m)
{
	store_flush(m->st);
	for (unsigned i = 0; i < KEYS; i++)
		m->entries[i].present = false;
}

static void do_any(struct model *m)
{
	unsigned i = test_random_below(&m->random, KEYS);

	switch (test_random_below(&m->random, 16)) {
	case 0:
		do_delete(m, i);
		break;
	case 1:
		do_touch(m, i);
		break;
	case 2:
		do_arithmetic(m, i);
		break;
	case 3:
		do_store(m, i, STORE_ADD);
		break;
	case 4:
		do_store(m, i, STORE_REPLACE);
		break;
	case 5:
		do_store(m, i, STORE_APPEND);
		break;
	case 6:
		do_store(m, i, STORE_PREPEND);
		break;
	case 7:
	case 8:
	case 9:
		do_store(m, i, STORE_SET);
		break;
	case 10:
		if (test_random_below(&m->random, 200) == 0)
			do_flush(m);
		break;
	default:
		do_get(m, i);
	}
}

/* Also back to one that is still being left, which is refused, and to the one that runs. */
static void change_policy(struct model *m)
{
	unsigned count = 0;

	while (policy_at(count))
		count++;
	store_change_policy(store_thread_get(m->s, 1), policy_at(test_random_below(&m->random, count)));
}

static void run(const struct policy_ops *policy, uint64_t limit_bytes, bool may_miss, uint64_t seed,
                unsigned steps)
{
	static struct model m;

	model_init(&m, policy, limit_bytes, seed);
	m.may_miss = may_miss;
	for (unsigned step = 0; step < steps; step++) {
		store_enter(m.st, m.now);
		do_any(&m);
		store_leave(m.st);
		if (step % 100 == 0)
			store_check(m.s);
		if (!policy && step % 150 == 20)
			change_policy(&m);
		if (!policy && step % 3 == 0)
			store_maintain(store_thread_get(m.s, 1), m.now);
		if (step % 50 == 0) {
			m.now++;
			while (store_maintain(store_thread_get(m.s, 1), m.now))
				;
		}
	}
	store_check(m.s);
	model_fini(&m);
}

Test(store_model, agrees_with_the_naive_model_while_memory_is_ample)
{
	for (uint64_t seed = 1; seed <= 3; seed++)
		run(policy_at(0), 64u << 20, false, test_seed(seed * 7919), 20000);
}

Test(store_model, never_answers_wrong_under_memory_pressure)
{
	for (unsigned i = 0; policy_at(i); i++)
		for (uint64_t seed = 1; seed <= 3; seed++)
			run(policy_at(i), 4u << 20, true, test_seed(seed * 104729), 20000);
}

Test(store_model, agrees_while_policies_take_over_from_each_other)
{
	for (uint64_t seed = 1; seed <= 4; seed++) {
		run(NULL, 64u << 20, false, test_seed(seed * 611953), 20000);
		run(NULL, 4u << 20, true, test_seed(seed * 7368787), 20000);
	}
}
