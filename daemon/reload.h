/*
 * Reload: the config is read on the worker, applied on the loop, and whoever
 * asked is told.  A config that cannot be applied changes nothing.
 */
#ifndef RELOAD_H
#define RELOAD_H

#include "service.h"
#include "worker.h"

struct reload_job;
struct reload_ask;

/* Zero it, set the first five. */
struct reload {
	struct service	*service;
	struct worker	*worker;
	const char	*file;		/* --config; NULL: found as at the start */
	const char	*dir;		/* runtime directory */
	int		 level;		/* --log-level; -1: as configured */
	/* private to reload.c */
	bool		 running;
	struct reload_job *job;		/* given to the worker */
	TAILQ_HEAD(, reload_ask) asks;
};

/* why NULL: done; else FILE:LINE:COLUMN and words.  `fault`: the config's, not the daemon's. */
typedef void (*reload_done)(void *arg, const char *why, bool fault);

void	reload_init(struct reload *);
/*
 * Asks for one that reads the files from now on (one that is under way may
 * have read them before).  done (may be NULL) exactly once, in a later turn.
 */
void	reload_begin(struct reload *, reload_done, void *arg);
/* The asker has left: done() is not called any more; the reload goes on. */
void	reload_forget(struct reload *, void *arg);
void	reload_free(struct reload *);	/* after the worker's end */

#endif
