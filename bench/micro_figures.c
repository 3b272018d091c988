/* micro_figures.c: what an operation costs, in nanoseconds or in instructions; see micro.h. */
#include "bench/micro.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "bench/tool.h"
#include "net/proto/text_parse.h"
#include "store/base/hash.h"

#define ROUND_BATCHES 4000u
#define COUNTED_BATCHES 200u
#define MISSING 2000000000u /* numbers from here on are no keys */

static uint32_t random_next(uint32_t *state)
{
	*state ^= *state << 13;
	*state ^= *state >> 17;
	*state ^= *state << 5;
	return *state;
}

static double cpu_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &ts);
	return (double)ts.tv_sec * 1e9 + (double)ts.tv_nsec;
}

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
	uint32_t random_state;
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

		micro_make_key(key, random_next(&su->random_state));
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
		micro_make_key(key, numbers[i]);
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
		uint32_t number = (uint32_t)(((uint64_t)random_next(&su->random_state) * su->key_count) >> 32);

		numbers[i] = kind == GET_MISS                         ? number + MISSING
		             : kind == SET_NEW || kind == SET_EVICT ? su->next_new++
		                                                      : number;
	}
	memset(buffer, 'w', sizeof(buffer));
	if (kind == MAKE_KEY || kind == HASH)
		hash_batch(su, numbers, kind == HASH);
	else if (kind == GET_HIT || kind == GET_MISS || kind == GET_DEPENDENT || kind == GET_WEAK)
		micro_get_batch(su->st, numbers, buffer, kind == GET_WEAK);
	else
		micro_set_batch(su->st, numbers, buffer);
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
	uint64_t limit = (uint64_t)key_count * (f->entries == ENTRIES_PLAIN ? 160 : 360) +
	                 (uint64_t)ROUNDS * ROUND_BATCHES * BATCH * 200 + (64u << 20);

	*su = (struct subject){ .key_count = key_count, .next_new = key_count, .random_state = 12345 };
	hash_secret_init(&su->secret, 7);
	if (kind < GET_HIT) {
		prepare_input(su, kind);
		return su;
	}
	su->s = micro_open_store(kind == SET_EVICT ? 64u << 20 : limit, 2);
	su->st = store_thread_get(su->s, 0);
	if (kind != SET_EVICT) {
		micro_fill(su->st, key_count, f->entries);
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
	micro_sort_rounds(rounds);
	print_label(f, su->key_count);
	printf("%8.1f ns   (%.1f .. %.1f)\n", rounds[ROUNDS / 2], rounds[0], rounds[ROUNDS - 1]);
	fflush(stdout);
}

void micro_measure_figures(const uint32_t *key_counts, unsigned count)
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

void micro_count_figures(const uint32_t *key_counts, unsigned count)
{
	for (unsigned i = 0; i < ARRAY_LENGTH(figures); i++)
		for (unsigned k = 0; k < (figures[i].has_keys ? count : 1); k++)
			count_figure(&figures[i], key_counts[k]);
}

/* NAME:KEYS:BATCHES */
void micro_run_counted(const char *what)
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
