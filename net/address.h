/*
 * address.h: the addresses of -l, from text to sockaddr and back.
 *
 *     127.0.0.1   127.0.0.1:11311   [::1]   [::1]:11311   ::1   a.host.name   a.host.name:11311
 *
 * Several stand in a list with commas. A name may stand for several addresses; only for names is
 * the system's resolver asked (and its libraries loaded).
 */
#ifndef LARDER_ADDRESS_H
#define LARDER_ADDRESS_H

#include <sys/socket.h>

#include "store/base/base.h"

#define ADDRESS_TEXT_BYTES 128

struct address {
	struct sockaddr_storage storage;
	socklen_t length;
};

enum address_result {
	ADDRESS_OK,
	ADDRESS_MALFORMED, /* the text is wrong */
	ADDRESS_UNKNOWN,   /* a name that nobody knows */
};

/* address_parse: one item of a list; without a port in it, `port` is meant. Fills up to `max`
 * addresses and *count. Errors say in `why` (static text) what is wrong. */
enum address_result address_parse(const char *text, size_t length, uint16_t port,
                                  struct address *addresses, unsigned max, unsigned *count,
                                  const char **why);

/* address_any: every IPv4 or IPv6 address (family AF_INET or AF_INET6). */
void address_any(struct address *ad, int family, uint16_t port);

uint16_t address_port(const struct address *ad);
void address_set_port(struct address *ad, uint16_t port);

/* address_text: 127.0.0.1:11211, [::1]:11211. Returns `buffer`. */
const char *address_text(const struct address *ad, char buffer[ADDRESS_TEXT_BYTES]);

#endif
