/* engine_pace.c: when commands leave, in a closed loop and in an open one; see engine_internal.h. */
#include "bench/engine_internal.h"

#include <errno.h>
#include <math.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <time.h>

#include "bench/tool.h"
#include "store/base/base.h"

#define ENGINE_EVENTS_MAX 256
/* Large values: a batch is cut so that no connection buffers more than this and one command. */
#define ENGINE_BATCH_BYTES_MAX (4u << 20)
#define ENGINE_SLICE_NS UINT64_C(100000000) /* how late a stop may be noticed */
/* A sleep ends some 50 us late: what is due sooner is waited for without sleeping. */
#define ENGINE_SPIN_NS UINT64_C(100000)
#define ENGINE_WAKE_EARLY_NS UINT64_C(60000)
#define ENGINE_BURST_MAX 1024 /* commands between two looks at the answers */

/* ---- both ---- */

/* Commands that a connection may have in flight. */
static unsigned engine_depth(const struct engine_thread *th)
{
	unsigned depth = th->engine->options.depth;

	return th->engine->phase->kind == PHASE_POPULATE ? MAX(depth, ENGINE_POPULATE_DEPTH) : depth;
}

static inline bool engine_may_issue(const struct engine_thread *th, uint64_t now_ns)
{
	return th->issue_left > 0 && now_ns < th->end_ns && !*th->engine->stop && !th->failed;
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

static void engine_continue(struct engine_thread *th, struct engine_conn *conn)
{
	uint32_t in_flight = conn_in_flight(conn);
	unsigned depth = engine_depth(th);

	if (in_flight > 0 && !th->engine->options.sliding)
		return;
	if (in_flight < depth && engine_may_issue(th, tool_now_ns()))
		engine_send_batch(th, conn, depth - in_flight);
}

void engine_run_closed(struct engine_thread *th)
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

void engine_run_open(struct engine_thread *th)
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
