/*
 * What the parts of the keyring share: store_keyring.c (calls),
 * store_keyring_call.c (the steps of one), store_keyring_bus.c (bus, session,
 * signals).
 */
#ifndef STORE_KEYRING_IMPL_H
#define STORE_KEYRING_IMPL_H

#include <systemd/sd-bus.h>

#include "store_keyring.h"

#define SECRETS_PATH	"/org/freedesktop/secrets"
#define SECRET_SERVICE	"org.freedesktop.Secret.Service"
#define SECRET_COLLECTION "org.freedesktop.Secret.Collection"
#define SECRET_ITEM	"org.freedesktop.Secret.Item"
#define SECRET_PROMPT	"org.freedesktop.Secret.Prompt"
#define PROPERTIES	"org.freedesktop.DBus.Properties"
#define SECRET_SCHEMA	"io.mcp-authd.Credential"
#define NO_OBJECT	"/"		/* how the Secret Service says "none" */

/*
 * One question to the service at a time.  Exactly one of got and refused is
 * called for it (also within keyring_ask()), unless it is dropped.
 */
struct keyring_ask {
	struct keyring	*k;
	sd_bus_slot	*slot;		/* NULL: nothing is asked */
	void		(*got)(void *arg, sd_bus_message *);
	void		(*refused)(void *arg, const sd_bus_error *);
	void		*arg;
};

enum keyring_op { KEYRING_LOAD, KEYRING_SAVE, KEYRING_DELETE, KEYRING_LIST };

struct keyring_call {
	TAILQ_ENTRY(keyring_call) entry;
	struct keyring	*k;
	enum keyring_op	 op;
	struct store_key key;		/* not of a list */
	struct keyring_reply reply;
	struct buf	 secret;	/* save */
	keyring_done	 done;		/* both NULL: forgotten */
	keyring_listed	 listed;
	void		*arg;
	struct timer	 limit;
	struct keyring_ask ask;
	bool		 begun, ended;
	bool		 unlocked;	/* once in a call */
	bool		 locked;	/* the collection was, when the call began */
	int		 restarts;
	const char	*asked;		/* the question's name, for words */
	char		**items;	/* what a search found; items[0 .. ours) are ours */
	size_t		 nitems, at, ours;
	bool		 at_item;	/* the question is about items[at] */
	struct store_key *keys;		/* list; both members are allocated */
	size_t		 nkeys;
	char		*prompt;	/* waited for; NULL: none */
	void		(*prompted)(struct keyring_call *, sd_bus_message *);
	char		 text[];	/* of the key */
};

struct keyring_hook {
	TAILQ_ENTRY(keyring_hook) entry;
	struct keyring	*k;
	void		(*told)(void *arg);
	void		*arg;
};

struct keyring {
	struct loop	*loop;
	char		*address;	/* NULL: as the environment says */
	enum keyring_state state;
	char		 why[200];	/* it is absent */
	int64_t		 call_wait, prompt_wait, quiet;
	/* the bus */
	sd_bus		*bus;		/* NULL: none */
	struct event	*io;
	short		 events;	/* that io waits for */
	struct timer	 pump;		/* messages are left to look at */
	struct timer	 limit;		/* of setting up */
	struct timer	 retry;
	int64_t		 retry_at, backoff;
	bool		 was_up;
	/* the service */
	char		*owner;		/* its unique name; NULL: not known */
	char		*session, *collection;
	struct keyring_ask setup, look;
	/* calls, the first one under way */
	TAILQ_HEAD(, keyring_call) calls, ended;
	TAILQ_HEAD(, keyring_hook) hooks;
	int64_t		 quiet_until;	/* no prompt before: one was refused */
	void		(*changed)(void *arg);
	void		*changed_arg;
	bool		 changing;
};

/* --- store_keyring_bus.c --- */

void	keyring_bus_init(struct keyring *);
/* Begins to connect unless it is too early for that (then false); what fails at once fails all calls. */
bool	keyring_connect(struct keyring *);
void	keyring_disconnect(struct keyring *);
/* The service is of no use any more: fails all calls with these words. */
void	keyring_lose(struct keyring *, const char *why);
/* A method call with its arguments; NULL without memory. */
sd_bus_message *keyring_method(struct keyring *, const char *path, const char *interface,
	    const char *member, const char *types, ...);
/* Sends m (NULL: without memory), which it frees. */
void	keyring_ask(struct keyring_ask *, sd_bus_message *m, void (*got)(void *, sd_bus_message *));
/* Sends m (NULL is fine) whose answer nobody needs, and frees it. */
void	keyring_tell(struct keyring *, sd_bus_message *m);
void	keyring_drop(struct keyring_ask *);
/* The property Locked of the collection. */
void	keyring_ask_locked(struct keyring_ask *, void (*got)(void *, sd_bus_message *));
/* 0, or -1 if m is no such answer. */
int	keyring_read_locked(struct keyring *, sd_bus_message *m, bool *ret_locked);

/* --- store_keyring.c --- */

void	keyring_fail_calls(struct keyring *, const char *why);
/* Begins what waits, once the service is there. */
void	keyring_go_on(struct keyring *);
/* Tells who waits for the end of CONNECTING. */
void	keyring_tell_settled(struct keyring *);
void	keyring_tell_changed(struct keyring *);
/* The call is over; it is reported in a later turn. */
void	keyring_end(struct keyring_call *, enum store_result, const char *fmt, ...) _printf_(3, 4);
/* A prompt begins or has ended: the calls' time is set anew. */
void	keyring_bound_calls(struct keyring *);

/* --- store_keyring_call.c --- */

void	keyring_begin(struct keyring_call *);
void	keyring_call_refused(void *call, const sd_bus_error *);
/* A prompt's end. */
void	keyring_prompted(struct keyring *, sd_bus_message *);
/* Its time is over. */
void	keyring_call_late(void *call);
void	keyring_call_clear(struct keyring_call *);

#endif
