/*
 * stress_references.c: all threads at once on a few thousand keys that refer to each other in every way,
 * in a small budget, with maintenance, flushes and shrinking limits beside them. Every value read must be one
 * that was written whole, under its key or under one that a weak reference may lead to; afterwards every
 * structure is whole, and with all keys deleted nothing is left of the references. A plain program, because
 * ThreadSanitizer does not run under Criterion.
 *
 *   stress_references [threads [operations per thread [seed]]]
 */
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#include "eviction/policy.h"
#include "store/store.h"
#include "tests/support/random.h"

#define KEYS 3000u
#define VALUE_MAX 20000u
#define TURN_OPERATIONS 16u
#define RESULTS 16

static struct store *store;
static atomic_uint now = 10;
static atomic_uint working; /* threads that are not through */
static atomic_bool done;
static atomic_ulong hits, followed, results[RESULTS];

struct thread_arg {
	unsigned index;
	unsigned operations;
	uint64_t seed;
};

static void fail(const char *what)
{
	fprintf(stderr, "stress_references: %s\n", what);
	abort();
}

static size_t make_key(char *key, uint32_t number)
{
	return (size_t)sprintf(key, "k%u", number);
}

/* A value is its key's number and a byte, then that byte until the end. */
static void check_value(struct store_thread *st, const struct item_view *view, uint32_t number)
{
	struct value_cursor c;
	uint32_t found, at = 0;
	uint8_t fill = 0;

	store_value_first(view, st, &c);
	memcpy(&found, c.part, 4);
	if (found >= KEYS || (found != number && !view->weak))
		fail("a value of another key");
	if (view->value_length > 4)
		fill = (uint8_t)c.part[4];
	do {
		for (uint32_t i = at == 0 ? 4 : 0; i < c.part_length; i++)
			if ((uint8_t)c.part[i] != fill)
				fail("a torn value");
		at += c.part_length;
	} while (store_value_next(st, &c));
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
		memcpy(value, &number, 4);
		memset(value + 4, (uint8_t)test_random_next(r), spec.value_length - 4);
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

static void operate(struct store_thread *st, struct test_random *r, char *value)
{
	char key[16];
	uint32_t number = test_random_below(r, KEYS);
	size_t length = make_key(key, number);
	uint64_t hash = store_hash(st, key, length);
	struct delete_args args = { 0 };
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
		if (store_get(st, key, length, hash, &view))
			check_value(st, &view, number);
	}
}

static void *work(void *context)
{
	struct thread_arg *arg = context;
	struct store_thread *st = store_thread_get(store, arg->index);
	struct test_random r = { arg->seed + arg->index * 7919 };
	char *value = malloc(VALUE_MAX);

	for (unsigned i = 0; i < arg->operations; i += TURN_OPERATIONS) {
		store_enter(st, atomic_load(&now));
		for (unsigned k = 0; k < TURN_OPERATIONS; k++)
			operate(st, &r, value);
		if (arg->index == 0 && test_random_below(&r, 4000) == 0)
			store_flush(st);
		store_leave(st);
	}
	free(value);
	/* As an idle worker does, until all are through. */
	for (atomic_fetch_sub(&working, 1); atomic_load(&working); sched_yield()) {
		store_enter(st, atomic_load(&now));
		store_leave(st);
	}
	return NULL;
}

static void *maintain(void *context)
{
	struct thread_arg *arg = context;
	struct store_thread *st = store_thread_get(store, arg->index);
	uint32_t rounds = 0;

	while (!atomic_load(&done)) {
		if (++rounds % 16 == 0)
			atomic_fetch_add(&now, 1);
		if (rounds % 128 == 0)
			store_set_limit(st, rounds % 256 ? 3u << 20 : 4u << 20);
		store_maintain(st, atomic_load(&now));
		for (unsigned i = 0; i < 8 && store_collect_step(st); i++)
			;
		sched_yield();
	}
	return NULL;
}

static void settle(unsigned threads)
{
	for (unsigned round = 0; round < 4; round++) {
		atomic_fetch_add(&now, 1);
		for (unsigned i = 0; i <= threads; i++) {
			store_enter(store_thread_get(store, i), atomic_load(&now));
			store_leave(store_thread_get(store, i));
		}
		while (store_maintain(store_thread_get(store, threads), atomic_load(&now)))
			;
		while (store_collect_step(store_thread_get(store, threads)))
			;
	}
}

static void delete_all(unsigned threads)
{
	struct store_thread *st = store_thread_get(store, 0);
	struct reference_counters n;
	char key[16];

	for (unsigned i = 0; i < KEYS; i++) {
		size_t length = make_key(key, i);

		store_enter(st, atomic_load(&now));
		store_delete(st, key, length, store_hash(st, key, length), &(struct delete_args){ 0 });
		store_leave(st);
	}
	settle(threads);
	store_check(store);
	store_reference_counters(store, &n);
	if (n.weak_references | n.dependencies | n.holds | n.control_blocks | n.held_bytes)
		fail("something is left of the references");
}

/* One store under one policy, from start to end. */
static void stress(const struct policy_ops *policy, unsigned threads, unsigned operations,
                   uint64_t seed)
{
	struct store_options o = {
		.limit_bytes = 4u << 20,
		.item_limit_bytes = 1u << 20,
		.thread_count = threads + 1,
		.evict = true,
		.held_limit_percent = 25,
		.policy = policy,
		.hash_seed = seed,
	};
	pthread_t handles[65];
	struct thread_arg args[65];
	struct reference_counters n;

	if (threads > 64 || store_init(&store, &o) != STATUS_OK)
		fail("no store");
	atomic_store(&working, threads);
	atomic_store(&done, false);
	store_collect_threshold(store_thread_get(store, 0), 50);
	atomic_store(&hits, 0);
	atomic_store(&followed, 0);
	for (unsigned i = 0; i < RESULTS; i++)
		atomic_store(&results[i], 0);
	for (unsigned i = 0; i <= threads; i++) {
		args[i] = (struct thread_arg){ i, operations, seed };
		pthread_create(&handles[i], NULL, i < threads ? work : maintain, &args[i]);
	}
	for (unsigned i = 0; i < threads; i++)
		pthread_join(handles[i], NULL);
	atomic_store(&done, true);
	pthread_join(handles[threads], NULL);
	settle(threads);
	store_check(store);
	store_reference_counters(store, &n);
	printf("%s, seed %llu: %lu hits, %lu through weak references, %lu stored, %lu without a target, "
	       "%lu past the held limit, %lu without memory, %llu died, %llu runs collected %llu\n",
	       policy->name, (unsigned long long)seed, atomic_load(&hits), atomic_load(&followed),
	       atomic_load(&results[STORE_OK]), atomic_load(&results[STORE_NOT_FOUND]),
	       atomic_load(&results[STORE_HELD_LIMIT]), atomic_load(&results[STORE_NO_MEMORY]),
	       (unsigned long long)n.dead_reclaimed, (unsigned long long)n.collector_runs,
	       (unsigned long long)n.collector_entries);
	if (!atomic_load(&hits) || !atomic_load(&followed) || !n.dead_reclaimed)
		fail("the load exercised too little");
	delete_all(threads);
	store_fini(store);
}

int main(int argc, char **argv)
{
	unsigned threads = argc > 1 ? (unsigned)atoi(argv[1]) : 4;
	unsigned operations = argc > 2 ? (unsigned)atoi(argv[2]) : 50000;
	uint64_t seed = argc > 3 ? strtoull(argv[3], NULL, 10) : test_seed(42);
	unsigned policies = 0;

	for (; policy_at(policies); policies++)
		stress(policy_at(policies), threads, operations, seed);
	printf("%u passed, 0 failed\n", policies);
	return 0;
}
