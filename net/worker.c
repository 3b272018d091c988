#include "net/worker.h"

#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

#include "net/conn.h"
#include "net/settings.h"
#include "net/watch.h"

#define BUFFERS_BYTES (SCRATCH_BYTES + SCRATCH_PADDING_BYTES + OUTBOX_BYTES)
/* Times that memory is asked for where others ask, too. */
#define BUFFER_TRIES 4u
_Static_assert(BUFFERS_BYTES % 8 == 0, "what lies behind them is aligned");

/* --- what the loop runs ----------------------------------------------------------------------- */

/* One worker does it; whoever else sees that it is time waits until it is done, so that none answers
 * with what is to go. */
void worker_flush_due(struct worker *w)
{
	struct server *sv = w->server;

	pthread_mutex_lock(&sv->flush_lock);
	uint32_t at = atomic_load_explicit(&sv->flush_at, memory_order_relaxed);
	if (at != 0 && w->now >= at) {
		store_enter(w->store, w->now);
		store_flush(w->store);
		store_leave(w->store);
		/* release: pairs with the acquire in worker_read_clock */
		atomic_store_explicit(&sv->flush_at, 0, memory_order_release);
	}
	pthread_mutex_unlock(&sv->flush_lock);
}

void *worker_take_buffer(struct worker *w, size_t bytes, uint8_t *size_index)
{
	struct buffer_pool *pool = &w->server->buffers;
	void *block = buffer_pool_take(pool, bytes, size_index);

	/* Others may have taken what was released, once or twice. */
	for (unsigned i = 0; block == NULL && i < BUFFER_TRIES && !buffer_pool_full(pool); i++)
		if (store_release_bytes(w->store, buffer_pool_block_bytes(*size_index)))
			block = buffer_pool_take(pool, bytes, size_index);
	if (block == NULL)
		counter_add(&w->counters.buffer_oom, 1);
	return block;
}

static unsigned take_queue(struct worker *w, struct new_socket *sockets)
{
	pthread_mutex_lock(&w->lock);
	unsigned count = w->queue_count;
	memcpy(sockets, w->queue, count * sizeof(sockets[0]));
	w->queue_count = 0;
	w->stopping = w->stop_requested;
	w->draining = w->drain_requested;
	pthread_mutex_unlock(&w->lock);
	return count;
}

static void close_resting(struct worker *w)
{
	struct conn *c, *next;

	for (c = w->connections; c != NULL; c = next) {
		next = c->next;
		if (conn_at_rest(c))
			conn_close(c);
	}
}

static void on_queue(evutil_socket_t fd, short what, void *arg)
{
	struct worker *w = arg;
	struct new_socket sockets[WORKER_QUEUE_LENGTH];
	uint64_t wakes;

	if (read(fd, &wakes, sizeof(wakes)) < 0)
		return;
	worker_read_clock(w);
	unsigned count = take_queue(w, sockets);
	for (unsigned i = 0; i < count; i++)
		conn_open(w, sockets[i].fd, sockets[i].transport);
	watch_wake(w);
	if (w->draining)
		close_resting(w);
}

static void on_second(evutil_socket_t fd, short what, void *arg)
{
	struct worker *w = arg;
	struct conn *c, *next;

	worker_read_clock(w);
	/* A turn of nothing: the store settles what this thread holds, also when no client comes. */
	store_enter(w->store, w->now);
	store_leave(w->store);
	hot_tick(&w->hot, w->now);
	if (w->blocked_count == 0 && w->server->settings->idle_timeout_seconds == 0 &&
	    !buffer_pool_pressed(&w->server->buffers))
		return;
	for (c = w->connections; c != NULL; c = next) {
		next = c->next;
		conn_check_time(c);
	}
}

/* Those that used up their turn have another; who uses up that one waits for the next round. */
static void run_ready(struct worker *w)
{
	struct conn *c = w->ready_head;

	w->ready_head = NULL;
	w->ready_tail = &w->ready_head;
	while (c != NULL) {
		struct conn *next = c->ready_next;
		worker_read_clock(w);
		conn_run_ready(c);
		c = next;
	}
}

static void *worker_main(void *arg)
{
	struct worker *w = arg;
	char name[16];

	snprintf(name, sizeof(name), "larder-%u", w->index);
	pthread_setname_np(pthread_self(), name);
	while (!w->stopping) {
		event_base_loop(w->base, EVLOOP_ONCE | (w->ready_head != NULL ? EVLOOP_NONBLOCK : 0));
		run_ready(w);
	}
	while (w->connections != NULL)
		conn_close(w->connections);
	return NULL;
}

/* --- life ------------------------------------------------------------------------------------- */

static struct event_base *new_base(void)
{
	struct event_config *config = event_config_new();

	if (config == NULL)
		return NULL;
	event_config_set_flag(config, EVENT_BASE_FLAG_NOLOCK);
	event_config_set_flag(config, EVENT_BASE_FLAG_EPOLL_USE_CHANGELIST);
	struct event_base *base = event_base_new_with_config(config);
	event_config_free(config);
	return base;
}

/* Buffers, and behind them the table of hot keys. */
static size_t mapped_bytes(void)
{
	return BUFFERS_BYTES + hot_bytes();
}

static size_t charged_bytes(void)
{
	return mapped_bytes() + sizeof(struct worker) + WORKER_STACK_CHARGED_BYTES;
}

static enum status init_events(struct worker *w)
{
	static const struct timeval second = {1, 0};

	w->base = new_base();
	if (w->base == NULL)
		return STATUS_SYSTEM;
	event_assign(&w->queue_event, w->base, w->queue_fd, EV_READ | EV_PERSIST, on_queue, w);
	event_assign(&w->second_event, w->base, -1, EV_PERSIST, on_second, w);
	if (event_add(&w->queue_event, NULL) != 0 || event_add(&w->second_event, &second) != 0) {
		event_base_free(w->base);
		return STATUS_SYSTEM;
	}
	return STATUS_OK;
}

enum status worker_init(struct worker *w, struct server *sv, unsigned index)
{
	memset(w, 0, sizeof(*w));
	w->server = sv;
	w->index = index;
	w->store = store_thread_get(sv->store, index);
	w->now = clock_now(&sv->clock);
	w->requests_per_turn = sv->settings->requests_per_event;
	w->ready_tail = &w->ready_head;
	pthread_mutex_init(&w->lock, NULL);
	w->queue_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	if (w->queue_fd < 0)
		return STATUS_SYSTEM;
	w->scratch = mmap(NULL, mapped_bytes(), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (w->scratch == MAP_FAILED)
		goto close_queue;
	outbox_init(&w->outbox, w->scratch + SCRATCH_BYTES + SCRATCH_PADDING_BYTES);
	w->sample_left = hot_init(&w->hot, w->scratch + BUFFERS_BYTES,
				  store_hash(w->store, (const char *)&index, sizeof(index)), w->now);
	if (init_events(w) != STATUS_OK)
		goto fini_hot;
	budget_charge(sv->budget, ACCOUNT_THREADS, charged_bytes());
	return STATUS_OK;

fini_hot:
	hot_fini(&w->hot);
	munmap(w->scratch, mapped_bytes());
close_queue:
	close(w->queue_fd);
	return STATUS_SYSTEM;
}

enum status worker_start(struct worker *w)
{
	pthread_attr_t attributes;

	pthread_attr_init(&attributes);
	pthread_attr_setstacksize(&attributes, WORKER_STACK_BYTES);
	w->thread_started = pthread_create(&w->thread, &attributes, worker_main, w) == 0;
	pthread_attr_destroy(&attributes);
	return w->thread_started ? STATUS_OK : STATUS_SYSTEM;
}

void worker_wake(struct worker *w)
{
	static const uint64_t one = 1;

	/* Fails only when the counter is full, and then the worker is awake. */
	(void)!write(w->queue_fd, &one, sizeof(one));
}

bool worker_assign(struct worker *w, int fd, enum transport transport)
{
	pthread_mutex_lock(&w->lock);
	bool fits = w->queue_count < WORKER_QUEUE_LENGTH && !w->stop_requested;
	if (fits)
		w->queue[w->queue_count++] = (struct new_socket){fd, transport};
	pthread_mutex_unlock(&w->lock);
	if (fits)
		worker_wake(w);
	return fits;
}

void worker_drain(struct worker *w)
{
	pthread_mutex_lock(&w->lock);
	w->drain_requested = true;
	pthread_mutex_unlock(&w->lock);
	worker_wake(w);
}

void worker_stop(struct worker *w)
{
	pthread_mutex_lock(&w->lock);
	w->stop_requested = true;
	pthread_mutex_unlock(&w->lock);
	worker_wake(w);
}

void worker_join(struct worker *w)
{
	if (w->thread_started)
		pthread_join(w->thread, NULL);
	w->thread_started = false;
}

void worker_fini(struct worker *w)
{
	for (unsigned i = 0; i < w->queue_count; i++)
		close(w->queue[i].fd);
	event_del(&w->queue_event);
	event_del(&w->second_event);
	event_base_free(w->base);
	budget_give(w->server->budget, ACCOUNT_THREADS, charged_bytes());
	munmap(w->scratch, mapped_bytes());
	close(w->queue_fd);
	hot_fini(&w->hot);
	pthread_mutex_destroy(&w->lock);
}
