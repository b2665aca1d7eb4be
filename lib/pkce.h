/* Proof Key for Code Exchange, S256 alone (RFC 7636), and `state` (WIRE A5, A13). */
#ifndef PKCE_H
#define PKCE_H

#define PKCE_RANDOM	32	/* bytes of entropy that the caller brings (RFC 7636 section 7.1) */
#define PKCE_TEXT	44	/* 43 characters and NUL */

/* A verifier, or a state, of 32 random bytes: URL-safe base64. */
void	pkce_verifier(const unsigned char random[PKCE_RANDOM], char out[PKCE_TEXT]);
/* code_challenge of method S256. */
void	pkce_challenge(const char *verifier, char out[PKCE_TEXT]);

#endif
