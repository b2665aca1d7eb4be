/* The one event loop: clocks, timers, deferred work, the shared read buffer. */
#ifndef LOOP_H
#define LOOP_H

#include <sys/queue.h>

#include <event2/event.h>
#include <event2/event_struct.h>

#include "bounds.h"
#include "util.h"

struct loop {
	struct event_base *base;
	char		*readbuf;	/* READ_BUFFER bytes, shared by everybody within one callback; wiped by loop_free */
	uint64_t	 turn;		/* grows by one each turn */
	/* rest private to loop.c, allocated behind it */
};

struct loop *loop_new(void);	/* aborts start-up on failure: NULL with errno */
void	loop_free(struct loop *);
/* Runs turns until loop_stop(); after each turn the deferred work is done. */
void	loop_run(struct loop *);
void	loop_stop(struct loop *);

/* Both clocks, read once a turn (vDSO, no system call). */
struct now loop_now(struct loop *);

/*
 * Runs fn(arg) once when the current turn has settled, never inside the
 * caller (deferred frees, wake-ups).  Work deferred by deferred work runs in
 * the same settling.  loop_undefer() takes back all that was deferred with arg.
 */
void	loop_defer(struct loop *, void (*fn)(void *), void *arg);
void	loop_undefer(struct loop *, void *arg);

/* A one-shot timer in boot time, re-armed by setting it again; ms <= 0 fires in the next turn. */
struct timer {
	struct event	 ev;
	LIST_ENTRY(timer) entry;	/* private: in the list of timers that are set */
	int64_t		 at;		/* boot ms; 0 = not set */
	void		(*fn)(void *);
	void		*arg;
	struct loop	*loop;
};
void	timer_init(struct timer *, struct loop *, void (*fn)(void *), void *arg);
void	timer_set(struct timer *, int64_t ms);
void	timer_clear(struct timer *);

/* Called after a suspend was noticed (boot time ran ahead of monotonic time), contract F1. */
void	loop_on_resume(struct loop *, void (*fn)(void *), void *arg);
/* Ends every hook that was given this arg; not from within a hook. */
void	loop_off_resume(struct loop *, void *arg);

/* Event priorities: news from the store come before new exchanges (contract H2). */
#define LOOP_FIRST	0
#define LOOP_NORMAL	1

#endif
