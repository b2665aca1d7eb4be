/*
 * The same story through both fronts yields the same messages: HTTP clients
 * (column H of WIRE) and clients of lines (column N), legacy and modern: calls,
 * errors, notifications, streams that break, server requests, cancels,
 * subscriptions; L3, L10, L13, L14, L16, M7, M9, M10, M11, M13.
 */
#include <check.h>
#include <stdio.h>

#include "linescene.h"

#define META	"\"_meta\":{\"io.modelcontextprotocol/protocolVersion\":\"2026-07-28\"}"

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

/* Messages of an HTTP answer, one a line. */
static void
messages(const struct reply *r, struct buf *out)
{
	struct slice type = reply_field(r, "Content-Type");
	const char *p, *next;

	if (!slice_eq(type, "text/event-stream")) {
		if (r->body.len > 0)
			buf_addf(out, "%s\n", r->body.p);
		return;
	}
	for (p = r->body.p; p != NULL && *p != '\0'; p = next != NULL ? next + 1 : NULL) {
		next = strchr(p, '\n');
		if (strncmp(p, "data: ", 6) == 0)
			buf_addf(out, "%.*s\n", (int)(strcspn(p, "\r\n") - 6), p + 6);
	}
}

static void
by_http(const struct ask *ask, const char *body, struct buf *out)
{
	struct reply r = { 0 };

	ck_assert_int_eq(rpc(ask, body, &r, PATIENCE), 0);
	messages(&r, out);
	reply_free(&r);
}

/* Up to the answer of this id; "": what comes within a moment. */
static void
by_line(struct liner *l, const char *body, const char *id, struct buf *out)
{
	const char *line;

	liner_say(l, body);
	while ((line = liner_hear(l, "", id[0] != '\0' ? PATIENCE : QUIET)) != NULL) {
		buf_addf(out, "%s\n", line);
		if (id[0] != '\0' && strstr(line, id) != NULL && strstr(line, "\"method\"") == NULL)
			break;
	}
}

static const struct { const char *body, *id; } legacy[] = {
	{ "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"ping\"}", "\"id\":1" },
	{ "{\"jsonrpc\":\"2.0\",\"id\":2,\"method\":\"tools/list\",\"params\":{}}", "\"id\":2" },
	{ "{\"jsonrpc\":\"2.0\",\"id\":3,\"method\":\"tools/call\",\"params\":{\"name\":\"echo\",\"arguments\":"
	    "{\"text\":\"\\u00e9 \xc3\xa9 \\n\"}}}", "\"id\":3" },
	{ "{\"jsonrpc\":\"2.0\",\"id\":\"s\",\"method\":\"tools/call\",\"params\":{\"name\":\"sse\",\"arguments\":"
	    "{\"n\":5,\"ids\":true,\"bytes\":100}}}", "\"id\":\"s\"" },
	{ "{\"jsonrpc\":\"2.0\",\"method\":\"notifications/roots/list_changed\"}", "" },
	{ "{\"jsonrpc\":\"2.0\",\"id\":5,\"method\":\"no/such\"}", "\"id\":5" },
	{ "{\"jsonrpc\":\"2.0\",\"id\":6,\"method\":\"tools/call\",\"params\":{\"name\":\"nobody\"}}", "\"id\":6" },
	{ "{\"jsonrpc\":\"2.0\",\"id\":7,\"method\":\"tools/call\",\"params\":{\"name\":\"big\",\"arguments\":"
	    "{\"bytes\":100000,\"chunked\":true}}}", "\"id\":7" },
	{ "{\"jsonrpc\":\"2.0\",\"id\":8,\"method\":\"tools/call\",\"params\":{\"name\":\"scope403\"}}", "\"id\":8" },
};

START_TEST(legacy_story)
{
	struct ask ask = { .socket = s.socket };
	char *session = session_open(&ask);
	struct liner *l = liner_ready(&s);

	ask.session = session;
	for (size_t i = 0; i < nitems(legacy); i++) {
		struct buf http = BUF_INIT(0), line = BUF_INIT(0);

		by_http(&ask, legacy[i].body, &http);
		by_line(l, legacy[i].body, legacy[i].id, &line);
		ck_assert_str_eq(line.p != NULL ? line.p : "", http.p != NULL ? http.p : "");
		buf_free(&http);
		buf_free(&line);
	}
	liner_close(l);
	wall_do(s.w, "lose-sessions", NULL);	/* the HTTP client's own */
	free(session);
}
END_TEST

static const struct { const char *body, *id; } modern[] = {
	{ "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"server/discover\",\"params\":{" META "}}", "\"id\":1" },
	{ "{\"jsonrpc\":\"2.0\",\"id\":2,\"method\":\"tools/list\",\"params\":{" META "}}", "\"id\":2" },
	{ "{\"jsonrpc\":\"2.0\",\"id\":3,\"method\":\"tools/call\",\"params\":{\"name\":\"sse\",\"arguments\":"
	    "{\"n\":3}," META "}}", "\"id\":3" },
	{ "{\"jsonrpc\":\"2.0\",\"id\":4,\"method\":\"no/such\",\"params\":{" META "}}", "\"id\":4" },
	{ "{\"jsonrpc\":\"2.0\",\"id\":5,\"method\":\"tools/call\",\"params\":{\"name\":\"nobody\"," META "}}", "\"id\":5" },
	{ "{\"jsonrpc\":\"2.0\",\"method\":\"notifications/x\",\"params\":{" META "}}", "" },
};

START_TEST(modern_story)
{
	struct ask ask = { .socket = s.socket, .version = "2026-07-28" };
	struct liner *l = liner_open(s.socket);

	for (size_t i = 0; i < nitems(modern); i++) {
		struct buf http = BUF_INIT(0), line = BUF_INIT(0);

		by_http(&ask, modern[i].body, &http);
		by_line(l, modern[i].body, modern[i].id, &line);
		ck_assert_str_eq(line.p != NULL ? line.p : "", http.p != NULL ? http.p : "");
		buf_free(&http);
		buf_free(&line);
	}
	liner_close(l);
}
END_TEST

/* --- streams --- */

/* What a server request is numbered by differs with each. */
static void
add_message(struct buf *out, const char *p, size_t n)
{
	const char *at = memmem(p, n, "\"srv-", 5);
	size_t head = at != NULL ? (size_t)(at - p) + 5 : n;

	if (n == 0)
		return;
	buf_addf(out, "%.*s", (int)head, p);
	if (at != NULL)
		head += strspn(at + 5, "0123456789");
	buf_addf(out, "%.*s\n", (int)(n - head), p + head);
}

/* The next n messages of an HTTP stream; ret_id (may be NULL): the last event id. */
static void
from_stream(struct client *c, int n, struct buf *out, char *ret_id, size_t size)
{
	while (n > 0) {
		_cleanup_(buf_free) struct buf event = BUF_INIT(0);
		const char *data, *id;
		size_t before = out->len;

		ck_assert_int_eq(client_event(c, &event, PATIENCE), 1);
		id = strstr(event.p, "id: ");
		if (id != NULL && ret_id != NULL)
			snprintf(ret_id, size, "%.*s", (int)strcspn(id + 4, "\r\n"), id + 4);
		data = strstr(event.p, "data: ");
		if (data != NULL)
			add_message(out, data + 6, strcspn(data + 6, "\r\n"));
		n -= out->len > before;
	}
}

static void
from_liner(struct liner *l, int n, struct buf *out)
{
	for (; n > 0; n--) {
		const char *line = heard(l, "");

		add_message(out, line, strlen(line));
	}
}

static void
are_same(struct buf *line, struct buf *http)
{
	ck_assert_uint_gt(line->len, 0);
	ck_assert_str_eq(line->p, http->p);
	buf_reset(line);
	buf_reset(http);
}

static void
emit_some(const char *name, int n)
{
	char json[64];

	for (int i = 0; i < n; i++) {
		snprintf(json, sizeof(json), "{\"text\":\"%s-%d\",\"bytes\":%d}", name, i, i * 1000);
		wall_do(s.w, "emit", json);
	}
}

/* L10: what an HTTP client does for itself when its stream breaks, the daemon does for one of lines. */
START_TEST(legacy_stream)
{
	static const char *const how[] = { "{\"how\":\"end\"}", "{\"how\":\"cut\"}",
	    "{\"how\":\"reset\"}", "{\"how\":\"torn\"}" };
	_cleanup_(buf_free) struct buf http = BUF_INIT(0);
	_cleanup_(buf_free) struct buf line = BUF_INIT(0);
	struct ask ask = { .socket = s.socket };
	char *session = session_open(&ask), last[64] = "";
	struct client *stream;
	struct liner *l;

	wall_do(s.w, "set", "{\"retry_ms\":50}");
	ask.session = session;
	stream = stream_open(&ask, NULL);
	l = liner_ready(&s);
	for (size_t i = 0; i < nitems(how); i++) {
		emit_some("before", 3);
		from_stream(stream, 3, &http, last, sizeof(last));
		wall_do(s.w, "drop", how[i]);
		emit_some("meanwhile", 4);
		client_close(stream);
		stream = stream_open(&ask, last);
		ck_assert(wall_wait_is(s.w, "streams.open", 2, PATIENCE));
		emit_some("after", 2);
		from_stream(stream, 6, &http, last, sizeof(last));
		from_liner(l, 9, &line);
		are_same(&line, &http);
	}
	client_close(stream);
	liner_close(l);
	wall_do(s.w, "lose-sessions", NULL);
	free(session);
}
END_TEST

#define ANSWER	"{\"jsonrpc\":\"2.0\",\"id\":\"srv-%u\",\"result\":{}}"

/* L14: on the GET stream and on that of a call; the answer goes back by itself. */
START_TEST(legacy_server_requests)
{
	_cleanup_(buf_free) struct buf http = BUF_INIT(0);
	_cleanup_(buf_free) struct buf line = BUF_INIT(0);
	_cleanup_(buf_free) struct buf body = BUF_INIT(0);
	_cleanup_(buf_free) struct buf request = BUF_INIT(0);
	struct ask ask = { .socket = s.socket };
	char *session = session_open(&ask), text[128];
	struct client *stream, *call_stream;
	struct reply r = { 0 };
	struct liner *l;

	ask.session = session;
	stream = stream_open(&ask, NULL);
	l = liner_ready(&s);
	wall_do(s.w, "ask", NULL);				/* srv-1, on both */
	from_stream(stream, 1, &http, NULL, 0);
	from_liner(l, 1, &line);
	are_same(&line, &http);
	snprintf(text, sizeof(text), ANSWER, 1);
	ck_assert_int_eq(rpc(&ask, text, &r, PATIENCE), 0);
	ck_assert_int_eq(r.status, 202);
	liner_say(l, text);
	ck_assert(wall_wait(s.w, "responses.srv-1", 2, PATIENCE));

	tool_json(&body, 5, "ask", NULL);			/* srv-2, srv-3 */
	request_post(&request, &ask, body.p);
	call_stream = client_open(s.socket);
	ck_assert_int_eq(client_send(call_stream, request.p, request.len, PATIENCE), 0);
	ck_assert_int_eq(client_head(call_stream, "POST", &r, PATIENCE), 0);
	from_stream(call_stream, 1, &http, NULL, 0);
	call(l, "5", "ask", NULL);
	from_liner(l, 1, &line);
	are_same(&line, &http);
	snprintf(text, sizeof(text), ANSWER, 2);
	ck_assert_int_eq(rpc(&ask, text, &r, PATIENCE), 0);
	snprintf(text, sizeof(text), ANSWER, 3);
	liner_say(l, text);
	from_stream(call_stream, 1, &http, NULL, 0);
	from_liner(l, 1, &line);
	are_same(&line, &http);
	reply_free(&r);
	client_close(call_stream);
	client_close(stream);
	liner_close(l);
	wall_do(s.w, "lose-sessions", NULL);
	free(session);
}
END_TEST

#define CANCEL	"{\"jsonrpc\":\"2.0\",\"method\":\"notifications/cancelled\",\"params\":{\"requestId\":9}}"

/* L13: the same notification reaches the server, and nobody is answered. */
START_TEST(legacy_cancel)
{
	_cleanup_(buf_free) struct buf body = BUF_INIT(0);
	_cleanup_(buf_free) struct buf request = BUF_INIT(0);
	struct ask ask = { .socket = s.socket };
	char *session = session_open(&ask);
	struct liner *l = liner_ready(&s);
	struct reply r = { 0 };
	struct client *c;

	ask.session = session;
	tool_json(&body, 9, "hang", NULL);
	request_post(&request, &ask, body.p);
	c = client_open(s.socket);
	ck_assert_int_eq(client_send(c, request.p, request.len, PATIENCE), 0);
	call(l, "9", "hang", NULL);
	ck_assert(wall_wait_is(s.w, "hanging", 2, PATIENCE));
	ck_assert_int_eq(rpc(&ask, CANCEL, &r, PATIENCE), 0);
	ck_assert_int_eq(r.status, 202);
	liner_say(l, CANCEL);
	ck_assert(wall_wait_is(s.w, "notifications.notifications/cancelled", 2, PATIENCE));
	ck_assert_int_eq(client_head(c, "POST", &r, QUIET), -ETIMEDOUT);
	ck_assert_uint_eq(liner_kept(l, QUIET), 0);
	reply_free(&r);
	client_close(c);
	liner_close(l);
	wall_do(s.w, "lose-sessions", NULL);
	free(session);
}
END_TEST

#define LISTEN	"{\"jsonrpc\":\"2.0\",\"id\":9,\"method\":\"subscriptions/listen\"," \
	"\"params\":{\"notifications\":{}," META "}}"

/* M7, M9: a subscription, and its end by the client: HTTP closes the stream, lines cancel. */
START_TEST(modern_subscription)
{
	_cleanup_(buf_free) struct buf http = BUF_INIT(0);
	_cleanup_(buf_free) struct buf line = BUF_INIT(0);
	_cleanup_(buf_free) struct buf request = BUF_INIT(0);
	struct ask ask = { .socket = s.socket, .version = "2026-07-28",
	    .fields = "Mcp-Method: subscriptions/listen\r\n" };
	struct client *c = client_open(s.socket);
	struct liner *l = liner_open(s.socket);
	struct reply r = { 0 };

	request_post(&request, &ask, LISTEN);
	ck_assert_int_eq(client_send(c, request.p, request.len, PATIENCE), 0);
	ck_assert_int_eq(client_head(c, "POST", &r, PATIENCE), 0);
	liner_say(l, LISTEN);
	ck_assert(wall_wait_is(s.w, "listens.open", 2, PATIENCE));
	emit_some("news", 5);
	from_stream(c, 6, &http, NULL, 0);
	from_liner(l, 6, &line);
	are_same(&line, &http);
	client_close(c);
	ck_assert(wall_wait_is(s.w, "listens.open", 1, PATIENCE));
	liner_say(l, CANCEL);
	ck_assert(wall_wait_is(s.w, "listens.open", 0, PATIENCE));
	ck_assert_uint_eq(liner_kept(l, QUIET), 0);
	ck_assert_int_eq(wall_count(s.w, "notifications.notifications/cancelled"), 0);
	reply_free(&r);
	liner_close(l);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("line_same");
	TCase *tc = tcase_create("usual");
	SRunner *sr;
	int failed;

	tcase_set_timeout(tc, 60);
	tcase_add_checked_fixture(tc, begin, end);
	tcase_add_test(tc, legacy_story);
	tcase_add_test(tc, modern_story);
	tcase_add_test(tc, legacy_stream);
	tcase_add_test(tc, legacy_server_requests);
	tcase_add_test(tc, legacy_cancel);
	tcase_add_test(tc, modern_subscription);
	suite_add_tcase(suite, tc);
	sr = srunner_create(suite);
	srunner_run_all(sr, CK_NORMAL);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed != 0;
}
