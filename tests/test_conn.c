/* test_conn.c: bytes in, bytes out, whatever the cut and whatever the client takes or leaves. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "net/conn.h"
#include "tests/support/net_server.h"
#include "tests/support/random.h"

static struct net_server ns;

/* --- cuts ------------------------------------------------------------------------------------- */

static const char cut_say[] =
	"set a 7 0 5\r\nhello\r\n"
	"get a b a\r\n"
	"gets none\r\n"
	"bogus\r\n"
	"set b 0 0 3\r\nxyzzy\r\n"
	"ms c 4 c O1 F9 T0\r\nwxyz\r\n"
	"mg YQ== b v f k\r\n"
	"append a 0 0 2 noreply\r\n\r\n\r\n"
	"get a \r\n"
	"incr a 1\r\n"
	"set big 0 0 1000000000\r\n"
	"md a q\r\nmn\r\n";

/* `set b` has two bytes too many behind its block: they are a line of their own. The value over the limit
 * swallows all that follows, so it is left out when the replies are compared byte for byte. */
static void expect_cut_replies(int fd)
{
	net_expect(fd, "STORED\r\n"
		       "VALUE a 7 5\r\nhello\r\nVALUE a 7 5\r\nhello\r\nEND\r\n"
		       "END\r\n"
		       "ERROR\r\n"
		       "CLIENT_ERROR bad data chunk\r\nCLIENT_ERROR bad command line format\r\n");
}

static size_t cut_length(void)
{
	return (size_t)(strstr(cut_say, "ms c") - cut_say);
}

Test(conn, replies_do_not_depend_on_where_the_input_is_cut)
{
	net_server_start(&ns, "");
	for (size_t at = 1; at < cut_length(); at++) {
		int fd = net_connect(&ns);
		net_send(fd, cut_say, at);
		/* The first part was taken in before the second is sent. */
		net_stat(&ns, "stats", "bytes_read");
		net_send(fd, cut_say + at, cut_length() - at);
		expect_cut_replies(fd);
		net_converse(fd, "flush_all\r\n", "OK\r\n");
		net_say(fd, "quit\r\n");
		net_expect_end(fd);
	}
	net_server_stop(&ns);
}

Test(conn, replies_do_not_depend_on_bytes_coming_one_by_one)
{
	net_server_start(&ns, "");
	int fd = net_connect(&ns);
	for (size_t at = 0; at < cut_length(); at++) {
		net_send(fd, cut_say + at, 1);
		net_stat(&ns, "stats", "bytes_read");
	}
	expect_cut_replies(fd);
	close(fd);
	net_server_stop(&ns);
}

Test(conn, meta_commands_survive_every_cut)
{
	const char *say = strstr(cut_say, "ms c");
	size_t length = (size_t)(strstr(cut_say, "incr a") - say);

	net_server_start(&ns, "");
	for (size_t at = 1; at < length; at++) {
		int fd = net_connect(&ns);
		net_converse(fd, "set a 7 0 5\r\nhello\r\n", "STORED\r\n");
		net_send(fd, say, at);
		net_stat(&ns, "stats", "bytes_read");
		net_send(fd, say + at, length - at);
		net_expect(fd, "HD c");
		char byte;
		do
			net_receive_some(fd, &byte, 1);
		while (byte != ' ');
		net_expect(fd, "O1\r\nVA 5 f7 ka\r\nhello\r\nVALUE a 7 7\r\nhello\r\n\r\nEND\r\n");
		close(fd);
	}
	net_server_stop(&ns);
}

/* --- values of all sizes ---------------------------------------------------------------------- */

/* Bytes that differ from place to place and from value to value. */
static char *make_value(size_t length, unsigned version)
{
	char *value = malloc(length + 1);

	for (size_t i = 0; i < length; i++)
		value[i] = (char)('!' + (i * 31 + i / 90 + version * 17) % 90);
	value[length] = '\0';
	return value;
}

static void set_value(int fd, const char *key, size_t length, unsigned version)
{
	char line[100];
	char *value = make_value(length, version);

	snprintf(line, sizeof(line), "set %s %u 0 %zu\r\n", key, version, length);
	net_say(fd, line);
	net_send(fd, value, length);
	net_say(fd, "\r\n");
	net_expect(fd, "STORED\r\n");
	free(value);
}

static void expect_value(int fd, const char *key, size_t length, unsigned version)
{
	char line[100];
	char *value = make_value(length, version);

	snprintf(line, sizeof(line), "VALUE %s %u %zu\r\n", key, version, length);
	net_expect(fd, line);
	net_expect_bytes(fd, value, length);
	net_expect(fd, "\r\n");
	free(value);
}

Test(conn, values_of_every_size_come_back_as_they_were)
{
	static const size_t sizes[] = {0,    1,     2,     511,   512,   513,   4094,   4095,   4096,
				       4097, 16383, 16384, 16385, 20480, 65535, 65536, 131072, 1000000};

	net_server_start(&ns, "");
	int fd = net_connect(&ns);
	for (unsigned i = 0; i < ARRAY_LENGTH(sizes); i++) {
		set_value(fd, "a", sizes[i], i);
		net_say(fd, "get a a\r\n");
		expect_value(fd, "a", sizes[i], i);
		expect_value(fd, "a", sizes[i], i);
		net_expect(fd, "END\r\n");
	}
	close(fd);
	net_server_stop(&ns);
}

Test(conn, a_large_value_may_come_in_pieces_of_any_size)
{
	struct test_random rnd = {.state = test_seed(7)};
	char *value = make_value(300000, 1);

	net_server_start(&ns, "");
	int fd = net_connect(&ns);
	for (unsigned round = 0; round < 20; round++) {
		net_say(fd, "set a 1 0 300000\r\n");
		for (size_t at = 0; at < 300000;) {
			size_t part = 1 + test_random_below(&rnd, 1u << test_random_below(&rnd, 17));
			part = MIN(part, 300000 - at);
			net_send(fd, value + at, part);
			at += part;
		}
		net_converse(fd, "\r\nget a\r\n", "STORED\r\n");
		expect_value(fd, "a", 300000, 1);
		net_expect(fd, "END\r\n");
	}
	free(value);
	close(fd);
	net_server_stop(&ns);
}

Test(conn, a_large_block_with_a_wrong_end_leaves_the_old_value)
{
	char *value = make_value(100000, 1);

	net_server_start(&ns, "");
	int fd = net_connect(&ns);
	set_value(fd, "a", 10, 3);
	net_say(fd, "set a 1 0 100000\r\n");
	net_send(fd, value, 100000);
	net_converse(fd, "\rXget a\r\n", "CLIENT_ERROR bad data chunk\r\n");
	expect_value(fd, "a", 10, 3);
	net_expect(fd, "END\r\n");
	free(value);
	close(fd);
	net_server_stop(&ns);
}

Test(conn, a_value_over_the_limit_is_swallowed_and_the_next_command_heard)
{
	char *value = make_value(2000000, 1);

	net_server_start(&ns, "");
	int fd = net_connect(&ns);
	net_converse(fd, "set a 0 0 1\r\nx\r\n", "STORED\r\n");
	net_say(fd, "set a 0 0 2000000\r\n");
	net_send(fd, value, 2000000);
	net_converse(fd, "\r\nget a\r\nmn\r\n", "SERVER_ERROR object too large for cache\r\nEND\r\nMN\r\n");
	free(value);
	close(fd);
	net_server_stop(&ns);
}

Test(conn, a_client_that_dies_in_a_value_leaves_nothing_behind)
{
	net_server_start(&ns, "");
	for (unsigned i = 0; i < 20; i++) {
		int fd = net_connect(&ns);
		net_say(fd, "set a 0 0 900000\r\nhalf");
		net_stat(&ns, "stats", "bytes_read");
		close(fd);
	}
	net_wait_stat(&ns, "stats", "curr_connections", 1);
	cr_assert_eq(net_stat(&ns, "stats", "curr_items"), 0);
	cr_assert_eq(net_stat(&ns, "stats", "read_buf_count"), 0);
	net_server_stop(&ns);
}

/* --- pipelines and clients that do not read --------------------------------------------------- */

Test(conn, a_pipeline_of_any_depth_is_answered_in_order)
{
	enum { DEPTH = 20000 };
	char *say = malloc(DEPTH * 24), *p = say;

	net_server_start(&ns, "");
	int fd = net_connect(&ns);
	net_converse(fd, "set n 0 0 1\r\n0\r\n", "STORED\r\n");
	for (unsigned i = 0; i < DEPTH; i++)
		p += sprintf(p, i % 3 == 2 ? "mg n v Ox%u\r\n" : "incr n 1\r\n", i);
	/* What the server takes while nobody reads, then the rest while somebody does. */
	size_t sent = net_send_some(fd, say, (size_t)(p - say));
	unsigned n = 0;
	for (unsigned i = 0; i < DEPTH; i++) {
		char expected[64], digits[16];
		n += i % 3 != 2;
		snprintf(digits, sizeof(digits), "%u", n);
		if (i % 3 == 2)
			snprintf(expected, sizeof(expected), "VA %zu Ox%u\r\n%s\r\n", strlen(digits), i, digits);
		else
			snprintf(expected, sizeof(expected), "%s\r\n", digits);
		net_expect(fd, expected);
		sent += net_send_some(fd, say + sent, (size_t)(p - say) - sent);
	}
	free(say);
	close(fd);
	net_server_stop(&ns);
}

/* A multiget of many keys, whose replies are far more than any buffer holds. */
static char *make_multiget(unsigned keys, size_t *length)
{
	char *say = malloc(keys * 8 + 16), *p = say;

	p += sprintf(p, "get");
	for (unsigned i = 0; i < keys; i++)
		p += sprintf(p, " k%u", i % 100);
	p += sprintf(p, "\r\n");
	*length = (size_t)(p - say);
	return say;
}

static void answer_later(const char *flags, const size_t *sizes, unsigned size_count)
{
	enum { KEYS = 5000 };
	size_t length, sent = 0;
	char key[8];

	net_server_start(&ns, flags);
	int writer = net_connect(&ns), fd = net_connect_small(&ns);
	for (unsigned i = 0; i < 100; i++) {
		snprintf(key, sizeof(key), "k%u", i);
		set_value(writer, key, sizes[i % size_count], i);
	}
	char *say = make_multiget(KEYS, &length);
	sent = net_send_some(fd, say, length);
	/* It blocks, with little parked for it. */
	net_wait_stat(&ns, "stats", "blocked_connections", 1);
	cr_assert_lt(net_stat(&ns, "stats budget", "buffers"), 512 << 10);
	for (unsigned i = 0; i < KEYS; i++) {
		snprintf(key, sizeof(key), "k%u", i % 100);
		expect_value(fd, key, sizes[i % 100 % size_count], i % 100);
		sent += net_send_some(fd, say + sent, length - sent);
	}
	net_send(fd, say + sent, length - sent);
	net_expect(fd, "END\r\n");
	net_converse(fd, "mn\r\n", "MN\r\n");
	cr_assert_eq(net_stat(&ns, "stats", "read_buf_count"), 0);
	free(say);
	close(fd);
	close(writer);
	net_server_stop(&ns);
}

Test(conn, a_multiget_is_answered_as_the_client_takes_it)
{
	static const size_t sizes[] = {100};

	answer_later("", sizes, 1);
}

Test(conn, large_and_small_values_take_turns_in_a_multiget)
{
	static const size_t sizes[] = {100, 5000, 0, 40000, 4096, 4097};

	answer_later("", sizes, ARRAY_LENGTH(sizes));
}

Test(conn, base64_keys_survive_being_put_back)
{
	enum { KEYS = 3000 };
	char *say = malloc(KEYS * 96), *p = say;
	size_t sent;

	net_server_start(&ns, "");
	int writer = net_connect(&ns), fd = net_connect_small(&ns);
	set_value(writer, "foobar", 3000, 1);
	char *value = make_value(3000, 1);
	for (unsigned i = 0; i < KEYS; i++)
		p += sprintf(p, "mg Zm9vYmFy b k v O%u\r\nms YmF6 1 b DZm9vYmFy O%u HZm9vYmFy\r\nx\r\n", i, i);
	sent = net_send_some(fd, say, (size_t)(p - say));
	net_wait_stat(&ns, "stats", "blocked_connections", 1);
	for (unsigned i = 0; i < KEYS; i++) {
		char line[64];
		snprintf(line, sizeof(line), "VA 3000 kfoobar O%u\r\n", i);
		net_expect(fd, line);
		net_expect_bytes(fd, value, 3000);
		snprintf(line, sizeof(line), "\r\nHD O%u\r\n", i);
		net_expect(fd, line);
		sent += net_send_some(fd, say + sent, (size_t)(p - say) - sent);
	}
	free(say);
	free(value);
	close(fd);
	close(writer);
	net_server_stop(&ns);
}

Test(conn, a_value_that_changes_while_it_is_sent_is_sent_as_it_was)
{
	net_server_start(&ns, "");
	int writer = net_connect(&ns), fd = net_connect_small(&ns);
	set_value(writer, "a", 900000, 1);
	net_say(fd, "get a\r\n");
	net_wait_stat(&ns, "stats", "blocked_connections", 1);
	set_value(writer, "a", 900000, 2);
	net_converse(writer, "delete a\r\nflush_all\r\n", "DELETED\r\nOK\r\n");
	for (unsigned i = 0; i < 60; i++)
		set_value(writer, i % 2 ? "b" : "c", 900000, 3 + i);
	expect_value(fd, "a", 900000, 1);
	net_expect(fd, "END\r\n");
	cr_assert_eq(net_stat(&ns, "stats", "pinned_bytes"), 0);
	close(fd);
	close(writer);
	net_server_stop(&ns);
}

Test(conn, replies_of_a_client_that_leaves_without_reading_are_dropped)
{
	size_t length;
	char *say = make_multiget(5000, &length);

	net_server_start(&ns, "");
	int writer = net_connect(&ns);
	for (unsigned i = 0; i < 100; i++) {
		char key[8];
		snprintf(key, sizeof(key), "k%u", i);
		set_value(writer, key, i % 2 ? 100 : 10000, i);
	}
	for (unsigned i = 0; i < 10; i++) {
		int fd = net_connect_small(&ns);
		net_send_some(fd, say, length);
		net_wait_stat(&ns, "stats", "blocked_connections", 1);
		close(fd);
		net_wait_stat(&ns, "stats", "blocked_connections", 0);
	}
	net_wait_stat(&ns, "stats", "curr_connections", 2);
	cr_assert_eq(net_stat(&ns, "stats", "pinned_bytes"), 0);
	free(say);
	close(writer);
	net_server_stop(&ns);
}

Test(conn, a_half_closed_connection_gets_its_replies)
{
	net_server_start(&ns, "");
	int writer = net_connect(&ns), fd = net_connect_small(&ns);
	set_value(writer, "a", 500000, 1);
	net_say(fd, "get a\r\nmn\r\n");
	shutdown(fd, SHUT_WR);
	expect_value(fd, "a", 500000, 1);
	net_expect(fd, "END\r\nMN\r\n");
	net_expect_end(fd);
	close(writer);
	net_server_stop(&ns);
}

Test(conn, what_follows_quit_is_not_answered)
{
	net_server_start(&ns, "");
	int fd = net_connect(&ns);
	net_say(fd, "mn\r\nquit\r\nmn\r\n");
	net_expect(fd, "MN\r\n");
	net_expect_end(fd);
	net_server_stop(&ns);
}

Test(conn, a_pipeline_before_a_line_that_closes_is_answered)
{
	net_server_start(&ns, "");
	int fd = net_connect(&ns);
	net_say(fd, "mn\r\nset a 0 0 1\r\nx\r\nGET / HTTP/1.1\r\n");
	net_expect(fd, "MN\r\nSTORED\r\n");
	net_expect_end(fd);
	net_server_stop(&ns);
}

/* --- time ------------------------------------------------------------------------------------- */

Test(conn, a_client_that_takes_nothing_is_closed_after_a_time)
{
	size_t length;
	char *say = make_multiget(5000, &length);

	net_server_start(&ns, "");
	int writer = net_connect(&ns), fd = net_connect_small(&ns);
	for (unsigned i = 0; i < 100; i++) {
		char key[8];
		snprintf(key, sizeof(key), "k%u", i);
		set_value(writer, key, 1000, i);
	}
	net_send_some(fd, say, length);
	net_wait_stat(&ns, "stats", "blocked_connections", 1);
	net_pass_seconds(&ns, CONN_STALL_SECONDS - 5);
	cr_assert_eq(net_stat(&ns, "stats", "blocked_connections"), 1);
	net_pass_seconds(&ns, 10);
	net_wait_stat(&ns, "stats", "stall_kicks", 1);
	cr_assert_eq(net_stat(&ns, "stats", "blocked_connections"), 0);
	/* One that is only silent stays. */
	net_converse(writer, "mn\r\n", "MN\r\n");
	free(say);
	close(fd);
	close(writer);
	net_server_stop(&ns);
}

Test(conn, idle_connections_are_closed_if_that_is_asked_for)
{
	net_server_start(&ns, "-o idle_timeout=100");
	int fd = net_connect(&ns);
	net_converse(fd, "mn\r\n", "MN\r\n");
	net_pass_seconds(&ns, 90);
	net_converse(fd, "mn\r\n", "MN\r\n");
	net_pass_seconds(&ns, 90);
	net_converse(fd, "mn\r\n", "MN\r\n");
	net_pass_seconds(&ns, 102);
	net_expect_end(fd);
	cr_assert_eq(net_stat(&ns, "stats", "idle_kicks"), 1);
	net_server_stop(&ns);
}

/* --- fairness --------------------------------------------------------------------------------- */

Test(conn, a_deep_pipeline_does_not_keep_others_from_their_turn)
{
	enum { DEPTH = 4000 };
	char *say = malloc(DEPTH * 8), *p = say;

	net_server_start(&ns, "-R 64");
	int deep = net_connect(&ns), fd = net_connect(&ns);
	for (unsigned i = 0; i < DEPTH; i++)
		p += sprintf(p, "get a\r\n");
	net_send(deep, say, (size_t)(p - say));
	net_converse(fd, "mn\r\n", "MN\r\n");
	for (unsigned i = 0; i < DEPTH; i++)
		net_expect(deep, "END\r\n");
	cr_assert_geq(net_stat(&ns, "stats", "conn_yields"), 10);
	free(say);
	close(deep);
	close(fd);
	net_server_stop(&ns);
}

Test(conn, gc_collect_does_not_keep_others_from_their_turn)
{
	enum { CYCLES = 20000 };

	net_server_start(&ns, "-m 64 --held-limit=90");
	int gc = net_connect(&ns), fd = net_connect(&ns);
	for (unsigned i = 0; i < CYCLES; i++) {
		char say[128];
		int length = sprintf(say, "set a%u 0 0 1 noreply\r\nx\r\nms b%u 1 q Ha%u\r\nx\r\nms a%u 1 q Hb%u\r\nx\r\n",
				     i, i, i, i, i);
		net_send(gc, say, (size_t)length);
	}
	net_converse(gc, "gc disable\r\n", "OK\r\n");
	uint64_t before = net_stat(&ns, "stats", "conn_yields");
	net_send(gc, "gc collect\r\n", 12);
	net_converse(fd, "mn\r\n", "MN\r\n");
	net_expect(gc, "OK ");
	/* Forty thousand holds in five phases take some milliseconds. */
	cr_assert_geq(net_stat(&ns, "stats", "conn_yields") - before, 4);
	close(gc);
	close(fd);
	net_server_stop(&ns);
}

/* --- memory ----------------------------------------------------------------------------------- */

Test(conn, a_connection_at_rest_has_no_buffer)
{
	int fds[200];

	net_server_start(&ns, "");
	for (unsigned i = 0; i < 200; i++) {
		fds[i] = net_connect(&ns);
		net_converse(fds[i], "set a 0 0 1\r\nx\r\nget a\r\n", "STORED\r\nVALUE a 0 1\r\nx\r\nEND\r\n");
	}
	cr_assert_eq(net_stat(&ns, "stats", "read_buf_count"), 0);
	cr_assert_leq(net_stat(&ns, "stats budget", "connections"), 220 * CONN_BYTES_MAX);
	for (unsigned i = 0; i < 200; i++)
		close(fds[i]);
	net_wait_stat(&ns, "stats", "curr_connections", 1);
	cr_assert_leq(net_stat(&ns, "stats budget", "connections"), 3 * OS_PAGE_BYTES);
	net_server_stop(&ns);
}

/* Many clients that ask for much and read nothing: what they park stays under its share, the server
 * serves others, and who reads at last gets what he asked for or is closed, but nothing wrong. */
Test(conn, clients_that_do_not_read_cannot_take_the_budget)
{
	enum { CLIENTS = 300 };
	int fds[CLIENTS];
	size_t length;
	char *say = make_multiget(3000, &length);

	net_server_start(&ns, "-m 8 -t 2");
	int writer = net_connect(&ns);
	for (unsigned i = 0; i < 100; i++) {
		char key[8];
		snprintf(key, sizeof(key), "k%u", i);
		set_value(writer, key, i % 10 == 0 ? 20000 : 2000, i);
	}
	for (unsigned i = 0; i < CLIENTS; i++) {
		fds[i] = net_connect_small(&ns);
		net_send_some(fds[i], say, length);
	}
	net_converse(writer, "set z 0 0 1\r\nx\r\nget z\r\n", "STORED\r\nVALUE z 0 1\r\nx\r\nEND\r\n");
	uint64_t limit = net_stat(&ns, "stats budget", "limit");
	cr_assert_leq(net_stat(&ns, "stats budget", "buffers"), limit / 4 + BUFFER_BYTES_MAX);
	cr_assert_leq(net_stat(&ns, "stats budget", "used"), limit);
	for (unsigned i = 0; i < CLIENTS; i++)
		close(fds[i]);
	net_wait_stat(&ns, "stats", "curr_connections", 2);
	free(say);
	close(writer);
	net_server_stop(&ns);
}
