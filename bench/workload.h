/*
 * workload.h: what is asked of the server: the mix of commands, their bytes, the values, and
 * whether an answer is right.
 *
 * A key has one value for ever: its length is drawn from the key's number, its bytes are a slice of
 * one random block that begins where the number says. A value can therefore be checked without
 * remembering what was written, and a reply for the wrong key is noticed.
 */
#ifndef LARDER_BENCH_WORKLOAD_H
#define LARDER_BENCH_WORKLOAD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "bench/client.h"
#include "bench/keyspace.h"
#include "bench/sizes.h"

#define WORKLOAD_VALUE_BYTES_MAX (1u << 30)
#define WORKLOAD_MULTIGET_MAX 10000

enum op_kind {
	OP_GET,
	OP_GETS,
	OP_GAT,
	OP_MG,
	OP_SET,
	OP_ADD,
	OP_REPLACE,
	OP_MS,
	OP_DELETE,
	OP_MD,
	OP_TOUCH,
	OP_KIND_COUNT,
};

/* Latencies are kept apart for these. */
enum op_class { OP_READ, OP_WRITE, OP_OTHER, OP_CLASS_COUNT };

struct workload_options {
	const char *mix; /* "get=90,set=10" */
	uint64_t key_count;
	const char *order, *key_sizes, *value_sizes;
	unsigned multiget;
	uint32_t ttl_min_s, ttl_max_s;
	bool verify;
};

struct workload {
	/* const after init */
	struct keyspace keys;
	struct sizes value_sizes;
	unsigned multiget;
	uint32_t ttl_min_s, ttl_max_s;
	bool verify;
	enum op_kind only_kind; /* OP_KIND_COUNT when the mix has several */
	double mix_bounds[OP_KIND_COUNT];
	char *values; /* the random block */
};

/* One command on its way: what its answer is measured and checked against. */
struct op {
	uint64_t start_ns;
	uint32_t key; /* of a command with one key */
	uint16_t key_count;
	uint8_t kind;
	bool is_fill; /* a set that answers a miss */
};

/* False with a message in error (SIZES_ERROR_BYTES). */
bool workload_init(struct workload *wl, const struct workload_options *options, char *error);
void workload_fini(struct workload *wl);

const char *op_kind_name(enum op_kind kind);
enum op_class op_kind_class(enum op_kind kind);

/* The next command's kind, by the mix. */
enum op_kind workload_next_kind(const struct workload *wl, struct random_state *rs);

/* Writes one command. For kinds that read several keys, the further ones come from the cursor. */
void workload_write(const struct workload *wl, struct client *cl, struct keyspace_cursor *cursor,
		    enum op_kind kind, uint64_t key, struct op *op);

/* Whether a value that was read is the one that belongs to the key of op, or, where op has several
 * keys, to the key that the reply names. */
bool workload_verify(const struct workload *wl, const struct op *op, const struct reply *rp);

/* The length of a key's value. */
uint32_t workload_value_bytes(const struct workload *wl, uint64_t key);

#endif
