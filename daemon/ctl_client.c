#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>

#include <stdio.h>
#include <unistd.h>

#include "ctl_client.h"
#include "http1.h"

#define ANSWER_WAIT	90		/* s: the daemon waits up to 60 s for a credential's lock */
#define ANSWER_BYTES	(16 * MIB)	/* a status of thousands of upstreams */

static enum ctl_exit
dial(const char *path, int *ret_fd, char *why)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	struct timeval wait = { .tv_sec = ANSWER_WAIT };
	int fd, e;

	if (strlen(path) >= sizeof(addr.sun_path)) {
		snprintf(why, CTL_WHY, "%s: too long for a socket", path);
		return CTL_UNREACHABLE;
	}
	memcpy(addr.sun_path, path, strlen(path) + 1);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd == -1) {
		snprintf(why, CTL_WHY, "no socket: %s", strerror(errno));
		return CTL_FAILED;
	}
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof(wait));
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &wait, sizeof(wait));
	if (connect(fd, (const struct sockaddr *)&addr, sizeof(addr)) == -1) {
		e = errno;
		snprintf(why, CTL_WHY, "%s: %s", path, strerror(e));
		close(fd);
		return CTL_UNREACHABLE;
	}
	*ret_fd = fd;
	return CTL_OK;
}

/* A daemon that has already answered may close before it has read all: not an error here. */
static void
send_all(int fd, const char *p, size_t n)
{
	ssize_t sent;

	while (n > 0) {
		sent = send(fd, p, n, MSG_NOSIGNAL);
		if (sent == -1 && errno == EINTR)
			continue;
		if (sent <= 0)
			return;
		p += sent;
		n -= sent;
	}
}

static bool
send_request(int fd, const char *method, const char *target, struct slice body)
{
	struct buf b = BUF_SECRET(0);
	bool ok;

	ok = buf_addf(&b, "%s %s HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n", method,
	    target) == 0;
	if (body.p != NULL)
		ok = ok && buf_addf(&b, "Content-Type: application/json\r\nContent-Length: %zu\r\n",
		    body.n) == 0;
	ok = ok && buf_adds(&b, "\r\n") == 0 && buf_add(&b, body.p, body.n) == 0;
	if (ok)
		send_all(fd, b.p, b.len);
	buf_free(&b);
	return ok;
}

static int
read_answer(int fd, struct buf *out)
{
	char chunk[16384];
	ssize_t n;

	while ((n = recv(fd, chunk, sizeof(chunk), 0)) != 0) {
		if (n == -1 && errno == EINTR)
			continue;
		if (n == -1)
			return out->len > 0 && errno == ECONNRESET ? 0 : -errno;
		if (buf_add(out, chunk, n) < 0)
			return -EMSGSIZE;
	}
	return 0;
}

/* The whole answer is there: takes it apart. */
static bool
parse_answer(const struct buf *raw, const char *method, struct ctl_reply *ret)
{
	enum http1_error e;
	struct http1_body body;
	struct http1_head h;
	struct slice data;
	size_t at, scanned = 0;
	ssize_t n = 1;

	if (raw->len == 0 ||
	    http1_response(raw->p, raw->len, &scanned, HEADER_BYTES, method, &h, &e) != 1)
		return false;
	http1_body_init(&body, h.framing, h.length);
	for (at = h.size; at < raw->len && !body.done && n > 0; at += MAX(n, 0)) {
		n = http1_body(&body, raw->p + at, raw->len - at, &data, &e);
		if (n < 0 || buf_add(&ret->body, data.p, data.n) < 0)
			return false;
	}
	ret->status = h.status;
	return http1_body_eof(&body);
}

enum ctl_exit
ctl_call(const char *path, const char *method, const char *target, struct slice body,
    struct ctl_reply *ret, char *why)
{
	struct ctl_reply reply = { .body = BUF_INIT(ANSWER_BYTES) };
	struct buf raw = BUF_INIT(ANSWER_BYTES);
	enum ctl_exit rc;
	int fd, e;

	rc = dial(path, &fd, why);
	if (rc != CTL_OK)
		return rc;
	e = send_request(fd, method, target, body) ? read_answer(fd, &raw) : -ENOMEM;
	close(fd);
	if (e == 0 && parse_answer(&raw, method, &reply)) {
		*ret = reply;
	} else {
		buf_free(&reply.body);
		snprintf(why, CTL_WHY, "%s: %s", path, e == -EAGAIN ? "no answer in time" :
		    e != 0 ? strerror(-e) : "the answer is incomplete or not HTTP");
		rc = CTL_FAILED;
	}
	buf_free(&raw);
	return rc;
}

/* Line by line */

struct ctl_stream {
	int		 fd;
	const char	*method;
	struct buf	 raw, text;	/* what came; its payload, behind the last whole line */
	size_t		 scanned;
	int		 status;	/* 0: the head has not come */
	struct http1_body body;
};

enum ctl_exit
ctl_stream_open(const char *path, const char *method, const char *target, struct slice body,
    struct ctl_stream **ret, char *why)
{
	struct ctl_stream *s = calloc(1, sizeof(*s));
	enum ctl_exit rc;

	if (s == NULL) {
		snprintf(why, CTL_WHY, "out of memory");
		return CTL_FAILED;
	}
	*s = (struct ctl_stream){ .fd = -1, .method = method, .raw = BUF_SECRET(ANSWER_BYTES),
	    .text = BUF_SECRET(ANSWER_BYTES) };
	rc = dial(path, &s->fd, why);
	if (rc == CTL_OK && !send_request(s->fd, method, target, body)) {
		snprintf(why, CTL_WHY, "out of memory");
		rc = CTL_FAILED;
	}
	if (rc == CTL_OK)
		*ret = s;
	else
		ctl_stream_close(s);
	return rc;
}

int
ctl_stream_fd(const struct ctl_stream *s)
{
	return s->fd;
}

int
ctl_stream_status(const struct ctl_stream *s)
{
	return s->status;
}

static int
read_head(struct ctl_stream *s)
{
	struct http1_head h;
	enum http1_error e;
	int r;

	if (s->status != 0 || s->raw.len == 0)
		return 0;
	r = http1_response(s->raw.p, s->raw.len, &s->scanned, HEADER_BYTES, s->method, &h, &e);
	if (r < 0)
		return -EPROTO;
	if (r == 0)
		return 0;
	s->status = h.status;
	http1_body_init(&s->body, h.framing, h.length);
	buf_consume(&s->raw, h.size);
	return 0;
}

static int
read_body(struct ctl_stream *s)
{
	struct slice data;
	enum http1_error e;
	ssize_t n;

	while (s->status != 0 && s->raw.len > 0 && !s->body.done) {
		n = http1_body(&s->body, s->raw.p, s->raw.len, &data, &e);
		if (n < 0 || buf_add(&s->text, data.p, data.n) < 0)
			return -EPROTO;
		if (n == 0)
			break;
		buf_consume(&s->raw, n);
	}
	return 0;
}

static void
give_lines(struct ctl_stream *s, ctl_line line, void *arg)
{
	char *end;

	while (s->text.len > 0 && (end = memchr(s->text.p, '\n', s->text.len)) != NULL) {
		*end = '\0';
		line(arg, s->text.p, end - s->text.p);
		buf_consume(&s->text, end + 1 - s->text.p);
	}
}

int
ctl_stream_read(struct ctl_stream *s, ctl_line line, void *arg)
{
	char chunk[16384];
	ssize_t n;

	do
		n = recv(s->fd, chunk, sizeof(chunk), 0);
	while (n == -1 && errno == EINTR);
	if (n > 0 && buf_add(&s->raw, chunk, n) < 0)
		n = -1;
	explicit_bzero(chunk, sizeof(chunk));
	if (n < 0 || read_head(s) < 0 || read_body(s) < 0)
		return -EPROTO;
	give_lines(s, line, arg);
	if (s->status != 0 && s->body.done)
		return 0;
	if (n > 0)
		return 1;
	return s->status != 0 && http1_body_eof(&s->body) ? 0 : -EPROTO;
}

void
ctl_stream_close(struct ctl_stream *s)
{
	if (s == NULL)
		return;
	if (s->fd >= 0)
		close(s->fd);
	buf_free(&s->raw);
	buf_free(&s->text);
	free(s);
}
