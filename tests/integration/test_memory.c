/*
 * Private memory under back-pressure (issue 1, must show 6; design 3): a
 * stalled reader of 200 MB costs at most 8 MiB, a body for an upstream that
 * does not read at most the held budget and 8 MiB, and all of it comes back.
 */
#include <check.h>
#include <stdio.h>

#include "support.h"

#define MB	(1024L * 1024L)

static struct world *w;
static struct authd *a;
static struct ask ask;
static char *session;

static void
begin(void)
{
	w = world_new(0);
	a = authd_start(w, &(struct authd_options){ .log_level = "info" });
	world_login(w, a, "wall", NULL);
	ask = (struct ask){ .socket = authd_socket(a, "wall") };
	ask.session = session = session_open(&ask);
}

static void
end(void)
{
	free(session);
	world_free(w);
}

/* ASan keeps what is freed; the figures are for the plain build. */
static bool
plain_build(void)
{
#ifdef __SANITIZE_ADDRESS__
	return false;
#else
	return true;
#endif
}

static int64_t
settled(int64_t below)
{
	int64_t m = 0;

	for (int i = 0; i < 500; i++) {
		m = authd_memory(a);
		if (m <= below)
			break;
		pause_ms(10);
	}
	return m;
}

START_TEST(down_200_mb_through_a_stalled_reader)
{
	struct buf request = { 0 }, body = { 0 };
	struct reply r = { 0 };
	struct client *c;
	int64_t start, peak = 0;
	size_t total = 0;

	begin();
	start = authd_memory(a);
	tool_json(&body, 1, "big", "{\"bytes\":200000000}");
	request_post(&request, &ask, body.p);
	c = client_open(ask.socket);
	ck_assert_int_eq(client_send(c, request.p, request.len, 5000), 0);
	ck_assert_int_eq(client_head(c, "POST", &r, 5000), 0);
	for (int i = 0; i < 100; i++) {			/* nobody reads: does it grow? */
		peak = authd_memory(a) > peak ? authd_memory(a) : peak;
		pause_ms(10);
	}
	for (;;) {
		int e = client_body(c, &r, 10000);

		total += r.body.len;
		buf_reset(&r.body);
		ck_assert_int_ge(e, 0);
		if (e == 0)
			break;
		if (total % (16 * MB) < MB)
			peak = authd_memory(a) > peak ? authd_memory(a) : peak;
	}
	ck_assert_uint_eq(total, 200000000);
	printf("down: start %lld KiB, peak +%lld KiB\n", (long long)start / 1024,
	    (long long)(peak - start) / 1024);
	if (plain_build())
		ck_assert_int_le(peak - start, 8 * MB);
	client_close(c);
	buf_free(&request);
	buf_free(&body);
	reply_free(&r);
	end();
}
END_TEST

/* 24 bodies of 4 MB each, held, then 8 of 32 MB that only pass through; the upstream reads none of it. */
START_TEST(up_to_an_upstream_that_does_not_read)
{
	enum { HELD = 15, LARGE = 8, N = HELD + LARGE };
	static char chunk[256 * 1024];
	struct client *c[N];
	size_t left[N];
	struct reply r = { 0 };
	char head[512];
	int64_t start, peak = 0, after;
	bool moved = true;

	begin();
	start = authd_memory(a);
	wall_fault(w, "{\"mcp\":{\"stall_read\":true}}");
	memset(chunk, ' ', sizeof(chunk));
	for (int i = 0; i < N; i++) {
		left[i] = i < HELD ? 4 * MB : 32 * MB;
		snprintf(head, sizeof(head), "POST /mcp HTTP/1.1\r\nHost: localhost\r\n"
		    "Content-Type: application/json\r\nAccept: application/json\r\n"
		    "Content-Length: %zu\r\n\r\n", left[i]);
		c[i] = client_open(ask.socket);
		ck_assert_int_eq(client_send(c[i], head, strlen(head), 5000), 0);
	}
	while (moved) {						/* until nobody takes any more */
		moved = false;
		for (int i = 0; i < N; i++) {
			size_t n = left[i] < sizeof(chunk) ? left[i] : sizeof(chunk);

			if (n == 0 || client_send(c[i], chunk, n, 300) != 0) {
				left[i] = 0;
				continue;
			}
			left[i] -= n;
			moved = true;
		}
		peak = authd_memory(a) > peak ? authd_memory(a) : peak;
	}
	for (int i = 0; i < N; i++)
		client_close(c[i]);
	wall_do(w, "clear", NULL);
	wall_do(w, "release", NULL);
	after = settled(start + 8 * MB);
	printf("up: start %lld KiB, peak +%lld KiB, after +%lld KiB\n", (long long)start / 1024,
	    (long long)(peak - start) / 1024, (long long)(after - start) / 1024);
	if (plain_build()) {
		ck_assert_int_ge(peak - start, 32 * MB);	/* it did hold them */
		ck_assert_int_le(peak - start, 64 * MB + 8 * MB);
		ck_assert_int_le(after - start, 8 * MB);
	}
	ck_assert_int_eq(tool(&ask, 3, "echo", NULL, &r, 5000), 0);
	ck_assert_int_eq(r.status, 200);
	reply_free(&r);
	end();
}
END_TEST

/* A held body goes up again, whole, after a 401; one that is too large says so. */
START_TEST(e4_held_bodies_are_sent_again)
{
	struct buf args = { 0 }, body = { 0 };
	struct reply r = { 0 };

	begin();
	buf_adds(&args, "{\"key\":\"held\",\"data\":\"");
	for (int i = 0; i < 3 * MB; i++)
		buf_add(&args, &"abcdefghijklmnopqrstuvwxyz"[i % 26], 1);
	buf_adds(&args, "\"}");
	wall_do(w, "expire", NULL);
	ask.key = "held";
	ck_assert_int_eq(tool(&ask, 5, "digest", args.p, &r, 20000), 0);
	ck_assert_int_eq(r.status, 200);
	ck_assert_str_eq(reply_reason(&r), "");
	ck_assert_ptr_nonnull(strstr(r.body.p, "3145728"));
	ck_assert_int_eq(wall_count(w, "sends.held"), 2);
	reply_free(&r);
	buf_consume(&args, args.len);
	buf_adds(&args, "{\"data\":\"");
	for (int i = 0; i < 6 * MB; i++)
		buf_add(&args, "x", 1);
	buf_adds(&args, "\"}");
	wall_do(w, "expire", NULL);
	ask.key = "large";
	ck_assert_int_eq(tool(&ask, 6, "digest", args.p, &r, 20000), 0);
	ck_assert_str_ne(reply_reason(&r), "");
	ck_assert_int_eq(wall_count(w, "sends.large"), 1);
	reply_free(&r);
	buf_free(&args);
	buf_free(&body);
	end();
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("memory");
	TCase *tc = tcase_create("memory");
	SRunner *sr;
	int failed;

	tcase_set_timeout(tc, 120);
	tcase_add_test(tc, down_200_mb_through_a_stalled_reader);
	tcase_add_test(tc, up_to_an_upstream_that_does_not_read);
	tcase_add_test(tc, e4_held_bodies_are_sent_again);
	suite_add_tcase(s, tc);
	sr = srunner_create(s);
	srunner_run_all(sr, CK_NORMAL);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed != 0;
}
