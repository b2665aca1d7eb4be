#include "hop.h"

#define NAME(s)	{ s, sizeof(s) - 1 }

/* RFC 9110 7.6.1, and Trailer since we drop trailers. */
static const struct slice hop_by_hop[] = {
	NAME("Connection"), NAME("Keep-Alive"), NAME("Proxy-Connection"), NAME("TE"),
	NAME("Trailer"), NAME("Transfer-Encoding"), NAME("Upgrade"), { NULL, 0 }
};

static const struct slice not_up[] = {
	NAME("Host"), NAME("Content-Length"), NAME("Expect"), NAME("Authorization"),
	NAME("Cookie"), NAME("Cookie2"), NAME("Origin"), { NULL, 0 }
};

static const struct slice not_down[] = {
	NAME("Content-Length"), NAME("WWW-Authenticate"), NAME("Proxy-Authenticate"),
	NAME("Set-Cookie"), NAME("Set-Cookie2"), NAME("Alt-Svc"), { NULL, 0 }
};

/* Lengths first: few names get beyond them. */
static bool
is_one_of(struct slice name, const struct slice *list)
{
	for (; list->p != NULL; list++)
		if (name.n == list->n && strncasecmp(name.p, list->p, name.n) == 0)
			return true;
	return false;
}

static bool
ends_here(const struct http1_head *h, const struct http1_field *f)
{
	return is_one_of(f->name, hop_by_hop) || http1_lists(h, "Connection", f->name);
}

static bool
is_proxy_field(struct slice name)
{
	const struct slice	prefix = slice_of("Proxy-");

	return name.n >= prefix.n && strncasecmp(name.p, prefix.p, prefix.n) == 0;
}

bool
hop_up(const struct http1_head *h, const struct http1_field *f)
{
	return !is_one_of(f->name, not_up) && !is_proxy_field(f->name) && !ends_here(h, f);
}

bool
hop_down(const struct http1_head *h, const struct http1_field *f)
{
	return !is_one_of(f->name, not_down) && !ends_here(h, f);
}
