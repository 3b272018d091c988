/*
 * output.h: the replies of a turn, in order, on their way to one connection.
 *
 * Replies are composed into the worker's one buffer. A large value is not copied: it is pinned in
 * the store and remembered with the place in the buffer where it belongs, and goes out by reference.
 *
 *     buffer  "VALUE a 0 3\r\nabc\r\nEND\r\nVALUE big 0 90000\r\n" | "\r\nEND\r\n"
 *     values                                                     ^ at, reference, cursor
 *
 * output_flush sends it. What the client does not take now is parked: copied into blocks of the
 * buffer pool that belong to the connection, values still by reference, and sent when the socket has
 * room again (parked_send).
 */
#ifndef LARDER_OUTPUT_H
#define LARDER_OUTPUT_H

#include "net/buffer_pool.h"
#include "store/store.h"

struct worker;

#define OUTPUT_BYTES 65536u
#define OUTPUT_VALUES_MAX 16u
#define OUTPUT_REPLY_MAX_BYTES 6144u /* the most a reply may ask room for at once */
#define OUTPUT_PRESSED_BYTES 4096u   /* sent as early as this when memory is short */
#define VALUE_COPY_MAX_BYTES 4096u   /* larger ones go by reference where they can */

struct output_value {
	uint32_t at; /* goes out before the byte at this offset */
	uint32_t reference;
	struct value_cursor cursor;
};

struct output {
	char *buffer;
	uint32_t length;
	uint32_t value_count;
	struct output_value values[OUTPUT_VALUES_MAX];
};

/* A block of a connection's parked output; records follow it. */
struct parked {
	struct parked *next;
	uint32_t block_bytes;
	uint32_t begin; /* of the first unsent record, from the block's start */
	uint32_t end;
	uint8_t size_index;
};

struct parked_queue {
	struct parked *head;
	struct parked *tail;
};

enum send_result {
	SEND_DONE,
	SEND_BLOCKED, /* what is left was parked */
	SEND_BROKEN,  /* the client is gone, or there was no memory to park in */
};

/* output_flush: sends or, if `queue` holds something already, appends to it. Empties the output
 * whatever the result. */
enum send_result output_flush(struct worker *w, int fd, struct parked_queue *queue);
/* parked_send: sends from the queue until it is empty or the socket is full. */
enum send_result parked_send(struct worker *w, int fd, struct parked_queue *queue);
/* parked_drop, output_drop: gives back blocks and pins without sending. */
void parked_drop(struct worker *w, struct parked_queue *queue);
void output_drop(struct worker *w);

static inline bool parked_any(const struct parked_queue *queue)
{
	return queue->head != NULL;
}

#endif
