/*
 * A tool call is executed at most once, whatever happens to the connection
 * (issue 1, must show 5; contract E4; WIRE M8; FACTS: silent replay), and nothing of a
 * broken answer is passed off as whole (upstream_malformed, F4).
 */
#include <check.h>
#include <stdio.h>

#include "support.h"

static struct world *w;
static struct authd *a;
static struct ask ask;
static char *session;

static void
begin(void)
{
	w = world_new(0);
	a = authd_start(w, NULL);
	world_login(w, a, "wall", NULL);
	ask = (struct ask){ .socket = authd_socket(a, "wall") };
	ask.session = session = session_open(&ask);
}

static void
end(void)
{
	struct reply r = { 0 };

	wall_do(w, "clear", NULL);
	ck_assert_int_eq(tool(&ask, 99, "echo", NULL, &r, 5000), 0);	/* everyone else goes on */
	ck_assert_int_eq(r.status, 200);
	ck_assert_str_eq(reply_reason(&r), "");
	reply_free(&r);
	ck_assert_int_eq(wall_violations(w), 0);
	free(session);
	world_free(w);
}

/* What the fault makes of a call that is counted by its key. */
static const struct {
	const char *fault;
	const char *reason;	/* NULL: cut after the head, so only a broken connection is left */
	int sends;
} faults[] = {
	{ "{\"mcp\":{\"close_before\":true},\"times\":1}", "upstream_unreachable", -1 },
	{ "{\"mcp\":{\"close_during\":true},\"times\":1}", "upstream_unreachable", -1 },
	{ "{\"mcp\":{\"reset_before\":true},\"times\":1}", "upstream_unreachable", -1 },
	{ "{\"mcp\":{\"close_after_read\":true},\"times\":1}", "upstream_unreachable", 1 },
	{ "{\"mcp\":{\"reset_after_read\":true},\"times\":1}", "upstream_unreachable", 1 },
	{ "{\"mcp\":{\"half_head\":true},\"times\":1}", "upstream_unreachable", 1 },
	{ "{\"mcp\":{\"half_body\":true},\"times\":1}", NULL, 1 },
	{ "{\"mcp\":{\"half_chunked\":true},\"times\":1}", NULL, 1 },
	{ "{\"mcp\":{\"raw\":\"HTTP/1.1 200 OK\\nContent-Length: 2\\n\\n{}\"},\"times\":1}",
	    "upstream_malformed", 1 },
	{ "{\"mcp\":{\"raw\":\"HTTP/1.1 200 OK\\r\\nContent-Length: 2\\r\\n"
	    "Content-Length: 3\\r\\n\\r\\n{}\"},\"times\":1}", "upstream_malformed", 1 },
	{ "{\"mcp\":{\"raw\":\"HTTP/1.1 200 OK\\r\\nX: a\\r\\n b\\r\\n\\r\\n\"},\"times\":1}",
	    "upstream_malformed", 1 },
	{ "{\"mcp\":{\"raw\":\"SSH-2.0-OpenSSH_9.2\\r\\n\"},\"times\":1}",
	    "upstream_malformed", 1 },
	{ "{\"mcp\":{\"raw\":\"HTTP/1.1 200 OK\\r\\nTransfer-Encoding: chunked\\r\\n\\r\\nzz\\r\\n\"},"
	    "\"times\":1}", NULL, 1 },
	{ "{\"mcp\":{\"redirect\":{\"status\":302,\"location\":\"/elsewhere\"}},\"times\":1}",
	    "upstream_malformed", 1 },
	{ "{\"mcp\":{\"redirect\":{\"status\":307,\"location\":\"http://127.0.0.2:9/mcp\"}},"
	    "\"times\":1}", "upstream_malformed", 1 },
};

static void
once(const char *key, const char *reason, int sends)
{
	struct reply r = { 0 };
	char args[64], path[64];
	int e;

	ask.key = key;
	snprintf(args, sizeof(args), "{\"key\":\"%s\"}", key);
	e = tool(&ask, 5, "count", args, &r, 10000);
	if (reason != NULL) {
		ck_assert_int_eq(e, 0);
		ck_assert_int_eq(r.status, 200);
		ck_assert_str_eq(reply_reason(&r), reason);
	} else {
		ck_assert_int_lt(e, 0);				/* F4: an abortive close */
		ck_assert(!r.complete);
	}
	snprintf(path, sizeof(path), "sends.%s", key);
	if (sends >= 0)
		ck_assert_int_eq(wall_count(w, path), sends);
	ck_assert_int_le(wall_count(w, path), 1);
	snprintf(path, sizeof(path), "executions.%s", key);
	ck_assert_int_le(wall_count(w, path), 1);
	ask.key = NULL;
	reply_free(&r);
}

START_TEST(e4_never_replayed)
{
	char key[16];

	begin();
	wall_fault(w, faults[_i].fault);
	snprintf(key, sizeof(key), "fresh-%d", _i);
	once(key, faults[_i].reason, faults[_i].sends);
	end();
}
END_TEST

/* The same on a link that was used before. */
START_TEST(e4_never_replayed_on_a_reused_link)
{
	struct reply r = { 0 };
	char key[16];

	begin();
	for (int i = 0; i < 3; i++) {
		ck_assert_int_eq(tool(&ask, 1, "echo", NULL, &r, 5000), 0);
		reply_free(&r);
	}
	wall_fault(w, faults[_i].fault);
	snprintf(key, sizeof(key), "again-%d", _i);
	once(key, faults[_i].reason, faults[_i].sends);
	end();
}
END_TEST

/* Idle links that the server closes: never a call lost to one it could have seen, never one twice. */
START_TEST(e4_stale_idle_links)
{
	struct reply r = { 0 };
	int ok = 0;

	begin();
	wall_fault(w, "{\"mcp\":{\"close_idle_ms\":1}}");
	for (int i = 0; i < 200; i++) {
		char args[64];

		snprintf(args, sizeof(args), "{\"key\":\"stale-%d\"}", i);
		ck_assert_int_eq(tool(&ask, i, "count", args, &r, 5000), 0);
		ck_assert_int_eq(r.status, 200);
		ok += reply_reason(&r)[0] == '\0';
		reply_free(&r);
		if (i % 2 == 0)
			pause_ms(i % 5);
	}
	printf("stale idle links: %d of 200 calls answered, %lld executed, none twice\n", ok,
	    (long long)wall_count(w, "executed"));
	ck_assert_int_le(wall_count(w, "max_executions"), 1);
	ck_assert_int_ge(ok, 150);
	end();
}
END_TEST

/* A same-origin 307 is followed with the body, once, with the token. */
START_TEST(a2_same_origin_307_is_followed)
{
	struct reply r = { 0 };

	begin();
	wall_fault(w, "{\"mcp\":{\"redirect\":{\"status\":307,\"location\":\"/mcp/moved\"}},\"times\":1,"
	    "\"match\":{\"path\":\"/mcp\"}}");
	ck_assert_int_eq(tool(&ask, 5, "count", "{\"key\":\"moved\"}", &r, 5000), 0);
	ck_assert_int_eq(r.status, 200);
	ck_assert_str_eq(reply_reason(&r), "");
	ck_assert_int_eq(wall_count(w, "executions.moved"), 1);
	reply_free(&r);
	end();
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("once");
	TCase *tc = tcase_create("once");
	SRunner *sr;
	int failed;

	tcase_set_timeout(tc, 60);
	tcase_add_loop_test(tc, e4_never_replayed, 0, nitems(faults));
	tcase_add_loop_test(tc, e4_never_replayed_on_a_reused_link, 0, nitems(faults));
	tcase_add_test(tc, e4_stale_idle_links);
	tcase_add_test(tc, a2_same_origin_307_is_followed);
	suite_add_tcase(s, tc);
	sr = srunner_create(s);
	srunner_run_all(sr, CK_NORMAL);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed != 0;
}
