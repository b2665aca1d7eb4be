/* What a client sees when the daemon itself has to answer (design, "What a client sees"). */
#ifndef FAILURE_H
#define FAILURE_H

#include "buf.h"
#include "jsonrpc.h"

enum reason {
	REASON_NONE,
	REASON_LOGIN_REQUIRED,
	REASON_BEARER_REJECTED,
	REASON_INSUFFICIENT_SCOPE,
	REASON_RECOVERY_TIMEOUT,
	REASON_LOCK_TIMEOUT,
	REASON_UPSTREAM_UNREACHABLE,
	REASON_UPSTREAM_MALFORMED,
	REASON_STORE,
	REASON_DRAINING,
	REASON_LIMIT,
	REASON_DAEMON_UNREACHABLE,	/* said by `mcp-authctl connect`: nobody else can */
	REASON_MAX
};

#define FAILURE_CODE	(-31000)

struct failure {
	enum reason	 reason;
	int64_t		 retry_ms;	/* when trying again makes sense; 0 = unknown */
	bool		 unattended;	/* REASON_LOGIN_REQUIRED where no person can log in: the config wants mending */
	char		 detail[160];	/* our own words for the message ("connection refused"), "" if none; never remote text */
};

/* "login_required" ...; names are an interface. */
const char *reason_name(enum reason);
/*
 * Appends the JSON-RPC error for `reason`: one object, or an array if `rpc`
 * is a batch with requests.  rpc == NULL, a notification, a response: no id
 * member.  An unreadable body: code -32700 or -32600 and id null.
 * 0, -ENOMEM.
 */
int	failure_json(struct buf *out, const struct failure *, const char *upstream, const struct jsonrpc *rpc);
/*
 * The HTTP status that goes with it: 200 for a request POST, 503 for
 * server/discover, DELETE, notifications and responses, 400 for what is not
 * JSON-RPC.  `method` is the HTTP method.
 */
int	failure_status(const char *method, const struct jsonrpc *rpc);

#endif
