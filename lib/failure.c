#include <assert.h>
#include <stdio.h>

#include "failure.h"

static const struct {
	const char	*name;
	const char	*words;		/* behind the upstream's name */
	const char	*command;	/* the upstream's name follows */
} reasons[] = {
	[REASON_NONE] = { "none", "failed", "mcp-authctl status" },
	[REASON_LOGIN_REQUIRED] = { "login_required",
	    "needs a login", "mcp-authctl login" },
	[REASON_BEARER_REJECTED] = { "bearer_rejected",
	    "rejects the token", "mcp-authctl status" },
	[REASON_INSUFFICIENT_SCOPE] = { "insufficient_scope",
	    "asks for more rights than the login has", "mcp-authctl login" },
	[REASON_RECOVERY_TIMEOUT] = { "recovery_timeout",
	    "could not be reached with a valid token in time", "mcp-authctl status" },
	[REASON_LOCK_TIMEOUT] = { "lock_timeout",
	    "has its credential locked by another process", "mcp-authctl status" },
	[REASON_UPSTREAM_UNREACHABLE] = { "upstream_unreachable",
	    "cannot be reached", "mcp-authctl status" },
	[REASON_UPSTREAM_MALFORMED] = { "upstream_malformed",
	    "gave an answer that is no valid HTTP or MCP", "mcp-authctl status" },
	[REASON_STORE] = { "store",
	    "has a credential that cannot be read or stored", "mcp-authctl status" },
	[REASON_DRAINING] = { "draining",
	    "takes no new requests: mcp-authd is shutting down", "mcp-authctl status" },
	[REASON_LIMIT] = { "limit",
	    "has reached a limit of mcp-authd", "mcp-authctl status" },
	[REASON_DAEMON_UNREACHABLE] = { "daemon_unreachable",
	    "cannot be reached: mcp-authd is not running or does not serve it", "mcp-authctl status" },
};
static_assert(nitems(reasons) == REASON_MAX, "every reason has its words");

const char *
reason_name(enum reason reason)
{
	return reasons[reason < REASON_MAX ? reason : REASON_NONE].name;
}

/* A body that is no JSON-RPC message at all. */
static bool
unreadable(const struct jsonrpc *rpc)
{
	return rpc != NULL && (rpc->kind == JSONRPC_NOT_JSON || rpc->kind == JSONRPC_INVALID);
}

/* Somebody waits for an answer: a request, or a batch with at least one. */
static bool
expects_answer(const struct jsonrpc *rpc)
{
	return rpc != NULL && (rpc->kind == JSONRPC_REQUEST ||
	    (rpc->kind == JSONRPC_BATCH && rpc->batch_requests));
}

static int
add_unreadable(struct buf *out, const struct jsonrpc *rpc)
{
	if (rpc->kind == JSONRPC_NOT_JSON)
		return buf_adds(out, "{\"jsonrpc\":\"2.0\",\"id\":null,\"error\":{\"code\":-32700,"
		    "\"message\":\"Parse error: the body is not valid JSON\"}}");
	return buf_adds(out, "{\"jsonrpc\":\"2.0\",\"id\":null,\"error\":{\"code\":-32600,"
	    "\"message\":\"Invalid Request: the body is not a JSON-RPC message\"}}");
}

static const char *
words_of(const struct failure *f)
{
	return f->unattended ? "gets no token" : reasons[f->reason].words;
}

static const char *
command_of(const struct failure *f)
{
	return f->unattended ? "mcp-authctl doctor" : reasons[f->reason].command;
}

/* "linear cannot be reached (connection refused); try again in 5 s, or run: ..." */
static int
compose_message(struct buf *text, const struct failure *f, const char *upstream, const char *hint)
{
	int	r;

	if ((r = buf_addf(text, "%s %s", upstream, words_of(f))) < 0)
		return r;
	if (f->detail[0] != '\0' && (r = buf_addf(text, " (%s)", f->detail)) < 0)
		return r;
	if (f->retry_ms <= 0)
		return buf_addf(text, "; run: %s", hint);
	return buf_addf(text, "; try again in %lld s, or run: %s",
	    (long long)(f->retry_ms / SEC + (f->retry_ms % SEC != 0)), hint);
}

/* The "error" member, which all errors of one answer have in common. */
static int
compose_error(struct buf *error, const struct failure *f, const char *upstream)
{
	_cleanup_(buf_free) struct buf	text = BUF_INIT(0), hint = BUF_INIT(0);
	int				r;

	if ((r = buf_addf(&hint, "%s %s", command_of(f), upstream)) < 0 ||
	    (r = compose_message(&text, f, upstream, hint.p)) < 0 ||
	    (r = buf_addf(error, "\"error\":{\"code\":%d,\"message\":", FAILURE_CODE)) < 0 ||
	    (r = buf_addjson(error, text.p, text.len)) < 0 ||
	    (r = buf_addf(error, ",\"data\":{\"reason\":\"%s\",\"upstream\":",
	    reasons[f->reason].name)) < 0 ||
	    (r = buf_addjson(error, upstream, strlen(upstream))) < 0 ||
	    (r = buf_adds(error, ",\"hint\":")) < 0 ||
	    (r = buf_addjson(error, hint.p, hint.len)) < 0)
		return r;
	return buf_adds(error, "}}");
}

/* One object; an absent id is left out. */
static int
add_object(struct buf *out, struct slice id, const struct buf *error)
{
	int	r;

	if ((r = buf_adds(out, "{\"jsonrpc\":\"2.0\",")) < 0)
		return r;
	if (id.n > 0 && ((r = buf_adds(out, "\"id\":")) < 0 ||
	    (r = buf_addslice(out, id)) < 0 || (r = buf_adds(out, ",")) < 0))
		return r;
	if ((r = buf_add(out, error->p, error->len)) < 0)
		return r;
	return buf_adds(out, "}");
}

/* One object for each id; in an array if the request was one. */
static int
add_objects(struct buf *out, const struct jsonrpc *rpc, const struct buf *error)
{
	const char	*p = rpc->ids.p, *end = p + rpc->ids.len, *stop;
	bool		 batch = rpc->kind == JSONRPC_BATCH;
	char		 before = '[';
	int		 r;

	for (; p < end && (stop = memchr(p, '\n', (size_t)(end - p))) != NULL; p = stop + 1) {
		if (batch && (r = buf_add(out, &before, 1)) < 0)
			return r;
		before = ',';
		if ((r = add_object(out, (struct slice){ p, (size_t)(stop - p) }, error)) < 0)
			return r;
	}
	return batch ? buf_adds(out, "]") : 0;
}

static int
add_failure(struct buf *out, const struct failure *f, const char *upstream,
    const struct jsonrpc *rpc)
{
	_cleanup_(buf_free) struct buf	error = BUF_INIT(0);
	int				r;

	if (unreadable(rpc))
		return add_unreadable(out, rpc);
	if ((r = compose_error(&error, f, upstream)) < 0)
		return r;
	if (expects_answer(rpc))
		return add_objects(out, rpc, &error);
	return add_object(out, (struct slice){ NULL, 0 }, &error);
}

int
failure_json(struct buf *out, const struct failure *f, const char *upstream,
    const struct jsonrpc *rpc)
{
	size_t	len = out->len;
	int	r;

	if ((r = add_failure(out, f, upstream, rpc)) < 0 && out->len > len) {
		out->len = len;
		out->p[len] = '\0';
	}
	return r;
}

int
failure_status(const char *method, const struct jsonrpc *rpc)
{
	if (strcmp(method, "POST") != 0)
		return 503;
	if (unreadable(rpc))
		return 400;
	if (!expects_answer(rpc) || strcmp(rpc->method, "server/discover") == 0)
		return 503;
	return 200;
}
