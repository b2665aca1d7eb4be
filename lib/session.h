/*
 * A session that the daemon owns (contract G1): lost, begun anew, joined by
 * the exchanges that lost it with the first.  Pure: classifiers turn answers
 * into events, session_step() says what to do; the const grid holds data only.
 * How often one exchange may join is lib/exchange's (G2).
 */
#ifndef SESSION_H
#define SESSION_H

#include "util.h"

enum session_state {
	SESSION_NONE,		/* nothing was initialized yet */
	SESSION_OPEN,
	SESSION_STARTING,	/* our own initialize is out */
	SESSION_CONFIRMING,	/* ... answered; notifications/initialized is out */
	SESSION_ABSENT,		/* lost, and could not be begun anew: the next message tries again */
	SESSION_BROKEN,		/* another one stands in its place: the connection closes */
	SESSION_STATES
};

enum session_event {
	SESSION_INITIALIZED,	/* the client's own initialize was answered: session_opened() */
	SESSION_LOST,		/* by session_saw_lost(): an exchange found the current session lost */
	SESSION_LOST_BEFORE,	/* ... an earlier one, replaced since or being replaced */
	SESSION_SAME,		/* by session_saw_initialize(): our initialize was answered as before */
	SESSION_OTHER,		/* ... with another version or fewer capabilities */
	SESSION_REFUSED,	/* ... not answered, or with an error */
	SESSION_CONFIRMED,	/* notifications/initialized was taken */
	SESSION_WANTED,		/* in STARTING, CONFIRMING, ABSENT: a message is there to be sent */
	SESSION_EVENTS
};

enum session_action {
	SESSION_DO_INITIALIZE	= 1 << 0,	/* send initialize, without a session id */
	SESSION_DO_CONFIRM	= 1 << 1,	/* send notifications/initialized */
	SESSION_DO_JOIN		= 1 << 2,	/* this exchange waits for the new session */
	SESSION_DO_RESEND	= 1 << 3,	/* this exchange is sent again at once */
	SESSION_DO_RESEND_ALL	= 1 << 4,	/* everyone who joined */
	SESSION_DO_CHANGED	= 1 << 5,	/* give list_changed where it was advertised: session.capabilities */
	SESSION_DO_FAIL		= 1 << 6,	/* fail everyone who joined; the connection goes on */
	SESSION_DO_BACKOFF	= 1 << 7,	/* the next try must wait */
	SESSION_DO_CLOSE	= 1 << 8	/* fail everyone, close the connection with an error */
};

/* Capabilities of the server, as bits. */
enum session_capability {
	SESSION_TOOLS		= 1 << 0,
	SESSION_TOOLS_CHANGED	= 1 << 1,
	SESSION_PROMPTS		= 1 << 2,
	SESSION_PROMPTS_CHANGED	= 1 << 3,
	SESSION_RESOURCES	= 1 << 4,
	SESSION_RESOURCES_CHANGED = 1 << 5,
	SESSION_SUBSCRIBE	= 1 << 6,
	SESSION_LOGGING		= 1 << 7,
	SESSION_COMPLETIONS	= 1 << 8,
	SESSION_OTHERS		= 1 << 9
};

struct session {
	enum session_state state;
	unsigned epoch;			/* of the session in use; grows when a new one opens */
	char	 version[32];		/* negotiated protocol version */
	unsigned capabilities;
};

struct session_cell {
	unsigned char	kind;		/* SESSION_CELL_*; 0 = never written, which a test refuses */
	unsigned char	next;
	unsigned short	actions;
};
enum { SESSION_CELL_GO = 1, SESSION_CELL_BUG };
extern const struct session_cell session_grid[SESSION_STATES][SESSION_EVENTS];

/* One step: actions in *ret.  0, or -EPROTO for an event that cannot happen here (nothing changes). */
int	session_step(struct session *, enum session_event, unsigned *ret_actions);
/* The client's own initialize: remembers version and capabilities; feed SESSION_INITIALIZED.  -EINVAL: a version too long to be one. */
int	session_opened(struct session *, struct slice version, unsigned capabilities);
/* Does this answer mean a lost session?  404; a 400 or 410 only if its JSON-RPC error message contains "session", in any case. */
bool	session_is_lost(int status, struct slice message);
/* An exchange sent in `epoch` was told that its session is lost. */
enum session_event session_saw_lost(const struct session *, unsigned epoch);
/* Our own initialize was answered. */
enum session_event session_saw_initialize(const struct session *, struct slice version, unsigned capabilities);
/* Does the answer to a server's request of `epoch` still have somebody to go to?  (Those of a dead session are dropped.) */
bool	session_is_current(const struct session *, unsigned epoch);

#endif
