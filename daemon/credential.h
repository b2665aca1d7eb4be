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
 * awaited.  drained(arg) once nothing runs any more (maybe at once, in a
 * later turn).
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
 * `token import` (rec's name and url are set here; the record is taken) and
 * `token remove`: under the credential's lock (H1).  done() exactly once, in
 * a later turn: why is NULL on success, else words.
 */
typedef void (*credential_done)(void *arg, const char *why);
void	credential_import(struct credential *, struct record *, credential_done, void *arg);
void	credential_remove(struct credential *, credential_done, void *arg);
/* The caller of import or remove has left: done() is not called any more; the work goes on. */
void	credential_forget(struct credential *, void *arg);

/* For status: appends one JSON object (no secret in it). 0 or -ENOMEM. */
int	credential_status(struct credential *, struct buf *out);

#endif
