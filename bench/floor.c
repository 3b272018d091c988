/*
 * larder-floor: a libevent server that frames requests and sends a constant. It has no store, so no
 * memcached-protocol server on libevent and TCP can spend less; the others are compared with it.
 *
 * The way of a request is the shortest there is: one recv into the worker's one scratch buffer, a
 * copy of the constant into the worker's one output buffer for each key, one send for the batch. A
 * connection owns memory only while it has half a line or an unsent reply:
 *
 *	scratch: [what was left of the connection's input | received now]
 *	parse    ^ .... consumed .... | left: copied to the connection
 *
 * Understood are get, gets (with any number of keys), set, mg, ms, mn, version, stats (the pid only)
 * and quit; the rest is an ERROR. Keys are not looked at: the constant has a key of its own.
 */
#include "config.h"

#include <arpa/inet.h>
#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>
#include <getopt.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "bench/tool.h"
#include "store/base/base.h"

#define FLOOR_RECV_BYTES (64u << 10)
#define FLOOR_SCRATCH_BYTES (2 * FLOOR_RECV_BYTES) /* what was left is below one recv */
#define FLOOR_OUT_BYTES (256u << 10)
#define FLOOR_LINE_BYTES_MAX 2048
#define FLOOR_THREADS_MAX 256
#define FLOOR_TAIL_BYTES 128 /* room for any reply but a value */

struct floor_options {
	int port;
	const char *listen_text; /* an IPv4 or IPv6 address */
	const char *socket_path; /* in place of TCP */
	unsigned thread_count;
	size_t value_bytes, key_bytes;
};

/* The constants, made once. */
struct floor_replies {
	char *value; /* VALUE kkk 0 n ... */
	size_t value_bytes;
	char *meta_value; /* VA n ... */
	size_t meta_value_bytes;
};

struct floor_worker {
	pthread_t thread;
	struct event_base *base;
	int handover[2]; /* a pipe of accepted sockets */
	const struct floor_replies *replies;
	char *scratch;
	char *out;
	size_t out_bytes, out_capacity;
};

struct floor_conn {
	struct floor_worker *worker;
	int fd;
	struct event *read_event, *write_event;
	char *in_left, *out_left; /* NULL when there is none */
	size_t in_left_bytes, out_left_bytes;
	size_t swallow_bytes;       /* of a block, its line end included */
	const char *swallow_answer; /* once the block is through; NULL for noreply */
	bool in_get;                /* inside a get's keys */
	bool closing;
};

/* ---- replies out ---- */

static void floor_keep(char **kept, size_t *kept_bytes, const char *bytes, size_t length)
{
	char *copy = NULL;

	if (length > 0)
		copy = memcpy(tool_alloc(length, 1), bytes, length);
	free(*kept);
	*kept = copy;
	*kept_bytes = length;
}

/* Sends the worker's output. False when the socket is full: the rest is kept by the connection. */
static bool floor_flush(struct floor_conn *conn)
{
	struct floor_worker *worker = conn->worker;
	size_t sent = 0;

	while (sent < worker->out_bytes) {
		ssize_t n = send(conn->fd, worker->out + sent, worker->out_bytes - sent,
				 MSG_NOSIGNAL);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno != EAGAIN)
			conn->closing = true;
		if (n < 0)
			break;
		sent += (size_t)n;
	}
	if (sent < worker->out_bytes && !conn->closing)
		floor_keep(&conn->out_left, &conn->out_left_bytes, worker->out + sent,
			   worker->out_bytes - sent);
	worker->out_bytes = 0;
	return conn->out_left == NULL && !conn->closing;
}

static inline bool floor_reserve(struct floor_conn *conn, size_t bytes)
{
	struct floor_worker *worker = conn->worker;

	if (likely(worker->out_capacity - worker->out_bytes >= bytes))
		return true;
	return floor_flush(conn);
}

static inline void floor_put(struct floor_worker *worker, const char *bytes, size_t length)
{
	memcpy(worker->out + worker->out_bytes, bytes, length);
	worker->out_bytes += length;
}

/* ---- requests in ---- */

/* Keys of a get up to the line's end. Each function of this kind returns where it stopped: at its
 * first byte when output is blocked or the input does not suffice. */
static const char *floor_take_keys(struct floor_conn *conn, const char *p, const char *end)
{
	const struct floor_replies *replies = conn->worker->replies;

	for (;;) {
		const char *key = p;

		while (key < end && (*key == ' ' || *key == '\r'))
			key++;
		p = key;
		while (p < end && *p != ' ' && *p != '\r' && *p != '\n')
			p++;
		if (p == end) {
			conn->closing = end - key > FLOOR_LINE_BYTES_MAX; /* that is no key */
			return key;
		}
		if (!floor_reserve(conn, replies->value_bytes + FLOOR_TAIL_BYTES))
			return key;
		if (p > key) {
			floor_put(conn->worker, replies->value, replies->value_bytes);
			continue;
		}
		floor_put(conn->worker, "END\r\n", 5);
		conn->in_get = false;
		return p + 1;
	}
}

static const char *floor_take_block(struct floor_conn *conn, const char *p, const char *end)
{
	size_t taken = MIN((size_t)(end - p), conn->swallow_bytes);

	if (taken == conn->swallow_bytes && conn->swallow_answer) {
		if (!floor_reserve(conn, FLOOR_TAIL_BYTES))
			return p;
		floor_put(conn->worker, conn->swallow_answer, strlen(conn->swallow_answer));
	}
	conn->swallow_bytes -= taken;
	return p + taken;
}

/* The number in the line's field, counted from 0; 0 where it has none. */
static size_t floor_field(const char *line, unsigned field_index)
{
	for (; field_index > 0; field_index--) {
		line += strcspn(line, " ");
		line += strspn(line, " ");
	}
	return (size_t)strtoull(line, NULL, 10);
}

static bool floor_starts(const char *line, const char *word)
{
	return strncmp(line, word, strlen(word)) == 0;
}

static void floor_answer(struct floor_conn *conn, const char *line)
{
	struct floor_worker *worker = conn->worker;
	char text[FLOOR_TAIL_BYTES];

	if (floor_starts(line, "set ")) {
		conn->swallow_bytes = floor_field(line, 4) + 2;
		conn->swallow_answer = strstr(line, " noreply") ? NULL : "STORED\r\n";
	} else if (floor_starts(line, "ms ")) {
		conn->swallow_bytes = floor_field(line, 2) + 2;
		conn->swallow_answer = "HD\r\n";
	} else if (floor_starts(line, "mg ")) {
		floor_put(worker, worker->replies->meta_value, worker->replies->meta_value_bytes);
	} else if (floor_starts(line, "mn")) {
		floor_put(worker, "MN\r\n", 4);
	} else if (floor_starts(line, "quit")) {
		conn->closing = true;
	} else if (floor_starts(line, "version")) {
		floor_put(worker, "VERSION 1.6.0-floor\r\n", 21);
	} else if (floor_starts(line, "stats")) {
		floor_put(worker, text, (size_t)snprintf(text, sizeof(text),
				"STAT pid %d\r\nSTAT threads 1\r\nEND\r\n", (int)getpid()));
	} else {
		floor_put(worker, "ERROR\r\n", 7);
	}
}

/* Any line but a get: rare in the measurements, so it may be copied. */
static const char *floor_take_line(struct floor_conn *conn, const char *p, const char *newline)
{
	const struct floor_replies *replies = conn->worker->replies;
	size_t length = MIN((size_t)(newline - p), (size_t)FLOOR_LINE_BYTES_MAX);
	char line[FLOOR_LINE_BYTES_MAX + 1];

	if (!floor_reserve(conn, replies->meta_value_bytes + FLOOR_TAIL_BYTES))
		return p;
	if (length > 0 && p[length - 1] == '\r')
		length--;
	memcpy(line, p, length);
	line[length] = '\0';
	floor_answer(conn, line);
	return newline + 1;
}

/* A get of one key, the common case, is answered without a look at the key's bytes. */
static inline const char *floor_take_get(struct floor_conn *conn, const char *p, const char *end,
					 const char *newline)
{
	const struct floor_replies *replies = conn->worker->replies;

	if (!newline || memchr(p, ' ', (size_t)(newline - p))) {
		conn->in_get = true;
		return floor_take_keys(conn, p, end);
	}
	if (unlikely(!floor_reserve(conn, replies->value_bytes + FLOOR_TAIL_BYTES))) {
		conn->in_get = true; /* its key is taken when there is room again */
		return p;
	}
	floor_put(conn->worker, replies->value, replies->value_bytes);
	floor_put(conn->worker, "END\r\n", 5);
	return newline + 1;
}

/* Takes all that is complete; what is left is kept by the connection. */
static void floor_parse(struct floor_conn *conn, const char *p, const char *end)
{
	while (p < end && !conn->out_left && !conn->closing) {
		const char *newline, *from = p;

		if (unlikely(conn->in_get)) {
			p = floor_take_keys(conn, p, end);
		} else if (unlikely(conn->swallow_bytes > 0)) {
			p = floor_take_block(conn, p, end);
		} else {
			newline = memchr(p, '\n', (size_t)(end - p));
			if (!newline && end - p < FLOOR_LINE_BYTES_MAX)
				break;
			if (likely(end - p >= 5 && memcmp(p, "get ", 4) == 0))
				p = floor_take_get(conn, p + 4, end, newline);
			else if (end - p >= 6 && memcmp(p, "gets ", 5) == 0)
				p = floor_take_get(conn, p + 5, end, newline);
			else if (newline)
				p = floor_take_line(conn, p, newline);
			else
				conn->closing = true; /* a line without end */
		}
		if (p == from)
			break;
	}
	if (p < end || conn->in_left)
		floor_keep(&conn->in_left, &conn->in_left_bytes, p, (size_t)(end - p));
}

/* ---- events ---- */

static void floor_close(struct floor_conn *conn)
{
	event_free(conn->read_event);
	event_free(conn->write_event);
	close(conn->fd);
	free(conn->in_left);
	free(conn->out_left);
	free(conn);
}

/* Sends what a batch left, and waits for the socket when it is full. */
static void floor_finish_batch(struct floor_conn *conn)
{
	if (conn->worker->out_bytes > 0)
		floor_flush(conn);
	if (conn->closing) {
		floor_close(conn);
	} else if (conn->out_left) {
		event_del(conn->read_event);
		event_add(conn->write_event, NULL);
	}
}

static void floor_on_readable(evutil_socket_t fd, short what, void *arg)
{
	struct floor_conn *conn = arg;
	char *scratch = conn->worker->scratch;
	size_t kept = conn->in_left_bytes;
	ssize_t n;

	if (kept > 0)
		memcpy(scratch, conn->in_left, kept);
	n = recv(fd, scratch + kept, FLOOR_RECV_BYTES, 0);
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0) {
		floor_close(conn);
		return;
	}
	if (kept > 0)
		floor_keep(&conn->in_left, &conn->in_left_bytes, NULL, 0);
	floor_parse(conn, scratch, scratch + kept + n);
	floor_finish_batch(conn);
}

/* The socket takes more: first what is kept, then the commands that waited behind it. */
static void floor_on_writable(evutil_socket_t fd, short what, void *arg)
{
	struct floor_conn *conn = arg;
	struct floor_worker *worker = conn->worker;
	char *left = conn->out_left;
	size_t kept = conn->in_left_bytes;
	ssize_t n = send(fd, left, conn->out_left_bytes, MSG_NOSIGNAL);

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n < 0) {
		floor_close(conn);
		return;
	}
	memmove(left, left + n, conn->out_left_bytes - (size_t)n);
	conn->out_left_bytes -= (size_t)n;
	if (conn->out_left_bytes > 0)
		return;
	floor_keep(&conn->out_left, &conn->out_left_bytes, NULL, 0);
	event_del(conn->write_event);
	event_add(conn->read_event, NULL);
	if (kept > 0) {
		memcpy(worker->scratch, conn->in_left, kept);
		floor_parse(conn, worker->scratch, worker->scratch + kept);
		floor_finish_batch(conn);
	}
}

static void floor_on_handover(evutil_socket_t fd, short what, void *arg)
{
	struct floor_worker *worker = arg;
	struct floor_conn *conn = tool_alloc(1, sizeof(*conn));
	int on = 1;

	if (read(fd, &conn->fd, sizeof(conn->fd)) != (ssize_t)sizeof(conn->fd))
		tool_fail("handover: %s", strerror(errno));
	conn->worker = worker;
	setsockopt(conn->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	conn->read_event = event_new(worker->base, conn->fd, EV_READ | EV_PERSIST,
				     floor_on_readable, conn);
	conn->write_event = event_new(worker->base, conn->fd, EV_WRITE | EV_PERSIST,
				      floor_on_writable, conn);
	if (!conn->read_event || !conn->write_event)
		tool_fail("out of memory");
	event_add(conn->read_event, NULL);
}

static void *floor_worker_main(void *arg)
{
	struct floor_worker *worker = arg;

	event_base_dispatch(worker->base);
	return NULL;
}

static struct event_base *floor_make_base(void)
{
	struct event_config *config = event_config_new();
	struct event_base *base = NULL;

	if (config) {
		event_config_set_flag(config, EVENT_BASE_FLAG_NOLOCK);
		event_config_set_flag(config, EVENT_BASE_FLAG_EPOLL_USE_CHANGELIST);
		base = event_base_new_with_config(config);
		event_config_free(config);
	}
	if (!base)
		tool_fail("libevent cannot start");
	return base;
}

static void floor_worker_start(struct floor_worker *worker, const struct floor_replies *replies)
{
	struct event *handover;

	worker->base = floor_make_base();
	worker->replies = replies;
	worker->scratch = tool_alloc(1, FLOOR_SCRATCH_BYTES);
	worker->out_capacity = FLOOR_OUT_BYTES + FLOOR_TAIL_BYTES +
			       MAX(replies->value_bytes, replies->meta_value_bytes);
	worker->out = tool_alloc(1, worker->out_capacity);
	if (pipe2(worker->handover, O_CLOEXEC) < 0)
		tool_fail("pipe: %s", strerror(errno));
	handover = event_new(worker->base, worker->handover[0], EV_READ | EV_PERSIST,
			     floor_on_handover, worker);
	if (!handover || event_add(handover, NULL) < 0)
		tool_fail("libevent cannot start");
	if (pthread_create(&worker->thread, NULL, floor_worker_main, worker) != 0)
		tool_fail("cannot start a thread");
}

/* ---- listening ---- */

static int floor_listen_unix(const char *path)
{
	struct sockaddr_un un = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (strlen(path) >= sizeof(un.sun_path))
		tool_fail_usage("-s: the path is too long");
	strcpy(un.sun_path, path);
	if (fd < 0 || bind(fd, (struct sockaddr *)&un, sizeof(un)) < 0 || listen(fd, 1024) < 0)
		tool_fail("%s: %s", path, strerror(errno));
	printf("larder-floor: listening on %s\n", path);
	return fd;
}

static int floor_listen_tcp(const struct floor_options *options)
{
	struct sockaddr_in in = {.sin_family = AF_INET, .sin_port = htons((uint16_t)options->port)};
	struct sockaddr_in6 in6 = {.sin6_family = AF_INET6, .sin6_port = in.sin_port};
	bool is_v6 = inet_pton(AF_INET6, options->listen_text, &in6.sin6_addr) == 1;
	struct sockaddr *sa = is_v6 ? (struct sockaddr *)&in6 : (struct sockaddr *)&in;
	socklen_t sa_bytes = is_v6 ? sizeof(in6) : sizeof(in);
	int on = 1, fd;

	if (!is_v6 && inet_pton(AF_INET, options->listen_text, &in.sin_addr) != 1)
		tool_fail_usage("-l: \"%s\" is not an address", options->listen_text);
	fd = socket(sa->sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	if (fd < 0 || bind(fd, sa, sa_bytes) < 0 || listen(fd, 1024) < 0 ||
	    getsockname(fd, sa, &sa_bytes) < 0)
		tool_fail("port %d: %s", options->port, strerror(errno));
	printf("larder-floor: listening on %s%s%s:%d\n", is_v6 ? "[" : "", options->listen_text,
	       is_v6 ? "]" : "", ntohs(is_v6 ? in6.sin6_port : in.sin_port));
	return fd;
}

/* The main thread accepts and deals the sockets out in turn. */
__attribute__((noreturn)) static void floor_accept(int listener, struct floor_worker *workers,
						   unsigned count)
{
	for (unsigned next = 0;;) {
		int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

		if (fd < 0 && (errno == EINTR || errno == ECONNABORTED))
			continue;
		if (fd < 0)
			tool_fail("accept: %s", strerror(errno));
		if (write(workers[next].handover[1], &fd, sizeof(fd)) != (ssize_t)sizeof(fd))
			tool_fail("handover: %s", strerror(errno));
		next = (next + 1) % count;
	}
}

/* ---- the command line ---- */

static const char floor_help[] =
	"Usage: larder-floor [option...]\n"
	"A server without a store: frames requests and answers each get with a constant. It is the\n"
	"least that a libevent server can spend on a request, to compare others with.\n"
	"\n"
	"  -p, --port PORT         0 picks a free one (11211)\n"
	"  -l, --listen ADDRESS    (127.0.0.1)\n"
	"  -s, --socket PATH       a Unix socket in place of TCP\n"
	"  -t, --threads N         (1)\n"
	"  -v, --value-size BYTES  of the constant (100)\n"
	"  -k, --key-size BYTES    of the constant (15)\n"
	"  -h, --help              this text\n"
	"  -V, --version\n";

static const struct option floor_long_options[] = {
	{"port", required_argument, NULL, 'p'},       {"listen", required_argument, NULL, 'l'},
	{"socket", required_argument, NULL, 's'},     {"threads", required_argument, NULL, 't'},
	{"value-size", required_argument, NULL, 'v'}, {"key-size", required_argument, NULL, 'k'},
	{"help", no_argument, NULL, 'h'},             {"version", no_argument, NULL, 'V'},
	{NULL, 0, NULL, 0},
};

static void floor_take_option(struct floor_options *options, int option)
{
	switch (option) {
	case 'p':
		options->port = (int)tool_option_u64("--port", optarg, 0, 65535);
		break;
	case 'l':
		options->listen_text = optarg;
		break;
	case 's':
		options->socket_path = optarg;
		break;
	case 't':
		options->thread_count =
			(unsigned)tool_option_u64("--threads", optarg, 1, FLOOR_THREADS_MAX);
		break;
	case 'v':
		options->value_bytes = tool_option_size_bytes("--value-size", optarg, 64u << 20);
		break;
	case 'k':
		options->key_bytes = tool_option_u64("--key-size", optarg, 1, 250);
		break;
	case 'h':
		fputs(floor_help, stdout);
		exit(0);
	case 'V':
		puts("larder-floor " PACKAGE_VERSION);
		exit(0);
	default:
		exit(TOOL_EXIT_USAGE);
	}
}

static struct floor_options floor_parse_arguments(int argc, char **argv)
{
	struct floor_options options = {
		.port = 11211, .listen_text = "127.0.0.1", .thread_count = 1, .value_bytes = 100,
		.key_bytes = 15};
	int option;

	while ((option = getopt_long(argc, argv, "p:l:s:t:v:k:hV", floor_long_options, NULL)) != -1)
		floor_take_option(&options, option);
	if (optind < argc)
		tool_fail_usage("\"%s\": no argument is expected", argv[optind]);
	return options;
}

static void floor_make_replies(struct floor_replies *replies, const struct floor_options *options)
{
	size_t capacity = options->value_bytes + options->key_bytes + FLOOR_TAIL_BYTES;
	size_t head;

	replies->value = tool_alloc(capacity, 1);
	replies->meta_value = tool_alloc(capacity, 1);
	memset(replies->value, 'v', capacity);
	memset(replies->meta_value, 'v', capacity);
	memcpy(replies->value, "VALUE ", 6);
	memset(replies->value + 6, 'k', options->key_bytes);
	head = 6 + options->key_bytes;
	head += (size_t)sprintf(replies->value + head, " 0 %zu\r\n", options->value_bytes);
	replies->value[head] = 'v';
	memcpy(replies->value + head + options->value_bytes, "\r\n", 2);
	replies->value_bytes = head + options->value_bytes + 2;
	head = (size_t)sprintf(replies->meta_value, "VA %zu\r\n", options->value_bytes);
	replies->meta_value[head] = 'v';
	memcpy(replies->meta_value + head + options->value_bytes, "\r\n", 2);
	replies->meta_value_bytes = head + options->value_bytes + 2;
}

int main(int argc, char **argv)
{
	struct floor_options options = floor_parse_arguments(argc, argv);
	struct floor_replies replies;
	struct floor_worker *workers = tool_alloc(options.thread_count, sizeof(*workers));
	int listener;

	floor_make_replies(&replies, &options);
	listener = options.socket_path ? floor_listen_unix(options.socket_path)
				       : floor_listen_tcp(&options);
	for (unsigned i = 0; i < options.thread_count; i++)
		floor_worker_start(&workers[i], &replies);
	fflush(stdout);
	floor_accept(listener, workers, options.thread_count);
}
