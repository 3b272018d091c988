/*
 * load_report.h: what a load measured, and how it is told: text, JSON, a table of percentiles, a
 * plot through gnuplot.
 */
#ifndef LARDER_BENCH_LOAD_REPORT_H
#define LARDER_BENCH_LOAD_REPORT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "bench/engine.h"
#include "bench/histogram.h"
#include "bench/procstat.h"

struct load_sample {
	double at_s;
	uint64_t operations; /* since the start */
};

struct load_report {
	/* how it was measured */
	const char *server, *mix, *order, *key_sizes, *value_sizes;
	uint64_t key_count;
	unsigned thread_count, connection_count, depth, multiget;
	double rate_per_s; /* 0: closed loop */
	bool verified;
	/* what came out */
	double elapsed_s;
	double client_cpu_s;
	bool interrupted;
	struct engine_counts counts;
	char last_error[128];
	struct histogram latencies[OP_CLASS_COUNT]; /* ns */
	struct histogram all_latencies;
	bool has_server; /* its process could be looked at */
	struct procstat server_before, server_after;
	struct load_sample *samples;
	size_t sample_count;
};

void load_report_print(const struct load_report *rp, FILE *out);
void load_report_print_json(const struct load_report *rp, FILE *out);

/* Lines "value_us percentile count 1/(1-percentile)", as HdrHistogram's plotters read them. */
bool load_report_write_histogram(const struct load_report *rp, const char *path);

/* Draws latency percentiles and throughput over time. The path's ending, .png or .svg, says how.
 * False, with a message on standard error, when gnuplot is missing or fails. */
bool load_report_plot(const struct load_report *rp, const char *path);

#endif
