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

/* The key that the number's entry refers to, if it does. */
static void make_target(char *key, uint32_t number)
{
	micro_make_key(key, number);
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

/* Enters the store, hashes the keys, fetches their buckets. */
static void begin_batch(struct store_thread *st, const uint32_t *numbers, char keys[][KEY_BYTES],
                        uint64_t *hashes)
{
	store_enter(st, NOW);
	for (unsigned i = 0; i < BATCH; i++) {
		micro_make_key(keys[i], numbers[i]);
		hashes[i] = store_hash(st, keys[i], KEY_BYTES);
		store_prefetch_bucket(st, hashes[i]);
	}
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

void micro_set_batch(struct store_thread *st, const uint32_t *numbers, const char *value)
{
	char keys[BATCH][KEY_BYTES];
	uint64_t hashes[BATCH];

	begin_batch(st, numbers, keys, hashes);
	prefetch_batch(st, hashes, false);
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

void micro_get_batch(struct store_thread *st, const uint32_t *numbers, char *out, bool behind)
{
	char keys[BATCH][KEY_BYTES];
	uint64_t hashes[BATCH];

	begin_batch(st, numbers, keys, hashes);
	prefetch_batch(st, hashes, behind);
	for (unsigned i = 0; i < BATCH; i++) {
		struct item_view view;

		if (store_get(st, keys[i], KEY_BYTES, hashes[i], &view))
			memcpy(out, view.value, view.part_length);
	}
	store_leave(st);
}

void micro_fill(struct store_thread *st, uint32_t key_count, enum entries entries)
{
	static const char tag[] = "larder:tag_____";
	char key[KEY_BYTES], target[KEY_BYTES], value[VALUE_BYTES];

	memset(value, 'v', sizeof(value));
	for (uint32_t i = 0; i < key_count; i++) {
		if (i % BATCH == 0)
			store_enter(st, NOW);
		micro_make_key(key, i);
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

static int compare_doubles(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

void micro_sort_rounds(double *rounds)
{
	qsort(rounds, ROUNDS, sizeof(*rounds), compare_doubles);
}
