/*
 * settings.h: what the operator asked for. settings.def is the table of all of it; this file makes a
 * struct of the table, fills it from the command line, and says it again in --help, in the manual
 * page and to `stats settings`.
 *
 * A setting is text on the command line and a value in the struct. Its kind joins the two:
 *
 *     kind        field        text
 *     ON, OFF     bool         none; giving the flag makes the field true, or false
 *     COUNT       uint32_t     none; each time it is given adds one
 *     UNSIGNED    uint32_t     decimal digits
 *     OCTAL       uint32_t     octal digits
 *     SECONDS     uint32_t     digits, with s, m, h or d; bare: seconds
 *     BYTES       uint64_t     digits, with k, m or g (either case); bare: bytes
 *     KILOBYTES   uint64_t     the same; bare: kilobytes
 *     BUDGET      uint64_t     the same; bare: megabytes; or a share of what the system grants: auto,
 *                              or digits and %
 *     FACTOR      double       a decimal number
 *     CHAR        char         one printable character
 *     STRING      const char * anything but ""; NULL when it was not given
 *     LIST        char[]       items, joined by commas in the order given; "" for none
 *
 * Const after settings_parse, and after settings_set_budget where -m is a share. Strings point into
 * argv. What changes while the server runs (the budget, the verbosity) starts from here and lives in
 * struct server.
 */
#ifndef LARDER_SETTINGS_H
#define LARDER_SETTINGS_H

#include <stdio.h>

#include "store/base/base.h"

#define SETTINGS_LIST_BYTES 1024
#define SETTINGS_ERROR_BYTES 256
/* -m auto. The rest is for what a control group counts as its own and no process sees: buffers of
 * sockets, page tables, the kernel's structures; and for whoever else is in the container. */
#define SETTINGS_AUTO_PERCENT 80u
/* What the process may be over its budget. A share is less by it, so that the process is within. */
#define SETTINGS_SHARE_LESS_BYTES (4u << 20)

#define KIBI 1024.0
#define MEBI (KIBI * KIBI)
#define GIBI (KIBI * MEBI)

#define SETTING_KIND_ON(field) bool field
#define SETTING_KIND_OFF(field) bool field
#define SETTING_KIND_COUNT(field) uint32_t field
#define SETTING_KIND_UNSIGNED(field) uint32_t field
#define SETTING_KIND_OCTAL(field) uint32_t field
#define SETTING_KIND_SECONDS(field) uint32_t field
#define SETTING_KIND_BYTES(field) uint64_t field
#define SETTING_KIND_KILOBYTES(field) uint64_t field
#define SETTING_KIND_BUDGET(field) uint64_t field
#define SETTING_KIND_FACTOR(field) double field
#define SETTING_KIND_CHAR(field) char field
#define SETTING_KIND_STRING(field) const char *field
#define SETTING_KIND_LIST(field) char field[SETTINGS_LIST_BYTES]

struct settings {
#define GROUP(title)
#define SETTING(kind, field, ...) SETTING_KIND_##kind(field);
#define EXTENDED(kind, field, ...) SETTING_KIND_##kind(field);
#define ACTION(field, ...) bool field;
#define INERT(...)
#define INERT_EXTENDED(...)
#define REFUSED(...)
#define REFUSED_EXTENDED(...)
#define FACT(...)
#include "net/settings.def"
#include "net/settings_undef.h"
	uint32_t memory_share_percent; /* -m is a share, and memory_limit_bytes not known yet; 0: a size */
	bool detail_enabled; /* -D was used: stats detail begins turned on */
	char error[SETTINGS_ERROR_BYTES]; /* what is wrong, after settings_parse returned false */
};

/* settings_parse: defaults, then the command line. False when something is wrong: se->error says
 * what in one line, without the program's name. With -v, what was given and means nothing is said
 * on `notes` (may be NULL). */
bool settings_parse(struct settings *se, int argc, char *const argv[], FILE *notes);

/* settings_share_of: the budget that the share of -m makes of what the system grants; at most what -m
 * may be, and maybe too little. */
uint64_t settings_share_of(const struct settings *se, uint64_t granted_bytes);
/* settings_least_budget: less does not hold what the settings ask for. */
uint64_t settings_least_budget(const struct settings *se);
/* settings_set_budget: takes the share for the budget, once, before anybody else has seen the settings. False
 * as for settings_parse when it is too small. */
bool settings_set_budget(struct settings *se, uint64_t granted_bytes);

/* settings_each: the lines of `stats settings`, in order. A caller that knows better (maxbytes after
 * cache_memlimit, verbosity) replaces the value by its name. The value lives until `line` returns. */
void settings_each(const struct settings *se,
                   void (*line)(void *context, const char *name, const char *value),
                   void *context);

/* --help, at most 80 columns wide; the manual page, in roff. */
void settings_print_help(FILE *out);
void settings_print_manual(FILE *out);

/* setting_size_text: a count of bytes as a user writes it: 2m, 1g, 1500. Returns `buffer`. */
const char *setting_size_text(double bytes, char *buffer, size_t size);

/* settings_each_flag: every flag and extended option that is accepted, for tests of completeness:
 * its short letter (0: none) and its long name; extended: given through -o. */
void settings_each_flag(void (*flag)(void *context, char letter, const char *name, bool extended),
                        void *context);

#endif
