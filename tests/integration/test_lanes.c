/*
 * Who waits for whom (design 3, L13, L14): responses, notifications and DELETE
 * never queue behind requests or streams; requests go round-robin by client;
 * and what happens at the limits.
 */
#include <signal.h>
#include <sys/wait.h>

#include <check.h>
#include <stdio.h>
#include <unistd.h>

#include "scene.h"

#define LISTEN	"{\"jsonrpc\":\"2.0\",\"id\":5,\"method\":\"subscriptions/listen\",\"params\":" \
	"{\"_meta\":{\"io.modelcontextprotocol/protocolVersion\":\"2026-07-28\"}}}"

static struct scene s;

static void
end(void)
{
	scene_end(&s);
}

static void
pass_the_queue(void)
{
	struct ask other = s.ask, modern = { .socket = s.ask.socket, .version = "2026-07-28" };
	struct client *stream, *listen;
	struct buf b = BUF_INIT(0);
	struct reply r = { 0 };

	ask_rpc(&s.ask, "{\"jsonrpc\":\"2.0\",\"id\":\"x\",\"result\":{}}", &r, 202);
	ask_rpc(&s.ask, "{\"jsonrpc\":\"2.0\",\"id\":\"y\",\"error\":{\"code\":1,\"message\":\"\"}}", &r, 202);
	ask_rpc(&s.ask, "{\"jsonrpc\":\"2.0\",\"method\":\"notifications/cancelled\"}", &r, 202);
	ask_rpc(&s.ask, "[{\"jsonrpc\":\"2.0\",\"method\":\"notifications/z\"}]", &r, 202);
	ck_assert_int_ge(wall_count(s.w, "responses.x"), 1);
	ck_assert_int_ge(wall_count(s.w, "responses.y"), 1);
	stream = stream_open(&s.ask, NULL);			/* streams have their own share */
	listen = begin_rpc(&modern, LISTEN);
	ck_assert_int_eq(client_head(listen, "POST", &r, 5000), 0);
	ck_assert_int_eq(r.status, 200);
	client_close(stream);
	client_close(listen);
	other.session = "gone";
	request_delete(&b, &other);
	ck_assert_int_eq(roundtrip(s.ask.socket, "DELETE", b.p, b.len, &r, 5000), 0);
	ck_assert_int_eq(r.status, 404);			/* the server's answer */
	buf_free(&b);
	reply_free(&r);
}

/* Both links hang, a third request waits, and the reserved lane goes on. */
START_TEST(l14_reserved_never_queue)
{
	struct client *hangs[2], *waits[3];
	struct reply r = { 0 };

	s = scene_begin(0, NULL, "\"limits\":{\"links\":2}");
	for (int i = 0; i < 2; i++)
		hangs[i] = begin_tool(&s.ask, "hang", NULL);
	ck_assert(wall_wait_is(s.w, "hanging", 2, 5000));
	s.ask.key = "waiting";
	for (int i = 0; i < 3; i++)
		waits[i] = begin_tool(&s.ask, "count", NULL);
	s.ask.key = NULL;
	ck_assert(wait_queued(&s, 3, 5000));
	for (int i = 0; i < 20; i++)
		pass_the_queue();
	ck_assert_int_eq(wall_count(s.w, "sends.waiting"), 0);
	ck_assert_int_eq(wall_count(s.w, "hanging"), 2);
	wall_do(s.w, "release", NULL);
	for (int i = 0; i < 2; i++)
		hear(hangs[i], "POST", &r, 200);
	for (int i = 0; i < 3; i++)
		hear(waits[i], "POST", &r, 200);
	for (int i = 0; i < 3; i++)
		client_close(waits[i]);
	client_close(hangs[0]);
	client_close(hangs[1]);
	reply_free(&r);
	end();
}
END_TEST

/* Many of them at once beside the hanging ones: more than are reserved, and all come through. */
START_TEST(l14_many_responses_at_once)
{
	enum { N = 100 };
	struct client *hangs[2];
	struct shot shots[N] = { 0 };

	s = scene_begin(0, NULL, "\"limits\":{\"links\":2}");
	for (int i = 0; i < 2; i++)
		hangs[i] = begin_tool(&s.ask, "hang", NULL);
	ck_assert(wall_wait_is(s.w, "hanging", 2, 5000));
	for (int i = 0; i < N; i++) {
		char body[64];

		snprintf(body, sizeof(body), "{\"jsonrpc\":\"2.0\",\"id\":%d,\"result\":{}}", i);
		shots[i].socket = s.ask.socket;
		shots[i].method = "POST";
		request_post(&shots[i].request, &s.ask, body);
	}
	ck_assert_uint_eq(volley(shots, N, 10000), N);
	ck_assert_uint_eq(shots_status(shots, N, 202), N);
	shots_free(shots, N);
	wall_do(s.w, "release", NULL);
	client_close(hangs[0]);
	client_close(hangs[1]);
	end();
}
END_TEST

/* F1: who waits for a link in vain is told in time, and was not sent. */
START_TEST(f1_recovery_bounds_the_queue)
{
	struct client *hangs;

	s = scene_begin(0, "\"timeouts\":{\"recovery\":1}", "\"limits\":{\"links\":1}");
	hangs = begin_tool(&s.ask, "hang", NULL);
	ck_assert(wall_wait_is(s.w, "hanging", 1, 5000));
	s.ask.key = "late";
	ck_assert_str_eq(ask_tool(&s.ask, "count", NULL), "recovery_timeout");
	s.ask.key = NULL;
	wall_do(s.w, "release", NULL);
	ck_assert_str_eq(ask_tool(&s.ask, "echo", NULL), "");
	ck_assert_int_eq(wall_count(s.w, "sends.late"), 0);
	client_close(hangs);
	end();
}
END_TEST

/* Another process with n calls on n connections, until it is killed. */
static pid_t
greedy_client(int n)
{
	struct shot *shots = calloc(n, sizeof(*shots));
	struct ask ask = s.ask;
	struct buf b = BUF_INIT(0);
	pid_t pid = fork();

	ck_assert_int_ge(pid, 0);
	if (pid == 0) {
		ask.key = "greedy";
		tool_json(&b, 1, "sleep", "{\"ms\":50}");
		for (int i = 0; i < n; i++) {
			shots[i].socket = ask.socket;
			shots[i].method = "POST";
			request_post(&shots[i].request, &ask, b.p);
		}
		_exit(volley(shots, n, 60000) == (size_t)n ? 0 : 1);
	}
	free(shots);
	return pid;
}

/* One client's twenty are queued; another's one has its turn at once, not behind them. */
START_TEST(round_robin_between_clients)
{
	struct client *hangs, *mine;
	struct reply r = { 0 };
	int status;
	pid_t other;

	s = scene_begin(0, NULL, "\"limits\":{\"links\":1}");
	hangs = begin_tool(&s.ask, "hang", NULL);
	ck_assert(wall_wait_is(s.w, "hanging", 1, 5000));
	other = greedy_client(20);
	ck_assert(wait_queued(&s, 20, 5000));
	mine = begin_tool(&s.ask, "echo", NULL);
	ck_assert(wait_queued(&s, 21, 5000));
	wall_do(s.w, "release", NULL);
	hear(mine, "POST", &r, 200);
	ck_assert_int_le(wall_count(s.w, "sends.greedy"), 3);
	ck_assert_int_eq(waitpid(other, &status, 0), other);
	ck_assert_int_eq(status, 0);				/* and they are all answered */
	ck_assert_int_eq(wall_count(s.w, "sends.greedy"), 20);
	client_close(hangs);
	client_close(mine);
	reply_free(&r);
	end();
}
END_TEST

/* --- limits --- */

START_TEST(limit_of_streams)
{
	struct ask modern;
	struct client *last;
	struct buf b = BUF_INIT(0);
	struct reply r = { 0 };

	s = scene_begin(0, NULL, "\"limits\":{\"streams\":2}");	/* one is the bystander's */
	modern = (struct ask){ .socket = s.ask.socket, .version = "2026-07-28" };
	last = stream_open(&s.ask, NULL);
	request_get(&b, &s.ask, NULL);
	for (int i = 0; i < 3; i++) {
		ck_assert_int_eq(roundtrip(s.ask.socket, "GET", b.p, b.len, &r, 5000), 0);
		ck_assert_int_eq(r.status, 503);
		ck_assert_str_eq(reply_reason(&r), "limit");
		ck_assert(slice_eq(reply_field(&r, "Retry-After"), "1"));
		ask_rpc(&modern, LISTEN, &r, 200);
		ck_assert_str_eq(reply_reason(&r), "limit");
		ck_assert_ptr_nonnull(strstr(r.body.p, "\"id\":5,"));
	}
	ck_assert_str_eq(ask_tool(&s.ask, "sse", NULL), "");	/* no stream of that kind */
	client_close(last);
	ck_assert(wall_wait_is(s.w, "streams.left", 1, 2000));
	last = begin_rpc(&modern, LISTEN);			/* room again */
	ck_assert_int_eq(client_head(last, "POST", &r, 5000), 0);
	hear_event(last, "acknowledged");
	client_close(last);
	buf_free(&b);
	reply_free(&r);
	end();
}
END_TEST

/* Connections beyond the cap are told so, with their id, and end; those within it go on. */
static void
cap_of_three(const char *top)
{
	struct client *two[2], *beyond;
	struct buf b = BUF_INIT(0);
	struct reply r = { 0 };

	s = scene_begin(0, NULL, top);				/* one is the bystander's */
	request_post(&b, &s.ask, "{\"jsonrpc\":\"2.0\",\"id\":\"e\",\"method\":\"ping\"}");
	for (int i = 0; i < 2; i++)
		two[i] = client_open(s.ask.socket);
	for (int i = 0; i < 3; i++) {
		beyond = client_open(i == 1 ? s.a->shared : s.ask.socket);
		say(beyond, i == 1 ? "POST /wall HTTP/1.1\r\nHost: localhost\r\nContent-Length: 42\r\n\r\n"
		    "{\"jsonrpc\":\"2.0\",\"id\":\"e\",\"method\":\"ping\"}" : b.p);
		hear(beyond, "POST", &r, 200);
		ck_assert_str_eq(reply_reason(&r), "limit");
		ck_assert_ptr_nonnull(strstr(r.body.p, "\"id\":\"e\","));
		ck_assert(slice_eq(reply_field(&r, "Retry-After"), "1"));
		ck_assert(client_ended(beyond, 5000));
		client_close(beyond);
	}
	for (int i = 0; i < 2; i++) {
		ck_assert_int_eq(client_send(two[i], b.p, b.len, 5000), 0);
		hear(two[i], "POST", &r, 200);
		ck_assert_str_eq(reply_reason(&r), "");
		client_close(two[i]);
	}
	for (int64_t until = now_ms() + 5000; ; pause_ms(5)) {	/* their places are free again */
		ck_assert_int_lt(now_ms(), until);
		ask_rpc(&s.ask, "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"ping\"}", &r, 200);
		if (strcmp(reply_reason(&r), "") == 0)
			break;
	}
	buf_free(&b);
	reply_free(&r);
	end();
}

START_TEST(limit_of_clients)
{
	cap_of_three("\"limits\":{\"clients\":3}");
}
END_TEST

START_TEST(limit_of_clients_per_user)
{
	cap_of_three("\"limits\":{\"clientsPerUser\":3}");
}
END_TEST

/* A crowd far beyond the cap: everybody is answered or closed, and nobody within it suffers. */
START_TEST(limit_of_clients_under_a_crowd)
{
	enum { N = 400 };
	struct shot *shots = calloc(N, sizeof(*shots));
	size_t answered = 0;

	s = scene_begin(0, NULL, "\"limits\":{\"clients\":20}");
	for (int i = 0; i < N; i++) {
		shots[i].socket = s.ask.socket;
		shots[i].method = "POST";
		request_post(&shots[i].request, &s.ask, "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"ping\"}");
	}
	volley(shots, N, 20000);
	for (int i = 0; i < N; i++) {
		ck_assert_msg(shots[i].done, "%d was left hanging", i);
		answered += shots[i].error == 0;
	}
	ck_assert_uint_ge(answered, 19);
	shots_free(shots, N);
	free(shots);
	end();
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("lanes");
	TCase *tc = tcase_create("lanes");
	SRunner *sr;
	int failed;

	tcase_set_timeout(tc, 90);
	tcase_add_test(tc, l14_reserved_never_queue);
	tcase_add_test(tc, l14_many_responses_at_once);
	tcase_add_test(tc, f1_recovery_bounds_the_queue);
	tcase_add_test(tc, round_robin_between_clients);
	tcase_add_test(tc, limit_of_streams);
	tcase_add_test(tc, limit_of_clients);
	tcase_add_test(tc, limit_of_clients_per_user);
	tcase_add_test(tc, limit_of_clients_under_a_crowd);
	suite_add_tcase(suite, tc);
	sr = srunner_create(suite);
	srunner_run_all(sr, CK_NORMAL);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed != 0;
}
