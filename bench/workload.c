/* workload.c: see workload.h. */
#include "bench/workload.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench/tool.h"
#include "store/base/base.h"

#define WORKLOAD_OFFSETS (1u << 16) /* where a value may begin in the random block */
#define WORKLOAD_HEAD_BYTES 128     /* a command line without its keys */

/* before, behind: what stands around the key; the rest of a storage line is written apart. */
static const struct {
	const char *name, *before, *behind;
	enum op_class class;
} op_kinds[OP_KIND_COUNT] = {
	[OP_GET] = {"get", "get ", "\r\n", OP_READ},
	[OP_GETS] = {"gets", "gets ", "\r\n", OP_READ},
	[OP_GAT] = {"gat", "gat ", "\r\n", OP_READ},
	[OP_MG] = {"mg", "mg ", " v\r\n", OP_READ},
	[OP_SET] = {"set", "set ", " 0 ", OP_WRITE},
	[OP_ADD] = {"add", "add ", " 0 ", OP_WRITE},
	[OP_REPLACE] = {"replace", "replace ", " 0 ", OP_WRITE},
	[OP_MS] = {"ms", "ms ", " ", OP_WRITE},
	[OP_DELETE] = {"delete", "delete ", "\r\n", OP_OTHER},
	[OP_MD] = {"md", "md ", "\r\n", OP_OTHER},
	[OP_TOUCH] = {"touch", "touch ", " ", OP_OTHER},
};

const char *op_kind_name(enum op_kind kind)
{
	return op_kinds[kind].name;
}

enum op_class op_kind_class(enum op_kind kind)
{
	return op_kinds[kind].class;
}

/* ---- the mix ---- */

static enum op_kind op_kind_find(const char *name, size_t length)
{
	for (unsigned i = 0; i < OP_KIND_COUNT; i++) {
		if (strlen(op_kinds[i].name) == length && memcmp(op_kinds[i].name, name, length) == 0)
			return (enum op_kind)i;
	}
	return OP_KIND_COUNT;
}

/* One "name=weight" or "name". */
static bool mix_parse_part(double *weights, const char *part, size_t length)
{
	char text[64];
	size_t name_bytes = strcspn(part, "=,");
	enum op_kind kind = op_kind_find(part, name_bytes);
	double weight = 1;

	if (kind == OP_KIND_COUNT || length >= sizeof(text))
		return false;
	snprintf(text, sizeof(text), "%.*s", (int)length, part);
	if (name_bytes < length && !tool_parse_double(text + name_bytes + 1, &weight))
		return false;
	weights[kind] += weight;
	return true;
}

static bool mix_parse(struct workload *wl, const char *text, char *error)
{
	double weights[OP_KIND_COUNT] = {0}, sum = 0, bound = 0;

	for (const char *p = text; *p; p += strspn(p, ",")) {
		size_t length = strcspn(p, ",");

		if (!mix_parse_part(weights, p, length)) {
			snprintf(error, SIZES_ERROR_BYTES, "\"%.*s\" is not NAME=WEIGHT; names are "
				 "get gets gat mg set add replace ms delete md touch", (int)length, p);
			return false;
		}
		p += length;
	}
	for (unsigned i = 0; i < OP_KIND_COUNT; i++)
		sum += weights[i];
	if (!(sum > 0)) {
		snprintf(error, SIZES_ERROR_BYTES, "\"%s\": all weights are 0", text);
		return false;
	}
	wl->only_kind = OP_KIND_COUNT;
	for (unsigned i = 0; i < OP_KIND_COUNT; i++) {
		bound += weights[i] / sum;
		wl->mix_bounds[i] = bound;
		if (weights[i] == sum)
			wl->only_kind = (enum op_kind)i;
	}
	return true;
}

enum op_kind workload_next_kind(const struct workload *wl, struct random_state *rs)
{
	double u;
	unsigned kind = 0;

	if (wl->only_kind != OP_KIND_COUNT)
		return wl->only_kind;
	u = random_double(rs);
	while (kind < OP_KIND_COUNT - 1 && u >= wl->mix_bounds[kind])
		kind++;
	/* Rounding may leave u above the last bound: go back to a kind that has a share. */
	while (kind > 0 && wl->mix_bounds[kind] == wl->mix_bounds[kind - 1])
		kind--;
	return (enum op_kind)kind;
}

/* ---- values ---- */

uint32_t workload_value_bytes(const struct workload *wl, uint64_t key)
{
	if (wl->value_sizes.kind == SIZES_FIXED)
		return wl->value_sizes.min_bytes;
	return sizes_draw(&wl->value_sizes, random_mix(key));
}

static inline const char *workload_value(const struct workload *wl, uint64_t key)
{
	return wl->values + (random_mix(~key) & (WORKLOAD_OFFSETS - 1));
}

static void workload_make_values(struct workload *wl)
{
	struct random_state rs;
	size_t bytes = (size_t)WORKLOAD_OFFSETS + wl->value_sizes.max_bytes;

	random_init(&rs, 0x76616c7565);
	wl->values = tool_alloc(bytes, 1);
	for (size_t i = 0; i < bytes; i++)
		wl->values[i] = (char)('!' + random_u64(&rs) % 94); /* printable, so it can be read */
}

bool workload_verify(const struct workload *wl, const struct op *op, const struct reply *rp)
{
	uint64_t key = op->key;

	if (op->kind != OP_MG && !keyspace_parse(&wl->keys, rp->key, rp->key_bytes, &key))
		return false;
	if (op->key_count == 1 && key != op->key)
		return false;
	return rp->value_bytes == workload_value_bytes(wl, key) &&
	       memcmp(rp->value, workload_value(wl, key), rp->value_bytes) == 0;
}

/* ---- commands ---- */

static inline char *write_text(char *to, const char *text)
{
	return mempcpy(to, text, strlen(text));
}

static char *write_u32(char *to, uint32_t number)
{
	char digits[10];
	unsigned n = 0;

	do
		digits[n++] = (char)('0' + number % 10);
	while ((number /= 10) > 0);
	while (n > 0)
		*to++ = digits[--n];
	return to;
}

static uint32_t workload_draw_ttl(const struct workload *wl, struct keyspace_cursor *cursor)
{
	if (wl->ttl_min_s == wl->ttl_max_s)
		return wl->ttl_min_s;
	return wl->ttl_min_s + (uint32_t)random_below(&cursor->random,
						       wl->ttl_max_s - wl->ttl_min_s + 1u);
}

static inline char *write_key(const struct workload *wl, char *to, uint64_t key)
{
	return keyspace_write(&wl->keys, to, key, keyspace_key_bytes(&wl->keys, key));
}

/* The hot path of most loads: nothing but copies. */
static void workload_write_get(const struct workload *wl, struct client *cl, uint64_t key)
{
	char *start = client_reserve(cl, KEYSPACE_KEY_BYTES_MAX + 8);
	char *p = start;

	memcpy(p, "get ", 4);
	p = write_key(wl, p + 4, key);
	memcpy(p, "\r\n", 2);
	client_commit(cl, (size_t)(p + 2 - start));
}

/* get, gets or gat with as many keys as the load has for one command. */
static void workload_write_multiget(const struct workload *wl, struct client *cl,
				    struct keyspace_cursor *cursor, uint64_t key, struct op *op)
{
	unsigned count = wl->multiget;
	char *start = client_reserve(cl, count * (KEYSPACE_KEY_BYTES_MAX + 1) + WORKLOAD_HEAD_BYTES);
	char *p = write_text(start, op_kinds[op->kind].before);

	if (op->kind == OP_GAT) {
		p = write_u32(p, workload_draw_ttl(wl, cursor));
		*p++ = ' ';
	}
	p = write_key(wl, p, key);
	for (unsigned i = 1; i < count; i++) {
		*p++ = ' ';
		p = write_key(wl, p, keyspace_next(&wl->keys, cursor));
	}
	p = write_text(p, "\r\n");
	op->key_count = (uint16_t)count;
	client_commit(cl, (size_t)(p - start));
}

static void workload_write_storage(const struct workload *wl, struct client *cl,
				   struct keyspace_cursor *cursor, enum op_kind kind, uint64_t key)
{
	uint32_t bytes = workload_value_bytes(wl, key), ttl_s = workload_draw_ttl(wl, cursor);
	char *start = client_reserve(cl, bytes + KEYSPACE_KEY_BYTES_MAX + WORKLOAD_HEAD_BYTES);
	char *p = write_text(start, op_kinds[kind].before);

	p = write_key(wl, p, key);
	p = write_text(p, op_kinds[kind].behind);
	if (kind == OP_MS) { /* ms key bytes T<ttl> */
		p = write_u32(p, bytes);
		if (ttl_s > 0)
			p = write_u32(write_text(p, " T"), ttl_s);
	} else { /* set key 0 ttl bytes */
		p = write_u32(p, ttl_s);
		*p++ = ' ';
		p = write_u32(p, bytes);
	}
	p = write_text(p, "\r\n");
	p = mempcpy(p, workload_value(wl, key), bytes);
	p = write_text(p, "\r\n");
	client_commit(cl, (size_t)(p - start));
}

/* Commands of a line and one key. */
static void workload_write_line(const struct workload *wl, struct client *cl,
				struct keyspace_cursor *cursor, enum op_kind kind, uint64_t key)
{
	char *start = client_reserve(cl, KEYSPACE_KEY_BYTES_MAX + WORKLOAD_HEAD_BYTES);
	char *p = write_text(start, op_kinds[kind].before);

	p = write_key(wl, p, key);
	p = write_text(p, op_kinds[kind].behind);
	if (kind == OP_TOUCH)
		p = write_text(write_u32(p, workload_draw_ttl(wl, cursor)), "\r\n");
	client_commit(cl, (size_t)(p - start));
}

void workload_write(const struct workload *wl, struct client *cl, struct keyspace_cursor *cursor,
		    enum op_kind kind, uint64_t key, struct op *op)
{
	op->key = (uint32_t)key;
	op->key_count = 1;
	op->kind = (uint8_t)kind;
	op->is_fill = false;
	if (kind == OP_GET && wl->multiget == 1)
		workload_write_get(wl, cl, key);
	else if (kind == OP_GET || kind == OP_GETS || kind == OP_GAT)
		workload_write_multiget(wl, cl, cursor, key, op);
	else if (op_kinds[kind].class == OP_WRITE)
		workload_write_storage(wl, cl, cursor, kind, key);
	else
		workload_write_line(wl, cl, cursor, kind, key);
}

/* ---- init ---- */

bool workload_init(struct workload *wl, const struct workload_options *options, char *error)
{
	memset(wl, 0, sizeof(*wl));
	wl->multiget = options->multiget;
	wl->ttl_min_s = options->ttl_min_s;
	wl->ttl_max_s = options->ttl_max_s;
	wl->verify = options->verify;
	if (!mix_parse(wl, options->mix, error) ||
	    !keyspace_init(&wl->keys, options->key_count, options->order, options->key_sizes, error) ||
	    !sizes_init(&wl->value_sizes, options->value_sizes, SIZES_OF_VALUES,
			WORKLOAD_VALUE_BYTES_MAX, error))
		return false;
	workload_make_values(wl);
	return true;
}

void workload_fini(struct workload *wl)
{
	keyspace_fini(&wl->keys);
	sizes_fini(&wl->value_sizes);
	free(wl->values);
}
