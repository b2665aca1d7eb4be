/*
 * mcp-authctl doctor against a wall that lacks one thing at a time: the step
 * that is wrong says so, in words that say what to do, and nothing is changed
 * by asking (A1, A2; H5: no login begins).
 */
#include <check.h>
#include <signal.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "json.h"
#include "scene.h"

#define PATIENCE	20000

static struct scene s;
static char said[16384];

/* --- the command --- */

/* Its exit code; what it printed is in `said`. */
static int
doctor(const char *name)
{
	struct ctl *k = ctl_start(s.a, (const char *const[]){ "doctor", name, NULL }, NULL);
	int code = ctl_end(k, PATIENCE);

	snprintf(said, sizeof(said), "%s%s", ctl_out(k), ctl_err(k));
	ctl_free(k);
	return code;
}

/* The line of that step has this result, and it or its hint holds the words. */
static void
step_is(const char *step, const char *result, const char *words)
{
	char begin[32], text[2048];
	const char *at, *end;

	snprintf(begin, sizeof(begin), "%-4s  %-9s  ", result, step);
	at = strstr(said, begin);
	ck_assert_msg(at != NULL && (at == said || at[-1] == '\n'), "no %s is %s in:\n%s", step, result,
	    said);
	for (end = strchr(at, '\n'); end != NULL && strncmp(end, "\n    ", 5) == 0;)
		end = strchr(end + 1, '\n');
	snprintf(text, sizeof(text), "%.*s", (int)(end - at), at);
	ck_assert_msg(strstr(text, words) != NULL, "%s: not \"%s\" in:\n%s", step, words, text);
}

static const char *const steps[] = { "dns", "connect", "tls", "challenge", "metadata", "issuer",
    "client", "scopes", "token", "request", "clock" };

/* One of its steps fails, and no other. */
static void
only_fails(const char *step)
{
	char begin[32];

	for (size_t i = 0; i < nitems(steps); i++) {
		snprintf(begin, sizeof(begin), "fail  %-9s  ", steps[i]);
		ck_assert_msg((strstr(said, begin) != NULL) == (strcmp(step, steps[i]) == 0),
		    "%s in:\n%s", steps[i], said);
	}
}

static void
begin_with(int flags, const char *members, const char *top)
{
	s = scene_begin(flags | SCENE_NO_LOGIN, members, top);
}

static void
begin(void)
{
	begin_with(0, NULL, NULL);
}

static void
end(void)
{
	scene_end(&s);
}

/* Another upstream, in a daemon that is started anew. */
static void
also(const char *name, const char *url, const char *members)
{
	world_upstream_at(s.w, name, url, members);
	authd_stop(s.a);
	s.a = authd_start(s.w, NULL);
}

/* --- all is well --- */

START_TEST(a2_all_is_well)
{
	world_login(s.w, s.a, "wall", "scope=tools");
	ck_assert_msg(doctor("wall") == 0, "%s", said);
	step_is("dns", "ok", "127.0.0.1");
	step_is("connect", "ok", "port");
	step_is("tls", "skip", "plain http");
	step_is("challenge", "ok", "401");
	step_is("metadata", "ok", "/.well-known/oauth-protected-resource/mcp");
	step_is("issuer", "ok", "PKCE");
	step_is("client", "ok", "");
	step_is("scopes", "ok", "tools");
	step_is("token", "ok", "renewable");
	step_is("request", "ok", "server/discover was answered, the token is taken");
	only_fails("");
	/* Nothing was changed by it. */
	ck_assert_int_eq(wall_count(s.w, "requests"), 2);
	ck_assert_int_eq(wall_count(s.w, "auth.ok"), 1);
	ck_assert_int_eq(wall_count(s.w, "auth.missing"), 1);
	ck_assert_int_eq(wall_count(s.w, "token.requests"), 0);
	ck_assert_int_eq(wall_count(s.w, "register.requests"), 0);
	ck_assert_int_eq(wall_count(s.w, "authorize.requests"), 0);
}
END_TEST

START_TEST(json_lines)
{
	struct ctl *k;
	char *line, *save = NULL, *text;
	cJSON *doc;
	size_t n = 0;

	world_login(s.w, s.a, "wall", NULL);
	k = ctl_start(s.a, (const char *const[]){ "doctor", "wall", "--json", NULL }, NULL);
	ck_assert_int_eq(ctl_end(k, PATIENCE), 0);
	text = strdup(ctl_out(k));
	for (line = strtok_r(text, "\n", &save); line != NULL; line = strtok_r(NULL, "\n", &save)) {
		ck_assert_ptr_nonnull(doc = json_parse(line, strlen(line), NULL));
		if (n < nitems(steps)) {
			ck_assert_str_eq(json_string(doc, "step"), steps[n]);
			ck_assert_ptr_nonnull(json_string(doc, "message"));
			ck_assert_ptr_nonnull(json_member(doc, "hint"));
			ck_assert_ptr_nonnull(strstr("ok warn skip", json_string(doc, "result")));
		} else {
			ck_assert_str_eq(json_string(doc, "event"), "done");
			ck_assert(cJSON_IsTrue(json_member(doc, "ok")));
			ck_assert(cJSON_IsFalse(json_member(doc, "login_required")));
			ck_assert_int_eq(json_member(doc, "failed")->valueint, 0);
		}
		n++;
		cJSON_Delete(doc);
	}
	ck_assert_uint_eq(n, nitems(steps) + 1);
	free(text);
	ctl_free(k);
}
END_TEST

/* H5: asking is no reason to begin a login, and the command is not run. */
START_TEST(h5_login_required)
{
	char top[256], mark[PATH_SIZE];

	begin_with(0, NULL, NULL);
	snprintf(mark, sizeof(mark), "%s/began", s.w->dir);
	snprintf(top, sizeof(top), "\"login\":{\"command\":[\"/usr/bin/touch\",\"%s\",\"{url}\"]}", mark);
	world_top(s.w, top);
	authd_stop(s.a);
	s.a = authd_start(s.w, NULL);
	ck_assert_msg(doctor("wall") == 4, "%s", said);
	step_is("client", "ok", "registers");
	step_is("token", "fail", "mcp-authctl login wall");
	step_is("request", "skip", "no token");
	only_fails("token");
	ck_assert_int_eq(wall_count(s.w, "requests"), 1);
	ck_assert_int_eq(wall_count(s.w, "register.requests"), 0);
	ck_assert_int_ne(access(mark, F_OK), 0);
	/* With something else to mend a login does not help. */
	wall_do(s.w, "set", "{\"as_members\":{\"code_challenge_methods_supported\":null}}");
	ck_assert_int_eq(doctor("wall"), 1);
	end();
}
END_TEST

START_TEST(names)
{
	ck_assert_int_eq(doctor("nobody"), 1);
	ck_assert_ptr_nonnull(strstr(said, "no upstream of that name"));
	ck_assert_int_eq(doctor("../x"), 2);
	ck_assert_int_eq(doctor(NULL), 2);
}
END_TEST

/* --- the way there --- */

START_TEST(no_such_name)
{
	also("away", "https://nothing.invalid/mcp", NULL);
	ck_assert_int_eq(doctor("away"), 1);
	step_is("dns", "fail", "nothing.invalid: the host name cannot be resolved");
	step_is("dns", "fail", "network");
	step_is("connect", "skip", "no connection");
	step_is("metadata", "skip", "no connection");
	step_is("token", "fail", "login");
	step_is("request", "skip", "no connection");
}
END_TEST

START_TEST(nobody_listens)
{
	also("away", "http://127.0.0.1:1/mcp", "\"auth\":\"none\"");
	ck_assert_int_eq(doctor("away"), 1);
	step_is("dns", "ok", "");
	step_is("connect", "fail", "connection refused");
	step_is("connect", "fail", "does the server run");
	step_is("tls", "skip", "no connection");
	step_is("token", "skip", "\"auth\": \"none\"");
	only_fails("connect");
}
END_TEST

START_TEST(behind_a_proxy)
{
	struct proxy *p = proxy_start("");
	char members[64];

	snprintf(members, sizeof(members), "\"proxy\":\"http://127.0.0.1:%d\"", p->port);
	begin_with(0, members, NULL);
	world_login(s.w, s.a, "wall", NULL);
	ck_assert_msg(doctor("wall") == 0, "%s", said);
	step_is("dns", "skip", "the proxy resolves");
	step_is("connect", "ok", "through the proxy");
	p->mode = PROXY_FORBID;
	ck_assert_int_eq(doctor("wall"), 1);
	step_is("connect", "fail", "the proxy refuses the connection (403)");
	step_is("connect", "fail", "\"proxy\" in the config");
	end();
	proxy_stop(p);
}
END_TEST

START_TEST(tls_is_well)
{
	begin_with(SCENE_TLS, NULL, NULL);
	world_login(s.w, s.a, "wall", NULL);
	ck_assert_msg(doctor("wall") == 0, "%s", said);
	/* The tests' certificates are good for a day. */
	step_is("tls", "warn", "TLSv1.3; the server's certificate expires in 2");
	step_is("tls", "warn", "renew");
	only_fails("");
	end();
}
END_TEST

START_TEST(unknown_ca)
{
	begin_with(SCENE_TLS, "\"tls\":{}", NULL);
	world_login(s.w, s.a, "wall", NULL);
	ck_assert_int_eq(doctor("wall"), 1);
	step_is("connect", "ok", "");
	step_is("tls", "fail", "its issuer is unknown");
	step_is("tls", "fail", "caFile");
	step_is("token", "ok", "renewable");
	only_fails("tls");
	end();
}
END_TEST

START_TEST(expired_certificate)
{
	s = (struct scene){ .w = world_new(WORLD_TLS | WORLD_EXPIRED) };
	s.a = authd_start(s.w, NULL);
	ck_assert_int_eq(doctor("wall"), 1);
	step_is("tls", "fail", "certificate not accepted: it has expired");
	step_is("tls", "fail", "renewed");
	end();
}
END_TEST

START_TEST(certificate_of_another)
{
	char url[64];

	begin_with(SCENE_TLS, NULL, NULL);
	snprintf(url, sizeof(url), "https://other.localhost:%d/mcp", s.w->port);
	also("other", url, "\"auth\":\"none\"");
	ck_assert_int_eq(doctor("other"), 1);
	step_is("tls", "fail", "it is for another name");
	end();
}
END_TEST

/* --- discovery --- */

/* What is set at the wall, and which step then has which result. */
static const struct {
	const char *set, *step, *result, *words;
} lacks[] = {
	{ "{\"prm_paths\":[]}", "metadata", "fail", "although the server's challenge names one" },
	{ "{\"prm_paths\":[],\"prm_url\":\"\"}", "metadata", "warn", "RFC 9728" },
	{ "{\"prm_paths\":[],\"prm_url\":\"\",\"as_paths\":[]}", "issuer", "warn", "are assumed" },
	{ "{\"prm_members\":{\"resource\":\"https://else.example/mcp\"}}", "metadata", "fail",
	    "about another resource" },
	{ "{\"prm_members\":{\"authorization_servers\":null}}", "metadata", "fail", "oauth.issuer" },
	{ "{\"as_paths\":[]}", "issuer", "fail", "the authorization server has none" },
	{ "{\"as_members\":{\"issuer\":\"https://evil.example\"}}", "issuer", "fail", "another issuer's" },
	{ "{\"as_members\":{\"token_endpoint\":null}}", "issuer", "fail", "tokenEndpoint" },
	{ "{\"as_members\":{\"code_challenge_methods_supported\":null}}", "issuer", "fail", "assumePkce" },
	{ "{\"register\":\"absent\"}", "client", "fail", "clientId" },
	{ "{\"challenge\":[\"Basic realm=\\\"x\\\"\"]}", "challenge", "warn", "WWW-Authenticate: Bearer" },
	{ "{\"open_rpc\":[\"ping\"]}", "challenge", "ok", "without a token" },
};

START_TEST(something_is_lacking)
{
	int code;

	wall_do(s.w, "set", lacks[_i].set);
	code = doctor("wall");
	step_is(lacks[_i].step, lacks[_i].result, lacks[_i].words);
	ck_assert_int_eq(code, strcmp(lacks[_i].result, "fail") == 0 ? 1 : 4);
}
END_TEST

/* Metadata is needed for a login: a token that is there works all the same, and that is shown. */
START_TEST(metadata_fails_but_the_token_works)
{
	world_login(s.w, s.a, "wall", NULL);
	wall_fault(s.w, "{\"metadata\":{\"status\":500}}");
	ck_assert_int_eq(doctor("wall"), 1);
	step_is("metadata", "fail", "the server answers 500; try again later");
	step_is("client", "skip", "metadata");
	step_is("request", "ok", "the token is taken");
	only_fails("metadata");
}
END_TEST

/* A9: what is stored came from another authorization server than the one that is named now. */
START_TEST(a9_another_issuer)
{
	cJSON *issued = wall_post(s.w, "issue", NULL);
	char *json;

	cJSON_ReplaceItemInObject(issued, "issuer", cJSON_CreateString(s.w->other));
	json = cJSON_PrintUnformatted(issued);
	ck_assert_int_eq(authd_import(s.a, "wall", json), 200);
	(void)doctor("wall");
	step_is("issuer", "warn", "but the login came from");
	step_is("issuer", "warn", "mcp-authctl login wall");
	world_config_clear(s.w);
	world_upstream(s.w, "wall", "\"oauth\":{\"clientId\":\"mine\"}");
	authd_stop(s.a);
	s.a = authd_start(s.w, NULL);
	(void)doctor("wall");
	step_is("client", "fail", "not shown to another authorization server");
	step_is("client", "fail", "\"issuer\"");
	cJSON_Delete(issued);
	free(json);
}
END_TEST

/* A10, J: less than the server asks for. */
START_TEST(j_too_few_scopes)
{
	world_login(s.w, s.a, "wall", "scope=read");
	wall_do(s.w, "set", "{\"challenge\":[\"Bearer scope=\\\"read write\\\"\"]}");
	ck_assert_int_eq(doctor("wall"), 0);
	step_is("scopes", "warn", "asks for: read write; the login has: read");
	step_is("scopes", "warn", "mcp-authctl login wall");
}
END_TEST

/* --- the token and the request --- */

START_TEST(a_token_that_ends)
{
	world_login(s.w, s.a, "wall", "lifetime=600&renewable=0");
	ck_assert_int_eq(doctor("wall"), 0);
	step_is("token", "warn", "cannot be renewed");
	step_is("token", "warn", "offline_access");
	world_login(s.w, s.a, "wall", "lifetime=0.001");
	ck_assert_int_eq(doctor("wall"), 0);
	step_is("token", "ok", "has expired");
	step_is("request", "ok", "the token is taken");
	ck_assert_int_eq(wall_count(s.w, "token.requests"), 1);	/* as any request would */
}
END_TEST

START_TEST(e5_rejected)
{
	world_login(s.w, s.a, "wall", NULL);
	wall_fault(s.w, "{\"mcp\":{\"reject_all\":true},\"match\":{\"rpc\":\"server/discover\"}}");
	ck_assert_int_eq(doctor("wall"), 1);
	step_is("token", "ok", "");
	step_is("request", "fail", "rejects the token (401)");
	step_is("request", "fail", "mcp-authctl login wall");
	only_fails("request");
	/* The breaker is open: said with the token, and nothing was lost. */
	ck_assert_int_eq(doctor("wall"), 1);
	step_is("token", "warn", "although it was fresh");
}
END_TEST

START_TEST(revoked)
{
	world_login(s.w, s.a, "wall", NULL);
	wall_do(s.w, "revoke-all", NULL);
	ck_assert_int_eq(doctor("wall"), 4);
	step_is("request", "fail", "a login is needed");
	/* The access token still looks well; that it cannot be renewed is known. */
	ck_assert_int_eq(doctor("wall"), 4);
	step_is("token", "warn", "invalid_grant");
	step_is("token", "warn", "mcp-authctl login wall");
}
END_TEST

static const struct {
	const char *fault, *result, *words;
} answers[] = {
	{ "\"status\":404,\"body\":\"{\\\"jsonrpc\\\":\\\"2.0\\\",\\\"id\\\":1,\\\"error\\\":{\\\"code\\\":-32601,"
	    "\\\"message\\\":\\\"?\\\"}}\"},\"match\":{\"rpc\":\"server/discover\"}", "ok", "ping was answered" },
	{ "\"status\":400,\"body\":\"no session\"},\"match\":{\"auth\":\"ok\"}", "warn",
	    "status 400: the token is taken" },
	{ "\"status\":400,\"body\":\"{\\\"jsonrpc\\\":\\\"2.0\\\",\\\"id\\\":null,\\\"error\\\":{\\\"code\\\":-32000,"
	    "\\\"message\\\":\\\"no session\\\"}}\"},\"match\":{\"auth\":\"ok\"}", "ok", "the token is taken" },
	{ "\"status\":403,\"body\":\"{\\\"error\\\":\\\"no\\\"}\"},\"match\":{\"auth\":\"ok\"}", "fail",
	    "this account may not" },
	{ "\"status\":404,\"body\":\"\"},\"match\":{\"auth\":\"ok\"}", "fail", "\"url\" in the config" },
	{ "\"status\":502,\"body\":\"\"},\"match\":{\"auth\":\"ok\"}", "fail", "status 502" },
	{ "\"close_after_read\":true},\"match\":{\"auth\":\"ok\"}", "fail", "try again" },
	{ "\"raw\":\"SSH-2.0-x\\r\\n\\r\\n\"},\"match\":{\"auth\":\"ok\"}", "fail", "not valid" },
	/* A stream that does not end after the answer is not waited for. */
	{ "\"raw\":\"HTTP/1.1 200 OK\\r\\nContent-Type: text/event-stream\\r\\n\\r\\n: hello\\n\\ndata: "
	    "{\\\"jsonrpc\\\":\\\"2.0\\\",\\\"id\\\":1,\\\"result\\\":{}}\\n\\n\",\"keep\":true},"
	    "\"match\":{\"auth\":\"ok\"}", "ok", "server/discover was answered" },
};

START_TEST(other_answers)
{
	char fault[1024];

	world_login(s.w, s.a, "wall", NULL);
	snprintf(fault, sizeof(fault), "{\"mcp\":{%s}", answers[_i].fault);
	wall_fault(s.w, fault);
	ck_assert_int_eq(doctor("wall"), strcmp(answers[_i].result, "fail") == 0 ? 1 : 0);
	step_is("request", answers[_i].result, answers[_i].words);
}
END_TEST

START_TEST(without_oauth)
{
	char file[PATH_SIZE], members[256], *token;
	cJSON *issued = wall_post(s.w, "issue", NULL);

	snprintf(file, sizeof(file), "%s/token", s.w->dir);
	token = strdup(json_string(issued, "access_token"));
	file_write(file, token);
	snprintf(members, sizeof(members), "\"auth\":\"bearer\",\"bearer\":{\"file\":\"%s\"}", file);
	world_upstream(s.w, "fixed", members);
	world_upstream(s.w, "open", "\"auth\":\"none\"");
	authd_stop(s.a);
	s.a = authd_start(s.w, NULL);
	ck_assert_msg(doctor("fixed") == 0, "%s", said);
	step_is("metadata", "skip", "\"auth\": \"bearer\"");
	step_is("request", "ok", "the token is taken");
	ck_assert_int_eq(doctor("open"), 1);
	step_is("token", "skip", "wants none");
	step_is("request", "fail", "set \"auth\" to \"oauth\"");
	wall_do(s.w, "revoke-all", NULL);
	ck_assert_int_eq(doctor("fixed"), 1);
	step_is("request", "fail", "\"bearer\" in the config");
	unlink(file);
	authd_stop(s.a);
	s.a = authd_start(s.w, NULL);
	ck_assert_int_eq(doctor("fixed"), 1);
	step_is("token", "fail", "\"bearer\" in the config");
	cJSON_Delete(issued);
	free(token);
}
END_TEST

/* A19: nobody logs in, so nobody is sent to; what is wrong stands in the config. */
START_TEST(a19_client_credentials)
{
	char secret[PATH_SIZE], members[256];

	snprintf(secret, sizeof(secret), "%s/secret", s.w->dir);
	file_write(secret, "machine-secret\n");
	ck_assert_int_eq(chmod(secret, 0600), 0);
	wall_do(s.w, "client", "{\"client_id\":\"machine\",\"client_secret\":\"machine-secret\","
	    "\"method\":\"client_secret_basic\"}");
	snprintf(members, sizeof(members), "\"oauth\":{\"grant\":\"client_credentials\","
	    "\"clientId\":\"machine\",\"clientSecretFile\":\"%s\"}", secret);
	world_upstream(s.w, "machine", members);
	authd_stop(s.a);
	s.a = authd_start(s.w, NULL);
	wall_fault(s.w, "{\"token\":{\"status\":400,\"body\":\"{\\\"error\\\":\\\"invalid_client\\\"}\"}}");
	ck_assert_int_eq(doctor("machine"), 1);
	step_is("client", "ok", "the client id of the config");
	step_is("token", "ok", "the first request fetches one");
	step_is("request", "fail", "correct \"oauth\" in the config");
	only_fails("request");
	wall_do(s.w, "clear", NULL);
	authd_stop(s.a);
	s.a = authd_start(s.w, NULL);
	ck_assert_msg(doctor("machine") == 0, "%s", said);
	step_is("request", "ok", "the token is taken");
	ck_assert_int_eq(wall_count(s.w, "grants.client_credentials"), 1);
}
END_TEST

/* --- clock --- */

START_TEST(another_time)
{
	static const char fault[] = "{\"mcp\":{\"status\":200,\"headers\":{\"Date\":\"Thu, 01 Jan 2015 "
	    "00:00:00 GMT\",\"Content-Type\":\"application/json\"},\"body\":\"{\\\"jsonrpc\\\":\\\"2.0\\\","
	    "\\\"id\\\":1,\\\"result\\\":{}}\"},\"match\":{\"auth\":\"ok\"}}";

	world_login(s.w, s.a, "wall", NULL);
	wall_fault(s.w, fault);
	ck_assert_int_eq(doctor("wall"), 0);
	step_is("clock", "warn", "s ahead of the server's");
	step_is("clock", "warn", "timedatectl");
}
END_TEST

/* --- whoever asks --- */

static struct ctl *
held_doctor(void)
{
	struct ctl *k;

	wall_fault(s.w, "{\"mcp\":{\"hold\":true},\"match\":{\"rpc\":\"server/discover\"}}");
	k = ctl_start(s.a, (const char *const[]){ "doctor", "wall", NULL }, NULL);
	/* Each step is shown as it ends, not when all is over. */
	ck_assert(ctl_until(k, "  token ", PATIENCE));
	ck_assert(wall_wait(s.w, "held", 1, PATIENCE));
	return k;
}

START_TEST(one_at_a_time)
{
	struct ctl *k;
	int64_t deadline;

	world_login(s.w, s.a, "wall", NULL);
	k = held_doctor();
	ck_assert_int_eq(doctor("wall"), 1);
	ck_assert_ptr_nonnull(strstr(said, "being examined already"));
	ck_assert_ptr_null(strstr(ctl_out(k), "request"));
	/* It ends with who asked: the request is given up at the server, too. */
	ctl_signal(k, SIGINT);
	ck_assert(ctl_end(k, PATIENCE) > 128);
	ck_assert(wall_wait(s.w, "connections.abandoned", 1, PATIENCE));
	ctl_free(k);
	wall_do(s.w, "clear", NULL);
	for (deadline = now_ms() + PATIENCE; doctor("wall") != 0 && now_ms() < deadline;)
		pause_ms(5);
	step_is("request", "ok", "");
}
END_TEST

START_TEST(reloaded_meanwhile)
{
	struct reply r = { 0 };
	struct ctl *k;

	world_login(s.w, s.a, "wall", NULL);
	k = held_doctor();
	ck_assert_int_eq(http(s.a->control, "POST", "/v1/reload", "", &r, PATIENCE), 0);
	ck_assert_int_eq(r.status, 200);
	ck_assert_int_eq(ctl_end(k, PATIENCE), 1);
	snprintf(said, sizeof(said), "%s", ctl_out(k));
	step_is("request", "fail", "reloaded meanwhile");
	step_is("request", "fail", "run it again");
	ctl_free(k);
	reply_free(&r);
	wall_do(s.w, "clear", NULL);
	ck_assert_int_eq(doctor("wall"), 0);
}
END_TEST

/* K: nobody waits for it. */
START_TEST(k_stopped_meanwhile)
{
	int64_t began;
	struct ctl *k;

	begin();
	world_login(s.w, s.a, "wall", NULL);
	k = held_doctor();
	began = now_ms();
	ck_assert_int_eq(authd_stop(s.a), 0);
	ck_assert_int_lt(now_ms() - began, 8000);
	ck_assert_int_eq(ctl_end(k, PATIENCE), 1);
	ck_assert_ptr_nonnull(strstr(ctl_out(k), "the daemon is stopping"));
	ctl_free(k);
	end();
}
END_TEST

/* Nothing of an answer reaches a terminal raw, and no colour what is none. */
START_TEST(nothing_raw)
{
	wall_do(s.w, "set", "{\"as_members\":{\"issuer\":\"https://x.example/\\u001b[31m\"}}");
	ck_assert_int_eq(doctor("wall"), 1);
	ck_assert_ptr_null(strchr(said, '\033'));
	step_is("issuer", "fail", "another issuer's");
}
END_TEST

static Suite *
suite(void)
{
	Suite *suite = suite_create("doctor");
	TCase *tc = tcase_create("usual"), *own = tcase_create("own");

	tcase_set_timeout(tc, 90);
	tcase_add_checked_fixture(tc, begin, end);
	tcase_add_test(tc, a2_all_is_well);
	tcase_add_test(tc, json_lines);
	tcase_add_test(tc, names);
	tcase_add_test(tc, no_such_name);
	tcase_add_test(tc, nobody_listens);
	tcase_add_loop_test(tc, something_is_lacking, 0, nitems(lacks));
	tcase_add_test(tc, metadata_fails_but_the_token_works);
	tcase_add_test(tc, a9_another_issuer);
	tcase_add_test(tc, j_too_few_scopes);
	tcase_add_test(tc, a_token_that_ends);
	tcase_add_test(tc, e5_rejected);
	tcase_add_test(tc, revoked);
	tcase_add_loop_test(tc, other_answers, 0, nitems(answers));
	tcase_add_test(tc, without_oauth);
	tcase_add_test(tc, a19_client_credentials);
	tcase_add_test(tc, another_time);
	tcase_add_test(tc, one_at_a_time);
	tcase_add_test(tc, reloaded_meanwhile);
	tcase_add_test(tc, nothing_raw);
	suite_add_tcase(suite, tc);
	tcase_set_timeout(own, 90);
	tcase_add_test(own, h5_login_required);
	tcase_add_test(own, behind_a_proxy);
	tcase_add_test(own, tls_is_well);
	tcase_add_test(own, unknown_ca);
	tcase_add_test(own, expired_certificate);
	tcase_add_test(own, certificate_of_another);
	tcase_add_test(own, k_stopped_meanwhile);
	suite_add_tcase(suite, own);
	return suite;
}

int
main(void)
{
	SRunner *sr = srunner_create(suite());
	int failed;

	srunner_run_all(sr, CK_NORMAL);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed != 0;
}
