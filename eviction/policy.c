#include "eviction/policy.h"

#include "eviction/frequency.h"

#include <string.h>

static const struct policy_ops *const policies[] = {
	&policy_s3fifo, &policy_lru, &policy_slru, &policy_clock, &policy_sieve, &policy_tinylfu,
};

const struct policy_ops *policy_at(unsigned i)
{
	return i < ARRAY_LENGTH(policies) ? policies[i] : NULL;
}

const struct policy_ops *policy_find(const char *name)
{
	for (unsigned i = 0; i < ARRAY_LENGTH(policies); i++)
		if (strcmp(policies[i]->name, name) == 0)
			return policies[i];
	return NULL;
}

/* ---- what queues share ---- */

enum status policy_shared_init(struct policy_shared *sh, const struct policy_ops *ops,
                               const struct policy_memory *memory, policy_hash_of *hash_of,
                               uint64_t references_max, uint32_t page_limit)
{
	*sh = (struct policy_shared){ .memory = *memory, .hash_of = hash_of };
	uint64_t ghosts_max = !ops || ops->ghost_percent ? references_max : 0;
	uint64_t lines_max = !ops || ops->counts_keys ? references_max / FREQUENCY_LINE_KEYS : 0;

	if (region_reserve(&sh->page_links, page_limit * sizeof(struct page_link), false) != STATUS_OK)
		return STATUS_SYSTEM;
	if (fifo_pool_init(&sh->fifos, memory, references_max) != STATUS_OK)
		goto release_links;
	if (ghost_init(&sh->ghosts, memory, ghosts_max) != STATUS_OK)
		goto fini_fifos;
	if (lines_init(&sh->frequencies, memory, lines_max) != STATUS_OK)
		goto fini_ghosts;
	return STATUS_OK;

fini_ghosts:
	ghost_fini(&sh->ghosts);
fini_fifos:
	fifo_pool_fini(&sh->fifos);
release_links:
	region_release(&sh->page_links);
	return STATUS_SYSTEM;
}

void policy_shared_fini(struct policy_shared *sh)
{
	lines_fini(&sh->frequencies);
	ghost_fini(&sh->ghosts);
	fifo_pool_fini(&sh->fifos);
	region_release(&sh->page_links);
}

bool policy_shared_feed(struct policy_shared *sh)
{
	bool enough = fifo_pool_feed(&sh->fifos);

	enough &= lines_feed(&sh->ghosts.lines, GHOST_LINE_ENTRIES);
	return lines_feed(&sh->frequencies, FREQUENCY_LINE_KEYS) && enough;
}

/* ---- the circle of pages ---- */

void page_circle_add(struct policy_queue *q, uint32_t *hand, uint32_t page_number)
{
	struct page_link *link = page_link_at(q->shared, page_number);

	atomic_store_explicit(&link->owner, q->space.owner, memory_order_relaxed);
	if (!*hand) {
		link->previous = link->next = page_number;
		*hand = page_number;
		return;
	}
	struct page_link *next = page_link_at(q->shared, *hand);

	link->next = *hand;
	link->previous = next->previous;
	page_link_at(q->shared, next->previous)->next = page_number;
	next->previous = page_number;
}

void page_circle_remove(struct policy_queue *q, uint32_t *hand, uint32_t page_number)
{
	struct page_link *link = page_link_at(q->shared, page_number);

	assert(link->owner == q->space.owner);
	if (*hand == page_number)
		*hand = link->next == page_number ? 0 : link->next;
	page_link_at(q->shared, link->previous)->next = link->next;
	page_link_at(q->shared, link->next)->previous = link->previous;
	link->previous = link->next = 0;
	atomic_store_explicit(&link->owner, 0, memory_order_relaxed);
}
