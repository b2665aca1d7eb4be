/*
 * SIGKILL at every step of the transaction, by strace at a chosen system
 * call or by the wall's hand while a request is out (issue 1, must show 4;
 * contract C8, C11, D "the process dies", I7): the store is never torn, no
 * spent refresh token is sent if its answer was persisted, and if it was not,
 * the intent makes it one careful retry.
 */
#include <check.h>
#include <dirent.h>
#include <signal.h>
#include <stdio.h>

#include "support.h"

static struct world *w;
static struct authd *a;

static void
begin(void)
{
	w = world_new(0);
	a = authd_start(w, NULL);
	world_login(w, a, "wall", NULL);
	ck_assert_int_eq(authd_stop(a), 0);
	wall_do(w, "expire", NULL);
}

/* Every entry of the store is one whole JSON document; nothing was set aside. */
static void
store_is_whole(void)
{
	char dir[PATH_SIZE + 32], path[PATH_SIZE + 300];
	struct dirent *e;
	int entries = 0;
	DIR *d;

	snprintf(dir, sizeof(dir), "%s/mcp-authd/credentials", w->state);
	d = opendir(dir);
	ck_assert_ptr_nonnull(d);
	while ((e = readdir(d)) != NULL) {
		const char *end = strrchr(e->d_name, '.');
		cJSON *json;
		char *text;

		ck_assert_ptr_null(strstr(e->d_name, ".bad"));
		if (end == NULL || strcmp(end, ".json") != 0)
			continue;
		snprintf(path, sizeof(path), "%s/%s", dir, e->d_name);
		text = file_read(path, NULL);
		json = cJSON_ParseWithOpts(text, NULL, true);
		ck_assert_ptr_nonnull(json);
		cJSON_Delete(json);
		free(text);
		entries++;
	}
	closedir(d);
	ck_assert_int_eq(entries, 1);
}

/* A new daemon makes the best of it.  Returns the reason, "" = answered. */
static const char *
afterwards(void)
{
	static char reason[64];
	struct reply r = { 0 };
	struct ask ask;

	a = authd_start(w, NULL);
	ask = (struct ask){ .socket = authd_socket(a, "wall"), .version = "2026-07-28" };
	ck_assert_int_eq(rpc(&ask, "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"server/discover\","
	    "\"params\":{\"_meta\":{\"io.modelcontextprotocol/protocolVersion\":\"2026-07-28\"}}}",
	    &r, 20000), 0);
	snprintf(reason, sizeof(reason), "%s", reply_reason(&r));
	reply_free(&r);
	return reason;
}

static struct volley *
knock(struct shot *shot)
{
	struct ask ask = { .socket = authd_socket(a, "wall") };
	struct buf body = { 0 };

	tool_json_modern(&body, 1, "echo", NULL);
	ask.version = "2026-07-28";
	*shot = (struct shot){ .socket = ask.socket, .method = "POST" };
	request_post(&shot->request, &ask, body.p);
	buf_free(&body);
	return volley_start(shot, 1);
}

/* Where the axe falls: the n-th such call of the worker thread, counted from the start of the daemon. */
static const struct {
	const char *call;
	int nth;
	int requests;		/* that had reached the token endpoint by then */
	bool persisted;		/* the answer of it */
	const char *what;
} kills[] = {
	{ "fsync", 1, 0, false, "writing the intent" },
	{ "renameat", 1, 0, false, "renaming the intent" },
	{ "fsync", 2, 0, false, "syncing the directory of the intent" },
	{ "fsync", 3, 1, false, "writing the new token" },
	{ "renameat", 2, 1, false, "renaming the new token" },
	{ "fsync", 4, 1, true, "syncing the directory of the new token" },
};

START_TEST(d_killed_at_every_write)
{
	char trace[64], inject[64];
	const char *const strace[] = {
		"strace", "-f", "-qq", "-o", "/dev/null", "-e", trace, "-e", inject, NULL
	};
	struct authd_options o = { .wrap = strace };
	struct volley *v;
	struct shot shot;
	const char *reason;

	begin();
	snprintf(trace, sizeof(trace), "trace=%s", kills[_i].call);
	snprintf(inject, sizeof(inject), "inject=%s:signal=KILL:when=%d", kills[_i].call,
	    kills[_i].nth);
	a = authd_start(w, &o);
	v = knock(&shot);
	volley_run(v, 15000);
	ck_assert_int_ne(shot.error, 0);		/* cut, not answered */
	volley_free(v);
	shots_free(&shot, 1);
	ck_assert_int_ge(authd_wait(a, 5000), 0);
	ck_assert_int_eq(wall_count(w, "token.requests"), kills[_i].requests);
	store_is_whole();
	reason = afterwards();
	printf("killed %s: %lld token requests in all, %lld replays, %s\n", kills[_i].what,
	    (long long)wall_count(w, "token.requests"), (long long)wall_count(w, "token.replays"),
	    reason[0] != '\0' ? reason : "served");
	store_is_whole();
	if (kills[_i].requests == 0 || kills[_i].persisted) {
		ck_assert_str_eq(reason, "");
		ck_assert_int_eq(wall_count(w, "token.requests"), 1);
		ck_assert_int_eq(wall_count(w, "token.replays"), 0);
	} else {
		ck_assert_str_eq(reason, "login_required");
		ck_assert_int_eq(wall_count(w, "token.requests"), 2);	/* one careful retry */
		ck_assert_int_eq(wall_count(w, "token.replays"), 1);
		authd_kill(a);
		reason = afterwards();				/* and never again */
		ck_assert_str_eq(reason, "login_required");
		ck_assert_int_eq(wall_count(w, "token.requests"), 2);
	}
	world_free(w);
}
END_TEST

/* Killed while the request is out: before the provider read it, or after it rotated. */
START_TEST(d_killed_while_the_request_is_out)
{
	bool rotated = _i == 1;
	struct volley *v;
	struct shot shot;
	const char *reason;

	begin();
	a = authd_start(w, NULL);
	wall_fault(w, rotated ? "{\"token\":{\"hang\":true,\"rotate\":true},\"times\":1}" :
	    "{\"token\":{\"hang\":true},\"times\":1}");
	v = knock(&shot);
	ck_assert(volley_until(v, w, "token.requests", 1, 10000));
	authd_kill(a);
	volley_free(v);
	shots_free(&shot, 1);
	store_is_whole();
	reason = afterwards();
	ck_assert_int_eq(wall_count(w, "token.requests"), 2);
	ck_assert_str_eq(reason, rotated ? "login_required" : "");
	ck_assert_int_eq(wall_count(w, "token.replays"), rotated ? 1 : 0);
	store_is_whole();
	world_free(w);
}
END_TEST

/* The answer is lost, the process lives: one retry after 2 s, no more. */
START_TEST(d_unknown_outcome_without_a_crash)
{
	struct volley *v;
	struct shot shot;

	begin();
	a = authd_start(w, NULL);
	wall_fault(w, "{\"token\":{\"close_after_read\":true},\"times\":1}");
	v = knock(&shot);
	ck_assert_uint_eq(volley_run(v, 15000), 1);
	ck_assert_int_eq(shot.reply.status, 200);
	ck_assert_str_eq(reply_reason(&shot.reply), "");
	ck_assert_int_ge(shot.done_ms, 1900);
	ck_assert_int_eq(wall_count(w, "token.requests"), 2);
	ck_assert_int_eq(wall_count(w, "token.replays"), 0);
	volley_free(v);
	shots_free(&shot, 1);
	world_free(w);
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("crash");
	TCase *tc = tcase_create("crash");
	SRunner *sr;
	int failed;

	tcase_set_timeout(tc, 90);
	tcase_add_loop_test(tc, d_killed_at_every_write, 0, nitems(kills));
	tcase_add_loop_test(tc, d_killed_while_the_request_is_out, 0, 2);
	tcase_add_test(tc, d_unknown_outcome_without_a_crash);
	suite_add_tcase(s, tc);
	sr = srunner_create(s);
	srunner_run_all(sr, CK_NORMAL);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed != 0;
}
