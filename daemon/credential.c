#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "credential_impl.h"
#include "oauth.h"

/* --- facts --- */

static const char *
endpoint(const struct credential *c, const struct record *rec)
{
	return rec->token_endpoint != NULL ? rec->token_endpoint : c->config->oauth.token_endpoint;
}

static struct refresh_facts
facts_of(const struct credential *c, const struct record *rec)
{
	struct refresh_facts f = { 0 };
	char hash[HASH_HEX];

	record_hash(rec->refresh_token, hash);
	f.access = record_id(rec->access_token);
	f.renewal = record_id(rec->refresh_token);
	f.expires_at = rec->expires_at;
	f.lifetime = rec->lifetime;
	f.renewable = record_renewable(rec) && endpoint(c, rec) != NULL;
	f.foreign = c->config->oauth.issuer != NULL && rec->issuer != NULL &&
	    strcmp(c->config->oauth.issuer, rec->issuer) != 0;
	if (hash[0] != '\0' && strcmp(hash, rec->intent.hash) == 0) {
		f.tries = rec->intent.tries;
		f.tried_at = rec->intent.at;
	}
	return f;
}

/* Memory's record is now `rec` (taken; NULL empties it). */
static void
hold(struct credential *c, struct record *rec)
{
	record_free(c->cur);
	c->cur = rec;
	buf_reset(&c->header);
	if (rec != NULL && (buf_adds(&c->header, "Authorization: Bearer ") < 0 ||
	    buf_adds(&c->header, rec->access_token) < 0 || buf_adds(&c->header, "\r\n") < 0))
		abort();	/* a few KiB */
}

static void
trouble(struct credential *c, const char *what, const char *why)
{
	snprintf(c->why, sizeof(c->why), "%s%s%s", what, why[0] != '\0' ? ": " : "", why);
}

void
credential_explain(const struct credential *c, struct failure *f)
{
	/* c->why is made of our own words, but may name paths: log and status only. */
	const char *words = "";

	if (c->bearer != NULL && f->reason == REASON_LOGIN_REQUIRED)
		f->reason = REASON_BEARER_REJECTED;	/* A4: nobody can log in to it */
	if (c->bearer != NULL && f->reason == REASON_STORE)
		words = "the configured bearer cannot be read";

	if (f->reason == REASON_UPSTREAM_UNREACHABLE)
		words = "the authorization server did not answer properly";
	else if (f->reason == REASON_LOGIN_REQUIRED && c->machine.refusals > 0)
		words = "the authorization server refuses this client's configuration";
	else if (f->reason == REASON_BEARER_REJECTED && c->machine.breaker_delay != 0)
		words = "a fresh token was rejected; trying again soon";
	snprintf(f->detail, sizeof(f->detail), "%s", words);
}

/* --- those who wait --- */

void
credential_park(struct credential *c, struct auth_waiter *w)
{
	w->queued = 1;
	w->failed = false;
	TAILQ_INSERT_TAIL(&c->waiting, w, entry);
}

void
credential_unpark(struct credential *c, struct auth_waiter *w)
{
	if (w->queued == 1)
		TAILQ_REMOVE(&c->waiting, w, entry);
	else if (w->queued == 2)
		TAILQ_REMOVE(&c->woken, w, entry);
	w->queued = 0;
}

static void
wake_all(void *arg)
{
	struct credential *c = arg;
	struct auth_waiter *w;

	while ((w = TAILQ_FIRST(&c->woken)) != NULL) {
		credential_unpark(c, w);
		w->wake(w->arg);
	}
}

/* Everybody is answered at the end of the turn, in the order of asking. */
static void
release_waiters(struct credential *c, unsigned actions)
{
	struct auth_waiter *w;

	if (!(actions & (A_WAKE | A_FAIL)) || TAILQ_EMPTY(&c->waiting))
		return;
	while ((w = TAILQ_FIRST(&c->waiting)) != NULL) {
		TAILQ_REMOVE(&c->waiting, w, entry);
		TAILQ_INSERT_TAIL(&c->woken, w, entry);
		w->queued = 2;
		w->granted |= (actions & A_GRANT) != 0;	/* kept while the store is reread once more */
		w->failed = (actions & A_FAIL) != 0;
		if (!w->failed)
			continue;
		w->failure = (struct failure){ .reason = c->machine.reason };
		credential_explain(c, &w->failure);
	}
	loop_defer(c->loop, wake_all, c);
}

/* --- what the machine asks for --- */

static void
on_locked(void *arg, struct store_reply *r)
{
	struct credential *c = *(struct credential **)arg;

	if (r->result == STORE_OK) {
		c->lock = r->lock;
		credential_feed(c, REFRESH_LOCKED);
		return;
	}
	trouble(c, "lock", r->why);
	credential_feed(c, r->result == STORE_TIMEOUT ? REFRESH_LOCK_TIMEOUT : REFRESH_LOCK_FAILED);
}

static void
on_loaded(void *arg, struct store_reply *r)
{
	struct credential *c = *(struct credential **)arg;
	struct now now = loop_now(c->loop);
	struct refresh_facts f;

	if (r->result == STORE_OK) {
		record_free(c->stored);
		c->stored = r->record;
		r->record = NULL;
		f = facts_of(c, c->stored);
		if (f.foreign)
			trouble(c, "the stored credential is for another issuer", "");
		credential_feed(c, refresh_saw_stored(&c->machine, REFRESH_FOUND, &f, &now));
		return;
	}
	if (r->result != STORE_GONE)
		trouble(c, "store", r->why);
	credential_feed(c, refresh_saw_stored(&c->machine,
	    r->result == STORE_GONE ? REFRESH_ABSENT : REFRESH_UNREADABLE, NULL, &now));
}

static void
on_saved(void *arg, struct store_reply *r)
{
	struct credential *c = *(struct credential **)arg;
	struct now now = loop_now(c->loop);

	if (r->result != STORE_OK)
		trouble(c, "store", r->why);
	credential_feed(c, refresh_saw_saved(&c->machine, r->result == STORE_OK, &now));
}

/* A4: the machine's reread is one of the bearer's source; its lock is nobody else's concern. */
static void
bearer_locked(void *arg)
{
	credential_feed(arg, REFRESH_LOCKED);
}

static void
on_bearer(void *arg, struct record *rec, const char *why)
{
	struct credential *c = arg;
	struct now now = loop_now(c->loop);
	struct refresh_facts f;

	if (rec == NULL) {
		trouble(c, why, "");
		credential_feed(c, refresh_saw_stored(&c->machine, REFRESH_UNREADABLE, NULL, &now));
		return;
	}
	record_free(c->stored);
	c->stored = rec;
	f = facts_of(c, rec);
	f.renewable = f.foreign = false;
	credential_feed(c, refresh_saw_stored(&c->machine, REFRESH_FOUND, &f, &now));
}

static void
lock(struct credential *c)
{
	if (c->bearer != NULL)
		loop_defer(c->loop, bearer_locked, c);
	else
		store_lock(c->store, &c->key, on_locked, &c->ops);
}

static void
reread(struct credential *c)
{
	if (c->bearer != NULL)
		bearer_read(c->bearer, on_bearer, c);
	else
		store_load(c->store, &c->key, on_loaded, &c->ops);
}

static void
save(struct credential *c, const struct record *rec)
{
	store_save(c->store, &c->key, rec, on_saved, &c->ops);
}

/* C8, and taking it back. */
static void
save_intent(struct credential *c)
{
	record_hash(c->machine.cur.tries > 0 ? c->cur->refresh_token : NULL, c->cur->intent.hash);
	c->cur->intent.tries = c->machine.cur.tries;
	c->cur->intent.at = c->machine.cur.tried_at;
	save(c, c->cur);
}

/* D, invalid_grant: durably, by hash; a store that refuses the mark still leaves it in memory. */
static void
save_mark(struct credential *c)
{
	record_hash(c->cur->refresh_token, c->cur->dead);
	memset(&c->cur->intent, 0, sizeof(c->cur->intent));
	save(c, c->cur);
}

static void
on_token(void *arg, struct fetch_reply *r)
{
	struct credential *c = arg;
	struct now now = loop_now(c->loop);
	struct token_answer answer = { 0 };
	struct refresh_facts f = { 0 };
	enum token_class class = TOKEN_UNKNOWN;
	enum refresh_event ev;

	c->fetch = NULL;
	if (r->outcome == FETCH_ANSWER)
		class = token_classify(r->status, r->body.p, r->body.len, now.wall, &answer);
	else if (r->outcome == FETCH_UNSENT)
		class = TOKEN_TRANSIENT;
	if (class == TOKEN_OK) {
		record_free(c->minted);
		c->minted = record_renew(c->cur, &answer, now.wall);
		if (c->minted == NULL)
			class = TOKEN_UNKNOWN;
		else
			f = facts_of(c, c->minted);
		if (answer.odd_expiry)
			log_warn(c->config->name, "refresh",
			    "the token response has an unusable expires_in; taken as unknown");
	}
	if (class != TOKEN_OK)
		snprintf(c->why, sizeof(c->why), "token endpoint: %s (status %d%s%s)",
		    r->outcome == FETCH_ANSWER ? "refused" : r->why, r->status,
		    answer.error[0] != '\0' ? ", " : "", answer.error);
	ev = refresh_saw_token(&c->machine, class, &f, r->retry_after, &now);
	snprintf(c->last_result, sizeof(c->last_result), "%s", refresh_event_name(ev));
	token_free(&answer);
	credential_feed(c, ev);
}

/* Nothing could even be asked: said like an endpoint that cannot be reached. */
static void
unsent(void *arg)
{
	struct fetch_reply r = { .outcome = FETCH_UNSENT, .why = "no request could be made" };

	on_token(arg, &r);
}

/* The record as the request needs it: the config fills what the login did not say. */
static int
token_request(struct credential *c, struct buf *body, struct buf *authorization)
{
	const struct config_upstream *u = c->config;
	struct record rec = *c->cur;	/* borrowed, not owned */

	if (rec.client_id == NULL)
		rec.client_id = u->oauth.client_id;
	if (rec.client_secret == NULL)
		rec.client_secret = u->oauth.client_secret;
	if (rec.auth_method == NULL)
		rec.auth_method = u->oauth.token_endpoint_auth_method;
	if (u->oauth.resource != NULL)
		rec.resource = u->oauth.resource;
	if (u->oauth.resource_omit)
		rec.resource = NULL;
	return oauth_refresh_request(&rec, body, authorization);
}

static void
send_request(struct credential *c)
{
	_cleanup_(buf_free) struct buf body = BUF_SECRET(MIB);
	_cleanup_(buf_free) struct buf authorization = BUF_SECRET(MIB);
	struct fetch_request req = {
		.url = endpoint(c, c->cur),
		.way = way_of(c->config),
		.timeout_ms = TOKEN_WAIT,
		.max_body = TOKEN_BODY,
		.allow_insecure = c->config->allow_insecure,
	};

	c->requests++;
	log_info(c->config->name, "refresh", "asking the authorization server for a new token");
	if (token_request(c, &body, &authorization) == 0) {
		req.form = (struct slice){ body.p, body.len };
		if (authorization.len > 0)
			req.authorization = authorization.p;
		c->fetch = fetch_start(c->connector, &req, on_token, c);
	}
	if (c->fetch == NULL)
		loop_defer(c->loop, unsent, c);
}

/* C7 becomes real with discovery; until then what is stored is believed. */
static void
verified(void *arg)
{
	credential_feed(arg, REFRESH_VERIFIED);
}

static void
unlock(struct credential *c)
{
	store_unlock(c->lock);
	c->lock = NULL;
}

static void
give_up_running(struct credential *c)
{
	store_forget(c->store, &c->ops);
	if (c->bearer != NULL)
		bearer_forget(c->bearer);
	loop_undefer(c->loop, c);
	if (!TAILQ_EMPTY(&c->woken))
		loop_defer(c->loop, wake_all, c);
}

static void
hold_what_came(struct credential *c, unsigned actions)
{
	if (actions & A_TAKE) {
		c->adoptions += c->cur != NULL && c->stored != NULL &&
		    strcmp(c->cur->access_token, c->stored->access_token) != 0;
		hold(c, c->stored);
		c->stored = NULL;
	}
	if (actions & A_INSTALL) {
		hold(c, c->minted);
		c->minted = NULL;
		c->refreshes++;
		c->refreshed_at = c->cur->obtained_at;
		c->why[0] = '\0';
		log_info(c->config->name, "refresh", "new token, generation %llu",
		    (unsigned long long)c->machine.generation);
	}
	if (actions & A_INSTALL_LOGIN) {
		struct credential_job *job = TAILQ_FIRST(&c->jobs);

		hold(c, job->record);
		job->record = NULL;
		c->why[0] = '\0';
	}
	if (actions & A_DROP)
		hold(c, NULL);
}

static void
begin_what_follows(struct credential *c, unsigned actions)
{
	if (actions & A_LOCK)
		lock(c);
	if (actions & A_REREAD)
		reread(c);
	if (actions & A_VERIFY)
		loop_defer(c->loop, verified, c);
	if (actions & (A_INTENT | A_CLEAR))
		save_intent(c);
	if (actions & A_MARK)
		save_mark(c);
	if (actions & A_SEND)
		send_request(c);
	if (actions & A_PERSIST)
		save(c, c->minted != NULL ? c->minted : c->cur);
	if (actions & A_SAVE_LOGIN)
		save(c, TAILQ_FIRST(&c->jobs)->record);
	if (actions & A_DELETE)
		store_delete(c->store, &c->key, on_saved, &c->ops);
	if (actions & A_UNLOCK)
		unlock(c);
}

static void
finish_job(struct credential *c, bool ok)
{
	struct credential_job *job = TAILQ_FIRST(&c->jobs);

	TAILQ_REMOVE(&c->jobs, job, entry);
	c->job_runs = false;
	log_info(c->config->name, "credential", "%s %s", job->logout ? "logout" : "login",
	    ok ? "done" : "failed");
	if (job->done != NULL)
		job->done(job->arg, ok ? NULL : c->why[0] != '\0' ? c->why : "draining");
	record_free(job->record);
	free(job);
}

/* --- at rest --- */

/* B4: only where the config asks for it. */
static void
arm_background(struct credential *c)
{
	struct now now = loop_now(c->loop);
	int64_t due = refresh_due_at(&c->machine.cur);

	if (!c->config->refresh_background || !c->machine.cur.renewable ||
	    due == EXPIRES_UNKNOWN || c->machine.draining)
		return;
	timer_set(&c->background, MAX(due - now.wall, c->machine.retry_at - now.boot));
}

static void
on_background(void *arg)
{
	struct credential *c = arg;
	struct now now = loop_now(c->loop);

	if (c->machine.state == REFRESH_IDLE && c->machine.cur.renewable &&
	    now.wall >= refresh_due_at(&c->machine.cur) && c->machine.retry_at <= now.boot)
		credential_feed(c, REFRESH_DUE);
	else
		arm_background(c);
}

static void
refuse_jobs(struct credential *c)
{
	while (!c->job_runs && !TAILQ_EMPTY(&c->jobs)) {
		trouble(c, "the daemon is stopping", "");
		finish_job(c, false);
	}
}

static void
on_drained(void *arg)
{
	struct credential *c = arg;

	if (c->drained != NULL)
		c->drained(c->drained_arg);
	c->drained = NULL;
}

/* Since it was deferred somebody may have taken it back, or something may have begun. */
static void
on_unused(void *arg)
{
	struct credential *c = arg;

	if (c->unused != NULL && c->machine.state == REFRESH_IDLE && TAILQ_EMPTY(&c->jobs))
		c->unused(c->unused_arg);
}

/* Nothing runs any more: what has waited for that? */
static void
rest(struct credential *c)
{
	struct credential_job *job;

	if (c->machine.draining) {
		refuse_jobs(c);
		if (c->machine.state == REFRESH_IDLE || c->machine.state == REFRESH_VOID)
			loop_defer(c->loop, on_drained, c);
		return;
	}
	if (!refresh_at_rest(&c->machine))
		return;
	if ((job = TAILQ_FIRST(&c->jobs)) != NULL) {
		c->job_runs = true;
		if (job->record != NULL)
			c->machine.login = facts_of(c, job->record);
		credential_feed(c, job->record != NULL ? REFRESH_LOGIN : REFRESH_LOGOUT);
		return;
	}
	if (refresh_noted(&c->machine))
		credential_feed(c, REFRESH_CHANGED);
	else if (c->unused != NULL)
		loop_defer(c->loop, on_unused, c);
	else
		arm_background(c);
}

/* What a loud step means to the administrator. */
static const char *
loud_words(enum refresh_event ev, enum refresh_state from)
{
	static const char *const words[REFRESH_EVENTS] = {
		[REFRESH_LOCK_TIMEOUT] = "another process keeps the credential's lock; nothing was asked for",
		[REFRESH_LOCK_FAILED] = "the credential's lock cannot be taken; nothing was asked for",
		[REFRESH_BAD] = "the credential cannot be read; what is in memory stays",
		[REFRESH_OTHER_ISSUER] = "the credential is for another issuer than the config's: log in anew",
		[REFRESH_MISMATCH] = "the server names another authorization server now: log in anew",
		[REFRESH_TOKEN_REFUSED] = "the authorization server refuses this client: mend the config or log in anew",
		[REFRESH_UNCHANGED] = "the refresh token is dead: log in anew once the access token has expired",
		[REFRESH_SAVE_FAILED] = "the store cannot be written",
		[REFRESH_SAVE_FAILED_LIVE] = "the store cannot be written: no refresh while the token lives",
	};

	if (ev == REFRESH_SAVE_FAILED && from == REFRESH_PERSISTING)
		return "the new token cannot be stored: it is used from memory, and storing is tried again";
	return words[ev] != NULL ? words[ev] : refresh_event_name(ev);
}

static void
say(const struct credential *c, enum refresh_event ev, const struct refresh_out *out)
{
	log_debug(c->config->name, "machine", "%s: %s -> %s", refresh_event_name(ev),
	    refresh_state_name(out->from), refresh_state_name(c->machine.state));
	if (out->actions & A_LOUD)
		log_err(c->config->name, "credential", "%s%s%s", loud_words(ev, out->from),
		    c->why[0] != '\0' ? ": " : "", c->why);
}

/*
 * The order matters: hold the record before anybody is woken; begin the next
 * write before the lock goes (they are never in one cell); the job last.
 */
void
credential_feed(struct credential *c, enum refresh_event ev)
{
	struct now now = loop_now(c->loop);
	struct refresh_out out;

	if (refresh_step(&c->machine, ev, &now, &out) < 0) {
		log_err(c->config->name, "machine", "%s cannot happen in %s",
		    refresh_event_name(ev), refresh_state_name(c->machine.state));
		abort();
	}
	if (ev == REFRESH_DRAIN && out.actions & A_UNLOCK)
		give_up_running(c);
	hold_what_came(c, out.actions);
	say(c, ev, &out);
	begin_what_follows(c, out.actions);
	if (out.actions & A_TIMER)
		timer_set(&c->retry, out.timer);
	release_waiters(c, out.actions);
	if (out.actions & (A_JOB_OK | A_JOB_FAILED))
		finish_job(c, (out.actions & A_JOB_OK) != 0);
	rest(c);
}

/* --- life --- */

static void
on_changed(void *arg)
{
	credential_feed(arg, REFRESH_CHANGED);
}

static void
on_retry(void *arg)
{
	credential_feed(arg, REFRESH_TIMER);
}

struct credential *
credential_new(struct loop *loop, struct store *store, struct connector *connector,
    const struct config_upstream *config)
{
	struct credential *c = calloc(1, sizeof(*c));
	struct now now = loop_now(loop);

	if (c == NULL)
		return NULL;
	*c = (struct credential){ .loop = loop, .store = store, .connector = connector,
	    .config = config, .key = { config->name, config->url.text } };
	c->ops = c;
	c->header = BUF_SECRET(2 * TOKEN_BYTES);
	TAILQ_INIT(&c->waiting);
	TAILQ_INIT(&c->woken);
	TAILQ_INIT(&c->jobs);
	timer_init(&c->retry, loop, on_retry, c);
	timer_init(&c->background, loop, on_background, c);
	refresh_init(&c->machine, (uint32_t)(now.boot ^ now.wall ^ getpid()) | 1);
	if (config->auth == CONFIG_BEARER) {
		c->machine.rereads = true;
		c->bearer = bearer_new(loop, store_worker(store), config, on_changed, c);
		if (c->bearer == NULL)
			abort();
	} else if (store_watch(store, &c->key, on_changed, c) < 0)
		log_warn(config->name, "store", "changes by other processes will not be seen");
	credential_feed(c, REFRESH_CHANGED);
	return c;
}

void
credential_free(struct credential *c)
{
	struct credential_job *job;

	if (c == NULL)
		return;
	if (c->bearer == NULL)
		store_watch(c->store, &c->key, NULL, NULL);
	bearer_free(c->bearer);
	store_forget(c->store, &c->ops);
	fetch_cancel(c->fetch);
	unlock(c);
	timer_clear(&c->retry);
	timer_clear(&c->background);
	while ((job = TAILQ_FIRST(&c->jobs)) != NULL) {
		TAILQ_REMOVE(&c->jobs, job, entry);
		record_free(job->record);
		free(job);
	}
	loop_undefer(c->loop, c);
	record_free(c->cur);
	record_free(c->stored);
	record_free(c->minted);
	buf_free(&c->header);
	free(c);
}

void
credential_drain(struct credential *c, void (*drained)(void *), void *arg)
{
	c->drained = drained;
	c->drained_arg = arg;
	timer_clear(&c->background);
	credential_feed(c, REFRESH_DRAIN);
}

void
credential_release(struct credential *c, void (*unused)(void *), void *arg)
{
	c->unused = unused;
	c->unused_arg = arg;
	if (unused != NULL)
		timer_clear(&c->background);
	if (c->machine.state == REFRESH_IDLE)
		rest(c);
}

void
credential_configure(struct credential *c, const struct config_upstream *config)
{
	c->config = config;
	c->key = (struct store_key){ config->name, config->url.text };
}

void
credential_forgive(struct credential *c)
{
	if (c->machine.retry_at != 0 || c->machine.breaker_delay != 0)
		log_info(c->config->name, "credential", "back-off and breaker are forgotten");
	refresh_forgive(&c->machine);
	if (c->machine.state == REFRESH_IDLE)
		rest(c);
}

void
credential_reread(struct credential *c)
{
	credential_feed(c, REFRESH_CHANGED);
}

static void
add_job(struct credential *c, struct record *rec, credential_done done, void *arg)
{
	struct credential_job *job = calloc(1, sizeof(*job));

	if (job == NULL)
		abort();
	*job = (struct credential_job){ .record = rec, .logout = rec == NULL,
	    .done = done, .arg = arg };
	TAILQ_INSERT_TAIL(&c->jobs, job, entry);
	if (!c->job_runs)
		rest(c);
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
	add_job(c, rec, done, arg);
}

void
credential_remove(struct credential *c, credential_done done, void *arg)
{
	add_job(c, NULL, done, arg);
}

void
credential_forget(struct credential *c, void *arg)
{
	struct credential_job *job;

	TAILQ_FOREACH(job, &c->jobs, entry)
		if (job->arg == arg)
			job->done = NULL;
}

/* --- status --- */

static const char *
login_word(const struct credential *c, const struct now *now)
{
	if (c->machine.state == REFRESH_VOID ||
	    (c->machine.state == REFRESH_LOADING && c->cur == NULL))
		return "loading";
	if (c->machine.unreadable && c->cur == NULL)
		return "store_fault";
	return refresh_login_required(&c->machine, now) ? "login_required" : "logged_in";
}

static int
add_string(struct buf *out, const char *key, const char *value)
{
	if (buf_addf(out, ",\"%s\":", key) < 0)
		return -ENOMEM;
	return value != NULL ? buf_addjson(out, value, strlen(value)) : buf_adds(out, "null");
}

static int
add_ms(struct buf *out, const char *key, int64_t ms)
{
	if (ms == EXPIRES_UNKNOWN || ms <= 0)
		return buf_addf(out, ",\"%s\":null", key);
	return buf_addf(out, ",\"%s\":%lld", key, (long long)(ms / SEC));
}

int
credential_status(struct credential *c, struct buf *out)
{
	const struct refresh *m = &c->machine;
	struct now now = loop_now(c->loop);
	int e = 0;

	e |= buf_adds(out, "{\"state\":");
	e |= buf_addf(out, "\"%s\"", login_word(c, &now));
	e |= add_string(out, "machine", refresh_state_name(m->state));
	e |= buf_addf(out, ",\"generation\":%llu,\"proven\":%s,\"renewable\":%s",
	    (unsigned long long)m->generation, m->proven ? "true" : "false",
	    m->cur.renewable ? "true" : "false");
	e |= add_ms(out, "expires_at", c->cur != NULL ? c->cur->expires_at : 0);
	e |= add_string(out, "issuer", c->cur != NULL ? c->cur->issuer : NULL);
	e |= add_string(out, "scope", c->cur != NULL ? c->cur->scope : NULL);
	e |= add_ms(out, "refreshed_at", c->refreshed_at);
	e |= add_string(out, "last_result", c->last_result[0] != '\0' ? c->last_result : NULL);
	e |= buf_addf(out, ",\"token_requests\":%llu,\"refreshes\":%llu,\"adoptions\":%llu",
	    (unsigned long long)c->requests, (unsigned long long)c->refreshes,
	    (unsigned long long)c->adoptions);
	e |= buf_addf(out, ",\"unpersisted\":%s,\"breaker\":\"%s\"",
	    m->unpersisted ? "true" : "false", m->breaker_delay != 0 ? "open" : "closed");
	e |= buf_addf(out, ",\"retry_in\":%lld",
	    (long long)(m->retry_at > now.boot ? (m->retry_at - now.boot + SEC - 1) / SEC : 0));
	e |= add_string(out, "trouble", c->why[0] != '\0' ? c->why : NULL);
	e |= buf_adds(out, "}");
	return e < 0 ? -ENOMEM : 0;
}
