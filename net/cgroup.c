/* cgroup.c: see cgroup.h. The formats: proc(5), cgroups(7), and the kernel's cgroup-v1/memory.rst and
 * cgroup-v2.rst. */
#include "net/cgroup.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define LIMIT_TEXT_BYTES 64
#define FILE_NAME_BYTES 64
#define WHOLE_PATH_BYTES (CGROUP_FILE_BYTES - FILE_NAME_BYTES)
#define FILES_MAX 2
#define NAMED_BYTES 120 /* of a path in an error: its end */

struct version {
	const char *files[FILES_MAX]; /* one limit each */
	const char *filesystem;
	const char *usual_point; /* where mountinfo cannot be read */
};

static const struct version versions[CGROUP_VERSION_COUNT] = {
	[CGROUP_V1] = { { "memory.limit_in_bytes" }, "cgroup", "/sys/fs/cgroup/memory" },
	[CGROUP_V2] = { { "memory.max", "memory.high" }, "cgroup2", "/sys/fs/cgroup" },
};

/* The process's group in each hierarchy; "" where it is in none. */
struct groups {
	char path[CGROUP_VERSION_COUNT][CGROUP_PATH_BYTES];
};

static enum status __attribute__((format(printf, 2, 3))) trouble(char *error, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(error, CGROUP_ERROR_BYTES, format, args);
	va_end(args);
	return STATUS_SYSTEM;
}

/* Names the file as it was opened, or the end of so long a name. */
static enum status trouble_at(char *error, const char *path, const char *what)
{
	size_t kept = MIN(strlen(path), (size_t)NAMED_BYTES);

	return trouble(error, "%s: %s", path + strlen(path) - kept, what);
}

static enum status trouble_with(char *error, const struct cgroup *cg, const char *name, const char *what)
{
	char path[CGROUP_FILE_BYTES];
	int length = snprintf(path, sizeof(path), "%s%s", cg->root, name);

	return trouble_at(error, (size_t)length < sizeof(path) ? path : name, what);
}

/* ---- files of lines ---- */

static FILE *open_under(const struct cgroup *cg, const char *name)
{
	char path[WHOLE_PATH_BYTES];
	int length = snprintf(path, sizeof(path), "%s%s", cg->root, name);

	if (length < 0 || (size_t)length >= sizeof(path)) {
		errno = ENAMETOOLONG;
		return NULL;
	}
	return fopen(path, "re");
}

static bool not_there(int error)
{
	return error == ENOENT || error == ENOTDIR || error == ENODEV;
}

/* The next word of a line, ended where `separator` was; NULL behind the last. */
static char *next_word(char **rest, const char *separator)
{
	return *rest == NULL ? NULL : strsep(rest, separator);
}

static bool list_has(const char *list, const char *name)
{
	size_t length = strlen(name);

	for (const char *at = list; (at = strstr(at, name)) != NULL; at += length)
		if ((at == list || at[-1] == ',') && (at[length] == '\0' || at[length] == ','))
			return true;
	return false;
}

/* ---- the group ---- */

/* id:controllers:path */
static enum status take_group(const struct cgroup *cg, struct groups *gr, char *line, char *error)
{
	char *id = next_word(&line, ":");
	char *controllers = next_word(&line, ":");
	char *path = line;
	enum cgroup_version version = CGROUP_V1;

	if (path == NULL || path[0] != '/')
		return trouble_with(error, cg, "/proc/self/cgroup", "a line names no group");
	if (strcmp(id, "0") == 0 && controllers[0] == '\0')
		version = CGROUP_V2;
	else if (!list_has(controllers, "memory"))
		return STATUS_OK;
	if (strlen(path) >= CGROUP_PATH_BYTES)
		return trouble_with(error, cg, "/proc/self/cgroup", "the name of the group is too long");
	strcpy(gr->path[version], path);
	return STATUS_OK;
}

static enum status read_groups(const struct cgroup *cg, struct groups *gr, char *error)
{
	enum status status = STATUS_OK;
	char *line = NULL;
	size_t size = 0;
	FILE *in = open_under(cg, "/proc/self/cgroup");

	for (unsigned v = 0; v < CGROUP_VERSION_COUNT; v++)
		gr->path[v][0] = '\0';
	if (in == NULL && not_there(errno) && cg->file[0] == '\0')
		return STATUS_OK;
	if (in == NULL)
		return trouble_with(error, cg, "/proc/self/cgroup", strerror(errno));
	while (status == STATUS_OK && getline(&line, &size, in) > 0) {
		line[strcspn(line, "\n")] = '\0';
		status = take_group(cg, gr, line, error);
	}
	if (status == STATUS_OK && ferror(in))
		status = trouble_with(error, cg, "/proc/self/cgroup", strerror(errno));
	free(line);
	fclose(in);
	return status;
}

/* ---- where it is seen ---- */

/* The path below `top`, beginning with a slash or empty; NULL when it is not below. The group of a
 * process outside of the namespace's own begins with "/..". */
static const char *path_below(const char *top, const char *path)
{
	size_t length = strlen(top);

	if (strcmp(path, "/..") == 0 || strncmp(path, "/../", 4) == 0)
		return NULL;
	if (strcmp(path, top) == 0)
		return "";
	if (strcmp(top, "/") == 0)
		return path;
	return strncmp(path, top, length) == 0 && path[length] == '/' ? path + length : NULL;
}

/* mountinfo writes space, tab, newline and backslash as \ and three octal digits. */
static void unescape(char *text)
{
	char *out = text;

	for (const char *c = text; *c != '\0'; out++) {
		if (c[0] == '\\' && c[1] >= '0' && c[1] <= '3' && isdigit((unsigned char)c[2]) &&
		    isdigit((unsigned char)c[3])) {
			*out = (char)((c[1] - '0') << 6 | (c[2] - '0') << 3 | (c[3] - '0'));
			c += 4;
		} else {
			*out = *c++;
		}
	}
	*out = '\0';
}

/* Of several mounts the first that shows the process's group counts, else the first: a container's
 * view of its own group may carry a name that the process does not know. */
static void take_mount(struct cgroup_mount *mount, char *top, char *point, const char *group)
{
	unescape(top);
	unescape(point);
	if (strlen(top) >= CGROUP_PATH_BYTES || strlen(point) >= CGROUP_PATH_BYTES)
		return;
	if (mount->there && (path_below(mount->top, group) != NULL || path_below(top, group) == NULL))
		return;
	mount->there = true;
	strcpy(mount->top, top);
	strcpy(mount->point, point);
}

/* id parent device top point options [fields...] - filesystem source options */
static void take_mount_line(struct cgroup *cg, char *line, const struct groups *gr)
{
	char *tail = strstr(line, " - ");

	if (tail == NULL)
		return;
	*tail = '\0';
	tail += strlen(" - ");
	for (unsigned i = 0; i < 3; i++)
		next_word(&line, " ");
	char *top = next_word(&line, " ");
	char *point = next_word(&line, " ");
	const char *filesystem = next_word(&tail, " ");

	next_word(&tail, " ");
	if (point == NULL || tail == NULL)
		return;
	if (strcmp(filesystem, versions[CGROUP_V2].filesystem) == 0)
		take_mount(&cg->mounts[CGROUP_V2], top, point, gr->path[CGROUP_V2]);
	else if (strcmp(filesystem, versions[CGROUP_V1].filesystem) == 0 && list_has(tail, "memory"))
		take_mount(&cg->mounts[CGROUP_V1], top, point, gr->path[CGROUP_V1]);
}

static void take_usual_mounts(struct cgroup *cg)
{
	for (unsigned v = 0; v < CGROUP_VERSION_COUNT; v++) {
		cg->mounts[v].there = true;
		strcpy(cg->mounts[v].point, versions[v].usual_point);
		strcpy(cg->mounts[v].top, "/");
	}
}

static void find_mounts(struct cgroup *cg, const struct groups *gr)
{
	char *line = NULL;
	size_t size = 0;
	FILE *in = open_under(cg, "/proc/self/mountinfo");

	if (in == NULL) {
		take_usual_mounts(cg);
		return;
	}
	while (getline(&line, &size, in) > 0) {
		line[strcspn(line, "\n")] = '\0';
		take_mount_line(cg, line, gr);
	}
	free(line);
	fclose(in);
}

/* ---- physical memory ---- */

static enum status read_physical(struct cgroup *cg, char *error)
{
	char *line = NULL;
	size_t size = 0;
	unsigned long long kilobytes = 0;
	FILE *in = open_under(cg, "/proc/meminfo");

	if (in == NULL)
		return trouble_with(error, cg, "/proc/meminfo", strerror(errno));
	while (kilobytes == 0 && getline(&line, &size, in) > 0)
		if (sscanf(line, "MemTotal: %llu kB", &kilobytes) != 1)
			kilobytes = 0;
	free(line);
	fclose(in);
	if (kilobytes == 0 || kilobytes > UINT64_MAX >> 20)
		return trouble_with(error, cg, "/proc/meminfo", "does not say how much memory there is");
	cg->physical_bytes = (uint64_t)kilobytes << 10;
	return STATUS_OK;
}

/* ---- limits ---- */

/* "max" or digits, and a line end. */
static bool parse_limit(char *text, uint64_t *bytes)
{
	char *end;

	text[strcspn(text, "\n")] = '\0';
	if (strcmp(text, "max") == 0) {
		*bytes = UINT64_MAX;
		return true;
	}
	if (!isdigit((unsigned char)text[0]))
		return false;
	errno = 0;
	*bytes = strtoull(text, &end, 10);
	return *end == '\0' && errno == 0;
}

/* A reading on its way. */
struct reading {
	struct cgroup *cg;
	char *error;
	uint64_t least;
	char file[CGROUP_FILE_BYTES]; /* which gave it */
};

static void note_limit(struct reading *rd, const char *path, uint64_t bytes)
{
	if (bytes >= rd->least)
		return;
	rd->least = bytes;
	snprintf(rd->file, sizeof(rd->file), "%s", path);
}

/* That it is not there means that there is no such limit, but for the one that counted until now. */
static enum status note_absence(struct reading *rd, const char *path)
{
	return strcmp(path, rd->cg->file) == 0 ? trouble_at(rd->error, path, "gone, and the limit in it unknown") : STATUS_OK;
}

static enum status read_limit(struct reading *rd, const char *path)
{
	char text[LIMIT_TEXT_BYTES];
	uint64_t bytes;
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		return not_there(errno) ? note_absence(rd, path) : trouble_at(rd->error, path, strerror(errno));
	ssize_t length = read(fd, text, sizeof(text) - 1);
	int read_error = errno;

	close(fd);
	if (length < 0)
		return not_there(read_error) ? note_absence(rd, path) /* the group went while we looked */
		                             : trouble_at(rd->error, path, strerror(read_error));
	text[length] = '\0';
	if (!parse_limit(text, &bytes))
		return trouble_at(rd->error, path, "not a limit");
	note_limit(rd, path, bytes);
	return STATUS_OK;
}

/* Version 1: the tightest of the group's limit and all above it, those that are not seen from inside of a container
 * included. Without use_hierarchy it is the group's own. */
static enum status read_hierarchical_limit(struct reading *rd, const char *path)
{
	unsigned long long bytes;
	char *line = NULL;
	size_t size = 0;
	FILE *in = fopen(path, "re");

	if (in == NULL)
		return not_there(errno) ? note_absence(rd, path) : trouble_at(rd->error, path, strerror(errno));
	while (getline(&line, &size, in) > 0)
		if (sscanf(line, "hierarchical_memory_limit %llu", &bytes) == 1)
			note_limit(rd, path, bytes);
	free(line);
	fclose(in);
	return STATUS_OK;
}

/* From the group up to the mount. */
static enum status read_upwards(struct reading *rd, enum cgroup_version v, const char *group)
{
	const struct cgroup_mount *mount = &rd->cg->mounts[v];
	const char *below = path_below(mount->top, group);
	char path[CGROUP_FILE_BYTES];
	int top = snprintf(path, WHOLE_PATH_BYTES, "%s%s", rd->cg->root, mount->point);

	if (top < 0 || (size_t)top + strlen(group) >= WHOLE_PATH_BYTES)
		return trouble(rd->error, "the path of the control group is too long");
	char *end = path + top;

	if (below != NULL)
		end = stpcpy(end, below);
	if (v == CGROUP_V1) {
		snprintf(end, FILE_NAME_BYTES, "/memory.stat");
		if (read_hierarchical_limit(rd, path) != STATUS_OK)
			return STATUS_SYSTEM;
	}
	for (;;) {
		for (unsigned i = 0; i < FILES_MAX && versions[v].files[i] != NULL; i++) {
			snprintf(end, FILE_NAME_BYTES, "/%s", versions[v].files[i]);
			if (read_limit(rd, path) != STATUS_OK)
				return STATUS_SYSTEM;
		}
		if (end == path + top)
			return STATUS_OK;
		while (*--end != '/') {
			/* to the group above */
		}
	}
}

enum status cgroup_read(struct cgroup *cg, struct cgroup_limit *limit, char error[CGROUP_ERROR_BYTES])
{
	struct reading rd = { .cg = cg, .error = error, .least = UINT64_MAX };
	struct groups gr;

	if (read_groups(cg, &gr, error) != STATUS_OK)
		return STATUS_SYSTEM;
	for (unsigned v = 0; v < CGROUP_VERSION_COUNT; v++) {
		if (!cg->mounts[v].there || gr.path[v][0] == '\0')
			continue;
		if (read_upwards(&rd, (enum cgroup_version)v, gr.path[v]) != STATUS_OK)
			return STATUS_SYSTEM;
	}
	/* Version 1 has a number near 2^63 for no limit, which is above any memory as well. */
	limit->is_physical = rd.least >= cg->physical_bytes;
	limit->bytes = MIN(rd.least, cg->physical_bytes);
	strcpy(cg->file, limit->is_physical ? "" : rd.file);
	return STATUS_OK;
}

enum status cgroup_init(struct cgroup *cg, const char *root, char error[CGROUP_ERROR_BYTES])
{
	struct groups gr;

	memset(cg, 0, sizeof(*cg));
	cg->root = root;
	if (read_physical(cg, error) != STATUS_OK || read_groups(cg, &gr, error) != STATUS_OK)
		return STATUS_SYSTEM;
	find_mounts(cg, &gr);
	return STATUS_OK;
}
