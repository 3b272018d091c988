/*
 * worker.h: one thread with one event loop, the buffers that its connections borrow for a turn, and
 * its handle of the store.
 *
 *     listener --worker_assign--> [queue + eventfd] --> conn_open --> read events --> conn turns
 *
 * A turn is one connection's share: what one receive brought, at most settings->reqs_per_event
 * requests. A connection that has more to do waits in the ready list until the loop has looked at
 * the others.
 */
#ifndef LARDER_WORKER_H
#define LARDER_WORKER_H

#include <event2/event.h>
#include <event2/event_struct.h>
#include <pthread.h>

#include "net/counters.h"
#include "net/hot.h"
#include "net/outbox.h"
#include "net/proto/request.h"
#include "net/proto/text_parse.h"
#include "net/server.h"

struct conn;

/* One receive: some hundred requests, about what a turn answers. With 64 KB instead, clients with deep
 * pipelines left up to 50 KB each in parked input at the end of every turn, and the calls saved did not
 * show at any depth up to 1,000. */
#define RECEIVE_BYTES 16384u
#define SCRATCH_BYTES (RECEIVE_BYTES + 4096u) /* with what was left before it: less than a line */
#define SCRATCH_PADDING_BYTES 64u             /* the parser may look (not act) so far behind the end */
#define WORKER_STACK_BYTES (192u << 10)
#define WORKER_STACK_CHARGED_BYTES (48u << 10) /* what is ever touched of it, and some */
#define WORKER_QUEUE_LENGTH 1024u

struct new_socket {
	int fd;
	enum transport transport;
};

struct worker {
	/* worker only; the hot fields first */
	struct server *server;
	struct store_thread *store;
	struct event_base *base;
	char *scratch;
	struct outbox outbox;
	uint32_t now;              /* server time of this turn */
	uint32_t observing;        /* enum observe bits, of this batch */
	uint32_t sample_left;      /* gets until one of them is sampled into hot */
	uint32_t requests_per_turn;
	struct conn *ready_head;   /* yielded, to be run after the next look at the sockets */
	struct conn **ready_tail;
	struct conn *connections;  /* all of this worker's */
	_Atomic uint32_t blocked_count; /* connections that wait for their client to read; stats look */
	bool follows;              /* of the last batch, much led through weak references */
	bool batch_rewinds;        /* its requests can be parsed again */
	unsigned index;
	bool stopping;
	bool draining;             /* connections end as soon as they are at rest */
	struct event queue_event;
	struct event second_event;
	struct counters counters;
	struct text_parser batch_parser;       /* as it was before the batch */
	uint32_t batch_starts[BATCH_REQUESTS]; /* where in the scratch buffer each begins */
	struct request_batch batch;

	struct hot_keys hot;       /* locked inside */

	pthread_t thread;
	bool thread_started;
	int queue_fd;              /* eventfd: the queue has something, or the server stops */

	/* under lock */
	pthread_mutex_t lock;
	unsigned queue_count;
	bool stop_requested;
	bool drain_requested;
	struct new_socket queue[WORKER_QUEUE_LENGTH];
};

enum status worker_init(struct worker *w, struct server *sv, unsigned index);
enum status worker_start(struct worker *w);
/* worker_assign: any thread. False when the queue is full. */
bool worker_assign(struct worker *w, int fd, enum transport transport);
void worker_drain(struct worker *w); /* any thread; see server_drain */
void worker_stop(struct worker *w); /* any thread; worker_join waits for the end */
void worker_join(struct worker *w);
void worker_fini(struct worker *w);

/* worker_take_buffer: a block of the buffer pool; when the budget is full, items are evicted for it, so
 * views end with this call. NULL when that did not help either. In a turn. */
void *worker_take_buffer(struct worker *w, size_t bytes, uint8_t *size_index);
/* worker_flush_due: carries out a delayed flush_all whose time has come. */
void worker_flush_due(struct worker *w);

static inline void worker_count_blocked(struct worker *w, int32_t change)
{
	uint32_t count = atomic_load_explicit(&w->blocked_count, memory_order_relaxed);
	atomic_store_explicit(&w->blocked_count, count + (uint32_t)change, memory_order_relaxed);
}

/* worker_read_clock: at the beginning of every turn; the one place where time is read. */
static inline void worker_read_clock(struct worker *w)
{
	w->now = clock_now(&w->server->clock);
	uint32_t flush_at = atomic_load_explicit(&w->server->flush_at, memory_order_acquire);
	if (unlikely(flush_at != 0 && w->now >= flush_at))
		worker_flush_due(w);
}

/* worker_wake: any thread; the worker looks at its queue and at its watchers' lines. */
void worker_wake(struct worker *w);

#endif
