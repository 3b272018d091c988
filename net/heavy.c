#include "net/heavy.h"

/* About two heads for each entry, so that most chains are of one. */
static uint32_t head_count(uint32_t capacity)
{
	uint32_t count = 4;

	while (count < capacity + capacity / 2)
		count *= 2;
	return count;
}

static size_t heads_bytes(uint32_t capacity)
{
	return head_count(capacity) * sizeof(uint16_t);
}

size_t heavy_bytes(uint32_t capacity, uint32_t text_bytes)
{
	return heads_bytes(capacity) + capacity * (sizeof(struct heavy_entry) + text_bytes);
}

void heavy_init(struct heavy *h, void *memory, uint32_t capacity, uint32_t text_bytes)
{
	char *p = memory;

	assert(capacity > 0 && capacity <= HEAVY_CAPACITY_MAX);
	assert(text_bytes <= UINT8_MAX);
	*h = (struct heavy){.capacity = capacity, .text_bytes = text_bytes};
	h->head_mask = head_count(capacity) - 1;
	h->heads = (uint16_t *)(void *)p;
	p += heads_bytes(capacity);
	h->entries = (struct heavy_entry *)(void *)p;
	h->texts = p + capacity * sizeof(struct heavy_entry);
	heavy_clear(h);
}

void heavy_clear(struct heavy *h)
{
	memset(h->heads, 0xff, heads_bytes(h->capacity));
	h->used = 0;
	h->hand = 0;
	h->floor = 0;
	h->total = 0;
	h->total_tally = 0;
}

static uint32_t slot_of(const struct heavy *h, const struct heavy_entry *entry)
{
	return (uint32_t)(entry - h->entries);
}

const char *heavy_text(const struct heavy *h, const struct heavy_entry *entry)
{
	return h->texts + (size_t)slot_of(h, entry) * h->text_bytes;
}

struct heavy_entry *heavy_find(struct heavy *h, uint64_t hash)
{
	uint16_t slot = h->heads[hash & h->head_mask];

	while (slot != HEAVY_NONE && h->entries[slot].hash != hash)
		slot = h->entries[slot].next;
	return slot == HEAVY_NONE ? NULL : &h->entries[slot];
}

static void chain_insert(struct heavy *h, struct heavy_entry *entry)
{
	uint16_t *head = &h->heads[entry->hash & h->head_mask];

	entry->next = *head;
	*head = (uint16_t)slot_of(h, entry);
}

static void chain_remove(struct heavy *h, const struct heavy_entry *entry)
{
	uint16_t *link = &h->heads[entry->hash & h->head_mask];

	while (*link != slot_of(h, entry))
		link = &h->entries[*link].next;
	*link = entry->next;
}

/* An entry with the smallest count of all: of those, the first that the hand comes to. */
static struct heavy_entry *smallest(struct heavy *h)
{
	struct heavy_entry *least = &h->entries[h->hand];

	for (uint32_t i = 0; i < h->capacity; i++) {
		struct heavy_entry *entry = &h->entries[h->hand];
		h->hand = h->hand + 1 == h->capacity ? 0 : h->hand + 1;
		if (entry->count <= h->floor)
			return entry;
		if (entry->count < least->count)
			least = entry;
	}
	h->floor = least->count;
	return least;
}

bool heavy_add(struct heavy *h, uint64_t hash, const char *text, size_t text_length, uint64_t weight,
               uint64_t tally)
{
	struct heavy_entry *entry = heavy_find(h, hash);
	bool replaced = entry == NULL && h->used == h->capacity;

	assert(text_length <= h->text_bytes);
	h->total += weight;
	h->total_tally += tally;
	if (entry != NULL) {
		entry->count += weight;
		entry->tally += tally;
		return false;
	}
	if (replaced) {
		entry = smallest(h);
		chain_remove(h, entry);
		entry->error = entry->count;
	} else {
		entry = &h->entries[h->used++];
		entry->error = 0;
	}
	entry->hash = hash;
	entry->count = entry->error + weight;
	entry->tally = tally;
	entry->text_length = (uint8_t)text_length;
	entry->taken = false;
	memcpy(h->texts + (size_t)slot_of(h, entry) * h->text_bytes, text, text_length);
	chain_insert(h, entry);
	return replaced;
}

void heavy_merge(struct heavy *h, const struct heavy *from)
{
	uint64_t total = h->total + from->total, total_tally = h->total_tally + from->total_tally;

	for (uint32_t i = 0; i < from->used; i++) {
		const struct heavy_entry *entry = &from->entries[i];
		heavy_add(h, entry->hash, heavy_text(from, entry), entry->text_length, entry->count,
			  entry->tally);
		heavy_find(h, entry->hash)->error += entry->error;
	}
	/* Not the sum of what its entries say they may weigh. */
	h->total = total;
	h->total_tally = total_tally;
}

void heavy_zero(struct heavy *h)
{
	for (uint32_t i = 0; i < h->used; i++) {
		h->entries[i].count = 0;
		h->entries[i].error = 0;
		h->entries[i].tally = 0;
	}
	h->floor = 0;
	h->total = 0;
	h->total_tally = 0;
}

/* What is certain is rounded down, so that it stays certain. */
void heavy_halve(struct heavy *h)
{
	for (uint32_t i = 0; i < h->used; i++) {
		struct heavy_entry *entry = &h->entries[i];
		uint64_t certain = heavy_certain(entry) / 2;
		entry->count = (entry->count + 1) / 2;
		entry->error = entry->count - certain;
		entry->tally /= 2;
	}
	h->floor /= 2;
	h->total /= 2;
	h->total_tally /= 2;
}

static int compare_texts(const struct heavy *h, const struct heavy_entry *a, const struct heavy_entry *b)
{
	int order = memcmp(heavy_text(h, a), heavy_text(h, b), MIN(a->text_length, b->text_length));

	return order != 0 ? order : a->text_length - b->text_length;
}

const struct heavy_entry *heavy_take(struct heavy *h)
{
	struct heavy_entry *best = NULL;

	for (uint32_t i = 0; i < h->used; i++) {
		struct heavy_entry *entry = &h->entries[i];
		uint64_t weight = heavy_certain(entry), most = best != NULL ? heavy_certain(best) : 1;
		if (entry->taken || weight < most)
			continue;
		if (best == NULL || weight > most || compare_texts(h, entry, best) < 0)
			best = entry;
	}
	if (best != NULL)
		best->taken = true;
	return best;
}

void heavy_check(const struct heavy *h)
{
	uint32_t chained = 0;

	assert(h->used <= h->capacity);
	assert(h->hand < h->capacity);
	for (uint32_t i = 0; i <= h->head_mask; i++) {
		for (uint16_t slot = h->heads[i]; slot != HEAVY_NONE; slot = h->entries[slot].next) {
			assert(slot < h->used);
			assert((h->entries[slot].hash & h->head_mask) == i);
			chained++;
		}
	}
	assert(chained == h->used);
	for (uint32_t i = 0; i < h->used; i++) {
		assert(h->entries[i].error <= h->entries[i].count);
		assert(h->used < h->capacity || h->entries[i].count >= h->floor);
		assert(h->entries[i].text_length <= h->text_bytes);
	}
}
