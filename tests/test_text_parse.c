/* test_text_parse.c: lines and framing of the text protocol. The flags of meta commands are in
 * test_meta_parse.c, input in pieces and at random in test_parse_cuts.c. */
#include <criterion/criterion.h>
#include <string.h>

#include "tests/support/parse_expect.h"

PARSER_SUITE(text_parse);

/* --- retrieval -------------------------------------------------------------------------------- */

Test(text_parse, a_get_of_one_key_is_one_request)
{
	EXPECT("get k\r\n", "get k first last\n");
	EXPECT("gets key_0123456789\r\n", "gets key_0123456789 first last\n");
	EXPECT("gat 100 k\r\n", "gat k first last exptime=100\n");
	EXPECT("gats -1 k\r\n", "gats k first last exptime=-1\n");
}

Test(text_parse, a_get_of_many_keys_is_one_request_for_each)
{
	EXPECT("get a b c\r\n", "get a first\nget b\nget c last\n");
	EXPECT("gats 5 a b\r\n", "gats a first exptime=5\ngats b last exptime=5\n");
	EXPECT("get a a\r\nget b\r\n", "get a first\nget a last\nget b first last\n");
}

Test(text_parse, spaces_around_keys_do_not_count)
{
	EXPECT("get   a   b   \r\n", "get a first\nget b last\n");
	EXPECT("get a \r\n", "get a first last\n");
	EXPECT("get a \n", "get a first last\n");
	EXPECT("gat  0  a \r\n", "gat a first last\n");
}

Test(text_parse, a_bare_newline_ends_a_line)
{
	EXPECT("get k\n", "get k first last\n");
	EXPECT("get a b\nget c\n", "get a first\nget b last\nget c first last\n");
	EXPECT("delete k\n", "delete k\n");
}

Test(text_parse, a_key_may_have_any_byte_but_space_and_newline)
{
	EXPECT("get a\rb\r\n", "get a\rb first last\n");
	EXPECT("get a\r\r\n", "get a\r first last\n");
	EXPECT("get a\r b\r\n", "get a\r first\nget b last\n");
	EXPECT("get \r b\r\n", "get \r first\nget b last\n");
	EXPECT("get a\tb\r\n", "get a\tb first last\n");
	EXPECT("get \xff\x01\x7f\r\n", "get \xff\x01\x7f first last\n");
}

Test(text_parse, a_get_without_a_key_is_badly_formed)
{
	EXPECT("get\r\n", BAD_FORMAT "\n");
	EXPECT("get \r\n", BAD_FORMAT "\n");
	EXPECT("get    \n", BAD_FORMAT "\n");
	EXPECT("gets\r\n", BAD_FORMAT "\n");
	EXPECT("gets \r\n", BAD_FORMAT "\n");
	EXPECT("gat\r\n", BAD_FORMAT "\n");
	EXPECT("gat 0\r\n", BAD_FORMAT "\n");
	EXPECT("gat 0 \r\n", BAD_FORMAT "\n");
	EXPECT("gats \r\n", BAD_FORMAT "\n");
}

Test(text_parse, a_gat_with_a_bad_exptime_answers_so_once)
{
	EXPECT("gat x a b\r\n", "error CLIENT_ERROR invalid exptime argument\n");
	EXPECT("gat 2147483648 a\r\n", "error CLIENT_ERROR invalid exptime argument\n");
	EXPECT("gats 1x a\r\nget b\r\n",
	       "error CLIENT_ERROR invalid exptime argument\nget b first last\n");
	EXPECT("gat x\r\n", BAD_FORMAT "\n");
}

Test(text_parse, a_key_of_250_bytes_is_taken_and_one_of_251_is_not)
{
	EXPECT("get " KEY_250 "\r\n", "get " KEY_250 " first last\n");
	EXPECT("get " KEY_250 "\n", "get " KEY_250 " first last\n");
	EXPECT("get " KEY_251 "\r\n", BAD_FORMAT "\n");
	EXPECT("get a " KEY_250 " b\r\n", "get a first\nget " KEY_250 "\nget b last\n");
	EXPECT("gat 0 " KEY_250 " " KEY_250 "\r\n",
	       "gat " KEY_250 " first\ngat " KEY_250 " last\n");
}

Test(text_parse, one_long_key_spoils_the_whole_get_and_nothing_else)
{
	EXPECT("get a " KEY_251 " b\r\nget c\r\n", BAD_FORMAT "\nget c first last\n");
	EXPECT("get a b " KEY_251 "\nget c\r\n", BAD_FORMAT "\nget c first last\n");
	EXPECT("gats 1 " KEY_251 " b\r\nget c\r\n", BAD_FORMAT "\nget c first last\n");
	EXPECT("get " KEY_250 " " KEY_250 " " KEY_251 "\r\n", BAD_FORMAT "\n");
}

/* --- storage ---------------------------------------------------------------------------------- */

Test(text_parse, storage_commands_carry_their_block)
{
	EXPECT("set k 1 2 3\r\nabc\r\n", "set k flags=1 exptime=2 value=abc\r\n\n");
	EXPECT("add k 0 0 0\r\n\r\n", "add k value=\r\n\n");
	EXPECT("replace k 0 -1 1\r\nx\r\n", "replace k exptime=-1 value=x\r\n\n");
	EXPECT("append k 0 0 1\r\nx\r\n", "append k value=x\r\n\n");
	EXPECT("prepend k 0 0 1\r\nx\r\n", "prepend k value=x\r\n\n");
	EXPECT("cas k 0 0 1 99\r\nx\r\n", "cas k cas=99 value=x\r\n\n");
	EXPECT("set k 0 0 1\nx\r\n", "set k value=x\r\n\n");
}

Test(text_parse, a_block_is_as_long_as_it_says_whatever_is_in_it)
{
	EXPECT("set k 0 0 9\r\nget k\r\n\r\n\r\nget b\r\n",
	       "set k value=get k\r\n\r\n\r\n\nget b first last\n");
	EXPECT("set k 0 0 1\r\nabcget b\r\n", "set k value=abc\nget b first last\n");
}

Test(text_parse, noreply_counts_as_the_last_token)
{
	EXPECT("set k 0 0 1 noreply\r\nx\r\n", "set k noreply value=x\r\n\n");
	EXPECT("set k 0 0 1 noreply \r\nx\r\n", "set k noreply value=x\r\n\n");
	EXPECT("set k 0 0 1 foo noreply\r\nx\r\n", "set k noreply value=x\r\n\n");
	EXPECT("cas k 0 0 1 5 noreply\r\nx\r\n", "cas k cas=5 noreply value=x\r\n\n");
	EXPECT("set k 0 0 1 noreply x\r\nx\r\n", "set k value=x\r\n\n");
	EXPECT("set k 0 0 1 NOREPLY\r\nx\r\n", "set k value=x\r\n\n");
	EXPECT("incr k 1 noreply\r\n", "incr k delta=1 noreply\n");
	EXPECT("touch k 1 noreply\r\n", "touch k exptime=1 noreply\n");
	EXPECT("delete k noreply\r\n", "delete k noreply\n");
	EXPECT("flush_all noreply\r\n", "flush_all exptime=-1 line=noreply noreply\n");
	EXPECT("verbosity 1 noreply\r\n", "verbosity line=1 noreply noreply\n");
	EXPECT("delete noreply\r\n", "delete noreply\n");
}

Test(text_parse, a_token_too_many_is_ignored)
{
	EXPECT("set k 0 0 1 foo\r\nx\r\n", "set k value=x\r\n\n");
	EXPECT("incr k 1 foo bar\r\n", "incr k delta=1\n");
	EXPECT("delete k 0\r\n", "delete k\n");
	EXPECT("touch k 1 2\r\n", "touch k exptime=1\n");
}

Test(text_parse, without_a_known_length_nothing_is_swallowed)
{
	EXPECT("set k\r\n", BAD_FORMAT "\n");
	EXPECT("set\r\n", BAD_FORMAT "\n");
	EXPECT("set k 0 0\r\n", BAD_FORMAT "\n");
	EXPECT("cas k 0 0\r\n", BAD_FORMAT "\n");
	EXPECT("set k 0 0 x\r\nget a\r\n", BAD_FORMAT "\nget a first last\n");
	EXPECT("set k 0 0 -1\r\nget a\r\n", BAD_FORMAT "\nget a first last\n");
	EXPECT("set k 0 0 +1\r\nget a\r\n", BAD_FORMAT "\nget a first last\n");
	EXPECT("set k 0 0 1x\r\nget a\r\n", BAD_FORMAT "\nget a first last\n");
	EXPECT("set k 0 0 2147483646\r\nget a\r\n", BAD_FORMAT "\nget a first last\n");
	EXPECT("set k 0 0 18446744073709551617\r\nget a\r\n", BAD_FORMAT "\nget a first last\n");
	EXPECT("set k 0 0 x noreply\r\n", BAD_FORMAT "\n");
}

Test(text_parse, with_a_known_length_a_bad_storage_command_takes_its_block_along)
{
	EXPECT("set " KEY_251 " 0 0 3\r\nget\r\nget a\r\n", BAD_FORMAT " swallow=5\nget a first last\n");
	EXPECT("set k x 0 1\r\nx\r\nget a\r\n", BAD_FORMAT " swallow=3\nget a first last\n");
	EXPECT("set k -1 0 1\r\nx\r\nget a\r\n", BAD_FORMAT " swallow=3\nget a first last\n");
	EXPECT("set k 0 x 1\r\nx\r\nget a\r\n", BAD_FORMAT " swallow=3\nget a first last\n");
	EXPECT("cas k 0 0 1 x\r\nx\r\nget a\r\n", BAD_FORMAT " swallow=3\nget a first last\n");
	EXPECT("cas k 0 0 1 -1\r\nx\r\nget a\r\n", BAD_FORMAT " swallow=3\nget a first last\n");
	EXPECT("cas k 0 0 1\r\nx\r\nget a\r\n", BAD_FORMAT " swallow=3\nget a first last\n");
	EXPECT("cas k 0 0 1 18446744073709551616\r\nx\r\nget a\r\n",
	       BAD_FORMAT " swallow=3\nget a first last\n");
	EXPECT("add k x 0 0\r\n\r\nget a\r\n", BAD_FORMAT " swallow=2\nget a first last\n");
}

Test(text_parse, errors_after_noreply_keep_quiet)
{
	EXPECT("set k x 0 1 noreply\r\nx\r\n", BAD_FORMAT " swallow=3 noreply\n");
	EXPECT("cas k 0 0 1 noreply\r\nx\r\n", BAD_FORMAT " swallow=3 noreply\n");
	EXPECT("incr k x noreply\r\n", "error CLIENT_ERROR invalid numeric delta argument noreply\n");
	EXPECT("touch k x noreply\r\n", "error CLIENT_ERROR invalid exptime argument noreply\n");
	EXPECT("foo noreply\r\n", "error ERROR\n");
}

Test(text_parse, numbers_that_do_not_fit_are_refused_not_cut)
{
	EXPECT("set k 4294967295 0 0\r\n\r\n", "set k flags=4294967295 value=\r\n\n");
	EXPECT("set k 4294967296 0 0\r\n\r\n", BAD_FORMAT " swallow=2\n");
	EXPECT("set k 0 2147483647 0\r\n\r\n", "set k exptime=2147483647 value=\r\n\n");
	EXPECT("set k 0 -2147483648 0\r\n\r\n", "set k exptime=-2147483648 value=\r\n\n");
	EXPECT("set k 0 2147483648 0\r\n\r\n", BAD_FORMAT " swallow=2\n");
	EXPECT("set k 0 -2147483649 0\r\n\r\n", BAD_FORMAT " swallow=2\n");
	EXPECT("set k 0 99999999999999999999 0\r\n\r\n", BAD_FORMAT " swallow=2\n");
	EXPECT("incr k 18446744073709551615\r\n", "incr k delta=18446744073709551615\n");
	EXPECT("incr k 18446744073709551616\r\n",
	       "error CLIENT_ERROR invalid numeric delta argument\n");
	EXPECT("incr k 000000000000000000000000007\r\n", "incr k delta=7\n");
}

Test(text_parse, the_longest_block_is_announced_and_awaited)
{
	EXPECT("set k 0 0 2147483645\r\nabc", "set k value=abc");
	cr_expect_eq(driver.fill_bytes, 2147483645u + 2 - 3);
}

Test(text_parse, a_caller_may_have_bytes_swallowed)
{
	driver_reset(&driver);
	text_parser_swallow(&driver.tp, 3);
	driver_feed(&driver, "xx", 2);
	cr_expect_str_eq(driver_trace(&driver), "");
	driver_feed(&driver, "yget a\r\n", 8);
	cr_expect_str_eq(driver_trace(&driver), "get a first last\n");
}

/* --- the other commands ----------------------------------------------------------------------- */

Test(text_parse, arithmetic_touch_and_delete)
{
	EXPECT("incr k 5\r\n", "incr k delta=5\n");
	EXPECT("decr k +5\r\n", "decr k delta=5\n");
	EXPECT("incr k\r\n", BAD_FORMAT "\n");
	EXPECT("incr k -1\r\n", "error CLIENT_ERROR invalid numeric delta argument\n");
	EXPECT("decr k 0x1\r\n", "error CLIENT_ERROR invalid numeric delta argument\n");
	EXPECT("incr " KEY_251 " 1\r\n", BAD_FORMAT "\n");
	EXPECT("touch k 0\r\n", "touch k\n");
	EXPECT("touch k\r\n", BAD_FORMAT "\n");
	EXPECT("touch k 2147483648\r\n", "error CLIENT_ERROR invalid exptime argument\n");
	EXPECT("touch " KEY_251 " 1\r\n", BAD_FORMAT "\n");
	EXPECT("delete k\r\n", "delete k\n");
	EXPECT("delete\r\n", BAD_FORMAT "\n");
	EXPECT("delete " KEY_250 "\r\n", "delete " KEY_250 "\n");
	EXPECT("delete " KEY_251 "\r\n", BAD_FORMAT "\n");
}

Test(text_parse, flush_all_knows_whether_a_delay_was_given)
{
	EXPECT("flush_all\r\n", "flush_all exptime=-1\n");
	EXPECT("flush_all 10\r\n", "flush_all exptime=10 line=10\n");
	EXPECT("flush_all -5\r\n", "flush_all line=-5\n");
	EXPECT("flush_all 0 noreply\r\n", "flush_all line=0 noreply noreply\n");
	EXPECT("flush_all x\r\n", "error CLIENT_ERROR invalid exptime argument\n");
	EXPECT("flush_all x noreply\r\n", "error CLIENT_ERROR invalid exptime argument noreply\n");
	EXPECT("flush_all 2147483648\r\n", "error CLIENT_ERROR invalid exptime argument\n");
}

Test(text_parse, commands_of_the_administrator_keep_their_words)
{
	EXPECT("version\r\n", "version\n");
	EXPECT("version x\r\n", "version line=x\n");
	EXPECT("quit\r\n", "quit\n");
	EXPECT("stats\r\n", "stats\n");
	EXPECT("stats  items  x \r\n", "stats line=items  x\n");
	EXPECT("verbosity 1\r\n", "verbosity line=1\n");
	EXPECT("verbosity\r\n", BAD_FORMAT "\n");
	EXPECT("shutdown graceful\r\n", "shutdown line=graceful\n");
	EXPECT("cache_memlimit 64\r\n", "cache_memlimit line=64\n");
	EXPECT("slabs reassign 1 2\r\n", "slabs line=reassign 1 2\n");
	EXPECT("lru mode flat\r\n", "lru line=mode flat\n");
	EXPECT("lru_crawler metadump all\r\n", "lru_crawler line=metadump all\n");
	EXPECT("watch fetchers\r\n", "watch line=fetchers\n");
	EXPECT("gc collect\r\n", "gc line=collect\n");
	EXPECT("debugtime 10\r\n", "debugtime line=10\n");
	EXPECT("mn\r\n", "mn\n");
}

Test(text_parse, a_name_is_matched_whole_and_as_it_is)
{
	EXPECT("GET k\r\n", "error ERROR\n");
	EXPECT("ge k\r\n", "error ERROR\n");
	EXPECT("getx k\r\n", "error ERROR\n");
	EXPECT("get\tk\r\n", "error ERROR\n");
	EXPECT(" get k\r\n", "error ERROR\n");
	EXPECT("    \r\n", "error ERROR\n");
	EXPECT("stat\r\n", "error ERROR\n");
	EXPECT("versionx\r\n", "error ERROR\n");
	EXPECT("lru_crawle all\r\n", "error ERROR\n");
	EXPECT("bget k\r\n", "error ERROR\n");
	EXPECT(KEY_251 "\r\n", "error ERROR\n");
	EXPECT("ab\r\n", "error ERROR\n");
	EXPECT("abc\n", "error ERROR\n");
}

Test(text_parse, a_line_under_four_bytes_is_badly_formed)
{
	EXPECT("\n", BAD_FORMAT "\n");
	EXPECT("\r\n", BAD_FORMAT "\n");
	EXPECT("a\r\n", BAD_FORMAT "\n");
	EXPECT("mn\n", BAD_FORMAT "\n");
	EXPECT("\r\n\r\nmn\r\n", BAD_FORMAT "\n" BAD_FORMAT "\nmn\n");
}

Test(text_parse, a_browser_is_cut_off_without_a_word)
{
	EXPECT("GET / HTTP/1.1\r\nHost: x\r\n", "close\n");
	EXPECT("POST /x HTTP/\r\n", "close\n");
	EXPECT("HTTP/1.1\r\n", "error ERROR\n");
	EXPECT("get HTTP/1.1\r\n", "get HTTP/1.1 first last\n");
	EXPECT("foo HTTP\r\n", "error ERROR\n");
	EXPECT("foo http/1.1\r\n", "error ERROR\n");
}

/* --- long lines ------------------------------------------------------------------------------- */

static char big[64 * 1024];

static size_t put(size_t at, const char *text)
{
	size_t length = strlen(text);

	memcpy(big + at, text, length);
	return at + length;
}

static size_t put_many(size_t at, const char *text, unsigned count)
{
	while (count-- > 0)
		at = put(at, text);
	return at;
}

static void expect_trace_ends(const char *text)
{
	size_t length = strlen(text);

	cr_assert_geq(driver.trace_length, length);
	cr_expect_str_eq(driver_trace(&driver) + driver.trace_length - length, text);
}

static unsigned trace_lines(void)
{
	unsigned lines = 0;
	for (const char *p = driver_trace(&driver); *p != '\0'; p++)
		lines += *p == '\n';
	return lines;
}

Test(text_parse, more_than_2048_bytes_without_a_newline_close_the_connection)
{
	memset(big, 'a', 2049);
	cr_expect_str_eq(driver_run(&driver, big, 2048), "");
	driver_feed(&driver, "\r\n", 2);
	cr_expect_str_eq(driver_trace(&driver), "error ERROR\n");
	cr_expect_str_eq(driver_run(&driver, big, 2049), "close\n");
	put(put(0, "gat 0 "), "k ");
	cr_expect_str_eq(driver_run(&driver, big, 2049), "close\n");
	put(put(0, "delete "), "k ");
	cr_expect_str_eq(driver_run(&driver, big, 2049), "close\n");
}

Test(text_parse, a_long_line_that_is_all_there_is_taken)
{
	size_t length = put_many(put(0, "set k 0 0 1"), " ", 3000);
	length = put(length, "\r\nx\r\n");
	driver_run(&driver, big, length);
	cr_expect_str_eq(driver_trace(&driver), "set k value=x\r\n\n");

	length = put(put_many(put(0, "set k 0 0 1"), " x", 2000), " noreply\r\nx\r\n");
	driver_run(&driver, big, length);
	cr_expect_str_eq(driver_trace(&driver), "set k noreply value=x\r\n\n");

	length = put(put_many(put(0, "gat 7 a"), " b", 2000), "\r\n");
	driver_run(&driver, big, length);
	cr_expect_eq(trace_lines(), 2001);
	cr_expect(strncmp(driver_trace(&driver), "gat a first exptime=7\ngat b ", 27) == 0);
}

Test(text_parse, a_get_without_an_end_gives_its_keys_as_they_come)
{
	size_t length = put_many(put(0, "get"), " key", 1000);
	driver_run(&driver, big, length);
	cr_expect_eq(trace_lines(), 999, "the last key may go on");
	driver_feed(&driver, "s", 1);
	cr_expect_eq(trace_lines(), 999);
	driver_feed(&driver, " ", 1);
	cr_expect_eq(trace_lines(), 999, "it may be the last of the line");
	driver_feed(&driver, "\r", 1);
	cr_expect_eq(trace_lines(), 999);
	driver_feed(&driver, "\n", 1);
	cr_expect_eq(trace_lines(), 1000);
	expect_trace_ends("get keys last\n");
}

Test(text_parse, a_get_longer_than_any_buffer_is_read_in_pieces)
{
	driver_reset(&driver);
	driver_feed(&driver, "gets", 4);
	size_t length = put_many(0, " key_0123456789", 1000);
	for (unsigned i = 0; i < 100; i++)
		driver_feed(&driver, big, length);
	driver_feed(&driver, "\r\nmn\r\n", 6);
	cr_expect_eq(trace_lines(), 100001);
	expect_trace_ends("gets key_0123456789 last\nmn\n");
}

Test(text_parse, a_long_key_inside_an_endless_get_drops_the_rest_of_the_line)
{
	size_t length = put_many(put(0, "get"), " key", 600);
	driver_run(&driver, big, length);
	cr_expect_eq(trace_lines(), 599);
	driver_feed(&driver, " " KEY_250, 251);
	cr_expect_eq(trace_lines(), 600);
	driver_feed(&driver, "y", 1);
	cr_expect_eq(trace_lines(), 601);
	driver_feed(&driver, "yy more keys", 12);
	driver_feed(&driver, " still more\r", 12);
	driver_feed(&driver, "\nget a\r\n", 8);
	cr_expect_eq(trace_lines(), 602);
	expect_trace_ends(BAD_FORMAT "\nget a first last\n");
}

Test(text_parse, a_return_at_the_buffers_end_may_be_the_250_byte_keys_line_end)
{
	size_t length = put_many(put(0, "get"), " key", 600);
	driver_run(&driver, big, length);
	driver_feed(&driver, " " KEY_250 "\r", 252);
	cr_expect_eq(trace_lines(), 600);
	driver_feed(&driver, "\n", 1);
	cr_expect_eq(trace_lines(), 601);
	expect_trace_ends("get " KEY_250 " last\n");
}

Test(text_parse, an_endless_get_of_spaces_has_no_key)
{
	size_t length = put_many(put(0, "get"), " ", 5000);
	driver_run(&driver, big, length);
	cr_expect_str_eq(driver_trace(&driver), "");
	cr_expect_eq(driver.kept_bytes, 0);
	driver_feed(&driver, "\r\nmn\r\n", 6);
	cr_expect_str_eq(driver_trace(&driver), BAD_FORMAT "\nmn\n");
}

Test(text_parse, endless_spaces_after_a_key_are_not_kept)
{
	size_t length = put_many(put(0, "get a b"), " ", 2100);
	driver_run(&driver, big, length);
	cr_expect_str_eq(driver_trace(&driver), "get a first\nget b\n");
	driver_feed(&driver, "   \n", 4);
	cr_expect_str_eq(driver_trace(&driver), "get a first\nget b\nerror END\n");
	driver_feed(&driver, "mn\r\n", 4);
	cr_expect_str_eq(driver_trace(&driver), "get a first\nget b\nerror END\nmn\n");
}
