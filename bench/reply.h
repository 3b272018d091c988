/*
 * reply.h: frames one reply of a memcached-protocol server, classic or meta.
 *
 * The parser keeps no state: it is handed the bytes received so far and either finds a whole reply
 * at their start or asks for more. It is the load tools' hot path, so lines are found with memchr
 * and told apart by their first bytes.
 */
#ifndef LARDER_BENCH_REPLY_H
#define LARDER_BENCH_REPLY_H

#include <stddef.h>
#include <stdint.h>

/* A line longer than this without its end is no reply. A VALUE line has a key of 250 bytes at
 * most, a meta line flags besides; STAT lines are well below. */
#define REPLY_LINE_BYTES_MAX 4096
#define REPLY_VALUE_BYTES_MAX (UINT64_C(2) << 30)

enum reply_kind {
	REPLY_MORE,    /* incomplete */
	REPLY_INVALID, /* not the protocol: the connection is of no further use */
	REPLY_VALUE,   /* VALUE key flags bytes [cas], and the block */
	REPLY_END,
	REPLY_STORED,
	REPLY_NOT_STORED,
	REPLY_EXISTS,
	REPLY_NOT_FOUND,
	REPLY_DELETED,
	REPLY_TOUCHED,
	REPLY_OK,
	REPLY_STAT,       /* STAT name value: key is the name, value the rest of the line */
	REPLY_META_VALUE, /* VA bytes flags*, and the block */
	REPLY_META_DONE,  /* HD */
	REPLY_META_MISS,  /* EN */
	REPLY_META_NOT_FOUND,
	REPLY_META_NOT_STORED,
	REPLY_META_EXISTS,
	REPLY_META_NOOP, /* MN */
	REPLY_ERROR,     /* ERROR, CLIENT_ERROR ..., SERVER_ERROR ...: value is the line */
	REPLY_OTHER,     /* any other line, numbers and VERSION among them: value is the line */
};

/* Slices point into the bytes that were parsed. */
struct reply {
	size_t reply_bytes; /* the whole reply; for REPLY_MORE what is needed at least */
	const char *key;
	size_t key_bytes;
	const char *value;
	size_t value_bytes;
};

/* key is set for VALUE and STAT, value where the kind says so. */
enum reply_kind reply_parse(const char *bytes, size_t length, struct reply *rp);

#endif
