/* test_auth.c: users of a file. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "net/auth.h"

static char path[64];

static void write_file(const char *text)
{
	FILE *out;

	if (!path[0]) {
		strcpy(path, "/tmp/larder-auth-XXXXXX");
		close(mkstemp(path));
	}
	out = fopen(path, "w");
	fputs(text, out);
	fclose(out);
}

static bool checks(struct auth *au, const char *data)
{
	return auth_check(au, data, strlen(data));
}

Test(auth, knows_the_users_of_the_file_and_nobody_else)
{
	struct auth au;
	char error[AUTH_ERROR_BYTES];

	write_file("anna:secret\nbert:pass:word\n");
	cr_assert_eq(auth_init(&au, path, error), STATUS_OK);
	cr_assert(checks(&au, "anna secret"));
	cr_assert(checks(&au, "bert pass:word"));
	cr_assert(!checks(&au, "anna secre"));
	cr_assert(!checks(&au, "anna secrets"));
	cr_assert(!checks(&au, "anna"));
	cr_assert(!checks(&au, ""));
	cr_assert(!checks(&au, "carl secret"));
	auth_fini(&au);
	unlink(path);
}

Test(auth, keeps_the_old_users_when_the_file_turns_bad)
{
	struct auth au;
	char error[AUTH_ERROR_BYTES] = "";

	write_file("anna:secret\n");
	cr_assert_eq(auth_init(&au, path, error), STATUS_OK);
	write_file("no colon here\n");
	cr_assert_neq(auth_reload(&au, error), STATUS_OK);
	cr_assert_gt(strlen(error), 3);
	cr_assert(checks(&au, "anna secret"));
	write_file("bert:other\n");
	cr_assert_eq(auth_reload(&au, error), STATUS_OK);
	cr_assert(!checks(&au, "anna secret"));
	cr_assert(checks(&au, "bert other"));
	auth_fini(&au);
	unlink(path);
}

/* Whether a file with this text is taken at all. */
static bool loads(const char *text, char error[AUTH_ERROR_BYTES])
{
	struct auth au;

	write_file(text);
	bool good = auth_init(&au, path, error) == STATUS_OK;
	if (good)
		auth_fini(&au);
	unlink(path);
	return good;
}

Test(auth, takes_files_of_every_line_end_and_the_last_line_without_one)
{
	struct auth au;
	char error[AUTH_ERROR_BYTES];

	write_file("anna:secret\r\n\nbert:\n:x\n");
	cr_assert_neq(auth_init(&au, path, error), STATUS_OK);
	cr_assert_not_null(strstr(error, "line 4"), "%s", error);
	write_file("anna:secret\r\n\nbert:\ncarl:a b");
	cr_assert_eq(auth_init(&au, path, error), STATUS_OK);
	cr_assert(checks(&au, "anna secret"));
	cr_assert(!checks(&au, "anna secret\r"));
	cr_assert(checks(&au, "bert "));
	cr_assert(!checks(&au, "bert"));
	cr_assert(checks(&au, "carl a b"));
	auth_fini(&au);
	unlink(path);
}

Test(auth, keeps_user_and_password_apart)
{
	struct auth au;
	char error[AUTH_ERROR_BYTES];

	/* "a b" with "c" is not "a" with "b c". */
	write_file("a b:c\n");
	cr_assert_eq(auth_init(&au, path, error), STATUS_OK);
	cr_assert(!checks(&au, "a b c"));
	cr_assert(!checks(&au, "a b:c"));
	auth_fini(&au);
	unlink(path);
}

Test(auth, refuses_files_that_are_empty_malformed_too_long_or_absent)
{
	static char text[AUTH_ENTRIES_MAX * 8 + 400];
	char error[AUTH_ERROR_BYTES];
	struct auth au;

	cr_assert(!loads("", error));
	cr_assert(!loads("\n\n", error));
	cr_assert(!loads("anna", error));
	memset(text, 'x', AUTH_LINE_BYTES_MAX);
	text[1] = ':';
	cr_assert(loads(text, error), "%s", error);
	text[AUTH_LINE_BYTES_MAX] = 'x';
	cr_assert(!loads(text, error));
	text[0] = '\0';
	for (unsigned i = 0; i < AUTH_ENTRIES_MAX; i++)
		strcat(text, "u:p\n");
	cr_assert(loads(text, error), "%s", error);
	strcat(text, "u:p\n");
	cr_assert(!loads(text, error));
	cr_assert_not_null(strstr(error, "64"), "%s", error);
	cr_assert_eq(auth_init(&au, "/nonexistent/users", error), STATUS_SYSTEM);
	cr_assert_eq(auth_init(&au, "/tmp", error), STATUS_SYSTEM);
}

Test(auth, refuses_guesses_of_any_length)
{
	static char guess[1024];
	struct auth au;
	char error[AUTH_ERROR_BYTES];

	write_file("anna:secret\n");
	cr_assert_eq(auth_init(&au, path, error), STATUS_OK);
	memset(guess, 'a', sizeof(guess));
	guess[4] = ' ';
	for (size_t length = 0; length < sizeof(guess); length++)
		cr_assert(!auth_check(&au, guess, length));
	auth_fini(&au);
	unlink(path);
}
