#include "bounds.h"
#include "json.h"
#include "registration.h"
#include "token.h"

#define SECONDS_MAX	1e11	/* the year 5138: more is milliseconds */

/* `,"key":"value"`; NULL is left out. */
static int
add_text(struct buf *out, const char *key, const char *value)
{
	int r;

	if (value == NULL)
		return 0;
	r = buf_addf(out, ",\"%s\":", key);
	return r == 0 ? buf_addjson(out, value, strlen(value)) : r;
}

static int
add_redirect(struct buf *out, const char *uri)
{
	int r;

	if (uri == NULL)
		return buf_adds(out, ",\"response_types\":[]");
	r = buf_adds(out, ",\"response_types\":[\"code\"],\"redirect_uris\":[");
	if (r == 0)
		r = buf_addjson(out, uri, strlen(uri));
	return r == 0 ? buf_adds(out, "]") : r;
}

int
registration_request(struct buf *out, const struct registration_wish *wish)
{
	int r;

	r = buf_adds(out, "{\"application_type\":\"native\",\"grant_types\":[");
	if (r == 0)
		r = buf_addjson(out, wish->grant, strlen(wish->grant));
	if (r == 0)
		r = buf_adds(out, ",\"refresh_token\"]");
	if (r == 0)
		r = add_redirect(out, wish->redirect_uri);
	if (r == 0)
		r = add_text(out, "client_name", wish->client_name);
	if (r == 0)
		r = add_text(out, "token_endpoint_auth_method", wish->auth_method);
	if (r == 0)
		r = add_text(out, "scope", wish->scope);
	return r == 0 ? buf_adds(out, "}") : r;
}

/* A text that may be sent back: VSCHAR of RFC 6749 appendix A. */
static bool
usable(const char *s)
{
	size_t n;

	for (n = 0; s[n] != '\0'; n++)
		if (n == TOKEN_BYTES || s[n] < 0x20 || s[n] > 0x7e)
			return false;
	return n > 0;
}

/* 0 is "never" (RFC 7591 section 3.2.1), and so is what cannot be a time. */
static int64_t
secret_expiry(const cJSON *doc)
{
	int64_t at;
	bool odd;

	at = token_lifetime(json_member(doc, "client_secret_expires_at"), &odd);
	return at > 0 && at <= SECONDS_MAX * SEC ? at : EXPIRES_UNKNOWN;
}

/* What is wrong with the answer, or NULL. */
static const char *
judge(const char *id, const char *secret, const char *method)
{
	if (id == NULL || !usable(id))
		return "the server registered no usable client_id: set oauth.clientId";
	if (secret != NULL && !usable(secret))
		return "the server gave a client_secret that cannot be sent: set oauth.clientId";
	if (method == NULL || strcmp(method, "none") == 0)
		return NULL;
	if (strcmp(method, "client_secret_basic") != 0 && strcmp(method, "client_secret_post") != 0)
		return "the server registered a client authentication method that cannot be used "
		    "without an agreement: set oauth.clientId and oauth.tokenEndpointAuthMethod";
	return secret == NULL ? "the server registered a client with a secret and gave none: "
	    "set oauth.clientId and oauth.clientSecretFile" : NULL;
}

static int
take(const char *id, const char *secret, const char *method, struct registration *reg)
{
	reg->client_id = strdup(id);
	reg->client_secret = secret != NULL ? strdup(secret) : NULL;
	reg->auth_method = method != NULL ? strdup(method) : NULL;
	return reg->client_id == NULL || (secret != NULL && reg->client_secret == NULL) ||
	    (method != NULL && reg->auth_method == NULL) ? -ENOMEM : 0;
}

/* An optional text; empty and null are absent. */
static const char *
optional(const cJSON *doc, const char *key)
{
	const char *s = json_string(doc, key);

	return s != NULL && *s != '\0' ? s : NULL;
}

static int
take_document(const cJSON *doc, struct registration *reg, const char **ret_why)
{
	const char *secret = optional(doc, "client_secret");
	const char *method = optional(doc, "token_endpoint_auth_method");
	const char *id = json_string(doc, "client_id"), *why;

	/* A public client has none, whatever else is said. */
	if (method != NULL && strcmp(method, "none") == 0)
		secret = NULL;
	if ((why = judge(id, secret, method)) != NULL) {
		*ret_why = why;
		return -EBADMSG;
	}
	reg->secret_expires_at = secret != NULL ? secret_expiry(doc) : EXPIRES_UNKNOWN;
	return take(id, secret, method, reg);
}

int
registration_parse(const char *text, size_t n, struct registration *ret, const char **ret_why)
{
	struct json_error error = { .line = 1 };
	struct registration reg = { 0 };
	cJSON *doc;
	int r;

	*ret_why = "the registration endpoint did not answer with one JSON object: "
	    "set oauth.clientId";
	doc = n <= METADATA_BODY ? json_parse(text, n, &error) : NULL;
	if (doc == NULL && error.line == 0)
		r = -ENOMEM;
	else
		r = cJSON_IsObject(doc) ? take_document(doc, &reg, ret_why) : -EBADMSG;
	cJSON_Delete(doc);
	if (r == -ENOMEM)
		*ret_why = "out of memory";
	if (r < 0)
		registration_free(&reg);
	else
		*ret = reg;
	return r;
}

void
registration_free(struct registration *reg)
{
	free(reg->client_id);
	secret_free(reg->client_secret);
	free(reg->auth_method);
	*reg = (struct registration){ 0 };
}
