/* test_s3fifo.c: S3-FIFO beside a naive model of it, what its share learns, pages that come and go. */
#include <criterion/criterion.h>
#include <string.h>

#include "eviction/policy.h"
#include "tests/support/random.h"

#define CHUNK_BYTES 32u
#define CHUNKS 50u /* of a page */
#define PAGES 3u
#define ALL (CHUNKS * PAGES)
#define PAGE_SHIFT 14u

enum place { NOWHERE, SMALL, MAIN };

struct entry {
	unsigned chunk;
	bool again;
};

/* The model: a list for the small queue with the entries of removed chunks still in it. */
struct naive {
	struct entry small[2 * ALL];
	unsigned small_length;
	enum place place[ALL];
	bool queued[ALL];
	unsigned hand;
};

struct bench {
	char *arena;
	uint64_t taken_bytes;
	bool refuse;
	struct policy_shared shared;
	struct policy_queue queue;
	struct naive naive;
};

static bool take_bytes(void *context, uint64_t bytes)
{
	struct bench *b = context;

	if (b->refuse)
		return false;
	b->taken_bytes += bytes;
	return true;
}

static void give_bytes(void *context, uint64_t bytes)
{
	struct bench *b = context;

	cr_assert_geq(b->taken_bytes, bytes);
	b->taken_bytes -= bytes;
}

static uint32_t reference_of(const struct bench *b, unsigned i)
{
	return space_reference(&b->queue.space, 1 + i / CHUNKS, i % CHUNKS);
}

static unsigned chunk_of(const struct bench *b, uint32_t reference)
{
	return (space_page_number(&b->queue.space, reference) - 1) * CHUNKS +
	       space_chunk_index(&b->queue.space, reference);
}

static void bench_init(struct bench *b)
{
	struct chunk_space space = {
		.chunk_bytes = CHUNK_BYTES,
		.side_stride = 1u << PAGE_SHIFT,
		.side_bytes = policy_s3fifo.side_bytes,
		.state_offset = ALIGN_UP(CHUNKS * (CHUNK_BYTES + policy_s3fifo.side_bytes), CACHE_LINE_BYTES),
		.chunks_per_page = CHUNKS,
		.owner = 7,
		.reciprocal = chunk_reciprocal(CHUNK_BYTES),
		.reference_shift = 3,
		.page_shift = PAGE_SHIFT,
	};
	struct policy_memory memory = { take_bytes, give_bytes, b };

	memset(b, 0, sizeof(*b));
	space.arena = b->arena = calloc(PAGES + 1, 1u << PAGE_SHIFT);
	space.sides = b->arena + CHUNKS * CHUNK_BYTES;
	cr_assert_eq(policy_shared_init(&b->shared, &policy_s3fifo, &memory, NULL, 1u << 16, 16), STATUS_OK);
	policy_queue_init(&b->queue, &policy_s3fifo, &b->shared, &space);
	for (unsigned page = 1; page <= PAGES; page++)
		policy_s3fifo.page_add(&b->queue, page);
}

/* All pages go, and with them all memory. */
static void bench_fini(struct bench *b)
{
	for (unsigned i = 0; i < ALL; i++)
		policy_s3fifo.remove(&b->queue, reference_of(b, i));
	for (unsigned page = 1; page <= PAGES; page++)
		policy_s3fifo.page_remove(&b->queue, page);
	/* What is left charged is the pool's table of links. */
	cr_assert_leq(b->taken_bytes, OS_PAGE_BYTES);
	policy_shared_fini(&b->shared);
	free(b->arena);
}

static uint8_t *state_of(struct bench *b, unsigned i)
{
	return (uint8_t *)space_state(&b->queue.space, reference_of(b, i));
}

static void set_state(struct bench *b, unsigned i, unsigned state)
{
	state_change(&b->queue.space, reference_of(b, i), STATE_OF_USE, state);
}

static unsigned naive_count(const struct naive *n, enum place place)
{
	unsigned count = 0;

	for (unsigned i = 0; i < ALL; i++)
		count += n->place[i] == place;
	return count;
}

static void naive_append(struct naive *n, unsigned i)
{
	n->small[n->small_length++] = (struct entry){ i, false };
	n->queued[i] = true;
}

static struct entry naive_pop(struct naive *n)
{
	struct entry first = n->small[0];

	memmove(n->small, n->small + 1, --n->small_length * sizeof(n->small[0]));
	n->queued[first.chunk] = false;
	return first;
}

static void naive_insert(struct naive *n, unsigned i, bool proven)
{
	if (n->place[i] != NOWHERE)
		return;
	n->place[i] = proven ? MAIN : SMALL;
	if (proven)
		return;
	if (!n->queued[i]) {
		naive_append(n, i);
		return;
	}
	for (unsigned k = 0; k < n->small_length; k++)
		if (n->small[k].chunk == i)
			n->small[k].again = true;
}

static void naive_remove(struct naive *n, unsigned i)
{
	n->place[i] = NOWHERE;
	for (unsigned k = 0; k < n->small_length; k++)
		if (n->small[k].chunk == i)
			n->small[k].again = false;
}

/* One step of either queue: a victim, or -1. */
static int naive_step(struct bench *b, uint64_t share)
{
	struct naive *n = &b->naive;
	unsigned small = naive_count(n, SMALL), large = naive_count(n, MAIN);

	if (small && (!large || small > (small + large) * share / SHARE_ONE)) {
		struct entry first = naive_pop(n);

		if (n->place[first.chunk] != SMALL)
			return -1;
		if (first.again) {
			naive_append(n, first.chunk);
			return -1;
		}
		if (state_reads(*state_of(b, first.chunk)) == 0) {
			n->place[first.chunk] = NOWHERE;
			return (int)first.chunk;
		}
		*state_of(b, first.chunk) &= (uint8_t)~STATE_READS;
		n->place[first.chunk] = MAIN;
		return -1;
	}
	unsigned i = n->hand;

	n->hand = (n->hand + 1) % ALL;
	if (n->place[i] != MAIN)
		return -1;
	if (state_reads(*state_of(b, i)) == 0) {
		n->place[i] = NOWHERE;
		return (int)i;
	}
	*state_of(b, i) = (uint8_t)(*state_of(b, i) - (1u << STATE_READS_SHIFT));
	return -1;
}

static void take_victims(struct bench *b, unsigned wanted)
{
	uint32_t victims[ALL];
	uint8_t states[ALL];
	unsigned n = 0;

	/* Both change the counts of reads: the model first, then from the same counts again. */
	for (unsigned i = 0; i < ALL; i++)
		states[i] = *state_of(b, i);
	int expected[ALL];

	while (n < wanted && naive_count(&b->naive, NOWHERE) < ALL) {
		int victim = naive_step(b, b->shared.small_share);

		if (victim >= 0)
			expected[n++] = victim;
	}
	for (unsigned i = 0; i < ALL; i++)
		*state_of(b, i) = (uint8_t)((*state_of(b, i) & STATE_OF_POLICY) | (states[i] & STATE_OF_USE));
	cr_assert_eq(policy_s3fifo.victims(&b->queue, victims, wanted), n);
	for (unsigned i = 0; i < n; i++)
		cr_assert_eq(chunk_of(b, victims[i] & ~VICTIM_PROVEN), (unsigned)expected[i]);
}

Test(s3fifo, evicts_what_a_naive_model_evicts)
{
	struct test_random r = { test_seed(20261121) };
	static struct bench b;

	bench_init(&b);
	for (unsigned step = 0; step < 100000; step++) {
		unsigned i = test_random_below(&r, ALL);
		uint32_t reference = reference_of(&b, i);
		bool proven = test_random_below(&r, 5) == 0;

		switch (test_random_below(&r, 8)) {
		case 0:
		case 1:
		case 2:
			if (b.naive.place[i] == NOWHERE)
				set_state(&b, i, proven ? STATE_PROVEN : 0);
			policy_s3fifo.insert(&b.queue, reference);
			naive_insert(&b.naive, i, proven);
			break;
		case 3:
			policy_s3fifo.remove(&b.queue, reference);
			naive_remove(&b.naive, i);
			break;
		case 4:
			take_victims(&b, test_random_below(&r, 4));
			break;
		case 5:
			b.shared.small_share = test_random_below(&r, SHARE_ONE);
			break;
		default:
			*state_of(&b, i) = state_after_read(*state_of(&b, i));
		}
		cr_assert_eq(policy_s3fifo.linked(&b.queue, reference), b.naive.place[i] != NOWHERE);
		cr_assert_eq(b.queue.count, ALL - naive_count(&b.naive, NOWHERE));
		policy_s3fifo.check(&b.queue);
	}
	bench_fini(&b);
}

Test(s3fifo, names_as_oldest_what_is_linked_or_nothing)
{
	struct test_random r = { test_seed(11) };
	static struct bench b;

	bench_init(&b);
	for (unsigned step = 0; step < 20000; step++) {
		uint32_t reference = reference_of(&b, test_random_below(&r, ALL));

		if (test_random_below(&r, 2)) {
			state_change(&b.queue.space, reference, STATE_OF_USE,
			             test_random_below(&r, 2) ? STATE_PROVEN : 0);
			policy_s3fifo.insert(&b.queue, reference);
		} else {
			policy_s3fifo.remove(&b.queue, reference);
		}
		uint32_t oldest = policy_s3fifo.oldest(&b.queue);

		cr_assert_eq(oldest == 0, b.queue.count == 0);
		cr_assert(oldest == 0 || policy_s3fifo.linked(&b.queue, oldest));
	}
	bench_fini(&b);
}

Test(s3fifo, a_queue_of_removed_chunks_does_not_grow)
{
	static struct bench b;

	bench_init(&b);
	for (unsigned round = 0; round < 1000; round++)
		for (unsigned i = 0; i < ALL; i++) {
			set_state(&b, i, 0);
			policy_s3fifo.insert(&b.queue, reference_of(&b, i));
			policy_s3fifo.remove(&b.queue, reference_of(&b, i));
		}
	cr_assert_leq(b.queue.u.s3fifo.small.count, 4 * FIFO_BLOCK_ENTRIES);
	/* Nor does one whose pages go each time, and their side bytes with them. */
	for (unsigned round = 0; round < 1000; round++) {
		for (unsigned i = 0; i < CHUNKS; i++) {
			policy_s3fifo.insert(&b.queue, reference_of(&b, i));
			policy_s3fifo.remove(&b.queue, reference_of(&b, i));
		}
		policy_s3fifo.page_remove(&b.queue, 1);
		memset(b.arena + (1u << PAGE_SHIFT), 0, 1u << PAGE_SHIFT);
		policy_s3fifo.page_add(&b.queue, 1);
		policy_s3fifo.check(&b.queue);
	}
	cr_assert_leq(b.queue.u.s3fifo.small.count, 4 * FIFO_BLOCK_ENTRIES);
	bench_fini(&b);
}

Test(s3fifo, without_memory_for_its_queue_new_chunks_are_judged_by_the_hand)
{
	static struct bench b;
	uint32_t victims[ALL];

	bench_init(&b);
	b.refuse = true;
	for (unsigned i = 0; i < ALL; i++)
		policy_s3fifo.insert(&b.queue, reference_of(&b, i));
	policy_s3fifo.check(&b.queue);
	cr_assert_eq(b.queue.count, ALL);
	cr_assert_eq(policy_s3fifo.victims(&b.queue, victims, ALL), ALL);
	cr_assert_eq(b.queue.count, 0);
	b.refuse = false;
	bench_fini(&b);
}

Test(s3fifo, takes_a_victim_even_if_all_were_read_often)
{
	static struct bench b;
	uint32_t victims[8];

	bench_init(&b);
	for (unsigned i = 0; i < ALL; i++) {
		set_state(&b, i, STATE_PROVEN | STATE_READS);
		policy_s3fifo.insert(&b.queue, reference_of(&b, i));
	}
	cr_assert_eq(policy_s3fifo.victims(&b.queue, victims, 8), 8);
	bench_fini(&b);
}

Test(s3fifo, the_share_grows_for_what_left_early_and_shrinks_for_what_left_main)
{
	static struct bench b;

	bench_init(&b);
	uint32_t start = b.shared.small_share;

	policy_s3fifo.bury(&b.shared, 0x1234567890abcdefULL, false);
	cr_assert_eq(policy_s3fifo.recall(&b.shared, 0x1234567890abcdefULL), GHOST_UNPROVEN);
	cr_assert_gt(b.shared.small_share, start);
	/* Recalled once, forgotten. */
	cr_assert_eq(policy_s3fifo.recall(&b.shared, 0x1234567890abcdefULL), GHOST_NONE);
	start = b.shared.small_share;
	policy_s3fifo.bury(&b.shared, 0x9876543210abcdefULL, true);
	/* It begins again in the small queue. */
	cr_assert_eq(policy_s3fifo.recall(&b.shared, 0x9876543210abcdefULL), GHOST_PROVEN);
	cr_assert_lt(b.shared.small_share, start);
	for (unsigned i = 0; i < 100000; i++) {
		uint64_t hash = i * 0x9e3779b97f4a7c15ULL;

		policy_s3fifo.bury(&b.shared, hash, false);
		cr_assert_eq(policy_s3fifo.recall(&b.shared, hash), GHOST_UNPROVEN);
	}
	cr_assert_leq(b.shared.small_share, SHARE_ONE);
	bench_fini(&b);
}

/* ---- ghosts ---- */

Test(ghost, remembers_about_as_many_as_it_has_room_for_and_few_others)
{
	static struct bench b;
	struct policy_memory memory = { take_bytes, give_bytes, &b };
	struct ghost_table g;
	unsigned recent = 0, old = 0, strangers = 0;

	memset(&b, 0, sizeof(b));
	cr_assert_eq(ghost_init(&g, &memory, 1u << 20), STATUS_OK);
	ghost_resize(&g, 31 * 1000);
	for (uint64_t i = 1; i <= 100000; i++)
		ghost_add(&g, i * 0x9e3779b97f4a7c15ULL, i % 2 ? GHOST_PROVEN : GHOST_UNPROVEN);
	ghost_check(&g);
	for (uint64_t i = 100000; i > 90000; i--)
		recent += ghost_take(&g, i * 0x9e3779b97f4a7c15ULL) ==
		          (i % 2 ? GHOST_PROVEN : GHOST_UNPROVEN);
	for (uint64_t i = 1; i <= 10000; i++)
		old += ghost_take(&g, i * 0x9e3779b97f4a7c15ULL) != GHOST_NONE;
	for (uint64_t i = 200001; i <= 210000; i++)
		strangers += ghost_take(&g, i * 0x9e3779b97f4a7c15ULL) != GHOST_NONE;
	cr_assert_gt(recent, 9900);
	cr_assert_lt(old, 100);
	cr_assert_lt(strangers, 40);
	ghost_fini(&g);
}

Test(ghost, grows_without_forgetting_and_gives_memory_back)
{
	static struct bench b;
	struct policy_memory memory = { take_bytes, give_bytes, &b };
	struct ghost_table g;
	unsigned found = 0;

	memset(&b, 0, sizeof(b));
	cr_assert_eq(ghost_init(&g, &memory, 1u << 20), STATUS_OK);
	cr_assert_eq(ghost_take(&g, 77), GHOST_NONE);
	ghost_add(&g, 77, GHOST_PROVEN);
	ghost_resize(&g, 31 * 777);
	for (uint64_t i = 1; i <= 10000; i++)
		ghost_add(&g, i * 0x9e3779b97f4a7c15ULL, GHOST_UNPROVEN);
	for (unsigned step = 0; step < 100; step++) {
		ghost_resize(&g, 31 * 37);
		ghost_check(&g);
	}
	for (uint64_t i = 1; i <= 10000; i++)
		found += ghost_take(&g, i * 0x9e3779b97f4a7c15ULL) == GHOST_UNPROVEN;
	cr_assert_gt(found, 9900);
	b.refuse = true;
	ghost_resize(&g, 31 * 100000);
	ghost_check(&g);
	cr_assert_leq(ghost_capacity(&g), 31 * (777 + 3700 + 64));
	b.refuse = false;
	ghost_resize(&g, -31 * (100000 + 3700 + 777));
	ghost_check(&g);
	cr_assert_eq(b.taken_bytes, 0);
	ghost_fini(&g);
}

/* ---- fifo ---- */

static bool is_even(void *context, uint32_t reference)
{
	(void)context;
	return reference % 2 == 0;
}

/* A queue and how far a filter has come, in an array. */
struct naive_fifo {
	uint32_t entries[200000];
	size_t first;
	size_t seen; /* first up to here were kept; meaningless if no filter is under way */
	size_t end;
	bool is_filtering;
};

static void naive_filter(struct naive_fifo *nf, size_t max)
{
	if (!nf->is_filtering)
		nf->seen = nf->first;
	for (; max > 0 && nf->seen < nf->end; max--) {
		if (is_even(NULL, nf->entries[nf->seen])) {
			nf->seen++;
			continue;
		}
		memmove(nf->entries + nf->seen, nf->entries + nf->seen + 1,
		        (--nf->end - nf->seen) * sizeof(nf->entries[0]));
	}
	nf->is_filtering = nf->seen < nf->end;
}

static void check_same(const struct fifo_pool *pool, const struct fifo *f, const struct naive_fifo *nf)
{
	fifo_check(pool, f);
	cr_assert_eq(f->count, nf->end - nf->first);
	cr_assert_eq(fifo_first(pool, f), nf->first < nf->end ? nf->entries[nf->first] : 0);
}

Test(fifo, keeps_order_through_pushes_pops_and_filters)
{
	static struct bench b;
	struct policy_memory memory = { take_bytes, give_bytes, &b };
	struct test_random r = { test_seed(5) };
	struct fifo_pool pool;
	struct fifo f = { 0 };
	static struct naive_fifo nf;
	unsigned unfinished = 0;

	memset(&b, 0, sizeof(b));
	cr_assert_eq(fifo_pool_init(&pool, &memory, 100000), STATUS_OK);
	for (unsigned step = 0; step < 4000; step++) {
		unsigned n = test_random_below(&r, step % 1000 < 500 ? 100 : 3000);

		switch (test_random_below(&r, 12)) {
		case 0:
		case 1:
		case 2:
			fifo_filter(&pool, &f, n, is_even, NULL);
			naive_filter(&nf, n);
			unfinished += fifo_is_filtering(&f);
			break;
		case 3:
		case 4:
		case 5:
		case 6:
			for (; n > 0 && nf.first < nf.end; n--) {
				cr_assert_eq(fifo_pop(&pool, &f), nf.entries[nf.first++]);
				nf.is_filtering &= nf.first < nf.seen;
				check_same(&pool, &f, &nf);
			}
			break;
		default:
			for (; n > 0 && nf.end < ARRAY_LENGTH(nf.entries); n--) {
				nf.entries[nf.end] = 1 + test_random_below(&r, 1000000);
				cr_assert(fifo_push(&pool, &f, nf.entries[nf.end++]));
			}
		}
		check_same(&pool, &f, &nf);
		memmove(nf.entries, nf.entries + nf.first, (nf.end - nf.first) * sizeof(nf.entries[0]));
		nf.seen -= nf.first;
		nf.end -= nf.first;
		nf.first = 0;
	}
	cr_assert_gt(unfinished, 100);
	fifo_clear(&pool, &f);
	cr_assert_leq(b.taken_bytes, OS_PAGE_BYTES);
	cr_assert_eq(pool.in_use, 0);
	fifo_pool_fini(&pool);
}
