#include "jsonc.h"

static void
count_lines(const char *text, const char *where, unsigned *ret_line, unsigned *ret_column)
{
	*ret_line = *ret_column = 1;
	for (; text < where; text++) {
		++*ret_column;
		if (*text == '\n') {
			++*ret_line;
			*ret_column = 1;
		}
	}
}

/* Behind the string that begins at p, or at the end. */
static const char *
skip_string(const char *p, const char *end)
{
	for (p++; p < end && *p != '"'; p++)
		if (*p == '\\' && p + 1 < end)
			p++;
	return p < end ? p + 1 : end;
}

/* Behind the comment at p; NULL if it does not end.  A line comment leaves its line break alone. */
static const char *
skip_comment(const char *p, const char *end)
{
	if (p[1] == '/') {
		p = memchr(p, '\n', (size_t)(end - p));
		return p != NULL ? p : end;
	}
	for (p += 2; end - p >= 2; p++)
		if (p[0] == '*' && p[1] == '/')
			return p + 2;
	return NULL;
}

static void
blank(char *p, const char *end)
{
	for (; p < end; p++)
		if (*p != '\n' && *p != '\r')
			*p = ' ';
}

static bool
is_blank(char c)
{
	return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

int
jsonc_clean(char *text, size_t n, struct json_error *ret_error)
{
	char		*p = text, *end = text + n, *comma = NULL, before = '\0';
	const char	*behind;

	while (p < end) {
		if (*p == '/' && p + 1 < end && (p[1] == '/' || p[1] == '*')) {
			if ((behind = skip_comment(p, end)) == NULL) {
				ret_error->what = "comment without an end";
				count_lines(text, p, &ret_error->line, &ret_error->column);
				return -EBADMSG;
			}
			blank(p, behind);
			p += behind - p;
			continue;
		}
		if (is_blank(*p)) {
			p++;
			continue;
		}
		if (comma != NULL && (*p == ']' || *p == '}'))
			*comma = ' ';
		/* one comma behind a value may be forgiven, "[,]" and "[1,,]" not */
		comma = *p == ',' && before != '\0' && strchr("[{,:", before) == NULL ? p : NULL;
		before = *p;
		p = *p == '"' ? p + (skip_string(p, end) - p) : p + 1;
	}
	return 0;
}

/* In document order, the root being 0: how many values stand before `item`? */
static bool
count_before(const cJSON *at, const cJSON *item, size_t *count)
{
	const cJSON	*child;

	if (at == item)
		return true;
	++*count;
	cJSON_ArrayForEach(child, at)
		if (count_before(child, item, count))
			return true;
	return false;
}

static bool
is_key(const char *p, const char *end)
{
	while (p < end && is_blank(*p))
		p++;
	return p < end && *p == ':';
}

void
jsonc_locate(const char *text, size_t n, const cJSON *root, const cJSON *item, bool key,
    unsigned *ret_line, unsigned *ret_column)
{
	const char	*p = text, *end = text + n, *last_key = NULL, *from;
	size_t		 left = 0;

	count_before(root, item, &left);
	while (p < end) {
		if (is_blank(*p) || strchr(",:]}", *p) != NULL) {
			p++;
			continue;
		}
		from = p++;
		if (*from == '"')
			p = skip_string(from, end);
		else if (*from != '{' && *from != '[')
			while (p < end && !is_blank(*p) && strchr(",]}", *p) == NULL)
				p++;
		if (*from == '"' && is_key(p, end)) {
			last_key = from;
			continue;
		}
		if (left-- == 0) {
			p = key && item->string != NULL ? last_key : from;
			break;
		}
	}
	count_lines(text, p, ret_line, ret_column);
}
