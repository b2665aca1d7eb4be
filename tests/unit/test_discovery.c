/*
 * lib/discovery against a little web of documents: what it asks for, in which
 * order and no more, and what it makes of the answers (WIRE A1, A3, A4, A7, A9,
 * A10, A15, A18).
 */
#include <check.h>
#include <stdio.h>

#include "bounds.h"
#include "discovery.h"

#define HOST		"https://mcp.example"
#define AT_HOST		HOST "/.well-known/"
#define AS		"https://as.example"
#define PRM_OF(resource, servers) \
	"{\"resource\":\"" resource "\",\"authorization_servers\":[" servers "]}"
#define PRM		PRM_OF(HOST "/mcp", "\"" AS "\"")
#define AS_OF(issuer, more) "{\"issuer\":\"" issuer "\",\"authorization_endpoint\":\"" AS "/a\"," \
	"\"token_endpoint\":\"" AS "/t\"" more "}"
#define PKCE		",\"code_challenge_methods_supported\":[\"plain\",\"S256\"]"
#define AS_DOC		AS_OF(AS, PKCE)

struct page {
	const char	*url;
	int		 status;	/* 0: not reached */
	const char	*body;
};

static struct config_upstream u;
static struct page web[16];
static size_t npages;
static struct challenge challenge;	/* of the probe's answer */
static int probe_status;

/* What happened. */
static char asked[8192];		/* "PROBE URL\nGET URL\n..." */
static enum discovery_need end;
static struct discovery_result res;
static char why[1024];

static void
serve(const char *url, int status, const char *body)
{
	ck_assert_uint_lt(npages, nitems(web));
	web[npages++] = (struct page){ url, status, body };
}

static void
answer(struct discovery *d, enum discovery_need need, const struct url *url)
{
	struct discovery_answer a = { .status = 404, .body = "gone", .n = 4 };
	size_t i;

	snprintf(asked + strlen(asked), sizeof(asked) - strlen(asked), "%s %s\n",
	    need == DISCOVERY_PROBE ? "PROBE" : "GET", url->text);
	if (need == DISCOVERY_PROBE) {
		ck_assert_str_eq(url->text, u.url.text);
		a = (struct discovery_answer){ .status = probe_status, .challenge = &challenge,
		    .why = "connection refused" };
	}
	for (i = 0; i < npages && need == DISCOVERY_GET; i++)
		if (strcmp(web[i].url, url->text) == 0)
			a = (struct discovery_answer){ .status = web[i].status, .body = web[i].body,
			    .n = strlen(web[i].body), .why = "no answer in time" };
	ck_assert_int_eq(discovery_answer(d, &a), 0);
}

/* Walks to the end; the caller discovery_free()s what comes back. */
static struct discovery *
walk(const struct challenge *known, bool resource_only)
{
	struct discovery *d = discovery_new(&u, known, resource_only);
	const struct url *url, *again;
	char words[512];
	int steps;

	ck_assert_ptr_nonnull(d);
	asked[0] = why[0] = '\0';
	for (steps = 0; (end = discovery_next(d, &url)) < DISCOVERY_DONE; steps++) {
		ck_assert_int_lt(steps, 8);
		ck_assert_int_eq(discovery_next(d, &again), end);
		ck_assert_ptr_eq(url, again);
		ck_assert_uint_gt(strlen(discovery_step(d, words, sizeof(words))), 0);
		answer(d, end, url);
	}
	snprintf(why, sizeof(why), "%s", discovery_why(d));
	ck_assert_msg((end == DISCOVERY_FAILED) == (why[0] != '\0'), "%s", why);
	return d;
}

static void
discover(void)
{
	struct discovery *d = walk(NULL, false);

	discovery_result_free(&res);
	discovery_take(d, &res);
	discovery_free(d);
}

static void
expect_done(const char *requests)
{
	discover();
	ck_assert_msg(end == DISCOVERY_DONE, "%s", why);
	if (requests != NULL)
		ck_assert_str_eq(asked, requests);
}

static void
expect_failed(const char *words)
{
	discover();
	ck_assert_int_eq(end, DISCOVERY_FAILED);
	ck_assert_msg(strstr(why, words) != NULL, "\"%s\" is not in \"%s\"", words, why);
}

static void
at(const char *url)
{
	url_free(&u.url);
	ck_assert_int_eq(url_parse(url, strlen(url), &u.url), 0);
}

static void
challenged(int status, const char *value)
{
	challenge_free(&challenge);
	challenge = (struct challenge){ 0 };
	probe_status = status;
	if (value != NULL)
		ck_assert_int_eq(challenge_add(&challenge, value, strlen(value)), 0);
}

/* A web in which everything is as it should be, well-known places alone. */
static void
good_web(void)
{
	serve(AT_HOST "oauth-protected-resource/mcp", 200, PRM);
	serve(AS "/.well-known/oauth-authorization-server", 200, AS_DOC);
}

#define PROBE_MCP	"PROBE " HOST "/mcp\n"
#define GET_PATH	"GET " AT_HOST "oauth-protected-resource/mcp\n"
#define GET_ROOT	"GET " AT_HOST "oauth-protected-resource\n"
#define GET_AS		"GET " AS "/.well-known/oauth-authorization-server\n"
#define GET_OIDC	"GET " AS "/.well-known/openid-configuration\n"
#define GET_OWN		"GET " AT_HOST "oauth-authorization-server\n"
#define GET_OWN_OIDC	"GET " AT_HOST "openid-configuration\n"

/* --- A1 --- */

START_TEST(a1_challenge_names_it)
{
	good_web();
	serve(HOST "/meta?x=1", 200, PRM);
	challenged(401, "Bearer resource_metadata=\"" HOST "/meta?x=1\"");
	expect_done(PROBE_MCP "GET " HOST "/meta?x=1\n" GET_AS);
	ck_assert_str_eq(res.resource_metadata, HOST "/meta?x=1");
	ck_assert_str_eq(res.resource, HOST "/mcp");
	ck_assert_str_eq(res.issuer, AS);
	ck_assert_str_eq(res.token_endpoint, AS "/t");
	ck_assert_str_eq(res.authorization_endpoint, AS "/a");
	ck_assert_ptr_null(res.registration_endpoint);
	ck_assert(res.pkce && !res.bare && !res.iss && !res.client_metadata);
	challenged(403, "Bearer resource_metadata=\"" HOST "/meta?x=1\"");
	expect_done(PROBE_MCP "GET " HOST "/meta?x=1\n" GET_AS);
}
END_TEST

START_TEST(a1_known_challenge_needs_no_probe)
{
	struct discovery *d;

	good_web();
	challenged(401, "Bearer scope=\"read\"");
	d = walk(&challenge, false);
	ck_assert_int_eq(end, DISCOVERY_DONE);
	ck_assert_str_eq(asked, GET_PATH GET_AS);
	discovery_take(d, &res);
	ck_assert_str_eq(res.challenged, "read");
	discovery_free(d);
}
END_TEST

/* Whatever else the probe brings: path first, then root, and no root if the path answers. */
START_TEST(a1_well_known_places)
{
	static const int statuses[] = { 200, 401, 403, 404, 405, 400, 307, 500, 503 };

	good_web();
	challenged(statuses[_i], NULL);
	expect_done(PROBE_MCP GET_PATH GET_AS);
	ck_assert_str_eq(res.resource_metadata, AT_HOST "oauth-protected-resource/mcp");
	web[0].status = 404;
	serve(AT_HOST "oauth-protected-resource", 200, PRM_OF(HOST, "\"" AS "\""));
	expect_done(PROBE_MCP GET_PATH GET_ROOT GET_AS);
	ck_assert_str_eq(res.resource, HOST);	/* A6: no slash added */
	ck_assert_str_eq(res.resource_metadata, AT_HOST "oauth-protected-resource");
}
END_TEST

START_TEST(a1_no_path_no_second_place)
{
	at(HOST);
	expect_done("PROBE " HOST "/\n" GET_ROOT GET_OWN GET_OWN_OIDC);
	at(HOST "/?key=k");
	expect_done("PROBE " HOST "/?key=k\nGET " AT_HOST "oauth-protected-resource?key=k\n"
	    GET_ROOT GET_OWN GET_OWN_OIDC);
	at(HOST "/a/b/?key=k");
	expect_done("PROBE " HOST "/a/b/?key=k\nGET " AT_HOST "oauth-protected-resource/a/b/?key=k\n"
	    GET_ROOT GET_OWN GET_OWN_OIDC);
}
END_TEST

START_TEST(a1_named_but_gone)
{
	good_web();
	challenged(401, "Bearer resource_metadata=\"" HOST "/meta\"");
	expect_done(PROBE_MCP "GET " HOST "/meta\n" GET_PATH GET_AS);
	/* Nothing is asked twice. */
	web[0].status = 404;
	challenged(401, "Bearer resource_metadata=\"" AT_HOST "oauth-protected-resource/mcp\"");
	expect_failed("although the server's challenge names one");
	ck_assert_str_eq(asked, PROBE_MCP GET_PATH GET_ROOT);
}
END_TEST

START_TEST(a15_named_must_be_https)
{
	static const char *const bad[] = {
		"http://mcp.example/meta", "ftp://mcp.example/meta", "file:///etc/passwd", "meta",
		"https://u:p@mcp.example/meta", "https://mcp.example/meta#x",
	};
	char value[256];
	size_t i;

	good_web();
	for (i = 0; i < nitems(bad); i++) {
		snprintf(value, sizeof(value), "Bearer resource_metadata=\"%s\"", bad[i]);
		challenged(401, value);
		expect_failed("no https URL");
		ck_assert_str_eq(asked, PROBE_MCP);
	}
	u.allow_insecure = true;
	challenged(401, "Bearer resource_metadata=\"http://mcp.example/meta\"");
	expect_done(PROBE_MCP "GET http://mcp.example/meta\n" GET_PATH GET_AS);
}
END_TEST

START_TEST(probe_does_not_reach_it)
{
	good_web();
	challenged(0, NULL);
	expect_failed("the MCP server cannot be reached: connection refused");
	ck_assert_str_eq(asked, PROBE_MCP);
}
END_TEST

/* What may pass is no answer to the question whether metadata is there. */
START_TEST(trouble_is_no_absence)
{
	static const int statuses[] = { 0, 500, 502, 503, 599, 408, 429 };

	good_web();
	web[0].status = statuses[_i];
	expect_failed(statuses[_i] == 0 ? "no answer in time" : "try again later");
	ck_assert_str_eq(asked, PROBE_MCP GET_PATH);
	web[0].status = 200;
	web[1].status = statuses[_i];
	expect_failed(AS "/.well-known/oauth-authorization-server");
	ck_assert_str_eq(asked, PROBE_MCP GET_PATH GET_AS);
	/* Nor a reason to take the server for one of 2025-03-26 (A18). */
	web[0].status = 404;
	serve(AT_HOST "oauth-authorization-server", statuses[_i], "");
	expect_failed("metadata at " AT_HOST);
	ck_assert_str_eq(asked, PROBE_MCP GET_PATH GET_ROOT GET_OWN);
}
END_TEST

/* --- A3, A4 --- */

static const struct {
	const char	*issuer;
	const char	*places[4];
} variants[] = {
	{ AS, { AS "/.well-known/oauth-authorization-server",
	    AS "/.well-known/openid-configuration" } },
	{ AS "/", { AS "/.well-known/oauth-authorization-server",
	    AS "/.well-known/openid-configuration" } },
	{ AS "/t/1", { AS "/.well-known/oauth-authorization-server/t/1",
	    AS "/.well-known/openid-configuration/t/1", AS "/t/1/.well-known/openid-configuration" } },
	{ AS "/t/", { AS "/.well-known/oauth-authorization-server/t",
	    AS "/.well-known/openid-configuration/t", AS "/t/.well-known/openid-configuration" } },
	{ "http://127.0.0.1:8080/x", { "http://127.0.0.1:8080/.well-known/oauth-authorization-server/x",
	    "http://127.0.0.1:8080/.well-known/openid-configuration/x",
	    "http://127.0.0.1:8080/x/.well-known/openid-configuration" } },
};

START_TEST(a3_variants_in_order)
{
	const char *issuer = variants[_i].issuer;
	char prm[512], doc[512], wanted[2048] = PROBE_MCP GET_PATH;
	size_t n;

	snprintf(prm, sizeof(prm), PRM_OF(HOST "/mcp", "\"%s\""), issuer);
	snprintf(doc, sizeof(doc), AS_OF("%s", ""), issuer);
	for (n = 0; variants[_i].places[n] != NULL; n++) {
		snprintf(wanted + strlen(wanted), sizeof(wanted) - strlen(wanted), "GET %s\n",
		    variants[_i].places[n]);
		npages = 0;
		serve(AT_HOST "oauth-protected-resource/mcp", 200, prm);
		/* Before it: a page for people, another 4xx, an answer without content. */
		serve(variants[_i].places[0], _i == 0 ? 200 : _i == 1 ? 401 : 204, "<html>");
		if (n > 0 && n + 1 < nitems(variants[_i].places))
			serve(variants[_i].places[n], 200, doc);
		else
			web[1] = (struct page){ variants[_i].places[0], 200, doc };
		expect_done(wanted);
		ck_assert_str_eq(res.issuer, issuer);
	}
	npages = 1;
	expect_failed("the authorization server has none");
	ck_assert_str_eq(asked, wanted);
}
END_TEST

START_TEST(a4_issuer_byte_for_byte)
{
	static const char *const others[] = {
		AS "/", "https://AS.example", "https://as.example:443", "https://evil.example", "", AS "x",
	};
	char doc[512];
	size_t i;

	good_web();
	for (i = 0; i < nitems(others); i++) {
		snprintf(doc, sizeof(doc), AS_OF("%s", ""), others[i]);
		web[1].body = doc;
		expect_failed("it says that it is another issuer's");
		ck_assert_str_eq(asked, PROBE_MCP GET_PATH GET_AS);	/* no other variant heals it */
	}
	web[1].body = "{\"token_endpoint\":\"" AS "/t\",\"authorization_endpoint\":\"" AS "/a\"}";
	expect_failed("it has no \"issuer\"");
	web[1].body = "{\"issuer\":[\"" AS "\"],\"token_endpoint\":\"" AS "/t\"}";
	expect_failed("it has no \"issuer\"");
}
END_TEST

START_TEST(a4_configured_issuer_replaces_it)
{
	u.oauth.issuer = (char *)AS "/common";
	good_web();
	web[0].body = PRM_OF(HOST "/mcp", "\"https://first.example\",\"" AS "/common\"");
	serve(AS "/.well-known/oauth-authorization-server/common", 200, AS_OF(AS "/tenant", ""));
	expect_done(PROBE_MCP GET_PATH "GET " AS "/.well-known/oauth-authorization-server/common\n");
	ck_assert_str_eq(res.issuer, AS "/common");
	ck_assert(!res.pkce);
}
END_TEST

/* --- A7 --- */

START_TEST(a7_resource)
{
	static const struct {
		const char	*mcp, *resource;
		bool		 good;
	} rows[] = {
		{ HOST "/mcp", HOST "/mcp", true },
		{ HOST "/mcp", HOST, true },
		{ HOST "/mcp", HOST "/", true },
		{ HOST "/mcp", "https://MCP.example:443/mcp", true },
		{ HOST "/mcp", HOST "/mcp/", true },
		{ HOST "/mcp/", HOST "/mcp", true },
		{ HOST "/a/b", HOST "/a", true },
		{ HOST "/mcp?k=1", HOST "/mcp", true },
		{ HOST "/mcp?k=1", HOST "/mcp?k=1", true },
		{ HOST "/mcp", HOST "/mc", false },
		{ HOST "/mcp", HOST "/mcp/x", false },
		{ HOST "/mcp", HOST "/mcpx", false },
		{ HOST "/mcp", HOST "/other", false },
		{ HOST "/mcp", HOST "/mcp?k=1", false },
		{ HOST "/mcp", "http://mcp.example/mcp", false },
		{ HOST "/mcp", HOST ":8443/mcp", false },
		{ HOST "/mcp", "https://api.example/mcp", false },
		{ HOST "/mcp", "https://sub.mcp.example/mcp", false },
		{ HOST "/mcp", "https://mcp.example.evil.example/mcp", false },
		{ HOST "/mcp", HOST "/mcp#x", false },
		{ HOST "/mcp", "https://mcp.example@evil.example/mcp", false },
		{ HOST "/mcp", "mcp", false },
		{ HOST "/mcp", "", false },
	};
	char prm[512];

	at(rows[_i].mcp);
	snprintf(prm, sizeof(prm), PRM_OF("%s", "\"" AS "\""), rows[_i].resource);
	challenged(401, "Bearer resource_metadata=\"" HOST "/meta\"");
	serve(HOST "/meta", 200, prm);
	serve(AS "/.well-known/oauth-authorization-server", 200, AS_DOC);
	discover();
	ck_assert_msg((end == DISCOVERY_DONE) == rows[_i].good, "%s: %s", rows[_i].resource, why);
	if (rows[_i].good) {
		ck_assert_str_eq(res.resource, rows[_i].resource);
		return;
	}
	ck_assert_ptr_null(strstr(asked, AS));	/* refused before the server is even asked */
	/* An override changes what is sent, not what is believed. */
	u.oauth.resource = (char *)"https://api.example/";
	expect_failed("the protected-resource metadata at " HOST "/meta: it");
}
END_TEST

START_TEST(a6_override)
{
	good_web();
	u.oauth.resource = (char *)"urn:wanted";
	expect_done(NULL);
	ck_assert_str_eq(res.resource, "urn:wanted");
	u.oauth.resource = NULL;
	u.oauth.resource_omit = true;
	expect_done(NULL);
	ck_assert_ptr_null(res.resource);
}
END_TEST

/* --- A9 --- */

START_TEST(a9_which_server)
{
	good_web();
	web[0].body = PRM_OF(HOST "/mcp", "\"" AS "\",\"https://other.example\"");
	expect_done(PROBE_MCP GET_PATH GET_AS);
	ck_assert_str_eq(res.issuer, AS);
	u.oauth.issuer = (char *)"https://third.example";
	expect_failed("does not name the configured \"oauth.issuer\" https://third.example");
	ck_assert_str_eq(asked, PROBE_MCP GET_PATH);
	u.oauth.issuer = (char *)AS "/";	/* byte for byte here, too */
	expect_failed("does not name the configured");
	/* None named, one configured. */
	u.oauth.issuer = (char *)AS;
	web[0].body = "{\"resource\":\"" HOST "/mcp\"}";
	expect_done(PROBE_MCP GET_PATH GET_AS);
	/* No metadata at all, one configured: not the MCP origin's. */
	web[0].status = 404;
	expect_done(PROBE_MCP GET_PATH GET_ROOT GET_AS);
	ck_assert(!res.bare);
	ck_assert_ptr_null(res.resource);
}
END_TEST

START_TEST(a15_server_must_be_https)
{
	static const char *const bad[] = {
		"http://as.example", "http://127.0.0.1.evil.example", "ldap://as.example", "as.example",
		"https://u:p@as.example", "https://as.example?x=1", "https://as.example#x", "",
		"https://as.example/\\u0007",
	};
	char prm[512];
	size_t i;

	good_web();
	for (i = 0; i < nitems(bad); i++) {
		snprintf(prm, sizeof(prm), PRM_OF(HOST "/mcp", "\"%s\""), bad[i]);
		web[0].body = prm;
		expect_failed("must be an https URL without query");
		ck_assert_str_eq(asked, PROBE_MCP GET_PATH);
	}
}
END_TEST

/* --- A10 --- */

START_TEST(a10_scope)
{
	static const struct {
		const char	*configured, *challenged, *resource, *server, *wanted;
	} rows[] = {
		{ "cfg", "chal", "\"r1\",\"r2\"", "", "cfg" },
		{ NULL, "chal x", "\"r1\",\"r2\"", "", "chal x" },
		{ NULL, NULL, "\"r1\",\"r2\"", "", "r1 r2" },
		{ NULL, NULL, "", "", NULL },
		{ NULL, NULL, "", "\"s1\"", NULL },
		{ NULL, "chal", "", "\"s1\",\"offline_access\"", "chal offline_access" },
		{ NULL, NULL, "\"r1\"", "\"offline_access\"", "r1 offline_access" },
		{ NULL, NULL, "\"offline_access\",\"r1\"", "\"offline_access\"", "r1 offline_access" },
		{ NULL, NULL, "\"offline_access\",\"r1\"", "\"r1\"", "r1" },
		{ NULL, NULL, "\"offline_access\"", "\"r1\"", NULL },
		{ NULL, NULL, "", "\"offline_access\"", NULL },
		{ "cfg", NULL, "", "\"offline_access\"", "cfg" },
		{ NULL, NULL, "\"ok\",\"a b\",7,\"\",\"q\\\"q\",null", "", "ok" },
	};
	char prm[512], doc[512], value[128];

	snprintf(prm, sizeof(prm), "{\"resource\":\"" HOST "/mcp\",\"authorization_servers\":[\"" AS
	    "\"],\"scopes_supported\":[%s]}", rows[_i].resource);
	snprintf(doc, sizeof(doc), AS_OF(AS, ",\"scopes_supported\":[%s]"), rows[_i].server);
	good_web();
	web[0].body = prm;
	web[1].body = doc;
	u.oauth.scope = (char *)rows[_i].configured;
	if (rows[_i].challenged != NULL) {
		snprintf(value, sizeof(value), "Bearer scope=\"%s\"", rows[_i].challenged);
		challenged(401, value);
	}
	expect_done(NULL);
	ck_assert_msg((res.scope == NULL) == (rows[_i].wanted == NULL), "%s", res.scope);
	if (res.scope != NULL)
		ck_assert_str_eq(res.scope, rows[_i].wanted);
	ck_assert_int_eq(res.offline_access, strstr(rows[_i].server, "offline_access") != NULL);
	ck_assert(rows[_i].challenged == NULL || strcmp(res.challenged, rows[_i].challenged) == 0);
}
END_TEST

/* --- A18 --- */

START_TEST(a18_metadata_at_the_mcp_origin)
{
	serve(AT_HOST "oauth-authorization-server", 200, AS_OF(HOST, ""));
	expect_done(PROBE_MCP GET_PATH GET_ROOT GET_OWN);
	ck_assert_str_eq(res.issuer, HOST);
	ck_assert_ptr_null(res.resource);
	ck_assert_ptr_null(res.resource_metadata);
	ck_assert(!res.bare && !res.pkce);
	web[0].body = AS_OF(HOST "/", "");	/* as the TypeScript SDK writes it */
	expect_done(NULL);
	ck_assert_str_eq(res.issuer, HOST "/");
	web[0].body = AS_OF(HOST "/mcp", "");
	expect_failed("another issuer's");
	web[0].body = AS_OF(HOST "//", "");
	expect_failed("another issuer's");
	web[0] = (struct page){ AT_HOST "openid-configuration", 200, AS_OF(HOST, PKCE) };
	expect_done(PROBE_MCP GET_PATH GET_ROOT GET_OWN GET_OWN_OIDC);
	ck_assert(res.pkce);
}
END_TEST

START_TEST(a18_no_metadata_at_all)
{
	at("https://mcp.example:8443/v1/mcp");
	expect_done("PROBE https://mcp.example:8443/v1/mcp\n"
	    "GET https://mcp.example:8443/.well-known/oauth-protected-resource/v1/mcp\n"
	    "GET https://mcp.example:8443/.well-known/oauth-protected-resource\n"
	    "GET https://mcp.example:8443/.well-known/oauth-authorization-server\n"
	    "GET https://mcp.example:8443/.well-known/openid-configuration\n");
	ck_assert(res.bare && res.pkce);
	ck_assert_ptr_null(res.issuer);
	ck_assert_str_eq(res.authorization_endpoint, "https://mcp.example:8443/authorize");
	ck_assert_str_eq(res.token_endpoint, "https://mcp.example:8443/token");
	ck_assert_str_eq(res.registration_endpoint, "https://mcp.example:8443/register");
	u.oauth.token_endpoint = (char *)"https://own.example/token";
	expect_done(NULL);
	ck_assert(res.bare);
	ck_assert_str_eq(res.token_endpoint, "https://own.example/token");
}
END_TEST

/* --- the config's endpoints --- */

START_TEST(configured_endpoints)
{
	good_web();
	u.oauth.token_endpoint = (char *)"https://own.example/t";
	expect_done(NULL);
	ck_assert_str_eq(res.token_endpoint, "https://own.example/t");
	ck_assert_str_eq(res.authorization_endpoint, AS "/a");
	web[1].status = 404;
	expect_failed("the authorization server has none");	/* one of two is not enough */
	u.oauth.authorization_endpoint = (char *)"https://own.example/a";
	expect_done(PROBE_MCP GET_PATH GET_AS GET_OIDC);
	ck_assert_str_eq(res.authorization_endpoint, "https://own.example/a");
	ck_assert_str_eq(res.issuer, AS);
	ck_assert(!res.pkce && !res.bare);
	u.oauth.assume_pkce = true;
	web[1].status = 0;
	expect_done(PROBE_MCP GET_PATH GET_AS);
	ck_assert(res.pkce);
	/* A wrong document is an error all the same. */
	web[1] = (struct page){ AS "/.well-known/oauth-authorization-server", 200, AS_OF("https://x", "") };
	expect_failed("another issuer's");
	/* A grant without a browser needs the token endpoint alone; a device needs the document. */
	u.oauth.authorization_endpoint = NULL;
	web[1].status = 503;
	u.oauth.grant = CONFIG_CLIENT_CREDENTIALS;
	expect_done(NULL);
	u.oauth.grant = CONFIG_DEVICE_CODE;
	expect_failed("try again later");
	/* Nobody names an issuer, and none is needed. */
	u.oauth.grant = CONFIG_CLIENT_CREDENTIALS;
	web[0].status = 404;
	expect_done(PROBE_MCP GET_PATH GET_ROOT GET_OWN GET_OWN_OIDC);
	ck_assert(!res.bare);
	ck_assert_ptr_null(res.issuer);
	ck_assert_ptr_null(res.registration_endpoint);
}
END_TEST

START_TEST(what_the_server_says)
{
	good_web();
	web[1].body = AS_OF(AS, ",\"registration_endpoint\":\"https://r.example\","
	    "\"revocation_endpoint\":\"" AS "/rev?a=b\",\"device_authorization_endpoint\":\"" AS "/dev\","
	    "\"token_endpoint_auth_methods_supported\":[\"none\",3,\"private_key_jwt\"],"
	    "\"client_id_metadata_document_supported\":true,"
	    "\"authorization_response_iss_parameter_supported\":true");
	expect_done(NULL);
	ck_assert_str_eq(res.registration_endpoint, "https://r.example/");
	ck_assert_str_eq(res.revocation_endpoint, AS "/rev?a=b");
	ck_assert_str_eq(res.device_authorization_endpoint, AS "/dev");
	ck_assert_str_eq(res.auth_methods[0], "none");
	ck_assert_str_eq(res.auth_methods[1], "private_key_jwt");
	ck_assert_ptr_null(res.auth_methods[2]);
	ck_assert(res.client_metadata && res.iss && !res.pkce);
	/* Truth is true alone. */
	web[1].body = AS_OF(AS, ",\"client_id_metadata_document_supported\":\"true\","
	    "\"authorization_response_iss_parameter_supported\":1,"
	    "\"code_challenge_methods_supported\":\"S256\",\"token_endpoint_auth_methods_supported\":{}");
	expect_done(NULL);
	ck_assert(!res.client_metadata && !res.iss && !res.pkce);
	ck_assert_ptr_null(res.auth_methods);
}
END_TEST

START_TEST(a15_endpoints_must_be_https)
{
	static const char *const keys[] = {
		"authorization_endpoint", "token_endpoint", "registration_endpoint",
		"revocation_endpoint", "device_authorization_endpoint",
	};
	static const char *const bad[] = {
		"\"http://as.example/x\"", "\"javascript:alert(1)\"", "\"\"", "\"/relative\"", "7",
		"[\"https://as.example/x\"]", "\"https://as.example/x#y\"", "\"https://a b/\"",
	};
	char doc[1024];
	size_t i;

	good_web();
	web[1].body = doc;
	for (i = 0; i < nitems(bad); i++) {
		snprintf(doc, sizeof(doc), "{\"issuer\":\"" AS "\",%s%s\"%s\":%s}",
		    _i == 0 ? "" : "\"authorization_endpoint\":\"" AS "/a\",",
		    _i == 1 ? "" : "\"token_endpoint\":\"" AS "/t\",", keys[_i], bad[i]);
		expect_failed(keys[_i]);
	}
	snprintf(doc, sizeof(doc), "{\"issuer\":\"" AS "\",%s%s\"%s\":\"http://[::1]:9/x\"}",
	    _i == 0 ? "" : "\"authorization_endpoint\":\"" AS "/a\",",
	    _i == 1 ? "" : "\"token_endpoint\":\"" AS "/t\",", keys[_i]);
	expect_done(NULL);
}
END_TEST

START_TEST(endpoints_that_lack)
{
	good_web();
	web[1].body = "{\"issuer\":\"" AS "\",\"authorization_endpoint\":\"" AS "/a\"}";
	expect_failed("it names no token endpoint");
	web[1].body = "{\"issuer\":\"" AS "\",\"token_endpoint\":\"" AS "/t\"}";
	expect_failed("it names no authorization endpoint");
	u.oauth.grant = CONFIG_CLIENT_CREDENTIALS;
	expect_done(NULL);
}
END_TEST

/* An identity provider's (A20): the upstream's authorization server has no say in it. */
START_TEST(a20_server_alone)
{
	struct discovery *d;
	const struct url *url;
	int i;

	u.oauth.issuer = (char *)"https://other.example";
	u.oauth.token_endpoint = u.oauth.authorization_endpoint = (char *)"https://other.example/t";
	u.oauth.scope = (char *)"mine";
	good_web();
	for (i = 0; i < 4; i++) {
		web[1].body = i == 0 ? AS_DOC : i == 1 ? AS_OF("https://other.example", "") :
		    "{\"issuer\":\"" AS "\"}";
		web[1].status = i == 3 ? 404 : 200;
		asked[0] = '\0';
		d = discovery_new_server(&u, AS);
		while ((end = discovery_next(d, &url)) < DISCOVERY_DONE)
			answer(d, end, url);
		ck_assert_int_eq(end, i == 0 ? DISCOVERY_DONE : DISCOVERY_FAILED);
		ck_assert_str_eq(asked, i < 3 ? GET_AS : GET_AS GET_OIDC);
		discovery_result_free(&res);
		discovery_take(d, &res);
		discovery_free(d);
		if (i > 0)
			continue;
		ck_assert_str_eq(res.token_endpoint, AS "/t");
		ck_assert_str_eq(res.issuer, AS);
		ck_assert_ptr_null(res.scope);
	}
	d = discovery_new_server(&u, "http://as.example");
	ck_assert_int_eq(discovery_next(d, &url), DISCOVERY_FAILED);
	discovery_free(d);
}
END_TEST

/* --- hostile documents --- */

/* A protected resource's that answers 200 is never passed over. */
START_TEST(bad_resource_documents)
{
	static const char *const bad[] = {
		"", "<html>login</html>", "[]", "null", "\"x\"", "{", PRM "x", "{}",
		"{\"resource\":7}", "{\"resource\":null}",
		"{\"resource\":\"" HOST "/mcp\",\"resource\":\"" HOST "/mcp\"}",
		"{\"resource\":\"" HOST "/mcp\"}",
		PRM_OF(HOST "/mcp", ""),
		PRM_OF(HOST "/mcp", "7"), PRM_OF(HOST "/mcp", "\"" AS "\",null"),
		"{\"resource\":\"" HOST "/mcp\",\"authorization_servers\":\"" AS "\"}",
		"{\"resource\":\"" HOST "/mcp\",\"authorization_servers\":{}}",
		"{\"resource\":\"" HOST "/\xff\"}",
	};

	good_web();
	serve(AT_HOST "oauth-protected-resource", 200, PRM);
	web[0].body = bad[_i];
	discover();
	ck_assert_int_eq(end, DISCOVERY_FAILED);
	ck_assert_str_eq(asked, PROBE_MCP GET_PATH);
	ck_assert_ptr_nonnull(strstr(why, "the protected-resource metadata at " AT_HOST));
}
END_TEST

/* Not JSON at all: the next place; JSON that is wrong: the end. */
START_TEST(bad_server_documents)
{
	static const char *const bad[] = { "", "<html>", "[]", "{", "null", AS_DOC "x",
	    "{\"issuer\":\"" AS "\",\"issuer\":\"" AS "\"}" };

	good_web();
	web[1].body = bad[_i];
	expect_failed("the authorization server has none");
	serve(AS "/.well-known/openid-configuration", 200, AS_DOC);
	expect_done(PROBE_MCP GET_PATH GET_AS GET_OIDC);
}
END_TEST

START_TEST(bounded)
{
	_cleanup_(buf_free) struct buf b = BUF_INIT(MIB);
	int i;

	good_web();
	buf_adds(&b, "{\"resource\":\"" HOST "/mcp\",\"authorization_servers\":[\"" AS "\"");
	for (i = 1; i < METADATA_LIST; i++)
		buf_addf(&b, ",\"https://a%d.example\"", i);
	buf_adds(&b, "]}");
	web[0].body = b.p;
	expect_done(NULL);
	b.len -= 2;
	buf_adds(&b, ",\"https://last.example\"]}");
	web[0].body = b.p;
	expect_failed("more than 32 authorization servers");

	buf_reset(&b);
	buf_adds(&b, "{\"resource\":\"" HOST "/mcp\",\"authorization_servers\":[\"" AS
	    "\"],\"scopes_supported\":[\"x\"");
	for (i = 0; i < 2000; i++)
		buf_addf(&b, ",\"scope%d\"", i);
	buf_adds(&b, "]}");
	web[0].body = b.p;
	expect_failed("set \"oauth.scopes\"");
	u.oauth.scope = (char *)"mine";
	expect_done(NULL);

	buf_reset(&b);
	buf_adds(&b, "{\"resource\":\"" HOST "/mcp\",\"authorization_servers\":[\"" AS "/");
	for (i = 0; i < URL_BYTES; i++)
		buf_add(&b, "x", 1);
	buf_adds(&b, "\"]}");
	web[0].body = b.p;
	expect_failed("holds what is no URL");

	/* An issuer that is a URL, but not with the well-known part in it. */
	b.len -= 43;
	buf_adds(&b, "\"]}");
	web[0].body = b.p;
	expect_failed("too long");

	buf_reset(&b);
	buf_adds(&b, "{\"issuer\":\"" AS "\",\"authorization_endpoint\":\"" AS "/a\",\"token_endpoint\":\""
	    AS "/t\",\"token_endpoint_auth_methods_supported\":[\"none\"");
	for (i = 0; i < 100; i++)
		buf_addf(&b, ",\"m%d\"", i);
	buf_adds(&b, "]}");
	web[0].body = PRM;
	web[1].body = b.p;
	expect_done(NULL);
	for (i = 0; res.auth_methods[i] != NULL; i++)
		;
	ck_assert_int_eq(i, METADATA_LIST);
}
END_TEST

/* Remote text is escaped, and no query (which may hold a key) is shown. */
START_TEST(words_are_ours)
{
	struct discovery *d;
	const struct url *url;
	char words[512];

	at(HOST "/mcp?key=SECRET");
	d = discovery_new(&u, &challenge, false);
	ck_assert_int_eq(discovery_next(d, &url), DISCOVERY_GET);
	ck_assert_ptr_nonnull(strstr(url->text, "SECRET"));
	ck_assert_ptr_null(strstr(discovery_step(d, words, sizeof(words)), "SECRET"));
	ck_assert_ptr_nonnull(strstr(words, AT_HOST "oauth-protected-resource/mcp"));
	discovery_free(d);
	serve(AT_HOST "oauth-protected-resource/mcp?key=SECRET", 200,
	    PRM_OF("x\\u001b[31m\xc3\xa9", "\"" AS "\""));
	expect_failed("x\\x1b[31m\\xc3\\xa9");
	ck_assert_ptr_null(strstr(why, "SECRET"));
}
END_TEST

/* --- C7, VERIFY --- */

START_TEST(c7_verify_reads_the_resource_alone)
{
	struct discovery *d;

	good_web();
	d = walk(NULL, true);
	ck_assert_int_eq(end, DISCOVERY_DONE);
	ck_assert_str_eq(asked, GET_PATH);
	ck_assert(discovery_names_issuer(d, AS));
	ck_assert(!discovery_names_issuer(d, AS "/"));
	ck_assert(!discovery_names_issuer(d, "https://old.example"));
	discovery_free(d);
	/* Of a list every entry counts, and the config's wish is not the question. */
	u.oauth.issuer = (char *)"https://third.example";
	web[0].body = PRM_OF(HOST "/mcp", "\"" AS "\",\"https://b.example\"");
	d = walk(NULL, true);
	ck_assert(end == DISCOVERY_DONE && discovery_names_issuer(d, "https://b.example"));
	discovery_free(d);
	challenged(401, "Bearer resource_metadata=\"" HOST "/meta\"");
	serve(HOST "/meta", 200, PRM);
	d = walk(&challenge, true);
	ck_assert_int_eq(end, DISCOVERY_DONE);
	ck_assert_str_eq(asked, "GET " HOST "/meta\n");
	discovery_free(d);
}
END_TEST

/* Unread is not "not in it". */
START_TEST(c7_verify_cannot_read)
{
	static const struct page pages[] = {
		{ "", 404, "" }, { "", 500, "" }, { "", 0, "" }, { "", 200, "<html>" },
		{ "", 200, PRM_OF("https://evil.example", "\"" AS "\"") },
		{ "", 200, PRM_OF(HOST "/mcp", "") },
	};

	good_web();
	web[0].status = pages[_i].status;
	web[0].body = pages[_i].body;
	discovery_free(walk(NULL, true));
	ck_assert_int_eq(end, DISCOVERY_FAILED);
	ck_assert_str_eq(asked, _i == 0 ? GET_PATH GET_ROOT : GET_PATH);
}
END_TEST

static void
setup(void)
{
	memset(&u, 0, sizeof(u));
	at(HOST "/mcp");
	npages = 0;
	challenged(401, NULL);
}

static void
teardown(void)
{
	url_free(&u.url);
	challenge_free(&challenge);
	discovery_result_free(&res);
}

int
main(void)
{
	Suite *s = suite_create("discovery");
	TCase *t = tcase_create("discovery");
	SRunner *r = srunner_create(s);
	int failed;

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, a1_challenge_names_it);
	tcase_add_test(t, a1_known_challenge_needs_no_probe);
	tcase_add_loop_test(t, a1_well_known_places, 0, 9);
	tcase_add_test(t, a1_no_path_no_second_place);
	tcase_add_test(t, a1_named_but_gone);
	tcase_add_test(t, a15_named_must_be_https);
	tcase_add_test(t, probe_does_not_reach_it);
	tcase_add_loop_test(t, trouble_is_no_absence, 0, 7);
	tcase_add_loop_test(t, a3_variants_in_order, 0, nitems(variants));
	tcase_add_test(t, a4_issuer_byte_for_byte);
	tcase_add_test(t, a4_configured_issuer_replaces_it);
	tcase_add_loop_test(t, a7_resource, 0, 23);
	tcase_add_test(t, a6_override);
	tcase_add_test(t, a9_which_server);
	tcase_add_test(t, a15_server_must_be_https);
	tcase_add_loop_test(t, a10_scope, 0, 13);
	tcase_add_test(t, a18_metadata_at_the_mcp_origin);
	tcase_add_test(t, a18_no_metadata_at_all);
	tcase_add_test(t, configured_endpoints);
	tcase_add_test(t, what_the_server_says);
	tcase_add_loop_test(t, a15_endpoints_must_be_https, 0, 5);
	tcase_add_test(t, endpoints_that_lack);
	tcase_add_test(t, a20_server_alone);
	tcase_add_loop_test(t, bad_resource_documents, 0, 18);
	tcase_add_loop_test(t, bad_server_documents, 0, 7);
	tcase_add_test(t, bounded);
	tcase_add_test(t, words_are_ours);
	tcase_add_test(t, c7_verify_reads_the_resource_alone);
	tcase_add_loop_test(t, c7_verify_cannot_read, 0, 6);
	suite_add_tcase(s, t);
	srunner_run_all(r, CK_NORMAL);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
