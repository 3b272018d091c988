/*
 * response.h: the fixed replies, by name. Texts are those of memcached, which clients match.
 */
#ifndef LARDER_RESPONSE_H
#define LARDER_RESPONSE_H

#include "store/base/base.h"

/* X(name, text without the line end) */
#define REPLY_TABLE(X)                                                                             \
	X(NONE, "")                                                                                \
	X(OK, "OK")                                                                                \
	X(STORED, "STORED")                                                                        \
	X(NOT_STORED, "NOT_STORED")                                                                \
	X(EXISTS, "EXISTS")                                                                        \
	X(NOT_FOUND, "NOT_FOUND")                                                                  \
	X(DELETED, "DELETED")                                                                      \
	X(TOUCHED, "TOUCHED")                                                                      \
	X(END, "END")                                                                              \
	X(ERROR, "ERROR")                                                                          \
	X(BAD_FORMAT, "CLIENT_ERROR bad command line format")                                      \
	X(DELETE_USAGE, "CLIENT_ERROR bad command line format.  Usage: delete <key> [noreply]")    \
	X(LINE_TOO_LONG, "CLIENT_ERROR line too long")                                             \
	X(TOO_LARGE, "SERVER_ERROR object too large for cache")                                    \
	X(NO_MEMORY, "SERVER_ERROR out of memory storing object")                                  \
	X(BAD_DATA_CHUNK, "CLIENT_ERROR bad data chunk")                                           \
	X(BAD_DELTA, "CLIENT_ERROR invalid numeric delta argument")                                \
	X(NON_NUMERIC, "CLIENT_ERROR cannot increment or decrement non-numeric value")             \
	X(BAD_EXPTIME, "CLIENT_ERROR invalid exptime argument")                                    \
	X(META_INVALID_FLAG, "CLIENT_ERROR invalid flag")                                          \
	X(META_DUPLICATE_FLAG, "CLIENT_ERROR duplicate flag")                                      \
	X(META_TOO_LONG, "CLIENT_ERROR options flags are too long")                                \
	X(META_BAD_KEY, "CLIENT_ERROR error decoding key")                                         \
	X(META_BAD_TOKEN, "CLIENT_ERROR bad token in command line format")                         \
	X(META_BAD_DELTA, "CLIENT_ERROR invalid numeric delta value")                              \
	X(META_BAD_INITIAL, "CLIENT_ERROR invalid numeric initial value")                          \
	X(META_OPAQUE_TOO_LONG, "CLIENT_ERROR opaque token too long")                              \
	X(META_BAD_MODE_SET, "CLIENT_ERROR invalid mode for ms M token")                           \
	X(META_BAD_MODE_ARITHMETIC, "CLIENT_ERROR invalid mode for ma M token")                    \
	X(META_TOO_MANY_REFERENCES, "CLIENT_ERROR too many references")                            \
	X(META_BAD_TARGET, "CLIENT_ERROR the target of a reference is no key")                     \
	X(HELD_LIMIT, "SERVER_ERROR held memory limit")                                            \
	X(UNAUTHENTICATED, "CLIENT_ERROR unauthenticated")                                         \
	X(AUTH_FAILURE, "CLIENT_ERROR authentication failure")                                     \
	X(TOO_MANY_CONNECTIONS, "ERROR Too many open connections")                                 \
	X(SHUTDOWN_DISABLED, "SERVER_ERROR: shutdown not enabled")                                 \
	X(META_MISS, "EN")                                                                         \
	X(META_NOOP, "MN")

enum reply {
#define X(name, text) REPLY_##name,
	REPLY_TABLE(X)
#undef X
	REPLY_COUNT
};

/* reply_lines: each reply with its \r\n. */
struct reply_line {
	const char *text;
	uint32_t length;
};
extern const struct reply_line reply_lines[REPLY_COUNT];

#endif
