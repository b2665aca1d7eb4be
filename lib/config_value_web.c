#include "config_value_impl.h"
#include "http1.h"

#define FIELDS_MAX	32	/* each goes with every request */
#define PARAMS_MAX	32	/* all go into one URL */
#define HOSTS_MAX	64	/* socket.hosts: each request's Host is compared with them */

static int
read_url(struct reader *p, const cJSON *item, struct url *ret)
{
	int	r;

	if (!cJSON_IsString(item))
		return config_want(p, item, "a URL");
	r = url_parse(item->valuestring, strlen(item->valuestring), ret);
	if (r < 0 && r != -ENOMEM)
		return config_want(p, item, "a complete http:// or https:// URL without user name "
		    "and fragment");
	return r;
}

int
config_set_url(struct reader *p, _unused_ const struct config_key *key, const cJSON *item,
    void *target)
{
	struct url	url;
	int		r;

	if ((r = read_url(p, item, &url)) < 0)
		return r;
	url_free(target);
	*(struct url *)target = url;
	return 0;
}

/* An issuer is compared byte for byte later on (RFC 8414 section 3.3): kept as written. */
int
config_set_endpoint(struct reader *p, _unused_ const struct config_key *key, const cJSON *item,
    void *target)
{
	_cleanup_(url_free) struct url	url = { 0 };
	int				r;

	if ((r = read_url(p, item, &url)) < 0)
		return r;
	if (!url.https && !url_is_loopback(&url))
		return config_want(p, item, "an https:// URL (plain http only on loopback)");
	return config_replace(target, item->valuestring);
}

/* Does the path, up to a query, hold a segment "." or ".."? */
static bool
has_dot_segment(const char *path)
{
	size_t	n;

	for (; *path == '/'; path += n) {
		path++;
		n = strcspn(path, "/?");
		if ((n == 1 && path[0] == '.') || (n == 2 && path[0] == '.' && path[1] == '.'))
			return true;
	}
	return false;
}

/*
 * A client id that is a URL, draft-ietf-oauth-client-id-metadata-document
 * section 3.  Servers compare it byte for byte: kept as written.
 */
int
config_set_client_url(struct reader *p, _unused_ const struct config_key *key, const cJSON *item,
    void *target)
{
	_cleanup_(url_free) struct url	url = { 0 };
	const char			*path;
	int				r;

	if ((r = read_url(p, item, &url)) < 0)
		return r;
	path = item->valuestring + strlen("https://");
	path += strcspn(path, "/?");
	if (!url.https || *path != '/' || path[1] == '\0' || path[1] == '?')
		return config_want(p, item, "an https:// URL with a path, such as "
		    "\"https://example.com/mcp-authd.json\"");
	if (has_dot_segment(path))
		return config_want(p, item, "a URL without \".\" and \"..\" in its path");
	if (strchr(path, '?') != NULL)
		config_warning(p, item, "\"%s\" has a query, which authorization servers may refuse",
		    item->string);
	return config_replace(target, item->valuestring);
}

static bool
is_host(const cJSON *item)
{
	return config_is_text(item) && config_is_graphic(item->valuestring) &&
	    strpbrk(item->valuestring, "/@?#\\\"") == NULL;
}

int
config_set_hosts(struct reader *p, _unused_ const struct config_key *key, const cJSON *item,
    void *target)
{
	const cJSON	*host;

	if (!cJSON_IsArray(item) || cJSON_GetArraySize(item) > HOSTS_MAX)
		return config_want(p, item, "a list of at most 64 host names");
	cJSON_ArrayForEach(host, item)
		if (!is_host(host))
			return config_fail(p, host, AT_VALUE,
			    "\"hosts\" must hold host names, with a port where one is sent");
	return config_set_list(item, target);
}

/* What an authorization request says by itself, and where its own key is. */
static const char *
key_of_param(const char *name)
{
	static const char *const ours[][2] = {
		{ "response_type", NULL }, { "client_id", "clientId" }, { "redirect_uri", "redirectPort" },
		{ "scope", "scopes" }, { "state", NULL }, { "code_challenge", NULL },
		{ "code_challenge_method", NULL }, { "resource", "resource" },
	};

	for (size_t i = 0; i < nitems(ours); i++)
		if (strcmp(name, ours[i][0]) == 0)
			return ours[i][1] != NULL ? ours[i][1] : "";
	return NULL;
}

int
config_set_params(struct reader *p, _unused_ const struct config_key *key, const cJSON *item,
    void *target)
{
	const cJSON	*param;
	const char	*own;

	if (!cJSON_IsObject(item) || cJSON_GetArraySize(item) > PARAMS_MAX)
		return config_want(p, item, "an object of at most 32 parameters, each a string");
	cJSON_ArrayForEach(param, item) {
		own = key_of_param(param->string);
		if (own != NULL && *own != '\0')
			return config_fail(p, param, AT_KEY, "\"%s\" is written by the daemon "
			    "itself; see \"%s\"", param->string, own);
		if (own != NULL)
			return config_fail(p, param, AT_KEY, "\"%s\" is written by the daemon "
			    "itself, anew for each login", param->string);
		if (*param->string == '\0' || !config_is_graphic(param->string))
			return config_fail(p, param, AT_KEY, "\"%s\" is no name of a parameter",
			    config_show(param->string).text);
		if (!config_is_text(param))
			return config_want(p, param, "a string, not empty and without control "
			    "characters");
	}
	return config_set_pairs(item, target);
}

/* Fields that the daemon or the protocol writes itself. */
static bool
is_ours(const char *name)
{
	static const char *const ours[] = {
		"Authorization", "Host", "Content-Length", "Content-Type", "Transfer-Encoding",
		"Connection", "Keep-Alive", "TE", "Trailer", "Upgrade", "Expect", "Cookie",
		"Origin", "Accept", "Last-Event-ID", "MCP-Session-Id", "MCP-Protocol-Version",
	};

	for (size_t i = 0; i < nitems(ours); i++)
		if (strcasecmp(name, ours[i]) == 0)
			return true;
	return strncasecmp(name, "Proxy-", 6) == 0;
}

static int
check_field(struct reader *p, const cJSON *field, bool files)
{
	const char	*value = cJSON_GetStringValue(field);

	if (!http1_is_token(field->string, strlen(field->string)))
		return config_fail(p, field, AT_KEY, "\"%s\" is no name of a header",
		    config_show(field->string).text);
	if (is_ours(field->string))
		return config_fail(p, field, AT_KEY, "\"%s\" is written by the daemon itself",
		    config_show(field->string).text);
	if (files && (value == NULL || value[0] != '/'))
		return config_want(p, field, "the absolute path of a file");
	if (value == NULL || value[0] == '\0' || !http1_is_value(value, strlen(value)))
		return config_want(p, field, "a header's value in a string");
	return 0;
}

int
config_set_fields(struct reader *p, const struct config_key *key, const cJSON *item, void *target)
{
	bool		 files = key->type == CONFIG_FIELD_FILES;
	const cJSON	*field;
	int		 r;

	if (!cJSON_IsObject(item) || cJSON_GetArraySize(item) > FIELDS_MAX)
		return config_want(p, item, "an object of at most 32 headers");
	cJSON_ArrayForEach(field, item)
		if ((r = check_field(p, field, files)) < 0)
			return r;
	return config_set_pairs(item, target);
}

/* RFC 6749 section 3.3. */
static bool
is_scope(const cJSON *item)
{
	const char	*s = cJSON_GetStringValue(item);

	if (s == NULL || *s == '\0' || !config_is_graphic(s))
		return false;
	for (; *s != '\0'; s++)
		if (*s == '"' || *s == '\\')
			return false;
	return true;
}

int
config_set_scopes(struct reader *p, _unused_ const struct config_key *key, const cJSON *item,
    void *target)
{
	_cleanup_(buf_free) struct buf	joined = BUF_INIT(0);
	const cJSON			*scope;
	int				r;

	if (!cJSON_IsArray(item) || item->child == NULL)
		return config_want(p, item, "a list of at least one scope");
	cJSON_ArrayForEach(scope, item) {
		if (!is_scope(scope))
			return config_fail(p, scope, AT_VALUE,
			    "\"scopes\" must hold scopes: strings without blanks, each its own");
		if ((r = buf_addf(&joined, "%s%s", joined.len > 0 ? " " : "",
		    scope->valuestring)) < 0)
			return -ENOMEM;
	}
	return config_replace(target, joined.p);
}

/* RFC 3986 section 4.3: an absolute URI of any scheme, without a fragment, sent as written. */
static bool
is_uri(const char *s)
{
	size_t	scheme = strspn(s,
		    "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789+-.");

	return scheme > 0 && s[scheme] == ':' && s[scheme + 1] != '\0' &&
	    config_is_graphic(s) && strchr(s, '#') == NULL;
}

int
config_set_uri(struct reader *p, _unused_ const struct config_key *key, const cJSON *item,
    void *target)
{
	if (!cJSON_IsString(item) || !is_uri(item->valuestring))
		return config_want(p, item, "an absolute URI without a fragment");
	return config_replace(target, item->valuestring);
}

/* RFC 8707 section 2. */
int
config_set_resource(struct reader *p, _unused_ const struct config_key *key, const cJSON *item,
    _unused_ void *target)
{
	struct config_upstream	*u = p->upstream;

	if (cJSON_IsFalse(item)) {
		u->oauth.resource_omit = true;
		return 0;
	}
	if (!cJSON_IsString(item) || !is_uri(item->valuestring))
		return config_want(p, item, "an absolute URI without a fragment, or false");
	return config_replace(&u->oauth.resource, item->valuestring);
}

/* "http://[user@]host:port": the parts, and nothing else; the port is filled in. */
static int
parse_proxy(struct reader *p, const cJSON *item, struct buf *ret)
{
	_cleanup_(url_free) struct url	url = { 0 };
	_cleanup_(buf_free) struct buf	plain = BUF_INIT(0);
	const char			*host = item->valuestring + strlen("http://"), *at;
	size_t				 user;
	int				 r;

	at = strrchr(host, '@');
	user = at != NULL ? (size_t)(at - host) : 0;
	if (memchr(host, ':', user) != NULL)
		return config_fail(p, item, AT_VALUE, "no password stands in the config itself; "
		    "name a file with user:password in \"proxyCredentialsFile\"");
	if (at != NULL && (user == 0 || strcspn(host, "/?#@") != user))
		return config_want(p, item, "\"http://[user@]host:port\" or \"env\"");
	if (buf_addf(&plain, "http://%s", at != NULL ? at + 1 : host) < 0)
		return -ENOMEM;
	if ((r = url_parse(plain.p, plain.len, &url)) == -ENOMEM)
		return r;
	if (r < 0 || strcmp(url.target, "/") != 0)
		return config_want(p, item, "\"http://[user@]host:port\" or \"env\"");
	return buf_addf(ret, strchr(url.host, ':') != NULL ? "http://%.*s%s[%s]:%u" :
	    "http://%.*s%s%s:%u", (int)user, host, at != NULL ? "@" : "", url.host, url.port);
}

int
config_set_proxy(struct reader *p, _unused_ const struct config_key *key, const cJSON *item,
    void *target)
{
	_cleanup_(buf_free) struct buf	proxy = BUF_INIT(0);
	const char			*s = cJSON_GetStringValue(item);
	int				 r;

	if (s != NULL && strcmp(s, "env") == 0)
		return config_replace(target, s);
	if (s == NULL || !config_is_graphic(s) || strncasecmp(s, "http://", strlen("http://")) != 0)
		return config_want(p, item, "\"http://[user@]host:port\" (the proxy itself is "
		    "spoken to without TLS) or \"env\"");
	if ((r = parse_proxy(p, item, &proxy)) < 0)
		return r;
	return config_replace(target, proxy.p);
}

