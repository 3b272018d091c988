/*
 * dump.h: commands that list the cache: lru_crawler metadump and mgdump, stats cachedump. A walk over
 * all items in steps, each as much as the outbox takes, going on as the client reads.
 */
#ifndef LARDER_DUMP_H
#define LARDER_DUMP_H

#include "net/conn.h"
#include "net/words.h"

enum dump_kind {
	DUMP_META,  /* key=... exp=... la=... */
	DUMP_KEYS,  /* mg <key> */
	DUMP_CACHE, /* ITEM <key> [<bytes> b; <expiry> s] */
};

/* Classes to be listed: a bit each. */
#define DUMP_CLASS_WORDS 4
struct dump_classes {
	uint64_t bits[DUMP_CLASS_WORDS];
};

/* dump_parse_classes: "all", "hash", or numbers with commas; false if it is none of these. */
bool dump_parse_classes(struct conn *c, const struct slice *word, struct dump_classes *classes);
void dump_begin(struct conn *c, enum dump_kind kind, const struct dump_classes *classes,
                uint64_t max_items);
/* dump_begin_cachedump: ws is "cachedump <class> <limit>"; checks it. */
void dump_begin_cachedump(struct conn *c, const struct words *ws);


#endif
