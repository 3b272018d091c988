/*
 * micro.c: larder-micro, what the store's operations cost without a server around them.
 *
 * Each figure is CPU time an operation of one thread (CLOCK_THREAD_CPUTIME_ID), the median of several
 * rounds with the least and the most. Look-ups go as the request path does them: batches of 64, hash
 * and prefetch the bucket, prefetch the item, read.
 */
#include <getopt.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "bench/random.h"
#include "bench/zipf.h"
#include "eviction/policy.h"
#include "store/base/hash.h"
#include "store/store.h"

#define KEY_BYTES 15u
#define VALUE_BYTES 100u
#define BATCH 64u
#define ROUNDS 5u
#define THREADS_MAX 64u

static uint32_t random_state = 12345;

static uint32_t random_next(void)
{
	random_state ^= random_state << 13;
	random_state ^= random_state >> 17;
	random_state ^= random_state << 5;
	return random_state;
}

static double cpu_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &ts);
	return (double)ts.tv_sec * 1e9 + (double)ts.tv_nsec;
}

static double wall_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec * 1e9 + (double)ts.tv_nsec;
}

static int compare_doubles(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static void print_figure(const char *what, double *rounds)
{
	qsort(rounds, ROUNDS, sizeof(*rounds), compare_doubles);
	printf("%-44s %8.1f ns   (%.1f .. %.1f)\n", what, rounds[ROUNDS / 2], rounds[0],
	       rounds[ROUNDS - 1]);
	fflush(stdout);
}

static void make_key(char *key, uint32_t number)
{
	for (unsigned i = KEY_BYTES; i-- > 0; number /= 10)
		key[i] = (char)('0' + number % 10);
}

static struct store *open_store(uint64_t limit_bytes, unsigned threads)
{
	struct store *s;
	struct store_options o = {
		.limit_bytes = limit_bytes,
		.item_limit_bytes = 1u << 20,
		.thread_count = threads,
		.evict = true,
		.policy = policy_at(0),
		.hash_seed = 7,
	};

	if (store_init(&s, &o) != STATUS_OK) {
		fprintf(stderr, "larder-micro: no memory for a store of %llu MB\n",
		        (unsigned long long)limit_bytes >> 20);
		exit(1);
	}
	return s;
}

static void set_key(struct store_thread *st, uint32_t number, const char *value)
{
	char key[KEY_BYTES];

	make_key(key, number);
	struct item_spec spec = {
		.key = key,
		.key_length = KEY_BYTES,
		.hash = store_hash(st, key, KEY_BYTES),
		.value_length = VALUE_BYTES,
	};
	struct commit_args args = { .mode = STORE_SET };

	if (store_set(st, &spec, value, &args) != STORE_OK) {
		fprintf(stderr, "larder-micro: a set was refused\n");
		exit(1);
	}
}

/* One batch of sets through the same passes as the request path. */
static void set_batch(struct store_thread *st, const uint32_t *numbers, const char *value)
{
	char keys[BATCH][KEY_BYTES];
	uint64_t hashes[BATCH];

	store_enter(st, 10);
	for (unsigned i = 0; i < BATCH; i++) {
		make_key(keys[i], numbers[i]);
		hashes[i] = store_hash(st, keys[i], KEY_BYTES);
		store_prefetch_bucket(st, hashes[i]);
	}
	for (unsigned i = 0; i < BATCH; i++)
		store_prefetch_item(st, hashes[i]);
	for (unsigned i = 0; i < BATCH; i++) {
		struct item_spec spec = {
			.key = keys[i],
			.key_length = KEY_BYTES,
			.hash = hashes[i],
			.value_length = VALUE_BYTES,
		};
		struct commit_args args = { .mode = STORE_SET };

		store_set(st, &spec, value, &args);
	}
	store_leave(st);
}

static unsigned get_batch(struct store_thread *st, const uint32_t *numbers, char *out)
{
	char keys[BATCH][KEY_BYTES];
	uint64_t hashes[BATCH];
	unsigned hits = 0;

	store_enter(st, 10);
	for (unsigned i = 0; i < BATCH; i++) {
		make_key(keys[i], numbers[i]);
		hashes[i] = store_hash(st, keys[i], KEY_BYTES);
		store_prefetch_bucket(st, hashes[i]);
	}
	for (unsigned i = 0; i < BATCH; i++)
		store_prefetch_item(st, hashes[i]);
	for (unsigned i = 0; i < BATCH; i++) {
		struct item_view view;

		if (store_get(st, keys[i], KEY_BYTES, hashes[i], &view)) {
			memcpy(out, view.value, view.part_length);
			hits++;
		}
	}
	store_leave(st);
	return hits;
}

static void fill(struct store_thread *st, uint32_t key_count)
{
	char value[VALUE_BYTES];

	memset(value, 'v', sizeof(value));
	for (uint32_t i = 0; i < key_count; i++) {
		if (i % BATCH == 0)
			store_enter(st, 10);
		set_key(st, i, value);
		if (i % BATCH == BATCH - 1 || i == key_count - 1)
			store_leave(st);
	}
}

enum kind { GET_HIT, GET_MISS, SET_OVER, SET_NEW };

static double run_batches(struct store_thread *st, enum kind kind, uint32_t key_count,
                          uint32_t *next_new, unsigned batches)
{
	uint32_t numbers[BATCH];
	char buffer[4096];
	double used = 0;

	memset(buffer, 'w', sizeof(buffer));
	for (unsigned b = 0; b < batches; b++) {
		for (unsigned i = 0; i < BATCH; i++) {
			uint32_t number = (uint32_t)(((uint64_t)random_next() * key_count) >> 32);

			numbers[i] = kind == GET_MISS ? number + 2000000000u
			             : kind == SET_NEW ? (*next_new)++ : number;
		}
		double start = cpu_ns();

		if (kind == GET_HIT || kind == GET_MISS)
			get_batch(st, numbers, buffer);
		else
			set_batch(st, numbers, buffer);
		used += cpu_ns() - start;
	}
	return used / ((double)batches * BATCH);
}

static void measure(struct store_thread *st, const char *what, enum kind kind, uint32_t key_count,
                    uint32_t *next_new)
{
	double rounds[ROUNDS];
	char label[96];

	snprintf(label, sizeof(label), "%s, %u keys", what, key_count);
	for (unsigned r = 0; r < ROUNDS; r++)
		rounds[r] = run_batches(st, kind, key_count, next_new, 4000);
	print_figure(label, rounds);
}

static void measure_store(uint32_t key_count)
{
	/* Room for twice the keys, so that new keys find memory without evicting. */
	uint64_t limit = (uint64_t)key_count * 160 + ((uint64_t)ROUNDS * 4000 * BATCH * 200) + (64u << 20);
	struct store *s = open_store(limit, 2);
	struct store_thread *st = store_thread_get(s, 0);
	uint32_t next_new = key_count;

	fill(st, key_count);
	measure(st, "get, hit", GET_HIT, key_count, &next_new);
	measure(st, "get, miss", GET_MISS, key_count, &next_new);
	measure(st, "set of a present key", SET_OVER, key_count, &next_new);
	measure(st, "set of a new key", SET_NEW, key_count, &next_new);
	store_fini(s);
}

static void measure_eviction(uint64_t limit_bytes)
{
	struct store *s = open_store(limit_bytes, 2);
	struct store_thread *st = store_thread_get(s, 0);
	uint32_t next_new = 0;
	struct store_counters sum;
	double rounds[ROUNDS];

	do {
		run_batches(st, SET_NEW, 1, &next_new, 100);
		store_counters_sum(s, &sum);
	} while (sum.evictions == 0);
	for (unsigned r = 0; r < ROUNDS; r++)
		rounds[r] = run_batches(st, SET_NEW, 1, &next_new, 4000);
	print_figure("set of a new key, cache full, one evicted", rounds);
	store_fini(s);
}

static void measure_hash(void)
{
	struct hash_secret secret;
	char key[KEY_BYTES];
	double rounds[ROUNDS];
	uint64_t sum = 0;

	hash_secret_init(&secret, 7);
	make_key(key, 1);
	for (unsigned r = 0; r < ROUNDS; r++) {
		double start = cpu_ns();

		for (unsigned i = 0; i < 10000000; i++) {
			key[0] = (char)i;
			sum += hash_key(&secret, key, KEY_BYTES);
		}
		rounds[r] = (cpu_ns() - start) / 10000000;
	}
	print_figure(sum ? "hash of a 15-byte key" : "hash", rounds);
}

/* ---- scaling ---- */

enum keys { KEYS_ZIPF, KEYS_ONE, KEYS_UNIFORM };

struct scale_arg {
	struct store *s;
	unsigned index;
	unsigned set_percent;
	enum keys keys;
	const uint32_t *numbers; /* Zipf-distributed, prepared */
	uint32_t key_count;
	uint32_t number_count;
	uint64_t operations;
	atomic_bool *go;
	double seconds;
};

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
	double start = wall_ns();

	for (uint64_t done = 0; done < arg->operations; done += BATCH) {
		for (unsigned i = 0; i < BATCH; i++) {
			state = state * 1664525u + 1013904223u;
			numbers[i] = arg->keys == KEYS_ONE       ? 1
			             : arg->keys == KEYS_UNIFORM ? (uint32_t)(((uint64_t)state * arg->key_count) >> 32)
			                                         : arg->numbers[at++ % arg->number_count];
		}
		if ((state >> 8) % 100 < arg->set_percent)
			set_batch(st, numbers, buffer);
		else
			get_batch(st, numbers, buffer);
	}
	arg->seconds = (wall_ns() - start) / 1e9;
	return NULL;
}

static double scale_rate(struct store *s, unsigned threads, unsigned set_percent, enum keys keys,
                         const uint32_t *numbers, uint32_t number_count, uint32_t key_count)
{
	struct scale_arg args[THREADS_MAX];
	pthread_t handles[THREADS_MAX];
	atomic_bool go = false;
	double rate = 0;

	for (unsigned i = 0; i < threads; i++) {
		args[i] = (struct scale_arg){ s, i, set_percent, keys, numbers, key_count,
			                      number_count, 2000000, &go, 0 };
		pthread_create(&handles[i], NULL, scale_thread, &args[i]);
	}
	atomic_store(&go, true);
	for (unsigned i = 0; i < threads; i++) {
		pthread_join(handles[i], NULL);
		rate += (double)args[i].operations / args[i].seconds;
	}
	return rate / 1e6;
}

static void measure_scaling(uint32_t key_count, unsigned threads_max)
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
	};
	struct store *s = open_store((uint64_t)key_count * 160 + (256u << 20), threads_max + 1);
	uint32_t number_count = 4000000;
	uint32_t *numbers = malloc(number_count * sizeof(*numbers));
	struct zipf zipf;
	struct random_state rng;

	random_init(&rng, 99);
	zipf_init(&zipf, key_count, 0.99);
	for (uint32_t i = 0; i < number_count; i++)
		numbers[i] = (uint32_t)((zipf_draw(&zipf, &rng) * 2654435761u) % key_count);
	fill(store_thread_get(s, 0), key_count);
	for (unsigned c = 0; c < ARRAY_LENGTH(cases); c++) {
		double one = 0;

		for (unsigned threads = 1; threads <= threads_max; threads *= 2) {
			double rates[ROUNDS];

			for (unsigned r = 0; r < ROUNDS; r++)
				rates[r] = scale_rate(s, threads, cases[c].set_percent, cases[c].keys,
				                      numbers, number_count, key_count);
			qsort(rates, ROUNDS, sizeof(*rates), compare_doubles);
			double median = rates[ROUNDS / 2];

			if (threads == 1)
				one = median;
			printf("%-24s %2u threads  %8.2f M/s   efficiency %.2f\n", cases[c].what, threads,
			       median, median / one / threads);
			fflush(stdout);
		}
	}
	free(numbers);
	store_fini(s);
}

static void usage(FILE *out)
{
	fputs("usage: larder-micro [--keys N,N,...] [--scale THREADS] [--scale-keys N]\n"
	      "  --keys N,...     key counts of the look-up and set figures (100000,10000000)\n"
	      "  --scale THREADS  scaling from 1 to THREADS threads instead\n"
	      "  --scale-keys N   keys of the scaling figures (10000000)\n",
	      out);
}

int main(int argc, char **argv)
{
	static const struct option options[] = {
		{ "keys", required_argument, NULL, 'k' },
		{ "scale", required_argument, NULL, 's' },
		{ "scale-keys", required_argument, NULL, 'n' },
		{ "help", no_argument, NULL, 'h' },
		{ NULL, 0, NULL, 0 },
	};
	const char *keys = "100000,10000000";
	unsigned threads = 0;
	uint32_t scale_keys = 10000000;
	int c;

	while ((c = getopt_long(argc, argv, "h", options, NULL)) != -1) {
		if (c == 'k') {
			keys = optarg;
		} else if (c == 's') {
			threads = (unsigned)atoi(optarg);
		} else if (c == 'n') {
			scale_keys = (uint32_t)strtoul(optarg, NULL, 10);
		} else {
			usage(c == 'h' ? stdout : stderr);
			return c == 'h' ? 0 : 64;
		}
	}
	if (threads > THREADS_MAX || optind != argc) {
		usage(stderr);
		return 64;
	}
	if (threads) {
		measure_scaling(scale_keys, threads);
		return 0;
	}
	measure_hash();
	for (const char *at = keys; at && *at; at = strchr(at, ',') ? strchr(at, ',') + 1 : NULL)
		measure_store((uint32_t)strtoul(at, NULL, 10));
	measure_eviction(64u << 20);
	return 0;
}
