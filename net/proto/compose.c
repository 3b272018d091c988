#include "net/proto/compose.h"

const char compose_digit_pairs[201] =
	"0001020304050607080910111213141516171819"
	"2021222324252627282930313233343536373839"
	"4041424344454647484950515253545556575859"
	"6061626364656667686970717273747576777879"
	"8081828384858687888990919293949596979899";

const uint64_t compose_powers_of_ten[20] = {
	1ULL,
	10ULL,
	100ULL,
	1000ULL,
	10000ULL,
	100000ULL,
	1000000ULL,
	10000000ULL,
	100000000ULL,
	1000000000ULL,
	10000000000ULL,
	100000000000ULL,
	1000000000000ULL,
	10000000000000ULL,
	100000000000000ULL,
	1000000000000000ULL,
	10000000000000000ULL,
	100000000000000000ULL,
	1000000000000000000ULL,
	10000000000000000000ULL,
};

/* --- meta replies ----------------------------------------------------------------------------- */

static inline char *compose_flag(char *p, char letter)
{
	p[0] = ' ';
	p[1] = letter;
	return p + 2;
}

static char *compose_key(char *p, const char *key, size_t key_length, bool is_binary)
{
	return is_binary ? base64_encode(p, key, key_length) : compose_bytes(p, key, key_length);
}

/* Whoever says b knows what to expect; else the b behind it tells. */
static char *compose_target(char *p, const struct meta_args *meta, const struct meta_values *values)
{
	bool asked = META_HAS(meta, 'b');
	bool is_binary = asked || !key_is_text(values->target, values->target_length);

	p = compose_key(p, values->target, values->target_length, is_binary);
	return is_binary && !asked ? compose_flag(p, 'b') : p;
}

/* One return flag with its token. */
static char *compose_return(char *p, char letter, int64_t ttl, const struct meta_args *meta,
			    const struct meta_values *values)
{
	if (letter == 'w' && values->target_length == 0)
		return p;
	p = compose_flag(p, letter);
	switch (letter) {
	case 'c':
		return compose_u64(p, values->cas);
	case 'f':
		return compose_u32(p, values->client_flags);
	case 'h':
		*p = values->hit_before ? '1' : '0';
		return p + 1;
	case 'k':
		p = compose_key(p, values->key, values->key_length, values->key_is_binary);
		return values->key_is_binary ? compose_flag(p, 'b') : p;
	case 'l':
		return compose_u32(p, values->last_access_seconds);
	case 'O':
		return compose_bytes(p, meta->opaque.data, meta->opaque.length);
	case 's':
		return compose_u32(p, values->value_length);
	case 't':
		return compose_i64(p, ttl);
	case 'w':
		return compose_target(p, meta, values);
	default:
		return p;
	}
}

/* All return flags in the order they were asked for; T and N among them say which time to live is meant. */
static char *compose_returns(char *p, uint64_t returns, const struct meta_args *meta,
			     const struct meta_values *values)
{
	int64_t ttl = values->ttl_before;

	for (unsigned i = 0; i < meta->return_count; i++) {
		char letter = meta->return_order[i];
		if (letter == 'T')
			ttl = values->ttl;
		else if (letter == 'N' && values->created)
			ttl = values->ttl_made;
		else if (returns & META_BIT(letter))
			p = compose_return(p, letter, ttl, meta, values);
	}
	return p;
}

void compose_meta(struct output *out, enum meta_status status, uint64_t returns,
		  const struct meta_args *meta, const struct meta_values *values)
{
	static const char codes[][2] = {
		[META_STATUS_HD] = {'H', 'D'}, [META_STATUS_VA] = {'V', 'A'},
		[META_STATUS_EN] = {'E', 'N'}, [META_STATUS_NF] = {'N', 'F'},
		[META_STATUS_NS] = {'N', 'S'}, [META_STATUS_EX] = {'E', 'X'},
	};
	char *p = out->next;

	assert(output_room(out) >= COMPOSE_META_MAX);
	memcpy(p, codes[status], 2);
	p += 2;
	if (status == META_STATUS_VA) {
		*p = ' ';
		p = compose_u32(p + 1, values->value_length);
	}
	if (meta->return_count > 0)
		p = compose_returns(p, returns, meta, values);
	if (unlikely(values->already_won))
		p = compose_flag(p, 'Z');
	if (unlikely(values->stale))
		p = compose_flag(p, 'X');
	if (unlikely(values->won))
		p = compose_flag(p, 'W');
	out->next = compose_line_end(p);
}

/* --- descriptions of an item ------------------------------------------------------------------ */

static char *compose_text(char *p, const char *text)
{
	return compose_bytes(p, text, strlen(text));
}

/* From exp= to size=, the same in both. */
static char *compose_facts(char *p, const struct item_facts *facts)
{
	p = compose_i64(compose_text(p, " exp="), facts->exptime);
	p = compose_i64(compose_text(p, " la="), facts->last_access);
	p = compose_u64(compose_text(p, " cas="), facts->cas);
	p = compose_text(p, facts->fetched ? " fetch=yes" : " fetch=no");
	p = compose_u32(compose_text(p, " cls="), facts->class_id);
	return compose_u64(compose_text(p, " size="), facts->size_bytes);
}

void compose_meta_debug(struct output *out, const struct item_facts *facts)
{
	char *p = out->next;

	assert(output_room(out) >= COMPOSE_META_DEBUG_MAX);
	p = compose_text(p, "ME ");
	p = compose_key(p, facts->key, facts->key_length, facts->key_is_binary);
	p = compose_facts(p, facts);
	if (unlikely(facts->reference != NULL)) {
		p = compose_text(compose_text(p, " ref="), facts->reference);
		p = compose_u32(compose_text(p, " deps="), facts->dependencies);
		p = compose_u32(compose_text(p, " holds="), facts->holds);
		p = compose_u32(compose_text(p, " held_by="), facts->held_by);
	}
	out->next = compose_line_end(p);
}

static bool is_unreserved(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
	       c == '-' || c == '.' || c == '_' || c == '~';
}

char *compose_percent_encoded(char *p, const char *key, size_t key_length)
{
	static const char hex[] = "0123456789ABCDEF";

	for (size_t i = 0; i < key_length; i++) {
		if (is_unreserved(key[i])) {
			*p++ = key[i];
			continue;
		}
		*p++ = '%';
		*p++ = hex[(unsigned char)key[i] >> 4];
		*p++ = hex[(unsigned char)key[i] & 15];
	}
	return p;
}

void compose_metadump(struct output *out, const struct item_facts *facts)
{
	char *p = out->next;

	assert(output_room(out) >= COMPOSE_METADUMP_MAX);
	p = compose_percent_encoded(compose_text(p, "key="), facts->key, facts->key_length);
	p = compose_facts(p, facts);
	p = compose_u32(compose_text(p, " flags="), facts->client_flags);
	if (unlikely(facts->reference != NULL))
		p = compose_text(compose_text(p, " ref="), facts->reference);
	*p = '\n';
	out->next = p + 1;
}
