/*
 * The token endpoint: which grant, whose client, what comes of it; and beside
 * it /idp/token, an identity provider that exchanges a subject token for an
 * ID-JAG (RFC 8693).
 */
#include <stdio.h>
#include <time.h>

#include <openssl/evp.h>

#include "wall.h"

struct code {
	bool		 other;
	char		*client_id, *redirect, *challenge, *resource, *scope;
	struct family	*family;	/* once it was used */
};

struct jag { char *audience, *resource, *scope; int64_t ends; };

static struct map	codes, jags, granted;

static char *
dup(const char *s)
{
	return s != NULL ? strdup(s) : NULL;
}

/* error_description, or NULL. */
char *
description(void)
{
	int64_t	 n = option_number("description_bytes", 0), i;
	char	*words;

	if (n <= 0)
		return NULL;
	if ((words = malloc((size_t)n + 1)) == NULL)
		die("no memory");
	for (i = 0; i < n; i++)
		words[i] = "description "[i % 12];
	words[n] = '\0';
	return words;
}

int
refuse(struct buf *out, int status, const char *error)
{
	char	*words = description();

	counts.refused++;
	buf_addf(out, "{\"error\":\"%s\"", error);
	if (words != NULL) {
		buf_adds(out, ",\"error_description\":");
		buf_addjson(out, words, strlen(words));
	}
	buf_adds(out, "}");
	free(words);
	return status;
}

void
refuse_json(struct conn *c, int status, const char *error)
{
	struct buf	b = BUF_INIT(0);

	refuse(&b, status, error);
	answer(c, status, "application/json", NULL, b.p, b.len);
	buf_free(&b);
}

void
code_issue(const struct conn *c, char *text, size_t size, const struct code_wish *w)
{
	const char	*scope = c->other ? NULL : option_text("grant_scope");
	struct code	*k = calloc(1, sizeof(*k));

	if (k == NULL)
		die("no memory");
	random_text(text, size, "co-");
	seen_secret(c, text);
	*k = (struct code){ c->other, dup(w->client_id), dup(w->redirect), dup(w->challenge),
	    dup(w->resource), dup(scope != NULL ? scope : w->scope), NULL };
	map_make(&codes, text)->p = k;
}

static bool
same(const char *a, const char *b)
{
	return a == NULL || b == NULL ? a == b : strcmp(a, b) == 0;
}

static bool
verifies(const struct conn *c, const char *verifier, const char *challenge)
{
	unsigned char	 md[EVP_MAX_MD_SIZE];
	unsigned	 n = 0;
	struct buf	 b = BUF_INIT(0);
	bool		 good;

	if (verifier == NULL || strlen(verifier) < 43)
		return false;
	seen_secret(c, verifier);
	EVP_Digest(verifier, strlen(verifier), md, &n, EVP_sha256(), NULL);
	base64url(&b, md, n);
	good = strcmp(b.p, challenge) == 0;
	buf_free(&b);
	return good;
}

static int
code_grant(struct conn *c, const struct client *client, struct buf *out)
{
	struct buf		*form = &c->req.body;
	_cleanup_(freep) char	*text = form_get(form->p, form->len, "code");
	_cleanup_(freep) char	*redirect = form_get(form->p, form->len, "redirect_uri");
	_cleanup_(freep) char	*verifier = form_get(form->p, form->len, "code_verifier");
	_cleanup_(freep) char	*resource = form_get(form->p, form->len, "resource");
	struct entry		*e = text != NULL ? map_find(&codes, text) : NULL;
	struct code		*k = e != NULL ? e->p : NULL;

	if (k == NULL || k->other != c->other || strcmp(k->client_id, client->id) != 0)
		return refuse(out, 400, "invalid_grant");
	if (k->family != NULL) {
		counts.code_replays++;
		family_revoke(k->family);
		return refuse(out, 400, "invalid_grant");
	}
	if (!same(redirect, k->redirect) || !verifies(c, verifier, k->challenge)) {
		counts.bad_pkce++;
		return refuse(out, 400, "invalid_grant");
	}
	if (wall.set.check_resource && !same(resource, k->resource)) {
		counts.bad_resource++;
		return refuse(out, 400, "invalid_target");
	}
	k->family = family_new(c->other, &(struct issue){ .client_id = client->id,
	    .client_secret = client->secret, .scope = k->scope, .resource = k->resource });
	tokens_grant(c, out, k->family,
	    !option_is("offline_needed") || scope_has(k->scope, "offline_access"));
	return 200;
}

/* A family for a grant that renews itself. */
static int
machine_grant(struct conn *c, const struct client *client, struct buf *out, const char *scope)
{
	_cleanup_(freep) char	*resource = form_get(c->req.body.p, c->req.body.len, "resource");

	tokens_grant(c, out, family_new(c->other, &(struct issue){ .client_id = client->id,
	    .client_secret = client->secret, .scope = scope, .resource = resource }), false);
	return 200;
}

static int
credentials_grant(struct conn *c, const struct client *client, struct buf *out)
{
	_cleanup_(freep) char	*scope = form_get(c->req.body.p, c->req.body.len, "scope");

	if (client->secret == NULL && client->key == NULL)
		return refuse(out, 400, "unauthorized_client");
	return machine_grant(c, client, out, scope);
}

static int
jwt_grant(struct conn *c, const struct client *client, struct buf *out)
{
	_cleanup_(freep) char	*text = form_get(c->req.body.p, c->req.body.len, "assertion");
	_cleanup_(freep) char	*resource = form_get(c->req.body.p, c->req.body.len, "resource");
	struct entry		*e = text != NULL ? map_find(&jags, text) : NULL;
	struct jag		*jag = e != NULL ? e->p : NULL;
	char			 issuer[300];

	issuer_of(c, issuer, sizeof(issuer));
	if (jag == NULL || jag->ends <= now_ms() || strcmp(jag->audience, issuer) != 0)
		return refuse(out, 400, "invalid_grant");
	if (wall.set.check_resource && resource != NULL && !same(resource, jag->resource)) {
		counts.bad_resource++;
		return refuse(out, 400, "invalid_target");
	}
	return machine_grant(c, client, out, jag->scope);
}

static const struct grant {
	const char	*type;
	int		(*run)(struct conn *, const struct client *, struct buf *);
	bool		 own;		/* authenticates the client by itself */
} grants[] = {
	{ "refresh_token", refresh_grant, true },
	{ "authorization_code", code_grant, false },
	{ "client_credentials", credentials_grant, false },
	{ GRANT_URN_DEVICE, device_grant, false },
	{ GRANT_URN_JWT, jwt_grant, false },
};

/* The HTTP status; the body in *out. */
static int
judge(struct conn *c, struct buf *out)
{
	const struct grant	*g = grants;
	struct credentials	 k;
	struct client		*client;
	int			 status;

	while (g < grants + nitems(grants) && strcmp(g->type, c->req.grant) != 0)
		g++;
	if (g == grants + nitems(grants))
		return refuse(out, 400, "unsupported_grant_type");
	credentials_read(c, &k);
	if (k.id != NULL)
		seen_client(c, k.id);
	client = k.id != NULL ? client_find(c, k.id) : NULL;
	if (!g->own && (client == NULL || !client_authentic(c, &k, client))) {
		counts.bad_client++;
		status = refuse(out, 401, "invalid_client");
	} else {
		status = g->run(c, client, out);
	}
	credentials_free(&k);
	if (status == 200)
		map_make(&granted, c->req.grant)->n++;
	return status;
}

static void
token_answer(struct conn *c)
{
	int	status = 200;

	c->req.answer = BUF_INIT(0);
	if (!fault_commits(c->fault) || fault_is(c->fault, "rotate"))
		status = judge(c, &c->req.answer);
	if (fault_commit(c))
		return;
	answer(c, status, "application/json", "Cache-Control: no-store\r\n", c->req.answer.p,
	    c->req.answer.len);
}

/* Wants a form; remembers its grant, by which faults may match. */
static bool
take_form(struct conn *c, const char *endpoint)
{
	_cleanup_(freep) char	*grant = form_get(c->req.body.p, c->req.body.len, "grant_type");

	if (strcmp(c->req.method, "POST") != 0) {
		answer_text(c, 405, "text/plain", "POST only\n");
		return false;
	}
	snprintf(c->req.grant, sizeof(c->req.grant), "%s", grant != NULL ? grant : "");
	seen_latest(endpoint, form_json(c->req.body.p, c->req.body.len));
	return true;
}

void
oauth_token(struct conn *c)
{
	counts.token_requests++;
	if (take_form(c, "token"))
		fault_meet(c, FAULT_TOKEN, token_answer);
}

/* An ID-JAG: a JWT, or with "jag_opaque" a text without an expiry in it. */
static char *
jag_new(struct conn *c, struct jag *jag, const char *client)
{
	int64_t	 life = option_number("jag_lifetime", 300);
	cJSON	*claims = cJSON_CreateObject();
	char	 opaque[64], url[128], *text;

	jag->ends = now_ms() + life * 1000;
	snprintf(url, sizeof(url), "%s/idp", wall.origin);
	cJSON_AddStringToObject(claims, "iss", url);
	cJSON_AddStringToObject(claims, "sub", "somebody");
	cJSON_AddStringToObject(claims, "aud", jag->audience);
	cJSON_AddStringToObject(claims, "client_id", client);
	cJSON_AddStringToObject(claims, "resource", jag->resource != NULL ? jag->resource : "");
	cJSON_AddNumberToObject(claims, "exp", (double)(time(NULL) + life));
	random_text(opaque, sizeof(opaque), "jag-");
	cJSON_AddStringToObject(claims, "jti", opaque);
	text = option_is("jag_opaque") ? strdup(opaque) : jwt_make(claims);
	cJSON_Delete(claims);
	seen_secret(c, text);
	map_make(&jags, text)->p = jag;
	return text;
}

/* The error code, NULL if the exchange may be made. */
static const char *
exchange_fault(const struct conn *c, const struct jag *jag)
{
	const struct buf	*form = &c->req.body;
	_cleanup_(freep) char	*kind = form_get(form->p, form->len, "requested_token_type");
	_cleanup_(freep) char	*subject = form_get(form->p, form->len, "subject_token");
	_cleanup_(freep) char	*type = form_get(form->p, form->len, "subject_token_type");
	const char		*want = option_text("subject_token");

	if (strcmp(c->req.grant, "urn:ietf:params:oauth:grant-type:token-exchange") != 0)
		return "unsupported_grant_type";
	if (kind == NULL || strcmp(kind, "urn:ietf:params:oauth:token-type:id-jag") != 0 ||
	    type == NULL || subject == NULL || jag->audience == NULL)
		return "invalid_request";
	seen_secret(c, subject);
	return want != NULL && strcmp(want, subject) != 0 ? "invalid_grant" : NULL;
}

static void
exchange(struct conn *c)
{
	const struct buf	*form = &c->req.body;
	struct credentials	 k;
	struct client		*client;
	struct jag		*jag;
	const char		*error;
	cJSON			*j;
	char			*text;

	if (fault_commit(c))
		return;
	if ((jag = calloc(1, sizeof(*jag))) == NULL)
		die("no memory");
	jag->audience = form_get(form->p, form->len, "audience");
	jag->resource = form_get(form->p, form->len, "resource");
	jag->scope = form_get(form->p, form->len, "scope");
	credentials_read(c, &k);
	client = k.id != NULL ? client_find(c, k.id) : NULL;
	error = client == NULL || !client_authentic(c, &k, client) ? "invalid_client" :
	    exchange_fault(c, jag);
	if (error != NULL) {
		refuse_json(c, strcmp(error, "invalid_client") == 0 ? 401 : 400, error);
		free(jag->audience);
		free(jag->resource);
		free(jag->scope);
		free(jag);
	} else {
		counts.exchanged++;
		text = jag_new(c, jag, client->id);
		j = cJSON_CreateObject();
		cJSON_AddStringToObject(j, "issued_token_type",
		    "urn:ietf:params:oauth:token-type:id-jag");
		cJSON_AddStringToObject(j, "access_token", text);
		cJSON_AddStringToObject(j, "token_type", "N_A");
		cJSON_AddNumberToObject(j, "expires_in",
		    (double)option_number("jag_lifetime", 300));
		answer_json(c, 200, j);
		free(text);
	}
	credentials_free(&k);
}

void
idp_token(struct conn *c)
{
	counts.exchange_requests++;
	if (take_form(c, "idp"))
		fault_meet(c, FAULT_IDP, exchange);
}

cJSON *
grants_json(void)
{
	return map_json(&granted);
}

void
grants_reset(void)
{
	map_clear(&granted, NULL);
}
