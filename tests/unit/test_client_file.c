/* lib/client_file: the servers of every client's own config, and nothing secret. */
#include <check.h>
#include <stdio.h>

#include "client_file.h"
#include "guarded.h"

static struct client_file f;

static void
read_file(const char *text)
{
	struct json_error e = { 0 };
	size_t n = strlen(text);

	ck_assert_msg(client_file_read(guarded(text, n), n, &f, &e) == 0, "%s: %u:%u: %s", text,
	    e.line, e.column, e.what);
}

/* The one entry of a file. */
static const struct client_entry *
read_one(const char *entry)
{
	char text[4096];

	snprintf(text, sizeof(text), "{\"mcpServers\":{\"n\":%s}}", entry);
	read_file(text);
	ck_assert_uint_eq(f.n, 1);
	return &f.entries[0];
}

static const struct {
	const char	*entry, *url;
	bool		 bridged, old_transport, authorization, headers, oauth;
} remote[] = {
	{ "{\"url\":\"https://A.example/mcp\"}", "https://a.example/mcp", false, false, false, false, false },
	{ "{\"type\":\"http\",\"httpUrl\":\"https://a.example\"}", "https://a.example/", false, false,
	    false, false, false },
	{ "{\"serverUrl\":\"http://127.0.0.1:3000/mcp\"}", "http://127.0.0.1:3000/mcp", false, false,
	    false, false, false },
	{ "{\"type\":\"sse\",\"url\":\"https://a.example/sse\",\"disabled\":false}",
	    "https://a.example/sse", false, true, false, false, false },
	{ "{\"url\":\"https://a.example/\",\"headers\":{\"authorization\":\"Bearer SECRET\"}}",
	    "https://a.example/", false, false, true, false, false },
	{ "{\"url\":\"https://a.example/\",\"requestInit\":{\"headers\":{\"X-Api-Key\":\"SECRET\"}}}",
	    "https://a.example/", false, false, false, true, false },
	{ "{\"url\":\"https://a.example/\",\"bearer_token_env_var\":\"V\",\"oauth\":{\"clientId\":\"c\"}}",
	    "https://a.example/", false, false, true, false, true },
	{ "{\"command\":\"npx\",\"args\":[\"-y\",\"mcp-remote\",\"https://a.example/mcp\"]}",
	    "https://a.example/mcp", true, false, false, false, false },
	{ "{\"command\":\"cmd\",\"args\":[\"/c\",\"npx\",\"mcp-remote@0.1.15\",\"https://a.example/mcp\","
	    "\"3334\",\"--transport\",\"sse-only\"]}", "https://a.example/mcp", true, true, false, false, false },
	{ "{\"command\":\"/usr/bin/mcp-remote\",\"args\":[\"https://a.example/mcp\",\"--header\","
	    "\"Authorization: Bearer SECRET\",\"--header=X-Key:SECRET\"]}", "https://a.example/mcp", true,
	    false, true, true, false },
	{ "{\"command\":[\"npx\",\"mcp-remote\",\"https://a.example/mcp\"]}", "https://a.example/mcp",
	    true, false, false, false, false },
	{ "{\"command\":{\"path\":\"npx\",\"args\":[\"mcp-remote\",\"https://a.example/mcp\"]}}",
	    "https://a.example/mcp", true, false, false, false, false },
	{ "{\"url\":\"https://a.example/mcp?profile=x\"}", "https://a.example/mcp?profile=x", false,
	    false, false, false, false },
};

START_TEST(is_taken)
{
	const struct client_entry *e = read_one(remote[_i].entry);

	ck_assert_int_eq(e->kind, CLIENT_REMOTE);
	ck_assert_str_eq(e->url, remote[_i].url);
	ck_assert_msg(e->bridged == remote[_i].bridged && e->headers == remote[_i].headers &&
	    e->old_transport == remote[_i].old_transport && e->oauth == remote[_i].oauth &&
	    e->authorization == remote[_i].authorization, "%s", remote[_i].entry);
	client_file_free(&f);
	ck_assert(f.entries == NULL && f.n == 0);
}
END_TEST

static const struct {
	const char	*entry;
	enum client_kind kind;
	const char	*why;
} others[] = {
	{ "{\"command\":\"npx\",\"args\":[\"-y\",\"server-fs\",\"https://a.example/\"]}", CLIENT_LOCAL, NULL },
	{ "{\"command\":\"npx\",\"args\":[\"@scope/mcp-remote\",\"https://a.example/\"]}", CLIENT_LOCAL, NULL },
	{ "{\"command\":\"mcp-remote-server\"}", CLIENT_LOCAL, NULL },
	{ "{\"command\":7,\"args\":{\"a\":[]}}", CLIENT_LOCAL, NULL },
	{ "{\"command\":\"/usr/bin/mcp-authctl\",\"args\":[\"connect\",\"n\"]}", CLIENT_OURS, NULL },
	{ "{\"url\":\"unix:///run/user/1000/mcp-authd/n/mcp.sock#/mcp\"}", CLIENT_OURS, NULL },
	{ "{\"url\":\"https://a.example/\",\"disabled\":true}", CLIENT_DISABLED, NULL },
	{ "{\"url\":\"https://a.example/\",\"enabled\":false}", CLIENT_DISABLED, NULL },
	{ "{\"url\":\"https://${HOST}/mcp\"}", CLIENT_UNFIT, "variable" },
	{ "{\"url\":\"wss://a.example/\"}", CLIENT_UNFIT, "neither https nor http" },
	{ "{\"url\":\"https://user:SECRET@a.example/\"}", CLIENT_UNFIT, "user information" },
	{ "{\"url\":\"https://a.example/?api_KEY=SECRET\"}", CLIENT_UNFIT, "secret" },
	{ "{\"url\":\"http://a.example/mcp\"}", CLIENT_UNFIT, "allowInsecure" },
	{ "{\"command\":\"npx\",\"args\":[\"mcp-remote\",\"--debug\"]}", CLIENT_UNFIT, "no URL" },
	{ "{\"type\":\"http\"}", CLIENT_UNFIT, "neither a URL" },
	{ "[]", CLIENT_UNFIT, "not an object" },
};

START_TEST(is_left)
{
	const struct client_entry *e = read_one(others[_i].entry);

	ck_assert_msg(e->kind == others[_i].kind, "%s: %d", others[_i].entry, (int)e->kind);
	ck_assert(e->url == NULL || e->kind == CLIENT_DISABLED);
	if (others[_i].why != NULL)
		ck_assert_msg(strstr(e->why, others[_i].why) != NULL && strstr(e->why, "SECRET") == NULL,
		    "%s", e->why);
	client_file_free(&f);
}
END_TEST

static const struct {
	const char	*text, *client, *names;
} files[] = {
	{ "{\"mcpServers\":{\"a\":{\"url\":\"https://a/\"}},\"projects\":{\"/x\":{\"mcpServers\":"
	    "{\"b\":{\"url\":\"https://b/\"}}},\"/y\":{}}}", "claude-code", "a b " },
	{ "// VS Code\n{ \"servers\": { \"a\": { \"url\": \"https://a/\", }, }, }", "vscode", "a " },
	{ "\n{ \"mcp\": { \"servers\": { \"a\": {} } } }", "vscode", "a " },
	{ "/* Zed */ { \"context_servers\": { \"a\": {} } }", "zed", "a " },
	{ "model = \"o\"\n[mcp_servers.a]\nurl = \"https://a/\"\nhttp_headers = { Authorization = 's' }\n"
	    "[mcp_servers.b]\ncommand = \"npx\"\nargs = [\"mcp-remote\", \"https://b/\"]\n", "codex", "a b " },
	{ "{}", NULL, "" },
	{ "{\"mcpServers\":[],\"servers\":1,\"projects\":\"x\"}", NULL, "" },
	{ "[other]\n", NULL, "" },
};

START_TEST(every_place)
{
	char names[256] = "";
	size_t i;

	read_file(files[_i].text);
	for (i = 0; i < f.n; i++)
		strcat(strcat(names, f.entries[i].name), " ");
	ck_assert_str_eq(names, files[_i].names);
	ck_assert_msg(f.client == files[_i].client || strcmp(f.client, files[_i].client) == 0, "%s",
	    f.client);
	client_file_free(&f);
}
END_TEST

static const struct {
	const char	*text;
	unsigned	 line, column;
} wrong[] = {
	{ "", 1, 1 },
	{ "{", 1, 2 },
	{ "{\n\"mcpServers\": {\"a\": {}, \"a\": {}}}", 2, 25 },
	{ "[mcp_servers.a]\nurl = x\n", 2, 7 },
	{ "/* {}", 1, 1 },
};

START_TEST(is_refused)
{
	struct json_error e = { 0 };

	ck_assert_int_eq(client_file_read(wrong[_i].text, strlen(wrong[_i].text), &f, &e), -EBADMSG);
	ck_assert_msg(e.line == wrong[_i].line && e.column == wrong[_i].column, "%s: %u:%u: %s",
	    wrong[_i].text, e.line, e.column, e.what);
}
END_TEST

static const struct {
	const char	*written, *name;
} names[] = {
	{ "a-B_9", "a-B_9" },
	{ "My Server (EU)", "My_Server_EU" },
	{ " .x", "x" },
	{ "\xe6\x97\xa5\xe6\x9c\xac", "server" },
	{ "", "server" },
	{ "___", "server" },
	{ "0123456789012345678901234567890123456789012345678901234567890",
	    "012345678901234567890123456789012345678901234567" },
};

START_TEST(name)
{
	char text[256];

	snprintf(text, sizeof(text), "{\"mcpServers\":{\"%s\":{}}}", names[_i].written);
	read_file(text);
	ck_assert_str_eq(f.entries[0].name, names[_i].name);
	ck_assert_str_eq(f.entries[0].written, names[_i].written);
	client_file_free(&f);
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("client_file");
	TCase *t = tcase_create("client_file");
	SRunner *r = srunner_create(s);
	int failed;

	tcase_add_loop_test(t, is_taken, 0, (int)nitems(remote));
	tcase_add_loop_test(t, is_left, 0, (int)nitems(others));
	tcase_add_loop_test(t, every_place, 0, (int)nitems(files));
	tcase_add_loop_test(t, is_refused, 0, (int)nitems(wrong));
	tcase_add_loop_test(t, name, 0, (int)nitems(names));
	suite_add_tcase(s, t);
	srunner_run_all(r, CK_NORMAL);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed != 0;
}
