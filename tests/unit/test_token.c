/* lib/token: token responses turned into one class and facts (contract B1, C10, D). */
#include <cjson/cJSON.h>

#include <check.h>
#include <stdio.h>

#include "bounds.h"
#include "token.h"

#define NOW	(1700000000 * SEC)

static const struct {
	int		 status;
	const char	*body;
	enum token_class class;
	const char	*error;
} answers[] = {
	/* D: invalid_grant */
	{ 400, "{\"error\":\"invalid_grant\"}", TOKEN_DEAD, "invalid_grant" },
	{ 401, "{\"error\":\"invalid_grant\",\"error_description\":\"x\"}", TOKEN_DEAD,
	    "invalid_grant" },
	/* D: configuration */
	{ 401, "{\"error\":\"invalid_client\"}", TOKEN_REFUSED, "invalid_client" },
	{ 400, "{\"error\":\"unauthorized_client\"}", TOKEN_REFUSED, "unauthorized_client" },
	{ 400, "{\"error\":\"invalid_target\"}", TOKEN_REFUSED, "invalid_target" },
	{ 400, "{\"error\":\"invalid_scope\"}", TOKEN_REFUSED, "invalid_scope" },
	{ 400, "", TOKEN_REFUSED, "" },
	{ 404, "<html>Not Found</html>", TOKEN_REFUSED, "" },
	{ 400, "{\"message\":\"no\"}", TOKEN_REFUSED, "" },
	{ 400, "{\"error\":{\"code\":400}}", TOKEN_REFUSED, "" },
	{ 400, "{\"error\":\"\"}", TOKEN_REFUSED, "" },
	{ 400, "[\"invalid_grant\"]", TOKEN_REFUSED, "" },
	{ 400, "{\"error\":\"invalid_grant\"", TOKEN_REFUSED, "" },
	{ 400, "{\"error\":\"invalid_grant\",\"error\":\"x\"}", TOKEN_REFUSED, "" },
	{ 302, "", TOKEN_REFUSED, "" },
	/* D: other definitive 4xx */
	{ 400, "{\"error\":\"invalid_request\"}", TOKEN_STRIKE, "invalid_request" },
	{ 400, "{\"error\":\"unsupported_grant_type\"}", TOKEN_STRIKE, "unsupported_grant_type" },
	{ 403, "{\"error\":\"\\u001b[31mred\"}", TOKEN_STRIKE, "other" },
	{ 400, "{\"error\":\"INVALID_GRANT\"}", TOKEN_STRIKE, "other" },
	/* A21: a device's polls are told apart by their code */
	{ 400, "{\"error\":\"authorization_pending\"}", TOKEN_STRIKE, "authorization_pending" },
	{ 400, "{\"error\":\"access_denied\"}", TOKEN_STRIKE, "access_denied" },
	{ 400, "{\"error\":\"expired_token\"}", TOKEN_STRIKE, "expired_token" },
	{ 200, "{\"error\":\"authorization_pending\"}", TOKEN_STRIKE, "authorization_pending" },
	{ 400, "{\"error\":\"unsupported_token_type\"}", TOKEN_STRIKE, "unsupported_token_type" },
	{ 400, "{\"error\":\"unmet_authentication_requirements\"}", TOKEN_STRIKE,
	    "unmet_authentication_requirements" },
	/* what says itself that it is not definitive */
	{ 400, "{\"error\":\"temporarily_unavailable\"}", TOKEN_TRANSIENT,
	    "temporarily_unavailable" },
	{ 400, "{\"error\":\"slow_down\"}", TOKEN_TRANSIENT, "slow_down" },
	{ 400, "{\"error\":\"server_error\"}", TOKEN_UNKNOWN, "server_error" },
	/* D: nothing was done */
	{ 429, "", TOKEN_TRANSIENT, "" },
	{ 429, "{\"error\":\"invalid_grant\"}", TOKEN_TRANSIENT, "" },
	{ 503, "{\"error\":\"invalid_grant\"}", TOKEN_TRANSIENT, "" },
	/* D: unknown outcome */
	{ 500, "{\"error\":\"invalid_grant\"}", TOKEN_UNKNOWN, "" },
	{ 502, "", TOKEN_UNKNOWN, "" },
	{ 504, "", TOKEN_UNKNOWN, "" },
	{ 501, "", TOKEN_UNKNOWN, "" },
	{ 199, "", TOKEN_UNKNOWN, "" },
	{ 200, "", TOKEN_UNKNOWN, "" },
	{ 200, "{\"access_token\":\"a\",\"token_ty", TOKEN_UNKNOWN, "" },
	{ 200, "{\"access_token\":\"a\"} trailing", TOKEN_UNKNOWN, "" },
	{ 200, "{\"access_token\":\"a\",\"access_token\":\"b\"}", TOKEN_UNKNOWN, "" },
	{ 200, "access_token=a&token_type=bearer", TOKEN_UNKNOWN, "" },
	{ 200, "{\"access_token\":7}", TOKEN_UNKNOWN, "" },
	{ 200, "{}", TOKEN_UNKNOWN, "" },
	{ 200, "[]", TOKEN_UNKNOWN, "" },
	{ 204, "", TOKEN_UNKNOWN, "" },
	/* a 2xx that is an error */
	{ 200, "{\"error\":\"invalid_grant\"}", TOKEN_DEAD, "invalid_grant" },
	{ 200, "{\"error\":\"bad_refresh_token\"}", TOKEN_STRIKE, "other" },
	{ 200, "{\"error\":\"invalid_client\",\"access_token\":\"a\"}", TOKEN_REFUSED,
	    "invalid_client" },
	{ 200, "{\"error\":{\"code\":7}}", TOKEN_REFUSED, "" },
	/* a 2xx that cannot be used */
	{ 200, "{\"access_token\":\"a\",\"token_type\":\"mac\"}", TOKEN_REFUSED, "" },
	{ 200, "{\"access_token\":\"a\",\"token_type\":1}", TOKEN_REFUSED, "" },
	{ 200, "{\"access_token\":\"\"}", TOKEN_REFUSED, "" },
	{ 200, "{\"access_token\":\"a b\"}", TOKEN_REFUSED, "" },
	{ 200, "{\"access_token\":\"a\\r\\nX: y\"}", TOKEN_REFUSED, "" },
	{ 200, "{\"access_token\":\"\\u00e9\"}", TOKEN_REFUSED, "" },
	{ 200, "{\"access_token\":\"\\u007f\"}", TOKEN_REFUSED, "" },
	/* a 2xx that can */
	{ 200, "{\"access_token\":\"a\"}", TOKEN_OK, "" },
	{ 201, "{\"access_token\":\"!~\"}", TOKEN_OK, "" },
	{ 200, "{\"access_token\":\"a\",\"token_type\":\"bEARER\"}", TOKEN_OK, "" },
	{ 200, "{\"access_token\":\"a\",\"token_type\":null}", TOKEN_OK, "" },
	{ 200, "{\"access_token\":\"a\",\"error\":null}", TOKEN_OK, "" },
	{ 200, "{\"access_token\":\"a\",\"error\":\"\"}", TOKEN_OK, "" }
};

START_TEST(test_class)
{
	struct token_answer ta;
	enum token_class class;

	class = token_classify(answers[_i].status, answers[_i].body, strlen(answers[_i].body),
	    NOW, &ta);
	ck_assert_msg(class == answers[_i].class, "%d %s: %d", answers[_i].status,
	    answers[_i].body, class);
	ck_assert_str_eq(ta.error, answers[_i].error);
	ck_assert(class == TOKEN_OK ? ta.access_token != NULL : ta.access_token == NULL);
	if (class != TOKEN_OK)
		ck_assert(ta.refresh_token == NULL && ta.expires_at == EXPIRES_UNKNOWN);
	token_free(&ta);
}
END_TEST

static void
classify(const char *body, struct token_answer *ta)
{
	ck_assert_int_eq(token_classify(200, body, strlen(body), NOW, ta), TOKEN_OK);
}

START_TEST(test_everything_taken)
{
	struct token_answer ta;

	classify("{\"access_token\":\"at\",\"token_type\":\"Bearer\",\"expires_in\":3600,"
	    "\"refresh_token\":\"r t\",\"scope\":\"a b\",\"extra\":[1]}", &ta);
	ck_assert_str_eq(ta.access_token, "at");
	ck_assert_str_eq(ta.refresh_token, "r t");
	ck_assert_str_eq(ta.scope, "a b");
	ck_assert_int_eq(ta.lifetime, 3600 * SEC);
	ck_assert_int_eq(ta.expires_at, NOW + 3600 * SEC);
	ck_assert(!ta.odd_expiry);
	token_free(&ta);
	ck_assert_ptr_null(ta.access_token);
	token_free(&ta);
}
END_TEST

/* C10: what is unusable counts as omitted; the access token beside it is good. */
START_TEST(test_omitted)
{
	static const char *const bodies[] = {
		"{\"access_token\":\"a\"}",
		"{\"access_token\":\"a\",\"refresh_token\":null,\"scope\":null}",
		"{\"access_token\":\"a\",\"refresh_token\":\"\",\"scope\":\"\"}",
		"{\"access_token\":\"a\",\"refresh_token\":5,\"scope\":[\"x\"]}"
	};
	struct token_answer ta;

	classify(bodies[_i], &ta);
	ck_assert_ptr_null(ta.refresh_token);
	ck_assert_ptr_null(ta.scope);
	token_free(&ta);
}
END_TEST

START_TEST(test_long_token)
{
	struct buf b = BUF_INIT(0);
	struct token_answer ta;
	size_t i;

	buf_adds(&b, "{\"access_token\":\"");
	for (i = 0; i < TOKEN_BYTES; i++)
		buf_add(&b, "x", 1);
	buf_adds(&b, "\"}");
	ck_assert_int_eq(token_classify(200, b.p, b.len, NOW, &ta), TOKEN_OK);
	token_free(&ta);
	b.len -= 2;
	buf_adds(&b, "x\"}");
	ck_assert_int_eq(token_classify(200, b.p, b.len, NOW, &ta), TOKEN_REFUSED);
	token_free(&ta);
	buf_free(&b);
}
END_TEST

/* A description of any size is never looked at, and bad bytes in it make no JSON. */
START_TEST(test_long_description)
{
	struct buf b = BUF_INIT(0);
	struct token_answer ta;
	size_t i;

	buf_adds(&b, "{\"error\":\"invalid_grant\",\"error_description\":\"");
	for (i = 0; i < 100000; i++)
		buf_add(&b, "\x7f", 1);
	buf_adds(&b, "\"}");
	ck_assert_int_eq(token_classify(400, b.p, b.len, NOW, &ta), TOKEN_DEAD);
	ck_assert_str_eq(ta.error, "invalid_grant");
	b.p[b.len - 3] = '\xff';
	ck_assert_int_eq(token_classify(400, b.p, b.len, NOW, &ta), TOKEN_REFUSED);
	b.p[b.len - 3] = '\0';
	ck_assert_int_eq(token_classify(400, b.p, b.len, NOW, &ta), TOKEN_REFUSED);
	ck_assert_str_eq(ta.error, "");
	buf_free(&b);
}
END_TEST

/* B1 */
static const struct {
	const char	*json;
	int64_t		 ms;
	bool		 odd;
} lifetimes[] = {
	{ "3600", 3600 * SEC, false },
	{ "\"3600\"", 3600 * SEC, false },
	{ "\"1e3\"", 1000 * SEC, false },
	{ "1.5", 1500, false },
	{ "\"0.25\"", 250, false },
	{ "0", 0, false },
	{ "-1", 0, false },
	{ "\"-1\"", 0, false },
	{ "\"0\"", 0, false },
	{ "1e300", 1000000000000000, false },
	{ "9223372036854775807", 1000000000000000, false },
	{ "\"\"", 0, true },
	{ "\"1h\"", 0, true },
	{ "\" 1\"", 0, true },
	{ "\"1 \"", 0, true },
	{ "\"0x10\"", 0, true },
	{ "\"nan\"", 0, true },
	{ "\"inf\"", 0, true },
	{ "\"1.2.3\"", 0, true },
	{ "\"1e999\"", 0, true },
	{ "\"e\"", 0, true },
	{ "null", 0, true },
	{ "true", 0, true },
	{ "[3600]", 0, true },
	{ "{}", 0, true }
};

START_TEST(test_lifetime)
{
	struct token_answer ta;
	char body[128];
	cJSON *item;
	bool odd;

	item = cJSON_Parse(lifetimes[_i].json);
	ck_assert_ptr_nonnull(item);
	ck_assert_int_eq(token_lifetime(item, &odd), lifetimes[_i].ms);
	ck_assert_msg(odd == lifetimes[_i].odd, "%s", lifetimes[_i].json);
	cJSON_Delete(item);

	snprintf(body, sizeof(body), "{\"access_token\":\"a\",\"expires_in\":%s}",
	    lifetimes[_i].json);
	classify(body, &ta);
	ck_assert_int_eq(ta.lifetime, lifetimes[_i].ms);
	ck_assert_int_eq(ta.expires_at,
	    ta.lifetime > 0 ? NOW + ta.lifetime : EXPIRES_UNKNOWN);
	ck_assert(ta.odd_expiry == lifetimes[_i].odd);
	token_free(&ta);
}
END_TEST

START_TEST(test_lifetime_missing)
{
	bool odd = true;

	ck_assert_int_eq(token_lifetime(NULL, &odd), 0);
	ck_assert(!odd);
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("token");
	TCase *tc = tcase_create("token");
	SRunner *sr;
	int failed;

	tcase_add_loop_test(tc, test_class, 0, nitems(answers));
	tcase_add_test(tc, test_everything_taken);
	tcase_add_loop_test(tc, test_omitted, 0, 4);
	tcase_add_test(tc, test_long_token);
	tcase_add_test(tc, test_long_description);
	tcase_add_loop_test(tc, test_lifetime, 0, nitems(lifetimes));
	tcase_add_test(tc, test_lifetime_missing);
	suite_add_tcase(s, tc);
	sr = srunner_create(s);
	srunner_run_all(sr, CK_NORMAL);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed != 0;
}
