#include "tests/support/net_server.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "eviction/policy.h"
#include "net/worker.h"

#define PATIENCE_MS 10000
#define FLAGS_MAX 32

static void parse_flags(struct settings *se, const char *flags)
{
	static char text[1024];
	static char name[] = "larder";
	char *argv[FLAGS_MAX] = {name};
	int argc = 1;

	snprintf(text, sizeof(text), "-t 1 -R 64 %s", flags);
	for (char *word = strtok(text, " "); word != NULL; word = strtok(NULL, " "))
		argv[argc++] = word;
	cr_assert(settings_parse(se, argc, argv, NULL), "%s", se->error);
}

void net_server_start(struct net_server *ns, const char *flags)
{
	memset(ns, 0, sizeof(*ns));
	parse_flags(&ns->settings, flags);
	struct store_options store_options = server_store_options(&ns->settings);

	store_options.policy = policy_at(0);
	store_options.hash_seed = 1;
	cr_assert_eq(store_init(&ns->store, &store_options), STATUS_OK);
	struct server_options options = {
		.settings = &ns->settings,
		.store = ns->store,
		.debug_time = true,
	};
	cr_assert_eq(server_init(&ns->server, &options), STATUS_OK);
	cr_assert_eq(server_start(&ns->server), STATUS_OK);
}

void net_server_stop(struct net_server *ns)
{
	server_stop(&ns->server);
	cr_assert_eq(ns->server.curr_connections, 0);
	cr_assert_eq(buffer_pool_used_blocks(&ns->server.buffers), 0);
	cr_assert_eq(block_pool_used_blocks(&ns->server.connections), 0);
	buffer_pool_check(&ns->server.buffers);
	block_pool_check(&ns->server.connections);
	store_check(ns->store);
	server_fini(&ns->server);
	cr_assert_eq(budget_account(store_budget(ns->store), ACCOUNT_BUFFERS), 0);
	cr_assert_eq(budget_account(store_budget(ns->store), ACCOUNT_CONNECTIONS), 0);
	cr_assert_eq(budget_account(store_budget(ns->store), ACCOUNT_LOGS), 0);
	store_fini(ns->store);
}

static int connect_pair(struct net_server *ns, int buffer_bytes)
{
	int ends[2];

	cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
	if (buffer_bytes > 0) {
		setsockopt(ends[1], SOL_SOCKET, SO_SNDBUF, &buffer_bytes, sizeof(buffer_bytes));
		setsockopt(ends[0], SOL_SOCKET, SO_SNDBUF, &buffer_bytes, sizeof(buffer_bytes));
	}
	fcntl(ends[1], F_SETFL, O_NONBLOCK);
	ns->server.curr_connections++;
	ns->server.total_connections++;
	cr_assert(server_assign(&ns->server, ends[1], TRANSPORT_UNIX));
	return ends[0];
}

int net_connect(struct net_server *ns)
{
	return connect_pair(ns, 0);
}

int net_connect_small(struct net_server *ns)
{
	return connect_pair(ns, 1);
}

void net_pass_seconds(struct net_server *ns, int32_t seconds)
{
	clock_move(&ns->server.clock, seconds);
	for (unsigned i = 0; i < ns->server.worker_count; i++)
		worker_wake(&ns->server.workers[i]);
}

/* --- the client ------------------------------------------------------------------------------- */

static void wait_for(int fd, short what)
{
	struct pollfd pollfd = {.fd = fd, .events = what};

	cr_assert_eq(poll(&pollfd, 1, PATIENCE_MS), 1, "the server does nothing");
}

size_t net_send_some(int fd, const char *data, size_t length)
{
	ssize_t sent = send(fd, data, length, MSG_DONTWAIT | MSG_NOSIGNAL);

	if (sent < 0)
		cr_assert_eq(errno, EAGAIN);
	return sent < 0 ? 0 : (size_t)sent;
}

void net_send(int fd, const char *data, size_t length)
{
	while (length > 0) {
		wait_for(fd, POLLOUT);
		size_t sent = net_send_some(fd, data, length);
		data += sent;
		length -= sent;
	}
}

void net_say(int fd, const char *text)
{
	net_send(fd, text, strlen(text));
}

size_t net_receive_some(int fd, char *data, size_t length)
{
	wait_for(fd, POLLIN);
	ssize_t received = recv(fd, data, length, MSG_DONTWAIT);
	cr_assert_geq(received, 0, "receive: %s", strerror(errno));
	return (size_t)received;
}

void net_expect_bytes(int fd, const char *data, size_t length)
{
	static char got[1 << 16];

	for (size_t at = 0; at < length;) {
		size_t received = net_receive_some(fd, got, MIN(length - at, sizeof(got)));
		cr_assert_gt(received, 0, "the server closed the connection before: %.200s", data + at);
		cr_assert(memcmp(got, data + at, received) == 0, "expected: %.200s\ngot: %.*s", data + at,
			  (int)MIN(received, (size_t)200), got);
		at += received;
	}
}

void net_expect(int fd, const char *text)
{
	net_expect_bytes(fd, text, strlen(text));
}

void net_converse(int fd, const char *say, const char *expect)
{
	net_say(fd, say);
	net_expect(fd, expect);
}

void net_expect_end(int fd)
{
	char byte;

	cr_assert_eq(net_receive_some(fd, &byte, 1), 0, "more came: %c", byte);
	close(fd);
}

/* --- numbers ---------------------------------------------------------------------------------- */

static uint64_t stat_of(int fd, const char *command, const char *name)
{
	static char text[1 << 17];
	size_t length = 0;
	char wanted[100];

	net_say(fd, command);
	net_say(fd, "\r\n");
	do {
		length += net_receive_some(fd, text + length, sizeof(text) - 1 - length);
		text[length] = '\0';
	} while (strstr(text, "END\r\n") == NULL);
	snprintf(wanted, sizeof(wanted), "STAT %s ", name);
	const char *line = strstr(text, wanted);
	cr_assert_not_null(line, "%s has no %s", command, name);
	return strtoull(line + strlen(wanted), NULL, 10);
}

uint64_t net_stat(struct net_server *ns, const char *command, const char *name)
{
	int fd = net_connect(ns);
	uint64_t value = stat_of(fd, command, name);

	net_say(fd, "quit\r\n");
	net_expect_end(fd);
	return value;
}

void net_wait_stat(struct net_server *ns, const char *command, const char *name, uint64_t value)
{
	int fd = net_connect(ns);
	uint64_t got = 0;

	/* Each asking is a round trip, so this is no busy loop over nothing. */
	for (unsigned tries = 0; tries < 100000; tries++) {
		got = stat_of(fd, command, name);
		if (got == value)
			break;
	}
	cr_assert_eq(got, value, "%s is %llu and not %llu", name, (unsigned long long)got,
		     (unsigned long long)value);
	net_say(fd, "quit\r\n");
	net_expect_end(fd);
}
