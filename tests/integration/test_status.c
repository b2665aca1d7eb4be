/*
 * mcp-authctl status: the words for people, and the JSON whose members
 * config/mcp-authctl.1 documents, no more and no less.
 */
#include <check.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "json.h"
#include "scene.h"

#define PATIENCE	20000
#define PAGE		"config/mcp-authctl.1"

static struct scene s;
static char said[32768];

static int
status(const char *name, const char *option)
{
	struct ctl *k = ctl_start(s.a, (const char *const[]){ "status", name != NULL ? name : option,
	    name != NULL ? option : NULL, NULL }, (const char *const[]){ "TERM=xterm", NULL });
	int code = ctl_end(k, PATIENCE);

	snprintf(said, sizeof(said), "%s%s", ctl_out(k), ctl_err(k));
	ctl_free(k);
	return code;
}

static void
says(const char *words)
{
	ck_assert_msg(strstr(said, words) != NULL, "not \"%s\" in:\n%s", words, said);
}

/* "wall" has no login, "in" has one, "fixed" brings its token, "open" needs none. */
static void
begin(void)
{
	char file[PATH_SIZE], members[256];
	cJSON *issued;

	s = scene_begin(SCENE_NO_LOGIN, NULL, NULL);
	issued = wall_post(s.w, "issue", NULL);
	snprintf(file, sizeof(file), "%s/token", s.w->dir);
	file_write(file, json_string(issued, "access_token"));
	cJSON_Delete(issued);
	snprintf(members, sizeof(members), "\"auth\":\"bearer\",\"bearer\":{\"file\":\"%s\"}", file);
	world_upstream(s.w, "in", NULL);
	world_upstream(s.w, "fixed", members);
	world_upstream(s.w, "open", "\"auth\":\"none\",\"listen\":false");
	authd_stop(s.a);
	s.a = authd_start(s.w, NULL);
	world_login(s.w, s.a, "in", "scope=read%20write");
}

static void
end(void)
{
	scene_end(&s);
}

/* I5: an entry stands in two backends: after this, as the daemon finds it at its start. */
static void
let_drift(void)
{
	char command[3 * PATH_SIZE];

	authd_stop(s.a);
	snprintf(command, sizeof(command), "cd %s/mcp-authd/credentials && for f in in-*.json; do "
	    "cp -p $f ${f%%.json}.sealed; done", s.w->state);
	ck_assert_int_eq(system(command), 0);
	s.a = authd_start(s.w, NULL);
}

/* --- the documented shape --- */

static struct buf sent;			/* "\nPATH\n" for each member */

static void
note(const char *path)
{
	char line[160];

	snprintf(line, sizeof(line), "\n%s\n", path);
	if (sent.len == 0 || strstr(sent.p, line) == NULL)
		ck_assert_int_eq(buf_adds(&sent, line), 0);
}

/* Only what holds no other members is a member of the shape. */
static void
flatten(const cJSON *item, const char *path)
{
	const cJSON *child;
	char longer[160];

	if (!cJSON_IsObject(item) && !cJSON_IsArray(item)) {
		note(path);
		return;
	}
	cJSON_ArrayForEach(child, item) {
		if (cJSON_IsArray(item))
			snprintf(longer, sizeof(longer), "%s[]", path);
		else
			snprintf(longer, sizeof(longer), "%s%s%s", path, *path != '\0' ? "." : "",
			    child->string);
		flatten(child, longer);
	}
}

/* A member that may be null as a whole is documented by its members, and by itself. */
static bool
is_documented(const char *page, const char *path)
{
	char line[200];

	snprintf(line, sizeof(line), "\n.It Va %s\n", path);
	return strstr(page, line) != NULL;
}

START_TEST(members_are_those_of_the_man_page)
{
	char *page = file_read(PAGE, NULL), *at, *endp, *save = NULL, *line, *copy, path[200];
	struct flow *flow;
	cJSON *doc;

	ck_assert_ptr_nonnull(page);
	let_drift();
	flow = flow_begin(s.a, "wall", "{\"manual\":true}");
	ck_assert_ptr_nonnull(flow_until(flow, "url", PATIENCE));
	doc = authd_status(s.a);
	flatten(doc, "");
	cJSON_Delete(doc);
	flow_free(flow);
	copy = strdup(sent.p);
	for (line = strtok_r(copy, "\n", &save); line != NULL; line = strtok_r(NULL, "\n", &save))
		ck_assert_msg(is_documented(page, line), "%s is sent, but not in " PAGE, line);
	for (at = page; (at = strstr(at, "\n.It Va ")) != NULL; at = endp) {
		at += strlen("\n.It Va ");
		endp = strchr(at, '\n');
		snprintf(path, sizeof(path), "\n%.*s\n", (int)(endp - at), at);
		ck_assert_msg(strstr(sent.p, path) != NULL, "%s is in " PAGE ", but not sent", path);
	}
	buf_free(&sent);
	free(copy);
	free(page);
}
END_TEST

/* --- for people --- */

START_TEST(table)
{
	ck_assert_int_eq(status(NULL, NULL), 0);
	says("\nNAME   STATE ");
	says("\nwall   login required ");
	says("\nin     logged in  ");
	says("  in ");
	says("read write\n");
	says("\nopen   no login needed  -  ");
	says("\nwall: login required: mcp-authctl login wall\n");
	ck_assert_ptr_null(strstr(said, "\nin: "));
	ck_assert_ptr_null(strchr(said, '\033'));
}
END_TEST

static void
has_line(const char *label, const char *value)
{
	char line[300];

	snprintf(line, sizeof(line), "%-14s%s", label, value);
	says(line);
}

START_TEST(block)
{
	char at[PATH_SIZE + 64], *session;
	struct ask ask = { .socket = authd_socket(s.a, "in") };

	free(session_open(&ask));
	ck_assert_int_eq(status("in", NULL), 0);
	has_line("state", "logged in\n");
	has_line("expires", "in ");
	has_line("renewable", "yes\n");
	has_line("generation", "1\n");
	has_line("last refresh", "never\n");
	has_line("grant", "authorization_code\n");
	has_line("issuer", s.w->origin);
	has_line("scope", "read write\n");
	has_line("breaker", "closed\n");
	has_line("sessions", "1\n");
	has_line("links", "1 open, 1 idle, 0 waiting, 0 streams\n");
	has_line("next", "nothing to do\n");
	snprintf(at, sizeof(at), "file, %s/mcp-authd/credentials/in-", s.w->state);
	has_line("store", at);
	/* It is where it says. */
	session = strstr(said, at) + strlen("file, ");
	*strchr(session, '\n') = '\0';
	ck_assert_msg(access(session, F_OK) == 0, "%s", session);

	ck_assert_int_eq(status("wall", NULL), 4);
	has_line("state", "login required\n");
	has_line("next", "mcp-authctl login wall\n");
	ck_assert_int_eq(status("fixed", NULL), 0);
	has_line("auth", "bearer\n");
	ck_assert_ptr_null(strstr(said, "store  "));
	ck_assert_int_eq(status("open", NULL), 0);
	has_line("state", "no login needed\n");
	ck_assert_ptr_null(strstr(said, "socket  "));
}
END_TEST

/* I5 */
START_TEST(i5_drift)
{
	let_drift();
	ck_assert_int_eq(status(NULL, NULL), 0);
	says("\nstore: in-");
	says("is used\n");
	ck_assert_int_eq(status("in", NULL), 0);
	has_line("drift", "");
	(void)status("wall", NULL);
	ck_assert_ptr_null(strstr(said, "drift  "));
}
END_TEST

START_TEST(h3_a_login_that_runs)
{
	struct flow *flow = flow_begin(s.a, "wall", "{\"manual\":true}");

	ck_assert_ptr_nonnull(flow_until(flow, "url", PATIENCE));
	ck_assert_int_eq(status(NULL, NULL), 0);
	says("\nwall   logging in, 29");
	says("mcp-authctl login wall");
	ck_assert_int_eq(status("wall", NULL), 4);
	has_line("state", "logging in, 29");
	has_line("login", "person, begun by a person, 1 watch it, 29");
	flow_free(flow);
}
END_TEST

/* E5: how long it stays open; and how the latest refresh ended. */
START_TEST(e5_breaker)
{
	struct ask ask = { .socket = authd_socket(s.a, "in") };

	wall_fault(s.w, "{\"mcp\":{\"reject_all\":true}}");
	ck_assert_str_eq(ask_tool(&ask, "echo", NULL), "bearer_rejected");
	ck_assert_int_eq(status(NULL, NULL), 0);
	says("  open  ");
	says("\nin: ");
	says("mcp-authctl doctor in\n");
	ck_assert_int_eq(status("in", NULL), 0);
	has_line("breaker", "open, probe in ");
	has_line("last refresh", "");
	has_line("next", "mcp-authctl doctor in\n");
}
END_TEST

START_TEST(d_refused)
{
	struct ask ask = { .socket = authd_socket(s.a, "in") };

	wall_do(s.w, "revoke-all", NULL);
	ck_assert_str_eq(ask_tool(&ask, "echo", NULL), "login_required");
	(void)status("in", NULL);
	has_line("last refresh", "never, then dead\n");
	has_line("trouble", "");
	says("invalid_grant");
}
END_TEST

/* --- colour --- */

/* mcp-authctl on a terminal of its own; what it wrote there is in `said`. */
static void
on_terminal(const char *term, const char *no_color)
{
	int fd = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC), slave;
	char program[PATH_SIZE];
	size_t used = 0;
	ssize_t n;
	pid_t pid;

	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(grantpt(fd), 0);
	ck_assert_int_eq(unlockpt(fd), 0);
	slave = open(ptsname(fd), O_RDWR | O_NOCTTY | O_CLOEXEC);
	ck_assert_int_ge(slave, 0);
	snprintf(program, sizeof(program), "%s/mcp-authctl",
	    getenv("BUILD") != NULL ? getenv("BUILD") : "build");
	pid = child_fork();
	if (pid == 0) {
		dup2(slave, STDOUT_FILENO);
		setenv("TERM", term, 1);
		setenv("NO_COLOR", no_color, 1);
		execl(program, program, "--control", s.a->control, "status", (char *)NULL);
		_exit(99);
	}
	close(slave);
	while (used < sizeof(said) - 1 && (n = read(fd, said + used, sizeof(said) - 1 - used)) > 0)
		used += (size_t)n;
	said[used] = '\0';
	close(fd);
	ck_assert_int_eq(waitpid(pid, NULL, 0), pid);
	says("login required");
}

START_TEST(colour_at_a_terminal_only)
{
	on_terminal("xterm", "");
	says("\033[31mlogin required");
	says("\033[32mlogged in");
	on_terminal("dumb", "");
	ck_assert_ptr_null(strchr(said, '\033'));
	on_terminal("xterm", "1");
	ck_assert_ptr_null(strchr(said, '\033'));
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("status");
	TCase *tc = tcase_create("status");
	SRunner *sr;
	int failed;

	tcase_set_timeout(tc, 90);
	tcase_add_checked_fixture(tc, begin, end);
	tcase_add_test(tc, members_are_those_of_the_man_page);
	tcase_add_test(tc, table);
	tcase_add_test(tc, block);
	tcase_add_test(tc, i5_drift);
	tcase_add_test(tc, h3_a_login_that_runs);
	tcase_add_test(tc, e5_breaker);
	tcase_add_test(tc, d_refused);
	tcase_add_test(tc, colour_at_a_terminal_only);
	suite_add_tcase(suite, tc);
	sr = srunner_create(suite);
	srunner_run_all(sr, CK_NORMAL);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed != 0;
}
