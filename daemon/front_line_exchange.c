/* One exchange: its request as Streamable HTTP, and its answer as bytes. */
#include <stdio.h>

#include "front_line_impl.h"
#include "log.h"
#include "sessions.h"

static size_t held;		/* by all clients, LINE_FREE of each exchange not counted */

size_t
line_held_by_all(void)
{
	return held;
}

void
line_hold(size_t *charged, size_t n)
{
	held -= *charged;
	*charged = n > (size_t)LINE_FREE ? n - LINE_FREE : 0;
	held += *charged;
}

bool
line_is_request(const struct line_exchange *x)
{
	return x->kind == LINE_REQUEST || x->kind == LINE_INITIALIZE;
}

bool
line_is_own(const struct line_exchange *x)
{
	return x->kind >= LINE_OWN_INITIALIZE;
}

/* --- life --- */

static void
rested(void *arg)
{
	struct line_exchange *x = arg;

	if (x->state == LINE_RESTING)
		line_send(x);
	else if (x->state == LINE_LINGERING || x->kind == LINE_DELETE)
		line_over(x);
	else
		line_fails(x, REASON_RECOVERY_TIMEOUT, "no answer in time");
}

/* What others wait for is not waited for long (F1). */
static void
limit_time(struct line_exchange *x)
{
	struct line_client *c = x->client;

	if (x->kind == LINE_OWN_INITIALIZE || x->kind == LINE_OWN_INITIALIZED)
		timer_set(&x->timer, c->begin_until - loop_now(c->loop).boot);
	else if (x->kind == LINE_OWN_TOOLS)
		timer_set(&x->timer, x->until - loop_now(c->loop).boot);
	else if (x->kind == LINE_DELETE)
		timer_set(&x->timer, DELETE_WAIT);
}

struct line_exchange *
line_new(struct line_client *c, enum line_kind kind)
{
	struct line_exchange *x = calloc(1, sizeof(*x));

	if (x == NULL) {
		log_err(line_name(c), "line", "out of memory: a message is lost");
		return NULL;
	}
	x->client = c;
	x->kind = kind;
	x->epoch = c->session.epoch;
	jsonrpc_init(&x->rpc);
	x->body = BUF_INIT(0);
	sse_init(&x->sse, c->up->limits->limits.line_bytes);
	timer_init(&x->timer, c->loop, rested, x);
	TAILQ_INSERT_TAIL(&c->exchanges, x, entry);
	return x;
}

struct line_exchange *
line_new_own(struct line_client *c, enum line_kind kind, struct slice text)
{
	struct line_exchange *x = line_new(c, kind);

	if (x == NULL)
		return NULL;
	if (buf_addslice(&x->text, text) < 0 || jsonrpc_feed(&x->rpc, text.p, text.n) < 0) {
		line_over(x);
		return NULL;
	}
	jsonrpc_end(&x->rpc);
	return x;
}

/* Held memory beyond what everybody may have: false if it is too much. */
static bool
charge(struct line_exchange *x)
{
	line_hold(&x->charged, x->text.len + x->body.len + x->sse.data.len);
	return x->charged == 0 || held <= x->client->up->limits->limits.held_bytes;
}

/* It is no longer one of those that the client waits for. */
static void
uncount(struct line_exchange *x)
{
	struct line_client *c = x->client;

	if (!x->counted)
		return;
	x->counted = false;
	if (line_is_request(x))
		c->requests--;
	else
		c->others--;
	if (x->kind == LINE_INITIALIZE || x->kind == LINE_INITIALIZED)
		c->barriers--;
}

void
line_over(struct line_exchange *x)
{
	struct line_client *c = x->client;

	if (x->state == LINE_OVER)
		return;
	uncount(x);
	x->state = LINE_OVER;
	timer_clear(&x->timer);
	if (x->relay != NULL)
		relay_abandon(x->relay);
	x->relay = NULL;
	if (c->stream == x)
		c->stream = NULL;
	if (c->tools == x)
		c->tools = NULL;
	TAILQ_REMOVE(&c->exchanges, x, entry);
	TAILQ_INSERT_TAIL(&c->over, x, entry);
	if (x->session_id != NULL && x->kind != LINE_DELETE && !c->dead)
		line_session_discard(x);
	line_look(c);
}

void
line_free(struct line_exchange *x)
{
	line_hold(&x->charged, 0);
	buf_free(&x->text);
	buf_free(&x->body);
	buf_free(&x->cancels);
	buf_free(&x->meta);
	jsonrpc_free(&x->rpc);
	sse_free(&x->sse);
	secret_free(x->session_id);
	free(x);
}

void
line_answered(struct line_exchange *x)
{
	uncount(x);
	if (x->relay == NULL || x->media != LINE_EVENTS) {
		line_over(x);
		return;
	}
	x->state = LINE_LINGERING;
	timer_set(&x->timer, ANSWERED_LINGER);
	line_look(x->client);
}

void
line_fail(struct line_exchange *x, const struct failure *f)
{
	static const struct slice nothing = { "", 0 };

	switch (x->kind) {
	case LINE_REQUEST:
	case LINE_INITIALIZE:
		if (x->state != LINE_OVER && x->rpc.ids.len > 0)
			line_write_failure(x->client, f, &x->rpc);
		break;
	case LINE_NOTIFICATION:
	case LINE_INITIALIZED:
		log_warn(line_name(x->client), "line", "a %s did not reach the server: %s%s%s",
		    x->rpc.kind == JSONRPC_RESPONSE ? "response" : "notification",
		    reason_name(f->reason), f->detail[0] != '\0' ? ": " : "", f->detail);
		break;
	case LINE_OWN_INITIALIZE:
	case LINE_OWN_INITIALIZED:
	case LINE_OWN_REPEAT:
		line_session_own(x, nothing, f);
		return;
	case LINE_OWN_TOOLS:
		line_tools_own(x, nothing);
		return;
	case LINE_STREAM:
		line_stream_ended(x, f);
		return;
	case LINE_DELETE:
	case LINE_KINDS:
		break;
	}
	line_over(x);
}

void
line_fails(struct line_exchange *x, enum reason reason, const char *detail)
{
	struct failure f = { .reason = reason };

	snprintf(f.detail, sizeof(f.detail), "%s", detail);
	line_fail(x, &f);
}

/* --- the request --- */

static const char *
method_of(const struct line_exchange *x)
{
	if (x->kind == LINE_DELETE)
		return "DELETE";
	return x->kind == LINE_STREAM || x->resumed ? "GET" : "POST";
}

/* L2 */
static int
add_content(const struct line_exchange *x, const char *method, struct buf *b)
{
	const struct buf *id = &x->sse.last;
	int e;

	if ((e = buf_adds(b, "User-Agent: mcp-authd\r\n")) < 0)
		return e;
	if (strcmp(method, "POST") == 0)
		return buf_adds(b, "Content-Type: application/json\r\n"
		    "Accept: application/json, text/event-stream\r\n");
	if (strcmp(method, "GET") != 0)
		return 0;
	if ((e = buf_adds(b, "Accept: text/event-stream\r\n")) < 0 || id->len == 0 ||
	    !http1_is_value(id->p, id->len))
		return e;
	return buf_addf(b, "Last-Event-ID: %s\r\n", id->p);	/* L10 */
}

/* L5, L6: on everything behind the initialize. */
static int
add_session(struct line_exchange *x, struct buf *b)
{
	const struct line_client *c = x->client;
	const char *id = x->kind == LINE_DELETE ? x->session_id : c->session_id;
	int e = 0;

	x->owned = false;
	if (x->kind == LINE_INITIALIZE || x->kind == LINE_OWN_INITIALIZE)
		return 0;
	if (id != NULL) {
		x->owned = true;
		e = buf_addf(b, "Mcp-Session-Id: %s\r\n", id);
	}
	if (e == 0 && c->session.state != SESSION_NONE)
		e = buf_addf(b, "MCP-Protocol-Version: %s\r\n", c->session.version);
	return e;
}

/* Cuts "Name: value\r\n" lines of our own making into fields. */
static void
cut_fields(const struct buf *b, struct http1_head *h)
{
	const char *p = b->p, *colon, *end;

	for (h->nfields = 0; p < b->p + b->len && h->nfields < nitems(h->fields); p = end + 2) {
		colon = strstr(p, ": ");
		end = strstr(p, "\r\n");
		h->fields[h->nfields++] = (struct http1_field){ .name = { p, colon - p },
		    .value = { colon + 2, end - colon - 2 } };
	}
	h->size = b->len;
}

/* The rest of the body, as much as the relay takes. */
static void
feed(struct line_exchange *x)
{
	bool full = false;
	size_t n;

	while (!full && x->fed < x->text.len) {
		n = MIN(x->text.len - x->fed, (size_t)WINDOW);
		x->fed += n;
		full = relay_body(x->relay, x->text.p + x->fed - n, n);
	}
	if (x->fed == x->text.len)
		relay_body_end(x->relay);
}

static const struct sink_ops sink_ops;

static void
begin_answer(struct line_exchange *x)
{
	x->status = 0;
	x->media = LINE_NOTHING;
	x->failed_body = false;
	x->opened = 0;
	buf_free(&x->body);
	sse_restart(&x->sse);
}

void
line_send(struct line_exchange *x)
{
	_cleanup_(buf_free) struct buf lines = BUF_SECRET(HEADER_BYTES);
	struct line_client *c = x->client;
	const char *method = method_of(x);
	bool post = strcmp(method, "POST") == 0;
	struct http1_head h = { .minor = 1, .framing = post ? HTTP1_LENGTH : HTTP1_NONE,
	    .length = post ? x->text.len : 0 };
	struct relay_request q = { .head = &h, .method = method, .uid = c->uid,
	    .client = c->number, .before = x->again && post ? &x->before : NULL, .why = x->why };

	begin_answer(x);
	(void)charge(x);	/* a line that was read is sent */
	x->epoch = c->session.epoch;
	x->state = LINE_SENT;
	x->fed = 0;
	if (add_content(x, method, &lines) < 0 || (x->modern ? line_modern_fields(x, &lines) :
	    add_session(x, &lines)) < 0) {
		line_fails(x, REASON_LIMIT, "what its headers must say does not fit into a head");
		return;
	}
	cut_fields(&lines, &h);
	x->relay = relay_begin(c->up, &q, &sink_ops, x);
	if (x->relay == NULL)
		line_fails(x, REASON_LIMIT, "out of memory");
	else if (post)
		feed(x);
	if (x->relay != NULL)
		limit_time(x);
}

/* --- the answer --- */

void
line_warn(struct line_exchange *x, const char *words)
{
	if (!x->warned)
		log_warn(line_name(x->client), "line", "%s", words);
	x->warned = true;
}

static enum line_media
media_of(const struct http1_head *h)
{
	struct slice type = http1_get(h, "Content-Type");
	const char *end = type.p != NULL ? memchr(type.p, ';', type.n) : NULL;

	if (end != NULL)
		type.n = end - type.p;
	while (type.n > 0 && (type.p[type.n - 1] == ' ' || type.p[type.n - 1] == '\t'))
		type.n--;
	if (slice_ieq(type, "text/event-stream"))
		return LINE_EVENTS;
	if (slice_ieq(type, "application/json"))
		return LINE_JSON;
	return type.n == 0 ? LINE_NOTHING : LINE_FOREIGN;
}

/* L5: visible ASCII alone; anything else is no session id. */
static void
keep_session_id(struct line_exchange *x, const struct http1_head *h)
{
	struct slice id = http1_get(h, "Mcp-Session-Id");
	size_t i;

	secret_free(x->session_id);
	x->session_id = NULL;
	for (i = 0; i < id.n && id.p[i] > 0x20 && id.p[i] < 0x7f; i++)
		;
	if (id.n == 0)
		return;
	if (i == id.n && id.n <= SESSION_ID_BYTES)
		x->session_id = strndup(id.p, id.n);
	else
		log_warn(line_name(x->client), "session", "the server's session id is not usable");
}

static void
on_head(void *arg, const struct http1_head *h)
{
	struct line_exchange *x = arg;

	x->before = *relay_exchange(x->relay);
	x->before.relayed = false;
	x->before.held = true;
	x->status = h->status;
	x->media = media_of(h);
	if (h->status / 100 != 2)
		return;
	if (x->kind == LINE_INITIALIZE || x->kind == LINE_OWN_INITIALIZE)
		keep_session_id(x, h);
	if (x->media == LINE_EVENTS) {
		x->opened = loop_now(x->client->loop).boot;
		if (line_is_request(x))
			x->until = 0;
	}
	if (x->kind == LINE_REQUEST && x->text.len > (size_t)LINE_FREE && x->fed == x->text.len)
		buf_free(&x->text);
}

static void
events(struct line_exchange *x, const char *p, size_t n)
{
	int r;

	while (x->state != LINE_OVER && (r = sse_next(&x->sse, &p, &n)) != 0) {
		if (r == 1 && x->sse.message)
			line_message(x, (struct slice){ x->sse.data.p, x->sse.data.len });
		else if (r < 0)
			line_warn(x, r == -ENOMEM ? "an event is dropped: out of memory" :
			    "an event is dropped: it is longer than limits.lineBytes");
		if (r == -ENOMEM)
			return;
	}
}

static void
gather(struct line_exchange *x, const char *p, size_t n)
{
	size_t max = x->status / 100 == 2 ? x->client->up->limits->limits.line_bytes :
	    (size_t)PEEK_BYTES;

	if (x->failed_body)
		return;
	x->body.max = max;
	if (buf_add(&x->body, p, n) < 0) {
		x->failed_body = true;
		buf_free(&x->body);
	}
}

static bool
on_data(void *arg, const char *p, size_t n)
{
	struct line_exchange *x = arg;

	if (x->media == LINE_EVENTS && x->status / 100 == 2)
		events(x, p, n);
	else
		gather(x, p, n);
	if (x->state != LINE_OVER && !charge(x))
		line_fails(x, REASON_LIMIT, "too much is being held for other requests");
	return x->client->full;
}

static void
on_turn(void *arg _unused_)
{
	/* Everything that was written goes out when the turn settles. */
}

static void
on_end(void *arg)
{
	struct line_exchange *x = arg;

	x->relay = NULL;
	if (x->state == LINE_LINGERING || x->kind == LINE_DELETE)
		line_over(x);
	else if (x->kind == LINE_STREAM)
		line_stream_ended(x, NULL);
	else if (x->resumed || (x->media == LINE_EVENTS && x->status / 100 == 2 &&
	    line_is_request(x)))
		line_stream_broke(x, NULL);
	else
		line_judge(x);
}

static void
on_fail(void *arg, const struct failure *f, const struct jsonrpc *rpc _unused_, bool headed)
{
	struct line_exchange *x = arg;

	x->relay = NULL;
	if (x->state == LINE_LINGERING)
		line_over(x);
	else if (line_is_request(x) && (x->resumed || (headed && x->media == LINE_EVENTS)))
		line_stream_broke(x, f);
	else
		line_fail(x, f);
}

static void
on_more(void *arg)
{
	struct line_exchange *x = arg;

	if (x->relay != NULL && x->text.len > 0)
		feed(x);
}

static const struct sink_ops sink_ops = {
	.head = on_head,
	.data = on_data,
	.turn = on_turn,
	.end = on_end,
	.fail = on_fail,
	.more = on_more,
};
