/*
 * What a 401 may and may not cause (issue 1, must show 2 and 3; contract E3,
 * E5, E6, F1, F2, F3).
 */
#include <check.h>
#include <stdio.h>

#include "support.h"

static struct world *w;
static struct authd *a;
static struct ask ask;
static char *session;

static void
begin(const char *members)
{
	w = world_new(0);
	world_upstream(w, "wall", members);
	a = authd_start(w, NULL);
	world_login(w, a, "wall", NULL);
	ask = (struct ask){ .socket = authd_socket(a, "wall") };
	ask.session = session = session_open(&ask);
}

static void
end(void)
{
	ck_assert_int_eq(wall_violations(w), 0);
	free(session);
	world_free(w);
}

static const char *
call(const char *name, int ms)
{
	static char reason[64];
	struct reply r = { 0 };

	ck_assert_int_eq(tool(&ask, 7, name, NULL, &r, ms), 0);
	ck_assert_int_eq(r.status, 200);
	snprintf(reason, sizeof(reason), "%s", reply_reason(&r));
	reply_free(&r);
	return reason;
}

START_TEST(e3_second_401_is_final)
{
	begin(NULL);
	ask.key = "twice";
	wall_fault(w, "{\"mcp\":{\"reject_all\":true},\"times\":2}");
	ck_assert_str_eq(call("echo", 5000), "bearer_rejected");
	ck_assert_int_eq(wall_count(w, "sends.twice"), 2);
	ck_assert_int_eq(wall_count(w, "token.requests"), 1);
	ck_assert_str_eq(call("echo", 5000), "");		/* and nobody is locked out */
	end();
}
END_TEST

START_TEST(e3_one_tool_that_always_says_401)
{
	struct reply r = { 0 };

	begin(NULL);
	for (int i = 0; i < 20; i++) {
		ck_assert_str_eq(call("echo", 5000), "");
		ck_assert_str_eq(call("always401", 5000), "bearer_rejected");
	}
	ck_assert_str_eq(call("echo", 5000), "");
	ck_assert_int_le(wall_count(w, "token.requests"), 1);
	ck_assert_int_eq(wall_count(w, "token.replays"), 0);
	reply_free(&r);
	end();
}
END_TEST

/* The same with everybody at once: 63 healthy ones around it. */
START_TEST(e3_one_bad_among_many_at_once)
{
	enum { N = 64 };
	struct shot shots[N];

	begin(NULL);
	for (int round = 0; round < 3; round++) {
		if (round == 0)
			wall_do(w, "expire", NULL);
		for (int i = 0; i < N; i++) {
			struct buf body = { 0 };

			tool_json(&body, i, i == 0 ? "always401" : "echo", NULL);
			shots[i] = (struct shot){ .socket = ask.socket, .method = "POST" };
			request_post(&shots[i].request, &ask, body.p);
			buf_free(&body);
		}
		ck_assert_uint_eq(volley(shots, N, 20000), N);
		for (int i = 0; i < N; i++)
			ck_assert_str_eq(reply_reason(&shots[i].reply),
			    i == 0 ? "bearer_rejected" : "");
		shots_free(shots, N);
		/* Somebody proves the newest token: the bad one's alone, twice rejected, is E5's case. */
		ck_assert_str_eq(call("echo", 5000), "");
	}
	end();
}
END_TEST

/* A GET that may not go up gets an empty stream that says when to come back. */
static bool
poll_stream(void)
{
	struct client *c = client_open(ask.socket);
	struct buf request = { 0 };
	struct reply r = { 0 };
	bool live;

	request_get(&request, &ask, "last-1");
	ck_assert_int_eq(client_send(c, request.p, request.len, 5000), 0);
	ck_assert_int_eq(client_head(c, "GET", &r, 10000), 0);
	ck_assert_int_eq(r.status, 200);
	ck_assert_int_ge(client_body(c, &r, 5000), 0);
	live = strstr(r.body.p, "last-1") == NULL;
	if (!live)
		ck_assert_ptr_nonnull(strstr(r.body.p, "retry:"));
	client_close(c);
	buf_free(&request);
	reply_free(&r);
	return live;
}

START_TEST(e5_e6_every_token_rejected_for_30_s)
{
	int64_t until = now_ms() + 30000, recovered;
	int64_t fault, polls = 0;

	begin(NULL);
	fault = wall_fault(w, "{\"mcp\":{\"reject_all\":true}}");
	(void)fault;
	while (now_ms() < until) {
		ck_assert(!poll_stream());
		polls++;
		pause_ms(50);
	}
	ck_assert_int_le(wall_count(w, "token.requests"), 1);
	ck_assert_int_lt(wall_count(w, "methods.GET"), 6);	/* while open, nothing goes up */
	wall_do(w, "clear", NULL);
	recovered = now_ms();
	while (!poll_stream())
		pause_ms(100);
	recovered = now_ms() - recovered;
	printf("breaker: %lld streams in 30 s, served again %lld ms after recovery\n",
	    (long long)polls, (long long)recovered);
	ck_assert_int_le(recovered, 61000);			/* one probe interval */
	ck_assert_int_le(wall_count(w, "token.requests"), 1);
	ck_assert_str_eq(call("echo", 5000), "");
	end();
}
END_TEST

static int
generation(void)
{
	cJSON *status = authd_status(a);
	cJSON *upstream = cJSON_GetArrayItem(cJSON_GetObjectItem(status, "upstreams"), 0);
	int n = cJSON_GetObjectItem(cJSON_GetObjectItem(upstream, "credential"),
	    "generation")->valueint;

	cJSON_Delete(status);
	return n;
}

/* C1, F2, F3: the client has its error in time, the refresh goes on, persists, and serves the next one. */
START_TEST(f2_recovery_passes_during_a_refresh)
{
	int64_t began;

	begin("\"timeouts\":{\"recovery\":1}");
	wall_do(w, "expire", NULL);
	wall_fault(w, "{\"token\":{\"hold\":true},\"times\":1}");
	ask.key = "late";
	began = now_ms();
	ck_assert_str_eq(call("count", 10000), "recovery_timeout");
	ck_assert_int_ge(now_ms() - began, 900);
	wall_do(w, "release", NULL);
	for (int i = 0; generation() != 2; i++) {
		ck_assert_int_lt(i, 500);
		pause_ms(10);
	}
	ask.key = "next";
	ck_assert_str_eq(call("count", 10000), "");
	ck_assert_int_eq(wall_count(w, "token.requests"), 1);
	ck_assert_int_eq(wall_count(w, "sends.late"), 1);	/* not resent */
	ck_assert_int_eq(wall_count(w, "sends.next"), 1);
	ck_assert_int_eq(wall_count(w, "executions.late"), 0);
	authd_kill(a);						/* persisted: a new daemon has it */
	a = authd_start(w, NULL);
	ask.socket = authd_socket(a, "wall");
	ask.key = "again";
	ck_assert_str_eq(call("count", 10000), "");
	ck_assert_int_eq(wall_count(w, "token.requests"), 1);
	end();
}
END_TEST

/* J: no refresh, our error, and nothing of the challenge comes down. */
START_TEST(j_403_insufficient_scope)
{
	struct reply r = { 0 };

	begin(NULL);
	ck_assert_str_eq(call("scope403", 5000), "insufficient_scope");
	ck_assert_int_eq(tool(&ask, 8, "plain403", NULL, &r, 5000), 0);
	ck_assert_int_eq(r.status, 403);
	ck_assert_ptr_null(reply_field(&r, "WWW-Authenticate").p);
	ck_assert_int_eq(wall_count(w, "token.requests"), 0);
	reply_free(&r);
	end();
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("rejection");
	TCase *tc = tcase_create("rejection");
	SRunner *sr;
	int failed;

	tcase_set_timeout(tc, 150);
	tcase_add_test(tc, e3_second_401_is_final);
	tcase_add_test(tc, e3_one_tool_that_always_says_401);
	tcase_add_test(tc, e3_one_bad_among_many_at_once);
	tcase_add_test(tc, f2_recovery_passes_during_a_refresh);
	tcase_add_test(tc, j_403_insufficient_scope);
	tcase_add_test(tc, e5_e6_every_token_rejected_for_30_s);
	suite_add_tcase(s, tc);
	sr = srunner_create(s);
	srunner_run_all(sr, CK_NORMAL);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed != 0;
}
