/* stats_classes.c: stats items and stats slabs, a size class a step. */
#include "net/stats_kinds.h"

#include <stdio.h>

struct class_task {
	struct task task;
	unsigned class_number;
	unsigned active_count;
};

static void class_number_line(struct conn *c, const char *prefix, unsigned class_number,
			      const char *name, uint64_t value)
{
	char text[64];

	snprintf(text, sizeof(text), "%s%u:%s", prefix, class_number, name);
	stat_number(c, text, value);
}

static void items_of_class(struct conn *c, unsigned n, const struct store_class_info *info)
{
	const struct {
		const char *name;
		uint64_t value;
	} lines[] = {
		{"number", info->items},
		{"age", info->age_seconds},
		{"mem_requested", info->mem_requested},
		{"evicted", info->evicted},
		{"evicted_unfetched", info->evicted_unfetched},
		{"outofmemory", info->out_of_memory},
		{"tailrepairs", 0},
		{"reclaimed", info->expired},
		{"expired_unfetched", info->expired_unfetched},
		{"crawler_reclaimed", info->expired},
	};

	for (size_t i = 0; i < ARRAY_LENGTH(lines); i++)
		class_number_line(c, "items:", n, lines[i].name, lines[i].value);
}

static void slabs_of_class(struct conn *c, unsigned n, const struct store_class_info *info)
{
	const struct {
		const char *name;
		uint64_t value;
	} lines[] = {
		{"chunk_size", info->chunk_size},
		{"chunks_per_page", info->chunks_per_page},
		{"total_pages", info->total_pages},
		{"total_chunks", info->total_chunks},
		{"used_chunks", info->used_chunks},
		{"free_chunks", info->free_chunks},
		{"free_chunks_end", 0},
		{"mem_requested", info->mem_requested},
		{"get_hits", info->get_hits},
		{"cmd_set", info->cmd_set},
		{"delete_hits", info->delete_hits},
		{"incr_hits", info->incr_hits},
		{"decr_hits", info->decr_hits},
		{"cas_hits", info->cas_hits},
		{"cas_badval", info->cas_badval},
		{"touch_hits", info->touch_hits},
	};

	for (size_t i = 0; i < ARRAY_LENGTH(lines); i++)
		class_number_line(c, "", n, lines[i].name, lines[i].value);
}

static bool step_items(struct conn *c, struct task *t)
{
	struct class_task *ct = (struct class_task *)t;
	struct store_class_info info;

	if (!store_class_info(c->worker->server->store, ++ct->class_number, &info)) {
		conn_reply(c, REPLY_END);
		return false;
	}
	if (info.items > 0)
		items_of_class(c, ct->class_number, &info);
	return true;
}

static bool step_slabs(struct conn *c, struct task *t)
{
	struct class_task *ct = (struct class_task *)t;
	struct store *s = c->worker->server->store;
	struct store_class_info info;
	struct store_counters n;

	if (store_class_info(s, ++ct->class_number, &info)) {
		if (info.total_pages > 0) {
			slabs_of_class(c, ct->class_number, &info);
			ct->active_count++;
		}
		return true;
	}
	store_counters_sum(s, &n);
	stat_number(c, "active_slabs", ct->active_count);
	stat_number(c, "total_malloced", n.arena_bytes);
	conn_reply(c, REPLY_END);
	return false;
}

void stats_items(struct conn *c)
{
	conn_start_task(c, sizeof(struct class_task), step_items);
}

void stats_slabs(struct conn *c)
{
	conn_start_task(c, sizeof(struct class_task), step_slabs);
}
