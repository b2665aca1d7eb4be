/* Scopes: sets of words separated by single blanks (RFC 6749 section 3.3). */
#ifndef SCOPE_H
#define SCOPE_H

#include "buf.h"

#define SCOPE_BYTES	(8 * 1024)	/* of one set */

/* Only visible ASCII without quote and backslash, words and blanks, within SCOPE_BYTES; "" is the empty set. */
bool	scope_valid(const char *);
/* Appends the union, words of `a` first, each once; NULL is the empty set (WIRE A11).  0, -ENOMEM, -EMSGSIZE. */
int	scope_union(struct buf *out, const char *a, const char *b);
/* Every word of `part` stands in `whole`; NULL is the empty set. */
bool	scope_contains(const char *whole, const char *part);

#endif
