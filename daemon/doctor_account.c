/* The steps of doctor that compare what is known with what is wanted. */
#include "credential.h"
#include "doctor_impl.h"
#include "json.h"
#include "scope.h"
#include "when.h"

#define SHOWN	300		/* of a remote text */

static const char *
show(const char *text, char out[SHOWN])
{
	return text_escape(out, SHOWN, text, strcspn(text, "?"));
}

static const struct record *
held(const struct doctor *d)
{
	return d->up->credential != NULL ? credential_record(d->up->credential) : NULL;
}

bool
doctor_needs_nobody(const struct config_upstream *u)
{
	return u->oauth.grant == CONFIG_CLIENT_CREDENTIALS || u->oauth.grant == CONFIG_ID_JAG;
}

/* --- metadata --- */

#define PUBLISHED	"tell whoever runs the server: it should publish protected-resource " \
	"metadata (RFC 9728); an \"issuer\" in \"oauth\" of the config can stand for it"

static void
read_resource(struct doctor *d, const struct discover_reply *reply)
{
	const char *at = reply->result != NULL ? reply->result->resource_metadata : NULL;
	char shown[SHOWN];

	if (!reply->ok && !reply->at_server)
		doctor_say(d, DOCTOR_METADATA, DOCTOR_FAIL, "no login is possible until this is "
		    "mended: tell whoever runs the server", "%s", reply->why);
	else if (!reply->ok)
		doctor_say(d, DOCTOR_METADATA, DOCTOR_OK, NULL, "nothing is wrong with the "
		    "server's own");
	else if (at != NULL)
		doctor_say(d, DOCTOR_METADATA, DOCTOR_OK, NULL, "read at %s", show(at, shown));
	else if (d->up->config->oauth.issuer != NULL)
		doctor_say(d, DOCTOR_METADATA, DOCTOR_OK, NULL, "the server publishes none; the "
		    "config names the issuer");
	else
		doctor_say(d, DOCTOR_METADATA, DOCTOR_WARN, PUBLISHED,
		    "the server publishes no protected-resource metadata");
}

/* --- issuer --- */

/* WIRE A9: the login came from another authorization server than the one named now. */
static bool
moved(const struct doctor *d, const struct discovery_result *res)
{
	const struct record *rec = held(d);

	return rec != NULL && rec->issuer != NULL && res->issuer != NULL &&
	    strcmp(rec->issuer, res->issuer) != 0;
}

static void
read_issuer(struct doctor *d, const struct discovery_result *res)
{
	const struct config_upstream *u = d->up->config;
	char now[SHOWN], then[SHOWN];
	const char *name = show(res->issuer != NULL ? res->issuer : u->url.text, now);

	if (u->oauth.grant == CONFIG_AUTHORIZATION_CODE && !res->pkce)
		doctor_say(d, DOCTOR_ISSUER, DOCTOR_FAIL, "if its documentation says that it has "
		    "PKCE all the same, set \"assumePkce\": true in \"oauth\"",
		    "%s does not announce PKCE with S256, without which nobody logs in", name);
	else if (u->oauth.grant == CONFIG_DEVICE_CODE && res->device_authorization_endpoint == NULL)
		doctor_say(d, DOCTOR_ISSUER, DOCTOR_FAIL, "remove \"grant\" from \"oauth\" and "
		    "log in with a browser", "%s offers no device authorization", name);
	else if (moved(d, res))
		doctor_say(d, DOCTOR_ISSUER, DOCTOR_WARN, d->login, "the server names %s, but the "
		    "login came from %s", name, show(held(d)->issuer, then));
	else if (res->bare)
		doctor_say(d, DOCTOR_ISSUER, DOCTOR_WARN, "if a login fails, set "
		    "\"authorizationEndpoint\" and \"tokenEndpoint\" in \"oauth\"",
		    "no metadata of an authorization server: /authorize, /token and /register at "
		    "the server itself are assumed, as in 2025-03-26");
	else
		doctor_say(d, DOCTOR_ISSUER, DOCTOR_OK, NULL, "%s%s", name,
		    u->oauth.grant != CONFIG_AUTHORIZATION_CODE ? "" :
		    u->oauth.assume_pkce ? ", PKCE is assumed" : ", with PKCE");
}

/* --- client --- */

#define BY_HAND	"register a client there by hand (redirect http://127.0.0.1/callback, any port) " \
	"and set \"clientId\" in \"oauth\", and \"clientSecretFile\" if it has a secret"

static bool
has(char **list, const char *word)
{
	for (; *list != NULL; list++)
		if (strcmp(*list, word) == 0)
			return true;
	return false;
}

/* As a login would choose (WIRE A8, A9). */
static void
read_client(struct doctor *d, const struct discovery_result *res)
{
	const struct config_upstream *u = d->up->config;
	const struct record *rec = held(d);
	const char *method = u->oauth.token_endpoint_auth_method;
	bool document = u->oauth.client_metadata_url != NULL;

	if (method != NULL && res->auth_methods != NULL && !has(res->auth_methods, method))
		doctor_say(d, DOCTOR_CLIENT, DOCTOR_WARN, "if logins or refreshes fail, correct "
		    "\"tokenEndpointAuthMethod\" in \"oauth\"",
		    "the authorization server does not list the configured %s", method);
	else if (u->oauth.client_id != NULL && u->oauth.issuer == NULL && moved(d, res))
		doctor_say(d, DOCTOR_CLIENT, DOCTOR_FAIL, "set \"issuer\" in \"oauth\" to say for "
		    "which server \"clientId\" is, or log out first",
		    "the configured client id is not shown to another authorization server");
	else if (u->oauth.client_id != NULL && rec != NULL && rec->client_id != NULL &&
	    !doctor_needs_nobody(u) && strcmp(u->oauth.client_id, rec->client_id) != 0)
		doctor_say(d, DOCTOR_CLIENT, DOCTOR_WARN, d->login,
		    "the token was given to another client than the configured one");
	else if (u->oauth.client_id != NULL)
		doctor_say(d, DOCTOR_CLIENT, DOCTOR_OK, NULL, "the client id of the config");
	else if (document && res->client_metadata)
		doctor_say(d, DOCTOR_CLIENT, DOCTOR_OK, NULL, "the configured client metadata "
		    "document");
	else if (rec != NULL && rec->registered && !moved(d, res))
		doctor_say(d, DOCTOR_CLIENT, DOCTOR_OK, NULL, "registered there");
	else if (res->registration_endpoint != NULL)
		doctor_say(d, DOCTOR_CLIENT, DOCTOR_OK, NULL, "%sa login registers one",
		    document ? "the server takes no client metadata documents; " : "");
	else if (rec != NULL && rec->client_id != NULL && !moved(d, res))
		doctor_say(d, DOCTOR_CLIENT, DOCTOR_WARN, BY_HAND, "the client id came with the "
		    "token; a login would have none, as the server registers none by itself");
	else
		doctor_say(d, DOCTOR_CLIENT, DOCTOR_FAIL, BY_HAND, "no client id is configured, "
		    "and the authorization server registers none by itself");
}

/* --- scopes --- */

static void
read_scopes(struct doctor *d, const struct discovery_result *res)
{
	const struct challenge *c = credential_challenge(d->up->credential);
	const char *needed = c != NULL && c->scope != NULL ? c->scope : res->challenged;
	const char *configured = d->up->config->oauth.scope;
	const struct record *rec = held(d);
	const char *given = rec != NULL ? rec->scope : NULL;
	char want[SHOWN], have[SHOWN];

	if (rec == NULL && res->scope == NULL)
		doctor_say(d, DOCTOR_SCOPES, DOCTOR_OK, NULL, "a login asks for none in "
		    "particular");
	else if (rec == NULL)
		doctor_say(d, DOCTOR_SCOPES, DOCTOR_OK, NULL, "a login asks for: %s",
		    show(res->scope, want));
	else if (given == NULL)
		doctor_say(d, DOCTOR_SCOPES, DOCTOR_OK, NULL, "which ones the login has is not "
		    "known");
	else if (needed != NULL && !scope_contains(given, needed))
		doctor_say(d, DOCTOR_SCOPES, DOCTOR_WARN, d->login, "the server asks for: %s; the "
		    "login has: %s", show(needed, want), show(given, have));
	else if (configured != NULL && !scope_contains(given, configured))
		doctor_say(d, DOCTOR_SCOPES, DOCTOR_WARN, d->login, "the config asks for: %s; the "
		    "login has: %s", show(configured, want), show(given, have));
	else
		doctor_say(d, DOCTOR_SCOPES, DOCTOR_OK, NULL, "the login has: %s",
		    *given != '\0' ? show(given, have) : "none");
}

void
doctor_read_metadata(struct doctor *d, const struct discover_reply *reply)
{
	const struct discovery_result *res = reply->result;

	read_resource(d, reply);
	if (res != NULL) {
		read_issuer(d, res);
		read_client(d, res);
		read_scopes(d, res);
		return;
	}
	if (reply->at_server)
		doctor_say(d, DOCTOR_ISSUER, DOCTOR_FAIL, "no login is possible until this is "
		    "mended: correct \"oauth\" in the config, or tell whoever runs that server",
		    "%s", reply->why);
	doctor_skip(d, DOCTOR_TOKEN, "the metadata is needed for that");
}

/* --- token --- */

static void
say_missing(struct doctor *d, const char *trouble)
{
	d->login_required = !doctor_needs_nobody(d->up->config);
	doctor_say(d, DOCTOR_TOKEN, DOCTOR_FAIL, d->login, "%s%s%s",
	    d->login_required ? "a login is needed" : "none was given",
	    trouble != NULL ? ": " : "", trouble != NULL ? trouble : "");
}

/* "expires in 5 min". */
static const char *
expiry_words(const cJSON *status, int64_t wall, char *out, size_t size)
{
	const cJSON *at = json_member(status, "expires_at");
	char when[WHEN_BYTES];
	int64_t left;

	if (!cJSON_IsNumber(at)) {
		snprintf(out, size, "is there; when it expires is not known");
		return out;
	}
	left = (int64_t)at->valuedouble - wall / SEC;
	snprintf(out, size, "%s %s", left > 0 ? "expires" : "has expired", when_words(left, when));
	return out;
}

static void
say_held(struct doctor *d, const cJSON *status, const char *trouble)
{
	bool bearer = d->up->config->auth == CONFIG_BEARER;
	bool renewable = cJSON_IsTrue(json_member(status, "renewable"));
	const char *breaker = json_string(status, "breaker");
	char words[80];

	if (doctor_needs_nobody(d->up->config) && !bearer && held(d) == NULL)
		snprintf(words, sizeof(words), "the first request fetches one");
	else
		expiry_words(status, loop_now(d->up->loop).wall, words, sizeof(words));
	if (cJSON_IsTrue(json_member(status, "unpersisted")))
		doctor_say(d, DOCTOR_TOKEN, DOCTOR_WARN, "do not stop the daemon; make room, or "
		    "mend the store's folder", "%s; it could not be stored yet", words);
	else if (breaker != NULL && strcmp(breaker, "closed") != 0)
		doctor_say(d, DOCTOR_TOKEN, DOCTOR_WARN, "the request below tells whether it "
		    "still does; if so, log in anew, or ask whoever runs the server",
		    "%s; the server rejected it although it was fresh", words);
	else if (trouble != NULL && (renewable || bearer))
		doctor_say(d, DOCTOR_TOKEN, DOCTOR_WARN, "the daemon tries again by itself; "
		    "mcp-authctl reload makes it try at once", "%s; %s", words, trouble);
	else if (trouble != NULL)
		doctor_say(d, DOCTOR_TOKEN, DOCTOR_WARN, d->login, "%s; %s", words, trouble);
	else if (!renewable && !bearer && !doctor_needs_nobody(d->up->config))
		doctor_say(d, DOCTOR_TOKEN, DOCTOR_WARN, "log in again when it is over; some "
		    "providers give a refresh token only for the scope offline_access",
		    "%s, and cannot be renewed", words);
	else
		doctor_say(d, DOCTOR_TOKEN, DOCTOR_OK, NULL, "%s%s", words,
		    bearer ? "" : renewable ? ", renewable" : "");
}

bool
doctor_read_token(struct doctor *d)
{
	struct buf b = BUF_INIT(0);
	const char *state, *trouble;
	cJSON *status = NULL;
	bool loaded = true;

	if (d->up->credential == NULL) {
		doctor_say(d, DOCTOR_TOKEN, DOCTOR_SKIP, NULL, "this server wants none (\"auth\": "
		    "\"none\")");
		return true;
	}
	if (credential_status(d->up->credential, &b) == 0)
		status = json_parse(b.p, b.len, NULL);
	buf_free(&b);
	state = json_string(status, "state");
	trouble = json_string(status, "trouble");
	if (state == NULL)
		doctor_say(d, DOCTOR_TOKEN, DOCTOR_FAIL, "try again", "out of memory");
	else if (strcmp(state, "loading") == 0)
		loaded = false;
	else if (strcmp(state, "logged_in") == 0)
		say_held(d, status, trouble);
	else if (d->up->config->auth == CONFIG_BEARER)
		doctor_say(d, DOCTOR_TOKEN, DOCTOR_FAIL, "look at \"bearer\" in the config, and "
		    "at what it names", "%s", trouble != NULL ? trouble : "there is none");
	else if (strcmp(state, "store_fault") == 0)
		doctor_say(d, DOCTOR_TOKEN, DOCTOR_FAIL, "mend the store's folder (mcp-authctl "
		    "status says where it is), or log in anew", "%s",
		    trouble != NULL ? trouble : "the store cannot be read");
	else
		say_missing(d, trouble);
	cJSON_Delete(status);
	return loaded;
}
