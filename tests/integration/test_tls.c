/*
 * A TLS upstream behind the running daemon: the same duties, a refresh at a
 * token endpoint under the same CA, and what cannot be trusted is not spoken
 * to (WIRE A15, issue 1 "Upstream side").
 */
#include <check.h>
#include <stdio.h>

#include "scene.h"

static struct scene s;

static void
begin(void)
{
	s = scene_begin(SCENE_TLS, NULL, NULL);
}

static void
end(void)
{
	scene_end(&s);
}

START_TEST(calls_and_streams)
{
	struct client *c = begin_tool(&s.ask, "sse", "{\"n\":50,\"delay_ms\":2}");
	struct reply r = { 0 };

	hear(c, "POST", &r, 200);
	ck_assert_ptr_nonnull(strstr(r.body.p, "50 events"));
	client_close(c);
	for (int i = 0; i < 100; i++)
		ck_assert_str_eq(ask_tool(&s.ask, "echo", NULL), "");
	ck_assert_int_le(wall_count(s.w, "connections.accepted"), 6);	/* links are reused */
	wall_do(s.w, "emit", "{\"text\":\"news\",\"n\":3}");
	for (int i = 0; i < 3; i++)
		hear_event(s.bystander, "news");
	c = begin_tool(&s.ask, "hang", NULL);			/* M7 */
	ck_assert(wall_wait_is(s.w, "hanging", 1, 5000));
	client_close(c);
	ck_assert(wall_wait_is(s.w, "hanging", 0, 2000));
	reply_free(&r);
}
END_TEST

/* Both ways larger than every buffer on the way; counted, and the letters in their order. */
START_TEST(large_bodies)
{
	enum { N = 20 * 1000 * 1000 };
	struct buf args = BUF_INIT(32 * MIB);
	struct reply r = { 0 };
	const char *text;
	size_t k;

	for (int i = 0; i < 2; i++) {
		struct client *c = begin_tool(&s.ask, "big", i == 0 ? "{\"bytes\":20000000}" :
		    "{\"bytes\":20000000,\"chunked\":true}");

		hear(c, "POST", &r, 200);
		ck_assert_uint_eq(r.body.len, N);
		text = strstr(r.body.p, "\"text\":\"") + 8;
		for (k = 0; text[k] == (char)('a' + k % 26); k++)
			;
		ck_assert_uint_eq(k, r.body.p + N - 5 - text);	/* up to "}]}} */
		client_close(c);
	}
	buf_adds(&args, "{\"data\":\"");
	buf_reserve(&args, 6 * MIB);
	memset(args.p + args.len, 'y', 6 * MIB);
	args.len += 6 * MIB;
	buf_adds(&args, "\"}");
	ck_assert_int_eq(tool(&s.ask, 3, "digest", args.p, &r, 20000), 0);
	ck_assert_ptr_nonnull(strstr(r.body.p, "\"text\":\"6291456 "));
	buf_free(&args);
	reply_free(&r);
}
END_TEST

/* E2, must show 1, over TLS: the token endpoint has the same CA. */
START_TEST(e2_storm_of_64)
{
	enum { N = 64 };
	struct shot shots[N] = { 0 };
	char key[N][32];

	for (int i = 0; i < N; i++) {
		struct buf body = BUF_INIT(0);

		snprintf(key[i], sizeof(key[i]), "storm-%d", i);
		s.ask.key = key[i];
		tool_json(&body, i, "echo", NULL);
		shots[i].socket = s.ask.socket;
		shots[i].method = "POST";
		request_post(&shots[i].request, &s.ask, body.p);
		buf_free(&body);
	}
	wall_do(s.w, "expire", NULL);
	wall_fault(s.w, "{\"mcp\":{\"gather\":64},\"match\":{\"auth\":\"bad\"},\"times\":64}");
	ck_assert_uint_eq(volley(shots, N, 30000), N);
	for (int i = 0; i < N; i++)
		ck_assert_str_eq(reply_reason(&shots[i].reply), "");
	ck_assert_int_eq(wall_count(s.w, "token.requests"), 1);
	ck_assert_int_eq(wall_count(s.w, "token.replays"), 0);
	ck_assert_int_eq(wall_count(s.w, "auth.expired"), N);	/* all of them with the old one */
	ck_assert_int_eq(wall_count(s.w, "max_sends"), 2);
	shots_free(shots, N);
}
END_TEST

/* E4, F4: what is cut without TLS's own goodbye is no end either. */
START_TEST(e4_cut_answers)
{
	struct reply r = { 0 };

	s.ask.key = "once";
	wall_fault(s.w, "{\"mcp\":{\"close_after_read\":true},\"times\":1}");
	ck_assert_str_eq(ask_tool(&s.ask, "count", NULL), "upstream_unreachable");
	ck_assert_int_eq(wall_count(s.w, "sends.once"), 1);
	wall_fault(s.w, "{\"mcp\":{\"raw\":\"HTTP/1.1 200 OK\\r\\nContent-Type: text/plain\\r\\n"
	    "Content-Length: 10\\r\\n\\r\\nfive!\"},\"times\":1}");
	ck_assert_int_lt(tool(&s.ask, 1, "count", NULL, &r, 5000), 0);
	ck_assert(!r.complete);
	wall_fault(s.w, "{\"mcp\":{\"reset_after_read\":true},\"times\":1}");
	ck_assert_str_eq(ask_tool(&s.ask, "count", NULL), "upstream_unreachable");
	ck_assert_int_eq(wall_count(s.w, "sends.once"), 3);
	reply_free(&r);
}
END_TEST

/* --- who is not trusted --- */

/* Nothing was said to it, least of all a token. */
static void
is_not_spoken_to(const char *socket, const char *words)
{
	struct ask ask = { .socket = socket };
	struct reply r = { 0 };
	cJSON *j;
	const char *message;

	ask_rpc(&ask, "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"ping\"}", &r, 200);
	ck_assert_str_eq(reply_reason(&r), "upstream_unreachable");
	ck_assert_ptr_nonnull(j = reply_json(&r));
	message = cJSON_GetStringValue(cJSON_GetObjectItem(cJSON_GetObjectItem(j, "error"), "message"));
	ck_assert_msg(strstr(message, words) != NULL, "%s", message);
	ck_assert_int_eq(wall_count(s.w, "requests"), 0);
	ck_assert_int_eq(wall_count(s.w, "token.requests"), 0);
	cJSON_Delete(j);
	reply_free(&r);
}

static void
begin_untrusted(const char *url, const char *members)
{
	s = scene_begin(SCENE_TLS | SCENE_NO_LOGIN, "\"tls\":{}", NULL);
	if (url != NULL) {
		world_upstream_at(s.w, "other", url, members);
		authd_stop(s.a);
		s.a = authd_start(s.w, NULL);
	}
}

START_TEST(unknown_ca)
{
	begin_untrusted(NULL, NULL);
	world_login(s.w, s.a, "wall", NULL);
	is_not_spoken_to(authd_socket(s.a, "wall"), "certificate");
	end();
}
END_TEST

START_TEST(wrong_host_name)
{
	char url[64];

	s = scene_begin(SCENE_TLS | SCENE_NO_LOGIN, NULL, NULL);
	snprintf(url, sizeof(url), "https://other.localhost:%d/mcp", s.w->port);
	world_upstream_at(s.w, "other", url, "\"auth\":\"none\"");
	authd_stop(s.a);
	s.a = authd_start(s.w, NULL);
	is_not_spoken_to(authd_socket(s.a, "other"), "certificate not accepted");
	end();
}
END_TEST

/* A server that speaks no TLS at all: the wall's plain twin. */
START_TEST(no_tls_there)
{
	struct world *plain;
	char url[64];

	s = scene_begin(SCENE_TLS | SCENE_NO_LOGIN, NULL, NULL);
	plain = world_new(0);
	snprintf(url, sizeof(url), "https://127.0.0.1:%d/mcp", plain->port);
	world_upstream_at(s.w, "other", url, "\"auth\":\"none\"");
	authd_stop(s.a);
	s.a = authd_start(s.w, NULL);
	is_not_spoken_to(authd_socket(s.a, "other"), "TLS");
	world_free(plain);
	end();
}
END_TEST

/* A file that cannot be read is no reason to trust the system's. */
START_TEST(ca_file_is_gone)
{
	begin_untrusted(NULL, NULL);
	world_config_clear(s.w);
	world_upstream(s.w, "wall", "\"tls\":{\"caFile\":\"/nonexistent/ca.pem\"}");
	authd_stop(s.a);
	s.a = authd_start(s.w, NULL);
	world_login(s.w, s.a, "wall", NULL);
	is_not_spoken_to(authd_socket(s.a, "wall"), "CA certificates cannot be read");
	end();
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("tls");
	TCase *tc = tcase_create("usual"), *own = tcase_create("own");
	SRunner *sr;
	int failed;

	tcase_set_timeout(tc, 90);
	tcase_add_checked_fixture(tc, begin, end);
	tcase_add_test(tc, calls_and_streams);
	tcase_add_test(tc, large_bodies);
	tcase_add_test(tc, e2_storm_of_64);
	tcase_add_test(tc, e4_cut_answers);
	suite_add_tcase(suite, tc);
	tcase_set_timeout(own, 60);
	tcase_add_test(own, unknown_ca);
	tcase_add_test(own, wrong_host_name);
	tcase_add_test(own, no_tls_there);
	tcase_add_test(own, ca_file_is_gone);
	suite_add_tcase(suite, own);
	sr = srunner_create(suite);
	srunner_run_all(sr, CK_NORMAL);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed != 0;
}
