/* failure.c: see failure.h. */
#include "net/failure.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>

bool fail_usage(struct failure *f, const char *format, ...)
{
	int saved_errno = errno;
	va_list args;
	va_start(args, format);
	vsnprintf(f->text, sizeof(f->text), format, args);
	va_end(args);
	errno = saved_errno;
	f->exit_status = EXIT_USAGE;
	return false;
}

bool fail_environment(struct failure *f, const char *format, ...)
{
	int saved_errno = errno;
	va_list args;
	va_start(args, format);
	vsnprintf(f->text, sizeof(f->text), format, args);
	va_end(args);
	errno = saved_errno;
	f->exit_status = EXIT_ENVIRONMENT;
	return false;
}
