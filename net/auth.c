/* auth.c: see auth.h. */
#include "net/auth.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* A line more than fits shows that the file is too long. */
#define FILE_BYTES_MAX ((AUTH_ENTRIES_MAX + 1) * (AUTH_LINE_BYTES_MAX + 1))

/* Reads at most FILE_BYTES_MAX bytes; -1 with errno set on an error. */
static ssize_t read_file(const char *path, char *text)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return -1;
	size_t length = 0;
	ssize_t n;
	while ((n = read(fd, text + length, FILE_BYTES_MAX - length)) > 0)
		length += (size_t)n;
	int saved_errno = errno;
	close(fd);
	errno = saved_errno;
	return n < 0 ? -1 : (ssize_t)length;
}

/* Returns what is wrong with the line, NULL if nothing is. */
static const char *parse_line(struct auth_entry *e, const char *line, size_t length)
{
	if (length > AUTH_LINE_BYTES_MAX)
		return "is too long";
	if (memchr(line, '\0', length) != NULL)
		return "has a zero byte";
	const char *colon = memchr(line, ':', length);
	if (colon == NULL)
		return "is not user:password";
	if (colon == line)
		return "has no user";
	memset(e, 0, sizeof(*e));
	memcpy(e->text, line, length);
	e->user_length = (uint8_t)(colon - line);
	e->text_length = (uint8_t)length;
	e->text[e->user_length] = ' ';
	return NULL;
}

/* Fills `set`, which has room for AUTH_ENTRIES_MAX; false with `error` said. */
static bool parse_text(struct auth_set *set, const char *text, size_t length,
                       char error[AUTH_ERROR_BYTES])
{
	const char *end = text + length;
	unsigned line_number = 0;
	set->count = 0;
	while (text < end) {
		const char *newline = memchr(text, '\n', (size_t)(end - text));
		const char *line_end = newline != NULL ? newline : end;
		const char *next = newline != NULL ? newline + 1 : end;
		if (line_end > text && line_end[-1] == '\r')
			line_end--;
		line_number++;
		if (line_end == text) {
			text = next;
			continue;
		}
		if (set->count == AUTH_ENTRIES_MAX) {
			snprintf(error, AUTH_ERROR_BYTES, "more than %u users", AUTH_ENTRIES_MAX);
			return false;
		}
		const char *wrong = parse_line(&set->entries[set->count], text, (size_t)(line_end - text));
		if (wrong != NULL) {
			snprintf(error, AUTH_ERROR_BYTES, "line %u %s", line_number, wrong);
			return false;
		}
		set->count++;
		text = next;
	}
	/* A file caught while it is written anew is often empty: better an error than nobody let in. */
	if (set->count == 0) {
		snprintf(error, AUTH_ERROR_BYTES, "has no user:password line");
		return false;
	}
	return true;
}

static struct auth_set *load(const char *path, char error[AUTH_ERROR_BYTES])
{
	struct auth_set *set = NULL;
	size_t set_bytes = sizeof(*set) + AUTH_ENTRIES_MAX * sizeof(set->entries[0]);
	char *text = malloc(FILE_BYTES_MAX);
	if (text != NULL)
		set = malloc(set_bytes);
	ssize_t length = set != NULL ? read_file(path, text) : -1;
	if (length < 0) {
		snprintf(error, AUTH_ERROR_BYTES, "%s", strerror(errno));
		goto wrong;
	}
	if (!parse_text(set, text, (size_t)length, error))
		goto wrong;
	explicit_bzero(text, (size_t)length);
	free(text);
	/* Shrinking fails only in theory; then the larger block serves. */
	struct auth_set *fitted =
		realloc(set, sizeof(*set) + set->count * sizeof(set->entries[0]));
	return fitted != NULL ? fitted : set;
wrong:
	free(set);
	free(text);
	return NULL;
}

static void auth_set_free(struct auth_set *set)
{
	if (set == NULL)
		return;
	explicit_bzero(set->entries, set->count * sizeof(set->entries[0]));
	free(set);
}

enum status auth_init(struct auth *au, const char *path, char error[AUTH_ERROR_BYTES])
{
	au->path = path;
	au->set = load(path, error);
	if (au->set == NULL)
		return STATUS_SYSTEM;
	pthread_mutex_init(&au->lock, NULL);
	return STATUS_OK;
}

void auth_fini(struct auth *au)
{
	auth_set_free(au->set);
	pthread_mutex_destroy(&au->lock);
}

enum status auth_reload(struct auth *au, char error[AUTH_ERROR_BYTES])
{
	struct auth_set *set = load(au->path, error);
	if (set == NULL)
		return STATUS_SYSTEM;
	pthread_mutex_lock(&au->lock);
	struct auth_set *old = au->set;
	au->set = set;
	pthread_mutex_unlock(&au->lock);
	auth_set_free(old);
	return STATUS_OK;
}

/* Both are zero-padded to the full width, so the loop runs the same for any guess. */
static unsigned entries_differ(const struct auth_entry *a, const struct auth_entry *b)
{
	unsigned difference = (unsigned)(a->user_length ^ b->user_length);
	difference |= (unsigned)(a->text_length ^ b->text_length);
	for (size_t i = 0; i < sizeof(a->text); i++)
		difference |= (unsigned char)(a->text[i] ^ b->text[i]);
	return difference;
}

bool auth_check(struct auth *au, const char *data, size_t length)
{
	const char *space = memchr(data, ' ', length);
	if (space == NULL || length > AUTH_LINE_BYTES_MAX)
		return false;
	struct auth_entry guess = {
		.user_length = (uint8_t)(space - data),
		.text_length = (uint8_t)length,
	};
	memcpy(guess.text, data, length);

	unsigned matches = 0;
	pthread_mutex_lock(&au->lock);
	for (unsigned i = 0; i < au->set->count; i++)
		matches += entries_differ(&au->set->entries[i], &guess) == 0;
	pthread_mutex_unlock(&au->lock);
	explicit_bzero(&guess, sizeof(guess));
	return matches > 0;
}
