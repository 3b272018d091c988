EXTRA_DIST += store/base/README.md
noinst_LIBRARIES += libbase.a
libbase_a_SOURCES = store/base/base.h store/base/hash.h store/base/lock.h store/base/epoch.h \
	store/base/region.h store/base/region.c
