/*
 * Renewals in a running daemon: what the metadata says after a 401 (contract
 * C7), grants that need no person (C6, WIRE A14, A19, A20), and what a 403
 * asks for (contract J, A11).
 */
#include <check.h>
#include <stdio.h>

#include "scene.h"

static struct world *w;
static struct authd *a;
static struct ask ask;
static char *session;

static void
start(const char *members)
{
	if (w == NULL)
		w = world_new(0);
	world_upstream(w, "wall", members);
	a = authd_start(w, NULL);
	ask = (struct ask){ .socket = authd_socket(a, "wall") };
}

/* A new session with this daemon: the first exchange of all. */
static void
begin_session(void)
{
	free(session);
	ask.socket = authd_socket(a, "wall");
	ask.session = NULL;
	ask.session = session = session_open(&ask);
}

static void
end(void)
{
	ck_assert_int_eq(wall_violations(w), 0);
	ck_assert_int_eq(wall_count(w, "leaks") + wall_count(w, "other.leaks"), 0);
	world_free(w);
	w = NULL;
	free(session);
	session = NULL;
}

static const char *
asked(const char *tool)
{
	static char reason[64];
	struct buf body = BUF_INIT(0);
	struct reply r = { 0 };

	tool_json(&body, 1, tool, NULL);
	ck_assert_int_eq(rpc(&ask, body.p, &r, 15000), 0);
	ck_assert_int_eq(r.status, 200);
	ck_assert_ptr_null(reply_field(&r, "WWW-Authenticate").p);	/* A1 */
	snprintf(reason, sizeof(reason), "%s", reply_reason(&r));
	buf_free(&body);
	reply_free(&r);
	return reason;
}

static cJSON *
credential(void)
{
	cJSON *status = authd_status(a);
	cJSON *c = cJSON_DetachItemFromObject(cJSON_GetArrayItem(
	    cJSON_GetObjectItem(status, "upstreams"), 0), "credential");

	cJSON_Delete(status);
	ck_assert_ptr_nonnull(c);
	return c;
}

/* A member of the credential's status as text; static. */
static const char *
status(const char *key)
{
	static char text[400];
	cJSON *c = credential();
	char *s = cJSON_PrintUnformatted(cJSON_GetObjectItem(c, key));

	snprintf(text, sizeof(text), "%s", s != NULL ? s : "(absent)");
	free(s);
	cJSON_Delete(c);
	return text;
}

/* --- C7 --- */

/* Read, and another server in it: the refresh token is sent nowhere; taken back: served again, without a login. */
START_TEST(c7_another_issuer)
{
	start(NULL);
	world_login(w, a, "wall", NULL);
	begin_session();
	wall_do(w, "set", "{\"authorization_servers\": [\"%OTHER%\"]}");
	wall_do(w, "expire", NULL);
	for (int i = 0; i < 3; i++)
		ck_assert_str_eq(asked("echo"), "login_required");
	ck_assert_int_eq(wall_count(w, "token.requests"), 0);
	ck_assert_int_eq(wall_count(w, "other.requests"), 0);
	ck_assert_int_ge(wall_count(w, "metadata.resource"), 1);
	ck_assert_ptr_nonnull(strstr(status("trouble"), "does not name the issuer"));
	/* Once contradicted, unreadable metadata is no excuse. */
	wall_do(w, "fault", "{\"metadata\": {\"status\": 500}}");
	ck_assert_str_eq(asked("echo"), "login_required");
	ck_assert_int_eq(wall_count(w, "token.requests"), 0);
	wall_do(w, "clear", NULL);
	wall_do(w, "set", "{\"authorization_servers\": [\"%OTHER%\", \"%ORIGIN%\"]}");
	ck_assert_str_eq(asked("echo"), "");
	ck_assert_int_eq(wall_count(w, "token.requests"), 1);
	end();
}
END_TEST

static const char *const unreadable[] = {
	"{\"metadata\": {\"status\": 500}}",
	"{\"metadata\": {\"status\": 404}}",
	"{\"metadata\": {\"body\": \"<html>\", \"status\": 200}}",
	"{\"metadata\": {\"close_after_read\": true}}",
	"{\"metadata\": {\"hang\": true}}",
};

/* Unreadable, or for ever silent (VERIFY_WAIT): on with the stored endpoint. */
START_TEST(c7_unreadable)
{
	start(NULL);
	world_login(w, a, "wall", NULL);
	begin_session();
	wall_do(w, "fault", unreadable[_i]);
	wall_do(w, "expire", NULL);
	ck_assert_str_eq(asked("echo"), "");
	ck_assert_int_eq(wall_count(w, "token.requests"), 1);
	end();
}
END_TEST

static void
wait_count(const char *what, int n)
{
	int64_t deadline = now_ms() + 10000;

	while (wall_count(w, what) < n && now_ms() < deadline)
		pause_ms(2);
	ck_assert_int_ge(wall_count(w, what), n);
}

/* First the metadata, then the token request; nothing of it for a plain expiry. */
START_TEST(c7_order)
{
	struct client *c;
	struct reply r = { 0 };

	start(NULL);
	world_login(w, a, "wall", "lifetime=1");
	begin_session();
	pause_ms(1100);
	ck_assert_str_eq(asked("echo"), "");
	ck_assert_int_eq(wall_count(w, "token.requests"), 1);
	ck_assert_int_eq(wall_count(w, "metadata.resource"), 0);
	wall_do(w, "fault", "{\"metadata\": {\"hold\": true}}");
	wall_do(w, "expire", NULL);
	c = begin_tool(&ask, "echo", NULL);
	wait_count("held", 1);
	ck_assert_int_eq(wall_count(w, "token.requests"), 1);
	ck_assert_str_eq(status("machine"), "\"VERIFYING\"");
	wall_do(w, "release", NULL);
	hear(c, "POST", &r, 200);
	ck_assert_str_eq(reply_reason(&r), "");
	ck_assert_int_eq(wall_count(w, "token.requests"), 2);
	reply_free(&r);
	client_close(c);
	end();
}
END_TEST

/* No issuer is stored: the token endpoint is pinned, whatever the metadata says. */
START_TEST(c7_no_issuer)
{
	cJSON *doc;
	char *text;

	start(NULL);
	doc = wall_post(w, "issue", NULL);
	cJSON_DeleteItemFromObject(doc, "issuer");
	text = cJSON_PrintUnformatted(doc);
	ck_assert_int_eq(authd_import(a, "wall", text) / 100, 2);
	free(text);
	cJSON_Delete(doc);
	begin_session();
	wall_do(w, "set", "{\"authorization_servers\": [\"%OTHER%\"]}");
	wall_do(w, "expire", NULL);
	ck_assert_str_eq(asked("echo"), "");
	ck_assert_int_eq(wall_count(w, "metadata.resource"), 0);
	ck_assert_int_eq(wall_count(w, "token.requests"), 1);
	ck_assert_int_eq(wall_count(w, "other.requests"), 0);
	end();
}
END_TEST

/* --- grants that need no person --- */

/* A world with a client that somebody has set up at the wall. */
static void
begin(void)
{
	w = world_new(0);
	wall_do(w, "client", "{\"client_id\": \"machine\", \"client_secret\": \"machine-secret\"}");
}

/* A file in the world's directory; its path, static. */
static const char *
put(const char *name, const char *text)
{
	static char path[2][200];
	static int turn;
	char *p = path[turn++ % 2];

	snprintf(p, sizeof(path[0]), "%s/%s", w->dir, name);
	file_write(p, text);
	return p;
}

static void
start_machine(const char *grant, const char *more)
{
	char members[1600];

	snprintf(members, sizeof(members), "\"oauth\": {\"grant\": \"%s\", \"clientId\": "
	    "\"machine\", \"clientSecretFile\": \"%s\"%s}", grant,
	    put("secret", "machine-secret\n"), more);
	start(members);
}

/* A19: nothing is stored, and the first exchange is served; each renewal is a new grant, also after a restart. */
START_TEST(a19_client_credentials)
{
	begin();
	start_machine("client_credentials", "");
	while (strcmp(status("state"), "\"loading\"") == 0)
		pause_ms(2);
	ck_assert_str_eq(status("state"), "\"logged_in\"");
	begin_session();
	ck_assert_str_eq(asked("echo"), "");
	ck_assert_int_eq(wall_count(w, "token.requests"), 1);
	ck_assert_int_eq(wall_count(w, "grants.client_credentials"), 1);
	ck_assert_int_eq(wall_count(w, "register.requests"), 0);
	ck_assert_str_eq(status("grant"), "\"client_credentials\"");
	ck_assert_str_eq(status("client"), "\"configured\"");
	wall_do(w, "expire", NULL);
	ck_assert_str_eq(asked("echo"), "");
	ck_assert_int_eq(wall_count(w, "grants.client_credentials"), 2);
	authd_stop(a);
	a = authd_start(w, NULL);
	begin_session();
	ck_assert_str_eq(asked("echo"), "");
	ck_assert_int_eq(wall_count(w, "token.requests"), 2);
	end();
}
END_TEST

/* A refusal is one of the configuration; nothing is dropped, and the next try is a while later (D). */
START_TEST(a19_refused)
{
	struct reply r = { 0 };

	begin();
	start_machine("client_credentials", "");
	wall_do(w, "fault", "{\"token\": {\"status\": 400, \"body\": \"{\\\"error\\\":\\\"invalid_grant\\\"}\"}}");
	ck_assert_str_eq(asked("echo"), "login_required");
	ck_assert_str_eq(asked("echo"), "login_required");
	ck_assert_int_eq(wall_count(w, "token.requests"), 1);
	ck_assert_int_eq(tool(&ask, 9, "echo", NULL, &r, 10000), 0);
	ck_assert_msg(memmem(r.body.p, r.body.len, "mcp-authctl doctor wall", 23) != NULL &&
	    memmem(r.body.p, r.body.len, "mcp-authctl login", 17) == NULL, "no login helps: %s", r.body.p);
	reply_free(&r);
	ck_assert_ptr_nonnull(strstr(status("last_error"), "invalid_grant"));
	wall_do(w, "clear", NULL);
	ck_assert_int_eq(http(a->control, "POST", "/v1/reload", NULL, &r, 10000), 0);
	reply_free(&r);
	begin_session();
	ck_assert_str_eq(asked("echo"), "");
	end();
}
END_TEST

/* A20: both legs, the second alone while the ID-JAG lives, and the first again when it does not. */
START_TEST(a20_id_jag)
{
	char more[900];

	begin();
	wall_do(w, "client", "{\"client_id\": \"at-idp\", \"method\": \"none\"}");
	wall_do(w, "set", "{\"subject_token\": \"subject-token-1\"}");
	snprintf(more, sizeof(more), ", \"idp\": {\"tokenEndpoint\": \"%s/idp/token\", "
	    "\"clientId\": \"at-idp\", \"subjectTokenFile\": \"%s\"}", w->origin,
	    put("subject", "subject-token-1\n"));
	start_machine("id_jag", more);
	begin_session();
	ck_assert_int_eq(wall_count(w, "exchange.granted"), 1);
	wall_do(w, "expire", NULL);
	ck_assert_str_eq(asked("echo"), "");
	ck_assert_int_eq(wall_count(w, "exchange.requests"), 1);
	wall_do(w, "fault", "{\"token\": {\"status\": 400, \"body\": "
	    "\"{\\\"error\\\":\\\"invalid_grant\\\"}\"}, \"times\": 1}");
	wall_do(w, "expire", NULL);
	ck_assert_str_eq(asked("echo"), "");
	ck_assert_int_eq(wall_count(w, "exchange.granted"), 2);
	end();
}
END_TEST

/* --- J --- */

/* The scope is remembered for a login, and shown; another challenge replaces it; a login forgets it. */
START_TEST(j_needed_scope)
{
	start(NULL);
	world_login(w, a, "wall", NULL);
	begin_session();
	ck_assert_str_eq(status("needed_scope"), "null");
	ck_assert_str_eq(asked("scope403"), "insufficient_scope");
	ck_assert_str_ne(status("needed_scope"), "null");
	world_login(w, a, "wall", NULL);
	ck_assert_str_eq(status("needed_scope"), "null");
	ck_assert_int_eq(wall_count(w, "token.requests"), 0);
	end();
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("grants");
	TCase *tc = tcase_create("grants");
	SRunner *sr;
	int failed;

	tcase_set_timeout(tc, 60);
	tcase_add_test(tc, c7_another_issuer);
	tcase_add_loop_test(tc, c7_unreadable, 0, nitems(unreadable));
	tcase_add_test(tc, c7_order);
	tcase_add_test(tc, c7_no_issuer);
	tcase_add_test(tc, a19_client_credentials);
	tcase_add_test(tc, a19_refused);
	tcase_add_test(tc, a20_id_jag);
	tcase_add_test(tc, j_needed_scope);
	suite_add_tcase(s, tc);
	sr = srunner_create(s);
	srunner_run_all(sr, CK_NORMAL);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed != 0;
}
