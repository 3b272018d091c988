/*
 * test_parse_cuts.c: however input is cut, the requests are the same, for one of everything and for what
 * random changes make of it; and for bytes at random the parser keeps its promises.
 */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/support/parse_expect.h"
#include "tests/support/random.h"

PARSER_SUITE(parse_cuts);

/* --- input in pieces -------------------------------------------------------------------------- */

/* One of everything, right and wrong. */
static const char mixed[] =
	"get a\r\nget a bb  ccc \r\ngets a\nset k 1 2 3\r\nabc\r\nset k 0 0 5 noreply\r\n\r\n\r\nx\r\n"
	"gat 10 a b\r\ngat x a\r\nget\r\nget \r\n" BAD_FORMAT "\r\n"
	"cas k 0 0 2 18446744073709551615 noreply\r\n\r\n\r\ncas k 0 0 3\r\nget\r\nincr k 1\r\n"
	"decr k x noreply\r\ntouch k 5\r\ndelete k noreply\r\nset k x 0 9\r\nmn\r\nmn\r\n\r\n\r\n"
	"a\r\n\r\n\nflush_all 5 noreply\r\nstats items\r\nverbosity 1\r\nversion\r\nget a\rb\r\n"
	"mg key v t T30 Oabc k\r\nmg a2V5 b k\r\nmg k v v\r\nmg k !\r\nms k 3 T0 F5\r\nabc\r\n"
	"ms a2V5 2 b c C7 I\r\nxy\r\nms k 4 z\r\nabcd\r\nms k x\r\nmd k q I T5\r\nma k MD D5 N0 J9\r\n"
	"ma k MZ\r\nms k 1 MX\r\n1\r\nme k\r\nme a2V5 b\r\nmn\r\nprepend k 0 0 1 x\r\nyzz"
	"get " KEY_250 "\r\nget " KEY_251 " b\r\nset " KEY_251 " 0 0 2\r\nxx\r\ndelete " KEY_250 "\r\n"
	"lru_crawler metadump all\r\nquit\r\n";

Test(parse_cuts, wherever_input_is_cut_in_two_the_requests_are_the_same)
{
	size_t length = sizeof(mixed) - 1;
	char *whole = strdup(driver_run(&driver, mixed, length));

	cr_assert(driver.trace_length > 1000);
	for (size_t cut = 0; cut <= length; cut++) {
		driver_reset(&driver);
		driver_feed(&driver, mixed, cut);
		driver_feed(&driver, mixed + cut, length - cut);
		cr_assert_str_eq(driver_trace(&driver), whole, "cut at %zu", cut);
	}
	free(whole);
}

Test(parse_cuts, byte_by_byte_the_requests_are_the_same)
{
	size_t length = sizeof(mixed) - 1;
	char *whole = strdup(driver_run(&driver, mixed, length));

	for (size_t piece = 1; piece <= 70; piece++) {
		driver_reset(&driver);
		for (size_t at = 0; at < length; at += piece)
			driver_feed(&driver, mixed + at, MIN(piece, length - at));
		cr_assert_str_eq(driver_trace(&driver), whole, "in pieces of %zu", piece);
	}
	free(whole);
}

Test(parse_cuts, what_lies_behind_the_buffer_makes_no_difference)
{
	static const char fillers[] = {'\n', ' ', '\r', 'a', '\0'};
	size_t length = sizeof(mixed) - 1;
	char *whole = strdup(driver_run(&driver, mixed, length));
	char padding[SCAN_PADDING_BYTES];

	for (unsigned i = 0; i < ARRAY_LENGTH(fillers); i++) {
		memset(padding, fillers[i], sizeof(padding));
		driver.padding = padding;
		for (size_t cut = 0; cut <= length; cut += 3) {
			driver_reset(&driver);
			driver_feed(&driver, mixed, cut);
			driver_feed(&driver, mixed + cut, length - cut);
			cr_assert_str_eq(driver_trace(&driver), whole, "filler %u, cut at %zu", i, cut);
		}
	}
	free(whole);
}

/* --- random input ----------------------------------------------------------------------------- */

static char buffer[64 * 1024];
static struct test_random random_state;

static uint32_t random_below(uint32_t limit)
{
	return test_random_below(&random_state, limit);
}

/* Bytes that mean something, more often than not. */
static char random_byte(void)
{
	static const char telling[] = " \r\n\n  0123456789gsmkbTNMFCO=-+x";
	return random_below(4) > 0 ? telling[random_below(sizeof(telling) - 1)] : (char)random_below(256);
}

/* A piece of at most `most` of the bytes left. */
static size_t random_piece(uint32_t most, size_t left)
{
	size_t piece = 1 + random_below(most);
	return MIN(piece, left);
}

static size_t mutate(char *buf, size_t length)
{
	for (unsigned changes = 1 + random_below(12); changes > 0; changes--) {
		size_t at = random_below((uint32_t)length);
		size_t count = 1 + random_below(8);

		switch (random_below(3)) {
		case 0:
			buf[at] = random_byte();
			break;
		case 1:
			count = MIN(count, length - at - 1);
			memmove(buf + at, buf + at + count, length - at - count);
			length -= count;
			break;
		case 2:
			memmove(buf + at + count, buf + at, length - at);
			for (size_t i = 0; i < count; i++)
				buf[at + i] = random_byte();
			length += count;
		}
	}
	return length;
}

Test(parse_cuts, mutated_input_in_random_pieces_gives_the_same_requests, .timeout = 120)
{
	uint64_t seed = random_state.state = test_seed(20240229);
	for (unsigned round = 0; round < 20000; round++) {
		/* Under 2048 bytes nothing closes for want of a newline, however it is cut. */
		size_t from = random_below(sizeof(mixed) - 400);
		size_t length = random_piece(1000, sizeof(mixed) - 1 - from);
		memcpy(buffer, mixed + from, length);
		length = mutate(buffer, length);

		char *whole = strdup(driver_run(&driver, buffer, length));
		driver_reset(&driver);
		for (size_t at = 0, piece; at < length; at += piece) {
			piece = random_piece(100, length - at);
			driver_feed(&driver, buffer + at, piece);
		}
		cr_assert_str_eq(driver_trace(&driver), whole, "seed %llu, round %u",
				 (unsigned long long)seed, round);
		free(whole);
	}
}

Test(parse_cuts, random_bytes_of_any_length_keep_every_promise, .timeout = 120)
{
	random_state.state = test_seed(7);
	for (unsigned round = 0; round < 2000; round++) {
		size_t length = (size_t)sprintf(buffer, "%s ", random_below(2) ? "get" : "gets");
		size_t whole = 10 + random_below(20000);
		while (length < whole) {
			/* Runs, so that keys and spaces grow long. */
			char c = random_byte();
			if (c == '\n' && random_below(8) > 0)
				c = 'n';
			for (unsigned run = 1 + random_below(random_below(20) == 0 ? 400 : 3); run > 0; run--)
				buffer[length++] = c;
		}
		driver_reset(&driver);
		for (size_t at = 0, piece; at < length; at += piece) {
			piece = random_piece(5000, length - at);
			driver_feed(&driver, buffer + at, piece);
		}
	}
}
