/*
 * budget.h: the equation of memory. Every byte the process may grow by belongs to a named account
 * and is asked for before it is taken:
 *
 *     sum of accounts  <=  limit
 *
 * The limit is what the operator set (-m) plus BUDGET_ALLOWANCE_BYTES for the program itself (code,
 * libraries, stacks as they are after start), which is charged to ACCOUNT_PROGRAM like all else. The
 * promise to the operator, -m + 4 MiB resident, leaves the rest of the four for what no account sees:
 * rounding to OS pages and stacks that grow.
 *
 * Thread-safe: one atomic sum, one atomic per account; charges are made in pages or blocks, never
 * per item, so these lines are quiet.
 */
#ifndef LARDER_BUDGET_H
#define LARDER_BUDGET_H

#include "store/base/base.h"

#define BUDGET_ALLOWANCE_BYTES (3u << 20)

/* X(name, label in `stats budget`, what it holds). From ITEMS to EVICTION is the cache, see spare_share. */
#define ACCOUNT_TABLE(X)                                                                           \
	X(PROGRAM, "program", "code, libraries and stacks as measured after start")                \
	X(ITEMS, "items", "arena pages: items with their headers, expiry and policy bytes")        \
	X(PAGES, "pages", "page and class descriptors of the arena")                               \
	X(INDEX, "index", "hash buckets and overflow buckets")                                     \
	X(REFERENCES, "references", "control blocks of entries that others refer to, and their table")     \
	X(EVICTION, "eviction", "rings, ghosts and buffers of the eviction policy")                \
	X(THREADS, "threads", "per-thread state: scratch, output, stocks, limbo")                  \
	X(CONNECTIONS, "connections", "connection descriptors")                                    \
	X(BUFFERS, "buffers", "half-read input and unsent output of connections")                  \
	X(LIBEVENT, "libevent", "what libevent allocates")                                         \
	X(LOGS, "logs", "watchers and their lines")

enum account {
#define X(name, label, text) ACCOUNT_##name,
	ACCOUNT_TABLE(X)
#undef X
	ACCOUNT_COUNT
};

struct budget {
	/* atomic: all of it, relaxed; the sum is exact because every change goes through it */
	_Alignas(CACHE_LINE_BYTES) _Atomic uint64_t limit_bytes;
	_Atomic uint64_t used_bytes;
	_Atomic uint64_t peak_bytes;
	_Atomic uint64_t claimed_bytes; /* of the limit, see budget_claim */
	_Atomic uint64_t account_bytes[ACCOUNT_COUNT];
	/* const after init: the cache leaves one part in so many of the limit to the process, 0: nothing */
	uint32_t spare_share;
};

/* spare_share: for a cache that does not evict, from which nobody else could get memory. */
void budget_init(struct budget *b, uint64_t limit_bytes, uint32_t spare_share);

/* budget_take: true if the bytes fit and are now charged. budget_charge: charges what is already
 * there (fixed costs, an emergency), even past the limit. */
bool budget_take(struct budget *b, enum account account, uint64_t bytes);
void budget_charge(struct budget *b, enum account account, uint64_t bytes);
void budget_give(struct budget *b, enum account account, uint64_t bytes);

/* budget_claim: keeps so many bytes from all but who claims them: what is given back from here on is
 * not gone before budget_take_claimed, which ends the claim where it is true. One thread, one claim;
 * of 0: none. */
void budget_claim(struct budget *b, uint64_t bytes);
uint64_t budget_claimed(const struct budget *b); /* no more than the limit */
bool budget_take_claimed(struct budget *b, enum account account, uint64_t bytes);

uint64_t budget_limit(const struct budget *b);   /* with the allowance */
uint64_t budget_used(const struct budget *b);
uint64_t budget_account(const struct budget *b, enum account account);
/* Bytes over the limit (after it was lowered), or 0. */
uint64_t budget_excess(const struct budget *b);
void budget_set_limit(struct budget *b, uint64_t limit_bytes);
/* budget_least_for: the least limit (without the allowance) under which the cache may have grown to where so
 * many bytes are used. */
uint64_t budget_least_for(const struct budget *b, uint64_t used_bytes);

const char *account_label(enum account account);
const char *account_text(enum account account);

/* budget_check: asserts that the sum is the sum of the accounts; no other thread may be active. */
void budget_check(const struct budget *b);

#endif
