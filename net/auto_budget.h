/*
 * auto_budget.h: -m as a share of what the system grants the process (auto, 70%): the budget is chosen
 * from it at the start, and follows it while the server runs, until a client sets another
 * (cache_memlimit). What the system grants is cgroup.h's; what a share makes of it, settings.h's.
 *
 * The main thread's, all of it.
 */
#ifndef LARDER_AUTO_BUDGET_H
#define LARDER_AUTO_BUDGET_H

#include "net/cgroup.h"
#include "net/failure.h"
#include "net/server.h"

/* How often to follow. Giving memory back after that takes 1.2 to 1.3 s for 200 MB, mostly waiting for
 * workers at rest to enter the store (2 s for a gigabyte); with a look a second, memory was not back 2 s
 * after the change, with this it was in 1.3 to 1.5 s. A look costs 10 us. */
#define AUTO_BUDGET_FOLLOW_MS 250

struct auto_budget {
	/* const after auto_budget_choose */
	bool wanted; /* -m is a share; else nothing of this is used */
	struct settings *settings;
	struct cgroup cgroup;
	enum limit_source source; /* where the budget of the start is from */

	uint64_t granted_bytes; /* as it was read last */
	bool failing; /* the last reading failed, and it was said */
	bool short_of; /* nothing may be evicted (-M), and more is in use than the share: to be lowered further */
};

/* auto_budget_choose: the start. Fills in the settings' budget if it is a share. */
bool auto_budget_choose(struct auto_budget *ab, struct settings *se, struct failure *f);

/* auto_budget_reach: how far the store must let the budget be raised (limit_max_bytes); 0: as the
 * store chooses. */
uint64_t auto_budget_reach(const struct auto_budget *ab);

/* auto_budget_follow: looks again, and sets the budget when what is granted has changed. */
void auto_budget_follow(struct auto_budget *ab, struct server *sv, struct store_thread *st);

#endif
