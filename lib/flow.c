#include "flow.h"

/* A scope of no step-up is never counted, so never enough. */
static bool
stepped_enough(const struct flow *f, uint64_t challenged)
{
	return challenged != 0 && challenged == f->challenged && f->authorizations >= STEP_UPS;
}

/* The first step-up after a login that was needed, too, follows from it: that is no repetition. */
static bool
follows(const struct flow *f, uint64_t challenged)
{
	return challenged != 0 && challenged != f->challenged && f->done_at != 0 && !f->in_vain;
}

enum flow_verdict
flow_ask(const struct flow *f, enum flow_by by, enum flow_kind kind, uint64_t challenged,
    const struct now *now)
{
	if (f->stopping)
		return FLOW_STOPPING;
	if (f->runs)
		return by == FLOW_NEED || kind == f->kind ? FLOW_JOIN : FLOW_BUSY;
	if (by == FLOW_PERSON)
		return FLOW_BEGIN;	/* a person may always try again */
	if (stepped_enough(f, challenged))
		return FLOW_ENOUGH;
	return now->boot < f->retry_at && !follows(f, challenged) ? FLOW_LATER : FLOW_BEGIN;
}

void
flow_begin(struct flow *f, enum flow_by by, enum flow_kind kind, const struct now *now)
{
	f->in_vain = f->done_at != 0 && now->boot - f->done_at <= 2 * f->delay;
	f->runs = true;
	f->by = by;
	f->kind = kind;
	f->watchers = 0;
	f->ends_at = now->boot + LOGIN_LIMIT;
}

void
flow_authorizes(struct flow *f, uint64_t challenged)
{
	if (challenged == 0)
		return;
	if (challenged != f->challenged) {
		f->challenged = challenged;
		f->authorizations = 0;
	}
	f->authorizations++;
}

void
flow_watch(struct flow *f)
{
	f->watchers++;
}

bool
flow_unwatch(struct flow *f)
{
	f->watchers--;
	return f->runs && f->watchers == 0 && f->by == FLOW_PERSON;
}

int64_t
flow_left(const struct flow *f, const struct now *now)
{
	return f->runs ? MAX(f->ends_at - now->boot, 0) : 0;
}

/* Doubling, where the latest back-off was not enough. */
static void
back_off(struct flow *f, bool longer)
{
	f->delay = longer && f->delay != 0 ? MIN(f->delay * 2, LOGIN_RETRY_MAX) : LOGIN_RETRY;
}

void
flow_end(struct flow *f, enum flow_end end, const struct now *now)
{
	bool need = f->by == FLOW_NEED, done = end == FLOW_DONE;

	f->runs = false;
	f->watchers = 0;
	f->done_at = need && done ? now->boot : 0;
	if (need)
		back_off(f, !done || f->in_vain);
	else if (done)
		f->retry_at = f->delay = 0;
	if (need || !done)
		f->retry_at = MAX(f->retry_at, now->boot + (need ? f->delay : LOGIN_RETRY));
}

void
flow_forgive(struct flow *f)
{
	f->retry_at = f->delay = f->done_at = 0;
	f->challenged = 0;
	f->authorizations = 0;
}
