/* version.h: what the server calls itself. Clients parse the front as memcached's version; node's client
 * wants three numbers at the very end and dies of anything else. */
#ifndef LARDER_VERSION_H
#define LARDER_VERSION_H

#define LARDER_VERSION "1.6.45-larder.1.0.0"
#define LARDER_LICENSE "Permission is granted to use, copy, change and distribute it for any purpose.\nIt comes without any warranty."

#endif
