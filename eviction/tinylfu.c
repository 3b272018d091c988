/*
 * tinylfu.c: W-TinyLFU. New chunks pass through a small window; who leaves it takes a place in the
 * main part, a segmented LRU, only if its key was used more often than that of the next victim there.
 *
 *   insert --> window --leaves--> contest by frequency --> probation --hit--> protected
 *              (LRU)                | loses                   ^ | victim         |
 *                                   v evicted                 +----- falls ------+
 *
 * The window's share is climbed: when the ratio of hits went up since it last moved it goes on in that
 * direction, else it turns back, with smaller steps as long as nothing changes.
 *
 * Sources: G. Einziger, R. Friedman, B. Manes, "TinyLFU: a highly efficient cache admission policy",
 * ACM Transactions on Storage 13(4), 2017; G. Einziger, O. Eytan, R. Friedman, B. Manes, "Adaptive
 * software cache management", Middleware 2018 (hill climbing).
 */
#include "eviction/frequency.h"
#include "eviction/list.h"

#define IN_WINDOW 0x10u
#define PROTECTED 0x20u
#define SEGMENT (IN_WINDOW | PROTECTED)

#define PROTECTED_SHARE_NUMERATOR 4u
#define PROTECTED_SHARE_DENOMINATOR 5u
#define WINDOW_START 0.01
#define WINDOW_MIN 0.005
#define WINDOW_MAX 0.8
#define STEP_START 0.0625
#define STEP_DECAY 0.98
#define STEP_RESTART 0.05    /* a change of the hit ratio that starts the climb anew */
#define SAMPLE_PER_CHUNK 10u /* requests between two steps */
#define OWED_MAX 256u        /* some batches of victims */

static struct chunk_list *list_with(struct policy_queue *q, uint32_t reference)
{
	uint8_t state = state_get(&q->space, reference);

	return state & IN_WINDOW ? &q->u.tinylfu.window :
	       state & PROTECTED ? &q->u.tinylfu.protect : &q->u.tinylfu.probation;
}

static void move(struct policy_queue *q, uint32_t reference, struct chunk_list *to, unsigned segment)
{
	list_remove(q, list_with(q, reference), reference);
	state_change(&q->space, reference, SEGMENT, segment);
	list_push(q, to, reference);
}

static int64_t window_target(const struct policy_queue *q)
{
	return MAX(1, (int64_t)(q->u.tinylfu.window_share * (double)q->count));
}

static void tinylfu_init(struct policy_queue *q)
{
	q->u.tinylfu.window_share = WINDOW_START;
	q->u.tinylfu.step = STEP_START;
}

static bool tinylfu_linked(const struct policy_queue *q, uint32_t reference)
{
	return list_has(q, reference);
}

/* ---- the climb ---- */

static void climb(struct policy_queue *q)
{
	double rate = (double)q->u.tinylfu.hits / (double)q->u.tinylfu.requests;
	double change = rate - q->u.tinylfu.last_rate, step = q->u.tinylfu.step;

	if (change < 0)
		step = -step;
	q->u.tinylfu.window_share =
		MAX(WINDOW_MIN, MIN(WINDOW_MAX, q->u.tinylfu.window_share + step));
	if (change >= STEP_RESTART || change <= -STEP_RESTART)
		step = step < 0 ? -STEP_START : STEP_START;
	q->u.tinylfu.step = step * STEP_DECAY;
	q->u.tinylfu.last_rate = rate;
	q->u.tinylfu.hits = q->u.tinylfu.requests = 0;
}

static void note_request(struct policy_queue *q, bool hit)
{
	q->u.tinylfu.requests++;
	q->u.tinylfu.hits += hit;
	if (q->u.tinylfu.requests < SAMPLE_PER_CHUNK * (uint64_t)q->count)
		return;
	if (q->u.tinylfu.full)
		climb(q);
	else
		q->u.tinylfu.hits = q->u.tinylfu.requests = 0;
}

/* ---- operations ---- */

static void tinylfu_insert(struct policy_queue *q, uint32_t reference)
{
	if (list_has(q, reference))
		return;
	frequency_add(&q->shared->frequencies, policy_hash(q, reference));
	state_change(&q->space, reference, SEGMENT, IN_WINDOW);
	list_push(q, &q->u.tinylfu.window, reference);
	q->count++;
	if (q->u.tinylfu.owed > 0)
		q->u.tinylfu.owed--;
	note_request(q, false);
	/* While nothing had to be evicted for it there is room in the main part. */
	while (q->u.tinylfu.window.count > window_target(q))
		move(q, q->u.tinylfu.window.tail, &q->u.tinylfu.probation, 0);
}

static void tinylfu_hit(struct policy_queue *q, uint32_t reference)
{
	struct chunk_list *protect = &q->u.tinylfu.protect;

	if (!list_has(q, reference))
		return;
	frequency_add(&q->shared->frequencies, policy_hash(q, reference));
	note_request(q, true);
	if (list_with(q, reference) == &q->u.tinylfu.window) {
		move(q, reference, &q->u.tinylfu.window, IN_WINDOW);
		return;
	}
	move(q, reference, protect, PROTECTED);
	while (protect->count > 1 && protect->count * PROTECTED_SHARE_DENOMINATOR >
	                                     (q->count - q->u.tinylfu.window.count) * PROTECTED_SHARE_NUMERATOR)
		move(q, protect->tail, &q->u.tinylfu.probation, 0);
}

static void tinylfu_remove(struct policy_queue *q, uint32_t reference)
{
	if (!list_has(q, reference))
		return;
	list_remove(q, list_with(q, reference), reference);
	state_change(&q->space, reference, SEGMENT, 0);
	q->count--;
}

static void tinylfu_move(struct policy_queue *q, uint32_t to, uint32_t from)
{
	unsigned segment = state_get(&q->space, from) & SEGMENT;

	list_replace(q, list_with(q, from), to, from);
	state_change(&q->space, from, SEGMENT, 0);
	state_change(&q->space, to, SEGMENT, segment);
}

static uint32_t main_victim(const struct policy_queue *q)
{
	uint32_t tail = q->u.tinylfu.probation.tail;

	return tail ? tail : q->u.tinylfu.protect.tail;
}

/*
 * A window at its full share loses its oldest chunk, by a contest with the main part's victim. Whoever asks
 * for a batch will insert as many, into the window: these count as if they were there. Else the first of a
 * batch left the window short of its share, all others came from the main part without a contest, and what
 * was inserted afterwards was moved there: a segmented LRU.
 */
static uint32_t choose_victim(struct policy_queue *q)
{
	uint32_t candidate = q->u.tinylfu.window.tail, victim = main_victim(q);

	if (!victim || !candidate || q->u.tinylfu.window.count + q->u.tinylfu.owed < window_target(q))
		return victim ? victim : candidate;
	const struct line_table *frequencies = &q->shared->frequencies;

	if (frequency_of(frequencies, policy_hash(q, candidate)) <=
	    frequency_of(frequencies, policy_hash(q, victim)))
		return candidate;
	move(q, candidate, &q->u.tinylfu.probation, 0);
	return victim;
}

static unsigned tinylfu_victims(struct policy_queue *q, uint32_t *references, unsigned max)
{
	unsigned n = 0;

	q->u.tinylfu.full = true;
	while (n < max && q->count) {
		references[n] = choose_victim(q);
		tinylfu_remove(q, references[n++]);
		q->u.tinylfu.owed = MIN(OWED_MAX, q->u.tinylfu.owed + 1);
	}
	return n;
}

static uint32_t tinylfu_oldest(struct policy_queue *q)
{
	uint32_t victim = main_victim(q);

	return victim ? victim : q->u.tinylfu.window.tail;
}

static void tinylfu_check(const struct policy_queue *q)
{
	list_check(q, &q->u.tinylfu.window);
	list_check(q, &q->u.tinylfu.probation);
	list_check(q, &q->u.tinylfu.protect);
	assert(q->u.tinylfu.window.count + q->u.tinylfu.probation.count + q->u.tinylfu.protect.count ==
	       q->count);
}

static void tinylfu_page_add(struct policy_queue *q, uint32_t page_number)
{
	lines_resize(&q->shared->frequencies, q->space.chunks_per_page, FREQUENCY_LINE_KEYS);
}

static void tinylfu_page_remove(struct policy_queue *q, uint32_t page_number)
{
	lines_resize(&q->shared->frequencies, -(int64_t)q->space.chunks_per_page, FREQUENCY_LINE_KEYS);
}

const struct policy_ops policy_tinylfu = {
	.name = "tinylfu",
	.summary = "W-TinyLFU: admission by frequency behind a window that adapts",
	.side_bytes = sizeof(struct chunk_link),
	.counts_keys = true,
	.init = tinylfu_init,
	.insert = tinylfu_insert,
	.hit = tinylfu_hit,
	.prefetch = list_prefetch,
	.remove = tinylfu_remove,
	.move = tinylfu_move,
	.victims = tinylfu_victims,
	.oldest = tinylfu_oldest,
	.linked = tinylfu_linked,
	.check = tinylfu_check,
	.page_add = tinylfu_page_add,
	.page_remove = tinylfu_page_remove,
};
