/* Waiting for a credential's cross-process lock without blocking anything (contract C2). */
#include <stdio.h>
#include <unistd.h>

#include "store_impl.h"

#define TRY_MIN		50		/* ms; back-off beside the watch on a lock: news may come ... */
#define TRY_MAX		(1 * SEC)	/* ... a moment before the lock is free (SIGKILL), or never */
#define UNLOCK_AGAIN	100		/* ms, when there was no memory to unlock */

enum lock_state {
	LOCK_WAITING,		/* for its turn, for news, or for the next try */
	LOCK_TRYING,		/* on the worker */
	LOCK_HELD,		/* handed out */
	LOCK_LEAVING,		/* to be released when a call on the keyring is over */
	LOCK_RELEASING		/* on the worker, or about to be */
};

struct store_lock {
	TAILQ_ENTRY(store_lock) entry;	/* in the order of asking: those who wait are served so */
	struct store	*store;		/* NULL once it was closed */
	struct store_flock flock;
	enum lock_state	 state;
	struct timer	 timer;
	int64_t		 deadline;	/* boot ms */
	int64_t		 pause;		/* before the next try */
	bool		 news;		/* came while trying */
	int		 error;		/* of the latest try */
	struct store_reply reply;
	store_done	 done;		/* NULL: forgotten */
	void		*arg;
};

static void	lock_step(struct store_lock *);

/* The one of those who wait whose turn it is, NULL if there is none. */
static struct store_lock *
first_waiting(struct store *st, const char *stem)
{
	struct store_lock *lock;

	TAILQ_FOREACH(lock, &st->locks, entry)
		if (lock->state < LOCK_HELD && strcmp(lock->flock.stem, stem) == 0)
			return lock;
	return NULL;
}

void
store_lock_news(struct store *st, const char *stem)
{
	struct store_lock *lock = first_waiting(st, stem);

	if (lock == NULL)
		return;
	lock->pause = TRY_MIN;
	if (lock->state == LOCK_TRYING)
		lock->news = true;
	else
		lock_step(lock);
}

static void
unlock_run(void *arg)
{
	struct store_lock *lock = arg;

	store_dir_unlock(lock->store->dir, &lock->flock);
}

static void
lock_free(struct store_lock *lock)
{
	TAILQ_REMOVE(&lock->store->locks, lock, entry);
	timer_clear(&lock->timer);
	free(lock);
}

static void
unlock_done(void *arg)
{
	struct store_lock *lock = arg;
	struct store *st = lock->store;
	char stem[STORE_STEM];

	memcpy(stem, lock->flock.stem, sizeof(stem));
	lock_free(lock);
	store_lock_news(st, stem);
}

/* Also the timer of a lock that could not be given to the worker. */
static void
lock_release(struct store_lock *lock)
{
	lock->state = LOCK_RELEASING;
	timer_clear(&lock->timer);
	if (worker_give(lock->store->worker, unlock_run, unlock_done, lock) < 0)
		timer_set(&lock->timer, UNLOCK_AGAIN);
}

/* It was given up or has failed. */
static void
lock_fail(struct store_lock *lock, enum store_result result)
{
	struct store_reply reply = lock->reply;
	store_done done = lock->done;
	void *arg = lock->arg;

	reply.result = result;
	if (result == STORE_TIMEOUT)
		snprintf(reply.why, sizeof(reply.why), "another process kept the lock for %lld s",
		    (long long)(lock->store->lock_wait / SEC));
	lock_release(lock);
	if (done != NULL)
		done(arg, &reply);
}

static void
lock_deliver(struct store_lock *lock)
{
	struct store_reply reply = { .result = STORE_OK, .lock = lock };
	struct store *st = lock->store;
	char stem[STORE_STEM];

	if (lock->done == NULL) {
		lock_release(lock);
		return;
	}
	memcpy(stem, lock->flock.stem, sizeof(stem));
	lock->state = LOCK_HELD;
	timer_clear(&lock->timer);
	lock->done(lock->arg, &reply);
	store_lock_news(st, stem);	/* the next in turn begins to try */
}

static void
try_run(void *arg)
{
	struct store_lock *lock = arg;

	lock->error = store_dir_lock(lock->store->dir, &lock->flock, store_words(&lock->reply));
}

static void
try_done(void *arg)
{
	struct store_lock *lock = arg;

	lock->state = LOCK_WAITING;
	if (lock->error == 0)
		lock_deliver(lock);
	else if (lock->done == NULL)
		lock_release(lock);
	else if (lock->error != -EAGAIN)
		lock_fail(lock, STORE_FAILED);
	else if (lock->news)
		lock_step(lock);
	else {
		timer_set(&lock->timer, MIN(lock->pause,
		    lock->deadline - loop_now(lock->store->loop).boot));
		lock->pause = MIN(lock->pause * 2, TRY_MAX);
	}
}

static void
lock_try(struct store_lock *lock)
{
	struct store *st = lock->store;

	timer_clear(&lock->timer);
	lock->state = LOCK_TRYING;
	lock->news = false;
	if (worker_give(st->worker, try_run, try_done, lock) == 0)
		return;
	lock->error = -ENOMEM;
	snprintf(lock->reply.why, sizeof(lock->reply.why), "out of memory");
	loop_defer(st->loop, try_done, lock);
}

/* One that waits: its time is up, or it is to try; those behind the first wait for the former. */
static void
lock_step(struct store_lock *lock)
{
	if (lock->deadline <= loop_now(lock->store->loop).boot)
		lock_fail(lock, STORE_TIMEOUT);
	else
		lock_try(lock);
}

static void
lock_timer(void *arg)
{
	struct store_lock *lock = arg;

	if (lock->state == LOCK_RELEASING)
		lock_release(lock);
	else
		lock_step(lock);
}

void
store_lock(struct store *st, const struct store_key *key, store_done done, void *arg)
{
	struct store_lock *lock = store_alloc(sizeof(*lock));

	lock->store = st;
	lock->flock.fd = -1;
	record_stem(key->name, key->url, lock->flock.stem, sizeof(lock->flock.stem));
	lock->deadline = loop_now(st->loop).boot + st->lock_wait;
	lock->pause = TRY_MIN;
	lock->done = done;
	lock->arg = arg;
	timer_init(&lock->timer, st->loop, lock_timer, lock);
	TAILQ_INSERT_TAIL(&st->locks, lock, entry);
	if (first_waiting(st, lock->flock.stem) == lock)
		lock_try(lock);
	else
		timer_set(&lock->timer, st->lock_wait);
}

/* A call that the worker does not order: on the keyring, or held by a move. */
static bool
is_behind(const struct store *st, const char *stem)
{
	const struct store_job *job;

	TAILQ_FOREACH(job, &st->jobs, entry)
		if (!job->own && strcmp(job->stem, stem) == 0 && (job->backend == NULL ||
		    job->backend->kind == CONFIG_STORE_KEYRING))
			return true;
	return false;
}

void
store_lock_settle(struct store *st, const char *stem)
{
	struct store_lock *lock;

	TAILQ_FOREACH(lock, &st->locks, entry)
		if (lock->state == LOCK_LEAVING && strcmp(lock->flock.stem, stem) == 0 &&
		    !is_behind(st, stem))
			lock_release(lock);
}

void
store_unlock(struct store_lock *lock)
{
	struct store_flock *f;

	if (lock == NULL)
		return;
	if (lock->store != NULL) {
		lock->state = LOCK_LEAVING;
		store_lock_settle(lock->store, lock->flock.stem);
		return;
	}
	f = &lock->flock;
	if (f->fd != -1)
		close(f->fd);
	free(lock);
}

void
store_set_lock_wait(struct store *st, int64_t ms)
{
	st->lock_wait = ms;
}

void
store_lock_forget(struct store *st, void *arg)
{
	struct store_lock *lock;

	TAILQ_FOREACH(lock, &st->locks, entry) {
		if (lock->arg != arg)
			continue;
		lock->done = NULL;
		if (lock->state == LOCK_WAITING)
			lock_release(lock);
	}
}

void
store_lock_news_all(struct store *st)
{
	struct store_lock *lock;

	TAILQ_FOREACH(lock, &st->locks, entry)
		if (lock->state == LOCK_WAITING)
			store_lock_news(st, lock->flock.stem);
}

/* A lock that was handed out stays with its holder, cut loose. */
static void
close_lock(struct store *st, struct store_lock *lock)
{
	timer_clear(&lock->timer);
	loop_undefer(st->loop, lock);
	if (lock->state == LOCK_HELD) {
		TAILQ_REMOVE(&st->locks, lock, entry);
		lock->store = NULL;
		return;
	}
	store_dir_unlock(st->dir, &lock->flock);
	lock_free(lock);
}

void
store_lock_close(struct store *st)
{
	struct store_lock *lock;

	while ((lock = TAILQ_FIRST(&st->locks)) != NULL)
		close_lock(st, lock);
}
