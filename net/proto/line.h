/*
 * line.h: a command line cut into tokens.
 *
 * A line ends at the first \n; one \r before it belongs to the line end. Tokens are what stands
 * between spaces, and nothing but spaces: a tab or a \r inside is part of a token.
 *
 *   "set k 0 0 3\r\nabc\r\n"  ->  tokens set, k, 0, 0, 3; size 13
 */
#ifndef LARDER_LINE_H
#define LARDER_LINE_H

#include "net/proto/request.h"

/* One more than a meta command may have, so that the one too many is seen. */
#define LINE_TOKENS_MAX 21

struct line {
	const char *start;
	uint32_t length; /* without the line end */
	uint32_t size;   /* with it */
	uint32_t count;  /* of all tokens, also of those beyond LINE_TOKENS_MAX */
	struct slice last; /* the last token, if there is one */
	struct slice tokens[LINE_TOKENS_MAX];
};

/* line_split: false if there is no \n in the length bytes at buf. Reads up to SCAN_PADDING_BYTES
 * beyond them. */
bool line_split(struct line *ln, const char *buf, size_t length);

static inline bool slice_equals(struct slice s, const char *text, uint32_t length)
{
	return s.length == length && __builtin_memcmp(s.data, text, length) == 0;
}

/* Whether the last of the line's tokens says noreply. */
static inline bool line_is_noreply(const struct line *ln)
{
	return slice_equals(ln->last, "noreply", 7);
}

#endif
