/*
 * stats_kinds.h: what stats.c has in files of their own, each named after the word that asks for it. Each
 * answers as a whole or starts a task (conn.h).
 */
#ifndef LARDER_STATS_KINDS_H
#define LARDER_STATS_KINDS_H

#include "net/stats.h"

void stats_settings(struct conn *c);
void stats_budget(struct conn *c);
/* stats_classes.c */
void stats_items(struct conn *c);
void stats_slabs(struct conn *c);
void stats_conns(struct conn *c);
void stats_sizes(struct conn *c);
/* stats_set_sizes: stats sizes_enable, sizes_disable. */
void stats_set_sizes(struct conn *c, bool enabled);
/* ws is "detail on", "off" or "dump". */
void stats_detail(struct conn *c, const struct words *ws);

#endif
