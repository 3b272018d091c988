/*
 * client.h: a buffered, nonblocking connection to a memcached-protocol server, over TCP or a Unix
 * socket. All load tools speak through it.
 *
 * Requests are written straight into the output buffer (reserve, commit) and leave with one send
 * for many; replies are parsed where they were received. The owner either runs its own event loop
 * (client_flush and client_fill on readiness) or waits here (client_read_reply).
 *
 *	in:  [consumed | received, not yet parsed | free]
 *	      0          start                     end    capacity
 *
 * Both buffers grow when one reply or one batch needs it and stay so.
 */
#ifndef LARDER_BENCH_CLIENT_H
#define LARDER_BENCH_CLIENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

#include "bench/reply.h"

#define CLIENT_ERROR_BYTES 256

struct client_address {
	const char *text; /* as given; borrowed */
	struct sockaddr_storage sockaddr;
	socklen_t sockaddr_bytes;
	bool is_local; /* a Unix socket or a loopback address: its process may be looked at */
};

struct client_buffer {
	char *bytes;
	size_t start, end, capacity;
};

enum client_status {
	CLIENT_DONE,   /* all was sent; something was received */
	CLIENT_AGAIN,  /* the socket takes or has no more now */
	CLIENT_CLOSED, /* the server closed the connection */
	CLIENT_FAILED, /* client_error() says why */
};

struct client {
	int fd;
	struct client_buffer in, out;
	uint64_t received_bytes, sent_bytes;
	char error[CLIENT_ERROR_BYTES];
};

/* "host:port", "host", "[v6]:port", ":port", "/path" or "unix:/path". The default port is 11211.
 * False with a message in error (CLIENT_ERROR_BYTES) when it is not an address or not found. */
bool client_address_parse(struct client_address *address, const char *text, char *error);

void client_init(struct client *cl);
void client_fini(struct client *cl);

/* Connects and waits for it, up to timeout_ms. */
bool client_connect(struct client *cl, const struct client_address *address, int timeout_ms);
const char *client_error(const struct client *cl);

/* Room for so many more bytes of requests; commit what was written of it. */
static inline char *client_reserve(struct client *cl, size_t bytes);
static inline void client_commit(struct client *cl, size_t bytes);
void client_append(struct client *cl, const char *bytes, size_t length);
char *client_buffer_grow(struct client_buffer *buffer, size_t bytes);

/* Sends what is waiting, once or until the socket is full. */
enum client_status client_flush(struct client *cl);
/* Receives once. At least want_bytes more will fit: what reply_parse() asked for. */
enum client_status client_fill(struct client *cl, size_t want_bytes);

/* The next whole reply among the received bytes, or REPLY_MORE. Consumed by client_consume(). */
static inline enum reply_kind client_parse(const struct client *cl, struct reply *rp);
static inline void client_consume(struct client *cl, const struct reply *rp);

/* Waits for the next reply, sending what is waiting meanwhile; *rp is valid until the next call.
 * False when the connection is lost or nothing moved for timeout_ms. */
bool client_read_reply(struct client *cl, int timeout_ms, enum reply_kind *kind, struct reply *rp);

/* ---- the rest is inline ---- */

static inline char *client_reserve(struct client *cl, size_t bytes)
{
	struct client_buffer *out = &cl->out;

	if (__builtin_expect(out->capacity - out->end < bytes, 0))
		return client_buffer_grow(out, bytes);
	return out->bytes + out->end;
}

static inline void client_commit(struct client *cl, size_t bytes)
{
	cl->out.end += bytes;
}

static inline bool client_has_output(const struct client *cl)
{
	return cl->out.start < cl->out.end;
}

static inline enum reply_kind client_parse(const struct client *cl, struct reply *rp)
{
	return reply_parse(cl->in.bytes + cl->in.start, cl->in.end - cl->in.start, rp);
}

static inline void client_consume(struct client *cl, const struct reply *rp)
{
	cl->in.start += rp->reply_bytes;
}

#endif
