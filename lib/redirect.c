#include "bounds.h"
#include "redirect.h"

/* Parameters that mean something; each may come once (RFC 6749 section 3.1). */
enum name { NAME_STATE, NAME_ISS, NAME_CODE, NAME_ERROR, NAMES };

static const char *const names[] = {
	[NAME_STATE] = "state", [NAME_ISS] = "iss", [NAME_CODE] = "code", [NAME_ERROR] = "error",
};

/* Decoded values; p == NULL: absent. */
struct values {
	struct buf	value[NAMES];
};

/* Error codes of RFC 6749 section 4.1.2.1, OpenID Connect Core 3.1.2.6, RFC 8707, RFC 9396. */
static const char *const errors[] = {
	"access_denied", "invalid_request", "unauthorized_client", "unsupported_response_type",
	"invalid_scope", "server_error", "temporarily_unavailable", "interaction_required",
	"login_required", "account_selection_required", "consent_required",
	"invalid_request_uri", "invalid_request_object", "request_not_supported",
	"request_uri_not_supported", "registration_not_supported", "invalid_target",
	"invalid_authorization_details", "unmet_authentication_requirements",
};

static int
hex_value(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c |= 0x20;
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* Form decoding; false: a cut escape, a NUL, or no memory. */
static bool
decode(struct slice s, struct buf *out)
{
	int high, low;
	size_t i;
	char c;

	if (buf_reserve(out, s.n) < 0)
		return false;
	for (i = 0; i < s.n; i++) {
		c = s.p[i] == '+' ? ' ' : s.p[i];
		if (c == '%') {
			if (s.n - i < 3 || (high = hex_value(s.p[i + 1])) < 0 ||
			    (low = hex_value(s.p[i + 2])) < 0)
				return false;
			c = (char)(high << 4 | low);
			i += 2;
		}
		if (c == '\0' || buf_add(out, &c, 1) < 0)
			return false;
	}
	return true;
}

/* Which one it is; NAMES: none of ours. */
static enum name
name_of(struct slice s)
{
	_cleanup_(buf_free) struct buf text = BUF_INIT(0);
	unsigned i;

	/* No longer than the longest one with each byte escaped. */
	if (s.n > 3 * strlen("state") || !decode(s, &text))
		return NAMES;
	for (i = 0; i < NAMES; i++)
		if (strcmp(text.p, names[i]) == 0)
			break;
	return (enum name)i;
}

static bool
take_parameter(struct slice s, struct values *v)
{
	const char *equals = memchr(s.p, '=', s.n);
	struct slice key = { s.p, equals != NULL ? (size_t)(equals - s.p) : s.n };
	struct slice value = { key.p + key.n, s.n - key.n };
	enum name name = name_of(key);

	if (name == NAMES)
		return true;
	if (v->value[name].p != NULL)
		return false;
	if (equals != NULL)
		value = (struct slice){ value.p + 1, value.n - 1 };
	return decode(value, &v->value[name]);
}

static bool
take_query(const char *p, size_t n, struct values *v)
{
	const char *end;
	size_t len;

	while (n > 0) {
		end = memchr(p, '&', n);
		len = end != NULL ? (size_t)(end - p) : n;
		if (len > 0 && !take_parameter((struct slice){ p, len }, v))
			return false;
		len += end != NULL;
		p += len;
		n -= len;
	}
	return true;
}

/* In constant time for texts of one length. */
static bool
same_secret(const char *a, const char *b)
{
	size_t i, n = strlen(a);
	unsigned char differ = 0;

	if (strlen(b) != n)
		return false;
	for (i = 0; i < n; i++)
		differ |= (unsigned char)(a[i] ^ b[i]);
	return differ == 0;
}

/* RFC 9207 section 2.4: a plain comparison of strings, for errors too. */
static bool
right_issuer(const char *iss, const struct redirect_expected *expected)
{
	if (iss == NULL)
		return !expected->iss_required;
	return expected->issuer != NULL && strcmp(iss, expected->issuer) == 0;
}

/* VSCHAR of RFC 6749 appendix A, not empty. */
static bool
is_code(const char *s, size_t n, char low)
{
	size_t i;

	for (i = 0; i < n; i++)
		if (s[i] < low || s[i] > 0x7e)
			return false;
	return n > 0 && n <= TOKEN_BYTES;
}

static enum redirect_verdict
refused(const char *error, struct redirect *ret)
{
	size_t i;

	strcpy(ret->error, "other");
	for (i = 0; i < nitems(errors); i++)
		if (strcmp(error, errors[i]) == 0)
			strcpy(ret->error, errors[i]);
	ret->denied = strcmp(ret->error, "access_denied") == 0;
	return REDIRECT_REFUSED;
}

static enum redirect_verdict
judge(const struct values *v, const struct redirect_expected *expected, struct redirect *ret)
{
	const struct buf *code = &v->value[NAME_CODE];
	const char *state = v->value[NAME_STATE].p, *error = v->value[NAME_ERROR].p;

	if (state == NULL || expected->state == NULL || !same_secret(state, expected->state))
		return REDIRECT_FOREIGN;
	if (!right_issuer(v->value[NAME_ISS].p, expected))
		return REDIRECT_WRONG_ISSUER;
	if (error != NULL && *error != '\0')
		return refused(error, ret);
	if (code->p == NULL || !is_code(code->p, code->len, 0x20))
		return REDIRECT_FOREIGN;
	ret->code = strdup(code->p);
	return ret->code != NULL ? REDIRECT_CODE : REDIRECT_FOREIGN;
}

enum redirect_verdict
redirect_parse(const char *query, size_t n, const struct redirect_expected *expected,
    struct redirect *ret)
{
	enum redirect_verdict verdict = REDIRECT_FOREIGN;
	struct values v;
	unsigned i;

	*ret = (struct redirect){ 0 };
	for (i = 0; i < NAMES; i++)
		v.value[i] = BUF_SECRET(HEADER_BYTES);
	if (n <= HEADER_BYTES && take_query(query, n, &v))
		verdict = judge(&v, expected, ret);
	for (i = 0; i < NAMES; i++)
		buf_free(&v.value[i]);
	return verdict;
}

static bool
is_blank(char c)
{
	return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

enum redirect_verdict
redirect_pasted(const char *text, size_t n, const struct redirect_expected *expected,
    struct redirect *ret)
{
	const char *query, *end;

	*ret = (struct redirect){ 0 };
	for (; n > 0 && is_blank(*text); n--)
		text++;
	while (n > 0 && is_blank(text[n - 1]))
		n--;
	if (n == 0 || n > HEADER_BYTES)
		return REDIRECT_FOREIGN;
	/* Browsers hide the scheme: what has a query is a URL, whatever stands before it. */
	query = memchr(text, '?', n);
	if (query != NULL || memmem(text, n, "state=", strlen("state=")) != NULL) {
		query = query != NULL ? query + 1 : text;
		n -= (size_t)(query - text);
		end = memchr(query, '#', n);
		n = end != NULL ? (size_t)(end - query) : n;
		return redirect_parse(query, n, expected, ret);
	}
	if (!is_code(text, n, 0x21) || memmem(text, n, "://", 3) != NULL)
		return REDIRECT_FOREIGN;
	ret->code = strndup(text, n);
	return ret->code != NULL ? REDIRECT_CODE : REDIRECT_FOREIGN;
}

void
redirect_free(struct redirect *r)
{
	secret_free(r->code);
	*r = (struct redirect){ 0 };
}
