/*
 * Clients that speak lines of JSON: streams that break and come back (WIRE L9
 * to L12), and what cannot (contract F4).
 */
#include <check.h>
#include <stdio.h>

#include "linescene.h"

static struct linescene s;

static void
begin(void)
{
	s = linescene_begin(NULL, NULL);
	wall_do(s.w, "set", "{\"retry_ms\":50,\"post_retry_ms\":50}");
}

static void
end(void)
{
	linescene_end(&s);
}

static void
emit(const char *text)
{
	char json[64];

	snprintf(json, sizeof(json), "{\"text\":\"%s\"}", text);
	wall_do(s.w, "emit", json);
}

/* L9: 405, 404 and 400 mean that there is none; nobody hears of it, and the session goes on. */
START_TEST(l9_no_stream)
{
	static const int statuses[] = { 405, 404, 400, 200 };
	struct liner *l = liner_open(s.socket);
	char fault[128];

	snprintf(fault, sizeof(fault), "{\"mcp\":{\"status\":%d,\"body\":\"no\"},\"match\":{\"method\":\"GET\"}}",
	    statuses[_i]);
	wall_fault(s.w, fault);
	liner_begin(l, NULL);
	ck_assert(wall_wait(s.w, "methods.GET", 1, PATIENCE));
	liner_say(l, "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"ping\"}");
	heard(l, "\"id\":1,\"result\"");
	ck_assert_uint_eq(liner_kept(l, 400), 0);
	ck_assert_int_eq(wall_count(s.w, "methods.GET"), 1);		/* L12: not asked again soon */
	ck_assert_int_eq(wall_count(s.w, "sessions.opened"), 1);	/* and it is no lost session */
	liner_close(l);
}
END_TEST

/* L9: not before the client has said that it is initialized. */
START_TEST(l9_after_initialized)
{
	struct liner *l = liner_open(s.socket);

	liner_say(l, "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"initialize\",\"params\":{\"protocolVersion\":\"2025-11-25\"}}");
	heard(l, "\"id\":1,\"result\"");
	liner_say(l, "{\"jsonrpc\":\"2.0\",\"id\":2,\"method\":\"ping\"}");
	heard(l, "\"id\":2");
	ck_assert_int_eq(wall_count(s.w, "methods.GET"), 0);
	liner_say(l, "{\"jsonrpc\":\"2.0\",\"method\":\"notifications/initialized\"}");
	ck_assert(wall_wait(s.w, "streams.open", 1, PATIENCE));
	liner_close(l);
}
END_TEST

/* L10: what happened while the stream was down comes after it, in order, once. */
START_TEST(l10_get_stream_resumed)
{
	static const char *const how[] = { "cut", "reset", "end" };
	struct liner *l = liner_ready(&s);
	char json[64], text[32];
	int n = 0;

	for (size_t i = 0; i < nitems(how); i++) {
		emit("before");
		heard(l, "before");
		wall_fault(s.w, "{\"mcp\":{\"status\":503,\"body\":\"\"},\"match\":{\"method\":\"GET\"},\"times\":1}");
		snprintf(json, sizeof(json), "{\"how\":\"%s\"}", how[i]);
		wall_do(s.w, "drop", json);
		for (int k = 0; k < 5; k++) {
			snprintf(text, sizeof(text), "missed-%d-", n++);
			emit(text);
		}
		ck_assert(wall_wait(s.w, "streams.open", 1, PATIENCE));
		emit("after");
		for (int k = n - 5; k < n; k++) {
			snprintf(text, sizeof(text), "missed-%d-", k);
			ck_assert_ptr_nonnull(strstr(heard(l, "\"data\""), text));
		}
		ck_assert_ptr_nonnull(strstr(heard(l, "\"data\""), "after"));
	}
	ck_assert_str_ne(latest(&s, "mcp GET", "last-event-id"), "");
	ck_assert_uint_eq(liner_kept(l, QUIET), 0);			/* L11: no priming event came through */
	ck_assert_int_eq(wall_count(s.w, "sessions.opened"), 1);
	liner_close(l);
}
END_TEST

/* L12: a server whose streams end at once is not asked in a loop; `retry:` is obeyed. */
START_TEST(l12_backoff)
{
	struct liner *l = liner_ready(&s);
	int64_t gets, i;

	for (i = 0; i < 5; i++) {
		ck_assert(wall_wait(s.w, "streams.open", 1, PATIENCE));
		wall_do(s.w, "drop", "{\"how\":\"cut\"}");
	}
	ck_assert(wall_wait(s.w, "streams.open", 1, PATIENCE));
	gets = wall_count(s.w, "methods.GET");
	wall_fault(s.w, "{\"mcp\":{\"status\":503,\"body\":\"\"},\"match\":{\"method\":\"GET\"}}");
	wall_do(s.w, "drop", "{\"how\":\"cut\"}");
	ck_assert_uint_eq(liner_kept(l, 1000), 0);
	ck_assert_int_le(wall_count(s.w, "methods.GET") - gets, 2);	/* 50 ms doubled six times is beyond a second */
	liner_close(l);
}
END_TEST

/* L12: polls that went well for long enough are a stable stream, too: the back-off begins anew. */
START_TEST(l12_polls_are_stable)
{
	struct liner *l = liner_ready(&s);
	int64_t opened, end;

	for (int i = 0; i < 6; i++) {
		wall_do(s.w, "drop", "{\"how\":\"cut\"}");
		ck_assert(wall_wait(s.w, "streams.open", 1, PATIENCE));
	}
	for (end = now_ms() + 11000; now_ms() < end; pause_ms(200)) {
		ck_assert(wall_wait(s.w, "streams.open", 1, PATIENCE));
		wall_do(s.w, "drop", "{\"how\":\"end\"}");
	}
	ck_assert(wall_wait(s.w, "streams.open", 1, PATIENCE));
	opened = wall_count(s.w, "streams.opened");
	wall_do(s.w, "drop", "{\"how\":\"cut\"}");
	ck_assert(wall_wait(s.w, "streams.opened", opened + 1, 1500));	/* else 50 ms doubled six times */
	liner_close(l);
}
END_TEST

/* L10: a request's stream that closed after an event id is gone on with by GET, as often as need be. */
START_TEST(l10_post_stream_resumed)
{
	static const char *const how[] = { "cut", "end" };
	struct liner *l = liner_ready(&s);
	char args[64], text[64];

	for (int i = 0; i < 2; i++) {
		snprintf(args, sizeof(args), "{\"n\":7,\"cut_after\":2,\"how\":\"%s\"}", how[i]);
		call(l, i == 0 ? "10" : "11", "resumable", args);
		heard(l, i == 0 ? "\"id\":10,\"result\"" : "\"id\":11,\"result\"");
		for (int k = 1; k <= 7; k++) {
			snprintf(text, sizeof(text), "\"progress\":%d}", k);
			ck_assert_ptr_nonnull(strstr(heard(l, "progress"), text));	/* in order, once */
		}
	}
	ck_assert(strncmp(latest(&s, "mcp GET", "last-event-id"), "r2-", 3) == 0);
	ck_assert_uint_eq(liner_kept(l, QUIET), 0);
	liner_close(l);
}
END_TEST

/* L10: the server is away for a while. */
START_TEST(l10_post_stream_retried)
{
	struct liner *l = liner_ready(&s);

	wall_fault(s.w, "{\"mcp\":{\"status\":503,\"body\":\"\"},\"match\":{\"method\":\"GET\"},\"times\":2}");
	call(l, "1", "resumable", "{\"n\":3,\"cut_after\":2}");
	heard(l, "\"id\":1,\"result\"");
	ck_assert_int_ge(wall_count(s.w, "status.503"), 2);
	liner_close(l);
}
END_TEST

/* F1: ... and does not come back within the recovery time: the last try is made at its end, not after. */
START_TEST(f1_post_stream_given_up)
{
	struct linescene t = linescene_begin("\"timeouts\": {\"recovery\": 6}", NULL);
	struct liner *l = liner_ready(&t);
	int64_t begun = now_ms();

	wall_fault(t.w, "{\"mcp\":{\"status\":503,\"body\":\"\"},\"match\":{\"method\":\"GET\"}}");
	call(l, "1", "resumable", "{\"n\":3,\"cut_after\":2}");
	heard(l, "\"id\":1,\"error\":{\"code\":-31000");
	ck_assert_int_gt(now_ms() - begun, 5000);
	ck_assert_int_lt(now_ms() - begun, 9000);	/* a back-off of 8 s, jitter or not, would end later */
	wall_do(t.w, "clear", NULL);
	liner_close(l);
	linescene_end(&t);
}
END_TEST

/* F4: a stream without an id cannot be resumed, nor one that the server no longer knows: one error. */
START_TEST(f4_post_stream_lost)
{
	struct liner *l = liner_ready(&s);

	call(l, "1", "sse", "{\"n\":5,\"cut_after\":2}");
	heard(l, "\"id\":1,\"error\":{\"code\":-31000");
	wall_fault(s.w, "{\"mcp\":{\"status\":405,\"body\":\"\"},\"match\":{\"method\":\"GET\"},\"times\":1}");
	call(l, "2", "resumable", "{\"n\":5,\"cut_after\":2}");
	heard(l, "\"id\":2,\"error\":{\"code\":-31000");
	liner_say(l, "{\"jsonrpc\":\"2.0\",\"id\":3,\"method\":\"ping\"}");
	heard(l, "\"id\":3,\"result\"");
	ck_assert_ptr_null(liner_hear(l, "\"id\":", QUIET));
	liner_close(l);
}
END_TEST

/* F2, L9: the GET stream needs a token as well, and finds the new one. */
START_TEST(stream_after_expiry)
{
	struct liner *l = liner_ready(&s);

	wall_do(s.w, "expire", NULL);
	wall_do(s.w, "drop", "{\"how\":\"cut\"}");
	ck_assert(wall_wait(s.w, "streams.opened", 2, PATIENCE));
	ck_assert_int_eq(wall_count(s.w, "token.requests"), 1);
	emit("with the new token");
	heard(l, "with the new token");
	liner_close(l);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("line_stream");
	TCase *tc = tcase_create("usual");
	SRunner *sr;
	int failed;

	tcase_set_timeout(tc, 60);
	tcase_add_checked_fixture(tc, begin, end);
	tcase_add_loop_test(tc, l9_no_stream, 0, 4);
	tcase_add_test(tc, l9_after_initialized);
	tcase_add_test(tc, l10_get_stream_resumed);
	tcase_add_test(tc, l12_backoff);
	tcase_add_test(tc, l12_polls_are_stable);
	tcase_add_test(tc, l10_post_stream_resumed);
	tcase_add_test(tc, l10_post_stream_retried);
	tcase_add_test(tc, f1_post_stream_given_up);
	tcase_add_test(tc, f4_post_stream_lost);
	tcase_add_test(tc, stream_after_expiry);
	suite_add_tcase(suite, tc);
	sr = srunner_create(suite);
	srunner_run_all(sr, CK_NORMAL);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed != 0;
}
