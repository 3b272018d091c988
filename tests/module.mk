# tests: each program links its own layer and those below it, so that an upward call fails here.
store_libs = libstore.a libeviction.a libbase.a

if HAVE_CRITERION
check_PROGRAMS += test_store_model
TESTS += test_store_model
test_store_model_SOURCES = tests/test_store_model.c tests/support/random.h
test_store_model_CFLAGS = $(AM_CFLAGS) $(CRITERION_CFLAGS)
test_store_model_LDADD = $(store_libs) $(CRITERION_LIBS)
endif
