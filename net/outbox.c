#include "net/outbox.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include "net/worker.h"

#define IOVECS_MAX 64

void outbox_init(struct outbox *ob, char *buffer)
{
	ob->buffer = buffer;
	ob->out.next = buffer;
	ob->value_count = 0;
	outbox_limit(ob, OUTBOX_BYTES, OUTBOX_VALUES_MAX);
}

static void outbox_reset(struct outbox *ob)
{
	ob->out.next = ob->buffer;
	ob->value_count = 0;
}

void outbox_add_value(struct outbox *ob, struct store_thread *st, const struct item_view *view)
{
	struct outbox_value *v = &ob->values[ob->value_count++];

	assert(ob->value_count <= OUTBOX_VALUES_MAX);
	v->at = outbox_length(ob);
	v->reference = view->reference;
	store_value_first(view, st, &v->cursor);
}

/* --- the socket ------------------------------------------------------------------------------- */

/* Bytes sent; 0 when the socket is full; -1 when the client is gone. */
static ssize_t socket_result(struct worker *w, ssize_t sent)
{
	if (likely(sent >= 0)) {
		counter_add(&w->counters.bytes_written, (uint64_t)sent);
		return sent;
	}
	return errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR ? 0 : -1;
}

static ssize_t socket_send(struct worker *w, int fd, const char *data, size_t length)
{
	return socket_result(w, send(fd, data, length, MSG_NOSIGNAL));
}

static ssize_t socket_send_parts(struct worker *w, int fd, struct iovec *parts, int count)
{
	struct msghdr message = {.msg_iov = parts, .msg_iovlen = (size_t)count};

	return socket_result(w, sendmsg(fd, &message, MSG_NOSIGNAL));
}

/* --- values by reference ---------------------------------------------------------------------- */

static bool cursor_done(const struct value_cursor *cursor)
{
	return cursor->part_length == 0 && cursor->next_reference == 0;
}

/* Adds the value's parts from the cursor on; the cursor itself stays. Returns false when it did not
 * fit in whole. */
static bool cursor_add_parts(const struct store_thread *st, struct value_cursor cursor,
			     struct iovec *parts, int *count, size_t *bytes)
{
	for (;;) {
		if (*count == IOVECS_MAX)
			return false;
		parts[(*count)++] = (struct iovec){(char *)(uintptr_t)cursor.part, cursor.part_length};
		*bytes += cursor.part_length;
		if (cursor.next_reference == 0 || !store_value_next(st, &cursor))
			return true;
	}
}

/* Moves on by up to `bytes`; returns those that the value did not have. */
static size_t cursor_advance(const struct store_thread *st, struct value_cursor *cursor, size_t bytes)
{
	while (bytes >= cursor->part_length) {
		bytes -= cursor->part_length;
		cursor->part += cursor->part_length;
		cursor->part_length = 0;
		if (cursor->next_reference == 0 || !store_value_next(st, cursor))
			return bytes;
	}
	cursor->part += bytes;
	cursor->part_length -= (uint32_t)bytes;
	return 0;
}

/* --- sending what was composed ---------------------------------------------------------------- */

/* Where in the outbox sending has come to. */
struct progress {
	uint32_t position; /* in the buffer */
	uint32_t value;    /* first value that is not sent whole */
};

static uint32_t bytes_before_value(const struct outbox *ob, const struct progress *pg)
{
	uint32_t end = pg->value < ob->value_count ? ob->values[pg->value].at : outbox_length(ob);

	return end - pg->position;
}

static bool progress_done(const struct outbox *ob, const struct progress *pg)
{
	return pg->value == ob->value_count && pg->position == outbox_length(ob);
}

static int progress_parts(const struct worker *w, struct progress pg, struct iovec *parts,
			  size_t *bytes)
{
	const struct outbox *ob = &w->outbox;
	int count = 0;

	*bytes = 0;
	while (!progress_done(ob, &pg) && count < IOVECS_MAX) {
		uint32_t plain = bytes_before_value(ob, &pg);
		if (plain > 0) {
			parts[count++] = (struct iovec){ob->buffer + pg.position, plain};
			*bytes += plain;
			pg.position += plain;
		} else {
			if (!cursor_add_parts(w->store, ob->values[pg.value].cursor, parts, &count, bytes))
				break;
			pg.value++;
		}
	}
	return count;
}

static void progress_advance(struct worker *w, struct progress *pg, size_t bytes)
{
	struct outbox *ob = &w->outbox;

	for (;;) {
		uint32_t plain = MIN(bytes_before_value(ob, pg), (uint32_t)MIN(bytes, OUTBOX_BYTES));
		pg->position += plain;
		bytes -= plain;
		if (pg->value == ob->value_count || bytes_before_value(ob, pg) > 0)
			return;
		struct outbox_value *v = &ob->values[pg->value];
		bytes = cursor_advance(w->store, &v->cursor, bytes);
		if (!cursor_done(&v->cursor))
			return;
		store_unpin(w->store, v->reference);
		pg->value++;
	}
}

/* --- parking ---------------------------------------------------------------------------------- */

/* A block at the queue's end. */
static struct parked *parked_append(struct worker *w, struct parked_queue *queue, size_t bytes)
{
	uint8_t size_index;
	struct parked *pk = worker_take_buffer(
		w, MIN(bytes + sizeof(struct parked), BUFFER_BYTES_MAX), &size_index);

	if (pk == NULL) {
		counter_add(&w->counters.response_oom, 1);
		return NULL;
	}
	memset(pk, 0, sizeof(*pk));
	pk->begin = pk->end = sizeof(*pk);
	pk->size_index = size_index;
	if (queue->tail != NULL)
		queue->tail->next = pk;
	else
		queue->head = pk;
	queue->tail = pk;
	return pk;
}

bool parked_bytes(struct worker *w, struct parked_queue *queue, const char *data, size_t length)
{
	while (length > 0) {
		struct parked *pk = queue->tail;
		uint32_t room = 0;
		if (pk != NULL && pk->reference == 0)
			room = buffer_pool_block_bytes(pk->size_index) - pk->end;
		if (room == 0) {
			pk = parked_append(w, queue, length);
			if (pk == NULL)
				return false;
			room = buffer_pool_block_bytes(pk->size_index) - pk->end;
		}
		size_t part = MIN(length, (size_t)room);
		memcpy((char *)pk + pk->end, data, part);
		pk->end += (uint32_t)part;
		data += part;
		length -= part;
	}
	return true;
}

static bool parked_value(struct worker *w, struct parked_queue *queue, const struct outbox_value *v)
{
	struct parked *pk = parked_append(w, queue, 0);

	if (pk == NULL)
		return false;
	pk->reference = v->reference;
	pk->cursor = v->cursor;
	return true;
}

/* Everything from *pg on goes to the queue; empties the outbox. */
static enum send_result outbox_park(struct worker *w, struct parked_queue *queue, struct progress pg)
{
	struct outbox *ob = &w->outbox;
	bool parked = true;

	while (parked && !progress_done(ob, &pg)) {
		uint32_t plain = bytes_before_value(ob, &pg);
		if (plain > 0) {
			parked = parked_bytes(w, queue, ob->buffer + pg.position, plain);
			pg.position += plain;
		} else {
			parked = parked_value(w, queue, &ob->values[pg.value]);
			pg.value += parked;
		}
	}
	for (; pg.value < ob->value_count; pg.value++)
		store_unpin(w->store, ob->values[pg.value].reference);
	outbox_reset(ob);
	return parked ? SEND_BLOCKED : SEND_BROKEN;
}

static enum send_result outbox_send_parts(struct worker *w, int fd, struct parked_queue *queue)
{
	struct outbox *ob = &w->outbox;
	struct progress pg = {0, 0};
	struct iovec parts[IOVECS_MAX];
	size_t bytes;

	while (!progress_done(ob, &pg)) {
		int count = progress_parts(w, pg, parts, &bytes);
		ssize_t sent = socket_send_parts(w, fd, parts, count);
		if (sent < 0) {
			while (pg.value < ob->value_count)
				store_unpin(w->store, ob->values[pg.value++].reference);
			outbox_reset(ob);
			return SEND_BROKEN;
		}
		progress_advance(w, &pg, (size_t)sent);
		if ((size_t)sent < bytes)
			return outbox_park(w, queue, pg);
	}
	outbox_reset(ob);
	return SEND_DONE;
}

enum send_result outbox_flush(struct worker *w, int fd, struct parked_queue *queue)
{
	struct outbox *ob = &w->outbox;

	if (parked_any(queue))
		return outbox_park(w, queue, (struct progress){0, 0});
	if (unlikely(ob->value_count > 0))
		return outbox_send_parts(w, fd, queue);

	uint32_t length = outbox_length(ob);
	ssize_t sent = socket_send(w, fd, ob->buffer, length);
	if (unlikely(sent < 0)) {
		outbox_reset(ob);
		return SEND_BROKEN;
	}
	if (unlikely((size_t)sent < length))
		return outbox_park(w, queue, (struct progress){(uint32_t)sent, 0});
	outbox_reset(ob);
	return SEND_DONE;
}

void outbox_drop(struct worker *w)
{
	for (uint32_t i = 0; i < w->outbox.value_count; i++)
		store_unpin(w->store, w->outbox.values[i].reference);
	outbox_reset(&w->outbox);
}

/* --- sending what was parked ------------------------------------------------------------------ */

static void parked_remove_head(struct worker *w, struct parked_queue *queue)
{
	struct parked *pk = queue->head;

	queue->head = pk->next;
	if (queue->head == NULL)
		queue->tail = NULL;
	if (pk->reference != 0)
		store_unpin(w->store, pk->reference);
	buffer_pool_give(&w->server->buffers, pk, pk->size_index);
}

static int parked_parts(struct worker *w, struct parked_queue *queue, struct iovec *parts,
			size_t *bytes)
{
	int count = 0;

	*bytes = 0;
	for (struct parked *pk = queue->head; pk != NULL && count < IOVECS_MAX; pk = pk->next) {
		if (pk->reference == 0) {
			parts[count++] = (struct iovec){(char *)pk + pk->begin, pk->end - pk->begin};
			*bytes += pk->end - pk->begin;
		} else if (!cursor_add_parts(w->store, pk->cursor, parts, &count, bytes)) {
			break;
		}
	}
	return count;
}

static void parked_advance(struct worker *w, struct parked_queue *queue, size_t bytes)
{
	while (queue->head != NULL) {
		struct parked *pk = queue->head;
		if (pk->reference == 0) {
			uint32_t part = (uint32_t)MIN(bytes, (size_t)(pk->end - pk->begin));
			pk->begin += part;
			bytes -= part;
			if (pk->begin < pk->end)
				return;
		} else {
			bytes = cursor_advance(w->store, &pk->cursor, bytes);
			if (!cursor_done(&pk->cursor))
				return;
		}
		parked_remove_head(w, queue);
	}
}

enum send_result parked_send(struct worker *w, int fd, struct parked_queue *queue, bool *progressed)
{
	struct iovec parts[IOVECS_MAX];
	size_t bytes;

	*progressed = false;
	while (parked_any(queue)) {
		int count = parked_parts(w, queue, parts, &bytes);
		ssize_t sent = socket_send_parts(w, fd, parts, count);
		if (sent < 0)
			return SEND_BROKEN;
		*progressed |= sent > 0;
		parked_advance(w, queue, (size_t)sent);
		if ((size_t)sent < bytes)
			return SEND_BLOCKED;
	}
	return SEND_DONE;
}

void parked_drop(struct worker *w, struct parked_queue *queue)
{
	while (parked_any(queue))
		parked_remove_head(w, queue);
}
