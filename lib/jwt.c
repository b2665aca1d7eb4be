#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>

#include "base64.h"
#include "bounds.h"
#include "json.h"
#include "jwt.h"
#include "token.h"

#define RSA_BITS	2048		/* RFC 7518 section 3.3 */
#define ES256_HALF	32		/* RFC 7518 section 3.4: r and s, 32 bytes each */
#define PEM_BYTES	(64 * KIB)	/* one key; RSA of 16384 bits takes 13 KiB */

struct jwt_key {
	EVP_PKEY	*pkey;
	bool		 ec;
};

/* OpenSSL would ask the terminal. */
static int
no_passphrase(char *out _unused_, int size _unused_, int writing _unused_, void *asked)
{
	*(bool *)asked = true;
	return -1;
}

/* The words that say what to do about it; NULL: a key for ES256 or RS256. */
static const char *
judge_key(EVP_PKEY *pkey, bool *ret_ec)
{
	char group[32];

	*ret_ec = EVP_PKEY_get_base_id(pkey) == EVP_PKEY_EC;
	if (*ret_ec) {
		if (EVP_PKEY_get_group_name(pkey, group, sizeof(group), NULL) == 1 &&
		    strcmp(group, "prime256v1") == 0)
			return NULL;
		return "an EC key must be on the curve P-256 (prime256v1)";
	}
	if (EVP_PKEY_get_base_id(pkey) != EVP_PKEY_RSA)
		return "only RSA and P-256 keys can sign: make one with \"openssl ecparam -name "
		    "prime256v1 -genkey -noout\"";
	return EVP_PKEY_get_bits(pkey) < RSA_BITS ?
	    "an RSA key must have 2048 bits at least" : NULL;
}

static EVP_PKEY *
read_pem(const char *pem, size_t n, const char **ret_why)
{
	bool asked = false;
	EVP_PKEY *pkey;
	BIO *bio;

	*ret_why = "not a private key in PEM form";
	if (n == 0 || n > PEM_BYTES)
		return NULL;
	bio = BIO_new_mem_buf(pem, (int)n);
	if (bio == NULL) {
		*ret_why = "out of memory";
		return NULL;
	}
	pkey = PEM_read_bio_PrivateKey(bio, NULL, no_passphrase, &asked);
	BIO_free(bio);
	if (pkey == NULL && asked)
		*ret_why = "the key has a passphrase: remove it with \"openssl pkey\" and keep "
		    "the file 0600";
	return pkey;
}

struct jwt_key *
jwt_key_parse(const char *pem, size_t n, const char **ret_why)
{
	struct jwt_key *key = NULL;
	const char *why;
	EVP_PKEY *pkey;
	bool ec;

	pkey = read_pem(pem, n, ret_why);
	if (pkey != NULL && (why = judge_key(pkey, &ec)) != NULL)
		*ret_why = why;
	else if (pkey != NULL && (key = malloc(sizeof(*key))) == NULL)
		*ret_why = "out of memory";
	if (key != NULL)
		*key = (struct jwt_key){ pkey, ec };
	else
		EVP_PKEY_free(pkey);
	ERR_clear_error();
	return key;
}

void
jwt_key_free(struct jwt_key *key)
{
	if (key == NULL)
		return;
	EVP_PKEY_free(key->pkey);	/* clears the private numbers */
	free(key);
}

const char *
jwt_key_alg(const struct jwt_key *key)
{
	return key->ec ? "ES256" : "RS256";
}

static int
add_member(struct buf *out, const char *key, const char *value)
{
	int r;

	r = buf_addf(out, "%s\"%s\":", out->len > 0 ? "," : "{", key);
	return r == 0 ? buf_addjson(out, value, strlen(value)) : r;
}

static int
add_header(struct buf *out, const struct jwt_key *key, const char *key_id)
{
	_cleanup_(buf_free) struct buf json = BUF_INIT(0);
	int r;

	r = add_member(&json, "alg", jwt_key_alg(key));
	if (r == 0)
		r = add_member(&json, "typ", "JWT");
	if (r == 0 && key_id != NULL)
		r = add_member(&json, "kid", key_id);
	if (r == 0)
		r = buf_adds(&json, "}");
	return r == 0 ? base64url_add(out, json.p, json.len) : r;
}

static int
add_claims(struct buf *out, const struct jwt_claims *c)
{
	_cleanup_(buf_free) struct buf json = BUF_SECRET(0);
	int r;

	r = add_member(&json, "iss", c->issuer);
	if (r == 0)
		r = add_member(&json, "sub", c->subject);
	if (r == 0)
		r = add_member(&json, "aud", c->audience);
	if (r == 0)
		r = add_member(&json, "jti", c->id);
	if (r == 0)
		r = buf_addf(&json, ",\"iat\":%lld,\"exp\":%lld}", (long long)(c->now / SEC),
		    (long long)((c->now + c->lifetime) / SEC));
	return r == 0 ? base64url_add(out, json.p, json.len) : r;
}

/* What OpenSSL calls a signature: DER of r and s for EC.  To the caller: OPENSSL_free(). */
static int
sign(const struct jwt_key *key, const struct buf *text, unsigned char **ret, size_t *ret_n)
{
	const unsigned char *p = (const unsigned char *)text->p;
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	unsigned char *sig = NULL;
	int r = -EINVAL;
	size_t n = 0;

	if (ctx == NULL)
		return -ENOMEM;
	if (EVP_DigestSignInit(ctx, NULL, EVP_sha256(), NULL, key->pkey) != 1 ||
	    EVP_DigestSign(ctx, NULL, &n, p, text->len) != 1)
		goto out;
	if ((sig = OPENSSL_malloc(n)) == NULL)
		r = -ENOMEM;
	else if (EVP_DigestSign(ctx, sig, &n, p, text->len) == 1) {
		*ret = sig;
		*ret_n = n;
		sig = NULL;
		r = 0;
	}
out:
	OPENSSL_free(sig);
	EVP_MD_CTX_free(ctx);
	ERR_clear_error();
	return r;
}

static int
add_ec_signature(struct buf *out, const unsigned char *der, size_t n)
{
	unsigned char raw[2 * ES256_HALF];
	const BIGNUM *r, *s;
	ECDSA_SIG *sig;
	bool ok;

	sig = d2i_ECDSA_SIG(NULL, &der, (long)n);
	if (sig == NULL)
		return -EINVAL;
	ECDSA_SIG_get0(sig, &r, &s);
	ok = BN_bn2binpad(r, raw, ES256_HALF) == ES256_HALF &&
	    BN_bn2binpad(s, raw + ES256_HALF, ES256_HALF) == ES256_HALF;
	ECDSA_SIG_free(sig);
	return ok ? base64url_add(out, raw, sizeof(raw)) : -EINVAL;
}

static int
add_signature(struct buf *out, const struct jwt_key *key)
{
	unsigned char *sig;
	size_t n;
	int r;

	if ((r = sign(key, out, &sig, &n)) < 0)
		return r;
	r = buf_adds(out, ".");
	if (r == 0)
		r = key->ec ? add_ec_signature(out, sig, n) : base64url_add(out, sig, n);
	OPENSSL_free(sig);
	return r;
}

int
jwt_sign(const struct jwt_key *key, const struct jwt_claims *claims, struct buf *out)
{
	_cleanup_(buf_free) struct buf text = BUF_SECRET(0);
	int r;

	if (claims->issuer == NULL || claims->subject == NULL || claims->audience == NULL ||
	    claims->id == NULL)
		return -EINVAL;
	r = add_header(&text, key, claims->key_id);
	if (r == 0)
		r = buf_adds(&text, ".");
	if (r == 0)
		r = add_claims(&text, claims);
	if (r == 0)
		r = add_signature(&text, key);
	return r == 0 ? buf_add(out, text.p, text.len) : r;
}

int64_t
jwt_expires_at(const char *text, size_t n)
{
	_cleanup_(buf_free) struct buf claims = BUF_SECRET(TOKEN_BYTES);
	const char *begin, *end;
	const cJSON *exp;
	int64_t at = EXPIRES_UNKNOWN;
	cJSON *doc;
	bool odd;

	if (n > TOKEN_BYTES || (begin = memchr(text, '.', n)) == NULL)
		return EXPIRES_UNKNOWN;
	begin++;
	end = memchr(begin, '.', n - (size_t)(begin - text));
	if (end == NULL || base64url_get(&claims, begin, (size_t)(end - begin)) < 0)
		return EXPIRES_UNKNOWN;
	doc = json_parse(claims.p, claims.len, NULL);
	exp = cJSON_IsObject(doc) ? json_member(doc, "exp") : NULL;
	if (cJSON_IsNumber(exp)) {
		at = token_lifetime(exp, &odd);		/* bounded; 0 for what is before 1970 */
		if (odd)
			at = EXPIRES_UNKNOWN;
	}
	cJSON_Delete(doc);
	return at;
}
