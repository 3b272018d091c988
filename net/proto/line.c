#include "net/proto/line.h"

#include "net/proto/scan.h"

/* Where the 64 bytes at block belong to tokens. A \r just before the first \n does not, also when
 * the \n begins the next block. */
static inline uint64_t line_filled(const char *block, uint64_t newlines)
{
	uint64_t filled = ~scan_match64(block, ' ');

	if (newlines == 0)
		return block[63] == '\r' && block[64] == '\n' ? filled & ~(1ULL << 63) : filled;

	unsigned end = (unsigned)__builtin_ctzll(newlines);
	if (end > 0 && block[end - 1] == '\r')
		end--;
	return filled & ((1ULL << end) - 1);
}

bool line_split(struct line *ln, const char *buf, size_t length)
{
	const char *start = buf, *end = buf; /* of the token found last */
	bool in_token = false; /* it began, its end is in a later block */
	uint32_t count = 0;

	for (size_t at = 0; at < length; at += 64) {
		const char *block = buf + at;
		uint64_t newlines = scan_match64(block, '\n');
		uint64_t filled = line_filled(block, newlines);
		/* Tokens begin and end, in turn, where a byte differs from the one before it. */
		uint64_t edges = filled ^ (filled << 1 | in_token);

		while (edges != 0) {
			if (!in_token) {
				start = block + __builtin_ctzll(edges);
				edges &= edges - 1;
				in_token = edges == 0;
				if (in_token)
					break;
			}
			end = block + __builtin_ctzll(edges);
			edges &= edges - 1;
			in_token = false;
			if (count < LINE_TOKENS_MAX)
				ln->tokens[count] = (struct slice){start, (uint32_t)(end - start)};
			count++;
		}
		if (newlines != 0) {
			size_t newline = at + (size_t)__builtin_ctzll(newlines);
			ln->start = buf;
			ln->size = (uint32_t)newline + 1;
			ln->length = (uint32_t)newline - (newline > 0 && buf[newline - 1] == '\r');
			ln->count = count;
			ln->last = (struct slice){start, (uint32_t)(end - start)};
			return newline < length;
		}
	}
	return false;
}
