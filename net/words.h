/*
 * words.h: the words of an admin command's line.
 */
#ifndef LARDER_WORDS_H
#define LARDER_WORDS_H

#include <string.h>

#include "net/proto/number.h"
#include "net/proto/request.h"

#define WORDS_MAX 8

struct words {
	unsigned count; /* those beyond WORDS_MAX are counted, not kept */
	struct slice word[WORDS_MAX];
};

/* words_split: without the word noreply at the end, if the request has that. */
static inline void words_split(struct words *ws, const struct request *rq)
{
	const char *p = rq->line.data, *end = p + rq->line.length;

	memset(ws, 0, sizeof(*ws));
	while (p < end) {
		const char *start = p;
		while (p < end && *p != ' ')
			p++;
		if (p > start && ws->count < WORDS_MAX)
			ws->word[ws->count] = (struct slice){start, (uint32_t)(p - start)};
		ws->count += p > start;
		while (p < end && *p == ' ')
			p++;
	}
	if (rq->noreply && ws->count > 0 && --ws->count < WORDS_MAX)
		ws->word[ws->count] = (struct slice){NULL, 0};
}

/* A word that is not there is no word. */
static inline bool word_is(const struct words *ws, unsigned i, const char *text)
{
	size_t length = strlen(text);

	return i < MIN(ws->count, (unsigned)WORDS_MAX) && ws->word[i].length == length &&
	       memcmp(ws->word[i].data, text, length) == 0;
}

static inline bool word_u32(const struct words *ws, unsigned i, uint32_t *value)
{
	return i < MIN(ws->count, (unsigned)WORDS_MAX) && number_parse_u32(ws->word[i], value);
}

/* The same without a sign, and as wide as it gets. */
static inline bool word_u64(const struct words *ws, unsigned i, uint64_t *value)
{
	return i < MIN(ws->count, (unsigned)WORDS_MAX) && number_parse_u64(ws->word[i], value);
}

#endif
