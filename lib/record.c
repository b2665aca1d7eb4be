/* SHA256_Init() and its kin need no memory and cannot fail, unlike EVP: no token hashes to "". */
#define OPENSSL_API_COMPAT 0x10100000L
#include <openssl/sha.h>

#include "bounds.h"
#include "json.h"
#include "record.h"
#include "url.h"

#define VERSION_1	1
#define EXACT		9007199254740992.0	/* 2^53: a double holds every integer up to here */
#define SECONDS_MAX	1e11			/* the year 5138: more is milliseconds */

/* How the bytes of a text are restricted. */
enum text_kind {
	TEXT_ANY,		/* not empty, not huge */
	TEXT_VSCHAR,		/* 0x20 to 0x7E, RFC 6749 appendix A */
	TEXT_TOKEN,		/* 0x21 to 0x7E: stands in a header */
	TEXT_URL,
	TEXT_HASH		/* 64 hex digits, lower case */
};

/*
 * One text of a record; the table is the format.  An import must keep to
 * `kind`; of what was stored only the access token is held to it (it goes into
 * a header), lest a record that we wrote be set aside as corrupt.
 */
struct text {
	const char	*key;
	size_t		 offset;	/* of the char * in struct record */
	enum text_kind	 kind;
	bool		 required;
	bool		 import;	/* `token import` may bring it */
	const char	*bad;		/* words if it cannot be used */
};

#define TEXT(f, kind, required, import, bad) \
	{ #f, offsetof(struct record, f), kind, required, import, bad }

static const struct text texts[] = {
	TEXT(name, TEXT_ANY, true, false, "name is missing or not usable"),
	TEXT(url, TEXT_ANY, true, false, "url is missing or not usable"),
	TEXT(issuer, TEXT_VSCHAR, false, true, "issuer is not a usable text"),
	TEXT(token_endpoint, TEXT_URL, false, true, "token_endpoint is not an http(s) URL"),
	TEXT(client_id, TEXT_VSCHAR, false, true, "client_id is not a usable text"),
	TEXT(client_secret, TEXT_VSCHAR, false, true, "client_secret is not a usable text"),
	TEXT(auth_method, TEXT_VSCHAR, false, false, "auth_method is not a usable text"),
	TEXT(resource, TEXT_VSCHAR, false, true, "resource is not a usable text"),
	TEXT(scope, TEXT_VSCHAR, false, true, "scope is not a usable text"),
	TEXT(revocation_endpoint, TEXT_URL, false, true,
	    "revocation_endpoint is not an http(s) URL"),
	TEXT(resource_metadata, TEXT_URL, false, false, "resource_metadata is not a usable text"),
	TEXT(redirect_uri, TEXT_VSCHAR, false, false, "redirect_uri is not a usable text"),
	TEXT(access_token, TEXT_TOKEN, true, true,
	    "access_token is missing or not a token (printable ASCII without blanks)"),
	TEXT(refresh_token, TEXT_VSCHAR, false, true, "refresh_token is not a usable text")
};

static char **
text_of(struct record *rec, const struct text *t)
{
	return (char **)(void *)((char *)rec + t->offset);
}

static const char *
text_in(const struct record *rec, const struct text *t)
{
	return *(char *const *)(const void *)((const char *)rec + t->offset);
}

static bool
all_within(const char *s, unsigned char low, unsigned char high)
{
	for (; *s != '\0'; s++)
		if ((unsigned char)*s < low || (unsigned char)*s > high)
			return false;
	return true;
}

static bool
text_fits(const char *s, enum text_kind kind)
{
	struct url url;
	size_t n = strlen(s);

	if (n == 0 || n > TOKEN_BYTES)
		return false;
	switch (kind) {
	case TEXT_ANY:
		return true;
	case TEXT_VSCHAR:
		return all_within(s, 0x20, 0x7e);
	case TEXT_TOKEN:
		return all_within(s, 0x21, 0x7e);
	case TEXT_URL:
		if (url_parse(s, n, &url) < 0)
			return false;
		url_free(&url);
		return true;
	case TEXT_HASH:
		return n == HASH_HEX - 1 && strspn(s, "0123456789abcdef") == n;
	}
	return false;
}

/* A registration has a client id in the place of a token. */
static bool
is_required(const struct record *rec, const struct text *t)
{
	if (rec->name == NULL || strcmp(rec->name, RECORD_CLIENT) != 0)
		return t->required;
	if (t->offset == offsetof(struct record, access_token))
		return false;
	return t->required || t->offset == offsetof(struct record, client_id);
}

static enum text_kind
stored_kind(const struct text *t)
{
	return t->kind == TEXT_TOKEN ? TEXT_TOKEN : TEXT_ANY;
}

/* 0, -ENOMEM, or -EBADMSG if it is there and unusable, or required and absent. */
static int
take_text(const cJSON *doc, const struct text *t, enum text_kind kind, struct record *rec)
{
	const cJSON *item = json_member(doc, t->key);

	if (item == NULL)
		return is_required(rec, t) ? -EBADMSG : 0;
	if (!cJSON_IsString(item) || !text_fits(item->valuestring, kind))
		return -EBADMSG;
	*text_of(rec, t) = strdup(item->valuestring);
	return *text_of(rec, t) != NULL ? 0 : -ENOMEM;
}

/* An integer within [low, 2^53]; `ret` is left alone if there is none. */
static int
take_integer(const cJSON *doc, const char *key, double low, int64_t *ret)
{
	const cJSON *item = json_member(doc, key);

	if (item == NULL)
		return 0;
	if (!cJSON_IsNumber(item) || !(item->valuedouble >= low) ||
	    item->valuedouble > EXACT ||
	    item->valuedouble != (double)(int64_t)item->valuedouble)
		return -EBADMSG;
	*ret = (int64_t)item->valuedouble;
	return 0;
}

static int
take_bool(const cJSON *doc, const char *key, bool *ret)
{
	const cJSON *item = json_member(doc, key);

	if (item != NULL && !cJSON_IsBool(item))
		return -EBADMSG;
	*ret = cJSON_IsTrue(item);
	return 0;
}

/* A hash; `ret` is left alone if there is none. */
static int
take_hash(const cJSON *doc, const char *key, char ret[HASH_HEX])
{
	const cJSON *item = json_member(doc, key);

	if (item == NULL)
		return 0;
	if (!cJSON_IsString(item) || !text_fits(item->valuestring, TEXT_HASH))
		return -EBADMSG;
	memcpy(ret, item->valuestring, HASH_HEX);
	return 0;
}

/* What an intent says decides whether a token is sent again: nothing in it may be misread. */
static int
take_intent(const cJSON *doc, struct record *rec)
{
	const cJSON *intent = json_member(doc, "intent"), *m;
	int64_t tries = 0;

	if (intent == NULL)
		return 0;
	if (!cJSON_IsObject(intent))
		return -EBADMSG;
	cJSON_ArrayForEach(m, intent)
		if (strcmp(m->string, "hash") != 0 && strcmp(m->string, "tries") != 0 &&
		    strcmp(m->string, "at") != 0)
			return -EBADMSG;
	if (take_hash(intent, "hash", rec->intent.hash) < 0 || rec->intent.hash[0] == '\0' ||
	    take_integer(intent, "tries", 0, &tries) < 0 || tries > UINT32_MAX ||
	    take_integer(intent, "at", -EXACT, &rec->intent.at) < 0)
		return -EBADMSG;
	rec->intent.tries = (unsigned)tries;
	return 0;
}

static int
take_rest(const cJSON *doc, struct record *rec, const char **ret_why)
{
	if (take_integer(doc, "expires_at", -EXACT, &rec->expires_at) < 0)
		*ret_why = "expires_at is not usable";
	else if (take_integer(doc, "lifetime", 0, &rec->lifetime) < 0)
		*ret_why = "lifetime is not usable";
	else if (take_integer(doc, "obtained_at", -EXACT, &rec->obtained_at) < 0)
		*ret_why = "obtained_at is not usable";
	else if (take_bool(doc, "registered", &rec->registered) < 0)
		*ret_why = "registered is not usable";
	else if (take_hash(doc, "dead", rec->dead) < 0)
		*ret_why = "dead is not usable";
	else if (take_intent(doc, rec) < 0)
		*ret_why = "intent is not usable";
	else
		return 0;
	return -EBADMSG;
}

static int
check_version(const cJSON *doc, const char **ret_why)
{
	int64_t v = 0;

	if (!cJSON_IsObject(doc) || take_integer(doc, "v", 1, &v) < 0 || v == 0) {
		*ret_why = "not a credential";
		return -EBADMSG;
	}
	if (v > VERSION_1) {
		*ret_why = "written by a newer mcp-authd";
		return -ENOTSUP;
	}
	return 0;
}

static int
take_document(const cJSON *doc, struct record *rec, const char **ret_why)
{
	size_t i;
	int r;

	if ((r = check_version(doc, ret_why)) < 0)
		return r;
	for (i = 0; i < nitems(texts); i++) {
		if ((r = take_text(doc, &texts[i], stored_kind(&texts[i]), rec)) < 0) {
			*ret_why = r == -ENOMEM ? "out of memory" : texts[i].bad;
			return r;
		}
	}
	return take_rest(doc, rec, ret_why);
}

static struct record *
record_new(void)
{
	struct record *rec;

	rec = calloc(1, sizeof(*rec));
	if (rec != NULL)
		rec->expires_at = EXPIRES_UNKNOWN;
	return rec;
}

struct record *
record_parse(const char *text, size_t n, int *ret_err, const char **ret_why)
{
	struct json_error error = { .what = "not a JSON document" };
	struct record *rec;
	cJSON *doc;

	if (n > RECORD_BYTES) {
		*ret_err = -EBADMSG;
		*ret_why = "too large for a credential";
		return NULL;
	}
	doc = json_parse(text, n, &error);
	if (doc == NULL) {
		/* Good JSON that could not be built: memory, and no reason to set a file aside. */
		*ret_err = json_check(text, n, NULL) == -EBADMSG ? -EBADMSG : -ENOMEM;
		*ret_why = *ret_err == -ENOMEM ? "out of memory" : error.what;
		return NULL;
	}
	rec = record_new();
	*ret_err = -ENOMEM;
	*ret_why = "out of memory";
	if (rec != NULL && (*ret_err = take_document(doc, rec, ret_why)) < 0) {
		record_free(rec);
		rec = NULL;
	}
	cJSON_Delete(doc);
	return rec;
}

static int
print_number(struct buf *out, const char *key, int64_t value)
{
	return buf_addf(out, ",\n  \"%s\": %lld", key, (long long)value);
}

static int
print_rest(const struct record *rec, struct buf *out)
{
	int r = 0;

	if (rec->expires_at != EXPIRES_UNKNOWN)
		r = print_number(out, "expires_at", rec->expires_at);
	if (r == 0 && rec->lifetime > 0)
		r = print_number(out, "lifetime", rec->lifetime);
	if (r == 0)
		r = print_number(out, "obtained_at", rec->obtained_at);
	if (r == 0 && rec->registered)
		r = buf_adds(out, ",\n  \"registered\": true");
	if (r == 0 && rec->dead[0] != '\0')
		r = buf_addf(out, ",\n  \"dead\": \"%s\"", rec->dead);
	if (r == 0 && rec->intent.hash[0] != '\0')
		r = buf_addf(out, ",\n  \"intent\": {\"hash\": \"%s\", \"tries\": %u, \"at\": %lld}",
		    rec->intent.hash, rec->intent.tries, (long long)rec->intent.at);
	return r == 0 ? buf_adds(out, "\n}\n") : r;
}

int
record_print(const struct record *rec, struct buf *out)
{
	const char *s;
	size_t i;
	int r;

	r = buf_addf(out, "{\n  \"v\": %d", VERSION_1);
	for (i = 0; i < nitems(texts) && r == 0; i++) {
		s = text_in(rec, &texts[i]);
		if ((s == NULL || *s == '\0') && !is_required(rec, &texts[i]))
			continue;
		if (s == NULL || !text_fits(s, stored_kind(&texts[i])))
			return -EINVAL;
		r = buf_addf(out, ",\n  \"%s\": ", texts[i].key);
		if (r == 0)
			r = buf_addjson(out, s, strlen(s));
	}
	return r == 0 ? print_rest(rec, out) : r;
}

static bool
import_knows(const char *key)
{
	size_t i;

	for (i = 0; i < nitems(texts); i++)
		if (texts[i].import && strcmp(texts[i].key, key) == 0)
			return true;
	return strcmp(key, "expires_at") == 0 || strcmp(key, "expires_in") == 0;
}

/*
 * An absolute time wins over a lifetime whose beginning we must guess, and
 * says nothing of the lifetime (B2).  0 or less: unknown (B1).
 */
static const char *
import_expiry(const cJSON *doc, struct record *rec, int64_t now)
{
	int64_t in, at;
	bool odd;

	in = token_lifetime(json_member(doc, "expires_in"), &odd);
	if (odd)
		return "expires_in is not a number of seconds";
	at = token_lifetime(json_member(doc, "expires_at"), &odd);
	if (odd)
		return "expires_at is not a number of seconds";
	if (at > SECONDS_MAX * SEC)
		return "expires_at must be in seconds since 1970";
	if (at > 0)
		rec->expires_at = at;
	else if (in > 0)
		rec->expires_at = now + in;
	rec->lifetime = MAX(in, 0);
	return NULL;
}

static const char *
import_document(const cJSON *doc, struct record *rec, int64_t now)
{
	const cJSON *m;
	size_t i;
	int r;

	cJSON_ArrayForEach(m, doc)
		if (!import_knows(m->string))
			return "there is a member that token import does not know";
	for (i = 0; i < nitems(texts); i++) {
		if (!texts[i].import)
			continue;
		if ((r = take_text(doc, &texts[i], texts[i].kind, rec)) < 0)
			return r == -ENOMEM ? "out of memory" : texts[i].bad;
	}
	if (rec->client_secret != NULL && rec->client_id == NULL)
		return "client_secret needs a client_id";
	rec->obtained_at = now;
	return import_expiry(doc, rec, now);
}

struct record *
record_import(const char *text, size_t n, int64_t now, const char **ret_why)
{
	struct record *rec;
	const char *why;
	cJSON *doc;

	*ret_why = "not one JSON object";
	if (n > RECORD_BYTES || (doc = json_parse(text, n, NULL)) == NULL)
		return NULL;
	if (!cJSON_IsObject(doc)) {
		cJSON_Delete(doc);
		return NULL;
	}
	rec = record_new();
	why = rec != NULL ? import_document(doc, rec, now) : "out of memory";
	cJSON_Delete(doc);
	if (why == NULL)
		return rec;
	*ret_why = why;
	record_free(rec);
	return NULL;
}

struct record *
record_copy(const struct record *rec)
{
	struct record *copy;
	const char *s;
	size_t i;

	copy = malloc(sizeof(*copy));
	if (copy == NULL)
		return NULL;
	*copy = *rec;
	for (i = 0; i < nitems(texts); i++)
		*text_of(copy, &texts[i]) = NULL;
	for (i = 0; i < nitems(texts); i++) {
		if ((s = text_in(rec, &texts[i])) == NULL)
			continue;
		if ((*text_of(copy, &texts[i]) = strdup(s)) == NULL) {
			record_free(copy);
			return NULL;
		}
	}
	return copy;
}

void
record_free(struct record *rec)
{
	size_t i;

	if (rec == NULL)
		return;
	for (i = 0; i < nitems(texts); i++)
		secret_free(*text_of(rec, &texts[i]));
	secret_freen(rec, sizeof(*rec));
}

static void
digest(const void *a, size_t na, const void *b, size_t nb, unsigned char out[SHA256_DIGEST_LENGTH])
{
	SHA256_CTX ctx;

	SHA256_Init(&ctx);
	SHA256_Update(&ctx, a, na);
	SHA256_Update(&ctx, b, nb);
	SHA256_Final(out, &ctx);
	explicit_bzero(&ctx, sizeof(ctx));
}

static void
to_hex(const unsigned char *p, size_t n, char *out)
{
	static const char hex[] = "0123456789abcdef";
	size_t i;

	for (i = 0; i < n; i++) {
		*out++ = hex[p[i] >> 4];
		*out++ = hex[p[i] & 15];
	}
	*out = '\0';
}

void
record_hash(const char *token, char out[HASH_HEX])
{
	unsigned char md[SHA256_DIGEST_LENGTH];

	out[0] = '\0';
	if (token == NULL)
		return;
	digest(token, strlen(token), "", 0, md);
	to_hex(md, sizeof(md), out);
}

uint64_t
record_id(const char *token)
{
	unsigned char md[SHA256_DIGEST_LENGTH];
	uint64_t id = 0;
	size_t i;

	if (token == NULL)
		return 0;
	digest(token, strlen(token), "", 0, md);
	for (i = 0; i < sizeof(id); i++)
		id = id << 8 | md[i];
	return id;
}

void
record_stem(const char *name, const char *url, char *out, size_t size)
{
	unsigned char md[SHA256_DIGEST_LENGTH];
	char hex[HASH_HEX];
	size_t n = strlen(name);

	digest(name, n + 1, url, strlen(url), md);
	to_hex(md, 8, hex);
	if (size < strlen(hex) + 2)
		return;
	n = MIN(n, size - strlen(hex) - 2);
	memcpy(out, name, n);
	out[n] = '-';
	memcpy(out + n + 1, hex, strlen(hex) + 1);
}

/* Replaces a text; NULL keeps it (C10). */
static int
replace(char **text, const char *with)
{
	char *copy;

	if (with == NULL)
		return 0;
	copy = strdup(with);
	if (copy == NULL)
		return -ENOMEM;
	secret_free(*text);
	*text = copy;
	return 0;
}

struct record *
record_renew(const struct record *old, const struct token_answer *answer, int64_t now)
{
	char hash[HASH_HEX];
	struct record *rec;

	rec = record_copy(old);
	if (rec == NULL)
		return NULL;
	if (replace(&rec->access_token, answer->access_token) < 0 ||
	    replace(&rec->refresh_token, answer->refresh_token) < 0 ||
	    replace(&rec->scope, answer->scope) < 0) {
		record_free(rec);
		return NULL;
	}
	rec->expires_at = answer->expires_at;
	rec->lifetime = answer->lifetime;
	rec->obtained_at = now;
	memset(&rec->intent, 0, sizeof(rec->intent));
	record_hash(rec->refresh_token, hash);
	if (strcmp(rec->dead, hash) != 0)
		rec->dead[0] = '\0';
	return rec;
}

bool
record_renewable(const struct record *rec)
{
	char hash[HASH_HEX];

	if (rec->refresh_token == NULL)
		return false;
	record_hash(rec->refresh_token, hash);
	return strcmp(rec->dead, hash) != 0;
}
