#include "eviction/ghost.h"

#include <string.h>

#if defined(__SSE2__) && !defined(THREAD_SANITIZED)
#include <emmintrin.h>
#endif

#define ORIGIN_BIT 0x8000u
#define FINGERPRINT_MASK 0x7fffu

#define CURSOR 0u /* of the words of a line; entries are the others */

_Static_assert(GHOST_LINE_ENTRIES + 1 == CACHE_LINE_BYTES / 2, "a line is a cursor and its entries");

enum status ghost_init(struct ghost_table *g, const struct policy_memory *memory,
                       uint64_t entries_max)
{
	return lines_init(&g->lines, memory, entries_max / GHOST_LINE_ENTRIES);
}

void ghost_fini(struct ghost_table *g)
{
	lines_fini(&g->lines);
}

void ghost_resize(struct ghost_table *g, int64_t entries)
{
	lines_resize(&g->lines, entries, GHOST_LINE_ENTRIES);
}

static uint16_t fingerprint_of(uint64_t hash)
{
	uint16_t fingerprint = (uint16_t)(hash >> 48) & FINGERPRINT_MASK;

	return fingerprint ? fingerprint : 1;
}

void ghost_prefetch(const struct ghost_table *g, uint64_t hash)
{
	struct line *b = line_of(&g->lines, hash);

	if (b)
		prefetch_to_write(b);
}

void ghost_add(struct ghost_table *g, uint64_t hash, enum ghost_origin origin)
{
	struct line *b = line_of(&g->lines, hash);
	uint16_t entry = fingerprint_of(hash) | (origin == GHOST_PROVEN ? ORIGIN_BIT : 0);

	if (!b)
		return;
	lines_use(&g->lines);
	uint16_t at = atomic_load_explicit(&b->words[CURSOR], memory_order_relaxed) % GHOST_LINE_ENTRIES;

	atomic_store_explicit(&b->words[1 + at], entry, memory_order_relaxed);
	atomic_store_explicit(&b->words[CURSOR], (uint16_t)(at + 1), memory_order_relaxed);
}

/* Bit i: the i-th word of the line holds the fingerprint, whatever the origin. */
static uint32_t match(struct line *b, uint16_t fingerprint)
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
	for (unsigned i = 1; i <= GHOST_LINE_ENTRIES; i++)
		if ((atomic_load_explicit(&b->words[i], memory_order_relaxed) & FINGERPRINT_MASK) ==
		    fingerprint)
			found |= 1u << i;
	return found;
#endif
}

enum ghost_origin ghost_take(struct ghost_table *g, uint64_t hash)
{
	struct line *b = line_of(&g->lines, hash);

	if (!b)
		return GHOST_NONE;
	uint32_t found = match(b, fingerprint_of(hash));

	if (!found)
		return GHOST_NONE;
	_Atomic uint16_t *entry = &b->words[__builtin_ctz(found)];
	uint16_t value = atomic_load_explicit(entry, memory_order_relaxed);

	atomic_store_explicit(entry, 0, memory_order_relaxed);
	return value & ORIGIN_BIT ? GHOST_PROVEN : GHOST_UNPROVEN;
}

void ghost_check(const struct ghost_table *g)
{
	lines_check(&g->lines);
	for (uint32_t i = 0; i < lines_count(&g->lines); i++) {
		const struct line *b = line_at(&g->lines, i);

		assert(b->words[CURSOR] <= GHOST_LINE_ENTRIES);
		for (unsigned k = 1; k <= GHOST_LINE_ENTRIES; k++)
			assert(b->words[k] == 0 || (b->words[k] & FINGERPRINT_MASK) != 0);
	}
}
