/*
 * policy.h: the seam between the store and what decides who leaves.
 *
 * A policy orders the chunks of one size class. It knows chunks by their reference and keeps what
 * it needs in four bits of each chunk's state and, if that is not enough, in side bytes that lie
 * beside the chunks; all are zeros when a page is laid out. It never sees an item. One queue a size
 * class (two while another policy takes over, page by page):
 *
 *   insert   a chunk was filled and published          (may be called again for a linked chunk)
 *   hit      it was read                               (absent: the state byte's count is enough)
 *   remove   its item is gone, or it is being reused   (harmless for a chunk not linked)
 *   victims  name up to `max` chunks to evict, with VICTIM_PROVEN; they leave the queue
 *   oldest   the next victim, without taking it
 *
 * and, for policies that walk the pages, page_add and page_remove. All are called under the class's
 * lock. Inserts and hits reach the queue through per-thread rings, drained before victims are chosen.
 *
 * Reads are counted beside each chunk, in its state byte, by whoever reads: up to STATE_READS_MAX,
 * without a lock. Policies that look at that count (counts_reads) need no `hit`, and then a hit of an
 * item whose count is full writes nothing at all.
 *
 * What all queues of one cache share (memory, ghosts, what was learned) is in struct policy_shared.
 * Keys come in there: `recall` when one is stored that was absent, `bury` when one was evicted. A key
 * that recall knows as unproven, or whose former item was proven, is stored with STATE_PROVEN set.
 */
#ifndef LARDER_POLICY_H
#define LARDER_POLICY_H

#include <stdatomic.h>

#include "eviction/fifo.h"
#include "eviction/ghost.h"
#include "store/base/base.h"

/*
 * State byte of a chunk:  | policy's own 4 | proven 1 | reads 2 | fetched 1 |
 *
 * The policy's bits are changed under the class's lock (but see direct_link), the others by any thread
 * without one, so every change is one atomic step that leaves the rest alone (state_change).
 */
#define STATE_FETCHED 0x01u     /* hit since it was stored */
#define STATE_READS_SHIFT 1
#define STATE_READS (0x03u << STATE_READS_SHIFT)
#define STATE_READS_MAX 3u
#define STATE_PROVEN 0x08u      /* see above; set before it is published, never after */
#define STATE_OF_USE 0x0fu      /* all that begins anew with each use of the chunk */
#define STATE_OF_POLICY 0xf0u

#define STATE_GROUP 32u /* states, then as many ages, in one cache line */

/* On a reference that `victims` names: tell `bury` that it was proven. */
#define VICTIM_PROVEN 0x80000000u

/* Where a page stands in the circle of pages of its queue. */
struct page_link {
	uint32_t previous;
	uint32_t next;
	_Atomic uint32_t owner; /* space.owner of the queue, 0: none; others' are read without a lock */
};

/*
 * Where chunks and their side bytes are.
 *
 *   page:  | chunk 0 | chunk 1 | ... | side 0 | side 1 | ... | 32 states, 32 ages | 32 states, 32 ages | ... |
 *
 * The sides may lie apart instead, so that pages look the same under every policy.
 *
 * States and ages are in lines of their own, so that ages can be swept by vectors: nobody but their
 * owners writes to states.
 *
 * reference = (address - arena) >> reference_shift. Page 0 is never used, so that 0 names nothing.
 */
struct chunk_space {
	char *arena;
	uint32_t chunk_bytes;
	char *sides;              /* the policy's array of page 0 */
	uint32_t side_stride;     /* from one page's to the next one's */
	uint32_t side_bytes;      /* of a chunk, 0: there is no array */
	uint32_t state_offset;    /* a multiple of a cache line */
	uint32_t chunks_per_page;
	uint32_t owner;           /* number of the class, not 0 */
	uint64_t reciprocal;      /* of chunk_bytes, see chunk_index */
	uint8_t reference_shift;
	uint8_t page_shift;
};

/* 2^45 / d rounded up: exact at the edges of every chunk, which slab_init asserts. */
#define RECIPROCAL_SHIFT 45
static inline uint64_t chunk_reciprocal(uint32_t chunk_bytes)
{
	return ((1ULL << RECIPROCAL_SHIFT) + chunk_bytes - 1) / chunk_bytes;
}

static inline size_t space_offset(const struct chunk_space *sp, uint32_t reference)
{
	return (size_t)reference << sp->reference_shift;
}

/* Number of the chunk within its page. */
static inline uint32_t space_chunk_index(const struct chunk_space *sp, uint32_t reference)
{
	uint64_t in_page = space_offset(sp, reference) & ((1ULL << sp->page_shift) - 1);

	return (uint32_t)((in_page * sp->reciprocal) >> RECIPROCAL_SHIFT);
}

static inline char *space_page(const struct chunk_space *sp, uint32_t reference)
{
	return sp->arena + ALIGN_DOWN(space_offset(sp, reference), (size_t)1 << sp->page_shift);
}

static inline uint32_t space_page_number(const struct chunk_space *sp, uint32_t reference)
{
	return (uint32_t)(space_offset(sp, reference) >> sp->page_shift);
}

static inline void *space_side(const struct chunk_space *sp, uint32_t reference)
{
	return sp->sides + (size_t)space_page_number(sp, reference) * sp->side_stride +
	       (size_t)space_chunk_index(sp, reference) * sp->side_bytes;
}

static inline uint32_t space_reference(const struct chunk_space *sp, uint32_t page_number,
                                       uint32_t chunk_index)
{
	size_t offset = ((size_t)page_number << sp->page_shift) + (size_t)chunk_index * sp->chunk_bytes;

	return (uint32_t)(offset >> sp->reference_shift);
}

/* Bytes that the states and ages of so many chunks take. */
static inline uint32_t state_area_bytes(uint32_t chunks)
{
	uint32_t rest = chunks % STATE_GROUP;

	return chunks / STATE_GROUP * 2 * STATE_GROUP + (rest ? STATE_GROUP + rest : 0);
}

static inline _Atomic uint8_t *space_state(const struct chunk_space *sp, uint32_t reference)
{
	uint32_t index = space_chunk_index(sp, reference);

	return (_Atomic uint8_t *)(space_page(sp, reference) + sp->state_offset + index +
	                           ALIGN_DOWN(index, STATE_GROUP));
}

/* The age byte is the store's; it lies in the line of the state, since a hit looks at both. */
static inline _Atomic uint8_t *space_age(const struct chunk_space *sp, uint32_t reference)
{
	return space_state(sp, reference) + STATE_GROUP;
}

static inline uint8_t state_get(const struct chunk_space *sp, uint32_t reference)
{
	return atomic_load_explicit(space_state(sp, reference), memory_order_relaxed);
}

static inline void state_change(const struct chunk_space *sp, uint32_t reference, unsigned clear,
                                unsigned set)
{
	_Atomic uint8_t *state = space_state(sp, reference);
	uint8_t value = atomic_load_explicit(state, memory_order_relaxed);
	uint8_t wanted;

	do {
		wanted = (uint8_t)((value & ~clear) | set);
	} while (wanted != value &&
	         !atomic_compare_exchange_weak_explicit(state, &value, wanted, memory_order_relaxed,
	                                                memory_order_relaxed));
}

/* Clears the bits; returns those of them that were set, to one caller only. */
static inline uint8_t state_take(const struct chunk_space *sp, uint32_t reference, uint8_t bits)
{
	return atomic_fetch_and_explicit(space_state(sp, reference), (uint8_t)~bits, memory_order_relaxed) &
	       bits;
}

/* Sets the bit; true for the one caller that did. */
static inline bool state_give(const struct chunk_space *sp, uint32_t reference, uint8_t bit)
{
	return !(atomic_fetch_or_explicit(space_state(sp, reference), bit, memory_order_relaxed) & bit);
}

static inline unsigned state_reads(uint8_t state)
{
	return (state & STATE_READS) >> STATE_READS_SHIFT;
}

/* state_after_read: what a hit makes of the byte; the same once it is saturated. */
static inline uint8_t state_after_read(uint8_t state)
{
	if ((state & STATE_READS) != STATE_READS)
		state = (uint8_t)(state + (1u << STATE_READS_SHIFT));
	return state | STATE_FETCHED;
}

struct policy_ops;

/* The hash of the key in a chunk that is linked; asked by policies that count keys' uses. */
typedef uint64_t policy_hash_of(void *context, uint32_t reference);

/* What the queues of one cache have in common. */
struct policy_shared {
	/* const after init */
	struct region page_links; /* struct page_link by page number; of policies with page_add */
	struct policy_memory memory;
	policy_hash_of *hash_of;
	struct fifo_pool fifos;
	/* atomic or with locks of their own */
	struct ghost_table ghosts;
	struct line_table frequencies; /* tinylfu */
	_Atomic uint32_t small_share; /* s3fifo: of the small queue, SHARE_ONE is all */
	_Atomic uint32_t buried[2];   /* s3fifo: a sample of the ghosts, unproven and proven */
};

#define SHARE_ONE (1u << 30)

/* Chunks linked through their side bytes (list.h). */
struct chunk_list {
	uint32_t head; /* newest, 0: the list is empty */
	uint32_t tail;
	int64_t count;
};

/* A place in the circle of pages. */
struct chunk_hand {
	uint32_t page;  /* 0: the queue has no page */
	uint32_t index; /* next chunk to look at */
};

struct policy_queue {
	const struct policy_ops *ops;
	struct policy_shared *shared;
	struct chunk_space space;
	int64_t count; /* linked chunks */
	union {
		struct {
			struct chunk_list list; /* by last use */
		} lru;
		struct {
			struct chunk_list probation;
			struct chunk_list protect;
		} slru;
		struct {
			struct chunk_list list; /* by insertion */
			uint32_t hand;          /* 0: begins at the tail */
		} sieve;
		struct {
			struct chunk_hand hand;
			uint32_t page_count;
		} clock;
		struct {
			struct chunk_list window;
			struct chunk_list probation;
			struct chunk_list protect;
			double window_share;
			double step;      /* of the climb, signed */
			double last_rate; /* of hits */
			uint64_t hits;    /* since the last step */
			uint64_t requests;
			bool full;        /* something was evicted */
			uint32_t owed;    /* chunks that were evicted and did not come back yet */
		} tinylfu;
		struct {
			struct fifo small;
			size_t small_count;  /* linked in the small queue */
			bool starved;        /* an entry was refused for lack of memory, and none made since */
			struct chunk_hand hand;
			uint32_t page_count;
		} s3fifo;
	} u;
};

struct policy_ops {
	const char *name;
	const char *summary;
	uint32_t side_bytes;
	bool counts_reads;     /* wants the count in the state byte */
	bool counts_keys;      /* asks for hashes, and has frequencies */
	uint32_t ghost_percent; /* ghosts for each 100 chunks, 0: none */
	uint8_t proven_states;  /* the state bits of which any says that the chunk is proven */
	void (*init)(struct policy_queue *q);
	void (*insert)(struct policy_queue *q, uint32_t reference);
	void (*hit)(struct policy_queue *q, uint32_t reference);
	/* May be absent. Fetches what insert or hit of this chunk will touch beyond its own side bytes;
	 * called without the lock, on chunks of any state. */
	void (*prefetch)(const struct policy_queue *q, uint32_t reference);
	void (*remove)(struct policy_queue *q, uint32_t reference);
	/* May be absent. The item of a linked chunk now lies in another, which takes its place in the order;
	 * without it the new chunk is inserted and the old one removed. */
	void (*move)(struct policy_queue *q, uint32_t to, uint32_t from);
	unsigned (*victims)(struct policy_queue *q, uint32_t *references, unsigned max);
	uint32_t (*oldest)(struct policy_queue *q);
	bool (*linked)(const struct policy_queue *q, uint32_t reference);
	void (*check)(const struct policy_queue *q);
	/*
	 * Of policies to which a chunk is linked by one bit of its state: who publishes a proven chunk may
	 * set direct_link, and who frees a chunk may clear it unless one of locked_links is set, both
	 * without the lock (state_give and state_take say who did). The store adds to the
	 * queue's count, under the lock, by how many the linked chunks changed; until it did the count may
	 * be less than what is linked, and even below zero. Zeros: chunks are inserted and removed.
	 */
	uint8_t direct_link;
	uint8_t locked_links;
	/* Both or none: the page's side bytes are zeros, before and after. */
	void (*page_add)(struct policy_queue *q, uint32_t page_number);
	void (*page_remove)(struct policy_queue *q, uint32_t page_number);
	/* The rest: any thread, no lock; may be absent. */
	/* recall: is this key, just stored, one that was evicted of late? Learns from the answer. One that
	 * left unproven is stored as proven. */
	enum ghost_origin (*recall)(struct policy_shared *sh, uint64_t hash);
	/* bury: a key was evicted; proven as its state said, or as its victim was. */
	void (*bury)(struct policy_shared *sh, uint64_t hash, bool proven);
};

/* policy_shared_init: for queues of this policy, NULL: of any. Chunk references are below references_max,
 * pages below page_limit; both bound address space only. hash_of is called with memory's context. */
enum status policy_shared_init(struct policy_shared *sh, const struct policy_ops *ops,
                               const struct policy_memory *memory, policy_hash_of *hash_of,
                               uint64_t references_max, uint32_t page_limit);
void policy_shared_fini(struct policy_shared *sh);
/* policy_shared_feed: what queues, ghosts and frequencies were refused, or may soon want, is taken now. False:
 * memory is refused, and somebody is to make room. Any thread. */
bool policy_shared_feed(struct policy_shared *sh);

static inline void policy_queue_init(struct policy_queue *q, const struct policy_ops *ops,
                                     struct policy_shared *shared, const struct chunk_space *space)
{
	*q = (struct policy_queue){ .ops = ops, .shared = shared, .space = *space };
	q->ops->init(q);
}

static inline uint64_t policy_hash(const struct policy_queue *q, uint32_t reference)
{
	return q->shared->hash_of(q->shared->memory.context, reference);
}

/* ---- the circle of pages, for policies that walk it ---- */

static inline struct page_link *page_link_at(const struct policy_shared *sh, uint32_t page_number)
{
	return (struct page_link *)sh->page_links.base + page_number;
}

/* page_circle_add: behind the page `*hand`, so that the hand comes to it last; page_circle_remove
 * moves a hand that stands on the page to the next one, or to 0. */
void page_circle_add(struct policy_queue *q, uint32_t *hand, uint32_t page_number);
void page_circle_remove(struct policy_queue *q, uint32_t *hand, uint32_t page_number);

static inline uint32_t hand_at(const struct policy_queue *q, const struct chunk_hand *hand)
{
	return space_reference(&q->space, hand->page, hand->index);
}

/* The chunk at the hand, which then moves on; the circle is not empty. */
static inline uint32_t hand_take(const struct policy_queue *q, struct chunk_hand *hand)
{
	uint32_t reference = hand_at(q, hand);

	if (++hand->index == q->space.chunks_per_page) {
		hand->index = 0;
		hand->page = page_link_at(q->shared, hand->page)->next;
	}
	return reference;
}

/* The page leaves the circle; a hand that stands on it goes to the next. */
static inline void hand_leave(struct policy_queue *q, struct chunk_hand *hand, uint32_t page_number)
{
	if (hand->page == page_number)
		hand->index = 0;
	page_circle_remove(q, &hand->page, page_number);
}

extern const struct policy_ops policy_clock;
extern const struct policy_ops policy_lru;
extern const struct policy_ops policy_s3fifo;
extern const struct policy_ops policy_sieve;
extern const struct policy_ops policy_slru;
extern const struct policy_ops policy_tinylfu;

/* NULL when there is none of that name. */
const struct policy_ops *policy_find(const char *name);
/* The i-th policy, NULL past the last; the first is the default. */
const struct policy_ops *policy_at(unsigned i);

#endif
