/*
 * Cookies that an upstream sets, kept for one session (WIRE L17): Set-Cookie
 * in, one Cookie line out (RFC 6265).  Host-only: what names another domain is
 * refused.  Pure and bounded; `wall` is wall-clock ms.
 */
#ifndef COOKIE_H
#define COOKIE_H

#include "buf.h"
#include "url.h"

#define COOKIE_BYTES	4096		/* name and value of one, RFC 6265 section 6.1 */
#define COOKIES_MAX	50		/* of one session, as there */
#define COOKIE_JAR_BYTES (16 * 1024)	/* names, values and paths of one session: a Cookie line must fit a head */

/* One Set-Cookie value, taken apart; slices point into it. */
struct cookie {
	struct slice	name, value;
	struct slice	path;		/* {NULL, 0}: by the request's */
	struct slice	domain;		/* {NULL, 0}: none; without a leading dot */
	bool		secure;
	bool		expires;	/* at `until`, else with the session */
	int64_t		until;
};

struct cookie_entry;

/* Zero it. */
struct cookie_jar {
	struct cookie_entry *first;	/* oldest first */
	unsigned	 n;
	size_t		 bytes;
};

/* 0 or -EINVAL. */
int	cookie_parse(struct slice, int64_t wall, struct cookie *ret);
/*
 * Takes one Set-Cookie of an answer from `url`: adds, replaces or deletes.
 * What is malformed, foreign or too large is dropped; the oldest makes room.
 */
void	cookie_jar_set(struct cookie_jar *, const struct url *, struct slice, int64_t wall);
/* Appends "Cookie: a=b; c=d\r\n", or nothing.  0, -ENOMEM, -EMSGSIZE. */
int	cookie_jar_lead(const struct cookie_jar *, const struct url *, int64_t wall, struct buf *out);
void	cookie_jar_free(struct cookie_jar *);

#endif
