/*
 * spawn.h: runs a server for the length of one measurement.
 *
 * The command is handed to the shell with "-s SOCKET" behind it, a Unix socket in a directory of
 * its own: memcached and Larder both take it, and no port has to be found. The server ends with
 * spawn_stop(), or with the tool, however that ends: a guard process holds one end of a pipe and
 * ends the server when the other closes. (The kernel's own means, a parent-death signal, is
 * forgotten when a server drops root.)
 */
#ifndef LARDER_BENCH_SPAWN_H
#define LARDER_BENCH_SPAWN_H

#include <stdbool.h>
#include <sys/types.h>

#define SPAWN_ERROR_BYTES 256

struct spawn {
	pid_t pid;       /* of the server */
	pid_t guard_pid;
	int guard_fd; /* written before it closes: the server has ended, nothing is to be done */
	char directory[64];
	char socket_path[80];
	char error[SPAWN_ERROR_BYTES];
};

/* Starts the command and waits until it accepts connections. False: error says why, nothing runs. */
bool spawn_start(struct spawn *sp, const char *command, int timeout_ms);
void spawn_stop(struct spawn *sp);

#endif
