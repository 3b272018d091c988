/* For libFuzzer: the first byte chooses how the rest is cut; cut or whole, the requests must be the same.
 * "make fuzz-parse" in the build directory builds and runs it. */
#include <stdlib.h>
#include <string.h>

#include "tests/support/proto_driver.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct driver whole, pieces;
	const char *bytes = (const char *)data + 1;
	size_t length = size - 1, piece;

	if (size < 2)
		return 0;
	if (whole.arena == NULL) {
		driver_init(&whole);
		driver_init(&pieces);
	}
	piece = data[0] + 1u;
	driver_run(&whole, bytes, length);
	driver_reset(&pieces);
	for (size_t at = 0; at < length; at += piece)
		driver_feed(&pieces, bytes + at, MIN(piece, length - at));
	/* A longer line may be taken whole and closed, or streamed, in pieces. */
	if (length <= TEXT_LINE_MAX && strcmp(driver_trace(&whole), driver_trace(&pieces)) != 0)
		abort();
	return 0;
}
