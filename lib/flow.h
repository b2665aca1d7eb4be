/*
 * Which login flow of one credential may begin, who joins it, and when it
 * ends by itself (contract H3, A11, A17).  Pure: the driver is daemon/login.
 *
 *   flow_ask() -> FLOW_BEGIN: flow_begin() ... flow_end()
 */
#ifndef FLOW_H
#define FLOW_H

#include "bounds.h"
#include "util.h"

enum flow_kind {
	FLOW_BROWSER,		/* authorization code: a redirect, or its URL pasted */
	FLOW_DEVICE,		/* RFC 8628 */
	FLOW_RENEWAL		/* a grant that needs no person */
};

enum flow_by { FLOW_PERSON, FLOW_NEED };

enum flow_verdict {
	FLOW_BEGIN,
	FLOW_JOIN,		/* one runs that serves as well */
	FLOW_BUSY,		/* one of another kind runs */
	FLOW_STOPPING,		/* the daemon stops */
	FLOW_LATER,		/* a need, too soon: not before ->retry_at */
	FLOW_ENOUGH		/* a need for more scope, for which STEP_UPS authorizations did not help */
};

enum flow_end { FLOW_DONE, FLOW_FAILED, FLOW_LEFT };

/* Zero it. */
struct flow {
	bool		 runs, stopping;
	enum flow_kind	 kind;		/* of the one that runs */
	enum flow_by	 by;
	unsigned	 watchers;
	int64_t		 ends_at;	/* boot ms */
	int64_t		 retry_at;	/* boot ms: no flow for a need before; 0 = at once */
	int64_t		 delay;		/* the latest back-off of flows for a need; 0 = none */
	int64_t		 done_at;	/* boot ms of the latest end, if that was the success of a flow for a need; else 0 */
	bool		 in_vain;	/* the one that runs follows hard upon such a success, which helped nobody */
	uint64_t	 challenged;	/* which scope the latest step-up asked for (record_id() of it) */
	unsigned	 authorizations;/* asked for that one so far */
};

/*
 * `challenged`: the scope of a step-up, 0 = this is none.  One that comes right
 * behind a success for a need is not kept waiting, the next one is.
 */
enum flow_verdict flow_ask(const struct flow *, enum flow_by, enum flow_kind, uint64_t challenged, const struct now *);
/* After FLOW_BEGIN; nobody watches yet. */
void	flow_begin(struct flow *, enum flow_by, enum flow_kind, const struct now *);
/* An authorization is asked for, by URL or code: counted if it is for a step-up. */
void	flow_authorizes(struct flow *, uint64_t challenged);
void	flow_watch(struct flow *);
/* true: the last watcher of a flow that a person began has left, so it ends (FLOW_LEFT). */
bool	flow_unwatch(struct flow *);
/* ms until the one that runs has had its LOGIN_LIMIT; 0 = it is over. */
int64_t	flow_left(const struct flow *, const struct now *);
/*
 * It has ended.  After a failure nothing begins by itself for LOGIN_RETRY; if
 * it had begun by itself, ever longer.  A success of which the next need comes
 * within twice the back-off counts as a failure: a server that rejects every
 * token must not open a window each time.
 */
void	flow_end(struct flow *, enum flow_end, const struct now *);
/* A person mended something, or logged out: back-off and step-ups are forgotten. */
void	flow_forgive(struct flow *);

#endif
