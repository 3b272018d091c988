/* trace.c: see trace.h. */
#include "bench/trace.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zstd.h>

#define TRACE_RAW_BYTES (128u << 10)
#define TRACE_TEXT_BYTES (256u << 10)

static const unsigned char zstd_magic[4] = {0x28, 0xb5, 0x2f, 0xfd};

__attribute__((format(printf, 2, 3))) static bool trace_fail(struct trace_reader *tr,
							     const char *format, ...)
{
	va_list args;
	int used = snprintf(tr->error, sizeof(tr->error), "%s: ", tr->name);

	if (used < 0 || (size_t)used >= sizeof(tr->error))
		return false;
	va_start(args, format);
	vsnprintf(tr->error + used, sizeof(tr->error) - (size_t)used, format, args);
	va_end(args);
	return false;
}

const char *trace_error(const struct trace_reader *tr)
{
	return tr->error;
}

/* ---- one line ---- */

static bool field_is_space(char c)
{
	return c == ' ' || c == '\t';
}

static const char *field_skip_spaces(const char *p, const char *end)
{
	while (p < end && field_is_space(*p))
		p++;
	return p;
}

/* Reads digits at *at; false if there are none, they overflow, or something sticks to them. */
static bool field_parse_u64(const char **at, const char *end, uint64_t *value)
{
	const char *p = *at;
	uint64_t sum = 0;

	for (; p < end && *p >= '0' && *p <= '9'; p++) {
		if (__builtin_mul_overflow(sum, 10, &sum) ||
		    __builtin_add_overflow(sum, (uint64_t)(*p - '0'), &sum))
			return false;
	}
	if (p == *at || (p < end && !field_is_space(*p)))
		return false;
	*at = field_skip_spaces(p, end);
	*value = sum;
	return true;
}

/* A number with an optional fraction. */
static bool field_parse_time(const char **at, const char *end, double *value)
{
	const char *p = *at;
	double sum = 0, scale = 1;

	for (; p < end && *p >= '0' && *p <= '9'; p++)
		sum = sum * 10 + (*p - '0');
	if (p == *at)
		return false;
	if (p < end && *p == '.') {
		for (p++; p < end && *p >= '0' && *p <= '9'; p++)
			sum += (*p - '0') * (scale /= 10);
	}
	if (p < end && !field_is_space(*p))
		return false;
	*at = field_skip_spaces(p, end);
	*value = sum;
	return true;
}

const char *trace_line_parse(const char *line, size_t length, struct trace_request *rq)
{
	const char *end = line + length;
	const char *p = field_skip_spaces(line, end);

	*rq = (struct trace_request){0};
	if (!field_parse_u64(&p, end, &rq->key))
		return "the key is not an unsigned integer";
	if (p == end)
		return "the size is missing";
	if (!field_parse_u64(&p, end, &rq->size_bytes))
		return "the size is not an unsigned integer";
	if (rq->size_bytes > TRACE_SIZE_BYTES_MAX)
		return "the size is over 1 GiB";
	if (p < end && !field_parse_u64(&p, end, &rq->ttl_s))
		return "the ttl is not an unsigned integer";
	if (p < end && !field_parse_time(&p, end, &rq->time_s))
		return "the time is not a number";
	if (p < end)
		return "there are more than four fields";
	return NULL;
}

/* ---- the file ---- */

static bool trace_read(struct trace_reader *tr, char *to, size_t capacity, size_t *got)
{
	ssize_t n;

	do
		n = read(tr->fd, to, capacity);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return trace_fail(tr, "%s", strerror(errno));
	tr->input_ended = n == 0;
	*got = (size_t)n;
	return true;
}

static bool trace_fill_raw(struct trace_reader *tr)
{
	size_t got = 0;

	if (tr->raw_start < tr->raw_end || tr->input_ended)
		return true;
	if (!trace_read(tr, tr->raw, TRACE_RAW_BYTES, &got))
		return false;
	tr->raw_start = 0;
	tr->raw_end = got;
	return true;
}

/* Takes decompressed text until there is some or the file is over. The decoder may hold text that
 * did not fit last time, so it is asked inside a frame even when there is nothing to feed it. */
static bool trace_fill_zstd(struct trace_reader *tr)
{
	size_t text_end_before = tr->text_end;

	while (tr->text_end == text_end_before) {
		ZSTD_inBuffer in;
		ZSTD_outBuffer out = {tr->text, TRACE_TEXT_BYTES, tr->text_end};
		size_t left;
		bool fed;

		if (!trace_fill_raw(tr))
			return false;
		fed = tr->raw_start < tr->raw_end;
		if (!fed && !tr->frame_open)
			return true;
		in = (ZSTD_inBuffer){tr->raw, tr->raw_end, tr->raw_start};
		left = ZSTD_decompressStream(tr->zstd, &out, &in);
		if (ZSTD_isError(left))
			return trace_fail(tr, "zstd: %s", ZSTD_getErrorName(left));
		if (!fed && left != 0 && out.pos == tr->text_end)
			return trace_fail(tr, "the zstd stream is cut short");
		tr->frame_open = left != 0;
		tr->raw_start = in.pos;
		tr->text_end = out.pos;
	}
	return true;
}

static bool trace_fill_plain(struct trace_reader *tr)
{
	size_t got = 0;

	if (!trace_read(tr, tr->text + tr->text_end, TRACE_TEXT_BYTES - tr->text_end, &got))
		return false;
	tr->text_end += got;
	return true;
}

/* Moves what is left to the front and reads more behind it. */
static bool trace_fill(struct trace_reader *tr)
{
	size_t left = tr->text_end - tr->text_start;

	memmove(tr->text, tr->text + tr->text_start, left);
	tr->text_start = 0;
	tr->text_end = left;
	return tr->zstd ? trace_fill_zstd(tr) : trace_fill_plain(tr);
}

/* A pipe may give fewer than four bytes at a time: read until they are there or the file ends. */
static bool trace_detect_zstd(struct trace_reader *tr)
{
	size_t named = strlen(tr->name);
	bool is_zstd;

	while (tr->text_end < sizeof(zstd_magic) && !tr->input_ended) {
		if (!trace_fill_plain(tr))
			return false;
	}
	is_zstd = tr->text_end >= sizeof(zstd_magic) &&
		  memcmp(tr->text, zstd_magic, sizeof(zstd_magic)) == 0;
	if (!is_zstd && named > 4 && strcmp(tr->name + named - 4, ".zst") == 0)
		return trace_fail(tr, "it is not zstd, as its name says");
	if (!is_zstd)
		return true;
	tr->zstd = ZSTD_createDStream();
	tr->raw = malloc(TRACE_TEXT_BYTES);
	if (!tr->zstd || !tr->raw)
		return trace_fail(tr, "out of memory");
	memcpy(tr->raw, tr->text, tr->text_end);
	tr->raw_end = tr->text_end;
	tr->text_end = 0;
	return true;
}

bool trace_reader_init(struct trace_reader *tr, const char *path)
{
	memset(tr, 0, sizeof(*tr));
	tr->fd = -1;
	tr->name = path;
	if (strcmp(path, "-") == 0) {
		tr->fd = STDIN_FILENO;
		tr->name = "standard input";
	} else {
		tr->fd = open(path, O_RDONLY | O_CLOEXEC);
		tr->owns_fd = true;
	}
	if (tr->fd < 0)
		return trace_fail(tr, "%s", strerror(errno));
	tr->text = malloc(TRACE_TEXT_BYTES);
	if (!tr->text)
		return trace_fail(tr, "out of memory");
	return trace_detect_zstd(tr);
}

void trace_reader_fini(struct trace_reader *tr)
{
	if (tr->zstd)
		ZSTD_freeDStream(tr->zstd);
	free(tr->raw);
	free(tr->text);
	if (tr->owns_fd && tr->fd >= 0)
		close(tr->fd);
}

double trace_reader_fraction(const struct trace_reader *tr)
{
	struct stat st;
	off_t at = lseek(tr->fd, 0, SEEK_CUR);

	if (at < 0 || fstat(tr->fd, &st) < 0 || st.st_size <= 0)
		return -1;
	return (double)at / (double)st.st_size;
}

/* The next line without its end; *line is NULL when the trace is over. */
static bool trace_next_line(struct trace_reader *tr, const char **line, size_t *length)
{
	size_t searched = 0;
	const char *start, *newline;

	for (;;) {
		size_t left = tr->text_end - tr->text_start;

		start = tr->text + tr->text_start;
		newline = memchr(start + searched, '\n', left - searched);
		if (newline)
			break;
		if (left > TRACE_LINE_BYTES_MAX)
			return trace_fail(tr, "line %llu: over %d bytes long",
					  (unsigned long long)tr->line_number + 1,
					  TRACE_LINE_BYTES_MAX);
		searched = left;
		if (!trace_fill(tr))
			return false;
		if (tr->text_end == left) { /* the end; a last line may lack its newline */
			*line = left > 0 ? tr->text : NULL;
			*length = left;
			tr->text_start = tr->text_end;
			tr->line_number++;
			return true;
		}
	}
	*line = start;
	*length = (size_t)(newline - start);
	tr->text_start += *length + 1;
	tr->line_number++;
	return true;
}

enum trace_result trace_reader_next(struct trace_reader *tr, struct trace_request *rq)
{
	const char *line = NULL, *wrong;
	size_t length = 0;

	do {
		if (!trace_next_line(tr, &line, &length))
			return TRACE_FAILED;
		if (!line)
			return TRACE_END;
		if (length > 0 && line[length - 1] == '\r')
			length--;
	} while (length == 0 || line[0] == '#');
	wrong = trace_line_parse(line, length, rq);
	if (!wrong)
		return TRACE_REQUEST;
	trace_fail(tr, "line %llu: %s: \"%.*s\"", (unsigned long long)tr->line_number, wrong,
		   (int)(length < 60 ? length : 60), line);
	return TRACE_FAILED;
}
