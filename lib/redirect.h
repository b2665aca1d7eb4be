/* What the authorization server's redirect says (RFC 6749 section 4.1.2, RFC 9207; WIRE A12, A13). */
#ifndef REDIRECT_H
#define REDIRECT_H

#include "buf.h"

struct redirect_expected {
	const char	*state;
	const char	*issuer;	/* NULL: none known, so a present iss matches nothing */
	bool		 iss_required;	/* the metadata advertises RFC 9207 */
};

enum redirect_verdict {
	REDIRECT_CODE,		/* ->code */
	REDIRECT_REFUSED,	/* the server or the user said no: ->error */
	REDIRECT_FOREIGN,	/* wrong or missing state, a parameter twice, no redirect at all: not ours, wait on */
	REDIRECT_WRONG_ISSUER	/* state is right, issuer is not: the flow ends, its text is not shown */
};

struct redirect {
	char	*code;			/* secret */
	char	 error[32];		/* a known error code, else "other"; never other remote text */
	bool	 denied;		/* access_denied: the person said no */
};

/* The query (behind '?', without it).  *ret is always written; redirect_free() it. */
enum redirect_verdict redirect_parse(const char *query, size_t n, const struct redirect_expected *, struct redirect *ret);
/*
 * The same for what a person pasted: the whole redirect URL (its query is
 * taken, whatever its host), or only a code, which has no state to check
 * (`--no-browser`; then the verdict is REDIRECT_CODE).  Blanks around it are dropped.
 */
enum redirect_verdict redirect_pasted(const char *text, size_t n, const struct redirect_expected *, struct redirect *ret);
void	redirect_free(struct redirect *);	/* wipes */

#endif
