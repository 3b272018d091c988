/* process.c: see process.h. */
#include "net/process.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <limits.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

#include "net/settings.h"

/* Descriptors beside those of clients: listeners, and what each thread's event loop needs. */
#define OWN_DESCRIPTORS 96
#define DESCRIPTORS_PER_THREAD 8

/* ---- the user ---- */

bool process_find_identity(struct identity *id, const struct settings *settings, struct failure *f)
{
	memset(id, 0, sizeof(*id));
	if (getuid() != 0 && geteuid() != 0)
		return true;
	if (settings->user == NULL)
		return fail_usage(f, "root must say with -u which user to run as");
	errno = 0;
	const struct passwd *pw = getpwnam(settings->user);
	if (pw == NULL)
		return fail_environment(f, "-u %.100s: no such user", settings->user);
	id->change = true;
	id->uid = pw->pw_uid;
	id->gid = pw->pw_gid;
	return true;
}

bool process_become(const struct identity *id, struct failure *f)
{
	if (!id->change)
		return true;
	/* Only the group of the user: asking for the others would load the resolver's libraries,
	 * and a cache needs none of them. */
	if (setgroups(1, &id->gid) != 0 || setgid(id->gid) != 0 || setuid(id->uid) != 0)
		return fail_environment(f, "-u: cannot become user %u: %s", (unsigned)id->uid,
		                        strerror(errno));
	return true;
}

/* ---- limits ---- */

static bool raise_descriptors(const struct settings *settings, struct failure *f)
{
	rlim_t wanted = (rlim_t)settings->conn_limit + OWN_DESCRIPTORS +
	                (rlim_t)settings->thread_count * DESCRIPTORS_PER_THREAD;
	struct rlimit rl;
	if (getrlimit(RLIMIT_NOFILE, &rl) != 0)
		return fail_environment(f, "cannot read the limit of open files: %s", strerror(errno));
	if (rl.rlim_cur >= wanted)
		return true;
	struct rlimit raised = {.rlim_cur = wanted, .rlim_max = MAX(rl.rlim_max, wanted)};
	if (setrlimit(RLIMIT_NOFILE, &raised) == 0)
		return true;
	/* As many as there may be. With the connections covered, as memcached asks for, the listener
	 * copes with the few that are missing: it waits until a connection ends. */
	rlim_t most = rl.rlim_max;
	rl.rlim_cur = most;
	if (most >= settings->conn_limit && setrlimit(RLIMIT_NOFILE, &rl) == 0)
		return true;
	return fail_environment(f, "-c %u: the limit of open files is %llu and cannot be raised",
	                        settings->conn_limit, (unsigned long long)most);
}

static bool raise_core(struct failure *f)
{
	struct rlimit rl = {.rlim_cur = RLIM_INFINITY, .rlim_max = RLIM_INFINITY};
	if (setrlimit(RLIMIT_CORE, &rl) != 0 && getrlimit(RLIMIT_CORE, &rl) == 0) {
		rl.rlim_cur = rl.rlim_max;
		setrlimit(RLIMIT_CORE, &rl);
	}
	if (getrlimit(RLIMIT_CORE, &rl) != 0 || rl.rlim_cur == 0)
		return fail_environment(f, "-r: the limit on core files is 0 and cannot be raised");
	return true;
}

bool process_raise_limits(const struct settings *settings, struct failure *f)
{
	return raise_descriptors(settings, f) && (!settings->core_dumps || raise_core(f));
}

bool process_lock_memory(void)
{
	return mlockall(MCL_CURRENT | MCL_FUTURE | MCL_ONFAULT) == 0;
}

/* ---- files ---- */

const char *process_absolute_path(const char *path)
{
	if (path == NULL || path[0] == '/')
		return path;
	char *directory = getcwd(NULL, 0);
	if (directory == NULL)
		return path;
	size_t size = strlen(directory) + strlen(path) + 2;
	char *absolute = malloc(size);
	if (absolute != NULL)
		snprintf(absolute, size, "%s/%s", directory, path);
	free(directory);
	return absolute != NULL ? absolute : path;
}

/* Only what is new is given away: what was there may be anything, by a link that somebody put there. */
static int open_pid(const char *path, const struct identity *owner)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
	if (fd < 0)
		return open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
	/* Not every file system has owners. Then the file stays root's, and is emptied at the end. */
	if (owner->change && fchown(fd, owner->uid, owner->gid) != 0)
		errno = 0;
	return fd;
}

bool process_write_pid(const char *path, const struct identity *owner, int *fd, struct failure *f)
{
	char text[32];
	int length = snprintf(text, sizeof(text), "%ld\n", (long)getpid());
	*fd = open_pid(path, owner);
	if (*fd < 0)
		return fail_environment(f, "-P %.150s: %s", path, strerror(errno));
	if (write(*fd, text, (size_t)length) == length)
		return true;
	fail_environment(f, "-P %.150s: %s", path, strerror(errno));
	close(*fd);
	return false;
}

void process_remove_pid(const char *path, int fd)
{
	/* Through the descriptor, which was opened before the process became another. */
	if (unlink(path) != 0 && ftruncate(fd, 0) != 0)
		errno = 0;
	close(fd);
}

/* ---- memory ---- */

bool process_measure_resident(struct resident *re)
{
	char text[128];
	unsigned long long size, resident, shared;
	int fd = open("/proc/self/statm", O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return false;
	ssize_t n = read(fd, text, sizeof(text) - 1);
	close(fd);
	if (n <= 0)
		return false;
	text[n] = '\0';
	if (sscanf(text, "%llu %llu %llu", &size, &resident, &shared) != 3)
		return false;
	uint64_t page_bytes = (uint64_t)sysconf(_SC_PAGESIZE);
	re->total_bytes = resident * page_bytes;
	re->file_bytes = shared * page_bytes;
	return true;
}
