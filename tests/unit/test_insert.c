/* lib/insert: members added to a config that people wrote, everything else left as it was. */
#include <check.h>
#include <stdio.h>

#include "guarded.h"
#include "insert.h"
#include "jsonc.h"

static const struct insert_member two[] = { { "x", "{ \"url\": \"u\" }" }, { "y\"", "1" } };

#define X	"\"x\": { \"url\": \"u\" }"
#define Y	"\"y\\\"\": 1"

static const struct {
	const char	*before, *after;
} texts[] = {
	/* in lines */
	{ "{\n  \"s\": {\n    \"a\": 1\n  }\n}\n",
	    "{\n  \"s\": {\n    \"a\": 1,\n    " X ",\n    " Y "\n  }\n}\n" },
	{ "{\n  \"s\": {\n    \"a\": 1,\n  },\n}\n",
	    "{\n  \"s\": {\n    \"a\": 1,\n    " X ",\n    " Y ",\n  },\n}\n" },
	{ "{\n\t\"s\": {\n\t}\n}", "{\n\t\"s\": {\n\t\t" X ",\n\t\t" Y "\n\t}\n}" },
	{ "{ \"s\":\r\n{\r\n   \"a\": [\"}\", {}]\r\n} }",
	    "{ \"s\":\r\n{\r\n   \"a\": [\"}\", {}],\r\n   " X ",\r\n   " Y "\r\n} }" },
	/* comments, commas in them too */
	{ "{\n  \"s\": {\n    \"a\": \"\\\"}\" // , }\n    /* , */ // last\n  } // s\n}\n",
	    "{\n  \"s\": {\n    \"a\": \"\\\"}\", // , }\n    /* , */ // last\n    " X ",\n    " Y
	    "\n  } // s\n}\n" },
	{ "{\n  \"s\": {\n    \"a\": {} /* , */ /**/ , // , }\n  }\n}\n",
	    "{\n  \"s\": {\n    \"a\": {} /* , */ /**/ , // , }\n    " X ",\n    " Y ",\n  }\n}\n" },
	{ "{\n  \"s\": { // none yet\n  }\n}\n", "{\n  \"s\": { // none yet\n    " X ",\n    " Y "\n  }\n}\n" },
	{ "// \"s\": {}\n{\n  \"t\": { \"s\": {} },\n  \"s\": {\n  }\n}\n",
	    "// \"s\": {}\n{\n  \"t\": { \"s\": {} },\n  \"s\": {\n    " X ",\n    " Y "\n  }\n}\n" },
	/* on one line */
	{ "{\"s\":{}}", "{\"s\":{ " X ", " Y " }}" },
	{ "{ \"s\": { \"a\": true } }", "{ \"s\": { \"a\": true, " X ", " Y " } }" },
	{ "{ \"s\": { \"a\": 1.5e3, } }", "{ \"s\": { \"a\": 1.5e3, " X ", " Y ", } }" },
	{ "{ \"s\": { \"a\": null /* c */ } }", "{ \"s\": { \"a\": null, " X ", " Y " /* c */ } }" },
	{ "{ \"s\": { /* c */ } }", "{ \"s\": { " X ", " Y "  /* c */ } }" },
	{ "{ \"s\": { \"a\": 1, // c\n \"b\": 2 } }",
	    "{ \"s\": { \"a\": 1, // c\n \"b\": 2, " X ", " Y " } }" },
	/* not there yet */
	{ "{\n}\n", "{\n  \"s\": {\n    " X ",\n    " Y "\n  }\n}\n" },
	{ "{\n  \"log\": {} // l\n}\n",
	    "{\n  \"log\": {}, // l\n  \"s\": {\n    " X ",\n    " Y "\n  }\n}\n" },
	{ "{\n\t\"log\": {},\n}\n", "{\n\t\"log\": {},\n\t\"s\": {\n\t\t" X ",\n\t\t" Y "\n\t},\n}\n" },
	{ "{}", "{ \"s\": {\n  " X ",\n  " Y "\n} }" },
};

START_TEST(is_added)
{
	struct buf out = BUF_INIT(0), clean = BUF_INIT(0);
	struct json_error e = { 0 };
	size_t n = strlen(texts[_i].before);
	cJSON *doc;

	ck_assert_msg(insert_members(&out, guarded(texts[_i].before, n), n, "s", two, 2, &e) == 0,
	    "%u:%u: %s", e.line, e.column, e.what);
	ck_assert_str_eq(out.p, texts[_i].after);
	/* It is right, and holds them. */
	buf_add(&clean, out.p, out.len);
	ck_assert_int_eq(jsonc_clean(clean.p, clean.len, &e), 0);
	doc = json_parse(clean.p, clean.len, &e);
	ck_assert_str_eq(json_string(json_member(json_member(doc, "s"), "x"), "url"), "u");
	ck_assert(cJSON_IsNumber(json_member(json_member(doc, "s"), "y\"")));
	cJSON_Delete(doc);
	buf_free(&clean);
	buf_free(&out);
}
END_TEST

static const struct {
	const char	*text;
	unsigned	 line, column;
} wrong[] = {
	{ "", 1, 1 },
	{ "{", 1, 2 },
	{ "[]", 1, 1 },
	{ "{\n \"s\": [] }", 2, 7 },
	{ "{ /* }", 1, 3 },
	{ "{ \"s\": {}, \"s\": {} }", 1, 12 },
};

START_TEST(is_refused)
{
	struct buf out = BUF_INIT(0);
	struct json_error e = { 0 };

	ck_assert_int_eq(insert_members(&out, wrong[_i].text, strlen(wrong[_i].text), "s", two, 2,
	    &e), -EBADMSG);
	ck_assert_msg(e.line == wrong[_i].line && e.column == wrong[_i].column && e.what != NULL,
	    "%s: %u:%u", wrong[_i].text, e.line, e.column);
	ck_assert_uint_eq(out.len, 0);
	buf_free(&out);
}
END_TEST

static void
differs(const char *before, const char *after, const char *diff)
{
	struct buf out = BUF_INIT(0);

	ck_assert_int_eq(insert_diff(&out, "f", slice_of(before), slice_of(after)), 0);
	ck_assert_str_eq(out.p != NULL ? out.p : "", diff);
	buf_free(&out);
}

START_TEST(difference)
{
	differs("a\n", "a\n", "");
	differs("", "a\nb\n", "--- f\n+++ f\n@@ -0,0 +1,2 @@\n+a\n+b\n");
	differs("1\n2\n3\n4\n5\n6\n7\n8\n9\n", "1\n2\n3\n4\n5\nx\n6\n7\n8\n9\n",
	    "--- f\n+++ f\n@@ -3,6 +3,7 @@\n 3\n 4\n 5\n+x\n 6\n 7\n 8\n");
	differs("{\na\n// c\n}\n", "{\na,\n// c\nb\n}\n",
	    "--- f\n+++ f\n@@ -1,4 +1,5 @@\n {\n-a\n+a,\n // c\n+b\n }\n");
	differs("{}", "{ a }", "--- f\n+++ f\n@@ -1,1 +1,1 @@\n-{}\n\\ No newline at end of file\n"
	    "+{ a }\n\\ No newline at end of file\n");
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("insert");
	TCase *t = tcase_create("insert");
	SRunner *r = srunner_create(s);
	int failed;

	tcase_add_loop_test(t, is_added, 0, (int)nitems(texts));
	tcase_add_loop_test(t, is_refused, 0, (int)nitems(wrong));
	tcase_add_test(t, difference);
	suite_add_tcase(s, t);
	srunner_run_all(r, CK_NORMAL);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed != 0;
}
