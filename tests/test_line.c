/* test_line.c: lines cut into tokens, beside a plain loop that does the same. */
#include <criterion/criterion.h>
#include <string.h>

#include "net/proto/line.h"
#include "net/proto/scan.h"
#include "tests/support/random.h"

/* The definition of line_split, taken literally. */
static bool split_plainly(struct line *ln, const char *buf, size_t length)
{
	const char *newline = memchr(buf, '\n', length);
	const char *end, *p = buf;

	if (newline == NULL)
		return false;
	end = newline > buf && newline[-1] == '\r' ? newline - 1 : newline;
	ln->length = (uint32_t)(end - buf);
	ln->size = (uint32_t)(newline + 1 - buf);
	ln->count = 0;
	while (true) {
		while (p < end && *p == ' ')
			p++;
		if (p == end)
			return true;
		ln->last.data = p;
		while (p < end && *p != ' ')
			p++;
		ln->last.length = (uint32_t)(p - ln->last.data);
		if (ln->count < LINE_TOKENS_MAX)
			ln->tokens[ln->count] = ln->last;
		ln->count++;
	}
}

static void expect_same_slice(struct slice got, struct slice wanted)
{
	cr_assert_eq(got.data, wanted.data);
	cr_assert_eq(got.length, wanted.length);
}

static void expect_same_line(const struct line *got, const struct line *wanted)
{
	cr_assert_eq(got->length, wanted->length);
	cr_assert_eq(got->size, wanted->size);
	cr_assert_eq(got->count, wanted->count);
	for (unsigned i = 0; i < MIN(got->count, LINE_TOKENS_MAX); i++)
		expect_same_slice(got->tokens[i], wanted->tokens[i]);
	if (got->count > 0)
		expect_same_slice(got->last, wanted->last);
}

static char random_byte(struct test_random *random, unsigned spaces)
{
	if (test_random_below(random, spaces) == 0)
		return ' ';
	return test_random_below(random, 12) == 0 ? '\r' : 'a';
}

Test(line, lines_are_cut_as_a_plain_loop_cuts_them)
{
	static char buffer[400 + SCAN_PADDING_BYTES];
	struct test_random random = {test_seed(99)};

	for (unsigned round = 0; round < 100000; round++) {
		struct line got, wanted;
		size_t length = 1 + test_random_below(&random, round % 2 ? 400 : 140);
		unsigned spaces = 2 + test_random_below(&random, 30);

		for (size_t i = 0; i < length + SCAN_PADDING_BYTES; i++)
			buffer[i] = random_byte(&random, spaces);
		if (test_random_below(&random, 8) > 0)
			buffer[length - 1] = '\n';
		if (test_random_below(&random, 2) > 0 && length > 1)
			buffer[length - 2] = '\r';
		buffer[length + test_random_below(&random, SCAN_PADDING_BYTES)] = '\n';
		bool is_line = split_plainly(&wanted, buffer, length);
		cr_assert_eq(line_split(&got, buffer, length), is_line, "round %u", round);
		if (is_line)
			expect_same_line(&got, &wanted);
	}
}
