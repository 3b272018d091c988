/* slab_internal.h: what the files of the slab share. */
#ifndef LARDER_SLAB_INTERNAL_H
#define LARDER_SLAB_INTERNAL_H

#include "store/slab.h"

#define CHUNKS_PER_PAGE_MAX ((256u << 10) / CHUNK_MIN_BYTES)

/* slab_layout.c. An empty queue of this policy for the class's pages. */
void slab_init_queue(struct slab *sl, struct slab_class *sc, struct policy_queue *q,
                     const struct policy_ops *policy);

/* slab.c. Side bytes of a page that lie apart from it, under this queue's policy; what they took is given back,
 * and zeros are left. */
uint32_t slab_sides_bytes(const struct slab *sl, const struct slab_class *sc, const struct policy_queue *q);
void slab_drop_sides(struct slab *sl, const struct slab_class *sc, const struct policy_queue *q,
                     uint32_t number);

#endif
