#include "store/block.h"

#include "store/index.h"

#define HEADS_PER_PAGE ((uint32_t)(OS_PAGE_BYTES / sizeof(uint32_t)))
#define BLOCK_NUMBER_MAX 0x3fffffffu /* two bits beside it are the reference's kind */

enum status block_table_init(struct block_table *bt, struct budget *budget, uint64_t limit_max_bytes)
{
	/* Half of the budget is more than blocks can take: each has an item that refers to it. */
	uint64_t block_bytes = ALIGN_UP(MAX(limit_max_bytes / 2, 1ULL << 20), (uint64_t)OS_PAGE_BYTES);
	uint64_t page_limit = MIN(block_bytes / OS_PAGE_BYTES, BLOCK_NUMBER_MAX / BLOCKS_PER_PAGE);
	uint64_t head_limit = page_limit * BLOCKS_PER_PAGE;

	*bt = (struct block_table){ .budget = budget };
	lock_init(&bt->lock);
	bt->page_limit = (uint32_t)page_limit;
	bt->head_limit = (uint32_t)head_limit;
	bt->fresh_page = 1; /* block 0 is none */
	if (region_reserve(&bt->block_region, page_limit * OS_PAGE_BYTES, false) != STATUS_OK)
		return STATUS_SYSTEM;
	if (region_reserve(&bt->page_region, page_limit * sizeof(struct block_page), false) != STATUS_OK)
		goto release_blocks;
	if (region_reserve(&bt->head_region, head_limit * sizeof(uint32_t), false) != STATUS_OK)
		goto release_pages;
	bt->blocks = (struct block *)bt->block_region.base;
	bt->pages = (struct block_page *)bt->page_region.base;
	bt->heads = (uint32_t *)bt->head_region.base;
	return STATUS_OK;

release_pages:
	region_release(&bt->page_region);
release_blocks:
	region_release(&bt->block_region);
	return STATUS_SYSTEM;
}

void block_table_fini(struct block_table *bt)
{
	region_release(&bt->head_region);
	region_release(&bt->page_region);
	region_release(&bt->block_region);
}

/* ---- pages of blocks ---- */

static void room_push(struct block_table *bt, uint32_t page)
{
	struct block_page *pg = &bt->pages[page];

	pg->listed = 1;
	pg->newer = 0;
	pg->older = bt->room_head;
	if (bt->room_head)
		bt->pages[bt->room_head].newer = page;
	bt->room_head = page;
}

static void room_remove(struct block_table *bt, uint32_t page)
{
	struct block_page *pg = &bt->pages[page];

	pg->listed = 0;
	if (pg->newer)
		bt->pages[pg->newer].older = pg->older;
	else
		bt->room_head = pg->older;
	if (pg->older)
		bt->pages[pg->older].newer = pg->newer;
}

/* Charges an array up to so many bytes, if it is not yet charged so far. */
static bool charge_array(struct block_table *bt, uint32_t *charged_bytes, uint32_t bytes)
{
	uint32_t needed = ALIGN_UP(bytes, (uint32_t)OS_PAGE_BYTES);

	if (needed <= *charged_bytes)
		return true;
	if (!budget_take(bt->budget, ACCOUNT_REFERENCES, needed - *charged_bytes))
		return false;
	*charged_bytes = needed;
	return true;
}

/* Charges the descriptor of this page, the first time. */
static bool charge_descriptor(struct block_table *bt, uint32_t page)
{
	return charge_array(bt, &bt->pages_charged_bytes,
	                    (page + 1) * (uint32_t)sizeof(struct block_page));
}

static bool page_open(struct block_table *bt)
{
	uint32_t page = bt->dropped_head ? bt->dropped_head : bt->fresh_page;

	if (page >= bt->page_limit || !charge_descriptor(bt, page) ||
	    !budget_take(bt->budget, ACCOUNT_REFERENCES, OS_PAGE_BYTES))
		return false;
	if (page == bt->dropped_head)
		bt->dropped_head = bt->pages[page].older;
	else
		bt->fresh_page++;
	bt->pages[page] = (struct block_page){ 0 };
	room_push(bt, page);
	return true;
}

static void page_close(struct block_table *bt, uint32_t page)
{
	struct block_page *pg = &bt->pages[page];

	if (pg->listed)
		room_remove(bt, page);
	region_drop(&bt->block_region, (size_t)page * OS_PAGE_BYTES, OS_PAGE_BYTES);
	budget_give(bt->budget, ACCOUNT_REFERENCES, OS_PAGE_BYTES);
	*pg = (struct block_page){ .older = bt->dropped_head };
	bt->dropped_head = page;
}

static struct block *page_pop(struct block_table *bt, uint32_t page)
{
	struct block_page *pg = &bt->pages[page];
	uint32_t index = pg->free_plus_one ? pg->free_plus_one - 1u : pg->fresh_index++;
	struct block *b = block_at(bt, (uint32_t)(page * BLOCKS_PER_PAGE + index));

	if (pg->free_plus_one)
		pg->free_plus_one = (uint16_t)b->next;
	pg->used_count++;
	if (!pg->free_plus_one && pg->fresh_index == BLOCKS_PER_PAGE)
		room_remove(bt, page);
	return b;
}

static void page_push(struct block_table *bt, struct block *b)
{
	uint32_t number = block_number(bt, b);
	uint32_t page = (uint32_t)(number / BLOCKS_PER_PAGE);
	struct block_page *pg = &bt->pages[page];

	block_change(b, BLOCK_USED, BLOCK_DEAD);
	b->next = pg->free_plus_one;
	pg->free_plus_one = (uint16_t)(number % BLOCKS_PER_PAGE + 1);
	pg->used_count--;
	if (!pg->listed)
		room_push(bt, page);
	/* One page with room stays, so that one block that comes and goes does not open and close it. */
	if (pg->used_count == 0 && (pg->newer || pg->older))
		page_close(bt, page);
}

/* ---- the table ---- */

static uint32_t *head_of(const struct block_table *bt, uint32_t hash)
{
	return &bt->heads[index_position(bt->head_count, hash)];
}

static void chain_push(struct block_table *bt, struct block *b)
{
	uint32_t *head = head_of(bt, b->hash);

	b->next = *head;
	*head = block_number(bt, b);
}

/* Puts the blocks of the chain that was heads[from] where they belong now. */
static void chain_deal(struct block_table *bt, uint32_t chain)
{
	while (chain) {
		struct block *b = block_at(bt, chain);

		chain = b->next;
		chain_push(bt, b);
	}
}

static bool charge_heads(struct block_table *bt, uint32_t count)
{
	return charge_array(bt, &bt->heads_charged_bytes, count * (uint32_t)sizeof(uint32_t));
}

/* One head more for each block more than there are heads: the chains stay at one block on average. */
static bool heads_grow(struct block_table *bt)
{
	if (bt->head_count == 0) {
		if (!charge_heads(bt, HEADS_PER_PAGE))
			return false;
		bt->head_count = HEADS_PER_PAGE;
	}
	if (bt->listed_count < bt->head_count || bt->head_count == bt->head_limit ||
	    !charge_heads(bt, bt->head_count + 1))
		return true; /* longer chains will do */
	uint32_t top = 1u << (31 - __builtin_clz(bt->head_count));
	uint32_t *from = &bt->heads[bt->head_count - top];
	uint32_t chain = *from;

	*from = 0;
	bt->heads[bt->head_count] = 0;
	bt->head_count++;
	chain_deal(bt, chain);
	return true;
}

static void give_unused_heads(struct block_table *bt)
{
	uint32_t keep = ALIGN_UP((bt->head_count + HEADS_PER_PAGE) * (uint32_t)sizeof(uint32_t),
	                         (uint32_t)OS_PAGE_BYTES);

	if (keep >= bt->heads_charged_bytes)
		return;
	region_drop(&bt->head_region, keep, bt->heads_charged_bytes - keep);
	budget_give(bt->budget, ACCOUNT_REFERENCES, bt->heads_charged_bytes - keep);
	bt->heads_charged_bytes = keep;
}

/* Two heads less for each block less, so that the table keeps up. */
static void heads_shrink(struct block_table *bt)
{
	for (unsigned i = 0; i < 2; i++) {
		if (bt->head_count <= HEADS_PER_PAGE || bt->listed_count > bt->head_count / 2)
			break;
		uint32_t chain = bt->heads[--bt->head_count];

		bt->heads[bt->head_count] = 0;
		chain_deal(bt, chain);
	}
	give_unused_heads(bt);
}

static void table_remove(struct block_table *bt, struct block *b)
{
	uint32_t number = block_number(bt, b);
	uint32_t *link = head_of(bt, b->hash);

	while (*link != number) {
		assert(*link);
		link = &block_at(bt, *link)->next;
	}
	*link = b->next;
	bt->listed_count--;
	heads_shrink(bt);
}

/* ---- blocks ---- */

struct block *block_new(struct block_table *bt, uint64_t hash, uint32_t item)
{
	if (!heads_grow(bt) || (!bt->room_head && !page_open(bt)))
		return NULL;
	struct block *b = page_pop(bt, bt->room_head);

	b->hash = (uint32_t)hash;
	b->references = b->holds = b->versions = b->inner = b->link = b->search = b->told = 0;
	atomic_store_explicit(&b->item, item, memory_order_relaxed);
	atomic_store_explicit(&b->expiry, 0, memory_order_relaxed);
	atomic_store_explicit(&b->version, 1, memory_order_relaxed);
	atomic_store_explicit(&b->checked, 0, memory_order_relaxed);
	atomic_store_explicit(&b->state, BLOCK_USED, memory_order_release);
	chain_push(bt, b);
	bt->listed_count++;
	bt->block_count++;
	return b;
}

struct block *block_find(const struct block_table *bt, uint64_t hash, uint32_t item)
{
	if (bt->head_count == 0)
		return NULL;
	for (uint32_t number = *head_of(bt, (uint32_t)hash); number;) {
		struct block *b = block_at(bt, number);

		/* An item is one life's alone, so that nothing else need be compared. */
		if (atomic_load_explicit(&b->item, memory_order_relaxed) == item)
			return b;
		number = b->next;
	}
	return NULL;
}

void block_end(struct block_table *bt, struct block *b)
{
	assert(!(block_state(b) & BLOCK_DEAD));
	table_remove(bt, b);
	block_change(b, 0, BLOCK_DEAD);
}

void block_free(struct block_table *bt, struct block *b)
{
	assert(b->references == 0);
	assert(b->told == 0);
	if (!(block_state(b) & BLOCK_DEAD))
		table_remove(bt, b);
	bt->block_count--;
	page_push(bt, b);
}

uint32_t block_end_number(const struct block_table *bt)
{
	return (uint32_t)(bt->fresh_page * BLOCKS_PER_PAGE);
}

bool block_is_used(const struct block_table *bt, uint32_t number)
{
	const struct block_page *pg = &bt->pages[number / BLOCKS_PER_PAGE];

	/* A dropped page is not looked into, which would make it resident again. */
	return pg->used_count > 0 && number % BLOCKS_PER_PAGE < pg->fresh_index &&
	       (block_state(block_at(bt, number)) & BLOCK_USED);
}

/* ---- checking ---- */

void block_table_check(struct block_table *bt)
{
	uint32_t used = 0, listed = 0, open_pages = 0;

	for (uint32_t page = 1; page < bt->fresh_page; page++)
		open_pages += bt->pages[page].used_count > 0 || bt->pages[page].listed;
	for (uint32_t number = 0; number < bt->fresh_page * BLOCKS_PER_PAGE; number++) {
		if (!block_is_used(bt, number))
			continue;
		const struct block *b = block_at(bt, number);

		used++;
		assert(b->holds + (uint64_t)b->versions <= b->references);
		listed += !(block_state(b) & BLOCK_DEAD);
		assert(!(block_state(b) & BLOCK_VISITED));
		if (!(block_state(b) & BLOCK_DEAD))
			assert(block_find(bt, b->hash, b->item) == b);
	}
	assert(used == bt->block_count);
	assert(listed == bt->listed_count);
	assert(bt->head_count * sizeof(uint32_t) <= bt->heads_charged_bytes);
	assert(budget_account(bt->budget, ACCOUNT_REFERENCES) ==
	       (uint64_t)open_pages * OS_PAGE_BYTES + bt->pages_charged_bytes +
	               bt->heads_charged_bytes);
}
