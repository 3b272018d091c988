/*
 * crew.h: threads that work on one small store at once, one more that maintains it, and values that show
 * whether they are whole. For plain programs: Criterion's forked runner is of no use to ThreadSanitizer.
 */
#ifndef LARDER_TEST_CREW_H
#define LARDER_TEST_CREW_H

#include <stdatomic.h>

#include "store/store.h"
#include "tests/support/random.h"

struct crew {
	/* set by the test */
	const char *name;
	struct store *store;
	unsigned threads;    /* that work; handle `threads` of the store is the maintainer's */
	unsigned operations; /* of each */
	uint64_t seed;
	uint32_t value_max;
	bool policies_change; /* the maintainer has them take over from each other, all the time */
	void (*operate)(struct crew *c, struct store_thread *st, struct test_random *r, char *value);
	void (*after_turn)(struct crew *c, struct test_random *r);          /* may be NULL */
	void (*maintain)(struct crew *c, struct store_thread *st);          /* may be NULL */
	/* the crew's */
	atomic_uint now;     /* the store's time; kept from one store to the next */
	atomic_uint working; /* threads that are not through */
	atomic_bool done;
};

/* crew_fail: the program ends here. */
void crew_fail(const struct crew *c, const char *what) __attribute__((noreturn));

/* crew_run: a store with these options (handles and seed are the crew's), worked on until all operations
 * are done. The store is left for the test to look at. */
void crew_run(struct crew *c, const struct store_options *options);
/* crew_settle: the background work of a second, to its end; nobody else is active. */
void crew_settle(struct crew *c);

/* A value is its key's number and a byte, then that byte until the end. crew_make_value: returns length.
 * crew_check_value: fails unless the value is whole; returns the number that it is of. */
uint32_t crew_make_value(char *value, uint32_t number, uint32_t length, uint8_t fill);
uint32_t crew_check_value(const struct crew *c, struct store_thread *st, const struct item_view *view);

struct policy_ops;
/* crew_main: [threads [operations [seed]]]; `stress` under every policy, then while they change. */
int crew_main(struct crew *c, int argc, char **argv,
              void (*stress)(struct crew *c, const struct policy_ops *policy));

#endif
