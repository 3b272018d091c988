/* stats_detail.c: stats detail, commands by the prefix of their keys (prefix.h). */
#include "net/stats_kinds.h"

#include "net/prefix.h"

struct detail_task {
	struct task task;
	uint32_t slot;
};

static bool step_detail(struct conn *c, struct task *t)
{
	struct detail_task *dt = (struct detail_task *)t;
	struct prefix_entry entry;

	if (!prefix_get(c->worker->server->prefixes, &dt->slot, &entry)) {
		conn_reply(c, REPLY_END);
		return false;
	}
	conn_printf(c, "PREFIX %.*s get %llu hit %llu set %llu del %llu\r\n", entry.length, entry.text,
		    (unsigned long long)entry.gets, (unsigned long long)entry.hits,
		    (unsigned long long)entry.sets, (unsigned long long)entry.deletes);
	return true;
}

static void detail_enable(struct conn *c, bool enabled)
{
	struct server *sv = c->worker->server;

	if (!prefix_enable(sv->prefixes, enabled) &&
	    !(store_release_bytes(c->worker->store, PREFIX_SLOTS * sizeof(struct prefix_entry)) &&
	      prefix_enable(sv->prefixes, enabled)))
		conn_reply(c, REPLY_NO_MEMORY);
	else
		conn_reply(c, REPLY_OK);
}

void stats_detail(struct conn *c, const struct words *ws)
{
	if (word_is(ws, 1, "on"))
		detail_enable(c, true);
	else if (word_is(ws, 1, "off"))
		detail_enable(c, false);
	else if (!word_is(ws, 1, "dump"))
		conn_printf(c, "CLIENT_ERROR usage: stats detail on|off|dump\r\n");
	else
		conn_start_task(c, sizeof(struct detail_task), step_detail);
}
