/*
 * conn.h: one client's connection, from the accepted socket to its end. All of it happens in the
 * thread of its worker.
 *
 *   reading   the read event is armed; at rest the connection holds no buffer
 *   ready     it used up its turn; input is parked, it runs again after the others
 *   blocked   the client does not read: output is parked, the write event is armed, reads stop
 *   closing   what it still has to send goes out, then it ends
 *
 * Beside that, what the next bytes of input are: requests, a value that is being filled in (fill.h),
 * or nothing until an admin command that answers in steps (struct task) is through.
 */
#ifndef LARDER_CONN_H
#define LARDER_CONN_H

#include <event2/event_struct.h>
#include <string.h>

#include "net/outbox.h"
#include "net/proto/request.h"
#include "net/proto/text_parse.h"
#include "net/worker.h"

#define CONN_BYTES_MAX 400u
#define CONN_STALL_SECONDS 60u        /* a blocked client must take something within this time */
#define CONN_STALL_PRESSED_SECONDS 5u /* the same while the buffer pool is pressed */
#define CONN_STALL_FULL_SECONDS 1u    /* who sent half a command, while others get no buffer for theirs */

struct conn;
struct fill;
struct watcher;

/* An admin command that answers in steps, as the client takes them. Lives in a block of the buffer
 * pool. */
struct task {
	/* One step: composes some output; false when that was the last. */
	bool (*step)(struct conn *c, struct task *t);
	bool long_steps; /* one of them is all that a turn has time for */
	uint8_t size_index;
};

/* What `stats conns` says of it. */
enum conn_state {
	CONN_NONE,
	CONN_READING,
	CONN_FILLING,
	CONN_BLOCKED,
	CONN_WATCHING,
};

struct conn {
	struct event event;
	struct worker *worker;
	struct conn *next; /* in the worker's list */
	struct conn **link;
	struct conn *ready_next;
	struct text_parser parser;
	struct parked_queue parked;
	struct fill *fill;    /* a value is being received */
	struct task *task;
	struct watcher *watcher;
	const char *close_reason;
	char *input;          /* parked input, NULL for none */
	uint32_t input_length;
	uint32_t progress;    /* server time when the client last took something */
	uint8_t input_size_index;
	uint8_t transport;
	bool authenticated;
	bool ready;           /* in the ready list */
	bool blocked;         /* the write event is armed */
	bool closing;         /* end it when everything is sent */
	bool broken;          /* end it at once */

	/* atomic: relaxed, written by the worker, read by `stats conns` of another */
	_Atomic uint8_t state; /* enum conn_state */
	_Atomic int fd;
	_Atomic uint32_t last_command; /* server time */
};

_Static_assert(sizeof(struct conn) <= CONN_BYTES_MAX, "a connection at rest is this and no more");

/* conn_open: takes over the socket; on failure it is closed. */
void conn_open(struct worker *w, int fd, enum transport transport);
void conn_close(struct conn *c);
/* conn_run_ready: a turn for a connection of the ready list. */
void conn_run_ready(struct conn *c);
/* conn_run_watcher: a turn for a watcher that has lines. */
void conn_run_watcher(struct conn *c);
/* conn_at_rest: it has nothing to say, and nothing half-heard. */
bool conn_at_rest(const struct conn *c);
/* conn_check_time: ends it when it is idle or stalled for too long; once a second. */
void conn_check_time(struct conn *c);

/* ---- between conn.c and conn_turn.c ---- */

/* conn_on_event: its socket can be read, or written where it is blocked; libevent calls it. */
void conn_on_event(evutil_socket_t fd, short what, void *arg);
void conn_end_task(struct conn *c);
/* conn_break: it ends with this turn, unsent output and all. The reason is kept, not copied. */
static inline void conn_break(struct conn *c, const char *reason)
{
	c->broken = true;
	c->close_reason = reason;
}

/* ---- for those who answer, in a turn of the connection ---- */

/* conn_flush: sends (or parks) what is composed, so that the whole outbox is free. */
void conn_flush(struct conn *c);
/* conn_write: any number of bytes, copied. */
void conn_write(struct conn *c, const char *data, size_t length);
/* conn_printf: up to OUTBOX_REPLY_MAX_BYTES. */
void conn_printf(struct conn *c, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* conn_hold_value: before anything of the reply to a value that was found is composed: a large one is
 * pinned, so that it can go out by reference. False when the store's share of pinned memory is used up,
 * by clients that ask and do not read. That is answered as a miss: a cache may always forget, but it may
 * not grow. */
static inline bool conn_hold_value(struct conn *c, const struct item_view *view)
{
	return likely(view->value_length <= VALUE_COPY_MAX_BYTES) || store_pin(c->worker->store, view);
}

/* conn_write_value: the value, held before, and its line end. With what the reply composed before it,
 * it must fit in a room of OUTBOX_REPLY_MAX_BYTES; a value that goes out by reference needs none. */
void conn_write_value(struct conn *c, const struct item_view *view);
/* conn_start_task: a task of `bytes`, cleared, that begins when the batch is through; it starts with
 * a struct task. NULL: no memory, and the client is told. */
void *conn_start_task(struct conn *c, size_t bytes, bool (*step)(struct conn *, struct task *));

/* conn_room: where the next `bytes` (at most OUTBOX_REPLY_MAX_BYTES) of output go. Never fails:
 * output of a broken connection is dropped. */
static inline struct output *conn_room(struct conn *c, size_t bytes)
{
	struct output *out = &c->worker->outbox.out;

	if (unlikely(output_room(out) < bytes))
		conn_flush(c);
	return out;
}

static inline void conn_reply(struct conn *c, enum reply reply)
{
	compose_reply(conn_room(c, COMPOSE_REPLY_MAX), reply);
}

static inline int conn_fd(const struct conn *c)
{
	return atomic_load_explicit(&c->fd, memory_order_relaxed);
}

#endif
