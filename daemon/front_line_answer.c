/* What upstream says: whose answer a message is, and what an error status means. */
#include <stdio.h>

#include "front_line_impl.h"
#include "log.h"

/* --- requests of the server (L14) --- */

static void
asked_drop(struct line_client *c, struct line_asked *a)
{
	TAILQ_REMOVE(&c->asked, a, entry);
	c->nasked--;
	free(a);
}

static struct line_asked *
asked_find(struct line_client *c, struct slice id)
{
	struct line_asked *a;

	TAILQ_FOREACH(a, &c->asked, entry)
		if (mcp_same_id((struct slice){ a->id, a->n }, id))
			return a;
	return NULL;
}

static void
asked_add(struct line_exchange *x, struct slice id)
{
	struct line_client *c = x->client;
	struct line_asked *a = asked_find(c, id);

	if (a != NULL)
		asked_drop(c, a);
	else if (c->nasked == ASKED_MAX)
		asked_drop(c, TAILQ_FIRST(&c->asked));
	if (id.n > (size_t)ID_BYTES || (a = malloc(sizeof(*a) + id.n)) == NULL)
		return;
	a->epoch = x->epoch;
	a->modern = x->modern;
	a->n = id.n;
	memcpy(a->id, id.p, id.n);
	TAILQ_INSERT_TAIL(&c->asked, a, entry);
	c->nasked++;
}

bool
line_asked_take(struct line_client *c, struct slice id)
{
	struct line_asked *a = asked_find(c, id);
	bool due;

	if (a == NULL)
		return false;
	due = a->modern || session_is_current(&c->session, a->epoch);
	asked_drop(c, a);
	return due;
}

void
line_asked_clear(struct line_client *c)
{
	while (!TAILQ_EMPTY(&c->asked))
		asked_drop(c, TAILQ_FIRST(&c->asked));
}

/* --- whose answer it is --- */

/* Where this id stands among those that are not answered; NULL: it does not. */
static const char *
place_of(const struct jsonrpc *rpc, struct slice id, size_t *ret_n)
{
	const char *p = rpc->ids.p, *end = p + rpc->ids.len, *stop;

	for (; p < end && (stop = memchr(p, '\n', end - p)) != NULL; p = stop + 1) {
		*ret_n = stop - p;
		if (mcp_same_id((struct slice){ p, *ret_n }, id))
			return p;
	}
	return NULL;
}

struct line_exchange *
line_find(struct line_client *c, struct line_exchange *first, struct slice id)
{
	struct line_exchange *x;
	size_t n;

	if (first != NULL && line_is_request(first) && place_of(&first->rpc, id, &n) != NULL)
		return first;
	TAILQ_FOREACH(x, &c->exchanges, entry)
		if (line_is_request(x) && x->state != LINE_LINGERING &&
		    place_of(&x->rpc, id, &n) != NULL)
			return x;
	return NULL;
}

static void
strike(struct line_exchange *x, struct slice id)
{
	struct buf *ids = &x->rpc.ids;
	const char *p;
	size_t n, at;

	if ((p = place_of(&x->rpc, id, &n)) == NULL)
		return;
	at = p - ids->p;
	memmove(ids->p + at, ids->p + at + n + 1, ids->len - at - n - 1);
	ids->len -= n + 1;
	ids->p[ids->len] = '\0';
}

/* Writes the answer of x, or what is to be written instead. */
static void
write_answer(struct line_exchange *x, struct slice s)
{
	_cleanup_(buf_free) struct buf instead = BUF_INIT(0);

	if (x->modern && strcmp(x->rpc.method, "tools/list") == 0)
		line_tools_filter(x, s, &instead);
	line_write(x->client, instead.len > 0 ? (struct slice){ instead.p, instead.len } : s);
}

/* `alone`: it is to be written, not only to be noted.  false: nobody waits for it. */
static bool
take_response(struct line_exchange *from, struct slice s, bool alone)
{
	struct line_client *c = from->client;
	struct line_exchange *x;
	struct slice id, result;

	if (!mcp_member(s, "id", &id) || (x = line_find(c, from, id)) == NULL) {
		log_debug(line_name(c), "line", "an answer that nobody waits for is dropped");
		return false;
	}
	if (mcp_member(s, "result", &result)) {
		if (x->kind == LINE_INITIALIZE)
			line_session_opened(x, s);
		else
			line_session_learn(c, x);
	}
	if (alone)
		write_answer(x, s);
	strike(x, id);
	if (x->rpc.ids.len == 0)
		line_answered(x);
	return true;
}

static void
take_notice(struct line_exchange *x, const struct jsonrpc *rpc, struct slice s)
{
	struct slice id;

	if (rpc->kind == JSONRPC_REQUEST && mcp_member(s, "id", &id))
		asked_add(x, id);
	if (strcmp(rpc->method, "notifications/tools/list_changed") == 0)
		mcp_tools_clear(&x->client->up->tools);
}

/* The answer to a request of our own, or what a server says beside it, which is nobody's. */
static void
take_own(struct line_exchange *x, const struct jsonrpc *rpc, struct slice s)
{
	if (rpc->kind != JSONRPC_RESPONSE)
		return;
	if (x->kind == LINE_OWN_TOOLS)
		line_tools_own(x, s);
	else if (x->kind == LINE_OWN_INITIALIZE || x->kind == LINE_OWN_REPEAT)
		line_session_own(x, s, NULL);
}

static bool
look(struct slice s, struct jsonrpc *ret)
{
	jsonrpc_init(ret);
	if (jsonrpc_feed(ret, s.p, s.n) < 0) {
		jsonrpc_free(ret);
		return false;
	}
	jsonrpc_end(ret);
	return true;
}

/* A server's batch (2025-03-26): as it came if all of it is somebody's, else what is, one by one. */
static void
take_batch(struct line_exchange *x, struct slice s)
{
	struct line_client *c = x->client;
	struct slice one, id;
	struct jsonrpc rpc;
	bool whole = true;
	size_t at = 0;

	while (whole && mcp_element(s, &at, &one) && look(one, &rpc)) {
		whole = rpc.kind != JSONRPC_RESPONSE ||
		    (mcp_member(one, "id", &id) && line_find(c, x, id) != NULL);
		jsonrpc_free(&rpc);
	}
	if (whole)
		line_write(c, s);
	for (at = 0; mcp_element(s, &at, &one) && look(one, &rpc); jsonrpc_free(&rpc)) {
		if (rpc.kind == JSONRPC_RESPONSE) {
			take_response(x, one, !whole);
			continue;
		}
		take_notice(x, &rpc, one);
		if (!whole)
			line_write(c, one);
	}
}

void
line_message(struct line_exchange *x, struct slice s)
{
	struct line_client *c = x->client;
	struct jsonrpc rpc;

	if (!look(s, &rpc))
		return;
	if (rpc.kind == JSONRPC_NOT_JSON || rpc.kind == JSONRPC_INVALID) {
		line_warn(x, "a message of the server that is no JSON-RPC is dropped");
	} else if (line_is_own(x) && x->kind != LINE_STREAM) {
		take_own(x, &rpc, s);
	} else if (rpc.kind == JSONRPC_BATCH) {
		take_batch(x, s);
	} else if (rpc.kind == JSONRPC_RESPONSE) {
		take_response(x, s, true);
	} else {
		take_notice(x, &rpc, s);
		line_write(c, s);
	}
	jsonrpc_free(&rpc);
}

/* --- whole answers --- */

/*
 * The server's own error, for every id that is not answered: many servers
 * leave the id out, or say null (M10).
 */
static void
write_error(struct line_exchange *x, struct slice error)
{
	const char *p = x->rpc.ids.p, *end = p + x->rpc.ids.len, *stop;

	for (; p < end && (stop = memchr(p, '\n', end - p)) != NULL; p = stop + 1) {
		_cleanup_(buf_free) struct buf b = BUF_INIT(0);

		if (buf_adds(&b, "{\"jsonrpc\":\"2.0\",\"id\":") == 0 && buf_add(&b, p, stop - p) == 0 &&
		    buf_adds(&b, ",\"error\":") == 0 && buf_addslice(&b, error) == 0 &&
		    buf_adds(&b, "}") == 0)
			line_write(x->client, (struct slice){ b.p, b.len });
	}
}

/* An answer without a usable message in it. */
static void
fail_status(struct line_exchange *x)
{
	struct failure f = { .reason = REASON_UPSTREAM_MALFORMED };
	const char *more = "";

	if (x->kind == LINE_INITIALIZE && (x->status == 404 || x->status == 405))
		more = ": is this its Streamable HTTP URL? the HTTP+SSE transport of 2024-11-05 is "
		    "not supported";
	if (x->status == 429 || x->status >= 500)
		f.reason = REASON_UPSTREAM_UNREACHABLE;
	if (x->status / 100 != 2)
		snprintf(f.detail, sizeof(f.detail), "HTTP status %d%s", x->status, more);
	else if (x->failed_body)
		snprintf(f.detail, sizeof(f.detail), "an answer longer than limits.lineBytes");
	else
		snprintf(f.detail, sizeof(f.detail), "HTTP status %d without an answer to the request",
		    x->status);
	line_fail(x, &f);
}

/* An error that says whose it is not: nobody's, or somebody else's behind an error status. */
static bool
is_unnamed(struct line_exchange *x, struct slice body)
{
	struct slice id;

	if (!mcp_member(body, "id", &id) || slice_eq(id, "null"))
		return true;
	return x->status / 100 != 2 && line_find(x->client, x, id) != x;
}

static void
judge_request(struct line_exchange *x, struct slice body, struct slice error)
{
	if (error.p != NULL && error.p[0] == '{' && is_unnamed(x, body)) {
		write_error(x, error);
		line_over(x);
		return;
	}
	if (body.n > 0)
		line_message(x, body);
	if (x->state != LINE_OVER)
		fail_status(x);
}

/* A notification or a response was taken (L4), or was not. */
static void
judge_other(struct line_exchange *x)
{
	struct line_client *c = x->client;
	struct line_exchange *target = NULL;

	if (x->status / 100 != 2)
		log_warn(line_name(c), "line", "the server refused a %s: HTTP status %d",
		    x->rpc.kind == JSONRPC_RESPONSE ? "response" : "notification", x->status);
	if (x->cancels.len > 0)
		target = line_find(c, NULL, (struct slice){ x->cancels.p, x->cancels.len });
	if (target != NULL)
		line_over(target);	/* nobody waits for it any more, and some servers never end its stream */
	if (x->kind == LINE_INITIALIZED && x->status / 100 == 2) {
		c->initialized = true;
		line_stream_open(c);
	}
	line_over(x);
}

/* What an answer means for session and headers: true if x is taken care of. */
static bool
recover(struct line_exchange *x, struct slice error)
{
	_cleanup_(buf_free) struct buf text = BUF_INIT(PEEK_BYTES);
	struct now now = loop_now(x->client->loop);
	struct exchange_answer a = { .status = x->status, .session_ours = x->owned };
	struct slice message, code;
	enum exchange_verdict verdict;

	if (error.p != NULL && mcp_member(error, "message", &message))
		(void)mcp_text(message, &text);
	a.session_lost = session_is_lost(x->status, (struct slice){ text.p, text.len });
	a.header_mismatch = x->modern && strcmp(x->rpc.method, "tools/call") == 0 &&
	    error.p != NULL && mcp_member(error, "code", &code) && slice_eq(code, "-32020");
	verdict = exchange_answered(&x->before, &a, &now);
	if (a.session_ours && a.session_lost)
		return line_session_lost(x->client, x, verdict == EXCHANGE_RESESSION &&
		    x->rpc.kind != JSONRPC_RESPONSE && !line_is_own(x), x->epoch);
	if (verdict != EXCHANGE_REHEADER)
		return false;
	line_tools_mend(x);
	return true;
}

void
line_judge(struct line_exchange *x)
{
	struct slice body = { x->body.p, x->body.len }, error = { NULL, 0 };
	struct jsonrpc rpc;

	if (x->media == LINE_FOREIGN && x->status / 100 == 2)
		body.n = 0;
	if (body.n > 0 && look(body, &rpc)) {
		if (rpc.kind == JSONRPC_RESPONSE)
			(void)mcp_member(body, "error", &error);
		else if (rpc.kind == JSONRPC_NOT_JSON || rpc.kind == JSONRPC_INVALID)
			body.n = 0;
		jsonrpc_free(&rpc);
	}
	if (recover(x, error))
		return;
	if (line_is_request(x)) {
		judge_request(x, body, error);
	} else if (x->kind == LINE_NOTIFICATION || x->kind == LINE_INITIALIZED) {
		judge_other(x);
	} else {
		if (x->status / 100 == 2 && body.n > 0 && x->kind != LINE_OWN_INITIALIZED)
			line_message(x, body);
		if (x->state == LINE_OVER)
			return;
		if (x->kind == LINE_OWN_INITIALIZED && x->status / 100 == 2)
			line_session_own(x, body, NULL);
		else
			fail_status(x);
	}
}
