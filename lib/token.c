#include <math.h>

#include "bounds.h"
#include "json.h"
#include "token.h"

/*
 * No lifetime is believed beyond this (some 30,000 years), so that sums of
 * times stay exact in a double, which is what JSON numbers become.
 */
#define LIFETIME_MAX	1e15

/* Error codes that may be named in log and status, and what they mean (table D). */
static const struct {
	const char	*code;
	enum token_class class;
} known[] = {
	{ "invalid_grant",		TOKEN_DEAD },
	{ "invalid_client",		TOKEN_REFUSED },
	{ "unauthorized_client",	TOKEN_REFUSED },
	{ "invalid_target",		TOKEN_REFUSED },
	{ "invalid_scope",		TOKEN_REFUSED },
	/* Not definitive by their own words, whatever the status says. */
	{ "temporarily_unavailable",	TOKEN_TRANSIENT },
	{ "slow_down",			TOKEN_TRANSIENT },
	{ "server_error",		TOKEN_UNKNOWN },
	{ "invalid_request",		TOKEN_STRIKE },
	{ "unsupported_grant_type",	TOKEN_STRIKE },
	{ "unsupported_response_type",	TOKEN_STRIKE },
	{ "unsupported_token_type",	TOKEN_STRIKE },
	{ "invalid_token",		TOKEN_STRIKE },
	{ "invalid_authorization_details", TOKEN_STRIKE },
	/* A device's polls (RFC 8628 section 3.5): device_poll_error() looks at the code. */
	{ "access_denied",		TOKEN_STRIKE },
	{ "expired_token",		TOKEN_STRIKE },
	{ "authorization_pending",	TOKEN_STRIKE },
	{ "account_selection_required",	TOKEN_STRIKE },
	{ "unmet_authentication_requirements", TOKEN_STRIKE },
	{ "login_required",		TOKEN_STRIKE },
	{ "consent_required",		TOKEN_STRIKE },
	{ "interaction_required",	TOKEN_STRIKE },
	{ "invalid_dpop_proof",		TOKEN_STRIKE },
	{ "use_dpop_nonce",		TOKEN_STRIKE }
};

static void
set_error(struct token_answer *ta, const char *code)
{
	strncpy(ta->error, code, sizeof(ta->error) - 1);
}

static enum token_class
classify_error(const char *code, struct token_answer *ta)
{
	size_t i;

	for (i = 0; i < nitems(known); i++) {
		if (strcmp(code, known[i].code) == 0) {
			set_error(ta, code);
			return known[i].class;
		}
	}
	set_error(ta, "other");
	return TOKEN_STRIKE;
}

/* A decimal number as text, nothing around it; NaN if it is anything else. */
static double
text_number(const char *s)
{
	char *end;
	double d;

	if (*s == '\0' || strspn(s, "0123456789.eE+-") != strlen(s))
		return NAN;
	d = strtod(s, &end);
	return *end == '\0' ? d : NAN;
}

int64_t
token_lifetime(const void *cjson_item, bool *ret_odd)
{
	const cJSON *item = cjson_item;
	double seconds;

	*ret_odd = false;
	if (item == NULL)
		return 0;
	if (cJSON_IsNumber(item))
		seconds = item->valuedouble;
	else if (cJSON_IsString(item))
		seconds = text_number(item->valuestring);
	else
		seconds = NAN;
	if (!isfinite(seconds)) {
		*ret_odd = true;
		return 0;
	}
	if (seconds <= 0)
		return 0;
	return (int64_t)MIN(seconds * SEC, LIFETIME_MAX);
}

/* May the token stand in a header field? */
static bool
header_safe(const char *s)
{
	size_t n;

	for (n = 0; s[n] != '\0'; n++)
		if (s[n] < 0x21 || s[n] > 0x7e)
			return false;
	return n > 0 && n <= TOKEN_BYTES;
}

/*
 * Copies an optional member.  What is of another type, empty or absurdly long
 * counts as omitted: the access token beside it is good all the same.
 */
static int
copy_member(const cJSON *doc, const char *key, char **ret)
{
	const char *s = json_string(doc, key);

	if (s == NULL || *s == '\0' || strlen(s) > TOKEN_BYTES)
		return 0;
	*ret = strdup(s);
	return *ret != NULL ? 0 : -ENOMEM;
}

static bool
bearer_type(const cJSON *doc)
{
	const cJSON *type = json_member(doc, "token_type");

	if (type == NULL || cJSON_IsNull(type))
		return true;
	return cJSON_IsString(type) && strcasecmp(type->valuestring, "Bearer") == 0;
}

static enum token_class
take_success(const cJSON *doc, int64_t received, struct token_answer *ta)
{
	const char *access = json_string(doc, "access_token");

	if (access == NULL)
		return TOKEN_UNKNOWN;
	if (!bearer_type(doc) || !header_safe(access))
		return TOKEN_REFUSED;
	if (copy_member(doc, "access_token", &ta->access_token) < 0 ||
	    copy_member(doc, "refresh_token", &ta->refresh_token) < 0 ||
	    copy_member(doc, "scope", &ta->scope) < 0) {
		token_free(ta);
		return TOKEN_UNKNOWN;
	}
	ta->lifetime = token_lifetime(json_member(doc, "expires_in"), &ta->odd_expiry);
	if (ta->lifetime > 0)
		ta->expires_at = received + ta->lifetime;
	return TOKEN_OK;
}

/* Is there an `error` that says something?  Some providers send an empty one with each success. */
static bool
has_error(const cJSON *doc)
{
	const cJSON *e = json_member(doc, "error");

	return e != NULL && !cJSON_IsNull(e) && !cJSON_IsFalse(e) &&
	    !(cJSON_IsString(e) && *e->valuestring == '\0');
}

static enum token_class
take_refusal(const cJSON *doc, struct token_answer *ta)
{
	const char *code = json_string(doc, "error");

	if (code == NULL || *code == '\0')
		return TOKEN_REFUSED;
	return classify_error(code, ta);
}

enum token_class
token_classify(int status, const char *body, size_t n, int64_t received, struct token_answer *ret)
{
	enum token_class class;
	cJSON *doc;

	memset(ret, 0, sizeof(*ret));
	ret->expires_at = EXPIRES_UNKNOWN;
	if (status == 429 || status == 503)
		return TOKEN_TRANSIENT;
	if (status >= 500 || status < 200)
		return TOKEN_UNKNOWN;
	doc = json_parse(body, n, NULL);
	if (doc != NULL && !cJSON_IsObject(doc)) {
		cJSON_Delete(doc);
		doc = NULL;
	}
	if (status >= 300)
		class = doc != NULL ? take_refusal(doc, ret) : TOKEN_REFUSED;
	else if (doc == NULL)
		class = TOKEN_UNKNOWN;
	else if (has_error(doc))
		class = take_refusal(doc, ret);
	else
		class = take_success(doc, received, ret);
	cJSON_Delete(doc);
	return class;
}

void
token_free(struct token_answer *ta)
{
	secret_free(ta->access_token);
	secret_free(ta->refresh_token);
	free(ta->scope);
	ta->access_token = ta->refresh_token = ta->scope = NULL;
}
