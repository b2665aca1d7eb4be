/*
 * Listening Unix sockets: the runtime directory and its lock, stale sockets of
 * our own, modes, accept with back-off (design, Sockets).
 */
#ifndef LISTEN_H
#define LISTEN_H

#include "loop.h"

#define SOCKET_SHARED	"mcp-authd.sock"
#define SOCKET_CONTROL	"control.sock"
#define SOCKET_KEPT	"kept/"		/* and its path: name of a socket that the manager keeps for us */

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
/*
 * A listening socket that the service manager passed, taken: what
 * listener_open() uses for `path` (as it takes it) in place of binding.  It
 * keeps its file, mode and group, and is ours as long as we run, whether a
 * listener uses it or not.  `ours`: of before a restart, kept for us; then it
 * is as if bound by us, if its file is still there.
 */
void	runtime_give(struct runtime *, const char *path, int fd, bool ours);
/* Has one been given for it? */
bool	runtime_has(const struct runtime *, const char *path);
/* The process ends: sockets that live on keep their files.  NULL is fine. */
void	runtime_leave(struct runtime *);
void	runtime_close(struct runtime *);	/* closes and unlinks the sockets that are still open, keeps the lock file; NULL is fine */

struct listener_access {
	unsigned mode;		/* of the socket; a folder of ours gets the x bits that go with it */
	gid_t	 group;		/* (gid_t)-1: as it comes */
};

/*
 * Binds dir-relative `path` (may hold one sub-folder, made 0700 or as mode
 * demands) or an absolute one (its folder must exist), under umask 0177, then
 * gives it group and mode; asks the manager to keep it over a restart.  accepted(arg, fd) for every connection
 * (non-blocking, close-on-exec).  EMFILE: stops for a second.  NULL with words.
 */
struct listener *listener_open(struct loop *, struct runtime *, const char *path, const struct listener_access *, void (*accepted)(void *arg, int fd), void *arg, char *why, size_t size);
/* Another group and mode for an open one (not for one that was passed); `path` as it was given.  false with words. */
bool	listener_set_access(struct listener *, struct runtime *, const char *path, const struct listener_access *, char *why, size_t size);
void	listener_pause(struct listener *, bool);	/* caps: stop accepting; what waits stays queued in the kernel */
/*
 * We are about to stop.  Where the manager holds the socket too, nobody is
 * accepted any more: who connects waits for our successor.  false: it does not.
 */
bool	listener_drain(struct listener *);
void	listener_close(struct listener *);		/* and unlinks; NULL is fine; not from within accepted() */

#endif
