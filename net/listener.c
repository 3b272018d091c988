/* listener.c: see listener.h. */
#include "net/listener.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "net/log.h"
#include "net/process.h"
#include "net/settings.h"

/* Connections taken in one go, before the main thread looks at its other events. */
#define ACCEPTS_PER_EVENT 64

static const char too_many[] = "ERROR Too many open connections\r\n";

static int64_t monotonic_us(void)
{
	struct timespec ts;
	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000000LL + ts.tv_nsec / 1000;
}

/* ---- opening ---- */

static struct listener *listener_add(struct listeners *ls, int fd, enum transport transport)
{
	struct listener *li = &ls->items[ls->count++];
	li->fd = fd;
	li->transport = transport;
	li->owner = ls;
	return li;
}

/* Accepted sockets inherit these, which saves a call for each of them. */
static void set_tcp_options(int fd, int family)
{
	int on = 1;
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof(on));
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	/* 0.0.0.0 and :: must be able to stand beside one another. */
	if (family == AF_INET6)
		setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof(on));
}

/* A socket that listens at the address; -1 with errno set. */
static int open_tcp(const struct address *ad, int backlog)
{
	int fd = socket(ad->storage.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -1;
	set_tcp_options(fd, ad->storage.ss_family);
	if (bind(fd, (const struct sockaddr *)&ad->storage, ad->length) == 0 && listen(fd, backlog) == 0)
		return fd;
	int saved_errno = errno;
	close(fd);
	errno = saved_errno;
	return -1;
}

/* With port 0, the port that the first address got is tried for the others too: clients then have
 * one to know. */
static int open_tcp_any_port(struct listeners *ls, struct address *ad)
{
	int backlog = (int)ls->settings->backlog;
	if (address_port(ad) == 0 && ls->count > 0) {
		struct address same = *ad;
		address_set_port(&same, address_port(&ls->items[0].address));
		int fd = open_tcp(&same, backlog);
		if (fd >= 0)
			return fd;
	}
	return open_tcp(ad, backlog);
}

static bool open_address(struct listeners *ls, struct address *ad, struct failure *f)
{
	char text[ADDRESS_TEXT_BYTES];
	if (ls->count == LISTENERS_MAX)
		return fail_usage(f, "-l: more than %u addresses", LISTENERS_MAX);
	int fd = open_tcp_any_port(ls, ad);
	if (fd < 0)
		return fail_environment(f, "cannot listen on %s: %s", address_text(ad, text),
		                        strerror(errno));
	bool ipv6 = ad->storage.ss_family == AF_INET6;
	struct listener *li = listener_add(ls, fd, ipv6 ? TRANSPORT_TCP6 : TRANSPORT_TCP);
	li->address.length = sizeof(li->address.storage);
	getsockname(fd, (struct sockaddr *)&li->address.storage, &li->address.length);
	return true;
}

/* Without -l: IPv4 and IPv6, or the one of them that the machine has. */
static bool open_everywhere(struct listeners *ls, struct failure *f)
{
	struct address ad;
	uint16_t port = (uint16_t)ls->settings->port;
	address_any(&ad, AF_INET, port);
	bool has_ipv4 = open_address(ls, &ad, f);
	if (!has_ipv4 && errno != EAFNOSUPPORT)
		return false;
	address_any(&ad, AF_INET6, port);
	if (open_address(ls, &ad, f))
		return true;
	return has_ipv4 && (errno == EAFNOSUPPORT || errno == EADDRNOTAVAIL);
}

/* One item of the list. A name counts as open when one of its addresses is. */
static bool open_item(struct listeners *ls, const char *text, size_t length, struct failure *f)
{
	struct address addresses[8];
	unsigned count = 0;
	const char *why;
	enum address_result result =
		address_parse(text, length, (uint16_t)ls->settings->port, addresses,
		              ARRAY_LENGTH(addresses), &count, &why);
	if (result == ADDRESS_MALFORMED)
		return fail_usage(f, "-l %.*s: %s", (int)MIN(length, 100), text, why);
	if (result == ADDRESS_UNKNOWN)
		return fail_environment(f, "-l %.*s: %s", (int)MIN(length, 100), text, why);
	unsigned opened = 0;
	for (unsigned i = 0; i < count; i++) {
		if (open_address(ls, &addresses[i], f))
			opened++;
		else if (errno != EADDRNOTAVAIL && errno != EAFNOSUPPORT)
			return false;
	}
	return opened > 0;
}

static bool open_list(struct listeners *ls, struct failure *f)
{
	const char *text = ls->settings->listen;
	while (*text != '\0') {
		size_t length = strcspn(text, ",");
		if (length > 0 && !open_item(ls, text, length, f))
			return false;
		text += length;
		text += *text == ',';
	}
	if (ls->count == 0)
		return fail_usage(f, "-l %.100s: no address", ls->settings->listen);
	return true;
}

/* A file left by a server that is gone is removed; anything else that is there stays. */
static bool clear_unix_path(const struct sockaddr_un *un, struct failure *f)
{
	struct stat st;
	if (lstat(un->sun_path, &st) != 0)
		return errno == ENOENT ||
		       fail_environment(f, "-s %s: %s", un->sun_path, strerror(errno));
	if (!S_ISSOCK(st.st_mode))
		return fail_environment(f, "-s %s: exists and is no socket", un->sun_path);
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return fail_environment(f, "-s %s: %s", un->sun_path, strerror(errno));
	int error = connect(fd, (const struct sockaddr *)un, sizeof(*un)) == 0 ? 0 : errno;
	close(fd);
	if (error != ECONNREFUSED)
		return fail_environment(f, "-s %s: in use by another server", un->sun_path);
	if (unlink(un->sun_path) != 0)
		return fail_environment(f, "-s %s: cannot be removed: %s", un->sun_path,
		                        strerror(errno));
	return true;
}

static bool open_unix(struct listeners *ls, struct failure *f)
{
	const char *path = ls->settings->unix_socket;
	struct sockaddr_un un = {.sun_family = AF_UNIX};
	if (strlen(path) >= sizeof(un.sun_path))
		return fail_usage(f, "-s %.100s...: the path is too long, over %zu bytes", path,
		                  sizeof(un.sun_path) - 1);
	strcpy(un.sun_path, path);
	if (!clear_unix_path(&un, f))
		return false;
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return fail_environment(f, "-s %s: %s", path, strerror(errno));
	/* The mode must be right from the first moment, hence not by chmod. */
	mode_t old_mask = umask(~(mode_t)ls->settings->unix_mode & 0777);
	int bound = bind(fd, (const struct sockaddr *)&un, sizeof(un));
	int saved_errno = errno;
	umask(old_mask);
	/* A daemon is elsewhere by the time the file must go. */
	if (bound == 0)
		ls->unix_path = process_absolute_path(path);
	if (bound == 0 && listen(fd, (int)ls->settings->backlog) == 0) {
		listener_add(ls, fd, TRANSPORT_UNIX);
		return true;
	}
	saved_errno = bound == 0 ? errno : saved_errno;
	close(fd);
	return fail_environment(f, "-s %s: %s", path, strerror(saved_errno));
}

bool listeners_open(struct listeners *ls, const struct settings *settings, struct failure *f)
{
	memset(ls, 0, sizeof(*ls));
	ls->settings = settings;
	ls->open = true;
	bool good;
	if (settings->unix_socket != NULL)
		good = open_unix(ls, f);
	else if (settings->listen[0] != '\0')
		good = open_list(ls, f);
	else
		good = open_everywhere(ls, f);
	if (!good)
		listeners_close(ls);
	return good;
}

bool listeners_give_socket(const struct listeners *ls, uid_t uid, gid_t gid, struct failure *f)
{
	if (ls->unix_path == NULL || lchown(ls->unix_path, uid, gid) == 0)
		return true;
	return fail_environment(f, "-s %s: cannot be given to the user of -u: %s", ls->unix_path,
	                        strerror(errno));
}

/* ---- accepting ---- */

static void pause_accepting(struct listeners *ls)
{
	if (atomic_load_explicit(&ls->paused, memory_order_relaxed))
		return;
	for (unsigned i = 0; i < ls->count; i++)
		event_del(&ls->items[i].event);
	ls->paused_since_us = monotonic_us();
	/* A try that brought nobody in belongs to the pause before it. */
	if (ls->accepted_since_pause)
		atomic_fetch_add_explicit(&ls->server->listen_disabled_count, 1, memory_order_relaxed);
	ls->accepted_since_pause = false;
	atomic_store_explicit(&ls->server->accepting, false, memory_order_relaxed);
	atomic_store_explicit(&ls->paused, true, memory_order_relaxed);
}

static void resume_accepting(struct listeners *ls)
{
	atomic_store_explicit(&ls->paused, false, memory_order_relaxed);
	atomic_store_explicit(&ls->server->accepting, true, memory_order_relaxed);
	atomic_fetch_add_explicit(&ls->server->listen_disabled_us,
	                          (uint64_t)(monotonic_us() - ls->paused_since_us),
	                          memory_order_relaxed);
	for (unsigned i = 0; i < ls->count; i++)
		event_add(&ls->items[i].event, NULL);
}

static bool is_full(const struct listeners *ls)
{
	return atomic_load_explicit(&ls->server->curr_connections, memory_order_relaxed) >=
	       ls->settings->conn_limit;
}

/* Tells the client why. What it sent already is read first: a close with unread input would reset
 * the connection, and the client might never see the line. */
static void reject(struct listeners *ls, int fd)
{
	char unread[2048];
	atomic_fetch_add_explicit(&ls->server->rejected_connections, 1, memory_order_relaxed);
	ssize_t n = send(fd, too_many, sizeof(too_many) - 1, MSG_DONTWAIT | MSG_NOSIGNAL);
	if (n > 0)
		n = recv(fd, unread, sizeof(unread), MSG_DONTWAIT);
	close(fd);
}

static void hand_over(struct listeners *ls, const struct listener *li, int fd)
{
	struct server *sv = ls->server;
	if (is_full(ls)) {
		reject(ls, fd);
		return;
	}
	/* Counted before the worker has it: whoever gets a reply finds himself in the statistics. */
	atomic_fetch_add_explicit(&sv->curr_connections, 1, memory_order_relaxed);
	atomic_fetch_add_explicit(&sv->total_connections, 1, memory_order_relaxed);
	if (!server_assign(sv, fd, li->transport)) {
		atomic_fetch_sub_explicit(&sv->curr_connections, 1, memory_order_relaxed);
		atomic_fetch_sub_explicit(&sv->total_connections, 1, memory_order_relaxed);
		reject(ls, fd);
	}
}

/* What accept4 reports of one connection that is gone already, rather than of this machine. */
static bool is_of_one_connection(int error)
{
	return error == EINTR || error == ECONNABORTED || error == EPROTO || error == EPERM ||
	       error == ENETDOWN || error == ENOPROTOOPT || error == EHOSTDOWN || error == ENONET ||
	       error == EHOSTUNREACH || error == EOPNOTSUPP || error == ENETUNREACH;
}

static void on_acceptable(evutil_socket_t listening, short what, void *context)
{
	struct listener *li = context;
	struct listeners *ls = li->owner;
	for (unsigned i = 0; i < ACCEPTS_PER_EVENT; i++) {
		if (!ls->settings->reject_at_limit && is_full(ls)) {
			pause_accepting(ls);
			return;
		}
		int fd = accept4((int)listening, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
		if (fd >= 0) {
			ls->accepted_since_pause = true;
			hand_over(ls, li, fd);
			continue;
		}
		if (errno == EAGAIN || errno == EWOULDBLOCK)
			return;
		if (is_of_one_connection(errno))
			continue;
		/* EMFILE, ENFILE, ENOBUFS, ENOMEM: trying again at once would spin. */
		if (ls->accepted_since_pause &&
		    atomic_load_explicit(&ls->server->verbosity, memory_order_relaxed) > 0)
			log_line("accept: %s", strerror(errno));
		pause_accepting(ls);
		return;
	}
}

enum status listeners_start(struct listeners *ls, struct server *server, struct event_base *base)
{
	ls->server = server;
	for (unsigned i = 0; i < ls->count; i++) {
		struct listener *li = &ls->items[i];
		event_assign(&li->event, base, li->fd, EV_READ | EV_PERSIST, on_acceptable, li);
		if (event_add(&li->event, NULL) != 0)
			return STATUS_NO_MEMORY;
	}
	ls->started = true;
	ls->accepted_since_pause = true;
	atomic_store_explicit(&server->accepting, true, memory_order_relaxed);
	return STATUS_OK;
}

void listeners_retry(struct listeners *ls)
{
	bool must_wait = !ls->settings->reject_at_limit && is_full(ls);
	if (ls->started && atomic_load_explicit(&ls->paused, memory_order_relaxed) && !must_wait)
		resume_accepting(ls);
}

bool listeners_paused(const struct listeners *ls)
{
	return atomic_load_explicit(&ls->paused, memory_order_relaxed);
}

void listeners_close(struct listeners *ls)
{
	/* The list itself stays as it is: a worker may be reading it for stats conns. */
	for (unsigned i = 0; ls->open && i < ls->count; i++) {
		if (ls->started)
			event_del(&ls->items[i].event);
		close(ls->items[i].fd);
	}
	if (ls->open && ls->unix_path != NULL)
		unlink(ls->unix_path);
	if (ls->started)
		atomic_store_explicit(&ls->server->accepting, false, memory_order_relaxed);
	ls->open = false;
	ls->started = false;
}

/* ---- telling ---- */

static const char *listener_text(const struct listeners *ls, const struct listener *li,
                                 char buffer[ADDRESS_TEXT_BYTES])
{
	if (li->transport != TRANSPORT_UNIX)
		return address_text(&li->address, buffer);
	snprintf(buffer, ADDRESS_TEXT_BYTES, "%s", ls->unix_path);
	return buffer;
}

const char *listeners_text(const struct listeners *ls, char *buffer, size_t size)
{
	size_t length = 0;
	buffer[0] = '\0';
	for (unsigned i = 0; i < ls->count && length < size; i++) {
		char text[ADDRESS_TEXT_BYTES];
		length += (size_t)snprintf(buffer + length, size - length, "%s%s", i > 0 ? ", " : "",
		                           listener_text(ls, &ls->items[i], text));
	}
	return buffer;
}

void listeners_each(const struct listeners *ls,
                    void (*line)(void *context, int fd, const char *address), void *context)
{
	static const char *const prefixes[] = {
		[TRANSPORT_TCP] = "tcp", [TRANSPORT_TCP6] = "tcp6", [TRANSPORT_UNIX] = "unix"};
	for (unsigned i = 0; i < ls->count; i++) {
		const struct listener *li = &ls->items[i];
		char text[ADDRESS_TEXT_BYTES], line_text[ADDRESS_TEXT_BYTES + 8];
		snprintf(line_text, sizeof(line_text), "%s:%s", prefixes[li->transport],
		         listener_text(ls, li, text));
		line(context, li->fd, line_text);
	}
}

bool listeners_write_ports(const struct listeners *ls, const char *path, struct failure *f)
{
	char temporary[4096];
	if ((size_t)snprintf(temporary, sizeof(temporary), "%s.lck", path) >= sizeof(temporary))
		return fail_environment(f, "MEMCACHED_PORT_FILENAME: the path is too long");
	FILE *file = fopen(temporary, "we");
	if (file == NULL)
		return fail_environment(f, "%.100s: %s", temporary, strerror(errno));
	for (unsigned i = 0; i < ls->count; i++) {
		const struct listener *li = &ls->items[i];
		if (li->transport != TRANSPORT_UNIX)
			fprintf(file, "TCP %s: %u\n", li->transport == TRANSPORT_TCP6 ? "INET6" : "INET",
			        address_port(&li->address));
	}
	if (fclose(file) == 0 && rename(temporary, path) == 0)
		return true;
	return fail_environment(f, "%.100s: %s", path, strerror(errno));
}
