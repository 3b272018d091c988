/* spawn.c: see spawn.h. */
#include "bench/spawn.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
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

__attribute__((noreturn)) static void spawn_run_server(const struct spawn *sp, const char *command)
{
	char line[2048];

	/* The tool's own output may be read by a program: the server must not write into it. */
	dup2(STDERR_FILENO, STDOUT_FILENO);
	snprintf(line, sizeof(line), "exec %s -s %s", command, sp->socket_path);
	execl("/bin/sh", "sh", "-c", line, (char *)NULL);
	_exit(127);
}

/* Waits for a word or for the end of the tool. It keeps none of the tool's files open, so that who
 * reads the tool's output sees its end. */
__attribute__((noreturn)) static void spawn_run_guard(const struct spawn *sp, int fd)
{
	char word;
	ssize_t n;

	signal(SIGINT, SIG_IGN);
	signal(SIGTERM, SIG_IGN);
	dup2(fd, STDIN_FILENO);
	close_range(STDIN_FILENO + 1, ~0U, 0);
	do
		n = read(STDIN_FILENO, &word, 1);
	while (n < 0 && errno == EINTR);
	if (n != 1) {
		kill(sp->pid, SIGTERM);
		unlink(sp->socket_path);
		rmdir(sp->directory);
	}
	_exit(0);
}

static bool spawn_fail(struct spawn *sp, const char *what)
{
	snprintf(sp->error, sizeof(sp->error), "%s: %s", what, strerror(errno));
	return false;
}

static bool spawn_fork_server(struct spawn *sp, const char *command)
{
	sp->pid = fork();
	if (sp->pid == 0)
		spawn_run_server(sp, command);
	return sp->pid > 0 ? true : spawn_fail(sp, "fork");
}

static bool spawn_fork_guard(struct spawn *sp)
{
	int fds[2];

	if (pipe2(fds, O_CLOEXEC) < 0)
		return spawn_fail(sp, "pipe");
	sp->guard_pid = fork();
	if (sp->guard_pid == 0)
		spawn_run_guard(sp, fds[0]);
	close(fds[0]);
	sp->guard_fd = fds[1];
	return sp->guard_pid > 0 ? true : spawn_fail(sp, "fork");
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
	memset(sp, 0, sizeof(*sp));
	sp->guard_fd = -1;
	if (!spawn_make_directory(sp))
		return false;
	if (spawn_fork_server(sp, command) && spawn_fork_guard(sp) &&
	    spawn_wait_ready(sp, command, timeout_ms))
		return true;
	spawn_stop(sp);
	return false;
}

static void spawn_reap(pid_t pid)
{
	while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
		;
}

void spawn_stop(struct spawn *sp)
{
	if (sp->pid > 0) {
		kill(sp->pid, SIGTERM);
		spawn_reap(sp->pid);
	}
	if (sp->guard_fd >= 0) {
		/* Should it be gone, there is nobody to tell. */
		if (sp->guard_pid > 0 && write(sp->guard_fd, "q", 1) == 1)
			spawn_reap(sp->guard_pid);
		close(sp->guard_fd);
	}
	sp->pid = sp->guard_pid = 0;
	sp->guard_fd = -1;
	spawn_remove_directory(sp);
}
