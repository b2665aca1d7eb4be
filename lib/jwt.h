/* JWTs as client assertions: private_key_jwt (RFC 7523, RFC 7515 compact form; WIRE A14). */
#ifndef JWT_H
#define JWT_H

#include "buf.h"

struct jwt_key;

/*
 * A private key in PEM without a passphrase: RSA of 2048 bits at least
 * (RS256) or P-256 (ES256).  NULL with static words that say what to do.
 */
struct jwt_key *jwt_key_parse(const char *pem, size_t n, const char **ret_why);
void	jwt_key_free(struct jwt_key *);		/* wipes; NULL is fine */
const char *jwt_key_alg(const struct jwt_key *);	/* "RS256" or "ES256" */

struct jwt_claims {
	const char	*issuer, *subject, *audience;	/* the client id twice; the authorization server's issuer, else its token endpoint */
	const char	*id;		/* jti: unguessable and never used before; the caller brings it */
	const char	*key_id;	/* kid in the header; NULL = none */
	int64_t		 now;		/* wall ms; iat */
	int64_t		 lifetime;	/* ms; exp = iat + lifetime */
};

/* Appends the signed JWT (`out` is BUF_SECRET).  0, -ENOMEM, -EMSGSIZE, -EINVAL (the key cannot sign). */
int	jwt_sign(const struct jwt_key *, const struct jwt_claims *, struct buf *out);
/* `exp` of somebody else's JWT, read without any check of its signature (an ID-JAG, for its renewal): wall ms, EXPIRES_UNKNOWN. */
int64_t	jwt_expires_at(const char *, size_t n);

#endif
