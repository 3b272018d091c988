/*
 * test_references_model.c: random operations over a few hundred keys that refer to each other in every way,
 * beside a naive model that finds out after every step, from nothing but the rules, which entries are
 * over: whatever refers to one that is over by a life or a version goes until no more do.
 */
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "eviction/policy.h"
#include "tests/support/entries.h"
#include "tests/support/random.h"

#define KEYS 240
#define VALUE_MAX 600
#define STEPS_MAX 8

struct model_reference {
	uint8_t kind;
	unsigned target;
	uint64_t life;
	uint64_t version;
};

struct model_entry {
	bool present;
	uint64_t life;
	uint64_t version;
	uint32_t expiry;
	uint32_t length;
	unsigned count;
	struct model_reference references[REFERENCES_MAX];
	char value[VALUE_MAX];
};

struct model {
	struct store *s;
	struct store_thread *st;
	struct test_random random;
	struct model_entry entries[KEYS];
	uint64_t lives;
	uint32_t now;
	bool may_miss; /* memory is short: the store may have evicted */
};

static size_t key_of(unsigned i, char *key)
{
	return (size_t)sprintf(key, i % 5 ? "k%u" : "a-longer-key-%u", i);
}

/* ---- the model ---- */

static void end_entry(struct model_entry *e)
{
	e->present = false;
	e->count = 0;
}

static bool is_sound(const struct model *m, const struct model_entry *e)
{
	if (e->expiry != 0 && e->expiry <= m->now)
		return false;
	for (unsigned i = 0; i < e->count; i++) {
		const struct model_reference *r = &e->references[i];
		const struct model_entry *t = &m->entries[r->target];

		if (r->kind == REFERENCE_HOLD)
			continue;
		if (!t->present || t->life != r->life ||
		    (r->kind == REFERENCE_VERSION && t->version != r->version))
			return false;
	}
	return true;
}

/* Ends what is over, and what is by that, until nothing is. */
static void settle(struct model *m)
{
	bool changed = true;

	while (changed) {
		changed = false;
		for (unsigned i = 0; i < KEYS; i++) {
			struct model_entry *e = &m->entries[i];

			if (e->present && !is_sound(m, e)) {
				end_entry(e);
				changed = true;
			}
		}
	}
}

static bool is_weak(const struct model_entry *e)
{
	return e->count > 0 && e->references[0].kind == REFERENCE_WEAK;
}

/* The entry whose value a reader gets; KEYS for a miss. */
static unsigned resolve(const struct model *m, unsigned i)
{
	if (!m->entries[i].present)
		return KEYS;
	for (unsigned steps = 0; is_weak(&m->entries[i]); steps++) {
		if (steps == STEPS_MAX)
			return KEYS;
		i = m->entries[i].references[0].target;
	}
	return i;
}

/* ---- operations ---- */

static uint64_t hash_of(struct model *m, const char *key, size_t length)
{
	return store_hash(m->st, key, length);
}

/* Is it there, as far as its own entry goes? Under pressure the model learns what was evicted. */
static bool look(struct model *m, unsigned i)
{
	char key[64];
	size_t length = key_of(i, key);
	struct item_view view;
	bool hit = store_peek(m->st, key, length, hash_of(m, key, length), &view);

	if (hit != m->entries[i].present) {
		cr_assert(!hit, "key %u is read after its end", i);
		cr_assert(m->may_miss, "key %u is gone", i);
		end_entry(&m->entries[i]);
		settle(m);
	}
	return hit;
}

static void do_get(struct model *m, unsigned i)
{
	char key[64];
	size_t length = key_of(i, key);
	struct item_view view;
	bool hit = store_get(m->st, key, length, hash_of(m, key, length), &view);
	unsigned from = resolve(m, i);

	if (!hit) {
		cr_assert(from == KEYS || m->may_miss, "key %u misses", i);
		if (m->may_miss)
			look(m, i);
		return;
	}
	cr_assert(from != KEYS, "key %u hits", i);
	const struct model_entry *e = &m->entries[from];

	cr_assert_eq(view.value_length, e->length);
	cr_assert_eq(memcmp(view.value, e->value, e->length), 0);
	cr_assert_eq(view.expiry, m->entries[i].expiry);
	cr_assert_eq(view.weak, is_weak(&m->entries[i]));
	cr_assert_eq(memcmp(view.key, key, length), 0);
}

/* None, to come, or (now and then) over already, or just now. */
static uint32_t random_expiry(struct model *m)
{
	if (test_random_below(&m->random, 20) == 0)
		return m->now - test_random_below(&m->random, 2);
	return test_random_below(&m->random, 5) ? 0 : m->now + 1 + test_random_below(&m->random, 15);
}

/* What to refer to; keys[] holds the targets' keys. Returns whether all of them are there. */
static bool choose_references(struct model *m, struct reference_list *list, struct model_entry *e,
                              char keys[][64], bool weak)
{
	unsigned count = 1 + test_random_below(&m->random, 3);
	bool present = true;

	list->count = 0;
	if (test_random_below(&m->random, 20) == 0)
		count = REFERENCES_MAX;
	for (unsigned i = 0; i < count; i++) {
		unsigned target = test_random_below(&m->random, KEYS);
		uint8_t kind = i == 0 && weak ? REFERENCE_WEAK
		                              : REFERENCE_LIFE + test_random_below(&m->random, 3);

		present &= look(m, target);
		list->targets[i].kind = kind;
		list->targets[i].key = kind == REFERENCE_WEAK ? NULL : keys[i];
		list->targets[i].key_length = (uint8_t)key_of(target, keys[i]);
		list->count++;
		e->references[e->count++] = (struct model_reference){ .kind = kind, .target = target };
	}
	return present;
}

/* Lives and versions as they are when the entry is stored. `from`: the references before were there. */
static void fix_references(struct model *m, struct model_entry *e, unsigned from)
{
	for (unsigned i = from; i < e->count; i++) {
		e->references[i].life = m->entries[e->references[i].target].life;
		e->references[i].version = m->entries[e->references[i].target].version;
	}
}

static bool is_adding(enum store_mode mode)
{
	return mode == STORE_APPEND || mode == STORE_PREPEND;
}

/* What is answered where memory is ample; e is the entry as it is now. */
static enum store_result expect_store(const struct model_entry *e, enum store_mode mode,
                                      bool targets_there, unsigned added_references)
{
	if (!targets_there)
		return STORE_NOT_FOUND;
	if (mode == STORE_SET)
		return STORE_OK;
	if (mode == STORE_ADD)
		return e->present ? STORE_NOT_STORED : STORE_OK;
	if (!e->present || (is_adding(mode) && is_weak(e)))
		return STORE_NOT_STORED;
	if (is_adding(mode) && e->count + added_references > REFERENCES_MAX)
		return STORE_TOO_MANY_REFERENCES;
	return STORE_OK;
}

/* Puts what e has before or behind what is added to it. */
static void join_entries(const struct model_entry *e, enum store_mode mode, struct model_entry *added)
{
	struct model_entry joined = *e;

	memcpy(joined.references + e->count, added->references,
	       added->count * sizeof(added->references[0]));
	joined.count = e->count + added->count;
	joined.length = e->length + added->length;
	memcpy(joined.value + (mode == STORE_APPEND ? 0 : added->length), e->value, e->length);
	memcpy(joined.value + (mode == STORE_APPEND ? e->length : 0), added->value, added->length);
	*added = joined;
}

/* The model's entry i becomes what was made. */
static void put_entry(struct model *m, unsigned i, enum store_mode mode, struct model_entry *made)
{
	struct model_entry *e = &m->entries[i];
	unsigned from = is_adding(mode) ? e->count : 0;
	uint64_t life = e->present ? e->life : ++m->lives;
	uint64_t version = e->present ? e->version + 1 : 1;

	if (is_adding(mode))
		join_entries(e, mode, made);
	*e = *made;
	e->present = true;
	e->life = life;
	e->version = version;
	fix_references(m, e, from);
	/* Its own version is the one that it makes, time and again. */
	for (unsigned k = 0; k < e->count; k++)
		if (e->references[k].target == i && e->references[k].life == e->life)
			e->references[k].version = e->version;
	settle(m);
}

static void do_store(struct model *m, unsigned i, enum store_mode mode, bool referring)
{
	struct model_entry *e = &m->entries[i], made = { 0 };
	bool adds = is_adding(mode);
	char key[64], keys[REFERENCES_MAX][64];
	size_t key_length = key_of(i, key);
	struct reference_list list;
	struct item_spec spec = {
		.key = key,
		.key_length = (uint8_t)key_length,
		.hash = hash_of(m, key, key_length),
		.client_flags = test_random_below(&m->random, 2) ? 0 : i,
		.expiry = random_expiry(m),
		.value_length = test_random_below(&m->random, adds ? 20 : 300),
	};
	struct commit_args args = { .mode = mode };
	bool weak = referring && !adds && test_random_below(&m->random, 3) == 0;
	bool targets_there = !referring || choose_references(m, &list, &made, keys, weak);

	if (weak)
		spec.value_length = (uint32_t)key_of(made.references[0].target, made.value);
	else
		for (uint32_t k = 0; k < spec.value_length; k++)
			made.value[k] = (char)test_random_next(&m->random);
	made.length = spec.value_length;
	made.expiry = spec.expiry;
	if (referring) {
		args.references = &list;
		spec.references = reference_list_shape(&list);
	}
	look(m, i);
	if (adds && e->present && e->length + spec.value_length > VALUE_MAX)
		return;
	enum store_result expected = expect_store(e, mode, targets_there, made.count);
	enum store_result result = store_set(m->st, &spec, made.value, &args);

	if (result != expected) {
		cr_assert(m->may_miss, "%d, not %d", result, expected);
		cr_assert(result != STORE_OK || mode == STORE_SET || mode == STORE_ADD);
		/* Added though it was there: it was evicted for it, and what is there now is what was added. */
		if (result == STORE_OK && mode == STORE_ADD) {
			end_entry(e);
			settle(m);
		} else {
			look(m, i);
		}
		if (result != STORE_OK)
			return;
		/* Something was evicted to make room for this. */
		for (unsigned k = 0; k < KEYS; k++)
			if (k != i)
				look(m, k);
	}
	if (result == STORE_OK)
		put_entry(m, i, mode, &made);
}

static void do_delete(struct model *m, unsigned i)
{
	char key[64];
	size_t length = key_of(i, key);
	bool there = look(m, i);
	struct delete_args args = { 0 };

	cr_assert_eq(store_delete(m->st, key, length, hash_of(m, key, length), &args),
	             there ? STORE_OK : STORE_NOT_FOUND);
	end_entry(&m->entries[i]);
	settle(m);
}

static void do_touch(struct model *m, unsigned i)
{
	char key[64];
	size_t length = key_of(i, key);
	bool there = look(m, i);
	uint32_t expiry = random_expiry(m);

	/* What was just found sound is what a search could leave out. */
	for (unsigned k = 0; k < KEYS; k++)
		look(m, k);
	enum store_result result = store_touch(m->st, key, length, hash_of(m, key, length), expiry, NULL);

	if (m->may_miss && !look(m, i))
		return;
	cr_assert_eq(result, there ? STORE_OK : STORE_NOT_FOUND);
	if (there)
		m->entries[i].expiry = expiry;
	settle(m);
	for (unsigned k = 0; k < KEYS; k++)
		look(m, k);
}

/* incr of what is no number, and of what is. */
static void do_arithmetic(struct model *m, unsigned i)
{
	char key[64];
	size_t length = key_of(i, key);
	uint64_t hash = hash_of(m, key, length);
	bool there = look(m, i);
	struct model_entry *e = &m->entries[i];
	struct arithmetic_args args = { .delta = 1 };

	if (there && !is_weak(e) && e->length > 0 && (e->value[0] < '0' || e->value[0] > '9')) {
		cr_assert_eq(store_arithmetic(m->st, key, length, hash, &args), STORE_NON_NUMERIC);
		return;
	}
	if (!there || !is_weak(e))
		return;
	cr_assert_eq(store_arithmetic(m->st, key, length, hash, &args), STORE_NON_NUMERIC);
}

/* Marks stale: the value is the same, and the version with it. */
static void do_invalidate(struct model *m, unsigned i)
{
	char key[64];
	size_t length = key_of(i, key);
	bool there = look(m, i);
	struct delete_args args = { .invalidate = true };

	if (test_random_below(&m->random, 2))
		args.explicit_cas = 1 + test_random_below(&m->random, 1000);
	enum store_result result = store_delete(m->st, key, length, hash_of(m, key, length), &args);

	if (m->may_miss && !look(m, i))
		return;
	cr_assert_eq(result, there ? STORE_OK : STORE_NOT_FOUND);
}

/* What lives by nobody and is held by an entry that is there is there, however short memory is. */
static void check_held(struct model *m, unsigned i)
{
	if (!look(m, i))
		return;
	const struct model_entry *e = &m->entries[i];

	for (unsigned k = 0; k < e->count; k++) {
		const struct model_reference *r = &e->references[k];
		const struct model_entry *t = &m->entries[r->target];
		char key[64];
		size_t length = key_of(r->target, key);
		struct item_view view;
		bool lives_by_others = false;

		for (unsigned n = 0; n < t->count; n++)
			lives_by_others |= t->references[n].kind != REFERENCE_HOLD;
		if (r->kind == REFERENCE_HOLD && t->present && t->life == r->life && !lives_by_others)
			cr_assert(store_peek(m->st, key, length, hash_of(m, key, length), &view),
			          "key %u was evicted while %u held it", r->target, i);
	}
}

static void do_any(struct model *m)
{
	unsigned i = test_random_below(&m->random, KEYS);

	switch (test_random_below(&m->random, 20)) {
	case 0:
	case 1:
		do_delete(m, i);
		break;
	case 2:
		do_touch(m, i);
		break;
	case 3:
		do_arithmetic(m, i);
		break;
	case 4:
		do_store(m, i, STORE_ADD, test_random_below(&m->random, 2));
		break;
	case 5:
		do_store(m, i, STORE_REPLACE, test_random_below(&m->random, 2));
		break;
	case 6:
		do_store(m, i, test_random_below(&m->random, 2) ? STORE_APPEND : STORE_PREPEND,
		         test_random_below(&m->random, 2));
		break;
	case 7:
	case 8:
		do_store(m, i, STORE_SET, false);
		break;
	case 9:
	case 10:
	case 11:
		do_store(m, i, STORE_SET, true);
		break;
	case 12:
		if (test_random_below(&m->random, 300) == 0) {
			store_flush(m->st);
			for (unsigned k = 0; k < KEYS; k++)
				end_entry(&m->entries[k]);
		}
		break;
	case 13:
		do_invalidate(m, i);
		break;
	case 14:
		check_held(m, i);
		break;
	default:
		do_get(m, i);
	}
}

static void pass_second(struct model *m)
{
	m->now++;
	while (store_maintain(store_thread_get(m->s, 1), m->now))
		;
	/* While memory is ample nothing is evicted, whatever the collector thinks of it. */
	for (unsigned i = 0; !m->may_miss && i < 50 && store_collect_step(m->st); i++)
		;
	settle(m);
}

/* Everything deleted, nothing is left of it but what threads keep for a while. */
static void check_empties(struct model *m)
{
	struct reference_counters n;

	store_enter(m->st, m->now);
	for (unsigned i = 0; i < KEYS; i++)
		do_delete(m, i);
	store_leave(m->st);
	for (unsigned i = 0; i < 3; i++) {
		pass_second(m);
		store_enter(m->st, m->now);
		store_leave(m->st);
	}
	store_reference_counters(m->s, &n);
	cr_assert_eq(n.weak_references, 0);
	cr_assert_eq(n.dependencies, 0);
	cr_assert_eq(n.holds, 0);
	cr_assert_eq(n.held_bytes, 0);
	cr_assert_eq(n.control_blocks, 0);
	store_check(m->s);
}

/* Fills memory beside the keys of the model. */
static void do_pressure(struct model *m)
{
	static const char bytes[2000];
	char key[64];
	uint32_t kind = (uint32_t)test_random_next(&m->random);
	size_t length = (size_t)sprintf(key, "filler%u", kind % 5000);
	struct item_spec spec = { .key = key, .key_length = (uint8_t)length,
		                  .hash = hash_of(m, key, length), .value_length = kind % sizeof(bytes) };
	struct commit_args args = { .mode = STORE_SET };

	store_set(m->st, &spec, bytes, &args);
}

static void run(const struct policy_ops *policy, uint64_t limit_bytes, bool may_miss, uint64_t seed,
                unsigned steps)
{
	static struct model m;

	memset(&m, 0, sizeof(m));
	m.s = new_store(limit_bytes, policy, 30, seed);
	m.st = store_thread_get(m.s, 0);
	m.random.state = seed;
	m.now = 10;
	m.may_miss = may_miss;
	store_collect_threshold(m.st, 20);
	for (unsigned step = 0; step < steps; step++) {
		store_enter(m.st, m.now);
		for (unsigned i = 0; may_miss && i < 20; i++)
			do_pressure(&m);
		do_any(&m);
		store_leave(m.st);
		if (step % 50 == 0)
			pass_second(&m);
		if (step % 97 == 0)
			store_check(m.s);
	}
	store_check(m.s);
	if (!may_miss)
		check_empties(&m);
	store_fini(m.s);
}

Test(references_model, agree_with_the_naive_model_while_memory_is_ample)
{
	for (uint64_t seed = 1; seed <= 4; seed++)
		run(policy_at(0), 64u << 20, false, test_seed(seed * 7919), test_steps(30000));
}

Test(references_model, never_answer_wrong_under_memory_pressure)
{
	for (unsigned i = 0; policy_at(i); i++)
		for (uint64_t seed = 1; seed <= 2; seed++)
			run(policy_at(i), 2u << 20, true, test_seed(seed * 104729), test_steps(10000));
}
