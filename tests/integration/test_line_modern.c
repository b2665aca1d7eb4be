/* Clients that speak lines of JSON, revision 2026-07-28 (WIRE M1 to M13; contract G2). */
#include <check.h>
#include <stdio.h>

#include "linescene.h"

#define META	"\"_meta\":{\"io.modelcontextprotocol/protocolVersion\":\"2026-07-28\"}"
#define LINE(id, method, params) "{\"jsonrpc\":\"2.0\",\"id\":" id ",\"method\":\"" method "\",\"params\":{" params META "}}"

static struct linescene s;

static void
begin(void)
{
	s = linescene_begin(NULL, NULL);
}

static void
end(void)
{
	linescene_end(&s);
}

/* M1, M2: from the body; and nothing of the legacy wire: no session, no GET, no DELETE. */
START_TEST(m1_m2_headers)
{
	struct liner *l = liner_open(s.socket);

	liner_say(l, LINE("1", "server/discover", ""));
	heard(l, "\"supportedVersions\"");
	ck_assert_str_eq(latest(&s, "mcp server/discover", "mcp-protocol-version"), "2026-07-28");
	ck_assert_str_eq(latest(&s, "mcp server/discover", "mcp-method"), "server/discover");
	ck_assert_str_eq(latest(&s, "mcp server/discover", "mcp-name"), "");
	ck_assert_str_eq(latest(&s, "mcp server/discover", "mcp-session-id"), "");
	ck_assert_str_eq(latest(&s, "mcp server/discover", "accept"), "application/json, text/event-stream");
	call_modern(l, "2", "echo", "{\"text\":\"x\"}");
	heard(l, "\"id\":2,\"result\"");
	ck_assert_str_eq(latest(&s, "mcp tools/call", "mcp-name"), "echo");
	ck_assert_str_eq(latest(&s, "mcp tools/call", "mcp-method"), "tools/call");
	liner_say(l, LINE("3", "resources/read", "\"uri\":\"file:///\\u00e9\","));
	heard(l, "\"id\":3,\"error\":{\"code\":-32601");				/* M10: 404 with its body */
	ck_assert_str_eq(latest(&s, "mcp resources/read", "mcp-name"), "=?base64?ZmlsZTovLy/DqQ==?=");	/* M3 */
	liner_say(l, LINE("4", "tasks/get", "\"taskId\":\"t1\","));
	heard(l, "\"id\":4,");
	ck_assert_str_eq(latest(&s, "mcp tasks/get", "mcp-name"), "t1");
	liner_close(l);
	ck_assert_int_eq(wall_count(s.w, "methods.GET"), 0);
	ck_assert_int_eq(wall_count(s.w, "methods.DELETE"), 0);
}
END_TEST

/* M10, M13: the server's own error, whatever era; no translation. */
START_TEST(m13_errors)
{
	struct liner *l = liner_open(s.socket);

	wall_fault(s.w, "{\"mcp\":{\"status\":400,\"body\":\"{\\\"jsonrpc\\\":\\\"2.0\\\",\\\"id\\\":1,\\\"error\\\":"
	    "{\\\"code\\\":-32022,\\\"message\\\":\\\"v\\\",\\\"data\\\":{\\\"supported\\\":[\\\"2026-07-28\\\"]}}}\"},\"times\":1}");
	liner_say(l, "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"initialize\",\"params\":{\"protocolVersion\":\"2025-11-25\"}}");
	ck_assert_str_eq(heard(l, "\"id\":1"), "{\"jsonrpc\":\"2.0\",\"id\":1,\"error\":"
	    "{\"code\":-32022,\"message\":\"v\",\"data\":{\"supported\":[\"2026-07-28\"]}}}");
	/* the same client goes on in the other era */
	liner_say(l, LINE("2", "ping", ""));
	heard(l, "\"id\":2,\"result\"");
	liner_close(l);
}
END_TEST

/* --- M4, M5 --- */

/* Every page is read before the first call that needs it, once; other clients find it done. */
START_TEST(m4_params)
{
	struct liner *l = liner_open(s.socket), *m;

	wall_do(s.w, "set", "{\"tools_pages\":true}");
	call_modern(l, "1", "region", "{\"region\":\"us-west1\",\"flag\":true,\"where\":{\"limit\":42}}");
	call_modern(l, "2", "region", "{\"region\":\" \\u00e9\\r\\nX: y\",\"flag\":false,\"where\":{\"limit\":null}}");
	call_modern(l, "3", "region", "{}");
	heard(l, "\"id\":1,\"result\"");
	heard(l, "\"id\":2,\"result\"");
	heard(l, "\"id\":3,\"result\"");
	ck_assert_int_eq(wall_count(s.w, "methods.POST"), 5);
	ck_assert_uint_eq(liner_kept(l, QUIET), 0);
	m = liner_open(s.socket);
	call_modern(m, "1", "region", "{\"region\":\"eu\"}");
	heard(m, "\"id\":1,\"result\"");
	ck_assert_int_eq(wall_count(s.w, "methods.POST"), 6);
	is_logged(&s, "the tool bad is left out");
	liner_close(l);
	liner_close(m);
}
END_TEST

/* M5: an invalid tool is left out, the rest is as it was. */
START_TEST(m5_left_out)
{
	struct liner *l = liner_open(s.socket);

	wall_do(s.w, "set", "{\"tools_pages\":true}");
	liner_say(l, LINE("1", "tools/list", ""));
	ck_assert_str_eq(heard(l, "\"id\":1"), "{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{\"tools\":["
	    "{\"name\":\"echo\",\"inputSchema\":{\"type\":\"object\"}}],\"nextCursor\":\"two\"}}");
	liner_say(l, LINE("2", "tools/list", "\"cursor\":\"two\","));
	heard(l, "\"name\":\"region\"");
	call_modern(l, "3", "region", "{\"region\":\"us\"}");		/* learned by the client's own listing */
	heard(l, "\"id\":3,\"result\"");
	ck_assert_int_eq(wall_count(s.w, "methods.POST"), 3);
	liner_close(l);
}
END_TEST

/* M5a, G2: the schema has changed: one tools/list of our own, one resend, with a 401 between if need be. */
START_TEST(m5a_mended)
{
	struct liner *l = liner_open(s.socket);

	wall_do(s.w, "set", "{\"tools_pages\":true}");
	call_modern(l, "1", "region", "{\"region\":\"us\"}");
	heard(l, "\"id\":1,\"result\"");
	wall_do(s.w, "set", "{\"region_header\":\"Area\"}");
	wall_do(s.w, "expire", NULL);
	call_modern(l, "2", "region", "{\"region\":\"us\"}");
	heard(l, "\"id\":2,\"result\"");
	ck_assert_str_eq(latest(&s, "mcp tools/call", "mcp-param-area"), "us");
	ck_assert_int_eq(wall_count(s.w, "methods.POST"), 3 + 2 + 2 + 1);	/* the 401, -32020, two pages, again */
	/* for ever: its own error, after one resend */
	wall_fault(s.w, "{\"mcp\":{\"status\":400,\"body\":\"{\\\"jsonrpc\\\":\\\"2.0\\\",\\\"id\\\":3,\\\"error\\\":"
	    "{\\\"code\\\":-32020,\\\"message\\\":\\\"no\\\"}}\"},\"match\":{\"rpc\":\"tools/call\"}}");
	call_modern(l, "3", "region", "{\"region\":\"us\"}");
	heard(l, "\"id\":3,\"error\":{\"code\":-32020");
	ck_assert_int_eq(wall_count(s.w, "methods.POST"), 8 + 2 + 2);
	ck_assert_uint_eq(liner_kept(l, QUIET), 0);
	liner_close(l);
}
END_TEST

/* The tools cannot be listed: the call goes all the same. */
START_TEST(m4_no_list)
{
	struct liner *l = liner_open(s.socket);

	wall_fault(s.w, "{\"mcp\":{\"status\":500,\"body\":\"\"},\"match\":{\"rpc\":\"tools/list\"}}");
	call_modern(l, "1", "echo", "{\"text\":\"x\"}");
	heard(l, "\"id\":1,\"result\"");
	liner_close(l);
}
END_TEST

/* --- M7 to M9 --- */

START_TEST(m7_cancel_closes)
{
	struct liner *l = liner_open(s.socket);

	call_modern(l, "1", "hang", NULL);
	ck_assert(wall_wait(s.w, "hanging", 1, PATIENCE));
	liner_say(l, "{\"jsonrpc\":\"2.0\",\"method\":\"notifications/cancelled\",\"params\":{\"requestId\":1}}");
	ck_assert(wall_wait_is(s.w, "hanging", 0, PATIENCE));
	liner_say(l, LINE("2", "ping", ""));
	heard(l, "\"id\":2,\"result\"");
	ck_assert_str_eq(latest(&s, "mcp notifications/cancelled", "accept"), "");	/* not forwarded */
	ck_assert_uint_eq(liner_kept(l, QUIET), 0);
	/* and so is the client's leaving */
	call_modern(l, "3", "hang", NULL);
	ck_assert(wall_wait(s.w, "hanging", 1, PATIENCE));
	liner_close(l);
	ck_assert(wall_wait_is(s.w, "hanging", 0, PATIENCE));
}
END_TEST

/* M8: a broken stream loses the request: one error, nothing is sent again; an event id changes nothing. */
START_TEST(m8_broken_stream)
{
	struct liner *l = liner_open(s.socket);

	call_modern(l, "1", "sse", "{\"n\":5,\"cut_after\":2,\"ids\":true,\"key\":\"m8\"}");
	heard(l, "\"id\":1,\"error\":{\"code\":-31000");
	call_modern(l, "2", "echo", NULL);
	heard(l, "\"id\":2,\"result\"");
	ck_assert_int_eq(wall_count(s.w, "executions.m8"), 1);
	ck_assert_int_eq(wall_count(s.w, "methods.GET"), 0);
	liner_close(l);
}
END_TEST

/* M9: a POST that stays open, longer than any answer may take. */
START_TEST(m9_listen)
{
	struct linescene t = linescene_begin("\"timeouts\": {\"response\": 1}", NULL);
	struct liner *l = liner_open(t.socket);

	liner_say(l, LINE("\"sub\"", "subscriptions/listen", "\"notifications\":{},"));
	heard(l, "notifications/subscriptions/acknowledged");
	ck_assert_uint_eq(liner_kept(l, 1500), 0);
	wall_do(t.w, "emit", "{\"text\":\"news\"}");
	heard(l, "news");
	liner_say(l, LINE("1", "ping", ""));
	heard(l, "\"id\":1,\"result\"");
	wall_do(t.w, "drop", "{\"how\":\"cut\"}");
	heard(l, "\"id\":\"sub\",\"error\"");			/* M8 */
	liner_say(l, LINE("\"sub\"", "subscriptions/listen", "\"notifications\":{},"));
	heard(l, "acknowledged");
	liner_say(l, "{\"jsonrpc\":\"2.0\",\"method\":\"notifications/cancelled\",\"params\":{\"requestId\":\"sub\"}}");
	ck_assert(wall_wait_is(t.w, "listens.open", 0, PATIENCE));	/* M7 */
	liner_close(l);
	linescene_end(&t);
}
END_TEST

/* Both eras on one connection: each message has its own headers. */
START_TEST(both_eras)
{
	struct liner *l = liner_ready(&s);

	call_modern(l, "1", "echo", "{\"text\":\"modern\"}");
	heard(l, "modern");
	ck_assert_str_eq(latest(&s, "mcp tools/call", "mcp-session-id"), "");
	call(l, "2", "echo", "{\"text\":\"legacy\"}");
	heard(l, "legacy");
	ck_assert_str_ne(latest(&s, "mcp tools/call", "mcp-session-id"), "");
	ck_assert_str_eq(latest(&s, "mcp tools/call", "mcp-method"), "");
	call_modern(l, "3", "sse", "{\"n\":5,\"cut_after\":2,\"ids\":true}");	/* M8: not resumed by GET */
	heard(l, "\"id\":3,\"error\"");
	ck_assert_int_eq(wall_count(s.w, "methods.GET"), 1);
	liner_close(l);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("line_modern");
	TCase *tc = tcase_create("usual"), *own = tcase_create("own");
	SRunner *sr;
	int failed;

	tcase_set_timeout(tc, 60);
	tcase_add_checked_fixture(tc, begin, end);
	tcase_add_test(tc, m1_m2_headers);
	tcase_add_test(tc, m13_errors);
	tcase_add_test(tc, m4_params);
	tcase_add_test(tc, m5_left_out);
	tcase_add_test(tc, m5a_mended);
	tcase_add_test(tc, m4_no_list);
	tcase_add_test(tc, m7_cancel_closes);
	tcase_add_test(tc, m8_broken_stream);
	tcase_add_test(tc, both_eras);
	suite_add_tcase(suite, tc);
	tcase_set_timeout(own, 60);
	tcase_add_test(own, m9_listen);
	suite_add_tcase(suite, own);
	sr = srunner_create(suite);
	srunner_run_all(sr, CK_NORMAL);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed != 0;
}
