/*
 * HTTP/1.1 heads and bodies, both directions, sans-I/O: bytes in, slices out,
 * no allocation.  RFC 9112, strict: CRLF only, no obs-fold, no blank before
 * the colon, no NUL or control in a value, one consistent Content-Length of
 * digits alone, never together with Transfer-Encoding, and no transfer coding
 * but a single "chunked".  HTTP/1.0 and 1.1 only.
 */
#ifndef HTTP1_H
#define HTTP1_H

#include "bounds.h"
#include "util.h"

enum http1_framing {
	HTTP1_NONE,		/* no body */
	HTTP1_LENGTH,		/* `length` bytes */
	HTTP1_CHUNKED,
	HTTP1_EOF		/* responses: until the connection ends */
};

/* Why a head or body was refused; http1_strerror() has the words. */
enum http1_error {
	HTTP1_OK,
	HTTP1_BAD_LINE,		/* request or status line */
	HTTP1_BAD_VERSION,	/* well-formed, but not HTTP/1.0 or 1.1 (505) */
	HTTP1_BAD_FIELD,	/* name, colon, fold, control */
	HTTP1_BAD_NEWLINE,	/* bare LF or bare CR */
	HTTP1_BAD_LENGTH,	/* Content-Length: signed, differing, not a number, overflow */
	HTTP1_BAD_CODING,	/* Transfer-Encoding other than chunked, or with a length, or in 1.0 */
	HTTP1_BAD_HOST,		/* a 1.1 request without exactly one Host (empty is fine) */
	HTTP1_TOO_LARGE,	/* head beyond the limit, too many fields (431) */
	HTTP1_BAD_CHUNK,	/* chunk-size line, CRLF after a chunk, trailers */
	HTTP1_CUT,		/* the connection ended inside */
	HTTP1_ERROR_MAX
};

struct http1_field {
	struct slice	name;
	struct slice	value;	/* outer blanks removed */
};

struct http1_head {
	struct slice	method;		/* request: a token, as sent */
	struct slice	target;		/* request: printable ASCII without blanks; origin-form, absolute-form, "*", authority-form alike */
	int		status;		/* response: 100-599 (others are HTTP1_BAD_LINE) */
	struct slice	reason;
	int		minor;		/* HTTP/1.minor */
	bool		keep_alive;	/* version and Connection say so */
	bool		expect_continue;/* request 1.1 with Expect: 100-continue */
	enum http1_framing framing;	/* of the body that follows */
	uint64_t	length;		/* HTTP1_LENGTH: its size */
	size_t		nfields;
	struct http1_field fields[HEADER_FIELDS];
	size_t		size;		/* bytes of the head, blank line included */
};

/*
 * Parses a request head from p[0..n).  `*scanned` is 0 for a new head and
 * carries how far an earlier, shorter call has looked, so that feeding byte
 * by byte stays linear.  `max` bounds the head.
 *
 * Returns 1 and fills *ret (slices point into p), 0 if the head is not yet
 * complete (errors that can be seen already are reported at once: a bare LF,
 * a first line that cannot become one, more than `max` bytes), -EBADMSG with
 * *ret_error set.  A single CRLF before a request line is skipped (RFC 9112
 * 2.2) and counts into `size`.
 */
int	http1_request(const char *p, size_t n, size_t *scanned, size_t max, struct http1_head *ret, enum http1_error *ret_error);
/*
 * The same for a response head.  `method` of the request decides the body
 * (HEAD: none).  1xx, 204 and 304 have none: a 1xx that announces one is
 * refused, a 204 that does is not kept alive.  A 1xx is returned like any
 * other; the caller reads on.
 */
int	http1_response(const char *p, size_t n, size_t *scanned, size_t max, const char *method, struct http1_head *ret, enum http1_error *ret_error);

/* First field of that name at or after *i (start with 0; left behind the hit); NULL if there is none. */
const struct http1_field *http1_next(const struct http1_head *, const char *name, size_t *i);
/* Value of the first field of that name, or {NULL, 0}. */
struct slice http1_get(const struct http1_head *, const char *name);
/* Is `token` in the comma-separated list of any field of that name?  ASCII case ignored. */
bool	http1_has_token(const struct http1_head *, const char *name, const char *token);
/* The same for a token that is a slice. */
bool	http1_lists(const struct http1_head *, const char *name, struct slice token);

/* A body being read. */
struct http1_body {
	enum http1_framing framing;
	uint64_t	left;		/* of the length or of the chunk */
	uint64_t	seen;		/* payload bytes so far */
	unsigned char	state;		/* private */
	uint16_t	line;		/* private: bytes of the current line or trailers */
	bool		done;
};

void	http1_body_init(struct http1_body *, enum http1_framing, uint64_t length);
/*
 * Takes bytes off p[0..n).  Returns how many were taken (0 only if done or
 * n == 0), and *ret_data is the payload among them (maybe empty, contiguous).
 * Call again until all is taken or ->done.  -EBADMSG with *ret_error.
 * Trailers are read, bounded and dropped.
 */
ssize_t	http1_body(struct http1_body *, const char *p, size_t n, struct slice *ret_data, enum http1_error *ret_error);
/* The connection ended: true if the body was complete (done, or EOF framing). */
bool	http1_body_eof(struct http1_body *);

const char *http1_strerror(enum http1_error);
/* RFC 9110 5.6.2 token; 5.5 field value (no controls but HTAB, obs-text allowed). */
bool	http1_is_token(const char *, size_t n);
bool	http1_is_value(const char *, size_t n);
/* Reason phrase of a status, "" if unknown. */
const char *http1_reason(int status);

#endif
