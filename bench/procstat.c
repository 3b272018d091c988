/* procstat.c: see procstat.h. */
#include "bench/procstat.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* The command's name in field 2 may hold spaces and parentheses: fields count from the last one. */
static bool procstat_read_ticks(struct procstat *ps, pid_t pid)
{
	char path[64], line[1024];
	unsigned long user_ticks, system_ticks;
	double ticks_per_s = (double)sysconf(_SC_CLK_TCK);
	const char *close_paren;
	bool ok;
	FILE *file;

	snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
	file = fopen(path, "re");
	if (!file)
		return false;
	ok = fgets(line, sizeof(line), file) != NULL;
	fclose(file);
	close_paren = ok ? strrchr(line, ')') : NULL;
	if (!close_paren || sscanf(close_paren + 1,
				   " %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu",
				   &user_ticks, &system_ticks) != 2)
		return false;
	ps->user_s = (double)user_ticks / ticks_per_s;
	ps->system_s = (double)system_ticks / ticks_per_s;
	return true;
}

static bool procstat_read_schedstat(pid_t pid, const char *task, double *sum_s)
{
	char path[320];
	unsigned long long run_ns;
	bool ok;
	FILE *file;

	snprintf(path, sizeof(path), "/proc/%d/task/%s/schedstat", (int)pid, task);
	file = fopen(path, "re");
	if (!file)
		return false;
	ok = fscanf(file, "%llu", &run_ns) == 1;
	fclose(file);
	if (ok)
		*sum_s += (double)run_ns / 1e9;
	return ok;
}

static void procstat_read_tasks(struct procstat *ps, pid_t pid)
{
	char path[64];
	double sum_s = 0;
	const struct dirent *entry;
	DIR *dir;

	snprintf(path, sizeof(path), "/proc/%d/task", (int)pid);
	dir = opendir(path);
	while (dir && (entry = readdir(dir)) != NULL) {
		if (entry->d_name[0] != '.')
			procstat_read_schedstat(pid, entry->d_name, &sum_s);
	}
	if (dir)
		closedir(dir);
	ps->cpu_s = sum_s > 0 ? sum_s : ps->user_s + ps->system_s;
}

static bool procstat_read_memory(struct procstat *ps, pid_t pid)
{
	char path[64], line[256];
	unsigned long long kib;
	FILE *file;

	snprintf(path, sizeof(path), "/proc/%d/status", (int)pid);
	file = fopen(path, "re");
	if (!file)
		return false;
	while (fgets(line, sizeof(line), file)) {
		if (sscanf(line, "VmRSS: %llu", &kib) == 1)
			ps->resident_bytes = kib << 10;
		else if (sscanf(line, "VmHWM: %llu", &kib) == 1)
			ps->peak_bytes = kib << 10;
	}
	fclose(file);
	return true;
}

bool procstat_read(struct procstat *ps, pid_t pid)
{
	memset(ps, 0, sizeof(*ps));
	if (!procstat_read_ticks(ps, pid))
		return false;
	procstat_read_tasks(ps, pid);
	return procstat_read_memory(ps, pid);
}
