/*
 * micro.c: larder-micro, what the parts of a request cost without a server around them.
 *
 * Each figure is CPU time an operation of one thread (CLOCK_THREAD_CPUTIME_ID), the median of several
 * rounds with the least and the most; with --instructions, instructions an operation as callgrind
 * counts them. Store operations go as the request path does them: batches of 64, hash and prefetch
 * the bucket, prefetch the item, read. Making the random numbers and keys is part of each figure, and
 * a figure of its own.
 */
#include <getopt.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "bench/random.h"
#include "bench/tool.h"
#include "bench/zipf.h"
#include "eviction/policy.h"
#include "net/proto/text_parse.h"
#include "store/base/hash.h"
#include "store/store.h"

#define KEY_BYTES 15u
#define VALUE_BYTES 100u
#define BATCH 64u
#define ROUNDS 5u
#define ROUND_BATCHES 4000u
#define COUNTED_BATCHES 200u
#define THREADS_MAX 64u
#define NOW 10u
#define MISSING 2000000000u /* numbers from here on are no keys */

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

/* Hexadecimal: as few instructions as a key can take. */
static void make_key(char *key, uint32_t number)
{
	memcpy(key, "larder:00000000", KEY_BYTES);
	for (unsigned i = KEY_BYTES; number != 0; number >>= 4)
		key[--i] = "0123456789abcdef"[number & 15];
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

	if (store_init(&s, &o) != STATUS_OK)
		tool_fail("no memory for a store of %llu MB", (unsigned long long)limit_bytes >> 20);
	return s;
}

/* The key that the number's entry refers to, if it does. */
static void make_target(char *key, uint32_t number)
{
	make_key(key, number);
	key[0] = 'L';
}

/* An entry of its own, or with one reference to `target`, whose key then is the value of a weak one. */
static void set_entry(struct store_thread *st, const char *key, const char *value, const char *target,
                      enum reference_kind kind)
{
	struct reference_list list = { .count = 1, .targets[0] = { target, KEY_BYTES, (uint8_t)kind } };
	bool weak = target && kind == REFERENCE_WEAK;
	struct item_spec spec = {
		.key = key,
		.key_length = KEY_BYTES,
		.hash = store_hash(st, key, KEY_BYTES),
		.value_length = weak ? KEY_BYTES : VALUE_BYTES,
	};
	struct commit_args args = { .mode = STORE_SET };

	if (target) {
		args.references = &list;
		spec.references = reference_list_shape(&list);
	}
	if (store_set(st, &spec, weak ? target : value, &args) != STORE_OK)
		tool_fail("a set was refused");
}

/* One batch of sets through the same passes as the request path. */
static void set_batch(struct store_thread *st, const uint32_t *numbers, const char *value)
{
	char keys[BATCH][KEY_BYTES];
	uint64_t hashes[BATCH];

	store_enter(st, NOW);
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

/* The items of the batch on their way; with `behind`, what weak references lead to as well. */
static void prefetch_batch(struct store_thread *st, const uint64_t *hashes, bool behind)
{
	struct look_ahead ahead[BATCH];

	for (unsigned i = 0; i < BATCH; i++) {
		if (behind)
			store_prefetch_entry(st, hashes[i], &ahead[i]);
		else
			store_prefetch_item(st, hashes[i]);
	}
	for (unsigned i = 0; behind && i < BATCH; i++)
		store_prefetch_target(st, &ahead[i]);
}

static unsigned get_batch(struct store_thread *st, const uint32_t *numbers, char *out, bool behind)
{
	char keys[BATCH][KEY_BYTES];
	uint64_t hashes[BATCH];
	unsigned hits = 0;

	store_enter(st, NOW);
	for (unsigned i = 0; i < BATCH; i++) {
		make_key(keys[i], numbers[i]);
		hashes[i] = store_hash(st, keys[i], KEY_BYTES);
		store_prefetch_bucket(st, hashes[i]);
	}
	prefetch_batch(st, hashes, behind);
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

enum entries { ENTRIES_PLAIN, ENTRIES_DEPENDENT, ENTRIES_WEAK };

static void fill(struct store_thread *st, uint32_t key_count, enum entries entries)
{
	static const char tag[] = "larder:tag_____";
	char key[KEY_BYTES], target[KEY_BYTES], value[VALUE_BYTES];

	memset(value, 'v', sizeof(value));
	for (uint32_t i = 0; i < key_count; i++) {
		if (i % BATCH == 0)
			store_enter(st, NOW);
		make_key(key, i);
		make_target(target, i);
		if (entries == ENTRIES_DEPENDENT && i == 0)
			set_entry(st, tag, value, NULL, REFERENCE_LIFE);
		if (entries == ENTRIES_WEAK)
			set_entry(st, target, value, NULL, REFERENCE_WEAK);
		if (entries == ENTRIES_PLAIN)
			set_entry(st, key, value, NULL, REFERENCE_LIFE);
		else if (entries == ENTRIES_DEPENDENT)
			set_entry(st, key, value, tag, REFERENCE_LIFE);
		else
			set_entry(st, key, value, target, REFERENCE_WEAK);
		if (i % BATCH == BATCH - 1 || i == key_count - 1)
			store_leave(st);
	}
}

/* ---- figures ---- */

enum kind {
	MAKE_KEY,
	HASH,
	PARSE_GET,
	PARSE_MG,
	PARSE_SET,
	GET_HIT,
	GET_MISS,
	SET_OVER,
	SET_NEW,
	GET_DEPENDENT,
	GET_WEAK,
	SET_EVICT
};

static const struct figure {
	const char *name; /* on the command line of a counted run */
	const char *text;
	enum kind kind;
	bool has_keys; /* measured for each of --keys */
	enum entries entries; /* what there is */
} figures[] = {
	{ "key", "a random key made (in all below)", MAKE_KEY, false, ENTRIES_PLAIN },
	{ "hash", "hash of a 15-byte key", HASH, false, ENTRIES_PLAIN },
	{ "parse-get", "parse \"get KEY\"", PARSE_GET, false, ENTRIES_PLAIN },
	{ "parse-mg", "parse \"mg KEY v\"", PARSE_MG, false, ENTRIES_PLAIN },
	{ "parse-set", "parse \"set KEY 0 0 100\"", PARSE_SET, false, ENTRIES_PLAIN },
	{ "get-hit", "get, hit", GET_HIT, true, ENTRIES_PLAIN },
	{ "get-miss", "get, miss", GET_MISS, true, ENTRIES_PLAIN },
	{ "set-present", "set of a present key", SET_OVER, true, ENTRIES_PLAIN },
	{ "set-new", "set of a new key", SET_NEW, true, ENTRIES_PLAIN },
	{ "get-dependent", "get with one dependency, hit", GET_DEPENDENT, true, ENTRIES_DEPENDENT },
	{ "get-weak", "get through a weak reference, hit", GET_WEAK, true, ENTRIES_WEAK },
	{ "set-evict", "set of a new key, cache full, one evicted", SET_EVICT, false, ENTRIES_PLAIN },
};

struct subject {
	struct store *s; /* NULL where no store is needed */
	struct store_thread *st;
	struct hash_secret secret;
	uint32_t key_count;
	uint32_t next_new;
	uint64_t sum; /* of what is computed, so that it is not optimised away */
	char input[BATCH * (KEY_BYTES + VALUE_BYTES + 32) + SCAN_PADDING_BYTES];
	size_t input_length;
};

/* A batch of commands as one pipelining client sends them. */
static void prepare_input(struct subject *su, enum kind kind)
{
	char *at = su->input;

	for (unsigned i = 0; i < BATCH; i++) {
		char key[KEY_BYTES];

		make_key(key, random_next());
		at += sprintf(at, "%s %.*s%s\r\n", kind == PARSE_GET ? "get" : kind == PARSE_MG ? "mg" : "set",
		              (int)KEY_BYTES, key,
		              kind == PARSE_GET ? "" : kind == PARSE_MG ? " v" : " 0 0 100");
		if (kind == PARSE_SET) {
			memset(at, 'v', VALUE_BYTES);
			memcpy(at + VALUE_BYTES, "\r\n", 2);
			at += VALUE_BYTES + 2;
		}
	}
	su->input_length = (size_t)(at - su->input);
}

static void parse_batch(struct subject *su)
{
	struct text_parser tp;
	struct request rq;
	struct meta_args meta;
	size_t consumed;

	text_parser_init(&tp);
	for (size_t at = 0; at < su->input_length; at += consumed) {
		if (text_parse(&tp, su->input + at, su->input_length - at, &rq, &meta, &consumed) !=
		    PARSE_REQUEST && consumed == 0)
			tool_fail("a command of its own was not parsed");
		su->sum += rq.key_length;
	}
}

static void hash_batch(struct subject *su, const uint32_t *numbers, bool hash)
{
	char key[KEY_BYTES];

	for (unsigned i = 0; i < BATCH; i++) {
		make_key(key, numbers[i]);
		su->sum += hash ? hash_key(&su->secret, key, KEY_BYTES) : (unsigned char)key[KEY_BYTES - 1];
	}
}

static void run_batch(struct subject *su, enum kind kind)
{
	uint32_t numbers[BATCH];
	char buffer[VALUE_BYTES];

	if (kind == PARSE_GET || kind == PARSE_MG || kind == PARSE_SET) {
		parse_batch(su);
		return;
	}
	for (unsigned i = 0; i < BATCH; i++) {
		uint32_t number = (uint32_t)(((uint64_t)random_next() * su->key_count) >> 32);

		numbers[i] = kind == GET_MISS                         ? number + MISSING
		             : kind == SET_NEW || kind == SET_EVICT ? su->next_new++
		                                                      : number;
	}
	memset(buffer, 'w', sizeof(buffer));
	if (kind == MAKE_KEY || kind == HASH)
		hash_batch(su, numbers, kind == HASH);
	else if (kind == GET_HIT || kind == GET_MISS || kind == GET_DEPENDENT || kind == GET_WEAK)
		get_batch(su->st, numbers, buffer, kind == GET_WEAK);
	else
		set_batch(su->st, numbers, buffer);
}

static double run_batches(struct subject *su, enum kind kind, unsigned batches)
{
	double start = cpu_ns();

	for (unsigned b = 0; b < batches; b++)
		run_batch(su, kind);
	return (cpu_ns() - start) / ((double)batches * BATCH);
}

/* What the figure is measured on. */
static struct subject *subject_open(const struct figure *f, uint32_t key_count)
{
	enum kind kind = f->kind;
	struct subject *su = tool_alloc(1, sizeof(*su));
	/* Room for twice the keys, so that new keys find memory without evicting. */
	uint64_t limit = (uint64_t)key_count * (f->entries == ENTRIES_PLAIN ? 160 : 360) + (uint64_t)ROUNDS * ROUND_BATCHES * BATCH * 200 + (64u << 20);

	*su = (struct subject){ .key_count = key_count, .next_new = key_count };
	hash_secret_init(&su->secret, 7);
	if (kind < GET_HIT) {
		prepare_input(su, kind);
		return su;
	}
	su->s = open_store(kind == SET_EVICT ? 64u << 20 : limit, 2);
	su->st = store_thread_get(su->s, 0);
	if (kind != SET_EVICT) {
		fill(su->st, key_count, f->entries);
		return su;
	}
	for (struct store_counters sum = { 0 }; sum.evictions == 0; store_counters_sum(su->s, &sum))
		run_batches(su, kind, 100);
	return su;
}

static void subject_close(struct subject *su)
{
	if (su->s)
		store_fini(su->s);
	free(su);
}

static void print_label(const struct figure *f, uint32_t key_count)
{
	char label[96];

	if (f->has_keys)
		snprintf(label, sizeof(label), "%s, %u keys", f->text, key_count);
	printf("%-44s ", f->has_keys ? label : f->text);
}

static void measure(struct subject *su, const struct figure *f)
{
	double rounds[ROUNDS];

	for (unsigned r = 0; r < ROUNDS; r++)
		rounds[r] = run_batches(su, f->kind, ROUND_BATCHES);
	qsort(rounds, ROUNDS, sizeof(*rounds), compare_doubles);
	print_label(f, su->key_count);
	printf("%8.1f ns   (%.1f .. %.1f)\n", rounds[ROUNDS / 2], rounds[0], rounds[ROUNDS - 1]);
	fflush(stdout);
}

static void measure_all(const uint32_t *key_counts, unsigned count)
{
	for (unsigned i = 0; i < ARRAY_LENGTH(figures); i++) {
		if (figures[i].has_keys)
			continue;
		struct subject *su = subject_open(&figures[i], 100000);

		measure(su, &figures[i]);
		subject_close(su);
	}
	for (unsigned k = 0; k < count; k++) {
		struct subject *su = NULL;
		enum entries entries = ENTRIES_PLAIN;

		/* Figures on the same entries are neighbours, and share them. */
		for (unsigned i = 0; i < ARRAY_LENGTH(figures); i++) {
			if (!figures[i].has_keys)
				continue;
			if (su && figures[i].entries != entries) {
				subject_close(su);
				su = NULL;
			}
			if (!su)
				su = subject_open(&figures[i], key_counts[k]);
			entries = figures[i].entries;
			measure(su, &figures[i]);
		}
		subject_close(su);
	}
}

/* ---- instructions ---- */

/* This program again under callgrind, for one figure and so many batches. Returns all instructions
 * that it executed, or ends the tool with callgrind's own words. */
static uint64_t count_run(const struct figure *f, uint32_t key_count, unsigned batches)
{
	char self[256], command[512], line[256], said[256] = "";
	ssize_t length = readlink("/proc/self/exe", self, sizeof(self) - 1);
	unsigned long long collected = 0;

	if (length < 0)
		tool_fail("cannot find the path of this program");
	self[length] = '\0';
	snprintf(command, sizeof(command),
	         "valgrind --tool=callgrind --callgrind-out-file=/dev/null '%s' --counted %s:%u:%u 2>&1", self,
	         f->name, key_count, batches);
	FILE *pipe = popen(command, "r");

	if (!pipe)
		tool_fail("cannot run valgrind");
	while (fgets(line, sizeof(line), pipe)) {
		const char *found = strstr(line, "Collected : ");

		if (found)
			collected = strtoull(found + strlen("Collected : "), NULL, 10);
		snprintf(said, sizeof(said), "%s", line);
	}
	if (pclose(pipe) != 0 || collected == 0)
		tool_fail("callgrind (of Debian's valgrind) did not count: %s", said);
	return collected;
}

/* Two runs of different length: what is the same in both, start and filling, drops out. */
static void count_figure(const struct figure *f, uint32_t key_count)
{
	uint64_t once = count_run(f, key_count, COUNTED_BATCHES);
	uint64_t more = count_run(f, key_count, 3 * COUNTED_BATCHES);

	print_label(f, key_count);
	printf("%8.1f instructions\n", (double)(more - once) / (2.0 * COUNTED_BATCHES * BATCH));
	fflush(stdout);
}

static void count_all(const uint32_t *key_counts, unsigned count)
{
	for (unsigned i = 0; i < ARRAY_LENGTH(figures); i++)
		for (unsigned k = 0; k < (figures[i].has_keys ? count : 1); k++)
			count_figure(&figures[i], key_counts[k]);
}

/* NAME:KEYS:BATCHES */
static void run_counted(const char *what)
{
	for (unsigned i = 0; i < ARRAY_LENGTH(figures); i++) {
		size_t length = strlen(figures[i].name);
		unsigned key_count, batches;

		if (strncmp(what, figures[i].name, length) != 0 ||
		    sscanf(what + length, ":%u:%u", &key_count, &batches) != 2)
			continue;
		struct subject *su = subject_open(&figures[i], key_count);

		run_batches(su, figures[i].kind, batches);
		subject_close(su);
		return;
	}
	tool_fail_usage("--counted: no figure %s", what);
}

/* ---- scaling ---- */

enum keys { KEYS_ZIPF, KEYS_ONE, KEYS_UNIFORM, KEYS_OWN_MEMORY };

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
			                                         : arg->numbers[at++ % arg->number_count];
		}
		if ((state >> 8) % 100 < arg->set_percent)
			set_batch(st, numbers, buffer);
		else
			get_batch(st, numbers, buffer, false);
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
		{ "no store: own memory", 0, KEYS_OWN_MEMORY },
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
	fill(store_thread_get(s, 0), key_count, ENTRIES_PLAIN);
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
	fputs("usage: larder-micro [--keys N,N,...] [--instructions]\n"
	      "       larder-micro --scale THREADS [--scale-keys N]\n"
	      "What the parts of a request cost without a server around them.\n"
	      "  --keys N,...     key counts of the look-up and set figures (100000,10000000)\n"
	      "  --instructions   instructions an operation, by callgrind, instead of nanoseconds\n"
	      "                   (100000 keys unless told)\n"
	      "  --scale THREADS  throughput of 1, 2, 4, ... THREADS threads in one store instead\n"
	      "  --scale-keys N   keys of the scaling figures (10000000)\n",
	      out);
}

#define KEY_COUNTS_MAX 16u

static unsigned parse_key_counts(const char *text, uint32_t *key_counts)
{
	unsigned count = 0;
	char *copy = tool_strdup(text), *rest = copy, *part;

	while ((part = strsep(&rest, ",")) != NULL) {
		if (count == KEY_COUNTS_MAX)
			tool_fail_usage("--keys: more than %u counts", KEY_COUNTS_MAX);
		key_counts[count++] = (uint32_t)tool_option_count("--keys", part, BATCH, 1000000000);
	}
	free(copy);
	return count;
}

int main(int argc, char **argv)
{
	static const struct option options[] = {
		{ "keys", required_argument, NULL, 'k' },
		{ "instructions", no_argument, NULL, 'i' },
		{ "scale", required_argument, NULL, 's' },
		{ "scale-keys", required_argument, NULL, 'n' },
		{ "counted", required_argument, NULL, 'c' }, /* of a run under callgrind */
		{ "help", no_argument, NULL, 'h' },
		{ NULL, 0, NULL, 0 },
	};
	const char *keys = NULL;
	unsigned threads = 0;
	bool instructions = false;
	uint32_t scale_keys = 10000000, key_counts[KEY_COUNTS_MAX];
	int c;

	while ((c = getopt_long(argc, argv, "h", options, NULL)) != -1) {
		switch (c) {
		case 'k':
			keys = optarg;
			break;
		case 'i':
			instructions = true;
			break;
		case 's':
			threads = (unsigned)tool_option_u64("--scale", optarg, 1, THREADS_MAX);
			break;
		case 'n':
			scale_keys = (uint32_t)tool_option_count("--scale-keys", optarg, BATCH, 1000000000);
			break;
		case 'c':
			run_counted(optarg);
			return 0;
		default:
			usage(c == 'h' ? stdout : stderr);
			return c == 'h' ? 0 : TOOL_EXIT_USAGE;
		}
	}
	if (optind != argc) {
		usage(stderr);
		return TOOL_EXIT_USAGE;
	}
	if (!keys)
		keys = instructions ? "100000" : "100000,10000000";
	unsigned count = parse_key_counts(keys, key_counts);

	if (threads)
		measure_scaling(scale_keys, threads);
	else if (instructions)
		count_all(key_counts, count);
	else
		measure_all(key_counts, count);
	return 0;
}
