/* test_lru.c: strict LRU beside a naive list of the same chunks. */
#include <criterion/criterion.h>
#include <string.h>

#include "eviction/policy.h"
#include "tests/support/random.h"

#define CHUNK_BYTES 32u
#define CHUNKS 100u
#define PAGE_SHIFT 14u

struct bench {
	char *arena;
	struct policy_shared shared;
	struct policy_queue queue;
	uint32_t order[CHUNKS]; /* most recent first */
	unsigned count;
};

static uint32_t reference_of(const struct bench *b, unsigned i)
{
	return (uint32_t)(((1u << PAGE_SHIFT) + i * CHUNK_BYTES) >> 3);
}

static void bench_init(struct bench *b)
{
	struct chunk_space space = {
		.chunk_bytes = CHUNK_BYTES,
		.side_stride = 1u << PAGE_SHIFT,
		.side_bytes = policy_lru.side_bytes,
		.chunks_per_page = CHUNKS,
		.reciprocal = chunk_reciprocal(CHUNK_BYTES),
		.reference_shift = 3,
		.page_shift = PAGE_SHIFT,
	};

	memset(b, 0, sizeof(*b));
	space.arena = b->arena = calloc(2, 1u << PAGE_SHIFT);
	space.sides = b->arena + CHUNKS * CHUNK_BYTES;
	policy_queue_init(&b->queue, &policy_lru, &b->shared, &space);
}

static void naive_remove(struct bench *b, uint32_t reference)
{
	for (unsigned i = 0; i < b->count; i++) {
		if (b->order[i] != reference)
			continue;
		memmove(b->order + i, b->order + i + 1, (b->count - i - 1) * sizeof(*b->order));
		b->count--;
		return;
	}
}

static void naive_front(struct bench *b, uint32_t reference)
{
	naive_remove(b, reference);
	memmove(b->order + 1, b->order, b->count * sizeof(*b->order));
	b->order[0] = reference;
	b->count++;
}

static bool naive_has(const struct bench *b, uint32_t reference)
{
	for (unsigned i = 0; i < b->count; i++)
		if (b->order[i] == reference)
			return true;
	return false;
}

static void take_victims(struct bench *b, unsigned wanted)
{
	uint32_t victims[CHUNKS];
	unsigned n = policy_lru.victims(&b->queue, victims, wanted);

	cr_assert_eq(n, MIN(wanted, b->count));
	for (unsigned i = 0; i < n; i++) {
		cr_assert_eq(victims[i], b->order[b->count - 1]);
		b->count--;
	}
}

Test(lru, keeps_the_order_of_a_naive_list)
{
	struct test_random r = { test_seed(20261121) };
	struct bench b;

	bench_init(&b);
	for (unsigned step = 0; step < 50000; step++) {
		uint32_t reference = reference_of(&b, test_random_below(&r, CHUNKS));

		switch (test_random_below(&r, 8)) {
		case 0:
		case 1:
			policy_lru.insert(&b.queue, reference);
			naive_front(&b, reference);
			break;
		case 2:
			policy_lru.remove(&b.queue, reference);
			naive_remove(&b, reference);
			break;
		case 3:
			take_victims(&b, test_random_below(&r, 4));
			break;
		default:
			/* A hit on a chunk that is not linked means nothing. */
			policy_lru.hit(&b.queue, reference);
			if (naive_has(&b, reference))
				naive_front(&b, reference);
		}
		cr_assert_eq(policy_lru.oldest(&b.queue), b.count ? b.order[b.count - 1] : 0);
		cr_assert_eq(policy_lru.linked(&b.queue, reference), naive_has(&b, reference));
		cr_assert_eq(b.queue.count, b.count);
		policy_lru.check(&b.queue);
	}
	free(b.arena);
}

Test(lru, an_empty_queue_has_no_victims)
{
	struct bench b;
	uint32_t victim;

	bench_init(&b);
	cr_assert_eq(policy_lru.victims(&b.queue, &victim, 1), 0);
	cr_assert_eq(policy_lru.oldest(&b.queue), 0);
	policy_lru.remove(&b.queue, reference_of(&b, 3));
	policy_lru.hit(&b.queue, reference_of(&b, 3));
	cr_assert_eq(b.queue.count, 0);
	free(b.arena);
}

Test(policy, is_found_by_name)
{
	cr_assert_eq(policy_find("lru"), &policy_lru);
	cr_assert_null(policy_find("nothing"));
	cr_assert_eq(policy_at(0), &policy_s3fifo);
}
