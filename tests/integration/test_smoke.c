/* The test world itself, and the shortest way through wall and daemon. */
#include <check.h>
#include <stdio.h>

#include "support.h"

START_TEST(wall_alone)
{
	struct world	*w = world_new(0);
	cJSON		*tokens = wall_post(w, "issue", NULL);
	const char	*at = cJSON_GetStringValue(cJSON_GetObjectItem(tokens, "access_token"));
	char		 field[128];
	struct ask	 ask = { .socket = w->control, .key = "k", .fields = field };
	struct reply	 r = { 0 };

	snprintf(field, sizeof(field), "Authorization: Bearer %s\r\n", at);
	ck_assert_int_eq(tool(&ask, 1, "count", "{\"key\":\"e\"}", &r, 5000), 0);
	ck_assert_int_eq(r.status, 200);
	ck_assert_int_eq(wall_count(w, "sends.k"), 1);
	ck_assert_int_eq(wall_count(w, "executions.e"), 1);
	wall_do(w, "expire", NULL);
	ck_assert_int_eq(tool(&ask, 2, "count", "{\"key\":\"e\"}", &r, 5000), 0);
	ck_assert_int_eq(r.status, 401);
	ck_assert_int_eq(wall_count(w, "executions.e"), 1);
	ck_assert_int_eq(wall_count(w, "auth.expired"), 1);
	reply_free(&r);
	cJSON_Delete(tokens);
	world_free(w);
}
END_TEST

static void
through(int flags)
{
	struct world	*w = world_new(flags);
	struct authd	*a = authd_start(w, NULL);
	struct ask	 ask = { .socket = authd_socket(a, "wall"), .key = "one" };
	struct reply	 r = { 0 };
	struct buf	 event = BUF_INIT(0);
	struct client	*stream;
	char		*session;

	world_login(w, a, "wall", NULL);
	ask.session = session = session_open(&ask);
	ask.key = "two";
	ck_assert_int_eq(tool(&ask, 7, "echo", "{\"text\":\"hello\"}", &r, 5000), 0);
	ck_assert_int_eq(r.status, 200);
	ck_assert_ptr_nonnull(strstr(r.body.p, "\"text\":\"hello\""));
	ask.key = "three";
	stream = stream_open(&ask, NULL);
	ck_assert_int_eq(client_event(stream, &event, 5000), 1);	/* priming */
	wall_do(w, "emit", "{\"text\":\"news\"}");
	ck_assert_int_eq(client_event(stream, &event, 5000), 1);
	ck_assert_ptr_nonnull(strstr(event.p, "news"));
	client_close(stream);
	ck_assert(wall_wait_is(w, "streams.open", 0, 5000));
	wall_do(w, "expire", NULL);
	ask.key = "four";
	ck_assert_int_eq(tool(&ask, 8, "count", "{\"key\":\"x\"}", &r, 10000), 0);
	ck_assert_int_eq(r.status, 200);
	ck_assert_int_eq(wall_count(w, "sends.four"), 2);
	ck_assert_int_eq(wall_count(w, "executions.x"), 1);
	ck_assert_int_eq(wall_count(w, "token.requests"), 1);
	ck_assert_int_eq(wall_violations(w), 0);
	ck_assert_int_eq(authd_stop(a), 0);
	free(session);
	buf_free(&event);
	reply_free(&r);
	world_free(w);
}

START_TEST(plain)
{
	through(0);
}
END_TEST

START_TEST(tls)
{
	through(WORLD_TLS);
}
END_TEST

/* All are at the wall with the old token before the first 401 leaves it. */
START_TEST(many)
{
	static struct shot shots[256];
	struct world	*w = world_new(0);
	struct authd	*a = authd_start(w, NULL);
	struct ask	 ask = { .socket = authd_socket(a, "wall") };
	struct buf	 body = BUF_INIT(0);
	char		 key[32];
	int64_t		 fault;
	char		 release[64];
	struct volley	*v;
	size_t		 i;

	world_login(w, a, "wall", NULL);
	wall_do(w, "expire", NULL);
	fault = wall_fault(w, "{\"mcp\":{\"hold\":true},\"match\":{\"auth\":\"bad\"}}");
	for (i = 0; i < nitems(shots); i++) {
		snprintf(key, sizeof(key), "k%zu", i);
		ask.key = key;
		buf_reset(&body);
		tool_json(&body, (int)i, "count", NULL);
		shots[i] = (struct shot){ .socket = ask.socket, .method = "POST" };
		request_post(&shots[i].request, &ask, body.p);
	}
	v = volley_start(shots, nitems(shots));
	ck_assert(volley_until(v, w, "held", nitems(shots), 20000));
	snprintf(release, sizeof(release), "release?fault=%lld", (long long)fault);
	wall_do(w, release, NULL);
	ck_assert_uint_eq(volley_run(v, 20000), nitems(shots));
	volley_free(v);
	ck_assert_uint_eq(shots_status(shots, nitems(shots), 200), nitems(shots));
	ck_assert_int_eq(wall_count(w, "token.requests"), 1);
	ck_assert_int_eq(wall_count(w, "max_sends"), 2);
	ck_assert_int_eq(wall_count(w, "max_executions"), 1);
	ck_assert_int_eq(wall_count(w, "executed"), nitems(shots));
	ck_assert_int_eq(wall_violations(w), 0);
	shots_free(shots, nitems(shots));
	buf_free(&body);
	world_free(w);
}
END_TEST

int
main(void)
{
	Suite	*s = suite_create("smoke");
	TCase	*t = tcase_create("smoke");
	SRunner	*runner = srunner_create(s);
	int	 failed;

	tcase_set_timeout(t, 60);
	tcase_add_test(t, wall_alone);
	tcase_add_test(t, plain);
	tcase_add_test(t, tls);
	tcase_add_test(t, many);
	suite_add_tcase(s, t);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed != 0;
}
