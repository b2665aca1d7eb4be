/* lib/toml: what other programs' configs say, and what is no TOML. */
#include <check.h>
#include <stdio.h>

#include "guarded.h"
#include "toml.h"

static const struct {
	const char	*text, *json;
} good[] = {
	{ "", "{}" },
	{ "# nothing\n\r\n \t\n", "{}" },
	{ "a = \"x\"", "{\"a\":\"x\"}" },
	{ "a=1\nb = true # c\nc = false\r\n", "{\"a\":null,\"b\":true,\"c\":false}" },
	{ "a = 1979-05-27 07:32:00Z\nb = -inf\nc = 0xdead_beef\nd=1e+9",
	    "{\"a\":null,\"b\":null,\"c\":null,\"d\":null}" },
	{ "a.b.\"c d\" = 'e'\na . f = ''", "{\"a\":{\"b\":{\"c d\":\"e\"},\"f\":\"\"}}" },
	{ "[mcp_servers.x]\nurl = \"u\"\n[mcp_servers.x.env]\nK = \"v\"\n[ mcp_servers . \"y.z\" ]\n",
	    "{\"mcp_servers\":{\"x\":{\"url\":\"u\",\"env\":{\"K\":\"v\"}},\"y.z\":{}}}" },
	{ "[[t]]\na='1'\n[t.u]\nb='2'\n[[t]]\na='3'",
	    "{\"t\":[{\"a\":\"1\",\"u\":{\"b\":\"2\"}},{\"a\":\"3\"}]}" },
	{ "a = [ 'x' , # c\n \"y\",\n\n [ 1, 2 ], ]\nb = []", "{\"a\":[\"x\",\"y\",[null,null]],\"b\":[]}" },
	{ "a = { b = 'c', d.e = { } , f = [{}] }", "{\"a\":{\"b\":\"c\",\"d\":{\"e\":{}},\"f\":[{}]}}" },
	{ "a = \"\\b\\t\\n\\f\\r\\\"\\\\\\u00e9\\U0001F600\"",
	    "{\"a\":\"\\b\\t\\n\\f\\r\\\"\\\\\xc3\xa9\xf0\x9f\x98\x80\"}" },
	{ "a = '\\n\\u'", "{\"a\":\"\\\\n\\\\u\"}" },
	{ "a = \"\"\"\nx\r\n \"y\" \\\n   z\\t\"\"\"\"\"", "{\"a\":\"x\\n \\\"y\\\" z\\t\\\"\\\"\"}" },
	{ "a = '''\n[mcp_servers.fake]\nurl = \\'''\nb = ''''x'''''", "{\"a\":\"[mcp_servers.fake]\\nurl = \\\\\",\"b\":\"'x''\"}" },
	{ "\"\" = 1\n'k\"' = 2\n1-a_B = 3", "{\"\":null,\"k\\\"\":null,\"1-a_B\":null}" },
};

START_TEST(is_read)
{
	struct json_error e = { 0 };
	const char *p = guarded(good[_i].text, strlen(good[_i].text));
	char *json;
	cJSON *doc = toml_parse(p, strlen(good[_i].text), &e);

	ck_assert_msg(doc != NULL, "%s: %u:%u: %s", good[_i].text, e.line, e.column, e.what);
	json = cJSON_PrintUnformatted(doc);
	ck_assert_str_eq(json, good[_i].json);
	cJSON_free(json);
	cJSON_Delete(doc);
}
END_TEST

static const struct {
	const char	*text;
	unsigned	 line, column;
	const char	*what;
} bad[] = {
	{ "a", 1, 2, "\"=\"" },
	{ "a = ", 1, 5, "a value is missing" },
	{ "a = x", 1, 5, "without quotes" },
	{ "a = \"x", 1, 5, "string without an end" },
	{ "a = 'x\n'", 1, 7, "control character" },
	{ "a = \"x\\q\"", 1, 8, "unknown escape" },
	{ "a = \"\\u12\"", 1, 8, "hexadecimal" },
	{ "a = \"\\u0000\"", 1, 8, "no character" },
	{ "a = \"\\ud800\"", 1, 8, "no character" },
	{ "a = \"\\U00110000\"", 1, 8, "no character" },
	{ "a = \"\"\"x\"\"", 1, 5, "string without an end" },
	{ "\n\na = 1\na = 2", 4, 1, "duplicate key" },
	{ "a = 1\na.b = 2", 2, 3, "a value and for a table" },
	{ "a = ['x']\n[a]", 2, 4, "a value and for a table" },
	{ "a = 'x'\n[[a]]", 2, 6, "array of tables" },
	{ "[a", 1, 3, "does not end" },
	{ "[[a]", 1, 4, "does not end" },
	{ "[a] b", 1, 5, "behind the value" },
	{ "a = 1 b = 2", 1, 7, "behind the value" },
	{ "[]", 1, 2, "a key is missing" },
	{ "[a..b]", 1, 4, "a key is missing" },
	{ "= 1", 1, 1, "a key is missing" },
	{ "\"\"\"a\"\"\" = 1", 1, 1, "cannot be a key" },
	{ "a = [1 2]", 1, 8, "\",\" or \"]\"" },
	{ "a = [1,", 1, 8, "a value is missing" },
	{ "a = {b=1", 1, 9, "\",\" or \"}\"" },
	{ "a = {b=1,}", 1, 10, "a key is missing" },
	{ "a = {b=1,b=2}", 1, 10, "duplicate key" },
	{ "# a\x01", 1, 4, "control character in a comment" },
	{ "a.b.c.d.e.f.g.h.i.j.k.l.m.n.o.p.q = 1", 1, 33, "too many parts" },
};

START_TEST(is_refused)
{
	struct json_error e = { 0 };
	const char *p = guarded(bad[_i].text, strlen(bad[_i].text));

	ck_assert_ptr_null(toml_parse(p, strlen(bad[_i].text), &e));
	ck_assert_msg(e.line == bad[_i].line && e.column == bad[_i].column &&
	    strstr(e.what, bad[_i].what) != NULL, "%s: %u:%u: %s", bad[_i].text, e.line, e.column,
	    e.what);
	ck_assert_ptr_null(toml_parse(p, strlen(bad[_i].text), NULL));
}
END_TEST

/* Every beginning of a good text ends at a page that must not be touched. */
START_TEST(cut_anywhere)
{
	size_t n;

	for (n = 0; n < strlen(good[_i].text); n++)
		cJSON_Delete(toml_parse(guarded(good[_i].text, n), n, NULL));
}
END_TEST

START_TEST(has_ceilings)
{
	struct json_error e;
	struct buf b = BUF_INIT(0);
	int i;

	buf_adds(&b, "a = ");
	for (i = 0; i < 100000; i++)
		buf_adds(&b, "[");
	ck_assert_ptr_null(toml_parse(b.p, b.len, &e));
	ck_assert_str_eq(e.what, "nested too deeply");
	buf_reset(&b);
	for (i = 0; i < 20000; i++)
		buf_addf(&b, "k%d = 1\n", i);
	ck_assert_ptr_null(toml_parse(b.p, b.len, &e));
	ck_assert_str_eq(e.what, "too many keys");
	ck_assert_uint_eq(e.line, 10001);
	buf_free(&b);
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("toml");
	TCase *t = tcase_create("toml");
	SRunner *r = srunner_create(s);
	int failed;

	tcase_add_loop_test(t, is_read, 0, (int)nitems(good));
	tcase_add_loop_test(t, is_refused, 0, (int)nitems(bad));
	tcase_add_loop_test(t, cut_anywhere, 0, (int)nitems(good));
	tcase_add_test(t, has_ceilings);
	suite_add_tcase(s, t);
	srunner_run_all(r, CK_NORMAL);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed != 0;
}
