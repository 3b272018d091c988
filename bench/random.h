/*
 * random.h: seeded random numbers for the load tools: xoshiro256++ (D. Blackman and S. Vigna,
 * "Scrambled Linear Pseudorandom Number Generators", 2021), its state filled by splitmix64.
 */
#ifndef LARDER_BENCH_RANDOM_H
#define LARDER_BENCH_RANDOM_H

#include <stdint.h>

struct random_state {
	uint64_t s[4];
};

/* A bijection that leaves no pattern; also a hash for keys' numbers. */
static inline uint64_t random_mix(uint64_t x)
{
	x += UINT64_C(0x9e3779b97f4a7c15);
	x = (x ^ (x >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
	x = (x ^ (x >> 27)) * UINT64_C(0x94d049bb133111eb);
	return x ^ (x >> 31);
}

static inline void random_init(struct random_state *rs, uint64_t seed)
{
	for (int i = 0; i < 4; i++)
		rs->s[i] = random_mix(seed + (uint64_t)i * UINT64_C(0x9e3779b97f4a7c15));
}

static inline uint64_t random_rotate(uint64_t x, int bits)
{
	return (x << bits) | (x >> (64 - bits));
}

static inline uint64_t random_u64(struct random_state *rs)
{
	uint64_t *s = rs->s;
	uint64_t result = random_rotate(s[0] + s[3], 23) + s[0];
	uint64_t t = s[1] << 17;

	s[2] ^= s[0];
	s[3] ^= s[1];
	s[1] ^= s[2];
	s[0] ^= s[3];
	s[2] ^= t;
	s[3] = random_rotate(s[3], 45);
	return result;
}

/* The bits of a random number as one in [0, 1). */
static inline double random_unit(uint64_t bits)
{
	return (double)(bits >> 11) * 0x1p-53;
}

static inline double random_double(struct random_state *rs)
{
	return random_unit(random_u64(rs));
}

/* One of 0 .. n-1. n is far below 2^64: the bias of a multiplication does not show. */
static inline uint64_t random_below(struct random_state *rs, uint64_t n)
{
	return (uint64_t)(((unsigned __int128)random_u64(rs) * n) >> 64);
}

#endif
