/* A person's browser on loopback: follows redirects by itself, shows the last page. */
#include <stdio.h>

#include "support.h"

struct target { char where[PATH_SIZE], host[64], path[256 * 1024]; bool walls; };

/* The wall's own origin is reached over its Unix socket where it speaks TLS. */
static void
target_of(const struct world *w, const char *url, struct target *t)
{
	const char	*at = strstr(url, "://"), *path;
	size_t		 n = strlen(w->origin);

	if (at == NULL || strlen(url) >= sizeof(t->path))
		give_up("browser: not a URL: %.200s", url);
	at += 3;
	path = at + strcspn(at, "/?");
	snprintf(t->host, sizeof(t->host), "%.*s", (int)(path - at), at);
	snprintf(t->path, sizeof(t->path), "%s%s", *path == '/' ? "" : "/", path);
	t->walls = strncmp(url, w->origin, n) == 0 && (url[n] == '/' || url[n] == '?');
	if (t->walls)
		snprintf(t->where, sizeof(t->where), "%s", w->control);
	else if (strncmp(t->host, "127.0.0.1:", 10) == 0 || strncmp(t->host, "localhost:", 10) == 0)
		snprintf(t->where, sizeof(t->where), "tcp:%s", t->host + 10);
	else
		give_up("browser: not on loopback: %.200s", url);
}

static int
get(const struct target *t, struct reply *r, int ms)
{
	struct client	*c = client_try(t->where);
	struct buf	 b = BUF_INIT(0);
	int		 rc;

	if (c == NULL)
		return -ECONNREFUSED;
	buf_addf(&b, "GET %s HTTP/1.1\r\nHost: %s\r\nAccept: text/html\r\n"
	    "Connection: close\r\n\r\n", t->path, t->host);
	rc = client_send(c, b.p, b.len, ms);
	if (rc != -ETIMEDOUT)
		rc = client_reply(c, "GET", r, ms);
	client_close(c);
	buf_free(&b);
	/* What is not the wall's is a page of a daemon. */
	if (rc == 0 && !t->walls && r->body.len > 0)
		overheard("/run/callback", r->body.p, r->body.len);
	return rc;
}

int
browse(const struct world *w, const char *url, int hops, struct reply *r, int ms)
{
	struct target	*t = calloc(1, sizeof(*t));
	char		*next = strdup(url), *location;
	struct slice	 s;
	int		 rc;

	if (t == NULL || next == NULL)
		give_up("no memory");
	for (;;) {
		target_of(w, next, t);
		if ((rc = get(t, r, ms)) != 0 || r->status / 100 != 3 || hops-- <= 0)
			break;
		s = reply_field(r, "Location");
		if (s.n == 0)
			break;
		location = strndup(s.p, s.n);
		free(next);
		next = location;
	}
	free(next);
	free(t);
	return rc;
}

char *
browse_location(const struct world *w, const char *url, int ms)
{
	struct reply	 r = { 0 };
	struct slice	 s;
	char		*location;

	if (browse(w, url, 0, &r, ms) != 0 || r.status / 100 != 3)
		give_up("browser: no redirect: %d %.300s", r.status, r.body.p);
	s = reply_field(&r, "Location");
	location = strndup(s.p, s.n);
	reply_free(&r);
	return location;
}
