/*
 * region.h: a stretch of address space, reserved once and filled as it is used.
 *
 * Nothing is resident until it is touched; region_drop gives the pages back to the system and
 * leaves zeros behind. What is touched must have been charged to the budget by the caller.
 */
#ifndef LARDER_REGION_H
#define LARDER_REGION_H

#include "store/base/base.h"

struct region {
	char *base;
	size_t size_bytes;
};

/* region_reserve: STATUS_SYSTEM when the system has no such stretch (errno). huge: ask for
 * transparent huge pages; otherwise they are refused, since a huge page makes memory resident that
 * nobody asked for. */
enum status region_reserve(struct region *r, size_t size_bytes, bool huge);
void region_release(struct region *r);
void region_drop(const struct region *r, size_t offset_bytes, size_t length_bytes);

#endif
