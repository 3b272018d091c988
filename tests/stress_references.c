/*
 * stress_references.c: all threads at once on a few thousand keys that refer to each other in every way,
 * in a small budget, with maintenance, flushes and shrinking limits beside them. Every value read must be one
 * that was written whole, under its key or under one that a weak reference may lead to; afterwards every
 * structure is whole, and with all keys deleted nothing is left of the references. A plain program, because
 * ThreadSanitizer does not run under Criterion.
 *
 *   stress_references [threads [operations per thread [seed]]]
 */
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "eviction/policy.h"
#include "tests/support/crew.h"

#define KEYS 3000u
#define VALUE_MAX 20000u
#define RESULTS 16

static atomic_ulong hits, followed, results[RESULTS];

static size_t make_key(char *key, uint32_t number)
{
	return (size_t)sprintf(key, "k%u", number);
}

static void check_value(struct crew *c, struct store_thread *st, const struct item_view *view,
                        uint32_t number)
{
	uint32_t found = crew_check_value(c, st, view);

	if (found >= KEYS || (found != number && !view->weak))
		crew_fail(c, "a value of another key");
	atomic_fetch_add(view->weak ? &followed : &hits, 1);
}

static void set(struct store_thread *st, struct test_random *r, char *value, uint32_t number)
{
	char key[16], keys[REFERENCES_MAX][16];
	struct reference_list list = { .count = (uint8_t)(test_random_below(r, 2) * test_random_below(r, 5)) };
	struct item_spec spec = { .key = key, .key_length = (uint8_t)make_key(key, number) };
	struct commit_args args = { .mode = test_random_below(r, 6) ? STORE_SET : STORE_APPEND };
	bool weak = args.mode == STORE_SET && list.count && test_random_below(r, 3) == 0;

	for (unsigned i = 0; i < list.count; i++) {
		list.targets[i].kind = (uint8_t)(REFERENCE_LIFE + test_random_below(r, 3));
		list.targets[i].key = keys[i];
		list.targets[i].key_length = (uint8_t)make_key(keys[i], test_random_below(r, KEYS));
	}
	spec.hash = store_hash(st, key, spec.key_length);
	spec.expiry = test_random_below(r, 5) ? 0 : store_now(st) + test_random_below(r, 8);
	if (weak) {
		list.targets[0].kind = REFERENCE_WEAK;
		spec.value_length = list.targets[0].key_length;
		memcpy(value, keys[0], spec.value_length);
	} else {
		spec.value_length = 4 + test_random_below(r, test_random_below(r, 10) ? 1500 : VALUE_MAX - 4);
		crew_make_value(value, number, spec.value_length, (uint8_t)test_random_next(r));
	}
	/* What is appended to is no longer whole: only nothing is. */
	if (args.mode == STORE_APPEND)
		spec.value_length = 0;
	if (list.count) {
		spec.references = reference_list_shape(&list);
		args.references = &list;
	}
	atomic_fetch_add(&results[store_set(st, &spec, value, &args)], 1);
}

static void operate(struct crew *c, struct store_thread *st, struct test_random *r, char *value)
{
	char key[16];
	uint32_t number = test_random_below(r, KEYS);
	size_t length = make_key(key, number);
	uint64_t hash = store_hash(st, key, length);
	struct delete_args args = { 0 };
	struct look_ahead ahead;
	struct item_view view;

	switch (test_random_below(r, 16)) {
	case 0:
		store_delete(st, key, length, hash, &args);
		break;
	case 1:
		if (store_touch(st, key, length, hash, store_now(st) + 5, &view) == STORE_OK && view.weak)
			store_follow(st, &view, true);
		break;
	case 2:
		args.invalidate = true;
		args.explicit_cas = test_random_below(r, 2);
		store_delete(st, key, length, hash, &args);
		break;
	case 3:
	case 4:
	case 5:
	case 6:
	case 7:
		set(st, r, value, number);
		break;
	default:
		/* As a batch does it, now and then with a write between. */
		store_prefetch_entry(st, hash, &ahead);
		if (test_random_below(r, 8) == 0)
			set(st, r, value, test_random_below(r, KEYS));
		store_prefetch_target(st, &ahead);
		if (store_get(st, key, length, hash, &view))
			check_value(c, st, &view, number);
	}
}

static void collect_some(struct crew *c, struct store_thread *st)
{
	/* So often that runs begin all the time. */
	store_collect_threshold(st, 50);
	for (unsigned i = 0; i < 8 && store_collect_step(st); i++)
		;
}

static void settle(struct crew *c)
{
	for (unsigned round = 0; round < 4; round++) {
		crew_settle(c);
		while (store_collect_step(store_thread_get(c->store, c->threads)))
			;
	}
}

static void delete_all(struct crew *c)
{
	struct store_thread *st = store_thread_get(c->store, 0);
	struct reference_counters n;
	char key[16];

	for (unsigned i = 0; i < KEYS; i++) {
		size_t length = make_key(key, i);

		store_enter(st, atomic_load(&c->now));
		store_delete(st, key, length, store_hash(st, key, length), &(struct delete_args){ 0 });
		store_leave(st);
	}
	settle(c);
	store_check(c->store);
	store_reference_counters(c->store, &n);
	if (n.weak_references | n.dependencies | n.holds | n.control_blocks | n.held_bytes)
		crew_fail(c, "something is left of the references");
}

static uint64_t read_clock(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000 + (uint64_t)ts.tv_nsec / 1000;
}

/* One store under one policy, from start to end. */
static void stress(struct crew *c, const struct policy_ops *policy)
{
	struct store_options o = {
		.limit_bytes = 4u << 20,
		.item_limit_bytes = 1u << 20,
		.evict = true,
		.held_limit_percent = 25,
		.policy = policy,
		.clock_us = read_clock,
	};
	struct reference_counters n;

	atomic_store(&hits, 0);
	atomic_store(&followed, 0);
	for (unsigned i = 0; i < RESULTS; i++)
		atomic_store(&results[i], 0);
	crew_run(c, &o);
	settle(c);
	store_check(c->store);
	store_reference_counters(c->store, &n);
	printf("%s, seed %llu: %lu hits, %lu through weak references, %lu stored, %lu without a target, "
	       "%lu past the held limit, %lu without memory, %llu died, %llu runs collected %llu\n",
	       policy->name, (unsigned long long)c->seed, atomic_load(&hits), atomic_load(&followed),
	       atomic_load(&results[STORE_OK]), atomic_load(&results[STORE_NOT_FOUND]),
	       atomic_load(&results[STORE_HELD_LIMIT]), atomic_load(&results[STORE_NO_MEMORY]),
	       (unsigned long long)n.dead_reclaimed, (unsigned long long)n.collector_runs,
	       (unsigned long long)n.collector_entries);
	if (!atomic_load(&hits) || !atomic_load(&followed) || !n.dead_reclaimed)
		crew_fail(c, "the load exercised too little");
	delete_all(c);
	store_fini(c->store);
}

int main(int argc, char **argv)
{
	static struct crew crew = {
		.name = "stress_references",
		.value_max = VALUE_MAX,
		.operate = operate,
		.maintain = collect_some,
	};

	return crew_main(&crew, argc, argv, stress);
}
