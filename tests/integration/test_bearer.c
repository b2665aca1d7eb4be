/* Static bearers, contract A4: file, systemd credential, command; headers of the config. */
#include <arpa/inet.h>
#include <check.h>
#include <poll.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "support.h"

static struct world *w;
static struct authd *a;
static struct ask ask;
static char path[PATH_SIZE], script[PATH_SIZE], runs[PATH_SIZE];

static const char list[] = "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"tools/list\",\"params\":"
    "{\"_meta\":{\"io.modelcontextprotocol/protocolVersion\":\"2026-07-28\"}}}";

/* A token of the wall's, good for an hour. */
static char *
token(void)
{
	cJSON *doc = wall_post(w, "issue", NULL);
	char *text = strdup(cJSON_GetObjectItem(doc, "access_token")->valuestring);

	cJSON_Delete(doc);
	return text;
}

/* As administrators do it: a new file, renamed over the old one. */
static void
put(const char *text, const char *end)
{
	char temp[PATH_SIZE + 8], both[512];

	snprintf(temp, sizeof(temp), "%s.new", path);
	snprintf(both, sizeof(both), "%s%s", text, end);
	file_write(temp, both);
	ck_assert_int_eq(rename(temp, path), 0);
}

static void
start(const char *bearer, const struct authd_options *o)
{
	char members[512];

	snprintf(members, sizeof(members), "\"auth\":\"bearer\",\"bearer\":{%s}", bearer);
	world_upstream(w, "wall", members);
	a = authd_start(w, o);
	ask = (struct ask){ .socket = authd_socket(a, "wall"), .version = "2026-07-28" };
}

static void
prepare(void)
{
	w = world_new(0);
	snprintf(path, sizeof(path), "%s/token", w->dir);
	snprintf(script, sizeof(script), "%s/command", w->dir);
	snprintf(runs, sizeof(runs), "%s/runs", w->dir);
}

static const char *
asked(void)
{
	static char reason[64];
	struct reply r = { 0 };

	ck_assert_int_eq(rpc(&ask, list, &r, 20000), 0);
	ck_assert_int_eq(r.status, 200);
	snprintf(reason, sizeof(reason), "%s", reply_reason(&r));
	reply_free(&r);
	return reason;
}

static void
end(void)
{
	ck_assert_int_eq(wall_count(w, "token.requests"), 0);
	ck_assert_int_eq(wall_violations(w), 0);
	world_free(w);
}

START_TEST(a4_file)
{
	char member[256], *t;

	prepare();
	put(t = token(), "\n");
	snprintf(member, sizeof(member), "\"file\":\"%s\"", path);
	start(member, NULL);
	ck_assert_str_eq(asked(), "");
	for (int i = 0; i < 20; i++) {		/* a rotated file is used by the next exchange */
		wall_do(w, "expire", NULL);
		free(t);
		put(t = token(), i % 2 ? "\n" : "");
		ask.key = "rotated";
		ck_assert_str_eq(asked(), "");
	}
	ck_assert_int_eq(wall_count(w, "sends.rotated"), 20);
	wall_do(w, "expire", NULL);		/* the same one again: final */
	ask.key = "final";
	ck_assert_str_eq(asked(), "bearer_rejected");
	ck_assert_int_eq(wall_count(w, "sends.final"), 1);
	free(t);
	end();
}
END_TEST

/* A file that changes without a notice (a symbolic link's target): the 401 makes it be read again. */
START_TEST(a4_reread_earns_the_one_retry)
{
	char member[256], real[PATH_SIZE], dir[PATH_SIZE], *t;

	prepare();
	snprintf(dir, sizeof(dir), "%s/elsewhere", w->dir);
	ck_assert_int_eq(mkdir(dir, 0700), 0);
	snprintf(real, sizeof(real), "%.80s/real", dir);
	file_write(real, t = token());
	ck_assert_int_eq(symlink(real, path), 0);
	snprintf(member, sizeof(member), "\"file\":\"%s\"", path);
	start(member, NULL);
	ck_assert_str_eq(asked(), "");
	wall_do(w, "expire", NULL);
	free(t);
	file_write(real, t = token());
	ask.key = "retry";
	ck_assert_str_eq(asked(), "");
	ck_assert_int_eq(wall_count(w, "sends.retry"), 2);
	free(t);
	end();
}
END_TEST

START_TEST(a4_bad_file)
{
	static const char *const bad[] = { "", "two words", "\xff\xfe", "{\"no\":1}" };
	char member[256], *t, *log;

	prepare();
	snprintf(member, sizeof(member), "\"file\":\"%s\"", path);
	start(member, NULL);
	ck_assert_str_eq(asked(), "store");		/* not there yet */
	for (size_t i = 0; i < nitems(bad); i++) {
		put(bad[i], "\n");
		ck_assert_str_eq(asked(), "store");
	}
	put(t = token(), "\n");
	ck_assert_str_eq(asked(), "");
	put("", "");					/* C3: what is in memory stays */
	ck_assert_str_eq(asked(), "");
	log = authd_log(a);
	ck_assert_ptr_nonnull(strstr(log, path));
	ck_assert_ptr_null(strstr(log, t));
	free(log);
	free(t);
	end();
}
END_TEST

START_TEST(a4_systemd_credential)
{
	char env[256], *t;
	const char *const more[] = { env, NULL };
	struct authd_options o = { .env = more };

	prepare();
	snprintf(env, sizeof(env), "CREDENTIALS_DIRECTORY=%s", w->dir);
	put(t = token(), "\n");
	start("\"credential\":\"token\"", &o);
	ck_assert_str_eq(asked(), "");
	ck_assert_int_eq(authd_remove(a, "wall"), 409);
	free(t);
	end();
}
END_TEST

static void
command(const char *body)
{
	char text[1024], member[256];

	snprintf(text, sizeof(text), "#!/bin/sh\necho run >> %s\nenv > %s.env\n%s\n", runs, runs, body);
	file_write(script, text);
	ck_assert_int_eq(chmod(script, 0700), 0);
	snprintf(member, sizeof(member), "\"command\":[\"%s\",\"an argument\"]", script);
	start(member, &(struct authd_options){ .env = (const char *const[]){
	    "NOTIFY_SOCKET=/nowhere", "CREDENTIALS_DIRECTORY=/nowhere", "KEPT=1", NULL } });
}

static int
run_count(void)
{
	char *text = file_read(runs, NULL);
	int n = text != NULL ? (int)(strlen(text) / 4) : 0;

	free(text);
	return n;
}

START_TEST(a4_command)
{
	char body[256], env[PATH_SIZE + 8], *t;

	prepare();
	put(t = token(), "\n");
	snprintf(body, sizeof(body), "test \"$1\" = 'an argument' && cat %s", path);
	command(body);
	for (int i = 0; i < 5; i++)
		ck_assert_str_eq(asked(), "");
	ck_assert_int_eq(run_count(), 1);
	wall_do(w, "expire", NULL);
	for (int i = 0; i < 5; i++)			/* at most every 30 s */
		ck_assert_str_eq(asked(), "bearer_rejected");
	ck_assert_int_eq(run_count(), 1);
	free(t);
	snprintf(env, sizeof(env), "%s.env", runs);
	t = file_read(env, NULL);
	ck_assert_ptr_nonnull(strstr(t, "KEPT=1"));
	ck_assert_ptr_null(strstr(t, "NOTIFY_SOCKET"));
	ck_assert_ptr_null(strstr(t, "CREDENTIALS_DIRECTORY"));
	free(t);
	end();
}
END_TEST

/* Cached by its lifetime; an expired one is asked for again, once for all who wait. */
START_TEST(a4_command_with_a_lifetime)
{
	char body[256], *t;
	int64_t deadline;

	prepare();
	t = token();
	put(t, "");
	snprintf(body, sizeof(body), "printf '{\"access_token\":\"%%s\",\"expires_in\":31}' $(cat %s)",
	    path);
	command(body);
	ck_assert_str_eq(asked(), "");
	ck_assert_int_eq(run_count(), 1);
	deadline = now_ms() + 45000;
	while (run_count() == 1 && now_ms() < deadline) {
		ck_assert_str_eq(asked(), "");
		pause_ms(200);
	}
	ck_assert_int_eq(run_count(), 2);
	ck_assert_str_eq(asked(), "");
	free(t);
	end();
}
END_TEST

START_TEST(a4_bad_command)
{
	static const char *const bad[] = {
		"exit 3", "kill -9 $$", "echo two words", "head -c 200000 /dev/zero | tr '\\0' a",
		"sleep 1000 & exit 1",
	};

	prepare();
	command(bad[_i]);
	ck_assert_str_eq(asked(), "store");
	ck_assert_int_ge(run_count(), 1);
	ck_assert_int_eq(authd_stop(a), 0);
	end();
}
END_TEST

/* One raw connection of the upstream's: the request as it came. */
static char *
request_seen(const char *fields)
{
	static char seen[4096];
	struct sockaddr_in sin = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t size = sizeof(sin);
	int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), fd;
	char url[64], members[512];
	struct pollfd pfd = { .fd = listener, .events = POLLIN };
	struct shot shot;
	struct volley *v;
	ssize_t n;

	ck_assert_int_eq(bind(listener, (struct sockaddr *)&sin, sizeof(sin)), 0);
	ck_assert_int_eq(listen(listener, 8), 0);
	ck_assert_int_eq(getsockname(listener, (struct sockaddr *)&sin, &size), 0);
	snprintf(url, sizeof(url), "http://127.0.0.1:%d/mcp", ntohs(sin.sin_port));
	snprintf(members, sizeof(members), "\"auth\":\"none\",\"headers\":{\"X-Team\":\"core\"},"
	    "\"headerFiles\":{\"X-Api-Key\":\"%s\"}", path);
	world_upstream_at(w, "raw", url, members);
	a = authd_start(w, NULL);
	ask = (struct ask){ .socket = authd_socket(a, "raw"), .version = "2026-07-28",
	    .fields = fields };
	shot = (struct shot){ .socket = ask.socket, .method = "POST" };
	request_post(&shot.request, &ask, list);
	v = volley_start(&shot, 1);
	volley_run(v, 100);
	ck_assert_int_eq(poll(&pfd, 1, 5000), 1);
	fd = accept(listener, NULL, NULL);
	pfd.fd = fd;
	ck_assert_int_eq(poll(&pfd, 1, 5000), 1);
	n = read(fd, seen, sizeof(seen) - 1);
	ck_assert_int_gt(n, 0);
	seen[n] = '\0';
	close(fd);
	close(listener);
	volley_free(v);
	shots_free(&shot, 1);
	return seen;
}

/* headers and headerFiles: the configured ones, in place of the client's. */
START_TEST(extra_headers)
{
	char *seen, *log;

	prepare();
	put("a-secret-of-the-file", "\n");
	seen = request_seen("x-api-key: mine\r\nX-Teams: stays\r\nX-TEAM: mine\r\n");
	ck_assert_ptr_nonnull(strstr(seen, "\r\nX-Team: core\r\n"));
	ck_assert_ptr_nonnull(strstr(seen, "\r\nX-Api-Key: a-secret-of-the-file\r\n"));
	ck_assert_ptr_nonnull(strstr(seen, "\r\nX-Teams: stays\r\n"));
	ck_assert_ptr_null(strstr(seen, "mine"));
	ck_assert_ptr_null(strstr(seen, "Authorization"));
	log = authd_log(a);
	ck_assert_ptr_null(strstr(log, "a-secret-of-the-file"));
	free(log);
	world_free(w);
}
END_TEST

/* A file that is not there is an error of the config: nobody goes up without the header. */
START_TEST(extra_header_file_missing)
{
	char members[256], *log;

	prepare();
	snprintf(members, sizeof(members), "\"headerFiles\":{\"X-Api-Key\":\"%s\"}", path);
	world_upstream(w, "wall", members);
	a = authd_start(w, &(struct authd_options){ .no_wait = true });
	ck_assert_int_eq(authd_wait(a, 10000) >> 8, 78);
	log = authd_log(a);
	ck_assert_ptr_nonnull(strstr(log, "X-Api-Key"));
	ck_assert_ptr_nonnull(strstr(log, path));
	free(log);
	world_free(w);
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("bearer");
	TCase *tc = tcase_create("bearer");
	SRunner *sr;
	int failed;

	tcase_set_timeout(tc, 90);
	tcase_add_test(tc, a4_file);
	tcase_add_test(tc, a4_reread_earns_the_one_retry);
	tcase_add_test(tc, a4_bad_file);
	tcase_add_test(tc, a4_systemd_credential);
	tcase_add_test(tc, a4_command);
	tcase_add_test(tc, a4_command_with_a_lifetime);
	tcase_add_loop_test(tc, a4_bad_command, 0, 5);
	tcase_add_test(tc, extra_headers);
	tcase_add_test(tc, extra_header_file_missing);
	suite_add_tcase(s, tc);
	sr = srunner_create(s);
	srunner_run_all(sr, CK_NORMAL);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed != 0;
}
