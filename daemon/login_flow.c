/* The steps of a flow, in their order. */
#include <stdio.h>
#include <sys/random.h>

#include "login_impl.h"
#include "oauth.h"
#include "scope.h"

/* --- discovery --- */

static int
add_scope(char **scope, const char *more)
{
	struct buf b = BUF_INIT(SCOPE_BYTES);
	int e = scope_union(&b, *scope, more);

	if (e == 0 && b.len > 0) {
		free(*scope);
		*scope = buf_steal(&b);
		e = *scope != NULL ? 0 : -ENOMEM;
	}
	buf_free(&b);
	return e;
}

/*
 * A10, A11: what discovery found, what is held from the same server (A9), what
 * a step-up and the person want.
 */
static int
collect_scope(struct login_run *r)
{
	const struct record *held = credential_record(r->login->credential);
	char **scope = &r->draft->scope;
	int e;

	e = add_scope(scope, r->found.scope);
	if (e == 0 && held != NULL && text_same(held->issuer, r->found.issuer))
		e = add_scope(scope, held->scope);
	if (e == 0 && r->challenged != 0)
		e = add_scope(scope, r->found.challenged);
	return e == 0 ? add_scope(scope, r->wish) : e;
}

static void
make_draft(struct login_run *r)
{
	const struct discovery_result *f = &r->found;

	r->draft = calloc(1, sizeof(*r->draft));
	if (r->draft == NULL)
		abort();
	r->draft->issuer = login_copy(f->issuer);
	r->draft->token_endpoint = login_copy(f->token_endpoint);
	r->draft->revocation_endpoint = login_copy(f->revocation_endpoint);
	r->draft->resource = login_copy(f->resource);
	r->draft->resource_metadata = login_copy(f->resource_metadata);
	r->draft->expires_at = EXPIRES_UNKNOWN;
}

/* Can this server do what the flow needs?  Else the flow has failed. */
static bool
is_offered(struct login_run *r)
{
	const struct discovery_result *f = &r->found;
	bool device = r->login->policy.kind == FLOW_DEVICE;

	if (f->token_endpoint == NULL)
		login_fail(r, "discovery", "set oauth.tokenEndpoint",
		    "the authorization server names no token endpoint");
	else if (device && f->device_authorization_endpoint == NULL)
		login_fail(r, "device", "log in without --device (--no-browser takes a pasted redirect), "
		    "and with oauth.grant authorization_code",
		    "the authorization server offers no device authorization");
	else if (!device && f->authorization_endpoint == NULL)
		login_fail(r, "discovery", f->device_authorization_endpoint != NULL ?
		    "log in with --device" : "set oauth.authorizationEndpoint",
		    "the authorization server names no authorization endpoint");
	else if (!device && !f->pkce)
		login_fail(r, "pkce", "if it is known to support S256 all the same, set oauth.assumePkce",
		    "the authorization server does not say that it supports PKCE with S256");
	else
		return true;
	return false;
}

static void
on_discovered(void *arg, struct discover_reply *reply)
{
	struct login_run *r = arg;

	r->discover = NULL;
	if (!reply->ok) {
		login_fail(r, "discovery", NULL, "%s", reply->why);
		return;
	}
	r->found = *reply->result;
	memset(reply->result, 0, sizeof(*reply->result));
	if (!is_offered(r))
		return;
	make_draft(r);
	if (collect_scope(r) < 0)
		login_fail(r, "scope", NULL, "there are too many scopes, or the server named what is none");
	else
		login_choose_client(r);
}

static void
on_step(void *arg, const char *words)
{
	login_progress(arg, "%s", words);
}

static void
discover(struct login_run *r)
{
	struct discover_request req = {
		.config = r->login->config,
		.known = credential_challenge(r->login->credential),
		.timeout_ms = login_left(r, DISCOVERY_WAIT),
		.step = on_step,
		.done = on_discovered,
		.arg = r,
	};

	r->step = STEP_DISCOVER;
	r->discover = discover_start(r->login->connector, &req);
	if (r->discover == NULL)
		login_fail(r, "memory", NULL, "out of memory");
}

/* --- a grant that needs no person --- */

static void
on_renewed(void *arg, const char *why)
{
	struct login_run *r = arg;
	const struct record *rec = credential_record(r->login->credential);

	if (why != NULL) {
		login_fail(r, "token", "mend the config, or mcp-authctl doctor", "%s", why);
		return;
	}
	r->draft = calloc(1, sizeof(*r->draft));
	if (r->draft != NULL && rec != NULL) {
		r->draft->issuer = login_copy(rec->issuer);
		r->granted = login_copy(rec->scope);
	}
	login_done(r);
}

void
login_begin(struct login_run *r)
{
	if (r->login->policy.kind != FLOW_RENEWAL) {
		discover(r);
		return;
	}
	r->step = STEP_RENEW;
	login_progress(r, "asking the authorization server for a token");
	credential_renew(r->login->credential, on_renewed, r);
}

/* --- browser --- */

/* After a pasted one the browser only waits for the end. */
static void
on_came(void *arg, enum redirect_verdict verdict, struct redirect *redirect)
{
	struct login_run *r = arg;

	if (r->step == STEP_PERSON)
		login_redirected(r, verdict, redirect);
}

void
login_expected(const struct login_run *r, struct redirect_expected *ret)
{
	*ret = (struct redirect_expected){ .state = r->state, .issuer = r->found.issuer,
	    .iss_required = r->found.iss };
}

static bool
make_secrets(struct login_run *r)
{
	unsigned char random[2][PKCE_RANDOM];

	if (getrandom(random, sizeof(random), 0) != (ssize_t)sizeof(random))
		return false;
	pkce_verifier(random[0], r->state);
	pkce_verifier(random[1], r->verifier);
	explicit_bzero(random, sizeof(random));
	return true;
}

/* At the configured port, else that of the registration, else any. */
int
login_try_listen(struct login_run *r)
{
	unsigned configured = r->login->config->oauth.redirect_port;
	struct redirect_expected expected;

	if (!make_secrets(r))
		return -EIO;
	login_expected(r, &expected);
	r->callback = callback_open(r->login->loop, configured != 0 ? configured : r->port,
	    r->login->config->name, &expected, on_came, r);
	if (r->callback == NULL)
		return -errno;
	r->redirect_uri = login_copy(callback_uri(r->callback));
	return 0;
}

bool
login_listen(struct login_run *r)
{
	unsigned port = r->login->config->oauth.redirect_port;
	int e = login_try_listen(r);
	char uri[64];

	if (e == 0)
		return true;
	if (e == -EADDRINUSE && r->manual) {	/* the redirect will be pasted */
		snprintf(uri, sizeof(uri), "http://127.0.0.1:%u/callback", port);
		r->redirect_uri = login_copy(uri);
		return true;
	}
	login_fail(r, "port", port != 0 ? "end what uses the port, set another oauth.redirectPort, or "
	    "paste the redirect: --no-browser" : NULL, "port %u of 127.0.0.1 cannot be used for the "
	    "redirect: %s", port, strerror(-e));
	return false;
}

void
login_close_page(struct login_run *r, const char *detail)
{
	if (r->callback != NULL)
		callback_answer(r->callback, PAGE_FAILED, detail);
	callback_close(r->callback);
	r->callback = NULL;
	free(r->redirect_uri);
	r->redirect_uri = NULL;
	secret_free(r->url);
	r->url = NULL;
	explicit_bzero(r->state, sizeof(r->state));
	explicit_bzero(r->verifier, sizeof(r->verifier));
	device_free(&r->device);
	timer_clear(&r->poll);
	r->redirected = false;
}

static char *
authorization_url(const struct login_run *r)
{
	char challenge[PKCE_TEXT];
	struct oauth_authorization a = {
		.endpoint = r->found.authorization_endpoint,
		.client_id = r->draft->client_id,
		.redirect_uri = r->redirect_uri,
		.state = r->state,
		.challenge = challenge,
		.scope = r->draft->scope,
		.resource = r->draft->resource,
		.params = r->login->config->oauth.authorize_params,
	};
	struct buf b = BUF_SECRET(4 * URL_BYTES);
	char *url;

	pkce_challenge(r->verifier, challenge);
	url = oauth_authorization_url(&b, &a) == 0 ? buf_steal(&b) : NULL;
	buf_free(&b);
	return url;
}

void
login_ask_person(struct login_run *r)
{
	struct buf event = BUF_SECRET(0);

	if (r->login->policy.kind == FLOW_DEVICE) {
		login_device_begin(r);
		return;
	}
	if (r->redirect_uri == NULL && !login_listen(r))
		return;
	r->url = authorization_url(r);
	if (r->url == NULL || !login_may_open(r->url)) {
		login_fail(r, "discovery", NULL, "no authorization URL can be made that may be opened: the "
		    "authorization endpoint is neither https nor on this machine, or it is too long");
		return;
	}
	r->step = STEP_PERSON;
	flow_authorizes(&r->login->policy, r->challenged);
	if (login_event_link(r, &event))
		login_tell(r->login, NULL, &event);
	buf_free(&event);
	login_progress(r, "waiting for the login in the browser");
	login_command(r, r->url);
}

/* --- the token --- */

bool
login_refuses_private(const struct login_run *r)
{
	return r->found.refuse_private && r->login->config->oauth.token_endpoint == NULL;
}

static void
on_saved(void *arg, const char *why)
{
	struct login_run *r = arg;

	if (why == NULL)
		login_done(r);
	else
		login_fail(r, "store", NULL, "the token could not be stored: %s", why);
}

static char *
move(char **from)
{
	char *text = *from;

	*from = NULL;
	return text;
}

void
login_save(struct login_run *r, struct token_answer *answer)
{
	struct record *rec = record_copy(r->draft);

	if (rec == NULL) {
		login_fail(r, "memory", NULL, "out of memory");
		return;
	}
	/* RFC 6749 section 5.1: no scope in the answer is the scope that was asked for. */
	r->granted = login_copy(answer->scope != NULL ? answer->scope : r->draft->scope);
	free(rec->scope);
	rec->scope = login_copy(r->granted);
	rec->access_token = move(&answer->access_token);
	rec->refresh_token = move(&answer->refresh_token);
	rec->expires_at = answer->expires_at;
	rec->lifetime = answer->lifetime;
	rec->obtained_at = loop_now(r->login->loop).wall;
	r->brief = rec->refresh_token == NULL;
	r->step = STEP_SAVE;
	login_progress(r, "storing the token");
	credential_import(r->login->credential, rec, on_saved, r);
}

/* What was pasted was no code of this login: the browser may still bring it. */
static void
wait_on(struct login_run *r)
{
	if (login_stopped(r))
		return;
	r->pasted = r->redirected = false;
	r->step = STEP_PERSON;
	login_progress(r, "the server knows no such code; still waiting for the login in the browser");
}

static void
on_token(void *arg, struct grant_reply *reply)
{
	struct login_run *r = arg;

	r->grant = NULL;
	if (reply->class == TOKEN_OK)
		login_save(r, &reply->answer);
	else if (reply->class == TOKEN_DEAD && r->pasted)
		wait_on(r);
	else if (!login_client_unknown(r, reply->answer.error))
		login_fail(r, "token", strcmp(reply->answer.error, "invalid_client") == 0 &&
		    !r->draft->registered ? "mend oauth.clientId, its secret or key, or "
		    "oauth.tokenEndpointAuthMethod" : LOGIN_THEIRS, "%s", reply->why);
}

static void
spend(struct login_run *r, const char *code)
{
	struct grant_request req = {
		.kind = GRANT_CODE,
		.config = r->login->config,
		.rec = r->draft,
		.code = code,
		.redirect_uri = r->redirect_uri,
		.verifier = r->verifier,
		.refuse_private = login_refuses_private(r),
		.memory = &r->memory,
		.timeout_ms = login_left(r, TOKEN_WAIT),
	};

	r->step = STEP_TOKEN;
	login_progress(r, "exchanging the code for a token");
	r->grant = grant_start(r->login->connector, &req, on_token, r);
	if (r->grant == NULL)
		login_fail(r, "memory", NULL, "out of memory");
}

void
login_redirected(struct login_run *r, enum redirect_verdict verdict, struct redirect *redirect)
{
	r->redirected = true;
	if (verdict == REDIRECT_CODE) {
		spend(r, redirect->code);
	} else if (verdict == REDIRECT_WRONG_ISSUER) {
		login_fail(r, "issuer", NULL, "the redirect does not come from the authorization server "
		    "that was asked (RFC 9207): do not log in there again before you know why");
	} else if (redirect->denied) {
		if (r->callback != NULL)
			callback_answer(r->callback, PAGE_DENIED, NULL);
		login_fail(r, "denied", LOGIN_DENIED, "the login was refused in the browser");
	} else if (!login_client_unknown(r, redirect->error)) {
		login_fail(r, "refused", strcmp(redirect->error, "invalid_scope") == 0 ?
		    "mend oauth.scopes; scopes of the last login are asked for again until a logout" : LOGIN_THEIRS,
		    "the authorization server refused: %s", redirect->error);
	}
}
