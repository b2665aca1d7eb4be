/* lib/jwt: client assertions (RFC 7515, 7518, 7519, 7523; WIRE A14, A19), exp of an ID-JAG (A20). */
#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>

#include <check.h>
#include <stdio.h>

#include "base64.h"
#include "bounds.h"
#include "json.h"
#include "jwt.h"
#include "token.h"

#define NOW	(1700000000 * SEC + 999)

static struct buf out;

static void
setup(void)
{
	out = BUF_SECRET(0);
}

static void
teardown(void)
{
	buf_free(&out);
}

/* A PEM text of it; `cipher` NULL = without a passphrase. */
static char *
pem_of(EVP_PKEY *pkey, const EVP_CIPHER *cipher, bool traditional)
{
	BIO *bio = BIO_new(BIO_s_mem());
	char *data, *text;
	long n;
	int ok;

	if (traditional)
		ok = PEM_write_bio_PrivateKey_traditional(bio, pkey, cipher, NULL, 0, NULL,
		    cipher != NULL ? (char []){ "pass" } : NULL);
	else
		ok = PEM_write_bio_PKCS8PrivateKey(bio, pkey, cipher, NULL, 0, NULL,
		    cipher != NULL ? (char []){ "pass" } : NULL);
	ck_assert_int_eq(ok, 1);
	n = BIO_get_mem_data(bio, &data);
	text = strndup(data, (size_t)n);
	BIO_free(bio);
	return text;
}

static struct jwt_key *
read_key(EVP_PKEY *pkey, bool traditional)
{
	const char *why = "";
	struct jwt_key *key;
	char *pem = pem_of(pkey, NULL, traditional);

	key = jwt_key_parse(pem, strlen(pem), &why);
	ck_assert_msg(key != NULL, "%s", why);
	free(pem);
	return key;
}

/* The n-th part between the dots, decoded. */
static struct buf
part(const char *jwt, unsigned n)
{
	struct buf b = BUF_INIT(0);

	while (n-- > 0)
		jwt = strchr(jwt, '.') + 1;
	ck_assert_int_eq(base64url_get(&b, jwt, strcspn(jwt, ".")), 0);
	return b;
}

/* r and s as OpenSSL wants them. */
static struct buf
to_der(const struct buf *raw)
{
	struct buf der = BUF_INIT(0);
	ECDSA_SIG *sig = ECDSA_SIG_new();
	unsigned char *p = NULL;
	int n;

	ck_assert_uint_eq(raw->len, 64);
	ck_assert_int_eq(ECDSA_SIG_set0(sig, BN_bin2bn((unsigned char *)raw->p, 32, NULL),
	    BN_bin2bn((unsigned char *)raw->p + 32, 32, NULL)), 1);
	n = i2d_ECDSA_SIG(sig, &p);
	buf_add(&der, p, (size_t)n);
	OPENSSL_free(p);
	ECDSA_SIG_free(sig);
	return der;
}

/* RFC 7515 section 5.2 with the public half alone. */
static bool
verifies(EVP_PKEY *pkey, const char *jwt)
{
	struct buf sig = part(jwt, 2), der = sig;
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	unsigned char *spki = NULL;
	const unsigned char *p;
	EVP_PKEY *public;
	int n, ok;

	n = i2d_PUBKEY(pkey, &spki);
	p = spki;
	public = d2i_PUBKEY(NULL, &p, n);
	if (EVP_PKEY_get_base_id(pkey) == EVP_PKEY_EC)
		der = to_der(&sig);
	EVP_DigestVerifyInit(ctx, NULL, EVP_sha256(), NULL, public);
	ok = EVP_DigestVerify(ctx, (unsigned char *)der.p, der.len, (const unsigned char *)jwt,
	    (size_t)(strrchr(jwt, '.') - jwt));
	if (der.p != sig.p)
		buf_free(&der);
	buf_free(&sig);
	EVP_PKEY_free(public);
	OPENSSL_free(spki);
	EVP_MD_CTX_free(ctx);
	return ok == 1;
}

static const struct jwt_claims claims = {
	.issuer = "client \"1\"", .subject = "client \"1\"", .audience = "https://as.example/",
	.id = "n0nce", .key_id = "key/1", .now = NOW, .lifetime = ASSERTION_LIFE,
};

#define CLAIMS	"{\"iss\":\"client \\\"1\\\"\",\"sub\":\"client \\\"1\\\"\"," \
	"\"aud\":\"https://as.example/\",\"jti\":\"n0nce\",\"iat\":1700000000,\"exp\":1700000060}"

static void
sign_and_verify(EVP_PKEY *pkey, const char *alg, const char *header)
{
	struct jwt_key *key = read_key(pkey, false);
	struct buf b;

	ck_assert_str_eq(jwt_key_alg(key), alg);
	ck_assert_int_eq(jwt_sign(key, &claims, &out), 0);
	ck_assert_uint_eq(strspn(out.p, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
	    "0123456789-_."), out.len);
	b = part(out.p, 0);
	ck_assert_str_eq(b.p, header);
	buf_free(&b);
	b = part(out.p, 1);
	ck_assert_str_eq(b.p, CLAIMS);
	buf_free(&b);
	ck_assert(verifies(pkey, out.p));
	out.p[strcspn(out.p, ".") + 5] ^= 1;
	ck_assert(!verifies(pkey, out.p));
	jwt_key_free(key);
}

START_TEST(a14_rs256)
{
	EVP_PKEY *pkey = EVP_RSA_gen(2048);

	sign_and_verify(pkey, "RS256", "{\"alg\":\"RS256\",\"typ\":\"JWT\",\"kid\":\"key/1\"}");
	EVP_PKEY_free(pkey);
}
END_TEST

/* Many signatures: r or s with a leading zero comes once in 128. */
START_TEST(a14_es256)
{
	EVP_PKEY *pkey = EVP_EC_gen("P-256");
	struct jwt_claims c = claims;
	struct jwt_key *key;

	sign_and_verify(pkey, "ES256", "{\"alg\":\"ES256\",\"typ\":\"JWT\",\"kid\":\"key/1\"}");
	key = read_key(pkey, true);
	c.key_id = NULL;
	for (int i = 0; i < 1000; i++) {
		buf_reset(&out);
		ck_assert_int_eq(jwt_sign(key, &c, &out), 0);
		ck_assert_uint_eq(strlen(strrchr(out.p, '.')), 1 + 86);
		ck_assert(verifies(pkey, out.p));
	}
	struct buf b = part(out.p, 0);
	ck_assert_str_eq(b.p, "{\"alg\":\"ES256\",\"typ\":\"JWT\"}");
	buf_free(&b);
	jwt_key_free(key);
	EVP_PKEY_free(pkey);
}
END_TEST

START_TEST(a14_appends_or_leaves_alone)
{
	EVP_PKEY *pkey = EVP_EC_gen("P-256");
	struct jwt_key *key = read_key(pkey, false);
	struct jwt_claims c = claims;

	buf_adds(&out, "before:");
	c.audience = NULL;
	ck_assert_int_eq(jwt_sign(key, &c, &out), -EINVAL);
	out.max = 20;
	ck_assert_int_eq(jwt_sign(key, &claims, &out), -EMSGSIZE);
	ck_assert_str_eq(out.p, "before:");
	out.max = 0;
	ck_assert_int_eq(jwt_sign(key, &claims, &out), 0);
	ck_assert(strncmp(out.p, "before:ey", 9) == 0 && verifies(pkey, out.p + 7));
	jwt_key_free(key);
	jwt_key_free(NULL);
	EVP_PKEY_free(pkey);
}
END_TEST

static void
refused(const char *pem, size_t n, const char *word)
{
	const char *why = NULL;

	ck_assert_ptr_null(jwt_key_parse(pem, n, &why));
	ck_assert_msg(why != NULL && strstr(why, word) != NULL, "%s", why);
}

static void
key_refused(EVP_PKEY *pkey, const EVP_CIPHER *cipher, bool traditional, const char *word)
{
	char *pem = pem_of(pkey, cipher, traditional);

	refused(pem, strlen(pem), word);
	free(pem);
	EVP_PKEY_free(pkey);
}

START_TEST(a14_keys_refused)
{
	key_refused(EVP_RSA_gen(1024), NULL, false, "2048");
	key_refused(EVP_EC_gen("P-384"), NULL, false, "P-256");
	key_refused(EVP_EC_gen("secp256k1"), NULL, true, "P-256");
	key_refused(EVP_PKEY_Q_keygen(NULL, NULL, "ED25519"), NULL, false, "RSA and P-256");
	key_refused(EVP_EC_gen("P-256"), EVP_aes_128_cbc(), true, "passphrase");
	key_refused(EVP_EC_gen("P-256"), EVP_aes_256_cbc(), false, "passphrase");
}
END_TEST

START_TEST(a14_not_a_key)
{
	EVP_PKEY *pkey = EVP_EC_gen("P-256");
	BIO *bio = BIO_new(BIO_s_mem());
	char *pem = pem_of(pkey, NULL, false), *data, *huge;
	size_t n;

	for (n = 0; n < strlen(pem) - strlen("-----\n"); n++)
		refused(pem, n, "PEM");
	pem[strlen(pem) / 2] = '\0';
	refused(pem, strlen(pem) * 2, "PEM");
	free(pem);
	PEM_write_bio_PUBKEY(bio, pkey);
	n = (size_t)BIO_get_mem_data(bio, &data);
	refused(data, n, "private key");
	BIO_free(bio);
	refused("garbage", 7, "PEM");
	huge = calloc(1, MIB);
	refused(huge, MIB, "PEM");
	free(huge);
	EVP_PKEY_free(pkey);
}
END_TEST

/* The example of RFC 7519 section 3.1. */
#define HEAD	"eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9."
#define TAIL	".dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"

START_TEST(a20_rfc7519)
{
	static const char jwt[] = HEAD "eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6"
	    "Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ" TAIL;

	ck_assert_int_eq(jwt_expires_at(jwt, strlen(jwt)), 1300819380 * SEC);
	/* Cut anywhere before the second dot it is none. */
	for (size_t n = 0; n < strlen(jwt) - strlen(TAIL); n++)
		ck_assert_int_eq(jwt_expires_at(jwt, n), EXPIRES_UNKNOWN);
}
END_TEST

static const struct {
	const char	*claims;
	int64_t		 at;
} expiries[] = {
	{ "{\"exp\":1.5}", 1500 },
	{ "{\"exp\":0}", 0 },
	{ "{\"exp\":-7}", 0 },
	{ "{\"exp\":1e300}", 1000000000000000 },
	{ "{\"exp\":\"1300819380\"}", EXPIRES_UNKNOWN },
	{ "{\"exp\":null}", EXPIRES_UNKNOWN },
	{ "{\"exp\":1,\"exp\":2}", EXPIRES_UNKNOWN },
	{ "{}", EXPIRES_UNKNOWN },
	{ "[]", EXPIRES_UNKNOWN },
	{ "", EXPIRES_UNKNOWN },
	{ "{\"exp\":1}x", EXPIRES_UNKNOWN },
	{ "\xff\xfe", EXPIRES_UNKNOWN }
};

START_TEST(a20_expiries)
{
	buf_adds(&out, HEAD);
	base64url_add(&out, expiries[_i].claims, strlen(expiries[_i].claims));
	buf_adds(&out, TAIL);
	ck_assert_msg(jwt_expires_at(out.p, out.len) == expiries[_i].at, "%s", expiries[_i].claims);
}
END_TEST

START_TEST(a20_not_a_jwt)
{
	size_t i;

	ck_assert_int_eq(jwt_expires_at("opaque", 6), EXPIRES_UNKNOWN);
	ck_assert_int_eq(jwt_expires_at("..", 2), EXPIRES_UNKNOWN);
	ck_assert_int_eq(jwt_expires_at("a.b=.c", 6), EXPIRES_UNKNOWN);
	buf_adds(&out, "a.");
	for (i = 0; i < TOKEN_BYTES; i++)
		buf_adds(&out, "A");
	buf_adds(&out, ".");
	ck_assert_int_eq(jwt_expires_at(out.p, out.len), EXPIRES_UNKNOWN);
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("jwt");
	TCase *tc = tcase_create("jwt");
	SRunner *sr;
	int failed;

	tcase_set_timeout(tc, 30);
	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, a14_rs256);
	tcase_add_test(tc, a14_es256);
	tcase_add_test(tc, a14_appends_or_leaves_alone);
	tcase_add_test(tc, a14_keys_refused);
	tcase_add_test(tc, a14_not_a_key);
	tcase_add_test(tc, a20_rfc7519);
	tcase_add_loop_test(tc, a20_expiries, 0, nitems(expiries));
	tcase_add_test(tc, a20_not_a_jwt);
	suite_add_tcase(s, tc);
	sr = srunner_create(s);
	srunner_run_all(sr, CK_NORMAL);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed != 0;
}
