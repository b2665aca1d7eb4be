/* A credential as it is stored: one JSON document, "v": 1. */
#ifndef RECORD_H
#define RECORD_H

#include "token.h"

#define HASH_HEX	65	/* SHA-256 in hex, with NUL */

/*
 * A dynamic registration is kept as a record of its own, by issuer (WIRE A8,
 * A9): its name is RECORD_CLIENT, which no upstream can have, its url the
 * issuer (with "#device" behind it for a client of RFC 8628); it has client_id, maybe client_secret (expires_at is the secret's),
 * auth_method, redirect_uri, and no tokens.
 */
#define RECORD_CLIENT	"@client"

struct record {
	char	*name, *url;		/* the key: upstream name, canonical URL */
	char	*issuer;		/* NULL: none stored; the token endpoint's origin is pinned (C7) */
	char	*token_endpoint;
	char	*client_id, *client_secret;
	char	*auth_method;		/* token_endpoint_auth_method; NULL = none, or client_secret_basic with a secret */
	char	*resource, *scope;
	char	*revocation_endpoint;	/* NULL: the server named none */
	char	*resource_metadata;	/* URL of the protected-resource metadata, for VERIFY (C7); NULL: the well-known ones */
	char	*redirect_uri;		/* of a registration: the one registered */
	bool	 registered;		/* client_id came by dynamic registration */
	char	*access_token, *refresh_token;	/* refresh_token NULL if there is none; access_token NULL in a registration alone */
	int64_t	 expires_at;		/* wall ms or EXPIRES_UNKNOWN */
	int64_t	 lifetime;		/* ms, 0 unknown */
	int64_t	 obtained_at;		/* wall ms */
	char	 dead[HASH_HEX];	/* hash of the refresh token marked dead (D), "" if none */
	struct {
		char	 hash[HASH_HEX];/* of the refresh token that was sent; "" = no intent */
		unsigned tries;
		int64_t	 at;		/* wall ms of the latest try */
	} intent;
};

/*
 * Reads a stored document.  NULL on any fault with *ret_why (static words);
 * -> -ENOTSUP in *ret_err if "v" is newer than ours (never rewritten), else
 * -EBADMSG or -ENOMEM.  Unknown members are an error only in `intent`.
 */
struct record *record_parse(const char *, size_t n, int *ret_err, const char **ret_why);
/* Appends the document and a newline.  0, -ENOMEM, -EMSGSIZE, or -EINVAL (a text that could not be read back). */
int	record_print(const struct record *, struct buf *out);
/*
 * What `token import` reads (design): access_token required; expires_at in
 * epoch seconds or expires_in; `now` is wall ms.  name and url are set by the
 * caller.  NULL with static words in *ret_why.
 */
struct record *record_import(const char *, size_t n, int64_t now, const char **ret_why);
struct record *record_copy(const struct record *);
void	record_free(struct record *);	/* wipes; NULL is fine */
/* SHA-256 of a token in hex; "" for NULL. */
void	record_hash(const char *token, char out[HASH_HEX]);
/* First 64 bits of SHA-256; 0 for NULL: equal tokens, equal ids. */
uint64_t record_id(const char *token);
#define RECORD_STEM	(48 + 1 + 16 + 1)
/* File stem of a key: NAME-16hex(SHA-256 of name NUL url). `out` holds RECORD_STEM bytes at least. */
void	record_stem(const char *name, const char *url, char *out, size_t size);
/*
 * A new record after a successful refresh: everything of `old`, the answer's
 * tokens, omitted refresh_token and scope kept (C10), intent cleared, the dead mark
 * cleared if the refresh token is another.  NULL on -ENOMEM.
 */
struct record *record_renew(const struct record *old, const struct token_answer *, int64_t now);
/* The refresh token is there and not marked dead. */
bool	record_renewable(const struct record *);

#endif
