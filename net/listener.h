/*
 * listener.h: the sockets that listen, and how a connection gets from them to a worker.
 *
 *     listeners_open    bind and listen on everything -l, -p and -s name (still privileged)
 *     listeners_start   accept through the main thread's event base
 *       accept4 -> over the limit?  answer an error and close (or wait: no_maxconns_fast)
 *               -> server_assign    the worker owns the socket
 *               -> out of descriptors: stop accepting until a connection ends
 *     listeners_close
 *
 * All of it on the main thread. listeners_paused alone may be asked by any thread, so that a worker
 * whose connection ends knows whether to wake the main thread.
 */
#ifndef LARDER_LISTENER_H
#define LARDER_LISTENER_H

#include <event2/event.h>
#include <event2/event_struct.h>

#include "net/address.h"
#include "net/failure.h"
#include "net/server.h"

#define LISTENERS_MAX 64

struct settings;

struct listener {
	int fd;
	enum transport transport;
	struct address address; /* TCP */
	struct event event;
	struct listeners *owner;
};

struct listeners {
	/* const after listeners_start */
	const struct settings *settings;
	struct server *server;
	unsigned count;
	const char *unix_path; /* to be removed at the end; NULL: none */
	/* main thread */
	bool open;
	bool started;
	bool accepted_since_pause;
	int64_t paused_since_us;
	/* atomic: relaxed; a wake-up that is missed is made up for by listeners_retry */
	_Atomic bool paused;
	struct listener items[LISTENERS_MAX];
};

/* listeners_open: errors: a malformed address is a wrong flag, all else the environment. Nothing
 * stays open after an error. `settings` and its strings are kept. */
bool listeners_open(struct listeners *ls, const struct settings *settings, struct failure *f);

/* listeners_start: connections go to `server` from now on. STATUS_NO_MEMORY from libevent. */
enum status listeners_start(struct listeners *ls, struct server *server, struct event_base *base);

/* listeners_retry: a connection ended, or time went by: accept again if accepting had stopped. */
void listeners_retry(struct listeners *ls);
bool listeners_paused(const struct listeners *ls);

/* listeners_close: also removes the Unix socket's file. */
void listeners_close(struct listeners *ls);

/* listeners_give_socket: the Unix socket's file to a user, before root is given up. */
bool listeners_give_socket(const struct listeners *ls, uid_t uid, gid_t gid, struct failure *f);

/* listeners_text: the addresses with commas between, for people. Returns `buffer`. */
const char *listeners_text(const struct listeners *ls, char *buffer, size_t size);

/* listeners_each: every socket, for `stats conns`: "tcp:127.0.0.1:11211", "unix:/path". */
void listeners_each(const struct listeners *ls,
                    void (*line)(void *context, int fd, const char *address), void *context);

/* listeners_write_ports: the file that MEMCACHED_PORT_FILENAME names, written whole or not at all. */
bool listeners_write_ports(const struct listeners *ls, const char *path, struct failure *f);

#endif
