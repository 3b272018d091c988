/* sizes.c: see sizes.h. */
#include "bench/sizes.h"

#include <errno.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench/random.h"
#include "bench/tool.h"
#include "store/base/base.h"

/* The tails of the models have no end; the paper's sizes end with what memcached took. */
#define SIZES_MODEL_VALUE_BYTES_MAX 1000000u
#define SIZES_MODEL_KEY_BYTES_MAX 250u

__attribute__((format(printf, 2, 3))) static bool sizes_fail(char *error, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(error, SIZES_ERROR_BYTES, format, args);
	va_end(args);
	return false;
}

/* ---- from a file ---- */

static bool sizes_read_line(struct sizes *sz, const char *line, double *weight_sum)
{
	unsigned size;
	double weight = 1;
	char rest;
	int fields = sscanf(line, " %u %lf %c", &size, &weight, &rest);

	if (fields < 1 || fields > 2 || !(weight >= 0) || !isfinite(weight) || strchr(line, '-'))
		return false;
	sz->file_sizes = tool_realloc(sz->file_sizes, (sz->file_count + 1) * sizeof(*sz->file_sizes));
	sz->file_bounds =
		tool_realloc(sz->file_bounds, (sz->file_count + 1) * sizeof(*sz->file_bounds));
	*weight_sum += weight;
	sz->file_sizes[sz->file_count] = size;
	sz->file_bounds[sz->file_count++] = *weight_sum;
	sz->min_bytes = MIN(sz->min_bytes, size);
	sz->max_bytes = MAX(sz->max_bytes, size);
	return true;
}

static bool sizes_read_file(struct sizes *sz, const char *path, char *error)
{
	char line[256];
	double weight_sum = 0;
	unsigned long line_number = 0;
	bool good = true;
	FILE *file = fopen(path, "re");

	if (!file)
		return sizes_fail(error, "%s: %s", path, strerror(errno));
	sz->min_bytes = UINT32_MAX;
	sz->max_bytes = 0;
	while (good && fgets(line, sizeof(line), file)) {
		line_number++;
		if (line[strspn(line, " \t\r\n")] != '\0' && line[0] != '#')
			good = sizes_read_line(sz, line, &weight_sum);
	}
	fclose(file);
	if (!good)
		return sizes_fail(error, "%s: line %lu is not \"size [weight]\"", path, line_number);
	if (!(weight_sum > 0))
		return sizes_fail(error, "%s: no sizes in it", path);
	for (size_t i = 0; i < sz->file_count; i++)
		sz->file_bounds[i] /= weight_sum;
	return true;
}

static uint32_t sizes_draw_file(const struct sizes *sz, double u)
{
	size_t low = 0, high = sz->file_count - 1;

	while (low < high) { /* the first whose bound is above u */
		size_t middle = (low + high) / 2;

		if (sz->file_bounds[middle] > u)
			high = middle;
		else
			low = middle + 1;
	}
	return sz->file_sizes[low];
}

/* ---- the models ---- */

static const double etc_small_values[] = {0.00536, 0.00047, 0.17820, 0.09239, 0.00018,
					  0.02740, 0.00065, 0.00606, 0.00023, 0.00837,
					  0.00837, 0.08989, 0.00092, 0.00326, 0.01980};

static uint32_t sizes_draw_etc_value(const struct sizes *sz, double u)
{
	const double scale = 214.476, shape = 0.348238;
	double left = 1, size;

	for (uint32_t i = 0; i < ARRAY_LENGTH(etc_small_values); i++) {
		if (u < etc_small_values[i])
			return i;
		u -= etc_small_values[i];
		left -= etc_small_values[i];
	}
	size = 15 + scale * (pow(1 - u / left, -shape) - 1) / shape;
	return size < sz->max_bytes ? (uint32_t)size : sz->max_bytes;
}

static uint32_t sizes_draw_etc_key(const struct sizes *sz, double u)
{
	const double location = 30.7984, scale = 8.20449, shape = 0.078688;
	double size = location + scale * (pow(-log(MAX(u, 1e-300)), -shape) - 1) / shape;

	return (uint32_t)MAX(MIN(size, sz->max_bytes), sz->min_bytes);
}

static void sizes_set(struct sizes *sz, enum sizes_kind kind, uint32_t min_bytes, uint32_t max_bytes)
{
	sz->kind = kind;
	sz->min_bytes = min_bytes;
	sz->max_bytes = max_bytes;
}

static bool sizes_init_model(struct sizes *sz, const char *text, enum sizes_use use, uint32_t limit)
{
	bool of_keys = use == SIZES_OF_KEYS;

	if (strcmp(text, "etc") == 0 && of_keys)
		sizes_set(sz, SIZES_ETC_KEY, 1, MIN(limit, SIZES_MODEL_KEY_BYTES_MAX));
	else if (strcmp(text, "etc") == 0)
		sizes_set(sz, SIZES_ETC_VALUE, 0, MIN(limit, SIZES_MODEL_VALUE_BYTES_MAX));
	else if (strcmp(text, "usr") == 0 && of_keys)
		sizes_set(sz, SIZES_USR_KEY, 16, 21);
	else if (strcmp(text, "usr") == 0)
		sizes_set(sz, SIZES_FIXED, 2, 2);
	else
		return false;
	return true;
}

/* ---- a description ---- */

static bool sizes_init_range(struct sizes *sz, const char *text, char *error)
{
	char first[32];
	const char *dash = strchr(text, '-');
	uint64_t min, max;

	if (strlen(text) >= sizeof(first))
		return sizes_fail(error, "\"%s\" is no size", text);
	snprintf(first, sizeof(first), "%.*s", dash ? (int)(dash - text) : (int)sizeof(first), text);
	if (!tool_parse_size_bytes(first, &min) ||
	    !tool_parse_size_bytes(dash ? dash + 1 : first, &max))
		return sizes_fail(error, "\"%s\" is not a size, a range such as 10-100, etc, usr or "
				  "file:PATH", text);
	if (min > max || max > UINT32_MAX)
		return sizes_fail(error, "\"%s\": the range is empty or too large", text);
	sizes_set(sz, min == max ? SIZES_FIXED : SIZES_UNIFORM, (uint32_t)min, (uint32_t)max);
	return true;
}

bool sizes_init(struct sizes *sz, const char *text, enum sizes_use use, uint32_t limit_bytes,
		char *error)
{
	bool good;

	memset(sz, 0, sizeof(*sz));
	if (sizes_init_model(sz, text, use, limit_bytes))
		return true;
	if (strncmp(text, "file:", 5) == 0) {
		sz->kind = SIZES_FILE;
		good = sizes_read_file(sz, text + 5, error);
	} else {
		good = sizes_init_range(sz, text, error);
	}
	if (good && sz->max_bytes > limit_bytes)
		return sizes_fail(error, "\"%s\": a size is over %u bytes", text, limit_bytes);
	return good;
}

void sizes_fini(struct sizes *sz)
{
	free(sz->file_sizes);
	free(sz->file_bounds);
}

uint32_t sizes_draw(const struct sizes *sz, uint64_t bits)
{
	double u;

	if (sz->kind == SIZES_FIXED)
		return sz->min_bytes;
	u = random_unit(bits);
	switch (sz->kind) {
	case SIZES_UNIFORM:
		return sz->min_bytes + (uint32_t)(u * ((double)sz->max_bytes - sz->min_bytes + 1));
	case SIZES_ETC_KEY:
		return sizes_draw_etc_key(sz, u);
	case SIZES_ETC_VALUE:
		return sizes_draw_etc_value(sz, u);
	case SIZES_USR_KEY:
		return u < 0.5 ? 16 : 21;
	default:
		return sizes_draw_file(sz, u);
	}
}
