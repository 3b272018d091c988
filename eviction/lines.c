#include "eviction/lines.h"

_Static_assert(sizeof(struct line) == CACHE_LINE_BYTES, "a line is a cache line");

enum status lines_init(struct line_table *t, const struct policy_memory *memory, uint64_t lines_max)
{
	*t = (struct line_table){ .memory = *memory };
	lock_init(&t->lock);
	return region_reserve(&t->region, (lines_max + 2) * sizeof(struct line), false);
}

void lines_fini(struct line_table *t)
{
	if (t->charged_bytes)
		t->memory.give(t->memory.context, t->charged_bytes);
	region_release(&t->region);
}

/* All ones, as many as name `count` lines. */
static uint32_t mask_for(uint32_t count)
{
	return count > 1 ? UINT32_MAX >> __builtin_clz(count - 1) : 0;
}

/* One line more: a copy of the one that its keys lay in until now. */
static void append_line(struct line_table *t, uint32_t count)
{
	uint32_t parent = count & (mask_for(count + 1) >> 1);

	if (atomic_load_explicit(&t->used, memory_order_relaxed)) {
		struct line *from = line_at(t, parent), *to = line_at(t, count);

		for (unsigned i = 0; i < ARRAY_LENGTH(to->words); i++)
			atomic_store_explicit(&to->words[i],
			                      atomic_load_explicit(&from->words[i], memory_order_relaxed),
			                      memory_order_relaxed);
	}
	/* release: pairs with the acquire in lines_count */
	atomic_store_explicit(&t->count, count + 1, memory_order_release);
}

static uint64_t bytes_for(uint32_t count)
{
	return ALIGN_UP((uint64_t)count * sizeof(struct line), (uint64_t)OS_PAGE_BYTES);
}

static void grow(struct line_table *t, uint32_t count, uint32_t wanted)
{
	for (; count < wanted; count++) {
		uint64_t bytes = bytes_for(count + 1);

		if (bytes > t->charged_bytes) {
			if (!t->memory.take(t->memory.context, bytes - t->charged_bytes))
				return;
			t->charged_bytes = bytes;
		}
		append_line(t, count);
	}
}

static void shrink(struct line_table *t, uint32_t wanted)
{
	uint64_t bytes = bytes_for(wanted);

	atomic_store_explicit(&t->count, wanted, memory_order_release);
	if (bytes == t->charged_bytes)
		return;
	region_drop(&t->region, bytes, t->charged_bytes - bytes);
	t->memory.give(t->memory.context, t->charged_bytes - bytes);
	t->charged_bytes = bytes;
}

void lines_resize(struct line_table *t, int64_t entries, uint32_t entries_per_line)
{
	lock_acquire(&t->lock);
	t->wanted += (uint64_t)entries;
	uint32_t count = lines_count(t);
	uint64_t wanted = MIN(t->wanted / entries_per_line, t->region.size_bytes / sizeof(struct line));

	if (wanted > count)
		grow(t, count, (uint32_t)wanted);
	else if (wanted < count)
		shrink(t, (uint32_t)wanted);
	lock_release(&t->lock);
}

bool lines_feed(struct line_table *t, uint32_t entries_per_line)
{
	lines_resize(t, 0, entries_per_line);
	lock_acquire(&t->lock);
	uint64_t wanted = MIN(t->wanted / entries_per_line, t->region.size_bytes / sizeof(struct line));
	bool enough = lines_count(t) >= wanted;

	lock_release(&t->lock);
	return enough;
}

struct line *line_of(const struct line_table *t, uint64_t hash)
{
	uint32_t count = lines_count(t), mask = mask_for(count);
	uint32_t index = (uint32_t)(hash >> 16) & mask;

	if (count == 0)
		return NULL;
	return line_at(t, index < count ? index : index & (mask >> 1));
}

void lines_check(const struct line_table *t)
{
	assert(bytes_for(lines_count(t)) <= t->charged_bytes);
}
