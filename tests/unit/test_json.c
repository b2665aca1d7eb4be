/* lib/json and lib/jsonc: what is refused before cJSON sees it, and where. */
#include <check.h>
#include <stdio.h>
#include <time.h>

#include "bounds.h"
#include "guarded.h"
#include "jsonc.h"

static const char *const good[] = {
	"null", " true ", "false", "0", "-0", "-0.5e-3", "1E+2", "12345678901234567890",
	"\"\"", "\"\\\"\\\\\\/\\b\\f\\n\\r\\t\\u0001\\uD83D\\uDE00\"", "\"\x7f\"",
	"[]", "{}", "[ ]\n", "{ }\t", "[1,[2],{\"a\":3}]", "{\"a\":{\"a\":{\"a\":1}}}",
	"[{\"a\":1},{\"a\":1}]", "{\"a\":1,\"A\":2,\"\":3,\"a \":4}",
	"{\"\\u0061\":1,\"\\u0062\":2,\"\\\\u0061\":3}",
	"{\"\xc3\xa9\":1,\"e\":2,\"\\u00ea\":3}",
	"\"\xc2\x80 \xdf\xbf \xe0\xa0\x80 \xed\x9f\xbf \xee\x80\x80 \xef\xbf\xbf\"",
	"\"\xf0\x90\x80\x80 \xf4\x8f\xbf\xbf\"",
	"123456789012345678901234567890123456789012345678901234567890123",
};

static const struct {
	const char	*text;
	unsigned	 line, column;
	const char	*what;
} bad[] = {
	{ "", 1, 1, "found the end" },
	{ " \n ", 2, 2, "found the end" },
	{ "nul", 1, 1, "expected a value" },
	{ "True", 1, 1, "expected a value" },
	{ "null null", 1, 6, "behind the end" },
	{ "{}\n{}", 2, 1, "behind the end" },
	{ "[1,]", 1, 4, "expected a value" },
	{ "[,1]", 1, 2, "expected a value" },
	{ "[1 2]", 1, 4, "',' or ']'" },
	{ "[1", 1, 3, "',' or ']'" },
	{ "[1}", 1, 3, "',' or ']'" },
	{ "{\"a\":1,}", 1, 8, "double quotes" },
	{ "{a:1}", 1, 2, "double quotes" },
	{ "{'a':1}", 1, 2, "double quotes" },
	{ "{\"a\" 1}", 1, 6, "':'" },
	{ "{\"a\":}", 1, 6, "expected a value" },
	{ "{\"a\":1", 1, 7, "',' or '}'" },
	{ "{\"a\":1]", 1, 7, "',' or '}'" },
	{ "[\n 01]", 2, 2, "malformed number" },
	{ "[1.]", 1, 2, "malformed number" },
	{ "[.1]", 1, 2, "expected a value" },
	{ "[+1]", 1, 2, "expected a value" },
	{ "[-]", 1, 2, "malformed number" },
	{ "[1e]", 1, 2, "malformed number" },
	{ "[1e+]", 1, 2, "malformed number" },
	{ "[-01]", 1, 2, "malformed number" },
	{ "1234567890123456789012345678901234567890123456789012345678901234",
	    1, 1, "too many digits" },
	{ "\"abc", 1, 5, "unterminated" },
	{ "\"abc\\", 1, 6, "unterminated" },
	{ "\"a\nb\"", 1, 3, "control character" },
	{ "\"a\tb\"", 1, 3, "control character" },
	{ "\"\\x41\"", 1, 2, "unknown escape" },
	{ "\"\\u12\"", 1, 2, "hexadecimal" },
	{ "\"\\u123g\"", 1, 2, "hexadecimal" },
	{ "\"ab\\u0000\"", 1, 4, "\\u0000" },
	{ "\"\\ud800\"", 1, 2, "surrogate" },
	{ "\"\\ud800x\"", 1, 2, "surrogate" },
	{ "\"\\ud800\\n12345\"", 1, 2, "surrogate" },
	{ "\"\\ud800\\ud800\"", 1, 2, "surrogate" },
	{ "\"\\udc00\\ud800\"", 1, 2, "surrogate" },
	{ "\"\x80\"", 1, 2, "UTF-8" },
	{ "\"\xc1\xbf\"", 1, 2, "UTF-8" },
	{ "\"\xc3\"", 1, 2, "UTF-8" },
	{ "\"\xc3", 1, 2, "UTF-8" },
	{ "\"\xe0\x9f\xbf\"", 1, 2, "UTF-8" },
	{ "\"\xed\xa0\x80\"", 1, 2, "UTF-8" },
	{ "\"\xe2\x82\"", 1, 2, "UTF-8" },
	{ "\"\xf0\x8f\xbf\xbf\"", 1, 2, "UTF-8" },
	{ "\"\xf4\x90\x80\x80\"", 1, 2, "UTF-8" },
	{ "\"\xf5\x80\x80\x80\"", 1, 2, "UTF-8" },
	{ "\xef\xbb\xbf{}", 1, 1, "expected a value" },
	{ "{\"a\":1,\n\"a\":2}", 2, 1, "duplicate key" },
	{ "{\"a\":1,\"b\":{\"c\":1,\"c\":2},\"a\":2}", 1, 19, "duplicate key" },
	{ "{\"a\":{\"a\":1},\"a\":2}", 1, 14, "duplicate key" },
	{ "{\"a\":1,\"a\":2,\"a\":3}", 1, 8, "duplicate key" },
	{ "{\"b\":1,\"a\":1,\"b\":2,\"a\":3}", 1, 14, "duplicate key" },
	{ "{\"\":1,\"\":2}", 1, 7, "duplicate key" },
	{ "{\"ab\":1,\"\\u0061b\":2}", 1, 9, "duplicate key" },
	{ "{\"\\n\":1,\"\\u000a\":2}", 1, 9, "duplicate key" },
	{ "{\"\xc3\xa9\":1,\"\\u00E9\":2}", 1, 9, "duplicate key" },
	{ "{\"\xf0\x9f\x98\x80\":1,\"\\ud83d\\ude00\":2}", 1, 11, "duplicate key" },
	{ "{\"\xe2\x82\xac\":1,\"\\u20ac\":2}", 1, 10, "duplicate key" },
};

START_TEST(test_good)
{
	struct json_error	 error;
	size_t			 n = strlen(good[_i]);
	cJSON			*document = json_parse(guarded(good[_i], n), n, &error);

	ck_assert_msg(document != NULL, "%s: %s", good[_i], error.what);
	ck_assert_int_eq(json_check(good[_i], n, NULL), 0);
	cJSON_Delete(document);
}
END_TEST

START_TEST(test_bad)
{
	struct json_error	error = { 0 };
	const char		*text = bad[_i].text;
	size_t			 n = strlen(text);

	ck_assert_ptr_null(json_parse(guarded(text, n), n, &error));
	ck_assert_msg(strstr(error.what, bad[_i].what) != NULL, "%s: %s", text, error.what);
	ck_assert_msg(error.line == bad[_i].line && error.column == bad[_i].column,
	    "%s: %u:%u", text, error.line, error.column);
	ck_assert_int_eq(json_check(text, n, NULL), -EBADMSG);
}
END_TEST

START_TEST(test_nul)
{
	ck_assert_int_eq(json_check("\"a\0b\"", 5, NULL), -EBADMSG);
	ck_assert_int_eq(json_check("{}\0", 3, NULL), -EBADMSG);
	ck_assert_int_eq(json_check("[\0]", 3, NULL), -EBADMSG);
	ck_assert_int_eq(json_check("\"\\\0\"", 4, NULL), -EBADMSG);
	ck_assert_int_eq(json_check(NULL, 0, NULL), -EBADMSG);
}
END_TEST

START_TEST(test_depth)
{
	char			text[2 * JSON_DEPTH + 3];
	struct json_error	error;

	memset(text, '[', sizeof(text));
	memset(text + JSON_DEPTH, ']', JSON_DEPTH);
	ck_assert_int_eq(json_check(text, 2 * JSON_DEPTH, NULL), 0);
	memset(text, '[', sizeof(text));
	memset(text + JSON_DEPTH + 1, ']', JSON_DEPTH + 1);
	ck_assert_int_eq(json_check(text, 2 * JSON_DEPTH + 2, &error), -EBADMSG);
	ck_assert_str_eq(error.what, "nested too deeply");
	ck_assert_uint_eq(error.column, JSON_DEPTH + 1);
}
END_TEST

/* 100,000 keys: seconds if each were compared with all others. */
START_TEST(test_many_keys)
{
	struct buf		text = BUF_INIT(0);
	struct json_error	error;
	clock_t			began;
	int			i;

	for (i = 0; i < 100000; i++)
		buf_addf(&text, "%s\"prefix-%d\":1", i == 0 ? "{" : ",", i * 7 % 100000);
	buf_adds(&text, "}");
	began = clock();
	ck_assert_int_eq(json_check(text.p, text.len, NULL), 0);
	ck_assert(clock() - began < CLOCKS_PER_SEC);
	text.len--;
	buf_adds(&text, ",\"prefi\\u0078-77\":1}");
	ck_assert_int_eq(json_check(text.p, text.len, &error), -EBADMSG);
	ck_assert_uint_eq(error.column, text.len - 18);
	buf_free(&text);
}
END_TEST

START_TEST(test_members)
{
	static const char	text[] = "{\"a\":\"x\",\"A\":\"y\",\"n\":1,\"l\":[\"a\"]}";
	cJSON			*d = json_parse(text, sizeof(text) - 1, NULL);

	ck_assert_str_eq(json_string(d, "a"), "x");
	ck_assert_str_eq(json_string(d, "A"), "y");
	ck_assert_ptr_null(json_string(d, "n"));
	ck_assert_ptr_null(json_string(d, "b"));
	ck_assert(cJSON_IsNumber(json_member(d, "n")));
	ck_assert_ptr_null(json_member(d, "N"));
	ck_assert_ptr_null(json_string(json_member(d, "l"), "a"));
	ck_assert_ptr_null(json_member(NULL, "a"));
	cJSON_Delete(d);
}
END_TEST

static const struct {
	const char	*text, *clean;		/* NULL: refused */
} comments[] = {
	{ "{}", "{}" },
	{ "// x\n{}", "    \n{}" },
	{ "{} // x", "{}     " },
	{ "{/* \n*/}", "{   \n  }" },
	{ "{/**/}", "{    }" },
	{ "[1,]", "[1 ]" },
	{ "[1 , // x\n ]", "[1       \n ]" },
	{ "{\"a\":[1,],}", "{\"a\":[1 ] }" },
	{ "{\"a//b\":\"/* , ] \\\" // */\"}", "{\"a//b\":\"/* , ] \\\" // */\"}" },
	{ "[,]", "[,]" },
	{ "[1,,]", "[1,,]" },
	{ "{\"a\":,}", "{\"a\":,}" },
	{ ",]", ",]" },
	{ "/", "/" },
	{ "[1/2]", "[1/2]" },
	{ "\"a\\", "\"a\\" },
	{ "{} /* ", NULL },
	{ "{} /*/", NULL },
};

START_TEST(test_comments)
{
	struct json_error	 error = { 0 };
	char			*text = strdup(comments[_i].text);
	size_t			 n = strlen(text);
	int			 r;

	r = jsonc_clean(text, n, &error);
	ck_assert_int_eq(r, comments[_i].clean != NULL ? 0 : -EBADMSG);
	if (r == 0)
		ck_assert_str_eq(text, comments[_i].clean);
	else
		ck_assert_uint_eq(error.column, 4);
	free(text);
}
END_TEST

static void
expect_at(const char *text, const cJSON *root, const char *path, bool key, unsigned line,
    unsigned column)
{
	const cJSON	*item = root;
	unsigned	 l, c;

	for (; *path != '\0'; path++)
		item = *path >= '0' && *path <= '9' ? cJSON_GetArrayItem(item, *path - '0') :
		    json_member(item, (char []){ *path, '\0' });
	ck_assert_ptr_nonnull(item);
	jsonc_locate(text, strlen(text), root, item, key, &l, &c);
	ck_assert_msg(l == line && c == column, "%u:%u", l, c);
}

START_TEST(test_locate)
{
	static const char	text[] =
	    " {\n"
	    "  \"a\" : \"\\\":{\" ,\n"
	    "  \"b\":[true, {\"c\":-1.5} ,[] ],\n"
	    "  \"d\": null}";
	cJSON			*root = json_parse(text, sizeof(text) - 1, NULL);

	expect_at(text, root, "", true, 1, 2);
	expect_at(text, root, "a", true, 2, 3);
	expect_at(text, root, "a", false, 2, 9);
	expect_at(text, root, "b", true, 3, 3);
	expect_at(text, root, "b", false, 3, 7);
	expect_at(text, root, "b0", true, 3, 8);
	expect_at(text, root, "b1", false, 3, 14);
	expect_at(text, root, "b1c", true, 3, 15);
	expect_at(text, root, "b1c", false, 3, 19);
	expect_at(text, root, "b2", false, 3, 26);
	expect_at(text, root, "d", true, 4, 3);
	expect_at(text, root, "d", false, 4, 8);
	cJSON_Delete(root);
}
END_TEST

int
main(void)
{
	Suite	*s = suite_create("json");
	TCase	*t = tcase_create("json");
	SRunner	*r = srunner_create(s);
	int	 failed;

	tcase_add_loop_test(t, test_good, 0, nitems(good));
	tcase_add_loop_test(t, test_bad, 0, nitems(bad));
	tcase_add_test(t, test_nul);
	tcase_add_test(t, test_depth);
	tcase_add_test(t, test_many_keys);
	tcase_add_test(t, test_members);
	tcase_add_loop_test(t, test_comments, 0, nitems(comments));
	tcase_add_test(t, test_locate);
	suite_add_tcase(s, t);
	srunner_run_all(r, CK_NORMAL);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
