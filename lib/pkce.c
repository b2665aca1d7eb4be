/* SHA256_Init() and its kin need no memory and cannot fail, unlike EVP. */
#define OPENSSL_API_COMPAT 0x10100000L
#include <openssl/sha.h>

#include <assert.h>
#include <string.h>

#include "base64.h"
#include "pkce.h"

static_assert(PKCE_TEXT == (4 * PKCE_RANDOM + 2) / 3 + 1, "the text of 32 bytes");
static_assert(SHA256_DIGEST_LENGTH == PKCE_RANDOM, "a challenge is as long as a verifier");

void
pkce_verifier(const unsigned char random[PKCE_RANDOM], char out[PKCE_TEXT])
{
	base64url_text(out, random, PKCE_RANDOM);
}

void
pkce_challenge(const char *verifier, char out[PKCE_TEXT])
{
	unsigned char md[SHA256_DIGEST_LENGTH];
	SHA256_CTX ctx;

	SHA256_Init(&ctx);
	SHA256_Update(&ctx, verifier, strlen(verifier));
	SHA256_Final(md, &ctx);
	explicit_bzero(&ctx, sizeof(ctx));
	base64url_text(out, md, sizeof(md));
}
