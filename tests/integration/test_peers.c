/* Who may talk: uids, groups and modes, sessions of others; and cookies kept for a session (WIRE L17). */
#include <check.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "support.h"

#define NOBODY	65534
#define DAEMON	1

static struct world *w;
static struct authd *a;
static struct ask ask;

static const char ping[] = "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"ping\"}";

static void
start_daemon(void)
{
	char run[PATH_SIZE];

	a = authd_start(w, NULL);
	snprintf(run, sizeof(run), "%s/run", w->dir);
	ck_assert_int_eq(chmod(run, 0711), 0);
	ask = (struct ask){ .socket = authd_socket(a, "wall") };
	world_login(w, a, "wall", NULL);
}

/* socket: members of "socket"; upstream "wall" with `members`. */
static void
start(const char *socket, const char *members)
{
	char top[256];

	w = world_new(0);
	ck_assert_int_eq(chmod(w->dir, 0711), 0);
	snprintf(top, sizeof(top), "\"socket\":{%s}", socket);
	world_top(w, top);
	world_upstream(w, "wall", members);
	start_daemon();
}

static void
end(void)
{
	ck_assert_int_eq(wall_violations(w), 0);
	ck_assert_int_eq(authd_stop(a), 0);
	world_free(w);
}

/* One request of that uid: its status, or a negative error. */
static int
status_as(uid_t uid, const struct ask *q, const char *body)
{
	struct reply r = { 0 };
	int e;

	ck_assert_int_eq(seteuid(uid), 0);
	e = rpc(q, body, &r, 5000);
	ck_assert_int_eq(seteuid(0), 0);
	e = e < 0 ? e : r.status;
	reply_free(&r);
	return e;
}

static char *
session_of(uid_t uid)
{
	char *id;

	ck_assert_int_eq(seteuid(uid), 0);
	id = session_open(&ask);
	ck_assert_int_eq(seteuid(0), 0);
	return id;
}

/* The words of a config that is refused. */
static void
expect_refused(const char *text, const char *words)
{
	struct authd_options o = { .no_wait = true };
	char *log;
	int status;

	w = world_new(WORLD_NO_WALL);
	world_config(w, text);
	a = authd_start(w, &o);
	status = authd_wait(a, 5000);
	log = authd_log(a);
	ck_assert_msg(WIFEXITED(status) && WEXITSTATUS(status) == 78, "status %x: %s", status, log);
	ck_assert_msg(strstr(log, words) != NULL, "%s", log);
	free(log);
	world_free(w);
}

START_TEST(uids)
{
	struct ask shared;
	char *log;
	int i;

	start("\"mode\":\"0666\",\"allowUsers\":[\"nobody\"]", "\"shared\":true");
	shared = (struct ask){ .socket = a->shared, .path = "/wall" };
	ck_assert_int_eq(status_as(NOBODY, &ask, ping), 200);
	ck_assert_int_eq(status_as(NOBODY, &shared, ping), 200);
	ck_assert_int_eq(status_as(0, &ask, ping), 200);
	i = (int)wall_count(w, "requests");
	for (int n = 0; n < 20; n++) {
		ck_assert_int_lt(status_as(DAEMON, &ask, ping), 0);
		ck_assert_int_lt(status_as(DAEMON, &shared, ping), 0);
	}
	ck_assert_int_eq(wall_count(w, "requests"), i);
	log = authd_log(a);
	ck_assert_ptr_nonnull(strstr(log, "uid 1 may not connect"));	/* said once, not forty times */
	ck_assert_ptr_null(strstr(strstr(log, "uid 1 may not") + 1, "uid 1 may not"));
	free(log);
	end();
}
END_TEST

/* Beyond clientsPerUser the next is told so; others are served. */
START_TEST(caps_of_one_user)
{
	struct client *held[2];
	struct reply r = { 0 };

	w = world_new(0);
	ck_assert_int_eq(chmod(w->dir, 0711), 0);
	world_top(w, "\"socket\":{\"mode\":\"0666\",\"allowUsers\":[\"nobody\"]},"
	    "\"limits\":{\"clientsPerUser\":2}");
	world_upstream(w, "wall", "\"shared\":true");
	start_daemon();
	ck_assert_int_eq(seteuid(NOBODY), 0);
	for (size_t i = 0; i < nitems(held); i++)
		held[i] = client_open(ask.socket);
	ck_assert_int_eq(rpc(&ask, ping, &r, 5000), 0);
	ck_assert_int_eq(seteuid(0), 0);
	ck_assert_str_eq(reply_reason(&r), "limit");
	ck_assert_int_eq(rpc(&ask, ping, &r, 5000), 0);		/* another's connections do not count */
	ck_assert_str_eq(reply_reason(&r), "");
	client_close(held[0]);
	pause_ms(100);
	ck_assert_int_eq(seteuid(NOBODY), 0);
	ck_assert_int_eq(rpc(&ask, ping, &r, 5000), 0);
	ck_assert_int_eq(seteuid(0), 0);
	ck_assert_str_eq(reply_reason(&r), "");
	client_close(held[1]);
	reply_free(&r);
	end();
}
END_TEST

/* What the mode lets in is still nobody's without a word in allowUsers. */
START_TEST(mode_alone)
{
	start("\"mode\":\"0666\"", "\"shared\":true");
	ck_assert_int_lt(status_as(NOBODY, &ask, ping), 0);
	ck_assert_int_eq(status_as(0, &ask, ping), 200);
	end();
}
END_TEST

START_TEST(configs)
{
	expect_refused("{\"mcpServers\":{\"a\":{\"url\":\"https://h\"}},"
	    "\"socket\":{\"allowUsers\":[\"no-such-user\"]}}", "no user \"no-such-user\"");
	expect_refused("{\"mcpServers\":{\"a\":{\"url\":\"https://h\"}},"
	    "\"socket\":{\"allowUsers\":[\"12x\"]}}", "no user \"12x\"");
	expect_refused("{\"mcpServers\":{\"a\":{\"url\":\"https://h\"}},"
	    "\"socket\":{\"group\":\"no-such-group\"}}", "no such group");
	expect_refused("{\"mcpServers\":{\n\"a\":{\"url\":\"https://h\"}},"
	    "\"socket\":{\"allowUsers\":[\"nobody\",\"1\"]}}", ":2:1: socket.allowUsers lets 2 users");
	expect_refused("{\"mcpServers\":{\n\"a\":{\"url\":\"https://h\"}},"
	    "\"socket\":{\"mode\":\"0660\",\"allowUsers\":[\"nobody\"]}}", ":2:1: socket mode 0660");
}
END_TEST

static void
expect_access(const char *path, gid_t group, unsigned mode)
{
	struct stat st;

	ck_assert_int_eq(lstat(path, &st), 0);
	ck_assert_msg(st.st_gid == group && (st.st_mode & 07777) == mode && st.st_uid == 0,
	    "%s: gid %u mode %04o", path, (unsigned)st.st_gid, (unsigned)st.st_mode & 07777);
}

START_TEST(group_and_modes)
{
	char path[PATH_SIZE + 16];

	start("\"mode\":\"0660\",\"group\":\"nogroup\",\"allowUsers\":[\"nobody\"]",
	    "\"shared\":true");
	expect_access(ask.socket, NOBODY, 0660);
	expect_access(a->shared, NOBODY, 0660);
	expect_access(a->runtime, NOBODY, 0710);
	snprintf(path, sizeof(path), "%s/wall", a->runtime);
	expect_access(path, NOBODY, 0710);
	expect_access(a->control, 0, 0600);
	end();
}
END_TEST

START_TEST(session_of_another)
{
	char *root, *nobody;
	struct ask q;
	int64_t n;

	start("\"mode\":\"0666\",\"allowUsers\":[\"nobody\",\"daemon\"]", "\"shared\":true");
	nobody = session_of(NOBODY);
	root = session_of(0);
	q = ask;
	q.session = nobody;
	ck_assert_int_eq(status_as(NOBODY, &q, ping), 200);
	n = wall_count(w, "requests");
	ck_assert_int_eq(status_as(DAEMON, &q, ping), 404);
	ck_assert_int_eq(status_as(0, &q, ping), 404);
	q.session = root;		/* its own, and behind it another's */
	q.fields = malloc(256);
	snprintf((char *)q.fields, 256, "MCP-Session-Id: %s\r\n", nobody);
	ck_assert_int_eq(status_as(0, &q, ping), 404);
	free((char *)q.fields);
	q.fields = NULL;
	ck_assert_int_eq(status_as(NOBODY, &q, ping), 404);
	ck_assert_int_eq(wall_count(w, "requests"), n);		/* none of them reached it */
	ck_assert_int_eq(status_as(0, &q, ping), 200);
	wall_do(w, "lose-sessions", NULL);			/* lost is lost, but still its owner's */
	ck_assert_int_eq(status_as(0, &q, ping), 404);
	ck_assert_int_eq(wall_count(w, "requests"), n + 2);
	ck_assert_int_eq(status_as(NOBODY, &q, ping), 404);
	ck_assert_int_eq(wall_count(w, "requests"), n + 2);
	free(nobody);
	free(root);
	end();
}
END_TEST

/* After a restart nothing is known: who is served first owns it. */
START_TEST(session_claimed)
{
	struct ask q;
	char *id;

	start("\"mode\":\"0666\",\"allowUsers\":[\"nobody\"]", "\"shared\":true");
	id = session_of(NOBODY);
	ck_assert_int_eq(authd_stop(a), 0);
	a = authd_start(w, NULL);
	q = ask;
	q.session = id;
	ck_assert_int_eq(status_as(NOBODY, &q, ping), 200);
	ck_assert_int_eq(status_as(0, &q, ping), 404);
	free(id);
	end();
}
END_TEST

/*
 * A reload that changes the upstream keeps sessions, owners and cookies; one
 * that takes a user out ends that user's connections with their next request.
 */
START_TEST(after_a_reload)
{
	static const char form[] = "{\"mcpServers\":{\"wall\":{\"url\":\"%s/mcp\",\"shared\":true,"
	    "\"timeouts\":{\"recovery\":20}}},\"socket\":{\"mode\":\"0666\",\"allowUsers\":[%s]}}";
	struct buf request = BUF_INIT(0);
	struct reply r = { 0 };
	struct client *c;
	char text[512], *id;
	struct ask q;

	start("\"mode\":\"0666\",\"allowUsers\":[\"nobody\"]", "\"shared\":true");
	wall_do(w, "set", "{\"set_cookie\":\"lb=9; Path=/\"}");
	id = session_of(NOBODY);
	ck_assert_int_eq(seteuid(NOBODY), 0);
	c = client_open(ask.socket);
	ck_assert_int_eq(seteuid(0), 0);
	q = ask;
	q.session = id;
	snprintf(text, sizeof(text), form, w->origin, "\"nobody\"");
	file_write(w->config, text);
	ck_assert_int_eq(http(a->control, "POST", "/v1/reload", NULL, &r, 5000), 0);
	ck_assert_int_eq(r.status, 200);
	request_post(&request, &q, ping);
	ck_assert_int_eq(client_send(c, request.p, request.len, 5000), 0);
	ck_assert_int_eq(client_reply(c, "POST", &r, 5000), 0);
	ck_assert_int_eq(r.status, 200);
	ck_assert_int_eq(wall_count(w, "cookies"), 2);
	ck_assert_int_eq(status_as(0, &q, ping), 404);
	snprintf(text, sizeof(text), form, w->origin, "\"daemon\"");
	file_write(w->config, text);
	ck_assert_int_eq(http(a->control, "POST", "/v1/reload", NULL, &r, 5000), 0);
	ck_assert_int_eq(r.status, 200);
	ck_assert_int_eq(client_send(c, request.p, request.len, 5000), 0);
	ck_assert(client_ended(c, 5000));
	ck_assert_int_lt(status_as(NOBODY, &ask, ping), 0);
	ck_assert_int_eq(status_as(DAEMON, &ask, ping), 200);
	ck_assert_int_eq(wall_count(w, "cookies"), 2);
	client_close(c);
	buf_free(&request);
	reply_free(&r);
	free(id);
	end();
}
END_TEST

START_TEST(l17_cookies)
{
	struct buf delete = BUF_INIT(0);
	struct reply r = { 0 };
	struct ask q;
	char *one, *two;

	start("\"hosts\":[]", NULL);
	two = session_open(&ask);		/* before any cookie */
	wall_do(w, "set", "{\"set_cookie\":\"lb=7; Path=/; HttpOnly\"}");
	one = session_open(&ask);
	ck_assert_int_eq(wall_count(w, "cookies"), 1);	/* notifications/initialized had it */
	q = ask;
	q.session = one;
	q.fields = "Cookie: lb=mine\r\n";
	ck_assert_int_eq(rpc(&q, ping, &r, 5000), 0);
	ck_assert_int_eq(r.status, 200);
	ck_assert_ptr_null(strstr(r.head.p, "lb="));
	ck_assert_int_eq(wall_count(w, "cookies"), 2);
	wall_do(w, "expire", NULL);		/* both sends of a request that meets a 401 */
	ck_assert_int_eq(rpc(&q, ping, &r, 5000), 0);
	ck_assert_int_eq(r.status, 200);
	ck_assert_int_eq(wall_count(w, "cookies"), 4);
	q.session = two;			/* another session */
	ck_assert_int_eq(rpc(&q, ping, &r, 5000), 0);
	ck_assert_int_eq(rpc(&ask, ping, &r, 5000), 0);
	ck_assert_int_eq(wall_count(w, "cookies"), 4);
	q.session = one;
	request_delete(&delete, &q);
	ck_assert_int_eq(roundtrip(q.socket, "DELETE", delete.p, delete.len, &r, 5000), 0);
	ck_assert_int_eq(wall_count(w, "cookies"), 5);
	ck_assert_int_eq(rpc(&q, ping, &r, 5000), 0);	/* it is gone, and so is its cookie */
	ck_assert_int_eq(r.status, 404);
	ck_assert_int_eq(wall_count(w, "cookies"), 5);
	buf_free(&delete);
	reply_free(&r);
	free(one);
	free(two);
	end();
}
END_TEST

/* A session that is lost loses its cookies; one set later, on any answer, counts. */
START_TEST(l17_later_and_lost)
{
	struct ask q;
	char *id;

	start("\"hosts\":[]", NULL);
	id = session_open(&ask);
	q = ask;
	q.session = id;
	wall_do(w, "set", "{\"set_cookie\":\"lb=8\"}");
	wall_fault(w, "{\"mcp\":{\"status\":200,\"body\":\"{}\",\"headers\":{\"Set-Cookie\":"
	    "\"lb=8; Path=/mcp\",\"Content-Type\":\"application/json\"}},\"times\":1}");
	ck_assert_int_eq(status_as(0, &q, ping), 200);
	ck_assert_int_eq(wall_count(w, "cookies"), 0);
	ck_assert_int_eq(status_as(0, &q, ping), 200);
	ck_assert_int_eq(wall_count(w, "cookies"), 1);
	wall_do(w, "lose-sessions", NULL);
	ck_assert_int_eq(status_as(0, &q, ping), 404);
	ck_assert_int_eq(wall_count(w, "cookies"), 2);
	ck_assert_int_eq(status_as(0, &q, ping), 404);
	ck_assert_int_eq(wall_count(w, "cookies"), 2);
	free(id);
	end();
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("peers");
	TCase *tc = tcase_create("peers");
	SRunner *sr;
	int failed;

	tcase_set_timeout(tc, 60);
	tcase_add_test(tc, l17_cookies);
	if (geteuid() == 0) {
		tcase_add_test(tc, l17_later_and_lost);
		tcase_add_test(tc, uids);
		tcase_add_test(tc, caps_of_one_user);
		tcase_add_test(tc, mode_alone);
		tcase_add_test(tc, configs);
		tcase_add_test(tc, group_and_modes);
		tcase_add_test(tc, session_of_another);
		tcase_add_test(tc, session_claimed);
		tcase_add_test(tc, after_a_reload);
	} else {
		printf("skipped: peers of other uids, it needs root\n");
	}
	suite_add_tcase(s, tc);
	sr = srunner_create(s);
	srunner_run_all(sr, CK_NORMAL);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed != 0;
}
