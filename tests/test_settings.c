/* test_settings.c: flags become settings, wrong ones become one line. */
#include <criterion/criterion.h>
#include <string.h>

#include "net/settings.h"

static struct settings se;

static bool parse(const char *line)
{
	static char words[32][128];
	char *argv[33];
	int argc = 1;
	char copy[1024];

	memset(&se, 0, sizeof(se));
	strcpy(words[0], "larder");
	argv[0] = words[0];
	strcpy(copy, line);
	for (char *word = strtok(copy, " "); word; word = strtok(NULL, " ")) {
		strcpy(words[argc], word);
		argv[argc] = words[argc];
		argc++;
	}
	argv[argc] = NULL;
	return settings_parse(&se, argc, argv, NULL);
}

Test(settings, have_memcacheds_defaults)
{
	cr_assert(parse(""));
	cr_assert_eq(se.memory_limit_bytes, 64u << 20);
	cr_assert_eq(se.item_limit_bytes, 1u << 20);
	cr_assert_eq(se.port, 11211);
	cr_assert_eq(se.thread_count, 4);
	cr_assert_eq(se.conn_limit, 1024);
	cr_assert(se.evict);
	cr_assert(se.cas_enabled);
	cr_assert(!se.daemonise);
}

Test(settings, take_sizes_with_and_without_units)
{
	cr_assert(parse("-m 100"));
	cr_assert_eq(se.memory_limit_bytes, 100u << 20);
	cr_assert(parse("-m 1g"));
	cr_assert_eq(se.memory_limit_bytes, 1u << 30);
	cr_assert(parse("-m4096k -I 2k"));
	cr_assert_eq(se.memory_limit_bytes, 4u << 20);
	cr_assert_eq(se.item_limit_bytes, 2048);
	cr_assert(parse("--memory-limit=8m --max-item-size 100k"));
	cr_assert_eq(se.item_limit_bytes, 100u << 10);
}

Test(settings, take_flags_together_and_lists_in_pieces)
{
	cr_assert(parse("-dMvv -l 127.0.0.1 -l ::1"));
	cr_assert(se.daemonise);
	cr_assert(!se.evict);
	cr_assert_eq(se.verbosity, 2);
	cr_assert_not_null(strstr(se.listen, "127.0.0.1"));
	cr_assert_not_null(strstr(se.listen, "::1"));
	cr_assert(parse("-o idle_timeout=2m,no_maxconns_fast,modern -o hashpower=20"));
	cr_assert_eq(se.idle_timeout_seconds, 120);
	cr_assert(!se.reject_at_limit);
}

Test(settings, refuse_what_is_wrong_in_one_line)
{
	static const char *const wrong[] = {
		"-p abc", "-p 70000", "-p", "-m -5", "-m 1m", "-m 0", "-m 9x", "-I 33m", "-I 2g", "-t 0",
		"-t 1000", "-c 0", "-f 1", "-f x", "-o nonsense", "-o idle_timeout", "-o idle_timeout=x",
		"-o hashpower=abc", "-B binary", "-S", "-Z", "-U 11211", "stray", "--no-such-flag", "-%",
		"--port=1x", "--daemon=yes",
	};

	for (size_t i = 0; i < ARRAY_LENGTH(wrong); i++) {
		cr_assert(!parse(wrong[i]), "%s was accepted", wrong[i]);
		cr_assert_gt(strlen(se.error), 5, "%s", wrong[i]);
		cr_assert_null(strchr(se.error, '\n'), "%s", wrong[i]);
	}
}

static void in_help(void *context, char letter, const char *name, bool extended)
{
	cr_assert_not_null(strstr(context, name), "--help does not name %s", name);
}

Test(settings, are_all_in_the_help_which_fits_80_columns)
{
	static char text[65536];
	FILE *out = fmemopen(text, sizeof(text), "w");
	size_t column = 0;

	settings_print_help(out);
	fclose(out);
	settings_each_flag(in_help, text);
	for (const char *at = text; *at; at++) {
		column = *at == '\n' ? 0 : column + 1;
		cr_assert_leq(column, 80);
	}
}
