/*
 * Twelve daemons on one sealed store, four upstreams whose refresh tokens
 * rotate and are worth one use (issue 6, must show 4; contract C, H2, I3):
 * SOAK_SECONDS (30) long every access token is spoilt again and again and all
 * ask at once.  One token request for each spoilt token, no replay, everybody
 * answered.
 */
#include <check.h>
#include <stdio.h>
#include <sys/stat.h>

#include "support.h"

#define DAEMONS		12
#define UPSTREAMS	4
#define SHOTS		(DAEMONS * UPSTREAMS)

static const char request[] = "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"tools/list\",\"params\":"
    "{\"_meta\":{\"io.modelcontextprotocol/protocolVersion\":\"2026-07-28\"}}}";

static struct world *w;
static char sockets[SHOTS][PATH_SIZE];

static void
begin(void)
{
	char name[16], key[PATH_SIZE], top[PATH_SIZE + 64], runtime[16];
	struct authd_options o = { .runtime = runtime, .log_level = "info" };
	struct authd *a, *first = NULL;
	int d, u;

	w = world_new(0);
	snprintf(key, sizeof(key), "%.90s/key", w->dir);
	file_write(key, "kkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkk");
	ck_assert_int_eq(chmod(key, 0600), 0);
	for (u = 0; u < UPSTREAMS; u++) {
		snprintf(name, sizeof(name), "u%d", u);
		world_upstream(w, name, NULL);
	}
	snprintf(top, sizeof(top), "\"store\": { \"backend\": \"encrypted\", \"keyFile\": \"%s\" }", key);
	world_top(w, top);
	for (d = 0; d < DAEMONS; d++) {
		snprintf(runtime, sizeof(runtime), "run%d", d);
		a = authd_start(w, &o);
		first = first != NULL ? first : a;
		for (u = 0; u < UPSTREAMS; u++) {
			snprintf(name, sizeof(name), "u%d", u);
			if (a == first)
				world_login(w, a, name, NULL);
			snprintf(sockets[d * UPSTREAMS + u], PATH_SIZE, "%s", authd_socket(a, name));
		}
	}
}

/* All ask at once; every one is answered by the server. */
static void
everybody_asks(void)
{
	struct shot shots[SHOTS] = { 0 };
	struct ask ask;

	for (int i = 0; i < SHOTS; i++) {
		ask = (struct ask){ .socket = sockets[i], .version = "2026-07-28" };
		shots[i].socket = sockets[i];
		shots[i].method = "POST";
		request_post(&shots[i].request, &ask, request);
	}
	ck_assert_uint_eq(volley(shots, SHOTS, 50000), SHOTS);
	for (int i = 0; i < SHOTS; i++)
		ck_assert_msg(shots[i].reply.status == 200 &&
		    reply_reason(&shots[i].reply)[0] == '\0', "%s: %d %s", sockets[i],
		    shots[i].reply.status, reply_reason(&shots[i].reply));
	shots_free(shots, SHOTS);
}

START_TEST(i3_one_request_for_each_expiry)
{
	const char *seconds = getenv("SOAK_SECONDS");
	int64_t end, expiries = 0;

	begin();
	everybody_asks();
	ck_assert_int_eq(wall_count(w, "token.requests"), 0);
	end = now_ms() + (seconds != NULL ? atoi(seconds) : 30) * 1000LL;
	while (now_ms() < end) {
		wall_do(w, "expire", NULL);
		expiries++;
		everybody_asks();
		ck_assert_int_eq(wall_count(w, "token.requests"), expiries * UPSTREAMS);
		ck_assert_int_eq(wall_count(w, "token.replays"), 0);
	}
	printf("%lld expiries of %d tokens in %d processes: %lld token requests, 0 replays\n",
	    (long long)expiries, UPSTREAMS, DAEMONS, (long long)wall_count(w, "token.requests"));
	ck_assert_int_eq(wall_violations(w), 0);
	world_free(w);
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("soak_store");
	TCase *tc = tcase_create("store");
	SRunner *sr;
	int failed;

	setvbuf(stdout, NULL, _IOLBF, 0);
	tcase_set_timeout(tc, (getenv("SOAK_SECONDS") != NULL ? atoi(getenv("SOAK_SECONDS")) : 30) + 200);
	tcase_add_test(tc, i3_one_request_for_each_expiry);
	suite_add_tcase(s, tc);
	sr = srunner_create(s);
	srunner_run_all(sr, CK_NORMAL);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed != 0;
}
