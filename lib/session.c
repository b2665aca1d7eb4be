#include <assert.h>

#include "session.h"

#define GO(state, act)	{ SESSION_CELL_GO, SESSION_##state, (act) }
#define BUG		{ SESSION_CELL_BUG, 0, 0 }

/* The epoch grows with the answer to our initialize: in STARTING nothing newer is there yet. */
const struct session_cell session_grid[SESSION_STATES][SESSION_EVENTS] = {
	[SESSION_NONE] = {
		[SESSION_INITIALIZED]	= GO(OPEN, 0),
		[SESSION_LOST]		= BUG,
		[SESSION_LOST_BEFORE]	= BUG,
		[SESSION_SAME]		= BUG,
		[SESSION_OTHER]		= BUG,
		[SESSION_REFUSED]	= BUG,
		[SESSION_CONFIRMED]	= BUG,
		[SESSION_WANTED]	= BUG,
	},
	[SESSION_OPEN] = {
		[SESSION_INITIALIZED]	= GO(OPEN, 0),
		[SESSION_LOST]		= GO(STARTING, SESSION_DO_INITIALIZE | SESSION_DO_JOIN),
		[SESSION_LOST_BEFORE]	= GO(OPEN, SESSION_DO_RESEND),
		[SESSION_SAME]		= BUG,
		[SESSION_OTHER]		= BUG,
		[SESSION_REFUSED]	= BUG,
		[SESSION_CONFIRMED]	= BUG,
		[SESSION_WANTED]	= BUG,
	},
	[SESSION_STARTING] = {
		[SESSION_INITIALIZED]	= BUG,
		[SESSION_LOST]		= GO(STARTING, SESSION_DO_JOIN),
		[SESSION_LOST_BEFORE]	= GO(STARTING, SESSION_DO_JOIN),
		[SESSION_SAME]		= GO(CONFIRMING, SESSION_DO_CONFIRM),
		[SESSION_OTHER]		= GO(BROKEN, SESSION_DO_CLOSE),
		[SESSION_REFUSED]	= GO(ABSENT, SESSION_DO_FAIL | SESSION_DO_BACKOFF),
		[SESSION_CONFIRMED]	= BUG,
		[SESSION_WANTED]	= GO(STARTING, SESSION_DO_JOIN),
	},
	/* Whoever finds the new session lost before it is confirmed has no right to a third. */
	[SESSION_CONFIRMING] = {
		[SESSION_INITIALIZED]	= BUG,
		[SESSION_LOST]		= GO(ABSENT, SESSION_DO_FAIL | SESSION_DO_BACKOFF),
		[SESSION_LOST_BEFORE]	= GO(CONFIRMING, SESSION_DO_JOIN),
		[SESSION_SAME]		= BUG,
		[SESSION_OTHER]		= BUG,
		[SESSION_REFUSED]	= GO(ABSENT, SESSION_DO_FAIL | SESSION_DO_BACKOFF),
		[SESSION_CONFIRMED]	= GO(OPEN, SESSION_DO_RESEND_ALL | SESSION_DO_CHANGED),
		[SESSION_WANTED]	= GO(CONFIRMING, SESSION_DO_JOIN),
	},
	/* Who hears of the loss only now was sent before it was known: it fails as the others did. */
	[SESSION_ABSENT] = {
		[SESSION_INITIALIZED]	= GO(OPEN, 0),
		[SESSION_LOST]		= GO(ABSENT, SESSION_DO_FAIL),
		[SESSION_LOST_BEFORE]	= GO(ABSENT, SESSION_DO_FAIL),
		[SESSION_SAME]		= BUG,
		[SESSION_OTHER]		= BUG,
		[SESSION_REFUSED]	= BUG,
		[SESSION_CONFIRMED]	= BUG,
		[SESSION_WANTED]	= GO(STARTING, SESSION_DO_INITIALIZE | SESSION_DO_JOIN),
	},
	/* Stragglers of a connection that is being closed. */
	[SESSION_BROKEN] = {
		[SESSION_INITIALIZED]	= GO(BROKEN, SESSION_DO_CLOSE),
		[SESSION_LOST]		= GO(BROKEN, SESSION_DO_CLOSE),
		[SESSION_LOST_BEFORE]	= GO(BROKEN, SESSION_DO_CLOSE),
		[SESSION_SAME]		= GO(BROKEN, SESSION_DO_CLOSE),
		[SESSION_OTHER]		= GO(BROKEN, SESSION_DO_CLOSE),
		[SESSION_REFUSED]	= GO(BROKEN, SESSION_DO_CLOSE),
		[SESSION_CONFIRMED]	= GO(BROKEN, SESSION_DO_CLOSE),
		[SESSION_WANTED]	= GO(BROKEN, SESSION_DO_CLOSE),
	},
};
static_assert(nitems(session_grid) == SESSION_STATES, "a row for each state");

int
session_step(struct session *s, enum session_event event, unsigned *ret_actions)
{
	const struct session_cell *cell;

	assert(s->state < SESSION_STATES && event < SESSION_EVENTS);
	cell = &session_grid[s->state][event];
	if (cell->kind != SESSION_CELL_GO)
		return -EPROTO;
	if (s->state == SESSION_STARTING && cell->next == SESSION_CONFIRMING)
		s->epoch++;
	s->state = cell->next;
	*ret_actions = cell->actions;
	return 0;
}

int
session_opened(struct session *s, struct slice version, unsigned capabilities)
{
	if (version.n >= sizeof(s->version))
		return -EINVAL;
	memcpy(s->version, version.p, version.n);
	s->version[version.n] = '\0';
	s->capabilities = capabilities;
	s->epoch++;
	return 0;
}

bool
session_is_lost(int status, struct slice message)
{
	static const char word[] = "session";

	if (status == 404)
		return true;
	if ((status != 400 && status != 410) || message.p == NULL)
		return false;
	for (size_t i = 0; i + sizeof(word) - 1 <= message.n; i++) {
		if (strncasecmp(message.p + i, word, sizeof(word) - 1) == 0)
			return true;
	}
	return false;
}

enum session_event
session_saw_lost(const struct session *s, unsigned epoch)
{
	return epoch == s->epoch ? SESSION_LOST : SESSION_LOST_BEFORE;
}

enum session_event
session_saw_initialize(const struct session *s, struct slice version, unsigned capabilities)
{
	if (!slice_eq(version, s->version))
		return SESSION_OTHER;
	return (s->capabilities & ~capabilities) == 0 ? SESSION_SAME : SESSION_OTHER;
}

bool
session_is_current(const struct session *s, unsigned epoch)
{
	return epoch == s->epoch && (s->state == SESSION_OPEN || s->state == SESSION_CONFIRMING);
}
