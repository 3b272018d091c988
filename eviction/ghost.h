/*
 * ghost.h: a memory of keys that were evicted a short while ago, two bytes each.
 *
 *   line (lines.h):  | cursor 2 | 31 x ( origin 1 bit | fingerprint 15 bits ) |
 *
 * The hash chooses a line; within it the oldest entry makes way for the newest, so the table as a
 * whole forgets roughly in the order of evictions. A key that was never there is taken for a ghost
 * once in about 2,000 look-ups of a full table (31 entries, 15 bits, half of them of one origin).
 *
 * ghost_add and ghost_take: any thread, no lock. Two that meet in one line may lose an entry.
 */
#ifndef LARDER_GHOST_H
#define LARDER_GHOST_H

#include "eviction/lines.h"

#define GHOST_LINE_ENTRIES 31u

/* What a key was when it was evicted. */
enum ghost_origin { GHOST_NONE, GHOST_UNPROVEN, GHOST_PROVEN };

struct ghost_table {
	struct line_table lines;
};

/* entries_max bounds the address space. STATUS_SYSTEM when there is none. */
enum status ghost_init(struct ghost_table *g, const struct policy_memory *memory,
                       uint64_t entries_max);
void ghost_fini(struct ghost_table *g);

/* ghost_resize: so many entries more (or fewer) are wanted. Where memory is refused the table stays
 * smaller, and tries again the next time. */
void ghost_resize(struct ghost_table *g, int64_t entries);

void ghost_add(struct ghost_table *g, uint64_t hash, enum ghost_origin origin);
/* ghost_take: finds the key and forgets it. */
enum ghost_origin ghost_take(struct ghost_table *g, uint64_t hash);
void ghost_prefetch(const struct ghost_table *g, uint64_t hash);

static inline uint64_t ghost_capacity(const struct ghost_table *g)
{
	return (uint64_t)lines_count(&g->lines) * GHOST_LINE_ENTRIES;
}

void ghost_check(const struct ghost_table *g);

#endif
