/* What doctor.c, doctor_request.c and doctor_account.c share; nobody else includes it. */
#ifndef DOCTOR_IMPL_H
#define DOCTOR_IMPL_H

#include "discover.h"
#include "doctor.h"

enum doctor_step {
	DOCTOR_DNS,
	DOCTOR_CONNECT,
	DOCTOR_TLS,
	DOCTOR_CHALLENGE,
	DOCTOR_METADATA,
	DOCTOR_ISSUER,
	DOCTOR_CLIENT,
	DOCTOR_SCOPES,
	DOCTOR_TOKEN,
	DOCTOR_REQUEST,
	DOCTOR_CLOCK,
	DOCTOR_STEPS
};

enum doctor_result { DOCTOR_OK, DOCTOR_WARN, DOCTOR_FAIL, DOCTOR_SKIP };

struct doctor {
	struct upstream	*up;
	const struct doctor_ops *ops;
	void		*arg;
	uid_t		 uid;
	struct timer	 limit;		/* all of it */
	struct timer	 load;		/* the credential is being loaded */
	int64_t		 began;		/* boot ms */
	int64_t		 load_until;	/* boot ms; 0: not waited for */
	enum doctor_step next;		/* not told yet */
	unsigned	 failed, warned;
	bool		 login_required;
	bool		 connected;
	bool		 silent;	/* the request without a token was not answered */
	bool		 over;
	char		 login[96];	/* how a token is had: the command to run, or what to correct */
	/* of the step that runs */
	struct link	*link;
	struct discover	*discover;
	struct relay	*relay;
	/* of the request */
	bool		 legacy;	/* a ping, as server/discover was not understood */
	int		 status;
	bool		 events;	/* text/event-stream */
	struct buf	 body;
	int64_t		 skew;		/* ms that the server's clock is ahead of ours */
	bool		 has_date;
};

/* Tells the end of the next step.  hint: what to do, NULL with OK and SKIP. */
void	doctor_say(struct doctor *, enum doctor_step, enum doctor_result, const char *hint,
	    const char *fmt, ...) _printf_(5, 6);
/* Those before `end` that were not told: skipped, because of that. */
void	doctor_skip(struct doctor *, enum doctor_step end, const char *why);

/* The next step has failed, and those behind it are not walked: that was it. */
void	doctor_give_up(struct doctor *, const char *hint, const char *why);
/* A Date of the server: wall ms, 0 = it is unknown. */
void	doctor_saw_date(struct doctor *, int64_t date);
/* clock, and that was it. */
void	doctor_clock(struct doctor *);

/* --- doctor_request.c --- */

/* request, and what comes behind it.  With `legacy` set: by a ping. */
void	doctor_request(struct doctor *);

/* --- doctor_account.c: what is known, compared with what is wanted --- */

/* metadata, issuer, client and scopes, after a discovery. */
void	doctor_read_metadata(struct doctor *, const struct discover_reply *);
/* Nobody logs in: the daemon asks for a token by itself (client credentials, id_jag). */
bool	doctor_needs_nobody(const struct config_upstream *);
/* token.  false: it is still being loaded, nothing was told. */
bool	doctor_read_token(struct doctor *);

#endif
