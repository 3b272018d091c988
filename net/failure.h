/*
 * failure.h: why the server cannot start, carried up to the one place that says it and exits.
 */
#ifndef LARDER_FAILURE_H
#define LARDER_FAILURE_H

#include "store/base/base.h"

#define EXIT_ENVIRONMENT 1 /* a port in use, a file that cannot be read, no memory */
#define EXIT_USAGE 64      /* a flag is wrong */

struct failure {
	int exit_status;
	char text[256]; /* one line, without the program's name */
};

/* Both fill `f` and return false, for `return fail_...(f, ...)`; errno stays. */
bool fail_usage(struct failure *f, const char *format, ...) __attribute__((format(printf, 2, 3)));
bool fail_environment(struct failure *f, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

#endif
