/* test_settings.c: flags become settings, wrong ones become one line. */
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "net/settings.h"
#include "net/settings_table.h"

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

Test(settings, take_a_share_for_the_budget_which_is_known_later)
{
	cr_assert(parse("-m auto"));
	cr_assert_eq(se.memory_share_percent, SETTINGS_AUTO_PERCENT);
	cr_assert(parse("-m80%"));
	cr_assert_eq(se.memory_share_percent, 80);
	cr_assert(parse("--memory-limit=1% --memory-limit 100%"));
	cr_assert_eq(se.memory_share_percent, 100);
	cr_assert(parse("-m auto -m 100"));
	cr_assert_eq(se.memory_share_percent, 0);
	cr_assert_eq(se.memory_limit_bytes, 100u << 20);
	cr_assert(parse("-m 2 -m 50%"));
	cr_assert(settings_set_budget(&se, 200u << 20));
	cr_assert_eq(se.memory_limit_bytes, 96u << 20);
}

Test(settings, make_a_budget_of_a_share_within_what_a_budget_may_be)
{
	cr_assert(parse("-m 75%"));
	cr_assert_eq(settings_share_of(&se, 0), 0);
	cr_assert_eq(settings_share_of(&se, 4u << 20), 0);
	cr_assert_eq(settings_share_of(&se, 8u << 20), 2u << 20);
	cr_assert_eq(settings_share_of(&se, 1001), 0);
	cr_assert_eq(settings_share_of(&se, UINT64_MAX), 524287ull << 20);
	cr_assert(settings_set_budget(&se, 8u << 20));
	cr_assert(!settings_set_budget(&se, (8u << 20) - 2));
	cr_assert_not_null(strstr(se.error, "75%"));
	cr_assert(!settings_set_budget(&se, 0));
	/* -I is looked at when the budget is known. */
	cr_assert(parse("-m 75% -I 10m"));
	cr_assert(settings_set_budget(&se, 32u << 20));
	cr_assert_eq(settings_least_budget(&se), 20u << 20);
	cr_assert(!settings_set_budget(&se, 31u << 20));
	cr_assert_not_null(strstr(se.error, "-I 10m"));
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

Test(settings, take_long_names_cut_short_where_only_one_begins_so)
{
	cr_assert(parse("--por=0 --memory-l 100 --listen-b=5 --disable-ev"));
	cr_assert_eq(se.port, 0);
	cr_assert_eq(se.memory_limit_bytes, 100u << 20);
	cr_assert_eq(se.backlog, 5);
	cr_assert(!se.evict);
	cr_assert(parse("--ext idle_timeout=7,no_maxconns_fast --ex=modern"));
	cr_assert_eq(se.idle_timeout_seconds, 7);
	cr_assert(!se.reject_at_limit);
	/* "listen" begins "listen-backlog" too, "user" nothing else. */
	cr_assert(parse("--listen=127.0.0.1 --us=nobody"));
	cr_assert_str_eq(se.listen, "127.0.0.1");
	cr_assert_str_eq(se.user, "nobody");
}

Test(settings, name_all_that_a_name_cut_short_may_be)
{
	cr_assert(!parse("--ver"));
	cr_assert_str_eq(se.error, "--ver: may be any of --verbose, --version");
	cr_assert(!parse("--liste=127.0.0.1"));
	cr_assert_str_eq(se.error, "--liste: may be any of --listen, --listen-backlog");
	cr_assert(!parse("--e=s3fifo"));
	cr_assert_not_null(strstr(se.error, "--eviction"));
	cr_assert_not_null(strstr(se.error, "--enable-coredumps, --extended"));
	/* A refused flag is as good a meaning as another. */
	cr_assert(!parse("--memory=100"));
	cr_assert_not_null(strstr(se.error, "--memory-limit, --memory-file"));
	cr_assert(!parse("--memory-f=100"));
	cr_assert_not_null(strstr(se.error, "not built in"));
	cr_assert(!parse("--portx=0"));
	cr_assert_str_eq(se.error, "--portx: unknown flag");
	cr_assert(!parse("--=0"));
	cr_assert_str_eq(se.error, "--: unknown flag");
	cr_assert(!parse("--dae=yes"));
	cr_assert_str_eq(se.error, "--dae: takes no value");
	cr_assert(!parse("por=0"));
	cr_assert_str_eq(se.error, "por=0: stray argument");
}

Test(settings, refuse_what_is_wrong_in_one_line)
{
	static const char *const wrong[] = {
		"-p abc", "-p 70000", "-p", "-m -5", "-m 1m", "-m 0", "-m 9x", "-m 0%", "-m 101%", "-m 80x",
		"-m 80%%", "-m %", "-m 8.5%", "-m -1%", "-m 18446744073709551617%", "-m AUTO", "-m autos", "-m 80%k", "-I 33m", "-I 2g", "-t 0",
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

/* A value that the row takes, NULL when it takes none. */
static const char *sample(const struct setting_row *row)
{
	if (row->argument == NULL)
		return NULL;
	if (row->default_text != NULL && row->default_text[0] != '\0')
		return row->default_text;
	return row->kind == KIND_STRING || row->kind == KIND_LIST ? "some" : "1";
}

Test(settings, take_every_flag_short_long_and_long_with_a_value_apart)
{
	unsigned tried = 0;
	char line[128];

	for (unsigned i = 0; i < setting_row_count; i++) {
		const struct setting_row *row = &setting_rows[i];
		const char *value = sample(row);

		if (row->letter == '\0' || row->class == CLASS_REFUSED)
			continue;
		snprintf(line, sizeof(line), "-%c%s", row->letter, value ? value : "");
		cr_assert(parse(line), "%s: %s", line, se.error);
		snprintf(line, sizeof(line), "-%c %s", row->letter, value ? value : "");
		cr_assert(parse(line), "%s: %s", line, se.error);
		snprintf(line, sizeof(line), "--%s%s%s", row->name, value ? "=" : "", value ? value : "");
		cr_assert(parse(line), "%s: %s", line, se.error);
		snprintf(line, sizeof(line), "--%s %s", row->name, value ? value : "");
		cr_assert(parse(line), "%s: %s", line, se.error);
		tried++;
	}
	cr_assert_geq(tried, 30);
}

Test(settings, take_every_extended_option_and_refuse_values_where_none_belong)
{
	char line[128];

	for (unsigned i = 0; i < setting_row_count; i++) {
		const struct setting_row *row = &setting_rows[i];
		const char *value = sample(row);

		if (row->class != CLASS_EXTENDED && row->class != CLASS_INERT_EXTENDED)
			continue;
		snprintf(line, sizeof(line), "-o %s%s%s", row->name, value ? "=" : "", value ? value : "");
		cr_assert(parse(line), "%s: %s", line, se.error);
		snprintf(line, sizeof(line), "-o %s%s", row->name, value ? "" : "=1");
		bool optional = value != NULL && row->argument[0] == '[';
		cr_assert_eq(parse(line), optional, "%s", line);
	}
}

/* The row with this value, as its short flag or through -o; what it says is left in se.error. */
static void try_number(const struct setting_row *row, double number)
{
	char line[128];
	char digits[64];

	if (row->kind == KIND_OCTAL)
		snprintf(digits, sizeof(digits), "%o", (unsigned)number);
	else if (row->kind == KIND_KILOBYTES || row->kind == KIND_BUDGET)
		snprintf(digits, sizeof(digits), "%.0fk", number / KIBI);
	else
		snprintf(digits, sizeof(digits), row->kind == KIND_FACTOR ? "%.3f" : "%.0f", number);
	if (setting_is_extended(row))
		snprintf(line, sizeof(line), "-o %s=%s", row->name, digits);
	else if (row->letter == 0)
		snprintf(line, sizeof(line), "--%s=%s", row->name, digits);
	else
		snprintf(line, sizeof(line), "-%c %s", row->letter, digits);
	parse(line);
}

Test(settings, keep_numbers_within_their_bounds)
{
	unsigned tried = 0;

	for (unsigned i = 0; i < setting_row_count; i++) {
		const struct setting_row *row = &setting_rows[i];
		double step = row->kind == KIND_FACTOR ? 0.001 : 1;

		if (row->most <= row->least)
			continue;
		if (row->kind == KIND_KILOBYTES || row->kind == KIND_BUDGET)
			step = KIBI;
		try_number(row, row->most);
		cr_assert_null(strstr(se.error, "the most"), "%s: %s", row->name, se.error);
		try_number(row, row->most + step);
		cr_assert_not_null(strstr(se.error, "above the most"), "%s: '%s'", row->name, se.error);
		try_number(row, row->least);
		cr_assert_null(strstr(se.error, "the least"), "%s: %s", row->name, se.error);
		if (row->least == 0)
			continue;
		try_number(row, row->least - step);
		cr_assert_not_null(strstr(se.error, "below the least"), "%s: '%s'", row->name, se.error);
		tried++;
	}
	cr_assert_geq(tried, 9);
}

Test(settings, refuse_numbers_that_no_type_holds)
{
	cr_assert(!parse("-m 99999999999999999999"));
	cr_assert(!parse("-m 18446744073709551615g"));
	cr_assert(!parse("-c 4294967297"));
	cr_assert(!parse("-m 0x40"));
	cr_assert(!parse("-m 64mb"));
	cr_assert(!parse("-m +64"));
	cr_assert(!parse("-f 1.0.7"));
	cr_assert(!parse("-a 0888"));
}

Test(settings, take_the_last_of_a_flag_given_twice)
{
	cr_assert(parse("-m 100 -m 200 -o idle_timeout=5 -o idle_timeout=7"));
	cr_assert_eq(se.memory_limit_bytes, 200u << 20);
	cr_assert_eq(se.idle_timeout_seconds, 7);
}

Test(settings, refuse_a_list_that_is_too_long)
{
	static char address[200];
	const char *argv[20] = { "larder" };
	int argc = 1;

	memset(address, 'a', sizeof(address) - 1);
	while (argc < 19) {
		argv[argc++] = "-l";
		argv[argc++] = address;
	}
	cr_assert(!settings_parse(&se, argc, (char *const *)argv, NULL));
	cr_assert_not_null(strstr(se.error, "too long"));
}

Test(settings, keep_control_characters_out_of_the_line_of_an_error)
{
	const char *argv[] = { "larder", "-p", "1\n2\033[1m", NULL };

	cr_assert(!settings_parse(&se, 3, (char *const *)argv, NULL));
	for (const char *c = se.error; *c != '\0'; c++)
		cr_assert_geq((unsigned char)*c, ' ');
}

Test(settings, say_with_v_what_has_no_meaning_and_nothing_without)
{
	static char text[1024];
	const char *argv[] = { "larder", "-o", "hot_lru_pct=20,idle_timeout=3", "-L", "-v", NULL };
	FILE *notes = fmemopen(text, sizeof(text), "w");

	cr_assert(settings_parse(&se, 4, (char *const *)argv, notes));
	fflush(notes);
	cr_assert_str_eq(text, "");
	cr_assert(settings_parse(&se, 5, (char *const *)argv, notes));
	fclose(notes);
	cr_assert_not_null(strstr(text, "hot_lru_pct"));
	cr_assert_not_null(strstr(text, "enable-largepages"));
	cr_assert_null(strstr(text, "idle_timeout"));
}

static void find_line(void *context, const char *name, const char *value)
{
	char **wanted = context;

	if (strcmp(wanted[0], name) == 0)
		wanted[1] = strdup(value);
}

static bool says(const char *name, const char *value)
{
	const char *wanted[2] = { name, NULL };

	settings_each(&se, find_line, wanted);
	bool same = wanted[1] != NULL && strcmp(wanted[1], value) == 0;
	free((char *)wanted[1]);
	return same;
}

Test(settings, are_told_to_stats_settings_under_memcacheds_names)
{
	cr_assert(parse("-m 100 -M -l 127.0.0.1 -l [::1]:5 -a 0660 -f 1.25 -D / -C -t 2"));
	cr_assert(says("maxbytes", "104857600"));
	cr_assert(says("evictions", "off"));
	cr_assert(says("inter", "127.0.0.1,[::1]:5"));
	cr_assert(says("domain_socket", "NULL"));
	cr_assert(says("umask", "660"));
	cr_assert(says("growth_factor", "1.25"));
	cr_assert(says("stat_key_prefix", "/"));
	cr_assert(says("cas_enabled", "no"));
	cr_assert(says("num_threads", "2"));
	cr_assert(says("auth_enabled_ascii", "no"));
	cr_assert(says("item_size_max", "1048576"));
	cr_assert(says("client_flags_size", "4"));
	cr_assert(parse("-Y /etc/users"));
	cr_assert(says("auth_enabled_ascii", "/etc/users"));
}

Test(settings, help_even_beside_settings_that_do_not_fit_together)
{
	cr_assert(parse("-m 2 -I 1g --help"));
	cr_assert(se.help);
	cr_assert(!parse("-m 2 -I 1g"));
	cr_assert(parse("-m 2 -I 1m"));
}
