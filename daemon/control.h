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
	const char	*runtime;	/* its directory; NULL: none, as in tests */
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
 *   GET  /v1/status[/NAME]                one object; its members stand in config/mcp-authctl.1
 *   GET  /v1/doctor/NAME                  200 application/x-ndjson: the lines of doctor.h; 409 busy: it is being examined
 *   POST /v1/login/NAME                  body: none, {} or {"device":true,"manual":true,"scope":"..."}
 *   POST /v1/login/NAME/redirect         body: {"redirect":"the pasted URL or code"}
 *   POST /v1/logout/NAME                 200 {"status":"ok","revoked":WORDS}
 *   POST /v1/logout                      200 [{"name","status":"ok","revoked"} | {"name","status":"failed","message"}]
 *   POST /v1/token/NAME                  body: the object of `token import`
 *   DELETE /v1/token/NAME                `token remove`
 *   POST /v1/store/migrate               body: {"to":"file"|"encrypted"|"keyring"}; 200 {"status":"ok","message"}
 *   POST /v1/store/rekey                 body: {"newKey":"/path/of/a/key/file"}; the same
 *   POST /v1/reload                      reads the config anew; 400 bad_config: why not, and where
 *
 * A login is begun or joined, and answered 200 application/x-ndjson: one
 * object a line, as things happen; the last is done or failed.  Who closes the
 * connection leaves the login.
 *   {"event":"progress","message"}       also every 15 s, with what time is left
 *   {"event":"url","url","redirect_uri","expires_in"}     may come again: the latest counts
 *   {"event":"device","user_code","verification_uri","verification_uri_complete","expires_in"}
 *   {"event":"done","scope","asked","issuer","message"}
 *   {"event":"failed","reason":WORD,"message","hint"}
 *
 * The others answer 200 {"status":"ok"}.  Errors: {"error": WORD, "message":
 * TEXT} with 404, 405, 400, 409 (auth is not oauth; busy: a login of another
 * kind runs; no_login: none waits for a redirect), 501, 503.
 */
void	control_open(struct control *, int fd);
/* Ends what is left, abortively; the connections die when the turn settles. */
void	control_close_all(struct control *);

#endif
