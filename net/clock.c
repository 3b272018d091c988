#include "net/clock.h"

void clock_init(struct server_clock *cl)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	cl->start_ns = ts.tv_sec * 1000000000LL + ts.tv_nsec;
	cl->offset_seconds = 0;
}

int64_t clock_wall(const struct server_clock *cl)
{
	struct timespec ts;

	clock_gettime(CLOCK_REALTIME, &ts);
	return ts.tv_sec + cl->offset_seconds;
}

void clock_move(struct server_clock *cl, int32_t seconds)
{
	cl->offset_seconds += seconds;
}

uint32_t clock_expiry(const struct server_clock *cl, uint32_t now, int64_t exptime)
{
	int64_t ttl_seconds = exptime;

	if (exptime == 0)
		return 0;
	if (exptime < 0)
		return CLOCK_PAST;
	if (exptime > CLOCK_RELATIVE_MAX_SECONDS)
		ttl_seconds = exptime - clock_wall(cl);
	if (ttl_seconds <= 0)
		return CLOCK_PAST;
	return (uint32_t)MIN(ttl_seconds + now, (int64_t)UINT32_MAX);
}
