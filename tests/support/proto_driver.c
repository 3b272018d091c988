#include "tests/support/proto_driver.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

/* Commands and line ends: what stale bytes in a real scratch buffer look like. */
static const char padding_default[SCAN_PADDING_BYTES + 1] =
	"\r\n et k\r\nset k 0 0 1\r\nx\r\nget k2\r\n \n \nnoreply\r\nmn\r\n0123456789\n";

void driver_init(struct driver *d)
{
	memset(d, 0, sizeof(*d));
	d->arena = mmap(NULL, DRIVER_BUFFER_BYTES + OS_PAGE_BYTES, PROT_READ | PROT_WRITE,
			MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	assert(d->arena != MAP_FAILED);
	assert(mprotect(d->arena + DRIVER_BUFFER_BYTES, OS_PAGE_BYTES, PROT_NONE) == 0);
	d->padding = padding_default;
	d->kept = malloc(DRIVER_BUFFER_BYTES);
	d->trace_room = 4096;
	d->trace = malloc(d->trace_room);
	assert(d->kept != NULL);
	assert(d->trace != NULL);
	driver_reset(d);
}

void driver_fini(struct driver *d)
{
	munmap(d->arena, DRIVER_BUFFER_BYTES + OS_PAGE_BYTES);
	free(d->kept);
	free(d->trace);
}

void driver_reset(struct driver *d)
{
	text_parser_init(&d->tp);
	d->kept_bytes = 0;
	d->trace_length = 0;
	d->trace[0] = '\0';
	d->fill_bytes = 0;
	d->closed = false;
}

const char *driver_trace(const struct driver *d)
{
	return d->trace;
}

/* --- the trace -------------------------------------------------------------------------------- */

static void trace_bytes(struct driver *d, const char *bytes, size_t length)
{
	while (d->trace_length + length + 1 > d->trace_room) {
		d->trace_room *= 2;
		d->trace = realloc(d->trace, d->trace_room);
		assert(d->trace != NULL);
	}
	memcpy(d->trace + d->trace_length, bytes, length);
	d->trace_length += length;
	d->trace[d->trace_length] = '\0';
}

static void __attribute__((format(printf, 2, 3))) trace(struct driver *d, const char *format, ...)
{
	char text[512];
	va_list args;

	va_start(args, format);
	int length = vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	assert(length >= 0);
	assert((size_t)length < sizeof(text));
	trace_bytes(d, text, (size_t)length);
}

static void trace_slice(struct driver *d, const char *name, const char *bytes, size_t length)
{
	trace(d, " %s", name);
	trace_bytes(d, bytes, length);
}

static const char *verb_name(uint8_t verb)
{
	static const char *names[VERB_COUNT] = {
		[VERB_ERROR] = "error",
#define COMMAND(name, verb, tokens_min, parse) [VERB_##verb] = name,
#include "net/proto/command.def"
#undef COMMAND
	};

	assert(verb < VERB_COUNT);
	return names[verb];
}

/* The flags that carry a token, with what it was read as. */
static void trace_meta(struct driver *d, const struct meta_args *meta, uint8_t verb)
{
	for (char c = 'A'; c <= 'z'; c++) {
		if (!META_HAS(meta, c))
			continue;
		switch (c) {
		case 'T': trace(d, " T%lld", (long long)meta->ttl); break;
		case 'N': trace(d, " N%lld", (long long)meta->autoviv_ttl); break;
		case 'R': trace(d, " R%lld", (long long)meta->recache_ttl); break;
		case 'C': trace(d, " C%llu", (unsigned long long)meta->compare_cas); break;
		case 'E': trace(d, " E%llu", (unsigned long long)meta->explicit_cas); break;
		case 'D': trace(d, " D%llu", (unsigned long long)meta->delta); break;
		case 'J': trace(d, " J%llu", (unsigned long long)meta->initial); break;
		case 'F': trace(d, " F%u", meta->client_flags); break;
		case 'M': trace(d, " M%c", meta->mode); break;
		case 'O': trace_slice(d, "O", meta->opaque.data, meta->opaque.length); break;
		default: trace(d, " %c", c);
		}
	}
	if (meta->return_count > 0)
		trace_slice(d, "order=", meta->return_order, meta->return_count);
	for (unsigned i = 0; i < meta->reference_count; i++)
		trace_slice(d, (char[]){meta->references[i].letter, '=', '\0'},
			    meta->reference_keys + meta->references[i].offset, meta->references[i].length);
	if (verb == VERB_META_ARITHMETIC && !META_HAS(meta, 'D'))
		assert(meta->delta == 1);
}

static void trace_error(struct driver *d, const struct request *rq)
{
	trace_slice(d, "", reply_lines[rq->reply].text, reply_lines[rq->reply].length - 2);
	if (rq->swallow_bytes > 0)
		trace(d, " swallow=%llu", (unsigned long long)rq->swallow_bytes);
}

/* Everything but the value. */
static void trace_request(struct driver *d, const struct request *rq)
{
	trace(d, "%s", verb_name(rq->verb));
	if (rq->verb == VERB_ERROR)
		trace_error(d, rq);
	if (verb_has_key(rq->verb))
		trace_slice(d, "", rq->key, rq->key_length);
	if (rq->first_key)
		trace(d, " first");
	if (rq->last_key)
		trace(d, " last");
	if (rq->client_flags != 0)
		trace(d, " flags=%u", rq->client_flags);
	if (rq->exptime != 0)
		trace(d, " exptime=%lld", (long long)rq->exptime);
	if (rq->verb == VERB_CAS)
		trace(d, " cas=%llu", (unsigned long long)rq->cas);
	if (rq->verb == VERB_INCR || rq->verb == VERB_DECR)
		trace(d, " delta=%llu", (unsigned long long)rq->delta);
	if (rq->line.length > 0)
		trace_slice(d, "line=", rq->line.data, rq->line.length);
	if (rq->meta != NULL)
		trace_meta(d, rq->meta, rq->verb);
	if (rq->noreply)
		trace(d, " noreply");
}

/* --- what every call promises ------------------------------------------------------------------- */

static void check_inside(const char *p, size_t length, const char *buf, size_t buf_length)
{
	assert(p >= buf);
	assert(p + length <= buf + buf_length);
}

static void check_value(const struct request *rq, const char *buf, size_t length, size_t consumed)
{
	size_t whole = (size_t)rq->value_length + 2;

	check_inside(rq->value, rq->value_available, buf, length);
	assert(rq->value_available <= whole);
	assert(rq->value_complete == (rq->value_available == whole));
	assert(buf + consumed == rq->value + (rq->value_complete ? whole : 0));
	if (!rq->value_complete)
		assert(rq->value + rq->value_available == buf + length);
}

static void check_request(const struct driver *d, const struct request *rq, const char *buf,
			  size_t length, size_t consumed)
{
	assert(rq->verb < VERB_COUNT);
	if (rq->verb == VERB_ERROR) {
		assert(rq->reply != REPLY_NONE);
		assert(rq->swallow_bytes == 0 || d->tp.mode == TEXT_MODE_SWALLOW);
	}
	if (verb_has_key(rq->verb)) {
		assert(rq->key_length >= 1);
		assert(rq->key_length <= KEY_LENGTH_MAX);
		check_inside(rq->key, rq->key_length, buf, length);
	}
	if (verb_has_value(rq->verb))
		check_value(rq, buf, length, consumed);
	if (rq->line.length > 0)
		check_inside(rq->line.data, rq->line.length, buf, length);
	if (rq->meta != NULL)
		assert(rq->meta == &d->meta);
	assert((rq->meta != NULL) ==
	       (rq->verb == VERB_META_GET || rq->verb == VERB_META_SET || rq->verb == VERB_META_DELETE ||
		rq->verb == VERB_META_ARITHMETIC || rq->verb == VERB_META_DEBUG));
}

/* --- the connection ----------------------------------------------------------------------------- */

/* Takes what it can of a data block that was not complete when its line was. */
static size_t driver_fill(struct driver *d, const char *bytes, size_t length)
{
	size_t taken = (size_t)MIN(d->fill_bytes, (uint64_t)length);

	trace_bytes(d, bytes, taken);
	d->fill_bytes -= taken;
	if (taken > 0 && d->fill_bytes == 0)
		trace(d, "\n");
	return taken;
}

/* One call; returns the bytes it is done with, and whether there may be more. */
static size_t driver_step(struct driver *d, char *buf, size_t length, bool *more)
{
	struct request rq;
	size_t consumed = SIZE_MAX;

	memset(&rq, 0xa5, sizeof(rq)); /* every field is to be set */
	enum parse_result result = text_parse(&d->tp, buf, length, &rq, &d->meta, &consumed);
	*more = result == PARSE_REQUEST;
	if (result == PARSE_CLOSE) {
		trace(d, "close\n");
		d->closed = true;
		return length;
	}
	assert(consumed <= length);
	if (result == PARSE_NEED_MORE) {
		assert(length - consumed <= TEXT_LINE_MAX);
		return consumed;
	}
	assert(consumed > 0);
	check_request(d, &rq, buf, length, consumed);
	trace_request(d, &rq);
	if (!verb_has_value(rq.verb)) {
		trace(d, "\n");
		return consumed;
	}
	trace(d, " value=");
	d->fill_bytes = (uint64_t)rq.value_length + 2;
	driver_fill(d, rq.value, rq.value_available);
	return rq.value_complete ? consumed : length;
}

void driver_feed(struct driver *d, const char *bytes, size_t length)
{
	size_t total = d->kept_bytes + length;
	char *buf = d->arena + DRIVER_BUFFER_BYTES - SCAN_PADDING_BYTES - total;
	size_t at;
	bool more = true;

	if (d->closed)
		return;
	assert(total + SCAN_PADDING_BYTES <= DRIVER_BUFFER_BYTES);
	memcpy(buf, d->kept, d->kept_bytes);
	memcpy(buf + d->kept_bytes, bytes, length);
	memcpy(buf + total, d->padding, SCAN_PADDING_BYTES);

	at = driver_fill(d, buf, total);
	while (more && !d->closed && d->fill_bytes == 0)
		at += driver_step(d, buf + at, total - at, &more);
	d->kept_bytes = total - at;
	memcpy(d->kept, buf + at, d->kept_bytes);
}

const char *driver_run(struct driver *d, const char *bytes, size_t length)
{
	driver_reset(d);
	driver_feed(d, bytes, length);
	return driver_trace(d);
}
