/* spawn.c: see spawn.h. */
#include "bench/spawn.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "bench/tool.h"

#define SPAWN_POLL_NS 2000000

/* A server that drops root makes its socket afterwards: the directory is open to all. */
static bool spawn_make_directory(struct spawn *sp)
{
	const char *parent = getenv("TMPDIR");

	snprintf(sp->directory, sizeof(sp->directory), "%.40s/larder-XXXXXX",
		 parent && strlen(parent) <= 40 ? parent : "/tmp");
	if (!mkdtemp(sp->directory) || chmod(sp->directory, 0777) < 0) {
		snprintf(sp->error, sizeof(sp->error), "%s: %s", sp->directory, strerror(errno));
		return false;
	}
	snprintf(sp->socket_path, sizeof(sp->socket_path), "%s/socket", sp->directory);
	return true;
}

static void spawn_remove_directory(struct spawn *sp)
{
	unlink(sp->socket_path);
	rmdir(sp->directory);
}

__attribute__((noreturn)) static void spawn_run_child(const struct spawn *sp, const char *command,
						      pid_t parent)
{
	char line[2048];

	prctl(PR_SET_PDEATHSIG, SIGTERM);
	if (getppid() != parent) /* it ended before prctl() */
		_exit(1);
	/* The tool's own output may be read by a program: the server must not write into it. */
	dup2(STDERR_FILENO, STDOUT_FILENO);
	snprintf(line, sizeof(line), "exec %s -s %s", command, sp->socket_path);
	execl("/bin/sh", "sh", "-c", line, (char *)NULL);
	_exit(127);
}

static bool spawn_accepts(const struct spawn *sp)
{
	struct sockaddr_un un = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	bool accepted;

	if (fd < 0)
		return false;
	snprintf(un.sun_path, sizeof(un.sun_path), "%s", sp->socket_path);
	accepted = connect(fd, (struct sockaddr *)&un, sizeof(un)) == 0;
	close(fd);
	return accepted;
}

static bool spawn_wait_ready(struct spawn *sp, const char *command, int timeout_ms)
{
	uint64_t deadline_ns = tool_now_ns() + (uint64_t)timeout_ms * 1000000u;
	const struct timespec pause = {.tv_nsec = SPAWN_POLL_NS};

	while (!spawn_accepts(sp)) {
		if (waitpid(sp->pid, NULL, WNOHANG) == sp->pid) {
			sp->pid = 0;
			snprintf(sp->error, sizeof(sp->error), "\"%s\" ended at once", command);
			return false;
		}
		if (tool_now_ns() > deadline_ns) {
			snprintf(sp->error, sizeof(sp->error), "\"%s\" does not listen", command);
			return false;
		}
		nanosleep(&pause, NULL);
	}
	return true;
}

bool spawn_start(struct spawn *sp, const char *command, int timeout_ms)
{
	pid_t parent = getpid();

	memset(sp, 0, sizeof(*sp));
	if (!spawn_make_directory(sp))
		return false;
	sp->pid = fork();
	if (sp->pid == 0)
		spawn_run_child(sp, command, parent);
	if (sp->pid < 0) {
		snprintf(sp->error, sizeof(sp->error), "fork: %s", strerror(errno));
		sp->pid = 0;
		spawn_remove_directory(sp);
		return false;
	}
	if (spawn_wait_ready(sp, command, timeout_ms))
		return true;
	spawn_stop(sp);
	return false;
}

void spawn_stop(struct spawn *sp)
{
	if (sp->pid > 0) {
		kill(sp->pid, SIGTERM);
		while (waitpid(sp->pid, NULL, 0) < 0 && errno == EINTR)
			;
	}
	sp->pid = 0;
	spawn_remove_directory(sp);
}
