/* JWTs: client assertions verified (RS256, ES256), identity assertions made. */
#include <stdio.h>
#include <time.h>

#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/pem.h>

#include "wall.h"

void
base64url(struct buf *out, const void *p, size_t n)
{
	size_t	 from = out->len, i;

	if (buf_reserve(out, n / 3 * 4 + 8) != 0)
		die("no memory");
	out->len += (size_t)EVP_EncodeBlock((unsigned char *)out->p + from, p, (int)n);
	for (i = from; i < out->len; i++) {
		if (out->p[i] == '+')
			out->p[i] = '-';
		else if (out->p[i] == '/')
			out->p[i] = '_';
	}
	while (out->len > from && out->p[out->len - 1] == '=')
		out->len--;
	out->p[out->len] = '\0';
}

/* The bytes; false if it is no URL-safe base64. */
static bool
decode(struct buf *out, const char *p, size_t n)
{
	struct buf	 b = BUF_INIT(0);
	size_t		 i, pad = (4 - n % 4) % 4;
	int		 got;
	char		 c;

	for (i = 0; i < n; i++) {
		c = p[i] == '-' ? '+' : p[i] == '_' ? '/' : p[i];
		buf_add(&b, &c, 1);
	}
	for (i = 0; i < pad; i++)
		buf_adds(&b, "=");
	if (n == 0 || buf_reserve(out, b.len + 1) != 0 ||
	    (got = EVP_DecodeBlock((unsigned char *)out->p, (unsigned char *)b.p, (int)b.len)) <
	    (int)pad) {
		buf_free(&b);
		return false;
	}
	out->len = (size_t)got - pad;
	out->p[out->len] = '\0';
	buf_free(&b);
	return true;
}

static cJSON *
part_json(const char *p, size_t n)
{
	struct buf	 b = BUF_INIT(0);
	cJSON		*j = decode(&b, p, n) ? cJSON_ParseWithLength(b.p, b.len) : NULL;

	buf_free(&b);
	return j;
}

/* r and s of 32 bytes each, as DER. */
static bool
es256_der(struct buf *sig)
{
	ECDSA_SIG	*s = ECDSA_SIG_new();
	unsigned char	*der = NULL;
	int		 n;

	if (sig->len != 64 || s == NULL || ECDSA_SIG_set0(s,
	    BN_bin2bn((unsigned char *)sig->p, 32, NULL),
	    BN_bin2bn((unsigned char *)sig->p + 32, 32, NULL)) != 1 ||
	    (n = i2d_ECDSA_SIG(s, &der)) <= 0) {
		ECDSA_SIG_free(s);
		return false;
	}
	buf_reset(sig);
	buf_add(sig, (char *)der, (size_t)n);
	OPENSSL_free(der);
	ECDSA_SIG_free(s);
	return true;
}

static bool
signature_good(const char *jwt, size_t n, struct buf *sig, const char *alg, const char *pem)
{
	BIO		*bio = BIO_new_mem_buf(pem, -1);
	EVP_PKEY	*key = bio != NULL ? PEM_read_bio_PUBKEY(bio, NULL, NULL, NULL) : NULL;
	EVP_MD_CTX	*ctx = EVP_MD_CTX_new();
	bool		 good = false;
	int		 type = key != NULL ? EVP_PKEY_get_base_id(key) : 0;

	if (key != NULL && ctx != NULL &&
	    ((type == EVP_PKEY_RSA && strcmp(alg, "RS256") == 0) ||
	    (type == EVP_PKEY_EC && strcmp(alg, "ES256") == 0 && es256_der(sig))))
		good = EVP_DigestVerifyInit(ctx, NULL, EVP_sha256(), NULL, key) == 1 &&
		    EVP_DigestVerify(ctx, (unsigned char *)sig->p, sig->len,
		    (const unsigned char *)jwt, n) == 1;
	EVP_MD_CTX_free(ctx);
	EVP_PKEY_free(key);
	BIO_free(bio);
	return good;
}

cJSON *
jwt_claims(const char *jwt)
{
	const char	*dot = strchr(jwt, '.');
	const char	*second = dot != NULL ? strchr(dot + 1, '.') : NULL;

	return second != NULL ? part_json(dot + 1, (size_t)(second - dot) - 1) : NULL;
}

bool
jwt_signed_by(const char *jwt, const char *pem)
{
	const char	*dot = strchr(jwt, '.');
	const char	*second = dot != NULL ? strchr(dot + 1, '.') : NULL;
	struct buf	 sig = BUF_INIT(0);
	cJSON		*header;
	const char	*alg;
	bool		 good;

	if (second == NULL || pem == NULL ||
	    (header = part_json(jwt, (size_t)(dot - jwt))) == NULL)
		return false;
	alg = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(header, "alg"));
	good = alg != NULL && decode(&sig, second + 1, strlen(second + 1)) &&
	    signature_good(jwt, (size_t)(second - jwt), &sig, alg, pem);
	buf_free(&sig);
	cJSON_Delete(header);
	return good;
}

char *
jwt_make(const cJSON *claims)
{
	static const char	 header[] = "{\"alg\":\"RS256\",\"typ\":\"oauth-id-jag+jwt\"}";
	char			*text = cJSON_PrintUnformatted(claims), sig[80];
	struct buf		 b = BUF_INIT(0);

	random_text(sig, sizeof(sig), "");
	random_text(sig + 32, sizeof(sig) - 32, "");
	base64url(&b, header, sizeof(header) - 1);
	buf_adds(&b, ".");
	base64url(&b, text, strlen(text));
	buf_addf(&b, ".%s", sig);
	free(text);
	return buf_steal(&b);
}
