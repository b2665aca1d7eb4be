#include <netinet/in.h>
#include <sys/socket.h>

#include <stdio.h>
#include <unistd.h>

#include "callback.h"
#include "log.h"
#include "serve.h"

#define CLIENTS_MAX	16		/* out of FD_RESERVE: one browser with what it opens in advance */
#define BACKLOG		128		/* a crowd before the browser delays it by 128 / 16 * YOUNG */
#define HEAD_MAX	(16 * KIB)	/* a code may be a JWT; cookies of other ports on localhost come along */
#define IDLE		(30 * SEC)
#define YOUNG		(1 * SEC)	/* its request is on the way: not put out for the next one */
#define BACKOFF		(1 * SEC)	/* out of descriptors: somebody must leave first */

#define PATH		"/callback"

struct callback_client {
	TAILQ_ENTRY(callback_client) entry;
	struct callback	*callback;
	struct serve	*serve;
	int64_t		 since;		/* boot ms */
};

struct callback {
	LIST_ENTRY(callback) entry;	/* in `leaving`, once closed */
	struct loop	*loop;
	int		 fd;
	struct event	 ev;
	struct timer	 pause;		/* full or out of descriptors: no accept() until it fires */
	unsigned	 port;
	char		 uri[48];
	char		*upstream;
	struct redirect_expected expected;
	callback_came	 came;
	void		*arg;
	bool		 over;		/* came() was called, or never will be */
	bool		 closed;
	struct callback_client *waiting;	/* for callback_answer(); NULL = nobody */
	TAILQ_HEAD(, callback_client) clients;	/* oldest first */
	unsigned	 nclients;
};

/* Closed ones whose last pages are being read. */
static LIST_HEAD(, callback) leaving = LIST_HEAD_INITIALIZER(leaving);

static void
callback_free(struct callback *cb)
{
	if (cb->closed)
		LIST_REMOVE(cb, entry);
	timer_clear(&cb->pause);
	if (event_initialized(&cb->ev))
		event_del(&cb->ev);
	if (cb->fd != -1)
		close(cb->fd);
	secret_free((char *)cb->expected.state);
	free((char *)cb->expected.issuer);
	free(cb->upstream);
	free(cb);
}

/* Answers */

static void
put_head(struct callback_client *c, int status)
{
	const struct page_field *f;

	serve_head(c->serve, status);
	for (f = page_fields; f->name != NULL; f++)
		serve_field(c->serve, slice_of(f->name), slice_of(f->value));
	if (status == 405)
		serve_field(c->serve, slice_of("Allow"), slice_of("GET, HEAD"));
}

static void
answer(struct callback_client *c, int status, enum page page, const char *upstream,
    const char *detail)
{
	struct buf html = BUF_INIT(0);

	if (page_html(&html, page, upstream, detail) < 0) {
		serve_abort(c->serve);
	} else {
		put_head(c, status);
		serve_head_end(c->serve, HTTP1_LENGTH, html.len);
		serve_write(c->serve, html.p, html.len);
		serve_end(c->serve);
	}
	buf_free(&html);
}

/* To HEAD, where GET would be our redirect: which page it would get is not known yet. */
static void
answer_bare(struct callback_client *c)
{
	put_head(c, 200);
	serve_head_end(c->serve, HTTP1_CHUNKED, 0);
	serve_end(c->serve);
}

/* `why` is ours: the request itself is a secret and not logged. */
static void
refuse(struct callback_client *c, int status, const char *why)
{
	struct callback *cb = c->callback;

	log_debug(cb->upstream, "callback", "a request got %d: %s", status, why);
	answer(c, status, cb->over ? PAGE_EXPIRED : PAGE_STRAY, cb->upstream, NULL);
}

/* Requests */

/* DNS rebinding: a web page may reach us under a name of its own. */
static bool
host_is_ours(const struct callback *cb, struct slice host)
{
	static const char *const names[] = { "127.0.0.1", "localhost" };
	char authority[32];
	size_t i;

	for (i = 0; i < nitems(names); i++) {
		snprintf(authority, sizeof(authority), "%s:%u", names[i], cb->port);
		if (slice_ieq(host, authority))
			return true;
	}
	return false;
}

/* A GET or HEAD while the flow waits. */
static void
receive(struct callback_client *c, struct slice target, bool head)
{
	struct callback *cb = c->callback;
	const size_t n = strlen(PATH "?");
	enum redirect_verdict verdict;
	struct redirect r;

	/* Origin-form alone (RFC 9112 3.2.2 asks for absolute-form, too): no proxy stands before us. */
	if (target.n < n || memcmp(target.p, PATH "?", n) != 0) {
		refuse(c, 400, "another path, or no query");
		return;
	}
	verdict = redirect_parse(target.p + n, target.n - n, &cb->expected, &r);
	if (verdict == REDIRECT_FOREIGN) {
		refuse(c, 400, "no redirect of this login");
	} else if (head) {
		answer_bare(c);
	} else {
		cb->over = true;
		cb->waiting = c;
		cb->came(cb->arg, verdict, &r);
	}
	redirect_free(&r);
}

/* One request for each connection: nobody keeps a place by asking again and again. */
static void
on_request(struct serve *s, const struct http1_head *h)
{
	struct callback_client *c = serve_data(s);
	struct callback *cb = c->callback;
	bool head = slice_eq(h->method, "HEAD");

	serve_drain(s);
	if (!host_is_ours(cb, http1_get(h, "Host"))) {
		/* The name is not for whoever that is. */
		log_debug(cb->upstream, "callback", "a request got 400: a foreign Host");
		answer(c, 400, PAGE_STRAY, NULL, NULL);
	} else if (!head && !slice_eq(h->method, "GET"))
		refuse(c, 405, "another method");
	else if (h->framing == HTTP1_CHUNKED || h->length > 0)
		refuse(c, 413, "it has a body");
	else if (cb->over)
		refuse(c, 400, "the redirect is here already");
	else
		receive(c, h->target, head);
}

static void
on_body(_unused_ struct serve *s, _unused_ const char *p, _unused_ size_t n)
{
}

static void
on_nothing(_unused_ struct serve *s)
{
}

/* The browser left while it waited: the login goes on without it. */
static void
on_gone(struct serve *s)
{
	struct callback_client *c = serve_data(s);

	if (c->callback->waiting == c)
		c->callback->waiting = NULL;
}

/* Connections */

static void
arm(struct callback *cb)
{
	if (cb->closed || cb->pause.at != 0)
		event_del(&cb->ev);
	else if (event_add(&cb->ev, NULL) == -1)
		log_err(cb->upstream, "callback", "%s cannot be watched", cb->uri);
}

static void
pause_over(void *arg)
{
	arm(arg);
}

static void
on_closed(struct serve *s)
{
	struct callback_client *c = serve_data(s);
	struct callback *cb = c->callback;

	TAILQ_REMOVE(&cb->clients, c, entry);
	cb->nclients--;
	free(c);
	if (cb->closed && cb->nclients == 0) {
		callback_free(cb);
		return;
	}
	timer_clear(&cb->pause);
	arm(cb);
}

static const struct serve_handler handler = {
	.request = on_request,
	.body = on_body,
	.body_end = on_nothing,
	.drained = on_nothing,
	.gone = on_gone,
	.closed = on_closed,
};

static void
greet(struct callback *cb, int fd)
{
	static const struct serve_limits limits = {
		.header_bytes = HEAD_MAX,
		.body_bytes = UINT64_MAX,	/* refused with our page */
		.idle_ms = IDLE,
		.secret = true,
	};
	struct callback_client *c;

	c = calloc(1, sizeof(*c));
	if (c == NULL) {
		close(fd);
		return;
	}
	c->callback = cb;
	c->since = loop_now(cb->loop).boot;
	c->serve = serve_open(cb->loop, fd, &limits, &handler, c);
	if (c->serve == NULL) {
		free(c);
		return;
	}
	TAILQ_INSERT_TAIL(&cb->clients, c, entry);
	cb->nclients++;
}

/*
 * All places are taken and somebody knocks: the oldest connection goes (whoever
 * holds one open and asks nothing cannot keep the browser out), but not before
 * it had the time to ask.  The one that waits for its answer stays.
 */
static void
make_room(struct callback *cb)
{
	struct callback_client *c = TAILQ_FIRST(&cb->clients);
	int64_t left;

	if (c == cb->waiting)
		c = TAILQ_NEXT(c, entry);
	left = c->since + YOUNG - loop_now(cb->loop).boot;
	timer_set(&cb->pause, MAX(left, 1));
	if (left <= 0)
		serve_abort(c->serve);
	arm(cb);
}

static void
on_connection(_unused_ evutil_socket_t sock, _unused_ short what, void *arg)
{
	struct callback *cb = arg;
	int fd;

	if (cb->nclients >= CLIENTS_MAX)
		make_room(cb);
	while (cb->nclients < CLIENTS_MAX) {
		fd = accept4(cb->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
		if (fd != -1) {
			greet(cb, fd);
			continue;
		}
		if (errno == EAGAIN)
			return;
		if (errno != EINTR && errno != ECONNABORTED) {
			log_err(cb->upstream, "callback", "accept: %s; browsers wait", strerror(errno));
			timer_set(&cb->pause, BACKOFF);
			arm(cb);
			return;
		}
	}
}

/* Life */

/* RFC 8252 section 8.3: the loopback literal, not localhost, which may be something else. */
static bool
bind_port(struct callback *cb, unsigned port)
{
	struct sockaddr_in sin = {
		.sin_family = AF_INET,
		.sin_port = htons(port),
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK),
	};
	socklen_t n = sizeof(sin);
	int on = 1;

	cb->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	/* A configured port is free again although connections of the last login linger in the kernel. */
	if (cb->fd == -1 ||
	    setsockopt(cb->fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) == -1 ||
	    bind(cb->fd, (const struct sockaddr *)&sin, sizeof(sin)) == -1 ||
	    getsockname(cb->fd, (struct sockaddr *)&sin, &n) == -1 ||
	    listen(cb->fd, BACKLOG) == -1)
		return false;
	cb->port = ntohs(sin.sin_port);
	snprintf(cb->uri, sizeof(cb->uri), "http://127.0.0.1:%u" PATH, cb->port);
	return true;
}

static bool
copy_expected(struct callback *cb, const char *upstream, const struct redirect_expected *e)
{
	cb->expected.iss_required = e->iss_required;
	cb->expected.state = strdup(e->state);
	cb->expected.issuer = e->issuer != NULL ? strdup(e->issuer) : NULL;
	cb->upstream = strdup(upstream);
	return cb->expected.state != NULL && cb->upstream != NULL &&
	    (cb->expected.issuer != NULL) == (e->issuer != NULL);
}

struct callback *
callback_open(struct loop *loop, unsigned port, const char *upstream,
    const struct redirect_expected *expected, callback_came came, void *arg)
{
	struct callback *cb;
	int e;

	cb = calloc(1, sizeof(*cb));
	if (cb == NULL)
		return NULL;
	cb->loop = loop;
	cb->fd = -1;
	cb->came = came;
	cb->arg = arg;
	TAILQ_INIT(&cb->clients);
	timer_init(&cb->pause, loop, pause_over, cb);
	if (!copy_expected(cb, upstream, expected) || !bind_port(cb, port) ||
	    event_assign(&cb->ev, loop->base, cb->fd, EV_READ | EV_PERSIST, on_connection, cb) == -1 ||
	    event_priority_set(&cb->ev, LOOP_NORMAL) == -1) {
		e = errno;
		callback_free(cb);
		errno = e;
		return NULL;
	}
	arm(cb);
	return cb;
}

const char *
callback_uri(const struct callback *cb)
{
	return cb->uri;
}

void
callback_answer(struct callback *cb, enum page page, const char *detail)
{
	struct callback_client *c = cb->waiting;

	cb->waiting = NULL;
	if (c != NULL)
		answer(c, page_status(page), page, cb->upstream, detail);
}

void
callback_close(struct callback *cb)
{
	struct callback_client *c;

	if (cb == NULL)
		return;
	cb->over = cb->closed = true;
	LIST_INSERT_HEAD(&leaving, cb, entry);
	arm(cb);
	close(cb->fd);
	cb->fd = -1;
	callback_answer(cb, PAGE_EXPIRED, NULL);
	if (cb->nclients == 0) {
		callback_free(cb);
		return;
	}
	TAILQ_FOREACH(c, &cb->clients, entry)
		serve_drain(c->serve);
}

void
callback_leave_all(void)
{
	struct callback_client *c;
	struct callback *cb;

	LIST_FOREACH(cb, &leaving, entry)
		TAILQ_FOREACH(c, &cb->clients, entry)
			serve_abort(c->serve);
}
