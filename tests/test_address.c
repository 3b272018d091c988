/* test_address.c: what may stand behind -l. */
#include <criterion/criterion.h>
#include <string.h>

#include "net/address.h"

static struct address addresses[8];
static unsigned count;
static const char *why;
static char text[ADDRESS_TEXT_BYTES];

static enum address_result parse(const char *item)
{
	return address_parse(item, strlen(item), 11211, addresses, ARRAY_LENGTH(addresses), &count, &why);
}

/* The address that the item names, written again; "" when it is none. */
static const char *again(const char *item)
{
	if (parse(item) != ADDRESS_OK || count != 1)
		return "";
	return address_text(&addresses[0], text);
}

Test(address, is_numeric_with_and_without_a_port)
{
	cr_assert_str_eq(again("127.0.0.1"), "127.0.0.1:11211");
	cr_assert_str_eq(again("127.0.0.1:0"), "127.0.0.1:0");
	cr_assert_str_eq(again("0.0.0.0:65535"), "0.0.0.0:65535");
	cr_assert_str_eq(again("::1"), "[::1]:11211");
	cr_assert_str_eq(again("::"), "[::]:11211");
	cr_assert_str_eq(again("[::1]"), "[::1]:11211");
	cr_assert_str_eq(again("127.1"), "127.0.0.1:11211");
	cr_assert_str_eq(again("[fe80::2]:7"), "[fe80::2]:7");
	/* In brackets only an IPv6 address makes sense, but nothing is lost with the other. */
	cr_assert_str_eq(again("[127.0.0.1]:7"), "127.0.0.1:7");
}

Test(address, of_the_local_host_is_known_by_name)
{
	cr_assert_eq(parse("localhost:99"), ADDRESS_OK);
	cr_assert_geq(count, 1);
	for (unsigned i = 0; i < count; i++)
		cr_assert_eq(address_port(&addresses[i]), 99);
}

/* None of these may go to the resolver, which could take its time. */
Test(address, that_is_malformed_is_refused)
{
	static const char *const malformed[] = {
		"", ":11211", "[::1", "[]", "[]:1", "[::1]x", "[::1]:", "[::1]:x", "127.0.0.1:", "127.0.0.1:x",
		"127.0.0.1:-1", "127.0.0.1:65536", "127.0.0.1:999999999999", "127.0.0.1: 1",
		"999.1.1.1", "1.2.3.4.5", "::zz", "fe80::1%no-such-interface",
	};

	for (size_t i = 0; i < ARRAY_LENGTH(malformed); i++) {
		cr_assert_eq(parse(malformed[i]), ADDRESS_MALFORMED, "%s", malformed[i]);
		cr_assert_gt(strlen(why), 5);
	}
}

Test(address, may_end_anywhere_in_a_list)
{
	const char *list = "127.0.0.1:12,127.0.0.2";

	cr_assert_eq(address_parse(list, 12, 1, addresses, 8, &count, &why), ADDRESS_OK);
	cr_assert_str_eq(address_text(&addresses[0], text), "127.0.0.1:12");
	cr_assert_eq(address_parse(list, 11, 1, addresses, 8, &count, &why), ADDRESS_OK);
	cr_assert_str_eq(address_text(&addresses[0], text), "127.0.0.1:1");
}

Test(address, changes_its_port_only)
{
	cr_assert_str_eq(again("[::1]:5"), "[::1]:5");
	address_set_port(&addresses[0], 6);
	cr_assert_str_eq(address_text(&addresses[0], text), "[::1]:6");
	address_any(&addresses[0], AF_INET, 7);
	cr_assert_str_eq(address_text(&addresses[0], text), "0.0.0.0:7");
}
