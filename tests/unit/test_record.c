/* lib/record: the stored document, imports, renewal, hashes (contract C10, C11, D, I4, I7). */
#include <cjson/cJSON.h>

#include <check.h>
#include <stdio.h>

#include "bounds.h"
#include "record.h"

#define NOW	(1700000000 * SEC)
#define HASH_A	"0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
#define KEY	"\"v\":1,\"name\":\"n\",\"url\":\"https://h/\",\"access_token\":\"a\""

static struct record *
full(void)
{
	struct record *rec = calloc(1, sizeof(*rec));

	rec->name = strdup("linear");
	rec->url = strdup("https://mcp.example/mcp");
	rec->issuer = strdup("https://as.example");
	rec->token_endpoint = strdup("https://as.example/token");
	rec->client_id = strdup("cl\"ient\\\xc3\xa9");
	rec->client_secret = strdup("\x01sec\nret");
	rec->auth_method = strdup("client_secret_post");
	rec->resource = strdup("https://mcp.example/mcp");
	rec->scope = strdup("a b");
	rec->revocation_endpoint = strdup("https://as.example/revoke");
	rec->resource_metadata = strdup("https://mcp.example/.well-known/x/mcp");
	rec->redirect_uri = strdup("http://127.0.0.1:4711/callback");
	rec->registered = true;
	rec->access_token = strdup("at");
	rec->refresh_token = strdup("r t");
	rec->expires_at = NOW + 3600 * SEC;
	rec->lifetime = 3600 * SEC;
	rec->obtained_at = NOW;
	strcpy(rec->dead, HASH_A);
	record_hash("r t", rec->intent.hash);
	rec->intent.tries = 3;
	rec->intent.at = NOW + 1;
	return rec;
}

/* All members; NULL equals NULL alone. */
static void
assert_same(const struct record *a, const struct record *b)
{
	ck_assert_pstr_eq(a->name, b->name);
	ck_assert_pstr_eq(a->url, b->url);
	ck_assert_pstr_eq(a->issuer, b->issuer);
	ck_assert_pstr_eq(a->token_endpoint, b->token_endpoint);
	ck_assert_pstr_eq(a->client_id, b->client_id);
	ck_assert_pstr_eq(a->client_secret, b->client_secret);
	ck_assert_pstr_eq(a->auth_method, b->auth_method);
	ck_assert_pstr_eq(a->resource, b->resource);
	ck_assert_pstr_eq(a->scope, b->scope);
	ck_assert_pstr_eq(a->revocation_endpoint, b->revocation_endpoint);
	ck_assert_pstr_eq(a->resource_metadata, b->resource_metadata);
	ck_assert_pstr_eq(a->redirect_uri, b->redirect_uri);
	ck_assert(a->registered == b->registered);
	ck_assert_pstr_eq(a->access_token, b->access_token);
	ck_assert_pstr_eq(a->refresh_token, b->refresh_token);
	ck_assert_int_eq(a->expires_at, b->expires_at);
	ck_assert_int_eq(a->lifetime, b->lifetime);
	ck_assert_int_eq(a->obtained_at, b->obtained_at);
	ck_assert_str_eq(a->dead, b->dead);
	ck_assert_str_eq(a->intent.hash, b->intent.hash);
	ck_assert_uint_eq(a->intent.tries, b->intent.tries);
	ck_assert_int_eq(a->intent.at, b->intent.at);
}

static struct record *
reread(const struct record *rec)
{
	struct buf b = BUF_SECRET(RECORD_BYTES);
	const char *why = "";
	struct record *back;
	int err = 0;

	ck_assert_int_eq(record_print(rec, &b), 0);
	ck_assert_int_eq(b.p[b.len - 1], '\n');
	back = record_parse(b.p, b.len, &err, &why);
	ck_assert_msg(back != NULL, "%s: %s", why, b.p);
	buf_free(&b);
	return back;
}

START_TEST(test_round_trip)
{
	struct record *rec = full(), *back = reread(rec), *copy = record_copy(back);

	assert_same(rec, back);
	assert_same(rec, copy);
	ck_assert_ptr_ne(copy->access_token, back->access_token);
	record_free(rec);
	record_free(back);
	record_free(copy);
	record_free(NULL);
}
END_TEST

/* What is absent stays absent, an empty text is absent, unknown expiry stays unknown. */
START_TEST(test_round_trip_bare)
{
	struct record rec = { .name = (char []){ "n" }, .url = (char []){ "https://h/" },
	    .access_token = (char []){ "a" }, .scope = (char []){ "" },
	    .expires_at = EXPIRES_UNKNOWN };
	struct record *back = reread(&rec);

	rec.scope = NULL;
	assert_same(&rec, back);
	record_free(back);
}
END_TEST

/* A8, A9: a registration has a client id in the place of a token. */
START_TEST(test_round_trip_registration)
{
	struct record rec = { .name = (char []){ RECORD_CLIENT }, .url = (char []){ "https://as/" },
	    .client_id = (char []){ "id" }, .client_secret = (char []){ "s" },
	    .auth_method = (char []){ "client_secret_basic" },
	    .redirect_uri = (char []){ "http://127.0.0.1:4711/callback" },
	    .registered = true, .expires_at = NOW };
	struct record *back = reread(&rec), *copy = record_copy(back);
	struct buf b = BUF_SECRET(0);

	assert_same(&rec, back);
	assert_same(&rec, copy);
	record_free(back);
	record_free(copy);
	rec.client_id = NULL;
	ck_assert_int_eq(record_print(&rec, &b), -EINVAL);
	buf_free(&b);
}
END_TEST

/* What could not be read back is not written. */
START_TEST(test_print_refuses)
{
	struct buf b = BUF_SECRET(0);
	struct record *rec = full();
	char *huge;

	rec->access_token[0] = ' ';
	ck_assert_int_eq(record_print(rec, &b), -EINVAL);
	secret_free(rec->access_token);
	rec->access_token = NULL;
	ck_assert_int_eq(record_print(rec, &b), -EINVAL);
	rec->access_token = strdup("a");
	huge = malloc(TOKEN_BYTES + 2);
	memset(huge, 'x', TOKEN_BYTES + 1);
	huge[TOKEN_BYTES + 1] = '\0';
	free(rec->refresh_token);
	rec->refresh_token = huge;
	ck_assert_int_eq(record_print(rec, &b), -EINVAL);
	rec->refresh_token[TOKEN_BYTES] = '\0';
	buf_reset(&b);
	ck_assert_int_eq(record_print(rec, &b), 0);
	record_free(rec);
	buf_free(&b);
}
END_TEST

static const struct {
	const char	*text;
	int		 err;
	const char	*word;		/* within `why` */
} faults[] = {
	{ "", -EBADMSG, "" },
	{ "{" KEY, -EBADMSG, "" },
	{ "{" KEY "}x", -EBADMSG, "" },
	{ "{" KEY ",\"name\":\"n\"}", -EBADMSG, "" },
	{ "[]", -EBADMSG, "not a credential" },
	{ "{}", -EBADMSG, "not a credential" },
	{ "{\"v\":\"1\"}", -EBADMSG, "not a credential" },
	{ "{\"v\":0}", -EBADMSG, "not a credential" },
	{ "{\"v\":1.5}", -EBADMSG, "not a credential" },
	{ "{\"v\":2,\"name\":[]}", -ENOTSUP, "newer" },
	{ "{\"v\":1,\"url\":\"u\",\"access_token\":\"a\"}", -EBADMSG, "name" },
	{ "{\"v\":1,\"name\":\"n\",\"access_token\":\"a\"}", -EBADMSG, "url" },
	{ "{\"v\":1,\"name\":\"n\",\"url\":\"u\"}", -EBADMSG, "access_token" },
	{ "{\"v\":1,\"name\":\"n\",\"url\":\"u\",\"access_token\":\"a b\"}", -EBADMSG,
	    "access_token" },
	{ "{\"v\":1,\"name\":\"n\",\"url\":\"u\",\"access_token\":\"a\\n\"}", -EBADMSG,
	    "access_token" },
	{ "{" KEY ",\"refresh_token\":1}", -EBADMSG, "refresh_token" },
	{ "{" KEY ",\"refresh_token\":null}", -EBADMSG, "refresh_token" },
	{ "{" KEY ",\"scope\":\"\"}", -EBADMSG, "scope" },
	{ "{" KEY ",\"expires_at\":\"1\"}", -EBADMSG, "expires_at" },
	{ "{" KEY ",\"expires_at\":1.5}", -EBADMSG, "expires_at" },
	{ "{" KEY ",\"expires_at\":1e300}", -EBADMSG, "expires_at" },
	{ "{" KEY ",\"lifetime\":-1}", -EBADMSG, "lifetime" },
	{ "{" KEY ",\"obtained_at\":[]}", -EBADMSG, "obtained_at" },
	{ "{" KEY ",\"registered\":1}", -EBADMSG, "registered" },
	{ "{" KEY ",\"registered\":null}", -EBADMSG, "registered" },
	{ "{" KEY ",\"redirect_uri\":[]}", -EBADMSG, "redirect_uri" },
	{ "{\"v\":1,\"name\":\"@client\",\"url\":\"u\"}", -EBADMSG, "client_id" },
	{ "{\"v\":1,\"name\":\"@clients\",\"url\":\"u\",\"client_id\":\"c\"}", -EBADMSG,
	    "access_token" },
	{ "{" KEY ",\"dead\":\"\"}", -EBADMSG, "dead" },
	{ "{" KEY ",\"dead\":\"" HASH_A "0\"}", -EBADMSG, "dead" },
	{ "{" KEY ",\"dead\":true}", -EBADMSG, "dead" },
	{ "{" KEY ",\"intent\":null}", -EBADMSG, "intent" },
	{ "{" KEY ",\"intent\":{}}", -EBADMSG, "intent" },
	{ "{" KEY ",\"intent\":{\"hash\":\"ABC\",\"tries\":1,\"at\":1}}", -EBADMSG, "intent" },
	{ "{" KEY ",\"intent\":{\"hash\":\"" HASH_A "\",\"tries\":-1,\"at\":1}}", -EBADMSG,
	    "intent" },
	{ "{" KEY ",\"intent\":{\"hash\":\"" HASH_A "\",\"tries\":1e12,\"at\":1}}", -EBADMSG,
	    "intent" },
	{ "{" KEY ",\"intent\":{\"hash\":\"" HASH_A "\",\"tries\":1,\"at\":\"1\"}}", -EBADMSG,
	    "intent" },
	{ "{" KEY ",\"intent\":{\"hash\":\"" HASH_A "\",\"tries\":1,\"at\":1,\"x\":1}}",
	    -EBADMSG, "intent" }
};

START_TEST(test_parse_fault)
{
	const char *why = NULL;
	int err = 0;

	ck_assert_ptr_null(record_parse(faults[_i].text, strlen(faults[_i].text), &err, &why));
	ck_assert_msg(err == faults[_i].err, "%s: %d %s", faults[_i].text, err, why);
	ck_assert_ptr_nonnull(why);
	ck_assert_msg(strstr(why, faults[_i].word) != NULL, "%s: %s", faults[_i].text, why);
}
END_TEST

/* Unknown members are no error outside `intent`. */
START_TEST(test_parse_unknown_member)
{
	static const char text[] = "{" KEY ",\"future\":{\"a\":[1]}}";
	struct record *rec;
	const char *why;
	int err;

	rec = record_parse(text, strlen(text), &err, &why);
	ck_assert_ptr_nonnull(rec);
	ck_assert_int_eq(rec->expires_at, EXPIRES_UNKNOWN);
	record_free(rec);
}
END_TEST

/* I7: every truncation of a good file is a bad one. */
START_TEST(test_parse_torn)
{
	struct buf b = BUF_SECRET(0);
	struct record *rec = full();
	const char *why;
	size_t n;
	int err;

	record_print(rec, &b);
	for (n = 0; n < b.len - 1; n++) {
		err = 0;
		ck_assert_ptr_null(record_parse(b.p, n, &err, &why));
		ck_assert_int_eq(err, -EBADMSG);
	}
	record_free(rec);
	buf_free(&b);
}
END_TEST

START_TEST(test_parse_too_large)
{
	size_t n = RECORD_BYTES + 1;
	char *text = malloc(n);
	const char *why;
	int err = 0;

	memset(text, ' ', n);
	memcpy(text, "{" KEY "}", strlen("{" KEY "}"));
	ck_assert_ptr_null(record_parse(text, n, &err, &why));
	ck_assert_int_eq(err, -EBADMSG);
	record_free(record_parse(text, n - 1, &err, &why));
	ck_assert_int_eq(err, 0);
	free(text);
}
END_TEST

static size_t allocations;

static void *
failing_malloc(size_t n)
{
	return allocations-- > 0 ? malloc(n) : NULL;
}

/* A file must not be set aside as corrupt because memory ran out. */
START_TEST(test_parse_no_memory)
{
	static const char text[] = "{" KEY "}";
	cJSON_Hooks hooks = { .malloc_fn = failing_malloc, .free_fn = free };
	struct record *rec = NULL;
	const char *why;
	size_t n;
	int err;

	cJSON_InitHooks(&hooks);
	for (n = 0; n < 100 && rec == NULL; n++) {
		allocations = n;
		err = 0;
		rec = record_parse(text, strlen(text), &err, &why);
		ck_assert_int_eq(err, rec != NULL ? 0 : -ENOMEM);
	}
	cJSON_InitHooks(NULL);
	ck_assert_uint_gt(n, 5);
	ck_assert_ptr_nonnull(rec);
	record_free(rec);
}
END_TEST

static struct record *
import(const char *text)
{
	const char *why = "";
	struct record *rec = record_import(text, strlen(text), NOW, &why);

	ck_assert_msg(rec != NULL, "%s: %s", text, why);
	return rec;
}

START_TEST(test_import_all)
{
	struct record *rec = import("{\"access_token\":\"at\",\"refresh_token\":\"r t\","
	    "\"expires_at\":1700000100,\"token_endpoint\":\"https://as.example/token\","
	    "\"issuer\":\"https://as.example\",\"client_id\":\"id\",\"client_secret\":\"s\","
	    "\"resource\":\"https://h/mcp\",\"scope\":\"a b\","
	    "\"revocation_endpoint\":\"https://as.example/revoke\"}\n");

	ck_assert_str_eq(rec->access_token, "at");
	ck_assert_str_eq(rec->refresh_token, "r t");
	ck_assert_str_eq(rec->token_endpoint, "https://as.example/token");
	ck_assert_str_eq(rec->issuer, "https://as.example");
	ck_assert_str_eq(rec->client_id, "id");
	ck_assert_str_eq(rec->client_secret, "s");
	ck_assert_str_eq(rec->resource, "https://h/mcp");
	ck_assert_str_eq(rec->scope, "a b");
	ck_assert_str_eq(rec->revocation_endpoint, "https://as.example/revoke");
	ck_assert(rec->resource_metadata == NULL && rec->redirect_uri == NULL && !rec->registered);
	ck_assert_int_eq(rec->expires_at, NOW + 100 * SEC);
	ck_assert_int_eq(rec->lifetime, 0);
	ck_assert_int_eq(rec->obtained_at, NOW);
	ck_assert(rec->name == NULL && rec->url == NULL && rec->auth_method == NULL);
	ck_assert_str_eq(rec->dead, "");
	ck_assert_str_eq(rec->intent.hash, "");
	record_free(rec);
}
END_TEST

static const struct {
	const char	*member;	/* beside access_token */
	int64_t		 expires_at, lifetime;
} expiries[] = {
	{ "", EXPIRES_UNKNOWN, 0 },
	{ ",\"expires_at\":1700000100", NOW + 100 * SEC, 0 },
	{ ",\"expires_at\":\"1700000100\"", NOW + 100 * SEC, 0 },
	{ ",\"expires_at\":1700000100.5", NOW + 100500, 0 },
	{ ",\"expires_at\":1600000000", 1600000000 * SEC, 0 },		/* long expired */
	{ ",\"expires_at\":0", EXPIRES_UNKNOWN, 0 },
	{ ",\"expires_in\":60", NOW + 60 * SEC, 60 * SEC },
	{ ",\"expires_in\":\"60\"", NOW + 60 * SEC, 60 * SEC },
	{ ",\"expires_in\":0", EXPIRES_UNKNOWN, 0 },
	{ ",\"expires_in\":60,\"expires_at\":1700000100", NOW + 100 * SEC, 60 * SEC }
};

START_TEST(test_import_expiry)
{
	struct record *rec;
	char text[128];

	snprintf(text, sizeof(text), "{\"access_token\":\"a\"%s}", expiries[_i].member);
	rec = import(text);
	ck_assert_int_eq(rec->expires_at, expiries[_i].expires_at);
	ck_assert_int_eq(rec->lifetime, expiries[_i].lifetime);
	record_free(rec);
}
END_TEST

static const struct {
	const char	*text;
	const char	*word;
} refused[] = {
	{ "", "JSON" },
	{ "[]", "JSON" },
	{ "{\"access_token\":\"a\"} {}", "JSON" },
	{ "{\"access_token\":\"a\",\"access_token\":\"b\"}", "JSON" },
	{ "{}", "access_token" },
	{ "{\"refresh_token\":\"r\"}", "access_token" },
	{ "{\"access_token\":\"\"}", "access_token" },
	{ "{\"access_token\":1}", "access_token" },
	{ "{\"access_token\":\"a b\"}", "access_token" },
	{ "{\"access_token\":\"\\u00e9\"}", "access_token" },
	{ "{\"access_token\":\"a\",\"refresh_token\":\"\"}", "refresh_token" },
	{ "{\"access_token\":\"a\",\"refresh_token\":null}", "refresh_token" },
	{ "{\"access_token\":\"a\",\"refresh_token\":\"r\\n\"}", "refresh_token" },
	{ "{\"access_token\":\"a\",\"client_id\":7}", "client_id" },
	{ "{\"access_token\":\"a\",\"client_secret\":\"\"}", "client_secret" },
	{ "{\"access_token\":\"a\",\"client_secret\":\"s\"}", "client_id" },
	{ "{\"access_token\":\"a\",\"token_endpoint\":\"as.example/token\"}", "token_endpoint" },
	{ "{\"access_token\":\"a\",\"token_endpoint\":\"ftp://h/\"}", "token_endpoint" },
	{ "{\"access_token\":\"a\",\"revocation_endpoint\":\"/revoke\"}", "revocation_endpoint" },
	{ "{\"access_token\":\"a\",\"registered\":true}", "member" },
	{ "{\"access_token\":\"a\",\"redirect_uri\":\"http://127.0.0.1/\"}", "member" },
	{ "{\"access_token\":\"a\",\"issuer\":{}}", "issuer" },
	{ "{\"access_token\":\"a\",\"resource\":\"\\u0001\"}", "resource" },
	{ "{\"access_token\":\"a\",\"scope\":[\"a\"]}", "scope" },
	{ "{\"access_token\":\"a\",\"expires_at\":\"tomorrow\"}", "expires_at" },
	{ "{\"access_token\":\"a\",\"expires_at\":null}", "expires_at" },
	{ "{\"access_token\":\"a\",\"expires_at\":1700000000000}", "seconds" },
	{ "{\"access_token\":\"a\",\"expires_in\":true}", "expires_in" },
	{ "{\"access_token\":\"a\",\"v\":1}", "member" },
	{ "{\"access_token\":\"a\",\"name\":\"n\"}", "member" },
	{ "{\"access_token\":\"a\",\"auth_method\":\"none\"}", "member" }
};

START_TEST(test_import_refused)
{
	const char *why = NULL;

	ck_assert_ptr_null(record_import(refused[_i].text, strlen(refused[_i].text), NOW, &why));
	ck_assert_ptr_nonnull(why);
	ck_assert_msg(strstr(why, refused[_i].word) != NULL, "%s: %s", refused[_i].text, why);
}
END_TEST

/* Known answers; equal tokens, equal ids. */
START_TEST(test_hash)
{
	char hash[HASH_HEX] = "x";

	record_hash(NULL, hash);
	ck_assert_str_eq(hash, "");
	record_hash("abc", hash);
	ck_assert_str_eq(hash,
	    "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
	ck_assert_uint_eq(record_id("abc"), 0xba7816bf8f01cfeaULL);
	ck_assert_uint_eq(record_id(NULL), 0);
	ck_assert(record_id("abc") != record_id("abd"));
}
END_TEST

/* I4; the expected digits are those of printf 'a\0https://h/' | sha256sum. */
START_TEST(test_stem)
{
	char a[66], b[66], longest[49];

	record_stem("a", "https://h/", a, sizeof(a));
	ck_assert_str_eq(a, "a-662f0a0ee534b53e");
	record_stem("b", "https://h/", b, sizeof(b));
	ck_assert_str_ne(a + 2, b + 2);
	record_stem("a", "https://h/x", b, sizeof(b));
	ck_assert_str_ne(a, b);
	memset(longest, 'n', 48);
	longest[48] = '\0';
	record_stem(longest, "https://h/", a, sizeof(a));
	ck_assert_uint_eq(strlen(a), 65);
	ck_assert_int_eq(a[48], '-');
}
END_TEST

START_TEST(test_renew)
{
	struct token_answer ta = { .access_token = (char []){ "new" },
	    .refresh_token = (char []){ "next" }, .scope = (char []){ "c" },
	    .expires_at = NOW + 60 * SEC, .lifetime = 60 * SEC };
	struct record *old = full(), *rec = record_renew(old, &ta, NOW + 7);

	ck_assert_str_eq(rec->access_token, "new");
	ck_assert_str_eq(rec->refresh_token, "next");
	ck_assert_str_eq(rec->scope, "c");
	ck_assert_int_eq(rec->expires_at, NOW + 60 * SEC);
	ck_assert_int_eq(rec->lifetime, 60 * SEC);
	ck_assert_int_eq(rec->obtained_at, NOW + 7);
	ck_assert_str_eq(rec->dead, "");
	ck_assert_str_eq(rec->intent.hash, "");
	ck_assert_uint_eq(rec->intent.tries, 0);
	/* C10: the rest is as it was. */
	ck_assert_str_eq(rec->client_id, old->client_id);
	ck_assert_str_eq(rec->issuer, old->issuer);
	ck_assert_str_eq(rec->resource, old->resource);
	ck_assert_str_eq(rec->token_endpoint, old->token_endpoint);
	ck_assert_str_eq(rec->revocation_endpoint, old->revocation_endpoint);
	ck_assert_str_eq(rec->resource_metadata, old->resource_metadata);
	ck_assert_str_eq(rec->redirect_uri, old->redirect_uri);
	ck_assert(rec->registered);
	ck_assert_str_eq(old->access_token, "at");
	record_free(old);
	record_free(rec);
}
END_TEST

/* C10: omitted refresh token and scope stay, and with them a mark on that very token. */
START_TEST(test_renew_omitted)
{
	struct token_answer ta = { .access_token = (char []){ "new" },
	    .expires_at = EXPIRES_UNKNOWN };
	struct record *old = full(), *rec;

	record_hash(old->refresh_token, old->dead);
	rec = record_renew(old, &ta, NOW);
	ck_assert_str_eq(rec->refresh_token, "r t");
	ck_assert_str_eq(rec->scope, "a b");
	ck_assert_int_eq(rec->expires_at, EXPIRES_UNKNOWN);
	ck_assert_int_eq(rec->lifetime, 0);
	ck_assert_str_eq(rec->dead, old->dead);
	ck_assert_str_eq(rec->intent.hash, "");
	record_free(old);
	record_free(rec);
}
END_TEST

/* D: dead is this refresh token alone; another one clears it. */
START_TEST(test_renewable)
{
	struct record *rec = full();

	ck_assert(record_renewable(rec));
	record_hash(rec->refresh_token, rec->dead);
	ck_assert(!record_renewable(rec));
	rec->refresh_token[0] = 'R';
	ck_assert(record_renewable(rec));
	free(rec->refresh_token);
	rec->refresh_token = NULL;
	ck_assert(!record_renewable(rec));
	rec->dead[0] = '\0';
	ck_assert(!record_renewable(rec));
	record_free(rec);
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("record");
	TCase *tc = tcase_create("record");
	SRunner *sr;
	int failed;

	tcase_add_test(tc, test_round_trip);
	tcase_add_test(tc, test_round_trip_bare);
	tcase_add_test(tc, test_round_trip_registration);
	tcase_add_test(tc, test_print_refuses);
	tcase_add_loop_test(tc, test_parse_fault, 0, nitems(faults));
	tcase_add_test(tc, test_parse_unknown_member);
	tcase_add_test(tc, test_parse_torn);
	tcase_add_test(tc, test_parse_too_large);
	tcase_add_test(tc, test_parse_no_memory);
	tcase_add_test(tc, test_import_all);
	tcase_add_loop_test(tc, test_import_expiry, 0, nitems(expiries));
	tcase_add_loop_test(tc, test_import_refused, 0, nitems(refused));
	tcase_add_test(tc, test_hash);
	tcase_add_test(tc, test_stem);
	tcase_add_test(tc, test_renew);
	tcase_add_test(tc, test_renew_omitted);
	tcase_add_test(tc, test_renewable);
	suite_add_tcase(s, tc);
	sr = srunner_create(s);
	srunner_run_all(sr, CK_NORMAL);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed != 0;
}
