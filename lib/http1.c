/*
 * Deviations from RFC 9112, all towards strictness but the last: identical
 * duplicates of Content-Length are refused (6.3 allows to merge them), so are
 * bad white space around chunk extensions and quoted pairs in them (7.1.1;
 * parsers differ) and HTTP/1.2 and up (2.3); a status line may end right after
 * the code (4).
 */
#include "http1.h"

enum {
	TOKEN = 1,		/* RFC 9110 5.6.2 */
	VALUE = 2,		/* 5.5: HTAB, SP, VCHAR, obs-text */
	TARGET = 4		/* VCHAR */
};

#define ANY	(TOKEN | VALUE | TARGET)
#define DELIM	(VALUE | TARGET)

static const unsigned char class_of[256] = {
	['\t'] = VALUE,
	[' '] = VALUE,
	['!'] = ANY,
	['"'] = DELIM,
	['#' ... '\''] = ANY,
	['(' ... ')'] = DELIM,
	['*' ... '+'] = ANY,
	[','] = DELIM,
	['-' ... '.'] = ANY,
	['/'] = DELIM,
	['0' ... '9'] = ANY,
	[':' ... '@'] = DELIM,
	['A' ... 'Z'] = ANY,
	['[' ... ']'] = DELIM,
	['^' ... 'z'] = ANY,
	['{'] = DELIM,
	['|'] = ANY,
	['}'] = DELIM,
	['~'] = ANY,
	[0x80 ... 0xff] = VALUE,
};

static const char *const error_names[] = {
	[HTTP1_OK] = "no error",
	[HTTP1_BAD_LINE] = "malformed first line",
	[HTTP1_BAD_VERSION] = "HTTP version is not 1.0 or 1.1",
	[HTTP1_BAD_FIELD] = "malformed header field",
	[HTTP1_BAD_NEWLINE] = "line does not end in CRLF",
	[HTTP1_BAD_LENGTH] = "bad Content-Length",
	[HTTP1_BAD_CODING] = "bad Transfer-Encoding",
	[HTTP1_BAD_HOST] = "not exactly one Host field",
	[HTTP1_TOO_LARGE] = "header too large",
	[HTTP1_BAD_CHUNK] = "malformed chunked body",
	[HTTP1_CUT] = "connection ended inside a message",
};
_Static_assert(nitems(error_names) == HTTP1_ERROR_MAX, "a name for each error");

/* States of a chunked body. */
enum {
	SIZE_FIRST,		/* at least one digit */
	SIZE,
	EXT_NAME_FIRST,
	EXT_NAME,
	EXT_VALUE_FIRST,
	EXT_VALUE,
	EXT_QUOTED,
	EXT_END,		/* behind the closing quote */
	SIZE_LF,
	DATA,
	DATA_CR,
	DATA_LF,
	TRAILER_FIRST,
	TRAILER_NAME,
	TRAILER_VALUE,
	TRAILER_LF,
	LAST_LF
};

#define PREFIX		16	/* looked at anew in each call: enough to know a stranger */
#define LENGTH_MAX	INT64_MAX

static bool
is(char c, int class)
{
	return (class_of[(unsigned char)c] & class) != 0;
}

static bool
is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static bool
is_blank(char c)
{
	return c == ' ' || c == '\t';
}

/*
 * Skips field-value characters; something else must stand before `end`.  Eight
 * at a time while all of them are plain: none below 0x20 and none 0x7f.
 */
static const char *
skip_value(const char *c, const char *end)
{
	const uint64_t	ones = ~0ULL / 255;
	uint64_t	w, low, del;

	for (; end - c >= 8; c += 8) {
		memcpy(&w, c, 8);
		del = w ^ (ones * 0x7f);
		low = ((w - ones * 0x20) & ~w) | ((del - ones) & ~del);
		if ((low & (ones * 0x80)) != 0)
			break;
	}
	while (is(*c, VALUE))
		c++;
	return c;
}

/*
 * Finds the blank line that ends a head.  *ret_size = 0: not here yet.  Every
 * LF up to there has been seen to follow a CR.
 */
static enum http1_error
find_end(const char *p, size_t n, size_t start, size_t *scanned, size_t max, size_t *ret_size)
{
	size_t		 limit = MIN(n, max), i = MAX(*scanned, start);
	const char	*lf;

	*ret_size = 0;
	while (i < limit && (lf = memchr(p + i, '\n', limit - i)) != NULL) {
		i = (size_t)(lf - p);
		if (i == start || p[i - 1] != '\r')
			return HTTP1_BAD_NEWLINE;
		i++;
		if (i >= start + 3 && p[i - 3] == '\n') {
			*scanned = *ret_size = i;
			return HTTP1_OK;
		}
	}
	*scanned = limit;
	return n >= max ? HTTP1_TOO_LARGE : HTTP1_OK;
}

/* Below here the head is complete: a CR stands before `end` and stops every scan. */

static enum http1_error
end_line(const char **c)
{
	if ((*c)[0] != '\r')
		return HTTP1_BAD_FIELD;
	if ((*c)[1] != '\n')
		return HTTP1_BAD_NEWLINE;
	*c += 2;
	return HTTP1_OK;
}

/* "HTTP/1.x" at *c. */
static enum http1_error
parse_version(const char **c, const char *end, int *ret_minor)
{
	const char	*v = *c;

	if (end - v < 8 || memcmp(v, "HTTP/", 5) != 0 ||
	    !is_digit(v[5]) || v[6] != '.' || !is_digit(v[7]))
		return HTTP1_BAD_LINE;
	if (v[5] != '1' || v[7] > '1')
		return HTTP1_BAD_VERSION;
	*ret_minor = v[7] - '0';
	*c += 8;
	return HTTP1_OK;
}

static enum http1_error
parse_field(const char **cursor, const char *end, struct http1_field *ret)
{
	const char	*name = *cursor, *c = name, *value, *last;

	while (is(*c, TOKEN))
		c++;
	if (c == name || *c != ':')
		return HTTP1_BAD_FIELD;
	ret->name = (struct slice){ name, (size_t)(c - name) };
	for (c++; is_blank(*c); c++)
		;
	value = c;
	last = c = skip_value(c, end);
	while (last > value && is_blank(last[-1]))
		last--;
	ret->value = (struct slice){ value, (size_t)(last - value) };
	*cursor = c;
	return end_line(cursor);
}

static enum http1_error
parse_fields(const char *c, const char *end, struct http1_head *h)
{
	enum http1_error	e;

	h->nfields = 0;
	while (*c != '\r') {
		if (h->nfields == HEADER_FIELDS)
			return HTTP1_TOO_LARGE;
		if ((e = parse_field(&c, end, &h->fields[h->nfields])) != HTTP1_OK)
			return e;
		h->nfields++;
	}
	return c + 2 == end ? HTTP1_OK : HTTP1_BAD_NEWLINE;
}

/* Takes the next member off a comma-separated list; false at the end. */
static bool
next_member(struct slice *list, struct slice *ret)
{
	const char	*comma, *end, *last;

	if (list->p == NULL)
		return false;
	end = list->p + list->n;
	comma = memchr(list->p, ',', list->n);
	last = comma != NULL ? comma : end;
	*ret = (struct slice){ list->p, (size_t)(last - list->p) };
	while (ret->n > 0 && is_blank(ret->p[0])) {
		ret->p++;
		ret->n--;
	}
	while (ret->n > 0 && is_blank(ret->p[ret->n - 1]))
		ret->n--;
	*list = comma != NULL ? (struct slice){ comma + 1, (size_t)(end - comma - 1) } :
	    (struct slice){ NULL, 0 };
	return true;
}

static bool
same(struct slice a, struct slice b)
{
	return a.n == b.n && strncasecmp(a.p, b.p, a.n) == 0;
}

/* What the fields say about framing and the connection. */
struct facts {
	unsigned	 hosts, lengths, codings;
	uint64_t	 length;
	bool		 close, keep_alive, expect;
};

static enum http1_error
note_length(struct slice value, struct facts *f)
{
	uint64_t	v = 0, digit;
	size_t		i;

	for (i = 0; i < value.n; i++) {
		if (!is_digit(value.p[i]))
			return HTTP1_BAD_LENGTH;
		digit = (uint64_t)(value.p[i] - '0');
		if (v > (LENGTH_MAX - digit) / 10)
			return HTTP1_BAD_LENGTH;
		v = v * 10 + digit;
	}
	if (value.n == 0 || f->lengths++ > 0)
		return HTTP1_BAD_LENGTH;
	f->length = v;
	return HTTP1_OK;
}

static void
note_connection(struct slice list, struct facts *f)
{
	struct slice	member;

	while (next_member(&list, &member)) {
		f->close |= slice_ieq(member, "close");
		f->keep_alive |= slice_ieq(member, "keep-alive");
	}
}

static enum http1_error
note_field(const struct http1_field *field, struct facts *f)
{
	switch (field->name.n) {
	case sizeof("Host") - 1:
		f->hosts += slice_ieq(field->name, "Host");
		break;
	case sizeof("Expect") - 1:
		f->expect |= slice_ieq(field->name, "Expect") &&
		    slice_ieq(field->value, "100-continue");
		break;
	case sizeof("Connection") - 1:
		if (slice_ieq(field->name, "Connection"))
			note_connection(field->value, f);
		break;
	case sizeof("Content-Length") - 1:
		if (slice_ieq(field->name, "Content-Length"))
			return note_length(field->value, f);
		break;
	case sizeof("Transfer-Encoding") - 1:
		if (!slice_ieq(field->name, "Transfer-Encoding"))
			break;
		if (f->codings++ > 0 || !slice_ieq(field->value, "chunked"))
			return HTTP1_BAD_CODING;
		break;
	}
	return HTTP1_OK;
}

static enum http1_error
note_fields(struct http1_head *h, struct facts *f)
{
	enum http1_error	e;
	size_t			i;

	*f = (struct facts){ 0 };
	for (i = 0; i < h->nfields; i++)
		if ((e = note_field(&h->fields[i], f)) != HTTP1_OK)
			return e;
	if (f->codings > 0 && (f->lengths > 0 || h->minor == 0))
		return HTTP1_BAD_CODING;
	h->length = f->length;
	h->keep_alive = !f->close && (h->minor > 0 || f->keep_alive);
	h->framing = f->codings > 0 ? HTTP1_CHUNKED :
	    f->lengths > 0 ? HTTP1_LENGTH : HTTP1_NONE;
	return HTTP1_OK;
}

static enum http1_error
parse_request(const char *c, const char *end, struct http1_head *h)
{
	const char		*start = c;
	struct facts		 f;
	enum http1_error	 e;

	while (is(*c, TOKEN))
		c++;
	h->method = (struct slice){ start, (size_t)(c - start) };
	if (h->method.n == 0 || *c++ != ' ')
		return HTTP1_BAD_LINE;
	for (start = c; is(*c, TARGET); c++)
		;
	h->target = (struct slice){ start, (size_t)(c - start) };
	if (h->target.n == 0 || *c++ != ' ')
		return HTTP1_BAD_LINE;
	if ((e = parse_version(&c, end, &h->minor)) != HTTP1_OK)
		return e;
	if ((e = end_line(&c)) != HTTP1_OK)
		return e == HTTP1_BAD_FIELD ? HTTP1_BAD_LINE : e;
	if ((e = parse_fields(c, end, h)) != HTTP1_OK || (e = note_fields(h, &f)) != HTTP1_OK)
		return e;
	if (f.hosts > 1 || (f.hosts == 0 && h->minor > 0))
		return HTTP1_BAD_HOST;
	h->status = 0;
	h->reason = (struct slice){ NULL, 0 };
	h->expect_continue = f.expect && h->minor > 0;
	return HTTP1_OK;
}

/* " 200 OK" CRLF; the blank behind the code may be missing. */
static enum http1_error
parse_status(const char **cursor, const char *end, struct http1_head *h)
{
	const char		*c = *cursor;
	enum http1_error	 e;

	if (c[0] != ' ' || c[1] < '1' || c[1] > '5' ||
	    !is_digit(c[2]) || !is_digit(c[3]))
		return HTTP1_BAD_LINE;
	h->status = (c[1] - '0') * 100 + (c[2] - '0') * 10 + (c[3] - '0');
	c += 4;
	if (*c == ' ')
		c++;
	else if (*c != '\r')
		return HTTP1_BAD_LINE;
	*cursor = skip_value(c, end);
	h->reason = (struct slice){ c, (size_t)(*cursor - c) };
	e = end_line(cursor);
	return e == HTTP1_BAD_FIELD ? HTTP1_BAD_LINE : e;
}

static bool
has_no_body(int status, const char *method)
{
	return status < 200 || status == 204 || status == 304 ||
	    (method != NULL && strcmp(method, "HEAD") == 0);
}

/*
 * A body that must not be there (9112 6.1, 6.2): some peers would read it, so
 * refuse it before a further head, and let nothing follow it otherwise.
 */
static enum http1_error
parse_response(const char *c, const char *end, const char *method, struct http1_head *h)
{
	struct facts		f;
	enum http1_error	e;
	bool			announced;

	if ((e = parse_version(&c, end, &h->minor)) != HTTP1_OK ||
	    (e = parse_status(&c, end, h)) != HTTP1_OK ||
	    (e = parse_fields(c, end, h)) != HTTP1_OK ||
	    (e = note_fields(h, &f)) != HTTP1_OK)
		return e;
	h->method = h->target = (struct slice){ NULL, 0 };
	h->expect_continue = false;
	announced = f.codings > 0 || f.length > 0;
	if (h->status < 200 && announced)
		return f.codings > 0 ? HTTP1_BAD_CODING : HTTP1_BAD_LENGTH;
	if (has_no_body(h->status, method)) {
		h->framing = HTTP1_NONE;
		h->keep_alive &= h->status != 204 || !announced;
	} else if (h->framing == HTTP1_NONE) {
		h->framing = HTTP1_EOF;
		h->keep_alive = false;
	}
	return HTTP1_OK;
}

/* Can p[start..n) become a request line?  Only its first bytes are judged. */
static enum http1_error
check_request_prefix(const char *p, size_t start, size_t n)
{
	size_t	i;

	for (i = start; i < n && i < start + PREFIX; i++) {
		if (p[i] == ' ' && i > start)
			break;
		if (!is(p[i], TOKEN))
			return p[i] == '\n' ? HTTP1_BAD_NEWLINE : HTTP1_BAD_LINE;
	}
	return HTTP1_OK;
}

static int
fail(enum http1_error e, enum http1_error *ret_error)
{
	*ret_error = e;
	return -EBADMSG;
}

int
http1_request(const char *p, size_t n, size_t *scanned, size_t max, struct http1_head *ret,
    enum http1_error *ret_error)
{
	enum http1_error	e;
	size_t			start = 0, size;

	if (n > 0 && p[0] == '\r') {
		if (n < 2)
			return 0;
		start = p[1] == '\n' ? 2 : 0;
	}
	if ((e = check_request_prefix(p, start, MIN(n, max))) != HTTP1_OK ||
	    (e = find_end(p, n, start, scanned, max, &size)) != HTTP1_OK)
		return fail(e, ret_error);
	if (size == 0)
		return 0;
	if ((e = parse_request(p + start, p + size, ret)) != HTTP1_OK)
		return fail(e, ret_error);
	ret->size = size;
	return 1;
}

int
http1_response(const char *p, size_t n, size_t *scanned, size_t max, const char *method,
    struct http1_head *ret, enum http1_error *ret_error)
{
	enum http1_error	e;
	size_t			size;

	if (n == 0)
		return 0;
	if (memcmp(p, "HTTP/", MIN(MIN(n, max), (size_t)5)) != 0)
		return fail(HTTP1_BAD_LINE, ret_error);
	if ((e = find_end(p, n, 0, scanned, max, &size)) != HTTP1_OK)
		return fail(e, ret_error);
	if (size == 0)
		return 0;
	if ((e = parse_response(p, p + size, method, ret)) != HTTP1_OK)
		return fail(e, ret_error);
	ret->size = size;
	return 1;
}

const struct http1_field *
http1_next(const struct http1_head *h, const char *name, size_t *i)
{
	struct slice	want = slice_of(name);

	while (*i < h->nfields) {
		const struct http1_field *f = &h->fields[(*i)++];

		if (same(f->name, want))
			return f;
	}
	return NULL;
}

struct slice
http1_get(const struct http1_head *h, const char *name)
{
	size_t				 i = 0;
	const struct http1_field	*f = http1_next(h, name, &i);

	return f != NULL ? f->value : (struct slice){ NULL, 0 };
}

bool
http1_lists(const struct http1_head *h, const char *name, struct slice token)
{
	const struct http1_field	*f;
	struct slice			 list, member;
	size_t				 i = 0;

	while ((f = http1_next(h, name, &i)) != NULL)
		for (list = f->value; next_member(&list, &member);)
			if (same(member, token))
				return true;
	return false;
}

bool
http1_has_token(const struct http1_head *h, const char *name, const char *token)
{
	return http1_lists(h, name, slice_of(token));
}

void
http1_body_init(struct http1_body *b, enum http1_framing framing, uint64_t length)
{
	*b = (struct http1_body){
		.framing = framing,
		.left = framing == HTTP1_LENGTH ? length : 0,
		.state = SIZE_FIRST,
		.done = framing == HTTP1_NONE || (framing == HTTP1_LENGTH && length == 0),
	};
}

static int
hex_digit(unsigned char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c |= 0x20;
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* What may follow a complete size or extension. */
static int
after_size(unsigned char c)
{
	return c == '\r' ? SIZE_LF : c == ';' ? EXT_NAME_FIRST : -1;
}

static int
size_digit(struct http1_body *b, unsigned char c)
{
	int	digit = hex_digit(c);

	if (digit < 0)
		return b->state == SIZE_FIRST ? -1 : after_size(c);
	if (b->left > LENGTH_MAX >> 4)
		return -1;
	b->left = b->left << 4 | (uint64_t)digit;
	return SIZE;
}

/* One byte of a chunk-size line: the next state, or -1. */
static int
size_byte(struct http1_body *b, unsigned char c)
{
	bool	token = is((char)c, TOKEN);

	switch (b->state) {
	case SIZE_FIRST:
	case SIZE:
		return size_digit(b, c);
	case EXT_NAME_FIRST:
		return token ? EXT_NAME : -1;
	case EXT_NAME:
		return token ? EXT_NAME : c == '=' ? EXT_VALUE_FIRST : after_size(c);
	case EXT_VALUE_FIRST:
		return token ? EXT_VALUE : c == '"' ? EXT_QUOTED : -1;
	case EXT_VALUE:
		return token ? EXT_VALUE : after_size(c);
	case EXT_QUOTED:
		return c == '"' ? EXT_END : c != '\\' && is((char)c, VALUE) ? EXT_QUOTED : -1;
	case EXT_END:
		return after_size(c);
	case SIZE_LF:
		return c != '\n' ? -1 : b->left > 0 ? DATA : TRAILER_FIRST;
	}
	return -1;
}

/* One byte behind the data of a chunk, or behind the last chunk. */
static int
tail_byte(struct http1_body *b, unsigned char c)
{
	bool	token = is((char)c, TOKEN);

	switch (b->state) {
	case DATA_CR:
		return c == '\r' ? DATA_LF : -1;
	case DATA_LF:
		return c == '\n' ? SIZE_FIRST : -1;
	case TRAILER_FIRST:
		return c == '\r' ? LAST_LF : token ? TRAILER_NAME : -1;
	case TRAILER_NAME:
		return token ? TRAILER_NAME : c == ':' ? TRAILER_VALUE : -1;
	case TRAILER_VALUE:
		return c == '\r' ? TRAILER_LF : is((char)c, VALUE) ? TRAILER_VALUE : -1;
	case TRAILER_LF:
		return c == '\n' ? TRAILER_FIRST : -1;
	case LAST_LF:
		b->done = c == '\n';
		return b->done ? LAST_LF : -1;
	}
	return -1;
}

static bool
frame_byte(struct http1_body *b, unsigned char c)
{
	bool	size = b->state < DATA;
	int	next = size ? size_byte(b, c) : tail_byte(b, c);

	if (next < 0 || ++b->line > (size ? CHUNK_LINE : TRAILER_BYTES))
		return false;
	if (b->state == SIZE_LF || b->state == DATA_LF)
		b->line = 0;
	b->state = (unsigned char)next;
	return true;
}

/* Payload of at most `left` bytes at p. */
static size_t
take_data(struct http1_body *b, const char *p, size_t n, struct slice *ret_data)
{
	n = (size_t)MIN((uint64_t)n, b->left);
	*ret_data = (struct slice){ p, n };
	b->left -= n;
	b->seen += n;
	return n;
}

static ssize_t
chunked_body(struct http1_body *b, const char *p, size_t n, struct slice *ret_data,
    enum http1_error *ret_error)
{
	size_t	i = 0;

	while (i < n && !b->done && b->state != DATA)
		if (!frame_byte(b, (unsigned char)p[i++]))
			return fail(HTTP1_BAD_CHUNK, ret_error);
	if (i == n || b->done)
		return (ssize_t)i;
	i += take_data(b, p + i, n - i, ret_data);
	if (b->left == 0)
		b->state = DATA_CR;
	return (ssize_t)i;
}

ssize_t
http1_body(struct http1_body *b, const char *p, size_t n, struct slice *ret_data,
    enum http1_error *ret_error)
{
	*ret_data = (struct slice){ p, 0 };
	if (b->done || n == 0)
		return 0;
	switch (b->framing) {
	case HTTP1_CHUNKED:
		return chunked_body(b, p, n, ret_data, ret_error);
	case HTTP1_LENGTH:
		n = take_data(b, p, n, ret_data);
		b->done = b->left == 0;
		return (ssize_t)n;
	case HTTP1_EOF:
		ret_data->n = n;
		b->seen += n;
		return (ssize_t)n;
	case HTTP1_NONE:
		break;
	}
	return 0;
}

bool
http1_body_eof(struct http1_body *b)
{
	b->done |= b->framing == HTTP1_EOF;
	return b->done;
}

const char *
http1_strerror(enum http1_error e)
{
	return (unsigned)e < nitems(error_names) ? error_names[e] : "unknown error";
}

bool
http1_is_token(const char *p, size_t n)
{
	size_t	i;

	for (i = 0; i < n && is(p[i], TOKEN); i++)
		;
	return n > 0 && i == n;
}

bool
http1_is_value(const char *p, size_t n)
{
	size_t	i;

	for (i = 0; i < n && is(p[i], VALUE); i++)
		;
	return i == n;
}

const char *
http1_reason(int status)
{
	static const char *const reasons[] = {
		[100] = "Continue", [101] = "Switching Protocols",
		[200] = "OK", [201] = "Created", [202] = "Accepted",
		[203] = "Non-Authoritative Information", [204] = "No Content",
		[205] = "Reset Content", [206] = "Partial Content",
		[300] = "Multiple Choices", [301] = "Moved Permanently", [302] = "Found",
		[303] = "See Other", [304] = "Not Modified", [305] = "Use Proxy",
		[307] = "Temporary Redirect", [308] = "Permanent Redirect",
		[400] = "Bad Request", [401] = "Unauthorized", [402] = "Payment Required",
		[403] = "Forbidden", [404] = "Not Found", [405] = "Method Not Allowed",
		[406] = "Not Acceptable", [407] = "Proxy Authentication Required",
		[408] = "Request Timeout", [409] = "Conflict", [410] = "Gone",
		[411] = "Length Required", [412] = "Precondition Failed",
		[413] = "Content Too Large", [414] = "URI Too Long",
		[415] = "Unsupported Media Type", [416] = "Range Not Satisfiable",
		[417] = "Expectation Failed", [421] = "Misdirected Request",
		[422] = "Unprocessable Content", [425] = "Too Early",
		[426] = "Upgrade Required", [428] = "Precondition Required",
		[429] = "Too Many Requests", [431] = "Request Header Fields Too Large",
		[451] = "Unavailable For Legal Reasons",
		[500] = "Internal Server Error", [501] = "Not Implemented",
		[502] = "Bad Gateway", [503] = "Service Unavailable",
		[504] = "Gateway Timeout", [505] = "HTTP Version Not Supported",
		[511] = "Network Authentication Required",
	};

	if (status < 0 || (size_t)status >= nitems(reasons) || reasons[status] == NULL)
		return "";
	return reasons[status];
}
