/* dispatch_internal.h: between dispatch.c, dispatch_storage.c and dispatch_meta.c. */
#ifndef LARDER_DISPATCH_INTERNAL_H
#define LARDER_DISPATCH_INTERNAL_H

#include "net/dispatch.h"

#define COUNT(c, field) counter_add(&(c)->worker->counters.field, 1)

void dispatch_meta(struct conn *c, const struct request *rq);
/* meta_reply_stored: the reply to ms; the result is one of those that are no failure. */
void meta_reply_stored(struct conn *c, const struct request *rq, enum store_result result, uint64_t cas);
/* dispatch_storage: set, add, ..., cas, ms. */
void dispatch_storage(struct conn *c, const struct request *rq);
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
