#include "net/curve_stats.h"

#include <math.h>
#include <stdio.h>

#include "net/stats.h"
#include "store/curve.h"

static void stat_ratio(struct conn *c, const char *name, double value)
{
	conn_printf(c, "STAT %s %.4f\r\n", name, value);
}

static void point_lines(struct conn *c, const struct mrc_point *point)
{
	const char *policy = point->policy->name, *factor = mrc_factor_text(point->factor);

	conn_printf(c, "STAT mrc:%s:%s:bytes %llu\r\n", policy, factor,
		    (unsigned long long)point->budget_bytes);
	if (isnan(point->miss_ratio))
		conn_printf(c, "STAT mrc:%s:%s:miss_ratio nan\r\n", policy, factor);
	else
		conn_printf(c, "STAT mrc:%s:%s:miss_ratio %.4f\r\n", policy, factor, point->miss_ratio);
}

void curve_stats(struct conn *c)
{
	struct store *s = c->worker->server->store;
	struct store_counters counters;
	struct store_curve curve;

	store_curve_read(s, &curve);
	store_counters_sum(s, &counters);
	const struct mrc_report *report = &curve.report;

	stat_text(c, "mrc:policy", store_running_policy(s)->name);
	stat_text(c, "mrc:state", report->running ? "on" : curve.enabled ? "idle" : "off");
	conn_printf(c, "STAT mrc:rate %.6f\r\n", report->rate);
	stat_number(c, "mrc:keys", report->keys);
	stat_number(c, "mrc:requests", (uint64_t)report->requests);
	stat_number(c, "mrc:older", (uint64_t)report->older);
	stat_number(c, "mrc:dropped", curve.dropped);
	stat_number(c, "mrc:memory", report->memory_bytes);
	for (unsigned i = 0; i < report->lane_count; i++)
		point_lines(c, &report->points[i]);
	stat_text(c, "mrc:best", report->best->name);
	stat_ratio(c, "mrc:gain", report->gain);
	stat_number(c, "mrc:policy_changes", counters.policy_changes);
	stat_text(c, "mrc:advice", curve.advice ? curve.advice->name : "none");
	conn_reply(c, REPLY_END);
}
