/* daemon/config_file: the secrets that the config names by file; each one that is unfit is a warning about its upstream. */
#include <check.h>
#include <limits.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "bounds.h"
#include "config_file.h"

static char		dir[32];
static struct config	config;
static unsigned		warnings;
static char		last_warning[CONFIG_WORDS];

static const char *
path_to(const char *name)
{
	static char path[PATH_MAX];

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	return path;
}

static void
write_file(const char *name, const char *text)
{
	FILE *f = fopen(path_to(name), "w");

	ck_assert_ptr_nonnull(f);
	ck_assert_int_ge(fputs(text, f), 0);
	fclose(f);
}

static void
write_key(const char *name, const char *passphrase)
{
	EVP_PKEY *key = EVP_EC_gen("P-256");
	FILE *f = fopen(path_to(name), "w");

	ck_assert(f != NULL && key != NULL);
	ck_assert_int_eq(PEM_write_PrivateKey(f, key, passphrase != NULL ? EVP_aes_128_cbc() : NULL,
	    NULL, 0, NULL, (void *)(uintptr_t)passphrase), 1);
	EVP_PKEY_free(key);
	fclose(f);
}

static void
warned(_unused_ void *arg, const struct config_error *w)
{
	warnings++;
	config_error_words(w, last_warning);
}

/* Loads a config whose one upstream has these members of "oauth"; every "@" in them is the folder. */
static const struct config_upstream *
load(const char *members)
{
	struct config_error e = { 0 };
	char file[PATH_MAX];
	FILE *f = fopen(path_to("config.json"), "w");

	ck_assert_ptr_nonnull(f);
	fputs("{\"mcpServers\":{\n\"up\":{\"url\":\"https://h/m\",\"oauth\":{", f);
	for (; *members != '\0'; members++)
		if (*members == '@')
			fputs(dir, f);
		else
			fputc(*members, f);
	fputs("}}}}", f);
	fclose(f);
	warnings = 0;
	last_warning[0] = '\0';
	ck_assert_msg(config_load(path_to("config.json"), "/run/mcp-authd", &config, file, warned, NULL,
	    &e) == 0, "%s", e.what);
	return config.upstreams;
}

/* It loads, with one warning that stands at the upstream and has these words; nothing secret. */
static void
expect_warning(const char *members, const char *words)
{
	const struct config_upstream *u = load(members);

	ck_assert_uint_eq(warnings, 1);
	ck_assert_msg(strstr(last_warning, "config.json:2:1: ") != NULL, "%s", last_warning);
	ck_assert_msg(strstr(last_warning, words) != NULL, "%s", last_warning);
	ck_assert_ptr_null(strstr(last_warning, "SECRET"));
	ck_assert(u->oauth.client_secret == NULL && u->oauth.private_key == NULL &&
	    u->oauth.idp.client_secret == NULL);
	config_free(&config);
}

static void
set_up(void)
{
	strcpy(dir, "/tmp/authd.config.XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(dir));
	unsetenv("CREDENTIALS_DIRECTORY");
}

static void
tear_down(void)
{
	static const char *const names[] = { "config.json", "secret", "empty", "key", "locked" };

	for (size_t i = 0; i < nitems(names); i++)
		unlink(path_to(names[i]));
	ck_assert_int_eq(rmdir(dir), 0);
}

START_TEST(client_secret)
{
	const struct config_upstream *u;

	write_file("secret", "SECRET s\r\n");
	u = load("\"clientSecretFile\":\"@/secret\"");
	ck_assert_str_eq(u->oauth.client_secret, "SECRET s");
	config_free(&config);
	setenv("CREDENTIALS_DIRECTORY", dir, 1);
	u = load("\"clientSecretCredential\":\"secret\"");
	ck_assert_str_eq(u->oauth.client_secret, "SECRET s");
	ck_assert_uint_eq(warnings, 0);
	config_free(&config);
	u = load("\"clientSecretCommand\":[\"/bin/echo\",\"x\"]");
	ck_assert_ptr_null(u->oauth.client_secret);	/* run when it is needed */
	config_free(&config);
}
END_TEST

START_TEST(client_secret_unfit)
{
	static char large[TOKEN_BYTES + 1];

	write_file("empty", "\n");
	expect_warning("\"clientSecretFile\":\"@/nowhere\"",
	    "clientSecretFile of \"up\" cannot be read, is empty or too long: /tmp/");
	expect_warning("\"clientSecretFile\":\"@/empty\"", "cannot be read, is empty or too long");
	expect_warning("\"clientSecretFile\":\"@\"", "cannot be read, is empty or too long");
	snprintf(large, sizeof(large), "%0*d", (int)sizeof(large) - 1, 0);
	write_file("secret", large);
	expect_warning("\"clientSecretFile\":\"@/secret\"", "too long");
	expect_warning("\"clientSecretCredential\":\"nobody\"",
	    "clientSecretCredential of \"up\" cannot be read, is empty or too long: "
	    "/run/credentials/mcp-authd.service/nobody");
	setenv("CREDENTIALS_DIRECTORY", dir, 1);
	expect_warning("\"clientSecretCredential\":\"nobody\"", "/nobody");
}
END_TEST

#define JWT(file)	"\"clientId\":\"c\",\"tokenEndpointAuthMethod\":\"private_key_jwt\"," \
	"\"privateKeyFile\":\"@/" file "\""

START_TEST(private_key)
{
	const struct config_upstream *u;

	write_key("key", NULL);
	u = load(JWT("key"));
	ck_assert_uint_eq(warnings, 0);
	ck_assert_int_eq(strncmp(u->oauth.private_key, "-----BEGIN", 10), 0);
	config_free(&config);
}
END_TEST

START_TEST(private_key_unfit)
{
	write_key("locked", "SECRET");
	write_file("secret", "SECRET");
	expect_warning(JWT("nowhere"), "privateKeyFile of \"up\" cannot be read, is empty or too long: /tmp/");
	expect_warning(JWT("secret"), "privateKeyFile of \"up\" cannot be used, not a private key in PEM");
	expect_warning(JWT("locked"), "passphrase");
	expect_warning(JWT("locked"), "/locked");
}
END_TEST

#define IDP	"\"grant\":\"id_jag\",\"clientId\":\"c\",\"idp\":{\"issuer\":\"https://i\"," \
	"\"clientId\":\"d\",\"subjectTokenFile\":\"/nowhere\",\"clientSecretFile\":\"@/secret\"}"

START_TEST(idp_secret)
{
	const struct config_upstream *u;

	expect_warning(IDP, "idp.clientSecretFile of \"up\" cannot be read, is empty or too long: /tmp/");
	write_file("secret", "SECRET\n");
	u = load(IDP);
	ck_assert_str_eq(u->oauth.idp.client_secret, "SECRET");
	ck_assert_uint_eq(warnings, 0);		/* the subject token is read at each need */
	config_free(&config);
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("config_file");
	TCase *tc = tcase_create("secrets");
	SRunner *sr;
	int failed;

	tcase_add_checked_fixture(tc, set_up, tear_down);
	tcase_add_test(tc, client_secret);
	tcase_add_test(tc, client_secret_unfit);
	tcase_add_test(tc, private_key);
	tcase_add_test(tc, private_key_unfit);
	tcase_add_test(tc, idp_secret);
	suite_add_tcase(s, tc);
	sr = srunner_create(s);
	srunner_run_all(sr, CK_NORMAL);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed != 0;
}
