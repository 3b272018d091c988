/*
 * stress_store.c: all threads at once on a few thousand keys in a small budget, with maintenance, flushes
 * and shrinking limits beside them. Every value read must be one that was written whole under its key;
 * afterwards every structure is whole and every byte is accounted for. A plain program, because
 * ThreadSanitizer does not run under Criterion.
 *
 *   stress_store [threads [operations per thread [seed]]]
 */
#include <stdio.h>

#include "eviction/policy.h"
#include "store/curve.h"
#include "tests/support/crew.h"

#define KEYS 8000u
#define VALUE_MAX 40000u

static atomic_ulong hits, refused;
static atomic_bool curves_seen;

static void check_value(struct crew *c, struct store_thread *st, const struct item_view *view,
                        uint32_t number)
{
	if (crew_check_value(c, st, view) != number)
		crew_fail(c, "a value of another key");
}

static void operate(struct crew *c, struct store_thread *st, struct test_random *r, char *value)
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
			check_value(c, st, &view, number);
			atomic_fetch_add(&hits, 1);
		}
	} else if (choice < 85) {
		uint32_t size = 4 + test_random_below(r, test_random_below(r, 20) ? 300 : VALUE_MAX - 4);
		struct item_spec spec = {
			.key = key,
			.key_length = (uint8_t)length,
			.hash = hash,
			.expiry = test_random_below(r, 4) ? 0 : store_now(st) + test_random_below(r, 5),
			.value_length = crew_make_value(value, number, size, (uint8_t)test_random_next(r)),
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
		check_value(c, st, &view, number);
		if (store_can_pin(st, &view) && store_pin(st, &view)) {
			store_leave(st);
			store_enter(st, atomic_load(&c->now));
			check_value(c, st, &view, number);
			store_unpin(st, view.reference);
		}
	}
}

static void look_at_curves(struct crew *c, struct test_random *r)
{
	struct store_curve curve;

	if (test_random_below(r, 100) != 0)
		return;
	if (test_random_below(r, 20) == 0)
		store_curve_reset(c->store);
	store_curve_read(c->store, &curve);
	for (unsigned i = 0; i < curve.report.lane_count; i++)
		if (curve.report.points[i].miss_ratio < 0 || curve.report.points[i].miss_ratio > 1)
			crew_fail(c, "a miss ratio that is none");
	if (curve.report.requests > 0)
		atomic_store(&curves_seen, true);
}

/* One store under one policy, from start to end. */
static void stress(struct crew *c, const struct policy_ops *policy)
{
	struct store_options o = {
		.limit_bytes = 4u << 20,
		.item_limit_bytes = 1u << 20,
		.evict = true,
		.policy = policy,
		/* Too much for so small a budget, so that they come and go with it, too. */
		.curve_one_in = 2,
		.curve_bytes = CURVE_BYTES_LEAST,
	};
	struct store_counters sum;

	atomic_store(&hits, 0);
	atomic_store(&curves_seen, false);
	crew_run(c, &o);
	crew_settle(c);
	store_check(c->store);
	store_counters_sum(c->store, &sum);
	printf("%s%s, seed %llu: %lu hits, %lu refused, %llu evicted, %llu expired, %llu flushed, "
	       "%llu pages moved, %llu changes\n",
	       policy->name, c->policies_change ? " to begin with" : "", (unsigned long long)c->seed, atomic_load(&hits), atomic_load(&refused),
	       (unsigned long long)sum.evictions, (unsigned long long)sum.expired,
	       (unsigned long long)sum.flushed, (unsigned long long)sum.page_moves,
	       (unsigned long long)sum.policy_changes);
	if (c->policies_change && sum.policy_changes == 0)
		crew_fail(c, "policies did not change");
	if (atomic_load(&hits) == 0 || sum.evictions == 0 || sum.expired == 0)
		crew_fail(c, "the load exercised too little");
	if (!atomic_load(&curves_seen))
		crew_fail(c, "no request was simulated");
	if (atomic_load(&refused) != 0)
		crew_fail(c, "a store was refused while something could be evicted");
	store_fini(c->store);
}

int main(int argc, char **argv)
{
	static struct crew crew = {
		.name = "stress_store",
		.value_max = VALUE_MAX,
		.operate = operate,
		.after_turn = look_at_curves,
	};

	return crew_main(&crew, argc, argv, stress);
}
