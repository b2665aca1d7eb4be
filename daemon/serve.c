#include <sys/socket.h>

#include <assert.h>
#include <poll.h>
#include <unistd.h>

#include "log.h"
#include "serve_impl.h"

#define PIPELINED	(64 * KIB)	/* held beyond one head, then reading stops */
#define DISCARD		(64 * KIB)	/* of a body that nobody wants any more, to keep the connection */
#define LINGER_BYTES	(1 * MIB)	/* of a client that does not stop sending */
#define REST_BYTES	(256 * KIB)	/* of lines that came before a close; a socket holds about as much */
#define KEPT_BYTES	(4 * KIB)	/* an idle connection gives back a larger out-buffer */

static uint64_t last_id;

/* Phase */

static const char *const phase_names[] = {
	[SERVE_HEAD] = "head",
	[SERVE_BODY] = "body",
	[SERVE_ANSWER] = "answer",
	[SERVE_LINES] = "lines",
	[SERVE_FLUSH] = "flush",
	[SERVE_LINGER] = "linger",
	[SERVE_DEAD] = "dead",
};
static_assert(nitems(phase_names) == SERVE_DEAD + 1, "a phase has no name");

void
serve_enter(struct serve *s, enum serve_phase phase)
{
	log_debug(NULL, "serve", "connection %llu: %s -> %s",
	    (unsigned long long)s->id, phase_names[s->phase], phase_names[phase]);
	s->phase = phase;
	switch (phase) {
	case SERVE_HEAD:
		s->scanned = 0;
		if (s->out.len == 0 && s->out.cap > KEPT_BYTES)
			buf_free(&s->out);
		serve_idle_begin(s);
		break;
	case SERVE_BODY:
	case SERVE_FLUSH:
		serve_idle_begin(s);
		break;
	case SERVE_ANSWER:
	case SERVE_LINES:
		serve_idle_end(s);
		break;
	case SERVE_LINGER:
		s->dropped = 0;
		serve_linger_begin(s);
		break;
	case SERVE_DEAD:
		serve_idle_end(s);
		event_del(&s->ev);
		serve_poke(s);
		break;
	}
}

void
serve_finish(struct serve *s)
{
	if (s->phase != SERVE_DEAD)
		serve_enter(s, SERVE_DEAD);
}

/* Ends a connection whose answers are all given, once they are written. */
static void
close_when_flushed(struct serve *s)
{
	s->closing = true;
	serve_enter(s, SERVE_FLUSH);
	serve_flush(s);
}

void
serve_over(struct serve *s)
{
	s->open = false;
	s->paused = false;
	if (s->phase == SERVE_DEAD)
		return;
	/* A client that was never told to continue may or may not send its body: the end of it is unknown. */
	if (!s->keep || s->draining || s->continue_due)
		s->closing = true;
	if (s->closing) {
		s->rude |= !s->complete && !s->body.done;
		close_when_flushed(s);
	} else if (s->complete || s->body.done) {
		serve_enter(s, SERVE_HEAD);
	} else {
		s->dropped = 0;
		serve_idle_begin(s);
	}
	if (s->in.len > 0 || s->half || s->watching)
		serve_poke(s);
}

/* Refusing */

static void
answer_refusal(struct serve *s, int status, const char *word, const char *message)
{
	struct buf b = BUF_INIT(0);

	if (buf_addf(&b, "{\"error\":\"%s\",\"message\":\"%s\"}\n", word, message) < 0) {
		serve_finish(s);
		return;
	}
	serve_json(s, status, b.p, b.len, true);
	buf_free(&b);
}

/*
 * The request or its body is no good: the handler is told to stop, the client
 * gets the reason (if nothing was answered yet) and the connection ends.
 */
static void
refuse(struct serve *s, int status, const char *word, const char *message)
{
	bool answered = s->phase == SERVE_BODY && !s->open;

	/* Over TCP anybody on this machine may knock, and must not fill the log. */
	log_msg(s->peer.uid == (uid_t)-1 ? LOG_DEBUG : LOG_INFO, NULL, "refused",
	    "connection %llu: %d %s", (unsigned long long)s->id, status, message);
	s->rude = true;
	if (s->open) {
		s->open = false;
		s->handler->gone(s);
		if (s->headed) {
			serve_finish(s);
			return;
		}
	}
	if (s->phase == SERVE_DEAD)
		return;
	if (answered) {
		close_when_flushed(s);
		return;
	}
	s->open = true;
	s->complete = false;
	s->keep = false;
	s->headed = false;
	s->status = 0;
	answer_refusal(s, status, word, message);
}

static void
refuse_malformed(struct serve *s, enum http1_error e)
{
	const char *words = http1_strerror(e);

	if (e == HTTP1_BAD_VERSION)
		refuse(s, 505, "http_version", words);
	else if (e == HTTP1_TOO_LARGE)
		refuse(s, 431, "head_too_large", words);
	else
		refuse(s, 400, "bad_request", words);
}

/* Requests in */

static void
want_continue(struct serve *s)
{
	if (!s->continue_due || !s->open || s->headed || s->status != 0 || s->paused ||
	    s->phase != SERVE_BODY)
		return;
	s->continue_due = false;
	serve_put(s, "HTTP/1.1 100 Continue\r\n\r\n", 25);
	serve_flush(s);
}

static void
body_over(struct serve *s)
{
	s->complete = true;
	serve_enter(s, SERVE_ANSWER);
	s->handler->body_end(s);
}

/* RFC 9110 10.1.1: what is expected and not understood is refused; a 1.0 client's wish is ignored. */
static bool
expects_too_much(const struct http1_head *h)
{
	size_t i = 0;

	return h->minor > 0 && !h->expect_continue && http1_next(h, "Expect", &i) != NULL;
}

/* `more`: bytes of the body are here already. */
static void
begin(struct serve *s, const struct http1_head *h, bool more)
{
	s->minor = h->minor;
	s->keep = h->keep_alive;
	s->head_only = slice_eq(h->method, "HEAD");
	s->complete = h->framing == HTTP1_NONE;
	s->headed = false;
	s->status = 0;
	http1_body_init(&s->body, h->framing, h->length);
	s->continue_due = h->expect_continue && !s->body.done && !more;
	if (expects_too_much(h)) {
		refuse(s, 417, "expectation_failed", "only 100-continue may be expected");
		return;
	}
	if (h->framing == HTTP1_LENGTH && h->length > s->limits.body_bytes) {
		refuse(s, 413, "body_too_large", "the body is larger than limits.bodyBytes");
		return;
	}
	serve_enter(s, s->complete ? SERVE_ANSWER : SERVE_BODY);
	s->open = true;
	s->handler->request(s, h);
	if (s->phase == SERVE_BODY && s->body.done && s->open)
		body_over(s);
	else
		want_continue(s);
}

static size_t
begin_lines(struct serve *s, const char *p, size_t n)
{
	if (s->handler->lines == NULL) {
		serve_finish(s);
		return n;
	}
	s->open = true;
	s->complete = true;
	serve_enter(s, SERVE_LINES);
	return s->handler->lines(s, p, n);
}

static size_t
feed_lines(struct serve *s, const char *p, size_t n)
{
	return n > 0 ? s->handler->lines(s, p, n) : 0;
}

/* Takes one head, or nothing if it is not complete. */
static size_t
feed_head(struct serve *s, const char *p, size_t n)
{
	enum http1_error e;
	struct http1_head h;
	int rc;

	if (n == 0)
		return 0;
	if (s->fresh) {
		s->fresh = false;
		if (memchr("{[ \t\r\n", p[0], 6) != NULL)
			return begin_lines(s, p, n);
	}
	rc = http1_request(p, n, &s->scanned, s->limits.header_bytes, &h, &e);
	if (rc == 0)
		return 0;
	if (rc < 0) {
		s->head_only = false;
		s->minor = 1;
		refuse_malformed(s, e);
		return n;
	}
	s->scanned = 0;
	begin(s, &h, n > h.size);
	return h.size;
}

static size_t
feed_body(struct serve *s, const char *p, size_t n)
{
	struct slice data = { NULL, 0 };
	enum http1_error e;
	ssize_t took;

	if (n == 0)
		return 0;
	s->continue_due = false;
	took = http1_body(&s->body, p, n, &data, &e);
	if (took < 0) {
		refuse_malformed(s, e);
		return n;
	}
	if (s->body.seen > s->limits.body_bytes) {
		refuse(s, 413, "body_too_large", "the body is larger than limits.bodyBytes");
		return n;
	}
	if (!s->open) {
		s->dropped += took;
		if (s->body.done)
			serve_enter(s, SERVE_HEAD);
		else if (s->dropped > DISCARD) {
			s->rude = true;
			close_when_flushed(s);
		}
		return took;
	}
	if (data.n > 0)
		s->handler->body(s, data.p, data.n);
	if (s->phase == SERVE_BODY && s->body.done) {
		if (s->open)
			body_over(s);
		else
			serve_enter(s, SERVE_HEAD);
	}
	return took;
}

/* May bytes be handed on now? */
static bool
may_feed(const struct serve *s)
{
	switch (s->phase) {
	case SERVE_HEAD:
		return !s->draining && s->out.len <= SERVE_FULL;
	case SERVE_BODY:
	case SERVE_LINES:
		return !s->paused;
	case SERVE_ANSWER:
	case SERVE_FLUSH:
	case SERVE_LINGER:
	case SERVE_DEAD:
		return false;
	}
	abort();
}

/* Hands on what may be; returns how much that was. */
static size_t
feed(struct serve *s, const char *p, size_t n)
{
	size_t at = 0, took;

	s->feeding = true;
	while (may_feed(s)) {
		took = s->phase == SERVE_HEAD ? feed_head(s, p + at, n - at) :
		    s->phase == SERVE_BODY ? feed_body(s, p + at, n - at) :
		    feed_lines(s, p + at, n - at);
		if (took == 0)
			break;
		at += took;
	}
	s->feeding = false;
	return at;
}

/* Nothing of what the client still sends is of interest. */
static bool
deaf(const struct serve *s)
{
	return s->phase == SERVE_FLUSH || s->phase == SERVE_LINGER || s->phase == SERVE_DEAD;
}

/* Hands on what waited. */
static void
pump(struct serve *s)
{
	size_t used;

	if (s->in.len > 0 && may_feed(s)) {
		used = feed(s, s->in.p, s->in.len);
		buf_consume(&s->in, used);
	}
	if (s->in.len == 0 || deaf(s))
		buf_free(&s->in);
}

/* New bytes: straight from the read buffer if nothing waits before them; else tidy() hands them on. */
static void
take(struct serve *s, const char *p, size_t n)
{
	size_t used = 0;

	if (s->in.len == 0)
		used = feed(s, p, n);
	if (used < n && !deaf(s) && buf_add(&s->in, p + used, n - used) < 0)
		serve_finish(s);
}

/* The client's half-closed connection has nothing left to be fed: nothing more will come. */
static void
half_over(struct serve *s)
{
	if (s->phase == SERVE_LINES) {
		if (s->in.len == 0 && !s->ended) {
			s->ended = true;
			s->handler->lines(s, NULL, 0);
		}
	} else if (s->phase == SERVE_BODY && !s->open)
		close_when_flushed(s);
	else if (s->phase == SERVE_BODY || s->in.len > 0)
		refuse_malformed(s, HTTP1_CUT);
	else
		close_when_flushed(s);
}

/* Events */

/* Did the client close both ways, or fail?  Reading 0 alone does not tell (F4). */
static bool
hung_up(const struct serve *s)
{
	struct pollfd pfd = { .fd = s->fd };

	return poll(&pfd, 1, 0) == 1 && (pfd.revents & (POLLHUP | POLLERR)) != 0;
}

static bool
wants_input(const struct serve *s)
{
	if (s->half)
		return false;
	switch (s->phase) {
	case SERVE_LINGER:
		return true;
	case SERVE_BODY:
	case SERVE_LINES:
		return !s->paused;
	case SERVE_HEAD:
	case SERVE_ANSWER:
		return s->in.len < s->limits.header_bytes + PIPELINED;
	case SERVE_FLUSH:
	case SERVE_DEAD:
		return false;
	}
	abort();
}

/*
 * Level-triggered while reading.  While not, edge-triggered: the later close
 * arrives as a new edge, as does each piece of data that we do not take; asked for
 * only once an event came that nobody wanted, so that short pauses cost nothing.
 */
void
serve_interest(struct serve *s)
{
	short want = EV_PERSIST | EV_READ;

	if (s->phase == SERVE_DEAD)
		return;
	if (wants_input(s))
		s->watching = false;
	if (s->watching)
		want |= EV_ET;
	if (s->blocked)
		want |= EV_WRITE;
	if (want == s->interest)
		return;
	event_del(&s->ev);
	event_assign(&s->ev, s->loop->base, s->fd, want, event_get_callback(&s->ev), s);
	event_priority_set(&s->ev, LOOP_NORMAL);
	s->interest = want;
	if (event_add(&s->ev, NULL) == -1) {
		log_err(NULL, "serve", "a connection cannot be watched");
		serve_finish(s);
	}
}

static void
read_nothing(struct serve *s)
{
	if (s->phase == SERVE_LINGER || hung_up(s)) {
		serve_finish(s);
		return;
	}
	s->half = s->watching = true;
}

static void
read_more(struct serve *s)
{
	ssize_t n;

	n = recv(s->fd, s->loop->readbuf, READ_BUFFER, MSG_DONTWAIT);
	if (n == 0)
		read_nothing(s);
	else if (n == -1 && errno != EAGAIN && errno != EINTR)
		serve_finish(s);
	if (n <= 0)
		return;
	if (s->phase == SERVE_LINGER) {
		s->dropped += n;
		if (s->dropped > LINGER_BYTES)
			serve_finish(s);
		return;
	}
	if (s->phase == SERVE_BODY)
		serve_idle_begin(s);
	take(s, s->loop->readbuf, n);
	if (s->limits.secret)
		explicit_bzero(s->loop->readbuf, n);
}

/* What every event ends with. */
static void
tidy(struct serve *s)
{
	pump(s);
	if (s->half && may_feed(s))
		half_over(s);
	serve_interest(s);
}

static void
on_event(_unused_ evutil_socket_t fd, short what, void *arg)
{
	struct serve *s = arg;

	if (what & EV_WRITE) {
		s->blocked = false;
		serve_flush(s);
	}
	if (what & EV_READ && s->phase != SERVE_DEAD) {
		if (wants_input(s))
			read_more(s);
		else if (hung_up(s))
			serve_finish(s);
		else
			s->watching = true;
	}
	tidy(s);
}

static void
bury(struct serve *s)
{
	if (s->open) {
		s->open = false;
		s->handler->gone(s);
	}
	s->handler->closed(s);
	loop_undefer(s->loop, s);
	serve_idle_part(s);
	close(s->fd);
	buf_free(&s->in);
	buf_free(&s->out);
	free(s);
}

static void
settle(void *arg)
{
	struct serve *s = arg;

	s->queued = false;
	if (s->phase == SERVE_DEAD) {
		bury(s);
		return;
	}
	if (s->full && s->out.len < SERVE_LOW) {
		s->full = false;
		if (s->open)
			s->handler->drained(s);
	}
	want_continue(s);
	tidy(s);
}

void
serve_poke(struct serve *s)
{
	if (s->queued || (s->feeding && s->phase != SERVE_DEAD && s->phase != SERVE_LINES))
		return;
	s->queued = true;
	loop_defer(s->loop, settle, s);
}

/* Life */

/* Linux says (uid_t)-1 and pid 0 for TCP. */
static bool
ask_peer(struct serve *s)
{
	struct ucred cred;
	socklen_t n = sizeof(cred);

	if (getsockopt(s->fd, SOL_SOCKET, SO_PEERCRED, &cred, &n) == -1)
		return false;
	s->peer = (struct serve_peer){ cred.uid, cred.pid };
	return true;
}

struct serve *
serve_open(struct loop *loop, int fd, const struct serve_limits *limits,
    const struct serve_handler *handler, void *data)
{
	struct serve *s;

	s = calloc(1, sizeof(*s));
	if (s == NULL) {
		close(fd);
		return NULL;
	}
	s->loop = loop;
	s->fd = fd;
	s->limits = *limits;
	s->handler = handler;
	s->data = data;
	s->fresh = true;
	s->in = BUF_SECRET(0);
	s->interest = EV_READ | EV_PERSIST;
	if (!ask_peer(s) ||
	    event_assign(&s->ev, loop->base, fd, s->interest, on_event, s) == -1 ||
	    event_priority_set(&s->ev, LOOP_NORMAL) == -1 || event_add(&s->ev, NULL) == -1) {
		close(fd);
		free(s);
		return NULL;
	}
	s->id = ++last_id;
	serve_idle_join(s);
	serve_enter(s, SERVE_HEAD);
	return s;
}

void *
serve_data(const struct serve *s)
{
	return s->data;
}

uint64_t
serve_id(const struct serve *s)
{
	return s->id;
}

const struct serve_peer *
serve_peer(const struct serve *s)
{
	return &s->peer;
}

bool
serve_request_complete(const struct serve *s)
{
	return s->complete;
}

void
serve_pause(struct serve *s)
{
	if (s->open)
		s->paused = true;
}

void
serve_resume(struct serve *s)
{
	if (!s->paused)
		return;
	s->paused = false;
	if (s->in.len > 0 || s->watching || s->continue_due)
		serve_poke(s);
}

void
serve_rest(struct serve *s)
{
	size_t all = 0;
	ssize_t n = 1;

	if (s->phase != SERVE_LINES || !s->open)
		return;
	s->paused = false;
	pump(s);
	while (s->phase == SERVE_LINES && !s->half && all < REST_BYTES && n > 0) {
		n = recv(s->fd, s->loop->readbuf, READ_BUFFER, MSG_DONTWAIT);
		if (n > 0) {
			all += n;
			take(s, s->loop->readbuf, n);
		}
	}
}

void
serve_abort(struct serve *s)
{
	s->open = false;
	serve_finish(s);
}

void
serve_drain(struct serve *s)
{
	s->draining = true;
	if (s->phase != SERVE_HEAD)
		return;
	if (s->out.len == 0)
		serve_finish(s);
	else
		close_when_flushed(s);
}
