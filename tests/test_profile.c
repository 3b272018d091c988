/* test_profile.c: stats prefixes, largest and hottest where time passes or clients leave. What one
 * client sees at one moment is in tests/wire/profile.txt. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "net/hot.h"
#include "tests/support/one_client.h"

#define NOTHING "STAT (none):items 0\r\nSTAT (none):bytes 0\r\nSTAT (other):items 0\r\nSTAT (other):bytes 0\r\nEND\r\n"

/* So many keys, each with a prefix of its own. */
static void set_prefixes(unsigned count)
{
	char say[64];

	for (unsigned i = 0; i < count; i++) {
		snprintf(say, sizeof(say), "set prefix%u:key 0 0 1 noreply\r\nx\r\n", i);
		net_say(fd, say);
	}
	net_converse(fd, "mn\r\n", "MN\r\n");
}

static void get_times(const char *key, unsigned count)
{
	char say[64], expect[64];

	snprintf(say, sizeof(say), "mg %s\r\nmn\r\n", key);
	snprintf(expect, sizeof(expect), "EN\r\nMN\r\n");
	for (unsigned i = 0; i < count; i++)
		net_converse(fd, say, expect);
}

Test(profile, an_item_counts_until_the_second_its_time_is_over)
{
	start("");
	net_converse(fd, "set a:1 0 100 1\r\nx\r\nset a:2 0 200 1\r\nx\r\n", "STORED\r\nSTORED\r\n");
	net_pass_seconds(&ns, 98);
	net_converse(fd, "stats prefixes\r\n", "STAT a:items 2\r\nSTAT a:bytes 20\r\n" NOTHING);
	net_pass_seconds(&ns, 2);
	net_converse(fd, "stats prefixes\r\n", "STAT a:items 1\r\nSTAT a:bytes 10\r\n" NOTHING);
	cr_assert_eq(net_stat(&ns, "stats largest", "1:bytes"), 10);
	cr_assert_eq(net_stat(&ns, "stats largest", "1:ttl"), 100);
	net_pass_seconds(&ns, 100);
	net_converse(fd, "stats prefixes\r\n", NOTHING);
	net_converse(fd, "stats largest\r\n", "END\r\n");
	stop();
}

Test(profile, a_client_that_leaves_half_way_leaves_nothing)
{
	start("-m 16");
	set_prefixes(5000);
	for (unsigned i = 0; i < 50; i++) {
		int other = net_connect_small(&ns);
		net_say(other, i % 3 == 0   ? "stats prefixes\r\n"
			       : i % 3 == 1 ? "stats largest 100\r\n"
					    : "stats hottest 100\r\n");
		close(other);
	}
	net_wait_stat(&ns, "stats", "curr_connections", 2);
	stop();
}

Test(profile, a_client_that_reads_late_is_told_all)
{
	char text[65536];
	unsigned lines = 0;
	size_t length;

	start("-m 16");
	set_prefixes(200);
	int other = net_connect_small(&ns);
	net_say(other, "stats prefixes\r\nstats largest 100\r\nquit\r\n");
	net_wait_stat(&ns, "stats", "blocked_connections", 1);
	while ((length = net_receive_some(other, text, sizeof(text))) > 0)
		for (size_t i = 0; i < length; i++)
			lines += text[i] == '\n';
	cr_assert_eq(lines, 2 * 200 + 4 + 1 + 4 * 100 + 1);
	close(other);
	stop();
}

Test(profile, the_hot_are_cold_after_some_minutes)
{
	start("-t 1");
	get_times("key", 20 * HOT_INTERVAL);
	net_pass_seconds(&ns, 10);
	uint64_t samples = net_stat(&ns, "stats hottest", "samples");
	cr_assert(samples > 5 && samples < 60);
	cr_assert_eq(net_stat(&ns, "stats hottest", "seconds"), 10);
	cr_assert_eq(net_stat(&ns, "stats hottest", "1:samples"), samples);
	cr_assert_eq(net_stat(&ns, "stats hottest", "1:misses"), samples);
	cr_assert_eq(net_stat(&ns, "stats hottest", "1:rate"), samples * HOT_INTERVAL / 10);
	net_pass_seconds(&ns, 10 * HOT_HALF_SECONDS);
	cr_assert_eq(net_stat(&ns, "stats hottest", "samples"), 0);
	cr_assert_leq(net_stat(&ns, "stats hottest", "seconds"), 2 * HOT_HALF_SECONDS);
	stop();
}

Test(profile, a_reset_begins_anew)
{
	start("-t 1");
	get_times("key", 20 * HOT_INTERVAL);
	net_pass_seconds(&ns, 10);
	net_converse(fd, "stats reset\r\n", "RESET\r\n");
	cr_assert_eq(net_stat(&ns, "stats hottest", "samples"), 0);
	cr_assert_eq(net_stat(&ns, "stats hottest", "seconds"), 0);
	stop();
}
