/* stats_conns.c: stats conns, a connection a step. */
#include "net/stats_kinds.h"

#include "net/peer.h"

struct conns_task {
	struct task task;
	bool listening_done;
	uint64_t cursor;
};

static void listening_line(void *context, int fd, const char *address)
{
	struct conn *c = context;

	conn_printf(c,
		    "STAT %d:addr %s\r\nSTAT %d:state conn_listening\r\n"
		    "STAT %d:secs_since_last_cmd %u\r\n",
		    fd, address, fd, fd, c->worker->now - CLOCK_FIRST_SECOND);
}

static const char *state_name(enum conn_state state)
{
	static const char *const names[] = {
		[CONN_NONE] = "conn_closed",     [CONN_READING] = "conn_read",
		[CONN_FILLING] = "conn_nread",   [CONN_BLOCKED] = "conn_mwrite",
		[CONN_WATCHING] = "conn_watch",
	};
	return names[state];
}

/* `other` may end at any time: what is read of it may then be of a connection that is no more. */
static void conns_line(struct conn *c, struct conn *other)
{
	int fd = atomic_load_explicit(&other->fd, memory_order_relaxed);
	enum conn_state state = atomic_load_explicit(&other->state, memory_order_relaxed);
	uint32_t last = atomic_load_explicit(&other->last_command, memory_order_relaxed);
	enum transport transport = (enum transport)other->transport;
	char peer[PEER_TEXT_BYTES], local[PEER_TEXT_BYTES];

	if (state == CONN_NONE || !peer_text(peer, fd, transport) ||
	    !peer_local_text(local, fd, transport))
		return;
	conn_printf(c,
		    "STAT %d:addr %s\r\nSTAT %d:listen_addr %s\r\nSTAT %d:state %s\r\n"
		    "STAT %d:secs_since_last_cmd %u\r\n",
		    fd, peer, fd, local, fd, other == c ? "conn_parse_cmd" : state_name(state), fd,
		    c->worker->now - MIN(last, c->worker->now));
}

static bool step_conns(struct conn *c, struct task *t)
{
	struct conns_task *ct = (struct conns_task *)t;
	struct server *sv = c->worker->server;

	if (!ct->listening_done) {
		ct->listening_done = true;
		if (sv->options.list_sockets != NULL)
			sv->options.list_sockets(sv->options.owner, listening_line, c);
		return true;
	}
	struct conn *other = block_pool_next(&sv->connections, &ct->cursor);
	if (other == NULL) {
		conn_reply(c, REPLY_END);
		return false;
	}
	conns_line(c, other);
	return true;
}

void stats_conns(struct conn *c)
{
	conn_start_task(c, sizeof(struct conns_task), step_conns);
}
