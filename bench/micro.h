/*
 * micro.h: what larder-micro's files share. Keys are numbers written out; the store is used as the request
 * path uses it.
 *
 *     micro.c           options
 *     micro_store.c     a store, and batches of gets and sets
 *     micro_figures.c   what an operation costs, in nanoseconds or instructions
 *     micro_scale.c     throughput of many threads in one store
 */
#ifndef LARDER_BENCH_MICRO_H
#define LARDER_BENCH_MICRO_H

#include <stdint.h>
#include <string.h>

#include "store/store.h"

#define KEY_BYTES 15u
#define VALUE_BYTES 100u
#define BATCH 64u
#define ROUNDS 5u
#define THREADS_MAX 64u

/* Hexadecimal: as few instructions as a key can take. */
static inline void micro_make_key(char *key, uint32_t number)
{
	memcpy(key, "larder:00000000", KEY_BYTES);
	for (unsigned i = KEY_BYTES; number != 0; number >>= 4)
		key[--i] = "0123456789abcdef"[number & 15];
}

/* Ends the tool where there is no memory for it. */
struct store *micro_open_store(uint64_t limit_bytes, unsigned threads);
/* Sets the keys 0 .. key_count - 1: entries of their own, each dependent on one tag, or each a weak reference to
 * an entry of its own. */
enum entries { ENTRIES_PLAIN, ENTRIES_DEPENDENT, ENTRIES_WEAK };
void micro_fill(struct store_thread *st, uint32_t key_count, enum entries entries);
/* One batch through the same passes as the request path; gets leave values in out. behind: what weak
 * references lead to is fetched ahead, too. */
void micro_set_batch(struct store_thread *st, const uint32_t *numbers, const char *value);
void micro_get_batch(struct store_thread *st, const uint32_t *numbers, char *out, bool behind);
/* Least first, so that [ROUNDS / 2] is the median. */
void micro_sort_rounds(double *rounds);

/* All figures, for each of the key counts where keys matter: CPU time, or instructions by callgrind. */
void micro_measure_figures(const uint32_t *key_counts, unsigned count);
void micro_count_figures(const uint32_t *key_counts, unsigned count);
/* The part of it that runs under callgrind: "NAME:KEYS:BATCHES". */
void micro_run_counted(const char *what);

void micro_measure_scaling(uint32_t key_count, unsigned threads_max);

#endif
