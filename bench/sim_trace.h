/*
 * sim_trace.h: a whole trace in memory, for simulations that go over it many times: keys as numbers
 * from 0, what each weighs, and for Belady's policy when each is used next.
 */
#ifndef LARDER_BENCH_SIM_TRACE_H
#define LARDER_BENCH_SIM_TRACE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SIM_NEVER UINT32_MAX

struct sim_trace {
	const char *path;  /* borrowed */
	char name[64];     /* the file's, without directory and endings */
	uint32_t request_count;
	uint32_t key_count;
	uint32_t *keys;    /* of each request */
	uint32_t *weights; /* of each key, bytes when it was first seen; 1 for all when not sized */
	uint32_t *next;    /* of each request, the next request of its key, SIM_NEVER for none */
	uint64_t weight_sum;
	bool sized;        /* every request has a size */
};

/* Ends the tool with a line when the file is no trace. by_bytes: weights are sizes. */
void sim_trace_load(struct sim_trace *t, const char *path, bool by_bytes);
void sim_trace_free(struct sim_trace *t);

/* A key's hash: well mixed, the same in every run. */
uint64_t sim_hash(uint32_t key);

#endif
