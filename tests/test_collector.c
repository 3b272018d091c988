/*
 * test_collector.c: entries that hold each other, beside reachability as it is defined: what nobody
 * reaches is released by two runs, what is reached never is, whatever changes between the steps.
 */
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "eviction/policy.h"
#include "store/internal.h"
#include "tests/support/entries.h"
#include "tests/support/random.h"

#define NODES 150

struct graph {
	struct store *s;
	struct store_thread *st;
	struct test_random random;
	bool present[NODES];
	bool used[NODES];
	unsigned hold_count[NODES];
	unsigned holds[NODES][4];
	uint64_t life[NODES];
	uint64_t hold_life[NODES][4];
};

static bool holds_now(const struct graph *g, unsigned i, unsigned k)
{
	unsigned target = g->holds[i][k];

	return g->present[i] && g->present[target] && g->life[target] == g->hold_life[i][k];
}

static bool is_held(const struct graph *g, unsigned target)
{
	for (unsigned i = 0; i < NODES; i++)
		for (unsigned k = 0; g->present[i] && k < g->hold_count[i]; k++)
			if (g->holds[i][k] == target && holds_now(g, i, k))
				return true;
	return false;
}

/* Everything that an entry which can be evicted holds, or one that was used, and what those hold. */
static void reach(const struct graph *g, bool *reached, bool with_used)
{
	bool changed = true;

	for (unsigned i = 0; i < NODES; i++)
		reached[i] = g->present[i] && (!is_held(g, i) || (with_used && g->used[i]));
	while (changed) {
		changed = false;
		for (unsigned i = 0; i < NODES; i++)
			for (unsigned k = 0; reached[i] && k < g->hold_count[i]; k++)
				if (holds_now(g, i, k) && !reached[g->holds[i][k]])
					changed = reached[g->holds[i][k]] = true;
	}
}

static size_t node_key(unsigned i, char *key)
{
	return (size_t)sprintf(key, "node%u", i);
}

static void node_set(struct graph *g, unsigned i, unsigned hold_count)
{
	char key[16], keys[4][16];
	struct reference_list list = { .count = 0 };
	struct item_spec spec = { .key = key, .key_length = (uint8_t)node_key(i, key), .value_length = 20 };
	struct commit_args args = { .mode = STORE_SET };

	g->life[i] += !g->present[i];
	g->hold_count[i] = 0;
	for (unsigned k = 0; k < hold_count; k++) {
		unsigned target = test_random_below(&g->random, NODES);

		if (!g->present[target])
			continue;
		g->holds[i][list.count] = target;
		g->hold_life[i][list.count] = g->life[target];
		list.targets[list.count].key = keys[list.count];
		list.targets[list.count].key_length = (uint8_t)node_key(target, keys[list.count]);
		list.targets[list.count++].kind = REFERENCE_HOLD;
	}
	if (list.count) {
		args.references = &list;
		spec.references = reference_list_shape(&list);
	}
	spec.hash = store_hash(g->st, key, spec.key_length);
	cr_assert_eq(store_set(g->st, &spec, "twenty bytes of value", &args), STORE_OK);
	g->hold_count[i] = list.count;
	g->present[i] = true;
	g->used[i] = false;
}

static void hold_one(struct graph *g, unsigned i, unsigned target)
{
	char key[16], target_key[16];
	struct reference_list list = { .count = 1 };
	struct item_spec spec = { .key = key, .key_length = (uint8_t)node_key(i, key), .value_length = 20 };
	struct commit_args args = { .mode = STORE_SET, .references = &list };

	list.targets[0].kind = REFERENCE_HOLD;
	list.targets[0].key = target_key;
	list.targets[0].key_length = (uint8_t)node_key(target, target_key);
	spec.references = reference_list_shape(&list);
	spec.hash = store_hash(g->st, key, spec.key_length);
	cr_assert_eq(store_set(g->st, &spec, "twenty bytes of value", &args), STORE_OK);
}

static void node_delete(struct graph *g, unsigned i)
{
	char key[16];
	size_t length = node_key(i, key);

	store_delete(g->st, key, length, store_hash(g->st, key, length), &(struct delete_args){ 0 });
	g->present[i] = false;
}

static bool node_view(struct graph *g, unsigned i, bool get, struct item_view *view)
{
	char key[16];
	size_t length = node_key(i, key);
	uint64_t hash = store_hash(g->st, key, length);

	return get ? store_get(g->st, key, length, hash, view) : store_peek(g->st, key, length, hash, view);
}

static bool node_is_released(struct graph *g, unsigned i)
{
	struct reference_info info;
	struct item_view view;

	cr_assert(node_view(g, i, false, &view));
	return store_view_references(g->st, &view, &info) && info.released;
}

static void graph_init(struct graph *g, uint64_t limit_bytes, uint64_t seed)
{
	memset(g, 0, sizeof(*g));
	g->s = new_store(limit_bytes, policy_at(0), 50, seed);
	g->st = store_thread_get(g->s, 0);
	g->random.state = seed;
	store_enter(g->st, 10);
	for (unsigned i = 0; i < NODES; i++)
		node_set(g, i, 0);
}

static void graph_fini(struct graph *g)
{
	store_leave(g->st);
	store_fini(g->s);
}

static void collect(struct graph *g, uint64_t *entries, uint64_t *bytes)
{
	uint64_t run = store_collect_begin(g->st);

	while (!store_collect_done(g->st, run, entries, bytes))
		store_collect_step(g->st);
	while (store_collect_step(g->st))
		;
}

Test(collector, releases_what_only_holds_itself_and_nothing_else)
{
	static struct graph g;

	for (uint64_t seed = 1; seed <= 30; seed++) {
		bool reached[NODES];
		uint64_t entries, bytes, expected = 0;

		graph_init(&g, 16u << 20, test_seed(seed * 31337));
		for (unsigned i = 0; i < NODES; i++)
			node_set(&g, i, test_random_below(&g.random, 3));
		for (unsigned n = 0; n < 10; n++) {
			struct item_view view;
			unsigned i = test_random_below(&g.random, NODES);

			cr_assert(node_view(&g, i, true, &view));
			g.used[i] = true;
		}
		reach(&g, reached, true);
		collect(&g, &entries, &bytes);
		for (unsigned i = 0; i < NODES; i++) {
			cr_assert_eq(node_is_released(&g, i), !reached[i], "node %u, seed %u", i, (unsigned)seed);
			expected += !reached[i];
		}
		cr_assert_eq(entries, expected);
		cr_assert_eq(bytes > 0, expected > 0);
		store_check(g.s);
		/* Nobody used them since. */
		reach(&g, reached, false);
		collect(&g, &entries, &bytes);
		for (unsigned i = 0; i < NODES; i++)
			cr_assert_eq(node_is_released(&g, i), !reached[i]);
		graph_fini(&g);
	}
}

Test(collector, never_releases_what_is_reached_whatever_happens_meanwhile)
{
	static struct graph g;

	for (uint64_t seed = 1; seed <= 200; seed++) {
		bool reached[NODES];
		uint64_t entries, bytes;

		graph_init(&g, 16u << 20, test_seed(seed * 271));
		for (unsigned i = 0; i < NODES; i++)
			node_set(&g, i, test_random_below(&g.random, 3));
		uint64_t run = store_collect_begin(g.st);

		while (!store_collect_done(g.st, run, &entries, &bytes)) {
			unsigned i = test_random_below(&g.random, NODES);

			store_collect_step(g.st);
			if (test_random_below(&g.random, 2))
				node_set(&g, i, test_random_below(&g.random, 4));
			else if (test_random_below(&g.random, 4) == 0)
				node_delete(&g, i);
		}
		while (store_collect_step(g.st))
			;
		reach(&g, reached, false);
		for (unsigned i = 0; i < NODES; i++)
			if (reached[i])
				cr_assert(!node_is_released(&g, i), "node %u, seed %u", i, (unsigned)seed);
		store_check(g.s);
		graph_fini(&g);
	}
}

Test(collector, what_it_released_is_evicted_first)
{
	static struct graph g;
	uint64_t entries, bytes;
	char key[16];
	struct item_view view;

	graph_init(&g, 4u << 20, 7);
	/* 0 and 1 hold each other, 2 and 3 do and are held by 4. */
	hold_one(&g, 0, 1);
	hold_one(&g, 1, 0);
	hold_one(&g, 2, 3);
	hold_one(&g, 3, 2);
	hold_one(&g, 4, 2);
	collect(&g, &entries, &bytes);
	cr_assert_eq(entries, 2);
	cr_assert(node_view(&g, 0, false, &view));
	for (unsigned i = 0; node_view(&g, 0, false, &view) || node_view(&g, 1, false, &view); i++) {
		static const char bytes_of_filler[1000];
		struct commit_args plain = { .mode = STORE_SET };
		struct item_spec spec = { .key = key, .key_length = (uint8_t)sprintf(key, "f%u", i),
			                  .value_length = sizeof(bytes_of_filler) };
		struct store_counters n;

		cr_assert_lt(i, 10000);
		store_counters_sum(g.s, &n);
		cr_assert_leq(n.evictions, 2, "others were evicted before");
		spec.hash = store_hash(g.st, key, spec.key_length);
		cr_assert_eq(store_set(g.st, &spec, bytes_of_filler, &plain), STORE_OK);
	}
	cr_assert(node_view(&g, 2, false, &view));
	cr_assert(node_view(&g, 3, false, &view));
	store_check(g.s);
	graph_fini(&g);
}

Test(collector, begins_by_itself_after_enough_holds_and_spares_the_young)
{
	static struct graph g;
	struct reference_counters n;

	graph_init(&g, 16u << 20, 99);
	store_collect_threshold(g.st, 50);
	hold_one(&g, 0, 1);
	hold_one(&g, 1, 0);
	for (unsigned i = 0; i < 60; i++)
		hold_one(&g, 2, 3);
	while (store_collect_step(g.st))
		;
	store_reference_counters(g.s, &n);
	cr_assert_eq(n.collector_runs, 1);
	cr_assert_eq(n.collector_entries, 0, "what was just stored had no time to be used");
	for (unsigned i = 0; i < 60; i++)
		hold_one(&g, 2, 3);
	store_collect_enable(g.st, false);
	cr_assert(!store_collect_step(g.st));
	store_collect_enable(g.st, true);
	while (store_collect_step(g.st))
		;
	store_reference_counters(g.s, &n);
	cr_assert_eq(n.collector_runs, 2);
	cr_assert_eq(n.collector_entries, 2);
	store_check(g.s);
	graph_fini(&g);
}

Test(collector, a_step_waits_for_nobody)
{
	static struct graph g;
	struct item_view view;

	graph_init(&g, 16u << 20, 5);
	struct ring *ring = &g.st->ring;

	hold_one(&g, 0, 1);
	hold_one(&g, 1, 0);
	store_collect_begin(g.st);
	cr_assert_eq(store_collect_step(g.st), COLLECT_STEP_MORE);
	cr_assert(node_view(&g, 2, false, &view));
	while (ring->tail - ring->head < RING_ENTRIES)
		ring_push(g.st, view.reference);
	/* Whoever has it may have lost its core. */
	lock_acquire(&g.s->references.blocks.lock);
	cr_assert_eq(store_collect_step(g.st), COLLECT_STEP_BUSY);
	lock_release(&g.s->references.blocks.lock);
	/* What a sweep gives back to the policy needs a class's lock if there is no room: not under that one. */
	cr_assert_leq(ring->tail - ring->head, RING_ENTRIES / 2);
	while (store_collect_step(g.st))
		;
	store_check(g.s);
	graph_fini(&g);
}

/* Steps that runs took which began by themselves while so many cycles were stored. */
static unsigned count_steps(struct graph *g, unsigned first, unsigned cycles)
{
	unsigned steps = 0;

	for (unsigned i = first; i < first + cycles; i++) {
		char a[16], b[16];

		sprintf(a, "a%u", i);
		sprintf(b, "b%u", i);
		cr_assert_eq(simple_set(g->st, a, 1, NULL, 0), STORE_OK);
		cr_assert_eq(simple_set(g->st, b, 1, a, REFERENCE_HOLD), STORE_OK);
		cr_assert_eq(simple_set(g->st, a, 1, b, REFERENCE_HOLD), STORE_OK);
		while (store_collect_step(g->st) != COLLECT_STEP_NONE)
			steps++;
	}
	return steps;
}

Test(collector, runs_by_itself_in_proportion_to_the_holds)
{
	enum { CYCLES = 20000 };
	static struct graph g;
	struct reference_counters n;

	graph_init(&g, 64u << 20, 8);
	unsigned first = count_steps(&g, 0, CYCLES), second = count_steps(&g, CYCLES, CYCLES);

	/* Each hold pays for five looks at four others; a step is 64. */
	cr_assert_leq(first, 2 * CYCLES * 40 / 64);
	cr_assert_leq(second, 2 * CYCLES * 40 / 64);
	store_reference_counters(g.s, &n);
	cr_assert_geq(n.collector_runs, 5);
	/* Fewer than that are found too, only later. */
	uint64_t runs = n.collector_runs;

	count_steps(&g, 2 * CYCLES, 500);
	store_reference_counters(g.s, &n);
	cr_assert_eq(n.collector_runs, runs);
	store_leave(g.st);
	store_enter(g.st, 25);
	cr_assert_gt(count_steps(&g, 2 * CYCLES + 500, 10), 0);
	store_reference_counters(g.s, &n);
	cr_assert_eq(n.collector_runs, runs + 1);
	store_check(g.s);
	graph_fini(&g);
}

/* A cycle of so many; the first store that is not kept ends it. */
static enum store_result store_cycle(struct graph *g, unsigned number, unsigned length)
{
	char first[24], key[24], target[24];
	enum store_result result;

	sprintf(first, "c%u.0", number);
	strcpy(target, first);
	result = simple_set(g->st, first, 1, NULL, 0);
	for (unsigned i = 1; i < length && result == STORE_OK; i++) {
		sprintf(key, "c%u.%u", number, i);
		result = simple_set(g->st, key, 1, target, REFERENCE_HOLD);
		strcpy(target, key);
	}
	return result == STORE_OK ? simple_set(g->st, first, 1, target, REFERENCE_HOLD) : result;
}

Test(collector, stores_drive_it_on_before_they_are_refused)
{
	static const unsigned lengths[] = { 2, 100, 400 };
	static struct graph g;

	for (unsigned k = 0; k < 3; k++) {
		graph_init(&g, 8u << 20, 9);
		/* Nobody else does a step. */
		for (unsigned i = 0; i < 200000 / lengths[k]; i++)
			cr_assert_eq(store_cycle(&g, i, lengths[k]), STORE_OK, "cycle %u of %u", i, lengths[k]);
		store_check(g.s);
		graph_fini(&g);
	}
}

Test(collector, what_is_held_and_reached_is_refused_past_the_limit)
{
	static struct graph g;
	struct reference_counters n;
	char key[24], target[24] = "node0";
	enum store_result result = STORE_OK;
	unsigned i;

	graph_init(&g, 8u << 20, 10);
	for (i = 0; i < 200000 && result == STORE_OK; i++) {
		sprintf(key, "h%u", i);
		result = simple_set(g.st, key, 1, target, REFERENCE_HOLD);
		strcpy(target, key);
	}
	cr_assert_eq(result, STORE_HELD_LIMIT);
	store_reference_counters(g.s, &n);
	/* With their control blocks: half of all memory, as the limit says. */
	cr_assert_geq(n.held_bytes, (uint64_t)n.control_blocks * 64);
	cr_assert_leq(n.held_bytes, n.held_limit_bytes);
	cr_assert_eq(simple_set(g.st, "plain", 1, NULL, 0), STORE_OK);
	store_check(g.s);
	graph_fini(&g);
}

Test(collector, what_it_released_is_not_young_to_the_next_run)
{
	static struct graph g;
	struct reference_counters n;
	uint64_t entries, bytes;

	graph_init(&g, 16u << 20, 11);
	cr_assert_eq(store_cycle(&g, 0, 10), STORE_OK);
	collect(&g, &entries, &bytes);
	cr_assert_eq(entries, 10);
	store_collect_threshold(g.st, 20);
	cr_assert_eq(store_cycle(&g, 1, 30), STORE_OK);
	while (store_collect_step(g.st))
		;
	store_reference_counters(g.s, &n);
	cr_assert_eq(n.collector_runs, 2);
	cr_assert_eq(g.s->references.released_count, 10);
	store_check(g.s);
	graph_fini(&g);
}

Test(collector, a_group_that_is_evicted_during_a_run_stays_released)
{
	static struct graph g;
	struct item_view view;
	uint64_t entries, bytes;

	graph_init(&g, 16u << 20, 12);
	cr_assert_eq(store_cycle(&g, 0, 10), STORE_OK);
	collect(&g, &entries, &bytes);
	cr_assert_eq(g.s->references.released_count, 10);
	uint64_t run = store_collect_begin(g.st);

	while (g.s->references.collector.phase != COLLECT_SWEEP)
		store_collect_step(g.st);
	cr_assert(store_peek(g.st, "c0.5", 4, store_hash(g.st, "c0.5", 4), &view));
	cr_assert(remove_reference(g.st, view.reference, ENDED_COLLECTED));
	while (!store_collect_done(g.st, run, &entries, &bytes))
		store_collect_step(g.st);
	/* But for the one that it held, which is held no more and goes next. */
	cr_assert_eq(g.s->references.released_count, 8);
	store_check(g.s);
	graph_fini(&g);
}
