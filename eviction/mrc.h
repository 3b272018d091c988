/*
 * mrc.h: miss-ratio curves learned online: what share of the requests would miss with an eighth to four
 * times the budget, under the running policy and under strict LRU, and with this budget under every
 * other policy.
 *
 *   request --hash below a threshold?--> lane: policy, factor, miniature cache (mini.h), misses
 *                                        lane: ...
 *
 * A key is sampled when some bits of its hash are below a threshold: always or never, so that the
 * sampled keys' requests are a small image of all (SHARDS: C. Waldspurger, N. Park, A. Garthwaite,
 * I. Ahmad, "Efficient MRC construction with SHARDS", FAST 2015). A cache of capacity C is then
 * simulated by one of capacity rate * C that sees only them, whatever its policy (C. Waldspurger,
 * T. Saemundsson, I. Ahmad, N. Park, "Cache modeling and optimization using miniature simulations",
 * ATC 2017). When a lane holds more than keys_max keys, or memory for another is refused, the rate is
 * halved: keys over the new threshold are dropped and the capacities are halved (fixed-size SHARDS).
 *
 * A simulation may begin beside a cache that is warm. A request that hit there, of a key that the largest
 * lane has not got though nothing was evicted from it yet, is of an item older than the simulation: what
 * the lanes would have made of it is unknown. It brings the key in and counts nowhere.
 *
 * How ours differs: weights are bytes; a get is one request, a set none (it brings the weight of what
 * a get missed); what the whole cache counts anyway corrects what the sample has too much of (see
 * miss_ratio); counts are halved now and then, so that the curves follow the load.
 *
 * What is not simulated: times to live (but see MRC_DELETE), size classes, pages that are not full.
 *
 * Not thread-safe; it must stay where it is. Threads that see the requests hand them over in rings
 * (mrc_ring.h).
 */
#ifndef LARDER_MRC_H
#define LARDER_MRC_H

#include "eviction/mini.h"

/* Twenty bits of the hash that the policies' tables use least: ghosts' lines are chosen by those below,
 * fingerprints and the index's tags by those above. */
#define MRC_SHIFT 28
#define MRC_ALL (1u << 20)

#define MRC_FACTORS 6u
#define MRC_LANES_MAX 32u
/* The factor that is the budget itself. */
#define MRC_FACTOR_ONE 3u

enum mrc_kind {
	/* A get, by what became of it in the whole cache. */
	MRC_HOT,    /* hit, and had been hit STATE_READS_MAX times before */
	MRC_HIT,    /* hit, less often read */
	MRC_MISS,   /* missed: of unknown weight, and where a lane has not got it either it waits for the set */
	/* Not a request. */
	MRC_SET,
	MRC_DELETE, /* gone from every lane; also said of what expired */
};
#define MRC_OUTCOMES 3u /* kinds that are requests */

struct mrc_options {
	const struct policy_ops *policy; /* the running one: a whole curve, as strict LRU has */
	bool others;                     /* all other policies, at the budget itself */
	bool policy_bytes;               /* weights are without what a policy keeps for each item: add it */
	uint32_t keys_max;               /* of one lane */
	uint32_t threshold;              /* MRC_ALL * the rate to begin with */
	struct policy_memory memory;
};

/* One miniature cache. */
struct mrc_lane {
	const struct policy_ops *policy;
	unsigned factor;        /* index of mrc_factor_text */
	uint32_t policy_bytes;  /* added to each weight */
	double misses[MRC_OUTCOMES]; /* of so many requests below */
	struct mini_cache mini;
};

struct mrc {
	struct mrc_options options;
	uint64_t budget_bytes;
	int64_t fixed_bytes;
	uint64_t used_bytes;
	uint64_t memory_bytes; /* at most; 0: any */
	uint32_t threshold;
	uint32_t lane_count;
	bool running;
	/* By what became of them in the whole cache; halved now and then. */
	double requests[MRC_OUTCOMES]; /* sampled, but of older items */
	double older[MRC_OUTCOMES];    /* hits of these */
	double expected[MRC_OUTCOMES]; /* so many should have been, of all that were made */
	struct mrc_lane lanes[MRC_LANES_MAX];
};

/* ---- life ---- */

/* mrc_init: nothing is taken yet. mrc_start: makes the lanes; STATUS_NO_MEMORY or STATUS_SYSTEM leaves
 * it stopped. mrc_stop: gives all memory back and forgets all. */
void mrc_init(struct mrc *m, const struct mrc_options *options);
enum status mrc_start(struct mrc *m);
void mrc_stop(struct mrc *m);

/* mrc_set_budget: `budget_bytes` is factor 1; of each factor of it, fixed_bytes hold no items (below 0:
 * so much is there besides). */
void mrc_set_budget(struct mrc *m, uint64_t budget_bytes, int64_t fixed_bytes);

/* mrc_set_memory: used_bytes will not exceed it from here on; 0: no bound but what the memory refuses.
 * If used_bytes does now, only mrc_stop brings it down. */
void mrc_set_memory(struct mrc *m, uint64_t bytes);

/* ---- requests ---- */

static inline bool mrc_is_sampled(uint64_t hash, uint32_t threshold)
{
	return ((uint32_t)(hash >> MRC_SHIFT) & (MRC_ALL - 1)) < threshold;
}

/* mrc_event: of a key that is sampled at the present threshold; others are left out. The weight is
 * looked at for MRC_HIT and MRC_SET. */
void mrc_event(struct mrc *m, enum mrc_kind kind, uint64_t hash, uint32_t weight);
/* mrc_expect: so many requests were made in all since the last call, by outcome, and handed over if
 * sampled. What the sample has too much or too little of is then known: see miss_ratio. */
void mrc_expect(struct mrc *m, const double made[MRC_OUTCOMES]);

/* mrc_halve: what was counted weighs half from here on; mrc_reset: nothing. */
void mrc_halve(struct mrc *m);
void mrc_reset(struct mrc *m);
/* mrc_clear: every lane is empty, as after a flush. */
void mrc_clear(struct mrc *m);
/* mrc_lower_rate: half the keys, half the requests: when they come too fast. */
void mrc_lower_rate(struct mrc *m);
/* mrc_fits: would all of it fit at the rate to begin with, with a quarter to spare? */
bool mrc_fits(const struct mrc *m);
/* mrc_shrink: gives back pages that the keys do not need any more. */
void mrc_shrink(struct mrc *m);

/* ---- answers ---- */

const char *mrc_factor_text(unsigned factor);

struct mrc_report {
	bool running;
	double rate;
	uint32_t keys;         /* in the fullest lane */
	double requests;
	double older;          /* requests of items older than the simulation */
	uint64_t memory_bytes;
	uint32_t lane_count;
	struct mrc_point {
		const struct policy_ops *policy;
		uint8_t factor;
		uint64_t budget_bytes;
		double miss_ratio; /* NAN: not known yet */
		uint32_t keys; /* that it holds now */
	} points[MRC_LANES_MAX];
	/* the policy that would miss least with this budget; the running one if nothing is known */
	const struct policy_ops *best;
	double gain;           /* share of the running policy's misses that it would save */
};

void mrc_report(const struct mrc *m, struct mrc_report *report);
/* mrc_gain: what share of the misses of `running` this policy saves with the budget; below 0: it misses
 * more. 0 if one of them was not simulated. */
double mrc_gain(const struct mrc_report *report, const struct policy_ops *running,
                const struct policy_ops *policy);

void mrc_check(const struct mrc *m);

#endif
