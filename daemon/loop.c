#include <sys/timerfd.h>

#include <stdint.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

#include "log.h"
#include "loop.h"

#define SUSPEND_MS	(1 * SEC)	/* boot time ahead by more: the machine slept */
#define FAR_FUTURE	(100LL * 365 * 24 * 3600)	/* seconds: never expires */

struct deferred {
	void	(*fn)(void *);	/* NULL: taken back */
	void	*arg;
};

struct resume {
	SLIST_ENTRY(resume) entry;
	void	(*fn)(void *);
	void	*arg;
};

/* What struct loop does not show. */
struct loop_private {
	struct loop	 pub;		/* first: a struct loop * is one of these */
	struct now	 now;
	bool		 now_valid;
	bool		 running;
	bool		 stop;
	bool		 suspended;	/* noticed, not yet handled */
	int64_t		 slept;		/* boot minus monotonic time at the last look */
	LIST_HEAD(, timer) timers;
	SLIST_HEAD(, resume) resumes;
	struct deferred	*deferred;
	size_t		 ndeferred, next, cap;
	int		 wakefd;
	struct event	*wake;
};

static struct loop_private *
private_of(struct loop *loop)
{
	return (struct loop_private *)loop;
}

static int64_t
clock_ms(clockid_t id)
{
	struct timespec ts;

	clock_gettime(id, &ts);
	return ts.tv_sec * SEC + ts.tv_nsec / 1000000;
}

struct now
loop_now(struct loop *loop)
{
	struct loop_private *p = private_of(loop);
	int64_t slept;

	if (p->running && p->now_valid)
		return p->now;
	p->now.boot = clock_ms(CLOCK_BOOTTIME);
	slept = p->now.boot - clock_ms(CLOCK_MONOTONIC);
	p->now.wall = clock_ms(CLOCK_REALTIME);
	p->now_valid = true;
	if (slept > p->slept + SUSPEND_MS)
		p->suspended = true;
	p->slept = slept;
	return p->now;
}

static void
timer_arm(struct timer *t, int64_t ms)
{
	struct timeval tv = { 0, 0 };

	if (ms > 0) {
		tv.tv_sec = ms / SEC;
		tv.tv_usec = ms % SEC * 1000;
	}
	if (event_add(&t->ev, &tv) == -1)
		log_err(NULL, "timer", "a timer cannot be set");
}

/* libevent's clock is coarse: what fires a moment early is set again. */
static void
timer_fired(_unused_ evutil_socket_t fd, _unused_ short what, void *arg)
{
	struct timer *t = arg;
	int64_t left;

	left = t->at - loop_now(t->loop).boot;
	if (left > 0) {
		timer_arm(t, left);
		return;
	}
	timer_clear(t);
	t->fn(t->arg);
}

void
timer_init(struct timer *t, struct loop *loop, void (*fn)(void *), void *arg)
{
	memset(t, 0, sizeof(*t));
	t->fn = fn;
	t->arg = arg;
	t->loop = loop;
	event_assign(&t->ev, loop->base, -1, 0, timer_fired, t);
}

void
timer_set(struct timer *t, int64_t ms)
{
	if (t->at == 0)
		LIST_INSERT_HEAD(&private_of(t->loop)->timers, t, entry);
	t->at = loop_now(t->loop).boot + MAX(ms, 0);
	timer_arm(t, ms);
}

void
timer_clear(struct timer *t)
{
	if (t->at == 0)
		return;
	t->at = 0;
	LIST_REMOVE(t, entry);
	event_del(&t->ev);
}

/*
 * After a suspend: libevent counts monotonic time, which stood still, so all
 * timers are set anew against boot time.  Then the hooks.
 */
static void
resume(struct loop_private *p)
{
	struct resume *r;
	struct timer *t;
	struct now now;

	p->suspended = false;
	now = loop_now(&p->pub);
	log_info(NULL, "resume", "the machine was suspended");
	LIST_FOREACH(t, &p->timers, entry)
		timer_arm(t, t->at - now.boot);
	SLIST_FOREACH(r, &p->resumes, entry)
		r->fn(r->arg);
}

void
loop_on_resume(struct loop *loop, void (*fn)(void *), void *arg)
{
	struct resume *r;

	r = calloc(1, sizeof(*r));
	if (r == NULL) {
		log_err(NULL, "memory", "out of memory at start");
		exit(1);
	}
	r->fn = fn;
	r->arg = arg;
	SLIST_INSERT_HEAD(&private_of(loop)->resumes, r, entry);
}

void
loop_off_resume(struct loop *loop, void *arg)
{
	struct loop_private *p = private_of(loop);
	struct resume *r, *next;

	for (r = SLIST_FIRST(&p->resumes); r != NULL; r = next) {
		next = SLIST_NEXT(r, entry);
		if (r->arg != arg)
			continue;
		SLIST_REMOVE(&p->resumes, r, resume, entry);
		free(r);
	}
}

/* The kernel cancels this timer when wall time jumps, and so after a suspend. */
static void
wake_fired(int fd, _unused_ short what, void *arg)
{
	struct loop_private *p = arg;
	uint64_t expirations;

	(void)!read(fd, &expirations, sizeof(expirations));
	p->now_valid = false;
	(void)loop_now(&p->pub);
	if (p->suspended)
		resume(p);
}

static int
wake_open(struct loop_private *p)
{
	struct itimerspec its;

	p->wakefd = timerfd_create(CLOCK_REALTIME, TFD_NONBLOCK | TFD_CLOEXEC);
	if (p->wakefd == -1)
		return -1;
	memset(&its, 0, sizeof(its));
	its.it_value.tv_sec = FAR_FUTURE;
	if (timerfd_settime(p->wakefd, TFD_TIMER_ABSTIME | TFD_TIMER_CANCEL_ON_SET,
	    &its, NULL) == -1)
		return -1;
	p->wake = event_new(p->pub.base, p->wakefd, EV_READ | EV_PERSIST,
	    wake_fired, p);
	if (p->wake == NULL)
		return -1;
	event_priority_set(p->wake, LOOP_FIRST);
	return event_add(p->wake, NULL);
}

static void
libevent_said(int severity, const char *msg)
{
	if (severity == EVENT_LOG_DEBUG)
		return;
	log_msg(severity == EVENT_LOG_ERR ? LOG_ERR : LOG_WARNING, NULL,
	    "libevent", "%s", msg);
}

struct loop *
loop_new(void)
{
	struct loop_private *p;

	event_set_log_callback(libevent_said);
	p = calloc(1, sizeof(*p));
	if (p == NULL)
		return NULL;
	p->wakefd = -1;
	LIST_INIT(&p->timers);
	SLIST_INIT(&p->resumes);
	p->pub.readbuf = malloc(READ_BUFFER);
	p->pub.base = event_base_new();
	if (p->pub.readbuf == NULL || p->pub.base == NULL) {
		loop_free(&p->pub);
		errno = ENOMEM;
		return NULL;
	}
	if (event_base_priority_init(p->pub.base, 2) == -1 || wake_open(p) == -1) {
		int e = errno;

		loop_free(&p->pub);
		errno = e != 0 ? e : ENOMEM;
		return NULL;
	}
	p->slept = clock_ms(CLOCK_BOOTTIME) - clock_ms(CLOCK_MONOTONIC);
	return &p->pub;
}

void
loop_defer(struct loop *loop, void (*fn)(void *), void *arg)
{
	struct loop_private *p = private_of(loop);
	struct deferred *grown;
	size_t cap;

	if (p->ndeferred == p->cap) {
		cap = p->cap != 0 ? p->cap * 2 : 64;
		grown = reallocarray(p->deferred, cap, sizeof(*grown));
		if (grown == NULL) {
			/* What is deferred must happen; it can neither be dropped nor done now. */
			log_err(NULL, "memory", "out of memory");
			abort();
		}
		p->deferred = grown;
		p->cap = cap;
	}
	p->deferred[p->ndeferred++] = (struct deferred){ fn, arg };
}

void
loop_undefer(struct loop *loop, void *arg)
{
	struct loop_private *p = private_of(loop);
	size_t i;

	for (i = p->next; i < p->ndeferred; i++)
		if (p->deferred[i].arg == arg)
			p->deferred[i].fn = NULL;
}

/*
 * Does what was deferred, also what that defers in turn.  A suspend comes
 * first, whoever noticed it.
 */
static void
settle(struct loop_private *p)
{
	struct deferred d;

	while (p->suspended || p->next < p->ndeferred) {
		if (p->suspended) {
			resume(p);
			continue;
		}
		d = p->deferred[p->next++];
		if (d.fn != NULL)
			d.fn(d.arg);
	}
	p->next = p->ndeferred = 0;
}

void
loop_run(struct loop *loop)
{
	struct loop_private *p = private_of(loop);

	p->running = true;
	p->now_valid = false;
	settle(p);
	while (!p->stop) {
		p->now_valid = false;
		loop->turn++;
		if (event_base_loop(loop->base, EVLOOP_ONCE) == -1) {
			log_err(NULL, "loop", "the event loop failed");
			break;
		}
		settle(p);
	}
	loop->turn++;
	p->running = false;
	p->stop = false;
}

void
loop_stop(struct loop *loop)
{
	private_of(loop)->stop = true;
}

void
loop_free(struct loop *loop)
{
	struct loop_private *p = private_of(loop);
	struct resume *r;

	if (loop == NULL)
		return;
	settle(p);
	while ((r = SLIST_FIRST(&p->resumes)) != NULL) {
		SLIST_REMOVE_HEAD(&p->resumes, entry);
		free(r);
	}
	if (p->wake != NULL)
		event_free(p->wake);
	if (p->wakefd != -1)
		close(p->wakefd);
	if (loop->base != NULL)
		event_base_free(loop->base);
	if (loop->readbuf != NULL)
		explicit_bzero(loop->readbuf, READ_BUFFER);
	free(loop->readbuf);
	free(p->deferred);
	free(p);
}
