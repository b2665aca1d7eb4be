/* lib/config: the keys of logins and grants, and what they say about one another (A8, A14, A15, A19 to A21, H6). */
#include <check.h>
#include <stdio.h>

#include "config.h"

#define ID_TOKEN	"urn:ietf:params:oauth:token-type:id_token"

static unsigned	warnings;
static char	last_warning[600];

static void
warned(_unused_ void *arg, const struct config_error *w)
{
	warnings++;
	snprintf(last_warning, sizeof(last_warning), "%u:%u %s", w->line, w->column, w->what);
}

static int
parse(struct config *c, const char *text, struct config_error *error)
{
	config_init(c);
	return config_parse(c, "test.json", text, strlen(text), warned, NULL, error);
}

/* The one upstream of a config whose "oauth" has these members; they begin at line 2, column 1. */
static int
parse_oauth(struct config *c, const char *members, struct config_error *error)
{
	char	text[1024];

	snprintf(text, sizeof(text), "{\"mcpServers\":{\"a\":{\"url\":\"https://h/m\",\"oauth\":{\n%s}}}}",
	    members);
	return parse(c, text, error);
}

static const struct config_upstream *
good(struct config *c, const char *members)
{
	struct config_error	error = { 0 };

	ck_assert_msg(parse_oauth(c, members, &error) == 0, "%s: %u:%u: %s", members, error.line,
	    error.column, error.what);
	return c->upstreams;
}

START_TEST(test_browser)
{
	struct config			 c;
	const struct config_upstream	*u = good(&c, "\"clientMetadataUrl\":\"https://H.example/a/c.json\","
	    "\"redirectPort\":1024,\"authorizeParams\":{\"access_type\":\"offline\",\"prompt\":\"a b\"},"
	    "\"authorizationEndpoint\":\"https://H.example/a?b=c\",\"assumePkce\":true,"
	    "\"allowPrivate\":true");

	ck_assert_int_eq(u->oauth.grant, CONFIG_AUTHORIZATION_CODE);
	ck_assert_str_eq(u->oauth.client_metadata_url, "https://H.example/a/c.json");
	ck_assert_uint_eq(u->oauth.redirect_port, 1024);
	ck_assert_str_eq(u->oauth.authorize_params[0], "access_type");
	ck_assert_str_eq(u->oauth.authorize_params[1], "offline");
	ck_assert_str_eq(u->oauth.authorize_params[2], "prompt");
	ck_assert_str_eq(u->oauth.authorize_params[3], "a b");
	ck_assert_ptr_null(u->oauth.authorize_params[4]);
	ck_assert_str_eq(u->oauth.authorization_endpoint, "https://H.example/a?b=c");
	ck_assert(u->oauth.assume_pkce && u->oauth.allow_private);
	ck_assert_uint_eq(warnings, 0);
	config_free(&c);
}
END_TEST

START_TEST(test_defaults)
{
	struct config			 c;
	const struct config_upstream	*u = good(&c, "");

	ck_assert_int_eq(u->oauth.grant, CONFIG_AUTHORIZATION_CODE);
	ck_assert_uint_eq(u->oauth.redirect_port, 0);
	ck_assert(!u->oauth.assume_pkce && !u->oauth.allow_private && u->session_recovery);
	ck_assert_ptr_null(u->oauth.authorize_params);
	ck_assert_ptr_null(u->oauth.idp.subject_token_type);
	ck_assert_ptr_null(c.login.command);
	ck_assert_int_eq(c.login.wait, 0);
	config_free(&c);
}
END_TEST

START_TEST(test_machines)
{
	struct config			 c;
	const struct config_upstream	*u;

	u = good(&c, "\"grant\":\"client_credentials\",\"clientId\":\"c\",\"clientSecretCommand\":"
	    "[\"/bin/pass\",\"x\"]");
	ck_assert_int_eq(u->oauth.grant, CONFIG_CLIENT_CREDENTIALS);
	ck_assert_str_eq(u->oauth.client_secret_command[1], "x");
	ck_assert_ptr_null(u->oauth.client_secret_command[2]);
	config_free(&c);
	u = good(&c, "\"grant\":\"client_credentials\",\"clientId\":\"c\",\"clientSecretCredential\":\"n\"");
	ck_assert_str_eq(u->oauth.client_secret_credential, "n");
	config_free(&c);
	u = good(&c, "\"grant\":\"client_credentials\",\"clientId\":\"c\",\"tokenEndpointAuthMethod\":"
	    "\"private_key_jwt\",\"privateKeyFile\":\"/k\",\"privateKeyId\":\"i\"");
	ck_assert_str_eq(u->oauth.private_key_file, "/k");
	ck_assert_str_eq(u->oauth.private_key_id, "i");
	ck_assert_str_eq(u->oauth.token_endpoint_auth_method, "private_key_jwt");
	config_free(&c);
	u = good(&c, "\"grant\":\"device_code\",\"clientId\":\"c\"");
	ck_assert_int_eq(u->oauth.grant, CONFIG_DEVICE_CODE);
	config_free(&c);
	u = good(&c, "\"clientMetadataUrl\":\"https://h/c\",\"tokenEndpointAuthMethod\":"
	    "\"private_key_jwt\",\"privateKeyFile\":\"/k\"");
	ck_assert_int_eq(u->oauth.grant, CONFIG_AUTHORIZATION_CODE);
	config_free(&c);
}
END_TEST

/* A20 */
START_TEST(test_id_jag)
{
	struct config			 c;
	const struct config_upstream	*u;

	u = good(&c, "\"grant\":\"id_jag\",\"clientId\":\"c\",\"idp\":{\"issuer\":\"https://I\","
	    "\"clientId\":\"d\",\"subjectTokenFile\":\"/t\"}");
	ck_assert_int_eq(u->oauth.grant, CONFIG_ID_JAG);
	ck_assert_str_eq(u->oauth.idp.issuer, "https://I");
	ck_assert_str_eq(u->oauth.idp.client_id, "d");
	ck_assert_str_eq(u->oauth.idp.subject_token_file, "/t");
	ck_assert_str_eq(u->oauth.idp.subject_token_type, ID_TOKEN);
	config_free(&c);
	u = good(&c, "\"grant\":\"id_jag\",\"clientId\":\"c\",\"idp\":{\"tokenEndpoint\":\"https://I/t\","
	    "\"clientId\":\"d\",\"subjectTokenFile\":\"/t\",\"clientSecretFile\":\"/s\","
	    "\"subjectTokenType\":\"urn:ietf:params:oauth:token-type:saml2\"}");
	ck_assert_str_eq(u->oauth.idp.token_endpoint, "https://I/t");
	ck_assert_str_eq(u->oauth.idp.client_secret_file, "/s");
	ck_assert_str_eq(u->oauth.idp.subject_token_type, "urn:ietf:params:oauth:token-type:saml2");
	config_free(&c);
}
END_TEST

#define ROBOT	"\"grant\":\"client_credentials\","
#define JAG	"\"grant\":\"id_jag\",\"clientId\":\"c\","
#define JWT	"\"tokenEndpointAuthMethod\":\"private_key_jwt\""
#define METADATA(u)	"\"clientMetadataUrl\":\"" u "\""
#define PARAM(n)	"\"authorizeParams\":{\"" n "\":\"x\"}"

/* Members of "oauth", which begin at line 2, column 1. */
static const struct {
	const char	*members;
	unsigned	 column;
	const char	*words;
} bad[] = {
	{ "\"grant\":\"password\"", 9, "is no value of \"grant\"" },
	{ "\"grant\":\"clientcredentials\"", 9, "did you mean \"client_credentials\"" },
	{ "\"grant\":1", 9, "such as \"authorization_code\"" },
	{ "\"privateKey\":\"x\"", 1, "name a file in \"privateKeyFile\"" },
	{ "\"clientSecretCommand\":\"pass\"", 23, "list of at most" },
	{ "\"clientSecretCommand\":[\"pass\"]", 24, "absolute path" },
	{ "\"clientSecretCredential\":\"a/b\"", 26, "a name, not a path" },
	{ "\"clientSecretCredential\":\"\"", 26, "not empty" },
	{ METADATA("http://h/c"), 21, "https:// URL with a path" },
	{ METADATA("https://h"), 21, "https:// URL with a path" },
	{ METADATA("https://h/"), 21, "https:// URL with a path" },
	{ METADATA("https://h/?c"), 21, "https:// URL with a path" },
	{ METADATA("https://h?c"), 21, "https:// URL with a path" },
	{ METADATA("https://h/c#f"), 21, "without user name and fragment" },
	{ METADATA("https://u@h/c"), 21, "without user name and fragment" },
	{ METADATA("https://h/a/../c"), 21, "in its path" },
	{ METADATA("https://h/a/."), 21, "in its path" },
	{ "\"clientMetadataUrl\":true", 21, "must be a URL" },
	{ "\"privateKeyFile\":\"k.pem\"", 18, "absolute path" },
	{ "\"privateKeyId\":7", 16, "a string" },
	{ "\"redirectPort\":80", 16, "1024 or more" },
	{ "\"redirectPort\":1023", 16, "1024 or more" },
	{ "\"redirectPort\":65536", 16, "between 0 and 65535" },
	{ "\"redirectPort\":-1", 16, "between 0 and 65535" },
	{ "\"redirectPort\":8080.5", 16, "whole number" },
	{ "\"redirectPort\":0.5", 16, "whole number" },
	{ "\"redirectPort\":\"8080\"", 16, "without quotes" },
	{ "\"authorizeParams\":[]", 19, "an object of at most 32" },
	{ "\"authorizeParams\":{\"a\":1}", 24, "\"a\" must be a string" },
	{ "\"authorizeParams\":{\"a\":\"\"}", 24, "not empty" },
	{ "\"authorizeParams\":{\"a\":\"b\\n\"}", 24, "control characters" },
	{ "\"authorizeParams\":{\"a b\":\"c\"}", 20, "no name of a parameter" },
	{ "\"authorizeParams\":{\"\":\"c\"}", 20, "no name of a parameter" },
	{ PARAM("response_type"), 20, "written by the daemon itself, anew" },
	{ PARAM("client_id"), 20, "see \"clientId\"" },
	{ PARAM("redirect_uri"), 20, "see \"redirectPort\"" },
	{ PARAM("scope"), 20, "see \"scopes\"" },
	{ PARAM("state"), 20, "written by the daemon itself, anew" },
	{ PARAM("code_challenge"), 20, "written by the daemon itself, anew" },
	{ PARAM("code_challenge_method"), 20, "written by the daemon itself, anew" },
	{ PARAM("resource"), 20, "see \"resource\"" },
	{ "\"authorizationEndpoint\":\"http://h.example/a\"", 25, "https:// URL" },
	{ "\"assumePkce\":\"yes\"", 14, "true or false" },
	{ "\"allowPrivate\":1", 16, "true or false" },
	{ "\"idp\":\"https://i\"", 7, "must be an object" },
	{ "\"idp\":{\"clientID\":\"x\"}", 8, "nearest valid key is \"clientId\"" },
	{ "\"idp\":{\"clientSecret\":\"x\"}", 8, "name a file in \"clientSecretFile\"" },
	{ "\"idp\":{\"issuer\":\"http://i.example\"}", 17, "https:// URL" },
	{ "\"idp\":{\"tokenEndpoint\":\"i\"}", 24, "complete" },
	{ "\"idp\":{\"clientId\":\"\"}", 19, "not empty" },
	{ "\"idp\":{\"clientSecretFile\":\"s\"}", 27, "absolute path" },
	{ "\"idp\":{\"subjectTokenFile\":\"t\"}", 27, "absolute path" },
	{ "\"idp\":{\"subjectTokenType\":\"id_token\"}", 27, "absolute URI" },
	/* one key beside another */
	{ "\"clientSecretFile\":\"/s\",\"clientSecretCommand\":[\"/c\"]", 25, "remove the others" },
	{ "\"clientSecretCommand\":[\"/c\"],\"clientSecretFile\":\"/s\"", 1, "remove the others" },
	{ "\"clientSecretFile\":\"/s\",\"clientSecretCredential\":\"n\"", 25, "remove the others" },
	{ "\"clientSecretCredential\":\"n\",\"clientSecretCommand\":[\"/c\"]", 30, "remove the others" },
	{ "\"clientId\":\"c\"," METADATA("https://h/c"), 16, "is a client id itself" },
	{ "\"clientSecretFile\":\"/s\"," METADATA("https://h/c"), 1, "has no secret" },
	{ "\"clientId\":\"c\"," JWT, 42, "needs a \"privateKeyFile\"" },
	{ "\"privateKeyFile\":\"/k\"," JWT, 49, "needs the \"clientId\"" },
	{ "\"clientId\":\"c\",\"privateKeyFile\":\"/k\"", 16, "\"private_key_jwt\" beside it" },
	{ "\"clientId\":\"c\",\"privateKeyFile\":\"/k\",\"tokenEndpointAuthMethod\":\"none\"", 16,
	    "\"private_key_jwt\" beside it" },
	{ "\"privateKeyId\":\"i\"", 1, "needs \"privateKeyFile\"" },
	{ "\"clientId\":\"c\",\"clientSecretFile\":\"/s\",\"privateKeyFile\":\"/k\"," JWT, 16,
	    "the place of the secret" },
	{ ROBOT "\"clientSecretFile\":\"/s\"", 9, "\"client_credentials\" needs a \"clientId\"" },
	{ ROBOT "\"clientId\":\"c\"", 9, "needs a \"clientSecretFile\"" },
	{ "\"grant\":\"id_jag\",\"idp\":{\"issuer\":\"https://i\",\"clientId\":\"d\","
	    "\"subjectTokenFile\":\"/t\"}", 9, "\"id_jag\" needs a \"clientId\"" },
	{ "\"grant\":\"id_jag\",\"clientId\":\"c\"", 9, "needs an \"idp\"" },
	{ JAG "\"idp\":{\"clientId\":\"d\",\"subjectTokenFile\":\"/t\"}", 33, "\"tokenEndpoint\"" },
	{ JAG "\"idp\":{\"issuer\":\"https://i\",\"subjectTokenFile\":\"/t\"}", 33, "\"clientId\"" },
	{ JAG "\"idp\":{\"issuer\":\"https://i\",\"clientId\":\"d\"}", 33, "\"subjectTokenFile\"" },
	{ "\"idp\":{\"issuer\":\"https://i\",\"clientId\":\"d\",\"subjectTokenFile\":\"/t\"}", 1,
	    "needs \"grant\": \"id_jag\"" },
	{ "\"grant\":\"device_code\",\"redirectPort\":0", 23, "for a login in a browser" },
	{ "\"grant\":\"device_code\"," PARAM("a"), 23, "for a login in a browser" },
	{ "\"grant\":\"device_code\",\"authorizationEndpoint\":\"https://h/a\"", 23,
	    "for a login in a browser" },
	{ "\"grant\":\"device_code\",\"assumePkce\":true", 23, "for a login in a browser" },
	{ ROBOT "\"clientId\":\"c\",\"clientSecretFile\":\"/s\",\"redirectPort\":9999", 69,
	    "which \"grant\": \"client_credentials\" does without" },
};

START_TEST(test_bad)
{
	struct config_error	error = { 0 };
	struct config		c;

	ck_assert_msg(parse_oauth(&c, bad[_i].members, &error) == -EINVAL, "accepted: %s",
	    bad[_i].members);
	ck_assert_msg(strstr(error.what, bad[_i].words) != NULL, "%s: %s", bad[_i].members,
	    error.what);
	ck_assert_msg(error.line == 2 && error.column == bad[_i].column, "%s: %u:%u",
	    bad[_i].members, error.line, error.column);
	ck_assert_str_eq(error.file, "test.json");
	config_free(&c);
}
END_TEST

START_TEST(test_warned)
{
	struct config	c;

	good(&c, METADATA("https://h/c?x=/../y"));
	ck_assert_uint_eq(warnings, 1);
	ck_assert_msg(strstr(last_warning, "2:1 \"clientMetadataUrl\" has a query") != NULL, "%s",
	    last_warning);
	config_free(&c);
}
END_TEST

/* H6 */
START_TEST(test_login)
{
	struct config_error	error;
	struct config		c;

	ck_assert_int_eq(parse(&c, "{\"mcpServers\":{\"a\":{\"url\":\"https://h/m\","
	    "\"sessionRecovery\":false}},\"login\":{\"command\":[\"/bin/open\",\"--\",\"u={url}\"],"
	    "\"wait\":2.5}}", &error), 0);
	ck_assert_str_eq(c.login.command[0], "/bin/open");
	ck_assert_str_eq(c.login.command[2], "u={url}");
	ck_assert_ptr_null(c.login.command[3]);
	ck_assert_int_eq(c.login.wait, 2500);
	ck_assert(!c.upstreams[0].session_recovery);
	config_free(&c);
}
END_TEST

static const struct {
	const char	*login;
	unsigned	 column;
	const char	*words;
} bad_logins[] = {
	{ "\"login\":true", 9, "must be an object" },
	{ "\"login\":{\"comand\":[]}", 10, "nearest valid key is \"command\"" },
	{ "\"login\":{\"command\":\"xdg-open {url}\"}", 20, "a list of at most" },
	{ "\"login\":{\"command\":[]}", 20, "a list of at most" },
	{ "\"login\":{\"command\":[\"/bin/open\"]}", 20, "\"{url}\" in one of its arguments" },
	{ "\"login\":{\"command\":[\"/bin/open\",\"{URL}\"]}", 20, "\"{url}\" in one" },
	{ "\"login\":{\"command\":[\"/bin/{url}\",\"{url}\"]}", 21, "not in the program" },
	{ "\"login\":{\"command\":[\"open\",\"{url}\"]}", 21, "absolute path" },
	{ "\"login\":{\"command\":[\"/bin/open\",\"{url}\",1]}", 41, "must hold strings" },
	{ "\"login\":{\"wait\":-1}", 17, "between 0 and 3600" },
	{ "\"login\":{\"wait\":3601}", 17, "between 0 and 3600" },
	{ "\"login\":{\"wait\":\"5\"}", 17, "number (seconds), without quotes" },
	{ "\"mcpServers\":{\"a\":{\"url\":\"https://h\",\"sessionRecovery\":1}}", 56, "true or false" },
};

START_TEST(test_bad_login)
{
	struct config_error	error = { 0 };
	struct config		c;
	char			text[256];

	snprintf(text, sizeof(text), "{\n%s}", bad_logins[_i].login);
	ck_assert_msg(parse(&c, text, &error) == -EINVAL, "accepted: %s", text);
	ck_assert_msg(strstr(error.what, bad_logins[_i].words) != NULL, "%s: %s", text, error.what);
	ck_assert_msg(error.line == 2 && error.column == bad_logins[_i].column, "%s: %u:%u", text,
	    error.line, error.column);
	config_free(&c);
}
END_TEST

/* A later file replaces a list as a whole. */
START_TEST(test_merge)
{
	static const char	one[] = "{\"login\":{\"command\":[\"/a\",\"b\",\"{url}\"],\"wait\":1}}";
	static const char	two[] = "{\"login\":{\"command\":[\"/c\",\"{url}\"]}}";
	struct config_error	error;
	struct config		c;

	ck_assert_int_eq(parse(&c, one, &error), 0);
	ck_assert_int_eq(config_parse(&c, "2", two, strlen(two), NULL, NULL, &error), 0);
	ck_assert_str_eq(c.login.command[0], "/c");
	ck_assert_ptr_null(c.login.command[2]);
	ck_assert_int_eq(c.login.wait, 1000);
	config_free(&c);
}
END_TEST

int
main(void)
{
	Suite	*s = suite_create("config_oauth");
	TCase	*t = tcase_create("config_oauth");
	SRunner	*r = srunner_create(s);
	int	 failed;

	tcase_add_test(t, test_browser);
	tcase_add_test(t, test_defaults);
	tcase_add_test(t, test_machines);
	tcase_add_test(t, test_id_jag);
	tcase_add_loop_test(t, test_bad, 0, nitems(bad));
	tcase_add_test(t, test_warned);
	tcase_add_test(t, test_login);
	tcase_add_loop_test(t, test_bad_login, 0, nitems(bad_logins));
	tcase_add_test(t, test_merge);
	suite_add_tcase(s, t);
	srunner_run_all(r, CK_NORMAL);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
