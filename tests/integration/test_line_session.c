/*
 * Clients that speak lines of JSON: a session that is lost and begun anew
 * (contract G1, G2; WIRE L7), and one that ends with the daemon (contract K).
 */
#include <signal.h>
#include <sys/wait.h>

#include <check.h>
#include <stdio.h>

#include "linescene.h"

#define LOST	"the session is lost: a new one is begun"
#define PING(id) "{\"jsonrpc\":\"2.0\",\"id\":" id ",\"method\":\"ping\"}"
#define INITIALIZE_FAULT(result, headers) "{\"mcp\":{\"status\":200," headers "\"body\":" \
	"\"{\\\"jsonrpc\\\":\\\"2.0\\\",\\\"id\\\":\\\"init\\\"," result "}\"},\"match\":{\"rpc\":\"initialize\"},\"times\":1}"

static struct linescene s;

static void
begin(void)
{
	s = linescene_begin(NULL, NULL);
	wall_do(s.w, "set", "{\"retry_ms\":50}");
}

static void
end(void)
{
	linescene_end(&s);
}

/* G1: one new session, whoever finds out; all join it; the client hears of changed lists. */
START_TEST(g1_joined)
{
	struct liner *l = liner_ready(&s);
	char id[64];

	wall_do(s.w, "lose-sessions", NULL);
	for (int i = 0; i < 8; i++) {
		snprintf(id, sizeof(id), "{\"jsonrpc\":\"2.0\",\"id\":\"j%d\",\"method\":\"ping\"}", i);
		liner_say(l, id);
	}
	liner_say(l, "{\"jsonrpc\":\"2.0\",\"method\":\"notifications/roots/list_changed\"}");
	for (int i = 0; i < 8; i++) {
		snprintf(id, sizeof(id), "\"id\":\"j%d\",\"result\"", i);
		heard(l, id);
	}
	heard(l, "notifications/tools/list_changed");
	ck_assert(wall_wait(s.w, "streams.open", 1, PATIENCE));
	ck_assert_int_eq(wall_count(s.w, "sessions.opened"), 2);
	ck_assert_int_eq(wall_count(s.w, "notifications.notifications/initialized"), 2);
	ck_assert(wall_wait(s.w, "notifications.notifications/roots/list_changed", 1, PATIENCE));
	ck_assert_uint_eq(liner_kept(l, QUIET), 0);
	is_logged(&s, LOST);
	liner_close(l);
}
END_TEST

/* G1: a 400 or 410 counts only if its error message says "session". */
START_TEST(g1_sloppy_servers)
{
	static const struct { const char *answer; bool lost; } cases[] = {
		{ "\"status\":400,\"body\":\"{\\\"jsonrpc\\\":\\\"2.0\\\",\\\"id\\\":null,\\\"error\\\":{\\\"code\\\":-32000,"
		    "\\\"message\\\":\\\"No valid Session ID\\\"}}\"", true },
		{ "\"status\":410,\"body\":\"{\\\"jsonrpc\\\":\\\"2.0\\\",\\\"id\\\":null,\\\"error\\\":{\\\"code\\\":-32000,"
		    "\\\"message\\\":\\\"session expired\\\"}}\"", true },
		{ "\"status\":404,\"body\":\"\"", true },
		{ "\"status\":400,\"body\":\"{\\\"jsonrpc\\\":\\\"2.0\\\",\\\"id\\\":null,\\\"error\\\":{\\\"code\\\":-32000,"
		    "\\\"message\\\":\\\"bad request\\\"}}\"", false },
		{ "\"status\":400,\"body\":\"no session\"", false },
		{ "\"status\":500,\"body\":\"session\"", false },
	};
	struct liner *l = liner_ready(&s);
	char fault[512];

	snprintf(fault, sizeof(fault), "{\"mcp\":{%s},\"match\":{\"rpc\":\"ping\"},\"times\":1}", cases[_i].answer);
	wall_fault(s.w, fault);
	liner_say(l, PING("1"));
	heard(l, cases[_i].lost ? "\"id\":1,\"result\"" : "\"id\":1,\"error\"");
	ck_assert_int_eq(wall_count(s.w, "sessions.opened"), cases[_i].lost ? 2 : 1);
	wall_do(s.w, "lose-sessions", NULL);		/* the wall's own is still there */
	liner_close(l);
}
END_TEST

/* G1: settings and subscriptions of the client are told again. */
START_TEST(g1_repeated)
{
	struct liner *l = liner_ready(&s);
	static const struct { const char *method, *params; } said[] = {
		{ "logging/setLevel", "{\"level\":\"debug\"}" }, { "logging/setLevel", "{\"level\":\"info\"}" },
		{ "resources/subscribe", "{\"uri\":\"a:1\"}" }, { "resources/subscribe", "{\"uri\":\"a:2\"}" },
		{ "resources/unsubscribe", "{\"uri\":\"a:1\"}" },
	};
	char text[256];

	for (size_t i = 0; i < nitems(said); i++) {
		snprintf(text, sizeof(text), "{\"mcp\":{\"status\":200,\"body\":\"{\\\"jsonrpc\\\":\\\"2.0\\\","
		    "\\\"id\\\":%zu,\\\"result\\\":{}}\"},\"match\":{\"rpc\":\"%s\"},\"times\":1}", i, said[i].method);
		wall_fault(s.w, text);
		snprintf(text, sizeof(text), "{\"jsonrpc\":\"2.0\",\"id\":%zu,\"method\":\"%s\",\"params\":%s}",
		    i, said[i].method, said[i].params);
		liner_say(l, text);
		snprintf(text, sizeof(text), "\"id\":%zu,\"result\"", i);
		heard(l, text);
	}
	wall_do(s.w, "lose-sessions", NULL);
	liner_say(l, PING("100"));
	heard(l, "\"id\":100,\"result\"");
	is_logged(&s, "1 messages sent again, 2 settings and subscriptions repeated");
	heard(l, "list_changed");
	ck_assert_uint_eq(liner_kept(l, QUIET), 0);		/* their answers are nobody's */
	liner_close(l);
}
END_TEST

/* G1: another version or fewer capabilities is another session: the connection ends. */
START_TEST(g1_other_session)
{
	static const char *const results[] = {
		INITIALIZE_FAULT("\\\"result\\\":{\\\"protocolVersion\\\":\\\"2025-06-18\\\",\\\"capabilities\\\":"
		    "{\\\"tools\\\":{\\\"listChanged\\\":true},\\\"logging\\\":{}}}", "\"headers\":{\"Mcp-Session-Id\":\"other\"},"),
		INITIALIZE_FAULT("\\\"result\\\":{\\\"protocolVersion\\\":\\\"2025-11-25\\\",\\\"capabilities\\\":"
		    "{\\\"tools\\\":{\\\"listChanged\\\":true}}}", ""),
	};
	struct liner *l = liner_ready(&s);

	wall_fault(s.w, results[_i]);
	wall_do(s.w, "lose-sessions", NULL);
	liner_say(l, PING("1"));
	ck_assert_ptr_nonnull(strstr(heard(l, "\"id\":1,\"error\":{\"code\":-31000"), "session was lost"));
	ck_assert(liner_ended(l, PATIENCE));
	ck_assert_uint_eq(liner_kept(l, 0), 0);
	if (_i == 0)						/* the unwanted one is not left behind */
		ck_assert(wall_wait(s.w, "methods.DELETE", 1, PATIENCE));
	liner_close(l);
}
END_TEST

/*
 * G1: a new session that is refused, or lost before it was confirmed, is no
 * reason to hang up: whoever waited is told, once, and a later message tries
 * again, not before a second has passed.
 */
START_TEST(g1_begun_in_vain)
{
	static const char *const faults[] = {
		INITIALIZE_FAULT("\\\"error\\\":{\\\"code\\\":-1,\\\"message\\\":\\\"no\\\"}", ""),
		"{\"mcp\":{\"status\":400,\"body\":\"\"},\"match\":{\"rpc\":\"initialize\"},\"times\":1}",
		"{\"mcp\":{\"status\":404,\"body\":\"\"},\"match\":{\"rpc\":\"notifications/initialized\"},\"times\":1}",
		"{\"mcp\":{\"status\":500,\"body\":\"\"},\"match\":{\"rpc\":\"notifications/initialized\"},\"times\":1}",
	};
	struct liner *l = liner_ready(&s);
	int64_t begun;

	wall_fault(s.w, faults[_i]);
	wall_do(s.w, "lose-sessions", NULL);	/* the GET stream finds out, and may be the first to try */
	liner_say(l, PING("1"));
	liner_say(l, PING("2"));
	ck_assert_ptr_nonnull(strstr(heard(l, "\"id\":1,\"error\":{\"code\":-31000"), "could not be begun anew"));
	ck_assert_ptr_nonnull(strstr(heard(l, "\"id\":2,\"error\""), "\"reason\":\"upstream_unreachable\""));
	is_logged(&s, "the client's next message tries again");
	begun = wall_count(s.w, "sessions.opened");
	for (int i = 0; i < 20; i++)		/* too soon: the server is left in peace */
		liner_say(l, "{\"jsonrpc\":\"2.0\",\"id\":3,\"method\":\"ping\"}"), heard(l, "\"id\":3,\"error\"");
	ck_assert_int_eq(wall_count(s.w, "sessions.opened"), begun);
	ck_assert_uint_eq(liner_kept(l, 1100), 0);
	liner_say(l, PING("4"));
	liner_say(l, PING("5"));
	heard(l, "\"id\":4,\"result\"");
	heard(l, "\"id\":5,\"result\"");
	ck_assert_int_eq(wall_count(s.w, "sessions.opened"), begun + 1);
	ck_assert(wall_wait(s.w, "streams.open", 1, PATIENCE));
	heard(l, "list_changed");
	ck_assert_uint_eq(liner_kept(l, QUIET), 0);
	wall_do(s.w, "lose-sessions", NULL);	/* the one that the fault denied is still there */
	liner_close(l);
}
END_TEST

/* G1: what hinders the new session is a login: the client is told so, and needs no patience after it. */
START_TEST(g1_login_required)
{
	struct liner *l = liner_ready(&s);

	wall_do(s.w, "revoke-all", NULL);
	wall_do(s.w, "lose-sessions", NULL);
	liner_say(l, PING("1"));
	ck_assert_ptr_nonnull(strstr(heard(l, "\"id\":1,\"error\""), "\"reason\":\"login_required\""));
	liner_say(l, PING("2"));
	ck_assert_ptr_nonnull(strstr(heard(l, "\"id\":2,\"error\""), "\"reason\":\"login_required\""));
	world_login(s.w, s.a, "wall", NULL);
	liner_say(l, PING("3"));
	heard(l, "\"id\":3,\"result\"");
	liner_close(l);
}
END_TEST

/* F4: what was sent before the connection's end could be known is answered as well. */
START_TEST(f4_unread_answered)
{
	struct linescene t = linescene_begin("\"sessionRecovery\": false", NULL);
	struct liner *l = liner_ready(&t);
	char text[64];

	wall_fault(t.w, "{\"mcp\":{\"hold\":true,\"status\":404,\"body\":\"\"},\"match\":{\"rpc\":\"ping\"}}");
	liner_say(l, PING("0"));
	ck_assert(wall_wait(t.w, "held", 1, PATIENCE));
	kill(t.a->pid, SIGSTOP);
	wall_do(t.w, "release", NULL);
	for (int i = 1; i < 20; i++) {
		snprintf(text, sizeof(text), PING("%d"), i);
		liner_say(l, text);
	}
	liner_say(l, "{\"jsonrpc\":\"2.0\",\"method\":\"notifications/last\"}");
	kill(t.a->pid, SIGCONT);
	for (int i = 0; i < 20; i++) {
		snprintf(text, sizeof(text), "\"id\":%d,\"error\":{\"code\":-31000", i);
		heard(l, text);
	}
	ck_assert(liner_ended(l, PATIENCE));
	ck_assert_uint_eq(liner_kept(l, 0), 0);
	wall_do(t.w, "lose-sessions", NULL);
	liner_close(l);
	linescene_end(&t);
}
END_TEST

START_TEST(g1_off)
{
	struct linescene t = linescene_begin("\"sessionRecovery\": false", NULL);
	struct liner *l = liner_ready(&t);

	wall_do(t.w, "lose-sessions", NULL);
	liner_say(l, PING("1"));
	ck_assert_ptr_nonnull(strstr(heard(l, "\"id\":1,\"error\":{\"code\":-31000"), "sessionRecovery is off"));
	ck_assert(liner_ended(l, PATIENCE));
	ck_assert_int_eq(wall_count(t.w, "sessions.opened"), 1);
	liner_close(l);
	linescene_end(&t);
}
END_TEST

/* G1: the loss is found by the GET stream of a silent client, too. */
START_TEST(g1_found_by_stream)
{
	struct liner *l = liner_ready(&s);

	wall_do(s.w, "lose-sessions", NULL);		/* ends its streams as well */
	ck_assert(wall_wait(s.w, "sessions.opened", 2, PATIENCE));
	ck_assert(wall_wait(s.w, "streams.open", 1, PATIENCE));
	heard(l, "list_changed");
	wall_do(s.w, "emit", "{\"text\":\"anew\"}");
	heard(l, "anew");
	liner_close(l);
}
END_TEST

/* G1: an answer to a request of the dead session is nobody's. */
START_TEST(g1_dead_requests)
{
	struct liner *l = liner_ready(&s);
	cJSON *asked = wall_post(s.w, "ask", NULL);
	const char *id = cJSON_GetStringValue(cJSON_GetObjectItem(asked, "id"));
	char text[128];

	heard(l, "sampling/createMessage");
	wall_do(s.w, "lose-sessions", NULL);
	liner_say(l, PING("1"));
	heard(l, "\"id\":1,\"result\"");
	snprintf(text, sizeof(text), "{\"jsonrpc\":\"2.0\",\"id\":\"%s\",\"result\":{}}", id);
	liner_say(l, text);
	liner_say(l, PING("2"));
	heard(l, "\"id\":2,\"result\"");
	snprintf(text, sizeof(text), "responses.%s", id);
	ck_assert_int_eq(wall_count(s.w, text), 0);
	cJSON_Delete(asked);
	liner_close(l);
}
END_TEST

/* Lost twice under one request: it gets the server's error, the session is begun anew for the next. */
START_TEST(g2_lost_twice)
{
	struct liner *l = liner_ready(&s);

	wall_fault(s.w, "{\"mcp\":{\"status\":404,\"body\":\"\"},\"match\":{\"rpc\":\"ping\"},\"times\":2}");
	liner_say(l, PING("1"));
	heard(l, "\"id\":1,\"error\"");
	liner_say(l, PING("2"));
	heard(l, "\"id\":2,\"result\"");
	ck_assert_int_eq(wall_count(s.w, "sessions.opened"), 3);
	ck_assert(liner_hear(l, "\"id\":", QUIET) == NULL);
	wall_do(s.w, "lose-sessions", NULL);		/* the wall has kept those that it denied */
	liner_close(l);
}
END_TEST

/* G2: a 401 and a lost session compose, in either order; nothing loops. */
START_TEST(g2_composed)
{
	struct liner *l = liner_ready(&s);
	int64_t sends;

	/* the token is gone and the session is, too */
	wall_do(s.w, "lose-sessions", NULL);
	wall_do(s.w, "expire", NULL);
	liner_say(l, PING("1"));
	heard(l, "\"id\":1,\"result\"");
	ck_assert_int_eq(wall_count(s.w, "token.requests"), 1);
	/* first the 404, then a 401 on the new session, then the 401's retry */
	wall_fault(s.w, "{\"mcp\":{\"status\":404,\"body\":\"\"},\"match\":{\"rpc\":\"ping\"},\"times\":1}");
	wall_fault(s.w, "{\"mcp\":{\"reject_all\":true},\"match\":{\"rpc\":\"ping\"},\"times\":1}");
	liner_say(l, PING("2"));
	heard(l, "\"id\":2,\"result\"");
	/* for ever: four sends at most */
	sends = wall_count(s.w, "status.404");
	wall_fault(s.w, "{\"mcp\":{\"status\":404,\"body\":\"\"},\"match\":{\"rpc\":\"ping\"},\"times\":4}");
	liner_say(l, PING("3"));
	heard(l, "\"id\":3,\"error\"");
	ck_assert_int_eq(wall_count(s.w, "status.404") - sends, 2);
	ck_assert_int_le(wall_count(s.w, "max_sends"), 4);
	ck_assert_int_eq(wall_count(s.w, "executed"), 0);
	wall_do(s.w, "clear", NULL);
	wall_do(s.w, "lose-sessions", NULL);
	liner_close(l);
}
END_TEST

/* G1: the server is away when its session shall be begun anew: waited for, within the recovery time. */
START_TEST(g1_server_away)
{
	struct liner *l = liner_ready(&s);

	wall_fault(s.w, "{\"mcp\":{\"status\":503,\"body\":\"\"},\"match\":{\"rpc\":\"initialize\"},\"times\":1}");
	wall_do(s.w, "lose-sessions", NULL);
	liner_say(l, PING("1"));
	heard(l, "\"id\":1,\"result\"");
	liner_close(l);
}
END_TEST

/* A second initialize of the client ends the first session (L8). */
START_TEST(initialize_twice)
{
	struct liner *l = liner_ready(&s);

	liner_begin(l, NULL);
	ck_assert(wall_wait(s.w, "sessions.deleted", 1, PATIENCE));
	ck_assert_int_eq(wall_count(s.w, "sessions.open"), 1);
	liner_say(l, PING("1"));
	heard(l, "\"id\":1,\"result\"");
	liner_close(l);
}
END_TEST

/* K: new requests are refused, running ones finish, then DELETE, once. */
START_TEST(k_drain)
{
	struct linescene t = linescene_begin(NULL, NULL);
	struct liner *l = liner_ready(&t), *idle = liner_ready(&t);

	call(l, "1", "hang", NULL);
	ck_assert(wall_wait(t.w, "hanging", 1, PATIENCE));
	kill(t.a->pid, SIGTERM);
	ck_assert(liner_ended(idle, PATIENCE));
	liner_say(l, PING("2"));
	ck_assert_ptr_nonnull(strstr(heard(l, "\"id\":2,\"error\""), "\"reason\":\"draining\""));
	wall_do(t.w, "release", NULL);
	heard(l, "\"id\":1,\"result\"");
	ck_assert(liner_ended(l, PATIENCE));
	ck_assert_int_eq(authd_wait(t.a, PATIENCE), 0);
	ck_assert_int_eq(wall_count(t.w, "sessions.open"), 0);
	ck_assert_int_eq(wall_count(t.w, "methods.DELETE"), 2);
	liner_close(l);
	liner_close(idle);
	world_free(t.w);
}
END_TEST

/* K: whoever is not done in time gets an error all the same, and its session ends. */
START_TEST(k_drain_over)
{
	struct linescene t = linescene_begin(NULL, NULL);
	struct liner *l = liner_ready(&t);

	call(l, "1", "hang", NULL);
	ck_assert(wall_wait(t.w, "hanging", 1, PATIENCE));
	kill(t.a->pid, SIGTERM);
	ck_assert_ptr_nonnull(strstr(liner_hear(l, "\"id\":1,\"error\"", 15000), "\"reason\":\"draining\""));
	ck_assert_int_eq(authd_wait(t.a, PATIENCE), 0);
	ck_assert_int_eq(wall_count(t.w, "sessions.open"), 0);
	liner_close(l);
	world_free(t.w);
}
END_TEST

static void
reload(const char *name, const char *members)
{
	struct reply r = { 0 };
	struct buf text = BUF_INIT(0);

	buf_addf(&text, "{\"mcpServers\": {\"%s\": {\"url\": \"%s/mcp\"%s}}}", name, s.w->origin, members);
	file_write(s.w->config, text.p);
	ck_assert_int_eq(http(s.a->control, "POST", "/v1/reload", NULL, &r, PATIENCE), 0);
	ck_assert_int_eq(r.status, 200);
	reply_free(&r);
	buf_free(&text);
}

/* A reload that changes the upstream: the session goes on, its stream under the new config. */
START_TEST(reloaded)
{
	struct liner *l = liner_ready(&s);

	reload("wall", ", \"timeouts\": {\"response\": 77}");
	ck_assert(wall_wait(s.w, "streams.opened", 2, PATIENCE));
	liner_say(l, PING("1"));
	heard(l, "\"id\":1,\"result\"");
	wall_do(s.w, "emit", "{\"text\":\"after\"}");
	heard(l, "after");
	ck_assert_int_eq(wall_count(s.w, "sessions.opened"), 1);
	liner_close(l);
}
END_TEST

/* One that removes it: what runs is answered, then the connection and its session end. */
START_TEST(removed)
{
	struct liner *l = liner_ready(&s), *idle = liner_ready(&s);

	call(l, "1", "hang", NULL);
	ck_assert(wall_wait(s.w, "hanging", 1, PATIENCE));
	reload("other", "");
	ck_assert(liner_ended(idle, PATIENCE));
	ck_assert(wall_wait(s.w, "sessions.deleted", 1, PATIENCE));
	wall_do(s.w, "release", NULL);
	heard(l, "\"id\":1,\"result\"");
	ck_assert(liner_ended(l, PATIENCE));
	ck_assert(wall_wait(s.w, "sessions.deleted", 2, PATIENCE));
	liner_close(l);
	liner_close(idle);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("line_session");
	TCase *tc = tcase_create("usual"), *own = tcase_create("own");
	SRunner *sr;
	int failed;

	tcase_set_timeout(tc, 60);
	tcase_add_checked_fixture(tc, begin, end);
	tcase_add_test(tc, g1_joined);
	tcase_add_loop_test(tc, g1_sloppy_servers, 0, 6);
	tcase_add_test(tc, g1_repeated);
	tcase_add_loop_test(tc, g1_other_session, 0, 2);
	tcase_add_loop_test(tc, g1_begun_in_vain, 0, 4);
	tcase_add_test(tc, g1_login_required);
	tcase_add_test(tc, g1_found_by_stream);
	tcase_add_test(tc, g1_dead_requests);
	tcase_add_test(tc, g2_lost_twice);
	tcase_add_test(tc, g2_composed);
	tcase_add_test(tc, g1_server_away);
	tcase_add_test(tc, initialize_twice);
	tcase_add_test(tc, reloaded);
	tcase_add_test(tc, removed);
	suite_add_tcase(suite, tc);
	tcase_set_timeout(own, 60);
	tcase_add_test(own, g1_off);
	tcase_add_test(own, f4_unread_answered);
	tcase_add_test(own, k_drain);
	tcase_add_test(own, k_drain_over);
	suite_add_tcase(suite, own);
	sr = srunner_create(suite);
	srunner_run_all(sr, CK_NORMAL);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed != 0;
}
