/*
 * larder-replay: plays access traces against memcached-protocol servers and counts their misses.
 *
 * For each trace, for each server: connect, empty the cache, play (player.h), look at the server's
 * process, and go on to the next; one at a time, so that they do not share the machine. The table or
 * the JSON at the end has a row for each pair.
 */
#include "config.h"

#include <dirent.h>
#include <errno.h>
#include <getopt.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "bench/client.h"
#include "bench/player.h"
#include "bench/procstat.h"
#include "bench/spawn.h"
#include "bench/tool.h"
#include "bench/trace.h"
#include "store/base/base.h"

#define REPLAY_SERVERS_MAX 16
#define REPLAY_PROGRESS_NS 200000000u
#define REPLAY_SPAWN_TIMEOUT_MS 10000

struct replay_server {
	char *name;
	const char *address_text; /* NULL for a server that is spawned */
	const char *command;      /* NULL for one that runs already */
	struct client_address address;
	pid_t pid; /* given by --pid; else 0 */
};

struct replay_result {
	const char *trace;
	const struct replay_server *server;
	struct player_counts counts;
	char refusal[128];
	double elapsed_s;
	bool has_proc; /* the process could be looked at */
	struct procstat before, after;
};

struct replay {
	struct player_options player;
	uint64_t limit;
	bool flush, json, quiet;
	struct replay_server servers[REPLAY_SERVERS_MAX];
	size_t server_count;
	char **traces;
	size_t trace_count;
	struct replay_result *results;
	size_t result_count;
};

/* The one thing a signal handler can reach. */
static volatile sig_atomic_t replay_interrupted;

static void replay_on_signal(int number)
{
	replay_interrupted = 1;
}

/* ---- the command line ---- */

static const char replay_help[] =
	"Usage: larder-replay [option...] TRACE...\n"
	"Plays access traces against memcached-protocol servers: get; on a miss, set.\n"
	"A TRACE is a file of lines \"key size [ttl [time]]\", plain or zstd, \"-\" for standard\n"
	"input, or a directory, of which every .txt, .trace and .zst file is played.\n"
	"\n"
	"  -s, --server [NAME=]ADDRESS  a running server; may be given several times. ADDRESS is\n"
	"                           HOST:PORT, [IPV6]:PORT or a socket's /PATH (127.0.0.1:11211)\n"
	"  -x, --spawn [NAME=]COMMAND   starts a fresh server for each trace: COMMAND -s SOCKET\n"
	"  -p, --pid PID            the process of the --server before it, for its CPU time and\n"
	"                           memory (a local server is asked for it)\n"
	"  -d, --depth N            gets in flight, 1 to 1024 (16). A key's next get waits for the\n"
	"                           answer to the one before, so no miss is counted twice\n"
	"  -g, --multiget           send the gets in flight as one command\n"
	"  -v, --value-size BYTES   value of items whose size is 0 in the trace (100)\n"
	"  -t, --ttl none|FACTOR    ignore the trace's TTLs, or multiply them (1)\n"
	"  -n, --limit N            play only the first N requests of each trace\n"
	"      --no-flush           do not send flush_all before a trace\n"
	"      --timeout TIME       give up when an answer takes longer (30s)\n"
	"  -j, --json               print the summary as JSON\n"
	"  -q, --quiet              no progress line (there is none without a terminal)\n"
	"  -h, --help               this text\n"
	"  -V, --version\n"
	"\n"
	"Exit status: 0, 1 when a trace or a server fails, 64 for a wrong command line.\n"
	"\n"
	"  larder-replay -x 'larder -m 64' -x 'memcached -m 64' traces/\n"
	"  larder-replay -s a=127.0.0.1:11211 -s b=127.0.0.1:11311 scarab_recs.txt.zst\n";

/* NAME= in front is optional; a path or a command may hold '=' later on. */
static void replay_add_server(struct replay *rp, const char *option, const char *text, bool spawn)
{
	struct replay_server *server = &rp->servers[rp->server_count];
	size_t name_bytes = strcspn(text, "=/ :[");
	bool named = text[name_bytes] == '=' && name_bytes > 0;
	const char *rest = named ? text + name_bytes + 1 : text;
	char error[CLIENT_ERROR_BYTES];

	if (rp->server_count == REPLAY_SERVERS_MAX)
		tool_fail_usage("%s: over %d servers", option, REPLAY_SERVERS_MAX);
	if (*rest == '\0')
		tool_fail_usage("%s: \"%s\" names no server", option, text);
	rp->server_count++;
	server->name = tool_strdup(named ? text : rest);
	if (named)
		server->name[name_bytes] = '\0';
	if (spawn) {
		server->command = rest;
		return;
	}
	server->address_text = rest;
	if (!client_address_parse(&server->address, rest, error))
		tool_fail_usage("%s: %s: %s", option, rest, error);
}

static void replay_set_pid(struct replay *rp, const char *text)
{
	uint64_t pid = tool_option_u64("--pid", text, 1, INT32_MAX);

	if (rp->server_count == 0 || !rp->servers[rp->server_count - 1].address_text)
		tool_fail_usage("--pid: it belongs behind a --server");
	rp->servers[rp->server_count - 1].pid = (pid_t)pid;
}

static void replay_set_ttl(struct replay *rp, const char *text)
{
	rp->player.ttl_scale = strcmp(text, "none") == 0 ? 0 : tool_option_double("--ttl", text);
}

static void replay_set_timeout(struct replay *rp, const char *text)
{
	double seconds = tool_option_duration_s("--timeout", text);

	if (seconds < 0.001 || seconds > 86400)
		tool_fail_usage("--timeout: %s is not between 1 ms and a day", text);
	rp->player.timeout_ms = (int)(seconds * 1000);
}

enum { OPTION_NO_FLUSH = 256, OPTION_TIMEOUT };

static const struct option replay_options[] = {
	{"server", required_argument, NULL, 's'},
	{"spawn", required_argument, NULL, 'x'},
	{"pid", required_argument, NULL, 'p'},
	{"depth", required_argument, NULL, 'd'},
	{"multiget", no_argument, NULL, 'g'},
	{"value-size", required_argument, NULL, 'v'},
	{"ttl", required_argument, NULL, 't'},
	{"limit", required_argument, NULL, 'n'},
	{"no-flush", no_argument, NULL, OPTION_NO_FLUSH},
	{"timeout", required_argument, NULL, OPTION_TIMEOUT},
	{"json", no_argument, NULL, 'j'},
	{"quiet", no_argument, NULL, 'q'},
	{"help", no_argument, NULL, 'h'},
	{"version", no_argument, NULL, 'V'},
	{NULL, 0, NULL, 0},
};

static void replay_take_option(struct replay *rp, int option)
{
	switch (option) {
	case 's':
		replay_add_server(rp, "--server", optarg, false);
		break;
	case 'x':
		replay_add_server(rp, "--spawn", optarg, true);
		break;
	case 'p':
		replay_set_pid(rp, optarg);
		break;
	case 'd':
		rp->player.depth = (unsigned)tool_option_u64("--depth", optarg, 1, PLAYER_DEPTH_MAX);
		break;
	case 'g':
		rp->player.multiget = true;
		break;
	case 'v':
		rp->player.value_size_bytes =
			tool_option_size_bytes("--value-size", optarg, TRACE_SIZE_BYTES_MAX);
		break;
	case 't':
		replay_set_ttl(rp, optarg);
		break;
	case 'n':
		rp->limit = tool_option_count("--limit", optarg, 1, UINT64_MAX);
		break;
	case OPTION_NO_FLUSH:
		rp->flush = false;
		break;
	case OPTION_TIMEOUT:
		replay_set_timeout(rp, optarg);
		break;
	case 'j':
		rp->json = true;
		break;
	case 'q':
		rp->quiet = true;
		break;
	case 'h':
		fputs(replay_help, stdout);
		exit(0);
	case 'V':
		puts("larder-replay " PACKAGE_VERSION);
		exit(0);
	default: /* getopt has said what is wrong */
		exit(TOOL_EXIT_USAGE);
	}
}

static void replay_add_trace(struct replay *rp, const char *path)
{
	rp->traces = tool_realloc(rp->traces, (rp->trace_count + 1) * sizeof(*rp->traces));
	rp->traces[rp->trace_count++] = tool_strdup(path);
}

static bool replay_ends_with(const char *name, const char *ending)
{
	size_t n = strlen(name), e = strlen(ending);

	return n > e && strcmp(name + n - e, ending) == 0;
}

static int replay_is_trace_name(const struct dirent *entry)
{
	return entry->d_name[0] != '.' &&
	       (replay_ends_with(entry->d_name, ".txt") || replay_ends_with(entry->d_name, ".zst") ||
		replay_ends_with(entry->d_name, ".trace"));
}

static void replay_add_directory(struct replay *rp, const char *path)
{
	struct dirent **entries;
	int count = scandir(path, &entries, replay_is_trace_name, alphasort);

	if (count < 0)
		tool_fail("%s: %s", path, strerror(errno));
	if (count == 0)
		tool_fail("%s: no .txt, .trace or .zst file in it", path);
	for (int i = 0; i < count; i++) {
		char *name;

		if (asprintf(&name, "%s/%s", path, entries[i]->d_name) < 0)
			tool_fail("out of memory");
		replay_add_trace(rp, name);
		free(name);
		free(entries[i]);
	}
	free(entries);
}

static void replay_add_operand(struct replay *rp, const char *path)
{
	struct stat st;

	if (strcmp(path, "-") != 0 && stat(path, &st) < 0)
		tool_fail("%s: %s", path, strerror(errno));
	if (strcmp(path, "-") != 0 && S_ISDIR(st.st_mode))
		replay_add_directory(rp, path);
	else
		replay_add_trace(rp, path);
}

static void replay_parse_arguments(struct replay *rp, int argc, char **argv)
{
	int option;

	*rp = (struct replay){
		.player = {.depth = 16,
			   .value_size_bytes = 100,
			   .ttl_scale = 1,
			   .timeout_ms = 30000},
		.limit = UINT64_MAX,
		.flush = true,
	};
	while ((option = getopt_long(argc, argv, "s:x:p:d:gv:t:n:jqhV", replay_options, NULL)) != -1)
		replay_take_option(rp, option);
	if (optind == argc)
		tool_fail_usage("no trace is named");
	if (rp->server_count == 0)
		replay_add_server(rp, "--server", "127.0.0.1:11211", false);
	for (int i = optind; i < argc; i++)
		replay_add_operand(rp, argv[i]);
	if (rp->server_count > 1) {
		for (size_t i = 0; i < rp->trace_count; i++) {
			if (strcmp(rp->traces[i], "-") == 0)
				tool_fail_usage("standard input can be played to one server only");
		}
	}
	rp->results = tool_alloc(rp->trace_count * rp->server_count, sizeof(*rp->results));
}

/* ---- one trace against one server ---- */

static bool replay_flush_server(const struct replay *rp, struct client *cl)
{
	enum reply_kind kind;
	struct reply reply;

	client_append(cl, "flush_all\r\n", 11);
	if (!client_read_reply(cl, rp->player.timeout_ms, &kind, &reply))
		return false;
	if (kind != REPLY_OK)
		snprintf(cl->error, sizeof(cl->error), "it does not take flush_all");
	return kind == REPLY_OK;
}

/* A server's own word for its process; 0 where it has none. */
static pid_t replay_ask_pid(const struct replay *rp, struct client *cl)
{
	enum reply_kind kind;
	struct reply reply;
	pid_t pid = 0;

	client_append(cl, "stats\r\n", 7);
	while (client_read_reply(cl, rp->player.timeout_ms, &kind, &reply) && kind == REPLY_STAT) {
		if (reply.key_bytes == 3 && memcmp(reply.key, "pid", 3) == 0)
			pid = (pid_t)strtol(reply.value, NULL, 10); /* a \r ends the line */
	}
	return pid;
}

static pid_t replay_find_pid(const struct replay *rp, const struct replay_server *server,
			     struct client *cl)
{
	if (server->pid > 0)
		return server->pid;
	return server->command || server->address.is_local ? replay_ask_pid(rp, cl) : 0;
}

static void replay_show_progress(const struct replay_result *rs, const struct trace_reader *tr,
				 uint64_t start_ns)
{
	const struct player_counts *counts = &rs->counts;
	double elapsed_s = (double)(tool_now_ns() - start_ns) / 1e9;
	double fraction = trace_reader_fraction(tr);

	fprintf(stderr, "\r%s: %s: ", rs->trace, rs->server->name);
	if (fraction >= 0)
		fprintf(stderr, "%.0f %%, ", fraction * 100);
	fprintf(stderr, "%llu requests, miss ratio %.4f, %.0f/s\033[K",
		(unsigned long long)counts->requests,
		counts->requests ? (double)counts->misses / (double)counts->requests : 0,
		(double)counts->requests / elapsed_s);
	fflush(stderr);
}

/* The loop over windows. What is wrong at its end is in *wrong; NULL for nothing. */
static void replay_run(const struct replay *rp, struct replay_result *rs, struct player *pl,
		       struct trace_reader *tr, const char **wrong)
{
	bool show = !rp->quiet && isatty(STDERR_FILENO);
	uint64_t start_ns = tool_now_ns(), next_show_ns = start_ns + REPLAY_PROGRESS_NS;
	enum player_result result;

	do {
		result = player_step(pl, tr, rp->limit);
		if (show && tool_now_ns() >= next_show_ns) {
			rs->counts = pl->counts;
			replay_show_progress(rs, tr, start_ns);
			next_show_ns = tool_now_ns() + REPLAY_PROGRESS_NS;
		}
	} while (result == PLAYER_MORE && !replay_interrupted);
	rs->elapsed_s = (double)(tool_now_ns() - start_ns) / 1e9;
	rs->counts = pl->counts;
	memcpy(rs->refusal, pl->last_refusal, sizeof(rs->refusal));
	if (show)
		fprintf(stderr, "\r\033[K");
	if (replay_interrupted)
		*wrong = "interrupted";
	else if (result == PLAYER_TRACE_FAILED)
		*wrong = trace_error(tr);
	else if (result == PLAYER_SERVER_FAILED)
		*wrong = client_error(pl->client);
}

/* Plays the trace over a connection that is there. */
static void replay_play(const struct replay *rp, struct replay_result *rs, struct client *cl,
			struct trace_reader *tr, const char **wrong)
{
	struct player pl;
	pid_t pid = replay_find_pid(rp, rs->server, cl);

	player_init(&pl, &rp->player, cl);
	rs->has_proc = pid > 0 && procstat_read(&rs->before, pid);
	replay_run(rp, rs, &pl, tr, wrong);
	rs->has_proc = rs->has_proc && procstat_read(&rs->after, pid);
	player_fini(&pl);
}

/* What went wrong, NULL for nothing. Freed by the caller. */
static char *replay_pair(const struct replay *rp, struct replay_result *rs,
			 struct client_address *address)
{
	struct trace_reader tr;
	struct client cl;
	char empty[PATH_MAX + 32];
	const char *wrong = NULL;
	char *said = NULL;

	client_init(&cl);
	if (!trace_reader_init(&tr, rs->trace))
		wrong = trace_error(&tr);
	else if (!client_connect(&cl, address, rp->player.timeout_ms) ||
		 (rp->flush && !replay_flush_server(rp, &cl)))
		wrong = client_error(&cl);
	else
		replay_play(rp, rs, &cl, &tr, &wrong);
	if (!wrong && rs->counts.requests == 0) {
		snprintf(empty, sizeof(empty), "%s: no requests in it", rs->trace);
		wrong = empty;
	}
	/* A trace's error begins with the name of its file; a server's gets its name here. */
	if (wrong && (wrong == client_error(&cl)))
		said = asprintf(&said, "%s: %s", rs->server->name, wrong) < 0 ? NULL : said;
	else if (wrong)
		said = tool_strdup(wrong);
	client_fini(&cl);
	trace_reader_fini(&tr);
	return said;
}

static char *replay_pair_spawned(const struct replay *rp, struct replay_result *rs)
{
	struct spawn sp;
	struct client_address address;
	char error[CLIENT_ERROR_BYTES];
	char *wrong;

	if (!spawn_start(&sp, rs->server->command, REPLAY_SPAWN_TIMEOUT_MS))
		return tool_strdup(sp.error);
	if (!client_address_parse(&address, sp.socket_path, error))
		wrong = tool_strdup(error);
	else
		wrong = replay_pair(rp, rs, &address);
	spawn_stop(&sp);
	return wrong;
}

/* All pairs in order; stops at the first that fails. */
static char *replay_all(struct replay *rp)
{
	for (size_t t = 0; t < rp->trace_count; t++) {
		for (size_t s = 0; s < rp->server_count; s++) {
			struct replay_result *rs = &rp->results[rp->result_count];
			char *wrong;

			rs->trace = rp->traces[t];
			rs->server = &rp->servers[s];
			wrong = rs->server->command ? replay_pair_spawned(rp, rs)
						    : replay_pair(rp, rs, &rp->servers[s].address);
			if (wrong)
				return wrong;
			rp->result_count++;
		}
	}
	return NULL;
}

/* ---- the summary ---- */

static double ratio(double part, double whole)
{
	return whole > 0 ? part / whole : 0;
}

static double result_cpu_us(const struct replay_result *rs)
{
	return ratio((rs->after.cpu_s - rs->before.cpu_s) * 1e6, (double)rs->counts.requests);
}

static void replay_print_json_row(const struct replay_result *rs)
{
	const struct player_counts *c = &rs->counts;

	fputs("{\"trace\": ", stdout);
	tool_print_json_string(stdout, rs->trace);
	fputs(", \"server\": ", stdout);
	tool_print_json_string(stdout, rs->server->name);
	printf(", \"requests\": %llu, \"hits\": %llu, \"misses\": %llu, \"miss_ratio\": %.6f, "
	       "\"byte_miss_ratio\": %.6f, \"stored\": %llu, \"refused\": %llu, \"errors\": %llu, "
	       "\"elapsed_s\": %.6f, \"requests_per_s\": %.1f",
	       (unsigned long long)c->requests, (unsigned long long)c->hits,
	       (unsigned long long)c->misses, ratio((double)c->misses, (double)c->requests),
	       ratio((double)c->missed_bytes, (double)c->requested_bytes),
	       (unsigned long long)c->stored, (unsigned long long)c->refused,
	       (unsigned long long)c->errors, rs->elapsed_s,
	       ratio((double)c->requests, rs->elapsed_s));
	if (rs->has_proc)
		printf(", \"cpu_s\": %.6f, \"user_s\": %.2f, \"system_s\": %.2f, "
		       "\"cpu_us_per_request\": %.4f, \"resident_bytes\": %llu, "
		       "\"peak_resident_bytes\": %llu",
		       rs->after.cpu_s - rs->before.cpu_s, rs->after.user_s - rs->before.user_s,
		       rs->after.system_s - rs->before.system_s, result_cpu_us(rs),
		       (unsigned long long)rs->after.resident_bytes,
		       (unsigned long long)rs->after.peak_bytes);
	putchar('}');
}

static void replay_print_json(const struct replay *rp)
{
	puts("[");
	for (size_t i = 0; i < rp->result_count; i++) {
		fputs("  ", stdout);
		replay_print_json_row(&rp->results[i]);
		puts(i + 1 < rp->result_count ? "," : "");
	}
	puts("]");
}

/* The file's name without directories and endings. */
static void replay_short_name(const char *path, char *name, size_t capacity)
{
	const char *slash = strrchr(path, '/');

	snprintf(name, capacity, "%s", slash ? slash + 1 : path);
	if (strcmp(path, "-") != 0)
		name[strcspn(name, ".")] = '\0';
}

/* first: the first server's row for the same trace, which the others are compared with. */
static void replay_print_row(const struct replay_result *rs, const struct replay_result *first,
			     int trace_width, int server_width)
{
	const struct player_counts *c = &rs->counts;
	char name[64];

	replay_short_name(rs->trace, name, sizeof(name));
	printf("%-*s  %-*.*s %10llu %10llu %10llu %10.4f", trace_width, name, server_width,
	       server_width, rs->server->name, (unsigned long long)c->requests,
	       (unsigned long long)c->hits, (unsigned long long)c->misses,
	       ratio((double)c->misses, (double)c->requests));
	if (first != rs && first->counts.misses > 0)
		printf(" %+9.2f%%", 100 * ((double)c->misses / (double)first->counts.misses - 1));
	else
		printf(" %10s", "-");
	printf(" %9.0f %8.2f", ratio((double)c->requests, rs->elapsed_s), rs->elapsed_s);
	if (rs->has_proc)
		printf(" %8.2f %9.1f", result_cpu_us(rs), (double)rs->after.peak_bytes / (1 << 20));
	else
		printf(" %8s %9s", "-", "-");
	putchar('\n');
	if (c->refused > 0)
		printf("  %llu sets refused, the last with \"%s\"\n", (unsigned long long)c->refused,
		       rs->refusal);
	if (c->errors > 0)
		printf("  %llu gets answered with an error\n", (unsigned long long)c->errors);
}

static void replay_print_table(const struct replay *rp)
{
	int trace_width = 5, server_width = 6;
	char name[64];

	for (size_t i = 0; i < rp->result_count; i++) {
		replay_short_name(rp->results[i].trace, name, sizeof(name));
		trace_width = MAX(trace_width, (int)strlen(name));
		server_width = MAX(server_width, (int)strlen(rp->results[i].server->name));
	}
	server_width = MIN(server_width, 32);
	printf("%-*s  %-*s %10s %10s %10s %10s %10s %9s %8s %8s %9s\n", trace_width, "trace",
	       server_width, "server", "requests", "hits", "misses", "miss ratio", "misses to",
	       "requests", "elapsed", "CPU us", "peak MiB");
	printf("%-*s  %-*s %10s %10s %10s %10s %10s %9s %8s %8s %9s\n", trace_width, "",
	       server_width, "", "", "", "", "", "the first", "/s", "s", "/request", "");
	for (size_t i = 0; i < rp->result_count; i++)
		replay_print_row(&rp->results[i], &rp->results[i - i % rp->server_count],
				 trace_width, server_width);
}

static void replay_free(struct replay *rp)
{
	for (size_t i = 0; i < rp->trace_count; i++)
		free(rp->traces[i]);
	for (size_t i = 0; i < rp->server_count; i++)
		free(rp->servers[i].name);
	free(rp->traces);
	free(rp->results);
}

int main(int argc, char **argv)
{
	const struct sigaction on_signal = {.sa_handler = replay_on_signal};
	struct replay rp;
	char *wrong;

	replay_parse_arguments(&rp, argc, argv);
	sigaction(SIGINT, &on_signal, NULL);
	sigaction(SIGTERM, &on_signal, NULL);
	wrong = replay_all(&rp);
	if (rp.json)
		replay_print_json(&rp);
	else if (rp.result_count > 0)
		replay_print_table(&rp);
	if (wrong)
		tool_fail("%s", wrong);
	replay_free(&rp);
	return 0;
}
