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
