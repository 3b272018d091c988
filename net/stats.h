/*
 * stats.h: the stats command in all its forms, with memcached's names and units.
 *
 *     stats                                  the server            one reply
 *     stats settings | budget | refs         tables                one reply
 *     stats mrc                              miss-ratio curves (curve_stats.h), one reply
 *     stats items | slabs | conns            a block per class or connection, in steps
 *     stats sizes | cachedump | detail dump  walks over items or prefixes, in steps
 *     stats prefixes | largest | hottest     what uses the memory (profile.h), in steps
 *     stats reset                            counters start again at 0
 *     stats detail on | off | sizes_enable | sizes_disable
 *
 * A reset touches no counter: it remembers what they were (struct stats_baseline), and every reader
 * subtracts that. So counters keep one writer each.
 */
#ifndef LARDER_STATS_H
#define LARDER_STATS_H

#include "net/conn.h"
#include "net/words.h"

struct stats_baseline *stats_baseline_new(void);
void stats_baseline_free(struct stats_baseline *sb);

/* stats_dispatch: ws is what follows the word stats. */
void stats_dispatch(struct conn *c, const struct words *ws);

/* One line: "STAT name value\r\n". */
void stat_text(struct conn *c, const char *name, const char *value);
void stat_number(struct conn *c, const char *name, uint64_t value);

#endif
