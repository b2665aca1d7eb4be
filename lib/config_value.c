#include <stdarg.h>
#include <stdio.h>

#include "bounds.h"
#include "config_value_impl.h"

#define ARGV_MAX	64	/* words of a command */
#define USERS_MAX	256	/* socket.allowUsers: each new connection is compared with them */

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

int
config_replace(char **slot, const char *s)
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

bool
config_is_graphic(const char *s)
{
	for (; *s != '\0'; s++)
		if (*s <= ' ' || *s > '~')
			return false;
	return true;
}

bool
config_is_text(const cJSON *item)
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
	if (!config_is_text(item))
		return config_want(p, item, "a string, not empty and without control characters");
	return config_replace(target, item->valuestring);
}

static int
set_file(struct reader *p, _unused_ const struct config_key *key, const cJSON *item, void *target)
{
	if (!config_is_text(item))
		return config_want(p, item, "the path of a file");
	if (item->valuestring[0] != '/')
		return config_want(p, item, "an absolute path, beginning with \"/\" (\"~\" and "
		    "relative paths would depend on who starts the daemon)");
	return config_replace(target, item->valuestring);
}

static int
set_credential(struct reader *p, const struct config_key *key, const cJSON *item, void *target)
{
	if (config_is_text(item) && strchr(item->valuestring, '/') != NULL)
		return config_fail(p, item, AT_VALUE,
		    "a systemd credential is a name, not a path");
	return set_string(p, key, item, target);
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
		r = config_replace(target, choice->name);
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

/* RFC 8252 section 7.3 leaves the port to us; some providers want one that was registered. */
static int
set_port(struct reader *p, const struct config_key *key, const cJSON *item, void *target)
{
	int	r;

	if ((r = read_number(p, key, item, "")) < 0)
		return r;
	if (item->valuedouble != (double)(unsigned)item->valuedouble)
		return config_want(p, item, "a whole number");
	if (item->valuedouble > 0 && item->valuedouble < 1024)
		return config_want(p, item, "1024 or more (below, only root may listen), or 0 "
		    "for any free port");
	*(unsigned *)target = (unsigned)item->valuedouble;
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

int
config_set_list(const cJSON *item, char ***slot)
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

int
config_set_pairs(const cJSON *item, char ***slot)
{
	const cJSON	*pair;
	char		**list;
	size_t		 n = 0;

	if ((list = calloc(2 * (size_t)cJSON_GetArraySize(item) + 1, sizeof(*list))) == NULL)
		return -ENOMEM;
	cJSON_ArrayForEach(pair, item)
		if ((list[n++] = strdup(pair->string)) == NULL ||
		    (list[n++] = strdup(pair->valuestring)) == NULL) {
			config_list_free(list);
			return -ENOMEM;
		}
	config_list_free(*slot);
	*slot = list;
	return 0;
}

/* Names or numeric uids; whether they exist is found out by the daemon (daemon/generation). */
static int
set_users(struct reader *p, _unused_ const struct config_key *key, const cJSON *item, void *target)
{
	const cJSON	*user;

	if (!cJSON_IsArray(item) || cJSON_GetArraySize(item) > USERS_MAX)
		return config_want(p, item, "a list of at most 256 users");
	cJSON_ArrayForEach(user, item)
		if (!config_is_text(user) || !config_is_graphic(user->valuestring))
			return config_fail(p, user, AT_VALUE, "\"allowUsers\" must hold user "
			    "names, or uids in quotes");
	return config_set_list(item, target);
}

/* A command as execve(2) takes it: no shell will look at it. */
static int
set_argv(struct reader *p, _unused_ const struct config_key *key, const cJSON *item, void *target)
{
	const cJSON	*word = cJSON_GetArrayItem(item, 0);

	if (!cJSON_IsArray(item) || word == NULL || cJSON_GetArraySize(item) > ARGV_MAX)
		return config_want(p, item, "a list of at most 64 words, the program first");
	if (!config_is_text(word) || word->valuestring[0] != '/')
		return config_fail(p, word, AT_VALUE, "the program must be an absolute path");
	cJSON_ArrayForEach(word, item)
		if (!cJSON_IsString(word))
			return config_fail(p, word, AT_VALUE, "a command must hold strings");
	return config_set_list(item, target);
}

/* login.command: the URL takes the place of "{url}" in an argument, never in the program. */
static int
set_url_argv(struct reader *p, const struct config_key *key, const cJSON *item, void *target)
{
	const cJSON	*word, *program = cJSON_GetArrayItem(item, 0);
	const char	*s;
	bool		 found = false;

	cJSON_ArrayForEach(word, item) {
		if ((s = cJSON_GetStringValue(word)) == NULL || strstr(s, "{url}") == NULL)
			continue;
		if (word == program)
			return config_fail(p, word, AT_VALUE,
			    "\"{url}\" may stand in an argument, not in the program");
		found = true;
	}
	if (cJSON_IsArray(item) && program != NULL && !found)
		return config_want(p, item, "a command with \"{url}\" in one of its arguments, "
		    "where the URL is to stand");
	return set_argv(p, key, item, target);
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
	[CONFIG_CREDENTIAL] = set_credential,
	[CONFIG_URL] = config_set_url,
	[CONFIG_ENDPOINT] = config_set_endpoint,
	[CONFIG_CLIENT_URL] = config_set_client_url,
	[CONFIG_URI] = config_set_uri,
	[CONFIG_CHOICE] = set_choice,
	[CONFIG_FLAG] = set_flag,
	[CONFIG_WORD] = set_word,
	[CONFIG_SECONDS] = set_seconds,
	[CONFIG_COUNT] = set_count,
	[CONFIG_PORT] = set_port,
	[CONFIG_MODE] = set_mode,
	[CONFIG_HOSTS] = config_set_hosts,
	[CONFIG_USERS] = set_users,
	[CONFIG_ARGV] = set_argv,
	[CONFIG_URL_ARGV] = set_url_argv,
	[CONFIG_PARAMS] = config_set_params,
	[CONFIG_FIELDS] = config_set_fields,
	[CONFIG_FIELD_FILES] = config_set_fields,
	[CONFIG_SCOPES] = config_set_scopes,
	[CONFIG_RESOURCE] = config_set_resource,
	[CONFIG_PROXY] = config_set_proxy,
	[CONFIG_LISTEN] = set_listen,
	[CONFIG_TYPE] = set_type,
};

int
config_set(struct reader *p, const struct config_key *key, const cJSON *item, void *target)
{
	return setters[key->type](p, key, item, target);
}
