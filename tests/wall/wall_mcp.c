/* The MCP server itself: requests in, both generations, after the wall let them through. */
#include <stdio.h>

#include "jsonrpc.h"
#include "wall.h"

#define MODERN	"2026-07-28"
#define VERSION_KEY "io.modelcontextprotocol/protocolVersion"

bool
mcp_modern(const struct conn *c)
{
	return strcmp(c->req.version, MODERN) == 0;
}

/* The raw id of the request, as it came. */
void
mcp_id(struct buf *b, const struct conn *c)
{
	size_t	n = c->req.ids.len;

	if (c->req.kind == JSONRPC_REQUEST && n > 1)
		buf_add(b, c->req.ids.p, n - 1);
	else
		buf_adds(b, "null");
}

void
mcp_result_json(struct buf *b, const struct conn *c, const char *result, size_t n)
{
	buf_adds(b, "{\"jsonrpc\":\"2.0\",\"id\":");
	mcp_id(b, c);
	buf_adds(b, ",\"result\":");
	buf_add(b, result, n);
	buf_adds(b, "}");
}

void
mcp_result(struct conn *c, const char *result, size_t n)
{
	struct buf	 b = BUF_INIT(256L * 1024 * 1024);

	mcp_result_json(&b, c, result, n);
	answer(c, 200, "application/json", NULL, b.p, b.len);
	buf_free(&b);
}

void
mcp_error(struct conn *c, int status, int code, const char *message)
{
	struct buf	 b = BUF_INIT(0);

	buf_adds(&b, "{\"jsonrpc\":\"2.0\",\"id\":");
	mcp_id(&b, c);
	buf_addf(&b, ",\"error\":{\"code\":%d,\"message\":\"%s\"", code, message);
	if (code == -32022)
		buf_adds(&b, ",\"data\":{\"supported\":[\"" MODERN "\"]}");
	buf_adds(&b, "}}");
	answer(c, status, "application/json", NULL, b.p, b.len);
	buf_free(&b);
}

void
mcp_unauthorized(struct conn *c)
{
	const cJSON	*values = option_get("challenge"), *v;
	const char	*url = option_text("prm_url");
	struct buf	 b = BUF_INIT(0);

	cJSON_ArrayForEach(v, values)
		buf_addf(&b, "WWW-Authenticate: %s\r\n", cJSON_GetStringValue(v));
	if (values == NULL) {
		buf_addf(&b, "WWW-Authenticate: Bearer %s",
		    c->req.token[0] != '\0' ? "error=\"invalid_token\", " : "");
		if (url == NULL)
			buf_addf(&b, "resource_metadata=\"%s/.well-known/"
			    "oauth-protected-resource/mcp\"\r\n", wall.origin);
		else if (url[0] != '\0')
			buf_addf(&b, "resource_metadata=\"%s\"\r\n", url);
		else
			buf_adds(&b, "realm=\"wall\"\r\n");
	}
	answer(c, 401, "application/json", b.p, "{\"error\":\"invalid_token\"}", 25);
	buf_free(&b);
}

static void
initialize(struct conn *c)
{
	struct session	*s = session_new();
	const cJSON	*params = cJSON_GetObjectItemCaseSensitive(c->req.json, "params");
	const char	*version = cJSON_GetStringValue(
	    cJSON_GetObjectItemCaseSensitive(params, "protocolVersion"));
	struct buf	 b = BUF_INIT(0), r = BUF_INIT(0), f = BUF_INIT(0);

	if (version == NULL || strlen(version) != 10 || strcmp(version, MODERN) == 0)
		version = "2025-11-25";
	buf_adds(&r, "{\"protocolVersion\":");
	buf_addjson(&r, version, strlen(version));
	buf_adds(&r, ",\"capabilities\":{\"tools\":{\"listChanged\":true},\"logging\":{}},"
	    "\"serverInfo\":{\"name\":\"wall\",\"version\":\"1\"}}");
	mcp_result_json(&b, c, r.p, r.len);
	buf_addf(&f, "MCP-Session-Id: %s\r\n", session_id(s));
	if (wall.set.set_cookie != NULL)
		buf_addf(&f, "Set-Cookie: %s\r\n", wall.set.set_cookie);
	answer(c, 200, "application/json", f.p, b.p, b.len);
	buf_free(&b);
	buf_free(&r);
	buf_free(&f);
}

static void
discover(struct conn *c)
{
	static const char	result[] = "{\"supportedVersions\":[\"" MODERN "\"],"
	    "\"capabilities\":{\"tools\":{}},\"serverInfo\":{\"name\":\"wall\",\"version\":\"1\"}}";

	mcp_result(c, result, sizeof(result) - 1);
}

static void
call(struct conn *c)
{
	const char	*rpc = c->req.rpc;
	bool		 modern = mcp_modern(c);

	if (strcmp(rpc, "initialize") == 0 && !modern)
		initialize(c);
	else if (strcmp(rpc, "server/discover") == 0 && modern)
		discover(c);
	else if (strcmp(rpc, "subscriptions/listen") == 0 && modern)
		session_listen(c);
	else if (strcmp(rpc, "ping") == 0)
		mcp_result(c, "{}", 2);
	else if (strcmp(rpc, "tools/list") == 0)
		tool_list(c);
	else if (strcmp(rpc, "tools/call") == 0)
		tool_call(c);
	else
		mcp_error(c, modern ? 404 : 200, -32601, "Method not found");
}

/* The modern header and the body must say the same version. */
static bool
versions_agree(const struct conn *c)
{
	const cJSON	*params = cJSON_GetObjectItemCaseSensitive(c->req.json, "params");
	const cJSON	*meta = cJSON_GetObjectItemCaseSensitive(params, "_meta");
	const char	*said = cJSON_GetStringValue(
	    cJSON_GetObjectItemCaseSensitive(meta, VERSION_KEY));

	return said == NULL ? !mcp_modern(c) : strcmp(said, c->req.version) == 0;
}

static bool
session_fine(struct conn *c)
{
	if (c->req.session[0] == '\0' || mcp_modern(c))
		return true;
	if (session_find(c->req.session) != NULL)
		return true;
	mcp_error(c, 404, -32001, "Session not found");
	return false;
}

/* A batch of 2025-03-26: each request in it gets an empty result. */
static void
batch(struct conn *c)
{
	struct buf	 b = BUF_INIT(0);
	char		*at = c->req.ids.p, *end = at + c->req.ids.len, *nl;

	if (c->req.ids.len == 0) {
		answer(c, 202, NULL, NULL, "", 0);
		return;
	}
	for (; at < end && (nl = memchr(at, '\n', (size_t)(end - at))) != NULL; at = nl + 1) {
		buf_adds(&b, b.len == 0 ? "[" : ",");
		buf_addf(&b, "{\"jsonrpc\":\"2.0\",\"id\":%.*s,\"result\":{}}", (int)(nl - at), at);
	}
	buf_adds(&b, "]");
	answer(c, 200, "application/json", NULL, b.p, b.len);
	buf_free(&b);
}

static const char *
response_id(const struct conn *c, char *out, size_t size)
{
	const cJSON	*id = cJSON_GetObjectItemCaseSensitive(c->req.json, "id");

	if (cJSON_IsString(id))
		snprintf(out, size, "%s", id->valuestring);
	else
		snprintf(out, size, "%.17g", cJSON_GetNumberValue(id));
	return out;
}

static void
post(struct conn *c)
{
	char	id[128];

	if (!session_fine(c))
		return;
	if (!versions_agree(c)) {
		mcp_error(c, 400, -32020, "MCP-Protocol-Version and _meta differ");
		return;
	}
	switch (c->req.kind) {
	case JSONRPC_REQUEST:
		call(c);
		break;
	case JSONRPC_NOTIFICATION:
		count_notification(c->req.rpc);
		answer(c, 202, NULL, NULL, "", 0);
		break;
	case JSONRPC_RESPONSE:
		response_id(c, id, sizeof(id));
		count_response(id);
		answer(c, 202, NULL, NULL, "", 0);
		tool_answered(id);
		break;
	case JSONRPC_BATCH:
		batch(c);
		break;
	default:
		mcp_error(c, 400, c->req.kind == JSONRPC_NOT_JSON ? -32700 : -32600, "Bad message");
	}
}

static void
get(struct conn *c)
{
	struct session	*s;

	if (mcp_modern(c)) {
		answer(c, 405, "text/plain", "Allow: POST\r\n", "POST only\n", 10);
	} else if (c->req.session[0] == '\0') {
		answer_text(c, 400, "text/plain", "no session\n");
	} else if ((s = session_find(c->req.session)) == NULL) {
		mcp_error(c, 404, -32001, "Session not found");
	} else if (!line_resume(c)) {
		session_stream(c, s);
	}
}

static void
delete(struct conn *c)
{
	struct session	*s;

	if (mcp_modern(c)) {
		answer(c, 405, "text/plain", "Allow: POST\r\n", "POST only\n", 10);
	} else if ((s = session_find(c->req.session)) == NULL) {
		mcp_error(c, 404, -32001, "Session not found");
	} else {
		session_delete(s);
		answer(c, 204, NULL, NULL, "", 0);
	}
}

/* What a fault will cut in half, and that the request was carried out. */
static void
before_fault(struct conn *c)
{
	static const char	 result[] =
	    "{\"content\":[{\"type\":\"text\",\"text\":\"half of this\"}]}";
	const struct fault	*f = c->fault;

	if (c->req.verdict != AUTH_OK || fault_is(f, "not_executed"))
		return;
	if (c->req.kind == JSONRPC_REQUEST)
		mcp_result_json(&c->req.answer, c, result, sizeof(result) - 1);
	if (c->req.tool[0] != '\0' && fault_get(f, "status") == NULL &&
	    fault_get(f, "redirect") == NULL)
		tool_executed(c);
}

/* Held, delayed or at once: now the request is dealt with. */
static void
act(struct conn *c)
{
	if (fault_is(c->fault, "reject_all")) {
		mcp_unauthorized(c);
		return;
	}
	if (fault_commits(c->fault)) {
		before_fault(c);
		fault_commit(c);
		return;
	}
	c->idle_ms = fault_number(c->fault, "close_idle_ms", 0);
	if (c->req.verdict != AUTH_OK && !option_lists("open_rpc", c->req.rpc))
		mcp_unauthorized(c);
	else if (strcmp(c->req.method, "POST") == 0)
		post(c);
	else if (strcmp(c->req.method, "GET") == 0)
		get(c);
	else if (strcmp(c->req.method, "DELETE") == 0)
		delete(c);
	else
		answer(c, 405, "text/plain", "Allow: GET, POST, DELETE\r\n", "no\n", 3);
}

static void
look(struct conn *c)
{
	struct request	*r = &c->req;
	struct jsonrpc	 rpc;
	const cJSON	*params;
	const char	*text;

	if (strcmp(r->method, "POST") != 0)
		return;
	jsonrpc_init(&rpc);
	if (jsonrpc_feed(&rpc, r->body.p, r->body.len) != 0)
		die("no memory");
	jsonrpc_end(&rpc);
	r->kind = (int)rpc.kind;
	buf_add(&r->ids, rpc.ids.p, rpc.ids.len);
	jsonrpc_free(&rpc);
	r->json = cJSON_ParseWithLength(r->body.p, r->body.len);
	text = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(r->json, "method"));
	r->rpc = text != NULL ? text : "";
	if (strcmp(r->rpc, "tools/call") != 0)
		return;
	params = cJSON_GetObjectItemCaseSensitive(r->json, "params");
	text = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(params, "name"));
	r->tool = text != NULL ? text : "";
	r->args = cJSON_GetObjectItemCaseSensitive(params, "arguments");
}

/* Will its name not come again, but for a resend? */
static bool
has_own_name(const struct conn *c)
{
	if (c->req.session[0] == '\0')
		return false;
	if (strcmp(c->req.method, "POST") == 0)
		return c->req.kind == JSONRPC_REQUEST || c->req.kind == JSONRPC_RESPONSE;
	return strcmp(c->req.method, "DELETE") == 0;
}

/* By X-Test-Key if there is one (that was done at the head), else by session and id. */
static void
count_unnamed(struct conn *c)
{
	struct buf	 b = BUF_INIT(0);
	char		 id[128];

	if (c->req.counted)
		return;
	buf_addf(&b, "%s/", c->req.session);
	if (strcmp(c->req.method, "POST") != 0)
		buf_adds(&b, c->req.method);
	else if (c->req.kind == JSONRPC_REQUEST)
		mcp_id(&b, c);
	else if (c->req.kind == JSONRPC_RESPONSE)
		buf_addf(&b, "response %s", response_id(c, id, sizeof(id)));
	else
		buf_adds(&b, c->req.rpc);
	count_send(c, b.p, has_own_name(c));
	buf_free(&b);
}

void
mcp_request(struct conn *c)
{
	count_method(c->req.method);
	look(c);
	count_unnamed(c);
	line_recorded(c);
	c->req.verdict = oauth_judge(c->req.token);
	counts.auth[c->req.verdict]++;
	fault_meet(c, FAULT_MCP, act);
}
