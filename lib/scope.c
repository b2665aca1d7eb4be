#include "scope.h"

/* The next word from *p on, which moves behind it; n == 0 at the end. */
static struct slice
next_word(const char **p)
{
	struct slice word;

	*p += strspn(*p, " ");
	word = (struct slice){ *p, strcspn(*p, " ") };
	*p += word.n;
	return word;
}

static bool
holds(const char *set, struct slice word)
{
	struct slice w;

	while ((w = next_word(&set)).n > 0)
		if (w.n == word.n && memcmp(w.p, word.p, w.n) == 0)
			return true;
	return false;
}

bool
scope_valid(const char *scope)
{
	size_t n;

	for (n = 0; scope[n] != '\0'; n++)
		if (n == SCOPE_BYTES || scope[n] < 0x20 || scope[n] > 0x7e ||
		    scope[n] == '"' || scope[n] == '\\')
			return false;
	return true;
}

/* The words of `set` that `sum` lacks. */
static int
add_missing(struct buf *sum, const char *set)
{
	struct slice word;
	int r = 0;

	if (set == NULL)
		return 0;
	if (strnlen(set, SCOPE_BYTES + 1) > SCOPE_BYTES)
		return -EMSGSIZE;
	while (r == 0 && (word = next_word(&set)).n > 0) {
		if (sum->len > 0 && holds(sum->p, word))
			continue;
		r = sum->len > 0 ? buf_adds(sum, " ") : 0;
		if (r == 0)
			r = buf_addslice(sum, word);
	}
	return r;
}

int
scope_union(struct buf *out, const char *a, const char *b)
{
	_cleanup_(buf_free) struct buf sum = BUF_INIT(SCOPE_BYTES);
	int r;

	r = add_missing(&sum, a);
	if (r == 0)
		r = add_missing(&sum, b);
	return r == 0 ? buf_add(out, sum.p, sum.len) : r;
}

bool
scope_contains(const char *whole, const char *part)
{
	struct slice word;

	while (part != NULL && (word = next_word(&part)).n > 0)
		if (whole == NULL || !holds(whole, word))
			return false;
	return true;
}
