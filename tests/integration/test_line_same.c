/*
 * The same story through both fronts yields the same messages: HTTP clients
 * (column H of WIRE) and clients of lines (column N), legacy and modern; L3,
 * L14, L16, M10, M11, M13.
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
	suite_add_tcase(suite, tc);
	sr = srunner_create(suite);
	srunner_run_all(sr, CK_NORMAL);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed != 0;
}
