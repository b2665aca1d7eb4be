#include "insert.h"
#include "jsonc.h"

#define CONTEXT	3	/* lines around a hunk */

/* An object in the text, as offsets. */
struct object {
	size_t	open, close;	/* of its braces */
	size_t	last;		/* behind its last value, or behind the opening brace */
	size_t	comma;		/* behind the comma that follows the last value, or 0 */
	bool	empty;
};

static size_t
behind_string(const char *clean, size_t n, size_t i)
{
	for (i++; i < n && clean[i] != '"'; i++)
		if (clean[i] == '\\')
			i++;
	return i + 1;
}

static bool
is_blank(char c)
{
	return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

/* Behind the value that begins at i; the text is known to be right. */
static size_t
behind_value(const char *clean, size_t n, size_t i)
{
	size_t depth = 0;

	do {
		if (clean[i] == '"') {
			i = behind_string(clean, n, i);
			continue;
		}
		if (clean[i] == '{' || clean[i] == '[')
			depth++;
		else if (clean[i] == '}' || clean[i] == ']')
			depth--;
		else if (depth == 0)	/* a number or a word */
			while (i + 1 < n && !is_blank(clean[i + 1]) &&
			    strchr(",]}", clean[i + 1]) == NULL)
				i++;
		i++;
	} while (i < n && depth > 0);
	return i;
}

/* In the raw text, behind the comma that was cleaned away; 0: there was none. */
static size_t
behind_comma(const char *raw, size_t from, size_t to)
{
	size_t i;

	for (i = from; i < to; i++) {
		if (raw[i] == ',')
			return i + 1;
		if (raw[i] == '/' && raw[i + 1] == '/')
			while (i + 1 < to && raw[i + 1] != '\n')
				i++;
		else if (raw[i] == '/')
			for (i += 3; i < to && !(raw[i - 1] == '*' && raw[i] == '/'); i++)
				;
	}
	return 0;
}

/* The object whose brace is at `open`. */
static struct object
measure(const char *raw, const char *clean, size_t n, size_t open)
{
	struct object o = { .open = open, .close = behind_value(clean, n, open) - 1 };

	o.last = o.close;
	while (is_blank(clean[o.last - 1]))
		o.last--;
	o.empty = o.last == open + 1;
	o.comma = o.empty ? 0 : behind_comma(raw, o.last, o.close);
	return o;
}

/* Offset of a place that jsonc_locate() tells. */
static size_t
offset_of(const char *text, unsigned line, unsigned column)
{
	const char *p = text;

	for (; line > 1; line--)
		p = strchr(p, '\n') + 1;
	return (size_t)(p - text) + column - 1;
}

static size_t
line_start(const char *raw, size_t i)
{
	while (i > 0 && raw[i - 1] != '\n')
		i--;
	return i;
}

/* Blanks at the beginning of the line that holds i. */
static struct slice
indent_at(const char *raw, size_t i)
{
	size_t from = line_start(raw, i);

	return (struct slice){ raw + from, strspn(raw + from, " \t") };
}

/* Only blanks stand before it on its line. */
static bool
begins_line(const char *raw, size_t i)
{
	struct slice indent = indent_at(raw, i);

	return indent.p + indent.n == raw + i;
}

/* --- the new text --- */

struct edit {
	struct buf	*out;
	const char	*raw, *clean;
	size_t		 n, done;	/* of the old text, all and what was copied */
	const char	*newline;
	int		 error;		/* the first one */
};

static void
add(struct edit *e, const char *p, size_t n)
{
	if (e->error == 0 && n > 0)
		e->error = buf_add(e->out, p, n);
}

static void
adds(struct edit *e, const char *s)
{
	add(e, s, strlen(s));
}

/* The old text up to there. */
static void
keep(struct edit *e, size_t to)
{
	add(e, e->raw + e->done, to - e->done);
	e->done = to;
}

/* Without a value: an empty object whose closing brace has a line of its own. */
static void
add_member(struct edit *e, const struct insert_member *m, struct slice indent, bool comma)
{
	if (e->error == 0)
		e->error = buf_addjson(e->out, m->name, strlen(m->name));
	adds(e, ": ");
	if (m->value != NULL) {
		adds(e, m->value);
	} else {
		adds(e, "{");
		adds(e, e->newline);
		add(e, indent.p, indent.n);
		adds(e, "}");
	}
	adds(e, comma ? "," : "");
}

/* Each member on a line of its own above the closing brace, indented like the first that is there. */
static void
add_lines(struct edit *e, const struct object *o, const struct insert_member *m, size_t n)
{
	_cleanup_(buf_free) struct buf made = BUF_INIT(0);
	struct slice outer = indent_at(e->raw, o->close), inner = outer;
	size_t first = o->open + 1, i;

	while (is_blank(e->clean[first]))
		first++;
	if (!o->empty && begins_line(e->raw, first)) {
		inner = indent_at(e->raw, first);
	} else {
		if (buf_addslice(&made, outer) < 0 ||
		    buf_adds(&made, memchr(outer.p, '\t', outer.n) != NULL ? "\t" : "  ") < 0)
			e->error = -ENOMEM;
		inner = (struct slice){ made.p, made.len };
	}
	keep(e, line_start(e->raw, o->close));
	for (i = 0; i < n; i++) {
		add(e, inner.p, inner.n);
		add_member(e, &m[i], inner, i + 1 < n || o->comma > 0);
		adds(e, e->newline);
	}
}

/* All on the line that is there, behind its last value. */
static void
add_inline(struct edit *e, const struct object *o, const struct insert_member *m, size_t n)
{
	size_t i;

	keep(e, o->comma > 0 ? o->comma : o->last);
	for (i = 0; i < n; i++) {
		adds(e, " ");
		add_member(e, &m[i], (struct slice){ NULL, 0 }, i + 1 < n || o->comma > 0);
	}
	adds(e, o->empty ? " " : "");
}

static int
add_members(struct edit *e, const struct object *o, const struct insert_member *m, size_t n)
{
	if (!o->empty && o->comma == 0) {
		keep(e, o->last);
		adds(e, ",");
	}
	if (begins_line(e->raw, o->close))
		add_lines(e, o, m, n);
	else
		add_inline(e, o, m, n);
	keep(e, e->n);
	return e->error;
}

/* --- the places --- */

static const char *
newline_of(const char *text, size_t n)
{
	const char *lf = memchr(text, '\n', n);

	return lf != NULL && lf > text && lf[-1] == '\r' ? "\r\n" : "\n";
}

/* Into the object at `item`. */
static int
insert_at(struct buf *out, const char *raw, const struct buf *clean, const cJSON *root,
    const cJSON *item, const struct insert_member *m, size_t nmembers)
{
	struct edit e = { .out = out, .raw = raw, .clean = clean->p, .n = clean->len,
	    .newline = newline_of(raw, clean->len) };
	struct object o;
	unsigned line, column;

	jsonc_locate(clean->p, clean->len, root, item, false, &line, &column);
	o = measure(raw, clean->p, clean->len, offset_of(clean->p, line, column));
	return add_members(&e, &o, m, nmembers);
}

static int
not_an_object(const struct buf *clean, const cJSON *root, const cJSON *item,
    struct json_error *ret_error)
{
	jsonc_locate(clean->p, clean->len, root, item, false, &ret_error->line, &ret_error->column);
	ret_error->what = "an object is wanted here";
	return -EBADMSG;
}

/* *ret_made: the object was not there and is now; nothing else was done. */
static int
insert_once(struct buf *out, const char *raw, const struct buf *clean, const char *key,
    const struct insert_member *m, size_t nmembers, bool *ret_made, struct json_error *ret_error)
{
	const struct insert_member empty = { key, NULL };
	cJSON *root = json_parse(clean->p, clean->len, ret_error);
	const cJSON *item = json_member(root, key);
	int r;

	*ret_made = item == NULL;
	if (root == NULL)
		return ret_error->line == 0 ? -ENOMEM : -EBADMSG;
	if (!cJSON_IsObject(root))
		r = not_an_object(clean, root, root, ret_error);
	else if (item == NULL)
		r = insert_at(out, raw, clean, root, root, &empty, 1);
	else if (!cJSON_IsObject(item))
		r = not_an_object(clean, root, item, ret_error);
	else
		r = insert_at(out, raw, clean, root, item, m, nmembers);
	cJSON_Delete(root);
	return r;
}

int
insert_members(struct buf *out, const char *text, size_t n, const char *key,
    const struct insert_member *m, size_t nmembers, struct json_error *ret_error)
{
	_cleanup_(buf_free) struct buf raw = BUF_INIT(0), clean = BUF_INIT(0), made = BUF_INIT(0);
	bool again;
	int r;

	*ret_error = (struct json_error){ 1, 1, "the text is empty" };
	if (n == 0)
		return -EBADMSG;
	if (buf_add(&raw, text, n) < 0 || buf_add(&clean, text, n) < 0)
		return -ENOMEM;
	if (jsonc_clean(clean.p, n, ret_error) < 0)
		return -EBADMSG;
	r = insert_once(&made, raw.p, &clean, key, m, nmembers, &again, ret_error);
	if (r < 0)
		return r;
	if (again)
		return insert_members(out, made.p, made.len, key, m, nmembers, ret_error);
	return buf_add(out, made.p, made.len);
}

/* --- the difference --- */

struct lines {
	struct slice	*line;		/* with its newline */
	size_t		 n;
};

static int
split(struct slice text, struct lines *ret)
{
	const char *p, *lf;
	size_t n = 1, i;

	for (i = 0; i < text.n; i++)
		n += text.p[i] == '\n';
	ret->n = 0;
	if ((ret->line = calloc(n, sizeof(*ret->line))) == NULL)
		return -ENOMEM;
	for (p = text.p; p < text.p + text.n; p = lf) {
		lf = memchr(p, '\n', (size_t)(text.p + text.n - p));
		lf = lf != NULL ? lf + 1 : text.p + text.n;
		ret->line[ret->n++] = (struct slice){ p, (size_t)(lf - p) };
	}
	return 0;
}

static bool
same(struct slice a, struct slice b)
{
	return a.n == b.n && memcmp(a.p, b.p, a.n) == 0;
}

static int
add_line(struct buf *out, char mark, struct slice line)
{
	int r;

	if ((r = buf_add(out, &mark, 1)) < 0 || (r = buf_addslice(out, line)) < 0)
		return r;
	return line.p[line.n - 1] == '\n' ? 0 : buf_adds(out, "\n\\ No newline at end of file\n");
}

static int
add_run(struct buf *out, char mark, const struct lines *l, size_t from, size_t to)
{
	int r = 0;

	for (; from < to && r == 0; from++)
		r = add_line(out, mark, l->line[from]);
	return r;
}

/* Up to the ends: an old line that comes again later has new ones before it, another was changed. */
static int
add_changes(struct buf *out, const struct lines *a, const struct lines *b, size_t from, size_t aend,
    size_t bend)
{
	size_t i, j = from, k;
	int r = 0;

	for (i = from; i < aend && r == 0; i++) {
		for (k = j; k < bend && !same(a->line[i], b->line[k]); k++)
			;
		if (k == bend) {
			r = add_line(out, '-', a->line[i]);
			continue;
		}
		if ((r = add_run(out, '+', b, j, k)) == 0)
			r = add_line(out, ' ', a->line[i]);
		j = k + 1;
	}
	return r < 0 ? r : add_run(out, '+', b, j, bend);
}

static int
add_hunk(struct buf *out, const char *label, const struct lines *a, const struct lines *b)
{
	size_t head = 0, tail = 0, from, context, most = MIN(a->n, b->n);
	int r;

	while (head < most && same(a->line[head], b->line[head]))
		head++;
	while (tail < most - head && same(a->line[a->n - 1 - tail], b->line[b->n - 1 - tail]))
		tail++;
	if (head == a->n && head == b->n)
		return 0;
	from = head - MIN(head, CONTEXT);
	context = MIN(tail, CONTEXT);
	if ((r = buf_addf(out, "--- %s\n+++ %s\n@@ -%zu,%zu +%zu,%zu @@\n", label, label,
	    from + (a->n > 0), a->n - tail + context - from, from + 1,
	    b->n - tail + context - from)) < 0 ||
	    (r = add_run(out, ' ', a, from, head)) < 0 ||
	    (r = add_changes(out, a, b, head, a->n - tail, b->n - tail)) < 0)
		return r;
	return add_run(out, ' ', a, a->n - tail, a->n - tail + context);
}

int
insert_diff(struct buf *out, const char *label, struct slice before, struct slice after)
{
	struct lines a = { NULL, 0 }, b = { NULL, 0 };
	int r;

	if ((r = split(before, &a)) == 0 && (r = split(after, &b)) == 0)
		r = add_hunk(out, label, &a, &b);
	free(a.line);
	free(b.line);
	return r;
}
