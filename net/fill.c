#include "net/fill.h"

#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

#include "net/conn.h"
#include "net/dispatch.h"

/* Below this, a copy from the scratch buffer is cheaper than a receive of its own. */
#define FILL_DIRECT_MIN_BYTES 4096u

struct fill {
	struct reservation reservation;
	struct request request;
	uint32_t remaining;    /* bytes of the value still to come */
	uint8_t end_remaining; /* bytes of the line end still to come */
	bool bad_end;          /* the block did not end in \r\n */
	uint8_t size_index;
	char kept[];           /* the key, and for ms its arguments, their opaque and references */
};

#define META_ALIGN(bytes) ALIGN_UP(bytes, _Alignof(struct meta_args))

static size_t fill_bytes(const struct request *rq)
{
	size_t bytes = sizeof(struct fill) + rq->key_length;

	if (rq->meta != NULL)
		bytes = META_ALIGN(bytes) + sizeof(*rq->meta) + rq->meta->opaque.length;
	for (unsigned i = 0; rq->meta != NULL && i < rq->meta->reference_count; i++)
		bytes += rq->meta->references[i].length;
	return bytes;
}

static void fill_keep_references(struct meta_args *meta, char *at)
{
	const char *base = at;

	for (unsigned i = 0; i < meta->reference_count; i++) {
		struct meta_reference *r = &meta->references[i];

		memcpy(at, meta->reference_keys + r->offset, r->length);
		r->offset = (uint16_t)(at - base);
		at += r->length;
	}
	meta->reference_keys = base;
}

/* What the slices of the request point to does not outlive the turn. */
static void fill_keep_arguments(struct fill *f, const struct request *rq)
{
	f->request = *rq;
	f->request.key = memcpy(f->kept, rq->key, rq->key_length);
	if (rq->meta == NULL)
		return;
	struct meta_args *meta =
		(struct meta_args *)((char *)f + META_ALIGN(sizeof(*f) + rq->key_length));
	*meta = *rq->meta;
	meta->raw_key = (struct slice){NULL, 0};
	if (meta->opaque.length > 0)
		meta->opaque.data = memcpy(meta + 1, rq->meta->opaque.data, meta->opaque.length);
	fill_keep_references(meta, (char *)(meta + 1) + meta->opaque.length);
	f->request.meta = meta;
}

bool fill_begin(struct conn *c, const struct request *rq, const struct reservation *rv)
{
	struct worker *w = c->worker;
	uint8_t size_index;
	struct fill *f = worker_take_buffer(w, fill_bytes(rq), &size_index);

	if (f == NULL) {
		struct reservation copy = *rv;
		store_abort(w->store, &copy);
		return false;
	}
	memset(f, 0, sizeof(*f));
	fill_keep_arguments(f, rq);
	f->reservation = *rv;
	f->size_index = size_index;
	f->remaining = rq->value_length;
	f->end_remaining = 2;
	c->fill = f;
	atomic_store_explicit(&c->state, CONN_FILLING, memory_order_relaxed);
	return true;
}

static void fill_release(struct conn *c)
{
	struct fill *f = c->fill;

	c->fill = NULL;
	buffer_pool_give(&c->worker->server->buffers, f, f->size_index);
	atomic_store_explicit(&c->state, CONN_READING, memory_order_relaxed);
}

void fill_abort(struct conn *c)
{
	store_abort(c->worker->store, &c->fill->reservation);
	fill_release(c);
}

static void fill_finish(struct conn *c)
{
	struct fill *f = c->fill;

	dispatch_filled(c, &f->request, &f->reservation, f->bad_end);
	fill_release(c);
}

/* No memory for the value's next part: it is given up, and what is still to come is thrown away. */
static void fill_fail(struct conn *c)
{
	struct fill *f = c->fill;

	store_abort(c->worker->store, &f->reservation);
	text_parser_swallow(&c->parser, (uint64_t)f->remaining + f->end_remaining);
	dispatch_fill_failed(c, &f->request);
	fill_release(c);
}

/* False when memory ran out, and the fill is over. */
static bool fill_write_value(struct conn *c, const char *data, uint32_t length)
{
	struct fill *f = c->fill;

	if (!reservation_write(c->worker->store, &f->reservation, data, length)) {
		fill_fail(c);
		return false;
	}
	f->remaining -= length;
	return true;
}

size_t fill_take(struct conn *c, const char *data, size_t length)
{
	struct fill *f = c->fill;
	size_t taken = MIN((size_t)f->remaining, length);

	if (taken > 0 && !fill_write_value(c, data, (uint32_t)taken))
		return 0;
	while (taken < length && f->end_remaining > 0) {
		f->bad_end |= data[taken++] != (f->end_remaining == 2 ? '\r' : '\n');
		f->end_remaining--;
	}
	if (f->remaining == 0 && f->end_remaining == 0)
		fill_finish(c);
	return taken;
}

ssize_t fill_receive(struct conn *c, char *rest, size_t rest_bytes, size_t *rest_length)
{
	struct fill *f = c->fill;
	struct iovec parts[2];
	int count = 0;
	uint32_t room = 0;

	if (f->remaining >= FILL_DIRECT_MIN_BYTES) {
		parts[0].iov_base = reservation_room(c->worker->store, &f->reservation, &room);
		room = MIN(room, f->remaining);
		parts[0].iov_len = room;
		count += room > 0;
	}
	/* Behind a part that is not the last comes the next part, and not the rest. Without room there
	 * is no memory: fill_take finds that out again, and says so. */
	if (room == 0 || room == f->remaining)
		parts[count++] = (struct iovec){rest, rest_bytes};

	ssize_t received = readv(conn_fd(c), parts, count);
	*rest_length = 0;
	if (received <= 0)
		return received;
	uint32_t direct = MIN((uint32_t)MIN(received, (ssize_t)UINT32_MAX), room);
	if (direct > 0) {
		reservation_advance(c->worker->store, &f->reservation, direct);
		f->remaining -= direct;
	}
	*rest_length = (size_t)received - direct;
	return received;
}
