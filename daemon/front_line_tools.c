/* The modern wire's client duties: headers from bodies (M1, M2, M4), tools/list (M5, M5a). */
#include "front_line_impl.h"
#include "log.h"

bool
line_modern(struct line_exchange *x)
{
	struct slice text = { x->text.p, x->text.len }, raw;
	struct buf version = BUF_INIT(sizeof(x->version) - 1);

	if (mcp_at(text, &raw, "params", "_meta", MCP_VERSION_KEY, NULL) &&
	    mcp_text(raw, &version) == 0 && version.len > 0 &&
	    http1_is_value(version.p, version.len)) {
		memcpy(x->version, version.p, version.len + 1);
		memcpy(x->client->version, x->version, sizeof(x->version));
	}
	buf_free(&version);
	return x->version[0] != '\0';
}

int
line_modern_fields(struct line_exchange *x, struct buf *out)
{
	_cleanup_(buf_free) struct buf name = BUF_INIT(HEADER_BYTES);
	struct slice text = { x->text.p, x->text.len };
	int e;

	if ((e = buf_addf(out, "MCP-Protocol-Version: %s\r\n", x->version)) < 0 ||
	    x->rpc.method[0] == '\0')
		return e;
	if ((e = buf_adds(out, "Mcp-Method: ")) < 0 ||
	    (e = mcp_header_value(out, x->rpc.method, strlen(x->rpc.method))) < 0 ||
	    (e = buf_adds(out, "\r\n")) < 0 || (e = mcp_name(text, x->rpc.method, &name)) < 0)
		return e;
	if (e == 1 && (e = buf_addf(out, "Mcp-Name: %s\r\n", name.p != NULL ? name.p : "")) < 0)
		return e;
	if (strcmp(x->rpc.method, "tools/call") != 0)
		return 0;
	e = mcp_tools_params(&x->client->up->tools, text, out);
	return e < 0 ? e : 0;
}

static void
warn(void *arg, const char *name, size_t n, const char *why)
{
	const struct line_client *c = arg;
	char text[128];

	log_warn(line_name(c), "tools", "the tool %s is left out: %s",
	    text_escape(text, sizeof(text), name, n), why);
}

/* --- tools/list of our own --- */

/* Those that waited for it. */
static void
finish(struct line_client *c)
{
	struct line_exchange *x, *next;

	for (x = TAILQ_FIRST(&c->exchanges); x != NULL; x = next) {
		next = TAILQ_NEXT(x, entry);
		if (x->state == LINE_WAITING)
			line_send(x);
	}
}

/* A page, with the _meta of the call that needs it; cursor {NULL, 0}: the first.  NULL without memory. */
static struct line_exchange *
new_page(struct line_client *c, struct slice meta, struct slice cursor, unsigned page)
{
	_cleanup_(buf_free) struct buf b = BUF_INIT(0);
	struct line_exchange *x;

	if (buf_addf(&b, "{\"jsonrpc\":\"2.0\",\"id\":\"mcp-authd-tools-%u\","
	    "\"method\":\"tools/list\",\"params\":{\"_meta\":", page) < 0 ||
	    buf_addslice(&b, meta) < 0 ||
	    (cursor.p != NULL && (buf_adds(&b, ",\"cursor\":") < 0 || buf_addslice(&b, cursor) < 0)) ||
	    buf_adds(&b, "}}") < 0)
		return NULL;
	x = line_new_own(c, LINE_OWN_TOOLS, (struct slice){ b.p, b.len });
	if (x == NULL)
		return NULL;
	if (buf_addslice(&x->meta, meta) < 0) {
		line_over(x);
		return NULL;
	}
	x->modern = true;
	x->pages = page;
	return x;
}

/* Sends it for `why`, the call or the page before; false without memory. */
static bool
ask_page(const struct line_exchange *why, struct slice meta, struct slice cursor, int64_t until)
{
	struct line_client *c = why->client;
	struct line_exchange *x = new_page(c, meta, cursor, why->pages + 1);

	if (x == NULL)
		return false;
	memcpy(x->version, why->version, sizeof(x->version));
	x->until = until;
	c->tools = x;
	line_send(x);
	return true;
}

/* x waits until the schemas are there, or cannot be had; that counts as recovery (F1). */
static void
wait_for_tools(struct line_exchange *x)
{
	struct slice text = { x->text.p, x->text.len }, meta;
	struct line_client *c = x->client;
	int64_t until = loop_now(c->loop).boot + c->up->config->recovery;

	if (!x->again) {
		x->again = true;
		x->why = EXCHANGE_RELAY;
		x->before = (struct exchange){ .deadline = until };
	}
	x->state = LINE_WAITING;
	if (c->tools != NULL)
		return;
	mcp_tools_clear(&c->up->tools);
	if (!mcp_at(text, &meta, "params", "_meta", NULL) ||
	    !ask_page(x, meta, (struct slice){ NULL, 0 }, MIN(until, x->before.deadline)))
		finish(c);
}

void
line_tools_send(struct line_exchange *x)
{
	if (mcp_tools_known(&x->client->up->tools, (struct slice){ x->text.p, x->text.len }))
		line_send(x);
	else
		wait_for_tools(x);
}

void
line_tools_mend(struct line_exchange *x)
{
	x->again = true;
	x->why = EXCHANGE_REHEADER;
	wait_for_tools(x);
}

void
line_tools_own(struct line_exchange *x, struct slice answer)
{
	_cleanup_(buf_free) struct buf out = BUF_INIT(0);
	struct line_client *c = x->client;
	struct slice cursor = { NULL, 0 };
	int n = mcp_tools_learn(&c->up->tools, answer, &out, &cursor, warn, c);
	bool more = n >= 0 && cursor.p != NULL && x->pages < TOOLS_PAGES;

	if (c->tools != x) {
		line_over(x);
		return;
	}
	if (n < 0 || (cursor.p != NULL && !more))
		log_warn(line_name(c), "tools", "the server's tools cannot be listed: calls go "
		    "without Mcp-Param headers");
	if (!more)
		c->up->tools.whole = n >= 0;
	if (!more || !ask_page(x, (struct slice){ x->meta.p, x->meta.len }, cursor, x->until)) {
		c->tools = NULL;
		finish(c);
	}
	line_over(x);
}

/* --- the client's tools/list --- */

void
line_tools_filter(struct line_exchange *x, struct slice answer, struct buf *out)
{
	struct line_client *c = x->client;
	struct slice cursor, text = { x->text.p, x->text.len };
	bool first = !mcp_at(text, &cursor, "params", "cursor", NULL);
	int n;

	n = mcp_tools_learn(&c->up->tools, answer, out, &cursor, warn, c);
	if (n == -EMSGSIZE)
		log_warn(line_name(c), "tools", "a list of tools is too long to be looked at");
	else if (n >= 0 && first && cursor.p == NULL)
		c->up->tools.whole = true;
}
