/*
 * Everything that an authorization server can get wrong or do oddly: WIRE A1
 * to A7, A9, A12, A14, A15, A18; contract B1.  What must be refused is
 * refused, with words that say what to do and no text of the server's; what
 * is only odd works, and a document that must not be asked for is not.
 */
#include <check.h>
#include <stdio.h>

#include "logins.h"

static struct world *w;
static struct authd *a;
static struct ask ask;

static void
start(const char *members)
{
	w = world_new(0);
	world_upstream(w, "wall", members);
	a = authd_start(w, NULL);
	ask = (struct ask){ .socket = authd_socket(a, "wall"), .version = "2026-07-28" };
}

static void
end(void)
{
	ck_assert_int_eq(wall_violations(w), 0);
	ck_assert_int_eq(wall_count(w, "leaks"), 0);
	ck_assert_int_eq(wall_count(w, "other.leaks"), 0);
	world_free(w);
}

static const char *
call(void)
{
	static char reason[64];
	struct reply r = { 0 };

	ck_assert_int_eq(tool(&ask, 1, "echo", NULL, &r, 30000), 0);
	ck_assert_int_eq(r.status, 200);
	snprintf(reason, sizeof(reason), "%s", reply_reason(&r));
	reply_free(&r);
	return reason;
}

static void
apply(const char *set, const char *fault)
{
	if (set != NULL)
		wall_do(w, "set", set);
	if (fault != NULL)
		wall_fault(w, fault);
}

/* Of these the hint says what to do, of the others the message itself. */
static bool
wants_hint(const char *reason)
{
	static const char *const reasons[] = { "client", "denied", "device", "pkce", "refused",
	    "registration", "token" };

	for (size_t i = 0; i < nitems(reasons); i++)
		if (strcmp(reason, reasons[i]) == 0)
			return true;
	return false;
}

/* It failed for this reason; message and hint hold `words` (each part between '|'). */
static void
refused(const struct outcome *o, const char *reason, const char *words)
{
	char said[1300], *list = strdup(words), *word, *save = NULL, *log;

	ck_assert_int_eq(o->status, 200);
	ck_assert_msg(!o->done, "logged in");
	ck_assert_msg(strcmp(o->reason, reason) == 0, "%s: %s", o->reason, o->message);
	ck_assert_msg(!wants_hint(reason) || o->hint[0] != '\0', "no word of what to do: %s", o->message);
	snprintf(said, sizeof(said), "%s; %s", o->message, o->hint);
	for (word = strtok_r(list, "|", &save); word != NULL; word = strtok_r(NULL, "|", &save))
		ck_assert_msg(strcasestr(said, word) != NULL, "no \"%s\" in: %s", word, said);
	free(list);
	/* The wall's error_description is made of this word. */
	log = authd_log(a);
	ck_assert_ptr_null(strstr(said, "description description"));
	ck_assert_ptr_null(strstr(log, "description description"));
	free(log);
	ck_assert_str_eq(call(), "login_required");
}

static void
works(const char *wish)
{
	const struct outcome *o = log_in(w, a, "wall", wish);

	ck_assert_msg(o->done, "%s: %s", o->reason, o->message);
	ck_assert_str_eq(call(), "");
}

/* --- refused before anybody is asked or registered --- */

#define LONG_NAME "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"

static const struct { const char *set, *fault, *reason, *words; } metadata[] = {
	/* A4: byte for byte */
	{ "{\"as_members\":{\"issuer\":\"https://evil.example\"}}", NULL, "discovery",
	    "issuer|evil.example|oauth.issuer" },
	{ "{\"as_members\":{\"issuer\":\"%ORIGIN%/\"}}", NULL, "discovery", "issuer" },
	{ "{\"as_members\":{\"issuer\":\"%OTHER%\"}}", NULL, "discovery", "issuer" },
	{ "{\"as_members\":{\"issuer\":null}}", NULL, "discovery", "issuer" },
	{ "{\"as_members\":{\"issuer\":5}}", NULL, "discovery", "issuer" },
	/* A5 */
	{ "{\"as_members\":{\"code_challenge_methods_supported\":null}}", NULL, "pkce",
	    "PKCE|oauth.assumePkce" },
	{ "{\"as_members\":{\"code_challenge_methods_supported\":[\"plain\"]}}",
	    NULL, "pkce", "S256" },
	{ "{\"as_members\":{\"code_challenge_methods_supported\":\"S256\"}}",
	    NULL, "pkce", "S256" },
	/* A7 */
	{ "{\"prm_members\":{\"resource\":\"https://evil.example/mcp\"}}", NULL, "discovery",
	    "resource|evil.example" },
	{ "{\"prm_members\":{\"resource\":\"%OTHER%/mcp\"}}", NULL, "discovery", "resource" },
	{ "{\"prm_members\":{\"resource\":\"%ORIGIN%/another\"}}", NULL, "discovery", "resource" },
	{ "{\"prm_members\":{\"resource\":null}}", NULL, "discovery", "resource" },
	/* lists that are none */
	{ "{\"authorization_servers\":[]}",
	    NULL, "discovery", "authorization server|oauth.issuer" },
	{ "{\"authorization_servers\":\"%ORIGIN%\"}", NULL, "discovery", "authorization_servers" },
	{ "{\"authorization_servers\":[\"not a url\"]}", NULL, "discovery", "" },
	/* A15: https, or loopback */
	{ "{\"authorization_servers\":[\"http://evil.example\"]}", NULL, "discovery", "https" },
	{ "{\"as_members\":{\"authorization_endpoint\":\"http://evil.example/a\"}}", NULL,
	    "discovery", "authorization_endpoint|https" },
	{ "{\"as_members\":{\"token_endpoint\":\"http://evil.example/t\"}}", NULL, "discovery",
	    "token_endpoint|https" },
	{ "{\"as_members\":{\"registration_endpoint\":\"http://evil.example/r\"}}",
	    NULL, "discovery",
	    "registration_endpoint|https" },
	{ "{\"as_members\":{\"authorization_endpoint\":\"javascript:alert(1)\"}}",
	    NULL, "discovery",
	    "authorization_endpoint" },
	{ "{\"prm_url\":\"http://evil.example/prm\"}", NULL, "discovery", "https" },
	{ "{\"prm_url\":\"file:///etc/passwd\"}", NULL, "discovery", "https" },
	/* redirects */
	{ NULL, "{\"metadata\":{\"redirect\":{\"status\":302,\"location\":"
	    "\"%ORIGIN%/.well-known/oauth-protected-resource/mcp\"}}}", "discovery", "redirect" },
	{ NULL, "{\"metadata\":{\"redirect\":{\"status\":302,"
	    "\"location\":\"http://evil.example/\"}}}",
	    "discovery", "redirects|plain http" },
	{ NULL, "{\"metadata\":{\"redirect\":{\"status\":302}}}", "discovery", "metadata" },
	/* trouble */
	{ NULL, "{\"metadata\":{\"status\":500}}", "discovery", "500|later" },
	{ NULL, "{\"metadata\":{\"status\":429}}", "discovery", "429|later" },
	{ NULL, "{\"metadata\":{\"half_body\":true}}", "discovery", "metadata" },
	{ NULL, "{\"metadata\":{\"close_after_read\":true}}", "discovery", "metadata" },
	{ NULL, "{\"metadata\":{\"raw\":\"HTTP/1.1 banana\\r\\n\\r\\n\"}}",
	    "discovery", "metadata" },
	{ NULL, "{\"metadata\":{\"status\":200,\"body\":\"[]\"},"
	    "\"match\":{\"path\":\"/.well-known/oauth-authorization-server\"}}", "discovery",
	    "authorization server" },
	{ NULL, "{\"metadata\":{\"status\":404},"
	    "\"match\":{\"path\":\"/.well-known/oauth-authorization-server\"}}", "discovery",
	    "authorization server|configured" },
};

START_TEST(a4_a5_a7_a15_metadata_refused)
{
	const struct outcome *o;

	start(NULL);
	apply(metadata[_i].set, metadata[_i].fault);
	o = log_in(w, a, "wall", NULL);
	refused(o, metadata[_i].reason, metadata[_i].words);
	ck_assert_str_eq(o->url, "");
	ck_assert_int_eq(wall_count(w, "register.requests"), 0);
	ck_assert_int_eq(wall_count(w, "authorize.requests"), 0);
	ck_assert_int_eq(wall_count(w, "other_paths./register"), 0);
	ck_assert_int_eq(wall_count(w, "token.requests"), 0);
	ck_assert_int_lt(wall_count(w, "metadata.resource"), 8);	/* a loop has its end */
	/* It is the server that was wrong: once it is mended, a login works. */
	wall_do(w, "reset", NULL);
	works(NULL);
	end();
}
END_TEST

/* Larger than any honest document. */
START_TEST(metadata_too_large)
{
	struct buf b = BUF_INIT(8L * 1024 * 1024);

	start(NULL);
	buf_adds(&b, "{\"as_members\":{\"x\":\"");
	for (int i = 0; i < 8000; i++)
		buf_adds(&b, LONG_NAME);
	buf_adds(&b, "\"}}");
	wall_do(w, "set", b.p);
	refused(log_in(w, a, "wall", NULL), "discovery", "metadata");
	buf_free(&b);
	end();
}
END_TEST

/* A server that says nothing at all: half a minute, then words. */
START_TEST(metadata_never_answered)
{
	start(NULL);
	wall_fault(w, "{\"metadata\":{\"hang\":true}}");
	refused(log_in(w, a, "wall", NULL), "discovery", "metadata");
	end();
}
END_TEST

/* Slow, but it answers. */
START_TEST(a_slow_server)
{
	start(NULL);
	wall_fault(w, "{\"metadata\":{\"delay_ms\":1500}}");
	wall_fault(w, "{\"register\":{\"delay_ms\":1500}}");
	wall_fault(w, "{\"token\":{\"delay_ms\":1500}}");
	works(NULL);
	end();
}
END_TEST

/* --- odd places, and what must not be asked for there --- */

#define PRM	"/.well-known/oauth-protected-resource"
#define AS	"/.well-known/oauth-authorization-server"
#define OPENID	"/.well-known/openid-configuration"

static const struct { const char *set, *asked, *never[5]; } places[] = {
	/* A1 */
	{ "{\"prm_url\":\"%ORIGIN%/odd/place\",\"prm_paths\":[\"/odd/place\"]}", "/odd/place",
	    { PRM, PRM "/mcp", OPENID } },
	{ "{\"prm_url\":\"\"}", PRM "/mcp", { PRM, OPENID } },
	{ "{\"prm_url\":\"\",\"prm_paths\":[\"" PRM "\"]}", PRM, { OPENID } },
	{ "{\"prm_url\":\"\",\"prm_paths\":[\"" PRM "\"],"
	    "\"prm_members\":{\"resource\":\"%ORIGIN%\"}}",
	    PRM, { OPENID } },
	/* A3: without a path */
	{ "{\"as_paths\":[\"" OPENID "\"]}", OPENID, { PRM } },
	/* A3: an issuer with a path */
	{ "{\"issuer_path\":\"/t/a\"}", AS "/t/a", { AS, OPENID, OPENID "/t/a", "/t/a" OPENID } },
	{ "{\"issuer_path\":\"/t/a\",\"as_paths\":[\"" OPENID "/t/a\"]}", OPENID "/t/a",
	    { AS, OPENID, "/t/a" OPENID } },
	{ "{\"issuer_path\":\"/t/a\",\"as_paths\":[\"/t/a" OPENID "\"]}", "/t/a" OPENID,
	    { AS, OPENID } },
	/* A2 */
	{ "{\"prm_paths\":[\"/odd\"],\"challenge\":[\"Basic realm=\\\"x\\\"\","
	    "\"Bearer resource_metadata=\\\"%ORIGIN%/odd\\\"\"]}", "/odd", { PRM, PRM "/mcp" } },
	{ "{\"prm_paths\":[\"/odd\"],\"challenge\":"
	    "[\"Basic realm=\\\"a, Bearer resource_metadata=b\\\", "
	    "bEARER realm=\\\"y\\\" , RESOURCE_metadata = \\\"%ORIGIN%/odd\\\"\"]}", "/odd",
	    { PRM, PRM "/mcp" } },
	{ "{\"prm_paths\":[\"/odd\"],\"challenge\":[\"Bearer resource_metadata="
	    "\\\"%ORIGIN%/\\\\o\\\\dd\\\"\"]}", "/odd", { PRM, PRM "/mcp" } },
	{ "{\"prm_paths\":[\"/odd\"],\"challenge\":[\"Bearer resource_metadata=\\\"%ORIGIN%/void\","
	    "\"Bearer resource_metadata=\\\"%ORIGIN%/odd\\\"\"]}", "/odd",
	    { PRM, PRM "/mcp", "/void" } },
};

START_TEST(a1_a2_a3_odd_places)
{
	char count[128];

	start(NULL);
	wall_do(w, "set", places[_i].set);
	works(NULL);
	snprintf(count, sizeof(count), "paths.%s", places[_i].asked);
	ck_assert_int_eq(wall_count(w, count), 1);
	for (size_t i = 0; i < nitems(places[_i].never) && places[_i].never[i] != NULL; i++) {
		snprintf(count, sizeof(count), "paths.%s", places[_i].never[i]);
		ck_assert_msg(wall_count(w, count) == 0, "%s was asked for", places[_i].never[i]);
	}
	end();
}
END_TEST

/* A15: redirects of documents are followed, a few, as long as each hop may be asked. */
START_TEST(a15_metadata_behind_a_redirect)
{
	start(NULL);
	wall_do(w, "set", "{\"prm_paths\":[\"/moved\"]}");
	wall_fault(w, "{\"metadata\":{\"redirect\":{\"status\":301,\"location\":\"/moved\"}},"
	    "\"match\":{\"path\":\"" PRM "/mcp\"}}");
	works(NULL);
	ck_assert_int_eq(wall_count(w, "paths./moved"), 1);
	end();
}
END_TEST

/* The config's answers to what a server leaves out or refuses. */
START_TEST(config_stands_in)
{
	static const struct { const char *members, *set; } all[] = {
		{ "\"oauth\":{\"assumePkce\":true}",				/* A5 */
		    "{\"as_members\":{\"code_challenge_methods_supported\":null}}" },
		{ "\"oauth\":{\"resource\":false}", "{\"check_resource\":false}" },	/* A6 */
		{ "\"oauth\":{\"resource\":\"https://other.name/mcp\"}",
	    "{\"check_resource\":false}" },
		{ "\"oauth\":{\"authorizeParams\":{\"prompt\":\"consent\"}}", NULL },
	};
	const char *sent;

	start(all[_i].members);
	apply(all[_i].set, NULL);
	works(NULL);
	sent = login_param(w, "authorize", "resource");
	if (_i == 1)
		ck_assert_ptr_null(sent);
	else if (_i == 2)
		ck_assert_str_eq(sent, "https://other.name/mcp");
	sent = login_param(w, "token", "resource");
	if (_i == 1)
		ck_assert_ptr_null(sent);
	else if (_i == 2)
		ck_assert_str_eq(sent, "https://other.name/mcp");
	if (_i == 3)
		ck_assert_str_eq(login_param(w, "authorize", "prompt"), "consent");
	end();
}
END_TEST

/* --- registration --- */

static const struct { const char *set, *fault, *words; } registrations[] = {
	{ "{\"register\":\"absent\"}", NULL, "oauth.clientId" },
	{ "{\"register\":\"refuse\",\"description_bytes\":102400}", NULL, "oauth.clientId|400" },
	{ NULL, "{\"register\":{\"status\":403,\"body\":\"description description\"}}", "403" },
	{ NULL, "{\"register\":{\"status\":200,\"body\":\"<html>\"}}", "oauth.clientId" },
	{ NULL, "{\"register\":{\"status\":201,\"body\":\"{}\"}}", "oauth.clientId" },
	{ "{\"register_members\":{\"client_id\":null}}", NULL, "oauth.clientId" },
	{ "{\"register_members\":{\"token_endpoint_auth_method\":\"tls_client_auth\"}}", NULL, "" },
	{ NULL, "{\"register\":{\"redirect\":{\"status\":307,\"location\":\"%OTHER%/register\"}}}",
	    "" },
	{ NULL, "{\"register\":{\"half_body\":true}}", "registered" },
};

START_TEST(a8_registration_refused)
{
	const struct outcome *o;

	start(NULL);
	apply(registrations[_i].set, registrations[_i].fault);
	o = log_in(w, a, "wall", NULL);
	refused(o, _i == 0 ? "client" : "registration", registrations[_i].words);
	ck_assert_str_eq(o->url, "");
	ck_assert_int_eq(wall_count(w, "other.requests"), 0);
	wall_do(w, "reset", NULL);
	works(NULL);
	end();
}
END_TEST

/* A8: a secret that expires is of no use for the next login: registered anew. */
START_TEST(a8_a_secret_that_expires)
{
	start(NULL);
	wall_do(w, "set", "{\"register_method\":\"client_secret_basic\","
	    "\"register_secret_expires\":60}");
	works(NULL);
	log_out(a, "wall", NULL);
	works(NULL);
	ck_assert_int_eq(wall_count(w, "register.registered"), 2);
	end();
}
END_TEST

/* --- the redirect --- */

static const struct { const char *set; bool good; const char *reason, *words; } redirects[] = {
	/* A12 */
	{ "{\"iss\":\"https://evil.example\"}", false, "issuer", "RFC 9207" },
	{ "{\"iss\":\"%ORIGIN%/\"}", false, "issuer", "RFC 9207" },
	{ "{\"iss\":null}", false, "issuer", "RFC 9207" },
	{ "{\"iss\":null,\"as_members\":{\"authorization_response_iss_parameter_supported\":null}}",
	    true, NULL, NULL },
	{ "{\"as_members\":{\"authorization_response_iss_parameter_supported\":null}}",
	    true, NULL, NULL },
	{ "{\"iss\":\"https://evil.example\",\"as_members\":"
	    "{\"authorization_response_iss_parameter_supported\":null}}", false,
	    "issuer", "RFC 9207" },
	{ "{\"iss\":\"https://evil.example\",\"authorize_error\":\"server_error\","
	    "\"description_bytes\":1000}", false, "issuer", "RFC 9207" },
	/* RFC 6749 section 4.1.2.1 */
	{ "{\"deny\":true}", false, "denied", "refused" },
	{ "{\"deny\":true,\"description_bytes\":4000}", false, "denied", "refused" },
	{ "{\"authorize_error\":\"server_error\"}", false, "refused", "server_error" },
	{ "{\"authorize_error\":\"invalid_scope\"}", false, "refused", "oauth.scopes" },
	{ "{\"authorize_error\":\"<script>alert(1)</script>\"}", false, "refused", "other" },
	{ "{\"redirect_extra\":\"&session_state=1&foo=bar\"}", true, NULL, NULL },
};

START_TEST(a12_redirects)
{
	const struct outcome *o;

	start(NULL);
	wall_do(w, "set", redirects[_i].set);
	if (redirects[_i].good) {
		works(NULL);
	} else {
		o = log_in(w, a, "wall", NULL);
		refused(o, redirects[_i].reason, redirects[_i].words);
		ck_assert_ptr_null(strstr(o->message, "evil"));
		ck_assert_ptr_null(strstr(o->message, "script"));
		ck_assert_int_ge(o->page, 200);
		ck_assert_int_eq(wall_count(w, "token.requests"), 0);
	}
	end();
}
END_TEST

/* --- the token --- */

static const struct { const char *set, *fault, *words; } tokens[] = {
	/* HTTP 200 and an error inside; a plain error; with 100 kB of text */
	{ NULL, "{\"token\":{\"status\":200,\"body\":\"{\\\"error\\\":\\\"invalid_grant\\\","
	    "\\\"error_description\\\":\\\"description description\\\"}\"}}", "invalid_grant" },
	{ NULL, "{\"token\":{\"status\":200,\"body\":\"{\\\"error\\\":\\\"invalid_grant\\\","
	    "\\\"access_token\\\":\\\"at_0123456789abcdef0123456789abcdef\\\"}\"}}",
	    "invalid_grant" },
	{ "{\"description_bytes\":102400}", "{\"token\":{\"status\":400,\"body\":\"{\\\"error\\\":"
	    "\\\"invalid_grant\\\"}\"}}", "invalid_grant" },
	{ NULL, "{\"token\":{\"status\":400,\"body\":\"{\\\"error\\\":\\\"\\\\u001b[2Jdescription "
	    "description\\\"}\"}}", "" },
	{ NULL, "{\"token\":{\"status\":401,"
	    "\"body\":\"{\\\"error\\\":\\\"unauthorized_client\\\"}\"}}",
	    "unauthorized_client" },
	/* what is no token answer */
	{ NULL, "{\"token\":{\"status\":200,\"body\":\"<html>description description</html>\"}}",
	    "" },
	{ NULL, "{\"token\":{\"status\":200,\"body\":\"\"}}", "" },
	{ NULL, "{\"token\":{\"status\":200,\"body\":\"{}\"}}", "" },
	{ NULL, "{\"token\":{\"status\":200,\"body\":\"{\\\"access_token\\\":5}\"}}", "" },
	{ NULL, "{\"token\":{\"status\":200,"
	    "\"body\":\"{\\\"access_token\\\":\\\"a b\\\\r\\\\nX: y\\\","
	    "\\\"token_type\\\":\\\"Bearer\\\"}\"}}", "" },
	{ NULL, "{\"token\":{\"status\":200,\"body\":\"{\\\"access_token\\\":\\\"abcdefgh\\\","
	    "\\\"token_type\\\":\\\"mac\\\"}\"}}", "" },
	{ NULL, "{\"token\":{\"redirect\":{\"status\":307,\"location\":\"%OTHER%/token\"}}}", "" },
	{ NULL, "{\"token\":{\"redirect\":{\"status\":307,\"location\":\"%ORIGIN%/token\"}}}", "" },
	/* no answer */
	{ NULL, "{\"token\":{\"status\":500}}", "" },
	{ NULL, "{\"token\":{\"status\":503}}", "" },
	{ NULL, "{\"token\":{\"half_body\":true}}", "" },
	{ NULL, "{\"token\":{\"close_after_read\":true}}", "" },
	{ NULL, "{\"token\":{\"reset\":true}}", "" },
	{ NULL, "{\"token\":{\"close\":\"before\"}}", "" },
};

START_TEST(the_token_is_refused)
{
	const struct outcome *o;

	start(NULL);
	apply(tokens[_i].set, tokens[_i].fault);
	o = log_in(w, a, "wall", NULL);
	refused(o, "token", tokens[_i].words);
	ck_assert_str_ne(o->message, "");
	ck_assert_int_eq(o->page, 502);
	ck_assert_ptr_null(strchr(o->message, '\033'));
	ck_assert_int_eq(wall_count(w, "other.requests"), 0);
	/* A code is spent once, whatever becomes of it; a forgotten client gets a new one. */
	ck_assert_int_eq(wall_count(w, "authorize.code_replays"), 0);
	ck_assert_int_le(wall_count(w, "token.requests"), wall_count(w, "authorize.codes"));
	wall_do(w, "clear", NULL);
	wall_do(w, "reset", NULL);
	works(NULL);
	end();
}
END_TEST

/* 100 kB of error_description in the answer to a code that the server does not know. */
START_TEST(a_long_description)
{
	struct flow *f;
	struct reply page = { 0 };
	struct buf b = BUF_INIT(0);
	const cJSON *e;
	char *to, *code;

	start(NULL);
	wall_do(w, "set", "{\"description_bytes\":102400}");
	f = flow_begin(a, "wall", NULL);
	e = flow_until(f, "url", 20000);
	ck_assert_ptr_nonnull(e);
	to = browse_location(w, cJSON_GetObjectItem(e, "url")->valuestring, 10000);
	code = strstr(to, "code=");
	buf_addf(&b, "%.*scode=co-nothing%s", (int)(code - to), to, strchr(code, '&'));
	ck_assert_int_eq(browse(w, b.p, 0, &page, 20000), 0);
	ck_assert_int_eq(page.status, 502);
	ck_assert_ptr_null(strstr(page.body.p, "description description"));
	ck_assert_ptr_nonnull(flow_until(f, "failed", 20000));
	ck_assert_ptr_nonnull(strstr(flow_said(f), "invalid_grant"));
	ck_assert_ptr_null(strstr(flow_said(f), "description description"));
	buf_free(&b);
	free(to);
	reply_free(&page);
	flow_free(f);
	end();
}
END_TEST

/* B1: never refreshed ahead, served as ever. */
START_TEST(b1_expires_in_of_every_kind)
{
	static const char *const raw[] = { "\\\"3600\\\"", "0", "-5", "\\\"soon\\\"", "null",
	    "[1]", "",
	    "1e400", "99999999999999999999" };
	char set[100];

	start(NULL);
	snprintf(set, sizeof(set), "{\"expires_in_raw\":\"%s\"}", raw[_i]);
	wall_do(w, "set", set);
	works(NULL);
	for (int i = 0; i < 5; i++)
		ck_assert_str_eq(call(), "");
	ck_assert_int_eq(wall_count(w, "token.requests"), 1);
	end();
}
END_TEST

/* No refresh token: it serves until it is rejected, and then says what to do. */
START_TEST(no_refresh_token)
{
	start(NULL);
	wall_do(w, "set", _i == 0 ? "{\"omit_refresh\":true}" : "{\"offline_needed\":true}");
	works(NULL);
	wall_do(w, "expire", NULL);
	ck_assert_str_eq(call(), "login_required");
	ck_assert_int_eq(wall_count(w, "token.requests"), 1);
	works(NULL);
	end();
}
END_TEST

/* A10: offline_access where the server lists it brings the refresh token. */
START_TEST(a10_offline_access)
{
	start(NULL);
	wall_do(w, "set", "{\"offline_needed\":true,"
	    "\"as_members\":{\"scopes_supported\":[\"offline_access\"]}}");
	works(NULL);
	wall_do(w, "expire", NULL);
	ck_assert_str_eq(call(), "");
	end();
}
END_TEST

/* --- devices --- */

static const struct { const char *set, *fault, *reason, *words, *act; } devices[] = {
	{ NULL, NULL, "denied", "refused", "deny" },
	{ NULL, NULL, "timeout", "in time", "expire" },
	{ "{\"device_lifetime\":2}", NULL, "timeout", "in time", NULL },
	{ "{\"device_members\":{\"device_code\":null}}", NULL, "device", "", NULL },
	{ "{\"device_members\":{\"user_code\":\"\\u001b[2Jx\"}}", NULL, "device", "", NULL },
	{ "{\"device_members\":{\"verification_uri\":\"javascript:alert(1)\","
	    "\"verification_uri_complete\":null}}", NULL, "device", "", NULL },
	{ "{\"as_members\":{\"device_authorization_endpoint\":null}}",
	    NULL, "device", "--device", NULL },
	{ NULL, "{\"device\":{\"status\":400,\"body\":\"{\\\"error\\\":\\\"invalid_scope\\\"}\"}}",
	    "device", "invalid_scope", NULL },
	{ NULL, "{\"token\":{\"status\":400,\"body\":\"{\\\"error\\\":\\\"invalid_grant\\\"}\"}}",
	    "token", "invalid_grant", NULL },
};

START_TEST(a21_devices_refused)
{
	struct flow *f;
	const cJSON *e;
	char act[40];
	struct outcome o = { .status = 200 };

	start(NULL);
	apply(devices[_i].set, devices[_i].fault);
	f = flow_begin(a, "wall", "{\"device\":true}");
	if (devices[_i].act != NULL) {
		ck_assert_ptr_nonnull(flow_until(f, "device", 20000));
		snprintf(act, sizeof(act), "device?do=%s", devices[_i].act);
		wall_do(w, act, NULL);
	}
	e = flow_until(f, "failed", 20000);
	ck_assert_msg(e != NULL, "%s", flow_said(f));
	snprintf(o.reason, sizeof(o.reason), "%s",
	    cJSON_GetStringValue(cJSON_GetObjectItem(e, "reason")));
	snprintf(o.message, sizeof(o.message), "%s",
	    cJSON_GetStringValue(cJSON_GetObjectItem(e, "message")));
	if (cJSON_IsString(cJSON_GetObjectItem(e, "hint")))
		snprintf(o.hint, sizeof(o.hint), "%s", cJSON_GetObjectItem(e, "hint")->valuestring);
	flow_free(f);
	refused(&o, devices[_i].reason, devices[_i].words);
	ck_assert_int_eq(wall_count(w, "device.too_fast"), 0);
	end();
}
END_TEST

/* RFC 8628 section 3.5: a poll that comes to nothing is repeated, more rarely. */
START_TEST(a21_polls_go_on)
{
	start(NULL);
	wall_do(w, "set", "{\"device_pending\":0}");
	wall_fault(w, "{\"token\":{\"close_after_read\":true},\"times\":1}");
	works("{\"device\":true}");
	end();
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("login_faults");
	TCase *t = tcase_create("login_faults");
	SRunner *r;
	int failed;

	tcase_set_timeout(t, 90);
	tcase_add_loop_test(t, a4_a5_a7_a15_metadata_refused, 0, (int)nitems(metadata));
	tcase_add_test(t, metadata_too_large);
	tcase_add_test(t, metadata_never_answered);
	tcase_add_test(t, a_slow_server);
	tcase_add_loop_test(t, a1_a2_a3_odd_places, 0, (int)nitems(places));
	tcase_add_test(t, a15_metadata_behind_a_redirect);
	tcase_add_loop_test(t, config_stands_in, 0, 4);
	tcase_add_loop_test(t, a8_registration_refused, 0, (int)nitems(registrations));
	tcase_add_test(t, a8_a_secret_that_expires);
	tcase_add_loop_test(t, a12_redirects, 0, (int)nitems(redirects));
	tcase_add_loop_test(t, the_token_is_refused, 0, (int)nitems(tokens));
	tcase_add_test(t, a_long_description);
	tcase_add_loop_test(t, b1_expires_in_of_every_kind, 0, 9);
	tcase_add_loop_test(t, no_refresh_token, 0, 2);
	tcase_add_test(t, a10_offline_access);
	tcase_add_loop_test(t, a21_devices_refused, 0, (int)nitems(devices));
	tcase_add_test(t, a21_polls_go_on);
	suite_add_tcase(s, t);
	r = srunner_create(s);
	srunner_run_all(r, CK_NORMAL);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed != 0;
}
