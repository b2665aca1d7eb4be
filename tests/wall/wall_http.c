/* The wall's connections: bytes in, requests out, answers and streams back. */
#include <stdio.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include "wall.h"

#define READ_MAX	(256 * 1024)
#define PIPELINE_MAX	(256 * 1024)	/* unread requests behind a pending one */
#define OUT_MAX		(4 * 1024 * 1024)	/* unwritten; then no new request is taken */
#define FILL_PIECE	(64 * 1024)
#define BODY_MAX	(256L * 1024 * 1024)

struct conns		conns = LIST_HEAD_INITIALIZER(conns);
static struct conns	graves = LIST_HEAD_INITIALIZER(graves);
static char		readbuf[READ_MAX];

static void	conn_process(struct conn *);
static void	conn_write(struct conn *);

static void
request_clear(struct request *r)
{
	buf_free(&r->body);
	buf_free(&r->answer);
	buf_free(&r->ids);
	cJSON_Delete(r->json);
	cJSON_Delete(r->fields);
	*r = (struct request){ .body = BUF_INIT(BODY_MAX), .rpc = "", .tool = "" };
}

static void
set_reading(struct conn *c, bool on)
{
	if (c->reading == on || c->state == CONN_DEAD)
		return;
	c->reading = on;
	if (on)
		event_add(c->rd, NULL);
	else
		event_del(c->rd);
}

/* The connection goes; its memory stays until the end of the turn. */
void
conn_kill(struct conn *c, bool reset)
{
	struct linger	lin = { .l_onoff = 1 };

	if (c->state == CONN_DEAD)
		return;
	if (c->stream != STREAM_NONE)
		stream_left(c);
	if (c->held)
		fault_forget(c);
	if (c->hanging)
		counts.hanging--;
	if (c->stalled)
		counts.stalled--;
	if (!c->local)
		counts.open--;
	c->hanging = c->stalled = false;
	c->state = CONN_DEAD;
	event_free(c->rd);
	event_free(c->wr);
	event_free(c->timer);
	SSL_free(c->ssl);
	if (reset)
		setsockopt(c->fd, SOL_SOCKET, SO_LINGER, &lin, sizeof(lin));
	close(c->fd);
	LIST_REMOVE(c, all);
	LIST_INSERT_HEAD(&graves, c, all);
}

void
conn_reap(void)
{
	struct conn	*c;

	while ((c = LIST_FIRST(&graves)) != NULL) {
		LIST_REMOVE(c, all);
		request_clear(&c->req);
		buf_free(&c->in);
		buf_free(&c->out);
		buf_free(&c->tail);
		free(c);
	}
}

void
conn_end(struct conn *c, bool reset)
{
	c->end = reset ? END_RST : END_FIN;
	conn_write(c);
}

/* The peer closed or broke it. */
static void
conn_gone(struct conn *c)
{
	if (c->state == CONN_BUSY && !c->local)
		counts.abandoned++;
	if (c->stream == STREAM_GET)
		counts.streams_left++;
	else if (c->stream == STREAM_LISTEN)
		counts.listens_left++;
	else if (c->stream == STREAM_POST)
		counts.abandoned++;
	conn_kill(c, false);
}

/* n, 0 at the end, -EAGAIN or another error. */
static ssize_t
io_read(struct conn *c, char *p, size_t n)
{
	ssize_t	got;

	if (c->ssl == NULL) {
		got = read(c->fd, p, n);
		return got >= 0 ? got : -errno;
	}
	ERR_clear_error();
	got = SSL_read(c->ssl, p, (int)n);
	if (got > 0)
		return got;
	switch (SSL_get_error(c->ssl, (int)got)) {
	case SSL_ERROR_WANT_READ:
		return -EAGAIN;
	case SSL_ERROR_WANT_WRITE:
		event_add(c->wr, NULL);
		return -EAGAIN;
	case SSL_ERROR_ZERO_RETURN:
		return 0;
	default:
		return -EPROTO;
	}
}

static ssize_t
io_write(struct conn *c, const char *p, size_t n)
{
	ssize_t	put;
	int	err;

	if (c->ssl == NULL) {
		put = send(c->fd, p, n, MSG_NOSIGNAL);
		return put >= 0 ? put : -errno;
	}
	ERR_clear_error();
	put = SSL_write(c->ssl, p, (int)MIN(n, 1 << 20));
	if (put > 0)
		return put;
	err = SSL_get_error(c->ssl, (int)put);
	return err == SSL_ERROR_WANT_READ || err == SSL_ERROR_WANT_WRITE ? -EAGAIN : -EPROTO;
}

/* The answer is complete: on to the next request, or the end. */
static void
conn_next(struct conn *c)
{
	if (c->state == CONN_DEAD)
		return;
	request_clear(&c->req);
	c->fault = NULL;
	c->stream = STREAM_NONE;
	c->state = CONN_IDLE;
	if (!c->keep)
		c->end = END_FIN;
	if (!c->processing)
		conn_process(c);
}

static void
answered(struct conn *c)
{
	if (c->state == CONN_BODY)	/* early: the rest of the body is read and dropped */
		c->req.early = true;
	else
		conn_next(c);
}

/* More of a generated body into `out`; false if there is none. */
static bool
refill(struct conn *c)
{
	size_t	n, i;
	char	piece[64];

	if (!c->filling)
		return false;
	if ((n = MIN(c->fill - c->filled, FILL_PIECE)) > 0) {
		if (c->fill_chunked)
			buf_addf(&c->out, "%zx\r\n", n);
		if (buf_reserve(&c->out, n) != 0)
			die("no memory");
		for (i = 0; i < n; i++)
			c->out.p[c->out.len + i] = (char)('a' + (c->filled + i) % 26);
		c->out.len += n;
		c->filled += n;
		if (c->fill_chunked)
			buf_adds(&c->out, "\r\n");
		return true;
	}
	if (c->fill_chunked) {
		snprintf(piece, sizeof(piece), "%zx\r\n", c->tail.len);
		buf_adds(&c->out, piece);
	}
	buf_add(&c->out, c->tail.p, c->tail.len);
	if (c->fill_chunked)
		buf_adds(&c->out, "\r\n0\r\n\r\n");
	c->filling = false;
	answered(c);
	return true;
}

static void
conn_write(struct conn *c)
{
	ssize_t	n;

	while (c->state != CONN_DEAD) {
		if (c->out_off == c->out.len) {
			buf_reset(&c->out);
			c->out_off = 0;
			if (!refill(c))
				break;
			continue;
		}
		n = io_write(c, c->out.p + c->out_off, c->out.len - c->out_off);
		if (n == -EAGAIN) {
			event_add(c->wr, NULL);
			return;
		}
		if (n == -EINTR)
			continue;
		if (n < 0) {
			conn_gone(c);
			return;
		}
		c->out_off += (size_t)n;
	}
	if (c->state == CONN_DEAD)
		return;
	if (c->end == END_FIN && c->ssl != NULL && !c->cut_body)
		SSL_shutdown(c->ssl);
	if (c->end != END_NONE)
		conn_kill(c, c->end == END_RST);
}

static void
on_write(evutil_socket_t fd _unused_, short what _unused_, void *arg)
{
	struct conn	*c = arg;

	conn_write(c);
	if (c->state != CONN_DEAD)
		conn_process(c);
}

static void
copy(char *to, size_t size, struct slice from)
{
	size_t	n = MIN(from.n, size - 1);

	if (n > 0)
		memcpy(to, from.p, n);
	to[n] = '\0';
}

static void
request_fill(struct conn *c, const struct http1_head *h)
{
	struct request	*r = &c->req;
	struct slice	 path = h->target, query = { NULL, 0 };
	const char	*q;

	request_clear(r);
	if (path.n > 0 && (q = memchr(path.p, '?', path.n)) != NULL) {
		query = (struct slice){ q + 1, path.n - (size_t)(q + 1 - path.p) };
		path.n = (size_t)(q - path.p);
	}
	copy(r->method, sizeof(r->method), h->method);
	copy(r->path, sizeof(r->path), path);
	copy(r->query, sizeof(r->query), query);
	copy(r->key, sizeof(r->key), http1_get(h, "X-Test-Key"));
	copy(r->session, sizeof(r->session), http1_get(h, "MCP-Session-Id"));
	copy(r->version, sizeof(r->version), http1_get(h, "MCP-Protocol-Version"));
	copy(r->last_event, sizeof(r->last_event), http1_get(h, "Last-Event-ID"));
	copy(r->authorization, sizeof(r->authorization), http1_get(h, "Authorization"));
	if (strncasecmp(r->authorization, "Bearer ", 7) == 0)
		copy(r->token, sizeof(r->token), slice_of(r->authorization + 7));
	c->keep = h->keep_alive;
	line_record(c, h);
}

/* true: a head was taken. */
static bool
take_head(struct conn *c)
{
	struct http1_head	head;
	enum http1_error	err;
	char			why[256];
	int			rc;

	if (c->in.len == 0 || c->end != END_NONE || c->out.len - c->out_off > OUT_MAX)
		return false;
	rc = http1_request(c->in.p, c->in.len, &c->scanned, HEADER_BYTES * 2, &head, &err);
	if (rc == 0)
		return false;
	if (rc < 0) {
		snprintf(why, sizeof(why), "%s\n", http1_strerror(err));
		count_violation("malformed");
		c->keep = false;
		c->state = CONN_BUSY;
		answer_text(c, 400, "text/plain", why);
		return false;
	}
	event_del(c->timer);
	request_fill(c, &head);
	http1_body_init(&c->body, head.framing, head.length);
	c->scanned = 0;
	c->state = CONN_BODY;
	if (head.expect_continue)
		conn_raw(c, "HTTP/1.1 100 Continue\r\n\r\n", 25);
	route_head(c, &head);
	if (c->state != CONN_DEAD)
		buf_consume(&c->in, head.size);
	return c->state != CONN_DEAD && !c->stalled;
}

/* true: go on. */
static bool
take_body(struct conn *c)
{
	enum http1_error	err;
	struct slice		data;
	ssize_t			n;
	size_t			off = 0;

	while (!c->body.done && off < c->in.len) {
		if ((n = http1_body(&c->body, c->in.p + off, c->in.len - off, &data, &err)) < 0) {
			count_violation("malformed");
			conn_kill(c, false);
			return false;
		}
		off += (size_t)n;
		if (data.n > 0 && c->cut_body) {
			conn_kill(c, false);
			return false;
		}
		if (!c->req.early && buf_addslice(&c->req.body, data) != 0)
			die("request body too large");
	}
	buf_consume(&c->in, off);
	if (!c->body.done)
		return false;
	if (c->req.early) {
		conn_next(c);
		return true;
	}
	c->state = CONN_BUSY;
	route_request(c);
	return c->state != CONN_DEAD;
}

static void
conn_process(struct conn *c)
{
	bool	more = true;

	if (c->processing || c->stalled || c->state == CONN_DEAD)
		return;
	c->processing = true;
	while (more && c->state != CONN_DEAD) {
		if (c->state == CONN_IDLE)
			more = take_head(c);
		else if (c->state == CONN_BODY)
			more = take_body(c);
		else
			more = false;
	}
	c->processing = false;
	if (c->state == CONN_DEAD)
		return;
	conn_write(c);
	if (c->state != CONN_DEAD && !c->stalled)
		set_reading(c, c->state == CONN_BODY || c->in.len < PIPELINE_MAX);
}

static void
on_read(evutil_socket_t fd _unused_, short what _unused_, void *arg)
{
	struct conn	*c = arg;
	ssize_t		 n;
	int		 turns = 0;

	do {
		n = io_read(c, readbuf, sizeof(readbuf));
		if (n == -EAGAIN || n == -EINTR)
			return;
		if (n <= 0) {
			conn_gone(c);
			return;
		}
		if (buf_add(&c->in, readbuf, (size_t)n) != 0)
			die("no memory");
		conn_process(c);
	} while (c->state != CONN_DEAD && c->reading &&
	    ((c->ssl != NULL && SSL_pending(c->ssl) > 0) ||
	    ((size_t)n == sizeof(readbuf) && ++turns < 16)));
}

static void
on_timer(evutil_socket_t fd _unused_, short what _unused_, void *arg)
{
	struct conn	*c = arg;

	c->later(c);
}

void
conn_after(struct conn *c, int64_t ms, void (*fn)(struct conn *))
{
	struct timeval	tv = { .tv_sec = ms / 1000, .tv_usec = ms % 1000 * 1000 };

	c->later = fn;
	event_add(c->timer, &tv);
}

void
conn_stall(struct conn *c)
{
	c->stalled = true;
	counts.stalled++;
	set_reading(c, false);
}

void
conn_unstall(struct conn *c)
{
	c->stalled = false;
	counts.stalled--;
	set_reading(c, true);
	conn_process(c);
	if (c->state != CONN_DEAD && c->ssl != NULL && SSL_pending(c->ssl) > 0)
		on_read(c->fd, EV_READ, c);
}

void
conn_open(int fd, bool tls, bool local, bool other)
{
	struct conn	*c = calloc(1, sizeof(*c));

	if (c == NULL)
		die("no memory");
	c->fd = fd;
	c->local = local;
	c->other = other;
	request_clear(&c->req);
	c->in = c->out = c->tail = BUF_INIT(BODY_MAX);
	if (tls) {
		if ((c->ssl = SSL_new(wall.tls)) == NULL || SSL_set_fd(c->ssl, fd) != 1)
			die("no SSL object");
		SSL_set_accept_state(c->ssl);
	}
	c->rd = event_new(wall.base, fd, EV_READ | EV_PERSIST, on_read, c);
	c->wr = event_new(wall.base, fd, EV_WRITE, on_write, c);
	c->timer = evtimer_new(wall.base, on_timer, c);
	if (c->rd == NULL || c->wr == NULL || c->timer == NULL)
		die("no memory");
	LIST_INSERT_HEAD(&conns, c, all);
	set_reading(c, true);
	if (local)
		return;
	counts.accepted++;
	counts.open++;
	counts.peak = MAX(counts.peak, counts.open);
}

void
conn_raw(struct conn *c, const char *p, size_t n)
{
	if (c->state == CONN_DEAD)
		return;
	if (buf_add(&c->out, p, n) != 0)
		die("no memory");
	if (!c->processing)
		conn_write(c);
}

static void
idle_over(struct conn *c)
{
	if (c->state == CONN_IDLE && c->in.len == 0)
		conn_kill(c, false);
}

void
answer_head(struct buf *b, struct conn *c, int status, const char *type, const char *fields,
    ssize_t n)
{
	buf_addf(b, "HTTP/1.1 %d %s\r\n", status, http1_reason(status));
	if (type != NULL)
		buf_addf(b, "Content-Type: %s\r\n", type);
	if (fields != NULL)
		buf_adds(b, fields);
	if (wall.set.keep_alive != NULL)
		buf_addf(b, "Keep-Alive: %s\r\n", wall.set.keep_alive);
	if (!c->keep)
		buf_adds(b, "Connection: close\r\n");
	if (n < 0)
		buf_adds(b, "Transfer-Encoding: chunked\r\n\r\n");
	else
		buf_addf(b, "Content-Length: %zd\r\n\r\n", n);
	if (strncmp(c->req.path, "/mcp", 4) == 0)
		count_status(status);
}

void
answer(struct conn *c, int status, const char *type, const char *fields, const char *body,
    size_t n)
{
	if (c->state == CONN_DEAD)
		return;
	answer_head(&c->out, c, status, type, fields, (ssize_t)n);
	if (buf_add(&c->out, body, n) != 0)
		die("no memory");
	if (c->idle_ms > 0)
		conn_after(c, c->idle_ms, idle_over);
	answered(c);
}

void
answer_text(struct conn *c, int status, const char *type, const char *body)
{
	answer(c, status, type, NULL, body, strlen(body));
}

void
answer_json(struct conn *c, int status, cJSON *json)
{
	char	*text = cJSON_PrintUnformatted(json);

	answer_text(c, status, "application/json", text);
	free(text);
	cJSON_Delete(json);
}

void
answer_fill(struct conn *c, const char *fields, struct buf *head, uint64_t letters,
    struct buf *tail, bool chunked)
{
	uint64_t	n = head->len + letters + tail->len;

	answer_head(&c->out, c, 200, "application/json", fields, chunked ? -1 : (ssize_t)n);
	if (chunked)
		buf_addf(&c->out, "%zx\r\n", head->len);
	buf_add(&c->out, head->p, head->len);
	if (chunked)
		buf_adds(&c->out, "\r\n");
	c->fill = letters;
	c->filled = 0;
	c->filling = true;
	c->fill_chunked = chunked;
	buf_reset(&c->tail);
	buf_add(&c->tail, tail->p, tail->len);
	if (!c->processing)
		conn_write(c);
}

void
stream_begin(struct conn *c, enum stream_kind kind, const char *fields)
{
	struct buf	 b = BUF_INIT(0);

	buf_adds(&b, "Cache-Control: no-cache\r\n");
	if (fields != NULL)
		buf_adds(&b, fields);
	c->stream = kind;
	c->state = CONN_STREAM;
	answer_head(&c->out, c, 200, "text/event-stream", b.p, -1);
	buf_free(&b);
	if (!c->processing)
		conn_write(c);
}

void
stream_send(struct conn *c, const char *p, size_t n)
{
	char	size[32];

	if (c->state == CONN_DEAD || n == 0)
		return;
	snprintf(size, sizeof(size), "%zx\r\n", n);
	if (buf_adds(&c->out, size) != 0 || buf_add(&c->out, p, n) != 0 ||
	    buf_adds(&c->out, "\r\n") != 0)
		die("a stream that nobody reads");
	if (!c->processing)
		conn_write(c);
}

void
stream_event(struct conn *c, int64_t id, const char *data)
{
	struct buf	 b = BUF_INIT(0);

	buf_adds(&b, "event: message\n");
	if (id >= 0)
		buf_addf(&b, "id: %lld\n", (long long)id);
	buf_addf(&b, "data: %s\n\n", data);
	stream_send(c, b.p, b.len);
	buf_free(&b);
}

void
stream_end(struct conn *c)
{
	if (c->state == CONN_DEAD)
		return;
	if (c->stream == STREAM_GET || c->stream == STREAM_LISTEN)
		stream_left(c);
	conn_raw(c, "0\r\n\r\n", 5);
	conn_next(c);
}
