/*
 * A child of the daemon: an argv without a shell, its output taken, its time
 * and size bounded, its group killed at the end (design 8).  Never waits.
 */
#ifndef SPAWN_H
#define SPAWN_H

#include "buf.h"
#include "loop.h"

struct spawn;

struct spawn_reply {
	struct buf	out;		/* standard output, BUF_SECRET; freed after done() unless taken */
	int		status;		/* as of waitpid; -1 = it was killed for its time or its size */
	char		why[160];	/* words, "" if it ended with 0 */
};

typedef void (*spawn_done)(void *arg, struct spawn_reply *);

/*
 * Runs argv (argv[0] absolute) with no descriptors but 0 to 2, default
 * signals, a soft descriptor limit of 1024 and an environment without systemd's
 * (NOTIFY_SOCKET, WATCHDOG_*, LISTEN_*, CREDENTIALS_DIRECTORY).  Standard
 * input is empty, standard error is dropped.  done() exactly once, never inside the call, unless cancelled.
 */
struct spawn *spawn_start(struct loop *, char *const *argv, size_t max_out, int64_t max_ms,
    spawn_done, void *arg);
/* Kills it; done() is not called any more.  NULL is fine. */
void	spawn_cancel(struct spawn *);

#endif
