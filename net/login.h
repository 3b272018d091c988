/*
 * login.h: what a connection may say before it is authenticated (-Y). A line of its own kind: nothing
 * but
 *
 *     set <anything> <anything> <anything> <bytes>[ noreply]\r\n
 *     <user> <password>\r\n
 *
 * is listened to. Every other line is answered with an error of one kind and not looked into, so that
 * a stranger learns nothing about what the server knows, and no parser sees his bytes.
 */
#ifndef LARDER_LOGIN_H
#define LARDER_LOGIN_H

#include "store/base/base.h"

struct conn;

#define LOGIN_LINE_MAX_BYTES 2048u
#define LOGIN_BLOCK_MAX_BYTES 1024u

/* login_take: one line of the input, with its data block. Returns the bytes that are done with; 0: more
 * is needed, or the connection is to be closed (c->closing). */
size_t login_take(struct conn *c, const char *data, size_t length);

#endif
