/*
 * larder-load: puts a load on a memcached-protocol server and measures what it does to it.
 *
 * engine.h says how commands are paced, workload.h what they are, load_report.h what comes out. This
 * file reads the command line, runs the phases and takes the samples.
 */
#include "config.h"

#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "bench/client.h"
#include "bench/engine.h"
#include "bench/load_report.h"
#include "bench/procstat.h"
#include "bench/tool.h"
#include "bench/workload.h"
#include "store/base/base.h"

#define LOAD_SAMPLE_NS UINT64_C(100000000)

struct load_options {
	const char *server;
	pid_t pid;
	struct engine_options engine;
	struct workload_options workload;
	const char *model;
	bool populate, json, quiet;
	double warm_up_s, duration_s;
	uint64_t command_count;
	const char *histogram_path, *plot_path;
};

/* What a signal handler can reach. */
static volatile sig_atomic_t load_stop;

static void load_on_signal(int number)
{
	load_stop = 1;
}

/* ---- the command line ---- */

static const char load_help[] =
	"Usage: larder-load [option...]\n"
	"Puts a load on a memcached-protocol server and reports throughput, latencies and, for a\n"
	"server on this machine, its CPU time for an operation and its memory.\n"
	"\n"
	"Server and connections\n"
	"  -s, --server ADDRESS    HOST:PORT, [IPV6]:PORT or a socket's /PATH (127.0.0.1:11211)\n"
	"  -p, --pid PID           the server's process (a local server is asked for it)\n"
	"  -T, --threads N         (1)\n"
	"  -c, --connections N     of all threads (32)\n"
	"Pace\n"
	"  -d, --depth N           closed loop: commands in flight on a connection, sent as one\n"
	"                          batch (1); open loop: at most so many (100)\n"
	"      --sliding           send the next command on each answer, not on the batch's last\n"
	"  -r, --rate N            open loop: N commands a second; latency counts from when a\n"
	"                          command was due, not from when it could be sent\n"
	"      --arrivals KIND     of an open loop: poisson or even (poisson)\n"
	"Commands\n"
	"  -m, --mix LIST          NAME=WEIGHT,...: get gets gat mg set add replace ms delete md\n"
	"                          touch (get=1)\n"
	"  -g, --multiget N        keys in one get (1); each counts as an operation\n"
	"      --fill              follow a missed get with a set\n"
	"      --verify            check every value read\n"
	"Keys and values\n"
	"  -k, --keys N            (100000)\n"
	"  -o, --order ORDER       uniform, zipf[:THETA] (0.99), hot:KEYS%:REQUESTS%, sequential\n"
	"  -K, --key-size SIZE     N, MIN-MAX, etc, usr or file:PATH (15)\n"
	"  -v, --value-size SIZE   the same; a file has lines \"size [weight]\" (100)\n"
	"      --model etc|usr     key and value sizes and mix of two Facebook pools (SIGMETRICS\n"
	"                          2012) where they are not given\n"
	"  -t, --ttl S[-MAX]       TTL of what is written, in seconds (0)\n"
	"      --seed N            (1)\n"
	"Length\n"
	"      --populate          first set every key once\n"
	"  -w, --warm-up TIME      run so long before measuring (0)\n"
	"  -D, --duration TIME     measure so long (10s, or until --count)\n"
	"  -n, --count N           commands to measure, sets of --fill not counted\n"
	"      --timeout TIME      give up when nothing is answered for so long (30s)\n"
	"Output\n"
	"  -j, --json              the summary as JSON\n"
	"      --histogram FILE    latency percentiles, as HdrHistogram's plotters read them\n"
	"      --plot FILE         a .png or .svg through gnuplot: latency percentiles, throughput\n"
	"  -q, --quiet             no progress line (there is none without a terminal)\n"
	"  -h, --help              this text\n"
	"  -V, --version\n"
	"\n"
	"Counts may end in k, m or g (thousands), sizes too (1024s).\n"
	"Exit status: 0, 1 for trouble with the server or wrong values, 64 for a wrong command line.\n"
	"\n"
	"  larder-load --populate -T 2 -c 64 -d 32 -m get=95,set=5 -o zipf -w 2 -D 10\n"
	"  larder-load --populate -r 50000 --model etc -k 1m --plot latency.png\n";

enum {
	OPTION_SLIDING = 256,
	OPTION_ARRIVALS,
	OPTION_FILL,
	OPTION_VERIFY,
	OPTION_MODEL,
	OPTION_SEED,
	OPTION_POPULATE,
	OPTION_TIMEOUT,
	OPTION_HISTOGRAM,
	OPTION_PLOT,
};

static const struct option load_long_options[] = {
	{"server", required_argument, NULL, 's'},
	{"pid", required_argument, NULL, 'p'},
	{"threads", required_argument, NULL, 'T'},
	{"connections", required_argument, NULL, 'c'},
	{"depth", required_argument, NULL, 'd'},
	{"sliding", no_argument, NULL, OPTION_SLIDING},
	{"rate", required_argument, NULL, 'r'},
	{"arrivals", required_argument, NULL, OPTION_ARRIVALS},
	{"mix", required_argument, NULL, 'm'},
	{"multiget", required_argument, NULL, 'g'},
	{"fill", no_argument, NULL, OPTION_FILL},
	{"verify", no_argument, NULL, OPTION_VERIFY},
	{"keys", required_argument, NULL, 'k'},
	{"order", required_argument, NULL, 'o'},
	{"key-size", required_argument, NULL, 'K'},
	{"value-size", required_argument, NULL, 'v'},
	{"model", required_argument, NULL, OPTION_MODEL},
	{"ttl", required_argument, NULL, 't'},
	{"seed", required_argument, NULL, OPTION_SEED},
	{"populate", no_argument, NULL, OPTION_POPULATE},
	{"warm-up", required_argument, NULL, 'w'},
	{"duration", required_argument, NULL, 'D'},
	{"count", required_argument, NULL, 'n'},
	{"timeout", required_argument, NULL, OPTION_TIMEOUT},
	{"json", no_argument, NULL, 'j'},
	{"histogram", required_argument, NULL, OPTION_HISTOGRAM},
	{"plot", required_argument, NULL, OPTION_PLOT},
	{"quiet", no_argument, NULL, 'q'},
	{"help", no_argument, NULL, 'h'},
	{"version", no_argument, NULL, 'V'},
	{NULL, 0, NULL, 0},
};

/* "60" or "60-300". */
static void load_set_ttl(struct load_options *lo, const char *text)
{
	char first[16];
	const char *dash = strchr(text, '-');
	uint64_t min, max;

	snprintf(first, sizeof(first), "%.*s", dash ? (int)MIN(dash - text, 15) : 15, text);
	min = tool_option_u64("--ttl", first, 0, UINT32_MAX);
	max = tool_option_u64("--ttl", dash ? dash + 1 : text, 0, UINT32_MAX);
	if (min > max)
		tool_fail_usage("--ttl: %s is an empty range", text);
	lo->workload.ttl_min_s = (uint32_t)min;
	lo->workload.ttl_max_s = (uint32_t)max;
}

static void load_set_arrivals(struct load_options *lo, const char *text)
{
	lo->engine.even_arrivals = strcmp(text, "even") == 0;
	if (!lo->engine.even_arrivals && strcmp(text, "poisson") != 0)
		tool_fail_usage("--arrivals: \"%s\" is neither poisson nor even", text);
}

static double load_positive(const char *option, double value, double max)
{
	if (!(value > 0) || value > max)
		tool_fail_usage("%s: it is not above 0 and up to %.0f", option, max);
	return value;
}

/* The options that describe commands, keys and values. False: it is none of them. */
static bool load_take_workload_option(struct load_options *lo, int option)
{
	switch (option) {
	case 'm':
		lo->workload.mix = optarg;
		break;
	case 'g':
		lo->workload.multiget =
			(unsigned)tool_option_u64("--multiget", optarg, 1, WORKLOAD_MULTIGET_MAX);
		break;
	case OPTION_VERIFY:
		lo->workload.verify = true;
		break;
	case 'k':
		lo->workload.key_count = tool_option_count("--keys", optarg, 1, KEYSPACE_COUNT_MAX);
		break;
	case 'o':
		lo->workload.order = optarg;
		break;
	case 'K':
		lo->workload.key_sizes = optarg;
		break;
	case 'v':
		lo->workload.value_sizes = optarg;
		break;
	case OPTION_MODEL:
		lo->model = optarg;
		if (strcmp(optarg, "etc") != 0 && strcmp(optarg, "usr") != 0)
			tool_fail_usage("--model: \"%s\" is neither etc nor usr", optarg);
		break;
	case 't':
		load_set_ttl(lo, optarg);
		break;
	default:
		return false;
	}
	return true;
}

/* The options that describe connections and pace. */
static bool load_take_engine_option(struct load_options *lo, int option)
{
	struct engine_options *en = &lo->engine;

	switch (option) {
	case 'T':
		en->thread_count =
			(unsigned)tool_option_u64("--threads", optarg, 1, ENGINE_THREADS_MAX);
		break;
	case 'c':
		en->connection_count =
			(unsigned)tool_option_u64("--connections", optarg, 1, ENGINE_CONNECTIONS_MAX);
		break;
	case 'd':
		en->depth = (unsigned)tool_option_u64("--depth", optarg, 1, ENGINE_DEPTH_MAX);
		break;
	case OPTION_SLIDING:
		en->sliding = true;
		break;
	case 'r':
		en->rate_per_s = load_positive("--rate", tool_option_double("--rate", optarg), 1e9);
		break;
	case OPTION_ARRIVALS:
		load_set_arrivals(lo, optarg);
		break;
	case OPTION_FILL:
		en->fill = true;
		break;
	case OPTION_SEED:
		en->seed = tool_option_u64("--seed", optarg, 0, UINT64_MAX);
		break;
	case OPTION_TIMEOUT:
		en->timeout_ms = (int)(1000 * load_positive("--timeout",
					tool_option_duration_s("--timeout", optarg), 86400));
		break;
	default:
		return false;
	}
	return true;
}

static void load_take_option(struct load_options *lo, int option)
{
	if (load_take_workload_option(lo, option) || load_take_engine_option(lo, option))
		return;
	switch (option) {
	case 's':
		lo->server = optarg;
		break;
	case 'p':
		lo->pid = (pid_t)tool_option_u64("--pid", optarg, 1, INT32_MAX);
		break;
	case OPTION_POPULATE:
		lo->populate = true;
		break;
	case 'w':
		lo->warm_up_s = tool_option_duration_s("--warm-up", optarg);
		break;
	case 'D':
		lo->duration_s = load_positive("--duration",
					       tool_option_duration_s("--duration", optarg), 1e7);
		break;
	case 'n':
		lo->command_count = tool_option_count("--count", optarg, 1, UINT64_MAX);
		break;
	case 'j':
		lo->json = true;
		break;
	case OPTION_HISTOGRAM:
		lo->histogram_path = optarg;
		break;
	case OPTION_PLOT:
		lo->plot_path = optarg;
		break;
	case 'q':
		lo->quiet = true;
		break;
	case 'h':
		fputs(load_help, stdout);
		exit(0);
	case 'V':
		puts("larder-load " PACKAGE_VERSION);
		exit(0);
	default:
		exit(TOOL_EXIT_USAGE);
	}
}

/* A model fills in what was not given; then the general defaults do. */
static void load_apply_defaults(struct load_options *lo)
{
	struct workload_options *wl = &lo->workload;

	if (lo->model) {
		bool etc = strcmp(lo->model, "etc") == 0;

		wl->mix = wl->mix ? wl->mix : etc ? "get=30,set=1" : "get=99.8,set=0.2";
		wl->key_sizes = wl->key_sizes ? wl->key_sizes : lo->model;
		wl->value_sizes = wl->value_sizes ? wl->value_sizes : lo->model;
	}
	wl->mix = wl->mix ? wl->mix : "get=1";
	wl->key_sizes = wl->key_sizes ? wl->key_sizes : "15";
	wl->value_sizes = wl->value_sizes ? wl->value_sizes : "100";
	if (lo->engine.depth == 0)
		lo->engine.depth = lo->engine.rate_per_s > 0 ? 100 : 1;
	if (lo->duration_s == 0 && lo->command_count == 0)
		lo->duration_s = 10;
}

static void load_parse_arguments(struct load_options *lo, int argc, char **argv)
{
	int option;

	*lo = (struct load_options){
		.server = "127.0.0.1:11211",
		.engine = {.thread_count = 1, .connection_count = 32, .seed = 1, .timeout_ms = 30000},
		.workload = {.key_count = 100000, .order = "uniform", .multiget = 1},
	};
	while ((option = getopt_long(argc, argv, "s:p:T:c:d:r:m:g:k:o:K:v:t:w:D:n:jqhV",
				     load_long_options, NULL)) != -1)
		load_take_option(lo, option);
	if (optind < argc)
		tool_fail_usage("\"%s\": no argument is expected", argv[optind]);
	if (lo->histogram_path)
		tool_check_output("--histogram", lo->histogram_path);
	if (lo->plot_path)
		tool_check_plot("--plot", lo->plot_path);
	if (lo->engine.fill && lo->workload.multiget > 1)
		tool_fail_usage("--fill: it needs gets of one key");
	if (lo->engine.sliding && lo->engine.rate_per_s > 0)
		tool_fail_usage("--sliding: it belongs to the closed loop");
	if (lo->engine.connection_count < lo->engine.thread_count)
		tool_fail_usage("--connections: every thread needs one");
	load_apply_defaults(lo);
}

/* ---- phases ---- */

static void load_show_progress(const char *phase, const struct engine_counts *now,
			       const struct engine_counts *before, double elapsed_s, double step_s)
{
	fprintf(stderr, "\r%s %.1f s: %.0f operations/s, hit ratio %.4f, errors %llu\033[K", phase,
		elapsed_s, (double)(now->operations - before->operations) / step_s,
		now->hits + now->misses ? (double)now->hits / (double)(now->hits + now->misses) : 0,
		(unsigned long long)now->errors);
	fflush(stderr);
}

static void load_add_sample(struct load_report *rp, double at_s, uint64_t operations)
{
	rp->samples = tool_realloc(rp->samples, (rp->sample_count + 1) * sizeof(*rp->samples));
	rp->samples[rp->sample_count++] = (struct load_sample){at_s, operations};
}

/* Runs one phase to its end. rp: gets the samples; NULL for none. */
static void load_run_phase(const struct load_options *lo, struct engine *en, const char *name,
			   const struct engine_phase *phase, struct load_report *rp)
{
	bool show = !lo->quiet && isatty(STDERR_FILENO), ended;
	struct engine_counts before = {0}, now;
	uint64_t start_ns = tool_now_ns(), then_ns = start_ns, now_ns;

	engine_start(en, phase);
	do {
		ended = engine_wait(en, LOAD_SAMPLE_NS);
		engine_sum_counts(en, &now);
		now_ns = tool_now_ns();
		if (rp)
			load_add_sample(rp, (double)(now_ns - start_ns) / 1e9, now.operations);
		if (show && now_ns > then_ns)
			load_show_progress(name, &now, &before, (double)(now_ns - start_ns) / 1e9,
					   (double)(now_ns - then_ns) / 1e9);
		before = now;
		then_ns = now_ns;
	} while (!ended);
	if (show)
		fprintf(stderr, "\r\033[K");
	if (engine_error(en))
		tool_fail("%s: %s", lo->server, engine_error(en));
}

/* A server's own word for its process; 0 where it has none. */
static pid_t load_ask_pid(const struct client_address *address, int timeout_ms)
{
	struct client cl;
	enum reply_kind kind;
	struct reply rp;
	pid_t pid = 0;

	client_init(&cl);
	if (client_connect(&cl, address, timeout_ms)) {
		client_append(&cl, "stats\r\n", 7);
		while (client_read_reply(&cl, timeout_ms, &kind, &rp) && kind == REPLY_STAT) {
			if (rp.key_bytes == 3 && memcmp(rp.key, "pid", 3) == 0)
				pid = (pid_t)strtol(rp.value, NULL, 10);
		}
	}
	client_fini(&cl);
	return pid;
}

static void load_fill_report(struct load_report *rp, const struct load_options *lo,
			     const struct engine *en)
{
	rp->server = lo->server;
	rp->mix = lo->workload.mix;
	rp->order = lo->workload.order;
	rp->key_sizes = lo->workload.key_sizes;
	rp->value_sizes = lo->workload.value_sizes;
	rp->key_count = lo->workload.key_count;
	rp->thread_count = lo->engine.thread_count;
	rp->connection_count = lo->engine.connection_count;
	rp->depth = lo->engine.depth;
	rp->multiget = lo->workload.multiget;
	rp->rate_per_s = lo->engine.rate_per_s;
	rp->verified = lo->workload.verify;
	rp->interrupted = load_stop;
	rp->elapsed_s = engine_elapsed_s(en);
	rp->client_cpu_s = engine_cpu_s(en);
	engine_sum_counts(en, &rp->counts);
	histogram_init(&rp->all_latencies);
	for (unsigned i = 0; i < OP_CLASS_COUNT; i++) {
		engine_sum_latencies(en, i, &rp->latencies[i]);
		histogram_merge(&rp->all_latencies, &rp->latencies[i]);
	}
	for (unsigned i = 0; i < en->options.thread_count; i++) {
		if (en->threads[i].last_error[0])
			memcpy(rp->last_error, en->threads[i].last_error, sizeof(rp->last_error));
	}
}

static void load_run(const struct load_options *lo, struct engine *en, struct load_report *rp)
{
	const struct engine_phase populate = {.kind = PHASE_POPULATE};
	const struct engine_phase warm_up = {.kind = PHASE_RUN,
					     .duration_ns = (uint64_t)(lo->warm_up_s * 1e9)};
	const struct engine_phase measure = {.kind = PHASE_RUN,
					     .duration_ns = (uint64_t)(lo->duration_s * 1e9),
					     .command_limit = lo->command_count};
	pid_t pid = lo->pid;

	if (pid == 0 && lo->engine.address->is_local)
		pid = load_ask_pid(lo->engine.address, lo->engine.timeout_ms);
	if (lo->populate)
		load_run_phase(lo, en, "populate", &populate, NULL);
	if (warm_up.duration_ns > 0 && !load_stop)
		load_run_phase(lo, en, "warm-up", &warm_up, NULL);
	rp->has_server = pid > 0 && procstat_read(&rp->server_before, pid);
	if (lo->pid > 0 && !rp->has_server)
		tool_fail("--pid %d: %s", (int)lo->pid, strerror(errno));
	load_add_sample(rp, 0, 0);
	load_run_phase(lo, en, "measure", &measure, rp);
	rp->has_server = rp->has_server && procstat_read(&rp->server_after, pid);
	load_fill_report(rp, lo, en);
}

static bool load_tell(const struct load_options *lo, const struct load_report *rp)
{
	bool good = true;

	if (lo->json)
		load_report_print_json(rp, stdout);
	else
		load_report_print(rp, stdout);
	fflush(stdout);
	if (lo->histogram_path)
		good = load_report_write_histogram(rp, lo->histogram_path) && good;
	if (lo->plot_path)
		good = load_report_plot(rp, lo->plot_path) && good;
	return good && rp->counts.wrong_values == 0;
}

/* Each connection takes a descriptor. */
static void load_raise_file_limit(unsigned connection_count)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
		return;
	limit.rlim_cur = MIN(limit.rlim_max, MAX(limit.rlim_cur, connection_count + 100u));
	setrlimit(RLIMIT_NOFILE, &limit);
}

int main(int argc, char **argv)
{
	const struct sigaction on_signal = {.sa_handler = load_on_signal};
	struct load_options lo;
	struct client_address address;
	struct workload wl;
	struct engine en;
	struct load_report report = {0}; /* 240 KB of histograms: the main thread's stack has room */
	char error[CLIENT_ERROR_BYTES + 64];
	bool good;

	load_parse_arguments(&lo, argc, argv);
	if (!client_address_parse(&address, lo.server, error))
		tool_fail_usage("--server: %s: %s", lo.server, error);
	if (!workload_init(&wl, &lo.workload, error))
		tool_fail_usage("%s", error);
	lo.engine.address = &address;
	sigaction(SIGINT, &on_signal, NULL);
	sigaction(SIGTERM, &on_signal, NULL);
	load_raise_file_limit(lo.engine.connection_count);
	if (!engine_init(&en, &lo.engine, &wl, &load_stop, error))
		tool_fail("%s: %s", lo.server, error);
	load_run(&lo, &en, &report);
	good = load_tell(&lo, &report);
	engine_fini(&en);
	workload_fini(&wl);
	free(report.samples);
	return good ? 0 : TOOL_EXIT_FAILURE;
}
