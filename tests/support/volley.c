/* Many requests at once, each on a connection of its own, none of them waited for alone. */
#include <fcntl.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "support.h"

#define HEAD_MAX	(256 * 1024)

struct flight {
	struct shot	*shot;
	int		 fd;		/* -1: not open */
	size_t		 sent;
	bool		 in_body, writing;
	struct buf	 in;
	size_t		 used;
	struct http1_body body;
};

struct volley {
	struct flight	*flights;
	size_t		 n, open, unconnected;
	int		 ep;
	int64_t		 started;
};

static void
flight_done(struct volley *v, struct flight *f, int error)
{
	if (f->shot->done)
		return;
	f->shot->done = true;
	f->shot->error = error;
	f->shot->done_ms = now_ms() - v->started;
	v->open--;
	if (f->fd >= 0)
		close(f->fd);
	f->fd = -1;
}

static void
watch(struct volley *v, struct flight *f, int op, bool writing)
{
	struct epoll_event ev = { .events = EPOLLIN | (writing ? EPOLLOUT : 0u),
	    .data.ptr = f };

	f->writing = writing;
	if (epoll_ctl(v->ep, op, f->fd, &ev) != 0)
		give_up("epoll: %s", strerror(errno));
}

static void
flight_send(struct volley *v, struct flight *f)
{
	const struct buf *b = &f->shot->request;
	ssize_t		 n;

	while (f->sent < b->len) {
		n = send(f->fd, b->p + f->sent, b->len - f->sent, MSG_NOSIGNAL);
		if (n < 0 && errno == EAGAIN) {
			if (!f->writing)
				watch(v, f, EPOLL_CTL_MOD, true);
			return;
		}
		if (n < 0) {	/* an early answer may still be there */
			f->sent = b->len;
			break;
		}
		f->sent += (size_t)n;
	}
	if (f->writing)
		watch(v, f, EPOLL_CTL_MOD, false);
}

/* A backlog that is full is tried again in volley_run(). */
static void
flight_connect(struct volley *v, struct flight *f)
{
	struct sockaddr_un sun = { .sun_family = AF_UNIX };

	f->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (f->fd < 0 || strlen(f->shot->socket) >= sizeof(sun.sun_path))
		give_up("%s: %s", f->shot->socket, strerror(errno));
	strcpy(sun.sun_path, f->shot->socket);
	if (connect(f->fd, (struct sockaddr *)&sun, sizeof(sun)) != 0) {
		if (errno != EAGAIN)
			give_up("%s: %s", f->shot->socket, strerror(errno));
		close(f->fd);
		f->fd = -1;
		return;
	}
	v->unconnected--;
	watch(v, f, EPOLL_CTL_ADD, false);
	flight_send(v, f);
}

static void
connect_all(struct volley *v)
{
	size_t	i;

	for (i = 0; i < v->n && v->unconnected > 0; i++) {
		if (v->flights[i].fd < 0 && !v->flights[i].shot->done)
			flight_connect(v, &v->flights[i]);
	}
}

struct volley *
volley_start(struct shot *shots, size_t n)
{
	struct volley	*v = calloc(1, sizeof(*v));
	struct rlimit	 rl;
	size_t		 i;

	if (getrlimit(RLIMIT_NOFILE, &rl) == 0) {
		rl.rlim_cur = rl.rlim_max;
		setrlimit(RLIMIT_NOFILE, &rl);
	}
	if (v == NULL || (v->flights = calloc(n + 1, sizeof(*v->flights))) == NULL ||
	    (v->ep = epoll_create1(EPOLL_CLOEXEC)) < 0)
		give_up("no memory");
	v->n = v->open = v->unconnected = n;
	v->started = now_ms();
	for (i = 0; i < n; i++) {
		shots[i].done = false;
		shots[i].error = -ETIMEDOUT;
		v->flights[i] = (struct flight){ .shot = &shots[i], .fd = -1 };
	}
	connect_all(v);
	return v;
}

static void
flight_parse(struct volley *v, struct flight *f)
{
	static struct http1_head head;
	struct reply		*r = &f->shot->reply;
	enum http1_error	 err;
	struct slice		 data;
	size_t			 scanned = 0;
	ssize_t			 n;

	while (!f->in_body && f->used < f->in.len) {
		n = http1_response(f->in.p + f->used, f->in.len - f->used, &scanned, HEAD_MAX,
		    f->shot->method, &head, &err);
		if (n < 0)
			flight_done(v, f, -EBADMSG);
		if (n <= 0)
			return;
		buf_reset(&r->head);
		buf_add(&r->head, f->in.p + f->used, head.size);
		r->status = head.status;
		f->used += head.size;
		scanned = 0;
		http1_body_init(&f->body, head.framing, head.length);
		f->in_body = head.status >= 200;
	}
	while (f->in_body && !f->body.done && f->used < f->in.len) {
		n = http1_body(&f->body, f->in.p + f->used, f->in.len - f->used, &data, &err);
		if (n < 0) {
			flight_done(v, f, -EBADMSG);
			return;
		}
		f->used += (size_t)n;
		if (buf_addslice(&r->body, data) != 0)
			give_up("a body too large for the test");
	}
	r->complete = f->in_body && f->body.done;
	if (r->complete || (f->shot->until != NULL && r->body.len > 0 &&
	    strstr(r->body.p, f->shot->until) != NULL))
		flight_done(v, f, 0);
}

static void
flight_read(struct volley *v, struct flight *f)
{
	char	piece[65536];
	ssize_t	n;

	while (!f->shot->done) {
		n = recv(f->fd, piece, sizeof(piece), 0);
		if (n < 0 && errno == EAGAIN)
			return;
		if (n == 0 && f->in_body && http1_body_eof(&f->body)) {
			f->shot->reply.complete = true;
			flight_done(v, f, 0);
			return;
		}
		if (n <= 0) {
			flight_done(v, f, -ECONNRESET);
			return;
		}
		overheard(f->shot->socket, piece, (size_t)n);
		if (f->used == f->in.len) {
			buf_reset(&f->in);
			f->used = 0;
		}
		if (buf_add(&f->in, piece, (size_t)n) != 0)
			give_up("no memory");
		flight_parse(v, f);
	}
}

size_t
volley_run(struct volley *v, int ms)
{
	struct epoll_event ev[64];
	struct flight	*f;
	int64_t		 deadline = now_ms() + ms, left;
	int		 n, i;

	while (v->open > 0 && (left = deadline - now_ms()) >= 0) {
		if (v->unconnected > 0) {
			connect_all(v);
			left = MIN(left, 2);
		}
		n = epoll_wait(v->ep, ev, nitems(ev), (int)left);
		for (i = 0; i < n; i++) {
			f = ev[i].data.ptr;
			if (f->fd >= 0 && (ev[i].events & EPOLLOUT) != 0)
				flight_send(v, f);
			if (f->fd >= 0 && (ev[i].events & (EPOLLIN | EPOLLHUP | EPOLLERR)) != 0)
				flight_read(v, f);
		}
		if (left == 0)
			break;
	}
	return v->n - v->open;
}

bool
volley_until(struct volley *v, struct world *w, const char *count, int64_t n, int ms)
{
	int64_t	deadline = now_ms() + ms;

	while (wall_count(w, count) < n) {
		if (now_ms() > deadline)
			return false;
		volley_run(v, 2);
		if (v->open == 0)
			pause_ms(2);
	}
	return true;
}

size_t
volley_open(const struct volley *v)
{
	return v->open;
}

void
volley_free(struct volley *v)
{
	size_t	i;

	for (i = 0; i < v->n; i++) {
		if (v->flights[i].fd >= 0)
			close(v->flights[i].fd);
		buf_free(&v->flights[i].in);
	}
	close(v->ep);
	free(v->flights);
	free(v);
}

void
shots_free(struct shot *shots, size_t n)
{
	size_t	i;

	for (i = 0; i < n; i++) {
		buf_free(&shots[i].request);
		reply_free(&shots[i].reply);
	}
}

size_t
volley(struct shot *shots, size_t n, int ms)
{
	struct volley	*v = volley_start(shots, n);
	size_t		 good = 0, i;

	volley_run(v, ms);
	volley_free(v);
	for (i = 0; i < n; i++)
		good += shots[i].done && shots[i].error == 0;
	return good;
}

size_t
shots_status(const struct shot *shots, size_t n, int status)
{
	size_t	have = 0, i;

	for (i = 0; i < n; i++)
		have += shots[i].done && shots[i].reply.status == status;
	return have;
}
