/*
 * tool.h: what the load tools share as command-line programs: how they fail, how they read
 * numbers, and the clock they measure with.
 *
 * A wrong command line ends a tool with one line and status 64; trouble with the machine, a file
 * or a server with one line and status 1. These are programs, not a library: they may exit.
 */
#ifndef LARDER_BENCH_TOOL_H
#define LARDER_BENCH_TOOL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#define TOOL_EXIT_FAILURE 1
#define TOOL_EXIT_USAGE 64

void tool_fail_usage(const char *format, ...)
	__attribute__((noreturn, format(printf, 1, 2)));
void tool_fail(const char *format, ...) __attribute__((noreturn, format(printf, 1, 2)));

/* Memory or the end of the program: a load tool has nothing better to do without. */
void *tool_alloc(size_t count, size_t item_bytes);
void *tool_realloc(void *old, size_t bytes);
char *tool_strdup(const char *text);

/* Whole-string parsers: false for anything left over, a sign, an overflow or an empty text. */
bool tool_parse_u64(const char *text, uint64_t *value);
bool tool_parse_size_bytes(const char *text, uint64_t *bytes); /* 10, 4k, 2m, 1g */
bool tool_parse_count(const char *text, uint64_t *count);      /* 10, 4k = 4000, 2m, 1g */
bool tool_parse_double(const char *text, double *value);       /* finite, not negative */
bool tool_parse_duration_s(const char *text, double *seconds); /* 10, 500ms, 10s, 2m, 1h */

/* The same for an option's argument; what is wrong ends the program with status 64. */
uint64_t tool_option_u64(const char *option, const char *text, uint64_t min, uint64_t max);
uint64_t tool_option_count(const char *option, const char *text, uint64_t min, uint64_t max);
uint64_t tool_option_size_bytes(const char *option, const char *text, uint64_t max);
double tool_option_double(const char *option, const char *text);
double tool_option_duration_s(const char *option, const char *text);

/* Files that are written at the end of a run are looked at before it: tool_check_output ends the program with
 * status 1 if the path cannot be written; nothing is left there that was not. tool_check_plot: also with 64 if
 * it ends neither in .png nor in .svg, and with 1 without gnuplot. */
void tool_check_output(const char *option, const char *path);
void tool_check_plot(const char *option, const char *path);
/* tool_plot_begin: where a plot's script is written to, its terminal and output set; NULL: said why.
 * tool_plot_end: false if it failed, which was said. */
FILE *tool_plot_begin(const char *path, unsigned width, unsigned height);
bool tool_plot_end(FILE *gnuplot, const char *path);
void tool_plot_quoted(FILE *gnuplot, const char *text);

/* Monotonic time. */
uint64_t tool_now_ns(void);

/* Writes text as a JSON string, quotes included. */
void tool_print_json_string(FILE *out, const char *text);

#endif
