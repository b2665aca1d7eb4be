#include <stdio.h>

#include "bounds.h"
#include "discovery.h"
#include "discovery_document.h"
#include "scope.h"

#define SHOWN		240	/* bytes of a URL in our words */
#define WELL_KNOWN	"/.well-known/"
#define RESOURCE_AT	WELL_KNOWN "oauth-protected-resource"
#define OAUTH_AT	WELL_KNOWN "oauth-authorization-server"
#define OPENID_AT	WELL_KNOWN "openid-configuration"

enum stage { PROBE, RESOURCE, SERVER, DONE, FAILED };

struct discovery {
	const struct config_upstream *config;
	bool		 resource_only, server_only;
	bool		 at_server;	/* whose metadata it is was settled, or is what failed */
	enum stage	 stage;
	unsigned	 variant;	/* of this stage: the next one to be built */
	struct url	 url;		/* of the request that is due */
	struct url	 named;		/* resource_metadata of the challenge; text NULL = none */
	struct document_resource resource;	/* what was read; resource NULL = nothing */
	char		*issuer;	/* whose metadata is read; NULL: whoever is at the MCP origin (A18) */
	struct discovery_result result;
	char		 why[640];
};

void
discovery_result_free(struct discovery_result *r)
{
	free(r->issuer);
	free(r->authorization_endpoint);
	free(r->token_endpoint);
	free(r->registration_endpoint);
	free(r->revocation_endpoint);
	free(r->device_authorization_endpoint);
	free(r->resource);
	free(r->resource_metadata);
	free(r->scope);
	free(r->challenged);
	list_free(r->auth_methods);
	*r = (struct discovery_result){ 0 };
}

void
discovery_free(struct discovery *d)
{
	if (d == NULL)
		return;
	url_free(&d->url);
	url_free(&d->named);
	document_resource_free(&d->resource);
	free(d->issuer);
	discovery_result_free(&d->result);
	free(d);
}

/* --- ends --- */

/* A query may hold a key of the user's: never shown. */
static const char *
show(const char *text, char *out, size_t size)
{
	return text_escape(out, size, text, strcspn(text, "?"));
}

static int	fail(struct discovery *, const char *fmt, ...) _printf_(2, 3);

static int
fail(struct discovery *d, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(d->why, sizeof(d->why), fmt, ap);
	va_end(ap);
	d->stage = FAILED;
	return 0;
}

/* The document that was just asked for. */
static int
fail_at(struct discovery *d, const char *what)
{
	char shown[SHOWN];

	return fail(d, "the %s metadata at %s: %s",
	    d->stage == RESOURCE ? "protected-resource" : "authorization server's",
	    show(d->url.text, shown, sizeof(shown)), what);
}

static int
set(char **ret, const char *text)
{
	char *copy = text != NULL ? strdup(text) : NULL;

	if (text != NULL && copy == NULL)
		return -ENOMEM;
	free(*ret);
	*ret = copy;
	return 0;
}

/* An endpoint at the MCP origin (A18), unless one is known. */
static int
guess(struct discovery *d, char **ret, const char *path)
{
	_cleanup_(buf_free) struct buf text = BUF_INIT(URL_BYTES + 64);

	if (*ret != NULL)
		return 0;
	if (url_origin(&d->config->url, &text) < 0 || buf_adds(&text, path) < 0)
		return -ENOMEM;
	*ret = buf_steal(&text);
	return *ret == NULL ? -ENOMEM : 0;
}

/* A10. */
static int
choose_scope(struct discovery *d)
{
	_cleanup_(buf_free) struct buf scope = BUF_INIT(SCOPE_BYTES);
	struct discovery_result *res = &d->result;
	const char *base = res->challenged != NULL ? res->challenged : d->resource.scope;
	int r;

	if (d->config->oauth.scope != NULL)
		return set(&res->scope, d->config->oauth.scope);
	if (base == NULL)
		return 0;
	r = scope_union(&scope, base, res->offline_access ? "offline_access" : NULL);
	if (r == -ENOMEM)
		return r;
	/* Too long only with the addition: as it is, then. */
	return set(&res->scope, r < 0 ? base : scope.p);
}

/* All that could be read was read: the config's word goes before the server's. */
static int
conclude(struct discovery *d)
{
	const struct config_upstream *u = d->config;
	struct discovery_result *res = &d->result;
	int r = 0;

	if (d->server_only) {
		d->stage = DONE;
		return res->token_endpoint != NULL ? 0 : fail_at(d, "it names no token endpoint");
	}
	if (u->oauth.authorization_endpoint != NULL)
		r = set(&res->authorization_endpoint, u->oauth.authorization_endpoint);
	if (r == 0 && u->oauth.token_endpoint != NULL)
		r = set(&res->token_endpoint, u->oauth.token_endpoint);
	if (r == 0 && !u->oauth.resource_omit)
		r = set(&res->resource, u->oauth.resource != NULL ? u->oauth.resource :
		    d->resource.resource);
	if (r == 0)
		r = choose_scope(d);
	if (r < 0)
		return r;
	res->pkce = res->pkce || u->oauth.assume_pkce || res->bare;
	if (res->token_endpoint == NULL)
		return fail_at(d, "it names no token endpoint; \"oauth.tokenEndpoint\" can");
	if (res->authorization_endpoint == NULL && u->oauth.grant == CONFIG_AUTHORIZATION_CODE)
		return fail_at(d, "it names no authorization endpoint; "
		    "\"oauth.authorizationEndpoint\" can");
	d->stage = DONE;
	return 0;
}

/* --- authorization server metadata --- */

/* Then its metadata is nothing that a login cannot do without. */
static bool
is_configured(const struct discovery *d)
{
	const struct config_upstream *u = d->config;

	if (d->server_only || u->oauth.token_endpoint == NULL || u->oauth.grant == CONFIG_DEVICE_CODE)
		return false;
	return u->oauth.grant != CONFIG_AUTHORIZATION_CODE ||
	    u->oauth.authorization_endpoint != NULL;
}

/* A18, and a config that says all. */
static int
without_server(struct discovery *d)
{
	int r;

	if (is_configured(d)) {
		r = set(&d->result.issuer, d->issuer);
		return r < 0 ? r : conclude(d);
	}
	if (d->issuer != NULL)
		return fail_at(d, "the authorization server has none, here or at the other "
		    "well-known places; its endpoints can be configured instead");
	d->result.bare = true;
	r = guess(d, &d->result.authorization_endpoint, "/authorize");
	if (r == 0)
		r = guess(d, &d->result.token_endpoint, "/token");
	if (r == 0)
		r = guess(d, &d->result.registration_endpoint, "/register");
	return r < 0 ? r : conclude(d);
}

/* A3: what stands around the well-known part.  False: there is no such variant. */
static bool
server_variant(unsigned variant, const char *path, size_t n, struct slice out[3])
{
	struct slice own = { path, n }, none = { "", 0 };

	if (variant > 2 || (variant == 2 && n == 0))
		return false;
	out[0] = variant == 2 ? own : none;
	out[1] = slice_of(variant == 0 ? OAUTH_AT : OPENID_AT);
	out[2] = variant == 2 ? none : own;
	return true;
}

/* The request's URL: `base`'s origin and these parts. */
static int
set_url(struct discovery *d, const struct url *base, const struct slice part[3])
{
	_cleanup_(buf_free) struct buf text = BUF_INIT(2 * URL_BYTES);
	struct url url;
	size_t i;
	int r;

	r = url_origin(base, &text);
	for (i = 0; i < 3 && r == 0; i++)
		r = buf_addslice(&text, part[i]);
	if (r == 0)
		r = url_parse(text.p, text.len, &url);
	if (r < 0)
		return r;
	url_free(&d->url);
	d->url = url;
	return 0;
}

static int
next_server(struct discovery *d)
{
	struct slice part[3];
	struct url issuer = { 0 };
	const char *path = "";
	size_t n = 0;
	int r = 0;

	if (d->issuer != NULL) {
		r = url_parse(d->issuer, strlen(d->issuer), &issuer);
		path = issuer.target;
	}
	if (r == 0)
		for (n = strlen(path); n > 0 && path[n - 1] == '/'; n--)
			;
	if (r == 0 && server_variant(d->variant++, path, n, part))
		r = set_url(d, d->issuer != NULL ? &issuer : &d->config->url, part);
	else if (r == 0)
		r = without_server(d);
	url_free(&issuer);
	return r == -EMSGSIZE ? fail(d, "the authorization server's URL is too long") : r;
}

/* The issuer is a URL without query and fragment (RFC 8414 section 2). */
static int
begin_server(struct discovery *d, const char *issuer)
{
	char shown[SHOWN];
	struct url url;
	bool good;
	int r;

	d->at_server = true;
	if (issuer != NULL) {
		r = url_parse(issuer, strlen(issuer), &url);
		if (r == -ENOMEM)
			return r;
		good = r == 0 && strchr(url.target, '?') == NULL &&
		    document_url_allowed(d->config, &url);
		if (r == 0)
			url_free(&url);
		if (!good)
			return fail(d, "the authorization server %s must be an https URL without "
			    "query", text_escape(shown, sizeof(shown), issuer, strlen(issuer)));
	}
	r = set(&d->issuer, issuer);
	if (r < 0)
		return r;
	d->stage = SERVER;
	d->variant = 0;
	return next_server(d);
}

/* What may be mended by waiting is no word about whether a document is there. */
static bool
is_trouble(int status)
{
	return status >= 500 || status == 0 || status == 408 || status == 429;
}

static int
fail_trouble(struct discovery *d, const struct discovery_answer *a)
{
	char what[256];

	if (a->status == 0)
		snprintf(what, sizeof(what), "%s",
		    a->why != NULL && *a->why != '\0' ? a->why : "no answer");
	else
		snprintf(what, sizeof(what), "the server answers %d; try again later", a->status);
	return fail_at(d, what);
}

static int
saw_server(struct discovery *d, const struct discovery_answer *a)
{
	struct document_why why = { "" };
	struct discovery_result res;
	int r;

	if (is_trouble(a->status))
		return is_configured(d) ? without_server(d) : fail_trouble(d, a);
	if (a->status != 200)
		return next_server(d);
	r = document_read_server(a->body, a->n, d->config, d->issuer,
	    !d->server_only && d->config->oauth.issuer != NULL, &res, &why);
	if (r == -ENOENT)	/* a page for people, as some servers have everywhere */
		return next_server(d);
	if (r == -EBADMSG)
		return fail_at(d, why.text);
	if (r < 0)
		return r;
	res.resource_metadata = d->result.resource_metadata;
	res.challenged = d->result.challenged;
	d->result = res;
	return conclude(d);
}

/* --- protected-resource metadata --- */

/* RFC 9728 3.1: before path and query, an empty path left out.  False: no such variant. */
static bool
resource_variant(unsigned variant, const char *target, struct slice out[3])
{
	struct slice none = { "", 0 };
	bool root = strcmp(target, "/") == 0;

	if (variant > 1 || (variant == 1 && root))
		return false;
	out[0] = none;
	out[1] = slice_of(RESOURCE_AT);
	out[2] = variant == 1 || root ? none : slice_of(target + (target[1] == '?'));
	return true;
}

/* There is none.  A server that claimed to have it is not one of those without. */
static int
without_resource(struct discovery *d)
{
	if (d->resource_only)
		return fail_at(d, "the MCP server has none, here or at the other well-known places");
	if (d->named.text != NULL)
		return fail_at(d, "there is none, although the server's challenge names one");
	return begin_server(d, d->config->oauth.issuer);
}

static int
next_resource(struct discovery *d)
{
	struct slice part[3];
	int r;

	do {
		if (!resource_variant(d->variant++, d->config->url.target, part))
			return without_resource(d);
		r = set_url(d, &d->config->url, part);
		if (r == -EMSGSIZE)
			return fail(d, "the MCP server's URL is too long for discovery");
		if (r < 0)
			return r;
	} while (d->named.text != NULL && strcmp(d->named.text, d->url.text) == 0);
	return 0;
}

static int
begin_resource(struct discovery *d, const char *named)
{
	char shown[SHOWN];
	struct url url;
	int r;

	d->stage = RESOURCE;
	if (named == NULL)
		return next_resource(d);
	r = url_parse(named, strlen(named), &url);
	if (r == -ENOMEM)
		return r;
	if (r == 0) {
		d->named = url;
		r = document_url_allowed(d->config, &url) ? 0 : -EINVAL;
	}
	if (r < 0)
		return fail(d, "the server's challenge names as its metadata what is no https "
		    "URL: %s", show(named, shown, sizeof(shown)));
	url_free(&d->url);
	return url_copy(&d->named, &d->url);
}

/* Which of the listed ones, A9. */
static int
choose_server(struct discovery *d)
{
	const char *wanted = d->config->oauth.issuer;
	char **servers = d->resource.servers, theirs[120], ours[120];

	if (servers == NULL && wanted == NULL)
		return fail_at(d, "it names no authorization server; \"oauth.issuer\" can");
	if (wanted == NULL || servers == NULL)
		return begin_server(d, wanted != NULL ? wanted : servers[0]);
	if (list_has(servers, wanted))
		return begin_server(d, wanted);
	text_escape(theirs, sizeof(theirs), servers[0], strlen(servers[0]));
	text_escape(ours, sizeof(ours), wanted, strlen(wanted));
	d->at_server = true;
	return fail(d, "the MCP server does not name the configured \"oauth.issuer\" %s; it names %s; "
	    "correct the config, or leave the key out", ours, theirs);
}

static int
saw_resource(struct discovery *d, const struct discovery_answer *a)
{
	struct document_why why = { "" };
	int r;

	if (is_trouble(a->status))
		return fail_trouble(d, a);
	if (a->status != 200)
		return next_resource(d);
	r = document_read_resource(a->body, a->n, d->config, &d->resource, &why);
	if (r == -EBADMSG)
		return fail_at(d, why.text);
	if (r == 0)
		r = set(&d->result.resource_metadata, d->url.text);
	if (r < 0)
		return r;
	if (!d->resource_only)
		return choose_server(d);
	if (d->resource.servers == NULL)
		return fail_at(d, "it names no authorization server");
	d->stage = DONE;
	return 0;
}

/* --- the challenge --- */

static int
take_challenge(struct discovery *d, const struct challenge *c)
{
	int r;

	if (c == NULL || !c->bearer)
		return begin_resource(d, NULL);
	if (c->scope != NULL && *c->scope != '\0' && scope_valid(c->scope)) {
		r = set(&d->result.challenged, c->scope);
		if (r < 0)
			return r;
	}
	return begin_resource(d, c->resource_metadata);
}

static int
saw_probe(struct discovery *d, const struct discovery_answer *a)
{
	if (a->status == 0)
		return fail(d, "the MCP server cannot be reached: %s",
		    a->why != NULL && *a->why != '\0' ? a->why : "no answer");
	return take_challenge(d, a->status == 401 || a->status == 403 ? a->challenge : NULL);
}

/* --- from outside --- */

struct discovery *
discovery_new(const struct config_upstream *config, const struct challenge *known,
    bool resource_only)
{
	struct discovery *d = calloc(1, sizeof(*d));
	int r;

	if (d == NULL)
		return NULL;
	d->config = config;
	d->resource_only = resource_only;
	if (known == NULL && !resource_only)
		r = url_copy(&config->url, &d->url);
	else
		r = take_challenge(d, known);
	if (r < 0) {
		discovery_free(d);
		return NULL;
	}
	return d;
}

struct discovery *
discovery_new_server(const struct config_upstream *config, const char *issuer)
{
	struct discovery *d = calloc(1, sizeof(*d));

	if (d == NULL)
		return NULL;
	d->config = config;
	d->server_only = true;
	if (begin_server(d, issuer) < 0) {
		discovery_free(d);
		return NULL;
	}
	return d;
}

enum discovery_need
discovery_next(const struct discovery *d, const struct url **ret_url)
{
	switch (d->stage) {
	case PROBE:
		*ret_url = &d->url;
		return DISCOVERY_PROBE;
	case RESOURCE:
	case SERVER:
		*ret_url = &d->url;
		return DISCOVERY_GET;
	case DONE:
		return DISCOVERY_DONE;
	case FAILED:
		break;
	}
	return DISCOVERY_FAILED;
}

const char *
discovery_step(const struct discovery *d, char *out, size_t size)
{
	char shown[SHOWN];

	switch (d->stage) {
	case PROBE:
		snprintf(out, size, "asking the MCP server what it wants");
		break;
	case RESOURCE:
	case SERVER:
		snprintf(out, size, "reading the %s metadata at %s",
		    d->stage == RESOURCE ? "protected-resource" : "authorization server's",
		    show(d->url.text, shown, sizeof(shown)));
		break;
	case DONE:
		snprintf(out, size, "the metadata is read");
		break;
	case FAILED:
		snprintf(out, size, "%s", d->why);
		break;
	}
	return out;
}

int
discovery_answer(struct discovery *d, const struct discovery_answer *a)
{
	int r = 0;

	if (d->stage == PROBE)
		r = saw_probe(d, a);
	else if (d->stage == RESOURCE)
		r = saw_resource(d, a);
	else if (d->stage == SERVER)
		r = saw_server(d, a);
	if (r < 0)
		(void)fail(d, "out of memory");
	return r;
}

void
discovery_take(struct discovery *d, struct discovery_result *ret)
{
	*ret = d->result;
	d->result = (struct discovery_result){ 0 };
}

const char *
discovery_why(const struct discovery *d)
{
	return d->why;
}

bool
discovery_at_server(const struct discovery *d)
{
	return d->at_server;
}

bool
discovery_names_issuer(const struct discovery *d, const char *issuer)
{
	return list_has(d->resource.servers, issuer);
}
