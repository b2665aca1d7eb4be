#include <stdio.h>

#include "credential_impl.h"

enum { NOT_QUEUED, WAITING, WOKEN, HELD };	/* auth_waiter.queued */

void
credential_explain(const struct credential *c, struct failure *f)
{
	/* c->why is made of our own words, but may name paths: log and status only. */
	const char *words = "";

	if (c->bearer != NULL && f->reason == REASON_LOGIN_REQUIRED)
		f->reason = REASON_BEARER_REJECTED;	/* A4: nobody can log in to it */
	if (c->bearer != NULL && f->reason == REASON_STORE)
		words = "the configured bearer cannot be read";

	if (f->reason == REASON_UPSTREAM_UNREACHABLE)
		words = "the authorization server did not answer properly";
	else if (f->reason == REASON_LOGIN_REQUIRED && c->machine.refusals > 0)
		words = "the authorization server refuses this client's configuration: mend the config";
	else if (f->reason == REASON_BEARER_REJECTED && c->machine.breaker_delay != 0)
		words = "a fresh token was rejected; trying again soon";
	f->unattended = f->reason == REASON_LOGIN_REQUIRED && c->machine.renews_itself;
	snprintf(f->detail, sizeof(f->detail), "%s", words);
}

/* --- the lists --- */

void
credential_park(struct credential *c, struct auth_waiter *w)
{
	w->queued = WAITING;
	w->failed = false;
	TAILQ_INSERT_TAIL(&c->waiting, w, entry);
}

void
credential_unpark(struct credential *c, struct auth_waiter *w)
{
	if (w->queued == WAITING)
		TAILQ_REMOVE(&c->waiting, w, entry);
	else if (w->queued == WOKEN)
		TAILQ_REMOVE(&c->woken, w, entry);
	else if (w->queued == HELD) {
		TAILQ_REMOVE(&c->held, w, entry);
		c->nheld--;
	}
	w->queued = NOT_QUEUED;
}

static void
wake_all(void *arg)
{
	struct credential *c = arg;
	struct auth_waiter *w;

	while ((w = TAILQ_FIRST(&c->woken)) != NULL) {
		credential_unpark(c, w);
		w->wake(w->arg);
	}
}

/* To be told at the end of the turn; why == REASON_NONE: to ask again. */
static void
wake(struct credential *c, struct auth_waiter *w, enum reason why)
{
	credential_unpark(c, w);
	TAILQ_INSERT_TAIL(&c->woken, w, entry);
	w->queued = WOKEN;
	w->failed = why != REASON_NONE;
	if (w->failed) {
		w->failure = (struct failure){ .reason = why };
		credential_explain(c, &w->failure);
	}
	loop_defer(c->loop, wake_all, c);
}

void
credential_rewake(struct credential *c)
{
	c->need_due = false;
	if (!TAILQ_EMPTY(&c->woken))
		loop_defer(c->loop, wake_all, c);
}

void
credential_release_waiters(struct credential *c, unsigned actions)
{
	struct auth_waiter *w, *next;

	if (!(actions & (A_WAKE | A_FAIL)))
		return;
	for (w = TAILQ_FIRST(&c->waiting); w != NULL; w = next) {
		next = TAILQ_NEXT(w, entry);
		w->granted |= (actions & A_GRANT) != 0;	/* kept while the store is reread once more */
		credential_unpark(c, w);
		w->failure = (struct failure){ .reason = c->machine.reason };
		if (!(actions & A_FAIL))
			wake(c, w, REASON_NONE);
		else if (!credential_hold(c, w))
			wake(c, w, c->machine.reason);
	}
	while (actions & A_WAKE && (w = TAILQ_FIRST(&c->held)) != NULL) {
		w->granted |= (actions & A_GRANT) != 0;
		wake(c, w, REASON_NONE);
	}
}

/* --- the need for a login --- */

static void
say_need(void *arg)
{
	struct credential *c = arg;

	c->need_due = false;
	if (c->need != NULL)
		c->need(c->need_arg);
}

void
credential_need(struct credential *c)
{
	if (c->need == NULL || c->need_due || c->machine.draining)
		return;
	c->need_due = true;
	loop_defer(c->loop, say_need, c);
}

void
credential_on_need(struct credential *c, void (*need)(void *), void *arg)
{
	c->need = need;
	c->need_arg = arg;
}

/* --- held for a login (H6) --- */

static void
arm_held(struct credential *c)
{
	int64_t first = INT64_MAX;
	struct auth_waiter *w;

	TAILQ_FOREACH(w, &c->held, entry)
		first = MIN(first, w->held_until);
	if (first == INT64_MAX)
		timer_clear(&c->held_until);
	else
		timer_set(&c->held_until, first - loop_now(c->loop).boot);
}

void
credential_held_too_long(void *arg)
{
	struct credential *c = arg;
	struct auth_waiter *w, *next;
	int64_t now = loop_now(c->loop).boot;

	for (w = TAILQ_FIRST(&c->held); w != NULL; w = next) {
		next = TAILQ_NEXT(w, entry);
		if (w->held_until <= now)
			wake(c, w, REASON_LOGIN_REQUIRED);
	}
	arm_held(c);
}

/* The time is the exchange's: who is held a second time has what is left of the first. */
static bool
may_be_held(struct credential *c, struct auth_waiter *w)
{
	int64_t now = loop_now(c->loop).boot;

	if (!c->login_runs || c->login_wait <= 0 || c->nheld >= LOGIN_HELD || c->machine.draining)
		return false;
	if (w->held_until == 0)
		w->held_until = now + c->login_wait;
	return w->held_until > now;
}

bool
credential_hold(struct credential *c, struct auth_waiter *w)
{
	if (w->failure.reason != REASON_LOGIN_REQUIRED || !w->may_hold || c->bearer != NULL ||
	    c->machine.renews_itself)
		return false;			/* nobody can log in to those two */
	/* At once and not by credential_need(): whose need begins the flow waits for it, too. */
	if (!c->login_runs && c->need != NULL && !c->machine.draining)
		c->need(c->need_arg);
	if (!may_be_held(c, w))
		return false;
	w->queued = HELD;
	w->failed = false;
	TAILQ_INSERT_TAIL(&c->held, w, entry);
	c->nheld++;
	arm_held(c);
	return true;
}

void
credential_fail_held(struct credential *c, enum reason why)
{
	struct auth_waiter *w;

	while ((w = TAILQ_FIRST(&c->held)) != NULL)
		wake(c, w, why);
	timer_clear(&c->held_until);
}

void
credential_login_runs(struct credential *c, bool runs, int64_t wait)
{
	c->login_runs = runs;
	c->login_wait = wait;
	if (!runs)
		credential_fail_held(c, REASON_LOGIN_REQUIRED);
}

/* --- what the upstream asked for --- */

const struct challenge *
credential_challenge(const struct credential *c)
{
	return c->challenge.bearer ? &c->challenge : NULL;
}

void
credential_drop_challenge(struct credential *c)
{
	challenge_free(&c->challenge);
	c->challenge = (struct challenge){ 0 };
}

static bool
is_step_up(const struct challenge *ch)
{
	return ch->error != NULL && strcmp(ch->error, "insufficient_scope") == 0;
}

static void
replace(char **text, const char *with)
{
	free(*text);
	*text = with != NULL ? strdup(with) : NULL;
	if (with != NULL && *text == NULL)
		abort();	/* CHALLENGE_BYTES at most */
}

/*
 * The newer one counts; but a 401 says nothing of the scope that an earlier
 * 403 asked for, which stays until there is a login (A11).
 */
void
auth_challenged(struct credential *c, int status, const struct challenge *ch)
{
	bool step_up = status == 403 && is_step_up(ch);

	if (c == NULL || c->bearer != NULL || !ch->bearer || (status == 403 && !step_up))
		return;
	if (step_up || !is_step_up(&c->challenge)) {
		replace(&c->challenge.error, ch->error);
		replace(&c->challenge.scope, ch->scope);
	}
	if (ch->resource_metadata != NULL || !c->challenge.bearer)
		replace(&c->challenge.resource_metadata, ch->resource_metadata);
	c->challenge.bearer = true;
	if (step_up)
		credential_need(c);
}
