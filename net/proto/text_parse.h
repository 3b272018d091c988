/*
 * text_parse.h: the memcached text protocol, from bytes to requests, one request a call.
 *
 * The parser keeps no bytes, only where it stands between two calls; what it did not consume the
 * caller presents again, with more behind it. So it makes no difference where input is cut.
 *
 *            +-------- line done --------+
 *            v                           |
 *          LINE --- get, gets, gat ---> KEYS --- a key is too long ---> SKIP_LINE
 *           ^ |                                                             |
 *           | +--- a bad storage command of known length ---> SWALLOW       |
 *           +------------------------ all eaten ----------------+-----------+
 *
 * A multiget whose line is in the buffer is checked as a whole before its first key comes out, so that
 * a bad line is answered by the error alone, as memcached does. One that is longer than
 * TEXT_LINE_MAX and has no end yet comes out key by key as it arrives; a key too long in its middle
 * then answers the error after the values before it, and the rest of the line is dropped.
 *
 * Buffers: buf[length] and the SCAN_PADDING_BYTES - 1 bytes after it must be readable; what they hold
 * does not matter. A base64 key is decoded where it stands, so buf must be writable.
 */
#ifndef LARDER_TEXT_PARSE_H
#define LARDER_TEXT_PARSE_H

#include "net/proto/request.h"
#include "net/proto/scan.h"

/* A line of more bytes than this with no \n among them closes the connection, unless it is a get or
 * gets. It is also the most that text_parse leaves unconsumed when it answers NEED_MORE. */
#define TEXT_LINE_MAX 2048

enum text_mode {
	TEXT_MODE_LINE,      /* at the beginning of a line */
	TEXT_MODE_KEYS,      /* in the keys of a retrieval command */
	TEXT_MODE_SKIP_LINE, /* up to and with the next \n nothing counts */
	TEXT_MODE_SWALLOW,   /* nor do the next swallow_bytes bytes */
};

/* Of one connection; all zero is its initial state. */
struct text_parser {
	uint8_t mode;
	uint8_t verb;      /* KEYS: GET, GETS, GAT or GATS */
	bool first_key;    /* KEYS: none came out yet */
	int64_t exptime;   /* KEYS: of gat and gats */
	uint64_t swallow_bytes;
};
_Static_assert(sizeof(struct text_parser) <= 32, "every idle connection carries one");

enum parse_result {
	PARSE_REQUEST,   /* *rq is filled, *consumed bytes belong to it */
	PARSE_NEED_MORE, /* nothing more is complete; *consumed bytes are done with all the same */
	PARSE_CLOSE,     /* close the connection without a reply */
};

void text_parser_init(struct text_parser *tp);

/* text_parser_swallow: throws the next `bytes` bytes of input away. The parser does so by itself after
 * the requests of VERB_ERROR that carry swallow_bytes; this is for data blocks that the caller refuses. */
void text_parser_swallow(struct text_parser *tp, uint64_t bytes);

/* text_parse: the next request in the length bytes at buf.
 *
 * Every field of *rq is set; those that its verb does not use are zero. *meta is the slot that a meta
 * command's flags go to. Slices point into buf.
 *
 * A storage command comes out as soon as its line is complete. If the data block with its line end is
 * in buf, value_complete is set and *consumed covers both; whether the block does end in \r\n is the
 * caller's to check. If not, *consumed is the line alone and value_available says how much of the block
 * follows it; the caller then takes value_length + 2 bytes off the input itself.
 *
 * VERB_ERROR: rq->reply is the answer (none if rq->noreply); rq->swallow_bytes are eaten by following calls.
 * A retrieval line whose last key was followed by more than a kilobyte of spaces before its line
 * end ends in VERB_ERROR with reply END. */
enum parse_result text_parse(struct text_parser *tp, char *buf, size_t length, struct request *rq,
			     struct meta_args *meta, size_t *consumed);

#endif
