/*
 * number.h: decimal numbers of the protocol, read from a token of known length.
 *
 * A number is digits and nothing else, with a sign where the function says so. What does not fit
 * is refused, never cut: memcached keeps the low 32 bits of too large flags, and nobody wants them.
 */
#ifndef LARDER_NUMBER_H
#define LARDER_NUMBER_H

#include "net/proto/request.h"

/* 19 digits always fit in 64 bits; from the 20th on each step is checked. */
#define NUMBER_SAFE_DIGITS 19

/* Digits only. */
static inline bool number_digits_u64(const char *p, uint32_t length, uint64_t *out)
{
	uint64_t sum = 0;
	uint32_t i = 0;

	if (length == 0)
		return false;
	for (; i < length && i < NUMBER_SAFE_DIGITS; i++) {
		unsigned digit = (unsigned char)p[i] - '0';
		if (digit > 9)
			return false;
		sum = sum * 10 + digit;
	}
	for (; i < length; i++) {
		unsigned digit = (unsigned char)p[i] - '0';
		if (digit > 9 || __builtin_mul_overflow(sum, 10, &sum) ||
		    __builtin_add_overflow(sum, digit, &sum))
			return false;
	}
	*out = sum;
	return true;
}

/* Digits, perhaps with a plus sign before them. */
static inline bool number_parse_u64(struct slice token, uint64_t *out)
{
	bool plus = token.length > 0 && token.data[0] == '+';
	return number_digits_u64(token.data + plus, token.length - plus, out);
}

static inline bool number_parse_u32(struct slice token, uint32_t *out)
{
	uint64_t wide;

	if (!number_parse_u64(token, &wide) || wide > UINT32_MAX)
		return false;
	*out = (uint32_t)wide;
	return true;
}

/* An expiry time or a delay: a signed number of 32 bits, widened. */
static inline bool number_parse_exptime(struct slice token, int64_t *out)
{
	bool minus = token.length > 0 && token.data[0] == '-';
	bool plus = token.length > 0 && token.data[0] == '+';
	uint64_t wide;

	if (!number_digits_u64(token.data + (minus | plus), token.length - (minus | plus), &wide) ||
	    wide > (uint64_t)INT32_MAX + minus)
		return false;
	*out = minus ? -(int64_t)wide : (int64_t)wide;
	return true;
}

/* The length of a data block. No plus sign: memcached takes none here either. */
#define NUMBER_BLOCK_LENGTH_MAX 2147483645u
static inline bool number_parse_block_length(struct slice token, uint32_t *out)
{
	uint64_t wide;

	if (!number_digits_u64(token.data, token.length, &wide) || wide > NUMBER_BLOCK_LENGTH_MAX)
		return false;
	*out = (uint32_t)wide;
	return true;
}

#endif
