/* Dynamic client registration, RFC 7591 (WIRE A8). */
#ifndef REGISTRATION_H
#define REGISTRATION_H

#include "buf.h"

struct registration_wish {
	const char	*client_name;
	const char	*redirect_uri;	/* NULL: a grant without one */
	const char	*grant;		/* "authorization_code" or device_code's URN; refresh_token is asked for as well */
	const char	*scope;		/* NULL = none */
	const char	*auth_method;	/* "none" unless the server lists only others that we know */
};

struct registration {
	char	*client_id, *client_secret;	/* secret NULL = a public client */
	char	*auth_method;			/* as registered; NULL = as asked */
	int64_t	 secret_expires_at;		/* wall ms; EXPIRES_UNKNOWN = never */
};

/* Appends the JSON body; application_type is native.  0, -ENOMEM. */
int	registration_request(struct buf *out, const struct registration_wish *);
/*
 * Reads the answer (a 2xx body).  0, -EBADMSG with static words, -ENOMEM.  A
 * method that we cannot do is an error.
 */
int	registration_parse(const char *, size_t n, struct registration *ret, const char **ret_why);
void	registration_free(struct registration *);

#endif
