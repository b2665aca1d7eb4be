/* lib/mcp, lib/mcp_tools: what headers a body asks for (WIRE M1 to M5, M11). */
#include <check.h>
#include <stdio.h>

#include "guarded.h"
#include "mcp_tools.h"

static struct slice
fenced(const char *text)
{
	return (struct slice){ guarded(text, strlen(text)), strlen(text) };
}

/* --- members, texts, ids --- */

START_TEST(members)
{
	static const struct { const char *json, *key, *wants; } cases[] = {
		{ "{\"a\":1}", "a", "1" },
		{ " { \"a\" : [1, {\"b\":2}] , \"b\" : \"x\" } ", "b", "\"x\"" },
		{ "{\"a\":{\"b\":1},\"b\":2}", "b", "2" },
		{ "{\"a\":\"}\\\"\",\"b\":true}", "b", "true" },
		{ "{\"a\":1,\"a\":2}", "a", "2" },		/* as most parsers take it */
		{ "{\"\\u0061\":1}", "a", "1" },
		{ "{\"A\":1}", "a", NULL },
		{ "{}", "a", NULL },
		{ "[\"a\",1]", "a", NULL },
		{ "\"a\"", "a", NULL },
		{ "", "a", NULL },
		/* not JSON: nothing, safely */
		{ "{\"a\":", "a", NULL },
		{ "{\"a\"}", "a", NULL },
		{ "{\"a", "a", NULL },
		{ "{\"a\":\"x}", "a", NULL },
		{ "{\"a\\", "a", NULL },
		{ "{\"a\":[}", "a", NULL },
		{ "{", "a", NULL },
	};
	struct slice got;

	for (size_t i = 0; i < nitems(cases); i++) {
		bool found = mcp_member(fenced(cases[i].json), cases[i].key, &got);

		ck_assert_msg(found == (cases[i].wants != NULL), "%s", cases[i].json);
		if (found)
			ck_assert_msg(slice_eq(got, cases[i].wants), "%s", cases[i].json);
	}
	ck_assert(mcp_at(fenced("{\"a\":{\"b\":{\"c\":3}}}"), &got, "a", "b", "c", NULL));
	ck_assert(slice_eq(got, "3"));
	ck_assert(!mcp_at(fenced("{\"a\":{\"b\":1}}"), &got, "a", "x", NULL));
}
END_TEST

START_TEST(elements)
{
	struct slice array = fenced(" [1, \"a,]\" ,{\"b\":[2]}, [] ]"), got;
	static const char *const wants[] = { "1", "\"a,]\"", "{\"b\":[2]}", "[]" };
	size_t at = 0, n = 0;

	for (; mcp_element(array, &at, &got); n++)
		ck_assert(slice_eq(got, wants[n]));
	ck_assert_uint_eq(n, nitems(wants));
	at = 0;
	ck_assert(!mcp_element(fenced("[]"), &at, &got));
	at = 0;
	ck_assert(!mcp_element(fenced("{}"), &at, &got));
}
END_TEST

START_TEST(texts)
{
	static const struct { const char *json, *wants; } cases[] = {
		{ "\"\"", "" }, { "\"a\"", "a" }, { "\"\\\"\\\\\\/\\b\\f\\n\\r\\t\"", "\"\\/\b\f\n\r\t" },
		{ "\"\\u00e9\\u20ac\"", "\xc3\xa9\xe2\x82\xac" },
		{ "\"\\ud83d\\ude00\"", "\xf0\x9f\x98\x80" },
		{ "\"\\ud83dx\"", "\xef\xbf\xbdx" }, { "\"\\ude00\"", "\xef\xbf\xbd" },
		{ "1", NULL }, { "\"", NULL }, { "\"\\x\"", NULL }, { "\"\\u12\"", NULL },
		{ "\"\\\"", NULL },
	};

	for (size_t i = 0; i < nitems(cases); i++) {
		struct buf out = BUF_INIT(0);
		int e = mcp_text(fenced(cases[i].json), &out);

		ck_assert_msg((e == 0) == (cases[i].wants != NULL), "%s: %d", cases[i].json, e);
		if (e == 0)
			ck_assert_str_eq(out.p != NULL ? out.p : "", cases[i].wants);
		buf_free(&out);
	}
}
END_TEST

/* F4: an answer is the request's whatever a server's printer made of the id. */
START_TEST(ids)
{
	static const struct { const char *a, *b; bool same; } cases[] = {
		{ "1", "1", true }, { "1", "2", false }, { "1", "1.0", true }, { "10", "1e1", true },
		{ "\"1\"", "1", false }, { "\"a\"", "\"\\u0061\"", true }, { "\"a\"", "\"A\"", false },
		{ "\"/\"", "\"\\/\"", true }, { "null", "null", true }, { "\"a\"", "\"ab\"", false },
		{ "9007199254740993", "9007199254740992", false }, { "", "1", false },
		{ "\"\"", "\"\"", true },
	};

	for (size_t i = 0; i < nitems(cases); i++) {
		ck_assert_msg(mcp_same_id(slice_of(cases[i].a), slice_of(cases[i].b)) ==
		    cases[i].same, "%s %s", cases[i].a, cases[i].b);
		ck_assert(mcp_same_id(slice_of(cases[i].b), slice_of(cases[i].a)) == cases[i].same);
	}
}
END_TEST

/* --- M2, M3 --- */

START_TEST(m3_values)
{
	static const struct { const char *text; size_t n; const char *wants; } cases[] = {
		{ "us-west1", 8, "us-west1" }, { "a b", 3, "a b" }, { "", 0, "" },
		{ " a", 2, "=?base64?IGE=?=" }, { "a ", 2, "=?base64?YSA=?=" },
		{ "a\tb", 3, "=?base64?YQli?=" }, { "a\nb", 3, "=?base64?YQpi?=" },
		{ "\0", 1, "=?base64?AA==?=" }, { "\x7f", 1, "=?base64?fw==?=" },
		{ "\xc3\xa9", 2, "=?base64?w6k=?=" },
		{ "=?base64?YQ==?=", 15, "=?base64?PT9iYXNlNjQ/WVE9PT89?=" },
		{ "=?base64?" "?=", 11, "=?base64?PT9iYXNlNjQ/Pz0=?=" },
		{ "=?base64?", 9, "=?base64?" }, { "=?BASE64?YQ==?=", 15, "=?BASE64?YQ==?=" },
	};

	for (size_t i = 0; i < nitems(cases); i++) {
		struct buf out = BUF_INIT(0);

		ck_assert_int_eq(mcp_header_value(&out, cases[i].text, cases[i].n), 0);
		ck_assert_str_eq(out.p != NULL ? out.p : "", cases[i].wants);
		buf_free(&out);
	}
}
END_TEST

START_TEST(m2_names)
{
	static const struct { const char *method, *params, *wants; } cases[] = {
		{ "tools/call", "{\"name\":\"echo\",\"uri\":\"x\"}", "echo" },
		{ "prompts/get", "{\"name\":\"p\\u00e9\"}", "=?base64?cMOp?=" },
		{ "resources/read", "{\"uri\":\"file:///a b\",\"name\":\"x\"}", "file:///a b" },
		{ "tasks/get", "{\"taskId\":\"t-1\"}", "t-1" },
		{ "tasks/cancel", "{\"taskId\":\"t-2\"}", "t-2" },
		{ "tasks/list", "{}", NULL }, { "tools/list", "{\"name\":\"x\"}", NULL },
		{ "tools/call", "{\"name\":1}", NULL }, { "tools/call", "{}", NULL },
	};
	char text[256];

	for (size_t i = 0; i < nitems(cases); i++) {
		struct buf out = BUF_INIT(0);

		snprintf(text, sizeof(text), "{\"method\":\"%s\",\"params\":%s}", cases[i].method,
		    cases[i].params);
		ck_assert_int_eq(mcp_name(fenced(text), cases[i].method, &out), cases[i].wants != NULL);
		if (cases[i].wants != NULL)
			ck_assert_str_eq(out.p, cases[i].wants);
		buf_free(&out);
	}
}
END_TEST

/* --- M4, M5 --- */

static char warned[512];

static void
warn(void *arg _unused_, const char *name, size_t n, const char *why)
{
	ck_assert_ptr_nonnull(strstr(why, "x-mcp-header"));
	snprintf(warned + strlen(warned), sizeof(warned) - strlen(warned), "%.*s,", (int)n, name);
}

#define ANSWER(tools)	"{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{\"tools\":[" tools "],\"x\":[ 1 ]}}"
#define TOOL(name, schema) "{\"name\":\"" name "\",\"inputSchema\":{\"type\":\"object\"," schema "}}"
#define MARK(type, header) "{\"type\":\"" type "\",\"x-mcp-header\":\"" header "\"}"
#define GOOD		TOOL("good", "\"properties\":{\"r\":" MARK("string", "R") "}")
#define BAD		TOOL("bad", "\"properties\":{\"r\":" MARK("number", "R") "}")
#define WORSE		TOOL("worse", "\"x-mcp-header\":\"R\"")

/* Which tools are invalid. */
START_TEST(m5_tools)
{
	static const struct { const char *schema; bool good; } cases[] = {
		{ "\"properties\":{\"a\":" MARK("string", "A") "}", true },
		{ "\"properties\":{\"a\":" MARK("integer", "A") ",\"b\":" MARK("boolean", "B") "}", true },
		{ "\"properties\":{\"a\":{\"type\":\"object\",\"properties\":{\"b\":" MARK("string", "A")
		    "}}}", true },
		{ "\"properties\":{\"x-mcp-header\":{\"type\":\"string\"}}", true },	/* a name, no mark */
		{ "\"default\":{\"x-mcp-header\":1},\"enum\":[{\"x-mcp-header\":1}]", true },
		{ "\"properties\":{\"a\":{\"type\":\"string\",\"const\":{\"x-mcp-header\":1}}}", true },
		{ "\"properties\":{\"a\":" MARK("string", "") "}", false },
		{ "\"properties\":{\"a\":" MARK("string", "A B") "}", false },
		{ "\"properties\":{\"a\":" MARK("string", "A:") "}", false },
		{ "\"properties\":{\"a\":" MARK("string", "\\r\\nX") "}", false },
		{ "\"properties\":{\"a\":" MARK("number", "A") "}", false },
		{ "\"properties\":{\"a\":" MARK("object", "A") "}", false },
		{ "\"properties\":{\"a\":" MARK("array", "A") "}", false },
		{ "\"properties\":{\"a\":{\"x-mcp-header\":\"A\"}}", false },
		{ "\"properties\":{\"a\":{\"type\":[\"string\",\"null\"],\"x-mcp-header\":\"A\"}}", false },
		{ "\"properties\":{\"a\":{\"type\":\"string\",\"x-mcp-header\":1}}", false },
		{ "\"properties\":{\"a\":" MARK("string", "A") ",\"b\":" MARK("string", "a") "}", false },
		{ "\"properties\":{\"a\":{\"type\":\"array\",\"items\":" MARK("string", "A") "}}", false },
		{ "\"anyOf\":[{\"properties\":{\"a\":" MARK("string", "A") "}}]", false },
		{ "\"$defs\":{\"d\":" MARK("string", "A") "}", false },
		{ "\"patternProperties\":{\"x-mcp-header\":" MARK("string", "A") "}", false },
		{ "\"additionalProperties\":" MARK("string", "A"), false },
		{ "\"if\":{\"properties\":{\"a\":" MARK("string", "A") "}}", false },
		{ "\"properties\":{\"a\":{\"oneOf\":[" MARK("string", "A") "]}}", false },
		{ "\"x-mcp-header\":\"A\"", false },
	};
	char text[1024];

	for (size_t i = 0; i < nitems(cases); i++) {
		struct mcp_tools tools = { 0 };
		struct buf out = BUF_INIT(0);
		struct slice cursor;

		warned[0] = '\0';
		snprintf(text, sizeof(text), "{\"result\":{\"tools\":[{\"name\":\"t\",\"inputSchema\":{%s}}]}}",
		    cases[i].schema);
		ck_assert_msg(mcp_tools_learn(&tools, fenced(text), &out, &cursor, warn, NULL) ==
		    !cases[i].good, "%s", cases[i].schema);
		ck_assert_str_eq(warned, cases[i].good ? "" : "t,");
		mcp_tools_clear(&tools);
		buf_free(&out);
	}
}
END_TEST

/* M5, M11: what is left is as it was, byte for byte. */
START_TEST(m5_left_out)
{
	static const struct { const char *tools, *wants; } cases[] = {
		{ GOOD, NULL },
		{ BAD, "" },
		{ " " BAD " ", "  " },
		{ BAD ", " GOOD, GOOD },
		{ GOOD " ,\n" BAD, GOOD },
		{ GOOD ", " BAD ", " GOOD, GOOD ", " GOOD },
		{ BAD "," WORSE "," GOOD " ", GOOD " " },
		{ BAD "," GOOD "," WORSE, GOOD },
		{ GOOD "," BAD "," WORSE, GOOD },
		{ GOOD "," BAD "," WORSE " , " GOOD, GOOD " , " GOOD },
		{ BAD "," WORSE, "" },
	};
	char text[2048], wants[2048];

	for (size_t i = 0; i < nitems(cases); i++) {
		struct mcp_tools tools = { 0 };
		struct buf out = BUF_INIT(0);
		struct slice cursor;

		snprintf(text, sizeof(text), "{\"id\" : 1,\"result\":{\"tools\":[%s],\"x\":[ 1 ]}}", cases[i].tools);
		snprintf(wants, sizeof(wants), "{\"id\" : 1,\"result\":{\"tools\":[%s],\"x\":[ 1 ]}}",
		    cases[i].wants != NULL ? cases[i].wants : "");
		ck_assert_int_ge(mcp_tools_learn(&tools, fenced(text), &out, &cursor, warn, NULL), 0);
		ck_assert_str_eq(out.p != NULL ? out.p : "", cases[i].wants != NULL ? wants : "");
		warned[0] = '\0';
		mcp_tools_clear(&tools);
		buf_free(&out);
	}
}
END_TEST

static void
learn(struct mcp_tools *tools, const char *text, const char *cursor)
{
	struct buf out = BUF_INIT(0);
	struct slice got;

	warned[0] = '\0';
	ck_assert_int_ge(mcp_tools_learn(tools, fenced(text), &out, &got, warn, NULL), 0);
	ck_assert(cursor == NULL ? got.p == NULL : slice_eq(got, cursor));
	buf_free(&out);
}

static void
params(const struct mcp_tools *tools, const char *name, const char *arguments, const char *wants)
{
	struct buf out = BUF_INIT(0);
	char text[512];

	snprintf(text, sizeof(text), "{\"method\":\"tools/call\",\"params\":{\"name\":\"%s\","
	    "\"arguments\":%s}}", name, arguments);
	ck_assert_int_ge(mcp_tools_params(tools, fenced(text), &out), 0);
	ck_assert_str_eq(out.p != NULL ? out.p : "", wants);
	buf_free(&out);
}

START_TEST(m4_params)
{
	struct mcp_tools tools = { 0 };
	struct slice call = slice_of("{\"params\":{\"name\":\"other\"}}");

	learn(&tools, "{\"result\":{\"nextCursor\":\"c\",\"tools\":[" TOOL("t", "\"properties\":{"
	    "\"s\":" MARK("string", "S") ",\"i\":" MARK("integer", "I") ",\"b\":" MARK("boolean", "B")
	    ",\"o\":{\"type\":\"object\",\"properties\":{\"in ner\":" MARK("string", "In") "}}}") "]}}", "\"c\"");
	ck_assert(!mcp_tools_known(&tools, call));
	ck_assert(mcp_tools_known(&tools, slice_of("{\"params\":{\"name\":\"t\"}}")));
	params(&tools, "t", "{\"s\":\"us\",\"i\":42,\"b\":true}",
	    "Mcp-Param-S: us\r\nMcp-Param-I: 42\r\nMcp-Param-B: true\r\n");
	params(&tools, "t", "{\"b\":false,\"i\":-7}", "Mcp-Param-I: -7\r\nMcp-Param-B: false\r\n");
	params(&tools, "t", "{\"i\":42.0}", "Mcp-Param-I: 42\r\n");
	params(&tools, "t", "{\"i\":4.2e1}", "Mcp-Param-I: 42\r\n");
	params(&tools, "t", "{\"i\":1e300}", "Mcp-Param-I: 1e300\r\n");
	params(&tools, "t", "{\"i\":12345678901234567890}", "Mcp-Param-I: 12345678901234567890\r\n");
	params(&tools, "t", "{\"s\":null,\"i\":null}", "");			/* null or absent: none */
	params(&tools, "t", "{}", "");
	params(&tools, "t", "{\"o\":{\"in ner\":\"x\"}}", "Mcp-Param-In: x\r\n");
	params(&tools, "t", "{\"in ner\":\"x\",\"o\":\"y\"}", "");
	params(&tools, "t", "{\"s\":\"\"}", "Mcp-Param-S: \r\n");
	params(&tools, "t", "{\"s\":\"a\\r\\nX: y\"}", "Mcp-Param-S: =?base64?YQ0KWDogeQ==?=\r\n");
	params(&tools, "t", "{\"s\":{\"a\":1},\"b\":[1]}", "");
	params(&tools, "t", "[]", "");
	params(&tools, "u", "{\"s\":\"us\"}", "");
	/* learned anew: the marks are gone; the last page makes the rest known */
	learn(&tools, ANSWER(TOOL("t", "\"properties\":{\"s\":{\"type\":\"string\"}}")), NULL);
	params(&tools, "t", "{\"s\":\"us\"}", "");
	ck_assert(!mcp_tools_known(&tools, call));
	tools.whole = true;
	ck_assert(mcp_tools_known(&tools, call));
	mcp_tools_clear(&tools);
	ck_assert(!mcp_tools_known(&tools, call));
}
END_TEST

START_TEST(no_tools)
{
	static const char *const none[] = { "", "{}", "[]", "{\"result\":{}}", "{\"result\":{\"tools\":{}}}",
	    "{\"error\":{\"code\":1}}" };
	struct mcp_tools tools = { 0 };
	struct buf out = BUF_INIT(0);
	struct slice cursor;

	for (size_t i = 0; i < nitems(none); i++)
		ck_assert_int_eq(mcp_tools_learn(&tools, fenced(none[i]), &out, &cursor, warn, NULL),
		    -EINVAL);
	/* M11: a list beyond 4 MiB is not looked at */
	ck_assert_int_eq(buf_reserve(&out, TOOLS_BYTES + 1), 0);
	memset(out.p, ' ', TOOLS_BYTES + 1);
	ck_assert_int_eq(mcp_tools_learn(&tools, (struct slice){ out.p, TOOLS_BYTES + 1 }, &out,
	    &cursor, warn, NULL), -EMSGSIZE);
	buf_free(&out);
}
END_TEST

/* M11: schemas beyond what is kept: the answer is let through whole, never cut off where that was found. */
START_TEST(m11_too_many_tools)
{
	struct mcp_tools tools = { 0 };
	struct buf out = BUF_INIT(0), text = BUF_INIT(0);
	struct slice cursor;
	int r = 0;

	for (int i = 0; i < 5 && r >= 0; i++) {
		buf_reset(&text);
		buf_addf(&text, "{\"result\":{\"tools\":[" BAD "," GOOD "," BAD ",{\"name\":\"%d", i);
		for (int k = 0; k < 100000; k++)
			buf_adds(&text, "0123456789");
		buf_adds(&text, "\",\"inputSchema\":{\"properties\":{\"r\":" MARK("string", "R") "}}}]}}");
		buf_reset(&out);
		r = mcp_tools_learn(&tools, (struct slice){ text.p, text.len }, &out, &cursor, warn, NULL);
		warned[0] = '\0';
	}
	ck_assert_int_eq(r, -EMSGSIZE);
	ck_assert_uint_eq(out.len, 0);
	mcp_tools_clear(&tools);
	buf_free(&text);
	buf_free(&out);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("mcp");
	TCase *tc = tcase_create("mcp");
	SRunner *sr;
	int failed;

	tcase_add_test(tc, members);
	tcase_add_test(tc, elements);
	tcase_add_test(tc, texts);
	tcase_add_test(tc, ids);
	tcase_add_test(tc, m3_values);
	tcase_add_test(tc, m2_names);
	tcase_add_test(tc, m5_tools);
	tcase_add_test(tc, m5_left_out);
	tcase_add_test(tc, m4_params);
	tcase_add_test(tc, no_tools);
	tcase_add_test(tc, m11_too_many_tools);
	suite_add_tcase(suite, tc);
	sr = srunner_create(suite);
	srunner_run_all(sr, CK_NORMAL);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed != 0;
}
