#include "store/base/region.h"

#include <string.h>
#include <sys/mman.h>

/* Linux 6.1; older headers do not name it, and older systems refuse it. */
#ifndef MADV_COLLAPSE
#define MADV_COLLAPSE 25
#endif

enum status region_reserve(struct region *r, size_t size_bytes, bool collapsible)
{
	size_t align = collapsible ? HUGE_PAGE_BYTES : OS_PAGE_BYTES;
	size_t size = ALIGN_UP(size_bytes, align);
	size_t huge_bytes = 0;

	if (collapsible)
		huge_bytes = ALIGN_UP(size / HUGE_PAGE_BYTES / 8 + sizeof(uint64_t), (size_t)OS_PAGE_BYTES);
	size_t mapped = size + huge_bytes;
	char *base = mmap(NULL, mapped + align, PROT_READ | PROT_WRITE,
	                  MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (base == MAP_FAILED)
		return STATUS_SYSTEM;
	/* Trim to the alignment, so that r can be unmapped as it stands. */
	char *start = (char *)ALIGN_UP((uintptr_t)base, align);

	if (start > base)
		munmap(base, (size_t)(start - base));
	munmap(start + mapped, align - (size_t)(start - base));
	madvise(start, mapped, MADV_NOHUGEPAGE);
	/* The cache's contents are of no use in a core file and would be most of it. */
	madvise(start, mapped, MADV_DONTDUMP);
	*r = (struct region){ .base = start, .size_bytes = size, .mapped_bytes = mapped };
	lock_init(&r->huge_lock);
	if (collapsible)
		r->huge = (_Atomic uint64_t *)(start + size);
	return STATUS_OK;
}

void region_release(struct region *r)
{
	if (r->base)
		munmap(r->base, r->mapped_bytes);
	*r = (struct region){ 0 };
}

/* ---- huge pages ---- */

static bool huge_bit(struct region *r, size_t stretch)
{
	return atomic_load_explicit(&r->huge[stretch / 64], memory_order_relaxed) >> stretch % 64 & 1;
}

static void huge_change(struct region *r, size_t stretch, bool huge) REQUIRES(r->huge_lock)
{
	uint64_t bit = 1ULL << stretch % 64;

	if (huge)
		atomic_fetch_or_explicit(&r->huge[stretch / 64], bit, memory_order_relaxed);
	else
		atomic_fetch_and_explicit(&r->huge[stretch / 64], ~bit, memory_order_relaxed);
}

bool region_collapse(struct region *r, size_t stretch,
                     bool (*in_use)(const void *context, size_t stretch), const void *context,
                     bool *refused)
{
	char *at = r->base + stretch * HUGE_PAGE_BYTES;
	bool done = false;

	assert(r->huge && stretch < r->size_bytes / HUGE_PAGE_BYTES);
	*refused = false;
	if (huge_bit(r, stretch) || !in_use(context, stretch))
		return false;
	lock_acquire(&r->huge_lock);
	huge_change(r, stretch, true);
	/* Pairs with the fence in region_drop: either its caller's change is seen here, or the bit
	 * there, and then that thread waits for the lock. */
	atomic_thread_fence(memory_order_seq_cst);
	if (in_use(context, stretch)) {
		done = madvise(at, HUGE_PAGE_BYTES, MADV_HUGEPAGE) == 0 &&
		       madvise(at, HUGE_PAGE_BYTES, MADV_COLLAPSE) == 0;
		*refused = !done;
		if (!done)
			madvise(at, HUGE_PAGE_BYTES, MADV_NOHUGEPAGE);
	}
	if (!done)
		huge_change(r, stretch, false);
	lock_release(&r->huge_lock);
	return done;
}

/* Otherwise the system could make a huge page of what is left of one, and what was dropped would be
 * resident again. */
static void split_huge(struct region *r, size_t offset_bytes, size_t length_bytes)
{
	size_t last = (offset_bytes + length_bytes - 1) / HUGE_PAGE_BYTES;

	for (size_t stretch = offset_bytes / HUGE_PAGE_BYTES; stretch <= last; stretch++) {
		if (!huge_bit(r, stretch))
			continue;
		lock_acquire(&r->huge_lock);
		if (huge_bit(r, stretch))
			madvise(r->base + stretch * HUGE_PAGE_BYTES, HUGE_PAGE_BYTES, MADV_NOHUGEPAGE);
		huge_change(r, stretch, false);
		lock_release(&r->huge_lock);
	}
}

void region_drop(struct region *r, size_t offset_bytes, size_t length_bytes)
{
	assert(length_bytes && offset_bytes + length_bytes <= r->size_bytes);
	char *at = r->base + offset_bytes;

	atomic_thread_fence(memory_order_seq_cst);
	if (r->huge)
		split_huge(r, offset_bytes, length_bytes);
	if (madvise(at, length_bytes, MADV_DONTNEED) == 0)
		return;
	/* Locked memory (-k) is not given back before it is unlocked. */
	munlock(at, length_bytes);
	if (madvise(at, length_bytes, MADV_DONTNEED) != 0)
		memset(at, 0, length_bytes);
}
