/*
 * The rules of one exchange (contract E3, E4, F, G2, J): how often it was
 * sent, which recoveries it has used, whether it may be sent again.  Pure:
 * the relay tells what happened, this says what to do.
 */
#ifndef EXCHANGE_H
#define EXCHANGE_H

#include "bounds.h"
#include "failure.h"

struct exchange {
	int64_t		 deadline;	/* boot ms: end of the recovery time (F1) */
	unsigned	 sends;
	bool		 used_401, used_session, used_header;
	bool		 relayed;	/* a byte of the answer went to the client */
	bool		 held;		/* the whole body is still held (or there is none) */
	unsigned	 redirects;
};

enum exchange_verdict {
	EXCHANGE_RELAY,		/* pass the answer on */
	EXCHANGE_REAUTHORIZE,	/* 401: ask auth, then send again if it says so */
	EXCHANGE_FINAL_401,	/* 401 that may not be retried */
	EXCHANGE_SCOPE,		/* 403 insufficient_scope (J) */
	EXCHANGE_REDIRECT,	/* same-origin 307/308: send again to the new target */
	EXCHANGE_BAD_REDIRECT,	/* any other redirect with a Location */
	EXCHANGE_RESESSION,	/* a lost session that we own (G1) */
	EXCHANGE_REHEADER	/* -32020 that we may mend (M5a) */
};

/* What is known of an answer when its head is complete. */
struct exchange_answer {
	int	 status;
	bool	 insufficient_scope;	/* a Bearer challenge said so */
	bool	 location;		/* there is a Location */
	bool	 same_origin;		/* ... of the upstream's origin */
	bool	 session_ours;		/* the request carried a session id that the daemon owns */
	bool	 session_lost;		/* 404, or 400/410 whose error message contains "session" */
	bool	 header_mismatch;	/* -32020 on a request whose headers the daemon made */
};

enum exchange_verdict exchange_answered(const struct exchange *, const struct exchange_answer *, const struct now *);
/* A send begins (its first byte was taken): counts it and the recovery that caused it; EXCHANGE_RELAY for the first. */
void	exchange_sent(struct exchange *, enum exchange_verdict why);
/* May it be sent (again) at all now: recovery time left, sends left, nothing relayed, body held if it was sent before? */
bool	exchange_may_send(const struct exchange *, const struct now *);
/* Why exchange_may_send() said no, in the words of the design; REASON_NONE if it said yes or for want of sends. */
enum reason exchange_spent(const struct exchange *, const struct now *);

#endif
