/*
 * peer.h: the two ends of a connection, for people.
 */
#ifndef LARDER_PEER_H
#define LARDER_PEER_H

#include "net/server.h"

#define PEER_TEXT_BYTES 160

struct peer {
	char host[64]; /* "unix" for Unix sockets, "unknown" when the socket is gone */
	unsigned port;
	const char *transport; /* tcp or unix */
};

void peer_of(struct peer *peer, int fd, enum transport transport);

/* peer_text, peer_local_text: "tcp:127.0.0.1:4711", "tcp6:[::1]:4711", "unix:/a/path". False when the
 * socket is gone. */
bool peer_text(char text[PEER_TEXT_BYTES], int fd, enum transport transport);
bool peer_local_text(char text[PEER_TEXT_BYTES], int fd, enum transport transport);

#endif
