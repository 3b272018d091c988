#include "eviction/fifo.h"

#define RESERVE_SHARE 8u /* of the blocks in use */

enum status fifo_pool_init(struct fifo_pool *p, const struct policy_memory *memory,
                           uint64_t references_max)
{
	/* Removed entries wait in a queue until they come up or are filtered: as many again. */
	uint64_t blocks = 2 * references_max / FIFO_BLOCK_ENTRIES + 1024;

	*p = (struct fifo_pool){ .memory = *memory, .block_limit = (uint32_t)blocks, .fresh = 1 };
	lock_init(&p->lock);
	if (region_reserve(&p->blocks, blocks * OS_PAGE_BYTES, false) != STATUS_OK)
		return STATUS_SYSTEM;
	if (region_reserve(&p->links, blocks * sizeof(uint32_t), false) == STATUS_OK)
		return STATUS_OK;
	region_release(&p->blocks);
	return STATUS_SYSTEM;
}

void fifo_pool_fini(struct fifo_pool *p)
{
	uint64_t charged = p->links_charged_bytes + (uint64_t)(p->in_use + p->reserve) * OS_PAGE_BYTES;

	if (charged)
		p->memory.give(p->memory.context, charged);
	region_release(&p->links);
	region_release(&p->blocks);
}

/* ---- blocks ---- */

static uint32_t *block_at(const struct fifo_pool *p, uint32_t block)
{
	return (uint32_t *)(p->blocks.base + (size_t)block * OS_PAGE_BYTES);
}

static uint32_t *link_of(const struct fifo_pool *p, uint32_t block)
{
	return (uint32_t *)p->links.base + block;
}

/* A block that was never used; its link may be the first on an OS page. */
static uint32_t take_fresh(struct fifo_pool *p)
{
	uint64_t links_bytes = ALIGN_UP((p->fresh + 1) * sizeof(uint32_t), (uint64_t)OS_PAGE_BYTES);

	if (p->fresh == p->block_limit)
		return 0;
	if (links_bytes > p->links_charged_bytes) {
		if (!p->memory.take(p->memory.context, links_bytes - p->links_charged_bytes))
			return 0;
		p->links_charged_bytes = links_bytes;
	}
	return p->fresh++;
}

static uint32_t reserve_wanted(const struct fifo_pool *p)
{
	return MIN(p->reserve_max, MIN(p->in_use, 1 + p->in_use / RESERVE_SHARE));
}

static bool fill_reserve(struct fifo_pool *p)
{
	for (; p->reserve < reserve_wanted(p); p->reserve++)
		if (!p->memory.take(p->memory.context, OS_PAGE_BYTES))
			return false;
	return true;
}

static bool charge_block(struct fifo_pool *p)
{
	if (p->memory.take(p->memory.context, OS_PAGE_BYTES))
		return true;
	if (p->reserve > 0) {
		p->reserve--;
		return true;
	}
	atomic_store_explicit(&p->hungry, true, memory_order_relaxed);
	return false;
}

static uint32_t block_take(struct fifo_pool *p)
{
	uint32_t block = 0;

	lock_acquire(&p->lock);
	if (!charge_block(p))
		goto unlock;
	block = p->free_head;
	if (block)
		p->free_head = *link_of(p, block);
	else
		block = take_fresh(p);
	if (block) {
		*link_of(p, block) = 0;
		p->in_use++;
		fill_reserve(p);
	} else {
		p->memory.give(p->memory.context, OS_PAGE_BYTES);
	}
unlock:
	lock_release(&p->lock);
	return block;
}

static void block_give(struct fifo_pool *p, uint32_t block)
{
	region_drop(&p->blocks, (size_t)block * OS_PAGE_BYTES, OS_PAGE_BYTES);
	lock_acquire(&p->lock);
	*link_of(p, block) = p->free_head;
	p->free_head = block;
	p->in_use--;
	bool kept = p->reserve < reserve_wanted(p);

	p->reserve += kept;
	lock_release(&p->lock);
	if (!kept)
		p->memory.give(p->memory.context, OS_PAGE_BYTES);
}

bool fifo_pool_feed(struct fifo_pool *p)
{
	lock_acquire(&p->lock);
	for (; p->reserve > reserve_wanted(p); p->reserve--)
		p->memory.give(p->memory.context, OS_PAGE_BYTES);
	bool enough = fill_reserve(p);

	lock_release(&p->lock);
	return enough;
}

/* ---- queues ---- */

static bool append_block(struct fifo_pool *p, struct fifo *f)
{
	uint32_t block = block_take(p);

	if (!block)
		return false;
	if (f->last_block)
		*link_of(p, f->last_block) = block;
	else
		f->first_block = block;
	f->last_block = block;
	f->last_index = 0;
	return true;
}

bool fifo_push(struct fifo_pool *p, struct fifo *f, uint32_t reference)
{
	if (!f->last_block || f->last_index == FIFO_BLOCK_ENTRIES)
		if (!append_block(p, f))
			return false;
	block_at(p, f->last_block)[f->last_index++] = reference;
	f->count++;
	return true;
}

uint32_t fifo_first(const struct fifo_pool *p, const struct fifo *f)
{
	return f->count ? block_at(p, f->first_block)[f->first_index] : 0;
}

/* The first block is used up, or the queue is empty: nothing stays behind. */
static void drop_first_block(struct fifo_pool *p, struct fifo *f)
{
	uint32_t block = f->first_block;

	f->first_block = *link_of(p, block);
	f->first_index = 0;
	if (!f->first_block)
		f->last_block = f->last_index = 0;
	block_give(p, block);
}

/* Nothing of this block is left to be seen; there is a next one. */
static void leave_seen(struct fifo_pool *p, struct fifo *f)
{
	uint32_t block = f->seen_block, next = *link_of(p, block);

	if (block != f->kept_block) {
		*link_of(p, f->kept_block) = next;
		block_give(p, block);
	}
	f->seen_block = next;
	f->seen_index = 0;
}

/* Where all that the filter kept was popped, what it has not seen comes first, and it is over. */
static void settle_front(struct fifo_pool *p, struct fifo *f)
{
	if (likely(!f->kept_block) || f->first_block != f->kept_block || f->first_index != f->kept_index)
		return;
	if (f->seen_index == FIFO_BLOCK_ENTRIES)
		leave_seen(p, f);
	if (f->first_block != f->seen_block)
		block_give(p, f->first_block);
	f->first_block = f->seen_block;
	f->first_index = f->seen_index;
	f->kept_block = 0;
}

uint32_t fifo_pop(struct fifo_pool *p, struct fifo *f)
{
	if (f->count == 0)
		return 0;
	uint32_t reference = block_at(p, f->first_block)[f->first_index++];

	f->count--;
	settle_front(p, f);
	if (f->first_index == FIFO_BLOCK_ENTRIES)
		drop_first_block(p, f);
	else if (f->count == 0)
		f->first_index = f->last_index = 0; /* the last block stays: queues hover around empty */
	return reference;
}

/* All was seen: the queue ends where the next to be kept would have gone. */
static void end_filter(struct fifo_pool *p, struct fifo *f)
{
	if (f->kept_block != f->last_block) {
		block_give(p, f->last_block);
		*link_of(p, f->kept_block) = 0;
		f->last_block = f->kept_block;
	}
	f->last_index = f->kept_index;
	f->kept_block = 0;
	if (f->count == 0)
		f->first_index = f->last_index = 0;
}

static bool all_is_seen(const struct fifo *f)
{
	return f->seen_block == f->last_block && f->seen_index == f->last_index;
}

void fifo_filter(struct fifo_pool *p, struct fifo *f, size_t max,
                 bool (*keep)(void *context, uint32_t reference), void *context)
{
	if (!f->kept_block) {
		if (f->count == 0)
			return;
		f->kept_block = f->seen_block = f->first_block;
		f->kept_index = f->seen_index = f->first_index;
	}
	/* What is kept is written where something was seen before, so no memory is needed. */
	for (; max > 0 && !all_is_seen(f); max--) {
		if (f->seen_index == FIFO_BLOCK_ENTRIES)
			leave_seen(p, f);
		uint32_t reference = block_at(p, f->seen_block)[f->seen_index++];

		if (!keep(context, reference)) {
			f->count--;
			continue;
		}
		if (f->kept_index == FIFO_BLOCK_ENTRIES) {
			f->kept_block = *link_of(p, f->kept_block);
			f->kept_index = 0;
		}
		block_at(p, f->kept_block)[f->kept_index++] = reference;
	}
	if (all_is_seen(f))
		end_filter(p, f);
	else
		settle_front(p, f);
}

void fifo_clear(struct fifo_pool *p, struct fifo *f)
{
	while (f->first_block)
		drop_first_block(p, f);
	f->count = 0;
	f->kept_block = 0;
}

void fifo_check(const struct fifo_pool *p, const struct fifo *f)
{
	size_t count = 0;
	uint32_t block = f->first_block;

	assert((f->first_block == 0) == (f->last_block == 0));
	while (block) {
		uint32_t next = *link_of(p, block);
		uint32_t begin = block == f->first_block ? f->first_index : 0;
		uint32_t end = next ? FIFO_BLOCK_ENTRIES : f->last_index;

		/* What was seen and not written again. */
		if (f->kept_block == block && f->seen_block == block)
			begin += f->seen_index - f->kept_index;
		else if (f->kept_block == block)
			end = f->kept_index;
		else if (f->kept_block && f->seen_block == block)
			begin = f->seen_index;
		assert(begin <= end);
		assert(next || block == f->last_block);
		count += end - begin;
		block = next;
	}
	assert(count == f->count);
}
