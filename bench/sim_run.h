/*
 * sim_run.h: one policy over one trace at one size. The server's policies run as they are, in a
 * cache without values (eviction/mini.h); FIFO and Belady's are here, as the marks to compare with.
 */
#ifndef LARDER_BENCH_SIM_RUN_H
#define LARDER_BENCH_SIM_RUN_H

#include "bench/sim_trace.h"

/* The i-th policy's name, NULL past the last: the server's, then fifo, then belady. */
const char *sim_policy_name(unsigned i);
bool sim_policy_known(const char *name);

/* Misses of a cache of this capacity (in keys, or in what the trace's weights count), demand filled,
 * without warm-up. Thread-safe: runs share nothing but the trace. Ends the tool without memory.
 * FIFO and Belady's policy evict whole keys until there is room, as the others do. */
uint32_t sim_run(const struct sim_trace *t, const char *policy, uint64_t capacity);

#endif
