#include <assert.h>

#include "refresh.h"

/*
 * The grid.  Rows are states, columns events; every cell is written.  GO(next,
 * actions), STAY (nothing to do), NOTE (remember the change until at rest),
 * BUG (the driver must never deliver this here).
 */
#define GO(s, a)	{ REFRESH_CELL_GO, REFRESH_##s, (a) }
#define STAY		{ REFRESH_CELL_STAY, 0, 0 }
#define NOTE		{ REFRESH_CELL_STAY, 0, A_NOTE }
#define BUG		{ REFRESH_CELL_BUG, 0, 0 }

/* The columns of a state that waits for none of these completions. */
#define NO_LOCK		[REFRESH_LOCKED ... REFRESH_LOCK_FAILED] = BUG
#define NO_REREAD	[REFRESH_LOADED ... REFRESH_OTHER_ISSUER] = BUG
#define NO_VERIFY	[REFRESH_VERIFIED ... REFRESH_MISMATCH] = BUG
#define NO_TOKEN	[REFRESH_TOKEN_OK ... REFRESH_TOKEN_UNKNOWN] = BUG
#define NO_SAVE		[REFRESH_SAVED ... REFRESH_SAVED_DRAINING] = BUG

/* The columns of a state in which something runs already: it is joined, and what comes from outside waits. */
#define BUSY						\
	[REFRESH_CHANGED] = NOTE,			\
	[REFRESH_DUE ... REFRESH_REJECTED] = STAY,	\
	[REFRESH_LOGIN ... REFRESH_LOGOUT] = BUG,	\
	[REFRESH_TIMER] = STAY

/* How a transaction ends. */
#define DONE		(A_UNLOCK | A_WAKE | A_GRANT)
#define AGAIN		(A_UNLOCK | A_WAKE | A_TIMER)
#define REFUSE		(A_UNLOCK | A_FAIL)

const struct refresh_cell refresh_grid[REFRESH_STATES][REFRESH_EVENTS] = {
	[REFRESH_VOID] = {
		[REFRESH_CHANGED]	= GO(LOADING, A_REREAD),
		[REFRESH_DUE ... REFRESH_REJECTED] = BUG,
		[REFRESH_LOGIN ... REFRESH_LOGOUT] = BUG,
		[REFRESH_DRAIN]		= STAY,
		[REFRESH_TIMER]		= STAY,
		NO_LOCK, NO_REREAD, NO_VERIFY, NO_TOKEN, NO_SAVE,
	},
	[REFRESH_LOADING] = {
		BUSY,
		[REFRESH_DRAIN]		= STAY,
		NO_LOCK,
		[REFRESH_LOADED]	= GO(IDLE, A_TAKE | A_WAKE),
		[REFRESH_NEWER ... REFRESH_UNCHANGED] = BUG,
		[REFRESH_GONE]		= GO(IDLE, A_DROP | A_WAKE),
		[REFRESH_BAD]		= GO(IDLE, A_WAKE | A_LOUD),
		[REFRESH_OTHER_ISSUER]	= GO(IDLE, A_DROP | A_WAKE | A_LOUD),
		NO_VERIFY, NO_TOKEN, NO_SAVE,
	},
	[REFRESH_IDLE] = {
		[REFRESH_CHANGED]	= GO(LOADING, A_REREAD),
		[REFRESH_DUE]		= GO(LOCKING, A_LOCK),
		[REFRESH_EXPIRED]	= GO(LOCKING, A_LOCK),
		[REFRESH_REJECTED]	= GO(LOCKING, A_LOCK),
		[REFRESH_LOGIN]		= GO(LOGIN_LOCKING, A_LOCK),
		[REFRESH_LOGOUT]	= GO(LOGOUT_LOCKING, A_LOCK),
		[REFRESH_DRAIN]		= GO(IDLE, A_FAIL),
		[REFRESH_TIMER]		= GO(IDLE, A_WAKE),
		NO_LOCK, NO_REREAD, NO_VERIFY, NO_TOKEN, NO_SAVE,
	},
	[REFRESH_LOCKING] = {
		BUSY,
		[REFRESH_DRAIN]		= GO(IDLE, REFUSE),
		[REFRESH_LOCKED]	= GO(REREADING, A_REREAD),
		[REFRESH_LOCK_TIMEOUT]	= GO(IDLE, A_FAIL | A_LOUD),
		[REFRESH_LOCK_FAILED]	= GO(IDLE, A_FAIL | A_TIMER | A_LOUD),
		NO_REREAD, NO_VERIFY, NO_TOKEN, NO_SAVE,
	},
	[REFRESH_REREADING] = {
		BUSY,
		[REFRESH_DRAIN]		= GO(IDLE, REFUSE),
		NO_LOCK,
		[REFRESH_LOADED]	= BUG,
		[REFRESH_NEWER]		= GO(IDLE, A_TAKE | DONE),
		[REFRESH_RENEW]		= GO(INTENDING, A_TAKE | A_INTENT),
		[REFRESH_RENEW_VERIFY]	= GO(VERIFYING, A_TAKE | A_VERIFY),
		[REFRESH_SPENT]		= GO(IDLE, A_TAKE | REFUSE),
		[REFRESH_HELD]		= GO(IDLE, A_TAKE | AGAIN),
		[REFRESH_UNCHANGED]	= BUG,
		[REFRESH_GONE]		= GO(IDLE, A_DROP | REFUSE),
		[REFRESH_BAD]		= GO(IDLE, REFUSE | A_TIMER | A_LOUD),
		[REFRESH_OTHER_ISSUER]	= GO(IDLE, A_DROP | REFUSE | A_LOUD),
		NO_VERIFY, NO_TOKEN, NO_SAVE,
	},
	[REFRESH_VERIFYING] = {
		BUSY,
		[REFRESH_DRAIN]		= GO(IDLE, REFUSE),
		NO_LOCK, NO_REREAD,
		[REFRESH_VERIFIED]	= GO(INTENDING, A_INTENT),
		[REFRESH_MISMATCH]	= GO(IDLE, REFUSE | A_LOUD),
		NO_TOKEN, NO_SAVE,
	},
	[REFRESH_INTENDING] = {
		BUSY,
		[REFRESH_DRAIN]		= STAY,
		NO_LOCK, NO_REREAD, NO_VERIFY, NO_TOKEN,
		[REFRESH_SAVED]		= GO(SENDING, A_SEND),
		[REFRESH_SAVE_FAILED]	= GO(SENDING, A_SEND | A_LOUD),
		[REFRESH_SAVE_FAILED_LIVE] = GO(IDLE, AGAIN | A_LOUD),
		[REFRESH_SAVE_FAILED_DEBT] = BUG,
		[REFRESH_SAVED_DRAINING] = GO(CLEARING, A_CLEAR),
	},
	[REFRESH_SENDING] = {
		BUSY,
		[REFRESH_DRAIN]		= STAY,
		NO_LOCK, NO_REREAD, NO_VERIFY,
		[REFRESH_TOKEN_OK]	= GO(PERSISTING, A_PERSIST),
		[REFRESH_TOKEN_DEAD]	= GO(DOUBTING, A_REREAD),
		[REFRESH_TOKEN_REFUSED]	= GO(CLEARING, A_CLEAR | A_LOUD),
		[REFRESH_TOKEN_STRIKE]	= GO(CLEARING, A_CLEAR),
		[REFRESH_TOKEN_TRANSIENT] = GO(CLEARING, A_CLEAR),
		[REFRESH_TOKEN_UNKNOWN]	= GO(IDLE, AGAIN),
		NO_SAVE,
	},
	[REFRESH_DOUBTING] = {
		BUSY,
		[REFRESH_DRAIN]		= STAY,
		NO_LOCK,
		[REFRESH_LOADED]	= BUG,
		[REFRESH_NEWER]		= GO(IDLE, A_TAKE | DONE),
		[REFRESH_RENEW]		= GO(INTENDING, A_TAKE | A_INTENT),
		[REFRESH_RENEW_VERIFY]	= BUG,
		[REFRESH_SPENT]		= GO(IDLE, A_TAKE | REFUSE),
		[REFRESH_HELD]		= GO(IDLE, A_TAKE | AGAIN),
		[REFRESH_UNCHANGED]	= GO(MARKING, A_MARK | A_LOUD),
		[REFRESH_GONE]		= GO(IDLE, A_DROP | REFUSE),
		[REFRESH_BAD]		= GO(IDLE, REFUSE | A_TIMER | A_LOUD),
		[REFRESH_OTHER_ISSUER]	= GO(IDLE, A_DROP | REFUSE | A_LOUD),
		NO_VERIFY, NO_TOKEN, NO_SAVE,
	},
	[REFRESH_MARKING] = {
		BUSY,
		[REFRESH_DRAIN]		= STAY,
		NO_LOCK, NO_REREAD, NO_VERIFY, NO_TOKEN,
		[REFRESH_SAVED]		= GO(IDLE, REFUSE),
		[REFRESH_SAVE_FAILED]	= GO(IDLE, REFUSE | A_LOUD),
		[REFRESH_SAVE_FAILED_LIVE ... REFRESH_SAVED_DRAINING] = BUG,
	},
	[REFRESH_CLEARING] = {
		BUSY,
		[REFRESH_DRAIN]		= STAY,
		NO_LOCK, NO_REREAD, NO_VERIFY, NO_TOKEN,
		[REFRESH_SAVED]		= GO(IDLE, AGAIN),
		[REFRESH_SAVE_FAILED]	= GO(IDLE, AGAIN | A_LOUD),
		[REFRESH_SAVE_FAILED_LIVE ... REFRESH_SAVED_DRAINING] = BUG,
	},
	[REFRESH_PERSISTING] = {
		BUSY,
		[REFRESH_DRAIN]		= STAY,
		NO_LOCK, NO_REREAD, NO_VERIFY, NO_TOKEN,
		[REFRESH_SAVED]		= GO(IDLE, A_INSTALL | DONE),
		[REFRESH_SAVE_FAILED]	= GO(UNPERSISTED, A_INSTALL | A_WAKE | A_GRANT | A_TIMER | A_LOUD),
		[REFRESH_SAVE_FAILED_LIVE ... REFRESH_SAVED_DRAINING] = BUG,
	},
	[REFRESH_UNPERSISTED] = {
		[REFRESH_CHANGED]	= NOTE,
		[REFRESH_DUE ... REFRESH_REJECTED] = STAY,
		[REFRESH_LOGIN]		= GO(LOGIN_SAVING, A_SAVE_LOGIN),
		[REFRESH_LOGOUT]	= GO(LOGOUT_DELETING, A_DELETE),
		[REFRESH_DRAIN]		= GO(REPERSISTING, A_PERSIST),
		[REFRESH_TIMER]		= GO(REPERSISTING, A_PERSIST),
		NO_LOCK, NO_REREAD, NO_VERIFY, NO_TOKEN, NO_SAVE,
	},
	[REFRESH_REPERSISTING] = {
		BUSY,
		[REFRESH_DRAIN]		= STAY,
		NO_LOCK, NO_REREAD, NO_VERIFY, NO_TOKEN,
		[REFRESH_SAVED]		= GO(IDLE, A_UNLOCK | A_WAKE),
		[REFRESH_SAVE_FAILED]	= GO(UNPERSISTED, A_WAKE | A_TIMER),
		[REFRESH_SAVE_FAILED_LIVE ... REFRESH_SAVED_DRAINING] = BUG,
	},
	[REFRESH_LOGIN_LOCKING] = {
		BUSY,
		[REFRESH_DRAIN]		= STAY,	/* K: its token was sent for */
		[REFRESH_LOCKED]	= GO(LOGIN_SAVING, A_SAVE_LOGIN),
		[REFRESH_LOCK_TIMEOUT]	= GO(IDLE, A_WAKE | A_JOB_FAILED),
		[REFRESH_LOCK_FAILED]	= GO(IDLE, A_WAKE | A_JOB_FAILED),
		NO_REREAD, NO_VERIFY, NO_TOKEN, NO_SAVE,
	},
	[REFRESH_LOGIN_SAVING] = {
		BUSY,
		[REFRESH_DRAIN]		= STAY,
		NO_LOCK, NO_REREAD, NO_VERIFY, NO_TOKEN,
		[REFRESH_SAVED]		= GO(IDLE, A_INSTALL_LOGIN | DONE | A_JOB_OK),
		[REFRESH_SAVE_FAILED]	= GO(IDLE, A_UNLOCK | A_WAKE | A_JOB_FAILED),
		[REFRESH_SAVE_FAILED_LIVE] = BUG,
		[REFRESH_SAVE_FAILED_DEBT] = GO(UNPERSISTED, A_WAKE | A_TIMER | A_JOB_FAILED),
		[REFRESH_SAVED_DRAINING] = BUG,
	},
	[REFRESH_LOGOUT_LOCKING] = {
		BUSY,
		[REFRESH_DRAIN]		= GO(IDLE, A_UNLOCK | A_WAKE | A_JOB_FAILED),
		[REFRESH_LOCKED]	= GO(LOGOUT_DELETING, A_DELETE),
		[REFRESH_LOCK_TIMEOUT]	= GO(IDLE, A_WAKE | A_JOB_FAILED),
		[REFRESH_LOCK_FAILED]	= GO(IDLE, A_WAKE | A_JOB_FAILED),
		NO_REREAD, NO_VERIFY, NO_TOKEN, NO_SAVE,
	},
	[REFRESH_LOGOUT_DELETING] = {
		BUSY,
		[REFRESH_DRAIN]		= STAY,
		NO_LOCK, NO_REREAD, NO_VERIFY, NO_TOKEN,
		[REFRESH_SAVED]		= GO(IDLE, A_DROP | A_UNLOCK | A_WAKE | A_JOB_OK),
		[REFRESH_SAVE_FAILED]	= GO(IDLE, A_UNLOCK | A_WAKE | A_JOB_FAILED),
		[REFRESH_SAVE_FAILED_LIVE] = BUG,
		[REFRESH_SAVE_FAILED_DEBT] = GO(UNPERSISTED, A_WAKE | A_TIMER | A_JOB_FAILED),
		[REFRESH_SAVED_DRAINING] = BUG,
	},
};

/* --- time and back-off --- */

static bool
live(const struct refresh_facts *f, const struct now *now)
{
	return f->access != 0 && f->expires_at > now->wall;
}

/* base doubled n times, at most max. */
static int64_t
doubled(int64_t base, unsigned n, int64_t max)
{
	while (n-- > 0 && base < max)
		base *= 2;
	return MIN(base, max);
}

/* Up to a quarter less, so that many daemons do not knock together. */
static int64_t
jittered(struct refresh *r, int64_t ms)
{
	if (r->jitter == 0)
		return ms;
	r->jitter = r->jitter * 1664525u + 1013904223u;
	return MAX(BACKOFF_MIN, ms - (int64_t)(r->jitter >> 8) % (ms / 4 + 1));
}

static void
back_off(struct refresh *r, enum reason why, int64_t ms, const struct now *now)
{
	r->reason = why;
	r->retry_at = now->boot + ms;
}

static void
back_off_short(struct refresh *r, enum reason why, int64_t at_least, const struct now *now)
{
	int64_t ms = jittered(r, doubled(BACKOFF_MIN, r->fails, BACKOFF_MAX));

	r->fails += r->fails < 16;
	back_off(r, why, MAX(ms, MIN(at_least, HOUR_MS)), now);
}

/* How long after its n-th try an unknown outcome is left alone (D). */
static int64_t
unknown_wait(unsigned tries)
{
	return tries <= 1 ? UNKNOWN_FIRST : doubled(UNKNOWN_NEXT, tries - 2, UNKNOWN_MAX);
}

/* What is left of that wait; a clock that went back does not prolong it. */
static int64_t
unknown_left(const struct refresh_facts *f, const struct now *now)
{
	int64_t wait = unknown_wait(f->tries), gone = now->wall - f->tried_at;

	if (f->tries == 0 || gone < 0)
		return f->tries == 0 ? 0 : wait;
	return gone >= wait ? 0 : wait - gone;
}

int64_t
refresh_due_at(const struct refresh_facts *f)
{
	int64_t before = DUE_BEFORE;

	if (f->access == 0 || f->expires_at == EXPIRES_UNKNOWN)
		return EXPIRES_UNKNOWN;
	if (f->lifetime > 0)
		before = MIN(before, f->lifetime / DUE_FRACTION);
	return f->expires_at - before;
}

/* --- the step --- */

/* What is remembered of the old credential's troubles does not concern a new token. */
static void
forget_troubles(struct refresh *r)
{
	r->fails = r->refusals = r->strikes = 0;
	r->retry_at = 0;
	r->reason = REASON_NONE;
	r->mismatch = false;
}

static void
change_access(struct refresh *r, const struct refresh_facts *f, bool fresh)
{
	if (f->access != r->cur.access) {
		r->generation++;
		r->was_proven = r->proven;
		r->proven = false;
		r->fresh = fresh;
		r->helped = false;
		r->suspect = 0;
	}
	r->cur = *f;
}

static void
take(struct refresh *r)
{
	if (r->stored.access != r->cur.access || r->stored.renewal != r->cur.renewal)
		forget_troubles(r);
	r->unreadable = false;
	change_access(r, &r->stored, false);
}

static void
apply(struct refresh *r, unsigned actions, const struct now *now)
{
	if (actions & A_TAKE)
		take(r);
	if (actions & A_INSTALL) {
		forget_troubles(r);
		change_access(r, &r->minted, true);
	}
	if (actions & A_INSTALL_LOGIN) {
		change_access(r, &r->login, false);
		r->was_proven = false;
		refresh_forgive(r);
	}
	if (actions & A_DROP) {
		memset(&r->cur, 0, sizeof(r->cur));
		r->proven = r->fresh = r->unreadable = false;
	}
	if (actions & A_INTENT) {
		r->cur.tries++;
		r->cur.tried_at = now->wall;
	}
	if (actions & A_CLEAR && r->cur.tries > 0)
		r->cur.tries--;
	if (actions & A_MARK) {
		r->cur.renewable = false;
		r->cur.tries = 0;
	}
	if (actions & A_NOTE)
		r->noted = true;
}

/* Why those who wait will be refused, and for how long nothing is tried; chosen by what happened, once, on the way. */
static void
judge(struct refresh *r, enum refresh_event ev, const struct now *now)
{
	switch (ev) {
	case REFRESH_LOCK_TIMEOUT:
		if (r->state == REFRESH_LOCKING)
			back_off(r, REASON_LOCK_TIMEOUT, 0, now);
		break;
	case REFRESH_LOCK_FAILED:
		if (r->state == REFRESH_LOCKING)
			back_off_short(r, REASON_STORE, 0, now);
		break;
	case REFRESH_SAVE_FAILED_LIVE:
		back_off_short(r, REASON_STORE, 0, now);
		break;
	case REFRESH_BAD:
		r->unreadable = true;
		if (r->state != REFRESH_LOADING)
			back_off_short(r, REASON_STORE, 0, now);
		break;
	case REFRESH_SPENT:
	case REFRESH_GONE:
	case REFRESH_OTHER_ISSUER:
	case REFRESH_UNCHANGED:
		r->reason = REASON_LOGIN_REQUIRED;
		break;
	case REFRESH_MISMATCH:
		r->reason = REASON_LOGIN_REQUIRED;
		r->mismatch = true;
		break;
	case REFRESH_VERIFIED:
		r->mismatch = false;
		break;
	case REFRESH_DRAIN:
		r->draining = true;
		r->reason = REASON_DRAINING;
		break;
	case REFRESH_REJECTED:
	case REFRESH_EXPIRED:
	case REFRESH_DUE:
		if (r->state == REFRESH_IDLE)
			r->after_401 = ev == REFRESH_REJECTED;
		break;
	case REFRESH_TIMER:
		if (r->state == REFRESH_IDLE)
			r->retry_at = 0;
		break;
	case REFRESH_SAVE_FAILED:
	case REFRESH_SAVE_FAILED_DEBT:
		if (r->state == REFRESH_PERSISTING || r->unpersisted) {
			r->unpersisted = true;
			back_off_short(r, REASON_STORE, 0, now);
		}
		break;
	case REFRESH_SAVED:
		if (r->state == REFRESH_REPERSISTING)
			forget_troubles(r);
		if (r->state != REFRESH_INTENDING)
			r->unpersisted = false;
		break;
	case REFRESH_CHANGED:
	case REFRESH_LOGIN:
	case REFRESH_LOGOUT:
	case REFRESH_LOCKED:
	case REFRESH_LOADED:
	case REFRESH_NEWER:
	case REFRESH_RENEW:
	case REFRESH_RENEW_VERIFY:
	case REFRESH_HELD:
	case REFRESH_TOKEN_OK:
	case REFRESH_TOKEN_DEAD:
	case REFRESH_TOKEN_REFUSED:
	case REFRESH_TOKEN_STRIKE:
	case REFRESH_TOKEN_TRANSIENT:
	case REFRESH_TOKEN_UNKNOWN:
	case REFRESH_SAVED_DRAINING:
	case REFRESH_EVENTS:
		break;
	}
}

int
refresh_step(struct refresh *r, enum refresh_event ev, const struct now *now,
    struct refresh_out *ret)
{
	const struct refresh_cell *c;

	assert((unsigned)r->state < REFRESH_STATES && (unsigned)ev < REFRESH_EVENTS);
	c = &r->grid[r->state][ev];
	if (c->kind != REFRESH_CELL_GO && c->kind != REFRESH_CELL_STAY)
		return -EPROTO;
	*ret = (struct refresh_out){ .actions = c->actions, .from = r->state };
	/* Taking a new record first: what went wrong is then said of it. */
	apply(r, c->actions, now);
	judge(r, ev, now);
	if (ev == REFRESH_HELD)
		back_off(r, REASON_UPSTREAM_UNREACHABLE, unknown_left(&r->cur, now), now);
	if (ev == REFRESH_TOKEN_UNKNOWN)
		back_off(r, REASON_UPSTREAM_UNREACHABLE, unknown_wait(r->cur.tries), now);
	if (c->kind == REFRESH_CELL_GO)
		r->state = c->next;
	if (c->actions & A_TIMER)
		ret->timer = MAX(0, r->retry_at - now->boot);
	return 0;
}

void
refresh_init(struct refresh *r, uint32_t jitter_seed)
{
	memset(r, 0, sizeof(*r));
	r->jitter = jitter_seed;
	r->grid = refresh_grid;
}

bool
refresh_at_rest(const struct refresh *r)
{
	return r->state == REFRESH_IDLE || r->state == REFRESH_UNPERSISTED;
}

bool
refresh_noted(struct refresh *r)
{
	if (!r->noted || r->state != REFRESH_IDLE)
		return false;
	r->noted = false;
	return true;
}

void
refresh_forgive(struct refresh *r)
{
	forget_troubles(r);
	r->reject_until = r->reject_delay = 0;
	r->breaker_until = r->breaker_delay = 0;
	r->probing = r->unreadable = false;
	r->suspect = 0;
}

/* --- classifiers --- */

/* C3 to C6 under the lock.  The token that was rejected or is due is the one in memory. */
static enum refresh_event
saw_under_lock(const struct refresh *r, const struct now *now)
{
	const struct refresh_facts *s = &r->stored;

	/* A static bearer may be the same one with a new lifetime. */
	if (live(s, now) && (s->access != r->cur.access || (r->rereads && !r->after_401)))
		return REFRESH_NEWER;
	if (!s->renewable)
		return REFRESH_SPENT;
	if (unknown_left(s, now) > 0)
		return REFRESH_HELD;
	return r->after_401 || r->mismatch ? REFRESH_RENEW_VERIFY : REFRESH_RENEW;
}

/* D, invalid_grant: the lock is ours, so only somebody outside the rules can have written. */
static enum refresh_event
saw_in_doubt(const struct refresh *r, const struct now *now)
{
	const struct refresh_facts *s = &r->stored;

	if (s->access != r->cur.access && live(s, now))
		return REFRESH_NEWER;
	if (s->renewal == r->cur.renewal)
		return REFRESH_UNCHANGED;
	if (!s->renewable)
		return REFRESH_SPENT;
	return unknown_left(s, now) > 0 ? REFRESH_HELD : REFRESH_RENEW;
}

/* No refresh token is spent, so no intent is in the store: what was tried is known here alone. */
static void
keep_tries(struct refresh *r)
{
	if (!r->renews_itself || r->stored.access != r->cur.access)
		return;
	r->stored.tries = r->cur.tries;
	r->stored.tried_at = r->cur.tried_at;
}

enum refresh_event
refresh_saw_stored(struct refresh *r, enum refresh_stored what,
    const struct refresh_facts *facts, const struct now *now)
{
	static const struct refresh_facts nothing_yet = { .renewable = true };

	switch (what) {
	case REFRESH_ABSENT:
		if (!r->renews_itself)
			return REFRESH_GONE;
		facts = &nothing_yet;
		break;
	case REFRESH_UNREADABLE:
		return REFRESH_BAD;
	case REFRESH_FOUND:
		break;
	}
	if (facts->foreign)
		return REFRESH_OTHER_ISSUER;
	r->stored = *facts;
	keep_tries(r);
	if (r->state == REFRESH_LOADING)
		return REFRESH_LOADED;
	return r->state == REFRESH_DOUBTING ? saw_in_doubt(r, now) : saw_under_lock(r, now);
}

enum refresh_event
refresh_saw_token(struct refresh *r, enum token_class class,
    const struct refresh_facts *facts, int64_t retry_after, const struct now *now)
{
	if (class != TOKEN_STRIKE)
		r->strikes = 0;
	else if (++r->strikes >= STRIKES)
		class = TOKEN_DEAD;
	/* Nothing of ours is dead: the secret, the key or the assertion is wrong. */
	if (class == TOKEN_DEAD && r->renews_itself)
		class = TOKEN_REFUSED;
	switch (class) {
	case TOKEN_OK:
		r->minted = *facts;
		return REFRESH_TOKEN_OK;
	case TOKEN_DEAD:
		return REFRESH_TOKEN_DEAD;
	case TOKEN_REFUSED:
		back_off(r, REASON_LOGIN_REQUIRED,
		    doubled(MIN_MS, r->refusals, CONFIG_BACKOFF), now);
		r->refusals += r->refusals < 16;
		return REFRESH_TOKEN_REFUSED;
	case TOKEN_STRIKE:
		back_off_short(r, REASON_UPSTREAM_UNREACHABLE, 0, now);
		return REFRESH_TOKEN_STRIKE;
	case TOKEN_TRANSIENT:
		back_off_short(r, REASON_UPSTREAM_UNREACHABLE, retry_after, now);
		return REFRESH_TOKEN_TRANSIENT;
	case TOKEN_UNKNOWN:
		break;
	}
	return REFRESH_TOKEN_UNKNOWN;
}

enum refresh_event
refresh_saw_saved(const struct refresh *r, bool ok, const struct now *now)
{
	bool job = r->state == REFRESH_LOGIN_SAVING || r->state == REFRESH_LOGOUT_DELETING;

	if (r->state == REFRESH_INTENDING) {
		if (r->draining)
			return REFRESH_SAVED_DRAINING;
		if (!ok && live(&r->cur, now) && !r->after_401)
			return REFRESH_SAVE_FAILED_LIVE;
	}
	if (ok)
		return REFRESH_SAVED;
	return job && r->unpersisted ? REFRESH_SAVE_FAILED_DEBT : REFRESH_SAVE_FAILED;
}

/* --- exchanges --- */

static bool
refuse(struct failure *ret, enum reason why, int64_t retry_ms)
{
	*ret = (struct failure){ .reason = why, .retry_ms = MAX(0, retry_ms) };
	return false;
}

bool
refresh_login_required(const struct refresh *r, const struct now *now)
{
	return (r->cur.access == 0 || !r->cur.renewable || r->mismatch) && !r->renews_itself &&
	    !live(&r->cur, now) && !r->unreadable &&
	    r->state != REFRESH_VOID && r->state != REFRESH_LOADING;
}

static bool
breaker_holds(const struct refresh *r, const struct now *now)
{
	return r->breaker_delay != 0 && r->breaker_until > now->boot;
}

/* The needed renewal cannot run now: is its next try near enough to wait for? */
static enum refresh_verdict
ask_later(const struct refresh *r, const struct now *now, struct failure *ret)
{
	int64_t left = r->retry_at - now->boot;

	if (left <= WAIT_WORTH)
		return REFRESH_WAIT;
	refuse(ret, r->reason, left);
	return REFRESH_FAIL;
}

/* What is in memory will not do. */
static enum refresh_verdict
ask_renewal(const struct refresh *r, uint64_t after, const struct now *now,
    enum refresh_event *ret_event, struct failure *ret)
{
	bool rejected = after != 0 && after == r->generation;

	if (r->state == REFRESH_UNPERSISTED)
		return ask_later(r, now, ret);
	if (r->state != REFRESH_IDLE)
		return REFRESH_WAIT;
	if (r->draining)
		refuse(ret, REASON_DRAINING, 0);
	else if (r->retry_at > now->boot)
		return ask_later(r, now, ret);
	else if (!r->unreadable && !r->rereads && !r->renews_itself &&
	    (r->cur.access == 0 || (!r->cur.renewable && !rejected)))
		refuse(ret, REASON_LOGIN_REQUIRED, 0);
	else {
		*ret_event = rejected ? REFRESH_REJECTED : REFRESH_EXPIRED;
		return REFRESH_WAIT;
	}
	return REFRESH_FAIL;
}

enum refresh_verdict
refresh_ask(const struct refresh *r, uint64_t after, bool granted, const struct now *now,
    enum refresh_event *ret_event, struct failure *ret)
{
	bool have = r->cur.access != 0 && r->generation > after;
	bool busy = !refresh_at_rest(r);

	*ret_event = REFRESH_EVENTS;
	if (r->state == REFRESH_VOID || r->state == REFRESH_LOADING)
		return REFRESH_WAIT;
	if (breaker_holds(r, now)) {
		refuse(ret, REASON_BEARER_REJECTED, r->breaker_until - now->boot);
		return REFRESH_FAIL;
	}
	/*
	 * Rejected and being renewed: sending it would only earn another 401,
	 * unless others were answered with it (E3: then it may be the tool).
	 */
	if (busy && r->after_401 && r->state <= REFRESH_PERSISTING && !r->proven && !granted)
		return REFRESH_WAIT;
	if (!have || (!live(&r->cur, now) && !granted))
		return ask_renewal(r, after, now, ret_event, ret);
	if (r->state == REFRESH_IDLE && !r->draining && r->cur.renewable &&
	    now->wall >= refresh_due_at(&r->cur) && r->retry_at <= now->boot &&
	    r->breaker_delay == 0)
		*ret_event = REFRESH_DUE;
	return REFRESH_GO;
}

void
refresh_went(struct refresh *r, const struct now *now)
{
	if (r->breaker_delay == 0)
		return;
	/* The probe.  Should it never be answered, the next one may go a while later. */
	r->probing = true;
	r->breaker_until = now->boot + BREAKER_MIN;
}

void
refresh_answered(struct refresh *r, uint64_t generation, bool retry)
{
	r->breaker_delay = r->breaker_until = 0;
	r->probing = false;
	if (generation != r->generation)
		return;
	r->proven = true;
	r->suspect = 0;
	if (retry) {
		r->helped = true;
		r->reject_until = r->reject_delay = 0;
	}
}

static void
back_off_rejects(struct refresh *r, const struct now *now)
{
	if (r->reject_until > now->boot)
		return;
	r->reject_delay = r->reject_delay == 0 ? REJECT_MIN : MIN(2 * r->reject_delay, REJECT_MAX);
	r->reject_until = now->boot + r->reject_delay;
}

/*
 * E5.  When the predecessor was proven, the first exchange to see the fresh
 * token rejected may be the one tool that rejects every token, and it must
 * not lock out the others (E3): it only raises the suspicion, and the breaker
 * opens with the next 401, whoever meets it.
 */
static void
open_breaker(struct refresh *r, bool retry, const struct now *now)
{
	if (breaker_holds(r, now) && !r->probing)
		return;
	if (r->breaker_delay == 0 && r->was_proven && retry && r->suspect != r->generation) {
		r->suspect = r->generation;
		back_off_rejects(r, now);
		return;
	}
	r->breaker_delay = r->breaker_delay == 0 ? BREAKER_MIN :
	    MIN(2 * r->breaker_delay, BREAKER_MAX);
	r->breaker_until = now->boot + r->breaker_delay;
	r->probing = false;
}

bool
refresh_rejected(struct refresh *r, uint64_t generation, bool retry, const struct now *now,
    struct failure *ret)
{
	if (generation < r->generation && !retry)
		return true;				/* E1 */
	if (generation == r->generation && !r->proven && (r->fresh || r->breaker_delay != 0)) {
		open_breaker(r, retry, now);
		return refuse(ret, REASON_BEARER_REJECTED, r->breaker_until - now->boot);
	}
	if (retry) {
		if (generation == r->generation && r->fresh && !r->helped)
			back_off_rejects(r, now);
		return refuse(ret, REASON_BEARER_REJECTED, 0);
	}
	if (r->reject_until > now->boot && refresh_at_rest(r))
		return refuse(ret, REASON_BEARER_REJECTED, r->reject_until - now->boot);
	return true;
}

/* --- names --- */

#define NAME(x)	[REFRESH_##x] = #x

static const char *const state_names[] = {
	NAME(VOID), NAME(LOADING), NAME(IDLE), NAME(LOCKING), NAME(REREADING),
	NAME(VERIFYING), NAME(INTENDING), NAME(SENDING), NAME(DOUBTING),
	NAME(MARKING), NAME(CLEARING), NAME(PERSISTING), NAME(UNPERSISTED),
	NAME(REPERSISTING), NAME(LOGIN_LOCKING), NAME(LOGIN_SAVING),
	NAME(LOGOUT_LOCKING), NAME(LOGOUT_DELETING),
};
static_assert(nitems(state_names) == REFRESH_STATES, "a name for each state");

static const char *const event_names[] = {
	NAME(CHANGED), NAME(DUE), NAME(EXPIRED), NAME(REJECTED), NAME(LOGIN),
	NAME(LOGOUT), NAME(DRAIN), NAME(TIMER), NAME(LOCKED),
	NAME(LOCK_TIMEOUT), NAME(LOCK_FAILED), NAME(LOADED), NAME(NEWER), NAME(RENEW),
	NAME(RENEW_VERIFY), NAME(SPENT), NAME(HELD), NAME(UNCHANGED), NAME(GONE),
	NAME(BAD), NAME(OTHER_ISSUER), NAME(VERIFIED), NAME(MISMATCH), NAME(TOKEN_OK),
	NAME(TOKEN_DEAD), NAME(TOKEN_REFUSED), NAME(TOKEN_STRIKE),
	NAME(TOKEN_TRANSIENT), NAME(TOKEN_UNKNOWN), NAME(SAVED), NAME(SAVE_FAILED),
	NAME(SAVE_FAILED_LIVE), NAME(SAVE_FAILED_DEBT), NAME(SAVED_DRAINING),
};
static_assert(nitems(event_names) == REFRESH_EVENTS, "a name for each event");

const char *
refresh_state_name(enum refresh_state s)
{
	return (unsigned)s < REFRESH_STATES ? state_names[s] : "?";
}

const char *
refresh_event_name(enum refresh_event e)
{
	return (unsigned)e < REFRESH_EVENTS ? event_names[e] : "?";
}
