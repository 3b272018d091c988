/* stats.c: the server's counters, since they were reset; see stats.h. */
#include "net/stats.h"

#include <event2/event.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "net/curve_stats.h"
#include "net/dump.h"
#include "net/prefix.h"
#include "net/profile.h"
#include "net/settings.h"
#include "net/stats_kinds.h"
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
	/* Counters only grow, so what is read under the lock is never less than a baseline read under it. */
	pthread_mutex_lock(&sv->baseline->lock);
	totals_read(sv, t);
	totals_subtract(t, &sv->baseline->totals);
	pthread_mutex_unlock(&sv->baseline->lock);
}

static void stats_reset(struct conn *c)
{
	struct server *sv = c->worker->server;

	pthread_mutex_lock(&sv->baseline->lock);
	totals_read(sv, &sv->baseline->totals);
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
	/* Read at two moments, and a worker counts in both between them. */
	stat_number(c, "read_buf_oom",
		    t->workers.buffer_oom - MIN(t->workers.buffer_oom, t->workers.response_oom));
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
	/* A worker writes into the watchers' rings itself: there is no buffer of its own to overflow. */
	stat_number(c, "log_worker_dropped", 0);
	stat_number(c, "log_worker_written", sv->watch->written_count);
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

/* --- references ------------------------------------------------------------------------------- */

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
	stat_number(c, "collector_longest_us", MAX(sv->collector_longest_us, n.last_resort_longest_us));
	conn_reply(c, REPLY_END);
}

/* --- which one -------------------------------------------------------------------------------- */

/* Is there no word behind the kind's? Answers if there is. */
static bool is_alone(struct conn *c, const struct words *ws)
{
	if (ws->count == 1)
		return true;
	conn_printf(c, "CLIENT_ERROR usage: stats %.*s\r\n", (int)ws->word[0].length, ws->word[0].data);
	return false;
}

/* Kinds that memcached has not. */
static void stats_own(struct conn *c, const struct words *ws)
{
	static const struct {
		const char *word;
		void (*answer)(struct conn *c);
	} plain[] = {
		{ "budget", stats_budget }, { "refs", stats_references }, { "mrc", curve_stats },
	};

	for (unsigned i = 0; i < ARRAY_LENGTH(plain); i++) {
		if (word_is(ws, 0, plain[i].word)) {
			if (is_alone(c, ws))
				plain[i].answer(c);
			return;
		}
	}
	if (word_is(ws, 0, "prefixes"))
		profile_prefixes(c, ws);
	else if (word_is(ws, 0, "largest"))
		profile_largest(c, ws);
	else if (word_is(ws, 0, "hottest"))
		profile_hottest(c, ws);
	else
		conn_reply(c, REPLY_ERROR);
}

/* memcached's kinds ignore words behind theirs, as it does. */
void stats_dispatch(struct conn *c, const struct words *ws)
{
	if (ws->count == 0)
		stats_general(c);
	else if (word_is(ws, 0, "settings"))
		stats_settings(c);
	else if (word_is(ws, 0, "items"))
		stats_items(c);
	else if (word_is(ws, 0, "slabs"))
		stats_slabs(c);
	else if (word_is(ws, 0, "conns"))
		stats_conns(c);
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
	else
		stats_own(c, ws);
}
