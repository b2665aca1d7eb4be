#include <stdarg.h>
#include <stdio.h>

#include "bounds.h"
#include "config_check.h"

#define NAME_BYTES	48	/* leaves room for the directory in a socket path */
#define UPSTREAMS_MAX	1000	/* each is a folder, a listening socket and a credential */
#define IN_FLIGHT	256	/* (key) no client is known to have as many calls pending */

static int read_members(struct reader *, const char *path, const cJSON *object);

static bool
is_name(const char *s)
{
	size_t	n = strlen(s);

	return n > 0 && n <= NAME_BYTES && n == strspn(s,
	    "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-");
}

static int
add_upstream(struct reader *p, const cJSON *item)
{
	struct config		*c = p->config;
	struct config_upstream	*u;

	u = reallocarray(c->upstreams, c->nupstreams + 1, sizeof(*u));
	if (u == NULL)
		return -ENOMEM;
	c->upstreams = u;
	u += c->nupstreams++;
	*u = (struct config_upstream){
		.auth = CONFIG_OAUTH,
		.connect = CONNECT,
		.recovery = RECOVERY,
		.response = RESPONSE,
		.session_recovery = true,
	};
	p->upstream = u;
	jsonc_locate(p->text, p->n, p->root, item, true, &u->line, &u->column);
	if ((u->name = strdup(item->string)) == NULL || (u->file = strdup(p->file)) == NULL)
		return -ENOMEM;
	return 0;
}

static int
read_upstream(struct reader *p, const cJSON *item)
{
	int	r;

	if (!is_name(item->string))
		return config_fail(p, item, AT_KEY, "\"%s\" is no name for an upstream: "
		    "1 to 48 of the letters, digits, \"_\" and \"-\"",
		    config_show(item->string).text);
	if (config_find(p->config, slice_of(item->string)) != NULL)
		return config_fail(p, item, AT_KEY, "upstream \"%s\" stands in another file "
		    "already", item->string);
	if (!cJSON_IsObject(item))
		return config_want(p, item, "an object with a \"url\"");
	if (p->config->nupstreams == UPSTREAMS_MAX)
		return config_fail(p, item, AT_KEY, "more than %d upstreams", UPSTREAMS_MAX);
	if ((r = add_upstream(p, item)) < 0 || (r = read_members(p, "mcpServers.*.", item)) < 0)
		return r;
	r = config_check_upstream(p, item);
	p->upstream = NULL;
	return r;
}

static int
read_upstreams(struct reader *p, const cJSON *item)
{
	const cJSON	*entry;
	int		 r;

	if (!cJSON_IsObject(item))
		return config_want(p, item, "an object");
	cJSON_ArrayForEach(entry, item)
		if ((r = read_upstream(p, entry)) < 0)
			return r;
	return 0;
}

static int
read_object(struct reader *p, const struct config_key *key, const cJSON *item)
{
	char	path[80];

	if (!cJSON_IsObject(item))
		return config_want(p, item, "an object");
	snprintf(path, sizeof(path), "%s.", key->path);
	return read_members(p, path, item);
}

static int
unknown_key(struct reader *p, const char *path, const cJSON *item)
{
	const char	*nearest = config_key_nearest(path, item->string);

	if (nearest == NULL)
		return config_fail(p, item, AT_KEY, "unknown key \"%s\"",
		    config_show(item->string).text);
	return config_fail(p, item, AT_KEY, "unknown key \"%s\"; the nearest valid key is \"%s\"",
	    config_show(item->string).text, nearest);
}

static int
read_supported(struct reader *p, const struct config_key *key, const cJSON *item)
{
	char	*base = p->upstream != NULL ? (char *)p->upstream : (char *)p->config;

	if (key->type == CONFIG_OBJECT)
		return read_object(p, key, item);
	if (key->type == CONFIG_UPSTREAMS)
		return read_upstreams(p, item);
	return config_set(p, key, item, base + key->offset);
}

static int
read_member(struct reader *p, const char *path, const cJSON *item)
{
	const struct config_key	*key = config_key_find(path, item->string);

	if (key == NULL)
		return unknown_key(p, path, item);
	switch (key->status) {
	case CONFIG_SUPPORTED:
		return read_supported(p, key, item);
	case CONFIG_REFUSED:
		return config_fail(p, item, AT_KEY, "\"%s\" is refused: %s", item->string,
		    key->advice);
	case CONFIG_IGNORED:
		config_warning(p, item, "\"%s\" means nothing here and is ignored", item->string);
		break;
	}
	return 0;
}

static int
read_members(struct reader *p, const char *path, const cJSON *object)
{
	const cJSON	*item;
	int		 r;

	cJSON_ArrayForEach(item, object)
		if ((r = read_member(p, path, item)) < 0)
			return r;
	return 0;
}

/* A fault of the text itself, before there is a document. */
static int
fail_text(const char *file, const struct json_error *fault, struct config_error *ret)
{
	if (fault->line == 0)
		return -ENOMEM;
	*ret = (struct config_error){ .line = fault->line, .column = fault->column };
	snprintf(ret->file, sizeof(ret->file), "%s", file);
	snprintf(ret->what, sizeof(ret->what), "%s", fault->what);
	return -EINVAL;
}

static int
parse_clean(struct reader *p)
{
	struct json_error	fault;
	cJSON			*root;
	int			 r;

	if ((root = json_parse(p->text, p->n, &fault)) == NULL)
		return fail_text(p->file, &fault, p->error);
	p->root = root;
	if (cJSON_IsObject(root))
		r = read_members(p, "", root);
	else
		r = config_fail(p, root, AT_VALUE,
		    "the config must be an object: { \"mcpServers\": ... }");
	cJSON_Delete(root);
	return r;
}

int
config_parse(struct config *config, const char *file, const char *text, size_t n,
    config_warn warned, void *arg, struct config_error *ret_error)
{
	_cleanup_(buf_free) struct buf	copy = BUF_INIT(0);
	struct json_error		fault = { 1, 1, "the file is larger than 1 MiB" };
	struct reader			p = {
		.config = config, .file = file, .n = n,
		.warn = warned, .warn_arg = arg, .error = ret_error,
	};

	if (n > CONFIG_BYTES)
		return fail_text(file, &fault, ret_error);
	if (buf_add(&copy, text, n) < 0)
		return -ENOMEM;
	if (jsonc_clean(copy.p, n, &fault) < 0)
		return fail_text(file, &fault, ret_error);
	p.text = copy.p;
	return parse_clean(&p);
}

void
config_init(struct config *c)
{
	*c = (struct config){
		.socket = { .mode = 0600 },
		.store = { .backend = CONFIG_STORE_AUTO },
		.limits = {
			.clients = CLIENTS,
			.clients_per_user = CLIENTS_PER_USER,
			.in_flight_per_client = IN_FLIGHT,
			.header_bytes = HEADER_BYTES,
			.body_bytes = BODY_BYTES,
			.held_bytes = HELD_BYTES,
			.line_bytes = BODY_BYTES,
			.links = LINKS,
			.streams = STREAMS,
			.idle = CLIENT_IDLE,
		},
		.log = { .level = 6 },
	};
}

static int _printf_(3, 4)
fail_whole(struct config_error *ret, const struct config_upstream *u, const char *fmt, ...)
{
	va_list	ap;

	memset(ret, 0, sizeof(*ret));
	if (u != NULL) {
		snprintf(ret->file, sizeof(ret->file), "%s", u->file);
		ret->line = u->line;
		ret->column = u->column;
	}
	va_start(ap, fmt);
	vsnprintf(ret->what, sizeof(ret->what), fmt, ap);
	va_end(ap);
	return -EINVAL;
}

static bool
same_socket(const struct config_upstream *a, const struct config_upstream *b)
{
	return a->listen != NULL && b->listen != NULL && strcmp(a->listen, b->listen) == 0;
}

static int
check_socket(const struct config *c, const struct config_upstream *u, const char *runtime_dir,
    struct config_error *ret_error)
{
	const struct config_upstream	*other;
	size_t				 n;

	for (other = c->upstreams; other < u; other++)
		if (same_socket(u, other))
			return fail_whole(ret_error, u, "upstream \"%s\" and \"%s\" listen on the "
			    "same socket", other->name, u->name);
	n = strlen(runtime_dir) + strlen(u->name) + strlen("//mcp.sock");
	if (u->listen == NULL && !u->no_listen && n > CONFIG_SOCKET_PATH)
		return fail_whole(ret_error, u, "the socket path of upstream \"%s\" would have %zu "
		    "bytes, but %d is the limit: give it a shorter name or a \"listen\" path",
		    u->name, n, CONFIG_SOCKET_PATH);
	return 0;
}

/* Keys that may stand in different files. */
static int
check_store(const struct config *c, struct config_error *ret_error)
{
	if (c->store.key_file != NULL && c->store.key_credential != NULL)
		return fail_whole(ret_error, NULL, "\"store\" has a \"keyFile\" and a "
		    "\"keyCredential\"; remove one of them");
	if (c->store.backend == CONFIG_STORE_ENCRYPTED && c->store.key_file == NULL &&
	    c->store.key_credential == NULL)
		return fail_whole(ret_error, NULL, "the \"encrypted\" store needs a \"keyFile\" or a "
		    "\"keyCredential\"; make a key with: openssl rand -out FILE 32");
	return 0;
}

int
config_finish(struct config *c, const char *runtime_dir, struct config_error *ret_error)
{
	const struct config_upstream	*u;
	int				 r;

	if (c->nupstreams == 0)
		return fail_whole(ret_error, NULL, "there is no upstream: the config needs "
		    "at least { \"mcpServers\": { \"NAME\": { \"url\": \"https://...\" } } }");
	for (u = c->upstreams; u < c->upstreams + c->nupstreams; u++) {
		if ((c->socket.mode & 077) != 0 && !u->shared)
			return fail_whole(ret_error, u, "socket mode %04o lets others act with "
			    "the account of upstream \"%s\"; say \"shared\": true there if that "
			    "is meant",
			    c->socket.mode, u->name);
		if ((r = check_socket(c, u, runtime_dir, ret_error)) < 0)
			return r;
	}
	return check_store(c, ret_error);
}

const struct config_upstream *
config_find(const struct config *c, struct slice name)
{
	size_t	i;

	for (i = 0; i < c->nupstreams; i++)
		if (slice_eq(name, c->upstreams[i].name))
			return &c->upstreams[i];
	return NULL;
}

static void
oauth_free(struct config_upstream *u)
{
	free(u->oauth.client_id);
	free(u->oauth.client_secret_file);
	free(u->oauth.client_secret_credential);
	config_list_free(u->oauth.client_secret_command);
	secret_free(u->oauth.client_secret);
	free(u->oauth.client_metadata_url);
	free(u->oauth.token_endpoint_auth_method);
	free(u->oauth.private_key_file);
	free(u->oauth.private_key_id);
	secret_free(u->oauth.private_key);
	free(u->oauth.issuer);
	free(u->oauth.authorization_endpoint);
	free(u->oauth.token_endpoint);
	config_list_free(u->oauth.authorize_params);
	free(u->oauth.scope);
	free(u->oauth.resource);
	free(u->oauth.idp.issuer);
	free(u->oauth.idp.token_endpoint);
	free(u->oauth.idp.client_id);
	free(u->oauth.idp.client_secret_file);
	secret_free(u->oauth.idp.client_secret);
	free(u->oauth.idp.subject_token_file);
	free(u->oauth.idp.subject_token_type);
}

static void
upstream_free(struct config_upstream *u)
{
	free(u->name);
	free(u->file);
	url_free(&u->url);
	oauth_free(u);
	config_list_free(u->headers);
	config_list_free(u->header_files);
	secret_free(u->header_lines);
	free(u->bearer.file);
	free(u->bearer.credential);
	config_list_free(u->bearer.command);
	free(u->tls.ca_file);
	free(u->tls.cert_file);
	free(u->tls.key_file);
	free(u->proxy);
	free(u->proxy_credentials_file);
	free(u->listen);
}

void
config_free(struct config *c)
{
	size_t	i;

	for (i = 0; i < c->nupstreams; i++)
		upstream_free(&c->upstreams[i]);
	free(c->upstreams);
	free(c->socket.group);
	config_list_free(c->socket.allow_users);
	config_list_free(c->socket.hosts);
	config_list_free(c->login.command);
	free(c->store.path);
	free(c->store.key_file);
	free(c->store.key_credential);
	memset(c, 0, sizeof(*c));
}
