/*
 * counters.h: a worker's counters (counters.def). One writer each, so that an increment is a plain
 * add on a line that no other core writes; readers see whole, slightly old numbers.
 */
#ifndef LARDER_COUNTERS_H
#define LARDER_COUNTERS_H

#include <stdatomic.h>

#include "store/base/base.h"

struct counters {
#define X(field) _Atomic uint64_t field;
#include "net/counters.def"
#undef X
};

/* The same, summed over workers or as a baseline for `stats reset`. */
struct counter_sums {
#define X(field) uint64_t field;
#include "net/counters.def"
#undef X
};

/* By the one thread that owns the counter: no locked instruction. */
static inline void counter_add(_Atomic uint64_t *counter, uint64_t n)
{
	uint64_t value = atomic_load_explicit(counter, memory_order_relaxed);
	atomic_store_explicit(counter, value + n, memory_order_relaxed);
}

static inline void counters_sum(struct counter_sums *sums, const struct counters *c)
{
#define X(field) sums->field += atomic_load_explicit(&c->field, memory_order_relaxed);
#include "net/counters.def"
#undef X
}

#endif
