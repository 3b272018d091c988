/*
 * engine_internal.h: what the engine's files share.
 *
 *     engine.c        threads, phases, sums
 *     engine_pace.c   when commands leave: the closed loop, the open loop
 *     engine_conn.c   one connection: commands out, answers in
 *
 * All of it is called by the thread that the connection belongs to.
 */
#ifndef LARDER_BENCH_ENGINE_INTERNAL_H
#define LARDER_BENCH_ENGINE_INTERNAL_H

#include "bench/engine.h"

struct epoll_event;

#define ENGINE_POPULATE_DEPTH 64

struct engine_conn {
	struct client client;
	struct op *ring; /* commands in flight, oldest at head */
	uint32_t ring_mask, head, tail;
	uint32_t found;  /* values that the oldest command has got */
	uint32_t *fills; /* keys to be set because they were missed */
	uint32_t fill_count;
	uint64_t due_ns; /* open loop: of its next command */
	bool in_heap, is_dirty, waits_output;
};

static inline void count_add(uint64_t *count, uint64_t n)
{
	/* Pairs with the loads of engine_sum_counts(): no tearing, no order wanted. */
	__atomic_store_n(count, *count + n, __ATOMIC_RELAXED);
}

static inline uint32_t conn_in_flight(const struct engine_conn *conn)
{
	return conn->tail - conn->head;
}

/* Ends the thread's phase; the first reason stays. */
__attribute__((format(printf, 2, 3))) void engine_fail(struct engine_thread *th, const char *format,
						       ...);

/* Connects, and takes memory for what may be in flight. False: error (CLIENT_ERROR_BYTES + 64) says why. */
bool engine_connect(struct engine_thread *th, struct engine_conn *conn, char *error);
void engine_conn_fini(struct engine_conn *conn);

/* Writes the workload's next command, or a set for each key that was missed, into the connection's buffer. */
void engine_issue(struct engine_thread *th, struct engine_conn *conn, uint64_t start_ns);
void engine_issue_fills(struct engine_thread *th, struct engine_conn *conn, uint64_t start_ns);
/* Sends what is written; asks for an event if the socket takes no more. */
void engine_flush(struct engine_thread *th, struct engine_conn *conn);
/* Handles one event of a connection; the caller sends what follows from it. */
void engine_handle_event(struct engine_thread *th, const struct epoll_event *event);

/* The thread's phase from its first command to its last answer. */
void engine_run_closed(struct engine_thread *th);
void engine_run_open(struct engine_thread *th);

#endif
