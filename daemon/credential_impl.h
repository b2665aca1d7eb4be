/* What auth.c and credential.c share of a credential; nobody else looks inside. */
#ifndef CREDENTIAL_IMPL_H
#define CREDENTIAL_IMPL_H

#include "auth.h"
#include "bearer.h"
#include "credential.h"
#include "fetch.h"
#include "log.h"
#include "refresh.h"

TAILQ_HEAD(auth_waiters, auth_waiter);

/* A login or a logout that waits its turn. */
struct credential_job {
	TAILQ_ENTRY(credential_job) entry;
	struct record	*record;	/* of a login, until it is installed */
	bool		 logout;
	credential_done	 done;		/* NULL: the asker has left */
	void		*arg;
};
TAILQ_HEAD(credential_jobs, credential_job);

struct credential {
	struct loop	*loop;
	struct store	*store;
	struct connector *connector;
	const struct config_upstream *config;
	struct store_key key;
	struct bearer	*bearer;		/* A4; NULL: OAuth */

	struct refresh	 machine;
	struct record	*cur, *stored, *minted;	/* what machine.cur, .stored and .minted are the facts of */
	struct buf	 header;		/* "Authorization: Bearer ...\r\n" of cur; secret */
	struct store_lock *lock;
	struct fetch	*fetch;
	char		 why[320];		/* words for the latest trouble */

	struct auth_waiters waiting, woken;
	struct credential_jobs jobs;		/* the first one runs if job_runs */
	bool		 job_runs;
	struct timer	 retry, background;
	void		(*drained)(void *);
	void		*drained_arg;
	void		(*unused)(void *);	/* credential_release() */
	void		*unused_arg;

	/* for status */
	int64_t		 refreshed_at;		/* wall ms of the latest success */
	char		 last_result[32];
	uint64_t	 requests, refreshes, adoptions;
	struct credential *ops;			/* &ops is the store's completion argument, so that a watch outlives store_forget() */
};

/* One event into the machine, its actions done. */
void	credential_feed(struct credential *, enum refresh_event);
void	credential_park(struct credential *, struct auth_waiter *);
void	credential_unpark(struct credential *, struct auth_waiter *);
/* Puts our own words for the reason into f->detail. */
void	credential_explain(const struct credential *, struct failure *);

#endif
