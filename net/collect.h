/*
 * collect.h: the collector of references (store.h) as the server runs it: a little in each upkeep of the main
 * thread, and as much as the gc command asks for. Steps are timed here, since the store reads no clock.
 */
#ifndef LARDER_COLLECT_H
#define LARDER_COLLECT_H

#include "net/server.h"
#include "net/words.h"

struct conn;

/* collect_some: steps for at most about so many microseconds; false: nothing is left to do. Any thread. */
bool collect_some(struct server *sv, struct store_thread *st, uint32_t max_us);
/* collect_dispatch: gc collect, enable, disable, threshold N. */
void collect_dispatch(struct conn *c, const struct words *ws, bool noreply);

#endif
