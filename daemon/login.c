#include <stdarg.h>
#include <stdio.h>

#include "log.h"
#include "login_impl.h"
#include "scope.h"

#define TICK	(15 * SEC)	/* a watcher hears at least that often */
#define NO_SCOPE 1		/* the id of a step-up that named no scope: counted like any other */

char *
login_copy(const char *text)
{
	char *copy = text != NULL ? strdup(text) : NULL;

	if (text != NULL && copy == NULL)
		abort();
	return copy;
}

/* --- the end of a flow --- */

static void
stop(struct login_run *r)
{
	struct login *l = r->login;

	discover_cancel(r->discover);
	fetch_cancel(r->fetch);
	grant_cancel(r->grant);
	callback_close(r->callback);
	timer_clear(&r->poll);
	store_forget(l->store, r);
	credential_forget(l->credential, r);
	loop_undefer(l->loop, r);
	discovery_result_free(&r->found);
	record_free(r->draft);
	device_free(&r->device);
	grant_memory_clear(&r->memory);
	secret_free(r->url);
	free(r->wish);
	free(r->granted);
	free(r->redirect_uri);
	free(r->client_key);
	secret_freen(r, sizeof(*r));
}

static void
answer_browser(struct login_run *r, enum page page, const char *detail)
{
	if (r->callback != NULL)
		callback_answer(r->callback, page, detail);
}

static void
on_drained(void *arg)
{
	struct login *l = arg;

	if (l->drained != NULL)
		l->drained(l->drained_arg);
	l->drained = NULL;
}

/* The last event is told and everybody is let go.  ended() begins nothing from within. */
static void
finish(struct login_run *r, enum flow_end end, struct buf *event)
{
	struct login *l = r->login;
	struct now now = loop_now(l->loop);
	bool held = l->policy.kind != FLOW_RENEWAL;
	struct login_watcher *w;

	l->run = NULL;
	timer_clear(&l->limit);
	timer_clear(&l->tick);
	stop(r);
	flow_end(&l->policy, end, &now);
	if (held)
		credential_login_runs(l->credential, false, 0);
	while ((w = TAILQ_FIRST(&l->watchers)) != NULL) {
		TAILQ_REMOVE(&l->watchers, w, entry);
		login_tell(l, w, event);
		w->ended(w->arg, end == FLOW_DONE);
	}
	buf_free(event);
	if (l->policy.stopping)
		loop_defer(l->loop, on_drained, l);
}

void
login_done(struct login_run *r)
{
	struct buf event = BUF_INIT(0);

	r->login->last[0] = '\0';
	answer_browser(r, PAGE_DONE, NULL);
	login_event_done(r, &event);
	finish(r, FLOW_DONE, &event);
}

void
login_fail(struct login_run *r, const char *reason, const char *hint, const char *fmt, ...)
{
	struct login *l = r->login;
	struct buf event = BUF_INIT(0);
	char message[640];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(message, sizeof(message), fmt, ap);
	va_end(ap);
	snprintf(l->last, sizeof(l->last), "%.199s", message);
	log_warn(l->config->name, "login", "failed: %s", message);
	answer_browser(r, PAGE_FAILED, message);
	login_event_failed(&event, reason, message, hint);
	finish(r, FLOW_FAILED, &event);
}

bool
login_stopped(struct login_run *r)
{
	if (!r->login->policy.stopping)
		return false;
	login_fail(r, "draining", NULL, "the daemon is stopping");
	return true;
}

/*
 * The server may have forgotten the client, and have said so in the browser
 * alone: the next login registers anew.
 */
static void
doubt_client(struct login_run *r)
{
	if (r->stored && r->url != NULL && !r->redirected)
		login_drop_client(r);
}

static void
on_limit(void *arg)
{
	struct login *l = arg;

	if (l->run->step == STEP_SAVE)
		return;
	doubt_client(l->run);
	login_fail(l->run, "timeout", NULL, "nobody has finished the login within %lld s",
	    LOGIN_LIMIT / SEC);
}

/* --- progress --- */

void
login_progress(struct login_run *r, const char *fmt, ...)
{
	struct buf event = BUF_INIT(0);
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(r->words, sizeof(r->words), fmt, ap);
	va_end(ap);
	log_debug(r->login->config->name, "login", "%s", r->words);
	login_event_progress(&event, r->words);
	login_tell(r->login, NULL, &event);
	buf_free(&event);
}

int64_t
login_left(const struct login_run *r, int64_t most)
{
	struct now now = loop_now(r->login->loop);

	return MAX(MIN(flow_left(&r->login->policy, &now), most), 1);
}

static void
on_tick(void *arg)
{
	struct login *l = arg;
	struct buf event = BUF_INIT(0);
	char words[384];

	snprintf(words, sizeof(words), "%s (%lld s left)", l->run->words,
	    (long long)(login_left(l->run, LOGIN_LIMIT) / SEC));
	login_event_progress(&event, words);
	login_tell(l, NULL, &event);
	buf_free(&event);
	timer_set(&l->tick, TICK);
}

/* Who has come since is told how things stand. */
static void
catch_up(void *arg)
{
	struct login *l = arg;
	struct login_watcher *w;
	struct buf event = BUF_SECRET(0);	/* the URL */

	TAILQ_FOREACH(w, &l->watchers, entry) {
		if (w->told)
			continue;
		w->told = true;
		if (l->run->words[0] != '\0')
			login_event_progress(&event, l->run->words);
		login_tell(l, w, &event);
		buf_reset(&event);
		if (login_event_link(l->run, &event))
			login_tell(l, w, &event);
		buf_reset(&event);
	}
	buf_free(&event);
}

/* --- the beginning --- */

enum flow_kind
login_kind(const struct login *l)
{
	switch (l->config->oauth.grant) {
	case CONFIG_CLIENT_CREDENTIALS:
	case CONFIG_ID_JAG:
		return FLOW_RENEWAL;
	case CONFIG_DEVICE_CODE:
		return FLOW_DEVICE;
	case CONFIG_AUTHORIZATION_CODE:
		break;
	}
	return FLOW_BROWSER;
}

/* J, A11: which scope the upstream asks for beyond those held; 0 = this is no step-up. */
static uint64_t
challenged(const struct login *l)
{
	const struct challenge *ch = credential_challenge(l->credential);

	if (ch == NULL || ch->error == NULL || strcmp(ch->error, "insufficient_scope") != 0)
		return 0;
	return ch->scope != NULL ? record_id(ch->scope) : NO_SCOPE;
}

static void
on_begin(void *arg)
{
	login_begin(arg);
}

static int
begin(struct login *l, enum flow_by by, enum flow_kind kind, const struct login_wish *wish)
{
	struct login_run *r = calloc(1, sizeof(*r));
	struct now now = loop_now(l->loop);

	if (r == NULL)
		return -ENOMEM;
	r->login = l;
	r->challenged = challenged(l);
	login_device_init(r);
	if (wish != NULL) {
		r->manual = wish->manual;
		r->wish = login_copy(wish->scope);
	}
	l->run = r;
	flow_begin(&l->policy, by, kind, &now);
	timer_set(&l->limit, LOGIN_LIMIT);
	timer_set(&l->tick, TICK);
	if (kind != FLOW_RENEWAL)
		credential_login_runs(l->credential, true, l->whole->login.wait);
	log_info(l->config->name, "login", "begins: %s", by == FLOW_PERSON ? "a person asked" :
	    "requests need it");
	loop_defer(l->loop, on_begin, r);
	return 0;
}

/* Requests need a login: only where something can be run that brings it to a person (H5). */
static void
on_need(void *arg)
{
	struct login *l = arg;
	struct now now = loop_now(l->loop);
	enum flow_kind kind = login_kind(l);
	enum flow_verdict verdict;

	if (l->whole->login.command == NULL || kind == FLOW_RENEWAL)
		return;
	verdict = flow_ask(&l->policy, FLOW_NEED, kind, challenged(l), &now);
	if (verdict == FLOW_BEGIN && begin(l, FLOW_NEED, kind, NULL) < 0)
		log_err(l->config->name, "login", "out of memory");
	else if (verdict == FLOW_LATER)
		log_debug(l->config->name, "login", "needed, but not by itself for another %lld s",
		    (long long)((l->policy.retry_at - now.boot) / SEC));
	else if (verdict == FLOW_ENOUGH)
		log_debug(l->config->name, "login", "%d authorizations did not help: no more by itself",
		    STEP_UPS);
}

/* --- watchers --- */

/* What a person wishes, of this upstream's grant. */
static int
wished_kind(const struct login *l, const struct login_wish *wish, enum flow_kind *ret,
    const char **ret_why)
{
	enum flow_kind kind = login_kind(l);

	if (wish->scope != NULL && !scope_valid(wish->scope))
		*ret_why = "this is no scope: words of visible characters without quotes and backslashes, "
		    "separated by blanks";
	else if (kind == FLOW_RENEWAL && (wish->device || wish->scope != NULL))
		*ret_why = "this upstream's grant needs no person: its scopes stand in the config, and "
		    "there is nothing to authorize on another device";
	else {
		*ret = wish->device ? FLOW_DEVICE : kind;
		return 0;
	}
	return -EINVAL;
}

/* What is asked for already holds what is wished. */
static bool
serves(const struct login_run *r, const struct login_wish *wish)
{
	const char *asked = r->draft != NULL && r->draft->scope != NULL ? r->draft->scope : r->wish;

	return wish->scope == NULL || (asked != NULL && scope_contains(asked, wish->scope));
}

int
login_watch(struct login *l, const struct login_wish *wish, struct login_watcher *w,
    const char **ret_why)
{
	struct now now = loop_now(l->loop);
	enum flow_verdict verdict;
	enum flow_kind kind;
	int e;

	if ((e = wished_kind(l, wish, &kind, ret_why)) < 0)
		return e;
	verdict = flow_ask(&l->policy, FLOW_PERSON, kind, challenged(l), &now);
	if (verdict == FLOW_STOPPING)
		return -EAGAIN;
	if (verdict == FLOW_BUSY || (verdict == FLOW_JOIN && !serves(l->run, wish)))
		return -EBUSY;
	if (verdict == FLOW_BEGIN && (e = begin(l, FLOW_PERSON, kind, wish)) < 0)
		return e;
	l->run->manual |= wish->manual;
	flow_watch(&l->policy);
	w->told = false;
	TAILQ_INSERT_TAIL(&l->watchers, w, entry);
	loop_defer(l->loop, catch_up, l);
	return 0;
}

void
login_unwatch(struct login *l, struct login_watcher *w)
{
	struct buf event = BUF_INIT(0);

	TAILQ_REMOVE(&l->watchers, w, entry);
	if (!flow_unwatch(&l->policy) || l->run->step == STEP_SAVE)
		return;
	log_info(l->config->name, "login", "given up: nobody watches it any more");
	snprintf(l->last, sizeof(l->last), "given up by who had begun it");
	doubt_client(l->run);
	finish(l->run, FLOW_LEFT, &event);
}

int
login_paste(struct login *l, const char *text, size_t n, const char **ret_why)
{
	struct redirect_expected expected;
	struct redirect redirect;
	enum redirect_verdict verdict;

	if (l->run == NULL || l->run->step != STEP_PERSON || l->policy.kind != FLOW_BROWSER)
		return -ENOENT;
	login_expected(l->run, &expected);
	verdict = redirect_pasted(text, n, &expected, &redirect);
	if (verdict == REDIRECT_FOREIGN) {
		*ret_why = "this is not the redirect of this login: paste the whole address that the "
		    "browser ended at, or the code alone";
		redirect_free(&redirect);
		return -EBADMSG;
	}
	l->run->pasted = true;
	login_redirected(l->run, verdict, &redirect);
	redirect_free(&redirect);
	return 0;
}

/* --- life --- */

struct login *
login_new(struct loop *loop, struct connector *connector, struct store *store,
    struct credential *credential, const struct config_upstream *config,
    const struct config *whole)
{
	struct login *l = calloc(1, sizeof(*l));

	if (l == NULL)
		return NULL;
	*l = (struct login){ .loop = loop, .connector = connector, .store = store,
	    .credential = credential, .config = config, .whole = whole };
	TAILQ_INIT(&l->watchers);
	LIST_INIT(&l->logouts);
	timer_init(&l->limit, loop, on_limit, l);
	timer_init(&l->tick, loop, on_tick, l);
	credential_on_need(credential, on_need, l);
	return l;
}

void
login_free(struct login *l)
{
	if (l == NULL)
		return;
	if (l->run != NULL)
		login_fail(l->run, "cancelled", NULL, "the upstream is no longer configured");
	login_logouts_free(l);
	credential_on_need(l->credential, NULL, NULL);
	spawn_cancel(l->command);
	loop_undefer(l->loop, l);
	free(l);
}

/* What has been sent goes on; discovery, which follows the config, begins again. */
void
login_configure(struct login *l, const struct config_upstream *config, const struct config *whole)
{
	struct login_run *r = l->run;

	l->config = config;
	l->whole = whole;
	flow_forgive(&l->policy);
	login_logouts_configure(l);
	if (r == NULL)
		return;
	grant_memory_clear(&r->memory);
	grant_configure(r->grant, config);
	if (r->discover == NULL)
		return;
	discover_cancel(r->discover);
	r->discover = NULL;
	login_begin(r);
}

/* A token was asked for, or is there: it would be lost. */
static bool
awaits_token(const struct login_run *r)
{
	switch (r->step) {
	case STEP_DISCOVER:
	case STEP_CLIENT:
		return false;
	case STEP_PERSON:
		return r->grant != NULL;	/* a device's poll */
	case STEP_TOKEN:
	case STEP_RENEW:
	case STEP_SAVE:
		return true;
	}
	abort();
}

void
login_drain(struct login *l, void (*drained)(void *), void *arg)
{
	l->policy.stopping = true;
	l->drained = drained;
	l->drained_arg = arg;
	if (l->run == NULL)
		loop_defer(l->loop, on_drained, l);
	else if (!awaits_token(l->run))
		login_stopped(l->run);
	login_logouts_stop(l);
}

/* --- status --- */

static const char *
step_word(const struct login_run *r)
{
	switch (r->step) {
	case STEP_DISCOVER:
		return "discovery";
	case STEP_CLIENT:
		return "client";
	case STEP_PERSON:
		return "person";
	case STEP_TOKEN:
	case STEP_RENEW:
		return "token";
	case STEP_SAVE:
		return "saving";
	}
	abort();
}

int
login_status(const struct login *l, struct buf *out)
{
	struct now now = loop_now(l->loop);
	int64_t retry = MAX(l->policy.retry_at - now.boot, 0);
	int e = 0;

	if (l->run == NULL && l->last[0] == '\0')
		return buf_adds(out, "null");
	e |= buf_addf(out, "{\"running\":%s", l->run != NULL ? "true" : "false");
	if (l->run != NULL)
		e |= buf_addf(out, ",\"step\":\"%s\",\"by\":\"%s\",\"watchers\":%u,\"left_s\":%lld",
		    step_word(l->run), l->policy.by == FLOW_PERSON ? "person" : "need",
		    l->policy.watchers, (long long)(flow_left(&l->policy, &now) / SEC));
	e |= buf_addf(out, ",\"retry_in\":%lld,\"last_failure\":", (long long)((retry + SEC - 1) / SEC));
	e |= l->last[0] != '\0' ? buf_addjson(out, l->last, strlen(l->last)) : buf_adds(out, "null");
	e |= buf_adds(out, "}");
	return e < 0 ? -ENOMEM : 0;
}
