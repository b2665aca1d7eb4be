#include "lines.h"

void
lines_init(struct lines *l, size_t max)
{
	memset(l, 0, sizeof(*l));
	l->max = max;
	lines_moved(l);
}

void
lines_moved(struct lines *l)
{
	l->text = BUF_INIT(0);
	jsonrpc_init(&l->rpc);
	l->over = false;
}

void
lines_next(struct lines *l)
{
	lines_free(l);
	lines_moved(l);
}

static bool
is_blank(char c)
{
	return c == ' ' || c == '\t' || c == '\r';
}

static void
drop_text(struct lines *l)
{
	l->over = true;
	buf_free(&l->text);
}

/* n bytes of the current line. */
static int
add(struct lines *l, const char *p, size_t n)
{
	int e;

	if (jsonrpc_feed(&l->rpc, p, n) < 0) {
		drop_text(l);
		return -ENOMEM;
	}
	if (l->over)
		return 0;
	if (n > l->max || l->text.len > l->max - n) {
		drop_text(l);
		return 0;
	}
	l->text.max = MAX(l->max, n);
	if ((e = buf_add(&l->text, p, n)) < 0)
		drop_text(l);
	return e == -ENOMEM ? e : 0;
}

static bool
begun(const struct lines *l)
{
	return l->over || l->text.len > 0;
}

static int
complete(struct lines *l)
{
	if (!begun(l))
		return 0;
	while (l->text.len > 0 && is_blank(l->text.p[l->text.len - 1]))
		l->text.p[--l->text.len] = '\0';
	jsonrpc_end(&l->rpc);
	return 1;
}

int
lines_feed(struct lines *l, const char **p, size_t *n)
{
	const char *lf;
	size_t run;
	int e = 0;

	while (*n > 0) {
		if (!begun(l) && (is_blank(**p) || **p == '\n')) {
			++*p;
			--*n;
			continue;
		}
		lf = memchr(*p, '\n', *n);
		run = lf != NULL ? (size_t)(lf - *p) : *n;
		if (run > 0)
			e = add(l, *p, run);
		*p += run;
		*n -= run;
		if (e < 0 || lf == NULL)
			return e;
		++*p;
		--*n;
		return complete(l);
	}
	return 0;
}

int
lines_end(struct lines *l)
{
	return complete(l);
}

void
lines_free(struct lines *l)
{
	buf_free(&l->text);
	jsonrpc_free(&l->rpc);
}
