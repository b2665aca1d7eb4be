/* RFC 4648: section 4 (padded) and section 5 (URL-safe, without padding). */
#ifndef BASE64_H
#define BASE64_H

#include "buf.h"

/* Appends.  0, -ENOMEM, -EMSGSIZE. */
int	base64_add(struct buf *out, const void *, size_t n);
int	base64url_add(struct buf *out, const void *, size_t n);
/* The same into memory of the caller: (4 * n + 2) / 3 characters and NUL.  Cannot fail. */
void	base64url_text(char *out, const void *, size_t n);
/* Appends the bytes that a URL-safe text stands for; padding and stray bits are refused.  0, -EBADMSG, -ENOMEM, -EMSGSIZE. */
int	base64url_get(struct buf *out, const char *, size_t n);

#endif
