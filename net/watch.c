#include "net/watch.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/time.h>

#include "net/conn.h"
#include "net/peer.h"
#include "net/settings.h"

#define LINE_BYTES_MAX (3 * KEY_LENGTH_MAX + 300)

struct watcher {
	struct watcher *next;
	struct conn *conn;
	struct worker *worker; /* const; conn is its worker's alone */
	uint32_t kinds;
	uint32_t ring_bytes;
	uint64_t written; /* bytes ever put into the ring */
	uint64_t taken;   /* of those, given to the connection */
	uint64_t skipped; /* lines, since the watcher was last told */
	char *ring;
};

struct watch_hub *watch_hub_new(struct server *sv)
{
	struct watch_hub *hub = calloc(1, sizeof(*hub));

	if (hub == NULL)
		return NULL;
	hub->server = sv;
	pthread_mutex_init(&hub->lock, NULL);
	return hub;
}

void watch_hub_free(struct watch_hub *hub)
{
	if (hub == NULL)
		return;
	assert(hub->watchers == NULL);
	pthread_mutex_destroy(&hub->lock);
	free(hub);
}

/* --- watchers --------------------------------------------------------------------------------- */

uint32_t watch_kind(const struct slice *word)
{
	static const struct {
		const char *name;
		uint32_t kind;
	} names[] = {
		{"fetchers", WATCH_FETCHERS},       {"mutations", WATCH_MUTATIONS},
		{"evictions", WATCH_EVICTIONS},     {"connevents", WATCH_CONNECTIONS},
		{"deletions", WATCH_DELETIONS},     {"sysevents", WATCH_OTHER},
		{"rawcmds", WATCH_OTHER},           {"proxyreqs", WATCH_OTHER},
		{"proxyevents", WATCH_OTHER},       {"proxyuser", WATCH_OTHER},
	};

	for (size_t i = 0; i < ARRAY_LENGTH(names); i++)
		if (word->length == strlen(names[i].name) &&
		    memcmp(word->data, names[i].name, word->length) == 0)
			return names[i].kind;
	return 0;
}

static void watch_end_of_item(void *context, const struct item_view *view, enum ending ending);

static void hub_update(struct watch_hub *hub)
{
	uint32_t kinds = 0, count = 0;

	for (const struct watcher *wr = hub->watchers; wr != NULL; wr = wr->next, count++)
		kinds |= wr->kinds;
	atomic_store_explicit(&hub->kinds, kinds, memory_order_relaxed);
	atomic_store_explicit(&hub->watcher_count, count, memory_order_relaxed);
	store_on_end(hub->server->store, kinds & (WATCH_EVICTIONS | WATCH_DELETIONS) ? watch_end_of_item : NULL,
		     hub);
}

static size_t watcher_bytes(const struct settings *settings)
{
	return ALIGN_UP(sizeof(struct watcher) + settings->watcher_log_bytes, (size_t)OS_PAGE_BYTES);
}

static struct watcher *watcher_new(struct conn *c)
{
	struct worker *w = c->worker;
	struct budget *budget = w->server->budget;
	size_t bytes = watcher_bytes(w->server->settings);

	if (!budget_take(budget, ACCOUNT_LOGS, bytes) &&
	    !(store_release_bytes(w->store, bytes) && budget_take(budget, ACCOUNT_LOGS, bytes)))
		return NULL;
	struct watcher *wr = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (wr == MAP_FAILED) {
		budget_give(budget, ACCOUNT_LOGS, bytes);
		return NULL;
	}
	wr->conn = c;
	wr->worker = w;
	wr->ring = (char *)(wr + 1);
	wr->ring_bytes = (uint32_t)(bytes - sizeof(*wr));
	return wr;
}

enum watch_result watch_begin(struct conn *c, uint32_t kinds)
{
	struct watch_hub *hub = c->worker->server->watch;

	if (atomic_load_explicit(&hub->watcher_count, memory_order_relaxed) >= WATCHERS_MAX)
		return WATCH_TOO_MANY;
	struct watcher *wr = watcher_new(c);
	if (wr == NULL)
		return WATCH_NO_MEMORY;
	wr->kinds = kinds;
	c->watcher = wr;
	atomic_store_explicit(&c->state, CONN_WATCHING, memory_order_relaxed);
	pthread_mutex_lock(&hub->lock);
	wr->next = hub->watchers;
	hub->watchers = wr;
	hub_update(hub);
	pthread_mutex_unlock(&hub->lock);
	return WATCH_OK;
}

void watch_end(struct conn *c)
{
	struct server *sv = c->worker->server;
	struct watcher *wr = c->watcher;
	struct watcher **link = &sv->watch->watchers;
	size_t bytes = watcher_bytes(sv->settings);

	pthread_mutex_lock(&sv->watch->lock);
	while (*link != wr)
		link = &(*link)->next;
	*link = wr->next;
	hub_update(sv->watch);
	pthread_mutex_unlock(&sv->watch->lock);
	c->watcher = NULL;
	munmap(wr, bytes);
	budget_give(sv->budget, ACCOUNT_LOGS, bytes);
}

/* --- the ring --------------------------------------------------------------------------------- */

static uint32_t ring_used(const struct watcher *wr)
{
	return (uint32_t)(wr->written - wr->taken);
}

static void ring_put(struct watcher *wr, const char *data, uint32_t length)
{
	uint32_t at = (uint32_t)(wr->written % wr->ring_bytes);
	uint32_t first = MIN(length, wr->ring_bytes - at);

	memcpy(wr->ring + at, data, first);
	memcpy(wr->ring, data + first, length - first);
	wr->written += length;
}

/* How many lines were skipped is said where they are missing. */
static bool ring_put_skipped(struct watcher *wr)
{
	char line[48];
	int length = snprintf(line, sizeof(line), "skipped=%llu\n", (unsigned long long)wr->skipped);

	if (wr->ring_bytes - ring_used(wr) < (uint32_t)length)
		return false;
	ring_put(wr, line, (uint32_t)length);
	wr->skipped = 0;
	return true;
}

static void watcher_put(struct watch_hub *hub, struct watcher *wr, const char *line, uint32_t length)
{
	bool was_empty = ring_used(wr) == 0;

	if ((wr->skipped > 0 && !ring_put_skipped(wr)) || wr->ring_bytes - ring_used(wr) < length) {
		wr->skipped++;
		hub->skipped_count++;
		return;
	}
	ring_put(wr, line, length);
	hub->sent_count++;
	if (was_empty)
		worker_wake(wr->worker);
}

static void hub_put(struct watch_hub *hub, uint32_t kind, const char *text, uint32_t length)
{
	char line[LINE_BYTES_MAX + 80];
	struct timeval tv;
	bool wanted = false;

	gettimeofday(&tv, NULL);
	pthread_mutex_lock(&hub->lock);
	int prefix = snprintf(line, sizeof(line), "ts=%lld.%lld gid=%llu ", (long long)tv.tv_sec,
			      (long long)tv.tv_usec, (unsigned long long)++hub->line_number);
	memcpy(line + prefix, text, length);
	length += (uint32_t)prefix;
	line[length++] = '\n';
	for (struct watcher *wr = hub->watchers; wr != NULL; wr = wr->next) {
		if (wr->kinds & kind) {
			watcher_put(hub, wr, line, length);
			wanted = true;
		}
	}
	hub->written_count += wanted;
	pthread_mutex_unlock(&hub->lock);
}

static void take_from_ring(struct conn *c)
{
	struct watcher *wr = c->watcher;
	struct output *out = conn_room(c, OUTBOX_REPLY_MAX_BYTES);
	uint32_t at = (uint32_t)(wr->taken % wr->ring_bytes);
	uint32_t length = MIN(ring_used(wr), wr->ring_bytes - at);

	length = MIN(length, (uint32_t)output_room(out));
	memcpy(out->next, wr->ring + at, length);
	out->next += length;
	wr->taken += length;
}

void watch_write(struct conn *c)
{
	struct watch_hub *hub = c->worker->server->watch;
	bool more = true;

	while (more && !c->broken && !parked_any(&c->parked)) {
		/* Not under the lock: making room may send. */
		conn_room(c, OUTBOX_REPLY_MAX_BYTES);
		pthread_mutex_lock(&hub->lock);
		take_from_ring(c);
		more = ring_used(c->watcher) > 0;
		pthread_mutex_unlock(&hub->lock);
	}
}

void watch_wake(struct worker *w)
{
	struct watch_hub *hub = w->server->watch;
	struct conn *woken[WATCHERS_MAX];
	unsigned count = 0;

	if (atomic_load_explicit(&hub->watcher_count, memory_order_relaxed) == 0)
		return;
	pthread_mutex_lock(&hub->lock);
	for (struct watcher *wr = hub->watchers; wr != NULL && count < WATCHERS_MAX; wr = wr->next)
		if (wr->worker == w && ring_used(wr) > 0)
			woken[count++] = wr->conn;
	pthread_mutex_unlock(&hub->lock);
	for (unsigned i = 0; i < count; i++)
		conn_run_watcher(woken[i]);
}

/* --- lines ------------------------------------------------------------------------------------ */

#define KEY_TEXT_BYTES (3 * KEY_LENGTH_MAX + 1)

/* A key as it stands in lines, ended by 0. */
static const char *key_text(char text[KEY_TEXT_BYTES], const char *key, size_t key_length)
{
	*compose_percent_encoded(text, key, key_length) = '\0';
	return text;
}

static void hub_print(struct watch_hub *hub, uint32_t kind, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

static void hub_print(struct watch_hub *hub, uint32_t kind, const char *format, ...)
{
	char text[LINE_BYTES_MAX];
	va_list args;

	va_start(args, format);
	int length = vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	hub_put(hub, kind, text, (uint32_t)MIN(length, LINE_BYTES_MAX - 1));
}

void watch_fetch(struct conn *c, const struct request *rq, const struct item_view *view)
{
	char key[KEY_TEXT_BYTES];

	hub_print(c->worker->server->watch, WATCH_FETCHERS, "type=item_get key=%s status=%s clsid=%u cfd=%d size=%u",
		  key_text(key, rq->key, rq->key_length), view != NULL ? "found" : "not_found",
		  view != NULL ? view->class_index : 0, conn_fd(c),
		  view != NULL ? view->value_length : 0);
}

static const char *command_name(const struct request *rq)
{
	static const char *const names[VERB_COUNT] = {
		[VERB_SET] = "set",         [VERB_ADD] = "add", [VERB_REPLACE] = "replace",
		[VERB_APPEND] = "append",   [VERB_PREPEND] = "prepend",
		[VERB_CAS] = "cas",
	};

	if (rq->verb != VERB_META_SET)
		return names[rq->verb];
	if (META_HAS(rq->meta, 'C'))
		return "cas";
	switch (rq->meta->mode) {
	case 'E':
		return "add";
	case 'R':
		return "replace";
	case 'A':
		return "append";
	case 'P':
		return "prepend";
	default:
		return "set";
	}
}

static const char *result_name(enum store_result result)
{
	static const char *const names[] = {
		[STORE_OK] = "stored",         [STORE_NOT_STORED] = "not_stored",
		[STORE_EXISTS] = "exists",     [STORE_NOT_FOUND] = "not_found",
		[STORE_TOO_LARGE] = "too_large", [STORE_NO_MEMORY] = "no_memory",
		[STORE_NON_NUMERIC] = "non_numeric", [STORE_HELD_LIMIT] = "held_limit",
		[STORE_TOO_MANY_REFERENCES] = "too_many_references",
	};
	return names[result];
}

void watch_store(struct conn *c, const struct request *rq, enum store_result result)
{
	char key[KEY_TEXT_BYTES];
	int64_t ttl = rq->verb == VERB_META_SET ? (META_HAS(rq->meta, 'T') ? rq->meta->ttl : 0)
						: rq->exptime;
	struct item_view view = {.value_length = rq->value_length};

	/* Class and size are those of what is there now; a look-up that leaves no trace. */
	if (result == STORE_OK &&
	    !store_peek(c->worker->store, rq->key, rq->key_length, rq->hash, &view))
		view = (struct item_view){.value_length = rq->value_length};
	hub_print(c->worker->server->watch, WATCH_MUTATIONS,
		  "type=item_store key=%s status=%s cmd=%s ttl=%lld clsid=%u cfd=%d size=%u",
		  key_text(key, rq->key, rq->key_length), result_name(result), command_name(rq), (long long)ttl,
		  view.class_index, conn_fd(c), view.value_length);
}

void watch_delete(struct conn *c, const struct request *rq)
{
	static const char *const names[VERB_COUNT] = {
		[VERB_DELETE] = "delete",
		[VERB_META_DELETE] = "md",
		[VERB_SET] = "set",
		[VERB_META_SET] = "ms",
	};
	char key[KEY_TEXT_BYTES];

	hub_print(c->worker->server->watch, WATCH_DELETIONS, "type=deleted key=%s cmd=%s clsid=0 cfd=%d size=0 reason=deleted",
		  key_text(key, rq->key, rq->key_length), names[rq->verb], conn_fd(c));
}

static void watch_eviction(struct watch_hub *hub, const struct item_view *view)
{
	char key[KEY_TEXT_BYTES];
	int64_t ttl = -1;

	if (view->expiry != EXPIRY_NEVER)
		ttl = (int64_t)view->expiry - clock_now(&hub->server->clock);
	hub_print(hub, WATCH_EVICTIONS, "type=eviction key=%s fetch=%s ttl=%lld la=%u clsid=%u size=%u",
		  key_text(key, view->key, view->key_length), view->fetched ? "yes" : "no",
		  (long long)ttl, store_view_idle_seconds(NULL, view), view->class_index,
		  view->value_length);
}

/* What ends by itself, without a command. */
static void watch_end_of_item(void *context, const struct item_view *view, enum ending ending)
{
	static const char *const reasons[] = {
		[ENDED_DELETED] = "deleted", [ENDED_REPLACED] = "replaced",
		[ENDED_EVICTED] = "evicted", [ENDED_EXPIRED] = "expired",
		[ENDED_FLUSHED] = "flushed", [ENDED_DEAD] = "dead",
		[ENDED_INVALIDATED] = "invalidated", [ENDED_COLLECTED] = "collected",
	};
	struct watch_hub *hub = context;
	char key[KEY_TEXT_BYTES];

	if ((ending == ENDED_EVICTED || ending == ENDED_COLLECTED) && watch_wants(hub, WATCH_EVICTIONS))
		watch_eviction(hub, view);
	if (watch_wants(hub, WATCH_DELETIONS))
		hub_print(hub, WATCH_DELETIONS, "type=deleted key=%s clsid=%u size=%u reason=%s",
			  key_text(key, view->key, view->key_length), view->class_index,
			  view->value_length, reasons[ending]);
}

void watch_conn_new(struct conn *c)
{
	struct peer peer;

	peer_of(&peer, conn_fd(c), (enum transport)c->transport);
	hub_print(c->worker->server->watch, WATCH_CONNECTIONS, "type=conn_new rip=%s rport=%u transport=%s cfd=%d", peer.host,
		  peer.port, peer.transport, conn_fd(c));
}

void watch_conn_close(struct conn *c)
{
	struct peer peer;

	peer_of(&peer, conn_fd(c), (enum transport)c->transport);
	hub_print(c->worker->server->watch, WATCH_CONNECTIONS, "type=conn_close rip=%s rport=%u transport=%s reason=%s cfd=%d",
		  peer.host, peer.port, peer.transport, c->close_reason, conn_fd(c));
}
