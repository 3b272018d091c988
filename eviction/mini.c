#include "eviction/mini.h"

#include <stdlib.h>
#include <string.h>

#define PAGE_SHIFT_CHOSEN 14u
#define REFERENCE_SHIFT 3u
#define TABLE_SLOTS_MIN 64u

struct mini_entry {
	uint64_t hash;
	uint32_t weight;
	uint32_t next_free; /* of a free chunk */
};

static struct mini_entry *entry_at(const struct mini_cache *m, uint32_t reference)
{
	return (struct mini_entry *)(void *)(m->arena.base + ((size_t)reference << REFERENCE_SHIFT));
}

static bool take(void *context, uint64_t bytes)
{
	const struct policy_memory *memory = &((struct mini_cache *)context)->memory;

	return memory->take(memory->context, bytes);
}

static void give(void *context, uint64_t bytes)
{
	const struct policy_memory *memory = &((struct mini_cache *)context)->memory;

	memory->give(memory->context, bytes);
}

static bool take_to_grow(struct mini_cache *m, uint64_t bytes)
{
	if ((!m->may_grow || m->may_grow(m->memory.context, bytes)) && take(m, bytes))
		return true;
	m->starved = true;
	return false;
}

static uint64_t hash_of_entry(void *context, uint32_t reference)
{
	return entry_at(context, reference)->hash;
}

/* ---- the table ---- */

static uint32_t home_of(const struct mini_cache *m, uint64_t hash)
{
	return (uint32_t)((hash * 0x9e3779b97f4a7c15ULL) >> m->table_shift);
}

/* The slot of this key, or the empty one where it would go. */
static uint32_t slot_of(const struct mini_cache *m, uint64_t hash)
{
	uint32_t slot = home_of(m, hash);

	while (m->table[slot] && entry_at(m, m->table[slot])->hash != hash)
		slot = (slot + 1) & (m->table_slots - 1);
	return slot;
}

static bool table_resize(struct mini_cache *m, uint32_t slots)
{
	uint32_t *old = m->table, old_slots = m->table_slots;

	if (!take_to_grow(m, slots * sizeof(*old)))
		return false;
	uint32_t *table = calloc(slots, sizeof(*table));

	if (!table) {
		give(m, slots * sizeof(*old));
		return false;
	}
	m->table = table;
	m->table_slots = slots;
	m->table_shift = (uint8_t)(64 - __builtin_ctz(slots));
	for (uint32_t i = 0; i < old_slots; i++)
		if (old[i])
			m->table[slot_of(m, entry_at(m, old[i])->hash)] = old[i];
	free(old);
	give(m, old_slots * sizeof(*old));
	return true;
}

/* What comes behind an emptied slot moves up, so that no look-up stops short of it. */
static void table_remove(struct mini_cache *m, uint64_t hash)
{
	uint32_t mask = m->table_slots - 1, hole = slot_of(m, hash);

	assert(m->table[hole]);
	for (uint32_t at = (hole + 1) & mask; m->table[at]; at = (at + 1) & mask) {
		uint32_t home = home_of(m, entry_at(m, m->table[at])->hash);

		if (((at - home) & mask) >= ((at - hole) & mask)) {
			m->table[hole] = m->table[at];
			hole = at;
		}
	}
	m->table[hole] = 0;
}

/* ---- chunks ---- */

static uint32_t page_bytes(const struct mini_cache *m)
{
	return 1u << m->page_shift;
}

static bool page_open(struct mini_cache *m)
{
	if ((size_t)(m->page_count + 2) * page_bytes(m) > m->arena.size_bytes ||
	    !take_to_grow(m, page_bytes(m)))
		return false;
	m->page_count++;
	m->fresh_index = 0;
	if (m->queue.ops->page_add)
		m->queue.ops->page_add(&m->queue, m->page_count);
	return true;
}

static uint32_t chunk_take(struct mini_cache *m)
{
	uint32_t reference = m->free_head;

	if (reference) {
		m->free_head = entry_at(m, reference)->next_free;
		return reference;
	}
	if (m->fresh_index == m->queue.space.chunks_per_page && !page_open(m))
		return 0;
	return space_reference(&m->queue.space, m->page_count, m->fresh_index++);
}

static void entry_drop(struct mini_cache *m, uint32_t reference)
{
	struct mini_entry *e = entry_at(m, reference);

	table_remove(m, e->hash);
	m->weight -= e->weight;
	m->entry_count--;
	e->weight = 0;
	e->next_free = m->free_head;
	m->free_head = reference;
}

/* ---- life ---- */

enum status mini_init(struct mini_cache *m, const struct mini_options *o)
{
	uint8_t page_shift = o->page_shift ? o->page_shift : PAGE_SHIFT_CHOSEN;
	uint32_t side = o->policy->side_bytes;
	uint32_t per_page = ((1u << page_shift) - 2 * CACHE_LINE_BYTES) / ((uint32_t)sizeof(struct mini_entry) + side + 2);

	/* A page brings as many ghosts as it has chunks: not more than there will be keys. */
	per_page = MAX(1, MIN(per_page, o->entries_max));

	uint32_t pages = o->entries_max / per_page + 3; /* page 0 is none, the last may not be full */

	*m = (struct mini_cache){
		.capacity = o->capacity,
		.entries_max = o->entries_max,
		.memory = o->memory,
		.may_grow = o->may_grow,
		.page_shift = page_shift,
	};
	/* The circle of pages is not counted by itself. */
	if (o->policy->page_add)
		m->fixed_bytes = ALIGN_UP(pages * sizeof(struct page_link), (size_t)OS_PAGE_BYTES);
	struct policy_memory memory = { take, give, m };

	if (policy_shared_init(&m->shared, o->policy, &memory, hash_of_entry, (uint64_t)pages * per_page,
	                       pages) != STATUS_OK)
		return STATUS_SYSTEM;
	if (region_reserve(&m->arena, (size_t)pages << page_shift, false) != STATUS_OK) {
		policy_shared_fini(&m->shared);
		return STATUS_SYSTEM;
	}
	struct chunk_space space = {
		.arena = m->arena.base,
		.chunk_bytes = sizeof(struct mini_entry),
		.sides = m->arena.base + per_page * sizeof(struct mini_entry),
		.side_stride = 1u << page_shift,
		.side_bytes = side,
		.state_offset = (1u << page_shift) - ALIGN_UP(state_area_bytes(per_page), (uint32_t)CACHE_LINE_BYTES),
		.chunks_per_page = per_page,
		.owner = 1,
		.reciprocal = chunk_reciprocal(sizeof(struct mini_entry)),
		.reference_shift = REFERENCE_SHIFT,
		.page_shift = page_shift,
	};

	m->fresh_index = per_page;
	policy_queue_init(&m->queue, o->policy, &m->shared, &space);
	if (!take(m, m->fixed_bytes))
		goto release_arena;
	if (!table_resize(m, TABLE_SLOTS_MIN))
		goto give_fixed;
	return STATUS_OK;

give_fixed:
	give(m, m->fixed_bytes);
release_arena:
	region_release(&m->arena);
	policy_shared_fini(&m->shared);
	return STATUS_NO_MEMORY;
}

void mini_fini(struct mini_cache *m)
{
	const struct policy_ops *ops = m->queue.ops;

	for (uint32_t i = 0; i < m->table_slots; i++)
		if (m->table[i])
			ops->remove(&m->queue, m->table[i]);
	for (uint32_t page = 1; page <= m->page_count; page++)
		if (ops->page_remove)
			ops->page_remove(&m->queue, page);
	give(m, m->fixed_bytes + (uint64_t)m->page_count * page_bytes(m) +
	        m->table_slots * sizeof(*m->table));
	free(m->table);
	region_release(&m->arena);
	policy_shared_fini(&m->shared);
}

/* ---- keys ---- */

static bool evict_one(struct mini_cache *m)
{
	const struct policy_ops *ops = m->queue.ops;
	uint32_t victim;

	if (ops->victims(&m->queue, &victim, 1) == 0)
		return false;
	m->full = true;
	bool proven = victim & VICTIM_PROVEN;
	uint32_t reference = victim & ~VICTIM_PROVEN;

	if (ops->bury)
		ops->bury(&m->shared, entry_at(m, reference)->hash, proven);
	entry_drop(m, reference);
	return true;
}

static void entry_hit(struct mini_cache *m, uint32_t reference)
{
	const struct policy_ops *ops = m->queue.ops;
	_Atomic uint8_t *state = space_state(&m->queue.space, reference);

	atomic_store_explicit(state,
	                      state_after_read(atomic_load_explicit(state, memory_order_relaxed)),
	                      memory_order_relaxed);
	if (ops->hit)
		ops->hit(&m->queue, reference);
}

static void entry_add(struct mini_cache *m, uint64_t hash, uint32_t weight)
{
	const struct policy_ops *ops = m->queue.ops;
	bool proven = ops->recall && ops->recall(&m->shared, hash) == GHOST_UNPROVEN;
	uint32_t reference;

	while (m->weight + weight > m->capacity || m->entry_count >= m->entries_max)
		if (!evict_one(m))
			return;
	if (2 * (m->entry_count + 1) > m->table_slots && !table_resize(m, 2 * m->table_slots) &&
	    !evict_one(m))
		return;
	while ((reference = chunk_take(m)) == 0)
		if (!evict_one(m))
			return;
	struct mini_entry *e = entry_at(m, reference);

	e->hash = hash;
	e->weight = weight;
	m->table[slot_of(m, hash)] = reference;
	m->weight += weight;
	m->entry_count++;
	state_change(&m->queue.space, reference, STATE_OF_USE, proven ? STATE_PROVEN : 0);
	ops->insert(&m->queue, reference);
}

bool mini_has(const struct mini_cache *m, uint64_t hash)
{
	return m->table[slot_of(m, hash)] != 0;
}

unsigned mini_reads(const struct mini_cache *m, uint64_t hash)
{
	uint32_t reference = m->table[slot_of(m, hash)];

	return reference ? state_reads(state_get(&m->queue.space, reference)) : 0;
}

bool mini_hit(struct mini_cache *m, uint64_t hash)
{
	uint32_t reference = m->table[slot_of(m, hash)];

	if (!reference)
		return false;
	entry_hit(m, reference);
	return true;
}

bool mini_access(struct mini_cache *m, uint64_t hash, uint32_t weight)
{
	if (mini_hit(m, hash))
		return true;
	if (weight <= m->capacity)
		entry_add(m, hash, weight);
	return false;
}

void mini_set(struct mini_cache *m, uint64_t hash, uint32_t weight)
{
	uint32_t reference = m->table[slot_of(m, hash)];

	if (weight > m->capacity) {
		mini_remove(m, hash);
		return;
	}
	if (!reference) {
		entry_add(m, hash, weight);
		return;
	}
	struct mini_entry *e = entry_at(m, reference);

	m->weight = m->weight - e->weight + weight;
	e->weight = weight;
	m->queue.ops->insert(&m->queue, reference);
	while (m->weight > m->capacity && evict_one(m))
		;
}

void mini_remove(struct mini_cache *m, uint64_t hash)
{
	uint32_t reference = m->table[slot_of(m, hash)];

	if (!reference)
		return;
	m->queue.ops->remove(&m->queue, reference);
	entry_drop(m, reference);
}

void mini_set_capacity(struct mini_cache *m, uint64_t capacity)
{
	m->capacity = capacity;
}

static uint32_t page_end(const struct mini_cache *m, uint32_t page)
{
	return page == m->page_count ? m->fresh_index : m->queue.space.chunks_per_page;
}

/* A free chunk's hash may be that of a key which is in again, elsewhere. */
static bool is_used(const struct mini_cache *m, uint32_t reference)
{
	return m->table[slot_of(m, entry_at(m, reference)->hash)] == reference;
}

void mini_filter(struct mini_cache *m, bool (*keep)(const void *context, uint64_t hash),
                 const void *context)
{
	for (uint32_t page = 1; page <= m->page_count; page++) {
		for (uint32_t i = 0; i < page_end(m, page); i++) {
			uint32_t reference = space_reference(&m->queue.space, page, i);
			struct mini_entry *e = entry_at(m, reference);

			if (is_used(m, reference) && !keep(context, e->hash))
				mini_remove(m, e->hash);
		}
	}
}

/* ---- shrinking ---- */

/* Lists what is free on the pages up to this one, and on no other. */
static void list_free(struct mini_cache *m, uint32_t last_page)
{
	m->free_head = 0;
	for (uint32_t page = last_page; page > 0; page--) {
		for (uint32_t i = page_end(m, page); i-- > 0;) {
			uint32_t reference = space_reference(&m->queue.space, page, i);

			if (is_used(m, reference))
				continue;
			entry_at(m, reference)->next_free = m->free_head;
			m->free_head = reference;
		}
	}
}

/* To a free chunk; in the policy's order it stays where it is, or is inserted again with what it earned. */
static void relocate(struct mini_cache *m, uint32_t from)
{
	const struct policy_ops *ops = m->queue.ops;
	uint32_t to = chunk_take(m);
	struct mini_entry *e = entry_at(m, from);
	uint8_t state = state_get(&m->queue.space, from);
	uint8_t proven = state & ops->proven_states ? STATE_PROVEN : 0;

	m->table[slot_of(m, e->hash)] = to;
	*entry_at(m, to) = *e;
	state_change(&m->queue.space, to, STATE_OF_USE, (state & STATE_OF_USE) | proven);
	if (ops->move) {
		ops->move(&m->queue, to, from);
	} else {
		ops->insert(&m->queue, to);
		ops->remove(&m->queue, from);
	}
}

static void page_close(struct mini_cache *m)
{
	for (uint32_t i = 0; i < m->fresh_index; i++) {
		uint32_t reference = space_reference(&m->queue.space, m->page_count, i);

		if (is_used(m, reference))
			relocate(m, reference);
	}
	if (m->queue.ops->page_remove)
		m->queue.ops->page_remove(&m->queue, m->page_count);
	region_drop(&m->arena, (size_t)m->page_count * page_bytes(m), page_bytes(m));
	give(m, page_bytes(m));
	m->page_count--;
	m->fresh_index = m->queue.space.chunks_per_page;
}

void mini_shrink(struct mini_cache *m)
{
	uint32_t per_page = m->queue.space.chunks_per_page;
	uint32_t pages = MIN(m->page_count, MAX(1, (m->entry_count + per_page - 1) / per_page));
	uint32_t slots = TABLE_SLOTS_MIN;
	bool starved = m->starved;

	if (pages < m->page_count) {
		list_free(m, pages);
		while (m->page_count > pages)
			page_close(m);
	}
	while (slots < 2 * (m->entry_count + 1))
		slots *= 2;
	if (slots < m->table_slots)
		table_resize(m, slots);
	m->starved = starved; /* that the smaller table was refused is no lack of room for keys */
}

void mini_check(const struct mini_cache *m)
{
	uint64_t weight = 0;
	uint32_t count = 0;

	for (uint32_t i = 0; i < m->table_slots; i++) {
		if (!m->table[i])
			continue;
		const struct mini_entry *e = entry_at(m, m->table[i]);

		assert(slot_of(m, e->hash) == i);
		assert(m->queue.ops->linked(&m->queue, m->table[i]));
		weight += e->weight;
		count++;
	}
	assert(weight == m->weight && count == m->entry_count && count == m->queue.count);
	assert(count <= m->entries_max);
	m->queue.ops->check(&m->queue);
}
