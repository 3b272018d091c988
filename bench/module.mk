# bench: the load tools. They know the protocol and nothing of the server's insides.
bin_PROGRAMS += larder-replay larder-floor

noinst_LIBRARIES += libbench.a
libbench_a_SOURCES = \
	bench/client.c bench/client.h \
	bench/histogram.c bench/histogram.h \
	bench/procstat.c bench/procstat.h \
	bench/reply.c bench/reply.h \
	bench/spawn.c bench/spawn.h \
	bench/tool.c bench/tool.h \
	bench/trace.c bench/trace.h
libbench_a_CPPFLAGS = $(AM_CPPFLAGS) $(ZSTD_CFLAGS)

larder_replay_SOURCES = bench/replay.c bench/player.c bench/player.h
larder_replay_LDADD = libbench.a $(ZSTD_LIBS) -lm

larder_floor_SOURCES = bench/floor.c
larder_floor_LDADD = libbench.a $(LIBEVENT_LIBS)

# Tests of the load tools; they play against Debian's memcached, and against larder once it is there.
dist_check_SCRIPTS += tests/test_replay tests/test_floor
TESTS += tests/test_replay tests/test_floor
EXTRA_DIST += bench/make-trace
