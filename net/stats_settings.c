/* stats_settings.c: stats settings, the flags as they are by now. */
#include "net/stats_kinds.h"

#include <stdio.h>
#include <string.h>

#include "net/prefix.h"
#include "net/settings.h"

/* "-m", "cgroup:80%", "machine:80%", "cache_memlimit" */
static void limit_source_line(struct conn *c, const char *name)
{
	static const char *const labels[] = {
		[LIMIT_OF_FLAG] = "-m",
		[LIMIT_OF_CGROUP] = "cgroup",
		[LIMIT_OF_MACHINE] = "machine",
		[LIMIT_OF_CLIENT] = "cache_memlimit",
	};
	struct server *sv = c->worker->server;
	enum limit_source source = sv->limit_source;
	char text[40];

	if (source == LIMIT_OF_CGROUP || source == LIMIT_OF_MACHINE)
		snprintf(text, sizeof(text), "%s:%u%%", labels[source],
			 sv->settings->memory_share_percent);
	else
		snprintf(text, sizeof(text), "%s", labels[source]);
	stat_text(c, name, text);
}

/* Some have changed since the flags were read. */
static void setting_line(void *context, const char *name, const char *value)
{
	struct conn *c = context;
	struct server *sv = c->worker->server;

	if (strcmp(name, "maxbytes") == 0)
		stat_number(c, name, sv->limit_bytes);
	else if (strcmp(name, "maxbytes_source") == 0)
		limit_source_line(c, name);
	else if (strcmp(name, "verbosity") == 0)
		stat_number(c, name, (uint64_t)sv->verbosity);
	else if (strcmp(name, "detail_enabled") == 0)
		stat_text(c, name, prefix_wanted(sv->prefixes) ? "yes" : "no");
	else if (strcmp(name, "track_sizes") == 0)
		stat_text(c, name, sv->track_sizes ? "yes" : "no");
	else if (strcmp(name, "lru_crawler") == 0)
		stat_text(c, name, sv->crawler_enabled ? "yes" : "no");
	else if (strcmp(name, "slab_automove") == 0)
		stat_number(c, name, sv->slab_automove);
	else
		stat_text(c, name, value);
}

void stats_settings(struct conn *c)
{
	settings_each(c->worker->server->settings, setting_line, c);
	conn_reply(c, REPLY_END);
}
