/*
 * proto_driver.h: runs bytes through the text parser as a connection would, and writes down what
 * came out.
 *
 * Input may be fed in pieces of any size. Each request becomes one line of the trace, so that two runs are
 * compared as text:
 *
 *   get k first last            set k flags=1 exptime=0 value=abc
 *   error CLIENT_ERROR bad ...  close
 *
 * The bytes given to the parser always end SCAN_PADDING_BYTES before an unreadable page, and the
 * padding is filled with whatever the test likes: a parser that reads too far dies, one that believes
 * the padding shows in the trace. What the parser promises of each call is asserted.
 */
#ifndef LARDER_TESTS_PROTO_DRIVER_H
#define LARDER_TESTS_PROTO_DRIVER_H

#include "net/proto/text_parse.h"

#define DRIVER_BUFFER_BYTES (256 * 1024)

struct driver {
	struct text_parser tp;
	char *arena;       /* DRIVER_BUFFER_BYTES, then an unreadable page */
	const char *padding; /* SCAN_PADDING_BYTES of it */
	char *kept;        /* what the parser did not consume yet */
	size_t kept_bytes;
	char *trace;
	size_t trace_length;
	size_t trace_room;
	uint64_t fill_bytes; /* of a data block and its line end, still to come */
	bool closed;
	struct meta_args meta;
};

void driver_init(struct driver *d);
void driver_fini(struct driver *d);

/* Forgets all input and the trace. */
void driver_reset(struct driver *d);

/* driver_feed: more input; at most DRIVER_BUFFER_BYTES / 2 at once. */
void driver_feed(struct driver *d, const char *bytes, size_t length);

/* driver_trace: what came out so far; "" if nothing. */
const char *driver_trace(const struct driver *d);

/* driver_run: the trace of some input fed as a whole to a new connection. */
const char *driver_run(struct driver *d, const char *bytes, size_t length);

#endif
