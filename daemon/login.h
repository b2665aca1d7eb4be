/*
 * Logins of one credential: one flow at a time (contract H3), in the daemon,
 * asynchronous; people watch it over the control socket, and all watchers of
 * a flow see the same.
 *
 *   discover -> client (configured | metadata document | registered) ->
 *   authorize (browser, pasted redirect, or device) -> token -> save
 */
#ifndef LOGIN_H
#define LOGIN_H

#include "config.h"
#include "connector.h"
#include "store.h"

struct credential;
struct login;

/* One for each credential.  NULL without memory. */
struct login *login_new(struct loop *, struct connector *, struct store *, struct credential *, const struct config_upstream *, const struct config *);
/* Ends a running flow. */
void	login_free(struct login *);
/* From now on by this config (same name and URL), the old one may go; a running flow goes on, back-offs are forgotten. */
void	login_configure(struct login *, const struct config_upstream *, const struct config *);

/* What a watcher is told: one JSON object, one line, no secret but the authorization URL (contract H5: control socket alone). */
struct login_watcher {
	TAILQ_ENTRY(login_watcher) entry;
	void		(*event)(void *arg, const char *json, size_t n);	/* with its newline; calls nothing of the login from within */
	/* Last call: the flow has ended (its event came before).  Begins no other from within. */
	void		(*ended)(void *arg, bool ok);
	void		*arg;
	bool		 told;		/* private */
};

struct login_wish {
	bool		 device;	/* --device */
	bool		 manual;	/* --no-browser: the redirect may be pasted */
	const char	*scope;		/* --scope, beyond what would be asked for; NULL */
};

/*
 * Begins a flow, or joins the one that runs (its latest state is told at
 * once, in a later turn).  0; -EBUSY: one runs that cannot serve this wish;
 * -EAGAIN: the daemon stops; -EINVAL with *ret_why: this upstream's grant
 * cannot do what is wished; -ENOMEM.  A grant that needs no person is renewed.
 */
int	login_watch(struct login *, const struct login_wish *, struct login_watcher *, const char **ret_why);
/* The watcher has left (Ctrl-C).  A flow that a person began ends with its last watcher. */
void	login_unwatch(struct login *, struct login_watcher *);
/* A pasted redirect URL or code.  0; -ENOENT: no flow waits for one; -EBADMSG with *ret_why: not the redirect of this flow (it goes on). */
int	login_paste(struct login *, const char *text, size_t n, const char **ret_why);
/*
 * Local first, then revocation, best effort and bounded (contract H4).
 * done(): `why` NULL = logged out here; `revoked` says what the server said
 * ("revoked", "no revocation endpoint", words).
 */
typedef void (*logout_done)(void *arg, const char *why, const char *revoked);
void	login_logout(struct login *, logout_done, void *arg);
void	login_logout_forget(struct login *, void *arg);
/*
 * Contract K: a flow ends; but one that has asked for its token is awaited,
 * and the token stored.  drained(arg) in a later turn, once none runs.
 */
void	login_drain(struct login *, void (*drained)(void *arg), void *arg);
/* For status: one JSON object or null. 0 or -ENOMEM. */
int	login_status(const struct login *, struct buf *out);

#endif
