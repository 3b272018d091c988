/*
 * trace.h: reads an access trace, one request a line:
 *
 *	key size [ttl [time]]
 *
 * key is an unsigned integer; size the bytes of key and value together, 0 where the trace has none;
 * ttl in seconds, 0 for none; time in seconds from any origin, a fraction allowed. Fields are
 * separated by spaces or tabs; empty lines and lines that begin with '#' are skipped. The file is
 * plain text or zstd (one frame or several), which its first bytes say; "-" is standard input.
 *
 * The file is streamed: a reader holds three buffers of fixed size whatever the trace's length.
 */
#ifndef LARDER_BENCH_TRACE_H
#define LARDER_BENCH_TRACE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define TRACE_LINE_BYTES_MAX 256
#define TRACE_SIZE_BYTES_MAX (UINT64_C(1) << 30)
#define TRACE_ERROR_BYTES 512

struct trace_request {
	uint64_t key;
	uint64_t size_bytes; /* key and value; 0: unknown */
	uint64_t ttl_s;      /* 0: none */
	double time_s;       /* 0 where the trace has none */
};

enum trace_result {
	TRACE_REQUEST, /* one more request was read */
	TRACE_END,     /* the trace is over */
	TRACE_FAILED,  /* trace_error() says why, with the line number where there is one */
};

struct trace_reader {
	int fd;
	bool owns_fd;
	bool input_ended; /* read() gave 0 */
	bool frame_open;  /* inside a zstd frame: the end of the file would cut it */
	const char *name; /* for messages; borrowed */
	uint64_t line_number;
	void *zstd; /* ZSTD_DStream, NULL for plain text */
	char *raw;  /* bytes of the file, for zstd */
	size_t raw_start, raw_end;
	char *text; /* plain text */
	size_t text_start, text_end;
	char error[TRACE_ERROR_BYTES];
};

/* path must outlive the reader. False when it cannot be opened or is no trace; trace_error() says
 * why. The reader needs trace_reader_fini() in either case. */
bool trace_reader_init(struct trace_reader *tr, const char *path);
void trace_reader_fini(struct trace_reader *tr);

enum trace_result trace_reader_next(struct trace_reader *tr, struct trace_request *rq);

/* How much of the file was read, from 0 to 1; negative where that is not known (a pipe). */
double trace_reader_fraction(const struct trace_reader *tr);

const char *trace_error(const struct trace_reader *tr);

/* Parses one line, without its end, into *rq. NULL when it is well formed, else what is wrong. */
const char *trace_line_parse(const char *line, size_t length, struct trace_request *rq);

#endif
