#include "net/proto/line.h"

#include "net/proto/scan.h"

/* Takes one token in; those past the array are only counted. */
static inline void line_add(struct line *ln, const char *start, const char *end)
{
	ln->last.data = start;
	ln->last.length = (uint32_t)(end - start);
	if (ln->count < LINE_TOKENS_MAX)
		ln->tokens[ln->count] = ln->last;
	ln->count++;
}

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
	const char *token = buf;
	uint64_t in_token = 0; /* 1 if the byte before this block belongs to a token */

	ln->start = buf;
	ln->count = 0;
	for (size_t at = 0; at < length; at += 64) {
		const char *block = buf + at;
		uint64_t newlines = scan_match64(block, '\n');
		uint64_t filled = line_filled(block, newlines);

		/* Tokens begin and end, in turn, where a byte differs from the one before it. */
		for (uint64_t edges = filled ^ (filled << 1 | in_token); edges != 0; edges &= edges - 1) {
			const char *edge = block + __builtin_ctzll(edges);
			if (in_token)
				line_add(ln, token, edge);
			token = edge;
			in_token ^= 1;
		}
		if (newlines != 0) {
			size_t end = at + (size_t)__builtin_ctzll(newlines);
			ln->size = (uint32_t)end + 1;
			ln->length = (uint32_t)end - (end > 0 && buf[end - 1] == '\r');
			return end < length;
		}
	}
	return false;
}
