#include <unistd.h>

#include "control.h"
#include "credential.h"
#include "log.h"

#define CLIENTS_MAX	32		/* out of FD_RESERVE: a person and some scripts */
#define HEAD_MAX	(8 * KIB)	/* nobody sends us cookies here */
#define IDLE		(30 * SEC)

/* One connection, and the one request that it has under way. */
struct control_client {
	LIST_ENTRY(control_client) entry;
	struct control	*control;
	struct serve	*serve;
	char		*importing;	/* the body is a token for this upstream */
	struct credential *busy;	/* will call done() */
	bool		 reloading;
	struct buf	 body;
};

/* Answers */

static void
answer(struct control_client *c, int status, struct buf *json)
{
	if (json->p == NULL || buf_adds(json, "\n") < 0)
		serve_abort(c->serve);
	else
		serve_json(c->serve, status, json->p, json->len, false);
	buf_free(json);
}

static void
answer_error(struct control_client *c, int status, const char *word, const char *message)
{
	struct buf b = BUF_INIT(0);
	int e = 0;

	e |= buf_addf(&b, "{\"error\":\"%s\",\"message\":", word);
	e |= buf_addjson(&b, message, strlen(message));
	e |= buf_adds(&b, "}");
	if (e < 0)
		buf_free(&b);
	answer(c, status, &b);
}

static void
answer_status_word(struct control_client *c, int status, const char *word)
{
	struct buf b = BUF_INIT(0);

	if (buf_addf(&b, "{\"status\":\"%s\"}", word) < 0)
		buf_free(&b);
	answer(c, status, &b);
}

/* Status */

static int
add_text(struct buf *b, const char *before, const char *text)
{
	int e = buf_adds(b, before);

	return e | buf_addjson(b, text, strlen(text));
}

static const char *
auth_word(enum config_auth auth)
{
	switch (auth) {
	case CONFIG_OAUTH:
		return "oauth";
	case CONFIG_BEARER:
		return "bearer";
	case CONFIG_NONE:
		return "none";
	}
	abort();
}

static int
add_upstream(struct buf *b, const struct upstream *u)
{
	struct upstream_stats st;
	int e = 0;

	upstream_stats(u, &st);
	e |= add_text(b, "{\"name\":", u->config->name);
	e |= add_text(b, ",\"url\":", u->config->url.text);
	e |= add_text(b, ",\"auth\":", auth_word(u->config->auth));
	e |= buf_adds(b, ",\"credential\":");
	if (u->credential != NULL)
		e |= credential_status(u->credential, b);
	else
		e |= buf_adds(b, "null");
	e |= buf_addf(b, ",\"links\":{\"open\":%u,\"idle\":%u,\"queued\":%u,\"streams\":%u,"
	    "\"opened\":%llu,\"reused\":%llu}", st.links, st.idle, st.queued, st.streams,
	    (unsigned long long)st.opened, (unsigned long long)st.reused);
	e |= buf_addf(b, ",\"exchanges\":%llu,\"active\":%u}",
	    (unsigned long long)u->exchanges, u->active);
	return e;
}

static int
add_daemon(struct buf *b, const struct control *c)
{
	int64_t up = loop_now(c->front->loop).boot - c->started;
	int e = 0;

	e |= add_text(b, "{\"version\":", c->version);
	e |= buf_addf(b, ",\"pid\":%ld,\"uptime_s\":%lld", (long)getpid(), (long long)(up / SEC));
	e |= add_text(b, ",\"store\":{\"backend\":", store_backend(c->store));
	e |= add_text(b, ",\"path\":", store_path(c->store));
	e |= buf_addf(b, "},\"clients\":%u,\"held_bytes\":%zu,\"log_dropped\":%llu,\"draining\":%s",
	    c->front->clients, relay_held(), (unsigned long long)log_dropped(),
	    c->front->draining ? "true" : "false");
	return e;
}

/* `only` NULL: all. */
static void
answer_status(struct control_client *c, const struct upstream *only)
{
	const struct front *f = c->control->front;
	struct buf b = BUF_INIT(0);
	bool first = true;
	size_t i;
	int e;

	e = add_daemon(&b, c->control);
	e |= buf_adds(&b, ",\"upstreams\":[");
	for (i = 0; i < f->nupstreams; i++) {
		if (only != NULL && f->upstreams[i] != only)
			continue;
		e |= buf_adds(&b, first ? "" : ",");
		e |= add_upstream(&b, f->upstreams[i]);
		first = false;
	}
	e |= buf_adds(&b, "]}");
	if (e < 0)
		buf_free(&b);
	answer(c, 200, &b);
}

/* Tokens */

static void
stop_importing(struct control_client *c)
{
	free(c->importing);
	c->importing = NULL;
	buf_free(&c->body);
}

/* credential_import() or credential_remove() has ended. */
static void
token_done(void *arg, const char *why)
{
	struct control_client *c = arg;

	c->busy = NULL;
	if (why == NULL)
		answer_status_word(c, 200, "ok");
	else
		answer_error(c, 503, "store", why);
}

static struct upstream *
find_upstream(const struct control *c, struct slice name)
{
	size_t i;

	for (i = 0; i < c->front->nupstreams; i++)
		if (slice_eq(name, c->front->upstreams[i]->config->name))
			return c->front->upstreams[i];
	return NULL;
}

/* Has it tokens that we keep?  Else that was answered. */
static bool
takes_tokens(struct control_client *c, const struct upstream *u)
{
	if (u == NULL)
		answer_error(c, 404, "unknown_upstream", "no upstream of that name is configured");
	else if (u->credential == NULL || u->config->auth != CONFIG_OAUTH)
		answer_error(c, 409, "not_oauth", "this upstream's auth is not oauth: it has no token here");
	else
		return true;
	return false;
}

/* While the body came the upstream may have gone by a reload. */
static void
import_token(struct control_client *c)
{
	struct upstream *u = find_upstream(c->control, slice_of(c->importing));
	const char *why = "an empty body";
	struct record *rec = NULL;

	if (c->body.len > 0)
		rec = record_import(c->body.p, c->body.len, loop_now(c->control->front->loop).wall,
		    &why);
	stop_importing(c);
	if (rec == NULL) {
		answer_error(c, 400, "bad_token", why);
		return;
	}
	if (!takes_tokens(c, u)) {
		record_free(rec);
		return;
	}
	c->busy = u->credential;
	credential_import(u->credential, rec, token_done, c);
}

static void
route_token(struct control_client *c, const struct http1_head *h, struct upstream *u)
{
	bool post = slice_eq(h->method, "POST");

	if (!post && !slice_eq(h->method, "DELETE")) {
		answer_error(c, 405, "method", "POST imports a token, DELETE removes it");
	} else if (!takes_tokens(c, u)) {
		return;
	} else if (c->control->front->draining) {
		answer_error(c, 503, "draining", "the daemon is stopping");
	} else if (!post) {
		c->busy = u->credential;
		credential_remove(u->credential, token_done, c);
	} else if (h->framing == HTTP1_NONE) {
		answer_error(c, 400, "bad_token", "the token is missing: send it as the body, in JSON");
	} else if ((c->importing = strdup(u->config->name)) == NULL) {
		answer_error(c, 503, "memory", "out of memory");
	}
}

/* Reload */

static void
reload_over(void *arg, const char *why, bool fault)
{
	struct control_client *c = arg;

	c->reloading = false;
	if (why == NULL)
		answer_status_word(c, 200, "ok");
	else
		answer_error(c, fault ? 400 : 503, fault ? "bad_config" : "not_reloaded", why);
}

static void
route_reload(struct control_client *c, const struct http1_head *h)
{
	if (!slice_eq(h->method, "POST")) {
		answer_error(c, 405, "method", "POST reloads the config");
	} else if (c->control->front->draining) {
		answer_error(c, 503, "draining", "the daemon is stopping");
	} else {
		c->reloading = true;
		reload_begin(c->control->reload, reload_over, c);
	}
}

/* Routes */

/* Cuts `prefix` and a slash off; what remains may be empty. */
static bool
under(struct slice path, const char *prefix, struct slice *ret_rest)
{
	size_t n = strlen(prefix);

	if (path.n < n || memcmp(path.p, prefix, n) != 0)
		return false;
	*ret_rest = (struct slice){ path.p + n, path.n - n };
	if (ret_rest->n == 0)
		return true;
	if (ret_rest->p[0] != '/')
		return false;
	ret_rest->p++;
	ret_rest->n--;
	return true;
}

static void
route_get(struct control_client *c, const struct http1_head *h, struct slice path)
{
	struct upstream *u = NULL;
	struct slice name;

	if (!slice_eq(h->method, "GET") && !slice_eq(h->method, "HEAD"))
		answer_error(c, 405, "method", "only GET is known here");
	else if (slice_eq(path, "/healthz") && c->control->front->draining)
		answer_status_word(c, 503, "draining");
	else if (slice_eq(path, "/healthz"))
		answer_status_word(c, 200, "ok");
	else if (under(path, "/v1/status", &name) && name.n > 0 &&
	    (u = find_upstream(c->control, name)) == NULL)
		answer_error(c, 404, "unknown_upstream", "no upstream of that name is configured");
	else
		answer_status(c, u);
}

static void
route(struct control_client *c, const struct http1_head *h)
{
	struct slice path = h->target, rest;
	const char *query = memchr(path.p, '?', path.n);
	struct upstream *u;

	if (query != NULL)
		path.n = query - path.p;
	if (slice_eq(path, "/healthz") || under(path, "/v1/status", &rest)) {
		route_get(c, h, path);
	} else if (under(path, "/v1/token", &rest)) {
		u = find_upstream(c->control, rest);
		if (u != NULL)
			route_token(c, h, u);
		else
			answer_error(c, 404, "unknown_upstream",
			    "no upstream of that name is configured");
	} else if (slice_eq(path, "/v1/reload") && c->control->reload != NULL) {
		route_reload(c, h);
	} else if (slice_eq(path, "/v1/reload") || slice_eq(path, "/metrics")) {
		answer_error(c, 501, "not_in_this_version", "not in this version");
	} else {
		answer_error(c, 404, "not_found",
		    "known are /healthz, /v1/status[/NAME], /v1/token/NAME and /v1/reload");
	}
}

/* Handler */

static void
on_request(struct serve *s, const struct http1_head *h)
{
	route(serve_data(s), h);
}

static void
on_body(struct serve *s, const char *p, size_t n)
{
	struct control_client *c = serve_data(s);

	if (c->importing != NULL && buf_add(&c->body, p, n) < 0) {
		stop_importing(c);
		answer_error(c, 503, "memory", "out of memory");
	}
}

static void
on_body_end(struct serve *s)
{
	struct control_client *c = serve_data(s);

	if (c->importing != NULL)
		import_token(c);
}

/* The work goes on: the token was given to us whole. */
static void
on_gone(struct serve *s)
{
	struct control_client *c = serve_data(s);

	if (c->busy != NULL)
		credential_forget(c->busy, c);
	c->busy = NULL;
	if (c->reloading)
		reload_forget(c->control->reload, c);
	c->reloading = false;
	stop_importing(c);
}

static void
on_drained(_unused_ struct serve *s)
{
}

static void
on_closed(struct serve *s)
{
	struct control_client *c = serve_data(s);

	on_gone(s);
	LIST_REMOVE(c, entry);
	c->control->clients--;
	free(c);
}

static const struct serve_handler handler = {
	.request = on_request,
	.body = on_body,
	.body_end = on_body_end,
	.drained = on_drained,
	.gone = on_gone,
	.closed = on_closed,
};

void
control_init(struct control *c)
{
	LIST_INIT(&c->list);
	c->clients = 0;
	c->started = loop_now(c->front->loop).boot;
}

void
control_open(struct control *control, int fd)
{
	static const struct serve_limits limits = {
		.header_bytes = HEAD_MAX,
		.body_bytes = RECORD_BYTES,
		.idle_ms = IDLE,
		.secret = true,
	};
	struct control_client *c;
	uid_t uid;

	c = control->clients < CLIENTS_MAX ? calloc(1, sizeof(*c)) : NULL;
	if (c == NULL) {
		log_warn(NULL, "control", "a connection was closed: %u are open", control->clients);
		close(fd);
		return;
	}
	c->control = control;
	c->body = BUF_SECRET(RECORD_BYTES);
	c->serve = serve_open(control->front->loop, fd, &limits, &handler, c);
	if (c->serve == NULL) {
		free(c);
		return;
	}
	LIST_INSERT_HEAD(&control->list, c, entry);
	control->clients++;
	uid = serve_peer(c->serve)->uid;
	if (uid != geteuid() && uid != 0) {
		log_warn(NULL, "control", "uid %u was turned away", (unsigned)uid);
		serve_abort(c->serve);
	}
}

void
control_close_all(struct control *control)
{
	struct control_client *c;

	LIST_FOREACH(c, &control->list, entry)
		serve_abort(c->serve);
}
