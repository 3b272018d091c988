#include "net/dump.h"

#include <string.h>

#include "net/dispatch.h"
#include "net/proto/base64.h"
#include "net/settings.h"

/* Items of one step, if their longest lines fit in the outbox. A line is composed while the walk holds
 * a view of its item, so nothing may be sent or parked then. */
#define ITEMS_PER_STEP 48u
#define LINE_BYTES_MAX COMPOSE_METADUMP_MAX
_Static_assert(LINE_BYTES_MAX <= OUTBOX_REPLY_MAX_BYTES, "at least one line fits");

struct dump_task {
	struct task task;
	enum dump_kind kind;
	struct store_walk walk;
	struct dump_classes classes;
	uint64_t left; /* items that may still be listed */
	struct conn *conn;
};

static bool classes_have(const struct dump_classes *classes, uint32_t class_number)
{
	return class_number < 64 * DUMP_CLASS_WORDS &&
	       (classes->bits[class_number / 64] >> class_number % 64 & 1) != 0;
}

static int64_t wall_of_expiry(const struct conn *c, uint32_t expiry)
{
	return clock_wall(&c->worker->server->clock) + expiry - c->worker->now;
}

static void line_meta(struct conn *c, struct output *out, const struct item_view *view)
{
	struct store_thread *st = c->worker->store;
	struct item_facts facts = {
		.key = view->key,
		.key_length = view->key_length,
		.fetched = view->fetched,
		.class_id = view->class_index,
		.client_flags = view->client_flags,
		.exptime = view->expiry == EXPIRY_NEVER ? -1 : wall_of_expiry(c, view->expiry),
		.last_access = clock_wall(&c->worker->server->clock) - store_view_idle_seconds(st, view),
		.cas = store_view_cas(st, view),
		.size_bytes = store_view_bytes(view),
	};
	struct reference_info info;
	/* A line for each entry that refers; that others refer to one is its own affair. */
	if (unlikely(store_view_references(st, view, &info)) &&
	    (info.weak || info.dependencies || info.holds))
		facts.reference = dispatch_reference_name(&info);
	compose_metadump(out, &facts);
}

static void line_key(struct output *out, const struct item_view *view)
{
	char *p = compose_bytes(out->next, "mg ", 3);

	if (view->marks & ITEM_KEY_BINARY) {
		p = base64_encode(p, view->key, view->key_length);
		p = compose_bytes(p, " b", 2);
	} else {
		p = compose_bytes(p, view->key, view->key_length);
	}
	out->next = compose_line_end(p);
}

static void line_cache(struct conn *c, struct output *out, const struct item_view *view)
{
	char *p = compose_bytes(out->next, "ITEM ", 5);

	p = compose_bytes(p, view->key, view->key_length);
	p = compose_bytes(p, " [", 2);
	p = compose_u32(p, view->value_length);
	p = compose_bytes(p, " b; ", 4);
	p = compose_i64(p, view->expiry == EXPIRY_NEVER ? 0 : wall_of_expiry(c, view->expiry));
	out->next = compose_line_end(compose_bytes(p, " s]", 3));
}

static void dump_item(void *context, const struct item_view *view)
{
	struct dump_task *dt = context;
	struct output *out = &dt->conn->worker->outbox.out;

	if (dt->left == 0 || !classes_have(&dt->classes, view->class_index))
		return;
	dt->left--;
	assert(output_room(out) >= LINE_BYTES_MAX);
	switch (dt->kind) {
	case DUMP_META:
		line_meta(dt->conn, out, view);
		break;
	case DUMP_KEYS:
		line_key(out, view);
		break;
	case DUMP_CACHE:
		line_cache(dt->conn, out, view);
		break;
	}
}

static bool step_dump(struct conn *c, struct task *t)
{
	struct dump_task *dt = (struct dump_task *)t;

	if (output_room(&c->worker->outbox.out) < ITEMS_PER_STEP * LINE_BYTES_MAX)
		conn_flush(c);
	/* The client did not take what was there: go on when it has. */
	if (c->broken || parked_any(&c->parked))
		return true;
	size_t items = MIN(output_room(&c->worker->outbox.out) / LINE_BYTES_MAX, ITEMS_PER_STEP);
	if (store_walk(c->worker->store, &dt->walk, items, dump_item, dt) && dt->left > 0)
		return true;
	if (dt->kind == DUMP_KEYS)
		conn_printf(c, "EN\r\n");
	else
		conn_reply(c, REPLY_END);
	return false;
}

void dump_begin(struct conn *c, enum dump_kind kind, const struct dump_classes *classes,
		uint64_t max_items)
{
	struct dump_task *dt = conn_start_task(c, sizeof(*dt), step_dump);

	if (dt == NULL)
		return;
	dt->kind = kind;
	dt->classes = *classes;
	dt->left = max_items;
	dt->conn = c;
}

static bool add_class(struct dump_classes *classes, uint32_t class_number, unsigned class_count)
{
	if (class_number < 1 || class_number > class_count)
		return false;
	classes->bits[class_number / 64] |= 1ULL << class_number % 64;
	return true;
}

bool dump_parse_classes(struct conn *c, const struct slice *word, struct dump_classes *classes)
{
	unsigned class_count = store_class_count(c->worker->server->store);
	const char *p = word->data, *end = p + word->length;
	bool all = (word->length == 3 && memcmp(p, "all", 3) == 0) ||
		   (word->length == 4 && memcmp(p, "hash", 4) == 0);

	memset(classes, all ? 0xff : 0, sizeof(*classes));
	while (!all && p <= end) {
		const char *comma = memchr(p, ',', (size_t)(end - p));
		struct slice number = {p, (uint32_t)((comma != NULL ? comma : end) - p)};
		uint32_t class_number;
		if (!number_parse_u32(number, &class_number) ||
		    !add_class(classes, class_number, class_count))
			return false;
		p = number.data + number.length + 1;
	}
	return true;
}

void dump_begin_cachedump(struct conn *c, const struct words *ws)
{
	struct dump_classes classes = {{0}};
	uint32_t class_number, limit;

	if (!c->worker->server->settings->dump_enabled) {
		conn_printf(c, "CLIENT_ERROR stats cachedump not allowed\r\n");
	} else if (ws->count < 3) {
		conn_printf(c, "CLIENT_ERROR bad command line\r\n");
	} else if (!word_u32(ws, 1, &class_number) || !word_u32(ws, 2, &limit)) {
		conn_reply(c, REPLY_BAD_FORMAT);
	} else if (!add_class(&classes, class_number, store_class_count(c->worker->server->store))) {
		conn_printf(c, "CLIENT_ERROR Illegal slab id\r\n");
	} else {
		dump_begin(c, DUMP_CACHE, &classes, limit == 0 ? UINT64_MAX : limit);
	}
}
