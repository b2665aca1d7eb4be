#include <fcntl.h>
#include <semaphore.h>
#include <signal.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include <check.h>
#include <curl/curl.h>

#include "buf.h"
#include "link.h"
#include "scripted.h"

#define BIG	(6 * 1024 * 1024)

static struct loop *loop;
static struct connector *connector;
static sem_t go;		/* lets a script go on */

/* What the owner of the link under test saw. */
static struct {
	struct link	*link;
	struct buf	 in;
	bool		 up, down, room, turned, got;
	enum link_error	 why;
	char		 words[200];
	size_t		 stop_at;	/* pause when so much has come; 0 = never */
	const char	*free_in;	/* name of the callback that frees the link */
	size_t		 out;		/* bytes of pattern() written */
	size_t		 want;		/* bytes until got is set */
} o;

static void
maybe_free(const char *where)
{
	if (o.free_in != NULL && strcmp(o.free_in, where) == 0) {
		link_free(o.link);
		o.link = NULL;
	}
	loop_stop(loop);
}

static void
on_up(_unused_ void *arg)
{
	o.up = true;
	maybe_free("up");
}

static void
on_room(_unused_ void *arg)
{
	o.room = true;
	maybe_free("room");
}

static void
on_data(_unused_ void *arg, const char *p, size_t n)
{
	ck_assert_uint_gt(n, 0);
	ck_assert(o.stop_at == 0 || o.in.len < o.stop_at);
	ck_assert_int_eq(buf_add(&o.in, p, n), 0);
	o.got = o.in.len >= o.want;
	if (o.stop_at != 0 && o.in.len >= o.stop_at)
		link_pause(o.link);
	maybe_free("data");
}

static void
on_turn(_unused_ void *arg)
{
	o.turned = true;
	maybe_free("turn");
}

static void
on_down(_unused_ void *arg, enum link_error why, const char *words)
{
	ck_assert(!o.down);
	o.down = true;
	o.why = why;
	snprintf(o.words, sizeof(o.words), "%s", words);
	maybe_free("down");
}

static const struct link_ops ops = { on_up, on_room, on_data, on_turn, on_down };

static void
open_url(const char *url, const char *ca, int64_t ms)
{
	struct link_target t = { .way.ca_file = ca, .connect_ms = ms };

	link_free(o.link);
	buf_free(&o.in);
	memset(&o, 0, sizeof(o));
	o.want = 1;
	ck_assert_int_eq(url_parse(url, strlen(url), &t.url), 0);
	o.link = link_open(connector, &t, &ops, &o);
	ck_assert_ptr_nonnull(o.link);
	ck_assert(!o.up && !o.down);
	url_free(&t.url);
}

static void
open_server(const struct server *s)
{
	open_url(server_url(s, "/mcp"), server_ca(s), 5 * SEC);
	run_until(loop, &o.up);
}

static ssize_t
say(const char *text)
{
	struct iovec iov = { (char *)text, strlen(text) };

	return link_write(o.link, &iov, 1);
}

static char
pattern(size_t i)
{
	return (char)(i * 7 + i / 251);
}

static void
done_with(struct server *s)
{
	link_free(o.link);
	o.link = NULL;
	buf_free(&o.in);
	server_stop(s);
}

static void
echo_script(struct peer *p, _unused_ int nth)
{
	if (peer_expect(p, "hello"))
		peer_say(p, "world");
}

/* Session tickets of a TLS server may still be on their way: they are read as they come. */
static void
run_until_quiet(void)
{
	for (int i = 0; !link_quiet(o.link); i++) {
		ck_assert_int_lt(i, 500);
		run_for(loop, 20);
	}
}

START_TEST(echo)
{
	struct server *s = server_start(_i ? TLS : PLAIN, echo_script);
	struct iovec iov[2] = { { (char *)"he", 2 }, { (char *)"llo", 3 } };

	open_server(s);
	run_until_quiet();
	ck_assert_int_eq(link_write(o.link, iov, 2), 5);
	run_until(loop, &o.turned);
	ck_assert_str_eq(o.in.p, "world");
	run_until(loop, &o.down);
	ck_assert_int_eq(o.why, LINK_CLOSED);
	ck_assert_int_lt(say("x"), 0);
	ck_assert(!link_quiet(o.link));
	done_with(s);
}
END_TEST

static void
cut_script(struct peer *p, _unused_ int nth)
{
	ck_assert(peer_expect(p, "hello"));
	peer_say(p, "wor");
	peer_cut(p);
}

START_TEST(truncation)
{
	struct server *s = server_start(TLS, cut_script);

	open_server(s);
	ck_assert_int_eq(say("hello"), 5);
	run_until(loop, &o.down);
	ck_assert_str_eq(o.in.p, "wor");
	ck_assert_int_eq(o.why, LINK_CUT);
	done_with(s);
}
END_TEST

static void
reset_script(struct peer *p, _unused_ int nth)
{
	ck_assert(peer_expect(p, "hello"));
	peer_reset(p);
}

START_TEST(reset)
{
	struct server *s = server_start(_i ? TLS : PLAIN, reset_script);

	open_server(s);
	ck_assert_int_eq(say("hello"), 5);
	run_until(loop, &o.down);
	ck_assert_int_eq(o.why, LINK_RESET);
	ck_assert_str_eq(o.words, "the connection was reset");
	done_with(s);
}
END_TEST

START_TEST(refused)
{
	char url[64];

	snprintf(url, sizeof(url), "http://127.0.0.1:%d/", closed_port());
	open_url(url, NULL, 5 * SEC);
	run_until(loop, &o.down);
	ck_assert_int_eq(o.why, LINK_CONNECT);
	ck_assert_str_eq(o.words, "connection refused");
	link_free(o.link);
}
END_TEST

START_TEST(no_such_host)
{
	open_url("http://nothing.invalid/", NULL, 5 * SEC);
	run_until(loop, &o.down);
	ck_assert_int_eq(o.why, LINK_DNS);
	link_free(o.link);
}
END_TEST

static void
nothing_script(struct peer *p, _unused_ int nth)
{
	(void)peer_wait_end(p);
}

START_TEST(bad_certificates)
{
	static const struct { enum server_kind kind; bool own_ca; const char *words; } cases[] = {
		{ TLS, false, "its issuer is unknown" },
		{ TLS_OTHER_NAME, true, "another name" },
		{ TLS_EXPIRED, true, "expired" },
	};
	struct server *s = server_start(cases[_i].kind, nothing_script);

	open_url(server_url(s, "/"), cases[_i].own_ca ? server_ca(s) : NULL, 5 * SEC);
	run_until(loop, &o.down);
	ck_assert(!o.up);
	ck_assert_int_eq(o.why, LINK_TLS);
	ck_assert_ptr_nonnull(strstr(o.words, "certificate not accepted"));
	ck_assert_msg(strstr(o.words, cases[_i].words) != NULL, "%s", o.words);
	done_with(s);
}
END_TEST

/* The server takes the connection and never shakes hands. */
START_TEST(hanging_handshake)
{
	struct server *s = server_start(PLAIN, nothing_script);
	char url[64];

	snprintf(url, sizeof(url), "https%s", server_url(s, "/") + 4);
	open_url(url, NULL, 200);
	run_until(loop, &o.down);
	ck_assert_int_eq(o.why, LINK_SLOW);
	done_with(s);
}
END_TEST

START_TEST(environment_proxy_ignored)
{
	struct server *s = server_start(PLAIN, echo_script);

	setenv("http_proxy", "http://127.0.0.1:1/", 1);
	open_server(s);
	ck_assert_int_eq(say("hello"), 5);
	run_until(loop, &o.turned);
	done_with(s);
}
END_TEST

/* Reads nothing until told, then everything, then says how it went. */
static void
slow_reader(struct peer *p, _unused_ int nth)
{
	char *all = malloc(BIG);
	size_t i, bad = 0;

	sem_wait(&go);
	for (i = 0; i < BIG / 4096; i++) {
		char end[2] = { pattern(i * 4096 + 4095), '\0' };

		/* The pattern's last byte of each block tells a shift. */
		if (!peer_skip(p, 4095) || !peer_expect(p, end))
			bad++;
	}
	free(all);
	peer_say(p, bad == 0 ? "good" : "bad");
}

/* Writes the pattern in odd pieces; what is offered again may be shorter or longer than before. */
static void
pump(void)
{
	static char data[100000];
	static const size_t sizes[] = { 1, 70000, 16384, 100000, 333, 16385, 50000 };
	static unsigned turn;
	struct iovec iov[2];
	size_t i, n;
	ssize_t taken;

	for (;;) {
		n = MIN(sizes[turn++ % nitems(sizes)], BIG - o.out);
		if (n == 0)
			return;
		for (i = 0; i < n; i++)
			data[i] = pattern(o.out + i);
		iov[0] = (struct iovec){ data, n / 3 };
		iov[1] = (struct iovec){ data + n / 3, n - n / 3 };
		taken = link_write(o.link, iov, 2);
		ck_assert_int_ge(taken, 0);
		o.out += taken;
		if ((size_t)taken < n)
			return;
	}
}

START_TEST(full_pipe)
{
	struct server *s = server_start(_i ? TLS : PLAIN, slow_reader);

	open_server(s);
	pump();
	ck_assert_uint_lt(o.out, BIG);
	ck_assert(!link_quiet(o.link));
	run_for(loop, 30);
	ck_assert(!o.room);
	sem_post(&go);
	while (o.out < BIG) {
		run_until(loop, &o.room);
		o.room = false;
		pump();
	}
	run_until(loop, &o.turned);
	ck_assert_str_eq(o.in.p, "good");
	done_with(s);
}
END_TEST

static void
big_script(struct peer *p, _unused_ int nth)
{
	char *all = malloc(BIG);
	size_t i;

	for (i = 0; i < BIG; i++)
		all[i] = pattern(i);
	ck_assert(peer_expect(p, "hello"));
	peer_write(p, all, BIG);
	free(all);
}

START_TEST(paused)
{
	struct server *s = server_start(_i ? TLS : PLAIN, big_script);
	size_t i, had;

	open_server(s);
	ck_assert_int_eq(say("hello"), 5);
	o.stop_at = 100000;
	o.want = 100000;
	run_until(loop, &o.got);
	had = o.in.len;
	run_for(loop, 50);
	ck_assert_uint_eq(o.in.len, had);
	ck_assert(!o.down);
	o.stop_at = 0;
	link_resume(o.link);
	run_until(loop, &o.down);
	ck_assert_int_eq(o.why, LINK_CLOSED);
	ck_assert_uint_eq(o.in.len, BIG);
	for (i = 0; i < BIG && o.in.p[i] == pattern(i); i++)
		;
	ck_assert_uint_eq(i, BIG);
	done_with(s);
}
END_TEST

/* More than one buffer, whose rest is in the TLS layer already: no event would tell. */
static void
record_script(struct peer *p, _unused_ int nth)
{
	char x[15000];
	int i;

	memset(x, 'x', sizeof(x));
	ck_assert(peer_expect(p, "hello"));
	for (i = 0; i < 5; i++)
		peer_write(p, x, sizeof(x));
	(void)peer_wait_end(p);
}

START_TEST(rest_in_tls)
{
	struct server *s = server_start(TLS, record_script);

	open_server(s);
	link_pause(o.link);
	ck_assert_int_eq(say("hello"), 5);
	run_for(loop, 50);
	o.want = 75000;
	if (_i == 1) {
		o.stop_at = o.want = 1;
		link_resume(o.link);
		run_until(loop, &o.got);
		run_for(loop, 20);
		ck_assert_uint_lt(o.in.len, 75000);
		o.got = false;
		o.stop_at = 0;
		o.want = 75000;
	}
	link_resume(o.link);
	run_until(loop, &o.got);
	ck_assert_uint_eq(o.in.len, 75000);
	done_with(s);
}
END_TEST

START_TEST(freed_inside)
{
	static const char *const where[] = { "up", "data", "turn", "down" };
	struct server *s = server_start(_i >= 4 ? TLS : PLAIN, echo_script);
	bool never = false;

	open_url(server_url(s, "/"), server_ca(s), 5 * SEC);
	o.free_in = where[_i % 4];
	if (_i % 4 == 0) {
		run_until(loop, &o.up);
	} else {
		run_until(loop, &o.up);
		ck_assert_int_eq(say("hello"), 5);
		run_until(loop, _i % 4 == 1 ? &o.got : _i % 4 == 2 ? &o.turned : &o.down);
	}
	ck_assert_ptr_null(o.link);
	never = o.down;
	run_for(loop, 20);
	ck_assert(o.down == never);
	buf_free(&o.in);
	server_stop(s);
}
END_TEST

START_TEST(freed_while_connecting)
{
	struct server *s = server_start(PLAIN, nothing_script);
	char url[64];

	snprintf(url, sizeof(url), "https%s", server_url(s, "/") + 4);
	open_url(url, NULL, 5 * SEC);
	/* Once before anything happened, once within the handshake. */
	link_free(o.link);
	o.link = NULL;
	open_url(url, NULL, 5 * SEC);
	run_for(loop, 20);
	link_free(o.link);
	o.link = NULL;
	run_for(loop, 20);
	ck_assert(!o.up && !o.down);
	server_stop(s);
}
END_TEST

/* Answers early and leaves, with our request half read: the answer comes first. */
static void
early_script(struct peer *p, _unused_ int nth)
{
	ck_assert(peer_expect(p, "hello"));
	peer_say(p, "no");
	sem_wait(&go);
}

START_TEST(early_answer)
{
	struct server *s = server_start(PLAIN, early_script);
	ssize_t n;

	open_server(s);
	link_pause(o.link);
	ck_assert_int_eq(say("hello"), 5);
	run_for(loop, 50);
	ck_assert_int_eq(say("more"), 4);
	sem_post(&go);
	/* The server has closed with bytes unread: a reset. */
	while ((n = say("more")) >= 0)
		usleep(1000);
	ck_assert(!o.down && !o.got);
	link_resume(o.link);
	run_until(loop, &o.down);
	ck_assert_str_eq(o.in.len > 0 ? o.in.p : "", "no");
	done_with(s);
}
END_TEST

static void
talker_script(struct peer *p, _unused_ int nth)
{
	sem_wait(&go);
	peer_say(p, "unasked");
	(void)peer_wait_end(p);
}

START_TEST(not_quiet)
{
	struct server *s = server_start(_i ? TLS : PLAIN, talker_script);
	int i;

	open_server(s);
	run_for(loop, 20);
	ck_assert(!o.got);
	run_until_quiet();
	sem_post(&go);
	/* The loop does not run: only the look at the socket can tell. */
	for (i = 0; i < 2000 && link_quiet(o.link); i++)
		usleep(1000);
	ck_assert_int_lt(i, 2000);
	done_with(s);
}
END_TEST

static bool resumed[2];

static void
resume_script(struct peer *p, int nth)
{
	resumed[nth] = peer_resumed(p);
	if (peer_expect(p, "hello")) {
		peer_ticket(p);
		peer_say(p, "world");
	}
}

/* The tickets come long after the handshake, just before the answer. */
START_TEST(session_resumption)
{
	struct server *s = server_start(TLS_NO_TICKETS, resume_script);
	int i;

	for (i = 0; i < 2; i++) {
		open_server(s);
		ck_assert_int_eq(say("hello"), 5);
		run_until(loop, &o.down);
	}
	done_with(s);
	ck_assert(!resumed[0]);
	ck_assert(resumed[1]);
}
END_TEST

/* Every socket and every pipe of libcurl is close-on-exec. */
START_TEST(close_on_exec)
{
	struct server *s = server_start(PLAIN, nothing_script);
	struct stat st;
	int fd, sockets = 0;
	bool before[256];

	for (fd = 3; fd < 256; fd++)
		before[fd] = fcntl(fd, F_GETFD) != -1;
	open_server(s);
	for (fd = 3; fd < 256; fd++) {
		if (before[fd] || fstat(fd, &st) == -1 || !S_ISSOCK(st.st_mode))
			continue;
		sockets += (fcntl(fd, F_GETFD) & FD_CLOEXEC) != 0;
	}
	/* The other socket is the scripted server's end. */
	ck_assert_int_eq(sockets, 1);
	done_with(s);
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
}

static void
teardown(void)
{
	run_for(loop, 0);
	connector_free(connector);
	loop_free(loop);
	curl_global_cleanup();
}

int
main(void)
{
	Suite *s = suite_create("link");
	TCase *tc = tcase_create("link");
	SRunner *r;
	int failed;

	tcase_set_timeout(tc, 30);
	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_loop_test(tc, echo, 0, 2);
	tcase_add_test(tc, truncation);
	tcase_add_loop_test(tc, reset, 0, 2);
	tcase_add_test(tc, refused);
	tcase_add_test(tc, no_such_host);
	tcase_add_loop_test(tc, bad_certificates, 0, 3);
	tcase_add_test(tc, hanging_handshake);
	tcase_add_test(tc, environment_proxy_ignored);
	tcase_add_loop_test(tc, full_pipe, 0, 2);
	tcase_add_loop_test(tc, paused, 0, 2);
	tcase_add_loop_test(tc, rest_in_tls, 0, 2);
	tcase_add_loop_test(tc, freed_inside, 0, 8);
	tcase_add_test(tc, freed_while_connecting);
	tcase_add_test(tc, early_answer);
	tcase_add_loop_test(tc, not_quiet, 0, 2);
	tcase_add_test(tc, session_resumption);
	tcase_add_test(tc, close_on_exec);
	suite_add_tcase(s, tc);
	r = srunner_create(s);
	srunner_run_all(r, CK_NORMAL);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed != 0;
}
