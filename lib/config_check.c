#include "config_check.h"

#define ID_TOKEN	"urn:ietf:params:oauth:token-type:id_token"	/* RFC 8693 section 3 */

static int
check_bearer(struct reader *p, const cJSON *item)
{
	const struct config_upstream	*u = p->upstream;
	const cJSON			*bearer = json_member(item, "bearer");
	int				 sources;

	sources = (u->bearer.file != NULL) + (u->bearer.credential != NULL) +
	    (u->bearer.command != NULL);
	if (u->auth != CONFIG_BEARER && bearer != NULL)
		return config_fail(p, bearer, AT_KEY, "\"bearer\" needs \"auth\": \"bearer\" "
		    "beside it");
	if (u->auth == CONFIG_BEARER && sources != 1)
		return config_fail(p, bearer != NULL ? bearer : item, AT_KEY, "\"auth\": "
		    "\"bearer\" needs a \"bearer\" with one of \"file\", \"credential\" "
		    "and \"command\"");
	return 0;
}

/* The client certificate, and who knows the proxy's password. */
static int
check_way(struct reader *p, const cJSON *item)
{
	const struct config_upstream	*u = p->upstream;
	const cJSON			*tls = json_member(item, "tls");
	const cJSON			*file = json_member(item, "proxyCredentialsFile");

	if (u->tls.cert_file != NULL && u->tls.key_file == NULL)
		return config_fail(p, json_member(tls, "certFile"), AT_KEY, "\"certFile\" needs "
		    "\"keyFile\" beside it");
	if (u->tls.key_file != NULL && u->tls.cert_file == NULL)
		return config_fail(p, json_member(tls, "keyFile"), AT_KEY, "\"keyFile\" needs "
		    "\"certFile\" beside it");
	if (file == NULL)
		return 0;
	if (u->proxy == NULL || strcmp(u->proxy, "env") == 0)
		return config_fail(p, file, AT_KEY, "\"proxyCredentialsFile\" needs a \"proxy\" "
		    "with a URL beside it");
	if (strchr(u->proxy, '@') != NULL)
		return config_fail(p, file, AT_KEY, "the user stands in \"proxyCredentialsFile\" "
		    "(user:password) or in \"proxy\", not in both");
	return 0;
}

/* The keys that bring a client secret. */
static const char *const secrets[] = {
	"clientSecretFile", "clientSecretCredential", "clientSecretCommand"
};

/* The first or, if there are several, the second of them; *ret_n counts them. */
static const cJSON *
secret_of(const cJSON *oauth, int *ret_n)
{
	const cJSON	*member, *secret = NULL;

	*ret_n = 0;
	for (size_t i = 0; i < nitems(secrets); i++)
		if ((member = json_member(oauth, secrets[i])) != NULL && (*ret_n)++ < 2)
			secret = member;
	return secret;
}

/* Who the client is, and by what it proves that. */
static int
check_client(struct reader *p, const cJSON *oauth)
{
	const cJSON	*key = json_member(oauth, "privateKeyFile"), *secret;
	const cJSON	*key_id = json_member(oauth, "privateKeyId");
	const cJSON	*document = json_member(oauth, "clientMetadataUrl");
	const cJSON	*method = json_member(oauth, "tokenEndpointAuthMethod");
	const char	*id = p->upstream->oauth.client_id;
	bool		 jwt = method != NULL && strcmp(method->valuestring, "private_key_jwt") == 0;
	int		 n;

	secret = secret_of(oauth, &n);
	if (n > 1)
		return config_fail(p, secret, AT_KEY, "one of \"clientSecretFile\", "
		    "\"clientSecretCredential\" and \"clientSecretCommand\" brings the secret; "
		    "remove the others");
	if (document != NULL && id != NULL)
		return config_fail(p, document, AT_KEY, "\"clientMetadataUrl\" is a client id "
		    "itself; remove it or \"clientId\"");
	if (document != NULL && secret != NULL)
		return config_fail(p, secret, AT_KEY, "a client with a \"clientMetadataUrl\" has no "
		    "secret; remove \"%s\"", secret->string);
	if (key_id != NULL && key == NULL)
		return config_fail(p, key_id, AT_KEY, "\"privateKeyId\" needs \"privateKeyFile\" "
		    "beside it");
	if (key != NULL && !jwt)
		return config_fail(p, key, AT_KEY, "\"privateKeyFile\" needs "
		    "\"tokenEndpointAuthMethod\": \"private_key_jwt\" beside it");
	if (jwt && key == NULL)
		return config_fail(p, method, AT_VALUE, "\"private_key_jwt\" needs a "
		    "\"privateKeyFile\" beside it");
	if (jwt && id == NULL && document == NULL)
		return config_fail(p, method, AT_VALUE, "\"private_key_jwt\" needs the \"clientId\" "
		    "for which the key is registered");
	if (jwt && secret != NULL)
		return config_fail(p, secret, AT_KEY, "with \"private_key_jwt\" the key takes the "
		    "place of the secret; remove \"%s\"", secret->string);
	return 0;
}

/* The identity provider of id_jag (WIRE A20). */
static int
check_idp(struct reader *p, const cJSON *oauth)
{
	struct config_upstream	*u = p->upstream;
	const cJSON		*idp = json_member(oauth, "idp");
	const char		*lacks = NULL;

	if (idp == NULL && u->oauth.grant != CONFIG_ID_JAG)
		return 0;
	if (idp == NULL)
		return config_fail(p, json_member(oauth, "grant"), AT_VALUE, "\"id_jag\" needs an "
		    "\"idp\" beside it: { \"issuer\", \"clientId\", \"subjectTokenFile\" }");
	if (u->oauth.grant != CONFIG_ID_JAG)
		return config_fail(p, idp, AT_KEY, "\"idp\" needs \"grant\": \"id_jag\" beside it");
	if (u->oauth.idp.issuer == NULL && u->oauth.idp.token_endpoint == NULL)
		lacks = "an \"issuer\" or a \"tokenEndpoint\"";
	else if (u->oauth.idp.client_id == NULL)
		lacks = "the \"clientId\" that it knows us by";
	else if (u->oauth.idp.subject_token_file == NULL)
		lacks = "a \"subjectTokenFile\" with the identity that is exchanged";
	if (lacks != NULL)
		return config_fail(p, idp, AT_KEY, "\"idp\" needs %s", lacks);
	if (u->oauth.idp.subject_token_type == NULL &&
	    (u->oauth.idp.subject_token_type = strdup(ID_TOKEN)) == NULL)
		return -ENOMEM;
	return 0;
}

/* Keys of a login in a browser, beside a grant that has none. */
static int
check_browser(struct reader *p, const cJSON *oauth)
{
	static const char *const	 keys[] = {
		"authorizationEndpoint", "authorizeParams", "redirectPort", "assumePkce"
	};
	const cJSON			*grant = json_member(oauth, "grant"), *member;

	if (p->upstream->oauth.grant == CONFIG_AUTHORIZATION_CODE)
		return 0;
	for (size_t i = 0; i < nitems(keys); i++)
		if ((member = json_member(oauth, keys[i])) != NULL)
			return config_fail(p, member, AT_KEY, "\"%s\" is for a login in a browser, "
			    "which \"grant\": \"%s\" does without; remove one of them", keys[i],
			    grant->valuestring);
	return 0;
}

static int
check_grant(struct reader *p, const cJSON *oauth)
{
	const struct config_upstream	*u = p->upstream;
	const cJSON			*grant = json_member(oauth, "grant");
	bool				 machine;
	int				 r, n;

	machine = u->oauth.grant == CONFIG_CLIENT_CREDENTIALS || u->oauth.grant == CONFIG_ID_JAG;
	if (machine && u->oauth.client_id == NULL)
		return config_fail(p, grant, AT_VALUE, "\"%s\" needs a \"clientId\": the provider "
		    "must know this client beforehand", grant->valuestring);
	secret_of(oauth, &n);
	if (u->oauth.grant == CONFIG_CLIENT_CREDENTIALS && n == 0 &&
	    u->oauth.private_key_file == NULL)
		return config_fail(p, grant, AT_VALUE, "\"client_credentials\" needs a "
		    "\"clientSecretFile\", \"clientSecretCredential\", \"clientSecretCommand\" or "
		    "\"privateKeyFile\"");
	if ((r = check_idp(p, oauth)) < 0)
		return r;
	return check_browser(p, oauth);
}

int
config_check_upstream(struct reader *p, const cJSON *item)
{
	const struct config_upstream	*u = p->upstream;
	const cJSON			*oauth = json_member(item, "oauth");
	int				 r;

	if (u->url.text == NULL)
		return config_fail(p, item, AT_KEY, "upstream \"%s\" needs a \"url\"", u->name);
	if (!u->url.https && !url_is_loopback(&u->url) && !u->allow_insecure)
		return config_fail(p, json_member(item, "url"), AT_VALUE, "plain http "
		    "would show the token to the network; use https, or say "
		    "\"allowInsecure\": true");
	if ((r = check_bearer(p, item)) < 0 || (r = check_way(p, item)) < 0)
		return r;
	if (oauth == NULL)
		return 0;
	if ((r = check_client(p, oauth)) < 0 || (r = check_grant(p, oauth)) < 0)
		return r;
	if (u->auth != CONFIG_OAUTH)
		config_warning(p, oauth, "\"oauth\" is ignored without \"auth\": \"oauth\"");
	return 0;
}
