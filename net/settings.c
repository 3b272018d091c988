/* settings.c: the table, and the command line read by it. See settings.h. */
#include "net/settings.h"

#include <stdlib.h>
#include <string.h>

#include "net/settings_table.h"

#define EXTENDED_VALUE_BYTES 256

const struct setting_row setting_rows[] = {
#define GROUP(title_) {.class = CLASS_GROUP, .text = title_},
#define VALUE_ROW(class_, kind_, field_, short_, name_, argument_, default_, least_, most_, stats_, help_) \
	{.class = class_,                                                                          \
	 .kind = kind_,                                                                            \
	 .letter = short_,                                                                         \
	 .offset = offsetof(struct settings, field_),                                              \
	 .name = name_,                                                                            \
	 .argument = argument_,                                                                    \
	 .default_text = default_,                                                                 \
	 .least = least_,                                                                          \
	 .most = most_,                                                                            \
	 .stats = stats_,                                                                          \
	 .text = help_},
#define SETTING(kind_, field_, short_, ...)                                                        \
	VALUE_ROW(CLASS_SETTING, KIND_##kind_, field_, short_, __VA_ARGS__)
#define EXTENDED(kind_, field_, ...) VALUE_ROW(CLASS_EXTENDED, KIND_##kind_, field_, '\0', __VA_ARGS__)
#define ACTION(field_, short_, long_, help_)                                                       \
	{.class = CLASS_ACTION,                                                                    \
	 .kind = KIND_ON,                                                                          \
	 .letter = short_,                                                                         \
	 .offset = offsetof(struct settings, field_),                                              \
	 .name = long_,                                                                            \
	 .text = help_},
#define INERT(short_, long_, argument_, help_)                                                     \
	{.class = CLASS_INERT, .letter = short_, .name = long_, .argument = argument_, .text = help_},
#define INERT_EXTENDED(name_, argument_, stats_, text_)                                            \
	{.class = CLASS_INERT_EXTENDED,                                                            \
	 .name = name_,                                                                            \
	 .argument = argument_,                                                                    \
	 .stats = stats_,                                                                          \
	 .text = text_},
#define REFUSED(short_, long_, argument_, reason_)                                                 \
	{.class = CLASS_REFUSED,                                                                   \
	 .letter = short_,                                                                         \
	 .name = long_,                                                                            \
	 .argument = argument_,                                                                    \
	 .text = reason_},
#define REFUSED_EXTENDED(name_, reason_)                                                           \
	{.class = CLASS_REFUSED_EXTENDED, .name = name_, .text = reason_},
#define FACT(stats_, text_) {.class = CLASS_FACT, .stats = stats_, .text = text_},
#include "net/settings.def"
#include "net/settings_undef.h"
};

const unsigned setting_row_count = ARRAY_LENGTH(setting_rows);
_Static_assert(ARRAY_LENGTH(setting_rows) <= SETTING_ROWS_MAX, "SETTING_ROWS_MAX is too small");

/* One run over the command line. */
struct parse {
	struct settings *se;
	FILE *notes;
	const char *inert[SETTING_ROWS_MAX]; /* what was given and means nothing here */
	unsigned inert_count;
};

/* ---- the command line ---- */

static const struct setting_row *find_letter(char letter)
{
	for (unsigned i = 0; i < setting_row_count; i++)
		if (letter != '\0' && setting_rows[i].letter == letter)
			return &setting_rows[i];
	return NULL;
}

/* What a long name stands for: its row, or -o's list, which is no row. */
struct long_flag {
	const struct setting_row *row;
	bool extended;
};

/* Is the name `word`, or cut short of it, as getopt_long takes it? */
static bool begins(const char *word, const char *name, size_t length)
{
	return word != NULL && length > 0 && strncmp(word, name, length) == 0;
}

/* The long names by index, NULL where there is none; after those of the rows, -o's. */
static const char *long_name_at(unsigned index)
{
	if (index == setting_row_count)
		return "extended";
	return setting_is_flag(&setting_rows[index]) ? setting_rows[index].name : NULL;
}

/* "--ver: may be any of --verbose, --version" */
static bool ambiguous(struct settings *se, const char *flag, const char *name, size_t length)
{
	char candidates[SETTINGS_ERROR_BYTES] = "";

	for (unsigned i = 0; i <= setting_row_count; i++) {
		const char *word = long_name_at(i);
		size_t used = strlen(candidates);
		if (begins(word, name, length))
			snprintf(candidates + used, sizeof(candidates) - used, "%s--%s", used > 0 ? ", " : "", word);
	}
	return settings_wrong(se, "%s: may be any of %s", flag, candidates);
}

/* An exact name, else the only one that begins so. False, and said: there is none, or several. */
static bool find_long(struct settings *se, const char *flag, const char *name, size_t length,
                      struct long_flag *found)
{
	unsigned count = 0;

	for (unsigned i = 0; i <= setting_row_count; i++) {
		const char *word = long_name_at(i);
		if (!begins(word, name, length))
			continue;
		bool extended = i == setting_row_count;
		*found = (struct long_flag){.row = extended ? NULL : &setting_rows[i], .extended = extended};
		if (word[length] == '\0')
			return true;
		count++;
	}
	if (count == 0)
		return settings_wrong(se, "%s: unknown flag", flag);
	return count == 1 || ambiguous(se, flag, name, length);
}

/* *negated: the name is no_ before that of an option that can be switched. */
static const struct setting_row *find_extended(const char *name, bool *negated)
{
	*negated = false;
	for (unsigned i = 0; i < setting_row_count; i++) {
		const struct setting_row *row = &setting_rows[i];
		if (!setting_is_extended(row))
			continue;
		if (strcmp(row->name, name) == 0)
			return row;
		if (row->class == CLASS_REFUSED_EXTENDED &&
		    strncmp(row->name, name, strlen(row->name)) == 0)
			return row;
		if (row->kind == KIND_ON && strncmp(name, "no_", 3) == 0 &&
		    strcmp(row->name, name + 3) == 0) {
			*negated = true;
			return row;
		}
	}
	return NULL;
}

static void note_inert(struct parse *pa, const char *name)
{
	if (pa->inert_count < ARRAY_LENGTH(pa->inert))
		pa->inert[pa->inert_count++] = name;
}

/* A setting without a meaning here still tells a number from a slip of the pen. */
static bool fits_kind(const struct setting_row *row, const char *argument)
{
	char *end;

	if (row->argument == NULL ||
	    (strstr(row->argument, "number") == NULL && strcmp(row->argument, "factor") != 0))
		return true;
	strtod(argument, &end);
	return end != argument && *end == '\0';
}

/* The row is found and its argument known (NULL: none given); now it takes effect. */
static bool apply(struct parse *pa, const struct setting_row *row, const char *flag,
                  const char *argument)
{
	struct settings *se = pa->se;
	switch (row->class) {
	case CLASS_REFUSED:
	case CLASS_REFUSED_EXTENDED:
		return settings_wrong(se, "%s: %s", flag, row->text);
	case CLASS_INERT:
	case CLASS_INERT_EXTENDED:
		if (argument != NULL && !fits_kind(row, argument))
			return settings_wrong(se, "%s: '%.40s' is not a %s", flag, argument, row->argument);
		note_inert(pa, row->name);
		return true;
	default:
		break;
	}
	if (row->offset == offsetof(struct settings, prefix_delimiter))
		se->detail_enabled = true;
	if (row->argument == NULL) {
		setting_set_switch(se, row, true);
		return true;
	}
	return setting_set_text(se, row, flag, argument);
}

/* One `name` or `name=value` of -o, in a buffer of its own. */
static bool parse_extended_option(struct parse *pa, char *option)
{
	char flag[EXTENDED_VALUE_BYTES + 8];
	char *value = strchr(option, '=');
	if (value != NULL)
		*value++ = '\0';
	snprintf(flag, sizeof(flag), "-o %s", option);

	bool negated;
	const struct setting_row *row = find_extended(option, &negated);
	if (row == NULL)
		return settings_wrong(pa->se, "%s: unknown option", flag);
	bool refused = row->class == CLASS_REFUSED_EXTENDED;
	if (value != NULL && row->argument == NULL && !refused)
		return settings_wrong(pa->se, "%s: takes no value", flag);
	if (value == NULL && row->argument != NULL && row->argument[0] != '[')
		return settings_wrong(pa->se, "%s: needs a value: %s=<%s>", flag, option, row->argument);
	if (negated) {
		setting_set_switch(pa->se, row, false);
		return true;
	}
	return apply(pa, row, flag, value);
}

static bool parse_extended_list(struct parse *pa, const char *list)
{
	char option[EXTENDED_VALUE_BYTES];
	while (*list != '\0') {
		size_t length = strcspn(list, ",");
		if (length >= sizeof(option))
			return settings_wrong(pa->se, "-o %.40s...: too long", list);
		memcpy(option, list, length);
		option[length] = '\0';
		if (length > 0 && !parse_extended_option(pa, option))
			return false;
		list += length;
		if (*list == ',')
			list++;
	}
	return true;
}

/* --name, --name=value, --name value; the name may be cut short. Moves *index over a value in the next word. */
static bool parse_long(struct parse *pa, int argc, char *const argv[], int *index)
{
	const char *word = argv[*index];
	const char *name = word + 2;
	size_t length = strcspn(name, "=");
	const char *value = name[length] == '=' ? name + length + 1 : NULL;
	char flag[64];
	snprintf(flag, sizeof(flag), "%.*s", (int)MIN(length + 2, sizeof(flag) - 1), word);

	struct long_flag found;
	if (!find_long(pa->se, flag, name, length, &found))
		return false;
	bool takes_value = found.extended || found.row->argument != NULL;
	if (value != NULL && !takes_value)
		return settings_wrong(pa->se, "%s: takes no value", flag);
	if (value == NULL && takes_value) {
		if (*index + 1 >= argc)
			return settings_wrong(pa->se, "%s: needs a value", flag);
		value = argv[++*index];
	}
	return found.extended ? parse_extended_list(pa, value) : apply(pa, found.row, flag, value);
}

/* -a, -ab, -pvalue, -p value. Moves *index over a value in the next word. */
static bool parse_short(struct parse *pa, int argc, char *const argv[], int *index)
{
	for (const char *c = argv[*index] + 1; *c != '\0'; c++) {
		char flag[] = {'-', *c, '\0'};
		bool extended = *c == 'o';
		const struct setting_row *row = find_letter(*c);
		if (row == NULL && !extended)
			return settings_wrong(pa->se, "%s: unknown flag", flag);
		if (!extended && row->argument == NULL) {
			if (!apply(pa, row, flag, NULL))
				return false;
			continue;
		}
		const char *value = c + 1;
		if (*value == '\0') {
			if (*index + 1 >= argc)
				return settings_wrong(pa->se, "%s: needs a value", flag);
			value = argv[++*index];
		}
		return extended ? parse_extended_list(pa, value) : apply(pa, row, flag, value);
	}
	return true;
}

static bool parse_words(struct parse *pa, int argc, char *const argv[])
{
	for (int i = 1; i < argc; i++) {
		const char *word = argv[i];
		bool good;
		if (strcmp(word, "--") == 0 && i + 1 == argc)
			return true;
		if (word[0] != '-' || word[1] == '\0' || strcmp(word, "--") == 0)
			return settings_wrong(pa->se, "%s: stray argument", strcmp(word, "--") == 0 ? argv[i + 1] : word);
		if (word[1] == '-')
			good = parse_long(pa, argc, argv, &i);
		else
			good = parse_short(pa, argc, argv, &i);
		if (!good)
			return false;
	}
	return true;
}

static bool check_item_limit(struct settings *se)
{
	char item[32], limit[32];

	if (se->item_limit_bytes <= se->memory_limit_bytes / 2)
		return true;
	return settings_wrong(se, "-I %s: above half the budget, %s",
	                      setting_size_text((double)se->item_limit_bytes, item, sizeof(item)),
	                      setting_size_text((double)se->memory_limit_bytes, limit, sizeof(limit)));
}

/* What one setting says about another, and values that are words. */
static bool check_together(struct settings *se)
{
	if (se->udp_port != 0)
		return settings_wrong(se, "-U %u: UDP is not built in; only 0 is accepted", se->udp_port);
	if (strcmp(se->protocol, "binary") == 0)
		return settings_wrong(se, "-B binary: the binary protocol is not built in");
	if (strcmp(se->protocol, "ascii") != 0 && strcmp(se->protocol, "auto") != 0)
		return settings_wrong(se, "-B %s: not a protocol; ascii and auto are", se->protocol);
	return se->memory_share_percent != 0 || check_item_limit(se);
}

uint64_t settings_share_of(const struct settings *se, uint64_t granted_bytes)
{
	uint64_t most_bytes = (uint64_t)find_letter('m')->most;
	/* Rounded down; what is granted may be so much that times 100 it would not fit. */
	uint64_t bytes = granted_bytes / 100 * se->memory_share_percent +
	                 granted_bytes % 100 * se->memory_share_percent / 100;

	bytes = bytes > SETTINGS_SHARE_LESS_BYTES ? bytes - SETTINGS_SHARE_LESS_BYTES : 0;
	return MIN(bytes, most_bytes);
}

uint64_t settings_least_budget(const struct settings *se)
{
	return MAX((uint64_t)find_letter('m')->least, se->item_limit_bytes * 2);
}

bool settings_set_budget(struct settings *se, uint64_t granted_bytes)
{
	const struct setting_row *row = find_letter('m');
	char granted[32], less[32], least[32];

	se->memory_limit_bytes = settings_share_of(se, granted_bytes);
	if ((double)se->memory_limit_bytes < row->least)
		return settings_wrong(se, "-m: %u%% of the container's %s, less %s, is below the least, %s",
		                      se->memory_share_percent,
		                      setting_size_text((double)granted_bytes, granted, sizeof(granted)),
		                      setting_size_text(SETTINGS_SHARE_LESS_BYTES, less, sizeof(less)),
		                      setting_size_text(row->least, least, sizeof(least)));
	return check_item_limit(se);
}

bool settings_parse(struct settings *se, int argc, char *const argv[], FILE *notes)
{
	struct parse pa = {.se = se, .notes = notes};
	settings_set_defaults(se);
	if (!parse_words(&pa, argc, argv))
		return false;
	/* --help beside settings that do not fit together still helps. */
	if (se->help || se->version || se->license)
		return true;
	if (!check_together(se))
		return false;
	for (unsigned i = 0; notes != NULL && se->verbosity > 0 && i < pa.inert_count; i++)
		fprintf(notes, "larder: %s: accepted, but without a meaning here\n", pa.inert[i]);
	return true;
}

void settings_each_flag(void (*flag)(void *context, char letter, const char *name, bool extended),
                        void *context)
{
	for (unsigned i = 0; i < setting_row_count; i++) {
		const struct setting_row *row = &setting_rows[i];
		if (row->class == CLASS_SETTING || row->class == CLASS_EXTENDED ||
		    row->class == CLASS_ACTION || row->class == CLASS_INERT ||
		    row->class == CLASS_INERT_EXTENDED)
			flag(context, row->letter, row->name, setting_is_extended(row));
	}
}
