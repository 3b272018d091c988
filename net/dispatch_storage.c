/*
 * dispatch_storage.c: set, add, replace, append, prepend, cas and ms, whose values are at hand as a whole or come
 * in over many turns (fill.h).
 */
#include "net/dispatch_internal.h"

#include <string.h>

#include "net/fill.h"
#include "net/observe.h"

/* What a storage command asks of the store; the list is only filled in where there is one. */
struct storage_args {
	struct commit_args commit;
	struct reference_list references;
};

static void storage_prepare_references(const struct meta_args *meta, struct item_spec *spec,
				       struct storage_args *args)
{
	struct reference_list *list = &args->references;

	list->count = 0;
	if (META_HAS(meta, 'W'))
		list->targets[list->count++].kind = REFERENCE_WEAK;
	for (unsigned i = 0; i < meta->reference_count; i++) {
		const struct meta_reference *r = &meta->references[i];

		list->targets[list->count].key = meta->reference_keys + r->offset;
		list->targets[list->count].key_length = r->length;
		list->targets[list->count].kind = r->letter == 'D'   ? REFERENCE_LIFE
						  : r->letter == 'V' ? REFERENCE_VERSION
								     : REFERENCE_HOLD;
		list->count++;
	}
	spec->references = reference_list_shape(list);
	args->commit.references = list;
}

static void storage_prepare_meta(struct conn *c, const struct request *rq, struct item_spec *spec,
				 struct storage_args *storage)
{
	struct commit_args *args = &storage->commit;
	const struct meta_args *meta = rq->meta;

	spec->client_flags = META_HAS(meta, 'F') ? meta->client_flags : 0;
	spec->expiry = META_HAS(meta, 'T') ? dispatch_expiry(c, meta->ttl) : EXPIRY_NEVER;
	spec->explicit_cas = META_HAS(meta, 'E') ? meta->explicit_cas : 0;
	if (META_HAS(meta, 'b'))
		spec->marks = ITEM_KEY_BINARY;
	switch (meta->mode) {
	case 'E':
		args->mode = STORE_ADD;
		break;
	case 'A':
		args->mode = STORE_APPEND;
		break;
	case 'P':
		args->mode = STORE_PREPEND;
		break;
	case 'R':
		args->mode = STORE_REPLACE;
		break;
	}
	if (META_HAS(meta, 'C')) {
		args->has_compare = true;
		args->compare_cas = meta->compare_cas;
		args->stale_on_older = META_HAS(meta, 'I');
	}
	if (META_HAS(meta, 'N')) {
		args->vivify = true;
		args->vivify_expiry = dispatch_expiry(c, meta->autoviv_ttl);
	}
	if (unlikely(meta->reference_count || META_HAS(meta, 'W')))
		storage_prepare_references(meta, spec, storage);
}

static void storage_prepare(struct conn *c, const struct request *rq, struct item_spec *spec,
			    struct storage_args *storage)
{
	struct commit_args *args = &storage->commit;

	*spec = (struct item_spec){
		.key = rq->key,
		.key_length = rq->key_length,
		.hash = rq->hash,
		.client_flags = rq->client_flags,
		.value_length = rq->value_length,
		.at_hand = rq->value_complete,
	};
	*args = (struct commit_args){.mode = STORE_SET};
	switch (rq->verb) {
	case VERB_META_SET:
		storage_prepare_meta(c, rq, spec, storage);
		return;
	case VERB_ADD:
		args->mode = STORE_ADD;
		break;
	case VERB_REPLACE:
		args->mode = STORE_REPLACE;
		break;
	case VERB_APPEND:
		args->mode = STORE_APPEND;
		break;
	case VERB_PREPEND:
		args->mode = STORE_PREPEND;
		break;
	case VERB_CAS:
		args->has_compare = true;
		args->compare_cas = rq->cas;
		break;
	}
	spec->expiry = dispatch_expiry(c, rq->exptime);
}

enum reply dispatch_refusal(enum store_result result)
{
	switch (result) {
	case STORE_TOO_LARGE:
		return REPLY_TOO_LARGE;
	case STORE_HELD_LIMIT:
		return REPLY_HELD_LIMIT;
	case STORE_TOO_MANY_REFERENCES:
		return REPLY_META_TOO_MANY_REFERENCES;
	default:
		return REPLY_NO_MEMORY;
	}
}

/* No item was made. What the client wanted to replace with set or ms is stale now, so it goes; but a
 * command that could not refer as it wanted stored nothing, and that is all. */
static bool refusal_deletes(const struct request *rq, enum store_result result)
{
	if (rq->verb != VERB_META_SET)
		return rq->verb == VERB_SET;
	bool refers = rq->meta->reference_count > 0 || META_HAS(rq->meta, 'W');

	return !refers || result == STORE_TOO_LARGE || result == STORE_NO_MEMORY;
}

static void storage_refuse(struct conn *c, const struct request *rq, enum store_result result)
{
	struct worker *w = c->worker;

	if (result == STORE_TOO_LARGE)
		COUNT(c, store_too_large);
	else if (result == STORE_NO_MEMORY)
		COUNT(c, store_no_memory);
	if (refusal_deletes(rq, result) &&
	    store_delete(w->store, rq->key, rq->key_length, rq->hash, &(struct delete_args){0}) == STORE_OK &&
	    unlikely(w->observing != 0))
		observe_refused(c, rq);
	if (!rq->noreply)
		conn_reply(c, dispatch_refusal(result));
}

static enum reply reply_of_result(enum store_result result)
{
	switch (result) {
	case STORE_OK:
		return REPLY_STORED;
	case STORE_EXISTS:
		return REPLY_EXISTS;
	case STORE_NOT_FOUND:
		return REPLY_NOT_FOUND;
	default:
		return REPLY_NOT_STORED;
	}
}

static void count_compare(struct conn *c, enum store_result result)
{
	if (result == STORE_OK)
		COUNT(c, cas_hits);
	else if (result == STORE_EXISTS)
		COUNT(c, cas_badval);
	else if (result == STORE_NOT_FOUND)
		COUNT(c, cas_misses);
}

/* An append or prepend whose own value fits, but not together with what is there: nothing is stored,
 * and the old value is as good as before. */
static enum store_result result_of_commit(const struct commit_args *args, enum store_result result)
{
	bool grows = args->mode == STORE_APPEND || args->mode == STORE_PREPEND;

	return grows && result == STORE_TOO_LARGE ? STORE_NOT_STORED : result;
}

static void storage_finish(struct conn *c, const struct request *rq, const struct commit_args *args,
			   enum store_result result)
{
	if (unlikely(c->worker->observing != 0))
		observe_store(c, rq, result);
	if (unlikely(result >= STORE_TOO_LARGE)) {
		storage_refuse(c, rq, result);
		return;
	}
	if (args->has_compare)
		count_compare(c, result);
	if (rq->verb == VERB_META_SET)
		meta_reply_stored(c, rq, result, args->cas);
	else if (!rq->noreply)
		conn_reply(c, reply_of_result(result));
}

static bool block_ends_well(const struct request *rq)
{
	return memcmp(rq->value + rq->value_length, "\r\n", 2) == 0;
}

/* A weak reference to what cannot be a key without b. The parser saw the length, not the bytes. */
static bool target_is_no_key(const struct request *rq, const char *value)
{
	return !META_HAS(rq->meta, 'b') && !key_is_text(value, rq->value_length);
}

static bool is_weak(const struct request *rq)
{
	return rq->verb == VERB_META_SET && unlikely(META_HAS(rq->meta, 'W'));
}

static enum store_result result_of_status(enum status status)
{
	return status == STATUS_TOO_LARGE ? STORE_TOO_LARGE : STORE_NO_MEMORY;
}

/* A block without its line end: refused, unless the value is refused for its size anyway. */
static void storage_bad_block(struct conn *c, const struct request *rq, const struct item_spec *spec)
{
	struct reservation rv;
	enum status status = store_reserve(c->worker->store, spec, &rv);

	if (status != STATUS_OK) {
		storage_finish(c, rq, &(struct commit_args){0}, result_of_status(status));
		return;
	}
	store_abort(c->worker->store, &rv);
	if (!rq->noreply)
		conn_reply(c, REPLY_BAD_DATA_CHUNK);
}

/* The value is not all here: what comes goes into the reservation. */
static void storage_begin_fill(struct conn *c, const struct request *rq, const struct item_spec *spec)
{
	struct reservation rv;
	enum status status = store_reserve(c->worker->store, spec, &rv);

	if (status == STATUS_OK && fill_begin(c, rq, &rv))
		return;
	text_parser_swallow(&c->parser, (uint64_t)rq->value_length + 2);
	storage_finish(c, rq, &(struct commit_args){0},
		       status == STATUS_OK ? STORE_NO_MEMORY : result_of_status(status));
}

/* Append and prepend: in two steps, so that it is known which of the two found the value too large. */
static enum store_result storage_grow(struct conn *c, const struct request *rq,
				      const struct item_spec *spec, struct commit_args *args)
{
	struct store_thread *st = c->worker->store;
	struct reservation rv;
	enum status status = store_reserve(st, spec, &rv);

	if (status != STATUS_OK)
		return result_of_status(status);
	if (!reservation_write(st, &rv, rq->value, rq->value_length)) {
		store_abort(st, &rv);
		return STORE_NO_MEMORY;
	}
	return result_of_commit(args, store_commit(st, &rv, args));
}

void dispatch_storage(struct conn *c, const struct request *rq)
{
	struct item_spec spec;
	struct storage_args args;

	storage_prepare(c, rq, &spec, &args);
	if (unlikely(!rq->value_complete)) {
		storage_begin_fill(c, rq, &spec);
		return;
	}
	COUNT(c, set_commands);
	if (unlikely(!block_ends_well(rq))) {
		storage_bad_block(c, rq, &spec);
		return;
	}
	if (is_weak(rq) && target_is_no_key(rq, rq->value)) {
		conn_reply(c, REPLY_META_BAD_TARGET);
		return;
	}
	bool grows = args.commit.mode == STORE_APPEND || args.commit.mode == STORE_PREPEND;
	enum store_result result = grows ? storage_grow(c, rq, &spec, &args.commit)
					 : store_set(c->worker->store, &spec, rq->value, &args.commit);
	storage_finish(c, rq, &args.commit, result);
}

/* A reservation is given up half-way: its bytes that are still to come are swallowed by the caller. */
void dispatch_fill_failed(struct conn *c, const struct request *rq)
{
	storage_finish(c, rq, &(struct commit_args){0}, STORE_NO_MEMORY);
}

void dispatch_filled(struct conn *c, const struct request *rq, struct reservation *rv, bool bad_end)
{
	struct item_spec spec;
	struct storage_args args;

	COUNT(c, set_commands);
	if (bad_end) {
		store_abort(c->worker->store, rv);
		if (!rq->noreply)
			conn_reply(c, REPLY_BAD_DATA_CHUNK);
		return;
	}
	storage_prepare(c, rq, &spec, &args);
	if (is_weak(rq) && target_is_no_key(rq, reservation_value(rv))) {
		store_abort(c->worker->store, rv);
		conn_reply(c, REPLY_META_BAD_TARGET);
		return;
	}
	enum store_result result = store_commit(c->worker->store, rv, &args.commit);
	storage_finish(c, rq, &args.commit, result_of_commit(&args.commit, result));
}
