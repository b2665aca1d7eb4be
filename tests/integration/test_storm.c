/*
 * Many exchanges rejected with the same generation (issue 1, must show 1;
 * contract A2, A3, E1, E2, E3, I3): one token request, no replay, everybody
 * answered, nothing sent more than twice.
 */
#include <check.h>
#include <stdio.h>

#include "support.h"

static struct world *w;
static struct authd *a;

static void
begin(void)
{
	w = world_new(0);
	a = authd_start(w, NULL);
	world_login(w, a, "wall", NULL);
}

static void
end(void)
{
	ck_assert_int_eq(wall_violations(w), 0);
	world_free(w);
}

static void
all_is_well(int64_t token_requests)
{
	ck_assert_int_eq(wall_count(w, "token.requests"), token_requests);
	ck_assert_int_eq(wall_count(w, "token.replays"), 0);
	ck_assert_int_le(wall_count(w, "max_sends"), 2);
	ck_assert_int_le(wall_count(w, "max_executions"), 1);
}

static void
calls(struct shot *shots, size_t n, const struct ask *base)
{
	for (size_t i = 0; i < n; i++) {
		struct buf body = { 0 };
		struct ask ask = *base;
		char key[32], args[64];

		snprintf(key, sizeof(key), "call-%zu", i);
		snprintf(args, sizeof(args), "{\"key\":\"%s\"}", key);
		tool_json(&body, (int)i + 10, "count", args);
		ask.key = key;
		shots[i] = (struct shot){ .socket = base->socket, .method = "POST" };
		request_post(&shots[i].request, &ask, body.p);
		buf_free(&body);
	}
}

/* Every one of n meets the 401 before the first is refreshed: the wall gathers them. */
static void
storm(size_t n)
{
	struct shot *shots = calloc(n, sizeof(*shots));
	struct ask ask = { .socket = authd_socket(a, "wall") };
	char *session = session_open(&ask), fault[128];

	ask.session = session;
	wall_do(w, "expire", NULL);
	snprintf(fault, sizeof(fault),
	    "{\"mcp\":{\"gather\":%zu},\"times\":%zu,\"match\":{\"auth\":\"bad\"}}", n, n);
	wall_fault(w, fault);
	calls(shots, n, &ask);
	ck_assert_uint_eq(volley(shots, n, 30000), n);
	ck_assert_uint_eq(shots_status(shots, n, 200), n);
	all_is_well(1);
	ck_assert_int_eq(wall_count(w, "executed"), (int64_t)n);
	ck_assert_int_eq(wall_count(w, "max_sends"), 2);
	shots_free(shots, n);
	free(shots);
	free(session);
}

START_TEST(e2_8_at_once) { begin(); storm(8); end(); } END_TEST
START_TEST(e2_64_at_once) { begin(); storm(64); end(); } END_TEST
START_TEST(e2_512_at_once) { begin(); storm(512); end(); } END_TEST

/* The same mixed over every kind of message. */
START_TEST(a2_post_get_delete_response_mixed)
{
	enum { KINDS = 4, EACH = 16, N = KINDS * EACH };
	struct shot shots[N];
	struct ask ask;
	char *sessions[N], key[32], text[128];

	begin();
	ask = (struct ask){ .socket = authd_socket(a, "wall") };
	ask.key = key;
	for (int i = 0; i < N; i++) {
		snprintf(key, sizeof(key), "open-%d", i);
		sessions[i] = session_open(&ask);
	}
	wall_do(w, "expire", NULL);
	snprintf(text, sizeof(text),
	    "{\"mcp\":{\"gather\":%d},\"times\":%d,\"match\":{\"auth\":\"bad\"}}", N, N);
	wall_fault(w, text);
	for (int i = 0; i < N; i++) {
		struct shot *s = &shots[i];

		*s = (struct shot){ .socket = ask.socket };
		snprintf(key, sizeof(key), "mixed-%d", i);
		ask.key = key;
		ask.session = sessions[i];
		switch (i % KINDS) {
		case 0:
			s->method = "POST";
			snprintf(text, sizeof(text), "{\"jsonrpc\":\"2.0\",\"id\":%d,"
			    "\"method\":\"ping\"}", i);
			request_post(&s->request, &ask, text);
			break;
		case 1:
			s->method = "GET";
			s->until = "id:";		/* the priming event */
			request_get(&s->request, &ask, NULL);
			break;
		case 2:
			s->method = "DELETE";
			request_delete(&s->request, &ask);
			break;
		case 3:
			s->method = "POST";
			snprintf(text, sizeof(text), "{\"jsonrpc\":\"2.0\",\"id\":\"srv-%d\","
			    "\"result\":{}}", i);
			request_post(&s->request, &ask, text);
			break;
		}
	}
	ck_assert_uint_eq(volley(shots, N, 30000), N);
	for (int i = 0; i < N; i++)
		ck_assert_int_eq(shots[i].reply.status / 100, 2);
	all_is_well(1);
	shots_free(shots, N);
	for (int i = 0; i < N; i++)
		free(sessions[i]);
	end();
}
END_TEST

/* A stream that drops and comes back with a rejected token (A2: reconnects). */
START_TEST(a2_get_reconnect_with_an_expired_token)
{
	struct ask ask;
	struct client *c;
	struct buf event = { 0 };
	char *session;

	begin();
	ask = (struct ask){ .socket = authd_socket(a, "wall") };
	ask.session = session = session_open(&ask);
	c = stream_open(&ask, NULL);
	ck_assert_int_eq(client_event(c, &event, 5000), 1);
	wall_do(w, "drop", "{\"how\":\"cut\"}");
	ck_assert(client_ended(c, 5000));
	client_close(c);
	wall_do(w, "expire", NULL);
	c = stream_open(&ask, NULL);
	ck_assert(wall_wait(w, "streams.open", 1, 5000));
	wall_do(w, "emit", "{\"text\":\"after\"}");
	do {
		buf_reset(&event);
		ck_assert_int_eq(client_event(c, &event, 5000), 1);
	} while (strstr(event.p, "after") == NULL);
	client_close(c);
	all_is_well(1);
	buf_free(&event);
	free(session);
	end();
}
END_TEST

/* E1: the 401 for A comes after B is installed: B is adopted, nothing is asked for. */
START_TEST(e1_delayed_401_adopts)
{
	struct shot late[1], more[1];
	struct ask ask;
	struct volley *v;
	char *session;

	begin();
	ask = (struct ask){ .socket = authd_socket(a, "wall") };
	ask.session = session = session_open(&ask);
	wall_do(w, "expire", NULL);
	wall_fault(w, "{\"mcp\":{\"hold\":true},\"times\":1,\"match\":{\"auth\":\"bad\"}}");
	calls(late, 1, &ask);
	v = volley_start(late, 1);
	ck_assert(volley_until(v, w, "held", 1, 5000));
	calls(more, 1, &ask);
	ck_assert_uint_eq(volley(more, 1, 5000), 1);
	ck_assert_int_eq(more[0].reply.status, 200);
	ck_assert_int_eq(wall_count(w, "token.requests"), 1);
	wall_do(w, "release", NULL);
	ck_assert_uint_eq(volley_run(v, 5000), 1);
	ck_assert_int_eq(late[0].reply.status, 200);
	ck_assert_int_eq(wall_count(w, "token.requests"), 1);
	ck_assert_int_eq(wall_count(w, "token.replays"), 0);
	volley_free(v);
	shots_free(late, 1);
	shots_free(more, 1);
	free(session);
	end();
}
END_TEST

/* Two daemons, one store, tokens of 2 s for a minute (I3, C5). */
START_TEST(c5_two_daemons_on_one_store)
{
	struct authd_options other = { .runtime = "run2" };
	struct authd *both[2];
	int64_t until, answered = 0, requests;
	char *sessions[2];

	begin();
	wall_do(w, "set", "{\"lifetime\":2,\"revoke_old\":true}");
	both[0] = a;
	both[1] = authd_start(w, &other);
	wall_do(w, "expire", NULL);
	for (int d = 0; d < 2; d++) {
		struct ask ask = { .socket = authd_socket(both[d], "wall") };

		sessions[d] = session_open(&ask);
	}
	until = now_ms() + 60000;
	while (now_ms() < until) {
		struct shot shots[8];

		for (int d = 0; d < 2; d++) {
			struct ask ask = { .socket = authd_socket(both[d], "wall"),
			    .session = sessions[d] };

			calls(shots + 4 * d, 4, &ask);
		}
		ck_assert_uint_eq(volley(shots, 8, 30000), 8);
		ck_assert_uint_eq(shots_status(shots, 8, 200), 8);
		answered += 8;
		shots_free(shots, 8);
		pause_ms(20);
	}
	requests = wall_count(w, "token.requests");
	ck_assert_int_eq(wall_count(w, "token.replays"), 0);
	ck_assert_int_eq(wall_count(w, "token.refused"), 0);
	ck_assert_int_ge(requests, 25);
	ck_assert_int_le(requests, 40);		/* one a lifetime, less the tenth that is "due" */
	printf("two daemons: %lld answered, %lld token requests in 60 s\n", (long long)answered,
	    (long long)requests);
	for (int d = 0; d < 2; d++)
		free(sessions[d]);
	end();
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("storm");
	TCase *tc = tcase_create("storm");
	SRunner *sr;
	int failed;

	tcase_set_timeout(tc, 150);
	tcase_add_test(tc, e2_8_at_once);
	tcase_add_test(tc, e2_64_at_once);
	tcase_add_test(tc, e2_512_at_once);
	tcase_add_test(tc, a2_post_get_delete_response_mixed);
	tcase_add_test(tc, a2_get_reconnect_with_an_expired_token);
	tcase_add_test(tc, e1_delayed_401_adopts);
	tcase_add_test(tc, c5_two_daemons_on_one_store);
	suite_add_tcase(s, tc);
	sr = srunner_create(s);
	srunner_run_all(sr, CK_NORMAL);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed != 0;
}
