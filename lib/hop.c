#include "hop.h"

/* RFC 9110 7.6.1, and Trailer since we drop trailers. */
static const char *const hop_by_hop[] = {
	"Connection", "Keep-Alive", "Proxy-Connection", "TE", "Trailer",
	"Transfer-Encoding", "Upgrade", NULL
};

static const char *const not_up[] = {
	"Host", "Content-Length", "Expect", "Authorization", "Cookie", "Cookie2", "Origin", NULL
};

static const char *const not_down[] = {
	"Content-Length", "WWW-Authenticate", "Proxy-Authenticate", "Set-Cookie",
	"Set-Cookie2", "Alt-Svc", NULL
};

static bool
is_one_of(struct slice name, const char *const *list)
{
	for (; *list != NULL; list++)
		if (slice_ieq(name, *list))
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
