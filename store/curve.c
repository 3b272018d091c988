#include "store/curve.h"

#include <math.h>

#include "store/internal.h"

/* One slice: at some 0.7 us an event a third of a millisecond. */
#define SLICE_EVENTS 512u
/* At most so many events a second: some 2 % of a core. */
#define EVENTS_PER_SECOND_MAX 32768u
/* So many at once: at this pace a ring could be full in a tenth of a second. */
#define BUSY_EVENTS (MRC_RING_ENTRIES / 4)
/* Pages given up for it in one slice. */
#define PURSE_PAGES 8u
/* What took the rate down must be gone for so long before the simulation begins anew with the first one. */
#define RAISE_SECONDS (2 * CURVE_HALF_SECONDS)
/* An item's share of the index. */
#define INDEX_BYTES 8u

/* ---- memory ---- */

static struct budget *budget_of(struct curve *c)
{
	return &container_of(c, struct store, curve)->budget;
}

/* All that it may ever take is charged before it begins, and until it stops: in a full cache nothing is to
 * be had in the middle of an event, and a lane that is refused memory simulates a smaller cache. */
static uint64_t purse_wanted(const struct curve *c)
{
	return c->most_bytes > c->mrc.used_bytes ? c->most_bytes - c->mrc.used_bytes : 0;
}

static bool is_secured(const struct curve *c)
{
	return c->purse_bytes >= purse_wanted(c);
}

static bool take(void *context, uint64_t bytes)
{
	struct curve *c = context;

	if (bytes > c->purse_bytes)
		return false;
	c->purse_bytes -= bytes;
	return true;
}

static void give(void *context, uint64_t bytes)
{
	((struct curve *)context)->purse_bytes += bytes;
}

static void trim_purse(struct curve *c, uint64_t wanted)
{
	if (c->purse_bytes <= wanted)
		return;
	budget_give(budget_of(c), ACCOUNT_EVICTION, c->purse_bytes - wanted);
	c->purse_bytes = wanted;
}

/* A page's worth. A full cache has it only where a page is given up, and others wait for that, too. */
static bool fill_step(struct store_thread *st, struct curve *c)
{
	uint64_t bytes = MIN(purse_wanted(c) - c->purse_bytes, st->store->slab.page_bytes);
	struct budget *b = budget_of(c);

	budget_claim(b, bytes);
	if (!budget_take_claimed(b, ACCOUNT_EVICTION, bytes) &&
	    (!st->store->options.evict || !release_page(st, NULL) ||
	     !budget_take_claimed(b, ACCOUNT_EVICTION, bytes))) {
		budget_claim(b, 0);
		return false;
	}
	c->purse_bytes += bytes;
	return true;
}

/* True when it is worth trying again. */
static bool fill_purse(struct store_thread *st, struct curve *c)
{
	for (unsigned i = 0; !is_secured(c); i++)
		if (i == PURSE_PAGES || !fill_step(st, c))
			return i > 0;
	return false;
}

/* ---- what the threads tell ---- */

static uint64_t weight_of(const struct store *s, uint32_t reference)
{
	const struct slab_class *sc = slab_class_of(&s->slab, reference);
	struct item *it = chunk_item(s, reference);

	if (sc->big && it->next)
		return item_stored_bytes(sc, it) + INDEX_BYTES;
	/* What a policy keeps beside the chunk is added by lane. */
	return s->slab.page_bytes / sc->chunks_per_page - sc->space.side_bytes + INDEX_BYTES;
}

void curve_sample(struct store_thread *st, enum mrc_kind kind, uint64_t hash, uint32_t reference)
{
	struct store *s = st->store;

	/* Where nothing is read there is nothing to tell, and no memory is taken for it. */
	if (unlikely(!atomic_load_explicit(&s->curves_asked, memory_order_relaxed))) {
		if (kind >= (enum mrc_kind)MRC_OUTCOMES)
			return;
		atomic_store_explicit(&s->curves_asked, true, memory_order_relaxed);
	}
	mrc_ring_push(&st->samples, kind, hash, reference ? weight_of(st->store, reference) : 0);
}

void curve_sample_hit(struct store_thread *st, uint64_t hash, const struct item_view *view)
{
	curve_sample(st, state_reads(view->state) == STATE_READS_MAX ? MRC_HOT : MRC_HIT, hash, view->reference);
}

static bool drain(struct store *s, struct curve *c, uint32_t now)
{
	unsigned left = SLICE_EVENTS;
	enum mrc_kind kind;
	uint64_t hash;
	uint32_t weight;

	for (unsigned i = 0; i < s->thread_count; i++) {
		struct mrc_ring *ring = &s->threads[c->next_thread].samples;

		while (mrc_ring_pop(ring, &kind, &hash, &weight)) {
			mrc_event(&c->mrc, kind, hash, weight);
			if (--left == 0)
				break;
		}
		if (SLICE_EVENTS - left >= BUSY_EVENTS)
			c->busy_until = now + 2;
		if (left == 0)
			break;
		c->next_thread = (c->next_thread + 1) % s->thread_count;
	}
	c->event_count += SLICE_EVENTS - left;
	c->events_to_expect += SLICE_EVENTS - left;
	return left == 0;
}

static bool anything_waits(const struct store *s)
{
	for (unsigned i = 0; i < s->thread_count; i++) {
		struct mrc_ring *ring = &s->threads[i].samples;

		if (atomic_load_explicit(&ring->tail, memory_order_relaxed) !=
		    atomic_load_explicit(&ring->head, memory_order_relaxed))
			return true;
	}
	return false;
}

/* ---- what was made of them ---- */

static uint64_t read_counter(const counter *c)
{
	return atomic_load_explicit((counter *)c, memory_order_relaxed);
}

static void count_requests(const struct store *s, uint64_t made[MRC_OUTCOMES], uint64_t *dropped)
{
	uint64_t hits = 0;

	memset(made, 0, MRC_OUTCOMES * sizeof(*made));
	*dropped = 0;
	for (unsigned t = 0; t < s->thread_count; t++) {
		const struct store_thread *st = &s->threads[t];

		for (unsigned i = 1; i <= s->slab.class_count; i++)
			hits += read_counter(&st->classes[i].get_hits) +
			        read_counter(&st->classes[i].touch_hits);
		made[MRC_HIT] += read_counter(&st->cool_hits);
		made[MRC_MISS] += read_counter(&st->misses);
		*dropped += read_counter(&st->samples.dropped);
	}
	made[MRC_HOT] = hits - made[MRC_HIT];
}

static void forget_requests(struct store *s, struct curve *c)
{
	count_requests(s, c->made, &c->dropped);
	c->events_to_expect = 0;
}

/* Of all that were made since the last time, those that the sample stands for. What was dropped is no part
 * of it: as if the requests had not been made. */
static void expect_requests(struct store *s, struct curve *c)
{
	uint64_t before[MRC_OUTCOMES], dropped = c->dropped;
	double since[MRC_OUTCOMES], kept = 1;

	memcpy(before, c->made, sizeof(before));
	count_requests(s, c->made, &c->dropped);
	uint64_t lost = c->dropped - dropped;

	if (lost)
		kept = (double)c->events_to_expect / (double)(c->events_to_expect + lost);
	for (unsigned i = 0; i < MRC_OUTCOMES; i++) {
		/* The counters of several threads are no snapshot: one may be ahead of another's. */
		int64_t delta = (int64_t)(c->made[i] - before[i]);

		since[i] = delta > 0 ? (double)delta * kept : 0;
	}
	mrc_expect(&c->mrc, since);
	c->lost_count += lost;
	c->events_to_expect = 0;
}

/* ---- once a second ---- */

static void stop(struct curve *c)
{
	mrc_stop(&c->mrc);
	c->mrc.threshold = c->mrc.options.threshold;
	c->candidate = NULL;
	c->candidate_looks = 0;
	forget_requests(container_of(c, struct store, curve), c);
}

/* They come too fast; what is lost before anybody knew how fast they come is no reason. Where the reason
 * is gone for long it begins anew. */
static void set_rate(struct curve *c, uint32_t now)
{
	uint64_t times = c->mrc.options.threshold / MAX(1, c->mrc.threshold);

	if (c->event_count > EVENTS_PER_SECOND_MAX || (c->lost_count * 4 > c->event_count && c->was_busy))
		mrc_lower_rate(&c->mrc);
	if (times == 1 || !mrc_fits(&c->mrc) || c->event_count * times > EVENTS_PER_SECOND_MAX / 2)
		c->slow_second = now;
	else if (now - c->slow_second >= RAISE_SECONDS)
		stop(c);
	c->was_busy = c->busy_until != 0;
	c->event_count = c->lost_count = 0;
}

/* Fixed is what is neither items nor index nor a policy's. The operator's budget is without the allowance,
 * which pays for a part of that. */
static void set_budget(struct store *s, struct curve *c)
{
	const struct budget *b = &s->budget;
	uint64_t own = c->mrc.used_bytes + c->purse_bytes;
	uint64_t of_items = budget_account(b, ACCOUNT_ITEMS) + budget_account(b, ACCOUNT_INDEX) +
	                    budget_account(b, ACCOUNT_EVICTION) - own;

	mrc_set_budget(&c->mrc, budget_limit(b) - BUDGET_ALLOWANCE_BYTES,
	               (int64_t)(budget_used(b) - of_items) - (int64_t)BUDGET_ALLOWANCE_BYTES);
	c->most_bytes = s->options.curve_bytes ? s->options.curve_bytes :
	                                         MIN(CURVE_BYTES_MAX, budget_limit(b) / CURVE_SHARE);
	mrc_set_memory(&c->mrc, c->most_bytes);
}

/* Misses are counts, whose chance deviation is their square root at most; those of two policies over the
 * same requests differ by less. */
static bool is_better(const struct mrc_report *report, const struct policy_ops *running,
                      const struct policy_ops *policy)
{
	/* The running policy's curve comes first. */
	const struct mrc_point *now = &report->points[MRC_FACTOR_ONE];
	double misses = report->requests * now->miss_ratio;
	double gain = policy ? mrc_gain(report, running, policy) : 0;
	double saved = gain * now->miss_ratio;

	return report->requests >= CURVE_ADVICE_REQUESTS && gain >= CURVE_ADVICE_GAIN &&
	       gain * gain * misses >= CURVE_ADVICE_DEVIATIONS * CURVE_ADVICE_DEVIATIONS &&
	       saved * saved * now->keys >= CURVE_ADVICE_KEY_ERROR * CURVE_ADVICE_KEY_ERROR;
}

/* A candidate stays while it is good enough, though others that are as good may be ahead now and then. */
static void think(struct curve *c, const struct policy_ops *running, uint32_t now)
{
	struct mrc_report report;

	if (now - c->advice_second < CURVE_LOOK_SECONDS)
		return;
	c->advice_second = now;
	mrc_report(&c->mrc, &report);
	if (is_better(&report, running, c->candidate)) {
		c->candidate_gain = mrc_gain(&report, running, c->candidate);
		c->candidate_looks++;
		return;
	}
	c->candidate = is_better(&report, running, report.best) ? report.best : NULL;
	c->candidate_gain = report.gain;
	c->candidate_looks = c->candidate != NULL;
}

static void curve_second(struct store *s, struct curve *c, uint32_t now)
{
	if (now < c->second) /* debugtime moved it back */
		c->half_second = c->advice_second = c->slow_second = now;
	c->second = now;
	set_budget(s, c);
	set_rate(c, now);
	if (now >= c->busy_until)
		c->busy_until = 0;
	if (now - c->half_second >= CURVE_HALF_SECONDS) {
		mrc_halve(&c->mrc);
		mrc_shrink(&c->mrc);
		c->half_second = now;
	}
	think(c, c->mrc.options.policy, now);
}

/* ---- slices ---- */

static bool is_on(const struct store *s, const struct curve *c)
{
	return c->most_bytes >= CURVE_BYTES_LEAST && s->options.curve_one_in != CURVE_NONE;
}

static void publish(struct store *s, struct curve *c)
{
	struct store_curve curve = {
		.enabled = is_on(s, c),
		.dropped = c->dropped - c->dropped_before,
		.advice = curve_better_policy(s),
		.advice_gain = c->candidate_gain,
	};

	mrc_report(&c->mrc, &curve.report);
	lock_acquire(&c->lock);
	c->published = curve;
	lock_release(&c->lock);
	atomic_store_explicit(&s->sample_threshold, curve.enabled ? c->mrc.threshold : 0,
	                      memory_order_relaxed);
}

/* What was asked for since the last slice. */
static void obey(struct store *s, struct curve *c)
{
	/* acquire: pairs with the release in store_curve_reset, whose report must not come back */
	if (atomic_exchange_explicit(&c->reset_wanted, false, memory_order_acquire)) {
		forget_requests(s, c);
		mrc_reset(&c->mrc);
		c->dropped_before = c->dropped;
	}
	if (atomic_exchange_explicit(&c->clear_wanted, false, memory_order_relaxed))
		mrc_clear(&c->mrc);
}

bool curve_feed(struct store_thread *st)
{
	struct store *s = st->store;
	struct curve *c = &s->curve;
	bool more = false;

	if (!is_on(s, c))
		trim_purse(c, 0);
	/* One that does not evict gives up nothing later on. */
	else if (c->mrc.running || anything_waits(s) || !s->options.evict)
		more = fill_purse(st, c);
	trim_purse(c, purse_wanted(c));
	return more;
}

/* False: what waits stays where it is, and what finds its ring full is counted as dropped. */
static bool may_run(struct store *s, struct curve *c, uint32_t now)
{
	if (!is_secured(c))
		return false;
	/* Without address space it is tried again in another second. */
	if (!c->mrc.running && c->failed_second != now && mrc_start(&c->mrc) != STATUS_OK)
		c->failed_second = now;
	return c->mrc.running;
}

/* How many requests were made is counted when all that were sampled have been simulated. */
static bool simulate(struct store *s, struct curve *c, uint32_t now)
{
	bool more = anything_waits(s) && may_run(s, c, now) && drain(s, c, now);

	if (c->mrc.running && !anything_waits(s))
		expect_requests(s, c);
	return more;
}

bool curve_step(struct store *s, uint32_t now)
{
	struct curve *c = &s->curve;
	bool more = false;

	if (now != c->second)
		curve_second(s, c, now);
	obey(s, c);
	if (c->mrc.used_bytes > c->most_bytes)
		stop(c);
	if (is_on(s, c))
		more = simulate(s, c, now);
	else
		forget_requests(s, c);
	publish(s, c);
	return more;
}

/* ---- life, answers ---- */

static void init_simulation(struct store *s, const struct policy_ops *policy)
{
	uint32_t one_in = s->options.curve_one_in ? s->options.curve_one_in : CURVE_ONE_IN;
	struct curve *c = &s->curve;
	struct mrc_options o = {
		.policy = policy,
		.others = true,
		.policy_bytes = true,
		.keys_max = CURVE_KEYS_MAX,
		.threshold = MAX(1, MRC_ALL / one_in),
		.memory = { take, give, c },
	};

	mrc_init(&c->mrc, &o);
	set_budget(s, c);
	publish(s, c);
}

void curve_init(struct store *s)
{
	lock_init(&s->curve.lock);
	init_simulation(s, running_policy(s));
}

void curve_change_policy(struct store *s, const struct policy_ops *policy)
{
	stop(&s->curve);
	init_simulation(s, policy);
}

const struct policy_ops *curve_better_policy(const struct store *s)
{
	return s->curve.candidate_looks >= CURVE_ADVICE_LOOKS ? s->curve.candidate : NULL;
}

void curve_fini(struct store *s)
{
	stop(&s->curve);
	trim_purse(&s->curve, 0);
}

bool store_curve_is_busy(const struct store *s)
{
	return s->curve.busy_until != 0;
}

void store_curve_read(struct store *s, struct store_curve *curve)
{
	lock_acquire(&s->curve.lock);
	*curve = s->curve.published;
	lock_release(&s->curve.lock);
}

void store_curve_reset(struct store *s)
{
	struct curve *c = &s->curve;

	lock_acquire(&c->lock);
	c->published.dropped = 0;
	c->published.report.requests = c->published.report.older = 0;
	c->published.report.gain = 0;
	for (unsigned i = 0; i < c->published.report.lane_count; i++)
		c->published.report.points[i].miss_ratio = NAN;
	lock_release(&c->lock);
	atomic_store_explicit(&c->reset_wanted, true, memory_order_release);
}
