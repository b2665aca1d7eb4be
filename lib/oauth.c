#include "oauth.h"

/* Bytes that a form value carries as they are; a blank becomes '+', the rest %XX. */
static bool
form_plain(unsigned char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
	    (c >= '0' && c <= '9') || c == '-' || c == '.' || c == '_' || c == '*';
}

int
oauth_form(struct buf *out, const char *text)
{
	static const char hex[] = "0123456789ABCDEF";
	unsigned char c;
	int r = 0;

	for (; (c = (unsigned char)*text) != '\0' && r == 0; text++) {
		if (form_plain(c))
			r = buf_add(out, text, 1);
		else if (c == ' ')
			r = buf_add(out, "+", 1);
		else
			r = buf_add(out, (char []){ '%', hex[c >> 4], hex[c & 15] }, 3);
	}
	return r;
}

/* Appends "&key=value", without the '&' at the start. */
static int
add_field(struct buf *body, const char *key, const char *value)
{
	int r;

	if (value == NULL)
		return 0;
	r = body->len > 0 ? buf_adds(body, "&") : 0;
	if (r == 0)
		r = buf_adds(body, key);
	if (r == 0)
		r = buf_adds(body, "=");
	return r == 0 ? oauth_form(body, value) : r;
}

/* RFC 4648 section 4, padded. */
static int
add_base64(struct buf *out, const char *p, size_t n)
{
	static const char digits[] =
	    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	unsigned long v;
	size_t i, left;
	char quad[4];
	int r = 0;

	for (i = 0; i < n && r == 0; i += 3) {
		left = n - i;
		v = (unsigned long)(unsigned char)p[i] << 16;
		if (left > 1)
			v |= (unsigned long)(unsigned char)p[i + 1] << 8;
		if (left > 2)
			v |= (unsigned char)p[i + 2];
		quad[0] = digits[v >> 18];
		quad[1] = digits[v >> 12 & 63];
		quad[2] = left > 1 ? digits[v >> 6 & 63] : '=';
		quad[3] = left > 2 ? digits[v & 63] : '=';
		r = buf_add(out, quad, sizeof(quad));
	}
	return r;
}

/* RFC 6749 2.3.1: id and secret are form-encoded before they become user and password. */
static int
add_basic(struct buf *out, const char *id, const char *secret)
{
	_cleanup_(buf_free) struct buf pair = BUF_SECRET(0);
	int r;

	r = oauth_form(&pair, id);
	if (r == 0)
		r = buf_adds(&pair, ":");
	if (r == 0)
		r = oauth_form(&pair, secret);
	if (r == 0)
		r = buf_adds(out, "Basic ");
	return r == 0 ? add_base64(out, pair.p, pair.len) : r;
}

static int
authenticate(const struct record *rec, struct buf *body, struct buf *authorization)
{
	const char *method = rec->auth_method;
	int r;

	if (method == NULL)
		method = rec->client_secret != NULL ? "client_secret_basic" : "none";
	if (strcmp(method, "none") == 0)
		return add_field(body, "client_id", rec->client_id);
	if (strcmp(method, "client_secret_basic") != 0 &&
	    strcmp(method, "client_secret_post") != 0)
		return -ENOTSUP;
	if (rec->client_id == NULL || rec->client_secret == NULL)
		return -EINVAL;
	if (strcmp(method, "client_secret_basic") == 0)
		return add_basic(authorization, rec->client_id, rec->client_secret);
	r = add_field(body, "client_id", rec->client_id);
	return r == 0 ? add_field(body, "client_secret", rec->client_secret) : r;
}

int
oauth_refresh_request(const struct record *rec, struct buf *body, struct buf *authorization)
{
	int r;

	if (rec->refresh_token == NULL)
		return -EINVAL;
	r = add_field(body, "grant_type", "refresh_token");
	if (r == 0)
		r = add_field(body, "refresh_token", rec->refresh_token);
	if (r == 0)
		r = add_field(body, "resource", rec->resource);
	return r == 0 ? authenticate(rec, body, authorization) : r;
}
