#include "net/admin.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "net/collect.h"
#include "net/dump.h"
#include "net/settings.h"
#include "net/stats.h"
#include "net/watch.h"
#include "net/words.h"

#define MEGABYTE (1ull << 20)
#define MEMLIMIT_LEAST_MEGABYTES 8u
#define MEMLIMIT_MOST_MEGABYTES 1000000000u
#define CRAWLER_SLEEP_MAX_US 1000000u

/* What the command was, and whether it is answered at all. */
struct admin {
	struct conn *conn;
	bool noreply;
	struct words words;
};

static void answer(struct admin *ad, const char *line)
{
	if (!ad->noreply)
		conn_printf(ad->conn, "%s\r\n", line);
}

static void answer_reply(struct admin *ad, enum reply reply)
{
	if (!ad->noreply)
		conn_reply(ad->conn, reply);
}

static bool word_number(const struct admin *ad, unsigned i, double *value)
{
	char text[32], *end;
	const struct slice *word = &ad->words.word[i];

	if (i >= ad->words.count || word->length == 0 || word->length >= sizeof(text))
		return false;
	memcpy(text, word->data, word->length);
	text[word->length] = '\0';
	*value = strtod(text, &end);
	return *end == '\0' && *value == *value;
}

/* --- verbosity, cache_memlimit, shutdown, debugtime ------------------------------------------- */

static void admin_verbosity(struct admin *ad)
{
	uint32_t level;

	if (ad->words.count == 0) {
		answer_reply(ad, REPLY_ERROR);
	} else if (!word_u32(&ad->words, 0, &level)) {
		answer_reply(ad, REPLY_BAD_FORMAT);
	} else {
		ad->conn->worker->server->verbosity = (int)MIN(level, 100u);
		answer_reply(ad, REPLY_OK);
	}
}

/* Why the budget stays as it is. memcached says OK whatever can be done, and with -M keeps all it has. */
static void refuse_memlimit(struct admin *ad, uint64_t megabytes)
{
	const struct worker *w = ad->conn->worker;
	uint64_t least_bytes = store_limit_least(w->store);
	unsigned long long least = (unsigned long long)((least_bytes + MEGABYTE - 1) / MEGABYTE);

	if (ad->noreply)
		return;
	if (megabytes >= least)
		conn_printf(ad->conn, "MEMLIMIT_ADJUST_FAILED out of bounds or unable to adjust\r\n");
	else if (!w->server->settings->evict)
		conn_printf(ad->conn, "MEMLIMIT_ADJUST_FAILED %llum are in use and nothing may be evicted\r\n", least);
	else
		conn_printf(ad->conn, "MEMLIMIT_TOO_SMALL cannot set maxbytes to less than %llum\r\n", least);
}

static void admin_memlimit(struct admin *ad)
{
	struct worker *w = ad->conn->worker;
	uint64_t megabytes;

	if (!word_u64(&ad->words, 0, &megabytes)) {
		answer_reply(ad, REPLY_ERROR);
	} else if (megabytes < MEMLIMIT_LEAST_MEGABYTES) {
		answer(ad, "MEMLIMIT_TOO_SMALL cannot set maxbytes to less than 8m");
	} else if (megabytes > MEMLIMIT_MOST_MEGABYTES) {
		answer(ad, "MEMLIMIT_ADJUST_FAILED input value is megabytes not bytes");
	} else if (!server_set_limit(w->server, w->store, megabytes * MEGABYTE, LIMIT_OF_CLIENT)) {
		refuse_memlimit(ad, megabytes);
	} else {
		answer_reply(ad, REPLY_OK);
	}
}

static void admin_shutdown(struct admin *ad)
{
	struct server *sv = ad->conn->worker->server;
	bool graceful = word_is(&ad->words, 0, "graceful");

	if (!sv->settings->shutdown_enabled) {
		answer_reply(ad, REPLY_SHUTDOWN_DISABLED);
	} else if (ad->words.count > 0 && !graceful) {
		answer(ad, "CLIENT_ERROR invalid shutdown mode");
	} else {
		ad->conn->closing = true;
		ad->conn->close_reason = "shutdown";
		if (sv->options.on_shutdown != NULL)
			sv->options.on_shutdown(sv->options.owner, graceful);
	}
}

/* debugtime <+-seconds>: for tests of what takes days. */
static void admin_debugtime(struct admin *ad)
{
	struct server *sv = ad->conn->worker->server;
	double seconds;

	if (!sv->options.debug_time || !word_number(ad, 0, &seconds) || seconds > INT32_MAX / 2 ||
	    seconds < INT32_MIN / 2) {
		answer_reply(ad, REPLY_ERROR);
		return;
	}
	clock_move(&sv->clock, (int32_t)seconds);
	worker_read_clock(ad->conn->worker);
	answer_reply(ad, REPLY_OK);
}

/* --- slabs ------------------------------------------------------------------------------------ */

static bool word_class(const struct admin *ad, unsigned i, int64_t *class_number)
{
	return i < ad->words.count && number_parse_exptime(ad->words.word[i], class_number);
}

/* Pages move by themselves; there is never one to spare for a command. */
static void slabs_reassign(struct admin *ad)
{
	int64_t count = store_class_count(ad->conn->worker->server->store);
	int64_t from, to;

	if (ad->words.count != 3)
		answer_reply(ad, REPLY_ERROR);
	else if (!word_class(ad, 1, &from) || !word_class(ad, 2, &to))
		answer_reply(ad, REPLY_BAD_FORMAT);
	else if (from == to)
		answer(ad, "SAME src and dst class are identical");
	else if (from < -1 || from > count || to < 0 || to > count)
		answer(ad, "BADCLASS invalid src or dst class id");
	else
		answer(ad, "NOSPARE source class has no spare pages");
}

static void slabs_automove(struct admin *ad)
{
	uint32_t mode;
	double ratio;

	if (ad->words.count < 2 || (word_is(&ad->words, 1, "ratio") && !word_number(ad, 2, &ratio))) {
		answer_reply(ad, REPLY_ERROR);
	} else if (word_is(&ad->words, 1, "ratio")) {
		answer_reply(ad, REPLY_OK);
	} else if (!word_u32(&ad->words, 1, &mode)) {
		answer_reply(ad, REPLY_BAD_FORMAT);
	} else if (mode > 2) {
		answer_reply(ad, REPLY_ERROR);
	} else {
		ad->conn->worker->server->slab_automove = mode;
		answer_reply(ad, REPLY_OK);
	}
}

static void admin_slabs(struct admin *ad)
{
	if (word_is(&ad->words, 0, "reassign"))
		slabs_reassign(ad);
	else if (word_is(&ad->words, 0, "automove"))
		slabs_automove(ad);
	else
		answer_reply(ad, REPLY_ERROR);
}

/* --- lru -------------------------------------------------------------------------------------- */

static void lru_tune(struct admin *ad)
{
	uint32_t hot_percent, warm_percent;
	double hot_factor, warm_factor;

	if (ad->words.count < 5 || !word_u32(&ad->words, 1, &hot_percent) ||
	    !word_u32(&ad->words, 2, &warm_percent) || !word_number(ad, 3, &hot_factor) ||
	    !word_number(ad, 4, &warm_factor))
		answer_reply(ad, REPLY_ERROR);
	else if ((uint64_t)hot_percent + warm_percent > 80)
		answer(ad, "ERROR hot and warm pcts must not exceed 80");
	else if (hot_factor <= 0 || warm_factor <= 0)
		answer(ad, "ERROR hot/warm age factors must be greater than 0");
	else
		answer_reply(ad, REPLY_OK);
}

static void admin_lru(struct admin *ad)
{
	int64_t ttl;

	if (word_is(&ad->words, 0, "tune"))
		lru_tune(ad);
	else if (word_is(&ad->words, 0, "mode") &&
		 (word_is(&ad->words, 1, "flat") || word_is(&ad->words, 1, "segmented")))
		answer_reply(ad, REPLY_OK);
	else if (word_is(&ad->words, 0, "temp_ttl") && ad->words.count > 1 &&
		 number_parse_exptime(ad->words.word[1], &ttl))
		answer_reply(ad, REPLY_OK);
	else
		answer_reply(ad, REPLY_ERROR);
}

/* --- lru_crawler ------------------------------------------------------------------------------ */

static void crawler_enable(struct admin *ad, bool enabled)
{
	bool was_enabled = atomic_exchange(&ad->conn->worker->server->crawler_enabled, enabled);

	if (enabled && was_enabled)
		answer(ad, "ERROR failed to start lru crawler thread");
	else
		answer_reply(ad, REPLY_OK);
}

static void crawler_sleep(struct admin *ad)
{
	uint32_t sleep_us;

	if (ad->words.count != 2)
		answer_reply(ad, REPLY_ERROR);
	else if (!word_u32(&ad->words, 1, &sleep_us))
		answer_reply(ad, REPLY_BAD_FORMAT);
	else if (sleep_us > CRAWLER_SLEEP_MAX_US)
		answer(ad, "CLIENT_ERROR sleep must be one second or less");
	else
		answer_reply(ad, REPLY_OK);
}

static void crawler_tocrawl(struct admin *ad)
{
	uint32_t count;

	if (ad->words.count != 2)
		answer_reply(ad, REPLY_ERROR);
	else
		answer_reply(ad, word_u32(&ad->words, 1, &count) ? REPLY_OK : REPLY_BAD_FORMAT);
}

/* crawl, metadump, mgdump: on classes. Expired items go by themselves, so a crawl is done at once. */
static void crawler_classes(struct admin *ad)
{
	struct server *sv = ad->conn->worker->server;
	bool crawl = word_is(&ad->words, 0, "crawl");
	bool keys = word_is(&ad->words, 0, "mgdump");
	struct dump_classes classes;

	if (!crawl && !sv->settings->dump_enabled)
		answer(ad, keys ? "ERROR key dump not allowed" : "ERROR metadump not allowed");
	else if (ad->words.count != 2)
		answer_reply(ad, REPLY_ERROR);
	else if (!sv->crawler_enabled)
		answer(ad, "CLIENT_ERROR lru crawler disabled");
	else if (!dump_parse_classes(ad->conn, &ad->words.word[1], &classes))
		answer(ad, "BADCLASS invalid class id");
	else if (crawl)
		answer_reply(ad, REPLY_OK);
	else
		dump_begin(ad->conn, keys ? DUMP_KEYS : DUMP_META, &classes, UINT64_MAX);
}

static void admin_crawler(struct admin *ad)
{
	if (word_is(&ad->words, 0, "crawl") || word_is(&ad->words, 0, "metadump") ||
	    word_is(&ad->words, 0, "mgdump"))
		crawler_classes(ad);
	else if (word_is(&ad->words, 0, "sleep"))
		crawler_sleep(ad);
	else if (word_is(&ad->words, 0, "tocrawl"))
		crawler_tocrawl(ad);
	else if (word_is(&ad->words, 0, "enable"))
		crawler_enable(ad, true);
	else if (word_is(&ad->words, 0, "disable"))
		crawler_enable(ad, false);
	else
		answer_reply(ad, REPLY_ERROR);
}

/* --- watch ------------------------------------------------------------------------------------ */

static void admin_watch(struct admin *ad)
{
	uint32_t kinds = 0;

	if (!ad->conn->worker->server->settings->watch_enabled) {
		answer(ad, "CLIENT_ERROR watch commands not allowed");
		return;
	}
	for (unsigned i = 0; i < MIN(ad->words.count, (unsigned)WORDS_MAX); i++) {
		uint32_t kind = watch_kind(&ad->words.word[i]);
		if (kind == 0) {
			answer_reply(ad, REPLY_ERROR);
			return;
		}
		kinds |= kind;
	}
	switch (watch_begin(ad->conn, kinds != 0 ? kinds : WATCH_FETCHERS)) {
	case WATCH_OK:
		conn_reply(ad->conn, REPLY_OK);
		break;
	case WATCH_TOO_MANY:
		answer(ad, "WATCHER_TOO_MANY log watcher limit reached");
		break;
	case WATCH_NO_MEMORY:
		answer(ad, "WATCHER_FAILED failed to add log watcher");
		break;
	}
}

void admin_dispatch(struct conn *c, const struct request *rq)
{
	struct admin ad = {.conn = c, .noreply = rq->noreply};

	words_split(&ad.words, rq);
	switch (rq->verb) {
	case VERB_STATS:
		/* stats knows no noreply: the word is one of its own, and unknown. */
		ad.words.count += rq->noreply;
		stats_dispatch(c, &ad.words);
		break;
	case VERB_VERBOSITY:
		admin_verbosity(&ad);
		break;
	case VERB_CACHE_MEMLIMIT:
		admin_memlimit(&ad);
		break;
	case VERB_SHUTDOWN:
		admin_shutdown(&ad);
		break;
	case VERB_SLABS:
		admin_slabs(&ad);
		break;
	case VERB_LRU:
		admin_lru(&ad);
		break;
	case VERB_LRU_CRAWLER:
		/* Nor does lru_crawler: "sleep 100 noreply" has a word too many. */
		ad.words.count += rq->noreply;
		ad.noreply = false;
		admin_crawler(&ad);
		break;
	case VERB_WATCH:
		admin_watch(&ad);
		break;
	case VERB_GC:
		collect_dispatch(c, &ad.words, ad.noreply);
		break;
	case VERB_DEBUGTIME:
		admin_debugtime(&ad);
		break;
	default:
		answer_reply(&ad, REPLY_ERROR);
		break;
	}
}
