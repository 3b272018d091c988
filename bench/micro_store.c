/* micro_store.c: a store, and batches of gets and sets; see micro.h. */
#include "bench/micro.h"

#include <stdlib.h>

#include "bench/tool.h"
#include "eviction/policy.h"

#define NOW 10u

struct store *micro_open_store(uint64_t limit_bytes, unsigned threads)
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

static void set_key(struct store_thread *st, uint32_t number, const char *value)
{
	char key[KEY_BYTES];

	micro_make_key(key, number);
	struct item_spec spec = {
		.key = key,
		.key_length = KEY_BYTES,
		.hash = store_hash(st, key, KEY_BYTES),
		.value_length = VALUE_BYTES,
	};
	struct commit_args args = { .mode = STORE_SET };

	if (store_set(st, &spec, value, &args) != STORE_OK)
		tool_fail("a set was refused");
}

/* Enters the store, hashes the keys, fetches their buckets and then their items. */
static void begin_batch(struct store_thread *st, const uint32_t *numbers, char keys[][KEY_BYTES],
                        uint64_t *hashes)
{
	store_enter(st, NOW);
	for (unsigned i = 0; i < BATCH; i++) {
		micro_make_key(keys[i], numbers[i]);
		hashes[i] = store_hash(st, keys[i], KEY_BYTES);
		store_prefetch_bucket(st, hashes[i]);
	}
	for (unsigned i = 0; i < BATCH; i++)
		store_prefetch_item(st, hashes[i]);
}

void micro_set_batch(struct store_thread *st, const uint32_t *numbers, const char *value)
{
	char keys[BATCH][KEY_BYTES];
	uint64_t hashes[BATCH];

	begin_batch(st, numbers, keys, hashes);
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

void micro_get_batch(struct store_thread *st, const uint32_t *numbers, char *out)
{
	char keys[BATCH][KEY_BYTES];
	uint64_t hashes[BATCH];

	begin_batch(st, numbers, keys, hashes);
	for (unsigned i = 0; i < BATCH; i++) {
		struct item_view view;

		if (store_get(st, keys[i], KEY_BYTES, hashes[i], &view))
			memcpy(out, view.value, view.part_length);
	}
	store_leave(st);
}

void micro_fill(struct store_thread *st, uint32_t key_count)
{
	char value[VALUE_BYTES];

	memset(value, 'v', sizeof(value));
	for (uint32_t i = 0; i < key_count; i++) {
		if (i % BATCH == 0)
			store_enter(st, NOW);
		set_key(st, i, value);
		if (i % BATCH == BATCH - 1 || i == key_count - 1)
			store_leave(st);
	}
}

static int compare_doubles(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

void micro_sort_rounds(double *rounds)
{
	qsort(rounds, ROUNDS, sizeof(*rounds), compare_doubles);
}
