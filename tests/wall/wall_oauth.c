/* Tokens: single-use rotating refresh tokens, the whole family revoked on a replay. */
#include <stdio.h>

#include "wall.h"

struct family {
	bool		 revoked, other;
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
	struct token	*t = calloc(1, sizeof(*t));

	if (t == NULL)
		die("no token");
	random_text(text, TOKEN_TEXT, prefix);
	t->family = family;
	t->serial = ++serial;
	map_make(prefix[0] == 'a' ? &access_tokens : &refresh_tokens, text)->p = t;
	seen_secret(NULL, text);
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

struct family *
family_new(bool other, const struct issue *i)
{
	struct family	*f = calloc(1, sizeof(*f));

	if (f == NULL)
		die("no memory");
	f->other = other;
	f->client_id = dup_or(i->client_id, "test-client");
	f->client_secret = dup_or(i->client_secret, NULL);
	f->scope = dup_or(i->scope, "mcp");
	f->resource = dup_or(i->resource, NULL);
	return f;
}

void
family_revoke(struct family *f)
{
	if (!f->revoked)
		counts.revoked_families++;
	f->revoked = true;
}

cJSON *
oauth_issue(const struct issue *given)
{
	struct issue	 i = *given;
	struct family	*f;
	char		 text[TOKEN_TEXT], url[128];
	cJSON		*j = cJSON_CreateObject();
	int64_t		 lifetime = i.lifetime >= 0 ? i.lifetime : wall.set.lifetime;

	snprintf(url, sizeof(url), "%s/mcp", wall.origin);
	if (i.resource == NULL)
		i.resource = url;
	f = family_new(false, &i);
	access_new(f, lifetime, text);
	cJSON_AddStringToObject(j, "access_token", text);
	if (i.renewable) {
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

bool
oauth_scoped(const char *text, const char *scope)
{
	struct entry	*e = map_find(&access_tokens, text);

	return e != NULL && scope_has(((struct token *)e->p)->family->scope, scope);
}

static bool
same(const char *a, const char *b)
{
	return a == NULL || b == NULL ? a == b : strcmp(a, b) == 0;
}

/* A client that was never registered nor configured is what its tokens were issued to. */
static bool
client_good(const struct conn *c, const struct family *f)
{
	struct credentials	 k;
	struct client		*client;
	bool			 good;

	credentials_read(c, &k);
	if (client_was(c, f->client_id))
		good = same(k.id, f->client_id) && (client = client_find(c, k.id)) != NULL &&
		    client_authentic(c, &k, client);
	else
		good = same(k.id, f->client_id) && same(k.secret, f->client_secret);
	credentials_free(&k);
	return good;
}

static bool
resource_good(const struct conn *c, const struct family *f)
{
	_cleanup_(freep) char	*resource = form_get(c->req.body.p, c->req.body.len, "resource");

	return !wall.set.check_resource || same(resource, f->resource);
}

void
tokens_grant(struct conn *c, struct buf *out, struct family *f, bool renewable)
{
	const char	*raw = cJSON_GetStringValue(fault_get(c->fault, "expires_in_raw"));
	char		 text[TOKEN_TEXT];

	counts.granted++;
	access_new(f, wall.set.lifetime, text);
	seen_owned(f->other, text);
	buf_addf(out, "{\"access_token\":\"%s\",\"token_type\":\"Bearer\"", text);
	if (raw == NULL)
		raw = wall.set.expires_in_raw;
	if (raw == NULL)
		buf_addf(out, ",\"expires_in\":%g", (double)wall.set.lifetime / 1000);
	else if (raw[0] != '\0')
		buf_addf(out, ",\"expires_in\":%s", raw);
	if (renewable) {
		token_new(f, "rt_", text);
		seen_owned(f->other, text);
		if (!wall.set.omit_refresh)
			buf_addf(out, ",\"refresh_token\":\"%s\"", text);
	}
	if (!option_is("omit_scope"))
		buf_addf(out, ",\"scope\":\"%s\"", f->scope);
	buf_adds(out, "}");
}

int
refresh_grant(struct conn *c, const struct client *client _unused_, struct buf *out)
{
	struct buf		*form = &c->req.body;
	_cleanup_(freep) char	*text = form_get(form->p, form->len, "refresh_token");
	_cleanup_(freep) char	*scope = form_get(form->p, form->len, "scope");
	struct entry		*e;
	struct token		*t;

	if (scope != NULL)
		counts.with_scope++;
	if (text == NULL || (e = map_find(&refresh_tokens, text)) == NULL)
		return refuse(out, 400, "invalid_grant");
	t = e->p;
	if (t->family->other != c->other)
		return refuse(out, 400, "invalid_grant");
	if (!client_good(c, t->family)) {
		counts.bad_client++;
		return refuse(out, 401, "invalid_client");
	}
	if (t->spent) {
		counts.replays++;
		if (wall.set.revoke_on_replay)
			family_revoke(t->family);
	}
	if (t->spent || t->revoked || t->family->revoked || t->serial <= revoked_until)
		return refuse(out, 400, "invalid_grant");
	if (!resource_good(c, t->family)) {
		counts.bad_resource++;
		return refuse(out, 400, "invalid_target");
	}
	t->spent = wall.set.rotate;
	tokens_grant(c, out, t->family, wall.set.rotate);
	return 200;
}

static void
revoke(struct conn *c)
{
	_cleanup_(freep) char	*text = form_get(c->req.body.p, c->req.body.len, "token");
	struct entry		*e;

	if (fault_commit(c))
		return;
	seen_latest("revoke", form_json(c->req.body.p, c->req.body.len));
	if (text != NULL && (e = map_find(&access_tokens, text)) != NULL)
		((struct token *)e->p)->revoked = true;
	else if (text != NULL && (e = map_find(&refresh_tokens, text)) != NULL)
		((struct token *)e->p)->family->revoked = true;
	answer_text(c, 200, "application/json", "{}");
}

/* RFC 7009. */
void
oauth_revoke(struct conn *c)
{
	counts.revocations++;
	fault_meet(c, FAULT_REVOKE, revoke);
}
