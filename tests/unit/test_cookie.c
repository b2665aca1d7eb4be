/* lib/cookie, WIRE L17: Set-Cookie in, Cookie out, bounded. */
#include <check.h>
#include <stdio.h>

#include "cookie.h"

#define WALL	1700000000000LL		/* 2023-11-14 22:13:20 */

static struct cookie_jar jar;

static void
set(const char *url, const char *text)
{
	_cleanup_(url_free) struct url u = { 0 };

	ck_assert_int_eq(url_parse(url, strlen(url), &u), 0);
	cookie_jar_set(&jar, &u, slice_of(text), WALL);
}

static void
expect(const char *url, int64_t wall, const char *line)
{
	_cleanup_(url_free) struct url u = { 0 };
	_cleanup_(buf_free) struct buf out = BUF_INIT(0);

	ck_assert_int_eq(url_parse(url, strlen(url), &u), 0);
	ck_assert_int_eq(cookie_jar_lead(&jar, &u, wall, &out), 0);
	ck_assert_str_eq(out.p != NULL ? out.p : "", line);
}

static const struct {
	const char	*text;
	int		 r;
	const char	*name, *value, *path, *domain;
	bool		 secure;
	int64_t		 until;		/* -1: with the session */
} parses[] = {
	{ "a=b", 0, "a", "b", NULL, NULL, false, -1 },
	{ " a = b c ; x", 0, "a", "b c", NULL, NULL, false, -1 },
	{ "a=", 0, "a", "", NULL, NULL, false, -1 },
	{ "a=\"q=1\"", 0, "a", "\"q=1\"", NULL, NULL, false, -1 },
	{ "a=b;PATH=/x;secure;HttpOnly;Domain=.h.example", 0, "a", "b", "/x", "h.example", true, -1 },
	{ "a=b; Path=x", 0, "a", "b", NULL, NULL, false, -1 },
	{ "a=b; Max-Age=10", 0, "a", "b", NULL, NULL, false, WALL + 10000 },
	{ "a=b; Max-Age=0", 0, "a", "b", NULL, NULL, false, 0 },
	{ "a=b; Max-Age=-5", 0, "a", "b", NULL, NULL, false, 0 },
	{ "a=b; Max-Age=ten", 0, "a", "b", NULL, NULL, false, -1 },
	{ "a=b; Max-Age=10; Expires=Thu, 01 Jan 1970 00:00:00 GMT", 0, "a", "b", NULL, NULL, false,
	    WALL + 10000 },
	{ "a=b; Expires=Tue, 14 Nov 2023 22:13:21 GMT", 0, "a", "b", NULL, NULL, false, WALL + 1000 },
	{ "a=b; Expires=Tuesday, 14-Nov-23 22:13:21 GMT", 0, "a", "b", NULL, NULL, false, WALL + 1000 },
	{ "a=b; Expires=Tue Nov 14 22:13:21 2023", 0, "a", "b", NULL, NULL, false, WALL + 1000 },
	{ "a=b; Expires=soon", 0, "a", "b", NULL, NULL, false, -1 },
	{ "a=b; Expires=Tue, 14 Nov 2023 25:13:21 GMT", 0, "a", "b", NULL, NULL, false, -1 },
	{ "", -EINVAL, NULL, NULL, NULL, NULL, false, 0 },
	{ "a", -EINVAL, NULL, NULL, NULL, NULL, false, 0 },
	{ "=b", -EINVAL, NULL, NULL, NULL, NULL, false, 0 },
	{ "; a=b", -EINVAL, NULL, NULL, NULL, NULL, false, 0 },
	{ "a b=c", -EINVAL, NULL, NULL, NULL, NULL, false, 0 },
	{ "a=b\r\nX: y", -EINVAL, NULL, NULL, NULL, NULL, false, 0 },
};

START_TEST(l17_parse)
{
	struct cookie c = { 0 };

	ck_assert_int_eq(cookie_parse(slice_of(parses[_i].text), WALL, &c), parses[_i].r);
	if (parses[_i].r < 0)
		return;
	ck_assert(slice_eq(c.name, parses[_i].name) && slice_eq(c.value, parses[_i].value));
	ck_assert(parses[_i].path != NULL ? slice_eq(c.path, parses[_i].path) : c.path.p == NULL);
	ck_assert(parses[_i].domain != NULL ? slice_eq(c.domain, parses[_i].domain) :
	    c.domain.p == NULL);
	ck_assert_int_eq(c.secure, parses[_i].secure);
	ck_assert_int_eq(c.expires, parses[_i].until != -1);
	if (c.expires)
		ck_assert_int_eq(c.until, parses[_i].until);
}
END_TEST

START_TEST(l17_jar)
{
	set("https://h/x/mcp?q=/a/", "a=1");		/* path /x */
	set("https://h/x/mcp", "b=2; Path=/");
	set("https://h/x/mcp", "s=3; Path=/; Secure");
	set("https://h/x/mcp", "f=4; Path=/; Domain=example");	/* another host's */
	set("https://h/x/mcp", "m=5; Path=/; Max-Age=10");
	set("http://127.0.0.1/", "t=6; Secure");		/* not over TLS */
	expect("https://h/x/mcp", WALL, "Cookie: a=1; b=2; s=3; m=5\r\n");
	expect("https://h/x/mcp", WALL + 10000, "Cookie: a=1; b=2; s=3\r\n");
	expect("https://h/xy", WALL, "Cookie: b=2; s=3; m=5\r\n");
	expect("http://h/xy", WALL, "Cookie: b=2; m=5\r\n");
	set("https://h/x/mcp", "b=7; Path=/");		/* replaced */
	set("https://h/x/mcp", "s=; Path=/; Max-Age=0");	/* deleted */
	set("https://h/x/mcp", "m=; Path=/; Expires=Thu, 01 Jan 1970 00:00:00 GMT");
	expect("https://h/x/mcp", WALL, "Cookie: a=1; b=7\r\n");
	cookie_jar_free(&jar);
	expect("https://h/x/mcp", WALL, "");
}
END_TEST

START_TEST(l17_bounds)
{
	char text[5000];
	int i;

	memset(text, 'v', sizeof(text));
	memcpy(text, "big=", 4);
	text[COOKIE_BYTES + 2] = '\0';			/* one byte too large */
	set("https://h/", text);
	ck_assert_uint_eq(jar.n, 0);
	text[COOKIE_BYTES + 1] = '\0';
	set("https://h/", text);
	ck_assert_uint_eq(jar.n, 1);
	for (i = 0; i < 200; i++) {
		snprintf(text, sizeof(text), "c%d=%d", i, i);
		set("https://h/", text);
		ck_assert_uint_le(jar.n, COOKIES_MAX);
	}
	ck_assert_str_ne(text, "");
	ck_assert_uint_eq(jar.n, COOKIES_MAX);
	for (i = 0; i < 20; i++) {
		memset(text, 'v', 4000);
		text[0] = (char)('a' + i);
		text[1] = '=';
		text[4000] = '\0';
		set("https://h/", text);
		ck_assert_uint_le(jar.bytes, COOKIE_JAR_BYTES);
	}
	ck_assert_uint_eq(jar.n, 4);
	cookie_jar_free(&jar);
	ck_assert_uint_eq(jar.bytes, 0);
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("cookie");
	TCase *t = tcase_create("cookie");
	SRunner *r;
	int failed;

	tcase_add_loop_test(t, l17_parse, 0, nitems(parses));
	tcase_add_test(t, l17_jar);
	tcase_add_test(t, l17_bounds);
	suite_add_tcase(s, t);
	r = srunner_create(s);
	srunner_run_all(r, CK_NORMAL);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed != 0;
}
