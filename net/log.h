/*
 * log.h: lines for the operator, on stderr. One write for a line, so that lines of several threads
 * do not mix; no buffer that stays. Whether a line is wanted (-v) is asked by the caller.
 */
#ifndef LARDER_LOG_H
#define LARDER_LOG_H

/* log_line: writes "larder: ", the text and a line end; what is over a kilobyte is cut. */
void log_line(const char *format, ...) __attribute__((format(printf, 1, 2)));

#endif
