#include <stdio.h>

#include "buf.h"
#include "pool.h"

#define INTERIM_MAX	16	/* 1xx heads before the answer: more is a server gone wrong */

enum state {
	WAITING,		/* queued, or the link is connecting */
	GRANTED,		/* a link is there, ready() is deferred */
	HEAD,			/* ready() was called: request out, answer's head in */
	BODY,
	DONE,			/* end() or fail() was called; no link any more */
	CLOSED			/* dies at the end of the turn */
};

struct call {
	struct place	 place;		/* first: a place of a call is the call */
	struct loop	*loop;
	const struct call_ops *ops;
	void		*arg;
	const char	*method;
	enum state	 state;
	bool		 deferred;	/* wake() is deferred */
	bool		 sent;
	bool		 paused;
	bool		 reusable;	/* the head allows it */
	bool		 answered;	/* a byte of the answer came */
	uint64_t	 written;
	int64_t		 keep_ms;
	struct buf	 head;		/* a head that did not come in one read */
	size_t		 scanned;
	unsigned	 interim;
	struct http1_body body;
	struct failure	 failure;	/* reason set: wake() shall fail() */
};

/* Every way to fail ends here.  The callback may close the call. */
static void
call_fail(struct call *c, enum reason reason, const char *detail)
{
	struct failure failure = { .reason = reason };

	snprintf(failure.detail, sizeof(failure.detail), "%s", detail);
	c->state = DONE;
	pool_leave(&c->place);
	c->ops->fail(c->arg, &failure, c->written);
}

/* What was not to happen inside call_open() or the pool. */
static void
wake(void *arg)
{
	struct call *c = arg;
	char detail[sizeof(c->failure.detail)];

	c->deferred = false;
	if (c->state == DONE || c->state == CLOSED)
		return;
	if (c->failure.reason != REASON_NONE) {
		memcpy(detail, c->failure.detail, sizeof(detail));
		call_fail(c, c->failure.reason, detail);
	} else if (c->state == GRANTED) {
		c->state = HEAD;
		c->ops->ready(c->arg);
	}
}

static void
call_wake(struct call *c)
{
	if (c->deferred)
		return;
	c->deferred = true;
	loop_defer(c->loop, wake, c);
}

static void
fail_later(struct call *c, enum reason reason, const char *detail)
{
	c->failure.reason = reason;
	snprintf(c->failure.detail, sizeof(c->failure.detail), "%s", detail);
	call_wake(c);
}

/* The link of the place is set: wait for up(), or go on. */
static void
granted(struct place *place)
{
	struct call *c = (struct call *)place;

	if (place->conn == NULL) {
		fail_later(c, REASON_UPSTREAM_UNREACHABLE, "out of memory");
		return;
	}
	if (c->paused)
		link_pause(place->conn->link);
	if (place->conn->reused) {
		c->state = GRANTED;
		call_wake(c);
	}
}

static void
suspended(struct place *place)
{
	fail_later((struct call *)place, REASON_UPSTREAM_UNREACHABLE,
	    "the machine was suspended");
}

static const struct place_ops place_ops = {
	.granted = granted,
	.suspended = suspended,
};

static void
ask(struct call *c)
{
	int e;

	c->state = WAITING;
	e = pool_ask(&c->place);
	if (e > 0)
		granted(&c->place);
	else if (e == -EBUSY)
		fail_later(c, REASON_LIMIT, "too many streams are open");
	else if (e < 0)
		fail_later(c, REASON_UPSTREAM_UNREACHABLE, "out of memory");
}

/*
 * The answer is complete.  The link goes back at once: whoever waits for one
 * need not wait for call_close().
 */
static void
complete(struct call *c, bool extra)
{
	c->state = DONE;
	if (c->paused)
		link_resume(c->place.conn->link);
	if (c->reusable && c->sent && !extra)
		pool_return(&c->place, c->keep_ms);
	else
		pool_leave(&c->place);
	c->ops->end(c->arg);
}

static void
take_body(struct call *c, const char *p, size_t n)
{
	enum http1_error error = HTTP1_OK;
	struct slice data;
	ssize_t took;

	while (n > 0 && !c->body.done) {
		took = http1_body(&c->body, p, n, &data, &error);
		if (took < 0) {
			call_fail(c, REASON_UPSTREAM_MALFORMED, http1_strerror(error));
			return;
		}
		p += took;
		n -= took;
		if (data.n == 0)
			continue;
		c->ops->data(c->arg, data.p, data.n);
		if (c->state != BODY)
			return;
	}
	if (c->body.done)
		complete(c, n > 0);
}

/* How long the server says that it keeps an idle connection, less 1 s for the way there (FACTS). */
static int64_t
keep_alive_ms(const struct http1_head *h)
{
	static const char name[] = "timeout=";
	struct slice v = http1_get(h, "Keep-Alive");
	int64_t s = 0;
	size_t i;

	for (i = 0; i + sizeof(name) - 1 < v.n; i++)
		if (strncasecmp(v.p + i, name, sizeof(name) - 1) == 0)
			break;
	if (i + sizeof(name) - 1 >= v.n)
		return IDLE_LINK;
	for (i += sizeof(name) - 1; i < v.n && v.p[i] >= '0' && v.p[i] <= '9' && s < 1000; i++)
		s = s * 10 + (v.p[i] - '0');
	return MAX(MIN(s * SEC - SEC, IDLE_LINK), 0);
}

static void
begin_body(struct call *c, const struct http1_head *h, const char *p, size_t n)
{
	c->state = BODY;
	c->reusable = h->keep_alive && h->framing != HTTP1_EOF;
	c->keep_ms = keep_alive_ms(h);
	http1_body_init(&c->body, h->framing, h->length);
	c->ops->head(c->arg, h);
	if (c->state == BODY)
		take_body(c, p, n);
}

/* Keeps what is left of an incomplete head. */
static int
keep_head(struct call *c, const char *p, size_t n)
{
	if (c->head.len == 0)
		return n > 0 ? buf_add(&c->head, p, n) : 0;
	buf_consume(&c->head, c->head.len - n);
	return 0;
}

static void
take_head(struct call *c, const char *p, size_t n)
{
	enum http1_error error = HTTP1_OK;
	struct http1_head h;
	int r;

	if (c->head.len > 0) {
		if (buf_add(&c->head, p, n) < 0) {
			call_fail(c, REASON_UPSTREAM_UNREACHABLE, "out of memory");
			return;
		}
		p = c->head.p;
		n = c->head.len;
	}
	while ((r = http1_response(p, n, &c->scanned, HEADER_BYTES, c->method, &h,
	    &error)) == 1) {
		c->scanned = 0;
		p += h.size;
		n -= h.size;
		if (h.status >= 200) {
			begin_body(c, &h, p, n);
			return;
		}
		/* 101: nobody asked for another protocol. */
		if (h.status == 101 || ++c->interim > INTERIM_MAX) {
			call_fail(c, REASON_UPSTREAM_MALFORMED, "unexpected 1xx answer");
			return;
		}
	}
	if (r < 0)
		call_fail(c, REASON_UPSTREAM_MALFORMED, http1_strerror(error));
	else if (keep_head(c, p, n) < 0)
		call_fail(c, REASON_UPSTREAM_UNREACHABLE, "out of memory");
}

static void
on_up(void *arg)
{
	struct call *c = arg;

	if (c->failure.reason != REASON_NONE)
		return;		/* wake() is on its way */
	c->state = HEAD;
	c->ops->ready(c->arg);
}

static void
on_room(void *arg)
{
	struct call *c = arg;

	if ((c->state == HEAD || c->state == BODY) && c->ops->room != NULL)
		c->ops->room(c->arg);
}

/* The idle link died before anybody used it: as if it had never been there. */
static void
again(struct call *c)
{
	pool_leave(&c->place);
	if (c->failure.reason == REASON_NONE)
		ask(c);
}

static void
on_data(void *arg, const char *p, size_t n)
{
	struct call *c = arg;

	if (c->state == GRANTED) {
		again(c);
		return;
	}
	c->answered = true;
	if (c->written == 0)
		call_fail(c, REASON_UPSTREAM_UNREACHABLE,
		    "the server spoke before it was asked");
	else if (c->state == HEAD)
		take_head(c, p, n);
	else if (c->state == BODY)
		take_body(c, p, n);
}

static void
on_turn(void *arg)
{
	struct call *c = arg;

	if (c->state == BODY && c->ops->turn != NULL)
		c->ops->turn(c->arg);
}

static void
on_down(void *arg, enum link_error why, const char *words)
{
	struct call *c = arg;

	if (c->state == GRANTED) {
		again(c);
		return;
	}
	if (c->state == BODY && why == LINK_CLOSED && http1_body_eof(&c->body)) {
		complete(c, false);
		return;
	}
	call_fail(c, REASON_UPSTREAM_UNREACHABLE,
	    c->answered ? "the answer was cut" : words);
}

static const struct link_ops link_ops = {
	.up = on_up,
	.room = on_room,
	.data = on_data,
	.turn = on_turn,
	.down = on_down,
};

struct call *
call_open(struct upstream *u, enum lane lane, uint64_t client, const char *method,
    const struct call_ops *ops, void *arg)
{
	struct call *c;

	c = calloc(1, sizeof(*c));
	if (c == NULL)
		return NULL;
	c->place.pool = u->pool;
	c->place.lane = lane;
	c->place.client = client;
	c->place.ops = &place_ops;
	c->place.link_ops = &link_ops;
	c->place.link_arg = c;
	c->loop = u->loop;
	c->ops = ops;
	c->arg = arg;
	c->method = method;
	c->head = BUF_SECRET(HEADER_BYTES + READ_BUFFER);
	ask(c);
	return c;
}

ssize_t
call_write(struct call *c, const struct iovec *iov, int n)
{
	ssize_t taken;

	if (c->state != HEAD && c->state != BODY)
		return -EPIPE;
	taken = link_write(c->place.conn->link, iov, n);
	if (taken > 0)
		c->written += taken;
	return taken;
}

void
call_sent(struct call *c)
{
	c->sent = true;
}

void
call_pause(struct call *c)
{
	c->paused = true;
	if (c->place.conn != NULL)
		link_pause(c->place.conn->link);
}

void
call_resume(struct call *c)
{
	c->paused = false;
	if (c->place.conn != NULL)
		link_resume(c->place.conn->link);
}

static void
bury(void *arg)
{
	struct call *c = arg;

	buf_free(&c->head);
	free(c);
}

void
call_close(struct call *c)
{
	bool unused;

	if (c == NULL || c->state == CLOSED)
		return;
	unused = (c->state == GRANTED || c->state == HEAD) && c->written == 0 && !c->answered;
	c->state = CLOSED;
	if (unused) {
		if (c->paused)
			link_resume(c->place.conn->link);
		pool_return(&c->place, -1);
	} else {
		pool_leave(&c->place);
	}
	loop_defer(c->loop, bury, c);
}
