/* What credential*.c and auth.c share of a credential; nobody else looks inside. */
#ifndef CREDENTIAL_IMPL_H
#define CREDENTIAL_IMPL_H

#include "auth.h"
#include "bearer.h"
#include "challenge.h"
#include "credential.h"
#include "discover.h"
#include "grant.h"
#include "log.h"
#include "refresh.h"

TAILQ_HEAD(auth_waiters, auth_waiter);

enum credential_work {
	CREDENTIAL_LOGIN,
	CREDENTIAL_LOGOUT,
	CREDENTIAL_RENEWAL
};

/* What waits its turn, between two transactions. */
struct credential_job {
	TAILQ_ENTRY(credential_job) entry;
	enum credential_work work;
	struct record	*record;	/* of a login, until it is installed; of a logout, what is deleted */
	credential_done	 done;		/* NULL: the asker has left, or it is a logout */
	credential_removed removed;	/* of a logout; the same */
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
	struct grant	*grant;
	struct grant_memory memory;
	struct discover	*verify;
	char		 why[320];		/* words for the trouble that lasts; "" when a token was installed */
	char		 last_error[320];	/* the same, kept until a login */

	struct auth_waiters waiting, held, woken;
	unsigned	 nheld;			/* H6 */
	bool		 login_runs;
	int64_t		 login_wait;		/* ms; of the flow that runs */
	struct timer	 held_until;
	bool		 need_due;
	void		(*need)(void *);
	void		*need_arg;
	struct challenge challenge;		/* .bearer: there is one */
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
/* Nothing runs any more: what has waited for that begins. */
void	credential_rest(struct credential *);
struct refresh_facts credential_facts(const struct credential *, const struct record *);
/* Words for log and status: "what: why", or what alone. */
void	credential_trouble(struct credential *, const char *what, const char *why);

/* --- credential_wait.c --- */

void	credential_park(struct credential *, struct auth_waiter *);
/* Out of whatever list it is in. */
void	credential_unpark(struct credential *, struct auth_waiter *);
/*
 * w was refused with w->failure.  true: it is held for the login that runs
 * (H6).  Else the need for a login is made known, if it is one.
 */
bool	credential_hold(struct credential *, struct auth_waiter *);
/* What a step means to those who wait: everybody is answered at the end of the turn, in the order of asking. */
void	credential_release_waiters(struct credential *, unsigned actions);
/* Those who are held fail with this. */
void	credential_fail_held(struct credential *, enum reason);
/* After a loop_undefer() of the credential: what is still owed to those who wait. */
void	credential_rewake(struct credential *);
/* The timer of those who are held. */
void	credential_held_too_long(void *credential);
/* Somebody has to log in. */
void	credential_need(struct credential *);
/* A login, or a token with what it asks for, has come. */
void	credential_drop_challenge(struct credential *);
/* Puts our own words for the reason into f->detail. */
void	credential_explain(const struct credential *, struct failure *);

/* --- credential_job.c --- */

/* At rest: begins the next job.  false: there is none. */
bool	credential_next_job(struct credential *);
/* After each step: is the job that runs over? */
void	credential_job_step(struct credential *, unsigned actions);
/* The first one has ended; why NULL: well. */
void	credential_finish_job(struct credential *, const char *why);
/* The daemon is stopping: only a login's token, which was sent for, is still stored (K). */
void	credential_refuse_jobs(struct credential *);
void	credential_free_jobs(struct credential *);

#endif
