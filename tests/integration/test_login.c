/*
 * Logins from end to end: WIRE A1, A5, A6, A8, A9, A10, A11, A14, A16,
 * A17 to A21; contract H1, H2, H4, H5, H6, J.
 */
#include <check.h>
#include <stdio.h>
#include <unistd.h>

#include <openssl/evp.h>
#include <openssl/pem.h>

#include "logins.h"

#define JWT_URN	"urn:ietf:params:oauth:grant-type:jwt-bearer"
#define DEVICE_URN "urn:ietf:params:oauth:grant-type:device_code"

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

/* A tool call: its reason, "" = the server answered. */
static const char *
call(const char *name, const char *args)
{
	static char reason[64];
	struct reply r = { 0 };

	ck_assert_int_eq(tool(&ask, 1, name, args, &r, 30000), 0);
	ck_assert_int_eq(r.status, 200);
	snprintf(reason, sizeof(reason), "%s", reply_reason(&r));
	reply_free(&r);
	return reason;
}

static void
good_login(const char *wish)
{
	const struct outcome *o = log_in(w, a, "wall", wish);

	ck_assert_msg(o->done, "%s: %s", o->reason, o->message);
	ck_assert(o->page == 0 || o->page == 200);
}

/* Its origin and /mcp. */
static const char *
resource(void)
{
	static char text[80];

	snprintf(text, sizeof(text), "%s/mcp", w->origin);
	return text;
}

/* The headline: {url} alone, registration, code and PKCE, traffic, rotation. */
START_TEST(a8_bare_url_login_traffic_rotation)
{
	start(NULL);
	ck_assert_str_eq(call("echo", NULL), "login_required");
	ck_assert_int_eq(wall_count(w, "register.requests"), 0);
	good_login(NULL);
	ck_assert_int_eq(wall_count(w, "register.registered"), 1);
	ck_assert_str_eq(login_param(w, "register", "application_type"), "native");	/* A8 */
	ck_assert_str_eq(login_param(w, "register", "token_endpoint_auth_method"), "none");
	ck_assert_str_eq(login_param(w, "authorize", "code_challenge_method"), "S256");	/* A5 */
	ck_assert_uint_ge(strlen(login_param(w, "authorize", "state")), 22);		/* A13 */
	ck_assert_str_eq(login_param(w, "authorize", "resource"), resource());		/* A6 */
	ck_assert_str_eq(login_param(w, "authorize", "scope"), "mcp");			/* A10 */
	ck_assert_str_eq(login_param(w, "token", "resource"), resource());
	ck_assert_int_eq(wall_count(w, "authorize.bad_pkce"), 0);
	ck_assert_str_eq(call("echo", NULL), "");
	wall_do(w, "expire", NULL);
	for (int i = 0; i < 5; i++)
		ck_assert_str_eq(call("echo", NULL), "");
	ck_assert_int_eq(wall_count(w, "grants.refresh_token"), 1);
	ck_assert_str_eq(login_param(w, "token", "resource"), resource());
	ck_assert_int_eq(wall_count(w, "token.bad_resource"), 0);
	ck_assert_int_eq(wall_count(w, "token.bad_client"), 0);
	ck_assert_int_eq(wall_count(w, "token.with_scope"), 0);	/* C9 */
	end();
}
END_TEST

/* The same over TLS, with a private CA for every endpoint. */
START_TEST(a15_over_tls)
{
	w = world_new(WORLD_TLS);
	a = authd_start(w, NULL);
	ask = (struct ask){ .socket = authd_socket(a, "wall"), .version = "2026-07-28" };
	good_login(NULL);
	ck_assert(strncmp(login_param(w, "authorize", "resource"), "https://", 8) == 0);
	ck_assert_ptr_nonnull(strstr(login_param(w, "authorize", "redirect_uri"),
	    "http://127.0.0.1:"));
	wall_do(w, "expire", NULL);
	ck_assert_str_eq(call("echo", NULL), "");
	ck_assert_int_eq(log_out(a, "wall", NULL), 200);
	ck_assert_int_eq(wall_count(w, "token.revocations"), 1);
	world_free(w);
}
END_TEST

/* A1: the path answers, so nobody asks at the root; each document once. */
START_TEST(a1_no_root_probe_if_the_path_answers)
{
	start(NULL);
	good_login(NULL);
	ck_assert_int_eq(wall_count(w, "paths./.well-known/oauth-protected-resource"), 0);
	ck_assert_int_eq(wall_count(w, "paths./.well-known/oauth-protected-resource/mcp"), 1);
	ck_assert_int_eq(wall_count(w, "paths./.well-known/oauth-authorization-server"), 1);
	ck_assert_int_eq(wall_count(w, "paths./.well-known/openid-configuration"), 0);
	end();
}
END_TEST

/* A16: a server may leave `initialize` open; nothing is asked for before a 401. */
START_TEST(a16_lazily)
{
	struct reply r = { 0 };
	struct ask legacy;

	start(NULL);
	wall_do(w, "set", "{\"open_rpc\":[\"initialize\"]}");
	legacy = (struct ask){ .socket = ask.socket };
	ck_assert_int_eq(rpc(&legacy, "{\"jsonrpc\":\"2.0\",\"id\":0,\"method\":\"initialize\","
	    "\"params\":{\"protocolVersion\":\"2025-11-25\",\"capabilities\":{},"
	    "\"clientInfo\":{\"name\":\"t\",\"version\":\"1\"}}}", &r, 10000), 0);
	ck_assert_int_eq(wall_count(w, "metadata.server"), 0);
	ck_assert_int_eq(wall_count(w, "metadata.resource"), 0);
	ck_assert_int_eq(wall_count(w, "authorize.requests"), 0);
	reply_free(&r);
	world_free(w);
}
END_TEST

/* A8: the registration is kept, with its redirect. */
START_TEST(a8_registered_once_with_a_stable_redirect)
{
	char first[200];

	start(NULL);
	wall_do(w, "set", "{\"exact_port\":true}");
	good_login(NULL);
	snprintf(first, sizeof(first), "%s", login_param(w, "authorize", "redirect_uri"));
	ck_assert(strncmp(first, "http://127.0.0.1:", 17) == 0);
	ck_assert_int_eq(log_out(a, "wall", NULL), 200);
	good_login(NULL);
	ck_assert_str_eq(login_param(w, "authorize", "redirect_uri"), first);
	ck_assert_int_eq(authd_stop(a), 0);
	a = authd_start(w, NULL);
	good_login(NULL);
	ck_assert_str_eq(login_param(w, "authorize", "redirect_uri"), first);
	ck_assert_int_eq(wall_count(w, "register.requests"), 1);
	ck_assert_str_eq(call("echo", NULL), "");
	end();
}
END_TEST

/* A8: a server that takes no scopes in a registration, but does in an authorization. */
START_TEST(a8_registered_without_scopes)
{
	const char *scope;

	start(NULL);
	wall_do(w, "set", "{\"register\":\"unscoped\"}");
	good_login(NULL);
	ck_assert_int_eq(wall_count(w, "register.requests"), 2);
	ck_assert_int_eq(wall_count(w, "register.registered"), 1);
	ck_assert_ptr_null(login_param(w, "register", "scope"));
	scope = login_param(w, "authorize", "scope");
	ck_assert_msg(scope != NULL && strstr(scope, "mcp") != NULL, "%s", scope);
	end();
}
END_TEST

/*
 * A8: the server has forgotten the client.  Where it can be told from an
 * answer, the same flow registers anew, once ...
 */
START_TEST(a8_a_forgotten_client_registers_anew)
{
	const char *wish = _i == 0 ? "{\"device\":true}" : NULL;
	char first[100];

	start(NULL);
	good_login(wish);
	snprintf(first, sizeof(first), "%s", login_param(w, "token", "client_id"));
	if (_i == 0) {
		wall_do(w, "forget-clients", NULL);
		wall_do(w, "expire", NULL);
		ck_assert_str_eq(call("echo", NULL), "login_required");	/* no refresh with it */
	} else {
		wall_fault(w, "{\"token\":{\"status\":401,\"body\":\"{\\\"error\\\":"
		    "\\\"invalid_client\\\"}\"},\"times\":1,"
		    "\"match\":{\"grant\":\"authorization_code\"}}");
	}
	good_login(wish);
	ck_assert_int_eq(wall_count(w, "register.registered"), 2);
	ck_assert_str_ne(login_param(w, "token", "client_id"), first);
	ck_assert_str_eq(call("echo", NULL), "");
	end();
}
END_TEST

/* ... and where only the person sees it, the flow that they give up does so for the next. */
START_TEST(a8_a_forgotten_client_that_only_the_browser_sees)
{
	struct flow *f;
	const cJSON *e;
	struct reply page = { 0 };

	start(NULL);
	good_login(NULL);
	wall_do(w, "forget-clients", NULL);
	f = flow_begin(a, "wall", NULL);
	e = flow_until(f, "url", 20000);
	ck_assert_ptr_nonnull(e);
	ck_assert_int_eq(browse(w, cJSON_GetObjectItem(e, "url")->valuestring, 3, &page, 10000), 0);
	ck_assert_int_eq(page.status, 400);
	reply_free(&page);
	flow_free(f);
	good_login(NULL);
	ck_assert_int_eq(wall_count(w, "register.registered"), 2);
	end();
}
END_TEST

/* I4, H3: two accounts at one server log in at the same time, each with a flow of its own. */
START_TEST(h3_two_accounts_at_once)
{
	static const char *const names[] = { "one", "two" };
	struct flow *f[2];
	struct reply page = { 0 };
	char url[2][8192];
	const cJSON *e;

	w = world_new(0);
	world_upstream(w, "one", NULL);
	world_upstream(w, "two", NULL);
	a = authd_start(w, NULL);
	wall_do(w, "set", "{\"exact_port\":true}");
	ask = (struct ask){ .socket = authd_socket(a, "one"), .version = "2026-07-28" };
	if (_i == 1)		/* one client for both is known already */
		ck_assert(log_in(w, a, "one", NULL)->done);
	for (int i = 0; i < 2; i++) {
		f[i] = flow_begin(a, names[i], NULL);
		ck_assert_msg((e = flow_until(f[i], "url", 20000)) != NULL, "%s", flow_said(f[i]));
		snprintf(url[i], sizeof(url[i]), "%s", cJSON_GetObjectItem(e, "url")->valuestring);
	}
	for (int i = 1; i >= 0; i--) {
		ck_assert_int_eq(browse(w, url[i], 3, &page, 10000), 0);
		ck_assert_int_eq(page.status, 200);
		ck_assert_msg(flow_until(f[i], "done", 20000) != NULL, "%s", flow_said(f[i]));
		flow_free(f[i]);
	}
	ck_assert_str_eq(call("echo", NULL), "");
	ask.socket = authd_socket(a, "two");
	ck_assert_str_eq(call("echo", NULL), "");
	wall_do(w, "expire", NULL);
	ck_assert_str_eq(call("echo", NULL), "");
	ask.socket = authd_socket(a, "one");
	ck_assert_str_eq(call("echo", NULL), "");
	reply_free(&page);
	end();
}
END_TEST

/* A14: as registered, with a secret that a form must encode; A6 and refresh by the same. */
START_TEST(a14_authenticates_as_registered)
{
	static const char *const methods[] = { "none", "client_secret_basic",
	    "client_secret_post" };
	char set[80];

	start(NULL);
	snprintf(set, sizeof(set), "{\"register_method\":\"%s\"}", methods[_i]);
	wall_do(w, "set", set);
	good_login(NULL);
	wall_do(w, "expire", NULL);
	ck_assert_str_eq(call("echo", NULL), "");
	ck_assert_int_eq(wall_count(w, "grants.refresh_token"), 1);
	ck_assert_int_eq(wall_count(w, "token.bad_client"), 0);
	/* A secret stands in the header alone with basic, and nowhere with none. */
	ck_assert((login_param(w, "token", "client_secret") != NULL) == (_i == 2));
	end();
}
END_TEST

/* A8: the configured id goes before all; then the metadata document. */
START_TEST(a8_configured_id_and_metadata_document)
{
	static const char document[] = "https://client.example/mcp-authd.json";

	if (_i == 0)
		start("\"oauth\":{\"clientId\":\"by-hand\"}");
	else
		start("\"oauth\":{\"clientMetadataUrl\":"
		    "\"https://client.example/mcp-authd.json\"}");
	wall_do(w, "client", "{\"client_id\":\"by-hand\",\"method\":\"none\"}");
	wall_do(w, "set", "{\"as_members\":{\"client_id_metadata_document_supported\":true}}");
	good_login(NULL);
	ck_assert_str_eq(login_param(w, "authorize", "client_id"), _i == 0 ? "by-hand" : document);
	ck_assert_int_eq(wall_count(w, "register.requests"), 0);
	ck_assert_str_eq(call("echo", NULL), "");
	end();
}
END_TEST

/* A8: a document is no use where the server does not say that it takes one. */
START_TEST(a8_document_that_the_server_does_not_take)
{
	start("\"oauth\":{\"clientMetadataUrl\":\"https://client.example/mcp-authd.json\"}");
	good_login(NULL);
	ck_assert_int_eq(wall_count(w, "register.registered"), 1);
	end();
}
END_TEST

/* A9: another authorization server gets a registration of its own and nothing of the first. */
START_TEST(a9_another_server_sees_nothing_of_the_first)
{
	char first[100];

	start(NULL);
	good_login(NULL);
	snprintf(first, sizeof(first), "other_clients.%s",
	    login_param(w, "authorize", "client_id"));
	wall_do(w, "set", "{\"authorization_servers\":[\"%OTHER%\"]}");
	/* C7: the refresh token is sent nowhere. */
	wall_do(w, "expire", NULL);
	ck_assert_str_eq(call("echo", NULL), "login_required");
	ck_assert_int_eq(wall_count(w, "grants.refresh_token"), 0);
	good_login(NULL);
	ck_assert_int_eq(wall_count(w, "other_paths./register"), 1);
	ck_assert_int_eq(wall_count(w, first), 0);
	ck_assert_str_eq(call("echo", NULL), "");
	wall_do(w, "expire", NULL);
	ck_assert_str_eq(call("echo", NULL), "");
	ck_assert_int_eq(wall_count(w, "other_paths./token"), 2);
	end();
}
END_TEST

/* A9: a configured id was meant for the first server; it is not shown to another. */
START_TEST(a9_a_configured_id_is_not_shown_to_another)
{
	const struct outcome *o;

	start("\"oauth\":{\"clientId\":\"by-hand\"}");
	wall_do(w, "client", "{\"client_id\":\"by-hand\",\"method\":\"none\"}");
	good_login(NULL);
	wall_do(w, "set", "{\"authorization_servers\":[\"%OTHER%\"]}");
	o = log_in(w, a, "wall", NULL);
	ck_assert(!o->done);
	ck_assert_ptr_nonnull(strstr(o->hint, "oauth.issuer"));
	ck_assert_int_eq(wall_count(w, "other_clients.by-hand"), 0);
	end();
}
END_TEST

/* A10: configured, else the challenge's, else all of scopes_supported, else none. */
START_TEST(a10_which_scope)
{
	static const struct { const char *members, *set, *want; } all[] = {
		{ "\"oauth\":{\"scopes\":[\"a\",\"b\"]}", "{}", "a b" },
		{ NULL, "{\"challenge\":[\"Bearer scope=\\\"from challenge\\\"\"]}",
		    "from challenge" },
		{ NULL, "{\"prm_members\":{\"scopes_supported\":[\"x\",\"y\"]}}", "x y" },
		{ NULL, "{\"prm_members\":{\"scopes_supported\":null}}", NULL },
		{ NULL, "{\"as_members\":{\"scopes_supported\":[\"offline_access\",\"z\"]}}",
		    "mcp offline_access" },
	};
	const char *scope;

	start(all[_i].members);
	wall_do(w, "set", all[_i].set);
	good_login(NULL);
	scope = login_param(w, "authorize", "scope");
	if (all[_i].want == NULL)
		ck_assert_ptr_null(scope);
	else
		ck_assert_str_eq(scope, all[_i].want);
	end();
}
END_TEST

/* A11, J: the union of what is held and what is challenged; then the call goes through. */
START_TEST(a11_step_up)
{
	const char *scope;

	start(NULL);
	good_login(NULL);
	ck_assert_str_eq(call("scope403", "{\"need\":\"admin\"}"), "insufficient_scope");
	ck_assert_int_eq(wall_count(w, "token.requests"), 1);	/* J: no reason to refresh */
	good_login(NULL);
	scope = login_param(w, "authorize", "scope");
	ck_assert_msg(strcmp(scope, "mcp admin") == 0 || strcmp(scope, "admin mcp") == 0, "%s",
	    scope);
	ck_assert_str_eq(call("scope403", "{\"need\":\"admin\"}"), "");
	ck_assert_str_eq(call("echo", NULL), "");
	end();
}
END_TEST

/* H4, RFC 7009: here first, then the refresh token that was deleted, with our client. */
START_TEST(h4_logout_revokes)
{
	const char *said;
	char store[PATH_SIZE + 64];

	start(NULL);
	good_login(NULL);
	ck_assert_int_eq(log_out(a, "wall", &said), 200);
	ck_assert_str_eq(said, "revoked");
	ck_assert_int_eq(wall_count(w, "token.revocations"), 1);
	ck_assert_str_eq(login_param(w, "revoke", "token_type_hint"), "refresh_token");
	ck_assert_ptr_nonnull(login_param(w, "revoke", "client_id"));
	ck_assert_str_eq(call("echo", NULL), "login_required");
	ck_assert_int_eq(wall_count(w, "auth.revoked"), 0);
	snprintf(store, sizeof(store), "%s/mcp-authd/credentials", w->state);
	ck_assert_int_eq(access(store, F_OK), 0);
	good_login(NULL);
	ck_assert_str_eq(call("echo", NULL), "");
	end();
}
END_TEST

/* H4: logged out, whatever the server says to the revocation. */
START_TEST(h4_logout_without_the_servers_help)
{
	static const char *const faults[] = {
		"{\"revoke\":{\"status\":503}}", "{\"revoke\":{\"close_after_read\":true}}",
		"{\"revoke\":{\"half_body\":true}}", "{\"revoke\":{\"redirect\":{\"status\":302,"
		"\"location\":\"%OTHER%/revoke\"}}}",
	};
	const char *said;

	start(NULL);
	good_login(NULL);
	wall_fault(w, faults[_i]);
	ck_assert_int_eq(log_out(a, "wall", &said), 200);
	ck_assert_str_ne(said, "revoked");
	ck_assert_str_ne(said, "");
	ck_assert_str_eq(call("echo", NULL), "login_required");
	ck_assert_int_eq(wall_count(w, "other.requests"), 0);
	end();
}
END_TEST

/* A21: pending, slow_down, approved; not polled faster than told. */
START_TEST(a21_device)
{
	start(_i == 0 ? NULL : "\"oauth\":{\"grant\":\"device_code\"}");
	wall_do(w, "set", _i == 0 ? "{\"device_pending\":2}" : "{\"device_slow\":1}");
	good_login(_i == 0 ? "{\"device\":true}" : NULL);
	ck_assert_int_eq(wall_count(w, "device.requests"), 1);
	ck_assert_int_eq(wall_count(w, "device.too_fast"), 0);
	ck_assert_int_eq(wall_count(w, "grants." DEVICE_URN), 1);
	ck_assert_int_eq(wall_count(w, "authorize.requests"), 0);
	ck_assert_str_eq(login_param(w, "device", "resource"), resource());		/* A6 */
	ck_assert_str_eq(login_param(w, "device", "scope"), "mcp");
	ck_assert_str_eq(login_param(w, "token", "resource"), resource());
	ck_assert_str_eq(call("echo", NULL), "");
	wall_do(w, "expire", NULL);
	ck_assert_str_eq(call("echo", NULL), "");
	ck_assert_int_eq(wall_count(w, "token.bad_client"), 0);
	end();
}
END_TEST

/* --- grants that need no person --- */

static char *
key_make(const char *file, bool ec)
{
	EVP_PKEY *key = ec ? EVP_EC_gen("P-256") : EVP_RSA_gen(2048);
	struct buf b = BUF_INIT(0);
	BIO *bio = BIO_new(BIO_s_mem());
	FILE *f = fopen(file, "we");
	char piece[512];
	int n;

	ck_assert(key != NULL && bio != NULL && f != NULL);
	ck_assert_int_eq(PEM_write_PrivateKey(f, key, NULL, NULL, 0, NULL, NULL), 1);
	fclose(f);
	ck_assert_int_eq(PEM_write_bio_PUBKEY(bio, key), 1);
	while ((n = BIO_read(bio, piece, sizeof(piece))) > 0)
		buf_add(&b, piece, (size_t)n);
	BIO_free(bio);
	EVP_PKEY_free(key);
	return buf_steal(&b);
}

/* A client "machine" at the wall. */
static void
machine(const char *secret, const char *method, const char *public_key)
{
	struct buf b = BUF_INIT(0);

	buf_addf(&b, "{\"client_id\":\"machine\",\"method\":\"%s\"", method);
	if (secret != NULL)
		buf_addf(&b, ",\"client_secret\":\"%s\"", secret);
	if (public_key != NULL) {
		buf_adds(&b, ",\"public_key\":");
		buf_addjson(&b, public_key, strlen(public_key));
	}
	buf_adds(&b, "}");
	wall_do(w, "client", b.p);
	buf_free(&b);
}

/* The first request logs in by itself, and a new grant is the refresh; nobody is asked. */
static void
serves_itself(const char *grant)
{
	char count[128];

	snprintf(count, sizeof(count), "grants.%s", grant);
	ck_assert_str_eq(call("echo", NULL), "");
	ck_assert_int_eq(wall_count(w, count), 1);
	wall_do(w, "expire", NULL);
	ck_assert_str_eq(call("echo", NULL), "");
	ck_assert_int_eq(wall_count(w, count), 2);
	ck_assert_str_eq(login_param(w, "token", "resource"), resource());		/* A6 */
	ck_assert_int_eq(wall_count(w, "register.requests"), 0);
	ck_assert_int_eq(wall_count(w, "authorize.requests"), 0);
	ck_assert_int_eq(wall_count(w, "token.bad_client"), 0);
	end();
}

/* A19, A14. */
START_TEST(a19_client_credentials_with_a_secret)
{
	static const char *const methods[] = { "client_secret_basic", "client_secret_post" };
	char members[512], path[PATH_SIZE + 16];

	w = world_new(0);
	snprintf(path, sizeof(path), "%s/secret", w->dir);
	file_write(path, "machine s+cret%:/\n");
	snprintf(members, sizeof(members), "\"oauth\":{\"grant\":\"client_credentials\","
	    "\"clientId\":\"machine\",\"clientSecretFile\":\"%s\",\"scopes\":[\"mcp\",\"jobs\"],"
	    "\"tokenEndpointAuthMethod\":\"%s\"}", path, methods[_i]);
	world_upstream(w, "wall", members);
	a = authd_start(w, NULL);
	ask = (struct ask){ .socket = authd_socket(a, "wall"), .version = "2026-07-28" };
	machine("machine s+cret%:/", methods[_i], NULL);
	serves_itself("client_credentials");
}
END_TEST

/* A19, A14: RS256 and ES256; each assertion once. */
START_TEST(a19_client_credentials_with_a_key)
{
	char members[512], path[PATH_SIZE + 16], *public;

	w = world_new(0);
	snprintf(path, sizeof(path), "%s/machine.pem", w->dir);
	public = key_make(path, _i == 1);
	snprintf(members, sizeof(members), "\"oauth\":{\"grant\":\"client_credentials\","
	    "\"clientId\":\"machine\",\"privateKeyFile\":\"%s\",\"privateKeyId\":\"k1\","
	    "\"tokenEndpointAuthMethod\":\"private_key_jwt\"}", path);
	world_upstream(w, "wall", members);
	a = authd_start(w, NULL);
	ask = (struct ask){ .socket = authd_socket(a, "wall"), .version = "2026-07-28" };
	machine(NULL, "private_key_jwt", public);
	free(public);
	serves_itself("client_credentials");
}
END_TEST

/* A20: the first leg again only when the ID-JAG has expired. */
START_TEST(a20_id_jag)
{
	struct buf m = BUF_INIT(0);
	char secret[PATH_SIZE + 16], subject[PATH_SIZE + 16];
	int64_t deadline = now_ms() + 20000;

	w = world_new(0);
	snprintf(secret, sizeof(secret), "%s/secret", w->dir);
	snprintf(subject, sizeof(subject), "%s/subject", w->dir);
	file_write(secret, "machine-secret\n");
	file_write(subject, "subject-token-of-the-day\n");
	buf_addf(&m, "\"oauth\":{\"grant\":\"id_jag\",\"clientId\":\"machine\","
	    "\"clientSecretFile\":\"%s\",\"idp\":{\"issuer\":\"%s/idp\","
	    "\"tokenEndpoint\":\"%s/idp/token\","
	    "\"clientId\":\"machine\",\"clientSecretFile\":\"%s\",\"subjectTokenFile\":\"%s\","
	    "\"subjectTokenType\":\"urn:ietf:params:oauth:token-type:id_token\"}}", secret,
	    w->origin, w->origin, secret, subject);
	world_upstream(w, "wall", m.p);
	buf_free(&m);
	a = authd_start(w, NULL);
	ask = (struct ask){ .socket = authd_socket(a, "wall"), .version = "2026-07-28" };
	machine("machine-secret", "client_secret_basic", NULL);
	wall_do(w, "set", "{\"subject_token\":\"subject-token-of-the-day\"}");
	if (_i == 1)
		wall_do(w, "set", "{\"jag_lifetime\":1}");
	ck_assert_str_eq(call("echo", NULL), "");
	ck_assert_str_eq(login_param(w, "idp", "audience"), w->origin);
	ck_assert_str_eq(login_param(w, "idp", "resource"), resource());
	ck_assert_int_eq(wall_count(w, "exchange.granted"), 1);
	do {
		ck_assert_int_lt(now_ms(), deadline);
		wall_do(w, "expire", NULL);
		ck_assert_str_eq(call("echo", NULL), "");
	} while (wall_count(w, "exchange.granted") < 1 + _i);
	ck_assert_int_eq(wall_count(w, "exchange.granted"), 1 + _i);
	if (_i == 0)
		ck_assert_int_eq(wall_count(w, "grants." JWT_URN), 2);
	ck_assert_int_eq(wall_count(w, "token.refused"), 0);
	end();
}
END_TEST

/* --- beside refreshes, and other daemons --- */

/*
 * H1: a refresh that began before the login does not overwrite it; one that
 * ends after a logout brings nothing back.
 */
START_TEST(h1_beside_a_refresh)
{
	struct shot shot = { .socket = NULL };
	struct volley *v;

	start(NULL);
	good_login(NULL);
	wall_do(w, "expire", NULL);
	wall_fault(w, "{\"token\":{\"delay_ms\":1500},\"match\":{\"grant\":\"refresh_token\"}}");
	shot = (struct shot){ .socket = ask.socket, .method = "POST" };
	request_post(&shot.request, &ask, "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"tools/list\","
	    "\"params\":{\"_meta\":{\"io.modelcontextprotocol/protocolVersion\":\"2026-07-28\"}}}");
	v = volley_start(&shot, 1);
	ck_assert(volley_until(v, w, "token.requests", 2, 10000));
	if (_i == 0) {
		good_login(NULL);
		volley_run(v, 20000);
		ck_assert_str_eq(call("echo", NULL), "");
		wall_do(w, "clear", NULL);
		wall_do(w, "expire", NULL);
		ck_assert_str_eq(call("echo", NULL), "");
	} else {
		ck_assert_int_eq(log_out(a, "wall", NULL), 200);
		volley_run(v, 20000);
		ck_assert_str_eq(call("echo", NULL), "login_required");
		ck_assert_int_eq(authd_stop(a), 0);
		a = authd_start(w, NULL);
		ck_assert_str_eq(call("echo", NULL), "login_required");
		ck_assert_int_eq(wall_count(w, "token.revocations"), 1);
	}
	ck_assert_int_eq(wall_count(w, "token.replays"), 0);
	volley_free(v);
	shots_free(&shot, 1);
	end();
}
END_TEST

/* H2: another daemon on the same store adopts the login, and the logout, at its next exchange. */
START_TEST(h2_another_daemon)
{
	struct authd *b;
	struct ask mine;

	start(NULL);
	b = authd_start(w, &(struct authd_options){ .runtime = "run2" });
	mine = ask;
	ask.socket = authd_socket(b, "wall");
	ck_assert_str_eq(call("echo", NULL), "login_required");
	good_login(NULL);
	ck_assert_str_eq(call("echo", NULL), "");
	ck_assert_int_eq(log_out(a, "wall", NULL), 200);
	ck_assert_str_eq(call("echo", NULL), "login_required");
	ask = mine;
	ck_assert_str_eq(call("echo", NULL), "login_required");
	ck_assert_int_eq(wall_count(w, "auth.revoked"), 0);
	end();
}
END_TEST

/* --- odd servers that must work --- */

/* A18: no metadata at all: the endpoints stand at the MCP origin. */
START_TEST(a18_no_metadata_at_all)
{
	start(NULL);
	wall_do(w, "set", "{\"prm_paths\":[],\"as_paths\":[],\"challenge\":[\"Bearer\"],"
	    "\"iss\":null}");
	good_login(NULL);
	ck_assert_int_eq(wall_count(w, "register.registered"), 1);
	ck_assert_str_eq(call("echo", NULL), "");
	wall_do(w, "expire", NULL);
	ck_assert_str_eq(call("echo", NULL), "");
	end();
}
END_TEST

/* A18: metadata of the server at the MCP origin, though no resource names it. */
START_TEST(a18_server_metadata_at_the_mcp_origin)
{
	start(NULL);
	wall_do(w, "set", "{\"prm_paths\":[],\"challenge\":[\"Bearer\"]}");
	good_login(NULL);
	ck_assert_int_eq(wall_count(w, "metadata.server"), 1);
	ck_assert_str_eq(call("echo", NULL), "");
	end();
}
END_TEST

/* H5: the command runs once for a need; A17: after a failure no second flow by itself. */
START_TEST(a17_one_command_for_a_need)
{
	char top[400], path[PATH_SIZE + 16], *url = NULL;
	struct reply r = { 0 };
	int64_t deadline = now_ms() + 20000;

	w = world_new(0);
	snprintf(path, sizeof(path), "%s/opened", w->dir);
	world_upstream(w, "wall", NULL);
	snprintf(top, sizeof(top), "\"login\":{\"command\":[\"/bin/sh\",\"-c\","
	    "\"printf '%%s\\\\n' \\\"$1\\\" >>%s\",\"sh\",\"{url}\"]}", path);
	world_top(w, top);
	a = authd_start(w, NULL);
	ask = (struct ask){ .socket = authd_socket(a, "wall"), .version = "2026-07-28" };
	for (int i = 0; i < 10; i++)
		ck_assert_str_eq(call("echo", NULL), "login_required");
	while (url == NULL || strchr(url, '\n') == NULL) {
		ck_assert_int_lt(now_ms(), deadline);
		free(url);
		url = file_read(path, NULL);
		pause_ms(5);
	}
	ck_assert_ptr_eq(strchr(url, '\n'), url + strlen(url) - 1);
	url[strlen(url) - 1] = '\0';
	if (_i == 0) {
		ck_assert_int_eq(browse(w, url, 3, &r, 10000), 0);
		ck_assert_int_eq(r.status, 200);
		while (strcmp(call("echo", NULL), "") != 0)
			ck_assert_int_lt(now_ms(), deadline);
	} else {
		wall_do(w, "set", "{\"deny\":true}");
		ck_assert_int_eq(browse(w, url, 3, &r, 10000), 0);
		for (int i = 0; i < 10; i++)
			ck_assert_str_eq(call("echo", NULL), "login_required");
	}
	free(url);
	url = file_read(path, NULL);
	ck_assert_ptr_eq(strchr(url, '\n'), url + strlen(url) - 1);	/* one line */
	ck_assert_int_eq(wall_count(w, "register.requests"), 1);
	free(url);
	reply_free(&r);
	end();
}
END_TEST

/* H6: what needs the login waits for it where the config says so, and is sent once. */
START_TEST(h6_held_for_the_login)
{
	struct shot shots[8];
	struct volley *v;
	struct flow *f;
	struct reply page = { 0 };
	const cJSON *e;

	w = world_new(0);
	world_upstream(w, "wall", NULL);
	world_top(w, "\"login\":{\"wait\":30}");
	a = authd_start(w, NULL);
	ask = (struct ask){ .socket = authd_socket(a, "wall"), .version = "2026-07-28" };
	f = flow_begin(a, "wall", NULL);
	e = flow_until(f, "url", 20000);
	ck_assert_ptr_nonnull(e);
	for (size_t i = 0; i < nitems(shots); i++) {
		struct buf body = BUF_INIT(0);

		tool_json_modern(&body, (int)i, "echo", NULL);
		shots[i] = (struct shot){ .socket = ask.socket, .method = "POST" };
		request_post(&shots[i].request, &ask, body.p);
		buf_free(&body);
	}
	v = volley_start(shots, nitems(shots));
	ck_assert_uint_eq(volley_run(v, 300), 0);
	ck_assert_int_eq(browse(w, cJSON_GetObjectItem(e, "url")->valuestring, 3, &page, 10000), 0);
	ck_assert_uint_eq(volley_run(v, 20000), nitems(shots));
	for (size_t i = 0; i < nitems(shots); i++)
		ck_assert_str_eq(reply_reason(&shots[i].reply), "");
	/* The probe. */
	ck_assert_int_eq(wall_count(w, "auth.missing") + wall_count(w, "auth.unknown"), 1);
	volley_free(v);
	shots_free(shots, nitems(shots));
	flow_free(f);
	reply_free(&page);
	end();
}
END_TEST

/* H5, H6: whose need runs the command waits, too, be it the first. */
START_TEST(h6_the_first_is_held)
{
	char top[400], path[PATH_SIZE + 16], *url = NULL;
	struct shot shot = { .method = "POST" };
	struct volley *v;
	struct buf body = BUF_INIT(0);
	struct reply page = { 0 };
	int64_t deadline = now_ms() + 20000;

	w = world_new(0);
	snprintf(path, sizeof(path), "%s/opened", w->dir);
	world_upstream(w, "wall", NULL);
	snprintf(top, sizeof(top), "\"login\":{\"wait\":30,\"command\":[\"/bin/sh\",\"-c\","
	    "\"printf '%%s\\\\n' \\\"$1\\\" >>%s\",\"sh\",\"{url}\"]}", path);
	world_top(w, top);
	a = authd_start(w, NULL);
	ask = (struct ask){ .socket = authd_socket(a, "wall"), .version = "2026-07-28" };
	tool_json_modern(&body, 1, "echo", NULL);
	shot.socket = ask.socket;
	request_post(&shot.request, &ask, body.p);
	buf_free(&body);
	v = volley_start(&shot, 1);
	while (url == NULL || strchr(url, '\n') == NULL) {
		ck_assert_int_lt(now_ms(), deadline);
		ck_assert_uint_eq(volley_run(v, 5), 0);
		free(url);
		url = file_read(path, NULL);
	}
	*strchr(url, '\n') = '\0';
	ck_assert_int_eq(browse(w, url, 3, &page, 10000), 0);
	ck_assert_uint_eq(volley_run(v, 20000), 1);
	ck_assert_str_eq(reply_reason(&shot.reply), "");
	volley_free(v);
	shots_free(&shot, 1);
	free(url);
	reply_free(&page);
	end();
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("login");
	TCase *t = tcase_create("login");
	SRunner *r;
	int failed;

	tcase_set_timeout(t, 60);
	tcase_add_test(t, a8_bare_url_login_traffic_rotation);
	tcase_add_test(t, a15_over_tls);
	tcase_add_test(t, a1_no_root_probe_if_the_path_answers);
	tcase_add_test(t, a16_lazily);
	tcase_add_test(t, a8_registered_once_with_a_stable_redirect);
	tcase_add_test(t, a8_registered_without_scopes);
	tcase_add_loop_test(t, a8_a_forgotten_client_registers_anew, 0, 2);
	tcase_add_test(t, a8_a_forgotten_client_that_only_the_browser_sees);
	tcase_add_loop_test(t, h3_two_accounts_at_once, 0, 2);
	tcase_add_loop_test(t, a14_authenticates_as_registered, 0, 3);
	tcase_add_loop_test(t, a8_configured_id_and_metadata_document, 0, 2);
	tcase_add_test(t, a8_document_that_the_server_does_not_take);
	tcase_add_test(t, a9_another_server_sees_nothing_of_the_first);
	tcase_add_test(t, a9_a_configured_id_is_not_shown_to_another);
	tcase_add_loop_test(t, a10_which_scope, 0, 5);
	tcase_add_test(t, a11_step_up);
	tcase_add_test(t, h4_logout_revokes);
	tcase_add_loop_test(t, h4_logout_without_the_servers_help, 0, 4);
	tcase_add_loop_test(t, a21_device, 0, 2);
	tcase_add_loop_test(t, a19_client_credentials_with_a_secret, 0, 2);
	tcase_add_loop_test(t, a19_client_credentials_with_a_key, 0, 2);
	tcase_add_loop_test(t, a20_id_jag, 0, 2);
	tcase_add_loop_test(t, h1_beside_a_refresh, 0, 2);
	tcase_add_test(t, h2_another_daemon);
	tcase_add_test(t, a18_no_metadata_at_all);
	tcase_add_test(t, a18_server_metadata_at_the_mcp_origin);
	tcase_add_loop_test(t, a17_one_command_for_a_need, 0, 2);
	tcase_add_test(t, h6_held_for_the_login);
	tcase_add_test(t, h6_the_first_is_held);
	suite_add_tcase(s, t);
	r = srunner_create(s);
	srunner_run_all(r, CK_NORMAL);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed != 0;
}
