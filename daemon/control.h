/* The control socket: HTTP with JSON for mcp-authctl and curl (design, Sockets). */
#ifndef CONTROL_H
#define CONTROL_H

#include "reload.h"
#include "store.h"

struct control_client;

struct control {
	struct front	*front;
	struct store	*store;
	struct reload	*reload;	/* NULL: none, as in tests */
	const char	*version;
	/* set by control_init() */
	int64_t		 started;	/* boot ms */
	unsigned	 clients;
	LIST_HEAD(, control_client) list;
};

/* After the fields above are set. */
void	control_init(struct control *);
/*
 * A new connection; a peer that is neither our uid nor root is closed.
 *   GET  /healthz                         200 {"status":"ok"} | 503 {"status":"draining"}
 *   GET  /v1/status[/NAME]                {"version","pid","uptime_s","store":{...},"clients","held_bytes","log_dropped","upstreams":[{...}]}
 *   POST /v1/token/NAME                   body: the object of `token import`
 *   DELETE /v1/token/NAME                 `token remove`
 *   POST /v1/reload                       reads the config anew; 400 bad_config: why not, and where
 * Both of token answer 200 {"status":"ok"}.  Errors: {"error": WORD,
 * "message": TEXT} with 404, 405, 400, 409 (no token there: auth is not
 * oauth), 501, 503.
 */
void	control_open(struct control *, int fd);
/* Ends what is left, abortively; the connections die when the turn settles. */
void	control_close_all(struct control *);

#endif
