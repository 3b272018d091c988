#include <criterion/criterion.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>

#include "net/proto/compose.h"

/* A buffer whose end shows if anything was written past it. */
struct sheet {
	char bytes[2048];
	struct output out;
};

#define GUARD '\x7e'

static void sheet_init(struct sheet *s, size_t room)
{
	memset(s->bytes, GUARD, sizeof(s->bytes));
	s->out.next = s->bytes;
	s->out.end = s->bytes + room;
}

/* What was written must be `text`, and no byte behind it touched. */
static void expect_sheet(const struct sheet *s, const char *text)
{
	size_t length = (size_t)(s->out.next - s->bytes);

	cr_expect_eq(length, strlen(text), "%.*s", (int)length, s->bytes);
	cr_expect(memcmp(s->bytes, text, MIN(length, strlen(text))) == 0, "%.*s is not %s", (int)length,
		  s->bytes, text);
	for (size_t i = length; i < sizeof(s->bytes); i++)
		cr_assert_eq(s->bytes[i], GUARD, "byte %zu after the reply", i - length);
}

static void expect_number(uint64_t v)
{
	char wanted[32];
	struct sheet s;

	sheet_init(&s, COMPOSE_U64_MAX);
	s.out.next = compose_u64(s.bytes, v);
	snprintf(wanted, sizeof(wanted), "%" PRIu64, v);
	expect_sheet(&s, wanted);
	cr_expect_eq(compose_digits(v), strlen(wanted), "%s", wanted);
}

Test(compose, numbers_around_every_power_of_ten_and_two)
{
	uint64_t ten = 1;

	for (unsigned i = 0; i < 20; i++, ten *= 10) {
		expect_number(ten - 1);
		expect_number(ten);
		expect_number(ten + 1);
		expect_number(ten * 5 + 7);
	}
	for (unsigned i = 0; i < 64; i++) {
		expect_number((1ULL << i) - 1);
		expect_number(1ULL << i);
	}
	expect_number(UINT64_MAX);
}

Test(compose, small_numbers_each)
{
	for (uint64_t v = 0; v < 12000; v++)
		expect_number(v);
}

Test(compose, negative_numbers)
{
	struct sheet s;

	sheet_init(&s, 32);
	s.out.next = compose_i64(s.bytes, -1);
	expect_sheet(&s, "-1");
	sheet_init(&s, 32);
	s.out.next = compose_i64(s.bytes, INT64_MIN);
	expect_sheet(&s, "-9223372036854775808");
}

Test(compose, bytes_of_every_length_and_none_behind_them)
{
	char from[300];

	for (size_t i = 0; i < sizeof(from); i++)
		from[i] = (char)('A' + i % 26);
	for (size_t length = 0; length < 260; length++) {
		char wanted[300] = "";
		struct sheet s;

		memcpy(wanted, from, length);
		sheet_init(&s, length);
		s.out.next = compose_bytes(s.bytes, from, length);
		expect_sheet(&s, wanted);
	}
}

Test(compose, every_fixed_reply_is_its_text_and_fits_its_bound)
{
	static const char *const texts[REPLY_COUNT] = {
#define X(name, text) [REPLY_##name] = text,
		REPLY_TABLE(X)
#undef X
	};

	for (unsigned i = REPLY_NONE + 1; i < REPLY_COUNT; i++) {
		char wanted[COMPOSE_REPLY_MAX + 1];
		struct sheet s;

		cr_assert_leq(strlen(texts[i]) + 2, COMPOSE_REPLY_MAX);
		snprintf(wanted, sizeof(wanted), "%s\r\n", texts[i]);
		sheet_init(&s, COMPOSE_REPLY_MAX);
		compose_reply(&s.out, (enum reply)i);
		expect_sheet(&s, wanted);
	}
}

Test(compose, no_reply_is_nothing)
{
	struct sheet s;

	sheet_init(&s, 0);
	compose_reply(&s.out, REPLY_NONE);
	expect_sheet(&s, "");
}

Test(compose, value_headers)
{
	struct sheet s;

	sheet_init(&s, COMPOSE_VALUE_HEADER_MAX(3));
	compose_value_header(&s.out, "key", 3, 0, 100);
	expect_sheet(&s, "VALUE key 0 100\r\n");
	sheet_init(&s, COMPOSE_VALUE_HEADER_MAX(3));
	compose_value_header_cas(&s.out, "key", 3, 7, 0, 12);
	expect_sheet(&s, "VALUE key 7 0 12\r\n");
}

Test(compose, the_longest_value_header_fits_its_bound_exactly)
{
	char key[KEY_LENGTH_MAX];
	struct sheet s;

	memset(key, 'k', sizeof(key));
	sheet_init(&s, COMPOSE_VALUE_HEADER_MAX(sizeof(key)));
	compose_value_header_cas(&s.out, key, sizeof(key), UINT32_MAX, UINT32_MAX, UINT64_MAX);
	cr_expect_eq(output_room(&s.out), 0);
	cr_expect_eq(*s.out.next, GUARD);
}

Test(compose, a_number_alone)
{
	struct sheet s;

	sheet_init(&s, COMPOSE_U64_MAX + 2);
	compose_number(&s.out, UINT64_MAX);
	expect_sheet(&s, "18446744073709551615\r\n");
	cr_expect_eq(output_room(&s.out), 0);
}

/* --- meta ------------------------------------------------------------------------------------- */

static struct meta_args args_of(const char *order)
{
	struct meta_args meta = {.given = 0};

	meta.return_count = (uint8_t)strlen(order);
	memcpy(meta.return_order, order, meta.return_count);
	for (const char *c = order; *c != '\0'; c++)
		meta.given |= META_BIT(*c);
	meta.opaque = (struct slice){"abc", 3};
	return meta;
}

static const struct meta_values some_values = {
	.key = "key",
	.key_length = 3,
	.hit_before = true,
	.client_flags = 5,
	.value_length = 100,
	.last_access_seconds = 9,
	.cas = 77,
	.ttl_before = -1,
	.ttl = 30,
};

static void expect_meta(enum meta_status status, uint64_t returns, const char *order,
			const struct meta_values *values, const char *text)
{
	struct meta_args meta = args_of(order);
	struct sheet s;

	sheet_init(&s, COMPOSE_META_MAX);
	compose_meta(&s.out, status, returns, &meta, values);
	expect_sheet(&s, text);
}

Test(compose, a_meta_status_alone)
{
	expect_meta(META_STATUS_HD, META_RETURNS_GET, "", &some_values, "HD\r\n");
	expect_meta(META_STATUS_VA, META_RETURNS_GET, "", &some_values, "VA 100\r\n");
	expect_meta(META_STATUS_EN, META_RETURNS_MISS, "", &some_values, "EN\r\n");
	expect_meta(META_STATUS_NF, META_RETURNS_MISS, "", &some_values, "NF\r\n");
	expect_meta(META_STATUS_NS, META_RETURNS_SET, "", &some_values, "NS\r\n");
	expect_meta(META_STATUS_EX, META_RETURNS_SET, "", &some_values, "EX\r\n");
}

Test(compose, return_flags_come_back_in_the_order_asked_for)
{
	expect_meta(META_STATUS_VA, META_RETURNS_GET, "tfscOkhl", &some_values,
		    "VA 100 t-1 f5 s100 c77 Oabc kkey h1 l9\r\n");
	expect_meta(META_STATUS_HD, META_RETURNS_GET, "lhkOcsft", &some_values,
		    "HD l9 h1 kkey Oabc c77 s100 f5 t-1\r\n");
}

Test(compose, a_reply_leaves_out_what_it_cannot_tell)
{
	expect_meta(META_STATUS_EN, META_RETURNS_MISS, "tfscOkhl", &some_values, "EN Oabc kkey\r\n");
	expect_meta(META_STATUS_HD, META_RETURNS_SET, "tfscOkhl", &some_values,
		    "HD s100 c77 Oabc kkey\r\n");
	expect_meta(META_STATUS_HD, META_RETURNS_ARITHMETIC, "tfscOkhl", &some_values,
		    "HD t-1 c77 Oabc kkey\r\n");
	expect_meta(META_STATUS_NF, META_RETURNS_DELETE, "tfscOkhl", &some_values, "NF Oabc kkey\r\n");
}

Test(compose, t_tells_the_old_time_before_T_and_the_new_after_it)
{
	struct meta_values values = some_values;

	expect_meta(META_STATUS_HD, META_RETURNS_GET, "tTs", &values, "HD t-1 s100\r\n");
	expect_meta(META_STATUS_HD, META_RETURNS_GET, "Tts", &values, "HD t30 s100\r\n");
	expect_meta(META_STATUS_HD, META_RETURNS_GET, "Nts", &values, "HD t-1 s100\r\n");
	values.created = true;
	values.ttl_made = 60;
	expect_meta(META_STATUS_HD, META_RETURNS_GET, "Nts", &values, "HD t60 s100\r\n");
	expect_meta(META_STATUS_HD, META_RETURNS_GET, "NtTs", &values, "HD t60 s100\r\n");
	expect_meta(META_STATUS_HD, META_RETURNS_GET, "TtN", &values, "HD t30\r\n");
	expect_meta(META_STATUS_HD, META_RETURNS_GET, "tN", &values, "HD t-1\r\n");
}

Test(compose, a_binary_key_goes_out_as_base64_with_b_behind_it)
{
	struct meta_values values = some_values;

	values.key_is_binary = true;
	expect_meta(META_STATUS_EN, META_RETURNS_MISS, "kO", &values, "EN ka2V5 b Oabc\r\n");
	values.target = "a b";
	values.target_length = 3;
	expect_meta(META_STATUS_HD, META_RETURNS_GET, "wk", &values, "HD wYSBi b ka2V5 b\r\n");
}

Test(compose, Z_X_and_W_come_last)
{
	struct meta_values values = some_values;

	values.won = true;
	values.stale = true;
	expect_meta(META_STATUS_VA, META_RETURNS_GET, "s", &values, "VA 100 s100 X W\r\n");
	values.won = false;
	values.already_won = true;
	expect_meta(META_STATUS_VA, META_RETURNS_GET, "s", &values, "VA 100 s100 Z X\r\n");
}

Test(compose, the_longest_meta_reply_fits_its_bound)
{
	struct meta_args meta = args_of("cfhklOstw");
	char key[KEY_LENGTH_MAX] = {0};
	struct meta_values values = {.key = key,
				     .key_length = KEY_LENGTH_MAX,
				     .key_is_binary = true,
				     .won = true,
				     .stale = true,
				     .already_won = true,
				     .client_flags = UINT32_MAX,
				     .value_length = UINT32_MAX,
				     .last_access_seconds = UINT32_MAX,
				     .cas = UINT64_MAX,
				     .target = key,
				     .target_length = KEY_LENGTH_MAX,
				     .ttl_before = INT64_MIN};
	struct sheet s;

	meta.opaque = (struct slice){"0123456789012345678901234567890", 31};
	key[0] = ' ';
	sheet_init(&s, COMPOSE_META_MAX);
	compose_meta(&s.out, META_STATUS_VA, META_RETURNS_GET, &meta, &values);
	cr_expect_leq(s.out.next - s.bytes, COMPOSE_META_MAX);
	cr_expect_geq(s.out.next - s.bytes, COMPOSE_META_MAX - 16, "the bound is needlessly wide");
}

/* --- descriptions of an item ------------------------------------------------------------------ */

static const struct item_facts some_facts = {
	.key = "a b%c/~",
	.key_length = 7,
	.fetched = true,
	.class_id = 1,
	.client_flags = 5,
	.exptime = -1,
	.last_access = 3,
	.cas = 4,
	.size_bytes = 65,
};

Test(compose, a_meta_debug_line)
{
	struct item_facts facts = some_facts;
	struct sheet s;

	sheet_init(&s, COMPOSE_META_DEBUG_MAX);
	compose_meta_debug(&s.out, &facts);
	expect_sheet(&s, "ME a b%c/~ exp=-1 la=3 cas=4 fetch=yes cls=1 size=65\r\n");
	facts.key_is_binary = true;
	facts.fetched = false;
	sheet_init(&s, COMPOSE_META_DEBUG_MAX);
	compose_meta_debug(&s.out, &facts);
	expect_sheet(&s, "ME YSBiJWMvfg== exp=-1 la=3 cas=4 fetch=no cls=1 size=65\r\n");
}

Test(compose, a_metadump_line_has_its_key_percent_encoded)
{
	struct sheet s;

	sheet_init(&s, COMPOSE_METADUMP_MAX);
	compose_metadump(&s.out, &some_facts);
	expect_sheet(&s, "key=a%20b%25c%2F~ exp=-1 la=3 cas=4 fetch=yes cls=1 size=65 flags=5\n");
}

Test(compose, the_longest_descriptions_fit_their_bounds)
{
	char key[KEY_LENGTH_MAX] = {0};
	struct item_facts facts = {.key = key,
				   .key_length = KEY_LENGTH_MAX,
				   .key_is_binary = true,
				   .class_id = UINT_MAX,
				   .client_flags = UINT32_MAX,
				   .exptime = INT64_MIN,
				   .last_access = INT64_MIN,
				   .cas = UINT64_MAX,
				   .size_bytes = UINT64_MAX};
	struct sheet s;

	sheet_init(&s, COMPOSE_METADUMP_MAX);
	compose_metadump(&s.out, &facts);
	cr_expect_leq(s.out.next - s.bytes, COMPOSE_METADUMP_MAX);
	sheet_init(&s, COMPOSE_META_DEBUG_MAX);
	compose_meta_debug(&s.out, &facts);
	cr_expect_leq(s.out.next - s.bytes, COMPOSE_META_DEBUG_MAX);
}

Test(compose, percent_encoding_leaves_unreserved_characters_alone)
{
	const char plain[] = "ABCxyz019-._~";
	const char coded[] = " !\"#$%&'()*+,/:;<=>?@[\\]^`{|}\x7f\x80\xff\x01";
	struct sheet s;

	sheet_init(&s, sizeof(s.bytes));
	s.out.next = compose_percent_encoded(s.bytes, plain, sizeof(plain) - 1);
	expect_sheet(&s, plain);
	sheet_init(&s, sizeof(s.bytes));
	s.out.next = compose_percent_encoded(s.bytes, coded, sizeof(coded) - 1);
	expect_sheet(&s, "%20%21%22%23%24%25%26%27%28%29%2A%2B%2C%2F%3A%3B%3C%3D%3E%3F%40%5B%5C%5D%5E%60%7B"
			 "%7C%7D%7F%80%FF%01");
}
