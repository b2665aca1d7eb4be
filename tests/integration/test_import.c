/*
 * `mcp-authctl client-config` and `import`: what is pasted reaches the server,
 * what is taken over is shown first, and no secret goes along.
 */
#include <check.h>
#include <dirent.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "support.h"

#define PATIENCE	10000

#define CONFIG	"{\n" \
	"  // mine\n" \
	"  \"mcpServers\": {\n" \
	"    \"linear\": { \"url\": \"https://mcp.linear.app/mcp\" }, // keep\n" \
	"    // the end\n" \
	"  },\n" \
	"}\n"
#define THEIRS	"{\"mcpServers\":{" \
	"\"My Wiki\":{\"type\":\"http\",\"url\":\"https://wiki.example/mcp\"," \
	"\"headers\":{\"Authorization\":\"Bearer SECRET1\",\"X-Key\":\"SECRET2\"}}," \
	"\"lin\":{\"url\":\"https://mcp.linear.app/mcp\"}," \
	"\"linear\":{\"url\":\"https://else.example/\"}," \
	"\"bridge\":{\"command\":\"npx\",\"args\":[\"mcp-remote\",\"https://b.example/mcp\"," \
	"\"--header\",\"Authorization: SECRET3\"]}," \
	"\"again\":{\"url\":\"https://b.example/mcp\"}," \
	"\"fs\":{\"command\":\"fs\",\"env\":{\"K\":\"SECRET4\"}}," \
	"\"q\":{\"url\":\"https://q.example/?token=SECRET5\"}}}"
#define ADDED	"    \"My_Wiki\": { \"url\": \"https://wiki.example/mcp\" },\n" \
	"    \"bridge\": { \"url\": \"https://b.example/mcp\" },\n"

static struct world *w;
static char config[PATH_SIZE], theirs[PATH_SIZE], out_path[PATH_SIZE], err_path[PATH_SIZE];
static char *out, *err;

static void
path_in(char to[PATH_SIZE], const char *name)
{
	snprintf(to, PATH_SIZE, "%.60s/%s", w->dir, name);
}

static void
begin(void)
{
	w = world_new(WORLD_NO_WALL);
	path_in(config, "ours.json");
	path_in(theirs, "theirs.json");
	path_in(out_path, "out");
	path_in(err_path, "err");
	out = err = NULL;
}

static void
end(void)
{
	free(out);
	free(err);
	world_free(w);
}

/* mcp-authctl with these words; its exit code.  What it says is in `out` and `err`, and holds no secret. */
static int
run(const char *const *args)
{
	const char *argv[12] = { "sh", "-c", "exec \"$@\" >\"$OUT\" 2>\"$ERR\"", "sh" };
	char home[PATH_SIZE + 8], o[PATH_SIZE + 8], e[PATH_SIZE + 8], program[PATH_SIZE];
	const char *env[] = { home, o, e, NULL }, *build = getenv("BUILD");
	int n = 4, status = 0;
	pid_t pid;

	snprintf(home, sizeof(home), "HOME=%s", w->dir);
	snprintf(o, sizeof(o), "OUT=%s", out_path);
	snprintf(e, sizeof(e), "ERR=%s", err_path);
	snprintf(program, sizeof(program), "%s/mcp-authctl", build != NULL ? build : "build");
	for (argv[n++] = program; *args != NULL; args++)
		argv[n++] = *args;
	argv[n] = NULL;
	pid = child_start(argv, env, "/dev/null");
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	free(out);
	free(err);
	out = file_read(out_path, NULL);
	err = file_read(err_path, NULL);
	ck_assert_ptr_null(strstr(out, "SECRET"));
	ck_assert_ptr_null(strstr(err, "SECRET"));
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

#define RUN(...)	run((const char *const[]){ __VA_ARGS__, NULL })

static void
said(const char *text)
{
	ck_assert_msg(strstr(err, text) != NULL, "stderr lacks \"%s\": %s", text, err);
}

static void
is_file(const char *path, const char *text)
{
	char *now = file_read(path, NULL);

	ck_assert_str_eq(now, text);
	free(now);
}

/* How many files of the world's directory begin so; the last one's path. */
static int
count_files(const char *prefix, char path[PATH_SIZE])
{
	DIR *d = opendir(w->dir);
	struct dirent *e;
	int n = 0;

	while ((e = readdir(d)) != NULL)
		if (strncmp(e->d_name, prefix, strlen(prefix)) == 0) {
			snprintf(path, PATH_SIZE, "%.60s/%.40s", w->dir, e->d_name);
			n++;
		}
	closedir(d);
	return n;
}

/* --- import --- */

START_TEST(shown_then_written)
{
	struct stat st;
	char backup[PATH_SIZE], diff[2048];

	file_write(config, CONFIG);
	file_write(theirs, THEIRS);
	chmod(config, 0640);
	snprintf(diff, sizeof(diff), "--- %s\n+++ %s\n@@ -3,5 +3,7 @@\n   \"mcpServers\": {\n"
	    "     \"linear\": { \"url\": \"https://mcp.linear.app/mcp\" }, // keep\n     // the end\n"
	    "+    \"My_Wiki\": { \"url\": \"https://wiki.example/mcp\" },\n"
	    "+    \"bridge\": { \"url\": \"https://b.example/mcp\" },\n   },\n }\n", config, config);
	ck_assert_int_eq(RUN("import", theirs, "--config", config), 0);
	ck_assert_str_eq(out, diff);
	said("My_Wiki: stands for \"My Wiki\"");
	said("My_Wiki: its static authorization is not copied");
	said("My_Wiki: its headers are not copied");
	said("lin: skipped: its URL is there already, as \"linear\"");
	said("linear: skipped: the config has this name for another URL");
	said("bridge: was reached by mcp-remote");
	said("bridge: its static authorization is not copied");
	said("again: skipped: the file has the same URL twice");
	said("fs: skipped: it runs a program");
	said("q: skipped: its URL seems to hold a secret");
	said("nothing is written yet");
	is_file(config, CONFIG);
	ck_assert_int_eq(count_files("ours.json.bak-", backup), 0);

	ck_assert_int_eq(RUN("import", theirs, "--config", config, "--write"), 0);
	ck_assert_str_eq(out, diff);
	is_file(config, "{\n  // mine\n  \"mcpServers\": {\n"
	    "    \"linear\": { \"url\": \"https://mcp.linear.app/mcp\" }, // keep\n    // the end\n"
	    ADDED "  },\n}\n");
	ck_assert(stat(config, &st) == 0 && (st.st_mode & 0777) == 0640);
	ck_assert_int_eq(count_files("ours.json.bak-", backup), 1);
	is_file(backup, CONFIG);
	ck_assert(stat(backup, &st) == 0 && (st.st_mode & 0777) == 0640);
	ck_assert_int_eq(count_files(".ours", backup), 0);
	is_file(theirs, THEIRS);
	said("mcp-authctl reload\nmcp-authctl login My_Wiki\nmcp-authctl login bridge\n");

	ck_assert_int_eq(RUN("import", theirs, "--config", config, "--write"), 0);
	said("there is nothing to add");
	ck_assert_str_eq(out, "");
	ck_assert_int_eq(count_files("ours.json.bak-", backup), 1);
}
END_TEST

/* Neither a config nor its folder is there. */
START_TEST(config_is_made)
{
	char path[PATH_SIZE];
	struct stat st;

	file_write(theirs, "[mcp_servers.a]\nurl = \"https://a.example/mcp\"\n"
	    "http_headers = { Authorization = \"SECRET\" }\n");
	ck_assert_int_eq(RUN("import", theirs, "--write"), 0);
	path_in(path, ".config/mcp-authd/config.json");
	is_file(path, "{\n  \"mcpServers\": {\n    \"a\": { \"url\": \"https://a.example/mcp\" }\n  }\n}\n");
	said("mcp-authctl client-config codex");
	path_in(path, ".config/mcp-authd");
	ck_assert(stat(path, &st) == 0 && (st.st_mode & 0777) == 0700);
	ck_assert_int_eq(RUN("check"), 0);
}
END_TEST

START_TEST(link_stays_a_link)
{
	char real[PATH_SIZE];
	struct stat st;

	path_in(real, "real.json");
	file_write(real, "{\n  \"log\": { \"level\": \"debug\" } // l\n}\n");
	ck_assert_int_eq(symlink(real, config), 0);
	file_write(theirs, "{ \"servers\": { \"a\": { \"url\": \"https://a.example/mcp\" } } }");
	ck_assert_int_eq(RUN("import", theirs, "--config", config, "--write"), 0);
	ck_assert(lstat(config, &st) == 0 && S_ISLNK(st.st_mode));
	is_file(real, "{\n  \"log\": { \"level\": \"debug\" }, // l\n  \"mcpServers\": {\n"
	    "    \"a\": { \"url\": \"https://a.example/mcp\" }\n  }\n}\n");
}
END_TEST

static const struct {
	const char	*ours, *theirs, *words;
} refused[] = {
	/* a config that is wrong, before or after, is not written */
	{ "{ \"mcpServer\": {} }", THEIRS, "unknown key \"mcpServer\"" },
	{ "{ \"socket\": { \"mode\": \"0666\" } }", THEIRS, "say \"shared\": true" },
	{ CONFIG, "{ \"mcpServers\": {", "theirs.json:1:18: " },
	{ CONFIG, "[mcp_servers.x]\nurl = SECRET\n", "theirs.json:2:7: " },
	{ CONFIG, "{ \"model\": 1 }", "there are no MCP servers in it" },
	{ CONFIG, "", "the file is empty" },
};

START_TEST(is_refused)
{
	char path[PATH_SIZE];

	file_write(config, refused[_i].ours);
	file_write(theirs, refused[_i].theirs);
	ck_assert_int_eq(RUN("import", theirs, "--config", config, "--write"), 1);
	said(refused[_i].words);
	is_file(config, refused[_i].ours);
	ck_assert_int_eq(count_files("ours.json.bak-", path), 0);
	ck_assert_int_eq(count_files(".ours", path), 0);
}
END_TEST

START_TEST(no_such_file)
{
	ck_assert_int_eq(RUN("import", "/nowhere", "--config", config), 1);
	said("/nowhere: No such file");
	ck_assert_int_eq(RUN("import", w->dir, "--config", config), 1);
	said("not a regular file");
	ck_assert_int_eq(RUN("import", "goose.yaml", "--config", config), 1);
	said("YAML (Goose) is not read");
	ck_assert_int_eq(RUN("import"), 2);
	ck_assert_int_eq(RUN("import", theirs, "--socket", "x"), 2);
}
END_TEST

/* --- client-config --- */

START_TEST(without_a_daemon)
{
	file_write(config, CONFIG);
	ck_assert_int_eq(RUN("--control", "/nowhere/control.sock", "client-config", "vscode", "--config", config), 0);
	ck_assert_str_eq(out, "{\n  \"servers\": {\n    \"linear\": {\n      \"type\": \"http\",\n"
	    "      \"url\": \"unix:///nowhere/linear/mcp.sock#/mcp\"\n    }\n  }\n}\n");
	said("no daemon answers; the names are those of ");
	said("# Visual Studio Code: this goes into .vscode/mcp.json");
	ck_assert_int_eq(RUN("client-config", "claude-code", "nobody", "--config", config), 1);
	said("no upstream has this name");
	ck_assert_int_eq(RUN("client-config", "emacs", "--config", config), 2);
	said("no such client");
	ck_assert_int_eq(RUN("client-config"), 0);
	ck_assert(strstr(out, "vscode ") != NULL && strstr(out, "goose ") != NULL);
}
END_TEST

/* What Claude Code would spawn, in an environment as bare as clients give. */
START_TEST(spawned_as_printed)
{
	struct world *walled = world_new(0);
	struct authd *a;
	const cJSON *entry, *arg;
	const char *argv[10];
	int n = 0;
	cJSON *doc;

	world_upstream(walled, "wall", NULL);
	world_upstream(walled, "shared", "\"listen\": false");
	a = authd_start(walled, NULL);
	world_login(walled, a, "wall", NULL);
	ck_assert_int_eq(RUN("--control", a->control, "client-config", "vscode"), 0);
	ck_assert_ptr_nonnull(strstr(out, authd_socket(a, "wall")));
	ck_assert_ptr_nonnull(strstr(out, "mcp-authd.sock#/shared\""));
	ck_assert_int_eq(RUN("--control", a->control, "client-config", "claude-code"), 0);
	said("claude mcp add --scope user wall -- ");
	said("shared is left out: it has no socket of its own");
	doc = cJSON_Parse(out);
	entry = cJSON_GetObjectItem(cJSON_GetObjectItem(doc, "mcpServers"), "wall");
	argv[n++] = "sh";
	argv[n++] = "-c";
	argv[n++] = "printf '{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"ping\"}\\n' | \"$@\" >\"$OUT\"";
	argv[n++] = "sh";
	argv[n++] = cJSON_GetStringValue(cJSON_GetObjectItem(entry, "command"));
	cJSON_ArrayForEach(arg, cJSON_GetObjectItem(entry, "args"))
		argv[n++] = arg->valuestring;
	argv[n] = NULL;
	ck_assert_int_eq(n, 9);
	char to[PATH_SIZE + 8];
	int status;
	snprintf(to, sizeof(to), "OUT=%s", out_path);
	ck_assert_int_gt(waitpid(child_start(argv, (const char *const[]){ to, NULL }, "/dev/null"),
	    &status, 0), 0);
	ck_assert_int_eq(status, 0);
	free(out);
	out = file_read(out_path, NULL);
	ck_assert_msg(strstr(out, "\"id\":1,") != NULL, "%s", out);
	cJSON_Delete(doc);
	ck_assert_int_eq(authd_stop(a), 0);
	world_free(walled);
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("import");
	TCase *t = tcase_create("import");
	SRunner *r = srunner_create(s);
	int failed;

	tcase_set_timeout(t, 60);
	tcase_add_checked_fixture(t, begin, end);
	tcase_add_test(t, shown_then_written);
	tcase_add_test(t, config_is_made);
	tcase_add_test(t, link_stays_a_link);
	tcase_add_loop_test(t, is_refused, 0, (int)nitems(refused));
	tcase_add_test(t, no_such_file);
	tcase_add_test(t, without_a_daemon);
	tcase_add_test(t, spawned_as_printed);
	suite_add_tcase(s, t);
	srunner_run_all(r, CK_NORMAL);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed != 0;
}
