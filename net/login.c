#include "net/login.h"

#include <string.h>

#include "net/auth.h"
#include "net/conn.h"
#include "net/words.h"

/* The length of the data block that the line announces; false if the line is not a set. */
static bool login_block_length(const char *line, size_t length, uint32_t *block_length)
{
	struct words ws;
	struct request rq = {.line = {line, (uint32_t)length}};

	words_split(&ws, &rq);
	return ws.count >= 5 && line[0] != ' ' && word_is(&ws, 0, "set") &&
	       number_parse_block_length(ws.word[4], block_length);
}

static void login_check(struct conn *c, const char *block, uint32_t length)
{
	struct worker *w = c->worker;

	counter_add(&w->counters.auth_commands, 1);
	if (memcmp(block + length, "\r\n", 2) == 0 && memchr(block, ' ', length) != NULL &&
	    auth_check(w->server->auth, block, length)) {
		c->authenticated = true;
		conn_reply(c, REPLY_STORED);
		return;
	}
	counter_add(&w->counters.auth_errors, 1);
	if (memcmp(block + length, "\r\n", 2) != 0)
		conn_reply(c, REPLY_BAD_DATA_CHUNK);
	else if (memchr(block, ' ', length) == NULL)
		conn_printf(c, "CLIENT_ERROR bad authentication token format\r\n");
	else
		conn_reply(c, REPLY_AUTH_FAILURE);
}

size_t login_take(struct conn *c, const char *data, size_t length)
{
	const char *newline = memchr(data, '\n', length);
	uint32_t block_length;

	if (newline == NULL) {
		c->closing |= length > LOGIN_LINE_MAX_BYTES;
		return 0;
	}
	size_t line_bytes = (size_t)(newline + 1 - data);
	size_t text_bytes = line_bytes - 1 - (line_bytes > 1 && newline[-1] == '\r');
	if (!login_block_length(data, text_bytes, &block_length)) {
		conn_reply(c, REPLY_UNAUTHENTICATED);
		return line_bytes;
	}
	/* No user and password are that long; whoever says so is not going to be let in. */
	if (block_length > LOGIN_BLOCK_MAX_BYTES) {
		counter_add(&c->worker->counters.auth_commands, 1);
		counter_add(&c->worker->counters.auth_errors, 1);
		conn_reply(c, REPLY_AUTH_FAILURE);
		c->closing = true;
		return line_bytes;
	}
	if (length < line_bytes + block_length + 2)
		return 0;
	login_check(c, data + line_bytes, block_length);
	return line_bytes + block_length + 2;
}
