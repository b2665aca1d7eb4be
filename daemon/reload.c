#include <limits.h>
#include <stdio.h>

#include "log.h"
#include "notify.h"
#include "reload.h"

#define WARNINGS	(64 * KIB)	/* of one reading; what is beyond is not told */

struct reload_ask {
	TAILQ_ENTRY(reload_ask) entry;
	reload_done	 done;		/* NULL: nobody wants to know */
	void		*arg;
	bool		 current;	/* the job under way serves it */
};

/* Shares nothing with the loop while the worker has it. */
struct reload_job {
	struct reload	*reload;
	char		*file, *dir;
	struct generation *g;		/* NULL: the config is wrong */
	struct config_error error;
	struct buf	 warnings;	/* one after another, each with its NUL */
};

static void	start(struct reload *);

static void
job_free(struct reload_job *job)
{
	if (job == NULL)
		return;
	generation_drop(job->g);
	buf_free(&job->warnings);
	free(job->file);
	free(job->dir);
	free(job);
}

/* --- on the worker --- */

static void
warned(void *arg, const struct config_error *e)
{
	struct reload_job *job = arg;
	char words[CONFIG_WORDS];

	config_error_words(e, words);
	(void)buf_add(&job->warnings, words, strlen(words) + 1);
}

static void
job_run(void *arg)
{
	struct reload_job *job = arg;
	char path[PATH_MAX];

	job->g = generation_read(job->file, job->dir, path, warned, job, &job->error);
}

/* --- on the loop --- */

/* Those who came since wait for the next one. */
static void
tell(struct reload *r, const char *why, bool fault)
{
	struct reload_ask *a, *next;

	for (a = TAILQ_FIRST(&r->asks); a != NULL; a = next) {
		next = TAILQ_NEXT(a, entry);
		if (!a->current)
			continue;
		TAILQ_REMOVE(&r->asks, a, entry);
		if (a->done != NULL)
			a->done(a->arg, why, fault);
		free(a);
	}
}

static void
finish(struct reload *r, const char *why, bool fault)
{
	if (why == NULL)
		log_info(NULL, "reload", "reloaded: %zu upstreams", r->service->front->nupstreams);
	else
		log_err(NULL, "reload", "not reloaded, nothing has changed: %s", why);
	notify_reloaded(why);
	tell(r, why, fault);
	r->running = false;
	if (!TAILQ_EMPTY(&r->asks))
		start(r);
}

static void
job_done(void *arg)
{
	struct reload_job *job = arg;
	struct reload *r = job->reload;
	char why[CONFIG_WORDS];
	const char *p;
	bool ok = false, fault = true;

	r->job = NULL;
	for (p = job->warnings.p; p != NULL && p < job->warnings.p + job->warnings.len;
	    p += strlen(p) + 1)
		log_warn(NULL, "config", "%s", p);
	if (r->service->draining) {
		snprintf(why, sizeof(why), "the daemon is stopping");
		fault = false;
	} else if (job->g == NULL) {
		config_error_words(&job->error, why);
	} else if (service_apply(r->service, job->g, why, sizeof(why))) {
		ok = true;
		log_set_level(r->level != -1 ? r->level : job->g->config.log.level);
		job->g = NULL;
	}
	job_free(job);
	finish(r, ok ? NULL : why, fault);
}

static struct reload_job *
job_new(struct reload *r)
{
	struct reload_job *job = calloc(1, sizeof(*job));

	if (job == NULL)
		return NULL;
	job->reload = r;
	job->warnings = BUF_INIT(WARNINGS);
	job->dir = strdup(r->dir);
	job->file = r->file != NULL ? strdup(r->file) : NULL;
	if (job->dir != NULL && (job->file != NULL || r->file == NULL))
		return job;
	job_free(job);
	return NULL;
}

static void
no_memory(void *arg)
{
	finish(arg, "out of memory", false);
}

static void
start(struct reload *r)
{
	struct reload_ask *a;

	TAILQ_FOREACH(a, &r->asks, entry)
		a->current = true;
	r->running = true;
	notify_reloading();
	r->job = job_new(r);
	if (r->job != NULL && worker_give(r->worker, job_run, job_done, r->job) == 0)
		return;
	job_free(r->job);
	r->job = NULL;
	loop_defer(r->service->loop, no_memory, r);
}

void
reload_init(struct reload *r)
{
	TAILQ_INIT(&r->asks);
}

void
reload_begin(struct reload *r, reload_done done, void *arg)
{
	struct reload_ask *a = calloc(1, sizeof(*a));

	if (a == NULL) {
		log_err(NULL, "memory", "out of memory");
		abort();
	}
	a->done = done;
	a->arg = arg;
	TAILQ_INSERT_TAIL(&r->asks, a, entry);
	if (!r->running)
		start(r);
}

void
reload_forget(struct reload *r, void *arg)
{
	struct reload_ask *a;

	TAILQ_FOREACH(a, &r->asks, entry)
		if (a->arg == arg)
			a->done = NULL;
}

void
reload_free(struct reload *r)
{
	struct reload_ask *a;

	while ((a = TAILQ_FIRST(&r->asks)) != NULL) {
		TAILQ_REMOVE(&r->asks, a, entry);
		free(a);
	}
	job_free(r->job);
}
