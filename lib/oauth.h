/*
 * Requests to an authorization server: form bodies, client authentication and
 * the authorization URL (RFC 6749, 7636, 8628, 8693, 7523, 7009, 8707).  All
 * text is borrowed; all buffers that come back are to be BUF_SECRET.  Every
 * function appends and answers 0, -ENOMEM, -EMSGSIZE, or -EINVAL where
 * something that the request cannot do without is NULL.
 */
#ifndef OAUTH_H
#define OAUTH_H

#include "record.h"

/* Who we are to the server (RFC 6749 section 2.3; WIRE A14). */
struct oauth_client {
	const char	*id, *secret;
	const char	*method;	/* token_endpoint_auth_method; NULL: client_secret_basic with a secret, none without */
	const char	*assertion;	/* of private_key_jwt, signed for this one request (lib/jwt) */
};

/* What goes out: `body` is the form, `authorization` the whole value of that field ("" = none). */
struct oauth_request {
	struct buf	 body, authorization;
};
#define OAUTH_REQUEST_INIT	{ BUF_SECRET(1024 * 1024), BUF_SECRET(1024 * 1024) }
void	oauth_request_free(struct oauth_request *);

/* application/x-www-form-urlencoded of one value (RFC 6749 appendix B). */
int	oauth_form(struct buf *out, const char *text);

/* grant_type=refresh_token: the same `resource` as at login, no scope (C9).  resource NULL: none is sent, here and below. */
int	oauth_refresh_request(struct oauth_request *, const struct oauth_client *, const char *refresh_token, const char *resource);
int	oauth_code_request(struct oauth_request *, const struct oauth_client *, const char *code, const char *redirect_uri, const char *verifier, const char *resource);
int	oauth_credentials_request(struct oauth_request *, const struct oauth_client *, const char *scope, const char *resource);
/* To the device authorization endpoint (RFC 8628 section 3.1), and the polls (3.4). */
int	oauth_device_request(struct oauth_request *, const struct oauth_client *, const char *scope, const char *resource);
int	oauth_device_poll(struct oauth_request *, const struct oauth_client *, const char *device_code, const char *resource);
/* Enterprise-managed authorization, first leg: RFC 8693 for an ID-JAG at the IdP (audience = the AS's issuer; WIRE A20) ... */
int	oauth_exchange_request(struct oauth_request *, const struct oauth_client *, const char *subject_token, const char *subject_token_type, const char *audience, const char *resource, const char *scope);
/* ... and the second: the jwt-bearer grant of RFC 7523 with it. */
int	oauth_assertion_request(struct oauth_request *, const struct oauth_client *, const char *id_jag, const char *scope, const char *resource);
/* RFC 7009; hint is "refresh_token" or "access_token". */
int	oauth_revoke_request(struct oauth_request *, const struct oauth_client *, const char *token, const char *hint);

struct oauth_authorization {
	const char	*endpoint;	/* may have a query of its own: kept (RFC 6749 section 3.1) */
	const char	*client_id, *redirect_uri, *state, *challenge;
	const char	*scope, *resource;	/* NULL = none */
	char		**params;	/* authorizeParams: name, value ..., NULL; never replaces one of ours */
};
/* Scope offline_access brings prompt=consent, unless `params` has a prompt. */
int	oauth_authorization_url(struct buf *out, const struct oauth_authorization *);

#endif
