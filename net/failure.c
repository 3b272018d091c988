/* failure.c: see failure.h. */
#include "net/failure.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>

/* errno stays as it was: the caller may have more to say about it. */
static void note(struct failure *f, int exit_status, const char *format, va_list args)
{
	int saved_errno = errno;

	vsnprintf(f->text, sizeof(f->text), format, args);
	errno = saved_errno;
	f->exit_status = exit_status;
}

bool fail_usage(struct failure *f, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	note(f, EXIT_USAGE, format, args);
	va_end(args);
	return false;
}

bool fail_environment(struct failure *f, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	note(f, EXIT_ENVIRONMENT, format, args);
	va_end(args);
	return false;
}
