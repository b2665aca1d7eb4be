#include <sys/socket.h>

#include <stdio.h>
#include <unistd.h>

#include "buf.h"
#include "link_tls.h"

enum state {
	CONNECTING,
	UP,
	DOWN,			/* down() was called */
	FREED			/* dies at the end of the turn */
};

struct link {
	struct transfer	 transfer;	/* first: the done() argument is the link */
	struct loop	*loop;
	const struct link_ops *ops;
	void		*arg;
	enum state	 state;
	bool		 paused;
	bool		 kicked;	/* kick() is deferred */
	bool		 short_write;	/* somebody waits for room() */
	bool		 write_broken;	/* what was received before is still given */
	bool		 ended;		/* the read side has ended: why and words are set */
	bool		 fresh;		/* TLS: nothing read yet, see read_tls_once() */
	bool		 read_wants_write;
	bool		 has_early;	/* the byte that came with attach() */
	char		 early;
	int		 fd;
	struct ssl_st	*ssl;		/* libcurl's; NULL if plain */
	struct event	 rd, wr;
	struct buf	 pending;	/* TLS: a record that was taken but not yet written */
	uint64_t	 turn;		/* of the loop, when something last came */
	enum link_error	 why;
	char		 words[WORDS_BYTES];
};

static void
end_with(struct link *l, enum link_error why, const char *words)
{
	if (l->ended)
		return;
	l->ended = true;
	l->why = why;
	snprintf(l->words, sizeof(l->words), "%s", words);
}

static void
link_down(struct link *l)
{
	l->state = DOWN;
	if (l->fd != -1) {
		event_del(&l->rd);
		event_del(&l->wr);
	}
	l->ops->down(l->arg, l->why, l->words);
}

/* Look again in the next turn, although epoll may see nothing to read. */
static void
kick(void *arg)
{
	struct link *l = arg;

	l->kicked = false;
	if (l->state == UP && !l->paused)
		event_active(&l->rd, EV_READ, 1);
}

static void
link_kick(struct link *l)
{
	if (l->kicked)
		return;
	l->kicked = true;
	loop_defer(l->loop, kick, l);
}

static void
read_failed(struct link *l, int e)
{
	char words[WORDS_BYTES];

	connector_lost(e, words);
	end_with(l, LINK_RESET, words);
}

/* One read for one event: epoll is level-triggered. */
static size_t
read_plain(struct link *l, char *p, size_t size)
{
	ssize_t n;

	do
		n = read(l->fd, p, size);
	while (n == -1 && errno == EINTR);
	if (n > 0)
		return n;
	if (n == 0)
		end_with(l, LINK_CLOSED, "the server closed the connection");
	else if (errno != EAGAIN)
		read_failed(l, errno);
	return 0;
}

/*
 * The first bytes go through libcurl, so that it sees the session tickets
 * that came before them and can keep them for later connections.
 */
static size_t
read_tls_once(struct link *l, char *p, size_t size)
{
	enum link_error why = LINK_RESET;
	char words[WORDS_BYTES];
	CURLcode code;
	size_t n = 0;

	if (l->fresh) {
		l->fresh = false;
		errno = 0;
		code = curl_easy_recv(l->transfer.easy, p, size, &n);
		if (code == CURLE_OK && n > 0)
			return n;
		/* The BIO is not libcurl's: an error behind the tickets looks like AGAIN. */
		if ((code != CURLE_OK && code != CURLE_AGAIN) || errno == ECONNRESET) {
			if (transfer_alert(&l->transfer, words, sizeof(words)))
				end_with(l, LINK_TLS, words);
			read_failed(l, ECONNRESET);
			return 0;
		}
	}
	switch (tls_read(l->ssl, p, size, &n, &why, words)) {
	case TLS_DONE:
		return n;
	case TLS_WANT_READ:
		break;
	case TLS_WANT_WRITE:
		l->read_wants_write = true;
		event_add(&l->wr, NULL);
		break;
	case TLS_FAILED:
		if (transfer_alert(&l->transfer, words, sizeof(words)))
			why = LINK_TLS;
		end_with(l, why, words);
		break;
	}
	return 0;
}

/* Empties the TLS layer, but no more than one buffer each turn. */
static size_t
read_tls(struct link *l, char *p, size_t size)
{
	size_t n = 0, got;

	do {
		got = read_tls_once(l, p + n, size - n);
		n += got;
	} while (got > 0 && n < size && tls_pending(l->ssl));
	if (got > 0 && n == size)
		link_kick(l);
	return n;
}

static void
give(struct link *l, const char *p, size_t n)
{
	const struct link_ops *ops = l->ops;
	void *arg = l->arg;

	l->turn = l->loop->turn;
	ops->data(arg, p, n);
	/* Somebody else's now?  Then this turn is not theirs. */
	if (l->state == UP && l->ops == ops && l->arg == arg && ops->turn != NULL)
		ops->turn(arg);
}

static void	flush_pending(struct link *);

static void
readable(_unused_ evutil_socket_t fd, _unused_ short what, void *arg)
{
	struct link *l = arg;
	char *p = l->loop->readbuf;
	size_t n = 0;

	if (l->state != UP || l->paused)
		return;
	if (l->has_early)
		p[n++] = l->early;
	l->has_early = false;
	if (l->pending.len > 0)
		flush_pending(l);
	if (!l->ended) {
		if (l->ssl != NULL)
			n += read_tls(l, p + n, READ_BUFFER - n);
		else
			n += read_plain(l, p + n, READ_BUFFER - n);
	}
	if (n == 0 && l->write_broken)
		end_with(l, LINK_RESET, "the connection was reset");
	if (n > 0) {
		if (l->ended || l->write_broken)
			link_kick(l);
		give(l, p, n);
	} else if (l->ended)
		link_down(l);
}

static void
writable(_unused_ evutil_socket_t fd, _unused_ short what, void *arg)
{
	struct link *l = arg;

	if (l->state != UP)
		return;
	if (l->read_wants_write) {
		l->read_wants_write = false;
		link_kick(l);
	}
	if (l->pending.len > 0)
		flush_pending(l);
	if (l->pending.len > 0 || !l->short_write || l->write_broken)
		return;
	l->short_write = false;
	if (l->ops->room != NULL)
		l->ops->room(l->arg);
}

/* An answer may have come before the peer stopped reading: it is given first, then down(). */
static int
write_failed(struct link *l, int e)
{
	l->write_broken = true;
	link_kick(l);
	return e > 0 ? -e : -EPIPE;
}

static ssize_t
write_plain(struct link *l, const struct iovec *iov, int n)
{
	struct msghdr msg = { .msg_iov = (struct iovec *)iov, .msg_iovlen = n };
	ssize_t taken;

	do
		taken = sendmsg(l->fd, &msg, MSG_NOSIGNAL | MSG_DONTWAIT);
	while (taken == -1 && errno == EINTR);
	if (taken == -1)
		return errno == EAGAIN ? 0 : write_failed(l, errno);
	return taken;
}

/* One record: 1 written, 0 it has to be offered again, -errno. */
static int
write_record(struct link *l, const char *p, size_t n)
{
	int error = 0;

	switch (tls_write(l->ssl, p, n, &error)) {
	case TLS_DONE:
		return 1;
	case TLS_WANT_READ:	/* readable() tries again */
		return 0;
	case TLS_WANT_WRITE:
		event_add(&l->wr, NULL);
		return 0;
	case TLS_FAILED:
		break;
	}
	return write_failed(l, error);
}

static void
flush_pending(struct link *l)
{
	if (write_record(l, l->pending.p, l->pending.len) == 0)
		return;
	buf_free(&l->pending);
	if (l->short_write && !l->write_broken)
		event_add(&l->wr, NULL);
}

/* Copies up to `size` bytes from position `skip` of the vector. */
static size_t
gather(char *out, size_t size, const struct iovec *iov, int n, size_t skip)
{
	size_t got = 0, part;
	int i;

	for (i = 0; i < n && got < size; i++) {
		if (skip >= iov[i].iov_len) {
			skip -= iov[i].iov_len;
			continue;
		}
		part = MIN(iov[i].iov_len - skip, size - got);
		memcpy(out + got, (const char *)iov[i].iov_base + skip, part);
		got += part;
		skip = 0;
	}
	return got;
}

/*
 * Whole records, gathered, so that head and body are one packet.  A record
 * that does not fit is kept and counts as taken: TLS has it already and wants
 * the very same bytes again, which the caller need not promise.
 */
static ssize_t
write_tls(struct link *l, const struct iovec *iov, int n)
{
	char record[TLS_RECORD];
	size_t taken = 0, size, widest = 0;
	int r = 1;

	while (r == 1 && (size = gather(record, sizeof(record), iov, n, taken)) > 0) {
		widest = MAX(widest, size);
		r = write_record(l, record, size);
		if (r == 0 && buf_add(&l->pending, record, size) < 0)
			r = write_failed(l, ENOMEM);
		if (r >= 0)
			taken += size;
	}
	explicit_bzero(record, widest);
	return taken == 0 && r < 0 ? r : (ssize_t)taken;
}

ssize_t
link_write(struct link *l, const struct iovec *iov, int n)
{
	size_t asked = 0;
	ssize_t taken;
	int i;

	if (l->state != UP)
		return -ENOTCONN;
	if (l->write_broken)
		return -EPIPE;
	for (i = 0; i < n; i++)
		asked += iov[i].iov_len;
	if (asked == 0)
		return 0;
	if (l->ssl == NULL)
		taken = write_plain(l, iov, n);
	else
		taken = l->pending.len > 0 ? 0 : write_tls(l, iov, n);
	if (taken >= 0 && (size_t)taken < asked && !l->write_broken) {
		l->short_write = true;
		if (l->ssl == NULL)
			event_add(&l->wr, NULL);
	}
	return taken;
}

/*
 * FACTS: one curl_easy_recv() attaches the link, so that libcurl neither
 * prunes it nor hides its SSL object.  A byte that comes with it is kept.
 */
static int
attach(struct link *l)
{
	struct curl_tlssessioninfo *tls = NULL;
	curl_socket_t fd = CURL_SOCKET_BAD;
	char *scheme = NULL;
	size_t n = 0;
	CURLcode code;

	code = curl_easy_recv(l->transfer.easy, &l->early, 1, &n);
	if (code != CURLE_OK && code != CURLE_AGAIN) {
		if (transfer_alert(&l->transfer, l->words, sizeof(l->words))) {
			l->ended = true;
			l->why = LINK_TLS;
		}
		end_with(l, LINK_RESET, "the connection was reset");
		return -1;
	}
	l->has_early = code == CURLE_OK && n == 1;
	curl_easy_getinfo(l->transfer.easy, CURLINFO_ACTIVESOCKET, &fd);
	curl_easy_getinfo(l->transfer.easy, CURLINFO_SCHEME, &scheme);
	if (scheme != NULL && strcasecmp(scheme, "https") == 0) {
		curl_easy_getinfo(l->transfer.easy, CURLINFO_TLS_SSL_PTR, &tls);
		if (tls != NULL)
			l->ssl = tls->internals;
	}
	if (fd == CURL_SOCKET_BAD || scheme == NULL ||
	    (l->ssl == NULL && strcasecmp(scheme, "https") == 0)) {
		end_with(l, LINK_FAILED, "libcurl gave no connection");
		return -1;
	}
	l->fd = fd;
	return 0;
}

static void
connected(struct transfer *t, CURLcode code)
{
	struct link *l = (struct link *)t;

	if (code != CURLE_OK) {
		l->ended = true;
		l->why = transfer_why(t, code, l->words, sizeof(l->words));
		link_down(l);
		return;
	}
	if (attach(l) == 0 && l->ssl != NULL && tls_take(l->ssl, l->fd) < 0)
		end_with(l, LINK_FAILED, "out of memory");
	if (l->ended) {
		l->fd = -1;
		link_down(l);
		return;
	}
	l->fresh = l->ssl != NULL;
	l->state = UP;
	l->turn = l->loop->turn;
	event_assign(&l->rd, l->loop->base, l->fd, EV_READ | EV_PERSIST, readable, l);
	event_assign(&l->wr, l->loop->base, l->fd, EV_WRITE, writable, l);
	if (!l->paused)
		event_add(&l->rd, NULL);
	if (l->has_early)
		link_kick(l);
	l->ops->up(l->arg);
}

/* link_open() found out why. */
static void
never_began(void *arg)
{
	struct link *l = arg;

	if (l->state == CONNECTING)
		link_down(l);
}

struct link *
link_open(struct connector *c, const struct link_target *target, const struct link_ops *ops,
    void *arg)
{
	struct link *l;
	int e;

	l = calloc(1, sizeof(*l));
	if (l == NULL)
		return NULL;
	l->loop = connector_loop(c);
	l->ops = ops;
	l->arg = arg;
	l->fd = -1;
	l->pending = BUF_SECRET(TLS_RECORD);
	l->transfer.done = connected;
	e = transfer_begin(&l->transfer, c, target->url.text, &target->way, target->connect_ms);
	if (e == 0 && curl_easy_setopt(l->transfer.easy, CURLOPT_CONNECT_ONLY, 1L) != CURLE_OK)
		e = -ENOMEM;
	if (e == 0)
		e = transfer_go(&l->transfer);
	if (e < 0) {
		end_with(l, LINK_FAILED, way_strerror(e));
		loop_defer(l->loop, never_began, l);
	}
	return l;
}

void
link_own(struct link *l, const struct link_ops *ops, void *arg)
{
	l->ops = ops;
	l->arg = arg;
}

void
link_pause(struct link *l)
{
	if (l->paused)
		return;
	l->paused = true;
	if (l->state == UP)
		event_del(&l->rd);
}

void
link_resume(struct link *l)
{
	if (!l->paused)
		return;
	l->paused = false;
	if (l->state != UP)
		return;
	event_add(&l->rd, NULL);
	if (l->ssl != NULL || l->ended || l->has_early || l->write_broken)
		link_kick(l);
}

bool
link_quiet(struct link *l)
{
	char c;

	if (l->state != UP || l->ended || l->write_broken || l->short_write || l->paused ||
	    l->has_early || l->pending.len > 0)
		return false;
	if (l->ssl != NULL && tls_pending(l->ssl))
		return false;
	if (l->turn == l->loop->turn)
		return true;
	return recv(l->fd, &c, 1, MSG_PEEK | MSG_DONTWAIT) == -1 && errno == EAGAIN;
}

void
link_look(const struct link *l, struct link_facts *ret)
{
	char *address = NULL;
	long tunnel = 0;

	*ret = (struct link_facts){ 0 };
	if (l->state != UP)
		return;
	curl_easy_getinfo(l->transfer.easy, CURLINFO_HTTP_CONNECTCODE, &tunnel);
	curl_easy_getinfo(l->transfer.easy, CURLINFO_PRIMARY_IP, &address);
	ret->proxied = tunnel != 0;
	if (address != NULL)
		snprintf(ret->address, sizeof(ret->address), "%s", address);
	if (l->ssl != NULL)
		tls_look(l->ssl, ret);
}

static void
bury(void *arg)
{
	free(arg);
}

void
link_free(struct link *l)
{
	if (l == NULL || l->state == FREED)
		return;
	if (l->state == UP) {
		event_del(&l->rd);
		event_del(&l->wr);
	}
	l->state = FREED;
	transfer_end(&l->transfer);
	tls_forget_errors();
	l->ssl = NULL;
	buf_free(&l->pending);
	loop_defer(l->loop, bury, l);
}
