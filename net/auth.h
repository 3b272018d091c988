/*
 * auth.h: who may talk to the server (-Y). A file of lines
 *
 *     user:password
 *
 * of which a client must name one, as the data block "user password" of its first set. Blank lines
 * are skipped; the password goes to the end of its line, colons and spaces included.
 *
 * The set is replaced as a whole by auth_reload (SIGHUP), or not at all: a file that cannot be read
 * or has a wrong line leaves the old one in force. How long auth_check takes tells nothing about
 * how much of a guess was right: every entry is compared, over its full width.
 */
#ifndef LARDER_AUTH_H
#define LARDER_AUTH_H

#include <pthread.h>

#include "store/base/base.h"

#define AUTH_ENTRIES_MAX 64
#define AUTH_LINE_BYTES_MAX 255 /* user, colon and password */
#define AUTH_ERROR_BYTES 256

struct auth_entry {
	uint8_t user_length;
	uint8_t text_length; /* user, separator, password */
	char text[AUTH_LINE_BYTES_MAX + 1]; /* zeroes behind the end; the separator is a space */
};

struct auth_set {
	unsigned count;
	struct auth_entry entries[]; /* AUTH_ENTRIES_MAX at most */
};

struct auth {
	/* const after init */
	const char *path;
	/* under lock */
	pthread_mutex_t lock;
	struct auth_set *set;
};

/* auth_init: reads the file; `path` is kept. On STATUS_SYSTEM, `error` is one line that says what is
 * wrong, without the path. */
enum status auth_init(struct auth *au, const char *path, char error[AUTH_ERROR_BYTES]);
void auth_fini(struct auth *au);

/* auth_reload: the file again; on an error the old set stays. One thread at a time. */
enum status auth_reload(struct auth *au, char error[AUTH_ERROR_BYTES]);

/* auth_check: is the data block "user password" (without its line end) that of an entry? Any thread. */
bool auth_check(struct auth *au, const char *data, size_t length);

#endif
