/*
 * last_resort.c: what is tried before a store is refused, because no more may be held or because all of memory is.
 * What is in the way may be over already (flushed, or ended by what it lived by, its memory not given back yet), or
 * garbage that the collector would release.
 *
 * Whoever asks does it in its own turn, and everybody else of its thread waits for that. So each thread has an
 * allowance of time: what it spends here comes back as fast as time passes elsewhere, up to LAST_RESORT_US. A pipeline
 * of stores that are all refused thus takes half of its thread for this, and none of them more than a millisecond;
 * when the allowance is spent the store is refused, and the run that would have helped goes on beside the work.
 *
 * The time is of the options' clock, since the store has none; without one (tests of single threads) nothing is spent.
 */
#include "store/reference_internal.h"

/* What others of the thread may have to wait for; a step of the collector takes some 5 of it. */
#define LAST_RESORT_US 1000u
/* Between two looks at the clock; a look at an entry may be a search besides, of a millisecond at worst. */
#define DEAD_LOOKS 128u
#define FLUSHED_BUCKETS 256u
#define DRIVE_SHARE 256u /* changes of holds for which a run is worth waiting for before a store is refused */

/* ---- the allowance ---- */

static uint64_t read_clock(const struct store_thread *st)
{
	uint64_t (*clock_us)(void) = st->store->options.clock_us;

	return clock_us ? clock_us() : 0;
}

static void begin(struct store_thread *st)
{
	struct last_resort *lr = &st->last_resort;

	lr->begun_us = read_clock(st);
	lr->left_us = MIN(LAST_RESORT_US, lr->left_us + (lr->begun_us - lr->ended_us));
}

static bool is_spent(const struct store_thread *st)
{
	const struct last_resort *lr = &st->last_resort;

	return st->store->options.clock_us && read_clock(st) - lr->begun_us >= lr->left_us;
}

static void end(struct store_thread *st)
{
	struct last_resort *lr = &st->last_resort;
	_Atomic uint64_t *longest_us = &st->store->references.last_resort_longest_us;
	uint64_t now_us = read_clock(st), took_us = now_us - lr->begun_us;
	uint64_t before_us = atomic_load_explicit(longest_us, memory_order_relaxed);

	lr->left_us -= MIN(lr->left_us, took_us);
	lr->ended_us = now_us;
	while (took_us > before_us &&
	       !atomic_compare_exchange_weak_explicit(longest_us, &before_us, took_us, memory_order_relaxed,
	                                              memory_order_relaxed))
		;
}

/* ---- the collector ---- */

/* Ever, with those of the run that is under way. */
static uint64_t released_ever(const struct collector *co)
{
	return co->entries + co->run_entries;
}

/* Is there anything for a full run, since the last one? Begins it. Without a change of holds there may still be what
 * is used no more; that is looked for beside the work, once a second. */
static bool ask(struct collector *co, uint32_t now)
{
	if (!co->enabled)
		return false;
	if (co->phase != COLLECT_IDLE && co->full)
		return true;
	bool changed = co->changes > co->last_holds / DRIVE_SHARE;

	co->full_wanted |= changed || co->asked_second != now;
	co->asked_second = now;
	return changed;
}

static void ask_collector(struct store_thread *st)
{
	struct references *rf = &st->store->references;

	lock_acquire(&rf->blocks.lock);
	ask(&rf->collector, st->now);
	lock_release(&rf->blocks.lock);
}

/* A full run on until it released something; false: it did not to its end, nor to the allowance's, or there is nothing
 * for one. */
static bool drive(struct store_thread *st)
{
	struct references *rf = &st->store->references;
	struct collector *co = &rf->collector;
	unsigned spins = 0;

	lock_acquire(&rf->blocks.lock);
	uint64_t before = released_ever(co), run = co->full_runs + 1;
	bool going = ask(co, st->now), released = false;

	lock_release(&rf->blocks.lock);
	while (going && !released && !is_spent(st)) {
		quiesce(st);
		if (store_collect_step(st) == COLLECT_STEP_BUSY)
			lock_backoff(&spins);
		lock_acquire(&rf->blocks.lock);
		released = released_ever(co) > before;
		going = co->full_runs < run;
		lock_release(&rf->blocks.lock);
	}
	return released;
}

/* A run that was under way may have passed what is garbage now. */
static bool release_garbage(struct store_thread *st)
{
	return drive(st) || drive(st);
}

/* ---- what is over ---- */

/* The rest of a pass, or one. */
static bool sweep_pass(struct store_thread *st)
{
	unsigned removed = 0;

	for (bool more = true; more && !removed && !is_spent(st);)
		removed = sweep_dead(st, DEAD_LOOKS, true, &more);
	return removed > 0;
}

static bool sweep_over(struct store_thread *st)
{
	struct references *rf = &st->store->references;

	if (sweep_flushed(st, FLUSHED_BUCKETS))
		return true;
	if (atomic_load_explicit(&rf->weak_count, memory_order_relaxed) +
	            atomic_load_explicit(&rf->dependency_count, memory_order_relaxed) == 0)
		return false;
	/* As with runs. */
	return sweep_pass(st) || sweep_pass(st);
}

/* ---- asking ---- */

bool last_resort_for_memory(struct store_thread *st)
{
	begin(st);
	bool released = release_garbage(st);

	reclaim_room(st);
	end(st);
	return released;
}

bool last_resort_for_hold(struct store_thread *st, uint64_t bytes)
{
	struct store *s = st->store;

	if (bytes > reference_held_limit(s))
		return false;
	begin(st);
	while (!may_hold(s, 0, bytes) && !is_spent(st) && (sweep_over(st) || release_garbage(st))) {
		/* on */
	}
	bool room = may_hold(s, 0, bytes);

	/* What was swept in all the time that there was may not have been what holds. */
	if (!room)
		ask_collector(st);
	reclaim_room(st);
	end(st);
	return room;
}
