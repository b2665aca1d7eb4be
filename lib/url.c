/*
 * Stricter than RFC 3986 where only trouble differs: no user information, no
 * percent-encoding or empty label in a host, no empty port, no IPv4 address
 * but the dotted quad ("127.1" and 0x7f000001 would dodge a loopback check).
 */
#include <sys/socket.h>
#include <netinet/in.h>
#include <arpa/inet.h>

#include "bounds.h"
#include "url.h"

#define HOST_MAX	253	/* RFC 1035 */
#define LABEL_MAX	63

/* A URL cut at its delimiters, RFC 3986 appendix B; nothing is judged yet. */
struct parts {
	struct slice	scheme;		/* p == NULL: absent; so for authority and query */
	struct slice	authority;
	struct slice	path;
	struct slice	query;		/* with its '?' */
};

static bool
is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static bool
is_alpha(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static bool
is_hex(char c)
{
	return is_digit(c) || ((c | 0x20) >= 'a' && (c | 0x20) <= 'f');
}

static char
lower(char c)
{
	return c >= 'A' && c <= 'Z' ? (char)(c | 0x20) : c;
}

/* pchar, '/', '?': what a path or a query may hold. */
static bool
is_target(const char *p, size_t n)
{
	size_t	i;

	for (i = 0; i < n; i++) {
		if (is_alpha(p[i]) || is_digit(p[i]))
			continue;
		if (p[i] == '%') {
			if (n - i < 3 || !is_hex(p[i + 1]) || !is_hex(p[i + 2]))
				return false;
		} else if (p[i] == '\0' || strchr("-._~!$&'()*+,;=:@/?", p[i]) == NULL) {
			return false;
		}
	}
	return true;
}

static size_t
span_until(const char *p, size_t n, const char *stops)
{
	size_t	i;

	for (i = 0; i < n && (p[i] == '\0' || strchr(stops, p[i]) == NULL); i++)
		;
	return i;
}

static struct slice
take(struct slice *rest, size_t n)
{
	struct slice	s = { rest->p, n };

	rest->p += n;
	rest->n -= n;
	return s;
}

static bool
starts_with(struct slice s, const char *prefix)
{
	size_t	n = strlen(prefix);

	return s.n >= n && memcmp(s.p, prefix, n) == 0;
}

/* The scheme is whatever stands before a colon in the first segment (4.2). */
static void
split(struct slice rest, struct parts *ret)
{
	size_t	n = span_until(rest.p, rest.n, ":/?");

	*ret = (struct parts){ 0 };
	if (n < rest.n && rest.p[n] == ':') {
		ret->scheme = take(&rest, n);
		take(&rest, 1);
	}
	if (starts_with(rest, "//")) {
		take(&rest, 2);
		ret->authority = take(&rest, span_until(rest.p, rest.n, "/?"));
	}
	ret->path = take(&rest, span_until(rest.p, rest.n, "?"));
	if (rest.n > 0)
		ret->query = rest;
}

/* Does the last label look like a number?  Then resolvers take it for an IPv4 address. */
static bool
ends_in_number(const char *host, size_t n)
{
	size_t	end = host[n - 1] == '.' ? n - 1 : n, start = end;

	while (start > 0 && host[start - 1] != '.')
		start--;
	if (end - start > 2 && host[start] == '0' && host[start + 1] == 'x')
		return strspn(host + start + 2, "0123456789abcdef") == end - start - 2;
	return strspn(host + start, "0123456789") == end - start;
}

/* A DNS name or dotted quad, lower case already; '_' is seen in container networks. */
static bool
is_name(const char *host, size_t n)
{
	struct in_addr	addr;
	size_t		label = 0, i;

	if (n > HOST_MAX + 1 || (n == HOST_MAX + 1 && host[n - 1] != '.'))
		return false;
	for (i = 0; i < n; i++) {
		if (host[i] == '.') {
			if (label == 0)
				return false;
			label = 0;
		} else if ((!is_alpha(host[i]) && !is_digit(host[i]) && host[i] != '-' &&
		    host[i] != '_') || ++label > LABEL_MAX) {
			return false;
		}
	}
	return !ends_in_number(host, n) || inet_pton(AF_INET, host, &addr) == 1;
}

/* "[...]" to its canonical text without brackets (RFC 5952). */
static char *
parse_ipv6(struct slice s)
{
	struct in6_addr	addr;
	char		text[INET6_ADDRSTRLEN];

	if (s.n < 3 || s.n - 2 >= sizeof(text) || s.p[s.n - 1] != ']')
		return NULL;
	memcpy(text, s.p + 1, s.n - 2);
	text[s.n - 2] = '\0';
	if (strlen(text) != s.n - 2 || inet_pton(AF_INET6, text, &addr) != 1 ||
	    inet_ntop(AF_INET6, &addr, text, sizeof(text)) == NULL)
		return NULL;
	return strdup(text);
}

static int
parse_host(struct slice s, char **ret)
{
	char	*host;
	size_t	 i;

	if (s.n > 0 && s.p[0] == '[') {
		*ret = parse_ipv6(s);
		return *ret != NULL ? 0 : -EINVAL;
	}
	if (s.n == 0 || memchr(s.p, '\0', s.n) != NULL)
		return -EINVAL;
	if ((host = strndup(s.p, s.n)) == NULL)
		return -ENOMEM;
	for (i = 0; i < s.n; i++)
		host[i] = lower(host[i]);
	if (!is_name(host, s.n)) {
		free(host);
		return -EINVAL;
	}
	*ret = host;
	return 0;
}

/* ":80"; an empty slice is the default. */
static int
parse_port(struct slice s, uint16_t preset, uint16_t *ret)
{
	unsigned	v = 0;
	size_t		i;

	if (s.n == 0) {
		*ret = preset;
		return 0;
	}
	if (s.n < 2 || s.n > 6 || s.p[0] != ':' || s.p[1] == '0')
		return -EINVAL;
	for (i = 1; i < s.n; i++) {
		if (!is_digit(s.p[i]))
			return -EINVAL;
		v = v * 10 + (unsigned)(s.p[i] - '0');
	}
	if (v > UINT16_MAX)
		return -EINVAL;
	*ret = (uint16_t)v;
	return 0;
}

static uint16_t
default_port(const struct url *u)
{
	return u->https ? 443 : 80;
}

static int
parse_authority(struct slice s, struct url *u)
{
	size_t	n;
	int	r;

	n = span_until(s.p, s.n, ":");
	if (s.n > 0 && s.p[0] == '[')
		n = MIN(span_until(s.p, s.n, "]") + 1, s.n);
	if ((r = parse_host((struct slice){ s.p, n }, &u->host)) < 0)
		return r;
	return parse_port((struct slice){ s.p + n, s.n - n }, default_port(u), &u->port);
}

/* What is in `b`, or the error that stands in `r`; frees `b`. */
static int
finish(struct buf *b, int r, char **ret)
{
	char	*text = r == 0 ? buf_steal(b) : NULL;

	buf_free(b);
	if (text == NULL)
		return r < 0 ? r : -ENOMEM;
	*ret = text;
	return 0;
}

static int
compose_authority(struct url *u)
{
	struct buf	b = BUF_INIT(URL_BYTES);
	int		r;

	r = buf_addf(&b, strchr(u->host, ':') != NULL ? "[%s]" : "%s", u->host);
	if (r == 0 && u->port != default_port(u))
		r = buf_addf(&b, ":%u", u->port);
	return finish(&b, r, &u->authority);
}

static int
compose_target(const struct parts *parts, struct url *u)
{
	struct buf	b = BUF_INIT(URL_BYTES);
	int		r;

	if ((r = parts->path.n == 0 ? buf_adds(&b, "/") : buf_addslice(&b, parts->path)) == 0)
		r = buf_addslice(&b, parts->query);
	return finish(&b, r, &u->target);
}

static int
compose_text(struct url *u)
{
	struct buf	b = BUF_INIT(URL_BYTES);
	int		r;

	if ((r = url_origin(u, &b)) == 0)
		r = buf_adds(&b, u->target);
	return finish(&b, r, &u->text);
}

static int
fill(const struct parts *parts, struct url *u)
{
	struct slice	path = parts->path;
	int		r;

	u->https = slice_ieq(parts->scheme, "https");
	if (!u->https && !slice_ieq(parts->scheme, "http"))
		return -EINVAL;
	if (!is_target(path.p, path.n) || !is_target(parts->query.p, parts->query.n))
		return -EINVAL;
	if ((r = parse_authority(parts->authority, u)) < 0 ||
	    (r = compose_authority(u)) < 0 || (r = compose_target(parts, u)) < 0)
		return r;
	return compose_text(u);
}

int
url_parse(const char *s, size_t n, struct url *ret)
{
	struct parts	parts;
	struct url	u = { 0 };
	int		r;

	if (n > URL_BYTES)
		return -EMSGSIZE;
	if (n == 0)
		return -EINVAL;
	split((struct slice){ s, n }, &parts);
	if ((r = fill(&parts, &u)) < 0) {
		url_free(&u);
		return r;
	}
	*ret = u;
	return 0;
}

/* Cuts off the last segment and the '/' before it, down to `floor`. */
static void
drop_segment(struct buf *out, size_t floor)
{
	size_t	n = out->len;

	while (n > floor && out->p[n - 1] != '/')
		n--;
	out->len = n > floor ? n - 1 : floor;
	out->p[out->len] = '\0';
}

/* RFC 3986 5.2.4 for a path that starts with '/'; appends to out. */
static int
add_without_dots(struct buf *out, const char *p, size_t n)
{
	size_t	floor = out->len, len;
	bool	last, dot, dots;
	int	r;

	while (n > 0) {
		len = 1 + span_until(p + 1, n - 1, "/");
		last = len == n;
		dot = len == 2 && p[1] == '.';
		dots = len == 3 && p[1] == '.' && p[2] == '.';
		if (dots)
			drop_segment(out, floor);
		r = !dot && !dots ? buf_add(out, p, len) : last ? buf_add(out, "/", 1) : 0;
		if (r < 0)
			return r;
		p += len;
		n -= len;
	}
	return 0;
}

/* 5.2.3: the reference's path in place of the base's last segment, then 5.2.4. */
static int
add_merged(struct buf *out, struct slice base, struct slice ref)
{
	_cleanup_(buf_free) struct buf	path = BUF_INIT(2 * URL_BYTES + 2);
	int				 r;

	while (base.p[base.n - 1] != '/')
		base.n--;
	if ((r = buf_addslice(&path, base)) < 0 ||
	    (r = buf_addslice(&path, ref)) < 0)
		return r;
	return add_without_dots(out, path.p, path.len);
}

/* 5.2.2 from the path on, for a reference without a scheme and an authority. */
static int
add_target(struct buf *out, const struct url *base, const struct parts *ref)
{
	struct parts	own;
	int		r;

	split(slice_of(base->target), &own);
	if (ref->path.n == 0) {
		r = buf_addslice(out, own.path);
		return r < 0 ? r : buf_addslice(out, ref->query.p != NULL ? ref->query : own.query);
	}
	if (ref->path.p[0] == '/')
		r = add_without_dots(out, ref->path.p, ref->path.n);
	else
		r = add_merged(out, own.path, ref->path);
	return r < 0 ? r : buf_addslice(out, ref->query);
}

static int
add_resolved(struct buf *out, const struct url *base, const struct parts *ref)
{
	struct slice	scheme = ref->scheme;
	int		r;

	if (ref->authority.p == NULL) {
		if (scheme.p != NULL)
			return -EINVAL;
		r = url_origin(base, out);
		return r < 0 ? r : add_target(out, base, ref);
	}
	if (scheme.p == NULL)
		scheme = slice_of(base->https ? "https" : "http");
	if ((r = buf_addslice(out, scheme)) < 0 || (r = buf_adds(out, "://")) < 0 ||
	    (r = buf_addslice(out, ref->authority)) < 0 ||
	    (r = add_without_dots(out, ref->path.p, ref->path.n)) < 0)
		return r;
	return buf_addslice(out, ref->query);
}

int
url_resolve(const struct url *base, const char *ref, size_t n, struct url *ret)
{
	_cleanup_(buf_free) struct buf	text = BUF_INIT(2 * URL_BYTES + 2);
	struct parts			parts;
	int				r;

	if (n > URL_BYTES)
		return -EMSGSIZE;
	split((struct slice){ ref != NULL ? ref : "", span_until(ref, n, "#") }, &parts);
	if ((r = add_resolved(&text, base, &parts)) < 0)
		return r;
	return url_parse(text.p, text.len, ret);
}

int
url_copy(const struct url *u, struct url *ret)
{
	struct url	copy = { .https = u->https, .port = u->port };

	copy.text = strdup(u->text);
	copy.host = strdup(u->host);
	copy.target = strdup(u->target);
	copy.authority = strdup(u->authority);
	if (copy.text == NULL || copy.host == NULL || copy.target == NULL ||
	    copy.authority == NULL) {
		url_free(&copy);
		return -ENOMEM;
	}
	*ret = copy;
	return 0;
}

void
url_free(struct url *u)
{
	free(u->text);
	free(u->host);
	free(u->target);
	free(u->authority);
	*u = (struct url){ 0 };
}

bool
url_same_origin(const struct url *a, const struct url *b)
{
	return a->https == b->https && a->port == b->port && strcmp(a->host, b->host) == 0;
}

bool
host_is_loopback(const char *host, size_t n)
{
	static const char	suffix[] = ".localhost";
	struct slice		s = { host, n };
	struct in6_addr		v6;
	struct in_addr		v4;
	char			text[INET6_ADDRSTRLEN];

	if (slice_ieq(s, "localhost"))
		return true;
	if (n >= sizeof(suffix) &&
	    strncasecmp(host + n - strlen(suffix), suffix, strlen(suffix)) == 0)
		return true;
	if (n >= sizeof(text) || memchr(host, '\0', n) != NULL)
		return false;
	memcpy(text, host, n);
	text[n] = '\0';
	if (inet_pton(AF_INET, text, &v4) == 1)
		return ntohl(v4.s_addr) >> 24 == 127;
	return inet_pton(AF_INET6, text, &v6) == 1 && IN6_IS_ADDR_LOOPBACK(&v6);
}

bool
url_is_loopback(const struct url *u)
{
	return host_is_loopback(u->host, strlen(u->host));
}

int
url_origin(const struct url *u, struct buf *out)
{
	return buf_addf(out, "%s://%s", u->https ? "https" : "http", u->authority);
}
