/* micro_scale.c: the throughput of 1, 2, 4, ... threads in one store; see micro.h. */
#include "bench/micro.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "bench/random.h"
#include "bench/tool.h"
#include "bench/zipf.h"

static double wall_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec * 1e9 + (double)ts.tv_nsec;
}

#define NUMBER_COUNT 4000000u
#define OPERATIONS 2000000u /* of each thread */

enum keys { KEYS_ZIPF, KEYS_ONE, KEYS_UNIFORM, KEYS_OWN_MEMORY };

struct scale_arg {
	struct store *s;
	unsigned index;
	unsigned set_percent;
	enum keys keys;
	const uint32_t *numbers; /* Zipf-distributed, prepared */
	uint32_t key_count;
	uint64_t operations;
	atomic_bool *go;
	double seconds;
};

/* The machine's part in it: each thread writes values of this size at random places of memory of its
 * own, fetched ahead by batches; nothing is shared but the way to memory. */
static void own_memory(struct scale_arg *arg)
{
	size_t places = (size_t)arg->key_count / 4 + BATCH, stride = 2 * CACHE_LINE_BYTES;
	char *memory = tool_alloc(places, stride);
	uint32_t state = 88172645u + arg->index * 2654435761u;
	char *at[BATCH];

	memset(memory, 1, places * stride);
	double start = wall_ns();

	for (uint64_t done = 0; done < arg->operations; done += BATCH) {
		for (unsigned i = 0; i < BATCH; i++) {
			state = state * 1664525u + 1013904223u;
			at[i] = memory + (((uint64_t)state * places) >> 32) * stride;
			__builtin_prefetch(at[i], 1);
			__builtin_prefetch(at[i] + CACHE_LINE_BYTES, 1);
		}
		for (unsigned i = 0; i < BATCH; i++)
			memset(at[i], (int)i, VALUE_BYTES);
	}
	arg->seconds = (wall_ns() - start) / 1e9;
	free(memory);
}

static void *scale_thread(void *context)
{
	struct scale_arg *arg = context;
	struct store_thread *st = store_thread_get(arg->s, arg->index);
	uint32_t numbers[BATCH], at = arg->index * 7919u;
	uint32_t state = 88172645u + arg->index * 2654435761u;
	char buffer[4096];

	memset(buffer, 'w', sizeof(buffer));
	while (!atomic_load(arg->go))
		;
	if (arg->keys == KEYS_OWN_MEMORY) {
		own_memory(arg);
		return NULL;
	}
	double start = wall_ns();

	for (uint64_t done = 0; done < arg->operations; done += BATCH) {
		for (unsigned i = 0; i < BATCH; i++) {
			state = state * 1664525u + 1013904223u;
			numbers[i] = arg->keys == KEYS_ONE       ? 1
			             : arg->keys == KEYS_UNIFORM ? (uint32_t)(((uint64_t)state * arg->key_count) >> 32)
			                                         : arg->numbers[at++ % NUMBER_COUNT];
		}
		if ((state >> 8) % 100 < arg->set_percent)
			micro_set_batch(st, numbers, buffer);
		else
			micro_get_batch(st, numbers, buffer, false);
	}
	arg->seconds = (wall_ns() - start) / 1e9;
	return NULL;
}

/* Millions of operations a second of so many threads that do the same. */
static double scale_rate(const struct scale_arg *each, unsigned threads)
{
	struct scale_arg args[THREADS_MAX];
	pthread_t handles[THREADS_MAX];
	atomic_bool go = false;
	double rate = 0;

	for (unsigned i = 0; i < threads; i++) {
		args[i] = *each;
		args[i].index = i;
		args[i].go = &go;
		pthread_create(&handles[i], NULL, scale_thread, &args[i]);
	}
	atomic_store(&go, true);
	for (unsigned i = 0; i < threads; i++) {
		pthread_join(handles[i], NULL);
		rate += (double)args[i].operations / args[i].seconds;
	}
	return rate / 1e6;
}

static void measure_case(const char *what, const struct scale_arg *each, unsigned threads_max)
{
	double one = 0;

	for (unsigned threads = 1; threads <= threads_max; threads *= 2) {
		double rates[ROUNDS];

		for (unsigned r = 0; r < ROUNDS; r++)
			rates[r] = scale_rate(each, threads);
		micro_sort_rounds(rates);
		double median = rates[ROUNDS / 2];

		if (threads == 1)
			one = median;
		printf("%-24s %2u threads  %8.2f M/s   efficiency %.2f\n", what, threads, median,
		       median / one / threads);
		fflush(stdout);
	}
}

static uint32_t *draw_zipf(uint32_t key_count)
{
	uint32_t *numbers = tool_alloc(NUMBER_COUNT, sizeof(*numbers));
	struct zipf zipf;
	struct random_state rng;

	random_init(&rng, 99);
	zipf_init(&zipf, key_count, 0.99);
	for (uint32_t i = 0; i < NUMBER_COUNT; i++)
		numbers[i] = (uint32_t)((zipf_draw(&zipf, &rng) * 2654435761u) % key_count);
	return numbers;
}

void micro_measure_scaling(uint32_t key_count, unsigned threads_max)
{
	static const struct {
		const char *what;
		unsigned set_percent;
		enum keys keys;
	} cases[] = {
		{ "95 % gets, Zipf 0.99", 5, KEYS_ZIPF },
		{ "gets of one key", 0, KEYS_ONE },
		{ "50 % sets, Zipf 0.99", 50, KEYS_ZIPF },
		{ "50 % sets, uniform", 50, KEYS_UNIFORM },
		{ "no store: own memory", 0, KEYS_OWN_MEMORY },
	};
	struct store *s = micro_open_store((uint64_t)key_count * 160 + (256u << 20), threads_max + 1);
	uint32_t *numbers = draw_zipf(key_count);

	micro_fill(store_thread_get(s, 0), key_count, ENTRIES_PLAIN);
	for (unsigned c = 0; c < ARRAY_LENGTH(cases); c++) {
		struct scale_arg each = {
			.s = s,
			.set_percent = cases[c].set_percent,
			.keys = cases[c].keys,
			.numbers = numbers,
			.key_count = key_count,
			.operations = OPERATIONS,
		};

		measure_case(cases[c].what, &each, threads_max);
	}
	free(numbers);
	store_fini(s);
}
