/*
 * The bench's MCP server: answers every POST that carries a bearer with the
 * same 309 bytes of JSON-RPC, and everything else with 401.  Does as little as
 * it can.  Prints its port, serves until killed.
 */
#include <sys/epoll.h>
#include <sys/socket.h>

#include <err.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define ANSWER_BYTES	309

struct conn {
	int	fd;
	size_t	have;
	char	in[16384];
};

static char ok[1024];
static const char denied[] = "HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n";

static void
make_answer(void)
{
	static const char begin[] = "{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{\"content\":[{\"type\":\"text\",\"text\":\"";
	static const char end[] = "\"}]}}";
	char	text[ANSWER_BYTES + 1];
	size_t	fill = ANSWER_BYTES - (sizeof(begin) - 1) - (sizeof(end) - 1);

	memcpy(text, begin, sizeof(begin) - 1);
	memset(text + sizeof(begin) - 1, 'x', fill);
	memcpy(text + ANSWER_BYTES - (sizeof(end) - 1), end, sizeof(end));
	snprintf(ok, sizeof(ok), "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
	    "Content-Length: %d\r\n\r\n%s", ANSWER_BYTES, text);
}

/* Bytes of the complete request at the start of the buffer, 0 if it is not all there. */
static size_t
request_size(const struct conn *c, bool *ret_bearer)
{
	const char	*end, *length;
	size_t		 size;

	if ((end = memmem(c->in, c->have, "\r\n\r\n", 4)) == NULL)
		return 0;
	size = (size_t)(end + 4 - c->in);
	length = strcasestr(c->in, "\ncontent-length:");
	if (length != NULL && length < end)
		size += strtoul(length + 16, NULL, 10);
	length = strcasestr(c->in, "\nauthorization: bearer ");
	*ret_bearer = length != NULL && length < end;
	return size <= c->have ? size : 0;
}

/* False once the peer is gone. */
static bool
serve(struct conn *c)
{
	bool	 bearer = false;
	ssize_t	 n;
	size_t	 size;

	n = read(c->fd, c->in + c->have, sizeof(c->in) - 1 - c->have);
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return true;
	if (n <= 0)
		return false;
	c->have += (size_t)n;
	c->in[c->have] = '\0';
	while ((size = request_size(c, &bearer)) > 0) {
		const char	*answer = bearer ? ok : denied;

		if (write(c->fd, answer, strlen(answer)) < 0)
			return false;
		memmove(c->in, c->in + size, c->have - size + 1);
		c->have -= size;
	}
	return c->have < sizeof(c->in) - 1;
}

static void
accept_one(int ep, int listener)
{
	struct epoll_event	 ev = { .events = EPOLLIN };
	struct conn		*c;
	int			 fd, one = 1;

	if ((fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) == -1)
		return;
	if ((c = calloc(1, sizeof(*c))) == NULL)
		err(1, "calloc");
	c->fd = fd;
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	ev.data.ptr = c;
	if (epoll_ctl(ep, EPOLL_CTL_ADD, fd, &ev) == -1)
		err(1, "epoll_ctl");
}

int
main(void)
{
	struct sockaddr_in	 sin = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t		 len = sizeof(sin);
	struct epoll_event	 ev = { .events = EPOLLIN }, got[128];
	int			 listener, ep, n;

	make_answer();
	if ((listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) == -1 ||
	    bind(listener, (struct sockaddr *)&sin, len) == -1 || listen(listener, 512) == -1 ||
	    getsockname(listener, (struct sockaddr *)&sin, &len) == -1 ||
	    (ep = epoll_create1(EPOLL_CLOEXEC)) == -1 ||
	    epoll_ctl(ep, EPOLL_CTL_ADD, listener, &ev) == -1)
		err(1, "upstream");
	printf("%d\n", ntohs(sin.sin_port));
	fflush(stdout);
	for (;;) {
		if ((n = epoll_wait(ep, got, 128, -1)) == -1 && errno != EINTR)
			err(1, "epoll_wait");
		for (int i = 0; i < n; i++) {
			struct conn	*c = got[i].data.ptr;

			if (c == NULL) {
				accept_one(ep, listener);
			} else if (!serve(c)) {
				close(c->fd);
				free(c);
			}
		}
	}
}
