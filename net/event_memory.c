/* event_memory.c: see event_memory.h. */
#include "net/event_memory.h"

#include <event2/event.h>
#include <malloc.h>
#include <stdlib.h>

/* The allocator's own header before each block. */
#define BLOCK_HEADER_BYTES sizeof(size_t)

static struct budget *charged;

static uint64_t block_bytes(void *block)
{
	return block == NULL ? 0 : malloc_usable_size(block) + BLOCK_HEADER_BYTES;
}

/* libevent asks for little and seldom, and ends the process on some refusals: what it has got is
 * charged even past the limit, and the store gives way. */
static void charge(uint64_t before_bytes, uint64_t after_bytes)
{
	if (charged == NULL)
		return;
	if (after_bytes > before_bytes)
		budget_charge(charged, ACCOUNT_LIBEVENT, after_bytes - before_bytes);
	else if (after_bytes < before_bytes)
		budget_give(charged, ACCOUNT_LIBEVENT, before_bytes - after_bytes);
}

static void *counted_malloc(size_t size)
{
	void *block = malloc(size);
	charge(0, block_bytes(block));
	return block;
}

static void *counted_realloc(void *block, size_t size)
{
	uint64_t before_bytes = block_bytes(block);
	void *grown = realloc(block, size);
	if (grown != NULL)
		charge(before_bytes, block_bytes(grown));
	return grown;
}

static void counted_free(void *block)
{
	charge(block_bytes(block), 0);
	free(block);
}

void event_memory_install(struct budget *b)
{
	charged = b;
	event_set_mem_functions(counted_malloc, counted_realloc, counted_free);
}
