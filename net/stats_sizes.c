/*
 * stats_sizes.c: stats sizes, items by their size: in steps of 32 bytes up to 128 KB, above that 32 steps for
 * each doubling. Made by a walk when it is asked for, so that nobody pays for it in between.
 */
#include "net/stats_kinds.h"

#include <stdio.h>

#define SIZE_STEP 32u
#define FINE_POWER 17u
#define FINE_BUCKETS ((1u << FINE_POWER) / SIZE_STEP)
#define SIZE_BUCKETS (FINE_BUCKETS + (32u - FINE_POWER) * 32u)
#define SIZES_ITEMS_PER_STEP 1024u

struct sizes_task {
	struct task task;
	struct store_walk walk;
	bool walked;
	uint32_t bucket;
	uint64_t counts[SIZE_BUCKETS];
};
_Static_assert(sizeof(struct sizes_task) <= BUFFER_BYTES_MAX, "a task lives in one block");

static uint32_t size_bucket(uint64_t bytes)
{
	if (bytes < 1u << FINE_POWER)
		return (uint32_t)bytes / SIZE_STEP;
	unsigned power = 63u - (unsigned)__builtin_clzll(bytes);
	uint32_t bucket = FINE_BUCKETS + (power - FINE_POWER) * 32 + (uint32_t)(bytes >> (power - 5)) % 32;
	return MIN(bucket, SIZE_BUCKETS - 1);
}

/* The size above all of the bucket. */
static uint64_t size_of_bucket(uint32_t bucket)
{
	if (bucket < FINE_BUCKETS)
		return (bucket + 1) * SIZE_STEP;
	uint32_t coarse = bucket - FINE_BUCKETS;
	return (uint64_t)(32 + coarse % 32 + 1) << (coarse / 32 + FINE_POWER - 5);
}

static void count_size(void *context, const struct item_view *view)
{
	struct sizes_task *st = context;

	st->counts[size_bucket(store_view_bytes(view))]++;
}

static bool step_sizes(struct conn *c, struct task *t)
{
	struct sizes_task *st = (struct sizes_task *)t;
	char name[24];

	if (!st->walked) {
		st->walked = !store_walk(c->worker->store, &st->walk, SIZES_ITEMS_PER_STEP, count_size, st);
		return true;
	}
	while (st->bucket < SIZE_BUCKETS && st->counts[st->bucket] == 0)
		st->bucket++;
	if (st->bucket == SIZE_BUCKETS) {
		conn_reply(c, REPLY_END);
		return false;
	}
	snprintf(name, sizeof(name), "%llu", (unsigned long long)size_of_bucket(st->bucket));
	stat_number(c, name, st->counts[st->bucket++]);
	return true;
}

void stats_sizes(struct conn *c)
{
	if (!c->worker->server->track_sizes) {
		conn_printf(c, "STAT sizes_status disabled\r\nEND\r\n");
		return;
	}
	conn_start_task(c, sizeof(struct sizes_task), step_sizes);
}

void stats_set_sizes(struct conn *c, bool enabled)
{
	c->worker->server->track_sizes = enabled;
	stat_text(c, "sizes_status", enabled ? "enabled" : "disabled");
}
