
# tests: each program links its own layer and those below it, so that an upward call fails here.
store_libs = libstore.a libeviction.a libbase.a

if HAVE_CRITERION
unit_tests = tests/test_lru tests/test_s3fifo tests/test_mini tests/test_mrc tests/test_curve tests/test_store_policy tests/test_store_shift tests/test_store_limit tests/test_index tests/test_slab \
	tests/test_settings tests/test_auth tests/test_address tests/test_cgroup tests/test_heavy
check_PROGRAMS += $(unit_tests)
TESTS += $(unit_tests)
unit_cflags = $(AM_CFLAGS) $(CRITERION_CFLAGS)
tests_test_lru_SOURCES = tests/test_lru.c
tests_test_lru_CFLAGS = $(unit_cflags)
tests_test_lru_LDADD = libeviction.a libbase.a $(CRITERION_LIBS)
tests_test_s3fifo_SOURCES = tests/test_s3fifo.c
tests_test_s3fifo_CFLAGS = $(unit_cflags)
tests_test_s3fifo_LDADD = libeviction.a libbase.a $(CRITERION_LIBS)
tests_test_mini_SOURCES = tests/test_mini.c tests/support/account.h
tests_test_mini_CFLAGS = $(unit_cflags)
tests_test_mini_LDADD = libeviction.a libbase.a $(CRITERION_LIBS)
tests_test_mrc_SOURCES = tests/test_mrc.c tests/support/random.h
tests_test_mrc_CFLAGS = $(unit_cflags)
tests_test_mrc_LDADD = libeviction.a libbase.a $(CRITERION_LIBS) -lm
tests_test_curve_SOURCES = tests/test_curve.c tests/support/store_bench.h tests/support/random.h
tests_test_curve_CFLAGS = $(unit_cflags)
tests_test_curve_LDADD = $(store_libs) $(CRITERION_LIBS) -lm
tests_test_store_shift_SOURCES = tests/test_store_shift.c tests/support/entries.h tests/support/store_bench.h tests/support/random.h
tests_test_store_shift_CFLAGS = $(unit_cflags)
tests_test_store_shift_LDADD = $(store_libs) $(CRITERION_LIBS)
tests_test_store_policy_SOURCES = tests/test_store_policy.c tests/support/entries.h tests/support/store_bench.h tests/support/random.h
tests_test_store_policy_CFLAGS = $(unit_cflags)
tests_test_store_policy_LDADD = $(store_libs) $(CRITERION_LIBS) -lm
tests_test_store_limit_SOURCES = tests/test_store_limit.c tests/support/entries.h tests/support/store_bench.h tests/support/random.h
tests_test_store_limit_CFLAGS = $(unit_cflags)
tests_test_store_limit_LDADD = $(store_libs) $(CRITERION_LIBS)
tests_test_index_SOURCES = tests/test_index.c
tests_test_index_CFLAGS = $(unit_cflags)
tests_test_index_LDADD = $(store_libs) $(CRITERION_LIBS)
tests_test_slab_SOURCES = tests/test_slab.c
tests_test_slab_CFLAGS = $(unit_cflags)
tests_test_slab_LDADD = $(store_libs) $(CRITERION_LIBS)
tests_test_settings_SOURCES = tests/test_settings.c
tests_test_settings_CFLAGS = $(unit_cflags)
tests_test_settings_LDADD = libnet.a libproto.a $(store_libs) $(LIBEVENT_LIBS) $(CRITERION_LIBS)
tests_test_auth_SOURCES = tests/test_auth.c
tests_test_auth_CFLAGS = $(unit_cflags)
tests_test_auth_LDADD = libnet.a libproto.a $(store_libs) $(LIBEVENT_LIBS) $(CRITERION_LIBS)
tests_test_heavy_SOURCES = tests/test_heavy.c tests/support/random.h
tests_test_heavy_CFLAGS = $(unit_cflags)
tests_test_heavy_LDADD = libnet.a libproto.a $(store_libs) $(LIBEVENT_LIBS) $(CRITERION_LIBS) -lm
tests_test_address_SOURCES = tests/test_address.c
tests_test_address_CFLAGS = $(unit_cflags)
tests_test_address_LDADD = libnet.a libproto.a $(store_libs) $(LIBEVENT_LIBS) $(CRITERION_LIBS)
tests_test_cgroup_SOURCES = tests/test_cgroup.c
tests_test_cgroup_CFLAGS = $(unit_cflags)
tests_test_cgroup_LDADD = libnet.a $(CRITERION_LIBS)

check_PROGRAMS += test_store_model
TESTS += test_store_model
test_store_model_SOURCES = tests/test_store_model.c tests/support/entries.h tests/support/random.h
test_store_model_CFLAGS = $(AM_CFLAGS) $(CRITERION_CFLAGS)
test_store_model_LDADD = $(store_libs) $(CRITERION_LIBS)

reference_tests = tests/test_references tests/test_references_model tests/test_collector tests/test_weak \
	tests/test_last_resort tests/test_sound
check_PROGRAMS += $(reference_tests)
TESTS += $(reference_tests)
tests_test_last_resort_SOURCES = tests/test_last_resort.c tests/support/entries.h
tests_test_last_resort_CFLAGS = $(unit_cflags)
tests_test_last_resort_LDADD = $(store_libs) $(CRITERION_LIBS)
tests_test_sound_SOURCES = tests/test_sound.c tests/support/entries.h
tests_test_sound_CFLAGS = $(unit_cflags)
tests_test_sound_LDADD = $(store_libs) $(CRITERION_LIBS)
tests_test_weak_SOURCES = tests/test_weak.c tests/support/entries.h
tests_test_weak_CFLAGS = $(unit_cflags)
tests_test_weak_LDADD = $(store_libs) $(CRITERION_LIBS)
tests_test_collector_SOURCES = tests/test_collector.c tests/support/entries.h tests/support/random.h
tests_test_collector_CFLAGS = $(unit_cflags)
tests_test_collector_LDADD = $(store_libs) $(CRITERION_LIBS)
tests_test_references_SOURCES = tests/test_references.c tests/support/entries.h
tests_test_references_CFLAGS = $(unit_cflags)
tests_test_references_LDADD = $(store_libs) $(CRITERION_LIBS)
tests_test_references_model_SOURCES = tests/test_references_model.c tests/support/entries.h tests/support/random.h
tests_test_references_model_CFLAGS = $(unit_cflags)
tests_test_references_model_LDADD = $(store_libs) $(CRITERION_LIBS)
endif

dist_check_SCRIPTS += tests/check-layers tests/manual-check tests/examples-check
TESTS += tests/check-layers tests/manual-check tests/examples-check

check_PROGRAMS += stress_store
TESTS += stress_store
crew_sources = tests/support/crew.c tests/support/crew.h tests/support/random.h
stress_store_SOURCES = tests/stress_store.c $(crew_sources)
stress_store_LDADD = $(store_libs)

check_PROGRAMS += stress_references
TESTS += stress_references
stress_references_SOURCES = tests/stress_references.c $(crew_sources)
stress_references_LDADD = $(store_libs)

# net/proto
EXTRA_DIST += tests/fuzz_parse.c
if HAVE_CRITERION
proto_tests = tests/test_base64 tests/test_compose tests/test_line tests/test_meta_parse tests/test_parse_cuts \
	tests/test_text_parse
check_PROGRAMS += $(proto_tests)
TESTS += $(proto_tests)
proto_test_driver = tests/support/proto_driver.c tests/support/proto_driver.h tests/support/parse_expect.h
proto_test_cflags = $(AM_CFLAGS) $(CRITERION_CFLAGS)
proto_test_ldadd = libproto.a $(CRITERION_LIBS)
tests_test_base64_SOURCES = tests/test_base64.c
tests_test_base64_CFLAGS = $(proto_test_cflags)
tests_test_base64_LDADD = $(proto_test_ldadd)
tests_test_compose_SOURCES = tests/test_compose.c
tests_test_compose_CFLAGS = $(proto_test_cflags)
tests_test_compose_LDADD = $(proto_test_ldadd)
tests_test_meta_parse_SOURCES = tests/test_meta_parse.c $(proto_test_driver)
tests_test_meta_parse_CFLAGS = $(proto_test_cflags)
tests_test_meta_parse_LDADD = $(proto_test_ldadd)
tests_test_line_SOURCES = tests/test_line.c tests/support/random.h
tests_test_line_CFLAGS = $(proto_test_cflags)
tests_test_line_LDADD = $(proto_test_ldadd)
tests_test_parse_cuts_SOURCES = tests/test_parse_cuts.c tests/support/random.h $(proto_test_driver)
tests_test_parse_cuts_CFLAGS = $(proto_test_cflags)
tests_test_parse_cuts_LDADD = $(proto_test_ldadd)
tests_test_text_parse_SOURCES = tests/test_text_parse.c $(proto_test_driver)
tests_test_text_parse_CFLAGS = $(proto_test_cflags)
tests_test_text_parse_LDADD = $(proto_test_ldadd)
endif

# make fuzz-parse: clang's libFuzzer on the parser; FUZZ_ARGS as libFuzzer takes them. Not built otherwise.
FUZZ_CC = clang-14
FUZZ_ARGS = -max_total_time=60 -max_len=4000
fuzz_sources = $(srcdir)/tests/fuzz_parse.c $(srcdir)/tests/support/proto_driver.c \
	$(srcdir)/net/proto/base64.c $(srcdir)/net/proto/line.c $(srcdir)/net/proto/meta_parse.c \
	$(srcdir)/net/proto/response.c $(srcdir)/net/proto/text_parse.c
.PHONY: fuzz-parse
fuzz-parse: $(fuzz_sources)
	$(MKDIR_P) tests
	$(FUZZ_CC) -std=gnu11 -D_GNU_SOURCE -g -O1 -fsanitize=fuzzer,address,undefined \
		-fno-sanitize-recover=all -I$(srcdir) -o tests/fuzz_parse $(fuzz_sources)
	tests/fuzz_parse $(FUZZ_ARGS)
CLEANFILES += tests/fuzz_parse


# Conversations: tests/wire/README.md. wire-check is about larder, wire-prove about the conversations.
dist_check_SCRIPTS += tests/wire-run tests/wire-check tests/wire-prove
TESTS += tests/wire-check tests/wire-prove
EXTRA_DIST += tests/README.md tests/wire/README.md \
	tests/wire/admin.txt tests/wire/arith.txt tests/wire/auth.txt tests/wire/cas.txt \
	tests/wire/delete.txt tests/wire/expiry.txt tests/wire/flush.txt tests/wire/get.txt \
	tests/wire/limits.txt tests/wire/lines.txt tests/wire/meta_get.txt tests/wire/meta_rest.txt \
	tests/wire/meta_set.txt tests/wire/profile.txt tests/wire/references.txt tests/wire/sizes.txt tests/wire/stats.txt tests/wire/store.txt tests/wire/touch.txt \
	tests/wire/watch.txt tests/wire/false/bytes.txt tests/wire/false/close.txt \
	tests/wire/false/end.txt tests/wire/false/late.txt

# tests: files of this directory

# Real clients, hostile clients, starting and stopping: scripts that start the server themselves.
dist_check_SCRIPTS += tests/clients-run tests/hostile-run tests/memory-run tests/startup-run
TESTS += tests/clients-run tests/hostile-run tests/memory-run tests/startup-run
EXTRA_DIST += tests/clients/README.md tests/clients/support.py tests/clients/memory_loads.py tests/clients/ketama.py \
	tests/clients/with_pymemcache.py tests/clients/with_pylibmc.py \
	tests/clients/with_libmemcached_tools.py tests/clients/with_cache_memcached.pl \
	tests/clients/with_php.php tests/clients/with_twemproxy.py tests/clients/with_ketama.py \
	tests/clients/node/package.json tests/clients/node/package-lock.json \
	tests/clients/node/with_memcached.js

# net: whole servers in the test's process, clients on socket pairs
if HAVE_CRITERION
net_tests = tests/test_buffer_pool tests/test_conn tests/test_dispatch tests/test_profile
check_PROGRAMS += $(net_tests)
TESTS += $(net_tests)
net_test_support = tests/support/net_server.c tests/support/net_server.h tests/support/random.h
net_test_cflags = $(AM_CFLAGS) $(CRITERION_CFLAGS)
net_test_ldadd = libnet.a libproto.a $(store_libs) $(LIBEVENT_LIBS) $(CRITERION_LIBS)
tests_test_buffer_pool_SOURCES = tests/test_buffer_pool.c tests/support/random.h
tests_test_buffer_pool_CFLAGS = $(net_test_cflags)
tests_test_buffer_pool_LDADD = $(net_test_ldadd)
tests_test_conn_SOURCES = tests/test_conn.c $(net_test_support)
tests_test_conn_CFLAGS = $(net_test_cflags)
tests_test_conn_LDADD = $(net_test_ldadd)
tests_test_dispatch_SOURCES = tests/test_dispatch.c $(net_test_support) tests/support/one_client.h
tests_test_dispatch_CFLAGS = $(net_test_cflags)
tests_test_dispatch_LDADD = $(net_test_ldadd)
tests_test_profile_SOURCES = tests/test_profile.c $(net_test_support) tests/support/one_client.h
tests_test_profile_CFLAGS = $(net_test_cflags)
tests_test_profile_LDADD = $(net_test_ldadd)
endif
