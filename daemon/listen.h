/*
 * Listening Unix sockets: the runtime directory and its lock, stale sockets of
 * our own, modes, accept with back-off (design, Sockets).
 */
#ifndef LISTEN_H
#define LISTEN_H

#include "loop.h"

struct runtime;		/* the runtime directory, held by an OFD lock */
struct listener;

/*
 * $RUNTIME_DIRECTORY (its first entry), else $XDG_RUNTIME_DIR/mcp-authd, else
 * /run/mcp-authd; written to out.  Relative values count as unset.  No I/O but
 * the environment.  0 or -ENAMETOOLONG.
 */
int	runtime_path(char *out, size_t size);
/*
 * Creates it (0700; parents not), checks owner and mode, takes the lock: only
 * then are stale sockets unlinked.  NULL with words (another daemon runs: its pid).
 */
struct runtime *runtime_open(const char *path, char *why, size_t size);
const char *runtime_dir(const struct runtime *);
void	runtime_close(struct runtime *);	/* closes and unlinks the sockets that are still open, keeps the lock file; NULL is fine */

struct listener_access {
	unsigned mode;		/* of the socket; a folder of ours gets the x bits that go with it */
	gid_t	 group;		/* (gid_t)-1: as it comes */
};

/*
 * Binds dir-relative `path` (may hold one sub-folder, made 0700 or as mode
 * demands) or an absolute one (its folder must exist), under umask 0177, then
 * gives it group and mode.  accepted(arg, fd) for every connection
 * (non-blocking, close-on-exec).  EMFILE: stops for a second.  NULL with words.
 */
struct listener *listener_open(struct loop *, struct runtime *, const char *path, const struct listener_access *, void (*accepted)(void *arg, int fd), void *arg, char *why, size_t size);
/* Another group and mode for an open one; `path` as it was given.  false with words. */
bool	listener_set_access(struct listener *, struct runtime *, const char *path, const struct listener_access *, char *why, size_t size);
void	listener_pause(struct listener *, bool);	/* caps: stop accepting; what waits stays queued in the kernel */
void	listener_close(struct listener *);		/* and unlinks; NULL is fine; not from within accepted() */

#endif
