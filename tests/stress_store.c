/*
 * stress_store.c: all threads at once on a few thousand keys in a small budget, with maintenance, flushes
 * and shrinking limits beside them. Every value read must be one that was written whole under its key;
 * afterwards every structure is whole and every byte is accounted for. A plain program, because
 * ThreadSanitizer does not run under Criterion.
 *
 *   stress_store [threads [operations per thread [seed]]]
 */
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#include "eviction/policy.h"
#include "store/curve.h"
#include "store/store.h"
#include "tests/support/random.h"

#define KEYS 8000u
#define VALUE_MAX 40000u
#define TURN_OPERATIONS 16u

static struct store *store;
static atomic_uint now = 10;
static atomic_uint working; /* threads that are not through */
static atomic_bool done;
static atomic_ulong hits, refused;
static atomic_bool curves_seen;

struct thread_arg {
	unsigned index;
	unsigned operations;
	uint64_t seed;
};

static void fail(const char *what)
{
	fflush(stdout);
	fprintf(stderr, "stress_store: %s\n", what);
	abort();
}

/* A value is its key's number and a byte, then that byte until the end. */
static uint32_t make_value(char *value, uint32_t number, uint32_t length, uint8_t fill)
{
	memcpy(value, &number, 4);
	memset(value + 4, fill, length - 4);
	return length;
}

static void check_value(struct store_thread *st, const struct item_view *view, uint32_t number)
{
	struct value_cursor c;
	uint32_t found, at = 0;
	uint8_t fill = 0;

	store_value_first(view, st, &c);
	memcpy(&found, c.part, 4);
	if (found != number)
		fail("a value of another key");
	if (view->value_length > 4)
		fill = (uint8_t)c.part[4];
	do {
		for (uint32_t i = at == 0 ? 4 : 0; i < c.part_length; i++)
			if ((uint8_t)c.part[i] != fill)
				fail("a torn value");
		at += c.part_length;
	} while (store_value_next(st, &c));
	if (at != view->value_length)
		fail("a value of another length than it says");
}

static void operate(struct store_thread *st, struct test_random *r, char *value)
{
	char key[16];
	uint32_t number = test_random_below(r, KEYS);
	size_t length = (size_t)sprintf(key, "k%u", number);
	uint64_t hash = store_hash(st, key, length);
	struct item_view view;
	uint32_t choice = test_random_below(r, 100);

	if (choice < 50) {
		store_prefetch_item(st, hash);
		if (store_get(st, key, length, hash, &view)) {
			check_value(st, &view, number);
			atomic_fetch_add(&hits, 1);
		}
	} else if (choice < 85) {
		uint32_t size = 4 + test_random_below(r, test_random_below(r, 20) ? 300 : VALUE_MAX - 4);
		struct item_spec spec = {
			.key = key,
			.key_length = (uint8_t)length,
			.hash = hash,
			.expiry = test_random_below(r, 4) ? 0 : store_now(st) + test_random_below(r, 5),
			.value_length = make_value(value, number, size, (uint8_t)test_random_next(r)),
		};
		struct commit_args args = { .mode = choice < 75 ? STORE_SET : STORE_ADD };

		if (store_set(st, &spec, value, &args) == STORE_NO_MEMORY)
			atomic_fetch_add(&refused, 1);
	} else if (choice < 92) {
		struct delete_args args = { .invalidate = choice == 91 };

		store_delete(st, key, length, hash, &args);
	} else if (choice < 97) {
		store_touch(st, key, length, hash, store_now(st) + 3, &view);
	} else if (store_get(st, key, length, hash, &view)) {
		check_value(st, &view, number);
		if (store_can_pin(st, &view) && store_pin(st, &view)) {
			store_leave(st);
			store_enter(st, atomic_load(&now));
			check_value(st, &view, number);
			store_unpin(st, view.reference);
		}
	}
}

static void look_at_curves(bool reset)
{
	struct store_curve curve;

	if (reset)
		store_curve_reset(store);
	store_curve_read(store, &curve);
	for (unsigned i = 0; i < curve.report.lane_count; i++)
		if (curve.report.points[i].miss_ratio < 0 || curve.report.points[i].miss_ratio > 1)
			fail("a miss ratio that is none");
	if (curve.report.requests > 0)
		atomic_store(&curves_seen, true);
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
		if (test_random_below(&r, 100) == 0)
			look_at_curves(test_random_below(&r, 20) == 0);
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
		sched_yield();
	}
	return NULL;
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
		.policy = policy,
		.hash_seed = seed,
		/* Too much for so small a budget, so that they come and go with it, too. */
		.curve_one_in = 2,
		.curve_bytes = CURVE_BYTES_LEAST,
	};
	pthread_t handles[65];
	struct thread_arg args[65];

	if (threads > 64 || store_init(&store, &o) != STATUS_OK)
		fail("no store");
	atomic_store(&working, threads);
	atomic_store(&done, false);
	atomic_store(&hits, 0);
	atomic_store(&curves_seen, false);
	for (unsigned i = 0; i <= threads; i++) {
		args[i] = (struct thread_arg){ i, operations, seed };
		pthread_create(&handles[i], NULL, i < threads ? work : maintain, &args[i]);
	}
	for (unsigned i = 0; i < threads; i++)
		pthread_join(handles[i], NULL);
	atomic_store(&done, true);
	pthread_join(handles[threads], NULL);
	while (store_maintain(store_thread_get(store, threads), atomic_load(&now) + 1))
		;
	store_check(store);

	struct store_counters sum;

	store_counters_sum(store, &sum);
	printf("%s, seed %llu: %lu hits, %lu refused, %llu evicted, %llu expired, %llu flushed, "
	       "%llu pages moved\n",
	       policy->name, (unsigned long long)seed, atomic_load(&hits), atomic_load(&refused),
	       (unsigned long long)sum.evictions, (unsigned long long)sum.expired,
	       (unsigned long long)sum.flushed, (unsigned long long)sum.page_moves);
	if (atomic_load(&hits) == 0 || sum.evictions == 0 || sum.expired == 0)
		fail("the load exercised too little");
	if (!atomic_load(&curves_seen))
		fail("no request was simulated");
	if (atomic_load(&refused) != 0)
		fail("a store was refused while something could be evicted");
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
