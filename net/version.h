/* version.h: what the server calls itself. Clients parse the front as memcached's version. */
#ifndef LARDER_VERSION_H
#define LARDER_VERSION_H

#define LARDER_VERSION "1.6.45-larder.1"
#define LARDER_LICENSE "Free software; see the file LICENSE of its source."

#endif
