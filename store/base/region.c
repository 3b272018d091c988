#include "store/base/region.h"

#include <string.h>
#include <sys/mman.h>

#define HUGE_PAGE_BYTES (2u << 20)

enum status region_reserve(struct region *r, size_t size_bytes, bool huge)
{
	size_t align = huge ? HUGE_PAGE_BYTES : OS_PAGE_BYTES;
	size_t size = ALIGN_UP(size_bytes, align);
	char *base = mmap(NULL, size + align, PROT_READ | PROT_WRITE,
	                  MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (base == MAP_FAILED)
		return STATUS_SYSTEM;
	/* Trim to the alignment, so that r can be unmapped as it stands. */
	char *start = (char *)ALIGN_UP((uintptr_t)base, align);

	if (start > base)
		munmap(base, (size_t)(start - base));
	munmap(start + size, align - (size_t)(start - base));
	madvise(start, size, huge ? MADV_HUGEPAGE : MADV_NOHUGEPAGE);
	/* The cache's contents are of no use in a core file and would be most of it. */
	madvise(start, size, MADV_DONTDUMP);
	r->base = start;
	r->size_bytes = size;
	return STATUS_OK;
}

void region_release(struct region *r)
{
	if (r->base)
		munmap(r->base, r->size_bytes);
	r->base = NULL;
	r->size_bytes = 0;
}

void region_drop(const struct region *r, size_t offset_bytes, size_t length_bytes)
{
	assert(offset_bytes + length_bytes <= r->size_bytes);
	char *at = r->base + offset_bytes;

	if (madvise(at, length_bytes, MADV_DONTNEED) == 0)
		return;
	/* Locked memory (-k) is not given back before it is unlocked. */
	munlock(at, length_bytes);
	if (madvise(at, length_bytes, MADV_DONTNEED) != 0)
		memset(at, 0, length_bytes);
}
