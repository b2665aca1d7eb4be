/*
 * MCP over local HTTP: a serve handler that turns requests into exchanges.
 * Connections that speak lines of JSON are handed to front_line.
 */
#ifndef FRONT_HTTP_H
#define FRONT_HTTP_H

#include <sys/queue.h>

#include "relay.h"
#include "serve.h"

#define FRONT_REFUSED	64		/* connections beyond the cap, kept only to be told so; the rest is just closed */

struct front_conn;
struct front_user;
struct line_client;

/* Everything that a front must know of the daemon.  Zero it, set the first four. */
struct front {
	struct loop	*loop;
	const struct config *config;
	struct upstream	**upstreams;
	size_t		 nupstreams;
	const uid_t	*allowed;	/* beside our own uid and root */
	size_t		 nallowed;
	bool		 draining;
	/* counters for status and caps */
	unsigned	 clients;
	/* private to front_http.c */
	unsigned	 strangers;	/* turned away since it was last said ... */
	int64_t		 strangers_said;	/* ... at this boot ms; 0 = never */
	LIST_HEAD(, front_conn) conns;
	LIST_HEAD(, front_user) users;
	LIST_HEAD(, line_client) lines;	/* front_line.c's */
};

/*
 * A new local connection.  upstream NULL: the shared socket, where the first
 * path segment names it.  Takes fd.  Beyond limits.clients or
 * clientsPerUser its first request is answered `limit` and it is closed.
 */
void	front_http_open(struct front *, struct upstream *, int fd);
/* Contract K: new exchanges are refused, idle connections closed. */
void	front_http_drain(struct front *);
/*
 * A reload: connections of the one upstream's socket lead to the other from
 * their next request on; with NULL they end after the one that runs.
 */
void	front_http_redirect(struct front *, const struct upstream *from, struct upstream *to);
/* Ends what is left, abortively. */
void	front_http_close_all(struct front *);

#endif
