#include <sys/eventfd.h>

#include <pthread.h>
#include <signal.h>
#include <unistd.h>

#include "worker.h"

struct task {
	STAILQ_ENTRY(task) entry;
	void	(*run)(void *);
	void	(*done)(void *);
	void	*job;
};
STAILQ_HEAD(task_list, task);

struct worker {
	pthread_t	 thread;
	pthread_mutex_t	 mutex;		/* guards todo, finished, stop */
	pthread_cond_t	 given;
	struct task_list todo, finished;
	bool		 stop;		/* the thread ends once todo is empty */
	int		 wakefd;
	struct event	*wake;
};

static struct task *
next_task(struct worker *w)
{
	struct task *t;

	pthread_mutex_lock(&w->mutex);
	while ((t = STAILQ_FIRST(&w->todo)) == NULL && !w->stop)
		pthread_cond_wait(&w->given, &w->mutex);
	if (t != NULL)
		STAILQ_REMOVE_HEAD(&w->todo, entry);
	pthread_mutex_unlock(&w->mutex);
	return t;
}

static void *
thread_main(void *arg)
{
	struct worker *w = arg;
	struct task *t;
	bool first;

	while ((t = next_task(w)) != NULL) {
		t->run(t->job);
		pthread_mutex_lock(&w->mutex);
		first = STAILQ_EMPTY(&w->finished);
		STAILQ_INSERT_TAIL(&w->finished, t, entry);
		pthread_mutex_unlock(&w->mutex);
		if (first)
			eventfd_write(w->wakefd, 1);
	}
	return NULL;
}

/* Some jobs are finished.  Their completions may give new ones. */
static void
wake_fired(int fd, _unused_ short what, void *arg)
{
	struct worker *w = arg;
	struct task_list finished = STAILQ_HEAD_INITIALIZER(finished);
	struct task *t;
	eventfd_t count;

	eventfd_read(fd, &count);
	pthread_mutex_lock(&w->mutex);
	STAILQ_CONCAT(&finished, &w->finished);
	pthread_mutex_unlock(&w->mutex);
	while ((t = STAILQ_FIRST(&finished)) != NULL) {
		STAILQ_REMOVE_HEAD(&finished, entry);
		t->done(t->job);
		free(t);
	}
}

/* Signals belong to the loop's thread: this one is born with all of them blocked. */
static int
start_thread(struct worker *w)
{
	sigset_t all, before;
	int e;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	e = pthread_create(&w->thread, NULL, thread_main, w);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	return e;
}

static void
release(struct worker *w)
{
	if (w->wake != NULL)
		event_free(w->wake);
	if (w->wakefd != -1)
		close(w->wakefd);
	pthread_cond_destroy(&w->given);
	pthread_mutex_destroy(&w->mutex);
	free(w);
}

struct worker *
worker_new(struct loop *loop)
{
	struct worker *w;
	int e;

	w = calloc(1, sizeof(*w));
	if (w == NULL)
		return NULL;
	STAILQ_INIT(&w->todo);
	STAILQ_INIT(&w->finished);
	pthread_mutex_init(&w->mutex, NULL);
	pthread_cond_init(&w->given, NULL);
	w->wakefd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	e = w->wakefd != -1 ? 0 : errno;
	if (e == 0) {
		w->wake = event_new(loop->base, w->wakefd, EV_READ | EV_PERSIST, wake_fired, w);
		if (w->wake == NULL || event_priority_set(w->wake, LOOP_FIRST) == -1 ||
		    event_add(w->wake, NULL) == -1)
			e = ENOMEM;
	}
	if (e == 0)
		e = start_thread(w);
	if (e != 0) {
		release(w);
		errno = e;
		return NULL;
	}
	return w;
}

void
worker_free(struct worker *w)
{
	struct task *t;

	if (w == NULL)
		return;
	pthread_mutex_lock(&w->mutex);
	w->stop = true;
	pthread_cond_signal(&w->given);
	pthread_mutex_unlock(&w->mutex);
	pthread_join(w->thread, NULL);
	while ((t = STAILQ_FIRST(&w->finished)) != NULL) {
		STAILQ_REMOVE_HEAD(&w->finished, entry);
		free(t);
	}
	release(w);
}

int
worker_give(struct worker *w, void (*run)(void *), void (*done)(void *), void *job)
{
	struct task *t;

	t = malloc(sizeof(*t));
	if (t == NULL)
		return -ENOMEM;
	*t = (struct task){ .run = run, .done = done, .job = job };
	pthread_mutex_lock(&w->mutex);
	STAILQ_INSERT_TAIL(&w->todo, t, entry);
	pthread_cond_signal(&w->given);
	pthread_mutex_unlock(&w->mutex);
	return 0;
}
