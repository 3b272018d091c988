/* test_trace.c: bench/trace on lines, files and what is wrong with them. */
#include "bench/trace.h"

#include <criterion/criterion.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <zstd.h>

#include "store/base/base.h"

struct file {
	char path[64];
};

static struct file make_file(const char *ending, const void *bytes, size_t length)
{
	struct file file;
	int fd;

	snprintf(file.path, sizeof(file.path), "/tmp/test-trace-XXXXXX%s", ending);
	fd = mkstemps(file.path, (int)strlen(ending));
	cr_assert_geq(fd, 0);
	cr_assert_eq(write(fd, bytes, length), (ssize_t)length);
	close(fd);
	return file;
}

/* Reads all of a file: how many requests; *sum adds up every field. */
static size_t read_all(const char *path, double *sum)
{
	struct trace_reader tr;
	struct trace_request rq;
	enum trace_result result;
	size_t count = 0;

	*sum = 0;
	cr_assert(trace_reader_init(&tr, path), "%s", trace_error(&tr));
	while ((result = trace_reader_next(&tr, &rq)) == TRACE_REQUEST) {
		*sum += (double)rq.key + (double)rq.size_bytes + (double)rq.ttl_s + rq.time_s;
		count++;
	}
	cr_assert_eq(result, TRACE_END, "%s", trace_error(&tr));
	trace_reader_fini(&tr);
	return count;
}

static void expect_failure(const struct file *file, const char *words)
{
	struct trace_reader tr;
	struct trace_request rq;
	enum trace_result result = TRACE_REQUEST;

	if (trace_reader_init(&tr, file->path)) {
		while (result == TRACE_REQUEST)
			result = trace_reader_next(&tr, &rq);
		cr_assert_eq(result, TRACE_FAILED);
	}
	cr_assert_not_null(strstr(trace_error(&tr), words), "\"%s\" lacks \"%s\"", trace_error(&tr),
			   words);
	trace_reader_fini(&tr);
	unlink(file->path);
}

Test(trace, a_line_has_two_to_four_fields)
{
	static const struct {
		const char *line;
		struct trace_request wanted;
	} cases[] = {
		{"1 2", {1, 2, 0, 0}},
		{"1 2 3", {1, 2, 3, 0}},
		{"1 2 3 4", {1, 2, 3, 4}},
		{"  1\t2   3 4.5  ", {1, 2, 3, 4.5}},
		{"18446744073709551615 0", {UINT64_MAX, 0, 0, 0}},
	};

	for (size_t i = 0; i < ARRAY_LENGTH(cases); i++) {
		struct trace_request rq;

		cr_assert_null(trace_line_parse(cases[i].line, strlen(cases[i].line), &rq), "%s",
			       cases[i].line);
		cr_assert_eq(rq.key, cases[i].wanted.key);
		cr_assert_eq(rq.size_bytes, cases[i].wanted.size_bytes);
		cr_assert_eq(rq.ttl_s, cases[i].wanted.ttl_s);
		cr_assert_float_eq(rq.time_s, cases[i].wanted.time_s, 1e-9);
	}
}

Test(trace, a_line_that_is_none_is_refused)
{
	static const char *const lines[] = {"",      "1",      "a 2",     "1 b",
					    "1 2 c", "1 2 3 d", "1 2 3 4 5", "-1 2",
					    "1 -2",  "1 2.5",  "18446744073709551616 1",
					    "1 1073741825"};

	for (size_t i = 0; i < ARRAY_LENGTH(lines); i++) {
		struct trace_request rq;

		cr_assert_not_null(trace_line_parse(lines[i], strlen(lines[i]), &rq), "\"%s\"",
				   lines[i]);
	}
}

/* Longer than the reader's buffers, so that lines are cut at their ends. */
Test(trace, plain_zstd_and_several_frames_read_the_same)
{
	enum { COUNT = 60000 };
	size_t capacity = COUNT * 40, length = 0, packed_length, half;
	char *text = malloc(capacity), *packed = malloc(2 * capacity);
	double plain_sum, sum;
	struct file file;

	for (unsigned i = 0; i < COUNT; i++)
		length += (size_t)sprintf(text + length, "%u %u %u %u.25\n", i * 2654435761u, i % 999,
					  i % 7, i);
	file = make_file(".txt", text, length);
	cr_assert_eq(read_all(file.path, &plain_sum), COUNT);
	unlink(file.path);

	packed_length = ZSTD_compress(packed, 2 * capacity, text, length, 3);
	file = make_file(".zst", packed, packed_length);
	cr_assert_eq(read_all(file.path, &sum), COUNT);
	cr_assert_eq(sum, plain_sum);
	unlink(file.path);

	half = length / 2 + 3; /* inside a line */
	packed_length = ZSTD_compress(packed, capacity, text, half, 1);
	packed_length += ZSTD_compress(packed + packed_length, capacity, text + half, length - half, 19);
	file = make_file("", packed, packed_length); /* known by its bytes, not its name */
	cr_assert_eq(read_all(file.path, &sum), COUNT);
	cr_assert_eq(sum, plain_sum);
	unlink(file.path);
	free(text);
	free(packed);
}

Test(trace, comments_empty_lines_and_carriage_returns_are_no_requests)
{
	static const char text[] = "# key size\n\n1 2\r\n\r\n#\n3 4";
	struct file file = make_file("", text, sizeof(text) - 1);
	double sum;

	cr_assert_eq(read_all(file.path, &sum), 2);
	cr_assert_eq(sum, 10);
	unlink(file.path);
}

Test(trace, an_empty_file_is_an_empty_trace)
{
	struct file file = make_file("", "", 0);
	double sum;

	cr_assert_eq(read_all(file.path, &sum), 0);
	unlink(file.path);
}

Test(trace, an_error_names_the_line)
{
	static const char text[] = "1 2\n\n# x\n1 2\nfive 6\n";
	struct file file = make_file("", text, sizeof(text) - 1);

	expect_failure(&file, "line 5");
}

Test(trace, a_line_without_end_is_refused)
{
	char text[2 * TRACE_LINE_BYTES_MAX];
	struct file file;

	memset(text, '1', sizeof(text));
	file = make_file("", text, sizeof(text));
	expect_failure(&file, "line 1: over");
}

Test(trace, a_zstd_stream_cut_at_any_byte_is_refused)
{
	char text[400], packed[1024];
	size_t length = 0, packed_length;

	for (unsigned i = 0; length < 300; i++)
		length += (size_t)sprintf(text + length, "%u %u\n", i * i, i);
	packed_length = ZSTD_compress(packed, sizeof(packed), text, length, 3);
	for (size_t cut = 4; cut < packed_length; cut++) {
		struct file file = make_file("", packed, cut);

		expect_failure(&file, "cut short");
	}
}

Test(trace, a_missing_file_says_so)
{
	struct file file = {.path = "/nonexistent/trace"};

	expect_failure(&file, "No such file");
}
