/*
 * heavy.h: the heaviest texts of a stream, in bounded memory: Space-Saving (A. Metwally, D. Agrawal,
 * A. El Abbadi, "Efficient Computation of Frequent and Top-k Elements in Data Streams", ICDT 2005).
 *
 * Each of `capacity` entries holds a text and its count. A text that is there is counted; one that is
 * not takes the place of the entry with the smallest count, and takes over that count as its error:
 *
 *     count - error  <=  true weight  <=  count          for every entry
 *     error          <=  total / capacity                and whoever weighs more than that is there
 *
 * The paper finds the smallest by a list of lists; here a hand goes round the entries and stops at the
 * first whose count is `floor`, the smallest there was when the last lap ended. A lap that finds none
 * raises the floor. With unit weights the floor is at most total / capacity, so all laps together are
 * at most a step for each count: the same cost on average, without a pointer.
 *
 *     heads  | slot | slot | ...      by hash; entries with the same head are chained
 *     entry  | hash | count | error | tally | ...
 *     texts  | up to text_bytes | ...
 *
 * The `tally` of an entry counts something else since it took its place: hits of those requests, items
 * of those bytes. No lock in here, and no memory but what it is given.
 */
#ifndef LARDER_HEAVY_H
#define LARDER_HEAVY_H

#include "store/base/base.h"

#define HEAVY_CAPACITY_MAX 4096u

struct heavy_entry {
	uint64_t hash;
	uint64_t count;
	uint64_t error;
	uint64_t tally;
	uint16_t next; /* in its chain, HEAVY_NONE at the end */
	uint8_t text_length;
	bool taken; /* by heavy_take */
};

struct heavy {
	/* const after init */
	uint32_t capacity;
	uint32_t text_bytes;
	uint32_t head_mask;
	uint16_t *heads;
	struct heavy_entry *entries;
	char *texts;

	uint32_t used;
	uint32_t hand;
	uint64_t floor;
	uint64_t total;       /* of all weights */
	uint64_t total_tally;
};

#define HEAVY_NONE UINT16_MAX

/* heavy_bytes: what heavy_init needs for so many entries with texts up to so long (255 at most). */
size_t heavy_bytes(uint32_t capacity, uint32_t text_bytes);
/* heavy_init: `memory`, aligned to 8, remains the caller's. Touches little of it. */
void heavy_init(struct heavy *h, void *memory, uint32_t capacity, uint32_t text_bytes);
void heavy_clear(struct heavy *h);

/* heavy_find: NULL when it is not there. Texts are told apart by their hash, which therefore must be
 * one that nobody can make collide. */
struct heavy_entry *heavy_find(struct heavy *h, uint64_t hash);
/* heavy_add: counts a text; `text_length` is at most text_bytes. True when another had to give way. */
bool heavy_add(struct heavy *h, uint64_t hash, const char *text, size_t text_length, uint64_t weight,
               uint64_t tally);
/* heavy_merge: adds all of `from`; its errors become errors here. */
void heavy_merge(struct heavy *h, const struct heavy *from);
/* heavy_zero: the texts remain, and weigh nothing. heavy_halve: everything weighs half as much. */
void heavy_zero(struct heavy *h);
void heavy_halve(struct heavy *h);

/* heavy_take: the one that certainly weighs most of those it did not return before; of equals, the text
 * that sorts first. NULL when only those are left that may weigh nothing. Linear. */
const struct heavy_entry *heavy_take(struct heavy *h);
const char *heavy_text(const struct heavy *h, const struct heavy_entry *entry);

/* What an entry certainly weighs. */
static inline uint64_t heavy_certain(const struct heavy_entry *entry)
{
	return entry->count - entry->error;
}

/* heavy_check: asserts chains, floor and sums. */
void heavy_check(const struct heavy *h);

#endif
