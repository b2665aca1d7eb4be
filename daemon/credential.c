#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "credential_impl.h"
#include "notify.h"
#include "scope.h"

/* --- facts --- */

static const char *
endpoint(const struct credential *c, const struct record *rec)
{
	return rec->token_endpoint != NULL ? rec->token_endpoint : c->config->oauth.token_endpoint;
}

struct refresh_facts
credential_facts(const struct credential *c, const struct record *rec)
{
	struct refresh_facts f = { 0 };
	char hash[HASH_HEX];

	record_hash(rec->refresh_token, hash);
	f.access = record_id(rec->access_token);
	f.renewal = record_id(rec->refresh_token);
	f.expires_at = rec->expires_at;
	f.lifetime = rec->lifetime;
	f.renewable = c->machine.renews_itself ||
	    (record_renewable(rec) && endpoint(c, rec) != NULL);
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

void
credential_trouble(struct credential *c, const char *what, const char *why)
{
	snprintf(c->why, sizeof(c->why), "%s%s%s", what, why[0] != '\0' ? ": " : "", why);
	memcpy(c->last_error, c->why, sizeof(c->last_error));
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
	credential_trouble(c, "lock", r->why);
	credential_feed(c, r->result == STORE_TIMEOUT ? REFRESH_LOCK_TIMEOUT : REFRESH_LOCK_FAILED);
}

/*
 * What is stored for another issuer is nobody's where no login is needed: a
 * token of the right one takes its place.
 */
static void
on_found(struct credential *c, const struct now *now)
{
	struct refresh_facts f = credential_facts(c, c->stored);

	if (f.foreign)
		credential_trouble(c, "the stored credential is for another issuer", "");
	if (f.foreign && c->machine.renews_itself) {
		record_free(c->stored);
		c->stored = NULL;
		credential_feed(c, refresh_saw_stored(&c->machine, REFRESH_ABSENT, NULL, now));
		return;
	}
	credential_feed(c, refresh_saw_stored(&c->machine, REFRESH_FOUND, &f, now));
}

static void
on_loaded(void *arg, struct store_reply *r)
{
	struct credential *c = *(struct credential **)arg;
	struct now now = loop_now(c->loop);

	record_free(c->stored);
	c->stored = NULL;
	if (r->result == STORE_OK) {
		c->stored = r->record;
		r->record = NULL;
		on_found(c, &now);
		return;
	}
	if (r->result != STORE_GONE)
		credential_trouble(c, "store", r->why);
	credential_feed(c, refresh_saw_stored(&c->machine,
	    r->result == STORE_GONE ? REFRESH_ABSENT : REFRESH_UNREADABLE, NULL, &now));
}

static void
on_saved(void *arg, struct store_reply *r)
{
	struct credential *c = *(struct credential **)arg;
	struct now now = loop_now(c->loop);

	if (r->result != STORE_OK)
		credential_trouble(c, "store", r->why);
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
		credential_trouble(c, why, "");
		credential_feed(c, refresh_saw_stored(&c->machine, REFRESH_UNREADABLE, NULL, &now));
		return;
	}
	record_free(c->stored);
	c->stored = rec;
	f = credential_facts(c, rec);
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

static void
nothing_to_save(void *arg)
{
	struct credential *c = arg;
	struct now now = loop_now(c->loop);

	credential_feed(c, refresh_saw_saved(&c->machine, true, &now));
}

/* C8, and taking it back.  A grant that renews itself spends nothing: nothing to note. */
static void
save_intent(struct credential *c)
{
	if (c->machine.renews_itself || c->cur == NULL) {
		loop_defer(c->loop, nothing_to_save, c);
		return;
	}
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

/* For status; the words are an interface. */
static const char *
result_word(enum refresh_event ev)
{
	switch ((int)ev) {
	case REFRESH_TOKEN_OK:
		return "ok";
	case REFRESH_TOKEN_DEAD:
		return "dead";
	case REFRESH_TOKEN_REFUSED:
		return "refused";
	case REFRESH_TOKEN_STRIKE:
		return "rejected";
	case REFRESH_TOKEN_TRANSIENT:
		return "unreachable";
	default:
		return "unknown";
	}
}

static void
on_token(void *arg, struct grant_reply *r)
{
	struct credential *c = arg;
	struct now now = loop_now(c->loop);
	struct refresh_facts f = { 0 };
	enum token_class class = r->class;
	enum refresh_event ev;

	c->grant = NULL;
	if (class == TOKEN_OK) {
		record_free(c->minted);
		c->minted = record_renew(r->rec, &r->answer, now.wall);
		if (c->minted == NULL)
			class = TOKEN_UNKNOWN;
		else
			f = credential_facts(c, c->minted);
	}
	if (class != TOKEN_OK)
		credential_trouble(c, r->why[0] != '\0' ? r->why : "out of memory", "");
	ev = refresh_saw_token(&c->machine, class, &f, r->retry_after, &now);
	snprintf(c->last_result, sizeof(c->last_result), "%s", result_word(ev));
	credential_feed(c, ev);
}

/* Nothing could even be asked: said like an endpoint that cannot be reached. */
static void
unsent(void *arg)
{
	struct grant_reply r = { .class = TOKEN_TRANSIENT, .why = "no request could be made" };

	on_token(arg, &r);
}

static enum grant_kind
kind_of(const struct credential *c)
{
	switch (c->config->oauth.grant) {
	case CONFIG_CLIENT_CREDENTIALS:
		return GRANT_CREDENTIALS;
	case CONFIG_ID_JAG:
		return GRANT_ID_JAG;
	case CONFIG_AUTHORIZATION_CODE:
	case CONFIG_DEVICE_CODE:
		break;
	}
	return GRANT_REFRESH;
}

/* A15: the login (or who imported) has judged the endpoint; its address is not judged again. */
static void
send_request(struct credential *c)
{
	struct grant_request req = {
		.kind = kind_of(c),
		.config = c->config,
		.rec = c->cur,
		.challenge = credential_challenge(c),
		.worker = store_worker(c->store),
		.memory = &c->memory,
		.timeout_ms = TOKEN_WAIT,
	};

	c->requests++;
	log_info(c->config->name, "refresh", "asking the authorization server for a new token");
	c->grant = grant_start(c->connector, &req, on_token, c);
	if (c->grant == NULL)
		loop_defer(c->loop, unsent, c);
}

/* --- C7 --- */

static void
verified(void *arg)
{
	credential_feed(arg, REFRESH_VERIFIED);
}

/* Only what was read can contradict, or take a contradiction back. */
static void
on_verified(void *arg, struct discover_reply *r)
{
	struct credential *c = arg;
	bool mismatch = r->mismatch || (!r->ok && c->machine.mismatch);

	c->verify = NULL;
	if (mismatch)
		credential_trouble(c, "the server's metadata does not name the issuer that the "
		    "login was made with", "");
	else if (!r->ok)
		log_info(c->config->name, "verify", "the server's metadata cannot be read: %s", r->why);
	credential_feed(c, mismatch ? REFRESH_MISMATCH : REFRESH_VERIFIED);
}

/* No issuer stored: the token goes to the stored endpoint alone, which is pinned thereby. */
static void
verify(struct credential *c)
{
	struct challenge known = { .bearer = true };
	struct discover_request req = {
		.config = c->config,
		.known = &known,
		.timeout_ms = VERIFY_WAIT,
		.done = on_verified,
		.arg = c,
	};

	if (c->cur != NULL && c->cur->issuer != NULL) {
		req.issuer = c->cur->issuer;
		known.resource_metadata = c->challenge.resource_metadata != NULL ?
		    c->challenge.resource_metadata : c->cur->resource_metadata;
		c->verify = discover_start(c->connector, &req);
	}
	if (c->verify == NULL)
		loop_defer(c->loop, verified, c);
}

/* --- logout --- */

static void
delete_stored(struct credential *c)
{
	store_delete(c->store, &c->key, on_saved, &c->ops);
}

/* Unreadable: it goes all the same, and nobody can say which token it was. */
static void
on_doomed(void *arg, struct store_reply *r)
{
	struct credential *c = *(struct credential **)arg;
	struct credential_job *job = TAILQ_FIRST(&c->jobs);

	job->record = r->record;
	r->record = NULL;
	delete_stored(c);
}

/* H4: what is deleted is handed over; one that could not be stored stands in memory alone. */
static void
read_and_delete(struct credential *c)
{
	if (!c->machine.unpersisted || c->cur == NULL) {
		store_load(c->store, &c->key, on_doomed, &c->ops);
		return;
	}
	TAILQ_FIRST(&c->jobs)->record = record_copy(c->cur);
	delete_stored(c);
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
	discover_cancel(c->verify);
	c->verify = NULL;
	loop_undefer(c->loop, c);
	credential_rewake(c);
}

static void
hold_what_came(struct credential *c, unsigned actions)
{
	if (actions & A_TAKE) {
		c->adoptions += c->cur != NULL && c->stored != NULL &&
		    strcmp(c->cur->access_token, c->stored->access_token) != 0;
		hold(c, c->stored);
		c->stored = NULL;
		if (c->cur != NULL && c->challenge.scope != NULL && c->cur->scope != NULL &&
		    scope_contains(c->cur->scope, c->challenge.scope))
			credential_drop_challenge(c);
	}
	if (actions & A_INSTALL) {
		hold(c, c->minted);
		c->minted = NULL;
		c->refreshes++;
		c->refreshed_at = c->cur->obtained_at;
		c->why[0] = '\0';
		if (c->machine.renews_itself)
			credential_drop_challenge(c);	/* its scope was asked for */
		log_info(c->config->name, "refresh", "new token, generation %llu",
		    (unsigned long long)c->machine.generation);
	}
	if (actions & A_INSTALL_LOGIN) {
		struct credential_job *job = TAILQ_FIRST(&c->jobs);

		hold(c, job->record);
		job->record = NULL;
		c->why[0] = c->last_error[0] = '\0';
		credential_drop_challenge(c);
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
		verify(c);
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
		read_and_delete(c);
	if (actions & A_UNLOCK)
		unlock(c);
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

void
credential_rest(struct credential *c)
{
	if (c->machine.draining) {
		credential_refuse_jobs(c);
		if (refresh_at_rest(&c->machine) && credential_next_job(c))
			return;
		if (c->machine.state == REFRESH_IDLE || c->machine.state == REFRESH_VOID)
			loop_defer(c->loop, on_drained, c);
		return;
	}
	if (!refresh_at_rest(&c->machine))
		return;
	if (credential_next_job(c))
		return;
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
	credential_release_waiters(c, out.actions);
	credential_job_step(c, out.actions);
	notify_changed();
	credential_rest(c);
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

static bool
renews_itself(const struct config_upstream *u)
{
	return u->auth == CONFIG_OAUTH && (u->oauth.grant == CONFIG_CLIENT_CREDENTIALS ||
	    u->oauth.grant == CONFIG_ID_JAG);
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
	TAILQ_INIT(&c->held);
	TAILQ_INIT(&c->woken);
	TAILQ_INIT(&c->jobs);
	timer_init(&c->retry, loop, on_retry, c);
	timer_init(&c->background, loop, on_background, c);
	timer_init(&c->held_until, loop, credential_held_too_long, c);
	refresh_init(&c->machine, (uint32_t)(now.boot ^ now.wall ^ getpid()) | 1);
	c->machine.renews_itself = renews_itself(config);
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
	if (c == NULL)
		return;
	if (c->bearer == NULL)
		store_watch(c->store, &c->key, NULL, NULL);
	bearer_free(c->bearer);
	store_forget(c->store, &c->ops);
	grant_cancel(c->grant);
	discover_cancel(c->verify);
	unlock(c);
	timer_clear(&c->retry);
	timer_clear(&c->background);
	timer_clear(&c->held_until);
	credential_free_jobs(c);
	loop_undefer(c->loop, c);
	grant_memory_clear(&c->memory);
	challenge_free(&c->challenge);
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
	credential_fail_held(c, REASON_DRAINING);
}

void
credential_release(struct credential *c, void (*unused)(void *), void *arg)
{
	c->unused = unused;
	c->unused_arg = arg;
	if (unused != NULL)
		timer_clear(&c->background);
	if (c->machine.state == REFRESH_IDLE)
		credential_rest(c);
}

void
credential_configure(struct credential *c, const struct config_upstream *config)
{
	c->config = config;
	c->key = (struct store_key){ config->name, config->url.text };
	c->machine.renews_itself = renews_itself(config);
	grant_memory_clear(&c->memory);
	grant_configure(c->grant, config);
	if (c->verify != NULL) {
		discover_cancel(c->verify);
		c->verify = NULL;
		verify(c);
	}
}

void
credential_forgive(struct credential *c)
{
	if (c->machine.retry_at != 0 || c->machine.breaker_delay != 0)
		log_info(c->config->name, "credential", "back-off and breaker are forgotten");
	refresh_forgive(&c->machine);
	if (c->machine.state == REFRESH_IDLE)
		credential_rest(c);
}

void
credential_reread(struct credential *c)
{
	credential_feed(c, REFRESH_CHANGED);
}

const struct record *
credential_record(const struct credential *c)
{
	return c->cur;
}

bool
credential_login_required(const struct credential *c)
{
	struct now now = loop_now(c->loop);

	return c->bearer == NULL && refresh_login_required(&c->machine, &now);
}
