/*
 * Both generations through the same path, bytes unaltered and at once (WIRE
 * L3, L4, L14, L16, M6, M7, M9, M10, M11, M13).  What is unaltered is found by
 * comparing with the same request sent to the wall itself.
 */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>

#include <check.h>
#include <stdio.h>
#include <unistd.h>

#include "scene.h"

#define META	"\"_meta\":{\"io.modelcontextprotocol/protocolVersion\":\"2026-07-28\"}"

static struct scene s;
static struct ask modern;	/* as s.ask, without a session */
static struct ask direct;	/* the wall itself */
static char authorization[256];

static void
begin(void)
{
	cJSON *tokens;

	s = scene_begin(0, NULL, NULL);
	modern = (struct ask){ .socket = s.ask.socket, .version = "2026-07-28" };
	tokens = wall_post(s.w, "issue", NULL);
	snprintf(authorization, sizeof(authorization), "Authorization: Bearer %s\r\n",
	    cJSON_GetStringValue(cJSON_GetObjectItem(tokens, "access_token")));
	cJSON_Delete(tokens);
	direct = (struct ask){ .socket = s.w->control, .fields = authorization };
}

static void
end(void)
{
	scene_end(&s);
}

/* The same to both: status, type and body are the same to the byte. */
static void
same(const struct ask *ask, const char *body, int status, const char *holds)
{
	struct ask to_wall = *ask;
	struct reply through = { 0 }, itself = { 0 };
	struct slice type;

	to_wall.socket = direct.socket;
	to_wall.fields = direct.fields;
	ask_rpc(ask, body, &through, status);
	ck_assert_int_eq(rpc(&to_wall, body, &itself, 5000), 0);
	ck_assert_int_eq(itself.status, status);
	ck_assert_uint_eq(through.body.len, itself.body.len);
	ck_assert(memcmp(through.body.p, itself.body.p, itself.body.len) == 0);
	ck_assert_msg(strstr(through.body.p, holds) != NULL, "%s", through.body.p);
	type = reply_field(&itself, "Content-Type");
	ck_assert_uint_gt(type.n, 0);
	to_wall.key = strndup(type.p, type.n);
	ck_assert(slice_eq(reply_field(&through, "Content-Type"), to_wall.key));
	free((char *)(uintptr_t)to_wall.key);
	reply_free(&through);
	reply_free(&itself);
}

/* --- requests and answers --- */

START_TEST(modern_is_post_only)
{
	struct reply r = { 0 };
	struct buf b = BUF_INIT(0);

	same(&modern, "{\"jsonrpc\":\"2.0\",\"id\":\"a\",\"method\":\"server/discover\",\"params\":{" META "}}",
	    200, "supportedVersions");
	same(&modern, "{\"jsonrpc\":\"2.0\",\"id\":1e2,\"method\":\"tools/list\",\"params\":{" META "}}",
	    200, "\"id\":1e2,");
	tool_json_modern(&b, 9, "echo", "{\"text\":\"\\u00e9 \xc3\xa9\"}");
	same(&modern, b.p, 200, "\xc3\xa9");
	buf_reset(&b);
	tool_json_modern(&b, 9, "sse", "{\"n\":20,\"ids\":true}");
	same(&modern, b.p, 200, "20 events");			/* L3 */
	ck_assert_int_eq(wall_count(s.w, "sessions.opened"), 1);	/* the bystander's */
	buf_reset(&b);
	request_get(&b, &modern, NULL);
	ck_assert_int_eq(roundtrip(modern.socket, "GET", b.p, b.len, &r, 5000), 0);
	ck_assert_int_eq(r.status, 405);			/* the server's */
	ck_assert_str_eq(r.body.p, "POST only\n");
	buf_free(&b);
	reply_free(&r);
}
END_TEST

/* M10, M13: by these clients detect the era. */
START_TEST(m10_errors_arrive_intact)
{
	static const char supported[] = "{\"jsonrpc\":\"2.0\",\"id\":1,\"error\":{\"code\":-32022,"
	    "\"message\":\"no\",\"data\":{\"supported\":[\"2026-07-28\"],\"requested\":\"x\"}}}";
	struct reply r = { 0 };
	struct buf b = BUF_INIT(0);

	same(&modern, "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"no/such\",\"params\":{" META "}}", 404,
	    "-32601");
	same(&modern, "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"initialize\",\"params\":{" META "}}", 404,
	    "-32601");
	same(&modern, "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"ping\",\"params\":{}}", 400, "-32020");
	same(&s.ask, "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"ping\",\"params\":{" META "}}", 400,
	    "-32020");
	tool_json_modern(&b, 3, "no-such-tool", NULL);
	same(&modern, b.p, 400, "-32602");
	same(&s.ask, "not json", 400, "-32700");		/* the server's own judgement */
	same(&s.ask, "{\"id\":1}", 400, "-32600");
	for (int status = 400; status <= 404; status += 4) {
		buf_reset(&b);
		buf_addf(&b, "{\"mcp\":{\"status\":%d,\"headers\":{\"Content-Type\":\"application/json\"},"
		    "\"body\":", status);
		buf_addjson(&b, supported, sizeof(supported) - 1);
		buf_adds(&b, "},\"times\":1}");
		wall_fault(s.w, b.p);
		ask_rpc(&modern, "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"ping\",\"params\":{" META "}}",
		    &r, status);
		ck_assert_str_eq(r.body.p, supported);
	}
	buf_free(&b);
	reply_free(&r);
}
END_TEST

/* One accepted connection's request head, as an MCP server sees it. */
static void
head_at(int fd, char *head, size_t size)
{
	static const char accepted[] = "HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\n"
	    "Connection: close\r\n\r\n";
	struct pollfd p = { .fd = fd, .events = POLLIN };
	size_t at = 0;
	ssize_t n;
	int c;

	ck_assert_int_eq(poll(&p, 1, 5000), 1);
	ck_assert_int_ge(c = accept(fd, NULL, NULL), 0);
	head[0] = '\0';
	while (strstr(head, "\"ping\"") == NULL) {
		p.fd = c;
		ck_assert_int_eq(poll(&p, 1, 5000), 1);
		ck_assert_int_gt(n = recv(c, head + at, size - 1 - at, 0), 0);
		head[at += n] = '\0';
	}
	ck_assert_int_gt(send(c, accepted, sizeof(accepted) - 1, MSG_NOSIGNAL), 0);
	close(c);
}

/* M6, M11, L5, L6: MCP's headers go up as they are, known and unknown. */
START_TEST(m6_headers_go_up_untouched)
{
	static const char *const fields[] = { "Mcp-Method: ping\r\n", "Mcp-Name: =?base64?w6k=?=\r\n",
	    "Mcp-Param-Region: eu west\r\n", "mcp-param-X: 1\r\n", "mcp-param-X: 2\r\n",
	    "MCP-Protocol-Version: 2026-07-28\r\n", "Mcp-Session-Id: ~!x\r\n", "Mcp-Unheard-Of: \xc3\xa9\r\n",
	    "Last-Event-ID: 7\r\n", "Accept: application/json, text/event-stream\r\n",
	    "traceparent: 00-ab-cd-01\r\n", "User-Agent: me/1\r\n" };
	struct sockaddr_in sin = { .sin_family = AF_INET };
	socklen_t len = sizeof(sin);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct client *c;
	struct reply r = { 0 };
	struct buf b = BUF_INIT(0);
	char url[64], head[8192];

	sin.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	ck_assert_int_eq(bind(fd, (struct sockaddr *)&sin, sizeof(sin)), 0);
	ck_assert_int_eq(getsockname(fd, (struct sockaddr *)&sin, &len), 0);
	ck_assert_int_eq(listen(fd, 8), 0);
	snprintf(url, sizeof(url), "http://127.0.0.1:%d/a/b?c=d", ntohs(sin.sin_port));
	s = scene_begin(SCENE_NO_LOGIN, NULL, NULL);
	world_upstream_at(s.w, "peer", url, "\"auth\":\"none\"");
	authd_stop(s.a);
	s.a = authd_start(s.w, NULL);
	c = client_open(authd_socket(s.a, "peer"));
	buf_adds(&b, "POST /other HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer mine\r\n");
	for (size_t i = 0; i < nitems(fields); i++)
		buf_adds(&b, fields[i]);
	buf_adds(&b, "Content-Length: 42\r\n\r\n{\"jsonrpc\": \"2.0\",\"id\":1, \"method\":\"ping\"}");
	ck_assert_int_eq(client_send(c, b.p, b.len, 5000), 0);
	head_at(fd, head, sizeof(head));
	hear(c, "POST", &r, 202);
	ck_assert_msg(strncmp(head, "POST /a/b?c=d HTTP/1.1\r\n", 24) == 0, "%s", head);
	for (size_t i = 0; i < nitems(fields); i++)
		ck_assert_msg(strstr(head, fields[i]) != NULL, "%s in %s", fields[i], head);
	ck_assert_ptr_null(strcasestr(head, "Authorization"));
	ck_assert_ptr_nonnull(strstr(head, "\r\n\r\n{\"jsonrpc\": \"2.0\",\"id\":1, \"method\":\"ping\"}"));
	client_close(c);
	close(fd);
	buf_free(&b);
	reply_free(&r);
	end();
}
END_TEST

/* --- streams --- */

/* Payload until it holds `last`. */
static void
read_until(struct client *c, struct reply *r, const char *last)
{
	int64_t until = now_ms() + 10000;

	while (r->body.len == 0 || memmem(r->body.p, r->body.len, last, strlen(last)) == NULL) {
		ck_assert_int_eq(client_body(c, r, 10000), 1);
		ck_assert_int_lt(now_ms(), until);
	}
}

static struct client *
begin_stream(const struct ask *ask, const char *body, const char *last_event, struct reply *r)
{
	struct client *c = client_open(ask->socket);
	struct buf b = BUF_INIT(0);

	if (body != NULL)
		request_post(&b, ask, body);
	else
		request_get(&b, ask, last_event);
	ck_assert_int_eq(client_send(c, b.p, b.len, 5000), 0);
	ck_assert_int_eq(client_head(c, body != NULL ? "POST" : "GET", r, 10000), 0);
	ck_assert_int_eq(r->status, 200);
	ck_assert(slice_eq(reply_field(r, "Content-Type"), "text/event-stream"));
	buf_free(&b);
	return c;
}

/* Each event is there before the next one is made: at once (L16, M9), and nothing else is. */
static void
events_both_ways(struct client *c, struct client *d, struct reply *through, struct reply *itself)
{
	static const char *const events[] = { "one", "zwei \xc3\xa9\xe2\x82\xac", "{}", "4\\n5" };
	char json[128];

	for (size_t i = 0; i < nitems(events); i++) {
		snprintf(json, sizeof(json), "{\"text\":\"%s\",\"bytes\":%d}", events[i],
		    i == 2 ? 200000 : 0);
		wall_do(s.w, "emit", json);
		read_until(c, through, i == 2 ? "xxx\"}}\n\n" : events[i]);
		read_until(d, itself, i == 2 ? "xxx\"}}\n\n" : events[i]);
	}
	wall_do(s.w, "emit", "{\"text\":\"the last\"}");
	read_until(c, through, "the last\"}}\n\n");
	read_until(d, itself, "the last\"}}\n\n");
	ck_assert_uint_eq(through->body.len, itself->body.len);
	ck_assert(memcmp(through->body.p, itself->body.p, itself->body.len) == 0);
}

START_TEST(m9_listen)
{
	static const char body[] = "{\"jsonrpc\":\"2.0\",\"id\":\"sub-1\",\"method\":\"subscriptions/listen\","
	    "\"params\":{" META ",\"notifications\":{\"toolsListChanged\":true}}}";
	struct reply through = { 0 }, itself = { 0 };
	struct client *c, *d;

	direct.version = modern.version;
	c = begin_stream(&modern, body, NULL, &through);
	d = begin_stream(&direct, body, NULL, &itself);
	events_both_ways(c, d, &through, &itself);
	ck_assert_ptr_nonnull(strstr(through.body.p, "\"sub-1\""));
	ck_assert_int_eq(wall_count(s.w, "listens.open"), 2);
	client_close(c);					/* M7: the cancel */
	ck_assert(wall_wait_is(s.w, "listens.left", 1, 2000));
	ck_assert_int_eq(wall_count(s.w, "listens.open"), 1);
	ck_assert_int_eq(wall_count(s.w, "notifications.notifications/cancelled"), 0);
	client_close(d);
	reply_free(&through);
	reply_free(&itself);
}
END_TEST

/* L16: the GET stream of the legacy revisions, priming event and retry: in it, and resumed. */
START_TEST(l16_get_stream)
{
	struct reply through = { 0 }, itself = { 0 };
	struct client *c, *d;

	wall_do(s.w, "set", "{\"retry_ms\":1500}");
	wall_do(s.w, "emit", "{\"text\":\"missed\"}");
	hear_event(s.bystander, "missed");
	direct.session = s.session;
	c = begin_stream(&s.ask, NULL, "0", &through);
	d = begin_stream(&direct, NULL, "0", &itself);
	events_both_ways(c, d, &through, &itself);
	ck_assert(strncmp(through.body.p, "retry: 1500\nid: 0\ndata:\n\n", 25) == 0);
	ck_assert_ptr_nonnull(strstr(through.body.p, "missed"));
	wall_do(s.w, "drop", "{\"how\":\"end\"}");		/* the server ends it: so does the daemon, properly */
	ck_assert_int_eq(client_body(c, &through, 5000), 0);
	ck_assert(through.complete);
	client_close(s.bystander);
	s.bystander = NULL;
	client_close(c);
	client_close(d);
	reply_free(&through);
	reply_free(&itself);
}
END_TEST

/* F4: a stream that breaks breaks here as well; it is not made to look like an end. */
START_TEST(f4_cut_stream)
{
	static const char *const how[] = { "cut", "reset" };
	struct reply r = { 0 };

	for (size_t i = 0; i < nitems(how); i++) {
		struct client *c = begin_stream(&s.ask, NULL, NULL, &r);
		char json[32];

		read_until(c, &r, "data:\n\n");
		snprintf(json, sizeof(json), "{\"how\":\"%s\"}", how[i]);
		wall_do(s.w, "drop", json);
		ck_assert_int_eq(client_body(c, &r, 5000), -ECONNRESET);
		client_close(c);
		client_close(s.bystander);
		s.bystander = stream_open(&s.ask, NULL);
	}
	reply_free(&r);
}
END_TEST

/* Whatever a server may write into a stream: comments, all line ends, a BOM, NUL, what is no UTF-8, half a line. */
START_TEST(l16_any_bytes)
{
	static const char bytes[] = "\xef\xbb\xbf: comment\n\n:\r\n\r\ndata: a\r\rid\nid: 1\ndata\n\n\n\n"
	    "retry: 5\nevent: \xff\xfe\ndata:  two blanks \t\n\nid: a\0b\ndata: x\n\ndata: half a l";
	struct buf hex = BUF_INIT(0);
	struct reply r = { 0 };
	struct client *c;

	buf_adds(&hex, "{\"mcp\":{\"raw_hex\":\"");
	for (const char *p = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n"; *p != '\0'; p++)
		buf_addf(&hex, "%02x", (unsigned char)*p);
	for (size_t i = 0; i < sizeof(bytes) - 1; i++)
		buf_addf(&hex, "%02x", (unsigned char)bytes[i]);
	buf_adds(&hex, "\",\"keep\":true},\"times\":1}");
	wall_fault(s.w, hex.p);
	c = begin_stream(&s.ask, NULL, NULL, &r);
	while (r.body.len < sizeof(bytes) - 1)			/* all of it, though the stream is open */
		ck_assert_int_eq(client_body(c, &r, 5000), 1);
	ck_assert_uint_eq(r.body.len, sizeof(bytes) - 1);
	ck_assert(memcmp(r.body.p, bytes, sizeof(bytes) - 1) == 0);
	client_close(c);
	buf_free(&hex);
	reply_free(&r);
}
END_TEST

/* --- requests of the server --- */

/* L14, on the GET stream: the answer is a POST of its own. */
START_TEST(l14_server_request_on_the_get_stream)
{
	struct reply r = { 0 };
	cJSON *asked = wall_post(s.w, "ask", NULL);
	char body[128], count[64];
	const char *id = cJSON_GetStringValue(cJSON_GetObjectItem(asked, "id"));

	snprintf(body, sizeof(body), "\"id\":\"%s\",\"method\":\"sampling/createMessage\"", id);
	hear_event(s.bystander, body);
	snprintf(body, sizeof(body), "{\"jsonrpc\":\"2.0\",\"id\":\"%s\",\"result\":{}}", id);
	ask_rpc(&s.ask, body, &r, 202);
	ck_assert_uint_eq(r.body.len, 0);			/* L4 */
	snprintf(count, sizeof(count), "responses.%s", id);
	ck_assert_int_eq(wall_count(s.w, count), 1);
	cJSON_Delete(asked);
	reply_free(&r);
}
END_TEST

/* L14, on the stream of a POST that waits for it. */
START_TEST(l14_server_request_within_a_call)
{
	struct client *c = begin_tool(&s.ask, "ask", NULL);
	struct buf event = BUF_INIT(0);
	struct reply r = { 0 }, answer = { 0 };
	char body[128];
	cJSON *j;

	ck_assert_int_eq(client_head(c, "POST", &r, 5000), 0);
	ck_assert_int_eq(client_event(c, &event, 5000), 1);
	ck_assert_ptr_nonnull(j = cJSON_Parse(strstr(event.p, "data: ") + 6));
	snprintf(body, sizeof(body), "{\"jsonrpc\":\"2.0\",\"id\":\"%s\",\"result\":{}}",
	    cJSON_GetStringValue(cJSON_GetObjectItem(j, "id")));
	ask_rpc(&s.ask, body, &answer, 202);
	hear_event(c, "answered");
	ck_assert_int_eq(client_event(c, &event, 5000), 0);
	client_close(c);
	cJSON_Delete(j);
	buf_free(&event);
	reply_free(&r);
	reply_free(&answer);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("modern");
	TCase *tc = tcase_create("usual"), *own = tcase_create("own");
	SRunner *sr;
	int failed;

	tcase_set_timeout(tc, 60);
	tcase_add_checked_fixture(tc, begin, end);
	tcase_add_test(tc, modern_is_post_only);
	tcase_add_test(tc, m10_errors_arrive_intact);
	tcase_add_test(tc, m9_listen);
	tcase_add_test(tc, l16_get_stream);
	tcase_add_test(tc, f4_cut_stream);
	tcase_add_test(tc, l16_any_bytes);
	tcase_add_test(tc, l14_server_request_on_the_get_stream);
	tcase_add_test(tc, l14_server_request_within_a_call);
	suite_add_tcase(suite, tc);
	tcase_set_timeout(own, 60);
	tcase_add_test(own, m6_headers_go_up_untouched);
	suite_add_tcase(suite, own);
	sr = srunner_create(suite);
	srunner_run_all(sr, CK_NORMAL);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed != 0;
}
