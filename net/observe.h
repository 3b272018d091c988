/*
 * observe.h: what looks on while requests are dispatched: watchers (watch.h) and the counting of
 * prefixes (prefix.h). Nearly always nobody does: then it is one branch a request.
 */
#ifndef LARDER_OBSERVE_H
#define LARDER_OBSERVE_H

#include "net/conn.h"
#include "net/prefix.h"
#include "net/watch.h"

#define OBSERVE_WATCHERS 1u
#define OBSERVE_PREFIXES 2u

/* observe_wanted: once for each batch, into worker->observing. */
static inline uint32_t observe_wanted(const struct server *sv)
{
	return (watch_wants(sv->watch, WATCH_ALL) ? OBSERVE_WATCHERS : 0) |
	       (prefix_wanted(sv->prefixes) ? OBSERVE_PREFIXES : 0);
}

/* observe_fetch: a key was looked up; `view` NULL: a miss. Call it while the view is valid. */
void observe_fetch(struct conn *c, const struct request *rq, const struct item_view *view);
void observe_store(struct conn *c, const struct request *rq, enum store_result result);
void observe_delete(struct conn *c, const struct request *rq, enum store_result result);
/* observe_refused: a storage command was refused, and what it was to replace was deleted for that. */
void observe_refused(struct conn *c, const struct request *rq);

#endif
