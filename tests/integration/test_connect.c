/*
 * `mcp-authctl connect`: every kind of standard input and output, either end
 * ending first, a daemon that is not there or dies, a hundred megabytes both
 * ways at once.
 */
#include <check.h>
#include <fcntl.h>
#include <poll.h>
#include <pty.h>
#include <signal.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

#include "linescene.h"

#define BULK		(100L * 1024 * 1024)
#define INIT		"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"initialize\",\"params\":{" \
			"\"protocolVersion\":\"2025-11-25\",\"capabilities\":{}," \
			"\"clientInfo\":{\"name\":\"t\",\"version\":\"1\"}}}\n" \
			"{\"jsonrpc\":\"2.0\",\"method\":\"notifications/initialized\"}\n"
#define PING		"{\"jsonrpc\":\"2.0\",\"id\":\"p\",\"method\":\"ping\"}\n"
#define PONG		"{\"jsonrpc\":\"2.0\",\"id\":\"p\",\"result\":{}}\n"

enum kind { PIPES, SOCKETS, TERMINAL, FILES, KINDS };

/* The command, and our ends of its standard input and output. */
struct piped {
	pid_t		 pid;
	int		 in, out;
	struct buf	 heard;
	char		 err[PATH_SIZE];
};

static void
file_in(const struct world *w, const char *name, char out[PATH_SIZE])
{
	snprintf(out, PATH_SIZE, "%.60s/%s", w->dir, name);
}

/* theirs[0], theirs[1]: what becomes its 0 and 1; ours likewise. */
static void
open_ends(const struct world *w, enum kind kind, int theirs[2], int ours[2])
{
	char path[PATH_SIZE];
	struct termios t;
	int a[2], b[2];

	if (kind == TERMINAL) {
		ck_assert_int_eq(openpty(&ours[0], &theirs[0], NULL, NULL, NULL), 0);
		tcgetattr(theirs[0], &t);
		t.c_lflag &= ~(tcflag_t)(ECHO | ECHONL);
		t.c_oflag &= ~(tcflag_t)OPOST;
		tcsetattr(theirs[0], TCSANOW, &t);
		theirs[1] = dup(theirs[0]);
		ours[1] = dup(ours[0]);
		return;
	}
	if (kind == FILES) {
		file_in(w, "stdin", path);
		file_write(path, INIT PING);
		theirs[0] = open(path, O_RDONLY);
		ours[0] = open("/dev/null", O_WRONLY);
		file_in(w, "stdout", path);
		theirs[1] = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_APPEND, 0600);
		ours[1] = open(path, O_RDONLY);
		return;
	}
	if (kind == PIPES)
		ck_assert(pipe(a) == 0 && pipe(b) == 0);
	else
		ck_assert(socketpair(AF_UNIX, SOCK_STREAM, 0, a) == 0 &&
		    socketpair(AF_UNIX, SOCK_STREAM, 0, b) == 0);
	theirs[0] = a[0];
	ours[0] = a[1];
	theirs[1] = b[1];
	ours[1] = b[0];
}

static struct piped
start(const struct world *w, enum kind kind, const char *const *args, const char *const *env)
{
	struct piped p = { .heard = BUF_INIT(0) };
	const char *argv[12], *build = getenv("BUILD");
	char program[PATH_SIZE];
	int theirs[2], ours[2], n = 0;

	snprintf(program, sizeof(program), "%s/mcp-authctl", build != NULL ? build : "build");
	argv[n++] = program;
	while ((argv[n++] = *args++) != NULL)
		;
	file_in(w, "stderr", p.err);
	open_ends(w, kind, theirs, ours);
	p.pid = child_fork();
	if (p.pid == 0) {
		dup2(theirs[0], 0);
		dup2(theirs[1], 1);
		dup2(open(p.err, O_WRONLY | O_CREAT | O_TRUNC, 0600), 2);
		close_range(3, ~0U, 0);
		signal(SIGPIPE, SIG_DFL);
		child_environment(env);
		execv(program, (char *const *)(uintptr_t)argv);
		_exit(127);
	}
	close(theirs[0]);
	close(theirs[1]);
	p.in = ours[0];
	p.out = ours[1];
	return p;
}

/* `connect NAME` to this daemon, found as any client's child finds it. */
static struct piped
start_at(const struct world *w, const struct authd *a, enum kind kind, const char *name)
{
	return start(w, kind, (const char *const[]){ "--control", a->control, "connect", name, NULL },
	    NULL);
}

static struct piped
start_to(const struct world *w, const char *socket, enum kind kind)
{
	return start(w, kind, (const char *const[]){ "connect", "wall", "--socket", socket, NULL }, NULL);
}

static void
say_to(struct piped *p, const char *text)
{
	ck_assert_int_eq(write(p->in, text, strlen(text)), (ssize_t)strlen(text));
}

static void
close_in(struct piped *p)
{
	close(p->in);
	p->in = -1;
}

/* Reads until that has come; also a file that grows. */
static void
hear_from(struct piped *p, const char *text)
{
	int64_t deadline = now_ms() + PATIENCE;
	struct pollfd f = { p->out, POLLIN, 0 };
	char piece[4096];
	ssize_t n;

	while (p->heard.p == NULL || strstr(p->heard.p, text) == NULL) {
		ck_assert_msg(now_ms() < deadline, "no \"%s\" in: %s", text,
		    p->heard.p != NULL ? p->heard.p : "");
		if (poll(&f, 1, 100) <= 0)
			continue;
		n = read(p->out, piece, sizeof(piece));
		if (n > 0)
			buf_add(&p->heard, piece, (size_t)n);
		else
			pause_ms(2);
	}
}

/* Its exit code, 128 + signal; what it said on stderr holds the text. */
static int
end_of(struct piped *p, const char *said)
{
	int64_t deadline = now_ms() + PATIENCE;
	int status = 0;
	char *err;

	while (waitpid(p->pid, &status, WNOHANG) == 0) {
		ck_assert_msg(now_ms() < deadline, "it does not end");
		pause_ms(2);
	}
	err = file_read(p->err, NULL);
	if (said == NULL)
		ck_assert_str_eq(err, "");
	else
		ck_assert_msg(strstr(err, said) != NULL, "stderr: %s", err);
	free(err);
	if (p->in >= 0)
		close(p->in);
	if (p->out >= 0)
		close(p->out);
	buf_free(&p->heard);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

/* --- with a daemon --- */

START_TEST(every_kind_of_stdio)
{
	struct linescene s = linescene_begin(NULL, NULL);
	struct piped p = start_at(s.w, s.a, _i, "wall");

	if (_i != FILES) {
		say_to(&p, INIT);
		hear_from(&p, "\"id\":1");
		say_to(&p, PING);
	}
	hear_from(&p, PONG);
	if (_i == TERMINAL)
		say_to(&p, "\x04");
	else
		close_in(&p);
	ck_assert_int_eq(end_of(&p, NULL), 0);
	linescene_end(&s);
}
END_TEST

/* F4: the client has said all that it has to say, and is answered. */
START_TEST(f4_stdin_ends_first)
{
	struct linescene s = linescene_begin(NULL, NULL);
	struct piped p = start_at(s.w, s.a, _i, "wall");

	say_to(&p, INIT);
	hear_from(&p, "\"id\":1");
	wall_fault(s.w, "{\"mcp\":{\"hold\":true},\"match\":{\"rpc\":\"ping\"}}");
	say_to(&p, PING);
	ck_assert(wall_wait(s.w, "held", 1, PATIENCE));
	close_in(&p);
	pause_ms(QUIET);
	ck_assert_int_eq(waitpid(p.pid, NULL, WNOHANG), 0);
	wall_do(s.w, "release", NULL);
	hear_from(&p, PONG);
	ck_assert_int_eq(end_of(&p, NULL), 0);
	linescene_end(&s);
}
END_TEST

START_TEST(sigterm_ends_it)
{
	struct linescene s = linescene_begin(NULL, NULL);
	struct piped p = start_at(s.w, s.a, _i, "wall");

	say_to(&p, INIT);
	hear_from(&p, "\"id\":1");
	kill(p.pid, SIGTERM);
	ck_assert_int_eq(end_of(&p, NULL), 128 + SIGTERM);
	linescene_end(&s);	/* and its session is gone */
}
END_TEST

START_TEST(daemon_dies)
{
	struct linescene s = linescene_begin(NULL, NULL);
	struct piped p = start_at(s.w, s.a, _i, "wall");

	say_to(&p, INIT);
	hear_from(&p, "\"id\":1");
	authd_kill(s.a);
	ck_assert_int_eq(end_of(&p, "wall: the daemon has closed the connection; "
	    "`mcp-authctl status wall`"), 1);
	world_free(s.w);
}
END_TEST

START_TEST(stdout_closed)
{
	struct linescene s = linescene_begin(NULL, NULL);
	struct piped p = start_at(s.w, s.a, _i, "wall");

	say_to(&p, INIT);
	hear_from(&p, "\"id\":1");
	close(p.out);
	p.out = -1;
	say_to(&p, PING);
	ck_assert_int_eq(end_of(&p, NULL), 0);
	linescene_end(&s);
}
END_TEST

START_TEST(other_socket)
{
	struct world *w = world_new(0);
	char members[PATH_SIZE + 32], path[PATH_SIZE];
	struct authd *a;
	struct piped p;

	file_in(w, "own.sock", path);
	snprintf(members, sizeof(members), "\"listen\": \"%s\"", path);
	world_upstream(w, "wall", members);
	world_upstream(w, "none", "\"listen\": false");
	a = authd_start(w, NULL);
	world_login(w, a, "wall", NULL);
	p = start_at(w, a, PIPES, "wall");
	say_to(&p, INIT);
	hear_from(&p, "\"id\":1");
	close_in(&p);
	ck_assert_int_eq(end_of(&p, NULL), 0);
	p = start_at(w, a, PIPES, "none");
	close_in(&p);
	ck_assert_int_eq(end_of(&p, "none has no socket of its own (\"listen\": false"), 3);
	p = start_at(w, a, PIPES, "nobody");
	close_in(&p);
	ck_assert_int_eq(end_of(&p, "knows no upstream \"nobody\""), 3);
	ck_assert_int_eq(authd_stop(a), 0);
	world_free(w);
}
END_TEST

/* --- without one --- */

START_TEST(daemon_unreachable)
{
	struct world *w = world_new(WORLD_NO_WALL);
	char runtime[PATH_SIZE + 32];
	struct piped p;

	snprintf(runtime, sizeof(runtime), "XDG_RUNTIME_DIR=%s", w->dir);
	p = start(w, _i, (const char *const[]){ "--user", "connect", "wall", NULL },
	    (const char *const[]){ runtime, NULL });
	say_to(&p, "{\"jsonrpc\":\"2.0\",\"id\":12345678901234567890,\"method\":\"initialize\"}\n");
	hear_from(&p, "{\"jsonrpc\":\"2.0\",\"id\":12345678901234567890,\"error\":{\"code\":-31000,");
	hear_from(&p, "\"data\":{\"reason\":\"daemon_unreachable\",\"upstream\":\"wall\","
	    "\"hint\":\"mcp-authctl status wall\"}}}\n");
	say_to(&p, "{\"jsonrpc\":\"2.0\",\"method\":\"notifications/x\"}\n\n"
	    "{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{}}\nnonsense\n"
	    "[{\"jsonrpc\":\"2.0\",\"id\":2,\"method\":\"a\"},{\"jsonrpc\":\"2.0\",\"method\":\"b\"}]\n");
	hear_from(&p, "}\n{\"jsonrpc\":\"2.0\",\"id\":null,\"error\":{\"code\":-32700,");
	hear_from(&p, "}}\n[{\"jsonrpc\":\"2.0\",\"id\":2,\"error\":");
	say_to(&p, "{\"jsonrpc\":\"2.0\",\"id\":\"last\",\"method\":\"ping\"}");
	close_in(&p);
	hear_from(&p, "]\n{\"jsonrpc\":\"2.0\",\"id\":\"last\",\"error\":");
	ck_assert_ptr_null(strstr(p.heard.p, "\"id\":1,"));
	ck_assert_int_eq(end_of(&p, "nobody serves wall here"), 3);
	world_free(w);
}
END_TEST

START_TEST(usage)
{
	struct world *w = world_new(WORLD_NO_WALL);
	struct piped p;

	p = start(w, PIPES, (const char *const[]){ "connect", NULL }, NULL);
	ck_assert_int_eq(end_of(&p, "connect takes the name of one upstream"), 2);
	p = start(w, PIPES, (const char *const[]){ "connect", "../x", NULL }, NULL);
	ck_assert_int_eq(end_of(&p, "connect takes the name of one upstream"), 2);
	p = start_to(w, "/nowhere/mcp.sock", PIPES);
	close_in(&p);
	ck_assert_int_eq(end_of(&p, "/nowhere/mcp.sock: No such file or directory"), 3);
	world_free(w);
}
END_TEST

/* limits.idle is for HTTP: a client that has not said anything yet is none. */
START_TEST(silent_from_the_start)
{
	struct linescene s = linescene_begin(NULL, "\"limits\": {\"idle\": 1}");
	struct piped p = start_at(s.w, s.a, SOCKETS, "wall");
	struct pollfd f = { p.out, POLLIN, 0 };

	ck_assert_int_eq(poll(&f, 1, 2500), 0);
	say_to(&p, INIT);
	hear_from(&p, "\"id\":1");
	close_in(&p);
	ck_assert_int_eq(end_of(&p, ""), 0);
	linescene_end(&s);
}
END_TEST

/* --- bytes; the other end is ours --- */

static int
listen_at(const struct world *w, char path[PATH_SIZE])
{
	struct sockaddr_un sun = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	file_in(w, "peer.sock", path);
	strcpy(sun.sun_path, path);
	ck_assert(bind(fd, (struct sockaddr *)&sun, sizeof(sun)) == 0 && listen(fd, 1) == 0);
	return fd;
}

/* Its first byte is a blank line, which says that lines will follow. */
static int
accepted(int listener)
{
	struct pollfd f = { listener, POLLIN, 0 };
	char first;
	int fd;

	ck_assert_int_eq(poll(&f, 1, PATIENCE), 1);
	fd = accept(listener, NULL, NULL);
	ck_assert(read(fd, &first, 1) == 1 && first == '\n');
	return fd;
}

/* What stands at this place of the stream; no two streams are alike. */
static char
byte_at(int stream, long at)
{
	return (char)(at * 7 + (at >> 12) * 13 + stream * 101);
}

/* One end of one stream. */
struct end {
	int	fd, stream;
	bool	writes;
	long	at;
};

static void
step(struct end *e)
{
	static char piece[64 * 1024];
	long i, n = MIN((long)sizeof(piece), BULK - e->at);

	if (e->writes) {
		for (i = 0; i < n; i++)
			piece[i] = byte_at(e->stream, e->at + i);
		n = write(e->fd, piece, (size_t)n);
	} else {
		n = read(e->fd, piece, (size_t)n);
		for (i = 0; i < n; i++)
			if (piece[i] != byte_at(e->stream, e->at + i))
				ck_abort_msg("stream %d is damaged at %ld", e->stream, e->at + i);
		ck_assert_int_ne(n, 0);
	}
	ck_assert(n > 0 || errno == EAGAIN);
	e->at += MAX(n, 0);
}

START_TEST(bulk_both_ways)
{
	struct world *w = world_new(WORLD_NO_WALL);
	int64_t deadline = now_ms() + 6 * PATIENCE;
	char path[PATH_SIZE];
	int i, left, listener = listen_at(w, path), peer;
	struct piped p = start_to(w, path, _i);
	struct pollfd f[4];

	peer = accepted(listener);
	struct end ends[4] = { { p.in, 0, true, 0 }, { peer, 0, false, 0 }, { peer, 1, true, 0 },
	    { p.out, 1, false, 0 } };
	for (i = 0; i < 4; i++)
		fcntl(ends[i].fd, F_SETFL, O_NONBLOCK);
	do {
		for (i = left = 0; i < 4; i++) {
			f[i] = (struct pollfd){ ends[i].at < BULK ? ends[i].fd : -1,
			    ends[i].writes ? POLLOUT : POLLIN, 0 };
			left += ends[i].at < BULK;
		}
		ck_assert(now_ms() < deadline && (left == 0 || poll(f, 4, PATIENCE) > 0));
		for (i = 0; i < 4; i++)
			if (f[i].fd >= 0 && f[i].revents != 0)
				step(&ends[i]);
	} while (left > 0);
	close_in(&p);
	close(peer);
	close(listener);
	end_of(&p, "");
	world_free(w);
}
END_TEST

/* It goes while the client speaks: the daemon's end, not the client's. */
START_TEST(peer_goes_first)
{
	struct world *w = world_new(WORLD_NO_WALL);
	char path[PATH_SIZE], piece[4096] = "x";
	int listener = listen_at(w, path), peer;
	struct piped p = start_to(w, path, _i);
	struct pollfd f = { p.in, POLLOUT, 0 };

	peer = accepted(listener);
	fcntl(p.in, F_SETFL, O_NONBLOCK);
	while (poll(&f, 1, QUIET) > 0)
		ck_assert(write(p.in, piece, sizeof(piece)) > 0 || errno == EAGAIN);
	close(peer);
	ck_assert_int_eq(end_of(&p, "the daemon has closed the connection"), 1);
	close(listener);
	world_free(w);
}
END_TEST

/* A splice that waits would keep the pipe locked: a client that only looks into it would hang. */
START_TEST(pipes_stay_unlocked)
{
	struct world *w = world_new(WORLD_NO_WALL);
	char path[PATH_SIZE], piece[4096] = "x";
	int listener = listen_at(w, path), peer;
	struct piped p = start_to(w, path, _i);
	struct pollfd f = { p.in, POLLOUT, 0 };
	ssize_t n;

	peer = accepted(listener);
	fcntl(p.in, F_SETFL, O_NONBLOCK);
	fcntl(p.out, F_SETFL, O_NONBLOCK);
	ck_assert_int_eq(write(peer, "x\n", 2), 2);
	hear_from(&p, "x\n");
	pause_ms(QUIET);
	ck_assert(read(p.out, piece, 1) == -1 && errno == EAGAIN);
	/* Nobody reads: it fills up, and says so. */
	do {
		n = write(p.in, piece, sizeof(piece));
		ck_assert(n > 0 || errno == EAGAIN);
	} while (n > 0 || poll(&f, 1, QUIET) > 0);
	close_in(&p);
	close(peer);
	close(listener);
	end_of(&p, "");
	world_free(w);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("connect");
	TCase *t = tcase_create("connect");
	SRunner *r;
	int failed;

	signal(SIGPIPE, SIG_IGN);
	tcase_set_timeout(t, 90);
	tcase_add_loop_test(t, every_kind_of_stdio, 0, KINDS);
	tcase_add_loop_test(t, f4_stdin_ends_first, PIPES, TERMINAL);
	tcase_add_loop_test(t, sigterm_ends_it, PIPES, TERMINAL);
	tcase_add_loop_test(t, daemon_dies, PIPES, TERMINAL);
	tcase_add_test(t, silent_from_the_start);
	tcase_add_loop_test(t, stdout_closed, PIPES, TERMINAL);
	tcase_add_test(t, other_socket);
	tcase_add_loop_test(t, daemon_unreachable, PIPES, TERMINAL);
	tcase_add_test(t, usage);
	tcase_add_loop_test(t, bulk_both_ways, PIPES, TERMINAL);
	tcase_add_loop_test(t, peer_goes_first, PIPES, TERMINAL);
	tcase_add_loop_test(t, pipes_stay_unlocked, PIPES, TERMINAL);
	suite_add_tcase(suite, t);
	r = srunner_create(suite);
	srunner_run_all(r, CK_NORMAL);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed != 0;
}
