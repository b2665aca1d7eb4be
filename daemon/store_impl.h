/* What the parts of the store share: store.c and store_lock.c. */
#ifndef STORE_IMPL_H
#define STORE_IMPL_H

#include "store.h"
#include "store_file.h"
#include "worker.h"

struct job;
struct watch;

struct store {
	struct loop	*loop;
	struct worker	*worker;
	const struct store_backend *backend;
	void		*state;		/* the backend's; the worker's alone once it runs */
	char		*path;
	int64_t		 lock_wait;
	int		 inotify;	/* -1: none */
	struct event	*news;
	struct timer	 poll;		/* set where inotify may miss changes */
	TAILQ_HEAD(, job) jobs;
	TAILQ_HEAD(, store_lock) locks;
	LIST_HEAD(, watch) watches;
};

/* Zeroed memory; aborts without any: what must happen, and cannot, cannot be reported either. */
void	*store_alloc(size_t);
struct store_why store_words(struct store_reply *);

/* The lock of that stem may have become free, or it is another's turn. */
void	store_lock_news(struct store *, const char *stem);
/* ... of any stem. */
void	store_lock_news_all(struct store *);
/* Nobody is told any more of locks asked for with this arg. */
void	store_lock_forget(struct store *, void *arg);
/* After the worker's end: gives up all locks but those that were handed out. */
void	store_lock_close(struct store *);

#endif
