/* The MCP server's tools. */
#include <stdio.h>

#include <openssl/evp.h>

#include "wall.h"

static int64_t
arg_number(const struct conn *c, const char *name, int64_t otherwise)
{
	const cJSON	*item = cJSON_GetObjectItemCaseSensitive(c->req.args, name);

	return cJSON_IsNumber(item) ? (int64_t)item->valuedouble : otherwise;
}

static const char *
arg_text(const struct conn *c, const char *name)
{
	const char	*s = cJSON_GetStringValue(
	    cJSON_GetObjectItemCaseSensitive(c->req.args, name));

	return s != NULL ? s : "";
}

static bool
arg_true(const struct conn *c, const char *name)
{
	return cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(c->req.args, name));
}

void
tool_executed(const struct conn *c)
{
	const char	*key = arg_text(c, "key");

	count_execution(key[0] != '\0' ? key : c->req.key);
}

/* The result object of a tool that says `text`. */
static void
result_text(struct buf *b, const char *text, size_t n)
{
	buf_adds(b, "{\"content\":[{\"type\":\"text\",\"text\":");
	buf_addjson(b, text, n);
	buf_adds(b, "}]}");
}

static void
say(struct conn *c, const char *text, size_t n)
{
	struct buf	 b = BUF_INIT(256L * 1024 * 1024);

	result_text(&b, text, n);
	mcp_result(c, b.p, b.len);
	buf_free(&b);
}

static void
tool_echo(struct conn *c)
{
	const char	*text = arg_text(c, "text");

	say(c, text, strlen(text));
}

static void
slept(struct conn *c)
{
	const char	*text = arg_text(c, "text");

	say(c, text, strlen(text));
}

static void
tool_sleep(struct conn *c)
{
	conn_after(c, arg_number(c, "ms", 0), slept);
}

static void
tool_count(struct conn *c)
{
	say(c, "counted", 7);
}

static void
tool_digest(struct conn *c)
{
	const char	*data = arg_text(c, "data");
	unsigned char	 md[EVP_MAX_MD_SIZE];
	unsigned	 mdlen = 0, i;
	size_t		 n = strlen(data);
	char		 text[128];
	int		 at;

	EVP_Digest(data, n, md, &mdlen, EVP_sha256(), NULL);
	at = snprintf(text, sizeof(text), "%zu ", n);
	for (i = 0; i < mdlen; i++)
		at += snprintf(text + at, sizeof(text) - (size_t)at, "%02x", md[i]);
	say(c, text, (size_t)at);
}

static void
tool_big(struct conn *c)
{
	struct buf	 head = BUF_INIT(0), tail = BUF_INIT(0);
	uint64_t	 want = (uint64_t)arg_number(c, "bytes", 1024);

	buf_adds(&head, "{\"jsonrpc\":\"2.0\",\"id\":");
	mcp_id(&head, c);
	buf_adds(&head, ",\"result\":{\"content\":[{\"type\":\"text\",\"text\":\"");
	buf_adds(&tail, "\"}]}}");
	answer_fill(c, NULL, &head, want > head.len + tail.len ? want - head.len - tail.len : 0,
	    &tail, arg_true(c, "chunked"));
	buf_free(&head);
	buf_free(&tail);
}

static void
sse_result(struct conn *c)
{
	struct buf	 r = BUF_INIT(0), b = BUF_INIT(0);
	char		 text[32];
	int		 n = snprintf(text, sizeof(text), "%lld events", (long long)c->steps);

	result_text(&r, text, (size_t)n);
	mcp_result_json(&b, c, r.p, r.len);
	stream_event(c, arg_true(c, "ids") ? c->step : -1, b.p);
	stream_end(c);
	buf_free(&r);
	buf_free(&b);
}

/* One progress notification, or what comes after the last. */
static void
sse_step(struct conn *c)
{
	struct buf	 b = BUF_INIT(0);

	while (c->state != CONN_DEAD && c->step < c->steps && c->step != c->cut_after) {
		buf_reset(&b);
		buf_addf(&b, "{\"jsonrpc\":\"2.0\",\"method\":\"notifications/progress\","
		    "\"params\":{\"progressToken\":1,\"progress\":%lld,\"message\":\"",
		    (long long)++c->step);
		if (c->pad > 0 && buf_reserve(&b, (size_t)c->pad) == 0) {
			memset(b.p + b.len, 'x', (size_t)c->pad);
			b.len += (size_t)c->pad;
		}
		buf_adds(&b, "\"}}");
		stream_event(c, arg_true(c, "ids") ? c->step - 1 : -1, b.p);
		if (c->step_ms > 0 && c->state != CONN_DEAD) {
			conn_after(c, c->step_ms, sse_step);
			buf_free(&b);
			return;
		}
	}
	buf_free(&b);
	if (c->state == CONN_DEAD)
		return;
	if (c->step == c->cut_after) {
		c->cut_body = true;
		conn_end(c, false);
	} else {
		sse_result(c);
	}
}

static void
tool_sse(struct conn *c)
{
	c->step = 0;
	c->steps = arg_number(c, "n", 3);
	c->step_ms = arg_number(c, "delay_ms", 0);
	c->cut_after = arg_number(c, "cut_after", -1);
	c->pad = arg_number(c, "bytes", 0);
	stream_begin(c, STREAM_POST, NULL);
	if (c->state != CONN_DEAD)
		sse_step(c);
}

static void
tool_hang(struct conn *c)
{
	c->hanging = true;
	counts.hanging++;
}

int
tool_release(void)
{
	struct conn	*c, *next;
	int		 n = 0;

	for (c = LIST_FIRST(&conns); c != NULL; c = next) {
		next = LIST_NEXT(c, all);
		if (!c->hanging)
			continue;
		c->hanging = false;
		counts.hanging--;
		n++;
		say(c, "released", 8);
	}
	return n;
}

static void
tool_always401(struct conn *c)
{
	mcp_unauthorized(c);
}

static bool
lacks_scope(const struct conn *c)
{
	const char	*need = arg_text(c, "need");

	return need[0] == '\0' || !oauth_scoped(c->req.token, need);
}

static void
tool_scope403(struct conn *c)
{
	const char	*need = arg_text(c, "need"), *challenge = arg_text(c, "challenge");
	struct buf	 b = BUF_INIT(0);

	if (!lacks_scope(c)) {
		say(c, "granted", 7);
		return;
	}
	buf_addf(&b, "WWW-Authenticate: Bearer error=\"insufficient_scope\", scope=\"%s\"\r\n",
	    challenge[0] != '\0' ? challenge : need[0] != '\0' ? need : "mcp admin");
	answer(c, 403, "application/json", b.p, "{\"error\":\"insufficient_scope\"}", 30);
	buf_free(&b);
}

static void
tool_plain403(struct conn *c)
{
	answer(c, 403, "application/json", "WWW-Authenticate: Basic realm=\"x\"\r\n",
	    "{\"error\":\"forbidden\"}", 21);
}

/* A server request on the answer's own stream; the result comes when it was answered. */
static void
tool_ask(struct conn *c)
{
	char	json[256];

	ask_id(c->asked, sizeof(c->asked));
	snprintf(json, sizeof(json), "{\"jsonrpc\":\"2.0\",\"id\":\"%s\","
	    "\"method\":\"sampling/createMessage\",\"params\":{\"messages\":[],\"maxTokens\":1}}",
	    c->asked);
	stream_begin(c, STREAM_POST, NULL);
	stream_event(c, -1, json);
}

static void
ask_done(struct conn *c)
{
	struct buf	 r = BUF_INIT(0), b = BUF_INIT(0);

	c->asked[0] = '\0';
	result_text(&r, "answered", 8);
	mcp_result_json(&b, c, r.p, r.len);
	stream_event(c, -1, b.p);
	stream_end(c);
	buf_free(&r);
	buf_free(&b);
}

void
tool_answered(const char *id)
{
	struct conn	*c;

	LIST_FOREACH(c, &conns, all) {
		if (c->asked[0] != '\0' && strcmp(c->asked, id) == 0) {
			ask_done(c);
			return;
		}
	}
}

static const struct {
	const char	*name;
	void		(*run)(struct conn *);
} tools[] = {
	{ "echo", tool_echo },
	{ "sleep", tool_sleep },
	{ "count", tool_count },
	{ "digest", tool_digest },
	{ "big", tool_big },
	{ "sse", tool_sse },
	{ "hang", tool_hang },
	{ "always401", tool_always401 },
	{ "scope403", tool_scope403 },
	{ "plain403", tool_plain403 },
	{ "ask", tool_ask },
	{ "region", line_region },
	{ "resumable", line_resumable },
};

void
tool_list(struct conn *c)
{
	struct buf	 b = BUF_INIT(0);
	size_t		 i;

	if (option_is("tools_pages")) {
		line_tools(c);
		return;
	}
	buf_adds(&b, "{\"tools\":[");
	for (i = 0; i < nitems(tools); i++)
		buf_addf(&b, "%s{\"name\":\"%s\",\"description\":\"%s of the wall\","
		    "\"inputSchema\":{\"type\":\"object\"}}", i > 0 ? "," : "", tools[i].name,
		    tools[i].name);
	buf_adds(&b, "]}");
	mcp_result(c, b.p, b.len);
	buf_free(&b);
}

void
tool_call(struct conn *c)
{
	size_t	i;

	for (i = 0; i < nitems(tools); i++) {
		if (strcmp(tools[i].name, c->req.tool) != 0)
			continue;
		if (strcmp(c->req.tool, "always401") != 0)
			tool_executed(c);
		tools[i].run(c);
		return;
	}
	mcp_error(c, mcp_modern(c) ? 400 : 200, -32602, "Unknown tool");
}
