# bench: the load tools. They know the protocol and nothing of the server's insides.
bin_PROGRAMS += larder-replay larder-floor larder-load

noinst_LIBRARIES += libbench.a
libbench_a_SOURCES = \
	bench/client.c bench/client.h \
	bench/histogram.c bench/histogram.h \
	bench/keyspace.c bench/keyspace.h \
	bench/procstat.c bench/procstat.h \
	bench/random.h \
	bench/reply.c bench/reply.h \
	bench/sizes.c bench/sizes.h \
	bench/spawn.c bench/spawn.h \
	bench/tool.c bench/tool.h \
	bench/trace.c bench/trace.h \
	bench/workload.c bench/workload.h \
	bench/zipf.c bench/zipf.h
libbench_a_CPPFLAGS = $(AM_CPPFLAGS) $(ZSTD_CFLAGS)

larder_replay_SOURCES = bench/replay.c bench/player.c bench/player.h
larder_replay_LDADD = libbench.a $(ZSTD_LIBS) -lm

larder_load_SOURCES = bench/load.c \
	bench/engine.c bench/engine.h bench/engine_internal.h \
	bench/engine_conn.c bench/engine_pace.c \
	bench/load_report.c bench/load_report.h
larder_load_LDADD = libbench.a -lm

larder_floor_SOURCES = bench/floor.c
larder_floor_LDADD = libbench.a $(LIBEVENT_LIBS)

# The store without a server around it; with larder-sim the one tool that knows the inside.
bin_PROGRAMS += larder-micro
larder_micro_SOURCES = bench/micro.c bench/micro.h \
	bench/micro_figures.c bench/micro_scale.c bench/micro_store.c
larder_micro_LDADD = libbench.a libproto.a libstore.a libeviction.a libbase.a -lm

# The policies without a server.
bin_PROGRAMS += larder-sim
larder_sim_SOURCES = bench/sim.c \
	bench/sim_curve.c bench/sim_curve.h \
	bench/sim_run.c bench/sim_run.h \
	bench/sim_trace.c bench/sim_trace.h
larder_sim_LDADD = libbench.a libeviction.a libbase.a $(ZSTD_LIBS) -lm

# Tests of the load tools; they play against Debian's memcached, and against larder once it is there.
dist_check_SCRIPTS += tests/test_replay tests/test_floor tests/test_load tests/test_sim tests/test_compare tests/test_memory tests/test_scripts
TESTS += tests/test_replay tests/test_floor tests/test_load tests/test_sim tests/test_compare tests/test_memory tests/test_scripts
EXTRA_DIST += bench/make-trace bench/compare bench/misses bench/policies bench/references bench/memory bench/picking bench/README.md bench/reports \
	bench/report.py bench/script.py bench/servers.py bench/memory_life.py bench/memory_room.py bench/memory_insight.py

if HAVE_CRITERION
bench_tests = tests/test_histogram tests/test_reply tests/test_trace tests/test_zipf
check_PROGRAMS += $(bench_tests)
TESTS += $(bench_tests)
bench_test_cflags = $(AM_CFLAGS) $(CRITERION_CFLAGS)
bench_test_ldadd = libbench.a $(ZSTD_LIBS) $(CRITERION_LIBS) -lm
tests_test_histogram_SOURCES = tests/test_histogram.c
tests_test_histogram_CFLAGS = $(bench_test_cflags)
tests_test_histogram_LDADD = $(bench_test_ldadd)
tests_test_reply_SOURCES = tests/test_reply.c
tests_test_reply_CFLAGS = $(bench_test_cflags)
tests_test_reply_LDADD = $(bench_test_ldadd)
tests_test_trace_SOURCES = tests/test_trace.c
tests_test_trace_CFLAGS = $(bench_test_cflags)
tests_test_trace_LDADD = $(bench_test_ldadd)
tests_test_zipf_SOURCES = tests/test_zipf.c
tests_test_zipf_CFLAGS = $(bench_test_cflags)
tests_test_zipf_LDADD = $(bench_test_ldadd)
endif
