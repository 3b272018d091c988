/*
 * lock.h: a small mutual exclusion lock for short critical sections, and the annotations that
 * clang's thread-safety analysis checks.
 *
 * Held for tens of nanoseconds; a waiter spins a little, then yields its core, so that a holder
 * that was descheduled gets to run.
 */
#ifndef LARDER_LOCK_H
#define LARDER_LOCK_H

#include <sched.h>
#include <stdatomic.h>

#include "store/base/base.h"

#if defined(__clang__)
#define THREAD_ANNOTATION(x) __attribute__((x))
#else
#define THREAD_ANNOTATION(x)
#endif
#define CAPABILITY(x) THREAD_ANNOTATION(capability(x))
#define ACQUIRES(...) THREAD_ANNOTATION(acquire_capability(__VA_ARGS__))
#define RELEASES(...) THREAD_ANNOTATION(release_capability(__VA_ARGS__))
#define TRY_ACQUIRES(...) THREAD_ANNOTATION(try_acquire_capability(__VA_ARGS__))
#define REQUIRES(...) THREAD_ANNOTATION(requires_capability(__VA_ARGS__))
#define GUARDED_BY(x) THREAD_ANNOTATION(guarded_by(x))
#define NO_LOCK_ANALYSIS THREAD_ANNOTATION(no_thread_safety_analysis)

/*
 * Order of acquisition; a lock may be taken only while locks of lower rank are held:
 *   1 resize (index)   2 bucket (index)   3 blocks (references)   4 ring (what happened)
 *   5 class (slab)   6 arena (slab), and the memory of policies: fifo pool, ghosts   7 overflow (index)
 * Two bucket locks are taken in the order of their addresses.
 */

#if defined(__x86_64__) || defined(__i386__)
#define cpu_pause() __builtin_ia32_pause()
#else
#define cpu_pause() ((void)0)
#endif

#define LOCK_SPINS 64

/* Waits a little longer each time it is called with the same counter. */
static inline void lock_backoff(unsigned *spins)
{
	if (++*spins < LOCK_SPINS)
		cpu_pause();
	else
		sched_yield();
}

struct CAPABILITY("lock") lock {
	atomic_uint held;
};

static inline void lock_init(struct lock *l)
{
	atomic_init(&l->held, 0);
}

static inline bool lock_try(struct lock *l) TRY_ACQUIRES(true, l) NO_LOCK_ANALYSIS
{
	/* acquire: pairs with the release in lock_release */
	return atomic_load_explicit(&l->held, memory_order_relaxed) == 0 &&
	       atomic_exchange_explicit(&l->held, 1, memory_order_acquire) == 0;
}

static inline void lock_acquire(struct lock *l) ACQUIRES(l) NO_LOCK_ANALYSIS
{
	unsigned spins = 0;

	while (!lock_try(l))
		lock_backoff(&spins);
}

static inline void lock_release(struct lock *l) RELEASES(l) NO_LOCK_ANALYSIS
{
	atomic_store_explicit(&l->held, 0, memory_order_release);
}

#endif
