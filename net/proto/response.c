#include "net/proto/response.h"

/* An empty text is no reply at all, not an empty line. */
const struct reply_line reply_lines[REPLY_COUNT] = {
#define X(name, text) [REPLY_##name] = {text "\r\n", sizeof(text) == 1 ? 0 : sizeof(text "\r\n") - 1},
	REPLY_TABLE(X)
#undef X
};
