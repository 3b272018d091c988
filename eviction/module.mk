EXTRA_DIST += eviction/README.md
noinst_LIBRARIES += libeviction.a
libeviction_a_SOURCES = eviction/policy.h eviction/policy.c eviction/mini.h eviction/mini.c eviction/mrc.h eviction/mrc.c eviction/mrc_ring.h eviction/list.h eviction/list.c \
	eviction/lru.c eviction/slru.c eviction/clock.c eviction/sieve.c eviction/tinylfu.c eviction/frequency.h eviction/frequency.c \
	eviction/s3fifo.c eviction/fifo.h eviction/fifo.c eviction/ghost.h eviction/ghost.c eviction/lines.h eviction/lines.c
