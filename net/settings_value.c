/* settings_value.c: text and the values of settings, either way; see the kinds in settings.h. */
#include "net/settings_table.h"

#include <ctype.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

bool settings_wrong(struct settings *se, const char *format, ...)
{
	va_list args;
	va_start(args, format);
	vsnprintf(se->error, sizeof(se->error), format, args);
	va_end(args);
	/* One line whatever an argument held. */
	for (char *c = se->error; *c != '\0'; c++)
		if (iscntrl((unsigned char)*c))
			*c = '?';
	return false;
}

const char *setting_size_text(double bytes, char *buffer, size_t size)
{
	static const char units[] = {'\0', 'k', 'm', 'g', 't'};
	unsigned unit = 0;
	uint64_t number = (uint64_t)bytes;
	while (number >= 1024 && number % 1024 == 0 && unit + 1 < sizeof(units)) {
		number /= 1024;
		unit++;
	}
	if (unit == 0)
		snprintf(buffer, size, "%llu", (unsigned long long)number);
	else
		snprintf(buffer, size, "%llu%c", (unsigned long long)number, units[unit]);
	return buffer;
}

/* ---- text to numbers ---- */

/* Digits of `base` only: no sign, no space, no prefix, which strtoull would all take. Leaves *rest
 * behind the digits; false when there are none or they are too many. */
static bool parse_digits(const char *text, unsigned base, uint64_t *number, const char **rest)
{
	const char *c = text;
	uint64_t n = 0;
	for (; *c >= '0' && *c < (char)('0' + base); c++) {
		unsigned digit = (unsigned)(*c - '0');
		if (n > (UINT64_MAX - digit) / base)
			return false;
		n = n * base + digit;
	}
	*number = n;
	*rest = c;
	return c > text;
}

struct unit {
	char letter;
	uint32_t factor;
};

static const struct unit size_units[] = {{'k', 1u << 10}, {'m', 1u << 20}, {'g', 1u << 30}, {0, 0}};
static const struct unit time_units[] = {{'s', 1}, {'m', 60}, {'h', 3600}, {'d', 86400}, {0, 0}};

/* Digits and at most one unit; without one the number counts `bare_factor`. */
static bool parse_with_unit(const char *text, const struct unit *units, uint32_t bare_factor,
                            uint64_t *number)
{
	const char *rest;
	uint64_t n;
	if (!parse_digits(text, 10, &n, &rest))
		return false;
	uint32_t factor = bare_factor;
	if (*rest != '\0') {
		const struct unit *u = units;
		while (u->letter != '\0' && u->letter != tolower((unsigned char)*rest))
			u++;
		if (u->letter == '\0' || rest[1] != '\0')
			return false;
		factor = u->factor;
	}
	if (n > UINT64_MAX / factor)
		return false;
	*number = n * factor;
	return true;
}

/* Digits with at most one point in them; strtod alone would take nan, hex and the locale's point. */
static bool parse_factor(const char *text, double *number)
{
	size_t length = strspn(text, "0123456789.");
	if (length == 0 || text[length] != '\0')
		return false;
	char *end;
	*number = strtod(text, &end);
	return *end == '\0';
}

static const char *kind_noun(unsigned kind)
{
	switch (kind) {
	case KIND_OCTAL:
		return "an octal number";
	case KIND_SECONDS:
		return "a time (a number, with s, m, h or d behind it if it is not seconds)";
	case KIND_BYTES:
	case KIND_KILOBYTES:
		return "a size (a number, with k, m or g behind it if wanted)";
	case KIND_BUDGET:
		return "a size (a number, with k, m or g behind it if wanted), auto or a share (80%)";
	default:
		return "a number";
	}
}

static bool parse_number(const struct setting_row *row, const char *text, double *number)
{
	const char *rest;
	uint64_t n;
	bool good;
	switch (row->kind) {
	case KIND_FACTOR:
		return parse_factor(text, number);
	case KIND_OCTAL:
		good = parse_digits(text, 8, &n, &rest) && *rest == '\0';
		break;
	case KIND_SECONDS:
		good = parse_with_unit(text, time_units, 1, &n);
		break;
	case KIND_BYTES:
		good = parse_with_unit(text, size_units, 1, &n);
		break;
	case KIND_KILOBYTES:
		good = parse_with_unit(text, size_units, 1u << 10, &n);
		break;
	case KIND_BUDGET:
		good = parse_with_unit(text, size_units, 1u << 20, &n);
		break;
	default:
		good = parse_digits(text, 10, &n, &rest) && *rest == '\0';
		break;
	}
	/* Exact: every bound of the table is far below 2^53, and what is above it is refused. */
	*number = good ? (double)n : 0;
	return good;
}

static const char *bound_text(const struct setting_row *row, double bound, char *buffer, size_t size)
{
	if (setting_is_size(row))
		return setting_size_text(bound, buffer, size);
	snprintf(buffer, size, row->kind == KIND_OCTAL ? "%.0f" : "%.12g",
	         row->kind == KIND_OCTAL ? 777.0 : bound);
	return buffer;
}

/* auto, or digits and %. Any number: the bounds are the caller's. */
static bool parse_share(const char *text, uint64_t *percent)
{
	const char *rest;

	*percent = SETTINGS_AUTO_PERCENT;
	return strcmp(text, "auto") == 0 ||
	       (parse_digits(text, 10, percent, &rest) && strcmp(rest, "%") == 0);
}

/* ---- text to fields ---- */

static void *field_of(struct settings *se, const struct setting_row *row)
{
	return (char *)se + row->offset;
}

static bool set_number(struct settings *se, const struct setting_row *row, const char *flag,
                       const char *text)
{
	double number;
	char bound[32];
	if (!parse_number(row, text, &number))
		return settings_wrong(se, "%s %s: not %s", flag, text, kind_noun(row->kind));
	if (number < row->least)
		return settings_wrong(se, "%s %s: below the least, %s", flag, text,
		                      bound_text(row, row->least, bound, sizeof(bound)));
	if (number > row->most)
		return settings_wrong(se, "%s %s: above the most, %s", flag, text,
		                      bound_text(row, row->most, bound, sizeof(bound)));

	void *field = field_of(se, row);
	if (row->kind == KIND_FACTOR)
		*(double *)field = number;
	else if (setting_is_size(row))
		*(uint64_t *)field = (uint64_t)number;
	else
		*(uint32_t *)field = (uint32_t)number;
	return true;
}

static bool set_budget(struct settings *se, const struct setting_row *row, const char *flag,
                       const char *text)
{
	uint64_t percent;

	if (!parse_share(text, &percent)) {
		se->memory_share_percent = 0;
		return set_number(se, row, flag, text);
	}
	if (percent < 1)
		return settings_wrong(se, "%s %s: below the least, 1%%", flag, text);
	if (percent > 100)
		return settings_wrong(se, "%s %s: above the most, 100%%", flag, text);
	se->memory_share_percent = (uint32_t)percent;
	return true;
}

static bool append_list(struct settings *se, const struct setting_row *row, const char *flag,
                        const char *text)
{
	char *list = field_of(se, row);
	size_t length = strlen(list);
	size_t room = SETTINGS_LIST_BYTES - length;
	int n = snprintf(list + length, room, "%s%s", length > 0 ? "," : "", text);
	if (n < 0 || (size_t)n >= room)
		return settings_wrong(se, "%s %.40s...: the list is too long", flag, text);
	return true;
}

bool setting_set_text(struct settings *se, const struct setting_row *row, const char *flag,
                      const char *text)
{
	switch (row->kind) {
	case KIND_CHAR:
		if (strlen(text) != 1 || !isgraph((unsigned char)text[0]))
			return settings_wrong(se, "%s %s: not one printable character", flag, text);
		*(char *)field_of(se, row) = text[0];
		return true;
	case KIND_STRING:
		if (text[0] == '\0')
			return settings_wrong(se, "%s: needs more than an empty argument", flag);
		*(const char **)field_of(se, row) = text;
		return true;
	case KIND_LIST:
		if (text[0] == '\0')
			return settings_wrong(se, "%s: needs more than an empty argument", flag);
		return append_list(se, row, flag, text);
	case KIND_BUDGET:
		return set_budget(se, row, flag, text);
	default:
		return set_number(se, row, flag, text);
	}
}

void setting_set_switch(struct settings *se, const struct setting_row *row, bool given)
{
	if (row->kind == KIND_COUNT)
		++*(uint32_t *)field_of(se, row);
	else
		*(bool *)field_of(se, row) = given == (row->kind == KIND_ON);
}

static void set_default(struct settings *se, const struct setting_row *row)
{
	bool good = true;
	if (row->kind == KIND_ON || row->kind == KIND_OFF)
		*(bool *)field_of(se, row) = strcmp(row->default_text, "on") == 0;
	else if (row->kind == KIND_COUNT)
		*(uint32_t *)field_of(se, row) = 0;
	else if (row->default_text[0] != '\0')
		good = setting_set_text(se, row, row->name, row->default_text);
	assert(good);
}

void settings_set_defaults(struct settings *se)
{
	memset(se, 0, sizeof(*se));
	for (unsigned i = 0; i < setting_row_count; i++) {
		const struct setting_row *row = &setting_rows[i];
		if (row->class == CLASS_SETTING || row->class == CLASS_EXTENDED)
			set_default(se, row);
	}
}
