/* `mcp-authctl connect`: stdio to an upstream's socket, for clients that only spawn commands. */
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "ctl.h"
#include "failure.h"
#include "json.h"
#include "lines.h"

#define CHUNK	(64 * 1024)
#define LINE	(64 * KIB)	/* kept of a request that cannot be delivered; its id is read anyway */

/* One direction. */
struct copy {
	int	 from, to;
	int	 error;		/* 0: `from` has ended */
};

static atomic_bool stdin_ended;

/* Our own end never blocks in the kernel: see copy(). */
static int
dial(const char *path)
{
	struct sockaddr_un sun = { .sun_family = AF_UNIX };
	int fd, e;

	if (strlen(path) >= sizeof(sun.sun_path)) {
		errno = ENAMETOOLONG;
		return -1;
	}
	strcpy(sun.sun_path, path);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd == -1)
		return -1;
	if (connect(fd, (const struct sockaddr *)&sun, sizeof(sun)) == 0 &&
	    fcntl(fd, F_SETFL, O_NONBLOCK) == 0)
		return fd;
	e = errno;
	close(fd);
	errno = e;
	return -1;
}

/* Stdin and stdout may be shared with somebody who made them non-blocking. */
static bool
again(int fd, short what)
{
	struct pollfd p = { .fd = fd, .events = what };

	if (errno == EAGAIN)
		(void)poll(&p, 1, -1);
	return errno == EAGAIN || errno == EINTR;
}

/* Through our own memory, where splice(2) has no pipe on either side.  0 at the end, else errno. */
static int
shovel(int from, int to)
{
	static _Thread_local char chunk[CHUNK];
	ssize_t got, put, done;

	for (;;) {
		got = read(from, chunk, sizeof(chunk));
		if (got == -1 && again(from, POLLIN))
			continue;
		if (got <= 0)
			return got == 0 ? 0 : errno;
		for (done = 0; done < got; done += put) {
			put = write(to, chunk + done, (size_t)(got - done));
			if (put == -1 && again(to, POLLOUT))
				put = 0;
			if (put == -1)
				return errno;
		}
	}
}

/*
 * Until `from` has ended.  A splice that blocks does so with the pipe locked,
 * and a client that reads or writes its end would hang with us, in the kernel:
 * so it never blocks, and what is not ready is waited for in poll().
 */
static void
copy(struct copy *c)
{
	ssize_t n;

	do
		n = splice(c->from, NULL, c->to, NULL, CHUNK, SPLICE_F_MOVE | SPLICE_F_NONBLOCK);
	while (n > 0 || (n == -1 && again(c->from, POLLIN) && again(c->to, POLLOUT)));
	if (n == 0)
		c->error = 0;
	else
		c->error = errno == EINVAL ? shovel(c->from, c->to) : errno;
}

/* The client's side.  What the daemon still has for it comes by the other thread. */
static void *
copy_up(void *arg)
{
	struct copy *c = arg;

	copy(c);
	/* EPIPE: it is the daemon that has gone, as the other thread will see. */
	if (c->error != EPIPE)
		atomic_store(&stdin_ended, true);
	shutdown(c->to, SHUT_WR);
	return NULL;
}

static enum ctl_exit
carry(int fd, const char *name)
{
	static struct copy up;	/* its thread goes on until the process has ended */
	struct copy down = { .from = fd, .to = STDOUT_FILENO };
	pthread_t thread;
	int e;

	/* A blank line is nothing, but says which front this is for: a silent client is no idle HTTP connection. */
	if (write(fd, "\n", 1) != 1)
		return ctl_fail(CTL_FAILED, "%s: %s", name, strerror(errno));
	up = (struct copy){ .from = STDIN_FILENO, .to = fd };
	e = pthread_create(&thread, NULL, copy_up, &up);
	if (e != 0)
		return ctl_fail(CTL_FAILED, "cannot start a thread: %s", strerror(e));
	copy(&down);
	/* The other one may wait for ever for stdin: the process's end ends it. */
	if (down.error == EPIPE || (down.error == 0 && atomic_load(&stdin_ended)))
		return CTL_OK;
	if (down.error != 0 && down.error != ECONNRESET)
		return ctl_fail(CTL_FAILED, "%s: standard output: %s", name, strerror(down.error));
	return ctl_fail(CTL_FAILED, "%s: the daemon has closed the connection; "
	    "`mcp-authctl status %s` may say why", name, name);
}

/* --- nobody is there --- */

static bool
put(const struct buf *b)
{
	return fwrite(b->p, 1, b->len, stdout) == b->len && fflush(stdout) == 0;
}

/* False: nobody reads any more. */
static bool
answer_line(const struct lines *l, const char *name)
{
	static const struct failure f = { .reason = REASON_DAEMON_UNREACHABLE };
	struct buf out = BUF_INIT(0);
	bool go_on = true;

	if (l->rpc.kind == JSONRPC_NOTIFICATION || l->rpc.kind == JSONRPC_RESPONSE)
		return true;
	if (failure_json(&out, &f, name, &l->rpc) == 0 && buf_adds(&out, "\n") == 0)
		go_on = put(&out);
	buf_free(&out);
	return go_on;
}

static bool
answer_chunk(struct lines *l, const char *p, size_t n, const char *name)
{
	while (n > 0) {
		if (lines_feed(l, &p, &n) != 1)
			continue;
		if (!answer_line(l, name))
			return false;
		lines_next(l);
	}
	return true;
}

/* A client that waits for its answer would wait for ever. */
static void
answer_all(const char *name)
{
	static char chunk[4096];
	struct lines l;
	bool go_on = true;
	ssize_t n;

	lines_init(&l, LINE);
	while (go_on && ((n = read(STDIN_FILENO, chunk, sizeof(chunk))) > 0 ||
	    (n == -1 && again(STDIN_FILENO, POLLIN))))
		go_on = n == -1 || answer_chunk(&l, chunk, (size_t)n, name);
	if (go_on && lines_end(&l) == 1)
		answer_line(&l, name);
	lines_free(&l);
}

/* --- where it is --- */

/* The daemon's own words on where `name` listens: -1 with it said; 0: this daemon is of no help. */
static int
ask_where(const char *control, const char *name, int *ret_fd)
{
	char target[80], why[CTL_WHY], shown[PATH_MAX];
	const char *path;
	struct ctl_reply r;
	const cJSON *up;
	cJSON *doc;
	int found = 0;

	snprintf(target, sizeof(target), "/v1/status/%s", name);
	if (ctl_call(control, "GET", target, (struct slice){ NULL, 0 }, &r, why) != CTL_OK)
		return 0;
	doc = r.status == 200 ? json_parse(r.body.p, r.body.len, NULL) : NULL;
	up = cJSON_GetArrayItem(json_member(doc, "upstreams"), 0);
	path = json_string(up, "socket");
	if (r.status == 404) {
		ctl_fail(CTL_FAILED, "the daemon at %s knows no upstream \"%s\"; `mcp-authctl "
		    "status` lists the names", control, name);
		found = -1;
	} else if (up != NULL && path == NULL) {
		ctl_fail(CTL_FAILED, "%s has no socket of its own (\"listen\": false in the "
		    "config), and lines of JSON cannot name it on the shared one", name);
		found = -1;
	} else if (path != NULL && (*ret_fd = dial(path)) != -1) {
		found = 1;
	} else if (path != NULL) {
		ctl_fail(CTL_FAILED, "%s: %s", text_escape(shown, sizeof(shown), path,
		    strlen(path)), strerror(errno));
		found = -1;
	}
	cJSON_Delete(doc);
	buf_free(&r.body);
	return found;
}

/* "DIR/NAME/mcp.sock" for "DIR/control.sock"; then wherever that daemon says that it is. */
static int
dial_beside(const char *control, const char *name)
{
	const char *slash = strrchr(control, '/');
	char path[PATH_MAX + 64];
	int e, fd = -1;

	snprintf(path, sizeof(path), "%.*s%s/mcp.sock",
	    slash != NULL ? (int)(slash - control) + 1 : 0, control, name);
	fd = dial(path);
	e = errno;
	if (fd == -1 && ask_where(control, name, &fd) == 0)
		ctl_fail(CTL_UNREACHABLE, "%s: %s", path, strerror(e));
	return fd;
}

static int
dial_any(const struct ctl *c, const char *name)
{
	char paths[2][PATH_MAX];
	int i, n, fd = -1;

	if (c->socket != NULL) {
		fd = dial(c->socket);
		if (fd == -1)
			ctl_fail(CTL_UNREACHABLE, "%s: %s", c->socket, strerror(errno));
		return fd;
	}
	n = ctl_control_paths(c, paths);
	for (i = 0; i < n && fd == -1; i++)
		fd = dial_beside(paths[i], name);
	return fd;
}

enum ctl_exit
ctl_connect(const struct ctl *c)
{
	const char *name;
	int fd;

	if (!ctl_one_name(c))
		return ctl_usage("connect takes the name of one upstream");
	if (fcntl(STDIN_FILENO, F_GETFD) == -1 || fcntl(STDOUT_FILENO, F_GETFD) == -1)
		return ctl_fail(CTL_FAILED, "connect needs its standard input and output");
	name = c->args[0];
	fd = dial_any(c, name);
	if (fd != -1)
		return carry(fd, name);
	ctl_fail(CTL_UNREACHABLE, "nobody serves %s here; every request is answered with an error. "
	    "Is the daemon running (systemctl --user start mcp-authd), and is %s the name of an "
	    "upstream (mcp-authctl status)?", name, name);
	answer_all(name);
	return CTL_UNREACHABLE;
}
