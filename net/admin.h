/*
 * admin.h: commands that are about the server and not about an item. Those of memcached that tune
 * what is decided here without being asked (slabs, lru, lru_crawler) are checked and answered as
 * memcached does, and change at most what `stats settings` tells.
 */
#ifndef LARDER_ADMIN_H
#define LARDER_ADMIN_H

#include "net/conn.h"

void admin_dispatch(struct conn *c, const struct request *rq);

#endif
