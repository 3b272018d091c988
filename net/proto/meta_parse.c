#include "net/proto/meta_parse.h"

#include <string.h>

#include "net/proto/base64.h"
#include "net/proto/number.h"

/* What a letter brings with it. */
enum flag_kind {
	FLAG_UNKNOWN,
	FLAG_PLAIN,  /* is there or not; a token behind it means nothing */
	FLAG_RETURN, /* asks for a token in the reply, or marks a place among those that do */
	FLAG_BINARY_KEY,
	FLAG_OPAQUE,
	FLAG_MODE,
	FLAG_EXPTIME,
	FLAG_CLIENT_FLAGS,
	FLAG_NUMBER,
	FLAG_REFERENCE, /* another key; may be there several times */
};

struct flag_rule {
	uint8_t kind;
	uint8_t reply;      /* to a bad token */
	uint8_t field;      /* offset of the field in meta_args that the token goes to */
	bool is_return;     /* has its place in return_order */
	uint8_t verb;       /* the one command that knows it; VERB_ERROR: all do */
};

#define RULE(letter, kind_, field_, reply_, is_return_)                                            \
	[(letter) - 'A'] = {.kind = FLAG_##kind_,                                                  \
			    .field = offsetof(struct meta_args, field_),                           \
			    .reply = REPLY_##reply_,                                               \
			    .is_return = (is_return_)}
#define RULE_OF(verb_, letter, kind_, reply_, is_return_)                                          \
	[(letter) - 'A'] = {.kind = FLAG_##kind_,                                                  \
			    .reply = REPLY_##reply_,                                               \
			    .is_return = (is_return_),                                             \
			    .verb = VERB_META_##verb_}

/* T, N and R have a place in the order of returned flags, though they return nothing: t asked for
 * before T or N tells the old time to live, after them the new, and R looks at the one or the other. */
static const struct flag_rule flag_rules['z' - 'A' + 1] = {
	RULE('b', BINARY_KEY, given, META_BAD_KEY, false),
	RULE('c', RETURN, given, NONE, true),
	RULE('f', RETURN, given, NONE, true),
	RULE('h', RETURN, given, NONE, true),
	RULE('k', RETURN, given, NONE, true),
	RULE('l', RETURN, given, NONE, true),
	RULE('s', RETURN, given, NONE, true),
	RULE('t', RETURN, given, NONE, true),
	RULE('q', PLAIN, given, NONE, false),
	RULE('u', PLAIN, given, NONE, false),
	RULE('v', PLAIN, given, NONE, false),
	RULE('x', PLAIN, given, NONE, false),
	RULE('I', PLAIN, given, NONE, false),
	RULE('L', PLAIN, given, NONE, false),
	RULE('P', PLAIN, given, NONE, false),
	RULE('O', OPAQUE, opaque, META_OPAQUE_TOO_LONG, true),
	RULE('M', MODE, mode, NONE, false),
	RULE('N', EXPTIME, autoviv_ttl, META_BAD_TOKEN, true),
	RULE('R', EXPTIME, recache_ttl, META_BAD_TOKEN, true),
	RULE('T', EXPTIME, ttl, META_BAD_TOKEN, true),
	RULE('F', CLIENT_FLAGS, client_flags, BAD_FORMAT, false),
	RULE('C', NUMBER, compare_cas, META_BAD_TOKEN, false),
	RULE('E', NUMBER, explicit_cas, META_BAD_TOKEN, false),
	RULE('D', NUMBER, delta, META_BAD_DELTA, false),
	RULE('J', NUMBER, initial, META_BAD_INITIAL, false),
	RULE_OF(GET, 'n', PLAIN, NONE, false),
	RULE_OF(GET, 'w', RETURN, NONE, true),
	RULE_OF(SET, 'W', PLAIN, NONE, false),
	RULE_OF(SET, 'V', REFERENCE, META_BAD_TARGET, false),
	RULE_OF(SET, 'H', REFERENCE, META_BAD_TARGET, false),
};

/* D is the delta of ma, and in memcached a number everywhere; for ms it is a reference. */
static const struct flag_rule depends_rule = {.kind = FLAG_REFERENCE, .reply = REPLY_META_BAD_TARGET};
static const struct flag_rule unknown_rule = {.kind = FLAG_UNKNOWN};

static inline const struct flag_rule *rule_of(uint8_t verb, unsigned letter)
{
	const struct flag_rule *rule = &flag_rules[letter];

	if (unlikely(verb == VERB_META_SET && letter == 'D' - 'A'))
		return &depends_rule;
	return likely(rule->verb == VERB_ERROR || rule->verb == verb) ? rule : &unknown_rule;
}

static bool meta_decode_key(struct request *rq, struct meta_args *meta)
{
	char *key = (char *)(uintptr_t)rq->key;
	size_t length = base64_decode(key, key, rq->key_length);

	rq->key_length = (uint8_t)length;
	meta->raw_key.length = 0;
	return length > 0;
}

/* The key of a reference, as it was sent. */
static bool meta_take_reference(const struct line *ln, struct slice token, struct meta_args *meta)
{
	if (token.length == 0 || token.length > KEY_LENGTH_MAX)
		return false;
	if (meta->reference_count < META_REFERENCES_MAX)
		meta->references[meta->reference_count] = (struct meta_reference){
			.offset = (uint16_t)(token.data - ln->start),
			.length = (uint8_t)token.length,
			.letter = token.data[-1],
		};
	meta->reference_count++;
	return true;
}

/* All at the end, since b may stand behind them. */
static enum reply meta_finish_references(struct request *rq, struct meta_args *meta)
{
	bool weak = rq->verb == VERB_META_SET && META_HAS(meta, 'W');

	if (meta->reference_count + weak > META_REFERENCES_MAX)
		return REPLY_META_TOO_MANY_REFERENCES;
	if (weak && (meta->mode == 'A' || meta->mode == 'P'))
		return REPLY_META_BAD_MODE_SET;
	if (weak && (rq->value_length == 0 || rq->value_length > KEY_LENGTH_MAX))
		return REPLY_META_BAD_TARGET;
	for (unsigned i = 0; META_HAS(meta, 'b') && i < meta->reference_count; i++) {
		char *key = (char *)(uintptr_t)meta->reference_keys + meta->references[i].offset;
		size_t length = base64_decode(key, key, meta->references[i].length);

		if (length == 0)
			return REPLY_META_BAD_KEY;
		meta->references[i].length = (uint8_t)length;
	}
	return REPLY_NONE;
}

/* Takes in the token behind a letter; false if it is wrong. */
static bool meta_take_token(const struct flag_rule *rule, struct slice token, struct request *rq,
			    struct meta_args *meta)
{
	void *field = (char *)meta + rule->field;

	switch ((enum flag_kind)rule->kind) {
	case FLAG_BINARY_KEY:
		return meta_decode_key(rq, meta);
	case FLAG_EXPTIME:
		return number_parse_exptime(token, field);
	case FLAG_CLIENT_FLAGS:
		return number_parse_u32(token, field);
	case FLAG_NUMBER:
		return number_parse_u64(token, field);
	case FLAG_OPAQUE:
		meta->opaque = token;
		return true;
	case FLAG_MODE:
		meta->mode = token.length > 0 ? token.data[0] : '?';
		return true;
	default:
		return true;
	}
}

/* The flags, first to last. */
static enum reply meta_take_flags(const struct line *ln, unsigned first_flag, struct request *rq,
				  struct meta_args *meta)
{
	enum reply error = REPLY_NONE;

	for (unsigned i = first_flag; i < ln->count; i++) {
		struct slice token = {ln->tokens[i].data + 1, ln->tokens[i].length - 1};
		unsigned letter = (unsigned char)token.data[-1] - (unsigned)'A';

		if (letter >= ARRAY_LENGTH(flag_rules))
			return REPLY_META_INVALID_FLAG;
		const struct flag_rule *rule = rule_of(rq->verb, letter);
		if (rule->kind == FLAG_UNKNOWN)
			return REPLY_META_INVALID_FLAG;
		if (rule->kind == FLAG_REFERENCE) {
			if (!meta_take_reference(ln, token, meta))
				error = rule->reply;
			continue;
		}
		if (meta->given & 1ULL << letter)
			return REPLY_META_DUPLICATE_FLAG;
		meta->given |= 1ULL << letter;

		if (rule->is_return)
			meta->return_order[meta->return_count++] = (char)(letter + 'A');
		if (rule->kind > FLAG_RETURN && !meta_take_token(rule, token, rq, meta))
			error = rule->reply;
	}
	return error;
}

/* The mode, where the command has one, becomes its canonical letter. */
static enum reply meta_check_mode(uint8_t verb, struct meta_args *meta)
{
	if (!META_HAS(meta, 'M'))
		return REPLY_NONE;
	if (verb == VERB_META_SET)
		return memchr("SEAPR", meta->mode, 5) != NULL ? REPLY_NONE : REPLY_META_BAD_MODE_SET;
	if (verb != VERB_META_ARITHMETIC)
		return REPLY_NONE;
	if (meta->mode == '+')
		meta->mode = 'I';
	if (meta->mode == '-')
		meta->mode = 'D';
	return meta->mode == 'I' || meta->mode == 'D' ? REPLY_NONE : REPLY_META_BAD_MODE_ARITHMETIC;
}

/* me knows b alone and takes no offence at anything else. */
static enum reply meta_parse_debug(const struct line *ln, struct request *rq, struct meta_args *meta)
{
	unsigned kept = MIN(ln->count, (uint32_t)LINE_TOKENS_MAX);

	for (unsigned i = 2; i < kept; i++) {
		if (!slice_equals(ln->tokens[i], "b", 1))
			continue;
		meta->given |= META_BIT('b');
		return meta_decode_key(rq, meta) ? REPLY_NONE : REPLY_META_BAD_KEY;
	}
	return REPLY_NONE;
}

enum reply meta_parse(const struct line *ln, unsigned first_flag, struct request *rq,
		      struct meta_args *meta)
{
	struct slice key = ln->tokens[1];
	enum reply error;

	meta->given = 0;
	meta->return_count = 0;
	meta->mode = rq->verb == VERB_META_ARITHMETIC ? 'I' : 'S';
	meta->raw_key = key;
	meta->delta = 1;
	meta->initial = 0;
	meta->reference_count = 0;
	meta->reference_keys = ln->start;
	if (key.length > KEY_LENGTH_MAX)
		return REPLY_BAD_FORMAT;
	rq->key = key.data;
	rq->key_length = (uint8_t)key.length;
	rq->meta = meta;

	if (rq->verb == VERB_META_DEBUG)
		return meta_parse_debug(ln, rq, meta);
	if (ln->count > META_LINE_TOKENS_MAX)
		return REPLY_META_TOO_LONG;
	error = meta_take_flags(ln, first_flag, rq, meta);
	if (error == REPLY_NONE)
		error = meta_check_mode(rq->verb, meta);
	if (error == REPLY_NONE && unlikely(meta->reference_count || META_HAS(meta, 'W')))
		error = meta_finish_references(rq, meta);
	if (error == REPLY_NONE && META_HAS(meta, 'O') && meta->opaque.length > META_OPAQUE_LENGTH_MAX)
		error = REPLY_META_OPAQUE_TOO_LONG;
	return error;
}
