#include "net/collect.h"

#include <time.h>

#include "net/conn.h"

/* Of gc collect, then it is the others' turn: whoever's request comes in meanwhile waits so long. */
#define TURN_US 200u

struct gc_task {
	struct task task;
	uint64_t run;
	bool noreply;
};

static uint64_t own_microseconds(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &ts);
	return (uint64_t)ts.tv_sec * 1000000u + (uint64_t)ts.tv_nsec / 1000;
}

static void note_longest(struct server *sv, uint64_t us)
{
	uint64_t longest = atomic_load_explicit(&sv->collector_longest_us, memory_order_relaxed);

	while (us > longest &&
	       !atomic_compare_exchange_weak_explicit(&sv->collector_longest_us, &longest, us,
						      memory_order_relaxed, memory_order_relaxed))
		;
}

bool collect_some(struct server *sv, struct store_thread *st, uint32_t max_us)
{
	/* A step's is this thread's own time: what somebody else did on its core was no step. The turn's is
	 * what others wait for, whoever took it. */
	uint64_t before = own_microseconds();
	uint64_t end = clock_us() + max_us;
	enum collect_step done = COLLECT_STEP_MORE;

	/* Busy: later, rather than waiting here. */
	while (done == COLLECT_STEP_MORE && clock_us() < end) {
		done = store_collect_step(st);
		uint64_t now = own_microseconds();

		if (done != COLLECT_STEP_BUSY)
			note_longest(sv, now - before);
		before = now;
	}
	return done != COLLECT_STEP_NONE;
}

/* --- gc --------------------------------------------------------------------------------------- */

static bool step_gc(struct conn *c, struct task *t)
{
	struct gc_task *gt = (struct gc_task *)t;
	struct worker *w = c->worker;
	uint64_t entries, bytes;

	collect_some(w->server, w->store, TURN_US);
	if (!store_collect_done(w->store, gt->run, &entries, &bytes))
		return true;
	if (!gt->noreply)
		conn_printf(c, "OK %llu %llu\r\n", (unsigned long long)entries,
			    (unsigned long long)bytes);
	return false;
}

static void gc_collect(struct conn *c, bool noreply)
{
	struct gc_task *gt = conn_start_task(c, sizeof(*gt), step_gc);

	if (gt == NULL)
		return;
	gt->task.long_steps = true;
	gt->run = store_collect_begin(c->worker->store);
	gt->noreply = noreply;
}

void collect_dispatch(struct conn *c, const struct words *ws, bool noreply)
{
	struct store_thread *st = c->worker->store;
	enum reply reply = REPLY_OK;
	uint64_t holds;

	if (word_is(ws, 0, "collect") && ws->count == 1) {
		gc_collect(c, noreply);
		return;
	}
	if ((word_is(ws, 0, "enable") || word_is(ws, 0, "disable")) && ws->count == 1)
		store_collect_enable(st, word_is(ws, 0, "enable"));
	else if (!word_is(ws, 0, "threshold") || ws->count != 2)
		reply = REPLY_ERROR;
	else if (!word_u64(ws, 1, &holds) || holds == 0)
		reply = REPLY_BAD_FORMAT;
	else
		store_collect_threshold(st, holds);
	if (!noreply)
		conn_reply(c, reply);
}
