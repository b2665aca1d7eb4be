#include "bounds.h"
#include "toml.h"

#define TOML_KEYS	10000	/* looked up one after the other */
#define PATH_PARTS	16	/* of a dotted key; with JSON_DEPTH it bounds the tree's depth */

struct toml {
	const char	*p, *start, *end;
	const char	*fault;		/* where; NULL with what: out of memory */
	const char	*what;
	unsigned	 keys;
};

static cJSON *read_value(struct toml *, unsigned depth);

static bool
wrong(struct toml *t, const char *where, const char *what)
{
	t->fault = where;
	t->what = what;
	return false;
}

static bool
no_memory(struct toml *t)
{
	return wrong(t, NULL, "out of memory");
}

static bool
at(const struct toml *t, const char *text)
{
	size_t n = strlen(text);

	return (size_t)(t->end - t->p) >= n && memcmp(t->p, text, n) == 0;
}

static bool
take(struct toml *t, const char *text)
{
	if (!at(t, text))
		return false;
	t->p += strlen(text);
	return true;
}

static bool
is_control(char c)
{
	return ((unsigned char)c < ' ' && c != '\t') || c == 0x7f;
}

/* Blanks and a comment; false if the comment holds a control character. */
static bool
skip_line(struct toml *t)
{
	while (t->p < t->end && (*t->p == ' ' || *t->p == '\t'))
		t->p++;
	if (!at(t, "#"))
		return true;
	while (t->p < t->end && *t->p != '\n' && !at(t, "\r\n")) {
		if (is_control(*t->p))
			return wrong(t, t->p, "control character in a comment");
		t->p++;
	}
	return true;
}

static bool
take_newline(struct toml *t)
{
	return take(t, "\n") || take(t, "\r\n");
}

/* Any number of blanks, comments and line ends. */
static bool
skip_lines(struct toml *t)
{
	do {
		if (!skip_line(t))
			return false;
	} while (take_newline(t));
	return true;
}

/* --- strings --- */

static int
add_code_point(struct buf *out, uint32_t c)
{
	char utf8[4];
	size_t n = c < 0x80 ? 1 : c < 0x800 ? 2 : c < 0x10000 ? 3 : 4, i;

	for (i = n; i-- > 1; c >>= 6)
		utf8[i] = (char)(0x80 | (c & 0x3f));
	utf8[0] = (char)(n == 1 ? c : (0xf00 >> n & 0xff) | c);
	return buf_add(out, utf8, n);
}

/* The digits behind \u or \U. */
static bool
read_code_point(struct toml *t, size_t digits, struct buf *out)
{
	static const char hex[] = "0123456789abcdef";
	const char *d, *from = t->p;
	uint32_t c = 0;
	size_t i;

	for (i = 0; i < digits; i++, t->p++) {
		d = t->p < t->end && *t->p != '\0' ? strchr(hex, *t->p | ('A' <= *t->p &&
		    *t->p <= 'F' ? 0x20 : 0)) : NULL;
		if (d == NULL)
			return wrong(t, from, "escape without its hexadecimal digits");
		c = c << 4 | (uint32_t)(d - hex);
	}
	if (c == 0 || c > 0x10ffff || (c >= 0xd800 && c <= 0xdfff))
		return wrong(t, from, "escape of what is no character");
	return add_code_point(out, c) == 0 || no_memory(t);
}

/* Behind the backslash. */
static bool
read_escape(struct toml *t, bool lines, struct buf *out)
{
	static const char from[] = "btnfr\"\\e", to[] = "\b\t\n\f\r\"\\\x1b";
	const char *which;

	if (take(t, "u"))
		return read_code_point(t, 4, out);
	if (take(t, "U"))
		return read_code_point(t, 8, out);
	which = t->p < t->end && *t->p != '\0' ? strchr(from, *t->p) : NULL;
	if (which != NULL) {
		t->p++;
		return buf_add(out, to + (which - from), 1) == 0 || no_memory(t);
	}
	/* A backslash at the line's end swallows all blanks that follow. */
	if (lines && t->p < t->end && strchr(" \t\r\n", *t->p) != NULL && *t->p != '\0') {
		while (t->p < t->end && (*t->p == ' ' || *t->p == '\t'))
			t->p++;
		if (!at(t, "\n") && !at(t, "\r\n"))
			return wrong(t, t->p, "unknown escape");
		while (t->p < t->end && (*t->p == ' ' || *t->p == '\t' || take_newline(t)))
			if (t->p < t->end && (*t->p == ' ' || *t->p == '\t'))
				t->p++;
		return true;
	}
	return wrong(t, t->p, "unknown escape");
}

/* One character, escape or line end of a string. */
static bool
read_char(struct toml *t, bool escapes, bool lines, struct buf *out)
{
	if (escapes && take(t, "\\"))
		return read_escape(t, lines, out);
	if (lines && take_newline(t))
		return buf_adds(out, "\n") == 0 || no_memory(t);
	if (is_control(*t->p))
		return wrong(t, t->p, "control character in a string");
	return buf_add(out, t->p++, 1) == 0 || no_memory(t);
}

/* Any of the four kinds; `one_line`: only those that may be a key. */
static bool
read_string(struct toml *t, bool one_line, struct buf *out)
{
	bool escapes = at(t, "\""), lines = at(t, escapes ? "\"\"\"" : "'''");
	const char *quote = escapes ? lines ? "\"\"\"" : "\"" : lines ? "'''" : "'";
	const char *from = t->p;

	if (lines && one_line)
		return wrong(t, from, "a string of several lines cannot be a key");
	take(t, quote);
	if (lines)
		take_newline(t);
	while (t->p < t->end && !at(t, quote))
		if (!read_char(t, escapes, lines, out))
			return false;
	if (!at(t, quote))
		return wrong(t, from, "string without an end");
	/* Up to two quotes may stand before the closing three. */
	for (int i = 0; lines && i < 2 && t->end - t->p > 3 && t->p[3] == quote[0]; i++)
		if (buf_add(out, t->p++, 1) < 0)
			return no_memory(t);
	take(t, quote);
	return buf_add(out, "", 1) == 0 || no_memory(t);	/* a C string, also if it is empty */
}

/* --- keys --- */

static bool
is_bare(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
	    c == '_' || c == '-';
}

static bool
read_key(struct toml *t, struct buf *out)
{
	const char *from = t->p;

	buf_reset(out);
	if (at(t, "\"") || at(t, "'"))
		return read_string(t, true, out);
	while (t->p < t->end && is_bare(*t->p))
		t->p++;
	if (t->p == from)
		return wrong(t, from, "a key is missing");
	return (buf_add(out, from, (size_t)(t->p - from)) == 0 && buf_add(out, "", 1) == 0) ||
	    no_memory(t);
}

static cJSON *
add_member(struct toml *t, cJSON *table, const char *name, cJSON *value)
{
	if (value != NULL && cJSON_AddItemToObject(table, name, value))
		return value;
	cJSON_Delete(value);
	no_memory(t);
	return NULL;
}

static bool
count_key(struct toml *t)
{
	return ++t->keys <= TOML_KEYS || wrong(t, t->p, "too many keys");
}

/* The table below `table`, made if it is missing; of an array its last one. */
static cJSON *
descend(struct toml *t, cJSON *table, const char *name)
{
	cJSON *child = cJSON_GetObjectItemCaseSensitive(table, name);

	if (child == NULL)
		return count_key(t) ? add_member(t, table, name, cJSON_CreateObject()) : NULL;
	if (cJSON_IsArray(child))
		child = child->child != NULL ? child->child->prev : NULL;
	if (cJSON_IsObject(child))
		return child;
	wrong(t, t->p, "a key stands for a value and for a table");
	return NULL;
}

/* A dotted key: descends into all parts but the last, which is left in `last`; answers its table. */
static cJSON *
read_path(struct toml *t, cJSON *table, struct buf *last)
{
	unsigned parts;

	for (parts = 1; parts <= PATH_PARTS; parts++) {
		while (take(t, " ") || take(t, "\t"))
			;
		if (!read_key(t, last))
			return NULL;
		while (take(t, " ") || take(t, "\t"))
			;
		if (!take(t, "."))
			return table;
		if ((table = descend(t, table, last->p)) == NULL)
			return NULL;
	}
	wrong(t, t->p, "a key of too many parts");
	return NULL;
}

static bool
read_pair(struct toml *t, cJSON *table, unsigned depth)
{
	_cleanup_(buf_free) struct buf key = BUF_INIT(0);
	const char *from = t->p;
	cJSON *value;

	if ((table = read_path(t, table, &key)) == NULL)
		return false;
	if (cJSON_GetObjectItemCaseSensitive(table, key.p) != NULL)
		return wrong(t, from, "duplicate key");
	if (!take(t, "="))
		return wrong(t, t->p, "\"=\" is missing");
	if (!count_key(t) || !skip_line(t) || (value = read_value(t, depth)) == NULL)
		return false;
	return add_member(t, table, key.p, value) != NULL;
}

/* --- values --- */

static bool
read_array(struct toml *t, cJSON *array, unsigned depth)
{
	cJSON *item;

	while (skip_lines(t) && !take(t, "]")) {
		if ((item = read_value(t, depth + 1)) == NULL)
			return false;
		if (!cJSON_AddItemToArray(array, item)) {
			cJSON_Delete(item);
			return no_memory(t);
		}
		if (!skip_lines(t))
			return false;
		if (!at(t, "]") && !take(t, ","))
			return wrong(t, t->p, "\",\" or \"]\" is missing");
	}
	return t->what == NULL;
}

static bool
read_inline_table(struct toml *t, cJSON *table, unsigned depth)
{
	skip_line(t);
	if (take(t, "}"))
		return true;
	do {
		if (!read_pair(t, table, depth + 1) || !skip_line(t))
			return false;
	} while (take(t, ","));
	return take(t, "}") || wrong(t, t->p, "\",\" or \"}\" is missing");
}

static cJSON *
read_text(struct toml *t)
{
	_cleanup_(buf_free) struct buf text = BUF_SECRET(0);	/* for all we know */
	cJSON *value;

	if (!read_string(t, false, &text))
		return NULL;
	if ((value = cJSON_CreateString(text.p)) == NULL)
		no_memory(t);
	return value;
}

/* A number, a date, or a word; a blank may stand between a date and its time. */
static cJSON *
read_bare(struct toml *t)
{
	const char *from = t->p;
	cJSON *value;
	size_t n;

	while (t->p < t->end && (is_bare(*t->p) || *t->p == '+' || *t->p == '.' || *t->p == ':' ||
	    (*t->p == ' ' && t->p - from == 10 && from[4] == '-' && t->end - t->p > 1 &&
	    t->p[1] >= '0' && t->p[1] <= '9')))
		t->p++;
	n = (size_t)(t->p - from);
	if (slice_eq((struct slice){ from, n }, "true") || slice_eq((struct slice){ from, n }, "false"))
		value = cJSON_CreateBool(*from == 't');
	else if (n > 0 && (strchr("+-0123456789", *from) != NULL ||
	    slice_eq((struct slice){ from, n }, "inf") || slice_eq((struct slice){ from, n }, "nan")))
		value = cJSON_CreateNull();
	else {
		wrong(t, from, "a value is missing; is it text without quotes?");
		return NULL;
	}
	if (value == NULL)
		no_memory(t);
	return value;
}

static cJSON *
read_value(struct toml *t, unsigned depth)
{
	bool list = at(t, "[");
	cJSON *value;

	if (depth >= JSON_DEPTH) {
		wrong(t, t->p, "nested too deeply");
		return NULL;
	}
	if (at(t, "\"") || at(t, "'"))
		return read_text(t);
	if (!list && !at(t, "{"))
		return read_bare(t);
	t->p++;
	if ((value = list ? cJSON_CreateArray() : cJSON_CreateObject()) == NULL) {
		no_memory(t);
		return NULL;
	}
	if (list ? read_array(t, value, depth) : read_inline_table(t, value, depth))
		return value;
	cJSON_Delete(value);
	return NULL;
}

/* --- the document --- */

/* A new element of the array `name`, which is made if it is missing. */
static cJSON *
append_table(struct toml *t, cJSON *table, const char *name)
{
	cJSON *array = cJSON_GetObjectItemCaseSensitive(table, name), *element;

	if (array == NULL && (array = add_member(t, table, name, cJSON_CreateArray())) == NULL)
		return NULL;
	if (!cJSON_IsArray(array)) {
		wrong(t, t->p, "a key stands for a value and for an array of tables");
		return NULL;
	}
	element = cJSON_CreateObject();
	if (element != NULL && cJSON_AddItemToArray(array, element))
		return element;
	cJSON_Delete(element);
	no_memory(t);
	return NULL;
}

/* Behind the "[" of a table's head. */
static cJSON *
read_head(struct toml *t, cJSON *root)
{
	_cleanup_(buf_free) struct buf key = BUF_INIT(0);
	bool element = take(t, "[");
	cJSON *table;

	if ((table = read_path(t, root, &key)) == NULL || !count_key(t))
		return NULL;
	if (!take(t, element ? "]]" : "]")) {
		wrong(t, t->p, "the head of a table does not end");
		return NULL;
	}
	return element ? append_table(t, table, key.p) : descend(t, table, key.p);
}

static bool
read_document(struct toml *t, cJSON *root)
{
	cJSON *table = root;

	while (skip_lines(t) && t->p < t->end) {
		if (take(t, "["))
			table = read_head(t, root);
		else if (!read_pair(t, table, 0))
			return false;
		if (table == NULL || !skip_line(t))
			return false;
		if (t->p < t->end && !at(t, "\n") && !at(t, "\r\n"))
			return wrong(t, t->p, "something stands behind the value");
	}
	return t->what == NULL;
}

static void
tell(const struct toml *t, struct json_error *ret)
{
	const char *p;

	*ret = (struct json_error){ .what = t->what };
	if (t->fault == NULL)
		return;
	ret->line = ret->column = 1;
	for (p = t->start; p < t->fault; p++) {
		ret->column++;
		if (*p == '\n') {
			ret->line++;
			ret->column = 1;
		}
	}
}

cJSON *
toml_parse(const char *text, size_t n, struct json_error *ret_error)
{
	struct toml t = { .p = text, .start = text, .end = text + n };
	cJSON *root = cJSON_CreateObject();

	if (root == NULL)
		no_memory(&t);
	else if (read_document(&t, root))
		return root;
	cJSON_Delete(root);
	if (ret_error != NULL)
		tell(&t, ret_error);
	return NULL;
}
