#include "net/clock.h"

#define SECOND_NS 1000000000LL

static int64_t read_ns(clockid_t id)
{
	struct timespec ts;

	clock_gettime(id, &ts);
	return ts.tv_sec * SECOND_NS + ts.tv_nsec;
}

void clock_init(struct server_clock *cl)
{
	cl->start_ns = read_ns(CLOCK_MONOTONIC);
	cl->offset_seconds = 0;
}

/* The wall time at which the server's seconds began. Both clocks are read anew each time: the difference of
 * two that are whole seconds would be one second or another, by when in a second they were read. */
static int64_t wall_start_ns(const struct server_clock *cl)
{
	return read_ns(CLOCK_REALTIME) - (read_ns(CLOCK_MONOTONIC) - cl->start_ns);
}

int64_t clock_wall(const struct server_clock *cl)
{
	struct timespec ts;

	clock_gettime(CLOCK_REALTIME, &ts);
	return ts.tv_sec + cl->offset_seconds;
}

uint64_t clock_us(void)
{
	return (uint64_t)read_ns(CLOCK_MONOTONIC) / 1000;
}

void clock_move(struct server_clock *cl, int32_t seconds)
{
	cl->offset_seconds += seconds;
}

/* The server's second that begins at this wall time or within a second after it. */
static int64_t second_of(const struct server_clock *cl, int64_t wall_seconds)
{
	int64_t since_ns = wall_seconds * SECOND_NS - wall_start_ns(cl);

	return CLOCK_FIRST_SECOND + (since_ns + SECOND_NS - 1) / SECOND_NS;
}

uint32_t clock_expiry(const struct server_clock *cl, uint32_t now, int64_t exptime)
{
	int64_t at;

	if (exptime == 0)
		return 0;
	if (exptime < 0)
		return CLOCK_PAST;
	if (exptime <= CLOCK_RELATIVE_MAX_SECONDS)
		at = exptime + now;
	else if (exptime <= clock_wall(cl))
		return CLOCK_PAST;
	else
		at = second_of(cl, MIN(exptime, CLOCK_WALL_MAX_SECONDS));
	return (uint32_t)MIN(MAX(at, (int64_t)now + 1), (int64_t)UINT32_MAX);
}
