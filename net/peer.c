#include "net/peer.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/un.h>

union address {
	struct sockaddr any;
	struct sockaddr_in ipv4;
	struct sockaddr_in6 ipv6;
	struct sockaddr_un local;
	struct sockaddr_storage storage;
};

/* Host and port of an internet address; false for others. */
static bool internet_name(const union address *ad, char host[64], unsigned *port)
{
	if (ad->any.sa_family == AF_INET) {
		*port = ntohs(ad->ipv4.sin_port);
		return inet_ntop(AF_INET, &ad->ipv4.sin_addr, host, 64) != NULL;
	}
	if (ad->any.sa_family == AF_INET6) {
		*port = ntohs(ad->ipv6.sin6_port);
		return inet_ntop(AF_INET6, &ad->ipv6.sin6_addr, host, 64) != NULL;
	}
	return false;
}

void peer_of(struct peer *peer, int fd, enum transport transport)
{
	union address ad;
	socklen_t length = sizeof(ad);

	peer->transport = transport == TRANSPORT_UNIX ? "unix" : "tcp";
	peer->port = 0;
	if (getpeername(fd, &ad.any, &length) != 0 || !internet_name(&ad, peer->host, &peer->port))
		snprintf(peer->host, sizeof(peer->host), "%s",
			 transport == TRANSPORT_UNIX ? "unix" : "unknown");
}

static bool address_name(char text[PEER_TEXT_BYTES], const union address *ad)
{
	char host[64];
	unsigned port;

	if (!internet_name(ad, host, &port)) {
		bool named = ad->any.sa_family == AF_UNIX && ad->local.sun_path[0] != '\0';
		snprintf(text, PEER_TEXT_BYTES, "unix:%.108s", named ? ad->local.sun_path : "");
		return true;
	}
	bool ipv6 = ad->any.sa_family == AF_INET6;
	snprintf(text, PEER_TEXT_BYTES, ipv6 ? "tcp6:[%s]:%u" : "tcp:%s:%u", host, port);
	return true;
}

bool peer_text(char text[PEER_TEXT_BYTES], int fd, enum transport transport)
{
	union address ad = {.storage = {0}};
	socklen_t length = sizeof(ad);

	if (transport == TRANSPORT_UNIX)
		return peer_local_text(text, fd, transport);
	return getpeername(fd, &ad.any, &length) == 0 && address_name(text, &ad);
}

bool peer_local_text(char text[PEER_TEXT_BYTES], int fd, enum transport transport)
{
	union address ad = {.storage = {0}};
	socklen_t length = sizeof(ad);

	return getsockname(fd, &ad.any, &length) == 0 && address_name(text, &ad);
}
