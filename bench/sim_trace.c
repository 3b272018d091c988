#include "bench/sim_trace.h"

#include <stdlib.h>
#include <string.h>

#include "bench/tool.h"
#include "bench/trace.h"
#include "store/base/base.h"

/* From the trace's keys to numbers: open addressing, twice as large as what is in. */
struct key_map {
	uint64_t *keys;
	uint32_t *numbers; /* plus one; 0: empty */
	uint32_t slots;
};

/* The finaliser of SplitMix64 (S. Vigna). */
static uint64_t mix(uint64_t x)
{
	x += 0x9e3779b97f4a7c15ULL;
	x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ULL;
	x = (x ^ (x >> 27)) * 0x94d049bb133111ebULL;
	return x ^ (x >> 31);
}

uint64_t sim_hash(uint32_t key)
{
	return mix(key);
}

static uint32_t map_slot(const struct key_map *map, uint64_t key)
{
	uint32_t slot = (uint32_t)mix(key) & (map->slots - 1);

	while (map->numbers[slot] && map->keys[slot] != key)
		slot = (slot + 1) & (map->slots - 1);
	return slot;
}

static void map_grow(struct key_map *map)
{
	struct key_map old = *map;

	map->slots = old.slots ? 2 * old.slots : 1024;
	map->keys = tool_alloc(map->slots, sizeof(*map->keys));
	map->numbers = tool_alloc(map->slots, sizeof(*map->numbers));
	for (uint32_t i = 0; i < old.slots; i++) {
		if (!old.numbers[i])
			continue;
		uint32_t slot = map_slot(map, old.keys[i]);

		map->keys[slot] = old.keys[i];
		map->numbers[slot] = old.numbers[i];
	}
	free(old.keys);
	free(old.numbers);
}

/* The key's number; a new one for a new key. */
static uint32_t map_number(struct key_map *map, uint64_t key, uint32_t *key_count)
{
	if (2 * (uint64_t)*key_count >= map->slots)
		map_grow(map);
	uint32_t slot = map_slot(map, key);

	if (!map->numbers[slot]) {
		map->keys[slot] = key;
		map->numbers[slot] = ++*key_count;
	}
	return map->numbers[slot] - 1;
}

static void set_name(struct sim_trace *t)
{
	const char *base = strrchr(t->path, '/');
	size_t length = strcspn(base ? base + 1 : t->path, ".");

	snprintf(t->name, sizeof(t->name), "%.*s", (int)MIN(length, sizeof(t->name) - 1),
	         base ? base + 1 : t->path);
}

static void link_uses(struct sim_trace *t)
{
	uint32_t *later = tool_alloc(t->key_count + 1, sizeof(*later));

	for (uint32_t i = 0; i < t->key_count; i++)
		later[i] = SIM_NEVER;
	t->next = tool_alloc(t->request_count + 1, sizeof(*t->next));
	for (uint32_t i = t->request_count; i-- > 0;) {
		t->next[i] = later[t->keys[i]];
		later[t->keys[i]] = i;
	}
	free(later);
}

void sim_trace_load(struct sim_trace *t, const char *path, bool by_bytes)
{
	struct trace_reader reader;
	struct trace_request rq;
	struct key_map map = { 0 };
	size_t request_room = 0, key_room = 0;
	enum trace_result result;

	*t = (struct sim_trace){ .path = path, .sized = true };
	set_name(t);
	if (!trace_reader_init(&reader, path))
		tool_fail("%s", trace_error(&reader));
	while ((result = trace_reader_next(&reader, &rq)) == TRACE_REQUEST) {
		uint32_t keys_before = t->key_count, key = map_number(&map, rq.key, &t->key_count);

		if (t->request_count == request_room) {
			request_room = request_room ? 2 * request_room : 65536;
			t->keys = tool_realloc(t->keys, request_room * sizeof(*t->keys));
		}
		if (t->key_count > key_room) {
			key_room = key_room ? 2 * key_room : 65536;
			t->weights = tool_realloc(t->weights, key_room * sizeof(*t->weights));
		}
		if (t->request_count == UINT32_MAX - 1)
			tool_fail("%s: more than 4 thousand million requests", path);
		t->keys[t->request_count++] = key;
		t->sized &= rq.size_bytes != 0;
		if (t->key_count > keys_before) {
			t->weights[key] = by_bytes ? (uint32_t)MIN(rq.size_bytes, UINT32_MAX / 2) : 1;
			t->weight_sum += t->weights[key];
		}
	}
	if (result == TRACE_FAILED)
		tool_fail("%s", trace_error(&reader));
	if (t->request_count == 0)
		tool_fail("%s: no requests in it", path);
	if (by_bytes && !t->sized)
		tool_fail("%s has no sizes, and --bytes needs them", path);
	trace_reader_fini(&reader);
	free(map.keys);
	free(map.numbers);
	link_uses(t);
}

void sim_trace_free(struct sim_trace *t)
{
	free(t->keys);
	free(t->weights);
	free(t->next);
	*t = (struct sim_trace){ 0 };
}
