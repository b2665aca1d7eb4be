#include <signal.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

#include <check.h>
#include <curl/curl.h>

#include "fetch.h"
#include "scripted.h"

static struct loop *loop;
static struct connector *connector;

static struct {
	bool		 done;
	enum fetch_outcome outcome;
	int		 status;
	char		 body[4096];
	int64_t		 retry_after;
	char		 why[160];
	struct fetch	*cancel_inside;
} got;

static void
on_done(_unused_ void *arg, struct fetch_reply *r)
{
	ck_assert(!got.done);
	got.done = true;
	got.outcome = r->outcome;
	got.status = r->status;
	got.retry_after = r->retry_after;
	snprintf(got.body, sizeof(got.body), "%s", r->body.p != NULL ? r->body.p : "");
	snprintf(got.why, sizeof(got.why), "%s", r->why);
	fetch_cancel(got.cancel_inside);	/* means nothing any more */
	loop_stop(loop);
}

static struct fetch *
start(const char *url, const struct server *s, const char *form)
{
	struct fetch_request r = {
		.url = url,
		.form = slice_of(form),
		.authorization = form != NULL ? "Basic c2VjcmV0" : NULL,
		.way.ca_file = s != NULL ? server_ca(s) : NULL,
		.timeout_ms = 500,
		.max_body = 1000,
	};

	memset(&got, 0, sizeof(got));
	return fetch_start(connector, &r, on_done, NULL);
}

static void
fetch(const struct server *s, const char *form)
{
	struct fetch *f = start(server_url(s, "/token?x=1"), s, form);

	ck_assert_ptr_nonnull(f);
	ck_assert(!got.done);
	got.cancel_inside = f;
	run_until(loop, &got.done);
	run_for(loop, 5);
}

static void
token_script(struct peer *p, _unused_ int nth)
{
	ck_assert(peer_expect(p, "POST /token?x=1 HTTP/1.1\r\n"));
	ck_assert(peer_expect(p, "\r\nAuthorization: Basic c2VjcmV0\r\n"));
	ck_assert(peer_expect(p, "\r\n\r\ngrant_type=x&a=b"));
	peer_say(p, "HTTP/1.1 200 OK\r\nContent-Length: 12\r\n\r\n{\"token\":1}\n");
}

START_TEST(post)
{
	struct server *s = server_start(_i ? TLS : PLAIN, token_script);

	fetch(s, "grant_type=x&a=b");
	ck_assert_msg(got.outcome == FETCH_ANSWER, "%s", got.why);
	ck_assert_int_eq(got.status, 200);
	ck_assert_str_eq(got.body, "{\"token\":1}\n");
	ck_assert_int_eq(server_connections(s), 1);
	server_stop(s);
}
END_TEST

/* What a server may say to a GET, and what we take it for. */
static const struct answer {
	const char	*say;
	enum fetch_outcome outcome;
	int		 status;
	int64_t		 retry_after;
} answers[] = {
	{ "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", FETCH_ANSWER, 200, 0 },
	{ "HTTP/1.1 200 OK\r\n\r\nok", FETCH_ANSWER, 200, 0 },
	{ "HTTP/1.1 103 Early\r\nLink: x\r\n\r\nHTTP/1.1 401 No\r\nContent-Length: 2\r\n\r\nok",
	    FETCH_ANSWER, 401, 0 },
	{ "HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n",
	    FETCH_ANSWER, 302, 0 },
	{ "HTTP/1.1 429 Slow\r\nRetry-After: 7\r\nContent-Length: 0\r\n\r\n", FETCH_ANSWER, 429, 7000 },
	{ "HTTP/1.1 503 Slow\r\nRetry-After: 999999999\r\nContent-Length: 0\r\n\r\n",
	    FETCH_ANSWER, 503, 24 * HOUR_MS },
	{ "HTTP/1.1 503 Slow\r\nRetry-After: -5\r\nContent-Length: 0\r\n\r\n", FETCH_ANSWER, 503, 0 },
	/* Cut in the head, at its end, in the body. */
	{ "HTTP/1.1 200 OK\r\nContent-Type: te", FETCH_UNKNOWN, 0, 0 },
	{ "HTTP/1.1 200 OK\r\nContent-Type: text\r\n", FETCH_UNKNOWN, 0, 0 },
	{ "HTTP/1.1 103 Early\r\n\r\n", FETCH_UNKNOWN, 0, 0 },
	{ "HTTP/1.1 103 Early\r\n\r\nHTTP/1.1 200 OK\r\nA: b\r\n", FETCH_UNKNOWN, 0, 0 },
	{ "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nok", FETCH_UNKNOWN, 0, 0 },
	{ "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n", FETCH_UNKNOWN, 0, 0 },
	{ "what?\r\n", FETCH_UNKNOWN, 0, 0 },
	{ "", FETCH_UNKNOWN, 0, 0 },
};
static const struct answer *answer;

static void
answer_script(struct peer *p, _unused_ int nth)
{
	ck_assert(peer_expect(p, "GET /token?x=1 HTTP/1.1\r\n"));
	ck_assert(peer_expect(p, "\r\n\r\n"));
	peer_say(p, answer->say);
}

START_TEST(outcomes)
{
	struct server *s = server_start(PLAIN, answer_script);

	answer = &answers[_i];
	fetch(s, NULL);
	ck_assert_msg(got.outcome == answer->outcome, "%s: %s", answer->say, got.why);
	ck_assert_int_eq(got.status, answer->status);
	ck_assert_int_eq(got.retry_after, answer->retry_after);
	ck_assert((got.why[0] == '\0') == (got.outcome == FETCH_ANSWER));
	ck_assert(got.outcome == FETCH_ANSWER || got.body[0] == '\0');
	ck_assert_int_eq(server_connections(s), 1);
	server_stop(s);
}
END_TEST

static void
date_script(struct peer *p, _unused_ int nth)
{
	char out[256], date[64];
	time_t t = time(NULL) + 100;
	struct tm tm;

	gmtime_r(&t, &tm);
	strftime(date, sizeof(date), "%a, %d %b %Y %H:%M:%S GMT", &tm);
	snprintf(out, sizeof(out), "HTTP/1.1 503 X\r\nRetry-After: %s\r\n"
	    "Content-Length: 0\r\n\r\n", date);
	ck_assert(peer_expect(p, "\r\n\r\n"));
	peer_say(p, out);
}

START_TEST(retry_after_date)
{
	struct server *s = server_start(PLAIN, date_script);

	fetch(s, NULL);
	ck_assert_int_gt(got.retry_after, 90 * SEC);
	ck_assert_int_le(got.retry_after, 100 * SEC);
	server_stop(s);
}
END_TEST

/* The connection dies after the request was read: never sent again, and nobody knows. */
static void
reset_script(struct peer *p, _unused_ int nth)
{
	(void)peer_expect(p, "grant_type=x");
	peer_reset(p);
}

START_TEST(reset_is_unknown)
{
	struct server *s = server_start(_i ? TLS : PLAIN, reset_script);

	fetch(s, "grant_type=x");
	ck_assert_int_eq(got.outcome, FETCH_UNKNOWN);
	ck_assert_int_eq(server_connections(s), 1);
	server_stop(s);
}
END_TEST

static void
silent_script(struct peer *p, _unused_ int nth)
{
	(void)peer_wait_end(p);
}

START_TEST(timeout_is_unknown)
{
	struct server *s = server_start(PLAIN, silent_script);

	fetch(s, "grant_type=x");
	ck_assert_int_eq(got.outcome, FETCH_UNKNOWN);
	ck_assert_str_eq(got.why, "no answer in time");
	server_stop(s);
}
END_TEST

static void
flood_script(struct peer *p, _unused_ int nth)
{
	int i;

	ck_assert(peer_expect(p, "\r\n\r\n"));
	peer_say(p, "HTTP/1.1 200 OK\r\n");
	if (nth == 0)
		peer_say(p, "\r\n");
	for (i = 0; i < 5000; i++)
		peer_say(p, "X-Filler: 0123456789\r\n");
}

START_TEST(floods)
{
	struct server *s = server_start(PLAIN, flood_script);

	fetch(s, NULL);
	ck_assert_int_eq(got.outcome, FETCH_UNKNOWN);
	ck_assert_str_eq(got.why, "the answer's body is too large");
	fetch(s, NULL);
	ck_assert_int_eq(got.outcome, FETCH_UNKNOWN);
	ck_assert_str_eq(got.why, "the answer's head is too large");
	server_stop(s);
}
END_TEST

START_TEST(unsent)
{
	struct server *s;
	char url[64];

	snprintf(url, sizeof(url), "http://127.0.0.1:%d/", closed_port());
	ck_assert_ptr_nonnull(start(url, NULL, "a=b"));
	run_until(loop, &got.done);
	ck_assert_int_eq(got.outcome, FETCH_UNSENT);
	ck_assert_str_eq(got.why, "connection refused");
	ck_assert_ptr_nonnull(start("https://nothing.invalid/", NULL, "a=b"));
	run_until(loop, &got.done);
	ck_assert_int_eq(got.outcome, FETCH_UNSENT);
	s = server_start(TLS_OTHER_NAME, silent_script);
	fetch(s, "a=b");
	ck_assert_int_eq(got.outcome, FETCH_UNSENT);
	ck_assert_str_eq(got.why, "certificate not accepted: it is for another name");
	server_stop(s);
	/* A handshake that hangs. */
	s = server_start(PLAIN, silent_script);
	snprintf(url, sizeof(url), "https%s", server_url(s, "/") + 4);
	ck_assert_ptr_nonnull(start(url, NULL, "a=b"));
	run_until(loop, &got.done);
	ck_assert_int_eq(got.outcome, FETCH_UNSENT);
	server_stop(s);
}
END_TEST

/* What a proxy was asked is no request: only what went into a tunnel may have been read. */
static const struct {
	const char *url;
	const char *connect;	/* the proxy's answer to CONNECT */
	const char *answer;	/* to what comes in the tunnel; NULL: closes at once */
	enum fetch_outcome outcome;
	const char *why;
} tunnels[] = {
	{ "http://127.0.0.1:9/t", "HTTP/1.1 407 No\r\nContent-Length: 0\r\n\r\n", NULL,
	    FETCH_UNSENT, "the proxy wants other credentials (407)" },
	{ "http://127.0.0.1:9/t", "", NULL, FETCH_UNSENT, "the proxy closed the connection" },
	{ "https://mcp.invalid/t", "HTTP/1.1 200 OK\r\n\r\n", NULL, FETCH_UNSENT, "TLS" },
	{ "http://127.0.0.1:9/t", "HTTP/1.1 200 OK\r\n\r\n", "", FETCH_UNKNOWN, "" },
	{ "http://127.0.0.1:9/t", "HTTP/1.1 200 OK\r\n\r\n", "HTTP/1.1 200 OK\r\nContent-Le",
	    FETCH_UNKNOWN, "cut" },
	{ "http://127.0.0.1:9/t", "HTTP/1.1 200 OK\r\n\r\n",
	    "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}", FETCH_ANSWER, "" },
};
static int tunnel;

static void
tunnel_script(struct peer *p, _unused_ int nth)
{
	if (!peer_expect(p, "\r\n\r\n"))
		return;
	peer_say(p, tunnels[tunnel].connect);
	if (tunnels[tunnel].answer != NULL && peer_expect(p, "a=b"))
		peer_say(p, tunnels[tunnel].answer);
}

START_TEST(proxied)
{
	struct server *s = server_start(PLAIN, tunnel_script);
	char proxy[64];
	struct fetch_request r = {
		.url = tunnels[_i].url,
		.form = slice_of("a=b"),
		.way.proxy = proxy,
		.timeout_ms = 2000,
	};

	tunnel = _i;
	snprintf(proxy, sizeof(proxy), "%s", server_url(s, ""));
	memset(&got, 0, sizeof(got));
	ck_assert_ptr_nonnull(fetch_start(connector, &r, on_done, NULL));
	run_until(loop, &got.done);
	ck_assert_msg(got.outcome == tunnels[_i].outcome, "%d: %s", got.outcome, got.why);
	ck_assert_msg(strstr(got.why, tunnels[_i].why) != NULL, "%s", got.why);
	server_stop(s);
}
END_TEST

START_TEST(refused_urls)
{
	struct fetch_request r = { .timeout_ms = 100, .max_body = 10 };
	static const char *const bad[] = {
		"http://example.com/", "ftp://localhost/", "file:///etc/passwd", "nonsense",
		"https://u:p@localhost/",
	};
	size_t i;

	for (i = 0; i < nitems(bad); i++) {
		r.url = bad[i];
		ck_assert_ptr_null(fetch_start(connector, &r, on_done, NULL));
		ck_assert_int_eq(errno, EINVAL);
	}
	r.url = "http://localhost/";
	r.authorization = "Basic x\r\nX-Evil: 1";
	ck_assert_ptr_null(fetch_start(connector, &r, on_done, NULL));
	ck_assert_int_eq(errno, EINVAL);
}
END_TEST

START_TEST(cancelled)
{
	struct server *s = server_start(PLAIN, silent_script);
	struct fetch *f;

	f = start(server_url(s, "/"), s, "a=b");
	fetch_cancel(f);
	run_for(loop, 5);
	f = start(server_url(s, "/"), s, "a=b");
	run_for(loop, 30);
	fetch_cancel(f);
	run_for(loop, 30);
	ck_assert(!got.done);
	server_stop(s);
}
END_TEST

static void
setup(void)
{
	signal(SIGPIPE, SIG_IGN);
	curl_global_init(CURL_GLOBAL_DEFAULT);
	loop = loop_new();
	connector = connector_new(loop);
	ck_assert_ptr_nonnull(connector);
}

static void
teardown(void)
{
	run_for(loop, 0);
	connector_free(connector);
	loop_free(loop);
	curl_global_cleanup();
}

int
main(void)
{
	Suite *s = suite_create("fetch");
	TCase *tc = tcase_create("fetch");
	SRunner *r;
	int failed;

	tcase_set_timeout(tc, 30);
	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_loop_test(tc, post, 0, 2);
	tcase_add_loop_test(tc, outcomes, 0, nitems(answers));
	tcase_add_test(tc, retry_after_date);
	tcase_add_loop_test(tc, reset_is_unknown, 0, 2);
	tcase_add_test(tc, timeout_is_unknown);
	tcase_add_test(tc, floods);
	tcase_add_test(tc, unsent);
	tcase_add_loop_test(tc, proxied, 0, nitems(tunnels));
	tcase_add_test(tc, refused_urls);
	tcase_add_test(tc, cancelled);
	suite_add_tcase(s, tc);
	r = srunner_create(s);
	srunner_run_all(r, CK_NORMAL);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed != 0;
}
