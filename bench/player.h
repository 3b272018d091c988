/*
 * player.h: plays an access trace against one server, as an application with a cache would: get;
 * on a miss, set.
 *
 * Requests go out in windows of up to depth gets; the sets for a window's misses leave in front of
 * the next window's gets, on the same connection, so each request costs a share of one round trip.
 * A window is cut before a key that it already holds: a second get sent before the first one's set
 * would count a miss that no application would see. What is counted is therefore what depth 1
 * counts, exactly as long as nothing is evicted; when the cache is full, the evictions of a window
 * happen up to depth requests later than they would, which depth 1 avoids.
 */
#ifndef LARDER_BENCH_PLAYER_H
#define LARDER_BENCH_PLAYER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "bench/client.h"
#include "bench/trace.h"

#define PLAYER_DEPTH_MAX 1024
#define PLAYER_KEY_BYTES_MAX 20

struct player_options {
	unsigned depth;
	bool multiget;             /* one get command for a window */
	uint64_t value_size_bytes; /* of items whose size the trace does not know */
	double ttl_scale;          /* 0: no TTLs; 1: as the trace says */
	int timeout_ms;            /* for an answer */
};

struct player_counts {
	uint64_t requests, hits, misses;
	uint64_t requested_bytes, missed_bytes; /* key and value */
	uint64_t stored, refused;               /* sets: STORED, and everything else */
	uint64_t errors;                        /* gets answered with an error: neither hit nor miss */
	uint64_t windows;
};

struct player_request {
	uint64_t key, value_size_bytes, ttl_s;
	bool missed;
};

struct player {
	/* const after init */
	struct player_options options;
	struct client *client; /* borrowed */
	/* the window */
	struct player_request *window;
	unsigned window_count;
	uint64_t *window_keys; /* open addressing; valid where window_stamps has the window's number */
	uint64_t *window_stamps;
	size_t window_mask;
	unsigned sets_in_flight;
	struct trace_request ahead; /* read, but its key is in the window already */
	bool has_ahead;
	/* values are cut from it; it grows to the largest */
	char *value;
	size_t value_capacity;
	struct player_counts counts;
	char last_refusal[128]; /* the server's words for the last set it refused */
};

enum player_result {
	PLAYER_MORE,
	PLAYER_END,          /* the trace is over, every reply is in */
	PLAYER_TRACE_FAILED, /* trace_error() says why */
	PLAYER_SERVER_FAILED,
};

void player_init(struct player *pl, const struct player_options *options, struct client *client);
void player_fini(struct player *pl);

/* Plays one window. limit: requests to play in all. */
enum player_result player_step(struct player *pl, struct trace_reader *tr, uint64_t limit);

#endif
