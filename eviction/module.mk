noinst_LIBRARIES += libeviction.a
libeviction_a_SOURCES = eviction/policy.h eviction/policy.c eviction/lru.c \
	eviction/s3fifo.c eviction/fifo.h eviction/fifo.c eviction/ghost.h eviction/ghost.c
