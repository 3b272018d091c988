/*
 * epoch.h: when may memory be reused that readers without locks may still see?
 *
 * Epoch-based reclamation (K. Fraser, "Practical lock-freedom", 2004) in its smallest form. A global
 * counter; each thread publishes the value it saw when its turn began, 0 while it is outside one.
 *
 *   reader:  local = global; fence; ... reads ...; local = 0
 *   writer:  unlink; stamp = global;   later: advance; fence; free what has stamp < min(local)
 *
 * Either the writer sees the reader's local, which is then at most the stamp, and waits; or the
 * reader began after the unlink and cannot find what was unlinked. A thread that sleeps in its event
 * loop is outside a turn and holds up nobody.
 */
#ifndef LARDER_EPOCH_H
#define LARDER_EPOCH_H

#include <stdatomic.h>

#include "store/base/base.h"

#define EPOCH_OFFLINE 0u

struct epoch_slot {
	_Alignas(CACHE_LINE_BYTES) atomic_uint_least64_t local; /* written by its thread */
};

struct epoch {
	/* const after init */
	unsigned slot_count;
	struct epoch_slot *slots; /* the owner's memory */
	/* atomic */
	_Alignas(CACHE_LINE_BYTES) atomic_uint_least64_t global;
};

static inline void epoch_init(struct epoch *e, struct epoch_slot *slots, unsigned slot_count)
{
	e->slots = slots;
	e->slot_count = slot_count;
	atomic_init(&e->global, 1);
	for (unsigned i = 0; i < slot_count; i++)
		atomic_init(&slots[i].local, EPOCH_OFFLINE);
}

/* epoch_enter: also called inside a turn, to say that nothing read so far is held any more. */
static inline void epoch_enter(struct epoch *e, unsigned slot)
{
	/* A sequentially consistent exchange orders the store before the turn's reads; it pairs with
	 * the fence in epoch_min. */
	uint64_t now = atomic_load_explicit(&e->global, memory_order_acquire);

	atomic_exchange_explicit(&e->slots[slot].local, now, memory_order_seq_cst);
}

static inline void epoch_leave(struct epoch *e, unsigned slot)
{
	/* release: pairs with the acquire loads in epoch_min */
	atomic_store_explicit(&e->slots[slot].local, EPOCH_OFFLINE, memory_order_release);
}

static inline uint64_t epoch_stamp(struct epoch *e)
{
	return atomic_load_explicit(&e->global, memory_order_seq_cst);
}

static inline void epoch_advance(struct epoch *e)
{
	atomic_fetch_add_explicit(&e->global, 1, memory_order_seq_cst);
}

/* epoch_min: what was unlinked with a smaller stamp is nobody's any more. */
static inline uint64_t epoch_min(struct epoch *e)
{
	uint64_t min = atomic_load_explicit(&e->global, memory_order_seq_cst);

	for (unsigned i = 0; i < e->slot_count; i++) {
		uint64_t local = atomic_load_explicit(&e->slots[i].local, memory_order_seq_cst);

		if (local != EPOCH_OFFLINE && local < min)
			min = local;
	}
	return min;
}

#endif
