/* Token requests: form bodies and client authentication (RFC 6749 section 2.3 and 6, RFC 8707). */
#ifndef OAUTH_H
#define OAUTH_H

#include "record.h"

/* application/x-www-form-urlencoded of one value (RFC 6749 appendix B), appended. 0 or -ENOMEM. */
int	oauth_form(struct buf *out, const char *text);
/*
 * The refresh request for `rec`: body with grant_type, refresh_token, the same
 * `resource` as at login, no scope (C9); client id, and authentication as
 * auth_method says: none, client_secret_post in the body, client_secret_basic
 * in `authorization` ("Basic ...", left empty otherwise).  Both buffers are to
 * be BUF_SECRET.  0, -ENOMEM, -ENOTSUP (unknown method), -EINVAL (nothing to
 * refresh with).
 */
int	oauth_refresh_request(const struct record *rec, struct buf *body, struct buf *authorization);

#endif
