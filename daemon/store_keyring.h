/*
 * The desktop's keyring: freedesktop.org Secret Service over sd-bus, wholly
 * asynchronous on the loop (design 7).  Knows items by attributes; what a
 * secret means is the store's business.  Each call completes exactly once, in
 * a later turn, within its time; a service that dies, prompts for ever or
 * answers nonsense is a result, never a hang.
 */
#ifndef STORE_KEYRING_H
#define STORE_KEYRING_H

#include "loop.h"
#include "store.h"

struct keyring;

enum keyring_state {
	KEYRING_CONNECTING,
	KEYRING_ABSENT,		/* no bus, nobody offers org.freedesktop.secrets, or no default collection */
	KEYRING_LOCKED,		/* the default collection is locked: a call asks the person to unlock it, once */
	KEYRING_READY
};

struct keyring_reply {
	enum store_result result;	/* OK, GONE (certainly no such item), BAD (several, or not what we stored), FAILED, TIMEOUT */
	struct buf	 secret;	/* load + OK; BUF_SECRET; the keyring frees it unless moved out */
	char		 why[200];
};
typedef void (*keyring_done)(void *arg, struct keyring_reply *);

/*
 * Begins to connect to `address` (NULL: the session bus as the environment
 * says).  Never blocks; calls given while CONNECTING wait.  It connects anew
 * by itself when the bus or the service went away.  NULL without memory.
 */
struct keyring *keyring_open(struct loop *, const char *address);
void	keyring_close(struct keyring *);	/* no completions any more; NULL is fine */
enum keyring_state keyring_state(const struct keyring *);
/* Why it is ABSENT, in words; else "". */
const char *keyring_why(const struct keyring *);
/* told(arg) once it is no longer CONNECTING, in a later turn (maybe at once). */
void	keyring_settled(struct keyring *, void (*told)(void *arg), void *arg);

/* Attributes: {"xdg:schema": "io.mcp-authd.Credential", "name", "url"}; label "mcp-authd: NAME (URL)". */
void	keyring_load(struct keyring *, const struct store_key *, keyring_done, void *arg);
void	keyring_save(struct keyring *, const struct store_key *, const char *secret, size_t n, keyring_done, void *arg);	/* replaces; copied, wiped */
void	keyring_delete(struct keyring *, const struct store_key *, keyring_done, void *arg);	/* OK also if there was none */
/*
 * Every item of ours in the default collection: result OK with n keys (none
 * twice), else FAILED or TIMEOUT with words.  Asks nobody to unlock it: where
 * the items of a locked collection cannot be seen, that is FAILED.  The keys
 * are the keyring's, valid during the call alone.
 */
typedef void (*keyring_listed)(void *arg, enum store_result, const struct store_key *keys, size_t n, const char *why);
void	keyring_list(struct keyring *, keyring_listed, void *arg);
/* Completions and told() due for arg are dropped; the work itself goes on. */
void	keyring_forget(struct keyring *, void *arg);
/* changed(arg) whenever items of ours may have been changed by anybody. */
void	keyring_watch(struct keyring *, void (*changed)(void *arg), void *arg);
/* For tests: other bounds of a call, of a prompt, and of the time without prompts after a refusal. */
void	keyring_set_bounds(struct keyring *, int64_t call, int64_t prompt, int64_t quiet);

#endif
