/*
 * slab.h: the arena, its pages, and the size classes that carve them into chunks.
 *
 *   arena:  | page 0: never used | page 1 | page 2 | ...        reserved once, filled as needed
 *   page:   | chunk | chunk | ... | policy side bytes | state and age bytes |
 *   expiry: a second region with one stretch a page, 4 bytes a chunk, resident only for pages
 *           that hold an item with an expiry
 *   sides:  where policies may change, a third one for their side bytes, of which the pages then have none:
 *           resident only under policies that have some
 *
 * A page is charged to the budget when it is taken and dropped (given back to the system) when its
 * last chunk is free and another page of its class has room. Free chunks are kept per page, so that
 * an empty page is noticed at once; chunks are first handed out in order, so that a fresh page is
 * touched only as far as it is used.
 *
 * Locks: a class's lock guards its page lists, its policy queue and the allocation state of its
 * pages; the arena's lock guards the list of free pages. Class before arena.
 */
#ifndef LARDER_SLAB_H
#define LARDER_SLAB_H

#include <stdatomic.h>

#include "eviction/policy.h"
#include "store/base/base.h"
#include "store/base/lock.h"
#include "store/base/region.h"
#include "store/budget.h"
#include "store/item.h"

#define SLAB_CLASS_MAX 192
#define PAGE_NONE 0u
#define CHUNK_MIN_BYTES 24u
#define CHUNK_STEP_BYTES 8u

/* Age byte of a chunk: idle time since the last access, in steps that grow; see age_seconds. */
#define AGE_MAX 255u

enum page_state {
	PAGE_FREE,     /* not in any class */
	PAGE_ACTIVE,   /* chunks are handed out */
	PAGE_DRAINING, /* being emptied: what is freed stays free until the page is */
};

struct page {
	_Atomic uint8_t class_index; /* const while a chunk of the page is in use */
	_Atomic uint8_t state;       /* under the class's lock; read anywhere */
	_Atomic uint8_t has_expiry;  /* the page's expiry stretch is charged and valid */
	bool listed;                 /* in its class's partial list; under the class's lock */
	uint16_t used_count;         /* chunks handed out; under the class's lock */
	uint16_t fresh_index;        /* chunks from here on were never handed out */
	uint16_t free_plus_one;      /* first of the free list */
	uint8_t queue;               /* of its class's two, see there */
	uint32_t newer;              /* partial list, or the arena's free list */
	uint32_t older;
	uint32_t generation_seed;    /* of the first use of every chunk */
	_Atomic uint32_t min_expiry; /* no chunk expires before it; 0: none does */
	/* relaxed, written with the item's bucket locked or the block's lock held; see reference.h */
	_Atomic uint16_t referring_count; /* items with references */
	_Atomic uint16_t held_count;      /* chunks of items that must not be evicted */
};

struct slab_class {
	/* const after init */
	struct chunk_space space;
	uint32_t chunk_bytes;
	uint32_t chunks_per_page;
	uint32_t expiry_bytes; /* of one page's expiry stretch, whole OS pages */
	uint8_t index;
	bool big; /* items have the big header */
	/* under lock */
	_Alignas(CACHE_LINE_BYTES) struct lock lock;
	uint32_t partial_head;
	uint32_t partial_tail;
	_Atomic uint32_t page_count; /* read without it by who looks for a donor */
	uint32_t partial_count;
	uint64_t used_chunks;
	/* Pages that are taken join the present one. The other is idle, but for pages that have not changed
	 * to it yet while another policy takes over (switch.c). */
	struct policy_queue queues[2];
	uint8_t present;
	uint32_t former_pages; /* in the other */
	/* atomic; of late: what was evicted, and what of it was stored again while it was a ghost */
	_Alignas(CACHE_LINE_BYTES) _Atomic uint32_t evictions;
	_Atomic uint32_t refaults;
};

struct slab_options {
	uint64_t limit_max_bytes;
	uint32_t page_bytes;      /* a power of two */
	uint32_t chunk_min_bytes;
	double growth_factor;
	const struct policy_ops *policy;
	bool policy_may_change;       /* then side bytes lie apart from the pages */
	struct policy_shared *shared; /* outlives the slab */
};

struct slab {
	/* const after init */
	struct region arena;
	struct region expiry;
	struct region sides; /* reserved if the policy may change */
	struct region page_table;
	struct page *pages;
	struct budget *budget;
	struct policy_shared *shared;
	uint32_t page_limit;    /* page numbers are below it */
	uint32_t page_bytes;
	uint32_t expiry_stride; /* bytes of address space of one page's expiry stretch */
	uint32_t sides_stride;  /* the same of side bytes; 0: they lie in the pages */
	uint8_t page_shift;
	uint8_t reference_shift;
	uint8_t class_count;    /* classes are 1 .. class_count */
	uint32_t chunk_max_bytes;
	uint8_t cas_shift;
	uint8_t class_of_step[CHUNK_SMALL_MAX / CHUNK_STEP_BYTES + 1];
	/* under arena_lock */
	_Alignas(CACHE_LINE_BYTES) struct lock arena_lock;
	uint32_t free_head;
	uint32_t free_count;
	_Atomic uint32_t fresh_page; /* pages from here on were never used */
	uint32_t table_charged_bytes;
	_Atomic uint64_t pages_in_use;
	struct slab_class classes[SLAB_CLASS_MAX];
};

enum status slab_init(struct slab *sl, const struct slab_options *options, struct budget *budget);
void slab_fini(struct slab *sl);

/* slab_collapse: makes a huge page of the stretch of the arena, see region_collapse; any thread. */
bool slab_collapse(struct slab *sl, size_t stretch, bool *refused);

/* ---- naming chunks: any thread, no lock ---- */

static inline void *slab_chunk(const struct slab *sl, uint32_t reference)
{
	return sl->arena.base + ((size_t)reference << sl->reference_shift);
}

static inline uint32_t slab_page_number(const struct slab *sl, uint32_t reference)
{
	return (uint32_t)(((size_t)reference << sl->reference_shift) >> sl->page_shift);
}

static inline struct page *slab_page(const struct slab *sl, uint32_t reference)
{
	return &sl->pages[slab_page_number(sl, reference)];
}

static inline uint8_t page_class_index(const struct page *pg)
{
	/* relaxed: a reference that is safe to use was published after the class was set */
	return atomic_load_explicit(&pg->class_index, memory_order_relaxed);
}

static inline struct slab_class *slab_class_of(const struct slab *sl, uint32_t reference)
{
	return (struct slab_class *)&sl->classes[page_class_index(slab_page(sl, reference))];
}

static inline uint32_t slab_reference(const struct slab_class *sc, uint32_t page_number,
                                      uint32_t chunk_index)
{
	return space_reference(&sc->space, page_number, chunk_index);
}

/* Side bytes. Relaxed: each is a hint of its own, nothing else is read through it. */
static inline _Atomic uint8_t *slab_state(const struct slab_class *sc, uint32_t reference)
{
	return space_state(&sc->space, reference);
}

static inline _Atomic uint8_t *slab_age(const struct slab_class *sc, uint32_t reference)
{
	return space_age(&sc->space, reference);
}

static inline _Atomic uint32_t *slab_expiry(const struct slab *sl, const struct slab_class *sc,
                                            uint32_t reference)
{
	uint32_t *stretch = (uint32_t *)(sl->expiry.base + (size_t)slab_page_number(sl, reference) *
	                                                           sl->expiry_stride);

	return (_Atomic uint32_t *)(stretch + space_chunk_index(&sc->space, reference));
}

static inline bool page_has_expiry(const struct page *pg)
{
	/* acquire: pairs with the release in slab_set_expiry that made the stretch valid */
	return atomic_load_explicit(&((struct page *)pg)->has_expiry, memory_order_acquire) != 0;
}

/* slab_get_expiry: EXPIRY_NEVER (0) for pages where nothing expires. */
static inline uint32_t slab_get_expiry(const struct slab *sl, const struct slab_class *sc,
                                       uint32_t reference)
{
	if (!page_has_expiry(slab_page(sl, reference)))
		return 0;
	return atomic_load_explicit(slab_expiry(sl, sc, reference), memory_order_relaxed);
}

/* slab_set_expiry: false when the budget has no room for the page's stretch. Call it only for a
 * chunk that is in use. Setting 0 never fails. */
bool slab_set_expiry(struct slab *sl, struct slab_class *sc, uint32_t reference, uint32_t expiry);

void page_lower_min_expiry(struct page *pg, uint32_t expiry);

/* slab_queue: of the chunk's page; under the class's lock. */
static inline struct policy_queue *slab_queue(const struct slab *sl, struct slab_class *sc, uint32_t reference)
{
	return &sc->queues[slab_page(sl, reference)->queue];
}

/* class_queue: the one whose items go first. What is still in a former queue does, as long as there is any. */
static inline struct policy_queue *class_queue(struct slab_class *sc)
{
	struct policy_queue *former = &sc->queues[!sc->present];

	return unlikely(sc->former_pages > 0) && former->count > 0 ? former : &sc->queues[sc->present];
}

/* slab_class_for: the smallest class whose chunks hold so many bytes, NULL when none does. */
struct slab_class *slab_class_for(struct slab *sl, uint64_t bytes);

/* CAS unique of a chunk's present use. Unique for the key: a key never returns to the same chunk
 * with the same generation within 2^22 uses of that chunk. Below 2^53 for arenas up to 4 GB, since
 * some clients keep it in a double. */
static inline uint64_t slab_cas(const struct slab *sl, uint32_t reference, uint32_t generation)
{
	return ((uint64_t)generation << sl->cas_shift) | reference;
}

/* ---- handing out: under the class's lock ---- */

/* slab_take: up to `want` chunks; opens a new page if `may_grow` and the budget has one. */
unsigned slab_take(struct slab *sl, struct slab_class *sc, uint32_t *references, unsigned want,
                   bool may_grow) REQUIRES(sc->lock);
/* slab_put: the chunk is nobody's; unlinks it from the policy's queue. May drop its page. */
void slab_put(struct slab *sl, struct slab_class *sc, uint32_t reference) REQUIRES(sc->lock);
/* slab_drain: no chunk of the page is handed out any more; when the last one is put it is dropped.
 * False if the page is not an active page of the class. */
bool slab_drain(struct slab *sl, struct slab_class *sc, uint32_t page_number) REQUIRES(sc->lock);
/* slab_undrain: the page could not be emptied; it serves again. */
void slab_undrain(struct slab *sl, struct slab_class *sc, uint32_t page_number) REQUIRES(sc->lock);

/* slab_begin_queue: another policy, for pages that are taken from here on; no former pages are left.
 * slab_change_queue: a page of the former queue joins the present one, with what is linked of it. False when the
 * budget has no room for its side bytes. slab_end_queue: no former pages are left; the queue is gone. */
void slab_begin_queue(struct slab *sl, struct slab_class *sc, const struct policy_ops *policy) REQUIRES(sc->lock);
bool slab_change_queue(struct slab *sl, struct slab_class *sc, uint32_t page_number) REQUIRES(sc->lock);
void slab_end_queue(struct slab_class *sc) REQUIRES(sc->lock);

/* slab_begin_use: gives a taken chunk its next generation and makes it DETACHED. */
void slab_begin_use(struct slab *sl, struct slab_class *sc, uint32_t reference);

/* ---- ages ---- */

/* Seconds that an age byte stands for: exact to 64, then steps of 8, 64 and 1024 seconds. */
uint32_t age_seconds(uint8_t age);
/* age_advance: one second passed for the first `count` chunks of a page whose states and ages are in
 * `area`; `tick` numbers the seconds. Under the class's lock, which keeps the page its own. */
void age_advance(_Atomic uint8_t *area, uint32_t count, uint32_t tick);

uint32_t slab_pages_in_use(const struct slab *sl);
/* One past the highest page number ever used. */
uint32_t slab_page_end(const struct slab *sl);

void slab_check(struct slab *sl);

#endif
