/* tool.c: see tool.h. */
#include "bench/tool.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static void tool_complain(const char *format, va_list args, const char *hint)
{
	fflush(stdout);
	fprintf(stderr, "%s: ", program_invocation_short_name);
	vfprintf(stderr, format, args);
	fprintf(stderr, "%s\n", hint);
}

void tool_fail_usage(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	tool_complain(format, args, " (try --help)");
	va_end(args);
	exit(TOOL_EXIT_USAGE);
}

void tool_fail(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	tool_complain(format, args, "");
	va_end(args);
	exit(TOOL_EXIT_FAILURE);
}

void *tool_alloc(size_t count, size_t item_bytes)
{
	void *memory = calloc(count > 0 ? count : 1, item_bytes > 0 ? item_bytes : 1);

	if (!memory)
		tool_fail("out of memory");
	return memory;
}

void *tool_realloc(void *old, size_t bytes)
{
	void *memory = realloc(old, bytes > 0 ? bytes : 1);

	if (!memory)
		tool_fail("out of memory");
	return memory;
}

char *tool_strdup(const char *text)
{
	size_t bytes = strlen(text) + 1;

	return memcpy(tool_alloc(bytes, 1), text, bytes);
}

/* Digits at the start of text; *end is what follows them. */
static bool tool_parse_digits(const char *text, uint64_t *value, const char **end)
{
	uint64_t sum = 0;
	const char *p = text;

	for (; *p >= '0' && *p <= '9'; p++) {
		if (__builtin_mul_overflow(sum, 10, &sum) ||
		    __builtin_add_overflow(sum, (uint64_t)(*p - '0'), &sum))
			return false;
	}
	*value = sum;
	*end = p;
	return p != text;
}

bool tool_parse_u64(const char *text, uint64_t *value)
{
	const char *end;

	return tool_parse_digits(text, value, &end) && *end == '\0';
}

/* A number and an optional letter that multiplies it by a power of step. */
static bool tool_parse_scaled(const char *text, uint64_t step, uint64_t *value)
{
	static const char letters[] = "kmg";
	const char *end, *letter;

	if (!tool_parse_digits(text, value, &end))
		return false;
	if (*end == '\0')
		return true;
	letter = strchr(letters, *end | 0x20);
	if (!letter || end[1] != '\0')
		return false;
	for (; letter >= letters; letter--) {
		if (__builtin_mul_overflow(*value, step, value))
			return false;
	}
	return true;
}

bool tool_parse_size_bytes(const char *text, uint64_t *bytes)
{
	return tool_parse_scaled(text, 1024, bytes);
}

bool tool_parse_count(const char *text, uint64_t *count)
{
	return tool_parse_scaled(text, 1000, count);
}

/* strtod takes signs, spaces, hexadecimals and "inf"; the tools do not. */
static bool tool_parse_decimal(const char *text, double *value, const char **end)
{
	char *rest;

	if (!((*text >= '0' && *text <= '9') || *text == '.') || strpbrk(text, "xX"))
		return false;
	errno = 0;
	*value = strtod(text, &rest);
	*end = rest;
	return rest != text && errno == 0 && isfinite(*value);
}

bool tool_parse_double(const char *text, double *value)
{
	const char *end;

	return tool_parse_decimal(text, value, &end) && *end == '\0';
}

bool tool_parse_duration_s(const char *text, double *seconds)
{
	static const struct {
		const char *suffix;
		double scale;
	} units[] = {{"", 1}, {"s", 1}, {"ms", 1e-3}, {"us", 1e-6}, {"m", 60}, {"h", 3600}};
	const char *end;

	if (!tool_parse_decimal(text, seconds, &end))
		return false;
	for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++) {
		if (strcmp(end, units[i].suffix) == 0) {
			*seconds *= units[i].scale;
			return true;
		}
	}
	return false;
}

static uint64_t tool_within(const char *option, const char *text, uint64_t value, uint64_t min,
			    uint64_t max)
{
	if (value < min || value > max)
		tool_fail_usage("%s: %s is not between %llu and %llu", option, text,
				(unsigned long long)min, (unsigned long long)max);
	return value;
}

uint64_t tool_option_u64(const char *option, const char *text, uint64_t min, uint64_t max)
{
	uint64_t value;

	if (!tool_parse_u64(text, &value))
		tool_fail_usage("%s: \"%s\" is not a whole number", option, text);
	return tool_within(option, text, value, min, max);
}

uint64_t tool_option_count(const char *option, const char *text, uint64_t min, uint64_t max)
{
	uint64_t value;

	if (!tool_parse_count(text, &value))
		tool_fail_usage("%s: \"%s\" is not a number such as 500, 10k or 2m", option, text);
	return tool_within(option, text, value, min, max);
}

uint64_t tool_option_size_bytes(const char *option, const char *text, uint64_t max)
{
	uint64_t bytes;

	if (!tool_parse_size_bytes(text, &bytes))
		tool_fail_usage("%s: \"%s\" is not a size such as 100, 4k or 2m", option, text);
	if (bytes > max)
		tool_fail_usage("%s: %s is over %llu bytes", option, text, (unsigned long long)max);
	return bytes;
}

double tool_option_double(const char *option, const char *text)
{
	double value;

	if (!tool_parse_double(text, &value))
		tool_fail_usage("%s: \"%s\" is not a number", option, text);
	return value;
}

double tool_option_duration_s(const char *option, const char *text)
{
	double seconds;

	if (!tool_parse_duration_s(text, &seconds))
		tool_fail_usage("%s: \"%s\" is not a time such as 10, 500ms or 2m", option, text);
	return seconds;
}

static bool ends_in(const char *text, const char *end)
{
	size_t length = strlen(text), end_length = strlen(end);

	return length > end_length && strcmp(text + length - end_length, end) == 0;
}

void tool_check_output(const char *option, const char *path)
{
	bool was_there = access(path, F_OK) == 0;
	int fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666);

	if (fd < 0)
		tool_fail("%s: cannot write %s: %s", option, path, strerror(errno));
	close(fd);
	if (!was_there)
		unlink(path);
}

void tool_check_plot(const char *option, const char *path)
{
	if (!ends_in(path, ".png") && !ends_in(path, ".svg"))
		tool_fail_usage("%s: \"%s\" ends neither in .png nor in .svg", option, path);
	tool_check_output(option, path);
	if (system("command -v gnuplot >/dev/null 2>&1") != 0)
		tool_fail("%s: gnuplot is not there to draw it", option);
}

void tool_plot_quoted(FILE *gnuplot, const char *text)
{
	for (fputc('"', gnuplot); *text; text++) {
		if (*text == '"' || *text == '\\')
			fputc('\\', gnuplot);
		fputc(*text, gnuplot);
	}
	fputc('"', gnuplot);
}

FILE *tool_plot_begin(const char *path, unsigned width, unsigned height)
{
	/* Should it not get its output open it would draw on ours. */
	FILE *gnuplot = popen("gnuplot >/dev/null", "we");

	if (!gnuplot) {
		fprintf(stderr, "%s: cannot run gnuplot: %s\n", path, strerror(errno));
		return NULL;
	}
	fprintf(gnuplot, "set terminal %s size %u,%u\nset output ", ends_in(path, ".svg") ? "svg" : "pngcairo",
	        width, height);
	tool_plot_quoted(gnuplot, path);
	fputc('\n', gnuplot);
	return gnuplot;
}

bool tool_plot_end(FILE *gnuplot, const char *path)
{
	bool good = pclose(gnuplot) == 0;

	if (!good)
		fprintf(stderr, "%s: gnuplot failed\n", path);
	return good;
}

uint64_t tool_now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

void tool_print_json_string(FILE *out, const char *text)
{
	fputc('"', out);
	for (; *text; text++) {
		unsigned char c = (unsigned char)*text;

		if (c == '"' || c == '\\')
			fprintf(out, "\\%c", c);
		else if (c < 0x20)
			fprintf(out, "\\u%04x", c);
		else
			fputc(c, out);
	}
	fputc('"', out);
}
