#include "net/stats.h"

#include <event2/event.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "net/curve_stats.h"
#include "net/dump.h"
#include "net/peer.h"
#include "net/prefix.h"
#include "net/profile.h"
#include "net/settings.h"
#include "net/version.h"
#include "net/watch.h"
#include "store/curve.h"

/* All that is counted, at one moment. */
struct totals {
	struct counter_sums workers;
	struct store_counters store;
	uint64_t total_connections;
	uint64_t rejected_connections;
};

struct stats_baseline {
	pthread_mutex_t lock;
	struct totals totals; /* as they were when they were last reset */
};

struct stats_baseline *stats_baseline_new(void)
{
	struct stats_baseline *sb = calloc(1, sizeof(*sb));

	if (sb != NULL)
		pthread_mutex_init(&sb->lock, NULL);
	return sb;
}

void stats_baseline_free(struct stats_baseline *sb)
{
	if (sb == NULL)
		return;
	pthread_mutex_destroy(&sb->lock);
	free(sb);
}

static void totals_read(struct server *sv, struct totals *t)
{
	memset(t, 0, sizeof(*t));
	for (unsigned i = 0; i < sv->worker_count; i++)
		counters_sum(&t->workers, &sv->workers[i].counters);
	store_counters_sum(sv->store, &t->store);
	t->total_connections = sv->total_connections;
	t->rejected_connections = sv->rejected_connections;
}

/* Of the store's numbers only those that count events start again. */
static void totals_subtract(struct totals *t, const struct totals *base)
{
#define X(field) t->workers.field -= base->workers.field;
#include "net/counters.def"
#undef X
	t->store.total_items -= base->store.total_items;
	t->store.evictions -= base->store.evictions;
	t->store.evicted_unfetched -= base->store.evicted_unfetched;
	t->store.evicted_active -= base->store.evicted_active;
	t->store.expired -= base->store.expired;
	t->store.expired_unfetched -= base->store.expired_unfetched;
	t->store.flushed -= base->store.flushed;
	t->store.page_moves -= base->store.page_moves;
	t->store.no_memory -= base->store.no_memory;
	t->total_connections -= base->total_connections;
	t->rejected_connections -= base->rejected_connections;
}

static void totals_since_reset(struct server *sv, struct totals *t)
{
	totals_read(sv, t);
	pthread_mutex_lock(&sv->baseline->lock);
	totals_subtract(t, &sv->baseline->totals);
	pthread_mutex_unlock(&sv->baseline->lock);
}

static void stats_reset(struct conn *c)
{
	struct server *sv = c->worker->server;
	struct totals now;

	totals_read(sv, &now);
	pthread_mutex_lock(&sv->baseline->lock);
	sv->baseline->totals = now;
	pthread_mutex_unlock(&sv->baseline->lock);
	prefix_clear(sv->prefixes);
	profile_reset(sv, c->worker->now);
	store_curve_reset(sv->store);
	conn_printf(c, "RESET\r\n");
}

/* --- lines ------------------------------------------------------------------------------------ */

void stat_text(struct conn *c, const char *name, const char *value)
{
	conn_printf(c, "STAT %s %s\r\n", name, value);
}

void stat_number(struct conn *c, const char *name, uint64_t value)
{
	conn_printf(c, "STAT %s %llu\r\n", name, (unsigned long long)value);
}

static void stat_seconds(struct conn *c, const char *name, const struct timeval *tv)
{
	conn_printf(c, "STAT %s %lld.%06lld\r\n", name, (long long)tv->tv_sec, (long long)tv->tv_usec);
}

/* --- stats ------------------------------------------------------------------------------------ */

static void stats_process(struct conn *c)
{
	struct server *sv = c->worker->server;
	struct rusage usage;

	getrusage(RUSAGE_SELF, &usage);
	stat_number(c, "pid", (uint64_t)getpid());
	stat_number(c, "uptime", c->worker->now - CLOCK_FIRST_SECOND);
	stat_number(c, "time", (uint64_t)clock_wall(&sv->clock));
	stat_text(c, "version", LARDER_VERSION);
	stat_text(c, "libevent", event_get_version());
	stat_number(c, "pointer_size", 8 * sizeof(void *));
	stat_seconds(c, "rusage_user", &usage.ru_utime);
	stat_seconds(c, "rusage_system", &usage.ru_stime);
}

static uint64_t count_blocked(struct server *sv)
{
	uint64_t count = 0;

	for (unsigned i = 0; i < sv->worker_count; i++)
		count += atomic_load_explicit(&sv->workers[i].blocked_count, memory_order_relaxed);
	return count;
}

static void stats_connections(struct conn *c, const struct totals *t)
{
	struct server *sv = c->worker->server;

	stat_number(c, "max_connections", sv->settings->conn_limit);
	stat_number(c, "curr_connections", sv->curr_connections);
	stat_number(c, "total_connections", t->total_connections);
	stat_number(c, "rejected_connections", t->rejected_connections);
	stat_number(c, "connection_structures", block_pool_used_blocks(&sv->connections));
	stat_number(c, "blocked_connections", count_blocked(sv));
	stat_number(c, "response_obj_oom", t->workers.response_oom);
	stat_number(c, "read_buf_count", buffer_pool_used_blocks(&sv->buffers));
	stat_number(c, "read_buf_bytes", budget_account(sv->budget, ACCOUNT_BUFFERS));
	stat_number(c, "read_buf_oom", t->workers.buffer_oom - t->workers.response_oom);
}

static void stats_commands(struct conn *c, const struct counter_sums *n)
{
	stat_number(c, "cmd_get", n->get_commands);
	stat_number(c, "cmd_set", n->set_commands);
	stat_number(c, "cmd_flush", n->flush_commands);
	stat_number(c, "cmd_touch", n->touch_commands);
	stat_number(c, "cmd_meta", n->meta_commands);
	stat_number(c, "get_hits", n->get_hits);
	stat_number(c, "get_misses", n->get_misses);
	stat_number(c, "get_expired", n->get_expired);
	/* What was flushed is not looked at any more, so it counts as a miss and nothing else. */
	stat_number(c, "get_flushed", 0);
	stat_number(c, "delete_misses", n->delete_misses);
	stat_number(c, "delete_hits", n->delete_hits);
	stat_number(c, "incr_misses", n->incr_misses);
	stat_number(c, "incr_hits", n->incr_hits);
	stat_number(c, "decr_misses", n->decr_misses);
	stat_number(c, "decr_hits", n->decr_hits);
	stat_number(c, "cas_misses", n->cas_misses);
	stat_number(c, "cas_hits", n->cas_hits);
	stat_number(c, "cas_badval", n->cas_badval);
	stat_number(c, "touch_hits", n->touch_hits);
	stat_number(c, "touch_misses", n->touch_misses);
	stat_number(c, "store_too_large", n->store_too_large);
	stat_number(c, "store_no_memory", n->store_no_memory);
	stat_number(c, "auth_cmds", n->auth_commands);
	stat_number(c, "auth_errors", n->auth_errors);
	stat_number(c, "idle_kicks", n->idle_kicks);
	stat_number(c, "stall_kicks", n->stall_kicks);
	stat_number(c, "bytes_read", n->bytes_read);
	stat_number(c, "bytes_written", n->bytes_written);
}

static void stats_server(struct conn *c, const struct totals *t)
{
	struct server *sv = c->worker->server;

	stat_number(c, "limit_maxbytes", sv->limit_bytes);
	stat_number(c, "accepting_conns", sv->accepting);
	stat_number(c, "listen_disabled_num", sv->listen_disabled_count);
	stat_number(c, "time_in_listen_disabled_us", sv->listen_disabled_us);
	stat_number(c, "threads", sv->worker_count);
	stat_number(c, "conn_yields", t->workers.conn_yields);
	stat_number(c, "hash_power_level",
		    (uint64_t)(63 - __builtin_clzll(MAX(t->store.hash_buckets, 1ull))));
	stat_number(c, "hash_bytes", t->store.hash_bytes);
	stat_number(c, "hash_is_expanding", 0);
	stat_number(c, "slab_reassign_running", 0);
	stat_number(c, "slabs_moved", t->store.page_moves);
	stat_number(c, "log_worker_written", sv->watch->sent_count);
	stat_number(c, "log_watcher_skipped", sv->watch->skipped_count);
	stat_number(c, "log_watcher_sent", sv->watch->sent_count);
	stat_number(c, "log_watchers", sv->watch->watcher_count);
}

static void stats_items_total(struct conn *c, const struct store_counters *n)
{
	stat_number(c, "bytes", n->bytes);
	stat_number(c, "curr_items", n->curr_items);
	stat_number(c, "total_items", n->total_items);
	stat_number(c, "expired_unfetched", n->expired_unfetched);
	stat_number(c, "evicted_unfetched", n->evicted_unfetched);
	stat_number(c, "evicted_active", n->evicted_active);
	stat_number(c, "evictions", n->evictions);
	stat_number(c, "reclaimed", n->expired);
	stat_number(c, "crawler_reclaimed", n->expired);
	stat_number(c, "total_malloced", n->arena_bytes);
	stat_number(c, "pinned_bytes", n->pinned_bytes);
}

static void stats_general(struct conn *c)
{
	struct totals t;

	totals_since_reset(c->worker->server, &t);
	stats_process(c);
	stats_connections(c, &t);
	stats_commands(c, &t.workers);
	stats_server(c, &t);
	stats_items_total(c, &t.store);
	conn_reply(c, REPLY_END);
}

/* --- settings, budget ------------------------------------------------------------------------- */

/* What changed since the flags were read. */
/* "-m", "cgroup:80%", "machine:80%", "cache_memlimit" */
static void limit_source_line(struct conn *c, const char *name)
{
	static const char *const labels[] = {
		[LIMIT_OF_FLAG] = "-m",
		[LIMIT_OF_CGROUP] = "cgroup",
		[LIMIT_OF_MACHINE] = "machine",
		[LIMIT_OF_CLIENT] = "cache_memlimit",
	};
	struct server *sv = c->worker->server;
	enum limit_source source = sv->limit_source;
	char text[40];

	if (source == LIMIT_OF_CGROUP || source == LIMIT_OF_MACHINE)
		snprintf(text, sizeof(text), "%s:%u%%", labels[source],
			 sv->settings->memory_share_percent);
	else
		snprintf(text, sizeof(text), "%s", labels[source]);
	stat_text(c, name, text);
}

static void setting_line(void *context, const char *name, const char *value)
{
	struct conn *c = context;
	struct server *sv = c->worker->server;

	if (strcmp(name, "maxbytes") == 0)
		stat_number(c, name, sv->limit_bytes);
	else if (strcmp(name, "maxbytes_source") == 0)
		limit_source_line(c, name);
	else if (strcmp(name, "verbosity") == 0)
		stat_number(c, name, (uint64_t)sv->verbosity);
	else if (strcmp(name, "detail_enabled") == 0)
		stat_text(c, name, prefix_wanted(sv->prefixes) ? "yes" : "no");
	else if (strcmp(name, "track_sizes") == 0)
		stat_text(c, name, sv->track_sizes ? "yes" : "no");
	else if (strcmp(name, "lru_crawler") == 0)
		stat_text(c, name, sv->crawler_enabled ? "yes" : "no");
	else if (strcmp(name, "slab_automove") == 0)
		stat_number(c, name, sv->slab_automove);
	else
		stat_text(c, name, value);
}

static void stats_settings(struct conn *c)
{
	settings_each(c->worker->server->settings, setting_line, c);
	conn_reply(c, REPLY_END);
}

static void stats_references(struct conn *c)
{
	struct server *sv = c->worker->server;
	struct reference_counters n;

	store_reference_counters(sv->store, &n);
	stat_number(c, "weak_references", n.weak_references);
	stat_number(c, "dependencies", n.dependencies);
	stat_number(c, "holds", n.holds);
	stat_number(c, "control_blocks", n.control_blocks);
	stat_number(c, "held_bytes", n.held_bytes);
	stat_number(c, "held_limit_bytes", n.held_limit_bytes);
	stat_number(c, "dead_reclaimed", n.dead_reclaimed);
	stat_number(c, "collector_runs", n.collector_runs);
	stat_number(c, "collector_entries", n.collector_entries);
	stat_number(c, "collector_bytes", n.collector_bytes);
	stat_number(c, "collector_longest_us", sv->collector_longest_us);
	conn_reply(c, REPLY_END);
}

/* A field of /proc/self/status in kilobytes, as bytes; 0 when it cannot be had. */
static uint64_t process_status_bytes(const char *field)
{
	char text[4096];
	int fd = open("/proc/self/status", O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		return 0;
	ssize_t length = read(fd, text, sizeof(text) - 1);
	close(fd);
	if (length <= 0)
		return 0;
	text[length] = '\0';
	const char *line = strstr(text, field);
	return line == NULL ? 0 : strtoull(line + strlen(field), NULL, 10) * 1024;
}

/* Blocks in use, by their size. */
static void stats_buffers(struct conn *c)
{
	const struct buffer_pool *pool = &c->worker->server->buffers;
	char name[40];

	for (uint8_t i = 0; i < BUFFER_SIZE_COUNT; i++) {
		snprintf(name, sizeof(name), "buffers_of_%u", buffer_pool_block_bytes(i));
		stat_number(c, name, block_pool_used_blocks(&pool->sizes[i]));
	}
}

static void stats_budget(struct conn *c)
{
	const struct budget *b = c->worker->server->budget;

	stat_number(c, "limit_maxbytes", c->worker->server->limit_bytes);
	stat_number(c, "limit", budget_limit(b));
	stat_number(c, "used", budget_used(b));
	stat_number(c, "peak", atomic_load_explicit(&((struct budget *)(uintptr_t)b)->peak_bytes,
						    memory_order_relaxed));
	for (unsigned i = 0; i < ACCOUNT_COUNT; i++)
		stat_number(c, account_label((enum account)i), budget_account(b, (enum account)i));
	stats_buffers(c);
	stat_number(c, "resident", process_status_bytes("\nVmRSS:"));
	stat_number(c, "resident_peak", process_status_bytes("\nVmHWM:"));
	conn_reply(c, REPLY_END);
}

/* --- items, slabs: a class a step ------------------------------------------------------------- */

struct class_task {
	struct task task;
	unsigned class_number;
	unsigned active_count;
};

static void class_number_line(struct conn *c, const char *format, unsigned class_number,
			      const char *name, uint64_t value)
{
	char text[64];

	snprintf(text, sizeof(text), format[0] == 'i' ? "items:%u:%s" : "%u:%s", class_number, name);
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
		class_number_line(c, "items", n, lines[i].name, lines[i].value);
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
		class_number_line(c, "slabs", n, lines[i].name, lines[i].value);
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

/* --- conns: a connection a step --------------------------------------------------------------- */

struct conns_task {
	struct task task;
	bool listening_done;
	uint64_t cursor;
};

static void listening_line(void *context, int fd, const char *address)
{
	struct conn *c = context;

	conn_printf(c,
		    "STAT %d:addr %s\r\nSTAT %d:state conn_listening\r\n"
		    "STAT %d:secs_since_last_cmd %u\r\n",
		    fd, address, fd, fd, c->worker->now - CLOCK_FIRST_SECOND);
}

static const char *state_name(enum conn_state state)
{
	static const char *const names[] = {
		[CONN_NONE] = "conn_closed",     [CONN_READING] = "conn_read",
		[CONN_FILLING] = "conn_nread",   [CONN_BLOCKED] = "conn_mwrite",
		[CONN_WATCHING] = "conn_watch",
	};
	return names[state];
}

/* `other` may end at any time: what is read of it may then be of a connection that is no more. */
static void conns_line(struct conn *c, struct conn *other)
{
	int fd = atomic_load_explicit(&other->fd, memory_order_relaxed);
	enum conn_state state = atomic_load_explicit(&other->state, memory_order_relaxed);
	uint32_t last = atomic_load_explicit(&other->last_command, memory_order_relaxed);
	enum transport transport = (enum transport)other->transport;
	char peer[PEER_TEXT_BYTES], local[PEER_TEXT_BYTES];

	if (state == CONN_NONE || !peer_text(peer, fd, transport) ||
	    !peer_local_text(local, fd, transport))
		return;
	conn_printf(c,
		    "STAT %d:addr %s\r\nSTAT %d:listen_addr %s\r\nSTAT %d:state %s\r\n"
		    "STAT %d:secs_since_last_cmd %u\r\n",
		    fd, peer, fd, local, fd, other == c ? "conn_parse_cmd" : state_name(state), fd,
		    c->worker->now - MIN(last, c->worker->now));
}

static bool step_conns(struct conn *c, struct task *t)
{
	struct conns_task *ct = (struct conns_task *)t;
	struct server *sv = c->worker->server;

	if (!ct->listening_done) {
		ct->listening_done = true;
		if (sv->options.list_sockets != NULL)
			sv->options.list_sockets(sv->options.owner, listening_line, c);
		return true;
	}
	struct conn *other = block_pool_next(&sv->connections, &ct->cursor);
	if (other == NULL) {
		conn_reply(c, REPLY_END);
		return false;
	}
	conns_line(c, other);
	return true;
}

/* --- sizes ------------------------------------------------------------------------------------ */

/*
 * Items by their size: in steps of 32 bytes up to 128 KB, above that 32 steps for each doubling.
 * Made by a walk when it is asked for, so that nobody pays for it in between.
 */
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

static void stats_sizes(struct conn *c)
{
	if (!c->worker->server->track_sizes) {
		conn_printf(c, "STAT sizes_status disabled\r\nEND\r\n");
		return;
	}
	conn_start_task(c, sizeof(struct sizes_task), step_sizes);
}

static void stats_set_sizes(struct conn *c, bool enabled)
{
	c->worker->server->track_sizes = enabled;
	stat_text(c, "sizes_status", enabled ? "enabled" : "disabled");
}

/* --- detail ----------------------------------------------------------------------------------- */

struct detail_task {
	struct task task;
	uint32_t slot;
};

static bool step_detail(struct conn *c, struct task *t)
{
	struct detail_task *dt = (struct detail_task *)t;
	struct prefix_entry entry;

	if (!prefix_get(c->worker->server->prefixes, &dt->slot, &entry)) {
		conn_reply(c, REPLY_END);
		return false;
	}
	conn_printf(c, "PREFIX %.*s get %llu hit %llu set %llu del %llu\r\n", entry.length, entry.text,
		    (unsigned long long)entry.gets, (unsigned long long)entry.hits,
		    (unsigned long long)entry.sets, (unsigned long long)entry.deletes);
	return true;
}

static void detail_enable(struct conn *c, bool enabled)
{
	struct server *sv = c->worker->server;

	if (!prefix_enable(sv->prefixes, enabled) &&
	    !(store_release_bytes(c->worker->store, PREFIX_SLOTS * sizeof(struct prefix_entry)) &&
	      prefix_enable(sv->prefixes, enabled)))
		conn_reply(c, REPLY_NO_MEMORY);
	else
		conn_reply(c, REPLY_OK);
}

static void stats_detail(struct conn *c, const struct words *ws)
{
	if (word_is(ws, 1, "on"))
		detail_enable(c, true);
	else if (word_is(ws, 1, "off"))
		detail_enable(c, false);
	else if (!word_is(ws, 1, "dump"))
		conn_printf(c, "CLIENT_ERROR usage: stats detail on|off|dump\r\n");
	else
		conn_start_task(c, sizeof(struct detail_task), step_detail);
}

/* --- which one -------------------------------------------------------------------------------- */

void stats_dispatch(struct conn *c, const struct words *ws)
{
	if (ws->count == 0)
		stats_general(c);
	else if (word_is(ws, 0, "settings"))
		stats_settings(c);
	else if (word_is(ws, 0, "items"))
		conn_start_task(c, sizeof(struct class_task), step_items);
	else if (word_is(ws, 0, "slabs"))
		conn_start_task(c, sizeof(struct class_task), step_slabs);
	else if (word_is(ws, 0, "conns"))
		conn_start_task(c, sizeof(struct conns_task), step_conns);
	else if (word_is(ws, 0, "budget"))
		stats_budget(c);
	else if (word_is(ws, 0, "refs"))
		stats_references(c);
	else if (word_is(ws, 0, "reset"))
		stats_reset(c);
	else if (word_is(ws, 0, "detail"))
		stats_detail(c, ws);
	else if (word_is(ws, 0, "sizes"))
		stats_sizes(c);
	else if (word_is(ws, 0, "sizes_enable"))
		stats_set_sizes(c, true);
	else if (word_is(ws, 0, "sizes_disable"))
		stats_set_sizes(c, false);
	else if (word_is(ws, 0, "cachedump"))
		dump_begin_cachedump(c, ws);
	else if (word_is(ws, 0, "prefixes"))
		profile_prefixes(c, ws);
	else if (word_is(ws, 0, "largest"))
		profile_largest(c, ws);
	else if (word_is(ws, 0, "hottest"))
		profile_hottest(c, ws);
	else if (word_is(ws, 0, "mrc"))
		curve_stats(c);
	else
		conn_reply(c, REPLY_ERROR);
}
