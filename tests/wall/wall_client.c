/* The clients of both authorization servers: registered, configured, authenticated, forgotten. */
#include <stdio.h>
#include <time.h>

#include <openssl/evp.h>

#include "wall.h"

#define ASSERTION_TYPE	"urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
#define EXP_MOST	600		/* seconds; an assertion that lives longer is suspicious */

static struct map	clients[2], assertions, jtis;

static struct client *
client_new(bool other, const char *id)
{
	struct client	*k = calloc(1, sizeof(*k));

	if (k == NULL)
		die("no memory");
	k->id = strdup(id);
	map_make(&clients[other], id)->p = k;
	return k;
}

static void
set_text(char **at, const char *text)
{
	free(*at);
	*at = text != NULL ? strdup(text) : NULL;
}

static const char *
member(const cJSON *j, const char *name)
{
	return cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(j, name));
}

bool
client_configure(const cJSON *j)
{
	const char	*id = member(j, "client_id");
	bool		 other = cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(j, "other"));
	struct client	*k;
	struct entry	*e;

	if (id == NULL)
		return false;
	e = map_find(&clients[other], id);
	k = e != NULL ? e->p : client_new(other, id);
	set_text(&k->secret, member(j, "client_secret"));
	set_text(&k->method, member(j, "method"));
	set_text(&k->key, member(j, "public_key"));
	cJSON_Delete(k->redirects);
	k->redirects = cJSON_Duplicate(cJSON_GetObjectItemCaseSensitive(j, "redirect_uris"), true);
	k->forgotten = false;
	if (k->secret != NULL)
		seen_secret(NULL, k->secret);
	return true;
}

/* Configured ones are forgotten, too. */
void
clients_forget(void)
{
	struct entry	*e;
	size_t		 i;

	for (i = 0; i < clients[0].nslots; i++) {
		for (e = clients[0].slots[i]; e != NULL; e = e->next)
			((struct client *)e->p)->forgotten = true;
	}
}

/* A client-ID metadata document's URL is a client that nobody registered. */
static bool
is_document(const char *id)
{
	return strncmp(id, "https://", 8) == 0 && cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(
	    option_get("as_members"), "client_id_metadata_document_supported"));
}

struct client *
client_find(const struct conn *c, const char *id)
{
	struct entry	*e = map_find(&clients[c->other], id);
	struct client	*k;

	if (e == NULL && is_document(id))
		return client_new(c->other, id);
	k = e != NULL ? e->p : NULL;
	return k != NULL && !k->forgotten ? k : NULL;
}

bool
client_was(const struct conn *c, const char *id)
{
	return map_find(&clients[c->other], id) != NULL;
}

/* Behind "Basic ": the form-encoded id and secret (RFC 6749 section 2.3.1). */
static bool
basic(const char *given, char **id, char **secret)
{
	unsigned char	 raw[512];
	char		*colon;
	int		 n;

	if (strncasecmp(given, "Basic ", 6) != 0 || strlen(given + 6) > 600)
		return false;
	n = EVP_DecodeBlock(raw, (const unsigned char *)given + 6, (int)strlen(given + 6));
	if (n < 0)
		return false;
	raw[MIN(n, 511)] = '\0';
	if ((colon = strchr((char *)raw, ':')) == NULL)
		return false;
	*id = form_decode((char *)raw, (size_t)(colon - (char *)raw));
	*secret = form_decode(colon + 1, strlen(colon + 1));
	return true;
}

void
credentials_read(const struct conn *c, struct credentials *ret)
{
	const struct buf	*form = &c->req.body;
	const char		*given = c->req.authorization;
	cJSON			*claims;

	*ret = (struct credentials){ 0 };
	ret->assertion = form_get(form->p, form->len, "client_assertion");
	ret->type = form_get(form->p, form->len, "client_assertion_type");
	if (basic(given, &ret->id, &ret->secret)) {
		ret->method = "client_secret_basic";
		seen_secret(c, given + 6);
		return;
	}
	ret->id = form_get(form->p, form->len, "client_id");
	ret->secret = form_get(form->p, form->len, "client_secret");
	ret->method = ret->secret != NULL ? "client_secret_post" : "none";
	if (ret->assertion == NULL)
		return;
	ret->method = "private_key_jwt";
	seen_secret(c, ret->assertion);
	if (ret->id == NULL && (claims = jwt_claims(ret->assertion)) != NULL) {
		ret->id = member(claims, "sub") != NULL ? strdup(member(claims, "sub")) : NULL;
		cJSON_Delete(claims);
	}
}

void
credentials_free(struct credentials *k)
{
	free(k->id);
	free(k->secret);
	free(k->assertion);
	free(k->type);
}

/* NULL if it is as RFC 7523 section 3 wants it, else what is wrong. */
static const char *
assertion_fault(const struct conn *c, const struct credentials *k, const struct client *client,
    const cJSON *claims)
{
	const char	*aud = member(claims, "aud"), *jti = member(claims, "jti");
	const cJSON	*exp = cJSON_GetObjectItemCaseSensitive(claims, "exp");
	char		 issuer[300], token[300];

	issuer_of(c, issuer, sizeof(issuer));
	snprintf(token, sizeof(token), "%s%s", origin_of(c), c->req.path);
	if (k->type == NULL || strcmp(k->type, ASSERTION_TYPE) != 0)
		return "type";
	if (!jwt_signed_by(k->assertion, client->key))
		return "signature";
	if (member(claims, "iss") == NULL || strcmp(member(claims, "iss"), client->id) != 0 ||
	    member(claims, "sub") == NULL || strcmp(member(claims, "sub"), client->id) != 0)
		return "subject";
	if (aud == NULL || (strcmp(aud, issuer) != 0 && strcmp(aud, token) != 0))
		return "audience";
	if (!cJSON_IsNumber(exp) || exp->valuedouble < (double)time(NULL) ||
	    exp->valuedouble > (double)time(NULL) + EXP_MOST)
		return "expiry";
	if (jti == NULL || map_find(&jtis, jti) != NULL)
		return "jti";
	map_make(&jtis, jti);
	return NULL;
}

static bool
assertion_good(const struct conn *c, const struct credentials *k, const struct client *client)
{
	cJSON		*claims = jwt_claims(k->assertion);
	const char	*fault = claims != NULL ? assertion_fault(c, k, client, claims) : "form";

	map_make(&assertions, fault != NULL ? fault : "good")->n++;
	cJSON_Delete(claims);
	return fault == NULL;
}

bool
client_authentic(const struct conn *c, const struct credentials *k, const struct client *client)
{
	const char	*want = client->method != NULL ? client->method :
			    client->secret != NULL ? "client_secret_basic" : "none";

	if (strcmp(k->method, want) != 0)
		return false;
	if (strcmp(want, "private_key_jwt") == 0)
		return assertion_good(c, k, client);
	if (client->expires != 0 && client->expires <= now_ms())
		return false;
	return client->secret == NULL ||
	    (k->secret != NULL && strcmp(k->secret, client->secret) == 0);
}

bool
client_redirects(const struct client *k, const char *uri)
{
	const cJSON	*item;
	size_t		 colon;

	if (k->redirects == NULL)
		return strncmp(uri, "http://127.0.0.1:", 17) == 0 ||
		    strncmp(uri, "http://localhost:", 17) == 0;
	cJSON_ArrayForEach(item, k->redirects) {
		if (strcmp(item->valuestring, uri) == 0)
			return true;
		/* RFC 8252 section 7.3: any port of the loopback address. */
		colon = strlen("http://127.0.0.1");
		if (!option_is("exact_port") && strncmp(uri, "http://127.0.0.1:", 17) == 0 &&
		    strncmp(item->valuestring, "http://127.0.0.1:", 17) == 0 &&
		    strcmp(uri + colon + strcspn(uri + colon, "/"),
		    item->valuestring + colon + strcspn(item->valuestring + colon, "/")) == 0)
			return true;
	}
	return false;
}

/* What keeps it from being registered, NULL if nothing. */
static const char *
registration_fault(const cJSON *wish)
{
	const cJSON	*uris = cJSON_GetObjectItemCaseSensitive(wish, "redirect_uris"), *u;

	if (!cJSON_IsObject(wish))
		return "invalid_client_metadata";
	cJSON_ArrayForEach(u, uris) {
		if (!cJSON_IsString(u) || (strncmp(u->valuestring, "https://", 8) != 0 &&
		    strncmp(u->valuestring, "http://127.0.0.1:", 17) != 0 &&
		    strncmp(u->valuestring, "http://localhost:", 17) != 0))
			return "invalid_redirect_uri";
	}
	return NULL;
}

static cJSON *
registered(struct conn *c, const cJSON *wish)
{
	const char	*method = c->other ? NULL : option_text("register_method");
	int64_t		 life = c->other ? 0 : option_number("register_secret_expires", 0);
	char		 id[64], secret[64];
	struct client	*k;
	cJSON		*j = cJSON_Duplicate(wish, true);

	random_text(id, sizeof(id), "client-");
	k = client_new(c->other, id);
	seen_owned(c->other, id);
	k->method = strdup(method != NULL ? method : member(wish, "token_endpoint_auth_method") !=
	    NULL ? member(wish, "token_endpoint_auth_method") : "client_secret_basic");
	k->redirects = cJSON_Duplicate(cJSON_GetObjectItemCaseSensitive(wish, "redirect_uris"),
	    true);
	cJSON_AddStringToObject(j, "client_id", id);
	cJSON_AddNumberToObject(j, "client_id_issued_at", (double)time(NULL));
	cJSON_DeleteItemFromObjectCaseSensitive(j, "token_endpoint_auth_method");
	cJSON_AddStringToObject(j, "token_endpoint_auth_method", k->method);
	if (strncmp(k->method, "client_secret", 13) == 0) {
		/* With characters that a form must encode. */
		random_text(secret, sizeof(secret), "s+%:/ ");
		k->secret = strdup(secret);
		k->expires = life > 0 ? now_ms() + life * 1000 : 0;
		cJSON_AddStringToObject(j, "client_secret", secret);
		cJSON_AddNumberToObject(j, "client_secret_expires_at",
		    life > 0 ? (double)(time(NULL) + life) : 0);
		seen_secret(c, secret);
	}
	random_text(secret, sizeof(secret), "rat-");
	seen_secret(c, secret);
	cJSON_AddStringToObject(j, "registration_access_token", secret);
	return j;
}

static void
registration(struct conn *c)
{
	const char	*how = option_text("register"), *fault;
	cJSON		*wish, *j;

	if (fault_commit(c))
		return;
	if (how != NULL && !c->other && strcmp(how, "absent") == 0) {
		answer_text(c, 404, "text/plain", "not found\n");
		return;
	}
	wish = cJSON_ParseWithLength(c->req.body.p != NULL ? c->req.body.p : "", c->req.body.len);
	seen_latest("register", cJSON_Duplicate(wish, true));
	if (how != NULL && !c->other &&
	    (strcmp(how, "unscoped") != 0 || member(wish, "scope") != NULL))
		fault = "invalid_client_metadata";
	else
		fault = registration_fault(wish);
	if (fault != NULL) {
		counts.register_refused++;
		refuse_json(c, 400, fault);
	} else {
		counts.registered++;
		j = registered(c, wish);
		if (!c->other)
			option_merge(j, "register_members");
		answer_json(c, 201, j);
	}
	cJSON_Delete(wish);
}

void
client_register(struct conn *c)
{
	counts.register_requests++;
	fault_meet(c, FAULT_REGISTER, registration);
}

cJSON *
assertions_json(void)
{
	return map_json(&assertions);
}

void
assertions_reset(void)
{
	map_clear(&assertions, NULL);
}
