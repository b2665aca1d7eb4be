/* lib/http1: heads and bodies, whole and byte by byte, the input ending at a PROT_NONE page. */
#include <sys/mman.h>

#include <check.h>
#include <dirent.h>
#include <stdio.h>
#include <unistd.h>

#include "http1.h"

#define CORPUS	"tests/corpus/http1"
#define ROOM	(256 * 1024)
#define HOST	"Host: a\r\n"

struct outcome {
	int			r;
	enum http1_error	e;
	struct http1_head	head;
	bool			body_ok;	/* read to its end */
	size_t			taken;		/* head and body */
	char			body[1024];
	size_t			nbody;
};

enum kind { REQUEST, ANSWER, TO_HEAD };

/* A copy of n bytes with nothing readable behind them. */
static const char *
guarded(const char *p, size_t n)
{
	static char	*room;

	if (room == NULL) {
		room = mmap(NULL, ROOM + 4096, PROT_READ | PROT_WRITE,
		    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		ck_assert(room != MAP_FAILED);
		ck_assert_int_eq(mprotect(room + ROOM, 4096, PROT_NONE), 0);
	}
	ck_assert(n <= ROOM);
	memcpy(room + ROOM - n, p, n);
	return room + ROOM - n;
}

static int
parse_head(enum kind kind, const char *p, size_t n, size_t *scanned, size_t max,
    struct outcome *o)
{
	o->e = HTTP1_OK;
	o->r = kind == REQUEST ? http1_request(p, n, scanned, max, &o->head, &o->e) :
	    http1_response(p, n, scanned, max, kind == ANSWER ? "POST" : "HEAD", &o->head,
	    &o->e);
	ck_assert(o->r == 0 || o->r == 1 || o->r == -EBADMSG);
	ck_assert_int_eq(o->r == -EBADMSG, o->e != HTTP1_OK);
	return o->r;
}

static void
run_body(const char *p, size_t n, size_t step, struct outcome *o)
{
	struct http1_body	b;
	struct slice		data;
	size_t			at = 0, end;
	ssize_t			r;

	http1_body_init(&b, o->head.framing, o->head.length);
	while (at < n && !b.done) {
		end = MIN(n - at, step);
		r = http1_body(&b, guarded(p + at, end), end, &data, &o->e);
		if (r < 0) {
			ck_assert_int_eq(r, -EBADMSG);
			ck_assert_int_eq(o->e, HTTP1_BAD_CHUNK);
			o->r = (int)r;
			return;
		}
		ck_assert(r > 0 && (size_t)r <= end && data.n <= (size_t)r);
		ck_assert(o->nbody + data.n <= sizeof(o->body));
		memcpy(o->body + o->nbody, data.p, data.n);
		o->nbody += data.n;
		at += (size_t)r;
	}
	ck_assert_uint_eq(b.seen, o->nbody);
	o->body_ok = http1_body_eof(&b);
	o->taken = o->head.size + at;
	if (b.done)
		ck_assert_int_eq(http1_body(&b, "x", 1, &data, &o->e), 0);
}

/* step = 0: whole. */
static void
run(enum kind kind, const char *p, size_t n, size_t step, struct outcome *o)
{
	size_t	scanned = 0, len = 0;

	memset(o, 0, offsetof(struct outcome, body));
	o->nbody = 0;
	step = step != 0 ? step : MAX(n, 1UL);
	do {
		len = MIN(n, len + step);
		parse_head(kind, guarded(p, len), len, &scanned, HEADER_BYTES, o);
	} while (o->r == 0 && len < n);
	if (o->r == 1)
		run_body(p + o->head.size, n - o->head.size, step, o);
}

static void
check_same(const struct outcome *a, const struct outcome *b, const char *what)
{
	ck_assert_msg(a->r == b->r && a->e == b->e, "%s: %d/%s against %d/%s", what, a->r,
	    http1_strerror(a->e), b->r, http1_strerror(b->e));
	ck_assert_msg(a->nbody == b->nbody && memcmp(a->body, b->body, a->nbody) == 0,
	    "%s: body", what);
	ck_assert_msg(a->body_ok == b->body_ok && a->taken == b->taken, "%s: end", what);
	if (a->r == 1)
		ck_assert_msg(a->head.size == b->head.size &&
		    a->head.nfields == b->head.nfields &&
		    a->head.framing == b->head.framing && a->head.length == b->head.length &&
		    a->head.keep_alive == b->head.keep_alive, "%s: head", what);
}

static void
run_all(enum kind kind, const char *p, size_t n, struct outcome *o, const char *what)
{
	static struct outcome	other;
	static const size_t	steps[] = { 1, 2, 3, 7 };
	size_t			i;

	run(kind, p, n, 0, o);
	for (i = 0; i < nitems(steps); i++) {
		run(kind, p, n, steps[i], &other);
		check_same(o, &other, what);
	}
}

static struct outcome	out;

static void
whole_request(const char *text)
{
	size_t	scanned = 0;

	parse_head(REQUEST, guarded(text, strlen(text)), strlen(text), &scanned, HEADER_BYTES,
	    &out);
}

START_TEST(test_request_slices)
{
	const struct http1_head	*h = &out.head;

	whole_request("POST /mcp?a=b HTTP/1.1\r\nHost: x:1\r\nContent-Length:12\r\n"
	    "X-Empty: \t\r\nX-Text:\t a b\tc \r\n\r\n{}");
	ck_assert_int_eq(out.r, 1);
	ck_assert(slice_eq(h->method, "POST"));
	ck_assert(slice_eq(h->target, "/mcp?a=b"));
	ck_assert_int_eq(h->minor, 1);
	ck_assert_uint_eq(h->nfields, 4);
	ck_assert(slice_eq(h->fields[0].name, "Host"));
	ck_assert(slice_eq(h->fields[0].value, "x:1"));
	ck_assert(slice_eq(h->fields[2].value, ""));
	ck_assert(slice_eq(h->fields[3].value, "a b\tc"));
	ck_assert_int_eq(h->framing, HTTP1_LENGTH);
	ck_assert_uint_eq(h->length, 12);
	ck_assert(h->keep_alive && !h->expect_continue);
	ck_assert_uint_eq(h->size, strlen("POST /mcp?a=b HTTP/1.1\r\nHost: x:1\r\n"
	    "Content-Length:12\r\nX-Empty: \t\r\nX-Text:\t a b\tc \r\n\r\n"));
}
END_TEST

START_TEST(test_response_slices)
{
	const struct http1_head	*h = &out.head;
	const char		 text[] = "HTTP/1.0 401 Not  you \r\nA: b\r\n\r\nbody";

	run_all(ANSWER, text, strlen(text), &out, text);
	ck_assert_int_eq(out.r, 1);
	ck_assert_int_eq(h->status, 401);
	ck_assert_uint_eq(h->reason.n, strlen("Not  you "));
	ck_assert_int_eq(h->minor, 0);
	ck_assert_int_eq(h->framing, HTTP1_EOF);
	ck_assert(!h->keep_alive && out.body_ok);
	ck_assert_uint_eq(out.nbody, 4);
}
END_TEST

static const struct {
	const char		*text;
	enum http1_error	 e;
} bad_requests[] = {
	{ "GET / HTTP/1.1\r\n\r\n", HTTP1_BAD_HOST },
	{ "GET / HTTP/1.1\r\n" HOST HOST "\r\n", HTTP1_BAD_HOST },
	{ "GET / HTTP/2.0\r\n" HOST "\r\n", HTTP1_BAD_VERSION },
	{ "GET / HTTP/0.9\r\n" HOST "\r\n", HTTP1_BAD_VERSION },
	{ "GET / HTTP/1.2\r\n" HOST "\r\n", HTTP1_BAD_VERSION },
	{ "GET / HTTP/1.1 \r\n" HOST "\r\n", HTTP1_BAD_LINE },
	{ "GET / HTTP/1.1\r" HOST "\r\n", HTTP1_BAD_NEWLINE },
	{ "GET  / HTTP/1.1\r\n" HOST "\r\n", HTTP1_BAD_LINE },
	{ "GET /\r\n\r\n", HTTP1_BAD_LINE },
	{ "GET / H\r\n\r\n", HTTP1_BAD_LINE },
	{ "GET / \r\n\r\n", HTTP1_BAD_LINE },
	{ "GET / HTTP/\r\n\r\n", HTTP1_BAD_LINE },
	{ "\r\n\r\nGET / HTTP/1.1\r\n" HOST "\r\n", HTTP1_BAD_LINE },
	{ "\nGET / HTTP/1.1\r\n" HOST "\r\n", HTTP1_BAD_NEWLINE },
	{ "GET / HTTP/1.1\n", HTTP1_BAD_NEWLINE },
	{ "GET / HTTP/1.1\r\n" HOST "\n", HTTP1_BAD_NEWLINE },
	{ "GET / HTTP/1.1\r\n" HOST "A: b\rc\r\n\r\n", HTTP1_BAD_NEWLINE },
	{ "GET / HTTP/1.1\r\n" HOST "A: b\r\n c\r\n\r\n", HTTP1_BAD_FIELD },
	{ "GET / HTTP/1.1\r\n" HOST "A : b\r\n\r\n", HTTP1_BAD_FIELD },
	{ "GET / HTTP/1.1\r\n" HOST "A: b\x7f\r\n\r\n", HTTP1_BAD_FIELD },
	{ "GET / HTTP/1.1\r\n" HOST ": b\r\n\r\n", HTTP1_BAD_FIELD },
	{ "GET / HTTP/1.1\r\n" HOST "Content-Length: +1\r\n\r\n", HTTP1_BAD_LENGTH },
	{ "GET / HTTP/1.1\r\n" HOST "Content-Length: 1\r\nContent-Length: 1\r\n\r\n",
	    HTTP1_BAD_LENGTH },
	{ "GET / HTTP/1.1\r\n" HOST "Content-Length: 9223372036854775808\r\n\r\n",
	    HTTP1_BAD_LENGTH },
	{ "GET / HTTP/1.1\r\n" HOST "Transfer-Encoding: gzip\r\n\r\n", HTTP1_BAD_CODING },
	{ "GET / HTTP/1.1\r\n" HOST "Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
	    HTTP1_BAD_CODING },
	{ "GET / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n", HTTP1_BAD_CODING },
};

START_TEST(test_bad_request)
{
	const char	*text = bad_requests[_i].text;

	run_all(REQUEST, text, strlen(text), &out, text);
	ck_assert_msg(out.r == -EBADMSG && out.e == bad_requests[_i].e, "%s: %s", text,
	    http1_strerror(out.e));
}
END_TEST

static const struct {
	const char		*text;
	enum http1_error	 e;
} bad_responses[] = {
	{ "HTTP/2.0 200 OK\r\n\r\n", HTTP1_BAD_VERSION },
	{ "HTTP/1.1 600 OK\r\n\r\n", HTTP1_BAD_LINE },
	{ "HTTP/1.1 099 OK\r\n\r\n", HTTP1_BAD_LINE },
	{ "HTTP/1.1 2000\r\n\r\n", HTTP1_BAD_LINE },
	{ "HTTP/1.1 200 O\x01K\r\n\r\n", HTTP1_BAD_LINE },
	{ "HTTP/1.1 20\r\n\r\n", HTTP1_BAD_LINE },
	{ "HTTP/1.1\r\n\r\n", HTTP1_BAD_LINE },
	{ "HTTP/1.1 \r\n\r\n", HTTP1_BAD_LINE },
	{ "HTTP/1.\r\n\r\n", HTTP1_BAD_LINE },
	{ "HTML", HTTP1_BAD_LINE },
	{ "HTTP/1.1 200 OK\n", HTTP1_BAD_NEWLINE },
	{ "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", HTTP1_BAD_LENGTH },
	{ "HTTP/1.1 100 Continue\r\nContent-Length: 1\r\n\r\n", HTTP1_BAD_LENGTH },
	{ "HTTP/1.1 101 Go\r\nTransfer-Encoding: chunked\r\n\r\n", HTTP1_BAD_CODING },
	{ "HTTP/1.1 200 OK\r\nTransfer-Encoding: identity\r\n\r\n", HTTP1_BAD_CODING },
};

START_TEST(test_bad_response)
{
	const char	*text = bad_responses[_i].text;

	run_all(ANSWER, text, strlen(text), &out, text);
	ck_assert_msg(out.r == -EBADMSG && out.e == bad_responses[_i].e, "%s: %s", text,
	    http1_strerror(out.e));
}
END_TEST

static const struct {
	const char	*text;
	bool		 keep_alive, expect;
} connections[] = {
	{ "GET / HTTP/1.1\r\n" HOST "\r\n", true, false },
	{ "GET / HTTP/1.0\r\n" HOST "\r\n", false, false },
	{ "GET / HTTP/1.0\r\nconnection: Keep-Alive\r\n\r\n", true, false },
	{ "GET / HTTP/1.0\r\nConnection: keep-alive, close\r\n\r\n", false, false },
	{ "GET / HTTP/1.1\r\n" HOST "Connection: x ,\tCLOSE\r\n\r\n", false, false },
	{ "GET / HTTP/1.1\r\n" HOST "Connection: x\r\nConnection: close\r\n\r\n", false, false },
	{ "GET / HTTP/1.1\r\n" HOST "Connection: closed, xclose\r\n\r\n", true, false },
	{ "GET / HTTP/1.1\r\n" HOST "Expect: 100-Continue\r\n\r\n", true, true },
	{ "GET / HTTP/1.0\r\n" HOST "Expect: 100-continue\r\n\r\n", false, false },
	{ "GET / HTTP/1.1\r\n" HOST "Expect: 200-ok\r\n\r\n", true, false },
};

START_TEST(test_connection)
{
	whole_request(connections[_i].text);
	ck_assert_int_eq(out.r, 1);
	ck_assert_int_eq(out.head.keep_alive, connections[_i].keep_alive);
	ck_assert_int_eq(out.head.expect_continue, connections[_i].expect);
}
END_TEST

static const struct {
	enum kind	 kind;
	const char	*text;
	bool		 hopeless;
} starts[] = {
	{ REQUEST, "", false }, { REQUEST, "\r", false }, { REQUEST, "\r\n", false },
	{ REQUEST, "P", false }, { REQUEST, "POST /", false }, { REQUEST, "\r\nP", false },
	{ REQUEST, " ", true }, { REQUEST, "{", true }, { REQUEST, "\x16\x03", true },
	{ REQUEST, "\n", true }, { REQUEST, "\r\n\r", true }, { REQUEST, "\r\n ", true },
	{ REQUEST, "PO\x01", true }, { REQUEST, "POST / HTTP/1.1\r\nA: b\n", true },
	{ ANSWER, "", false }, { ANSWER, "H", false }, { ANSWER, "HTTP/1", false },
	{ ANSWER, "\r", true }, { ANSWER, "HTTX", true }, { ANSWER, "<html>", true },
};

/* A stranger is known by the first bytes. */
START_TEST(test_early)
{
	size_t	n = strlen(starts[_i].text), scanned = 0;
	int	r;

	r = parse_head(starts[_i].kind, guarded(starts[_i].text, n), n, &scanned, HEADER_BYTES,
	    &out);
	ck_assert_msg(r == (starts[_i].hopeless ? -EBADMSG : 0), "%s: %d", starts[_i].text, r);
	scanned = 0;
	ck_assert_int_eq(parse_head(starts[_i].kind, NULL, 0, &scanned, HEADER_BYTES, &out), 0);
}
END_TEST

/* A head of exactly `max` bytes is fine, one more is not, and it is said before it has come. */
START_TEST(test_max)
{
	const char	text[] = "GET / HTTP/1.1\r\n" HOST "A: bcdefghij\r\n\r\n";
	size_t		n = strlen(text), scanned = 0;

	ck_assert_int_eq(parse_head(REQUEST, text, n, &scanned, n, &out), 1);
	scanned = 0;
	ck_assert_int_eq(parse_head(REQUEST, text, n, &scanned, n - 1, &out), -EBADMSG);
	ck_assert_int_eq(out.e, HTTP1_TOO_LARGE);
	scanned = 0;
	ck_assert_int_eq(parse_head(REQUEST, text, n - 4, &scanned, n - 4, &out), -EBADMSG);
	ck_assert_int_eq(out.e, HTTP1_TOO_LARGE);
	scanned = 0;
	ck_assert_int_eq(parse_head(REQUEST, text, n - 5, &scanned, n - 4, &out), 0);
}
END_TEST

START_TEST(test_field_count)
{
	static char	text[ROOM];
	size_t		n, i;

	n = (size_t)sprintf(text, "HTTP/1.1 200 OK\r\n");
	for (i = 0; i < HEADER_FIELDS; i++)
		n += (size_t)sprintf(text + n, "A%zu: b\r\n", i);
	memcpy(text + n, "\r\n", 3);
	run(ANSWER, text, n + 2, 0, &out);
	ck_assert_int_eq(out.r, 1);
	ck_assert_uint_eq(out.head.nfields, HEADER_FIELDS);
	memcpy(text + n, "B: c\r\n\r\n", 9);
	run(ANSWER, text, n + 8, 0, &out);
	ck_assert_int_eq(out.e, HTTP1_TOO_LARGE);
}
END_TEST

/* What was looked at is not looked at again: else a byte at a time is quadratic. */
START_TEST(test_scanned)
{
	char	text[] = "GET / HTTP/1.1\r\n" HOST "A: bcdefghij";
	size_t	n = strlen(text), scanned = 0;

	ck_assert_int_eq(parse_head(REQUEST, text, n, &scanned, HEADER_BYTES, &out), 0);
	ck_assert_uint_eq(scanned, n);
	text[n - 1] = '\n';
	ck_assert_int_eq(parse_head(REQUEST, text, n, &scanned, HEADER_BYTES, &out), 0);
	scanned = 0;
	ck_assert_int_eq(parse_head(REQUEST, text, n, &scanned, HEADER_BYTES, &out), -EBADMSG);
}
END_TEST

/* Every byte in each place where a class of characters counts. */
START_TEST(test_every_byte)
{
	static const char	delimiters[] = "\"(),/:;<=>?@[\\]{}";
	int			c;

	for (c = 0; c < 256; c++) {
		bool	graph = c > 0x20 && c < 0x7f;
		bool	token = graph && strchr(delimiters, c) == NULL;
		bool	value = c >= 0x80 || (c >= 0x20 && c != 0x7f) || c == '\t';
		char	text[] = "GET /? HTTP/1.1\r\n" HOST "A: xxxxxx?xxxxxxxxxx\r\n\r\n";
		char	method[] = "G? / HTTP/1.1\r\n" HOST "\r\n";
		char	name[] = "GET / HTTP/1.1\r\n" HOST "A?: b\r\n\r\n";

		ck_assert_int_eq(http1_is_token((char []){ 'a', (char)c }, 2), token);
		ck_assert_int_eq(http1_is_value((char []){ 'a', (char)c }, 2), value);
		*strrchr(text, '?') = (char)c;
		run(REQUEST, text, sizeof(text) - 1, 0, &out);
		ck_assert_msg((out.r == 1) == value, "value %#x", (unsigned)c);
		memcpy(strstr(text, "A:"), "A: ", 3);
		text[5] = (char)c;
		text[strlen("GET /? HTTP/1.1\r\n" HOST "A: xxxxxx")] = 'x';
		run(REQUEST, text, sizeof(text) - 1, 0, &out);
		ck_assert_msg((out.r == 1) == graph, "target %#x", (unsigned)c);
		method[1] = (char)c;
		run(REQUEST, method, sizeof(method) - 1, 0, &out);
		ck_assert_msg((out.r == 1) == token, "method %#x", (unsigned)c);
		*strrchr(name, '?') = (char)c;
		run(REQUEST, name, sizeof(name) - 1, 0, &out);
		ck_assert_msg((out.r == 1) == (token || c == ':'), "name %#x", (unsigned)c);
	}
	ck_assert(!http1_is_token("", 0) && http1_is_value("", 0));
}
END_TEST

static const struct {
	int			status;
	const char		*field;
	enum kind		kind;
	enum http1_framing	framing;
} framings[] = {
	{ 200, "Content-Length: 0", ANSWER, HTTP1_LENGTH },
	{ 200, "Content-Length: 7", TO_HEAD, HTTP1_NONE },
	{ 200, "Transfer-Encoding: chunked", ANSWER, HTTP1_CHUNKED },
	{ 200, "Transfer-Encoding: chunked", TO_HEAD, HTTP1_NONE },
	{ 200, "A: b", ANSWER, HTTP1_EOF },
	{ 200, "A: b", TO_HEAD, HTTP1_NONE },
	{ 199, "Content-Length: 0", ANSWER, HTTP1_NONE },
	{ 204, "Content-Length: 0", ANSWER, HTTP1_NONE },
	{ 205, "Content-Length: 7", ANSWER, HTTP1_LENGTH },
	{ 304, "Transfer-Encoding: chunked", ANSWER, HTTP1_NONE },
	{ 500, "A: b", ANSWER, HTTP1_EOF },
};

/* A body where none may be. */
START_TEST(test_forbidden_body)
{
	const char	length[] = "HTTP/1.1 204 X\r\nContent-Length: 1\r\n\r\n";
	const char	coding[] = "HTTP/1.1 204 X\r\nTransfer-Encoding: chunked\r\n\r\n";

	run(ANSWER, length, strlen(length), 0, &out);
	ck_assert(out.r == 1 && out.head.framing == HTTP1_NONE && !out.head.keep_alive);
	run(ANSWER, coding, strlen(coding), 0, &out);
	ck_assert(out.r == 1 && out.head.framing == HTTP1_NONE && !out.head.keep_alive);
}
END_TEST

START_TEST(test_framing)
{
	char	text[128];
	int	n;

	n = snprintf(text, sizeof(text), "HTTP/1.1 %d X\r\n%s\r\n\r\n", framings[_i].status,
	    framings[_i].field);
	run(framings[_i].kind, text, (size_t)n, 0, &out);
	ck_assert_int_eq(out.r, 1);
	ck_assert_int_eq(out.head.framing, framings[_i].framing);
	ck_assert_int_eq(out.head.keep_alive, framings[_i].framing != HTTP1_EOF);
}
END_TEST

#define CHUNKED	"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"

START_TEST(test_body)
{
	static const char	text[] = CHUNKED "5;a=\"b;\";c\r\nhello\r\n00007\r\n, world\r\n"
				    "0\r\nA: b\r\nC:\r\n\r\nHTTP/1.1";

	run_all(ANSWER, text, strlen(text), &out, "chunked");
	ck_assert(out.r == 1 && out.body_ok);
	ck_assert_uint_eq(out.nbody, 12);
	ck_assert(memcmp(out.body, "hello, world", 12) == 0);
	ck_assert_uint_eq(out.taken, strlen(text) - strlen("HTTP/1.1"));
}
END_TEST

static bool
chunk_ok(const char *fmt, int width)
{
	char	text[16384];
	int	n;

	n = snprintf(text, sizeof(text), fmt, width, 0);
	ck_assert(n > 0 && (size_t)n < sizeof(text));
	run_all(ANSWER, text, (size_t)n, &out, fmt);
	return out.r == 1 && out.body_ok;
}

/* The line bounds hold to the byte, for the first chunk and the next; sum of trailers. */
START_TEST(test_chunk_bounds)
{
	ck_assert(chunk_ok(CHUNKED "%0*d\r\n\r\n", CHUNK_LINE - 2));
	ck_assert(!chunk_ok(CHUNKED "%0*d\r\n\r\n", CHUNK_LINE - 1));
	ck_assert(chunk_ok(CHUNKED "1\r\nx\r\n0;%0*d\r\n\r\n", CHUNK_LINE - 4));
	ck_assert(!chunk_ok(CHUNKED "1\r\nx\r\n0;%0*d\r\n\r\n", CHUNK_LINE - 3));
	ck_assert(chunk_ok(CHUNKED "0\r\nA: b\r\nC:%0*d\r\n\r\n", TRAILER_BYTES - 12));
	ck_assert(!chunk_ok(CHUNKED "0\r\nA: b\r\nC:%0*d\r\n\r\n", TRAILER_BYTES - 11));
}
END_TEST

START_TEST(test_chunk_size)
{
	struct http1_body	b;
	struct slice		data;
	enum http1_error	e;

	http1_body_init(&b, HTTP1_CHUNKED, 0);
	ck_assert_int_eq(http1_body(&b, "7fffffffffffffff\r\nx", 19, &data, &e), 19);
	ck_assert_uint_eq(b.left, INT64_MAX - 1);
	http1_body_init(&b, HTTP1_CHUNKED, 0);
	ck_assert_int_eq(http1_body(&b, "8000000000000000\r\nx", 19, &data, &e), -EBADMSG);
	ck_assert_int_eq(e, HTTP1_BAD_CHUNK);
}
END_TEST

START_TEST(test_body_ends)
{
	struct http1_body	b;
	struct slice		data;
	enum http1_error	e;

	http1_body_init(&b, HTTP1_NONE, 9);
	ck_assert(b.done && http1_body_eof(&b));
	http1_body_init(&b, HTTP1_LENGTH, 0);
	ck_assert(b.done);
	http1_body_init(&b, HTTP1_LENGTH, 3);
	ck_assert_int_eq(http1_body(&b, "ab", 2, &data, &e), 2);
	ck_assert(!b.done && !http1_body_eof(&b));
	ck_assert_int_eq(http1_body(&b, "cd", 2, &data, &e), 1);
	ck_assert(slice_eq(data, "c") && b.done && b.seen == 3);
	http1_body_init(&b, HTTP1_EOF, 0);
	ck_assert_int_eq(http1_body(&b, "ab", 2, &data, &e), 2);
	ck_assert(slice_eq(data, "ab") && !b.done);
	ck_assert(http1_body_eof(&b) && b.done);
	http1_body_init(&b, HTTP1_CHUNKED, 0);
	ck_assert(!http1_body_eof(&b));
}
END_TEST

START_TEST(test_lookup)
{
	const struct http1_head	*h = &out.head;
	size_t			 i = 0;

	whole_request("GET / HTTP/1.1\r\n" HOST "V: one,two\r\nW: x\r\nv:\tThree\t,\r\n\r\n");
	ck_assert(slice_eq(http1_get(h, "v"), "one,two"));
	ck_assert(http1_get(h, "none").p == NULL);
	ck_assert(http1_next(h, "V", &i) == &h->fields[1]);
	ck_assert(http1_next(h, "V", &i) == &h->fields[3]);
	ck_assert(http1_next(h, "V", &i) == NULL);
	ck_assert(http1_has_token(h, "V", "TWO") && http1_has_token(h, "v", "three"));
	ck_assert(!http1_has_token(h, "V", "thre") && !http1_has_token(h, "V", "x"));
	ck_assert(http1_lists(h, "w", (struct slice){ "Xy", 1 }));
}
END_TEST

START_TEST(test_words)
{
	int	e;

	for (e = HTTP1_OK; e < HTTP1_ERROR_MAX; e++)
		ck_assert(*http1_strerror((enum http1_error)e) != '\0');
	ck_assert_str_eq(http1_strerror(HTTP1_ERROR_MAX), "unknown error");
	ck_assert_str_eq(http1_reason(503), "Service Unavailable");
	ck_assert_str_eq(http1_reason(511), "Network Authentication Required");
	ck_assert_str_eq(http1_reason(299), "");
	ck_assert_str_eq(http1_reason(-1), "");
	ck_assert_str_eq(http1_reason(512), "");
}
END_TEST

static void
replay(const char *name)
{
	static char	text[ROOM];
	char		path[512];
	FILE		*f;
	size_t		n;
	const char	*verdict;
	enum kind	kind = strncmp(name, "req-", 4) == 0 ? REQUEST :
			    strstr(name, "-head-") != NULL ? TO_HEAD : ANSWER;

	snprintf(path, sizeof(path), CORPUS "/%s", name);
	ck_assert_ptr_nonnull(f = fopen(path, "r"));
	n = fread(text, 1, sizeof(text), f);
	fclose(f);
	run_all(kind, text, n, &out, name);
	verdict = out.r < 0 ? "reject" : out.r == 1 && out.body_ok ? "accept" : "more";
	ck_assert_msg(strncmp(strchr(name, '-') + 1, verdict, strlen(verdict)) == 0,
	    "%s: %s (%s)", name, verdict, http1_strerror(out.e));
	if (out.r == 1 && out.body_ok)
		ck_assert_msg(out.taken == n, "%s: took %zu of %zu", name, out.taken, n);
}

START_TEST(test_corpus)
{
	struct dirent	*d;
	DIR		*dir;
	int		 n = 0;

	ck_assert_ptr_nonnull(dir = opendir(CORPUS));
	while ((d = readdir(dir)) != NULL) {
		if (d->d_name[0] == '.')
			continue;
		replay(d->d_name);
		n++;
	}
	closedir(dir);
	ck_assert_int_gt(n, 150);
}
END_TEST

static TCase *
cases(void)
{
	TCase	*t = tcase_create("http1");

	tcase_set_timeout(t, 60);
	tcase_add_test(t, test_request_slices);
	tcase_add_test(t, test_response_slices);
	tcase_add_loop_test(t, test_bad_request, 0, nitems(bad_requests));
	tcase_add_loop_test(t, test_bad_response, 0, nitems(bad_responses));
	tcase_add_loop_test(t, test_connection, 0, nitems(connections));
	tcase_add_loop_test(t, test_early, 0, nitems(starts));
	tcase_add_test(t, test_max);
	tcase_add_test(t, test_field_count);
	tcase_add_test(t, test_scanned);
	tcase_add_test(t, test_every_byte);
	tcase_add_loop_test(t, test_framing, 0, nitems(framings));
	tcase_add_test(t, test_forbidden_body);
	tcase_add_test(t, test_body);
	tcase_add_test(t, test_chunk_bounds);
	tcase_add_test(t, test_chunk_size);
	tcase_add_test(t, test_body_ends);
	tcase_add_test(t, test_lookup);
	tcase_add_test(t, test_words);
	tcase_add_test(t, test_corpus);
	return t;
}

int
main(void)
{
	Suite	*s = suite_create("http1");
	SRunner	*r = srunner_create(s);
	int	 failed;

	suite_add_tcase(s, cases());
	srunner_run_all(r, CK_NORMAL);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
