/*
 * frequency.h: how often keys were used of late, whether they are still there or not: a count-min
 * sketch of 4-bit counters (G. Cormode, S. Muthukrishnan, 2005), in lines.
 *
 *   line:  | uses counted since it was halved 2 | four rows of 31 counters, 62 bytes |
 *
 * A key has one counter in each row of its line; the least of the four is its frequency, up to 15.
 * When a line has counted ten uses for each of its keys all of its counters are halved (TinyLFU's
 * reset, a line at a time). Any thread, no lock: two that meet may lose a use.
 */
#ifndef LARDER_FREQUENCY_H
#define LARDER_FREQUENCY_H

#include "eviction/lines.h"

#define FREQUENCY_LINE_KEYS 16u /* 4 bytes a key */
#define FREQUENCY_MAX 15u

void frequency_add(struct line_table *t, uint64_t hash);
unsigned frequency_of(const struct line_table *t, uint64_t hash);

#endif
