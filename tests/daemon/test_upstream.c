#include <semaphore.h>
#include <signal.h>
#include <stdio.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <check.h>
#include <curl/curl.h>

#include "buf.h"
#include "scripted.h"
#include "upstream.h"

#define REQUEST	"POST /mcp HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n"
#define ANSWER	"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
#define CALLS	32

int	clock_gettime(clockid_t, struct timespec *);

static int64_t slept;		/* seconds of suspend */

int
clock_gettime(clockid_t id, struct timespec *ts)
{
	int r = (int)syscall(SYS_clock_gettime, id, ts);

	if (id == CLOCK_BOOTTIME)
		ts->tv_sec += slept;
	return r;
}

static struct loop *loop;
static struct connector *connector;
static struct config limits;
static struct config_upstream config;
static struct upstream *up;
static sem_t go;

/* One call under test, and what it was told. */
struct probe {
	struct call	*call;
	bool		 ready, ended, failed, finished, room;
	bool		 stay;		/* ready: write nothing, end: keep the call */
	bool		 unsent;	/* do not say call_sent() */
	const char	*close_in;
	const char	*request;
	int		 heads, status, turns;
	enum http1_framing framing;
	struct buf	 body;
	struct failure	 failure;
	uint64_t	 written;
};

static struct probe probes[CALLS];
static char order[CALLS + 1];		/* in which ready() came, as letters */

static bool
closes(struct probe *p, const char *where)
{
	if (p->close_in == NULL || strcmp(p->close_in, where) != 0)
		return false;
	call_close(p->call);
	p->call = NULL;
	p->finished = true;
	return true;
}

static ssize_t
write_text(struct probe *p, const char *text)
{
	struct iovec iov = { (char *)text, strlen(text) };

	return call_write(p->call, &iov, 1);
}

static void
on_ready(void *arg)
{
	struct probe *p = arg;
	size_t n = strlen(order);

	loop_stop(loop);
	ck_assert(!p->ready);
	p->ready = true;
	order[n] = (char)('a' + (p - probes));
	if (closes(p, "ready") || p->stay)
		return;
	ck_assert_int_eq(write_text(p, p->request), strlen(p->request));
	if (!p->unsent)
		call_sent(p->call);
}

static void
on_room(void *arg)
{
	((struct probe *)arg)->room = true;
	loop_stop(loop);
}

static void
on_head(void *arg, const struct http1_head *h)
{
	struct probe *p = arg;

	loop_stop(loop);
	p->heads++;
	p->status = h->status;
	p->framing = h->framing;
	(void)closes(p, "head");
}

static void
on_data(void *arg, const char *s, size_t n)
{
	struct probe *p = arg;

	loop_stop(loop);
	ck_assert_uint_gt(n, 0);
	ck_assert_int_eq(buf_add(&p->body, s, n), 0);
	(void)closes(p, "data");
}

static void
on_turn(void *arg)
{
	struct probe *p = arg;

	loop_stop(loop);
	p->turns++;
	(void)closes(p, "turn");
}

static void
on_end(void *arg)
{
	struct probe *p = arg;

	loop_stop(loop);
	ck_assert(!p->ended && !p->failed);
	p->ended = p->finished = true;
	if (closes(p, "end") || p->stay)
		return;
	call_close(p->call);
	p->call = NULL;
}

static void
on_fail(void *arg, const struct failure *f, uint64_t written)
{
	struct probe *p = arg;

	loop_stop(loop);
	ck_assert(!p->ended && !p->failed);
	p->failed = p->finished = true;
	p->failure = *f;
	p->written = written;
	call_close(p->call);
	p->call = NULL;
}

static const struct call_ops ops = {
	on_ready, on_room, on_head, on_data, on_turn, on_end, on_fail
};

static struct probe *
begin_as(int i, enum lane lane, uint64_t client, const char *method)
{
	struct probe *p = &probes[i];
	const char *close_in = p->close_in, *request = p->request;
	bool stay = p->stay, unsent = p->unsent;

	buf_free(&p->body);
	*p = (struct probe){ .close_in = close_in, .stay = stay, .unsent = unsent };
	p->request = request != NULL ? request : REQUEST;
	p->call = call_open(up, lane, client, method, &ops, p);
	ck_assert_ptr_nonnull(p->call);
	ck_assert(!p->ready && !p->failed);
	return p;
}

static struct probe *
begin(int i)
{
	return begin_as(i, LANE_REQUEST, i, "POST");
}

static struct probe *
run_one(void)
{
	struct probe *p = begin(0);

	run_until(loop, &p->finished);
	return p;
}

static struct upstream_stats
stats(void)
{
	struct upstream_stats st;

	upstream_stats(up, &st);
	return st;
}

static void
open_url(const char *url, const char *ca)
{
	memset(&config, 0, sizeof(config));
	ck_assert_int_eq(url_parse(url, strlen(url), &config.url), 0);
	config.name = (char *)"test";
	config.tls.ca_file = (char *)ca;
	config.connect = 5 * SEC;
	up = upstream_new(loop, connector, &limits, &config);
	ck_assert_ptr_nonnull(up);
}

static struct server *
serve(enum server_kind kind, script_fn script)
{
	struct server *s = server_start(kind, script);

	open_url(server_url(s, "/mcp"), server_ca(s));
	return s;
}

static void
close_all(struct server *s)
{
	int i;

	for (i = 0; i < CALLS; i++) {
		call_close(probes[i].call);
		buf_free(&probes[i].body);
	}
	upstream_free(up);
	url_free(&config.url);
	run_for(loop, 0);
	if (s != NULL)
		server_stop(s);
}

static void
ok_script(struct peer *p, _unused_ int nth)
{
	while (peer_expect(p, "\r\n\r\n"))
		peer_say(p, ANSWER);
}

START_TEST(reuse)
{
	struct server *s = serve(_i ? TLS : PLAIN, ok_script);
	struct probe *p;
	int i;

	for (i = 0; i < 5; i++) {
		p = run_one();
		ck_assert_msg(p->ended, "%s", p->failure.detail);
		ck_assert_int_eq(p->status, 200);
		ck_assert_int_eq(p->heads, 1);
		ck_assert_str_eq(p->body.p, "ok");
	}
	ck_assert_uint_eq(stats().opened, 1);
	ck_assert_uint_eq(stats().reused, 4);
	ck_assert_uint_eq(stats().idle, 1);
	ck_assert_uint_eq(stats().links, 1);
	close_all(s);
}
END_TEST

/* What a server says to a POST, and what becomes of it. */
static const struct answer {
	const char	*say;
	int		 status;	/* 0 = no head is given */
	const char	*body;
	enum reason	 reason;	/* REASON_NONE = ends well */
	bool		 reused;	/* the link may be used again */
	const char	*method;
} answers[] = {
	{ ANSWER, 200, "ok", REASON_NONE, true, "POST" },
	{ "HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\n\r\n", 202, "", REASON_NONE, true, "POST" },
	{ "HTTP/1.1 204 No Content\r\n\r\n", 204, "", REASON_NONE, true, "POST" },
	{ "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", 200, "", REASON_NONE, true, "HEAD" },
	{ "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n1;x=y\r\nd\r\n0\r\nT: r\r\n\r\n",
	    200, "abcd", REASON_NONE, true, "POST" },
	{ "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early\r\nLink: x\r\n\r\n" ANSWER,
	    200, "ok", REASON_NONE, true, "POST" },
	/* Ends well, but the link is spent. */
	{ "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok", 200, "ok", REASON_NONE, false, "POST" },
	{ "HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok", 200, "ok", REASON_NONE, false, "POST" },
	{ "HTTP/1.1 200 OK\r\nKeep-Alive: max=3, timeout=1\r\nContent-Length: 2\r\n\r\nok", 200, "ok", REASON_NONE, false, "POST" },
	{ ANSWER "junk", 200, "ok", REASON_NONE, false, "POST" },
	{ "HTTP/1.1 200 OK\r\n\r\nto the end", 200, "to the end", REASON_NONE, false, "POST" },
	/* Cut. */
	{ "", 0, "", REASON_UPSTREAM_UNREACHABLE, false, "POST" },
	{ "HTTP/1.1 200 OK\r\nContent-", 0, "", REASON_UPSTREAM_UNREACHABLE, false, "POST" },
	{ "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nok", 200, "ok", REASON_UPSTREAM_UNREACHABLE, false, "POST" },
	{ "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n", 200, "abc", REASON_UPSTREAM_UNREACHABLE, false, "POST" },
	{ "HTTP/1.1 100 Continue\r\n\r\n", 0, "", REASON_UPSTREAM_UNREACHABLE, false, "POST" },
	/* Malformed. */
	{ "SSH-2.0-OpenSSH_9.2\r\n", 0, "", REASON_UPSTREAM_MALFORMED, false, "POST" },
	{ "HTTP/1.1 101 Switching\r\nUpgrade: x\r\n\r\n" ANSWER, 0, "", REASON_UPSTREAM_MALFORMED, false, "POST" },
	{ "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nok", 0, "", REASON_UPSTREAM_MALFORMED, false, "POST" },
	{ "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\nzz\r\n", 200, "abc", REASON_UPSTREAM_MALFORMED, false, "POST" },
};
static const struct answer *answer;
static bool bytewise;

static void
answer_script(struct peer *p, int nth)
{
	const char *s;

	while (peer_expect(p, "\r\n\r\n")) {
		if (nth > 0) {
			peer_say(p, ANSWER);
			continue;
		}
		for (s = answer->say; bytewise && *s != '\0'; s++) {
			peer_write(p, s, 1);
			usleep(200);
		}
		if (!bytewise)
			peer_say(p, answer->say);
		if (answer->reused)
			continue;
		/* Complete without our close: stay, so that only the daemon's judgement ends the link. */
		if (answer->reason == REASON_NONE && strcmp(answer->body, "to the end") != 0)
			(void)peer_wait_end(p);
		return;
	}
}

static void
one_answer(enum server_kind kind)
{
	struct server *s = serve(kind, answer_script);
	struct probe *p = begin_as(0, LANE_REQUEST, 1, answer->method);

	run_until(loop, &p->finished);
	ck_assert_msg(p->failure.reason == answer->reason, "%s: %s: %s", answer->say,
	    reason_name(p->failure.reason), p->failure.detail);
	ck_assert_int_eq(p->status, answer->status);
	ck_assert_str_eq(p->body.p != NULL ? p->body.p : "", answer->body);
	ck_assert((p->failure.detail[0] != '\0') == p->failed);
	if (p->failed)
		ck_assert_uint_eq(p->written, strlen(REQUEST));
	p = begin_as(0, LANE_REQUEST, 1, answer->method);
	run_until(loop, &p->finished);
	ck_assert_msg(p->ended, "%s: then %s", answer->say, p->failure.detail);
	ck_assert_uint_eq(stats().reused, answer->reused ? 1 : 0);
	close_all(s);
}

START_TEST(answers_whole)
{
	answer = &answers[_i];
	one_answer(PLAIN);
}
END_TEST

START_TEST(answers_bytewise)
{
	answer = &answers[_i];
	/* What comes late after an answer belongs to the next: nobody could tell. */
	if (strstr(answer->say, "junk") != NULL)
		return;
	bytewise = true;
	one_answer(TLS);
}
END_TEST

static void
cut_script(struct peer *p, _unused_ int nth)
{
	ck_assert(peer_expect(p, "\r\n\r\n"));
	peer_say(p, "HTTP/1.1 200 OK\r\n\r\nto the e");
	peer_cut(p);
}

/* Without a close_notify nobody knows whether that was all. */
START_TEST(cut_is_no_end)
{
	struct server *s = serve(TLS, cut_script);
	struct probe *p = run_one();

	ck_assert_str_eq(p->body.p, "to the e");
	ck_assert_int_eq(p->failure.reason, REASON_UPSTREAM_UNREACHABLE);
	ck_assert_str_eq(p->failure.detail, "the answer was cut");
	close_all(s);
}
END_TEST

static void
endless_head(struct peer *p, int nth)
{
	int i;

	ck_assert(peer_expect(p, "\r\n\r\n"));
	if (nth == 0)
		peer_say(p, "HTTP/1.1 200 OK\r\n");
	for (i = 0; i < 100; i++) {
		char line[1100];

		memset(line, 'x', sizeof(line));
		memcpy(line, "X: ", 3);
		memcpy(line + 1000, "\r\n", 3);
		peer_say(p, nth == 0 ? line : "HTTP/1.1 100 Continue\r\n\r\n");
	}
	(void)peer_wait_end(p);
}

START_TEST(bounds)
{
	struct server *s = serve(PLAIN, endless_head);
	struct probe *p = run_one();

	ck_assert_int_eq(p->failure.reason, REASON_UPSTREAM_MALFORMED);
	ck_assert_str_eq(p->failure.detail, http1_strerror(HTTP1_TOO_LARGE));
	p = run_one();
	ck_assert_int_eq(p->failure.reason, REASON_UPSTREAM_MALFORMED);
	ck_assert_str_eq(p->failure.detail, "unexpected 1xx answer");
	close_all(s);
}
END_TEST

/* Closes each connection after one answer, although it said keep-alive. */
static void
once_script(struct peer *p, _unused_ int nth)
{
	if (peer_expect(p, "\r\n\r\n"))
		peer_say(p, ANSWER);
}

START_TEST(stale_link)
{
	struct server *s = serve(_i ? TLS : PLAIN, once_script);
	struct probe *p;
	int i;

	for (i = 0; i < 3; i++) {
		p = run_one();
		ck_assert_msg(p->ended, "%s", p->failure.detail);
		/* The close is there, whether the loop has seen it or not. */
		if (i == 0)
			run_for(loop, 30);
		else
			usleep(30000);
	}
	ck_assert_uint_eq(stats().opened, 3);
	ck_assert_uint_eq(stats().reused, 0);
	close_all(s);
}
END_TEST

static void
timed_script(struct peer *p, _unused_ int nth)
{
	while (peer_expect(p, "\r\n\r\n"))
		peer_say(p, "HTTP/1.1 200 OK\r\nKeep-Alive: timeout=2\r\nContent-Length: 0\r\n\r\n");
}

START_TEST(idle_time)
{
	struct server *s = serve(PLAIN, timed_script);

	ck_assert(run_one()->ended);
	run_for(loop, 500);
	ck_assert_uint_eq(stats().idle, 1);
	ck_assert(run_one()->ended);
	ck_assert_uint_eq(stats().reused, 1);
	run_for(loop, 700);
	ck_assert_uint_eq(stats().idle, 1);
	run_for(loop, 400);
	ck_assert_uint_eq(stats().idle, 0);
	ck_assert_uint_eq(stats().links, 0);
	close_all(s);
}
END_TEST

START_TEST(unreachable)
{
	char url[64];
	struct probe *p;

	snprintf(url, sizeof(url), "http://127.0.0.1:%d/", closed_port());
	open_url(url, NULL);
	p = run_one();
	ck_assert(!p->ready);
	ck_assert_int_eq(p->failure.reason, REASON_UPSTREAM_UNREACHABLE);
	ck_assert_str_eq(p->failure.detail, "connection refused");
	ck_assert_uint_eq(p->written, 0);
	ck_assert_uint_eq(stats().links, 0);
	close_all(NULL);
}
END_TEST

/* Answers only when told, one answer for each post. */
static void
held_script(struct peer *p, _unused_ int nth)
{
	while (peer_expect(p, "\r\n\r\n")) {
		sem_wait(&go);
		peer_say(p, ANSWER);
	}
}

static void
release_scripts(void)
{
	int i;

	for (i = 0; i < 64; i++)
		sem_post(&go);
}

static void
wait_ready(size_t n)
{
	int i;

	for (i = 0; i < 1000 && strlen(order) < n; i++)
		run_for(loop, 5);
	ck_assert_uint_eq(strlen(order), n);
}

START_TEST(round_robin)
{
	static const uint64_t client[] = { 1, 1, 1, 1, 2, 2, 3 };
	struct server *s;
	size_t i;

	limits.limits.links = 1;
	s = serve(PLAIN, held_script);
	for (i = 0; i < nitems(client); i++)
		begin_as((int)i, LANE_REQUEST, client[i], "POST");
	wait_ready(1);
	ck_assert_uint_eq(stats().queued, 6);
	ck_assert_uint_eq(stats().links, 1);
	/* One that waits leaves. */
	call_close(probes[2].call);
	probes[2].call = NULL;
	ck_assert_uint_eq(stats().queued, 5);
	for (i = 0; i < 6; i++)
		sem_post(&go);
	wait_ready(6);
	ck_assert_str_eq(order, "abegdf");
	run_until(loop, &probes[5].finished);
	ck_assert_uint_eq(stats().opened, 1);
	close_all(s);
}
END_TEST

START_TEST(reserved_lane)
{
	struct server *s;
	int i;

	limits.limits.links = 2;
	s = serve(PLAIN, held_script);
	for (i = 0; i < 4; i++)
		begin(i);
	for (; i < 4 + LINKS_RESERVED + 1; i++)
		begin_as(i, LANE_RESERVED, 1, "POST");
	/* Two requests, all reserved but one. */
	wait_ready(2 + LINKS_RESERVED);
	run_for(loop, 20);
	ck_assert_uint_eq(stats().queued, 3);
	ck_assert(probes[0].ready && probes[1].ready && !probes[2].ready);
	ck_assert(probes[4].ready && probes[4 + LINKS_RESERVED - 1].ready);
	/* The next that is free is theirs, whoever had it. */
	call_close(probes[0].call);
	probes[0].call = NULL;
	wait_ready(3 + LINKS_RESERVED);
	ck_assert(probes[4 + LINKS_RESERVED].ready && !probes[2].ready);
	release_scripts();
	for (i = 1; i < 4 + LINKS_RESERVED + 1; i++) {
		run_until(loop, &probes[i].finished);
		ck_assert(probes[i].ended);
	}
	close_all(s);
}
END_TEST

START_TEST(streams)
{
	struct server *s;

	limits.limits.streams = 2;
	limits.limits.links = 1;
	s = serve(PLAIN, held_script);
	begin_as(0, LANE_STREAM, 1, "GET");
	begin_as(1, LANE_STREAM, 1, "GET");
	begin_as(2, LANE_STREAM, 1, "GET");
	run_until(loop, &probes[2].finished);
	ck_assert_int_eq(probes[2].failure.reason, REASON_LIMIT);
	ck_assert_uint_eq(stats().streams, 2);
	/* They take nothing from the requests. */
	begin(3);
	wait_ready(3);
	call_close(probes[0].call);
	probes[0].call = NULL;
	begin_as(4, LANE_STREAM, 1, "GET");
	wait_ready(4);
	ck_assert_uint_eq(stats().streams, 2);
	release_scripts();
	close_all(s);
}
END_TEST

static void
chunk_script(struct peer *p, _unused_ int nth)
{
	if (!peer_expect(p, "\r\n\r\n"))
		return;
	peer_say(p, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n3\r\ndef\r\n");
	usleep(10000);
	peer_say(p, "0\r\n\r\n");
	(void)peer_wait_end(p);
}

START_TEST(closed_inside)
{
	static const char *const where[] = { "ready", "head", "data", "turn", "end" };
	struct server *s = serve(PLAIN, chunk_script);
	struct probe *p;

	probes[0].close_in = where[_i];
	p = run_one();
	ck_assert_ptr_null(p->call);
	run_for(loop, 30);
	ck_assert(!p->failed);
	ck_assert(p->ended == (_i == 4));
	ck_assert(_i != 2 || p->body.len == 3);
	/* Unused or complete: kept; in the middle: closed. */
	ck_assert_uint_eq(stats().idle, _i == 0 || _i == 4 ? 1 : 0);
	ck_assert_uint_eq(stats().links, stats().idle);
	close_all(s);
}
END_TEST

START_TEST(closed_outside)
{
	struct server *s = serve(PLAIN, held_script);
	struct probe *p = begin(0);

	/* Connecting. */
	call_close(p->call);
	ck_assert_uint_eq(stats().links, 0);
	/* Granted a reused link, not told yet. */
	sem_post(&go);
	ck_assert(run_one()->ended);
	order[0] = '\0';
	p = begin(0);
	ck_assert_uint_eq(stats().reused, 1);
	call_close(p->call);
	ck_assert_uint_eq(stats().idle, 1);
	run_for(loop, 10);
	ck_assert(!p->ready);
	/* Sent, no answer yet. */
	p = begin(0);
	wait_ready(1);
	call_close(p->call);
	p->call = NULL;
	ck_assert_uint_eq(stats().links, 0);
	release_scripts();
	close_all(s);
}
END_TEST

/* An answer that is complete although the request is not. */
START_TEST(early_answer)
{
	struct server *s = serve(PLAIN, ok_script);
	struct probe *p;

	probes[0].unsent = true;
	p = run_one();
	ck_assert(p->ended);
	ck_assert_uint_eq(stats().links, 0);
	probes[0].unsent = false;
	probes[0].stay = true;
	p = begin(0);
	run_until(loop, &p->ready);
	ck_assert_int_gt(write_text(p, REQUEST), 0);
	run_until(loop, &p->ended);
	ck_assert_int_lt(write_text(p, "x"), 0);
	close_all(s);
}
END_TEST

static void
big_script(struct peer *p, _unused_ int nth)
{
	static char chunk[1024];
	int i;

	if (!peer_expect(p, "\r\n\r\n"))
		return;
	memset(chunk, 'x', sizeof(chunk));
	peer_say(p, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
	for (i = 0; i < 4096; i++) {
		peer_say(p, "400\r\n");
		peer_write(p, chunk, sizeof(chunk));
		peer_say(p, "\r\n");
	}
	peer_say(p, "0\r\n\r\n");
	(void)peer_expect(p, "\r\n\r\n");
	peer_say(p, ANSWER);
}

START_TEST(paused)
{
	struct server *s = serve(_i ? TLS : PLAIN, big_script);
	struct probe *p = begin(0);
	size_t had;

	while (p->body.len == 0)
		run_for(loop, 1);
	call_pause(p->call);
	had = p->body.len;
	run_for(loop, 50);
	ck_assert_uint_le(p->body.len, had + READ_BUFFER);
	ck_assert(!p->finished);
	call_resume(p->call);
	run_until(loop, &p->ended);
	ck_assert_uint_eq(p->body.len, 4096 * 1024);
	ck_assert_int_gt(p->turns, 0);
	ck_assert(run_one()->ended);
	ck_assert_uint_eq(stats().reused, 1);
	close_all(s);
}
END_TEST

/* Speaks before it is asked; a proxy's "408 Request Timeout", say. */
static void
forward_script(struct peer *p, _unused_ int nth)
{
	peer_say(p, "HTTP/1.1 408 Timeout\r\nContent-Length: 0\r\n\r\n");
	(void)peer_wait_end(p);
}

START_TEST(unasked)
{
	struct server *s = serve(PLAIN, forward_script);
	struct probe *p;

	probes[0].stay = true;
	p = run_one();
	ck_assert_int_eq(p->heads, 0);
	ck_assert_int_eq(p->failure.reason, REASON_UPSTREAM_UNREACHABLE);
	ck_assert_uint_eq(p->written, 0);
	close_all(s);
}
END_TEST

START_TEST(suspended)
{
	struct server *s = serve(PLAIN, held_script);
	struct upstream_stats st;

	sem_post(&go);
	sem_post(&go);
	begin(0);
	begin(1);
	run_until(loop, &probes[0].finished);
	run_until(loop, &probes[1].finished);
	begin(0);
	wait_ready(3);
	st = stats();
	ck_assert_uint_eq(st.links, 2);
	ck_assert_uint_eq(st.idle, 1);
	slept = 3;
	run_until(loop, &probes[0].finished);
	ck_assert_int_eq(probes[0].failure.reason, REASON_UPSTREAM_UNREACHABLE);
	ck_assert_uint_eq(probes[0].written, strlen(REQUEST));
	ck_assert_uint_eq(stats().links, 0);
	release_scripts();
	ck_assert(run_one()->ended);
	close_all(s);
}
END_TEST

START_TEST(many)
{
	struct server *s;
	int i, round;

	limits.limits.links = 8;
	s = serve(_i ? TLS : PLAIN, ok_script);
	for (round = 0; round < 20; round++) {
		for (i = 0; i < CALLS; i++)
			begin(i);
		for (i = 0; i < CALLS; i++) {
			run_until(loop, &probes[i].finished);
			ck_assert_msg(probes[i].ended, "%s", probes[i].failure.detail);
			ck_assert_str_eq(probes[i].body.p, "ok");
		}
		memset(order, 0, sizeof(order));
	}
	ck_assert_uint_le(stats().opened, 8);
	ck_assert_uint_eq(stats().opened + stats().reused, 20 * CALLS);
	close_all(s);
}
END_TEST

static void
setup(void)
{
	signal(SIGPIPE, SIG_IGN);
	curl_global_init(CURL_GLOBAL_DEFAULT);
	sem_init(&go, 0, 0);
	loop = loop_new();
	connector = connector_new(loop);
	ck_assert_ptr_nonnull(connector);
	limits.limits.links = LINKS;
	limits.limits.streams = STREAMS;
}

static void
teardown(void)
{
	connector_free(connector);
	loop_free(loop);
	curl_global_cleanup();
}

int
main(void)
{
	Suite *s = suite_create("upstream");
	TCase *tc = tcase_create("upstream");
	SRunner *r;
	int failed;

	tcase_set_timeout(tc, 30);
	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_loop_test(tc, reuse, 0, 2);
	tcase_add_loop_test(tc, answers_whole, 0, nitems(answers));
	tcase_add_loop_test(tc, answers_bytewise, 0, nitems(answers));
	tcase_add_test(tc, cut_is_no_end);
	tcase_add_test(tc, bounds);
	tcase_add_loop_test(tc, stale_link, 0, 2);
	tcase_add_test(tc, idle_time);
	tcase_add_test(tc, unreachable);
	tcase_add_test(tc, round_robin);
	tcase_add_test(tc, reserved_lane);
	tcase_add_test(tc, streams);
	tcase_add_loop_test(tc, closed_inside, 0, 5);
	tcase_add_test(tc, closed_outside);
	tcase_add_test(tc, early_answer);
	tcase_add_loop_test(tc, paused, 0, 2);
	tcase_add_test(tc, unasked);
	tcase_add_test(tc, suspended);
	tcase_add_loop_test(tc, many, 0, 2);
	suite_add_tcase(s, tc);
	r = srunner_create(s);
	srunner_run_all(r, CK_NORMAL);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed != 0;
}
