/*
 * region.h: a stretch of address space, reserved once and filled as it is used.
 *
 * Nothing is resident until it is touched; region_drop gives the pages back to the system and
 * leaves zeros behind. What is touched must have been charged to the budget by the caller.
 *
 * Huge pages: the system would make one resident at the first touch of two megabytes, charged or
 * not. So regions refuse them, and a stretch of HUGE_PAGE_BYTES becomes one only when all of it is
 * in use (region_collapse), and small pages again before any of it is dropped.
 */
#ifndef LARDER_REGION_H
#define LARDER_REGION_H

#include <stdatomic.h>

#include "store/base/base.h"
#include "store/base/lock.h"

#define HUGE_PAGE_BYTES ((size_t)2 << 20)

struct region {
	/* const after region_reserve */
	char *base;
	size_t size_bytes;
	size_t mapped_bytes;
	/* NULL where stretches never collapse; a bit for each, set from before it is looked at until
	 * it is small pages again */
	_Atomic uint64_t *huge;
	struct lock huge_lock; /* held while a stretch changes */
};

/* region_reserve: STATUS_SYSTEM when the system has no such stretch (errno). collapsible: stretches
 * of it may become huge pages. */
enum status region_reserve(struct region *r, size_t size_bytes, bool collapsible);
void region_release(struct region *r);
/* region_own_bytes: what the region itself may take, charged by the caller too. */
static inline size_t region_own_bytes(const struct region *r)
{
	return r->mapped_bytes - r->size_bytes;
}
void region_drop(struct region *r, size_t offset_bytes, size_t length_bytes);

/* region_collapse: makes stretch number `stretch` a huge page if in_use says that all of it is in
 * use. False if it is one already, is not all in use, or if the system has none (*refused).
 * Whoever drops some of it makes in_use say no before. Takes a millisecond or two; any thread. */
bool region_collapse(struct region *r, size_t stretch,
                     bool (*in_use)(const void *context, size_t stretch), const void *context,
                     bool *refused);

#endif
