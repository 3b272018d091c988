#include "eviction/ghost.h"

#include <string.h>

#if defined(__SSE2__) && !defined(THREAD_SANITIZED)
#include <emmintrin.h>
#endif

#define ORIGIN_BIT 0x8000u
#define FINGERPRINT_MASK 0x7fffu

_Static_assert(sizeof(struct ghost_bucket) == CACHE_LINE_BYTES, "a bucket is a cache line");

enum status ghost_init(struct ghost_table *g, const struct policy_memory *memory,
                       uint64_t entries_max)
{
	*g = (struct ghost_table){ .memory = *memory };
	lock_init(&g->lock);
	return region_reserve(&g->region,
	                      (entries_max / GHOST_BUCKET_ENTRIES + 2) * sizeof(struct ghost_bucket),
	                      false);
}

void ghost_fini(struct ghost_table *g)
{
	if (g->charged_bytes)
		g->memory.give(g->memory.context, g->charged_bytes);
	region_release(&g->region);
}

/* ---- size ---- */

static struct ghost_bucket *bucket_at(const struct ghost_table *g, uint32_t index)
{
	return (struct ghost_bucket *)g->region.base + index;
}

/* All ones, as many as name `count` buckets. */
static uint32_t mask_for(uint32_t count)
{
	return count > 1 ? UINT32_MAX >> __builtin_clz(count - 1) : 0;
}

/* One bucket more: a copy of the one that its keys lay in until now. */
static void append_bucket(struct ghost_table *g, uint32_t count)
{
	uint32_t parent = count & (mask_for(count + 1) >> 1);

	if (atomic_load_explicit(&g->used, memory_order_relaxed)) {
		struct ghost_bucket *from = bucket_at(g, parent), *to = bucket_at(g, count);

		for (unsigned i = 0; i < GHOST_BUCKET_ENTRIES; i++)
			atomic_store_explicit(&to->entries[i],
			                      atomic_load_explicit(&from->entries[i],
			                                           memory_order_relaxed),
			                      memory_order_relaxed);
	}
	/* release: pairs with the acquire in bucket_of */
	atomic_store_explicit(&g->bucket_count, count + 1, memory_order_release);
}

static uint64_t bytes_for(uint32_t count)
{
	return ALIGN_UP((uint64_t)count * sizeof(struct ghost_bucket), (uint64_t)OS_PAGE_BYTES);
}

static void grow(struct ghost_table *g, uint32_t count, uint32_t wanted)
{
	for (; count < wanted; count++) {
		uint64_t bytes = bytes_for(count + 1);

		if (bytes > g->charged_bytes) {
			if (!g->memory.take(g->memory.context, bytes - g->charged_bytes))
				return;
			g->charged_bytes = bytes;
		}
		append_bucket(g, count);
	}
}

static void shrink(struct ghost_table *g, uint32_t wanted)
{
	uint64_t bytes = bytes_for(wanted);

	atomic_store_explicit(&g->bucket_count, wanted, memory_order_release);
	if (bytes == g->charged_bytes)
		return;
	region_drop(&g->region, bytes, g->charged_bytes - bytes);
	g->memory.give(g->memory.context, g->charged_bytes - bytes);
	g->charged_bytes = bytes;
}

void ghost_resize(struct ghost_table *g, int64_t entries)
{
	lock_acquire(&g->lock);
	g->wanted_entries += (uint64_t)entries;
	uint32_t count = atomic_load_explicit(&g->bucket_count, memory_order_relaxed);
	uint64_t wanted = MIN(g->wanted_entries / GHOST_BUCKET_ENTRIES,
	                      g->region.size_bytes / sizeof(struct ghost_bucket));

	if (wanted > count)
		grow(g, count, (uint32_t)wanted);
	else if (wanted < count)
		shrink(g, (uint32_t)wanted);
	lock_release(&g->lock);
}

/* ---- entries ---- */

/* NULL while the table has no bucket. */
static struct ghost_bucket *bucket_of(const struct ghost_table *g, uint64_t hash)
{
	uint32_t count = atomic_load_explicit(&((struct ghost_table *)g)->bucket_count,
	                                      memory_order_acquire);
	uint32_t mask = mask_for(count);
	uint32_t index = (uint32_t)(hash >> 16) & mask;

	if (count == 0)
		return NULL;
	return bucket_at(g, index < count ? index : index & (mask >> 1));
}

static uint16_t fingerprint_of(uint64_t hash)
{
	uint16_t fingerprint = (uint16_t)(hash >> 48) & FINGERPRINT_MASK;

	return fingerprint ? fingerprint : 1;
}

void ghost_prefetch(const struct ghost_table *g, uint64_t hash)
{
	struct ghost_bucket *b = bucket_of(g, hash);

	if (b)
		prefetch_to_write(b);
}

void ghost_add(struct ghost_table *g, uint64_t hash, enum ghost_origin origin)
{
	struct ghost_bucket *b = bucket_of(g, hash);
	uint16_t entry = fingerprint_of(hash) | (origin == GHOST_PROVEN ? ORIGIN_BIT : 0);

	if (!b)
		return;
	if (unlikely(!atomic_load_explicit(&g->used, memory_order_relaxed)))
		atomic_store_explicit(&g->used, true, memory_order_relaxed);
	uint16_t at = atomic_load_explicit(&b->cursor, memory_order_relaxed) % GHOST_BUCKET_ENTRIES;

	atomic_store_explicit(&b->entries[at], entry, memory_order_relaxed);
	atomic_store_explicit(&b->cursor, (uint16_t)(at + 1), memory_order_relaxed);
}

/* Bit i: the i-th 16 bits of the bucket hold the fingerprint, whatever the origin. */
static uint32_t match(struct ghost_bucket *b, uint16_t fingerprint)
{
	uint32_t found = 0;

#if defined(__SSE2__) && !defined(THREAD_SANITIZED)
	__m128i wanted = _mm_set1_epi16((short)fingerprint);
	__m128i mask = _mm_set1_epi16(FINGERPRINT_MASK);

	for (unsigned i = 0; i < 4; i += 2) {
		const __m128i *line = (const __m128i *)(const void *)b + i;
		__m128i low = _mm_cmpeq_epi16(_mm_and_si128(_mm_load_si128(line), mask), wanted);
		__m128i high = _mm_cmpeq_epi16(_mm_and_si128(_mm_load_si128(line + 1), mask), wanted);

		found |= (uint32_t)_mm_movemask_epi8(_mm_packs_epi16(low, high)) << (i * 8);
	}
	return found & ~1u; /* the cursor */
#else
	for (unsigned i = 0; i < GHOST_BUCKET_ENTRIES; i++)
		if ((atomic_load_explicit(&b->entries[i], memory_order_relaxed) & FINGERPRINT_MASK) ==
		    fingerprint)
			found |= 2u << i;
	return found;
#endif
}

enum ghost_origin ghost_take(struct ghost_table *g, uint64_t hash)
{
	struct ghost_bucket *b = bucket_of(g, hash);

	if (!b)
		return GHOST_NONE;
	uint32_t found = match(b, fingerprint_of(hash));

	if (!found)
		return GHOST_NONE;
	_Atomic uint16_t *entry = &b->entries[__builtin_ctz(found) - 1];
	uint16_t value = atomic_load_explicit(entry, memory_order_relaxed);

	atomic_store_explicit(entry, 0, memory_order_relaxed);
	return value & ORIGIN_BIT ? GHOST_PROVEN : GHOST_UNPROVEN;
}

void ghost_check(const struct ghost_table *g)
{
	uint32_t count = g->bucket_count;

	assert(bytes_for(count) <= g->charged_bytes);
	assert(count <= g->wanted_entries / GHOST_BUCKET_ENTRIES);
	for (uint32_t i = 0; i < count && g->used; i++) {
		const struct ghost_bucket *b = bucket_at(g, i);

		assert(b->cursor <= GHOST_BUCKET_ENTRIES);
		for (unsigned k = 0; k < GHOST_BUCKET_ENTRIES; k++)
			assert(b->entries[k] == 0 || (b->entries[k] & FINGERPRINT_MASK) != 0);
	}
}
