/* test_cgroup.c: what the system grants, read from trees of files that look like a system's. */
#include <criterion/criterion.h>
#include <ftw.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "net/cgroup.h"

#define MB (1ull << 20)
#define PHYSICAL_MB 8192
#define V1_MOUNT "35 31 0:32 / /sys/fs/cgroup/memory rw,relatime shared:9 - cgroup cgroup rw,memory\n"
#define V2_MOUNT "41 31 0:38 / /sys/fs/cgroup rw,nosuid - cgroup2 cgroup2 rw,nsdelegate\n"

static char root[64];
static struct cgroup cg;
static struct cgroup_limit limit;
static char error[CGROUP_ERROR_BYTES];

/* ---- building ---- */

static void write_file(const char *name, const char *format, ...)
{
	char path[2048];
	va_list args;

	snprintf(path, sizeof(path), "%s%s", root, name);
	for (char *c = path + strlen(root) + 1; (c = strchr(c, '/')) != NULL; c++) {
		*c = '\0';
		mkdir(path, 0755);
		*c = '/';
	}
	FILE *out = fopen(path, "w");

	cr_assert_not_null(out, "%s", path);
	va_start(args, format);
	vfprintf(out, format, args);
	va_end(args);
	fclose(out);
}

static void remove_file(const char *name)
{
	char path[2048];

	snprintf(path, sizeof(path), "%s%s", root, name);
	cr_assert_eq(remove(path), 0, "%s", path);
}

static int remove_entry(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	return remove(path);
}

/* A system with so much memory and nothing else. */
static void set_up(void)
{
	strcpy(root, "/tmp/larder-cgroup-XXXXXX");
	cr_assert_not_null(mkdtemp(root));
	write_file("/proc/meminfo", "MemTotal:       %u kB\nMemFree:        1 kB\n", PHYSICAL_MB << 10);
}

static void tear_down(void)
{
	nftw(root, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
}

TestSuite(cgroup, .init = set_up, .fini = tear_down);

static void have_v1(const char *group)
{
	write_file("/proc/self/cgroup", "9:name=systemd:/\n5:cpu,memory,pids:%s\n2:cpuacct:/other\n0::/\n", group);
	write_file("/proc/self/mountinfo", "31 23 0:28 / /sys/fs/cgroup rw - tmpfs tmpfs rw\n"
		   "32 31 0:29 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu\n" V1_MOUNT);
}

static void have_v2(const char *group)
{
	write_file("/proc/self/cgroup", "0::%s\n", group);
	write_file("/proc/self/mountinfo", "23 1 0:5 / /proc rw - proc proc rw\n" V2_MOUNT);
}

static void set_v1(const char *group, const char *text)
{
	char name[1024];

	snprintf(name, sizeof(name), "/sys/fs/cgroup/memory%s/memory.limit_in_bytes", group);
	write_file(name, "%s\n", text);
}

static void set_v2(const char *group, const char *text)
{
	char name[1024];

	snprintf(name, sizeof(name), "/sys/fs/cgroup%s/memory.max", group);
	write_file(name, "%s\n", text);
}

/* ---- asking ---- */

static void start(void)
{
	cr_assert_eq(cgroup_init(&cg, root, error), STATUS_OK, "%s", error);
}

static void grants(uint64_t megabytes)
{
	cr_assert_eq(cgroup_read(&cg, &limit, error), STATUS_OK, "%s", error);
	cr_assert_eq(limit.bytes, megabytes * MB, "%llu", (unsigned long long)limit.bytes);
	cr_assert_eq(limit.is_physical, megabytes == PHYSICAL_MB);
}

static void fails_with(enum status status, const char *word)
{
	cr_assert_eq(status, STATUS_SYSTEM);
	cr_assert_not_null(strstr(error, word), "'%s' is not in '%s'", word, error);
	cr_assert_null(strchr(error, '\n'));
}

/* ---- version 2 ---- */

Test(cgroup, of_version_2_limits_by_memory_max)
{
	have_v2("/shop/cache");
	set_v2("/shop/cache", "268435456");
	start();
	grants(256);
}

Test(cgroup, of_version_2_without_a_limit_says_max)
{
	have_v2("/shop");
	set_v2("/shop", "max");
	start();
	grants(PHYSICAL_MB);
}

Test(cgroup, is_bound_by_the_tightest_of_its_ancestors)
{
	have_v2("/a/b/c");
	set_v2("/a", "536870912");
	set_v2("/a/b", "134217728");
	set_v2("/a/b/c", "1073741824");
	start();
	grants(128);
	set_v2("/a", "67108864");
	grants(64);
	set_v2("/a/b/c", "33554432");
	grants(32);
}

Test(cgroup, without_a_file_of_its_own_is_bound_by_its_ancestors)
{
	have_v2("/a/b/c");
	set_v2("/a", "67108864");
	start();
	grants(64);
}

Test(cgroup, seen_as_the_mount_itself_has_its_limit_there)
{
	have_v2("/");
	set_v2("", "104857600");
	start();
	grants(100);
}

Test(cgroup, of_version_2_limits_by_memory_high_too)
{
	have_v2("/a/b");
	set_v2("/a/b", "268435456");
	write_file("/sys/fs/cgroup/a/b/memory.high", "max\n");
	start();
	grants(256);
	write_file("/sys/fs/cgroup/a/b/memory.high", "134217728\n");
	grants(128);
	write_file("/sys/fs/cgroup/a/memory.high", "67108864\n");
	grants(64);
	set_v2("/a", "33554432");
	grants(32);
	write_file("/sys/fs/cgroup/a/memory.high", "high\n");
	fails_with(cgroup_read(&cg, &limit, error), "a/memory.high: not a limit");
}

/* ---- version 1 ---- */

/* What a container sees of the groups above its own. */
Test(cgroup, of_version_1_limits_by_the_hierarchical_limit_of_its_statistics)
{
	write_file("/proc/self/cgroup", "4:memory:/docker/0a1b\n");
	write_file("/proc/self/mountinfo",
		   "35 31 0:32 /docker/0a1b /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n");
	set_v1("", "268435456");
	write_file("/sys/fs/cgroup/memory/memory.stat",
		   "cache 4096\nhierarchical_memory_limit 134217728\nhierarchical_memsw_limit 1048576\ntotal_cache 4096\n");
	start();
	grants(128);
	write_file("/sys/fs/cgroup/memory/memory.stat", "cache 4096\nhierarchical_memory_limit 9223372036854771712\n");
	grants(256);
	/* The group's own, not that of one above it, which may be wider. */
	have_v1("/shop");
	set_v1("/shop", "268435456");
	write_file("/sys/fs/cgroup/memory/shop/memory.stat", "hierarchical_memory_limit 67108864\n");
	start();
	grants(64);
}


Test(cgroup, of_version_1_limits_by_memory_limit_in_bytes)
{
	have_v1("/shop/cache");
	set_v1("", "9223372036854771712");
	set_v1("/shop", "9223372036854771712");
	set_v1("/shop/cache", "268435456");
	start();
	grants(256);
	set_v1("/shop", "134217728");
	grants(128);
}

Test(cgroup, of_version_1_without_a_limit_has_a_huge_one)
{
	have_v1("/shop");
	set_v1("", "9223372036854771712");
	set_v1("/shop", "9223372036854771712");
	start();
	grants(PHYSICAL_MB);
}

Test(cgroup, of_version_1_is_found_where_the_container_sees_it)
{
	write_file("/proc/self/cgroup", "4:memory:/docker/0123\n");
	write_file("/proc/self/mountinfo",
		   "35 31 0:32 /docker/0123 /sys/fs/cgroup/memory ro - cgroup cgroup rw,memory\n");
	set_v1("", "67108864");
	start();
	grants(64);
}

Test(cgroup, below_what_is_mounted_is_found_by_the_rest_of_its_path)
{
	write_file("/proc/self/cgroup", "4:memory:/docker/0123/inner\n");
	write_file("/proc/self/mountinfo",
		   "35 31 0:32 /docker/012 /elsewhere ro - cgroup cgroup rw,memory\n"
		   "36 31 0:32 /docker/0123 /sys/fs/cgroup/memory ro - cgroup cgroup rw,memory\n");
	set_v1("/inner", "33554432");
	set_v1("", "67108864");
	write_file("/elsewhere/memory.limit_in_bytes", "1048576\n");
	start();
	grants(32);
}

Test(cgroup, outside_of_what_is_mounted_is_bound_by_the_mount)
{
	have_v2("/../../other");
	set_v2("", "67108864");
	write_file("/sys/memory.max", "1048576\n");
	start();
	grants(64);
}

/* ---- both, and neither ---- */

Test(cgroup, of_a_hybrid_system_is_looked_for_in_both_versions)
{
	write_file("/proc/self/cgroup", "4:memory:/shop\n1:name=systemd:/shop\n0::/unit\n");
	write_file("/proc/self/mountinfo", V1_MOUNT
		   "41 31 0:38 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n");
	set_v1("/shop", "134217728");
	start();
	grants(128);
	write_file("/sys/fs/cgroup/unified/unit/memory.max", "67108864\n");
	grants(64);
}

Test(cgroup, missing_leaves_the_physical_memory)
{
	start();
	grants(PHYSICAL_MB);
	write_file("/proc/self/cgroup", "0::/shop\n");
	start();
	grants(PHYSICAL_MB);
}

Test(cgroup, without_mountinfo_is_looked_for_where_it_usually_is)
{
	write_file("/proc/self/cgroup", "4:memory:/shop\n");
	set_v1("/shop", "134217728");
	start();
	grants(128);
	write_file("/proc/self/cgroup", "0::/unit\n");
	set_v2("/unit", "67108864");
	start();
	grants(64);
}

Test(cgroup, of_another_controller_does_not_count)
{
	write_file("/proc/self/cgroup", "4:memoryless,cpu:/shop\n");
	write_file("/proc/self/mountinfo",
		   "35 31 0:32 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memoryless\n");
	set_v1("/shop", "134217728");
	start();
	grants(PHYSICAL_MB);
}

Test(cgroup, above_the_physical_memory_is_no_limit)
{
	have_v2("/shop");
	set_v2("/shop", "1099511627776");
	start();
	grants(PHYSICAL_MB);
}

Test(cgroup, of_a_name_with_blanks_and_of_a_mount_with_blanks_is_found)
{
	write_file("/proc/self/cgroup", "0::/my shop/a:b\n");
	write_file("/proc/self/mountinfo",
		   "41 31 0:38 / /mnt/c\\040group\\134x rw shared:1 master:2 - cgroup2 none rw\n");
	write_file("/mnt/c group\\x/my shop/a:b/memory.max", "67108864\n");
	start();
	grants(64);
}

/* ---- changes ---- */

Test(cgroup, is_read_again_when_its_limit_changes)
{
	have_v2("/shop");
	set_v2("/shop", "268435456");
	start();
	grants(256);
	set_v2("/shop", "134217728");
	grants(128);
	set_v2("/shop", "max");
	grants(PHYSICAL_MB);
	set_v2("/shop", "536870912");
	grants(512);
	/* Was there none, its file may go; nothing is known then that was not. */
	set_v2("/shop", "max");
	grants(PHYSICAL_MB);
	remove_file("/sys/fs/cgroup/shop/memory.max");
	grants(PHYSICAL_MB);
}

Test(cgroup, whose_limit_is_gone_while_it_is_the_same_keeps_it)
{
	have_v2("/a/b");
	set_v2("/a", "268435456");
	set_v2("/a/b", "134217728");
	start();
	grants(128);
	remove_file("/sys/fs/cgroup/a/b/memory.max");
	fails_with(cgroup_read(&cg, &limit, error), "/sys/fs/cgroup/a/b/memory.max: gone");
	cr_assert_not_null(strstr(error, root), "%s", error);
	cr_assert_eq(limit.bytes, 128 * MB);
	remove_file("/sys/fs/cgroup/a/memory.max");
	fails_with(cgroup_read(&cg, &limit, error), "gone");
	set_v2("/a/b", "67108864");
	grants(64);
	remove_file("/proc/self/cgroup");
	fails_with(cgroup_read(&cg, &limit, error), "/proc/self/cgroup");
	cr_assert_eq(limit.bytes, 64 * MB);
	/* Moved to another group, the old one's file means nothing. */
	remove_file("/sys/fs/cgroup/a/b/memory.max");
	have_v2("/c");
	grants(PHYSICAL_MB);
}

Test(cgroup, is_another_one_when_the_process_was_moved)
{
	have_v2("/shop");
	set_v2("/shop", "268435456");
	set_v2("/store", "67108864");
	start();
	grants(256);
	write_file("/proc/self/cgroup", "0::/store\n");
	grants(64);
}

/* ---- trouble ---- */

Test(cgroup, with_garbage_for_a_limit_is_an_error_that_names_the_file)
{
	static const char *const garbage[] = { "", "lots", "12x", "-1", "99999999999999999999999", "maximum", "0x10" };

	have_v2("/shop");
	set_v2("/shop", "268435456");
	start();
	grants(256);
	for (size_t i = 0; i < ARRAY_LENGTH(garbage); i++) {
		set_v2("/shop", garbage[i]);
		fails_with(cgroup_read(&cg, &limit, error), "shop/memory.max");
		cr_assert_eq(limit.bytes, 256 * MB, "%s", garbage[i]);
	}
	set_v2("/shop", "67108864");
	grants(64);
}

Test(cgroup, with_a_limit_that_is_no_file_is_an_error)
{
	have_v2("/shop");
	write_file("/sys/fs/cgroup/shop/memory.max/inside", "1");
	start();
	fails_with(cgroup_read(&cg, &limit, error), "memory.max");
}

Test(cgroup, that_the_system_does_not_name_rightly_is_an_error)
{
	write_file("/proc/self/cgroup", "what is this\n");
	fails_with(cgroup_init(&cg, root, error), "/proc/self/cgroup");
	write_file("/proc/self/cgroup", "0::relative\n");
	fails_with(cgroup_init(&cg, root, error), "/proc/self/cgroup");
	cr_assert_not_null(strstr(error, root), "%s", error);
}

Test(cgroup, of_a_name_or_root_too_long_is_an_error)
{
	static char name[CGROUP_PATH_BYTES + 100], far[4 * CGROUP_PATH_BYTES];

	memset(name, 'x', sizeof(name) - 1);
	write_file("/proc/self/cgroup", "0::/%s\n", name);
	fails_with(cgroup_init(&cg, root, error), "too long");
	memset(far, '/', sizeof(far) - 1);
	fails_with(cgroup_init(&cg, far, error), "meminfo");
}

Test(cgroup, survives_a_mountinfo_of_any_kind)
{
	static const char *const lines[] = {
		"", "\n", " - \n", "1\n", "1 2 3 4 5 - \n", "1 2 3 / /x rw - cgroup2\n", "1 2 3 / /x - cgroup2 none\n",
		"- cgroup2 x rw\n", "1 2 3 \\0 /\\04 rw - cgroup2 x rw\n", "     -  - -\n", "1 2 3 / /x rw - cgroup x ,,memor\n",
	};

	write_file("/proc/self/cgroup", "4:memory:/shop\n0::/shop\n");
	for (size_t i = 0; i < ARRAY_LENGTH(lines); i++) {
		write_file("/proc/self/mountinfo", "%s", lines[i]);
		start();
		grants(PHYSICAL_MB);
	}
}

Test(cgroup, cannot_do_without_the_physical_memory)
{
	write_file("/proc/meminfo", "MemFree: 100 kB\n");
	fails_with(cgroup_init(&cg, root, error), "/proc/meminfo");
	write_file("/proc/meminfo", "MemTotal: some kB\n");
	fails_with(cgroup_init(&cg, root, error), "/proc/meminfo");
	remove_file("/proc/meminfo");
	fails_with(cgroup_init(&cg, root, error), "/proc/meminfo");
}

Test(cgroup, of_this_very_process_can_be_read)
{
	cr_assert_eq(cgroup_init(&cg, "", error), STATUS_OK, "%s", error);
	cr_assert_eq(cgroup_read(&cg, &limit, error), STATUS_OK, "%s", error);
	cr_assert_gt(limit.bytes, 0);
	cr_assert_leq(limit.bytes, cg.physical_bytes);
}
