#include "credential_impl.h"

static const char *
login_word(const struct credential *c, const struct now *now)
{
	if (c->machine.state == REFRESH_VOID ||
	    (c->machine.state == REFRESH_LOADING && c->cur == NULL))
		return "loading";
	if (c->machine.unreadable && c->cur == NULL)
		return "store_fault";
	return refresh_login_required(&c->machine, now) ? "login_required" : "logged_in";
}

bool
credential_logged_in(const struct credential *c)
{
	struct now now = loop_now(c->loop);

	return strcmp(login_word(c, &now), "logged_in") == 0;
}

static const char *
grant_word(const struct credential *c)
{
	if (c->bearer != NULL)
		return NULL;
	switch (c->config->oauth.grant) {
	case CONFIG_AUTHORIZATION_CODE:
		return "authorization_code";
	case CONFIG_CLIENT_CREDENTIALS:
		return "client_credentials";
	case CONFIG_DEVICE_CODE:
		return "device_code";
	case CONFIG_ID_JAG:
		return "id_jag";
	}
	return NULL;
}

/* A8: whose client id it is. */
static const char *
client_word(const struct credential *c)
{
	const char *id = c->cur != NULL ? c->cur->client_id : NULL;
	const char *document = c->config->oauth.client_metadata_url;

	if (id == NULL)
		return c->config->oauth.client_id != NULL ? "configured" : NULL;
	if (c->cur->registered)
		return "registered";
	return document != NULL && strcmp(document, id) == 0 ? "metadata_document" : "configured";
}

static int
add_string(struct buf *out, const char *key, const char *value)
{
	if (buf_addf(out, ",\"%s\":", key) < 0)
		return -ENOMEM;
	return value != NULL ? buf_addjson(out, value, strlen(value)) : buf_adds(out, "null");
}

static int
add_ms(struct buf *out, const char *key, int64_t ms)
{
	if (ms == EXPIRES_UNKNOWN || ms <= 0)
		return buf_addf(out, ",\"%s\":null", key);
	return buf_addf(out, ",\"%s\":%lld", key, (long long)(ms / SEC));
}

/* Boot ms, rounded up. */
static long long
seconds_until(int64_t at, const struct now *now)
{
	return at > now->boot ? (at - now->boot + SEC - 1) / SEC : 0;
}

static int
add_account(const struct credential *c, struct buf *out)
{
	int e = 0;

	e |= add_string(out, "grant", grant_word(c));
	e |= add_string(out, "issuer", c->cur != NULL ? c->cur->issuer : NULL);
	e |= add_string(out, "client", c->bearer == NULL ? client_word(c) : NULL);
	e |= add_string(out, "scope", c->cur != NULL ? c->cur->scope : NULL);
	e |= add_string(out, "needed_scope", c->challenge.scope);
	return e;
}

int
credential_status(struct credential *c, struct buf *out)
{
	const struct refresh *m = &c->machine;
	struct now now = loop_now(c->loop);
	int e = 0;

	e |= buf_adds(out, "{\"state\":");
	e |= buf_addf(out, "\"%s\"", login_word(c, &now));
	e |= add_string(out, "machine", refresh_state_name(m->state));
	e |= buf_addf(out, ",\"generation\":%llu,\"proven\":%s,\"renewable\":%s",
	    (unsigned long long)m->generation, m->proven ? "true" : "false",
	    m->cur.renewable ? "true" : "false");
	e |= add_ms(out, "expires_at", c->cur != NULL ? c->cur->expires_at : 0);
	e |= add_account(c, out);
	e |= add_ms(out, "refreshed_at", c->refreshed_at);
	e |= add_string(out, "last_result", c->last_result[0] != '\0' ? c->last_result : NULL);
	e |= add_string(out, "last_error", c->last_error[0] != '\0' ? c->last_error : NULL);
	e |= buf_addf(out, ",\"token_requests\":%llu,\"refreshes\":%llu,\"adoptions\":%llu",
	    (unsigned long long)c->requests, (unsigned long long)c->refreshes,
	    (unsigned long long)c->adoptions);
	e |= buf_addf(out, ",\"unpersisted\":%s,\"breaker\":\"%s\"",
	    m->unpersisted ? "true" : "false", m->breaker_delay != 0 ? "open" : "closed");
	e |= buf_addf(out, ",\"probe_in\":%lld", seconds_until(m->breaker_until, &now));
	e |= buf_addf(out, ",\"held\":%u", c->nheld);
	e |= buf_addf(out, ",\"retry_in\":%lld", seconds_until(m->retry_at, &now));
	e |= add_string(out, "trouble", c->why[0] != '\0' ? c->why : NULL);
	e |= buf_adds(out, "}");
	return e < 0 ? -ENOMEM : 0;
}
