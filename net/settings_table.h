/*
 * settings_table.h: settings.def as an array, for settings.c (which reads the command line) and
 * settings_print.c (which tells). Nobody else includes it.
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

/* setting_row_label: how a user names the row: "-p, --port" or "-o name". */
const char *setting_row_label(const struct setting_row *row, char *buffer, size_t size);

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
