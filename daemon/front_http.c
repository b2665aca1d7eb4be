#include <assert.h>
#include <stdio.h>
#include <unistd.h>

#include <sys/socket.h>

#include "front_http.h"
#include "front_line.h"
#include "hop.h"
#include "log.h"
#include "notify.h"
#include "sessions.h"

#define STRANGERS_EVERY	(10 * SEC)	/* between two lines about who was turned away */


/* Connections of one uid. */
struct front_user {
	LIST_ENTRY(front_user) entry;
	uid_t		 uid;
	unsigned	 clients;
};

struct front_conn {
	LIST_ENTRY(front_conn) entry;
	struct front	*front;
	struct front_user *user;
	struct upstream	*up;		/* of the socket; NULL = shared, or gone by a reload */
	bool		 shared;
	struct serve	*serve;
	bool		 capped;	/* beyond a cap: one answer says so, and it closes */
	struct line_client *line;	/* it speaks lines of JSON; NULL: HTTP */
	/* the current exchange */
	struct relay	*relay;		/* NULL = none */
	struct upstream	*to;
	const char	*method;
	char		*event_id;	/* Last-Event-ID of a GET, NULL if absent */
	bool		 paused;	/* the relay's window is full */
};

static struct front_conn *
conn_of(struct serve *s)
{
	return serve_data(s);
}

/* --- answers of our own --- */

/* One that is no failure of an exchange: {"error": WORD, "message": TEXT}. */
static void
refuse(struct front_conn *c, int status, const char *word, const char *message)
{
	char json[256];
	int n;

	n = snprintf(json, sizeof(json), "{\"error\":\"%s\",\"message\":\"%s\"}", word, message);
	assert(n > 0 && (size_t)n < sizeof(json));
	serve_json(c->serve, status, json, n, c->capped);
}

static void
refuse_method(struct front_conn *c)
{
	static const char json[] = "{\"error\":\"method_not_allowed\","
	    "\"message\":\"MCP uses POST, GET and DELETE\"}";

	serve_head(c->serve, 405);
	serve_field(c->serve, slice_of("Allow"), slice_of("GET, POST, DELETE"));
	serve_field(c->serve, slice_of("Content-Type"), slice_of("application/json"));
	serve_head_end(c->serve, HTTP1_LENGTH, sizeof(json) - 1);
	serve_write(c->serve, json, sizeof(json) - 1);
	serve_end(c->serve);
}

/*
 * A GET stream while only a login (or the breaker's time) helps: one priming
 * event, so that the client polls instead of giving up (design).
 */
static bool
answer_by_poll(struct front_conn *c, const struct failure *f)
{
	_cleanup_(buf_free) struct buf event = BUF_INIT(0);
	int64_t retry = f->retry_ms > 0 ? MAX(f->retry_ms, SEC) : BREAKER_MIN;

	if (strcmp(c->method, "GET") != 0 ||
	    (f->reason != REASON_LOGIN_REQUIRED && f->reason != REASON_BEARER_REJECTED))
		return false;
	if (c->event_id != NULL && buf_addf(&event, "id: %s\n", c->event_id) < 0)
		return false;
	if (buf_addf(&event, "retry: %lld\ndata: \n\n", (long long)retry) < 0)
		return false;
	serve_head(c->serve, 200);
	serve_field(c->serve, slice_of("Content-Type"), slice_of("text/event-stream"));
	serve_field(c->serve, slice_of("Cache-Control"), slice_of("no-cache"));
	serve_head_end(c->serve, HTTP1_LENGTH, event.len);
	serve_write(c->serve, event.p, event.len);
	serve_end(c->serve);
	return true;
}

static void
answer_failure(struct front_conn *c, const struct failure *f, const struct jsonrpc *rpc)
{
	_cleanup_(buf_free) struct buf json = BUF_INIT(0);
	char seconds[24];

	if (answer_by_poll(c, f))
		return;
	if (failure_json(&json, f, c->to->config->name, rpc) < 0) {
		serve_abort(c->serve);
		return;
	}
	serve_head(c->serve, failure_status(c->method, rpc));
	serve_field(c->serve, slice_of("Content-Type"), slice_of("application/json"));
	if (f->retry_ms > 0) {
		snprintf(seconds, sizeof(seconds), "%lld", (long long)((f->retry_ms + SEC - 1) / SEC));
		serve_field(c->serve, slice_of("Retry-After"), slice_of(seconds));
	}
	serve_head_end(c->serve, HTTP1_LENGTH, json.len);
	serve_write(c->serve, json.p, json.len);
	serve_end(c->serve);
}

/* --- the relay's sink --- */

/* The relay has gone; what is left of the request's body is serve's to drop. */
static void
relay_gone(struct front_conn *c)
{
	c->relay = NULL;
	if (!c->paused)
		return;
	c->paused = false;
	serve_resume(c->serve);
}

static void
forget_event_id(struct front_conn *c)
{
	free(c->event_id);
	c->event_id = NULL;
}

static void
on_head(void *arg, const struct http1_head *h)
{
	struct front_conn *c = arg;
	const struct http1_field *f;

	serve_head(c->serve, h->status);
	for (f = h->fields; f < h->fields + h->nfields; f++)
		if (hop_down(h, f))
			serve_field(c->serve, f->name, f->value);
	serve_head_end(c->serve, h->framing, h->length);
}

static bool
on_data(void *arg, const char *p, size_t n)
{
	return serve_write(((struct front_conn *)arg)->serve, p, n);
}

static void
on_turn(void *arg)
{
	serve_turn(((struct front_conn *)arg)->serve);
}

static void
on_end(void *arg)
{
	struct front_conn *c = arg;

	relay_gone(c);
	forget_event_id(c);
	serve_end(c->serve);
}

static void
on_fail(void *arg, const struct failure *f, const struct jsonrpc *rpc, bool headed)
{
	struct front_conn *c = arg;

	relay_gone(c);
	if (headed)
		serve_abort(c->serve);
	else
		answer_failure(c, f, rpc);
	forget_event_id(c);
}

static void
on_more(void *arg)
{
	struct front_conn *c = arg;

	if (!c->paused)
		return;
	c->paused = false;
	serve_resume(c->serve);
}

static const struct sink_ops sink_ops = {
	.head = on_head,
	.data = on_data,
	.turn = on_turn,
	.end = on_end,
	.fail = on_fail,
	.more = on_more,
};

/* --- where a request may go --- */

static const char *
method_of(const struct http1_head *h)
{
	static const char *const methods[] = { "POST", "GET", "DELETE" };

	for (size_t i = 0; i < nitems(methods); i++)
		if (slice_eq(h->method, methods[i]))
			return methods[i];
	return NULL;
}

static struct slice
slice_from(struct slice s, size_t from)
{
	return (struct slice){ s.p + from, s.n - from };
}

/* Splits an absolute-form target or an Origin: behind "://" up to a slash, and the rest. */
static bool
split_absolute(struct slice target, struct slice *ret_authority, struct slice *ret_path)
{
	const char *at = memmem(target.p, target.n, "://", 3);
	struct slice rest;
	size_t n = 0;

	if (at == NULL || target.p[0] == '/')
		return false;
	rest = slice_from(target, at - target.p + 3);
	while (n < rest.n && rest.p[n] != '/' && rest.p[n] != '?')
		n++;
	*ret_authority = (struct slice){ rest.p, n };
	*ret_path = slice_from(rest, n);
	return true;
}

/* Without port and brackets. */
static struct slice
host_of(struct slice authority)
{
	const char *end;

	if (authority.n > 0 && authority.p[0] == '[') {
		end = memchr(authority.p, ']', authority.n);
		if (end != NULL)
			return (struct slice){ authority.p + 1, end - authority.p - 1 };
		return authority;
	}
	end = memchr(authority.p, ':', authority.n);
	if (end != NULL)
		authority.n = end - authority.p;
	return authority;
}

static bool
is_listed(char **list, struct slice authority, struct slice host)
{
	for (; list != NULL && *list != NULL; list++)
		if (slice_ieq(host, *list) || slice_ieq(authority, *list))
			return true;
	return false;
}

/* WIRE L15.  `to` may be NULL if the path names no upstream. */
static bool
host_allowed(const struct front *front, const struct upstream *to, struct slice authority)
{
	struct slice host;

	if (authority.n == 0)
		return true;
	host = host_of(authority);
	if (host_is_loopback(host.p, host.n) ||
	    (memchr(host.p, '.', host.n) == NULL && memchr(host.p, ':', host.n) == NULL))
		return true;
	return (to != NULL && slice_ieq(host, to->config->url.host)) ||
	    is_listed(front->config->socket.hosts, authority, host);
}

static bool
origin_allowed(const struct http1_head *h)
{
	const struct http1_field *f;
	struct slice authority, path, host;
	size_t i = 0;

	while ((f = http1_next(h, "Origin", &i)) != NULL) {
		if (!split_absolute(f->value, &authority, &path))
			return false;
		host = host_of(authority);
		if (!host_is_loopback(host.p, host.n))
			return false;
	}
	return true;
}

/* The shared socket: the first path segment is the name. */
static struct upstream *
upstream_named(const struct front *front, struct slice path)
{
	size_t n = 0;

	if (path.n == 0 || path.p[0] != '/')
		return NULL;
	path = slice_from(path, 1);
	while (n < path.n && path.p[n] != '/' && path.p[n] != '?')
		n++;
	path.n = n;
	for (size_t i = 0; i < front->nupstreams; i++)
		if (slice_eq(path, front->upstreams[i]->config->name))
			return front->upstreams[i];
	return NULL;
}

/* Answers and returns false, or sets method and upstream of the exchange. */
static bool
admit(struct front_conn *c, const struct http1_head *h)
{
	struct slice authority = http1_get(h, "Host"), path = h->target;

	split_absolute(h->target, &authority, &path);
	c->method = method_of(h);
	c->to = c->shared ? upstream_named(c->front, path) : c->up;
	if (!origin_allowed(h))
		refuse(c, 403, "origin", "requests of web pages are not accepted");
	else if (!host_allowed(c->front, c->to, authority))
		refuse(c, 403, "host", "this Host is not accepted: see socket.hosts in the config");
	else if (c->method == NULL)
		refuse_method(c);
	else if (c->to == NULL)
		refuse(c, 404, "unknown_upstream", "the first part of the path must be the "
		    "name of a configured upstream");
	else
		return true;
	return false;
}

/* Our own uid, root, and who is configured: whatever the socket's mode lets in. */
static bool
is_allowed(const struct front *front, uid_t uid)
{
	if (uid == geteuid() || uid == 0)
		return true;
	for (size_t i = 0; i < front->nallowed; i++)
		if (front->allowed[i] == uid)
			return true;
	return false;
}

/* Sessions belong to the uid that opened them; to anybody else they are lost. */
static bool
owns_session(struct front_conn *c, const struct http1_head *h)
{
	static const char json[] = "{\"jsonrpc\":\"2.0\",\"id\":null,\"error\":{\"code\":-31000,"
	    "\"message\":\"no such session\"}}";
	const struct http1_field *f;
	size_t i = 0;

	while ((f = http1_next(h, "Mcp-Session-Id", &i)) != NULL) {
		if (sessions_may(c->to->sessions, f->value, serve_peer(c->serve)->uid))
			continue;
		serve_json(c->serve, 404, json, sizeof(json) - 1, c->capped);
		return false;
	}
	return true;
}

/* --- the serve handler --- */

static void
keep_event_id(struct front_conn *c, const struct http1_head *h)
{
	struct slice id;

	if (strcmp(c->method, "GET") != 0)
		return;
	id = http1_get(h, "Last-Event-ID");
	if (id.n > 0 && id.n <= (size_t)EVENT_ID_BYTES)
		c->event_id = strndup(id.p, id.n);
}

/* Whose turn it is (round-robin): the connections of one process share theirs.  0 = its pid cannot be told. */
static uint64_t
client_of(const struct serve *s)
{
	const struct serve_peer *peer = serve_peer(s);

	return peer->pid > 0 ? (uint64_t)peer->pid : (uint64_t)1 << 32 | serve_id(s);
}

/* Why nothing is carried for this connection; NULL: it is served. */
static const struct failure *
refusal_of(const struct front_conn *c)
{
	static const struct failure draining = { .reason = REASON_DRAINING };
	static const struct failure limit = { .reason = REASON_LIMIT,
	    .detail = "too many connections" };

	return c->front->draining ? &draining : c->capped ? &limit : NULL;
}

static void
on_request(struct serve *s, const struct http1_head *h)
{
	struct front_conn *c = conn_of(s);
	struct relay_request q = { .head = h, .client = client_of(s),
	    .uid = serve_peer(s)->uid };
	const struct failure *refusal = refusal_of(c);

	if (!is_allowed(c->front, serve_peer(s)->uid)) {
		serve_abort(s);		/* since a reload */
		return;
	}
	if (c->capped)
		serve_drain(s);		/* its only one */
	if (!admit(c, h) || !owns_session(c, h))
		return;
	q.method = c->method;
	keep_event_id(c, h);
	c->relay = refusal != NULL ? relay_refuse(c->to, &q, refusal, &sink_ops, c) :
	    relay_begin(c->to, &q, &sink_ops, c);
	if (c->relay == NULL) {
		forget_event_id(c);
		refuse(c, 503, "limit", "out of memory");
	}
}

static void
on_body(struct serve *s, const char *p, size_t n)
{
	struct front_conn *c = conn_of(s);

	if (c->relay == NULL || !relay_body(c->relay, p, n) || c->paused)
		return;
	c->paused = true;
	serve_pause(s);
}

static void
on_body_end(struct serve *s)
{
	struct front_conn *c = conn_of(s);

	if (c->relay != NULL)
		relay_body_end(c->relay);
}

static void
on_drained(struct serve *s)
{
	struct front_conn *c = conn_of(s);

	if (c->line != NULL)
		front_line_drained(c->line);
	else if (c->relay != NULL)
		relay_drained(c->relay);
}

/* M7: the client has left, so the upstream is left at once. */
static void
on_gone(struct serve *s)
{
	struct front_conn *c = conn_of(s);

	if (c->line != NULL)
		front_line_gone(c->line);
	if (c->relay != NULL)
		relay_abandon(c->relay);
	c->relay = NULL;
	c->paused = false;
	forget_event_id(c);
}

static void
leave_user(struct front *front, struct front_user *u)
{
	front->clients--;
	notify_changed();
	if (u == NULL || --u->clients > 0)
		return;
	LIST_REMOVE(u, entry);
	free(u);
}

static void
on_closed(struct serve *s)
{
	struct front_conn *c = conn_of(s);

	if (c->line != NULL)
		front_line_closed(c->line);
	if (c->relay != NULL)
		relay_abandon(c->relay);
	LIST_REMOVE(c, entry);
	leave_user(c->front, c->user);
	free(c->event_id);
	free(c);
}

/* The shared socket cannot tell where a line is to go. */
static void
refuse_lines(struct serve *s)
{
	static const char json[] = "{\"jsonrpc\":\"2.0\",\"id\":null,\"error\":{\"code\":-32600,"
	    "\"message\":\"Invalid Request: lines of JSON need the socket of one upstream, "
	    "NAME/mcp.sock; this one is shared\"}}";

	serve_line(s, json, sizeof(json) - 1);
	serve_close(s);
}

static size_t
on_lines(struct serve *s, const char *p, size_t n)
{
	struct front_conn *c = conn_of(s);

	if (!is_allowed(c->front, serve_peer(s)->uid)) {
		serve_abort(s);		/* since a reload */
		return n;
	}
	if (c->line == NULL && c->up == NULL) {
		if (n > 0)
			refuse_lines(s);
		return n;
	}
	if (c->line == NULL)
		c->line = front_line_open(c->front, c->up, s, refusal_of(c));
	if (c->line != NULL)
		return front_line_feed(c->line, p, n);
	serve_abort(s);
	return n;
}

static const struct serve_handler handler = {
	.request = on_request,
	.body = on_body,
	.body_end = on_body_end,
	.drained = on_drained,
	.gone = on_gone,
	.closed = on_closed,
	.lines = on_lines,
};

/* --- connections --- */

static struct front_user *
user_of(struct front *front, uid_t uid)
{
	struct front_user *u;

	LIST_FOREACH(u, &front->users, entry) {
		if (u->uid == uid)
			return u;
	}
	u = calloc(1, sizeof(*u));
	if (u == NULL)
		return NULL;
	u->uid = uid;
	LIST_INSERT_HEAD(&front->users, u, entry);
	return u;
}

static struct serve *
open_serve(struct front_conn *c, int fd)
{
	const struct config *config = c->front->config;
	struct serve_limits limits = {
		.header_bytes = config->limits.header_bytes,
		.body_bytes = config->limits.body_bytes,
		.idle_ms = config->limits.idle,
	};

	return serve_open(c->front->loop, fd, &limits, &handler, c);
}

static void
turn_away(struct front *front, uid_t uid)
{
	int64_t now = loop_now(front->loop).boot;

	front->strangers++;
	if (front->strangers_said != 0 && now - front->strangers_said < STRANGERS_EVERY)
		return;
	log_warn(NULL, "stranger", "uid %u may not connect: it is not in socket.allowUsers "
	    "(%u turned away)", (unsigned)uid, front->strangers);
	front->strangers = 0;
	front->strangers_said = now;
}

static bool
may_talk(struct front *front, int fd)
{
	struct ucred cred;
	socklen_t n = sizeof(cred);

	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &n) == -1)
		return false;
	if (is_allowed(front, cred.uid))
		return true;
	turn_away(front, cred.uid);
	return false;
}

void
front_http_open(struct front *front, struct upstream *up, int fd)
{
	const struct config *config = front->config;
	struct front_conn *c;

	if (!may_talk(front, fd) || front->clients >= config->limits.clients + FRONT_REFUSED ||
	    (c = calloc(1, sizeof(*c))) == NULL) {
		close(fd);
		return;
	}
	c->front = front;
	c->up = up;
	c->shared = up == NULL;
	c->serve = open_serve(c, fd);
	if (c->serve == NULL) {
		free(c);
		return;
	}
	c->user = user_of(front, serve_peer(c->serve)->uid);
	if (c->user != NULL)
		c->user->clients++;
	front->clients++;
	notify_changed();
	c->capped = c->user == NULL || front->clients > config->limits.clients ||
	    c->user->clients > config->limits.clients_per_user;
	if (c->capped)
		log_debug(up != NULL ? up->config->name : NULL, "clients",
		    "too many connections: %u", front->clients);
	LIST_INSERT_HEAD(&front->conns, c, entry);
}

void
front_http_drain(struct front *front)
{
	struct front_conn *c, *next;

	front->draining = true;
	for (c = LIST_FIRST(&front->conns); c != NULL; c = next) {
		next = LIST_NEXT(c, entry);
		serve_drain(c->serve);
	}
	front_line_drain(front);
}

void
front_http_redirect(struct front *front, const struct upstream *from, struct upstream *to)
{
	struct front_conn *c, *next;

	for (c = LIST_FIRST(&front->conns); c != NULL; c = next) {
		next = LIST_NEXT(c, entry);
		if (c->up != from || c->shared)
			continue;
		c->up = to;
		if (to == NULL)
			serve_drain(c->serve);
	}
	front_line_redirect(front, from, to);
}

void
front_http_close_all(struct front *front)
{
	struct front_conn *c, *next;

	for (c = LIST_FIRST(&front->conns); c != NULL; c = next) {
		next = LIST_NEXT(c, entry);
		if (c->relay != NULL)
			relay_abandon(c->relay);
		c->relay = NULL;
		serve_abort(c->serve);
	}
	front_line_close_all(front);
}
