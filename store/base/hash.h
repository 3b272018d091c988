/*
 * hash.h: XXH3 under a secret made at start, so that nobody outside can choose keys that collide.
 * (xxHash, Yann Collet; the header-only form, to have short keys hashed inline.)
 */
#ifndef LARDER_HASH_H
#define LARDER_HASH_H

#include "store/base/base.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

#define HASH_SECRET_BYTES XXH3_SECRET_DEFAULT_SIZE

struct hash_secret {
	_Alignas(64) uint8_t bytes[HASH_SECRET_BYTES];
};

static inline void hash_secret_init(struct hash_secret *secret, uint64_t seed)
{
	XXH3_generateSecret_fromSeed(secret->bytes, seed);
}

static inline uint64_t hash_key(const struct hash_secret *secret, const void *key, size_t length)
{
	return XXH3_64bits_withSecret(key, length, secret->bytes, HASH_SECRET_BYTES);
}

#endif
