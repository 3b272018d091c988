/*
 * prefix.h: `stats detail`: how often keys of each prefix are read, hit, stored and deleted. A
 * prefix is what stands before the delimiter (-D); keys without one are not counted.
 *
 * Off until somebody asks; then a table of fixed size, charged to ACCOUNT_LOGS. Prefixes that find
 * no place in it, or are too long for it, are not counted. Any thread, under the table's own lock.
 */
#ifndef LARDER_PREFIX_H
#define LARDER_PREFIX_H

#include <pthread.h>
#include <stdatomic.h>

#include "store/base/base.h"
#include "store/budget.h"

#define PREFIX_SLOTS 1024u
#define PREFIX_TEXT_BYTES 95u

struct prefix_entry {
	uint8_t length; /* 0: free */
	char text[PREFIX_TEXT_BYTES];
	uint64_t gets;
	uint64_t hits;
	uint64_t sets;
	uint64_t deletes;
};

struct prefix_table {
	/* const after init */
	struct budget *budget;
	char delimiter;
	/* atomic: relaxed; one load for each batch of requests when it is off */
	_Atomic bool enabled;
	/* under lock */
	pthread_mutex_t lock;
	uint32_t used_count;
	struct prefix_entry *entries; /* NULL until it is first enabled */
};

enum prefix_event { PREFIX_MISS, PREFIX_HIT, PREFIX_SET, PREFIX_DELETE };

struct prefix_table *prefix_table_new(struct budget *budget, char delimiter);
void prefix_table_free(struct prefix_table *pt);

/* prefix_enable: false when the budget has no room for the table. What was counted stays. */
bool prefix_enable(struct prefix_table *pt, bool enabled);
void prefix_record(struct prefix_table *pt, const char *key, size_t key_length,
                   enum prefix_event event);
/* prefix_get: a copy of the first entry at *slot or after it, which moves behind it; false at the end. */
bool prefix_get(struct prefix_table *pt, uint32_t *slot, struct prefix_entry *entry);
/* prefix_clear: forgets all that was counted. */
void prefix_clear(struct prefix_table *pt);

static inline bool prefix_wanted(const struct prefix_table *pt)
{
	return atomic_load_explicit(&pt->enabled, memory_order_relaxed);
}

#endif
