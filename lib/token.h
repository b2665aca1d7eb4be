/* What a token endpoint answered, RFC 6749 5.1 and 5.2, turned into facts and one event. */
#ifndef TOKEN_H
#define TOKEN_H

#include "buf.h"

/* The classes of the contract's table D. */
enum token_class {
	TOKEN_OK,		/* a usable access token */
	TOKEN_DEAD,		/* invalid_grant */
	TOKEN_REFUSED,		/* configuration: invalid_client, unauthorized_client, invalid_target, invalid_scope, 4xx without a JSON error */
	TOKEN_STRIKE,		/* any other definitive 4xx with a JSON error */
	TOKEN_TRANSIENT,	/* nothing was done: 429, 503; the caller adds DNS, connect, TLS */
	TOKEN_UNKNOWN		/* the outcome is unknown: 500, 502, 504, a cut or unreadable 2xx; the caller adds timeout and reset */
};

#define EXPIRES_UNKNOWN	INT64_MAX

struct token_answer {
	char	*access_token;		/* secrets: wiped by token_free() */
	char	*refresh_token;		/* NULL if omitted */
	char	*scope;			/* NULL if omitted */
	int64_t	 expires_at;		/* wall ms; EXPIRES_UNKNOWN if missing, 0, negative or garbage (B1) */
	int64_t	 lifetime;		/* ms; 0 if unknown */
	bool	 odd_expiry;		/* expires_in was there but unusable: worth a warning */
	char	 error[64];		/* the error code if it is a known one, else "other"; "" if none.  Never other remote text */
};

/*
 * Classifies.  `received` is the wall time of the receipt in ms.  A 2xx whose
 * body is complete JSON with an `error` member counts as a 400.  token_type
 * must be Bearer (case-insensitive) or absent, else TOKEN_REFUSED.  An access
 * token that could not stand in a header (RFC 6750 b64token, loosely: 0x21 to
 * 0x7E) is TOKEN_REFUSED.  *ret is always written; free with token_free().
 */
enum token_class token_classify(int status, const char *body, size_t n, int64_t received, struct token_answer *ret);
void	token_free(struct token_answer *);
/* `expires_in` of any JSON type as B1 says: ms, 0 for unknown; *ret_odd if it was there but unusable. */
int64_t	token_lifetime(const void *cjson_item, bool *ret_odd);

#endif
