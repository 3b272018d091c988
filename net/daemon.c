/* daemon.c: see daemon.h. */
#include "net/daemon.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

/* Exits: 0 once the child is ready, else with its status. */
static void __attribute__((noreturn)) wait_for_child(pid_t child, int fd)
{
	char byte;
	ssize_t n;
	do {
		n = read(fd, &byte, 1);
	} while (n < 0 && errno == EINTR);
	if (n == 1)
		_exit(0);
	int status;
	while (waitpid(child, &status, 0) < 0 && errno == EINTR)
		;
	_exit(WIFEXITED(status) && WEXITSTATUS(status) != 0 ? WEXITSTATUS(status)
	                                                   : EXIT_ENVIRONMENT);
}

bool daemon_begin(struct daemon *da, struct failure *f)
{
	int fds[2];
	if (pipe2(fds, O_CLOEXEC) != 0)
		return fail_environment(f, "-d: %s", strerror(errno));
	pid_t child = fork();
	if (child < 0) {
		close(fds[0]);
		close(fds[1]);
		return fail_environment(f, "-d: %s", strerror(errno));
	}
	if (child > 0) {
		close(fds[1]);
		wait_for_child(child, fds[0]);
	}
	close(fds[0]);
	da->ready_fd = fds[1];
	setsid();
	return true;
}

void daemon_ready(struct daemon *da, bool keep_stderr, bool keep_directory)
{
	int fd = open("/dev/null", O_RDWR | O_NOCTTY | O_CLOEXEC);
	if (fd >= 0) {
		dup2(fd, STDIN_FILENO);
		dup2(fd, STDOUT_FILENO);
		if (!keep_stderr)
			dup2(fd, STDERR_FILENO);
		if (fd > STDERR_FILENO)
			close(fd);
	}
	/* Not to keep a file system busy. */
	int moved = keep_directory ? 0 : chdir("/");
	(void)moved;
	ssize_t written = write(da->ready_fd, "", 1);
	(void)written; /* the parent is gone: nobody waits */
	close(da->ready_fd);
}
