/*
 * profile.h: what the memory is used for, and by whom: three kinds of `stats` that list keys.
 *
 *     stats prefixes        items and bytes by the prefix of their keys     a walk over the items, or two
 *     stats largest [N]     the N largest items                             a walk over the items
 *     stats hottest [N]     the N keys read most, from the workers' samples a step for each worker
 *
 * All answer in steps (struct task): nothing is kept between two of these commands but the samples
 * (hot.h), and what one needs lives in one block of the buffer pool, which ends with the connection.
 * Formats: docs/profile.md.
 */
#ifndef LARDER_PROFILE_H
#define LARDER_PROFILE_H

#include "net/conn.h"
#include "net/words.h"

/* ws is what follows the word stats. */
void profile_prefixes(struct conn *c, const struct words *ws);
void profile_largest(struct conn *c, const struct words *ws);
void profile_hottest(struct conn *c, const struct words *ws);
/* profile_reset: what is hot is counted anew. */
void profile_reset(struct server *sv, uint32_t now);

#endif
