/* The one worker thread for blocking file calls (design 4): a job in, its completion out. */
#ifndef WORKER_H
#define WORKER_H

#include "loop.h"

struct worker;
struct worker *worker_new(struct loop *);	/* NULL with errno */
/* Finishes every job already given, runs no more completions, joins the thread. */
void	worker_free(struct worker *);
/*
 * run(job) is called on the thread, then done(job) on the loop (priority
 * LOOP_FIRST).  Jobs run in order.  The job shares nothing with the loop in
 * between.  0 or -ENOMEM.
 */
int	worker_give(struct worker *, void (*run)(void *), void (*done)(void *), void *job);

#endif
