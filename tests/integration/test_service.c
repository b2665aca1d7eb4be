/*
 * The daemon under a service manager (a socket of the test's): what it is
 * told and when, sockets that it passes by name, sockets that it keeps over a
 * restart.
 */
#include <check.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "support.h"

#define PATIENCE	10000
#define KEPT_MAX	16

struct manager {
	int		 fd;
	struct sockaddr_un at;
	char		 variable[PATH_SIZE + 32];	/* NOTIFY_SOCKET=... */
	char		 names[KEPT_MAX][128];	/* the descriptor store */
	int		 fds[KEPT_MAX], n;
};

static struct manager
manager_open(const struct world *w)
{
	struct manager m = { .fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0),
	    .at.sun_family = AF_UNIX };

	snprintf(m.at.sun_path, sizeof(m.at.sun_path), "%s/notify", w->dir);
	snprintf(m.variable, sizeof(m.variable), "NOTIFY_SOCKET=%s", m.at.sun_path);
	ck_assert_int_eq(bind(m.fd, (struct sockaddr *)&m.at, sizeof(m.at)), 0);
	return m;
}

static void
manager_close(struct manager *m)
{
	while (m->n > 0)
		close(m->fds[--m->n]);
	close(m->fd);
}

static void
forget(struct manager *m, const char *name)
{
	for (int i = 0; i < m->n; i++) {
		if (strcmp(m->names[i], name) != 0)
			continue;
		close(m->fds[i]);
		m->n--;
		m->fds[i] = m->fds[m->n];
		memmove(m->names[i], m->names[m->n], sizeof(m->names[i]));
		return;
	}
	ck_abort_msg("%s is not in the store", name);
}

static bool
keeps(const struct manager *m, const char *name)
{
	for (int i = 0; i < m->n; i++)
		if (strcmp(m->names[i], name) == 0)
			return true;
	return false;
}

/* The next message, false: none in time. */
static bool
hear(struct manager *m, char text[1024], int ms)
{
	union { struct cmsghdr align; char space[CMSG_SPACE(sizeof(int))]; } control;
	struct iovec iov = { text, 1023 };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = &control,
	    .msg_controllen = sizeof(control) };
	struct pollfd p = { .fd = m->fd, .events = POLLIN };
	ssize_t n;

	if (poll(&p, 1, ms) != 1)
		return false;
	n = recvmsg(m->fd, &msg, MSG_CMSG_CLOEXEC);
	ck_assert_int_gt(n, 0);
	text[n] = '\0';
	if (strncmp(text, "FDSTORE=1\nFDNAME=", 17) == 0) {
		struct cmsghdr *c = CMSG_FIRSTHDR(&msg);

		ck_assert_ptr_nonnull(c);
		ck_assert_int_lt(m->n, KEPT_MAX);
		memcpy(&m->fds[m->n], CMSG_DATA(c), sizeof(int));
		snprintf(m->names[m->n++], sizeof(m->names[0]), "%s", text + 17);
	} else if (strncmp(text, "FDSTOREREMOVE=1\nFDNAME=", 23) == 0)
		forget(m, text + 23);
	return true;
}

/* The next message that is neither of the watchdog nor of the store, and, unless wanted, no mere STATUS. */
static const char *
next(struct manager *m, bool status)
{
	static char text[1024];

	do {
		ck_assert_msg(hear(m, text, PATIENCE), "nothing is told");
	} while (strncmp(text, "FDSTORE", 7) == 0 || strcmp(text, "WATCHDOG=1") == 0 ||
	    (!status && strncmp(text, "STATUS=", 7) == 0));
	return text;
}

/* Sooner or later it is said just so. */
static void
hear_status(struct manager *m, const char *words)
{
	int64_t deadline = now_ms() + PATIENCE;
	char wanted[256];

	snprintf(wanted, sizeof(wanted), "STATUS=%s", words);
	while (strcmp(next(m, true), wanted) != 0)
		ck_assert_msg(now_ms() < deadline, "never: %s", words);
}

static struct authd *
start(struct world *w, struct manager *m, const struct passed *pass, const char *more)
{
	const char *env[] = { m->variable, more, NULL };
	struct authd_options o = { .env = env, .pass = pass };

	return authd_start(w, &o);
}

static bool
log_says(const struct authd *a, const char *text)
{
	char *log = authd_log(a);
	bool said = strstr(log, text) != NULL;

	free(log);
	return said;
}

static bool
is_socket(const char *path)
{
	struct stat st;

	return lstat(path, &st) == 0 && S_ISSOCK(st.st_mode);
}

static void
answered(const char *socket, const char *path, int status)
{
	struct ask ask = { .socket = socket, .path = path, .version = "2026-07-28" };
	struct buf body = BUF_INIT(0);
	struct reply r = { 0 };

	tool_json_modern(&body, 1, "echo", NULL);
	ck_assert_int_eq(rpc(&ask, body.p, &r, PATIENCE), 0);
	ck_assert_int_eq(r.status, status);
	ck_assert_msg(strstr(r.body.p, "\"result\"") != NULL, "%s", r.body.p);
	reply_free(&r);
	buf_free(&body);
}

/* As systemd would bind it. */
static int
listening(const char *path)
{
	struct sockaddr_un sun = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	ck_assert_uint_lt(strlen(path), sizeof(sun.sun_path));
	strcpy(sun.sun_path, path);
	ck_assert_int_eq(bind(fd, (struct sockaddr *)&sun, sizeof(sun)), 0);
	ck_assert_int_eq(listen(fd, 64), 0);
	return fd;
}

START_TEST(the_state_is_told_in_words)
{
	struct world *w = world_new(0);
	struct manager m;
	struct client *clients[5];
	struct authd *a;
	int told = 0;
	char text[1024];
	int64_t end;

	world_upstream(w, "wall", NULL);
	world_upstream(w, "other", NULL);
	world_upstream(w, "open", "\"auth\": \"none\"");
	m = manager_open(w);
	a = start(w, &m, NULL, NULL);
	ck_assert_str_eq(next(&m, true), "READY=1\nSTATUS=3 upstreams, 0 logged in, 0 clients");
	world_login(w, a, "wall", NULL);
	hear_status(&m, "3 upstreams, 1 logged in, 0 clients");
	for (size_t i = 0; i < nitems(clients); i++)
		ck_assert_ptr_nonnull(clients[i] = client_try(a->shared));
	hear_status(&m, "3 upstreams, 1 logged in, 5 clients");
	for (size_t i = 0; i < nitems(clients); i++)
		client_close(clients[i]);
	hear_status(&m, "3 upstreams, 1 logged in, 0 clients");
	/* Come and go as often as they like. */
	for (end = now_ms() + 2500; now_ms() < end; pause_ms(5)) {
		client_close(client_try(a->shared));
		while (hear(&m, text, 0))
			told += strncmp(text, "STATUS=", 7) == 0;
	}
	ck_assert_int_le(told, 4);
	kill(a->pid, SIGTERM);
	ck_assert_int_eq(strncmp(next(&m, false), "STOPPING=1\nSTATUS=stopping", 26), 0);
	ck_assert_int_eq(authd_stop(a), 0);
	manager_close(&m);
	world_free(w);
}
END_TEST

START_TEST(the_watchdog_hears_the_loop)
{
	struct world *w = world_new(0);
	struct manager m = manager_open(w);
	struct authd *a = start(w, &m, NULL, "WATCHDOG_USEC=200000");
	int64_t began = now_ms(), took;
	char text[1024];

	for (int beats = 0; beats < 10; ) {
		ck_assert(hear(&m, text, PATIENCE));
		beats += strcmp(text, "WATCHDOG=1") == 0;
	}
	took = now_ms() - began;
	ck_assert_msg(took >= 800 && took < 5000, "10 beats took %lld ms", (long long)took);
	ck_assert_int_eq(authd_stop(a), 0);
	manager_close(&m);
	world_free(w);
}
END_TEST

/* The manager takes nothing: the daemon serves, and tells all of it later, in order. */
START_TEST(a_busy_manager_holds_nothing_up)
{
	struct world *w = world_new(0);
	struct manager m = manager_open(w);
	int filler = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0), filled = 0;
	struct authd *a;
	char text[1024];

	while (sendto(filler, "FILLER", 6, MSG_DONTWAIT, (struct sockaddr *)&m.at,
	    sizeof(m.at)) == 6)
		filled++;
	ck_assert_int_gt(filled, 0);
	a = start(w, &m, NULL, "WATCHDOG_USEC=20000");
	world_login(w, a, "wall", NULL);
	answered(authd_socket(a, "wall"), NULL, 200);
	for (int reloads = 0; reloads < 2; reloads++) {
		struct reply r = { 0 };

		ck_assert_int_eq(http(a->control, "POST", "/v1/reload", NULL, &r, PATIENCE), 0);
		ck_assert_int_eq(r.status, 200);
		reply_free(&r);
	}
	while (filled-- > 0) {
		ck_assert(hear(&m, text, PATIENCE));
		ck_assert_str_eq(text, "FILLER");
	}
	ck_assert_int_eq(strncmp(next(&m, false), "READY=1\n", 8), 0);
	for (int reloads = 0; reloads < 2; reloads++) {
		ck_assert_int_eq(strncmp(next(&m, false), "RELOADING=1\nMONOTONIC_USEC=", 27), 0);
		ck_assert_int_eq(strncmp(next(&m, false), "READY=1\n", 8), 0);
	}
	ck_assert_int_eq(m.n, 3);	/* control, shared, wall */
	close(filler);
	ck_assert_int_eq(authd_stop(a), 0);
	manager_close(&m);
	world_free(w);
}
END_TEST

/* By name, wherever they stand; what nobody knows is closed; none is unlinked. */
START_TEST(sockets_that_are_passed)
{
	static const char *const names[] = { "shared", "control", "wall", "stranger", "wall" };
	struct world *w = world_new(0);
	char path[nitems(names)][2 * PATH_SIZE], dir[PATH_SIZE];
	int fds[nitems(names)], plain[2];
	struct passed pass = { fds, nitems(names), "shared:control:wall:stranger:wall" };
	struct authd_options o = { .pass = &pass };
	struct authd *a;

	world_upstream(w, "wall", NULL);
	world_upstream(w, "other", NULL);
	snprintf(dir, sizeof(dir), "%s/run", w->dir);
	mkdir(dir, 0700);
	strcat(dir, "/mcp-authd");
	mkdir(dir, 0700);
	for (size_t i = 0; i < nitems(names); i++) {
		if (i == 1)
			snprintf(path[i], sizeof(path[i]), "%s/control.sock", dir);
		else
			snprintf(path[i], sizeof(path[i]), "%s/%zu.sock", w->dir, i);
		fds[i] = listening(path[i]);
	}
	a = authd_start(w, &o);
	for (size_t i = 0; i < nitems(names); i++)
		close(fds[i]);
	world_login(w, a, "wall", NULL);
	answered(path[0], "/wall", 200);
	answered(path[2], NULL, 200);
	ck_assert_ptr_null(client_try(path[3]));
	ck_assert_ptr_null(client_try(path[4]));	/* the second "wall" */
	ck_assert(log_says(a, "a socket was passed as \"stranger\" and closed"));
	ck_assert(log_says(a, "a second socket was passed as \"wall\" and closed"));
	ck_assert(!is_socket(a->shared));
	ck_assert(!is_socket(authd_socket(a, "wall")));
	ck_assert(is_socket(authd_socket(a, "other")));		/* not passed: bound as ever */
	ck_assert_int_eq(authd_stop(a), 0);
	for (size_t i = 0; i < nitems(names); i++)
		ck_assert_msg(is_socket(path[i]), "%s", path[i]);
	ck_assert(!is_socket(authd_socket(a, "other")));

	/* What is no listening socket is not listened on. */
	unlink(path[1]);
	ck_assert_int_eq(pipe(plain), 0);
	pass = (struct passed){ plain, 1, "shared" };
	a = authd_start(w, &o);
	ck_assert(log_says(a, "what was passed as \"shared\" is no listening Unix stream socket"));
	answered(a->shared, "/wall", 200);
	world_free(w);
}
END_TEST

static void
reload(const struct authd *a)
{
	struct reply r = { 0 };

	ck_assert_int_eq(http(a->control, "POST", "/v1/reload", NULL, &r, PATIENCE), 0);
	ck_assert_msg(r.status == 200, "%s", r.body.p);
	reply_free(&r);
}

static void
config_with(struct world *w, const char *second)
{
	char text[1024];

	snprintf(text, sizeof(text), "{ \"mcpServers\": { \"wall\": { \"url\": \"%s/mcp\" }, "
	    "\"%s\": { \"url\": \"%s/mcp\" } } }", w->origin, second, w->origin);
	file_write(w->config, text);
	world_config(w, text);
}

/* An upstream goes and comes back by a reload. */
START_TEST(sockets_come_and_go)
{
	struct world *w = world_new(0);
	struct manager m = manager_open(w);
	char path[2 * PATH_SIZE];
	int fd;
	struct passed pass = { &fd, 1, "second" };
	struct authd *a;

	snprintf(path, sizeof(path), "%s/second.sock", w->dir);
	fd = listening(path);
	config_with(w, "second");
	a = start(w, &m, &pass, NULL);
	close(fd);
	next(&m, false);
	ck_assert(keeps(&m, "kept/wall/mcp.sock"));
	ck_assert(keeps(&m, "kept/mcp-authd.sock"));
	ck_assert(keeps(&m, "kept/control.sock"));
	ck_assert_int_eq(m.n, 3);		/* one that is passed is the manager's already */
	config_with(w, "third");
	reload(a);
	next(&m, false), next(&m, false);
	ck_assert(keeps(&m, "kept/third/mcp.sock"));
	ck_assert(is_socket(path));
	config_with(w, "second");
	reload(a);
	next(&m, false), next(&m, false);
	ck_assert(!keeps(&m, "kept/third/mcp.sock"));
	ck_assert(!is_socket(authd_socket(a, "third")));
	world_login(w, a, "second", NULL);
	answered(path, NULL, 200);		/* the same socket serves it again */
	ck_assert_int_eq(authd_stop(a), 0);
	manager_close(&m);
	world_free(w);
}
END_TEST

/* In a child, without end: connects and asks; a letter for each: R refused, . answered, F neither. */
static pid_t
crowd(const char *socket, int report)
{
	struct ask ask = { .socket = socket, .version = "2026-07-28" };
	struct buf body = BUF_INIT(0), bytes = BUF_INIT(0);
	struct reply r = { 0 };
	struct client *c;
	const char *said;
	pid_t pid = child_fork();

	if (pid > 0)
		return pid;
	tool_json_modern(&body, 1, "echo", NULL);
	request_post(&bytes, &ask, body.p);
	for (;;) {
		c = client_try(socket);
		if (c == NULL) {
			(void)!write(report, "R", 1);
			_exit(1);
		}
		said = client_send(c, bytes.p, bytes.len, PATIENCE) == 0 &&
		    client_reply(c, "POST", &r, PATIENCE) == 0 &&
		    strstr(r.body.p, "\"result\"") != NULL ? "." : "F";
		(void)!write(report, said, 1);
		reply_free(&r);
		r = (struct reply){ 0 };
		client_close(c);
	}
}

/* All that the crowd has said, and n more answers: how many exchanges failed; a refusal ends the test. */
static int
await_answers(int from, int n)
{
	struct pollfd p = { .fd = from, .events = POLLIN };
	bool past = true;
	char said[4096];
	int failed = 0;
	ssize_t got;

	while (past || n > 0) {
		if (poll(&p, 1, past ? 0 : PATIENCE) != 1) {
			ck_assert_msg(past, "nobody is answered");
			past = false;
			continue;
		}
		got = read(from, said, sizeof(said));
		ck_assert_int_gt(got, 0);
		for (ssize_t i = 0; i < got; i++) {
			ck_assert_msg(said[i] != 'R', "a connection was refused");
			failed += said[i] == 'F';
			n -= !past && said[i] == '.';
		}
	}
	return failed;
}

/* A call that runs for half a second. */
static struct client *
asks_slowly(const char *socket)
{
	struct ask ask = { .socket = socket, .version = "2026-07-28" };
	struct buf body = BUF_INIT(0), bytes = BUF_INIT(0);
	struct client *c = client_try(socket);

	tool_json_modern(&body, 1, "sleep", "{\"ms\":500}");
	request_post(&bytes, &ask, body.p);
	ck_assert_ptr_nonnull(c);
	ck_assert_int_eq(client_send(c, bytes.p, bytes.len, PATIENCE), 0);
	buf_free(&body);
	buf_free(&bytes);
	return c;
}

static void
is_answered(struct client *c)
{
	struct reply r = { 0 };

	ck_assert_int_eq(client_reply(c, "POST", &r, PATIENCE), 0);
	ck_assert_msg(strstr(r.body.p, "\"result\"") != NULL, "%s", r.body.p);
	reply_free(&r);
	client_close(c);
}

/* 0 refused connections, and none that was cut: who comes meanwhile waits for the successor. */
START_TEST(a_restart_refuses_nobody)
{
	struct world *w = world_new(0);
	struct manager m = manager_open(w);
	struct passed pass = { m.fds, 0, NULL };
	struct authd *a = start(w, &m, NULL, NULL);
	char names[KEPT_MAX * 128], was[PATH_SIZE];
	int report[2], failed = 0;
	struct stat before, after;
	struct client *slow;
	pid_t pids[3];

	world_login(w, a, "wall", NULL);
	next(&m, false);
	snprintf(was, sizeof(was), "%s", authd_socket(a, "wall"));
	ck_assert_int_eq(lstat(was, &before), 0);
	ck_assert_int_eq(pipe(report), 0);
	for (size_t i = 0; i < nitems(pids); i++)
		pids[i] = crowd(i == 0 ? was : authd_socket(a, "wall"), report[1]);
	for (int round = 0; round < 5; round++) {
		failed += await_answers(report[0], 50);
		slow = asks_slowly(was);	/* and so the old one stays for a while */
		ck_assert_int_eq(authd_stop(a), 0);
		is_answered(slow);
		names[0] = '\0';
		for (int i = 0; i < m.n; i++)
			sprintf(names + strlen(names), "%s%s", i > 0 ? ":" : "", m.names[i]);
		ck_assert_int_eq(m.n, 3);
		pass = (struct passed){ m.fds, m.n, names };
		a = start(w, &m, &pass, NULL);
		while (strncmp(next(&m, false), "READY=1", 7) != 0)
			continue;
	}
	failed += await_answers(report[0], 50);
	for (size_t i = 0; i < nitems(pids); i++) {
		kill(pids[i], SIGKILL);
		waitpid(pids[i], NULL, 0);
	}
	failed += await_answers(report[0], 0);
	ck_assert_int_eq(failed, 0);
	ck_assert_int_eq(lstat(was, &after), 0);
	ck_assert_int_eq(before.st_ino, after.st_ino);
	close(report[0]);
	close(report[1]);

	/* A kept socket whose file went with its directory is of no use. */
	unlink(was);
	ck_assert_int_eq(authd_stop(a), 0);
	a = start(w, &m, &pass, NULL);
	ck_assert(log_says(a, "is not there any more"));
	answered(authd_socket(a, "wall"), NULL, 200);
	ck_assert_int_eq(authd_stop(a), 0);
	manager_close(&m);
	world_free(w);
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("service");
	TCase *tc = tcase_create("service");
	SRunner *sr;
	int failed;

	tcase_set_timeout(tc, 60);
	tcase_add_test(tc, the_state_is_told_in_words);
	tcase_add_test(tc, the_watchdog_hears_the_loop);
	tcase_add_test(tc, a_busy_manager_holds_nothing_up);
	tcase_add_test(tc, sockets_that_are_passed);
	tcase_add_test(tc, sockets_come_and_go);
	tcase_add_test(tc, a_restart_refuses_nobody);
	suite_add_tcase(s, tc);
	sr = srunner_create(s);
	srunner_run_all(sr, CK_NORMAL);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed != 0;
}
