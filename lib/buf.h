/*
 * A growing byte buffer with a ceiling.  Always NUL-terminated behind `len`
 * once it owns memory, so that text may be used as a C string.
 *
 * A buffer marked `secret` wipes what it gives up: on reset, on growth (never
 * realloc), on consume and on free.
 */
#ifndef BUF_H
#define BUF_H

#include <stdarg.h>

#include "util.h"

struct buf {
	char	*p;
	size_t	 len;
	size_t	 cap;
	size_t	 max;		/* ceiling for len; 0 = BUF_MAX_DEFAULT */
	bool	 secret;
};

#define BUF_MAX_DEFAULT	(128L * 1024 * 1024)
#define BUF_INIT(m)	((struct buf){ .max = (m) })
#define BUF_SECRET(m)	((struct buf){ .max = (m), .secret = true })

/* Room for n more bytes.  0, -ENOMEM, or -EMSGSIZE beyond the ceiling. */
int	buf_reserve(struct buf *, size_t n);
/* Append.  0, -ENOMEM or -EMSGSIZE; on error nothing is appended. */
int	buf_add(struct buf *, const void *, size_t n);
int	buf_adds(struct buf *, const char *);
int	buf_addslice(struct buf *, struct slice);
int	buf_addf(struct buf *, const char *fmt, ...) _printf_(2, 3);
/* Appends text as a JSON string with quotes, RFC 8259 section 7.  Invalid UTF-8 becomes U+FFFD. */
int	buf_addjson(struct buf *, const char *, size_t n);
/* Drops the first n bytes (n <= len). */
void	buf_consume(struct buf *, size_t n);
/* Empties it, keeps the memory. */
void	buf_reset(struct buf *);
/* Frees; NULL memory and repeated calls are fine; max and secret stay. */
void	buf_free(struct buf *);
/* Hands the NUL-terminated memory to the caller (free() it; wipe it if secret). NULL on -ENOMEM. */
char	*buf_steal(struct buf *);

/* Wipes and frees; NULL is fine. */
void	secret_free(char *);
/* The same for n bytes. */
void	secret_freen(void *, size_t n);

/*
 * Writes remote text to `out` (size bytes, NUL-terminated always) so that it
 * may be logged or shown: printable ASCII as is, everything else as \xNN, a
 * cut marked by "...".
 */
const char *text_escape(char *out, size_t size, const char *, size_t n);

#endif
