/*
 * Does what lib/discovery asks for: a few bounded fetches, redirects checked
 * at every hop.  No URL but the MCP origin's own may lead from a public server
 * to a private address (WIRE A15): the server is public if a connection to its
 * origin went to a public address; where none was made (or a proxy made it),
 * unless its host is a private address or a loopback name.
 */
#ifndef DISCOVER_H
#define DISCOVER_H

#include "connector.h"
#include "discovery.h"

struct discover;

/*
 * Nothing is cached here: what a login found stands in its record, which every
 * renewal uses; a 401 has it read anew (C7), and so has the next login.
 */
struct discover_reply {
	bool			 ok;
	struct discovery_result	*result;	/* of ok, unless resource_only: the receiver may move it out */
	bool			 mismatch;	/* resource_only: read, and the issuer is not in it (C7) */
	bool			 at_server;	/* of !ok: the protected-resource metadata was settled (doctor) */
	int64_t			 date;		/* wall ms of the latest answer's Date, 0 = none (doctor) */
	const char		*why;		/* of !ok: what is wrong and what to do */
};
typedef void (*discover_done)(void *arg, struct discover_reply *);
/* A step begins; for progress.  Our words, remote text escaped. */
typedef void (*discover_step)(void *arg, const char *words);

/* An answer came, redirects followed; valid during the call (doctor). */
struct discover_seen {
	enum discovery_need need;	/* PROBE or GET */
	int		 status;	/* 0: none, see why */
	const struct challenge *challenge;	/* of a probe's answer */
	const char	*why;
};
typedef void (*discover_look)(void *arg, const struct discover_seen *);

struct discover_request {
	const struct config_upstream *config;	/* must outlive it */
	const struct challenge *known;	/* copied; NULL = none */
	const char	*issuer;	/* copied; not NULL: resource_only, is this one still named? (VERIFY) */
	const char	*server;	/* copied; not NULL: only this authorization server's metadata (discovery_new_server(); it was configured: no A15) */
	int64_t		 timeout_ms;	/* for all of it */
	discover_step	 step;		/* may be NULL */
	discover_look	 look;		/* may be NULL */
	discover_done	 done;		/* exactly once, never inside discover_start(), unless cancelled */
	void		*arg;
};

struct discover *discover_start(struct connector *, const struct discover_request *);	/* NULL without memory */
void	discover_cancel(struct discover *);	/* NULL is fine */

#endif
