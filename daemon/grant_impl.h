/* What grant.c and grant_means.c share; nobody else includes it. */
#ifndef GRANT_IMPL_H
#define GRANT_IMPL_H

#include "discover.h"
#include "fetch.h"
#include "grant.h"
#include "oauth.h"
#include "spawn.h"

struct subject_job;

struct grant {
	struct connector *connector;
	struct loop	*loop;
	enum grant_kind	 kind;
	const struct config_upstream *config;
	struct record	*rec;
	char		*code, *redirect_uri, *verifier, *device_code, *device_endpoint;
	struct challenge challenge;
	bool		 refuse_private;
	struct worker	*worker;
	struct grant_memory *memory, own;	/* `own` where the asker keeps none */
	int64_t		 deadline;	/* boot ms */
	bool		 finished;
	bool		 discovered;
	char		*idp_endpoint;	/* as the metadata of oauth.idp.issuer says; NULL = not read */
	bool		 exchanged;	/* the ID-JAG was fetched by this very request */
	char		*subject;	/* secret */
	/* one of them runs */
	struct fetch	*fetch;
	struct discover	*discover;
	struct spawn	*spawn;
	struct subject_job *job;
	struct grant_reply reply;
	grant_done	 done;
	void		*arg;
};

/* Whatever is needed next; the request itself when nothing is missing. */
void	grant_proceed(struct grant *);
/* The end: the asker is told.  g is freed when the turn has settled. */
void	grant_end(struct grant *, enum token_class, const char *fmt, ...) _printf_(3, 4);
/* ms left of the whole request, 1 at least. */
int64_t	grant_left(const struct grant *);
/* The AS's issuer, else its token endpoint. */
const char *grant_audience(const struct grant *);
/* RFC 8707, as the config says, else as it is known; NULL = none is sent (A6). */
const char *grant_resource(const struct grant *);
/* Sends a form to url (borrowed); done() as of fetch_start().  False: g has ended. */
bool	grant_send(struct grant *, const char *url, const struct way *, bool refuse_private, const struct oauth_request *, fetch_done);

/* --- grant_means.c --- */

/* Who we are to the authorization server; `assertion` keeps what *ret borrows.  False: g has ended. */
bool	grant_client(struct grant *, struct buf *assertion, struct oauth_client *ret);
/* The client's secret is what clientSecretCommand prints, and it has not been run yet. */
bool	grant_wants_secret(const struct grant *);
void	grant_run_command(struct grant *);
void	grant_read_subject(struct grant *);
/* The worker still runs: its job forgets g. */
void	grant_forget_subject(struct grant *);
/* A20, the first leg: the subject token for an ID-JAG. */
bool	grant_has_jag(const struct grant *);
void	grant_exchange(struct grant *);
void	grant_drop_jag(struct grant *);

#endif
