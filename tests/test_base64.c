#include <criterion/criterion.h>
#include <string.h>

#include "net/proto/base64.h"

static void expect_decodes(const char *encoded, const char *plain, size_t length)
{
	char to[64];

	cr_expect_eq(base64_decode(to, encoded, strlen(encoded)), length, "%s", encoded);
	cr_expect(memcmp(to, plain, length) == 0, "%s", encoded);
}

static void expect_refused(const char *encoded)
{
	char to[64];
	cr_expect_eq(base64_decode(to, encoded, strlen(encoded)), 0, "%s", encoded);
}

Test(base64, decodes_the_vectors_of_rfc_4648)
{
	expect_decodes("Zg==", "f", 1);
	expect_decodes("Zm8=", "fo", 2);
	expect_decodes("Zm9v", "foo", 3);
	expect_decodes("Zm9vYg==", "foob", 4);
	expect_decodes("Zm9vYmE=", "fooba", 5);
	expect_decodes("Zm9vYmFy", "foobar", 6);
	expect_decodes("+/+/", "\xfb\xff\xbf", 3);
}

Test(base64, refuses_what_is_none)
{
	expect_refused("");
	expect_refused("Z");
	expect_refused("Zg");
	expect_refused("Zg=");
	expect_refused("Zm9vYg");
	expect_refused("====");
	expect_refused("Z===");
	expect_refused("Zg=a");
	expect_refused("=Zg=");
	expect_refused("Zg==Zg==");
	expect_refused("Zm9v Zm9");
	expect_refused("Zm9-");
	expect_refused("Zm9\xff");
	expect_refused("Zm9\n");
}

Test(base64, ignores_the_bits_left_over)
{
	expect_decodes("zz==", "\xcf", 1);
	expect_decodes("zw==", "\xcf", 1);
}

Test(base64, what_it_encodes_it_decodes_again_in_place)
{
	char plain[251], encoded[BASE64_ENCODED_LENGTH(250) + 1];

	for (size_t length = 1; length <= 250; length++) {
		for (size_t i = 0; i < length; i++)
			plain[i] = (char)(i * 37 + length * 11);
		encoded[BASE64_ENCODED_LENGTH(length)] = '!';
		cr_assert_eq(base64_encode(encoded, plain, length) - encoded,
			     (ptrdiff_t)BASE64_ENCODED_LENGTH(length));
		cr_assert_eq(encoded[BASE64_ENCODED_LENGTH(length)], '!');
		cr_assert_eq(base64_decode(encoded, encoded, BASE64_ENCODED_LENGTH(length)), length);
		cr_assert(memcmp(encoded, plain, length) == 0);
	}
}

Test(base64, writes_nothing_for_nothing)
{
	char to[4] = "abc";
	cr_expect_eq(base64_encode(to, "x", 0), to);
	cr_expect_str_eq(to, "abc");
}
