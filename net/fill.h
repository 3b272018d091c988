/*
 * fill.h: a value that did not come in whole with its command. Its memory is reserved in the store,
 * and what the socket brings goes there, so that no connection ever buffers a value.
 *
 *     request with a part of its value -> fill_begin
 *       input that was already received -> fill_take
 *       later input                     -> fill_receive: straight into the item
 *     value and line end are there      -> commit, reply
 *
 * A connection that ends before that aborts the reservation.
 */
#ifndef LARDER_FILL_H
#define LARDER_FILL_H

#include <sys/types.h>

#include "net/proto/request.h"
#include "store/store.h"

struct conn;

/* fill_begin: the request's key, arguments and reservation outlive the turn. False when there is no
 * memory for that; the reservation is then aborted. */
bool fill_begin(struct conn *c, const struct request *rq, const struct reservation *rv);

/* fill_take: input that lies in the scratch buffer; returns how much of it belonged to the value.
 * Ends with the reply when the value is complete: c->fill is NULL then. */
size_t fill_take(struct conn *c, const char *data, size_t length);

/* fill_receive: reads from the socket into the item, and what follows the value into `rest`. Returns
 * what read said: > 0 with *rest_length bytes in rest, 0 at the end of input, -1 with errno. */
ssize_t fill_receive(struct conn *c, char *rest, size_t rest_bytes, size_t *rest_length);

void fill_abort(struct conn *c);

#endif
