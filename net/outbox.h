/*
 * outbox.h: the replies of a turn, in order, on their way to one connection.
 *
 * Replies are composed into the worker's one buffer. A large value is not copied: it is pinned in
 * the store and remembered with the place in the buffer where it belongs, and goes out by reference.
 *
 *     buffer  "VALUE a 0 3\r\nabc\r\nEND\r\nVALUE big 0 90000\r\n" | "\r\nEND\r\n"
 *     values                                                     ^ at, reference, cursor
 *
 * outbox_flush sends it. What the client does not take now is parked: copied into blocks of the
 * buffer pool that belong to the connection, values still by reference, and sent when the socket has
 * room again (parked_send).
 */
#ifndef LARDER_OUTBOX_H
#define LARDER_OUTBOX_H

#include "net/buffer_pool.h"
#include "net/proto/compose.h"
#include "store/store.h"

struct worker;

#define PARKED_HEADER_BYTES 64u
#define OUTBOX_BYTES (65536u - PARKED_HEADER_BYTES) /* all of it fits in one parked block */
#define OUTBOX_VALUES_MAX 8u
#define OUTBOX_REPLY_MAX_BYTES 6144u /* the most a reply may ask room for at once */
/* The same while memory is short: */
#define OUTBOX_PRESSED_BYTES (8192u - PARKED_HEADER_BYTES)
#define OUTBOX_PRESSED_VALUES 1u
#define VALUE_COPY_MAX_BYTES 4096u   /* larger ones go by reference */

struct outbox_value {
	uint32_t at; /* goes out before the byte at this offset */
	uint32_t reference;
	struct value_cursor cursor;
};

struct outbox {
	struct output out; /* where the next reply goes */
	char *buffer;
	uint32_t value_count;
	uint32_t value_limit;
	struct outbox_value values[OUTBOX_VALUES_MAX];
};

/* A block of a connection's parked output: bytes, or one value that is sent by reference. */
struct parked {
	struct parked *next;
	uint32_t begin; /* of the unsent bytes, from the block's start */
	uint32_t end;
	uint32_t reference; /* not 0: a value */
	struct value_cursor cursor;
	uint8_t size_index;
};

_Static_assert(sizeof(struct parked) <= PARKED_HEADER_BYTES, "what is composed at once fits in a block");

struct parked_queue {
	struct parked *head;
	struct parked *tail;
};

enum send_result {
	SEND_DONE,
	SEND_BLOCKED, /* what is left was parked */
	SEND_BROKEN,  /* the client is gone, or there was no memory to park in */
};

void outbox_init(struct outbox *ob, char *buffer);

/* outbox_limit: how much of it may be used from now on. While it is empty. */
static inline void outbox_limit(struct outbox *ob, uint32_t bytes, uint32_t values)
{
	ob->out.end = ob->buffer + bytes;
	ob->value_limit = values;
}

static inline uint32_t outbox_length(const struct outbox *ob)
{
	return (uint32_t)(ob->out.next - ob->buffer);
}

static inline bool outbox_empty(const struct outbox *ob)
{
	return ob->out.next == ob->buffer && ob->value_count == 0;
}

static inline bool outbox_values_full(const struct outbox *ob)
{
	return ob->value_count >= ob->value_limit;
}

/* outbox_add_value: the value goes out next, by reference; takes over a pin. There must be room. */
void outbox_add_value(struct outbox *ob, struct store_thread *st, const struct item_view *view);

/* outbox_flush: sends or, if `queue` holds something already, appends to it. Empties the outbox
 * whatever the result. */
enum send_result outbox_flush(struct worker *w, int fd, struct parked_queue *queue);
/* outbox_drop: empties it without sending. */
void outbox_drop(struct worker *w);

/* parked_send: sends from the queue until it is empty or the socket is full; *sent: something went. */
enum send_result parked_send(struct worker *w, int fd, struct parked_queue *queue, bool *sent);
/* parked_bytes: copies bytes to the queue's end; false: no memory, nothing is promised of the rest. */
bool parked_bytes(struct worker *w, struct parked_queue *queue, const char *data, size_t length);
/* parked_drop: gives back blocks and pins. */
void parked_drop(struct worker *w, struct parked_queue *queue);

static inline bool parked_any(const struct parked_queue *queue)
{
	return queue->head != NULL;
}

#endif
