/* lib/config: the sample, every key, and for every fault its place and its words. */
#include <check.h>
#include <stdio.h>

#include "bounds.h"
#include "config.h"
#include "config_keys.h"

static unsigned	warnings;
static char	last_warning[600];

static void
warned(_unused_ void *arg, const struct config_error *w)
{
	ck_assert_uint_ge(w->line, 1);
	ck_assert_uint_ge(w->column, 1);
	ck_assert_str_eq(w->file, "test.json");
	warnings++;
	snprintf(last_warning, sizeof(last_warning), "%u:%u %s", w->line, w->column, w->what);
}

static int
parse(struct config *c, const char *text, struct config_error *error)
{
	return config_parse(c, "test.json", text, strlen(text), warned, NULL, error);
}

/* The config of a text that must be good. */
static struct config
config_of(const char *text)
{
	struct config_error	error = { 0 };
	struct config		c;

	config_init(&c);
	ck_assert_msg(parse(&c, text, &error) == 0, "%u:%u: %s", error.line, error.column,
	    error.what);
	ck_assert_msg(config_finish(&c, "/run/mcp-authd", &error) == 0, "%s", error.what);
	return c;
}

/* An entry with one more member. */
static struct config
config_with(const char *member)
{
	char	text[1024];

	snprintf(text, sizeof(text), "{\"mcpServers\":{\"a\":{\"url\":\"https://h/m\",%s}}}", member);
	return config_of(text);
}

static char *
sample(void)
{
	static char	 text[32 * 1024];
	FILE		*f;
	size_t		 n;

	if ((f = fopen("config/config.json", "r")) == NULL)
		f = fopen("../../config/config.json", "r");
	ck_assert_msg(f != NULL, "tests run at the top of the tree");
	n = fread(text, 1, sizeof(text) - 1, f);
	fclose(f);
	text[n] = '\0';
	return text;
}

START_TEST(test_sample)
{
	struct config			 c = config_of(sample());
	const struct config_upstream	*corp = config_find(&c, slice_of("corp"));

	ck_assert_uint_eq(warnings, 0);
	ck_assert_uint_eq(c.nupstreams, 6);
	ck_assert_ptr_null(config_find(&c, slice_of("cor")));
	ck_assert_str_eq(corp->url.text, "https://mcp.corp.example/mcp");
	ck_assert_str_eq(corp->oauth.client_id, "mcp-authd");
	ck_assert_str_eq(corp->oauth.client_secret_file, "/etc/mcp-authd/corp.secret");
	ck_assert_str_eq(corp->oauth.token_endpoint_auth_method, "client_secret_basic");
	ck_assert_str_eq(corp->oauth.scope, "mcp:read mcp:write");
	ck_assert_str_eq(corp->oauth.resource, "https://mcp.corp.example/mcp");
	ck_assert(!corp->oauth.resource_omit && !corp->no_listen);
	ck_assert_str_eq(corp->oauth.issuer, "https://login.corp.example");
	ck_assert_str_eq(corp->oauth.token_endpoint, "https://login.corp.example/oauth2/token");
	ck_assert_str_eq(corp->tls.ca_file, "/etc/ssl/certs/corp-ca.pem");
	ck_assert_str_eq(corp->tls.cert_file, "/etc/mcp-authd/corp-client.pem");
	ck_assert_str_eq(corp->tls.key_file, "/etc/mcp-authd/corp-client.key");
	ck_assert_str_eq(corp->proxy, "http://proxy.corp.example:3128");
	ck_assert_str_eq(corp->proxy_credentials_file, "/etc/mcp-authd/proxy.secret");
	ck_assert_str_eq(corp->listen, "/run/mcp-authd/corp.sock");
	ck_assert(corp->refresh_background && !corp->shared);
	ck_assert_int_eq(c.upstreams[2].oauth.grant, CONFIG_CLIENT_CREDENTIALS);
	ck_assert_int_eq(c.upstreams[3].oauth.grant, CONFIG_ID_JAG);
	ck_assert_int_eq(c.upstreams[4].auth, CONFIG_BEARER);
	ck_assert_int_eq(c.upstreams[5].auth, CONFIG_NONE);
	ck_assert_str_eq(c.socket.hosts[0], "mcp.example");
	ck_assert_ptr_null(c.socket.hosts[1]);
	ck_assert_int_eq(c.store.backend, CONFIG_STORE_FILE);
	ck_assert_str_eq(c.store.path, "/var/lib/mcp-authd/credentials");
	config_free(&c);
	config_free(&c);
}
END_TEST

/* What the sample calls a default is one, and it names every key that works. */
START_TEST(test_sample_defaults)
{
	struct config	c = config_of(sample()), d;
	char		quoted[64];
	const char	*name;
	size_t		i;

	config_init(&d);
	ck_assert_int_eq(memcmp(&c.limits, &d.limits, sizeof(c.limits)), 0);
	ck_assert_int_eq(c.log.level, d.log.level);
	ck_assert_int_eq(c.login.wait, d.login.wait);
	ck_assert_uint_eq(c.socket.mode, d.socket.mode);
	ck_assert_int_eq(c.upstreams[0].connect, c.upstreams[1].connect);
	ck_assert_int_eq(c.upstreams[0].recovery, c.upstreams[1].recovery);
	ck_assert_int_eq(c.upstreams[0].response, c.upstreams[1].response);
	ck_assert_int_eq(c.upstreams[0].auth, c.upstreams[1].auth);
	ck_assert_int_eq(c.upstreams[0].oauth.grant, c.upstreams[1].oauth.grant);
	ck_assert(c.upstreams[0].session_recovery && c.upstreams[1].session_recovery);
	ck_assert(!c.upstreams[1].oauth.assume_pkce && !c.upstreams[1].oauth.allow_private);
	for (i = 0; i < config_nkeys; i++) {
		name = strrchr(config_keys[i].path, '.');
		snprintf(quoted, sizeof(quoted), "\"%s\":",
		    name != NULL ? name + 1 : config_keys[i].path);
		if (config_keys[i].status == CONFIG_SUPPORTED &&
		    config_keys[i].type != CONFIG_TYPE && config_keys[i].type != CONFIG_ANY)
			ck_assert_msg(strstr(sample(), quoted) != NULL, "%s", quoted);
	}
	config_free(&c);
	config_free(&d);
}
END_TEST

START_TEST(test_defaults)
{
	struct config			 c = config_of("{\"mcpServers\":{\"a-B_9\":"
					    "{\"url\":\"HTTPS://Host\"}}}");
	const struct config_upstream	*u = &c.upstreams[0];

	ck_assert_str_eq(u->name, "a-B_9");
	ck_assert_str_eq(u->url.text, "https://host/");
	ck_assert_int_eq(u->auth, CONFIG_OAUTH);
	ck_assert_int_eq(u->connect, CONNECT);
	ck_assert_int_eq(u->recovery, RECOVERY);
	ck_assert_int_eq(u->response, RESPONSE);
	ck_assert(!u->shared && !u->allow_insecure && !u->refresh_background && !u->no_listen);
	ck_assert(u->session_recovery);
	ck_assert(u->listen == NULL && u->oauth.scope == NULL && !u->oauth.resource_omit);
	ck_assert_uint_eq(c.socket.mode, 0600);
	ck_assert_ptr_null(c.socket.hosts);
	ck_assert_int_eq(c.store.backend, CONFIG_STORE_AUTO);
	ck_assert_uint_eq(c.limits.clients, CLIENTS);
	ck_assert_uint_eq(c.limits.clients_per_user, CLIENTS_PER_USER);
	ck_assert_uint_eq(c.limits.header_bytes, HEADER_BYTES);
	ck_assert_uint_eq(c.limits.body_bytes, BODY_BYTES);
	ck_assert_uint_eq(c.limits.held_bytes, HELD_BYTES);
	ck_assert_uint_eq(c.limits.links, LINKS);
	ck_assert_uint_eq(c.limits.streams, STREAMS);
	ck_assert_int_eq(c.limits.idle, CLIENT_IDLE);
	ck_assert_int_eq(c.log.level, 6);
	config_free(&c);
}
END_TEST

START_TEST(test_values)
{
	struct config	c = config_with("\"timeouts\":{\"connect\":0.25,\"recovery\":1.5e1,"
			    "\"response\":0},\"listen\":false,\"oauth\":{\"resource\":false}");

	ck_assert_int_eq(c.upstreams[0].connect, 250);
	ck_assert_int_eq(c.upstreams[0].recovery, 15000);
	ck_assert_int_eq(c.upstreams[0].response, 0);
	ck_assert(c.upstreams[0].no_listen && c.upstreams[0].listen == NULL);
	ck_assert(c.upstreams[0].oauth.resource_omit && c.upstreams[0].oauth.resource == NULL);
	config_free(&c);
	c = config_with("\"oauth\":{\"resource\":\"api://x/y\",\"scopes\":[\"a\"],"
	    "\"issuer\":\"https://H.example:443\",\"tokenEndpoint\":\"http://127.0.0.1:1/t\"}");
	ck_assert_str_eq(c.upstreams[0].oauth.resource, "api://x/y");
	ck_assert_str_eq(c.upstreams[0].oauth.issuer, "https://H.example:443");
	config_free(&c);
	c = config_of("{\"$schema\":\"x\",\"mcpServers\":{\"a\":{\"url\":\"http://[::1]:9/m\","
	    "\"shared\":true}},\"socket\":{\"mode\":\"0660\",\"hosts\":[]},"
	    "\"limits\":{\"idle\":2.5,\"streams\":1},\"log\":{\"level\":\"debug\"}}");
	ck_assert_uint_eq(c.socket.mode, 0660);
	ck_assert_ptr_null(c.socket.hosts[0]);
	ck_assert_int_eq(c.limits.idle, 2500);
	ck_assert_uint_eq(c.limits.streams, 1);
	ck_assert_int_eq(c.log.level, 7);
	config_free(&c);
}
END_TEST

static const struct {
	const char	*member, *warning;		/* with place */
} ignored[] = {
	{ "\"type\":\"http\"", "1:41 \"type\" means nothing here" },
	{ "\"type\":\"streamable-http\"", "1:41 \"type\"" },
	{ "\"transport\":\"http\"", "1:41 \"transport\"" },
	{ "\"disabled\":true", "1:41 \"disabled\"" },
	{ "\"alwaysAllow\":[\"x\"]", "1:41 \"alwaysAllow\"" },
	{ "\"autoApprove\":[]", "1:41 \"autoApprove\"" },
	{ "\"timeout\":60", "1:41 \"timeout\"" },
	{ "\"description\":\"d\"", "1:41 \"description\"" },
	{ "\"env\":{}", "1:41 \"env\"" },
	{ "\"auth\":\"none\",\"oauth\":{}", "1:55 \"oauth\" is ignored" },
};

START_TEST(test_ignored)
{
	struct config	c = config_with(ignored[_i].member);

	ck_assert_uint_eq(warnings, 1);
	ck_assert_msg(strstr(last_warning, ignored[_i].warning) != NULL, "%s", last_warning);
	config_free(&c);
}
END_TEST

/* Written into an entry behind "url"; its first byte is at line 2, column 1. */
static const struct {
	const char	*member;
	unsigned	 line, column;
	const char	*words;
} bad_members[] = {
	{ "\"urll\":1", 2, 1, "unknown key \"urll\"; the nearest valid key is \"url\"" },
	{ "\"Refresh\":1", 2, 1, "nearest valid key is \"refresh\"" },
	{ "\"allowinsecure\":true", 2, 1, "nearest valid key is \"allowInsecure\"" },
	{ "\"header\":{}", 2, 1, "nearest valid key is \"headers\"" },
	{ "\"oauth.clientId\":\"x\"", 2, 1, "unknown key" },
	{ "\"\":1", 2, 1, "unknown key \"\"" },
	{ "\"a\\nb\":1", 2, 1, "unknown key \"a\\x0ab\"" },
	{ "\"command\":\"npx\"", 2, 1, "leave it in your client's config" },
	{ "\n \"args\":[]", 3, 2, "leave it in your client's config" },
	{ "\"type\": \"stdio\"", 2, 9, "leave it in your client's config" },
	{ "\"type\": \"sse\"", 2, 9, "2024-11-05" },
	{ "\"httpUrl\":\"x\"", 2, 1, "write it as \"url\"" },
	{ "\"serverUrl\":\"x\"", 2, 1, "write it as \"url\"" },
	{ "\"url\":\"https://x\"", 2, 1, "duplicate key" },
	{ "\"\\u0075rl\":\"https://x\"", 2, 1, "duplicate key" },
	{ "\"auth\":\"oath\"", 2, 8, "did you mean \"oauth\"" },
	{ "\"auth\":1", 2, 8, "must be a string such as \"oauth\"" },
	{ "\"oauth\":[]", 2, 9, "must be an object" },
	{ "\"oauth\":{\"clientID\":1}", 2, 10, "nearest valid key is \"clientId\"" },
	{ "\"oauth\":{\"clientId\":1}", 2, 21, "must be a string" },
	{ "\"oauth\":{\"clientId\":\"\"}", 2, 21, "must be a string, not empty" },
	{ "\"oauth\":{\"clientId\":\"a\\u0007\"}", 2, 21, "control characters" },
	{ "\"oauth\":{\"clientSecret\":\"x\"}", 2, 10, "no secret stands in the config" },
	{ "\"oauth\":{\"clientSecretFile\":\"~/s\"}", 2, 29, "absolute path" },
	{ "\"oauth\":{\"clientSecretFile\":\"s\"}", 2, 29, "absolute path" },
	{ "\"oauth\":{\"tokenEndpointAuthMethod\":\"client-secret-post\"}", 2, 36,
	    "did you mean \"client_secret_post\"" },
	{ "\"oauth\":{\"scopes\":\"a\"}", 2, 19, "list" },
	{ "\"oauth\":{\"scopes\":[]}", 2, 19, "at least one" },
	{ "\"oauth\":{\"scopes\":[\"a\", \"b c\"]}", 2, 25, "without blanks" },
	{ "\"oauth\":{\"scopes\":[\"a\", 1]}", 2, 25, "without blanks" },
	{ "\"oauth\":{\"scopes\":[\"a\\\"\"]}", 2, 20, "without blanks" },
	{ "\"oauth\":{\"resource\":true}", 2, 21, "or false" },
	{ "\"oauth\":{\"resource\":\"x/y\"}", 2, 21, "absolute URI" },
	{ "\"oauth\":{\"resource\":\"https://h/#f\"}", 2, 21, "fragment" },
	{ "\"oauth\":{\"issuer\":\"http://h.example\"}", 2, 19, "https://" },
	{ "\"oauth\":{\"tokenEndpoint\":\"//h\"}", 2, 26, "complete" },
	{ "\"headers\":[]", 2, 11, "an object of at most" },
	{ "\"headers\":{\"Authorization\":\"x\"}", 2, 12, "written by the daemon" },
	{ "\"headers\":{\"proxy-x\":\"x\"}", 2, 12, "written by the daemon" },
	{ "\"headers\":{\"a b\":\"x\"}", 2, 12, "no name of a header" },
	{ "\"headers\":{\"a\":\"x\\r\\ny: z\"}", 2, 16, "header's value" },
	{ "\"headers\":{\"a\":1}", 2, 16, "header's value" },
	{ "\"headerFiles\":{\"a\":\"b\"}", 2, 20, "absolute path" },
	{ "\"auth\":\"bearer\"", 1, 16, "needs a \"bearer\" with one of" },
	{ "\"bearer\":{\"file\":\"/x\"}", 2, 1, "needs \"auth\": \"bearer\"" },
	{ "\"auth\":\"bearer\",\"bearer\":{\"file\":\"/x\",\"credential\":\"y\"}", 2, 17,
	    "with one of" },
	{ "\"auth\":\"bearer\",\"bearer\":{\"credential\":\"a/b\"}", 2, 40, "not a path" },
	{ "\"auth\":\"bearer\",\"bearer\":{\"command\":[\"sh\"]}", 2, 38, "absolute" },
	{ "\"auth\":\"bearer\",\"bearer\":{\"command\":[]}", 2, 37, "list of at most" },
	{ "\"auth\":\"bearer\",\"bearer\":{\"command\":[\"/bin/x\",1]}", 2, 47, "strings" },
	{ "\"tls\":{\"caFile\":\"ca.pem\"}", 2, 17, "absolute" },
	{ "\"listen\":true", 2, 10, "or false" },
	{ "\"listen\":\"x.sock\"", 2, 10, "absolute" },
	{ "\"listen\":\"/123456789/123456789/123456789/123456789/123456789/123456789/123456789"
	    "/123456789/123456789/123456789/1234567\"", 2, 10, "107 bytes" },
	{ "\"refresh\":\"ondemand\"", 2, 11, "did you mean \"on-demand\"" },
	{ "\"timeouts\":{\"connect\":\"10\"}", 2, 23, "number (seconds), without quotes" },
	{ "\"timeouts\":{\"connect\":0}", 2, 23, "between" },
	{ "\"timeouts\":{\"connect\":-1}", 2, 23, "between" },
	{ "\"timeouts\":{\"recovery\":1e999}", 2, 24, "between" },
	{ "\"timeouts\":{\"respons\":1}", 2, 13, "\"response\"" },
	{ "\"shared\":\"true\"", 2, 10, "true or false" },
	{ "\"shared\":null", 2, 10, "true or false" },
};

static void
expect_error(const char *text, unsigned line, unsigned column, const char *words)
{
	struct config_error	error = { 0 };
	struct config		c;

	config_init(&c);
	ck_assert_msg(parse(&c, text, &error) == -EINVAL, "accepted: %s", text);
	ck_assert_msg(strstr(error.what, words) != NULL, "%s: %s", text, error.what);
	ck_assert_msg(error.line == line && error.column == column, "%s: %u:%u", text,
	    error.line, error.column);
	ck_assert_str_eq(error.file, "test.json");
	config_free(&c);
}

START_TEST(test_bad_member)
{
	char	text[1024];

	snprintf(text, sizeof(text), "{\"mcpServers\":{\"a\":{\"url\":\"https://h\",\n%s}}}",
	    bad_members[_i].member);
	expect_error(text, bad_members[_i].line, bad_members[_i].column, bad_members[_i].words);
}
END_TEST

static const struct {
	const char	*text;
	unsigned	 line, column;
	const char	*words;
} bad[] = {
	{ "", 1, 1, "the end" },
	{ "// only\n", 2, 1, "the end" },
	{ "{\n/* never", 2, 1, "comment without an end" },
	{ "[]", 1, 1, "must be an object" },
	{ " 1", 1, 2, "must be an object" },
	{ "{\"mcpServers\":{}},", 1, 18, "behind the end" },
	{ "{\n\t\"mcpServers\": {\n\t\t\"a\": {,}\n\t}\n}", 3, 9, "double quotes" },
	{ "{\"servers\":{}}", 1, 2, "write it as \"mcpServers\"" },
	{ "{\"mcpServer\":{}}", 1, 2, "nearest valid key is \"mcpServers\"" },
	{ "{\"limit\":{}}", 1, 2, "nearest valid key is \"limits\"" },
	{ "{\"a234567890123456789012345678901234567890123456789012345678901234\":1}",
	    1, 2, "unknown key \"a2345" },
	{ "{\"mcpServers\":[]}", 1, 15, "must be an object" },
	{ "{\"mcpServers\":{\"a b\":{}}}", 1, 16, "\"a b\" is no name" },
	{ "{\"mcpServers\":{\"\":{}}}", 1, 16, "is no name" },
	{ "{\"mcpServers\":{\"../x\":{}}}", 1, 16, "is no name" },
	{ "{\"mcpServers\":{\"\xc3\xa9\":{}}}", 1, 16, "\"\\xc3\\xa9\" is no name" },
	{ "{\"mcpServers\":{\"a234567890123456789012345678901234567890123456789\":{}}}",
	    1, 16, "is no name" },
	{ "{\"mcpServers\":{\"a\":\"https://x\"}}", 1, 20, "must be an object with a \"url\"" },
	{ "{\"mcpServers\":{\n\"a\":{}}}", 2, 1, "upstream \"a\" needs a \"url\"" },
	{ "{\"mcpServers\":{\"a\":{\"url\":\"https://x\"},\n\"a\":{\"url\":\"https://y\"}}}",
	    2, 1, "duplicate key" },
	{ "{\"mcpServers\":{\"a\":{\"url\":1}}}", 1, 27, "must be a URL" },
	{ "{\"mcpServers\":{\"a\":{\"url\":\"mcp.example\"}}}", 1, 27, "complete" },
	{ "{\"mcpServers\":{\"a\":{\"url\":\"https://u:p@h/\"}}}", 1, 27, "without user name" },
	{ "{\"mcpServers\":{\"a\":{\"url\":\"http://h.example/\"}}}", 1, 27, "allowInsecure" },
	{ "{\"socket\":{\"mode\":384}}", 1, 19, "octal" },
	{ "{\"socket\":{\"mode\":\"600\"}}", 1, 19, "octal" },
	{ "{\"socket\":{\"mode\":\"0608\"}}", 1, 19, "octal" },
	{ "{\"socket\":{\"mode\":\"0700\"}}", 1, 19, "executable for nobody" },
	{ "{\"socket\":{\"mode\":\"0400\"}}", 1, 19, "writable for the owner" },
	{ "{\"socket\":{\"hosts\":\"x\"}}", 1, 20, "list" },
	{ "{\"socket\":{\"hosts\":[\"a\",\"\"]}}", 1, 25, "host names" },
	{ "{\"socket\":{\"hosts\":[\"http://a\"]}}", 1, 21, "host names" },
	{ "{\"socket\":{\"group\":1}}", 1, 20, "a string" },
	{ "{\"socket\":{\"allowUsers\":\"x\"}}", 1, 25, "list" },
	{ "{\"socket\":{\"allowUsers\":[\"a\",1000]}}", 1, 30, "in quotes" },
	{ "{\"socket\":{\"allowUsers\":[\"a b\"]}}", 1, 26, "user names" },
	{ "{\"socket\":{\"mod\":1}}", 1, 12, "nearest valid key is \"mode\"" },
	{ "{\"store\":{\"backend\":\"keychain\"}}", 1, 21, "did you mean \"keyring\"" },
	{ "{\"store\":{\"keyFile\":\"key\"}}", 1, 21, "absolute" },
	{ "{\"store\":{\"keyCredential\":\"../key\"}}", 1, 27, "" },
	{ "{\"store\":{\"backend\":\"fil\"}}", 1, 21, "did you mean \"file\"" },
	{ "{\"store\":{\"path\":\"~/x\"}}", 1, 18, "absolute" },
	{ "{\"limits\":{\"clients\":0}}", 1, 22, "between 1 and 1000000" },
	{ "{\"limits\":{\"clients\":1.5}}", 1, 22, "whole number" },
	{ "{\"limits\":{\"clients\":\"1\"}}", 1, 22, "must be a number" },
	{ "{\"limits\":{\"clients\":true}}", 1, 22, "must be a number" },
	{ "{\"limits\":{\"bodyBytes\":1e300}}", 1, 24, "between" },
	{ "{\"limits\":{\"bodybytes\":1}}", 1, 12, "nearest valid key is \"bodyBytes\"" },
	{ "{\"log\":{\"level\":\"warn\"}}", 1, 17, "did you mean \"warning\"" },
	{ "{\"log\":{\"level\":\"INFO\"}}", 1, 17, "did you mean \"info\"" },
	{ "{\"log\":\"info\"}", 1, 8, "must be an object" },
};

START_TEST(test_bad)
{
	expect_error(bad[_i].text, bad[_i].line, bad[_i].column, bad[_i].words);
}
END_TEST

/* An entry with one more member, which begins at column 41. */
static const struct {
	const char	*member;
	unsigned	 column;
	const char	*words;
} bad_ways[] = {
	{ "\"tls\":{\"certFile\":\"/c\"}", 48, "needs \"keyFile\"" },
	{ "\"tls\":{\"keyFile\":\"/k\"}", 48, "needs \"certFile\"" },
	{ "\"tls\":{\"certFile\":\"c\"}", 59, "absolute path" },
	{ "\"proxy\":\"https://p:1\"", 49, "\"http://[user@]host:port\"" },
	{ "\"proxy\":\"socks5://p:1\"", 49, "\"http://[user@]host:port\"" },
	{ "\"proxy\":\"p:1\"", 49, "\"http://[user@]host:port\"" },
	{ "\"proxy\":\"\"", 49, "\"http://[user@]host:port\"" },
	{ "\"proxy\":false", 49, "\"http://[user@]host:port\"" },
	{ "\"proxy\":\"http://\"", 49, "\"http://[user@]host:port\"" },
	{ "\"proxy\":\"http://p:1/path\"", 49, "\"http://[user@]host:port\"" },
	{ "\"proxy\":\"http://p:1?q\"", 49, "\"http://[user@]host:port\"" },
	{ "\"proxy\":\"http://p:99999\"", 49, "\"http://[user@]host:port\"" },
	{ "\"proxy\":\"http://@p:1\"", 49, "\"http://[user@]host:port\"" },
	{ "\"proxy\":\"http://x/@p:1\"", 49, "\"http://[user@]host:port\"" },
	{ "\"proxy\":\"http://a@b@p:1\"", 49, "\"http://[user@]host:port\"" },
	{ "\"proxy\":\"http://u:pw@p:1\"", 49, "no password stands in the config" },
	{ "\"proxyCredentialsFile\":\"/f\"", 41, "needs a \"proxy\"" },
	{ "\"proxyCredentialsFile\":\"/f\",\"proxy\":\"env\"", 41, "needs a \"proxy\"" },
	{ "\"proxyCredentialsFile\":\"/f\",\"proxy\":\"http://u@p:1\"", 41, "not in both" },
};

START_TEST(test_bad_ways)
{
	char	text[256];

	snprintf(text, sizeof(text), "{\"mcpServers\":{\"a\":{\"url\":\"https://h/m\",%s}}}",
	    bad_ways[_i].member);
	expect_error(text, 1, bad_ways[_i].column, bad_ways[_i].words);
}
END_TEST

static const char *const good_proxies[][2] = {
	{ "http://proxy:3128", "http://proxy:3128" },
	{ "HTTP://Proxy.Example/", "http://proxy.example:80" },
	{ "http://me@10.0.0.1:80", "http://me@10.0.0.1:80" },
	{ "http://[::1]:8080", "http://[::1]:8080" },
	{ "env", "env" },
};

START_TEST(test_proxy)
{
	char		member[80];
	struct config	c;

	snprintf(member, sizeof(member), "\"proxy\":\"%s\"", good_proxies[_i][0]);
	c = config_with(member);
	ck_assert_str_eq(c.upstreams[0].proxy, good_proxies[_i][1]);
	config_free(&c);
}
END_TEST

/* No row is there twice or out of reach. */
START_TEST(test_table)
{
	size_t		i, j;
	char		path[80];
	const char	*name;

	for (i = 0; i < config_nkeys; i++) {
		for (j = 0; j < i; j++)
			ck_assert_str_ne(config_keys[i].path, config_keys[j].path);
		name = strrchr(config_keys[i].path, '.');
		name = name != NULL ? name + 1 : config_keys[i].path;
		snprintf(path, sizeof(path), "%.*s", (int)(name - config_keys[i].path),
		    config_keys[i].path);
		ck_assert_ptr_eq(config_key_find(path, name), &config_keys[i]);
		ck_assert((config_keys[i].status == CONFIG_REFUSED) ==
		    (config_keys[i].advice != NULL));
	}
	ck_assert_ptr_null(config_key_find("", "oauth"));
	ck_assert_ptr_null(config_key_find("mcpServers.*.", "oauth.clientId"));
	ck_assert_ptr_null(config_key_find("", "mcpServers."));
}
END_TEST

START_TEST(test_merge)
{
	struct config		c;
	struct config_error	error;

	config_init(&c);
	ck_assert_int_eq(parse(&c, "{\"mcpServers\":{\"a\":{\"url\":\"https://h\"}},"
	    "\"store\":{\"path\":\"/x\"},\"socket\":{\"hosts\":[\"h\"]}}", &error), 0);
	ck_assert_int_eq(parse(&c, "{\"mcpServers\":{\"b\":{\"url\":\"https://h\"}},"
	    "\"store\":{\"path\":\"/y\"},\"socket\":{\"hosts\":[\"i\",\"j\"]}}", &error), 0);
	ck_assert_uint_eq(c.nupstreams, 2);
	ck_assert_str_eq(c.store.path, "/y");
	ck_assert_str_eq(c.socket.hosts[1], "j");
	ck_assert_int_eq(parse(&c, "{\"mcpServers\":\n{\"a\":{\"url\":\"https://h\"}}}", &error),
	    -EINVAL);
	ck_assert_uint_eq(error.line, 2);
	ck_assert_uint_eq(error.column, 2);
	ck_assert_ptr_nonnull(strstr(error.what, "another file"));
	config_free(&c);
}
END_TEST

static const struct {
	const char	*text, *runtime_dir;
	unsigned	 line, column;
	const char	*words;			/* NULL: good */
} wholes[] = {
	{ "{}", "/run", 0, 0, "no upstream" },
	{ "{\"mcpServers\":{}}", "/run", 0, 0, "no upstream" },
	{ "{\"socket\":{\"mode\":\"0660\"},\"mcpServers\":{\"a\":{\"url\":\"https://h\","
	    "\"shared\":true},\n\"b\":{\"url\":\"https://h\"}}}", "/run", 2, 1,
	    "\"shared\": true" },
	{ "{\"socket\":{\"mode\":\"0602\"},\"mcpServers\":{\"a\":{\"url\":\"https://h\"}}}",
	    "/run", 1, 41, "socket mode 0602" },
	{ "{\"store\":{\"backend\":\"encrypted\"},\"mcpServers\":{\"a\":{\"url\":\"https://h\"}}}",
	    "/run", 0, 0, "needs a \"keyFile\" or a \"keyCredential\"" },
	{ "{\"store\":{\"keyFile\":\"/k\",\"keyCredential\":\"k\"},"
	    "\"mcpServers\":{\"a\":{\"url\":\"https://h\"}}}", "/run", 0, 0, "remove one of them" },
	{ "{\"store\":{\"backend\":\"encrypted\",\"keyCredential\":\"k\"},"
	    "\"mcpServers\":{\"a\":{\"url\":\"https://h\"}}}", "/run", 0, 0, NULL },
	{ "{\"mcpServers\":{\"a\":{\"url\":\"https://h\",\"listen\":\"/s\"},\n"
	    " \"b\":{\"url\":\"https://h\",\"listen\":\"/s\"}}}", "/run", 2, 2, "same socket" },
	/* 49 + 1 + 48 + 9 = 107 bytes, and one more */
	{ "{\"mcpServers\":{\"a23456789012345678901234567890123456789012345678\":"
	    "{\"url\":\"https://h\"}}}", "/run/56789012345678901234567890123456789012345678",
	    0, 0, NULL },
	{ "{\"mcpServers\":{\"a23456789012345678901234567890123456789012345678\":"
	    "{\"url\":\"https://h\"}}}", "/run/56789012345678901234567890123456789012345678901",
	    1, 16, "107 is the limit" },
	{ "{\"mcpServers\":{\"a23456789012345678901234567890123456789012345678\":"
	    "{\"url\":\"https://h\",\"listen\":false}}}",
	    "/run/56789012345678901234567890123456789012345678901", 0, 0, NULL },
};

START_TEST(test_whole)
{
	struct config_error	error = { 0 };
	struct config		c;
	int			r;

	config_init(&c);
	ck_assert_msg(parse(&c, wholes[_i].text, &error) == 0, "%s", error.what);
	r = config_finish(&c, wholes[_i].runtime_dir, &error);
	ck_assert_msg(r == (wholes[_i].words != NULL ? -EINVAL : 0), "%s", error.what);
	ck_assert_uint_eq(error.line, wholes[_i].line);
	ck_assert_uint_eq(error.column, wholes[_i].column);
	if (r < 0)
		ck_assert_msg(strstr(error.what, wholes[_i].words) != NULL, "%s", error.what);
	config_free(&c);
}
END_TEST

START_TEST(test_bounds)
{
	struct config_error	 error;
	struct config		 c;
	struct buf		 text = BUF_INIT(0);
	int			 i;

	config_init(&c);
	buf_adds(&text, "{\"mcpServers\":{");
	for (i = 0; i < 1001; i++)
		buf_addf(&text, "%s\n\"u%d\":{\"url\":\"https://h\"}", i > 0 ? "," : "", i);
	buf_adds(&text, "}}");
	ck_assert_int_eq(config_parse(&c, "f", text.p, text.len, NULL, NULL, &error), -EINVAL);
	ck_assert_uint_eq(error.line, 1002);
	ck_assert_ptr_nonnull(strstr(error.what, "1000 upstreams"));
	while (text.len <= CONFIG_BYTES)
		buf_adds(&text, "                                                     ");
	ck_assert_int_eq(config_parse(&c, "f", text.p, text.len, NULL, NULL, &error), -EINVAL);
	ck_assert_ptr_nonnull(strstr(error.what, "1 MiB"));
	buf_free(&text);
	config_free(&c);
}
END_TEST

static uint32_t
next_random(uint32_t *state)
{
	*state = *state * 1664525 + 1013904223;
	return *state >> 8;
}

/* One to three of: a byte changed, a piece doubled, cut out, or the end cut off. */
static void
mutate(struct buf *text, uint32_t *random)
{
	static const char	likely[] = "{}[]\",:/*\\0-e\n ut";
	size_t			at, n, times = 1 + next_random(random) % 3;

	for (; times > 0 && text->len > 40; times--) {
		at = next_random(random) % (text->len - 20);
		n = 1 + next_random(random) % 20;
		switch (next_random(random) % 8) {
		case 0:
			text->p[at] = (char)next_random(random);
			break;
		case 1:
			buf_reserve(text, n);
			memmove(text->p + at + n, text->p + at, text->len + 1 - at);
			text->len += n;
			break;
		case 2:
			memmove(text->p + at, text->p + at + n, text->len + 1 - at - n);
			text->len -= n;
			break;
		case 3:
			text->p[text->len = at] = '\0';
			break;
		default:
			text->p[at] = likely[next_random(random) % (sizeof(likely) - 1)];
		}
	}
}

/* Good or refused with a place inside the text; never a crash. */
START_TEST(test_mutations)
{
	struct config_error	error;
	struct config		c;
	struct buf		text = BUF_INIT(0);
	uint32_t		random = 7;
	unsigned		i, refused = 0, lines;
	size_t			k;

	for (i = 0; i < 2000; i++) {
		buf_reset(&text);
		buf_adds(&text, sample());
		mutate(&text, &random);
		for (lines = 1, k = 0; k < text.len; k++)
			lines += text.p[k] == '\n';
		memset(&error, 0, sizeof(error));
		config_init(&c);
		if (config_parse(&c, "test.json", text.p, text.len, warned, NULL, &error) < 0) {
			ck_assert(error.line >= 1 && error.line <= lines && error.column >= 1);
			ck_assert_uint_gt(strlen(error.what), 0);
			refused++;
		}
		config_free(&c);
	}
	ck_assert_uint_gt(refused, 600);
	ck_assert_uint_lt(refused, 1990);
	buf_free(&text);
}
END_TEST

int
main(void)
{
	Suite	*s = suite_create("config");
	TCase	*t = tcase_create("config");
	SRunner	*r = srunner_create(s);
	int	 failed;

	tcase_add_test(t, test_sample);
	tcase_add_test(t, test_sample_defaults);
	tcase_add_test(t, test_defaults);
	tcase_add_test(t, test_values);
	tcase_add_loop_test(t, test_ignored, 0, nitems(ignored));
	tcase_add_loop_test(t, test_bad_member, 0, nitems(bad_members));
	tcase_add_loop_test(t, test_bad, 0, nitems(bad));
	tcase_add_loop_test(t, test_bad_ways, 0, nitems(bad_ways));
	tcase_add_loop_test(t, test_proxy, 0, nitems(good_proxies));
	tcase_add_test(t, test_table);
	tcase_add_test(t, test_merge);
	tcase_add_loop_test(t, test_whole, 0, nitems(wholes));
	tcase_add_test(t, test_bounds);
	tcase_add_test(t, test_mutations);
	suite_add_tcase(s, t);
	srunner_run_all(r, CK_NORMAL);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
