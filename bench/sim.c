/*
 * sim.c: larder-sim, the server's policies over access traces without a server: misses by size, beside
 * FIFO and Belady's. Runs are independent and spread over threads; each trace is read once.
 */
#include <errno.h>
#include <getopt.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bench/sim_curve.h"
#include "bench/sim_run.h"
#include "bench/tool.h"
#include "store/base/base.h"

#define POLICIES_MAX 16u
#define SIZES_MAX 32u
#define THREADS_MAX 64u

struct size_option {
	double share;      /* of the trace's keys, or of their bytes; 0: absolute */
	uint64_t absolute;
	char text[24];
};

struct options {
	const char *policy_list; /* as given; NULL: chosen */
	const char *size_list;
	const char *policies[POLICIES_MAX];
	unsigned policy_count;
	struct size_option sizes[SIZES_MAX];
	unsigned size_count;
	bool by_bytes;
	bool curve;
	double rate;       /* of --curve; 0: chosen */
	unsigned threads;
	const char *csv_path; /* "-": standard output */
	FILE *table;          /* where the tables for people go */
	const char *plot_path;
	const char *reference_path;
	bool quiet;
};

/* One trace's results. */
struct result {
	char name[64];
	uint32_t request_count;
	uint32_t key_count;
	uint64_t capacities[SIZES_MAX];
	uint32_t misses[SIZES_MAX][POLICIES_MAX];
};

struct work {
	const struct options *options;
	const struct sim_trace *trace;
	struct result *result;
	atomic_uint next;
	atomic_uint done;
};

/* ---- running ---- */

static void *work_thread(void *context)
{
	struct work *w = context;
	const struct options *o = w->options;
	unsigned jobs = o->size_count * o->policy_count, job;

	while ((job = atomic_fetch_add(&w->next, 1)) < jobs) {
		/* The largest sizes first: they take longest. */
		unsigned size = o->size_count - 1 - job / o->policy_count, policy = job % o->policy_count;

		w->result->misses[size][policy] =
			sim_run(w->trace, o->policies[policy], w->result->capacities[size]);
		atomic_fetch_add(&w->done, 1);
	}
	return NULL;
}

static void show_progress(const struct work *w, unsigned trace, unsigned trace_count)
{
	unsigned jobs = w->options->size_count * w->options->policy_count, done;

	if (w->options->quiet || !isatty(STDERR_FILENO))
		return;
	while ((done = atomic_load(&w->done)) < jobs) {
		fprintf(stderr, "\r%-20.20s trace %u of %u, run %u of %u ", w->result->name, trace + 1,
		        trace_count, done + 1, jobs);
		fflush(stderr);
		usleep(100000);
	}
	fprintf(stderr, "\r%60s\r", "");
}

static uint64_t capacity_of(const struct size_option *size, const struct sim_trace *trace)
{
	uint64_t share = (uint64_t)(size->share * (double)trace->weight_sum);

	return MAX(1, size->absolute ? size->absolute : share);
}

static void run_trace(const struct options *o, const char *path, unsigned number, unsigned count,
                      struct result *result)
{
	struct sim_trace trace;
	pthread_t threads[THREADS_MAX];

	sim_trace_load(&trace, path, o->by_bytes);
	*result = (struct result){ .request_count = trace.request_count, .key_count = trace.key_count };
	memcpy(result->name, trace.name, sizeof(result->name));
	for (unsigned i = 0; i < o->size_count; i++)
		result->capacities[i] = capacity_of(&o->sizes[i], &trace);
	struct work w = { .options = o, .trace = &trace, .result = result };

	for (unsigned i = 0; i < o->threads; i++)
		if (pthread_create(&threads[i], NULL, work_thread, &w) != 0)
			tool_fail("cannot start a thread");
	show_progress(&w, number, count);
	for (unsigned i = 0; i < o->threads; i++)
		pthread_join(threads[i], NULL);
	sim_trace_free(&trace);
}

/* ---- reports ---- */

static void print_trace(const struct options *o, const struct result *r)
{
	fprintf(o->table, "%s: %u requests, %u keys\n%12s", r->name, r->request_count, r->key_count,
	       o->by_bytes ? "bytes" : "keys");
	for (unsigned p = 0; p < o->policy_count; p++)
		fprintf(o->table, " %9s", o->policies[p]);
	fprintf(o->table, "   (miss ratio)\n");
	for (unsigned s = 0; s < o->size_count; s++) {
		fprintf(o->table, "%12llu", (unsigned long long)r->capacities[s]);
		for (unsigned p = 0; p < o->policy_count; p++)
			fprintf(o->table, " %9.4f", (double)r->misses[s][p] / MAX(1, r->request_count));
		fprintf(o->table, "\n");
	}
	fprintf(o->table, "\n");
	fflush(o->table);
}

/* Mean and worst over traces and sizes, against strict LRU where that was run. */
static void print_summary(const struct options *o, const struct result *results, unsigned count)
{
	unsigned lru = 0;

	while (lru < o->policy_count && strcmp(o->policies[lru], "lru") != 0)
		lru++;
	if (lru == o->policy_count)
		return;
	fprintf(o->table, "misses against lru, over %u traces and %u sizes:\n%12s %9s %9s   worst in\n", count,
	       o->size_count, "", "mean", "worst");
	for (unsigned p = 0; p < o->policy_count; p++) {
		double sum = 0, worst = -1;
		const char *worst_name = "";
		unsigned rows = 0;

		for (unsigned t = 0; t < count; t++) {
			for (unsigned s = 0; s < o->size_count; s++) {
				if (results[t].misses[s][lru] == 0)
					continue;
				double change = (double)results[t].misses[s][p] / results[t].misses[s][lru] - 1;

				sum += change;
				rows++;
				if (change > worst) {
					worst = change;
					worst_name = results[t].name;
				}
			}
		}
		fprintf(o->table, "%12s %+8.1f%% %+8.1f%%   %s\n", o->policies[p], 100 * sum / MAX(1, rows),
		       100 * worst, p == lru ? "" : worst_name);
	}
}

static bool is_standard(const char *path)
{
	return strcmp(path, "-") == 0;
}

static void write_csv(const struct options *o, const struct result *results, unsigned count)
{
	FILE *out = is_standard(o->csv_path) ? stdout : fopen(o->csv_path, "w");

	if (!out)
		tool_fail("--csv: cannot write %s: %s", o->csv_path, strerror(errno));
	fprintf(out, "trace,size,capacity_%s,requests", o->by_bytes ? "bytes" : "items");
	for (unsigned p = 0; p < o->policy_count; p++)
		fprintf(out, ",%s", o->policies[p]);
	fprintf(out, "\n");
	for (unsigned t = 0; t < count; t++) {
		for (unsigned s = 0; s < o->size_count; s++) {
			fprintf(out, "%s,%s,%llu,%u", results[t].name, o->sizes[s].text,
			        (unsigned long long)results[t].capacities[s], results[t].request_count);
			for (unsigned p = 0; p < o->policy_count; p++)
				fprintf(out, ",%u", results[t].misses[s][p]);
			fprintf(out, "\n");
		}
	}
	if (fflush(out) != 0 || (out != stdout && fclose(out) != 0))
		tool_fail("--csv: cannot write %s: %s", o->csv_path, strerror(errno));
}

/* A panel a trace: miss ratio against size, a line a policy. */
static void write_plot(const struct options *o, const struct result *results, unsigned count)
{
	unsigned columns = count < 3 ? count : 3, rows = (count + columns - 1) / columns;
	FILE *gnuplot = tool_plot_begin(o->plot_path, 500 * columns, 360 * rows);

	if (!gnuplot)
		exit(TOOL_EXIT_FAILURE);
	fprintf(gnuplot, "set multiplot layout %u,%u\nset logscale x\nset grid\nset yrange [0:*]\n"
	                 "set xlabel 'size (%s)'\nset ylabel 'miss ratio'\nset key bottom left\n",
	        rows, columns, o->by_bytes ? "bytes" : "keys");
	for (unsigned t = 0; t < count; t++) {
		fprintf(gnuplot, "$t%u << EOD\n", t);
		for (unsigned s = 0; s < o->size_count; s++) {
			fprintf(gnuplot, "%llu", (unsigned long long)results[t].capacities[s]);
			for (unsigned p = 0; p < o->policy_count; p++)
				fprintf(gnuplot, " %f",
				        (double)results[t].misses[s][p] / MAX(1, results[t].request_count));
			fprintf(gnuplot, "\n");
		}
		fprintf(gnuplot, "EOD\nset title ");
		tool_plot_quoted(gnuplot, results[t].name);
		fprintf(gnuplot, " noenhanced\nplot ");
		for (unsigned p = 0; p < o->policy_count; p++)
			fprintf(gnuplot, "%s$t%u using 1:%u with linespoints title '%s'", p ? ", " : "", t,
			        p + 2, o->policies[p]);
		fprintf(gnuplot, "\n");
	}
	fprintf(gnuplot, "unset multiplot\n");
	if (!tool_plot_end(gnuplot, o->plot_path))
		exit(TOOL_EXIT_FAILURE);
}

/* ---- reference counts ---- */

/* The field of this number in a line of comma-separated ones. */
static bool csv_field(const char *line, unsigned number, char *field, size_t size)
{
	for (; number > 0 && line; number--) {
		line = strchr(line, ',');
		line += line != NULL;
	}
	if (!line)
		return false;
	snprintf(field, size, "%.*s", (int)strcspn(line, ",\r\n"), line);
	return true;
}

static int csv_column(const char *header, const char *name)
{
	char field[64];

	for (unsigned i = 0; csv_field(header, i, field, sizeof(field)); i++)
		if (strcmp(field, name) == 0)
			return (int)i;
	return -1;
}

static const struct result *result_named(const struct result *results, unsigned count, const char *name)
{
	for (unsigned i = 0; i < count; i++)
		if (strcmp(results[i].name, name) == 0)
			return &results[i];
	return NULL;
}

/* One row of the file beside what was counted here. Returns how many columns were compared. */
static unsigned compare_row(const struct options *o, const struct result *r, const char *header,
                            const char *line, uint64_t capacity, double *worst)
{
	unsigned compared = 0;

	for (unsigned s = 0; s < o->size_count; s++) {
		if (r->capacities[s] != capacity)
			continue;
		fprintf(o->table, "%-16s %9llu", r->name, (unsigned long long)capacity);
		for (unsigned p = 0; p < o->policy_count; p++) {
			int column = csv_column(header, o->policies[p]);
			char field[64];
			double wanted;

			if (column < 0 || !csv_field(line, (unsigned)column, field, sizeof(field)) ||
			    (wanted = strtod(field, NULL)) <= 0)
				continue;
			double off = r->misses[s][p] / wanted - 1;

			fprintf(o->table, "  %s %+.2f%%", o->policies[p], 100 * off);
			worst[p] = MAX(worst[p], off < 0 ? -off : off);
			compared++;
		}
		fprintf(o->table, "\n");
		break;
	}
	return compared;
}

struct reference {
	FILE *in;
	char header[1024];
	unsigned name_column;
	unsigned capacity_column;
};

/* The file has columns trace, capacity_items and one a policy. */
static void open_reference(const char *path, struct reference *rf)
{
	rf->in = fopen(path, "r");
	if (!rf->in)
		tool_fail("--reference: cannot read %s: %s", path, strerror(errno));
	if (!fgets(rf->header, sizeof(rf->header), rf->in))
		tool_fail("--reference: nothing in %s", path);
	int name_column = csv_column(rf->header, "trace"), capacity_column = csv_column(rf->header, "capacity_items");

	if (name_column < 0 || capacity_column < 0)
		tool_fail("--reference: %s: no columns trace and capacity_items", path);
	rf->name_column = (unsigned)name_column;
	rf->capacity_column = (unsigned)capacity_column;
}

static void compare_reference(const struct options *o, const struct result *results, unsigned count)
{
	char line[1024], name[64], capacity[64];
	double worst[POLICIES_MAX] = { 0 };
	struct reference rf;
	unsigned compared = 0;

	open_reference(o->reference_path, &rf);
	fprintf(o->table, "\nmisses against %s:\n", o->reference_path);
	while (fgets(line, sizeof(line), rf.in)) {
		if (!csv_field(line, rf.name_column, name, sizeof(name)) ||
		    !csv_field(line, rf.capacity_column, capacity, sizeof(capacity)))
			continue;
		const struct result *r = result_named(results, count, name);

		if (r)
			compared += compare_row(o, r, rf.header, line, strtoull(capacity, NULL, 10), worst);
	}
	fclose(rf.in);
	if (compared == 0)
		tool_fail("%s: no row has a trace and capacity of this run", o->reference_path);
	fprintf(o->table, "furthest:");
	for (unsigned p = 0; p < o->policy_count; p++)
		if (csv_column(rf.header, o->policies[p]) >= 0)
			fprintf(o->table, "  %s %.2f%%", o->policies[p], 100 * worst[p]);
	fprintf(o->table, "\n");
}

/* ---- curves ---- */

struct curve_row {
	char name[64];
	const char *policy;
	const char *size;
	uint32_t sampled_keys;
	double mean_error;
};

static void print_curve_summary(const struct curve_row *rows, unsigned count)
{
	double sum = 0, worst = 0;

	printf("%-20s %-8s %8s %9s %9s\n", "trace", "policy", "budget", "sampled", "error");
	for (unsigned i = 0; i < count; i++) {
		printf("%-20s %-8s %8s %9u %9.4f\n", rows[i].name, rows[i].policy, rows[i].size,
		       rows[i].sampled_keys, rows[i].mean_error);
		sum += rows[i].mean_error;
		worst = MAX(worst, rows[i].mean_error);
	}
	printf("mean %.4f, worst %.4f\n", sum / MAX(1, count), worst);
}

/* Each of the server's policies that was asked for, at each size, over each trace. */
static void run_curves(const struct options *o, char **paths, unsigned trace_count)
{
	struct curve_row *rows = tool_alloc((size_t)trace_count * o->policy_count * o->size_count,
	                                    sizeof(*rows));
	unsigned count = 0;

	for (unsigned i = 0; i < trace_count; i++) {
		struct sim_trace trace;

		sim_trace_load(&trace, paths[i], o->by_bytes);
		for (unsigned k = 0; k < o->policy_count * o->size_count; k++) {
			const struct size_option *size = &o->sizes[k % o->size_count];
			const char *policy = o->policies[k / o->size_count];
			struct sim_curve curve;

			sim_curve_run(&trace, policy_find(policy), capacity_of(size, &trace), o->rate,
			              o->threads, &curve);
			if (!o->quiet)
				sim_curve_print(&trace, &curve);
			struct curve_row *row = &rows[count++];

			*row = (struct curve_row){ .policy = policy, .size = size->text };
			memcpy(row->name, trace.name, sizeof(row->name));
			row->sampled_keys = curve.sampled_keys;
			row->mean_error = curve.mean_error;
		}
		sim_trace_free(&trace);
	}
	print_curve_summary(rows, count);
	free(rows);
}

/* ---- command line ---- */

static void usage(FILE *out)
{
	fputs("Usage: larder-sim [option...] TRACE...\n"
	      "Runs eviction policies over access traces (lines \"key size [ttl [time]]\", plain or zstd;\n"
	      "TTLs are not simulated) and tells how many requests miss at several sizes.\n"
	      "\n"
	      "  -p, --policies LIST   of ", out);
	for (unsigned i = 0; sim_policy_name(i); i++)
		fprintf(out, "%s%s", i ? ", " : "", sim_policy_name(i));
	fputs(" (all)\n"
	      "  -s, --sizes LIST      each a number of keys (2583, 10k) or a share of the trace's\n"
	      "                        (10%); default 0.5%,1%,2%,5%,10%,20%,40%\n"
	      "      --bytes           sizes count bytes (64m, or a share of all keys' bytes)\n"
	      "      --curve           what the server's miss-ratio curves (stats mrc) would say of a budget\n"
	      "                        of each size (10%), beside full simulations; default policy s3fifo\n"
	      "      --rate R          of --curve: share of the keys that are sampled (12,500 of them)\n"
	      "  -T, --threads N       (the machine's)\n"
	      "      --csv FILE        misses as a table; -: on standard output, all else on\n"
	      "                        standard error\n"
	      "      --plot FILE       .png or .svg through gnuplot: miss ratio against size\n"
	      "      --reference FILE  a table of known misses (columns trace, capacity_items and one\n"
	      "                        a policy) to compare with\n"
	      "  -q, --quiet           no progress line (there is none without a terminal); of --curve only\n"
	      "                        the last table\n"
	      "  -h, --help            this text\n"
	      "\n"
	      "  larder-sim -p lru,s3fifo,belady -s 1%,10% trace.txt.zst --plot misses.svg\n", out);
}

static void parse_policies(struct options *o, const char *text)
{
	char *rest = tool_strdup(text), *part;

	o->policy_count = 0;
	while ((part = strsep(&rest, ",")) != NULL) {
		if (!sim_policy_known(part))
			tool_fail_usage("--policies: there is no policy %s", part);
		if (o->policy_count == POLICIES_MAX)
			tool_fail_usage("--policies: more than %u", POLICIES_MAX);
		o->policies[o->policy_count++] = part;
	}
}

static void parse_size(struct options *o, const char *text)
{
	struct size_option *size = &o->sizes[o->size_count++];
	size_t length = strlen(text);
	char number[24];
	bool good;

	*size = (struct size_option){ 0 };
	snprintf(size->text, sizeof(size->text), "%s", text);
	if (length > 1 && length < sizeof(number) && text[length - 1] == '%') {
		snprintf(number, sizeof(number), "%.*s", (int)length - 1, text);
		good = tool_parse_double(number, &size->share);
		size->share /= 100;
		good = good && size->share > 0;
	} else {
		good = (o->by_bytes ? tool_parse_size_bytes(text, &size->absolute)
		                    : tool_parse_count(text, &size->absolute)) && size->absolute > 0;
	}
	if (!good)
		tool_fail_usage("--sizes: %s is neither a number nor a share such as 10%%", text);
}

static void parse_sizes(struct options *o, const char *text)
{
	char *copy = tool_strdup(text), *rest = copy, *part;

	while ((part = strsep(&rest, ",")) != NULL) {
		if (o->size_count == SIZES_MAX)
			tool_fail_usage("--sizes: more than %u", SIZES_MAX);
		parse_size(o, part);
	}
	free(copy);
}

static const struct option sim_options[] = {
	{ "policies", required_argument, NULL, 'p' },
	{ "sizes", required_argument, NULL, 's' },
	{ "bytes", no_argument, NULL, 'b' },
	{ "curve", no_argument, NULL, 'C' },
	{ "rate", required_argument, NULL, 'R' },
	{ "threads", required_argument, NULL, 'T' },
	{ "csv", required_argument, NULL, 'c' },
	{ "plot", required_argument, NULL, 'l' },
	{ "reference", required_argument, NULL, 'r' },
	{ "quiet", no_argument, NULL, 'q' },
	{ "help", no_argument, NULL, 'h' },
	{ NULL, 0, NULL, 0 },
};

static void take_option(struct options *o, int option)
{
	switch (option) {
	case 'p':
		o->policy_list = optarg;
		break;
	case 's':
		o->size_list = optarg;
		break;
	case 'b':
		o->by_bytes = true;
		break;
	case 'C':
		o->curve = true;
		break;
	case 'R':
		if (!tool_parse_double(optarg, &o->rate) || o->rate <= 0 || o->rate > 1)
			tool_fail_usage("--rate: %s is not above 0 and at most 1", optarg);
		break;
	case 'T':
		o->threads = (unsigned)tool_option_u64("--threads", optarg, 1, THREADS_MAX);
		break;
	case 'c':
		o->csv_path = optarg;
		break;
	case 'l':
		o->plot_path = optarg;
		break;
	case 'r':
		o->reference_path = optarg;
		break;
	case 'q':
		o->quiet = true;
		break;
	case 'h':
		usage(stdout);
		exit(0);
	default:
		fputs("larder-sim: try --help\n", stderr);
		exit(TOOL_EXIT_USAGE);
	}
}

/* Sizes that are bytes or items need to know which, so the lists are read when all options are. */
static void parse_lists(struct options *o)
{
	if (o->policy_list || o->curve)
		parse_policies(o, o->policy_list ? o->policy_list : policy_at(0)->name);
	else
		for (; sim_policy_name(o->policy_count); o->policy_count++)
			o->policies[o->policy_count] = sim_policy_name(o->policy_count);
	parse_sizes(o, o->size_list ? o->size_list : o->curve ? "10%" : "0.5%,1%,2%,5%,10%,20%,40%");
}

static void check_curve_options(const struct options *o)
{
	for (unsigned i = 0; i < o->policy_count; i++)
		if (!policy_find(o->policies[i]))
			tool_fail_usage("--curve: %s is not one of the server's policies", o->policies[i]);
	if (o->csv_path || o->plot_path || o->reference_path)
		tool_fail_usage("%s: not with --curve",
		                o->csv_path ? "--csv" : o->plot_path ? "--plot" : "--reference");
}

/* What is read or written at the end is looked at before the traces are. */
static void check_options(const struct options *o)
{
	struct reference rf;

	if (o->curve)
		check_curve_options(o);
	else if (o->rate != 0)
		tool_fail_usage("--rate is for --curve");
	if (o->csv_path && !is_standard(o->csv_path))
		tool_check_output("--csv", o->csv_path);
	if (o->plot_path)
		tool_check_plot("--plot", o->plot_path);
	if (!o->reference_path)
		return;
	open_reference(o->reference_path, &rf);
	fclose(rf.in);
}

static void run_policies(const struct options *o, char **traces, unsigned count)
{
	struct result *results = tool_alloc(count, sizeof(*results));

	for (unsigned i = 0; i < count; i++) {
		run_trace(o, traces[i], i, count, &results[i]);
		print_trace(o, &results[i]);
	}
	print_summary(o, results, count);
	if (o->csv_path)
		write_csv(o, results, count);
	if (o->plot_path)
		write_plot(o, results, count);
	if (o->reference_path)
		compare_reference(o, results, count);
	free(results);
}

int main(int argc, char **argv)
{
	struct options o = { .threads = (unsigned)MAX(1, MIN(THREADS_MAX, sysconf(_SC_NPROCESSORS_ONLN))) };
	int option;

	while ((option = getopt_long(argc, argv, "p:s:T:qh", sim_options, NULL)) != -1)
		take_option(&o, option);
	if (optind == argc)
		tool_fail_usage("no trace given");
	parse_lists(&o);
	check_options(&o);
	o.table = o.csv_path && is_standard(o.csv_path) ? stderr : stdout;
	if (o.curve)
		run_curves(&o, argv + optind, (unsigned)(argc - optind));
	else
		run_policies(&o, argv + optind, (unsigned)(argc - optind));
	return 0;
}
