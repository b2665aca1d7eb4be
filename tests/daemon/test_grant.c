/*
 * daemon/grant: one token request of every grant, its means and its failures
 * (WIRE A6, A9, A14, A15, A19, A20; contract C9, D, H4).
 */
#include <sys/stat.h>

#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <unistd.h>

#include <check.h>
#include <curl/curl.h>
#include <openssl/evp.h>
#include <openssl/pem.h>

#include "base64.h"
#include "grant.h"
#include "json.h"
#include "scripted.h"

#define TEXT(s)		({ static char text_[] = s; text_; })
#define OK_TOKEN	"{\"access_token\":\"at-1\",\"token_type\":\"Bearer\",\"expires_in\":600," \
			"\"refresh_token\":\"rt-2\",\"scope\":\"read\"}"
#define JAG_ANSWER(jag)	"{\"access_token\":\"" jag "\",\"issued_token_type\":" \
			"\"urn:ietf:params:oauth:token-type:id-jag\",\"token_type\":\"N_A\",\"expires_in\":300}"

/* --- the servers: what is asked at a path, and what is answered there --- */

static struct desk {
	const char	*at;		/* start of the request line */
	const char	*answers[4];	/* status, blank, body; the last one for all that follow */
	int		 asked;
	char		 got[4][8192];
} desks[6];
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct server *server;

static const char *
next_answer(struct desk *d)
{
	const char *answer = "";

	for (int i = 0; i <= d->asked && i < (int)nitems(d->answers) && d->answers[i] != NULL; i++)
		answer = d->answers[i];
	return answer;
}

static void
say(struct peer *p, const char *answer)
{
	const char *body = answer + MIN(strlen(answer), 4);	/* behind the status */
	char head[200];

	if (*answer == '\0') {			/* silence, or a reset */
		peer_wait_end(p);
		return;
	}
	snprintf(head, sizeof(head), "HTTP/1.1 %.3s X\r\nContent-Length: %zu\r\n%s\r\n", answer,
	    strlen(body), strncmp(answer, "302", 3) == 0 ? "Location: /elsewhere\r\n" : "");
	peer_say(p, head);
	peer_say(p, body);
}

static void
script(struct peer *p, _unused_ int nth)
{
	const char *answer = "404 ";
	char text[8192];

	if (!peer_request(p, text, sizeof(text)))
		return;
	pthread_mutex_lock(&lock);
	for (struct desk *d = desks; d < desks + nitems(desks); d++) {
		if (d->at == NULL || strncmp(text, d->at, strlen(d->at)) != 0)
			continue;
		answer = next_answer(d);
		if (d->asked < (int)nitems(d->got))
			memcpy(d->got[d->asked], text, strlen(text) + 1);
		d->asked++;
		break;
	}
	pthread_mutex_unlock(&lock);
	say(p, answer);
}

/* The body of the n-th request at a desk. */
static const char *
form(int desk, int nth)
{
	const char *body = strstr(desks[desk].got[nth], "\r\n\r\n");

	ck_assert_int_gt(desks[desk].asked, nth);
	ck_assert_ptr_nonnull(body);
	return body + 4;
}

/* The decoded value of a field of that form, "" if it is not there; static. */
static const char *
field(int desk, int nth, const char *key)
{
	static char out[4][8192];
	static int turn;
	char *o = out[turn++ % 4], name[64];
	const char *p;

	*o = '\0';
	snprintf(name, sizeof(name), "&%s=", key);
	p = form(desk, nth);
	if (strncmp(p, name + 1, strlen(name + 1)) == 0)
		p += strlen(name + 1);
	else if ((p = strstr(p, name)) != NULL)
		p += strlen(name);
	else
		return o;
	for (char *q = o; ; p++) {
		unsigned hex;

		*q = '\0';
		if (*p == '\0' || *p == '&')
			return o;
		if (*p == '%' && sscanf(p + 1, "%2x", &hex) == 1) {
			*q++ = (char)hex;
			p += 2;
		} else
			*q++ = *p == '+' ? ' ' : *p;
	}
}

/* --- the one who asks --- */

static struct loop *loop;
static struct connector *connector;
static struct worker *worker;
static struct config_upstream config;
static struct record rec;
static struct grant_memory memory;
static char dir[] = "/tmp/mcp-authd-grant-XXXXXX";

static struct {
	bool		 done;
	enum token_class class;
	struct token_answer answer;
	struct record	*rec;
	int		 status;
	int64_t		 retry_after;
	char		 why[240];
} got;
static struct grant *running;

static void
forget(void)
{
	token_free(&got.answer);
	record_free(got.rec);
	memset(&got, 0, sizeof(got));
}

static void
on_done(_unused_ void *arg, struct grant_reply *r)
{
	ck_assert(!got.done);
	got.done = true;
	got.class = r->class;
	got.answer = r->answer;
	memset(&r->answer, 0, sizeof(r->answer));
	got.rec = r->rec;
	r->rec = NULL;
	got.status = r->status;
	got.retry_after = r->retry_after;
	snprintf(got.why, sizeof(got.why), "%s", r->why);
	ck_assert((r->class == TOKEN_OK) == (r->why[0] == '\0'));
	grant_cancel(running);		/* means nothing any more */
	running = NULL;
	loop_stop(loop);
}

static struct grant_request
wish(enum grant_kind kind)
{
	return (struct grant_request){ .kind = kind, .config = &config, .rec = &rec,
	    .worker = worker, .memory = &memory, .timeout_ms = 5 * SEC };
}

static void
ask(const struct grant_request *r)
{
	forget();
	running = grant_start(connector, r, on_done, NULL);
	ck_assert_ptr_nonnull(running);
	ck_assert(!got.done);
	run_until(loop, &got.done);
	run_for(loop, 1);
}

static void
ask_for(enum grant_kind kind)
{
	struct grant_request r = wish(kind);

	ask(&r);
}

static void
desk(int i, const char *at, const char *first, const char *then)
{
	desks[i].at = at;
	desks[i].answers[0] = first;
	desks[i].answers[1] = then;
}

static char *
at(const char *path)
{
	return strdup(server_url(server, path));
}

static const char *
in_dir(const char *name)
{
	static char path[2][128];
	static int turn;
	char *p = path[turn++ % 2];

	snprintf(p, sizeof(path[0]), "%s/%s", dir, name);
	return p;
}

static void
put(const char *name, const char *text, int mode)
{
	FILE *f = fopen(in_dir(name), "w");

	ck_assert_ptr_nonnull(f);
	fputs(text, f);
	fclose(f);
	chmod(in_dir(name), mode);
}

static void
setup(void)
{
	char *url;

	signal(SIGPIPE, SIG_IGN);
	curl_global_init(CURL_GLOBAL_DEFAULT);
	ck_assert_ptr_nonnull(mkdtemp(dir));
	loop = loop_new();
	connector = connector_new(loop);
	worker = worker_new(loop);
	server = server_start(PLAIN, script);
	url = at("/mcp");
	config.name = strdup("up");
	ck_assert_int_eq(url_parse(url, strlen(url), &config.url), 0);
	free(url);
	rec.issuer = strdup("https://as.example");
	rec.token_endpoint = at("/token");
	rec.client_id = strdup("the client");
	rec.resource = strdup("https://mcp.example/mcp");
	rec.access_token = strdup("at-0");
	rec.refresh_token = strdup("rt-1");
	desk(0, "POST /token ", "200 " OK_TOKEN, NULL);
}

static void
teardown(void)
{
	char command[200];

	forget();
	run_for(loop, 0);
	server_stop(server);
	grant_memory_clear(&memory);
	worker_free(worker);
	connector_free(connector);
	loop_free(loop);
	curl_global_cleanup();
	url_free(&config.url);
	free(config.name);
	free(rec.issuer);
	free(rec.token_endpoint);
	free(rec.client_id);
	free(rec.client_secret);
	free(rec.auth_method);
	free(rec.resource);
	free(rec.scope);
	free(rec.access_token);
	free(rec.refresh_token);
	free(rec.revocation_endpoint);
	snprintf(command, sizeof(command), "rm -r %s", dir);
	ck_assert_int_eq(system(command), 0);
}

/* --- the grants that a person began --- */

/* C9, A6: the same resource as at login, no scope. */
START_TEST(refresh)
{
	rec.scope = strdup("read write");
	ask_for(GRANT_REFRESH);
	ck_assert_int_eq(got.class, TOKEN_OK);
	ck_assert_str_eq(got.answer.access_token, "at-1");
	ck_assert_str_eq(got.answer.refresh_token, "rt-2");
	ck_assert_str_eq(got.rec->refresh_token, "rt-1");
	ck_assert_str_eq(form(0, 0), "grant_type=refresh_token&refresh_token=rt-1"
	    "&resource=https%3A%2F%2Fmcp.example%2Fmcp&client_id=the+client");
	ck_assert_ptr_null(strcasestr(desks[0].got[0], "\r\nAuthorization:"));
}
END_TEST

START_TEST(resource_by_config)
{
	config.oauth.resource = TEXT("https://other.example");
	ask_for(GRANT_REFRESH);
	ck_assert_str_eq(field(0, 0, "resource"), "https://other.example");
	config.oauth.resource_omit = true;
	ask_for(GRANT_REFRESH);
	ck_assert_ptr_null(strstr(form(0, 1), "resource="));
}
END_TEST

START_TEST(code)
{
	struct grant_request r = wish(GRANT_CODE);

	r.code = "c-1";
	r.redirect_uri = "http://127.0.0.1:1/cb";
	r.verifier = "v-1";
	ask(&r);
	ck_assert_int_eq(got.class, TOKEN_OK);
	ck_assert_str_eq(field(0, 0, "grant_type"), "authorization_code");
	ck_assert_str_eq(field(0, 0, "code"), "c-1");
	ck_assert_str_eq(field(0, 0, "redirect_uri"), "http://127.0.0.1:1/cb");
	ck_assert_str_eq(field(0, 0, "code_verifier"), "v-1");
	ck_assert_str_eq(field(0, 0, "resource"), "https://mcp.example/mcp");
}
END_TEST

/* A21: each poll is one request, and "not yet" is told from a refusal by its word. */
START_TEST(device)
{
	struct grant_request r = wish(GRANT_DEVICE);

	desk(0, "POST /token ", "400 {\"error\":\"authorization_pending\"}", "200 " OK_TOKEN);
	r.device_code = "d-1";
	ask(&r);
	ck_assert_int_ne(got.class, TOKEN_OK);
	ck_assert_str_eq(got.answer.error, "authorization_pending");
	ask(&r);
	ck_assert_int_eq(got.class, TOKEN_OK);
	ck_assert_str_eq(field(0, 1, "device_code"), "d-1");
}
END_TEST

/* H4: the refresh token, else the access token; 200 is the server's word for it. */
START_TEST(revocation)
{
	rec.revocation_endpoint = at("/revoke");
	desk(1, "POST /revoke ", "200 ", "400 {\"error\":\"unsupported_token_type\"}");
	ask_for(GRANT_REVOKE);
	ck_assert_int_eq(got.class, TOKEN_OK);
	ck_assert_str_eq(field(1, 0, "token"), "rt-1");
	ck_assert_str_eq(field(1, 0, "token_type_hint"), "refresh_token");
	free(rec.refresh_token);
	rec.refresh_token = NULL;
	ask_for(GRANT_REVOKE);
	ck_assert_int_ne(got.class, TOKEN_OK);
	ck_assert_str_eq(field(1, 1, "token"), "at-0");
	ck_assert_int_eq(desks[0].asked, 0);
	free(rec.revocation_endpoint);
	rec.revocation_endpoint = NULL;
	ask_for(GRANT_REVOKE);
	ck_assert_int_eq(got.class, TOKEN_REFUSED);
	ck_assert_int_eq(got.status, 0);
}
END_TEST

/* --- who we are --- */

/* A14: id and secret are form-encoded before they are Basic's user and password. */
START_TEST(secret_by_config)
{
	config.oauth.client_secret = TEXT("s:1");
	ask_for(GRANT_REFRESH);
	/* the+client:s%3A1 */
	ck_assert_ptr_nonnull(strstr(desks[0].got[0],
	    "\r\nAuthorization: Basic dGhlK2NsaWVudDpzJTNBMQ==\r\n"));
	ck_assert_ptr_null(strstr(form(0, 0), "client_"));
	config.oauth.token_endpoint_auth_method = TEXT("client_secret_post");
	ask_for(GRANT_REFRESH);
	ck_assert_str_eq(field(0, 1, "client_secret"), "s:1");
}
END_TEST

/* A9: what the config knows is never shown for a client that is another. */
START_TEST(secret_of_another_client)
{
	config.oauth.client_id = TEXT("configured");
	config.oauth.client_secret = TEXT("configured-secret");
	ask_for(GRANT_REFRESH);
	ck_assert_int_eq(got.class, TOKEN_OK);
	ck_assert_str_eq(field(0, 0, "client_id"), "the client");
	ck_assert_ptr_null(strcasestr(desks[0].got[0], "\r\nAuthorization:"));
	ck_assert_ptr_null(strstr(desks[0].got[0], "configured"));
	rec.registered = true;
	config.oauth.client_id = NULL;
	ask_for(GRANT_REFRESH);
	ck_assert_ptr_null(strcasestr(desks[0].got[1], "\r\nAuthorization:"));
	rec.registered = false;
}
END_TEST

static char *
pem_of(EVP_PKEY *key)
{
	BIO *b = BIO_new(BIO_s_mem());
	char *text, *copy;
	long n;

	ck_assert_int_eq(PEM_write_bio_PrivateKey(b, key, NULL, NULL, 0, NULL, NULL), 1);
	n = BIO_get_mem_data(b, &text);
	copy = strndup(text, (size_t)n);
	BIO_free(b);
	return copy;
}

/* r and s of RFC 7518 section 3.4 as OpenSSL wants them. */
static void
der_of(const struct buf *raw, struct buf *ret)
{
	ECDSA_SIG *sig = ECDSA_SIG_new();
	unsigned char *der = NULL;
	int n;

	ck_assert_uint_eq(raw->len, 64);
	ECDSA_SIG_set0(sig, BN_bin2bn((const unsigned char *)raw->p, 32, NULL),
	    BN_bin2bn((const unsigned char *)raw->p + 32, 32, NULL));
	n = i2d_ECDSA_SIG(sig, &der);
	buf_add(ret, der, (size_t)n);
	OPENSSL_free(der);
	ECDSA_SIG_free(sig);
}

/* The claims of a JWT whose signature is of that key. */
static cJSON *
verified(const char *jwt, EVP_PKEY *key, bool ec)
{
	_cleanup_(buf_free) struct buf claims = BUF_INIT(0), raw = BUF_INIT(0), der = BUF_INIT(0);
	const char *one = strchr(jwt, '.'), *two = one != NULL ? strchr(one + 1, '.') : NULL;
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	struct buf *sig = &raw;

	ck_assert_ptr_nonnull(two);
	ck_assert_int_eq(base64url_get(&claims, one + 1, two - one - 1), 0);
	ck_assert_int_eq(base64url_get(&raw, two + 1, strlen(two + 1)), 0);
	if (ec) {
		der_of(&raw, &der);
		sig = &der;
	}
	ck_assert_int_eq(EVP_DigestVerifyInit(ctx, NULL, EVP_sha256(), NULL, key), 1);
	ck_assert_int_eq(EVP_DigestVerify(ctx, (unsigned char *)sig->p, sig->len,
	    (const unsigned char *)jwt, two - jwt), 1);
	EVP_MD_CTX_free(ctx);
	return json_parse(claims.p, claims.len, NULL);
}

/* A14: signed with our key, for the issuer, with another jti each time. */
START_TEST(private_key_jwt)
{
	EVP_PKEY *key = _i ? EVP_EC_gen("P-256") : EVP_RSA_gen(2048);
	char jti[2][64];
	cJSON *claims;

	config.oauth.private_key = pem_of(key);
	config.oauth.token_endpoint_auth_method = TEXT("private_key_jwt");
	for (int i = 0; i < 2; i++) {
		ask_for(GRANT_REFRESH);
		ck_assert_int_eq(got.class, TOKEN_OK);
		ck_assert_str_eq(field(0, i, "client_assertion_type"),
		    "urn:ietf:params:oauth:client-assertion-type:jwt-bearer");
		claims = verified(field(0, i, "client_assertion"), key, _i == 1);
		ck_assert_str_eq(json_string(claims, "iss"), "the client");
		ck_assert_str_eq(json_string(claims, "sub"), "the client");
		ck_assert_str_eq(json_string(claims, "aud"), i == 0 ? "https://as.example" :
		    server_url(server, "/token"));
		ck_assert(cJSON_GetNumberValue(json_member(claims, "exp")) -
		    cJSON_GetNumberValue(json_member(claims, "iat")) == ASSERTION_LIFE / SEC);
		ck_assert_uint_eq(strlen(json_string(claims, "jti")), 32);
		snprintf(jti[i], sizeof(jti[i]), "%s", json_string(claims, "jti"));
		cJSON_Delete(claims);
		free(rec.issuer);		/* then the token endpoint is the audience */
		rec.issuer = NULL;
	}
	ck_assert_str_ne(jti[0], jti[1]);
	free(config.oauth.private_key);
	config.oauth.private_key = TEXT("-----BEGIN NONSENSE-----");
	ask_for(GRANT_REFRESH);
	ck_assert_int_eq(got.class, TOKEN_REFUSED);
	ck_assert_int_eq(desks[0].asked, 2);
	ck_assert_ptr_nonnull(strstr(got.why, "private_key_jwt"));
	config.oauth.private_key = NULL;
	EVP_PKEY_free(key);
}
END_TEST

/* --- the secret command --- */

static char shell[] = "/bin/sh", dash_c[] = "-c";
static char *command[] = { shell, dash_c, NULL, NULL };

static void
secret_command(const char *text)
{
	command[2] = (char *)text;
	config.oauth.client_secret_command = command;
}

/* Run once, kept, and asked again after an invalid_client. */
START_TEST(secret_by_command)
{
	char text[300];

	snprintf(text, sizeof(text), "echo x >>%s; echo ' s-9 '", in_dir("runs"));
	secret_command(text);
	desk(0, "POST /token ", "200 " OK_TOKEN, "200 " OK_TOKEN);
	desks[0].answers[2] = "401 {\"error\":\"invalid_client\"}";
	desks[0].answers[3] = "200 " OK_TOKEN;
	for (int i = 0; i < 4; i++) {
		struct stat st;

		ask_for(GRANT_REFRESH);
		ck_assert_int_eq(got.class, i == 2 ? TOKEN_REFUSED : TOKEN_OK);
		/* the+client:s-9 */
		ck_assert_ptr_nonnull(strstr(desks[0].got[i], "Basic dGhlK2NsaWVudDpzLTk=\r\n"));
		ck_assert((memory.secret == NULL) == (i == 2));
		ck_assert_int_eq(stat(in_dir("runs"), &st), 0);
		ck_assert_int_eq(st.st_size, i < 3 ? 2 : 4);
	}
}
END_TEST

static const struct {
	const char *command, *why;
} commands[] = {
	{ "echo secret; exit 3", "clientSecretCommand: " },
	{ "sleep 100", "clientSecretCommand: it took too long" },
	{ "printf 'a\\001b'", "clientSecretCommand: it did not print one line" },
	{ "printf 'a\\nb\\n'", "clientSecretCommand: it did not print one line" },
	{ "true", "clientSecretCommand: it did not print one line" },
	{ "yes", "clientSecretCommand: " },
};

/* Nothing is sent, nothing is kept, and the words hold nothing of what it printed. */
START_TEST(secret_command_fails)
{
	struct grant_request r = wish(GRANT_REFRESH);

	secret_command(commands[_i].command);
	r.timeout_ms = 500;
	ask(&r);
	ck_assert_int_eq(got.class, TOKEN_TRANSIENT);
	ck_assert_msg(strstr(got.why, commands[_i].why) == got.why, "%s", got.why);
	ck_assert_ptr_null(strstr(got.why, "secret;"));
	ck_assert_int_eq(desks[0].asked, 0);
	ck_assert_ptr_null(memory.secret);
}
END_TEST

/* --- grants that need no person --- */

/* A19: the config's client, the scope that it asks for, and no refresh token kept. */
START_TEST(client_credentials)
{
	config.oauth.client_id = TEXT("machine");
	config.oauth.client_secret = TEXT("s");
	config.oauth.scope = TEXT("a b");
	rec.auth_method = strdup("none");
	ask_for(GRANT_CREDENTIALS);
	ck_assert_int_eq(got.class, TOKEN_OK);
	ck_assert_str_eq(form(0, 0), "grant_type=client_credentials&scope=a+b"
	    "&resource=https%3A%2F%2Fmcp.example%2Fmcp");
	ck_assert_ptr_nonnull(strstr(desks[0].got[0], "Basic bWFjaGluZTpz\r\n"));
	ck_assert_ptr_null(got.answer.refresh_token);
	ck_assert_ptr_null(got.rec->refresh_token);
	ck_assert_str_eq(got.rec->client_id, "machine");
	ck_assert_str_eq(got.rec->scope, "a b");
	ck_assert_str_eq(got.rec->issuer, "https://as.example");
	ck_assert_ptr_null(got.rec->client_secret);
}
END_TEST

/* A11: what a 403 asked for is asked for, too. */
START_TEST(step_up)
{
	struct challenge ch = { .bearer = true, .error = TEXT("insufficient_scope"),
	    .scope = TEXT("b c") };
	struct grant_request r = wish(GRANT_CREDENTIALS);

	config.oauth.client_id = TEXT("machine");
	config.oauth.client_secret = TEXT("s");
	config.oauth.scope = TEXT("a b");
	r.challenge = &ch;
	ask(&r);
	ck_assert_str_eq(field(0, 0, "scope"), "a b c");
}
END_TEST

static char resource_document[300], server_document[600];

static void
metadata(void)
{
	snprintf(resource_document, sizeof(resource_document), "200 {\"resource\":\"%s\","
	    "\"authorization_servers\":[\"%s\"],\"scopes_supported\":[\"x\"]}",
	    config.url.text, server_url(server, ""));
	snprintf(server_document, sizeof(server_document), "200 {\"issuer\":\"%s\",",
	    server_url(server, ""));
	snprintf(server_document + strlen(server_document), 200, "\"token_endpoint\":\"%s\",",
	    server_url(server, "/token"));
	snprintf(server_document + strlen(server_document), 200, "\"revocation_endpoint\":\"%s\"}",
	    server_url(server, "/revoke"));
	desk(2, "GET /.well-known/oauth-protected-resource", resource_document, NULL);
	desk(3, "GET /.well-known/oauth-authorization-server", server_document, NULL);
	desk(4, "POST /mcp ", "401 ", NULL);
}

/* Nothing is stored: discovery first; the new record knows all that renewals and VERIFY need. */
START_TEST(first_token)
{
	struct grant_request r = wish(GRANT_CREDENTIALS);

	metadata();
	config.oauth.grant = CONFIG_CLIENT_CREDENTIALS;
	config.oauth.client_id = TEXT("machine");
	config.oauth.client_secret = TEXT("s");
	r.rec = NULL;
	ask(&r);
	ck_assert_msg(got.class == TOKEN_OK, "%s", got.why);
	ck_assert_str_eq(field(0, 0, "resource"), config.url.text);
	ck_assert_str_eq(field(0, 0, "scope"), "x");
	ck_assert_str_eq(got.rec->name, "up");
	ck_assert_str_eq(got.rec->url, config.url.text);
	ck_assert_str_eq(got.rec->issuer, server_url(server, ""));
	ck_assert_str_eq(got.rec->token_endpoint, server_url(server, "/token"));
	ck_assert_str_eq(got.rec->revocation_endpoint, server_url(server, "/revoke"));
	ck_assert_str_eq(got.rec->resource, config.url.text);
	ck_assert_str_eq(got.rec->client_id, "machine");
	ck_assert_ptr_nonnull(got.rec->resource_metadata);
}
END_TEST

/* ... and what cannot be found out is no request. */
START_TEST(nothing_discovered)
{
	struct grant_request r = wish(GRANT_CREDENTIALS);

	config.oauth.grant = CONFIG_CLIENT_CREDENTIALS;
	config.oauth.client_id = TEXT("machine");
	config.oauth.client_secret = TEXT("s");
	desk(1, "GET /", "500 ", NULL);
	desk(2, "POST /mcp", "401 ", NULL);
	r.rec = NULL;
	ask(&r);
	ck_assert_int_eq(got.class, TOKEN_TRANSIENT);
	ck_assert_int_eq(desks[0].asked, 0);
}
END_TEST

static const struct {
	const char *answer;
	enum token_class refresh, machine;
} answers[] = {
	{ "400 {\"error\":\"invalid_grant\"}", TOKEN_DEAD, TOKEN_REFUSED },
	{ "400 {\"error\":\"invalid_request\"}", TOKEN_STRIKE, TOKEN_REFUSED },
	{ "401 {\"error\":\"invalid_client\"}", TOKEN_REFUSED, TOKEN_REFUSED },
	{ "403 <html>", TOKEN_REFUSED, TOKEN_REFUSED },
	{ "302 {\"error\":\"invalid_grant\"}", TOKEN_REFUSED, TOKEN_REFUSED },
	{ "503 ", TOKEN_TRANSIENT, TOKEN_TRANSIENT },
	{ "500 ", TOKEN_UNKNOWN, TOKEN_TRANSIENT },
	{ "200 {\"access_token\":", TOKEN_UNKNOWN, TOKEN_TRANSIENT },
	{ "", TOKEN_UNKNOWN, TOKEN_TRANSIENT },
};

/* D; no redirect is followed (C9); for machines nothing is dead and nothing is unknown. */
START_TEST(wrong_answers)
{
	struct grant_request r = wish(GRANT_REFRESH);

	desk(0, "POST /token ", answers[_i].answer, NULL);
	desk(1, "POST /elsewhere", "200 " OK_TOKEN, NULL);
	desk(2, "GET /elsewhere", "200 " OK_TOKEN, NULL);
	r.timeout_ms = 300;
	ask(&r);
	ck_assert_int_eq(got.class, answers[_i].refresh);
	config.oauth.client_id = TEXT("machine");
	config.oauth.client_secret = TEXT("s");
	r.kind = GRANT_CREDENTIALS;
	ask(&r);
	ck_assert_int_eq(got.class, answers[_i].machine);
	ck_assert_int_eq(desks[0].asked, 2);
	ck_assert_int_eq(desks[1].asked + desks[2].asked, 0);
}
END_TEST

START_TEST(unsent)
{
	free(rec.token_endpoint);
	ck_assert_int_gt(asprintf(&rec.token_endpoint, "http://127.0.0.1:%d/token", closed_port()), 0);
	ask_for(GRANT_REFRESH);
	ck_assert_int_eq(got.class, TOKEN_TRANSIENT);
	free(rec.token_endpoint);
	rec.token_endpoint = strdup("http://as.example/token");	/* A15 */
	ask_for(GRANT_REFRESH);
	ck_assert_int_eq(got.class, TOKEN_REFUSED);
	ck_assert_ptr_nonnull(strstr(got.why, "https"));
	free(rec.token_endpoint);
	rec.token_endpoint = NULL;
	ask_for(GRANT_REFRESH);
	ck_assert_int_eq(got.class, TOKEN_REFUSED);
}
END_TEST

/* --- enterprise-managed authorization (A20) --- */

#define JAG_EXPIRED	"e30.eyJleHAiOjF9.x"		/* {"exp":1} */

static void
enterprise(const char *first, const char *then)
{
	config.oauth.grant = CONFIG_ID_JAG;
	config.oauth.client_id = TEXT("machine");
	config.oauth.client_secret = TEXT("s");
	config.oauth.idp.token_endpoint = at("/idp");
	config.oauth.idp.client_id = TEXT("at-idp");
	config.oauth.idp.client_secret = TEXT("idp-secret");
	config.oauth.idp.subject_token_file = strdup(in_dir("subject"));
	put("subject", "id-token\n", 0600);
	desk(1, "POST /idp ", first, then);
}

static void
enterprise_done(void)
{
	free(config.oauth.idp.token_endpoint);
	free(config.oauth.idp.subject_token_file);
}

/* Both legs, and the second alone while the ID-JAG lives. */
START_TEST(id_jag)
{
	enterprise("200 " JAG_ANSWER("jag-1"), "200 " JAG_ANSWER("jag-2"));
	ask_for(GRANT_ID_JAG);
	ck_assert_msg(got.class == TOKEN_OK, "%s", got.why);
	ck_assert_str_eq(field(1, 0, "grant_type"), "urn:ietf:params:oauth:grant-type:token-exchange");
	ck_assert_str_eq(field(1, 0, "requested_token_type"), "urn:ietf:params:oauth:token-type:id-jag");
	ck_assert_str_eq(field(1, 0, "audience"), "https://as.example");
	ck_assert_str_eq(field(1, 0, "resource"), "https://mcp.example/mcp");
	ck_assert_str_eq(field(1, 0, "subject_token"), "id-token");
	ck_assert_ptr_null(strstr(desks[1].got[0], "machine"));
	ck_assert_str_eq(field(0, 0, "grant_type"), "urn:ietf:params:oauth:grant-type:jwt-bearer");
	ck_assert_str_eq(field(0, 0, "assertion"), "jag-1");
	ck_assert_ptr_null(strstr(desks[0].got[0], "id-token"));
	ck_assert_ptr_null(got.answer.refresh_token);
	ask_for(GRANT_ID_JAG);
	ck_assert_int_eq(desks[1].asked, 1);
	ck_assert_str_eq(field(0, 1, "assertion"), "jag-1");
	/* Expired, or for another server: the first leg, too. */
	memory.jag_expires_at = 1;
	ask_for(GRANT_ID_JAG);
	ck_assert_str_eq(field(0, 2, "assertion"), "jag-2");
	free(rec.issuer);
	rec.issuer = strdup("https://other.example");
	ask_for(GRANT_ID_JAG);
	ck_assert_int_eq(desks[1].asked, 3);
	ck_assert_str_eq(field(1, 2, "audience"), "https://other.example");
	enterprise_done();
}
END_TEST

/* The provider's metadata says where it exchanges; the upstream's header fields do not go there. */
START_TEST(idp_by_issuer)
{
	char metadata_answer[512], *origin = at("");
	char header_lines[] = "X-Key: k\r\n";

	enterprise("200 " JAG_ANSWER("jag-1"), NULL);
	free(config.oauth.idp.token_endpoint);
	config.oauth.idp.token_endpoint = NULL;
	config.oauth.idp.issuer = origin;
	config.header_lines = header_lines;
	snprintf(metadata_answer, sizeof(metadata_answer), "200 {\"issuer\":\"%s\","
	    "\"token_endpoint\":\"%s/idp\"}", origin, origin);
	desk(2, "GET /.well-known/openid-configuration ", metadata_answer, NULL);
	ask_for(GRANT_ID_JAG);
	ck_assert_msg(got.class == TOKEN_OK, "%s", got.why);
	ck_assert_int_eq(desks[2].asked, 1);
	ck_assert_ptr_null(strstr(desks[2].got[0], "X-Key"));
	ck_assert_str_eq(field(1, 0, "subject_token"), "id-token");
	/* Somebody else's metadata. */
	grant_memory_clear(&memory);
	desks[2].answers[1] = "200 {\"issuer\":\"https://other.example\",\"token_endpoint\":\"https://other.example\"}";
	ask_for(GRANT_ID_JAG);
	ck_assert_int_eq(got.class, TOKEN_TRANSIENT);
	ck_assert_msg(strstr(got.why, "identity provider: ") != NULL, "%s", got.why);
	ck_assert_int_eq(desks[1].asked, 1);
	config.header_lines = NULL;
	config.oauth.idp.issuer = NULL;
	free(origin);
	enterprise_done();
}
END_TEST

/* Its own exp goes before expires_in; one that never says is used once. */
START_TEST(jag_lifetime)
{
	enterprise("200 " JAG_ANSWER(JAG_EXPIRED), "200 {\"access_token\":\"jag-3\","
	    "\"issued_token_type\":\"urn:ietf:params:oauth:token-type:id-jag\"}");
	ask_for(GRANT_ID_JAG);
	ck_assert_int_eq(got.class, TOKEN_OK);
	ask_for(GRANT_ID_JAG);
	ck_assert_int_eq(desks[1].asked, 2);
	ck_assert_ptr_null(memory.jag);
	ask_for(GRANT_ID_JAG);
	ck_assert_int_eq(desks[1].asked, 3);
	enterprise_done();
}
END_TEST

/* An old ID-JAG that is refused is replaced, once; a new one that is refused is the end. */
START_TEST(jag_refused)
{
	enterprise("200 " JAG_ANSWER("jag-1"), NULL);
	ask_for(GRANT_ID_JAG);
	desks[0].answers[1] = "400 {\"error\":\"invalid_grant\"}";
	desks[0].answers[2] = "200 " OK_TOKEN;
	desks[0].answers[3] = "400 {\"error\":\"invalid_grant\"}";
	ask_for(GRANT_ID_JAG);
	ck_assert_int_eq(got.class, TOKEN_OK);
	ck_assert_int_eq(desks[1].asked, 2);
	ck_assert_int_eq(desks[0].asked, 3);
	ask_for(GRANT_ID_JAG);
	ck_assert_int_eq(got.class, TOKEN_REFUSED);
	ck_assert_int_eq(desks[1].asked, 3);
	ck_assert_int_eq(desks[0].asked, 5);
	enterprise_done();
}
END_TEST

static const struct {
	const char *answer;
	enum token_class class;
	const char *why;
} idps[] = {
	{ "400 {\"error\":\"invalid_grant\"}", TOKEN_TRANSIENT, "subjectTokenFile" },
	{ "401 {\"error\":\"invalid_client\"}", TOKEN_REFUSED, "invalid_client" },
	{ "302 ", TOKEN_REFUSED, "redirects" },
	{ "500 ", TOKEN_TRANSIENT, "500" },
	{ "200 <html>", TOKEN_REFUSED, "no token" },
	{ "200 " OK_TOKEN, TOKEN_REFUSED, "something else" },
	{ "200 {\"access_token\":\"a\\nb\",\"issued_token_type\":"
	  "\"urn:ietf:params:oauth:token-type:id-jag\"}", TOKEN_REFUSED, "printable" },
	{ "", TOKEN_TRANSIENT, "in time" },
};

START_TEST(idp_refuses)
{
	struct grant_request r = wish(GRANT_ID_JAG);

	enterprise(idps[_i].answer, NULL);
	r.timeout_ms = 500;
	ask(&r);
	ck_assert_msg(got.class == idps[_i].class, "%s", got.why);
	ck_assert_msg(strstr(got.why, idps[_i].why) != NULL, "%s", got.why);
	ck_assert_int_eq(desks[0].asked, 0);
	ck_assert_ptr_null(memory.jag);
	enterprise_done();
}
END_TEST

START_TEST(subject_token)
{
	enterprise("200 " JAG_ANSWER("jag-1"), NULL);
	put("subject", "", 0600);
	ask_for(GRANT_ID_JAG);
	ck_assert_int_eq(got.class, TOKEN_TRANSIENT);
	unlink(in_dir("subject"));
	ask_for(GRANT_ID_JAG);
	ck_assert_int_eq(got.class, TOKEN_TRANSIENT);
	ck_assert_ptr_nonnull(strstr(got.why, "No such file"));
	ck_assert_int_eq(mkdir(in_dir("subject"), 0700), 0);
	ask_for(GRANT_ID_JAG);
	ck_assert_int_eq(got.class, TOKEN_TRANSIENT);
	rmdir(in_dir("subject"));
	put("subject", "later", 0600);		/* read at each need */
	ask_for(GRANT_ID_JAG);
	ck_assert_int_eq(got.class, TOKEN_OK);
	ck_assert_str_eq(field(1, 0, "subject_token"), "later");
	enterprise_done();
}
END_TEST

/* --- the end --- */

static struct config_upstream *
another_config(void)
{
	struct config_upstream *c = malloc(sizeof(*c));

	*c = config;
	return c;
}

/* At every stage, with all of them and without discovery and command; the config goes meanwhile. */
START_TEST(cancelled)
{
	struct grant_request r = wish(GRANT_ID_JAG);
	struct config_upstream *first, *second;

	enterprise("200 " JAG_ANSWER("jag-1"), NULL);
	metadata();
	if (_i == 0) {
		secret_command("echo s");
		config.oauth.client_secret = NULL;
		r.rec = NULL;
	}
	for (int ms = 0; ms < 30; ms++) {
		grant_memory_clear(&memory);
		forget();
		first = another_config();
		second = another_config();
		r.config = first;
		running = grant_start(connector, &r, on_done, NULL);
		run_for(loop, ms / 2);
		grant_configure(running, second);
		memset(first, 0xff, sizeof(*first));
		free(first);
		run_for(loop, ms % 2 == 0 ? 1 : 15);
		grant_cancel(running);
		got.done = false;
		run_for(loop, 2);
		ck_assert(!got.done);
		free(second);
	}
	enterprise_done();
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("grant");
	TCase *tc = tcase_create("grant");
	SRunner *r;
	int failed;

	tcase_set_timeout(tc, 60);
	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, refresh);
	tcase_add_test(tc, resource_by_config);
	tcase_add_test(tc, code);
	tcase_add_test(tc, device);
	tcase_add_test(tc, revocation);
	tcase_add_test(tc, secret_by_config);
	tcase_add_test(tc, secret_of_another_client);
	tcase_add_loop_test(tc, private_key_jwt, 0, 2);
	tcase_add_test(tc, secret_by_command);
	tcase_add_loop_test(tc, secret_command_fails, 0, nitems(commands));
	tcase_add_test(tc, client_credentials);
	tcase_add_test(tc, step_up);
	tcase_add_test(tc, first_token);
	tcase_add_test(tc, nothing_discovered);
	tcase_add_loop_test(tc, wrong_answers, 0, nitems(answers));
	tcase_add_test(tc, unsent);
	tcase_add_test(tc, id_jag);
	tcase_add_test(tc, idp_by_issuer);
	tcase_add_test(tc, jag_lifetime);
	tcase_add_test(tc, jag_refused);
	tcase_add_loop_test(tc, idp_refuses, 0, nitems(idps));
	tcase_add_test(tc, subject_token);
	tcase_add_loop_test(tc, cancelled, 0, 2);
	suite_add_tcase(s, tc);
	r = srunner_create(s);
	srunner_run_all(r, CK_NORMAL);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed != 0;
}
