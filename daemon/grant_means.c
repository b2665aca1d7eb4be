#include <stdio.h>
#include <sys/random.h>

#include "grant_impl.h"
#include "http1.h"
#include "json.h"
#include "jwt.h"
#include "log.h"
#include "token_file.h"

#define COMMAND_TIME	(30 * SEC)	/* below TOKEN_WAIT: something is left for the request */
#define SECRET_BYTES	(16 * KIB)	/* a secret is a line, not a file */
#define JAG_MARGIN	(5 * SEC)	/* the second leg should still find it live */
#define JAG_TYPE	"urn:ietf:params:oauth:token-type:id-jag"
#define ID_TOKEN_TYPE	"urn:ietf:params:oauth:token-type:id_token"

/* --- who we are --- */

/* A19, A20: nobody has logged in, so the administrator's word is the one that counts. */
static bool
is_by_config(const struct grant *g)
{
	return (g->kind == GRANT_CREDENTIALS || g->kind == GRANT_ID_JAG) &&
	    g->config->oauth.client_id != NULL;
}

static const char *
client_id(const struct grant *g)
{
	const char *configured = g->config->oauth.client_id, *stored = g->rec->client_id;

	return stored != NULL && !is_by_config(g) ? stored : configured;
}

/* What the config knows belongs to the client that the config means, and to no other (A9). */
static bool
is_configured_client(const struct grant *g)
{
	const char *configured = g->config->oauth.client_id, *id = client_id(g);

	return !g->rec->registered && (configured == NULL || id == NULL ||
	    strcmp(configured, id) == 0);
}

static const char *
client_secret(const struct grant *g)
{
	if (g->rec->client_secret != NULL && !is_by_config(g))
		return g->rec->client_secret;
	if (!is_configured_client(g))
		return NULL;
	return g->config->oauth.client_secret != NULL ? g->config->oauth.client_secret :
	    g->memory->secret;
}

static const char *
auth_method(const struct grant *g)
{
	const struct config_upstream *u = g->config;

	if (g->rec->auth_method != NULL && !is_by_config(g))
		return g->rec->auth_method;
	if (!is_configured_client(g))
		return NULL;
	if (u->oauth.token_endpoint_auth_method == NULL && client_secret(g) == NULL &&
	    u->oauth.client_secret_command == NULL && u->oauth.private_key != NULL)
		return "private_key_jwt";
	return u->oauth.token_endpoint_auth_method;
}

static bool
method_is(const struct grant *g, const char *name)
{
	const char *method = auth_method(g);

	return method != NULL && strcmp(method, name) == 0;
}

/* jti: 128 bits in hex. */
static int
random_id(char out[33])
{
	unsigned char b[16];

	if (getrandom(b, sizeof(b), 0) != (ssize_t)sizeof(b))
		return -EIO;
	for (size_t i = 0; i < sizeof(b); i++)
		snprintf(out + 2 * i, 3, "%02x", b[i]);
	return 0;
}

/* RFC 7523 section 3.  Signing takes about a millisecond, rarely: it is done in the loop. */
static bool
sign(struct grant *g, struct buf *out)
{
	const struct config_upstream *u = g->config;
	const char *why = "oauth.privateKeyFile is not configured or cannot be read";
	struct jwt_key *key = NULL;
	char id[33];
	struct jwt_claims claims = { .issuer = client_id(g), .subject = client_id(g),
	    .audience = grant_audience(g), .id = id, .key_id = u->oauth.private_key_id,
	    .now = loop_now(g->loop).wall, .lifetime = ASSERTION_LIFE };
	int e = -EINVAL;

	if (u->oauth.private_key != NULL)
		key = jwt_key_parse(u->oauth.private_key, strlen(u->oauth.private_key), &why);
	if (key != NULL && claims.issuer != NULL && random_id(id) == 0)
		e = jwt_sign(key, &claims, out);
	if (e < 0 && key != NULL)
		why = claims.issuer == NULL ? "oauth.clientId is not configured" :
		    "the private key cannot sign";
	jwt_key_free(key);
	if (e < 0)
		grant_end(g, TOKEN_REFUSED, "private_key_jwt: %s", why);
	return e == 0;
}

bool
grant_client(struct grant *g, struct buf *assertion, struct oauth_client *ret)
{
	*ret = (struct oauth_client){ .id = client_id(g), .secret = client_secret(g),
	    .method = auth_method(g) };
	if (!method_is(g, "private_key_jwt"))
		return true;
	if (!sign(g, assertion))
		return false;
	ret->assertion = assertion->p;
	return true;
}

/* --- the secret command --- */

bool
grant_wants_secret(const struct grant *g)
{
	return g->config->oauth.client_secret_command != NULL && client_secret(g) == NULL &&
	    is_configured_client(g) && !method_is(g, "none") && !method_is(g, "private_key_jwt");
}

/* The text without the blanks around it, if it may stand in a header and a form. */
static char *
one_line(const char *p, size_t n)
{
	while (n > 0 && strchr(" \t\r\n", p[n - 1]) != NULL)
		n--;
	while (n > 0 && strchr(" \t\r\n", p[0]) != NULL) {
		p++;
		n--;
	}
	for (size_t i = 0; i < n; i++)
		if ((unsigned char)p[i] < 0x20 || p[i] == 0x7f)
			return NULL;
	return n > 0 ? strndup(p, n) : NULL;
}

static void
on_secret(void *arg, struct spawn_reply *r)
{
	struct grant *g = arg;
	const char *why = r->why;

	g->spawn = NULL;
	if (why[0] == '\0') {
		g->memory->secret = one_line(r->out.p, r->out.len);
		why = "it did not print one line of text";
	}
	if (g->memory->secret != NULL)
		grant_proceed(g);
	else
		grant_end(g, TOKEN_TRANSIENT, "clientSecretCommand: %s", why);
}

void
grant_run_command(struct grant *g)
{
	g->spawn = spawn_start(g->loop, g->config->oauth.client_secret_command, SECRET_BYTES,
	    MIN(COMMAND_TIME, grant_left(g)), on_secret, g);
	if (g->spawn == NULL)
		grant_end(g, TOKEN_TRANSIENT, "out of memory");
}

/* --- the subject token --- */

/* What the worker needs, and nothing that the loop may touch meanwhile. */
struct subject_job {
	struct grant	*grant;		/* NULL: it was cancelled */
	char		*path;
	struct buf	 text;
	int		 error;
};

static void
read_run(void *arg)
{
	struct subject_job *job = arg;

	job->error = token_file_read(job->path, &job->text);
}

static void
read_done(void *arg)
{
	struct subject_job *job = arg;
	struct grant *g = job->grant;

	if (g != NULL) {
		g->job = NULL;
		if (job->error == 0)
			g->subject = one_line(job->text.p, job->text.len);
		if (g->subject != NULL)
			grant_proceed(g);
		else
			grant_end(g, TOKEN_TRANSIENT, "oauth.idp.subjectTokenFile %.120s: %s",
			    job->path, job->error != 0 ? strerror(job->error) :
			    "it does not hold one line with a token");
	}
	buf_free(&job->text);
	free(job->path);
	free(job);
}

void
grant_read_subject(struct grant *g)
{
	struct subject_job *job;

	if (g->config->oauth.idp.subject_token_file == NULL) {
		grant_end(g, TOKEN_REFUSED, "id_jag: configure oauth.idp.subjectTokenFile");
		return;
	}
	job = calloc(1, sizeof(*job));
	if (job == NULL || (job->path = strdup(g->config->oauth.idp.subject_token_file)) == NULL)
		abort();
	job->grant = g;
	job->text = BUF_SECRET(TOKEN_BYTES);
	g->job = job;
	if (worker_give(g->worker, read_run, read_done, job) < 0)
		abort();
}

void
grant_forget_subject(struct grant *g)
{
	if (g->job != NULL)
		g->job->grant = NULL;
}

/* --- the first leg --- */

bool
grant_has_jag(const struct grant *g)
{
	const struct grant_memory *m = g->memory;

	if (m->jag == NULL || g->exchanged)
		return m->jag != NULL;
	return m->jag_expires_at != EXPIRES_UNKNOWN &&
	    m->jag_expires_at - JAG_MARGIN > loop_now(g->loop).wall &&
	    strcmp(m->jag_audience, grant_audience(g)) == 0;
}

void
grant_drop_jag(struct grant *g)
{
	struct grant_memory *m = g->memory;

	secret_free(m->jag);
	free(m->jag_audience);
	m->jag = m->jag_audience = NULL;
	m->jag_expires_at = 0;
}

/*
 * RFC 8693 section 2.2.1: the ID-JAG stands in access_token, but is none
 * (token_type N_A).  Its own `exp` counts, else expires_in.  NULL or words.
 */
static const char *
take_jag(struct grant *g, const struct fetch_reply *r)
{
	struct grant_memory *m = g->memory;
	cJSON *doc = json_parse(r->body.p, r->body.len, NULL);
	const char *jag = json_string(doc, "access_token");
	const char *type = json_string(doc, "issued_token_type");
	const char *why = NULL;
	int64_t lifetime;
	bool odd;

	if (jag == NULL)
		why = "its answer holds no token";
	else if (type == NULL || strcmp(type, JAG_TYPE) != 0)
		why = "it issued something else than an ID-JAG";
	else if (strlen(jag) > (size_t)TOKEN_BYTES || !http1_is_value(jag, strlen(jag)))
		why = "its ID-JAG is too large or not printable";
	if (why == NULL) {
		grant_drop_jag(g);
		lifetime = token_lifetime(json_member(doc, "expires_in"), &odd);
		m->jag = strdup(jag);
		m->jag_audience = strdup(grant_audience(g));
		m->jag_expires_at = jwt_expires_at(jag, strlen(jag));
		if (m->jag_expires_at == EXPIRES_UNKNOWN && lifetime > 0)
			m->jag_expires_at = loop_now(g->loop).wall + lifetime;
		if (m->jag == NULL || m->jag_audience == NULL)
			abort();
	}
	cJSON_Delete(doc);
	return why;
}

/*
 * The subject token is renewed by somebody else, at any time: its refusal is
 * asked again after a short while.  One of ourselves only a person can mend.
 */
static void
exchange_refused(struct grant *g, const struct fetch_reply *r)
{
	struct token_answer a = { 0 };
	enum token_class class;

	class = token_classify(r->status, r->body.p, r->body.len, 0, &a);
	if (r->status / 100 == 3)
		grant_end(g, TOKEN_REFUSED, "identity provider: it redirects, which is not "
		    "followed (status %d): mend oauth.idp.tokenEndpoint", r->status);
	else
		grant_end(g, class == TOKEN_REFUSED ? TOKEN_REFUSED : TOKEN_TRANSIENT,
		    "identity provider: refused (status %d%s%s)%s", r->status,
		    a.error[0] != '\0' ? ", " : "", a.error, class == TOKEN_DEAD ?
		    ": is the token in oauth.idp.subjectTokenFile still valid?" : "");
	token_free(&a);
}

static void
on_exchanged(void *arg, struct fetch_reply *r)
{
	struct grant *g = arg;
	const char *why;

	g->fetch = NULL;
	g->reply.status = r->status;
	g->reply.retry_after = r->retry_after;
	if (r->outcome != FETCH_ANSWER) {
		grant_end(g, TOKEN_TRANSIENT, "identity provider: %s", r->why);
		return;
	}
	if (r->status / 100 != 2) {
		exchange_refused(g, r);
		return;
	}
	why = take_jag(g, r);
	if (why != NULL) {
		grant_end(g, TOKEN_REFUSED, "identity provider: %s", why);
		return;
	}
	g->exchanged = true;
	grant_proceed(g);
}

/* Where the identity provider exchanges tokens: read anew for each ID-JAG. */
static void
on_idp(void *arg, struct discover_reply *r)
{
	struct grant *g = arg;

	g->discover = NULL;
	if (!r->ok) {
		grant_end(g, TOKEN_TRANSIENT, "identity provider: %s", r->why);
		return;
	}
	g->idp_endpoint = strdup(r->result->token_endpoint);
	if (g->idp_endpoint == NULL)
		abort();	/* a URL */
	grant_proceed(g);
}

static void
find_idp(struct grant *g)
{
	g->discover = discover_start(g->connector, &(struct discover_request){
	    .config = g->config,
	    .server = g->config->oauth.idp.issuer,
	    .timeout_ms = MIN(grant_left(g), DISCOVERY_WAIT),
	    .done = on_idp,
	    .arg = g,
	});
	if (g->discover == NULL)
		grant_end(g, TOKEN_TRANSIENT, "out of memory");
}

void
grant_exchange(struct grant *g)
{
	_cleanup_(oauth_request_free) struct oauth_request form = OAUTH_REQUEST_INIT;
	const struct config_upstream *u = g->config;
	struct oauth_client us = { .id = u->oauth.idp.client_id,
	    .secret = u->oauth.idp.client_secret };
	struct way way = way_of(u);
	const char *issuer = g->rec->issuer != NULL ? g->rec->issuer : u->oauth.issuer;
	const char *type = u->oauth.idp.subject_token_type;
	const char *url = u->oauth.idp.token_endpoint != NULL ? u->oauth.idp.token_endpoint :
	    g->idp_endpoint;

	if (url == NULL && u->oauth.idp.issuer != NULL)
		find_idp(g);
	else if (url == NULL)
		grant_end(g, TOKEN_REFUSED, "id_jag: configure oauth.idp.issuer, or its "
		    "oauth.idp.tokenEndpoint");
	else if (issuer == NULL)
		grant_end(g, TOKEN_REFUSED, "id_jag: the server names no authorization server: "
		    "configure oauth.issuer");
	else if (oauth_exchange_request(&form, &us, g->subject, type != NULL ? type : ID_TOKEN_TYPE,
	    issuer, grant_resource(g), g->rec->scope) < 0)
		grant_end(g, TOKEN_REFUSED, "id_jag: no request to the identity provider can be "
		    "made: something in oauth.idp is missing");
	else {
		way.cert_file = way.key_file = NULL;	/* they are for the upstream and its server */
		(void)grant_send(g, url, &way, false, &form, on_exchanged);
	}
}
