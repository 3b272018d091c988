/*
 * scan.h: finding spaces and line ends sixteen bytes at a time.
 *
 * Every function here may read up to SCAN_PADDING_BYTES beyond the limit it is given, though it never
 * reports a byte from there: whoever owns the buffer keeps that many readable bytes behind its end.
 */
#ifndef LARDER_SCAN_H
#define LARDER_SCAN_H

#include <string.h>
#ifdef __SSE2__
#include <emmintrin.h>
#endif

#include "store/base/base.h"

#define SCAN_PADDING_BYTES 64

/* Bit i is set where p[i], of sixteen bytes, is c. */
static inline uint32_t scan_match16(const char *p, char c)
{
#ifdef __SSE2__
	__m128i bytes = _mm_loadu_si128((const __m128i *)(const void *)p);
	return (uint32_t)_mm_movemask_epi8(_mm_cmpeq_epi8(bytes, _mm_set1_epi8(c)));
#else
	uint32_t mask = 0;
	for (unsigned i = 0; i < 16; i++)
		mask |= (uint32_t)(p[i] == c) << i;
	return mask;
#endif
}

/* The same for 64 bytes. */
static inline uint64_t scan_match64(const char *p, char c)
{
	return (uint64_t)scan_match16(p, c) | (uint64_t)scan_match16(p + 16, c) << 16 |
	       (uint64_t)scan_match16(p + 32, c) << 32 | (uint64_t)scan_match16(p + 48, c) << 48;
}

/* The first space or newline in [p, limit), or limit. */
static inline char *scan_space_or_newline(char *p, char *limit)
{
	for (; p < limit; p += 16) {
		uint32_t mask = scan_match16(p, ' ') | scan_match16(p, '\n');
		if (mask != 0) {
			p += __builtin_ctz(mask);
			break;
		}
	}
	return p < limit ? p : limit;
}

/* The first byte in [p, limit) that is no space, or limit. */
static inline char *scan_past_spaces(char *p, char *limit)
{
	while (p < limit && *p == ' ')
		p++;
	return p;
}

#endif
