/*
 * One credential: drives the refresh machine (lib/refresh) with the store,
 * the token endpoint and the clock, and parks the exchanges that wait for it.
 * auth.h is the door for everybody else.
 */
#ifndef CREDENTIAL_H
#define CREDENTIAL_H

#include "config.h"
#include "failure.h"
#include "link.h"
#include "record.h"
#include "store.h"

struct credential;

struct credential *credential_new(struct loop *, struct store *, struct connector *, const struct config_upstream *);
/* No waiter may be left (credential_drain first). */
void	credential_free(struct credential *);
/*
 * Contract K: no new transaction begins; one whose request was sent is
 * awaited, and what a login brings is stored, also if it comes later.
 * drained(arg) once nothing runs any more (maybe at once, in a later turn).
 */
void	credential_drain(struct credential *, void (*drained)(void *arg), void *arg);

/*
 * Nobody uses it any more, so no timer renews it.  unused(arg) in a later
 * turn once nothing runs and nothing is owed to the store: it may be freed
 * then.  NULL: it is used again.
 */
void	credential_release(struct credential *, void (*unused)(void *arg), void *arg);
/* From now on by this config (same name and URL; OAuth only); what runs goes on. */
void	credential_configure(struct credential *, const struct config_upstream *);
/* What the config says of the stored token may have changed: it is read again. */
void	credential_reread(struct credential *);
/* A reload: back-offs and the breaker are forgotten (contract D). */
void	credential_forgive(struct credential *);

/*
 * A login's or `token import`'s record (rec's name and url are set here; it is
 * taken) under the credential's lock (H1).  done() exactly once, in a later
 * turn: why is NULL on success, else words.
 */
typedef void (*credential_done)(void *arg, const char *why);
void	credential_import(struct credential *, struct record *, credential_done, void *arg);
/*
 * Logout and `token remove`, under the same lock: what stands in the store is
 * read, then deleted, and handed to done() (NULL: nothing, or unreadable),
 * which may move it out, to revoke that token and no other (H4).
 */
typedef void (*credential_removed)(void *arg, const char *why, struct record **deleted);
void	credential_remove(struct credential *, credential_removed, void *arg);
/* The caller of import or remove has left: done() is not called any more; the work goes on. */
void	credential_forget(struct credential *, void *arg);

/* --- for daemon/login --- */

/*
 * A flow runs from now on, or no longer.  While one runs, request POSTs that
 * need a login are held for `wait` ms (0: not at all), 64 at most (H6); when
 * it ends without a login they fail as login_required.
 */
void	credential_login_runs(struct credential *, bool runs, int64_t wait);
/*
 * need(arg) in a later turn, once a turn at most: a request POST was refused
 * as login_required, or the upstream asked for more scope (J).
 */
void	credential_on_need(struct credential *, void (*need)(void *arg), void *arg);
/* The upstream's latest challenge (WIRE A1, A10, A11); NULL: none since the login.  Valid in this turn. */
const struct challenge *credential_challenge(const struct credential *);
/* What is held; NULL = nothing.  Valid in this turn. */
const struct record *credential_record(const struct credential *);
/* One renewal now, by the grant that needs no person (client credentials, id_jag); as credential_import(). */
void	credential_renew(struct credential *, credential_done, void *arg);
bool	credential_login_required(const struct credential *);
bool	credential_logged_in(const struct credential *);	/* what status calls so */

/* For status: appends one JSON object (no secret in it). 0 or -ENOMEM. */
int	credential_status(struct credential *, struct buf *out);

#endif
