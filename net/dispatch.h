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

/* dispatch_reference_name: what kind of entry this is, as me and metadump say it. */
const char *dispatch_reference_name(const struct reference_info *info);

#endif
