/* test_dispatch.c: what commands mean, where time or several clients are part of it. What one client
 * sees at one moment is in tests/wire. */
#include <criterion/criterion.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "net/version.h"
#include "tests/support/one_client.h"

/* --- time ------------------------------------------------------------------------------------- */

Test(dispatch, an_item_is_gone_in_the_second_its_time_is_over)
{
	start("");
	net_converse(fd, "set a 0 100 1\r\nx\r\nmg a t\r\n", "STORED\r\nHD t100\r\n");
	net_pass_seconds(&ns, 98);
	net_converse(fd, "get a\r\n", "VALUE a 0 1\r\nx\r\nEND\r\n");
	net_pass_seconds(&ns, 2);
	net_converse(fd, "get a\r\nmg a\r\ntouch a 5\r\nincr a 1\r\ndelete a\r\n",
		     "END\r\nEN\r\nNOT_FOUND\r\nNOT_FOUND\r\nNOT_FOUND\r\n");
	stop();
}

Test(dispatch, touch_and_gat_give_a_new_time)
{
	start("");
	net_converse(fd, "set a 0 10 1\r\nx\r\nset b 0 10 1\r\ny\r\nset c 0 10 1\r\nz\r\n",
		     "STORED\r\nSTORED\r\nSTORED\r\n");
	net_converse(fd, "touch a 1000\r\ngat 1000 b\r\nmg c T1000\r\n",
		     "TOUCHED\r\nVALUE b 0 1\r\ny\r\nEND\r\nHD\r\n");
	net_pass_seconds(&ns, 500);
	net_converse(fd, "get a b c\r\n", "VALUE a 0 1\r\nx\r\nVALUE b 0 1\r\ny\r\nVALUE c 0 1\r\nz\r\nEND\r\n");
	net_pass_seconds(&ns, 600);
	net_converse(fd, "get a b c\r\n", "END\r\n");
	stop();
}

Test(dispatch, thirty_days_are_from_now_and_more_is_a_date)
{
	char say[64];

	start("");
	net_converse(fd, "set a 0 2592000 1\r\nx\r\nset b 0 2592001 1\r\ny\r\nget a b\r\n",
		     "STORED\r\nSTORED\r\nVALUE a 0 1\r\nx\r\nEND\r\n");
	snprintf(say, sizeof(say), "set c 0 %lld 1\r\nz\r\n",
		 (long long)clock_wall(&ns.server.clock) + 100);
	net_converse(fd, say, "STORED\r\n");
	net_pass_seconds(&ns, 95);
	net_converse(fd, "get c\r\n", "VALUE c 0 1\r\nz\r\nEND\r\n");
	net_pass_seconds(&ns, 10);
	net_converse(fd, "get c\r\n", "END\r\n");
	stop();
}

static int64_t nanoseconds(clockid_t id)
{
	struct timespec ts;

	clock_gettime(id, &ts);
	return ts.tv_sec * 1000000000LL + ts.tv_nsec;
}

/* Ten servers whose seconds begin at different times within the wall clock's: none forgets early, none a
 * second late, whenever in its second it is told. */
Test(dispatch, a_date_is_over_within_a_second_after_it)
{
	struct server_clock clock;

	clock_init(&clock);
	for (unsigned i = 0; i < 10; i++) {
		int64_t date = clock_wall(&clock) + 100;
		int64_t second = clock_expiry(&clock, clock_now(&clock), date) - (int64_t)CLOCK_FIRST_SECOND;
		int64_t over_ns = clock.start_ns + second * 1000000000LL + nanoseconds(CLOCK_REALTIME) -
		                  nanoseconds(CLOCK_MONOTONIC) - date * 1000000000LL;

		cr_assert_geq(over_ns, -1000000, "%lld ns", (long long)over_ns);
		cr_assert_lt(over_ns, 1001000000, "%lld ns", (long long)over_ns);
		clock.start_ns -= 100000000;
	}
}

Test(dispatch, a_delayed_flush_takes_what_is_there_when_its_time_comes)
{
	start("-t 3");
	net_converse(fd, "set a 0 0 1\r\nx\r\nflush_all 60\r\nget a\r\n",
		     "STORED\r\nOK\r\nVALUE a 0 1\r\nx\r\nEND\r\n");
	net_pass_seconds(&ns, 30);
	net_converse(fd, "set b 0 0 1\r\ny\r\nget a b\r\n",
		     "STORED\r\nVALUE a 0 1\r\nx\r\nVALUE b 0 1\r\ny\r\nEND\r\n");
	net_pass_seconds(&ns, 31);
	net_converse(fd, "get a b\r\n", "END\r\n");
	net_converse(fd, "set c 0 0 1\r\nz\r\n", "STORED\r\n");
	net_pass_seconds(&ns, 100);
	net_converse(fd, "get c\r\n", "VALUE c 0 1\r\nz\r\nEND\r\n");
	stop();
}

Test(dispatch, a_later_flush_takes_the_place_of_a_delayed_one)
{
	start("");
	net_converse(fd, "flush_all 60\r\nflush_all\r\nset a 0 0 1\r\nx\r\n", "OK\r\nOK\r\nSTORED\r\n");
	net_pass_seconds(&ns, 100);
	net_converse(fd, "get a\r\n", "VALUE a 0 1\r\nx\r\nEND\r\n");
	stop();
}

Test(dispatch, debugtime_moves_the_clock)
{
	start("");
	net_converse(fd, "set a 0 100 1\r\nx\r\ndebugtime +200\r\nget a\r\n", "STORED\r\nOK\r\nEND\r\n");
	net_converse(fd, "debugtime x\r\ndebugtime\r\n", "ERROR\r\nERROR\r\n");
	stop();
}

Test(dispatch, mg_tells_the_seconds_since_the_last_access)
{
	start("");
	net_converse(fd, "set a 0 0 1\r\nx\r\nmg a l h\r\n", "STORED\r\nHD l0 h0\r\n");
	net_pass_seconds(&ns, 3);
	store_maintain(store_thread_get(ns.store, ns.server.worker_count), clock_now(&ns.server.clock));
	net_converse(fd, "mg a u h\r\n", "HD h1\r\n");
	stop();
}

/* --- several clients -------------------------------------------------------------------------- */

Test(dispatch, one_client_wins_and_the_others_are_told)
{
	char text[32];
	unsigned winners = 0;
	int fds[10];

	start("-t 4");
	for (unsigned i = 0; i < 10; i++)
		fds[i] = net_connect(&ns);
	for (unsigned i = 0; i < 10; i++)
		net_say(fds[i], "mg a N30\r\n");
	for (unsigned i = 0; i < 10; i++) {
		size_t length = 0;
		while (length < 6)
			length += net_receive_some(fds[i], text + length, 6 - length);
		winners += memcmp(text, "HD W\r\n", 6) == 0;
		cr_assert(memcmp(text, "HD W\r\n", 6) == 0 || memcmp(text, "HD Z\r\n", 6) == 0);
		close(fds[i]);
	}
	cr_assert_eq(winners, 1);
	stop();
}

Test(dispatch, who_recaches_with_its_unique_ends_the_staleness)
{
	char text[64] = "", say[64];
	unsigned long long cas;
	int other;

	start("");
	other = net_connect(&ns);
	net_converse(fd, "ms a 1 T100\r\nx\r\nmd a I T30\r\n", "HD\r\nHD\r\n");
	net_say(fd, "mg a v c\r\n");
	net_receive_some(fd, text, sizeof(text) - 1);
	cr_assert_eq(sscanf(text, "VA 1 c%llu X W\r\nx\r\n", &cas), 1, "%s", text);
	net_converse(other, "mg a v t\r\n", "VA 1 t30 Z X\r\nx\r\n");
	snprintf(say, sizeof(say), "ms a 1 C%llu T50\r\ny\r\n", cas);
	net_converse(fd, say, "HD\r\n");
	net_converse(other, "mg a v t\r\n", "VA 1 t50\r\ny\r\n");
	close(other);
	stop();
}

Test(dispatch, a_unique_given_is_the_unique_of_the_item)
{
	start("");
	net_converse(fd, "ms a 1 E12345 c\r\nx\r\n", "HD c12345\r\n");
	net_converse(fd, "gets a\r\n", "VALUE a 0 1 12345\r\nx\r\nEND\r\n");
	net_converse(fd, "ms n 1 E7\r\n1\r\nma n E8 c v\r\nmg n c\r\n", "HD\r\nVA 1 c8\r\n2\r\nHD c8\r\n");
	net_converse(fd, "md a I E99\r\nmg a c\r\n", "HD\r\nHD c99 X W\r\n");
	net_converse(fd, "mg new N0 E5 c\r\n", "HD c5 W\r\n");
	stop();
}

/* --- memory ----------------------------------------------------------------------------------- */

Test(dispatch, without_eviction_a_full_cache_refuses_and_forgets_what_was_to_be_replaced)
{
	char say[3000], key[16];
	unsigned refused = 0;

	start("-m 8 -M");
	memset(say, 0, sizeof(say));
	net_converse(fd, "set old 0 0 1\r\nx\r\n", "STORED\r\n");
	for (unsigned i = 0; i < 20000 && refused == 0; i++) {
		char reply[64] = "";
		snprintf(key, sizeof(key), "key%u", i);
		int length = snprintf(say, sizeof(say), "set %s 0 0 2000\r\n%02000d\r\n", key, i);
		net_send(fd, say, (size_t)length);
		net_receive_some(fd, reply, sizeof(reply) - 1);
		refused += strcmp(reply, "SERVER_ERROR out of memory storing object\r\n") == 0;
		cr_assert(refused || strcmp(reply, "STORED\r\n") == 0, "%s", reply);
	}
	cr_assert_eq(refused, 1);
	int length = snprintf(say, sizeof(say), "set old 0 0 2000\r\n%02000d\r\nget old\r\n", 1);
	net_send(fd, say, (size_t)length);
	net_expect(fd, "SERVER_ERROR out of memory storing object\r\nEND\r\n");
	cr_assert_geq(net_stat(&ns, "stats", "store_no_memory"), 2);
	cr_assert_eq(net_stat(&ns, "stats", "evictions"), 0);
	stop();
}

/* --- counters --------------------------------------------------------------------------------- */

enum { RESETS_AT_ONCE = 100 };

/* Counts and resets until the test is over, on a worker of its own. */
static void *reset_again_and_again(void *context)
{
	static const char one[] = "get a\r\nstats reset\r\n", reply[] = "END\r\nRESET\r\n";
	char say[sizeof(one) * RESETS_AT_ONCE] = "", expect[sizeof(reply) * RESETS_AT_ONCE] = "";
	char *say_end = say, *expect_end = expect;
	int client = net_connect(&ns);

	for (unsigned i = 0; i < RESETS_AT_ONCE; i++) {
		say_end = stpcpy(say_end, one);
		expect_end = stpcpy(expect_end, reply);
	}
	while (!atomic_load((atomic_bool *)context))
		net_converse(client, say, expect);
	close(client);
	return NULL;
}

Test(dispatch, counters_never_fall_below_nothing_while_they_are_reset)
{
	enum { LOOKS = 20000 };
	static char text[1 << 16];
	atomic_bool over = false;
	pthread_t resetting;

	start("-t 2");
	cr_assert_eq(pthread_create(&resetting, NULL, reset_again_and_again, &over), 0);
	for (unsigned looks = 0; looks < LOOKS; looks++) {
		size_t length = 0;

		net_say(fd, "stats\r\n");
		do {
			length += net_receive_some(fd, text + length, sizeof(text) - 1 - length);
			text[length] = '\0';
		} while (!strstr(text, "\r\nEND\r\n"));
		for (char *line = strtok(text, "\n"); line; line = strtok(NULL, "\n"))
			cr_assert(strlen(strrchr(line, ' ') ? strrchr(line, ' ') : "") < strlen(" 10000000000000000000\r"),
				  "look %u: %s", looks, line);
	}
	atomic_store(&over, true);
	pthread_join(resetting, NULL);
	stop();
}

/* --- watchers --------------------------------------------------------------------------------- */

Test(dispatch, a_watcher_that_does_not_read_loses_lines_and_nothing_else)
{
	start("-t 2 -o watcher_logbuf_size=8");
	int watcher = net_connect_small(&ns);
	net_converse(watcher, "watch fetchers\r\n", "OK\r\n");
	for (unsigned i = 0; i < 5000; i++)
		net_converse(fd, "get a\r\n", "END\r\n");
	cr_assert_gt(net_stat(&ns, "stats", "log_watcher_skipped"), 0);
	cr_assert_eq(net_stat(&ns, "stats", "log_watchers"), 1);
	close(watcher);
	net_wait_stat(&ns, "stats", "log_watchers", 0);
	cr_assert_eq(net_stat(&ns, "stats budget", "logs"), 0);
	stop();
}

/* --- dumps ------------------------------------------------------------------------------------ */

Test(dispatch, a_dump_is_made_as_the_client_takes_it)
{
	enum { ITEMS = 20000 };
	static char text[1 << 16];
	char say[64];
	unsigned lines = 0;

	start("-m 64");
	for (unsigned i = 0; i < ITEMS; i++) {
		snprintf(say, sizeof(say), "set key-%05u 0 0 1 noreply\r\nx\r\n", i);
		net_say(fd, say);
	}
	net_converse(fd, "mn\r\n", "MN\r\n");
	int dumper = net_connect_small(&ns);
	net_say(dumper, "lru_crawler metadump all\r\nmn\r\n");
	net_wait_stat(&ns, "stats", "blocked_connections", 1);
	cr_assert_lt(net_stat(&ns, "stats budget", "buffers"), 256 << 10);
	size_t kept = 0;
	for (bool done = false; !done;) {
		kept += net_receive_some(dumper, text + kept, sizeof(text) - 1 - kept);
		text[kept] = '\0';
		char *line = text;
		for (char *end; (end = strchr(line, '\n')) != NULL; line = end + 1) {
			lines += strncmp(line, "key=key-", 8) == 0;
			done |= strncmp(line, "MN\r", 3) == 0;
		}
		kept -= (size_t)(line - text);
		memmove(text, line, kept);
	}
	cr_assert_eq(lines, ITEMS);
	close(dumper);
	stop();
}

/* Batches that expect weak references, by those before them: every kind of request among them. */
Test(dispatch, batches_that_follow_weak_references_answer_like_others)
{
	static char say[20000], expect[40000];
	char *to = say, *from = expect;

	start("");
	for (unsigned i = 0; i < 40; i++) {
		to += sprintf(to, "set t%u 0 0 2\r\n%02u\r\nms w%u %zu W\r\nt%u\r\n", i, i, i,
			      (size_t)(i < 10 ? 2 : 3), i);
		from += sprintf(from, "STORED\r\nHD\r\n");
	}
	net_converse(fd, say, expect);
	for (unsigned round = 0; round < 3; round++) {
		to = say;
		from = expect;
		for (unsigned i = 0; i < 40; i++) {
			to += sprintf(to, "get w%u\r\n", i);
			from += sprintf(from, "VALUE w%u 0 2\r\n%02u\r\nEND\r\n", i, i);
		}
		net_converse(fd, say, expect);
		/* What is written in the batch is what is read after it, whatever was fetched before. */
		to = say;
		from = expect;
		for (unsigned i = 0; i < 40; i += 4) {
			to += sprintf(to, "get w%u w%u nothing\r\nset t%u 0 0 6\r\nchange\r\nmg w%u v w\r\n", i, i + 1,
				      i, i);
			from += sprintf(from, "VALUE w%u 0 2\r\n%02u\r\nVALUE w%u 0 2\r\n%02u\r\nEND\r\nSTORED\r\n"
					"VA 6 wt%u\r\nchange\r\n", i, i, i + 1, i + 1, i);
			to += sprintf(to, "delete t%u noreply\r\nget w%u\r\nmn\r\nversion\r\n", i + 2, i + 2);
			from += sprintf(from, "END\r\nMN\r\nVERSION " LARDER_VERSION "\r\n");
			to += sprintf(to, "set t%u 0 0 2\r\n%02u\r\nset t%u 0 0 2\r\n%02u\r\nms w%u %zu W\r\nt%u\r\n", i,
				      i, i + 2, i + 2, i + 2, (size_t)(i + 2 < 10 ? 2 : 3), i + 2);
			from += sprintf(from, "STORED\r\nSTORED\r\nHD\r\n");
		}
		net_converse(fd, say, expect);
	}
	stop();
}
