/* lib/redirect: what comes back in the browser (RFC 6749 4.1.2, RFC 9207; WIRE A12, A13, A21). */
#include <check.h>

#include "bounds.h"
#include "guarded.h"
#include "redirect.h"

#define STATE	"af0ifjsldkj"
#define ISS	"https://as.example"

static const struct redirect_expected plain = { .state = STATE, .issuer = ISS };
static const struct redirect_expected strict = { .state = STATE, .issuer = ISS,
    .iss_required = true };
static const struct redirect_expected nameless = { .state = STATE };

static struct redirect got;

static const struct {
	const char	*query;
	const struct redirect_expected *expected;
	enum redirect_verdict verdict;
	const char	*text;		/* code or error */
} queries[] = {
	{ "code=SplxlOBeZQQYbYS6WxSbIA&state=" STATE, &plain, REDIRECT_CODE, "SplxlOBeZQQYbYS6WxSbIA" },
	{ "state=" STATE "&code=a%2Fb+c%20d&x=y&session_state=1.2", &plain, REDIRECT_CODE, "a/b c d" },
	{ "&&code=a&&state=" STATE "&", &plain, REDIRECT_CODE, "a" },
	{ "%63ode=a&st%61te=" STATE, &plain, REDIRECT_CODE, "a" },
	{ "code=a=b&state=" STATE, &plain, REDIRECT_CODE, "a=b" },
	{ "code=a&state=" STATE "&error=", &plain, REDIRECT_CODE, "a" },
	{ "code=a&x=%zz&state=" STATE, &plain, REDIRECT_CODE, "a" },
	{ "code=a&scope=x&scope=y&state=" STATE, &plain, REDIRECT_CODE, "a" },
	/* A13: state */
	{ "code=a", &plain, REDIRECT_FOREIGN, NULL },
	{ "code=a&state=", &plain, REDIRECT_FOREIGN, NULL },
	{ "code=a&state=" STATE "x", &plain, REDIRECT_FOREIGN, NULL },
	{ "code=a&state=af0ifjsldk", &plain, REDIRECT_FOREIGN, NULL },
	{ "code=a&state=af0ifjsldkJ", &plain, REDIRECT_FOREIGN, NULL },
	{ "code=a&state=Af0ifjsldkj", &plain, REDIRECT_FOREIGN, NULL },
	{ "error=access_denied&state=other", &plain, REDIRECT_FOREIGN, NULL },
	{ "", &plain, REDIRECT_FOREIGN, NULL },
	{ "state=" STATE, &plain, REDIRECT_FOREIGN, NULL },
	{ "code&state=" STATE, &plain, REDIRECT_FOREIGN, NULL },
	{ "code=&state=" STATE, &plain, REDIRECT_FOREIGN, NULL },
	/* doubled, also in disguise */
	{ "code=a&code=b&state=" STATE, &plain, REDIRECT_FOREIGN, NULL },
	{ "code=a&code=a&state=" STATE, &plain, REDIRECT_FOREIGN, NULL },
	{ "code=a&state=" STATE "&state=" STATE, &plain, REDIRECT_FOREIGN, NULL },
	{ "code=a&state=" STATE "&st%61te=x", &plain, REDIRECT_FOREIGN, NULL },
	{ "code=a&state=" STATE "&iss=" ISS "&iss=" ISS, &plain, REDIRECT_FOREIGN, NULL },
	{ "error=access_denied&error=server_error&state=" STATE, &plain, REDIRECT_FOREIGN, NULL },
	{ "code&code=a&state=" STATE, &plain, REDIRECT_FOREIGN, NULL },
	/* what does not decode, and what could not be sent back */
	{ "code=a%00b&state=" STATE, &plain, REDIRECT_FOREIGN, NULL },
	{ "code=a&state=" STATE "%00", &plain, REDIRECT_FOREIGN, NULL },
	{ "code=a%2&state=" STATE, &plain, REDIRECT_FOREIGN, NULL },
	{ "state=" STATE "&code=a%", &plain, REDIRECT_FOREIGN, NULL },
	{ "state=" STATE "&code=a%2", &plain, REDIRECT_FOREIGN, NULL },
	{ "code=a%g0&state=" STATE, &plain, REDIRECT_FOREIGN, NULL },
	{ "code=a%0d%0ab&state=" STATE, &plain, REDIRECT_FOREIGN, NULL },
	{ "code=%ff%fe&state=" STATE, &plain, REDIRECT_FOREIGN, NULL },
	{ "code=\xc3\xa9&state=" STATE, &plain, REDIRECT_FOREIGN, NULL },
	/* A12: issuer */
	{ "code=a&state=" STATE "&iss=https%3A%2F%2Fas.example", &plain, REDIRECT_CODE, "a" },
	{ "code=a&state=" STATE "&iss=" ISS, &strict, REDIRECT_CODE, "a" },
	{ "code=a&state=" STATE "&iss=" ISS "/", &plain, REDIRECT_WRONG_ISSUER, NULL },
	{ "code=a&state=" STATE "&iss=HTTPS://as.example", &plain, REDIRECT_WRONG_ISSUER, NULL },
	{ "code=a&state=" STATE "&iss=https://as.example:443", &plain, REDIRECT_WRONG_ISSUER, NULL },
	{ "code=a&state=" STATE "&iss=", &plain, REDIRECT_WRONG_ISSUER, NULL },
	{ "code=a&state=" STATE "&iss", &plain, REDIRECT_WRONG_ISSUER, NULL },
	{ "code=a&state=" STATE "&iss=https://evil.example", &plain, REDIRECT_WRONG_ISSUER, NULL },
	{ "code=a&state=" STATE "&iss=" ISS, &nameless, REDIRECT_WRONG_ISSUER, NULL },
	{ "code=a&state=" STATE, &strict, REDIRECT_WRONG_ISSUER, NULL },
	{ "error=access_denied&state=" STATE "&iss=https://evil.example", &plain,
	    REDIRECT_WRONG_ISSUER, NULL },
	{ "error=access_denied&state=" STATE, &strict, REDIRECT_WRONG_ISSUER, NULL },
	{ "code=a&state=x&iss=https://evil.example", &plain, REDIRECT_FOREIGN, NULL },
	/* the server's no */
	{ "error=access_denied&state=" STATE, &plain, REDIRECT_REFUSED, "access_denied" },
	{ "error=access_denied&error_description=a%00b&error_description=%1b%5b31m&state=" STATE,
	    &plain, REDIRECT_REFUSED, "access_denied" },
	{ "error=account_selection_required&state=" STATE "&iss=" ISS, &strict, REDIRECT_REFUSED,
	    "account_selection_required" },
	{ "error=invalid_scope&code=a&state=" STATE, &plain, REDIRECT_REFUSED, "invalid_scope" },
	{ "error=%1b%5b31mred&state=" STATE, &plain, REDIRECT_REFUSED, "other" },
	{ "error=Access_Denied&state=" STATE, &plain, REDIRECT_REFUSED, "other" }
};

static void
judge(enum redirect_verdict verdict, enum redirect_verdict wanted, const char *text,
    const char *query)
{
	ck_assert_msg(verdict == wanted, "%s: %d", query, verdict);
	ck_assert_pstr_eq(got.code, verdict == REDIRECT_CODE ? text : NULL);
	ck_assert_str_eq(got.error, verdict == REDIRECT_REFUSED ? text : "");
	ck_assert(got.denied == (strcmp(got.error, "access_denied") == 0));
	redirect_free(&got);
	ck_assert_ptr_null(got.code);
}

START_TEST(a12_a13_queries)
{
	size_t n = strlen(queries[_i].query);

	judge(redirect_parse(guarded(queries[_i].query, n), n, queries[_i].expected, &got),
	    queries[_i].verdict, queries[_i].text, queries[_i].query);
}
END_TEST

START_TEST(a13_nul_in_the_query)
{
	static const char q[] = "code=a\0b&state=" STATE;

	ck_assert_int_eq(redirect_parse(q, sizeof(q) - 1, &plain, &got), REDIRECT_FOREIGN);
	redirect_free(&got);
}
END_TEST

/* Without a state of ours nothing is ours. */
START_TEST(a13_no_state_expected)
{
	static const struct redirect_expected none = { .issuer = ISS };

	ck_assert_int_eq(redirect_parse("code=a&state=", 13, &none, &got), REDIRECT_FOREIGN);
	ck_assert_int_eq(redirect_parse("code=a", 6, &none, &got), REDIRECT_FOREIGN);
}
END_TEST

static void
add_many(struct buf *b, const char *s, size_t n)
{
	while (n-- > 0)
		buf_adds(b, s);
}

START_TEST(a13_huge)
{
	struct buf b = BUF_INIT(0);

	buf_adds(&b, "code=");
	add_many(&b, "x", MIB);
	buf_adds(&b, "&state=" STATE);
	ck_assert_int_eq(redirect_parse(b.p, b.len, &plain, &got), REDIRECT_FOREIGN);
	ck_assert_int_eq(redirect_pasted(b.p, b.len, &plain, &got), REDIRECT_FOREIGN);
	/* A description of 60 kB is not read at all. */
	buf_reset(&b);
	buf_adds(&b, "error=server_error&state=" STATE "&error_description=");
	add_many(&b, "%00", 20000);
	ck_assert_int_eq(redirect_parse(b.p, b.len, &plain, &got), REDIRECT_REFUSED);
	ck_assert_str_eq(got.error, "server_error");
	buf_reset(&b);
	add_many(&b, "a&", 30000);
	buf_adds(&b, "code=c&state=" STATE);
	ck_assert_int_eq(redirect_parse(b.p, b.len, &plain, &got), REDIRECT_CODE);
	redirect_free(&got);
	buf_free(&b);
}
END_TEST

/* A21: pasted by a person. */
static const struct {
	const char	*text;
	enum redirect_verdict verdict;
	const char	*code;
} pasted[] = {
	{ "http://127.0.0.1:4711/callback?code=a%2Fb&state=" STATE, REDIRECT_CODE, "a/b" },
	{ " \t\r\nhttp://127.0.0.1/callback?code=a&state=" STATE "\r\n", REDIRECT_CODE, "a" },
	{ "http://localhost/?code=a&state=" STATE "#_=_", REDIRECT_CODE, "a" },
	{ "127.0.0.1:4711/callback?code=a&state=" STATE, REDIRECT_CODE, "a" },
	{ "code=a&state=" STATE, REDIRECT_CODE, "a" },
	{ "?code=a&state=" STATE, REDIRECT_CODE, "a" },
	{ "http://127.0.0.1/callback?error=access_denied&state=" STATE, REDIRECT_REFUSED,
	    "access_denied" },
	{ "http://127.0.0.1/callback?code=a&iss=x&state=" STATE, REDIRECT_WRONG_ISSUER, NULL },
	{ "http://127.0.0.1/callback?code=a&state=stale", REDIRECT_FOREIGN, NULL },
	{ "http://127.0.0.1/callback?code=a", REDIRECT_FOREIGN, NULL },
	{ "http://127.0.0.1/callback", REDIRECT_FOREIGN, NULL },
	{ "code=a&state=stale", REDIRECT_FOREIGN, NULL },
	{ "SplxlOBeZQQYbYS6WxSbIA\n", REDIRECT_CODE, "SplxlOBeZQQYbYS6WxSbIA" },
	{ "4/0AX4XfWh-a_b.c~", REDIRECT_CODE, "4/0AX4XfWh-a_b.c~" },
	{ "", REDIRECT_FOREIGN, NULL },
	{ " \n ", REDIRECT_FOREIGN, NULL },
	{ "two words", REDIRECT_FOREIGN, NULL },
	{ "a\x1b[31m", REDIRECT_FOREIGN, NULL },
	{ "\xc3\xa9", REDIRECT_FOREIGN, NULL }
};

START_TEST(a21_pasted)
{
	size_t n = strlen(pasted[_i].text);

	judge(redirect_pasted(guarded(pasted[_i].text, n), n, &plain, &got), pasted[_i].verdict,
	    pasted[_i].code, pasted[_i].text);
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("redirect");
	TCase *tc = tcase_create("redirect");
	SRunner *sr;
	int failed;

	tcase_add_loop_test(tc, a12_a13_queries, 0, nitems(queries));
	tcase_add_test(tc, a13_nul_in_the_query);
	tcase_add_test(tc, a13_no_state_expected);
	tcase_add_test(tc, a13_huge);
	tcase_add_loop_test(tc, a21_pasted, 0, nitems(pasted));
	suite_add_tcase(s, tc);
	sr = srunner_create(s);
	srunner_run_all(sr, CK_NORMAL);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed != 0;
}
