/*
 * The redirect's receiver, from a browser's side: WIRE A12, A13, A21 (pasting);
 * contract H3.  A wrong path, a wrong state or a second request gets its 400
 * and does not end the flow; the listener is gone when the flow ends.
 */
#include <check.h>
#include <stdio.h>

#include "logins.h"

#define PATIENCE	20000

static struct world *w;
static struct authd *a;
static struct flow *flow;
static char where[32];		/* "tcp:PORT" of the listener */
static char url[8192], redirect[400];
static char *good;		/* the redirect that the server would send: code, state, iss */

/* A flow that waits for its redirect; the person's answer is in `good` and not yet delivered. */
static void
start(const char *wish)
{
	const cJSON *e;

	w = world_new(0);
	world_upstream(w, "wall", NULL);
	a = authd_start(w, NULL);
	flow = flow_begin(a, "wall", wish);
	e = flow_until(flow, "url", PATIENCE);
	ck_assert_msg(e != NULL, "no url: %s", flow_said(flow));
	snprintf(url, sizeof(url), "%s", cJSON_GetObjectItem(e, "url")->valuestring);
	snprintf(redirect, sizeof(redirect), "%s",
	    cJSON_GetObjectItem(e, "redirect_uri")->valuestring);
	ck_assert(strncmp(redirect, "http://127.0.0.1:", 17) == 0);
	snprintf(where, sizeof(where), "tcp:%d", atoi(redirect + 17));
	good = browse_location(w, url, PATIENCE);
	ck_assert(strncmp(good, redirect, strlen(redirect)) == 0);
}

/* The page's status. */
static int
visit(const char *to)
{
	struct reply page = { 0 };
	int status;

	ck_assert_int_eq(browse(w, to, 0, &page, PATIENCE), 0);
	ck_assert_ptr_null(reply_field(&page, "Location").p);
	ck_assert(slice_eq(reply_field(&page, "Cache-Control"), "no-store"));
	ck_assert(slice_eq(reply_field(&page, "Referrer-Policy"), "no-referrer"));
	ck_assert_ptr_nonnull(reply_field(&page, "Content-Security-Policy").p);
	status = page.status;
	reply_free(&page);
	return status;
}

/* Before its end was told; where nobody was told, soon. */
static void
is_gone(void)
{
	int64_t deadline = now_ms() + (flow != NULL ? 0 : PATIENCE);
	struct client *c;

	while ((c = client_try(where)) != NULL) {
		client_close(c);
		ck_assert_int_lt(now_ms(), deadline);
		pause_ms(10);
	}
}

static void
end(void)
{
	is_gone();
	flow_free(flow);
	free(good);
	ck_assert_int_eq(wall_violations(w), 0);
	world_free(w);
}

/* The flow goes on, whatever was said before, and ends well. */
static void
ends_well(void)
{
	ck_assert_int_eq(visit(good), 200);
	ck_assert_msg(flow_until(flow, "done", PATIENCE) != NULL, "%s", flow_said(flow));
	ck_assert_int_eq(wall_count(w, "grants.authorization_code"), 1);
	ck_assert_int_eq(wall_count(w, "authorize.code_replays"), 0);
}

/* What follows "state=" in `good`, in place of it. */
static char *
with(const char *name, const char *value)
{
	struct buf b = BUF_INIT(0);
	char *at, want[32];

	snprintf(want, sizeof(want), "%s=", name);
	at = strstr(good, want);
	ck_assert_ptr_nonnull(at);
	buf_add(&b, good, (size_t)(at - good));
	if (value != NULL)
		buf_addf(&b, "%s%s", want, value);
	buf_adds(&b, at + strcspn(at, "&"));
	return buf_steal(&b);
}

/* A13. */
START_TEST(a13_a_stray_request_changes_nothing)
{
	struct buf b = BUF_INIT(0);
	char *to;

	start(NULL);
	switch (_i) {
	case 0:		/* wrong path */
		buf_addf(&b, "http://127.0.0.1:%s/other%s", where + 4, strchr(good, '?'));
		break;
	case 1:		/* no query */
		buf_adds(&b, redirect);
		break;
	case 2:		/* favicon */
		buf_addf(&b, "http://127.0.0.1:%s/favicon.ico", where + 4);
		break;
	case 3:		/* wrong state */
		buf_adds(&b, to = with("state", "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"));
		free(to);
		break;
	case 4:		/* no state */
		buf_adds(&b, to = with("state", NULL));
		free(to);
		break;
	case 5:		/* a parameter twice */
		buf_addf(&b, "%s&code=another", good);
		break;
	case 6:		/* an error, but not of this flow */
		buf_addf(&b, "%s?error=access_denied&state=x", redirect);
		break;
	}
	for (int i = 0; i < 3; i++)
		ck_assert_int_eq(visit(b.p), 400);
	buf_free(&b);
	ends_well();
	end();
}
END_TEST

/* 100 kB of error_description: too much for a request line, and no end of the flow. */
START_TEST(a13_a_redirect_too_long)
{
	struct reply page = { 0 };

	start(NULL);
	wall_do(w, "set", "{\"deny\":true,\"description_bytes\":102400}");
	ck_assert_int_eq(browse(w, url, 1, &page, PATIENCE), 0);
	ck_assert_int_eq(page.status / 100, 4);
	ck_assert_ptr_null(strstr(page.body.p != NULL ? page.body.p : "", "description"));
	reply_free(&page);
	ends_well();
	end();
}
END_TEST

/* A13: other methods, a foreign Host (DNS rebinding), and what is no HTTP at all. */
START_TEST(a13_a_stray_client_changes_nothing)
{
	static const char *const requests[] = {
		"POST %s HTTP/1.1\r\nHost: %s\r\nContent-Length: 0\r\n\r\n",
		"HEAD %s HTTP/1.1\r\nHost: %s\r\n\r\n",
		"OPTIONS %s HTTP/1.1\r\nHost: %s\r\nOrigin: https://evil.example\r\n\r\n",
		"GET %s HTTP/1.1\r\nHost: evil.example\r\n\r\n",
		"GET %s HTTP/1.1\r\nHost: 127.0.0.1.evil.example:%s\r\n\r\n",
		"GET %s HTTP/1.1\r\nHost: %s\r\nHost: b\r\n\r\n",
		"GET %s\r\n\r\n",
		"garbage\r\n\r\n",
	};
	char bytes[9000], piece[4096], host[64];
	struct client *c;

	start(NULL);
	snprintf(host, sizeof(host), "127.0.0.1:%s", where + 4);
	snprintf(bytes, sizeof(bytes), requests[_i], strstr(good, "/callback"), host);
	c = client_open(where);
	ck_assert_int_eq(client_send(c, bytes, strlen(bytes), PATIENCE), 0);
	ck_assert_int_gt(client_read(c, piece, sizeof(piece) - 1, PATIENCE), 12);
	/* HEAD, as previews send it, finds the page there and takes no code from it. */
	ck_assert_msg(strncmp(piece, _i == 1 ? "HTTP/1.1 2" : "HTTP/1.1 4", 10) == 0, "%.20s", piece);
	client_close(c);
	ends_well();
	end();
}
END_TEST

/* H3: clients that connect and say nothing, or half of a head, keep nobody out. */
START_TEST(a13_silent_clients_keep_nobody_out)
{
	struct client *c[200];
	size_t n = 0;

	start(NULL);
	for (; n < nitems(c) && (c[n] = client_try(where)) != NULL; n++)
		client_send(c[n], "GET /callback?co", 16, 100);
	ends_well();
	while (n > 0)
		client_close(c[--n]);
	end();
}
END_TEST

/* The second request gets a page that says that it is over; the code is spent once. */
START_TEST(a13_a_second_request)
{
	struct reply page = { 0 };
	struct client *first;
	char request[9000];
	int rc;

	start(NULL);
	wall_fault(w, "{\"token\":{\"hold\":true},\"times\":1}");
	first = client_open(where);
	snprintf(request, sizeof(request), "GET %s HTTP/1.1\r\nHost: %s\r\n\r\n",
	    strstr(good, "/callback"), redirect + 7);
	*strchr(strstr(request, "Host: ") + 6, '/') = '\0';
	strcat(request, "\r\n\r\n");
	ck_assert_int_eq(client_send(first, request, strlen(request), PATIENCE), 0);
	ck_assert(wall_wait(w, "held", 1, PATIENCE));
	ck_assert_int_eq(visit(good), 400);
	wall_do(w, "release", NULL);
	ck_assert_int_eq(client_reply(first, "GET", &page, PATIENCE), 0);
	ck_assert_int_eq(page.status, 200);
	ck_assert_ptr_nonnull(flow_until(flow, "done", PATIENCE));
	ck_assert_int_eq(wall_count(w, "grants.authorization_code"), 1);
	rc = browse(w, good, 0, &page, PATIENCE);
	ck_assert(rc != 0 || page.status == 400);
	client_close(first);
	reply_free(&page);
	end();
}
END_TEST

/* A13: gone however the flow ends: denied, given up, logged out, the daemon stopped. */
START_TEST(h3_the_listener_goes_with_the_flow)
{
	char *denied;

	start(NULL);
	switch (_i) {
	case 0:
		wall_do(w, "set", "{\"deny\":true,\"description_bytes\":5000}");
		denied = browse_location(w, url, PATIENCE);
		ck_assert_int_eq(visit(denied), 200);
		free(denied);
		ck_assert_ptr_nonnull(flow_until(flow, "failed", PATIENCE));
		ck_assert_ptr_null(strstr(flow_said(flow), "description"));
		break;
	case 1:
		flow_free(flow);
		flow = NULL;
		break;
	case 2:
		log_out(a, "wall", NULL);
		ck_assert_ptr_nonnull(flow_until(flow, "failed", PATIENCE));
		break;
	case 3:
		ck_assert_int_eq(authd_stop(a), 0);
		break;
	}
	end();
}
END_TEST

/* A12: the redirect of a foreign issuer ends the flow, and its code goes nowhere. */
START_TEST(a12_issuer_of_the_redirect)
{
	static const char *const iss[] = { "https%3A%2F%2Fevil.example", NULL, "" };
	char *to;

	start(NULL);
	to = with("iss", iss[_i]);
	ck_assert_int_eq(visit(to), 502);
	free(to);
	ck_assert_msg(flow_until(flow, "failed", PATIENCE) != NULL, "%s", flow_said(flow));
	ck_assert_ptr_null(strstr(flow_said(flow), "evil"));
	ck_assert_ptr_nonnull(strstr(flow_said(flow), "RFC 9207"));
	ck_assert_int_eq(wall_count(w, "token.requests"), 0);
	end();
}
END_TEST

/* POST /v1/login/wall/redirect: its status. */
static int
paste(const char *text)
{
	struct reply r = { 0 };
	struct buf b = BUF_INIT(0);
	int status;

	buf_adds(&b, "{\"redirect\":");
	buf_addjson(&b, text, strlen(text));
	buf_adds(&b, "}");
	ck_assert_int_eq(http(a->control, "POST", "/v1/login/wall/redirect", b.p, &r, PATIENCE), 0);
	status = r.status;
	buf_free(&b);
	reply_free(&r);
	return status;
}

/* A21: where the browser is elsewhere, its redirect URL is pasted; a wrong one changes nothing. */
START_TEST(a21_pasted)
{
	char *code = NULL, *to;

	start("{\"manual\":true}");
	to = with("state", "BBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBB");
	ck_assert_int_eq(paste(to), 400);
	free(to);
	ck_assert_int_eq(paste(""), 400);
	ck_assert_int_eq(paste("http://127.0.0.1/callback"), 400);
	if (_i == 0) {
		ck_assert_int_eq(paste(good), 200);
	} else {
		code = strndup(strstr(good, "code=") + 5, strcspn(strstr(good, "code=") + 5, "&"));
		ck_assert_int_eq(paste(code), 200);
	}
	ck_assert_msg(flow_until(flow, "done", PATIENCE) != NULL, "%s", flow_said(flow));
	ck_assert_int_eq(paste(good), 409);
	free(code);
	end();
}
END_TEST

/* H3: those who come later watch the same flow. */
START_TEST(h3_all_watch_one_flow)
{
	struct flow *more[3];
	const cJSON *e;

	start(NULL);
	for (size_t i = 0; i < nitems(more); i++) {
		more[i] = flow_begin(a, "wall", NULL);
		ck_assert_int_eq(flow_status(more[i]), 200);
		e = flow_until(more[i], "url", PATIENCE);
		ck_assert_ptr_nonnull(e);
		ck_assert_str_eq(cJSON_GetObjectItem(e, "url")->valuestring, url);
	}
	flow_free(flow);	/* who began it may leave */
	flow = NULL;
	ck_assert_int_eq(visit(good), 200);
	for (size_t i = 0; i < nitems(more); i++) {
		ck_assert_ptr_nonnull(flow_until(more[i], "done", PATIENCE));
		flow_free(more[i]);
	}
	ck_assert_int_eq(wall_count(w, "register.requests"), 1);
	end();
}
END_TEST

/* The configured port, also if somebody else has it. */
START_TEST(a8_configured_port)
{
	char members[80];
	const struct outcome *o;

	start(NULL);
	snprintf(members, sizeof(members), "\"oauth\":{\"redirectPort\":%d}", w->other_port);
	flow_free(flow);
	flow = NULL;
	ck_assert_int_eq(authd_stop(a), 0);
	world_config_clear(w);
	world_upstream(w, "wall", members);
	a = authd_start(w, NULL);
	o = log_in(w, a, "wall", NULL);
	ck_assert(!o->done);
	snprintf(members, sizeof(members), "%d", w->other_port);
	ck_assert_msg(strstr(o->message, members) != NULL || strstr(o->hint, members) != NULL,
	    "%s: %s", o->message, o->hint);
	end();
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("login_callback");
	TCase *t = tcase_create("login_callback");
	SRunner *r;
	int failed;

	tcase_set_timeout(t, 60);
	tcase_add_loop_test(t, a13_a_stray_request_changes_nothing, 0, 7);
	tcase_add_test(t, a13_a_redirect_too_long);
	tcase_add_loop_test(t, a13_a_stray_client_changes_nothing, 0, 8);
	tcase_add_test(t, a13_silent_clients_keep_nobody_out);
	tcase_add_test(t, a13_a_second_request);
	tcase_add_loop_test(t, h3_the_listener_goes_with_the_flow, 0, 4);
	tcase_add_loop_test(t, a12_issuer_of_the_redirect, 0, 3);
	tcase_add_loop_test(t, a21_pasted, 0, 2);
	tcase_add_test(t, h3_all_watch_one_flow);
	tcase_add_test(t, a8_configured_port);
	suite_add_tcase(s, t);
	r = srunner_create(s);
	srunner_run_all(r, CK_NORMAL);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed != 0;
}
