/*
 * clock.h: the server's time. Seconds since the start, counted from CLOCK_FIRST_SECOND so that 0
 * ("never" in an item's expiry) and 1 ("already over") are no time that ever comes.
 *
 * Runs on the monotonic clock; the wall clock is read only to turn absolute times into the server's
 * and back, each time anew, so that a stepped wall clock moves absolute expiry times with it.
 */
#ifndef LARDER_CLOCK_H
#define LARDER_CLOCK_H

#include <time.h>

#include "store/base/base.h"

#define CLOCK_FIRST_SECOND 2u
#define CLOCK_PAST 1u                             /* an expiry that is over */
#define CLOCK_RELATIVE_MAX_SECONDS (60 * 60 * 24 * 30) /* longer exptimes are wall times */
#define CLOCK_WALL_MAX_SECONDS (1LL << 33)             /* in nanoseconds it fits in 64 bits */

struct server_clock {
	/* const after init */
	int64_t start_ns;
	/* atomic: relaxed; moved by debugtime */
	_Atomic int32_t offset_seconds;
};

void clock_init(struct server_clock *cl);
/* clock_wall: seconds since 1970, moved by the debug offset as well. */
int64_t clock_wall(const struct server_clock *cl);
void clock_move(struct server_clock *cl, int32_t seconds);
/* clock_us: microseconds of the monotonic clock, since some moment or other. */
uint64_t clock_us(void);
/* clock_expiry: a client's exptime (0 never, negative over, up to 30 days relative, else a wall
 * time) as the store's expiry. A wall time is the same second of the server's whenever it is told, and
 * never over before the wall clock says so: up to a second later. */
uint32_t clock_expiry(const struct server_clock *cl, uint32_t now, int64_t exptime);

static inline uint32_t clock_now(const struct server_clock *cl)
{
	struct timespec ts;
	clock_gettime(CLOCK_MONOTONIC_COARSE, &ts);
	int64_t elapsed_ns = ts.tv_sec * 1000000000LL + ts.tv_nsec - cl->start_ns;
	int64_t now = elapsed_ns / 1000000000 + CLOCK_FIRST_SECOND + cl->offset_seconds;
	return now < CLOCK_FIRST_SECOND ? CLOCK_FIRST_SECOND : (uint32_t)now;
}

#endif
