/* log.c: see log.h. */
#include "net/log.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define LINE_BYTES 1024

void log_line(const char *format, ...)
{
	int saved_errno = errno;
	char line[LINE_BYTES] = "larder: ";
	size_t length = strlen(line);
	va_list args;
	va_start(args, format);
	vsnprintf(line + length, sizeof(line) - length - 1, format, args);
	va_end(args);
	length = strlen(line);
	line[length++] = '\n';
	ssize_t written = write(STDERR_FILENO, line, length);
	(void)written; /* nobody left to tell */
	errno = saved_errno;
}
