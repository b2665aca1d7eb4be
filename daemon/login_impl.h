/* What the parts of a login share; nobody else looks inside. */
#ifndef LOGIN_IMPL_H
#define LOGIN_IMPL_H

#include "callback.h"
#include "credential.h"
#include "device.h"
#include "discover.h"
#include "fetch.h"
#include "flow.h"
#include "grant.h"
#include "login.h"
#include "pkce.h"
#include "spawn.h"

/* Where a flow stands. */
enum login_step {
	STEP_DISCOVER,
	STEP_CLIENT,		/* which client we are: looked up or registered */
	STEP_PERSON,		/* a person is at it: browser or device */
	STEP_TOKEN,		/* the code is being exchanged */
	STEP_RENEW,		/* STEP_TOKEN of a grant that needs no person */
	STEP_SAVE		/* the credential has it: cannot be stopped any more */
};

/* The hint where nothing here can be mended. */
#define LOGIN_THEIRS	"log in again; if it stays so, ask whoever runs the authorization server"
#define LOGIN_DENIED	"if that was not meant, log in again and allow the access"

/* One flow; its secrets belong to it alone (H3). */
struct login_run {
	struct login	*login;
	enum login_step	 step;
	bool		 manual;	/* the redirect may be pasted: no listener is no failure */
	char		*wish;		/* --scope */
	uint64_t	 challenged;	/* of a step-up, see flow_ask() */
	char		 words[320];	/* the latest progress, for who joins */

	struct discover	*discover;
	struct discovery_result found;
	struct record	*draft;		/* the credential to be, without tokens; its scope is what was asked for */
	char		*granted;	/* scope of the token, for the last word */
	bool		 brief;		/* there is no refresh token */

	/* the client */
	struct fetch	*fetch;		/* a registration */
	char		*client_key;	/* under which it is stored: the issuer, for a device with "#device" behind it */
	unsigned	 port;		/* of the stored registration's redirect: a stable one (A8); 0 = any */
	bool		 stored;	/* the client came from the store */
	bool		 reregistered;	/* the server had forgotten it; once only */
	bool		 unscoped;	/* the server refused a registration that names scopes */

	/* the person */
	struct callback	*callback;
	char		*redirect_uri, *url;
	char		 state[PKCE_TEXT], verifier[PKCE_TEXT];
	bool		 commanded;	/* H5: login.command was run for this need */
	bool		 pasted;	/* the latest redirect was; a bare code may be anything */
	bool		 redirected;	/* the server or the person has answered */
	struct device	 device;
	int64_t		 interval, expires_at;	/* of the device's polls; boot ms */
	struct timer	 poll;

	struct grant	*grant;
	struct grant_memory memory;	/* of its token requests: a secret command runs once */
};

struct logout;

struct login {
	struct loop	*loop;
	struct connector *connector;
	struct store	*store;
	struct credential *credential;
	const struct config_upstream *config;
	const struct config *whole;
	struct flow	 policy;
	struct login_run *run;		/* NULL: none */
	TAILQ_HEAD(, login_watcher) watchers;
	LIST_HEAD(, logout) logouts;
	struct spawn	*command;
	struct timer	 limit, tick;
	char		 last[200];	/* why the latest one failed, "" = it did not; for status */
	void		(*drained)(void *);	/* NULL: nobody waits for it */
	void		*drained_arg;
};

/* --- login.c --- */

enum flow_kind login_kind(const struct login *);
/* Our words for everybody who watches; remote text in them is escaped already. */
void	login_progress(struct login_run *, const char *fmt, ...) _printf_(2, 3);
/* The flow has failed, the run is freed.  `reason` is a word of the control API; hint NULL = none. */
void	login_fail(struct login_run *, const char *reason, const char *hint, const char *fmt, ...) _printf_(4, 5);
void	login_done(struct login_run *);
/* Contract K: before anything more is asked for.  true: the daemon stops, the flow has failed. */
bool	login_stopped(struct login_run *);
/* ms that one request of the flow may take, `most` at most. */
int64_t	login_left(const struct login_run *, int64_t most);
/* A copy; aborts without memory (a few bytes). */
char	*login_copy(const char *);

/* --- login_tell.c --- */

/* One event to one watcher, or to all that have been told how things stand (w NULL). */
void	login_tell(struct login *, struct login_watcher *, struct buf *event);
void	login_event_progress(struct buf *, const char *words);
/* What the person needs: the URL, or the device's code.  false: nothing yet. */
bool	login_event_link(const struct login_run *, struct buf *);
void	login_event_done(const struct login_run *, struct buf *);
void	login_event_failed(struct buf *, const char *reason, const char *message, const char *hint);

/* --- login_client.c --- */

/* Finds out who we are to this server, then login_ask_person(). */
void	login_choose_client(struct login_run *);
/*
 * The server refused with this OAuth error: if it does not know the client
 * that we registered (any more), registers anew, once.  false: it is not for
 * us to mend.
 */
bool	login_client_unknown(struct login_run *, const char *error);
/* The stored registration of this flow's issuer is of no use. */
void	login_drop_client(struct login_run *);

/* --- login_flow.c --- */

void	login_begin(struct login_run *);
void	login_ask_person(struct login_run *);
/* The listener for the redirect; r->redirect_uri is known then.  false: the flow has failed. */
bool	login_listen(struct login_run *);
/* The same; 0 or a negative errno, nothing has failed. */
int	login_try_listen(struct login_run *);
/* The redirect, by whichever way it came. */
void	login_redirected(struct login_run *, enum redirect_verdict, struct redirect *);
/* The person's page is over; what comes next opens another. */
void	login_close_page(struct login_run *, const char *detail);
void	login_expected(const struct login_run *, struct redirect_expected *ret);
/* A15: of the token endpoint; one that was configured is meant. */
bool	login_refuses_private(const struct login_run *);
/* To the credential with it.  The answer is emptied. */
void	login_save(struct login_run *, struct token_answer *);

/* --- login_command.c --- */

/* A15: may a browser be sent there? */
bool	login_may_open(const char *url);
/* H5: login.command, once, where a need began the flow. */
void	login_command(struct login_run *, const char *url);

/* --- login_device.c --- */

void	login_device_init(struct login_run *);
void	login_device_begin(struct login_run *);

/* --- login_logout.c --- */

void	login_logouts_configure(struct login *);
/* The daemon stops: what waits for a revocation is told. */
void	login_logouts_stop(struct login *);
/* The login goes: all are. */
void	login_logouts_free(struct login *);

#endif
