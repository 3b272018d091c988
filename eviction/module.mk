noinst_LIBRARIES += libeviction.a
libeviction_a_SOURCES = eviction/policy.h eviction/policy.c eviction/lru.c
