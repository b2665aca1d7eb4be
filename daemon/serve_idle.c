#include "serve_impl.h"

#define LINGER_MS	(2 * SEC)	/* for the client to read the last answer */

/*
 * Two lists, oldest first, and one timer for the oldest: a request costs two
 * list operations and no system call.
 */
static struct {
	struct loop	*loop;
	unsigned	 users;
	struct timer	 timer;
	int64_t		 at;		/* boot ms; 0 = not set */
	int64_t		 shortest;	/* idle_ms of all connections so far */
	struct serve_list idle, linger;
} sweep;

static int64_t
due(const struct serve *s)
{
	return s->since + (s->on == &sweep.linger ? LINGER_MS : s->limits.idle_ms);
}

static void
arm(int64_t at, int64_t now)
{
	if (sweep.at != 0 && sweep.at <= at)
		return;
	sweep.at = at;
	timer_set(&sweep.timer, at - now);
}

static void
rearm(int64_t now)
{
	const struct serve *s;

	if ((s = TAILQ_FIRST(&sweep.linger)) != NULL)
		arm(due(s), now);
	if ((s = TAILQ_FIRST(&sweep.idle)) != NULL)
		arm(MAX(s->since + sweep.shortest, now + sweep.shortest / 16 + 1), now);
}

static void
list(struct serve *s, struct serve_list *on)
{
	int64_t now = loop_now(s->loop).boot;

	serve_idle_end(s);
	s->on = on;
	s->since = now;
	TAILQ_INSERT_TAIL(on, s, entry);
	arm(due(s), now);
}

/* A client that we made wait, or that listens to its answer, is not idle. */
static bool
busy(const struct serve *s)
{
	return s->phase == SERVE_BODY && s->open && (s->paused || s->headed);
}

static void
sweep_idle(int64_t now)
{
	struct serve *s, *next;

	for (s = TAILQ_FIRST(&sweep.idle); s != NULL; s = next) {
		next = TAILQ_NEXT(s, entry);
		if (s->since + sweep.shortest > now)
			break;
		if (due(s) > now)
			continue;
		if (busy(s))
			list(s, &sweep.idle);
		else
			serve_finish(s);
	}
}

static void
sweep_run(_unused_ void *arg)
{
	int64_t now = loop_now(sweep.loop).boot;
	struct serve *s;

	while ((s = TAILQ_FIRST(&sweep.linger)) != NULL && due(s) <= now)
		serve_finish(s);
	sweep_idle(now);
	sweep.at = 0;
	rearm(now);
}

void
serve_idle_join(struct serve *s)
{
	if (sweep.users++ == 0) {
		sweep.loop = s->loop;
		sweep.at = 0;
		sweep.shortest = INT64_MAX;
		TAILQ_INIT(&sweep.idle);
		TAILQ_INIT(&sweep.linger);
		timer_init(&sweep.timer, s->loop, sweep_run, NULL);
	}
	if (s->limits.idle_ms > 0)
		sweep.shortest = MIN(sweep.shortest, s->limits.idle_ms);
}

void
serve_idle_part(struct serve *s)
{
	serve_idle_end(s);
	if (--sweep.users == 0)
		timer_clear(&sweep.timer);
}

void
serve_idle_begin(struct serve *s)
{
	if (s->limits.idle_ms > 0)
		list(s, &sweep.idle);
	else
		serve_idle_end(s);
}

void
serve_linger_begin(struct serve *s)
{
	list(s, &sweep.linger);
}

void
serve_idle_end(struct serve *s)
{
	if (s->on == NULL)
		return;
	TAILQ_REMOVE(s->on, s, entry);
	s->on = NULL;
}
