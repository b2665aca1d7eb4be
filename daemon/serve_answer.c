#include <sys/socket.h>
#include <sys/uio.h>

#include "serve_impl.h"

#define HEAD_ROOM	1024	/* a usual answer without growing the buffer */
#define DISCARD_KNOWN	(64 * KIB)	/* a longer rest of a body is not worth reading: say so in the answer */

static void
puts_out(struct serve *s, const char *text)
{
	serve_put(s, text, strlen(text));
}

static void
put_number(struct serve *s, uint64_t v, unsigned base)
{
	char digits[24], *p = digits + sizeof(digits);

	do {
		*--p = "0123456789abcdef"[v % base];
		v /= base;
	} while (v != 0);
	serve_put(s, p, digits + sizeof(digits) - p);
}

void
serve_put(struct serve *s, const char *p, size_t n)
{
	if (s->phase != SERVE_DEAD && buf_add(&s->out, p, n) < 0)
		serve_finish(s);
}

/* Writing */

/* What was not written after EAGAIN waits for EV_WRITE; any other error means that the client left. */
static ssize_t
send_out(struct serve *s, struct iovec *iov, int niov)
{
	struct msghdr m = { .msg_iov = iov, .msg_iovlen = niov };
	ssize_t n;

	do
		n = sendmsg(s->fd, &m, MSG_NOSIGNAL | MSG_DONTWAIT);
	while (n == -1 && errno == EINTR);
	if (n >= 0)
		return n;
	if (errno == EAGAIN) {
		s->blocked = true;
		serve_interest(s);
	} else
		serve_finish(s);
	return 0;
}

/* The last answer is written: a client that may still be sending is let finish, or it would lose the answer. */
static void
flushed(struct serve *s)
{
	if (s->phase != SERVE_FLUSH)
		return;
	if (!s->rude || s->half) {
		serve_finish(s);
		return;
	}
	shutdown(s->fd, SHUT_WR);
	serve_enter(s, SERVE_LINGER);
	/* Not reading so far; tidy() or settle() registers for it. */
	serve_poke(s);
}

void
serve_flush(struct serve *s)
{
	struct iovec iov;

	while (s->out.len > 0 && !s->blocked && s->phase != SERVE_DEAD) {
		iov = (struct iovec){ s->out.p, s->out.len };
		buf_consume(&s->out, send_out(s, &iov, 1));
	}
	if (s->out.len == 0)
		flushed(s);
	if ((s->full && s->out.len < SERVE_LOW) ||
	    (s->phase == SERVE_HEAD && s->in.len > 0 && s->out.len <= SERVE_FULL))
		serve_poke(s);
}

/* Takes `n` written bytes off the front. */
static void
forward(struct iovec *v, size_t *n)
{
	size_t k = MIN(*n, v->iov_len);

	v->iov_base = (char *)v->iov_base + k;
	v->iov_len -= k;
	*n -= k;
}

/* Large data goes out from where it is, with what is pending before it; only the unwritten rest is copied. */
static void
write_through(struct serve *s, const char *p, size_t n, const char *tail)
{
	struct iovec iov[3] = {
		{ s->out.p, s->out.len },
		{ (void *)(uintptr_t)p, n },
		{ (void *)(uintptr_t)tail, strlen(tail) },
	};
	size_t sent, before;

	before = s->out.len;
	sent = send_out(s, iov, nitems(iov));
	forward(&iov[0], &sent);
	forward(&iov[1], &sent);
	forward(&iov[2], &sent);
	buf_consume(&s->out, before - iov[0].iov_len);
	serve_put(s, iov[1].iov_base, iov[1].iov_len);
	serve_put(s, iov[2].iov_base, iov[2].iov_len);
	if (s->out.len > 0)
		serve_flush(s);
}

static void
write_payload(struct serve *s, const char *p, size_t n)
{
	const char *tail = s->chunked ? "\r\n" : "";

	if (s->chunked) {
		put_number(s, n, 16);
		puts_out(s, "\r\n");
	}
	if (n >= SERVE_LOW && !s->blocked && s->phase != SERVE_DEAD) {
		write_through(s, p, n, tail);
		return;
	}
	serve_put(s, p, n);
	puts_out(s, tail);
	if (s->out.len >= SERVE_LOW)
		serve_flush(s);
}

/* Answers */

void
serve_head(struct serve *s, int status)
{
	char digits[3] = { '0' + status / 100 % 10, '0' + status / 10 % 10, '0' + status % 10 };

	if (!s->open)
		return;
	s->status = status;
	if (buf_reserve(&s->out, HEAD_ROOM) < 0) {
		serve_finish(s);
		return;
	}
	serve_put(s, "HTTP/1.1 ", 9);
	serve_put(s, digits, 3);
	serve_put(s, " ", 1);
	puts_out(s, http1_reason(status));
	serve_put(s, "\r\n", 2);
}

void
serve_field(struct serve *s, struct slice name, struct slice value)
{
	if (!s->open || !http1_is_token(name.p, name.n) || !http1_is_value(value.p, value.n))
		return;
	serve_put(s, name.p, name.n);
	serve_put(s, ": ", 2);
	serve_put(s, value.p, value.n);
	serve_put(s, "\r\n", 2);
}

/* How the client will know where the payload ends. */
static void
put_framing(struct serve *s, enum http1_framing framing, uint64_t length)
{
	if (framing == HTTP1_LENGTH || (framing == HTTP1_NONE && !s->bodiless)) {
		puts_out(s, "Content-Length: ");
		put_number(s, framing == HTTP1_LENGTH ? length : 0, 10);
		puts_out(s, "\r\n");
		s->counted = true;
		s->left = framing == HTTP1_LENGTH ? length : 0;
	} else if (framing == HTTP1_NONE) {
		s->counted = true;
	} else if (s->minor == 0) {
		s->keep = false;
	} else {
		puts_out(s, "Transfer-Encoding: chunked\r\n");
		s->chunked = true;
	}
}

void
serve_head_end(struct serve *s, enum http1_framing framing, uint64_t length)
{
	if (!s->open)
		return;
	s->chunked = s->counted = false;
	s->left = 0;
	s->bodiless = s->status < 200 || s->status == 204 || s->status == 304;
	put_framing(s, s->bodiless ? HTTP1_NONE : framing, length);
	s->bodiless |= s->head_only;
	if (!s->keep || s->closing || s->draining || s->continue_due)
		puts_out(s, "Connection: close\r\n");
	else if (s->minor == 0)
		puts_out(s, "Connection: keep-alive\r\n");
	puts_out(s, "\r\n");
	s->headed = true;
}

bool
serve_write(struct serve *s, const char *p, size_t n)
{
	if (!s->open || !s->headed)
		return false;
	if (s->counted && !s->bodiless) {
		n = MIN(n, s->left);
		s->left -= n;
	}
	if (n > 0 && !s->bodiless)
		write_payload(s, p, n);
	if (s->out.len > SERVE_FULL)
		s->full = true;
	return s->full;
}

void
serve_turn(struct serve *s)
{
	serve_flush(s);
}

void
serve_end(struct serve *s)
{
	if (!s->open)
		return;
	if (!s->headed || (s->counted && !s->bodiless && s->left > 0)) {
		serve_abort(s);
		return;
	}
	if (s->chunked && !s->bodiless)
		puts_out(s, "0\r\n\r\n");
	s->full = false;
	serve_flush(s);
	serve_over(s);
}

void
serve_json(struct serve *s, int status, const char *p, size_t n, bool close)
{
	if (!s->open)
		return;
	if (s->phase == SERVE_BODY && s->body.framing == HTTP1_LENGTH &&
	    s->body.left > DISCARD_KNOWN)
		close = true;
	s->closing |= close;
	serve_head(s, status);
	serve_field(s, slice_of("Content-Type"), slice_of("application/json"));
	serve_head_end(s, HTTP1_LENGTH, n);
	serve_write(s, p, n);
	serve_end(s);
}

bool
serve_line(struct serve *s, const char *p, size_t n)
{
	if (!s->open)
		return false;
	if (n >= SERVE_LOW && !s->blocked && s->phase != SERVE_DEAD) {
		write_through(s, p, n, "\n");
	} else {
		serve_put(s, p, n);
		serve_put(s, "\n", 1);
	}
	if (s->out.len > SERVE_FULL)
		s->full = true;
	return s->full;
}

void
serve_close(struct serve *s)
{
	if (!s->open)
		return;
	s->closing = s->rude = true;
	serve_over(s);
}
