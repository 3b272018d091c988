/*
 * curve_stats.h: `stats mrc`, the miss-ratio curves that the store learns (store/curve.h). Format:
 * docs/profile.md.
 */
#ifndef LARDER_CURVE_STATS_H
#define LARDER_CURVE_STATS_H

#include "net/conn.h"

void curve_stats(struct conn *c);

#endif
