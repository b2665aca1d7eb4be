/*
 * Clients that speak lines of JSON, legacy revisions: one answer for each
 * request (contract F4), WIRE L1 to L8, L13, L14, L17, M10 to M12, bad input,
 * limits, the end of a connection.
 */
#include <check.h>
#include <stdio.h>

#include "linescene.h"

#define PING(id)	"{\"jsonrpc\":\"2.0\",\"id\":" id ",\"method\":\"ping\"}"

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

static void
still_served(struct liner *l)
{
	liner_say(l, PING("\"still\""));
	heard(l, "{\"jsonrpc\":\"2.0\",\"id\":\"still\",\"result\":{}}");
}

/* --- what goes up --- */

START_TEST(l2_l5_l6_headers)
{
	struct liner *l = liner_ready(&s);
	char session[128];

	still_served(l);
	ck_assert_str_eq(latest(&s, "mcp initialize", "accept"), "application/json, text/event-stream");
	ck_assert_str_eq(latest(&s, "mcp initialize", "content-type"), "application/json");
	ck_assert_str_eq(latest(&s, "mcp initialize", "user-agent"), "mcp-authd");
	ck_assert_str_eq(latest(&s, "mcp initialize", "mcp-session-id"), "");
	ck_assert_str_eq(latest(&s, "mcp initialize", "mcp-protocol-version"), "");
	snprintf(session, sizeof(session), "%s", latest(&s, "mcp ping", "mcp-session-id"));
	ck_assert_uint_gt(strlen(session), 8);
	ck_assert_str_eq(latest(&s, "mcp ping", "mcp-protocol-version"), "2025-11-25");
	ck_assert_str_eq(latest(&s, "mcp ping", "mcp-method"), "");
	ck_assert_str_eq(latest(&s, "mcp notifications/initialized", "mcp-session-id"), session);
	ck_assert_str_eq(latest(&s, "mcp notifications/initialized", "mcp-protocol-version"), "2025-11-25");
	ck_assert_str_eq(latest(&s, "mcp GET", "accept"), "text/event-stream");
	ck_assert_str_eq(latest(&s, "mcp GET", "mcp-session-id"), session);
	ck_assert_str_eq(latest(&s, "mcp GET", "mcp-protocol-version"), "2025-11-25");
	ck_assert_str_eq(latest(&s, "mcp GET", "last-event-id"), "");
	liner_close(l);
	ck_assert(wall_wait(s.w, "methods.DELETE", 1, PATIENCE));	/* L8 */
	ck_assert_str_eq(latest(&s, "mcp DELETE", "mcp-session-id"), session);
	ck_assert_str_eq(latest(&s, "mcp DELETE", "mcp-protocol-version"), "2025-11-25");
}
END_TEST

/* L1, and requests of one client run side by side. */
START_TEST(l1_each_its_own_post)
{
	struct liner *l = liner_ready(&s);
	int64_t posts = wall_count(s.w, "methods.POST");
	const char *lines = "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"tools/call\",\"params\":"
	    "{\"name\":\"hang\"}}\r\n\n" PING("2") "\n  " PING("3") " \n";

	ck_assert_int_eq(client_send(liner_client(l), lines, strlen(lines), PATIENCE), 0);
	heard(l, "\"id\":3");
	heard(l, "\"id\":2");
	wall_do(s.w, "release", NULL);
	heard(l, "\"id\":1");
	ck_assert_int_eq(wall_count(s.w, "methods.POST"), posts + 3);
	liner_close(l);
}
END_TEST

/* L3, L4: JSON, a stream, and nothing. */
START_TEST(l3_l4_answers)
{
	struct liner *l = liner_ready(&s);

	call(l, "1", "sse", "{\"n\":2}");
	heard(l, "\"progress\":1");
	heard(l, "\"progress\":2");
	heard(l, "{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":");
	liner_say(l, "{\"jsonrpc\":\"2.0\",\"method\":\"notifications/roots/list_changed\"}");
	ck_assert(wall_wait(s.w, "notifications.notifications/roots/list_changed", 1, PATIENCE));
	ck_assert_uint_eq(liner_kept(l, QUIET), 0);
	liner_close(l);
}
END_TEST

/* M11: ids come back as the server writes them, bodies go up as they are. */
START_TEST(m11_bytes)
{
	static const char *const ids[] = { "1.50", "-0", "\"\\u0061\"", "\"x y\\n\"", "12345678901234567890" };
	struct liner *l = liner_ready(&s);
	char text[256], wants[256];

	for (size_t i = 0; i < nitems(ids); i++) {
		snprintf(text, sizeof(text), "{ \"method\" :\t\"ping\", \"id\" : %s , \"jsonrpc\":\"2.0\" }", ids[i]);
		snprintf(wants, sizeof(wants), "{\"jsonrpc\":\"2.0\",\"id\":%s,\"result\":{}}", ids[i]);
		liner_say(l, text);
		heard(l, wants);
	}
	/* an id that the server prints in its own way, and an answer over several lines: one line */
	wall_fault(s.w, "{\"mcp\":{\"status\":200,\"headers\":{\"Content-Type\":\"application/json\"},"
	    "\"body\":\"{\\r\\n \\\"jsonrpc\\\":\\\"2.0\\\",\\n\\\"id\\\":7,\\\"result\\\":{}\\n}\"},\"times\":1}");
	liner_say(l, PING("7.0"));
	ck_assert_str_eq(heard(l, "\"id\":7"), "{   \"jsonrpc\":\"2.0\", \"id\":7,\"result\":{} }");
	ck_assert_uint_eq(liner_kept(l, QUIET), 0);
	liner_close(l);
}
END_TEST

/* A body that is larger than what a relay may hold, and an answer as large. */
START_TEST(m11_large)
{
	struct liner *l = liner_ready(&s);
	struct buf b = BUF_INIT(0);
	size_t n = 6 * MIB;

	buf_adds(&b, "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"tools/call\",\"params\":{\"name\":\"digest\","
	    "\"arguments\":{\"data\":\"");
	buf_reserve(&b, n);
	memset(b.p + b.len, 'd', n);
	b.len += n;
	buf_adds(&b, "\"}}}");
	liner_say(l, b.p);
	heard(l, "\"id\":1,\"result\":{\"content\":[{\"type\":\"text\",\"text\":\"6291456 ");
	call(l, "2", "big", "{\"bytes\":6000000}");
	ck_assert_uint_eq(strlen(heard(l, "\"id\":2,\"result\"")), 6000000);
	buf_free(&b);
	liner_close(l);
}
END_TEST

START_TEST(l17_cookies)
{
	struct liner *l;

	wall_do(s.w, "set", "{\"set_cookie\":\"lb=7; Path=/\"}");
	l = liner_ready(&s);
	still_served(l);
	ck_assert_int_ge(wall_count(s.w, "cookies"), 2);
	liner_close(l);
}
END_TEST

/* --- bad input: an error with the right code and id, and the connection goes on --- */

START_TEST(m12_bad_input)
{
	static const struct { const char *line, *wants; } cases[] = {
		{ "nonsense", "\"id\":null,\"error\":{\"code\":-32700" },
		{ "{\"id\":1,", "\"id\":null,\"error\":{\"code\":-32700" },
		{ "{\"jsonrpc\":\"2.0\"}", "\"id\":null,\"error\":{\"code\":-32600" },
		{ "[]", "\"id\":null,\"error\":{\"code\":-32600" },
		{ "{\"id\":true,\"method\":\"ping\"}", "\"id\":null,\"error\":{\"code\":-32600" },
		{ "{\"id\":null,\"method\":\"ping\"}", "\"id\":null,\"error\":{\"code\":-32600" },
		/* batches exist in 2025-03-26 only */
		{ "[" PING("41") ",{\"method\":\"x\"}]", "\"id\":41,\"error\":{\"code\":-32600" },
		{ "[{\"method\":\"x\"}]", "\"id\":null,\"error\":{\"code\":-32600" },
	};
	struct liner *l = liner_ready(&s);
	int64_t posts = wall_count(s.w, "methods.POST");

	for (size_t i = 0; i < nitems(cases); i++) {
		liner_say(l, cases[i].line);
		heard(l, cases[i].wants);
	}
	ck_assert_int_eq(wall_count(s.w, "methods.POST"), posts);
	/* an answer that nobody waits for is dropped */
	liner_say(l, "{\"jsonrpc\":\"2.0\",\"id\":\"srv-77\",\"result\":{}}");
	still_served(l);
	ck_assert_int_eq(wall_count(s.w, "responses.srv-77"), 0);
	ck_assert_uint_eq(liner_kept(l, QUIET), 0);
	liner_close(l);
}
END_TEST

/* The first keeps its id. */
START_TEST(duplicate_id)
{
	struct liner *l = liner_ready(&s);

	call(l, "\"a\"", "hang", NULL);
	ck_assert(wall_wait(s.w, "hanging", 1, PATIENCE));
	liner_say(l, PING("\"\\u0061\""));
	heard(l, "\"id\":null,\"error\":{\"code\":-32600");
	wall_do(s.w, "release", NULL);
	heard(l, "{\"jsonrpc\":\"2.0\",\"id\":\"a\",\"result\"");
	liner_say(l, PING("\"a\""));
	heard(l, "{\"jsonrpc\":\"2.0\",\"id\":\"a\",\"result\"");
	liner_close(l);
}
END_TEST

START_TEST(line_too_long)
{
	struct linescene t = linescene_begin(NULL, "\"limits\": {\"lineBytes\": 4096}");
	struct liner *l = liner_ready(&t);
	struct buf b = BUF_INIT(0);

	buf_adds(&b, "{\"jsonrpc\":\"2.0\",\"method\":\"ping\",\"params\":{\"x\":\"");
	for (int i = 0; i < 5000; i++)
		buf_adds(&b, "x");
	buf_adds(&b, "\"},\"id\":5}");
	liner_say(l, b.p);
	ck_assert_ptr_nonnull(strstr(heard(l, "\"id\":5,\"error\":{\"code\":-31000"), "\"reason\":\"limit\""));
	still_served(l);
	/* an answer that is longer than a line may be */
	call(l, "6", "big", "{\"bytes\":5000}");
	ck_assert_ptr_nonnull(strstr(heard(l, "\"id\":6,\"error\""), "upstream_malformed"));
	still_served(l);
	liner_close(l);
	buf_free(&b);
	linescene_end(&t);
}
END_TEST

/* 2025-03-26: a batch is one message (L1), each of its requests is answered. */
START_TEST(l1_batch)
{
	struct liner *l = liner_open(s.socket);
	int64_t posts;

	liner_begin(l, "2025-03-26");
	ck_assert(wall_wait(s.w, "streams.open", 1, PATIENCE));
	posts = wall_count(s.w, "methods.POST");
	liner_say(l, "[" PING("1") "," PING("\"b\"") ",{\"jsonrpc\":\"2.0\",\"method\":\"notifications/x\"}]");
	heard(l, "[{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{}},{\"jsonrpc\":\"2.0\",\"id\":\"b\",\"result\":{}}]");
	ck_assert_int_eq(wall_count(s.w, "methods.POST"), posts + 1);
	/* F4: an answer that lacks one */
	wall_fault(s.w, "{\"mcp\":{\"status\":200,\"headers\":{\"Content-Type\":\"application/json\"},\"body\":"
	    "\"[{\\\"jsonrpc\\\":\\\"2.0\\\",\\\"id\\\":3,\\\"result\\\":{}}]\"},\"times\":1}");
	liner_say(l, "[" PING("3") "," PING("4") "]");
	heard(l, "[{\"jsonrpc\":\"2.0\",\"id\":3,\"result\":{}}]");
	heard(l, "[{\"jsonrpc\":\"2.0\",\"id\":4,\"error\":{\"code\":-31000");
	still_served(l);
	ck_assert_uint_eq(liner_kept(l, QUIET), 0);
	liner_close(l);
}
END_TEST

/* --- F4: exactly one answer --- */

START_TEST(f4_upstream_faults)
{
	static const struct { const char *fault, *wants; } cases[] = {
		{ "\"close_after_read\":true", "upstream_unreachable" },
		{ "\"half_head\":true", "upstream_unreachable" },
		{ "\"half_body\":true", "upstream_unreachable" },
		{ "\"raw\":\"nonsense\\r\\n\\r\\n\"", "upstream_malformed" },
		{ "\"status\":502,\"body\":\"<html>\"", "HTTP status 502" },
		{ "\"status\":200,\"body\":\"<html>\"", "upstream_malformed" },
		{ "\"status\":200,\"body\":\"\",\"headers\":{\"Content-Type\":\"application/json\"}", "without an answer" },
		{ "\"status\":202,\"body\":\"\"", "without an answer" },
		{ "\"status\":204,\"body\":\"\"", "without an answer" },
		{ "\"status\":200,\"body\":\"{}\",\"headers\":{\"Content-Type\":\"application/json\"}", "without an answer" },
		{ "\"status\":200,\"body\":\"{\\\"jsonrpc\\\":\\\"2.0\\\",\\\"id\\\":99,\\\"result\\\":1}\","
		    "\"headers\":{\"Content-Type\":\"application/json\"}", "without an answer" },
		{ "\"raw\":\"HTTP/1.1 200 OK\\r\\nContent-Type: Text/Event-Stream ;x=y\\r\\n\\r\\n"
		    "data: nonsense\\n\\ndata: {}\\n\\n\"", "the stream ended before the answer" },
		/* M10: the server's own error, whoever it names */
		{ "\"status\":400,\"body\":\"{\\\"jsonrpc\\\":\\\"2.0\\\",\\\"id\\\":null,\\\"error\\\":"
		    "{\\\"code\\\":-32000,\\\"message\\\":\\\"bad\\\",\\\"data\\\":[1 ]}}\"",
		    "\"error\":{\"code\":-32000,\"message\":\"bad\",\"data\":[1 ]}}" },
		{ "\"status\":400,\"body\":\"{\\\"jsonrpc\\\":\\\"2.0\\\",\\\"error\\\":{\\\"code\\\":-32022,"
		    "\\\"message\\\":\\\"v\\\",\\\"data\\\":{\\\"supported\\\":[]}}}\"",
		    "\"error\":{\"code\":-32022,\"message\":\"v\",\"data\":{\"supported\":[]}}}" },
	};
	struct liner *l = liner_ready(&s);
	char text[512], id[64];
	const char *line;

	for (size_t i = 0; i < nitems(cases); i++) {
		snprintf(text, sizeof(text), "{\"mcp\":{%s},\"match\":{\"rpc\":\"ping\"},\"times\":1}", cases[i].fault);
		wall_fault(s.w, text);
		snprintf(text, sizeof(text), "{\"jsonrpc\":\"2.0\",\"id\":\"f%zu\",\"method\":\"ping\"}", i);
		liner_say(l, text);
		snprintf(id, sizeof(id), "\"id\":\"f%zu\",\"error\":", i);
		line = heard(l, id);
		ck_assert_msg(strstr(line, cases[i].wants) != NULL, "%zu: %s", i, line);
	}
	still_served(l);
	ck_assert_uint_eq(liner_kept(l, QUIET), 0);
	liner_close(l);
}
END_TEST

/* What is no Streamable HTTP server gets a word about the old transport. */
START_TEST(old_transport)
{
	struct liner *l = liner_open(s.socket);

	wall_fault(s.w, "{\"mcp\":{\"status\":405,\"body\":\"no\"},\"times\":1}");
	liner_say(l, "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"initialize\",\"params\":{}}");
	ck_assert_ptr_nonnull(strstr(heard(l, "\"id\":1,\"error\""), "HTTP+SSE transport of 2024-11-05"));
	liner_close(l);
}
END_TEST

START_TEST(f4_flood)
{
	struct linescene t = linescene_begin(NULL, "\"limits\": {\"inFlightPerClient\": 4}");
	struct liner *l = liner_ready(&t);
	char id[16], text[64];
	int limits = 0;

	for (int i = 0; i < 4; i++) {
		snprintf(id, sizeof(id), "%d", 100 + i);
		call(l, id, "hang", NULL);
	}
	ck_assert(wall_wait(t.w, "hanging", 4, PATIENCE));
	for (int i = 0; i < 50; i++) {
		snprintf(text, sizeof(text), "{\"jsonrpc\":\"2.0\",\"id\":%d,\"method\":\"ping\"}", 200 + i);
		liner_say(l, text);
	}
	for (int i = 0; i < 50; i++) {
		snprintf(text, sizeof(text), "\"id\":%d,", 200 + i);
		limits += strstr(heard(l, text), "\"reason\":\"limit\"") != NULL;
	}
	ck_assert_int_eq(limits, 50);
	wall_do(t.w, "release", NULL);
	for (int i = 0; i < 4; i++) {
		snprintf(text, sizeof(text), "\"id\":%d,\"result\"", 100 + i);
		heard(l, text);
	}
	still_served(l);
	ck_assert_uint_eq(liner_kept(l, QUIET), 0);
	liner_close(l);
	linescene_end(&t);
}
END_TEST

/* A slow reader: the stream waits, nothing is lost, memory stays. */
START_TEST(slow_reader)
{
	struct liner *l = liner_ready(&s);
	int64_t before = authd_memory(s.a);
	char text[64];

	for (int i = 0; i < 100; i++) {
		snprintf(text, sizeof(text), "{\"text\":\"slow-%d-\",\"bytes\":30000}", i);
		wall_do(s.w, "emit", text);
	}
	liner_say(l, PING("1"));
	ck_assert_int_lt(authd_memory(s.a) - before, 2 * MIB);
	for (int i = 0; i < 100; i++) {
		snprintf(text, sizeof(text), "\"slow-%d-\"", i);
		ck_assert(strstr(heard(l, "slow-"), text) != NULL);	/* in order */
	}
	heard(l, "\"id\":1");
	ck_assert_uint_eq(liner_kept(l, QUIET), 0);
	liner_close(l);
}
END_TEST

/* --- leaving --- */

/* Half-closed: pending work is finished, the last line needs no newline, then the end; L8. */
START_TEST(f4_half_close)
{
	static const char lines[] = "{\"jsonrpc\":\"2.0\",\"id\":\"i\",\"method\":\"initialize\",\"params\":"
	    "{\"protocolVersion\":\"2025-11-25\"}}\n{\"jsonrpc\":\"2.0\",\"method\":\"notifications/initialized\"}\n"
	    "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"tools/call\",\"params\":{\"name\":\"sleep\",\"arguments\":"
	    "{\"ms\":200}}}\n" PING("2");
	struct liner *l = liner_open(s.socket);

	ck_assert_int_eq(client_send(liner_client(l), lines, strlen(lines), PATIENCE), 0);
	client_shutdown(liner_client(l));
	heard(l, "\"id\":\"i\",\"result\"");
	heard(l, "\"id\":2,\"result\"");
	heard(l, "\"id\":1,\"result\"");
	ck_assert(liner_ended(l, PATIENCE));
	ck_assert(wall_wait(s.w, "sessions.deleted", 1, PATIENCE));
	ck_assert_int_eq(wall_count(s.w, "notifications.notifications/initialized"), 1);
	ck_assert_int_eq(wall_count(s.w, "methods.DELETE"), 1);
	/* what followed initialize in one piece waited for its session */
	ck_assert_str_ne(latest(&s, "mcp notifications/initialized", "mcp-session-id"), "");
	ck_assert_str_ne(latest(&s, "mcp ping", "mcp-session-id"), "");
	liner_close(l);
}
END_TEST

/* L8, L13: whoever leaves cancels nothing; the session ends. */
START_TEST(l13_leaving)
{
	struct liner *l = liner_ready(&s);

	call(l, "1", "hang", NULL);
	ck_assert(wall_wait(s.w, "hanging", 1, PATIENCE));
	liner_say(l, "{\"jsonrpc\":\"2.0\",\"method\":\"notifications/last\"}");
	liner_close(l);
	ck_assert(wall_wait(s.w, "sessions.deleted", 1, PATIENCE));
	ck_assert_int_eq(wall_count(s.w, "notifications.notifications/cancelled"), 0);
	ck_assert_int_eq(wall_count(s.w, "notifications.notifications/last"), 1);
	ck_assert_int_eq(wall_count(s.w, "methods.DELETE"), 1);
	ck_assert(wall_wait_is(s.w, "hanging", 0, PATIENCE));
}
END_TEST

/* L8: a session that the client never heard of is ended all the same. */
START_TEST(l8_left_early)
{
	static const char initialize[] = "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"initialize\",\"params\":{}}";
	struct liner *l = liner_open(s.socket);

	wall_fault(s.w, "{\"mcp\":{\"delay_ms\":300},\"match\":{\"rpc\":\"initialize\"},\"times\":1}");
	liner_say(l, initialize);
	ck_assert(wall_wait(s.w, "requests", 1, PATIENCE));
	liner_close(l);
	ck_assert(wall_wait(s.w, "sessions.deleted", 1, PATIENCE));
	ck_assert_int_eq(wall_count(s.w, "sessions.open"), 0);
	/* an answer that was cut behind its head */
	l = liner_open(s.socket);
	wall_fault(s.w, "{\"mcp\":{\"raw\":\"HTTP/1.1 200 OK\\r\\nContent-Type: application/json\\r\\n"
	    "Mcp-Session-Id: half\\r\\nContent-Length: 100\\r\\n\\r\\n{\"},\"times\":1}");
	liner_say(l, initialize);
	heard(l, "\"id\":1,\"error\"");
	ck_assert(wall_wait(s.w, "methods.DELETE", 2, PATIENCE));
	ck_assert_str_eq(latest(&s, "mcp DELETE", "mcp-session-id"), "half");
	liner_close(l);
}
END_TEST

/* L13: the cancel itself goes up, and the request is answered by nobody. */
START_TEST(l13_cancelled)
{
	struct liner *l = liner_ready(&s);

	call(l, "1", "hang", NULL);
	ck_assert(wall_wait(s.w, "hanging", 1, PATIENCE));
	liner_say(l, "{\"jsonrpc\":\"2.0\",\"method\":\"notifications/cancelled\",\"params\":{\"requestId\":1}}");
	ck_assert(wall_wait(s.w, "notifications.notifications/cancelled", 1, PATIENCE));
	ck_assert(wall_wait_is(s.w, "hanging", 0, PATIENCE));
	call(l, "1", "echo", "{\"text\":\"anew\"}");		/* the id is free again */
	heard(l, "anew");
	ck_assert_uint_eq(liner_kept(l, QUIET), 0);
	liner_close(l);
}
END_TEST

/* --- requests of the server --- */

static void
answer_asked(struct liner *l, const char *line)
{
	cJSON *j = cJSON_Parse(line);
	char text[128];

	snprintf(text, sizeof(text), "{\"jsonrpc\":\"2.0\",\"id\":\"%s\",\"result\":{}}",
	    cJSON_GetStringValue(cJSON_GetObjectItem(j, "id")));
	cJSON_Delete(j);
	liner_say(l, text);
	liner_say(l, text);			/* the second time nobody waits for it */
}

START_TEST(l14_server_requests)
{
	struct liner *a = liner_ready(&s), *b = liner_ready(&s);
	cJSON *asked;
	char count[64];

	call(a, "1", "ask", NULL);		/* on the stream of a POST */
	answer_asked(a, heard(a, "sampling/createMessage"));
	heard(a, "\"id\":1,\"result\"");
	asked = wall_post(s.w, "ask", NULL);	/* on the GET streams of both */
	answer_asked(a, heard(a, "sampling/createMessage"));
	heard(b, "sampling/createMessage");
	snprintf(count, sizeof(count), "responses.%s",
	    cJSON_GetStringValue(cJSON_GetObjectItem(asked, "id")));
	ck_assert(wall_wait(s.w, count, 1, PATIENCE));
	still_served(a);
	still_served(b);
	ck_assert_int_eq(wall_count(s.w, count), 1);
	ck_assert_int_eq(wall_count(s.w, "sessions.open"), 2);	/* L5: each has its own */
	ck_assert_uint_eq(liner_kept(a, QUIET) + liner_kept(b, 0), 0);
	cJSON_Delete(asked);
	liner_close(a);
	liner_close(b);
}
END_TEST

/* --- our own errors --- */

START_TEST(m12_login_required)
{
	struct world *w = world_new(0);
	struct authd *a = authd_start(w, NULL);
	struct liner *l = liner_open(authd_socket(a, "wall"));
	static const char initialize[] = "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"initialize\",\"params\":{}}";

	liner_say(l, initialize);
	ck_assert_ptr_nonnull(strstr(heard(l, "\"id\":1,\"error\":{\"code\":-31000"), "\"reason\":\"login_required\""));
	world_login(w, a, "wall", NULL);
	liner_say(l, initialize);
	heard(l, "\"id\":1,\"result\"");
	liner_close(l);
	world_free(w);
}
END_TEST

START_TEST(shared_socket)
{
	struct liner *l = liner_open(s.a->shared);

	liner_say(l, PING("1"));
	heard(l, "NAME/mcp.sock");
	ck_assert(liner_ended(l, PATIENCE));
	liner_close(l);
}
END_TEST

START_TEST(too_many_clients)
{
	struct linescene t = linescene_begin(NULL, "\"limits\": {\"clients\": 1}");
	struct liner *l = liner_ready(&t), *m = liner_open(t.socket);

	liner_say(m, PING("1"));
	ck_assert_ptr_nonnull(strstr(heard(m, "\"id\":1,\"error\""), "\"reason\":\"limit\""));
	ck_assert(liner_ended(m, PATIENCE));
	/* F4: several at once are several answers */
	liner_close(m);
	m = liner_open(t.socket);
	liner_say(m, PING("1") "\n" PING("2") "\n" PING("3"));
	heard(m, "\"id\":1,\"error\"");
	heard(m, "\"id\":2,\"error\"");
	heard(m, "\"id\":3,\"error\"");
	ck_assert(liner_ended(m, PATIENCE));
	still_served(l);
	liner_close(m);
	liner_close(l);
	linescene_end(&t);
}
END_TEST

/* limits.idle is for HTTP: a line client may be silent as long as it likes, with a GET stream or without. */
START_TEST(idle_is_no_reason)
{
	struct linescene t = linescene_begin(NULL, "\"limits\": {\"idle\": 1}");
	struct liner *l = liner_ready(&t), *m = liner_open(t.socket);

	wall_fault(t.w, "{\"mcp\":{\"status\":405,\"body\":\"\"},\"match\":{\"method\":\"GET\"}}");
	liner_begin(m, NULL);
	ck_assert_uint_eq(liner_kept(l, 2500), 0);
	still_served(l);
	still_served(m);
	liner_close(l);
	liner_close(m);
	linescene_end(&t);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("line");
	TCase *tc = tcase_create("usual"), *own = tcase_create("own");
	SRunner *sr;
	int failed;

	tcase_set_timeout(tc, 60);
	tcase_add_checked_fixture(tc, begin, end);
	tcase_add_test(tc, l2_l5_l6_headers);
	tcase_add_test(tc, l1_each_its_own_post);
	tcase_add_test(tc, l3_l4_answers);
	tcase_add_test(tc, m11_bytes);
	tcase_add_test(tc, m11_large);
	tcase_add_test(tc, l17_cookies);
	tcase_add_test(tc, m12_bad_input);
	tcase_add_test(tc, duplicate_id);
	tcase_add_test(tc, l1_batch);
	tcase_add_test(tc, f4_upstream_faults);
	tcase_add_test(tc, old_transport);
	tcase_add_test(tc, slow_reader);
	tcase_add_test(tc, f4_half_close);
	tcase_add_test(tc, l13_leaving);
	tcase_add_test(tc, l8_left_early);
	tcase_add_test(tc, l13_cancelled);
	tcase_add_test(tc, l14_server_requests);
	tcase_add_test(tc, shared_socket);
	suite_add_tcase(suite, tc);
	tcase_set_timeout(own, 60);
	tcase_add_test(own, line_too_long);
	tcase_add_test(own, f4_flood);
	tcase_add_test(own, m12_login_required);
	tcase_add_test(own, too_many_clients);
	tcase_add_test(own, idle_is_no_reason);
	suite_add_tcase(suite, own);
	sr = srunner_create(suite);
	srunner_run_all(sr, CK_NORMAL);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed != 0;
}
