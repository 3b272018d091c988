#include "eviction/list.h"

void list_push(const struct policy_queue *q, struct chunk_list *l, uint32_t reference)
{
	struct chunk_link *link = link_of(q, reference);

	assert(link->newer == 0);
	link->newer = reference;
	link->older = l->head ? l->head : reference;
	if (l->head)
		link_of(q, l->head)->newer = reference;
	else
		l->tail = reference;
	l->head = reference;
	l->count++;
}

void list_remove(const struct policy_queue *q, struct chunk_list *l, uint32_t reference)
{
	struct chunk_link *link = link_of(q, reference);
	bool is_head = link->newer == reference;
	bool is_tail = link->older == reference;

	assert(link->newer != 0);
	if (is_head && is_tail) {
		l->head = l->tail = 0;
	} else if (is_head) {
		l->head = link->older;
		link_of(q, link->older)->newer = link->older;
	} else if (is_tail) {
		l->tail = link->newer;
		link_of(q, link->newer)->older = link->newer;
	} else {
		link_of(q, link->newer)->older = link->older;
		link_of(q, link->older)->newer = link->newer;
	}
	link->newer = link->older = 0;
	l->count--;
}

void list_replace(const struct policy_queue *q, struct chunk_list *l, uint32_t to, uint32_t from)
{
	struct chunk_link *old = link_of(q, from), *new = link_of(q, to);

	assert(old->newer != 0 && new->newer == 0);
	new->newer = old->newer == from ? to : old->newer;
	new->older = old->older == from ? to : old->older;
	if (new->newer == to)
		l->head = to;
	else
		link_of(q, new->newer)->older = to;
	if (new->older == to)
		l->tail = to;
	else
		link_of(q, new->older)->newer = to;
	old->newer = old->older = 0;
}

/* Reads links that another thread may be writing; a wrong one costs a wasted fetch. */
void list_prefetch(const struct policy_queue *q, uint32_t reference)
{
#ifndef THREAD_SANITIZED
	const struct chunk_link *link = link_of(q, reference);

	prefetch_to_write(link_of(q, link->newer));
	prefetch_to_write(link_of(q, link->older));
#else
	(void)q;
	(void)reference;
#endif
}

void list_check(const struct policy_queue *q, const struct chunk_list *l)
{
	int64_t count = 0;
	uint32_t newer = l->head;

	for (uint32_t at = l->head; at; count++) {
		const struct chunk_link *link = link_of(q, at);

		assert(link->newer == newer);
		assert(count < l->count);
		newer = at;
		if (link->older == at) {
			assert(l->tail == at);
			at = 0;
		} else {
			at = link->older;
		}
	}
	assert(count == l->count);
	assert((l->head == 0) == (l->tail == 0));
}
