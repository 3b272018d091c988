#include "net/observe.h"

static void observe_prefix(struct conn *c, const struct request *rq, enum prefix_event event)
{
	if (c->worker->observing & OBSERVE_PREFIXES)
		prefix_record(c->worker->server->prefixes, rq->key, rq->key_length, event);
}

void observe_fetch(struct conn *c, const struct request *rq, const struct item_view *view)
{
	observe_prefix(c, rq, view != NULL ? PREFIX_HIT : PREFIX_MISS);
	if (watch_wants(c->worker->server->watch, WATCH_FETCHERS))
		watch_fetch(c, rq, view);
}

void observe_store(struct conn *c, const struct request *rq, enum store_result result)
{
	observe_prefix(c, rq, PREFIX_SET);
	if (watch_wants(c->worker->server->watch, WATCH_MUTATIONS))
		watch_store(c, rq, result);
}

void observe_delete(struct conn *c, const struct request *rq, enum store_result result)
{
	observe_prefix(c, rq, PREFIX_DELETE);
	if (result == STORE_OK && watch_wants(c->worker->server->watch, WATCH_DELETIONS))
		watch_delete(c, rq);
}

void observe_refused(struct conn *c, const struct request *rq)
{
	if (watch_wants(c->worker->server->watch, WATCH_DELETIONS))
		watch_delete(c, rq);
}
