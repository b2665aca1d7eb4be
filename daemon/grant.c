#include <stdarg.h>
#include <stdio.h>

#include "grant_impl.h"
#include "log.h"
#include "scope.h"

/* --- the end --- */

void
grant_memory_clear(struct grant_memory *m)
{
	secret_free(m->secret);
	secret_free(m->jag);
	free(m->jag_audience);
	memset(m, 0, sizeof(*m));
}

static void
bury(void *arg)
{
	struct grant *g = arg;

	token_free(&g->reply.answer);
	device_free(&g->reply.device);
	record_free(g->reply.rec);
	record_free(g->rec);
	secret_free(g->code);
	free(g->redirect_uri);
	secret_free(g->verifier);
	secret_free(g->device_code);
	free(g->device_endpoint);
	free(g->idp_endpoint);
	secret_free(g->subject);
	challenge_free(&g->challenge);
	grant_memory_clear(&g->own);
	free(g);
}

void
grant_end(struct grant *g, enum token_class class, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(g->reply.why, sizeof(g->reply.why), fmt, ap);
	va_end(ap);
	g->reply.class = class;
	g->reply.rec = g->rec;
	g->rec = NULL;
	g->finished = true;
	g->done(g->arg, &g->reply);
	loop_defer(g->loop, bury, g);
}

int64_t
grant_left(const struct grant *g)
{
	return MAX(1, g->deadline - loop_now(g->loop).boot);
}

/* --- what is known --- */

/* Nobody needs to log in for these, and each request is a new grant (A19, A20). */
static bool
is_machine(const struct grant *g)
{
	return g->kind == GRANT_CREDENTIALS || g->kind == GRANT_ID_JAG;
}

static const char *
issuer_of(const struct grant *g)
{
	return g->rec->issuer != NULL ? g->rec->issuer : g->config->oauth.issuer;
}

static const char *
endpoint_of(const struct grant *g)
{
	if (g->kind == GRANT_REVOKE)
		return g->rec->revocation_endpoint;
	if (g->kind == GRANT_DEVICE_START)
		return g->device_endpoint;
	return g->rec->token_endpoint != NULL ? g->rec->token_endpoint :
	    g->config->oauth.token_endpoint;
}

const char *
grant_audience(const struct grant *g)
{
	const char *issuer = issuer_of(g), *token = g->rec->token_endpoint;

	if (issuer != NULL)
		return issuer;
	return token != NULL ? token : g->config->oauth.token_endpoint;
}

const char *
grant_resource(const struct grant *g)
{
	if (g->config->oauth.resource_omit)
		return NULL;
	return g->config->oauth.resource != NULL ? g->config->oauth.resource : g->rec->resource;
}

static void
set(char **text, const char *to)
{
	char *copy = to != NULL ? strdup(to) : NULL;

	if (to != NULL && copy == NULL)
		abort();	/* a few hundred bytes */
	free(*text);
	*text = copy;
}

static void
set_if_unknown(char **text, const char *to)
{
	if (*text == NULL)
		set(text, to);
}

/* --- discovery, for a credential that nobody has logged in to --- */

static bool
wants_discovery(const struct grant *g)
{
	if (!is_machine(g) || g->discovered)
		return false;
	return endpoint_of(g) == NULL || (g->kind == GRANT_ID_JAG && issuer_of(g) == NULL) ||
	    (g->rec->access_token == NULL && grant_resource(g) == NULL &&
	    !g->config->oauth.resource_omit);
}

static void
on_discovered(void *arg, struct discover_reply *r)
{
	struct grant *g = arg;
	struct record *rec = g->rec;

	g->discover = NULL;
	if (!r->ok) {
		grant_end(g, TOKEN_TRANSIENT, "%s", r->why);
		return;
	}
	g->discovered = true;
	g->refuse_private = r->result->refuse_private && g->config->oauth.token_endpoint == NULL;
	set_if_unknown(&rec->issuer, r->result->issuer);
	set_if_unknown(&rec->token_endpoint, r->result->token_endpoint);
	set_if_unknown(&rec->revocation_endpoint, r->result->revocation_endpoint);
	set_if_unknown(&rec->resource, r->result->resource);
	set_if_unknown(&rec->resource_metadata, r->result->resource_metadata);
	set_if_unknown(&rec->scope, r->result->scope);
	grant_proceed(g);
}

static void
discover(struct grant *g)
{
	g->discover = discover_start(g->connector, &(struct discover_request){
	    .config = g->config,
	    .known = g->challenge.bearer ? &g->challenge : NULL,
	    .timeout_ms = MIN(grant_left(g), DISCOVERY_WAIT),
	    .done = on_discovered,
	    .arg = g,
	});
	if (g->discover == NULL)
		grant_end(g, TOKEN_TRANSIENT, "out of memory");
}

/* --- the request --- */

/* Config first: it is what an administrator mends; then what a 403 asked for beyond it (A11). */
static void
choose_scope(struct grant *g)
{
	_cleanup_(buf_free) struct buf both = BUF_INIT(SCOPE_BYTES);

	if (g->config->oauth.scope != NULL)
		set(&g->rec->scope, g->config->oauth.scope);
	if (g->challenge.error != NULL && strcmp(g->challenge.error, "insufficient_scope") == 0 &&
	    scope_union(&both, g->rec->scope, g->challenge.scope) == 0 && both.len > 0)
		set(&g->rec->scope, both.p);
}

/* What the new credential says of itself: its renewals and VERIFY (C7) need all of it. */
static void
complete_record(struct grant *g, const struct oauth_client *client)
{
	struct record *rec = g->rec;

	set_if_unknown(&rec->issuer, g->config->oauth.issuer);
	set_if_unknown(&rec->token_endpoint, g->config->oauth.token_endpoint);
	set(&rec->resource, grant_resource(g));
	set(&rec->client_id, client->id);
	set(&rec->auth_method, client->method);
}

static int
compose(struct grant *g, const struct oauth_client *client, struct oauth_request *form)
{
	const struct record *rec = g->rec;
	const char *resource = grant_resource(g);

	switch (g->kind) {
	case GRANT_REFRESH:
		return oauth_refresh_request(form, client, rec->refresh_token, resource);
	case GRANT_CREDENTIALS:
		return oauth_credentials_request(form, client, rec->scope, resource);
	case GRANT_ID_JAG:
		return oauth_assertion_request(form, client, g->memory->jag, rec->scope, resource);
	case GRANT_CODE:
		return oauth_code_request(form, client, g->code, g->redirect_uri, g->verifier,
		    resource);
	case GRANT_DEVICE_START:
		return oauth_device_request(form, client, rec->scope, resource);
	case GRANT_DEVICE:
		return oauth_device_poll(form, client, g->device_code, resource);
	case GRANT_REVOKE:
		return rec->refresh_token != NULL ?
		    oauth_revoke_request(form, client, rec->refresh_token, "refresh_token") :
		    oauth_revoke_request(form, client, rec->access_token, "access_token");
	}
	return -EINVAL;
}

bool
grant_send(struct grant *g, const char *url, const struct way *way, bool refuse_private,
    const struct oauth_request *form, fetch_done done)
{
	struct fetch_request req = {
		.url = url,
		.form = { form->body.p, form->body.len },
		.authorization = form->authorization.len > 0 ? form->authorization.p : NULL,
		.way = *way,
		.timeout_ms = grant_left(g),
		.max_body = TOKEN_BODY,
		.allow_insecure = g->config->allow_insecure,
		.refuse_private = refuse_private && !g->config->oauth.allow_private,
	};
	char shown[120];

	g->fetch = fetch_start(g->connector, &req, done, g);
	if (g->fetch != NULL)
		return true;
	if (errno == EINVAL || errno == EBADMSG)
		grant_end(g, TOKEN_REFUSED, "%s is not an https URL: log in anew or mend the config",
		    text_escape(shown, sizeof(shown), url, strlen(url)));
	else
		grant_end(g, TOKEN_TRANSIENT, "no request could be made: %s", strerror(errno));
	return false;
}

/* --- the answer --- */

static const char *
whom(const struct grant *g)
{
	switch (g->kind) {
	case GRANT_REVOKE:
		return "revocation endpoint";
	case GRANT_DEVICE_START:
		return "device authorization endpoint";
	case GRANT_REFRESH:
	case GRANT_CREDENTIALS:
	case GRANT_ID_JAG:
	case GRANT_CODE:
	case GRANT_DEVICE:
		break;
	}
	return "token endpoint";
}

/* RFC 8628 section 3.2 */
static void
take_device(struct grant *g, const struct fetch_reply *r)
{
	const char *why = "out of memory";

	if (device_parse(r->body.p, r->body.len, &g->reply.device, &why) < 0)
		grant_end(g, TOKEN_UNKNOWN, "%s: %s", whom(g), why);
	else
		grant_end(g, TOKEN_OK, "%s", "");
}

static enum token_class
classify(struct grant *g, const struct fetch_reply *r)
{
	enum token_class class;

	if (r->outcome == FETCH_UNSENT)
		return TOKEN_TRANSIENT;
	if (r->outcome == FETCH_UNKNOWN)
		return TOKEN_UNKNOWN;
	if (g->kind == GRANT_REVOKE && r->status / 100 == 2)
		return TOKEN_OK;
	class = token_classify(r->status, r->body.p, r->body.len, loop_now(g->loop).wall,
	    &g->reply.answer);
	return r->status / 100 == 3 ? TOKEN_REFUSED : class;
}

/*
 * Client credentials and id_jag: there is no refresh token that could be dead
 * or spent, so a refusal is one of the configuration, and an unknown outcome
 * costs nothing: asking again is harmless.
 */
static enum token_class
soften(enum token_class class)
{
	switch (class) {
	case TOKEN_DEAD:
	case TOKEN_STRIKE:
		return TOKEN_REFUSED;
	case TOKEN_UNKNOWN:
		return TOKEN_TRANSIENT;
	case TOKEN_OK:
	case TOKEN_REFUSED:
	case TOKEN_TRANSIENT:
		break;
	}
	return class;
}

static void
take_token(struct grant *g)
{
	struct token_answer *a = &g->reply.answer;

	if (is_machine(g)) {		/* A19: the next one is a new grant */
		secret_free(a->refresh_token);
		a->refresh_token = NULL;
	}
	if (g->memory->jag_expires_at == EXPIRES_UNKNOWN)
		grant_drop_jag(g);	/* used once */
	if (a->odd_expiry)
		log_warn(g->config->name, "grant",
		    "the token response has an unusable expires_in; taken as unknown");
	grant_end(g, TOKEN_OK, "%s", "");
}

static void
explain(struct grant *g, enum token_class class, const struct fetch_reply *r)
{
	const char *error = g->reply.answer.error;

	if (r->outcome != FETCH_ANSWER)
		grant_end(g, class, "%s: %s", whom(g), r->why);
	else if (r->status / 100 == 3)
		grant_end(g, class, "%s: it redirects, which is not followed (status %d)",
		    whom(g), r->status);
	else
		grant_end(g, class, "%s: refused (status %d%s%s)", whom(g), r->status,
		    error[0] != '\0' ? ", " : "", error);
}

static void
on_answer(void *arg, struct fetch_reply *r)
{
	struct grant *g = arg;
	enum token_class class = classify(g, r);

	g->fetch = NULL;
	g->reply.status = r->status;
	g->reply.retry_after = r->retry_after;
	if (g->kind == GRANT_DEVICE_START && r->outcome == FETCH_ANSWER && r->status / 100 == 2) {
		take_device(g, r);
		return;
	}
	if (class == TOKEN_OK) {
		take_token(g);
		return;
	}
	if (strcmp(g->reply.answer.error, "invalid_client") == 0) {
		secret_free(g->memory->secret);		/* the command may have another by now */
		g->memory->secret = NULL;
	}
	if (g->kind == GRANT_ID_JAG && class == TOKEN_DEAD) {
		grant_drop_jag(g);
		if (!g->exchanged) {			/* an old one: once more, with a new one */
			token_free(&g->reply.answer);
			grant_proceed(g);
			return;
		}
	}
	explain(g, is_machine(g) ? soften(class) : class, r);
}

static void
request(struct grant *g)
{
	_cleanup_(oauth_request_free) struct oauth_request form = OAUTH_REQUEST_INIT;
	_cleanup_(buf_free) struct buf assertion = BUF_SECRET(TOKEN_BYTES);
	struct oauth_client client;
	struct way way = way_of(g->config);
	const char *url = endpoint_of(g);

	if (url == NULL) {
		grant_end(g, TOKEN_REFUSED, "no %s is known: configure oauth.tokenEndpoint", whom(g));
		return;
	}
	if (!grant_client(g, &assertion, &client))
		return;
	if (is_machine(g))
		complete_record(g, &client);
	if (compose(g, &client, &form) < 0)
		grant_end(g, TOKEN_REFUSED, "no request can be made: something that it needs "
		    "(client id, secret or token) is not there");
	else
		(void)grant_send(g, url, &way, g->refuse_private, &form, on_answer);
}

/* --- the order of things --- */

void
grant_proceed(struct grant *g)
{
	if (wants_discovery(g)) {
		discover(g);
		return;
	}
	if (is_machine(g))
		choose_scope(g);
	if (grant_wants_secret(g))
		grant_run_command(g);
	else if (g->kind != GRANT_ID_JAG || grant_has_jag(g))
		request(g);
	else if (g->subject == NULL)
		grant_read_subject(g);
	else
		grant_exchange(g);
}

static void
begin(void *arg)
{
	grant_proceed(arg);
}

static char *
copy(const char *text)
{
	char *s = text != NULL ? strdup(text) : NULL;

	if (text != NULL && s == NULL)
		abort();	/* tokens and codes are small */
	return s;
}

static struct record *
copy_record(const struct grant_request *req)
{
	struct record *rec = req->rec != NULL ? record_copy(req->rec) : calloc(1, sizeof(*rec));

	if (rec == NULL)
		return NULL;
	set_if_unknown(&rec->name, req->config->name);
	set_if_unknown(&rec->url, req->config->url.text);
	if (req->kind == GRANT_CREDENTIALS || req->kind == GRANT_ID_JAG) {
		secret_free(rec->refresh_token);
		rec->refresh_token = NULL;
		rec->dead[0] = '\0';
		memset(&rec->intent, 0, sizeof(rec->intent));
	}
	return rec;
}

struct grant *
grant_start(struct connector *connector, const struct grant_request *req, grant_done done,
    void *arg)
{
	struct grant *g = calloc(1, sizeof(*g));

	if (g == NULL)
		return NULL;
	*g = (struct grant){ .connector = connector, .loop = connector_loop(connector),
	    .kind = req->kind, .config = req->config, .rec = copy_record(req),
	    .refuse_private = req->refuse_private, .worker = req->worker,
	    .code = copy(req->code), .redirect_uri = copy(req->redirect_uri),
	    .verifier = copy(req->verifier), .device_code = copy(req->device_code),
	    .device_endpoint = copy(req->device_endpoint),
	    .done = done, .arg = arg };
	g->memory = req->memory != NULL ? req->memory : &g->own;
	g->deadline = loop_now(g->loop).boot + req->timeout_ms;
	g->reply.answer.expires_at = EXPIRES_UNKNOWN;
	if (req->challenge != NULL)
		g->challenge = (struct challenge){ .bearer = req->challenge->bearer,
		    .error = copy(req->challenge->error), .scope = copy(req->challenge->scope),
		    .resource_metadata = copy(req->challenge->resource_metadata) };
	if (g->rec == NULL) {
		bury(g);
		return NULL;
	}
	loop_defer(g->loop, begin, g);
	return g;
}

void
grant_cancel(struct grant *g)
{
	if (g == NULL || g->finished)
		return;
	fetch_cancel(g->fetch);
	discover_cancel(g->discover);
	spawn_cancel(g->spawn);
	grant_forget_subject(g);
	loop_undefer(g->loop, g);
	bury(g);
}

void
grant_configure(struct grant *g, const struct config_upstream *config)
{
	if (g == NULL || g->finished)
		return;
	g->config = config;
	if (g->discover == NULL)
		return;
	discover_cancel(g->discover);	/* it reads the old one: begun anew */
	g->discover = NULL;
	loop_defer(g->loop, begin, g);
}
