/*
 * The one way to an authorization (contract A2, A3): which header, which
 * generation, at the moment of sending; and the report of every answer.
 */
#ifndef AUTH_H
#define AUTH_H

#include <sys/queue.h>

#include "buf.h"
#include "failure.h"
#include "url.h"

struct challenge;
struct credential;

/* One exchange's place in the queue.  Zero it, set wake and arg. */
struct auth_waiter {
	TAILQ_ENTRY(auth_waiter) entry;
	unsigned char	 queued;	/* private: in which of the credential's lists */
	bool		 may_hold;	/* a request POST: may be held for a login that runs (H6) */
	bool		 granted;	/* private: B3, the generation is taken whatever its expiry says */
	int64_t		 held_until;	/* private: boot ms (H6); 0 = never held */
	uint64_t	 after;		/* the generation that answered 401 to this exchange; 0 = none yet */
	struct failure	 failure;	/* set before wake() if it failed */
	bool		 failed;
	void		(*wake)(void *arg);
	void		*arg;
};

enum auth_verdict {
	AUTH_GO,	/* *ret_generation and the header lines are written */
	AUTH_WAIT,	/* wake() follows, in a later turn, unless auth_leave() */
	AUTH_FAIL	/* w->failure says why */
};

/*
 * Asks to send now.  On GO appends whole header lines ("Authorization: Bearer
 * ...\r\n") to `out` (BUF_SECRET) and the generation used (0 with auth none).
 * out == NULL only asks (the answer may be another a moment later).  After
 * wake() with ->failed unset ask again.  `c` NULL = auth none: always GO.
 * method and url are for schemes that bind the proof to them.
 */
enum auth_verdict auth_ask(struct credential *c, struct auth_waiter *w, const char *method, const struct url *, struct buf *out, uint64_t *ret_generation);
/*
 * Every answer, final head seen (A3): `status` of an answer to a request that
 * carried `generation`; `retry`: the request was a retry after a 401 (E3).
 */
void	auth_answered(struct credential *c, uint64_t generation, int status, bool retry);
/*
 * The exchange wants to send again after this 401 (E1, E2): true: set
 * w->after, auth_ask() again; false: the 401 is final, *ret says as what.
 */
bool	auth_rejected(struct credential *c, struct auth_waiter *w, uint64_t generation, bool retry, struct failure *ret);
/* A 401 or 403 carried these Bearer challenges: what a login will need (WIRE A1, A10, A11; contract J). */
void	auth_challenged(struct credential *c, int status, const struct challenge *);
/* No longer interested.  Always call it before the waiter's memory goes; idempotent. */
void	auth_leave(struct credential *c, struct auth_waiter *w);

#endif
