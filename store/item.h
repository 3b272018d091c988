/*
 * item.h: what a chunk holds.
 *
 *   small item (chunk up to CHUNK_SMALL_MAX bytes): 6 bytes before the optional fields
 *     | word 4 | key length 1 | slack 1 | client flags 0/1/2/4 | CAS 0/8 | references | key | value | slack bytes |
 *
 *   big item (larger chunks): 20 bytes before the optional fields
 *     | word 4 | key length 1 | - | - 2 | value length 4 | next 4 | pins 4 | client flags | CAS | references | key | value... |
 *
 *   references (none, or 3 bytes and what they count; see references.md)
 *     | followed 1 | versions 1 | holds 1 | block and kind 4 x followed | version 8 x versions | block 4 x holds |
 *
 *   segment (the rest of a value that one chunk does not hold; big chunks or small): 16 bytes
 *     | word 4 | - 2 | - 2 | next 4 | head 4 | value bytes |
 *
 * The value's length of a small item is what is left of its chunk less the slack. There are no
 * pointers: chunks are named by 32-bit references (policy.h). An item's contents never change once
 * it is published, except for the marks in its word; a new value is a new item.
 *
 *   word:  | generation 22 | referred 1 | referring 1 | kind 2 | marks 3 | CAS given 1 | flags width 2 |
 *
 * Referring: there are references among the optional fields, from the first on. Referred: others may
 * refer to this life of the key, and then the table of control blocks knows; only writers look.
 *
 * The generation counts the uses of the chunk and survives its being free; with the reference it
 * makes the CAS unique (see item_cas), so that 8 bytes need not be stored.
 */
#ifndef LARDER_ITEM_H
#define LARDER_ITEM_H

#include <stdatomic.h>
#include <string.h>

#include "store/base/base.h"
#include "store/store.h"

#define CHUNK_SMALL_MAX 512u
#define ITEM_SMALL_HEADER 6u
#define ITEM_BIG_HEADER 20u
#define SEGMENT_HEADER 16u

#define WORD_FLAGS_WIDTH 0x03u
#define WORD_CAS_GIVEN 0x04u
#define WORD_MARKS_SHIFT 3
#define WORD_MARKS (0x07u << WORD_MARKS_SHIFT)
#define WORD_KIND_SHIFT 6
#define WORD_KIND (0x03u << WORD_KIND_SHIFT)
#define WORD_REFERRING 0x100u
#define WORD_REFERRED 0x200u /* under the bucket's lock */
#define WORD_META 0x3ffu
#define WORD_GENERATION_SHIFT 10
#define GENERATION_MASK 0x3fffffu
/* What moves an item's key away from its header. */
#define WORD_FIELDS (WORD_FLAGS_WIDTH | WORD_CAS_GIVEN | WORD_REFERRING)

enum chunk_kind {
	CHUNK_FREE,     /* on a page's free list, or in a thread's stock */
	CHUNK_ITEM,     /* published in the index */
	CHUNK_SEGMENT,  /* part of an item, named by its head */
	CHUNK_DETACHED, /* being filled, or removed and waiting for readers */
};

struct item {
	_Atomic uint32_t word;
	uint8_t key_length;
	uint8_t slack;
	union {
		char small_data[2];
		uint16_t unused;
	};
	/* big items only */
	uint32_t value_length;
	uint32_t next; /* first segment, 0 for none */
	_Atomic uint32_t pins;
	char big_data[];
};

struct segment {
	_Atomic uint32_t word;
	uint16_t unused[2];
	uint32_t next; /* 0: last */
	uint32_t head;
	char data[];
};

_Static_assert(offsetof(struct item, small_data) == ITEM_SMALL_HEADER, "small items start at 6");
_Static_assert(offsetof(struct item, big_data) == ITEM_BIG_HEADER, "big items start at 20");
_Static_assert(offsetof(struct segment, data) == SEGMENT_HEADER, "segments start at 16");

/* A free chunk keeps its generation; the next free chunk's number lies where the key length was. */
struct free_chunk {
	_Atomic uint32_t word;
	uint16_t next_index_plus_one;
};

#define PIN_ORPHAN 0x80000000u /* in `pins`: the item is gone, the last unpin frees it */

static inline uint32_t item_word(const struct item *it)
{
	/* relaxed: published items are reached through the index, which orders */
	return atomic_load_explicit(&it->word, memory_order_relaxed);
}

static inline enum chunk_kind word_kind(uint32_t word)
{
	return (enum chunk_kind)((word & WORD_KIND) >> WORD_KIND_SHIFT);
}

static inline enum chunk_kind item_kind(const struct item *it)
{
	return word_kind(atomic_load_explicit(&it->word, memory_order_acquire));
}

/* Of a chunk that only its owner writes: not published, or past its grace period. */
static inline void item_set_kind_owned(struct item *it, enum chunk_kind kind)
{
	atomic_store_explicit(&it->word,
	                      (item_word(it) & ~WORD_KIND) | ((uint32_t)kind << WORD_KIND_SHIFT),
	                      memory_order_release);
}

/* Marks may change under a published item, so the kind is replaced, never the whole word. */
static inline void item_set_kind(struct item *it, enum chunk_kind kind)
{
	uint32_t word = item_word(it);

	while (!atomic_compare_exchange_weak_explicit(
		&it->word, &word, (word & ~WORD_KIND) | ((uint32_t)kind << WORD_KIND_SHIFT),
		memory_order_release, memory_order_relaxed))
		;
}

static inline uint8_t word_marks(uint32_t word)
{
	return (uint8_t)((word & WORD_MARKS) >> WORD_MARKS_SHIFT);
}

static inline uint32_t word_generation(uint32_t word)
{
	return word >> WORD_GENERATION_SHIFT;
}

/* Bytes of client flags for each width code. */
static inline uint32_t flags_width_bytes(uint32_t code)
{
	return (0x4210u >> (code * 4)) & 0xf;
}

static inline uint32_t flags_width_code(uint32_t client_flags)
{
	return client_flags == 0 ? 0 : client_flags < 0x100 ? 1 : client_flags < 0x10000 ? 2 : 3;
}

static inline char *item_fields(struct item *it, bool big)
{
	return (char *)it + (big ? ITEM_BIG_HEADER : ITEM_SMALL_HEADER);
}

#define REFERENCES_HEADER 3u
#define REFERENCES_BYTES_MAX (REFERENCES_HEADER + REFERENCES_MAX * 12u)
_Static_assert(REFERENCES_BYTES_MAX <= UINT8_MAX, "their length fits in a byte");

static inline bool shape_is_empty(struct reference_shape shape)
{
	uint32_t all;

	memcpy(&all, &shape, sizeof(all));
	return all == 0;
}

static inline unsigned shape_count(struct reference_shape shape)
{
	return (unsigned)shape.followed + shape.holds;
}

static inline uint32_t shape_bytes(struct reference_shape shape)
{
	if (likely(shape_is_empty(shape)))
		return 0;
	return REFERENCES_HEADER + 4u * (shape.followed + shape.holds) + 8u * shape.versions;
}

/* Where the references of a referring item begin, with their shape. */
static inline char *item_references(struct item *it, bool big, uint32_t word)
{
	return item_fields(it, big) + flags_width_bytes(word & WORD_FLAGS_WIDTH) +
	       ((word & WORD_CAS_GIVEN) ? 8 : 0);
}

static inline struct reference_shape references_shape(const char *references)
{
	struct reference_shape shape = { 0 };

	memcpy(&shape, references, REFERENCES_HEADER);
	return shape;
}

/* The first four bytes of references that are followed, one at least: the shape, and the lowest of the first
 * block's number, with its kind. Not of holds alone, which may be given back meanwhile. */
static inline uint32_t references_begin(const char *references)
{
	uint32_t begin;

	memcpy(&begin, references, sizeof(begin));
	return begin;
}

#define REFERENCES_SHAPE 0x00ffffffu
#define REFERENCES_ONE_FOLLOWED 0x00000001u
#define REFERENCES_ONE_BYTES (REFERENCES_HEADER + 4u)

static inline uint32_t references_bytes(const char *references)
{
	/* One weak reference or dependency is the most frequent. */
	if (likely(references[0] != 0 &&
	           (references_begin(references) & REFERENCES_SHAPE) == REFERENCES_ONE_FOLLOWED))
		return REFERENCES_ONE_BYTES;
	return shape_bytes(references_shape(references));
}

static inline uint32_t item_fields_bytes(struct item *it, bool big, uint32_t word)
{
	if (likely(!(word & WORD_FIELDS)))
		return 0;
	uint32_t bytes = 0;

	if (word & (WORD_FLAGS_WIDTH | WORD_CAS_GIVEN))
		bytes = flags_width_bytes(word & WORD_FLAGS_WIDTH) + ((word & WORD_CAS_GIVEN) ? 8 : 0);
	if (word & WORD_REFERRING)
		bytes += references_bytes(item_fields(it, big) + bytes);
	return bytes;
}

static inline struct reference_shape item_shape(struct item *it, bool big, uint32_t word)
{
	if (likely(!(word & WORD_REFERRING)))
		return (struct reference_shape){ 0 };
	return references_shape(item_references(it, big, word));
}

static inline char *item_key(struct item *it, bool big, uint32_t word)
{
	return item_fields(it, big) + item_fields_bytes(it, big, word);
}

static inline uint32_t item_client_flags(struct item *it, bool big, uint32_t word)
{
	const char *at = item_fields(it, big);
	uint32_t flags = 0;
	uint16_t two;

	/* Little-endian hosts only, as the layout on disk will be; asserted in store_init. */
	switch (word & WORD_FLAGS_WIDTH) {
	case 0:
		return 0;
	case 1:
		return (uint8_t)*at;
	case 2:
		memcpy(&two, at, sizeof(two));
		return two;
	default:
		memcpy(&flags, at, sizeof(flags));
		return flags;
	}
}

static inline uint64_t item_explicit_cas(struct item *it, bool big, uint32_t word)
{
	uint64_t cas;

	memcpy(&cas, item_fields(it, big) + flags_width_bytes(word & WORD_FLAGS_WIDTH), sizeof(cas));
	return cas;
}

/*
 * The lead of a small item with nothing but a weak reference: where the target's item is, so that a reader
 * need not ask the control block. It lies in the last bytes of the chunk, behind the value, if the slack has
 * room for it (weak references are given chunks that have); 0: ask the block. See references.md.
 */
#define ITEM_LEAD_BYTES 4u
/* How the references of such an item begin; see REFERENCES_SHAPE. */
#define REFERENCES_WEAK_ALONE (REFERENCES_ONE_FOLLOWED | (uint32_t)REFERENCE_WEAK << 24)
#define REFERENCES_WEAK_ALONE_MASK (REFERENCES_SHAPE | 3u << 24)

static inline bool references_weak_alone(const char *references)
{
	return references[0] != 0 &&
	       (references_begin(references) & REFERENCES_WEAK_ALONE_MASK) == REFERENCES_WEAK_ALONE;
}

static inline bool item_has_lead(const struct item *it, bool big, const char *references)
{
	return !big && it->slack >= ITEM_LEAD_BYTES && references_weak_alone(references);
}

static inline _Atomic uint32_t *item_lead(struct item *it, uint32_t chunk_bytes)
{
	return (_Atomic uint32_t *)(void *)((char *)it + chunk_bytes - ITEM_LEAD_BYTES);
}

/* item_total_bytes: header, fields, key and value of an item of this shape, in one chunk. */
static inline uint64_t item_total_bytes(bool big, uint32_t client_flags, bool cas_given,
                                        uint32_t references_bytes, uint32_t key_length,
                                        uint64_t value_length)
{
	return (big ? ITEM_BIG_HEADER : ITEM_SMALL_HEADER) +
	       flags_width_bytes(flags_width_code(client_flags)) + (cas_given ? 8 : 0) +
	       references_bytes + key_length + value_length;
}

#endif
