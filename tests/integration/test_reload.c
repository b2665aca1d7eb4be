/*
 * Reload by SIGHUP and by the control socket: a bad config changes nothing,
 * a good one exactly what it says; nobody who is being served notices
 * (contract D: back-offs of a configuration fault are cleared).
 */
#include <check.h>
#include <signal.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "scene.h"

#define PATIENCE	10000

/* mcpServers of the config that is written next. */
static struct buf entries, top;

static void
entry(struct world *w, const char *name, const char *members)
{
	buf_addf(&entries, "%s\n    \"%s\": { \"url\": \"%s/mcp\"%s%s }", entries.len > 0 ? "," : "",
	    name, w->origin, members != NULL ? ", " : "", members != NULL ? members : "");
}

static void
beside(const char *members)
{
	buf_addf(&top, ",\n  %s", members);
}

static void
write_config(struct world *w)
{
	struct buf b = BUF_INIT(0);

	buf_addf(&b, "{\n  \"mcpServers\": {%s\n  }%s\n}\n", entries.p, top.p != NULL ? top.p : "");
	file_write(w->config, b.p);
	buf_free(&b);
	buf_free(&entries);
	buf_free(&top);
}

/* POST /v1/reload; its message, "" if it went well.  Static buffer. */
static const char *
reload(const struct authd *a)
{
	static char message[1024];
	struct reply r = { 0 };
	cJSON *j;

	ck_assert_int_eq(http(a->control, "POST", "/v1/reload", NULL, &r, PATIENCE), 0);
	j = reply_json(&r);
	ck_assert_msg(r.status == 200 || r.status == 400, "%d: %s", r.status, r.body.p);
	snprintf(message, sizeof(message), "%s", r.status == 200 ? "" :
	    cJSON_GetStringValue(cJSON_GetObjectItem(j, "message")));
	cJSON_Delete(j);
	reply_free(&r);
	return message;
}

static int
log_has(const struct authd *a, const char *text)
{
	char *log = authd_log(a), *p = log;
	int n = 0;

	while ((p = strstr(p, text)) != NULL) {
		p += strlen(text);
		n++;
	}
	free(log);
	return n;
}

static void
wait_log(const struct authd *a, const char *text, int n)
{
	int64_t deadline = now_ms() + PATIENCE;

	while (log_has(a, text) < n) {
		ck_assert_msg(now_ms() < deadline, "not in the log: %s", text);
		pause_ms(5);
	}
}

/* SIGHUP, and the end of what it does. */
static void
hang_up(const struct authd *a)
{
	int n = log_has(a, " reloaded: ") + log_has(a, "not reloaded");
	int64_t deadline = now_ms() + PATIENCE;

	kill(a->pid, SIGHUP);
	while (log_has(a, " reloaded: ") + log_has(a, "not reloaded") == n) {
		ck_assert(now_ms() < deadline);
		pause_ms(5);
	}
}

/* A value of the status of one upstream; "" if there is no such upstream. Static buffer. */
static const char *
status_of(const struct authd *a, const char *name, const char *object, const char *key)
{
	static char text[128];
	cJSON *s = authd_status(a), *u, *v;
	char *printed;

	text[0] = '\0';
	cJSON_ArrayForEach(u, cJSON_GetObjectItem(s, "upstreams")) {
		if (strcmp(cJSON_GetStringValue(cJSON_GetObjectItem(u, "name")), name) != 0)
			continue;
		v = object != NULL ? cJSON_GetObjectItem(u, object) : u;
		printed = cJSON_PrintUnformatted(cJSON_GetObjectItem(v, key));
		snprintf(text, sizeof(text), "%s", printed != NULL ? printed : "absent");
		free(printed);
	}
	cJSON_Delete(s);
	return text;
}

static unsigned
mode_of(const char *path)
{
	struct stat st;

	return stat(path, &st) == 0 ? st.st_mode & 07777 : 0;
}

/* How `mcp-authctl reload` ends; what it said is left in `said`. */
static int
ctl_reload(const struct scene *s, char *said, size_t size)
{
	const char *build = getenv("BUILD"), *argv[6];
	char program[PATH_SIZE], out[PATH_SIZE + 8], *text;
	int status;
	pid_t pid;

	snprintf(program, sizeof(program), "%s/mcp-authctl", build != NULL ? build : "build");
	snprintf(out, sizeof(out), "%s/ctl.out", s->w->dir);
	unlink(out);
	argv[0] = program;
	argv[1] = "--control";
	argv[2] = s->a->control;
	argv[3] = "reload";
	argv[4] = NULL;
	pid = child_start(argv, NULL, out);
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	text = file_read(out, NULL);
	snprintf(said, size, "%s", text != NULL ? text : "");
	free(text);
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

START_TEST(bad_config_changes_nothing_and_says_where)
{
	struct scene s = scene_begin(0, NULL, NULL);
	char said[1200], where[PATH_SIZE + 16];

	/* A new upstream before the fault, a mode and a level: none of it may come true. */
	entry(s.w, "extra", NULL);
	entry(s.w, "wall", "\"shared\": true,\n      \"tiemouts\": {}");
	beside("\"socket\": { \"mode\": \"0660\" }");
	write_config(s.w);
	snprintf(where, sizeof(where), "%s:5:7: ", s.w->config);
	ck_assert_msg(strstr(reload(s.a), where) != NULL, "%s: %s", where, reload(s.a));
	ck_assert_ptr_nonnull(strstr(reload(s.a), "timeouts"));
	ck_assert_int_ge(log_has(s.a, where), 1);
	hang_up(s.a);
	ck_assert_int_eq(ctl_reload(&s, said, sizeof(said)), 1);
	ck_assert_ptr_nonnull(strstr(said, where));
	/* A fault that shows only when it is done: an open socket is undone. */
	entry(s.w, "extra", NULL);
	entry(s.w, "wall", "\"listen\": \"/nonexistent/x.sock\"");
	write_config(s.w);
	ck_assert_ptr_nonnull(strstr(reload(s.a), "/nonexistent/x.sock"));
	ck_assert_str_eq(status_of(s.a, "extra", NULL, "name"), "");
	ck_assert_ptr_null(client_try(authd_socket(s.a, "extra")));
	ck_assert_uint_eq(mode_of(s.ask.socket), 0600);
	ck_assert_int_eq(access(authd_socket(s.a, "extra"), F_OK), -1);
	ck_assert_str_eq(ask_tool(&s.ask, "echo", NULL), "");
	scene_end(&s);
}
END_TEST

START_TEST(store_needs_a_restart)
{
	struct scene s = scene_begin(0, NULL, NULL);
	char members[PATH_SIZE + 64];

	entry(s.w, "wall", NULL);
	snprintf(members, sizeof(members), "\"store\": { \"path\": \"%s/elsewhere\" }", s.w->dir);
	beside(members);
	write_config(s.w);
	ck_assert_ptr_nonnull(strstr(reload(s.a), "restart"));
	scene_end(&s);
}
END_TEST

START_TEST(upstreams_come_and_go)
{
	struct scene s = scene_begin(0, NULL, NULL);
	struct ask more = { .socket = authd_socket(s.a, "more") };
	char said[256];

	entry(s.w, "wall", NULL);
	entry(s.w, "more", NULL);
	write_config(s.w);
	ck_assert_int_eq(ctl_reload(&s, said, sizeof(said)), 0);
	ck_assert_str_eq(ask_tool(&more, "echo", NULL), "login_required");
	world_login(s.w, s.a, "more", NULL);
	more.session = session_open(&more);
	ck_assert_str_eq(ask_tool(&more, "echo", NULL), "");
	/* Its own socket and the shared one do not know it any more. */
	entry(s.w, "wall", NULL);
	write_config(s.w);
	hang_up(s.a);
	ck_assert_ptr_null(client_try(more.socket));
	ck_assert_int_eq(access(more.socket, F_OK), -1);
	ck_assert_str_eq(status_of(s.a, "more", NULL, "name"), "");
	/* It comes back, and so does its credential. */
	entry(s.w, "more", NULL);
	entry(s.w, "wall", NULL);
	write_config(s.w);
	ck_assert_str_eq(reload(s.a), "");
	ck_assert_str_eq(ask_tool(&more, "echo", NULL), "");
	ck_assert_int_eq(wall_count(s.w, "token.requests"), 0);
	free((char *)(uintptr_t)more.session);
	scene_end(&s);
}
END_TEST

/* A connection that stays open is led to the new upstream. */
START_TEST(a_changed_upstream_serves_the_next_request)
{
	struct scene s = scene_begin(0, NULL, NULL);
	struct client *kept = client_open(s.ask.socket);
	struct buf request = BUF_INIT(0), body = BUF_INIT(0);
	struct reply r = { 0 };

	tool_json(&body, 7, "echo", NULL);
	request_post(&request, &s.ask, body.p);
	say(kept, request.p);
	hear(kept, "POST", &r, 200);
	ck_assert_str_eq(reply_reason(&r), "");
	buf_addf(&entries, "\n    \"wall\": { \"url\": \"http://127.0.0.1:1/mcp\" }");
	write_config(s.w);
	ck_assert_str_eq(reload(s.a), "");
	say(kept, request.p);
	hear(kept, "POST", &r, 200);
	ck_assert_str_eq(reply_reason(&r), "login_required");	/* another URL: another credential */
	entry(s.w, "wall", NULL);
	write_config(s.w);
	ck_assert_str_eq(reload(s.a), "");
	say(kept, request.p);
	hear(kept, "POST", &r, 200);
	ck_assert_str_eq(reply_reason(&r), "");
	client_close(kept);
	reply_free(&r);
	buf_free(&request);
	buf_free(&body);
	scene_end(&s);
}
END_TEST

START_TEST(modes_limits_and_sockets)
{
	struct scene s = scene_begin(0, NULL, NULL);
	char other[PATH_SIZE + 16], members[PATH_SIZE + 64];
	struct stat before, after;
	struct ask moved = s.ask;

	ck_assert_int_eq(stat(s.ask.socket, &before), 0);
	entry(s.w, "wall", "\"shared\": true");
	beside("\"socket\": { \"mode\": \"0666\" }");
	beside("\"limits\": { \"clients\": 3 }");
	write_config(s.w);
	ck_assert_str_eq(reload(s.a), "");
	ck_assert_uint_eq(mode_of(s.ask.socket), 0666);
	ck_assert_uint_eq(mode_of(s.a->shared), 0666);
	ck_assert_uint_eq(mode_of(s.a->control), 0600);
	ck_assert_int_eq(stat(s.ask.socket, &after), 0);
	ck_assert_uint_eq(before.st_ino, after.st_ino);		/* never closed */
	struct client *a = client_open(s.ask.socket), *b = client_open(s.ask.socket);
	struct reply r = { 0 };

	ck_assert_int_eq(tool(&s.ask, 1, "echo", NULL, &r, PATIENCE), 0);
	ck_assert_str_eq(reply_reason(&r), "limit");		/* the fourth */
	client_close(a);
	client_close(b);
	reply_free(&r);
	snprintf(other, sizeof(other), "%s/other.sock", s.w->dir);
	snprintf(members, sizeof(members), "\"listen\": \"%s\"", other);
	entry(s.w, "wall", members);
	write_config(s.w);
	ck_assert_str_eq(reload(s.a), "");
	ck_assert_ptr_null(client_try(s.ask.socket));
	moved.socket = other;
	ck_assert_str_eq(ask_tool(&moved, "echo", NULL), "");
	ck_assert_uint_eq(mode_of(other), 0600);
	ck_assert_uint_eq(mode_of(s.a->shared), 0600);
	s.ask.socket = other;
	scene_end(&s);
}
END_TEST

START_TEST(log_level)
{
	struct world *w = world_new(0);
	struct authd_options o = { .log_level = "" };
	struct authd *a;
	struct ask ask;

	entry(w, "wall", NULL);
	write_config(w);
	a = authd_start(w, &o);
	ask = (struct ask){ .socket = authd_socket(a, "wall") };
	ck_assert_str_eq(ask_tool(&ask, "echo", NULL), "login_required");
	ck_assert_int_eq(log_has(a, "exchange"), 0);
	world_top(w, "\"log\": { \"level\": \"debug\" }");
	entry(w, "wall", NULL);
	beside("\"log\": { \"level\": \"debug\" }");
	write_config(w);
	ck_assert_str_eq(reload(a), "");
	ck_assert_str_eq(ask_tool(&ask, "echo", NULL), "login_required");
	wait_log(a, "exchange", 1);
	world_free(w);
}
END_TEST

/* Contract D: cleared by a reload, of an upstream that did not change. */
START_TEST(d_back_offs_are_forgotten)
{
	struct scene s = scene_begin(0, NULL, NULL);

	wall_fault(s.w, "{\"token\":{\"status\":401,\"body\":\"{\\\"error\\\":\\\"invalid_client\\\"}\"},\"times\":1}");
	wall_do(s.w, "expire", NULL);
	ck_assert_str_eq(ask_tool(&s.ask, "echo", NULL), "login_required");
	ck_assert_str_eq(ask_tool(&s.ask, "echo", NULL), "login_required");
	ck_assert_int_eq(wall_count(s.w, "token.requests"), 1);
	hang_up(s.a);
	ck_assert_str_eq(ask_tool(&s.ask, "echo", NULL), "");
	ck_assert_int_eq(wall_count(s.w, "token.requests"), 2);
	scene_end(&s);
}
END_TEST

/* The token request that is under way when the upstream is changed serves both. */
START_TEST(c_a_transaction_outlives_the_change)
{
	struct scene s = scene_begin(0, NULL, NULL);
	struct client *before, *after;
	struct reply r = { 0 };

	wall_fault(s.w, "{\"token\":{\"hold\":true},\"times\":1}");
	wall_do(s.w, "expire", NULL);
	before = begin_tool(&s.ask, "echo", NULL);
	ck_assert(wall_wait(s.w, "token.requests", 1, PATIENCE));
	entry(s.w, "wall", "\"timeouts\": { \"response\": 100 }, \"oauth\": { \"clientId\": \"x\" }");
	write_config(s.w);
	ck_assert_str_eq(reload(s.a), "");
	after = begin_tool(&s.ask, "echo", NULL);
	wall_do(s.w, "release", NULL);
	hear(before, "POST", &r, 200);
	ck_assert_str_eq(reply_reason(&r), "");
	hear(after, "POST", &r, 200);
	ck_assert_str_eq(reply_reason(&r), "");
	ck_assert_int_eq(wall_count(s.w, "token.requests"), 1);
	/* ... and it is one and the same state machine. */
	ck_assert_str_eq(status_of(s.a, "wall", "credential", "token_requests"), "1");
	client_close(before);
	client_close(after);
	reply_free(&r);
	scene_end(&s);
}
END_TEST

/* Removed or changed: a long stream goes on under the old config, then it is freed. */
START_TEST(streams_go_on)
{
	struct scene s = scene_begin(0, NULL, NULL);
	struct client *stream;

	entry(s.w, "wall", NULL);
	entry(s.w, "keep", "\"auth\": \"none\"");
	write_config(s.w);
	ck_assert_str_eq(reload(s.a), "");
	stream = stream_open(&s.ask, NULL);
	hear_event(stream, "id: 0");
	for (int i = 0; i < 3; i++) {
		if (i < 2)
			entry(s.w, "wall", i == 0 ? "\"timeouts\": { \"response\": 5 }" :
			    "\"auth\": \"none\"");
		entry(s.w, "keep", "\"auth\": \"none\"");
		write_config(s.w);
		ck_assert_str_eq(reload(s.a), "");
		wall_do(s.w, "emit", "{\"text\":\"news\"}");
		hear_event(stream, "news");
		hear_event(s.bystander, "news");
	}
	ck_assert_ptr_null(client_try(s.ask.socket));
	client_close(stream);
	/* The two between had no exchange; the bystander is still there, on one that is nowhere any more. */
	wait_log(s.a, "wall event=reload the last exchange", 2);
	wall_do(s.w, "emit", "{\"text\":\"and on\"}");
	hear_event(s.bystander, "and on");
	ck_assert_int_eq(log_has(s.a, "wall event=reload the last exchange"), 2);
	entry(s.w, "wall", NULL);
	write_config(s.w);
	ck_assert_str_eq(reload(s.a), "");
	ck_assert_str_eq(ask_tool(&s.ask, "echo", NULL), "");
	ck_assert_int_eq(wall_count(s.w, "token.requests"), 0);
	client_close(s.bystander);
	s.bystander = NULL;
	wait_log(s.a, "wall event=reload the last exchange", 3);
	scene_end(&s);
}
END_TEST

/* What the manager is told: what is next on the socket begins so. */
static void
is_told(int fd, const char *first, const char *second)
{
	char text[1024];
	ssize_t n;

	do {
		n = recv(fd, text, sizeof(text) - 1, 0);
		ck_assert_int_gt(n, 0);
		text[n] = '\0';
	} while (strncmp(text, "FDSTORE", 7) == 0 || strncmp(text, "STATUS", 6) == 0);
	ck_assert_msg(strncmp(text, first, strlen(first)) == 0 && strstr(text, second) != NULL,
	    "%s, not %s", text, first);
}

START_TEST(the_manager_is_told)
{
	struct world *w = world_new(0);
	char variable[PATH_SIZE + 32];
	const char *const env[] = { variable, NULL };
	struct authd_options o = { .env = env };
	struct sockaddr_un sun = { .sun_family = AF_UNIX };
	struct timeval patience = { .tv_sec = PATIENCE / 1000 };
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	struct authd *a;

	snprintf(sun.sun_path, sizeof(sun.sun_path), "%s/notify", w->dir);
	snprintf(variable, sizeof(variable), "NOTIFY_SOCKET=%s", sun.sun_path);
	ck_assert_int_eq(bind(fd, (struct sockaddr *)&sun, sizeof(sun)), 0);
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
	a = authd_start(w, &o);
	is_told(fd, "READY=1", "STATUS=1 upstream, 0 logged in, 0 clients");
	kill(a->pid, SIGHUP);
	is_told(fd, "RELOADING=1", "MONOTONIC_USEC=");
	is_told(fd, "READY=1", "STATUS=1 upstream, 0 logged in, 0 clients");
	file_write(w->config, "{");
	kill(a->pid, SIGHUP);
	is_told(fd, "RELOADING=1", "MONOTONIC_USEC=");
	is_told(fd, "READY=1", w->config);		/* it serves on, and why */
	close(fd);
	world_free(w);
}
END_TEST

#define CALLERS		40
#define ROUNDS		24

/* Two upstreams, one of which every reload changes; new connections all the time. */
START_TEST(no_exchange_fails_under_load)
{
	struct scene s = scene_begin(0, NULL, NULL);
	char members[64];
	struct ask wall = s.ask, other;
	int served = 0;

	wall.session = NULL;
	wall.version = "2026-07-28";
	other = wall;
	other.socket = authd_socket(s.a, "other");
	for (int round = 0; round < ROUNDS; round++) {
		struct shot shots[CALLERS] = { { 0 } };
		struct volley *v;

		entry(s.w, "wall", NULL);
		snprintf(members, sizeof(members), "\"timeouts\": { \"response\": %d }", 100 + round);
		entry(s.w, "other", members);
		write_config(s.w);
		if (round == 0) {
			ck_assert_str_eq(reload(s.a), "");
			world_login(s.w, s.a, "other", NULL);
			wall_do(s.w, "set", "{\"lifetime\":4}");
		}
		for (int i = 0; i < CALLERS; i++) {
			struct buf body = BUF_INIT(0);

			tool_json_modern(&body, i, i % 4 == 0 ? "sleep" : "echo",
			    i % 4 == 0 ? "{\"ms\":60}" : NULL);
			shots[i].socket = i % 2 == 0 ? wall.socket : other.socket;
			shots[i].method = "POST";
			request_post(&shots[i].request, i % 2 == 0 ? &wall : &other, body.p);
			buf_free(&body);
		}
		v = volley_start(shots, CALLERS);
		volley_run(v, 10);
		if (round % 2 == 0)
			kill(s.a->pid, SIGHUP);
		else
			ck_assert_str_eq(reload(s.a), "");
		if (round % 5 == 4)
			wall_do(s.w, "expire", NULL);
		ck_assert_uint_eq(volley_run(v, 20000), CALLERS);
		volley_free(v);
		for (int i = 0; i < CALLERS; i++) {
			ck_assert_int_eq(shots[i].error, 0);
			ck_assert_int_eq(shots[i].reply.status, 200);
			ck_assert_msg(strstr(shots[i].reply.body.p, "\"result\"") != NULL, "%s",
			    shots[i].reply.body.p);
			served++;
		}
		shots_free(shots, CALLERS);
	}
	ck_assert_int_eq(served, CALLERS * ROUNDS);
	ck_assert_int_ge(log_has(s.a, "reloaded: "), ROUNDS - 1);
	ck_assert_int_eq(wall_count(s.w, "token.replays"), 0);
	wall_do(s.w, "clear", NULL);
	wall_do(s.w, "emit", "{\"text\":\"still here\"}");
	hear_event(s.bystander, "still here");
	client_close(s.bystander);
	s.bystander = NULL;
	ck_assert_int_eq(authd_stop(s.a), 0);		/* and nothing leaked, says ASan */
	scene_end(&s);
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("reload");
	TCase *tc = tcase_create("reload");
	SRunner *sr;
	int failed;

	tcase_set_timeout(tc, 120);
	tcase_add_test(tc, bad_config_changes_nothing_and_says_where);
	tcase_add_test(tc, store_needs_a_restart);
	tcase_add_test(tc, upstreams_come_and_go);
	tcase_add_test(tc, a_changed_upstream_serves_the_next_request);
	tcase_add_test(tc, modes_limits_and_sockets);
	tcase_add_test(tc, log_level);
	tcase_add_test(tc, d_back_offs_are_forgotten);
	tcase_add_test(tc, c_a_transaction_outlives_the_change);
	tcase_add_test(tc, streams_go_on);
	tcase_add_test(tc, the_manager_is_told);
	tcase_add_test(tc, no_exchange_fails_under_load);
	suite_add_tcase(s, tc);
	sr = srunner_create(s);
	srunner_run_all(sr, CK_NORMAL);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed != 0;
}
