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
	int64_t		 retry_after, date;
	struct challenge challenge;	/* moved out */
	char		 location[256];
	bool		 private_peer;
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
	got.date = r->date;
	got.private_peer = r->private_peer;
	challenge_free(&got.challenge);
	got.challenge = r->challenge;
	memset(&r->challenge, 0, sizeof(r->challenge));
	snprintf(got.location, sizeof(got.location), "%s", r->location != NULL ? r->location : "");
	snprintf(got.body, sizeof(got.body), "%s", r->body.p != NULL ? r->body.p : "");
	snprintf(got.why, sizeof(got.why), "%s", r->why);
	fetch_cancel(got.cancel_inside);	/* means nothing any more */
	loop_stop(loop);
}

static struct fetch *
start_request(const struct fetch_request *r)
{
	challenge_free(&got.challenge);
	memset(&got, 0, sizeof(got));
	return fetch_start(connector, r, on_done, NULL);
}

static void
fetch_request(const struct fetch_request *r)
{
	ck_assert_ptr_nonnull(start_request(r));
	run_until(loop, &got.done);
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

	return start_request(&r);
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
	fetch_request(&r);
	ck_assert(!got.private_peer);	/* the proxy's address is not the server's */
	ck_assert_msg(got.outcome == tunnels[_i].outcome, "%d: %s", got.outcome, got.why);
	ck_assert_msg(strstr(got.why, tunnels[_i].why) != NULL, "%s", got.why);
	server_stop(s);
}
END_TEST

/* What discovery reads of a head (A1, A2): the final one's, no interim one's, no trailer's. */
static void
head_script(struct peer *p, _unused_ int nth)
{
	ck_assert(peer_expect(p, "\r\n\r\n"));
	peer_say(p, "HTTP/1.1 103 Early\r\nLocation: /early\r\nWWW-Authenticate: Bearer scope=early\r\n"
	    "Date: Sun, 06 Nov 1994 08:49:37 GMT\r\n\r\n"
	    "HTTP/1.1 401 No\r\nwww-authenticate: Basic realm=\"x\"\r\n"
	    "WWW-Authenticate: Bearer scope=\"void\r\n"
	    "WWW-Authenticate:   Bearer resource_metadata=\"https://h/m\", error=invalid_token  \r\n"
	    "Date: Mon, 07 Nov 1994 08:49:37 GMT\r\nTransfer-Encoding: chunked\r\n\r\n"
	    "2\r\nok\r\n0\r\nWWW-Authenticate: Bearer scope=late\r\nLocation: /late\r\n\r\n");
}

START_TEST(head)
{
	struct server *s = server_start(_i ? TLS : PLAIN, head_script);

	fetch(s, NULL);
	ck_assert_int_eq(got.status, 401);
	ck_assert_str_eq(got.body, "ok");
	ck_assert_int_eq(got.date, 784198177LL * SEC);
	ck_assert(got.challenge.bearer);
	ck_assert_str_eq(got.challenge.resource_metadata, "https://h/m");
	ck_assert_str_eq(got.challenge.error, "invalid_token");
	ck_assert_ptr_null(got.challenge.scope);
	ck_assert_str_eq(got.location, "");
	ck_assert(got.private_peer);
	server_stop(s);
}
END_TEST

/* Raw, the first one, and none that is too long for a URL. */
START_TEST(location)
{
	static struct answer a = { .outcome = FETCH_ANSWER, .status = 307 };
	struct server *s = server_start(PLAIN, answer_script);
	char *say = malloc(2 * URL_BYTES);

	answer = &a;
	a.say = "HTTP/1.1 307 X\r\nLocation: ../a?b#c \r\nLocation: /second\r\n"
	    "Date: yesterday\r\nContent-Length: 0\r\n\r\n";
	fetch(s, NULL);
	ck_assert_str_eq(got.location, "../a?b#c");
	ck_assert_int_eq(got.date, 0);
	snprintf(say, 2 * URL_BYTES, "HTTP/1.1 307 X\r\nLocation: /%0*d\r\nContent-Length: 0\r\n\r\n",
	    URL_BYTES, 1);
	a.say = say;
	fetch(s, NULL);
	ck_assert_int_eq(got.status, 307);
	ck_assert_str_eq(got.location, "");
	free(say);
	server_stop(s);
}
END_TEST

static void
json_script(struct peer *p, _unused_ int nth)
{
	char request[4096];

	ck_assert(peer_request(p, request, sizeof(request)));
	ck_assert_ptr_nonnull(strstr(request, "\r\nContent-Type: application/json\r\n"));
	ck_assert_ptr_null(strstr(request, "urlencoded"));
	ck_assert_ptr_nonnull(strstr(request, "\r\nAccept: text/x, */*\r\n"));
	ck_assert_ptr_null(strstr(request, "Accept: application/json"));
	ck_assert_ptr_nonnull(strstr(request, "\r\nX-One: 1\r\nX-Two: b c\r\n"));
	ck_assert_ptr_nonnull(strstr(request, "\r\n\r\n{}"));
	/* The body never ends; with head_only nobody waits for it. */
	peer_say(p, nth == 0 ? "HTTP/1.1 100 Go\r\n\r\nHTTP/1.1 200 OK\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT"
	    "\r\n\r\n" : "HTTP/1.1 100 Go\r\n\r\n");
	(void)peer_wait_end(p);
}

START_TEST(head_only)
{
	struct server *s = server_start(PLAIN, json_script);
	struct fetch_request r = {
		.url = server_url(s, "/"),
		.form = slice_of("{}"),
		.content_type = "application/json",
		.accept = "text/x, */*",
		.header_lines = "X-One: 1\r\nX-Two: b c\r\n",
		.head_only = true,
		.timeout_ms = 2000,
	};

	fetch_request(&r);
	ck_assert_msg(got.outcome == FETCH_ANSWER, "%s", got.why);
	ck_assert_int_eq(got.status, 200);
	ck_assert_int_eq(got.date, 784111777LL * SEC);
	/* An interim head is none. */
	r.timeout_ms = 200;
	fetch_request(&r);
	ck_assert_int_eq(got.outcome, FETCH_UNKNOWN);
	server_stop(s);
}
END_TEST

/* --- A15: private addresses --- */

static void
ok_script(struct peer *p, _unused_ int nth)
{
	if (peer_expect(p, "\r\n\r\n"))
		peer_say(p, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
}

START_TEST(a15_private_refused)
{
	/* The last one is a name that does not say what it leads to. */
	char name[64], address[16] = "127.0.0.1", url[128];
	const char *const hosts[] = { "127.0.0.1", "localhost", "a.localhost", name };
	struct fetch_request r = { .url = url, .timeout_ms = 2000, .allow_insecure = true };
	struct server *s;

	if (hosts[_i] == name && !own_name(name, address))
		return;
	s = server_start_at(address, PLAIN, ok_script);
	snprintf(url, sizeof(url), "http://%s%s/", hosts[_i], strrchr(server_url(s, ""), ':'));
	fetch_request(&r);
	ck_assert_msg(got.outcome == FETCH_ANSWER && got.private_peer, "%s", got.why);
	r.refuse_private = true;
	fetch_request(&r);
	ck_assert_int_eq(got.outcome, FETCH_UNSENT);
	ck_assert_ptr_nonnull(strstr(got.why, "to a private address"));
	ck_assert_int_eq(server_connections(s), 1);
	server_stop(s);
}
END_TEST

/* A proxy's own address says nothing; a literal one, or a loopback name, is refused before it is asked. */
START_TEST(a15_private_behind_proxy)
{
	static const struct { const char *host; bool asked; } rows[] = {
		{ "192.168.1.1", false }, { "[fd00::1]", false }, { "localhost", false },
		{ "mcp.invalid", true }, { "11.1.1.1", true },
	};
	struct server *s = server_start(PLAIN, tunnel_script);
	char proxy[64], url[64];
	struct fetch_request r = {
		.url = url,
		.form = slice_of("a=b"),
		.way.proxy = proxy,
		.timeout_ms = 2000,
		.refuse_private = true,
		.allow_insecure = true,
	};

	tunnel = nitems(tunnels) - 1;
	snprintf(proxy, sizeof(proxy), "%s", server_url(s, ""));
	snprintf(url, sizeof(url), "http://%s/", rows[_i].host);
	fetch_request(&r);
	ck_assert_msg((got.outcome == FETCH_ANSWER) == rows[_i].asked, "%s", got.why);
	ck_assert(rows[_i].asked || got.outcome == FETCH_UNSENT);
	ck_assert_int_eq(server_connections(s), rows[_i].asked);
	server_stop(s);
}
END_TEST

/* The environment names a proxy and exceptions: the address of an exception is looked at before anything is sent. */
START_TEST(a15_private_exception_of_proxy)
{
	struct server *s, *p;
	char url[128], proxy[64], name[64], address[16];
	struct fetch_request r = {
		.url = url,
		.form = slice_of("a=b"),
		.way.proxy = "env",
		.timeout_ms = 2000,
		.refuse_private = true,
		.allow_insecure = true,
	};

	if (!own_name(name, address))
		return;
	s = server_start_at(address, PLAIN, ok_script);
	p = server_start(PLAIN, tunnel_script);
	tunnel = nitems(tunnels) - 1;
	snprintf(proxy, sizeof(proxy), "%s", server_url(p, ""));
	setenv("http_proxy", proxy, 1);
	setenv("no_proxy", name, 1);
	snprintf(url, sizeof(url), "http://%s%s/", name, strrchr(server_url(s, ""), ':'));
	fetch_request(&r);
	ck_assert_int_eq(got.outcome, FETCH_UNSENT);
	ck_assert_msg(strstr(got.why, "to a private address") != NULL, "%s", got.why);
	ck_assert_int_eq(server_connections(p), 0);
	snprintf(url, sizeof(url), "http://mcp.invalid/");
	fetch_request(&r);
	ck_assert_msg(got.outcome == FETCH_ANSWER && !got.private_peer, "%s", got.why);
	r.refuse_private = false;
	r.form = slice_of(NULL);
	snprintf(url, sizeof(url), "http://%s%s/", name, strrchr(server_url(s, ""), ':'));
	fetch_request(&r);
	ck_assert_msg(got.outcome == FETCH_ANSWER && got.private_peer, "%s", got.why);
	server_stop(s);
	server_stop(p);
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
	challenge_free(&got.challenge);
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
	tcase_add_loop_test(tc, head, 0, 2);
	tcase_add_test(tc, location);
	tcase_add_test(tc, head_only);
	tcase_add_loop_test(tc, a15_private_refused, 0, 4);
	tcase_add_loop_test(tc, a15_private_behind_proxy, 0, 5);
	tcase_add_test(tc, a15_private_exception_of_proxy);
	tcase_add_test(tc, refused_urls);
	tcase_add_test(tc, cancelled);
	suite_add_tcase(s, tc);
	r = srunner_create(s);
	srunner_run_all(r, CK_NORMAL);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed != 0;
}
