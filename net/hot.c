#include "net/hot.h"

/* After so many halvings in one go, nothing is left that could be halved. */
#define HALVINGS_MAX 32u

size_t hot_bytes(void)
{
	return heavy_bytes(HOT_CAPACITY, HOT_TEXT_BYTES);
}

/* 1 .. 2 * HOT_INTERVAL - 1, by xorshift64 (G. Marsaglia, 2003). */
static uint32_t next_interval(struct hot_keys *hk)
{
	hk->random ^= hk->random << 13;
	hk->random ^= hk->random >> 7;
	hk->random ^= hk->random << 17;
	return 1 + (uint32_t)((hk->random >> 32) * (2 * HOT_INTERVAL - 1) >> 32);
}

uint32_t hot_init(struct hot_keys *hk, void *memory, uint64_t seed, uint32_t now)
{
	*hk = (struct hot_keys){.random = seed | 1, .mark = now};
	pthread_mutex_init(&hk->lock, NULL);
	heavy_init(&hk->keys, memory, HOT_CAPACITY, HOT_TEXT_BYTES);
	return next_interval(hk);
}

void hot_fini(struct hot_keys *hk)
{
	pthread_mutex_destroy(&hk->lock);
}

uint32_t hot_sample(struct hot_keys *hk, uint64_t hash, const char *key, size_t key_length, bool hit)
{
	if (pthread_mutex_trylock(&hk->lock) == 0) {
		heavy_add(&hk->keys, hash, key, key_length, 1, !hit);
		pthread_mutex_unlock(&hk->lock);
	}
	return next_interval(hk);
}

static void forget(struct hot_keys *hk, uint32_t now)
{
	if (now < hk->mark) /* debugtime moved it back */
		hk->mark = now;
	for (unsigned i = 0; i < HALVINGS_MAX && now - hk->mark >= HOT_HALF_SECONDS; i++) {
		heavy_halve(&hk->keys);
		hk->seconds = (hk->seconds + HOT_HALF_SECONDS) / 2;
		hk->mark += HOT_HALF_SECONDS;
	}
	if (now - hk->mark >= HOT_HALF_SECONDS)
		hk->mark = now;
}

void hot_tick(struct hot_keys *hk, uint32_t now)
{
	if (pthread_mutex_trylock(&hk->lock) == 0) {
		forget(hk, now);
		pthread_mutex_unlock(&hk->lock);
	}
}

uint32_t hot_merge(struct hot_keys *hk, uint32_t now, struct heavy *sum)
{
	pthread_mutex_lock(&hk->lock);
	forget(hk, now);
	heavy_merge(sum, &hk->keys);
	uint32_t seconds = hk->seconds + now - hk->mark;
	pthread_mutex_unlock(&hk->lock);
	return seconds;
}

void hot_reset(struct hot_keys *hk, uint32_t now)
{
	pthread_mutex_lock(&hk->lock);
	heavy_clear(&hk->keys);
	hk->mark = now;
	hk->seconds = 0;
	pthread_mutex_unlock(&hk->lock);
}
