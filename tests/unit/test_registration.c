/* lib/registration: dynamic client registration (RFC 7591; WIRE A8). */
#include <check.h>
#include <stdio.h>

#include "bounds.h"
#include "registration.h"
#include "token.h"

static struct registration reg;

START_TEST(a8_request)
{
	struct registration_wish wish = { .client_name = "mcp-authd \"x\"",
	    .redirect_uri = "http://127.0.0.1:4711/callback", .grant = "authorization_code",
	    .scope = "a b", .auth_method = "none" };
	struct buf b = BUF_INIT(0);

	ck_assert_int_eq(registration_request(&b, &wish), 0);
	ck_assert_str_eq(b.p, "{\"application_type\":\"native\","
	    "\"grant_types\":[\"authorization_code\",\"refresh_token\"],"
	    "\"response_types\":[\"code\"],"
	    "\"redirect_uris\":[\"http://127.0.0.1:4711/callback\"],"
	    "\"client_name\":\"mcp-authd \\\"x\\\"\","
	    "\"token_endpoint_auth_method\":\"none\",\"scope\":\"a b\"}");
	buf_free(&b);
}
END_TEST

/* A device has no redirect: no response types, lest the default "code" ask for one (section 2). */
START_TEST(a8_request_of_a_device)
{
	struct registration_wish wish = { .client_name = "m",
	    .grant = "urn:ietf:params:oauth:grant-type:device_code", .auth_method = "none" };
	struct buf b = BUF_INIT(0);

	ck_assert_int_eq(registration_request(&b, &wish), 0);
	ck_assert_str_eq(b.p, "{\"application_type\":\"native\","
	    "\"grant_types\":[\"urn:ietf:params:oauth:grant-type:device_code\",\"refresh_token\"],"
	    "\"response_types\":[],\"client_name\":\"m\",\"token_endpoint_auth_method\":\"none\"}");
	buf_free(&b);
}
END_TEST

/* The answer of RFC 7591 section 3.2.1. */
START_TEST(a8_rfc7591)
{
	static const char text[] = "{\n"
	    "\"client_id\": \"s6BhdRkqt3\",\n"
	    "\"client_secret\": \"cf136dc3c1fc93f31185e5885805d\",\n"
	    "\"client_id_issued_at\": 2893256800,\n"
	    "\"client_secret_expires_at\": 2893276800,\n"
	    "\"redirect_uris\": [\n"
	    "\"https://client.example.org/callback\",\n"
	    "\"https://client.example.org/callback2\"],\n"
	    "\"grant_types\": [\"authorization_code\", \"refresh_token\"],\n"
	    "\"client_name\": \"My Example Client\",\n"
	    "\"client_name#ja-Jpan-JP\":\n"
	    "\"\\u30AF\\u30E9\\u30A4\\u30A2\\u30F3\\u30C8\\u540D\",\n"
	    "\"token_endpoint_auth_method\": \"client_secret_basic\",\n"
	    "\"logo_uri\": \"https://client.example.org/logo.png\",\n"
	    "\"jwks_uri\": \"https://client.example.org/my_public_keys.jwks\",\n"
	    "\"example_extension_parameter\": \"example_value\"\n"
	    "}";
	const char *why = "";

	ck_assert_msg(registration_parse(text, strlen(text), &reg, &why) == 0, "%s", why);
	ck_assert_str_eq(reg.client_id, "s6BhdRkqt3");
	ck_assert_str_eq(reg.client_secret, "cf136dc3c1fc93f31185e5885805d");
	ck_assert_str_eq(reg.auth_method, "client_secret_basic");
	ck_assert_int_eq(reg.secret_expires_at, 2893276800 * SEC);
	registration_free(&reg);
	ck_assert_ptr_null(reg.client_secret);
	registration_free(&reg);
}
END_TEST

static const struct {
	const char	*members, *secret, *method;
	int64_t		 expires_at;
} answers[] = {
	{ "", NULL, NULL, EXPIRES_UNKNOWN },
	{ ",\"client_secret\":null,\"token_endpoint_auth_method\":\"none\"", NULL, "none",
	    EXPIRES_UNKNOWN },
	{ ",\"client_secret\":\"\",\"client_secret_expires_at\":0", NULL, NULL, EXPIRES_UNKNOWN },
	{ ",\"client_secret\":\"s\",\"client_secret_expires_at\":0", "s", NULL, EXPIRES_UNKNOWN },
	{ ",\"client_secret\":\"s\",\"client_secret_expires_at\":\"1700000000\"", "s", NULL,
	    1700000000 * SEC },
	{ ",\"client_secret\":\"s\",\"client_secret_expires_at\":1700000000000", "s", NULL,
	    EXPIRES_UNKNOWN },
	{ ",\"client_secret\":\"s\",\"client_secret_expires_at\":\"never\"", "s", NULL,
	    EXPIRES_UNKNOWN },
	{ ",\"client_secret\":\"s\",\"token_endpoint_auth_method\":\"client_secret_post\"", "s",
	    "client_secret_post", EXPIRES_UNKNOWN },
	/* A public client, whatever else was said. */
	{ ",\"client_secret\":\"s\",\"token_endpoint_auth_method\":\"none\"", NULL, "none",
	    EXPIRES_UNKNOWN },
	{ ",\"error\":null,\"token_endpoint_auth_method\":null", NULL, NULL, EXPIRES_UNKNOWN }
};

START_TEST(a8_answers)
{
	const char *why = "";
	char text[256];

	snprintf(text, sizeof(text), "{\"client_id\":\"an id\"%s}", answers[_i].members);
	ck_assert_msg(registration_parse(text, strlen(text), &reg, &why) == 0, "%s: %s", text, why);
	ck_assert_str_eq(reg.client_id, "an id");
	ck_assert_pstr_eq(reg.client_secret, answers[_i].secret);
	ck_assert_pstr_eq(reg.auth_method, answers[_i].method);
	ck_assert_int_eq(reg.secret_expires_at, answers[_i].expires_at);
	registration_free(&reg);
}
END_TEST

static const struct {
	const char	*text, *word;
} refused[] = {
	{ "", "JSON" },
	{ "\"x\"", "JSON" },
	{ "{\"client_id\":\"a\"}{}", "JSON" },
	{ "{\"client_id\":\"a\",\"client_id\":\"b\"}", "JSON" },
	{ "{\"client_id\":\"a\xff\"}", "JSON" },
	{ "{\"client_id\":\"a\\u0000\"}", "JSON" },
	{ "{}", "client_id" },
	{ "{\"error\":\"invalid_redirect_uri\"}", "client_id" },
	{ "{\"client_id\":\"\"}", "client_id" },
	{ "{\"client_id\":7}", "client_id" },
	{ "{\"client_id\":\"a\\r\\nb\"}", "client_id" },
	{ "{\"client_id\":\"\\u00e9\"}", "client_id" },
	{ "{\"client_id\":\"a\",\"client_secret\":\"s\\n\"}", "client_secret" },
	{ "{\"client_id\":\"a\",\"token_endpoint_auth_method\":\"client_secret_basic\"}", "secret" },
	{ "{\"client_id\":\"a\",\"client_secret\":\"s\","
	    "\"token_endpoint_auth_method\":\"private_key_jwt\"}", "method" },
	{ "{\"client_id\":\"a\",\"token_endpoint_auth_method\":\"tls_client_auth\"}", "method" }
};

START_TEST(a8_refused)
{
	const char *why = NULL;

	memset(&reg, 0, sizeof(reg));
	ck_assert_int_eq(registration_parse(refused[_i].text, strlen(refused[_i].text), &reg, &why),
	    -EBADMSG);
	ck_assert_msg(why != NULL && strstr(why, refused[_i].word) != NULL, "%s: %s",
	    refused[_i].text, why);
	ck_assert_ptr_null(reg.client_id);
}
END_TEST

START_TEST(a8_huge)
{
	struct buf b = BUF_INIT(0);
	const char *why;
	size_t i;

	buf_adds(&b, "{\"client_id\":\"");
	for (i = 0; i < TOKEN_BYTES + 1; i++)
		buf_add(&b, "x", 1);
	buf_adds(&b, "\"}");
	ck_assert_int_eq(registration_parse(b.p, b.len, &reg, &why), -EBADMSG);
	b.len -= 2;
	for (i = 0; i < MIB; i++)
		buf_add(&b, "x", 1);
	buf_adds(&b, "\"}");
	ck_assert_int_eq(registration_parse(b.p, b.len, &reg, &why), -EBADMSG);
	buf_free(&b);
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("registration");
	TCase *tc = tcase_create("registration");
	SRunner *sr;
	int failed;

	tcase_add_test(tc, a8_request);
	tcase_add_test(tc, a8_request_of_a_device);
	tcase_add_test(tc, a8_rfc7591);
	tcase_add_loop_test(tc, a8_answers, 0, nitems(answers));
	tcase_add_loop_test(tc, a8_refused, 0, nitems(refused));
	tcase_add_test(tc, a8_huge);
	suite_add_tcase(s, tc);
	sr = srunner_create(s);
	srunner_run_all(sr, CK_NORMAL);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed != 0;
}
