#include "net/proto/base64.h"

static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/* A digit's value; anything above 63 for a byte that is none. */
static unsigned base64_value(char c)
{
	if (c >= 'A' && c <= 'Z')
		return (unsigned)(c - 'A');
	if (c >= 'a' && c <= 'z')
		return (unsigned)(c - 'a') + 26;
	if (c >= '0' && c <= '9')
		return (unsigned)(c - '0') + 52;
	return c == '+' ? 62 : c == '/' ? 63 : 64;
}

/* Four digits as 24 bits, or more than that if one is no digit. */
static uint32_t base64_quad(char a, char b, char c, char d)
{
	unsigned va = base64_value(a), vb = base64_value(b);
	unsigned vc = base64_value(c), vd = base64_value(d);

	if ((va | vb | vc | vd) > 63)
		return UINT32_MAX;
	return va << 18 | vb << 12 | vc << 6 | vd;
}

size_t base64_decode(char *to, const char *from, size_t length)
{
	size_t done = 0;

	if (length % 4 != 0)
		return 0;
	for (size_t i = 0; i < length; i += 4) {
		char c = from[i + 2], d = from[i + 3];
		unsigned bytes = 3;

		/* Padding may only end the last quad. */
		if (d == '=' && i + 4 == length) {
			d = 'A';
			bytes = 2;
			if (c == '=') {
				c = 'A';
				bytes = 1;
			}
		}
		uint32_t bits = base64_quad(from[i], from[i + 1], c, d);
		if (bits == UINT32_MAX)
			return 0;
		for (unsigned shift = 16; bytes > 0; bytes--, shift -= 8)
			to[done++] = (char)(bits >> shift);
	}
	return done;
}

char *base64_encode(char *to, const char *from, size_t length)
{
	const unsigned char *p = (const unsigned char *)from;

	for (; length > 0; p += 3) {
		size_t taken = MIN(length, (size_t)3);
		uint32_t bits = (uint32_t)p[0] << 16;
		if (taken > 1)
			bits |= (uint32_t)p[1] << 8;
		if (taken > 2)
			bits |= p[2];
		*to++ = alphabet[bits >> 18];
		*to++ = alphabet[bits >> 12 & 63];
		*to++ = taken > 1 ? alphabet[bits >> 6 & 63] : '=';
		*to++ = taken > 2 ? alphabet[bits & 63] : '=';
		length -= taken;
	}
	return to;
}
