/* Which client we are to an authorization server (WIRE A8, A9). */
#include <stdio.h>

#include "json.h"
#include "log.h"
#include "login_impl.h"
#include "registration.h"

#define CLIENT_NAME	"mcp-authd"
#define DEVICE_GRANT	"urn:ietf:params:oauth:grant-type:device_code"
#define REDIRECT_HOST	"127.0.0.1"
#define REDIRECT_PATH	"/callback"

static bool
is_device(const struct login_run *r)
{
	return r->login->policy.kind == FLOW_DEVICE;
}

static void
set(char **text, const char *to)
{
	char *copy = login_copy(to);

	secret_free(*text);
	*text = copy;
}

static void
know(struct login_run *r, const char *id, const char *secret, const char *method, bool registered)
{
	set(&r->draft->client_id, id);
	set(&r->draft->client_secret, secret);
	set(&r->draft->auth_method, method);
	r->draft->registered = registered;
}

/* --- configured --- */

/* A9: the configured client id (and its secret) was used at another server than the one named now. */
static bool
moved(const struct login_run *r)
{
	const struct config_upstream *u = r->login->config;
	const struct record *held = credential_record(r->login->credential);

	return u->oauth.issuer == NULL && held != NULL && held->issuer != NULL &&
	    held->client_id != NULL && strcmp(held->client_id, u->oauth.client_id) == 0 &&
	    (r->found.issuer == NULL || strcmp(held->issuer, r->found.issuer) != 0);
}

static void
take_configured(struct login_run *r)
{
	const struct config_upstream *u = r->login->config;
	char shown[160];
	const char *issuer = r->found.issuer != NULL ? r->found.issuer : "none";

	if (moved(r)) {
		login_fail(r, "issuer", "set oauth.issuer to say for which one it is, or log out first",
		    "the MCP server names another authorization server than at the last login (%s): "
		    "the configured client id is not shown to it",
		    text_escape(shown, sizeof(shown), issuer, strlen(issuer)));
		return;
	}
	/* Secret and method stay in the config, from where each request takes them. */
	know(r, u->oauth.client_id, NULL, NULL, false);
	login_ask_person(r);
}

/* --- registered --- */

static struct store_key
key_of(const struct login_run *r)
{
	return (struct store_key){ RECORD_CLIENT, r->client_key };
}

static void
make_key(struct login_run *r)
{
	struct buf b = BUF_INIT(0);
	int e;

	e = r->found.issuer != NULL ? buf_adds(&b, r->found.issuer) :
	    url_origin(&r->login->config->url, &b);
	if (e == 0 && is_device(r))
		e = buf_adds(&b, "#device");
	free(r->client_key);
	r->client_key = e == 0 ? buf_steal(&b) : NULL;
	buf_free(&b);
	if (r->client_key == NULL)
		abort();
}

void
login_drop_client(struct login_run *r)
{
	struct store_key key = key_of(r);

	log_info(r->login->config->name, "login", "the stored client registration is dropped");
	store_delete(r->login->store, &key, NULL, NULL);
}

/* Of a redirect that we once registered: its port, 0 if it is none of ours. */
static unsigned
redirect_port(const char *uri)
{
	struct url url;
	unsigned port = 0;

	if (url_parse(uri, strlen(uri), &url) < 0)
		return 0;
	if (!url.https && strcmp(url.host, REDIRECT_HOST) == 0 &&
	    strcmp(url.target, REDIRECT_PATH) == 0)
		port = url.port;
	url_free(&url);
	return port;
}

/*
 * May it be shown to this server?  A secret should outlive the flow.  The same
 * port is asked for, as not every server allows any (RFC 8252 section 7.3).
 */
static bool
usable(struct login_run *r, const struct record *rec)
{
	unsigned configured = r->login->config->oauth.redirect_port, port = 0;
	struct now now = loop_now(r->login->loop);

	if (rec->client_id == NULL || rec->expires_at <= now.wall + LOGIN_LIMIT)
		return false;
	if (is_device(r))
		return rec->redirect_uri == NULL;
	if (rec->redirect_uri != NULL)
		port = redirect_port(rec->redirect_uri);
	r->port = port;
	return port != 0 && (configured == 0 || configured == port);
}

static void
on_client_saved(void *arg, struct store_reply *reply)
{
	struct login_run *r = arg;

	if (reply->result != STORE_OK)
		log_warn(r->login->config->name, "login",
		    "the client registration was not stored, the next login registers anew: %s",
		    reply->why);
}

static void
save_client(struct login_run *r, int64_t expires_at)
{
	struct store_key key = key_of(r);
	struct record *rec = calloc(1, sizeof(*rec));

	if (rec == NULL)
		abort();
	rec->name = login_copy(key.name);
	rec->url = login_copy(key.url);
	rec->issuer = login_copy(r->found.issuer);
	rec->client_id = login_copy(r->draft->client_id);
	rec->client_secret = login_copy(r->draft->client_secret);
	rec->auth_method = login_copy(r->draft->auth_method);
	rec->redirect_uri = login_copy(r->redirect_uri);
	rec->registered = true;
	rec->expires_at = expires_at;
	rec->obtained_at = loop_now(r->login->loop).wall;
	store_save(r->login->store, &key, rec, on_client_saved, r);
	record_free(rec);
}

/* The server's error code, escaped; "" if it gave none. */
static const char *
error_of(const struct fetch_reply *reply, char *out, size_t size)
{
	cJSON *doc = json_parse(reply->body.p, reply->body.len, NULL);
	const char *error = json_string(doc, "error");
	char shown[80];

	out[0] = '\0';
	if (error != NULL)
		snprintf(out, size, ", %s", text_escape(shown, sizeof(shown), error, strlen(error)));
	cJSON_Delete(doc);
	return out;
}

#define BY_HAND	"register a client there by hand (redirect http://" REDIRECT_HOST REDIRECT_PATH \
	", any port) and set oauth.clientId, and oauth.clientSecretFile if it has a secret"

/* What was asked for, see wanted_method(). */
static const char *wanted_method(const struct login_run *);
static void ask_registration(struct login_run *);

/*
 * Some servers take scopes of their own alone, although those of the MCP
 * server can be asked for later: then the registration names none, which
 * RFC 7591 section 2 leaves to the server.
 */
static bool
drop_scope(struct login_run *r, const struct fetch_reply *reply)
{
	char error[96];

	if (r->unscoped || r->draft->scope == NULL || reply->status != 400 ||
	    strstr(error_of(reply, error, sizeof(error)), "invalid_client_metadata") == NULL)
		return false;
	r->unscoped = true;
	ask_registration(r);
	return true;
}

static void
on_registered(void *arg, struct fetch_reply *reply)
{
	struct login_run *r = arg;
	struct registration reg = { 0 };
	const char *why = "out of memory", *method;
	char error[96];

	r->fetch = NULL;
	if (reply->outcome != FETCH_ANSWER) {
		login_fail(r, "registration", LOGIN_THEIRS, "the client could not be registered: %s", reply->why);
	} else if (drop_scope(r, reply)) {
		return;
	} else if (reply->status / 100 != 2) {
		login_fail(r, "registration", BY_HAND, "the authorization server refused to register "
		    "a client (status %d%s)", reply->status, error_of(reply, error, sizeof(error)));
	} else if (registration_parse(reply->body.p, reply->body.len, &reg, &why) < 0) {
		login_fail(r, "registration", BY_HAND, "registration: %s", why);
	} else {
		/* Not said: as asked; but a secret is not given for nothing (RFC 7591 section 2). */
		method = reg.auth_method != NULL ? reg.auth_method :
		    reg.client_secret == NULL ? wanted_method(r) : NULL;
		know(r, reg.client_id, reg.client_secret, method, true);
		save_client(r, reg.secret_expires_at);
		login_ask_person(r);
	}
	registration_free(&reg);
}

/* "none", unless the server lists only others. */
static const char *
wanted_method(const struct login_run *r)
{
	static const char *const known[] = { "none", "client_secret_basic", "client_secret_post" };

	if (r->login->config->oauth.token_endpoint_auth_method != NULL)
		return r->login->config->oauth.token_endpoint_auth_method;
	for (size_t i = 0; r->found.auth_methods != NULL && i < nitems(known); i++)
		for (char **m = r->found.auth_methods; *m != NULL; m++)
			if (strcmp(*m, known[i]) == 0)
				return known[i];
	return known[0];
}

static void
send_registration(struct login_run *r, struct buf *body)
{
	struct login *l = r->login;
	struct fetch_request req = {
		.url = r->found.registration_endpoint,
		.form = { body->p, body->len },
		.content_type = "application/json",
		.way = way_of(l->config),
		.timeout_ms = login_left(r, DISCOVERY_WAIT),
		.max_body = METADATA_BODY,
		.allow_insecure = l->config->allow_insecure,
		.refuse_private = r->found.refuse_private,
	};

	r->fetch = fetch_start(l->connector, &req, on_registered, r);
	if (r->fetch == NULL)
		login_fail(r, "registration", BY_HAND, "the registration endpoint cannot be asked: %s",
		    errno == EINVAL ? "it is not an https URL" : strerror(errno));
}

static void
ask_registration(struct login_run *r)
{
	struct registration_wish wish = {
		.client_name = CLIENT_NAME,
		.redirect_uri = r->redirect_uri,
		.grant = is_device(r) ? DEVICE_GRANT : "authorization_code",
		.scope = r->unscoped ? NULL : r->draft->scope,
		.auth_method = wanted_method(r),
	};
	struct buf body = BUF_INIT(0);

	login_progress(r, "registering with the authorization server%s",
	    r->unscoped ? ", which wants no scopes named" : "");
	if (registration_request(&body, &wish) == 0)
		send_registration(r, &body);
	else
		login_fail(r, "memory", NULL, "out of memory");
	buf_free(&body);
}

static void
do_register(struct login_run *r)
{
	if (r->found.registration_endpoint == NULL)
		login_fail(r, "client", BY_HAND "; or publish a client metadata document and set "
		    "oauth.clientMetadataUrl, if the server takes those",
		    "no client id is configured, and the authorization server registers none by itself");
	else if (is_device(r) || login_listen(r))
		ask_registration(r);
}

/* Somebody has the port of the stored registration, maybe a login of another account there. */
static bool
port_is_taken(struct login_run *r)
{
	return !is_device(r) && r->login->config->oauth.redirect_port == 0 &&
	    login_try_listen(r) == -EADDRINUSE;
}

static void
on_client_loaded(void *arg, struct store_reply *reply)
{
	struct login_run *r = arg;
	const struct record *rec = reply->record;

	if (reply->result == STORE_OK && usable(r, rec) && !port_is_taken(r)) {
		r->stored = true;
		know(r, rec->client_id, rec->client_secret, rec->auth_method, true);
		login_ask_person(r);
		return;
	}
	if (reply->result != STORE_OK && reply->result != STORE_GONE)
		log_warn(r->login->config->name, "login", "the stored client registration: %s",
		    reply->why);
	r->port = 0;
	do_register(r);
}

void
login_choose_client(struct login_run *r)
{
	const struct config_upstream *u = r->login->config;
	struct store_key key;

	r->step = STEP_CLIENT;
	make_key(r);
	if (u->oauth.client_id != NULL) {
		take_configured(r);
	} else if (u->oauth.client_metadata_url != NULL && r->found.client_metadata) {
		know(r, u->oauth.client_metadata_url, NULL, NULL, false);
		login_ask_person(r);
	} else {
		key = key_of(r);
		store_load(r->login->store, &key, on_client_loaded, r);
	}
}

/* --- forgotten --- */

/* A scope can be refused because the stored client was registered for others. */
static bool
says_unknown(const struct login_run *r, const char *error)
{
	return strcmp(error, "invalid_client") == 0 || strcmp(error, "unauthorized_client") == 0 ||
	    (r->stored && strcmp(error, "invalid_scope") == 0);
}

bool
login_client_unknown(struct login_run *r, const char *error)
{
	if (!r->draft->registered || !says_unknown(r, error))
		return false;
	login_drop_client(r);
	/* H5: the command was run for this need; without it nobody would see the new URL. */
	if (r->reregistered || r->login->policy.stopping ||
	    (r->commanded && r->login->policy.watchers == 0))
		return false;
	r->reregistered = true;
	r->stored = false;
	r->port = 0;
	r->step = STEP_CLIENT;
	know(r, NULL, NULL, NULL, false);
	login_close_page(r, "the authorization server does not know this client any more: "
	    "the login begins again with a new one");
	login_progress(r, "the authorization server has forgotten the client: beginning again");
	do_register(r);
	return true;
}
