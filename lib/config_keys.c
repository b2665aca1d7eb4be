#include "bounds.h"
#include "config_keys.h"

#define DAY		86400
#define NAME_LONGEST	64	/* no key of ours comes near */

static const struct config_choice auth[] = {
	{ "oauth", CONFIG_OAUTH },
	{ "none", CONFIG_NONE },
	{ "bearer", CONFIG_BEARER },
	{ NULL, 0 }
};

static const struct config_choice client_auth[] = {
	{ "none", 0 },
	{ "client_secret_basic", 0 },
	{ "client_secret_post", 0 },
	{ "private_key_jwt", 0 },
	{ NULL, 0 }
};

static const struct config_choice grant[] = {
	{ "authorization_code", CONFIG_AUTHORIZATION_CODE },
	{ "client_credentials", CONFIG_CLIENT_CREDENTIALS },
	{ "device_code", CONFIG_DEVICE_CODE },
	{ "id_jag", CONFIG_ID_JAG },
	{ NULL, 0 }
};

static const struct config_choice refresh[] = {
	{ "on-demand", false },
	{ "background", true },
	{ NULL, 0 }
};

static const struct config_choice backend[] = {
	{ "auto", CONFIG_STORE_AUTO },
	{ "file", CONFIG_STORE_FILE },
	{ "encrypted", CONFIG_STORE_ENCRYPTED },
	{ "keyring", CONFIG_STORE_KEYRING },
	{ NULL, 0 }
};

static const struct config_choice level[] = {		/* the values of syslog(3) */
	{ "error", 3 },
	{ "warning", 4 },
	{ "info", 6 },
	{ "debug", 7 },
	{ NULL, 0 }
};

#define STDIO_ADVICE \
	"a stdio server has no token to guard; leave it in your client's config"

#define C(field)	offsetof(struct config, field)
#define U(field)	offsetof(struct config_upstream, field)
#define OBJECT(p)	{ .path = p, .type = CONFIG_OBJECT }
#define KEY(p, t, o)	{ .path = p, .type = t, .offset = o }
#define RANGE(p, t, o, lo, hi)	{ .path = p, .type = t, .offset = o, .min = lo, .max = hi }
#define PICK(p, t, o, c)	{ .path = p, .type = t, .offset = o, .choices = c }
#define CLIENT(p)	{ .path = p, .type = CONFIG_ANY, .status = CONFIG_IGNORED }
#define REFUSED(p, a)	{ .path = p, .type = CONFIG_ANY, .status = CONFIG_REFUSED, .advice = a }

const struct config_key config_keys[] = {
	KEY("$schema", CONFIG_ANY, 0),
	REFUSED("servers", "write it as \"mcpServers\""),
	KEY("mcpServers", CONFIG_UPSTREAMS, 0),

	KEY("mcpServers.*.url", CONFIG_URL, U(url)),
	PICK("mcpServers.*.auth", CONFIG_CHOICE, U(auth), auth),
	OBJECT("mcpServers.*.oauth"),
	PICK("mcpServers.*.oauth.grant", CONFIG_CHOICE, U(oauth.grant), grant),
	KEY("mcpServers.*.oauth.clientId", CONFIG_STRING, U(oauth.client_id)),
	REFUSED("mcpServers.*.oauth.clientSecret",
	    "no secret stands in the config itself; name a file in \"clientSecretFile\""),
	KEY("mcpServers.*.oauth.clientSecretFile", CONFIG_FILE, U(oauth.client_secret_file)),
	KEY("mcpServers.*.oauth.clientSecretCredential", CONFIG_CREDENTIAL,
	    U(oauth.client_secret_credential)),
	KEY("mcpServers.*.oauth.clientSecretCommand", CONFIG_ARGV, U(oauth.client_secret_command)),
	KEY("mcpServers.*.oauth.clientMetadataUrl", CONFIG_CLIENT_URL,
	    U(oauth.client_metadata_url)),
	PICK("mcpServers.*.oauth.tokenEndpointAuthMethod", CONFIG_WORD,
	    U(oauth.token_endpoint_auth_method), client_auth),
	REFUSED("mcpServers.*.oauth.privateKey",
	    "no secret stands in the config itself; name a file in \"privateKeyFile\""),
	KEY("mcpServers.*.oauth.privateKeyFile", CONFIG_FILE, U(oauth.private_key_file)),
	KEY("mcpServers.*.oauth.privateKeyId", CONFIG_STRING, U(oauth.private_key_id)),
	KEY("mcpServers.*.oauth.scopes", CONFIG_SCOPES, U(oauth.scope)),
	KEY("mcpServers.*.oauth.resource", CONFIG_RESOURCE, U(oauth)),
	KEY("mcpServers.*.oauth.issuer", CONFIG_ENDPOINT, U(oauth.issuer)),
	KEY("mcpServers.*.oauth.authorizationEndpoint", CONFIG_ENDPOINT,
	    U(oauth.authorization_endpoint)),
	KEY("mcpServers.*.oauth.tokenEndpoint", CONFIG_ENDPOINT, U(oauth.token_endpoint)),
	KEY("mcpServers.*.oauth.authorizeParams", CONFIG_PARAMS, U(oauth.authorize_params)),
	RANGE("mcpServers.*.oauth.redirectPort", CONFIG_PORT, U(oauth.redirect_port), 0, 65535),
	KEY("mcpServers.*.oauth.assumePkce", CONFIG_BOOL, U(oauth.assume_pkce)),
	KEY("mcpServers.*.oauth.allowPrivate", CONFIG_BOOL, U(oauth.allow_private)),
	OBJECT("mcpServers.*.oauth.idp"),
	KEY("mcpServers.*.oauth.idp.issuer", CONFIG_ENDPOINT, U(oauth.idp.issuer)),
	KEY("mcpServers.*.oauth.idp.tokenEndpoint", CONFIG_ENDPOINT, U(oauth.idp.token_endpoint)),
	KEY("mcpServers.*.oauth.idp.clientId", CONFIG_STRING, U(oauth.idp.client_id)),
	REFUSED("mcpServers.*.oauth.idp.clientSecret",
	    "no secret stands in the config itself; name a file in \"clientSecretFile\""),
	KEY("mcpServers.*.oauth.idp.clientSecretFile", CONFIG_FILE,
	    U(oauth.idp.client_secret_file)),
	KEY("mcpServers.*.oauth.idp.subjectTokenFile", CONFIG_FILE,
	    U(oauth.idp.subject_token_file)),
	KEY("mcpServers.*.oauth.idp.subjectTokenType", CONFIG_URI,
	    U(oauth.idp.subject_token_type)),
	OBJECT("mcpServers.*.bearer"),
	KEY("mcpServers.*.bearer.file", CONFIG_FILE, U(bearer.file)),
	KEY("mcpServers.*.bearer.credential", CONFIG_CREDENTIAL, U(bearer.credential)),
	KEY("mcpServers.*.bearer.command", CONFIG_ARGV, U(bearer.command)),
	KEY("mcpServers.*.headers", CONFIG_FIELDS, U(headers)),
	KEY("mcpServers.*.headerFiles", CONFIG_FIELD_FILES, U(header_files)),
	OBJECT("mcpServers.*.tls"),
	KEY("mcpServers.*.tls.caFile", CONFIG_FILE, U(tls.ca_file)),
	KEY("mcpServers.*.tls.certFile", CONFIG_FILE, U(tls.cert_file)),
	KEY("mcpServers.*.tls.keyFile", CONFIG_FILE, U(tls.key_file)),
	KEY("mcpServers.*.proxy", CONFIG_PROXY, U(proxy)),
	KEY("mcpServers.*.proxyCredentialsFile", CONFIG_FILE, U(proxy_credentials_file)),
	KEY("mcpServers.*.listen", CONFIG_LISTEN, U(listen)),
	PICK("mcpServers.*.refresh", CONFIG_FLAG, U(refresh_background), refresh),
	OBJECT("mcpServers.*.timeouts"),
	RANGE("mcpServers.*.timeouts.connect", CONFIG_SECONDS, U(connect), 0.01, 600),
	RANGE("mcpServers.*.timeouts.recovery", CONFIG_SECONDS, U(recovery), 0.01, 3600),
	RANGE("mcpServers.*.timeouts.response", CONFIG_SECONDS, U(response), 0, 7 * DAY),
	KEY("mcpServers.*.sessionRecovery", CONFIG_BOOL, U(session_recovery)),
	KEY("mcpServers.*.shared", CONFIG_BOOL, U(shared)),
	KEY("mcpServers.*.allowInsecure", CONFIG_BOOL, U(allow_insecure)),

	REFUSED("mcpServers.*.command", STDIO_ADVICE),
	REFUSED("mcpServers.*.args", STDIO_ADVICE),
	REFUSED("mcpServers.*.httpUrl", "write it as \"url\""),
	REFUSED("mcpServers.*.serverUrl", "write it as \"url\""),
	KEY("mcpServers.*.type", CONFIG_TYPE, 0),
	KEY("mcpServers.*.transport", CONFIG_TYPE, 0),
	KEY("mcpServers.*.transportType", CONFIG_TYPE, 0),
	CLIENT("mcpServers.*.alwaysAllow"),
	CLIENT("mcpServers.*.autoApprove"),
	CLIENT("mcpServers.*.cwd"),
	CLIENT("mcpServers.*.description"),
	CLIENT("mcpServers.*.disabled"),
	CLIENT("mcpServers.*.disabledTools"),
	CLIENT("mcpServers.*.enabled"),
	CLIENT("mcpServers.*.env"),
	CLIENT("mcpServers.*.envFile"),
	CLIENT("mcpServers.*.excludeTools"),
	CLIENT("mcpServers.*.icon"),
	CLIENT("mcpServers.*.includeTools"),
	CLIENT("mcpServers.*.name"),
	CLIENT("mcpServers.*.timeout"),
	CLIENT("mcpServers.*.trust"),

	OBJECT("socket"),
	KEY("socket.mode", CONFIG_MODE, C(socket.mode)),
	KEY("socket.group", CONFIG_STRING, C(socket.group)),
	KEY("socket.allowUsers", CONFIG_USERS, C(socket.allow_users)),
	KEY("socket.hosts", CONFIG_HOSTS, C(socket.hosts)),

	OBJECT("store"),
	PICK("store.backend", CONFIG_CHOICE, C(store.backend), backend),
	KEY("store.path", CONFIG_FILE, C(store.path)),
	KEY("store.keyFile", CONFIG_FILE, C(store.key_file)),
	KEY("store.keyCredential", CONFIG_CREDENTIAL, C(store.key_credential)),
	KEY("store.allowNetworkFs", CONFIG_BOOL, C(store.allow_network_fs)),

	OBJECT("login"),
	KEY("login.command", CONFIG_URL_ARGV, C(login.command)),
	RANGE("login.wait", CONFIG_SECONDS, C(login.wait), 0, 3600),

	OBJECT("limits"),
	RANGE("limits.clients", CONFIG_COUNT, C(limits.clients), 1, 1000000),
	RANGE("limits.clientsPerUser", CONFIG_COUNT, C(limits.clients_per_user), 1, 1000000),
	RANGE("limits.inFlightPerClient", CONFIG_COUNT, C(limits.in_flight_per_client), 1, 1000000),
	RANGE("limits.headerBytes", CONFIG_COUNT, C(limits.header_bytes), 256, MIB),
	RANGE("limits.bodyBytes", CONFIG_COUNT, C(limits.body_bytes), 1, 1024.0 * 1024 * MIB),
	RANGE("limits.heldBytes", CONFIG_COUNT, C(limits.held_bytes), 0, 1024.0 * 1024 * MIB),
	RANGE("limits.lineBytes", CONFIG_COUNT, C(limits.line_bytes), 1, 1024.0 * MIB),
	RANGE("limits.links", CONFIG_COUNT, C(limits.links), 1, 65535),
	RANGE("limits.streams", CONFIG_COUNT, C(limits.streams), 1, 65535),
	RANGE("limits.idle", CONFIG_SECONDS, C(limits.idle), 0.1, 7 * DAY),

	OBJECT("log"),
	PICK("log.level", CONFIG_CHOICE, C(log.level), level),
};
const size_t	config_nkeys = nitems(config_keys);

/* The last part of the row's path if the row is a member of the object at `path`, else NULL. */
static const char *
member_of(const struct config_key *key, const char *path)
{
	size_t	n = strlen(path);

	if (strncmp(key->path, path, n) != 0 || strchr(key->path + n, '.') != NULL)
		return NULL;
	return key->path + n;
}

const struct config_key *
config_key_find(const char *path, const char *name)
{
	const char	*member;
	size_t		 i;

	for (i = 0; i < config_nkeys; i++)
		if ((member = member_of(&config_keys[i], path)) != NULL &&
		    strcmp(member, name) == 0)
			return &config_keys[i];
	return NULL;
}

/* 0 if equal, 1 if only the case differs, else 2. */
static unsigned
unlike(char a, char b)
{
	return a == b ? 0 : strncasecmp(&a, &b, 1) == 0 ? 1 : 2;
}

/* Levenshtein's distance, in halves; b has at most NAME_LONGEST bytes. */
static unsigned
distance(const char *a, const char *b)
{
	unsigned	row[NAME_LONGEST + 1], corner, above;
	size_t		i, j, n = strlen(b);

	for (j = 0; j <= n; j++)
		row[j] = (unsigned)j * 2;
	for (i = 0; a[i] != '\0'; i++) {
		corner = row[0];
		row[0] = (unsigned)(i + 1) * 2;
		for (j = 0; j < n; j++) {
			above = row[j + 1];
			row[j + 1] = MIN(MIN(above, row[j]) + 2, corner + unlike(a[i], b[j]));
			corner = above;
		}
	}
	return row[n];
}

/* Keeps in *best the candidate nearest to `name`; the first of equals stays. */
static void
consider(const char *candidate, const char *name, const char **best, unsigned *best_distance)
{
	unsigned	d = distance(candidate, name);

	if (*best == NULL || d < *best_distance) {
		*best = candidate;
		*best_distance = d;
	}
}

const char *
config_key_nearest(const char *path, const char *name)
{
	const char	*member, *best = NULL;
	unsigned	 best_distance = 0;
	size_t		 i;

	if (strlen(name) > NAME_LONGEST)
		return NULL;
	for (i = 0; i < config_nkeys; i++)
		if (config_keys[i].status == CONFIG_SUPPORTED && config_keys[i].type != CONFIG_TYPE &&
		    (member = member_of(&config_keys[i], path)) != NULL)
			consider(member, name, &best, &best_distance);
	return best;
}

const char *
config_choice_nearest(const struct config_choice *choices, const char *name)
{
	const char	*best = NULL;
	unsigned	 best_distance = 0;

	if (strlen(name) > NAME_LONGEST)
		return NULL;
	for (; choices->name != NULL; choices++)
		consider(choices->name, name, &best, &best_distance);
	return best;
}
