/*
 * Bad input at the real socket (issue 1, "Bad input"): each malformed request
 * gets its 4xx and a short JSON reason, its connection ends, nothing of it
 * goes up, and an open stream beside it goes on (scene_end() looks).
 */
#include <check.h>
#include <dirent.h>
#include <stdio.h>

#include "scene.h"

#define CORPUS	"tests/corpus/http1"

static struct scene s;

static void
begin(void)
{
	s = scene_begin(0, NULL, "\"limits\":{\"bodyBytes\":100000}");
}

static void
end(void)
{
	scene_end(&s);
}

/* Sends it (as far as it is taken) and reads what comes back. */
static void
refused(const char *name, const char *p, size_t n, bool half_close, int status, const char *word)
{
	struct client *c = client_open(s.ask.socket);
	struct reply r = { 0 };

	ck_assert_int_ne(client_send(c, p, n, 5000), -ETIMEDOUT);
	if (half_close)
		client_shutdown(c);
	ck_assert_msg(client_reply(c, "POST", &r, 5000) == 0, "%s: no answer", name);
	ck_assert_msg(status != 0 ? r.status == status : r.status / 100 == 4 || r.status == 505,
	    "%s: status %d", name, r.status);
	is_refusal(&r, word);
	ck_assert(slice_ieq(reply_field(&r, "Connection"), "close"));
	ck_assert_msg(client_ended(c, 5000), "%s: stays open", name);
	client_close(c);
	reply_free(&r);
}

/* --- the corpus --- */

static void
each_of(const char *kind, void (*run)(const char *name, const char *p, size_t n))
{
	struct dirent *d;
	DIR *dir = opendir(CORPUS);
	int files = 0;

	ck_assert_ptr_nonnull(dir);
	while ((d = readdir(dir)) != NULL) {
		char path[512], *text;
		size_t n;

		if (strncmp(d->d_name, kind, strlen(kind)) != 0)
			continue;
		snprintf(path, sizeof(path), CORPUS "/%s", d->d_name);
		ck_assert_ptr_nonnull(text = file_read(path, &n));
		run(d->d_name, text, n);
		free(text);
		files++;
	}
	closedir(dir);
	ck_assert_int_gt(files, 5);
}

/* What begins like a line of JSON is answered as one. */
static bool
is_line(const char *p)
{
	return strchr("{[ \t\r\n", p[0]) != NULL;
}

static void
gets_json_line(const char *name, const char *p, size_t n)
{
	struct client *c = client_open(s.ask.socket);
	char got[1024];
	ssize_t len;

	ck_assert_int_ne(client_send(c, p, n, 5000), -ETIMEDOUT);
	len = client_read(c, got, sizeof(got), 5000);
	ck_assert_msg(len > 0 && strncmp(got, "{\"jsonrpc\":\"2.0\",\"id\":", 22) == 0, "%s", name);
	/* Another line might come: it goes on until the client has no more. */
	client_shutdown(c);
	ck_assert_msg(client_ended(c, 5000), "%s: stays open", name);
	client_close(c);
}

static void
rejected(const char *name, const char *p, size_t n)
{
	if (is_line(p))
		gets_json_line(name, p, n);
	else
		refused(name, p, n, false, 0, NULL);
}

/* Cut where it was not complete. */
static void
cut(const char *name, const char *p, size_t n)
{
	if (n > 0 && !is_line(p))
		refused(name, p, n, true, strstr(name, "-huge") != NULL ? 0 : 400, NULL);
}

/* A well-formed request is no malformed one, whatever becomes of it. */
static void
accepted(const char *name, const char *p, size_t n)
{
	struct client *c = client_open(s.ask.socket);
	const char *space = memchr(p, ' ', n);
	struct reply r = { 0 };
	char method[32];

	snprintf(method, sizeof(method), "%.*s", (int)MIN(space - p, 31), p);
	ck_assert_int_eq(client_send(c, p, n, 5000), 0);
	ck_assert_msg(client_reply(c, method, &r, 5000) == 0, "%s: no answer", name);
	ck_assert_msg(r.body.p == NULL || strstr(r.body.p, "bad_request") == NULL, "%s: %s", name,
	    r.body.p);
	client_close(c);
	reply_free(&r);
}

START_TEST(corpus_of_hostile_requests)
{
	int64_t requests = wall_count(s.w, "requests"), accepts = wall_count(s.w,
	    "connections.accepted");

	each_of("req-reject-", rejected);
	each_of("req-more-", cut);
	/* req-reject-json is no HTTP but a fine line: the one that goes up. */
	ck_assert_int_eq(wall_count(s.w, "requests"), requests + 1);
	ck_assert_int_le(wall_count(s.w, "connections.accepted"), accepts + 1);
}
END_TEST

/* The one with as many fields as may be: the daemon adds its own, and the wall counts with the same parser. */
static void
accepted_unless_line(const char *name, const char *p, size_t n)
{
	if (!is_line(p) && strstr(name, "many-fields") == NULL)
		accepted(name, p, n);
}

START_TEST(corpus_of_good_requests)
{
	each_of("req-accept-", accepted_unless_line);
}
END_TEST

/* The same behind a good request: that one is answered first, on the same connection. */
static void
behind_a_good_one(const char *name, const char *p, size_t n)
{
	struct client *c = client_open(s.ask.socket);
	struct buf b = BUF_INIT(0);
	struct reply r = { 0 };

	request_post(&b, &s.ask, "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"ping\"}");
	buf_add(&b, p, n);
	ck_assert_int_ne(client_send(c, b.p, b.len, 5000), -ETIMEDOUT);
	hear(c, "POST", &r, 200);
	ck_assert_msg(client_reply(c, "POST", &r, 5000) == 0, "%s: no answer", name);
	ck_assert_msg(r.status / 100 == 4 || r.status == 505, "%s: status %d", name, r.status);
	ck_assert_msg(client_ended(c, 5000), "%s: stays open", name);
	client_close(c);
	buf_free(&b);
	reply_free(&r);
}

START_TEST(corpus_behind_a_good_request)
{
	each_of("req-reject-", behind_a_good_one);
}
END_TEST

/* --- what has a status of its own --- */

#define REFUSED(text, half, status, word) refused(word, text, strlen(text), half, status, word)

START_TEST(statuses)
{
	struct buf b = BUF_INIT(0);

	REFUSED("POST /mcp HTTP/2.0\r\nHost: a\r\n\r\n", false, 505, "http_version");
	REFUSED("POST /mcp HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100001\r\n\r\n", false, 413,
	    "body_too_large");
	REFUSED("POST /mcp HTTP/1.1\r\nHost: localhost\r\nExpect: miracles\r\n\r\n", false, 417,
	    "expectation_failed");
	REFUSED("POST /mcp HTTP/1.1\r\nHost: loc", true, 400, "bad_request");
	REFUSED("POST /mcp HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\n{", true, 400,
	    "bad_request");
	buf_adds(&b, "GET /mcp HTTP/1.1\r\nHost: localhost\r\nX-Long: ");
	for (int i = 0; i < 70000; i++)
		buf_add(&b, "x", 1);
	REFUSED(b.p, false, 431, "head_too_large");
	buf_reset(&b);
	buf_adds(&b, "POST /mcp HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n");
	for (int i = 0; i < 101; i++) {
		buf_adds(&b, "3e8\r\n");
		for (int k = 0; k < 1000; k++)
			buf_add(&b, " ", 1);
		buf_adds(&b, "\r\n");
	}
	REFUSED(b.p, false, 413, "body_too_large");
	buf_free(&b);
}
END_TEST

/* A body that turns bad when it was already on its way up: upstream is left, not told that this was all. */
START_TEST(bad_chunk_behind_much_of_a_body)
{
	struct client *c;
	struct reply r = { 0 };
	struct buf b = BUF_INIT(8 * MIB);

	s = scene_begin(0, NULL, NULL);
	s.ask.key = "half";
	buf_adds(&b, "POST /mcp HTTP/1.1\r\nHost: localhost\r\nX-Test-Key: half\r\n"
	    "Transfer-Encoding: chunked\r\n\r\n");
	buf_adds(&b, "400000\r\n");
	buf_reserve(&b, 4 * MIB);
	memset(b.p + b.len, ' ', 4 * MIB);
	b.len += 4 * MIB;
	buf_adds(&b, "\r\n");
	c = client_open(s.ask.socket);
	ck_assert_int_eq(client_send(c, b.p, b.len, 10000), 0);
	ck_assert(wall_wait(s.w, "sends.half", 1, 5000));	/* under way */
	say(c, "zz\r\n");
	hear(c, "POST", &r, 400);
	is_refusal(&r, "bad_request");
	ck_assert(client_ended(c, 5000));
	ck_assert(wall_wait_is(s.w, "connections.open", 1, 5000));	/* the bystander's */
	ck_assert_int_eq(wall_count(s.w, "sends.half"), 1);
	ck_assert_int_eq(wall_count(s.w, "status.400"), 0);	/* it never had the whole of it */
	client_close(c);
	buf_free(&b);
	reply_free(&r);
	end();
}
END_TEST

/* A thousand of them beside the stream cost nobody anything. */
START_TEST(many_bad_ones)
{
	int fds = authd_fds(s.a);

	for (int i = 0; i < 1000; i++)
		REFUSED("POST /mcp HTTP/1.1\r\nHost: localhost\r\nContent-Length: +4\r\n\r\nnull", false,
		    400, "bad_request");
	for (int64_t until = now_ms() + 5000; authd_fds(s.a) > fds + 1; pause_ms(5))
		ck_assert_int_lt(now_ms(), until);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("malformed");
	TCase *tc = tcase_create("usual"), *own = tcase_create("own");
	SRunner *sr;
	int failed;

	tcase_set_timeout(tc, 120);
	tcase_add_checked_fixture(tc, begin, end);
	tcase_add_test(tc, corpus_of_hostile_requests);
	tcase_add_test(tc, corpus_of_good_requests);
	tcase_add_test(tc, corpus_behind_a_good_request);
	tcase_add_test(tc, statuses);
	tcase_add_test(tc, many_bad_ones);
	suite_add_tcase(suite, tc);
	tcase_set_timeout(own, 60);
	tcase_add_test(own, bad_chunk_behind_much_of_a_body);
	suite_add_tcase(suite, own);
	sr = srunner_create(suite);
	srunner_run_all(sr, CK_NORMAL);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed != 0;
}
