/* The page at the end of a login, in the person's browser: one self-contained HTML document. */
#ifndef PAGE_H
#define PAGE_H

#include "buf.h"

enum page {
	PAGE_DONE,		/* the login has succeeded; the tab may be closed */
	PAGE_DENIED,		/* the person refused */
	PAGE_FAILED,		/* the server said no, or the exchange failed; `detail` are our words */
	PAGE_EXPIRED,		/* the flow is over (too late, or already used) */
	PAGE_STRAY		/* 400: wrong path or state; the flow goes on waiting */
};

/* HTTP status that goes with it. */
int	page_status(enum page);
/*
 * Appends the document, under 6 KiB whatever comes: upstream (NULL: not
 * named, for strangers) and detail (NULL: none) are escaped and cut.
 * 0 or -ENOMEM (also beyond the buffer's ceiling).
 */
int	page_html(struct buf *out, enum page, const char *upstream, const char *detail);

/* The response fields that go with it and keep it self-contained: type, CSP, no-store, no-referrer, nosniff.  Ends with a NULL name. */
struct page_field { const char *name, *value; };
extern const struct page_field page_fields[];

#endif
