#include <stdio.h>

#include "bounds.h"
#include "challenge.h"

struct cursor {
	const char	*p, *end;
};

static bool
is_token(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
	    (c != '\0' && strchr("!#$%&'*+-.^_`|~", c) != NULL);
}

static void
skip_blanks(struct cursor *c)
{
	while (c->p < c->end && (*c->p == ' ' || *c->p == '\t'))
		c->p++;
}

/* Between list elements; empty ones are allowed (RFC 9110 5.6.1.2). */
static void
skip_separators(struct cursor *c)
{
	while (c->p < c->end && (*c->p == ' ' || *c->p == '\t' || *c->p == ','))
		c->p++;
}

static bool
at(const struct cursor *c, char what)
{
	return c->p < c->end && *c->p == what;
}

static struct slice
take_token(struct cursor *c)
{
	struct slice	token = { c->p, 0 };

	while (c->p < c->end && is_token(*c->p))
		c->p++;
	token.n = (size_t)(c->p - token.p);
	return token;
}

/* Behind a scheme: one token68 instead of parameters ("Negotiate YII=") is of no use to us. */
static void
skip_token68(struct cursor *c)
{
	struct cursor	try = *c;

	skip_blanks(&try);
	while (try.p < try.end && (is_token(*try.p) || *try.p == '/'))
		try.p++;
	while (at(&try, '='))
		try.p++;
	skip_blanks(&try);
	if (try.p == try.end || *try.p == ',')
		*c = try;
}

/* The text of a quoted string, quoted pairs resolved; c is behind the opening quote. */
static int
take_quoted(struct cursor *c, struct buf *text)
{
	int	r;

	for (; c->p < c->end && *c->p != '"'; c->p++) {
		if (*c->p == '\\' && ++c->p == c->end)
			return -EBADMSG;
		if ((r = buf_add(text, c->p, 1)) < 0)
			return r;
	}
	if (c->p == c->end)
		return -EBADMSG;
	c->p++;
	return 0;
}

/*
 * A parameter's value.  RFC 9110 5.6.6 wants a token or a quoted string; URLs
 * without quotes are common enough to be taken up to the next blank or comma.
 */
static int
take_value(struct cursor *c, struct buf *text)
{
	const char	*from;

	skip_blanks(c);
	if (at(c, '"')) {
		c->p++;
		return take_quoted(c, text);
	}
	for (from = c->p; c->p < c->end && strchr(" \t,\"", *c->p) == NULL; c->p++)
		continue;
	if (at(c, '"'))
		return -EBADMSG;
	return buf_add(text, from, (size_t)(c->p - from));
}

/* RFC 6750 section 3 allows no more in any of ours: printable ASCII without quote and backslash. */
static bool
acceptable(const struct buf *text)
{
	size_t	i;

	for (i = 0; i < text->len; i++)
		if (text->p[i] < ' ' || text->p[i] > '~' || text->p[i] == '"' || text->p[i] == '\\')
			return false;
	return text->len > 0;
}

static int
keep(struct challenge *ch, struct slice name, struct buf *text)
{
	char	**slot;

	if (slice_ieq(name, "error"))
		slot = &ch->error;
	else if (slice_ieq(name, "scope"))
		slot = &ch->scope;
	else if (slice_ieq(name, "resource_metadata"))
		slot = &ch->resource_metadata;
	else
		return 0;
	if (*slot != NULL || !acceptable(text))
		return 0;
	return (*slot = buf_steal(text)) == NULL ? -ENOMEM : 0;
}

static int
parse_parameter(struct cursor *c, struct challenge *ch, struct slice name, bool bearer)
{
	_cleanup_(buf_free) struct buf	text = BUF_INIT(CHALLENGE_BYTES);
	int				r;

	c->p++;
	if ((r = take_value(c, &text)) < 0)
		return r;
	return bearer ? keep(ch, name, &text) : 0;
}

/*
 * RFC 9110 11.6.1.  A token followed by '=' is a parameter of the scheme
 * before it, any other token is a scheme; commas between parameters may thus
 * be missing, as they are in the wild.
 */
static int
parse(struct cursor *c, struct challenge *ch)
{
	struct cursor	behind;
	struct slice	token;
	bool		scheme = false, bearer = false;
	int		r;

	for (skip_separators(c); c->p < c->end; skip_separators(c)) {
		if ((token = take_token(c)).n == 0)
			return -EBADMSG;
		behind = *c;
		skip_blanks(&behind);
		if (at(&behind, '=')) {
			if (!scheme)
				return -EBADMSG;
			*c = behind;
			if ((r = parse_parameter(c, ch, token, bearer)) < 0)
				return r;
			continue;
		}
		scheme = true;
		bearer = slice_ieq(token, "bearer");
		ch->bearer |= bearer;
		skip_token68(c);
	}
	return 0;
}

/* NUL and other controls never get here through our own HTTP parser, but may from elsewhere. */
static bool
has_controls(const char *p, size_t n)
{
	for (; n > 0; p++, n--)
		if (((unsigned char)*p < ' ' && *p != '\t') || *p == 0x7f)
			return true;
	return false;
}

static void
move_absent(char **to, char **from)
{
	if (*to == NULL) {
		*to = *from;
		*from = NULL;
	}
}

int
challenge_add(struct challenge *ch, const char *p, size_t n)
{
	_cleanup_(challenge_free) struct challenge	found = { 0 };
	struct cursor					c = { p, p + n };
	int						r;

	if (n > CHALLENGE_BYTES)
		return -EMSGSIZE;
	if (has_controls(p, n))
		return -EBADMSG;
	if ((r = parse(&c, &found)) < 0)
		return r;
	ch->bearer |= found.bearer;
	move_absent(&ch->error, &found.error);
	move_absent(&ch->scope, &found.scope);
	move_absent(&ch->resource_metadata, &found.resource_metadata);
	return 0;
}

void
challenge_free(struct challenge *ch)
{
	free(ch->error);
	free(ch->scope);
	free(ch->resource_metadata);
	memset(ch, 0, sizeof(*ch));
}
