/*
 * The life of a credential in a running daemon: contract A1, B, C6, D (persist
 * fails, the table's other rows), H1, H2, I2, I3, I4, I6, I7, K.
 */
#include <check.h>
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "support.h"

static struct world *w;
static struct authd *a;
static struct ask ask;

static const char discover[] = "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"tools/list\",\"params\":"
    "{\"_meta\":{\"io.modelcontextprotocol/protocolVersion\":\"2026-07-28\"}}}";

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
	world_free(w);
}

/* One request; its reason, "" if it was answered by the server. */
static const char *
asked_of(const struct ask *q, int ms)
{
	static char reason[64];
	struct reply r = { 0 };

	ck_assert_int_eq(rpc(q, discover, &r, ms), 0);
	ck_assert_int_eq(r.status, 200);
	snprintf(reason, sizeof(reason), "%s", reply_reason(&r));
	reply_free(&r);
	return reason;
}

static const char *
asked(int ms)
{
	return asked_of(&ask, ms);
}

static struct volley *
begin_asking(struct shot *shot)
{
	*shot = (struct shot){ .socket = ask.socket, .method = "POST" };
	request_post(&shot->request, &ask, discover);
	return volley_start(shot, 1);
}

/* The wall's document with another expiry (seconds from now; INT_MIN: none) or without a refresh token. */
static void
import(const struct authd *to, const char *query, int expires, bool renewable)
{
	char path[128], *text;
	cJSON *doc;

	snprintf(path, sizeof(path), "issue?%s", query);
	doc = wall_post(w, path, NULL);
	cJSON_DeleteItemFromObject(doc, "expires_in");
	cJSON_DeleteItemFromObject(doc, "expires_at");
	if (expires != INT32_MIN)
		cJSON_AddNumberToObject(doc, "expires_at", (double)time(NULL) + expires);
	if (!renewable)
		cJSON_DeleteItemFromObject(doc, "refresh_token");
	text = cJSON_PrintUnformatted(doc);
	ck_assert_int_eq(authd_import(to, "wall", text) / 100, 2);
	free(text);
	cJSON_Delete(doc);
}

static cJSON *
credential_of(const struct authd *d)
{
	cJSON *status = authd_status(d);
	cJSON *c = cJSON_DetachItemFromObject(cJSON_GetArrayItem(
	    cJSON_GetObjectItem(status, "upstreams"), 0), "credential");

	cJSON_Delete(status);
	ck_assert_ptr_nonnull(c);
	return c;
}

/* Polls the status until credential.key is (as text) `want`. */
static void
wait_status(const char *key, const char *want)
{
	char *text = NULL;

	for (int i = 0; i < 1500; i++) {
		cJSON *c = credential_of(a);

		free(text);
		text = cJSON_PrintUnformatted(cJSON_GetObjectItem(c, key));
		cJSON_Delete(c);
		if (strcmp(text, want) == 0) {
			free(text);
			return;
		}
		pause_ms(10);
	}
	ck_abort_msg("%s stays %s, not %s", key, text, want);
}

static void
store_file(char *out, size_t size, const char *suffix)
{
	char dir[PATH_SIZE + 32];
	struct dirent *e;
	DIR *d;

	snprintf(dir, sizeof(dir), "%s/mcp-authd/credentials", w->state);
	d = opendir(dir);
	ck_assert_ptr_nonnull(d);
	out[0] = '\0';
	while ((e = readdir(d)) != NULL)
		if (strlen(e->d_name) > strlen(suffix) &&
		    strcmp(e->d_name + strlen(e->d_name) - strlen(suffix), suffix) == 0)
			snprintf(out, size, "%s/%s", dir, e->d_name);
	closedir(d);
}

START_TEST(a1_nothing_of_the_token_comes_down_nothing_of_the_client_goes_up)
{
	struct reply r = { 0 };

	start(NULL);
	import(a, "", 3600, true);
	wall_do(w, "set", "{\"set_cookie\":\"lb=1; Path=/\"}");
	wall_fault(w, "{\"mcp\":{\"status\":200,\"body\":\"{}\",\"headers\":{\"Set-Cookie\":\"a=b\","
	    "\"WWW-Authenticate\":\"Bearer error=x\",\"Alt-Svc\":\"h3=:443\",\"X-Other\":\"stays\","
	    "\"Content-Type\":\"application/json\"}},\"times\":1}");
	ask.fields = "Authorization: Bearer mine\r\nCookie: a=b\r\nProxy-Authorization: Basic eA==\r\n";
	ck_assert_int_eq(rpc(&ask, discover, &r, 5000), 0);
	ck_assert_int_eq(r.status, 200);
	ck_assert_ptr_null(reply_field(&r, "Set-Cookie").p);
	ck_assert_ptr_null(reply_field(&r, "WWW-Authenticate").p);
	ck_assert_ptr_null(reply_field(&r, "Alt-Svc").p);
	ck_assert(slice_eq(reply_field(&r, "X-Other"), "stays"));
	reply_free(&r);
	end();
}
END_TEST

START_TEST(b3_due_is_sent_at_once_beside_the_refresh)
{
	start(NULL);
	import(a, "", 20, true);			/* lifetime unknown: due 30 s before */
	wall_fault(w, "{\"token\":{\"hold\":true},\"times\":1}");
	ck_assert_str_eq(asked(5000), "");
	ck_assert(wall_wait(w, "token.requests", 1, 5000));
	ck_assert_str_eq(asked(5000), "");
	ck_assert_int_eq(wall_count(w, "token.requests"), 1);
	wall_do(w, "release", NULL);
	wait_status("generation", "2");
	ck_assert_str_eq(asked(5000), "");
	ck_assert_int_eq(wall_count(w, "token.requests"), 1);
	end();
}
END_TEST

START_TEST(b3_expired_waits)
{
	start(NULL);
	import(a, "", -5, true);
	ck_assert_str_eq(asked(5000), "");
	ck_assert_int_eq(wall_count(w, "token.requests"), 1);
	ck_assert_int_eq(wall_count(w, "auth.expired"), 0);
	end();
}
END_TEST

/* B1: garbage, 0 and nothing are unknown: never refreshed ahead. */
START_TEST(b1_expires_in_of_every_kind)
{
	static const char *const raw[] = { "0", "-5", "\\\"soon\\\"", "null", "[1]", "", "1e400" };
	char fault[128];

	start(NULL);
	for (size_t i = 0; i < nitems(raw); i++) {
		import(a, "", -5, true);
		wall_do(w, "reset", NULL);
		snprintf(fault, sizeof(fault), "{\"expires_in_raw\":\"%s\"}", raw[i]);
		wall_do(w, "set", fault);
		for (int n = 0; n < 3; n++)
			ck_assert_str_eq(asked(5000), "");
		ck_assert_int_eq(wall_count(w, "token.requests"), 1);
		wait_status("expires_at", "null");
	}
	wall_do(w, "reset", NULL);
	wall_do(w, "set", "{\"expires_in_raw\":\"\\\"3600\\\"\"}");
	import(a, "", -5, true);
	ck_assert_str_eq(asked(5000), "");
	cJSON *c = credential_of(a);
	ck_assert(cJSON_IsNumber(cJSON_GetObjectItem(c, "expires_at")));
	cJSON_Delete(c);
	end();
}
END_TEST

START_TEST(b4_no_timer_unless_asked_for)
{
	start(_i == 0 ? NULL : "\"refresh\":\"background\"");
	wall_do(w, "set", "{\"lifetime\":2}");
	import(a, "lifetime=2", 2, true);
	if (_i == 0) {
		int64_t until = now_ms() + 4000;

		while (now_ms() < until)
			pause_ms(100);
		ck_assert_int_eq(wall_count(w, "token.requests"), 0);
	} else {
		ck_assert(wall_wait(w, "token.requests", 2, 10000));
	}
	end();
}
END_TEST

START_TEST(c6_without_a_refresh_token)
{
	start(NULL);
	ck_assert_str_eq(asked(5000), "login_required");	/* nothing there at all */
	import(a, "", 3600, false);
	ck_assert_str_eq(asked(5000), "");
	wall_do(w, "expire", NULL);
	ck_assert_str_eq(asked(5000), "login_required");
	ck_assert_int_eq(wall_count(w, "token.requests"), 0);
	import(a, "", 3600, true);
	ck_assert_str_eq(asked(5000), "");
	end();
}
END_TEST

/* Table D: what the client sees at once, how many requests 3 calls cause, and whether a login mends it. */
START_TEST(d_table)
{
	static const struct {
		const char *fault;
		const char *reason;
		int requests;
	} rows[] = {
		{ "{\"token\":{\"status\":400,\"body\":\"{\\\"error\\\":\\\"invalid_grant\\\"}\"}}",
		    "login_required", 1 },
		{ "{\"token\":{\"status\":401,\"body\":\"{\\\"error\\\":\\\"invalid_client\\\"}\"}}",
		    "login_required", 1 },
		{ "{\"token\":{\"status\":400,\"body\":\"{\\\"error\\\":\\\"invalid_scope\\\"}\"}}",
		    "login_required", 1 },
		{ "{\"token\":{\"status\":403,\"body\":\"<html>no</html>\"}}", "login_required", 1 },
		{ "{\"token\":{\"status\":200,\"body\":\"{\\\"error\\\":\\\"invalid_grant\\\"}\"}}",
		    "login_required", 1 },
		{ "{\"token\":{\"status\":429,\"headers\":{\"Retry-After\":\"30\"},\"body\":\"{}\"}}",
		    "upstream_unreachable", 1 },
		{ "{\"token\":{\"status\":503,\"headers\":{\"Retry-After\":\"30\"},\"body\":\"{}\"}}",
		    "upstream_unreachable", 1 },
		{ "{\"token\":{\"status\":500,\"body\":\"{}\"}}", "upstream_unreachable", 2 },
		{ "{\"token\":{\"half_body\":true}}", "upstream_unreachable", 2 },
		{ "{\"token\":{\"reset_after_read\":true}}", "upstream_unreachable", 2 },
	};

	start(NULL);
	import(a, "", -5, true);
	wall_fault(w, rows[_i].fault);
	for (int i = 0; i < 3; i++)
		ck_assert_str_eq(asked(10000), rows[_i].reason);
	ck_assert_int_eq(wall_count(w, "token.requests"), rows[_i].requests);
	ck_assert_int_eq(wall_count(w, "token.replays"), 0);
	wall_do(w, "clear", NULL);
	import(a, "", 3600, true);
	ck_assert_str_eq(asked(5000), "");
	end();
}
END_TEST

/* A live token goes on being used while its refresh fails. */
START_TEST(d_a_live_token_serves_on)
{
	start(NULL);
	import(a, "", 20, true);
	wall_fault(w, "{\"token\":{\"status\":400,\"body\":\"{\\\"error\\\":\\\"invalid_grant\\\"}\"}}");
	for (int i = 0; i < 5; i++)
		ck_assert_str_eq(asked(5000), "");
	ck_assert(wall_wait(w, "token.requests", 1, 5000));
	wait_status("renewable", "false");
	ck_assert_str_eq(asked(5000), "");
	ck_assert_int_eq(wall_count(w, "token.requests"), 1);
	wait_status("machine", "\"IDLE\"");
	/* the mark is durable (D) */
	authd_kill(a);
	a = authd_start(w, NULL);
	ask.socket = authd_socket(a, "wall");
	ck_assert_str_eq(asked(5000), "");
	wait_status("renewable", "false");
	ck_assert_int_eq(wall_count(w, "token.requests"), 1);
	end();
}
END_TEST

/* D persist fails: serve from memory, keep the lock, retry the persist and never the refresh. */
START_TEST(d_persist_fails)
{
	const char *const strace[] = {
		"strace", "-f", "-qq", "-o", "/dev/null", "-e", "trace=fsync", "-e",
		"inject=fsync:error=ENOSPC:when=3..4", NULL
	};
	struct authd_options o = { .wrap = strace };
	char *log;

	start(NULL);
	import(a, "", -5, true);
	ck_assert_int_eq(authd_stop(a), 0);
	a = authd_start(w, &o);
	ask.socket = authd_socket(a, "wall");
	ck_assert_str_eq(asked(10000), "");			/* served from memory */
	wait_status("unpersisted", "true");
	ck_assert_str_eq(asked(5000), "");
	wait_status("unpersisted", "false");			/* persisted after all */
	ck_assert_int_eq(wall_count(w, "token.requests"), 1);
	log = authd_log(a);
	ck_assert_ptr_nonnull(strstr(log, "error upstream=wall"));
	free(log);
	authd_kill(a);
	a = authd_start(w, NULL);
	ask.socket = authd_socket(a, "wall");
	ck_assert_str_eq(asked(5000), "");
	ck_assert_int_eq(wall_count(w, "token.requests"), 1);
	ck_assert_int_eq(wall_count(w, "token.replays"), 0);
	end();
}
END_TEST

/* The same, and a logout may still delete what could not be saved. */
START_TEST(h1_logout_while_a_persist_is_owed)
{
	const char *const strace[] = {
		"strace", "-f", "-qq", "-o", "/dev/null", "-e", "trace=fsync", "-e",
		"inject=fsync:error=ENOSPC:when=3..400+2", NULL
	};
	struct authd_options o = { .wrap = strace };
	char path[512];

	start(NULL);
	import(a, "", -5, true);
	ck_assert_int_eq(authd_stop(a), 0);
	a = authd_start(w, &o);
	ask.socket = authd_socket(a, "wall");
	ck_assert_str_eq(asked(10000), "");
	wait_status("unpersisted", "true");
	ck_assert_int_eq(authd_remove(a, "wall") / 100, 2);
	ck_assert_str_eq(asked(5000), "login_required");
	store_file(path, sizeof(path), ".json");
	ck_assert_str_eq(path, "");
	wait_status("unpersisted", "false");
	end();
}
END_TEST

START_TEST(h1_logout_beside_a_refresh)
{
	struct shot shot, removal = { 0 };
	struct volley *v, *r;
	char path[512];

	start(NULL);
	import(a, "", -5, true);
	wall_fault(w, "{\"token\":{\"hold\":true},\"times\":1}");
	v = begin_asking(&shot);
	ck_assert(volley_until(v, w, "token.requests", 1, 5000));
	removal = (struct shot){ .socket = a->control, .method = "DELETE" };
	buf_adds(&removal.request, "DELETE /v1/token/wall HTTP/1.1\r\nHost: localhost\r\n\r\n");
	r = volley_start(&removal, 1);
	volley_run(r, 200);
	wall_do(w, "release", NULL);
	ck_assert_uint_eq(volley_run(r, 10000), 1);
	ck_assert_int_eq(removal.reply.status / 100, 2);
	ck_assert_uint_eq(volley_run(v, 10000), 1);
	ck_assert_str_eq(asked(5000), "login_required");
	store_file(path, sizeof(path), ".json");
	ck_assert_str_eq(path, "");
	ck_assert_int_eq(wall_count(w, "token.requests"), 1);
	volley_free(v);
	volley_free(r);
	shots_free(&shot, 1);
	shots_free(&removal, 1);
	end();
}
END_TEST

START_TEST(h1_login_beside_a_refresh)
{
	struct shot shot, login = { 0 };
	struct volley *v, *l;
	cJSON *doc;
	char *text;

	start(NULL);
	import(a, "", -5, true);
	wall_fault(w, "{\"token\":{\"hold\":true},\"times\":1}");
	v = begin_asking(&shot);
	ck_assert(volley_until(v, w, "token.requests", 1, 5000));
	doc = wall_post(w, "issue?scope=second", NULL);
	text = cJSON_PrintUnformatted(doc);
	login = (struct shot){ .socket = a->control, .method = "POST" };
	buf_addf(&login.request, "POST /v1/token/wall HTTP/1.1\r\nHost: localhost\r\n"
	    "Content-Length: %zu\r\n\r\n%s", strlen(text), text);
	l = volley_start(&login, 1);
	volley_run(l, 200);
	wall_do(w, "release", NULL);
	ck_assert_uint_eq(volley_run(l, 10000), 1);
	ck_assert_int_eq(login.reply.status / 100, 2);
	ck_assert_uint_eq(volley_run(v, 10000), 1);
	wait_status("scope", "\"second\"");
	authd_kill(a);
	a = authd_start(w, NULL);
	ask.socket = authd_socket(a, "wall");
	ck_assert_str_eq(asked(5000), "");
	wait_status("scope", "\"second\"");
	free(text);
	cJSON_Delete(doc);
	volley_free(v);
	volley_free(l);
	shots_free(&shot, 1);
	shots_free(&login, 1);
	end();
}
END_TEST

/* H2: before the very next exchange, without a restart. */
START_TEST(h2_another_process_logs_in_and_out)
{
	struct authd_options o = { .runtime = "run2" };
	struct authd *b;

	start(NULL);
	b = authd_start(w, &o);
	ck_assert_str_eq(asked(5000), "login_required");
	for (int i = 0; i < 20; i++) {
		import(b, "", 3600, true);
		ck_assert_str_eq(asked(5000), "");
		ck_assert_int_eq(authd_remove(b, "wall") / 100, 2);
		ck_assert_str_eq(asked(5000), "login_required");
	}
	ck_assert_int_eq(wall_count(w, "token.requests"), 0);
	end();
}
END_TEST

/* C2, I2: somebody else keeps the lock: no provider call, a typed error, no way around it. */
START_TEST(c2_i2_lock_held_by_another_process)
{
	struct flock fl = { .l_type = F_WRLCK, .l_whence = SEEK_SET };
	char path[512];
	int fd;

	start(_i == 0 ? "\"timeouts\":{\"recovery\":1}" : "\"timeouts\":{\"recovery\":90}");
	import(a, "", -5, true);
	store_file(path, sizeof(path), ".lock");
	ck_assert_str_ne(path, "");
	fd = open(path, O_RDWR | O_CLOEXEC);
	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(fcntl(fd, F_OFD_SETLKW, &fl), 0);	/* the import may be letting it go */
	ck_assert_str_eq(asked(80000), _i == 0 ? "recovery_timeout" : "lock_timeout");
	ck_assert_int_eq(wall_count(w, "token.requests"), 0);
	close(fd);
	ck_assert_str_eq(asked(20000), "");
	ck_assert_int_eq(wall_count(w, "token.requests"), 1);
	end();
}
END_TEST

/* I7, C3: a torn file is set aside, said, is no logout, and hurts nobody else.  I4: two names, one URL. */
START_TEST(i7_torn_file)
{
	char path[512], bad[512], *text;
	struct ask other;
	cJSON *doc;

	w = world_new(0);
	world_upstream(w, "wall", NULL);
	a = authd_start(w, NULL);
	import(a, "scope=first", 3600, true);
	store_file(path, sizeof(path), ".json");
	ck_assert_int_eq(authd_stop(a), 0);
	world_upstream(w, "wall2", NULL);
	a = authd_start(w, NULL);
	doc = wall_post(w, "issue?scope=second", NULL);
	text = cJSON_PrintUnformatted(doc);
	ck_assert_int_eq(authd_import(a, "wall2", text) / 100, 2);
	free(text);
	cJSON_Delete(doc);
	ask = (struct ask){ .socket = authd_socket(a, "wall"), .version = "2026-07-28" };
	other = ask;
	other.socket = authd_socket(a, "wall2");
	ck_assert_str_eq(asked_of(&ask, 5000), "");
	wait_status("scope", "\"first\"");			/* I4 */
	authd_kill(a);
	text = file_read(path, NULL);
	text[strlen(text) / 2] = '\0';
	file_write(path, text);
	free(text);
	ck_assert_int_eq(chmod(path, 0600), 0);
	a = authd_start(w, NULL);
	ask.socket = authd_socket(a, "wall");
	other.socket = authd_socket(a, "wall2");
	ck_assert_str_eq(asked_of(&ask, 10000), "store");
	ck_assert_str_eq(asked_of(&other, 5000), "");
	ck_assert_str_eq(asked_of(&ask, 10000), "store");
	ck_assert_int_ne(access(path, F_OK), 0);
	store_file(bad, sizeof(bad), "lock");			/* the directory is still ours */
	text = authd_log(a);
	ck_assert_ptr_nonnull(strstr(text, "set aside"));
	free(text);
	ck_assert_int_eq(wall_count(w, "token.requests"), 0);
	import(a, "scope=third", 3600, true);
	ck_assert_str_eq(asked_of(&ask, 5000), "");
	end();
}
END_TEST

/* I6: what others could read or replace is refused, in words that help. */
START_TEST(i6_modes_and_owners)
{
	struct authd_options o = { .no_wait = true };
	char dir[PATH_SIZE + 32], *log;
	int status;

	start(NULL);
	import(a, "", 3600, true);
	ck_assert_int_eq(authd_stop(a), 0);
	snprintf(dir, sizeof(dir), "%s/mcp-authd/credentials", w->state);
	ck_assert_int_eq(chmod(dir, 0755), 0);
	a = authd_start(w, &o);
	status = authd_wait(a, 5000);
	ck_assert_int_gt(status, 0);
	log = authd_log(a);
	ck_assert_ptr_nonnull(strstr(log, "chmod"));
	free(log);
	end();
}
END_TEST

/* K: what was sent is awaited and persisted; nothing new begins; the exit is clean. */
START_TEST(k_sigterm_during_a_refresh)
{
	struct shot shot;
	struct volley *v;

	start(NULL);
	import(a, "", -5, true);
	wall_fault(w, "{\"token\":{\"delay_ms\":1500},\"times\":1}");
	v = begin_asking(&shot);
	ck_assert(volley_until(v, w, "token.requests", 1, 5000));
	ck_assert_int_eq(authd_stop(a), 0);
	volley_run(v, 1000);
	volley_free(v);
	shots_free(&shot, 1);
	a = authd_start(w, NULL);
	ask.socket = authd_socket(a, "wall");
	ck_assert_str_eq(asked(5000), "");
	ck_assert_int_eq(wall_count(w, "token.requests"), 1);
	ck_assert_int_eq(wall_count(w, "token.replays"), 0);
	end();
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("credential");
	TCase *tc = tcase_create("credential");
	SRunner *sr;
	int failed;

	tcase_set_timeout(tc, 120);
	tcase_add_test(tc, a1_nothing_of_the_token_comes_down_nothing_of_the_client_goes_up);
	tcase_add_test(tc, b1_expires_in_of_every_kind);
	tcase_add_test(tc, b3_due_is_sent_at_once_beside_the_refresh);
	tcase_add_test(tc, b3_expired_waits);
	tcase_add_loop_test(tc, b4_no_timer_unless_asked_for, 0, 2);
	tcase_add_test(tc, c6_without_a_refresh_token);
	tcase_add_loop_test(tc, d_table, 0, 10);
	tcase_add_test(tc, d_a_live_token_serves_on);
	tcase_add_test(tc, d_persist_fails);
	tcase_add_test(tc, h1_logout_while_a_persist_is_owed);
	tcase_add_test(tc, h1_logout_beside_a_refresh);
	tcase_add_test(tc, h1_login_beside_a_refresh);
	tcase_add_test(tc, h2_another_process_logs_in_and_out);
	tcase_add_loop_test(tc, c2_i2_lock_held_by_another_process, 0, 2);
	tcase_add_test(tc, i6_modes_and_owners);
	tcase_add_test(tc, i7_torn_file);
	tcase_add_test(tc, k_sigterm_during_a_refresh);
	suite_add_tcase(s, tc);
	sr = srunner_create(s);
	srunner_run_all(sr, CK_NORMAL);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed != 0;
}
