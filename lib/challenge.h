/* WWW-Authenticate, RFC 9110 11.6.1 and RFC 6750 section 3 (WIRE A2). */
#ifndef CHALLENGE_H
#define CHALLENGE_H

#include "buf.h"

/* What the Bearer challenges said; strings are ours, "" never, NULL if absent. */
struct challenge {
	bool	 bearer;
	char	*error;
	char	*scope;
	char	*resource_metadata;
};

/*
 * Adds one field value (of maybe several) to what is known; the first Bearer
 * challenge that names a parameter wins.  Several challenges in one value,
 * quoted pairs, case-insensitive names; an unterminated quote voids the whole
 * value.  0, -EBADMSG (void value, nothing changed), -ENOMEM, -EMSGSIZE.
 */
int	challenge_add(struct challenge *, const char *, size_t n);
void	challenge_free(struct challenge *);

#endif
