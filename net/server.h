/*
 * server.h: what all threads of one server share. main.c makes the settings, the store and the
 * listeners; the workers (worker.h) do the work.
 *
 * Life: server_init, server_start (threads run), server_assign per accepted socket, server_stop
 * (threads are joined, connections closed), server_fini. Store handles 0 .. worker_count - 1 are the
 * workers', handle worker_count is the main thread's.
 */
#ifndef LARDER_SERVER_H
#define LARDER_SERVER_H

#include "net/block_pool.h"
#include "net/buffer_pool.h"
#include "net/clock.h"
#include "store/store.h"

struct auth;
struct prefix_table;
struct settings;
struct stats_baseline;
struct watch_hub;
struct worker;

/* How a connection came in; also what stats and log lines call it. */
enum transport { TRANSPORT_TCP, TRANSPORT_TCP6, TRANSPORT_UNIX };

/* Who said what the budget is; stats settings shows it. */
enum limit_source { LIMIT_OF_FLAG, LIMIT_OF_CGROUP, LIMIT_OF_MACHINE, LIMIT_OF_CLIENT };

struct server_options {
	const struct settings *settings; /* kept, not copied */
	struct store *store;             /* with settings->thread_count + 1 handles */
	struct auth *auth;               /* NULL: no authentication */
	enum limit_source limit_source;  /* of the budget to begin with */
	bool debug_time;                 /* the debugtime command is there */
	void *owner;                     /* for the calls below */
	/* A client asked for the end (the shutdown command). Any worker's thread; must not block. */
	void (*on_shutdown)(void *owner, bool graceful);
	/* A connection went: there may be room for another. Any worker's thread; must not block. */
	void (*on_connection_closed)(void *owner);
	/* Lists the listening sockets for `stats conns`. May be NULL. */
	void (*list_sockets)(void *owner, void (*line)(void *context, int fd, const char *address),
	                     void *context);
};

struct server {
	/* const after init */
	struct server_options options;
	const struct settings *settings;
	struct store *store;
	struct budget *budget;
	struct auth *auth;
	struct worker *workers;
	unsigned worker_count;
	struct server_clock clock;
	struct watch_hub *watch;          /* watch.h */
	struct prefix_table *prefixes;    /* prefix.h */
	struct stats_baseline *baseline;  /* stats.h */

	/* locked inside */
	struct buffer_pool buffers;
	struct block_pool connections;
	pthread_mutex_t flush_lock; /* held while a delayed flush_all is carried out */
	pthread_mutex_t limit_lock; /* held while the budget changes */

	/* atomic: relaxed. The listener counts up before server_assign and undoes it when that fails;
	 * the worker counts curr_connections down when a connection ends. */
	_Atomic uint32_t curr_connections;
	_Atomic uint64_t total_connections;
	_Atomic uint64_t rejected_connections;
	_Atomic uint64_t listen_disabled_count;
	_Atomic uint64_t listen_disabled_us;
	_Atomic bool accepting;
	_Atomic int verbosity;
	_Atomic uint64_t collector_longest_us; /* of all steps of the collector, see collect.h */
	_Atomic uint32_t flush_at;    /* server time of a delayed flush_all, 0: none */
	_Atomic uint64_t limit_bytes; /* -m as it is now; changes by server_set_limit */
	_Atomic enum limit_source limit_source;

	/* atomic: relaxed. Knobs of memcached that clients may turn and read back. */
	_Atomic bool track_sizes;
	_Atomic bool crawler_enabled;
	_Atomic uint32_t slab_automove;

	unsigned next_worker; /* of the thread that calls server_assign */
};

/* server_store_options: what the settings ask of the store, with a handle for each worker and one for the main
 * thread. The policy, the goal, the seed and how far the limit may grow are the caller's. */
struct store_options server_store_options(const struct settings *se);
enum status server_init(struct server *sv, const struct server_options *options);
/* server_start: STATUS_SYSTEM when a thread cannot be made. */
enum status server_start(struct server *sv);
/* server_assign: gives a connected, non-blocking socket to a worker, in turns. The socket is the
 * server's on success only; false when every worker's queue is full. */
bool server_assign(struct server *sv, int fd, enum transport transport);
/* server_set_limit: a new budget, from a client or from what the system grants. What a client has set
 * stays until another does; false then for anybody else, and when the store refuses it. Any thread;
 * `st` is its own. */
bool server_set_limit(struct server *sv, struct store_thread *st, uint64_t limit_bytes,
                      enum limit_source source);
/* server_drain: a graceful end: connections at rest are closed now, each other one when its replies
 * are sent. curr_connections tells when all are gone. */
void server_drain(struct server *sv);
void server_stop(struct server *sv);
void server_fini(struct server *sv);

#endif
