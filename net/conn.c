/* conn.c: a connection's life, and what those who answer write. What it does with its turns is in
 * conn_turn.c. */
#include "net/conn.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "net/fill.h"
#include "net/settings.h"
#include "net/watch.h"

#define CONN_TRIES 4u /* times that memory is asked for where others ask, too */

/* --- output ----------------------------------------------------------------------------------- */

void conn_flush(struct conn *c)
{
	struct worker *w = c->worker;

	if (c->broken) {
		outbox_drop(w);
		return;
	}
	bool was_parked = parked_any(&c->parked);
	switch (outbox_flush(w, conn_fd(c), &c->parked)) {
	case SEND_DONE:
		break;
	case SEND_BLOCKED:
		if (!was_parked)
			c->progress = w->now;
		break;
	case SEND_BROKEN:
		conn_break(c, "error");
		break;
	}
}

void conn_write(struct conn *c, const char *data, size_t length)
{
	while (length > 0) {
		struct output *out = conn_room(c, 1);
		size_t part = MIN(length, output_room(out));
		memcpy(out->next, data, part);
		out->next += part;
		data += part;
		length -= part;
	}
}

void conn_printf(struct conn *c, const char *format, ...)
{
	struct output *out = conn_room(c, OUTBOX_REPLY_MAX_BYTES);
	va_list args;

	va_start(args, format);
	int length = vsnprintf(out->next, OUTBOX_REPLY_MAX_BYTES, format, args);
	va_end(args);
	out->next += MIN(length, (int)OUTBOX_REPLY_MAX_BYTES - 1);
}

void conn_write_value(struct conn *c, const struct item_view *view)
{
	struct worker *w = c->worker;
	struct output *out = &w->outbox.out;
	struct value_cursor cursor;

	if (view->value_length > VALUE_COPY_MAX_BYTES) {
		outbox_add_value(&w->outbox, w->store, view);
	} else {
		store_value_first(view, w->store, &cursor);
		do {
			memcpy(out->next, cursor.part, cursor.part_length);
			out->next += cursor.part_length;
		} while (cursor.next_reference != 0 && store_value_next(w->store, &cursor));
	}
	out->next = compose_line_end(out->next);
}

/* --- tasks ------------------------------------------------------------------------------------ */

void *conn_start_task(struct conn *c, size_t bytes, bool (*step)(struct conn *, struct task *))
{
	struct worker *w = c->worker;
	uint8_t size_index;
	struct task *t = worker_take_buffer(w, bytes, &size_index);

	if (t == NULL) {
		conn_reply(c, REPLY_NO_MEMORY);
		return NULL;
	}
	memset(t, 0, bytes);
	t->step = step;
	t->size_index = size_index;
	c->task = t;
	return t;
}

void conn_end_task(struct conn *c)
{
	struct task *t = c->task;

	c->task = NULL;
	buffer_pool_give(&c->worker->server->buffers, t, t->size_index);
}

/* --- life ------------------------------------------------------------------------------------- */

bool conn_at_rest(const struct conn *c)
{
	return !parked_any(&c->parked) && c->fill == NULL && c->task == NULL && c->input == NULL &&
	       !c->ready;
}

static void server_forget_connection(struct server *sv)
{
	atomic_fetch_sub_explicit(&sv->curr_connections, 1, memory_order_relaxed);
	if (sv->options.on_connection_closed != NULL)
		sv->options.on_connection_closed(sv->options.owner);
}

void conn_open(struct worker *w, int fd, enum transport transport)
{
	struct server *sv = w->server;
	struct conn *c = block_pool_take(&sv->connections);

	store_enter(w->store, w->now);
	for (unsigned i = 0; c == NULL && i < CONN_TRIES; i++)
		if (store_release_bytes(w->store, OS_PAGE_BYTES))
			c = block_pool_take(&sv->connections);
	store_leave(w->store);
	if (c == NULL) {
		close(fd);
		server_forget_connection(sv);
		return;
	}
	memset(c, 0, sizeof(*c));
	c->worker = w;
	c->transport = (uint8_t)transport;
	c->authenticated = sv->auth == NULL;
	c->close_reason = "normal";
	c->progress = w->now;
	text_parser_init(&c->parser);
	atomic_store_explicit(&c->fd, fd, memory_order_relaxed);
	atomic_store_explicit(&c->last_command, w->now, memory_order_relaxed);
	atomic_store_explicit(&c->state, CONN_READING, memory_order_relaxed);
	c->link = &w->connections;
	c->next = w->connections;
	if (c->next != NULL)
		c->next->link = &c->next;
	w->connections = c;
	event_assign(&c->event, w->base, fd, EV_READ | EV_PERSIST, conn_on_event, c);
	event_add(&c->event, NULL);
	if (watch_wants(sv->watch, WATCH_CONNECTIONS))
		watch_conn_new(c);
}

static void worker_remove_ready(struct worker *w, struct conn *c)
{
	struct conn **link = &w->ready_head;

	while (*link != c)
		link = &(*link)->ready_next;
	*link = c->ready_next;
	if (c->ready_next == NULL)
		w->ready_tail = link;
}

void conn_close(struct conn *c)
{
	struct worker *w = c->worker;
	struct server *sv = w->server;

	if (watch_wants(sv->watch, WATCH_CONNECTIONS))
		watch_conn_close(c);
	event_del(&c->event);
	close(conn_fd(c));
	atomic_store_explicit(&c->state, CONN_NONE, memory_order_relaxed);
	if (c->ready)
		worker_remove_ready(w, c);
	worker_count_blocked(w, c->blocked ? -1 : 0);
	if (c->watcher != NULL)
		watch_end(c);
	store_enter(w->store, w->now);
	if (c->fill != NULL)
		fill_abort(c);
	parked_drop(w, &c->parked);
	store_leave(w->store);
	if (c->task != NULL)
		conn_end_task(c);
	if (c->input != NULL)
		buffer_pool_give(&sv->buffers, c->input, c->input_size_index);
	*c->link = c->next;
	if (c->next != NULL)
		c->next->link = c->link;
	block_pool_give(&sv->connections, c);
	server_forget_connection(sv);
}

/* A client may take its time to send; only while memory is short, half a request is a reason. */
static bool conn_is_stalled(const struct conn *c)
{
	const struct worker *w = c->worker;
	uint32_t seconds = w->now - c->progress;

	if (c->blocked && seconds > CONN_STALL_SECONDS)
		return true;
	if (c->input != NULL && seconds > CONN_STALL_FULL_SECONDS && buffer_pool_full(&w->server->buffers))
		return true;
	if (seconds <= CONN_STALL_PRESSED_SECONDS)
		return false;
	return (c->blocked || c->fill != NULL || c->input != NULL) &&
	       buffer_pool_pressed(&w->server->buffers);
}

void conn_check_time(struct conn *c)
{
	struct worker *w = c->worker;
	uint32_t idle_limit = w->server->settings->idle_timeout_seconds;
	uint32_t idle_seconds = w->now - atomic_load_explicit(&c->last_command, memory_order_relaxed);

	if (conn_is_stalled(c)) {
		counter_add(&w->counters.stall_kicks, 1);
		c->close_reason = "idle_timeout";
		conn_close(c);
	} else if (idle_limit != 0 && idle_seconds > idle_limit && c->watcher == NULL) {
		counter_add(&w->counters.idle_kicks, 1);
		c->close_reason = "idle_timeout";
		conn_close(c);
	}
}
