/*
 * base64.h: keys of meta commands with the flag b (RFC 4648, section 4, always padded).
 *
 * What is no base64 is refused as a whole. Bits that the padding leaves over are ignored, as
 * memcached ignores them: "zz==" decodes like "zw==".
 */
#ifndef LARDER_BASE64_H
#define LARDER_BASE64_H

#include "store/base/base.h"

#define BASE64_ENCODED_LENGTH(length) (((length) + 2) / 3 * 4)

/* Decodes length bytes at from to the bytes at to; both may be the same place. Returns the decoded
 * length, 0 if the input is empty or no base64. */
size_t base64_decode(char *to, const char *from, size_t length);

/* Writes BASE64_ENCODED_LENGTH(length) bytes at to, which must be another place, and returns the
 * byte after them. */
char *base64_encode(char *to, const char *from, size_t length);

#endif
