/*
 * micro.c: larder-micro, what the parts of a request cost without a server around them.
 *
 * Each figure is CPU time an operation of one thread (CLOCK_THREAD_CPUTIME_ID), the median of several
 * rounds with the least and the most; with --instructions, instructions an operation as callgrind
 * counts them. Store operations go as the request path does them: batches of 64, hash and prefetch
 * the bucket, prefetch the item, read. Making the random numbers and keys is part of each figure, and
 * a figure of its own.
 */
#include "bench/micro.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>

#include "bench/tool.h"

static void usage(FILE *out)
{
	fputs("usage: larder-micro [--keys N,N,...] [--instructions]\n"
	      "       larder-micro --scale THREADS [--scale-keys N]\n"
	      "What the parts of a request cost without a server around them.\n"
	      "  --keys N,...     key counts of the look-up and set figures (100000,10000000)\n"
	      "  --instructions   instructions an operation, by callgrind, instead of nanoseconds\n"
	      "                   (100000 keys unless told)\n"
	      "  --scale THREADS  throughput of 1, 2, 4, ... THREADS threads in one store instead\n"
	      "  --scale-keys N   keys of the scaling figures (10000000)\n",
	      out);
}

#define KEY_COUNTS_MAX 16u

static unsigned parse_key_counts(const char *text, uint32_t *key_counts)
{
	unsigned count = 0;
	char *copy = tool_strdup(text), *rest = copy, *part;

	while ((part = strsep(&rest, ",")) != NULL) {
		if (count == KEY_COUNTS_MAX)
			tool_fail_usage("--keys: more than %u counts", KEY_COUNTS_MAX);
		key_counts[count++] = (uint32_t)tool_option_count("--keys", part, BATCH, 1000000000);
	}
	free(copy);
	return count;
}

int main(int argc, char **argv)
{
	static const struct option options[] = {
		{ "keys", required_argument, NULL, 'k' },
		{ "instructions", no_argument, NULL, 'i' },
		{ "scale", required_argument, NULL, 's' },
		{ "scale-keys", required_argument, NULL, 'n' },
		{ "counted", required_argument, NULL, 'c' }, /* of a run under callgrind */
		{ "help", no_argument, NULL, 'h' },
		{ NULL, 0, NULL, 0 },
	};
	const char *keys = NULL;
	unsigned threads = 0;
	bool instructions = false;
	uint32_t scale_keys = 10000000, key_counts[KEY_COUNTS_MAX];
	int c;

	while ((c = getopt_long(argc, argv, "h", options, NULL)) != -1) {
		switch (c) {
		case 'k':
			keys = optarg;
			break;
		case 'i':
			instructions = true;
			break;
		case 's':
			threads = (unsigned)tool_option_u64("--scale", optarg, 1, THREADS_MAX);
			break;
		case 'n':
			scale_keys = (uint32_t)tool_option_count("--scale-keys", optarg, BATCH, 1000000000);
			break;
		case 'c':
			micro_run_counted(optarg);
			return 0;
		default:
			usage(c == 'h' ? stdout : stderr);
			return c == 'h' ? 0 : TOOL_EXIT_USAGE;
		}
	}
	if (optind != argc) {
		usage(stderr);
		return TOOL_EXIT_USAGE;
	}
	if (!keys)
		keys = instructions ? "100000" : "100000,10000000";
	unsigned count = parse_key_counts(keys, key_counts);

	if (threads)
		micro_measure_scaling(scale_keys, threads);
	else if (instructions)
		micro_count_figures(key_counts, count);
	else
		micro_measure_figures(key_counts, count);
	return 0;
}
