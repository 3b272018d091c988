#include "net/profile.h"

#include <string.h>

#include "net/heavy.h"
#include "net/hot.h"
#include "net/prefix.h"
#include "net/proto/compose.h"
#include "net/settings.h"
#include "net/stats.h"

/* A turn is 32 steps: so many items, each a line or two that no cache has, take less than a
 * millisecond. */
#define ITEMS_PER_STEP 128u
#define LIST_DEFAULT 16u
#define LIST_MAX 100u

/* --- what the three have in common ------------------------------------------------------------ */

/* A key in the name or value of a line. */
struct key_text {
	char bytes[3 * KEY_LENGTH_MAX + 1];
};

static const char *encode_key(struct key_text *text, const char *key, size_t key_length)
{
	*compose_percent_encoded(text->bytes, key, key_length) = '\0';
	return text->bytes;
}

/* How many are asked for. False when it was answered: a wrong word, or keys may not be listed. */
static bool list_length(struct conn *c, const struct words *ws, const char *command, uint32_t *length)
{
	uint64_t number = LIST_DEFAULT;

	if (!c->worker->server->settings->dump_enabled) {
		conn_printf(c, "CLIENT_ERROR stats %s not allowed\r\n", command);
		return false;
	}
	if (ws->count > 2 || (ws->count == 2 && !word_u64(ws, 1, &number)) || number < 1 ||
	    number > LIST_MAX) {
		conn_printf(c, "CLIENT_ERROR usage: stats %s [1-%u]\r\n", command, LIST_MAX);
		return false;
	}
	*length = (uint32_t)number;
	return true;
}

/* --- prefixes --------------------------------------------------------------------------------- */

/*
 * While there are no more prefixes than the table holds, one walk counts them all. If there are more,
 * that walk finds those with the most bytes (each with more than a 256th of the whole is certain to be
 * found), and a second one counts these exactly.
 */
#define PREFIX_CAPACITY 256u
#define PREFIX_BYTES 200u

struct weight {
	uint64_t items;
	uint64_t bytes;
};

struct prefixes_task {
	struct task task;
	struct conn *conn;
	struct store_walk walk;
	bool walked;
	bool overflowed; /* the first walk met more than the table holds */
	bool recount;    /* this is the second walk */
	struct weight none;
	struct weight other;
	struct heavy prefixes; /* weights: bytes; tallies: items */
	_Alignas(8) char memory[];
};

static void weigh(struct weight *w, uint64_t bytes)
{
	w->items++;
	w->bytes += bytes;
}

static void count_known_prefix(struct prefixes_task *pt, uint64_t hash, uint64_t bytes)
{
	struct heavy_entry *entry = heavy_find(&pt->prefixes, hash);

	if (entry == NULL) {
		weigh(&pt->other, bytes);
		return;
	}
	entry->count += bytes;
	entry->tally++;
}

static void count_prefix(void *context, const struct item_view *view)
{
	struct prefixes_task *pt = context;
	struct worker *w = pt->conn->worker;
	const char *end = memchr(view->key, w->server->prefixes->delimiter, view->key_length);
	size_t length = end == NULL ? 0 : (size_t)(end - view->key);
	uint64_t bytes = store_view_bytes(view);

	if (length == 0) {
		weigh(&pt->none, bytes);
		return;
	}
	if (length > PREFIX_BYTES) {
		weigh(&pt->other, bytes);
		return;
	}
	uint64_t hash = store_hash(w->store, view->key, length);
	if (pt->recount)
		count_known_prefix(pt, hash, bytes);
	else if (heavy_add(&pt->prefixes, hash, view->key, length, bytes, 1))
		pt->overflowed = true;
}

static void walk_prefixes(struct prefixes_task *pt)
{
	if (store_walk(pt->conn->worker->store, &pt->walk, ITEMS_PER_STEP, count_prefix, pt))
		return;
	pt->walked = !pt->overflowed || pt->recount;
	if (pt->walked)
		return;
	pt->recount = true;
	pt->walk = (struct store_walk){0};
	pt->none = pt->other = (struct weight){0};
	heavy_zero(&pt->prefixes);
}

static void prefix_lines(struct conn *c, const char *name, uint64_t items, uint64_t bytes)
{
	conn_printf(c, "STAT %s:items %llu\r\nSTAT %s:bytes %llu\r\n", name, (unsigned long long)items,
		    name, (unsigned long long)bytes);
}

static bool step_prefixes(struct conn *c, struct task *t)
{
	struct prefixes_task *pt = (struct prefixes_task *)t;
	struct key_text text;

	if (!pt->walked) {
		walk_prefixes(pt);
		return true;
	}
	const struct heavy_entry *entry = heavy_take(&pt->prefixes);
	if (entry != NULL) {
		const char *prefix = heavy_text(&pt->prefixes, entry);
		prefix_lines(c, encode_key(&text, prefix, entry->text_length), entry->tally, entry->count);
		return true;
	}
	/* No prefix can have these names: parentheses are encoded. */
	prefix_lines(c, "(none)", pt->none.items, pt->none.bytes);
	prefix_lines(c, "(other)", pt->other.items, pt->other.bytes);
	conn_reply(c, REPLY_END);
	return false;
}

void profile_prefixes(struct conn *c, const struct words *ws)
{
	size_t bytes = sizeof(struct prefixes_task) + heavy_bytes(PREFIX_CAPACITY, PREFIX_BYTES);

	assert(bytes <= BUFFER_BYTES_MAX);
	if (ws->count > 1) {
		conn_printf(c, "CLIENT_ERROR usage: stats prefixes\r\n");
		return;
	}
	struct prefixes_task *pt = conn_start_task(c, bytes, step_prefixes);
	if (pt == NULL)
		return;
	pt->conn = c;
	heavy_init(&pt->prefixes, pt->memory, PREFIX_CAPACITY, PREFIX_BYTES);
}

/* --- largest ---------------------------------------------------------------------------------- */

struct large_item {
	uint32_t bytes;
	uint32_t expiry;
	uint32_t idle_seconds;
	uint8_t key_length;
	bool listed;
	char key[KEY_LENGTH_MAX];
};

struct largest_task {
	struct task task;
	struct conn *conn;
	struct store_walk walk;
	bool walked;
	uint32_t limit;
	uint32_t count;
	uint32_t listed;
	uint32_t last; /* when the list is full: the item that would go first */
	struct large_item items[];
};
_Static_assert(sizeof(struct largest_task) + LIST_MAX * sizeof(struct large_item) <= BUFFER_BYTES_MAX,
	       "a task lives in one block");

/* By size, and of equals by key, so that the list does not depend on where items lie. Above 0: a comes
 * before b. */
static int compare_large(uint32_t a_bytes, const char *a_key, size_t a_length, const struct large_item *b)
{
	if (a_bytes != b->bytes)
		return a_bytes > b->bytes ? 1 : -1;
	int order = memcmp(b->key, a_key, MIN(a_length, b->key_length));
	return order != 0 ? order : (int)b->key_length - (int)a_length;
}

static bool large_before(const struct large_item *a, const struct large_item *b)
{
	return compare_large(a->bytes, a->key, a->key_length, b) > 0;
}

static void find_last(struct largest_task *lt)
{
	lt->last = 0;
	for (uint32_t i = 1; i < lt->count; i++)
		if (large_before(&lt->items[lt->last], &lt->items[i]))
			lt->last = i;
}

/* Where an item of this key goes: over what was seen of it before, if it was replaced meanwhile. */
static struct large_item *place_of(struct largest_task *lt, const struct item_view *view)
{
	for (uint32_t i = 0; i < lt->count; i++) {
		struct large_item *li = &lt->items[i];
		if (li->key_length == view->key_length && memcmp(li->key, view->key, li->key_length) == 0)
			return li;
	}
	return lt->count < lt->limit ? &lt->items[lt->count++] : &lt->items[lt->last];
}

static void note_large(void *context, const struct item_view *view)
{
	struct largest_task *lt = context;
	uint32_t bytes = store_view_bytes(view);

	if (lt->count == lt->limit &&
	    compare_large(bytes, view->key, view->key_length, &lt->items[lt->last]) <= 0)
		return;
	struct large_item *li = place_of(lt, view);
	li->bytes = bytes;
	li->expiry = view->expiry;
	li->idle_seconds = store_view_idle_seconds(lt->conn->worker->store, view);
	li->key_length = view->key_length;
	memcpy(li->key, view->key, view->key_length);
	find_last(lt);
}

static struct large_item *take_large(struct largest_task *lt)
{
	struct large_item *best = NULL;

	for (uint32_t i = 0; i < lt->count; i++) {
		struct large_item *li = &lt->items[i];
		if (!li->listed && (best == NULL || large_before(li, best)))
			best = li;
	}
	if (best != NULL)
		best->listed = true;
	return best;
}

static void large_lines(struct conn *c, unsigned rank, const struct large_item *li)
{
	uint32_t now = c->worker->now;
	long long ttl = li->expiry == EXPIRY_NEVER ? -1 : (long long)(MAX(li->expiry, now) - now);
	struct key_text text;

	conn_printf(c,
		    "STAT %u:key %s\r\nSTAT %u:bytes %u\r\nSTAT %u:ttl %lld\r\nSTAT %u:idle %u\r\n",
		    rank, encode_key(&text, li->key, li->key_length), rank, li->bytes, rank, ttl, rank,
		    li->idle_seconds);
}

static bool step_largest(struct conn *c, struct task *t)
{
	struct largest_task *lt = (struct largest_task *)t;

	if (!lt->walked) {
		lt->walked = !store_walk(c->worker->store, &lt->walk, ITEMS_PER_STEP, note_large, lt);
		return true;
	}
	const struct large_item *li = take_large(lt);
	if (li == NULL) {
		conn_reply(c, REPLY_END);
		return false;
	}
	large_lines(c, ++lt->listed, li);
	return true;
}

void profile_largest(struct conn *c, const struct words *ws)
{
	uint32_t limit;

	if (!list_length(c, ws, "largest", &limit))
		return;
	struct largest_task *lt = conn_start_task(c, sizeof(*lt) + limit * sizeof(lt->items[0]),
						  step_largest);
	if (lt == NULL)
		return;
	lt->conn = c;
	lt->limit = limit;
}

/* --- hottest ---------------------------------------------------------------------------------- */

/* More than one worker's, so that merging adds little to the error of each. */
#define MERGED_CAPACITY 208u
_Static_assert(MERGED_CAPACITY >= HOT_CAPACITY, "one worker's table is listed as it is");

struct hottest_task {
	struct task task;
	unsigned workers_merged;
	bool headed;
	uint32_t limit;
	uint32_t listed;
	uint32_t seconds;
	struct heavy keys;
	_Alignas(8) char memory[];
};

static void merge_worker(struct conn *c, struct hottest_task *ht)
{
	struct worker *w = &c->worker->server->workers[ht->workers_merged++];
	uint32_t seconds = hot_merge(&w->hot, c->worker->now, &ht->keys);

	ht->seconds = MAX(ht->seconds, seconds);
}

/* Gets a second of which so many samples were taken. */
static unsigned long long rate_of(const struct hottest_task *ht, uint64_t samples)
{
	return samples * HOT_INTERVAL / MAX(ht->seconds, 1u);
}

static void hottest_head(struct conn *c, const struct hottest_task *ht)
{
	stat_number(c, "interval", HOT_INTERVAL);
	stat_number(c, "seconds", ht->seconds);
	stat_number(c, "samples", ht->keys.total);
	stat_number(c, "misses", ht->keys.total_tally);
	stat_number(c, "rate", rate_of(ht, ht->keys.total));
}

static void hot_lines(struct conn *c, const struct hottest_task *ht, const struct heavy_entry *entry)
{
	uint64_t samples = heavy_certain(entry);
	unsigned rank = ht->listed;
	struct key_text text;

	encode_key(&text, heavy_text(&ht->keys, entry), entry->text_length);
	conn_printf(c,
		    "STAT %u:key %s\r\nSTAT %u:samples %llu\r\nSTAT %u:error %llu\r\n"
		    "STAT %u:misses %llu\r\nSTAT %u:rate %llu\r\nSTAT %u:share %.4f\r\n",
		    rank, text.bytes, rank, (unsigned long long)samples, rank,
		    (unsigned long long)entry->error, rank, (unsigned long long)entry->tally, rank,
		    rate_of(ht, samples), rank, (double)samples / (double)MAX(ht->keys.total, 1u));
}

static bool step_hottest(struct conn *c, struct task *t)
{
	struct hottest_task *ht = (struct hottest_task *)t;

	if (ht->workers_merged < c->worker->server->worker_count) {
		merge_worker(c, ht);
		return true;
	}
	if (!ht->headed) {
		ht->headed = true;
		hottest_head(c, ht);
		return true;
	}
	const struct heavy_entry *entry = ht->listed < ht->limit ? heavy_take(&ht->keys) : NULL;
	if (entry == NULL) {
		conn_reply(c, REPLY_END);
		return false;
	}
	ht->listed++;
	hot_lines(c, ht, entry);
	return true;
}

void profile_hottest(struct conn *c, const struct words *ws)
{
	size_t bytes = sizeof(struct hottest_task) + heavy_bytes(MERGED_CAPACITY, HOT_TEXT_BYTES);
	uint32_t limit;

	assert(bytes <= BUFFER_BYTES_MAX);
	if (!list_length(c, ws, "hottest", &limit))
		return;
	struct hottest_task *ht = conn_start_task(c, bytes, step_hottest);
	if (ht == NULL)
		return;
	ht->limit = limit;
	heavy_init(&ht->keys, ht->memory, MERGED_CAPACITY, HOT_TEXT_BYTES);
}

void profile_reset(struct server *sv, uint32_t now)
{
	for (unsigned i = 0; i < sv->worker_count; i++)
		hot_reset(&sv->workers[i].hot, now);
}
