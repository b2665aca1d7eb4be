#include "base64.h"
#include "bounds.h"
#include "oauth.h"
#include "scope.h"

#define GRANT_URN	"urn:ietf:params:oauth:grant-type:"
#define ASSERTION_TYPE	"urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
#define ID_JAG_TYPE	"urn:ietf:params:oauth:token-type:id-jag"

/* Bytes that a form value carries as they are; a blank becomes '+', the rest %XX. */
static bool
form_plain(unsigned char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
	    (c >= '0' && c <= '9') || c == '-' || c == '.' || c == '_' || c == '*';
}

int
oauth_form(struct buf *out, const char *text)
{
	static const char hex[] = "0123456789ABCDEF";
	unsigned char c;
	int r = 0;

	for (; (c = (unsigned char)*text) != '\0' && r == 0; text++) {
		if (form_plain(c))
			r = buf_add(out, text, 1);
		else if (c == ' ')
			r = buf_add(out, "+", 1);
		else
			r = buf_add(out, (char []){ '%', hex[c >> 4], hex[c & 15] }, 3);
	}
	return r;
}

/* Appends "&key=value", without the '&' at the start. */
static int
add_field(struct buf *body, const char *key, const char *value)
{
	int r;

	if (value == NULL)
		return 0;
	r = body->len > 0 ? buf_adds(body, "&") : 0;
	if (r == 0)
		r = buf_adds(body, key);
	if (r == 0)
		r = buf_adds(body, "=");
	return r == 0 ? oauth_form(body, value) : r;
}

/* RFC 6749 2.3.1: id and secret are form-encoded before they become user and password. */
static int
add_basic(struct buf *out, const char *id, const char *secret)
{
	_cleanup_(buf_free) struct buf pair = BUF_SECRET(0);
	int r;

	r = oauth_form(&pair, id);
	if (r == 0)
		r = buf_adds(&pair, ":");
	if (r == 0)
		r = oauth_form(&pair, secret);
	if (r == 0)
		r = buf_adds(out, "Basic ");
	return r == 0 ? base64_add(out, pair.p, pair.len) : r;
}

/* RFC 7521 section 4.2; client_id may be left out, but there are servers that look for it. */
static int
add_assertion(struct buf *body, const struct oauth_client *client)
{
	int r;

	if (client->id == NULL || client->assertion == NULL)
		return -EINVAL;
	r = add_field(body, "client_id", client->id);
	if (r == 0)
		r = add_field(body, "client_assertion_type", ASSERTION_TYPE);
	return r == 0 ? add_field(body, "client_assertion", client->assertion) : r;
}

static const char *
method_of(const struct oauth_client *client)
{
	if (client->method != NULL)
		return client->method;
	return client->secret != NULL ? "client_secret_basic" : "none";
}

static int
authenticate(struct oauth_request *req, const struct oauth_client *client)
{
	const char *method = method_of(client);
	int r;

	if (strcmp(method, "none") == 0)
		return add_field(&req->body, "client_id", client->id);
	if (strcmp(method, "private_key_jwt") == 0)
		return add_assertion(&req->body, client);
	if (strcmp(method, "client_secret_basic") != 0 &&
	    strcmp(method, "client_secret_post") != 0)
		return -EINVAL;
	if (client->id == NULL || client->secret == NULL)
		return -EINVAL;
	if (strcmp(method, "client_secret_basic") == 0)
		return add_basic(&req->authorization, client->id, client->secret);
	r = add_field(&req->body, "client_id", client->id);
	return r == 0 ? add_field(&req->body, "client_secret", client->secret) : r;
}

void
oauth_request_free(struct oauth_request *req)
{
	buf_free(&req->body);
	buf_free(&req->authorization);
}

/* One field of a request.  Empty text is as good as none (RFC 6749 section 3.2). */
struct field {
	const char	*key, *value;
	bool		 required;
};

static int
add_fields(struct buf *body, const struct field *fields, size_t n)
{
	size_t i;
	int r;

	for (i = 0; i < n; i++) {
		if (fields[i].value == NULL || *fields[i].value == '\0') {
			if (fields[i].required)
				return -EINVAL;
			continue;
		}
		if ((r = add_field(body, fields[i].key, fields[i].value)) < 0)
			return r;
	}
	return 0;
}

/* The fields in their order, then who we are. */
static int
compose(struct oauth_request *req, const struct oauth_client *client, const struct field *fields,
    size_t n)
{
	int r = add_fields(&req->body, fields, n);

	return r == 0 ? authenticate(req, client) : r;
}

int
oauth_refresh_request(struct oauth_request *req, const struct oauth_client *client,
    const char *refresh_token, const char *resource)
{
	const struct field fields[] = {
		{ "grant_type", "refresh_token", true },
		{ "refresh_token", refresh_token, true },
		{ "resource", resource, false },
	};

	return compose(req, client, fields, nitems(fields));
}

int
oauth_code_request(struct oauth_request *req, const struct oauth_client *client,
    const char *code, const char *redirect_uri, const char *verifier, const char *resource)
{
	const struct field fields[] = {
		{ "grant_type", "authorization_code", true },
		{ "code", code, true },
		{ "redirect_uri", redirect_uri, true },
		{ "code_verifier", verifier, true },
		{ "resource", resource, false },
	};

	/* RFC 6749 section 4.1.3. */
	if (client->id == NULL)
		return -EINVAL;
	return compose(req, client, fields, nitems(fields));
}

int
oauth_credentials_request(struct oauth_request *req, const struct oauth_client *client,
    const char *scope, const char *resource)
{
	const struct field fields[] = {
		{ "grant_type", "client_credentials", true },
		{ "scope", scope, false },
		{ "resource", resource, false },
	};

	/* RFC 6749 section 4.4: for clients that can prove who they are. */
	if (strcmp(method_of(client), "none") == 0)
		return -EINVAL;
	return compose(req, client, fields, nitems(fields));
}

int
oauth_device_request(struct oauth_request *req, const struct oauth_client *client,
    const char *scope, const char *resource)
{
	const struct field fields[] = {
		{ "scope", scope, false },
		{ "resource", resource, false },
	};

	if (client->id == NULL)
		return -EINVAL;
	return compose(req, client, fields, nitems(fields));
}

int
oauth_device_poll(struct oauth_request *req, const struct oauth_client *client,
    const char *device_code, const char *resource)
{
	const struct field fields[] = {
		{ "grant_type", GRANT_URN "device_code", true },
		{ "device_code", device_code, true },
		{ "resource", resource, false },
	};

	if (client->id == NULL)
		return -EINVAL;
	return compose(req, client, fields, nitems(fields));
}

int
oauth_exchange_request(struct oauth_request *req, const struct oauth_client *client,
    const char *subject_token, const char *subject_token_type, const char *audience,
    const char *resource, const char *scope)
{
	const struct field fields[] = {
		{ "grant_type", GRANT_URN "token-exchange", true },
		{ "requested_token_type", ID_JAG_TYPE, true },
		{ "subject_token", subject_token, true },
		{ "subject_token_type", subject_token_type, true },
		{ "audience", audience, true },
		{ "resource", resource, false },
		{ "scope", scope, false },
	};

	return compose(req, client, fields, nitems(fields));
}

int
oauth_assertion_request(struct oauth_request *req, const struct oauth_client *client,
    const char *id_jag, const char *scope, const char *resource)
{
	const struct field fields[] = {
		{ "grant_type", GRANT_URN "jwt-bearer", true },
		{ "assertion", id_jag, true },
		{ "scope", scope, false },
		{ "resource", resource, false },
	};

	return compose(req, client, fields, nitems(fields));
}

int
oauth_revoke_request(struct oauth_request *req, const struct oauth_client *client,
    const char *token, const char *hint)
{
	const struct field fields[] = {
		{ "token", token, true },
		{ "token_type_hint", hint, false },
	};

	return compose(req, client, fields, nitems(fields));
}

/* Ours: authorizeParams can neither replace nor double them. */
static bool
reserved(const char *name)
{
	static const char *const ours[] = {
		"response_type", "client_id", "redirect_uri", "state", "code_challenge",
		"code_challenge_method", "scope", "resource",
	};
	size_t i;

	for (i = 0; i < nitems(ours); i++)
		if (strcmp(name, ours[i]) == 0)
			return true;
	return false;
}

/* A child's argument, a terminal's text: visible ASCII alone.  No fragment: RFC 6749 section 3.1. */
static bool
plain_endpoint(const char *s)
{
	for (; *s != '\0'; s++)
		if (*s < 0x21 || *s > 0x7e || *s == '#')
			return false;
	return true;
}

static int
add_params(struct buf *query, char **params)
{
	_cleanup_(buf_free) struct buf name = BUF_INIT(URL_BYTES);
	int r = 0;

	for (; params != NULL && params[0] != NULL && params[1] != NULL && r == 0; params += 2) {
		if (reserved(params[0]) || *params[0] == '\0')
			continue;
		buf_reset(&name);
		r = oauth_form(&name, params[0]);
		if (r == 0)
			r = add_field(query, name.p, params[1]);
	}
	return r;
}

/*
 * OpenID Connect Core section 11: offline_access is to be ignored unless the
 * person is asked to consent.
 */
static const char *
prompt(const struct oauth_authorization *a)
{
	for (char **p = a->params; p != NULL && p[0] != NULL && p[1] != NULL; p += 2)
		if (strcmp(p[0], "prompt") == 0)
			return NULL;
	return scope_contains(a->scope, "offline_access") ? "consent" : NULL;
}

static int
add_query(struct buf *query, const struct oauth_authorization *a)
{
	const struct field fields[] = {
		{ "response_type", "code", true },
		{ "client_id", a->client_id, true },
		{ "redirect_uri", a->redirect_uri, true },
		{ "state", a->state, true },
		{ "code_challenge", a->challenge, true },
		{ "code_challenge_method", "S256", true },
		{ "scope", a->scope, false },
		{ "resource", a->resource, false },
		{ "prompt", prompt(a), false },
	};
	int r = add_fields(query, fields, nitems(fields));

	return r == 0 ? add_params(query, a->params) : r;
}

int
oauth_authorization_url(struct buf *out, const struct oauth_authorization *a)
{
	_cleanup_(buf_free) struct buf query = BUF_SECRET(0);
	size_t n;
	int r;

	if (a->endpoint == NULL || !plain_endpoint(a->endpoint))
		return -EINVAL;
	if ((r = add_query(&query, a)) < 0 || (r = buf_adds(out, a->endpoint)) < 0)
		return r;
	n = strlen(a->endpoint);
	if (strchr(a->endpoint, '?') == NULL)
		r = buf_adds(out, "?");
	else if (a->endpoint[n - 1] != '?' && a->endpoint[n - 1] != '&')
		r = buf_adds(out, "&");
	return r == 0 ? buf_add(out, query.p, query.len) : r;
}
