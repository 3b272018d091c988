/*
 * s3fifo.c: S3-FIFO, two queues and a memory of ghosts.
 *
 *   new key    --> small queue --read since--> main
 *                       | never read            | the hand finds it unread
 *                       v                       v
 *                    evicted, unproven       evicted, proven
 *                       \______ ghosts ________/
 *   key that comes back as an unproven ghost --> main
 *
 * The small queue takes a tenth of the chunks to begin with. The main queue has no order of its own:
 * a hand goes round the pages' chunks, takes one read off what it meets and evicts what has none left.
 *
 * The small queue's share adapts: a ghost that left it unproven says that it was too small, a ghost
 * that left main says that it was too large (as in ARC, Megiddo and Modha, FAST 2003).
 *
 * A chunk that is removed from the small queue leaves its entry behind; if it is used again before
 * the entry comes up, the entry goes once more round, so that a queue never has two for one chunk.
 *
 * Source: J. Yang, Y. Zhang, Z. Qiu, Y. Yue, R. Vinayak, "FIFO queues are all you need for cache
 * eviction", SOSP 2023. Ours differs in the hand, in the adaptive share, and in that a ghost is a
 * fingerprint (ghost.h).
 */
#include "eviction/policy.h"

/* The policy's bits of the state byte. */
#define LINKED_SMALL 0x10u
#define LINKED_MAIN 0x20u
#define LINKED (LINKED_SMALL | LINKED_MAIN)
#define QUEUED 0x40u  /* the small queue has an entry */
#define AGAIN 0x80u   /* that entry is of an earlier use: it goes round once more */

/* Two reads in the paper; with a small queue that adapts one does better (README, Measured). */
#define PROMOTE_READS 1u
#define GHOST_PERCENT 100
#define SHARE_START (SHARE_ONE / 10)
#define SHARE_MIN (SHARE_ONE / 100)
#define SHARE_MAX (SHARE_ONE / 10 * 6)
/* A ghost that comes back moves the share by so many chunks, times its kind's weight. */
#define LEARN_CHUNKS 0.5
#define WEIGHT_MAX 100.0
#define BURIED_SAMPLE 8u
/* The hand looks at so many chunks for a victim with no reads left, then takes one with one read,
 * and so on; as many move on from the small queue at once: what bounds the time under the class's lock
 * where all is hot, as in a cache that was read once while it filled. */
#define HAND_PATIENCE 2048u
/* Entries of removed chunks are filtered out when the queue is this much longer than it needs be: so many are
 * looked at when one comes, and so many times as many when that many chunks go with their page. */
#define QUEUE_SLACK 1024u
#define FILTER_STEP 16u

static uint8_t links_of(const struct policy_queue *q, uint32_t reference)
{
	return state_get(&q->space, reference) & STATE_OF_POLICY;
}

/* Only the bits named: LINKED_MAIN may be set and cleared without the lock meanwhile. */
static void change_links(const struct policy_queue *q, uint32_t reference, unsigned clear, unsigned set)
{
	state_change(&q->space, reference, clear, set);
}

static void s3_init(struct policy_queue *q)
{
	/* The first queue finds no share yet. */
	if (atomic_load_explicit(&q->shared->small_share, memory_order_relaxed) == 0)
		atomic_store_explicit(&q->shared->small_share, SHARE_START, memory_order_relaxed);
}

/* ---- the small queue ---- */

/* Does the entry still stand for a chunk of this queue? Pages come and go under their entries. */
static bool entry_is_current(void *context, uint32_t reference)
{
	const struct policy_queue *q = context;
	uint32_t number = space_page_number(&q->space, reference);

	return atomic_load_explicit(&page_link_at(q->shared, number)->owner, memory_order_relaxed) ==
	               q->space.owner &&
	       (links_of(q, reference) & QUEUED);
}

/* Filtering drops what no longer is in the small queue. */
static bool entry_is_wanted(void *context, uint32_t reference)
{
	const struct policy_queue *q = context;

	if (!entry_is_current(context, reference))
		return false;
	uint8_t links = links_of(q, reference);

	if (links & LINKED_SMALL)
		return true;
	change_links(q, reference, QUEUED | AGAIN, 0);
	return false;
}

/* For `changes` of the queue: in small parts, since it is done under the class's lock. */
static void filter_small(struct policy_queue *q, uint32_t changes)
{
	struct fifo *small = &q->u.s3fifo.small;

	if (fifo_is_filtering(small) || small->count > 2 * q->u.s3fifo.small_count + QUEUE_SLACK)
		fifo_filter(&q->shared->fifos, small, (size_t)changes * FILTER_STEP, entry_is_wanted, q);
}

/* Where the queue gets no memory it must not wait for its full share: what it gives up makes room for what comes.
 * Else new chunks would go to the main queue, and drive out what is there. */
static bool enqueue(struct policy_queue *q, uint32_t reference)
{
	filter_small(q, 1);
	q->u.s3fifo.starved = !fifo_push(&q->shared->fifos, &q->u.s3fifo.small, reference);
	return !q->u.s3fifo.starved;
}

/* A chunk of neither queue becomes one of main, unless somebody else just made it one. */
static void link_main(struct policy_queue *q, uint32_t reference)
{
	q->count += state_give(&q->space, reference, LINKED_MAIN);
}

static void s3_insert(struct policy_queue *q, uint32_t reference)
{
	uint8_t links = links_of(q, reference);

	if (links & LINKED)
		return;
	if (state_get(&q->space, reference) & STATE_PROVEN) {
		link_main(q, reference);
		return;
	}
	if (links & QUEUED) {
		change_links(q, reference, 0, LINKED_SMALL | AGAIN);
	} else if (enqueue(q, reference)) {
		change_links(q, reference, 0, LINKED_SMALL | QUEUED);
	} else {
		/* No memory for an entry: the hand will judge it. */
		link_main(q, reference);
		return;
	}
	q->count++;
	q->u.s3fifo.small_count++;
}

static void s3_remove(struct policy_queue *q, uint32_t reference)
{
	/* With what belongs to the use that ended, so that the next one finds it clear. */
	uint8_t taken = state_take(&q->space, reference, LINKED | AGAIN | STATE_OF_USE);

	q->count -= (taken & LINKED) != 0;
	q->u.s3fifo.small_count -= (taken & LINKED_SMALL) != 0;
}

/* The chunk at the head of the small queue, after what does not count was cleared away; 0: none. */
static uint32_t small_head(struct policy_queue *q)
{
	struct fifo *small = &q->u.s3fifo.small;
	struct fifo_pool *pool = &q->shared->fifos;
	uint32_t reference;

	while ((reference = fifo_first(pool, small)) != 0) {
		if (entry_is_current(q, reference)) {
			uint8_t links = links_of(q, reference);

			if ((links & (LINKED_SMALL | AGAIN)) == LINKED_SMALL)
				return reference;
			fifo_pop(pool, small);
			change_links(q, reference, QUEUED | AGAIN, 0);
			if (!(links & LINKED_SMALL))
				continue;
			if (fifo_push(pool, small, reference)) {
				change_links(q, reference, 0, QUEUED);
			} else {
				q->u.s3fifo.small_count--;
				change_links(q, reference, LINKED_SMALL, LINKED_MAIN);
			}
			continue;
		}
		fifo_pop(pool, small);
	}
	return 0;
}

/* Takes the head of the small queue: returns it as a victim, or 0 when it was read enough and moved
 * to main, or when there was none. After many that moved the next goes, read or not. */
static uint32_t small_victim(struct policy_queue *q, unsigned *moved)
{
	uint32_t reference = small_head(q);

	if (!reference)
		return 0;
	fifo_pop(&q->shared->fifos, &q->u.s3fifo.small);
	q->u.s3fifo.small_count--;
	if (state_reads(state_get(&q->space, reference)) >= PROMOTE_READS && ++*moved <= HAND_PATIENCE) {
		state_change(&q->space, reference, STATE_OF_POLICY | STATE_READS, LINKED_MAIN);
		return 0;
	}
	q->count--;
	change_links(q, reference, STATE_OF_POLICY, 0);
	return reference;
}

/* ---- the main queue ---- */

/* Steps after which the hand has been everywhere: the counts may be ahead of what is linked. */
static uint64_t steps_round(const struct policy_queue *q)
{
	return (uint64_t)q->u.s3fifo.page_count * q->space.chunks_per_page +
	       (STATE_READS_MAX + 1) * HAND_PATIENCE;
}

/* The next victim of the main queue, 0 if there is none. */
static uint32_t main_victim(struct policy_queue *q)
{
	uint64_t round = steps_round(q);
	unsigned looked = 0;

	for (uint64_t step = 0; q->u.s3fifo.hand.page && step < round; step++) {
		uint32_t reference = hand_take(q, &q->u.s3fifo.hand);
		uint8_t state = state_get(&q->space, reference);

		if (!(state & LINKED_MAIN))
			continue;
		if (state_reads(state) <= looked++ / HAND_PATIENCE) {
			if (!state_take(&q->space, reference, LINKED_MAIN))
				continue;
			q->count--;
			return reference;
		}
		state_change(&q->space, reference, STATE_READS,
		             (state_reads(state) - 1) << STATE_READS_SHIFT);
	}
	return 0;
}

/* ---- both ---- */

/* None, where what was taken out is counted and what was put in is not yet. */
static uint64_t main_count(const struct policy_queue *q)
{
	int64_t count = q->count - (int64_t)q->u.s3fifo.small_count;

	return count > 0 ? (uint64_t)count : 0;
}

static bool small_is_next(const struct policy_queue *q)
{
	uint64_t share = atomic_load_explicit(&q->shared->small_share, memory_order_relaxed);

	if (!q->u.s3fifo.small_count || !main_count(q))
		return q->u.s3fifo.small_count != 0;
	return q->u.s3fifo.starved || q->u.s3fifo.small_count > (q->u.s3fifo.small_count + main_count(q)) * share / SHARE_ONE;
}

static unsigned s3_victims(struct policy_queue *q, uint32_t *references, unsigned max)
{
	unsigned n = 0, moved = 0;

	while (n < max && (q->u.s3fifo.small_count || main_count(q))) {
		bool from_small = small_is_next(q);
		uint32_t reference = from_small ? small_victim(q, &moved) : main_victim(q);

		if (reference)
			references[n++] = reference | (from_small ? 0 : VICTIM_PROVEN);
		else if (!from_small)
			break;
	}
	return n;
}

/* The head of the small queue, else what the hand meets next, however often it was read. */
static uint32_t s3_oldest(struct policy_queue *q)
{
	uint32_t reference;

	if (q->u.s3fifo.small_count && (small_is_next(q) || !main_count(q)))
		return small_head(q);
	if (!main_count(q))
		return 0;
	for (uint64_t round = steps_round(q); round > 0; round--, hand_take(q, &q->u.s3fifo.hand)) {
		reference = hand_at(q, &q->u.s3fifo.hand);
		if (links_of(q, reference) & LINKED_MAIN)
			return reference;
	}
	return 0;
}

static bool s3_linked(const struct policy_queue *q, uint32_t reference)
{
	return links_of(q, reference) & LINKED;
}

static void s3_check(const struct policy_queue *q)
{
	uint32_t first = q->u.s3fifo.hand.page, page = first;
	size_t small = 0, large = 0, queued = 0;

	fifo_check(&q->shared->fifos, &q->u.s3fifo.small);
	while (page) {
		const struct page_link *link = page_link_at(q->shared, page);

		assert(link->owner == q->space.owner);
		assert(page_link_at(q->shared, link->next)->previous == page);
		for (uint32_t i = 0; i < q->space.chunks_per_page; i++) {
			uint8_t links = links_of(q, space_reference(&q->space, page, i));

			assert((links & LINKED) != LINKED);
			assert(!(links & LINKED_SMALL) || (links & QUEUED));
			assert(!(links & AGAIN) || (links & QUEUED));
			small += (links & LINKED_SMALL) != 0;
			large += (links & LINKED_MAIN) != 0;
			queued += (links & QUEUED) != 0;
		}
		page = link->next == first ? 0 : link->next;
	}
	assert(small == q->u.s3fifo.small_count);
	assert((int64_t)(small + large) == q->count);
	assert(queued <= q->u.s3fifo.small.count);
}

/* ---- pages ---- */

static int64_t ghosts_of_page(const struct policy_queue *q)
{
	return (int64_t)q->space.chunks_per_page * q->ops->ghost_percent / 100;
}

static void s3_page_add(struct policy_queue *q, uint32_t page_number)
{
	page_circle_add(q, &q->u.s3fifo.hand.page, page_number);
	q->u.s3fifo.page_count++;
	ghost_resize(&q->shared->ghosts, ghosts_of_page(q));
}

static void s3_page_remove(struct policy_queue *q, uint32_t page_number)
{
	hand_leave(q, &q->u.s3fifo.hand, page_number);
	q->u.s3fifo.page_count--;
	ghost_resize(&q->shared->ghosts, -ghosts_of_page(q));
	if (!q->u.s3fifo.hand.page)
		fifo_clear(&q->shared->fifos, &q->u.s3fifo.small);
	else
		filter_small(q, q->space.chunks_per_page);
}

/* ---- keys ---- */

static uint32_t buried(const struct policy_shared *sh, bool proven)
{
	return atomic_load_explicit(&((struct policy_shared *)sh)->buried[proven],
	                            memory_order_relaxed);
}

/*
 * A ghost came back. Ghosts of one kind are worth more space if more of them come back, so each counts
 * by the inverse of its kind's share of the ghosts; the steps are in chunks of the cache.
 */
static void learn(struct policy_shared *sh, bool proven)
{
	int64_t share = atomic_load_explicit(&sh->small_share, memory_order_relaxed);
	uint64_t same = buried(sh, proven) + 1ULL, other = buried(sh, !proven) + 1ULL;
	double weight = MIN(WEIGHT_MAX, MAX(1.0, (double)other / (double)same)) *
	                LEARN_CHUNKS;
	int64_t step = (int64_t)(weight * SHARE_ONE / (double)(ghost_capacity(&sh->ghosts) + 1));

	share += proven ? -step : step;
	share = MAX((int64_t)SHARE_MIN, MIN((int64_t)SHARE_MAX, share));
	/* Two threads that learn at once: one lesson is lost. */
	atomic_store_explicit(&sh->small_share, (uint32_t)share, memory_order_relaxed);
}

static enum ghost_origin s3_recall(struct policy_shared *sh, uint64_t hash)
{
	enum ghost_origin origin = ghost_take(&sh->ghosts, hash);

	if (origin != GHOST_NONE)
		learn(sh, origin == GHOST_PROVEN);
	return origin;
}

/* One in so many keys is counted, so that the counts' cache line stays quiet. */
static void count_buried(struct policy_shared *sh, bool proven)
{
	uint32_t n = buried(sh, proven) + 1;

	atomic_store_explicit(&sh->buried[proven], n, memory_order_relaxed);
	if ((uint64_t)n * BURIED_SAMPLE < ghost_capacity(&sh->ghosts))
		return;
	for (unsigned i = 0; i < 2; i++)
		atomic_store_explicit(&sh->buried[i], buried(sh, i) / 2, memory_order_relaxed);
}

static void s3_bury(struct policy_shared *sh, uint64_t hash, bool proven)
{
	ghost_add(&sh->ghosts, hash, proven ? GHOST_PROVEN : GHOST_UNPROVEN);
	if ((hash >> 8) % BURIED_SAMPLE == 0)
		count_buried(sh, proven);
}

const struct policy_ops policy_s3fifo = {
	.name = "s3fifo",
	.summary = "S3-FIFO: a small queue that adapts, a main queue, ghosts",
	.counts_reads = true,
	.ghost_percent = GHOST_PERCENT,
	.proven_states = STATE_PROVEN | LINKED_MAIN,
	.direct_link = LINKED_MAIN,
	.locked_links = LINKED_SMALL,
	.init = s3_init,
	.insert = s3_insert,
	.remove = s3_remove,
	.victims = s3_victims,
	.oldest = s3_oldest,
	.linked = s3_linked,
	.check = s3_check,
	.page_add = s3_page_add,
	.page_remove = s3_page_remove,
	.recall = s3_recall,
	.bury = s3_bury,
};
