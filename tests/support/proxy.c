/* An HTTP proxy that knows CONNECT alone: one process, one more for each connection. */
#include <arpa/inet.h>
#include <netdb.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <openssl/evp.h>

#include "support.h"

static void
say_all(int fd, const char *p, size_t n)
{
	ssize_t done;

	for (; n > 0; p += done, n -= (size_t)done)
		if ((done = send(fd, p, n, MSG_NOSIGNAL)) <= 0)
			_exit(0);
}

static void
say_text(int fd, const char *text)
{
	say_all(fd, text, strlen(text));
}

/* The request's head, and nothing behind it: a client waits for the answer. */
static void
read_head(int fd, char *head, size_t size)
{
	size_t n = 0;
	ssize_t got;

	do {
		got = recv(fd, head + n, size - 1 - n, 0);
		if (got <= 0)
			_exit(0);
		n += (size_t)got;
		head[n] = '\0';
	} while (strstr(head, "\r\n\r\n") == NULL);
}

static bool
is_known(const struct proxy *p, const char *head)
{
	char line[160], coded[128];

	if (p->credentials[0] == '\0')
		return true;
	EVP_EncodeBlock((unsigned char *)coded, (const unsigned char *)p->credentials,
	    (int)strlen(p->credentials));
	snprintf(line, sizeof(line), "\r\nProxy-Authorization: Basic %s\r\n", coded);
	return strstr(head, line) != NULL;
}

static int
dial(const char *head)
{
	struct addrinfo hints = { .ai_socktype = SOCK_STREAM }, *found;
	char host[128], port[8];
	int fd;

	if (sscanf(head, "CONNECT %127[^: ]:%7[0-9] HTTP/1.1\r\n", host, port) != 2 ||
	    getaddrinfo(host, port, &hints, &found) != 0)
		return -1;
	fd = socket(found->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	return connect(fd, found->ai_addr, found->ai_addrlen) == 0 ? fd : -1;
}

static void
relay(int a, int b)
{
	struct pollfd fds[2] = { { .fd = a, .events = POLLIN }, { .fd = b, .events = POLLIN } };
	static char piece[65536];
	ssize_t n;

	for (;;) {
		if (poll(fds, 2, -1) < 0)
			_exit(0);
		for (int i = 0; i < 2; i++) {
			if (fds[i].revents == 0)
				continue;
			if ((n = recv(fds[i].fd, piece, sizeof(piece), 0)) <= 0)
				_exit(0);
			say_all(fds[!i].fd, piece, (size_t)n);
		}
	}
}

static void
serve(struct proxy *p, int fd)
{
	char head[65536], c;
	int to;

	read_head(fd, head, sizeof(head));
	p->asked++;
	if (strncmp(head, "CONNECT ", 8) != 0 || strstr(head, "\r\nAuthorization:") != NULL)
		p->leaks++;
	if (p->mode == PROXY_HANG)
		(void)recv(fd, &c, 1, 0);
	if (p->mode == PROXY_HANG || p->mode == PROXY_CLOSE)
		return;
	if (p->mode == PROXY_GARBAGE) {
		say_text(fd, "SSH-2.0-OpenSSH_9.2\r\n");
	} else if (!is_known(p, head)) {
		p->unauthorized++;
		say_text(fd, "HTTP/1.1 407 Proxy Authentication Required\r\n"
		    "Proxy-Authenticate: Basic realm=\"test\"\r\nContent-Length: 0\r\n\r\n");
	} else if (p->mode == PROXY_FORBID || (to = dial(head)) == -1) {
		say_text(fd, "HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n");
	} else {
		p->tunnels++;
		say_text(fd, "HTTP/1.1 200 Connection established\r\n\r\n");
		if (p->mode == PROXY_CUT)
			(void)recv(fd, &c, 1, MSG_PEEK);
		else
			relay(fd, to);
	}
}

static void
run(struct proxy *p, int listener)
{
	int fd;

	setpgid(0, 0);
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	signal(SIGCHLD, SIG_IGN);
	for (;;) {
		fd = accept(listener, NULL, NULL);
		if (fd >= 0 && fork() == 0) {
			prctl(PR_SET_PDEATHSIG, SIGKILL);
			serve(p, fd);
			_exit(0);
		}
		close(fd);
	}
}

struct proxy *
proxy_start(const char *credentials)
{
	struct sockaddr_in at = { .sin_family = AF_INET,
	    .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	socklen_t size = sizeof(at);
	struct proxy *p;
	pid_t pid;

	p = mmap(NULL, sizeof(*p), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (p == MAP_FAILED || bind(fd, (struct sockaddr *)&at, size) != 0 ||
	    listen(fd, 64) != 0 || getsockname(fd, (struct sockaddr *)&at, &size) != 0)
		give_up("no proxy: %s", strerror(errno));
	p->port = ntohs(at.sin_port);
	snprintf(p->credentials, sizeof(p->credentials), "%s", credentials);
	if ((pid = fork()) == -1)
		give_up("fork: %s", strerror(errno));
	if (pid == 0)
		run(p, fd);
	p->pid = pid;
	close(fd);
	return p;
}

/* Its tunnels end with it. */
void
proxy_stop(struct proxy *p)
{
	kill(p->pid, SIGKILL);
	waitpid(p->pid, NULL, 0);
	munmap(p, sizeof(*p));
}
