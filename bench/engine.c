/* engine.c: see engine.h. */
#include "bench/engine.h"

#include <errno.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>

#include "bench/tool.h"
#include "store/base/base.h"

#define ENGINE_EVENTS_MAX 256
/* Large values: a batch is cut so that no connection buffers more than this and one command. */
#define ENGINE_BATCH_BYTES_MAX (4u << 20)
#define ENGINE_POPULATE_DEPTH 64
#define ENGINE_SLICE_NS UINT64_C(100000000) /* how late a stop may be noticed */
/* A sleep ends some 50 us late: what is due sooner is waited for without sleeping. */
#define ENGINE_SPIN_NS UINT64_C(100000)
#define ENGINE_WAKE_EARLY_NS UINT64_C(60000)
#define ENGINE_BURST_MAX 1024 /* commands between two looks at the answers */

struct engine_conn {
	struct client client;
	struct op *ring; /* commands in flight, oldest at head */
	uint32_t ring_mask, head, tail;
	uint32_t found;  /* values that the oldest command has got */
	uint32_t *fills; /* keys to be set because they were missed */
	uint32_t fill_count;
	uint64_t due_ns; /* open loop: of its next command */
	bool in_heap, is_dirty, waits_output;
};

static inline void count_add(uint64_t *count, uint64_t n)
{
	/* Pairs with the loads of engine_sum_counts(): no tearing, no order wanted. */
	__atomic_store_n(count, *count + n, __ATOMIC_RELAXED);
}

static inline uint32_t conn_in_flight(const struct engine_conn *conn)
{
	return conn->tail - conn->head;
}

__attribute__((format(printf, 2, 3))) static void engine_fail(struct engine_thread *th,
							      const char *format, ...)
{
	va_list args;

	if (th->failed)
		return;
	th->failed = true;
	va_start(args, format);
	vsnprintf(th->error, sizeof(th->error), format, args);
	va_end(args);
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

static void engine_flush(struct engine_thread *th, struct engine_conn *conn)
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

static void engine_issue(struct engine_thread *th, struct engine_conn *conn, uint64_t start_ns)
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

static void engine_issue_fills(struct engine_thread *th, struct engine_conn *conn, uint64_t start_ns)
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

static inline bool engine_may_issue(const struct engine_thread *th, uint64_t now_ns)
{
	return th->issue_left > 0 && now_ns < th->end_ns && !*th->engine->stop && !th->failed;
}

/* Closed loop: fills, then so many commands. Their latency begins when they are about to be sent, not
 * when the first was written. */
static void engine_send_batch(struct engine_thread *th, struct engine_conn *conn, unsigned count)
{
	uint32_t first = conn->tail;
	uint64_t start_ns;

	engine_issue_fills(th, conn, 0);
	for (; count > 0 && th->issue_left > 0; count--) {
		if (conn->client.out.end > ENGINE_BATCH_BYTES_MAX)
			break;
		engine_issue(th, conn, 0);
	}
	start_ns = tool_now_ns();
	for (uint32_t i = first; i != conn->tail; i++)
		conn->ring[i & conn->ring_mask].start_ns = start_ns;
	engine_flush(th, conn);
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

/* Handles one event of a connection; the caller sends what follows from it. */
static void engine_handle_event(struct engine_thread *th, const struct epoll_event *event)
{
	struct engine_conn *conn = event->data.ptr;

	if (event->events & EPOLLOUT)
		engine_flush(th, conn);
	if (event->events & (EPOLLIN | EPOLLERR | EPOLLHUP))
		engine_read(th, conn);
}

/* Waits for events for at most wait_ns (0: only looks). */
static int engine_poll(struct engine_thread *th, struct epoll_event *events, uint64_t wait_ns)
{
	struct timespec timeout = {.tv_sec = (time_t)(wait_ns / 1000000000u),
				   .tv_nsec = (long)(wait_ns % 1000000000u)};
	int count = epoll_pwait2(th->epoll_fd, events, ENGINE_EVENTS_MAX, &timeout, NULL);

	if (count < 0 && errno == ENOSYS) /* before Linux 5.11 */
		count = epoll_wait(th->epoll_fd, events, ENGINE_EVENTS_MAX, (int)(wait_ns / 1000000u));
	if (count < 0 && errno != EINTR)
		engine_fail(th, "epoll: %s", strerror(errno));
	return MAX(count, 0);
}

/* Gives up when nothing was answered for too long. */
static void engine_check_progress(struct engine_thread *th, int event_count, uint64_t now_ns,
				  uint64_t *progress_ns)
{
	uint64_t limit_ns = (uint64_t)th->engine->options.timeout_ms * 1000000u;

	if (event_count > 0 || th->in_flight == 0)
		*progress_ns = now_ns;
	else if (now_ns - *progress_ns > limit_ns)
		engine_fail(th, "no answer in time");
}

/* ---- closed loop ---- */

static unsigned engine_depth(const struct engine_thread *th)
{
	unsigned depth = th->engine->options.depth;

	return th->engine->phase->kind == PHASE_POPULATE ? MAX(depth, ENGINE_POPULATE_DEPTH) : depth;
}

static void engine_continue(struct engine_thread *th, struct engine_conn *conn)
{
	uint32_t in_flight = conn_in_flight(conn);
	unsigned depth = engine_depth(th);

	if (in_flight > 0 && !th->engine->options.sliding)
		return;
	if (in_flight < depth && engine_may_issue(th, tool_now_ns()))
		engine_send_batch(th, conn, depth - in_flight);
}

static void engine_run_closed(struct engine_thread *th)
{
	struct epoll_event events[ENGINE_EVENTS_MAX];
	uint64_t progress_ns = th->start_ns;

	for (unsigned i = 0; i < th->conn_count; i++)
		engine_continue(th, &th->conns[i]);
	while (th->in_flight > 0 && !th->failed) {
		int count = engine_poll(th, events, ENGINE_SLICE_NS);

		for (int i = 0; i < count && !th->failed; i++) {
			engine_handle_event(th, &events[i]);
			engine_continue(th, events[i].data.ptr);
		}
		if (count == 0)
			engine_check_progress(th, count, tool_now_ns(), &progress_ns);
		else
			progress_ns = tool_now_ns();
	}
}

/* ---- open loop ---- */

static void heap_sift_down(struct engine_thread *th, unsigned at)
{
	struct engine_conn **heap = th->heap;

	for (;;) {
		unsigned least = at, left = 2 * at + 1, right = left + 1;
		struct engine_conn *moved;

		if (left < th->heap_count && heap[left]->due_ns < heap[least]->due_ns)
			least = left;
		if (right < th->heap_count && heap[right]->due_ns < heap[least]->due_ns)
			least = right;
		if (least == at)
			return;
		moved = heap[at];
		heap[at] = heap[least];
		heap[least] = moved;
		at = least;
	}
}

static void heap_push(struct engine_thread *th, struct engine_conn *conn)
{
	unsigned at = th->heap_count++;

	conn->in_heap = true;
	for (; at > 0 && th->heap[(at - 1) / 2]->due_ns > conn->due_ns; at = (at - 1) / 2)
		th->heap[at] = th->heap[(at - 1) / 2];
	th->heap[at] = conn;
}

static void heap_pop(struct engine_thread *th)
{
	th->heap[0]->in_heap = false;
	th->heap[0] = th->heap[--th->heap_count];
	heap_sift_down(th, 0);
}

/* The time from one due command of a connection to the next. */
static uint64_t engine_draw_gap_ns(struct engine_thread *th)
{
	const struct engine_options *options = &th->engine->options;
	double mean_ns = 1e9 * options->connection_count / options->rate_per_s;

	if (options->even_arrivals)
		return (uint64_t)mean_ns;
	return (uint64_t)(-log(1 - random_double(&th->cursor.random)) * mean_ns);
}

static void engine_mark_dirty(struct engine_thread *th, struct engine_conn *conn)
{
	if (conn->is_dirty)
		return;
	conn->is_dirty = true;
	th->dirty[th->dirty_count++] = conn;
}

/* Writes what is due. A connection that is full leaves the heap, its due time stays: once it has room
 * it is due at once, and the wait counts. */
static void engine_issue_due(struct engine_thread *th, uint64_t now_ns)
{
	for (unsigned n = 0; n < ENGINE_BURST_MAX && th->heap_count > 0; n++) {
		struct engine_conn *conn = th->heap[0];

		if (conn->due_ns > now_ns || conn->due_ns >= th->end_ns ||
		    !engine_may_issue(th, now_ns))
			return;
		engine_issue(th, conn, conn->due_ns);
		engine_mark_dirty(th, conn);
		conn->due_ns += engine_draw_gap_ns(th);
		if (conn_in_flight(conn) >= engine_depth(th))
			heap_pop(th);
		else
			heap_sift_down(th, 0);
	}
}

static void engine_flush_dirty(struct engine_thread *th)
{
	for (unsigned i = 0; i < th->dirty_count; i++) {
		th->dirty[i]->is_dirty = false;
		if (!th->failed)
			engine_flush(th, th->dirty[i]);
	}
	th->dirty_count = 0;
}

/* After answers: fills go out, and a connection with room may be due again. */
static void engine_reopen(struct engine_thread *th, struct engine_conn *conn, uint64_t now_ns)
{
	if (conn->fill_count > 0) {
		engine_issue_fills(th, conn, now_ns);
		engine_mark_dirty(th, conn);
	}
	if (!conn->in_heap && conn_in_flight(conn) < engine_depth(th))
		heap_push(th, conn);
}

static uint64_t engine_open_wait_ns(const struct engine_thread *th, uint64_t now_ns)
{
	uint64_t due_ns = th->heap_count > 0 ? th->heap[0]->due_ns : UINT64_MAX;

	if (!engine_may_issue(th, now_ns) || due_ns >= th->end_ns)
		due_ns = MAX(th->end_ns, now_ns + 1);
	if (th->in_flight > 0 && now_ns >= th->end_ns)
		due_ns = UINT64_MAX; /* only answers are waited for */
	if (due_ns <= now_ns + ENGINE_SPIN_NS)
		return 0;
	return MIN(due_ns - now_ns - ENGINE_WAKE_EARLY_NS, ENGINE_SLICE_NS);
}

static void engine_open_begin(struct engine_thread *th)
{
	double mean_ns = 1e9 * th->engine->options.connection_count / th->engine->options.rate_per_s;

	th->heap_count = th->dirty_count = 0;
	for (unsigned i = 0; i < th->conn_count; i++) {
		th->conns[i].due_ns = th->start_ns +
				      (uint64_t)(random_double(&th->cursor.random) * mean_ns);
		heap_push(th, &th->conns[i]);
	}
}

/* What was due before the end and could not be sent: a rate that was not reached. */
static void engine_count_unsent(struct engine_thread *th)
{
	double mean_ns = 1e9 * th->engine->options.connection_count / th->engine->options.rate_per_s;

	if (th->issue_left == 0 || *th->engine->stop)
		return;
	for (unsigned i = 0; i < th->conn_count; i++) {
		if (th->conns[i].due_ns < th->end_ns)
			count_add(&th->counts.unsent, 1 + (uint64_t)((double)(th->end_ns -
						th->conns[i].due_ns) / mean_ns));
	}
}

static void engine_run_open(struct engine_thread *th)
{
	struct epoll_event events[ENGINE_EVENTS_MAX];
	uint64_t progress_ns = th->start_ns, now_ns;

	prctl(PR_SET_TIMERSLACK, 1000);
	engine_open_begin(th);
	for (now_ns = tool_now_ns(); !th->failed; now_ns = tool_now_ns()) {
		int count;

		engine_issue_due(th, now_ns);
		engine_flush_dirty(th);
		if (th->in_flight == 0 &&
		    (now_ns >= th->end_ns || th->issue_left == 0 || *th->engine->stop))
			break;
		count = engine_poll(th, events, engine_open_wait_ns(th, now_ns));
		for (int i = 0; i < count && !th->failed; i++) {
			engine_handle_event(th, &events[i]);
			engine_reopen(th, events[i].data.ptr, now_ns);
		}
		engine_check_progress(th, count, now_ns, &progress_ns);
	}
	engine_count_unsent(th);
}

/* ---- threads ---- */

static double thread_cpu_s(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

/* Bytes are counted by the connections, each of which lives through all phases. */
static void engine_sum_bytes(struct engine_thread *th)
{
	for (unsigned i = 0; i < th->conn_count; i++) {
		struct client *cl = &th->conns[i].client;

		count_add(&th->counts.sent_bytes, cl->sent_bytes);
		count_add(&th->counts.received_bytes, cl->received_bytes);
		cl->sent_bytes = cl->received_bytes = 0;
	}
}

static void *engine_thread_main(void *arg)
{
	struct engine_thread *th = arg;
	const struct engine *en = th->engine;

	if (en->options.rate_per_s > 0 && en->phase->kind == PHASE_RUN)
		engine_run_open(th);
	else
		engine_run_closed(th);
	th->finished_ns = tool_now_ns();
	engine_sum_bytes(th);
	th->cpu_s = thread_cpu_s();
	return NULL;
}

/* Its share of a number that is dealt out to all threads. */
static uint64_t engine_share(const struct engine_thread *th, uint64_t whole)
{
	unsigned __int128 per = (unsigned __int128)whole;
	unsigned count = th->engine->options.thread_count;

	return (uint64_t)(per * (th->index + 1) / count - per * th->index / count);
}

static void engine_thread_prepare(struct engine_thread *th)
{
	const struct engine_phase *phase = th->engine->phase;
	uint64_t key_count = th->engine->workload->keys.count;
	unsigned thread_count = th->engine->options.thread_count;

	memset(&th->counts, 0, sizeof(th->counts));
	for (unsigned i = 0; i < OP_CLASS_COUNT; i++)
		histogram_init(&th->latencies[i]);
	for (unsigned i = 0; i < th->conn_count; i++)
		th->conns[i].fill_count = 0;
	th->populate_next = key_count * th->index / thread_count;
	th->populate_end = key_count * (th->index + 1) / thread_count;
	th->issue_left = phase->command_limit ? engine_share(th, phase->command_limit) : UINT64_MAX;
	if (phase->kind == PHASE_POPULATE)
		th->issue_left = th->populate_end - th->populate_next;
	th->start_ns = th->engine->started_ns;
	th->end_ns = phase->duration_ns ? th->start_ns + phase->duration_ns : UINT64_MAX;
	th->in_flight = 0;
	th->cpu_s = 0;
}

void engine_start(struct engine *en, const struct engine_phase *phase)
{
	en->phase = phase;
	en->started_ns = tool_now_ns();
	for (unsigned i = 0; i < en->options.thread_count; i++)
		engine_thread_prepare(&en->threads[i]);
	for (unsigned i = 0; i < en->options.thread_count; i++) {
		struct engine_thread *th = &en->threads[i];

		if (pthread_create(&th->pthread, NULL, engine_thread_main, th) != 0)
			tool_fail("cannot start a thread");
		th->running = true;
	}
}

bool engine_wait(struct engine *en, uint64_t wait_ns)
{
	struct timespec deadline;

	clock_gettime(CLOCK_REALTIME, &deadline);
	wait_ns += (uint64_t)deadline.tv_nsec;
	deadline.tv_sec += (time_t)(wait_ns / 1000000000u);
	deadline.tv_nsec = (long)(wait_ns % 1000000000u);
	for (unsigned i = 0; i < en->options.thread_count; i++) {
		struct engine_thread *th = &en->threads[i];

		if (th->running && pthread_timedjoin_np(th->pthread, NULL, &deadline) != 0)
			return false;
		th->running = false;
	}
	return true;
}

/* ---- connections ---- */

static bool engine_connect(struct engine_thread *th, struct engine_conn *conn, char *error)
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

static bool engine_thread_init(struct engine_thread *th, struct engine *en, unsigned index,
			       char *error)
{
	th->engine = en;
	th->index = index;
	th->conn_count = (unsigned)engine_share(th, en->options.connection_count);
	th->conns = tool_alloc(th->conn_count, sizeof(*th->conns));
	th->heap = tool_alloc(th->conn_count, sizeof(struct engine_conn *));
	th->dirty = tool_alloc(th->conn_count, sizeof(struct engine_conn *));
	th->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	keyspace_cursor_init(&th->cursor, &en->workload->keys, en->options.seed, index,
			     en->options.thread_count);
	for (unsigned i = 0; i < th->conn_count; i++)
		client_init(&th->conns[i].client);
	for (unsigned i = 0; i < th->conn_count; i++) {
		if (!engine_connect(th, &th->conns[i], error))
			return false;
	}
	return true;
}

bool engine_init(struct engine *en, const struct engine_options *options,
		 const struct workload *workload, const volatile sig_atomic_t *stop, char *error)
{
	memset(en, 0, sizeof(*en));
	en->options = *options;
	en->workload = workload;
	en->stop = stop;
	en->threads = tool_alloc(options->thread_count, sizeof(*en->threads));
	for (unsigned i = 0; i < options->thread_count; i++) {
		if (!engine_thread_init(&en->threads[i], en, i, error))
			return false;
	}
	return true;
}

static void engine_thread_fini(struct engine_thread *th)
{
	for (unsigned i = 0; i < th->conn_count && th->conns; i++) {
		client_fini(&th->conns[i].client);
		free(th->conns[i].ring);
		free(th->conns[i].fills);
	}
	free(th->conns);
	free(th->heap);
	free(th->dirty);
	if (th->engine) /* it was begun */
		close(th->epoll_fd);
}

void engine_fini(struct engine *en)
{
	for (unsigned i = 0; i < en->options.thread_count; i++)
		engine_thread_fini(&en->threads[i]);
	free(en->threads);
}

/* ---- sums ---- */

const char *engine_error(const struct engine *en)
{
	for (unsigned i = 0; i < en->options.thread_count; i++) {
		if (en->threads[i].failed)
			return en->threads[i].error;
	}
	return NULL;
}

/* engine_counts is an array of uint64_t in all but name. */
_Static_assert(sizeof(struct engine_counts) % sizeof(uint64_t) == 0, "counts are 64-bit words");

void engine_sum_counts(const struct engine *en, struct engine_counts *sum)
{
	uint64_t *to = (uint64_t *)sum;

	memset(sum, 0, sizeof(*sum));
	for (unsigned t = 0; t < en->options.thread_count; t++) {
		const uint64_t *from = (const uint64_t *)&en->threads[t].counts;

		for (size_t i = 0; i < sizeof(*sum) / sizeof(uint64_t); i++)
			to[i] += __atomic_load_n(&from[i], __ATOMIC_RELAXED);
	}
}

void engine_sum_latencies(const struct engine *en, enum op_class class, struct histogram *sum)
{
	histogram_init(sum);
	for (unsigned t = 0; t < en->options.thread_count; t++)
		histogram_merge(sum, &en->threads[t].latencies[class]);
}

double engine_cpu_s(const struct engine *en)
{
	double sum_s = 0;

	for (unsigned t = 0; t < en->options.thread_count; t++)
		sum_s += en->threads[t].cpu_s;
	return sum_s;
}

double engine_elapsed_s(const struct engine *en)
{
	uint64_t last_ns = en->started_ns;

	for (unsigned t = 0; t < en->options.thread_count; t++)
		last_ns = MAX(last_ns, en->threads[t].finished_ns);
	return (double)(last_ns - en->started_ns) / 1e9;
}
