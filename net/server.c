#include "net/server.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "net/conn.h"
#include "net/prefix.h"
#include "net/settings.h"
#include "net/stats.h"
#include "net/watch.h"
#include "net/worker.h"

/* Connections that were accepted but are yet to be refused, and such. */
#define SPARE_CONNECTIONS 64u
/* Some 2,500 connections are served even if clients hold everything else captive; what that goes
 * over the budget is made up for by the megabyte between the allowance and the promise. */
#define CONNECTIONS_FLOOR_BYTES (1u << 20)

static enum status init_pools(struct server *sv)
{
	struct block_pool_options connections = {
		.budget = sv->budget,
		.account = ACCOUNT_CONNECTIONS,
		.block_bytes = ALIGN_UP(sizeof(struct conn), 16u),
		.reserve_groups = 1,
		.floor_bytes = CONNECTIONS_FLOOR_BYTES,
	};
	uint64_t per_page = OS_PAGE_BYTES / connections.block_bytes;

	connections.region_bytes =
		((sv->settings->conn_limit + SPARE_CONNECTIONS) / per_page + 1) * OS_PAGE_BYTES;
	if (block_pool_init(&sv->connections, &connections) != STATUS_OK)
		return STATUS_SYSTEM;
	if (buffer_pool_init(&sv->buffers, sv->budget, budget_limit(sv->budget)) == STATUS_OK)
		return STATUS_OK;
	block_pool_fini(&sv->connections);
	return STATUS_SYSTEM;
}

struct store_options server_store_options(const struct settings *se)
{
	return (struct store_options){
		.limit_bytes = se->memory_limit_bytes,
		.item_limit_bytes = (uint32_t)se->item_limit_bytes,
		.chunk_min_bytes = se->chunk_min_bytes,
		.growth_factor = se->growth_factor,
		.thread_count = se->thread_count + 1,
		.evict = se->evict,
		.held_limit_percent = se->held_limit_percent,
		.clock_us = clock_us,
	};
}

/* What looks on: cheap until it is used. */
static enum status init_observers(struct server *sv)
{
	sv->watch = watch_hub_new(sv);
	sv->prefixes = prefix_table_new(sv->budget, sv->settings->prefix_delimiter);
	sv->baseline = stats_baseline_new();
	if (sv->watch == NULL || sv->prefixes == NULL || sv->baseline == NULL)
		return STATUS_NO_MEMORY;
	if (sv->settings->detail_enabled)
		prefix_enable(sv->prefixes, true);
	return STATUS_OK;
}

static void fini_observers(struct server *sv)
{
	watch_hub_free(sv->watch);
	prefix_table_free(sv->prefixes);
	stats_baseline_free(sv->baseline);
}

static enum status init_workers(struct server *sv)
{
	size_t bytes = sv->worker_count * sizeof(struct worker);
	enum status status = STATUS_OK;
	unsigned ready;

	/* Not from the heap: the queues and batches in it are touched only as far as they are used. */
	sv->workers = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (sv->workers == MAP_FAILED)
		return STATUS_SYSTEM;
	for (ready = 0; ready < sv->worker_count && status == STATUS_OK; ready++)
		status = worker_init(&sv->workers[ready], sv, ready);
	if (status == STATUS_OK)
		return STATUS_OK;
	for (ready--; ready > 0; ready--)
		worker_fini(&sv->workers[ready - 1]);
	munmap(sv->workers, bytes);
	return status;
}

enum status server_init(struct server *sv, const struct server_options *options)
{
	enum status status;

	memset(sv, 0, sizeof(*sv));
	sv->options = *options;
	sv->settings = options->settings;
	sv->store = options->store;
	sv->budget = store_budget(options->store);
	sv->auth = options->auth;
	sv->worker_count = options->settings->thread_count;
	sv->verbosity = (int)options->settings->verbosity;
	sv->limit_bytes = options->settings->memory_limit_bytes;
	sv->limit_source = options->limit_source;
	sv->track_sizes = options->settings->track_sizes;
	sv->accepting = true;
	sv->crawler_enabled = true;
	sv->slab_automove = 1;
	clock_init(&sv->clock);
	pthread_mutex_init(&sv->flush_lock, NULL);
	pthread_mutex_init(&sv->limit_lock, NULL);
	status = init_pools(sv);
	if (status != STATUS_OK)
		return status;
	status = init_observers(sv);
	if (status != STATUS_OK)
		goto fini_observers;
	status = init_workers(sv);
	if (status == STATUS_OK)
		return STATUS_OK;

fini_observers:
	fini_observers(sv);
	buffer_pool_fini(&sv->buffers);
	block_pool_fini(&sv->connections);
	return status;
}

enum status server_start(struct server *sv)
{
	for (unsigned i = 0; i < sv->worker_count; i++) {
		if (worker_start(&sv->workers[i]) != STATUS_OK) {
			server_stop(sv);
			return STATUS_SYSTEM;
		}
	}
	return STATUS_OK;
}

bool server_assign(struct server *sv, int fd, enum transport transport)
{
	for (unsigned tries = 0; tries < sv->worker_count; tries++) {
		struct worker *w = &sv->workers[sv->next_worker];
		sv->next_worker = (sv->next_worker + 1) % sv->worker_count;
		if (worker_assign(w, fd, transport))
			return true;
	}
	return false;
}

bool server_set_limit(struct server *sv, struct store_thread *st, uint64_t limit_bytes,
                      enum limit_source source)
{
	pthread_mutex_lock(&sv->limit_lock);
	bool good = (source == LIMIT_OF_CLIENT || sv->limit_source != LIMIT_OF_CLIENT) &&
	            store_set_limit(st, limit_bytes) == STATUS_OK;

	if (good) {
		sv->limit_bytes = limit_bytes;
		sv->limit_source = source;
	}
	pthread_mutex_unlock(&sv->limit_lock);
	return good;
}

void server_drain(struct server *sv)
{
	for (unsigned i = 0; i < sv->worker_count; i++)
		worker_drain(&sv->workers[i]);
}

void server_stop(struct server *sv)
{
	for (unsigned i = 0; i < sv->worker_count; i++)
		worker_stop(&sv->workers[i]);
	for (unsigned i = 0; i < sv->worker_count; i++)
		worker_join(&sv->workers[i]);
}

void server_fini(struct server *sv)
{
	for (unsigned i = 0; i < sv->worker_count; i++)
		worker_fini(&sv->workers[i]);
	munmap(sv->workers, sv->worker_count * sizeof(struct worker));
	fini_observers(sv);
	buffer_pool_fini(&sv->buffers);
	block_pool_fini(&sv->connections);
	pthread_mutex_destroy(&sv->limit_lock);
	pthread_mutex_destroy(&sv->flush_lock);
}
