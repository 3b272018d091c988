#include "store/budget.h"

#include <stdatomic.h>

static const char *const labels[ACCOUNT_COUNT] = {
#define X(name, label, text) label,
	ACCOUNT_TABLE(X)
#undef X
};

static const char *const texts[ACCOUNT_COUNT] = {
#define X(name, label, text) text,
	ACCOUNT_TABLE(X)
#undef X
};

void budget_init(struct budget *b, uint64_t limit_bytes, uint32_t spare_share)
{
	b->spare_share = spare_share;
	atomic_init(&b->limit_bytes, limit_bytes + BUDGET_ALLOWANCE_BYTES);
	atomic_init(&b->used_bytes, 0);
	atomic_init(&b->peak_bytes, 0);
	atomic_init(&b->claimed_bytes, 0);
	for (unsigned i = 0; i < ACCOUNT_COUNT; i++)
		atomic_init(&b->account_bytes[i], 0);
}

static void note_peak(struct budget *b, uint64_t used)
{
	uint64_t peak = atomic_load_explicit(&b->peak_bytes, memory_order_relaxed);

	while (used > peak &&
	       !atomic_compare_exchange_weak_explicit(&b->peak_bytes, &peak, used,
	                                              memory_order_relaxed, memory_order_relaxed))
		;
}

/* What the account may drive the sum to. */
static uint64_t limit_of(const struct budget *b, enum account account)
{
	uint64_t limit = budget_limit(b);
	bool spares = b->spare_share && account >= ACCOUNT_ITEMS && account <= ACCOUNT_EVICTION;

	return spares ? limit - limit / b->spare_share : limit;
}

static bool take_within(struct budget *b, enum account account, uint64_t bytes, uint64_t limit)
{
	uint64_t used = atomic_load_explicit(&b->used_bytes, memory_order_relaxed);

	do {
		if (used + bytes > limit)
			return false;
	} while (!atomic_compare_exchange_weak_explicit(&b->used_bytes, &used, used + bytes,
	                                                memory_order_relaxed, memory_order_relaxed));
	atomic_fetch_add_explicit(&b->account_bytes[account], bytes, memory_order_relaxed);
	note_peak(b, used + bytes);
	return true;
}

uint64_t budget_claimed(const struct budget *b)
{
	return MIN(atomic_load_explicit(&b->claimed_bytes, memory_order_relaxed), budget_limit(b));
}

bool budget_take(struct budget *b, enum account account, uint64_t bytes)
{
	uint64_t limit = limit_of(b, account);

	return take_within(b, account, bytes, limit - MIN(budget_claimed(b), limit));
}

void budget_claim(struct budget *b, uint64_t bytes)
{
	atomic_store_explicit(&b->claimed_bytes, bytes, memory_order_relaxed);
}

bool budget_take_claimed(struct budget *b, enum account account, uint64_t bytes)
{
	if (!take_within(b, account, bytes, limit_of(b, account)))
		return false;
	budget_claim(b, 0);
	return true;
}

void budget_charge(struct budget *b, enum account account, uint64_t bytes)
{
	uint64_t used = atomic_fetch_add_explicit(&b->used_bytes, bytes, memory_order_relaxed);

	atomic_fetch_add_explicit(&b->account_bytes[account], bytes, memory_order_relaxed);
	note_peak(b, used + bytes);
}

void budget_give(struct budget *b, enum account account, uint64_t bytes)
{
	uint64_t before = atomic_fetch_sub_explicit(&b->account_bytes[account], bytes,
	                                            memory_order_relaxed);

	assert(before >= bytes);
	atomic_fetch_sub_explicit(&b->used_bytes, bytes, memory_order_relaxed);
}

uint64_t budget_limit(const struct budget *b)
{
	return atomic_load_explicit(&b->limit_bytes, memory_order_relaxed);
}

uint64_t budget_used(const struct budget *b)
{
	return atomic_load_explicit(&b->used_bytes, memory_order_relaxed);
}

uint64_t budget_account(const struct budget *b, enum account account)
{
	return atomic_load_explicit(&b->account_bytes[account], memory_order_relaxed);
}

uint64_t budget_excess(const struct budget *b)
{
	uint64_t limit = budget_limit(b);
	uint64_t used = budget_used(b);

	return used > limit ? used - limit : 0;
}

void budget_set_limit(struct budget *b, uint64_t limit_bytes)
{
	atomic_store_explicit(&b->limit_bytes, limit_bytes + BUDGET_ALLOWANCE_BYTES,
	                      memory_order_relaxed);
}

uint64_t budget_least_for(const struct budget *b, uint64_t used_bytes)
{
	/* The inverse of limit_of, rounded up. */
	uint64_t limit = b->spare_share ? used_bytes + used_bytes / (b->spare_share - 1) + 1 : used_bytes;

	return limit > BUDGET_ALLOWANCE_BYTES ? limit - BUDGET_ALLOWANCE_BYTES : 0;
}

const char *account_label(enum account account)
{
	return labels[account];
}

const char *account_text(enum account account)
{
	return texts[account];
}

void budget_check(const struct budget *b)
{
	uint64_t sum = 0;

	for (unsigned i = 0; i < ACCOUNT_COUNT; i++)
		sum += budget_account(b, (enum account)i);
	assert(sum == budget_used(b));
}
