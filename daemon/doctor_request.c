/* The step of doctor that brings the token: one exchange, or two for a server of before. */
#include <stdio.h>

#include "doctor_impl.h"
#include "fetch.h"
#include "json.h"
#include "sse.h"

#define MODERN		"2026-07-28"

/* An answer was seen to be JSON-RPC; *ret_result: a result, not an error. */
static bool
is_rpc(const char *p, size_t n, bool *ret_result)
{
	cJSON *doc = n > 0 ? json_parse(p, n, NULL) : NULL;
	bool result = json_member(doc, "result") != NULL;
	bool rpc = json_string(doc, "jsonrpc") != NULL &&
	    (result || json_member(doc, "error") != NULL);

	cJSON_Delete(doc);
	*ret_result = rpc && result;
	return rpc;
}

/* The same for what has come of an event stream: the first event that is one. */
static bool
has_rpc_event(const struct buf *b, bool *ret_result)
{
	const char *p = b->p;
	size_t n = b->len;
	bool found = false;
	struct sse sse;
	int r = 1;

	sse_init(&sse, PEEK_BYTES);
	while (!found && n > 0 && (r == 1 || r == -EMSGSIZE)) {
		r = sse_next(&sse, &p, &n);
		found = r == 1 && is_rpc(sse.data.p, sse.data.len, ret_result);
	}
	sse_free(&sse);
	return found;
}

static bool
has_answer(const struct doctor *d, bool *ret_result)
{
	return d->events ? has_rpc_event(&d->body, ret_result) :
	    is_rpc(d->body.p, d->body.len, ret_result);
}

static void
say_answer(struct doctor *d, bool rpc)
{
	const char *what = d->legacy ? "ping" : "server/discover";
	bool token = d->up->config->auth != CONFIG_NONE;

	if (rpc)
		doctor_say(d, DOCTOR_REQUEST, DOCTOR_OK, NULL, "%s was answered%s (%s)", what,
		    token ? ", the token is taken" : "",
		    d->legacy ? "a server of before " MODERN : MODERN);
	else if (d->status == 403)
		doctor_say(d, DOCTOR_REQUEST, DOCTOR_FAIL, "ask whoever runs the server, or log "
		    "in with another account", "%s was answered with status 403: this account may "
		    "not use it", what);
	else if (d->status == 404 || d->status == 405)
		doctor_say(d, DOCTOR_REQUEST, DOCTOR_FAIL, "is \"url\" in the config the one of "
		    "the MCP endpoint (Streamable HTTP)?", "%s was answered with status %d and no "
		    "MCP", what, d->status);
	else if (d->status >= 500 || d->status == 429)
		doctor_say(d, DOCTOR_REQUEST, DOCTOR_FAIL, "try again later, or tell whoever runs "
		    "the server", "%s was answered with status %d", what, d->status);
	else
		doctor_say(d, DOCTOR_REQUEST, DOCTOR_WARN, "is \"url\" in the config the one of "
		    "the MCP endpoint?", "%s was answered with status %d%s, but not by MCP", what,
		    d->status, token ? ": the token is taken" : "");
	doctor_clock(d);
}

/* All of the answer is there, or as much of it as is looked at. */
static void
judge(struct doctor *d)
{
	bool result = false, rpc = has_answer(d, &result);

	d->relay = NULL;
	if (!d->legacy && !result) {
		d->legacy = true;
		doctor_request(d);
	} else {
		say_answer(d, rpc);
	}
}

static void
on_head(void *arg, const struct http1_head *h)
{
	struct slice type = http1_get(h, "Content-Type");
	struct doctor *d = arg;

	doctor_saw_date(d, fetch_date(http1_get(h, "Date")));
	d->status = h->status;
	d->events = type.n >= 17 && strncasecmp(type.p, "text/event-stream", 17) == 0;
}

/* What is beyond the ceiling is not looked at. */
static bool
on_data(void *arg, const char *p, size_t n)
{
	struct doctor *d = arg;

	(void)buf_add(&d->body, p, MIN(n, d->body.max - d->body.len));
	return false;
}

/* An event stream need not end after the answer. */
static void
on_turn(void *arg)
{
	struct doctor *d = arg;
	bool result;

	if (d->body.len < d->body.max && (!d->events || !has_answer(d, &result)))
		return;
	relay_abandon(d->relay);
	judge(d);
}

static void
on_end(void *arg)
{
	judge(arg);
}

static void
say_failure(struct doctor *d, const struct failure *f)
{
	const char *sep = f->detail[0] != '\0' ? ": " : "";
	bool oauth = d->up->config->auth == CONFIG_OAUTH;

	switch (f->reason) {
	case REASON_LOGIN_REQUIRED:
		d->login_required = oauth && !doctor_needs_nobody(d->up->config);
		doctor_say(d, DOCTOR_REQUEST, DOCTOR_FAIL, d->login, "%s%s%s", d->login_required ?
		    "the token could not be renewed, a login is needed" : "no token was given", sep,
		    f->detail);
		break;
	case REASON_BEARER_REJECTED:
		doctor_say(d, DOCTOR_REQUEST, DOCTOR_FAIL, oauth ? d->login :
		    d->up->config->auth == CONFIG_BEARER ? "is it the right token?  Look at "
		    "\"bearer\" in the config" : "the server wants a token: set \"auth\" to "
		    "\"oauth\" or \"bearer\"",
		    "the server rejects %s (401)%s%s",
		    d->up->config->auth == CONFIG_NONE ? "a request without a token" : "the token",
		    sep, f->detail);
		break;
	case REASON_INSUFFICIENT_SCOPE:
		doctor_say(d, DOCTOR_REQUEST, DOCTOR_WARN, d->login,
		    "the token is taken, but the server asks for more rights than the login has");
		break;
	case REASON_UPSTREAM_MALFORMED:
		doctor_say(d, DOCTOR_REQUEST, DOCTOR_FAIL, "is \"url\" in the config right?  Else "
		    "tell whoever runs the server", "the answer is not valid%s%s", sep, f->detail);
		break;
	case REASON_STORE:
	case REASON_LOCK_TIMEOUT:
		doctor_say(d, DOCTOR_REQUEST, DOCTOR_FAIL, "mend the store's folder; does another "
		    "daemon use it?", "the credential cannot be %s%s%s",
		    f->reason == REASON_STORE ? "read or stored" : "locked", sep, f->detail);
		break;
	default:
		doctor_say(d, DOCTOR_REQUEST, DOCTOR_FAIL, "try again; if it stays so, tell "
		    "whoever runs the server", "%s%s%s", f->reason == REASON_RECOVERY_TIMEOUT ?
		    "there was no connection with a valid token in time" :
		    f->reason == REASON_LIMIT ? "a limit of mcp-authd is reached" :
		    f->reason == REASON_DRAINING ? "the daemon is stopping" : "no answer", sep,
		    f->detail);
	}
	doctor_clock(d);
}

static void
on_fail(void *arg, const struct failure *f, const struct jsonrpc *rpc _unused_, bool headed)
{
	struct doctor *d = arg;

	d->relay = NULL;
	if (!headed)
		say_failure(d, f);
	else
		judge(d);
}

static void
on_more(void *arg _unused_)
{
}

static const struct sink_ops sink = {
	.head = on_head,
	.data = on_data,
	.turn = on_turn,
	.end = on_end,
	.fail = on_fail,
	.more = on_more,
};

/* M1, M2; a server of before knows neither method nor fields, and is asked again. */
void
doctor_request(struct doctor *d)
{
	static const char modern[] = "{\"jsonrpc\":\"2.0\",\"id\":\"mcp-authd\","
	    "\"method\":\"server/discover\",\"params\":{\"_meta\":{"
	    "\"io.modelcontextprotocol/protocolVersion\":\"" MODERN "\","
	    "\"io.modelcontextprotocol/clientInfo\":{\"name\":\"mcp-authd\",\"version\":\"1\"},"
	    "\"io.modelcontextprotocol/clientCapabilities\":{}}}}";
	static const char ping[] = "{\"jsonrpc\":\"2.0\",\"id\":\"mcp-authd\",\"method\":\"ping\"}";
	const char *body = d->legacy ? ping : modern;
	struct http1_head h = { .minor = 1, .framing = HTTP1_LENGTH, .length = strlen(body),
	    .nfields = d->legacy ? 2 : 4, .fields = {
		{ slice_of("Content-Type"), slice_of("application/json") },
		{ slice_of("Accept"), slice_of("application/json, text/event-stream") },
		{ slice_of("MCP-Protocol-Version"), slice_of(MODERN) },
		{ slice_of("Mcp-Method"), slice_of("server/discover") },
	    } };
	struct relay_request q = { .head = &h, .method = "POST", .uid = d->uid };

	for (size_t i = 0; i < h.nfields; i++)
		h.size += h.fields[i].name.n + h.fields[i].value.n + 4;
	buf_reset(&d->body);
	d->status = 0;
	d->relay = relay_begin(d->up, &q, &sink, d);
	if (d->relay == NULL) {
		doctor_give_up(d, "try again", "out of memory");
		return;
	}
	(void)relay_body(d->relay, body, strlen(body));
	relay_body_end(d->relay);
}
