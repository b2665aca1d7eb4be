/*
 * The redirect's receiver: an HTTP listener on 127.0.0.1 (RFC 8252 section
 * 7.3) that lives as long as one login flow.  Wrong path, method, Host or
 * state get their 400 and change nothing (WIRE A13); connections, bytes and
 * time are bounded.
 */
#ifndef CALLBACK_H
#define CALLBACK_H

#include "loop.h"
#include "page.h"
#include "redirect.h"

struct callback;

/*
 * A redirect came whose query is ours as far as `expected` tells: code,
 * refusal or wrong issuer (never REDIRECT_FOREIGN).  Called once at most; the
 * browser waits until callback_answer(), and later requests get PAGE_EXPIRED
 * with 400.  The redirect is wiped after the call: to keep the code take it
 * out (->code = NULL).  callback_answer() and callback_close() may be called
 * from within.
 */
typedef void (*callback_came)(void *arg, enum redirect_verdict, struct redirect *);

/*
 * Binds 127.0.0.1:port (0: any).  `expected` is copied; upstream is the name
 * on the page.  NULL with errno (EADDRINUSE: the configured port is taken).
 */
struct callback *callback_open(struct loop *, unsigned port, const char *upstream, const struct redirect_expected *, callback_came, void *arg);
/* "http://127.0.0.1:PORT/callback": what is registered and sent; valid until closed. */
const char *callback_uri(const struct callback *);
/* The waiting browser gets its page.  Harmless if none waits. */
void	callback_answer(struct callback *, enum page, const char *detail);
/*
 * No new connections from now on; who still waits gets PAGE_EXPIRED, and what
 * is being written is finished (within serve's limits) before all is freed.
 * came() is not called any more.  NULL is fine.
 */
void	callback_close(struct callback *);
/* At the end of the process: what closed ones are still answering ends with the next settling. */
void	callback_leave_all(void);

#endif
