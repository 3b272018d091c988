# net: files of this directory
EXTRA_DIST += net/README.md
noinst_LIBRARIES += libnet.a
libnet_a_SOURCES = \
	net/address.c \
	net/address.h \
	net/admin.c \
	net/admin.h \
	net/auth.c \
	net/auth.h \
	net/auto_budget.c \
	net/auto_budget.h \
	net/block_pool.c \
	net/block_pool.h \
	net/buffer_pool.c \
	net/buffer_pool.h \
	net/cgroup.c \
	net/cgroup.h \
	net/clock.c \
	net/clock.h \
	net/collect.c \
	net/collect.h \
	net/conn.c \
	net/conn.h \
	net/conn_turn.c \
	net/counters.def \
	net/counters.h \
	net/dispatch.c \
	net/dispatch.h \
	net/dispatch_internal.h \
	net/dispatch_storage.c \
	net/dispatch_meta.c \
	net/dump.c \
	net/dump.h \
	net/fill.c \
	net/fill.h \
	net/heavy.c \
	net/heavy.h \
	net/hot.c \
	net/hot.h \
	net/login.c \
	net/login.h \
	net/log.c \
	net/log.h \
	net/observe.c \
	net/observe.h \
	net/outbox.c \
	net/outbox.h \
	net/peer.c \
	net/peer.h \
	net/prefix.c \
	net/prefix.h \
	net/curve_stats.c \
	net/curve_stats.h \
	net/profile.c \
	net/profile.h \
	net/server.c \
	net/server.h \
	net/settings.c \
	net/settings.def \
	net/settings.h \
	net/settings_print.c \
	net/settings_table.h \
	net/settings_undef.h \
	net/settings_value.c \
	net/stats.c \
	net/stats.h \
	net/stats_budget.c \
	net/stats_classes.c \
	net/stats_conns.c \
	net/stats_detail.c \
	net/stats_kinds.h \
	net/stats_settings.c \
	net/stats_sizes.c \
	net/watch.c \
	net/watch.h \
	net/words.h \
	net/worker.c \
	net/worker.h

libnet_a_SOURCES += net/daemon.c net/daemon.h net/event_memory.c net/event_memory.h \
	net/failure.c net/failure.h net/listener.c net/listener.h net/process.c net/process.h \
	net/version.h

bin_PROGRAMS += larder
larder_SOURCES = net/main.c
larder_LDADD = libnet.a libproto.a libstore.a libeviction.a libbase.a $(LIBEVENT_LIBS)
larder_LDFLAGS = $(AM_LDFLAGS) -Wl,--gc-sections -Wl,-z,now

# docs/larder.1 is made from the table of settings; tests/manual-check compares.
noinst_PROGRAMS += larder_manual
larder_manual_SOURCES = net/larder_manual.c
larder_manual_LDADD = libnet.a libproto.a libstore.a libeviction.a libbase.a $(LIBEVENT_LIBS)
dist_man_MANS = docs/larder.1
.PHONY: update-manual
update-manual: larder_manual
	./larder_manual > $(srcdir)/docs/larder.1
