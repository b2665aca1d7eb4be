/*
 * URLs as OAuth and MCP need them: http and https, absolute, bounded.  RFC
 * 3986.  Stricter than curl_url() and compared with it by a test.
 */
#ifndef URL_H
#define URL_H

#include "buf.h"

struct url {
	char	*text;		/* canonical: lower-case scheme and host, default port dropped, empty path = "/", no fragment */
	bool	 https;
	char	*host;		/* lower case; an IPv6 literal without brackets */
	uint16_t port;		/* the default filled in */
	char	*target;	/* path and query, as sent in a request line; starts with '/' */
	char	*authority;	/* host[:port] as sent in Host (brackets for IPv6, port only if not the default) */
};

/*
 * Parses `s` (n bytes).  Refused with -EINVAL: another scheme, user
 * information, an empty host, a bad port, controls, blanks, non-ASCII, a
 * fragment.  -EMSGSIZE beyond URL_BYTES.  `ret` is written only on success;
 * free with url_free().
 */
int	url_parse(const char *s, size_t n, struct url *ret);
/* Resolves a reference (a Location value) against `base`, RFC 3986 section 5.  A fragment is dropped.  Errors as url_parse(). */
int	url_resolve(const struct url *base, const char *ref, size_t n, struct url *ret);
int	url_copy(const struct url *, struct url *ret);
void	url_free(struct url *);
/* Same scheme, host and port (RFC 6454). */
bool	url_same_origin(const struct url *, const struct url *);
/* localhost, *.localhost, 127.0.0.0/8, [::1]. */
bool	url_is_loopback(const struct url *);
/* The same for a host name alone (IPv6 without brackets). */
bool	host_is_loopback(const char *, size_t n);
/* Appends "scheme://authority" without a slash. */
int	url_origin(const struct url *, struct buf *out);

#endif
