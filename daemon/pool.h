/*
 * Between upstream.c (who may have a link) and call.c (what is done with
 * it).  Nobody else includes this.
 */
#ifndef POOL_H
#define POOL_H

#include <sys/queue.h>

#include "upstream.h"

struct upstream_pool;
struct client_queue;

/* A link of the pool: idle, or held by one place. */
struct conn {
	TAILQ_ENTRY(conn) entry;	/* idle ones */
	struct upstream_pool *pool;
	struct link	*link;
	int64_t		 idle_until;	/* boot ms; 0 = never used */
	bool		 reused;
};

enum place_state { PLACE_NONE, PLACE_QUEUED, PLACE_HELD };

struct place;

struct place_ops {
	/*
	 * It left the queue: ->conn is set (and up if ->conn->reused), or NULL
	 * without memory.  Must not call the pool inside.
	 */
	void	(*granted)(struct place *);
	/* The machine was suspended: give the link up, but not inside. */
	void	(*suspended)(struct place *);
};

/* Somebody who wants or has a link.  Zero it, set the first six. */
struct place {
	struct upstream_pool *pool;
	enum lane	 lane;
	uint64_t	 client;
	const struct place_ops *ops;
	const struct link_ops *link_ops;	/* for the link, while it is held */
	void		*link_arg;
	/* private to upstream.c, conn apart */
	enum place_state state;
	struct conn	*conn;
	struct client_queue *queue;
	TAILQ_ENTRY(place) entry;	/* in a queue, or among the held */
};

/*
 * Asks for a link: 1 ->conn is set (granted() is not called), 0 queued,
 * -EBUSY (too many streams), -ENOMEM.
 */
int	pool_ask(struct place *);
/* Leaves the queue, or closes the link that is held.  Fine in any state. */
void	pool_leave(struct place *);
/*
 * Gives the link back, for keep_ms at most (-1: as long as before, nothing
 * was sent on it).  It is closed if it is not quiet.
 */
void	pool_return(struct place *, int64_t keep_ms);

#endif
