/* entries.h: entries stored, read and deleted by name, with a reference or without. */
#ifndef LARDER_TEST_ENTRIES_H
#define LARDER_TEST_ENTRIES_H

#include <criterion/criterion.h>
#include <string.h>

#include "eviction/policy.h"
#include "store/store.h"

/* policy: NULL for the default one, which others may take over from. */
static inline struct store *new_store(uint64_t limit_bytes, const struct policy_ops *policy,
                                      uint32_t held_limit_percent, uint64_t seed)
{
	struct store_options o = {
		.limit_bytes = limit_bytes,
		.item_limit_bytes = 1u << 20,
		.thread_count = 2,
		.evict = true,
		.held_limit_percent = held_limit_percent,
		.policy = policy ? policy : policy_at(0),
		.policy_may_change = !policy,
		.hash_seed = seed,
	};
	struct store *s;

	cr_assert_eq(store_init(&s, &o), STATUS_OK);
	return s;
}

/* target: NULL for none. */
static inline enum store_result set_entry(struct store_thread *st, const char *key, const char *value,
                                          uint32_t value_length, uint32_t expiry, const char *target,
                                          enum reference_kind kind)
{
	struct reference_list list = { .count = 1 };
	struct item_spec spec = { .key = key, .key_length = (uint8_t)strlen(key),
		                  .hash = store_hash(st, key, strlen(key)), .expiry = expiry,
		                  .value_length = value_length };
	struct commit_args args = { .mode = STORE_SET };

	if (target) {
		list.targets[0].key = target;
		list.targets[0].key_length = (uint8_t)strlen(target);
		list.targets[0].kind = (uint8_t)kind;
		args.references = &list;
		spec.references = reference_list_shape(&list);
	}
	return store_set(st, &spec, value, &args);
}

/* The same of zeros. */
static inline enum store_result simple_set(struct store_thread *st, const char *key, uint32_t value_length,
                                           const char *target, enum reference_kind kind)
{
	static const char bytes[100000];

	return set_entry(st, key, bytes, value_length, EXPIRY_NEVER, target, kind);
}

static inline bool simple_delete(struct store_thread *st, const char *key)
{
	return store_delete(st, key, strlen(key), store_hash(st, key, strlen(key)),
	                    &(struct delete_args){ 0 }) == STORE_OK;
}

static inline bool simple_get(struct store_thread *st, const char *key)
{
	struct item_view view;

	return store_get(st, key, strlen(key), store_hash(st, key, strlen(key)), &view);
}

#endif
