/*
 * procstat.h: what a process has used, read from /proc: CPU time, user and system, and memory.
 *
 * utime and stime count in clock ticks (10 ms); the scheduler's own account of each thread,
 * schedstat, is exact to the nanosecond, but does not tell user from system and forgets threads
 * that ended. A run's CPU is taken from schedstat, its split from the ticks.
 */
#ifndef LARDER_BENCH_PROCSTAT_H
#define LARDER_BENCH_PROCSTAT_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct procstat {
	double user_s, system_s; /* from ticks */
	double cpu_s;            /* from schedstat, else user + system */
	uint64_t resident_bytes; /* VmRSS */
	uint64_t peak_bytes;     /* VmHWM */
};

/* False when the process is not there or may not be read. */
bool procstat_read(struct procstat *ps, pid_t pid);

#endif
