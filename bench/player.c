/* player.c: see player.h. */
#include "bench/player.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench/tool.h"
#include "store/base/base.h"

#define PLAYER_FLUSH_BYTES (256u << 10)
#define PLAYER_RELATIVE_TTL_S_MAX (30u * 24 * 3600) /* beyond it the protocol means a date */

void player_init(struct player *pl, const struct player_options *options, struct client *client)
{
	size_t slots = 16;

	memset(pl, 0, sizeof(*pl));
	pl->options = *options;
	pl->client = client;
	while (slots < 4 * (size_t)options->depth)
		slots *= 2;
	pl->window_mask = slots - 1;
	pl->window = tool_alloc(options->depth, sizeof(*pl->window));
	pl->window_keys = tool_alloc(slots, sizeof(*pl->window_keys));
	pl->window_stamps = tool_alloc(slots, sizeof(*pl->window_stamps));
}

void player_fini(struct player *pl)
{
	free(pl->window);
	free(pl->window_keys);
	free(pl->window_stamps);
	free(pl->value);
}

/* ---- the window ---- */

/* Adds a key to the window's set; false if it is there. */
static bool player_claim_key(struct player *pl, uint64_t key)
{
	uint64_t stamp = pl->counts.windows + 1;
	size_t slot = (size_t)((key * UINT64_C(0x9e3779b97f4a7c15)) >> 32) & pl->window_mask;

	while (pl->window_stamps[slot] == stamp) {
		if (pl->window_keys[slot] == key)
			return false;
		slot = (slot + 1) & pl->window_mask;
	}
	pl->window_stamps[slot] = stamp;
	pl->window_keys[slot] = key;
	return true;
}

/* The length of "k%08x" for a key. */
static unsigned player_key_bytes(uint64_t key)
{
	unsigned digits = 8;

	while (digits < 16 && key >> (4 * digits) != 0)
		digits++;
	return 1 + digits;
}

static char *player_write_key(char *to, uint64_t key)
{
	static const char digits[] = "0123456789abcdef";
	unsigned length = player_key_bytes(key);

	to[0] = 'k';
	for (unsigned i = length - 1; i > 0; i--, key >>= 4)
		to[i] = digits[key & 15];
	return to + length;
}

static uint64_t player_scale_ttl(const struct player *pl, uint64_t ttl_s)
{
	double scaled = ceil((double)ttl_s * pl->options.ttl_scale);

	return (uint64_t)MIN(scaled, (double)PLAYER_RELATIVE_TTL_S_MAX);
}

static void player_add_request(struct player *pl, const struct trace_request *tq)
{
	struct player_request *rq = &pl->window[pl->window_count++];
	unsigned key_bytes = player_key_bytes(tq->key);

	rq->key = tq->key;
	rq->value_size_bytes = tq->size_bytes > key_bytes ? tq->size_bytes - key_bytes : 0;
	if (tq->size_bytes == 0)
		rq->value_size_bytes = pl->options.value_size_bytes;
	rq->ttl_s = player_scale_ttl(pl, tq->ttl_s);
	rq->missed = false;
}

/* Takes requests from the trace until the window is full, a key comes back or the trace ends. */
static enum player_result player_fill_window(struct player *pl, struct trace_reader *tr,
					     uint64_t limit)
{
	pl->window_count = 0;
	while (pl->window_count < pl->options.depth) {
		if (pl->counts.requests + pl->window_count >= limit)
			return PLAYER_END;
		if (!pl->has_ahead) {
			enum trace_result result = trace_reader_next(tr, &pl->ahead);

			if (result != TRACE_REQUEST)
				return result == TRACE_END ? PLAYER_END : PLAYER_TRACE_FAILED;
		}
		pl->has_ahead = !player_claim_key(pl, pl->ahead.key);
		if (pl->has_ahead)
			break;
		player_add_request(pl, &pl->ahead);
	}
	return PLAYER_MORE;
}

/* ---- requests out ---- */

static void player_write_gets(struct player *pl)
{
	char *start = client_reserve(pl->client,
				     pl->window_count * (PLAYER_KEY_BYTES_MAX + 8) + 16);
	char *p = start;

	for (unsigned i = 0; i < pl->window_count; i++) {
		if (i == 0 || !pl->options.multiget)
			p = mempcpy(p, "get", 3);
		*p++ = ' ';
		p = player_write_key(p, pl->window[i].key);
		if (i + 1 == pl->window_count || !pl->options.multiget)
			p = mempcpy(p, "\r\n", 2);
	}
	client_commit(pl->client, (size_t)(p - start));
}

static const char *player_value(struct player *pl, size_t bytes)
{
	if (pl->value_capacity < bytes) {
		size_t capacity = MAX(2 * pl->value_capacity, MAX(bytes, (size_t)4096));

		pl->value = tool_realloc(pl->value, capacity);
		for (size_t i = pl->value_capacity; i < capacity; i++)
			pl->value[i] = (char)('a' + i % 26);
		pl->value_capacity = capacity;
	}
	return pl->value;
}

static void player_write_set(struct player *pl, const struct player_request *rq)
{
	size_t bytes = rq->value_size_bytes;
	const char *value = player_value(pl, bytes);
	char *start = client_reserve(pl->client, bytes + PLAYER_KEY_BYTES_MAX + 64);
	char *p = mempcpy(start, "set ", 4);

	p = player_write_key(p, rq->key);
	p += sprintf(p, " 0 %llu %zu\r\n", (unsigned long long)rq->ttl_s, bytes);
	p = mempcpy(p, value, bytes);
	p = mempcpy(p, "\r\n", 2);
	client_commit(pl->client, (size_t)(p - start));
}

/* Sets for what the window missed. Long ones begin to leave while the next are written. */
static bool player_write_sets(struct player *pl)
{
	for (unsigned i = 0; i < pl->window_count; i++) {
		enum client_status status;

		if (!pl->window[i].missed)
			continue;
		player_write_set(pl, &pl->window[i]);
		pl->sets_in_flight++;
		if (pl->client->out.end - pl->client->out.start < PLAYER_FLUSH_BYTES)
			continue;
		status = client_flush(pl->client);
		if (status == CLIENT_CLOSED || status == CLIENT_FAILED)
			return false;
	}
	return true;
}

/* ---- replies in ---- */

static bool player_read_set_replies(struct player *pl)
{
	enum reply_kind kind;
	struct reply rp = {0};

	for (; pl->sets_in_flight > 0; pl->sets_in_flight--) {
		if (!client_read_reply(pl->client, pl->options.timeout_ms, &kind, &rp))
			return false;
		if (kind == REPLY_STORED) {
			pl->counts.stored++;
			continue;
		}
		pl->counts.refused++;
		snprintf(pl->last_refusal, sizeof(pl->last_refusal), "%.*s",
			 (int)MIN(rp.value_bytes, 100u), rp.value ? rp.value : "");
	}
	return true;
}

static bool player_value_is_for(const struct reply *rp, const struct player_request *rq)
{
	char key[PLAYER_KEY_BYTES_MAX];
	size_t key_bytes = (size_t)(player_write_key(key, rq->key) - key);

	return rp->key_bytes == key_bytes && memcmp(rp->key, key, key_bytes) == 0;
}

/* Reads the answer to a get of the window's requests from first to end: VALUEs in the order of the
 * keys, each for a hit, then END. An error in place of END makes errors of those not answered. */
static bool player_read_get_reply(struct player *pl, unsigned first, unsigned end)
{
	enum reply_kind kind;
	struct reply rp;

	for (unsigned next = first;;) {
		if (!client_read_reply(pl->client, pl->options.timeout_ms, &kind, &rp))
			return false;
		if (kind == REPLY_ERROR) {
			pl->counts.errors += end - next;
			return true;
		}
		if (kind != REPLY_VALUE && kind != REPLY_END)
			return false;
		while (next < end &&
		       !(kind == REPLY_VALUE && player_value_is_for(&rp, &pl->window[next])))
			pl->window[next++].missed = true;
		if (kind == REPLY_END)
			return true;
		if (next == end)
			return false;
		pl->counts.hits++;
		next++;
	}
}

static bool player_read_get_replies(struct player *pl)
{
	unsigned step = pl->options.multiget ? pl->window_count : 1;

	for (unsigned i = 0; i < pl->window_count; i += step) {
		if (!player_read_get_reply(pl, i, i + step)) {
			if (pl->client->error[0] == '\0')
				snprintf(pl->client->error, sizeof(pl->client->error),
					 "an answer does not belong to its get");
			return false;
		}
	}
	return true;
}

static void player_count_window(struct player *pl)
{
	pl->counts.requests += pl->window_count;
	for (unsigned i = 0; i < pl->window_count; i++) {
		const struct player_request *rq = &pl->window[i];
		uint64_t bytes = rq->value_size_bytes + player_key_bytes(rq->key);

		pl->counts.requested_bytes += bytes;
		if (rq->missed) {
			pl->counts.misses++;
			pl->counts.missed_bytes += bytes;
		}
	}
	pl->counts.windows++;
}

enum player_result player_step(struct player *pl, struct trace_reader *tr, uint64_t limit)
{
	enum player_result result;

	result = player_fill_window(pl, tr, limit);
	if (result == PLAYER_TRACE_FAILED)
		return result;
	if (pl->window_count > 0)
		player_write_gets(pl);
	if (!player_read_set_replies(pl) || !player_read_get_replies(pl))
		return PLAYER_SERVER_FAILED;
	player_count_window(pl);
	if (!player_write_sets(pl))
		return PLAYER_SERVER_FAILED;
	if (result == PLAYER_END && !player_read_set_replies(pl))
		return PLAYER_SERVER_FAILED;
	return result;
}
