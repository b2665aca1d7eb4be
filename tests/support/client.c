/* A blocking HTTP/1.1 client with deadlines, for one connection. */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "support.h"

#define BODY_MAX	(512L * 1024 * 1024)
#define HEAD_MAX	(256 * 1024)

struct client {
	int		 fd;
	bool		 eof;
	struct buf	 in;
	size_t		 used;		/* of in, already consumed */
	struct http1_body body;
	struct buf	 events;	/* payload not yet cut into events */
	char		 where[PATH_SIZE];
};

void
reply_free(struct reply *r)
{
	buf_free(&r->head);
	buf_free(&r->body);
	*r = (struct reply){ 0 };
}

struct slice
reply_field(const struct reply *r, const char *name)
{
	static struct http1_head head;
	enum http1_error	err;
	size_t			scanned = 0;

	if (r->head.len == 0 || http1_response(r->head.p, r->head.len, &scanned, HEAD_MAX, "POST",
	    &head, &err) != 1)
		return (struct slice){ NULL, 0 };
	return http1_get(&head, name);
}

cJSON *
reply_json(const struct reply *r)
{
	struct slice	 type = reply_field(r, "Content-Type");
	const char	*p = r->body.p, *data, *last = NULL;

	if (p == NULL)
		return NULL;
	if (type.n < 17 || strncasecmp(type.p, "text/event-stream", 17) != 0)
		return cJSON_ParseWithLength(p, r->body.len);
	for (data = p; (data = strstr(data, "data: ")) != NULL; data += 6) {
		if (data == p || data[-1] == '\n')
			last = data + 6;
	}
	return last != NULL ? cJSON_ParseWithLength(last, strcspn(last, "\r\n")) : NULL;
}

const char *
reply_reason(const struct reply *r)
{
	static char	 out[64];
	cJSON		*j = reply_json(r);
	const cJSON	*e = cJSON_GetObjectItemCaseSensitive(j, "error");
	const cJSON	*d = cJSON_GetObjectItemCaseSensitive(e, "data");
	const char	*s = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(d, "reason"));

	snprintf(out, sizeof(out), "%s", s != NULL ? s : "");
	cJSON_Delete(j);
	return out;
}

/* -1 if nobody listens there. */
static int
connect_tcp(int port)
{
	struct sockaddr_in sin = { .sin_family = AF_INET, .sin_port = htons((uint16_t)port) };
	int		 fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	sin.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	if (fd < 0)
		give_up("port %d: %s", port, strerror(errno));
	if (connect(fd, (struct sockaddr *)&sin, sizeof(sin)) == 0)
		return fd;
	close(fd);
	return -1;
}

/* -1 if nobody listens there. */
static int
connect_unix(const char *path)
{
	struct sockaddr_un sun = { .sun_family = AF_UNIX };
	int		 fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0 || strlen(path) >= sizeof(sun.sun_path))
		give_up("%s: no socket", path);
	strcpy(sun.sun_path, path);
	if (connect(fd, (struct sockaddr *)&sun, sizeof(sun)) == 0)
		return fd;
	close(fd);
	return -1;
}

struct client *
client_try(const char *where)
{
	struct client	*c = calloc(1, sizeof(*c));

	if (c == NULL)
		give_up("no memory");
	c->in = c->events = BUF_INIT(BODY_MAX);
	c->fd = strncmp(where, "tcp:", 4) == 0 ? connect_tcp(atoi(where + 4)) :
	    connect_unix(where);
	snprintf(c->where, sizeof(c->where), "%s", where);
	if (c->fd >= 0)
		return c;
	free(c);
	return NULL;
}

struct client *
client_open(const char *where)
{
	struct client	*c = client_try(where);

	if (c == NULL)
		give_up("%s: %s", where, strerror(errno));
	return c;
}

int
client_fd(const struct client *c)
{
	return c->fd;
}

void
client_close(struct client *c)
{
	if (c == NULL)
		return;
	close(c->fd);
	buf_free(&c->in);
	buf_free(&c->events);
	free(c);
}

void
client_shutdown(struct client *c)
{
	shutdown(c->fd, SHUT_WR);
}

/* 0, or -ETIMEDOUT. */
static int
wait_for(int fd, short events, int64_t deadline)
{
	struct pollfd	p = { .fd = fd, .events = events };
	int64_t		left;
	int		n;

	do {
		left = deadline - now_ms();
		n = poll(&p, 1, left > 0 ? (int)left : 0);
	} while (n < 0 && errno == EINTR);
	return n > 0 ? 0 : -ETIMEDOUT;
}

int
client_send(struct client *c, const char *p, size_t n, int ms)
{
	int64_t	deadline = now_ms() + ms;
	ssize_t	put;

	while (n > 0) {
		put = send(c->fd, p, n, MSG_NOSIGNAL | MSG_DONTWAIT);
		if (put < 0 && errno != EAGAIN)
			return -ECONNRESET;
		if (put < 0) {
			if (wait_for(c->fd, POLLOUT, deadline) != 0)
				return -ETIMEDOUT;
			continue;
		}
		p += put;
		n -= (size_t)put;
	}
	return 0;
}

/* Reads what there is into c->in: > 0, 0 at the end, or an error. */
static ssize_t
fill(struct client *c, int64_t deadline)
{
	char	piece[65536];
	ssize_t	n;

	if (c->eof)
		return 0;
	if (wait_for(c->fd, POLLIN, deadline) != 0)
		return -ETIMEDOUT;
	n = recv(c->fd, piece, sizeof(piece), 0);
	if (n < 0)
		return -ECONNRESET;
	c->eof = n == 0;
	overheard(c->where, piece, (size_t)n);
	if (c->used == c->in.len) {
		buf_reset(&c->in);
		c->used = 0;
	}
	if (buf_add(&c->in, piece, (size_t)n) != 0)
		give_up("no memory");
	return n;
}

ssize_t
client_read(struct client *c, char *p, size_t n, int ms)
{
	int64_t	deadline = now_ms() + ms;
	ssize_t	got;

	if (c->used == c->in.len && (got = fill(c, deadline)) <= 0)
		return got;
	n = MIN(n, c->in.len - c->used);
	memcpy(p, c->in.p + c->used, n);
	c->used += n;
	return (ssize_t)n;
}

bool
client_ended(struct client *c, int ms)
{
	int64_t	deadline = now_ms() + ms;
	ssize_t	n;

	do {
		c->used = c->in.len;
		n = fill(c, deadline);
	} while (n > 0);
	return n != -ETIMEDOUT;
}

/* One head of any status off c->in: 1, 0 = more bytes are needed, or an error. */
static int
take_head(struct client *c, const char *method, struct reply *r)
{
	static struct http1_head head;
	enum http1_error	err;
	size_t			scanned = 0;
	const char		*p = c->in.p + c->used;
	int			rc;

	if (c->in.len == c->used)
		return 0;
	rc = http1_response(p, c->in.len - c->used, &scanned, HEAD_MAX, method, &head, &err);
	if (rc <= 0)
		return rc;
	buf_reset(&r->head);
	buf_reset(&r->body);
	r->body.max = BODY_MAX;
	buf_add(&r->head, p, head.size);
	r->status = head.status;
	c->used += head.size;
	http1_body_init(&c->body, head.framing, head.length);
	r->complete = c->body.done;
	return 1;
}

int
client_head(struct client *c, const char *method, struct reply *r, int ms)
{
	int64_t	deadline = now_ms() + ms;
	ssize_t	n;
	int	rc;

	buf_reset(&c->events);
	r->status = 0;
	for (;;) {
		while ((rc = take_head(c, method, r)) == 1 && r->status < 200)
			;
		if (rc != 0)
			return rc < 0 ? rc : 0;
		if ((n = fill(c, deadline)) <= 0)
			return n == 0 ? -ECONNRESET : (int)n;
	}
}

/* Payload off c->in into `to`: 1 = some, 0 = none there. */
static int
take_body(struct client *c, struct buf *to)
{
	enum http1_error err;
	struct slice	 data;
	size_t		 before = to->len;
	ssize_t		 n;

	while (!c->body.done && c->used < c->in.len) {
		n = http1_body(&c->body, c->in.p + c->used, c->in.len - c->used, &data, &err);
		if (n < 0)
			return -EBADMSG;
		c->used += (size_t)n;
		if (buf_addslice(to, data) != 0)
			give_up("a body too large for the test");
	}
	return to->len > before;
}

static int
body_into(struct client *c, struct buf *to, int64_t deadline)
{
	ssize_t	n;
	int	rc;

	for (;;) {
		if ((rc = take_body(c, to)) != 0)
			return rc;
		if (c->body.done)
			return 0;
		if ((n = fill(c, deadline)) < 0)
			return (int)n;
		if (n == 0)
			return http1_body_eof(&c->body) ? 0 : -ECONNRESET;
	}
}

int
client_body(struct client *c, struct reply *r, int ms)
{
	int	rc = body_into(c, &r->body, now_ms() + ms);

	r->complete = rc == 0;
	return rc;
}

int
client_reply(struct client *c, const char *method, struct reply *r, int ms)
{
	int64_t	deadline = now_ms() + ms;
	int	rc = client_head(c, method, r, ms);

	if (rc != 0)
		return rc;
	while ((rc = body_into(c, &r->body, deadline)) > 0)
		;
	r->complete = rc == 0;
	return rc;
}

int
client_event(struct client *c, struct buf *event, int ms)
{
	int64_t	 deadline = now_ms() + ms;
	char	*end;
	int	 rc;

	buf_reset(event);
	for (;;) {
		if (c->events.len > 0 && (end = memmem(c->events.p, c->events.len, "\n\n", 2))) {
			buf_add(event, c->events.p, (size_t)(end - c->events.p));
			buf_consume(&c->events, (size_t)(end - c->events.p) + 2);
			return 1;
		}
		if ((rc = body_into(c, &c->events, deadline)) <= 0)
			return rc;
	}
}
