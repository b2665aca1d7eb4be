/*
 * The refresh machine of one credential (contract B to F, H, K).  Pure: facts
 * and time come in, actions go out; the driver (daemon/credential.c) does
 * them and reports what came of each as one event.
 *
 *   classify facts -> event -> refresh_step() -> {next state, actions}
 *
 * The grid (state x event) is one const table in refresh.c and its cells are
 * data.  Everything that depends on a number or a bit is decided before, by a
 * classifier (refresh_saw_*), or beside it, by refresh_ask() and
 * refresh_rejected(), which never change the state themselves.
 */
#ifndef REFRESH_H
#define REFRESH_H

#include "bounds.h"
#include "failure.h"
#include "token.h"

enum refresh_state {
	REFRESH_VOID,		/* nothing was loaded yet */
	REFRESH_LOADING,	/* reading the store without the lock: at start and after a change (H2) */
	REFRESH_IDLE,
	/* the transaction (C) */
	REFRESH_LOCKING,	/* C2 */
	REFRESH_REREADING,	/* C3 to C6, under the lock from here on */
	REFRESH_VERIFYING,	/* C7 */
	REFRESH_INTENDING,	/* C8 */
	REFRESH_SENDING,	/* C9 */
	REFRESH_DOUBTING,	/* D invalid_grant: did somebody else win? */
	REFRESH_MARKING,	/* D: the dead mark is being written */
	REFRESH_CLEARING,	/* D: nothing was done, the intent is taken back */
	REFRESH_PERSISTING,	/* C11 */
	REFRESH_UNPERSISTED,	/* D persist fails: served from memory, lock kept, waiting to try again */
	REFRESH_REPERSISTING,	/* ... trying again */
	/* login and logout (H1) */
	REFRESH_LOGIN_LOCKING,
	REFRESH_LOGIN_SAVING,
	REFRESH_LOGOUT_LOCKING,
	REFRESH_LOGOUT_DELETING,
	REFRESH_STATES
};

enum refresh_event {
	/* asked for */
	REFRESH_CHANGED,	/* the store's entry may have changed; also the first load */
	REFRESH_DUE,		/* B3: live, but due */
	REFRESH_EXPIRED,
	REFRESH_REJECTED,	/* E2: 401 for the current generation */
	REFRESH_LOGIN,		/* its record is there; also token import */
	REFRESH_LOGOUT,
	REFRESH_DRAIN,		/* K */
	REFRESH_TIMER,
	/* A_LOCK */
	REFRESH_LOCKED,
	REFRESH_LOCK_TIMEOUT,
	REFRESH_LOCK_FAILED,
	/* A_REREAD, by refresh_saw_stored() */
	REFRESH_LOADED,		/* without the lock: take what is there */
	REFRESH_NEWER,		/* C5: another and live */
	REFRESH_RENEW,		/* to be renewed */
	REFRESH_RENEW_VERIFY,	/* the same after a 401: C7 first */
	REFRESH_SPENT,		/* C6: no way to renew */
	REFRESH_HELD,		/* an unknown outcome is too young to try again */
	REFRESH_UNCHANGED,	/* after invalid_grant: nobody won */
	REFRESH_GONE,		/* C4 */
	REFRESH_BAD,		/* C3 */
	REFRESH_OTHER_ISSUER,	/* the entry is not for the configured issuer */
	/* A_VERIFY */
	REFRESH_VERIFIED,
	REFRESH_MISMATCH,
	/* A_SEND, by refresh_saw_token() */
	REFRESH_TOKEN_OK,
	REFRESH_TOKEN_DEAD,
	REFRESH_TOKEN_REFUSED,
	REFRESH_TOKEN_STRIKE,
	REFRESH_TOKEN_TRANSIENT,
	REFRESH_TOKEN_UNKNOWN,
	/* A_INTENT, A_MARK, A_CLEAR, A_PERSIST, A_SAVE_LOGIN, A_DELETE, by refresh_saw_saved() */
	REFRESH_SAVED,
	REFRESH_SAVE_FAILED,
	REFRESH_SAVE_FAILED_LIVE,	/* C8: the intent, while the token lives */
	REFRESH_SAVE_FAILED_DEBT,	/* login or logout, while an older persist is still owed */
	REFRESH_SAVED_DRAINING,		/* C8: the intent, but no request may begin any more (K) */
	REFRESH_EVENTS
};

enum refresh_action {
	A_LOCK		= 1 << 0,
	A_UNLOCK	= 1 << 1,	/* also gives up a lock that is still being waited for */
	A_REREAD	= 1 << 2,
	A_VERIFY	= 1 << 3,
	A_INTENT	= 1 << 4,	/* save memory's record with intent {hash, cur.tries, cur.tried_at} */
	A_SEND		= 1 << 5,
	A_MARK		= 1 << 6,	/* save it with the dead mark */
	A_CLEAR		= 1 << 7,	/* save it with cur.tries (0: no intent) */
	A_PERSIST	= 1 << 8,	/* save the minted record */
	A_SAVE_LOGIN	= 1 << 9,
	A_DELETE	= 1 << 10,
	/* what memory holds: done by refresh_step() to the facts, by the driver to the records */
	A_TAKE		= 1 << 11,	/* the stored record becomes the current one */
	A_INSTALL	= 1 << 12,	/* the minted one does (C12) */
	A_INSTALL_LOGIN	= 1 << 13,
	A_DROP		= 1 << 14,	/* memory is emptied */
	/* those who wait */
	A_WAKE		= 1 << 15,	/* every waiter asks again */
	A_GRANT		= 1 << 16,	/* ... and takes what was installed, whatever its expiry (B3) */
	A_FAIL		= 1 << 17,	/* every waiter fails with refresh.reason */
	A_JOB_OK	= 1 << 18,	/* the login or logout is done */
	A_JOB_FAILED	= 1 << 19,
	A_TIMER		= 1 << 20,	/* arm for ret->timer ms */
	A_LOUD		= 1 << 21,	/* say it at error level */
	A_NOTE		= 1 << 22,	/* private: remember REFRESH_CHANGED until at rest */
};

/* One cell of the grid.  Data only; BUG and STAY are spelled out. */
struct refresh_cell {
	unsigned char	kind;		/* REFRESH_CELL_*; 0 = never written, which a test refuses */
	unsigned char	next;
	unsigned	actions;
};
enum { REFRESH_CELL_GO = 1, REFRESH_CELL_STAY, REFRESH_CELL_BUG };
extern const struct refresh_cell refresh_grid[REFRESH_STATES][REFRESH_EVENTS];

/* What a record says, in numbers. */
struct refresh_facts {
	uint64_t access;	/* record_id() of the access token; 0 = none */
	uint64_t renewal;	/* ... of the refresh token */
	int64_t	 expires_at;	/* wall ms, EXPIRES_UNKNOWN */
	int64_t	 lifetime;	/* ms, 0 unknown */
	int64_t	 tried_at;	/* wall ms */
	unsigned tries;		/* of the intent for this very refresh token; 0 = no intent */
	bool	 renewable;	/* a live refresh token and an endpoint, or a grant that renews itself */
	bool	 foreign;	/* not for the configured issuer */
};

struct refresh {
	enum refresh_state state;
	struct refresh_facts cur;	/* in memory; access 0 = nothing to send */
	struct refresh_facts stored;	/* as last reread */
	struct refresh_facts minted;	/* from the last token response */
	struct refresh_facts login;	/* of the record that a login brings; set by the driver before REFRESH_LOGIN */
	uint64_t generation;		/* grows by one with each change of cur.access */
	bool	 proven;		/* an answer other than 401 came for it */
	bool	 was_proven;		/* its predecessor was */
	bool	 fresh;			/* minted here, by a refresh */
	bool	 helped;		/* a retry with it was answered (E3) */
	bool	 after_401;		/* this transaction was asked for by a 401 */
	bool	 unpersisted;		/* a persist is owed */
	bool	 mismatch;		/* the latest VERIFY said so: no renewal without another, after a plain expiry neither (C7) */
	bool	 draining;
	bool	 rereads;		/* a static bearer: reading it again is its renewal (A4) */
	/*
	 * A grant that needs no person (C6: client credentials, id_jag); set
	 * by the driver, whose facts then say renewable.  An absent entry is
	 * a token to be fetched, not a login (so is one of another issuer:
	 * say ABSENT): A_TAKE then finds no record.  A_INTENT and A_CLEAR
	 * have nothing to save and succeed: the tries are counted here alone.
	 */
	bool	 renews_itself;
	bool	 noted;			/* a change came while busy */
	bool	 unreadable;		/* the last load said BAD */
	/* back-off of the transaction (D) */
	enum reason reason;		/* why the last one failed */
	unsigned fails, refusals, strikes;
	int64_t	 retry_at;		/* boot ms; 0 = at once */
	/* E3 */
	int64_t	 reject_until, reject_delay;
	/* E5 */
	uint64_t suspect;		/* unproven generation that one exchange saw rejected */
	int64_t	 breaker_until, breaker_delay;	/* delay 0 = closed */
	bool	 probing;
	uint32_t jitter;		/* seed; 0 = no jitter (tests) */
	const struct refresh_cell (*grid)[REFRESH_EVENTS];	/* refresh_grid; a test puts a broken one here */
};

struct refresh_out {
	unsigned actions;
	enum refresh_state from;
	int64_t	 timer;			/* ms */
};

void	refresh_init(struct refresh *, uint32_t jitter_seed);

/*
 * One step.  0, or -EPROTO if the cell says that this event cannot happen in
 * this state (a fault of the driver; nothing changes).
 */
int	refresh_step(struct refresh *, enum refresh_event, const struct now *, struct refresh_out *ret);

/* Nothing runs: logins and logouts may begin.  LOADING is not rest, UNPERSISTED is. */
bool	refresh_at_rest(const struct refresh *);
/* At rest with a change noted: feed REFRESH_CHANGED (clears the note). */
bool	refresh_noted(struct refresh *);

/* --- classifiers: facts in, the event to feed out --- */

enum refresh_stored { REFRESH_FOUND, REFRESH_ABSENT, REFRESH_UNREADABLE };
/* A reread completed; facts NULL unless FOUND. */
enum refresh_event refresh_saw_stored(struct refresh *, enum refresh_stored, const struct refresh_facts *, const struct now *);
/* A token response was classified; facts of the new record if TOKEN_OK; retry_after in ms. */
enum refresh_event refresh_saw_token(struct refresh *, enum token_class, const struct refresh_facts *, int64_t retry_after, const struct now *);
/* A write completed. */
enum refresh_event refresh_saw_saved(const struct refresh *, bool ok, const struct now *);

/* --- exchanges --- */

enum refresh_verdict { REFRESH_GO, REFRESH_WAIT, REFRESH_FAIL };
/*
 * May an exchange be sent now with the current generation?  `after`: the
 * generation that answered it 401 (0 none).  `granted`: it was woken with
 * A_GRANT.  *ret_event is an event to feed (REFRESH_EVENTS = none), with GO
 * too (B3: the refresh runs beside).  With FAIL *ret says why.
 */
enum refresh_verdict refresh_ask(const struct refresh *, uint64_t after, bool granted, const struct now *, enum refresh_event *ret_event, struct failure *ret);
/* It goes out now, after a GO: counts as the probe if the breaker is open (E5). */
void	refresh_went(struct refresh *, const struct now *);
/* Any final head other than 401 came for a request with that generation (E3, E5). */
void	refresh_answered(struct refresh *, uint64_t generation, bool retry);
/*
 * A 401 came.  true: the exchange may ask again with after = generation (E1,
 * E2).  false: final for it; *ret says as what (E3, E5).  `retry`: it had
 * been sent before and met a 401.
 */
bool	refresh_rejected(struct refresh *, uint64_t generation, bool retry, const struct now *, struct failure *ret);
/* Neither usable nor renewable. */
bool	refresh_login_required(const struct refresh *, const struct now *);
/* Wall ms from which it is due (B2); EXPIRES_UNKNOWN if never. */
int64_t	refresh_due_at(const struct refresh_facts *);
/* An administrator mended something (reload): back-offs and the breaker are forgotten. */
void	refresh_forgive(struct refresh *);

const char *refresh_state_name(enum refresh_state);
const char *refresh_event_name(enum refresh_event);

#endif
