/* lib/url: parsing, canonical form, resolution, origins, loopback. */
#include <sys/mman.h>

#include <check.h>

#include "bounds.h"
#include "url.h"

/* A copy of n bytes with nothing readable behind them. */
static const char *
guarded(const char *p, size_t n)
{
	static char	*room;
	const size_t	 size = 64 * 1024;

	if (room == NULL) {
		room = mmap(NULL, size + 4096, PROT_READ | PROT_WRITE,
		    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		ck_assert(room != MAP_FAILED);
		ck_assert_int_eq(mprotect(room + size, 4096, PROT_NONE), 0);
	}
	ck_assert(n <= size);
	memcpy(room + size - n, p, n);
	return room + size - n;
}

static const struct {
	const char	*in, *text, *host;
	uint16_t	 port;
	const char	*target, *authority;
} good[] = {
	{ "https://mcp.linear.app/mcp", "https://mcp.linear.app/mcp", "mcp.linear.app", 443,
	    "/mcp", "mcp.linear.app" },
	{ "HTTPS://MCP.Example:443/A?B=c%2F", "https://mcp.example/A?B=c%2F", "mcp.example", 443,
	    "/A?B=c%2F", "mcp.example" },
	{ "http://a", "http://a/", "a", 80, "/", "a" },
	{ "http://a?x", "http://a/?x", "a", 80, "/?x", "a" },
	{ "http://a?", "http://a/?", "a", 80, "/?", "a" },
	{ "http://a:443/", "http://a:443/", "a", 443, "/", "a:443" },
	{ "https://a:80", "https://a:80/", "a", 80, "/", "a:80" },
	{ "http://a:65535/", "http://a:65535/", "a", 65535, "/", "a:65535" },
	{ "http://127.0.0.1:8080/x", "http://127.0.0.1:8080/x", "127.0.0.1", 8080, "/x",
	    "127.0.0.1:8080" },
	{ "http://[::1]:80/", "http://[::1]/", "::1", 80, "/", "[::1]" },
	{ "https://[0:0:0:0:0:0:0:1]:8443", "https://[::1]:8443/", "::1", 8443, "/", "[::1]:8443" },
	{ "https://[2001:DB8::A]/", "https://[2001:db8::a]/", "2001:db8::a", 443, "/",
	    "[2001:db8::a]" },
	{ "http://my_host-1.example./", "http://my_host-1.example./", "my_host-1.example.", 80, "/",
	    "my_host-1.example." },
	{ "http://a/b//c/./../d;e=1,2!$&'()*+:@-._~/?/?",
	    "http://a/b//c/./../d;e=1,2!$&'()*+:@-._~/?/?",
	    "a", 80, "/b//c/./../d;e=1,2!$&'()*+:@-._~/?/?", "a" },
	{ "http://1a.2b/", "http://1a.2b/", "1a.2b", 80, "/", "1a.2b" },
	{ "http://0xg/", "http://0xg/", "0xg", 80, "/", "0xg" },
};

START_TEST(test_good)
{
	struct url	u;
	const char	*in = good[_i].in;

	ck_assert_msg(url_parse(guarded(in, strlen(in)), strlen(in), &u) == 0, "%s", in);
	ck_assert_str_eq(u.text, good[_i].text);
	ck_assert_str_eq(u.host, good[_i].host);
	ck_assert_uint_eq(u.port, good[_i].port);
	ck_assert_str_eq(u.target, good[_i].target);
	ck_assert_str_eq(u.authority, good[_i].authority);
	ck_assert_int_eq(u.https, (in[4] | 0x20) == 's');
	url_free(&u);
	ck_assert(u.text == NULL && u.host == NULL);
	url_free(&u);
}
END_TEST

static const char *const bad[] = {
	"", "http", "http:", "http:/", "http://", "https:///x", "http:a", "http:/a", "//a/", "/a",
	"a", "ftp://a/", "file:///etc/passwd", "javascript:alert(1)", "unix:///x", "httpss://a/",
	"http ://a/", "://a/", " http://a/", "http://a/ ", "http://a/b c", "http://a/\t",
	"http://a/\n", "http://a\r\n/", "http://a/\x7f", "http://a/\xc3\xbc", "http://\xc3\xbc/",
	"http://a/#", "http://a/#f", "http://a#f", "http://u@a/", "http://u:p@a/", "http://@a/",
	"http://a@", "http://:80/", "http://?", "http://a:/", "http://a:0/", "http://a:00080/",
	"http://a:65536/", "http://a:99999999999/", "http://a:8a/", "http://a:-1/",
	"http://a:+1/", "http://a: 1/", "http://a:80:80/", "http://a:b/", "http://a..b/",
	"http://.a/", "http://./", "http://a../", "http://a%2eb/", "http://a%/", "http://a\\b/",
	"http://a/\\b", "http://a\\@b/", "http://a,b/", "http://a*/", "http://a b/",
	"http://127.1/", "http://127.0.0.01/", "http://2130706433/", "http://0x7f000001/",
	"http://0x7f.1/", "http://1.2.3.4.5/", "http://256.1.1.1/", "http://a.1/",
	"http://a.0x1/", "http://1./", "http://[::1/", "http://::1/", "http://[]/",
	"http://[::1]x/", "http://[::1]80/", "http://[::g]/", "http://[::1%25eth0]/",
	"http://[fe80::1%eth0]/", "http://[v1.a]/", "http://[1.2.3.4]/", "http://[::1]]/",
	"http://x[::1]/", "http://[[::1]]/",
	"http://[0000:0000:0000:0000:0000:0000:0000:0000:0000:0000:0000:0000:0000:0000:0001]/",
	"http://a/%", "http://a/%2", "http://a/%zz", "http://a/%2g", "http://a/?%", "http://a/<",
	"http://a/>", "http://a/\"", "http://a/{x}", "http://a/|", "http://a/^", "http://a/`",
	"http://a/[", "http://a/?]",
};

START_TEST(test_bad)
{
	struct url	u = { .port = 7 };

	ck_assert_msg(url_parse(guarded(bad[_i], strlen(bad[_i])), strlen(bad[_i]), &u) == -EINVAL,
	    "%s", bad[_i]);
	ck_assert(u.port == 7 && u.text == NULL);
}
END_TEST

/* NUL and every other byte, in host, path and query: the rules stated once more. */
START_TEST(test_every_byte)
{
	struct url	u;
	int		c;

	for (c = 0; c < 256; c++) {
		bool	host = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '.' ||
			    (c >= '0' && c <= '9') || c == '-' || c == '_';
		bool	path = host || (c != 0 && strchr("~!$&'()*+,;=:@/?", c) != NULL);
		char	text[] = "http://aXb/pXq?rXs";

		text[8] = (char)c;
		if (strchr("/?", c) == NULL || c == 0)
			ck_assert_msg((url_parse(text, 18, &u) == 0) == host, "host %#x",
			    (unsigned)c);
		if (host)
			url_free(&u);
		text[8] = 'x';
		text[12] = (char)c;
		ck_assert_msg((url_parse(text, 18, &u) == 0) == path, "path %#x", (unsigned)c);
		if (path)
			url_free(&u);
		text[12] = 'x';
		text[16] = (char)c;
		ck_assert_msg((url_parse(text, 18, &u) == 0) == path, "query %#x", (unsigned)c);
		if (path)
			url_free(&u);
	}
}
END_TEST

START_TEST(test_bounds)
{
	static char	text[URL_BYTES + 2];
	struct url	u;

	memset(text, 'a', sizeof(text));
	memcpy(text, "http://h/", 9);
	ck_assert_int_eq(url_parse(text, URL_BYTES, &u), 0);
	ck_assert_uint_eq(strlen(u.text), URL_BYTES);
	url_free(&u);
	ck_assert_int_eq(url_parse(text, URL_BYTES + 1, &u), -EMSGSIZE);
	memcpy(text, "http://h?", 9);		/* the slash that is put in */
	ck_assert_int_eq(url_parse(text, URL_BYTES, &u), -EMSGSIZE);
	memcpy(text, "http://h:80/", 12);	/* too long as given, though not in the end */
	ck_assert_int_eq(url_parse(text, URL_BYTES + 1, &u), -EMSGSIZE);
	memcpy(text, "http://hhhhh", 12);
	text[7 + 63] = '/';
	ck_assert_int_eq(url_parse(text, 7 + 63 + 1, &u), 0);
	url_free(&u);
	text[7 + 63] = 'a';
	text[7 + 64] = '/';
	ck_assert_int_eq(url_parse(text, 7 + 64 + 1, &u), -EINVAL);
}
END_TEST

START_TEST(test_host_length)
{
	char		text[300];
	struct url	u;
	int		i;

	memcpy(text, "http://", 7);
	for (i = 0; i < 260; i++)
		text[7 + i] = i % 2 == 0 ? 'a' : '.';
	ck_assert_int_eq(url_parse(text, 7 + 253, &u), 0);
	url_free(&u);
	ck_assert_int_eq(url_parse(text, 7 + 254, &u), 0);	/* the last one is a dot */
	url_free(&u);
	ck_assert_int_eq(url_parse(text, 7 + 255, &u), -EINVAL);
	text[7 + 253] = 'b';
	ck_assert_int_eq(url_parse(text, 7 + 254, &u), -EINVAL);
}
END_TEST

static const struct {
	const char	*ref, *text;	/* NULL: -EINVAL */
} refs[] = {
	/* RFC 3986 5.4.1; a fragment is dropped, another scheme refused */
	{ "g:h", NULL },
	{ "g", "http://a/b/c/g" },
	{ "./g", "http://a/b/c/g" },
	{ "g/", "http://a/b/c/g/" },
	{ "/g", "http://a/g" },
	{ "//g", "http://g/" },
	{ "?y", "http://a/b/c/d;p?y" },
	{ "g?y", "http://a/b/c/g?y" },
	{ "#s", "http://a/b/c/d;p?q" },
	{ "g#s", "http://a/b/c/g" },
	{ "g?y#s", "http://a/b/c/g?y" },
	{ ";x", "http://a/b/c/;x" },
	{ "g;x", "http://a/b/c/g;x" },
	{ "g;x?y#s", "http://a/b/c/g;x?y" },
	{ "", "http://a/b/c/d;p?q" },
	{ ".", "http://a/b/c/" },
	{ "./", "http://a/b/c/" },
	{ "..", "http://a/b/" },
	{ "../", "http://a/b/" },
	{ "../g", "http://a/b/g" },
	{ "../..", "http://a/" },
	{ "../../", "http://a/" },
	{ "../../g", "http://a/g" },
	/* 5.4.2 */
	{ "../../../g", "http://a/g" },
	{ "../../../../g", "http://a/g" },
	{ "/./g", "http://a/g" },
	{ "/../g", "http://a/g" },
	{ "g.", "http://a/b/c/g." },
	{ ".g", "http://a/b/c/.g" },
	{ "g..", "http://a/b/c/g.." },
	{ "..g", "http://a/b/c/..g" },
	{ "./../g", "http://a/b/g" },
	{ "./g/.", "http://a/b/c/g/" },
	{ "g/./h", "http://a/b/c/g/h" },
	{ "g/../h", "http://a/b/c/h" },
	{ "g;x=1/./y", "http://a/b/c/g;x=1/y" },
	{ "g;x=1/../y", "http://a/b/c/y" },
	{ "g?y/./x", "http://a/b/c/g?y/./x" },
	{ "g?y/../x", "http://a/b/c/g?y/../x" },
	{ "http:g", NULL },
	/* more */
	{ "https://B:443/x/../y?z#f", "https://b/y?z" },
	{ "http://b", "http://b/" },
	{ "//B:8080/x/./y", "http://b:8080/x/y" },
	{ "/a//b/../c", "http://a/a//c" },
	{ "/..", "http://a/" },
	{ "/...", "http://a/..." },
	{ "/x:y", "http://a/x:y" },
	{ "./x:y", "http://a/b/c/x:y" },
	{ "x/1:y", "http://a/b/c/x/1:y" },
	{ "1:y", NULL },
	{ ":y", NULL },
	{ "1://b/", NULL },
	{ "//u@b/", NULL },
	{ "https://b:0/", NULL },
	{ "ftp://b/", NULL },
	{ "//", NULL },
	{ "g h", NULL },
	{ "g\n", NULL },
	{ "\\\\b\\c", NULL },
	{ "/\\b", NULL },
	{ "g\xc3\xbc", NULL },
};

START_TEST(test_resolve)
{
	struct url	base, u;
	const char	*ref = refs[_i].ref;
	int		r;

	ck_assert_int_eq(url_parse("http://a/b/c/d;p?q", 18, &base), 0);
	r = url_resolve(&base, guarded(ref, strlen(ref)), strlen(ref), &u);
	ck_assert_msg(r == (refs[_i].text != NULL ? 0 : -EINVAL), "%s: %d", ref, r);
	if (r == 0) {
		ck_assert_str_eq(u.text, refs[_i].text);
		url_free(&u);
	}
	url_free(&base);
}
END_TEST

START_TEST(test_resolve_more)
{
	static char	longest[URL_BYTES + 1];
	struct url	base, u;

	ck_assert_int_eq(url_parse("https://[::1]:8443", 18, &base), 0);
	ck_assert_int_eq(url_resolve(&base, "x", 1, &u), 0);
	ck_assert_str_eq(u.text, "https://[::1]:8443/x");
	url_free(&u);
	ck_assert_int_eq(url_resolve(&base, NULL, 0, &u), 0);
	ck_assert_str_eq(u.text, base.text);
	url_free(&u);
	ck_assert_int_eq(url_resolve(&base, "//a/", 4, &u), 0);
	ck_assert_str_eq(u.text, "https://a/");
	url_free(&u);
	ck_assert_int_eq(url_resolve(&base, "a\0b", 3, &u), -EINVAL);
	memset(longest, 'a', sizeof(longest));
	ck_assert_int_eq(url_resolve(&base, longest, URL_BYTES, &u), -EMSGSIZE);
	ck_assert_int_eq(url_resolve(&base, longest, URL_BYTES + 1, &u), -EMSGSIZE);
	url_free(&base);
}
END_TEST

static const struct {
	const char	*a, *b;
	bool		 same;
} origins[] = {
	{ "http://a/x", "http://A:80/y?z", true },
	{ "https://a/", "https://a:443/", true },
	{ "https://[::1]/", "https://[0::1]/", true },
	{ "https://a/", "http://a/", false },
	{ "https://a/", "http://a:443/", false },
	{ "https://a/", "https://a:444/", false },
	{ "https://a/", "https://b/", false },
	{ "https://a/", "https://a./", false },
	{ "https://a/", "https://aa/", false },
};

START_TEST(test_same_origin)
{
	struct url	a, b, copy;

	ck_assert_int_eq(url_parse(origins[_i].a, strlen(origins[_i].a), &a), 0);
	ck_assert_int_eq(url_parse(origins[_i].b, strlen(origins[_i].b), &b), 0);
	ck_assert_int_eq(url_same_origin(&a, &b), origins[_i].same);
	ck_assert_int_eq(url_same_origin(&b, &a), origins[_i].same);
	ck_assert_int_eq(url_copy(&b, &copy), 0);
	url_free(&b);
	ck_assert_int_eq(url_same_origin(&a, &copy), origins[_i].same);
	url_free(&a);
	url_free(&copy);
}
END_TEST

START_TEST(test_copy)
{
	struct url	a, b;

	ck_assert_int_eq(url_parse("https://a:1/b?c", 15, &a), 0);
	ck_assert_int_eq(url_copy(&a, &b), 0);
	ck_assert(a.text != b.text && a.host != b.host && a.target != b.target);
	ck_assert_str_eq(a.text, b.text);
	ck_assert_str_eq(a.host, b.host);
	ck_assert_str_eq(a.target, b.target);
	ck_assert_str_eq(a.authority, b.authority);
	ck_assert(b.https && b.port == 1);
	url_free(&a);
	url_free(&b);
}
END_TEST

static const struct {
	const char	*host;
	bool		 loopback;
} hosts[] = {
	{ "localhost", true }, { "LocalHost", true }, { "a.localhost", true },
	{ "A.b.LOCALHOST", true }, { "127.0.0.1", true }, { "127.255.255.254", true },
	{ "::1", true }, { "0:0:0:0:0:0:0:1", true }, { "", false }, { ".localhost", false },
	{ "xlocalhost", false }, { "localhost.", false }, { "localhost.example", false },
	{ "128.0.0.1", false }, { "126.0.0.1", false }, { "12.7.0.1", false }, { "127.1", false },
	{ "127.0.0.1.example", false }, { "0.0.0.0", false }, { "::", false }, { "::2", false },
	{ "::ffff:127.0.0.1", false }, { "[::1]", false }, { "2130706433", false },
	{ "0177.0.0.1", false }, { "127.0.0.1 ", false },
	{ "1111:2222:3333:4444:5555:6666:7777:8888:9999:0000:1111", false },
};

START_TEST(test_loopback)
{
	const char	*h = hosts[_i].host;

	ck_assert_msg(host_is_loopback(guarded(h, strlen(h)), strlen(h)) == hosts[_i].loopback,
	    "%s", h);
}
END_TEST

START_TEST(test_url_loopback)
{
	struct buf	out = BUF_INIT(0);
	struct url	u;

	ck_assert(!host_is_loopback("127.0.0.1\0", 10));
	ck_assert_int_eq(url_parse("http://[::1]:3000/x", 19, &u), 0);
	ck_assert(url_is_loopback(&u));
	buf_adds(&out, "at ");
	ck_assert_int_eq(url_origin(&u, &out), 0);
	ck_assert_str_eq(out.p, "at http://[::1]:3000");
	url_free(&u);
	buf_reset(&out);
	ck_assert_int_eq(url_parse("https://EXAMPLE:443/x", 21, &u), 0);
	ck_assert(!url_is_loopback(&u));
	ck_assert_int_eq(url_origin(&u, &out), 0);
	ck_assert_str_eq(out.p, "https://example");
	url_free(&u);
	buf_free(&out);
}
END_TEST

int
main(void)
{
	Suite	*s = suite_create("url");
	TCase	*t = tcase_create("url");
	SRunner	*r = srunner_create(s);
	int	 failed;

	tcase_add_loop_test(t, test_good, 0, nitems(good));
	tcase_add_loop_test(t, test_bad, 0, nitems(bad));
	tcase_add_test(t, test_every_byte);
	tcase_add_test(t, test_bounds);
	tcase_add_test(t, test_host_length);
	tcase_add_loop_test(t, test_resolve, 0, nitems(refs));
	tcase_add_test(t, test_resolve_more);
	tcase_add_loop_test(t, test_same_origin, 0, nitems(origins));
	tcase_add_test(t, test_copy);
	tcase_add_loop_test(t, test_loopback, 0, nitems(hosts));
	tcase_add_test(t, test_url_loopback);
	suite_add_tcase(s, t);
	srunner_run_all(r, CK_NORMAL);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
