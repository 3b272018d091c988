#include "tests/support/crew.h"

#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>

#include "eviction/policy.h"

#define TURN_OPERATIONS 16u
#define THREADS_MAX 64u
#define CHANGE_ROUNDS 8u

struct hand {
	struct crew *crew;
	unsigned index;
};

void crew_fail(const struct crew *c, const char *what)
{
	fflush(stdout);
	fprintf(stderr, "%s: %s\n", c->name, what);
	abort();
}

/* ---- values ---- */

uint32_t crew_make_value(char *value, uint32_t number, uint32_t length, uint8_t fill)
{
	memcpy(value, &number, 4);
	memset(value + 4, fill, length - 4);
	return length;
}

uint32_t crew_check_value(const struct crew *c, struct store_thread *st, const struct item_view *view)
{
	struct value_cursor part;
	uint32_t number, at = 0;
	uint8_t fill = 0;

	store_value_first(view, st, &part);
	memcpy(&number, part.part, 4);
	if (view->value_length > 4)
		fill = (uint8_t)part.part[4];
	do {
		for (uint32_t i = at == 0 ? 4 : 0; i < part.part_length; i++)
			if ((uint8_t)part.part[i] != fill)
				crew_fail(c, "a torn value");
		at += part.part_length;
	} while (store_value_next(st, &part));
	if (at != view->value_length)
		crew_fail(c, "a value of another length than it says");
	return number;
}

/* ---- threads ---- */

static void *work(void *context)
{
	struct hand *hand = context;
	struct crew *c = hand->crew;
	struct store_thread *st = store_thread_get(c->store, hand->index);
	struct test_random r = { c->seed + hand->index * 7919 };
	char *value = malloc(c->value_max);

	for (unsigned i = 0; i < c->operations; i += TURN_OPERATIONS) {
		store_enter(st, atomic_load(&c->now));
		for (unsigned k = 0; k < TURN_OPERATIONS; k++)
			c->operate(c, st, &r, value);
		if (hand->index == 0 && test_random_below(&r, 4000) == 0)
			store_flush(st);
		if (c->after_turn)
			c->after_turn(c, &r);
		store_leave(st);
	}
	free(value);
	/* As an idle worker does, until all are through. */
	for (atomic_fetch_sub(&c->working, 1); atomic_load(&c->working); sched_yield()) {
		store_enter(st, atomic_load(&c->now));
		store_leave(st);
	}
	return NULL;
}

static void change_policy(struct store_thread *st, uint32_t turn)
{
	unsigned count = 0;

	while (policy_at(count))
		count++;
	store_change_policy(st, policy_at(turn % count));
}

static void *maintain(void *context)
{
	struct crew *c = ((struct hand *)context)->crew;
	struct store_thread *st = store_thread_get(c->store, c->threads);
	uint32_t rounds = 0;

	while (!atomic_load(&c->done)) {
		if (++rounds % 16 == 0)
			atomic_fetch_add(&c->now, 1);
		if (rounds % 128 == 0)
			store_set_limit(st, rounds % 256 ? 3u << 20 : 4u << 20);
		store_maintain(st, atomic_load(&c->now));
		if (c->policies_change && rounds % CHANGE_ROUNDS == 0)
			change_policy(st, rounds / CHANGE_ROUNDS);
		if (c->maintain)
			c->maintain(c, st);
		sched_yield();
	}
	return NULL;
}

void crew_run(struct crew *c, const struct store_options *options)
{
	struct store_options o = *options;
	pthread_t handles[THREADS_MAX + 1];
	struct hand hands[THREADS_MAX + 1];

	o.thread_count = c->threads + 1;
	o.hash_seed = c->seed;
	o.policy_may_change = c->policies_change;
	if (c->threads > THREADS_MAX || store_init(&c->store, &o) != STATUS_OK)
		crew_fail(c, "no store");
	atomic_store(&c->working, c->threads);
	atomic_store(&c->done, false);
	for (unsigned i = 0; i <= c->threads; i++) {
		hands[i] = (struct hand){ c, i };
		if (pthread_create(&handles[i], NULL, i < c->threads ? work : maintain, &hands[i]) != 0)
			crew_fail(c, "no thread");
	}
	for (unsigned i = 0; i < c->threads; i++)
		pthread_join(handles[i], NULL);
	atomic_store(&c->done, true);
	pthread_join(handles[c->threads], NULL);
}

void crew_settle(struct crew *c)
{
	atomic_fetch_add(&c->now, 1);
	for (unsigned i = 0; i <= c->threads; i++) {
		store_enter(store_thread_get(c->store, i), atomic_load(&c->now));
		store_leave(store_thread_get(c->store, i));
	}
	while (store_maintain(store_thread_get(c->store, c->threads), atomic_load(&c->now)))
		;
}

int crew_main(struct crew *c, int argc, char **argv,
              void (*stress)(struct crew *c, const struct policy_ops *policy))
{
	unsigned policies = 0;

	c->threads = argc > 1 ? (unsigned)atoi(argv[1]) : 4;
	c->operations = argc > 2 ? (unsigned)atoi(argv[2]) : 50000;
	c->seed = argc > 3 ? strtoull(argv[3], NULL, 10) : test_seed(42);
	atomic_store(&c->now, 10);
	for (; policy_at(policies); policies++)
		stress(c, policy_at(policies));
	c->policies_change = true;
	stress(c, policy_at(0));
	printf("%u passed, 0 failed\n", policies + 1);
	return 0;
}
