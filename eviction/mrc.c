#include "eviction/mrc.h"

#include <math.h>

/* Of the lanes' pages: there are many lanes, and small ones. */
#define LANE_PAGE_SHIFT 12
/* Of the memory, what is kept for policies' queues, which take and give blocks all the time: a queue
 * without one is simulated wrongly, a lane without a page has fewer keys. */
#define KEPT_SHARE 8u
/* With fewer keys than this in every lane, halving the rate frees nothing worth having. */
#define KEYS_MIN 64u
/* An entry with its policy's bytes, in a page that is not quite full, and its slots of the table. */
#define KEY_BYTES 48u
/* A kind of requests of which nothing was sampled leaves all unknown from this share of them on. */
#define UNKNOWN_SHARE_MAX (1.0 / 16)

static const struct {
	double value;
	const char *text;
} factors[MRC_FACTORS] = {
	{ 0.125, "1/8" }, { 0.25, "1/4" }, { 0.5, "1/2" }, { 1, "1" }, { 2, "2" }, { 4, "4" },
};

const char *mrc_factor_text(unsigned factor)
{
	return factors[factor].text;
}

/* ---- memory ---- */

static bool take(void *context, uint64_t bytes)
{
	struct mrc *m = context;

	if (m->memory_bytes && m->used_bytes + bytes > m->memory_bytes)
		return false;
	if (!m->options.memory.take(m->options.memory.context, bytes))
		return false;
	m->used_bytes += bytes;
	return true;
}

static bool may_grow(void *context, uint64_t bytes)
{
	const struct mrc *m = context;

	return !m->memory_bytes || m->used_bytes + bytes <= m->memory_bytes - m->memory_bytes / KEPT_SHARE;
}

static void give(void *context, uint64_t bytes)
{
	struct mrc *m = context;

	assert(m->used_bytes >= bytes);
	m->used_bytes -= bytes;
	m->options.memory.give(m->options.memory.context, bytes);
}

/* ---- lanes ---- */

static double rate_of(const struct mrc *m)
{
	return (double)m->threshold / MRC_ALL;
}

static uint64_t budget_at(const struct mrc *m, unsigned factor)
{
	return (uint64_t)(factors[factor].value * (double)m->budget_bytes);
}

static uint64_t capacity_of(const struct mrc *m, const struct mrc_lane *lane)
{
	int64_t bytes = (int64_t)budget_at(m, lane->factor) - m->fixed_bytes;

	return bytes > 0 ? (uint64_t)((double)bytes * rate_of(m) + 0.5) : 0;
}

/* Side bytes, ghosts and sketches are counted for each item; queues are shared memory of few bytes. */
static uint32_t bytes_of_policy(const struct policy_ops *policy)
{
	return policy->side_bytes + (policy->ghost_percent * 2 + 50) / 100 + (policy->counts_keys ? 4 : 0);
}

static void lane_add(struct mrc *m, const struct policy_ops *policy, unsigned factor)
{
	struct mrc_lane *lane = &m->lanes[m->lane_count++];

	assert(m->lane_count <= MRC_LANES_MAX);
	*lane = (struct mrc_lane){ .policy = policy, .factor = factor };
	lane->policy_bytes = m->options.policy_bytes ? bytes_of_policy(policy) : 0;
}

static void choose_lanes(struct mrc *m)
{
	const struct policy_ops *policy;

	for (unsigned factor = 0; factor < MRC_FACTORS; factor++)
		lane_add(m, m->options.policy, factor);
	for (unsigned factor = 0; factor < MRC_FACTORS && m->options.policy != &policy_lru; factor++)
		lane_add(m, &policy_lru, factor);
	for (unsigned i = 0; m->options.others && (policy = policy_at(i)) != NULL; i++)
		if (policy != m->options.policy && policy != &policy_lru)
			lane_add(m, policy, MRC_FACTOR_ONE);
}

static enum status lane_open(struct mrc *m, struct mrc_lane *lane)
{
	struct mini_options o = {
		.policy = lane->policy,
		.capacity = capacity_of(m, lane),
		.entries_max = m->options.keys_max + 1,
		.memory = { take, give, m },
		.page_shift = LANE_PAGE_SHIFT,
		.may_grow = may_grow,
	};

	return mini_init(&lane->mini, &o);
}

static void close_lanes(struct mrc *m, unsigned count)
{
	while (count > 0)
		mini_fini(&m->lanes[--count].mini);
}

static enum status open_lanes(struct mrc *m)
{
	for (unsigned i = 0; i < m->lane_count; i++) {
		enum status status = lane_open(m, &m->lanes[i]);

		if (status != STATUS_OK) {
			close_lanes(m, i);
			return status;
		}
	}
	return STATUS_OK;
}

static void set_capacities(struct mrc *m)
{
	for (unsigned i = 0; i < m->lane_count; i++)
		mini_set_capacity(&m->lanes[i].mini, capacity_of(m, &m->lanes[i]));
}

/* ---- life ---- */

void mrc_init(struct mrc *m, const struct mrc_options *options)
{
	*m = (struct mrc){ .options = *options, .threshold = options->threshold };
	choose_lanes(m);
}

enum status mrc_start(struct mrc *m)
{
	assert(!m->running);
	m->threshold = m->options.threshold;
	mrc_reset(m);

	enum status status = open_lanes(m);

	m->running = status == STATUS_OK;
	return status;
}

void mrc_stop(struct mrc *m)
{
	if (m->running)
		close_lanes(m, m->lane_count);
	m->running = false;
	mrc_reset(m);
	assert(m->used_bytes == 0);
}

void mrc_set_budget(struct mrc *m, uint64_t budget_bytes, int64_t fixed_bytes)
{
	if (m->budget_bytes == budget_bytes && m->fixed_bytes == fixed_bytes)
		return;
	m->budget_bytes = budget_bytes;
	m->fixed_bytes = fixed_bytes;
	if (m->running)
		set_capacities(m);
}

void mrc_set_memory(struct mrc *m, uint64_t bytes)
{
	m->memory_bytes = bytes;
}

/* ---- requests ---- */

static uint32_t fullest(const struct mrc *m)
{
	uint32_t keys = 0;

	for (unsigned i = 0; i < m->lane_count; i++)
		keys = MAX(keys, m->lanes[i].mini.entry_count);
	return keys;
}

static void lane_event(struct mrc_lane *lane, enum mrc_kind kind, uint64_t hash, uint32_t weight)
{
	switch (kind) {
	case MRC_HOT:
	case MRC_HIT:
		lane->misses[kind] += !mini_access(&lane->mini, hash, weight + lane->policy_bytes);
		break;
	case MRC_MISS:
		lane->misses[MRC_MISS] += !mini_hit(&lane->mini, hash);
		break;
	case MRC_SET:
		mini_set(&lane->mini, hash, weight + lane->policy_bytes);
		break;
	case MRC_DELETE:
		mini_remove(&lane->mini, hash);
		break;
	}
}

/* The running policy's lanes come first. */
static bool is_older(const struct mrc *m, enum mrc_kind kind, uint64_t hash)
{
	const struct mini_cache *largest = &m->lanes[MRC_FACTORS - 1].mini;

	return !largest->full && (kind == MRC_HOT || kind == MRC_HIT) && !mini_has(largest, hash);
}

void mrc_event(struct mrc *m, enum mrc_kind kind, uint64_t hash, uint32_t weight)
{
	if (!m->running || !mrc_is_sampled(hash, m->threshold))
		return;
	bool full = false, older = is_older(m, kind, hash);

	if (older)
		m->older[kind]++;
	else if (kind < MRC_OUTCOMES)
		m->requests[kind]++;
	for (unsigned i = 0; i < m->lane_count; i++) {
		struct mini_cache *mini = &m->lanes[i].mini;

		lane_event(&m->lanes[i], older ? MRC_SET : kind, hash, weight);
		full |= mini->entry_count > m->options.keys_max || mini->starved;
		mini->starved = false;
	}
	if (unlikely(full) && fullest(m) >= MIN(KEYS_MIN, m->options.keys_max))
		mrc_lower_rate(m);
}

void mrc_expect(struct mrc *m, const double made[MRC_OUTCOMES])
{
	for (unsigned kind = 0; m->running && kind < MRC_OUTCOMES; kind++)
		m->expected[kind] += made[kind] * rate_of(m);
}

static void scale(struct mrc *m, double by)
{
	for (unsigned kind = 0; kind < MRC_OUTCOMES; kind++) {
		m->requests[kind] *= by;
		m->older[kind] *= by;
		m->expected[kind] *= by;
		for (unsigned i = 0; i < m->lane_count; i++)
			m->lanes[i].misses[kind] *= by;
	}
}

static bool keep(const void *context, uint64_t hash)
{
	return mrc_is_sampled(hash, ((const struct mrc *)context)->threshold);
}

/* What was counted is made what half as many keys would have counted. */
void mrc_lower_rate(struct mrc *m)
{
	if (!m->running || m->threshold < 2)
		return;
	m->threshold /= 2;
	for (unsigned i = 0; i < m->lane_count; i++)
		mini_filter(&m->lanes[i].mini, keep, m);
	/* What a small lane took while it was as large as the others is wanted elsewhere. */
	mrc_shrink(m);
	set_capacities(m);
	mrc_halve(m);
}

bool mrc_fits(const struct mrc *m)
{
	uint64_t times = m->options.threshold / MAX(1, m->threshold), keys = 0;

	for (unsigned i = 0; i < m->lane_count; i++)
		keys += m->lanes[i].mini.entry_count;
	return 4 * times * fullest(m) <= 3ULL * m->options.keys_max &&
	       (!m->memory_bytes || 4 * (m->used_bytes + (times - 1) * keys * KEY_BYTES) <= 3 * m->memory_bytes);
}

void mrc_shrink(struct mrc *m)
{
	for (unsigned i = 0; m->running && i < m->lane_count; i++)
		mini_shrink(&m->lanes[i].mini);
}

void mrc_halve(struct mrc *m)
{
	scale(m, 0.5);
}

void mrc_reset(struct mrc *m)
{
	scale(m, 0);
}

void mrc_clear(struct mrc *m)
{
	if (!m->running)
		return;
	close_lanes(m, m->lane_count);
	m->running = open_lanes(m) == STATUS_OK;
}

/* ---- answers ---- */

/*
 * Of how many requests each outcome should have been is known, and what share of each misses in the lane
 * is learned from the sample (stratified sampling, the strata after the fact). Among those that hit items
 * read often, what the sample has too much or too little of are a few keys, and those hit in any lane:
 * there the misses are divided by what should have been, not by what was (SHARDS-adj). Over nine traces
 * and four samples of 12,500 keys of each, mean and worst of the mean absolute errors: 0.0025 and
 * 0.0077; SHARDS-adj for all of them 0.0050 and 0.018, misses by sampled requests 0.021 and 0.091.
 */
static double misses_of(const struct mrc *m, const struct mrc_lane *lane, unsigned kind)
{
	double counted = m->requests[kind];

	if (counted == 0) /* as in the whole cache */
		return kind == MRC_MISS ? m->expected[kind] : 0;
	if (kind == MRC_HOT) /* older items are as the others */
		return lane->misses[kind] * (counted + m->older[kind]) / counted;
	return m->expected[kind] * lane->misses[kind] / counted;
}

/* A kind of which little was made may be without a sample. */
static bool is_known(const struct mrc *m)
{
	double made = 0, unknown = 0;

	for (unsigned kind = 0; kind < MRC_OUTCOMES; kind++) {
		made += m->expected[kind];
		if (m->requests[kind] == 0)
			unknown += m->expected[kind];
	}
	return made > 0 && unknown <= made * UNKNOWN_SHARE_MAX;
}

static double miss_ratio(const struct mrc *m, const struct mrc_lane *lane)
{
	double made = 0, missed = 0;

	if (!is_known(m))
		return NAN;
	for (unsigned kind = 0; kind < MRC_OUTCOMES; kind++) {
		made += m->expected[kind];
		missed += misses_of(m, lane, kind);
	}
	return MIN(1.0, missed / made);
}

static double ratio_at_budget(const struct mrc_report *report, const struct policy_ops *policy)
{
	for (unsigned i = 0; i < report->lane_count; i++)
		if (report->points[i].policy == policy && report->points[i].factor == MRC_FACTOR_ONE)
			return report->points[i].miss_ratio;
	return 0;
}

double mrc_gain(const struct mrc_report *report, const struct policy_ops *running,
                const struct policy_ops *policy)
{
	double now = ratio_at_budget(report, running);

	return now > 0 ? 1 - ratio_at_budget(report, policy) / now : 0;
}

static void report_best(const struct mrc *m, struct mrc_report *report)
{
	report->best = m->options.policy;
	report->gain = 0;
	for (unsigned i = 0; i < report->lane_count; i++) {
		double gain = mrc_gain(report, m->options.policy, report->points[i].policy);

		if (gain <= report->gain)
			continue;
		report->best = report->points[i].policy;
		report->gain = gain;
	}
}

void mrc_report(const struct mrc *m, struct mrc_report *report)
{
	*report = (struct mrc_report){
		.running = m->running,
		.rate = m->running ? rate_of(m) : 0,
		.keys = m->running ? fullest(m) : 0,
		.requests = m->requests[MRC_HOT] + m->requests[MRC_HIT] + m->requests[MRC_MISS],
		.older = m->older[MRC_HOT] + m->older[MRC_HIT],
		.memory_bytes = m->used_bytes,
		.lane_count = m->lane_count,
	};
	for (unsigned i = 0; i < m->lane_count; i++) {
		const struct mrc_lane *lane = &m->lanes[i];

		report->points[i] = (struct mrc_point){
			.policy = lane->policy,
			.factor = (uint8_t)lane->factor,
			.budget_bytes = budget_at(m, lane->factor),
			.miss_ratio = miss_ratio(m, lane),
			.keys = m->running ? lane->mini.entry_count : 0,
		};
	}
	report_best(m, report);
}

void mrc_check(const struct mrc *m)
{
	if (!m->running) {
		assert(m->used_bytes == 0);
		return;
	}
	for (unsigned i = 0; i < m->lane_count; i++) {
		const struct mrc_lane *lane = &m->lanes[i];

		mini_check(&lane->mini);
		assert(lane->mini.entry_count <= m->options.keys_max + 1);
		assert(lane->mini.capacity == capacity_of(m, lane));
		for (unsigned kind = 0; kind < MRC_OUTCOMES; kind++)
			assert(lane->misses[kind] <= m->requests[kind]);
	}
}
