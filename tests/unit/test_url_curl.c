/*
 * lib/url beside curl_url(): what we accept, libcurl reads the same way, and
 * references resolve alike.  We may refuse more, never less.
 */
#include <arpa/inet.h>
#include <curl/curl.h>

#include <check.h>

#include "url.h"

#define ROUNDS	200000

static const char *const seeds[] = {
	"https://mcp.linear.app/mcp", "HTTP://EXAMPLE.com:80", "https://a:443/b?c=d&e=%20f",
	"http://127.0.0.1:8080/", "http://127.1/", "http://0x7f.1/x",
	"https://[2001:DB8::1]:8443/a/b", "http://[::ffff:1.2.3.4]/", "http://u:p@a/",
	"https://a.b-c_d.example.:65535/?x", "http://a/b/../c/./d", "http://2130706433/",
	"https://a%2eb/", "http://a?x/y", "https://localhost:0/", "http://[fe80::1%25a]/",
	"https://a/b#c", "http://xn--bcher-kva.example/", "http://a:080/", "http://1.2.3.4.5/",
};

static uint64_t	seed = 88172645463325252ULL;

static size_t
dice(size_t n)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return (size_t)(seed >> 11) % n;
}

/* Copies a seed with some bytes replaced, put in or taken out. */
static void
mutate(char *out, const char *from)
{
	static const char	bytes[] = "/:?#@[]%.0123x7fF aAzZ_-\\&=;,*\x7f\xc3";
	size_t			n = strlen(from), at, times = dice(4);

	memcpy(out, from, n + 1);
	for (; times > 0 && n > 1 && n < 100; times--) {
		at = dice(n);
		switch (dice(3)) {
		case 0:
			out[at] = bytes[dice(sizeof(bytes) - 1)];
			break;
		case 1:
			memmove(out + at + 1, out + at, n + 1 - at);
			out[at] = bytes[dice(sizeof(bytes) - 1)];
			n++;
			break;
		case 2:
			memmove(out + at, out + at + 1, n - at);
			n--;
			break;
		}
	}
}

static void
check_part(CURLU *c, CURLUPart part, unsigned flags, const char *want, const char *text)
{
	char	*got = NULL;
	int	 e = curl_url_get(c, part, &got, flags);

	ck_assert_msg(e == CURLUE_OK || e == CURLUE_NO_QUERY, "%s: part %d: %s", text, (int)part,
	    curl_url_strerror((CURLUcode)e));
	ck_assert_msg(strcmp(got != NULL ? got : "", want) == 0, "%s: part %d: \"%s\", not \"%s\"",
	    text, (int)part, got != NULL ? got : "", want);
	curl_free(got);
}

/* libcurl shortens an address only if that makes the text shorter. */
static void
check_ipv6(CURLU *c, const char *host, const char *text)
{
	struct in6_addr	ours, theirs;
	char		a[64], b[64], *got;

	ck_assert_int_eq(curl_url_get(c, CURLUPART_HOST, &got, 0), CURLUE_OK);
	ck_assert_int_eq(sscanf(host, "[%63[^]]]", a), 1);
	ck_assert_int_eq(sscanf(got, "[%63[^]]]", b), 1);
	ck_assert_int_eq(inet_pton(AF_INET6, a, &ours), 1);
	ck_assert_int_eq(inet_pton(AF_INET6, b, &theirs), 1);
	ck_assert_msg(memcmp(&ours, &theirs, sizeof(ours)) == 0, "%s: %s, %s", text, a, b);
	curl_free(got);
}

static void
check_parts(CURLU *c, const struct url *u, const char *text)
{
	char	host[300], port[8], path[300];
	size_t	n = strcspn(u->target, "?");

	snprintf(host, sizeof(host), strchr(u->host, ':') != NULL ? "[%s]" : "%s", u->host);
	snprintf(port, sizeof(port), "%u", u->port);
	snprintf(path, sizeof(path), "%.*s", (int)n, u->target);
	check_part(c, CURLUPART_SCHEME, 0, u->https ? "https" : "http", text);
	check_part(c, CURLUPART_PORT, CURLU_DEFAULT_PORT, port, text);
	check_part(c, CURLUPART_PATH, 0, path, text);
	check_part(c, CURLUPART_QUERY, 0, u->target[n] == '?' ? u->target + n + 1 : "", text);
	for (n = 0; host[n] != '\0'; n++)
		ck_assert(host[n] < 'A' || host[n] > 'Z');
	if (host[0] != '[')
		check_part(c, CURLUPART_HOST, 0, host, text);
	else
		check_ipv6(c, host, text);
}

/* libcurl keeps the case of a host name. */
static char *
lower_host(const char *text)
{
	char	*copy = strdup(text), *p;

	ck_assert_ptr_nonnull(copy);
	for (p = strstr(copy, "//") + 2; *p != '\0' && *p != '/' && *p != '?'; p++)
		if (*p >= 'A' && *p <= 'Z')
			*p |= 0x20;
	return copy;
}

static bool
compare(const char *text)
{
	CURLU		*c;
	CURLUcode	 e;
	struct url	 u;
	char		*copy;

	if (url_parse(text, strlen(text), &u) < 0)
		return false;
	copy = lower_host(text);
	ck_assert_ptr_nonnull(c = curl_url());
	e = curl_url_set(c, CURLUPART_URL, copy, CURLU_PATH_AS_IS);
	ck_assert_msg(e == CURLUE_OK, "%s: we take it, libcurl says %s", text,
	    curl_url_strerror(e));
	check_parts(c, &u, text);
	curl_url_cleanup(c);
	e = (c = curl_url()) != NULL ? curl_url_set(c, CURLUPART_URL, u.text, CURLU_PATH_AS_IS) : 1;
	ck_assert_msg(e == CURLUE_OK, "%s: canonical %s", text, u.text);
	check_parts(c, &u, u.text);
	curl_url_cleanup(c);
	free(copy);
	url_free(&u);
	return true;
}

START_TEST(test_parse)
{
	char	text[128];
	int	i, taken = 0;

	for (i = 0; i < ROUNDS; i++) {
		mutate(text, seeds[dice(nitems(seeds))]);
		taken += compare(text);
	}
	ck_assert_int_gt(taken, ROUNDS / 5);
	ck_assert_int_lt(taken, ROUNDS * 4 / 5);
}
END_TEST

static bool
compare_resolved(const char *base, const char *ref)
{
	CURLU		*c;
	CURLUcode	 e;
	struct url	 b, u;
	char		*got;

	ck_assert_int_eq(url_parse(base, strlen(base), &b), 0);
	if (url_resolve(&b, ref, strlen(ref), &u) < 0) {
		url_free(&b);
		return false;
	}
	ck_assert_ptr_nonnull(c = curl_url());
	ck_assert_int_eq(curl_url_set(c, CURLUPART_URL, b.text, 0), CURLUE_OK);
	e = curl_url_set(c, CURLUPART_URL, ref, 0);
	ck_assert_msg(e == CURLUE_OK, "%s + %s: %s", base, ref, curl_url_strerror(e));
	ck_assert_int_eq(curl_url_set(c, CURLUPART_FRAGMENT, NULL, 0), CURLUE_OK);
	ck_assert_int_eq(curl_url_get(c, CURLUPART_URL, &got, CURLU_NO_DEFAULT_PORT), CURLUE_OK);
	ck_assert_msg(strcmp(got, u.text) == 0, "%s + %s: %s, libcurl %s", base, ref, u.text, got);
	curl_free(got);
	curl_url_cleanup(c);
	url_free(&b);
	url_free(&u);
	return true;
}

/*
 * Where libcurl departs from RFC 3986 5.2: an empty reference, segment or
 * query, and a query behind a dot segment.
 */
static bool
libcurl_departs(const char *ref)
{
	const char	*hit, *query;

	if (strncmp(ref, "https:", 6) == 0)
		ref += 6;
	if (strncmp(ref, "//", 2) == 0)
		ref += 2;
	query = ref + strcspn(ref, "?");
	if (*ref == '\0' || strcmp(query, "?") == 0)
		return true;
	if (query > ref && *query != '\0' && strchr("./", query[-1]) != NULL)
		return true;
	return (hit = strstr(ref, "//")) != NULL && hit < query;
}

START_TEST(test_resolve)
{
	static const char *const	pieces[] = {
		"a", "b", "/", "/", ".", "..", "/..", "/.", "?", "?q", "../", "./", "//h",
		"https://i", ":81",
	};
	static const char *const	bases[] = {
		"http://x/b/c/d;p?q", "https://x:8443/", "http://x",
	};
	char				ref[128];
	size_t				n;
	int				i, taken = 0;

	for (i = 0; i < ROUNDS; i++) {
		ref[0] = '\0';
		for (n = dice(6); n > 0; n--)
			strcat(ref, pieces[dice(nitems(pieces))]);
		if (!libcurl_departs(ref))
			taken += compare_resolved(bases[dice(nitems(bases))], ref);
	}
	ck_assert_int_gt(taken, ROUNDS / 4);
}
END_TEST

int
main(void)
{
	Suite	*s = suite_create("url_curl");
	TCase	*t = tcase_create("url_curl");
	SRunner	*r = srunner_create(s);
	int	 failed;

	tcase_set_timeout(t, 120);
	tcase_add_test(t, test_parse);
	tcase_add_test(t, test_resolve);
	suite_add_tcase(s, t);
	srunner_run_all(r, CK_NORMAL);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
