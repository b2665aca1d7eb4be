/*
 * One configured MCP server: its pool of links, its queues, and `call`, which
 * is one HTTP request sent on one link and its answer read.
 */
#ifndef UPSTREAM_H
#define UPSTREAM_H

#include "config.h"
#include "failure.h"
#include "http1.h"
#include "link.h"
#include "mcp_tools.h"

struct credential;
struct doctor;
struct login;
struct sessions;
struct call;

/* Which links a call may use (design 3). */
enum lane {
	LANE_REQUEST,		/* queues round-robin by client within limits.links */
	LANE_RESERVED,		/* responses, notifications, DELETE: never queues behind the others */
	LANE_STREAM		/* GET streams, subscriptions/listen: within limits.streams, at most once queued = refused */
};

struct upstream_stats {
	unsigned links, idle, queued, streams;
	uint64_t opened, reused;
};

struct upstream {
	const struct config_upstream *config;	/* lives until the upstream ends or upstream_configure() */
	const struct config *limits;
	struct credential *credential;		/* NULL with auth none */
	struct login	*login;			/* NULL but with auth oauth */
	struct sessions	*sessions;		/* whose they are, and their cookies */
	struct mcp_tools tools;			/* whose parameters are mirrored in headers (M4) */
	struct doctor	*doctor;		/* examines it now; NULL: none */
	struct loop	*loop;
	struct connector *connector;
	uint64_t	 exchanges;		/* counters for status */
	unsigned	 active;
	void		(*left)(void *arg);	/* set once it is retired: in a later turn, when `active` falls to 0 */
	void		*left_arg;
	/* private to upstream.c */
	struct upstream_pool *pool;
};

struct upstream *upstream_new(struct loop *, struct connector *, const struct config *, const struct config_upstream *);
void	upstream_free(struct upstream *);	/* no call may be left; NULL is fine */
/* A reload that changed nothing for it: the same values in another config, maybe other limits. */
void	upstream_configure(struct upstream *, const struct config *, const struct config_upstream *);
void	upstream_stats(const struct upstream *, struct upstream_stats *ret);

struct call_ops {
	/*
	 * A link is there: take the authorization now (A2) and write with
	 * call_write().  May call_close() instead (the link goes back unused).
	 */
	void	(*ready)(void *arg);
	void	(*room)(void *arg);
	/* A final head (1xx are skipped); slices valid during the call only. */
	void	(*head)(void *arg, const struct http1_head *);
	void	(*data)(void *arg, const char *, size_t);	/* payload, unchunked */
	void	(*turn)(void *arg);				/* nothing more to give in this turn: flush */
	void	(*end)(void *arg);				/* answer complete: last call; call_close() it */
	/*
	 * Last call; call_close() it.  `written`: bytes of the request that the
	 * kernel or TLS took: with 0 nothing left the house and it may be sent
	 * again.  reason is UPSTREAM_UNREACHABLE, UPSTREAM_MALFORMED or LIMIT.
	 */
	void	(*fail)(void *arg, const struct failure *, uint64_t written);
};

/*
 * Asks for a link.  `client` is any number that names whose turn it is
 * (round-robin).  Never calls back inside.  `method` (static or living as
 * long as the call) decides how the answer's body is read.  NULL without memory.
 */
struct call *call_open(struct upstream *, enum lane, uint64_t client, const char *method, const struct call_ops *, void *arg);
/* As link_write(); counts into `written`. */
ssize_t	call_write(struct call *, const struct iovec *, int n);
/*
 * The request is completely written.  An answer that is complete before that
 * makes the link not reusable.
 */
void	call_sent(struct call *);
/* After it data() still brings what was read already (READ_BUFFER at most), and end() may follow. */
void	call_pause(struct call *);
void	call_resume(struct call *);
/* Ends it: the link returns to the pool if the answer was complete and it may be reused, else it is closed. Allowed inside callbacks; NULL is fine. */
void	call_close(struct call *);

#endif
