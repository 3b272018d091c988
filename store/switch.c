/*
 * switch.c: another policy takes over, under living items.
 *
 *   1. told     threads no longer link and unlink by themselves, and tell of hits if either policy wants them
 *   2. grace    until every turn that may not know of it is over
 *   3. queues   each class gets a second queue, which pages that are taken from here on join
 *   4. pages    one by one the others change to it, with what is linked of them
 *   5. settled  no page is left; the former queues are gone, and what the new policy allows is allowed
 *
 * Nothing is copied and no chunk moves: where policies may change, what they keep beside the chunks lies
 * apart from the pages (slab.h), and is taken and given back as pages change. While there are two queues,
 * a class's victims come from the former, as long as it has some: a cache of a gigabyte has changed in
 * some seconds.
 *
 * What a policy learned of the order of its items is lost but for what their states say: how often each
 * was read since it came. Changing to LRU and back costs some misses, so whoever asks should have reason.
 */
#include "store/internal.h"

/* Changed in one slice: each is some thousand chunks, a tenth of a millisecond and more. */
#define PAGES_STEP 2u
#define PAGES_LOOKED 1024u

static void settle(struct store *s, const struct policy_ops *policy)
{
	atomic_store_explicit(&s->wants_hits, policy->hit != NULL, memory_order_relaxed);
	/* release: pairs with the acquire in settled_policy */
	atomic_store_explicit(&s->settled, policy, memory_order_release);
}

void switch_init(struct store *s, const struct policy_ops *policy)
{
	atomic_init(&s->policy, policy);
	settle(s, policy);
}

const struct policy_ops *store_running_policy(const struct store *s)
{
	return running_policy(s);
}

bool store_change_policy(struct store_thread *st, const struct policy_ops *policy)
{
	struct store *s = st->store;
	struct policy_switch *ps = &s->policy_switch;

	if (!s->options.policy_may_change || !s->options.evict || ps->phase != SWITCH_NONE)
		return false;
	if (policy == running_policy(s))
		return true;
	atomic_fetch_add_explicit(&s->policy_changes, 1, memory_order_relaxed);
	if (policy->hit)
		atomic_store_explicit(&s->wants_hits, true, memory_order_relaxed);
	atomic_store_explicit(&s->settled, NULL, memory_order_release);
	atomic_store_explicit(&s->policy, policy, memory_order_relaxed);
	ps->phase = SWITCH_GRACE;
	ps->stamp = epoch_stamp(&s->epoch);
	epoch_advance(&s->epoch);
	return true;
}

static void begin_queues(struct store *s)
{
	for (unsigned i = 1; i <= s->slab.class_count; i++) {
		struct slab_class *sc = &s->slab.classes[i];

		lock_acquire(&sc->lock);
		count_links(s, sc);
		slab_begin_queue(&s->slab, sc, running_policy(s));
		lock_release(&sc->lock);
	}
}

enum page_change { PAGE_STAYS, PAGE_CHANGED, PAGE_REFUSED };

static enum page_change change_page(struct store *s, uint32_t number)
{
	struct page *pg = &s->slab.pages[number];
	struct slab_class *sc = &s->slab.classes[page_class_index(pg)];
	enum page_change change = PAGE_STAYS;

	if (atomic_load_explicit(&pg->state, memory_order_acquire) == PAGE_FREE)
		return PAGE_STAYS;
	lock_acquire(&sc->lock);
	if (pg->state != PAGE_FREE && page_class_index(pg) == sc->index && pg->queue != sc->present)
		change = slab_change_queue(&s->slab, sc, number) ? PAGE_CHANGED : PAGE_REFUSED;
	lock_release(&sc->lock);
	return change;
}

/* All pages of all classes changed? Only then, or a page that changed class meanwhile was missed. */
static bool end_queues(struct store *s)
{
	for (unsigned i = 1; i <= s->slab.class_count; i++) {
		struct slab_class *sc = &s->slab.classes[i];

		lock_acquire(&sc->lock);
		bool left = sc->former_pages > 0;

		if (!left)
			slab_end_queue(sc);
		lock_release(&sc->lock);
		if (left)
			return false;
	}
	return true;
}

enum pages_change { PAGES_SEEN, PAGES_MORE, PAGES_WAIT };

static enum pages_change change_pages(struct store_thread *st, struct policy_switch *ps)
{
	struct store *s = st->store;
	unsigned changed = 0;

	for (unsigned i = 0; i < PAGES_LOOKED && changed < PAGES_STEP; i++) {
		if (ps->page >= slab_page_end(&s->slab))
			return PAGES_SEEN;
		switch (change_page(s, ps->page)) {
		case PAGE_REFUSED:
			/* Its side bytes need room; the same page again in the next slice. */
			return release_page(st, NULL) ? PAGES_MORE : PAGES_WAIT;
		case PAGE_CHANGED:
			changed++;
			break;
		case PAGE_STAYS:
			break;
		}
		ps->page++;
	}
	return PAGES_MORE;
}

bool switch_step(struct store_thread *st)
{
	struct store *s = st->store;
	struct policy_switch *ps = &s->policy_switch;
	enum pages_change change;

	switch (ps->phase) {
	case SWITCH_NONE:
		return false;
	case SWITCH_GRACE:
		quiesce(st);
		if (epoch_min(&s->epoch) <= ps->stamp)
			return true;
		begin_queues(s);
		ps->phase = SWITCH_PAGES;
		ps->page = 1;
		return true;
	case SWITCH_PAGES:
		change = change_pages(st, ps);
		if (change != PAGES_SEEN)
			return change == PAGES_MORE;
		ps->page = 1;
		if (!end_queues(s))
			return true;
		ps->phase = SWITCH_NONE;
		settle(s, running_policy(s));
		curve_change_policy(s, running_policy(s));
		return false;
	}
	return false;
}
