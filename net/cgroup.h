/*
 * cgroup.h: how much memory the system grants the process: the tightest limit of its control group
 * and of all groups above it, in version 1 and version 2 of control groups, or the physical memory
 * where none is tighter.
 *
 *     /proc/self/cgroup      4:memory:/shop/cache                    the group, a line a hierarchy
 *     /proc/self/mountinfo   ... / /sys/fs/cgroup/memory ... cgroup  where the hierarchy is seen
 *     /sys/fs/cgroup/memory/shop/cache/memory.limit_in_bytes         its limit, then those of shop and
 *                                                                    of the mount itself
 *     /sys/fs/cgroup/memory/shop/cache/memory.stat                   hierarchical_memory_limit: with those
 *                                                                    above, seen from here or not
 *     /proc/meminfo          MemTotal: ...                           all there is
 *
 * Version 2 is the same with a line "0::/shop/cache", a file system cgroup2 and files memory.max and
 * memory.high (over which the group is slowed down until it is below again); on hybrid systems both
 * versions are looked at. The tightest of all counts. A container often sees its own group only, as the mount itself.
 *
 * Where things are mounted and the physical memory are read once, the group and the limits each time:
 * a process may be moved, and limits are changed under it. A file that gave the limit and is gone
 * tells nothing, least of all that there is no limit. No state but the struct; one thread.
 */
#ifndef LARDER_CGROUP_H
#define LARDER_CGROUP_H

#include "store/base/base.h"

#define CGROUP_PATH_BYTES 1024
#define CGROUP_FILE_BYTES (3 * CGROUP_PATH_BYTES + 64) /* root, mount, group and the file's name */
#define CGROUP_ERROR_BYTES 224

enum cgroup_version { CGROUP_V1, CGROUP_V2, CGROUP_VERSION_COUNT };

/* Where a hierarchy is seen: the group `top` is the directory `point`. */
struct cgroup_mount {
	bool there;
	char point[CGROUP_PATH_BYTES];
	char top[CGROUP_PATH_BYTES];
};

struct cgroup {
	/* const after init */
	const char *root;
	uint64_t physical_bytes;
	struct cgroup_mount mounts[CGROUP_VERSION_COUNT];

	char file[CGROUP_FILE_BYTES]; /* which gave the limit that was read last; empty: none did */
};

struct cgroup_limit {
	uint64_t bytes;    /* never above the physical memory */
	bool is_physical;  /* no group has a limit below it */
};

/* cgroup_init: `root` (kept) is put before every path: "" for the system's own files, a directory for
 * tests. Without /proc/self/cgroup there are no groups, without /proc/self/mountinfo they are where
 * they usually are. STATUS_SYSTEM: what cannot be done without cannot be read; `error` is one line. */
enum status cgroup_init(struct cgroup *cg, const char *root, char error[CGROUP_ERROR_BYTES]);

/* cgroup_read: the limit as it is now; a handful of small files. A group without a file has no limit
 * of its own. STATUS_SYSTEM: a file that is there cannot be read or understood, or the one that gave the
 * limit is there no more though the group is the same; *limit stays. Errors name files as they were opened. */
enum status cgroup_read(struct cgroup *cg, struct cgroup_limit *limit,
                        char error[CGROUP_ERROR_BYTES]);

#endif
