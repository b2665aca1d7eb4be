/*
 * The authorization server: single-use rotating refresh tokens, the whole
 * family revoked on a replay.
 */
#include <stdio.h>
#include <sys/random.h>

#include <openssl/evp.h>

#include "wall.h"

struct family {
	bool		 revoked;
	char		*client_id, *client_secret, *scope, *resource;
	struct token	*access;	/* the newest */
};

struct token {
	struct family	*family;
	uint64_t	 serial;
	int64_t		 expires;	/* boot ms */
	bool		 spent, revoked;
};

#define TOKEN_TEXT	36		/* "at_" 32 hex NUL */

static struct map	access_tokens, refresh_tokens;
static uint64_t		serial, expired_until, revoked_until;

static struct token *
token_new(struct family *family, const char *prefix, char text[TOKEN_TEXT])
{
	unsigned char	 r[16];
	struct token	*t = calloc(1, sizeof(*t));
	size_t		 i;

	if (t == NULL || getrandom(r, sizeof(r), 0) != sizeof(r))
		die("no token");
	strcpy(text, prefix);
	for (i = 0; i < sizeof(r); i++)
		snprintf(text + 3 + 2 * i, 3, "%02x", r[i]);
	t->family = family;
	t->serial = ++serial;
	map_make(prefix[0] == 'a' ? &access_tokens : &refresh_tokens, text)->p = t;
	if (wall.secrets != NULL) {
		fprintf(wall.secrets, "%s\n", text);
		fflush(wall.secrets);
	}
	return t;
}

static void
access_new(struct family *family, int64_t lifetime, char text[TOKEN_TEXT])
{
	struct token	*t = token_new(family, "at_", text);

	t->expires = now_ms() + lifetime;
	if (wall.set.revoke_old && family->access != NULL)
		family->access->revoked = true;
	family->access = t;
}

static char *
dup_or(const char *s, const char *otherwise)
{
	return s != NULL ? strdup(s) : otherwise != NULL ? strdup(otherwise) : NULL;
}

cJSON *
oauth_issue(const struct issue *i)
{
	struct family	*f = calloc(1, sizeof(*f));
	char		 text[TOKEN_TEXT], url[128];
	cJSON		*j = cJSON_CreateObject();
	int64_t		 lifetime = i->lifetime >= 0 ? i->lifetime : wall.set.lifetime;

	if (f == NULL)
		die("no memory");
	snprintf(url, sizeof(url), "%s/mcp", wall.origin);
	f->client_id = dup_or(i->client_id, "test-client");
	f->client_secret = dup_or(i->client_secret, NULL);
	f->scope = dup_or(i->scope, "mcp");
	f->resource = dup_or(i->resource, url);
	access_new(f, lifetime, text);
	cJSON_AddStringToObject(j, "access_token", text);
	if (i->renewable) {
		token_new(f, "rt_", text);
		cJSON_AddStringToObject(j, "refresh_token", text);
	}
	cJSON_AddNumberToObject(j, "expires_in", (double)lifetime / 1000);
	snprintf(url, sizeof(url), "%s/token", wall.origin);
	cJSON_AddStringToObject(j, "token_endpoint", url);
	cJSON_AddStringToObject(j, "issuer", wall.origin);
	cJSON_AddStringToObject(j, "client_id", f->client_id);
	if (f->client_secret != NULL)
		cJSON_AddStringToObject(j, "client_secret", f->client_secret);
	cJSON_AddStringToObject(j, "resource", f->resource);
	cJSON_AddStringToObject(j, "scope", f->scope);
	return j;
}

void
oauth_expire(void)
{
	expired_until = serial;
}

void
oauth_revoke_all(void)
{
	expired_until = revoked_until = serial;
}

enum verdict
oauth_judge(const char *text)
{
	struct entry	*e;
	struct token	*t;

	if (text[0] == '\0')
		return AUTH_MISSING;
	if ((e = map_find(&access_tokens, text)) == NULL)
		return AUTH_UNKNOWN;
	t = e->p;
	if (t->revoked || t->family->revoked)
		return AUTH_REVOKED;
	if (t->serial <= expired_until || t->expires <= now_ms())
		return AUTH_EXPIRED;
	return AUTH_OK;
}

static int
hex_digit(char c)
{
	return c >= '0' && c <= '9' ? c - '0' : (c | 32) >= 'a' && (c | 32) <= 'f' ?
	    (c | 32) - 'a' + 10 : -1;
}

static char *
form_decode(const char *p, size_t n)
{
	char	*out = malloc(n + 1), *o = out;
	size_t	 i;

	if (out == NULL)
		die("no memory");
	for (i = 0; i < n; i++) {
		if (p[i] == '+') {
			*o++ = ' ';
		} else if (p[i] == '%' && i + 2 < n && hex_digit(p[i + 1]) >= 0 &&
		    hex_digit(p[i + 2]) >= 0) {
			*o++ = (char)(hex_digit(p[i + 1]) * 16 + hex_digit(p[i + 2]));
			i += 2;
		} else {
			*o++ = p[i];
		}
	}
	*o = '\0';
	return out;
}

char *
form_get(const char *form, size_t n, const char *name)
{
	const char	*end = form + n, *amp;
	size_t		 len = strlen(name);

	for (; form != NULL && form < end; form = amp + 1) {
		if ((amp = memchr(form, '&', (size_t)(end - form))) == NULL)
			amp = end;
		if ((size_t)(amp - form) > len && memcmp(form, name, len) == 0 &&
		    form[len] == '=')
			return form_decode(form + len + 1, (size_t)(amp - form) - len - 1);
	}
	return NULL;
}

static void
resource_metadata(struct conn *c)
{
	const cJSON	*servers = fault_get(c->fault, "authorization_servers");
	const char	*resource = cJSON_GetStringValue(fault_get(c->fault, "resource"));
	cJSON		*j, *list;
	char		 url[128];

	if (fault_commit(c))
		return;
	j = cJSON_CreateObject();
	snprintf(url, sizeof(url), "%s/mcp", wall.origin);
	cJSON_AddStringToObject(j, "resource", resource != NULL ? resource : url);
	if (servers != NULL) {
		cJSON_AddItemToObject(j, "authorization_servers", cJSON_Duplicate(servers, true));
	} else {
		list = cJSON_AddArrayToObject(j, "authorization_servers");
		cJSON_AddItemToArray(list, cJSON_CreateString(wall.origin));
	}
	list = cJSON_AddArrayToObject(j, "bearer_methods_supported");
	cJSON_AddItemToArray(list, cJSON_CreateString("header"));
	list = cJSON_AddArrayToObject(j, "scopes_supported");
	cJSON_AddItemToArray(list, cJSON_CreateString("mcp"));
	answer_json(c, 200, j);
}

void
oauth_resource_metadata(struct conn *c)
{
	counts.metadata_resource++;
	fault_meet(c, FAULT_METADATA, resource_metadata);
}

static void
server_metadata(struct conn *c)
{
	static const struct { const char *name, *path; } endpoints[] = {
		{ "authorization_endpoint", "/authorize" },
		{ "token_endpoint", "/token" },
		{ "revocation_endpoint", "/revoke" },
	};
	cJSON	*j, *list;
	char	 url[128];
	size_t	 i;

	if (fault_commit(c))
		return;
	j = cJSON_CreateObject();
	cJSON_AddStringToObject(j, "issuer", wall.origin);
	for (i = 0; i < nitems(endpoints); i++) {
		snprintf(url, sizeof(url), "%s%s", wall.origin, endpoints[i].path);
		cJSON_AddStringToObject(j, endpoints[i].name, url);
	}
	list = cJSON_AddArrayToObject(j, "code_challenge_methods_supported");
	cJSON_AddItemToArray(list, cJSON_CreateString("S256"));
	list = cJSON_AddArrayToObject(j, "response_types_supported");
	cJSON_AddItemToArray(list, cJSON_CreateString("code"));
	list = cJSON_AddArrayToObject(j, "grant_types_supported");
	cJSON_AddItemToArray(list, cJSON_CreateString("refresh_token"));
	answer_json(c, 200, j);
}

void
oauth_server_metadata(struct conn *c)
{
	counts.metadata_server++;
	fault_meet(c, FAULT_METADATA, server_metadata);
}

/* Client id and secret, from the Authorization field or the form. */
static void
client_of(const struct conn *c, char **id, char **secret)
{
	const char	*given = c->req.authorization;
	unsigned char	 raw[512];
	char		*colon;
	int		 n;

	*id = form_get(c->req.body.p, c->req.body.len, "client_id");
	*secret = form_get(c->req.body.p, c->req.body.len, "client_secret");
	if (strncasecmp(given, "Basic ", 6) != 0 || strlen(given + 6) > 600)
		return;
	n = EVP_DecodeBlock(raw, (const unsigned char *)given + 6, (int)strlen(given + 6));
	if (n < 0)
		return;
	raw[MIN(n, 511)] = '\0';
	if ((colon = strchr((char *)raw, ':')) == NULL)
		return;
	free(*id);
	free(*secret);
	*id = form_decode((char *)raw, (size_t)(colon - (char *)raw));
	*secret = form_decode(colon + 1, strlen(colon + 1));
}

static bool
same(const char *a, const char *b)
{
	return a == NULL || b == NULL ? a == b : strcmp(a, b) == 0;
}

static bool
client_good(const struct conn *c, const struct family *f)
{
	_cleanup_(freep) char	*id = NULL, *secret = NULL;

	client_of(c, &id, &secret);
	return same(id, f->client_id) && same(secret, f->client_secret);
}

static bool
resource_good(const struct conn *c, const struct family *f)
{
	_cleanup_(freep) char	*resource = form_get(c->req.body.p, c->req.body.len, "resource");

	return !wall.set.check_resource || same(resource, f->resource);
}

/* The refresh token is used up; the answer goes to *out. */
static void
grant(struct conn *c, struct token *t, struct buf *out)
{
	const char	*raw = cJSON_GetStringValue(fault_get(c->fault, "expires_in_raw"));
	struct family	*f = t->family;
	char		 text[TOKEN_TEXT];

	counts.granted++;
	access_new(f, wall.set.lifetime, text);
	buf_addf(out, "{\"access_token\":\"%s\",\"token_type\":\"Bearer\"", text);
	if (raw == NULL)
		raw = wall.set.expires_in_raw;
	if (raw == NULL)
		buf_addf(out, ",\"expires_in\":%g", (double)wall.set.lifetime / 1000);
	else if (raw[0] != '\0')
		buf_addf(out, ",\"expires_in\":%s", raw);
	if (wall.set.rotate) {
		t->spent = true;
		token_new(f, "rt_", text);
		if (!wall.set.omit_refresh)
			buf_addf(out, ",\"refresh_token\":\"%s\"", text);
	}
	buf_addf(out, ",\"scope\":\"%s\"}", f->scope);
}

static int
refuse(struct buf *out, int status, const char *error)
{
	counts.refused++;
	buf_addf(out, "{\"error\":\"%s\"}", error);
	return status;
}

/* Judges a refresh request and does it.  The HTTP status; the body in *out. */
static int
refresh(struct conn *c, struct buf *out)
{
	struct buf		*form = &c->req.body;
	_cleanup_(freep) char	*kind = form_get(form->p, form->len, "grant_type");
	_cleanup_(freep) char	*text = form_get(form->p, form->len, "refresh_token");
	_cleanup_(freep) char	*scope = form_get(form->p, form->len, "scope");
	struct entry		*e;
	struct token		*t;

	if (scope != NULL)
		counts.with_scope++;
	if (kind == NULL || strcmp(kind, "refresh_token") != 0)
		return refuse(out, 400, "unsupported_grant_type");
	if (text == NULL || (e = map_find(&refresh_tokens, text)) == NULL)
		return refuse(out, 400, "invalid_grant");
	t = e->p;
	if (!client_good(c, t->family)) {
		counts.bad_client++;
		return refuse(out, 401, "invalid_client");
	}
	if (t->spent) {
		counts.replays++;
		if (wall.set.revoke_on_replay && !t->family->revoked) {
			counts.revoked_families++;
			t->family->revoked = true;
		}
	}
	if (t->spent || t->revoked || t->family->revoked || t->serial <= revoked_until)
		return refuse(out, 400, "invalid_grant");
	if (!resource_good(c, t->family)) {
		counts.bad_resource++;
		return refuse(out, 400, "invalid_target");
	}
	grant(c, t, out);
	return 200;
}

static void
token_answer(struct conn *c)
{
	int	status = 200;

	c->req.answer = BUF_INIT(0);
	if (!fault_commits(c->fault) || fault_is(c->fault, "rotate"))
		status = refresh(c, &c->req.answer);
	if (fault_commit(c))
		return;
	answer(c, status, "application/json", "Cache-Control: no-store\r\n", c->req.answer.p,
	    c->req.answer.len);
}

void
oauth_token(struct conn *c)
{
	counts.token_requests++;
	if (strcmp(c->req.method, "POST") != 0) {
		answer_text(c, 405, "text/plain", "POST only\n");
		return;
	}
	fault_meet(c, FAULT_TOKEN, token_answer);
}

/* RFC 7009. */
void
oauth_revoke(struct conn *c)
{
	_cleanup_(freep) char	*text = form_get(c->req.body.p, c->req.body.len, "token");
	struct entry		*e;

	counts.revocations++;
	if (text != NULL && (e = map_find(&access_tokens, text)) != NULL)
		((struct token *)e->p)->revoked = true;
	else if (text != NULL && (e = map_find(&refresh_tokens, text)) != NULL)
		((struct token *)e->p)->family->revoked = true;
	answer_text(c, 200, "application/json", "{}");
}
