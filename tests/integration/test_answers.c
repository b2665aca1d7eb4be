/*
 * What a client sees when the daemon itself has to answer (design, "What a
 * client sees"; WIRE M12; contract F1, H5).
 */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <check.h>
#include <stdio.h>
#include <unistd.h>

#include "scene.h"

static struct scene s;

static void
begin(void)
{
	s = scene_begin(SCENE_NO_LOGIN, NULL, NULL);
}

static void
end(void)
{
	scene_end(&s);
}

/* One error object as the design has it; raw id, or NULL for none. */
static void
is_error(const cJSON *j, const char *reason, const char *upstream)
{
	const cJSON *error = cJSON_GetObjectItem(j, "error"), *data = cJSON_GetObjectItem(error, "data");
	const char *message = cJSON_GetStringValue(cJSON_GetObjectItem(error, "message"));
	const char *hint = cJSON_GetStringValue(cJSON_GetObjectItem(data, "hint"));

	ck_assert_str_eq(cJSON_GetStringValue(cJSON_GetObjectItem(j, "jsonrpc")), "2.0");
	ck_assert_int_eq(cJSON_GetObjectItem(error, "code")->valueint, -31000);
	ck_assert_str_eq(cJSON_GetStringValue(cJSON_GetObjectItem(data, "reason")), reason);
	ck_assert_str_eq(cJSON_GetStringValue(cJSON_GetObjectItem(data, "upstream")), upstream);
	ck_assert_ptr_nonnull(hint);
	ck_assert(strncmp(hint, "mcp-authctl ", 12) == 0);
	ck_assert_ptr_nonnull(strstr(message, upstream));	/* names the upstream ... */
	ck_assert_ptr_nonnull(strstr(message, hint));		/* ... and the command */
	ck_assert_ptr_null(strstr(message, "://"));		/* H5: and no URL */
}

static void
is_reply(const struct reply *r, const char *reason, const char *raw_id)
{
	cJSON *j = reply_json(r);
	char start[256];

	ck_assert(slice_eq(reply_field(r, "Content-Type"), "application/json"));
	snprintf(start, sizeof(start), "{\"jsonrpc\":\"2.0\",%s%s%s\"error\":{",
	    raw_id != NULL ? "\"id\":" : "", raw_id != NULL ? raw_id : "", raw_id != NULL ? "," : "");
	ck_assert_msg(strncmp(r->body.p, start, strlen(start)) == 0, "%s", r->body.p);
	is_error(j, reason, "wall");
	cJSON_Delete(j);
}

/* The id as it was sent, byte for byte (M11). */
START_TEST(request_gets_200_with_its_id)
{
	static const char *const ids[] = { "7", "0", "-1", "\"abc\"", "1.50", "1e400", "-0",
	    "123456789012345678901234567890123456789", "\"q\\\"\\u00e9\\/\xc3\xa9 \"", "\"\"", "9007199254740993" };
	struct reply r = { 0 };
	char body[256];

	for (size_t i = 0; i < nitems(ids); i++) {
		snprintf(body, sizeof(body), i % 2 == 0 ?
		    "{\"jsonrpc\":\"2.0\",\"id\":%s,\"method\":\"ping\"}" :
		    " { \"params\":{\"id\":99,\"method\":\"x\"}, \"method\" : \"tools/call\",\n\"id\" : %s ,"
		    "\"jsonrpc\":\"2.0\"}", ids[i]);
		ask_rpc(&s.ask, body, &r, 200);
		is_reply(&r, "login_required", ids[i]);
	}
	ck_assert_int_eq(wall_count(s.w, "requests"), 0);
	reply_free(&r);
}
END_TEST

START_TEST(server_discover_gets_503)
{
	struct reply r = { 0 };

	s.ask.version = "2026-07-28";
	ask_rpc(&s.ask, "{\"jsonrpc\":\"2.0\",\"id\":\"d\",\"method\":\"server/discover\",\"params\":"
	    "{\"_meta\":{\"io.modelcontextprotocol/protocolVersion\":\"2026-07-28\"}}}", &r, 503);
	is_reply(&r, "login_required", "\"d\"");
	ask_rpc(&s.ask, "{\"jsonrpc\":\"2.0\",\"id\":2,\"method\":\"initialize\",\"params\":{}}", &r, 200);
	is_reply(&r, "login_required", "2");
	reply_free(&r);
}
END_TEST

START_TEST(what_expects_no_answer_gets_503)
{
	struct reply r = { 0 };

	ask_rpc(&s.ask, "{\"jsonrpc\":\"2.0\",\"method\":\"notifications/initialized\"}", &r, 503);
	is_reply(&r, "login_required", NULL);
	ask_rpc(&s.ask, "{\"jsonrpc\":\"2.0\",\"id\":3,\"result\":{\"method\":\"x\"}}", &r, 503);
	is_reply(&r, "login_required", NULL);
	ask_rpc(&s.ask, "{\"jsonrpc\":\"2.0\",\"id\":3,\"error\":{\"code\":1,\"message\":\"\"}}", &r, 503);
	is_reply(&r, "login_required", NULL);
	ck_assert_int_eq(http(s.ask.socket, "DELETE", "/mcp", NULL, &r, 5000), 0);
	ck_assert_int_eq(r.status, 503);
	is_reply(&r, "login_required", NULL);
	ck_assert_ptr_null(reply_field(&r, "WWW-Authenticate").p);
	reply_free(&r);
}
END_TEST

START_TEST(batch_gets_an_array)
{
	static const char *const ids[] = { "\"id\":1,", "\"id\":\"b\",", "\"id\":99999999999999999999," };
	struct reply r = { 0 };
	const char *at;
	cJSON *j;

	ask_rpc(&s.ask, "[{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"ping\"},"
	    "{\"jsonrpc\":\"2.0\",\"method\":\"notifications/x\"},"
	    "{\"jsonrpc\":\"2.0\",\"id\":\"b\",\"method\":\"ping\"},"
	    "{\"jsonrpc\":\"2.0\",\"id\":5,\"result\":{}},"
	    "{\"jsonrpc\":\"2.0\",\"id\":99999999999999999999,\"method\":\"ping\"}]", &r, 200);
	j = reply_json(&r);
	ck_assert(cJSON_IsArray(j));
	ck_assert_int_eq(cJSON_GetArraySize(j), 3);
	at = r.body.p;
	for (int i = 0; i < 3; i++) {
		is_error(cJSON_GetArrayItem(j, i), "login_required", "wall");
		ck_assert_ptr_nonnull(at = strstr(at, ids[i]));
	}
	cJSON_Delete(j);
	ask_rpc(&s.ask, "[{\"jsonrpc\":\"2.0\",\"method\":\"notifications/x\"}]", &r, 503);
	is_reply(&r, "login_required", NULL);
	reply_free(&r);
}
END_TEST

/* M12: what is no JSON-RPC message has the codes of JSON-RPC itself. */
START_TEST(m12_not_json_and_not_json_rpc)
{
	static const struct { const char *body; int code; } bodies[] = {
		{ "", -32700 }, { "{", -32700 }, { "hello", -32700 }, { "{\"id\":1,}", -32700 },
		{ "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"ping\"} x", -32700 },
		{ "{}", -32600 }, { "[]", -32600 }, { "7", -32600 }, { "{\"id\":1}", -32600 },
	};
	struct reply r = { 0 };

	for (size_t i = 0; i < nitems(bodies); i++) {
		cJSON *j, *error;

		ask_rpc(&s.ask, bodies[i].body, &r, 400);
		ck_assert_ptr_nonnull(j = reply_json(&r));
		error = cJSON_GetObjectItem(j, "error");
		ck_assert_int_eq(cJSON_GetObjectItem(error, "code")->valueint, bodies[i].code);
		ck_assert(cJSON_IsNull(cJSON_GetObjectItem(j, "id")));
		cJSON_Delete(j);
	}
	reply_free(&r);
}
END_TEST

/* The stream of a client that needs a login: one priming event, and the end. */
static void
polls(const char *last_event, const char *want)
{
	struct client *c = client_open(s.ask.socket);
	struct buf b = BUF_INIT(0);
	struct reply r = { 0 };

	for (int i = 0; i < 2; i++) {			/* the connection stays */
		request_get(&b, &s.ask, last_event);
		ck_assert_int_eq(client_send(c, b.p, b.len, 5000), 0);
		hear(c, "GET", &r, 200);
		ck_assert(slice_eq(reply_field(&r, "Content-Type"), "text/event-stream"));
		ck_assert_str_eq(r.body.p, want);
		buf_reset(&b);
	}
	client_close(c);
	buf_free(&b);
	reply_free(&r);
}

START_TEST(get_gets_a_stream_that_polls)
{
	polls("session-4/9 \xc3\xa9", "id: session-4/9 \xc3\xa9\nretry: 30000\ndata: \n\n");
	polls(NULL, "retry: 30000\ndata: \n\n");
}
END_TEST

/* Only while a login or the breaker's time helps: other failures of a GET are errors. */
START_TEST(get_of_an_unreachable_upstream_gets_503)
{
	struct reply r = { 0 };

	s = scene_begin(SCENE_NO_LOGIN, NULL, NULL);
	world_upstream_at(s.w, "gone", "http://127.0.0.1:1/mcp", "\"auth\":\"none\"");
	authd_stop(s.a);
	s.a = authd_start(s.w, NULL);
	s.ask.socket = authd_socket(s.a, "gone");
	ck_assert_int_eq(http(s.ask.socket, "GET", "/mcp", NULL, &r, 5000), 0);
	ck_assert_int_eq(r.status, 503);
	ck_assert_str_eq(reply_reason(&r), "upstream_unreachable");
	ask_rpc(&s.ask, "{\"jsonrpc\":\"2.0\",\"id\":3,\"method\":\"ping\"}", &r, 200);
	ck_assert_str_eq(reply_reason(&r), "upstream_unreachable");
	ck_assert_ptr_nonnull(strstr(r.body.p, "connection refused"));
	reply_free(&r);
	end();
}
END_TEST

/* The login helps at once, on the connection that was told so. */
START_TEST(login_ends_it)
{
	static const char ping[] = "POST /mcp HTTP/1.1\r\nHost: localhost\r\nContent-Length: 40\r\n\r\n"
	    "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"ping\"}";
	struct client *c = client_open(s.ask.socket);
	struct reply r = { 0 };

	say(c, ping);
	hear(c, "POST", &r, 200);
	is_reply(&r, "login_required", "1");
	world_login(s.w, s.a, "wall", NULL);
	say(c, ping);
	hear(c, "POST", &r, 200);
	ck_assert_str_eq(r.body.p, "{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{}}");
	client_close(c);
	reply_free(&r);
}
END_TEST

/* --- F1: the times --- */

/* `response` bounds send to head; a GET, a listen, and a stream after its head it does not. */
START_TEST(f1_response)
{
	struct client *listen, *stream;
	struct reply r = { 0 };
	int64_t began;

	s = scene_begin(0, "\"timeouts\":{\"response\":1}", NULL);
	wall_fault(s.w, "{\"mcp\":{\"hold\":true},\"match\":{\"rpc\":\"subscriptions/listen\"}}");
	s.ask.version = "2026-07-28";
	listen = begin_rpc(&s.ask, "{\"jsonrpc\":\"2.0\",\"id\":5,\"method\":\"subscriptions/listen\","
	    "\"params\":{\"_meta\":{\"io.modelcontextprotocol/protocolVersion\":\"2026-07-28\"}}}");
	ck_assert(wall_wait_is(s.w, "held", 1, 5000));
	s.ask.version = NULL;
	stream = begin_tool(&s.ask, "sse", "{\"n\":8,\"delay_ms\":200}");
	ck_assert_int_eq(client_head(stream, "POST", &r, 5000), 0);
	began = now_ms();
	ck_assert_str_eq(ask_tool(&s.ask, "hang", NULL), "upstream_unreachable");
	ck_assert_int_ge(now_ms() - began, 950);
	ck_assert_int_lt(now_ms() - began, 5000);
	ck_assert(wall_wait_is(s.w, "hanging", 0, 2000));	/* and upstream is left */
	wall_do(s.w, "release", NULL);
	ck_assert_int_eq(client_head(listen, "POST", &r, 5000), 0);
	ck_assert_int_eq(r.status, 200);
	hear_event(listen, "acknowledged");
	for (int i = 0; i < 8; i++)
		hear_event(stream, "progress");
	hear_event(stream, "8 events");
	client_close(listen);
	client_close(stream);
	reply_free(&r);
	end();
}
END_TEST

/* Somebody listens and never accepts: its queue is full, so the next one is not even refused. */
static int
full_backlog(int *port)
{
	struct sockaddr_in sin = { .sin_family = AF_INET };
	socklen_t len = sizeof(sin);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), c;

	sin.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	ck_assert_int_eq(bind(fd, (struct sockaddr *)&sin, sizeof(sin)), 0);
	ck_assert_int_eq(getsockname(fd, (struct sockaddr *)&sin, &len), 0);
	ck_assert_int_eq(listen(fd, 0), 0);
	for (int i = 0; i < 4; i++) {
		c = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
		ck_assert(connect(c, (struct sockaddr *)&sin, sizeof(sin)) == 0 || errno == EINPROGRESS);
	}
	*port = ntohs(sin.sin_port);
	return fd;
}

START_TEST(f1_connect)
{
	struct reply r = { 0 };
	int64_t began;
	char url[64];
	int port, fd = full_backlog(&port);

	s = scene_begin(SCENE_NO_LOGIN, NULL, NULL);
	snprintf(url, sizeof(url), "http://127.0.0.1:%d/mcp", port);
	world_upstream_at(s.w, "full", url, "\"auth\":\"none\",\"timeouts\":{\"connect\":1}");
	authd_stop(s.a);
	s.a = authd_start(s.w, NULL);
	s.ask.socket = authd_socket(s.a, "full");
	began = now_ms();
	ask_rpc(&s.ask, "{\"jsonrpc\":\"2.0\",\"id\":3,\"method\":\"ping\"}", &r, 200);
	ck_assert_str_eq(reply_reason(&r), "upstream_unreachable");
	ck_assert_ptr_nonnull(strstr(r.body.p, "connecting took too long"));
	ck_assert_int_ge(now_ms() - began, 900);
	ck_assert_int_lt(now_ms() - began, 8000);
	close(fd);
	reply_free(&r);
	end();
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("answers");
	TCase *tc = tcase_create("login"), *own = tcase_create("own");
	SRunner *sr;
	int failed;

	tcase_set_timeout(tc, 60);
	tcase_add_checked_fixture(tc, begin, end);
	tcase_add_test(tc, request_gets_200_with_its_id);
	tcase_add_test(tc, server_discover_gets_503);
	tcase_add_test(tc, what_expects_no_answer_gets_503);
	tcase_add_test(tc, batch_gets_an_array);
	tcase_add_test(tc, m12_not_json_and_not_json_rpc);
	tcase_add_test(tc, get_gets_a_stream_that_polls);
	tcase_add_test(tc, login_ends_it);
	suite_add_tcase(suite, tc);
	tcase_set_timeout(own, 60);
	tcase_add_test(own, get_of_an_unreachable_upstream_gets_503);
	tcase_add_test(own, f1_response);
	tcase_add_test(own, f1_connect);
	suite_add_tcase(suite, own);
	sr = srunner_create(suite);
	srunner_run_all(sr, CK_NORMAL);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed != 0;
}
