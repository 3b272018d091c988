/*
 * net_server.h: a whole server inside a test, without listeners: clients are socket pairs, and time
 * stands still but for what the test moves it.
 */
#ifndef LARDER_TEST_NET_SERVER_H
#define LARDER_TEST_NET_SERVER_H

#include "net/server.h"
#include "net/settings.h"

struct net_server {
	struct settings settings;
	struct store *store;
	struct server server;
};

/* net_server_start: flags as on the command line, with blanks between them. One worker unless -t. */
void net_server_start(struct net_server *ns, const char *flags);
/* net_server_stop: ends it, and asserts the invariants of store, pools and budget, and that nothing
 * is parked any more. */
void net_server_stop(struct net_server *ns);

/* net_connect: a client's end of a new connection; small: with the least socket buffers. */
int net_connect(struct net_server *ns);
int net_connect_small(struct net_server *ns);

/* Time as the server sees it goes on, and its workers know. */
void net_pass_seconds(struct net_server *ns, int32_t seconds);

/* What the client does. Each waits for its end for at most some seconds, and fails the test if it
 * does not come. */
void net_send(int fd, const char *data, size_t length);
void net_say(int fd, const char *text);
void net_expect_bytes(int fd, const char *data, size_t length);
void net_expect(int fd, const char *text);
/* net_converse: says, then expects. */
void net_converse(int fd, const char *say, const char *expect);
void net_expect_end(int fd);
/* net_send_some: without waiting; how much the server took. */
size_t net_send_some(int fd, const char *data, size_t length);
/* net_receive_some: what is there, at least a byte unless the end came. */
size_t net_receive_some(int fd, char *data, size_t length);

/* A number of `stats`, or of one of its kinds ("stats budget"), asked on a connection of its own. */
uint64_t net_stat(struct net_server *ns, const char *command, const char *name);
/* net_wait_stat: until it has this value. */
void net_wait_stat(struct net_server *ns, const char *command, const char *name, uint64_t value);

#endif
