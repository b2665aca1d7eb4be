/* Requests as bytes, and one-shots with them. */
#include <stdio.h>

#include "support.h"

#define MODERN	"2026-07-28"

static void
request_start(struct buf *out, const char *method, const struct ask *a)
{
	buf_addf(out, "%s %s HTTP/1.1\r\nHost: localhost\r\n", method,
	    a->path != NULL ? a->path : "/mcp");
	if (a->session != NULL)
		buf_addf(out, "Mcp-Session-Id: %s\r\n", a->session);
	if (a->version != NULL || a->session != NULL)
		buf_addf(out, "MCP-Protocol-Version: %s\r\n",
		    a->version != NULL ? a->version : "2025-11-25");
	if (a->key != NULL)
		buf_addf(out, "X-Test-Key: %s\r\n", a->key);
	if (a->fields != NULL)
		buf_adds(out, a->fields);
}

void
request_post(struct buf *out, const struct ask *a, const char *body)
{
	request_start(out, "POST", a);
	buf_addf(out, "Content-Type: application/json\r\n"
	    "Accept: application/json, text/event-stream\r\nContent-Length: %zu\r\n\r\n",
	    strlen(body));
	if (buf_adds(out, body) != 0)
		give_up("no memory");
}

void
request_get(struct buf *out, const struct ask *a, const char *last_event)
{
	request_start(out, "GET", a);
	if (last_event != NULL)
		buf_addf(out, "Last-Event-ID: %s\r\n", last_event);
	buf_adds(out, "Accept: text/event-stream\r\n\r\n");
}

void
request_delete(struct buf *out, const struct ask *a)
{
	request_start(out, "DELETE", a);
	buf_adds(out, "\r\n");
}

void
tool_json(struct buf *out, int id, const char *name, const char *args)
{
	buf_addf(out, "{\"jsonrpc\":\"2.0\",\"id\":%d,\"method\":\"tools/call\",\"params\":"
	    "{\"name\":\"%s\",\"arguments\":", id, name);
	buf_adds(out, args != NULL ? args : "{}");
	buf_adds(out, "}}");
}

void
tool_json_modern(struct buf *out, int id, const char *name, const char *args)
{
	buf_addf(out, "{\"jsonrpc\":\"2.0\",\"id\":%d,\"method\":\"tools/call\",\"params\":"
	    "{\"name\":\"%s\",\"_meta\":{\"io.modelcontextprotocol/protocolVersion\":\"" MODERN
	    "\"},\"arguments\":", id, name);
	buf_adds(out, args != NULL ? args : "{}");
	buf_adds(out, "}}");
}

int
roundtrip(const char *socket, const char *method, const char *bytes, size_t n, struct reply *r,
    int ms)
{
	struct client	*c = client_open(socket);
	int		 rc;

	/* An answer may come before everything is sent: read it all the same. */
	rc = client_send(c, bytes, n, ms);
	if (rc != -ETIMEDOUT)
		rc = client_reply(c, method, r, ms);
	client_close(c);
	return rc;
}

int
rpc(const struct ask *a, const char *body, struct reply *r, int ms)
{
	struct buf	 b = BUF_INIT(0);
	int		 rc;

	request_post(&b, a, body);
	rc = roundtrip(a->socket, "POST", b.p, b.len, r, ms);
	buf_free(&b);
	return rc;
}

int
tool(const struct ask *a, int id, const char *name, const char *args, struct reply *r, int ms)
{
	struct buf	 b = BUF_INIT(0);
	int		 rc;

	if (a->version != NULL && strcmp(a->version, MODERN) == 0)
		tool_json_modern(&b, id, name, args);
	else
		tool_json(&b, id, name, args);
	rc = rpc(a, b.p, r, ms);
	buf_free(&b);
	return rc;
}

int
http(const char *socket, const char *method, const char *path, const char *body,
    struct reply *r, int ms)
{
	struct buf	 b = BUF_INIT(0);
	int		 rc;

	buf_addf(&b, "%s %s HTTP/1.1\r\nHost: localhost\r\n", method, path);
	if (body != NULL)
		buf_addf(&b, "Content-Type: application/json\r\nContent-Length: %zu\r\n",
		    strlen(body));
	buf_adds(&b, "\r\n");
	if (body != NULL)
		buf_adds(&b, body);
	rc = roundtrip(socket, method, b.p, b.len, r, ms);
	buf_free(&b);
	return rc;
}

char *
session_open(const struct ask *given)
{
	struct ask	 a = *given;
	struct reply	 r = { 0 };
	struct slice	 id;
	char		*session;
	int		 rc;

	a.session = a.key = NULL;
	rc = rpc(&a, "{\"jsonrpc\":\"2.0\",\"id\":0,\"method\":\"initialize\",\"params\":"
	    "{\"protocolVersion\":\"2025-11-25\",\"capabilities\":{\"sampling\":{}},"
	    "\"clientInfo\":{\"name\":\"test\",\"version\":\"1\"}}}", &r, 30000);
	id = reply_field(&r, "MCP-Session-Id");
	if (rc != 0 || r.status != 200 || id.n == 0)
		give_up("initialize: %d, status %d: %s", rc, r.status,
		    r.body.p != NULL ? r.body.p : "");
	session = strndup(id.p, id.n);
	a.session = session;
	rc = rpc(&a, "{\"jsonrpc\":\"2.0\",\"method\":\"notifications/initialized\"}", &r, 30000);
	if (rc != 0 || r.status != 202)
		give_up("notifications/initialized: %d, status %d", rc, r.status);
	reply_free(&r);
	return session;
}

struct client *
stream_open(const struct ask *a, const char *last_event)
{
	struct client	*c = client_open(a->socket);
	struct buf	 b = BUF_INIT(0);
	struct reply	 r = { 0 };
	int		 rc;

	request_get(&b, a, last_event);
	if ((rc = client_send(c, b.p, b.len, 5000)) == 0)
		rc = client_head(c, "GET", &r, 30000);
	if (rc != 0 || r.status != 200)
		give_up("GET stream: %d, status %d", rc, r.status);
	buf_free(&b);
	reply_free(&r);
	return c;
}
