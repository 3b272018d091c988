/*
 * compose.h: replies, written straight into the worker's output buffer.
 *
 * The hot ones are inline. None checks for room: the caller makes sure that what the COMPOSE_*_MAX of a
 * reply says is free between next and end, and asserts hold it to that. Nothing is written beyond the
 * reply itself.
 *
 *   VALUE <key> <flags> <bytes> [<cas>]\r\n            compose_value_header
 *   HD|VA <size>|EN|NF|NS|EX [ <flag>]*\r\n            compose_meta
 *   ME <key> exp= la= cas= fetch= cls= size=\r\n       compose_meta_debug
 *   key= exp= la= cas= fetch= cls= size= flags=\n      compose_metadump
 *
 * The data block and its line end are the caller's.
 */
#ifndef LARDER_COMPOSE_H
#define LARDER_COMPOSE_H

#include <string.h>

#include "net/proto/base64.h"
#include "net/proto/request.h"
#include "net/proto/response.h"

/* A cursor in a buffer: replies go to next, and no further than end. */
struct output {
	char *next;
	char *end;
};

#define COMPOSE_U32_MAX 10
#define COMPOSE_U64_MAX 20
#define COMPOSE_REPLY_MAX 80 /* any of REPLY_TABLE */
#define COMPOSE_VALUE_HEADER_MAX(key_length)                                                       \
	(6 + (key_length) + 1 + COMPOSE_U32_MAX + 1 + COMPOSE_U32_MAX + 1 + COMPOSE_U64_MAX + 2)
/* Two keys as base64 with b behind, an opaque, and every other flag with the longest number it can have. */
#define COMPOSE_META_MAX                                                                           \
	(3 + COMPOSE_U32_MAX + 2 * (4 + BASE64_ENCODED_LENGTH(KEY_LENGTH_MAX)) + 34 +              \
	 2 * (2 + COMPOSE_U64_MAX + 1) + 4 * (2 + COMPOSE_U32_MAX) + 3 * 2 + 2)
#define COMPOSE_META_DEBUG_MAX (3 + BASE64_ENCODED_LENGTH(KEY_LENGTH_MAX) + 200)
#define COMPOSE_METADUMP_MAX (4 + 3 * KEY_LENGTH_MAX + 200)

static inline size_t output_room(const struct output *out)
{
	return (size_t)(out->end - out->next);
}

/* --- pieces: each returns the byte after what it wrote ----------------------------------------- */

extern const char compose_digit_pairs[201];
extern const uint64_t compose_powers_of_ten[20];

/* How many decimal digits v has. The product is a floor of the logarithm, exact or one too large. */
static inline unsigned compose_digits(uint64_t v)
{
	unsigned bits = 64 - (unsigned)__builtin_clzll(v | 1);
	unsigned floor = bits * 1233 >> 12;
	return floor + 1 - (v < compose_powers_of_ten[floor] && floor > 0);
}

static inline char *compose_u64(char *p, uint64_t v)
{
	if (v < 10) {
		*p = (char)('0' + v);
		return p + 1;
	}
	char *end = p + compose_digits(v);
	char *q = end;
	for (; v >= 100; v /= 100) {
		q -= 2;
		memcpy(q, &compose_digit_pairs[v % 100 * 2], 2);
	}
	if (v >= 10)
		memcpy(q - 2, &compose_digit_pairs[v * 2], 2);
	else
		q[-1] = (char)('0' + v);
	return end;
}

static inline char *compose_u32(char *p, uint32_t v)
{
	return compose_u64(p, v);
}

static inline char *compose_i64(char *p, int64_t v)
{
	if (v < 0)
		*p++ = '-';
	return compose_u64(p, v < 0 ? -(uint64_t)v : (uint64_t)v);
}

/* memcpy for what is mostly a key: short, its length known only now. A call costs more than this. */
static inline char *compose_bytes(char *p, const char *from, size_t length)
{
	if (length >= 16) {
		size_t at = 0;
		for (; at + 16 <= length; at += 16)
			memcpy(p + at, from + at, 16);
		memcpy(p + length - 16, from + length - 16, 16);
	} else if (length >= 8) {
		memcpy(p, from, 8);
		memcpy(p + length - 8, from + length - 8, 8);
	} else if (length >= 4) {
		memcpy(p, from, 4);
		memcpy(p + length - 4, from + length - 4, 4);
	} else {
		for (size_t at = 0; at < length; at++)
			p[at] = from[at];
	}
	return p + length;
}

static inline char *compose_line_end(char *p)
{
	memcpy(p, "\r\n", 2);
	return p + 2;
}

/* --- replies ---------------------------------------------------------------------------------- */

/* One of the fixed replies; needs COMPOSE_REPLY_MAX. REPLY_NONE writes nothing. */
static inline void compose_reply(struct output *out, enum reply reply)
{
	const struct reply_line *line = &reply_lines[reply];

	assert(output_room(out) >= line->length);
	out->next = compose_bytes(out->next, line->text, line->length);
}

/* The line of a number alone, as incr answers. */
static inline void compose_number(struct output *out, uint64_t v)
{
	assert(output_room(out) >= COMPOSE_U64_MAX + 2);
	out->next = compose_line_end(compose_u64(out->next, v));
}

static inline char *compose_value_start(struct output *out, const char *key, size_t key_length,
					uint32_t client_flags, uint32_t value_length)
{
	char *p = out->next;

	assert(output_room(out) >= COMPOSE_VALUE_HEADER_MAX(key_length));
	memcpy(p, "VALUE ", 6);
	p = compose_bytes(p + 6, key, key_length);
	*p = ' ';
	p = compose_u32(p + 1, client_flags);
	*p = ' ';
	return compose_u32(p + 1, value_length);
}

/* The line before a value, for get and gat; needs COMPOSE_VALUE_HEADER_MAX(key_length). */
static inline void compose_value_header(struct output *out, const char *key, size_t key_length,
					uint32_t client_flags, uint32_t value_length)
{
	char *p = compose_value_start(out, key, key_length, client_flags, value_length);
	out->next = compose_line_end(p);
}

/* The same for gets and gats. */
static inline void compose_value_header_cas(struct output *out, const char *key, size_t key_length,
					    uint32_t client_flags, uint32_t value_length, uint64_t cas)
{
	char *p = compose_value_start(out, key, key_length, client_flags, value_length);
	*p = ' ';
	out->next = compose_line_end(compose_u64(p + 1, cas));
}

/* --- meta replies ----------------------------------------------------------------------------- */

enum meta_status {
	META_STATUS_HD, /* done; with v the caller asks for META_STATUS_VA */
	META_STATUS_VA, /* done, a value of value_length bytes follows */
	META_STATUS_EN, /* miss */
	META_STATUS_NF, /* not found */
	META_STATUS_NS, /* not stored */
	META_STATUS_EX, /* exists: another CAS */
};

/* What the return flags of one reply can tell. Only what the request asked for is read. */
struct meta_values {
	const char *key; /* decoded */
	uint8_t key_length;
	bool key_is_binary; /* goes out as base64, with the flag b behind it */
	bool hit_before;    /* h */
	bool created;       /* by N, in this request */
	bool won;           /* W: the client is to fill the item */
	bool stale;         /* X */
	bool already_won;   /* Z: another client is to fill the item */
	uint8_t target_length; /* w: 0 for what is no weak reference; goes out like the key if it is no text */
	const char *target;
	uint32_t client_flags;        /* f */
	uint32_t value_length;        /* s, and the size after VA */
	uint32_t last_access_seconds; /* l */
	uint64_t cas;                 /* c */
	int64_t ttl_before; /* t asked for before T, and before N if created: seconds, -1 for ever */
	int64_t ttl;        /* t after T */
	int64_t ttl_made;   /* if created: t after N */
};

/* Which flags a reply may carry. memcached leaves the others out without a word. */
#define META_RETURNS_MISS (META_BIT('O') | META_BIT('k'))
#define META_RETURNS_DELETE META_RETURNS_MISS
#define META_RETURNS_SET (META_RETURNS_MISS | META_BIT('c') | META_BIT('s'))
#define META_RETURNS_ARITHMETIC (META_RETURNS_MISS | META_BIT('c') | META_BIT('t'))
#define META_RETURNS_GET                                                                           \
	(META_RETURNS_SET | META_BIT('f') | META_BIT('h') | META_BIT('l') | META_BIT('t') |        \
	 META_BIT('w'))

/* The reply line of a meta command; needs COMPOSE_META_MAX. `returns` is one of META_RETURNS_*. W, X and Z
 * are written if values says so. For a miss, values needs the key alone. */
void compose_meta(struct output *out, enum meta_status status, uint64_t returns,
		  const struct meta_args *meta, const struct meta_values *values);

/* --- descriptions of an item ------------------------------------------------------------------ */

struct item_facts {
	const char *key;
	uint8_t key_length;
	bool key_is_binary; /* me alone looks at it */
	bool fetched;
	unsigned class_id;
	uint32_t client_flags;
	int64_t exptime;     /* me: seconds left; metadump: Unix time; -1 for ever */
	int64_t last_access; /* me: seconds ago; metadump: Unix time */
	uint64_t cas;
	uint64_t size_bytes;
	const char *reference; /* what kind of entry it is among others, NULL: neither refers nor is referred to */
	unsigned dependencies; /* me alone looks at these */
	unsigned holds;
	unsigned held_by;
};

/* The reply of me; needs COMPOSE_META_DEBUG_MAX. */
void compose_meta_debug(struct output *out, const struct item_facts *facts);

/* A line of lru_crawler metadump; needs COMPOSE_METADUMP_MAX. */
void compose_metadump(struct output *out, const struct item_facts *facts);

/* A key with all but unreserved characters (RFC 3986) as %XX; up to three bytes for one. */
char *compose_percent_encoded(char *p, const char *key, size_t key_length);

#endif
