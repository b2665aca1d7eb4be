/* lib/oauth: form encoding, each grant's request, client authentication, the authorization URL. */
#include <check.h>

#include "oauth.h"

static struct oauth_request req;
static struct buf url;

static void
setup(void)
{
	req = (struct oauth_request)OAUTH_REQUEST_INIT;
	url = BUF_SECRET(0);
}

static void
teardown(void)
{
	oauth_request_free(&req);
	buf_free(&url);
}

static const char *
text(const struct buf *b)
{
	return b->p != NULL ? b->p : "";
}

static void
reset(void)
{
	buf_reset(&req.body);
	buf_reset(&req.authorization);
}

#define TOKEN	"r+t/ =&"
#define RES	"https://h/mcp?a=b"
#define GRANT	"grant_type=refresh_token&refresh_token=r%2Bt%2F+%3D%26"
#define RESOURCE "&resource=https%3A%2F%2Fh%2Fmcp%3Fa%3Db"
#define URN	"urn%3Aietf%3Aparams%3Aoauth%3A"

static const struct oauth_client nobody = { 0 };
static const struct oauth_client public = { .id = "id" };
static const struct oauth_client post = { .id = "id", .secret = "s&t",
    .method = "client_secret_post" };

/* The example of RFC 6749 appendix B, and every byte that is special. */
START_TEST(test_form)
{
	ck_assert_int_eq(oauth_form(&req.body, " %&+\xc2\xa3\xe2\x82\xac"), 0);
	ck_assert_str_eq(req.body.p, "+%25%26%2B%C2%A3%E2%82%AC");
	reset();
	ck_assert_int_eq(oauth_form(&req.body, "AZaz09-._* ~+&=%/\xc3\xa9\n"), 0);
	ck_assert_str_eq(req.body.p, "AZaz09-._*+%7E%2B%26%3D%25%2F%C3%A9%0A");
	reset();
	ck_assert_int_eq(oauth_form(&req.body, ""), 0);
	ck_assert_uint_eq(req.body.len, 0);
}
END_TEST

/* C9, A6: the same resource as at login, no scope. */
START_TEST(a6_refresh)
{
	ck_assert_int_eq(oauth_refresh_request(&req, &nobody, TOKEN, RES), 0);
	ck_assert_str_eq(req.body.p, GRANT RESOURCE);
	ck_assert_str_eq(text(&req.authorization), "");
	reset();
	ck_assert_int_eq(oauth_refresh_request(&req, &public, TOKEN, NULL), 0);
	ck_assert_str_eq(req.body.p, GRANT "&client_id=id");
	ck_assert_str_eq(text(&req.authorization), "");
}
END_TEST

/* A14: the secret of a client that says "none" stays here. */
START_TEST(a14_none)
{
	struct oauth_client c = { .id = "an id", .secret = "hush", .method = "none" };

	ck_assert_int_eq(oauth_refresh_request(&req, &c, TOKEN, RES), 0);
	ck_assert_str_eq(req.body.p, GRANT RESOURCE "&client_id=an+id");
	ck_assert_str_eq(text(&req.authorization), "");
}
END_TEST

START_TEST(a14_post)
{
	ck_assert_int_eq(oauth_refresh_request(&req, &post, TOKEN, RES), 0);
	ck_assert_str_eq(req.body.p, GRANT RESOURCE "&client_id=id&client_secret=s%26t");
	ck_assert_str_eq(text(&req.authorization), "");
}
END_TEST

/* Checked against coreutils' base64; the three lengths of padding. */
static const struct {
	const char	*id, *secret, *basic;
} basics[] = {
	{ "a:b", "p@s s", "Basic YSUzQWI6cCU0MHMrcw==" },	/* a%3Ab:p%40s+s */
	{ "id", "sec", "Basic aWQ6c2Vj" },			/* id:sec */
	{ "id", "secr", "Basic aWQ6c2Vjcg==" },
	{ "id", "secre", "Basic aWQ6c2VjcmU=" }
};

START_TEST(a14_basic)
{
	/* Named, and by default. */
	struct oauth_client c = { .id = basics[_i / 2].id, .secret = basics[_i / 2].secret,
	    .method = _i % 2 ? "client_secret_basic" : NULL };

	ck_assert_int_eq(oauth_refresh_request(&req, &c, TOKEN, RES), 0);
	ck_assert_str_eq(req.body.p, GRANT RESOURCE);
	ck_assert_str_eq(req.authorization.p, basics[_i / 2].basic);
}
END_TEST

/* RFC 7523 section 2.2; a secret that lies beside the key is not sent. */
START_TEST(a14_private_key_jwt)
{
	struct oauth_client c = { .id = "id", .secret = "hush", .method = "private_key_jwt",
	    .assertion = "ey.J-_.x" };

	ck_assert_int_eq(oauth_refresh_request(&req, &c, TOKEN, RES), 0);
	ck_assert_str_eq(req.body.p, GRANT RESOURCE "&client_id=id&client_assertion_type="
	    URN "client-assertion-type%3Ajwt-bearer&client_assertion=ey.J-_.x");
	ck_assert_str_eq(text(&req.authorization), "");
}
END_TEST

static const struct oauth_client incomplete[] = {
	{ .id = "id", .method = "client_secret_basic" },
	{ .secret = "s", .method = "client_secret_basic" },
	{ .id = "id", .method = "client_secret_post" },
	{ .secret = "s", .method = "client_secret_post" },
	{ .secret = "s" },
	{ .id = "id", .secret = "s", .method = "private_key_jwt" },
	{ .assertion = "ey", .method = "private_key_jwt" },
	{ .id = "id", .secret = "s", .method = "tls_client_auth" },
	{ .id = "id", .secret = "s", .method = "" }
};

START_TEST(a14_incomplete)
{
	ck_assert_int_eq(oauth_refresh_request(&req, &incomplete[_i], TOKEN, RES), -EINVAL);
	ck_assert_str_eq(text(&req.authorization), "");
}
END_TEST

START_TEST(a5_code)
{
	ck_assert_int_eq(oauth_code_request(&req, &public, "c/d", "http://127.0.0.1:1/callback",
	    "ver~", RES), 0);
	ck_assert_str_eq(req.body.p, "grant_type=authorization_code&code=c%2Fd"
	    "&redirect_uri=http%3A%2F%2F127.0.0.1%3A1%2Fcallback&code_verifier=ver%7E" RESOURCE
	    "&client_id=id");
	reset();
	ck_assert_int_eq(oauth_code_request(&req, &nobody, "c", "r", "v", NULL), -EINVAL);
	ck_assert_int_eq(oauth_code_request(&req, &public, NULL, "r", "v", NULL), -EINVAL);
	ck_assert_int_eq(oauth_code_request(&req, &public, "c", NULL, "v", NULL), -EINVAL);
	ck_assert_int_eq(oauth_code_request(&req, &public, "c", "r", NULL, NULL), -EINVAL);
}
END_TEST

/* A client that cannot prove who it is gets nothing for being there. */
START_TEST(a19_credentials)
{
	ck_assert_int_eq(oauth_credentials_request(&req, &post, "a b", RES), 0);
	ck_assert_str_eq(req.body.p, "grant_type=client_credentials&scope=a+b" RESOURCE
	    "&client_id=id&client_secret=s%26t");
	reset();
	ck_assert_int_eq(oauth_credentials_request(&req, &post, "", NULL), 0);
	ck_assert_str_eq(req.body.p,
	    "grant_type=client_credentials&client_id=id&client_secret=s%26t");
	ck_assert_int_eq(oauth_credentials_request(&req, &public, NULL, NULL), -EINVAL);
}
END_TEST

/* RFC 8628 sections 3.1 and 3.4, their examples. */
START_TEST(a21_device)
{
	struct oauth_client c = { .id = "1406020730" };

	ck_assert_int_eq(oauth_device_request(&req, &c, "example_scope", NULL), 0);
	ck_assert_str_eq(req.body.p, "scope=example_scope&client_id=1406020730");
	reset();
	ck_assert_int_eq(oauth_device_request(&req, &c, NULL, RES), 0);
	ck_assert_str_eq(req.body.p, RESOURCE "&client_id=1406020730" + 1);
	reset();
	ck_assert_int_eq(oauth_device_poll(&req, &c, "GmRhmhcxhwAzkoEqiMEg_DnyEysNkuNhszIySk9eS",
	    NULL), 0);
	ck_assert_str_eq(req.body.p, "grant_type=" URN "grant-type%3Adevice_code"
	    "&device_code=GmRhmhcxhwAzkoEqiMEg_DnyEysNkuNhszIySk9eS&client_id=1406020730");
	ck_assert_int_eq(oauth_device_request(&req, &nobody, NULL, NULL), -EINVAL);
	ck_assert_int_eq(oauth_device_poll(&req, &nobody, "x", NULL), -EINVAL);
	ck_assert_int_eq(oauth_device_poll(&req, &c, NULL, NULL), -EINVAL);
}
END_TEST

#define ID_TOKEN	"urn:ietf:params:oauth:token-type:id_token"

START_TEST(a20_both_legs)
{
	ck_assert_int_eq(oauth_exchange_request(&req, &post, "ey.subject", ID_TOKEN, "https://as",
	    RES, "a b"), 0);
	ck_assert_str_eq(req.body.p, "grant_type=" URN "grant-type%3Atoken-exchange"
	    "&requested_token_type=" URN "token-type%3Aid-jag&subject_token=ey.subject"
	    "&subject_token_type=" URN "token-type%3Aid_token&audience=https%3A%2F%2Fas" RESOURCE
	    "&scope=a+b&client_id=id&client_secret=s%26t");
	reset();
	ck_assert_int_eq(oauth_exchange_request(&req, &post, NULL, ID_TOKEN, "a", NULL, NULL),
	    -EINVAL);
	ck_assert_int_eq(oauth_exchange_request(&req, &post, "t", NULL, "a", NULL, NULL), -EINVAL);
	ck_assert_int_eq(oauth_exchange_request(&req, &post, "t", ID_TOKEN, NULL, NULL, NULL),
	    -EINVAL);
	reset();
	ck_assert_int_eq(oauth_assertion_request(&req, &post, "ey.jag", NULL, RES), 0);
	ck_assert_str_eq(req.body.p, "grant_type=" URN "grant-type%3Ajwt-bearer&assertion=ey.jag"
	    RESOURCE "&client_id=id&client_secret=s%26t");
	ck_assert_int_eq(oauth_assertion_request(&req, &post, NULL, NULL, NULL), -EINVAL);
}
END_TEST

/* RFC 7009 section 2.1, its example. */
START_TEST(h4_revoke)
{
	struct oauth_client c = { .id = "s6BhdRkqt3", .secret = "gX1fBat3bV" };

	ck_assert_int_eq(oauth_revoke_request(&req, &c, "45ghiukldjahdnhzdauz", "refresh_token"),
	    0);
	ck_assert_str_eq(req.body.p, "token=45ghiukldjahdnhzdauz&token_type_hint=refresh_token");
	ck_assert_str_eq(req.authorization.p, "Basic czZCaGRSa3F0MzpnWDFmQmF0M2JW");
	ck_assert_int_eq(oauth_revoke_request(&req, &c, NULL, "refresh_token"), -EINVAL);
}
END_TEST

/* A full buffer is reported, whatever it is filled with. */
START_TEST(test_ceiling)
{
	struct oauth_client c = { .id = "id", .secret = "s" };
	size_t max;

	for (max = 1; max < strlen(GRANT RESOURCE); max++) {
		oauth_request_free(&req);
		req.body.max = max;
		ck_assert_int_eq(oauth_refresh_request(&req, &c, TOKEN, RES), -EMSGSIZE);
	}
	req.body.max = 0;
	for (max = 1; max < strlen("Basic aWQ6cw=="); max++) {
		oauth_request_free(&req);
		req.authorization.max = max;
		ck_assert_int_eq(oauth_refresh_request(&req, &c, TOKEN, RES), -EMSGSIZE);
	}
}
END_TEST

static struct oauth_authorization wish = {
	.endpoint = "https://as.example/authorize", .client_id = "https://c.example/id.json",
	.redirect_uri = "http://127.0.0.1:4711/callback", .state = "st-_", .challenge = "ch",
};

#define QUERY	"response_type=code&client_id=https%3A%2F%2Fc.example%2Fid.json" \
	"&redirect_uri=http%3A%2F%2F127.0.0.1%3A4711%2Fcallback&state=st-_" \
	"&code_challenge=ch&code_challenge_method=S256"

START_TEST(a5_a6_a13_authorization_url)
{
	struct oauth_authorization a = wish;

	ck_assert_int_eq(oauth_authorization_url(&url, &a), 0);
	ck_assert_str_eq(url.p, "https://as.example/authorize?" QUERY);
	a.scope = "a b:c";
	a.resource = RES;
	buf_reset(&url);
	ck_assert_int_eq(oauth_authorization_url(&url, &a), 0);
	ck_assert_str_eq(url.p, "https://as.example/authorize?" QUERY "&scope=a+b%3Ac" RESOURCE);
}
END_TEST

/* A10: offline_access is of no use without consent, which the config may ask for in its own way. */
START_TEST(a10_offline_access_asks_for_consent)
{
	char *params[] = { (char []){ "prompt" }, (char []){ "login" }, NULL };
	struct oauth_authorization a = wish;

	a.scope = "a offline_access";
	ck_assert_int_eq(oauth_authorization_url(&url, &a), 0);
	ck_assert_str_eq(url.p, "https://as.example/authorize?" QUERY
	    "&scope=a+offline_access&prompt=consent");
	a.params = params;
	buf_reset(&url);
	ck_assert_int_eq(oauth_authorization_url(&url, &a), 0);
	ck_assert_str_eq(url.p, "https://as.example/authorize?" QUERY
	    "&scope=a+offline_access&prompt=login");
	a.params = NULL;
	a.scope = "offline_access2";
	buf_reset(&url);
	ck_assert_int_eq(oauth_authorization_url(&url, &a), 0);
	ck_assert_ptr_null(strstr(url.p, "prompt"));
}
END_TEST

/* RFC 6749 section 3.1: what stands there is kept. */
START_TEST(a13_endpoint_with_a_query)
{
	static const struct {
		const char *endpoint, *before;
	} cases[] = {
		{ "https://as/a?tenant=x%20y", "https://as/a?tenant=x%20y&" },
		{ "https://as/a?", "https://as/a?" },
		{ "https://as/a?t=1&", "https://as/a?t=1&" }
	};
	struct oauth_authorization a = wish;

	for (size_t i = 0; i < nitems(cases); i++) {
		a.endpoint = cases[i].endpoint;
		buf_reset(&url);
		ck_assert_int_eq(oauth_authorization_url(&url, &a), 0);
		ck_assert(strncmp(url.p, cases[i].before, strlen(cases[i].before)) == 0);
		ck_assert_str_eq(url.p + strlen(cases[i].before), QUERY);
	}
}
END_TEST

/* authorizeParams add, and never replace one of ours, present or not. */
START_TEST(a13_params)
{
	char *params[] = { (char []){ "prompt" }, (char []){ "consent&x" }, (char []){ "state" },
	    (char []){ "mine" }, (char []){ "scope" }, (char []){ "all" }, (char []){ "resource" },
	    (char []){ "r" }, (char []){ "code_challenge_method" }, (char []){ "plain" },
	    (char []){ "a b=" }, (char []){ "\xc3\xa9" }, (char []){ "empty" }, (char []){ "" },
	    NULL };
	struct oauth_authorization a = wish;

	a.params = params;
	ck_assert_int_eq(oauth_authorization_url(&url, &a), 0);
	ck_assert_str_eq(url.p, "https://as.example/authorize?" QUERY
	    "&prompt=consent%26x&a+b%3D=%C3%A9&empty=");
}
END_TEST

START_TEST(a13_url_refused)
{
	static const char *const endpoints[] = { NULL, "https://as/a#f", "https://as/a b",
	    "https://as/\n", "https://as/\xc3\xa9", "https://as/\x1b[0m" };
	struct oauth_authorization a = wish;

	for (size_t i = 0; i < nitems(endpoints); i++) {
		a.endpoint = endpoints[i];
		ck_assert_int_eq(oauth_authorization_url(&url, &a), -EINVAL);
	}
	a = wish;
	a.state = NULL;
	ck_assert_int_eq(oauth_authorization_url(&url, &a), -EINVAL);
	a = wish;
	a.challenge = "";
	ck_assert_int_eq(oauth_authorization_url(&url, &a), -EINVAL);
	a = wish;
	a.client_id = NULL;
	ck_assert_int_eq(oauth_authorization_url(&url, &a), -EINVAL);
	a = wish;
	a.redirect_uri = NULL;
	ck_assert_int_eq(oauth_authorization_url(&url, &a), -EINVAL);
	ck_assert_uint_eq(url.len, 0);
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("oauth");
	TCase *tc = tcase_create("oauth");
	SRunner *sr;
	int failed;

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, test_form);
	tcase_add_test(tc, a6_refresh);
	tcase_add_test(tc, a14_none);
	tcase_add_test(tc, a14_post);
	tcase_add_loop_test(tc, a14_basic, 0, 2 * nitems(basics));
	tcase_add_test(tc, a14_private_key_jwt);
	tcase_add_loop_test(tc, a14_incomplete, 0, nitems(incomplete));
	tcase_add_test(tc, a5_code);
	tcase_add_test(tc, a19_credentials);
	tcase_add_test(tc, a21_device);
	tcase_add_test(tc, a20_both_legs);
	tcase_add_test(tc, h4_revoke);
	tcase_add_test(tc, test_ceiling);
	tcase_add_test(tc, a5_a6_a13_authorization_url);
	tcase_add_test(tc, a10_offline_access_asks_for_consent);
	tcase_add_test(tc, a13_endpoint_with_a_query);
	tcase_add_test(tc, a13_params);
	tcase_add_test(tc, a13_url_refused);
	suite_add_tcase(s, tc);
	sr = srunner_create(s);
	srunner_run_all(sr, CK_NORMAL);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed != 0;
}
