/*
 * What the daemon serves: the upstreams, their credentials and the sockets
 * that lead to them, and how a reload changes them.  One struct credential
 * for each name and URL, whatever comes and goes: two state machines on one
 * entry of the store would race.
 */
#ifndef SERVICE_H
#define SERVICE_H

#include "entrance.h"
#include "generation.h"
#include "store.h"

struct member;
struct keeper;

/* Zero it, set the first six. */
struct service {
	struct loop	*loop;
	struct connector *connector;
	struct store	*store;
	struct runtime	*runtime;
	struct front	*front;		/* its config and upstreams are set here */
	unsigned long	 descriptors;	/* what the process may open: caps the clients */
	/* private to service.c */
	struct generation *now;		/* NULL: nothing is served yet */
	struct entrances entrances;
	LIST_HEAD(, member) members;
	LIST_HEAD(, keeper) keepers;
	bool		 draining;
	size_t		 undrained;	/* credentials that still run */
};

/*
 * Serves this config from now on (takes the reference on success).  Upstreams
 * whose entry is the same go on untouched, their back-offs forgotten; changed
 * ones are replaced: what runs finishes with the old one, what comes takes
 * the new one.  false with words: nothing changed.
 */
bool	service_apply(struct service *, struct generation *, char *why, size_t size);
/* "3 upstreams, 2 logged in, 5 clients"; size >= 64. */
void	service_words(struct service *, char *out, size_t size);
/*
 * We are about to stop: clients to come wait for our successor, if the service
 * manager holds sockets for it.  true: those who came just now may not have
 * asked yet, so they should have a moment before service_drain().
 */
bool	service_hand_over(struct service *);
/* Contract K; then service_quiet() says whether anything still runs. */
void	service_drain(struct service *);
bool	service_quiet(const struct service *);
/* When the loop has settled for good and no connection is left. */
void	service_free(struct service *);

#endif
