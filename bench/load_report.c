/* load_report.c: see load_report.h. */
#include "bench/load_report.h"

#include <errno.h>
#include <string.h>

#include "bench/tool.h"
#include "store/base/base.h"

static const double report_percents[] = {50, 90, 95, 99, 99.9, 99.99};
static const char *const report_percent_names[] = {"p50", "p90", "p95", "p99", "p99.9", "p99.99"};
static const char *const class_names[OP_CLASS_COUNT] = {"reads", "writes", "others"};

static double ratio(double part, double whole)
{
	return whole > 0 ? part / whole : 0;
}

/* CPU time of the server for one operation, in us, and the part of it that is user time. The total
 * comes from the scheduler, the split from the coarser ticks. */
static double report_cpu_us(const struct load_report *rp)
{
	return ratio((rp->server_after.cpu_s - rp->server_before.cpu_s) * 1e6,
		     (double)rp->counts.operations);
}

static double report_user_share(const struct load_report *rp)
{
	double user_s = rp->server_after.user_s - rp->server_before.user_s;
	double system_s = rp->server_after.system_s - rp->server_before.system_s;

	return ratio(user_s, user_s + system_s);
}

/* ---- text ---- */

static void print_latency_row(FILE *out, const char *name, const struct histogram *h)
{
	if (h->total_count == 0)
		return;
	fprintf(out, "  %-8s %9.1f", name, (double)h->min / 1e3);
	for (size_t i = 0; i < ARRAY_LENGTH(report_percents); i++)
		fprintf(out, " %9.1f", (double)histogram_percentile(h, report_percents[i]) / 1e3);
	fprintf(out, " %9.1f %9.1f\n", (double)h->max / 1e3, histogram_mean(h) / 1e3);
}

static void print_latencies(const struct load_report *rp, FILE *out)
{
	unsigned used = 0;

	fprintf(out, "latency us%10s", "min");
	for (size_t i = 0; i < ARRAY_LENGTH(report_percents); i++)
		fprintf(out, "%10s", report_percent_names[i]);
	fprintf(out, "%10s%10s\n", "max", "mean");
	for (unsigned i = 0; i < OP_CLASS_COUNT; i++) {
		print_latency_row(out, class_names[i], &rp->latencies[i]);
		used += rp->latencies[i].total_count > 0;
	}
	if (used > 1)
		print_latency_row(out, "all", &rp->all_latencies);
}

static void print_counts(const struct load_report *rp, FILE *out)
{
	const struct engine_counts *c = &rp->counts;

	fprintf(out, "operations  %llu in %.3f s: %.0f/s", (unsigned long long)c->operations,
		rp->elapsed_s, ratio((double)c->operations, rp->elapsed_s));
	if (c->commands != c->operations)
		fprintf(out, " (%llu commands)", (unsigned long long)c->commands);
	fputc('\n', out);
	for (unsigned i = 0; i < OP_KIND_COUNT; i++) {
		if (c->kinds[i] > 0 && c->kinds[i] < c->operations)
			fprintf(out, "  %-8s  %llu\n", op_kind_name(i),
				(unsigned long long)c->kinds[i]);
	}
	fprintf(out, "hits        %llu, misses %llu (hit ratio %.4f)\n", (unsigned long long)c->hits,
		(unsigned long long)c->misses,
		ratio((double)c->hits, (double)(c->hits + c->misses)));
	if (c->fills || c->not_stored || c->not_found)
		fprintf(out, "            %llu set after a miss, %llu not stored, %llu not found\n",
			(unsigned long long)c->fills, (unsigned long long)c->not_stored,
			(unsigned long long)c->not_found);
	fprintf(out, "errors      %llu", (unsigned long long)c->errors);
	if (c->errors > 0)
		fprintf(out, ", the last \"%s\"", rp->last_error);
	if (rp->verified)
		fprintf(out, "; wrong values %llu", (unsigned long long)c->wrong_values);
	fputc('\n', out);
	fprintf(out, "network     %.1f MB/s out, %.1f MB/s in\n",
		ratio((double)c->sent_bytes / 1e6, rp->elapsed_s),
		ratio((double)c->received_bytes / 1e6, rp->elapsed_s));
}

static void print_processes(const struct load_report *rp, FILE *out)
{
	double busy = ratio(rp->client_cpu_s, rp->elapsed_s * rp->thread_count);

	if (rp->has_server) {
		double cpu_us = report_cpu_us(rp), user = report_user_share(rp);

		fprintf(out,
			"server      CPU %.3f us an operation (user %.3f, system %.3f), %.2f cores; "
			"resident %.1f MiB, peak %.1f MiB\n", cpu_us, cpu_us * user,
			cpu_us * (1 - user),
			ratio(rp->server_after.cpu_s - rp->server_before.cpu_s, rp->elapsed_s),
			(double)rp->server_after.resident_bytes / (1 << 20),
			(double)rp->server_after.peak_bytes / (1 << 20));
	}
	fprintf(out, "load tool   CPU %.3f us an operation, its threads busy %.0f %%\n",
		ratio(rp->client_cpu_s * 1e6, (double)rp->counts.operations), 100 * busy);
	if (busy > 0.95 && rp->rate_per_s == 0)
		fprintf(out, "note: the load tool was busy all the time; the server may do more "
			"(--threads)\n");
	if (rp->counts.unsent > 0)
		fprintf(out, "note: the rate was not reached: %llu commands were due and not sent, "
			"their waits are not in the percentiles\n",
			(unsigned long long)rp->counts.unsent);
	if (rp->interrupted)
		fprintf(out, "note: interrupted\n");
}

void load_report_print(const struct load_report *rp, FILE *out)
{
	fprintf(out, "%s: %u thread%s, %u connection%s, depth %u", rp->server, rp->thread_count,
		rp->thread_count > 1 ? "s" : "", rp->connection_count,
		rp->connection_count > 1 ? "s" : "", rp->depth);
	if (rp->multiget > 1)
		fprintf(out, ", %u keys a get", rp->multiget);
	if (rp->rate_per_s > 0)
		fprintf(out, ", open loop at %.0f commands/s\n", rp->rate_per_s);
	else
		fprintf(out, ", closed loop\n");
	fprintf(out, "%s of %llu keys (%s), key size %s, value size %s\n", rp->mix,
		(unsigned long long)rp->key_count, rp->order, rp->key_sizes, rp->value_sizes);
	print_counts(rp, out);
	print_latencies(rp, out);
	print_processes(rp, out);
}

/* ---- JSON ---- */

static void json_text(FILE *out, const char *name, const char *text)
{
	fprintf(out, "  \"%s\": ", name);
	tool_print_json_string(out, text);
	fputs(",\n", out);
}

static void json_count(FILE *out, const char *name, uint64_t value)
{
	fprintf(out, "  \"%s\": %llu,\n", name, (unsigned long long)value);
}

static void json_real(FILE *out, const char *name, double value)
{
	fprintf(out, "  \"%s\": %.6f,\n", name, value);
}

static void json_latency(FILE *out, const char *name, const struct histogram *h, const char *end)
{
	fprintf(out, "    \"%s\": {\"count\": %llu, \"min\": %.3f, \"mean\": %.3f", name,
		(unsigned long long)h->total_count,
		h->total_count ? (double)h->min / 1e3 : 0, histogram_mean(h) / 1e3);
	for (size_t i = 0; i < ARRAY_LENGTH(report_percents); i++)
		fprintf(out, ", \"%s\": %.3f", report_percent_names[i],
			(double)histogram_percentile(h, report_percents[i]) / 1e3);
	fprintf(out, ", \"max\": %.3f}%s\n", (double)h->max / 1e3, end);
}

static void json_kinds(const struct load_report *rp, FILE *out)
{
	const char *comma = "";

	fputs("  \"commands_by_name\": {", out);
	for (unsigned i = 0; i < OP_KIND_COUNT; i++) {
		if (rp->counts.kinds[i] == 0)
			continue;
		fprintf(out, "%s\"%s\": %llu", comma, op_kind_name(i),
			(unsigned long long)rp->counts.kinds[i]);
		comma = ", ";
	}
	fputs("},\n", out);
}

static void json_server(const struct load_report *rp, FILE *out)
{
	double cpu_us = report_cpu_us(rp), user = report_user_share(rp);

	if (!rp->has_server)
		return;
	json_real(out, "server_cpu_s", rp->server_after.cpu_s - rp->server_before.cpu_s);
	json_real(out, "server_cpu_us_per_operation", cpu_us);
	json_real(out, "server_user_us_per_operation", cpu_us * user);
	json_real(out, "server_system_us_per_operation", cpu_us * (1 - user));
	json_count(out, "server_resident_bytes", rp->server_after.resident_bytes);
	json_count(out, "server_peak_resident_bytes", rp->server_after.peak_bytes);
}

static void json_counts(const struct load_report *rp, FILE *out)
{
	const struct engine_counts *c = &rp->counts;

	json_count(out, "operations", c->operations);
	json_count(out, "commands", c->commands);
	json_kinds(rp, out);
	json_real(out, "operations_per_s", ratio((double)c->operations, rp->elapsed_s));
	json_count(out, "hits", c->hits);
	json_count(out, "misses", c->misses);
	json_count(out, "fills", c->fills);
	json_count(out, "not_stored", c->not_stored);
	json_count(out, "not_found", c->not_found);
	json_count(out, "errors", c->errors);
	json_count(out, "wrong_values", c->wrong_values);
	json_count(out, "unsent", c->unsent);
	json_count(out, "sent_bytes", c->sent_bytes);
	json_count(out, "received_bytes", c->received_bytes);
}

void load_report_print_json(const struct load_report *rp, FILE *out)
{
	fputs("{\n", out);
	json_text(out, "server", rp->server);
	json_text(out, "loop", rp->rate_per_s > 0 ? "open" : "closed");
	json_real(out, "rate_per_s", rp->rate_per_s);
	json_count(out, "threads", rp->thread_count);
	json_count(out, "connections", rp->connection_count);
	json_count(out, "depth", rp->depth);
	json_count(out, "multiget", rp->multiget);
	json_text(out, "mix", rp->mix);
	json_count(out, "keys", rp->key_count);
	json_text(out, "order", rp->order);
	json_text(out, "key_size", rp->key_sizes);
	json_text(out, "value_size", rp->value_sizes);
	json_real(out, "elapsed_s", rp->elapsed_s);
	json_counts(rp, out);
	json_server(rp, out);
	json_real(out, "client_cpu_s", rp->client_cpu_s);
	fputs("  \"latency_us\": {\n", out);
	for (unsigned i = 0; i < OP_CLASS_COUNT; i++)
		json_latency(out, class_names[i], &rp->latencies[i], ",");
	json_latency(out, "all", &rp->all_latencies, "");
	fputs("  }\n}\n", out);
}

/* ---- curves ---- */

/* One point for each occupied bucket: its upper end and the share of what is not above it. The last
 * has nothing above it and no place on the axis of 1/(1-p): it stands at twice the count. */
static void write_percentile_points(const struct histogram *h, FILE *out)
{
	uint64_t seen = 0;

	for (size_t i = 0; i < HISTOGRAM_BUCKET_COUNT && seen < h->total_count; i++) {
		double share;

		if (h->counts[i] == 0)
			continue;
		seen += h->counts[i];
		share = (double)seen / (double)h->total_count;
		fprintf(out, "%12.3f %1.10f %12llu %14.2f\n",
			(double)MIN(histogram_bucket_high(i), h->max) / 1e3, share,
			(unsigned long long)seen,
			seen < h->total_count ? 1 / (1 - share) : 2 * (double)h->total_count);
	}
}

bool load_report_write_histogram(const struct load_report *rp, const char *path)
{
	const struct histogram *h = &rp->all_latencies;
	FILE *out = fopen(path, "we");
	bool good;

	if (!out) {
		fprintf(stderr, "%s: %s\n", path, strerror(errno));
		return false;
	}
	fprintf(out, "       Value     Percentile   TotalCount 1/(1-Percentile)\n\n");
	write_percentile_points(h, out);
	fprintf(out, "#[Mean    = %12.3f, Total count = %12llu]\n#[Max     = %12.3f, unit = us]\n",
		histogram_mean(h) / 1e3, (unsigned long long)h->total_count, (double)h->max / 1e3);
	good = !ferror(out);
	good = fclose(out) == 0 && good;
	if (!good)
		fprintf(stderr, "%s: %s\n", path, strerror(errno));
	return good;
}

static void plot_write_latencies(const struct load_report *rp, FILE *gnuplot)
{
	const char *comma = "";

	for (unsigned i = 0; i < OP_CLASS_COUNT; i++) {
		if (rp->latencies[i].total_count == 0)
			continue;
		fprintf(gnuplot, "$%s << EOD\n", class_names[i]);
		write_percentile_points(&rp->latencies[i], gnuplot);
		fprintf(gnuplot, "EOD\n");
	}
	fprintf(gnuplot, "set title 'Latency by percentile'\n"
		"set logscale x\nset logscale y\nset grid\nset key top left\n"
		"set xlabel 'percentile'\nset ylabel 'us'\n"
		"set xtics ('0' 1, '50' 2, '90' 10, '99' 100, '99.9' 1000, '99.99' 10000, "
		"'99.999' 100000, '99.9999' 1000000)\nplot ");
	for (unsigned i = 0; i < OP_CLASS_COUNT; i++) {
		if (rp->latencies[i].total_count == 0)
			continue;
		fprintf(gnuplot, "%s$%s using 4:1 with lines lw 2 title '%s'", comma, class_names[i],
			class_names[i]);
		comma = ", ";
	}
	fputs(*comma ? "\n" : "NaN notitle\n", gnuplot);
}

static void plot_write_throughput(const struct load_report *rp, FILE *gnuplot)
{
	fprintf(gnuplot, "$throughput << EOD\n");
	for (size_t i = 1; i < rp->sample_count; i++) {
		const struct load_sample *a = &rp->samples[i - 1], *b = &rp->samples[i];

		if (b->at_s > a->at_s)
			fprintf(gnuplot, "%f %f\n", (a->at_s + b->at_s) / 2,
				(double)(b->operations - a->operations) / (b->at_s - a->at_s) / 1e3);
	}
	fprintf(gnuplot, "EOD\nreset\nset title 'Throughput'\nset grid\nset xlabel 's'\n"
		"set ylabel '1000 operations/s'\nset yrange [0:*]\n"
		"plot $throughput using 1:2 with lines lw 2 notitle\n");
}

bool load_report_plot(const struct load_report *rp, const char *path)
{
	FILE *gnuplot = tool_plot_begin(path, 1200, 500);

	if (!gnuplot)
		return false;
	fprintf(gnuplot, "set multiplot layout 1,2\n");
	plot_write_latencies(rp, gnuplot);
	plot_write_throughput(rp, gnuplot);
	fprintf(gnuplot, "unset multiplot\n");
	return tool_plot_end(gnuplot, path);
}
