/*
 * process.h: the process as the system sees it: its user, its limits, its file of the process id,
 * its memory.
 */
#ifndef LARDER_PROCESS_H
#define LARDER_PROCESS_H

#include <sys/types.h>

#include "net/failure.h"

struct settings;

/* Whom to become. */
struct identity {
	bool change; /* false: stay who we are */
	uid_t uid;
	gid_t gid;
};

/* process_find_identity: the user of -u; root without one is a wrong flag. */
bool process_find_identity(struct identity *id, const struct settings *settings, struct failure *f);
/* process_become: for good, supplementary groups included. Before the first thread. */
bool process_become(const struct identity *id, struct failure *f);

/* process_raise_limits: descriptors for all connections, and core files (-r). */
bool process_raise_limits(const struct settings *settings, struct failure *f);
/* process_lock_memory: -k. What is mapped later is locked as it is touched, so that reserved address
 * space costs nothing. False, errno set, when the system does not let us. */
bool process_lock_memory(void);

/* process_absolute_path: a path that still holds when the directory changes, for the rest of the
 * process's life; NULL stays NULL, and so does what cannot be found out. */
const char *process_absolute_path(const char *path);

/* process_write_pid: while it may still write there. A file that it makes is `owner`'s, so that whom the process
 * becomes may remove it where only owners may (a sticky directory). *fd: the file, open until process_remove_pid. */
bool process_write_pid(const char *path, const struct identity *owner, int *fd, struct failure *f);
/* process_remove_pid: or empties it, where its directory may not be written (any more). */
void process_remove_pid(const char *path, int fd);

/* Resident memory, from /proc/self/statm. */
struct resident {
	uint64_t total_bytes;
	uint64_t file_bytes; /* of it: code and other mapped files, and shared memory */
};
bool process_measure_resident(struct resident *re);

#endif
