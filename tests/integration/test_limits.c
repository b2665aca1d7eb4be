/*
 * What is too much (issue 3, must show 4): heads, bodies, pipelines, crowds
 * that say nothing, few descriptors, little to hold.  The limits hold, whoever
 * is beyond them is told so, and everybody else is served: beside each test a
 * stream of somebody else goes on (scene.h).
 */
#include <sys/resource.h>

#include <check.h>
#include <stdio.h>
#include <unistd.h>

#include <openssl/evp.h>

#include "bounds.h"
#include "scene.h"

#define PING	"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"ping\"}"
#define DISCOVER "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"server/discover\",\"params\":" \
	"{\"_meta\":{\"io.modelcontextprotocol/protocolVersion\":\"2026-07-28\"}}}"

static struct scene s;

static void
begin(void)
{
	s = scene_begin(0, NULL, NULL);
}

static void
end(void)
{
	scene_end(&s);
}

/* --- heads --- */

/* A ping whose head has n bytes exactly, on `fields` fields. */
static void
ping_with_head(struct buf *out, size_t n, int fields)
{
	size_t until;

	buf_reset(out);
	buf_addf(out, "POST /mcp HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
	    "MCP-Session-Id: %s\r\nContent-Length: %zu\r\n", s.session, strlen(PING));
	for (; fields > 0; fields--) {				/* each takes its part of what is left */
		until = out->len + (n - 2 - out->len) / (size_t)fields - 2;
		buf_addf(out, "X-Large-%d: ", fields);
		while (out->len < until)
			buf_add(out, "v", 1);
		buf_adds(out, "\r\n");
	}
	buf_adds(out, "\r\n");
	ck_assert_uint_eq(out->len, n);
	buf_adds(out, PING);
}

/* L4, M6: up to the limit every byte of a head is carried; beyond it 431 and the end. */
START_TEST(heads_of_64_kib)
{
	struct buf b = BUF_INIT(0);
	struct reply r = { 0 };
	struct client *c;

	for (int i = 0; i < 4; i++) {
		c = client_open(s.ask.socket);
		for (int again = 0; again < 2; again++) {	/* and the connection is kept */
			ping_with_head(&b, HEADER_BYTES - (size_t)i / 2, i % 2 == 0 ? 1 : 100);
			ck_assert_int_eq(client_send(c, b.p, b.len, 5000), 0);
			hear(c, "POST", &r, 200);
			ck_assert_str_eq(reply_reason(&r), "");
		}
		client_close(c);
		c = client_open(s.ask.socket);
		ping_with_head(&b, HEADER_BYTES + 1 + (size_t)i * 50000, i % 2 == 0 ? 1 : 100);
		client_send(c, b.p, b.len, 5000);		/* it may be cut off */
		hear(c, "POST", &r, 431);
		is_refusal(&r, "head_too_large");
		ck_assert(client_ended(c, 5000));
		client_close(c);
	}
	buf_free(&b);
	reply_free(&r);
}
END_TEST

/* A head without an end is refused as soon as it is too long, not when it ends. */
START_TEST(head_without_an_end)
{
	struct client *c = client_open(s.ask.socket);
	struct reply r = { 0 };
	char line[1024];

	memset(line, 'x', sizeof(line));
	say(c, "POST /mcp HTTP/1.1\r\nHost: localhost\r\nX-Endless: ");
	for (int i = 0; i < 65; i++)
		if (client_send(c, line, sizeof(line), 5000) != 0)
			break;
	hear(c, "POST", &r, 431);
	ck_assert(client_ended(c, 5000));
	client_close(c);
	reply_free(&r);
}
END_TEST

/* --- bodies --- */

/* A call of `digest` as a body of n bytes, and what it must say. */
static void
digest_body(struct buf *json, size_t n, char *want)
{
	static const char tail[] = "\"}}}";
	unsigned char md[EVP_MAX_MD_SIZE];
	unsigned len = 0;
	size_t from, data;
	int at;

	json->max = n + 1;
	buf_adds(json, "{\"jsonrpc\":\"2.0\",\"id\":7,\"method\":\"tools/call\",\"params\":"
	    "{\"name\":\"digest\",\"arguments\":{\"data\":\"");
	from = json->len;
	data = n - from - strlen(tail);
	ck_assert_int_eq(buf_reserve(json, n - from), 0);
	for (size_t i = 0; i < data; i++)
		json->p[from + i] = "abcdefghijklmnopqrstuvwxyz0123456789"[(i * i + i / 7) % 36];
	json->len += data;
	EVP_Digest(json->p + from, data, md, &len, EVP_sha256(), NULL);
	at = sprintf(want, "%zu ", data);
	for (unsigned i = 0; i < len; i++)
		at += sprintf(want + at, "%02x", md[i]);
	buf_adds(json, tail);
	ck_assert_uint_eq(json->len, n);
}

static void
head_of_body(struct client *c, size_t n)
{
	char head[256];

	snprintf(head, sizeof(head), "POST /mcp HTTP/1.1\r\nHost: localhost\r\n"
	    "MCP-Session-Id: %s\r\nContent-Type: application/json\r\nContent-Length: %zu\r\n\r\n",
	    s.session, n);
	say(c, head);
}

/* M11: 64 MiB arrive as they were sent, and others are served meanwhile. */
START_TEST(body_of_64_mib)
{
	struct client *c = client_open(s.ask.socket);
	struct buf body = BUF_INIT(0);
	struct reply r = { 0 };
	char want[128];
	size_t at, n;

	digest_body(&body, BODY_BYTES, want);
	head_of_body(c, body.len);
	for (at = 0; at < body.len; at += n) {
		n = MIN((size_t)MIB, body.len - at);
		ck_assert_int_eq(client_send(c, body.p + at, n, 10000), 0);
		if (at % (16 * MIB) == 0)
			ck_assert_str_eq(ask_tool(&s.ask, "echo", NULL), "");
	}
	ck_assert_int_eq(client_reply(c, "POST", &r, 60000), 0);
	ck_assert_int_eq(r.status, 200);
	ck_assert_msg(strstr(r.body.p, want) != NULL, "%s: %s", want, r.body.p);
	client_close(c);
	buf_free(&body);
	reply_free(&r);
}
END_TEST

/* One byte more is refused at its head, before any of it is sent. */
START_TEST(body_of_64_mib_and_one)
{
	int64_t before = wall_count(s.w, "methods.POST");
	struct reply r = { 0 };
	struct client *c;

	for (int i = 0; i < 3; i++) {
		c = client_open(s.ask.socket);
		head_of_body(c, i == 2 ? (size_t)1 << 62 : (size_t)BODY_BYTES + 1);
		if (i == 1)
			say(c, PING);
		hear(c, "POST", &r, 413);
		is_refusal(&r, "body_too_large");
		ck_assert(client_ended(c, 10000));
		client_close(c);
	}
	ck_assert_int_eq(wall_count(s.w, "methods.POST"), before);
	reply_free(&r);
}
END_TEST

/* A chunked one shows its length only as it comes: refused then, and upstream it never looks complete. */
START_TEST(chunked_body_beyond_the_limit)
{
	enum { LIMIT = 100000 };
	static char piece[10000];
	struct reply r = { 0 };
	struct client *c;

	s = scene_begin(0, NULL, "\"limits\":{\"bodyBytes\":100000}");
	memset(piece, ' ', sizeof(piece));
	for (int beyond = 0; beyond < 2; beyond++) {
		c = client_open(s.ask.socket);
		say(c, "POST /mcp HTTP/1.1\r\nHost: localhost\r\nX-Test-Key: chunked\r\n"
		    "Content-Type: application/json\r\nTransfer-Encoding: chunked\r\nMCP-Session-Id: ");
		say(c, s.session);
		say(c, "\r\n\r\n");
		for (int n = LIMIT - (int)strlen(PING); n > 0; n -= MIN(n, (int)sizeof(piece))) {
			char line[16];

			snprintf(line, sizeof(line), "%x\r\n", MIN(n, (int)sizeof(piece)));
			say(c, line);
			ck_assert_int_eq(client_send(c, piece, MIN((size_t)n, sizeof(piece)), 5000), 0);
			say(c, "\r\n");
		}
		say(c, beyond ? "29\r\n" PING " \r\n0\r\n\r\n" : "28\r\n" PING "\r\n0\r\n\r\n");
		hear(c, "POST", &r, beyond ? 413 : 200);
		ck_assert_str_eq(reply_reason(&r), "");
		ck_assert(!beyond || client_ended(c, 5000));
		client_close(c);
	}
	ck_assert_int_eq(wall_count(s.w, "sends.chunked"), 1);
	reply_free(&r);
	end();
}
END_TEST

/* --- pipelines --- */

/* 512 calls in one go by a client that reads nothing until it has said all: in order, each once. */
START_TEST(l1_pipelined_512_before_any_is_read)
{
	enum { N = 512 };
	struct client *c = client_open(s.ask.socket);
	struct buf all = BUF_INIT(MIB), body = BUF_INIT(0);
	struct reply r = { 0 };
	char id[32];

	s.ask.key = "piped";
	for (int i = 0; i < N; i++) {
		buf_reset(&body);
		tool_json(&body, i, "big", i % 8 == 0 ? "{\"bytes\":50000}" : "{\"bytes\":500}");
		request_post(&all, &s.ask, body.p);
	}
	s.ask.key = NULL;
	ck_assert_int_eq(client_send(c, all.p, all.len, 20000), 0);
	for (int i = 0; i < N; i++) {
		if (i % 128 == 0)
			ck_assert_str_eq(ask_tool(&s.ask, "echo", NULL), "");
		hear(c, "POST", &r, 200);
		snprintf(id, sizeof(id), "\"id\":%d,", i);
		ck_assert_msg(strstr(r.body.p, id) != NULL, "not the answer to %d: %.80s", i, r.body.p);
		ck_assert_uint_eq(r.body.len, i % 8 == 0 ? 50000 : 500);
	}
	ck_assert_int_eq(wall_count(s.w, "sends.piped"), N);
	client_close(c);
	buf_free(&all);
	buf_free(&body);
	reply_free(&r);
}
END_TEST

/* --- crowds --- */

static void
raise_descriptors(void)
{
	struct rlimit lim;

	ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &lim), 0);
	lim.rlim_cur = lim.rlim_max;
	ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &lim), 0);
}

static int
clients_of(const struct authd *a)
{
	cJSON *status = authd_status(a);
	int n = cJSON_GetObjectItem(status, "clients")->valueint;

	cJSON_Delete(status);
	return n;
}

/* True once the daemon counts n clients at most. */
static bool
wait_clients(int n, int ms)
{
	int64_t deadline = now_ms() + ms;

	while (clients_of(s.a) > n) {
		if (now_ms() > deadline)
			return false;
		pause_ms(5);
	}
	return true;
}

/* Nothing, half a request line, or a head whose body never comes. */
static struct client *
open_silent(int i)
{
	struct client *c = client_open(i % 5 == 4 ? s.a->shared : s.ask.socket);

	if (i % 5 == 1)
		say(c, "POST /mcp HT");
	else if (i % 5 == 2)
		say(c, "POST /mcp HTTP/1.1\r\nHost: localhost\r\nContent-Length: 40\r\n\r\n{");
	return c;
}

/* 1,000 that say nothing: others are served at once, and what they cost comes back. */
START_TEST(silent_1000)
{
	enum { N = 1000 };
	struct client **silent = calloc(N, sizeof(*silent));
	int64_t slowest = 0, from;

	raise_descriptors();
	for (int i = 0; i < N; i++)
		silent[i] = open_silent(i);
	for (int i = 0; i < 50; i++) {
		from = now_ms();
		ck_assert_str_eq(ask_tool(&s.ask, "echo", NULL), "");
		slowest = MAX(slowest, now_ms() - from);
	}
	ck_assert_int_ge(clients_of(s.a), N);
	printf("beside %d silent ones: %lld ms at most\n", N, (long long)slowest);
	ck_assert_int_lt(slowest, 2000);
	for (int i = 0; i < N; i++)
		client_close(silent[i]);
	ck_assert(wait_clients(1, 10000));			/* the bystander */
	free(silent);
}
END_TEST

/* The same under a short limits.idle: they are closed; whoever waits for an answer is not. */
START_TEST(silent_1000_are_closed)
{
	enum { N = 1000 };
	struct client **silent = calloc(N, sizeof(*silent)), *waits;
	struct reply r = { 0 };

	raise_descriptors();
	s = scene_begin(0, NULL, "\"limits\":{\"idle\":0.5}");
	waits = begin_tool(&s.ask, "hang", NULL);
	ck_assert(wall_wait_is(s.w, "hanging", 1, 5000));
	for (int i = 0; i < N; i++)
		silent[i] = open_silent(i);
	for (int i = 0; i < N; i++) {
		ck_assert_msg(client_ended(silent[i], 10000), "%d is still there", i);
		client_close(silent[i]);
	}
	ck_assert(wait_clients(2, 10000));
	ck_assert_int_eq(wall_count(s.w, "hanging"), 1);
	wall_do(s.w, "release", NULL);
	hear(waits, "POST", &r, 200);
	client_close(waits);
	reply_free(&r);
	free(silent);
	end();
}
END_TEST

/* Beyond the cap: 503 where nobody waits for an id (200 to requests: test_lanes), and the end. */
static void
cap_of_three(const char *top)
{
	struct ask modern;
	struct client *two[2], *c;
	struct buf b[4] = { { 0 } };
	struct reply r = { 0 };

	s = scene_begin(0, NULL, top);				/* one is the bystander's */
	modern = (struct ask){ .socket = s.ask.socket, .version = "2026-07-28" };
	for (int i = 0; i < 2; i++)
		two[i] = client_open(s.ask.socket);
	request_post(&b[0], &s.ask, "{\"jsonrpc\":\"2.0\",\"method\":\"notifications/x\"}");
	request_get(&b[1], &s.ask, NULL);
	request_delete(&b[2], &s.ask);
	request_post(&b[3], &modern, DISCOVER);
	for (int i = 0; i < 8; i++) {
		c = client_open(s.ask.socket);
		ck_assert_int_eq(client_send(c, b[i % 4].p, b[i % 4].len, 5000), 0);
		hear(c, i % 4 == 1 ? "GET" : i % 4 == 2 ? "DELETE" : "POST", &r, 503);
		ck_assert_str_eq(reply_reason(&r), "limit");
		ck_assert_ptr_nonnull(reply_field(&r, "Retry-After").p);
		ck_assert(client_ended(c, 5000));
		client_close(c);
	}
	ck_assert_int_eq(wall_count(s.w, "sessions.deleted"), 0);
	for (int i = 0; i < 2; i++)
		client_close(two[i]);
	ck_assert(wait_clients(1, 5000));
	ask_rpc(&s.ask, PING, &r, 200);
	ck_assert_str_eq(reply_reason(&r), "");
	for (int i = 0; i < 4; i++)
		buf_free(&b[i]);
	reply_free(&r);
	end();
}

START_TEST(clients_beyond_the_cap_503)
{
	cap_of_three("\"limits\":{\"clients\":3}");
}
END_TEST

START_TEST(clients_per_user_beyond_the_cap_503)
{
	cap_of_three("\"limits\":{\"clientsPerUser\":3}");
}
END_TEST

/* --- descriptors --- */

static void
begin_with_256(void)
{
	static const char *const wrap[] = { "prlimit", "--nofile=256:256", NULL };

	raise_descriptors();
	s = (struct scene){ .w = world_new(0) };
	s.a = authd_start(s.w, &(struct authd_options){ .wrap = wrap });
	s.ask.socket = authd_socket(s.a, "wall");
	world_login(s.w, s.a, "wall", NULL);
	s.ask.session = s.session = session_open(&s.ask);
	s.bystander = stream_open(&s.ask, NULL);
	hear_event(s.bystander, "id: 0");
}

static void
calls(struct shot *shots, size_t n, const char *name, const char *args)
{
	struct buf body = BUF_INIT(0);

	tool_json(&body, 1, name, args);
	for (size_t i = 0; i < n; i++) {
		shots[i] = (struct shot){ .socket = s.ask.socket, .method = "POST" };
		request_post(&shots[i].request, &s.ask, body.p);
	}
	buf_free(&body);
}

/* What became of the shots that are done. */
static void
sort_out(const struct shot *shots, size_t n, int *served, int *told, int *closed)
{
	*served = *told = *closed = 0;
	for (size_t i = 0; i < n; i++) {
		if (!shots[i].done)
			continue;
		if (shots[i].error != 0)
			(*closed)++;
		else if (strcmp(reply_reason(&shots[i].reply), "limit") == 0)
			(*told)++;
		else
			(*served)++;
	}
}

/* All 400 have arrived: those within the cap hang at the wall, the others are done. */
static int
all_have_arrived(struct volley *v)
{
	int64_t deadline = now_ms() + 20000, hanging;

	do {
		ck_assert_int_lt(now_ms(), deadline);
		volley_run(v, 5);
		hanging = wall_count(s.w, "hanging");
	} while (hanging == 0 || volley_open(v) != (size_t)hanging);
	return (int)hanging;
}

/* 256 descriptors and 400 clients with an upstream link each: the cap is below it, nobody is left hanging. */
START_TEST(descriptors_256)
{
	enum { N = 400 };
	struct shot *shots = calloc(N, sizeof(*shots));
	int served, told, closed, hanging;
	struct volley *v;
	char *log;

	begin_with_256();
	for (int round = 0; round < 3; round++) {
		calls(shots, N, "hang", NULL);
		v = volley_start(shots, N);
		hanging = all_have_arrived(v);
		sort_out(shots, N, &served, &told, &closed);
		printf("of %d clients %d hang, %d were told, %d closed\n", N, hanging, told, closed);
		ck_assert_int_le(authd_fds(s.a), 256);
		ck_assert_int_le(clients_of(s.a), 256);		/* and control.sock answers */
		if (round == 1) {				/* all leave without a word */
			volley_free(v);
			ck_assert(wall_wait_is(s.w, "hanging", 0, 10000));
		} else {
			wall_do(s.w, "release", NULL);
			ck_assert_uint_eq(volley_run(v, 20000), N);
			volley_free(v);
			sort_out(shots, N, &served, &told, &closed);
			ck_assert_int_eq(served, hanging);
		}
		ck_assert_int_ge(hanging, 60);
		shots_free(shots, N);
		ck_assert(wait_clients(1, 10000));
		calls(shots, 60, "echo", NULL);			/* everything works again */
		ck_assert_uint_eq(volley(shots, 60, 10000), 60);
		sort_out(shots, 60, &served, &told, &closed);
		ck_assert_int_eq(served, 60);
		shots_free(shots, 60);
		ck_assert(wait_clients(1, 10000));
	}
	log = authd_log(s.a);
	ck_assert_ptr_nonnull(strstr(log, "as the descriptor limit is 256"));
	ck_assert_ptr_null(strstr(log, "new connections wait"));	/* never out of them */
	free(log);
	free(shots);
	end();
}
END_TEST

/* The same crowd says nothing and stays: whoever came before is served all the while. */
START_TEST(descriptors_256_and_silence)
{
	enum { N = 400 };
	struct client *before, **silent = calloc(N, sizeof(*silent));
	struct reply r = { 0 };
	struct buf b = BUF_INIT(0);

	begin_with_256();
	before = client_open(s.ask.socket);
	request_post(&b, &s.ask, PING);
	ck_assert_int_eq(client_send(before, b.p, b.len, 5000), 0);
	hear(before, "POST", &r, 200);
	for (int i = 0; i < N; i++)
		silent[i] = client_open(s.ask.socket);
	for (int i = 0; i < 20; i++) {
		ck_assert_int_eq(client_send(before, b.p, b.len, 5000), 0);
		hear(before, "POST", &r, 200);
		ck_assert_str_eq(reply_reason(&r), "");
	}
	ck_assert_int_le(authd_fds(s.a), 256);
	ck_assert_int_eq(http(s.a->control, "GET", "/healthz", NULL, &r, 5000), 0);
	ck_assert_int_eq(r.status, 200);
	for (int i = 0; i < N; i++)
		client_close(silent[i]);
	ck_assert(wait_clients(2, 10000));
	ck_assert_str_eq(ask_tool(&s.ask, "echo", NULL), "");
	client_close(before);
	free(silent);
	buf_free(&b);
	reply_free(&r);
	end();
}
END_TEST

/* --- what is held --- */

static void
send_blank(struct client *c, size_t n)
{
	static char blank[64 * 1024];
	size_t part;

	memset(blank, ' ', sizeof(blank));
	for (; n > 0; n -= part) {
		part = MIN(n, sizeof(blank));
		ck_assert_int_eq(client_send(c, blank, part, 10000), 0);
	}
}

/* Design 3: a body is reserved from its length on; what does not fit is told when to come again, and does not wait. */
START_TEST(held_bytes)
{
	enum { LARGE = 900 * 1024, SMALL = 300 * 1024 };
	struct client *first, *second;
	struct reply r = { 0 };
	char line[64];

	s = scene_begin(0, NULL, "\"limits\":{\"heldBytes\":1048576}");
	first = client_open(s.ask.socket);
	head_of_body(first, LARGE);
	send_blank(first, LARGE / 2);
	for (int i = 0; i < 3; i++) {
		bool chunked = i == 1;

		second = client_open(s.ask.socket);
		if (chunked)
			say(second, "POST /mcp HTTP/1.1\r\nHost: localhost\r\n"
			    "Transfer-Encoding: chunked\r\n\r\n");
		else
			head_of_body(second, SMALL);
		if (chunked) {
			snprintf(line, sizeof(line), "%x\r\n", SMALL);
			say(second, line);
		}
		send_blank(second, SMALL - strlen(PING));
		say(second, PING);
		if (chunked)
			say(second, "\r\n0\r\n\r\n");
		hear(second, "POST", &r, 200);
		if (!chunked || *reply_reason(&r) != '\0') {	/* a chunked one may pass, unheld */
			ck_assert_str_eq(reply_reason(&r), "limit");
			ck_assert_ptr_nonnull(strstr(r.body.p, "\"id\":1,"));
			ck_assert(slice_eq(reply_field(&r, "Retry-After"), "1"));
		}
		client_close(second);
		ck_assert_str_eq(ask_tool(&s.ask, "echo", NULL), "");
	}
	send_blank(first, LARGE - LARGE / 2 - strlen(PING));
	say(first, PING);
	hear(first, "POST", &r, 200);
	ck_assert_str_eq(reply_reason(&r), "");
	client_close(first);
	second = client_open(s.ask.socket);			/* and now there is room */
	head_of_body(second, SMALL);
	send_blank(second, SMALL - strlen(PING));
	say(second, PING);
	hear(second, "POST", &r, 200);
	ck_assert_str_eq(reply_reason(&r), "");
	client_close(second);
	reply_free(&r);
	end();
}
END_TEST

/* M9: streams beyond their limit are refused, as many as may be are open, and requests go on. */
START_TEST(m9_streams_at_their_limit)
{
	enum { OPEN = 50 };
	struct client *streams[OPEN - 1];
	struct buf b = BUF_INIT(0);
	struct reply r = { 0 };

	s = scene_begin(0, NULL, "\"limits\":{\"streams\":50,\"links\":4}");
	for (int i = 0; i < OPEN - 1; i++)			/* one is the bystander's */
		streams[i] = stream_open(&s.ask, NULL);
	request_get(&b, &s.ask, NULL);
	for (int i = 0; i < 20; i++) {
		ck_assert_int_eq(roundtrip(s.ask.socket, "GET", b.p, b.len, &r, 5000), 0);
		ck_assert_int_eq(r.status, 503);
		ck_assert_str_eq(reply_reason(&r), "limit");
		ck_assert_ptr_nonnull(reply_field(&r, "Retry-After").p);
		ck_assert_str_eq(ask_tool(&s.ask, "echo", NULL), "");
	}
	for (int i = 0; i < OPEN - 1; i++)
		client_close(streams[i]);
	ck_assert(wall_wait_is(s.w, "streams.open", 1, 5000));
	client_close(stream_open(&s.ask, NULL));
	buf_free(&b);
	reply_free(&r);
	end();
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("limits");
	TCase *tc = tcase_create("usual"), *own = tcase_create("own");
	SRunner *sr;
	int failed;

	tcase_set_timeout(tc, 120);
	tcase_add_checked_fixture(tc, begin, end);
	tcase_add_test(tc, heads_of_64_kib);
	tcase_add_test(tc, head_without_an_end);
	tcase_add_test(tc, body_of_64_mib);
	tcase_add_test(tc, body_of_64_mib_and_one);
	tcase_add_test(tc, l1_pipelined_512_before_any_is_read);
	tcase_add_test(tc, silent_1000);
	suite_add_tcase(suite, tc);
	tcase_set_timeout(own, 120);
	tcase_add_test(own, chunked_body_beyond_the_limit);
	tcase_add_test(own, silent_1000_are_closed);
	tcase_add_test(own, clients_beyond_the_cap_503);
	tcase_add_test(own, clients_per_user_beyond_the_cap_503);
	tcase_add_test(own, descriptors_256);
	tcase_add_test(own, descriptors_256_and_silence);
	tcase_add_test(own, held_bytes);
	tcase_add_test(own, m9_streams_at_their_limit);
	suite_add_tcase(suite, own);
	sr = srunner_create(suite);
	srunner_run_all(sr, CK_NORMAL);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed != 0;
}
