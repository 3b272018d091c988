/*
 * meta_parse.h: the flags of mg, ms, md, ma and me.
 *
 * A flag is a letter with, for some, a token right behind it: "mg key v t T30 Oabc". memcached knows one
 * set of letters for all these commands and ignores what has no meaning for one, and so does this. The
 * letters are one table in meta_parse.c.
 *
 * Of several mistakes in a line memcached names: the first duplicate or unknown letter if there is any,
 * else the last bad token or bad base64 key, else the mode, else the opaque.
 */
#ifndef LARDER_META_PARSE_H
#define LARDER_META_PARSE_H

#include "net/proto/line.h"
#include "net/proto/request.h"

#define META_LINE_TOKENS_MAX 20 /* command and key among them */
#define META_OPAQUE_LENGTH_MAX 31

/* meta_parse: fills rq's key and *meta from a line of at least the command's least tokens. Flags begin
 * at token first_flag. Returns REPLY_NONE or the error. Decodes a base64 key where it stands. */
enum reply meta_parse(const struct line *ln, unsigned first_flag, struct request *rq,
		      struct meta_args *meta);

#endif
