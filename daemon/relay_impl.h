/* What relay.c and relay_call.c share; nobody else includes it. */
#ifndef RELAY_IMPL_H
#define RELAY_IMPL_H

#include "exchange.h"
#include "outgoing.h"
#include "relay.h"

enum relay_state {
	RELAY_GATHERING,	/* the body comes in, nothing was asked yet */
	RELAY_PARKED,		/* auth will wake it */
	RELAY_QUEUED,		/* a call is open, no link yet */
	RELAY_SENDING,		/* the request goes out */
	RELAY_AWAITING,	/* it is out, no head yet */
	RELAY_DISCARDING,	/* of an answer that is not relayed: what is there in this turn */
	RELAY_ANSWERING,	/* a head went to the sink */
	RELAY_FAILING,		/* failed; the rest of the body is read for its ids */
	RELAY_ENDED,		/* the sink had its last call, or left; freed when the turn has settled */
	RELAY_STATES
};

struct relay {
	TAILQ_ENTRY(relay) entry;	/* all of them */
	TAILQ_ENTRY(relay) waits;
	struct waits	*waiting;	/* NULL = in no list */
	int64_t		 due;		/* boot ms, while waiting */
	struct upstream	*up;
	const struct sink_ops *sink;
	void		*arg;
	const char	*method;
	uid_t		 uid;
	char		*session;	/* of the request; NULL = none */
	uint64_t	 client, number;
	enum relay_state state;
	enum lane	 lane;
	bool		 post;
	bool		 headed;	/* the sink has a head */
	bool		 full;		/* relay_body() said so; more() is due */
	bool		 paused;	/* the sink is full */
	bool		 counted;	/* this send has reached the wire */
	bool		 doomed;	/* discarding, then `failure` */
	bool		 delivering;	/* deliver() is deferred */
	bool		 draining;
	bool		 forced;	/* fails without waiting for the body */
	unsigned	 tries;
	size_t		 discarded;
	size_t		 charged;	/* of the held budget */
	uint64_t	 generation;	/* sent with (E1) */
	int64_t		 sent_at;	/* boot ms of the latest send */
	enum exchange_verdict why;	/* of this send */
	struct exchange	 x;
	struct auth_waiter waiter;
	struct call	*call;
	struct url	 moved;		/* target after a redirect; text NULL = none */
	struct outgoing	 out;
	struct jsonrpc	 rpc;
	struct failure	 failure;
};

/* relay.c: the only writer of `state`, but for the last call of all. */
void	relay_enter(struct relay *, enum relay_state);
/*
 * It fails: the sink hears of it when the turn has settled and the body was
 * read for its ids.  Harmless if it has failed or ended already.
 */
void	relay_fail(struct relay *, const struct failure *);
void	relay_fails(struct relay *, enum reason, const char *fmt, ...) _printf_(3, 4);
/* Frees one that has ended. */
void	relay_free(void *relay);
/* Closes the call, if there is one. */
void	relay_drop_call(struct relay *);
/* Gives up the right to another send, and with it the body. */
void	relay_unhold(struct relay *);
/* Bytes of the request may be written now. */
bool	relay_is_sending(const struct relay *);
/* Tells the sink if there is room again. */
void	relay_more(struct relay *);

/* relay_call.c: begins a send, the first or another. */
void	relay_ask(struct relay *);
/* What can be written is written; after the last byte the answer is awaited. */
void	relay_flush(struct relay *);
/* relay_session.c: remembers whose session the request is of.  0 or -ENOMEM. */
int	relay_session_begin(struct relay *, const struct relay_request *);
/* Appends the session's cookies for this URL to the lead.  0, -ENOMEM, -EMSGSIZE. */
int	relay_session_lead(struct relay *, const struct url *);
/* An answer's head from this URL: a session begins or ends, cookies are kept. */
void	relay_session_head(struct relay *, const struct url *, const struct http1_head *);

/* auth_waiter's wake. */
void	relay_woken(void *arg);

#endif
