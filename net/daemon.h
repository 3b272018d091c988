/*
 * daemon.h: into the background (-d), so that the command that starts the server returns when the
 * server listens, and fails when it does not.
 *
 *     parent   daemon_begin: forks, waits for one byte, exits 0; no byte: exits as the child did
 *     child    returns from daemon_begin in a session of its own, goes on starting;
 *              daemon_ready: lets go of the terminal, writes the byte
 */
#ifndef LARDER_DAEMON_H
#define LARDER_DAEMON_H

#include "net/failure.h"

struct daemon {
	int ready_fd; /* the child's end of the pipe */
};

/* daemon_begin: returns in the child only. Before any thread. */
bool daemon_begin(struct daemon *da, struct failure *f);

/* daemon_ready: the server listens. keep_stderr: lines of -v still have somewhere to go.
 * keep_directory: a core file is wanted where the command was given. */
void daemon_ready(struct daemon *da, bool keep_stderr, bool keep_directory);

#endif
