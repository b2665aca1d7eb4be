/* Comparing two configs: each key is seen. */
#include <check.h>
#include <stdio.h>

#include "config_same.h"

#define ONE	"{ \"mcpServers\": { \"a\": { \"url\": \"https://x.example/mcp\"%s } }%s }"

#define KEY	", \"oauth\": { \"clientId\": \"i\", \"tokenEndpointAuthMethod\": \"private_key_jwt\", "
#define IDP(m)	", \"oauth\": { \"grant\": \"id_jag\", \"clientId\": \"i\", \"idp\": " \
	"{ \"clientId\": \"d\", \"subjectTokenFile\": \"/t\", " m " } }"

static struct config
parsed(const char *members, const char *top)
{
	struct config c;
	struct config_error e;
	char text[1024];

	snprintf(text, sizeof(text), ONE, members, top);
	config_init(&c);
	ck_assert_msg(config_parse(&c, "f", text, strlen(text), NULL, NULL, &e) == 0, "%s: %s", text,
	    e.what);
	return c;
}

static const char *const members[] = {
	"", ", \"auth\": \"none\"", ", \"oauth\": { \"clientId\": \"i\" }",
	", \"oauth\": { \"clientId\": \"j\" }", ", \"oauth\": { \"clientSecretFile\": \"/s\" }",
	", \"oauth\": { \"scopes\": [\"s\"] }", ", \"oauth\": { \"resource\": false }",
	", \"oauth\": { \"resource\": \"https://r.example/\" }",
	", \"oauth\": { \"tokenEndpoint\": \"https://t.example/t\" }",
	", \"oauth\": { \"grant\": \"device_code\" }",
	", \"oauth\": { \"clientSecretCredential\": \"s\" }",
	", \"oauth\": { \"clientSecretCommand\": [\"/s\"] }",
	", \"oauth\": { \"clientMetadataUrl\": \"https://c.example/c\" }",
	KEY "\"privateKeyFile\": \"/k\" }", KEY "\"privateKeyFile\": \"/l\" }",
	KEY "\"privateKeyFile\": \"/k\", \"privateKeyId\": \"i\" }",
	", \"oauth\": { \"issuer\": \"https://i.example\" }",
	", \"oauth\": { \"authorizationEndpoint\": \"https://t.example/t\" }",
	", \"oauth\": { \"authorizeParams\": { \"a\": \"b\" } }",
	", \"oauth\": { \"authorizeParams\": { \"a\": \"c\" } }",
	", \"oauth\": { \"redirectPort\": 9999 }", ", \"oauth\": { \"assumePkce\": true }",
	", \"oauth\": { \"allowPrivate\": true }",
	IDP("\"issuer\": \"https://i.example\""), IDP("\"tokenEndpoint\": \"https://i.example\""),
	IDP("\"issuer\": \"https://i.example\", \"clientSecretFile\": \"/s\""),
	IDP("\"issuer\": \"https://i.example\", \"subjectTokenType\": \"a:b\""),
	", \"sessionRecovery\": false",
	", \"auth\": \"bearer\", \"bearer\": { \"file\": \"/f\" }",
	", \"auth\": \"bearer\", \"bearer\": { \"credential\": \"f\" }",
	", \"auth\": \"bearer\", \"bearer\": { \"command\": [\"/c\"] }",
	", \"auth\": \"bearer\", \"bearer\": { \"command\": [\"/c\", \"d\"] }",
	", \"auth\": \"bearer\", \"bearer\": { \"command\": [\"/c\", \"e\"] }",
	", \"tls\": { \"caFile\": \"/ca\" }", ", \"refresh\": \"background\"",
	", \"timeouts\": { \"connect\": 3 }", ", \"timeouts\": { \"response\": 3 }",
	", \"shared\": true", ", \"allowInsecure\": true",
};

START_TEST(entries)
{
	for (size_t i = 0; i < nitems(members); i++) {
		for (size_t j = 0; j < nitems(members); j++) {
			struct config a = parsed(members[i], ""), b = parsed(members[j], "");

			ck_assert_msg(config_upstream_same(a.upstreams, b.upstreams) == (i == j),
			    "%s and %s", members[i], members[j]);
			config_free(&a);
			config_free(&b);
		}
	}
}
END_TEST

/* Where it listens is no part of what it is. */
START_TEST(listen_does_not_count)
{
	struct config a = parsed("", ""), b = parsed(", \"listen\": \"/l\"", "");

	ck_assert(config_upstream_same(a.upstreams, b.upstreams));
	config_free(&a);
	config_free(&b);
}
END_TEST

START_TEST(parts_of_the_top)
{
	static const char *const tops[] = {
		"", ", \"store\": { \"path\": \"/p\" }", ", \"store\": { \"backend\": \"file\" }",
		", \"store\": { \"allowNetworkFs\": true }",
	};
	struct config other = parsed("", ", \"limits\": { \"clients\": 7 }, \"socket\": "
	    "{ \"hosts\": [\"h.example\"], \"mode\": \"0660\" }, \"log\": { \"level\": \"debug\" }");

	for (size_t i = 0; i < nitems(tops); i++) {
		struct config a = parsed("", tops[i]), b = parsed("", "");

		ck_assert_int_eq(config_same(&a, &b, "store."), i == 0);
		ck_assert(config_same(&a, &b, "limits."));
		config_free(&a);
		config_free(&b);
	}
	struct config plain = parsed("", "");

	ck_assert(!config_same(&other, &plain, "limits."));
	ck_assert(!config_same(&other, &plain, "socket."));
	ck_assert(!config_same(&other, &plain, "log."));
	ck_assert(config_same(&other, &plain, "store."));
	ck_assert(config_same(&other, &plain, "login."));
	config_free(&other);
	other = parsed("", ", \"login\": { \"command\": [\"/c\", \"{url}\"] }");
	ck_assert(!config_same(&other, &plain, "login."));
	config_free(&other);
	other = parsed("", ", \"login\": { \"wait\": 1 }");
	ck_assert(!config_same(&other, &plain, "login."));
	config_free(&other);
	config_free(&plain);
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("config_same");
	TCase *tc = tcase_create("config_same");
	SRunner *sr;
	int failed;

	tcase_add_test(tc, entries);
	tcase_add_test(tc, listen_does_not_count);
	tcase_add_test(tc, parts_of_the_top);
	suite_add_tcase(s, tc);
	sr = srunner_create(s);
	srunner_run_all(sr, CK_NORMAL);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed != 0;
}
