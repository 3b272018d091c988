#include "net/proto/text_parse.h"

#include "net/proto/line.h"
#include "net/proto/meta_parse.h"
#include "net/proto/number.h"

/* A key may be kept for the next call with this many spaces after it, while it is open whether it is
 * the line's last; with more it comes out as not the last. */
#define SPACES_KEPT_MAX 1024
_Static_assert(KEY_LENGTH_MAX + SPACES_KEPT_MAX + 2 <= TEXT_LINE_MAX, "the caller counts on it");

void text_parser_init(struct text_parser *tp)
{
	*tp = (struct text_parser){.mode = TEXT_MODE_LINE};
}

void text_parser_swallow(struct text_parser *tp, uint64_t bytes)
{
	assert(tp->mode == TEXT_MODE_LINE || tp->mode == TEXT_MODE_SWALLOW);
	tp->swallow_bytes += bytes;
	if (tp->swallow_bytes > 0)
		tp->mode = TEXT_MODE_SWALLOW;
}

/* All fields zero. gcc makes a "rep stos" of the plain assignment, which costs more than parsing does:
 * a get took 14 ns with it and takes 8 with these stores. */
static inline void request_clear(struct request *rq)
{
#ifdef __SSE2__
	char *p = (char *)rq;
	size_t at;

	_Static_assert(sizeof(*rq) % 8 == 0 && sizeof(*rq) <= 128, "unroll by more");
#pragma GCC unroll 8
	for (at = 0; at + 16 <= sizeof(*rq); at += 16)
		_mm_storeu_si128((__m128i *)(void *)(p + at), _mm_setzero_si128());
	if (at < sizeof(*rq))
		_mm_storel_epi64((__m128i *)(void *)(p + at), _mm_setzero_si128());
#else
	*rq = (struct request){.verb = VERB_ERROR};
#endif
}

/* --- errors ----------------------------------------------------------------------------------- */

/* Makes an error of rq, whatever it holds; of that only noreply stays. */
static void request_fail(struct request *rq, enum reply reply)
{
	bool noreply = rq->noreply;
	uint8_t command = rq->verb;

	request_clear(rq);
	rq->verb = VERB_ERROR;
	rq->command = command;
	rq->reply = (uint8_t)reply;
	rq->noreply = noreply;
}

/* The same for an rq that holds nothing yet. */
static enum parse_result request_error(struct request *rq, enum reply reply)
{
	request_clear(rq);
	rq->verb = VERB_ERROR;
	rq->reply = (uint8_t)reply;
	return PARSE_REQUEST;
}

/* A storage command that is wrong, and whose data block must not be taken for commands. */
static void request_fail_block(struct text_parser *tp, struct request *rq, enum reply reply,
			       uint32_t block_length)
{
	request_fail(rq, reply);
	rq->swallow_bytes = (uint64_t)block_length + 2;
	text_parser_swallow(tp, rq->swallow_bytes);
}

/* --- what parses the tokens of a line; named by command.def ------------------------------------ */

struct parse_context {
	struct text_parser *tp;
	struct request *rq; /* its verb is set, all else zero */
	struct meta_args *meta;
	struct line line;
};

/* Takes the key from a token; false, with the error set, if it is too long. */
static bool take_key(struct request *rq, struct slice token)
{
	if (token.length > KEY_LENGTH_MAX)
		return false;
	rq->key = token.data;
	rq->key_length = (uint8_t)token.length;
	return true;
}

/* get without a space behind it can have no key; with one it never comes here. */
static void parse_no_keys(struct parse_context *c)
{
	request_fail(c->rq, REPLY_BAD_FORMAT);
}

static void parse_storage(struct parse_context *c)
{
	struct request *rq = c->rq;
	const struct slice *tokens = c->line.tokens;

	if (!number_parse_block_length(tokens[4], &rq->value_length)) {
		request_fail(rq, REPLY_BAD_FORMAT);
		return;
	}
	rq->noreply = line_is_noreply(&c->line);
	if (!take_key(rq, tokens[1]) || !number_parse_u32(tokens[2], &rq->client_flags) ||
	    !number_parse_exptime(tokens[3], &rq->exptime) ||
	    (rq->verb == VERB_CAS &&
	     (c->line.count < 6 || !number_parse_u64(tokens[5], &rq->cas))))
		request_fail_block(c->tp, rq, REPLY_BAD_FORMAT, rq->value_length);
}

static void parse_arithmetic(struct parse_context *c)
{
	c->rq->noreply = line_is_noreply(&c->line);
	if (!take_key(c->rq, c->line.tokens[1]))
		request_fail(c->rq, REPLY_BAD_FORMAT);
	else if (!number_parse_u64(c->line.tokens[2], &c->rq->delta))
		request_fail(c->rq, REPLY_BAD_DELTA);
}

static void parse_touch(struct parse_context *c)
{
	c->rq->noreply = line_is_noreply(&c->line);
	if (!take_key(c->rq, c->line.tokens[1]))
		request_fail(c->rq, REPLY_BAD_FORMAT);
	else if (!number_parse_exptime(c->line.tokens[2], &c->rq->exptime))
		request_fail(c->rq, REPLY_BAD_EXPTIME);
}

/* Old clients send a delay after the key; only 0 was ever allowed to stay. "delete noreply" deletes the
 * key of that name and says so. */
static void parse_delete(struct parse_context *c)
{
	const struct line *ln = &c->line;
	bool noreply = ln->count > 2 && line_is_noreply(ln);
	unsigned extra = ln->count - 2u - noreply;
	bool is_zero = extra == 1 && ln->tokens[2].length == 1 && ln->tokens[2].data[0] == '0';

	c->rq->noreply = noreply;
	if (!take_key(c->rq, ln->tokens[1]))
		request_fail(c->rq, REPLY_BAD_FORMAT);
	else if (extra > 0 && !is_zero)
		request_fail(c->rq, REPLY_DELETE_USAGE);
}

/* What follows the command's name goes to whoever serves it, uncut. */
static void parse_admin(struct parse_context *c)
{
	const struct line *ln = &c->line;
	struct slice *rest = &c->rq->line;

	c->rq->noreply = line_is_noreply(ln);
	if (ln->count < 2)
		return;
	rest->data = ln->tokens[1].data;
	rest->length = (uint32_t)(ln->last.data + ln->last.length - rest->data);
}

static void parse_flush_all(struct parse_context *c)
{
	parse_admin(c);
	c->rq->exptime = -1;
	if (c->line.count - c->rq->noreply < 2)
		return;
	if (!number_parse_exptime(c->line.tokens[1], &c->rq->exptime))
		request_fail(c->rq, REPLY_BAD_EXPTIME);
	else
		c->rq->exptime = MAX(c->rq->exptime, 0);
}

static void parse_meta(struct parse_context *c)
{
	struct request *rq = c->rq;
	bool has_value = rq->verb == VERB_META_SET;
	enum reply error;

	if (has_value && !number_parse_block_length(c->line.tokens[2], &rq->value_length)) {
		request_fail(rq, REPLY_BAD_FORMAT);
		return;
	}
	error = meta_parse(&c->line, has_value ? 3 : 2, rq, c->meta);
	if (error == REPLY_NONE)
		return;
	if (has_value)
		request_fail_block(c->tp, rq, error, rq->value_length);
	else
		request_fail(rq, error);
}

/* --- lines ------------------------------------------------------------------------------------ */

struct command {
	uint8_t verb;
	uint8_t tokens_min;
	void (*parse)(struct parse_context *);
};

static const struct command commands[] = {
#define COMMAND(name, verb_, tokens_min_, parser_)                                                 \
	[VERB_##verb_] = {VERB_##verb_, tokens_min_, parse_##parser_},
#include "net/proto/command.def"
#undef COMMAND
};

/* With a length known when compiled, what is left of this is one integer compare for each command of
 * that length. */
static inline __attribute__((always_inline)) const struct command *
command_find_among(const char *name, size_t length)
{
#define COMMAND(name_, verb_, tokens_min_, parser_)                                                \
	if (length == sizeof(name_) - 1 && __builtin_memcmp(name, name_, sizeof(name_) - 1) == 0)  \
		return &commands[VERB_##verb_];
#include "net/proto/command.def"
#undef COMMAND
	return NULL;
}

static const struct command *command_find(struct slice name)
{
	switch (name.length) {
#define OF_LENGTH(n)                                                                               \
	case n:                                                                                    \
		return command_find_among(name.data, n)
		OF_LENGTH(2);
		OF_LENGTH(3);
		OF_LENGTH(4);
		OF_LENGTH(5);
		OF_LENGTH(6);
		OF_LENGTH(7);
		OF_LENGTH(8);
		OF_LENGTH(9);
		OF_LENGTH(11);
		OF_LENGTH(14);
#undef OF_LENGTH
	default:
		return NULL;
	}
}

/* A web browser, or a program made to use one, is not to be answered. */
static bool line_is_http(const struct line *ln)
{
	return ln->count > 1 && ln->last.length >= 5 && __builtin_memcmp(ln->last.data, "HTTP/", 5) == 0;
}

/* Sets value, value_available and value_complete from what follows the line; returns the bytes of a
 * complete block. */
static size_t take_block(struct request *rq, const char *block, size_t available)
{
	size_t whole = (size_t)rq->value_length + 2;

	rq->value = block;
	rq->value_complete = available >= whole;
	rq->value_available = (uint32_t)MIN(available, whole);
	return rq->value_complete ? whole : 0;
}

/* The least line, as memcached counts: two letters, \r and \n. */
#define LINE_BYTES_MIN 4

static enum parse_result parse_line(struct text_parser *tp, char *buf, size_t length,
				    struct request *rq, struct meta_args *meta, size_t *consumed)
{
	struct parse_context c;
	const struct command *cmd = NULL;

	if (!line_split(&c.line, buf, length))
		return length > TEXT_LINE_MAX ? PARSE_CLOSE : PARSE_NEED_MORE;
	*consumed += c.line.size;
	if (c.line.size < LINE_BYTES_MIN)
		return request_error(rq, REPLY_BAD_FORMAT);
	/* A line that begins with a space has no command. */
	if (c.line.count > 0 && c.line.tokens[0].data == buf)
		cmd = command_find(c.line.tokens[0]);
	if (cmd == NULL)
		return line_is_http(&c.line) ? PARSE_CLOSE : request_error(rq, REPLY_ERROR);
	if (c.line.count < cmd->tokens_min)
		return request_error(rq, REPLY_BAD_FORMAT);
	request_clear(rq);
	rq->verb = cmd->verb;
	c.tp = tp;
	c.rq = rq;
	c.meta = meta;
	cmd->parse(&c);
	if (verb_has_value(rq->verb))
		*consumed += take_block(rq, buf + c.line.size, length - c.line.size);
	return PARSE_REQUEST;
}

/* --- retrieval: one key a call ----------------------------------------------------------------- */

static inline void request_fill_key(const struct text_parser *tp, struct request *rq, const char *key,
				    size_t key_length, bool last)
{
	request_clear(rq);
	rq->verb = tp->verb;
	rq->key_length = (uint8_t)key_length;
	rq->first_key = tp->first_key;
	rq->last_key = last;
	rq->key = key;
	rq->exptime = tp->exptime;
}

/* The line ends at `end` and none of its keys was too long: those before it came out. */
static enum parse_result finish_keys(struct text_parser *tp, struct request *rq)
{
	tp->mode = TEXT_MODE_LINE;
	return request_error(rq, tp->first_key ? REPLY_BAD_FORMAT : REPLY_END);
}

static enum parse_result fail_keys(struct text_parser *tp, struct request *rq)
{
	tp->mode = TEXT_MODE_SKIP_LINE;
	return request_error(rq, REPLY_BAD_FORMAT);
}

/* What follows a key, or stands where one could. */
enum key_sequel {
	SEQUEL_KEY,
	SEQUEL_LINE_END,
	SEQUEL_UNKNOWN, /* not in the buffer yet */
};

/* *at moves past spaces, and past the line end if there is one. */
static inline enum key_sequel scan_sequel(char **at, char *end)
{
	char *p = *at = scan_past_spaces(*at, end);

	if (p == end)
		return SEQUEL_UNKNOWN;
	if (*p == '\r') {
		if (p + 1 == end)
			return SEQUEL_UNKNOWN;
		p++;
	}
	if (*p != '\n')
		return SEQUEL_KEY;
	*at = p + 1;
	return SEQUEL_LINE_END;
}

static enum parse_result parse_key(struct text_parser *tp, char *buf, size_t length,
				   struct request *rq, size_t *consumed)
{
	char *end = buf + length, *key = buf, *key_end, *after;
	bool last;

	switch (scan_sequel(&key, end)) {
	case SEQUEL_LINE_END:
		*consumed += (size_t)(key - buf);
		return finish_keys(tp, rq);
	case SEQUEL_UNKNOWN:
		*consumed += (size_t)(key - buf);
		return PARSE_NEED_MORE;
	case SEQUEL_KEY:
		break;
	}

	key_end = after = scan_space_or_newline(key, end);
	/* With the \n still to come, one \r at the end may prove to be none of the key's. */
	if ((after == end || *after == '\n') && key_end[-1] == '\r')
		key_end--;
	if (key_end - key > KEY_LENGTH_MAX) {
		*consumed += (size_t)(after - buf);
		return fail_keys(tp, rq);
	}
	if (after == end) {
		*consumed += (size_t)(key - buf);
		return PARSE_NEED_MORE;
	}

	enum key_sequel sequel = scan_sequel(&after, end);
	if (sequel == SEQUEL_UNKNOWN && after - key_end <= SPACES_KEPT_MAX) {
		*consumed += (size_t)(key - buf);
		return PARSE_NEED_MORE;
	}
	last = sequel == SEQUEL_LINE_END;
	request_fill_key(tp, rq, key, (size_t)(key_end - key), last);
	tp->first_key = false;
	tp->mode = last ? TEXT_MODE_LINE : TEXT_MODE_KEYS;
	*consumed += (size_t)(after - buf);
	return PARSE_REQUEST;
}

/* Whether all the tokens in [p, end) can be keys. p is at a token's beginning or at a space. From there
 * on a space must come within a key's length; the last such space is as good a place to go on from. */
static bool keys_fit(const char *p, const char *end)
{
	while (end - p > KEY_LENGTH_MAX) {
		const char *space = memrchr(p, ' ', KEY_LENGTH_MAX + 1);
		if (space == NULL)
			return false;
		p = space + 1;
	}
	return true;
}

/* Takes the expiry time of gat and gats off the line; keys follow it at *at. */
static enum reply take_gat_exptime(struct text_parser *tp, char **at, char *line_end)
{
	struct slice token;
	char *p = scan_past_spaces(*at, line_end);

	token.data = p;
	p = scan_space_or_newline(p, line_end);
	token.length = (uint32_t)(p - token.data);
	*at = p = scan_past_spaces(p, line_end);
	if (p == line_end)
		return REPLY_BAD_FORMAT;
	return number_parse_exptime(token, &tp->exptime) ? REPLY_NONE : REPLY_BAD_EXPTIME;
}

/* The keys of a line that is all there begin at `at`; says what is wrong with them. */
static enum reply check_keys(struct text_parser *tp, char **at, char *line_end)
{
	if (tp->verb >= VERB_GAT) {
		enum reply error = take_gat_exptime(tp, at, line_end);
		if (error != REPLY_NONE)
			return error;
	}
	*at = scan_past_spaces(*at, line_end);
	if (*at == line_end || !keys_fit(*at, line_end))
		return REPLY_BAD_FORMAT;
	return REPLY_NONE;
}

/* A retrieval command whose keys, or gat's time, begin at buf + name_length. */
static enum parse_result parse_retrieval(struct text_parser *tp, enum verb verb, size_t name_length,
					 char *buf, size_t length, struct request *rq, size_t *consumed)
{
	char *newline = memchr(buf, '\n', length);
	char *at = buf + name_length;

	tp->verb = (uint8_t)verb;
	tp->first_key = true;
	tp->exptime = 0;
	if (newline != NULL) {
		enum reply error = check_keys(tp, &at, newline - (newline[-1] == '\r'));
		if (error != REPLY_NONE) {
			*consumed += (size_t)(newline + 1 - buf);
			return request_error(rq, error);
		}
	} else if (length <= TEXT_LINE_MAX) {
		return PARSE_NEED_MORE;
	} else if (verb >= VERB_GAT) {
		return PARSE_CLOSE;
	}
	tp->mode = TEXT_MODE_KEYS;
	*consumed += (size_t)(at - buf);
	return parse_key(tp, at, length - (size_t)(at - buf), rq, consumed);
}

/* "get key\r\n", the request that most servers see most. False if it is anything else, or not all
 * there. */
static inline bool parse_single_get(char *buf, size_t length, struct request *rq, size_t *consumed)
{
	char *key = buf + 4;
	char *end = buf + length;
	char *newline = scan_space_or_newline(key, MIN(key + KEY_LENGTH_MAX + 2, end));
	size_t key_length = (size_t)(newline - key) - (newline[-1] == '\r');

	if (newline >= end || *newline != '\n' || key_length - 1 >= KEY_LENGTH_MAX)
		return false;
	request_clear(rq);
	rq->verb = VERB_GET;
	rq->key_length = (uint8_t)key_length;
	rq->first_key = true;
	rq->last_key = true;
	rq->key = key;
	*consumed += (size_t)(newline + 1 - buf);
	return true;
}

/* --- the modes -------------------------------------------------------------------------------- */

static inline uint32_t load_word(const char *p)
{
	uint32_t word;

	memcpy(&word, p, sizeof(word));
	return word;
}

static enum parse_result parse_command(struct text_parser *tp, char *buf, size_t length,
				       struct request *rq, struct meta_args *meta, size_t *consumed)
{
	uint32_t word = load_word(buf);

	/* The padding may complete a word, but never a line. */
	if (word == load_word("get ")) {
		if (likely(parse_single_get(buf, length, rq, consumed)))
			return PARSE_REQUEST;
		return parse_retrieval(tp, VERB_GET, 4, buf, length, rq, consumed);
	}
	if (word == load_word("gat "))
		return parse_retrieval(tp, VERB_GAT, 4, buf, length, rq, consumed);
	if (word == load_word("gets") && buf[4] == ' ')
		return parse_retrieval(tp, VERB_GETS, 5, buf, length, rq, consumed);
	if (word == load_word("gats") && buf[4] == ' ')
		return parse_retrieval(tp, VERB_GATS, 5, buf, length, rq, consumed);
	return parse_line(tp, buf, length, rq, meta, consumed);
}

/* Eats what is not wanted; returns how much of the length bytes at buf that was. */
static size_t eat(struct text_parser *tp, const char *buf, size_t length)
{
	size_t eaten = length;

	if (tp->mode == TEXT_MODE_SWALLOW) {
		eaten = (size_t)MIN(tp->swallow_bytes, (uint64_t)length);
		tp->swallow_bytes -= eaten;
		if (tp->swallow_bytes == 0)
			tp->mode = TEXT_MODE_LINE;
		return eaten;
	}
	const char *newline = memchr(buf, '\n', length);
	if (newline != NULL) {
		eaten = (size_t)(newline + 1 - buf);
		tp->mode = TEXT_MODE_LINE;
	}
	return eaten;
}

enum parse_result text_parse(struct text_parser *tp, char *buf, size_t length, struct request *rq,
			     struct meta_args *meta, size_t *consumed)
{
	*consumed = 0;
	if (unlikely(tp->mode >= TEXT_MODE_SKIP_LINE)) {
		*consumed = eat(tp, buf, length);
		buf += *consumed;
		length -= *consumed;
	}
	if (length == 0)
		return PARSE_NEED_MORE;
	if (tp->mode == TEXT_MODE_KEYS)
		return parse_key(tp, buf, length, rq, consumed);
	return parse_command(tp, buf, length, rq, meta, consumed);
}
