/*
 * One token request of any grant: who we are (secret, assertion, secret
 * command), what is asked for, the answer classified.  The refresh machine's
 * A_SEND and the login flow are its two callers.
 *
 *   (discover) -> (secret command) -> (subject token -> exchange) -> request
 */
#ifndef GRANT_H
#define GRANT_H

#include "challenge.h"
#include "config.h"
#include "connector.h"
#include "device.h"
#include "record.h"
#include "token.h"
#include "worker.h"

struct grant;

enum grant_kind {
	GRANT_REFRESH,		/* rec->refresh_token */
	GRANT_CREDENTIALS,	/* client credentials (A19) */
	GRANT_ID_JAG,		/* both legs; the first only if `memory` holds no live ID-JAG (A20) */
	GRANT_CODE,		/* code, redirect_uri, verifier */
	GRANT_DEVICE_START,	/* RFC 8628 section 3.1, to device_endpoint: what the person is told; ->device */
	GRANT_DEVICE,		/* device_code: one poll */
	GRANT_REVOKE		/* RFC 7009 at rec->revocation_endpoint: the refresh token, else the access token */
};

/* What one credential keeps between its requests.  Secret; zero it. */
struct grant_memory {
	char	*secret;		/* what clientSecretCommand printed, until an invalid_client */
	char	*jag, *jag_audience;	/* the ID-JAG, and the issuer that it is for */
	int64_t	 jag_expires_at;	/* wall ms; EXPIRES_UNKNOWN: used once */
};
void	grant_memory_clear(struct grant_memory *);

struct grant_request {
	enum grant_kind	 kind;
	const struct config_upstream *config;	/* fills what rec does not say; see grant_configure() */
	/*
	 * Client, endpoints, issuer, resource, scope, tokens; copied.  A client
	 * id that the config names wins for client credentials and id_jag, else
	 * rec's.  NULL: nothing is stored yet (client credentials, id_jag).
	 */
	const struct record *rec;
	const char	*code, *redirect_uri, *verifier, *device_code;	/* copied */
	const char	*device_endpoint;	/* copied */
	const struct challenge *challenge;	/* for the discovery of client credentials and id_jag; NULL = none */
	bool		 refuse_private;	/* A15: the endpoint was discovered from a public upstream */
	struct worker	*worker;	/* of GRANT_ID_JAG: reads the subject token */
	struct grant_memory *memory;	/* must outlive the request; NULL: nothing is kept */
	int64_t		 timeout_ms;	/* of all of it */
};

struct grant_reply {
	enum token_class class;		/* GRANT_REVOKE: TOKEN_OK = the server confirmed it */
	struct token_answer answer;	/* freed by the granter unless moved out */
	struct device	device;		/* of GRANT_DEVICE_START; the same */
	/*
	 * `rec` as it was completed by the config and by discovery: issuer,
	 * endpoints, resource, client id, method, scope.  Freed unless moved
	 * out.  With client credentials and id_jag it holds no refresh token,
	 * nor does the answer (A19).
	 */
	struct record	*rec;
	int		 status;	/* 0: no answer */
	int64_t		 retry_after;	/* ms */
	char		 why[240];	/* our words, for log, status and people; "" if OK */
};
typedef void (*grant_done)(void *arg, struct grant_reply *);

/* done() exactly once, in a later turn, unless cancelled.  NULL without memory. */
struct grant *grant_start(struct connector *, const struct grant_request *, grant_done, void *arg);
/* What was sent may have been taken all the same.  NULL is fine. */
void	grant_cancel(struct grant *);
/* From now on by this config (same name and URL): the old one may go.  NULL is fine. */
void	grant_configure(struct grant *, const struct config_upstream *);

#endif
