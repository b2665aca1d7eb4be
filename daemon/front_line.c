#include <stdio.h>

#include "front_line_impl.h"
#include "log.h"

static void settle(void *arg);

const char *
line_name(const struct line_client *c)
{
	return c->up->config->name;
}

void
line_poke(struct line_client *c)
{
	if (c->settling)
		return;
	c->settling = true;
	loop_defer(c->loop, settle, c);
}

/* --- out --- */

static void
put(struct line_client *c, const char *p, size_t n)
{
	if (c->serve == NULL || (c->leaving && !c->refusing))
		return;
	if (serve_line(c->serve, p, n))
		c->full = true;
	c->unflushed = true;
	line_poke(c);
}

void
line_write(struct line_client *c, struct slice s)
{
	struct buf flat = BUF_INIT(0);

	if (memchr(s.p, '\n', s.n) == NULL && memchr(s.p, '\r', s.n) == NULL) {
		put(c, s.p, s.n);
		return;
	}
	if (buf_add(&flat, s.p, s.n) < 0) {
		log_err(line_name(c), "line", "out of memory: the connection ends");
		if (c->serve != NULL)
			serve_abort(c->serve);
		return;
	}
	for (size_t i = 0; i < flat.len; i++)
		if (flat.p[i] == '\n' || flat.p[i] == '\r')
			flat.p[i] = ' ';
	put(c, flat.p, flat.len);
	buf_free(&flat);
}

void
line_write_failure(struct line_client *c, const struct failure *f, const struct jsonrpc *rpc)
{
	_cleanup_(buf_free) struct buf json = BUF_INIT(0);

	if (failure_json(&json, f, line_name(c), rpc) == 0)
		put(c, json.p, json.len);
	else if (c->serve != NULL)
		serve_abort(c->serve);
}

/* -32600 with words of its own. */
static void
write_invalid(struct line_client *c, struct slice id, const char *words)
{
	_cleanup_(buf_free) struct buf json = BUF_INIT(0);

	if (buf_adds(&json, "{\"jsonrpc\":\"2.0\",\"id\":") == 0 && buf_addslice(&json, id) == 0 &&
	    buf_addf(&json, ",\"error\":{\"code\":-32600,\"message\":\"Invalid Request: %s\"}}",
	    words) == 0)
		put(c, json.p, json.len);
}

/* --- in --- */

/* The line becomes an exchange's. */
static struct line_exchange *
take(struct line_client *c, enum line_kind kind)
{
	struct line_exchange *x = line_new(c, kind);

	if (x == NULL)
		return NULL;
	x->text = c->lines.text;
	x->rpc = c->lines.rpc;
	lines_moved(&c->lines);
	x->counted = true;
	if (line_is_request(x))
		c->requests++;
	else
		c->others++;
	return x;
}

/* Sends it, or has it wait for what is not there yet. */
static void
begin(struct line_exchange *x)
{
	if (x->modern && strcmp(x->rpc.method, "tools/call") == 0)
		line_tools_send(x);
	else if (x->modern)
		line_send(x);
	else
		line_session_send(x);
}

static bool
is_taken(struct line_client *c)
{
	const struct buf *ids = &c->lines.rpc.ids;
	const char *p = ids->p, *end, *stop;
	struct slice id;

	for (end = p + ids->len; p < end && (stop = memchr(p, '\n', end - p)) != NULL; p = stop + 1) {
		id = (struct slice){ p, stop - p };
		if (line_find(c, NULL, id) != NULL)
			return true;
	}
	return false;
}

/* May this request, or batch with requests, be taken at all?  If not it was answered. */
static bool
admit(struct line_client *c)
{
	static const struct failure draining = { .reason = REASON_DRAINING };
	static const struct failure flood = { .reason = REASON_LIMIT, .retry_ms = BACKOFF_MIN,
	    .detail = "too many requests are in flight: limits.inFlightPerClient" };
	const struct jsonrpc *rpc = &c->lines.rpc;

	if (c->refusal != NULL)
		line_write_failure(c, c->refusal, rpc);
	else if (rpc->ids.len == 5 && memcmp(rpc->ids.p, "null\n", 5) == 0)
		write_invalid(c, slice_of("null"), "the id of a request is a string or a number");
	else if (is_taken(c))
		write_invalid(c, slice_of("null"), "the id is that of a request in flight");
	else if (c->draining)
		line_write_failure(c, &draining, rpc);
	else if (c->requests >= c->up->limits->limits.in_flight_per_client)
		line_write_failure(c, &flood, rpc);
	else
		return true;
	return false;
}

static void
take_request(struct line_client *c)
{
	static const struct failure memory = { .reason = REASON_LIMIT, .detail = "out of memory" };
	bool first = strcmp(c->lines.rpc.method, "initialize") == 0;
	struct line_exchange *x;

	if (!admit(c))
		return;
	x = take(c, LINE_REQUEST);
	if (x == NULL) {
		line_write_failure(c, &memory, &c->lines.rpc);
		return;
	}
	x->modern = line_modern(x);
	if (first && !x->modern) {
		x->kind = LINE_INITIALIZE;
		c->barriers++;
	}
	begin(x);
}

/*
 * Batches existed in 2025-03-26 alone (L1): there they go up as they are,
 * elsewhere each request in it is refused.
 */
static void
take_batch(struct line_client *c)
{
	const struct jsonrpc *rpc = &c->lines.rpc;
	const char *p = rpc->ids.p, *end, *stop;
	struct line_exchange *x;

	if (c->session.state != SESSION_NONE && strcmp(c->session.version, "2025-03-26") == 0) {
		if (rpc->batch_requests && !admit(c))
			return;
		x = take(c, rpc->batch_requests ? LINE_REQUEST : LINE_NOTIFICATION);
		if (x != NULL)
			begin(x);
		return;
	}
	if (rpc->ids.len == 0)
		write_invalid(c, slice_of("null"), "batches exist in 2025-03-26 only");
	for (end = p + rpc->ids.len; p < end && (stop = memchr(p, '\n', end - p)) != NULL; p = stop + 1)
		write_invalid(c, (struct slice){ p, stop - p }, "batches exist in 2025-03-26 only");
}

/*
 * An answer to a server's request is a POST of its own (L14); that of a dead
 * session has nobody to go to (G1).
 */
static void
take_response(struct line_client *c)
{
	struct slice id, line = { c->lines.text.p, c->lines.text.len };
	struct line_exchange *x;

	if (!mcp_member(line, "id", &id) || !line_asked_take(c, id)) {
		log_info(line_name(c), "line", "a response that no server waits for is dropped");
		return;
	}
	x = take(c, LINE_NOTIFICATION);
	if (x == NULL)
		return;
	x->modern = c->session.state == SESSION_NONE && c->version[0] != '\0';
	if (x->modern)
		memcpy(x->version, c->version, sizeof(x->version));
	begin(x);
}

/* Has the server heard of it? */
static bool
is_out(const struct line_exchange *x)
{
	return (x->again && x->before.sends > 0) || x->state == LINE_RESTING ||
	    (x->relay != NULL && relay_exchange(x->relay)->sends > 0);
}

/*
 * M7: in the modern wire closing the stream is the cancel.  A request that has
 * not left yet is dropped here.  true: nothing goes up.
 */
static bool
cancel(struct line_client *c, struct slice id)
{
	struct line_exchange *x = line_find(c, NULL, id);

	if (x == NULL)
		return c->session.state == SESSION_NONE;
	if (x->kind == LINE_INITIALIZE || x->rpc.kind == JSONRPC_BATCH)
		return x->kind == LINE_INITIALIZE;	/* "MUST NOT be cancelled"; a batch goes on for the others */
	if (!x->modern && is_out(x))
		return false;
	line_over(x);
	return true;
}

static void
take_notification(struct line_client *c)
{
	bool initialized = strcmp(c->lines.rpc.method, "notifications/initialized") == 0;
	struct slice id, line = { c->lines.text.p, c->lines.text.len };
	struct line_exchange *x;
	bool cancels = strcmp(c->lines.rpc.method, "notifications/cancelled") == 0 &&
	    mcp_at(line, &id, "params", "requestId", NULL);

	if (c->refusal != NULL || (cancels && cancel(c, id)))
		return;
	x = take(c, LINE_NOTIFICATION);
	if (x == NULL)
		return;
	if (cancels)
		(void)buf_addslice(&x->cancels, (struct slice){ x->text.p + (id.p - line.p), id.n });
	x->modern = line_modern(x);
	if (!x->modern && c->session.state == SESSION_NONE && c->version[0] != '\0') {
		x->modern = true;
		memcpy(x->version, c->version, sizeof(x->version));
	}
	if (initialized && !x->modern) {
		x->kind = LINE_INITIALIZED;
		c->barriers++;
	}
	begin(x);
}

static bool
wants_answer(const struct jsonrpc *rpc)
{
	return rpc->kind != JSONRPC_NOTIFICATION && rpc->kind != JSONRPC_RESPONSE &&
	    (rpc->kind != JSONRPC_BATCH || rpc->batch_requests);
}

/* Too long: it was read for its ids alone. */
static void
refuse_line(struct line_client *c)
{
	static const struct failure f = { .reason = REASON_LIMIT,
	    .detail = "a line is longer than limits.lineBytes, or than what may be held now" };

	log_warn(line_name(c), "line", "a line that is too long is dropped");
	if (wants_answer(&c->lines.rpc))
		line_write_failure(c, &f, &c->lines.rpc);
}

/* One line is there. */
static void
take_line(struct line_client *c)
{
	static const struct failure none = { .reason = REASON_NONE };
	enum jsonrpc_kind kind = c->lines.rpc.kind;

	if (c->refusing && wants_answer(&c->lines.rpc))
		line_write_failure(c, &c->last, &c->lines.rpc);
	else if (c->refusing)
		;
	else if (kind == JSONRPC_NOT_JSON || kind == JSONRPC_INVALID || kind == JSONRPC_UNKNOWN)
		line_write_failure(c, &none, &c->lines.rpc);
	else if (c->lines.over)
		refuse_line(c);
	else if (kind == JSONRPC_REQUEST)
		take_request(c);
	else if (kind == JSONRPC_BATCH)
		take_batch(c);
	else if (kind == JSONRPC_RESPONSE)
		take_response(c);
	else
		take_notification(c);
	lines_next(&c->lines);
	if (c->refusal != NULL)
		c->ended = true;
}

/* --- how much of it --- */

/* Requests beyond the limit are answered; what is not answered must be waited for. */
static bool
may_read(const struct line_client *c)
{
	return c->refusing || (c->barriers == 0 && !c->ended && !c->leaving &&
	    c->others < c->up->limits->limits.in_flight_per_client);
}

static void
mind_reading(struct line_client *c)
{
	bool stop = !may_read(c) && !c->ended;

	if (c->serve == NULL || stop == c->paused)
		return;
	c->paused = stop;
	if (stop)
		serve_pause(c->serve);
	else
		serve_resume(c->serve);
}

size_t
front_line_feed(struct line_client *c, const char *p, size_t n)
{
	const struct config *limits = c->up->limits;
	size_t all = n, held = line_held_by_all() - c->charged;
	int r = 1;

	if (n == 0 && c->leaving)
		return 0;
	if (n == 0) {
		if (lines_end(&c->lines) == 1)
			take_line(c);
		c->ended = true;
		line_look(c);
		return 0;
	}
	c->lines.max = MIN(limits->limits.line_bytes, (uint64_t)LINE_FREE +
	    (limits->limits.held_bytes > held ? limits->limits.held_bytes - held : 0));
	while (n > 0 && r != 0 && may_read(c)) {
		r = lines_feed(&c->lines, &p, &n);
		if (r == 1)
			take_line(c);
	}
	line_hold(&c->charged, c->lines.text.len);
	mind_reading(c);
	line_look(c);
	return (c->ended || c->leaving) && !c->closing ? all : all - n;
}

void
front_line_drained(struct line_client *c)
{
	struct line_exchange *x;

	c->full = false;
	TAILQ_FOREACH(x, &c->exchanges, entry)
		if (x->relay != NULL)
			relay_drained(x->relay);
}

/* --- the end --- */

/* Does the client wait for it, or must it reach the server? */
static bool
is_pending(const struct line_exchange *x)
{
	return x->state != LINE_LINGERING && x->kind <= LINE_INITIALIZED;
}

static bool
anything_pending(const struct line_client *c)
{
	const struct line_exchange *x;

	TAILQ_FOREACH(x, &c->exchanges, entry)
		if (is_pending(x))
			return true;
	return false;
}

/* Its answer will bring a session that somebody must end (L8). */
static bool
begins_session(const struct line_exchange *x)
{
	return (x->kind == LINE_INITIALIZE || x->kind == LINE_OWN_INITIALIZE) &&
	    x->relay != NULL && relay_exchange(x->relay)->sends > 0;
}

/* Is it not to be dropped when its client leaves? */
static bool
is_duty(const struct line_client *c, const struct line_exchange *x)
{
	if (x->kind == LINE_DELETE || begins_session(x))
		return true;
	return is_pending(x) && !line_is_request(x) && !line_session_starting(c);
}

static void
drop_all(struct line_client *c)
{
	struct line_exchange *x, *next;

	for (x = TAILQ_FIRST(&c->exchanges); x != NULL; x = next) {
		next = TAILQ_NEXT(x, entry);
		if (!c->dead && begins_session(x))
			timer_set(&x->timer, DELETE_WAIT);
		if (c->dead || !is_duty(c, x))
			line_over(x);
	}
}

/* Contract K, L8: the session goes once nothing more is to be said on it. */
static void
leave(struct line_client *c)
{
	c->leaving = true;
	timer_clear(&c->drain);
	drop_all(c);
	if (c->draining && c->last.reason == REASON_NONE)
		c->last.reason = REASON_DRAINING;
	else if (c->refusal != NULL)
		c->last = *c->refusal;
	c->closing = c->serve != NULL && !c->dead;
	if (c->serve != NULL && c->dead)
		serve_close(c->serve);
	line_poke(c);
}

/* F4: what the client had sent before it could know is answered, too. */
static void
hang_up(struct line_client *c)
{
	c->closing = false;
	if (c->serve == NULL)
		return;
	c->refusing = c->last.reason != REASON_NONE;
	if (c->refusing)
		serve_rest(c->serve);
	c->refusing = false;
	serve_close(c->serve);
}

void
line_look(struct line_client *c)
{
	if (!c->leaving && (c->ended || c->draining) && !anything_pending(c))
		leave(c);
	if (c->leaving && !c->dead && c->session_id != NULL && !anything_pending(c))
		line_session_delete(c);
	line_poke(c);
}

void
line_break(struct line_client *c, const char *detail)
{
	struct failure f = { .reason = REASON_UPSTREAM_UNREACHABLE };
	struct line_exchange *x, *next;
	bool told = false;

	if (c->leaving)
		return;
	log_warn(line_name(c), "session", "%s: the connection ends", detail);
	snprintf(f.detail, sizeof(f.detail), "%s", detail);
	for (x = TAILQ_FIRST(&c->exchanges); x != NULL; x = next) {
		next = TAILQ_NEXT(x, entry);
		if (!line_is_request(x) || x->rpc.ids.len == 0)
			continue;
		line_write_failure(c, &f, &x->rpc);
		told = true;
	}
	if (!told)
		line_write_failure(c, &f, NULL);
	c->session.state = SESSION_BROKEN;
	c->last = f;
	leave(c);
	line_look(c);
}

static void
bury(struct line_client *c)
{
	LIST_REMOVE(c, entry);
	loop_undefer(c->loop, c);
	timer_clear(&c->drain);
	line_hold(&c->charged, 0);
	lines_free(&c->lines);
	line_session_free(c);
	free(c);
}

/* What every turn ends with, if something happened in it. */
static void
settle(void *arg)
{
	struct line_client *c = arg;
	struct line_exchange *x;

	c->settling = false;
	while ((x = TAILQ_FIRST(&c->over)) != NULL) {
		TAILQ_REMOVE(&c->over, x, entry);
		line_free(x);
	}
	if (c->closing)
		hang_up(c);
	if (c->unflushed && c->serve != NULL)
		serve_turn(c->serve);
	c->unflushed = false;
	if (c->serve == NULL && c->leaving && TAILQ_EMPTY(&c->exchanges))
		bury(c);
	else
		mind_reading(c);
}

void
front_line_gone(struct line_client *c)
{
	if (!c->leaving)
		leave(c);
	line_look(c);
}

void
front_line_closed(struct line_client *c)
{
	c->serve = NULL;
	front_line_gone(c);
}

/* --- all of them --- */

/* K: whoever still waits for something that no relay carries. */
static void
drain_over(void *arg)
{
	static const struct failure f = { .reason = REASON_DRAINING };
	struct line_client *c = arg;
	struct line_exchange *x, *next;

	for (x = TAILQ_FIRST(&c->exchanges); x != NULL; x = next) {
		next = TAILQ_NEXT(x, entry);
		if (is_pending(x))
			line_fail(x, &f);
	}
}

static void
drain(struct line_client *c)
{
	if (c->draining)
		return;
	c->draining = true;
	timer_set(&c->drain, DRAIN);
	line_look(c);
}

void
front_line_drain(struct front *front)
{
	struct line_client *c, *next;

	for (c = LIST_FIRST(&front->lines); c != NULL; c = next) {
		next = LIST_NEXT(c, entry);
		drain(c);
	}
}

/* A session lives at an origin: there it goes on under the new config, elsewhere it ends. */
static void
redirect(struct line_client *c, struct upstream *to)
{
	bool streams = c->stream != NULL;

	if (to == NULL || !url_same_origin(&to->config->url, &c->up->config->url)) {
		drain(c);
		return;
	}
	line_stream_close(c);
	c->up = to;
	if (streams)
		line_stream_open(c);
}

void
front_line_redirect(struct front *front, const struct upstream *from, struct upstream *to)
{
	struct line_client *c, *next;

	for (c = LIST_FIRST(&front->lines); c != NULL; c = next) {
		next = LIST_NEXT(c, entry);
		if (c->up == from)
			redirect(c, to);
	}
}

void
front_line_close_all(struct front *front)
{
	struct line_client *c, *next;

	for (c = LIST_FIRST(&front->lines); c != NULL; c = next) {
		next = LIST_NEXT(c, entry);
		c->dead = true;
		leave(c);
	}
}

struct line_client *
front_line_open(struct front *front, struct upstream *up, struct serve *serve,
    const struct failure *refusal)
{
	struct line_client *c = calloc(1, sizeof(*c));

	if (c == NULL)
		return NULL;
	c->front = front;
	c->up = up;
	c->loop = front->loop;
	c->serve = serve;
	c->refusal = refusal;
	c->uid = serve_peer(serve)->uid;
	c->number = (uint64_t)1 << 33 | serve_id(serve);
	lines_init(&c->lines, up->limits->limits.line_bytes);
	TAILQ_INIT(&c->exchanges);
	TAILQ_INIT(&c->over);
	TAILQ_INIT(&c->asked);
	TAILQ_INIT(&c->repeats);
	timer_init(&c->drain, c->loop, drain_over, c);
	LIST_INSERT_HEAD(&front->lines, c, entry);
	return c;
}
