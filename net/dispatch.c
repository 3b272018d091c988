#include "net/dispatch_internal.h"

#include <string.h>

#include "net/admin.h"
#include "net/observe.h"
#include "net/settings.h"
#include "net/version.h"

/* An inlined loop beats the call of memcpy up to about this length. */
#define INLINE_COPY_MAX_BYTES 128u

/* Items are fetched so many requests before they are wanted: a core waits for no more than some
 * sixteen lines at once, and each item takes two or three. */
#define PREFETCH_AHEAD 8u
/* The same where weak references are expected, each of which leads to an item more: the reference, and the
 * target when the reference has come. Depths from 8 and 4 to 32 and 20 were tried and are a few percent apart
 * (store/references.md). They are expected if one in so many of the batch before was one. */
#define ENTRY_AHEAD 16u
#define TARGET_AHEAD 8u
#define FOLLOWS_SHARE 4u

/*
 * A view of an item ends with the next call that allocates, and making room in the outbox may be one:
 * parking what a client does not take can evict. So room for the reply is made before the look-up.
 */

/* --- retrieval -------------------------------------------------------------------------------- */

static inline void write_value(struct conn *c, struct output *out, const struct item_view *view)
{
	if (likely(view->part_length == view->value_length &&
		   view->value_length <= VALUE_COPY_MAX_BYTES)) {
		if (view->value_length <= INLINE_COPY_MAX_BYTES) {
			out->next = compose_bytes(out->next, view->value, view->value_length);
		} else {
			memcpy(out->next, view->value, view->value_length);
			out->next += view->value_length;
		}
		out->next = compose_line_end(out->next);
	} else {
		conn_write_value(c, view);
	}
}

static inline void end_keys(struct conn *c, const struct request *rq)
{
	if (rq->last_key)
		conn_reply(c, REPLY_END);
}

void dispatch_count_miss(struct conn *c, const struct item_view *view)
{
	COUNT(c, get_misses);
	if (view->expired)
		COUNT(c, get_expired);
}

static inline __attribute__((always_inline)) void dispatch_get(struct conn *c, const struct request *rq)
{
	struct worker *w = c->worker;
	struct output *out = conn_room(c, OUTBOX_REPLY_MAX_BYTES);
	struct item_view view;
	bool found = store_get(w->store, rq->key, rq->key_length, rq->hash, &view) &&
		     conn_hold_value(c, &view);

	COUNT(c, get_commands);
	if (unlikely(w->observing != 0))
		observe_fetch(c, rq, found ? &view : NULL);
	dispatch_sample(c, rq, found);
	if (likely(found)) {
		COUNT(c, get_hits);
		compose_value_header(out, rq->key, rq->key_length, view.client_flags, view.value_length);
		write_value(c, out, &view);
	} else {
		dispatch_count_miss(c, &view);
	}
	end_keys(c, rq);
}

static void write_value_cas(struct conn *c, struct output *out, const struct request *rq,
			    const struct item_view *view)
{
	uint64_t cas = 0;

	if (c->worker->server->settings->cas_enabled)
		cas = store_view_cas(c->worker->store, view);
	compose_value_header_cas(out, rq->key, rq->key_length, view->client_flags, view->value_length,
				 cas);
	write_value(c, out, view);
}

static void dispatch_gets(struct conn *c, const struct request *rq)
{
	struct worker *w = c->worker;
	struct output *out = conn_room(c, OUTBOX_REPLY_MAX_BYTES);
	struct item_view view;
	bool found = store_get(w->store, rq->key, rq->key_length, rq->hash, &view) &&
		     conn_hold_value(c, &view);

	COUNT(c, get_commands);
	if (unlikely(w->observing != 0))
		observe_fetch(c, rq, found ? &view : NULL);
	dispatch_sample(c, rq, found);
	if (found) {
		COUNT(c, get_hits);
		write_value_cas(c, out, rq, &view);
	} else {
		dispatch_count_miss(c, &view);
	}
	end_keys(c, rq);
}

/* A weak reference is touched itself, and what it leads to is read. */
static bool touch_and_follow(struct conn *c, const struct request *rq, struct item_view *view)
{
	struct store_thread *st = c->worker->store;

	return store_touch(st, rq->key, rq->key_length, rq->hash, dispatch_expiry(c, rq->exptime), view) ==
		       STORE_OK &&
	       (likely(!view->weak) || store_follow(st, view, true));
}

/* gat and gats. Counted as memcached counts: a touch, and no get. */
static void dispatch_get_and_touch(struct conn *c, const struct request *rq)
{
	struct worker *w = c->worker;
	struct output *out = conn_room(c, OUTBOX_REPLY_MAX_BYTES);
	struct item_view view;
	bool found = touch_and_follow(c, rq, &view) && conn_hold_value(c, &view);

	COUNT(c, touch_commands);
	if (unlikely(w->observing != 0))
		observe_fetch(c, rq, found ? &view : NULL);
	dispatch_sample(c, rq, found);
	if (!found) {
		COUNT(c, touch_misses);
	} else {
		COUNT(c, touch_hits);
		if (rq->verb == VERB_GATS) {
			write_value_cas(c, out, rq, &view);
		} else {
			compose_value_header(out, rq->key, rq->key_length, view.client_flags,
					     view.value_length);
			write_value(c, out, &view);
		}
	}
	end_keys(c, rq);
}

/* --- the other classic commands ---------------------------------------------------------------- */

static void dispatch_delete(struct conn *c, const struct request *rq)
{
	enum store_result result = store_delete(c->worker->store, rq->key, rq->key_length, rq->hash,
						&(struct delete_args){0});

	if (result == STORE_OK)
		COUNT(c, delete_hits);
	else
		COUNT(c, delete_misses);
	if (unlikely(c->worker->observing != 0))
		observe_delete(c, rq, result);
	if (!rq->noreply)
		conn_reply(c, result == STORE_OK ? REPLY_DELETED : REPLY_NOT_FOUND);
}

static void dispatch_touch(struct conn *c, const struct request *rq)
{
	enum store_result result = store_touch(c->worker->store, rq->key, rq->key_length, rq->hash,
					       dispatch_expiry(c, rq->exptime), NULL);

	COUNT(c, touch_commands);
	if (result == STORE_OK)
		COUNT(c, touch_hits);
	else
		COUNT(c, touch_misses);
	if (!rq->noreply)
		conn_reply(c, result == STORE_OK ? REPLY_TOUCHED : REPLY_NOT_FOUND);
}

void dispatch_count_arithmetic(struct conn *c, bool decrement, enum store_result result)
{
	if (result == STORE_OK && decrement)
		COUNT(c, decr_hits);
	else if (result == STORE_OK)
		COUNT(c, incr_hits);
	else if (result == STORE_NOT_FOUND && decrement)
		COUNT(c, decr_misses);
	else if (result == STORE_NOT_FOUND)
		COUNT(c, incr_misses);
}

static void dispatch_arithmetic(struct conn *c, const struct request *rq)
{
	struct arithmetic_args args = {.delta = rq->delta, .decrement = rq->verb == VERB_DECR};
	enum store_result result = store_arithmetic(c->worker->store, rq->key, rq->key_length,
						    rq->hash, &args);

	dispatch_count_arithmetic(c, args.decrement, result);
	if (rq->noreply)
		return;
	switch (result) {
	case STORE_OK:
		compose_number(conn_room(c, COMPOSE_U64_MAX + 2), args.result);
		break;
	case STORE_NOT_FOUND:
		conn_reply(c, REPLY_NOT_FOUND);
		break;
	case STORE_NON_NUMERIC:
		conn_reply(c, REPLY_NON_NUMERIC);
		break;
	default:
		conn_reply(c, dispatch_refusal(result));
		break;
	}
}

/* A delay counts from now; a time of day that has passed flushes nothing, as in memcached. */
static void flush_at(struct worker *w, int64_t exptime)
{
	uint32_t at = exptime > 0 ? clock_expiry(&w->server->clock, w->now, exptime) : 0;

	if (exptime <= 0)
		store_flush(w->store);
	if (at != CLOCK_PAST)
		atomic_store_explicit(&w->server->flush_at, at, memory_order_relaxed);
}

static void dispatch_flush_all(struct conn *c, const struct request *rq)
{
	struct worker *w = c->worker;

	COUNT(c, flush_commands);
	if (w->server->settings->flush_enabled)
		flush_at(w, rq->exptime);
	if (rq->noreply)
		return;
	if (w->server->settings->flush_enabled)
		conn_reply(c, REPLY_OK);
	else
		conn_printf(c, "CLIENT_ERROR flush_all not allowed\r\n");
}

static void dispatch_version(struct conn *c)
{
	static const char line[] = "VERSION " LARDER_VERSION "\r\n";

	conn_write(c, line, sizeof(line) - 1);
}

static void dispatch_error(struct conn *c, const struct request *rq)
{
	/* A flush_all that is wrong is counted nevertheless, as in memcached. */
	if (rq->command == VERB_FLUSH_ALL)
		COUNT(c, flush_commands);
	if (!rq->noreply)
		conn_reply(c, (enum reply)rq->reply);
}

/* --- one request ------------------------------------------------------------------------------ */

static void dispatch_other(struct conn *c, const struct request *rq)
{
	switch ((enum verb)rq->verb) {
	case VERB_ERROR:
		dispatch_error(c, rq);
		break;
	case VERB_GETS:
		dispatch_gets(c, rq);
		break;
	case VERB_GAT:
	case VERB_GATS:
		dispatch_get_and_touch(c, rq);
		break;
	case VERB_TOUCH:
		dispatch_touch(c, rq);
		break;
	case VERB_INCR:
	case VERB_DECR:
		dispatch_arithmetic(c, rq);
		break;
	case VERB_DELETE:
		dispatch_delete(c, rq);
		break;
	case VERB_META_DELETE:
	case VERB_META_ARITHMETIC:
	case VERB_META_DEBUG:
	case VERB_META_NOOP:
		dispatch_meta(c, rq);
		break;
	case VERB_VERSION:
		dispatch_version(c);
		break;
	case VERB_FLUSH_ALL:
		dispatch_flush_all(c, rq);
		break;
	case VERB_QUIT:
		c->closing = true;
		break;
	default:
		admin_dispatch(c, rq);
		break;
	}
}

/* Replies of any size: they are not composed while the client does not take those before them. */
static inline bool is_retrieval(const struct request *rq)
{
	return (rq->verb >= VERB_GET && rq->verb <= VERB_GATS) || rq->verb == VERB_META_GET;
}

static inline __attribute__((always_inline)) void dispatch_one(struct conn *c, const struct request *rq)
{
	if (likely(rq->verb == VERB_GET))
		dispatch_get(c, rq);
	else if (rq->verb == VERB_META_GET)
		dispatch_meta(c, rq);
	else if (verb_has_value((enum verb)rq->verb))
		dispatch_storage(c, rq);
	else
		dispatch_other(c, rq);
}

static inline void prefetch_item(struct worker *w, const struct request_batch *batch, unsigned i)
{
	if (i < batch->count && likely(verb_has_key((enum verb)batch->requests[i].verb)))
		store_prefetch_item(w->store, batch->requests[i].hash);
}

/* What request number `i` of the batch needs so many requests later, if it leads through a weak reference:
 * each pass reads what the one before it fetched. */
static inline void prefetch_behind(struct worker *w, const struct request_batch *batch,
				   struct look_ahead *ahead, unsigned i)
{
	unsigned target = i - (ENTRY_AHEAD - TARGET_AHEAD);

	if (i < batch->count) {
		ahead[i].reference = 0;
		if (likely(verb_has_key((enum verb)batch->requests[i].verb)))
			store_prefetch_entry(w->store, batch->requests[i].hash, &ahead[i]);
	}
	/* What is before the first is above any count. */
	if (target < batch->count)
		store_prefetch_target(w->store, &ahead[target]);
}

/* False: not before the client takes what it was sent. Inlined by order: it is in two loops, and its call would be
 * some twenty instructions of the few hundred of a get. */
static inline __attribute__((always_inline)) bool dispatch_next(struct conn *c, const struct request *rq, bool may_stop)
{
	if (unlikely(outbox_values_full(&c->worker->outbox)))
		conn_flush(c);
	if (unlikely(parked_any(&c->parked)) && may_stop && is_retrieval(rq))
		return false;
	dispatch_one(c, rq);
	return true;
}

static unsigned dispatch_following(struct conn *c, struct request_batch *batch, bool may_stop)
{
	struct look_ahead ahead[BATCH_REQUESTS];

	for (unsigned i = 0; i < batch->count + ENTRY_AHEAD; i++) {
		prefetch_behind(c->worker, batch, ahead, i);
		if (i >= ENTRY_AHEAD && !dispatch_next(c, &batch->requests[i - ENTRY_AHEAD], may_stop))
			return i - ENTRY_AHEAD;
	}
	return batch->count;
}

static unsigned dispatch_straight(struct conn *c, struct request_batch *batch, bool may_stop)
{
	struct worker *w = c->worker;

	for (unsigned i = 0; i < PREFETCH_AHEAD && batch->count > 1; i++)
		prefetch_item(w, batch, i);
	for (unsigned i = 0; i < batch->count; i++) {
		prefetch_item(w, batch, i + PREFETCH_AHEAD);
		if (!dispatch_next(c, &batch->requests[i], may_stop))
			return i;
	}
	return batch->count;
}

unsigned dispatch_batch(struct conn *c, struct request_batch *batch, bool may_stop)
{
	struct worker *w = c->worker;
	unsigned done;

	w->observing = observe_wanted(w->server);
	if (unlikely(w->follows) && batch->count > 1)
		done = dispatch_following(c, batch, may_stop);
	else
		done = dispatch_straight(c, batch, may_stop);
	w->follows = store_take_follows(w->store) * FOLLOWS_SHARE > done;
	return done;
}
