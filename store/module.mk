EXTRA_DIST += store/README.md store/references.md
noinst_LIBRARIES += libstore.a
libstore_a_SOURCES = store/store.h store/internal.h store/budget.h store/budget.c store/curve.h store/curve.c \
	store/item.h store/slab.h store/slab_internal.h store/slab.c store/slab_layout.c store/slab_queue.c store/slab_age.c store/index.h store/index.c \
	store/index_bucket.h store/index_overflow.c store/index_resize.c store/index_flush.c store/block.h store/block.c \
	store/reference.h store/reference_internal.h store/reference.c \
	store/reference_acquire.c store/reference_hold.c store/reference_life.c store/reference_sound.c \
	store/dead.c store/collect.c store/last_resort.c store/store.c store/prefetch.c store/write.h store/reserve.c store/write.c store/derive.c \
	store/limbo.c store/rings.c store/reclaim.c store/pages.c store/switch.c store/maintain.c store/stats.c
