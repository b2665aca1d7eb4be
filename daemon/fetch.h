/* Ordinary libcurl transfers for OAuth: few, small, bounded (FACTS). */
#ifndef FETCH_H
#define FETCH_H

#include "buf.h"
#include "challenge.h"
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
	int64_t		 date;		/* wall ms from Date, 0 if none or unreadable */
	struct challenge challenge;	/* of the final head; the fetcher frees it, unless moved out */
	char		*location;	/* of a 3xx, raw, bounded by URL_BYTES; the fetcher frees it; NULL = none */
	bool		 private_peer;	/* the connected address is in a private range (lib/address); false behind a proxy */
	char		 why[160];	/* our words for what went wrong */
};

struct fetch_request {
	const char	*url;		/* https, or http on loopback: checked here, -EINVAL */
	struct slice	 form;		/* POST application/x-www-form-urlencoded; {NULL,0} = GET; copied, wiped */
	const char	*content_type;	/* of the body in `form`, NULL = as above ("application/json" for registration and the probe) */
	const char	*accept;	/* NULL = application/json */
	const char	*header_lines;	/* more fields, each "Name: value\r\n" (the config's, to the MCP origin only); NULL = none */
	bool		 head_only;	/* the final head is answer enough: the body (which may never end) is not read */
	bool		 refuse_private;/* FETCH_UNSENT if the address is in a private range (A15); behind a proxy only literal ones and loopback names can be told */
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
/* What a Date field says: wall ms, 0 if that is unreadable. */
int64_t	fetch_date(struct slice value);

#endif
