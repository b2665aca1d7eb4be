/* What serve.c, serve_answer.c and serve_idle.c share; nobody else includes it. */
#ifndef SERVE_IMPL_H
#define SERVE_IMPL_H

#include "buf.h"
#include "serve.h"

#define SERVE_FULL	(64 * KIB)	/* unsent: the producer waits; as much as a Unix socket takes at once */
#define SERVE_LOW	(16 * KIB)	/* unsent: it goes on; gathered: written without waiting for the turn's end */

enum serve_phase {
	SERVE_HEAD,		/* between requests, or a head is half there */
	SERVE_BODY,		/* the body is being read (or discarded: the answer has ended) */
	SERVE_ANSWER,		/* completely read; the answer is due */
	SERVE_LINES,		/* not HTTP: lines both ways */
	SERVE_FLUSH,		/* nothing is read any more; closes when all is written */
	SERVE_LINGER,		/* shut down for writing; the rest of the client's bytes is dropped */
	SERVE_DEAD		/* buried when the turn settles */
};

TAILQ_HEAD(serve_list, serve);

struct serve {
	struct loop	*loop;
	const struct serve_handler *handler;
	void		*data;
	uint64_t	 id;
	struct serve_peer peer;
	struct serve_limits limits;
	int		 fd;
	short		 interest;	/* what ev is registered for */
	enum serve_phase phase;

	/* the connection */
	bool		 fresh : 1;	/* no byte seen yet */
	bool		 ended : 1;	/* lines: the handler knows that no more come */
	bool		 half : 1;	/* read 0, but not hung up */
	bool		 watching : 1;	/* not reading: edge-triggered, for the hang-up alone */
	bool		 blocked : 1;	/* EAGAIN: EV_WRITE will say */
	bool		 closing : 1;	/* after this answer */
	bool		 rude : 1;	/* unread bytes of the client: linger, or it loses the answer */
	bool		 draining : 1;
	bool		 feeding : 1;	/* inside feed(): no settling needed */
	bool		 queued : 1;	/* settle() is deferred */
	/* the request */
	bool		 open : 1;	/* the handler has it and has not answered */
	bool		 keep : 1;	/* version and Connection allow another one */
	bool		 complete : 1;
	bool		 paused : 1;
	bool		 continue_due : 1; /* Expect: 100-continue, nothing sent and no body seen yet */
	bool		 head_only : 1;
	unsigned char	 minor;
	/* the answer */
	bool		 headed : 1;	/* serve_head_end() was called */
	bool		 chunked : 1;
	bool		 counted : 1;	/* `left` bytes are promised */
	bool		 bodiless : 1;
	bool		 full : 1;	/* serve_write() said so */
	int		 status;

	struct http1_body body;
	size_t		 scanned;	/* of a partial head at the start of `in` */
	size_t		 dropped;	/* discarded or lingering bytes */
	uint64_t	 left;
	struct buf	 in;		/* partial head, pipelined bytes, paused body: usually empty */
	struct buf	 out;		/* unsent */
	struct event	 ev;

	struct serve_list *on;		/* idle or lingering; NULL if on neither */
	TAILQ_ENTRY(serve) entry;
	int64_t		 since;		/* boot ms */
};

/* serve.c: the only writer of phase. */
void	serve_enter(struct serve *, enum serve_phase);
/* No more I/O; gone() if a request is open, closed() and the free at the end of the turn. */
void	serve_finish(struct serve *);
/* The answer of the current request has ended. */
void	serve_over(struct serve *);
/* Registers what is wanted now. */
void	serve_interest(struct serve *);
/* Has settle() run at the end of the turn. */
void	serve_poke(struct serve *);

/* serve_answer.c: writes what is gathered until it is gone or EAGAIN. */
void	serve_flush(struct serve *);
/* Appends to what is unsent; without memory the connection dies. */
void	serve_put(struct serve *, const char *, size_t);

/* serve_idle.c: connections that say nothing, one timer for all. */
void	serve_idle_join(struct serve *);
void	serve_idle_part(struct serve *);
/* The time of s starts anew. */
void	serve_idle_begin(struct serve *);
void	serve_linger_begin(struct serve *);
void	serve_idle_end(struct serve *);

#endif
