/*
 * watch.h: connections that asked to see what happens (the watch command), and the lines for them.
 *
 *     any worker: watch_fetch, watch_store, ...  -> a line -> the ring of each watcher that wants it
 *                                                             -> its worker is woken
 *     the watcher's worker: watch_write          -> from the ring into the connection's output
 *
 * A ring has a fixed size (-o watcher_logbuf_size), charged to ACCOUNT_LOGS while the watcher is
 * there. A line that does not fit is skipped and counted; the watcher is told how many were when it
 * reads on. With no watcher all of this costs one load and a branch.
 *
 * Rings and the list of watchers are under the hub's lock.
 */
#ifndef LARDER_WATCH_H
#define LARDER_WATCH_H

#include <pthread.h>

#include <stdatomic.h>

#include "store/store.h"

#define WATCHERS_MAX 20u

#define WATCH_FETCHERS 0x01u
#define WATCH_MUTATIONS 0x02u
#define WATCH_EVICTIONS 0x04u
#define WATCH_CONNECTIONS 0x08u
#define WATCH_DELETIONS 0x10u
#define WATCH_ALL 0x1fu
#define WATCH_OTHER 0x20u /* kinds of memcached that have no lines here */

struct conn;
struct request;
struct server;
struct slice;
struct watcher;
struct worker;

struct watch_hub {
	struct server *server; /* const */
	/* atomic: relaxed */
	_Atomic uint32_t kinds; /* what at least one watcher wants */
	_Atomic uint32_t watcher_count;
	/* lines, ever: made because somebody wanted them; put into a watcher's ring; or skipped there */
	_Atomic uint64_t written_count;
	_Atomic uint64_t sent_count;
	_Atomic uint64_t skipped_count;
	/* under lock */
	pthread_mutex_t lock;
	struct watcher *watchers;
	uint64_t line_number; /* gid */
};

/* watch_hub_new: the hub of this server, whose store must be there. */
struct watch_hub *watch_hub_new(struct server *sv);
void watch_hub_free(struct watch_hub *hub);

static inline bool watch_wants(const struct watch_hub *hub, uint32_t kinds)
{
	return (atomic_load_explicit(&hub->kinds, memory_order_relaxed) & kinds) != 0;
}

enum watch_result { WATCH_OK, WATCH_TOO_MANY, WATCH_NO_MEMORY };

/* watch_kind: the kind that a word of the watch command names, 0: none. */
uint32_t watch_kind(const struct slice *word);
/* watch_begin: the connection is a watcher from now on. watch_end: it no longer is. */
enum watch_result watch_begin(struct conn *c, uint32_t kinds);
void watch_end(struct conn *c);

/* watch_write: what its ring holds goes to the connection's output, while the client takes it. In a
 * turn of the connection. */
void watch_write(struct conn *c);
/* watch_wake: gives the worker's watchers that have lines a turn. */
void watch_wake(struct worker *w);

/* ---- what happened; any worker ---- */

void watch_fetch(struct conn *c, const struct request *rq, const struct item_view *view);
void watch_store(struct conn *c, const struct request *rq, enum store_result result);
/* watch_delete: by delete, md, or a set or ms that was refused. */
void watch_delete(struct conn *c, const struct request *rq);
void watch_conn_new(struct conn *c);
void watch_conn_close(struct conn *c);

#endif
