/*
 * A login and what happens around it: reloads, the upstream's end, a stop, a
 * logout, other wishes, who watches (contract H3, H4, H5, K; WIRE A17, A21).
 */
#include <check.h>
#include <signal.h>
#include <stdio.h>

#include "logins.h"

#define PATIENCE	20000

static struct world *w;
static struct authd *a;
static struct flow *flow;
static char url[8192];

static void
seen_url(void)
{
	const cJSON *e = flow_until(flow, "url", PATIENCE);

	ck_assert_msg(e != NULL, "%s", flow_said(flow));
	snprintf(url, sizeof(url), "%s", cJSON_GetObjectItem(e, "url")->valuestring);
}

static void
begin_flow(const char *wish)
{
	flow = flow_begin(a, "wall", wish);
	seen_url();
}

/* top: members beside mcpServers, or NULL. */
static void
start(const char *top)
{
	w = world_new(0);
	world_upstream(w, "wall", NULL);
	if (top != NULL)
		world_top(w, top);
	a = authd_start(w, NULL);
}

static void
end(void)
{
	flow_free(flow);
	flow = NULL;
	ck_assert_int_eq(wall_violations(w), 0);
	world_free(w);
}

static int
visit(void)
{
	struct reply page = { 0 };
	int status;

	if (browse(w, url, 3, &page, PATIENCE) != 0)
		return 0;	/* nobody listens any more */
	status = page.status;
	reply_free(&page);
	return status;
}

static int
post(const char *target, const char *body)
{
	struct reply r = { 0 };
	int status;

	ck_assert_int_eq(http(a->control, "POST", target, body, &r, PATIENCE), 0);
	status = r.status;
	reply_free(&r);
	return status;
}

static void
reload(const char *config)
{
	char text[1024];

	snprintf(text, sizeof(text), config, w->origin);
	file_write(w->config, text);
	ck_assert_int_eq(post("/v1/reload", NULL), 200);
}

static void
fails_with(const char *reason)
{
	const cJSON *e = flow_until(flow, "failed", PATIENCE);

	ck_assert_msg(e != NULL, "%s", flow_said(flow));
	ck_assert_str_eq(cJSON_GetObjectItem(e, "reason")->valuestring, reason);
}

static bool
is_logged_in(void)
{
	return strcmp(login_status(a, "credential", "state"), "logged_in") == 0;
}

/*
 * A reload keeps the flow, whatever it changes: limits only, or the upstream
 * itself; in front of the person, or while the server still thinks.
 */
START_TEST(h3_reload_keeps_a_flow)
{
	static const char *const configs[] = {
		"{ \"mcpServers\": { \"wall\": { \"url\": \"%s/mcp\" } }, \"limits\": { \"links\": 9 } }",
		"{ \"mcpServers\": { \"wall\": { \"url\": \"%s/mcp\", \"timeouts\": { \"recovery\": 9 } } } }",
	};
	static const char *const slow[][2] = {	/* whose answer is late, and what is said meanwhile */
		{ "{\"metadata\":{\"delay_ms\":700}}", "metadata" },
		{ "{\"register\":{\"delay_ms\":700}}", "registering" },
	};

	start(NULL);
	if (_i >= 2) {
		wall_fault(w, slow[_i - 2][0]);
		flow = flow_begin(a, "wall", NULL);
		while (strstr(flow_said(flow), slow[_i - 2][1]) == NULL)
			ck_assert_ptr_nonnull(flow_next(flow, PATIENCE));
		ck_assert_ptr_null(strstr(flow_said(flow), "\"url\""));
		for (int i = 0; i < 3; i++)
			reload(configs[i % 2]);
		seen_url();
	} else {
		begin_flow(NULL);
		reload(configs[_i]);
		reload(configs[_i]);
	}
	ck_assert_int_eq(visit(), 200);
	ck_assert_msg(flow_until(flow, "done", PATIENCE) != NULL, "%s", flow_said(flow));
	ck_assert(is_logged_in());
	end();
}
END_TEST

START_TEST(h3_ends_with_its_upstream)
{
	start(NULL);
	begin_flow(NULL);
	reload("{ \"mcpServers\": { \"other\": { \"url\": \"%s/mcp\" } } }");
	fails_with("cancelled");
	ck_assert_int_ne(visit(), 200);
	ck_assert_int_eq(wall_count(w, "token.requests"), 0);
	end();
}
END_TEST

START_TEST(k_ends_with_the_daemon)
{
	start(NULL);
	begin_flow(NULL);
	ck_assert_int_eq(authd_stop(a), 0);
	fails_with("draining");
	end();
}
END_TEST

/*
 * K: what was sent is awaited, and stored: a code that is being exchanged, a
 * device's poll.  A poll that brings nothing is the last one.
 */
START_TEST(k_a_token_that_was_asked_for_is_kept)
{
	static const char *const wishes[] = { "{\"manual\":true}", "{\"device\":true}",
	    "{\"device\":true}" };
	int64_t deadline = now_ms() + PATIENCE;
	char *good, body[9000];

	start(NULL);
	wall_fault(w, "{\"token\":{\"hold\":true},\"times\":1}");
	if (_i == 0) {
		begin_flow(wishes[_i]);
		good = browse_location(w, url, PATIENCE);
		snprintf(body, sizeof(body), "{\"redirect\":\"%s\"}", good);
		free(good);
		ck_assert_int_eq(post("/v1/login/wall/redirect", body), 200);
	} else {
		flow = flow_begin(a, "wall", wishes[_i]);
		ck_assert_ptr_nonnull(flow_until(flow, "device", PATIENCE));
		if (_i == 1)
			wall_do(w, "device?do=approve", NULL);
	}
	ck_assert(wall_wait_is(w, "held", 1, PATIENCE));
	ck_assert_int_eq(kill(a->pid, SIGTERM), 0);
	while (authd_ready(a, 0))
		continue;
	wall_do(w, "release", NULL);
	if (_i < 2)
		ck_assert_msg(flow_until(flow, "done", PATIENCE) != NULL, "%s", flow_said(flow));
	else
		fails_with("draining");
	ck_assert_int_eq(authd_wait(a, PATIENCE), 0);
	ck_assert_int_eq(wall_count(w, "token.requests"), 1);
	a = authd_start(w, NULL);
	while (_i < 2 && !is_logged_in())		/* not while it is being read */
		ck_assert_int_lt(now_ms(), deadline);
	ck_assert(_i < 2 || !is_logged_in());
	end();
}
END_TEST

/* A secret command is run once for a login, however often the device polls. */
START_TEST(a21_one_secret_for_all_polls)
{
	char members[600], ran[300];
	char *text;

	w = world_new(0);
	snprintf(ran, sizeof(ran), "%s/ran", w->dir);
	snprintf(members, sizeof(members), "\"oauth\":{\"clientId\":\"dev\","
	    "\"clientSecretCommand\":[\"/bin/sh\",\"-c\",\"echo x >>%s; echo s3cret-of-dev\"]}", ran);
	wall_do(w, "client", "{\"client_id\":\"dev\",\"client_secret\":\"s3cret-of-dev\","
	    "\"method\":\"client_secret_basic\"}");
	wall_do(w, "set", "{\"device_pending\":2}");
	world_upstream(w, "wall", members);
	a = authd_start(w, NULL);
	flow = flow_begin(a, "wall", "{\"device\":true}");
	ck_assert_msg(flow_until(flow, "done", PATIENCE) != NULL, "%s", flow_said(flow));
	ck_assert_int_eq(wall_count(w, "device.polls"), 3);
	text = file_read(ran, NULL);
	ck_assert_str_eq(text, "x\n");
	free(text);
	end();
}
END_TEST

/* H4: a logout is not undone by a login that was still going on. */
START_TEST(h4_logout_ends_a_flow)
{
	start(NULL);
	begin_flow(NULL);
	ck_assert_int_eq(log_out(a, "wall", NULL), 200);
	fails_with("cancelled");
	ck_assert_int_ne(visit(), 200);
	ck_assert(!is_logged_in());
	end();
}
END_TEST

/* Another wish than the flow that runs can serve is told so, and does not disturb it. */
START_TEST(h3_another_wish_is_busy)
{
	struct flow *more;

	start(NULL);
	begin_flow("{\"scope\":\"alpha beta\"}");
	ck_assert_int_eq(post("/v1/login/wall", "{\"device\":true}"), 409);
	ck_assert_int_eq(post("/v1/login/wall", "{\"scope\":\"gamma\"}"), 409);
	more = flow_begin(a, "wall", "{\"scope\":\"beta\"}");
	ck_assert_int_eq(flow_status(more), 200);
	ck_assert_ptr_nonnull(flow_until(more, "url", PATIENCE));
	flow_free(more);
	ck_assert_int_eq(visit(), 200);
	ck_assert_ptr_nonnull(flow_until(flow, "done", PATIENCE));
	ck_assert_int_eq(post("/v1/login/wall/redirect", "{\"redirect\":\"late\"}"), 409);
	end();
}
END_TEST

/* A21: a code that was pasted wrong is no end: the right one, or the browser, may follow. */
START_TEST(a21_a_wrong_code_is_no_end)
{
	start(NULL);
	begin_flow("{\"manual\":true}");
	ck_assert_int_eq(post("/v1/login/wall/redirect", "{\"redirect\":\"no-such-code\"}"), 200);
	while (strstr(flow_said(flow), "knows no such code") == NULL)
		ck_assert_ptr_nonnull(flow_next(flow, PATIENCE));
	ck_assert_int_eq(visit(), 200);
	ck_assert_msg(flow_until(flow, "done", PATIENCE) != NULL, "%s", flow_said(flow));
	end();
}
END_TEST

static void
need_login(void)
{
	struct ask ask = { .socket = authd_socket(a, "wall"), .version = "2026-07-28" };
	struct reply r = { 0 };

	ck_assert_int_eq(tool(&ask, 1, "echo", NULL, &r, PATIENCE), 0);
	ck_assert_str_eq(reply_reason(&r), "login_required");
	reply_free(&r);
}

/* A flow that requests needed goes on when a person who joined it leaves. */
START_TEST(h3_a_needed_flow_outlives_its_watchers)
{
	int64_t deadline = now_ms() + PATIENCE;

	start("\"login\":{\"command\":[\"/bin/true\",\"{url}\"]}");
	need_login();
	begin_flow(NULL);
	flow_free(flow);
	flow = NULL;
	ck_assert_int_eq(visit(), 200);
	while (!is_logged_in())
		ck_assert_int_lt(now_ms(), deadline);
	ck_assert_int_eq(wall_count(w, "register.requests"), 1);
	end();
}
END_TEST

/* H5: a command that fails brings nobody: its flow ends, and A17, none follows at once. */
START_TEST(a17_a_command_that_fails)
{
	int64_t deadline = now_ms() + PATIENCE;
	const char *why;

	start("\"login\":{\"command\":[\"/bin/false\",\"{url}\"]}");
	need_login();
	while ((why = login_status(a, "login", "last_failure")) == NULL)
		ck_assert_int_lt(now_ms(), deadline);
	ck_assert_msg(strstr(why, "login.command") != NULL, "%s", why);
	for (int i = 0; i < 5; i++)
		need_login();
	ck_assert_int_eq(wall_count(w, "register.requests"), 1);
	end();
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("login_life");
	TCase *t = tcase_create("login_life");
	SRunner *r;
	int failed;

	tcase_set_timeout(t, 60);
	tcase_add_loop_test(t, h3_reload_keeps_a_flow, 0, 4);
	tcase_add_test(t, h3_ends_with_its_upstream);
	tcase_add_test(t, k_ends_with_the_daemon);
	tcase_add_loop_test(t, k_a_token_that_was_asked_for_is_kept, 0, 3);
	tcase_add_test(t, a21_one_secret_for_all_polls);
	tcase_add_test(t, h4_logout_ends_a_flow);
	tcase_add_test(t, h3_another_wish_is_busy);
	tcase_add_test(t, a21_a_wrong_code_is_no_end);
	tcase_add_test(t, h3_a_needed_flow_outlives_its_watchers);
	tcase_add_test(t, a17_a_command_that_fails);
	suite_add_tcase(s, t);
	r = srunner_create(s);
	srunner_run_all(r, CK_NORMAL);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed != 0;
}
