/*
 * engine.h: the threads and connections that put a workload on a server.
 *
 * A load runs in phases (populate, warm-up, measurement); between them no request is in flight. Each
 * thread has an epoll set, its share of the connections, counters and histograms of its own; the
 * main thread only reads counters.
 *
 * Closed loop: a connection keeps depth commands in flight; they leave in one send, and the next
 * batch leaves when the last answer is in (or, sliding, each answer is followed by a new command). A
 * latency begins with the send of its batch.
 *
 * Open loop: commands are due at times that do not depend on the server (Poisson or even), and a
 * latency begins when the command was due, whether or not the connection could take it then: what
 * waits behind a slow answer is measured as its users would feel it (no coordinated omission).
 */
#ifndef LARDER_BENCH_ENGINE_H
#define LARDER_BENCH_ENGINE_H

#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>

#include "bench/client.h"
#include "bench/histogram.h"
#include "bench/workload.h"

#define ENGINE_THREADS_MAX 256
#define ENGINE_CONNECTIONS_MAX 100000
#define ENGINE_DEPTH_MAX 65536

struct engine_options {
	const struct client_address *address;
	unsigned thread_count, connection_count;
	unsigned depth;     /* closed: in flight; open: at most in flight */
	bool sliding;       /* closed: do not wait for the whole batch */
	bool fill;          /* a get's miss is followed by a set */
	double rate_per_s;  /* open loop: commands of all connections; 0: closed */
	bool even_arrivals; /* open: instead of Poisson */
	uint64_t seed;
	int timeout_ms; /* without any answer */
};

/* Single writer, the thread; read by the main thread while it runs. */
struct engine_counts {
	uint64_t commands;   /* answered */
	uint64_t operations; /* the same, a multiget counting as its keys */
	uint64_t kinds[OP_KIND_COUNT]; /* operations */
	uint64_t hits, misses;         /* keys read */
	uint64_t fills;
	uint64_t not_stored, not_found; /* writes refused by a condition; deletes and touches */
	uint64_t errors;                /* ERROR, CLIENT_ERROR, SERVER_ERROR */
	uint64_t wrong_values;
	uint64_t sent_bytes, received_bytes;
	uint64_t unsent; /* open: due before the end, not sent by then */
};

enum engine_phase_kind { PHASE_POPULATE, PHASE_RUN };

struct engine_phase {
	enum engine_phase_kind kind;
	uint64_t duration_ns;   /* 0: no limit */
	uint64_t command_limit; /* of all threads; 0: no limit */
};

struct engine;
struct engine_conn;

struct engine_thread {
	/* const after init */
	struct engine *engine;
	unsigned index;
	int epoll_fd;
	struct engine_conn *conns;
	unsigned conn_count;
	/* of the phase; thread only */
	pthread_t pthread;
	struct keyspace_cursor cursor;
	uint64_t populate_next, populate_end;
	uint64_t issue_left, end_ns, start_ns;
	uint64_t in_flight;
	struct engine_conn **heap; /* open loop: connections by when their next command is due */
	unsigned heap_count;
	struct engine_conn **dirty; /* connections with output that was not yet sent */
	unsigned dirty_count;
	uint64_t finished_ns;
	bool running, failed;
	char error[CLIENT_ERROR_BYTES + 64];
	double cpu_s;
	struct histogram latencies[OP_CLASS_COUNT]; /* ns, of commands */
	char last_error[128];                       /* the server's words */
	/* atomic: relaxed, written by the thread, read by the main thread */
	struct engine_counts counts;
};

struct engine {
	struct engine_options options;
	const struct workload *workload;
	struct engine_thread *threads;
	const struct engine_phase *phase;
	uint64_t started_ns;
	const volatile sig_atomic_t *stop; /* set by a signal */
};

/* Connects everything. False: error (CLIENT_ERROR_BYTES + 64) says why. */
bool engine_init(struct engine *en, const struct engine_options *options,
		 const struct workload *workload, const volatile sig_atomic_t *stop, char *error);
void engine_fini(struct engine *en);

/* Starts a phase; returns at once. */
void engine_start(struct engine *en, const struct engine_phase *phase);
/* Waits for its end, for at most wait_ns; true when it has ended. */
bool engine_wait(struct engine *en, uint64_t wait_ns);
/* NULL, or why a thread gave up. */
const char *engine_error(const struct engine *en);

/* The sums over the threads, of the phase that runs or ran last. */
void engine_sum_counts(const struct engine *en, struct engine_counts *sum);
void engine_sum_latencies(const struct engine *en, enum op_class class, struct histogram *sum);
/* CPU seconds of all threads in the phase, and its length up to the last answer. */
double engine_cpu_s(const struct engine *en);
double engine_elapsed_s(const struct engine *en);

#endif
