#include <time.h>

#include "bounds.h"
#include "cookie.h"
#include "http1.h"

struct cookie_entry {
	struct cookie_entry *next;
	char	*name, *value, *path;
	size_t	 bytes;
	bool	 secure, expires;
	int64_t	 until;
};

/* --- one Set-Cookie --- */

static struct slice
trim(struct slice s)
{
	while (s.n > 0 && (*s.p == ' ' || *s.p == '\t')) {
		s.p++;
		s.n--;
	}
	while (s.n > 0 && (s.p[s.n - 1] == ' ' || s.p[s.n - 1] == '\t'))
		s.n--;
	return s;
}

/* Takes what stands before `end` (or all) off *rest. */
static struct slice
cut(struct slice *rest, char end)
{
	const char *at = rest->n > 0 ? memchr(rest->p, end, rest->n) : NULL;
	struct slice s = { rest->p, at != NULL ? (size_t)(at - rest->p) : rest->n };

	rest->p += at != NULL ? s.n + 1 : s.n;
	rest->n -= at != NULL ? s.n + 1 : s.n;
	return trim(s);
}

static bool
number(struct slice s, int64_t *ret)
{
	int64_t n = 0;

	if (s.n == 0 || s.n > 15)
		return false;
	for (size_t i = 0; i < s.n; i++) {
		if (s.p[i] < '0' || s.p[i] > '9')
			return false;
		n = n * 10 + (s.p[i] - '0');
	}
	*ret = n;
	return true;
}

static int
month(struct slice s)
{
	static const char names[] = "janfebmaraprmayjunjulaugsepoctnovdec";

	for (int i = 0; s.n >= 3 && i < 12; i++)
		if (strncasecmp(s.p, names + 3 * i, 3) == 0)
			return i;
	return -1;
}

static bool
clock_time(struct slice s, struct tm *tm)
{
	int64_t h, m, sec;

	if (memchr(s.p, ':', s.n) == NULL || !number(cut(&s, ':'), &h) ||
	    !number(cut(&s, ':'), &m) || !number(s, &sec) || h > 23 || m > 59 || sec > 59)
		return false;
	tm->tm_hour = (int)h;
	tm->tm_min = (int)m;
	tm->tm_sec = (int)sec;
	return true;
}

static bool
is_delimiter(char c)
{
	return c == ' ' || c == '\t' || c == ',' || c == '-';
}

/* RFC 6265 section 5.1.1: day, month, year and time in that order, whatever stands around them. */
static bool
date(struct slice s, int64_t *ret)
{
	struct tm tm = { .tm_mday = -1, .tm_mon = -1, .tm_year = -1, .tm_hour = -1 };
	int64_t n;
	size_t i;

	while (s.n > 0) {
		for (i = 0; i < s.n && !is_delimiter(s.p[i]); i++)
			;
		struct slice token = { s.p, i };

		i += i < s.n;
		s.p += i;
		s.n -= i;
		if (token.n == 0 || (tm.tm_hour == -1 && clock_time(token, &tm)))
			continue;
		if (number(token, &n)) {
			if (tm.tm_mday == -1 && n >= 1 && n <= 31)
				tm.tm_mday = (int)n;
			else if (tm.tm_year == -1 && n <= 9999)
				tm.tm_year = (int)(n < 70 ? n + 100 : n < 100 ? n : n - 1900);
		} else if (tm.tm_mon == -1) {
			tm.tm_mon = month(token);
		}
	}
	if (tm.tm_mday == -1 || tm.tm_mon == -1 || tm.tm_year < 0 || tm.tm_hour == -1)
		return false;
	*ret = (int64_t)timegm(&tm) * SEC;
	return true;
}

/* Max-Age wins over Expires. */
static void
attribute(struct cookie *c, struct slice name, struct slice value, int64_t wall, bool *aged)
{
	int64_t n;

	if (slice_ieq(name, "Secure")) {
		c->secure = true;
	} else if (slice_ieq(name, "Path")) {
		c->path = value.n > 0 && value.p[0] == '/' ? value : (struct slice){ NULL, 0 };
	} else if (slice_ieq(name, "Domain") && value.n > 0) {
		c->domain = value.p[0] == '.' ? (struct slice){ value.p + 1, value.n - 1 } : value;
	} else if (slice_ieq(name, "Max-Age")) {
		if (value.n > 1 && value.p[0] == '-')
			n = 0;
		else if (!number(value, &n))
			return;
		c->expires = *aged = true;
		c->until = n > 0 ? wall + MIN(n, (int64_t)4000000000) * SEC : 0;
	} else if (slice_ieq(name, "Expires") && !*aged && date(value, &n)) {
		c->expires = true;
		c->until = n;
	}
}

int
cookie_parse(struct slice s, int64_t wall, struct cookie *ret)
{
	struct cookie c = { 0 };
	struct slice part, name;
	bool aged = false;

	if (s.n == 0 || !http1_is_value(s.p, s.n))
		return -EINVAL;
	part = cut(&s, ';');
	if (part.n == 0 || memchr(part.p, '=', part.n) == NULL)
		return -EINVAL;
	c.name = cut(&part, '=');
	c.value = trim(part);
	if (!http1_is_token(c.name.p, c.name.n) || c.name.n + c.value.n > COOKIE_BYTES)
		return -EINVAL;
	while (s.n > 0) {
		part = cut(&s, ';');
		name = cut(&part, '=');
		attribute(&c, name, trim(part), wall, &aged);
	}
	*ret = c;
	return 0;
}

/* --- the jar --- */

static void
entry_free(struct cookie_entry *e)
{
	secret_free(e->value);
	free(e->name);
	free(e->path);
	free(e);
}

static void
unlink_at(struct cookie_jar *jar, struct cookie_entry **at)
{
	struct cookie_entry *e = *at;

	*at = e->next;
	jar->n--;
	jar->bytes -= e->bytes;
	entry_free(e);
}

/* RFC 6265 section 5.1.4: the target's path up to its last slash, which is left out unless it is the first. */
static struct slice
default_path(const struct url *url)
{
	size_t n = strcspn(url->target, "?");

	while (n > 0 && url->target[n - 1] != '/')
		n--;
	return (struct slice){ url->target, n > 1 ? n - 1 : 1 };
}

static bool
path_matches(const char *path, const char *target)
{
	size_t n = strlen(path), m = strcspn(target, "?");

	return n <= m && strncmp(path, target, n) == 0 &&
	    (n == m || path[n - 1] == '/' || target[n] == '/');
}

static void
forget(struct cookie_jar *jar, struct slice name, struct slice path)
{
	struct cookie_entry **at = &jar->first;

	while (*at != NULL) {
		if (slice_eq(name, (*at)->name) && slice_eq(path, (*at)->path))
			unlink_at(jar, at);
		else
			at = &(*at)->next;
	}
}

static void
add(struct cookie_jar *jar, const struct cookie *c, struct slice path)
{
	struct cookie_entry **at, *e = calloc(1, sizeof(*e));

	if (e == NULL)
		return;
	e->name = strndup(c->name.p, c->name.n);
	e->value = strndup(c->value.p, c->value.n);
	e->path = strndup(path.p, path.n);
	e->bytes = c->name.n + c->value.n + path.n;
	e->secure = c->secure;
	e->expires = c->expires;
	e->until = c->until;
	if (e->name == NULL || e->value == NULL || e->path == NULL ||
	    e->bytes > COOKIE_JAR_BYTES) {
		entry_free(e);
		return;
	}
	while (jar->n >= COOKIES_MAX || jar->bytes + e->bytes > COOKIE_JAR_BYTES)
		unlink_at(jar, &jar->first);
	for (at = &jar->first; *at != NULL; at = &(*at)->next)
		;
	*at = e;
	jar->n++;
	jar->bytes += e->bytes;
}

void
cookie_jar_set(struct cookie_jar *jar, const struct url *url, struct slice s, int64_t wall)
{
	struct cookie c;
	struct slice path;

	if (cookie_parse(s, wall, &c) < 0 || (c.secure && !url->https) ||
	    (c.domain.p != NULL && !slice_ieq(c.domain, url->host)))
		return;
	path = c.path.p != NULL ? c.path : default_path(url);
	forget(jar, c.name, path);
	if (!c.expires || c.until > wall)
		add(jar, &c, path);
}

int
cookie_jar_lead(const struct cookie_jar *jar, const struct url *url, int64_t wall, struct buf *out)
{
	const struct cookie_entry *e;
	bool any = false;
	int r;

	for (e = jar->first; e != NULL; e = e->next) {
		if ((e->expires && e->until <= wall) || (e->secure && !url->https) ||
		    !path_matches(e->path, url->target))
			continue;
		if ((r = buf_addf(out, "%s%s=%s", any ? "; " : "Cookie: ", e->name, e->value)) < 0)
			return r;
		any = true;
	}
	return any ? buf_add(out, "\r\n", 2) : 0;
}

void
cookie_jar_free(struct cookie_jar *jar)
{
	while (jar->first != NULL)
		unlink_at(jar, &jar->first);
}
