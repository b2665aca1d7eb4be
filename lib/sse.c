#include "sse.h"

enum state { START, NAME, BLANK, VALUE };
enum target { IGNORED, DATA, ID, RETRY, TYPE };

#define NO_NAME		255	/* nname: longer than any that we know */
#define RETRY_DIGITS	12	/* more of them are beyond any ceiling */

static const char mark[] = "\xef\xbb\xbf";

void
sse_init(struct sse *s, size_t max)
{
	memset(s, 0, sizeof(*s));
	s->data = BUF_INIT(max + 1);	/* each line brings its LF, the last one goes */
	s->last = s->id = BUF_INIT(EVENT_ID_BYTES);
	s->value = BUF_INIT(EVENT_ID_BYTES);
	s->retry = -1;
}

static void
begin_line(struct sse *s)
{
	s->state = NAME;
	s->nname = 0;
	s->target = IGNORED;
}

static void
begin_event(struct sse *s)
{
	buf_reset(&s->data);
	s->over = false;
	s->ntype = 0;
}

void
sse_restart(struct sse *s)
{
	begin_event(s);
	buf_reset(&s->id);
	(void)buf_add(&s->id, s->last.p, s->last.len);	/* it held as much before */
	s->state = START;
	s->bom = 0;
	s->crlf = s->given = false;
}

static enum target
target_of(const struct sse *s)
{
	static const struct { const char *name; enum target target; } known[] = {
		{ "data", DATA }, { "id", ID }, { "retry", RETRY }, { "event", TYPE },
	};
	struct slice name = { s->name, s->nname };

	for (size_t i = 0; s->nname != NO_NAME && i < nitems(known); i++)
		if (slice_eq(name, known[i].name))
			return known[i].target;
	return IGNORED;
}

static void
begin_value(struct sse *s)
{
	s->target = target_of(s);
	s->over_id = false;
	buf_reset(&s->value);
	if (s->target == TYPE)
		s->ntype = 0;
}

/* The largest reader is `data`: what it cannot hold is dropped with the whole event. */
static int
add_value(struct sse *s, const char *p, size_t n)
{
	int e = 0;

	switch ((enum target)s->target) {
	case DATA:
		if (!s->over && (e = buf_add(&s->data, p, n)) == -EMSGSIZE) {
			s->over = true;
			buf_reset(&s->data);
		}
		break;
	case ID:
	case RETRY:
		if ((e = buf_add(&s->value, p, n)) == -EMSGSIZE)
			s->over_id = true;
		break;
	case TYPE:
		for (size_t i = 0; i < n; i++)
			if (s->ntype < sizeof(s->type))
				s->type[s->ntype++] = p[i];
		break;
	case IGNORED:
		break;
	}
	return e == -ENOMEM ? e : 0;
}

static void
set_retry(struct sse *s)
{
	int64_t ms = 0;

	if (s->value.len == 0 || s->over_id)
		return;
	for (size_t i = 0; i < s->value.len; i++) {
		if (s->value.p[i] < '0' || s->value.p[i] > '9')
			return;
		if (i < RETRY_DIGITS)
			ms = ms * 10 + (s->value.p[i] - '0');
	}
	s->retry = s->value.len > RETRY_DIGITS ? STREAM_RETRY_MAX : MIN(ms, STREAM_RETRY_MAX);
}

static int
set_id(struct sse *s)
{
	if (s->over_id || (s->value.len > 0 && memchr(s->value.p, '\0', s->value.len) != NULL))
		return 0;
	buf_reset(&s->id);
	return s->value.len > 0 ? buf_add(&s->id, s->value.p, s->value.len) : 0;
}

/* A line with a field has ended. */
static int
end_field(struct sse *s)
{
	switch ((enum target)s->target) {
	case DATA:
		return add_value(s, "\n", 1);
	case ID:
		return set_id(s);
	case RETRY:
		set_retry(s);
		break;
	case TYPE:
	case IGNORED:
		break;
	}
	return 0;
}

/* A blank line: 1, 0 or an error, as sse_next(). */
static int
dispatch(struct sse *s)
{
	struct slice type = { s->type, s->ntype };

	buf_reset(&s->last);
	if (s->id.len > 0 && buf_add(&s->last, s->id.p, s->id.len) < 0)
		return -ENOMEM;
	if (s->over) {
		begin_event(s);
		return -EMSGSIZE;
	}
	if (s->data.len > 0)
		s->data.p[--s->data.len] = '\0';
	if (s->data.len == 0) {
		begin_event(s);
		return 0;
	}
	s->message = type.n == 0 || slice_eq(type, "message");
	s->given = true;
	return 1;
}

static int
end_line(struct sse *s)
{
	bool blank = s->state == NAME && s->nname == 0;
	int r;

	if (s->state == NAME && !blank)		/* a field without a colon: the value is empty */
		begin_value(s);
	r = blank ? dispatch(s) : end_field(s);
	begin_line(s);
	return r;
}

static void
add_name(struct sse *s, char c)
{
	if (s->nname == NO_NAME)
		return;
	if (s->nname == sizeof(s->name)) {
		s->nname = NO_NAME;
		return;
	}
	s->name[s->nname++] = c;
}

/* A byte order mark may stand before everything else; one that is cut short was a name. */
static bool
skip_mark(struct sse *s, char c)
{
	if (s->state != START)
		return false;
	if (c == mark[s->bom]) {
		if (++s->bom == sizeof(mark) - 1)
			begin_line(s);
		return true;
	}
	begin_line(s);
	for (unsigned i = 0; i < s->bom; i++)
		add_name(s, mark[i]);
	return false;
}

static size_t
plain(const char *p, size_t n)
{
	const char *lf = memchr(p, '\n', n), *cr;

	n = lf != NULL ? (size_t)(lf - p) : n;
	cr = memchr(p, '\r', n);
	return cr != NULL ? (size_t)(cr - p) : n;
}

/* Within a line.  Returns how many bytes were taken. */
static ssize_t
take(struct sse *s, const char *p, size_t n)
{
	size_t run;
	int e;

	if (s->state == NAME) {
		if (*p == ':') {
			begin_value(s);
			s->state = BLANK;
		} else {
			add_name(s, *p);
		}
		return 1;
	}
	if (s->state == BLANK) {
		s->state = VALUE;
		if (*p == ' ')
			return 1;
	}
	run = plain(p, n);
	return (e = add_value(s, p, run)) < 0 ? e : (ssize_t)run;
}

int
sse_next(struct sse *s, const char **p, size_t *n)
{
	ssize_t took;
	int r = 0;
	char c;

	if (s->given) {
		s->given = false;
		begin_event(s);
	}
	while (*n > 0 && r == 0) {
		c = **p;
		took = 1;
		if (s->crlf && c == '\n') {
			s->crlf = false;
		} else if (!skip_mark(s, c)) {
			s->crlf = c == '\r';
			if (c == '\n' || c == '\r')
				r = end_line(s);
			else if ((took = take(s, *p, *n)) < 0)
				return (int)took;
		}
		*p += took;
		*n -= (size_t)took;
	}
	return r;
}

void
sse_free(struct sse *s)
{
	buf_free(&s->data);
	buf_free(&s->last);
	buf_free(&s->id);
	buf_free(&s->value);
}
