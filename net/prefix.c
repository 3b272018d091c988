#include "net/prefix.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define TABLE_BYTES ALIGN_UP(PREFIX_SLOTS * sizeof(struct prefix_entry), (size_t)OS_PAGE_BYTES)
/* Beyond this a look-up for what is not there would go through most of the table. */
#define USED_MAX (PREFIX_SLOTS / 4 * 3)

struct prefix_table *prefix_table_new(struct budget *budget, char delimiter)
{
	struct prefix_table *pt = calloc(1, sizeof(*pt));

	if (pt == NULL)
		return NULL;
	pt->budget = budget;
	pt->delimiter = delimiter;
	pthread_mutex_init(&pt->lock, NULL);
	return pt;
}

void prefix_table_free(struct prefix_table *pt)
{
	if (pt == NULL)
		return;
	if (pt->entries != NULL) {
		munmap(pt->entries, TABLE_BYTES);
		budget_give(pt->budget, ACCOUNT_LOGS, TABLE_BYTES);
	}
	pthread_mutex_destroy(&pt->lock);
	free(pt);
}

static bool prefix_allocate(struct prefix_table *pt)
{
	if (pt->entries != NULL)
		return true;
	if (!budget_take(pt->budget, ACCOUNT_LOGS, TABLE_BYTES))
		return false;
	void *entries = mmap(NULL, TABLE_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
			     -1, 0);
	if (entries == MAP_FAILED) {
		budget_give(pt->budget, ACCOUNT_LOGS, TABLE_BYTES);
		return false;
	}
	pt->entries = entries;
	return true;
}

bool prefix_enable(struct prefix_table *pt, bool enabled)
{
	pthread_mutex_lock(&pt->lock);
	bool done = !enabled || prefix_allocate(pt);
	if (done)
		atomic_store_explicit(&pt->enabled, enabled, memory_order_relaxed);
	pthread_mutex_unlock(&pt->lock);
	return done;
}

static uint32_t prefix_hash(const char *text, size_t length)
{
	uint32_t hash = 2166136261u; /* FNV-1a */

	for (size_t i = 0; i < length; i++)
		hash = (hash ^ (unsigned char)text[i]) * 16777619u;
	return hash ^ hash >> 15;
}

/* The prefix's entry, made if there is room; NULL if not. */
static struct prefix_entry *prefix_find(struct prefix_table *pt, const char *text, size_t length)
{
	uint32_t slot = prefix_hash(text, length) % PREFIX_SLOTS;

	for (;; slot = (slot + 1) % PREFIX_SLOTS) {
		struct prefix_entry *entry = &pt->entries[slot];
		if (entry->length == length && memcmp(entry->text, text, length) == 0)
			return entry;
		if (entry->length != 0)
			continue;
		if (pt->used_count == USED_MAX)
			return NULL;
		pt->used_count++;
		entry->length = (uint8_t)length;
		memcpy(entry->text, text, length);
		return entry;
	}
}

void prefix_record(struct prefix_table *pt, const char *key, size_t key_length, enum prefix_event event)
{
	const char *end = memchr(key, pt->delimiter, key_length);
	size_t length = end == NULL ? 0 : (size_t)(end - key);

	if (length == 0 || length > PREFIX_TEXT_BYTES)
		return;
	pthread_mutex_lock(&pt->lock);
	struct prefix_entry *entry = pt->entries == NULL ? NULL : prefix_find(pt, key, length);
	if (entry != NULL) {
		entry->gets += event == PREFIX_MISS || event == PREFIX_HIT;
		entry->hits += event == PREFIX_HIT;
		entry->sets += event == PREFIX_SET;
		entry->deletes += event == PREFIX_DELETE;
	}
	pthread_mutex_unlock(&pt->lock);
}

bool prefix_get(struct prefix_table *pt, uint32_t *slot, struct prefix_entry *entry)
{
	bool found = false;

	pthread_mutex_lock(&pt->lock);
	for (; pt->entries != NULL && !found && *slot < PREFIX_SLOTS; (*slot)++) {
		found = pt->entries[*slot].length != 0;
		*entry = pt->entries[*slot];
	}
	pthread_mutex_unlock(&pt->lock);
	return found;
}

void prefix_clear(struct prefix_table *pt)
{
	pthread_mutex_lock(&pt->lock);
	if (pt->entries != NULL)
		memset(pt->entries, 0, TABLE_BYTES);
	pt->used_count = 0;
	pthread_mutex_unlock(&pt->lock);
}
