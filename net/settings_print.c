/* settings_print.c: the table told to people (--help, the manual page) and to `stats settings`. */
#include <inttypes.h>
#include <string.h>

#include "net/settings.h"
#include "net/settings_table.h"

#define HELP_COLUMNS 80
#define HELP_TEXT_COLUMN 29

/* ---- what a row says ---- */

static bool is_flag(const struct setting_row *row)
{
	return row->class == CLASS_SETTING || row->class == CLASS_EXTENDED ||
	       row->class == CLASS_ACTION || row->class == CLASS_INERT;
}

/* "-p, --port=<number>", "idle_timeout=<time>" */
static void row_synopsis(const struct setting_row *row, char *buffer, size_t size)
{
	const char *open = row->argument != NULL ? "=<" : "";
	const char *argument = row->argument != NULL ? row->argument : "";
	const char *close = row->argument != NULL ? ">" : "";
	if (setting_is_extended(row))
		snprintf(buffer, size, "%s%s%s%s", row->name, open, argument, close);
	else if (row->letter == '\0')
		snprintf(buffer, size, "--%s%s%s%s", row->name, open, argument, close);
	else
		snprintf(buffer, size, "-%c, --%s%s%s%s", row->letter, row->name, open, argument, close);
}

static bool has_bounds(const struct setting_row *row)
{
	return row->most > row->least && row->kind != KIND_OCTAL && row->kind != KIND_SECONDS;
}

static void bound_phrase(const struct setting_row *row, double bound, char *buffer, size_t size)
{
	if (setting_is_size(row))
		setting_size_text(bound, buffer, size);
	else
		snprintf(buffer, size, "%.12g", bound);
}

/* The help text, with the default and the bounds where there are any. */
static void row_help(const struct setting_row *row, char *buffer, size_t size)
{
	int n = snprintf(buffer, size, "%s", row->text);
	if (row->class == CLASS_INERT)
		snprintf(buffer + n, size - (size_t)n, " (accepted, but without a meaning here)");
	bool is_value = row->argument != NULL || row->class == CLASS_EXTENDED;
	if (!is_value || row->default_text == NULL || row->default_text[0] == '\0')
		return;
	char least[32], most[32];
	bound_phrase(row, row->least, least, sizeof(least));
	bound_phrase(row, row->most, most, sizeof(most));
	n += snprintf(buffer + n, size - (size_t)n, " (default %s", row->default_text);
	if (has_bounds(row) && row->most < INT32_MAX)
		n += snprintf(buffer + n, size - (size_t)n, ", from %s to %s", least, most);
	else if (has_bounds(row) && row->least > 0)
		n += snprintf(buffer + n, size - (size_t)n, ", at least %s", least);
	snprintf(buffer + n, size - (size_t)n, ")");
}

/* The names of the rows of two classes, with commas. */
static void list_names(enum setting_class class, enum setting_class other, char *buffer, size_t size)
{
	unsigned count = 0;
	size_t length = 0;
	buffer[0] = '\0';
	for (unsigned i = 0; i < setting_row_count; i++) {
		const struct setting_row *row = &setting_rows[i];
		if (row->class != class && row->class != other)
			continue;
		char name[64];
		if (row->class == CLASS_REFUSED)
			snprintf(name, sizeof(name), "-%c", row->letter);
		else if (row->class == CLASS_REFUSED_EXTENDED)
			snprintf(name, sizeof(name), "%s*", row->name);
		else
			snprintf(name, sizeof(name), "%s", row->name);
		length += (size_t)snprintf(buffer + length, size - length, "%s%s",
		                           count > 0 ? ", " : "", name);
		assert(length < size);
		count++;
	}
}

/* ---- --help ---- */

/* Prints words from `column` on, wrapped, each line indented to `indent`. */
static void print_wrapped(FILE *out, const char *text, unsigned column, unsigned indent)
{
	bool at_start = true;
	while (*text != '\0') {
		size_t word = strcspn(text, " ");
		if (!at_start && column + 1 + word >= HELP_COLUMNS) {
			fprintf(out, "\n%*s", (int)indent, "");
			column = indent;
			at_start = true;
		}
		fprintf(out, "%s%.*s", at_start ? "" : " ", (int)word, text);
		column += (unsigned)word + !at_start;
		at_start = false;
		text += word;
		text += strspn(text, " ");
	}
	fputc('\n', out);
}

static void print_help_row(FILE *out, const struct setting_row *row)
{
	char synopsis[96], help[512];
	row_synopsis(row, synopsis, sizeof(synopsis));
	row_help(row, help, sizeof(help));
	int column = fprintf(out, "  %s", synopsis);
	if (column + 1 >= HELP_TEXT_COLUMN) {
		fputc('\n', out);
		column = 0;
	}
	fprintf(out, "%*s", HELP_TEXT_COLUMN - column, "");
	print_wrapped(out, help, HELP_TEXT_COLUMN, HELP_TEXT_COLUMN);
}

void settings_print_help(FILE *out)
{
	char names[2048];
	fputs("Usage: larder [flags]\n"
	      "A cache server for memcached's clients, inside one memory budget.\n"
	      "Sizes take a unit, k, m or g, and times s, m, h or d.\n",
	      out);
	for (unsigned i = 0; i < setting_row_count; i++) {
		const struct setting_row *row = &setting_rows[i];
		if (row->class == CLASS_GROUP)
			fprintf(out, "\n%s\n", row->text);
		else if (is_flag(row))
			print_help_row(out, row);
	}
	fputs("\nAccepted after -o, but without a meaning here\n  ", out);
	list_names(CLASS_INERT_EXTENDED, CLASS_INERT_EXTENDED, names, sizeof(names));
	print_wrapped(out, names, 2, 2);
	fputs("\nRefused: memcached's, and not built in\n  ", out);
	list_names(CLASS_REFUSED, CLASS_REFUSED_EXTENDED, names, sizeof(names));
	print_wrapped(out, names, 2, 2);
}

/* ---- the manual page ---- */

/* Text for roff: hyphens of flags stay hyphens, and no line begins with a control character. */
static void print_roff(FILE *out, const char *text)
{
	for (const char *c = text; *c != '\0'; c++) {
		if (*c == '-')
			fputs("\\-", out);
		else if (*c == '\\')
			fputs("\\e", out);
		else if (*c == '\'' && c == text)
			fputs("\\(aq", out);
		else
			fputc(*c, out);
	}
}

static void print_manual_row(FILE *out, const struct setting_row *row)
{
	char help[512];
	fputs(".TP\n\\fB", out);
	if (!setting_is_extended(row) && row->letter != '\0')
		fprintf(out, "\\-%c\\fR, \\fB", row->letter);
	if (!setting_is_extended(row))
		fputs("\\-\\-", out);
	print_roff(out, row->name);
	fputs("\\fR", out);
	if (row->argument != NULL)
		fprintf(out, "=\\fI%s\\fR", row->argument);
	fputc('\n', out);
	row_help(row, help, sizeof(help));
	print_roff(out, help);
	fputs(".\n", out);
}

static void print_manual_lists(FILE *out)
{
	char names[2048];
	fputs(".SS Without a meaning here\n"
	      "These options of memcached are accepted after \\fB\\-o\\fR and change nothing;"
	      " \\fB\\-v\\fR says so:\n",
	      out);
	list_names(CLASS_INERT_EXTENDED, CLASS_INERT_EXTENDED, names, sizeof(names));
	print_roff(out, names);
	fputs(".\n.SS Refused\n", out);
	for (unsigned i = 0; i < setting_row_count; i++) {
		const struct setting_row *row = &setting_rows[i];
		if (row->class != CLASS_REFUSED && row->class != CLASS_REFUSED_EXTENDED)
			continue;
		fputs(".TP\n\\fB", out);
		if (row->class == CLASS_REFUSED)
			fprintf(out, "\\-%c\\fR, \\fB\\-\\-", row->letter);
		else
			fputs("\\-o ", out);
		print_roff(out, row->name);
		fprintf(out, "%s\\fR\n", row->class == CLASS_REFUSED_EXTENDED ? "*" : "");
		print_roff(out, row->text);
		fputs(".\n", out);
	}
}

static const char manual_head[] =
	".\\\" Written by larder-manual from net/settings.def; change it there.\n"
	".TH LARDER 1 \"\" \"Larder\" \"User Commands\"\n"
	".SH NAME\n"
	"larder \\- a cache server for memcached's clients, inside one memory budget\n"
	".SH SYNOPSIS\n"
	".B larder\n"
	"[\\fIflags\\fR]\n"
	".SH DESCRIPTION\n"
	"Larder keeps keys and values in memory and serves them over memcached's text protocol.\n"
	"All memory of the process counts against the budget of \\fB\\-m\\fR: when it is full, items\n"
	"are evicted.\n"
	".PP\n"
	"In the foreground it prints one line when it is ready, which says where it listens and\n"
	"within what budget.\n"
	".SH OPTIONS\n"
	"Sizes are a number with \\fBk\\fR, \\fBm\\fR or \\fBg\\fR behind it, times a number with\n"
	"\\fBs\\fR, \\fBm\\fR, \\fBh\\fR or \\fBd\\fR. Flags without an argument may stand together"
	" (\\fB\\-dv\\fR),\n"
	"long ones be cut short where no other begins so (\\fB\\-\\-por\\fR).\n";

static const char manual_tail[] =
	".SH SIGNALS\n"
	".TP\n"
	"\\fBSIGINT\\fR, \\fBSIGTERM\\fR\n"
	"Stop.\n"
	".TP\n"
	"\\fBSIGUSR1\\fR\n"
	"Stop gracefully: accept no more connections, let the open ones finish for a while, stop.\n"
	".TP\n"
	"\\fBSIGHUP\\fR\n"
	"Read the file of \\fB\\-Y\\fR again. If it is wrong, the users of before stay.\n"
	".SH ENVIRONMENT\n"
	".TP\n"
	"\\fBMEMCACHED_PORT_FILENAME\\fR\n"
	"A file that gets a line \\fBTCP INET: \\fIport\\fR or \\fBTCP INET6: \\fIport\\fR for each\n"
	"address, once the server listens.\n"
	".SH EXIT STATUS\n"
	".TP\n"
	"\\fB0\\fR\n"
	"The server was told to stop and did.\n"
	".TP\n"
	"\\fB1\\fR\n"
	"It could not start or go on: an address in use, a file that cannot be read, no memory.\n"
	".TP\n"
	"\\fB64\\fR\n"
	"A flag is wrong, or it was started by root without \\fB\\-u\\fR.\n"
	".SH EXAMPLES\n"
	".nf\n"
	"larder \\-m 1g \\-l 127.0.0.1,[::1]\n"
	"larder \\-m 512 \\-s /run/larder.sock \\-a 770\n"
	".fi\n"
	".SH SEE ALSO\n"
	".BR memcached (1)\n";

void settings_print_manual(FILE *out)
{
	fputs(manual_head, out);
	for (unsigned i = 0; i < setting_row_count; i++) {
		const struct setting_row *row = &setting_rows[i];
		if (row->class == CLASS_GROUP) {
			fputs(".SS ", out);
			print_roff(out, row->text);
			fputc('\n', out);
		} else if (is_flag(row)) {
			print_manual_row(out, row);
		}
	}
	print_manual_lists(out);
	fputs(manual_tail, out);
}

/* ---- stats settings ---- */

/* How memcached calls what is not set: the file of users "no", anything else "NULL". */
static const char *string_or_none(const struct setting_row *row, const char *text)
{
	if (text != NULL && text[0] != '\0')
		return text;
	return strcmp(row->stats, "auth_enabled_ascii") == 0 ? "no" : "NULL";
}

static const char *switch_text(const struct setting_row *row, bool on)
{
	if (strcmp(row->stats, "evictions") == 0)
		return on ? "on" : "off";
	return on ? "yes" : "no";
}

static const char *row_value(const struct settings *se, const struct setting_row *row, char *buffer,
                             size_t size)
{
	const void *field = (const char *)se + row->offset;
	switch (row->kind) {
	case KIND_NONE:
		return row->text;
	case KIND_ON:
	case KIND_OFF:
		return switch_text(row, *(const bool *)field);
	case KIND_STRING:
		return string_or_none(row, *(const char *const *)field);
	case KIND_LIST:
		return string_or_none(row, field);
	case KIND_CHAR:
		snprintf(buffer, size, "%c", *(const char *)field);
		return buffer;
	case KIND_FACTOR:
		snprintf(buffer, size, "%.2f", *(const double *)field);
		return buffer;
	case KIND_OCTAL:
		snprintf(buffer, size, "%o", *(const uint32_t *)field);
		return buffer;
	case KIND_BYTES:
	case KIND_KILOBYTES:
	case KIND_BUDGET:
		snprintf(buffer, size, "%" PRIu64, *(const uint64_t *)field);
		return buffer;
	default:
		snprintf(buffer, size, "%" PRIu32, *(const uint32_t *)field);
		return buffer;
	}
}

void settings_each(const struct settings *se,
                   void (*line)(void *context, const char *name, const char *value),
                   void *context)
{
	char buffer[64];
	for (unsigned i = 0; i < setting_row_count; i++) {
		const struct setting_row *row = &setting_rows[i];
		if (row->stats != NULL)
			line(context, row->stats, row_value(se, row, buffer, sizeof(buffer)));
	}
}
