#include <stdio.h>

#include "bounds.h"
#include "json.h"

#define NUMBER_BYTES	63	/* cJSON cuts longer ones in two */

/* A key as written, between its quotes. */
struct key {
	const char	*p;
	size_t		 n;
	bool		 escaped;
};

struct check {
	const char	*p, *end;
	const char	*fault;		/* where; NULL with what = out of memory */
	const char	*what;
	struct key	*keys;		/* of all objects that are open, innermost last */
	size_t		 nkeys, capkeys;
};

static bool check_value(struct check *, unsigned depth);

static bool
fault(struct check *c, const char *where, const char *what)
{
	c->fault = where;
	c->what = what;
	return false;
}

static void
skip_blanks(struct check *c)
{
	while (c->p < c->end && (*c->p == ' ' || *c->p == '\n' || *c->p == '\r' || *c->p == '\t'))
		c->p++;
}

static bool
at(const struct check *c, char what)
{
	return c->p < c->end && *c->p == what;
}

static int
hex_digit(char d)
{
	if (d >= '0' && d <= '9')
		return d - '0';
	if (d >= 'a' && d <= 'f')
		return d - 'a' + 10;
	if (d >= 'A' && d <= 'F')
		return d - 'A' + 10;
	return -1;
}

/* The four digits at p, or -1. */
static int
hex_unit(const char *p, const char *end)
{
	int	i, digit, unit = 0;

	if (end - p < 4)
		return -1;
	for (i = 0; i < 4; i++) {
		if ((digit = hex_digit(p[i])) < 0)
			return -1;
		unit = unit << 4 | digit;
	}
	return unit;
}

/* c->p is behind "\u". */
static bool
check_unicode(struct check *c)
{
	const char	*from = c->p - 2;
	int		 unit = hex_unit(c->p, c->end);

	if (unit < 0)
		return fault(c, from, "\\u needs four hexadecimal digits");
	if (unit == 0)
		return fault(c, from, "\\u0000 is not allowed");
	c->p += 4;
	if (unit < 0xd800 || unit > 0xdfff)
		return true;
	if (unit > 0xdbff || c->end - c->p < 6 || c->p[0] != '\\' || c->p[1] != 'u')
		return fault(c, from, "lone surrogate");
	unit = hex_unit(c->p + 2, c->end);
	if (unit < 0xdc00 || unit > 0xdfff)
		return fault(c, from, "lone surrogate");
	c->p += 6;
	return true;
}

static bool
check_escape(struct check *c)
{
	c->p++;
	if (c->p == c->end)
		return fault(c, c->p, "unterminated string");
	if (*c->p == 'u') {
		c->p++;
		return check_unicode(c);
	}
	if (*c->p == '\0' || strchr("\"\\/bfnrt", *c->p) == NULL)
		return fault(c, c->p - 1, "unknown escape in a string");
	c->p++;
	return true;
}

/* One sequence of RFC 3629: no overlong form, no surrogate, nothing above U+10FFFF. */
static bool
check_utf8(struct check *c)
{
	const unsigned char	*p = (const unsigned char *)c->p;
	size_t			 left = (size_t)(c->end - c->p), want, i;
	unsigned		 low = 0x80, high = 0xbf;

	want = *p < 0xe0 ? 2 : *p < 0xf0 ? 3 : 4;
	if (*p < 0xc2 || *p > 0xf4 || left < want)
		return fault(c, c->p, "invalid UTF-8");
	if (*p == 0xe0)
		low = 0xa0;
	else if (*p == 0xed)
		high = 0x9f;
	else if (*p == 0xf0)
		low = 0x90;
	else if (*p == 0xf4)
		high = 0x8f;
	if (p[1] < low || p[1] > high)
		return fault(c, c->p, "invalid UTF-8");
	for (i = 2; i < want; i++)
		if (p[i] < 0x80 || p[i] > 0xbf)
			return fault(c, c->p, "invalid UTF-8");
	c->p += want;
	return true;
}

/* c->p is at the opening quote; afterwards behind the closing one. */
static bool
check_string(struct check *c, bool *ret_escaped)
{
	bool	escaped = false;

	for (c->p++; c->p < c->end && *c->p != '"'; ) {
		if (*c->p == '\\') {
			escaped = true;
			if (!check_escape(c))
				return false;
		} else if ((unsigned char)*c->p < 0x20)
			return fault(c, c->p, "control character in a string");
		else if ((unsigned char)*c->p < 0x80)
			c->p++;
		else if (!check_utf8(c))
			return false;
	}
	if (c->p == c->end)
		return fault(c, c->p, "unterminated string");
	c->p++;
	*ret_escaped = escaped;
	return true;
}

static size_t
skip_digits(struct check *c)
{
	const char	*from = c->p;

	while (c->p < c->end && *c->p >= '0' && *c->p <= '9')
		c->p++;
	return (size_t)(c->p - from);
}

static bool
check_number(struct check *c)
{
	const char	*from = c->p;
	bool		 zero, good;
	size_t		 digits;

	if (*c->p == '-')
		c->p++;
	zero = at(c, '0');
	digits = skip_digits(c);
	good = digits == 1 || (digits > 1 && !zero);
	if (good && at(c, '.')) {
		c->p++;
		good = skip_digits(c) > 0;
	}
	if (good && (at(c, 'e') || at(c, 'E'))) {
		c->p++;
		if (at(c, '+') || at(c, '-'))
			c->p++;
		good = skip_digits(c) > 0;
	}
	if (!good)
		return fault(c, from, "malformed number");
	if (c->p - from > NUMBER_BYTES)
		return fault(c, from, "number with too many digits");
	return true;
}

static bool
check_literal(struct check *c, const char *literal)
{
	size_t	n = strlen(literal);

	if ((size_t)(c->end - c->p) < n || memcmp(c->p, literal, n) != 0)
		return fault(c, c->p, "expected a value");
	c->p += n;
	return true;
}

static bool
remember_key(struct check *c, struct key key)
{
	struct key	*keys;
	size_t		 cap;

	if (c->nkeys == c->capkeys) {
		cap = MAX(c->capkeys * 2, 16);
		if ((keys = reallocarray(c->keys, cap, sizeof(*keys))) == NULL)
			return fault(c, NULL, "out of memory");
		c->keys = keys;
		c->capkeys = cap;
	}
	c->keys[c->nkeys++] = key;
	return true;
}

/* Yields the decoded bytes of a key that was checked before. */
struct decoder {
	const char	*p, *end;
	unsigned char	 out[4];
	unsigned	 n, i;
};

static void
encode_utf8(struct decoder *d, unsigned u)
{
	unsigned	i;

	d->n = u < 0x80 ? 1 : u < 0x800 ? 2 : u < 0x10000 ? 3 : 4;
	d->i = 0;
	for (i = d->n - 1; i > 0; i--, u >>= 6)
		d->out[i] = (unsigned char)(0x80 | (u & 0x3f));
	d->out[0] = (unsigned char)(d->n == 1 ? u : (0xf00u >> d->n & 0xff) | u);
}

static void
decode_escape(struct decoder *d)
{
	static const char	from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";
	int			unit;

	if (*d->p != 'u') {
		encode_utf8(d, (unsigned char)to[strchr(from, *d->p++) - from]);
		return;
	}
	unit = hex_unit(d->p + 1, d->end);
	d->p += 5;
	if (unit >= 0xd800 && unit <= 0xdbff) {
		unit = 0x10000 + ((unit - 0xd800) << 10) + (hex_unit(d->p + 2, d->end) - 0xdc00);
		d->p += 6;
	}
	encode_utf8(d, (unsigned)unit);
}

/* The next byte, or -1 at the end. */
static int
decode_next(struct decoder *d)
{
	if (d->i < d->n)
		return d->out[d->i++];
	if (d->p == d->end)
		return -1;
	if (*d->p != '\\')
		return (unsigned char)*d->p++;
	d->p++;
	decode_escape(d);
	return d->out[d->i++];
}

/* By decoded bytes, a prefix first; both branches agree on that order. */
static int
compare_names(const struct key *a, const struct key *b)
{
	struct decoder	x = { .p = a->p, .end = a->p + a->n };
	struct decoder	y = { .p = b->p, .end = b->p + b->n };
	int		c, r;

	if (!a->escaped && !b->escaped) {
		r = memcmp(a->p, b->p, MIN(a->n, b->n));
		return r != 0 ? r : (a->n > b->n) - (a->n < b->n);
	}
	do {
		c = decode_next(&x);
		r = c - decode_next(&y);
	} while (r == 0 && c >= 0);
	return r;
}

static int
compare_keys(const void *a, const void *b)
{
	const struct key	*x = a, *y = b;
	int			 r = compare_names(x, y);

	return r != 0 ? r : (x->p > y->p) - (x->p < y->p);
}

/*
 * The keys from `first` on are those of the object that ends here: sorted,
 * equal ones are neighbours.
 */
static bool
forget_keys(struct check *c, size_t first)
{
	const char	*twice = NULL;
	size_t		 i;

	if (c->nkeys > first)
		qsort(c->keys + first, c->nkeys - first, sizeof(*c->keys), compare_keys);
	for (i = first + 1; i < c->nkeys; i++)
		if (compare_names(&c->keys[i - 1], &c->keys[i]) == 0 &&
		    (twice == NULL || c->keys[i].p < twice))
			twice = c->keys[i].p;
	c->nkeys = first;
	return twice == NULL || fault(c, twice - 1, "duplicate key");
}

static bool
check_member(struct check *c, unsigned depth)
{
	struct key	key;

	skip_blanks(c);
	if (!at(c, '"'))
		return fault(c, c->p, "expected a key in double quotes");
	key.p = c->p + 1;
	if (!check_string(c, &key.escaped))
		return false;
	key.n = (size_t)(c->p - 1 - key.p);
	if (!remember_key(c, key))
		return false;
	skip_blanks(c);
	if (!at(c, ':'))
		return fault(c, c->p, "expected ':'");
	c->p++;
	return check_value(c, depth);
}

static bool
check_object(struct check *c, unsigned depth)
{
	size_t	first = c->nkeys;

	c->p++;
	skip_blanks(c);
	if (!at(c, '}'))
		for (;;) {
			if (!check_member(c, depth))
				return false;
			skip_blanks(c);
			if (!at(c, ','))
				break;
			c->p++;
		}
	if (!at(c, '}'))
		return fault(c, c->p, "expected ',' or '}'");
	c->p++;
	return forget_keys(c, first);
}

static bool
check_array(struct check *c, unsigned depth)
{
	c->p++;
	skip_blanks(c);
	if (!at(c, ']'))
		for (;;) {
			if (!check_value(c, depth))
				return false;
			skip_blanks(c);
			if (!at(c, ','))
				break;
			c->p++;
		}
	if (!at(c, ']'))
		return fault(c, c->p, "expected ',' or ']'");
	c->p++;
	return true;
}

static bool
check_value(struct check *c, unsigned depth)
{
	bool	escaped;

	skip_blanks(c);
	if (c->p == c->end)
		return fault(c, c->p, "expected a value, found the end");
	if ((*c->p == '{' || *c->p == '[') && depth == JSON_DEPTH)
		return fault(c, c->p, "nested too deeply");
	switch (*c->p) {
	case '{':
		return check_object(c, depth + 1);
	case '[':
		return check_array(c, depth + 1);
	case '"':
		return check_string(c, &escaped);
	case 't':
		return check_literal(c, "true");
	case 'f':
		return check_literal(c, "false");
	case 'n':
		return check_literal(c, "null");
	default:
		if (*c->p == '-' || (*c->p >= '0' && *c->p <= '9'))
			return check_number(c);
		return fault(c, c->p, "expected a value");
	}
}

static void
describe(struct json_error *error, const char *text, const char *where, const char *what)
{
	if (error == NULL)
		return;
	*error = (struct json_error){ .what = what };
	if (where == NULL)
		return;
	error->line = error->column = 1;
	for (; text < where; text++) {
		error->column++;
		if (*text == '\n') {
			error->line++;
			error->column = 1;
		}
	}
}

int
json_check(const char *text, size_t n, struct json_error *ret_error)
{
	struct check	c = { 0 };
	bool		good;

	c.p = text = n > 0 ? text : "";
	c.end = text + n;
	good = check_value(&c, 0);
	free(c.keys);
	skip_blanks(&c);
	if (good && c.p < c.end)
		good = fault(&c, c.p, "text behind the end of the document");
	if (good)
		return 0;
	describe(ret_error, text, c.fault, c.what);
	return c.fault == NULL ? -ENOMEM : -EBADMSG;
}

cJSON *
json_parse(const char *text, size_t n, struct json_error *ret_error)
{
	cJSON	*document;

	if (json_check(text, n, ret_error) < 0)
		return NULL;
	if ((document = cJSON_ParseWithLength(text, n)) == NULL)
		describe(ret_error, text, NULL, "out of memory");
	return document;
}

const cJSON *
json_member(const cJSON *object, const char *key)
{
	if (!cJSON_IsObject(object))
		return NULL;
	return cJSON_GetObjectItemCaseSensitive(object, key);
}

const char *
json_string(const cJSON *object, const char *key)
{
	return cJSON_GetStringValue(json_member(object, key));
}
