/* engine.c: threads, phases and sums; see engine.h. */
#include "bench/engine.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <time.h>
#include <unistd.h>

#include "bench/engine_internal.h"
#include "bench/tool.h"
#include "store/base/base.h"

/* ---- threads ---- */

static double thread_cpu_s(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

/* Bytes are counted by the connections, each of which lives through all phases. */
static void engine_sum_bytes(struct engine_thread *th)
{
	for (unsigned i = 0; i < th->conn_count; i++) {
		struct client *cl = &th->conns[i].client;

		count_add(&th->counts.sent_bytes, cl->sent_bytes);
		count_add(&th->counts.received_bytes, cl->received_bytes);
		cl->sent_bytes = cl->received_bytes = 0;
	}
}

static void *engine_thread_main(void *arg)
{
	struct engine_thread *th = arg;
	const struct engine *en = th->engine;

	if (en->options.rate_per_s > 0 && en->phase->kind == PHASE_RUN)
		engine_run_open(th);
	else
		engine_run_closed(th);
	th->finished_ns = tool_now_ns();
	engine_sum_bytes(th);
	th->cpu_s = thread_cpu_s();
	return NULL;
}

/* Its share of a number that is dealt out to all threads. */
static uint64_t engine_share(const struct engine_thread *th, uint64_t whole)
{
	unsigned __int128 per = (unsigned __int128)whole;
	unsigned count = th->engine->options.thread_count;

	return (uint64_t)(per * (th->index + 1) / count - per * th->index / count);
}

static void engine_thread_prepare(struct engine_thread *th)
{
	const struct engine_phase *phase = th->engine->phase;
	uint64_t key_count = th->engine->workload->keys.count;
	unsigned thread_count = th->engine->options.thread_count;

	memset(&th->counts, 0, sizeof(th->counts));
	for (unsigned i = 0; i < OP_CLASS_COUNT; i++)
		histogram_init(&th->latencies[i]);
	for (unsigned i = 0; i < th->conn_count; i++)
		th->conns[i].fill_count = 0;
	th->populate_next = key_count * th->index / thread_count;
	th->populate_end = key_count * (th->index + 1) / thread_count;
	th->issue_left = phase->command_limit ? engine_share(th, phase->command_limit) : UINT64_MAX;
	if (phase->kind == PHASE_POPULATE)
		th->issue_left = th->populate_end - th->populate_next;
	th->start_ns = th->engine->started_ns;
	th->end_ns = phase->duration_ns ? th->start_ns + phase->duration_ns : UINT64_MAX;
	th->in_flight = 0;
	th->cpu_s = 0;
}

void engine_start(struct engine *en, const struct engine_phase *phase)
{
	en->phase = phase;
	en->started_ns = tool_now_ns();
	for (unsigned i = 0; i < en->options.thread_count; i++)
		engine_thread_prepare(&en->threads[i]);
	for (unsigned i = 0; i < en->options.thread_count; i++) {
		struct engine_thread *th = &en->threads[i];

		if (pthread_create(&th->pthread, NULL, engine_thread_main, th) != 0)
			tool_fail("cannot start a thread");
		th->running = true;
	}
}

bool engine_wait(struct engine *en, uint64_t wait_ns)
{
	struct timespec deadline;

	clock_gettime(CLOCK_REALTIME, &deadline);
	wait_ns += (uint64_t)deadline.tv_nsec;
	deadline.tv_sec += (time_t)(wait_ns / 1000000000u);
	deadline.tv_nsec = (long)(wait_ns % 1000000000u);
	for (unsigned i = 0; i < en->options.thread_count; i++) {
		struct engine_thread *th = &en->threads[i];

		if (th->running && pthread_timedjoin_np(th->pthread, NULL, &deadline) != 0)
			return false;
		th->running = false;
	}
	return true;
}

/* ---- life ---- */

static bool engine_thread_init(struct engine_thread *th, struct engine *en, unsigned index,
			       char *error)
{
	th->engine = en;
	th->index = index;
	th->conn_count = (unsigned)engine_share(th, en->options.connection_count);
	th->conns = tool_alloc(th->conn_count, sizeof(*th->conns));
	th->heap = tool_alloc(th->conn_count, sizeof(struct engine_conn *));
	th->dirty = tool_alloc(th->conn_count, sizeof(struct engine_conn *));
	th->epoll_fd = -1;
	keyspace_cursor_init(&th->cursor, &en->workload->keys, en->options.seed, index,
			     en->options.thread_count);
	for (unsigned i = 0; i < th->conn_count; i++)
		client_init(&th->conns[i].client);
	th->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (th->epoll_fd < 0) {
		snprintf(error, CLIENT_ERROR_BYTES + 64, "epoll: %s", strerror(errno));
		return false;
	}
	for (unsigned i = 0; i < th->conn_count; i++) {
		if (!engine_connect(th, &th->conns[i], error))
			return false;
	}
	return true;
}

bool engine_init(struct engine *en, const struct engine_options *options,
		 const struct workload *workload, const volatile sig_atomic_t *stop, char *error)
{
	memset(en, 0, sizeof(*en));
	en->options = *options;
	en->workload = workload;
	en->stop = stop;
	en->threads = tool_alloc(options->thread_count, sizeof(*en->threads));
	for (unsigned i = 0; i < options->thread_count; i++) {
		if (!engine_thread_init(&en->threads[i], en, i, error))
			return false;
	}
	return true;
}

static void engine_thread_fini(struct engine_thread *th)
{
	for (unsigned i = 0; i < th->conn_count && th->conns; i++)
		engine_conn_fini(&th->conns[i]);
	free(th->conns);
	free(th->heap);
	free(th->dirty);
	if (th->engine && th->epoll_fd >= 0) /* it was begun */
		close(th->epoll_fd);
}

void engine_fini(struct engine *en)
{
	for (unsigned i = 0; i < en->options.thread_count; i++)
		engine_thread_fini(&en->threads[i]);
	free(en->threads);
}

/* ---- sums ---- */

const char *engine_error(const struct engine *en)
{
	for (unsigned i = 0; i < en->options.thread_count; i++) {
		if (en->threads[i].failed)
			return en->threads[i].error;
	}
	return NULL;
}

/* engine_counts is an array of uint64_t in all but name. */
_Static_assert(sizeof(struct engine_counts) % sizeof(uint64_t) == 0, "counts are 64-bit words");

void engine_sum_counts(const struct engine *en, struct engine_counts *sum)
{
	uint64_t *to = (uint64_t *)sum;

	memset(sum, 0, sizeof(*sum));
	for (unsigned t = 0; t < en->options.thread_count; t++) {
		const uint64_t *from = (const uint64_t *)&en->threads[t].counts;

		for (size_t i = 0; i < sizeof(*sum) / sizeof(uint64_t); i++)
			to[i] += __atomic_load_n(&from[i], __ATOMIC_RELAXED);
	}
}

void engine_sum_latencies(const struct engine *en, enum op_class class, struct histogram *sum)
{
	histogram_init(sum);
	for (unsigned t = 0; t < en->options.thread_count; t++)
		histogram_merge(sum, &en->threads[t].latencies[class]);
}

double engine_cpu_s(const struct engine *en)
{
	double sum_s = 0;

	for (unsigned t = 0; t < en->options.thread_count; t++)
		sum_s += en->threads[t].cpu_s;
	return sum_s;
}

double engine_elapsed_s(const struct engine *en)
{
	uint64_t last_ns = en->started_ns;

	for (unsigned t = 0; t < en->options.thread_count; t++)
		last_ns = MAX(last_ns, en->threads[t].finished_ns);
	return (double)(last_ns - en->started_ns) / 1e9;
}
