/* lib/jsonrpc: kind, method and ids of a body, however it is cut. */
#include <check.h>
#include <stdio.h>

#include "guarded.h"
#include "jsonrpc.h"

#define A10	"aaaaaaaaaa"
#define A100	A10 A10 A10 A10 A10 A10 A10 A10 A10 A10

static const struct {
	const char		*text;
	enum jsonrpc_kind	 kind;
	const char		*method;
	const char		*ids;
} cases[] = {
	/* messages */
	{ "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"tools/call\",\"params\":{\"id\":[2]}}",
	    JSONRPC_REQUEST, "tools/call", "1\n" },
	{ " \t\r\n{ \"method\" : \"ping\" , \"id\" : \"a-1\" } \r\n",
	    JSONRPC_REQUEST, "ping", "\"a-1\"\n" },
	{ "{\"method\":\"ping\",\"id\":null}", JSONRPC_REQUEST, "ping", "null\n" },
	{ "{\"id\":12345678901234567890,\"method\":\"m\"}",
	    JSONRPC_REQUEST, "m", "12345678901234567890\n" },
	{ "{\"id\":-1.50e+3,\"method\":\"m\"}", JSONRPC_REQUEST, "m", "-1.50e+3\n" },
	{ "{\"id\":0,\"method\":\"m\"}", JSONRPC_REQUEST, "m", "0\n" },
	{ "{\"id\":\"\",\"method\":\"\"}", JSONRPC_REQUEST, "", "\"\"\n" },
	{ "{\"id\":\"x\\\"\\u00e9\\n\\\\\",\"method\":\"m\"}",
	    JSONRPC_REQUEST, "m", "\"x\\\"\\u00e9\\n\\\\\"\n" },
	{ "{\"id\":\"\xc3\xa9\",\"method\":\"m\xc3\xa9\"}",
	    JSONRPC_REQUEST, "m\xc3\xa9", "\"\xc3\xa9\"\n" },
	{ "{\"method\":\"notifications/initialized\"}",
	    JSONRPC_NOTIFICATION, "notifications/initialized", "" },
	{ "{\"id\":1,\"result\":{}}", JSONRPC_RESPONSE, "", "" },
	{ "{\"error\":{\"code\":1,\"message\":\"id\"},\"id\":\"x\"}", JSONRPC_RESPONSE, "", "" },
	{ "{\"result\":null}", JSONRPC_RESPONSE, "", "" },
	{ "{\"params\":{\"method\":\"x\",\"id\":9},\"method\":\"y\"}",
	    JSONRPC_NOTIFICATION, "y", "" },
	{ "{\"params\":[{\"method\":\"x\",\"id\":9}],\"method\":\"y\",\"id\":8}",
	    JSONRPC_REQUEST, "y", "8\n" },
	{ "{\"params\":{\"result\":1,\"error\":2},\"method\":\"y\",\"id\":8}",
	    JSONRPC_REQUEST, "y", "8\n" },
	{ "{\"ID\":1,\"Method\":\"x\",\"method\":\"y\"}", JSONRPC_NOTIFICATION, "y", "" },
	{ "{\"idx\":1,\"i\":2,\"\":3,\"method\":\"y\"}", JSONRPC_NOTIFICATION, "y", "" },
	{ "{\"" A100 A100 "\":1,\"method\":\"y\"}", JSONRPC_NOTIFICATION, "y", "" },
	{ "{\"method\":\"" A100 A10 A10 "aaaaaaa\",\"id\":1}",
	    JSONRPC_REQUEST, A100 A10 A10 "aaaaaaa", "1\n" },
	{ "{\"method\":\"" A100 A10 A10 "aaaaaaaa\",\"id\":1}", JSONRPC_REQUEST, "", "1\n" },
	/* escapes in keys and methods are decoded */
	{ "{\"\\u0069d\":7,\"\\u006De\\u0074hod\":\"tools\\/c\\u0061ll\"}",
	    JSONRPC_REQUEST, "tools/call", "7\n" },
	{ "{\"id\\u0000\":7,\"method\":\"m\"}", JSONRPC_NOTIFICATION, "m", "" },
	{ "{\"id\\u0169\":7,\"method\":\"m\"}", JSONRPC_NOTIFICATION, "m", "" },
	{ "{\"id\":7,\"method\":\"m\\u0000\"}", JSONRPC_REQUEST, "", "7\n" },
	{ "{\"id\":7,\"method\":\"\\b\\f\\n\\r\\t\\\"\\\\\"}",
	    JSONRPC_REQUEST, "\b\f\n\r\t\"\\", "7\n" },
	/* what surrounds them */
	{ "{\"id\":1,\"method\":\"m\",\"params\":[true,false,null,0,-0.5,1e9,12,\"\\ud83d\\ude00\","
	    "{},[],{\"a\":{\"b\":[[]]}}]}", JSONRPC_REQUEST, "m", "1\n" },
	/* batches */
	{ "[{\"id\":1,\"method\":\"a\"},{\"method\":\"b\"},{\"id\":2,\"result\":0},"
	    "{\"method\":\"c\",\"id\":\"3\"}]", JSONRPC_BATCH, "", "1\n\"3\"\n" },
	{ " [ {\"method\":\"b\"} , {\"id\":2,\"error\":{}} ] ", JSONRPC_BATCH, "", "" },
	/* JSON, but no message */
	{ "[]", JSONRPC_INVALID, "", "" },
	{ "[[]]", JSONRPC_INVALID, "", "" },
	{ "[1]", JSONRPC_INVALID, "", "" },
	{ "[{\"id\":1,\"method\":\"a\"},null]", JSONRPC_INVALID, "", "" },
	{ "[{\"id\":1,\"method\":\"a\"},{}]", JSONRPC_INVALID, "", "" },
	{ "[[{\"id\":1,\"method\":\"a\"}]]", JSONRPC_INVALID, "", "" },
	{ "{}", JSONRPC_INVALID, "", "" },
	{ "{\"id\":1}", JSONRPC_INVALID, "", "" },
	{ "{\"jsonrpc\":\"2.0\",\"id\":1,\"params\":{}}", JSONRPC_INVALID, "", "" },
	{ "1", JSONRPC_INVALID, "", "" },
	{ "-0.5e1 ", JSONRPC_INVALID, "", "" },
	{ "\"x\"", JSONRPC_INVALID, "", "" },
	{ "null", JSONRPC_INVALID, "", "" },
	{ "{\"id\":{},\"method\":\"m\"}", JSONRPC_INVALID, "", "" },
	{ "{\"id\":[1],\"method\":\"m\"}", JSONRPC_INVALID, "", "" },
	{ "{\"id\":true,\"method\":\"m\"}", JSONRPC_INVALID, "", "" },
	{ "{\"method\":1,\"id\":1}", JSONRPC_INVALID, "", "" },
	{ "{\"method\":null}", JSONRPC_INVALID, "", "" },
	{ "{\"method\":{\"method\":\"m\"}}", JSONRPC_INVALID, "", "" },
	{ "{\"id\":1,\"id\":2,\"method\":\"m\"}", JSONRPC_INVALID, "", "" },
	{ "{\"id\":1,\"method\":\"m\",\"\\u0069d\":1}", JSONRPC_INVALID, "", "" },
	{ "{\"method\":\"m\",\"id\":1,\"method\":\"m\"}", JSONRPC_INVALID, "", "" },
	{ "{\"method\":\"m\",\"id\":1,\"result\":1}", JSONRPC_INVALID, "", "" },
	{ "{\"error\":1,\"id\":1,\"method\":\"m\"}", JSONRPC_INVALID, "", "" },
	/* no JSON */
	{ "", JSONRPC_NOT_JSON, "", "" },
	{ "  \n", JSONRPC_NOT_JSON, "", "" },
	{ "{", JSONRPC_NOT_JSON, "", "" },
	{ "[", JSONRPC_NOT_JSON, "", "" },
	{ "{]", JSONRPC_NOT_JSON, "", "" },
	{ "[}", JSONRPC_NOT_JSON, "", "" },
	{ "{\"id\":1,\"method\":\"m\"", JSONRPC_NOT_JSON, "", "" },
	{ "{\"id\":1,\"method\":\"m\"]", JSONRPC_NOT_JSON, "", "" },
	{ "{\"id\":1,\"method\":\"m\",}", JSONRPC_NOT_JSON, "", "" },
	{ "{\"id\":1 \"method\":\"m\"}", JSONRPC_NOT_JSON, "", "" },
	{ "{\"id\" 1}", JSONRPC_NOT_JSON, "", "" },
	{ "{,}", JSONRPC_NOT_JSON, "", "" },
	{ "{id:1}", JSONRPC_NOT_JSON, "", "" },
	{ "{\"id\":1,\"method\":\"m\"}{}", JSONRPC_NOT_JSON, "", "" },
	{ "{\"id\":1,\"method\":\"m\"},", JSONRPC_NOT_JSON, "", "" },
	{ "[{\"id\":1,\"method\":\"m\"},]", JSONRPC_NOT_JSON, "", "" },
	{ "[,{\"id\":1,\"method\":\"m\"}]", JSONRPC_NOT_JSON, "", "" },
	{ "[{\"id\":1,\"method\":\"m\"}", JSONRPC_NOT_JSON, "", "" },
	{ "GET / HTTP/1.1", JSONRPC_NOT_JSON, "", "" },
	{ "\xef\xbb\xbf{\"method\":\"m\"}", JSONRPC_NOT_JSON, "", "" },
	{ "{\"method\":\"m\",\"a\":tru}", JSONRPC_NOT_JSON, "", "" },
	{ "{\"method\":\"m\",\"a\":nulL}", JSONRPC_NOT_JSON, "", "" },
	{ "{\"method\":\"m\",\"a\":truee}", JSONRPC_NOT_JSON, "", "" },
	{ "{\"method\":\"m\",\"a\":01}", JSONRPC_NOT_JSON, "", "" },
	{ "{\"method\":\"m\",\"a\":1.}", JSONRPC_NOT_JSON, "", "" },
	{ "{\"method\":\"m\",\"a\":.5}", JSONRPC_NOT_JSON, "", "" },
	{ "{\"method\":\"m\",\"a\":+5}", JSONRPC_NOT_JSON, "", "" },
	{ "{\"method\":\"m\",\"a\":-}", JSONRPC_NOT_JSON, "", "" },
	{ "{\"method\":\"m\",\"a\":1e}", JSONRPC_NOT_JSON, "", "" },
	{ "{\"method\":\"m\",\"a\":1e+}", JSONRPC_NOT_JSON, "", "" },
	{ "{\"method\":\"m\",\"a\":1e5.5}", JSONRPC_NOT_JSON, "", "" },
	{ "{\"method\":\"m\",\"a\":0x5}", JSONRPC_NOT_JSON, "", "" },
	{ "{\"method\":\"m\",\"a\":NaN}", JSONRPC_NOT_JSON, "", "" },
	{ "{\"method\":\"m\",\"a\":'x'}", JSONRPC_NOT_JSON, "", "" },
	{ "{\"method\":\"m\",\"a\":\"\\x\"}", JSONRPC_NOT_JSON, "", "" },
	{ "{\"method\":\"m\",\"a\":\"\\u12g4\"}", JSONRPC_NOT_JSON, "", "" },
	{ "{\"method\":\"m\",\"a\":\"\n\"}", JSONRPC_NOT_JSON, "", "" },
	{ "{\"method\":\"m\",\"a\":\"long enough for a word\x1f...\"}", JSONRPC_NOT_JSON, "", "" },
	{ "{\"id\":\"a\nb\",\"method\":\"m\"}", JSONRPC_NOT_JSON, "", "" },
	{ "{\"id\":1-,\"method\":\"m\"}", JSONRPC_NOT_JSON, "", "" },
	{ "1.", JSONRPC_NOT_JSON, "", "" },
	{ "\"", JSONRPC_NOT_JSON, "", "" },
	/* a fault of the message does not hide one of the JSON */
	{ "{\"id\":{},\"method\":\"m\"]", JSONRPC_NOT_JSON, "", "" },
	{ "{\"id\":1,\"id\":\"", JSONRPC_NOT_JSON, "", "" },
};

static void
expect(const struct jsonrpc *r, int i)
{
	ck_assert_msg(r->kind == cases[i].kind, "kind %d of %s", (int)r->kind, cases[i].text);
	ck_assert_str_eq(r->method, cases[i].method);
	ck_assert_uint_eq(r->ids.len, strlen(cases[i].ids));
	ck_assert(r->ids.len == 0 || memcmp(r->ids.p, cases[i].ids, r->ids.len) == 0);
	ck_assert(r->batch_requests == (r->kind == JSONRPC_BATCH && cases[i].ids[0] != '\0') ||
	    r->kind == JSONRPC_INVALID || r->kind == JSONRPC_NOT_JSON);
}

/* The text in pieces: `first` bytes, then `step` at a time. */
static void
feed(struct jsonrpc *r, const char *text, size_t n, size_t first, size_t step)
{
	size_t	i, piece;

	jsonrpc_init(r);
	for (i = 0, piece = first; i < n; i += piece, piece = step) {
		piece = MIN(piece, n - i);
		ck_assert_int_eq(jsonrpc_feed(r, guarded(text + i, piece), piece), 0);
		ck_assert(r->kind != JSONRPC_BATCH || r->method[0] == '\0');
	}
	jsonrpc_end(r);
}

START_TEST(test_case)
{
	struct jsonrpc	r;
	const char	*text = cases[_i].text;
	size_t		 n = strlen(text), first;

	feed(&r, text, n, n, 1);
	expect(&r, _i);
	jsonrpc_free(&r);
	feed(&r, text, n, 1, 1);
	expect(&r, _i);
	jsonrpc_free(&r);
	for (first = 1; first < n; first++) {
		feed(&r, text, n, first, n);
		expect(&r, _i);
		jsonrpc_free(&r);
	}
}
END_TEST

/* A cut document is never a message. */
START_TEST(test_prefix)
{
	struct jsonrpc	r;
	const char	*text = cases[_i].text;
	size_t		 n = strlen(text), cut;

	while (n > 0 && strchr(" \r\n", text[n - 1]) != NULL)
		n--;
	for (cut = 0; cut < n && (text[0] == '{' || text[0] == '['); cut++) {
		feed(&r, text, cut, cut, 1);
		ck_assert(r.kind == JSONRPC_NOT_JSON ||
		    cases[_i].kind == JSONRPC_NOT_JSON);
		jsonrpc_free(&r);
	}
}
END_TEST

static const struct {
	const char		*text;
	enum jsonrpc_kind	 kind;
} early[] = {
	{ "{", JSONRPC_UNKNOWN },
	{ "{\"method\":\"m\"", JSONRPC_UNKNOWN },
	{ "{\"method\":\"m\",\"id\":1", JSONRPC_UNKNOWN },	/* more digits may follow */
	{ "{\"method\":\"m\",\"id\":1,", JSONRPC_REQUEST },
	{ "{\"id\":\"x\",\"method\":\"m\"", JSONRPC_REQUEST },
	{ "{\"id\":\"x\"", JSONRPC_UNKNOWN },
	{ "{\"id\":\"x\",\"result\"", JSONRPC_RESPONSE },
	{ "{\"error\":{", JSONRPC_RESPONSE },
	{ "{\"method\":\"m\"}", JSONRPC_NOTIFICATION },
	{ "[", JSONRPC_UNKNOWN },
	{ "[{", JSONRPC_BATCH },
	{ "[1", JSONRPC_INVALID },
	{ "{\"id\":{", JSONRPC_INVALID },
	{ "x", JSONRPC_NOT_JSON },
};

START_TEST(test_early)
{
	struct jsonrpc	r;

	jsonrpc_init(&r);
	ck_assert_int_eq(jsonrpc_feed(&r, early[_i].text, strlen(early[_i].text)), 0);
	ck_assert_msg(r.kind == early[_i].kind, "%d: %s", (int)r.kind, early[_i].text);
	jsonrpc_free(&r);
}
END_TEST

START_TEST(test_depth)
{
	struct jsonrpc	r;
	struct buf	text = BUF_INIT(0);
	unsigned	deep, i;

	for (deep = JSON_DEPTH; deep <= JSON_DEPTH + 1; deep++) {
		buf_reset(&text);
		buf_adds(&text, "{\"id\":1,\"method\":\"m\",\"a\":");
		for (i = 1; i < deep; i++)
			buf_adds(&text, i % 3 != 0 ? "[" : "{\"a\":");
		buf_adds(&text, "0");
		for (i = deep - 1; i > 0; i--)
			buf_adds(&text, i % 3 != 0 ? "]" : "}");
		buf_adds(&text, "}");
		feed(&r, text.p, text.len, text.len, 1);
		ck_assert_int_eq(r.kind, deep == JSON_DEPTH ? JSONRPC_REQUEST : JSONRPC_INVALID);
		ck_assert_uint_eq(r.ids.len, deep == JSON_DEPTH ? 2 : 0);
		jsonrpc_free(&r);
	}
	buf_free(&text);
}
END_TEST

/* `n` bytes of id, its quotes included. */
static enum jsonrpc_kind
kind_with_id(size_t n, size_t step)
{
	struct jsonrpc	r;
	struct buf	text = BUF_INIT(0);

	buf_adds(&text, "{\"method\":\"m\",\"id\":\"");
	for (; n > 2; n--)
		buf_adds(&text, "a");
	buf_adds(&text, "\"}");
	feed(&r, text.p, text.len, step, step);
	ck_assert(r.ids.len <= ID_BYTES + 1);
	jsonrpc_free(&r);
	buf_free(&text);
	return r.kind;
}

START_TEST(test_long_id)
{
	ck_assert_int_eq(kind_with_id(ID_BYTES, 1), JSONRPC_REQUEST);
	ck_assert_int_eq(kind_with_id(ID_BYTES, 9999), JSONRPC_REQUEST);
	ck_assert_int_eq(kind_with_id(ID_BYTES + 1, 1), JSONRPC_INVALID);
	ck_assert_int_eq(kind_with_id(ID_BYTES + 1, 9999), JSONRPC_INVALID);
	ck_assert_int_eq(kind_with_id(ID_BYTES * 20, 9999), JSONRPC_INVALID);
}
END_TEST

START_TEST(test_many_ids)
{
	struct jsonrpc	r;
	struct buf	text = BUF_INIT(0);
	int		i, n;

	for (n = IDS_BYTES / 4; n <= IDS_BYTES / 4 + 1; n++) {
		buf_reset(&text);
		for (i = 0; i < n; i++)
			buf_adds(&text, i == 0 ? "[{\"id\":100,\"method\":\"m\"}" :
			    ",{\"id\":100,\"method\":\"m\"}");
		buf_adds(&text, "]");
		jsonrpc_init(&r);
		ck_assert_int_eq(jsonrpc_feed(&r, text.p, text.len), 0);
		jsonrpc_end(&r);
		ck_assert_int_eq(r.kind, i == IDS_BYTES / 4 ? JSONRPC_BATCH : JSONRPC_INVALID);
		ck_assert_uint_eq(r.ids.len, i == IDS_BYTES / 4 ? IDS_BYTES : 0);
		jsonrpc_free(&r);
	}
	buf_free(&text);
}
END_TEST

/* Each byte at each place of a word, where the fast path looks at eight at a time. */
START_TEST(test_every_byte_in_string)
{
	struct jsonrpc		r;
	char			text[64];
	enum jsonrpc_kind	want;
	int			c, at;

	for (at = 0; at < 24; at++)
		for (c = 0; c < 256; c++) {
			memcpy(text, "{\"method\":\"m\",\"a\":\"abcdefghijklmnopqrstuvwxyz\"}", 47);
			text[19 + at] = (char)c;
			want = c < 0x20 || c == '"' || (c == '\\' &&
			    strchr("bfnrt", text[20 + at]) == NULL) ?
			    JSONRPC_NOT_JSON : JSONRPC_NOTIFICATION;
			feed(&r, text, 47, 47, 1);
			ck_assert_msg(r.kind == want, "%d at %d", c, at);
			jsonrpc_free(&r);
		}
}
END_TEST

int
main(void)
{
	Suite	*s = suite_create("jsonrpc");
	TCase	*t = tcase_create("jsonrpc");
	SRunner	*r = srunner_create(s);
	int	 failed;

	tcase_add_loop_test(t, test_case, 0, nitems(cases));
	tcase_add_loop_test(t, test_prefix, 0, nitems(cases));
	tcase_add_loop_test(t, test_early, 0, nitems(early));
	tcase_add_test(t, test_depth);
	tcase_add_test(t, test_long_id);
	tcase_add_test(t, test_many_ids);
	tcase_add_test(t, test_every_byte_in_string);
	suite_add_tcase(s, t);
	srunner_run_all(r, CK_NORMAL);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
