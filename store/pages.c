/*
 * pages.c: pages that move between classes: who gets one, who gives one, and how it is vacated.
 *
 * A class takes a page when one more would serve it better than it serves where it is. What a page is
 * worth to a class is read off its ghosts: of the keys that it evicts, the share that comes back, times
 * the chunks of a page (--goal=bytes: times its bytes). What nobody would miss goes first:
 *
 *   empty pages, then those of classes whose next victim is idle far longer than the taker's own,
 *   then those of the class to which a page is worth least, if that is half of what the taker gains
 *
 * The last kind costs hits, and is bounded: items that were read and fell to moves stay below a fiftieth
 * of the keys that came new. Policies without ghosts move by idle time alone.
 *
 * A page is vacated chunk by chunk. What was read since it came is copied into a free chunk of its
 * class, for which the policy names victims; what was not is evicted. Copies have CAS uniques of their
 * own: a client's cas that met a move is told EXISTS and tries again.
 */
#include "store/internal.h"

#define DRAIN_SPINS 300u
#define DRAIN_SLEEPS 100u /* a tenth of a millisecond each, for a thread that lost its core in its turn */
#define STEAL_TRIES 8u
#define STEAL_TRIES_A_CLASS 2u
/* How often a class looks at the others, in its eviction batches, where nothing says that it gains. */
#define COMPARE_EVERY 4u
#define PRIOR_REFAULTS 1u
#define PRIOR_EVICTIONS 8u
#define EVICTIONS_MIN 64u /* counts of less are not halved */
#define GAIN_ONE 1024u    /* a gain of one hit */
#define GAIN_RATIO 2u
#define LOST_SHARE 50u
/* Waits for a free chunk, each of at least one turn of the others, before an item is let go. */
#define ROOM_TRIES 4u
#define PAGE_LOOKS 256u /* for a page with few held items */

/* ---- what a page is worth ---- */

/* Both counts are of the same stretch of time, which ends when as many keys were evicted as half of
 * the class holds: then both are halved. Threads that meet lose little. */
void note_evictions(struct slab_class *sc, unsigned evicted)
{
	uint32_t evictions = atomic_fetch_add_explicit(&sc->evictions, evicted, memory_order_relaxed) + evicted;
	uint64_t chunks = (uint64_t)atomic_load_explicit(&sc->page_count, memory_order_relaxed) *
	                  sc->chunks_per_page;

	if (likely(evictions < MAX(EVICTIONS_MIN, chunks / 2)))
		return;
	atomic_store_explicit(&sc->evictions, evictions / 2, memory_order_relaxed);
	atomic_store_explicit(&sc->refaults,
	                      atomic_load_explicit(&sc->refaults, memory_order_relaxed) / 2,
	                      memory_order_relaxed);
}

/*
 * Hits (or bytes of hits) that one page more would bring, for each time the class evicts as many items
 * as a page has. As if of some more keys that it evicted a few had come back: a class of which little
 * is known is neither fed nor given away. One that never had to evict needs no more than it has.
 */
static uint64_t page_gain(const struct store *s, const struct slab_class *sc)
{
	uint64_t evictions = atomic_load_explicit(&((struct slab_class *)sc)->evictions,
	                                          memory_order_relaxed);
	uint64_t refaults = atomic_load_explicit(&((struct slab_class *)sc)->refaults, memory_order_relaxed);
	uint64_t weight = s->options.goal == GOAL_BYTES ? s->slab.page_bytes : sc->chunks_per_page;

	if (evictions == 0 || !running_policy(s)->recall)
		return 0;
	return (MIN(refaults, evictions) + PRIOR_REFAULTS) * GAIN_ONE / (evictions + PRIOR_EVICTIONS) * weight;
}

/* Does what fell to moves so far leave room for more? */
static bool may_cost_hits(const struct store *s)
{
	uint64_t keys = 0;

	for (unsigned i = 0; i < s->thread_count; i++)
		keys += atomic_load_explicit(&s->threads[i].new_keys, memory_order_relaxed);
	return atomic_load_explicit(&((struct store *)s)->lost_to_moves, memory_order_relaxed) * LOST_SHARE <=
	       keys;
}

/* ---- donors ---- */

/* The class's next victim that is still an item, and not a held one. Removed items leave the queue here instead of when
 * their grace period ends, lest a thread that sleeps on them stand in everybody's way. */
static uint32_t oldest_item(struct store *s, struct slab_class *sc) REQUIRES(sc->lock)
{
	uint32_t oldest;

	for (;;) {
		struct policy_queue *q = class_queue(sc);

		if ((oldest = q->ops->oldest(q)) == 0)
			break;

		struct item *it = chunk_item(s, oldest);

		if (item_kind(it) == CHUNK_ITEM &&
		    !(unlikely(item_word(it) & WORD_REFERRED) && reference_try_park(s, oldest)))
			break;
		q->ops->remove(q, oldest);
	}
	return oldest;
}

/* Pages that could not be emptied just now: a client keeps something on them, or a thread that is idle. */
struct stuck_pages {
	uint32_t numbers[STEAL_TRIES];
	uint8_t classes[STEAL_TRIES];
	unsigned count;
};

static bool is_stuck(const struct stuck_pages *stuck, uint32_t number)
{
	for (unsigned i = 0; i < stuck->count; i++)
		if (stuck->numbers[i] == number)
			return true;
	return false;
}

/* A class whose pages clients keep is not tried again and again while others have what can be given. */
static bool class_is_stuck(const struct stuck_pages *stuck, const struct slab_class *sc)
{
	unsigned tries = 0;

	for (unsigned i = 0; i < stuck->count; i++)
		tries += stuck->classes[i] == sc->index;
	return tries >= STEAL_TRIES_A_CLASS;
}

/* This page of the class, or another if it is stuck or something on it is held, the one with least of that:
 * what is held must be copied. PAGE_NONE: those that were looked at are stuck. */
static uint32_t page_to_drain(struct store *s, struct slab_class *sc, uint32_t preferred,
                              const struct stuck_pages *stuck) REQUIRES(sc->lock)
{
	struct slab *sl = &s->slab;
	bool avoided = is_stuck(stuck, preferred);
	uint32_t least = avoided ? UINT32_MAX :
				   atomic_load_explicit(&sl->pages[preferred].held_count, memory_order_relaxed);
	uint32_t end = slab_page_end(sl), best = avoided ? PAGE_NONE : preferred;

	for (unsigned i = 0; least > 0 && i < PAGE_LOOKS && i < end; i++) {
		uint32_t number = atomic_fetch_add_explicit(&s->drain_page, 1, memory_order_relaxed) % end;
		struct page *pg = &sl->pages[number];
		uint32_t held = atomic_load_explicit(&pg->held_count, memory_order_relaxed);

		if (number != PAGE_NONE && pg->state == PAGE_ACTIVE && page_class_index(pg) == sc->index &&
		    held < least && !is_stuck(stuck, number)) {
			least = held;
			best = number;
		}
	}
	return best;
}

/* Idle seconds of the class's next victim and a page to take; false if the class has no victim. A class
 * with an empty page is the best donor of all. */
static bool donor_age(struct store *s, struct slab_class *sc, const struct stuck_pages *stuck, uint32_t *age,
                      uint32_t *page_number)
{
	bool found = false;

	lock_acquire(&sc->lock);
	uint32_t oldest = oldest_item(s, sc);

	if (sc->partial_tail && s->slab.pages[sc->partial_tail].used_count == 0) {
		*age = UINT32_MAX;
		*page_number = sc->partial_tail;
		found = true;
	} else if (oldest) {
		*age = age_seconds(atomic_load_explicit(slab_age(sc, oldest), memory_order_relaxed));
		*page_number = page_to_drain(s, sc, slab_page_number(&s->slab, oldest), stuck);
		found = *page_number != PAGE_NONE;
	}
	lock_release(&sc->lock);
	return found;
}

struct donor {
	struct slab_class *sc;
	uint32_t page_number;
	uint32_t age;
	uint64_t weight;
};

/* The class whose next victim is idle longest, of those to which a page is worth no more than so much;
 * of several, the one with most pages. By worth nobody gives the only page it has: what lives there could
 * not be copied anywhere. */
static bool find_donor(struct store *s, const struct slab_class *except, uint64_t gain_max,
                       const struct stuck_pages *stuck, struct donor *best)
{
	*best = (struct donor){ 0 };
	for (unsigned i = 1; i <= s->slab.class_count; i++) {
		struct slab_class *sc = &s->slab.classes[i];
		uint32_t age, page_number;

		if (sc == except || sc->page_count == 0 || page_gain(s, sc) > gain_max ||
		    (gain_max != UINT64_MAX && sc->page_count == 1) || class_is_stuck(stuck, sc) ||
		    !donor_age(s, sc, stuck, &age, &page_number))
			continue;
		if (!best->sc || age > best->age || (age == best->age && sc->page_count > best->weight))
			*best = (struct donor){ sc, page_number, age, sc->page_count };
	}
	return best->sc != NULL;
}

/* ---- vacating a page ---- */

/* A chunk outside of draining pages, after making room for it if need be; a safe point. */
static uint32_t take_refuge(struct store_thread *st, struct slab_class *sc)
{
	struct stock *sk = &st->stocks[sc->index];
	uint32_t reference = 0;
	unsigned spins = LOCK_SPINS;

	for (unsigned i = 0; i < ROOM_TRIES; i++) {
		return_stocks(st, false);
		if (sk->count)
			return sk->references[--sk->count];
		lock_acquire(&sc->lock);
		slab_take(&st->store->slab, sc, &reference, 1, false);
		lock_release(&sc->lock);
		if (reference)
			return reference;
		if (st->limbo.count == 0 && !evict_batch(st, sc))
			break;
		if (i > 0)
			lock_backoff(&spins);
		reclaim(st);
	}
	return 0;
}

/* All but the word and, of a large item, its pins, which are of the chunk and not of the item. */
static void copy_contents(struct item *to, struct item *from, const struct slab_class *sc)
{
	to->key_length = from->key_length;
	to->slack = from->slack;
	if (!sc->big) {
		memcpy(to->small_data, from->small_data, sc->chunk_bytes - ITEM_SMALL_HEADER - from->slack);
		return;
	}
	to->unused = from->unused;
	to->value_length = from->value_length;
	to->next = 0;
	atomic_store_explicit(&to->pins, 0, memory_order_relaxed);
	uint32_t fields = item_fields_bytes(from, true, item_word(from));

	memcpy(to->big_data, from->big_data, fields + from->key_length + from->value_length);
}

/* What readers and the policy noted of the item goes with it. */
static void copy_notes(struct store *s, const struct slab_class *sc, uint32_t to, uint32_t from)
{
	uint8_t state = state_get(&sc->space, from);
	uint8_t kept = state & STATE_OF_USE;

	if (state & running_policy(s)->proven_states)
		kept |= STATE_PROVEN;
	state_change(&sc->space, to, STATE_OF_USE, kept);
	atomic_store_explicit(slab_age(sc, to),
	                      atomic_load_explicit(slab_age(sc, from), memory_order_relaxed),
	                      memory_order_relaxed);
}

static void change_places(struct store *s, struct slab_class *sc, uint32_t to, uint32_t from)
{
	lock_acquire(&sc->lock);
	struct policy_queue *q = slab_queue(&s->slab, sc, to), *old = slab_queue(&s->slab, sc, from);

	if (q == old && q->ops->move && q->ops->linked(q, from)) {
		/* An entry of the chunk's earlier life, left in somebody's ring, may have linked it already. */
		q->ops->remove(q, to);
		q->ops->move(q, to, from);
	} else {
		q->ops->insert(q, to);
		old->ops->remove(old, from);
	}
	lock_release(&sc->lock);
}

/* Under the item's bucket lock: `to` becomes the key's item. False, and nothing happened, if what it
 * would hold is more than may be held now. */
static bool relocate_locked(struct store_thread *st, struct slab_class *sc, const struct index_slot *at,
                            uint64_t hash, uint32_t to, uint32_t from)
{
	struct store *s = st->store;
	struct item *old = chunk_item(s, from), *new = chunk_item(s, to);
	uint32_t word = item_word(old), kept = WORD_META & ~(WORD_KIND | WORD_REFERRED);

	copy_contents(new, old, sc);
	copy_notes(s, sc, to, from);
	atomic_store_explicit(&new->word, item_word(new) | (word & kept), memory_order_relaxed);
	if (unlikely(word & WORD_REFERRED) && !reference_replace(st, hash, from, to, false)) {
		atomic_store_explicit(&new->word, item_word(new) & ~kept, memory_order_relaxed);
		return false;
	}
	if (unlikely(word & WORD_REFERRING))
		reference_moved(s, to, from);
	item_set_kind_owned(new, CHUNK_ITEM);
	index_replace(at, to);
	change_places(s, sc, to, from);
	retire(st, from, ENDED_MOVED);
	return true;
}

/* A large item's references are given back by whoever unpins it last, who cannot know that they moved. */
static bool may_relocate(const struct item *it, const struct slab_class *sc)
{
	return !sc->big || (!it->next && !(item_word(it) & WORD_REFERRING));
}

/* Copies the item of a draining page's chunk elsewhere in its class. False if it could not be: no room,
 * or a value of several chunks. */
static bool relocate(struct store_thread *st, struct slab_class *sc, uint32_t reference)
{
	struct store *s = st->store;
	uint32_t to = take_refuge(st, sc), found;

	if (!to)
		return false;
	slab_begin_use(&s->slab, sc, to);
	struct item *it = chunk_item(s, reference);
	bool moved = false;

	if (sc->big)
		chunk_item(s, to)->next = 0;
	if (item_kind(it) == CHUNK_ITEM && may_relocate(it, sc)) {
		uint64_t hash = item_hash(s, reference);
		struct bucket *b = index_lock(&s->index, hash, st);
		struct index_slot at = { 0 };

		while (index_scan(&s->index, b, hash, &at, &found)) {
			/* Since the safe point the page may have closed and be of another class. */
			if (found != reference || slab_class_of(&s->slab, reference) != sc ||
			    !may_relocate(it, sc) ||
			    !slab_set_expiry(&s->slab, sc, to, slab_get_expiry(&s->slab, sc, reference)))
				continue;
			moved = relocate_locked(st, sc, &at, hash, to, reference);
			break;
		}
		index_unlock(b);
	}
	if (!moved)
		discard(st, to);
	return moved;
}

static bool is_worth_keeping(const struct store_thread *st, const struct slab_class *sc, uint32_t reference)
{
	/* What others refer to may be held, and then it cannot be evicted. */
	return ((state_get(&sc->space, reference) & STATE_FETCHED) ||
	        (item_word(chunk_item(st->store, reference)) & WORD_REFERRED)) &&
	       !is_expired(slab_get_expiry(&st->store->slab, sc, reference), st->now);
}

static bool page_is_closed(const struct store *s, const struct slab_class *sc, uint32_t page_number)
{
	const struct page *pg = &s->slab.pages[page_number];

	return atomic_load_explicit(&((struct page *)pg)->state, memory_order_acquire) !=
	               PAGE_DRAINING ||
	       page_class_index(pg) != sc->index;
}

/* What lies in a chunk of a draining page, and the head of a segment's chain. Under the class's lock: the
 * last chunk may be put by another thread at any time, and then this is the middle of somebody's value.
 * What is an item now stays readable until this turn's next safe point. */
static enum chunk_kind look_at_chunk(struct store *s, struct slab_class *sc, uint32_t reference,
                                     uint32_t *head)
{
	struct item *it = chunk_item(s, reference);
	enum chunk_kind kind = CHUNK_FREE;

	lock_acquire(&sc->lock);
	if (!page_is_closed(s, sc, slab_page_number(&s->slab, reference)))
		kind = item_kind(it);
	*head = kind == CHUNK_SEGMENT ? ((struct segment *)it)->head : 0;
	lock_release(&sc->lock);
	return kind;
}

/* Takes the item of this chunk out of the index; of a segment, the item it belongs to. */
static void evict_chunk(struct store_thread *st, struct slab_class *sc, uint32_t reference)
{
	struct store *s = st->store;
	uint32_t head;

	/* First: what is looked at must not be let go by a safe point. */
	reclaim_room(st);
	enum chunk_kind kind = look_at_chunk(s, sc, reference, &head);

	if (kind == CHUNK_SEGMENT) {
		reference = head;
		if (!reference || item_kind(chunk_item(s, reference)) != CHUNK_ITEM)
			return;
		sc = slab_class_of(&s->slab, reference);
	} else if (kind != CHUNK_ITEM) {
		return;
	}
	if (evict_if_released(st, reference))
		return;
	bool proven = state_get(&sc->space, reference) & running_policy(s)->proven_states;

	evict_reference(st, reference, item_hash(s, reference), proven);
}

static void vacate_chunk(struct store_thread *st, struct slab_class *sc, uint32_t reference)
{
	uint32_t head;

	/* A page may have more chunks than limbo has places. First, for the reason above. */
	reclaim_room(st);
	if (look_at_chunk(st->store, sc, reference, &head) == CHUNK_ITEM &&
	    is_worth_keeping(st, sc, reference) && relocate(st, sc, reference))
		return;
	evict_chunk(st, sc, reference);
}

/* Waits a bounded time for a draining page to close, giving what this thread holds of it. */
static bool await_closed(struct store_thread *st, const struct slab_class *sc, uint32_t page_number)
{
	struct epoch *e = &st->store->epoch;
	uint64_t stamp = epoch_stamp(e);
	unsigned spins = 0;

	epoch_advance(e);
	for (unsigned i = 0; i < DRAIN_SPINS + DRAIN_SLEEPS; i++) {
		reclaim(st);
		quiesce(st);
		yield_drained(st);
		if (page_is_closed(st->store, sc, page_number))
			return true;
		if (i < DRAIN_SPINS)
			lock_backoff(&spins);
		else if (epoch_min(e) <= stamp)
			sleep_outside(st);
		else
			break;
	}
	return false;
}

/* Items of the class that were read and that this thread evicted, ever. */
static uint64_t evicted_active(const struct store_thread *st, const struct slab_class *sc)
{
	return atomic_load_explicit(&((struct store_thread *)st)->classes[sc->index].evicted_active,
	                            memory_order_relaxed);
}

/* Empties an active page of the class, or waits for the thread that does. The page cannot change
 * class meanwhile: it drains, and it closes only when its last chunk is put. */
static bool drain_page(struct store_thread *st, struct slab_class *sc, uint32_t page_number)
{
	struct store *s = st->store;
	uint64_t active_before = evicted_active(st, sc);

	return_stocks(st, true);
	lock_acquire(&sc->lock);
	bool draining = slab_drain(&s->slab, sc, page_number);

	lock_release(&sc->lock);
	if (!draining)
		return await_closed(st, sc, page_number);
	atomic_fetch_add_explicit(&s->drain_generation, 1, memory_order_release);
	for (uint32_t i = 0; i < sc->chunks_per_page && !page_is_closed(s, sc, page_number); i++)
		vacate_chunk(st, sc, slab_reference(sc, page_number, i));
	atomic_fetch_add_explicit(&s->lost_to_moves, evicted_active(st, sc) - active_before,
	                          memory_order_relaxed);
	if (await_closed(st, sc, page_number))
		return true;
	/* Something in it is being filled or sent by a slow client, or lies in an idle thread's stock. */
	lock_acquire(&sc->lock);
	slab_undrain(&s->slab, sc, page_number);
	lock_release(&sc->lock);
	return false;
}

/* ---- giving and taking ---- */

static bool release_from(struct store_thread *st, const struct slab_class *except, uint64_t gain_max)
{
	struct store *s = st->store;
	uint64_t before = budget_account(&s->budget, ACCOUNT_ITEMS);
	struct stuck_pages stuck = { .count = 0 };

	drain_rings(s);
	/* A page whose only chunks in use are this thread's closes by that alone: no items need leave another. */
	return_stocks(st, true);
	if (budget_account(&s->budget, ACCOUNT_ITEMS) < before)
		return true;
	for (unsigned i = 0; i < STEAL_TRIES; i++) {
		struct donor donor;

		if (!find_donor(s, except, gain_max, &stuck, &donor))
			return false;
		if (drain_page(st, donor.sc, donor.page_number)) {
			if (except)
				atomic_fetch_add_explicit(&s->page_moves, 1, memory_order_relaxed);
			return true;
		}
		/* It could not be emptied, but what lived in it is gone: that may have closed others. */
		if (budget_account(&s->budget, ACCOUNT_ITEMS) < before)
			return true;
		stuck.numbers[stuck.count] = donor.page_number;
		stuck.classes[stuck.count++] = donor.sc->index;
	}
	return false;
}

bool release_page(struct store_thread *st, const struct slab_class *except)
{
	return release_from(st, except, UINT64_MAX);
}

/* Does another class keep items that are idle far longer than this one's next victim? Twice as long,
 * so that pages do not go back and forth. */
static bool other_class_is_idle(struct store_thread *st, struct slab_class *sc)
{
	const struct stuck_pages none = { .count = 0 };
	uint32_t own_age, page_number;
	struct donor donor;

	/* Without a victim it may be one of segments, whose heads are elsewhere. */
	if (!donor_age(st->store, sc, &none, &own_age, &page_number))
		return sc->page_count == 0;
	return find_donor(st->store, sc, UINT64_MAX, &none, &donor) &&
	       donor.age > 2 * (uint64_t)own_age + 2;
}

bool take_page_for(struct store_thread *st, struct slab_class *sc)
{
	struct stock *sk = &st->stocks[sc->index];
	uint64_t gain = page_gain(st->store, sc);

	if (gain && may_cost_hits(st->store) && release_from(st, sc, gain / GAIN_RATIO))
		return true;
	return ++sk->evictions % COMPARE_EVERY == 0 && other_class_is_idle(st, sc) && release_page(st, sc);
}

bool release_empty_page(struct store_thread *st)
{
	struct slab *sl = &st->store->slab;

	for (unsigned i = 1; i <= sl->class_count; i++) {
		struct slab_class *sc = &sl->classes[i];
		uint32_t number;
		bool closed = false;

		if (sc->page_count == 0)
			continue;
		lock_acquire(&sc->lock);
		/* The last of the list, if any: one that empties while another has room is closed at once. */
		number = sc->partial_tail;
		if (number && sl->pages[number].used_count == 0)
			closed = slab_drain(sl, sc, number);
		lock_release(&sc->lock);
		if (closed)
			return true;
	}
	return false;
}

