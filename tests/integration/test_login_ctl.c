/*
 * `mcp-authctl login` and `logout`, as a person at a terminal has them: the
 * browser, pasting (WIRE A21), devices, scopes, Ctrl-C (contract H3), exit
 * codes; the authorization URL goes to standard output and nowhere else (H5).
 */
#include <check.h>
#include <signal.h>
#include <stdio.h>
#include <sys/stat.h>

#include "logins.h"

#define PATIENCE	20000

static struct world *w;
static struct authd *a;
static struct ctl *k;
static struct ask ask;

static void
start(void)
{
	w = world_new(0);
	a = authd_start(w, NULL);
	ask = (struct ask){ .socket = authd_socket(a, "wall"), .version = "2026-07-28" };
}

static void
end(void)
{
	ctl_free(k);
	k = NULL;
	ck_assert_int_eq(wall_violations(w), 0);
	world_free(w);
}

/* A command begins; up to four words. */
static void
begin(const char *word, const char *w2, const char *w3, const char *w4)
{
	const char *args[] = { word, w2, w3, w4, NULL };

	ctl_free(k);
	k = ctl_start(a, args, NULL);
}

static void
exits(int code)
{
	int got = ctl_end(k, PATIENCE);

	ck_assert_msg(got == code, "exit %d, not %d: %s%s", got, code, ctl_out(k), ctl_err(k));
}

/* What it shows first on standard output, without its newline.  Static. */
static const char *
shown_url(void)
{
	static char url[8192];

	ck_assert_msg(ctl_until(k, "paste the address", PATIENCE), "%s", ctl_err(k));
	ck_assert_msg(ctl_until(k, "/authorize?", PATIENCE), "%s", ctl_err(k));
	ck_assert_ptr_nonnull(strchr(ctl_out(k), '\n'));
	snprintf(url, sizeof(url), "%.*s", (int)strcspn(ctl_out(k), "\n"), ctl_out(k));
	return url;
}

static const char *
call(void)
{
	static char reason[64];
	struct reply r = { 0 };

	ck_assert_int_eq(tool(&ask, 1, "echo", NULL, &r, 30000), 0);
	snprintf(reason, sizeof(reason), "%s", reply_reason(&r));
	reply_free(&r);
	return reason;
}

static int
visit(const char *url)
{
	struct reply page = { 0 };
	int status = browse(w, url, 3, &page, PATIENCE) == 0 ? page.status : -1;

	reply_free(&page);
	return status;
}

START_TEST(login_status_logout)
{
	char url[8192];

	start();
	begin("status", "wall", NULL, NULL);
	exits(4);
	begin("login", "--no-browser", "wall", NULL);
	snprintf(url, sizeof(url), "%s", shown_url());
	ck_assert_int_eq(visit(url), 200);
	exits(0);
	/* The URL, and that alone, can be taken from standard output. */
	ck_assert_int_eq(strncmp(ctl_out(k), url, strlen(url)), 0);
	ck_assert_str_eq(ctl_out(k) + strlen(url), "\n");
	ck_assert_ptr_null(strstr(ctl_err(k), "/authorize?"));
	ck_assert_ptr_nonnull(strstr(ctl_err(k), "logged in"));
	ck_assert_ptr_nonnull(strstr(ctl_err(k), w->origin));
	ck_assert_str_eq(call(), "");
	begin("status", "wall", NULL, NULL);
	exits(0);
	begin("logout", _i == 0 ? "wall" : "--all", NULL, NULL);
	exits(0);
	ck_assert_ptr_nonnull(strstr(ctl_out(k), "logged out; revoked"));
	ck_assert_int_eq(wall_count(w, "token.revocations"), 1);
	ck_assert_str_eq(call(), "login_required");
	begin("status", "wall", NULL, NULL);
	exits(4);
	end();
}
END_TEST

/* A21: the browser is on another machine; a wrong paste is told and changes nothing. */
START_TEST(a21_pasted)
{
	char *to, line[9000];

	start();
	begin("login", "--no-browser", "wall", NULL);
	to = browse_location(w, shown_url(), PATIENCE);
	ctl_say(k, "http://127.0.0.1/callback?code=x&state=y\n\n");
	ck_assert_msg(ctl_until(k, "state", PATIENCE) || ctl_until(k, "redirect", PATIENCE), "%s",
	    ctl_err(k));
	snprintf(line, sizeof(line), "  %s \r\n", to);
	ctl_say(k, line);
	exits(0);
	ck_assert_str_eq(call(), "");
	free(to);
	end();
}
END_TEST

/* A21, and scopes of one's own: --scope is asked for beside what the server lists. */
START_TEST(a21_device_and_scope)
{
	const char *scope;

	start();
	begin("login", "--device", "wall", "--scope=extra");
	ck_assert_msg(ctl_until(k, "WALL-", PATIENCE), "%s", ctl_err(k));
	wall_do(w, "device?do=approve", NULL);
	exits(0);
	ck_assert_ptr_nonnull(strstr(ctl_out(k), "/device\n"));
	scope = login_param(w, "device", "scope");
	ck_assert_msg(scope != NULL && strstr(scope, "mcp") != NULL &&
	    strstr(scope, "extra") != NULL, "%s", scope);
	ck_assert_str_eq(call(), "");
	end();
}
END_TEST

/* H3: the flow goes with who began it, its listener too; another can begin at once. */
START_TEST(h3_given_up)
{
	static const int signals[] = { SIGINT, SIGTERM, SIGHUP, SIGKILL };
	static const char port[] = "redirect_uri=http%3A%2F%2F127.0.0.1%3A";
	char where[32];
	const char *at;
	struct client *c;
	int64_t deadline = now_ms() + PATIENCE;
	int code;

	start();
	begin("login", "--no-browser", "wall", NULL);
	at = strstr(shown_url(), port);
	ck_assert_ptr_nonnull(at);
	snprintf(where, sizeof(where), "tcp:%d", atoi(at + strlen(port)));
	ctl_signal(k, signals[_i]);
	code = ctl_end(k, PATIENCE);
	ck_assert_int_eq(code, signals[_i] == SIGKILL ? 128 + SIGKILL : 1);
	while ((c = client_try(where)) != NULL) {
		client_close(c);
		ck_assert_int_lt(now_ms(), deadline);
		pause_ms(5);
	}
	begin("login", "--no-browser", "wall", NULL);
	ck_assert_int_eq(visit(shown_url()), 200);
	exits(0);
	end();
}
END_TEST

/* What went wrong stands on standard error, with what to do, and no text of the server's. */
START_TEST(failures_are_told)
{
	static const struct { const char *set, *words; } all[] = {
		{ "{\"deny\":true,\"description_bytes\":3000}", "refused" },
		{ "{\"register\":\"absent\"}", "oauth.clientId" },
		{ "{\"as_members\":{\"code_challenge_methods_supported\":null}}",
		    "oauth.assumePkce" },
		{ "{\"as_members\":{\"issuer\":\"https://evil.example/\\u001b[2J\"}}", "issuer" },
	};

	start();
	wall_do(w, "set", all[_i].set);
	begin("login", "--no-browser", "wall", NULL);
	if (_i == 0)
		ck_assert_int_eq(visit(shown_url()), 200);
	exits(1);
	ck_assert_msg(strstr(ctl_err(k), all[_i].words) != NULL, "%s", ctl_err(k));
	ck_assert_ptr_null(strstr(ctl_err(k), "description description"));
	ck_assert_ptr_null(strchr(ctl_err(k), '\033'));
	end();
}
END_TEST

START_TEST(usage_and_no_daemon)
{
	start();
	begin("login", "nobody", NULL, NULL);
	exits(1);
	ck_assert_msg(strstr(ctl_err(k), "no upstream") != NULL, "%s", ctl_err(k));
	begin("login", NULL, NULL, NULL);
	exits(2);
	begin("login", "wall", "--scope=\"", NULL);
	exits(1);
	ck_assert_int_eq(authd_stop(a), 0);
	begin("login", "wall", NULL, NULL);
	exits(3);
	end();
}
END_TEST

/* H5: where there is a display the command line opens the browser, once. */
START_TEST(h5_opens_the_browser)
{
	char script[PATH_SIZE + 16], opened[PATH_SIZE + 16], text[400], browser[PATH_SIZE + 32];
	const char *args[] = { "login", "wall", NULL };
	const char *env[] = { "DISPLAY=:99", browser, NULL };
	char *url = NULL;
	int64_t deadline = now_ms() + PATIENCE;

	start();
	snprintf(script, sizeof(script), "%s/browser", w->dir);
	snprintf(opened, sizeof(opened), "%s/opened", w->dir);
	snprintf(text, sizeof(text), "#!/bin/sh\nprintf '%%s\\n' \"$@\" >>%s\n", opened);
	file_write(script, text);
	ck_assert_int_eq(chmod(script, 0700), 0);
	snprintf(browser, sizeof(browser), "BROWSER=%s", script);
	k = ctl_start(a, args, env);
	while (url == NULL || strchr(url, '\n') == NULL) {
		ck_assert_msg(now_ms() < deadline, "%s", ctl_err(k));
		free(url);
		url = file_read(opened, NULL);
		pause_ms(5);
	}
	ck_assert_ptr_eq(strchr(url, '\n'), url + strlen(url) - 1);
	url[strlen(url) - 1] = '\0';
	ck_assert_int_eq(visit(url), 200);
	exits(0);
	free(url);
	end();
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("login_ctl");
	TCase *t = tcase_create("login_ctl");
	SRunner *r;
	int failed;

	tcase_set_timeout(t, 60);
	tcase_add_loop_test(t, login_status_logout, 0, 2);
	tcase_add_test(t, a21_pasted);
	tcase_add_test(t, a21_device_and_scope);
	tcase_add_loop_test(t, h3_given_up, 0, 4);
	tcase_add_loop_test(t, failures_are_told, 0, 4);
	tcase_add_test(t, usage_and_no_daemon);
	tcase_add_test(t, h5_opens_the_browser);
	suite_add_tcase(s, t);
	r = srunner_create(s);
	srunner_run_all(r, CK_NORMAL);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed != 0;
}
