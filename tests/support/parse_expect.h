/* parse_expect.h: what a test of the parser says and expects, as one line. */
#ifndef LARDER_TEST_PARSE_EXPECT_H
#define LARDER_TEST_PARSE_EXPECT_H

#include <criterion/criterion.h>

#include "tests/support/proto_driver.h"

static struct driver driver;

static inline void setup(void)
{
	driver_init(&driver);
}

static inline void teardown(void)
{
	driver_fini(&driver);
}

/* The tests of a program: each has a new driver. */
#define PARSER_SUITE(name) TestSuite(name, .init = setup, .fini = teardown)

/* What input, one string literal, comes out as. */
#define EXPECT(input, trace)                                                                       \
	cr_expect_str_eq(driver_run(&driver, input, sizeof(input) - 1), trace, "%s gave\n%s", #input, \
			 driver_trace(&driver))

#define BAD_FORMAT "error CLIENT_ERROR bad command line format"
#define TEN_X "xxxxxxxxxx"
#define KEY_50 TEN_X TEN_X TEN_X TEN_X TEN_X
#define KEY_250 KEY_50 KEY_50 KEY_50 KEY_50 KEY_50
#define KEY_251 KEY_250 "y"

#endif
