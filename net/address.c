/* address.c: see address.h. */
#include "net/address.h"

#include <arpa/inet.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>

static struct sockaddr_in *as_ipv4(struct address *ad)
{
	return (struct sockaddr_in *)&ad->storage;
}

static struct sockaddr_in6 *as_ipv6(struct address *ad)
{
	return (struct sockaddr_in6 *)&ad->storage;
}

void address_any(struct address *ad, int family, uint16_t port)
{
	memset(ad, 0, sizeof(*ad));
	ad->storage.ss_family = (sa_family_t)family;
	ad->length = family == AF_INET6 ? sizeof(struct sockaddr_in6) : sizeof(struct sockaddr_in);
	address_set_port(ad, port);
}

uint16_t address_port(const struct address *ad)
{
	if (ad->storage.ss_family == AF_INET6)
		return ntohs(((const struct sockaddr_in6 *)&ad->storage)->sin6_port);
	return ntohs(((const struct sockaddr_in *)&ad->storage)->sin_port);
}

void address_set_port(struct address *ad, uint16_t port)
{
	if (ad->storage.ss_family == AF_INET6)
		as_ipv6(ad)->sin6_port = htons(port);
	else
		as_ipv4(ad)->sin_port = htons(port);
}

const char *address_text(const struct address *ad, char buffer[ADDRESS_TEXT_BYTES])
{
	char host[INET6_ADDRSTRLEN];
	bool ipv6 = ad->storage.ss_family == AF_INET6;
	const void *bytes = ipv6 ? (const void *)&((const struct sockaddr_in6 *)&ad->storage)->sin6_addr
	                         : (const void *)&((const struct sockaddr_in *)&ad->storage)->sin_addr;
	inet_ntop(ad->storage.ss_family, bytes, host, sizeof(host));
	snprintf(buffer, ADDRESS_TEXT_BYTES, ipv6 ? "[%s]:%u" : "%s:%u", host, address_port(ad));
	return buffer;
}

/* Where host and port are in one item of a list. */
struct split {
	const char *host;
	size_t host_length;
	const char *port; /* NULL: none */
	size_t port_length;
};

static const char *split_text(const char *text, size_t length, struct split *sp)
{
	const char *end = text + length;
	memset(sp, 0, sizeof(*sp));
	if (length > 0 && text[0] == '[') {
		const char *bracket = memchr(text, ']', length);
		if (bracket == NULL)
			return "a [ without its ]";
		sp->host = text + 1;
		sp->host_length = (size_t)(bracket - sp->host);
		if (bracket + 1 == end)
			return NULL;
		if (bracket[1] != ':')
			return "something else than :port behind the ]";
		sp->port = bracket + 2;
		sp->port_length = (size_t)(end - sp->port);
		return NULL;
	}
	sp->host = text;
	sp->host_length = length;
	const char *colon = memchr(text, ':', length);
	/* More than one colon: an IPv6 address without brackets, and so without a port. */
	if (colon == NULL || memchr(colon + 1, ':', (size_t)(end - colon - 1)) != NULL)
		return NULL;
	sp->host_length = (size_t)(colon - text);
	sp->port = colon + 1;
	sp->port_length = (size_t)(end - sp->port);
	return NULL;
}

static bool parse_port(const char *text, size_t length, uint16_t *port)
{
	uint32_t number = 0;
	if (length == 0 || length > 5)
		return false;
	for (size_t i = 0; i < length; i++) {
		if (text[i] < '0' || text[i] > '9')
			return false;
		number = number * 10 + (uint32_t)(text[i] - '0');
	}
	*port = (uint16_t)number;
	return number <= UINT16_MAX;
}

/* What can be no name is never given to the resolver, which might take its time over it. */
static bool looks_numeric(const char *host)
{
	return strchr(host, ':') != NULL || strspn(host, "0123456789.") == strlen(host);
}

static bool parse_numeric(const char *host, uint16_t port, struct address *ad)
{
	address_any(ad, AF_INET, port);
	/* inet_aton also takes 127.1, as getaddrinfo does, but text behind a space as well. */
	if (strchr(host, ' ') == NULL && inet_aton(host, &as_ipv4(ad)->sin_addr) != 0)
		return true;
	address_any(ad, AF_INET6, port);
	return inet_pton(AF_INET6, host, &as_ipv6(ad)->sin6_addr) == 1;
}

static enum address_result resolve(const char *host, uint16_t port, struct address *addresses,
                                   unsigned max, unsigned *count, const char **why)
{
	bool numeric = looks_numeric(host);
	struct addrinfo hints = {
		.ai_socktype = SOCK_STREAM,
		/* A numeric one comes here for the interface of a link-local address: fe80::1%eth0. */
		.ai_flags = AI_PASSIVE | (numeric ? AI_NUMERICHOST : 0),
	};
	struct addrinfo *list;
	int error = getaddrinfo(host, NULL, &hints, &list);
	if (error != 0) {
		*why = numeric ? "no address" : gai_strerror(error);
		return numeric ? ADDRESS_MALFORMED : ADDRESS_UNKNOWN;
	}
	*count = 0;
	for (struct addrinfo *ai = list; ai != NULL && *count < max; ai = ai->ai_next) {
		if (ai->ai_family != AF_INET && ai->ai_family != AF_INET6)
			continue;
		struct address *ad = &addresses[(*count)++];
		memset(ad, 0, sizeof(*ad));
		memcpy(&ad->storage, ai->ai_addr, ai->ai_addrlen);
		ad->length = ai->ai_addrlen;
		address_set_port(ad, port);
	}
	freeaddrinfo(list);
	*why = "the name has no address";
	return *count > 0 ? ADDRESS_OK : ADDRESS_UNKNOWN;
}

enum address_result address_parse(const char *text, size_t length, uint16_t port,
                                  struct address *addresses, unsigned max, unsigned *count,
                                  const char **why)
{
	char host[256];
	struct split sp;
	*why = split_text(text, length, &sp);
	if (*why != NULL)
		return ADDRESS_MALFORMED;
	*why = "no address";
	if (sp.host_length == 0)
		return ADDRESS_MALFORMED;
	*why = "the address is too long";
	if (sp.host_length >= sizeof(host))
		return ADDRESS_MALFORMED;
	*why = "the port is no number from 0 to 65535";
	if (sp.port != NULL && !parse_port(sp.port, sp.port_length, &port))
		return ADDRESS_MALFORMED;

	memcpy(host, sp.host, sp.host_length);
	host[sp.host_length] = '\0';
	*count = 1;
	if (parse_numeric(host, port, &addresses[0]))
		return ADDRESS_OK;
	return resolve(host, port, addresses, max, count, why);
}
