/*
 * The redirect's receiver: a real loop, and browsers on 127.0.0.1 of which
 * most are not the one that is waited for (WIRE A12, A13).
 */
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include <check.h>
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include "buf.h"
#include "callback.h"
#include "log.h"

#define DEADLINE	(10 * SEC)
#define STATE		"state-of-this-flow"
#define CODE		"code-that-nobody-may-see"
#define OURS		"/callback?code=" CODE "&state=" STATE

struct browser {
	int		 fd;
	bool		 eof;
	int		 error;
	struct buf	 got;
};

/* What came, and what to do within came(). */
static struct {
	unsigned	 times;
	enum redirect_verdict verdict;
	char		 code[64], error[32];
	bool		 denied;
	enum { WAIT, ANSWER, CLOSE } then;
} seen;

static struct loop *loop;
static struct callback *callback;
static unsigned port;
static struct browser browsers[64];
static struct timer tick;
static int64_t give_up;
static bool (*condition)(const struct browser *);
static const struct browser *watched;

/* Driving */

static void
browser_read(struct browser *b)
{
	char chunk[4096];
	ssize_t n;

	while (b->fd != -1 && !b->eof && b->error == 0) {
		n = recv(b->fd, chunk, sizeof(chunk), MSG_DONTWAIT);
		if (n > 0)
			ck_assert_int_eq(buf_add(&b->got, chunk, n), 0);
		else if (n == 0)
			b->eof = true;
		else if (errno == EAGAIN)
			return;
		else
			b->error = errno;
	}
}

static void
on_tick(_unused_ void *arg)
{
	size_t i;

	for (i = 0; i < nitems(browsers); i++)
		browser_read(&browsers[i]);
	if (condition(watched) || loop_now(loop).boot > give_up)
		loop_stop(loop);
	else
		timer_set(&tick, 1);
}

static bool
until(bool (*cond)(const struct browser *), const struct browser *b)
{
	condition = cond;
	watched = b;
	give_up = loop_now(loop).boot + DEADLINE;
	timer_set(&tick, 0);
	loop_run(loop);
	return cond(b);
}

static int turns_left;

static bool
turns_over(_unused_ const struct browser *b)
{
	return turns_left-- <= 0;
}

/* Some turns, in which something should *not* happen. */
static void
some_turns(void)
{
	turns_left = 20;
	until(turns_over, NULL);
}

static int
dial(void)
{
	struct sockaddr_in sin = {
		.sin_family = AF_INET,
		.sin_port = htons(port),
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK),
	};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	ck_assert_int_ne(fd, -1);
	if (connect(fd, (struct sockaddr *)&sin, sizeof(sin)) == 0)
		return fd;
	close(fd);
	return -1;
}

static struct browser *
open_browser(size_t i)
{
	struct browser *b = &browsers[i];

	if (b->fd != -1)
		close(b->fd);
	buf_reset(&b->got);
	b->eof = false;
	b->error = 0;
	b->fd = dial();
	ck_assert_int_ne(b->fd, -1);
	return b;
}

static void
say(const struct browser *b, const char *text)
{
	ck_assert_int_eq(send(b->fd, text, strlen(text), MSG_NOSIGNAL), (ssize_t)strlen(text));
}

/* Sends a request; rest: fields and what follows the head, or NULL for the usual ones. */
static void
ask(const struct browser *b, const char *method, const char *target, const char *rest)
{
	char text[4096], usual[64];

	snprintf(usual, sizeof(usual), "Host: 127.0.0.1:%u\r\n\r\n", port);
	snprintf(text, sizeof(text), "%s %s HTTP/1.1\r\n%s", method, target,
	    rest != NULL ? rest : usual);
	say(b, text);
}

static bool ended(const struct browser *b) { return b->eof || b->error != 0; }
static bool came(_unused_ const struct browser *b) { return seen.times > 0; }

static const char *
text_of(const struct browser *b)
{
	return b->got.len > 0 ? b->got.p : "";
}

/* The whole answer is there, with that status. */
static void
answered(const struct browser *b, int status)
{
	char line[32];

	ck_assert(until(ended, b));
	ck_assert_int_eq(b->error, 0);
	snprintf(line, sizeof(line), "HTTP/1.1 %d ", status);
	ck_assert_msg(strncmp(text_of(b), line, strlen(line)) == 0, "not %d: %.60s", status, text_of(b));
}

static struct browser *
fetch(size_t i, const char *method, const char *target, const char *rest, int status)
{
	struct browser *b = open_browser(i);

	ask(b, method, target, rest);
	answered(b, status);
	return b;
}

static bool
shows(const struct browser *b, const char *what)
{
	return strstr(text_of(b), what) != NULL;
}

/* The real redirect still works. */
static void
flow_goes_on(void)
{
	struct browser *b;

	ck_assert_uint_eq(seen.times, 0);
	b = open_browser(nitems(browsers) - 1);
	ask(b, "GET", OURS, NULL);
	ck_assert(until(came, NULL));
	ck_assert_str_eq(seen.code, CODE);
	callback_answer(callback, PAGE_DONE, NULL);
	answered(b, 200);
	ck_assert(shows(b, "You are logged in to wiki"));
	ck_assert_uint_eq(seen.times, 1);
}

/* The flow's side */

static void
on_came(void *arg, enum redirect_verdict verdict, struct redirect *r)
{
	ck_assert_ptr_eq(arg, &seen);
	seen.times++;
	seen.verdict = verdict;
	snprintf(seen.code, sizeof(seen.code), "%s", r->code != NULL ? r->code : "");
	snprintf(seen.error, sizeof(seen.error), "%s", r->error);
	seen.denied = r->denied;
	/* Taken out: not freed by callback. */
	secret_free(r->code);
	r->code = NULL;
	if (seen.then == ANSWER)
		callback_answer(callback, PAGE_FAILED, "in came()");
	if (seen.then == CLOSE) {
		callback_close(callback);
		callback = NULL;
	}
}

static void
open_callback(const char *issuer, bool iss_required)
{
	const struct redirect_expected expected = {
		.state = STATE, .issuer = issuer, .iss_required = iss_required,
	};

	callback = callback_open(loop, 0, "wiki", &expected, on_came, &seen);
	ck_assert_ptr_nonnull(callback);
	ck_assert_int_eq(sscanf(callback_uri(callback), "http://127.0.0.1:%u/callback", &port), 1);
}

static void
begin(void)
{
	size_t i;

	loop = loop_new();
	ck_assert_ptr_nonnull(loop);
	timer_init(&tick, loop, on_tick, NULL);
	memset(&seen, 0, sizeof(seen));
	for (i = 0; i < nitems(browsers); i++)
		browsers[i] = (struct browser){ .fd = -1 };
}

static void
setup(void)
{
	begin();
	open_callback(NULL, false);
}

/* The end of a process: nothing waits for the farewell (and ASan sees whether all is freed). */
static void
teardown(void)
{
	size_t i;

	callback_close(callback);
	callback = NULL;
	callback_leave_all();
	timer_clear(&tick);
	loop_free(loop);
	for (i = 0; i < nitems(browsers); i++) {
		if (browsers[i].fd != -1)
			close(browsers[i].fd);
		buf_free(&browsers[i].got);
	}
}

/* The redirect */

START_TEST(the_redirect_comes_once)
{
	struct browser *b = open_browser(0);

	ask(b, "GET", OURS, NULL);
	ck_assert(until(came, NULL));
	ck_assert_int_eq(seen.verdict, REDIRECT_CODE);
	ck_assert_str_eq(seen.code, CODE);
	/* The browser waits. */
	some_turns();
	ck_assert_uint_eq(b->got.len, 0);
	ck_assert(!ended(b));
	callback_answer(callback, PAGE_DONE, NULL);
	answered(b, 200);
	ck_assert(shows(b, "You are logged in to wiki"));
	ck_assert(shows(b, "\r\nContent-Security-Policy: default-src 'none';"));
	ck_assert(shows(b, "\r\nCache-Control: no-store\r\n"));
	ck_assert(shows(b, "\r\nReferrer-Policy: no-referrer\r\n"));
	ck_assert(!shows(b, CODE));
	ck_assert(!shows(b, STATE));
	/* Harmless without anybody. */
	callback_answer(callback, PAGE_DONE, NULL);
	ck_assert_uint_eq(seen.times, 1);
}
END_TEST

START_TEST(a_refusal_comes_too)
{
	struct browser *b = open_browser(0);

	ask(b, "GET", "/callback?error=access_denied&error_description=%3Cb%3Ex&state=" STATE, NULL);
	ck_assert(until(came, NULL));
	ck_assert_int_eq(seen.verdict, REDIRECT_REFUSED);
	ck_assert(seen.denied);
	ck_assert_str_eq(seen.code, "");
	callback_answer(callback, PAGE_DENIED, NULL);
	answered(b, 200);
	ck_assert(shows(b, "Access to wiki was declined"));
}
END_TEST

/* A12: state is right, iss is not: that ends the flow, and nothing of it is shown. */
START_TEST(a12_a_wrong_issuer_comes_as_such)
{
	struct browser *b;

	callback_close(callback);
	open_callback("https://as.example", true);
	b = open_browser(0);
	ask(b, "GET", OURS "&iss=https%3A%2F%2Fevil.example&error_description=evil-text", NULL);
	ck_assert(until(came, NULL));
	ck_assert_int_eq(seen.verdict, REDIRECT_WRONG_ISSUER);
	ck_assert_str_eq(seen.code, "");
	callback_answer(callback, PAGE_FAILED, "another server answered");
	answered(b, 502);
	ck_assert(shows(b, "another server answered"));
	ck_assert(!shows(b, "evil"));
}
END_TEST

START_TEST(a12_the_right_issuer_is_fine)
{
	callback_close(callback);
	open_callback("https://as.example", true);
	ask(open_browser(0), "GET", OURS "&iss=https%3A%2F%2Fas.example", NULL);
	ck_assert(until(came, NULL));
	ck_assert_int_eq(seen.verdict, REDIRECT_CODE);
}
END_TEST

START_TEST(answers_within_came)
{
	struct browser *b = open_browser(0);

	seen.then = ANSWER;
	ask(b, "GET", OURS, NULL);
	answered(b, 502);
	ck_assert(shows(b, "in came()"));
}
END_TEST

START_TEST(closes_within_came)
{
	struct browser *b = open_browser(0);

	seen.then = CLOSE;
	ask(b, "GET", OURS, NULL);
	answered(b, 400);
	ck_assert(shows(b, "This login is over"));
	ck_assert_int_eq(dial(), -1);
}
END_TEST

START_TEST(later_requests_are_too_late)
{
	struct browser *first = open_browser(0), *b;

	ask(first, "GET", OURS, NULL);
	ck_assert(until(came, NULL));
	b = fetch(1, "GET", OURS, NULL, 400);
	ck_assert(shows(b, "This login is over"));
	callback_answer(callback, PAGE_DONE, NULL);
	answered(first, 200);
	fetch(1, "GET", OURS, NULL, 400);
	fetch(1, "GET", "/favicon.ico", NULL, 400);
	fetch(1, "HEAD", OURS, NULL, 400);
	ck_assert_uint_eq(seen.times, 1);
}
END_TEST

/* A tab closed (0) or killed (1) while the code is being exchanged. */
START_TEST(the_browser_may_leave)
{
	struct linger hard = { .l_onoff = _i, .l_linger = 0 };
	struct browser *b = open_browser(0);

	ask(b, "GET", OURS, NULL);
	ck_assert(until(came, NULL));
	ck_assert_int_eq(setsockopt(b->fd, SOL_SOCKET, SO_LINGER, &hard, sizeof(hard)), 0);
	close(b->fd);
	b->fd = -1;
	some_turns();
	callback_answer(callback, PAGE_DONE, NULL);
	some_turns();
	ck_assert(shows(fetch(1, "GET", OURS, NULL, 400), "This login is over"));
	ck_assert_uint_eq(seen.times, 1);
}
END_TEST

/* What is not the redirect */

static const char *const strays[] = {
	"/", "/favicon.ico", "/callback", "/callback?", "/callback/?code=" CODE "&state=" STATE,
	"/CALLBACK?code=" CODE "&state=" STATE, "//callback?code=" CODE "&state=" STATE,
	"/callback#code=" CODE "&state=" STATE, "/callbackx?code=" CODE "&state=" STATE,
	"http://127.0.0.1/callback?code=" CODE "&state=" STATE, "*",
	"/callback?code=" CODE, "/callback?state=" STATE, "/callback?code=" CODE "&state=",
	"/callback?code=" CODE "&state=" STATE "x", "/callback?code=" CODE "&state=another",
	"/callback?code=" CODE "&state=" STATE "&state=" STATE,
	"/callback?error=access_denied", "/callback?error=access_denied&state=another",
};

START_TEST(a13_wrong_path_or_state_gets_400)
{
	struct browser *b = fetch(0, "GET", strays[_i], NULL, 400);

	ck_assert(shows(b, "This is not part of the login"));
	ck_assert(!shows(b, CODE));
	ck_assert(!shows(b, STATE));
	flow_goes_on();
}
END_TEST

START_TEST(a13_head_takes_nothing)
{
	struct browser *b = fetch(0, "HEAD", OURS, NULL, 200);

	ck_assert_str_eq(strstr(text_of(b), "\r\n\r\n"), "\r\n\r\n");
	b = fetch(0, "HEAD", "/callback?code=" CODE "&state=no", NULL, 400);
	ck_assert_str_eq(strstr(text_of(b), "\r\n\r\n"), "\r\n\r\n");
	flow_goes_on();
}
END_TEST

START_TEST(a13_other_methods_get_405)
{
	static const char *const methods[] = { "POST", "PUT", "DELETE", "OPTIONS", "TRACE", "get" };
	size_t i;

	for (i = 0; i < nitems(methods); i++)
		ck_assert(shows(fetch(0, methods[i], OURS, NULL, 405), "\r\nAllow: GET, HEAD\r\n"));
	flow_goes_on();
}
END_TEST

/* DNS rebinding: a page at evil.example whose name now leads here learns nothing. */
START_TEST(a13_a_foreign_host_gets_400)
{
	static const char *const hosts[] = {
		"evil.example", "evil.example:%u", "127.0.0.1", "localhost", "127.0.0.1:1",
		"127.0.0.2:%u", "[::1]:%u", "localhost.:%u", "127.0.0.1:%u.evil.example", "",
		"evil.example@127.0.0.1:%u", "127.0.0.1:0%u",
	};
	char host[64], rest[128];
	struct browser *b;
	size_t i;

	for (i = 0; i < nitems(hosts); i++) {
		snprintf(host, sizeof(host), "%s", hosts[i]);
		if (strstr(hosts[i], "%u") != NULL)
			snprintf(strstr(host, "%u"), 32, "%u%s", port, strstr(hosts[i], "%u") + 2);
		snprintf(rest, sizeof(rest), "Host: %s\r\n\r\n", host);
		b = fetch(0, "GET", OURS, rest, 400);
		ck_assert_msg(!shows(b, "wiki"), "%s sees the name", host);
	}
	flow_goes_on();
}
END_TEST

START_TEST(localhost_is_our_name_too)
{
	struct browser *b = open_browser(0);
	char rest[64];

	snprintf(rest, sizeof(rest), "Host: LocalHost:%u\r\n\r\n", port);
	ask(b, "GET", OURS, rest);
	ck_assert(until(came, NULL));
}
END_TEST

START_TEST(without_a_host_400)
{
	struct browser *b = open_browser(0);

	say(b, "GET " OURS " HTTP/1.0\r\n\r\n");
	answered(b, 400);
	flow_goes_on();
}
END_TEST

START_TEST(a_body_is_not_wanted)
{
	char rest[256];

	snprintf(rest, sizeof(rest), "Host: 127.0.0.1:%u\r\nContent-Length: 5\r\n\r\nhello", port);
	fetch(0, "GET", OURS, rest, 413);
	snprintf(rest, sizeof(rest), "Host: 127.0.0.1:%u\r\nTransfer-Encoding: chunked\r\n\r\n"
	    "5\r\nhello\r\n0\r\n\r\n", port);
	fetch(0, "GET", OURS, rest, 413);
	snprintf(rest, sizeof(rest), "Host: 127.0.0.1:%u\r\nContent-Length: 99999999999\r\n\r\nx", port);
	fetch(0, "GET", OURS, rest, 413);
	flow_goes_on();
}
END_TEST

START_TEST(content_length_0_is_no_body)
{
	char rest[128];

	snprintf(rest, sizeof(rest), "Host: 127.0.0.1:%u\r\nContent-Length: 0\r\n\r\n", port);
	ask(open_browser(0), "GET", OURS, rest);
	ck_assert(until(came, NULL));
}
END_TEST

START_TEST(garbage_is_refused)
{
	static const char *const garbage[] = { "\x16\x03\x01\x02", "{\"jsonrpc\":1}\n", "GET\n\n", "\r\n" };
	char huge[20 * KIB];
	struct browser *b;
	size_t i;

	for (i = 0; i < nitems(garbage); i++) {
		b = open_browser(0);
		say(b, garbage[i]);
		shutdown(b->fd, SHUT_WR);
		ck_assert(until(ended, b));
	}
	/* 16 KiB of head are enough for anybody. */
	memset(huge, 'a', sizeof(huge));
	memcpy(huge, "GET /callback?", 14);
	huge[sizeof(huge) - 1] = '\0';
	b = open_browser(0);
	say(b, huge);
	answered(b, 431);
	flow_goes_on();
}
END_TEST

/* The second of two requests in one packet is not even read. */
START_TEST(pipelining_is_not_served)
{
	char text[1024];
	struct browser *b = open_browser(0);
	int n;

	n = snprintf(text, sizeof(text), "GET /favicon.ico HTTP/1.1\r\nHost: 127.0.0.1:%u\r\n\r\n"
	    "GET " OURS " HTTP/1.1\r\nHost: 127.0.0.1:%u\r\n\r\n", port, port);
	ck_assert_int_lt(n, (int)sizeof(text));
	say(b, text);
	ck_assert(until(ended, b));
	ck_assert_uint_eq(seen.times, 0);

	b = open_browser(0);
	say(b, strstr(text, "GET " OURS));
	say(b, strstr(text, "GET " OURS));
	ck_assert(until(came, NULL));
	some_turns();
	callback_answer(callback, PAGE_DONE, NULL);
	ck_assert(until(ended, b));
	ck_assert(shows(b, "HTTP/1.1 200 "));
	ck_assert_ptr_null(strstr(text_of(b) + 1, "HTTP/1.1"));
	ck_assert_uint_eq(seen.times, 1);
}
END_TEST

START_TEST(byte_by_byte)
{
	char text[256];
	struct browser *b = open_browser(0);
	int i, n;

	n = snprintf(text, sizeof(text), "GET " OURS " HTTP/1.1\r\nHost: 127.0.0.1:%u\r\n\r\n", port);
	for (i = 0; i < n; i++) {
		ck_assert_int_eq(send(b->fd, text + i, 1, MSG_NOSIGNAL), 1);
		turns_left = 1;
		until(turns_over, NULL);
		ck_assert_uint_eq(seen.times, i + 1 == n);
	}
}
END_TEST

/* Bounds */

static unsigned
open_fds(void)
{
	DIR *d = opendir("/proc/self/fd");
	unsigned n = 0;

	ck_assert_ptr_nonnull(d);
	while (readdir(d) != NULL)
		n++;
	closedir(d);
	return n;
}

START_TEST(a_thousand_in_turn)
{
	unsigned before, i;

	fetch(0, "GET", "/favicon.ico", NULL, 400);
	before = open_fds();
	for (i = 0; i < 1000; i++)
		fetch(0, "GET", strays[i % nitems(strays)], NULL, 400);
	ck_assert_uint_eq(open_fds(), before);
	flow_goes_on();
}
END_TEST

/* Who holds places and asks nothing, or asks slowly, is put out for the next one; nobody before. */
START_TEST(slow_ones_do_not_keep_the_browser_out)
{
	size_t i, out = 0;

	for (i = 0; i < 40; i++)
		say(open_browser(i), i % 2 == 0 ? "GET /callback?code=slow" : "G");
	flow_goes_on();
	some_turns();
	for (i = 0; i < 40; i++)
		out += ended(&browsers[i]);
	ck_assert_uint_gt(out, 0);
	ck_assert_uint_lt(out, 40);
}
END_TEST

/* Nobody is put out before a second is over: its request may be on the way. */
START_TEST(sixteen_are_left_alone)
{
	struct browser *late;
	size_t i;

	for (i = 0; i < 15; i++)
		say(open_browser(i), "G");
	flow_goes_on();
	say(open_browser(15), "G");
	some_turns();
	late = open_browser(16);
	ask(late, "GET", "/favicon.ico", NULL);
	some_turns();
	for (i = 0; i <= 16; i++)
		ck_assert(!ended(&browsers[i]));
	answered(late, 400);
	ck_assert(ended(&browsers[0]));
	ck_assert(!ended(&browsers[1]));
}
END_TEST

/* A crowd after the redirect does not take the place of the browser that waits. */
START_TEST(the_waiting_browser_keeps_its_place)
{
	struct browser *b = open_browser(0);
	size_t i;

	ask(b, "GET", OURS, NULL);
	ck_assert(until(came, NULL));
	for (i = 1; i < 40; i++)
		say(open_browser(i), "G");
	fetch(50, "GET", "/", NULL, 400);
	ck_assert(!ended(b));
	callback_answer(callback, PAGE_DONE, NULL);
	answered(b, 200);
}
END_TEST

/* The end */

START_TEST(closing_ends_the_listener_at_once)
{
	struct browser *waiting = open_browser(0), *idle = open_browser(1), *half = open_browser(2);

	say(half, "GET /callback?code=x");
	ask(waiting, "GET", OURS, NULL);
	ck_assert(until(came, NULL));
	callback_close(callback);
	callback = NULL;
	ck_assert_int_eq(dial(), -1);
	answered(waiting, 400);
	ck_assert(shows(waiting, "This login is over"));
	ck_assert(until(ended, idle));
	ck_assert(until(ended, half));
	ck_assert_uint_eq(seen.times, 1);
	callback_close(NULL);
}
END_TEST

/* One that neither sends its body nor leaves: serve waits for it a little. */
static unsigned
leave_one_lingering(void)
{
	unsigned before = open_fds();
	struct browser *b = open_browser(0);
	char rest[128];

	snprintf(rest, sizeof(rest), "Host: 127.0.0.1:%u\r\nContent-Length: 9\r\n\r\n", port);
	ask(b, "GET", OURS, rest);
	answered(b, 413);
	callback_close(callback);
	callback = NULL;
	ck_assert_uint_gt(open_fds(), before);
	return before;
}

/* The listener has gone, the browser's own end has come. */
START_TEST(closing_does_not_wait_for_ever)
{
	unsigned before = leave_one_lingering();

	give_up = loop_now(loop).boot + DEADLINE;
	while (open_fds() > before && loop_now(loop).boot < give_up)
		some_turns();
	ck_assert_uint_eq(open_fds(), before);
}
END_TEST

START_TEST(the_process_does_not_wait_at_all)
{
	unsigned before = leave_one_lingering();

	callback_leave_all();
	loop_stop(loop);
	loop_run(loop);
	ck_assert_uint_eq(open_fds(), before);
}
END_TEST

START_TEST(a_taken_port_says_so)
{
	const struct redirect_expected expected = { .state = STATE };
	struct callback *other;

	errno = 0;
	other = callback_open(loop, port, "other", &expected, on_came, &seen);
	ck_assert_ptr_null(other);
	ck_assert_int_eq(errno, EADDRINUSE);
	/* Free again at once, although connections of the last flow linger in the kernel. */
	fetch(0, "GET", "/", NULL, 400);
	callback_close(callback);
	callback = callback_open(loop, port, "wiki", &expected, on_came, &seen);
	ck_assert_ptr_nonnull(callback);
	flow_goes_on();
}
END_TEST

/* 127.0.0.1 and nothing else. */
START_TEST(other_addresses_are_not_bound)
{
	struct sockaddr_in sin = { .sin_family = AF_INET, .sin_port = htons(port),
	    .sin_addr.s_addr = htonl(INADDR_LOOPBACK + 1) };
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	ck_assert_int_eq(connect(fd, (struct sockaddr *)&sin, sizeof(sin)), -1);
	ck_assert_int_eq(errno, ECONNREFUSED);
	close(fd);
}
END_TEST

START_TEST(the_code_is_in_no_log_and_no_buffer)
{
	static char text[256 * KIB];
	FILE *log = tmpfile();
	ssize_t n;

	ck_assert_ptr_nonnull(log);
	ck_assert_int_eq(dup2(fileno(log), STDERR_FILENO), STDERR_FILENO);
	log_open(LOG_DEBUG);
	fetch(0, "GET", "/callback?code=" CODE "&state=no", NULL, 400);
	fetch(0, "POST", OURS, NULL, 405);
	fetch(0, "GET", OURS, "Host: evil.example\r\n\r\n", 400);
	fetch(0, "GET", OURS, "Host: \x01\r\n\r\n", 400);
	flow_goes_on();
	n = pread(fileno(log), text, sizeof(text), 0);
	ck_assert_int_gt(n, 0);
	ck_assert_ptr_nonnull(memmem(text, n, "callback", 8));
	ck_assert_ptr_null(memmem(text, n, CODE, strlen(CODE)));
	ck_assert_ptr_null(memmem(text, n, STATE, strlen(STATE)));
	ck_assert_ptr_null(memmem(loop->readbuf, READ_BUFFER, CODE, strlen(CODE)));
	fclose(log);
}
END_TEST

/* Whoever is on this machine may send what they like, all day. */
START_TEST(garbage_does_not_fill_the_log)
{
	FILE *log = tmpfile();
	struct browser *b;
	struct stat st;

	ck_assert_ptr_nonnull(log);
	ck_assert_int_eq(dup2(fileno(log), STDERR_FILENO), STDERR_FILENO);
	log_open(LOG_INFO);
	for (int i = 0; i < 20; i++) {
		b = open_browser(0);
		say(b, "GET\n\n");
		ck_assert(until(ended, b));
	}
	fetch(0, "GET", "/elsewhere", NULL, 400);
	ck_assert_int_eq(fstat(fileno(log), &st), 0);
	ck_assert_int_eq(st.st_size, 0);
	fclose(log);
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("callback");
	TCase *tc = tcase_create("callback");
	SRunner *r;
	int failed;

	tcase_set_timeout(tc, 30);
	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, the_redirect_comes_once);
	tcase_add_test(tc, a_refusal_comes_too);
	tcase_add_test(tc, a12_a_wrong_issuer_comes_as_such);
	tcase_add_test(tc, a12_the_right_issuer_is_fine);
	tcase_add_test(tc, answers_within_came);
	tcase_add_test(tc, closes_within_came);
	tcase_add_test(tc, later_requests_are_too_late);
	tcase_add_loop_test(tc, the_browser_may_leave, 0, 2);
	tcase_add_loop_test(tc, a13_wrong_path_or_state_gets_400, 0, nitems(strays));
	tcase_add_test(tc, a13_head_takes_nothing);
	tcase_add_test(tc, a13_other_methods_get_405);
	tcase_add_test(tc, a13_a_foreign_host_gets_400);
	tcase_add_test(tc, localhost_is_our_name_too);
	tcase_add_test(tc, without_a_host_400);
	tcase_add_test(tc, a_body_is_not_wanted);
	tcase_add_test(tc, content_length_0_is_no_body);
	tcase_add_test(tc, garbage_is_refused);
	tcase_add_test(tc, pipelining_is_not_served);
	tcase_add_test(tc, byte_by_byte);
	tcase_add_test(tc, a_thousand_in_turn);
	tcase_add_test(tc, slow_ones_do_not_keep_the_browser_out);
	tcase_add_test(tc, sixteen_are_left_alone);
	tcase_add_test(tc, the_waiting_browser_keeps_its_place);
	tcase_add_test(tc, closing_ends_the_listener_at_once);
	tcase_add_test(tc, closing_does_not_wait_for_ever);
	tcase_add_test(tc, the_process_does_not_wait_at_all);
	tcase_add_test(tc, a_taken_port_says_so);
	tcase_add_test(tc, other_addresses_are_not_bound);
	tcase_add_test(tc, the_code_is_in_no_log_and_no_buffer);
	tcase_add_test(tc, garbage_does_not_fill_the_log);
	suite_add_tcase(s, tc);
	r = srunner_create(s);
	srunner_run_all(r, CK_NORMAL);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed == 0 ? 0 : 1;
}
