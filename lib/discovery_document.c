#include <stdio.h>

#include "bounds.h"
#include "discovery_document.h"
#include "json.h"
#include "scope.h"

#define SHOWN		120	/* bytes of remote text in our words */
#define METHOD_MAX	64	/* the longest registered one has 27 */

static int	bad(struct document_why *, const char *fmt, ...) _printf_(2, 3);

static int
bad(struct document_why *why, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(why->text, sizeof(why->text), fmt, ap);
	va_end(ap);
	return -EBADMSG;
}

void
list_free(char **list)
{
	char **s;

	for (s = list; s != NULL && *s != NULL; s++)
		free(*s);
	free(list);
}

bool
list_has(char **list, const char *text)
{
	for (; list != NULL && *list != NULL; list++)
		if (strcmp(*list, text) == 0)
			return true;
	return false;
}

void
document_resource_free(struct document_resource *r)
{
	free(r->resource);
	list_free(r->servers);
	free(r->scope);
	*r = (struct document_resource){ 0 };
}

bool
document_url_allowed(const struct config_upstream *u, const struct url *url)
{
	return url->https || url_is_loopback(url) || u->allow_insecure;
}

static int
copy(const char *text, char **ret)
{
	if (text == NULL)
		return 0;
	*ret = strdup(text);
	return *ret == NULL ? -ENOMEM : 0;
}

/* A list of strings contains this one; whatever else stands in it. */
static bool
lists(const cJSON *document, const char *key, const char *text)
{
	const cJSON *item;

	cJSON_ArrayForEach(item, json_member(document, key))
		if (cJSON_IsString(item) && strcmp(item->valuestring, text) == 0)
			return true;
	return false;
}

static bool
says(const cJSON *document, const char *key)
{
	return cJSON_IsTrue(json_member(document, key));
}

/* --- the protected resource --- */

/* A path and its descendants: "/a" holds "/a", "/a/" and "/a/b", not "/ab". */
static bool
path_holds(const char *whole, const char *part)
{
	size_t n = strcspn(whole, "?"), m = strcspn(part, "?");

	if (whole[n] == '?')
		return strcmp(whole, part) == 0;
	while (n > 0 && whole[n - 1] == '/')
		n--;
	return m >= n && memcmp(whole, part, n) == 0 && (m == n || part[n] == '/');
}

static int
check_resource(const char *text, const struct config_upstream *u, struct document_why *why)
{
	char shown[SHOWN];
	struct url url;
	bool good;
	int r;

	if (text == NULL)
		return bad(why, "it has no \"resource\"");
	text_escape(shown, sizeof(shown), text, strlen(text));
	r = url_parse(text, strlen(text), &url);
	if (r == -ENOMEM)
		return r;
	if (r < 0)
		return bad(why, "its \"resource\" %s is no URL", shown);
	good = url_same_origin(&url, &u->url) && path_holds(url.target, u->url.target);
	url_free(&url);
	return good ? 0 : bad(why, "it is about another resource, %s, not about the MCP server's "
	    "URL; correct \"url\" in the config, or the server's metadata", shown);
}

static int
read_servers(const cJSON *document, char ***ret, struct document_why *why)
{
	const cJSON *list = json_member(document, "authorization_servers"), *item;
	size_t n = 0;
	char **out;

	if (list == NULL || cJSON_IsNull(list))
		return 0;
	if (!cJSON_IsArray(list))
		return bad(why, "its \"authorization_servers\" is no list");
	if (cJSON_GetArraySize(list) > METADATA_LIST)
		return bad(why, "it names more than %d authorization servers", METADATA_LIST);
	if (cJSON_GetArraySize(list) == 0)
		return 0;
	*ret = out = calloc(METADATA_LIST + 1, sizeof(*out));
	if (out == NULL)
		return -ENOMEM;
	cJSON_ArrayForEach(item, list) {
		if (!cJSON_IsString(item) || strlen(item->valuestring) > URL_BYTES)
			return bad(why, "its \"authorization_servers\" holds what is no URL");
		if ((out[n++] = strdup(item->valuestring)) == NULL)
			return -ENOMEM;
	}
	return 0;
}

/* What is no scope is passed over; offline_access is the authorization server's to offer. */
static int
read_scopes(const cJSON *document, char **ret, struct document_why *why)
{
	_cleanup_(buf_free) struct buf out = BUF_INIT(SCOPE_BYTES);
	const cJSON *item;
	int r = 0;

	cJSON_ArrayForEach(item, json_member(document, "scopes_supported")) {
		const char *s = cJSON_GetStringValue(item);

		if (s == NULL || *s == '\0' || strchr(s, ' ') != NULL || !scope_valid(s) ||
		    strcmp(s, "offline_access") == 0)
			continue;
		r = out.len > 0 ? buf_adds(&out, " ") : 0;
		if (r == 0)
			r = buf_adds(&out, s);
		if (r < 0)
			break;
	}
	if (r == -EMSGSIZE)
		return bad(why, "its \"scopes_supported\" is too long; set \"oauth.scopes\"");
	if (r < 0 || out.len == 0)
		return r;
	*ret = buf_steal(&out);
	return *ret == NULL ? -ENOMEM : 0;
}

int
document_read_resource(const char *body, size_t n, const struct config_upstream *u,
    struct document_resource *ret, struct document_why *why)
{
	struct document_resource doc = { 0 };
	struct json_error error;
	cJSON *json = json_parse(body, n, &error);
	int r;

	if (json == NULL && error.line == 0)
		return -ENOMEM;
	if (!cJSON_IsObject(json)) {
		cJSON_Delete(json);
		return bad(why, "it is not a JSON object");
	}
	r = check_resource(json_string(json, "resource"), u, why);
	if (r == 0)
		r = copy(json_string(json, "resource"), &doc.resource);
	if (r == 0)
		r = read_servers(json, &doc.servers, why);
	if (r == 0 && u->oauth.scope == NULL)
		r = read_scopes(json, &doc.scope, why);
	cJSON_Delete(json);
	if (r < 0) {
		document_resource_free(&doc);
		return r;
	}
	*ret = doc;
	return 0;
}

/* --- the authorization server --- */

/* "https://host", or with a slash. */
static bool
is_origin(const char *text, const struct url *url)
{
	const char *scheme = url->https ? "https://" : "http://";
	size_t n = strlen(scheme), m = strlen(url->authority);

	if (strncmp(text, scheme, n) != 0 || strncmp(text + n, url->authority, m) != 0)
		return false;
	return text[n + m] == '\0' || strcmp(text + n + m, "/") == 0;
}

static int
check_issuer(const char *said, const char *issuer, const struct config_upstream *u,
    struct document_why *why)
{
	char shown[SHOWN];

	if (said == NULL)
		return bad(why, "it has no \"issuer\"");
	if (issuer != NULL ? strcmp(said, issuer) == 0 : is_origin(said, &u->url))
		return 0;
	text_escape(shown, sizeof(shown), said, strlen(said));
	return bad(why, "it says that it is another issuer's, %s; if that is known to be right, "
	    "set \"oauth.issuer\"", shown);
}

static int
read_endpoint(const cJSON *document, const char *key, const struct config_upstream *u,
    char **ret, struct document_why *why)
{
	const cJSON *item = json_member(document, key);
	const char *text = cJSON_GetStringValue(item);
	char shown[SHOWN];
	struct url url = { 0 };
	bool allowed;
	int r;

	if (item == NULL || cJSON_IsNull(item))
		return 0;
	if (text == NULL)
		return bad(why, "its \"%s\" is no URL", key);
	text_escape(shown, sizeof(shown), text, strlen(text));
	r = url_parse(text, strlen(text), &url);
	if (r == -ENOMEM)
		return r;
	if (r < 0)
		return bad(why, "its \"%s\" %s is no URL that can be used", key, shown);
	allowed = document_url_allowed(u, &url);
	if (allowed) {
		*ret = url.text;
		url.text = NULL;
	}
	url_free(&url);
	return allowed ? 0 : bad(why, "its \"%s\" %s must be https", key, shown);
}

static int
read_endpoints(const cJSON *json, const struct config_upstream *u, struct discovery_result *res,
    struct document_why *why)
{
	const struct {
		const char	*key;
		char		**ret;
	} endpoints[] = {
		{ "authorization_endpoint", &res->authorization_endpoint },
		{ "token_endpoint", &res->token_endpoint },
		{ "registration_endpoint", &res->registration_endpoint },
		{ "revocation_endpoint", &res->revocation_endpoint },
		{ "device_authorization_endpoint", &res->device_authorization_endpoint },
	};
	size_t i;
	int r = 0;

	for (i = 0; i < nitems(endpoints) && r == 0; i++)
		r = read_endpoint(json, endpoints[i].key, u, endpoints[i].ret, why);
	return r;
}

/* What cannot be a method's name is passed over, as is what comes behind METADATA_LIST of them. */
static int
read_methods(const cJSON *document, char ***ret)
{
	const cJSON *list = json_member(document, "token_endpoint_auth_methods_supported"), *item;
	size_t n = 0;

	if (!cJSON_IsArray(list))
		return 0;
	*ret = calloc(METADATA_LIST + 1, sizeof(**ret));
	if (*ret == NULL)
		return -ENOMEM;
	cJSON_ArrayForEach(item, list) {
		const char *s = cJSON_GetStringValue(item);

		if (s == NULL || *s == '\0' || strlen(s) > METHOD_MAX || !scope_valid(s))
			continue;
		if (n == METADATA_LIST)
			break;
		if (((*ret)[n++] = strdup(s)) == NULL)
			return -ENOMEM;
	}
	return 0;
}

int
document_read_server(const char *body, size_t n, const struct config_upstream *u,
    const char *issuer, bool believed, struct discovery_result *ret, struct document_why *why)
{
	struct discovery_result res = { 0 };
	struct json_error error;
	cJSON *json = json_parse(body, n, &error);
	const char *said;
	int r;

	if (json == NULL && error.line == 0)
		return -ENOMEM;
	if (!cJSON_IsObject(json)) {
		cJSON_Delete(json);
		return -ENOENT;
	}
	said = json_string(json, "issuer");
	r = believed ? 0 : check_issuer(said, issuer, u, why);
	if (r == 0)
		r = copy(believed ? issuer : said, &res.issuer);
	if (r == 0)
		r = read_endpoints(json, u, &res, why);
	if (r == 0)
		r = read_methods(json, &res.auth_methods);
	res.pkce = lists(json, "code_challenge_methods_supported", "S256");
	res.client_metadata = says(json, "client_id_metadata_document_supported");
	res.iss = says(json, "authorization_response_iss_parameter_supported");
	res.offline_access = lists(json, "scopes_supported", "offline_access");
	cJSON_Delete(json);
	if (r < 0) {
		discovery_result_free(&res);
		return r;
	}
	*ret = res;
	return 0;
}
