noinst_LIBRARIES += libstore.a
libstore_a_SOURCES = store/store.h store/internal.h store/budget.h store/budget.c store/item.h \
	store/slab.h store/slab.c store/index.h store/index.c store/block.h store/block.c \
	store/reference.h store/reference.c store/dead.c store/collect.c store/move.c store/store.c store/write.c \
	store/reclaim.c store/maintain.c store/stats.c
