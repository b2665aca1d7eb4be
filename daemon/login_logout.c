/* Logout: here first, then at the authorization server as best it can (contract H4). */
#include <stdio.h>

#include "log.h"
#include "login_impl.h"

struct logout {
	LIST_ENTRY(logout) entry;
	struct login	*login;
	struct record	*deleted;
	struct grant	*grant;
	logout_done	 done;		/* NULL: the asker has left */
	void		*arg;
};

static void
end(struct logout *o, const char *why, const char *revoked)
{
	LIST_REMOVE(o, entry);
	if (o->done != NULL)
		o->done(o->arg, why, revoked);
	record_free(o->deleted);
	free(o);
}

static void
on_revoked(void *arg, struct grant_reply *reply)
{
	struct logout *o = arg;
	char words[320] = "revoked";

	o->grant = NULL;
	if (reply->class != TOKEN_OK) {
		snprintf(words, sizeof(words), "not revoked: %s", reply->why);
		log_warn(o->login->config->name, "logout", "%s", words);
	}
	end(o, NULL, words);
}

static void
revoke(struct logout *o)
{
	struct login *l = o->login;
	struct grant_request req = {
		.kind = GRANT_REVOKE,
		.config = l->config,
		.rec = o->deleted,
		.timeout_ms = REVOKE_WAIT,
	};

	if (o->deleted == NULL)
		end(o, NULL, "nothing was stored that could be revoked");
	else if (o->deleted->revocation_endpoint == NULL)
		end(o, NULL, "not revoked: no revocation endpoint is known");
	else if (l->policy.stopping)
		end(o, NULL, "not revoked: the daemon is stopping");
	else if ((o->grant = grant_start(l->connector, &req, on_revoked, o)) == NULL)
		end(o, NULL, "not revoked: out of memory");
}

static void
on_removed(void *arg, const char *why, struct record **deleted)
{
	struct logout *o = arg;

	if (why != NULL) {	/* it is still there: what works is not revoked */
		end(o, why, NULL);
		return;
	}
	o->deleted = *deleted;
	*deleted = NULL;
	revoke(o);
}

void
login_logout(struct login *l, logout_done done, void *arg)
{
	struct logout *o = calloc(1, sizeof(*o));

	if (o == NULL)
		abort();
	*o = (struct logout){ .login = l, .done = done, .arg = arg };
	LIST_INSERT_HEAD(&l->logouts, o, entry);
	flow_forgive(&l->policy);
	if (l->run != NULL && l->run->step != STEP_SAVE)
		login_fail(l->run, "cancelled", NULL, "somebody logged out meanwhile");
	credential_remove(l->credential, on_removed, o);
}

void
login_logout_forget(struct login *l, void *arg)
{
	struct logout *o;

	LIST_FOREACH(o, &l->logouts, entry)
		if (o->arg == arg)
			o->done = NULL;
}

void
login_logouts_configure(struct login *l)
{
	struct logout *o;

	LIST_FOREACH(o, &l->logouts, entry)
		grant_configure(o->grant, l->config);
}

void
login_logouts_stop(struct login *l)
{
	struct logout *o, *next;

	for (o = LIST_FIRST(&l->logouts); o != NULL; o = next) {
		next = LIST_NEXT(o, entry);
		if (o->grant == NULL)
			continue;	/* the credential answers */
		grant_cancel(o->grant);
		o->grant = NULL;
		end(o, NULL, "not revoked: there was no time left for it");
	}
}

void
login_logouts_free(struct login *l)
{
	struct logout *o;

	login_logouts_stop(l);
	while ((o = LIST_FIRST(&l->logouts)) != NULL) {
		credential_forget(l->credential, o);
		end(o, "the upstream is gone, or the daemon stops", NULL);
	}
}
