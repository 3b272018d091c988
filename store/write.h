/*
 * write.h: what reserve.c, write.c and derive.c share: an item on its way from its memory to its place.
 */
#ifndef LARDER_STORE_WRITE_H
#define LARDER_STORE_WRITE_H

#include "store/internal.h"

/* Times that something computed from an old value starts over because another writer came first.
 * Somebody made progress each time. */
#define RETRIES 1000u

/* ---- reserve.c ---- */

/* An item with its header and key written, and nothing of its value. */
struct draft {
	struct slab_class *sc;
	uint32_t reference;
	uint32_t pending_bytes; /* counted against the share of unfinished values */
	struct item *it;
	char *value;
};

/* class_for_item: the class that holds the item whole; the largest one for the head of a chain. */
struct slab_class *class_for_item(struct slab *sl, const struct item_spec *spec);
/* draft_item: memory for the item, of the class that class_for_item gave or a larger one; a safe point.
 * Errors: STATUS_TOO_LARGE, STATUS_NO_MEMORY. */
enum status draft_item(struct store_thread *st, struct slab_class *sc, const struct item_spec *spec,
                       struct draft *d);
/* settle_pending: the value is complete, or given up: it counts as unfinished no more. */
void settle_pending(struct store_thread *st, struct reservation *rv);

/* ---- write.c ---- */

/* Where an item is published, and over what. */
struct place {
	struct index_slot at;
	uint32_t old;  /* 0: the key is absent */
	bool alive;    /* old is not over */
	bool changes;  /* the new value is another */
};

/* prepare_expiry: room for the expiry of an unpublished item, so that publishing cannot fail for it; a
 * safe point. False: there is none. */
bool prepare_expiry(struct store_thread *st, uint32_t reference, uint32_t expiry);
/* refer: an unpublished item refers to these; a safe point. Errors: as reference_acquire. */
enum store_result refer(struct store_thread *st, uint32_t reference, const struct reference_list *list);
/* publish: with the bucket locked, replacing what is there if place->old is not 0. *delta and *unlinked
 * are for published(), after the bucket is unlocked. Errors: STORE_NO_MEMORY, STORE_HELD_LIMIT. */
enum store_result publish(struct store_thread *st, struct bucket *b, uint64_t hash, uint32_t reference,
                          const struct place *place, int32_t *delta, bool *unlinked);
/* held_growth: how many bytes more the new item has, which are held if the old one is; bucket locked. */
uint64_t held_growth(const struct store *s, uint32_t old, uint32_t reference);
void published(struct store_thread *st, uint32_t reference, uint64_t hash, int32_t delta, bool unlinked);
/* commit_plain: publishes the reservation's item as args say, or frees it. */
enum store_result commit_plain(struct store_thread *st, struct reservation *rv, struct commit_args *args);

/* ---- derive.c ---- */

/* commit_joined: append and prepend; ends the reservation. */
enum store_result commit_joined(struct store_thread *st, struct reservation *rv, struct commit_args *args);
/* rebuild: the key's item with other fields: a CAS unique that the client chose, no value. */
enum store_result rebuild(struct store_thread *st, const char *key, size_t key_length, uint64_t hash,
                          const struct delete_args *args);

#endif
