/*
 * Where credentials are kept.  One asynchronous interface for every backend
 * (contract I; design 4 and 7): each call returns at once and completes on the
 * loop, exactly once, never inside the call.
 *
 * Backends: "file" and "encrypted" keep one file for each credential in the
 * store's directory, "keyring" an item in the desktop's.  Lock files stand in
 * the directory for all of them.
 */
#ifndef STORE_H
#define STORE_H

#include "config.h"
#include "loop.h"
#include "record.h"
#include "worker.h"

struct store;
struct store_lock;

struct store_key {
	const char	*name;		/* upstream name */
	const char	*url;		/* canonical URL */
};

enum store_result {
	STORE_OK,
	STORE_GONE,		/* load: no such entry, and certainly so (contract C4) */
	STORE_BAD,		/* load: there but unreadable, set aside, newer, torn, in another backend (C3, I7) */
	STORE_TIMEOUT,		/* lock: somebody else kept it for LOCK_WAIT */
	STORE_FAILED		/* anything else: I/O, permissions, directory replaced */
};

struct store_reply {
	enum store_result result;
	struct record	*record;	/* load + OK: the receiver takes it and sets NULL, else it is freed */
	struct store_lock *lock;	/* lock + OK: the receiver owns it until store_unlock() */
	char		 why[200];	/* words for log and status, "" if OK */
};

typedef void (*store_done)(void *arg, struct store_reply *);

struct store_options {
	enum config_backend backend;
	const char	*path;			/* of the directory */
	bool		 allow_network_fs;
	const char	*key_file;		/* of the encrypted store; NULL: none is configured */
	bool		 key_is_credential;	/* ... and systemd answers for its owner and mode */
	const char	*bus;			/* where the keyring is; NULL: on the session bus */
};

/*
 * Opens (creates 0700) the directory, checks owner, mode, symlinks and file
 * system (I6), cleans up what a crash of our own left, reads the key.
 * Blocking: start-up only.  NULL with words in why.
 *
 * Which backend "auto" means may be known only later: the keyring if it
 * answers and is unlocked, else the encrypted store if there is a key, else
 * files.  Until then calls wait.  It is decided once; no failure changes it
 * (I1, I2).
 */
struct store *store_open(struct loop *, const struct store_options *, char *why, size_t size);
/*
 * Finishes what was given (blocking; but a keyring is not waited for), but
 * locks that are waited for are given up; no completions any more.  Locks
 * handed out may be unlocked afterwards.
 */
void	store_close(struct store *);
const char *store_backend(const struct store *);	/* "file", "encrypted", "keyring"; "auto" until it is known */
const char *store_path(const struct store *);
/*
 * The object "store" of /v1/status: {"backend","resolved","path"} and "drift":
 * [{"entry","in":[BACKEND...],"message"}], the entries that a backend holds
 * which is not in use (I5).  0 or negative.
 */
int	store_status(const struct store *, struct buf *);
/* The thread that does the store's file work; others may give it theirs. */
struct worker *store_worker(struct store *);

void	store_load(struct store *, const struct store_key *, store_done, void *arg);
/* Temp file, fsync, rename, fsync of the directory; then OK.  The record is copied (printed) before the call returns. */
void	store_save(struct store *, const struct store_key *, const struct record *, store_done, void *arg);
/* OK also if there was none.  Set-aside entries of that key are deleted, too. */
void	store_delete(struct store *, const struct store_key *, store_done, void *arg);
/* The credential's cross-process lock; waits up to LOCK_WAIT without blocking anything. */
void	store_lock(struct store *, const struct store_key *, store_done, void *arg);
/* For tests: another LOCK_WAIT. */
void	store_set_lock_wait(struct store *, int64_t ms);
/*
 * No completion; NULL is fine.  Happens on the worker, behind every save that
 * was given before, so that nobody takes the lock between.
 */
void	store_unlock(struct store_lock *);
/* Every completion still due for arg is dropped (a lock that comes is released); the work itself goes on. */
void	store_forget(struct store *, void *arg);
/*
 * changed(arg) whenever the entry may have been changed by anybody, ourselves
 * included; may come too often, never too rarely (IN_Q_OVERFLOW counts for
 * all; where inotify cannot see, every 5 s).  One watch for each key; changed
 * == NULL ends it.
 */
int	store_watch(struct store *, const struct store_key *, void (*changed)(void *arg), void *arg);

/*
 * Moves every entry to that backend (not auto), which is then the one in use:
 * takes all locks and holds all other calls; copies each, verified by reading
 * it back; from then on uses the copies; then deletes the old ones.  Killed at
 * any point, every entry is still whole somewhere, and doing it again ends it.
 * An entry in use replaces an older copy of itself; a later one ends it all.
 */
void	store_migrate(struct store *, enum config_backend to, store_done, void *arg);
/* Seals every entry anew with the key in that file; see store_crypt.h. */
void	store_rekey(struct store *, const char *new_key_file, store_done, void *arg);
/* In both, OK too comes with words: what was done, and what is left to do. */

#endif
