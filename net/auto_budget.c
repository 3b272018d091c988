/* auto_budget.c: see auto_budget.h. */
#include "net/auto_budget.h"

#include <string.h>

#include "net/log.h"
#include "net/process.h"
#include "net/settings.h"

#define SIZE_TEXT_BYTES 32

static enum limit_source source_of(const struct cgroup_limit *limit)
{
	return limit->is_physical ? LIMIT_OF_MACHINE : LIMIT_OF_CGROUP;
}

bool auto_budget_choose(struct auto_budget *ab, struct settings *se, struct failure *f)
{
	const char *root = process_absolute_path(se->cgroup_root);
	char error[CGROUP_ERROR_BYTES];
	struct cgroup_limit limit;

	memset(ab, 0, sizeof(*ab));
	ab->source = LIMIT_OF_FLAG;
	ab->settings = se;
	ab->wanted = se->memory_share_percent != 0;
	if (!ab->wanted)
		return true;
	if (cgroup_init(&ab->cgroup, root != NULL ? root : "", error) != STATUS_OK ||
	    cgroup_read(&ab->cgroup, &limit, error) != STATUS_OK)
		return fail_usage(f, "-m: nothing to take a share of: %s", error);
	if (!settings_set_budget(se, limit.bytes))
		return fail_usage(f, "%s", se->error);
	ab->granted_bytes = limit.bytes;
	ab->source = source_of(&limit);
	return true;
}

/*
 * The physical memory, which no limit exceeds; but not so far that references become coarser, for which
 * every small item would pay all the time: of 16 + 10 bytes a container on a host of 256 GB held 0.18
 * of what it holds so, of 32 + 100 on one of 32 GB 0.91. (Over 4 GB CAS uniques leave 2^53, as they do
 * with -m over 1 GB; see slab_cas.)
 */
uint64_t auto_budget_reach(const struct auto_budget *ab)
{
	uint64_t cheap_bytes = store_limit_reach(ab->settings->memory_limit_bytes);

	return ab->wanted ? MIN(ab->cgroup.physical_bytes, cheap_bytes) : 0;
}

/* What it must at least be to start with, it is at least later, whatever the container's limit says:
 * less would be a server that answers everything with an error. */
static uint64_t wanted_budget(const struct auto_budget *ab, struct store_thread *st, uint64_t granted_bytes)
{
	uint64_t bytes = settings_share_of(ab->settings, granted_bytes);

	return MIN(MAX(bytes, settings_least_budget(ab->settings)), store_limit_max(st));
}

static void tell(const struct auto_budget *ab, const struct server *sv, uint64_t wanted_bytes)
{
	char granted[SIZE_TEXT_BYTES], budget[SIZE_TEXT_BYTES], wanted[SIZE_TEXT_BYTES];

	setting_size_text((double)ab->granted_bytes, granted, sizeof(granted));
	setting_size_text((double)sv->limit_bytes, budget, sizeof(budget));
	setting_size_text((double)wanted_bytes, wanted, sizeof(wanted));
	if (ab->short_of)
		log_line("the container's limit is %s now; the budget is %s instead of %s: so much is in use and "
		         "nothing may be evicted (-M)", granted, budget, wanted);
	else if (sv->verbosity > 0)
		log_line("the container's limit is %s now; the budget is %s", granted, budget);
}

/* A limit that cannot be read now is no reason to change anything. */
static bool read_again(struct auto_budget *ab, struct cgroup_limit *limit)
{
	char error[CGROUP_ERROR_BYTES];
	bool good = cgroup_read(&ab->cgroup, limit, error) == STATUS_OK;

	if (!good && !ab->failing)
		log_line("-m: %s; the budget stays as it is", error);
	ab->failing = !good;
	return good;
}

/* As near to it as the store can come: what cannot be given back, or with -M what is in use, stays. Never up
 * again on the way down. */
static void approach(struct auto_budget *ab, struct server *sv, struct store_thread *st, uint64_t wanted_bytes,
                     enum limit_source source)
{
	if (!server_set_limit(sv, st, wanted_bytes, source))
		server_set_limit(sv, st, MIN(MAX(wanted_bytes, store_limit_least(st)), sv->limit_bytes), source);
	ab->short_of = !ab->settings->evict && sv->limit_bytes > wanted_bytes;
}

void auto_budget_follow(struct auto_budget *ab, struct server *sv, struct store_thread *st)
{
	struct cgroup_limit limit;
	bool was_short = ab->short_of;

	if (sv->limit_source == LIMIT_OF_CLIENT)
		return;
	if (!read_again(ab, &limit) || (limit.bytes == ab->granted_bytes && !was_short))
		return;
	bool changed = limit.bytes != ab->granted_bytes;
	uint64_t wanted_bytes = wanted_budget(ab, st, limit.bytes);

	ab->granted_bytes = limit.bytes;
	approach(ab, sv, st, wanted_bytes, source_of(&limit));
	if (changed || !ab->short_of)
		tell(ab, sv, wanted_bytes);
}
