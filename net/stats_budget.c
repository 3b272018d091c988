/* stats_budget.c: stats budget, where the memory is: by account, and as the system counts it. */
#include "net/stats_kinds.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* A field of /proc/self/status in kilobytes, as bytes; 0 when it cannot be had. */
static uint64_t process_status_bytes(const char *field)
{
	char text[4096];
	int fd = open("/proc/self/status", O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		return 0;
	ssize_t length = read(fd, text, sizeof(text) - 1);
	close(fd);
	if (length <= 0)
		return 0;
	text[length] = '\0';
	const char *line = strstr(text, field);
	return line == NULL ? 0 : strtoull(line + strlen(field), NULL, 10) * 1024;
}

/* Blocks in use, by their size. */
static void stats_buffers(struct conn *c)
{
	const struct buffer_pool *pool = &c->worker->server->buffers;
	char name[40];

	for (uint8_t i = 0; i < BUFFER_SIZE_COUNT; i++) {
		snprintf(name, sizeof(name), "buffers_of_%u", buffer_pool_block_bytes(i));
		stat_number(c, name, block_pool_used_blocks(&pool->sizes[i]));
	}
}

void stats_budget(struct conn *c)
{
	const struct budget *b = c->worker->server->budget;

	stat_number(c, "limit_maxbytes", c->worker->server->limit_bytes);
	stat_number(c, "limit", budget_limit(b));
	stat_number(c, "used", budget_used(b));
	stat_number(c, "peak", atomic_load_explicit(&((struct budget *)(uintptr_t)b)->peak_bytes,
						    memory_order_relaxed));
	for (unsigned i = 0; i < ACCOUNT_COUNT; i++)
		stat_number(c, account_label((enum account)i), budget_account(b, (enum account)i));
	stats_buffers(c);
	stat_number(c, "resident", process_status_bytes("\nVmRSS:"));
	stat_number(c, "resident_peak", process_status_bytes("\nVmHWM:"));
	conn_reply(c, REPLY_END);
}
