/* What the parts of the store share: store.c, store_watch.c, store_lock.c, store_move.c, store_drift.c. */
#ifndef STORE_IMPL_H
#define STORE_IMPL_H

#include "store.h"
#include "store_crypt.h"
#include "store_file.h"
#include "store_keyring.h"
#include "worker.h"

struct store_job;
struct store_look;
struct store_move;
struct watch;

/* A backend: files on the worker, or a keyring on the loop. */
struct store_backend {
	const char	*name;
	enum config_backend kind;
	/* Does job->op; store_job_end() later, on the loop, exactly once. */
	void		(*begin)(struct store_job *);
};

/* By enum config_backend; that of auto is NULL. */
extern const struct store_backend *const store_backends[CONFIG_STORE_KEYRING + 1];

enum store_op { STORE_LOAD, STORE_SAVE, STORE_REMOVE, STORE_LIST };

/* One call on its way. */
struct store_job {
	TAILQ_ENTRY(store_job) entry;
	struct store	*store;
	const struct store_backend *backend;	/* NULL: it waits for one */
	enum store_op	 op;
	bool		 own;		/* of a move: is not held */
	enum store_result (*run)(struct store_job *, struct store_why);	/* on the worker */
	struct store_key key;
	char		 stem[STORE_STEM];
	struct buf	 doc;		/* save */
	char		*issuer;	/* save; NULL: none */
	bool		 unprintable;	/* save: not begun */
	struct store_key_list keys;	/* list */
	struct store_reply reply;
	store_done	 done;		/* NULL: forgotten */
	void		*arg;
	char		 text[];	/* of the key */
};

/* An entry that stands in a backend which is not in use. */
struct store_stray {
	char		 stem[STORE_STEM];
	unsigned	 where;		/* bits of enum config_backend */
};

struct store_drift {
	struct store_stray *strays;	/* in the order of stems */
	size_t		 n;
	struct store_look *look;	/* under way */
	bool		 again;
};

struct store {
	struct loop	*loop;
	struct worker	*worker;
	const struct store_backend *backend;	/* NULL: not known yet */
	const char	*how;		/* it was chosen, in words */
	struct store_dir *dir;		/* the worker's alone once it runs, but for its fd and path */
	struct store_files plain, sealed;
	struct keyring	*keyring;	/* NULL: nobody needs it */
	char		*bus;
	char		*path;
	bool		 held;		/* by a move: calls wait */
	struct store_move *move, *refused;
	struct store_drift drift;
	int64_t		 lock_wait;
	int		 inotify;	/* -1: none */
	struct event	*news;
	struct timer	 poll;		/* set where inotify may miss changes */
	TAILQ_HEAD(, store_job) jobs;
	TAILQ_HEAD(, store_lock) locks;
	LIST_HEAD(, watch) watches;
};

/* Zeroed memory; aborts without any: what must happen, and cannot, cannot be reported either. */
void	*store_alloc(size_t);
struct store_why store_words(struct store_reply *);

/* --- store.c --- */

struct store_job *store_job_new(struct store *, enum store_op, const struct store_key *, store_done, void *arg);
/* A save's document.  0; else the job will fail. */
void	store_job_print(struct store_job *, const struct record *);
/* To that backend, held or not. */
void	store_job_begin(struct store_job *, const struct store_backend *);
/* To the worker, for job->run. */
void	store_job_give(struct store_job *);
/* It is over; job->reply is the result. */
void	store_job_end(void *job);
/* Something that is no move's is under way. */
bool	store_busy(const struct store *);
/* From now on calls go there. */
void	store_pin(struct store *, enum config_backend, const char *how);
/* Calls that have waited go on. */
void	store_go_on(struct store *);
/* The keyring, opened at the first need; NULL without memory. */
struct keyring *store_need_keyring(struct store *);

/* --- store_watch.c --- */

/* 0, or -1 without memory. */
int	store_watch_start(struct store *);
void	store_watch_close(struct store *);
/* Every entry may have changed. */
void	store_watch_all(struct store *);

/* --- store_lock.c --- */

/* The lock of that stem may have become free, or it is another's turn. */
void	store_lock_news(struct store *, const char *stem);
/* ... of any stem. */
void	store_lock_news_all(struct store *);
/* A call of that stem is over: a lock that was to be released behind it goes. */
void	store_lock_settle(struct store *, const char *stem);
/* Nobody is told any more of locks asked for with this arg. */
void	store_lock_forget(struct store *, void *arg);
/* After the worker's end: gives up all locks but those that were handed out. */
void	store_lock_close(struct store *);

/* --- store_drift.c --- */

/* Looks for entries in other backends; the backend is known. */
void	store_drift_look(struct store *);
/* A move is over: what a look under way has seen is not believed. */
void	store_drift_anew(struct store *);
int	store_drift_print(const struct store *, struct buf *);
void	store_drift_close(struct store *);

/* --- store_move.c --- */

void	store_move_forget(struct store *, void *arg);
/* Nothing but the move is under way any more. */
void	store_move_idle(struct store *);
/* After store_lock_close(). */
void	store_move_close(struct store *);

#endif
