/* test_reply.c: bench/reply on every kind of reply, cut at every byte. */
#include "bench/reply.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "store/base/base.h"

static const struct {
	const char *bytes;
	enum reply_kind kind;
	const char *key, *value;
} replies[] = {
	{"VALUE k 0 5\r\nab\r\nc\r\n", REPLY_VALUE, "k", "ab\r\nc"},
	{"VALUE a_key 4294967295 0\r\n\r\n", REPLY_VALUE, "a_key", ""},
	{"VALUE k 12 3 18446744073709551615\r\nEND\r\n", REPLY_VALUE, "k", "END"},
	{"END\r\n", REPLY_END, NULL, NULL},
	{"STORED\r\n", REPLY_STORED, NULL, NULL},
	{"NOT_STORED\r\n", REPLY_NOT_STORED, NULL, NULL},
	{"EXISTS\r\n", REPLY_EXISTS, NULL, NULL},
	{"NOT_FOUND\r\n", REPLY_NOT_FOUND, NULL, NULL},
	{"DELETED\r\n", REPLY_DELETED, NULL, NULL},
	{"TOUCHED\r\n", REPLY_TOUCHED, NULL, NULL},
	{"OK\r\n", REPLY_OK, NULL, NULL},
	{"STAT pid 123\r\n", REPLY_STAT, "pid", "123"},
	{"STAT version 1.6 x\r\n", REPLY_STAT, "version", "1.6 x"},
	{"VA 2\r\nHD\r\n", REPLY_META_VALUE, NULL, "HD"},
	{"VA 2 f0 Oabc\r\n\r\n\r\n", REPLY_META_VALUE, NULL, "\r\n"},
	{"HD\r\n", REPLY_META_DONE, NULL, NULL},
	{"HD Oabc\r\n", REPLY_META_DONE, NULL, NULL},
	{"EN\r\n", REPLY_META_MISS, NULL, NULL},
	{"NF k\r\n", REPLY_META_NOT_FOUND, NULL, NULL},
	{"NS\r\n", REPLY_META_NOT_STORED, NULL, NULL},
	{"EX\r\n", REPLY_META_EXISTS, NULL, NULL},
	{"MN\r\n", REPLY_META_NOOP, NULL, NULL},
	{"ERROR\r\n", REPLY_ERROR, NULL, "ERROR"},
	{"ERROR Too many open connections\r\n", REPLY_ERROR, NULL, NULL},
	{"CLIENT_ERROR bad data chunk\r\n", REPLY_ERROR, NULL, "CLIENT_ERROR bad data chunk"},
	{"SERVER_ERROR: shutdown not enabled\r\n", REPLY_ERROR, NULL, NULL},
	{"VERSION 1.6.18\r\n", REPLY_OTHER, NULL, "VERSION 1.6.18"},
	{"42\r\n", REPLY_OTHER, NULL, "42"},
	{"ENDED\r\n", REPLY_OTHER, NULL, "ENDED"},
	{"\r\n", REPLY_OTHER, NULL, ""},
};

Test(reply, each_kind_is_told_apart_and_sliced)
{
	for (size_t i = 0; i < ARRAY_LENGTH(replies); i++) {
		const char *bytes = replies[i].bytes;
		struct reply rp;

		cr_assert_eq(reply_parse(bytes, strlen(bytes), &rp), replies[i].kind, "%s", bytes);
		cr_assert_eq(rp.reply_bytes, strlen(bytes), "%s", bytes);
		if (replies[i].key) {
			cr_assert_eq(rp.key_bytes, strlen(replies[i].key));
			cr_assert_arr_eq(rp.key, replies[i].key, rp.key_bytes);
		}
		if (replies[i].value) {
			cr_assert_eq(rp.value_bytes, strlen(replies[i].value));
			cr_assert_arr_eq(rp.value, replies[i].value, rp.value_bytes);
		}
	}
}

Test(reply, a_reply_cut_anywhere_asks_for_more_and_never_too_much)
{
	for (size_t i = 0; i < ARRAY_LENGTH(replies); i++) {
		size_t whole = strlen(replies[i].bytes);

		for (size_t cut = 0; cut < whole; cut++) {
			struct reply rp;

			cr_assert_eq(reply_parse(replies[i].bytes, cut, &rp), REPLY_MORE, "%s at %zu",
				     replies[i].bytes, cut);
			cr_assert_gt(rp.reply_bytes, cut);
			cr_assert_leq(rp.reply_bytes, whole);
		}
	}
}

Test(reply, what_follows_is_not_touched)
{
	for (size_t i = 0; i < ARRAY_LENGTH(replies); i++) {
		char bytes[256];
		struct reply rp;

		snprintf(bytes, sizeof(bytes), "%sVALUE next", replies[i].bytes);
		cr_assert_eq(reply_parse(bytes, strlen(bytes), &rp), replies[i].kind);
		cr_assert_eq(rp.reply_bytes, strlen(replies[i].bytes));
	}
}

Test(reply, what_is_not_the_protocol_is_invalid)
{
	static const char *const wrong[] = {"VALUE k\r\n",        "VALUE k 0\r\n",
					    "VALUE k 0 x\r\n",    "VALUE k 0 -1\r\n",
					    "VALUE k 0 3\r\nabcd\r\n", "VA x\r\n",
					    "VALUE k 0 99999999999\r\n", "VALUE k x 3\r\nabc\r\n"};
	static char endless[REPLY_LINE_BYTES_MAX + 1];
	struct reply rp;

	for (size_t i = 0; i < ARRAY_LENGTH(wrong); i++)
		cr_assert_eq(reply_parse(wrong[i], strlen(wrong[i]), &rp), REPLY_INVALID, "%s", wrong[i]);
	memset(endless, 'x', sizeof(endless));
	cr_assert_eq(reply_parse(endless, sizeof(endless), &rp), REPLY_INVALID);
}
