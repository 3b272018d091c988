/*
 * collect.c: entries that hold each other in a circle are never released by counting; this finds them.
 *
 * After CPython's collector (N. Schemenauer, "Garbage collection for Python", 2000), over control blocks
 * that have a hold, in five phases of bounded steps:
 *
 *   1. reset   no block is marked, and none is held from inside
 *   2. count   every held entry adds one to what it holds: `inner`
 *   3. roots   a block that has more holds than inner ones is held by an entry that can be evicted; that
 *              one, and one that was used since the last run, is reached
 *   4. mark    what a reached entry holds is reached
 *   5. sweep   what is not reached loses its protection: BLOCK_RELEASED; it is evicted before others
 *
 * Ours differs in being interrupted: a block whose holds or item change while a run is under way counts as
 * reached, whatever the run is at (as with Dijkstra's barrier). All others are as they were counted. A use
 * is seen in the item's age, which the run sets from 0 to 1 when it looks, so that a hit need write nothing
 * more than ever.
 *
 * A run that begins by itself also spares what was stored since the last one: it had no time to be
 * used. Released blocks that a later run reaches are protected again, if the share of held bytes allows.
 */
#include "store/internal.h"

/* Of a step, which holds the lock: blocks looked at, each with up to 16 others behind it, and numbers
 * passed over. 15 us at a million holds, 100 us at worst. What took milliseconds when it was measured was the
 * waiting for the lock of a thread that had lost its core; a step therefore only tries it. */
#define STEP_BLOCKS 64u
#define STEP_NUMBERS 1024u
/* A run looks at every block five times. It begins by itself after new holds by a share of those that there were
 * when the last one ended, so that each pays for twenty looks, whatever there is; and if they are fewer, for as long
 * as they are more than the threshold, after so many seconds, for at most a few hundredths of a core. */
#define RUN_SHARE 4u
#define RUN_SECONDS 10u
/* Half of what might still be held when the last run ended is: then a run begins earlier, after a smaller share of new
 * holds, and each hold pays for some of its steps, so that it ends before the rest is held. Past FULL of the limit it
 * spares nothing for its youth. */
#define PRESSED_SHARE 32u
#define PACE_STEPS 4u
#define PACE_STEPS_MAX 16u /* of one store: a quarter of a millisecond */
#define FULL_NUMERATOR 3u
#define FULL_DENOMINATOR 4u
#define RELEASED_LOOKS 65536u /* for the first of them: four megabytes of blocks, a slice at a time */
#define STEP_TRIES 256u /* for the lock: some microseconds, as long as others have it */
/* A block that goes may give its page back to the system: as many as this look like one step. */
#define LOOKS_OF_FREEING 8u
#define RELEASED_STACK 512u
#define RELEASED_ENOUGH 128u /* no other group is begun */
_Static_assert(RELEASED_REMOVALS + 2 * STOCK_CHUNKS < LIMBO_MARGIN, "limbo takes what one call removes");

static bool is_node(const struct block *b)
{
	return b->holds > 0 && !(block_state(b) & BLOCK_DEAD);
}

/* ---- grey blocks: reached, and what they hold not looked at yet ---- */

void collector_reach(struct store *s, struct block *b)
{
	struct collector *co = &s->references.collector;

	if (block_state(b) & BLOCK_MARKED)
		return;
	block_change(b, 0, BLOCK_MARKED);
	if ((block_state(b) & BLOCK_RELEASED) && b->holds > 0)
		reference_protect_again(s, b);
	if (block_state(b) & BLOCK_LISTED)
		return;
	block_change(b, 0, BLOCK_LISTED);
	b->link = co->grey;
	co->grey = block_number(&s->references.blocks, b);
}

/* Returns what it cost, in blocks looked at. */
static unsigned mark_one(struct store *s)
{
	struct collector *co = &s->references.collector;
	struct block *b = block_at(&s->references.blocks, co->grey);
	uint32_t targets[REFERENCES_MAX];
	unsigned n = 0;

	co->grey = b->link;
	block_change(b, BLOCK_LISTED, 0);
	if (!(block_state(b) & BLOCK_DEAD))
		n = reference_held_blocks(s, b->item, targets);
	/* Its last reference went while it was in the list. */
	bool is_over = b->references == 0;

	if (is_over)
		block_free(&s->references.blocks, b);
	for (unsigned i = 0; i < n; i++) {
		struct block *target = block_at(&s->references.blocks, targets[i]);

		if (is_node(target))
			collector_reach(s, target);
	}
	return is_over ? LOOKS_OF_FREEING : 1;
}

/* ---- use ---- */

/* Seconds by which an age of this size may be too small. */
static uint32_t age_error(uint8_t age)
{
	return age < 64 ? 0 : age < 128 ? 7 : age < 192 ? 63 : 1023;
}

/* Was the item used since the last run looked? From here on its age is no longer 0. */
static bool was_used(struct store *s, const struct block *b, uint32_t now)
{
	const struct collector *co = &s->references.collector;
	const struct slab_class *sc = slab_class_of(&s->slab, b->item);
	uint8_t state = atomic_load_explicit(slab_state(sc, b->item), memory_order_relaxed);
	_Atomic uint8_t *at = slab_age(sc, b->item);
	uint8_t age = 0;

	/* Another's hit at the same moment is one before this look. */
	bool recent = atomic_compare_exchange_strong_explicit(at, &age, 1, memory_order_relaxed,
	                                                      memory_order_relaxed) ||
	              age_seconds(age) + age_error(age) < now - co->looked_second + 1;

	/* What a run that spares nothing released is not young again to the next. */
	bool spares_young = !co->full && !(block_state(b) & BLOCK_RELEASED);

	return recent && (spares_young || (state & STATE_FETCHED));
}

/* ---- phases ---- */

static void count_inner(struct store *s, struct block *b)
{
	uint32_t targets[REFERENCES_MAX];
	unsigned n = reference_held_blocks(s, b->item, targets);

	for (unsigned i = 0; i < n; i++)
		block_at(&s->references.blocks, targets[i])->inner++;
}

static void sweep_one(struct store_thread *st, struct block *b)
{
	struct store *s = st->store;
	struct collector *co = &s->references.collector;

	if (was_used(s, b, st->now)) {
		collector_reach(s, b);
		return;
	}
	if (!(block_state(b) & BLOCK_PROTECTED))
		return;
	co->run_entries++;
	co->run_bytes += reference_unprotect(st, b);
}

static void visit(struct store_thread *st, struct block *b)
{
	struct store *s = st->store;
	struct collector *co = &s->references.collector;

	if (co->phase == COLLECT_RESET) {
		block_change(b, BLOCK_MARKED, 0);
		b->inner = 0;
		return;
	}
	if (!is_node(b) || (block_state(b) & BLOCK_MARKED))
		return;
	if (co->phase == COLLECT_COUNT)
		count_inner(s, b);
	else if (co->phase == COLLECT_SWEEP)
		sweep_one(st, b);
	else if (was_used(s, b, st->now) || b->holds > b->inner)
		collector_reach(s, b);
}

/* The step's share of the blocks. True when the phase is through. */
static bool visit_some(struct store_thread *st)
{
	struct store *s = st->store;
	struct collector *co = &s->references.collector;
	const struct block_table *bt = &s->references.blocks;
	uint32_t end = block_end_number(bt);

	for (unsigned blocks = 0, numbers = 0; blocks < STEP_BLOCKS && numbers < STEP_NUMBERS; numbers++) {
		if (co->cursor >= end)
			return true;
		uint32_t number = co->cursor++;

		if (!block_is_used(bt, number))
			continue;
		blocks++;
		visit(st, block_at(bt, number));
	}
	return false;
}

/* Half of what could be held when the last run ended. */
static bool is_pressed(const struct store *s)
{
	const struct references *rf = &s->references;
	uint64_t held = atomic_load_explicit(&((struct references *)rf)->held_bytes, memory_order_relaxed);
	uint64_t before = rf->collector.last_held_bytes;
	uint64_t limit = reference_held_limit(s);

	return held > before && held - before > (limit > before ? limit - before : 0) / 2;
}

static bool is_nearly_full(const struct store *s)
{
	return atomic_load_explicit(&((struct store *)s)->references.held_bytes, memory_order_relaxed) >
	       reference_held_limit(s) / FULL_DENOMINATOR * FULL_NUMERATOR;
}

void collector_note_hold(struct store *s)
{
	struct references *rf = &s->references;

	rf->collector.new_holds++;
	rf->collector.changes++;
	if (unlikely(rf->collector.enabled && is_pressed(s)))
		atomic_fetch_add_explicit(&rf->pace, PACE_STEPS, memory_order_relaxed);
}

static void begin_run(struct collector *co, bool full)
{
	co->phase = COLLECT_RESET;
	co->cursor = 0;
	co->full = full;
	co->new_holds = 0;
	if (full)
		co->changes = 0;
	co->run_entries = co->run_bytes = 0;
}

static void end_run(struct references *rf)
{
	struct collector *co = &rf->collector;

	co->last_holds = atomic_load_explicit(&rf->hold_count, memory_order_relaxed);
	co->last_held_bytes = atomic_load_explicit(&rf->held_bytes, memory_order_relaxed);
	co->phase = COLLECT_IDLE;
	co->looked_second = co->roots_second;
	co->last_entries = co->run_entries;
	co->last_bytes = co->run_bytes;
	co->entries += co->run_entries;
	co->bytes += co->run_bytes;
	co->run_entries = co->run_bytes = 0;
	co->runs++;
	if (co->full)
		co->full_runs++;
}

static void next_phase(struct references *rf, uint32_t now)
{
	struct collector *co = &rf->collector;

	co->cursor = 0;
	if (co->phase == COLLECT_COUNT)
		co->roots_second = now;
	if (co->phase == COLLECT_SWEEP)
		end_run(rf);
	else
		co->phase++;
}

static void step(struct store_thread *st)
{
	struct store *s = st->store;
	struct collector *co = &s->references.collector;

	/* What was reached comes first: a sweep would else take what it leads to. */
	if (co->grey && (co->phase == COLLECT_MARK || co->phase == COLLECT_SWEEP ||
	                 co->phase == COLLECT_IDLE)) {
		for (unsigned i = 0; co->grey && i < STEP_BLOCKS;)
			i += mark_one(s);
		return;
	}
	if (co->phase == COLLECT_IDLE)
		return;
	if (co->phase == COLLECT_MARK || visit_some(st))
		next_phase(&s->references, st->now);
}

static bool must_begin(const struct store *s, uint32_t now)
{
	const struct collector *co = &s->references.collector;

	if (co->full_wanted)
		return true;
	if (!co->enabled || co->new_holds < co->threshold)
		return false;
	return co->new_holds >= co->last_holds / (is_pressed(s) ? PRESSED_SHARE : RUN_SHARE) ||
	       (int32_t)(now - co->looked_second) >= (int32_t)RUN_SECONDS;
}

/* Waiting for the lock would be yielding the core to who has it and lost its own, for milliseconds. */
static bool try_lock(struct lock *lock) TRY_ACQUIRES(true, lock) NO_LOCK_ANALYSIS
{
	for (unsigned i = 0; i < STEP_TRIES; i++) {
		if (lock_try(lock))
			return true;
		cpu_pause();
	}
	return false;
}

enum collect_step store_collect_step(struct store_thread *st)
{
	struct references *rf = &st->store->references;
	struct collector *co = &rf->collector;

	/* A swept block may go back to its policy, whose locks are not waited for under ours. */
	if (ring_room(st, STEP_BLOCKS) || !try_lock(&rf->blocks.lock))
		return COLLECT_STEP_BUSY;
	if (co->phase == COLLECT_IDLE && !co->grey && must_begin(st->store, st->now)) {
		begin_run(co, co->full_wanted || is_nearly_full(st->store));
		co->full_wanted = false;
	}
	step(st);
	bool more = co->phase != COLLECT_IDLE || co->grey || must_begin(st->store, st->now);

	lock_release(&rf->blocks.lock);
	return more ? COLLECT_STEP_MORE : COLLECT_STEP_NONE;
}

/* ---- asking ---- */

uint64_t store_collect_begin(struct store_thread *st)
{
	struct references *rf = &st->store->references;
	struct collector *co = &rf->collector;

	lock_acquire(&rf->blocks.lock);
	/* One that is under way may have passed what this one is to see. */
	uint64_t run = co->full_runs + 1 + (co->phase != COLLECT_IDLE && co->full);

	co->full_wanted = true;
	lock_release(&rf->blocks.lock);
	return run;
}

bool store_collect_done(struct store_thread *st, uint64_t run, uint64_t *entries, uint64_t *bytes)
{
	struct references *rf = &st->store->references;
	struct collector *co = &rf->collector;

	lock_acquire(&rf->blocks.lock);
	bool is_done = co->full_runs >= run;

	*entries = co->last_entries;
	*bytes = co->last_bytes;
	lock_release(&rf->blocks.lock);
	return is_done;
}

void store_collect_enable(struct store_thread *st, bool enabled)
{
	struct references *rf = &st->store->references;

	lock_acquire(&rf->blocks.lock);
	rf->collector.enabled = enabled;
	lock_release(&rf->blocks.lock);
}

void store_collect_threshold(struct store_thread *st, uint64_t holds)
{
	struct references *rf = &st->store->references;

	lock_acquire(&rf->blocks.lock);
	rf->collector.threshold = holds;
	lock_release(&rf->blocks.lock);
}

/* ---- for who stores ---- */

void collect_pace(struct store_thread *st)
{
	_Atomic uint32_t *pace = &st->store->references.pace;

	if (likely(atomic_load_explicit(pace, memory_order_relaxed) == 0))
		return;
	uint32_t steps = MIN(atomic_exchange_explicit(pace, 0, memory_order_relaxed), PACE_STEPS_MAX);

	while (steps-- > 0 && store_collect_step(st) == COLLECT_STEP_MORE)
		;
}

/* ---- evicting what was released ---- */

/* From the cursor on, within a slice; 0: none. */
static uint32_t find_released_here(struct store *s)
{
	struct references *rf = &s->references;
	struct block_table *bt = &rf->blocks;
	uint32_t item = 0;

	lock_acquire(&bt->lock);
	uint32_t end = block_end_number(bt);

	for (unsigned i = 0; i < STEP_NUMBERS && i < end && !item; i++) {
		uint32_t number = rf->collector.evict_cursor++ % end;

		if (block_is_used(bt, number) && (block_state(block_at(bt, number)) & BLOCK_RELEASED))
			item = block_at(bt, number)->item;
	}
	lock_release(&bt->lock);
	return item;
}

static uint32_t find_released(struct store *s)
{
	uint32_t item = 0;

	for (unsigned i = 0; i < RELEASED_LOOKS / STEP_NUMBERS && !item; i++)
		item = find_released_here(s);
	return item;
}

/* Of what the item holds, what was released with it. */
static unsigned released_targets(struct store *s, uint32_t item, uint32_t *items, unsigned room)
{
	struct block_table *bt = &s->references.blocks;
	uint32_t numbers[REFERENCES_MAX];
	unsigned n = 0;

	lock_acquire(&bt->lock);
	unsigned held = reference_held_blocks(s, item, numbers);

	for (unsigned i = 0; i < held && n < room; i++)
		if (block_state(block_at(bt, numbers[i])) & BLOCK_RELEASED)
			items[n++] = block_at(bt, numbers[i])->item;
	lock_release(&bt->lock);
	return n;
}

/* One of the group, and what it holds, and so on. What is left of a group that is not all evicted is held by an entry
 * that can be evicted, which is no garbage to the next run: that protects it again. */
static unsigned evict_group(struct store_thread *st, uint32_t first, unsigned max_removals)
{
	struct store *s = st->store;
	uint32_t stack[RELEASED_STACK] = { first };
	unsigned n = 1, removed = 0;

	/* No safe point since: all that were items then are readable still. */
	while (n > 0 && removed < max_removals) {
		uint32_t item = stack[--n];

		n += released_targets(s, item, stack + n, RELEASED_STACK - n);
		removed += remove_reference(st, item, ENDED_COLLECTED);
	}
	return removed;
}

unsigned evict_if_released(struct store_thread *st, uint32_t reference)
{
	struct store *s = st->store;

	if (likely(!(item_word(chunk_item(s, reference)) & WORD_REFERRED)) ||
	    reference_protection(s, item_hash(s, reference), reference) != PROTECTION_RELEASED)
		return 0;
	return evict_group(st, reference, RELEASED_REMOVALS);
}

unsigned evict_released(struct store_thread *st)
{
	struct store *s = st->store;
	unsigned removed = 0;

	if (likely(atomic_load_explicit(&s->references.released_count, memory_order_relaxed) == 0))
		return 0;
	reclaim_room(st);
	for (unsigned i = 0; i < RELEASED_ENOUGH && removed < RELEASED_ENOUGH; i++) {
		uint32_t first = find_released(s);

		if (!first)
			break;
		removed += evict_group(st, first, RELEASED_REMOVALS - removed);
	}
	return removed;
}
