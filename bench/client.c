/* client.c: see client.h. */
#include "bench/client.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>
#include <unistd.h>

#include "bench/tool.h"
#include "store/base/base.h"

#define CLIENT_BUFFER_BYTES (16u << 10)
#define CLIENT_RECV_BYTES_MAX (256u << 10) /* beyond it, in grows only for a single large reply */
#define CLIENT_DEFAULT_PORT "11211"

/* ---- addresses ---- */

static bool address_parse_unix(struct client_address *address, const char *path, char *error)
{
	struct sockaddr_un *un = (struct sockaddr_un *)&address->sockaddr;

	if (strlen(path) == 0 || strlen(path) >= sizeof(un->sun_path)) {
		snprintf(error, CLIENT_ERROR_BYTES, "the socket path is empty or too long");
		return false;
	}
	un->sun_family = AF_UNIX;
	strcpy(un->sun_path, path);
	address->sockaddr_bytes = sizeof(*un);
	address->is_local = true;
	return true;
}

/* Cuts "host:port" in two. Several colons without brackets are an IPv6 address without a port. */
static bool address_split(char *text, const char **host, const char **port)
{
	char *colon;

	*port = CLIENT_DEFAULT_PORT;
	*host = text;
	if (text[0] == '[') {
		char *close_bracket = strchr(text, ']');

		if (!close_bracket || (close_bracket[1] != '\0' && close_bracket[1] != ':'))
			return false;
		*host = text + 1;
		if (close_bracket[1] == ':')
			*port = close_bracket + 2;
		*close_bracket = '\0';
		return true;
	}
	colon = strchr(text, ':');
	if (colon && !strchr(colon + 1, ':')) {
		*colon = '\0';
		*port = colon + 1;
	}
	if (**host == '\0')
		*host = "127.0.0.1";
	return true;
}

static bool address_is_loopback(const struct sockaddr *sa)
{
	if (sa->sa_family == AF_INET)
		return ntohl(((const struct sockaddr_in *)sa)->sin_addr.s_addr) >> 24 == 127;
	return sa->sa_family == AF_INET6 &&
	       IN6_IS_ADDR_LOOPBACK(&((const struct sockaddr_in6 *)sa)->sin6_addr);
}

static bool address_resolve(struct client_address *address, const char *host, const char *port,
			    char *error)
{
	struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICSERV};
	struct addrinfo *found;
	uint64_t port_number;
	int rc;

	if (!tool_parse_u64(port, &port_number) || port_number < 1 || port_number > 65535) {
		snprintf(error, CLIENT_ERROR_BYTES, "\"%s\" is not a port", port);
		return false;
	}
	rc = getaddrinfo(host, port, &hints, &found);
	if (rc != 0) {
		snprintf(error, CLIENT_ERROR_BYTES, "%s: %s", host, gai_strerror(rc));
		return false;
	}
	memcpy(&address->sockaddr, found->ai_addr, found->ai_addrlen);
	address->sockaddr_bytes = found->ai_addrlen;
	address->is_local = address_is_loopback(found->ai_addr);
	freeaddrinfo(found);
	return true;
}

bool client_address_parse(struct client_address *address, const char *text, char *error)
{
	char copy[256];
	const char *host, *port;

	memset(address, 0, sizeof(*address));
	address->text = text;
	if (strncmp(text, "unix:", 5) == 0)
		return address_parse_unix(address, text + 5, error);
	if (text[0] == '/')
		return address_parse_unix(address, text, error);
	if (strlen(text) >= sizeof(copy) || !address_split(strcpy(copy, text), &host, &port)) {
		snprintf(error, CLIENT_ERROR_BYTES, "it is not HOST:PORT, [ADDRESS]:PORT or /PATH");
		return false;
	}
	return address_resolve(address, host, port, error);
}

/* ---- buffers ---- */

/* Room for so many bytes at the end: by moving what is left to the front, or by growing. */
char *client_buffer_grow(struct client_buffer *buffer, size_t bytes)
{
	size_t left = buffer->end - buffer->start;

	if (buffer->start > 0 && left > 0)
		memmove(buffer->bytes, buffer->bytes + buffer->start, left);
	buffer->start = 0;
	buffer->end = left;
	if (buffer->capacity - left < bytes) {
		size_t capacity = MAX(buffer->capacity, CLIENT_BUFFER_BYTES);

		while (capacity - left < bytes)
			capacity *= 2;
		buffer->bytes = tool_realloc(buffer->bytes, capacity);
		buffer->capacity = capacity;
	}
	return buffer->bytes + buffer->end;
}

void client_append(struct client *cl, const char *bytes, size_t length)
{
	memcpy(client_reserve(cl, length), bytes, length);
	client_commit(cl, length);
}

/* ---- the connection ---- */

void client_init(struct client *cl)
{
	memset(cl, 0, sizeof(*cl));
	cl->fd = -1;
}

void client_fini(struct client *cl)
{
	if (cl->fd >= 0)
		close(cl->fd);
	free(cl->in.bytes);
	free(cl->out.bytes);
	client_init(cl);
}

const char *client_error(const struct client *cl)
{
	return cl->error;
}

static bool client_fail(struct client *cl, const char *what, int error_number)
{
	snprintf(cl->error, sizeof(cl->error), "%s%s%s", what, error_number ? ": " : "",
		 error_number ? strerror(error_number) : "");
	return false;
}

static bool client_wait(struct client *cl, short events, int timeout_ms)
{
	struct pollfd pfd = {.fd = cl->fd, .events = events};
	int rc;

	do
		rc = poll(&pfd, 1, timeout_ms);
	while (rc < 0 && errno == EINTR);
	if (rc < 0)
		return client_fail(cl, "poll", errno);
	return rc > 0 ? true : client_fail(cl, "no answer in time", 0);
}

static bool client_finish_connect(struct client *cl, int timeout_ms)
{
	int error_number = 0;
	socklen_t length = sizeof(error_number);

	if (!client_wait(cl, POLLOUT, timeout_ms))
		return false;
	if (getsockopt(cl->fd, SOL_SOCKET, SO_ERROR, &error_number, &length) < 0)
		error_number = errno;
	return error_number ? client_fail(cl, "cannot connect", error_number) : true;
}

bool client_connect(struct client *cl, const struct client_address *address, int timeout_ms)
{
	const struct sockaddr *sa = (const struct sockaddr *)&address->sockaddr;
	int on = 1;

	cl->fd = socket(sa->sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (cl->fd < 0)
		return client_fail(cl, "socket", errno);
	if (sa->sa_family != AF_UNIX)
		setsockopt(cl->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	if (connect(cl->fd, sa, address->sockaddr_bytes) == 0)
		return true;
	if (errno != EINPROGRESS)
		return client_fail(cl, "cannot connect", errno);
	return client_finish_connect(cl, timeout_ms);
}

enum client_status client_flush(struct client *cl)
{
	struct client_buffer *out = &cl->out;

	while (out->start < out->end) {
		ssize_t n = send(cl->fd, out->bytes + out->start, out->end - out->start,
				 MSG_NOSIGNAL);

		if (n >= 0) {
			out->start += (size_t)n;
			cl->sent_bytes += (uint64_t)n;
			continue;
		}
		if (errno == EAGAIN || errno == EWOULDBLOCK)
			return CLIENT_AGAIN;
		if (errno == EINTR)
			continue;
		client_fail(cl, "send", errno);
		return errno == EPIPE || errno == ECONNRESET ? CLIENT_CLOSED : CLIENT_FAILED;
	}
	out->start = out->end = 0;
	return CLIENT_DONE;
}

enum client_status client_fill(struct client *cl, size_t want_bytes)
{
	struct client_buffer *in = &cl->in;
	bool was_full = in->end == in->capacity && in->capacity < CLIENT_RECV_BYTES_MAX;
	ssize_t n;

	if (in->start == in->end)
		in->start = in->end = 0;
	if (in->capacity - in->end < MAX(want_bytes, CLIENT_BUFFER_BYTES / 4) || was_full)
		client_buffer_grow(in, MAX(want_bytes, was_full ? in->capacity : 1));
	do
		n = recv(cl->fd, in->bytes + in->end, in->capacity - in->end, 0);
	while (n < 0 && errno == EINTR);
	if (n > 0) {
		in->end += (size_t)n;
		cl->received_bytes += (uint64_t)n;
		return CLIENT_DONE;
	}
	if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
		return CLIENT_AGAIN;
	client_fail(cl, n == 0 ? "the server closed the connection" : "recv", n == 0 ? 0 : errno);
	return n == 0 || errno == ECONNRESET ? CLIENT_CLOSED : CLIENT_FAILED;
}

/* Waits until the socket can be read, sending whatever it takes meanwhile: a peer that will not
 * read before it has written its replies must not leave both sides stuck. */
static bool client_wait_input(struct client *cl, int timeout_ms)
{
	enum client_status status = client_flush(cl);

	if (status == CLIENT_CLOSED || status == CLIENT_FAILED)
		return false;
	return client_wait(cl, status == CLIENT_AGAIN ? POLLIN | POLLOUT : POLLIN, timeout_ms);
}

bool client_read_reply(struct client *cl, int timeout_ms, enum reply_kind *kind, struct reply *rp)
{
	for (;;) {
		size_t have = cl->in.end - cl->in.start;
		enum client_status status;

		*kind = client_parse(cl, rp);
		if (*kind == REPLY_INVALID)
			return client_fail(cl, "the answer is not the memcached protocol", 0);
		if (*kind != REPLY_MORE) {
			client_consume(cl, rp);
			return true;
		}
		if (!client_wait_input(cl, timeout_ms))
			return false;
		status = client_fill(cl, rp->reply_bytes - have);
		if (status == CLIENT_CLOSED || status == CLIENT_FAILED)
			return false;
	}
}
