/*
 * event_memory.h: what libevent allocates, charged to ACCOUNT_LIBEVENT.
 *
 * libevent's hooks carry no context, so the budget is the one piece of file-level state here; it is
 * set once, before the first use of libevent, and outlives it.
 */
#ifndef LARDER_EVENT_MEMORY_H
#define LARDER_EVENT_MEMORY_H

#include "store/budget.h"

/* event_memory_install: before any other call of libevent; NULL: no longer charged, to be set when
 * libevent holds nothing any more. */
void event_memory_install(struct budget *b);

#endif
