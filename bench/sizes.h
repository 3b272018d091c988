/*
 * sizes.h: distributions of sizes in bytes: of values, and of keys.
 *
 *	100          always 100
 *	10-1000      uniform, both ends included
 *	etc, usr     two of Facebook's pools as B. Atikoglu, Y. Xu, E. Frachtenberg, S. Jiang and
 *	             M. Paleczny describe them ("Workload Analysis of a Large-Scale Key-Value Store",
 *	             SIGMETRICS 2012): for ETC key sizes a generalized extreme value distribution
 *	             (30.7984, 8.20449, 0.078688), for values a table up to 14 bytes and a generalized
 *	             Pareto distribution (214.476, 0.348238) from 15 on; for USR keys of 16 and 21 bytes
 *	             (the shares are not printed there: half each here) and values of 2
 *	file:PATH    lines "size [weight]"
 *
 * A size is a function of a random number that the caller brings; a caller that derives it from a
 * key's number gives each key one size for ever.
 */
#ifndef LARDER_BENCH_SIZES_H
#define LARDER_BENCH_SIZES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SIZES_ERROR_BYTES 256

enum sizes_kind {
	SIZES_FIXED,
	SIZES_UNIFORM,
	SIZES_ETC_KEY,
	SIZES_ETC_VALUE,
	SIZES_USR_KEY,
	SIZES_FILE,
};

enum sizes_use { SIZES_OF_KEYS, SIZES_OF_VALUES };

struct sizes {
	enum sizes_kind kind;
	uint32_t min_bytes, max_bytes; /* every size is within */
	/* SIZES_FILE: the i-th size holds random numbers below the i-th bound */
	uint32_t *file_sizes;
	double *file_bounds;
	size_t file_count;
};

/* Parses a description. limit_bytes: the largest size allowed. False with a message in error
 * (SIZES_ERROR_BYTES). */
bool sizes_init(struct sizes *sz, const char *text, enum sizes_use use, uint32_t limit_bytes,
		char *error);
void sizes_fini(struct sizes *sz);

/* The size that belongs to 64 random bits. */
uint32_t sizes_draw(const struct sizes *sz, uint64_t bits);

#endif
