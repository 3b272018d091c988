/*
 * hot.h: the keys that one worker's clients read most, from a sample of its gets.
 *
 * One get in HOT_INTERVAL on average, at random so that no rhythm of a client's can hide a key, goes
 * into a table of heavy hitters (heavy.h). All others cost the countdown in struct worker. The table
 * forgets: every HOT_HALF_SECONDS all of it weighs half as much, the time it was counted for too, so
 * that weight by time remains a rate.
 *
 * The worker writes, whoever asks reads under the lock. The worker never waits for it: while somebody
 * reads, its samples are dropped.
 */
#ifndef LARDER_HOT_H
#define LARDER_HOT_H

#include <pthread.h>

#include "net/heavy.h"

/* A sample costs 25 ns (measured, two thirds of them keys that displace another): 0.2 ns a get. */
#define HOT_INTERVAL 128u
#define HOT_HALF_SECONDS 60u
/* A key with more than a 128th of the worker's samples cannot be missed. */
#define HOT_CAPACITY 128u
#define HOT_TEXT_BYTES 250u

struct hot_keys {
	uint64_t random; /* worker only */
	/* under lock */
	pthread_mutex_t lock;
	struct heavy keys; /* weights: samples; tallies: those that missed */
	uint32_t mark;     /* server time of the last halving */
	uint32_t seconds;  /* before the mark, that the weights stand for */
};

size_t hot_bytes(void);
/* hot_init: `memory` of hot_bytes, aligned to 8, remains the caller's. Returns as hot_sample does. */
uint32_t hot_init(struct hot_keys *hk, void *memory, uint64_t seed, uint32_t now);
void hot_fini(struct hot_keys *hk);

/* ---- the worker ---- */

/* hot_sample: counts a get; returns after how many gets comes the next to be counted. */
uint32_t hot_sample(struct hot_keys *hk, uint64_t hash, const char *key, size_t key_length, bool hit);
/* hot_tick: once a second. */
void hot_tick(struct hot_keys *hk, uint32_t now);

/* ---- any thread ---- */

/* hot_merge: adds what is counted to `sum`; returns how many seconds it stands for. */
uint32_t hot_merge(struct hot_keys *hk, uint32_t now, struct heavy *sum);
void hot_reset(struct hot_keys *hk, uint32_t now);

#endif
