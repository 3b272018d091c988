#include "bench/sim_run.h"

#include <stdlib.h>
#include <string.h>

#include "bench/tool.h"
#include "eviction/mini.h"

static const char *const marks[] = { "fifo", "belady" };

const char *sim_policy_name(unsigned i)
{
	unsigned count = 0;

	while (policy_at(count))
		count++;
	if (i < count)
		return policy_at(i)->name;
	return i - count < ARRAY_LENGTH(marks) ? marks[i - count] : NULL;
}

bool sim_policy_known(const char *name)
{
	for (unsigned i = 0; sim_policy_name(i); i++)
		if (strcmp(sim_policy_name(i), name) == 0)
			return true;
	return false;
}

/* ---- FIFO ---- */

static uint32_t run_fifo(const struct sim_trace *t, uint64_t capacity)
{
	uint32_t *queue = tool_alloc(t->request_count + 1, sizeof(*queue));
	bool *present = tool_alloc(t->key_count + 1, sizeof(*present));
	uint32_t first = 0, last = 0, misses = 0;
	uint64_t weight = 0;

	for (uint32_t i = 0; i < t->request_count; i++) {
		uint32_t key = t->keys[i];

		if (present[key])
			continue;
		misses++;
		if (t->weights[key] > capacity)
			continue;
		while (weight + t->weights[key] > capacity) {
			uint32_t victim = queue[first++];

			present[victim] = false;
			weight -= t->weights[victim];
		}
		queue[last++] = key;
		present[key] = true;
		weight += t->weights[key];
	}
	free(queue);
	free(present);
	return misses;
}

/* ---- Belady: what is used again last goes first ---- */

struct heap {
	struct use {
		uint32_t next;
		uint32_t key;
	} *uses;
	size_t count;
};

static void heap_push(struct heap *h, struct use use)
{
	size_t at = h->count++;

	while (at > 0 && h->uses[(at - 1) / 2].next < use.next) {
		h->uses[at] = h->uses[(at - 1) / 2];
		at = (at - 1) / 2;
	}
	h->uses[at] = use;
}

static struct use heap_pop(struct heap *h)
{
	struct use top = h->uses[0], moved = h->uses[--h->count];
	size_t at = 0;

	for (size_t child; (child = 2 * at + 1) < h->count; at = child) {
		if (child + 1 < h->count && h->uses[child + 1].next > h->uses[child].next)
			child++;
		if (h->uses[child].next <= moved.next)
			break;
		h->uses[at] = h->uses[child];
	}
	h->uses[at] = moved;
	return top;
}

static uint32_t run_belady(const struct sim_trace *t, uint64_t capacity)
{
	/* The next use of each key that is in; an entry of the heap with another one is out of date. */
	uint32_t *next = tool_alloc(t->key_count + 1, sizeof(*next));
	bool *present = tool_alloc(t->key_count + 1, sizeof(*present));
	struct heap heap = { tool_alloc(t->request_count + 1, sizeof(*heap.uses)), 0 };
	uint32_t misses = 0;
	uint64_t weight = 0;

	for (uint32_t i = 0; i < t->request_count; i++) {
		uint32_t key = t->keys[i];

		if (!present[key]) {
			misses++;
			if (t->weights[key] > capacity)
				continue;
			while (weight + t->weights[key] > capacity) {
				struct use victim = heap_pop(&heap);

				if (!present[victim.key] || next[victim.key] != victim.next)
					continue;
				present[victim.key] = false;
				weight -= t->weights[victim.key];
			}
			present[key] = true;
			weight += t->weights[key];
		}
		next[key] = t->next[i];
		heap_push(&heap, (struct use){ t->next[i], key });
	}
	free(heap.uses);
	free(next);
	free(present);
	return misses;
}

/* ---- the server's ---- */

static bool take_any(void *context, uint64_t bytes)
{
	return true;
}

static void give_any(void *context, uint64_t bytes)
{
}

static uint32_t run_policy(const struct sim_trace *t, const struct policy_ops *policy, uint64_t capacity)
{
	struct mini_cache m;
	struct mini_options o = {
		.policy = policy,
		.capacity = capacity,
		.entries_max = (uint32_t)MIN(capacity, (uint64_t)t->key_count + 1),
		.memory = { take_any, give_any, NULL },
	};
	uint32_t misses = 0;

	if (mini_init(&m, &o) != STATUS_OK)
		tool_fail("no memory for a cache of %llu", (unsigned long long)capacity);
	for (uint32_t i = 0; i < t->request_count; i++)
		misses += !mini_access(&m, sim_hash(t->keys[i]), t->weights[t->keys[i]]);
	mini_check(&m);
	mini_fini(&m);
	return misses;
}

uint32_t sim_run(const struct sim_trace *t, const char *policy, uint64_t capacity)
{
	if (strcmp(policy, "fifo") == 0)
		return run_fifo(t, capacity);
	if (strcmp(policy, "belady") == 0)
		return run_belady(t, capacity);
	return run_policy(t, policy_find(policy), capacity);
}
