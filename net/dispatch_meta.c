#include "net/dispatch_internal.h"

#include <string.h>

#include "net/dump.h"
#include "net/observe.h"
#include "net/settings.h"

/*
 * The meta commands. Their replies are a status, the return flags in the order they were asked for, and
 * the three marks Z, X, W; compose_meta writes all that from struct meta_values, which is filled here.
 */

static struct meta_values values_of_key(const struct request *rq)
{
	return (struct meta_values){
		.key = rq->key,
		.key_length = rq->key_length,
		.key_is_binary = META_HAS(rq->meta, 'b'),
	};
}

/* What is over has no time left; a negative number would say that it never ends. */
static int64_t ttl_of_expiry(const struct conn *c, uint32_t expiry)
{
	return expiry == EXPIRY_NEVER ? -1 : MAX((int64_t)expiry - c->worker->now, 0);
}

static void reply_meta(struct conn *c, const struct request *rq, enum meta_status status,
		       uint64_t returns, const struct meta_values *values)
{
	compose_meta(conn_room(c, COMPOSE_META_MAX), status, returns, rq->meta, values);
}

/* --- N: what is absent is made ------------------------------------------------------------------ */

/* When what N makes is to expire: T too may say so, and the later of the two counts. */
static uint32_t vivify_expiry(const struct conn *c, const struct meta_args *meta)
{
	int64_t ttl = meta->autoviv_ttl;

	for (unsigned i = 0; i < meta->return_count; i++) {
		if (meta->return_order[i] == 'N')
			ttl = meta->autoviv_ttl;
		else if (meta->return_order[i] == 'T')
			ttl = meta->ttl;
	}
	return dispatch_expiry(c, ttl);
}

static void describe_made(const struct conn *c, const struct meta_args *meta, struct meta_values *values)
{
	values->created = true;
	values->ttl_before = -1;
	values->ttl_made = ttl_of_expiry(c, dispatch_expiry(c, meta->autoviv_ttl));
	if (META_HAS(meta, 'T'))
		values->ttl = ttl_of_expiry(c, dispatch_expiry(c, meta->ttl));
}

/* --- mg --------------------------------------------------------------------------------------- */

/* What an mg is about to answer. */
struct meta_get {
	struct item_view view;
	struct meta_values values;
};

static void meta_get_describe(struct conn *c, const struct request *rq, struct meta_get *mg)
{
	struct store_thread *st = c->worker->store;

	mg->values.client_flags = mg->view.client_flags;
	mg->values.value_length = mg->view.value_length;
	mg->values.hit_before = mg->view.fetched;
	mg->values.ttl_before = mg->values.ttl = ttl_of_expiry(c, mg->view.expiry);
	mg->values.already_won = (mg->view.marks & ITEM_WON) != 0;
	mg->values.stale = (mg->view.marks & ITEM_STALE) != 0;
	mg->values.key_is_binary = (mg->view.marks & ITEM_KEY_BINARY) != 0;
	if (unlikely(mg->view.weak)) {
		mg->values.target = mg->view.target;
		mg->values.target_length = mg->view.target_length;
	}
	if (META_HAS(rq->meta, 'l'))
		mg->values.last_access_seconds = store_view_idle_seconds(st, &mg->view);
	if (META_HAS(rq->meta, 'c'))
		mg->values.cas = store_view_cas(st, &mg->view);
}

/* R looks at the time to live as it is where R stands: before T the old one, after it the new. */
static uint32_t meta_get_recache_expiry(const struct meta_args *meta, uint32_t old_expiry,
					uint32_t expiry)
{
	for (unsigned i = 0; i < meta->return_count; i++) {
		if (meta->return_order[i] == 'R')
			return old_expiry;
		if (meta->return_order[i] == 'T')
			return expiry;
	}
	return expiry;
}

/* One client is told to fetch the item anew: the first that sees it stale, or with less than R to live. */
static void meta_get_claim(struct conn *c, const struct request *rq, struct meta_get *mg,
			   uint32_t old_expiry)
{
	bool wanted = mg->values.stale;

	if (META_HAS(rq->meta, 'R')) {
		uint32_t expiry = meta_get_recache_expiry(rq->meta, old_expiry, mg->view.expiry);
		wanted |= expiry != EXPIRY_NEVER &&
			  expiry < dispatch_expiry(c, rq->meta->recache_ttl);
	}
	if (!wanted || mg->values.already_won)
		return;
	mg->values.won = store_claim(c->worker->store, &mg->view);
	mg->values.already_won = !mg->values.won;
}

/* Goes on from a weak reference, unless n asks for the reference itself. False: it leads nowhere. */
static bool meta_get_follow(struct conn *c, const struct request *rq, struct meta_get *mg)
{
	if (likely(!mg->view.weak) || META_HAS(rq->meta, 'n'))
		return true;
	return store_follow(c->worker->store, &mg->view, !META_HAS(rq->meta, 'u'));
}

enum vivified { VIVIFIED, VIVIFIED_NOTHING, VIVIFIED_NO_MEMORY };

/* N: a miss makes an empty item, and the client that made it has won; but not where there is a weak reference that
 * leads nowhere, which stays the miss that it is. */
static enum vivified meta_get_vivify(struct conn *c, const struct request *rq, struct meta_get *mg)
{
	struct store_thread *st = c->worker->store;
	struct item_spec spec = {
		.key = rq->key,
		.key_length = rq->key_length,
		.hash = rq->hash,
		.marks = (uint8_t)(ITEM_WON | (META_HAS(rq->meta, 'b') ? ITEM_KEY_BINARY : 0)),
		.expiry = vivify_expiry(c, rq->meta),
		.explicit_cas = META_HAS(rq->meta, 'E') ? rq->meta->explicit_cas : 0,
	};
	struct commit_args args = {.mode = STORE_ADD};
	enum store_result result = store_set(st, &spec, "", &args);

	if (result != STORE_OK && result != STORE_NOT_STORED)
		return VIVIFIED_NO_MEMORY;
	/* Gone already if it was made to be over: then it is described as it was made. */
	mg->view = (struct item_view){.value = "", .expiry = spec.expiry, .marks = spec.marks};
	if (store_peek(st, rq->key, rq->key_length, rq->hash, &mg->view)) {
		if (!meta_get_follow(c, rq, mg))
			return VIVIFIED_NOTHING;
		if (META_HAS(rq->meta, 'v') && !conn_hold_value(c, &mg->view))
			return VIVIFIED_NO_MEMORY;
		meta_get_describe(c, rq, mg);
	}
	if (result == STORE_OK) {
		mg->values.cas = args.cas;
		mg->values.won = true;
		mg->values.already_won = false;
		describe_made(c, rq->meta, &mg->values);
	}
	return VIVIFIED;
}

/* T: the item gets a new time to live, and a new view. False: it is gone. */
static bool meta_get_touch(struct conn *c, const struct request *rq, struct meta_get *mg)
{
	uint32_t expiry = dispatch_expiry(c, rq->meta->ttl);

	if (store_touch(c->worker->store, rq->key, rq->key_length, rq->hash, expiry, &mg->view) !=
		    STORE_OK ||
	    !meta_get_follow(c, rq, mg))
		return false;
	if (unlikely(mg->view.weak))
		mg->values.target = mg->view.target;
	mg->values.ttl = ttl_of_expiry(c, expiry);
	return true;
}

static bool meta_get_find(struct conn *c, const struct request *rq, struct meta_get *mg)
{
	struct store_thread *st = c->worker->store;
	bool found = META_HAS(rq->meta, 'u')
			     ? store_peek(st, rq->key, rq->key_length, rq->hash, &mg->view)
			     : store_get_entry(st, rq->key, rq->key_length, rq->hash, &mg->view);

	if (!found || !meta_get_follow(c, rq, mg))
		return false;
	meta_get_describe(c, rq, mg);
	uint32_t old_expiry = mg->view.expiry;
	if (META_HAS(rq->meta, 'T') && !meta_get_touch(c, rq, mg))
		return false;
	if (META_HAS(rq->meta, 'v') && !conn_hold_value(c, &mg->view))
		return false;
	meta_get_claim(c, rq, mg, old_expiry);
	return true;
}

/* Counted as memcached counts: with T a hit is a touch and no get; what N makes is a hit. */
static void meta_get_count(struct conn *c, const struct request *rq, bool found,
			   const struct item_view *view)
{
	if (found && META_HAS(rq->meta, 'T')) {
		COUNT(c, touch_commands);
		COUNT(c, touch_hits);
		return;
	}
	COUNT(c, get_commands);
	if (found)
		COUNT(c, get_hits);
	else
		dispatch_count_miss(c, view);
}

static void meta_get_reply_value(struct conn *c, const struct request *rq, const struct meta_get *mg)
{
	reply_meta(c, rq, META_STATUS_VA, META_RETURNS_GET, &mg->values);
	conn_write_value(c, &mg->view);
}

static void dispatch_meta_get(struct conn *c, const struct request *rq)
{
	struct meta_get mg = {.values = values_of_key(rq)};

	conn_room(c, OUTBOX_REPLY_MAX_BYTES);
	bool found = meta_get_find(c, rq, &mg);
	if (unlikely(c->worker->observing != 0))
		observe_fetch(c, rq, found ? &mg.view : NULL);
	dispatch_sample(c, rq, found);
	if (!found && META_HAS(rq->meta, 'N')) {
		enum vivified vivified = meta_get_vivify(c, rq, &mg);

		found = vivified == VIVIFIED;
		if (vivified == VIVIFIED_NO_MEMORY) {
			COUNT(c, store_no_memory);
			conn_reply(c, REPLY_NO_MEMORY);
			return;
		}
	}
	meta_get_count(c, rq, found, &mg.view);
	if (!found) {
		if (!META_HAS(rq->meta, 'q'))
			reply_meta(c, rq, META_STATUS_EN, META_RETURNS_MISS, &mg.values);
	} else if (META_HAS(rq->meta, 'v')) {
		meta_get_reply_value(c, rq, &mg);
	} else {
		reply_meta(c, rq, META_STATUS_HD, META_RETURNS_GET, &mg.values);
	}
}

/* --- ms --------------------------------------------------------------------------------------- */

/* After an append: the whole value's length. */
static uint32_t meta_stored_length(struct conn *c, const struct request *rq)
{
	struct item_view view;

	if (!store_peek(c->worker->store, rq->key, rq->key_length, rq->hash, &view))
		return rq->value_length;
	return view.value_length;
}

void meta_reply_stored(struct conn *c, const struct request *rq, enum store_result result, uint64_t cas)
{
	static const uint8_t statuses[] = {
		[STORE_OK] = META_STATUS_HD,
		[STORE_NOT_STORED] = META_STATUS_NS,
		[STORE_EXISTS] = META_STATUS_EX,
		[STORE_NOT_FOUND] = META_STATUS_NF,
	};
	struct meta_values values = values_of_key(rq);

	if (result == STORE_OK && META_HAS(rq->meta, 'q'))
		return;
	values.cas = result == STORE_OK ? cas : 0;
	values.value_length = rq->value_length;
	if (META_HAS(rq->meta, 's') && result == STORE_OK && strchr("AP", rq->meta->mode) != NULL)
		values.value_length = meta_stored_length(c, rq);
	reply_meta(c, rq, (enum meta_status)statuses[result], META_RETURNS_SET, &values);
}

/* --- md --------------------------------------------------------------------------------------- */

static void dispatch_meta_delete(struct conn *c, const struct request *rq)
{
	const struct meta_args *meta = rq->meta;
	struct meta_values values = values_of_key(rq);
	struct delete_args args = {
		.has_compare = META_HAS(meta, 'C'),
		.compare_cas = meta->compare_cas,
		.invalidate = META_HAS(meta, 'I'),
		.clear_value = META_HAS(meta, 'x'),
		.explicit_cas = META_HAS(meta, 'E') ? meta->explicit_cas : 0,
		.set_expiry = META_HAS(meta, 'T'),
	};
	enum meta_status status;

	if (args.set_expiry)
		args.expiry = dispatch_expiry(c, meta->ttl);
	enum store_result result = store_delete(c->worker->store, rq->key, rq->key_length, rq->hash,
						&args);
	if (unlikely(c->worker->observing != 0))
		observe_delete(c, rq, result);
	if (result == STORE_OK) {
		if (!args.invalidate)
			COUNT(c, delete_hits);
		if (META_HAS(meta, 'q'))
			return;
		status = META_STATUS_HD;
	} else if (result == STORE_NOT_FOUND || result == STORE_EXISTS) {
		COUNT(c, delete_misses);
		status = result == STORE_EXISTS ? META_STATUS_EX : META_STATUS_NF;
	} else {
		conn_reply(c, dispatch_refusal(result));
		return;
	}
	reply_meta(c, rq, status, META_RETURNS_DELETE, &values);
}

/* --- ma --------------------------------------------------------------------------------------- */

/* N: a miss makes an item with the initial number. */
static enum store_result meta_arithmetic_vivify(struct conn *c, const struct request *rq,
						struct arithmetic_args *args, struct meta_values *values)
{
	const struct meta_args *meta = rq->meta;
	char text[COMPOSE_U64_MAX];
	struct item_spec spec = {
		.key = rq->key,
		.key_length = rq->key_length,
		.hash = rq->hash,
		.marks = META_HAS(meta, 'b') ? ITEM_KEY_BINARY : 0,
		.expiry = vivify_expiry(c, meta),
		.value_length = (uint32_t)(compose_u64(text, meta->initial) - text),
		.explicit_cas = args->explicit_cas,
	};
	struct commit_args commit = {.mode = STORE_ADD};
	enum store_result result = store_set(c->worker->store, &spec, text, &commit);

	if (result != STORE_OK)
		return result;
	args->result = meta->initial;
	args->cas = commit.cas;
	describe_made(c, meta, values);
	return STORE_OK;
}

/* t before T tells the old time to live, which the arithmetic itself does not. */
static int64_t meta_arithmetic_old_ttl(struct conn *c, const struct request *rq)
{
	struct item_view view;

	if (!store_peek(c->worker->store, rq->key, rq->key_length, rq->hash, &view))
		return -1;
	return ttl_of_expiry(c, view.expiry);
}

static void meta_arithmetic_reply(struct conn *c, const struct request *rq,
				  const struct arithmetic_args *args, struct meta_values *values)
{
	char text[COMPOSE_U64_MAX];
	size_t length = (size_t)(compose_u64(text, args->result) - text);

	if (META_HAS(rq->meta, 'q'))
		return;
	values->cas = args->cas;
	if (!values->created)
		values->ttl = ttl_of_expiry(c, args->new_expiry);
	if (!META_HAS(rq->meta, 'T') && !values->created)
		values->ttl_before = values->ttl;
	values->value_length = (uint32_t)length;
	if (!META_HAS(rq->meta, 'v')) {
		reply_meta(c, rq, META_STATUS_HD, META_RETURNS_ARITHMETIC, values);
		return;
	}
	struct output *out = conn_room(c, COMPOSE_META_MAX + COMPOSE_U64_MAX + 2);
	compose_meta(out, META_STATUS_VA, META_RETURNS_ARITHMETIC, rq->meta, values);
	out->next = compose_line_end(compose_bytes(out->next, text, length));
}

static void dispatch_meta_arithmetic(struct conn *c, const struct request *rq)
{
	const struct meta_args *meta = rq->meta;
	struct meta_values values = values_of_key(rq);
	struct arithmetic_args args = {
		.delta = meta->delta,
		.decrement = meta->mode == 'D',
		.has_compare = META_HAS(meta, 'C') && meta->compare_cas != 0,
		.compare_cas = meta->compare_cas,
		.explicit_cas = META_HAS(meta, 'E') ? meta->explicit_cas : 0,
		.set_expiry = META_HAS(meta, 'T'),
	};

	if (args.set_expiry) {
		args.expiry = dispatch_expiry(c, meta->ttl);
		if (META_HAS(meta, 't'))
			values.ttl_before = meta_arithmetic_old_ttl(c, rq);
	}
	enum store_result result = store_arithmetic(c->worker->store, rq->key, rq->key_length,
						    rq->hash, &args);
	if (result == STORE_NOT_FOUND && META_HAS(meta, 'N'))
		result = meta_arithmetic_vivify(c, rq, &args, &values);
	else
		dispatch_count_arithmetic(c, args.decrement, result);
	switch (result) {
	case STORE_OK:
		meta_arithmetic_reply(c, rq, &args, &values);
		break;
	case STORE_NOT_FOUND:
		reply_meta(c, rq, META_STATUS_NF, META_RETURNS_MISS, &values);
		break;
	case STORE_NOT_STORED:
		reply_meta(c, rq, META_STATUS_NS, META_RETURNS_MISS, &values);
		break;
	case STORE_EXISTS:
		reply_meta(c, rq, META_STATUS_EX, META_RETURNS_MISS, &values);
		break;
	case STORE_NON_NUMERIC:
		conn_reply(c, REPLY_NON_NUMERIC);
		break;
	default:
		conn_reply(c, dispatch_refusal(result));
		break;
	}
}

/* --- me --------------------------------------------------------------------------------------- */

const char *dispatch_reference_name(const struct reference_info *info)
{
	if (info->weak)
		return "weak";
	if (info->dependencies)
		return "dependent";
	return info->holds ? "holder" : "none";
}

static void dispatch_meta_debug(struct conn *c, const struct request *rq)
{
	struct store_thread *st = c->worker->store;
	struct item_view view;

	if (!store_peek(st, rq->key, rq->key_length, rq->hash, &view)) {
		conn_reply(c, REPLY_META_MISS);
		return;
	}
	struct item_facts facts = {
		.key = rq->key,
		.key_length = rq->key_length,
		.key_is_binary = (view.marks & ITEM_KEY_BINARY) != 0,
		.fetched = view.fetched,
		.class_id = view.class_index,
		.client_flags = view.client_flags,
		.exptime = ttl_of_expiry(c, view.expiry),
		.last_access = store_view_idle_seconds(st, &view),
		.cas = store_view_cas(st, &view),
		.size_bytes = store_view_bytes(&view),
	};
	struct reference_info info;
	if (unlikely(store_view_references(st, &view, &info))) {
		facts.reference = dispatch_reference_name(&info);
		facts.dependencies = info.dependencies;
		facts.holds = info.holds;
		facts.held_by = info.held_by;
	}
	compose_meta_debug(conn_room(c, COMPOSE_META_DEBUG_MAX), &facts);
}

void dispatch_meta(struct conn *c, const struct request *rq)
{
	COUNT(c, meta_commands);
	switch (rq->verb) {
	case VERB_META_GET:
		dispatch_meta_get(c, rq);
		break;
	case VERB_META_DELETE:
		dispatch_meta_delete(c, rq);
		break;
	case VERB_META_ARITHMETIC:
		dispatch_meta_arithmetic(c, rq);
		break;
	case VERB_META_DEBUG:
		dispatch_meta_debug(c, rq);
		break;
	default:
		conn_reply(c, REPLY_META_NOOP);
		break;
	}
}
