#include <assert.h>

#include "hop.h"
#include "outgoing.h"

#define LENGTH_DIGITS	20	/* of a uint64_t */

void
outgoing_init(struct outgoing *o)
{
	memset(o, 0, sizeof(*o));
	o->lead.secret = true;
}

static char *
put(char *p, const char *s, size_t n)
{
	memcpy(p, s, n);
	return p + n;
}

static int
compose_line(struct buf *b, const char *method, const struct url *url)
{
	int e;

	if ((e = buf_adds(b, method)) < 0 || (e = buf_add(b, " ", 1)) < 0 ||
	    (e = buf_adds(b, url->target)) < 0 ||
	    (e = buf_adds(b, " HTTP/1.1\r\nHost: ")) < 0 ||
	    (e = buf_adds(b, url->authority)) < 0)
		return e;
	return buf_add(b, "\r\n", 2);
}

/* Is there a line "name: ..." among them? */
static bool
names_line(const char *lines, struct slice name)
{
	for (; *lines != '\0'; lines = strstr(lines, "\r\n") + 2)
		if (strncasecmp(lines, name.p, name.n) == 0 && lines[name.n] == ':')
			return true;
	return false;
}

/* "Name: value\r\n" is never longer than what the client's head takes, give or take the blank. */
static int
compose_fields(struct buf *b, const struct http1_head *h, const char *own)
{
	const struct http1_field *f;
	char *p;
	int e;

	if ((e = buf_reserve(b, h->size + h->nfields)) < 0)
		return e;
	p = b->p + b->len;
	for (f = h->fields; f < h->fields + h->nfields; f++) {
		if (!hop_up(h, f) || (own != NULL && names_line(own, f->name)))
			continue;
		p = put(p, f->name.p, f->name.n);
		p = put(p, ": ", 2);
		p = put(p, f->value.p, f->value.n);
		p = put(p, "\r\n", 2);
	}
	b->len = p - b->p;
	*p = '\0';
	return 0;
}

int
outgoing_begin(struct outgoing *o, const char *method, const struct url *url,
    const struct http1_head *h, const char *own)
{
	struct buf head = o->head, lead = o->lead, body = o->body;
	int e;

	memset(o, 0, sizeof(*o));
	buf_reset(&head);
	buf_reset(&lead);
	buf_reset(&body);
	o->head = head;
	o->lead = lead;
	o->body = body;
	o->framing = h->framing;
	o->length = h->framing == HTTP1_LENGTH ? h->length : 0;
	o->post = strcmp(method, "POST") == 0;
	o->complete = h->framing == HTTP1_NONE;
	o->held = true;
	if ((e = compose_line(&o->head, method, url)) < 0)
		return e;
	o->line = o->head.len;
	return compose_fields(&o->head, h, own);
}

int
outgoing_target(struct outgoing *o, const char *method, const struct url *url)
{
	struct buf head = BUF_INIT(o->head.max);
	size_t line;
	int e;

	if ((e = compose_line(&head, method, url)) < 0 || (line = head.len,
	    e = buf_add(&head, o->head.p + o->line, o->head.len - o->line)) < 0) {
		buf_free(&head);
		return e;
	}
	buf_free(&o->head);
	o->head = head;
	o->line = line;
	return 0;
}

int
outgoing_add(struct outgoing *o, const char *p, size_t n)
{
	return buf_add(&o->body, p, n);
}

size_t
outgoing_unsent(const struct outgoing *o)
{
	return o->dropped + o->body.len - o->sent;
}

static void
drop_sent(struct outgoing *o)
{
	size_t n = o->sent - o->dropped;

	/* A prefix is worth moving the rest only if it is the larger part. */
	if (n < o->body.len - n)
		return;
	o->dropped = o->sent;
	if (n < o->body.len)
		buf_consume(&o->body, n);
	else if (o->body.cap > (size_t)WINDOW)
		buf_free(&o->body);
	else
		buf_reset(&o->body);
}

void
outgoing_unhold(struct outgoing *o)
{
	o->held = false;
	drop_sent(o);
}

/* RFC 9112 section 6: the length if it is known by now. */
static int
add_framing(struct outgoing *o)
{
	char text[sizeof("Content-Length: \r\n") + LENGTH_DIGITS], *p = text + sizeof(text);
	uint64_t n = o->complete ? o->dropped + o->body.len : o->length;

	o->chunked = !o->complete && o->framing == HTTP1_CHUNKED;
	if (o->chunked)
		return buf_adds(&o->lead, "Transfer-Encoding: chunked\r\n");
	if (o->framing == HTTP1_NONE && !o->post)
		return 0;
	*--p = '\n';
	*--p = '\r';
	do
		*--p = '0' + n % 10;
	while ((n /= 10) > 0);
	p -= strlen("Content-Length: ");
	memcpy(p, "Content-Length: ", strlen("Content-Length: "));
	return buf_add(&o->lead, p, text + sizeof(text) - p);
}

int
outgoing_rewind(struct outgoing *o)
{
	assert(o->dropped == 0 && o->lead.len == 0);
	o->head_sent = o->lead_sent = 0;
	o->sent = 0;
	o->chunks = o->last = false;
	o->chunk = 0;
	return add_framing(o);
}

/* The size line of the next chunk, or the last one, behind what else is due. */
static int
add_chunk_line(struct outgoing *o)
{
	size_t unsent = outgoing_unsent(o);
	int e;

	if (!o->chunked || o->chunk > 0 || o->last || (unsent == 0 && !o->complete))
		return 0;
	if (unsent > 0)
		e = buf_addf(&o->lead, "%s%zx\r\n", o->chunks ? "\r\n" : "", unsent);
	else
		e = buf_addf(&o->lead, "%s0\r\n\r\n", o->chunks ? "\r\n" : "");
	if (e < 0)
		return e;
	o->chunk = unsent;
	o->chunks = true;
	o->last = unsent == 0;
	return 0;
}

int
outgoing_iov(struct outgoing *o, struct iovec iov[OUTGOING_IOV])
{
	size_t payload;
	int e, n = 0;

	if ((e = add_chunk_line(o)) < 0)
		return e;
	if (o->head_sent < o->head.len)
		iov[n++] = (struct iovec){ o->head.p + o->head_sent, o->head.len - o->head_sent };
	if (o->lead_sent < o->lead.len)
		iov[n++] = (struct iovec){ o->lead.p + o->lead_sent, o->lead.len - o->lead_sent };
	payload = o->chunked ? o->chunk : outgoing_unsent(o);
	if (payload > 0)
		iov[n++] = (struct iovec){ o->body.p + (o->sent - o->dropped), payload };
	return n;
}

void
outgoing_wrote(struct outgoing *o, size_t n)
{
	size_t part = MIN(n, o->head.len - o->head_sent);

	o->head_sent += part;
	n -= part;
	part = MIN(n, o->lead.len - o->lead_sent);
	o->lead_sent += part;
	n -= part;
	if (o->lead_sent == o->lead.len) {
		buf_reset(&o->lead);
		o->lead_sent = 0;
	}
	o->sent += n;
	if (o->chunked)
		o->chunk -= n;
	if (!o->held)
		drop_sent(o);
}

bool
outgoing_lead_out(const struct outgoing *o)
{
	return o->lead.len == 0;
}

bool
outgoing_done(const struct outgoing *o)
{
	return o->complete && o->head_sent == o->head.len && o->lead.len == 0 &&
	    outgoing_unsent(o) == 0 && (!o->chunked || o->last);
}

void
outgoing_free(struct outgoing *o)
{
	buf_free(&o->head);
	buf_free(&o->lead);
	buf_free(&o->body);
}
