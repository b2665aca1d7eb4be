#include "credential_impl.h"

/* A job that was added begins in a later turn, so that its done() does, too. */
static void
begin_jobs(void *arg)
{
	credential_rest(arg);
}

static void
add_job(struct credential *c, const struct credential_job *wanted)
{
	struct credential_job *job = calloc(1, sizeof(*job));

	if (job == NULL)
		abort();
	*job = *wanted;
	TAILQ_INSERT_TAIL(&c->jobs, job, entry);
	loop_defer(c->loop, begin_jobs, c);
}

void
credential_import(struct credential *c, struct record *rec, credential_done done, void *arg)
{
	free(rec->name);
	free(rec->url);
	rec->name = strdup(c->key.name);
	rec->url = strdup(c->key.url);
	if (rec->name == NULL || rec->url == NULL)
		abort();
	add_job(c, &(struct credential_job){ .work = CREDENTIAL_LOGIN, .record = rec,
	    .done = done, .arg = arg });
}

void
credential_remove(struct credential *c, credential_removed removed, void *arg)
{
	add_job(c, &(struct credential_job){ .work = CREDENTIAL_LOGOUT, .removed = removed,
	    .arg = arg });
}

void
credential_renew(struct credential *c, credential_done done, void *arg)
{
	add_job(c, &(struct credential_job){ .work = CREDENTIAL_RENEWAL, .done = done,
	    .arg = arg });
}

void
credential_forget(struct credential *c, void *arg)
{
	struct credential_job *job;

	TAILQ_FOREACH(job, &c->jobs, entry)
		if (job->arg == arg) {
			job->done = NULL;
			job->removed = NULL;
		}
}

void
credential_finish_job(struct credential *c, const char *why)
{
	static const char *const words[] = {
		[CREDENTIAL_LOGIN] = "login", [CREDENTIAL_LOGOUT] = "logout",
		[CREDENTIAL_RENEWAL] = "renewal",
	};
	struct credential_job *job = TAILQ_FIRST(&c->jobs);
	struct record *nothing = NULL;

	TAILQ_REMOVE(&c->jobs, job, entry);
	c->job_runs = false;
	log_info(c->config->name, "credential", "%s %s", words[job->work],
	    why == NULL ? "done" : "failed");
	if (why == NULL && job->work == CREDENTIAL_LOGOUT)
		c->why[0] = '\0';	/* what troubled the credential that is gone */
	if (job->done != NULL)
		job->done(job->arg, why);
	if (job->removed != NULL)
		job->removed(job->arg, why, why == NULL ? &job->record : &nothing);
	record_free(job->record);
	free(job);
}

/* One that needs a person, or an older token that is still to be stored: not now. */
static const char *
why_no_renewal(const struct credential *c)
{
	if (!c->machine.renews_itself)
		return "this upstream's grant needs a login";
	if (c->machine.state != REFRESH_IDLE)
		return "the token before cannot be stored";
	return NULL;
}

bool
credential_next_job(struct credential *c)
{
	struct credential_job *job;
	const char *why;

	while ((job = TAILQ_FIRST(&c->jobs)) != NULL) {
		c->job_runs = true;
		switch (job->work) {
		case CREDENTIAL_LOGIN:
			c->machine.login = credential_facts(c, job->record);
			credential_feed(c, REFRESH_LOGIN);
			return true;
		case CREDENTIAL_LOGOUT:
			credential_feed(c, REFRESH_LOGOUT);
			return true;
		case CREDENTIAL_RENEWAL:
			why = why_no_renewal(c);
			if (why == NULL) {
				credential_feed(c, REFRESH_EXPIRED);
				return true;
			}
			credential_finish_job(c, why);
			break;
		}
	}
	return false;
}

/* A renewal is an ordinary transaction: it is over with what it says to those who wait. */
void
credential_job_step(struct credential *c, unsigned actions)
{
	const struct credential_job *job = TAILQ_FIRST(&c->jobs);
	bool over = (actions & (A_JOB_OK | A_JOB_FAILED)) != 0;
	bool ok = (actions & A_JOB_OK) != 0;

	if (!c->job_runs)
		return;
	if (job->work == CREDENTIAL_RENEWAL) {
		over = refresh_at_rest(&c->machine) && actions & (A_WAKE | A_FAIL);
		ok = (actions & A_GRANT) != 0;
	}
	if (over)
		credential_finish_job(c, ok ? NULL : c->why[0] != '\0' ? c->why : "draining");
}

void
credential_refuse_jobs(struct credential *c)
{
	while (!c->job_runs && !TAILQ_EMPTY(&c->jobs) &&
	    TAILQ_FIRST(&c->jobs)->work != CREDENTIAL_LOGIN)
		credential_finish_job(c, "the daemon is stopping");
}

void
credential_free_jobs(struct credential *c)
{
	struct credential_job *job;

	while ((job = TAILQ_FIRST(&c->jobs)) != NULL) {
		TAILQ_REMOVE(&c->jobs, job, entry);
		record_free(job->record);
		free(job);
	}
}
