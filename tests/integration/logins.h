/* Logins as tests do them: a flow watched on the control socket, with a person behind the browser. */
#ifndef LOGINS_H
#define LOGINS_H

#include "support.h"

/* How a flow ended. */
struct outcome {
	bool	 done;			/* event "done", else "failed" */
	int	 status;		/* HTTP status of the control call */
	int	 page;			/* HTTP status of the last page in the browser, 0 = none was opened */
	char	 reason[64], message[800], hint[400], scope[200];
	char	 url[8192];		/* the authorization URL; "" = there was none */
};

/*
 * Logs in: opens the URL in the browser, or approves the device, and waits for
 * the end.  wish: JSON of the control call, or NULL.  Static.
 */
const struct outcome *log_in(struct world *, const struct authd *, const char *upstream, const char *wish);
/* The same without opening anything: for what fails before a person is needed. */
const struct outcome *log_in_unseen(struct world *, const struct authd *, const char *upstream, const char *wish);
/* POST /v1/logout/NAME: its status; "revoked" of the answer in *ret (static), "" if it says nothing. */
int	log_out(const struct authd *, const char *upstream, const char **ret);

/* Of the latest request at an endpoint of the wall: one parameter; NULL if absent.  Static buffer. */
const char *login_param(struct world *, const char *endpoint, const char *name);
/* "wall"'s credential or login object of /v1/status: a text member; NULL if absent.  Static buffer. */
const char *login_status(const struct authd *, const char *object, const char *name);

#endif
