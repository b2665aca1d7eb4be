#include <unistd.h>

#include "control_impl.h"
#include "log.h"
#include "sessions.h"

#define CLIENTS_MAX	32		/* out of FD_RESERVE: a person and some scripts */
#define HEAD_MAX	(8 * KIB)	/* nobody sends us cookies here */
#define IDLE		(30 * SEC)

/* Answers */

void
control_answer(struct control_client *c, int status, struct buf *json)
{
	if (json->p == NULL || buf_adds(json, "\n") < 0)
		serve_abort(c->serve);
	else
		serve_json(c->serve, status, json->p, json->len, false);
	buf_free(json);
}

void
control_error(struct control_client *c, int status, const char *word, const char *message)
{
	struct buf b = BUF_INIT(0);
	int e = 0;

	e |= buf_addf(&b, "{\"error\":\"%s\",\"message\":", word);
	e |= buf_addjson(&b, message, strlen(message));
	e |= buf_adds(&b, "}");
	if (e < 0)
		buf_free(&b);
	control_answer(c, status, &b);
}

void
control_word(struct control_client *c, int status, const char *word)
{
	struct buf b = BUF_INIT(0);

	if (buf_addf(&b, "{\"status\":\"%s\"}", word) < 0)
		buf_free(&b);
	control_answer(c, status, &b);
}

void
control_begin_lines(struct control_client *c)
{
	serve_head(c->serve, 200);
	serve_field(c->serve, slice_of("Content-Type"), slice_of("application/x-ndjson"));
	serve_field(c->serve, slice_of("Cache-Control"), slice_of("no-store"));
	serve_head_end(c->serve, HTTP1_CHUNKED, 0);
	serve_turn(c->serve);
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

/* Where its own clients connect; null if it has only the shared socket. */
static int
add_socket(struct buf *b, const struct control *c, const struct config_upstream *u)
{
	struct buf path = BUF_INIT(0);
	int e;

	if (u->no_listen || (u->listen == NULL && c->runtime == NULL))
		return buf_adds(b, ",\"socket\":null");
	if (u->listen != NULL)
		return add_text(b, ",\"socket\":", u->listen);
	e = buf_addf(&path, "%s/%s/mcp.sock", c->runtime, u->name);
	if (e == 0)
		e = add_text(b, ",\"socket\":", path.p);
	buf_free(&path);
	return e;
}

/* Where its tokens are kept: of OAuth's alone. */
static int
add_store(struct buf *b, const struct control *c, const struct upstream *u)
{
	char entry[RECORD_STEM];
	int e;

	if (u->config->auth != CONFIG_OAUTH)
		return buf_adds(b, ",\"store\":null");
	record_stem(u->config->name, u->config->url.text, entry, sizeof(entry));
	e = add_text(b, ",\"store\":{\"backend\":", store_backend(c->store));
	e |= add_text(b, ",\"entry\":", entry);
	return e | buf_adds(b, "}");
}

static int
add_upstream(struct buf *b, const struct control *c, const struct upstream *u)
{
	struct upstream_stats st;
	int e = 0;

	upstream_stats(u, &st);
	e |= add_text(b, "{\"name\":", u->config->name);
	e |= add_text(b, ",\"url\":", u->config->url.text);
	e |= add_text(b, ",\"auth\":", auth_word(u->config->auth));
	e |= add_socket(b, c, u->config);
	e |= buf_adds(b, ",\"credential\":");
	if (u->credential != NULL)
		e |= credential_status(u->credential, b);
	else
		e |= buf_adds(b, "null");
	e |= buf_adds(b, ",\"login\":");
	e |= u->login != NULL ? login_status(u->login, b) : buf_adds(b, "null");
	e |= add_store(b, c, u);
	e |= buf_addf(b, ",\"sessions\":%u", sessions_count(u->sessions));
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
	e |= buf_adds(b, ",\"store\":");
	e |= store_status(c->store, b);
	e |= buf_addf(b, ",\"clients\":%u,\"held_bytes\":%zu,\"log_dropped\":%llu,\"draining\":%s",
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
		e |= add_upstream(&b, c->control, f->upstreams[i]);
		first = false;
	}
	e |= buf_adds(&b, "]}");
	if (e < 0)
		buf_free(&b);
	control_answer(c, 200, &b);
}

/* Bodies */

static void
drop_body(struct control_client *c)
{
	c->take = NULL;
	free(c->name);
	c->name = NULL;
	buf_free(&c->body);
}

/* While the body came the upstream may have gone by a reload. */
static void
give_body(struct control_client *c)
{
	control_take take = c->take;

	c->take = NULL;
	take(c, c->name != NULL ? control_find(c->control, slice_of(c->name)) : NULL);
	drop_body(c);
}

void
control_expect(struct control_client *c, const struct http1_head *h, const struct upstream *u,
    control_take take)
{
	c->name = u != NULL ? strdup(u->config->name) : NULL;
	c->take = take;
	if (u != NULL && c->name == NULL) {
		drop_body(c);
		control_error(c, 503, "memory", "out of memory");
	} else if (h->framing == HTTP1_NONE) {
		give_body(c);
	}
}

/* Tokens */

/* credential_import() or credential_remove() has ended. */
static void
token_done(void *arg, const char *why)
{
	struct control_client *c = arg;

	c->busy = NULL;
	if (why == NULL)
		control_word(c, 200, "ok");
	else
		control_error(c, 503, "store", why);
}

static void
token_removed(void *arg, const char *why, struct record **deleted _unused_)
{
	token_done(arg, why);
}

struct upstream *
control_find(const struct control *c, struct slice name)
{
	size_t i;

	for (i = 0; i < c->front->nupstreams; i++)
		if (slice_eq(name, c->front->upstreams[i]->config->name))
			return c->front->upstreams[i];
	return NULL;
}

/* Has it tokens that we keep?  Else that was answered. */
bool
control_takes_tokens(struct control_client *c, const struct upstream *u)
{
	if (u == NULL)
		control_error(c, 404, "unknown_upstream", "no upstream of that name is configured");
	else if (u->credential == NULL || u->config->auth != CONFIG_OAUTH)
		control_error(c, 409, "not_oauth", "this upstream's auth is not oauth: it has no token here");
	else
		return true;
	return false;
}

static void
import_token(struct control_client *c, struct upstream *u)
{
	const char *why = "the token is missing: send it as the body, in JSON";
	struct record *rec = NULL;

	if (c->body.len > 0)
		rec = record_import(c->body.p, c->body.len, loop_now(c->control->front->loop).wall,
		    &why);
	if (rec == NULL) {
		control_error(c, 400, "bad_token", why);
		return;
	}
	if (!control_takes_tokens(c, u)) {
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
		control_error(c, 405, "method", "POST imports a token, DELETE removes it");
	} else if (!control_takes_tokens(c, u)) {
		return;
	} else if (c->control->front->draining) {
		control_error(c, 503, "draining", "the daemon is stopping");
	} else if (!post) {
		c->busy = u->credential;
		credential_remove(u->credential, token_removed, c);
	} else {
		control_expect(c, h, u, import_token);
	}
}

/* Reload */

static void
reload_over(void *arg, const char *why, bool fault)
{
	struct control_client *c = arg;

	c->reloading = false;
	if (why == NULL)
		control_word(c, 200, "ok");
	else
		control_error(c, fault ? 400 : 503, fault ? "bad_config" : "not_reloaded", why);
}

static void
route_reload(struct control_client *c, const struct http1_head *h)
{
	if (!slice_eq(h->method, "POST")) {
		control_error(c, 405, "method", "POST reloads the config");
	} else if (c->control->front->draining) {
		control_error(c, 503, "draining", "the daemon is stopping");
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
		control_error(c, 405, "method", "only GET is known here");
	else if (slice_eq(path, "/healthz") && c->control->front->draining)
		control_word(c, 503, "draining");
	else if (slice_eq(path, "/healthz"))
		control_word(c, 200, "ok");
	else if (under(path, "/v1/status", &name) && name.n > 0 &&
	    (u = control_find(c->control, name)) == NULL)
		control_error(c, 404, "unknown_upstream", "no upstream of that name is configured");
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
		u = control_find(c->control, rest);
		if (u != NULL)
			route_token(c, h, u);
		else
			control_error(c, 404, "unknown_upstream",
			    "no upstream of that name is configured");
	} else if (under(path, "/v1/login", &rest)) {
		control_route_login(c, h, rest);
	} else if (under(path, "/v1/doctor", &rest)) {
		control_route_doctor(c, h, rest);
	} else if (under(path, "/v1/store", &rest)) {
		control_route_store(c, h, rest);
	} else if (under(path, "/v1/logout", &rest)) {
		control_route_logout(c, h, rest);
	} else if (slice_eq(path, "/v1/reload") && c->control->reload != NULL) {
		route_reload(c, h);
	} else if (slice_eq(path, "/v1/reload") || slice_eq(path, "/metrics")) {
		control_error(c, 501, "not_in_this_version", "not in this version");
	} else {
		control_error(c, 404, "not_found",
		    "known are /healthz, /v1/status[/NAME], /v1/doctor/NAME, /v1/login/NAME[/redirect], "
		    "/v1/logout[/NAME], /v1/token/NAME, /v1/store/migrate, /v1/store/rekey and "
		    "/v1/reload");
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

	if (c->take != NULL && buf_add(&c->body, p, n) < 0) {
		drop_body(c);
		control_error(c, 503, "memory", "out of memory");
	}
}

static void
on_body_end(struct serve *s)
{
	struct control_client *c = serve_data(s);

	if (c->take != NULL)
		give_body(c);
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
	control_store_gone(c);
	control_login_gone(c);
	control_doctor_gone(c);
	drop_body(c);
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
