/* Which header fields cross the daemon, and which end at it (RFC 9110 7.6.1, contract A1, WIRE M6). */
#ifndef HOP_H
#define HOP_H

#include "http1.h"

/*
 * May this field of a local request go upstream?  Not: hop-by-hop fields and
 * those named in Connection, Host, Content-Length and Expect (we write our
 * own), Authorization, Cookie and Proxy-* (A1), Origin (it speaks of the
 * local hop).
 */
bool	hop_up(const struct http1_head *, const struct http1_field *);
/*
 * May this field of an upstream answer go down?  Not: hop-by-hop fields and
 * those named in Connection, Content-Length (we write our own),
 * WWW-Authenticate, Proxy-Authenticate, Set-Cookie, Set-Cookie2, Alt-Svc (A1).
 */
bool	hop_down(const struct http1_head *, const struct http1_field *);

#endif
