#include "eviction/frequency.h"

#define ROWS 4u
#define ROW_COUNTERS 31u
#define COUNTED 0u /* of the words of a line; counters begin behind it */
#define USES_BEFORE_HALVING (10u * FREQUENCY_LINE_KEYS)
#define WORD_COUNTERS 4u
#define LOW_BITS_OF_COUNTERS 0x7777u

/* Number of the key's counter in this row, among those of the line. */
static unsigned counter_of(uint64_t hash, unsigned row)
{
	/* The line was chosen by other bits: mix, and take 16 for each row. */
	uint32_t piece = (uint32_t)((hash * 0xd6e8feb86659fd93ULL) >> (16 * row)) & 0xffff;

	return row * ROW_COUNTERS + ((piece * ROW_COUNTERS) >> 16);
}

static unsigned counter_get(const struct line *line, unsigned counter)
{
	uint16_t word = atomic_load_explicit(&((struct line *)line)->words[1 + counter / WORD_COUNTERS],
	                                     memory_order_relaxed);

	return word >> (counter % WORD_COUNTERS * 4) & FREQUENCY_MAX;
}

static void counter_increment(struct line *line, unsigned counter)
{
	_Atomic uint16_t *word = &line->words[1 + counter / WORD_COUNTERS];
	uint16_t value = atomic_load_explicit(word, memory_order_relaxed);

	atomic_store_explicit(word, (uint16_t)(value + (1u << (counter % WORD_COUNTERS * 4))),
	                      memory_order_relaxed);
}

static void halve(struct line *line)
{
	for (unsigned i = 1; i < ARRAY_LENGTH(line->words); i++) {
		uint16_t word = atomic_load_explicit(&line->words[i], memory_order_relaxed);

		atomic_store_explicit(&line->words[i], word >> 1 & LOW_BITS_OF_COUNTERS,
		                      memory_order_relaxed);
	}
	atomic_store_explicit(&line->words[COUNTED], USES_BEFORE_HALVING / 2, memory_order_relaxed);
}

unsigned frequency_of(const struct line_table *t, uint64_t hash)
{
	const struct line *line = line_of(t, hash);
	unsigned least = FREQUENCY_MAX;

	if (!line)
		return 0;
	for (unsigned row = 0; row < ROWS; row++)
		least = MIN(least, counter_get(line, counter_of(hash, row)));
	return least;
}

/* Only the counters that are the least go up (conservative update): the others are already too high. */
void frequency_add(struct line_table *t, uint64_t hash)
{
	struct line *line = line_of(t, hash);
	unsigned least = frequency_of(t, hash);

	if (!line || least == FREQUENCY_MAX)
		return;
	lines_use(t);
	for (unsigned row = 0; row < ROWS; row++)
		if (counter_get(line, counter_of(hash, row)) == least)
			counter_increment(line, counter_of(hash, row));
	uint16_t counted = atomic_load_explicit(&line->words[COUNTED], memory_order_relaxed);

	if (counted + 1u >= USES_BEFORE_HALVING)
		halve(line);
	else
		atomic_store_explicit(&line->words[COUNTED], (uint16_t)(counted + 1), memory_order_relaxed);
}
