/* Ordinary libcurl transfers for OAuth: few, small, bounded (FACTS). */
#ifndef FETCH_H
#define FETCH_H

#include "buf.h"
#include "link.h"

enum fetch_outcome {
	FETCH_ANSWER,		/* a complete answer: status and body */
	FETCH_UNSENT,		/* DNS, connect, TLS: nothing left the house */
	FETCH_UNKNOWN		/* timeout, reset, cut answer, body too large */
};

struct fetch_reply {
	enum fetch_outcome outcome;
	int		 status;
	struct buf	 body;		/* BUF_SECRET; the fetcher frees it after done() */
	int64_t		 retry_after;	/* ms from Retry-After (seconds or date), 0 if none */
	char		 why[160];	/* our words for what went wrong */
};

struct fetch_request {
	const char	*url;		/* https, or http on loopback: checked here, -EINVAL */
	struct slice	 form;		/* POST application/x-www-form-urlencoded; {NULL,0} = GET; copied, wiped */
	const char	*authorization;	/* whole value, NULL = none */
	struct way	 way;
	int64_t		 timeout_ms;
	size_t		 max_body;
	bool		 allow_insecure;/* plain http to anything */
};

typedef void (*fetch_done)(void *arg, struct fetch_reply *);
struct fetch;

/*
 * Redirects are not followed (C9); a 3xx comes back as an answer.  Silent
 * replay is impossible (fresh connection, no reuse for POST).  done() exactly once, never inside
 * the call, unless cancelled.  NULL with errno.
 */
struct fetch *fetch_start(struct connector *, const struct fetch_request *, fetch_done, void *arg);
void	fetch_cancel(struct fetch *);	/* NULL is fine */

#endif
