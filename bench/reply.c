/* reply.c: see reply.h. */
#include "bench/reply.h"

#include <stdbool.h>
#include <string.h>

#include "store/base/base.h"

static enum reply_kind reply_need(struct reply *rp, size_t bytes)
{
	rp->reply_bytes = bytes;
	return REPLY_MORE;
}

/* Digits at *at, which moves behind them. */
static inline bool reply_digits(const char **at, uint64_t *number)
{
	const char *p = *at;
	uint64_t sum = 0;

	for (; *p >= '0' && *p <= '9'; p++) {
		sum = sum * 10 + (uint64_t)(*p - '0');
		if (sum > REPLY_VALUE_BYTES_MAX)
			return false;
	}
	if (p == *at)
		return false;
	*at = p;
	*number = sum;
	return true;
}

/* The block behind a line that ended at line_bytes. */
static inline enum reply_kind reply_block(const char *bytes, size_t length, size_t line_bytes,
					  uint64_t value_bytes, struct reply *rp,
					  enum reply_kind kind)
{
	size_t whole = line_bytes + value_bytes + 2;

	if (length < whole)
		return reply_need(rp, whole);
	if (bytes[whole - 2] != '\r' || bytes[whole - 1] != '\n')
		return REPLY_INVALID;
	rp->value = bytes + line_bytes;
	rp->value_bytes = value_bytes;
	rp->reply_bytes = whole;
	return kind;
}

/* VALUE key flags bytes [cas]\r\n: the line ends in \r\n, so digits stop before its end. */
static inline enum reply_kind reply_parse_value(const char *bytes, size_t length,
						size_t line_bytes, struct reply *rp)
{
	const char *line_end = bytes + line_bytes - 2;
	const char *p = bytes + 6;
	const char *key_end = memchr(p, ' ', (size_t)(line_end - p));
	uint64_t flags, value_bytes;

	if (!key_end)
		return REPLY_INVALID;
	rp->key = p;
	rp->key_bytes = (size_t)(key_end - p);
	p = key_end + 1;
	if (!reply_digits(&p, &flags) && (*p < '0' || *p > '9'))
		return REPLY_INVALID;
	while (*p >= '0' && *p <= '9') /* client flags may be any 32-bit number */
		p++;
	if (*p++ != ' ' || !reply_digits(&p, &value_bytes))
		return REPLY_INVALID;
	if (*p != ' ' && *p != '\r')
		return REPLY_INVALID;
	return reply_block(bytes, length, line_bytes, value_bytes, rp, REPLY_VALUE);
}

static enum reply_kind reply_parse_meta_value(const char *bytes, size_t length, size_t line_bytes,
					      struct reply *rp)
{
	const char *p = bytes + 3;
	uint64_t value_bytes;

	if (!reply_digits(&p, &value_bytes) || (*p != ' ' && *p != '\r'))
		return REPLY_INVALID;
	return reply_block(bytes, length, line_bytes, value_bytes, rp, REPLY_META_VALUE);
}

static enum reply_kind reply_parse_stat(const char *line, size_t text_bytes, struct reply *rp)
{
	const char *end = line + text_bytes;
	const char *space;

	rp->key = line + 5;
	space = memchr(rp->key, ' ', (size_t)(end - rp->key));
	rp->key_bytes = (size_t)((space ? space : end) - rp->key);
	rp->value = space ? space + 1 : end;
	rp->value_bytes = (size_t)(end - rp->value);
	return REPLY_STAT;
}

/* Lines of one word, or a two-letter meta code with flags behind it. */
static enum reply_kind reply_parse_word(const char *line, size_t text_bytes, struct reply *rp)
{
	static const struct {
		const char *word;
		size_t word_bytes;
		enum reply_kind kind;
		bool flags_may_follow;
	} words[] = {
		{"STORED", 6, REPLY_STORED, false},
		{"HD", 2, REPLY_META_DONE, true},
		{"EN", 2, REPLY_META_MISS, true},
		{"NOT_STORED", 10, REPLY_NOT_STORED, false},
		{"NOT_FOUND", 9, REPLY_NOT_FOUND, false},
		{"DELETED", 7, REPLY_DELETED, false},
		{"EXISTS", 6, REPLY_EXISTS, false},
		{"TOUCHED", 7, REPLY_TOUCHED, false},
		{"OK", 2, REPLY_OK, false},
		{"MN", 2, REPLY_META_NOOP, true},
		{"NF", 2, REPLY_META_NOT_FOUND, true},
		{"NS", 2, REPLY_META_NOT_STORED, true},
		{"EX", 2, REPLY_META_EXISTS, true},
		{"ERROR", 5, REPLY_ERROR, true},
		{"CLIENT_ERROR", 12, REPLY_ERROR, true},
		{"SERVER_ERROR", 12, REPLY_ERROR, true},
		{"SERVER_ERROR:", 13, REPLY_ERROR, true},
	};

	rp->value = line;
	rp->value_bytes = text_bytes;
	for (size_t i = 0; i < ARRAY_LENGTH(words); i++) {
		size_t n = words[i].word_bytes;

		if (text_bytes < n || memcmp(line, words[i].word, n) != 0)
			continue;
		if (text_bytes == n || (words[i].flags_may_follow && line[n] == ' '))
			return words[i].kind;
	}
	return REPLY_OTHER;
}

enum reply_kind reply_parse(const char *bytes, size_t length, struct reply *rp)
{
	const char *newline;
	size_t line_bytes, text_bytes;

	if (length >= 5 && memcmp(bytes, "END\r\n", 5) == 0) {
		rp->reply_bytes = 5;
		return REPLY_END;
	}
	if (length == 0) /* and bytes may be NULL */
		return reply_need(rp, 1);
	newline = memchr(bytes, '\n', MIN(length, REPLY_LINE_BYTES_MAX));
	if (!newline)
		return length < REPLY_LINE_BYTES_MAX ? reply_need(rp, length + 1) : REPLY_INVALID;
	line_bytes = (size_t)(newline - bytes) + 1;
	text_bytes = line_bytes - 1;
	if (text_bytes > 0 && bytes[text_bytes - 1] == '\r')
		text_bytes--;
	rp->reply_bytes = line_bytes;
	if (text_bytes + 2 == line_bytes) {
		if (text_bytes > 6 && memcmp(bytes, "VALUE ", 6) == 0)
			return reply_parse_value(bytes, length, line_bytes, rp);
		if (text_bytes > 3 && memcmp(bytes, "VA ", 3) == 0)
			return reply_parse_meta_value(bytes, length, line_bytes, rp);
	}
	if (text_bytes > 5 && memcmp(bytes, "STAT ", 5) == 0)
		return reply_parse_stat(bytes, text_bytes, rp);
	return reply_parse_word(bytes, text_bytes, rp);
}
