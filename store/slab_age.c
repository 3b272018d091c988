/* slab_age.c: idle times in a byte each, see slab.h. */
#include "store/slab.h"

#if defined(__SSE2__)
#include <emmintrin.h>
#endif

uint32_t age_seconds(uint8_t age)
{
	if (age < 64)
		return age;
	if (age < 128)
		return 64 + (age - 64u) * 8;
	if (age < 192)
		return 576 + (age - 128u) * 64;
	return 4672 + (age - 192u) * 1024;
}

/* Ages below this one move on at this tick. */
static uint8_t age_ceiling(uint32_t tick)
{
	return tick % 1024 == 0 ? 255 : tick % 64 == 0 ? 192 : tick % 8 == 0 ? 128 : 64;
}

static void age_one(_Atomic uint8_t *at, uint8_t ceiling)
{
	uint8_t age = atomic_load_explicit(at, memory_order_relaxed);

	if (age < ceiling)
		atomic_store_explicit(at, (uint8_t)(age + 1), memory_order_relaxed);
}

static void age_group(_Atomic uint8_t *ages, uint32_t count, uint8_t ceiling)
{
	uint32_t i = 0;

#if defined(__SSE2__) && !defined(THREAD_SANITIZED)
	/* Plain vectors on purpose: a hit that sets an age to 0 between load and store is lost, which
	 * nothing depends on. */
	__m128i top = _mm_set1_epi8((char)(ceiling - 1));

	for (; i + 16 <= count; i += 16) {
		__m128i *at = (__m128i *)(void *)(ages + i);
		__m128i v = _mm_load_si128(at);
		__m128i below = _mm_cmpeq_epi8(_mm_min_epu8(v, top), v);

		_mm_store_si128(at, _mm_sub_epi8(v, below));
	}
#endif
	for (; i < count; i++)
		age_one(ages + i, ceiling);
}

void age_advance(_Atomic uint8_t *area, uint32_t count, uint32_t tick)
{
	uint8_t ceiling = age_ceiling(tick);

	for (uint32_t i = 0; i < count; i += STATE_GROUP)
		age_group(area + 2 * i + STATE_GROUP, MIN(STATE_GROUP, count - i), ceiling);
}
