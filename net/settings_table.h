/*
 * settings_table.h: settings.def as an array, for settings.c (which reads the command line),
 * settings_value.c (text to values) and settings_print.c (which tells). Nobody else includes it.
 */
#ifndef LARDER_SETTINGS_TABLE_H
#define LARDER_SETTINGS_TABLE_H

#include "net/settings.h"

enum setting_class {
	CLASS_GROUP,
	CLASS_SETTING,
	CLASS_EXTENDED,
	CLASS_ACTION,
	CLASS_INERT,
	CLASS_INERT_EXTENDED,
	CLASS_REFUSED,
	CLASS_REFUSED_EXTENDED, /* the name is a prefix of many */
	CLASS_FACT,
};

enum setting_kind {
	KIND_NONE,
	KIND_ON,
	KIND_OFF,
	KIND_COUNT,
	KIND_UNSIGNED,
	KIND_OCTAL,
	KIND_SECONDS,
	KIND_BYTES,
	KIND_KILOBYTES,
	KIND_BUDGET,
	KIND_FACTOR,
	KIND_CHAR,
	KIND_STRING,
	KIND_LIST,
};

struct setting_row {
	uint8_t class; /* enum setting_class */
	uint8_t kind;  /* enum setting_kind */
	char letter;   /* 0: none */
	uint16_t offset;
	const char *name;
	const char *argument; /* NULL: none; in brackets: may be left out */
	const char *default_text;
	double least;
	double most;
	const char *stats;
	const char *text; /* help, reason, or the value that stats shows */
};

#define SETTING_ROWS_MAX 128
extern const struct setting_row setting_rows[];
extern const unsigned setting_row_count;

/* settings_wrong: says in se->error what is wrong, in one line. Returns false. */
__attribute__((format(printf, 2, 3))) bool settings_wrong(struct settings *se, const char *format, ...);

void settings_set_defaults(struct settings *se);
/* setting_set_text: `flag` is how the user named the row. False when the text is none of its kind. */
bool setting_set_text(struct settings *se, const struct setting_row *row, const char *flag,
                      const char *text);
/* setting_set_switch: a row of kind ON, OFF or COUNT was given, or taken back. */
void setting_set_switch(struct settings *se, const struct setting_row *row, bool given);

/* A flag of its own, with a letter or without. */
static inline bool setting_is_flag(const struct setting_row *row)
{
	return row->class == CLASS_SETTING || row->class == CLASS_ACTION ||
	       row->class == CLASS_INERT || row->class == CLASS_REFUSED;
}

static inline bool setting_is_extended(const struct setting_row *row)
{
	return row->class == CLASS_EXTENDED || row->class == CLASS_INERT_EXTENDED ||
	       row->class == CLASS_REFUSED_EXTENDED;
}

static inline bool setting_is_size(const struct setting_row *row)
{
	return row->kind == KIND_BYTES || row->kind == KIND_KILOBYTES || row->kind == KIND_BUDGET;
}

#endif
