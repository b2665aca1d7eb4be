#include <endian.h>

#include "jsonrpc.h"

enum state {
	VALUE,			/* a value must follow */
	VALUE_OR_END,		/* behind '[' */
	KEY,			/* behind ',' in an object */
	KEY_OR_END,		/* behind '{' */
	COLON,
	AFTER,			/* behind a value: ',' or the end of its container */
	DONE,			/* behind the document: blanks only */
	STRING,
	ESCAPE,
	HEX,
	NUMBER,
	LITERAL,
	DEAD			/* nothing more to learn */
};

/* What the members of a message mean to us; those of deeper objects mean nothing. */
enum member { OTHER, ID, METHOD, ANSWER };

/* Where the bytes of the current scalar go: nowhere, decoded to `text`, raw to `ids`. */
enum capture { NOWHERE, A_KEY, A_METHOD, AN_ID };

#define F_BATCH		1
#define F_ID		2		/* of the current message */
#define F_METHOD	4
#define F_ANSWER	8
#define F_MESSAGE	(F_ID | F_METHOD | F_ANSWER)

#define TOO_LONG	METHOD_BYTES	/* ntext, when `text` is of no use */

static void
truncate_ids(struct jsonrpc *r, size_t len)
{
	if (r->ids.len > len) {
		r->ids.len = len;
		r->ids.p[len] = '\0';
	}
}

/* JSON, but no message: the scan goes on, for it may yet prove not to be JSON. */
static void
invalid(struct jsonrpc *r)
{
	r->kind = JSONRPC_INVALID;
	r->capture = NOWHERE;
	r->method[0] = '\0';
	truncate_ids(r, 0);
}

static void
not_json(struct jsonrpc *r)
{
	invalid(r);
	r->kind = JSONRPC_NOT_JSON;
	r->state = DEAD;
}

/* Is the container at this depth (from 1) an object? */
static bool
is_object(const struct jsonrpc *r, unsigned depth)
{
	return depth > 0 && (r->stack[(depth - 1) / 8] >> (depth - 1) % 8 & 1) != 0;
}

/* Inside a message's own braces, where "id" and "method" mean something. */
static bool
at_message(const struct jsonrpc *r)
{
	return r->depth == (r->flags & F_BATCH ? 2 : 1) && r->object &&
	    r->kind != JSONRPC_INVALID;
}

/*
 * The longest run that a string may hold as it is: no quote, backslash or
 * control.  Eight bytes at a time; borrows spoil only what stands above the
 * first hit, which is thus exact.
 */
static const char *
plain_run(const char *p, const char *end)
{
	const uint64_t	ones = ~0ULL / 255, tops = ones * 128;
	uint64_t	w, quote, slash, hits;

	for (; end - p >= 8; p += 8) {
		memcpy(&w, p, 8);
		w = le64toh(w);
		quote = w ^ ones * '"';
		slash = w ^ ones * '\\';
		hits = (((w - ones * 0x20) & ~w) | ((quote - ones) & ~quote) |
		    ((slash - ones) & ~slash)) & tops;
		if (hits != 0)
			return p + __builtin_ctzll(hits) / 8;
	}
	while (p < end && *p != '"' && *p != '\\' && (unsigned char)*p >= 0x20)
		p++;
	return p;
}

/* 0 or -ENOMEM; an id beyond the ceilings makes the message invalid. */
static int
add_id(struct jsonrpc *r, const char *p, size_t n)
{
	int	error;

	if (r->ids.len - r->idstart + n > ID_BYTES) {
		invalid(r);
		return 0;
	}
	if ((error = buf_add(&r->ids, p, n)) == -EMSGSIZE) {
		invalid(r);
		return 0;
	}
	return error;
}

static void
add_text(struct jsonrpc *r, const char *p, size_t n)
{
	if (n >= sizeof(r->text) - r->ntext) {
		r->ntext = TOO_LONG;
		return;
	}
	memcpy(r->text + r->ntext, p, n);
	r->ntext += n;
}

/* Hands on n bytes of the document that belong to the current scalar, which is captured. */
static int
take(struct jsonrpc *r, const char *p, size_t n)
{
	if (r->capture == AN_ID)
		return add_id(r, p, n);
	if (r->ntext != TOO_LONG)
		add_text(r, p, n);
	return 0;
}

/* The same for one byte of syntax, which is part of a raw id but not of a decoded text. */
static int
take_syntax(struct jsonrpc *r, char c)
{
	return r->capture == AN_ID ? add_id(r, &c, 1) : 0;
}

/* A decoded escape: NUL and what is not ASCII never occurs in a name that we know. */
static void
take_unit(struct jsonrpc *r, uint32_t unit)
{
	char	c = (char)unit;

	if (r->capture != A_KEY && r->capture != A_METHOD)
		return;
	if (unit == 0 || unit > 0x7f)
		r->ntext = TOO_LONG;
	else if (r->ntext != TOO_LONG)
		add_text(r, &c, 1);
}

static bool
is_blank(char c)
{
	return c == ' ' || c == '\n' || c == '\r' || c == '\t';
}

static void
message_begin(struct jsonrpc *r)
{
	r->flags &= ~F_MESSAGE;
	r->idstart = r->ids.len;
	if (r->flags & F_BATCH)
		r->kind = JSONRPC_BATCH;
}

/* Enough members of a single message seen to know what it is? */
static void
message_known(struct jsonrpc *r)
{
	unsigned	seen = r->flags & F_MESSAGE;

	if ((seen & (F_METHOD | F_ANSWER)) == (F_METHOD | F_ANSWER))
		invalid(r);
	else if (r->flags & F_BATCH)
		return;
	else if (seen == (F_METHOD | F_ID))
		r->kind = JSONRPC_REQUEST;
	else if (seen & F_ANSWER)
		r->kind = JSONRPC_RESPONSE;
}

static void
message_end(struct jsonrpc *r)
{
	unsigned	seen = r->flags & F_MESSAGE;

	if (seen == (F_METHOD | F_ID)) {
		r->batch_requests = (r->flags & F_BATCH) != 0 || r->batch_requests;
		return;
	}
	truncate_ids(r, r->idstart);
	if ((seen & (F_METHOD | F_ANSWER)) == 0)
		invalid(r);
	else if (seen == F_METHOD && (r->flags & F_BATCH) == 0)
		r->kind = JSONRPC_NOTIFICATION;
}

/* The key in `text` is complete. */
static void
key_end(struct jsonrpc *r)
{
	struct slice	key = { r->text, r->ntext };

	r->state = COLON;
	if (r->capture != A_KEY)
		return;
	r->capture = NOWHERE;
	r->member = OTHER;
	if (r->ntext == TOO_LONG)
		return;
	if (slice_eq(key, "id")) {
		r->member = ID;
		if (r->flags & F_ID)
			invalid(r);
	} else if (slice_eq(key, "method")) {
		r->member = METHOD;
		if (r->flags & F_METHOD)
			invalid(r);
	} else if (slice_eq(key, "result") || slice_eq(key, "error")) {
		r->member = ANSWER;
		r->flags |= F_ANSWER;
		message_known(r);
	}
}

static void
method_end(struct jsonrpc *r)
{
	r->flags |= F_METHOD;
	if (r->ntext == TOO_LONG || (r->flags & F_BATCH) != 0)
		return;
	memcpy(r->method, r->text, r->ntext);
	r->method[r->ntext] = '\0';
}

/* A value is complete: a scalar, or a container that was just closed. */
static int
value_end(struct jsonrpc *r)
{
	int	error = 0;

	r->state = r->depth > 0 ? AFTER : DONE;
	if (r->capture == AN_ID) {
		r->flags |= F_ID;
		if ((error = buf_add(&r->ids, "\n", 1)) == -EMSGSIZE) {
			invalid(r);
			error = 0;
		}
	} else if (r->capture == A_METHOD)
		method_end(r);
	if (r->capture != NOWHERE && r->kind != JSONRPC_INVALID)
		message_known(r);
	r->capture = NOWHERE;
	return error;
}

/* A value begins with c: is that allowed here, and do its bytes matter? */
static void
value_begin(struct jsonrpc *r, char c)
{
	bool	container = c == '{' || c == '[';

	r->capture = NOWHERE;
	r->ntext = 0;
	if ((r->depth == 0 && !container) ||
	    (r->depth == 1 && (r->flags & F_BATCH) != 0 && c != '{'))
		invalid(r);
	if (!at_message(r))
		return;
	if (r->member == METHOD && c == '"')
		r->capture = A_METHOD;
	else if (r->member == ID && !container && c != 't' && c != 'f')
		r->capture = AN_ID;
	else if (r->member == METHOD || r->member == ID)
		invalid(r);
}

static void
open_container(struct jsonrpc *r, bool object)
{
	unsigned	top = r->depth;

	if (r->depth == JSON_DEPTH) {
		invalid(r);
		r->state = DEAD;
		return;
	}
	if (r->depth++ == 0 && !object)
		r->flags |= F_BATCH;
	if (object)
		r->stack[top / 8] |= 1 << top % 8;
	else
		r->stack[top / 8] &= ~(1 << top % 8);
	r->object = object;
	r->state = object ? KEY_OR_END : VALUE_OR_END;
	if (at_message(r))
		message_begin(r);
}

static int
close_container(struct jsonrpc *r, char c)
{
	if (r->object != (c == '}')) {
		not_json(r);
		return 0;
	}
	if (at_message(r))
		message_end(r);
	r->object = is_object(r, --r->depth);
	return value_end(r);
}

/* Numbers, RFC 8259 section 6: the state behind each byte, from the one before it. */
enum number { MINUS, ZERO, INTEGER, POINT, FRACTION, EXPONENT, EXP_SIGN, EXP_DIGITS, NO_NUMBER };

static enum number
number_next(enum number at, char c)
{
	bool	digit = c >= '0' && c <= '9';

	switch (at) {
	case MINUS:
		return c == '0' ? ZERO : digit ? INTEGER : NO_NUMBER;
	case INTEGER:
		if (digit)
			return INTEGER;
		/* FALLTHROUGH */
	case ZERO:
		return c == '.' ? POINT : c == 'e' || c == 'E' ? EXPONENT : NO_NUMBER;
	case POINT:
		return digit ? FRACTION : NO_NUMBER;
	case FRACTION:
		return digit ? FRACTION : c == 'e' || c == 'E' ? EXPONENT : NO_NUMBER;
	case EXPONENT:
		return digit ? EXP_DIGITS : c == '+' || c == '-' ? EXP_SIGN : NO_NUMBER;
	case EXP_SIGN:
	case EXP_DIGITS:
		return digit ? EXP_DIGITS : NO_NUMBER;
	case NO_NUMBER:
		break;
	}
	return NO_NUMBER;
}

static bool
number_complete(enum number at)
{
	return at == ZERO || at == INTEGER || at == FRACTION || at == EXP_DIGITS;
}

static const char *
scan_number(struct jsonrpc *r, const char *p, const char *end)
{
	const char	*from = p;
	enum number	 next = r->sub;

	while (p < end && (next = number_next(r->sub, *p)) != NO_NUMBER) {
		r->sub = next;
		p++;
	}
	if (r->capture != NOWHERE && take(r, from, (size_t)(p - from)) < 0)
		return NULL;
	if (p == end)
		return p;
	if (!number_complete(r->sub)) {
		not_json(r);
		return p;
	}
	return value_end(r) < 0 ? NULL : p;
}

static const char *const literals[] = { "true", "false", "null" };

static const char *
scan_literal(struct jsonrpc *r, const char *p)
{
	const char	*literal = literals[r->sub];

	if (*p != literal[r->word]) {
		not_json(r);
		return p;
	}
	if (take_syntax(r, *p) < 0)
		return NULL;
	if (literal[++r->word] == '\0' && value_end(r) < 0)
		return NULL;
	return p + 1;
}

static const char *
scan_string(struct jsonrpc *r, const char *p, const char *end)
{
	const char	*from = p;

	p = plain_run(p, end);
	if (r->capture != NOWHERE && take(r, from, (size_t)(p - from)) < 0)
		return NULL;
	if (p == end)
		return p;
	if (*p != '"' && *p != '\\') {
		not_json(r);
		return p;
	}
	if (take_syntax(r, *p) < 0)
		return NULL;
	if (*p++ == '\\')
		r->state = ESCAPE;
	else if (r->sub == VALUE)
		return value_end(r) < 0 ? NULL : p;
	else {
		key_end(r);
		if (p < end && *p == ':') {	/* mostly: one turn saved */
			r->state = VALUE;
			p++;
		}
	}
	return p;
}

static const char *
scan_escape(struct jsonrpc *r, const char *p)
{
	static const char	from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";
	const char		*at;

	if (take_syntax(r, *p) < 0)
		return NULL;
	if (*p == 'u') {
		r->state = HEX;
		r->word = 1;		/* a 1 above the digits counts them */
		return p + 1;
	}
	if (*p == '\0' || (at = strchr(from, *p)) == NULL) {
		not_json(r);
		return p;
	}
	take_unit(r, (unsigned char)to[at - from]);
	r->state = STRING;
	return p + 1;
}

static const char *
scan_hex(struct jsonrpc *r, const char *p)
{
	uint32_t	digit;
	char		c = *p | 0x20;

	if (*p >= '0' && *p <= '9')
		digit = (uint32_t)(*p - '0');
	else if (c >= 'a' && c <= 'f')
		digit = (uint32_t)(c - 'a' + 10);
	else {
		not_json(r);
		return p;
	}
	if (take_syntax(r, *p) < 0)
		return NULL;
	r->word = r->word << 4 | digit;
	if (r->word >> 16 == 1) {
		take_unit(r, r->word & 0xffff);
		r->state = STRING;
	}
	return p + 1;
}

static const char *
scan_value(struct jsonrpc *r, const char *p, const char *end)
{
	char	c = *p;

	value_begin(r, c);
	if (c == '{' || c == '[') {
		open_container(r, c == '{');
		return p + 1;
	}
	if (c == '-' || (c >= '0' && c <= '9')) {
		r->state = NUMBER;
		r->sub = c == '-' ? MINUS : c == '0' ? ZERO : INTEGER;
	} else if (c == '"') {
		r->state = STRING;
		r->sub = VALUE;
	} else if (c == 't' || c == 'f' || c == 'n') {
		r->state = LITERAL;
		r->sub = c == 't' ? 0 : c == 'f' ? 1 : 2;
		r->word = 1;
	} else {
		not_json(r);
		return p;
	}
	if (take_syntax(r, c) < 0)
		return NULL;
	return c == '"' ? scan_string(r, p + 1, end) : p + 1;
}

static const char *
scan_key(struct jsonrpc *r, const char *p, const char *end)
{
	if (*p != '"') {
		not_json(r);
		return p;
	}
	r->capture = at_message(r) ? A_KEY : NOWHERE;
	r->ntext = 0;
	r->state = STRING;
	r->sub = KEY;
	return scan_string(r, p + 1, end);
}

/* Behind a value. */
static const char *
scan_after(struct jsonrpc *r, const char *p, const char *end)
{
	if (*p == '}' || *p == ']')
		return close_container(r, *p) < 0 ? NULL : p + 1;
	if (*p != ',') {
		not_json(r);
		return p;
	}
	r->state = r->object ? KEY : VALUE;
	p++;
	return r->object && p < end && *p == '"' ? scan_key(r, p, end) : p;
}

/* Anything but blanks and what stands inside a scalar. */
static const char *
scan_structure(struct jsonrpc *r, const char *p, const char *end)
{
	bool	ends = *p == '}' || *p == ']';

	switch (r->state) {
	case VALUE_OR_END:
	case KEY_OR_END:
		if (ends)
			return close_container(r, *p) < 0 ? NULL : p + 1;
		return r->object ? scan_key(r, p, end) : scan_value(r, p, end);
	case VALUE:
		return scan_value(r, p, end);
	case KEY:
		return scan_key(r, p, end);
	case AFTER:
		return scan_after(r, p, end);
	case COLON:
		if (*p == ':') {
			r->state = VALUE;
			return p + 1;
		}
		break;
	}
	not_json(r);
	return p;
}

void
jsonrpc_init(struct jsonrpc *r)
{
	memset(r, 0, sizeof(*r));
	r->ids = BUF_INIT(IDS_BYTES);
	r->state = VALUE;
}

int
jsonrpc_feed(struct jsonrpc *r, const char *p, size_t n)
{
	const char	*end = p + n;

	while (p != NULL && p < end) {
		switch (r->state) {
		case STRING:
			p = scan_string(r, p, end);
			break;
		case ESCAPE:
			p = scan_escape(r, p);
			break;
		case HEX:
			p = scan_hex(r, p);
			break;
		case NUMBER:
			p = scan_number(r, p, end);
			break;
		case LITERAL:
			p = scan_literal(r, p);
			break;
		case DEAD:
			return 0;
		default:
			p = is_blank(*p) ? p + 1 : scan_structure(r, p, end);
			break;
		}
	}
	if (p == NULL && n > 0) {
		not_json(r);
		return -ENOMEM;
	}
	return 0;
}

void
jsonrpc_end(struct jsonrpc *r)
{
	if (r->state == NUMBER && r->depth == 0 && number_complete(r->sub))
		r->state = DONE;	/* a lone number has no end of its own */
	if (r->state != DONE && r->state != DEAD)
		not_json(r);
	else if (r->kind == JSONRPC_UNKNOWN)
		invalid(r);			/* an empty batch */
	r->state = DEAD;
}

void
jsonrpc_free(struct jsonrpc *r)
{
	buf_free(&r->ids);
}
