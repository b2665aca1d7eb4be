/* lib/snippet: what clients are given is what their formats want, and is recognised as ours. */
#include <check.h>
#include <stdio.h>

#include "client_file.h"
#include "snippet.h"

static const struct snippet_server servers[] = {
	{ "linear", "/run/user/1000/mcp-authd/linear/mcp.sock" },
	{ "wiki", NULL },
	{ "a-b", "/tmp/a b#%/mcp.sock" },
};

static struct buf
text_for(const char *client, const char *program, const char *option, const char *value)
{
	struct snippet s = { .client = snippet_find(client), .program = program, .option = option,
	    .value = value, .shared = "/run/user/1000/mcp-authd/mcp-authd.sock",
	    .servers = servers, .nservers = nitems(servers) };
	struct buf out = BUF_INIT(0);

	ck_assert_ptr_nonnull(s.client);
	ck_assert_int_eq(snippet_text(&out, &s), 0);
	return out;
}

static const struct {
	const char	*client, *text;
} texts[] = {
	{ "vscode",
	    "{\n  \"servers\": {\n"
	    "    \"linear\": {\n      \"type\": \"http\",\n"
	    "      \"url\": \"unix:///run/user/1000/mcp-authd/linear/mcp.sock#/mcp\"\n    },\n"
	    "    \"wiki\": {\n      \"type\": \"http\",\n"
	    "      \"url\": \"unix:///run/user/1000/mcp-authd/mcp-authd.sock#/wiki\"\n    },\n"
	    "    \"a-b\": {\n      \"type\": \"http\",\n"
	    "      \"url\": \"unix:///tmp/a%20b%23%25/mcp.sock#/mcp\"\n    }\n  }\n}\n" },
	{ "claude-code",
	    "{\n  \"mcpServers\": {\n"
	    "    \"linear\": {\n      \"type\": \"stdio\",\n      \"command\": \"/usr/bin/mcp-authctl\",\n"
	    "      \"args\": [\"connect\", \"linear\"]\n    },\n"
	    "    \"a-b\": {\n      \"type\": \"stdio\",\n      \"command\": \"/usr/bin/mcp-authctl\",\n"
	    "      \"args\": [\"connect\", \"a-b\"]\n    }\n  }\n}\n" },
	{ "zed",
	    "{\n  \"context_servers\": {\n"
	    "    \"linear\": {\n      \"command\": \"/usr/bin/mcp-authctl\",\n"
	    "      \"args\": [\"connect\", \"linear\"]\n    },\n"
	    "    \"a-b\": {\n      \"command\": \"/usr/bin/mcp-authctl\",\n"
	    "      \"args\": [\"connect\", \"a-b\"]\n    }\n  }\n}\n" },
	{ "codex",
	    "[mcp_servers.linear]\ncommand = \"/usr/bin/mcp-authctl\"\nargs = [\"connect\", \"linear\"]\n\n"
	    "[mcp_servers.a-b]\ncommand = \"/usr/bin/mcp-authctl\"\nargs = [\"connect\", \"a-b\"]\n" },
	{ "goose",
	    "extensions:\n"
	    "  \"linear\":\n    enabled: true\n    type: stdio\n    name: \"linear\"\n"
	    "    description: \"linear, through mcp-authd\"\n    cmd: \"/usr/bin/mcp-authctl\"\n"
	    "    args: [\"connect\", \"linear\"]\n    envs: {}\n    timeout: 300\n"
	    "  \"a-b\":\n    enabled: true\n    type: stdio\n    name: \"a-b\"\n"
	    "    description: \"a-b, through mcp-authd\"\n    cmd: \"/usr/bin/mcp-authctl\"\n"
	    "    args: [\"connect\", \"a-b\"]\n    envs: {}\n    timeout: 300\n" },
};

START_TEST(exact)
{
	struct buf b = text_for(texts[_i].client, "/usr/bin/mcp-authctl", NULL, NULL);

	ck_assert_str_eq(b.p, texts[_i].text);
	buf_free(&b);
}
END_TEST

/* All but Goose's YAML is read again by what `import` reads with, whatever the path looks like. */
START_TEST(reads_back)
{
	const struct snippet_client *c = snippet_at((size_t)_i);
	struct buf b = text_for(c->name, "/opt/my \"tools\"\\/mcp-authctl", "--control", "/x y");
	struct json_error e = { 0 };
	struct client_file f;
	size_t i;

	ck_assert_str_eq(snippet_find(c->name)->title, c->title);
	if (strcmp(c->name, "goose") != 0) {
		ck_assert_msg(client_file_read(b.p, b.len, &f, &e) == 0, "%s: %u:%u: %s", c->name, e.line,
		    e.column, e.what);
		ck_assert_uint_eq(f.n, c->dials ? 3 : 2);
		for (i = 0; i < f.n; i++)
			ck_assert_int_eq(f.entries[i].kind, CLIENT_OURS);
		client_file_free(&f);
	}
	ck_assert(c->dials || strstr(b.p, "[\"--control\", \"/x y\", \"connect\", \"linear\"]") != NULL);
	buf_free(&b);
}
END_TEST

START_TEST(commands)
{
	struct snippet s = { .client = snippet_find("claude-code"), .program = "/opt/it's/mcp-authctl",
	    .option = "--system", .servers = servers, .nservers = nitems(servers) };
	struct buf out = BUF_INIT(0);

	ck_assert_int_eq(snippet_commands(&out, &s), 0);
	ck_assert_str_eq(out.p,
	    "claude mcp add --scope user linear -- '/opt/it'\\''s/mcp-authctl' --system connect linear\n"
	    "claude mcp add --scope user a-b -- '/opt/it'\\''s/mcp-authctl' --system connect a-b\n");
	buf_free(&out);
}
END_TEST

START_TEST(no_such_client)
{
	ck_assert_ptr_null(snippet_find("emacs"));
	ck_assert_ptr_null(snippet_at(7));
	ck_assert_ptr_nonnull(snippet_at(6));
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("snippet");
	TCase *t = tcase_create("snippet");
	SRunner *r = srunner_create(s);
	int failed;

	tcase_add_loop_test(t, exact, 0, (int)nitems(texts));
	tcase_add_loop_test(t, reads_back, 0, 7);
	tcase_add_test(t, commands);
	tcase_add_test(t, no_such_client);
	suite_add_tcase(s, t);
	srunner_run_all(r, CK_NORMAL);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed != 0;
}
