/*
 * request.h: one parsed request, and the batch of requests that a worker handles in one turn.
 *
 * The parser (text_parse.h) turns bytes of the connection's input into requests; net/dispatch.c
 * turns requests into store calls and replies. Slices point into the worker's scratch buffer and
 * live until the turn ends. A multiget of n keys is n requests of one key each, so that a line of
 * a million keys needs no more memory than a line of one.
 *
 *   "get a b\r\n"   ->  {GET a, FIRST} {GET b, LAST}     LAST is answered with END after the value
 *   "set a 0 0 3\r\nabc\r\n"  ->  {SET a, value "abc", value_available 5}
 *   a line that is wrong      ->  {ERROR, reply, swallow_bytes}
 */
#ifndef LARDER_REQUEST_H
#define LARDER_REQUEST_H

#include "net/proto/response.h"
#include "store/base/base.h"

#define KEY_LENGTH_MAX 250

/* key_is_text: it can stand in a line as it is; others go as base64. Nothing else is asked of a key's bytes. */
static inline bool key_is_text(const char *key, size_t length)
{
	for (size_t i = 0; i < length; i++)
		if (key[i] == ' ' || key[i] == '\r' || key[i] == '\n')
			return false;
	return true;
}
#define META_FLAGS_MAX 20 /* tokens after the key that a meta command may carry */
#define BATCH_REQUESTS 64

enum verb {
	VERB_ERROR, /* nothing to do but send rq->reply and swallow rq->swallow_bytes */

	/* One key, no data block. */
	VERB_GET,
	VERB_GETS,
	VERB_GAT,
	VERB_GATS,
	VERB_TOUCH,
	VERB_INCR,
	VERB_DECR,
	VERB_DELETE,
	VERB_META_GET,
	VERB_META_DELETE,
	VERB_META_ARITHMETIC,
	VERB_META_DEBUG,

	/* One key and a data block. */
	VERB_SET,
	VERB_ADD,
	VERB_REPLACE,
	VERB_APPEND,
	VERB_PREPEND,
	VERB_CAS,
	VERB_META_SET,

	/* No key. */
	VERB_META_NOOP,
	VERB_VERSION,
	VERB_QUIT,
	VERB_FLUSH_ALL, /* rq->exptime: the delay; noreply */
	/* The rest of the line is in rq->line (after the verb, without the line end); its words are
	 * the business of net/admin.c. */
	VERB_STATS,
	VERB_VERBOSITY,
	VERB_SHUTDOWN,
	VERB_CACHE_MEMLIMIT,
	VERB_SLABS,
	VERB_LRU,
	VERB_LRU_CRAWLER,
	VERB_WATCH,
	VERB_GC,
	VERB_DEBUGTIME,
	VERB_COUNT
};

static inline bool verb_has_key(enum verb v)
{
	return v >= VERB_GET && v <= VERB_META_SET;
}

static inline bool verb_has_value(enum verb v)
{
	return v >= VERB_SET && v <= VERB_META_SET;
}

struct slice {
	const char *data;
	uint32_t length;
};

#define META_REFERENCES_MAX 16

/* A flag of ms that names another key: D, V or H. */
struct meta_reference {
	uint16_t offset; /* of the key, decoded, from meta_args.reference_keys */
	uint8_t length;
	char letter;
};

/* What a meta command carries beside the key. Valid fields are those whose letter is in `given`. */
struct meta_args {
	uint64_t given;                     /* bit per letter, see META_BIT */
	uint8_t return_count;               /* letters in return_order */
	char return_order[META_FLAGS_MAX];  /* c f h k l O s t w as asked for; T and N among them */
	char mode;                          /* M: folded to the canonical letter: S E A P R, I D */
	struct slice opaque;                /* O, as sent */
	struct slice raw_key;               /* the key token as sent; empty if b: it was decoded in place */
	int64_t ttl;                        /* T, as sent by the client */
	int64_t autoviv_ttl;                /* N */
	int64_t recache_ttl;                /* R */
	uint64_t compare_cas;               /* C */
	uint64_t explicit_cas;              /* E */
	uint64_t delta;                     /* D, 1 by default */
	uint64_t initial;                   /* J, 0 by default */
	uint32_t client_flags;              /* F */
	uint8_t reference_count;            /* of ms; 0 for all others */
	struct meta_reference references[META_REFERENCES_MAX];
	const char *reference_keys;
};

#define META_BIT(letter) (1ULL << ((letter) - 'A')) /* 'A'..'z' fit in 58 bits */
#define META_HAS(meta, letter) (((meta)->given & META_BIT(letter)) != 0)

struct request {
	uint8_t verb;
	uint8_t key_length;
	bool noreply;        /* classic noreply, parsed */
	bool first_key;      /* of a retrieval command: counts the command */
	bool last_key;       /* of a retrieval command: END follows */
	bool value_complete; /* the whole block, line end included, is at `value` */
	uint8_t reply;       /* enum reply, of VERB_ERROR */
	uint8_t command;     /* of VERB_ERROR: the verb that was meant, VERB_ERROR if there is none */
	const char *key;     /* decoded; a base64 key is decoded in place, into the scratch buffer */
	uint64_t hash;       /* of the key; set by the batch, not by the parser */
	int64_t exptime;     /* as sent; flush_all: the delay, -1 for none given */
	uint64_t cas;        /* cas */
	uint64_t delta;      /* incr, decr */
	uint32_t client_flags;
	uint32_t value_length;    /* of the data block, without its line end */
	uint32_t value_available; /* bytes of block and line end that are at `value` now */
	const char *value;
	uint64_t swallow_bytes; /* VERB_ERROR: bytes after the line that are to be thrown away */
	struct slice line;      /* commands without a key: the rest of the line */
	struct meta_args *meta; /* meta commands: the batch's slot of the same number */
};

struct request_batch {
	unsigned count;
	struct request requests[BATCH_REQUESTS];
	struct meta_args meta[BATCH_REQUESTS];
};

#endif
