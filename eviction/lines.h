/*
 * lines.h: a table of cache lines that keys' hashes choose from, as many as there are chunks to speak
 * of: what ghosts and frequencies are kept in.
 *
 * It grows and shrinks by linear hashing (W. Litwin, VLDB 1980): a new line starts as a copy of the one
 * that its keys lay in until now, so that growing forgets nothing; what a copy holds of the other's
 * keys ages out. Lines are reached without a lock; resizing has one.
 */
#ifndef LARDER_LINES_H
#define LARDER_LINES_H

#include <stdatomic.h>

#include "store/base/base.h"
#include "store/base/lock.h"
#include "store/base/region.h"

/* Where memory beyond the arena comes from. take: false when there is none. */
struct policy_memory {
	bool (*take)(void *context, uint64_t bytes);
	void (*give)(void *context, uint64_t bytes);
	void *context;
};

struct line {
	_Alignas(CACHE_LINE_BYTES) _Atomic uint16_t words[CACHE_LINE_BYTES / 2];
};

struct line_table {
	/* const after init */
	struct region region;
	struct policy_memory memory;
	/* atomic */
	_Atomic uint32_t count;
	_Atomic bool used; /* something was written: until then growing copies nothing */
	/* under lock */
	struct lock lock;
	uint64_t wanted;   /* lines, in parts: see lines_resize */
	uint64_t charged_bytes;
};

/* lines_max bounds the address space. STATUS_SYSTEM when there is none. */
enum status lines_init(struct line_table *t, const struct policy_memory *memory, uint64_t lines_max);
void lines_fini(struct line_table *t);

/* lines_resize: room for so many entries more (or fewer), so many to a line. Where memory is refused
 * the table stays smaller, and tries again the next time. */
void lines_resize(struct line_table *t, int64_t entries, uint32_t entries_per_line);

/* lines_feed: what was refused is asked for again. False: it is refused still. */
bool lines_feed(struct line_table *t, uint32_t entries_per_line);

static inline uint32_t lines_count(const struct line_table *t)
{
	return atomic_load_explicit(&((struct line_table *)t)->count, memory_order_acquire);
}

static inline struct line *line_at(const struct line_table *t, uint32_t index)
{
	return (struct line *)t->region.base + index;
}

/* line_of: this hash's, NULL while the table has none. */
struct line *line_of(const struct line_table *t, uint64_t hash);

/* lines_use: call it before the first write to a line. */
static inline void lines_use(struct line_table *t)
{
	if (unlikely(!atomic_load_explicit(&t->used, memory_order_relaxed)))
		atomic_store_explicit(&t->used, true, memory_order_relaxed);
}

void lines_check(const struct line_table *t);

#endif
