/*
 * conn_turn.c: one turn of a connection: input is received, cut into requests, answered, and what is left of
 * it parked. In one file, since at depth 1 a turn is a request and the compiler sees through all of it: with
 * the input in a file of its own a get took 55 of 2,200 instructions more.
 */
#include "net/conn.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>

#include "net/dispatch.h"
#include "net/fill.h"
#include "net/login.h"
#include "net/watch.h"

/* While the pool is pressed, input is looked at in small pieces and left in the socket until it was
 * used, and few replies are composed at once, so that little is left over when a client blocks. */
#define PRESSED_RECEIVE_BYTES 2048u
#define PRESSED_BATCH_REQUESTS 4u
/* Direct receives of a large value in one turn; at 64 KB and more each, some hundred microseconds. */
#define FILL_RECEIVES_PER_TURN 4u
#define TASK_STEPS_PER_TURN 32u

/* The input of one turn: what lies in the worker's scratch buffer. */
struct input {
	uint32_t begin;
	uint32_t end;
	uint32_t peeked; /* of the bytes before `end`, so many are still in the socket */
	bool yielded;
};

static char *input_at(const struct conn *c, const struct input *in)
{
	return c->worker->scratch + in->begin;
}

/* --- input ------------------------------------------------------------------------------------ */

/* What the last turn left goes back to the scratch buffer. */
static void input_load(struct conn *c, struct input *in)
{
	*in = (struct input){0};
	if (c->input == NULL)
		return;
	memcpy(c->worker->scratch, c->input, c->input_length);
	in->end = c->input_length;
	buffer_pool_give(&c->worker->server->buffers, c->input, c->input_size_index);
	c->input = NULL;
	c->input_length = 0;
}

/* What this turn leaves goes to a block, except for what the socket still has. */
static void input_store(struct conn *c, struct input *in)
{
	struct worker *w = c->worker;
	uint32_t length = in->end - in->begin;
	uint32_t discard = in->peeked;

	if (in->yielded || parked_any(&c->parked)) {
		/* It will be looked at again: leave in the socket what was not used. */
		discard = in->peeked > length ? in->peeked - length : 0;
		length -= in->peeked - discard;
	}
	if (length > 0 && !c->closing) {
		c->input = worker_take_buffer(w, length, &c->input_size_index);
		if (c->input == NULL) {
			conn_break(c, "error");
			return;
		}
		memcpy(c->input, input_at(c, in), length);
		c->input_length = length;
	}
	/* These bytes were counted when they were seen. */
	while (discard > 0) {
		ssize_t n = recv(conn_fd(c), w->scratch, discard, 0);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0) {
			conn_break(c, "error");
			break;
		}
		discard -= (uint32_t)n;
	}
}

static void input_failed(struct conn *c, ssize_t received)
{
	if (received == 0) {
		c->closing = true;
		c->close_reason = "normal";
	} else if (errno != EAGAIN && errno != EWOULDBLOCK && errno != EINTR) {
		conn_break(c, "error");
	}
}

static void input_receive(struct conn *c, struct input *in)
{
	struct worker *w = c->worker;
	size_t room = MIN(SCRATCH_BYTES - in->end, RECEIVE_BYTES);
	bool peek = unlikely(buffer_pool_pressed(&w->server->buffers));

	if (peek)
		room = PRESSED_RECEIVE_BYTES;
	assert(in->end + room <= SCRATCH_BYTES);
	ssize_t received = recv(conn_fd(c), w->scratch + in->end, room, peek ? MSG_PEEK : 0);
	if (received <= 0) {
		input_failed(c, received);
		return;
	}
	c->progress = w->now;
	in->end += (uint32_t)received;
	in->peeked = peek ? (uint32_t)received : 0;
	counter_add(&w->counters.bytes_read, (uint64_t)received);
}

/* A value is coming in and nothing of it is in the scratch buffer: straight into the item. */
static void input_receive_value(struct conn *c, struct input *in)
{
	struct worker *w = c->worker;
	size_t rest_length = 0;

	for (unsigned i = 0; i < FILL_RECEIVES_PER_TURN && rest_length == 0; i++) {
		ssize_t received = fill_receive(c, w->scratch, RECEIVE_BYTES, &rest_length);
		if (received <= 0) {
			input_failed(c, received);
			return;
		}
		c->progress = w->now;
		counter_add(&w->counters.bytes_read, (uint64_t)received);
	}
	in->end = (uint32_t)rest_length;
}

/* --- the turn --------------------------------------------------------------------------------- */

/* False when the turn is over. */
static bool conn_run_task(struct conn *c, struct input *in)
{
	for (unsigned i = 0; i < (c->task->long_steps ? 1 : TASK_STEPS_PER_TURN); i++) {
		if (!c->task->step(c, c->task)) {
			conn_end_task(c);
			return true;
		}
		store_leave(c->worker->store);
		store_enter(c->worker->store, c->worker->now);
		if (c->broken || parked_any(&c->parked))
			return false;
	}
	in->yielded = true;
	counter_add(&c->worker->counters.conn_yields, 1);
	return false;
}

/* Parses up to `limit` requests and hashes their keys, so that the index buckets are on their way
 * when the first is looked up. */
static unsigned conn_parse_batch(struct conn *c, struct input *in, unsigned limit)
{
	struct worker *w = c->worker;
	struct request_batch *batch = &w->batch;
	unsigned count = 0;

	w->batch_rewinds = true;
	w->batch_parser = c->parser;
	while (count < limit) {
		struct request *rq = &batch->requests[count];
		size_t consumed;
		enum parse_result result = text_parse(&c->parser, input_at(c, in), in->end - in->begin,
						      rq, &batch->meta[count], &consumed);
		if (unlikely(result == PARSE_CLOSE)) {
			/* Said again when those before it are answered. */
			c->closing = count == 0;
			break;
		}
		w->batch_starts[count] = in->begin;
		in->begin += (uint32_t)consumed;
		if (unlikely(result != PARSE_REQUEST))
			break;
		count++;
		if (likely(verb_has_key((enum verb)rq->verb))) {
			rq->hash = store_hash(w->store, rq->key, rq->key_length);
			store_prefetch_bucket(w->store, rq->hash);
			/* Its value comes next, and no request. */
			if (verb_has_value((enum verb)rq->verb) && !rq->value_complete)
				break;
		} else if (rq->verb >= VERB_QUIT || rq->verb == VERB_ERROR) {
			/* What was wrong may have been changed while it was parsed. */
			w->batch_rewinds = rq->verb != VERB_ERROR;
			break;
		}
	}
	batch->count = count;
	return count;
}

static void restore_base64(const char *key, size_t length)
{
	char text[BASE64_ENCODED_LENGTH(KEY_LENGTH_MAX)];
	char *end = base64_encode(text, key, length);

	memcpy((char *)(uintptr_t)key, text, (size_t)(end - text));
}

/* Base64 keys were decoded where they stood; that is undone. */
static void restore_keys(const struct request *rq)
{
	const struct meta_args *meta = rq->meta;

	if (meta == NULL || !META_HAS(meta, 'b'))
		return;
	restore_base64(rq->key, rq->key_length);
	for (unsigned i = 0; i < meta->reference_count; i++)
		restore_base64(meta->reference_keys + meta->references[i].offset, meta->references[i].length);
}

/* The batch's requests from `first` on were not answered: they go back to the input. Where the batch
 * began, the parser may have been anywhere; after that it was between two lines, or two keys of one. */
static void conn_rewind(struct conn *c, struct input *in, unsigned first)
{
	const struct request_batch *batch = &c->worker->batch;
	const struct request *rq = &batch->requests[first];

	in->begin = c->worker->batch_starts[first];
	text_parser_init(&c->parser);
	if (first == 0) {
		c->parser = c->worker->batch_parser;
	} else if (rq->verb >= VERB_GET && rq->verb <= VERB_GATS && !rq->first_key) {
		c->parser.mode = TEXT_MODE_KEYS;
		c->parser.verb = rq->verb;
		c->parser.exptime = rq->exptime;
	}
	for (unsigned i = first; i < batch->count; i++)
		restore_keys(&batch->requests[i]);
}

/* Returns how many requests were answered; 0: more input is needed. */
static unsigned conn_run_batch(struct conn *c, struct input *in, unsigned limit)
{
	struct worker *w = c->worker;
	unsigned count = conn_parse_batch(c, in, limit);

	if (count == 0)
		return 0;
	unsigned done = dispatch_batch(c, &w->batch, w->batch_rewinds);
	if (unlikely(done < count))
		conn_rewind(c, in, done);
	return count;
}

static bool conn_can_go_on(const struct conn *c)
{
	return !c->broken && !c->closing && !parked_any(&c->parked);
}

/* Everything that the input holds, within a turn's share. */
static void conn_process(struct conn *c, struct input *in)
{
	struct worker *w = c->worker;
	unsigned left = w->requests_per_turn;
	unsigned batch_max = BATCH_REQUESTS;

	outbox_limit(&w->outbox, OUTBOX_BYTES, OUTBOX_VALUES_MAX);
	if (unlikely(buffer_pool_pressed(&w->server->buffers))) {
		batch_max = PRESSED_BATCH_REQUESTS;
		outbox_limit(&w->outbox, OUTBOX_PRESSED_BYTES, OUTBOX_PRESSED_VALUES);
	}
	while (conn_can_go_on(c)) {
		if (unlikely(c->watcher != NULL)) {
			/* It only listens; what it says is read so that its end is noticed. */
			in->begin = in->end;
			watch_write(c);
			return;
		}
		if (unlikely(c->task != NULL)) {
			if (!conn_run_task(c, in))
				return;
			continue;
		}
		if (in->begin == in->end)
			return;
		if (unlikely(c->fill != NULL)) {
			in->begin += (uint32_t)fill_take(c, input_at(c, in), in->end - in->begin);
			continue;
		}
		if (unlikely(!c->authenticated)) {
			size_t taken = login_take(c, input_at(c, in), in->end - in->begin);
			if (taken == 0)
				return;
			in->begin += (uint32_t)taken;
			continue;
		}
		if (unlikely(left == 0)) {
			in->yielded = true;
			counter_add(&w->counters.conn_yields, 1);
			return;
		}
		unsigned count = conn_run_batch(c, in, MIN(left, batch_max));
		if (count == 0)
			return;
		left -= MIN(count, left);
		/* What other threads removed may be reused from here on. */
		if (in->begin != in->end) {
			store_leave(w->store);
			store_enter(w->store, w->now);
		}
	}
}

/* The other event from now on: room in the socket, or input. */
static void conn_set_blocked(struct conn *c, bool blocked)
{
	struct worker *w = c->worker;
	uint8_t state = blocked ? CONN_BLOCKED : c->fill != NULL ? CONN_FILLING : CONN_READING;

	c->blocked = blocked;
	worker_count_blocked(w, blocked ? 1 : -1);
	event_del(&c->event);
	event_assign(&c->event, w->base, conn_fd(c), (blocked ? EV_WRITE : EV_READ) | EV_PERSIST,
		     conn_on_event, c);
	event_add(&c->event, NULL);
	atomic_store_explicit(&c->state, state, memory_order_relaxed);
}

static void conn_queue_ready(struct conn *c)
{
	struct worker *w = c->worker;

	c->ready = true;
	c->ready_next = NULL;
	*w->ready_tail = c;
	w->ready_tail = &c->ready_next;
}

static void conn_end_turn(struct conn *c, struct input *in)
{
	struct worker *w = c->worker;

	if (!outbox_empty(&w->outbox))
		conn_flush(c);
	if (!c->broken)
		input_store(c, in);
	store_leave(w->store);
	if (c->broken || (c->closing && !parked_any(&c->parked))) {
		conn_close(c);
		return;
	}
	if (unlikely(w->draining) && conn_at_rest(c)) {
		conn_close(c);
		return;
	}
	if (unlikely(parked_any(&c->parked) != c->blocked))
		conn_set_blocked(c, !c->blocked);
	if (unlikely(in->yielded && !c->blocked))
		conn_queue_ready(c);
}

static void conn_turn(struct conn *c, bool receive)
{
	struct worker *w = c->worker;
	struct input in;

	store_enter(w->store, w->now);
	input_load(c, &in);
	if (receive) {
		if (c->fill != NULL && in.end == 0)
			input_receive_value(c, &in);
		else
			input_receive(c, &in);
		atomic_store_explicit(&c->last_command, w->now, memory_order_relaxed);
	}
	conn_process(c, &in);
	conn_end_turn(c, &in);
}

/* The client takes output again: first what is parked goes out, then its input is looked at. */
static void conn_drain(struct conn *c)
{
	struct worker *w = c->worker;
	bool progressed;

	store_enter(w->store, w->now);
	enum send_result result = parked_send(w, conn_fd(c), &c->parked, &progressed);
	store_leave(w->store);
	switch (result) {
	case SEND_DONE:
		conn_turn(c, false);
		break;
	case SEND_BLOCKED:
		if (progressed)
			c->progress = w->now;
		break;
	case SEND_BROKEN:
		conn_break(c, "error");
		conn_close(c);
		break;
	}
}

void conn_on_event(evutil_socket_t fd, short what, void *arg)
{
	struct conn *c = arg;

	worker_read_clock(c->worker);
	if (c->ready)
		return; /* its input is parked; it runs with the others of the ready list */
	if (unlikely(c->blocked))
		conn_drain(c);
	else
		conn_turn(c, true);
}

void conn_run_watcher(struct conn *c)
{
	if (!c->blocked && !c->ready)
		conn_turn(c, false);
}

void conn_run_ready(struct conn *c)
{
	c->ready = false;
	conn_turn(c, false);
}
