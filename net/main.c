/*
 * main.c: the program. Reads the flags, brings the parts up in order, runs the main thread's loop
 * (accepting, signals, upkeep of the store, the container's limit), and takes the parts down again.
 *
 * The order of the start: flags, the budget if it is a share, user, limits, sockets (while still
 * root), the daemon's fork, the other user, the store, the workers, the loop. A failure anywhere is one
 * line on stderr and an exit status of 64 (a wrong flag) or 1 (the environment).
 */
#include <event2/event.h>
#include <event2/event_struct.h>
#include <malloc.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/random.h>
#include <unistd.h>

#include "config.h"
#include "eviction/policy.h"
#include "net/auth.h"
#include "net/auto_budget.h"
#include "net/collect.h"
#include "net/daemon.h"
#include "net/event_memory.h"
#include "net/listener.h"
#include "net/log.h"
#include "net/process.h"
#include "net/server.h"
#include "net/settings.h"
#include "net/version.h"
#include "store/curve.h"

#define UPKEEP_IDLE_MS 100
#define UPKEEP_SAMPLING_MS 20
#define UPKEEP_BUSY_MS 0 /* what waits on the sockets comes in between */
#define UPKEEP_COLLECT_US 300u /* of the collector in one upkeep, at least a step */
#define DRAIN_CHECK_MS 50
#define DRAIN_CHECKS 40 /* how often a graceful end looks for connections that are left */
#define SIGNAL_COUNT 4
/* What must be left for items once everything else has its share. */
#define ITEMS_LEAST_BYTES (256u << 10)

struct program {
	struct settings settings;
	struct auto_budget auto_budget;
	struct identity identity;
	struct daemon daemon;
	struct listeners listeners;
	struct auth auth;
	struct store *store;
	struct server server;
	struct event_base *base;
	struct event upkeep_event;
	struct event follow_event; /* pending only if -m is a share */
	struct event wake_event;
	struct event drain_event;
	struct event signal_events[SIGNAL_COUNT];
	const char *pid_file; /* written, to be removed */
	int pid_fd;           /* of pid_file */
	int wake_fd; /* workers write here: a connection closed, or a client asked for the end */
	bool has_auth;
	bool has_server;
	unsigned drain_checks;
	const struct policy_ops *policy; /* the last one that was logged */
	atomic_int stop_asked; /* 0, or enum stop */
};

enum stop { STOP_NONE, STOP_NOW, STOP_GRACEFUL };

/* ---- start ---- */

static bool fail_policy(struct failure *f, const char *name)
{
	char list[256] = "";

	for (unsigned i = 0; policy_at(i); i++) {
		size_t length = strlen(list);

		snprintf(list + length, sizeof(list) - length, "%s%s", i ? ", " : "", policy_at(i)->name);
	}
	return fail_usage(f, "--eviction %s: not a policy; there are %s, auto", name, list);
}

/* It begins with the default, and changes when the curves say that another would miss less. */
static bool is_auto(const struct settings *se)
{
	return strcmp(se->eviction, "auto") == 0;
}

static bool open_store(struct program *p, struct failure *f)
{
	p->policy = is_auto(&p->settings) ? policy_at(0) : policy_find(p->settings.eviction);

	struct store_options o = server_store_options(&p->settings);

	o.limit_max_bytes = auto_budget_reach(&p->auto_budget);
	o.policy = p->policy;
	o.policy_may_change = o.policy_follows_curves = is_auto(&p->settings);
	o.goal = strcmp(p->settings.goal, "bytes") == 0 ? GOAL_BYTES : GOAL_OBJECTS;
	if (!o.policy)
		return fail_policy(f, p->settings.eviction);
	if (o.goal == GOAL_OBJECTS && strcmp(p->settings.goal, "objects") != 0)
		return fail_usage(f, "--goal %s: not a goal; there are objects, bytes", p->settings.goal);
	if (getrandom(&o.hash_seed, sizeof(o.hash_seed), 0) != sizeof(o.hash_seed))
		return fail_environment(f, "no random numbers for the hash: %s", strerror(errno));
	enum status status = store_init(&p->store, &o);

	/* Under a limit on address space (ulimit -v) the budget follows as far as that goes. */
	if (status == STATUS_SYSTEM && o.limit_max_bytes != 0) {
		o.limit_max_bytes = 0;
		status = store_init(&p->store, &o);
	}
	switch (status) {
	case STATUS_OK:
		return true;
	case STATUS_NO_MEMORY:
		return fail_usage(f, "-m: too little memory to hold anything");
	case STATUS_TOO_LARGE:
		return fail_usage(f, "-m: more memory than can be managed");
	default:
		return fail_environment(f, "no address space for the cache: %s", strerror(errno));
	}
}

static bool open_auth(struct program *p, struct failure *f)
{
	char error[AUTH_ERROR_BYTES];

	if (!p->settings.auth_file)
		return true;
	if (auth_init(&p->auth, process_absolute_path(p->settings.auth_file), error) != STATUS_OK)
		return fail_environment(f, "-Y %s: %s", p->settings.auth_file, error);
	p->has_auth = true;
	return true;
}

static void wake_main(struct program *p)
{
	uint64_t one = 1;

	if (write(p->wake_fd, &one, sizeof(one)) < 0)
		return; /* the counter is full: the main thread is awake already */
}

static void on_shutdown(void *owner, bool graceful)
{
	struct program *p = owner;

	atomic_store(&p->stop_asked, graceful ? STOP_GRACEFUL : STOP_NOW);
	wake_main(p);
}

static void on_connection_closed(void *owner)
{
	struct program *p = owner;

	/* Accepting stops at a limit only; else there is nothing to wake anybody for. */
	if (listeners_paused(&p->listeners))
		wake_main(p);
}

static void list_sockets(void *owner, void (*line)(void *context, int fd, const char *address),
                         void *context)
{
	listeners_each(&((struct program *)owner)->listeners, line, context);
}

/* ---- the main thread's loop ---- */

static void stop(struct program *p, enum stop how)
{
	struct timeval soon = { .tv_usec = DRAIN_CHECK_MS * 1000 };

	if (how == STOP_NOW) {
		event_base_loopbreak(p->base);
		return;
	}
	/* Graceful: nobody new; whoever is here gets the replies that he waits for. */
	listeners_close(&p->listeners);
	server_drain(&p->server);
	event_add(&p->drain_event, &soon);
}

static void on_drain(evutil_socket_t fd, short what, void *context)
{
	struct program *p = context;

	if (atomic_load(&p->server.curr_connections) == 0 || ++p->drain_checks >= DRAIN_CHECKS)
		event_base_loopbreak(p->base);
}

static void on_wake(evutil_socket_t fd, short what, void *context)
{
	struct program *p = context;
	uint64_t count;

	/* Read first: what is asked for after the look below writes again and wakes us again. */
	if (read(p->wake_fd, &count, sizeof(count)) < 0)
		return;
	int asked = atomic_exchange(&p->stop_asked, STOP_NONE);

	if (asked != STOP_NONE)
		stop(p, (enum stop)asked);
	else
		listeners_retry(&p->listeners);
}

static void reload(struct program *p)
{
	char error[AUTH_ERROR_BYTES];

	if (p->has_auth && auth_reload(&p->auth, error) != STATUS_OK)
		log_line("-Y: %s; the users before it stay", error);
}

static void on_signal(evutil_socket_t number, short what, void *context)
{
	struct program *p = context;

	if (number == SIGHUP)
		reload(p);
	else
		stop(p, number == SIGUSR1 ? STOP_GRACEFUL : STOP_NOW);
}

static void log_policy(struct program *p)
{
	const struct policy_ops *policy = store_running_policy(p->store);
	struct store_curve curve;

	if (likely(policy == p->policy))
		return;
	store_curve_read(p->store, &curve);
	log_line("eviction: %s from here on, which would have missed %.1f %% less than %s (stats mrc)",
	         policy->name, 100 * curve.advice_gain, p->policy->name);
	p->policy = policy;
}

static void on_upkeep(evutil_socket_t fd, short what, void *context)
{
	struct program *p = context;
	struct store_thread *st = store_thread_get(p->store, p->server.worker_count);
	uint32_t ms = UPKEEP_IDLE_MS;

	if (store_maintain(st, clock_now(&p->server.clock)))
		ms = UPKEEP_BUSY_MS;
	else if (store_curve_is_busy(p->store))
		ms = UPKEEP_SAMPLING_MS;
	log_policy(p);
	if (collect_some(&p->server, st, UPKEEP_COLLECT_US))
		ms = UPKEEP_BUSY_MS;
	listeners_retry(&p->listeners);
	struct timeval next = { .tv_usec = ms * 1000 };

	event_add(&p->upkeep_event, &next);
}

static void on_follow(evutil_socket_t fd, short what, void *context)
{
	struct program *p = context;

	auto_budget_follow(&p->auto_budget, &p->server,
	                   store_thread_get(p->store, p->server.worker_count));
}

static struct event_base *make_base(void)
{
	struct event_config *config = event_config_new();
	struct event_base *base = NULL;

	if (config) {
		event_config_set_flag(config, EVENT_BASE_FLAG_NOLOCK);
		base = event_base_new_with_config(config);
		event_config_free(config);
	}
	return base;
}

static const int signals[SIGNAL_COUNT] = { SIGINT, SIGTERM, SIGUSR1, SIGHUP };

/* Held back until the loop can take them: the sockets listen before that, and whoever waited for
 * them may send a signal at once. Workers start while they are held, so they are the main thread's. */
static void hold_signals(bool hold)
{
	sigset_t set;

	sigemptyset(&set);
	for (unsigned i = 0; i < SIGNAL_COUNT; i++)
		sigaddset(&set, signals[i]);
	pthread_sigmask(hold ? SIG_BLOCK : SIG_UNBLOCK, &set, NULL);
}

static bool add_events(struct program *p, struct failure *f)
{
	struct timeval now = { 0 };
	struct timeval follow = { .tv_usec = AUTO_BUDGET_FOLLOW_MS * 1000 };

	for (unsigned i = 0; i < SIGNAL_COUNT; i++) {
		evsignal_assign(&p->signal_events[i], p->base, signals[i], on_signal, p);
		if (evsignal_add(&p->signal_events[i], NULL) != 0)
			return fail_environment(f, "no signal handler: %s", strerror(errno));
	}
	event_assign(&p->wake_event, p->base, p->wake_fd, EV_READ | EV_PERSIST, on_wake, p);
	event_assign(&p->upkeep_event, p->base, -1, 0, on_upkeep, p);
	event_assign(&p->follow_event, p->base, -1, EV_PERSIST, on_follow, p);
	event_assign(&p->drain_event, p->base, -1, EV_PERSIST, on_drain, p);
	if (event_add(&p->wake_event, NULL) != 0 || event_add(&p->upkeep_event, &now) != 0 ||
	    (p->auto_budget.wanted && event_add(&p->follow_event, &follow) != 0))
		return fail_environment(f, "no events");
	return true;
}

static bool start_server(struct program *p, struct failure *f)
{
	struct server_options o = {
		.settings = &p->settings,
		.store = p->store,
		.auth = p->has_auth ? &p->auth : NULL,
		.limit_source = p->auto_budget.source,
		.owner = p,
		.on_shutdown = on_shutdown,
		.on_connection_closed = on_connection_closed,
		.list_sockets = list_sockets,
	};

	p->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	p->base = make_base();
	if (p->wake_fd < 0 || !p->base)
		return fail_environment(f, "no event loop: %s", strerror(errno));
	if (!add_events(p, f))
		return false;
	if (server_init(&p->server, &o) != STATUS_OK)
		return fail_environment(f, "no memory for %u workers", p->settings.thread_count);
	p->has_server = true;
	if (server_start(&p->server) != STATUS_OK)
		return fail_environment(f, "cannot start a thread: %s", strerror(errno));
	if (listeners_start(&p->listeners, &p->server, p->base) != STATUS_OK)
		return fail_environment(f, "no memory for the listeners");
	return true;
}

/* What the program itself takes: everything resident now. What the other accounts hold of it by now
 * is little and counted twice, on the safe side. */
static void charge_program(struct program *p)
{
	struct resident re;

	if (!process_measure_resident(&re))
		return;
#ifdef LARDER_SANITIZED
	/* The sanitizer's own memory would leave a small budget nothing. */
	re.total_bytes = MIN(re.total_bytes, (uint64_t)BUDGET_ALLOWANCE_BYTES);
#endif
	budget_charge(store_budget(p->store), ACCOUNT_PROGRAM, re.total_bytes);
}

/* Threads cost the same however small the budget is. A server that has nothing left for items would
 * answer everything with an error, and be over its budget from the start. */
static bool check_room(struct program *p, struct failure *f)
{
	struct budget *b = store_budget(p->store);
	char limit[32];

	if (budget_used(b) + ITEMS_LEAST_BYTES <= budget_limit(b))
		return true;
	setting_size_text((double)p->settings.memory_limit_bytes, limit, sizeof(limit));
	return fail_usage(f, "-m %s: too little for -t %u, which alone takes %llu MB", limit,
	                  p->settings.thread_count,
	                  (unsigned long long)(budget_account(b, ACCOUNT_THREADS) >> 20));
}

static void announce(struct program *p)
{
	uint64_t limit_bytes = p->settings.memory_limit_bytes;
	bool whole = limit_bytes % (1u << 20) == 0;
	char addresses[1024];

	if (p->settings.daemonise)
		return;
	printf("larder %s listening on %s within %llu %s\n", LARDER_VERSION,
	       listeners_text(&p->listeners, addresses, sizeof(addresses)),
	       (unsigned long long)(limit_bytes >> (whole ? 20 : 10)), whole ? "MB" : "KB");
	fflush(stdout);
}

static bool write_pid(struct program *p, struct failure *f)
{
	if (p->settings.pid_file == NULL)
		return true;
	if (!process_write_pid(p->settings.pid_file, &p->identity, &p->pid_fd, f))
		return false;
	/* A daemon is elsewhere by the time the file must go. */
	p->pid_file = process_absolute_path(p->settings.pid_file);
	return true;
}

static void remove_pid(struct program *p)
{
	if (p->pid_file != NULL)
		process_remove_pid(p->pid_file, p->pid_fd);
}

/* Everything up to where the loop can run. */
static bool start(struct program *p, struct failure *f)
{
	const char *ports = getenv("MEMCACHED_PORT_FILENAME");
	struct settings *se = &p->settings;

	if (!auto_budget_choose(&p->auto_budget, se, f) ||
	    !process_find_identity(&p->identity, se, f) || !process_raise_limits(se, f) ||
	    !open_auth(p, f) || !listeners_open(&p->listeners, se, f))
		return false;
	if (se->daemonise && !daemon_begin(&p->daemon, f))
		return false;
	if (!write_pid(p, f))
		return false;
	if (p->identity.change &&
	    (!listeners_give_socket(&p->listeners, p->identity.uid, p->identity.gid, f) ||
	     !process_become(&p->identity, f)))
		return false;
	if (!open_store(p, f))
		return false;
	/* After the address space is reserved: a limit on locked memory would refuse all of it. */
	if (se->lock_memory && !process_lock_memory())
		log_line("-k: memory cannot be locked: %s", strerror(errno));
	event_memory_install(store_budget(p->store));
	if (!start_server(p, f))
		return false;
	if (ports && !listeners_write_ports(&p->listeners, ports, f))
		return false;
	charge_program(p);
	if (!check_room(p, f))
		return false;
	hold_signals(false);
	announce(p);
	if (se->daemonise)
		daemon_ready(&p->daemon, se->verbosity > 0, se->core_dumps);
	return true;
}

/* ---- the program ---- */

/* Few, small arenas, and what is freed goes back to the system: the budget counts on it. */
static void tame_malloc(void)
{
	mallopt(M_ARENA_MAX, 1);
	mallopt(M_TRIM_THRESHOLD, 64 << 10);
	mallopt(M_MMAP_THRESHOLD, 64 << 10);
	mallopt(M_TOP_PAD, 16 << 10);
}

/* Takes down what start brought up, as far as it came. */
static void finish(struct program *p)
{
	listeners_close(&p->listeners);
	if (p->has_server) {
		server_stop(&p->server);
		server_fini(&p->server);
	}
	if (p->base)
		event_base_free(p->base);
	event_memory_install(NULL);
	if (p->store) {
#ifdef LARDER_INVARIANTS
		store_check(p->store);
#endif
		store_fini(p->store);
	}
	if (p->has_auth)
		auth_fini(&p->auth);
	remove_pid(p);
}

static int report(const struct failure *f)
{
	fprintf(stderr, "larder: %s\n", f->text);
	return f->exit_status;
}

static bool print_information(const struct settings *se)
{
	if (se->help)
		settings_print_help(stdout);
	else if (se->version)
		puts("larder " LARDER_VERSION);
	else if (se->license)
		puts("larder " LARDER_VERSION "\n" LARDER_LICENSE);
	else
		return false;
	return true;
}

int main(int argc, char **argv)
{
	static struct program program;
	struct program *p = &program;
	struct failure f = { .exit_status = EXIT_ENVIRONMENT };

	tame_malloc();
	signal(SIGPIPE, SIG_IGN);
	if (!settings_parse(&p->settings, argc, argv, stderr)) {
		fprintf(stderr, "larder: %s\n", p->settings.error);
		return EXIT_USAGE;
	}
	if (print_information(&p->settings))
		return 0;
	hold_signals(true);
	bool started = start(p, &f);

	if (started)
		event_base_dispatch(p->base);
	/* A second signal is no reason to leave half-way. */
	hold_signals(true);
	finish(p);
	return started ? 0 : report(&f);
}
