/* test_slab.c: size classes, pages, generations, ages. */
#include <criterion/criterion.h>
#include <string.h>

#include "store/slab.h"
#include "store/store.h"

static struct budget budget;
static struct policy_shared shared;
static struct slab slab;
static uint64_t limit_max_bytes = 64u << 20;

static bool take_bytes(void *context, uint64_t bytes)
{
	return budget_take(context, ACCOUNT_EVICTION, bytes);
}

static void give_bytes(void *context, uint64_t bytes)
{
	budget_give(context, ACCOUNT_EVICTION, bytes);
}

static void open_slab(uint32_t page_bytes)
{
	struct slab_options o = {
		.limit_max_bytes = limit_max_bytes,
		.page_bytes = page_bytes,
		.growth_factor = 1.07,
		.policy = policy_at(0),
		.shared = &shared,
	};

	struct policy_memory memory = { take_bytes, give_bytes, &budget };

	budget_init(&budget, 64u << 20, 0);
	cr_assert_eq(policy_shared_init(&shared, policy_at(0), &memory, NULL, 1u << 20, 1u << 14), STATUS_OK);
	cr_assert_eq(slab_init(&slab, &o, &budget), STATUS_OK);
}

Test(slab, every_size_up_to_the_largest_has_the_smallest_class_that_holds_it)
{
	for (uint32_t page = 16u << 10; page <= 256u << 10; page *= 4) {
		open_slab(page);
		for (uint32_t bytes = 1; bytes <= slab.chunk_max_bytes; bytes++) {
			struct slab_class *sc = slab_class_for(&slab, bytes);

			cr_assert_geq(sc->chunk_bytes, bytes);
			cr_assert(sc->index == 1 || slab.classes[sc->index - 1].chunk_bytes < bytes);
			/* No class wastes more than its step: 8 bytes, or a tenth, but for the last few of a page. */
			if (bytes > CHUNK_MIN_BYTES && bytes < slab.chunk_max_bytes / 3)
				cr_assert_lt(sc->chunk_bytes - bytes, MAX(8u, bytes / 6));
		}
		cr_assert_null(slab_class_for(&slab, slab.chunk_max_bytes + 1));
		slab_fini(&slab);
		policy_shared_fini(&shared);
	}
}

Test(slab, reaches_the_fine_limit_with_the_smallest_steps)
{
	for (uint32_t page = 16u << 10; page <= 256u << 10; page *= 4) {
		limit_max_bytes = STORE_FINE_LIMIT_BYTES;
		open_slab(page);
		cr_assert_eq(slab.reference_shift, 3);
		cr_assert_eq(slab.classes[2].chunk_bytes - slab.classes[1].chunk_bytes, CHUNK_STEP_BYTES);
		slab_fini(&slab);
		policy_shared_fini(&shared);
	}
}

static unsigned take(struct slab_class *sc, uint32_t *references, unsigned want)
{
	lock_acquire(&sc->lock);
	unsigned n = slab_take(&slab, sc, references, want, true);

	lock_release(&sc->lock);
	for (unsigned i = 0; i < n; i++)
		slab_begin_use(&slab, sc, references[i]);
	return n;
}

static void put(struct slab_class *sc, uint32_t reference)
{
	lock_acquire(&sc->lock);
	slab_put(&slab, sc, reference);
	lock_release(&sc->lock);
}

Test(slab, memory_of_an_emptied_page_goes_back_to_the_budget)
{
	uint32_t references[5000];
	unsigned n = 0;

	open_slab(64u << 10);
	struct slab_class *sc = slab_class_for(&slab, 100);

	while (n < 3 * sc->chunks_per_page)
		n += take(sc, references + n, MIN(16u, 3 * sc->chunks_per_page - n));
	cr_assert_eq(slab_pages_in_use(&slab), 3);
	cr_assert_eq(budget_account(&budget, ACCOUNT_ITEMS), 3u * (64u << 10));
	slab_check(&slab);
	for (unsigned i = 0; i < n; i++)
		put(sc, references[i]);
	slab_check(&slab);
	/* One page with room stays with its class. */
	cr_assert_eq(slab_pages_in_use(&slab), 1);
	slab_fini(&slab);
	policy_shared_fini(&shared);
}

Test(slab, a_chunk_never_has_the_same_cas_twice_even_when_its_page_was_dropped)
{
	uint64_t last = 0;

	open_slab(16u << 10);
	struct slab_class *sc = slab_class_for(&slab, 100);
	uint32_t first = 0;

	for (unsigned round = 0; round < 1000; round++) {
		uint32_t reference;

		cr_assert_eq(take(sc, &reference, 1), 1);
		if (!first)
			first = reference;
		cr_assert_eq(reference, first);
		struct item *it = slab_chunk(&slab, reference);
		uint64_t cas = slab_cas(&slab, reference, word_generation(item_word(it)));

		cr_assert_gt(cas, last);
		cr_assert_lt(cas, 1ULL << 53);
		last = cas;
		put(sc, reference);
		if (round % 3 == 0) {
			lock_acquire(&sc->lock);
			slab_drain(&slab, sc, slab_page_number(&slab, reference));
			lock_release(&sc->lock);
			cr_assert_eq(slab_pages_in_use(&slab), 0);
		}
	}
	slab_fini(&slab);
	policy_shared_fini(&shared);
}

Test(slab, an_expiry_is_kept_only_where_one_was_set_and_charged)
{
	uint32_t references[2];

	open_slab(64u << 10);
	struct slab_class *sc = slab_class_for(&slab, 50);

	take(sc, references, 2);
	uint64_t before = budget_account(&budget, ACCOUNT_ITEMS);

	cr_assert(slab_set_expiry(&slab, sc, references[0], 0));
	cr_assert_eq(budget_account(&budget, ACCOUNT_ITEMS), before);
	cr_assert(slab_set_expiry(&slab, sc, references[0], 1000));
	cr_assert_eq(budget_account(&budget, ACCOUNT_ITEMS), before + sc->expiry_bytes);
	cr_assert_eq(slab_get_expiry(&slab, sc, references[0]), 1000);
	cr_assert_eq(slab_get_expiry(&slab, sc, references[1]), 0);
	slab_check(&slab);
	slab_fini(&slab);
	policy_shared_fini(&shared);
}

Test(slab, ages_follow_the_seconds_ever_more_coarsely)
{
	enum { CHUNKS = 109 }; /* three whole groups of states and ages, and a part */
	_Alignas(CACHE_LINE_BYTES) _Atomic uint8_t area[256] = { 0 };

	for (uint32_t tick = 1; tick <= 60000; tick++) {
		age_advance(area, CHUNKS, tick);
		uint32_t seconds = age_seconds(area[2 * STATE_GROUP + STATE_GROUP + 5]);
		uint32_t error = seconds > tick ? seconds - tick : tick - seconds;

		cr_assert_leq(error, tick < 64 ? 0 : tick < 576 ? 8 : tick < 4672 ? 72 : 1100,
		              "%u s after %u s", seconds, tick);
		cr_assert_eq(area[STATE_GROUP], area[state_area_bytes(CHUNKS) - 1]); /* vector and tail agree */
		cr_assert_eq(area[2 * STATE_GROUP + 5], 0);
		cr_assert_eq(area[state_area_bytes(CHUNKS)], 0);
	}
}

static bool all_in_use;

static bool says_in_use(const void *context, size_t stretch)
{
	return *(const bool *)context;
}

/* What is dropped reads as zeros and what is not stays, whether there was a huge page or the system
 * had none to give. */
Test(slab, a_stretch_collapses_only_when_all_in_use_and_is_split_before_a_drop)
{
	struct region r;
	bool refused;

	cr_assert_eq(region_reserve(&r, 4 * HUGE_PAGE_BYTES, true), STATUS_OK);
	cr_assert_eq((uintptr_t)r.base % HUGE_PAGE_BYTES, 0);
	memset(r.base, 7, r.size_bytes);
	all_in_use = false;
	cr_assert_not(region_collapse(&r, 1, says_in_use, &all_in_use, &refused));
	cr_assert_not(refused);
	cr_assert_eq(atomic_load(&r.huge[0]), 0);
	all_in_use = true;
	for (size_t stretch = 0; stretch < 4; stretch++) {
		bool done = region_collapse(&r, stretch, says_in_use, &all_in_use, &refused);

		cr_assert_eq(done, !refused);
		cr_assert_eq(atomic_load(&r.huge[0]) >> stretch & 1, done);
		cr_assert_not(done && region_collapse(&r, stretch, says_in_use, &all_in_use, &refused));
	}
	/* The end of stretch 1 and the beginning of 2. */
	region_drop(&r, 2 * HUGE_PAGE_BYTES - 8192, 16384);
	cr_assert_eq(atomic_load(&r.huge[0]) & 6, 0);
	for (size_t i = 0; i < r.size_bytes; i++)
		cr_assert_eq(r.base[i], i + 8192 - 2 * HUGE_PAGE_BYTES < 16384 ? 0 : 7);
	region_release(&r);
}

Test(slab, the_arena_collapses_where_every_page_has_a_class)
{
	enum { PAGES = 40 };
	static uint32_t references[65 * 700];
	unsigned n = 0;
	bool refused;

	open_slab(64u << 10);
	struct slab_class *sc = slab_class_for(&slab, 100);

	cr_assert_not(slab_collapse(&slab, 1, &refused));
	while (sc->page_count < PAGES)
		n += take(sc, references + n, 50);
	/* Page 0 is none: pages 1 to 40, of which 32 to 63 would be the second stretch. */
	cr_assert_not(slab_collapse(&slab, 0, &refused));
	cr_assert_not(slab_collapse(&slab, 1, &refused));
	cr_assert_not(refused);
	while (sc->page_count < 64)
		n += take(sc, references + n, 50);
	if (slab_collapse(&slab, 1, &refused)) {
		cr_assert_eq(atomic_load(&slab.arena.huge[0]), 2);
		while (n > 0)
			put(sc, references[--n]);
		cr_assert_eq(atomic_load(&slab.arena.huge[0]), 0);
	} else {
		cr_assert(refused);
	}
	slab_fini(&slab);
	policy_shared_fini(&shared);
}
