/* engine_conn.c: what one connection sends and what comes back; see engine_internal.h. */
#include "bench/engine_internal.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>

#include "bench/tool.h"
#include "store/base/base.h"

void engine_fail(struct engine_thread *th, const char *format, ...)
{
	va_list args;

	if (th->failed)
		return;
	th->failed = true;
	va_start(args, format);
	vsnprintf(th->error, sizeof(th->error), format, args);
	va_end(args);
}

/* ---- life ---- */

bool engine_connect(struct engine_thread *th, struct engine_conn *conn, char *error)
{
	const struct engine_options *options = &th->engine->options;
	unsigned depth = MAX(options->depth, ENGINE_POPULATE_DEPTH);
	struct epoll_event event = {.events = EPOLLIN, .data.ptr = conn};
	uint32_t slots = 1;

	while (slots < 2 * depth) /* as many fills may be on their way as gets */
		slots *= 2;
	conn->ring = tool_alloc(slots, sizeof(*conn->ring));
	conn->ring_mask = slots - 1;
	conn->fills = tool_alloc(options->fill ? depth : 1, sizeof(*conn->fills));
	if (!client_connect(&conn->client, options->address, options->timeout_ms)) {
		snprintf(error, CLIENT_ERROR_BYTES + 64, "%s", client_error(&conn->client));
		return false;
	}
	if (epoll_ctl(th->epoll_fd, EPOLL_CTL_ADD, conn->client.fd, &event) < 0) {
		snprintf(error, CLIENT_ERROR_BYTES + 64, "epoll: %s", strerror(errno));
		return false;
	}
	return true;
}

void engine_conn_fini(struct engine_conn *conn)
{
	client_fini(&conn->client);
	free(conn->ring);
	free(conn->fills);
}

/* ---- commands out ---- */

static void engine_want_output(struct engine_thread *th, struct engine_conn *conn, bool wanted)
{
	struct epoll_event event = {.events = wanted ? EPOLLIN | EPOLLOUT : EPOLLIN,
				    .data.ptr = conn};

	if (conn->waits_output == wanted)
		return;
	conn->waits_output = wanted;
	epoll_ctl(th->epoll_fd, EPOLL_CTL_MOD, conn->client.fd, &event);
}

void engine_flush(struct engine_thread *th, struct engine_conn *conn)
{
	enum client_status status = client_flush(&conn->client);

	if (unlikely(status == CLIENT_CLOSED || status == CLIENT_FAILED))
		engine_fail(th, "%s", client_error(&conn->client));
	else
		engine_want_output(th, conn, status == CLIENT_AGAIN);
}

static struct op *engine_push(struct engine_thread *th, struct engine_conn *conn, uint64_t start_ns)
{
	struct op *op = &conn->ring[conn->tail++ & conn->ring_mask];

	op->start_ns = start_ns;
	th->in_flight++;
	return op;
}

void engine_issue(struct engine_thread *th, struct engine_conn *conn, uint64_t start_ns)
{
	const struct workload *wl = th->engine->workload;
	struct op *op = engine_push(th, conn, start_ns);

	if (unlikely(th->engine->phase->kind == PHASE_POPULATE))
		workload_write(wl, &conn->client, &th->cursor, OP_SET, th->populate_next++, op);
	else
		workload_write(wl, &conn->client, &th->cursor,
			       workload_next_kind(wl, &th->cursor.random),
			       keyspace_next(&wl->keys, &th->cursor), op);
	th->issue_left--;
}

void engine_issue_fills(struct engine_thread *th, struct engine_conn *conn, uint64_t start_ns)
{
	for (uint32_t i = 0; i < conn->fill_count; i++) {
		struct op *op = engine_push(th, conn, start_ns);

		workload_write(th->engine->workload, &conn->client, &th->cursor, OP_SET,
			       conn->fills[i], op);
		op->is_fill = true;
		count_add(&th->counts.fills, 1);
	}
	conn->fill_count = 0;
}

/* ---- answers in ---- */

enum answer {
	ANSWER_WRONG, /* not to this command */
	ANSWER_VALUE, /* a hit, more follows */
	ANSWER_HIT,   /* a hit, and the end */
	ANSWER_END,   /* of a get's values */
	ANSWER_MISS,
	ANSWER_DONE,
	ANSWER_NOT_STORED,
	ANSWER_NOT_FOUND,
	ANSWER_ERROR,
};

static enum answer answer_to_write(enum reply_kind kind)
{
	switch (kind) {
	case REPLY_STORED:
	case REPLY_META_DONE:
		return ANSWER_DONE;
	case REPLY_NOT_STORED:
	case REPLY_META_NOT_STORED:
		return ANSWER_NOT_STORED;
	default:
		return ANSWER_WRONG;
	}
}

static enum answer answer_to_other(enum reply_kind kind)
{
	switch (kind) {
	case REPLY_DELETED:
	case REPLY_TOUCHED:
	case REPLY_META_DONE:
		return ANSWER_DONE;
	case REPLY_NOT_FOUND:
	case REPLY_META_NOT_FOUND:
		return ANSWER_NOT_FOUND;
	default:
		return ANSWER_WRONG;
	}
}

static enum answer answer_to_mg(enum reply_kind kind)
{
	if (kind == REPLY_META_VALUE)
		return ANSWER_HIT;
	return kind == REPLY_META_MISS ? ANSWER_MISS : ANSWER_WRONG;
}

static inline enum answer answer_of(const struct op *op, uint32_t found, enum reply_kind kind)
{
	if (likely(op->kind <= OP_GAT)) {
		if (likely(kind == REPLY_VALUE))
			return found < op->key_count ? ANSWER_VALUE : ANSWER_WRONG;
		if (likely(kind == REPLY_END))
			return ANSWER_END;
	}
	if (kind == REPLY_ERROR)
		return ANSWER_ERROR;
	if (op->kind == OP_MG)
		return answer_to_mg(kind);
	if (op_kind_class(op->kind) == OP_WRITE)
		return answer_to_write(kind);
	return op->kind <= OP_GAT ? ANSWER_WRONG : answer_to_other(kind);
}

static void engine_count_hit(struct engine_thread *th, const struct op *op, const struct reply *rp)
{
	count_add(&th->counts.hits, 1);
	if (th->engine->workload->verify &&
	    unlikely(!workload_verify(th->engine->workload, op, rp)))
		count_add(&th->counts.wrong_values, 1);
}

static void engine_count_misses(struct engine_thread *th, struct engine_conn *conn,
				const struct op *op, uint64_t missed)
{
	count_add(&th->counts.misses, missed);
	if (missed > 0 && th->engine->options.fill)
		conn->fills[conn->fill_count++] = op->key;
}

static void engine_count_answer(struct engine_thread *th, struct engine_conn *conn,
				const struct op *op, enum answer answer, const struct reply *rp)
{
	struct engine_counts *counts = &th->counts;

	switch (answer) {
	case ANSWER_HIT:
		engine_count_hit(th, op, rp);
		break;
	case ANSWER_END:
	case ANSWER_MISS:
		engine_count_misses(th, conn, op, op->key_count - conn->found);
		break;
	case ANSWER_NOT_STORED:
		count_add(&counts->not_stored, 1);
		break;
	case ANSWER_NOT_FOUND:
		count_add(&counts->not_found, 1);
		break;
	case ANSWER_ERROR:
		count_add(&counts->errors, 1);
		snprintf(th->last_error, sizeof(th->last_error), "%.*s",
			 (int)MIN(rp->value_bytes, 100u), rp->value);
		break;
	default:
		break;
	}
}

/* One whole reply. False when it is not one to the command whose turn it is. */
static inline bool engine_take_reply(struct engine_thread *th, struct engine_conn *conn,
				     enum reply_kind kind, const struct reply *rp, uint64_t now_ns)
{
	const struct op *op = &conn->ring[conn->head & conn->ring_mask];
	enum answer answer;

	if (unlikely(conn_in_flight(conn) == 0))
		return false;
	answer = answer_of(op, conn->found, kind);
	if (answer == ANSWER_WRONG)
		return false;
	if (answer == ANSWER_VALUE) {
		engine_count_hit(th, op, rp);
		conn->found++;
		return true;
	}
	engine_count_answer(th, conn, op, answer, rp);
	histogram_record(&th->latencies[op_kind_class(op->kind)],
			 now_ns > op->start_ns ? now_ns - op->start_ns : 0);
	count_add(&th->counts.kinds[op->kind], op->key_count);
	count_add(&th->counts.operations, op->key_count);
	count_add(&th->counts.commands, 1);
	conn->found = 0;
	conn->head++;
	th->in_flight--;
	return true;
}

/* All replies that are there; asks the socket once. */
static void engine_read(struct engine_thread *th, struct engine_conn *conn)
{
	struct client *cl = &conn->client;
	struct reply rp;
	enum reply_kind kind = client_parse(cl, &rp);
	size_t want = kind == REPLY_MORE ? rp.reply_bytes - (cl->in.end - cl->in.start) : 1;
	enum client_status status = client_fill(cl, want);
	uint64_t now_ns;

	if (status == CLIENT_AGAIN)
		return;
	if (status != CLIENT_DONE) {
		engine_fail(th, "%s", client_error(cl));
		return;
	}
	now_ns = tool_now_ns();
	while ((kind = client_parse(cl, &rp)) != REPLY_MORE) {
		if (kind == REPLY_INVALID || !engine_take_reply(th, conn, kind, &rp, now_ns)) {
			engine_fail(th, "an answer is not to its command: \"%.*s\"",
				    (int)MIN(strcspn(cl->in.bytes + cl->in.start, "\r\n"), 60u),
				    cl->in.bytes + cl->in.start);
			return;
		}
		client_consume(cl, &rp);
	}
}

void engine_handle_event(struct engine_thread *th, const struct epoll_event *event)
{
	struct engine_conn *conn = event->data.ptr;

	if (event->events & EPOLLOUT)
		engine_flush(th, conn);
	if (event->events & (EPOLLIN | EPOLLERR | EPOLLHUP))
		engine_read(th, conn);
}
