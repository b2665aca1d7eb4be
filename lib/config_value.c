#include <stdarg.h>
#include <stdio.h>

#include "bounds.h"
#include "config_value.h"
#include "http1.h"

#define FIELDS_MAX	32	/* each goes with every request */
#define ARGV_MAX	64	/* words of a command */
#define HOSTS_MAX	64	/* socket.hosts: each request's Host is compared with them */

#define USERS_MAX	256	/* socket.allowUsers: each new connection is compared with them */

typedef int set_fn(struct reader *, const struct config_key *, const cJSON *, void *target);

static void _printf_(5, 0)
compose(struct reader *p, struct config_error *error, const cJSON *item, enum config_where where,
    const char *fmt, va_list ap)
{
	memset(error, 0, sizeof(*error));
	snprintf(error->file, sizeof(error->file), "%s", p->file);
	jsonc_locate(p->text, p->n, p->root, item, where == AT_KEY, &error->line, &error->column);
	vsnprintf(error->what, sizeof(error->what), fmt, ap);
}

int
config_fail(struct reader *p, const cJSON *item, enum config_where where, const char *fmt, ...)
{
	va_list	ap;

	va_start(ap, fmt);
	compose(p, p->error, item, where, fmt, ap);
	va_end(ap);
	return -EINVAL;
}

void
config_warning(struct reader *p, const cJSON *item, const char *fmt, ...)
{
	struct config_error	error;
	va_list			ap;

	if (p->warn == NULL)
		return;
	va_start(ap, fmt);
	compose(p, &error, item, AT_KEY, fmt, ap);
	va_end(ap);
	p->warn(p->warn_arg, &error);
}

struct config_shown
config_show(const char *s)
{
	struct config_shown	shown;

	text_escape(shown.text, sizeof(shown.text), s, strlen(s));
	return shown;
}

static int
replace(char **slot, const char *s)
{
	char	*copy;

	if ((copy = strdup(s)) == NULL)
		return -ENOMEM;
	free(*slot);
	*slot = copy;
	return 0;
}

void
config_list_free(char **list)
{
	char	**s;

	for (s = list; s != NULL && *s != NULL; s++)
		free(*s);
	free(list);
}

int
config_want(struct reader *p, const cJSON *item, const char *what)
{
	return config_fail(p, item, AT_VALUE, "\"%s\" must be %s",
	    config_show(item->string).text, what);
}

static int
set_any(_unused_ struct reader *p, _unused_ const struct config_key *key,
    _unused_ const cJSON *item, _unused_ void *target)
{
	return 0;
}

static int
set_bool(struct reader *p, _unused_ const struct config_key *key, const cJSON *item, void *target)
{
	if (!cJSON_IsBool(item))
		return config_want(p, item, "true or false");
	*(bool *)target = cJSON_IsTrue(item);
	return 0;
}

/* ASCII that can be seen, without blanks. */
static bool
is_graphic(const char *s)
{
	for (; *s != '\0'; s++)
		if (*s <= ' ' || *s > '~')
			return false;
	return true;
}

static bool
is_text(const cJSON *item)
{
	const char	*s = cJSON_GetStringValue(item);

	if (s == NULL || *s == '\0')
		return false;
	for (; *s != '\0'; s++)
		if ((unsigned char)*s < ' ' || *s == 0x7f)
			return false;
	return true;
}

static int
set_string(struct reader *p, _unused_ const struct config_key *key, const cJSON *item, void *target)
{
	if (!is_text(item))
		return config_want(p, item, "a string, not empty and without control characters");
	return replace(target, item->valuestring);
}

static int
set_file(struct reader *p, _unused_ const struct config_key *key, const cJSON *item, void *target)
{
	if (!is_text(item))
		return config_want(p, item, "the path of a file");
	if (item->valuestring[0] != '/')
		return config_want(p, item, "an absolute path, beginning with \"/\" (\"~\" and "
		    "relative paths would depend on who starts the daemon)");
	return replace(target, item->valuestring);
}

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

static int
set_url(struct reader *p, _unused_ const struct config_key *key, const cJSON *item, void *target)
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
static int
set_endpoint(struct reader *p, _unused_ const struct config_key *key, const cJSON *item,
    void *target)
{
	_cleanup_(url_free) struct url	url = { 0 };
	int				r;

	if ((r = read_url(p, item, &url)) < 0)
		return r;
	if (!url.https && !url_is_loopback(&url))
		return config_want(p, item, "an https:// URL (plain http only on loopback)");
	return replace(target, item->valuestring);
}

/* The choice that the item names; its error says what may be chosen. */
static int
choose(struct reader *p, const struct config_key *key, const cJSON *item,
    const struct config_choice **ret)
{
	const struct config_choice	*choice = key->choices;
	const char			*nearest;

	if (!cJSON_IsString(item))
		return config_fail(p, item, AT_VALUE, "\"%s\" must be a string such as \"%s\"",
		    config_show(item->string).text, key->choices->name);
	while (choice->name != NULL && strcmp(choice->name, item->valuestring) != 0)
		choice++;
	if (choice->name == NULL) {
		nearest = config_choice_nearest(key->choices, item->valuestring);
		return config_fail(p, item, AT_VALUE,
		    "\"%s\" is no value of \"%s\"; did you mean \"%s\"?",
		    config_show(item->valuestring).text, config_show(item->string).text,
		    nearest != NULL ? nearest : key->choices->name);
	}
	if (choice->status == CONFIG_LATER)
		return config_fail(p, item, AT_VALUE,
		    "\"%s\": \"%s\" is known but not supported by this version",
		    config_show(item->string).text, choice->name);
	*ret = choice;
	return 0;
}

static int
set_choice(struct reader *p, const struct config_key *key, const cJSON *item, void *target)
{
	const struct config_choice	*choice;
	int				 r;

	if ((r = choose(p, key, item, &choice)) == 0)
		*(int *)target = choice->value;
	return r;
}

static int
set_flag(struct reader *p, const struct config_key *key, const cJSON *item, void *target)
{
	const struct config_choice	*choice;
	int				 r;

	if ((r = choose(p, key, item, &choice)) == 0)
		*(bool *)target = choice->value != 0;
	return r;
}

static int
set_word(struct reader *p, const struct config_key *key, const cJSON *item, void *target)
{
	const struct config_choice	*choice;
	int				 r;

	if ((r = choose(p, key, item, &choice)) == 0)
		r = replace(target, choice->name);
	return r;
}

/* A number within the row's range. */
static int
read_number(struct reader *p, const struct config_key *key, const cJSON *item, const char *unit)
{
	if (!cJSON_IsNumber(item))
		return config_fail(p, item, AT_VALUE, "\"%s\" must be a number%s, without quotes",
		    config_show(item->string).text, unit);
	if (!(item->valuedouble >= key->min && item->valuedouble <= key->max))
		return config_fail(p, item, AT_VALUE, "\"%s\" must be between %.15g and %.15g%s",
		    config_show(item->string).text, key->min, key->max, unit);
	return 0;
}

static int
set_seconds(struct reader *p, const struct config_key *key, const cJSON *item, void *target)
{
	int	r;

	if ((r = read_number(p, key, item, " (seconds)")) == 0)
		*(int64_t *)target = (int64_t)(item->valuedouble * SEC + 0.5);
	return r;
}

static int
set_count(struct reader *p, const struct config_key *key, const cJSON *item, void *target)
{
	int	r;

	if ((r = read_number(p, key, item, "")) < 0)
		return r;
	if (item->valuedouble != (double)(uint64_t)item->valuedouble)
		return config_want(p, item, "a whole number");
	*(uint64_t *)target = (uint64_t)item->valuedouble;
	return 0;
}

static int
set_mode(struct reader *p, _unused_ const struct config_key *key, const cJSON *item, void *target)
{
	const char	*s = cJSON_GetStringValue(item);
	unsigned long	 mode;

	if (s == NULL || strlen(s) != 4 || s[0] != '0' || strspn(s, "01234567") != 4)
		return config_want(p, item, "four octal digits in a string, such as \"0600\"");
	mode = strtoul(s, NULL, 8);
	if ((mode & ~0666UL) != 0 || (mode & 0600) != 0600)
		return config_want(p, item, "readable and writable for the owner, and "
		    "executable for nobody");
	*(unsigned *)target = (unsigned)mode;
	return 0;
}

static bool
is_host(const cJSON *item)
{
	return is_text(item) && is_graphic(item->valuestring) &&
	    strpbrk(item->valuestring, "/@?#\\\"") == NULL;
}

/* A checked array of strings becomes a list that ends with NULL. */
static int
set_list(const cJSON *item, char ***slot)
{
	const cJSON	*text;
	char		**list;
	size_t		 n = 0;

	if ((list = calloc((size_t)cJSON_GetArraySize(item) + 1, sizeof(*list))) == NULL)
		return -ENOMEM;
	cJSON_ArrayForEach(text, item)
		if ((list[n++] = strdup(text->valuestring)) == NULL) {
			config_list_free(list);
			return -ENOMEM;
		}
	config_list_free(*slot);
	*slot = list;
	return 0;
}

static int
set_hosts(struct reader *p, _unused_ const struct config_key *key, const cJSON *item, void *target)
{
	const cJSON	*host;

	if (!cJSON_IsArray(item) || cJSON_GetArraySize(item) > HOSTS_MAX)
		return config_want(p, item, "a list of at most 64 host names");
	cJSON_ArrayForEach(host, item)
		if (!is_host(host))
			return config_fail(p, host, AT_VALUE,
			    "\"hosts\" must hold host names, with a port where one is sent");
	return set_list(item, target);
}

/* Names or numeric uids; whether they exist is found out by the daemon (daemon/generation). */
static int
set_users(struct reader *p, _unused_ const struct config_key *key, const cJSON *item, void *target)
{
	const cJSON	*user;

	if (!cJSON_IsArray(item) || cJSON_GetArraySize(item) > USERS_MAX)
		return config_want(p, item, "a list of at most 256 users");
	cJSON_ArrayForEach(user, item)
		if (!is_text(user) || !is_graphic(user->valuestring))
			return config_fail(p, user, AT_VALUE, "\"allowUsers\" must hold user "
			    "names, or uids in quotes");
	return set_list(item, target);
}

/* A command as execve(2) takes it: no shell will look at it. */
static int
set_argv(struct reader *p, _unused_ const struct config_key *key, const cJSON *item, void *target)
{
	const cJSON	*word = cJSON_GetArrayItem(item, 0);

	if (!cJSON_IsArray(item) || word == NULL || cJSON_GetArraySize(item) > ARGV_MAX)
		return config_want(p, item, "a list of at most 64 words, the program first");
	if (!is_text(word) || word->valuestring[0] != '/')
		return config_fail(p, word, AT_VALUE, "the program must be an absolute path");
	cJSON_ArrayForEach(word, item)
		if (!cJSON_IsString(word))
			return config_fail(p, word, AT_VALUE, "a command must hold strings");
	return set_list(item, target);
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

static int
set_fields(struct reader *p, const struct config_key *key, const cJSON *item, void *target)
{
	bool		 files = key->type == CONFIG_FIELD_FILES;
	const cJSON	*field;
	char		**list, ***slot = target;
	size_t		 n = 0;
	int		 r;

	if (!cJSON_IsObject(item) || cJSON_GetArraySize(item) > FIELDS_MAX)
		return config_want(p, item, "an object of at most 32 headers");
	cJSON_ArrayForEach(field, item)
		if ((r = check_field(p, field, files)) < 0)
			return r;
	if ((list = calloc(2 * (size_t)cJSON_GetArraySize(item) + 1, sizeof(*list))) == NULL)
		return -ENOMEM;
	cJSON_ArrayForEach(field, item)
		if ((list[n++] = strdup(field->string)) == NULL ||
		    (list[n++] = strdup(field->valuestring)) == NULL) {
			config_list_free(list);
			return -ENOMEM;
		}
	config_list_free(*slot);
	*slot = list;
	return 0;
}

/* RFC 6749 section 3.3. */
static bool
is_scope(const cJSON *item)
{
	const char	*s = cJSON_GetStringValue(item);

	if (s == NULL || *s == '\0' || !is_graphic(s))
		return false;
	for (; *s != '\0'; s++)
		if (*s == '"' || *s == '\\')
			return false;
	return true;
}

static int
set_scopes(struct reader *p, _unused_ const struct config_key *key, const cJSON *item, void *target)
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
	return replace(target, joined.p);
}

/* RFC 8707 section 2: an absolute URI of any scheme, without a fragment, sent as written. */
static bool
is_resource(const char *s)
{
	size_t	scheme = strspn(s,
		    "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789+-.");

	return scheme > 0 && s[scheme] == ':' && s[scheme + 1] != '\0' &&
	    is_graphic(s) && strchr(s, '#') == NULL;
}

static int
set_resource(struct reader *p, _unused_ const struct config_key *key, const cJSON *item,
    _unused_ void *target)
{
	struct config_upstream	*u = p->upstream;

	if (cJSON_IsFalse(item)) {
		u->oauth.resource_omit = true;
		return 0;
	}
	if (!cJSON_IsString(item) || !is_resource(item->valuestring))
		return config_want(p, item, "an absolute URI without a fragment, or false");
	return replace(&u->oauth.resource, item->valuestring);
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

static int
set_proxy(struct reader *p, _unused_ const struct config_key *key, const cJSON *item, void *target)
{
	_cleanup_(buf_free) struct buf	proxy = BUF_INIT(0);
	const char			*s = cJSON_GetStringValue(item);
	int				 r;

	if (s != NULL && strcmp(s, "env") == 0)
		return replace(target, s);
	if (s == NULL || !is_graphic(s) || strncasecmp(s, "http://", strlen("http://")) != 0)
		return config_want(p, item, "\"http://[user@]host:port\" (the proxy itself is "
		    "spoken to without TLS) or \"env\"");
	if ((r = parse_proxy(p, item, &proxy)) < 0)
		return r;
	return replace(target, proxy.p);
}

static int
set_listen(struct reader *p, const struct config_key *key, const cJSON *item, void *target)
{
	if (cJSON_IsFalse(item)) {
		p->upstream->no_listen = true;
		return 0;
	}
	if (!cJSON_IsString(item))
		return config_want(p, item, "the path of a socket, or false");
	if (strlen(item->valuestring) > CONFIG_SOCKET_PATH)
		return config_want(p, item, "at most 107 bytes long, as socket paths are");
	return set_file(p, key, item, target);
}

/* How clients name the transport: only Streamable HTTP is ours. */
static int
set_type(struct reader *p, _unused_ const struct config_key *key, const cJSON *item,
    _unused_ void *target)
{
	const char	*s = cJSON_GetStringValue(item);

	if (s != NULL && strcasecmp(s, "stdio") == 0)
		return config_fail(p, item, AT_VALUE,
		    "a stdio server has no token to guard; leave it in your client's config");
	if (s != NULL && strcasecmp(s, "sse") == 0)
		return config_fail(p, item, AT_VALUE, "the HTTP+SSE transport of 2024-11-05 is not "
		    "supported; give the server's Streamable HTTP URL");
	config_warning(p, item, "\"%s\" means nothing here and is ignored",
	    config_show(item->string).text);
	return 0;
}

static set_fn *const setters[CONFIG_TYPE_MAX] = {
	[CONFIG_ANY] = set_any,
	[CONFIG_BOOL] = set_bool,
	[CONFIG_STRING] = set_string,
	[CONFIG_FILE] = set_file,
	[CONFIG_URL] = set_url,
	[CONFIG_ENDPOINT] = set_endpoint,
	[CONFIG_CHOICE] = set_choice,
	[CONFIG_FLAG] = set_flag,
	[CONFIG_WORD] = set_word,
	[CONFIG_SECONDS] = set_seconds,
	[CONFIG_COUNT] = set_count,
	[CONFIG_MODE] = set_mode,
	[CONFIG_HOSTS] = set_hosts,
	[CONFIG_USERS] = set_users,
	[CONFIG_ARGV] = set_argv,
	[CONFIG_FIELDS] = set_fields,
	[CONFIG_FIELD_FILES] = set_fields,
	[CONFIG_SCOPES] = set_scopes,
	[CONFIG_RESOURCE] = set_resource,
	[CONFIG_PROXY] = set_proxy,
	[CONFIG_LISTEN] = set_listen,
	[CONFIG_TYPE] = set_type,
};

int
config_set(struct reader *p, const struct config_key *key, const cJSON *item, void *target)
{
	return setters[key->type](p, key, item, target);
}
