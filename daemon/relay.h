/*
 * One exchange: a message from somebody (a front, control, the daemon itself)
 * and its answer.  Carries time, held body and sends; the decisions are
 * lib/exchange's and auth's.  Knows no connection: it has a sink.
 */
#ifndef RELAY_H
#define RELAY_H

#include "auth.h"
#include "exchange.h"
#include "http1.h"
#include "jsonrpc.h"
#include "upstream.h"

struct relay;

struct sink_ops {
	/* The answer's head: relay already dropped nothing; the sink filters with hop_down().  framing/length are the payload's. */
	void	(*head)(void *arg, const struct http1_head *);
	/* Payload.  true: full, stop until relay_drained(). */
	bool	(*data)(void *arg, const char *, size_t);
	/* Nothing more in this turn: flush. */
	void	(*turn)(void *arg);
	/* Complete, maybe before the request's body was.  Last call; the relay is gone. */
	void	(*end)(void *arg);
	/*
	 * Failed.  Last call; the relay is gone after it.  `headed`: a head was
	 * given before, so only an abortive close is left (F4).  rpc: what the
	 * body said (ids), valid during the call.
	 */
	void	(*fail)(void *arg, const struct failure *, const struct jsonrpc *rpc, bool headed);
	/* There is room for the request's body again. */
	void	(*more)(void *arg);
};

struct relay_request {
	const struct http1_head *head;	/* the client's request; slices valid during relay_begin() only */
	const char	*method;	/* static: "POST", "GET" or "DELETE" */
	uid_t		 uid;		/* whose request it is: sessions belong to one uid */
	uint64_t	 client;	/* names whose turn it is (round-robin) */
	/* Sent before by relays that are gone (G1, M5a): what it has used up, and why it is sent again; NULL: it was not. */
	const struct exchange *before;
	enum exchange_verdict why;
};

/*
 * Begins.  Never calls the sink inside.  head->framing says whether a body
 * follows by relay_body().  NULL without memory.
 */
struct relay *relay_begin(struct upstream *, const struct relay_request *, const struct sink_ops *, void *arg);
/* The same for one that shall not be carried (draining, caps): its body is read for its ids, then it fails. */
struct relay *relay_refuse(struct upstream *, const struct relay_request *, const struct failure *, const struct sink_ops *, void *arg);
/* Body bytes; true: full, wait for more().  All bytes given are taken. */
bool	relay_body(struct relay *, const char *, size_t);
void	relay_body_end(struct relay *);
void	relay_drained(struct relay *);
/* What it has used up so far: to be remembered, in head() at the latest, by whoever may have it sent again. */
const struct exchange *relay_exchange(const struct relay *);
/* The client left: no more calls to the sink; upstream is closed at once (M7). */
void	relay_abandon(struct relay *);
/* Contract K: what runs now and has not been answered within the drain time fails with `draining`. */
void	relay_drain(struct upstream *);

/* Bytes held for retries by all exchanges now; for status. */
size_t	relay_held(void);

#endif
