/*
 * one_client.h: a server (net_server.h) and one client that is connected to it, for tests that say and
 * expect. Further clients come by net_connect(&ns).
 */
#ifndef LARDER_TEST_ONE_CLIENT_H
#define LARDER_TEST_ONE_CLIENT_H

#include <unistd.h>

#include "tests/support/net_server.h"

static struct net_server ns;
static int fd;

static inline void start(const char *flags)
{
	net_server_start(&ns, flags);
	fd = net_connect(&ns);
}

static inline void stop(void)
{
	close(fd);
	net_server_stop(&ns);
}

#endif
