/*
 * dispatch.h: the one place where a request meets an item. Turns parsed requests into calls of the
 * store and the store's answers into replies; knows the meaning of every command, and neither sockets
 * nor how items lie in memory.
 *
 * Always in a turn of the connection's worker (store_enter was called). Order of work: the batch's
 * keys were hashed and prefetched by the connection; here the requests are carried out one by one.
 */
#ifndef LARDER_DISPATCH_H
#define LARDER_DISPATCH_H

#include "net/conn.h"

/* dispatch_batch: carries out the requests and returns how many. If it may it stops early, at a
 * retrieval when the client does not take what it is sent. */
unsigned dispatch_batch(struct conn *c, struct request_batch *batch, bool may_stop);

/* dispatch_filled: the value of a storage command has come in; ends the reservation. */
void dispatch_filled(struct conn *c, const struct request *rq, struct reservation *rv, bool bad_end);
/* dispatch_fill_failed: no memory for the rest of the value; the reservation was aborted. */
void dispatch_fill_failed(struct conn *c, const struct request *rq);

/* ---- between dispatch.c and dispatch_meta.c ---- */

void dispatch_meta(struct conn *c, const struct request *rq);
/* meta_reply_stored: the reply to ms; the result is one of those that are no failure. */
void meta_reply_stored(struct conn *c, const struct request *rq, enum store_result result, uint64_t cas);
/* dispatch_storage: set, add, ..., cas, ms. */
void dispatch_storage(struct conn *c, const struct request *rq);
/* dispatch_reference_name: what kind of entry this is, as me and metadump say it. */
const char *dispatch_reference_name(const struct reference_info *info);
/* dispatch_refusal: the reply to a result of the store that is a failure. */
enum reply dispatch_refusal(enum store_result result);
void dispatch_count_miss(struct conn *c, const struct item_view *view);
void dispatch_count_arithmetic(struct conn *c, bool decrement, enum store_result result);
/* dispatch_sample: every get, hit or miss; one in HOT_INTERVAL is looked at (hot.h). */
static inline void dispatch_sample(struct conn *c, const struct request *rq, bool hit)
{
	struct worker *w = c->worker;

	if (unlikely(--w->sample_left == 0))
		w->sample_left = hot_sample(&w->hot, rq->hash, rq->key, rq->key_length, hit);
}

static inline uint32_t dispatch_expiry(const struct conn *c, int64_t exptime)
{
	return clock_expiry(&c->worker->server->clock, c->worker->now, exptime);
}

#endif
