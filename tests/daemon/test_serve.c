/* Local HTTP connections: a real loop, a socketpair, and a client that misbehaves. */
#include <netinet/in.h>
#include <sys/socket.h>

#include <check.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

#include "buf.h"
#include "serve.h"

#define DEADLINE	(10 * SEC)
#define IDLE_MS		60

/* What the handler saw, and how it is to behave. */
static struct {
	struct serve	*serve;		/* of the latest request */
	unsigned	 requests, ends, gone, closed, drained, lines;
	size_t		 body;
	bool		 pause;		/* serve_pause() within request() */
	bool		 complete;	/* serve_request_complete() at the latest request */
	struct buf	 targets;	/* "GET /a POST /b " */
} seen;

/* The client's side. */
static struct {
	int		 fd;
	bool		 eof;
	int		 error;
	bool		 deaf;		/* does not read */
	struct buf	 got;
} client;

static struct loop *loop;
static struct timer tick;
static int64_t give_up;
static bool (*condition)(void);

/* Driving */

static void
client_read(void)
{
	char chunk[65536];
	ssize_t n;

	while (!client.deaf && client.fd != -1 && !client.eof && client.error == 0) {
		n = recv(client.fd, chunk, sizeof(chunk), MSG_DONTWAIT);
		if (n > 0)
			ck_assert_int_eq(buf_add(&client.got, chunk, n), 0);
		else if (n == 0)
			client.eof = true;
		else if (errno == EAGAIN)
			return;
		else
			client.error = errno;
	}
}

static void
on_tick(_unused_ void *arg)
{
	client_read();
	if (condition() || loop_now(loop).boot > give_up)
		loop_stop(loop);
	else
		timer_set(&tick, 1);
}

/* Runs the loop until the condition holds, or for too long. */
static bool
until(bool (*cond)(void))
{
	condition = cond;
	give_up = loop_now(loop).boot + DEADLINE;
	timer_set(&tick, 0);
	loop_run(loop);
	return cond();
}

static int64_t turns_left;

static bool
turns_over(void)
{
	return turns_left-- <= 0;
}

/* Some turns, in which something should *not* happen. */
static void
some_turns(void)
{
	turns_left = 20;
	until(turns_over);
}

static void
send_text(const char *p, size_t n)
{
	ck_assert_int_eq(send(client.fd, p, n, MSG_NOSIGNAL), (ssize_t)n);
}

static void
say(const char *text)
{
	send_text(text, strlen(text));
}

static void
hang_up(void)
{
	close(client.fd);
	client.fd = -1;
}

static const char *
got(void)
{
	return client.got.len > 0 ? client.got.p : "";
}

static unsigned
count_of(const char *what)
{
	const char *p = got();
	unsigned n = 0;

	while ((p = strstr(p, what)) != NULL) {
		n++;
		p += strlen(what);
	}
	return n;
}

/* Conditions */

static bool client_ended(void) { return client.eof || client.error != 0; }
static bool was_gone(void) { return seen.gone > 0; }
static bool was_closed(void) { return seen.closed > 0; }
static bool was_drained(void) { return seen.drained > 0; }
static bool lines_came(void) { return seen.lines > 0; }
static bool one_request(void) { return seen.requests >= 1; }
static bool two_requests(void) { return seen.requests >= 2; }
static bool body_ended(void) { return seen.ends >= 1; }
static bool one_answer(void) { return count_of("{}") >= 1; }
static bool two_answers(void) { return count_of("{}") >= 2; }
static bool three_answers(void) { return count_of("{}") >= 3; }

/* The handler: /now is answered at once, all else by the test */

static void
answer_now(struct serve *s)
{
	serve_json(s, 200, "{}", 2, false);
}

static void
on_request(struct serve *s, const struct http1_head *h)
{
	seen.serve = s;
	seen.requests++;
	seen.complete = serve_request_complete(s);
	ck_assert_int_eq(buf_addf(&seen.targets, "%.*s %.*s ", (int)h->method.n, h->method.p,
	    (int)h->target.n, h->target.p), 0);
	if (seen.pause)
		serve_pause(s);
	if (slice_eq(h->target, "/now"))
		answer_now(s);
}

static void
on_body(_unused_ struct serve *s, _unused_ const char *p, size_t n)
{
	seen.body += n;
}

static void
on_body_end(struct serve *s)
{
	ck_assert(serve_request_complete(s));
	seen.ends++;
}

static void
on_drained(_unused_ struct serve *s)
{
	seen.drained++;
}

static void
on_gone(struct serve *s)
{
	seen.gone++;
	/* Forbidden, and harmless all the same. */
	answer_now(s);
}

static void
on_closed(struct serve *s)
{
	ck_assert_ptr_eq(serve_data(s), &seen);
	seen.closed++;
}

/* Lines: "pause" takes no more than itself, "close" ends it, what else comes is said back. */
static size_t
on_lines(struct serve *s, const char *p, size_t n)
{
	seen.serve = s;
	seen.lines++;
	if (n == 0) {
		serve_line(s, "end", 3);
		serve_close(s);
		return 0;
	}
	if (n >= 6 && memcmp(p, "{pause", 6) == 0) {
		serve_pause(s);
		return 6;
	}
	serve_line(s, p, n);
	serve_turn(s);
	if (memmem(p, n, "close", 5) != NULL)
		serve_close(s);
	return n;
}

static const struct serve_handler handler = {
	on_request, on_body, on_body_end, on_drained, on_gone, on_closed, on_lines
};

static const struct serve_limits usual = { .header_bytes = 4096, .body_bytes = 1000000 };

/* What callback does: TCP over loopback. */
static void
connect_tcp(int fds[2])
{
	struct sockaddr_in sin = {
		.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
	};
	socklen_t n = sizeof(sin);
	int l = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	fds[1] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	ck_assert_int_eq(bind(l, (struct sockaddr *)&sin, n), 0);
	ck_assert_int_eq(listen(l, 1), 0);
	ck_assert_int_eq(getsockname(l, (struct sockaddr *)&sin, &n), 0);
	ck_assert_int_eq(connect(fds[1], (struct sockaddr *)&sin, n), 0);
	fds[0] = accept4(l, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	ck_assert_int_ne(fds[0], -1);
	close(l);
}

static struct serve *
connect_with(const struct serve_limits *limits)
{
	struct serve *s;
	int fds[2];

	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fds), 0);
	client.fd = fds[1];
	client.eof = false;
	client.error = 0;
	buf_reset(&client.got);
	s = serve_open(loop, fds[0], limits, &handler, &seen);
	ck_assert_ptr_nonnull(s);
	return s;
}

static void
begin(void)
{
	loop = loop_new();
	ck_assert_ptr_nonnull(loop);
	timer_init(&tick, loop, on_tick, NULL);
	memset(&seen, 0, sizeof(seen));
	memset(&client, 0, sizeof(client));
	client.fd = -1;
}

static void
setup(void)
{
	begin();
	connect_with(&usual);
}

/* Every connection must end, with closed() called once. */
static void
teardown(void)
{
	if (client.fd != -1)
		hang_up();
	ck_assert(until(was_closed));
	ck_assert_uint_eq(seen.closed, 1);
	buf_free(&seen.targets);
	buf_free(&client.got);
	loop_free(loop);
}

#define GET(path)	"GET " path " HTTP/1.1\r\nHost: x\r\n\r\n"
#define POST(path, n)	"POST " path " HTTP/1.1\r\nHost: x\r\nContent-Length: " n "\r\n"

/* Requests and answers */

START_TEST(keep_alive)
{
	say(GET("/now"));
	ck_assert(until(one_answer));
	ck_assert_str_eq(got(), "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
	    "Content-Length: 2\r\n\r\n{}");
	say(POST("/now", "3") "\r\nabc");
	ck_assert(until(two_answers));
	say(GET("/now"));
	ck_assert(until(three_answers));
	ck_assert_str_eq(seen.targets.p, "GET /now POST /now GET /now ");
	ck_assert_int_eq(serve_peer(seen.serve)->uid, getuid());
	ck_assert_int_eq(serve_peer(seen.serve)->pid, getpid());
	ck_assert(!client.eof);
}
END_TEST

/* Nobody's uid, so nobody's rights. */
START_TEST(tcp_has_no_peer)
{
	int fds[2];

	connect_tcp(fds);
	client.fd = fds[1];
	ck_assert_ptr_nonnull(serve_open(loop, fds[0], &usual, &handler, &seen));
	say(GET("/now"));
	ck_assert(until(one_answer));
	ck_assert_int_eq(serve_peer(seen.serve)->uid, (uid_t)-1);
	ck_assert_int_eq(serve_peer(seen.serve)->pid, 0);
	/* A half-close looks like a close. */
	shutdown(client.fd, SHUT_WR);
	ck_assert(until(client_ended));
}
END_TEST

START_TEST(byte_by_byte)
{
	static const char text[] = POST("/later", "5") "\r\nhello" GET("/now");
	size_t i;

	turns_left = 0;
	for (i = 0; i < sizeof(text) - 1; i++) {
		send_text(text + i, 1);
		turns_left = 1;
		until(turns_over);
	}
	ck_assert(until(body_ended));
	ck_assert_uint_eq(seen.body, 5);
	ck_assert_uint_eq(seen.requests, 1);
	answer_now(seen.serve);
	ck_assert(until(two_answers));
}
END_TEST

START_TEST(pipelined_in_order_one_at_a_time)
{
	say(GET("/a") POST("/b", "3") "\r\nxyz" GET("/now") GET("/c"));
	ck_assert(until(one_request));
	some_turns();
	ck_assert_uint_eq(seen.requests, 1);
	ck_assert(seen.complete);
	answer_now(seen.serve);
	ck_assert(until(body_ended));
	ck_assert_uint_eq(seen.requests, 2);
	ck_assert(!seen.complete);
	ck_assert_uint_eq(seen.body, 3);
	answer_now(seen.serve);
	ck_assert(until(three_answers));
	ck_assert_str_eq(seen.targets.p, "GET /a POST /b GET /now GET /c ");
	ck_assert_uint_eq(seen.ends, 1);
}
END_TEST

START_TEST(answer_by_parts)
{
	say("GET /later HTTP/1.1\r\nHost: x\r\n\r\n");
	ck_assert(until(one_request));
	serve_head(seen.serve, 200);
	serve_field(seen.serve, slice_of("X-A"), slice_of("b"));
	serve_field(seen.serve, slice_of("X Bad"), slice_of("b"));
	serve_field(seen.serve, slice_of("X-Bad"), slice_of("b\r\nX-Worse: c"));
	serve_head_end(seen.serve, HTTP1_CHUNKED, 0);
	serve_write(seen.serve, "hello", 5);
	serve_turn(seen.serve);
	serve_write(seen.serve, "{}", 2);
	serve_end(seen.serve);
	ck_assert(until(one_answer));
	ck_assert_str_eq(got(), "HTTP/1.1 200 OK\r\nX-A: b\r\nTransfer-Encoding: chunked\r\n\r\n"
	    "5\r\nhello\r\n2\r\n{}\r\n0\r\n\r\n");
}
END_TEST

START_TEST(no_body_where_none_belongs)
{
	say("HEAD /later HTTP/1.1\r\nHost: x\r\n\r\n" GET("/b") GET("/c") GET("/now"));
	ck_assert(until(one_request));
	answer_now(seen.serve);
	ck_assert(until(two_requests));
	serve_head(seen.serve, 204);
	serve_head_end(seen.serve, HTTP1_LENGTH, 10);
	serve_write(seen.serve, "0123456789", 10);
	serve_end(seen.serve);
	some_turns();
	serve_head(seen.serve, 202);
	serve_head_end(seen.serve, HTTP1_NONE, 0);
	serve_end(seen.serve);
	ck_assert(until(one_answer));
	ck_assert_str_eq(got(),
	    "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n"
	    "HTTP/1.1 204 No Content\r\n\r\n"
	    "HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\n\r\n"
	    "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}");
}
END_TEST

START_TEST(http_1_0)
{
	say("GET /now HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
	ck_assert(until(one_answer));
	ck_assert_uint_eq(count_of("Connection: keep-alive\r\n"), 1);
	say("GET /later HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
	ck_assert(until(two_requests));
	serve_head(seen.serve, 200);
	serve_head_end(seen.serve, HTTP1_CHUNKED, 0);
	serve_write(seen.serve, "plain", 5);
	serve_end(seen.serve);
	ck_assert(until(client_ended));
	ck_assert_int_eq(client.error, 0);
	ck_assert_uint_eq(count_of("chunked"), 0);
	ck_assert_uint_eq(count_of("Connection: close\r\n\r\nplain"), 1);
}
END_TEST

START_TEST(connection_close_is_obeyed)
{
	say("GET /now HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n" GET("/now"));
	ck_assert(until(client_ended));
	ck_assert_uint_eq(seen.requests, 1);
	ck_assert_uint_eq(count_of("Connection: close\r\n"), 1);
}
END_TEST

START_TEST(broken_promises)
{
	say(GET("/a"));
	ck_assert(until(one_request));
	serve_head(seen.serve, 200);
	serve_head_end(seen.serve, HTTP1_LENGTH, 2);
	serve_write(seen.serve, "{}too much", 10);
	serve_end(seen.serve);
	ck_assert(until(one_answer));
	ck_assert_uint_eq(count_of("too"), 0);
	say(GET("/b"));
	ck_assert(until(two_requests));
	serve_head(seen.serve, 200);
	serve_head_end(seen.serve, HTTP1_LENGTH, 10);
	serve_write(seen.serve, "short", 5);
	serve_turn(seen.serve);
	serve_end(seen.serve);
	ck_assert(until(client_ended));
	ck_assert_uint_eq(seen.gone, 0);
}
END_TEST

/* Bad input */

static const struct {
	const char *text;
	int	    status;
	const char *word;
} bad[] = {
	{ "GET / HTTP/1.1\n\n", 400, "bad_request" },
	{ "nonsense\r\n\r\n", 400, "bad_request" },
	{ "GET / HTTP/2.0\r\nHost: x\r\n\r\n", 505, "http_version" },
	{ "GET / HTTP/1.1\r\n\r\n", 400, "bad_request" },
	{ "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n", 400,
	    "bad_request" },
	{ "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: +2\r\n\r\nab", 400, "bad_request" },
	{ "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0x5\r\nhello\r\n", 400,
	    "bad_request" },
	{ POST("/", "1000001") "\r\n", 413, "body_too_large" },
	{ POST("/", "1") "Expect: 200-ok\r\n\r\n", 417, "expectation_failed" },
};

START_TEST(malformed_gets_its_answer)
{
	char status[32], word[64], *junk;

	say(bad[_i].text);
	/* What still comes must not make the client lose the answer. */
	junk = calloc(1, 100000);
	memset(junk, 'x', 100000);
	send_text(junk, 100000);
	free(junk);
	ck_assert(until(client_ended));
	ck_assert_int_eq(client.error, 0);
	snprintf(status, sizeof(status), "HTTP/1.1 %d ", bad[_i].status);
	snprintf(word, sizeof(word), "{\"error\":\"%s\",\"message\":\"", bad[_i].word);
	ck_assert_uint_eq(count_of(status), 1);
	ck_assert_uint_eq(count_of("HTTP/1.1"), 1);
	ck_assert_uint_eq(count_of(word), 1);
	ck_assert_uint_eq(count_of("Connection: close\r\n"), 1);
	ck_assert_uint_eq(seen.gone, seen.requests);
}
END_TEST

START_TEST(head_too_large)
{
	char head[5000];

	memset(head, 'a', sizeof(head));
	memcpy(head, "GET / HTTP/1.1\r\nA: ", 19);
	send_text(head, sizeof(head));
	ck_assert(until(client_ended));
	ck_assert_uint_eq(count_of("HTTP/1.1 431 "), 1);
}
END_TEST

START_TEST(chunked_body_too_large)
{
	char *chunk;
	int i;

	chunk = calloc(1, 65536);
	say("POST /later HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n");
	for (i = 0; i < 17 && !client_ended(); i++) {
		say("10000\r\n");
		send_text(chunk, 65536);
		say("\r\n");
		some_turns();
	}
	free(chunk);
	ck_assert(until(client_ended));
	ck_assert_uint_eq(count_of("HTTP/1.1 413 "), 1);
	ck_assert_uint_le(seen.body, usual.body_bytes);
	ck_assert_uint_eq(seen.gone, 1);
}
END_TEST

static bool two_lines(void) { return count_of("{two}\n") == 1; }

/* The first byte decides; no idle time, no end but the handler's or the client's. */
START_TEST(lines_are_not_http)
{
	say("{one}");
	ck_assert(until(lines_came));
	say("{two}");
	ck_assert(until(two_lines));
	say("GET / HTTP/1.1\r\n\r\n close");
	ck_assert(until(client_ended));
	ck_assert_ptr_nonnull(strstr(got(), "{one}\n{two}\nGET / HTTP/1.1"));
	ck_assert_uint_eq(seen.requests, 0);
	hang_up();
	ck_assert(until(was_closed));
	ck_assert_uint_eq(seen.gone, 0);
}
END_TEST

/* What was not taken comes again, the half-close behind it. */
START_TEST(lines_paused)
{
	say("{pause{rest}");
	ck_assert_int_eq(shutdown(client.fd, SHUT_WR), 0);
	some_turns();
	ck_assert_uint_eq(seen.lines, 1);
	serve_resume(seen.serve);
	ck_assert(until(client_ended));
	ck_assert_str_eq(got(), "{rest}\nend\n");
	ck_assert_uint_eq(seen.gone, 0);
}
END_TEST

START_TEST(lines_left)
{
	say("{one}");
	ck_assert(until(lines_came));
	hang_up();
	ck_assert(until(was_closed));
	ck_assert_uint_eq(seen.gone, 1);
}
END_TEST

/* Expect */

static bool got_continue(void) { return count_of("HTTP/1.1 100 Continue\r\n\r\n") == 1; }

START_TEST(continue_is_sent_when_wanted)
{
	say(POST("/later", "3") "Expect: 100-continue\r\n\r\n");
	ck_assert(until(got_continue));
	say("abc");
	ck_assert(until(body_ended));
	answer_now(seen.serve);
	ck_assert(until(one_answer));
	ck_assert(got_continue());
	say(GET("/now"));
	ck_assert(until(two_answers));
}
END_TEST

START_TEST(continue_waits_for_resume)
{
	seen.pause = true;
	say(POST("/later", "3") "Expect: 100-continue\r\n\r\n");
	ck_assert(until(one_request));
	some_turns();
	ck_assert(!got_continue());
	serve_resume(seen.serve);
	ck_assert(until(got_continue));
}
END_TEST

START_TEST(final_answer_instead_of_continue)
{
	say(POST("/now", "3") "Expect: 100-continue\r\n\r\n");
	ck_assert(until(client_ended));
	ck_assert(!got_continue());
	ck_assert(one_answer());
	ck_assert_uint_eq(count_of("Connection: close\r\n"), 1);
}
END_TEST

START_TEST(expect_of_1_0_is_ignored)
{
	say("POST /now HTTP/1.0\r\nContent-Length: 1\r\nExpect: anything\r\n\r\na");
	ck_assert(until(client_ended));
	ck_assert(one_answer());
}
END_TEST

/* Early answers */

START_TEST(short_rest_is_discarded)
{
	char rest[1000] = { 0 };

	say(POST("/now", "1000") "\r\n");
	ck_assert(until(one_answer));
	send_text(rest, sizeof(rest));
	say(GET("/now"));
	ck_assert(until(two_answers));
	ck_assert_uint_eq(seen.body, 0);
	ck_assert(!client.eof);
}
END_TEST

START_TEST(long_rest_closes)
{
	char *rest = calloc(1, 150000);

	say(POST("/now", "900000") "\r\n");
	send_text(rest, 150000);
	free(rest);
	ck_assert(until(client_ended));
	ck_assert_int_eq(client.error, 0);
	ck_assert(one_answer());
	ck_assert_uint_eq(count_of("Connection: close\r\n"), 1);
}
END_TEST

/* The end of a chunked body cannot be foreseen: what comes beyond 64 KiB ends the connection. */
START_TEST(endless_rest_closes)
{
	char chunk[0x8000] = { 0 };
	int i;

	say("POST /now HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n");
	ck_assert(until(one_answer));
	ck_assert_uint_eq(count_of("Connection: close"), 0);
	for (i = 0; i < 4 && !client_ended(); i++) {
		say("8000\r\n");
		send_text(chunk, sizeof(chunk));
		say("\r\n");
		some_turns();
	}
	ck_assert(until(client_ended));
	ck_assert_int_eq(client.error, 0);
}
END_TEST

START_TEST(pause_holds_the_body)
{
	char body[50000] = { 0 };

	seen.pause = true;
	say(POST("/later", "50000") "\r\n");
	send_text(body, sizeof(body));
	ck_assert(until(one_request));
	some_turns();
	ck_assert_uint_eq(seen.body, 0);
	serve_resume(seen.serve);
	ck_assert(until(body_ended));
	ck_assert_uint_eq(seen.body, 50000);
	answer_now(seen.serve);
	ck_assert(until(one_answer));
}
END_TEST

/* F4: half-close and hang-up */

static void
begin_stream(void)
{
	serve_head(seen.serve, 200);
	serve_head_end(seen.serve, HTTP1_CHUNKED, 0);
	serve_write(seen.serve, "data", 4);
	serve_turn(seen.serve);
}

static bool got_stream(void) { return count_of("data") > 0; }

START_TEST(f4_half_close_is_answered)
{
	say(GET("/a") GET("/now"));
	shutdown(client.fd, SHUT_WR);
	ck_assert(until(one_request));
	some_turns();
	ck_assert_uint_eq(seen.gone, 0);
	ck_assert(!client_ended());
	answer_now(seen.serve);
	ck_assert(until(client_ended));
	ck_assert_uint_eq(count_of("{}"), 2);
	ck_assert_int_eq(client.error, 0);
	ck_assert_uint_eq(seen.gone, 0);
}
END_TEST

START_TEST(f4_half_close_inside_a_request)
{
	say(_i == 0 ? "GET / HT" : POST("/later", "10") "\r\nabc");
	shutdown(client.fd, SHUT_WR);
	ck_assert(until(client_ended));
	ck_assert_uint_eq(count_of("HTTP/1.1 400 "), 1);
	ck_assert_uint_eq(seen.gone, (unsigned)_i);
}
END_TEST

START_TEST(f4_hang_up_while_pending)
{
	say(_i == 0 ? GET("/later") : POST("/later", "10") "\r\nabc");
	ck_assert(until(one_request));
	some_turns();
	ck_assert_uint_eq(seen.gone, 0);
	hang_up();
	ck_assert(until(was_gone));
	ck_assert_uint_eq(seen.gone, 1);
}
END_TEST

START_TEST(f4_hang_up_while_streaming)
{
	say(GET("/later"));
	ck_assert(until(one_request));
	begin_stream();
	/* Read or unread: the latter is a reset (ECONNRESET) for us. */
	client.deaf = _i == 1;
	if (_i == 0)
		ck_assert(until(got_stream));
	hang_up();
	ck_assert(until(was_gone));
}
END_TEST

START_TEST(f4_close_after_half_close)
{
	bool streaming = _i & 1, unread = _i & 2;

	say(GET("/later"));
	shutdown(client.fd, SHUT_WR);
	ck_assert(until(one_request));
	if (streaming) {
		begin_stream();
		client.deaf = unread;
		if (!unread)
			ck_assert(until(got_stream));
	}
	some_turns();
	ck_assert_uint_eq(seen.gone, 0);
	hang_up();
	ck_assert(until(was_gone));
	ck_assert_uint_eq(seen.gone, 1);
}
END_TEST

static int64_t
cpu_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &ts);
	return ts.tv_sec * SEC + ts.tv_nsec / 1000000;
}

static int64_t pass_until;

static bool
time_passed(void)
{
	return loop_now(loop).boot >= pass_until;
}

/* What nobody reads stays readable: half-closed (0), paused with data (1). */
START_TEST(f4_waiting_does_not_spin)
{
	int64_t before;

	seen.pause = _i == 1;
	if (_i == 0) {
		say(GET("/later"));
		shutdown(client.fd, SHUT_WR);
	} else {
		say(POST("/later", "10") "\r\n");
	}
	ck_assert(until(one_request));
	if (_i == 1)
		say("abc");
	some_turns();
	before = cpu_ms();
	pass_until = loop_now(loop).boot + 400;
	ck_assert(until(time_passed));
	ck_assert_int_lt(cpu_ms() - before, 200);
	ck_assert_uint_eq(seen.gone, 0);
}
END_TEST

/* Reading has stopped: for a paused body (0), for too many pipelined bytes (1). */
START_TEST(f4_hang_up_while_not_reading)
{
	char junk[4096];
	int i;

	seen.pause = _i == 0;
	say(_i == 0 ? POST("/later", "900000") "\r\n" : GET("/later"));
	memset(junk, 'j', sizeof(junk));
	for (i = 0; i < 200; i++) {
		if (send(client.fd, junk, sizeof(junk), MSG_NOSIGNAL | MSG_DONTWAIT) == -1)
			break;
		if (i % 20 == 0)
			some_turns();
	}
	some_turns();
	ck_assert_int_eq(send(client.fd, junk, sizeof(junk), MSG_NOSIGNAL | MSG_DONTWAIT), -1);
	ck_assert_int_eq(errno, EAGAIN);
	ck_assert_uint_eq(seen.gone, 0);
	ck_assert_uint_eq(seen.body, 0);
	hang_up();
	ck_assert(until(was_gone));
}
END_TEST

START_TEST(hang_up_between_requests)
{
	say(GET("/now"));
	ck_assert(until(one_answer));
	hang_up();
	ck_assert(until(was_closed));
	ck_assert_uint_eq(seen.gone, 0);
}
END_TEST

START_TEST(abort_is_not_gone)
{
	say(GET("/later"));
	ck_assert(until(one_request));
	begin_stream();
	serve_abort(seen.serve);
	ck_assert(until(client_ended));
	ck_assert_uint_eq(seen.gone, 0);
	ck_assert_uint_eq(count_of("0\r\n\r\n"), 0);
}
END_TEST

/* Back-pressure */

static size_t promised;

static bool
all_there(void)
{
	return client.got.len >= promised;
}

/* One whole answer, its payload the pattern. */
static bool
answer_is_whole(void)
{
	size_t at, scanned = 0, bytes = 0, i, wrong = 0;
	struct http1_body body;
	struct http1_head h;
	enum http1_error e;
	struct slice data;
	ssize_t n;

	if (client.got.len == 0 || http1_response(client.got.p, client.got.len, &scanned, 4096, "GET",
	    &h, &e) != 1)
		return false;
	http1_body_init(&body, h.framing, h.length);
	for (at = h.size; at < client.got.len && !body.done; at += n) {
		n = http1_body(&body, client.got.p + at, client.got.len - at, &data, &e);
		ck_assert_int_gt(n, 0);
		for (i = 0; i < data.n; i++)
			wrong += (unsigned char)data.p[i] != bytes++ % 251;
	}
	ck_assert_uint_eq(wrong, 0);
	return body.done;
}

static void
pattern(char *p, size_t n, size_t from)
{
	size_t i;

	for (i = 0; i < n; i++)
		p[i] = (from + i) % 251;
}

/* Small pieces (0, 1) and large ones (2, 3), with length and chunked; the client does not read at first. */
START_TEST(slow_client_is_waited_for)
{
	static const size_t sizes[] = { 1000, 1000, 50000, 50000 };
	size_t n = sizes[_i], sent = 0, waited = 0;
	char *p = malloc(n);

	client.got.max = 8 * MIB;
	client.deaf = true;
	say(GET("/later"));
	ck_assert(until(one_request));
	serve_head(seen.serve, 200);
	promised = 40 * 50000;
	serve_head_end(seen.serve, _i & 1 ? HTTP1_CHUNKED : HTTP1_LENGTH, promised);
	while (sent < promised) {
		pattern(p, n, sent);
		sent += n;
		seen.drained = 0;
		if (!serve_write(seen.serve, p, n))
			continue;
		/* A Unix socket takes about 208 KiB, we hold 64 KiB and what one call brings. */
		ck_assert_uint_lt(sent - client.got.len, 512 * 1024);
		some_turns();
		ck_assert(!client.deaf || seen.drained == 0);
		client.deaf = false;
		ck_assert(until(was_drained));
		waited++;
	}
	ck_assert_uint_gt(waited, 0);
	client.deaf = false;
	serve_end(seen.serve);
	free(p);
	ck_assert(until(all_there));
	ck_assert(until(answer_is_whole));
	say(GET("/now"));
	ck_assert(until(two_requests));
}
END_TEST

/* Pipelined requests of a client that reads no answer do not pile up answers. */
START_TEST(unread_answers_stop_the_pipeline)
{
	char *text = malloc(20000);
	unsigned i;

	client.deaf = true;
	memset(text, 'a', 20000);
	for (i = 0; i < 60; i++)
		say(GET("/later"));
	for (i = 0; i < 60; i++) {
		some_turns();
		if (seen.requests == i)
			break;
		serve_json(seen.serve, 200, text, 20000, false);
	}
	free(text);
	ck_assert_uint_gt(i, 5);
	ck_assert_uint_lt(i, 30);
}
END_TEST

/* Time */

static void
setup_idle(void)
{
	static const struct serve_limits limits = {
		.header_bytes = 4096, .body_bytes = 100, .idle_ms = IDLE_MS
	};

	begin();
	connect_with(&limits);
}

START_TEST(idle_connection_is_closed)
{
	static const char *const texts[] = { "", GET("/now"), "GET / HT", POST("/later", "10") "\r\nabc" };
	int64_t start = loop_now(loop).boot;

	say(texts[_i]);
	ck_assert(until(client_ended));
	ck_assert_int_ge(loop_now(loop).boot - start, IDLE_MS - 1);
	ck_assert_uint_eq(seen.gone, _i == 3);
}
END_TEST

START_TEST(pending_is_not_idle)
{
	say(GET("/later"));
	ck_assert(until(one_request));
	pass_until = loop_now(loop).boot + 4 * IDLE_MS;
	ck_assert(until(time_passed));
	ck_assert(!client_ended());
	answer_now(seen.serve);
	ck_assert(until(one_answer));
	ck_assert(until(client_ended));
}
END_TEST

/* We made it wait (0), or it listens already (1): not idle, although its body is incomplete. */
START_TEST(incomplete_but_not_idle)
{
	seen.pause = _i == 0;
	say(POST("/later", "10") "\r\nabc");
	ck_assert(until(one_request));
	if (_i == 1)
		begin_stream();
	pass_until = loop_now(loop).boot + 4 * IDLE_MS;
	ck_assert(until(time_passed));
	ck_assert(!client_ended());
	ck_assert_uint_eq(seen.gone, 0);
	say("defghij");
	serve_resume(seen.serve);
	ck_assert(until(body_ended));
}
END_TEST

/* K: draining */

START_TEST(k_drain_closes_idle_connections)
{
	say(GET("/now"));
	ck_assert(until(one_answer));
	serve_drain(seen.serve);
	ck_assert(until(client_ended));
}
END_TEST

START_TEST(k_drain_answers_what_runs)
{
	say(GET("/later") GET("/now"));
	ck_assert(until(one_request));
	serve_drain(seen.serve);
	some_turns();
	ck_assert(!client_ended());
	answer_now(seen.serve);
	ck_assert(until(client_ended));
	ck_assert_uint_eq(count_of("{}"), 1);
	ck_assert_uint_eq(count_of("Connection: close\r\n"), 1);
	ck_assert_uint_eq(seen.gone, 0);
}
END_TEST

static Suite *
suite(void)
{
	Suite *s = suite_create("serve");
	TCase *t = tcase_create("serve"), *idle = tcase_create("idle"),
	    *tcp = tcase_create("tcp");

	tcase_set_timeout(t, 30);
	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, keep_alive);
	tcase_add_test(t, byte_by_byte);
	tcase_add_test(t, pipelined_in_order_one_at_a_time);
	tcase_add_test(t, answer_by_parts);
	tcase_add_test(t, no_body_where_none_belongs);
	tcase_add_test(t, http_1_0);
	tcase_add_test(t, connection_close_is_obeyed);
	tcase_add_test(t, broken_promises);
	tcase_add_loop_test(t, malformed_gets_its_answer, 0, nitems(bad));
	tcase_add_test(t, head_too_large);
	tcase_add_test(t, chunked_body_too_large);
	tcase_add_test(t, lines_are_not_http);
	tcase_add_test(t, lines_paused);
	tcase_add_test(t, lines_left);
	tcase_add_test(t, continue_is_sent_when_wanted);
	tcase_add_test(t, continue_waits_for_resume);
	tcase_add_test(t, final_answer_instead_of_continue);
	tcase_add_test(t, expect_of_1_0_is_ignored);
	tcase_add_test(t, short_rest_is_discarded);
	tcase_add_test(t, long_rest_closes);
	tcase_add_test(t, endless_rest_closes);
	tcase_add_test(t, pause_holds_the_body);
	tcase_add_test(t, f4_half_close_is_answered);
	tcase_add_loop_test(t, f4_half_close_inside_a_request, 0, 2);
	tcase_add_loop_test(t, f4_hang_up_while_pending, 0, 2);
	tcase_add_loop_test(t, f4_hang_up_while_streaming, 0, 2);
	tcase_add_loop_test(t, f4_close_after_half_close, 0, 4);
	tcase_add_loop_test(t, f4_waiting_does_not_spin, 0, 2);
	tcase_add_loop_test(t, f4_hang_up_while_not_reading, 0, 2);
	tcase_add_test(t, hang_up_between_requests);
	tcase_add_test(t, abort_is_not_gone);
	tcase_add_loop_test(t, slow_client_is_waited_for, 0, 4);
	tcase_add_test(t, unread_answers_stop_the_pipeline);
	tcase_add_test(t, k_drain_closes_idle_connections);
	tcase_add_test(t, k_drain_answers_what_runs);
	suite_add_tcase(s, t);
	tcase_add_checked_fixture(idle, setup_idle, teardown);
	tcase_add_loop_test(idle, idle_connection_is_closed, 0, 4);
	tcase_add_test(idle, pending_is_not_idle);
	tcase_add_loop_test(idle, incomplete_but_not_idle, 0, 2);
	suite_add_tcase(s, idle);
	tcase_add_checked_fixture(tcp, begin, teardown);
	tcase_add_test(tcp, tcp_has_no_peer);
	suite_add_tcase(s, tcp);
	return s;
}

int
main(void)
{
	SRunner *r = srunner_create(suite());
	int failed;

	srunner_run_all(r, CK_NORMAL);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed != 0;
}
