/*
 * The local side of the running daemon: connections, framing, methods, the
 * shared socket, who may speak (WIRE L15), and how clients leave (contract F4,
 * WIRE L13, M7).
 */
#include <check.h>
#include <stdio.h>

#include <openssl/evp.h>

#include "scene.h"

static struct scene s;

static void
begin(void)
{
	s = scene_begin(0, NULL, NULL);
}

static void
end(void)
{
	scene_end(&s);
}

/* --- one connection --- */

static void
send_buf(struct client *c, struct buf *b)
{
	ck_assert_int_eq(client_send(c, b->p, b->len, 10000), 0);
	buf_reset(b);
}

/* L4, L7, G3: every kind of request on one connection that is kept. */
START_TEST(post_get_delete_on_one_connection)
{
	struct client *c = client_open(s.ask.socket);
	struct buf b = BUF_INIT(0);
	struct reply r = { 0 };

	for (int i = 0; i < 3; i++) {
		request_post(&b, &s.ask, "{\"jsonrpc\":\"2.0\",\"id\":\"p\",\"method\":\"ping\"}");
		send_buf(c, &b);
		hear(c, "POST", &r, 200);
		ck_assert_str_eq(r.body.p, "{\"jsonrpc\":\"2.0\",\"id\":\"p\",\"result\":{}}");
	}
	request_post(&b, &s.ask, "{\"jsonrpc\":\"2.0\",\"method\":\"notifications/x\"}");
	send_buf(c, &b);
	hear(c, "POST", &r, 202);
	ck_assert_uint_eq(r.body.len, 0);
	ck_assert_int_eq(wall_count(s.w, "notifications.notifications/x"), 1);
	wall_do(s.w, "lose-sessions", NULL);		/* ends the stream of the bystander, too */
	client_close(s.bystander);
	s.bystander = NULL;
	request_get(&b, &s.ask, NULL);
	send_buf(c, &b);
	hear(c, "GET", &r, 404);			/* the server's own, untouched */
	ck_assert_ptr_nonnull(strstr(r.body.p, "Session not found"));
	free(s.session);
	s.ask.session = s.session = session_open(&s.ask);
	request_delete(&b, &s.ask);
	send_buf(c, &b);
	hear(c, "DELETE", &r, 204);
	ck_assert_int_eq(wall_count(s.w, "sessions.deleted"), 1);
	client_close(c);
	buf_free(&b);
	reply_free(&r);
}
END_TEST

START_TEST(http_1_0_and_connection_close)
{
	struct client *c = client_open(s.ask.socket);
	struct reply r = { 0 };

	say(c, "POST /mcp HTTP/1.0\r\nContent-Length: 40\r\nAccept: application/json\r\n\r\n"
	    "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"ping\"}");
	hear(c, "POST", &r, 200);
	ck_assert(client_ended(c, 5000));
	client_close(c);
	c = client_open(s.ask.socket);
	say(c, "POST /mcp HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: 40\r\n\r\n"
	    "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"ping\"}");
	hear(c, "POST", &r, 200);
	ck_assert(slice_ieq(reply_field(&r, "Connection"), "close"));
	ck_assert(client_ended(c, 5000));
	client_close(c);
	reply_free(&r);
}
END_TEST

/* 512 in one go, fixed and chunked bodies in turn: answered in order, each once. */
START_TEST(pipelined_512)
{
	enum { N = 512 };
	struct client *c = client_open(s.ask.socket);
	struct buf all = BUF_INIT(MIB);
	struct reply r = { 0 };
	char json[64], id[32];

	for (int i = 0; i < N; i++) {
		int n = snprintf(json, sizeof(json),
		    "{\"jsonrpc\":\"2.0\",\"id\":%d,\"method\":\"ping\"}", i);

		buf_adds(&all, "POST /mcp HTTP/1.1\r\nHost: localhost\r\n");
		if (i % 2 == 0)
			buf_addf(&all, "Content-Length: %d\r\n\r\n%s", n, json);
		else
			buf_addf(&all, "Transfer-Encoding: chunked\r\n\r\n7\r\n%.7s\r\n%x;a=b\r\n%s\r\n"
			    "0\r\nX-Trailer: dropped\r\n\r\n", json, n - 7, json + 7);
	}
	send_buf(c, &all);
	for (int i = 0; i < N; i++) {
		hear(c, "POST", &r, 200);
		snprintf(id, sizeof(id), "\"id\":%d,", i);
		ck_assert_ptr_nonnull(strstr(r.body.p, id));
	}
	ck_assert_int_eq(wall_count(s.w, "methods.POST"), N + 2);	/* and the two of the session */
	client_close(c);
	buf_free(&all);
	reply_free(&r);
}
END_TEST

/* --- bodies --- */

static void
digest_of(const char *p, size_t n, char *out)
{
	unsigned char md[EVP_MAX_MD_SIZE];
	unsigned len = 0;
	int at = sprintf(out, "%zu ", n);

	EVP_Digest(p, n, md, &len, EVP_sha256(), NULL);
	for (unsigned i = 0; i < len; i++)
		at += sprintf(out + at, "%02x", md[i]);
}

/* A call of `digest` with n bytes, and what it must say. */
static void
digest_call(struct buf *json, size_t n, char *out)
{
	size_t from;

	json->max = n + 1024;
	buf_adds(json, "{\"jsonrpc\":\"2.0\",\"id\":7,\"method\":\"tools/call\",\"params\":"
	    "{\"name\":\"digest\",\"arguments\":{\"data\":\"");
	from = json->len;
	buf_reserve(json, n);
	for (size_t i = 0; i < n; i++)
		json->p[from + i] = "abcdefghijklmnopqrstuvwxyz0123456789"[(i * i + i / 7) % 36];
	json->len += n;
	digest_of(json->p + from, n, out);
	buf_adds(json, "\"}}}");
}

static void
send_chunked(struct client *c, const struct buf *body)
{
	static const size_t sizes[] = { 1, 17, 4096, 65536, 3, 200000 };
	char line[32];
	size_t at = 0, n;

	for (size_t i = 0; at < body->len; i++, at += n) {
		n = MIN(sizes[i % nitems(sizes)], body->len - at);
		snprintf(line, sizeof(line), "%zX\r\n", n);
		say(c, line);
		ck_assert_int_eq(client_send(c, body->p + at, n, 10000), 0);
		say(c, "\r\n");
	}
	say(c, "0\r\n\r\n");
}

/* Held, beyond what is held (4 MiB), and everything twice on one connection. */
START_TEST(bodies_arrive_unaltered)
{
	static const size_t sizes[] = { 1, 1000, 300 * KIB, 5 * MIB };
	struct client *c = client_open(s.ask.socket);
	struct buf body = BUF_INIT(0);
	struct reply r = { 0 };
	char want[128], head[128];

	for (size_t i = 0; i < 2 * nitems(sizes); i++) {
		buf_reset(&body);
		digest_call(&body, sizes[i / 2], want);
		snprintf(head, sizeof(head), i % 2 == 0 ? "POST /mcp HTTP/1.1\r\nHost: localhost\r\n"
		    "Content-Length: %zu\r\n\r\n" : "POST /mcp HTTP/1.1\r\nHost: localhost\r\n"
		    "Transfer-Encoding: chunked\r\n\r\n", body.len);
		say(c, head);
		if (i % 2 == 0)
			ck_assert_int_eq(client_send(c, body.p, body.len, 10000), 0);
		else
			send_chunked(c, &body);
		hear(c, "POST", &r, 200);
		ck_assert_msg(strstr(r.body.p, want) != NULL, "%s: %s", want, r.body.p);
	}
	client_close(c);
	buf_free(&body);
	reply_free(&r);
}
END_TEST

START_TEST(expect_100_continue)
{
	static const char body[] = "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"ping\"}";
	struct client *c = client_open(s.ask.socket);
	char head[256], got[64];
	struct reply r = { 0 };

	for (int i = 0; i < 2; i++) {
		snprintf(head, sizeof(head), "POST /mcp HTTP/1.1\r\nHost: localhost\r\n"
		    "Expect: 100-continue\r\nContent-Length: %zu\r\n\r\n", sizeof(body) - 1);
		say(c, head);
		ck_assert_int_eq(client_read(c, got, sizeof(got), 5000), 25);
		ck_assert(memcmp(got, "HTTP/1.1 100 Continue\r\n\r\n", 25) == 0);
		say(c, body);
		hear(c, "POST", &r, 200);
	}
	client_close(c);
	reply_free(&r);
}
END_TEST

/* --- where requests may go --- */

/* Answered properly, and the connection is of use afterwards. */
START_TEST(other_methods_get_405)
{
	static const char *const methods[] = { "HEAD", "OPTIONS", "PUT", "PATCH", "TRACE", "post",
	    "PROPFIND" };
	struct client *c = client_open(s.ask.socket);
	int64_t requests = wall_count(s.w, "requests");
	struct reply r = { 0 };
	char text[256];

	for (size_t i = 0; i < nitems(methods); i++) {
		snprintf(text, sizeof(text), "%s /mcp HTTP/1.1\r\nHost: localhost\r\n%s", methods[i],
		    i == 2 ? "Content-Length: 5\r\n\r\nhello" : "\r\n");
		say(c, text);
		hear(c, methods[i], &r, 405);
		ck_assert(slice_eq(reply_field(&r, "Allow"), "GET, POST, DELETE"));
		if (i == 0)
			ck_assert_uint_eq(r.body.len, 0);
		else
			is_refusal(&r, "method_not_allowed");
	}
	ck_assert_int_eq(wall_count(s.w, "requests"), requests);
	say(c, "POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 40\r\n\r\n"
	    "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"ping\"}");
	hear(c, "POST", &r, 200);
	client_close(c);
	reply_free(&r);
}
END_TEST

/* The first path segment of the shared socket is the name; an upstream's own socket takes any path. */
START_TEST(shared_socket)
{
	static const struct { const char *target; int status; } targets[] = {
		{ "/wall", 200 }, { "/wall/", 200 }, { "/wall/mcp", 200 }, { "/wall?x=y", 200 },
		{ "http://localhost/wall/mcp", 200 }, { "http://wall/wall", 200 },
		{ "/", 404 }, { "/wal", 404 }, { "/walls/mcp", 404 }, { "/WALL", 404 },
		{ "//wall", 404 }, { "/mcp/wall", 404 }, { "/../wall", 404 }, { "/%77all", 404 },
		{ "*", 404 }, { "http://localhost", 404 },
	};
	struct client *c = client_open(s.a->shared);
	struct reply r = { 0 };
	char text[256];

	for (size_t i = 0; i < nitems(targets); i++) {
		snprintf(text, sizeof(text), "POST %s HTTP/1.1\r\nHost: localhost\r\n"
		    "Content-Length: 40\r\n\r\n{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"ping\"}",
		    targets[i].target);
		say(c, text);
		hear(c, "POST", &r, targets[i].status);
		if (targets[i].status == 404)
			is_refusal(&r, "unknown_upstream");
	}
	client_close(c);
	ck_assert_int_eq(http(s.ask.socket, "POST", "/any/path?at=all",
	    "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"ping\"}", &r, 5000), 0);
	ck_assert_int_eq(r.status, 200);
	reply_free(&r);
}
END_TEST

static const struct { const char *fields; int status; } origins[] = {
	{ "Host: localhost\r\n", 200 },
	{ "Host: LOCALHOST:8080\r\n", 200 },
	{ "Host: 127.0.0.1:1\r\n", 200 },
	{ "Host: 127.8.9.1\r\n", 200 },
	{ "Host: [::1]:80\r\n", 200 },
	{ "Host: mcp-authd\r\n", 200 },			/* dotless */
	{ "Host:\r\n", 200 },
	{ "Host: mcp.example.org\r\n", 200 },		/* configured */
	{ "Host: MCP.example.org:99\r\n", 200 },
	{ "Host: evil.example\r\n", 403 },
	{ "Host: example.org\r\n", 403 },
	{ "Host: a.mcp.example.org\r\n", 403 },
	{ "Host: mcp.example.org.evil.example\r\n", 403 },
	{ "Host: localhost.evil.example\r\n", 403 },
	{ "Host: 127.0.0.1.evil.example\r\n", 403 },
	{ "Host: 10.0.0.1\r\n", 403 },
	{ "Host: 128.0.0.1\r\n", 403 },
	{ "Host: [2001:db8::1]\r\n", 403 },
	{ "Host: localhost\r\nOrigin: http://localhost:3000\r\n", 200 },
	{ "Host: localhost\r\nOrigin: https://127.0.0.1\r\n", 200 },
	{ "Host: localhost\r\nOrigin: http://[::1]:5173\r\n", 200 },
	{ "Host: localhost\r\nOrigin: https://evil.example\r\n", 403 },
	{ "Host: localhost\r\nOrigin: null\r\n", 403 },
	{ "Host: localhost\r\nOrigin: https://mcp.example.org\r\n", 403 },
	{ "Host: localhost\r\nOrigin: http://localhost\r\nOrigin: http://evil.example\r\n", 403 },
	{ "Host: localhost\r\nOrigin: http://localhost.evil.example\r\n", 403 },
	{ "Host: localhost\r\nOrigin: file:///tmp/x.html\r\n", 403 },
	{ "Host: localhost\r\nOrigin: localhost\r\n", 403 },
	{ "Host: localhost\r\nOrigin: http://intranet\r\n", 403 },
};

/* L15, on both kinds of socket. */
START_TEST(l15_host_and_origin)
{
	struct client *own, *shared;
	struct reply r = { 0 };
	char text[512];

	s = scene_begin(0, NULL, "\"socket\":{\"hosts\":[\"mcp.example.org\"]}");
	own = client_open(s.ask.socket);
	shared = client_open(s.a->shared);
	for (size_t i = 0; i < 2 * nitems(origins); i++) {
		snprintf(text, sizeof(text), "POST /wall HTTP/1.1\r\n%sContent-Length: 40\r\n\r\n"
		    "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"ping\"}", origins[i / 2].fields);
		say(i % 2 == 0 ? own : shared, text);
		ck_assert_int_eq(client_reply(i % 2 == 0 ? own : shared, "POST", &r, 5000), 0);
		ck_assert_msg(r.status == origins[i / 2].status, "%d: %s", r.status,
		    origins[i / 2].fields);
		if (r.status == 403)
			is_refusal(&r, strstr(origins[i / 2].fields, "Origin") != NULL ? "origin" :
			    "host");
	}
	client_close(own);
	client_close(shared);
	reply_free(&r);
	end();
}
END_TEST

/* The upstream's own authority is a Host as well; of another upstream it is not. */
START_TEST(l15_host_of_the_upstream)
{
	struct reply r = { 0 };

	s = scene_begin(SCENE_NO_LOGIN, NULL, NULL);
	world_upstream_at(s.w, "other", "https://mcp.other.example/mcp", NULL);
	authd_stop(s.a);
	s.a = authd_start(s.w, NULL);
	for (int i = 0; i < 2; i++) {
		struct client *c = client_open(authd_socket(s.a, i == 0 ? "other" : "wall"));

		say(c, "DELETE /mcp HTTP/1.1\r\nHost: mcp.other.example\r\n\r\n");
		hear(c, "DELETE", &r, i == 0 ? 503 : 403);	/* 503: no login */
		client_close(c);
	}
	reply_free(&r);
	end();
}
END_TEST

/* The first byte decides: lines of JSON on the same socket. */
START_TEST(lines_of_json)
{
	static const char *const before[] = { "", " ", "\n\r\n", "\t" };
	char text[128], got[1024];
	ssize_t n;

	for (size_t i = 0; i < nitems(before); i++) {
		struct client *c = client_open(s.ask.socket);

		snprintf(text, sizeof(text), "%s{\"jsonrpc\":\"2.0\",\"id\":7,\"method\":\"ping\"}\n", before[i]);
		say(c, text);
		n = client_read(c, got, sizeof(got) - 1, 5000);
		ck_assert_int_gt(n, 0);
		got[n] = '\0';
		ck_assert_str_eq(got, "{\"jsonrpc\":\"2.0\",\"id\":7,\"result\":{}}\n");
		client_close(c);
	}
}
END_TEST

/* --- how clients leave --- */

/* F4: reading 0 alone is a half-close. */
START_TEST(f4_half_close_pending)
{
	struct client *c = begin_tool(&s.ask, "hang", NULL);
	struct reply r = { 0 };

	ck_assert(wall_wait(s.w, "hanging", 1, 5000));
	client_shutdown(c);
	ck_assert_str_eq(ask_tool(&s.ask, "echo", NULL), "");	/* the daemon has seen it by now */
	ck_assert_int_eq(wall_count(s.w, "connections.abandoned"), 0);
	wall_do(s.w, "release", NULL);
	hear(c, "POST", &r, 200);
	ck_assert_ptr_nonnull(strstr(r.body.p, "released"));
	ck_assert(client_ended(c, 5000));
	client_close(c);
	reply_free(&r);
}
END_TEST

/* `printf ... | nc -NU`: everything that was asked is answered, then the end. */
START_TEST(f4_half_close_behind_a_pipeline)
{
	struct client *c = client_open(s.ask.socket);
	struct buf b = BUF_INIT(0);
	struct reply r = { 0 };

	for (int i = 0; i < 20; i++)
		request_post(&b, &s.ask, "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"ping\"}");
	send_buf(c, &b);
	client_shutdown(c);
	for (int i = 0; i < 20; i++)
		hear(c, "POST", &r, 200);
	ck_assert(client_ended(c, 5000));
	client_close(c);
	buf_free(&b);
	reply_free(&r);
}
END_TEST

START_TEST(f4_half_close_streaming)
{
	struct client *c = begin_tool(&s.ask, "sse", "{\"n\":5,\"delay_ms\":50}");
	struct client *g = stream_open(&s.ask, NULL);
	struct reply r = { 0 };

	client_shutdown(c);
	client_shutdown(g);
	hear(c, "POST", &r, 200);
	ck_assert_ptr_nonnull(strstr(r.body.p, "5 events"));
	ck_assert(client_ended(c, 5000));
	hear_event(g, "id: 0");
	wall_do(s.w, "emit", "{\"text\":\"later\"}");
	hear_event(g, "later");
	ck_assert_int_eq(wall_count(s.w, "streams.left"), 0);
	client_close(c);
	client_close(g);					/* and now it has left */
	ck_assert(wall_wait_is(s.w, "streams.left", 1, 2000));
	reply_free(&r);
}
END_TEST

/* M7: closing is the cancel.  Also behind a half-close, and with the answer unread. */
START_TEST(m7_hang_up_pending)
{
	for (int i = 0; i < 3; i++) {
		struct client *c = begin_tool(&s.ask, "hang", NULL);

		ck_assert(wall_wait_is(s.w, "hanging", 1, 5000));
		if (i == 1)
			client_shutdown(c);
		if (i == 2)
			say(c, "POST /mcp HTTP/1.1\r\nHost: localhost\r\n");	/* half a request behind it */
		client_close(c);
		ck_assert(wall_wait_is(s.w, "hanging", 0, 2000));
		ck_assert_int_eq(wall_count(s.w, "connections.abandoned"), i + 1);
	}
}
END_TEST

START_TEST(m7_hang_up_streaming)
{
	struct client *c = begin_tool(&s.ask, "sse", "{\"n\":100000,\"delay_ms\":20}");
	struct client *g = stream_open(&s.ask, NULL), *slow;
	struct reply r = { 0 };

	ck_assert_int_eq(client_head(c, "POST", &r, 5000), 0);
	client_close(c);
	ck_assert(wall_wait_is(s.w, "connections.abandoned", 1, 2000));
	hear_event(g, "id: 0");
	client_close(g);
	ck_assert(wall_wait_is(s.w, "streams.left", 1, 2000));
	/* One that reads nothing: nothing more can be written to it, yet its leaving is seen. */
	slow = begin_tool(&s.ask, "big", "{\"bytes\":50000000}");
	ck_assert_int_eq(client_head(slow, "POST", &r, 5000), 0);
	client_close(slow);
	ck_assert(wall_wait_is(s.w, "connections.abandoned", 2, 2000));
	reply_free(&r);
}
END_TEST

/* A request whose client left while it waited for its turn is not sent at all. */
START_TEST(m7_hang_up_before_it_was_sent)
{
	struct client *holds, *waits;

	s = scene_begin(0, NULL, "\"limits\":{\"links\":1}");
	holds = begin_tool(&s.ask, "hang", NULL);
	ck_assert(wall_wait_is(s.w, "hanging", 1, 5000));
	s.ask.key = "never";
	waits = begin_tool(&s.ask, "count", NULL);
	ck_assert(wait_queued(&s, 1, 5000));
	client_close(waits);
	ck_assert(wait_queued(&s, 0, 2000));
	wall_do(s.w, "release", NULL);
	s.ask.key = NULL;
	ck_assert_str_eq(ask_tool(&s.ask, "echo", NULL), "");
	ck_assert_int_eq(wall_count(s.w, "sends.never"), 0);
	client_close(holds);
	end();
}
END_TEST

/* L13 is the other half: a hang-up ends what the connection had, and nothing else of the session. */
START_TEST(l13_others_of_the_session_go_on)
{
	struct client *stays = begin_tool(&s.ask, "hang", NULL), *leaves;
	struct reply r = { 0 };

	ck_assert(wall_wait_is(s.w, "hanging", 1, 5000));
	leaves = begin_tool(&s.ask, "hang", NULL);
	ck_assert(wall_wait_is(s.w, "hanging", 2, 5000));
	client_close(leaves);
	ck_assert(wall_wait_is(s.w, "hanging", 1, 2000));
	wall_do(s.w, "release", NULL);
	hear(stays, "POST", &r, 200);
	ck_assert_int_eq(wall_count(s.w, "notifications.notifications/cancelled"), 0);
	client_close(stays);
	reply_free(&r);
}
END_TEST

/* A1: what a client says of itself stays here. */
START_TEST(a1_credentials_of_clients_are_dropped)
{
	struct reply r = { 0 };

	s.ask.fields = "Authorization: Bearer mine\r\nCookie: a=b\r\nProxy-Authorization: Basic eA==\r\n"
	    "Connection: keep-alive, X-Hop\r\nX-Hop: 1\r\nTE: trailers\r\nUpgrade: h2c\r\n";
	ask_rpc(&s.ask, "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"ping\"}", &r, 200);
	s.ask.fields = NULL;
	reply_free(&r);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("front");
	TCase *tc = tcase_create("usual"), *own = tcase_create("own");
	SRunner *sr;
	int failed;

	tcase_set_timeout(tc, 90);
	tcase_add_checked_fixture(tc, begin, end);
	tcase_add_test(tc, post_get_delete_on_one_connection);
	tcase_add_test(tc, http_1_0_and_connection_close);
	tcase_add_test(tc, pipelined_512);
	tcase_add_test(tc, bodies_arrive_unaltered);
	tcase_add_test(tc, expect_100_continue);
	tcase_add_test(tc, other_methods_get_405);
	tcase_add_test(tc, shared_socket);
	tcase_add_test(tc, lines_of_json);
	tcase_add_test(tc, f4_half_close_pending);
	tcase_add_test(tc, f4_half_close_behind_a_pipeline);
	tcase_add_test(tc, f4_half_close_streaming);
	tcase_add_test(tc, m7_hang_up_pending);
	tcase_add_test(tc, m7_hang_up_streaming);
	tcase_add_test(tc, l13_others_of_the_session_go_on);
	tcase_add_test(tc, a1_credentials_of_clients_are_dropped);
	suite_add_tcase(suite, tc);
	tcase_set_timeout(own, 90);
	tcase_add_test(own, l15_host_and_origin);
	tcase_add_test(own, l15_host_of_the_upstream);
	tcase_add_test(own, m7_hang_up_before_it_was_sent);
	suite_add_tcase(suite, own);
	sr = srunner_create(suite);
	srunner_run_all(sr, CK_NORMAL);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed != 0;
}
